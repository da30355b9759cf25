/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "common/macros.h"
#include "daemon/store/record.h"
#include "daemon/store/segrec.h"
#include "tests/unit/failalloc.h"

#define RECORD_MOST (SEGREC_HEADER + 4 * 32 + SEGREC_ENTRY * SEGREC_MOST)

static const uint8_t key[32] = "a segment";

static struct segrec_edit edit;
static struct buf built;

static int
setup(void **state)
{
	assert_int_equal(segrec_edit_init(&edit, NULL), 0);
	buf_init(&built, RECORD_MOST);
	return 0;
}

static int
teardown(void **state)
{
	segrec_edit_done(&edit);
	buf_done(&built);
	return 0;
}

static struct segrec_entry
entry(uint32_t index, char claim)
{
	struct segrec_entry e = {.index = index,
		.volume = 3,
		.offset = 32 * (1000 + index),
		.plain_len = 65530,
		.cipher_len = 65536,
		.born_s = 1700000000,
		.algo = 1};

	memset(e.claim, claim, sizeof(e.claim));
	return e;
}

static struct segrec_entry
proved(uint32_t index, char claim)
{
	struct segrec_entry e = entry(index, claim);

	e.proved = true;
	return e;
}

static void
put(struct segrec_entry e)
{
	assert_int_equal(segrec_edit_put(&edit, &e), 0);
}

static struct segrec_entry *
find(uint32_t index, char claim)
{
	uint8_t c[STORE_CLAIM_SIZE];

	memset(c, claim, sizeof(c));
	return segrec_edit_find(&edit, index, c);
}

static uint32_t
owner(uint32_t number)
{
	uint32_t lost, bit = segrec_edit_owner(&edit, number, &lost);

	assert_int_equal(lost, UINT32_MAX);
	return bit;
}

static struct segrec
rebuild(void)
{
	struct segrec s;

	buf_reset(&built);
	assert_int_equal(segrec_build(&built, &edit, key, sizeof(key)), 0);
	assert_int_equal(
		segrec_parse(&s, key, sizeof(key), built.data, built.len), 0);
	return s;
}

static void
assert_same(const struct segrec_entry *a, const struct segrec_entry *b)
{
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->volume, b->volume);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->plain_len, b->plain_len);
	assert_int_equal(a->cipher_len, b->cipher_len);
	assert_int_equal(a->born_s, b->born_s);
	assert_int_equal(a->owners, b->owners);
	assert_int_equal(a->algo, b->algo);
	assert_int_equal(a->proved, b->proved);
	assert_int_equal(a->sealed, b->sealed);
	assert_memory_equal(a->claim, b->claim, sizeof(a->claim));
}

static void
put_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* Gives changed bytes a checksum that fits, as the header describes it. */
static void
rehash(uint8_t *p, size_t len)
{
	uint64_t seed = 0;

	for (size_t i = 0; i < 8; i++)
		seed |= (uint64_t)p[i] << 8 * i;
	seed = XXH3_64bits_withSeed(key, sizeof(key), seed);
	put_le(p + 8, XXH3_64bits_withSeed(p + 16, len - 16, seed), 8);
}

static int
parse_rehashed(void)
{
	struct segrec s;

	rehash(built.data, built.len);
	return segrec_parse(&s, key, sizeof(key), built.data, built.len);
}

static void
test_every_field_comes_back(void **state)
{
	struct segrec_entry e = {.index = 0x01020304,
		.volume = 0xf1f2f3f4,
		.offset = UINT64_C(32) * 0xffffffff,
		.plain_len = 0xfffffffe,
		.cipher_len = 0xfffffffd,
		.born_s = 0xfffffffc,
		.algo = 255,
		.sealed = true};
	struct segrec_entry got;
	struct segrec s;

	e.owners = owner(0xa1a2a3a4) | owner(7);
	put(e);
	s = rebuild();
	assert_int_equal(s.n_owners, 2);
	assert_int_equal(segrec_owner(&s, 0), 0xa1a2a3a4);
	assert_int_equal(segrec_owner(&s, 1), 7);
	assert_int_equal(s.n_entries, 1);
	segrec_entry(&s, 0, &got);
	assert_same(&e, &got);
}

static void
test_bytes_are_as_documented(void **state)
{
	struct segrec_entry e = entry(5, 'c');
	uint8_t want[SEGREC_HEADER + 4 + SEGREC_ENTRY] = {
		SEGREC_FORMAT, 1, 0, 0, 1};

	put_le(want + 16, 77, 4);
	put_le(want + 20, 5, 4);
	put_le(want + 24, 3, 4);
	put_le(want + 28, 1005, 4);
	want[32] = 1;
	want[33] = 1; /* proved */
	put_le(want + 36, 65530, 4);
	put_le(want + 40, 65536, 4);
	put_le(want + 44, 1700000000, 4);
	put_le(want + 48, 1, 4);
	memset(want + 52, 'c', 16);
	rehash(want, sizeof(want));
	e.owners = owner(77);
	e.proved = true;
	put(e);
	rebuild();
	assert_int_equal(built.len, sizeof(want));
	assert_memory_equal(built.data, want, sizeof(want));
}

static void
test_an_empty_one(void **state)
{
	struct segrec s;

	owner(4);
	s = rebuild();
	assert_int_equal(built.len, SEGREC_HEADER);
	assert_int_equal(s.n_owners, 0);
	assert_int_equal(s.n_entries, 0);
	assert_int_equal(segrec_lower_bound(&s, 0), 0);
}

static void
test_build_appends(void **state)
{
	struct segrec s;

	put(entry(1, 'a'));
	buf_append(&built, "front", 5);
	assert_int_equal(segrec_build(&built, &edit, key, sizeof(key)), 0);
	assert_memory_equal(built.data, "front", 5);
	assert_int_equal(segrec_parse(&s, key, sizeof(key), built.data + 5,
				 built.len - 5),
		0);
}

static void
test_build_tells_a_full_buffer(void **state)
{
	CLEANUP(buf_done) struct buf small;

	put(entry(1, 'a'));
	buf_init(&small, SEGREC_HEADER + SEGREC_ENTRY - 1);
	assert_int_equal(
		segrec_build(&small, &edit, key, sizeof(key)), -EMSGSIZE);
}

static void
test_every_flipped_bit_is_refused(void **state)
{
	struct segrec_entry e = entry(0, 'a');
	struct segrec s;

	e.owners = owner(1);
	put(e);
	put(proved(0, 'b'));
	put(proved(1, 'b'));
	rebuild();
	for (size_t i = 0; i < 8 * built.len; i++) {
		built.data[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_not_equal(segrec_parse(&s, key, sizeof(key),
					     built.data, built.len),
			0);
		built.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void
test_every_other_length_is_refused(void **state)
{
	struct segrec s;

	put(entry(0, 'a'));
	put(entry(1, 'b'));
	rebuild();
	for (size_t n = 0; n < built.len; n++) {
		AUTO_FREE uint8_t *cut = malloc(n + 1);

		assert_non_null(cut);
		memcpy(cut, built.data, n);
		assert_int_equal(segrec_parse(&s, key, sizeof(key), cut, n),
			SEGREC_E_SHORT);
	}
	buf_u8(&built, 0);
	assert_int_equal(
		segrec_parse(&s, key, sizeof(key), built.data, built.len),
		SEGREC_E_SHORT);
}

static void
test_bytes_belong_to_their_key(void **state)
{
	uint8_t other[sizeof(key)];
	struct segrec s;

	put(entry(0, 'a'));
	rebuild();
	memcpy(other, key, sizeof(key));
	other[31] = 1;
	assert_int_equal(
		segrec_parse(&s, other, sizeof(other), built.data, built.len),
		SEGREC_E_HASH);
	assert_int_equal(
		segrec_parse(&s, key, sizeof(key) - 1, built.data, built.len),
		SEGREC_E_HASH);
}

static void
test_another_format(void **state)
{
	put(entry(0, 'a'));
	rebuild();
	built.data[0]++;
	assert_int_equal(parse_rehashed(), SEGREC_E_FORMAT);
}

static void
test_counts_out_of_bounds(void **state)
{
	uint8_t *p;

	put(entry(0, 'a'));
	rebuild();
	built.data[1] = SEGREC_OWNERS + 1;
	assert_int_equal(parse_rehashed(), SEGREC_E_VALUE);
	built.data[1] = 0;
	put_le(built.data + 4, UINT32_MAX, 4);
	assert_int_equal(parse_rehashed(), SEGREC_E_VALUE);

	/* As long as it says. */
	buf_done(&built);
	buf_init(&built, RECORD_MOST + SEGREC_ENTRY);
	p = buf_extend(
		&built, SEGREC_HEADER + SEGREC_ENTRY * (SEGREC_MOST + 1));
	assert_non_null(p);
	memset(p, 0, built.len);
	p[0] = SEGREC_FORMAT;
	put_le(p + 4, SEGREC_MOST + 1, 4);
	for (uint32_t i = 0; i <= SEGREC_MOST; i++)
		put_le(p + SEGREC_HEADER + SEGREC_ENTRY * i, i, 4);
	assert_int_equal(parse_rehashed(), SEGREC_E_VALUE);
	built.len -= SEGREC_ENTRY;
	put_le(p + 4, SEGREC_MOST, 4);
	assert_int_equal(parse_rehashed(), 0);
}

static void
test_fields_that_no_build_makes(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {
		{2, 1},
		{3, 1},
		{SEGREC_HEADER + 13, 3}, /* proved and sealed */
		{SEGREC_HEADER + 13, 4},
		{SEGREC_HEADER + 14, 1},
		{SEGREC_HEADER + 15, 1},
		{SEGREC_HEADER + 28, 1}, /* an owner who is not there */
		{SEGREC_HEADER + 31, 0x80},
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		segrec_edit_done(&edit);
		put(entry(0, 'a'));
		rebuild();
		built.data[wrong[i].at] = wrong[i].value;
		assert_int_equal(parse_rehashed(), SEGREC_E_VALUE);
	}
}

/* Entries as they are, without the rules of put. */
static int
parse_entries(const struct segrec_entry *e, size_t n)
{
	struct segrec_edit raw = {
		.n = n, .cap = n, .entries = (struct segrec_entry *)e};
	struct segrec s;

	buf_reset(&built);
	assert_int_equal(segrec_build(&built, &raw, key, sizeof(key)), 0);
	return segrec_parse(&s, key, sizeof(key), built.data, built.len);
}

static void
test_order_is_checked(void **state)
{
	struct segrec_entry e[6] = {entry(1, 'a'), entry(2, 'a')};

	assert_int_equal(parse_entries(e, 2), 0);
	e[1].index = 1;
	assert_int_equal(parse_entries(e, 2), SEGREC_E_VALUE);
	e[1] = entry(1, 'b');
	assert_int_equal(parse_entries(e, 2), 0);
	e[0] = entry(1, 'c');
	assert_int_equal(parse_entries(e, 2), SEGREC_E_VALUE);
	e[0] = entry(2, 'a');
	assert_int_equal(parse_entries(e, 2), SEGREC_E_VALUE);
}

static void
test_no_more_variants_than_put_leaves(void **state)
{
	struct segrec_entry e[6] = {entry(1, 'a'), entry(1, 'b'), entry(1, 'c'),
		entry(1, 'd'), entry(1, 'e'), entry(1, 'f')};

	assert_int_equal(parse_entries(e, 4), 0);
	assert_int_equal(parse_entries(e, 5), SEGREC_E_VALUE);
	e[1].proved = true;
	assert_int_equal(parse_entries(e, 5), 0);
	assert_int_equal(parse_entries(e, 6), SEGREC_E_VALUE);
	e[4].sealed = true;
	assert_int_equal(parse_entries(e, 6), 0);
	e[5].sealed = true;
	assert_int_equal(parse_entries(e, 6), SEGREC_E_VALUE);
}

static uint32_t
slow_lower_bound(const struct segrec *s, uint32_t index)
{
	struct segrec_entry e;
	uint32_t i;

	for (i = 0; i < s->n_entries; i++) {
		segrec_entry(s, i, &e);
		if (e.index >= index)
			break;
	}
	return i;
}

static void
assert_bounds(uint32_t most)
{
	struct segrec s = rebuild();

	for (uint32_t i = 0; i <= most; i++)
		assert_int_equal(
			segrec_lower_bound(&s, i), slow_lower_bound(&s, i));
	assert_int_equal(segrec_lower_bound(&s, UINT32_MAX), s.n_entries);
}

static void
test_lower_bound(void **state)
{
	for (uint32_t i = 0; i < 64; i++)
		put(proved(i, 'a'));
	assert_bounds(70);
	for (uint32_t i = 0; i < 64; i += 5)
		put(entry(i, 'b'));
	assert_bounds(70);
	for (uint32_t i = 0; i < 64; i += 3)
		if (find(i, 'a') != NULL)
			segrec_edit_remove(&edit, find(i, 'a'));
	assert_bounds(70);
	for (uint32_t i = 100; i < 2000; i += 17)
		put(proved(i, 'a'));
	assert_bounds(2100);
}

static void
test_put_of_the_same_joins(void **state)
{
	struct segrec_entry old = proved(4, 'a'), new = entry(4, 'a');
	struct segrec_entry *e;

	old.owners = owner(1);
	put(old);
	assert_int_equal(edit.n_lost, 0);
	new.owners = owner(2);
	new.volume = 9;
	new.offset = 64;
	new.born_s++;
	new.algo = 3;
	put(new);
	assert_int_equal(edit.n, 1);
	assert_int_equal(edit.n_lost, 1);
	assert_same(&edit.lost[0], &old);
	e = find(4, 'a');
	assert_non_null(e);
	new.owners = 3;
	new.proved = true;
	assert_same(e, &new);
}

static void
test_proved_drives_out_nothing(void **state)
{
	for (char c = 'a'; c < 'e'; c++)
		put(entry(4, c));
	put(proved(4, 'p'));
	assert_int_equal(edit.n_lost, 0);
	put(proved(4, 'q'));
	assert_int_equal(edit.n, 6);
}

static void
test_the_oldest_variant_goes(void **state)
{
	struct segrec_entry e;

	put(proved(4, 'p'));
	put(entry(3, 'a'));
	put(entry(5, 'a'));
	for (char c = 'a'; c < 'e'; c++) {
		e = entry(4, c);
		e.born_s += c == 'c' ? 0 : 10;
		put(e);
	}
	e = entry(4, 'e');
	e.born_s -= 10; /* the new one stays, however old */
	put(e);
	assert_int_equal(edit.n, 7);
	assert_int_equal(edit.n_lost, 1);
	assert_int_equal(edit.lost[0].claim[0], 'c');
	assert_null(find(4, 'c'));
	assert_non_null(find(4, 'e'));
	put(entry(4, 'f'));
	assert_null(find(4, 'e'));
	assert_non_null(find(4, 'p'));
}

static void
test_age_within_a_second_is_the_place(void **state)
{
	struct segrec_entry e;

	for (char c = 'a'; c < 'e'; c++) {
		e = entry(4, c);
		e.volume = c == 'b' ? 7 : 8;
		e.offset = c == 'b' ? 6400 : 32;
		put(e);
	}
	put(entry(4, 'e'));
	assert_null(find(4, 'b'));
	find(4, 'c')->offset = 0;
	segrec_edit_remove(&edit, find(4, 'e'));
	put(entry(4, 'e'));
	e = entry(4, 'f');
	find(4, 'e')->volume = 9;
	put(e);
	assert_null(find(4, 'c'));
}

static void
test_one_sealed(void **state)
{
	struct segrec_entry e = entry(4, 0);

	e.sealed = true;
	put(e);
	e.offset += 32;
	put(e);
	assert_int_equal(edit.n, 1);
	assert_int_equal(find(4, 0)->offset, e.offset);
	memset(e.claim, 'x', sizeof(e.claim));
	put(e);
	assert_int_equal(edit.n, 1);
	for (char c = 'a'; c < 'e'; c++)
		put(entry(4, c));
	put(proved(4, 'p'));
	assert_int_equal(edit.n, 6);
	assert_non_null(find(4, 'x'));
}

/* What was sealed under a claim of zeros becomes one of the unproved. */
static void
test_a_put_may_replace_and_drive_out(void **state)
{
	struct segrec_entry e = entry(4, 0);

	e.sealed = true;
	put(e);
	for (char c = 'a'; c < 'e'; c++)
		put(entry(4, c));
	put(entry(4, 0));
	assert_int_equal(edit.n, 4);
	assert_int_equal(edit.n_lost, 2);
	assert_true(edit.lost[0].sealed);
	assert_int_equal(edit.lost[1].claim[0], 'a');
	assert_false(find(4, 0)->sealed);
}

static void
test_no_more_than_fit(void **state)
{
	struct segrec_entry e = proved(SEGREC_MOST, 'a');

	for (uint32_t i = 0; i < SEGREC_MOST; i++)
		put(entry(i, 'a'));
	assert_int_equal(segrec_edit_put(&edit, &e), -E2BIG);
	assert_int_equal(edit.n, SEGREC_MOST);
	put(proved(0, 'a'));
	segrec_edit_remove(&edit, find(7, 'a'));
	put(e);
	assert_int_equal(rebuild().n_entries, SEGREC_MOST);
}

static void
test_owners_keep_their_bits(void **state)
{
	struct segrec_entry e = entry(1, 'a');

	assert_int_equal(owner(50), 1);
	assert_int_equal(owner(40), 2);
	assert_int_equal(owner(50), 1);
	e.owners = 3;
	put(e);
	assert_int_equal(rebuild().n_owners, 2);
}

static void
test_owners_without_entries_are_left_out(void **state)
{
	struct segrec_entry a = entry(1, 'a'), b = entry(2, 'a');
	struct segrec_entry got;
	struct segrec s;

	for (uint32_t i = 0; i < 6; i++)
		owner(100 + i);
	a.owners = 1u << 1 | 1u << 4;
	b.owners = 1u << 4 | 1u << 5;
	put(a);
	put(b);
	s = rebuild();
	assert_int_equal(s.n_owners, 3);
	assert_int_equal(segrec_owner(&s, 0), 101);
	assert_int_equal(segrec_owner(&s, 1), 104);
	assert_int_equal(segrec_owner(&s, 2), 105);
	segrec_entry(&s, 0, &got);
	assert_int_equal(got.owners, 3);
	segrec_entry(&s, 1, &got);
	assert_int_equal(got.owners, 6);
}

static void
test_one_owner_too_many_drives_out_the_oldest(void **state)
{
	struct segrec_entry e;
	uint32_t lost;

	for (uint32_t i = 0; i < SEGREC_OWNERS; i++) {
		e = entry(i, 'a');
		e.owners = owner(1000 - i);
		put(e);
	}
	assert_int_equal(rebuild().n_owners, SEGREC_OWNERS);
	assert_int_equal(segrec_edit_owner(&edit, 5, &lost), UINT32_C(1) << 31);
	assert_int_equal(lost, 1000);
	assert_int_equal(edit.n_owners, SEGREC_OWNERS);
	assert_int_equal(find(0, 'a')->owners, 0);
	for (uint32_t i = 1; i < SEGREC_OWNERS; i++) {
		assert_int_equal(edit.owners[i - 1], 1000 - i);
		assert_int_equal(find(i, 'a')->owners, UINT32_C(1) << (i - 1));
	}
	assert_int_equal(segrec_edit_owner(&edit, 6, &lost), UINT32_C(1) << 31);
	assert_int_equal(lost, 999);
}

/*
 * Random changes beside a model that does the same the slow way
 */

#define MODEL_MOST 64

struct model {
	size_t n;
	struct segrec_entry e[MODEL_MOST];
};

static unsigned long rnd_state;

static uint32_t
rnd(uint32_t below)
{
	rnd_state = rnd_state * 6364136223846793005UL + 1442695040888963407UL;
	return (uint32_t)(rnd_state >> 33) % below;
}

static size_t
model_count(const struct model *m, const struct segrec_entry *like,
	size_t *ret_oldest, size_t skip)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct segrec_entry *e = &m->e[i];

		if (i == skip || e->index != like->index ||
			e->proved != like->proved || e->sealed != like->sealed)
			continue;
		if (n++ == 0 || e->born_s < m->e[*ret_oldest].born_s)
			*ret_oldest = i;
	}
	return n;
}

static void
model_put(struct model *m, struct segrec_entry e)
{
	size_t at = 0, oldest = 0, most;

	while (at < m->n &&
		(m->e[at].index != e.index ||
			memcmp(m->e[at].claim, e.claim, 16) != 0))
		at++;
	if (at < m->n) {
		e.owners |= m->e[at].owners;
		e.proved = (e.proved || m->e[at].proved) && !e.sealed;
	}
	most = e.proved ? MODEL_MOST : e.sealed ? 1 : STORE_VARIANTS;
	if (model_count(m, &e, &oldest, at) >= most) {
		if (at == m->n)
			at = oldest;
		else
			m->e[oldest] = m->e[--m->n];
		/* the last one may have been the one to replace */
		if (at == m->n)
			at = oldest;
	} else if (at == m->n)
		m->n++;
	m->e[at] = e;
}

static void
assert_like_model(const struct model *m)
{
	struct segrec s = rebuild();

	assert_int_equal(s.n_entries, m->n);
	for (size_t i = 0; i < m->n; i++) {
		struct segrec_entry *e =
			segrec_edit_find(&edit, m->e[i].index, m->e[i].claim);

		assert_non_null(e);
		assert_same(e, &m->e[i]);
	}
}

static void
random_step(struct model *m, uint32_t born)
{
	uint32_t kind = rnd(8);
	struct segrec_entry e = entry(rnd(5), (char)('a' + rnd(9)));

	if (kind == 0 && m->n > 0) {
		size_t i = rnd((uint32_t)m->n);

		segrec_edit_remove(&edit,
			segrec_edit_find(&edit, m->e[i].index, m->e[i].claim));
		m->e[i] = m->e[--m->n];
		return;
	}
	e.born_s = born;
	e.owners = 1u << rnd(8);
	e.proved = kind == 1;
	e.sealed = kind == 2;
	if (e.sealed)
		memset(e.claim, 0, sizeof(e.claim));
	put(e);
	model_put(m, e);
}

static void
test_random_changes_beside_a_model(void **state)
{
	struct model m = {0};
	struct segrec s;

	rnd_state = 1;
	for (uint32_t i = 0; i < 8; i++)
		owner(i);
	for (uint32_t i = 0; i < 5000; i++) {
		random_step(&m, 1000 + i);
		assert_like_model(&m);
		if (i % 50 != 0)
			continue;
		/* the owners left out come back under other bits */
		for (uint32_t j = 0; j < 8; j++)
			owner(j);
		s = rebuild();
		if (s.n_owners != 8)
			continue;
		segrec_edit_done(&edit);
		assert_int_equal(segrec_edit_init(&edit, &s), 0);
		assert_like_model(&m);
	}
}

static int
no_memory_scenario(void *arg)
{
	CLEANUP(segrec_edit_done) struct segrec_edit e;
	CLEANUP(buf_done) struct buf b;
	int r = segrec_edit_init(&e, arg);

	buf_init(&b, RECORD_MOST);
	for (uint32_t i = 0; r == 0 && i < 40; i++) {
		struct segrec_entry add = entry(i, 'z');
		size_t n = e.n;

		r = segrec_edit_put(&e, &add);
		if (r != 0)
			assert_int_equal(e.n, n);
	}
	if (r == 0)
		r = segrec_build(&b, &e, key, sizeof(key));
	return r;
}

static void
test_no_memory(void **state)
{
	struct segrec s;

	for (uint32_t i = 0; i < 20; i++)
		put(entry(i, 'a'));
	s = rebuild();
	assert_true(failalloc_each(no_memory_scenario, &s) > 3);
	assert_true(failalloc_each(no_memory_scenario, NULL) > 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_field_comes_back),
		TEST(test_bytes_are_as_documented),
		TEST(test_an_empty_one),
		TEST(test_build_appends),
		TEST(test_build_tells_a_full_buffer),
		TEST(test_every_flipped_bit_is_refused),
		TEST(test_every_other_length_is_refused),
		TEST(test_bytes_belong_to_their_key),
		TEST(test_another_format),
		TEST(test_counts_out_of_bounds),
		TEST(test_fields_that_no_build_makes),
		TEST(test_order_is_checked),
		TEST(test_no_more_variants_than_put_leaves),
		TEST(test_lower_bound),
		TEST(test_put_of_the_same_joins),
		TEST(test_proved_drives_out_nothing),
		TEST(test_the_oldest_variant_goes),
		TEST(test_age_within_a_second_is_the_place),
		TEST(test_one_sealed),
		TEST(test_a_put_may_replace_and_drive_out),
		TEST(test_no_more_than_fit),
		TEST(test_owners_keep_their_bits),
		TEST(test_owners_without_entries_are_left_out),
		TEST(test_one_owner_too_many_drives_out_the_oldest),
		TEST(test_random_changes_beside_a_model),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

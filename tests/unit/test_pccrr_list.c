/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrr_set.h"
#include "tests/unit/pccrr_util.h"

static int
parse_get(const uint8_t *data, size_t len)
{
	struct pccrr_getblklist m;

	return pccrr_parse_getblklist(&m, data, len);
}

static int
parse_list(const uint8_t *data, size_t len)
{
	struct pccrr_blklist m;

	return pccrr_parse_blklist(&m, data, len);
}

static void
test_vector_getblklist(void **state)
{
	struct pccrr_getblklist m = {0};
	struct buf want, have;

	load(&want, PCCRR_VECTORS "getblklist.hex");
	assert_int_equal(pccrr_parse_getblklist(&m, want.data, want.len), 0);
	assert_int_equal(m.header.algo, PCCRR_AES128);
	assert_int_equal(m.id_len, 32);
	assert_memory_equal(m.id, the_id, 32);
	assert_true(m.needed.words[0] == 0x30f);
	assert_int_equal(pccrr_set_count(&m.needed), 6);
	buf_init(&have, 72);
	assert_int_equal(pccrr_build_getblklist(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&have);
	buf_done(&want);
}

static void
test_vector_blklist(void **state)
{
	struct pccrr_blklist m;
	struct buf want, have;

	memset(&m, 0xee, sizeof(m));
	load(&want, PCCRR_VECTORS "blklist.hex");
	assert_int_equal(pccrr_parse_blklist(&m, want.data, want.len), 0);
	assert_int_equal(m.header.algo, PCCRR_NONE);
	assert_memory_equal(m.id, the_id, 32);
	assert_true(m.held.words[0] == 7);
	assert_int_equal(pccrr_set_count(&m.held), 3);
	assert_int_equal(m.next_block, 0);
	buf_init(&have, 72);
	assert_int_equal(pccrr_build_blklist(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	buf_done(&have);
	buf_done(&want);
}

/* "I have none of them", and "I am busy": the exact answer. */
static void
test_empty_answer(void **state)
{
	struct pccrr_blklist m = {.id = the_id, .id_len = 32}, again;
	struct buf want, have;

	buf_init(&have, 64);
	buf_init(&want, 64);
	WORDS(&want, 60, 1, PCCRR_BLKLIST, 60, 0, 32);
	buf_append(&want, the_id, 32);
	WORDS(&want, 0, 0);
	assert_int_equal(pccrr_build_blklist(&have, &m), 0);
	assert_true(same_bytes(&have, &want));
	assert_int_equal(pccrr_parse_blklist(&again, have.data, have.len), 0);
	assert_int_equal(pccrr_set_count(&again.held), 0);
	buf_done(&have);
	buf_done(&want);
}

static void
test_edits(void **state)
{
	static const struct edit get[] = {
		{0, 0x00010001, 0},
		{0, 2, 0},
		{0, 3, PCCRR_E_UNSUPPORTED},
		{0, 0, PCCRR_E_UNSUPPORTED},
		{4, PCCRR_GETBLKS, PCCRR_E_UNSUPPORTED},
		{4, PCCRR_BLKLIST, PCCRR_E_UNSUPPORTED},
		{8, 71, PCCRR_E_MALFORMED},
		{12, 4, PCCRR_E_MALFORMED},
		{16, 33, PCCRR_E_MALFORMED},
		{16, 0, PCCRR_E_MALFORMED},
		{16, 48, PCCRR_E_MALFORMED}, /* then 4 ranges in nothing */
		{16, 64, PCCRR_E_SHORT},
		{16, UINT32_MAX, PCCRR_E_MALFORMED},
		{52, 0, PCCRR_E_MALFORMED}, /* ranges too many */
		{52, 1, PCCRR_E_MALFORMED},
		{52, 3, PCCRR_E_MALFORMED},
		{52, 10, PCCRR_E_MALFORMED},
		{52, 257, PCCRR_E_MALFORMED},
		{52, 0x20000002, PCCRR_E_MALFORMED}, /* * 8 = 16 in 32 bits */
		{52, UINT32_MAX, PCCRR_E_MALFORMED},
	};
	static const struct edit list[] = {
		{0, 67, PCCRR_E_MALFORMED}, {4, 2, 0},
		{4, 3, PCCRR_E_UNSUPPORTED},
		{8, PCCRR_NEGO_RESP, PCCRR_E_UNSUPPORTED},
		{12, 72, PCCRR_E_MALFORMED}, {16, 3, 0},
		{20, 33, PCCRR_E_MALFORMED}, {56, 0, PCCRR_E_MALFORMED},
		{56, 2, PCCRR_E_MALFORMED}, {56, 0x20000001, PCCRR_E_MALFORMED},
		{68, UINT32_MAX, 0}, /* a hint, whatever it says */
	};
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(get); i++) {
		load(&b, PCCRR_VECTORS "getblklist.hex");
		set_word(&b, get[i].at, get[i].word);
		assert_int_equal(parse_get(b.data, b.len), get[i].want);
		buf_done(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		load(&b, PCCRR_VECTORS "blklist.hex");
		set_word(&b, list[i].at, list[i].word);
		assert_int_equal(parse_list(b.data, b.len), list[i].want);
		buf_done(&b);
	}
}

static void
test_lengths(void **state)
{
	struct buf b;

	assert_int_equal(parse_get(NULL, 0), PCCRR_E_SHORT);
	assert_int_equal(parse_list(NULL, 0), PCCRR_E_SHORT);
	load(&b, PCCRR_VECTORS "getblklist.hex");
	assert_int_equal(first_cut_taken(&b, false, parse_get), 0);
	assert_true(try_every_word(&b, parse_get) > 0);
	for (size_t n = 1; n <= 8; n++) {
		buf_u8(&b, 0);
		fix_request(&b);
		assert_int_equal(parse_get(b.data, b.len), PCCRR_E_MALFORMED);
	}
	buf_done(&b);
	load(&b, PCCRR_VECTORS "blklist.hex");
	assert_int_equal(first_cut_taken(&b, true, parse_list), 0);
	assert_true(try_every_word(&b, parse_list) > 0);
	buf_u8(&b, 0);
	fix_answer(&b);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_MALFORMED);
	buf_done(&b);
	/* over the limit of the direction */
	buf_init(&b, 1 << 20);
	buf_zero(&b, PCCRR_REQUEST_MAX + 1);
	assert_int_equal(parse_get(b.data, b.len), PCCRR_E_TOO_BIG);
	buf_zero(&b, PCCRR_RESPONSE_MAX + 4 - PCCRR_REQUEST_MAX);
	assert_int_equal(parse_list(b.data, b.len), PCCRR_E_TOO_BIG);
	buf_done(&b);
}

struct ranges_case {
	uint32_t n;
	uint32_t words[8];
	uint32_t count; /* blocks in all */
	uint32_t first, last;
};

static void
start_request(struct buf *b, uint32_t n)
{
	buf_init(b, 1 << 20);
	WORDS(b, 1, PCCRR_GETBLKLIST, 0, 1, 32);
	buf_append(b, the_id, 32);
	buf_be32(b, n);
}

static uint32_t
last_of(const struct pccrr_set *s)
{
	uint32_t last = PCCRR_BLOCKS_MAX;

	for (uint32_t i = 0; i < PCCRR_BLOCKS_MAX; i++)
		if (pccrr_set_has(s, i))
			last = i;
	return last;
}

static void
test_ranges(void **state)
{
	static const struct ranges_case cases[] = {
		{0, {0}, 0, 512, 512},
		{1, {0, 0}, 0, 512, 512},
		{1, {0, 512}, 512, 0, 511},
		{1, {0, 513}, 512, 0, 511},
		{1, {511, 1}, 1, 511, 511},
		{1, {511, UINT32_MAX}, 1, 511, 511}, /* 2^32 + 510 */
		{1, {512, 1}, 0, 512, 512},
		{1, {UINT32_MAX, UINT32_MAX}, 0, 512, 512},
		{1, {UINT32_MAX, 2}, 0, 512, 512},
		{1, {1, UINT32_MAX}, 511, 1, 511}, /* 2^32 */
		{3, {9, 1, 4, 2, 6, 3}, 6, 4, 9},  /* unsorted, touching */
		{3, {0, 5, 2, 1, 3, 4}, 7, 0, 6},  /* overlapping */
		{2, {63, 2, 127, 2}, 4, 63, 128},
		{4, {600, 5, 7, 0, 8, 1, 8, 1}, 1, 8, 8},
	};
	struct pccrr_getblklist m, again;
	struct buf b, built;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ranges_case *c = &cases[i];

		start_request(&b, c->n);
		append_words(&b, c->words, 2 * c->n);
		fix_request(&b);
		assert_int_equal(pccrr_parse_getblklist(&m, b.data, b.len), 0);
		assert_int_equal(pccrr_set_count(&m.needed), c->count);
		assert_int_equal(pccrr_set_next(&m.needed, 0), c->first);
		assert_int_equal(last_of(&m.needed), c->last);

		buf_init(&built, 1024);
		assert_int_equal(pccrr_build_getblklist(&built, &m), 0);
		assert_int_equal(
			pccrr_parse_getblklist(&again, built.data, built.len),
			0);
		assert_memory_equal(&again.needed, &m.needed, sizeof(m.needed));
		buf_done(&built);
		buf_done(&b);
	}
}

static void
test_range_count(void **state)
{
	struct pccrr_getblklist m;
	struct buf b;

	for (uint32_t n = 256; n <= 257; n++) {
		start_request(&b, n);
		for (uint32_t i = 0; i < n; i++)
			WORDS(&b, 2 * i, 1);
		fix_request(&b);
		assert_int_equal(pccrr_parse_getblklist(&m, b.data, b.len),
			n == 256 ? 0 : PCCRR_E_MALFORMED);
		if (n == 256)
			assert_int_equal(pccrr_set_count(&m.needed), 256);
		buf_done(&b);
	}
}

/* Sorted, disjoint and merged, whatever was put in. */
static void
test_written_ranges(void **state)
{
	struct pccrr_blklist m = {.id = the_id, .id_len = 32}, again;
	struct pccrr_set odd = {0};
	struct buf b, want;

	buf_init(&b, 4096);
	for (uint32_t i = 1; i < 512; i += 2)
		pccrr_set_add(&odd, i);
	m.held = odd;
	m.next_block = 3;
	assert_int_equal(pccrr_build_blklist(&b, &m), 0);
	assert_int_equal(b.len, 4 + 16 + 36 + 4 + 8 * 256 + 4);
	assert_int_equal(pccrr_parse_blklist(&again, b.data, b.len), 0);
	assert_memory_equal(&again.held, &odd, sizeof(odd));
	assert_int_equal(again.next_block, 3);

	memset(&m.held, 0xff, sizeof(m.held));
	m.held.words[2] = 0;
	buf_reset(&b);
	assert_int_equal(pccrr_build_blklist(&b, &m), 0);
	buf_init(&want, 64);
	WORDS(&want, 2, 0, 128, 192, 320, 3);
	assert_int_equal(b.len, 4 + 16 + 36 + want.len);
	assert_memory_equal(b.data + 56, want.data, want.len);
	buf_done(&want);
	buf_done(&b);
}

static void
test_id_lengths(void **state)
{
	struct pccrr_getblklist g = {.id = the_id}, g2;
	struct pccrr_blklist k = {.id = the_id}, k2;
	struct buf b;

	buf_init(&b, 1024);
	for (uint32_t len = 32; len <= 64; len += 16) {
		g.id_len = k.id_len = len;
		buf_reset(&b);
		assert_int_equal(pccrr_build_getblklist(&b, &g), 0);
		assert_int_equal(pccrr_parse_getblklist(&g2, b.data, b.len), 0);
		assert_int_equal(g2.id_len, len);
		assert_memory_equal(g2.id, the_id, len);
		buf_reset(&b);
		assert_int_equal(pccrr_build_blklist(&b, &k), 0);
		assert_int_equal(pccrr_parse_blklist(&k2, b.data, b.len), 0);
		assert_int_equal(k2.id_len, len);
		assert_memory_equal(k2.id, the_id, len);
	}
	buf_reset(&b);
	g.id_len = k.id_len = 33;
	assert_int_equal(pccrr_build_getblklist(&b, &g), -EINVAL);
	assert_int_equal(pccrr_build_blklist(&b, &k), -EINVAL);
	g.id_len = k.id_len = 32;
	g.header.algo = k.header.algo = 4;
	assert_int_equal(pccrr_build_getblklist(&b, &g), -EINVAL);
	assert_int_equal(pccrr_build_blklist(&b, &k), -EINVAL);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void
test_set(void **state)
{
	struct pccrr_set s = {0};

	assert_int_equal(pccrr_set_count(&s), 0);
	assert_int_equal(pccrr_set_next(&s, 0), 512);
	pccrr_set_add(&s, 0);
	pccrr_set_add(&s, 64);
	pccrr_set_add(&s, 511);
	pccrr_set_add(&s, 511);
	assert_int_equal(pccrr_set_count(&s), 3);
	assert_int_equal(pccrr_set_next(&s, 0), 0);
	assert_int_equal(pccrr_set_next(&s, 1), 64);
	assert_int_equal(pccrr_set_next(&s, 64), 64);
	assert_int_equal(pccrr_set_next(&s, 65), 511);
	assert_int_equal(pccrr_set_next(&s, 511), 511);
	assert_int_equal(pccrr_set_next(&s, 512), 512);
	assert_int_equal(pccrr_set_next(&s, UINT32_MAX), 512);
	assert_true(pccrr_set_has(&s, 511));
	assert_false(pccrr_set_has(&s, 510));
	assert_false(pccrr_set_has(&s, 512));
	assert_false(pccrr_set_has(&s, UINT32_MAX));
}

static int
build_both(void *arg)
{
	struct pccrr_getblklist g = {.id = the_id, .id_len = 32};
	struct pccrr_blklist k = {.id = the_id, .id_len = 32};
	struct buf b;
	int r;

	g.needed.words[3] = k.held.words[3] = UINT64_C(0x5555555555555555);
	buf_init(&b, 1024);
	r = pccrr_build_getblklist(&b, &g);
	buf_done(&b);
	if (r == 0)
		r = pccrr_build_blklist(&b, &k);
	buf_done(&b);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(build_both, NULL) > 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_getblklist),
		cmocka_unit_test(test_vector_blklist),
		cmocka_unit_test(test_empty_answer),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_range_count),
		cmocka_unit_test(test_written_ranges),
		cmocka_unit_test(test_id_lengths),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

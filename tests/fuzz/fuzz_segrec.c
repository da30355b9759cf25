/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of segments: what is accepted is inside the input, in order, builds
 * to the very same bytes, and takes any change without breaking a rule.  The
 * first byte is the length of the key, which follows. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"
#include "daemon/store/record.h"
#include "daemon/store/segrec.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_bounds(const struct segrec *s)
{
	struct segrec_entry e, before = {0};

	for (uint32_t i = 0; i < s->n_entries; i++) {
		segrec_entry(s, i, &e);
		assert(i == 0 || e.index > before.index ||
			(e.index == before.index &&
				memcmp(e.claim, before.claim, sizeof(e.claim)) >
					0));
		if (i == 0 || e.index > before.index)
			assert(segrec_lower_bound(s, e.index) == i);
		assert(!(e.proved && e.sealed));
		before = e;
	}
	assert(segrec_lower_bound(s, 0) == 0);
	for (uint32_t i = 0; i < s->n_owners; i++)
		(void)segrec_owner(s, i);
}

/* Unless there are owners without an entry, which a build leaves out. */
static void
check_rebuilt(struct segrec_edit *e, const uint8_t *key, size_t key_len,
	const uint8_t *data, size_t len)
{
	struct segrec again;
	struct buf b;

	buf_init(&b, len);
	assert(segrec_build(&b, e, key, key_len) == 0);
	assert(segrec_parse(&again, key, key_len, b.data, b.len) == 0);
	assert(again.n_owners <= e->n_owners && again.n_entries == e->n);
	if (again.n_owners == e->n_owners)
		assert(b.len == len && memcmp(b.data, data, len) == 0);
	buf_done(&b);
}

/* The key's bytes say what is done. */
static void
change(struct segrec_edit *e, const uint8_t *key, size_t key_len)
{
	for (size_t i = 0; i + 3 < key_len; i += 4) {
		struct segrec_entry add = {.index = key[i] % 4,
			.offset = (uint64_t)RECORD_ALIGN * key[i + 1],
			.born_s = key[i + 2],
			.proved = key[i + 3] % 4 == 0,
			.sealed = key[i + 3] % 4 == 1};
		struct segrec_entry *found;
		size_t n = e->n;
		uint32_t lost;
		int r;

		memset(add.claim, key[i + 1] % 8, sizeof(add.claim));
		add.owners = segrec_edit_owner(e, key[i + 2], &lost);
		r = segrec_edit_put(e, &add);
		assert(r == 0 || r == -E2BIG);
		assert(r != 0 || e->n <= n + 1);
		found = segrec_edit_find(e, add.index, add.claim);
		assert(r != 0 || (found != NULL && found->owners != 0));
		if (found != NULL && key[i + 3] % 5 == 0)
			segrec_edit_remove(e, found);
	}
}

static void
check(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len)
{
	struct segrec s;
	struct segrec_edit e;
	struct buf b;

	if (segrec_parse(&s, key, key_len, data, len) != 0)
		return;
	assert(s.data == data);
	check_bounds(&s);
	assert(segrec_edit_init(&e, &s) == 0);
	check_rebuilt(&e, key, key_len, data, len);
	change(&e, key, key_len);
	buf_init(&b, SIZE_MAX);
	assert(segrec_build(&b, &e, key, key_len) == 0);
	assert(segrec_parse(&s, key, key_len, b.data, b.len) == 0);
	check_bounds(&s);
	buf_done(&b);
	segrec_edit_done(&e);
}

static void
put_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* The same with a true checksum and counts that fit the length, so that the
 * fuzzer need not find them. */
static void
check_sound(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len)
{
	size_t owners = data[1] % (SEGREC_OWNERS + 1);
	uint64_t seed = 0;
	uint8_t *copy;

	if (len < SEGREC_HEADER + 4 * owners)
		return;
	len -= (len - SEGREC_HEADER - 4 * owners) % SEGREC_ENTRY;
	copy = malloc(len);
	if (copy == NULL)
		return;
	memcpy(copy, data, len);
	copy[0] = SEGREC_FORMAT;
	put_le(copy + 1, owners, 3);
	put_le(copy + 4, (len - SEGREC_HEADER - 4 * owners) / SEGREC_ENTRY, 4);
	for (size_t i = 0; i < 8; i++)
		seed |= (uint64_t)copy[i] << 8 * i;
	seed = XXH3_64bits_withSeed(key, key_len, seed);
	put_le(copy + 8,
		XXH3_64bits_withSeed(
			copy + SEGREC_HEADER, len - SEGREC_HEADER, seed),
		8);
	check(key, key_len, copy, len);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t key_len;

	if (len < 1)
		return 0;
	key_len = data[0] % (STORE_ID_MAX + 1);
	if (len < 1 + key_len)
		return 0;
	data++;
	len -= 1 + key_len;
	check(data, key_len, data + key_len, len);
	if (len >= SEGREC_HEADER)
		check_sound(data, key_len, data + key_len, len);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the hash store.  No fuzzer guesses a checksum, so besides the
 * input as it is, one with its checksum put right is tried.
 *
 * Checked: what is accepted lies inside of the input, and build(parse(x)) is x.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/store/hash_record.h"

/* assert() by another name: the first word of a report. */
#define MUST(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

#define ID_AT 16u

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
one_record(const uint8_t *data, size_t len)
{
	struct hash_entry e = {0};
	uint64_t id = 0, sum;
	struct buf b;

	if (len >= ID_AT + sizeof(id))
		memcpy(&id, data + ID_AT, sizeof(id));
	id = le64toh(id);
	if (hash_record_parse(&e, &sum, id, data, len) != 0)
		return;
	MUST(e.id == id && e.hashes == NULL);
	MUST(e.label > data && e.label + e.label_len < data + len);
	buf_init(&b, len);
	MUST(hash_record_build(&b, &e, sum) == 0);
	MUST(b.len == len && memcmp(b.data, data, len) == 0);
	buf_done(&b);
	MUST(hash_record_parse(&e, &sum, id + 1, data, len) != 0);
}

static void
one_counts(const uint8_t *data, size_t len)
{
	uint8_t again[HASH_COUNTS_SIZE];
	struct hash_counts c;

	if (hash_counts_parse(&c, data, len) != 0)
		return;
	hash_counts_build(again, &c);
	MUST(len == sizeof(again) && memcmp(again, data, len) == 0);
}

static void
one_user(const uint8_t *data, size_t len)
{
	uint8_t again[HASH_USER_SIZE];
	uint64_t bytes;

	if (hash_user_parse(&bytes, 0, data, len) != 0)
		return;
	hash_user_build(again, 0, bytes);
	MUST(len == sizeof(again) && memcmp(again, data, len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint64_t sum;
	uint8_t *copy;

	one_record(data, len);
	one_counts(data, len);
	one_user(data, len);
	MUST(hash_key_read_id(data, len) == 0 || len == HASH_KEY_ID);
	if (len < sizeof(sum))
		return 0;
	copy = malloc(len);
	MUST(copy != NULL);
	memcpy(copy, data, len);
	sum = htole64(XXH3_64bits(copy, len - sizeof(sum)));
	memcpy(copy + len - sizeof(sum), &sum, sizeof(sum));
	one_record(copy, len);
	sum = htobe64(le64toh(sum));
	memcpy(copy + len - sizeof(sum), &sum, sizeof(sum));
	one_counts(copy, len);
	one_user(copy, len);
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/described.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/bulk.h"
#include "codec/pccrc.h"
#include "common/secmem.h"
#include "tests/unit/failalloc.h"

#define SIZE (3u * 1024 * 1024 + 12345)

static uint8_t file[SIZE];

struct info {
	uint8_t *bytes;
	size_t len;
};

/* Of [offset, +length) of the file. */
static struct info
describe(int version, uint64_t offset, uint64_t length)
{
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1 | PCCRC_MAKE_V2);
	struct bulk *bulk = bulk_new(BULK_AUTO);
	struct pccrc_desc *desc;
	struct info info;

	assert_int_equal(pccrc_pub_feed(pub, bulk, file, SIZE), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, bulk, (const uint8_t *)"key", 3, &desc),
		0);
	assert_int_equal(pccrc_desc_build(desc, version, offset, length,
				 &info.bytes, &info.len),
		0);
	pccrc_desc_free(desc);
	bulk_free(bulk);
	pccrc_pub_free(pub);
	return info;
}

static struct described *
described_of(int version)
{
	struct info info = describe(version, 0, SIZE);
	struct described *d;

	assert_int_equal(described_new(&d, info.bytes, info.len), 0);
	sec_free(info.bytes, info.len);
	return d;
}

/* Pieces follow each other, are right, and whole blocks. */
static void
walk(struct described *d)
{
	uint64_t at = 0;
	unsigned n = 0;

	while (at < SIZE) {
		uint64_t end = described_piece(d, at, SIZE);

		assert_true(end > at && end - at <= DESCRIBED_PIECE_MAX);
		assert_int_equal(described_floor(d, at), at);
		if (end < SIZE)
			assert_int_equal(described_floor(d, end), end);
		assert_true(described_verify(d, at, file + at, end - at));
		at = end;
		n++;
	}
	assert_int_equal(at, SIZE);
	assert_true(n >= 4 && n <= 5);
}

static void
test_pieces(void **state)
{
	for (int version = 1; version <= 2; version++) {
		struct described *d = described_of(version);

		assert_int_equal(described_length(d), SIZE);
		assert_int_equal(described_version(d), version);
		walk(d);
		described_free(d);
	}
}

static void
test_one_wrong_bit(void **state)
{
	for (int version = 1; version <= 2; version++) {
		struct described *d = described_of(version);
		uint64_t end = described_piece(d, 0, SIZE);

		for (uint64_t at = 0; at < end; at += end / 7) {
			file[at] ^= 4;
			assert_false(described_verify(d, 0, file, end));
			file[at] ^= 4;
		}
		assert_true(described_verify(d, 0, file, end));
		described_free(d);
	}
}

static void
test_parts_of_blocks_are_not_verified(void **state)
{
	for (int version = 1; version <= 2; version++) {
		struct described *d = described_of(version);
		uint64_t end = described_piece(d, 0, SIZE);

		assert_false(described_verify(d, 0, file, end - 1));
		assert_false(described_verify(d, 1, file + 1, end - 1));
		assert_false(described_verify(d, end, file, end));
		described_free(d);
	}
}

static void
refused(struct info info)
{
	struct described *d = NULL;

	assert_int_equal(
		described_new(&d, info.bytes, info.len), DESCRIBED_MALFORMED);
	assert_null(d);
}

static void
test_refused(void **state)
{
	for (int version = 1; version <= 2; version++) {
		struct info whole = describe(version, 0, SIZE);
		struct info later =
			describe(version, 1 << 20, SIZE - (1 << 20));
		struct info first = describe(version, 0, (1 << 20) + 10);

		for (size_t len = 0; len < whole.len; len += len < 200 ? 1 : 97)
			refused((struct info){whole.bytes, len});
		refused(later);
		/* Ends amid what it describes. */
		refused(first);
		sec_free(whole.bytes, whole.len);
		sec_free(later.bytes, later.len);
		sec_free(first.bytes, first.len);
	}
}

static int
make(void *arg)
{
	const struct info *info = arg;
	struct described *d = NULL;
	int r = described_new(&d, info->bytes, info->len);

	described_free(d);
	return r;
}

static void
test_no_memory(void **state)
{
	for (int version = 1; version <= 2; version++) {
		struct info info = describe(version, 0, SIZE);

		assert_true(failalloc_each(make, &info) > 2);
		sec_free(info.bytes, info.len);
	}
}

static int
set_up(void **state)
{
	srandom(3);
	for (size_t i = 0; i < SIZE; i++)
		file[i] = (uint8_t)random();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_one_wrong_bit),
		cmocka_unit_test(test_parts_of_blocks_are_not_verified),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}

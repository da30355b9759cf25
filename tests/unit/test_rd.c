/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/rd.h"

static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
	0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};

static void
test_big_endian(void **state)
{
	struct rd r;

	rd_init(&r, bytes, sizeof(bytes));
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_be16(&r), 0x0203);
	assert_int_equal(rd_be32(&r), 0x04050607);
	assert_true(rd_be64(&r) == 0x08090a0b0c0d0e0f);
	assert_true(rd_ok(&r));
	assert_int_equal(rd_left(&r), 0);
}

static void
test_little_endian(void **state)
{
	struct rd r;

	rd_init(&r, bytes, sizeof(bytes));
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_le16(&r), 0x0302);
	assert_int_equal(rd_le32(&r), 0x07060504);
	assert_true(rd_le64(&r) == 0x0f0e0d0c0b0a0908);
	assert_true(rd_ok(&r));
}

static void
test_bytes(void **state)
{
	uint8_t copy[3];
	struct rd r;

	rd_init(&r, bytes, sizeof(bytes));
	assert_ptr_equal(rd_bytes(&r, 2), bytes);
	rd_copy(&r, copy, 3);
	assert_memory_equal(copy, bytes + 2, 3);
	assert_int_equal(rd_left(&r), sizeof(bytes) - 5);
	assert_ptr_equal(rd_bytes(&r, rd_left(&r)), bytes + 5);
	assert_ptr_equal(rd_bytes(&r, 0), bytes + sizeof(bytes));
	assert_true(rd_ok(&r));
}

static void
test_short_is_sticky(void **state)
{
	uint8_t copy[3] = {9, 9, 9};
	struct rd r;

	rd_init(&r, bytes, 3);
	assert_int_equal(rd_be32(&r), 0);
	assert_false(rd_ok(&r));
	/* What would fit is not given any more, and nothing moved. */
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_bytes(&r, 0));
	rd_copy(&r, copy, 3);
	assert_memory_equal(copy, "\0\0\0", 3);
	assert_int_equal(rd_left(&r), 3);
	assert_false(rd_ok(&r));
}

static void
test_huge_length(void **state)
{
	struct rd r;

	rd_init(&r, bytes, 3);
	rd_u8(&r);
	assert_null(rd_bytes(&r, SIZE_MAX));
	assert_false(rd_ok(&r));
	assert_int_equal(rd_left(&r), 2);
}

static void
test_every_width_at_the_end(void **state)
{
	for (size_t have = 0; have < 8; have++) {
		struct rd r;

		rd_init(&r, bytes, have);
		assert_true(rd_le64(&r) == 0);
		assert_false(rd_ok(&r));
		rd_init(&r, bytes, have);
		assert_true(rd_be64(&r) == 0);
		assert_false(rd_ok(&r));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_big_endian),
		cmocka_unit_test(test_little_endian),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_short_is_sticky),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_every_width_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

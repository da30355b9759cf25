/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"

static void
test_numbers(void **state)
{
	static const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04,
		0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x02, 0x03,
		0x04, 0x05, 0x06, 0x07};
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 100);
	buf_u8(&b, 0x01);
	buf_le16(&b, 0x0203);
	buf_le32(&b, 0x04050607);
	buf_le64(&b, 0x08090a0b0c0d0e0f);
	buf_be16(&b, 0x0203);
	buf_be32(&b, 0x04050607);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
}

static void
test_bytes(void **state)
{
	CLEANUP(buf_done) struct buf b;
	uint8_t *p;

	buf_init(&b, 100);
	buf_append(&b, "ab", 2);
	buf_append(&b, NULL, 0);
	buf_zero(&b, 2);
	p = buf_extend(&b, 1);
	assert_ptr_equal(p, b.data + 4);
	*p = 'c';
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "ab\0\0c", 5);
}

static void
test_extend_by_nothing_is_no_failure(void **state)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 0);
	assert_non_null(buf_extend(&b, 0));
	assert_int_equal(buf_error(&b), 0);
}

static void
test_bound_is_exact(void **state)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1000);
	buf_zero(&b, 999);
	buf_u8(&b, 7);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, 1000);
	assert_int_equal(b.data[999], 7);
	buf_u8(&b, 7);
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	assert_int_equal(b.len, 1000);
}

static void
test_bound_without_overflow(void **state)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_u8(&b, 1);
	assert_null(buf_extend(&b, SIZE_MAX));
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	buf_reset(&b);
	buf_u8(&b, 1);
	assert_null(buf_extend(&b, SIZE_MAX - 1));
	assert_int_equal(buf_error(&b), -EMSGSIZE);
}

static void
test_error_is_sticky_until_reset(void **state)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 4);
	buf_le32(&b, 1);
	buf_u8(&b, 1);
	buf_append(&b, "", 0);
	buf_printf(&b, "%s", "");
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	assert_null(buf_extend(&b, 0));
	buf_reset(&b);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, 0);
	buf_le32(&b, 1);
	assert_int_equal(buf_error(&b), 0);
}

static void
test_printf(void **state)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 10);
	buf_printf(&b, "%s", "");
	assert_int_equal(b.len, 0);
	buf_printf(&b, "%d-%s", 42, "ab");
	buf_printf(&b, "%05d", 7);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.data, "42-ab00007", 10);
	buf_printf(&b, "%c", 'x');
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	assert_int_equal(b.len, 10);
}

static void
test_take(void **state)
{
	AUTO_FREE uint8_t *p = NULL;
	CLEANUP(buf_done) struct buf b;
	size_t len = 99;

	buf_init(&b, 8);
	buf_append(&b, "abc", 3);
	p = buf_take(&b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(p, "abc", 3);
	assert_int_equal(b.len, 0);
	buf_append(&b, "12345678", 8);
	assert_memory_equal(b.data, "12345678", 8);
	assert_memory_equal(p, "abc", 3);

	buf_u8(&b, 1);
	assert_null(buf_take(&b, &len));
	assert_int_equal(len, 0);
}

static int
scenario_build(void *arg)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 100000);
	for (int i = 0; i < 100; i++) {
		buf_zero(&b, 100);
		buf_printf(&b, "%d", i);
	}
	if (buf_error(&b) == 0)
		assert_int_equal(b.len, 100 * 100 + 10 + 2 * 90);
	return buf_error(&b);
}

static void
test_out_of_memory(void **state)
{
	assert_true(failalloc_each(scenario_build, NULL) > 5);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_extend_by_nothing_is_no_failure),
		cmocka_unit_test(test_bound_is_exact),
		cmocka_unit_test(test_bound_without_overflow),
		cmocka_unit_test(test_error_is_sticky_until_reset),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
#include "tests/unit/pccrr_util.h"

struct blob_case {
	size_t len;
	uint8_t bytes[16];
	size_t n;
	struct pccrr_age ages[2];
};

static const struct blob_case cases[] = {
	/* of the documents: ids 0 and 2, 600 s */
	{12, {0, 1, 3, 2, 0, 0x60, 0xea, 0, 2, 0x60, 0xea, 0}, 2,
		{{0, 6000}, {2, 6000}}},
	/* every unit */
	{8, {0, 1, 1, 1, 255, 1, 0, 0}, 1, {{255, 10}}},
	{8, {0, 1, 2, 1, 7, 1, 2, 3}, 1, {{7, 0x030201}}},
	{8, {0, 1, 3, 1, 7, 19, 0, 0}, 1, {{7, 1}}},
	{8, {0, 1, 4, 1, 7, 0xe8, 3, 0}, 1, {{7, 10}}},
	{8, {0, 1, 1, 1, 7, 0xff, 0xff, 0xff}, 1, {{7, 167772150}}},
	{8, {0, 1, 0, 1, 7, 1, 0, 0}, 0, {{0}}},
	{8, {0, 1, 5, 1, 7, 1, 0, 0}, 0, {{0}}},
	/* other versions; the number is big-endian */
	{8, {0, 0, 3, 1, 7, 1, 0, 0}, 0, {{0}}},
	{8, {0, 2, 3, 1, 7, 1, 0, 0}, 0, {{0}}},
	{8, {1, 0, 3, 1, 7, 1, 0, 0}, 0, {{0}}},
	{8, {1, 1, 3, 1, 7, 1, 0, 0}, 0, {{0}}},
	/* longer than it has to be, shorter, none at all */
	{11, {0, 1, 3, 1, 7, 10, 0, 0, 1, 2, 3}, 1, {{7, 1}}},
	{7, {0, 1, 3, 1, 7, 10, 0}, 0, {{0}}},
	{8, {0, 1, 3, 2, 7, 10, 0, 0}, 0, {{0}}},
	{8, {0, 1, 3, 255, 7, 10, 0, 0}, 0, {{0}}},
	{4, {0, 1, 3, 0}, 0, {{0}}},
	{3, {0, 1, 3}, 0, {{0}}},
	{1, {0}, 0, {{0}}},
	{0, {0}, 0, {{0}}},
};

static void
test_parse(void **state)
{
	struct pccrr_age ages[4];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct blob_case *c = &cases[i];
		uint8_t *copy = malloc(c->len + (c->len == 0));

		assert_non_null(copy);
		memcpy(copy, c->bytes, c->len);
		assert_int_equal(pccrr_parse_ages(ages, 4, copy, c->len), c->n);
		for (size_t k = 0; k < c->n; k++) {
			assert_int_equal(ages[k].index, c->ages[k].index);
			assert_int_equal(ages[k].ds, c->ages[k].ds);
		}
		free(copy);
	}
	assert_int_equal(pccrr_parse_ages(ages, 4, NULL, 0), 0);
}

static void
test_at_most(void **state)
{
	struct pccrr_age ages[2] = {{9, 9}, {9, 9}};

	assert_int_equal(pccrr_parse_ages(ages, 1, cases[0].bytes, 12), 1);
	assert_int_equal(ages[0].ds, 6000);
	assert_int_equal(ages[1].ds, 9);
	assert_int_equal(pccrr_parse_ages(ages, 0, cases[0].bytes, 12), 0);
}

static void
test_build(void **state)
{
	const struct blob_case *c = &cases[0];
	static const struct pccrr_age far[] = {
		{0, 1677721}, {1, 1677722}, {2, UINT32_MAX}};
	static const uint8_t want[] = {0, 1, 3, 3, 0, 0xfa, 0xff, 0xff, 1, 0xff,
		0xff, 0xff, 2, 0xff, 0xff, 0xff};
	struct buf b;

	buf_init(&b, 2048);
	assert_int_equal(pccrr_build_ages(&b, c->ages, 2), 0);
	assert_int_equal(b.len, c->len);
	assert_memory_equal(b.data, c->bytes, c->len);
	/* what 24 bits do not hold */
	buf_reset(&b);
	assert_int_equal(pccrr_build_ages(&b, far, 3), 0);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	buf_done(&b);
}

static int
build_one(void *arg)
{
	struct buf b;
	int r;

	buf_init(&b, 2048);
	r = pccrr_build_ages(&b, cases[0].ages, 2);
	buf_done(&b);
	return r;
}

static void
test_counts(void **state)
{
	struct pccrr_age ages[256] = {{0, 0}}, again[256];
	struct buf b;

	for (size_t i = 0; i < 255; i++)
		ages[i] = (struct pccrr_age){(uint8_t)i, (uint32_t)i * 3};
	buf_init(&b, 2048);
	assert_int_equal(pccrr_build_ages(&b, ages, 256), -EINVAL);
	assert_int_equal(b.len, 0);
	assert_int_equal(pccrr_build_ages(&b, ages, 255), 0);
	assert_int_equal(b.len, 1024);
	assert_int_equal(pccrr_parse_ages(again, 256, b.data, b.len), 255);
	for (size_t i = 0; i < 255; i++) {
		assert_int_equal(again[i].index, i);
		assert_int_equal(again[i].ds, 3 * i);
	}
	buf_reset(&b);
	assert_int_equal(pccrr_build_ages(&b, ages, 0), 0);
	assert_int_equal(b.len, 4);
	buf_done(&b);
	assert_int_equal(failalloc_each(build_one, NULL), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_at_most),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

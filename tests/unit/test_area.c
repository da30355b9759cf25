/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/area.h"

#define HALF (16 * AREA_PAGE)

static uint8_t map[2 * HALF];
static unsigned n_unmapped;

static void
unmapped(void *ctx)
{
	n_unmapped++;
}

static struct area *
new_area(void)
{
	n_unmapped = 0;
	return area_new(map, HALF, HALF, unmapped, NULL);
}

static void
test_write_half(void **state)
{
	struct area *a = new_area();

	assert_ptr_equal(area_write_at(a, 0, HALF), map);
	assert_ptr_equal(area_write_at(a, HALF - 1, 1), map + HALF - 1);
	assert_null(area_write_at(a, HALF - 1, 2));
	assert_null(area_write_at(a, HALF + 1, 0));
	assert_null(area_write_at(a, UINT32_MAX, UINT32_MAX));
	assert_null(area_write_at(NULL, 0, 1));
	area_unref(a);
	assert_int_equal(n_unmapped, 1);
}

static void
test_read_half(void **state)
{
	struct area *a = new_area();
	uint32_t o[16], big;

	for (int i = 0; i < 16; i++) {
		assert_true(area_read_alloc(a, AREA_PAGE, &o[i]));
		assert_int_equal(o[i], HALF + i * AREA_PAGE);
	}
	assert_false(area_read_alloc(a, 1, &big));
	area_read_free(a, o[3], AREA_PAGE);
	area_read_free(a, o[4], AREA_PAGE);
	area_read_free(a, o[8], AREA_PAGE);
	assert_false(area_read_alloc(a, 3 * AREA_PAGE, &big));
	assert_true(area_read_alloc(a, AREA_PAGE + 1, &big));
	assert_int_equal(big, o[3]);
	assert_int_equal(area_read_room(a), AREA_PAGE);
	assert_false(area_read_alloc(a, 0, &big));
	area_unref(a);
}

static void
test_return(void **state)
{
	struct area *a = new_area();
	uint32_t o, held;

	assert_true(area_read_alloc(a, 10000, &o));
	assert_true(area_read_alloc(a, 10000, &held));
	/* Not handed out yet. */
	assert_false(area_return(a, o, 10000));
	area_read_sent(a, o, 10000);
	assert_false(area_return(a, o, 1));
	assert_false(area_return(a, o + 1, 10000));
	assert_false(area_return(a, o + AREA_PAGE, 10000 - AREA_PAGE));
	assert_false(area_return(a, held, 10000));
	assert_false(area_return(a, UINT32_MAX, 10000));
	assert_false(area_return(a, 0, 10000));
	assert_true(area_return(a, o, 10000));
	assert_false(area_return(a, o, 10000));
	area_unref(a);
}

static void
test_references(void **state)
{
	struct area *a = new_area();

	area_ref(a);
	area_unref(a);
	assert_int_equal(n_unmapped, 0);
	area_unref(a);
	assert_int_equal(n_unmapped, 1);
	assert_null(area_unref(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_half),
		cmocka_unit_test(test_read_half),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

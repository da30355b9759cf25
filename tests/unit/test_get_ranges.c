/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/ranges.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/failalloc.h"

#define WORLD 200u

static struct range
range_of(uint64_t start, uint64_t end)
{
	return (struct range){start, end};
}

static uint64_t
add(struct ranges *r, uint64_t start, uint64_t end)
{
	uint64_t fresh = UINT64_MAX;

	assert_int_equal(ranges_add(r, range_of(start, end), &fresh), 0);
	return fresh;
}

static void
cut(struct ranges *r, uint64_t start, uint64_t end)
{
	assert_int_equal(ranges_cut(r, range_of(start, end)), 0);
}

/* In order, apart, not empty, and counted. */
static void
is_sound(const struct ranges *r)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < r->n; i++) {
		assert_true(r->at[i].start < r->at[i].end);
		if (i > 0)
			assert_true(r->at[i - 1].end < r->at[i].start);
		bytes += r->at[i].end - r->at[i].start;
	}
	assert_int_equal(r->bytes, bytes);
}

static void
test_neighbours_become_one(void **state)
{
	struct ranges r = {0};

	assert_int_equal(add(&r, 10, 20), 10);
	assert_int_equal(add(&r, 30, 40), 10);
	assert_int_equal(r.n, 2);
	assert_int_equal(add(&r, 20, 30), 10);
	assert_int_equal(r.n, 1);
	assert_int_equal(add(&r, 5, 50), 15);
	assert_int_equal(r.n, 1);
	assert_int_equal(add(&r, 6, 49), 0);
	assert_int_equal(add(&r, 50, 50), 0);
	assert_int_equal(r.bytes, 45);
	ranges_done(&r);
}

static void
test_cut_in_the_middle(void **state)
{
	struct range found;
	struct ranges r = {0};

	add(&r, 0, 100);
	cut(&r, 40, 60);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.bytes, 80);
	cut(&r, 60, 60);
	cut(&r, 100, 200);
	assert_int_equal(r.bytes, 80);
	assert_true(ranges_next(&r, 39, &found));
	assert_int_equal(found.start, 39);
	assert_int_equal(found.end, 40);
	assert_true(ranges_next(&r, 40, &found));
	assert_int_equal(found.start, 60);
	assert_int_equal(found.end, 100);
	assert_false(ranges_next(&r, 100, &found));
	assert_false(ranges_next(&r, UINT64_MAX, &found));
	ranges_done(&r);
}

static void
test_gaps(void **state)
{
	struct range gap;
	struct ranges r = {0};

	assert_true(ranges_gap(&r, range_of(3, 7), &gap));
	assert_int_equal(gap.start, 3);
	assert_int_equal(gap.end, 7);
	assert_false(ranges_gap(&r, range_of(7, 7), &gap));
	add(&r, 10, 20);
	add(&r, 30, 40);
	assert_true(ranges_gap(&r, range_of(10, 50), &gap));
	assert_int_equal(gap.start, 20);
	assert_int_equal(gap.end, 30);
	assert_true(ranges_gap(&r, range_of(25, 27), &gap));
	assert_int_equal(gap.start, 25);
	assert_int_equal(gap.end, 27);
	assert_false(ranges_gap(&r, range_of(11, 20), &gap));
	assert_true(ranges_hold(&r, range_of(11, 20)));
	assert_false(ranges_hold(&r, range_of(11, 21)));
	assert_false(ranges_hold(&r, range_of(9, 11)));
	ranges_done(&r);
}

static void
test_to_the_end_of_what_can_be_counted(void **state)
{
	struct range found;
	struct ranges r = {0};

	assert_int_equal(add(&r, 0, UINT64_MAX), UINT64_MAX);
	assert_int_equal(add(&r, UINT64_MAX - 5, UINT64_MAX), 0);
	cut(&r, 5, UINT64_MAX - 5);
	assert_int_equal(r.bytes, 10);
	assert_true(ranges_gap(&r, range_of(0, UINT64_MAX), &found));
	assert_int_equal(found.start, 5);
	assert_int_equal(found.end, UINT64_MAX - 5);
	ranges_done(&r);
}

static uint64_t
count(const bool *world)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WORLD; i++)
		n += world[i];
	return n;
}

static void
same(const struct ranges *r, const bool *world)
{
	struct range found;

	is_sound(r);
	for (unsigned i = 0; i < WORLD; i++) {
		bool there = ranges_next(r, i, &found) && found.start == i;

		assert_int_equal(there, world[i]);
		assert_int_equal(ranges_hold(r, range_of(i, i + 1)), world[i]);
	}
}

/* Like a row of switches. */
static void
test_like_single_bytes(void **state)
{
	bool world[WORLD] = {false};
	struct ranges r = {0};

	srandom(1);
	for (unsigned round = 0; round < 3000; round++) {
		unsigned start = (unsigned)random() % WORLD;
		unsigned len = (unsigned)random() %
			(WORLD - start < 30 ? WORLD - start + 1 : 30);
		bool on = random() % 2 == 0;
		uint64_t before = count(world);

		memset(world + start, on, len);
		if (on)
			assert_int_equal(add(&r, start, start + len),
				count(world) - before);
		else
			cut(&r, start, start + len);
		same(&r, world);
	}
	ranges_done(&r);
}

static int
many(void *arg)
{
	struct ranges r = {0};
	int err = 0;

	for (unsigned i = 0; err == 0 && i < 100; i++) {
		uint64_t bytes = r.bytes;

		err = ranges_add(&r, range_of(2 * i, 2 * i + 1), NULL);
		if (err < 0)
			assert_int_equal(r.bytes, bytes);
	}
	if (err == 0)
		err = ranges_cut(&r, range_of(0, 50));
	is_sound(&r);
	ranges_done(&r);
	return err;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(many, NULL) > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours_become_one),
		cmocka_unit_test(test_cut_in_the_middle),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_to_the_end_of_what_can_be_counted),
		cmocka_unit_test(test_like_single_bytes),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

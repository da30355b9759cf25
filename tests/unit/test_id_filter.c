/* SPDX-License-Identifier: BSD-2-Clause */
/* A set that forgets none. */
#include "daemon/store/id_filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/failalloc.h"

#define N 100000u

static size_t
count(const struct id_filter *f, uint32_t from, uint32_t to)
{
	size_t n = 0;

	for (uint32_t i = from; i < to; i++)
		n += id_filter_may_have(f, &i, sizeof(i));
	return n;
}

static void
fill(struct id_filter *f, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		id_filter_add(f, &i, sizeof(i));
}

static void
test_none(void **state)
{
	struct id_filter f = {0};

	assert_true(id_filter_is_full(&f));
	fill(&f, 0, 1);
	assert_int_equal(count(&f, 0, 10), 10);
	id_filter_done(&f);
}

static void
test_many(void **state)
{
	struct id_filter f = {0};

	assert_int_equal(id_filter_init(&f, N), 0);
	assert_true(id_filter_room(&f) >= N);
	assert_int_equal(count(&f, 0, N), 0);
	fill(&f, 0, N);
	assert_int_equal(count(&f, 0, N), N);
	assert_in_range(f.n, N * 95 / 100, N);
	assert_false(id_filter_is_full(&f));
	assert_in_range(count(&f, N, 2 * N), 1, N / 50);
	/* What is there already is not counted. */
	fill(&f, 0, N);
	assert_in_range(f.n, N * 95 / 100, N);
	fill(&f, N, 2 * N);
	assert_true(id_filter_is_full(&f));
	assert_int_equal(count(&f, 0, 2 * N), 2 * N);
	assert_int_equal(id_filter_init(&f, 1), 0);
	assert_int_equal(count(&f, 0, 2 * N), 0);
	id_filter_done(&f);
}

static void
test_length_counts(void **state)
{
	static const uint8_t id[64] = {1, 2, 3};
	struct id_filter f = {0};

	assert_int_equal(id_filter_init(&f, 1000), 0);
	id_filter_add(&f, id, 32);
	assert_true(id_filter_may_have(&f, id, 32));
	assert_false(id_filter_may_have(&f, id, 64));
	id_filter_done(&f);
}

static void
test_no_memory(void **state)
{
	struct id_filter f = {0};
	uint32_t id = 1;

	assert_int_equal(id_filter_init(&f, 10), 0);
	failalloc_arm(1);
	assert_int_equal(id_filter_init(&f, 10), -ENOMEM);
	assert_true(failalloc_disarm());
	id_filter_add(&f, &id, sizeof(id));
	assert_true(id_filter_may_have(&f, &id, sizeof(id)));
	id_filter_done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_length_counts),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libclient/handle.h"
#include "libclient/util.h"

struct thing {
	struct pdc_object object;
	int *freed;
};

static void
thing_free(struct pdc_object *o)
{
	struct thing *t = (struct thing *)o;

	(*t->freed)++;
	free(t);
}

static struct pdc_object *
thing_new(enum pdc_kind kind, int *freed)
{
	struct thing *t = calloc(1, sizeof(*t));

	t->freed = freed;
	pdc_object_init(&t->object, kind, thing_free);
	return &t->object;
}

static void
test_life(void **state)
{
	int freed = 0;
	struct pdc_object *o = thing_new(PDC_CONTENT, &freed), *again;
	HANDLE h = pdc_handle_new(o);

	pdc_object_unref(o);
	assert_non_null(h);
	assert_int_equal((uintptr_t)h & 3, 0);
	assert_null(pdc_handle_get(h, PDC_STREAM));
	again = pdc_handle_get((HANDLE)((uintptr_t)h | 3), PDC_CONTENT);
	assert_ptr_equal(again, o);
	assert_ptr_equal(pdc_handle_close(h, PDC_CONTENT), o);
	assert_null(pdc_handle_close(h, PDC_CONTENT));
	assert_null(pdc_handle_get(h, PDC_CONTENT));
	pdc_object_unref(o);
	assert_int_equal(freed, 0);
	pdc_object_unref(again);
	assert_int_equal(freed, 1);
}

static void
test_nonsense(void **state)
{
	static const uintptr_t values[] = {0, 1, 4, 8, 0xFFFFFFFC, UINTPTR_MAX,
		UINTPTR_MAX - 3, (uintptr_t)1 << 26};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (int k = PDC_FREE; k <= PDC_STREAM; k++)
			assert_null(pdc_handle_get(
				(HANDLE)values[i], (enum pdc_kind)k));
}

/* A closed value stays dead when its place is used again. */
static void
test_reuse(void **state)
{
	int freed = 0;
	HANDLE old[100], h;

	for (int i = 0; i < 100; i++) {
		struct pdc_object *o = thing_new(PDC_EVENT, &freed);

		old[i] = pdc_handle_new(o);
		pdc_object_unref(o);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(old[i], old[k]);
		pdc_object_unref(pdc_handle_close(old[i], PDC_EVENT));
	}
	assert_int_equal(freed, 100);
	{
		struct pdc_object *o = thing_new(PDC_EVENT, &freed);

		h = pdc_handle_new(o);
		pdc_object_unref(o);
	}
	for (int i = 0; i < 100; i++)
		assert_null(pdc_handle_get(old[i], PDC_EVENT));
	pdc_object_unref(pdc_handle_close(h, PDC_EVENT));
	assert_int_equal(pdc_handle_count(), 0);
}

static void
test_many(void **state)
{
	enum { N = 5000 };
	int freed = 0;
	HANDLE *h = calloc(N, sizeof(*h));

	for (int i = 0; i < N; i++) {
		struct pdc_object *o = thing_new(PDC_PORT, &freed);

		h[i] = pdc_handle_new(o);
		pdc_object_unref(o);
	}
	assert_int_equal(pdc_handle_count(), N);
	for (int i = N; i-- > 0;)
		pdc_object_unref(pdc_handle_close(h[i], PDC_PORT));
	assert_int_equal(freed, N);
	free(h);
}

static void
test_latch(void **state)
{
	atomic_uint latch = 0;

	assert_false(pdc_latch_wait(&latch, pdc_deadline_us(1)));
	pdc_latch_open(&latch);
	assert_true(pdc_latch_wait(&latch, pdc_deadline_us(0)));
	assert_true(pdc_latch_wait(&latch, UINT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_latch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

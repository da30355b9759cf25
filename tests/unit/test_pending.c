/* SPDX-License-Identifier: BSD-2-Clause */
/* Records by address and by slot, without a connection; and the write half. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fdutil.h"
#include "libclient/area.h"
#include "libclient/pending.h"
#include "libclient/result.h"
#include "proto/ipc_msg.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/lib_daemon.h"

static const struct pdc_outcome ok = {.code = 0, .bytes = 3};

static struct pdc_pending *
start(OVERLAPPED *ov)
{
	struct pdc_pending *p = NULL;

	assert_int_equal(pdc_pending_new(&p, NULL, ov, PDC_PLAIN, NULL, 0), 0);
	return p;
}

static void
test_by_address(void **state)
{
	OVERLAPPED ov = {0};
	struct pdc_pending *p = start(&ov), *second = NULL, *found;
	DWORD bytes = 9;

	assert_int_equal(ov.Internal, PDC_INTERNAL_PENDING);
	assert_int_equal(
		pdc_pending_new(&second, NULL, &ov, PDC_PLAIN, NULL, 0),
		ERROR_INVALID_PARAMETER);
	pdc_pending_refuse_early(&ov, 87);
	assert_int_equal(ov.Internal, PDC_INTERNAL_PENDING);
	/* In use comes before what is wrong with its event. */
	ov.hEvent = (HANDLE)(uintptr_t)0x7777774;
	assert_int_equal(
		pdc_pending_new(&second, NULL, &ov, PDC_PLAIN, NULL, 0),
		ERROR_INVALID_PARAMETER);
	assert_int_equal(ov.Internal, PDC_INTERNAL_PENDING);
	found = pdc_pending_find(&ov);
	assert_ptr_equal(found, p);
	pdc_pending_unref(found);
	pdc_pending_deliver(p, &ok);
	assert_null(pdc_pending_find(&ov));
	assert_int_equal(ov.Internal, 0);
	assert_int_equal(ov.InternalHigh, 3);
	assert_true(PeerDistGetOverlappedResult(&ov, &bytes, TRUE));
	assert_int_equal(bytes, 3);
	assert_int_equal(pdc_pending_new(&p, NULL, &ov, PDC_PLAIN, NULL, 0),
		ERROR_INVALID_HANDLE);
	assert_int_equal(ov.Internal, 0xC0070006);
	assert_null(pdc_pending_find(&ov));
	ov.hEvent = NULL;
	p = start(&ov);
	pdc_pending_refuse(p, 4065);
	assert_int_equal(ov.Internal, 0xC0070FE1);
	assert_false(PeerDistGetOverlappedResult(&ov, &bytes, TRUE));
	assert_int_equal(pdw_GetLastError(), 4065);
}

static void
test_bad_results(void **state)
{
	OVERLAPPED ov = {.Internal = PDC_INTERNAL_PENDING};
	DWORD bytes;

	assert_false(PeerDistGetOverlappedResult(NULL, &bytes, TRUE));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	assert_false(PeerDistGetOverlappedResult(&ov, NULL, TRUE));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	/* Marked by hand: nobody would ever end it. */
	assert_false(PeerDistGetOverlappedResult(&ov, &bytes, TRUE));
	assert_int_equal(pdw_GetLastError(), ERROR_IO_INCOMPLETE);
}

#define MANY 20000

/* Entered and removed in different orders: the table moves its entries. */
static void
test_many_addresses(void **state)
{
	OVERLAPPED *ov = calloc(MANY, sizeof(*ov));
	struct pdc_pending **p = calloc(MANY, sizeof(*p)), *found;
	unsigned i, k;

	for (i = 0; i < MANY; i++)
		p[i] = start(&ov[i]);
	for (i = 0; i < MANY; i += 3)
		pdc_pending_deliver(p[i], &ok);
	for (i = 0; i < MANY; i++) {
		found = pdc_pending_find(&ov[i]);
		assert_ptr_equal(found, i % 3 == 0 ? NULL : p[i]);
		pdc_pending_unref(found);
	}
	for (i = 0; i < MANY; i++) {
		k = MANY - 1 - i;
		if (k % 3 != 0)
			pdc_pending_deliver(p[k], &ok);
	}
	for (i = 0; i < MANY; i++)
		assert_null(pdc_pending_find(&ov[i]));
	free(p);
	free(ov);
}

static void
test_slots(void **state)
{
	struct pdc_slots slots;
	OVERLAPPED ov[4] = {{0}};
	struct pdc_pending *p[4];
	uint64_t first;
	uint32_t pos = 0;

	pdc_slots_init(&slots, 3);
	for (int i = 0; i < 4; i++)
		p[i] = start(&ov[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pdc_slots_enter(&slots, p[i]), 0);
	assert_int_equal(
		pdc_slots_enter(&slots, p[3]), ERROR_NO_SYSTEM_RESOURCES);
	first = p[1]->id;
	assert_ptr_equal(pdc_slots_find(&slots, first), p[1]);
	assert_ptr_equal(pdc_slots_claim(&slots, first), p[1]);
	assert_null(pdc_slots_claim(&slots, first));
	assert_int_equal(pdc_slots_enter(&slots, p[3]), 0);
	assert_int_equal(ipc_op_slot(p[3]->id), ipc_op_slot(first));
	assert_int_not_equal(p[3]->id, first);
	assert_null(pdc_slots_find(&slots, first));
	assert_null(pdc_slots_find(&slots, PDC_ID_NONE));
	/* Only what was accepted is swept. */
	p[0]->accepted = p[3]->accepted = true;
	assert_ptr_equal(pdc_slots_claim_next(&slots, &pos), p[0]);
	assert_ptr_equal(pdc_slots_claim_next(&slots, &pos), p[3]);
	assert_null(pdc_slots_claim_next(&slots, &pos));
	for (int i = 0; i < 4; i++)
		pdc_pending_deliver(p[i], &ok);
	pdc_slots_done(&slots);
}

/* A slot whose generations are used up is not used again. */
static void
test_generations_end(void **state)
{
	struct pdc_slots slots;
	OVERLAPPED ov = {0};
	struct pdc_pending *p = start(&ov);

	pdc_slots_init(&slots, 10);
	pdc_slots_enter(&slots, p);
	pdc_slots_claim(&slots, p->id);
	slots.slots[0].generation = UINT32_MAX - 1;
	pdc_slots_enter(&slots, p);
	assert_int_equal(p->id, ipc_op_id(0, UINT32_MAX));
	pdc_slots_claim(&slots, p->id);
	pdc_slots_enter(&slots, p);
	assert_int_equal(p->id, ipc_op_id(1, 1));
	pdc_slots_claim(&slots, p->id);
	pdc_pending_deliver(p, &ok);
	pdc_slots_done(&slots);
}

static int
scenario(void *arg)
{
	struct pdc_slots slots;
	OVERLAPPED ov[40];
	struct pdc_pending *p[40];
	int n = 0, r = 0;

	pdc_slots_init(&slots, 1000);
	memset(ov, 0, sizeof(ov));
	for (; n < 40 && r == 0; n++) {
		if (pdc_pending_new(&p[n], NULL, &ov[n], PDC_PLAIN, NULL, 0) !=
			0) {
			r = -ENOMEM;
			break;
		}
		if (pdc_slots_enter(&slots, p[n]) != 0) {
			pdc_pending_refuse(p[n], ERROR_NOT_ENOUGH_MEMORY);
			r = -ENOMEM;
			break;
		}
	}
	while (n-- > 0) {
		pdc_slots_claim(&slots, p[n]->id);
		pdc_pending_deliver(p[n], &ok);
	}
	pdc_slots_done(&slots);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(scenario, NULL) > 0);
}

#define RACES 3000

static OVERLAPPED *race_ov[RACES];
static struct pdc_pending *race_pending[RACES];

static void *
deliver_all(void *arg)
{
	for (int i = 0; i < RACES; i++)
		pdc_pending_deliver(race_pending[i], &ok);
	return NULL;
}

/* A waiter in PeerDistGetOverlappedResult frees the OVERLAPPED as soon as it
 * returns. */
static void
test_wait_race(void **state)
{
	pthread_t thread;
	DWORD bytes;

	for (int i = 0; i < RACES; i++) {
		race_ov[i] = calloc(1, sizeof(*race_ov[i]));
		race_pending[i] = start(race_ov[i]);
	}
	pthread_create(&thread, NULL, deliver_all, NULL);
	for (int i = 0; i < RACES; i++) {
		assert_true(
			PeerDistGetOverlappedResult(race_ov[i], &bytes, TRUE));
		assert_int_equal(bytes, 3);
		free(race_ov[i]);
	}
	pthread_join(thread, NULL);
}

static void
test_area(void **state)
{
	struct pdc_area a;
	uint32_t at[8], n, more;
	int fd = fd_memfd_sealed("test", 2 * 65536);

	assert_int_equal(pdc_area_init(&a, fd, 65536, 65536), 0);
	close(fd);
	/* 16 pages, of which 4 are kept for later slices. */
	assert_int_equal(pdc_area_take(&a, 5000, 5000, false, &at[0]), 5000);
	assert_int_equal(pdc_area_take(&a, 4096, 4096, false, &at[1]), 4096);
	assert_int_equal(at[0], 0);
	assert_int_equal(at[1], 8192);
	assert_true(pdc_area_release(&a, at[0], 5000));
	assert_false(pdc_area_release(&a, at[0], 5000));
	assert_false(pdc_area_release(&a, 100, 5000));
	assert_false(pdc_area_release(&a, 65536, 4096));
	assert_false(pdc_area_release(&a, 0, UINT32_MAX));
	/* The hole of two pages is too small: behind it, up to the reserve. */
	n = pdc_area_take(&a, 65536, 3 * 4096, false, &at[2]);
	assert_int_equal(at[2], 3 * 4096);
	assert_int_equal(n, 11 * 4096);
	assert_int_equal(pdc_area_take(&a, 4096, 4096, false, &at[3]), 0);
	more = pdc_area_take(&a, 65536, 4096, true, &at[3]);
	assert_int_equal(more, 2 * 4096);
	assert_int_equal(at[3], 0);
	assert_non_null(pdc_area_read_at(&a, 65536, 65536));
	assert_null(pdc_area_read_at(&a, 65535, 1));
	assert_null(pdc_area_read_at(&a, 65537, 65536));
	assert_null(pdc_area_read_at(&a, UINT32_MAX, UINT32_MAX));
	pdc_area_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_address),
		cmocka_unit_test(test_bad_results),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_generations_end),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_wait_race),
		cmocka_unit_test(test_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

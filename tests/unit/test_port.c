/* SPDX-License-Identifier: BSD-2-Clause */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "libclient/port.h"
#include "libclient/result.h"
#include "tests/unit/lib_daemon.h"

static bool
readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

static OVERLAPPED *
as_overlapped(uintptr_t n)
{
	return (OVERLAPPED *)n; /* need not point to anything */
}

static void
test_create(void **state)
{
	HANDLE h = make_port();

	assert_null(pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, h, 0, 0));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	assert_null(pdw_CreateIoCompletionPort(h, NULL, 0, 0));
	assert_int_equal(pdw_GetLastError(), ERROR_NOT_SUPPORTED);
	assert_int_equal(pdw_WaitForSingleObject(h, 0), WAIT_FAILED);
	pdw_CloseHandle(h);
	assert_false(pdw_PostQueuedCompletionStatus(h, 0, 0, NULL));
}

static void
test_order_and_fd(void **state)
{
	HANDLE h = make_port();
	int fd;

	pdw_PostQueuedCompletionStatus(h, 1, 10, as_overlapped(100));
	fd = pdw_port_fd(h);
	assert_true(readable(fd));
	pdw_PostQueuedCompletionStatus(h, 2, 20, as_overlapped(200));
	expect_packet(h, as_overlapped(100), 10, 0, 1);
	assert_true(readable(fd));
	expect_packet(h, as_overlapped(200), 20, 0, 2);
	assert_false(readable(fd));
	expect_no_packet(h);
	pdw_PostQueuedCompletionStatus(h, 3, 30, as_overlapped(4));
	assert_true(readable(fd));
	pdw_CloseHandle(h);
	assert_int_equal(pdw_port_fd(h), -1);
}

static void
packet_done(struct pdc_packet *p)
{
	free(p);
}

static void
post_failed(HANDLE h, uintptr_t ov, DWORD code)
{
	struct pdc_port *port = pdc_port_get(h);
	struct pdc_packet *p = calloc(1, sizeof(*p));

	p->ov = as_overlapped(ov);
	p->internal = pdc_internal_of_result(code);
	p->bytes = 6;
	p->key = 5;
	p->done = packet_done;
	pdc_port_post(port, p);
	pdc_port_unref(port);
}

static void
test_failed_packets(void **state)
{
	HANDLE h = make_port();
	OVERLAPPED_ENTRY entries[4];
	ULONG n = 9;

	post_failed(h, 8, PEERDIST_ERROR_MISSING_DATA);
	expect_packet(h, as_overlapped(8), 5, PEERDIST_ERROR_MISSING_DATA, 6);
	post_failed(h, 12, ERROR_OPERATION_ABORTED);
	pdw_PostQueuedCompletionStatus(h, 1, 2, as_overlapped(16));
	assert_true(
		pdw_GetQueuedCompletionStatusEx(h, entries, 4, &n, 0, FALSE));
	assert_int_equal(n, 2);
	assert_int_equal(entries[0].Internal, 0xC0000120);
	assert_ptr_equal(entries[0].lpOverlapped, as_overlapped(12));
	assert_int_equal(entries[0].dwNumberOfBytesTransferred, 6);
	assert_int_equal(entries[1].Internal, 0);
	assert_int_equal(entries[1].lpCompletionKey, 2);
	assert_false(
		pdw_GetQueuedCompletionStatusEx(h, entries, 4, &n, 0, FALSE));
	assert_int_equal(n, 0);
	assert_int_equal(pdw_GetLastError(), WAIT_TIMEOUT);
	assert_false(
		pdw_GetQueuedCompletionStatusEx(h, entries, 0, &n, 0, FALSE));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	pdw_CloseHandle(h);
}

struct waiter {
	HANDLE port;
	DWORD error;
	OVERLAPPED *ov;
};

static void *
wait_for_packet(void *arg)
{
	struct waiter *w = arg;
	ULONG_PTR key;
	DWORD bytes;

	w->error = 0;
	if (!pdw_GetQueuedCompletionStatus(
		    w->port, &bytes, &key, &w->ov, FAKE_WAIT_MS))
		w->error = pdw_GetLastError();
	return NULL;
}

static unsigned
waiters_of(struct pdc_port *p)
{
	unsigned n;

	pthread_mutex_lock(&p->lock);
	n = p->waiters;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* Threads that wait are woken with 735 when the handle is closed. */
static void
test_closed_while_waiting(void **state)
{
	HANDLE h = make_port();
	struct pdc_port *p = pdc_port_get(h);
	struct waiter w[2] = {{.port = h}, {.port = h}};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, wait_for_packet, &w[i]);
	while (waiters_of(p) < 2)
		sched_yield();
	pdw_CloseHandle(h);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].error, ERROR_ABANDONED_WAIT_0);
		assert_null(w[i].ov);
	}
	pdc_port_unref(p);
}

static void
test_handed_to_waiters(void **state)
{
	HANDLE h = make_port();
	struct waiter w[3] = {{.port = h}, {.port = h}, {.port = h}};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, wait_for_packet, &w[i]);
	for (uintptr_t i = 1; i <= 3; i++)
		pdw_PostQueuedCompletionStatus(h, 0, 0, as_overlapped(i * 4));
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].error, 0);
		assert_non_null(w[i].ov);
	}
	expect_no_packet(h);
	pdw_CloseHandle(h);
}

static void
test_internal_numbers(void **state)
{
	static const DWORD codes[] = {0, 6, 995, 1460, 4050, 4052, 4066};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(pdc_result_of_internal(
					 pdc_internal_of_result(codes[i])),
			codes[i]);
	assert_int_equal(pdc_internal_of_result(4052), 0xC0070FD4);
	assert_int_equal(pdc_internal_of_result(1460), 0xC00705B4);
	assert_int_equal(pdc_internal_of_result(995), 0xC0000120);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_order_and_fd),
		cmocka_unit_test(test_failed_packets),
		cmocka_unit_test(test_closed_while_waiting),
		cmocka_unit_test(test_handed_to_waiters),
		cmocka_unit_test(test_internal_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

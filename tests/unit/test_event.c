/* SPDX-License-Identifier: BSD-2-Clause */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/lib_daemon.h"

static bool
readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

static void
test_manual(void **state)
{
	HANDLE h = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	int fd = pdw_event_fd(h);

	assert_true(fd >= 0);
	assert_int_equal((uintptr_t)h & 3, 0);
	assert_int_equal(pdw_WaitForSingleObject(h, 0), WAIT_TIMEOUT);
	assert_false(readable(fd));
	assert_true(pdw_SetEvent(h));
	assert_true(pdw_SetEvent(h));
	assert_true(readable(fd));
	assert_int_equal(pdw_WaitForSingleObject(h, INFINITE), WAIT_OBJECT_0);
	assert_int_equal(pdw_WaitForSingleObject(h, 0), WAIT_OBJECT_0);
	assert_true(pdw_ResetEvent(h));
	assert_true(pdw_ResetEvent(h));
	assert_false(readable(fd));
	assert_true(pdw_CloseHandle(h));
	assert_false(pdw_CloseHandle(h));
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_HANDLE);
	assert_false(pdw_SetEvent(h));
	assert_int_equal(pdw_WaitForSingleObject(h, 0), WAIT_FAILED);
	assert_int_equal(pdw_event_fd(h), -1);
}

static void
test_auto(void **state)
{
	HANDLE h =
		pdw_CreateEventExA(NULL, NULL, PDW_CREATE_EVENT_INITIAL_SET, 0);

	assert_int_equal(pdw_WaitForSingleObject(h, 0), WAIT_OBJECT_0);
	assert_int_equal(pdw_WaitForSingleObject(h, 1), WAIT_TIMEOUT);
	pdw_CloseHandle(h);
}

static void
test_names(void **state)
{
	assert_null(pdw_CreateEventA(NULL, TRUE, FALSE, "name"));
	assert_int_equal(pdw_GetLastError(), ERROR_NOT_SUPPORTED);
	assert_null(pdw_CreateEventExW(NULL, L"name", 0, 0));
	assert_int_equal(pdw_GetLastError(), ERROR_NOT_SUPPORTED);
}

static void
test_any(void **state)
{
	HANDLE h[3];

	for (int i = 0; i < 3; i++)
		h[i] = pdw_CreateEventA(NULL, FALSE, FALSE, NULL);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, FALSE, 0), WAIT_TIMEOUT);
	pdw_SetEvent(h[2]);
	pdw_SetEvent(h[1]);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, FALSE, 0), WAIT_OBJECT_0 + 1);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, FALSE, 0), WAIT_OBJECT_0 + 2);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, FALSE, 0), WAIT_TIMEOUT);
	for (int i = 0; i < 3; i++)
		pdw_CloseHandle(h[i]);
}

/* All or nothing: the events that are set stay set while one is missing. */
static void
test_all(void **state)
{
	HANDLE h[3];

	for (int i = 0; i < 3; i++)
		h[i] = pdw_CreateEventA(NULL, i == 0, FALSE, NULL);
	pdw_SetEvent(h[0]);
	pdw_SetEvent(h[1]);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, TRUE, 1), WAIT_TIMEOUT);
	assert_true(readable(pdw_event_fd(h[1])));
	pdw_SetEvent(h[2]);
	assert_int_equal(pdw_WaitForMultipleObjects(3, h, TRUE, INFINITE),
		WAIT_OBJECT_0);
	assert_true(readable(pdw_event_fd(h[0])));
	assert_false(readable(pdw_event_fd(h[1])));
	assert_false(readable(pdw_event_fd(h[2])));
	for (int i = 0; i < 3; i++)
		pdw_CloseHandle(h[i]);
}

static void
test_bad_waits(void **state)
{
	HANDLE h[65] = {NULL};

	h[0] = h[1] = pdw_CreateEventA(NULL, TRUE, TRUE, NULL);
	assert_int_equal(
		pdw_WaitForMultipleObjects(2, h, FALSE, 0), WAIT_FAILED);
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	assert_int_equal(
		pdw_WaitForMultipleObjects(0, h, FALSE, 0), WAIT_FAILED);
	assert_int_equal(
		pdw_WaitForMultipleObjects(65, h, FALSE, 0), WAIT_FAILED);
	assert_int_equal(
		pdw_WaitForMultipleObjects(3, h, FALSE, 0), WAIT_FAILED);
	assert_int_equal(pdw_GetLastError(), ERROR_INVALID_HANDLE);
	pdw_CloseHandle(h[0]);
}

#define TURNS 2000

static HANDLE ping, pong;

static void *
partner(void *arg)
{
	for (int i = 0; i < TURNS; i++) {
		pdw_WaitForSingleObject(ping, INFINITE);
		pdw_SetEvent(pong);
	}
	return NULL;
}

static void
test_two_threads(void **state)
{
	pthread_t thread;

	ping = pdw_CreateEventA(NULL, FALSE, FALSE, NULL);
	pong = pdw_CreateEventA(NULL, FALSE, FALSE, NULL);
	pthread_create(&thread, NULL, partner, NULL);
	for (int i = 0; i < TURNS; i++) {
		pdw_SetEvent(ping);
		assert_int_equal(pdw_WaitForSingleObject(pong, FAKE_WAIT_MS),
			WAIT_OBJECT_0);
	}
	pthread_join(thread, NULL);
	pdw_CloseHandle(ping);
	pdw_CloseHandle(pong);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_bad_waits),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

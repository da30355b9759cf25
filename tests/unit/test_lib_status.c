/* SPDX-License-Identifier: BSD-2-Clause */
/* The status registration: every row of its state machine. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib_daemon.h"

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_STATUS status;
	OVERLAPPED ov;
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	x->port = make_port();
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(PeerDistShutdown(x->instance), 0);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	free(x);
	return 0;
}

static void
go(struct fixture *x, PEERDIST_STATUS first)
{
	fake_status(x->fake, first);
	fake_start(x->fake);
	x->instance = start_instance();
}

static DWORD
arm(struct fixture *x)
{
	memset(&x->ov, 0, sizeof(x->ov));
	return PeerDistRegisterForStatusChangeNotification(
		x->instance, x->port, 11, &x->ov, &x->status);
}

static void
expect_status(struct fixture *x, PEERDIST_STATUS s)
{
	expect_packet(x->port, &x->ov, 11, 0, 0);
	assert_int_equal(x->status, s);
}

/* A round trip: what was sent before is handled. */
static void
settle(struct fixture *x)
{
	PEERDIST_STATUS s;

	assert_int_equal(PeerDistGetStatus(x->instance, &s), 0);
}

static void
test_fires_at_once(void **state)
{
	struct fixture *x = *state;

	go(x, PEERDIST_STATUS_AVAILABLE);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	expect_status(x, PEERDIST_STATUS_AVAILABLE);
	/* Notified: the next one waits for a change. */
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	settle(x);
	expect_no_packet(x->port);
	fake_send_status(x->fake, PEERDIST_STATUS_UNAVAILABLE);
	expect_status(x, PEERDIST_STATUS_UNAVAILABLE);
}

static void
test_baseline_disabled(void **state)
{
	struct fixture *x = *state;

	go(x, PEERDIST_STATUS_DISABLED);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	settle(x);
	expect_no_packet(x->port);
	fake_send_status(x->fake, PEERDIST_STATUS_AVAILABLE);
	expect_status(x, PEERDIST_STATUS_AVAILABLE);
}

static void
test_unobserved_flip(void **state)
{
	struct fixture *x = *state;

	go(x, PEERDIST_STATUS_AVAILABLE);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	expect_status(x, PEERDIST_STATUS_AVAILABLE);
	fake_send_status(x->fake, PEERDIST_STATUS_UNAVAILABLE);
	fake_send_status(x->fake, PEERDIST_STATUS_AVAILABLE);
	settle(x);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	settle(x);
	expect_no_packet(x->port);
}

static void
test_one_at_a_time(void **state)
{
	struct fixture *x = *state;
	PEERDIST_STATUS_INFO info = {.cbSize = sizeof(info)};
	OVERLAPPED second = {0};

	go(x, PEERDIST_STATUS_DISABLED);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	assert_int_equal(PeerDistRegisterForStatusChangeNotificationEx(
				 x->instance, x->port, 1, &second, &info),
		PEERDIST_ERROR_ALREADY_EXISTS);
	assert_int_equal(second.Internal, 0xC0070FDA);
	assert_int_equal(x->ov.Internal, STATUS_PENDING);
}

static void
test_unregister(void **state)
{
	struct fixture *x = *state;

	go(x, PEERDIST_STATUS_DISABLED);
	pdw_SetLastError(3);
	assert_int_equal(
		PeerDistUnregisterForStatusChangeNotification(x->instance), 0);
	assert_int_equal(pdw_GetLastError(), 3);
	x->status = (PEERDIST_STATUS)77;
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	assert_int_equal(
		PeerDistUnregisterForStatusChangeNotification(x->instance), 0);
	assert_int_equal(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	expect_packet(x->port, &x->ov, 11, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(x->status, 77);
}

static void
test_extended(void **state)
{
	struct fixture *x = *state;
	PEERDIST_STATUS_INFO info = {.cbSize = sizeof(info)};
	OVERLAPPED ov = {0};

	go(x, PEERDIST_STATUS_AVAILABLE);
	assert_int_equal(PeerDistGetStatusEx(x->instance, &info), 0);
	assert_int_equal(info.status, PEERDIST_STATUS_AVAILABLE);
	assert_int_equal(info.dwMinVer, 1);
	assert_int_equal(info.dwMaxVer, 2);
	memset(&info, 0, sizeof(info));
	info.cbSize = sizeof(info);
	assert_int_equal(PeerDistRegisterForStatusChangeNotificationEx(
				 x->instance, NULL, 0, &ov, &info),
		ERROR_IO_PENDING);
	expect_result(&ov, 0, 0);
	assert_int_equal(info.status, PEERDIST_STATUS_AVAILABLE);
	assert_int_equal(info.dwMaxVer, 2);
}

static void
test_without_daemon(void **state)
{
	struct fixture *x = *state;
	PEERDIST_STATUS_INFO info = {.cbSize = sizeof(info)};

	x->instance = start_instance();
	assert_int_equal(PeerDistGetStatusEx(x->instance, &info), 0);
	assert_int_equal(info.status, PEERDIST_STATUS_UNAVAILABLE);
	assert_int_equal(info.dwMinVer, 1);
	assert_int_equal(info.dwMaxVer, 2);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	expect_status(x, PEERDIST_STATUS_UNAVAILABLE);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	expect_no_packet(x->port);
	/* It appears: found without anybody calling. */
	fake_start(x->fake);
	expect_status(x, PEERDIST_STATUS_AVAILABLE);
}

static bool
hold_hello(struct fake *f, struct ipc_msg *m, void *arg)
{
	return m->header.type == IPC_HELLO;
}

/* A daemon that accepts and says nothing must not hold up the application. */
static void
test_silent_daemon(void **state)
{
	struct fixture *x = *state;
	PEERDIST_STATUS s = PEERDIST_STATUS_AVAILABLE;
	uint64_t before;

	fake_hook_set(x->fake, hold_hello, NULL);
	go(x, PEERDIST_STATUS_AVAILABLE);
	before = pdw_GetTickCount64();
	assert_int_equal(PeerDistGetStatus(x->instance, &s), 0);
	assert_int_equal(s, PEERDIST_STATUS_UNAVAILABLE);
	assert_true(pdw_GetTickCount64() - before < 8000);
}

static void
test_shutdown_ends_it(void **state)
{
	struct fixture *x = *state;

	go(x, PEERDIST_STATUS_DISABLED);
	assert_int_equal(arm(x), ERROR_IO_PENDING);
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	expect_packet(x->port, &x->ov, 11, ERROR_OPERATION_ABORTED, 0);
	x->instance = start_instance();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_fires_at_once),
		T(test_baseline_disabled),
		T(test_unobserved_flip),
		T(test_one_at_a_time),
		T(test_unregister),
		T(test_extended),
		T(test_without_daemon),
		T(test_silent_daemon),
		T(test_shutdown_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

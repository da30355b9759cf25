/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an instance, and fork. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libclient/handle.h"
#include "tests/unit/lib_daemon.h"

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	uint8_t buffer[16];
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	fake_start(x->fake);
	x->port = make_port();
	x->instance = start_instance();
	x->content = open_content(x->instance, x->port, 7);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	PeerDistShutdown(x->instance);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	free(x);
	assert_int_equal(pdc_handle_count(), 0);
	return 0;
}

static void
test_aborts_all(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov[5] = {{0}};

	for (int i = 0; i < 5; i++)
		assert_int_equal(PeerDistClientStreamRead(x->instance,
					 x->content, 16, x->buffer, 1, &ov[i]),
			ERROR_IO_PENDING);
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	for (int i = 0; i < 5; i++) {
		assert_true(HasOverlappedIoCompleted(&ov[i]));
		expect_packet(x->port, &ov[i], 7, ERROR_OPERATION_ABORTED, 0);
	}
	assert_int_equal(PeerDistClientCloseContent(x->instance, x->content),
		ERROR_INVALID_HANDLE);
	assert_int_equal(PeerDistShutdown(x->instance), ERROR_INVALID_HANDLE);
}

static bool
swallow_end(struct fake *f, struct ipc_msg *m, void *arg)
{
	return m->header.type == IPC_SESSION_END;
}

static void *
shut_down(void *arg)
{
	struct fixture *x = arg;

	return (void *)(uintptr_t)PeerDistShutdown(x->instance);
}

/* While one thread is inside Shutdown. */
static void
test_racing_calls(void **state)
{
	struct fixture *x = *state;
	PEERDIST_STATUS s;
	OVERLAPPED ov = {0};
	pthread_t thread;
	void *code;

	fake_hook_set(x->fake, swallow_end, NULL);
	pthread_create(&thread, NULL, shut_down, x);
	fake_wait_seen(x->fake, IPC_SESSION_END, 1);
	assert_int_equal(PeerDistShutdown(x->instance),
		PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS);
	assert_int_equal(PeerDistGetStatus(x->instance, &s),
		PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS);
	assert_int_equal(PeerDistClientStreamRead(x->instance, x->content, 16,
				 x->buffer, 1, &ov),
		PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS);
	assert_int_equal(PeerDistClientCloseContent(x->instance, x->content),
		PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS);
	fake_reply(x->fake, IPC_REPLY, 2, 0);
	pthread_join(thread, &code);
	assert_int_equal((uintptr_t)code, 0);
}

static void
test_daemon_away(void **state)
{
	struct fixture *x = *state;

	fake_stop(x->fake);
	assert_int_equal(PeerDistShutdown(x->instance), 0);
}

/* What the child sees; its exit status is the number of the first surprise. */
static int
in_child(struct fixture *x, OVERLAPPED *ov)
{
	PEERDIST_INSTANCE_HANDLE own;
	PEERDIST_STATUS s;
	ULONG_PTR key;
	DWORD bytes;
	OVERLAPPED *got;

	if (PeerDistGetStatus(x->instance, &s) != ERROR_INVALID_HANDLE)
		return 1;
	if (PeerDistClientCancelAsyncOperation(x->instance, x->content, ov) !=
		ERROR_INVALID_HANDLE)
		return 2;
	if (PeerDistShutdown(x->instance) != ERROR_INVALID_HANDLE)
		return 3;
	if (pdw_GetQueuedCompletionStatus(x->port, &bytes, &key, &got, 0) ||
		pdw_GetLastError() != ERROR_INVALID_HANDLE)
		return 4;
	if (PeerDistStartup(PEERDIST_VERSION, &own, NULL) != 0)
		return 5;
	if (own == x->instance)
		return 6;
	if (PeerDistGetStatus(own, &s) != 0 || s != PEERDIST_STATUS_UNAVAILABLE)
		return 7;
	return PeerDistShutdown(own) == 0 ? 0 : 8;
}

static void
test_fork(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov = {0};
	int status;
	pid_t pid;

#ifdef __SANITIZE_THREAD__
	puts("skip: the thread sanitizer allows no threads after fork");
	skip();
#endif
	if (getenv("FEW") != NULL) {
		puts("skip: valgrind gives a child the status of its leaks");
		skip();
	}
	assert_int_equal(PeerDistClientStreamRead(x->instance, x->content, 16,
				 x->buffer, 1, &ov),
		ERROR_IO_PENDING);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("PEERDIST_SOCKET", "/nonexistent/socket", 1);
		_exit(in_child(x, &ov));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The parent has lost nothing. */
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &ov),
		0);
	expect_packet(x->port, &ov, 7, ERROR_OPERATION_ABORTED, 0);
}

static void
test_thousands_of_handles(void **state)
{
	struct fixture *x = *state;
	HANDLE *h = calloc(3000, sizeof(*h));

	for (int i = 0; i < 3000; i++)
		h[i] = open_content(x->instance, x->port, 0);
	for (int i = 0; i < 3000; i += 2)
		assert_int_equal(
			PeerDistClientCloseContent(x->instance, h[i]), 0);
	/* The rest dies with the instance. */
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	assert_int_equal(pdc_handle_count(), 1);
	free(h);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_aborts_all),
		T(test_racing_calls),
		T(test_daemon_away),
		T(test_fork),
		T(test_thousands_of_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon goes away at every stage of a call, and comes back. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib_daemon.h"

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	uint8_t buffer[64];
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

	assert_int_equal(PeerDistShutdown(x->instance), 0);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	free(x);
	return 0;
}

static DWORD
read_async(struct fixture *x, OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	return PeerDistClientBlockRead(
		x->instance, x->content, sizeof(x->buffer), x->buffer, 1, ov);
}

static void
wait_status(struct fixture *x, PEERDIST_STATUS wanted)
{
	PEERDIST_STATUS status = PEERDIST_STATUS_DISABLED;
	OVERLAPPED ov;
	DWORD bytes;

	/* Each registration ends with the next change. */
	while (status != wanted) {
		memset(&ov, 0, sizeof(ov));
		assert_int_equal(PeerDistRegisterForStatusChangeNotification(
					 x->instance, NULL, 0, &ov, &status),
			ERROR_IO_PENDING);
		assert_true(pdw_GetOverlappedResultEx(
			NULL, &ov, &bytes, FAKE_WAIT_MS, FALSE));
	}
}

static void
test_pending_invalidated(void **state)
{
	struct fixture *x = *state;
	PEERDIST_CONTENT_TAG tag = {{0}};
	OVERLAPPED ov[3], late;
	HANDLE other;

	for (int i = 0; i < 3; i++)
		assert_int_equal(read_async(x, &ov[i]), ERROR_IO_PENDING);
	fake_stop(x->fake);
	for (int i = 0; i < 3; i++)
		expect_packet(
			x->port, &ov[i], 7, PEERDIST_ERROR_INVALIDATED, 0);
	/* Away: 4065 for everything that needs the daemon. */
	assert_int_equal(
		read_async(x, &late), PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &ov[0]),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	assert_int_equal(
		PeerDistClientOpenContent(x->instance, &tag, NULL, 0, &other),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	/* Back: the old handle is of no use, a new one works. */
	fake_start(x->fake);
	other = open_content(x->instance, x->port, 8);
	assert_int_equal(read_async(x, &late), PEERDIST_ERROR_INVALIDATED);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, NULL),
		PEERDIST_ERROR_INVALIDATED);
	fake_send_status(x->fake, PEERDIST_STATUS_DISABLED);
	assert_int_equal(PeerDistClientCloseContent(x->instance, other), 0);
	assert_int_equal(read_async(x, &late), ERROR_ACCESS_DISABLED_BY_POLICY);
	assert_int_equal(
		PeerDistClientCloseContent(x->instance, x->content), 0);
	expect_no_packet(x->port);
}

static bool
drop_on(struct fake *f, struct ipc_msg *m, void *arg)
{
	static const uint8_t garbage[16] = {0xFF, 0xFF, 0xFF, 0xFF};
	const enum ipc_type *type = arg;

	if (m->header.type != *type)
		return false;
	/* The library ends the connection itself, at a known place. */
	fake_send_bytes(f, garbage, sizeof(garbage));
	return true;
}

/* No ACK: the call fails and nothing completes. */
static void
test_lost_before_ack(void **state)
{
	struct fixture *x = *state;
	enum ipc_type type = IPC_SUBMIT_BLOCK_READ;
	OVERLAPPED ov;

	fake_hook_set(x->fake, drop_on, &type);
	assert_int_equal(
		read_async(x, &ov), PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	assert_int_equal(ov.Internal, 0xC0070FE1);
	expect_no_packet(x->port);
	fake_hook_set(x->fake, NULL, NULL);
}

/* Lost during a cancel: the operation ends first. */
static void
test_lost_in_cancel(void **state)
{
	struct fixture *x = *state;
	enum ipc_type type = IPC_CLIENT_CANCEL;
	OVERLAPPED ov;

	assert_int_equal(read_async(x, &ov), ERROR_IO_PENDING);
	fake_hook_set(x->fake, drop_on, &type);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &ov),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	assert_true(HasOverlappedIoCompleted(&ov));
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_INVALIDATED, 0);
	fake_hook_set(x->fake, NULL, NULL);
}

static void
test_lost_in_close(void **state)
{
	struct fixture *x = *state;
	enum ipc_type type = IPC_CONTENT_CLOSE;
	OVERLAPPED ov;

	assert_int_equal(read_async(x, &ov), ERROR_IO_PENDING);
	fake_hook_set(x->fake, drop_on, &type);
	assert_int_equal(
		PeerDistClientCloseContent(x->instance, x->content), 0);
	expect_packet(x->port, &ov, 7, PEERDIST_ERROR_INVALIDATED, 0);
	fake_hook_set(x->fake, NULL, NULL);
}

static void
test_lost_in_shutdown(void **state)
{
	struct fixture *x = *state;
	enum ipc_type type = IPC_SESSION_END;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	OVERLAPPED ov = {0};

	fake_drop(x->fake); /* one client at a time */
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	instance = start_instance();
	content = open_content(instance, x->port, 1);
	assert_int_equal(PeerDistClientBlockRead(
				 instance, content, 4, x->buffer, 1, &ov),
		ERROR_IO_PENDING);
	fake_hook_set(x->fake, drop_on, &type);
	assert_int_equal(PeerDistShutdown(instance), 0);
	expect_packet(x->port, &ov, 1, PEERDIST_ERROR_INVALIDATED, 0);
	fake_hook_set(x->fake, NULL, NULL);
	x->instance = start_instance();
}

/* A status registration survives: it is the news. */
static void
test_status_through_outage(void **state)
{
	struct fixture *x = *state;

	wait_status(x, PEERDIST_STATUS_AVAILABLE);
	fake_stop(x->fake);
	wait_status(x, PEERDIST_STATUS_UNAVAILABLE);
	fake_start(x->fake);
	wait_status(x, PEERDIST_STATUS_AVAILABLE);
}

#define LOSSES  30
#define CALLERS 3

struct caller {
	struct fixture *x;
	unsigned accepted;
	unsigned failed;
	atomic_bool *stop;
	HANDLE port;
};

static void *
call_on(void *arg)
{
	struct caller *c = arg;
	PEERDIST_CONTENT_TAG tag = {{0}};
	uint8_t buffer[8];
	HANDLE h;

	while (!atomic_load(c->stop)) {
		if (PeerDistClientOpenContent(
			    c->x->instance, &tag, c->port, 9, &h) != 0)
			continue;
		for (int i = 0; i < 20; i++) {
			OVERLAPPED *ov = calloc(1, sizeof(*ov));

			if (PeerDistClientBlockRead(c->x->instance, h, 8,
				    buffer, 1, ov) == ERROR_IO_PENDING) {
				c->accepted++;
			} else {
				free(ov);
				c->failed++;
			}
		}
		PeerDistClientCloseContent(c->x->instance, h);
	}
	return NULL;
}

/* Connections break under several callers: each accepted operation completes
 * once, whatever it met. */
static void
test_losses(void **state)
{
	struct fixture *x = *state;
	struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	atomic_bool stop = false;
	unsigned owed = 0;
	HANDLE port = make_port();
	OVERLAPPED *ov;
	ULONG_PTR key;
	DWORD bytes;

	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] =
			(struct caller){.x = x, .stop = &stop, .port = port};
		pthread_create(&threads[i], NULL, call_on, &callers[i]);
	}
	for (unsigned i = 1; i <= LOSSES; i++) {
		fake_wait_seen(x->fake, IPC_SUBMIT_BLOCK_READ, i * 50);
		fake_drop(x->fake);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < CALLERS; i++) {
		pthread_join(threads[i], NULL);
		owed += callers[i].accepted;
	}
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	for (; owed > 0; owed--) {
		pdw_GetQueuedCompletionStatus(port, &bytes, &key, &ov, 0);
		assert_non_null(ov);
		free(ov);
	}
	expect_no_packet(port);
	pdw_CloseHandle(port);
	x->instance = start_instance();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_pending_invalidated),
		T(test_lost_before_ack),
		T(test_lost_in_cancel),
		T(test_lost_in_close),
		T(test_lost_in_shutdown),
		T(test_status_through_outage),
		T(test_losses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

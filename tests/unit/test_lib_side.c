/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has the receive side, and what is promised when a call returns: looked
 * at from inside, since the moments in question are too short from outside.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "libclient/conn.h"
#include "tests/unit/lib_daemon.h"

/* For what must not happen. */
#define MOMENT_MS 200

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	struct pdc_instance *inside;
	struct pdc_link *link;
	uint8_t buffer[16];
	OVERLAPPED ov;
	PEERDIST_STATUS status;
	sem_t go;
};

static atomic_bool no_memory;

void *__real_mremap(void *, size_t, size_t, int, ...);
void *__wrap_mremap(void *, size_t, size_t, int, ...);

void *
__wrap_mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
	if (!atomic_load(&no_memory))
		return __real_mremap(old, old_size, new_size, flags);
	errno = ENOMEM;
	return MAP_FAILED;
}

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	fake_start(x->fake);
	x->port = make_port();
	x->instance = start_instance();
	x->content = open_content(x->instance, x->port, 7);
	x->inside = (struct pdc_instance *)pdc_handle_get(
		x->instance, PDC_INSTANCE);
	assert_non_null(x->inside);
	x->link = pdc_instance_link(x->inside);
	assert_non_null(x->link);
	sem_init(&x->go, 0, 0);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	atomic_store(&no_memory, false);
	pdc_link_unref(x->link);
	pdc_instance_unref(x->inside);
	PeerDistShutdown(x->instance);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	sem_destroy(&x->go);
	free(x);
	assert_int_equal(pdc_handle_count(), 0);
	return 0;
}

static void
start_read(struct fixture *x, OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	assert_int_equal(PeerDistClientStreamRead(
				 x->instance, x->content, 16, x->buffer, 1, ov),
		ERROR_IO_PENDING);
}

/* A call to which the side was handed, and which then does not wait: the
 * completion behind it must find somebody. */
static void
test_handed_on(void **state)
{
	struct fixture *x = *state;
	struct pdc_call first = {0}, second = {0};

	start_read(x, &x->ov);
	assert_int_equal(pdc_call_begin(x->link, &first), 0);
	assert_true(first.receiver);
	assert_int_equal(pdc_call_begin(x->link, &second), 0);
	assert_false(second.receiver);
	pdc_call_drop(x->link, &first);
	pdc_call_drop(x->link, &second);
	fake_complete_nth(x->fake, 0, PEERDIST_ERROR_NO_MORE);
	expect_packet(x->port, &x->ov, 7, PEERDIST_ERROR_NO_MORE, 0);
}

static void *
wait_status(void *arg)
{
	struct fixture *x = arg;
	PEERDIST_STATUS status;

	return (void *)(uintptr_t)PeerDistGetStatus(x->instance, &status);
}

/* Likewise, and a third one does wait. */
static void
test_handed_on_to_waiting(void **state)
{
	struct fixture *x = *state;
	struct pdc_call first = {0}, second = {0};
	pthread_t thread;
	void *code;

	assert_int_equal(pdc_call_begin(x->link, &first), 0);
	pthread_create(&thread, NULL, wait_status, x);
	fake_wait_seen(x->fake, IPC_STATUS_GET, 1);
	assert_int_equal(pdc_call_begin(x->link, &second), 0);
	pdc_call_drop(x->link, &first);
	pdc_call_drop(x->link, &second);
	pthread_join(thread, &code);
	assert_int_equal((uintptr_t)code, 0);
}

static bool
hold_first_feed(struct fake *f, struct ipc_msg *m, void *arg)
{
	struct fixture *x = arg;

	if (m->header.type == IPC_FEED && fake_seen(f, IPC_FEED) == 0)
		sem_wait(&x->go);
	return false;
}

static struct timespec
in_ms(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += (long)ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

static bool
socket_full(struct pdc_link *l)
{
	bool full;

	pthread_mutex_lock(&l->send_lock);
	full = l->full;
	pthread_mutex_unlock(&l->send_lock);
	return full;
}

/* Somebody else waits for the side, for a moment. */
static bool
side_wanted(struct pdc_link *l)
{
	uint64_t end = pdw_GetTickCount64() + MOMENT_MS;
	bool wanted = false;

	while (!wanted && pdw_GetTickCount64() < end) {
		pthread_mutex_lock(&l->recv_lock);
		wanted = l->n_free_waiters > 0;
		pthread_mutex_unlock(&l->recv_lock);
		sched_yield();
	}
	return wanted;
}

/* The socket is full, a caller has the receive side, and the reader thread is
 * woken for something to receive: it must still send on. */
static void
test_reader_sends_on(void **state)
{
	struct fixture *x = *state;
	Pd__Slice slice = PD__SLICE__INIT;
	uint8_t data[4096] = {0};
	const unsigned n = 200;

	fake_hook_set(x->fake, hold_first_feed, x);
	slice.inline_data.data = data;
	slice.inline_data.len = slice.length = sizeof(data);
	pdc_link_take(x->link);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pdc_link_send(x->link, IPC_FEED, 1,
					 &slice.base, -1, PDC_SEND_NOW),
			0);
	assert_true(socket_full(x->link));
	fake_send_status(x->fake, PEERDIST_STATUS_AVAILABLE);
	assert_false(side_wanted(x->link));
	sem_post(&x->go);
	fake_wait_seen(x->fake, IPC_FEED, n);
	pdc_link_give(x->link);
	fake_hook_set(x->fake, NULL, NULL);
}

/* Until the next frame of any size needs memory. */
static void
fill_queue(struct fixture *x)
{
	Pd__Range range = PD__RANGE__INIT;
	DWORD code = 0;

	range.offset = FAKE_WRITE_SIZE;
	range.length = 4096;
	atomic_store(&no_memory, true);
	for (unsigned i = 0; code == 0 && i < 100000; i++)
		code = pdc_link_send(x->link, IPC_RETURN, 0, &range.base, -1,
			PDC_SEND_QUEUE);
	assert_int_equal(code, ERROR_NOT_ENOUGH_MEMORY);
}

/* A close keeps its promise: the daemon hears of it, and what was pending is
 * delivered. */
static void
test_close_without_memory(void **state)
{
	struct fixture *x = *state;
	PEERDIST_CONTENT_TAG tag = {{0}};
	OVERLAPPED refused = {0};
	HANDLE other;

	start_read(x, &x->ov);
	fill_queue(x);
	/* Others are told, and nothing is lost by that. */
	assert_int_equal(PeerDistClientStreamRead(x->instance, x->content, 16,
				 x->buffer, 1, &refused),
		ERROR_NOT_ENOUGH_MEMORY);
	assert_int_equal(
		PeerDistClientOpenContent(x->instance, &tag, NULL, 0, &other),
		ERROR_NOT_ENOUGH_MEMORY);
	assert_int_equal(
		PeerDistClientCloseContent(x->instance, x->content), 0);
	fake_wait_seen(x->fake, IPC_CONTENT_CLOSE, 1);
	expect_packet(x->port, &x->ov, 7, ERROR_OPERATION_ABORTED, 0);
	expect_no_packet(x->port);
}

/* The connection ends instead; the code is the same. */
static void
test_shutdown_without_memory(void **state)
{
	struct fixture *x = *state;

	start_read(x, &x->ov);
	fill_queue(x);
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	expect_packet(x->port, &x->ov, 7, ERROR_OPERATION_ABORTED, 0);
}

static void *
close_content(void *arg)
{
	struct fixture *x = arg;

	return (void *)(uintptr_t)PeerDistClientCloseContent(
		x->instance, x->content);
}

/* Somebody else is delivering what ends with the connection: a close does not
 * return before that is done, or the caller would free what is being used. */
static void
test_close_waits(void **state)
{
	struct fixture *x = *state;
	struct pdc_port *port = pdc_port_get(x->port);
	struct timespec ts;
	pthread_t thread;
	OVERLAPPED ov[2];
	void *code;
	int r;

	start_read(x, &ov[0]);
	start_read(x, &ov[1]);
	/* Delivery stops at the first packet. */
	pthread_mutex_lock(&port->lock);
	fake_drop(x->fake);
	while (!atomic_load(&x->link->dead) ||
		!HasOverlappedIoCompleted(&ov[0]))
		sched_yield();
	pthread_create(&thread, NULL, close_content, x);
	ts = in_ms(MOMENT_MS);
	r = pthread_timedjoin_np(thread, &code, &ts);
	assert_false(HasOverlappedIoCompleted(&ov[1]));
	pthread_mutex_unlock(&port->lock);
	assert_int_equal(r, ETIMEDOUT);
	pthread_join(thread, &code);
	assert_int_equal((uintptr_t)code, 0);
	assert_true(HasOverlappedIoCompleted(&ov[1]));
	pdc_port_unref(port);
	expect_packet(x->port, &ov[0], 7, PEERDIST_ERROR_INVALIDATED, 0);
	expect_packet(x->port, &ov[1], 7, PEERDIST_ERROR_INVALIDATED, 0);
}

static bool
swallow_hello(struct fake *f, struct ipc_msg *m, void *arg)
{
	return m->header.type == IPC_HELLO;
}

static void *
register_status(void *arg)
{
	struct fixture *x = arg;

	return (void *)(uintptr_t)PeerDistRegisterForStatusChangeNotification(
		x->instance, NULL, 0, &x->ov, &x->status);
}

/* A registration that is made while Shutdown runs is refused, or ends with it;
 * it is never left behind. */
static void
test_register_in_shutdown(void **state)
{
	struct fixture *x = *state;
	pthread_t thread;
	OVERLAPPED news = {0};
	void *code;

	fake_hook_set(x->fake, swallow_hello, x);
	fake_drop(x->fake);
	/* Takes the news, so that the next registration stays armed. */
	for (;;) {
		memset(&news, 0, sizeof(news));
		assert_int_equal(
			PeerDistRegisterForStatusChangeNotification(
				x->instance, NULL, 0, &news, &x->status),
			ERROR_IO_PENDING);
		expect_result(&news, 0, 0);
		if (x->status == PEERDIST_STATUS_UNAVAILABLE)
			break;
	}
	pthread_create(&thread, NULL, register_status, x);
	while (__atomic_load_n(&x->ov.Internal, __ATOMIC_ACQUIRE) !=
		(ULONG_PTR)STATUS_PENDING)
		sched_yield();
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	pthread_join(thread, &code);
	assert_true(HasOverlappedIoCompleted(&x->ov));
	assert_true((uintptr_t)code == ERROR_IO_PENDING ||
		(uintptr_t)code == PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS);
	fake_hook_set(x->fake, NULL, NULL);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_handed_on),
		T(test_handed_on_to_waiting),
		T(test_reader_sends_on),
		T(test_close_without_memory),
		T(test_shutdown_without_memory),
		T(test_close_waits),
		T(test_register_in_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

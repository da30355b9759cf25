/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds of every size: inline, in the write half, slice by slice, with a full
 * write half, and cancelled on the way. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/lib_daemon.h"

#define ADDS 12

/* What the daemon has of one add. */
struct received {
	uint64_t id;
	uint32_t total;
	uint32_t have;
	uint8_t *data;
};

/* Takes what it gets and asks for more, unless it is told to hold back. */
struct taker {
	struct received adds[ADDS];
	unsigned n;
	bool hold; /* release nothing, want nothing */
	unsigned inline_slices;
	Pd__Range held[ADDS];
	unsigned n_held;
};

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content;
	struct taker taker;
	uint8_t *data;
};

#define DATA_SIZE (6u * 1024 * 1024 + 123)

static void
take_slice(
	struct fake *f, struct taker *t, struct received *a, const Pd__Slice *s)
{
	Pd__Range range = PD__RANGE__INIT;

	assert_true(s->length <= a->total - a->have);
	if (s->inline_data.len > 0) {
		t->inline_slices++;
		memcpy(a->data + a->have, s->inline_data.data, s->length);
	} else {
		assert_true(s->offset + s->length <= FAKE_WRITE_SIZE);
		memcpy(a->data + a->have, fake_area(f) + s->offset, s->length);
		/* What the library uses again must not be what it sent. */
		memset(fake_area(f) + s->offset, 0xEE, s->length);
		range.offset = s->offset;
		range.length = s->length;
		if (t->hold)
			t->held[t->n_held++] = range;
		else
			fake_send(f, IPC_RELEASED, a->id, &range.base);
	}
	a->have += s->length;
}

static void
want_more(struct fake *f, struct received *a)
{
	Pd__Need need = PD__NEED__INIT;

	if (a->have == a->total) {
		fake_complete(f, a->id, 0, a->total);
		return;
	}
	need.length = IPC_SLICE_MAX;
	fake_send(f, IPC_NEED, a->id, &need.base);
}

static bool
take(struct fake *f, struct ipc_msg *m, void *arg)
{
	struct taker *t = arg;
	struct received *a = NULL;

	if (m->header.type == IPC_SUBMIT_DATA_ADD) {
		a = &t->adds[t->n++];
		a->id = m->header.id;
		a->total = m->u.submit_add->length;
		a->data = malloc(a->total);
		fake_reply(f, IPC_ACK, a->id, 0);
		take_slice(f, t, a, m->u.submit_add->slice);
	} else if (m->header.type == IPC_FEED) {
		for (unsigned i = 0; i < t->n; i++)
			if (t->adds[i].id == m->header.id)
				a = &t->adds[i];
		assert_non_null(a);
		take_slice(f, t, a, m->u.slice);
	}
	if (a != NULL && !t->hold)
		want_more(f, a);
	return a != NULL;
}

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->fake = fake_new();
	x->data = malloc(DATA_SIZE);
	for (uint32_t i = 0; i < DATA_SIZE; i++)
		x->data[i] = (uint8_t)(i * 2654435761u >> 24);
	fake_hook_set(x->fake, take, &x->taker);
	*state = x;
	return 0;
}

static void
go(struct fixture *x)
{
	fake_start(x->fake);
	x->port = make_port();
	x->instance = start_instance();
	x->content = open_content(x->instance, x->port, 7);
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(PeerDistShutdown(x->instance), 0);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	for (unsigned i = 0; i < x->taker.n; i++)
		free(x->taker.adds[i].data);
	free(x->data);
	free(x);
	return 0;
}

static void
add(struct fixture *x, uint32_t len, OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	assert_int_equal(PeerDistClientAddData(
				 x->instance, x->content, len, x->data, ov),
		ERROR_IO_PENDING);
}

static void
check_received(struct fixture *x, unsigned n, uint32_t len)
{
	assert_int_equal(x->taker.adds[n].have, len);
	assert_memory_equal(x->taker.adds[n].data, x->data, len);
}

static void
test_sizes(void **state)
{
	static const uint32_t sizes[] = {1, 4096, 4097, 65536, IPC_SLICE_MAX,
		IPC_SLICE_MAX + 1, DATA_SIZE};
	struct fixture *x = *state;
	OVERLAPPED ov;

	go(x);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		add(x, sizes[i], &ov);
		expect_packet(x->port, &ov, 7, 0, sizes[i]);
		check_received(x, i, sizes[i]);
	}
	/* 1, 4096, and the single last byte of a slice more one. */
	assert_int_equal(x->taker.inline_slices, 3 + 1);
}

static void
test_without_area(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	fake_no_area(x->fake);
	go(x);
	add(x, 100000, &ov);
	expect_packet(x->port, &ov, 7, 0, 100000);
	check_received(x, 0, 100000);
	assert_int_equal(x->taker.inline_slices, 25);
}

/* More first slices than the write half holds: nobody waits, the late ones
 * start inline; everything arrives when the ranges come back. */
static void
test_full(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov[8];
	unsigned n;

	x->taker.hold = true;
	go(x);
	for (unsigned i = 0; i < 8; i++)
		add(x, IPC_SLICE_MAX, &ov[i]);
	fake_wait_seen(x->fake, IPC_SUBMIT_DATA_ADD, 8);
	assert_true(x->taker.n_held >= 3);
	assert_int_equal(x->taker.inline_slices + x->taker.n_held, 8);
	/* Those that started inline want more than there is room for. */
	n = x->taker.n_held;
	x->taker.hold = false;
	for (unsigned i = n; i < 8; i++)
		want_more(x->fake, &x->taker.adds[i]);
	for (unsigned i = 0; i < n; i++) {
		fake_send(x->fake, IPC_RELEASED, x->taker.adds[i].id,
			&x->taker.held[i].base);
		want_more(x->fake, &x->taker.adds[i]);
	}
	for (unsigned i = 0; i < 8; i++) {
		expect_result(&ov[i], 0, IPC_SLICE_MAX);
		check_received(x, i, IPC_SLICE_MAX);
	}
}

/* An add that is cancelled while it waits for room; its buffer is freed at
 * once, and the range comes back later. */
static void
test_cancelled_hungry(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov[8], last = {0};
	PEERDIST_STATUS status;
	uint8_t *buffer = malloc(2 * IPC_SLICE_MAX);
	unsigned n;

	x->taker.hold = true;
	memset(buffer, 1, 2 * IPC_SLICE_MAX);
	go(x);
	for (unsigned i = 0; i < 7; i++)
		add(x, IPC_SLICE_MAX, &ov[i]);
	assert_int_equal(PeerDistClientAddData(x->instance, x->content,
				 2 * IPC_SLICE_MAX, buffer, &last),
		ERROR_IO_PENDING);
	fake_wait_seen(x->fake, IPC_SUBMIT_DATA_ADD, 8);
	n = x->taker.n_held;
	for (unsigned i = n; i < 8; i++)
		want_more(x->fake, &x->taker.adds[i]);
	/* A round trip: all of that has been handled. */
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, &last),
		0);
	free(buffer);
	expect_packet(x->port, &last, 7, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(PeerDistClientCancelAsyncOperation(
				 x->instance, x->content, NULL),
		0);
	/* What was fed before that is seen when this is. */
	assert_int_equal(PeerDistGetStatus(x->instance, &status), 0);
	fake_wait_seen(x->fake, IPC_STATUS_GET, 1);
	/* Ranges come back after the operations have ended, too. */
	for (unsigned i = 0; i < x->taker.n_held; i++)
		fake_send(x->fake, IPC_RELEASED, 0, &x->taker.held[i].base);
	assert_int_equal(PeerDistGetStatus(x->instance, &status), 0);
	assert_int_equal(status, PEERDIST_STATUS_AVAILABLE);
	for (unsigned i = 0; i < 7; i++)
		expect_result(&ov[i], ERROR_OPERATION_ABORTED, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_sizes),
		T(test_without_area),
		T(test_full),
		T(test_cancelled_hungry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

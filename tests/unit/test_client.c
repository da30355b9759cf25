/* SPDX-License-Identifier: BSD-2-Clause */
/* What a connection does when its other end does not behave, and who is served
 * when. */
#include "daemon/api/client.h"

#include <string.h>
#include <sys/socket.h>

#include "common/close.h"
#include "common/macros.h"
#include "tests/unit/api_harness.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/lingering.h"

/* The limits of clients that come from now on. */
static struct client_limits *
limits(void)
{
	return &h.set.limits;
}

/* n STATUS_GETs as far as they go into the socket; how many did. */
static uint64_t
put_many(struct end *e, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(ipc_chan_queue(e->chan, IPC_STATUS_GET, i,
					 NULL, NULL, 0),
			0);
	return ipc_chan_flush(e->chan) == 0;
}

static void
turns(int n)
{
	while (n-- > 0)
		turn();
}

static void
each_has_his_share_of_a_pass(void **state)
{
	struct end busy, other;
	uint64_t frames;

	limits()->frames_per_pass = 16;
	busy = session_as(ALICE);
	other = session_as(BOB);
	frames = h.set.counters.frames;
	assert_true(put_many(&busy, 3000));
	turn();
	assert_int_equal(h.set.counters.frames - frames, 16);
	put(&other, IPC_STATUS_GET, 7, NULL);
	turn();
	/* One share for the busy one, or two, and the other one's frame. */
	assert_in_range(h.set.counters.frames - frames, 17, 49);
	assert_int_equal(get_code(&other, IPC_REPLY, 7), 0);
	assert_in_range(h.set.counters.frames - frames, 17, 200);
	for (uint64_t i = 0; i < 3000; i++)
		assert_int_equal(get_code(&busy, IPC_REPLY, i), 0);
	end_close(&busy);
	end_close(&other);
}

/* Each is a document to be made while everybody waits. */
static void
a_pass_has_few_administrative_requests(void **state)
{
	struct end e = session_as(ALICE);
	Pd__AdminRequest all = PD__ADMIN_REQUEST__INIT;
	uint64_t frames = h.set.counters.frames;

	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(ipc_chan_queue(e.chan, IPC_ADMIN_STATUS, i,
					 &all.base, NULL, 0),
			0);
	assert_int_equal(ipc_chan_flush(e.chan), 0);
	turn();
	assert_int_equal(h.set.counters.frames - frames, 2);
	turns(20);
	assert_int_equal(h.set.counters.frames - frames, 20);
	end_close(&e);
}

/* Who does not read his answers is not listened to. */
static void
above_the_limit_a_client_is_not_read(void **state)
{
	const uint64_t n = 200000;
	struct end e;
	uint64_t frames;

	limits()->queue_limit = 8192;
	e = session_as(ALICE);
	put_many(&e, n);
	turns(2000);
	frames = h.set.counters.frames;
	assert_in_range(frames, 100, n / 2);
	turns(100);
	assert_int_equal(h.set.counters.frames, frames);
	for (uint64_t i = 0; i < n; i++) {
		(void)ipc_chan_flush(e.chan);
		assert_int_equal(get_code(&e, IPC_REPLY, i), 0);
	}
	assert_int_equal(h.set.n_clients, 1);
	end_close(&e);
}

static void
put_file(struct end *e, int fd)
{
	Pd__SubmitPublishFile b = PD__SUBMIT_PUBLISH_FILE__INIT;

	b.identifier = (ProtobufCBinaryData){1, (uint8_t *)"x"};
	assert_int_equal(ipc_chan_queue(e->chan, IPC_SUBMIT_PUBLISH_FILE,
				 UINT64_C(1) << 32, &b.base, &fd, 1),
		0);
	assert_int_equal(ipc_chan_flush(e->chan), 0);
}

/* Of whom much does not close, nothing more is taken that would have to be. */
static void
who_leaves_much_open_is_dropped(void **state)
{
	uint64_t over = h.set.counters.over_quota;
	int other, held;
	struct end e;

	limits()->closing_most = 1;
	e = session_as(ALICE);
	fd_close_foreign(socket_with_one(&held, &other), ALICE);
	put(&e, IPC_STATUS_GET, 1, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), 0);
	put_file(&e, held);
	get_closed(&e);
	assert_int_equal(h.set.counters.over_quota, over + 1);
	close(other);
	close(held);
	end_close(&e);
}

static void
who_takes_nothing_is_dropped(void **state)
{
	struct end e;

	limits()->stall_ms = 5;
	limits()->queue_limit = 8192;
	e = session_as(ALICE);
	put_many(&e, 100000);
	TURN_UNTIL(h.set.n_clients == 0);
	assert_int_equal(h.set.counters.timed_out, 1);
	end_close(&e);
}

static void
who_says_nothing_is_dropped(void **state)
{
	struct end e, silent;

	limits()->handshake_ms = 300;
	end_open(&e, connect_as(ALICE));
	get_closed(&e);
	assert_int_equal(h.set.counters.timed_out, 1);
	end_close(&e);
	/* One that has greeted is not: it outlives the next that has not. */
	e = session_as(ALICE);
	end_open(&silent, connect_as(ALICE));
	get_closed(&silent);
	end_close(&silent);
	put(&e, IPC_STATUS_GET, 1, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), 0);
	end_close(&e);
}

/* Bytes and the end are there when the loop looks: it tells both at once, and
 * never again. */
static void
an_end_behind_bytes_is_seen(void **state)
{
	struct end e;

	for (int round = 0; round < 4; round++) {
		e = session_as(ALICE);
		/* With an answer to send, or with none: half a header. */
		if (round % 2 == 0)
			put(&e, IPC_STATUS_GET, 1, NULL);
		else
			assert_int_equal(
				send(ipc_chan_fd(e.chan), "half", 4, 0), 4);
		if (round < 2) {
			shutdown(ipc_chan_fd(e.chan), SHUT_WR);
			if (round == 0)
				assert_int_equal(get_code(&e, IPC_REPLY, 1), 0);
			get_closed(&e);
		}
		end_close(&e);
		TURN_UNTIL(h.set.n_clients == 0);
	}
}

/* The same when he has not taken an answer, which makes the end an error. */
static void
an_end_by_error_is_seen(void **state)
{
	struct end e = session_as(ALICE);

	put(&e, IPC_STATUS_GET, 1, NULL);
	turns(3);
	assert_int_equal(send(ipc_chan_fd(e.chan), "half", 4, 0), 4);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
}

static uint64_t
pending_op(struct end *e)
{
	Pd__PublishOpen open = PD__PUBLISH_OPEN__INIT;
	Pd__SubmitAdd add = PD__SUBMIT_ADD__INIT;
	Pd__Slice slice = PD__SLICE__INIT;
	uint64_t op = ipc_op_id(0, 1);
	struct ipc_msg m;

	open.identifier.data = (uint8_t *)"name";
	open.identifier.len = 4;
	open.version = 2;
	put(e, IPC_PUBLISH_OPEN, 1, &open);
	add.handle = get_handle(e, 1);
	add.length = 100;
	add.slice = &slice;
	slice.length = 1;
	slice.inline_data.data = (uint8_t *)"x";
	slice.inline_data.len = 1;
	put(e, IPC_SUBMIT_STREAM_ADD, op, &add);
	assert_int_equal(get_code(e, IPC_ACK, op), 0);
	get(e, IPC_NEED, op, &m);
	ipc_msg_done(&m);
	return op;
}

static void
nothing_is_left_of_a_client_that_went(void **state)
{
	struct quota_user *user =
		quota_user_get(service_quota(h.service), ALICE);
	struct end e = session_as(ALICE);

	pending_op(&e);
	assert_int_equal(quota_used(user, QUOTA_OPERATIONS), 1);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
	for (int k = 0; k < _QUOTA_MAX; k++)
		assert_int_equal(quota_used(user, k), 0);
	assert_int_equal(service_counters(h.service)->operations_abandoned, 1);
	quota_user_put(user);
}

/* Told by the service, not asked for. */
static void
a_change_of_status_is_told(void **state)
{
	struct end e = session_as(ALICE);
	uint64_t op = pending_op(&e);
	struct ipc_msg m;

	service_ready(h.service, false);
	for (int i = 0; i < 2; i++) {
		TURN_UNTIL(get_now(&e, &m));
		if (m.header.type == IPC_STATUS)
			assert_int_equal(
				m.u.status->status, SERVICE_UNAVAILABLE);
		else
			assert_true(m.header.type == IPC_COMPLETE &&
				m.header.id == op &&
				m.u.complete->code ==
					PEERDIST_ERROR_INVALIDATED);
		ipc_msg_done(&m);
	}
	service_ready(h.service, true);
	get(&e, IPC_STATUS, 0, &m);
	assert_int_equal(m.u.status->status, SERVICE_AVAILABLE);
	assert_int_equal(m.u.status->min_content_version, 1);
	assert_int_equal(m.u.status->max_content_version, 2);
	ipc_msg_done(&m);
	end_close(&e);
}

/* The completion of an operation is promised: a client far above his queue
 * limit still gets it. */
static void
completions_do_not_count_against_the_limit(void **state)
{
	struct end e;
	uint64_t op;
	uint32_t code = 0, answers = 0;

	limits()->queue_limit = 1024;
	e = session_as(ALICE);
	op = pending_op(&e);
	put_many(&e, 100000);
	turns(500);
	service_ready(h.service, false);
	while (code == 0) {
		struct ipc_msg m;

		TURN_UNTIL(get_now(&e, &m));
		if (m.header.type == IPC_COMPLETE) {
			assert_true(m.header.id == op);
			code = m.u.complete->code;
		} else {
			answers++;
		}
		ipc_msg_done(&m);
	}
	assert_int_equal(code, PEERDIST_ERROR_INVALIDATED);
	assert_true(answers > 100);
	end_close(&e);
}

/* Each allocation of a greeting and of a call fails once: the client is told,
 * or loses his connection; nothing else happens. */
static void
memory_may_fail_anywhere(void **state)
{
	Pd__ContentOpen open = PD__CONTENT_OPEN__INIT;
	unsigned long n = 0;
	bool failed = true;

	open.tag.data = (uint8_t *)"0123456789abcdef";
	open.tag.len = 16;
	while (failed) {
		struct ipc_msg m;
		struct end e;
		int frames = 0;

		end_open(&e, connect_as(ALICE));
		put_hello(&e, 1, 1, IPC_FEATURE_AREA);
		put(&e, IPC_CONTENT_OPEN, 1, &open);
		failalloc_arm(++n);
		turn();
		failed = failalloc_disarm();
		while (frames < 2) {
			TURN_UNTIL(get_now(&e, &m) || e.closed);
			if (e.closed)
				break;
			frames += m.header.type != IPC_STATUS;
			if (m.header.type == IPC_REPLY && !failed)
				assert_int_equal(m.u.reply->code, 0);
			ipc_msg_done(&m);
		}
		assert_true(failed || frames == 2);
		end_close(&e);
		TURN_UNTIL(h.set.n_clients == 0);
	}
	assert_true(n > 5);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(each_has_his_share_of_a_pass),
		T(a_pass_has_few_administrative_requests),
		T(above_the_limit_a_client_is_not_read),
		T(who_leaves_much_open_is_dropped),
		T(who_takes_nothing_is_dropped),
		T(who_says_nothing_is_dropped),
		T(an_end_behind_bytes_is_seen),
		T(an_end_by_error_is_seen),
		T(nothing_is_left_of_a_client_that_went),
		T(a_change_of_status_is_told),
		T(completions_do_not_count_against_the_limit),
		T(memory_may_fail_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

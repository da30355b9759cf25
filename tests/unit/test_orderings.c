/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every ordering of the events that can end an operation: for each kind of
 * operation, all sequences of DEPTH different events, and longer ones at
 * random.  The events are those of tests/spin/events.txt; here they meet the
 * real session, handle, fetch, jobs and sink, and job results arrive after the
 * operation has long ended.
 *
 * After each sequence: exactly one completion for an accepted operation (none
 * when the client is gone), and nothing left in the service.
 */
#include "tests/unit/core_env.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Under a tool that is fifty times slower, FEW=1 plays pairs only. */
#define DEPTH      3
#define DEPTH_FEW  2
#define LONG       7
#define N_RANDOM   800
#define N_FEW      20
#define SOAK_TIMES 20
#define LEN        200000u

enum event {
	EV_JOB_FIRST,  /* source done or failed, step by step */
	EV_JOB_LAST,   /* ... out of order */
	EV_PEER_GOOD,  /* source done */
	EV_PEER_EMPTY, /* source failed */
	EV_PEER_LOST,
	EV_FEED, /* the next slice comes */
	EV_TIMEOUT,
	EV_CANCEL_ONE,
	EV_CANCEL_ALL,
	EV_CLOSE,
	EV_UNPUBLISH,
	EV_POLICY_OFF,
	EV_POLICY_ON,
	EV_CLIENT_LOST, /* owner lost */
	EV_SHUTDOWN,    /* PeerDistShutdown */
	EV_FLUSH,       /* the data goes */
	EV_ADD,         /* ... and comes, by another operation */
	EV_ADMIN_CANCEL,
	EV_MODE_LEFT, /* what comes from peers does not come */
	EV_MODE_BACK,
	_EV_MAX,
};

static uint8_t *data;
static uint8_t *ci;
static size_t ci_len;
static const struct session_label label = {(const uint8_t *)"label", 5};
static const struct session_label standing = {(const uint8_t *)"/label", 6};
static const uint8_t tag[SESSION_TAG_SIZE] = "tag";

struct round {
	struct script x;
	struct pccrc_info *info;
	enum op_kind kind;
	uint64_t handle;
	uint64_t op;
	bool client; /* a content handle's operation */
	const struct session_label *label;
	uint32_t fed;
	uint32_t total;
};

static int
setup(void **state)
{
	data = script_content(LEN);
	ci = script_information(data, LEN, 1, 0, 0, &ci_len);
	return 0;
}

static int
teardown(void **state)
{
	free(data);
	free(ci);
	return 0;
}

static void
submit_publish_file(struct round *r)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_int_equal(write(fd, data, LEN), LEN);
	assert_int_equal(session_publish_file(r->x.session, r->op, &label, fd,
				 &(struct session_range){0, 0}, 1),
		CORE_OK);
}

static void
submit_publish_standing(struct round *r)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	r->label = &standing;
	r->x.wall_ms = ((uint64_t)time(NULL) + 100) * 1000;
	assert_int_equal(write(fd, data, LEN), LEN);
	assert_int_equal(
		session_publish_standing(r->x.session, r->op, r->label, fd, 1),
		CORE_OK);
}

static void
open_stream(struct round *r)
{
	assert_int_equal(
		session_publish_open(r->x.session, &label, 0, 2, &r->handle),
		CORE_OK);
}

static void
submit_stream_complete(struct round *r)
{
	struct session_slice s = script_slice(&r->x, data, 50000);

	open_stream(r);
	assert_int_equal(session_stream_add(r->x.session, script_op(&r->x),
				 r->handle, 50000, &s),
		CORE_OK);
	assert_int_equal(
		session_stream_complete(r->x.session, r->op, r->handle),
		CORE_OK);
}

static void
submit_read(struct round *r)
{
	if (r->kind == OP_BLOCK_READ) {
		assert_int_equal(session_block_read(r->x.session, r->op,
					 r->handle, 70000, 9000, 5000),
			CORE_OK);
		return;
	}
	/* Two queue up; the second is the one that is followed. */
	assert_int_equal(session_stream_read(r->x.session, script_op(&r->x),
				 r->handle, 65536, 2000),
		CORE_OK);
	assert_int_equal(
		session_stream_read(r->x.session, r->op, r->handle, 100, 5000),
		CORE_OK);
}

static void
submit_cached(struct round *r)
{
	struct session_slice s = script_slice(&r->x, data, LEN);

	assert_int_equal(session_data_add(r->x.session, script_op(&r->x),
				 r->handle, 0, LEN, &s),
		CORE_OK);
	script_settle(&r->x);
	r->kind = OP_BLOCK_READ;
	submit_read(r);
}

static void
submit_add(struct round *r)
{
	struct session_slice s;

	if (r->kind == OP_CI_ADD) {
		r->fed = 60;
		r->total = 150;
		s = script_slice(&r->x, ci, r->fed);
		assert_int_equal(session_ci_add(r->x.session, r->op, r->handle,
					 r->total, &s),
			CORE_OK);
		return;
	}
	r->total = 150000;
	r->fed = 80000;
	s = script_slice(&r->x, data, r->fed);
	if (r->kind == OP_DATA_ADD) {
		assert_int_equal(session_data_add(r->x.session, r->op,
					 r->handle, 3, r->total, &s),
			CORE_OK);
	} else {
		assert_int_equal(session_stream_add(r->x.session, r->op,
					 r->handle, r->total, &s),
			CORE_OK);
	}
}

static void
submit_ci(struct round *r)
{
	struct session_slice s = script_slice(&r->x, ci, ci_len);
	uint64_t first = script_op(&r->x);

	if (r->kind == OP_CI_ADD) {
		submit_add(r);
		return;
	}
	assert_int_equal(session_ci_add(r->x.session, first, r->handle,
				 (uint32_t)ci_len, &s),
		CORE_OK);
	assert_int_equal(
		session_ci_complete(r->x.session, r->op, r->handle), CORE_OK);
}

#define KIND_CACHED _OP_KIND_MAX /* a read whose data is there */

static void
submit(struct round *r, int kind)
{
	r->kind = kind == KIND_CACHED ? OP_BLOCK_READ : (enum op_kind)kind;
	r->op = script_op(&r->x);
	r->client = true;
	r->label = &label;
	switch (kind) {
	case OP_BLOCK_READ:
	case OP_STREAM_READ:
		r->handle = script_open(&r->x, ci, ci_len);
		submit_read(r);
		break;
	case KIND_CACHED:
		r->handle = script_open(&r->x, ci, ci_len);
		submit_cached(r);
		break;
	case OP_DATA_ADD:
		r->handle = script_open(&r->x, ci, ci_len);
		submit_add(r);
		break;
	case OP_CI_ADD:
	case OP_CI_COMPLETE:
		assert_int_equal(
			session_content_open(r->x.session, tag, &r->handle),
			CORE_OK);
		submit_ci(r);
		break;
	case OP_FLUSH:
		assert_int_equal(
			session_flush(r->x.session, r->op, tag), CORE_OK);
		break;
	case OP_STREAM_ADD:
		r->client = false;
		open_stream(r);
		submit_add(r);
		break;
	case OP_STREAM_COMPLETE:
		r->client = false;
		submit_stream_complete(r);
		break;
	case OP_PUBLISH_FILE:
		r->client = false;
		submit_publish_file(r);
		break;
	case OP_PUBLISH_STANDING:
		r->client = false;
		submit_publish_standing(r);
		break;
	default:
		fail();
	}
}

static bool
pending(struct round *r)
{
	return r->x.session != NULL &&
		op_find(session_owner(r->x.session), r->op) != NULL;
}

static void
feed(struct round *r)
{
	struct session_slice s;

	/* Only what was asked for may come. */
	if (!pending(r) || r->fed == r->total || r->x.n_need == 0 ||
		r->x.last_need_op != r->op)
		return;
	s = script_slice(&r->x, (r->kind == OP_CI_ADD ? ci : data) + r->fed,
		r->total - r->fed);
	r->fed = r->total;
	assert_int_equal(session_feed(r->x.session, r->op, &s), CORE_OK);
}

static void
cancel_one(struct round *r)
{
	bool was = pending(r);
	enum core_result got = r->client
		? session_client_cancel(r->x.session, r->handle, r->op)
		: session_server_cancel(r->x.session, r->label, r->op);

	if (got == CORE_OK) {
		assert_true(was);
		assert_int_equal(script_op_of(&r->x, r->op)->result.status,
			CORE_E_ABORTED);
	} else if (got == CORE_E_OPERATION_NOT_FOUND) {
		/* Told before the answer to the cancel. */
		assert_true(r->kind == OP_FLUSH || !was);
	}
	assert_int_not_equal(got, CORE_E_PROTOCOL);
}

static void
close_it(struct round *r)
{
	enum core_result want = r->handle != 0 ? CORE_OK : CORE_E_BAD_HANDLE;

	assert_int_equal(r->client
			? session_content_close(r->x.session, r->handle)
			: session_stream_close(r->x.session, r->handle),
		want);
	r->handle = 0;
}

static void
policy(struct round *r, bool on)
{
	r->x.settings.policy.enabled = on;
	assert_int_equal(service_configure(r->x.service, &r->x.settings), 0);
}

static void
set_mode(struct round *r, enum service_mode mode)
{
	r->x.settings.policy.mode = mode;
	assert_int_equal(service_configure(r->x.service, &r->x.settings), 0);
}

static void
add_by_other(struct round *r)
{
	struct session_slice s = script_slice(&r->x, data, LEN);

	(void)session_data_add(
		r->x.session, script_op(&r->x), r->handle, 0, LEN, &s);
}

static void
session_event(struct round *r, enum event ev)
{
	struct script *x = &r->x;

	if (x->session == NULL)
		return;
	switch (ev) {
	case EV_FEED:
		feed(r);
		break;
	case EV_CANCEL_ONE:
		cancel_one(r);
		break;
	case EV_CANCEL_ALL:
		(void)session_client_cancel(x->session, r->handle, 0);
		break;
	case EV_CLOSE:
		close_it(r);
		break;
	case EV_UNPUBLISH:
		(void)session_unpublish(
			x->session, ++x->next_request, r->label);
		break;
	case EV_FLUSH:
		(void)session_flush(x->session, script_op(x), tag);
		break;
	case EV_ADD:
		add_by_other(r);
		break;
	case EV_ADMIN_CANCEL:
		(void)session_admin_cancel(x->session, r->op);
		break;
	case EV_CLIENT_LOST:
		x->session = session_free(x->session, false);
		break;
	case EV_SHUTDOWN:
		x->session = session_free(x->session, true);
		break;
	default:
		fail();
	}
}

static void
happen(struct round *r, enum event ev)
{
	struct script *x = &r->x;

	switch (ev) {
	case EV_JOB_FIRST:
		if (x->n_jobs > 0)
			script_job(x, 0);
		break;
	case EV_JOB_LAST:
		if (x->n_jobs > 0)
			script_job(x, x->n_jobs - 1);
		break;
	case EV_PEER_GOOD:
		if (x->n_requests > 0)
			script_answer_good(x, 0, data, LEN, r->info);
		break;
	case EV_PEER_EMPTY:
		if (x->n_requests > 0)
			script_answer(x, 0, ENV_PEER_EMPTY);
		break;
	case EV_PEER_LOST:
		if (x->n_requests > 0)
			script_answer(x, 0, ENV_PEER_REFUSED);
		break;
	case EV_TIMEOUT:
		script_time(x, 5002);
		break;
	case EV_POLICY_OFF:
		policy(r, false);
		break;
	case EV_POLICY_ON:
		policy(r, true);
		break;
	case EV_MODE_LEFT:
		set_mode(r, MODE_LOCAL);
		break;
	case EV_MODE_BACK:
		set_mode(r, MODE_DISTRIBUTED);
		break;
	default:
		session_event(r, ev);
	}
}

/* What did not complete well is not published. */
static void
check_hashes(struct round *r, const struct script_op *op)
{
	bool well = op->completions == 1 && op->result.status == CORE_OK &&
		r->kind == OP_PUBLISH_STANDING;
	struct hash_stats st;

	r->x.hashes->ops->stats(r->x.hashes, &st);
	assert_true(st.entries <= (well ? 1 : 0));
}

static void
run_round(int kind, const enum event *events, size_t n)
{
	struct round *r = calloc(1, sizeof(*r));
	bool lost = false;
	struct script_op *op;

	script_init(&r->x, MODE_DISTRIBUTED);
	assert_int_equal(pccrc_parse(ci, ci_len, r->x.bulk, &r->info), 0);
	submit(r, kind);
	op = script_op_of(&r->x, r->op);
	assert_int_equal(op->acks, 1);
	for (size_t i = 0; i < n; i++) {
		if (events[i] == EV_CLIENT_LOST && pending(r))
			lost = true;
		happen(r, events[i]);
		assert_true(op->completions <= 1);
		assert_int_equal(op->completions + lost, pending(r) ? 0 : 1);
	}
	/* What is still out comes back; the rest of a feed never does. */
	script_settle(&r->x);
	script_nobody(&r->x);
	while (r->x.n_requests > 0) {
		script_answer(&r->x, 0, ENV_PEER_EMPTY);
		script_settle(&r->x);
	}
	if (pending(r)) {
		assert_int_not_equal(r->total, 0);
		cancel_one(r);
	}
	assert_int_equal(op->completions, lost ? 0 : 1);
	check_hashes(r, op);
	if (r->x.session != NULL)
		script_return(&r->x);
	pccrc_info_unref(r->info);
	script_done(&r->x);
	free(r);
}

static size_t
all_sequences(int kind, enum event *events, size_t n, size_t depth)
{
	size_t count = 0;

	if (n == depth) {
		run_round(kind, events, n);
		return 1;
	}
	for (int ev = 0; ev < _EV_MAX; ev++) {
		bool had = false;

		/* Jobs and peers may act more than once. */
		for (size_t i = 0; i < n && ev > EV_PEER_LOST; i++)
			had |= (int)events[i] == ev;
		if (had)
			continue;
		events[n] = (enum event)ev;
		count += all_sequences(kind, events, n + 1, depth);
	}
	return count;
}

static void
check_kind(int kind)
{
	bool few = getenv("FEW") != NULL, soak = getenv("SOAK") != NULL;
	size_t n_random = few ? N_FEW : N_RANDOM * (soak ? SOAK_TIMES : 1);
	enum event events[LONG];
	size_t n;

	n = all_sequences(kind, events, 0, few ? DEPTH_FEW : DEPTH);
	srand(4711);
	for (size_t i = 0; i < n_random; i++) {
		for (size_t k = 0; k < LONG; k++)
			events[k] = (enum event)(rand() % _EV_MAX);
		run_round(kind, events, LONG);
	}
	print_message("%zu orderings\n", n + n_random);
}

#define KIND_TEST(name, kind) \
	static void name(void **state) \
	{ \
		check_kind(kind); \
	}
KIND_TEST(test_stream_add, OP_STREAM_ADD)
KIND_TEST(test_stream_complete, OP_STREAM_COMPLETE)
KIND_TEST(test_publish_file, OP_PUBLISH_FILE)
KIND_TEST(test_publish_standing, OP_PUBLISH_STANDING)
KIND_TEST(test_information_add, OP_CI_ADD)
KIND_TEST(test_information_complete, OP_CI_COMPLETE)
KIND_TEST(test_data_add, OP_DATA_ADD)
KIND_TEST(test_block_read, OP_BLOCK_READ)
KIND_TEST(test_stream_read, OP_STREAM_READ)
KIND_TEST(test_cached_read, KIND_CACHED)
KIND_TEST(test_flush, OP_FLUSH)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_add),
		cmocka_unit_test(test_stream_complete),
		cmocka_unit_test(test_publish_file),
		cmocka_unit_test(test_publish_standing),
		cmocka_unit_test(test_information_add),
		cmocka_unit_test(test_information_complete),
		cmocka_unit_test(test_data_add),
		cmocka_unit_test(test_block_read),
		cmocka_unit_test(test_stream_read),
		cmocka_unit_test(test_cached_read),
		cmocka_unit_test(test_flush),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

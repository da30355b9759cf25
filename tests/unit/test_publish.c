/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams, files, cursors: what a publication goes through. */
#include "tests/unit/core_env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEN 3000000u

static const struct session_label label = {(const uint8_t *)"a label", 7};
static const struct session_range whole = {0, 0};
static uint8_t *data;

static int
setup(void **state)
{
	data = script_content(LEN);
	return 0;
}

static int
teardown(void **state)
{
	free(data);
	return 0;
}

static enum core_result
status_of(struct script *x, uint64_t op)
{
	assert_int_equal(script_op_of(x, op)->completions, 1);
	return script_op_of(x, op)->result.status;
}

static uint64_t
add(struct script *x, uint64_t h, const uint8_t *bytes, uint32_t len)
{
	uint64_t op = script_op(x);
	uint32_t done = MIN_OF(len, 1024u * 1024);
	struct session_slice s = script_slice(x, bytes, done);

	assert_int_equal(
		session_stream_add(x->session, op, h, len, &s), CORE_OK);
	script_settle(x);
	while (script_op_of(x, op)->completions == 0) {
		uint32_t n = MIN_OF(len - done, 1024u * 1024);

		s = script_slice(x, bytes + done, n);
		assert_int_equal(session_feed(x->session, op, &s), CORE_OK);
		script_settle(x);
		done += n;
	}
	return op;
}

static enum core_result
complete(struct script *x, uint64_t h)
{
	uint64_t op = script_op(x);

	assert_int_equal(session_stream_complete(x->session, op, h), CORE_OK);
	script_settle(x);
	return status_of(x, op);
}

static uint64_t
publish(struct script *x)
{
	uint64_t h;

	assert_int_equal(
		session_publish_open(x->session, &label, LEN, 2, &h), CORE_OK);
	assert_int_equal(status_of(x, add(x, h, data, LEN)), CORE_OK);
	assert_int_equal(complete(x, h), CORE_OK);
	return h;
}

/* Reads a cursor in pieces of at most step. */
static uint8_t *
retrieve(struct script *x, uint64_t info, uint32_t step, size_t *ret_len)
{
	uint8_t *all = malloc(1 << 20);
	size_t at = 0;

	for (;;) {
		uint64_t op = script_op(x);
		struct op_result *r = &script_op_of(x, op)->result;

		assert_int_equal(
			session_retrieve(x->session, op, info, step), CORE_OK);
		script_settle(x);
		if (status_of(x, op) == CORE_E_NO_MORE)
			break;
		assert_int_equal(r->status, CORE_OK);
		assert_int_equal(r->offset, at);
		assert_true(r->bytes > 0 && r->bytes <= step);
		memcpy(all + at, script_op_of(x, op)->data, r->bytes);
		at += r->bytes;
		script_return(x);
	}
	*ret_len = at;
	return all;
}

static void
test_stream(void **state)
{
	struct script x;

	script_init(&x, MODE_LOCAL);
	publish(&x);
	for (int v = 1; v <= 2; v++) {
		uint32_t vv = (uint32_t)v;
		size_t len, want_len;
		uint8_t *got, *want;
		uint64_t info;

		want = script_information(data, LEN, v, 0, 0, &want_len);
		assert_int_equal(
			script_info_open(&x, &label, &whole, vv, vv, &info),
			CORE_OK);
		got = retrieve(&x, info, v == 1 ? 1000 : 100000, &len);
		assert_int_equal(len, want_len);
		assert_memory_equal(got, want, len);
		assert_int_equal(session_info_close(x.session, info), CORE_OK);
		free(got);
		free(want);
	}
	script_done(&x);
}

static void
test_ranges(void **state)
{
	static const struct {
		uint64_t offset, length;
		enum core_result want;
	} rows[] = {
		{0, 1, CORE_OK},
		{LEN - 1, 1, CORE_OK},
		{LEN, 1, CORE_E_OUT_OF_BOUNDS},
		{0, LEN + 1, CORE_E_OUT_OF_BOUNDS},
		{5, 0, CORE_E_BAD_PARAMETER},
		{5, UINT64_MAX, CORE_E_BAD_PARAMETER},
	};
	static const struct session_label other = {(const uint8_t *)"x", 1};
	struct script x;
	uint64_t info;

	script_init(&x, MODE_LOCAL);
	publish(&x);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(script_info_open(&x, &label,
					 &(struct session_range){rows[i].offset,
						 rows[i].length},
					 1, 2, &info),
			rows[i].want);
	assert_int_equal(script_info_open(&x, &other, &whole, 1, 2, &info),
		CORE_E_NOT_FOUND);
	/* Wrong for any content: comes before the look for this one. */
	assert_int_equal(script_info_open(&x, &other,
				 &(struct session_range){5, 0}, 1, 2, &info),
		CORE_E_BAD_PARAMETER);
	script_done(&x);
}

static void
test_lengths(void **state)
{
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	/* Empty, too short, too long. */
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	assert_int_equal(complete(&x, h), CORE_E_BAD_DATA);
	assert_int_equal(session_stream_complete(x.session, script_op(&x), h),
		CORE_E_BAD_DATA);
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &label, 100, 2, &h), CORE_OK);
	assert_int_equal(status_of(&x, add(&x, h, data, 99)), CORE_OK);
	assert_int_equal(complete(&x, h), CORE_E_BAD_DATA);
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &label, 100, 2, &h), CORE_OK);
	op = add(&x, h, data, 101);
	assert_int_equal(status_of(&x, op), CORE_E_OUT_OF_BOUNDS);
	assert_int_equal(session_stream_complete(x.session, script_op(&x), h),
		CORE_E_OUT_OF_BOUNDS);
	script_done(&x);
}

static void
test_label_taken(void **state)
{
	struct script x;
	uint64_t h, again;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 1, &h), CORE_OK);
	assert_int_equal(session_publish_open(x.session, &label, 0, 1, &again),
		CORE_E_ALREADY_EXISTS);
	assert_int_equal(script_info_open(&x, &label, &whole, 1, 2, &again),
		CORE_E_NOT_FOUND);
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	publish(&x);
	assert_int_equal(session_publish_open(x.session, &label, 0, 1, &again),
		CORE_E_ALREADY_EXISTS);
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(script_unpublish(&x, &label), CORE_E_NOT_FOUND);
	script_done(&x);
}

static void
test_version_one_only(void **state)
{
	struct script x;
	uint64_t h, info;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(session_publish_open(x.session, &label, 0, 3, &h),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 1, &h), CORE_OK);
	add(&x, h, data, 1000);
	assert_int_equal(complete(&x, h), CORE_OK);
	assert_int_equal(script_info_open(&x, &label, &whole, 2, 2, &info),
		CORE_E_CI_VERSION);
	assert_int_equal(
		script_info_open(&x, &label, &whole, 1, 2, &info), CORE_OK);
	script_done(&x);
}

/* Cancelling a completion that runs: adding may go on, and another completion
 * counts what was added. */
static void
test_cancelled_completion(void **state)
{
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(
		session_publish_open(x.session, &label, LEN, 2, &h), CORE_OK);
	add(&x, h, data, LEN - 5);
	x.settings.preferred_content_version = 2;
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	add(&x, h, data, LEN - 5);
	op = script_op(&x);
	assert_int_equal(session_stream_complete(x.session, op, h), CORE_OK);
	assert_int_equal(x.n_jobs, 1);
	assert_int_equal(session_stream_complete(x.session, script_op(&x), h),
		CORE_E_ALREADY_COMPLETED);
	assert_int_equal(session_server_cancel(x.session, &label, op), CORE_OK);
	assert_int_equal(status_of(&x, op), CORE_E_ABORTED);
	script_settle(&x);
	assert_int_equal(status_of(&x, add(&x, h, data + LEN - 5, 5)), CORE_OK);
	assert_int_equal(complete(&x, h), CORE_OK);
	script_done(&x);
}

/* An add cut short in the middle: the stream has failed for good. */
static void
test_cancelled_add(void **state)
{
	struct session_slice s;
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	op = script_op(&x);
	s = script_slice(&x, data, 100000);
	assert_int_equal(
		session_stream_add(x.session, op, h, 200000, &s), CORE_OK);
	assert_int_equal(session_server_cancel(x.session, &label, op), CORE_OK);
	/* The job still has the slice. */
	assert_int_equal(x.n_released, 0);
	script_settle(&x);
	assert_int_equal(x.n_released, 1);
	assert_int_equal(session_stream_complete(x.session, script_op(&x), h),
		CORE_E_ABORTED);
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	publish(&x);
	script_done(&x);
}

/* Another session of the same user takes the label away while it is being
 * completed. */
static void
test_unpublished_by_another_session(void **state)
{
	struct session *first;
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	add(&x, h, data, 1000);
	op = script_op(&x);
	assert_int_equal(session_stream_complete(x.session, op, h), CORE_OK);
	first = x.session;
	script_session(&x);
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(status_of(&x, op), CORE_E_INVALIDATED);
	script_settle(&x);
	assert_int_equal(session_stream_complete(first, script_op(&x), h),
		CORE_E_INVALIDATED);
	assert_int_equal(session_stream_close(first, h), CORE_OK);
	session_free(first, false);
	script_done(&x);
}

static int
content_file(void)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_int_equal(write(fd, data, LEN), LEN);
	return fd;
}

static void
test_file(void **state)
{
	for (uint32_t v = 1; v <= 2; v++) {
		size_t len, want_len;
		uint8_t *got, *want;
		uint64_t op, info;
		struct script x;

		want = script_information(data, LEN, (int)v, 0, 0, &want_len);
		script_init(&x, MODE_LOCAL);
		op = script_op(&x);
		assert_int_equal(session_publish_file(x.session, op, &label,
					 content_file(), &whole, v),
			CORE_OK);
		/* A look comes first, by which nothing else is held up. */
		assert_int_equal(x.n_jobs, 1);
		assert_true(x.jobs[0]->slow);
		script_job(&x, 0);
		assert_false(x.jobs[0]->slow);
		/* Version 1 is hashed by several workers at once. */
		assert_int_equal(x.n_jobs, v == 1 ? 3 : 1);
		script_settle(&x);
		assert_int_equal(status_of(&x, op), CORE_OK);
		assert_int_equal(
			script_info_open(&x, &label, &whole, v, v, &info),
			CORE_OK);
		got = retrieve(&x, info, 4096, &len);
		assert_int_equal(len, want_len);
		assert_memory_equal(got, want, len);
		free(got);
		free(want);
		script_done(&x);
	}
}

static void
test_file_refused(void **state)
{
	struct script x;
	int pipes[2];

	script_init(&x, MODE_LOCAL);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(session_publish_file(x.session, script_op(&x), &label,
				 pipes[0], &whole, 2),
		CORE_E_BAD_PARAMETER);
	close(pipes[1]);
	assert_int_equal(
		session_publish_file(x.session, script_op(&x), &label,
			content_file(), &(struct session_range){LEN + 1, 0}, 2),
		CORE_E_OUT_OF_BOUNDS);
	assert_int_equal(session_publish_file(x.session, script_op(&x), &label,
				 memfd_create("empty", MFD_CLOEXEC), &whole, 2),
		CORE_E_BAD_DATA);
	script_done(&x);
}

static void
test_file_changes(void **state)
{
	struct script x;
	uint64_t op;
	int fd, mine;

	script_init(&x, MODE_LOCAL);
	fd = content_file();
	mine = dup(fd);
	op = script_op(&x);
	assert_int_equal(
		session_publish_file(x.session, op, &label, fd, &whole, 2),
		CORE_OK);
	assert_int_equal(ftruncate(mine, LEN - 1), 0);
	script_settle(&x);
	assert_int_equal(status_of(&x, op), CORE_E_BAD_DATA);
	/* The label is free again. */
	publish(&x);
	close(mine);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_label_taken),
		cmocka_unit_test(test_version_one_only),
		cmocka_unit_test(test_cancelled_completion),
		cmocka_unit_test(test_cancelled_add),
		cmocka_unit_test(test_unpublished_by_another_session),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_refused),
		cmocka_unit_test(test_file_changes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Publishing a file for good: the operation. */
#include "tests/unit/standing_util.h"

static const uint8_t other_key[] = "another key";

static void
test_refused(void **state)
{
	struct session_label zero = {(const uint8_t *)"/a\0b", 4};
	struct session_label none = {(const uint8_t *)"", 0};
	static char long_path[STANDING_PATH_MAX + 2];
	static const char *const odd[] = {"/", "//a", "/a/", "/a//b", "/.",
		"/..", "/./a", "/a/.", "/a/../b", "/a/.."};
	static const int unread[] = {O_WRONLY, O_PATH};
	struct script x;
	int pipes[2];

	init(&x);
	memset(long_path, '/', sizeof(long_path) - 1);
	assert_int_equal(submit(&x, script_op(&x), "a", path_a, BOTH),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(submit(&x, script_op(&x), long_path, path_a, BOTH),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, 0),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, 4),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(
		session_publish_standing(x.session, script_op(&x), &zero,
			open(path_a, O_RDONLY | O_CLOEXEC), BOTH),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(
		session_publish_standing(x.session, script_op(&x), &none,
			open(path_a, O_RDONLY | O_CLOEXEC), BOTH),
		CORE_E_BAD_PARAMETER);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		assert_int_equal(
			submit(&x, script_op(&x), odd[i], path_a, BOTH),
			CORE_E_BAD_PARAMETER);
	zero = label_of(path_a);
	for (size_t i = 0; i < ARRAY_LEN(unread); i++)
		assert_int_equal(
			session_publish_standing(x.session, script_op(&x),
				&zero, open(path_a, unread[i] | O_CLOEXEC),
				BOTH),
			CORE_E_BAD_PARAMETER);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(session_publish_standing(x.session, script_op(&x),
				 &zero, pipes[0], BOTH),
		CORE_E_BAD_PARAMETER);
	close(pipes[1]);
	make_file(path_b, 0);
	assert_int_equal(submit(&x, script_op(&x), path_b, path_b, BOTH),
		CORE_E_BAD_DATA);
	service_set_hash_store(x.service, NULL);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, BOTH),
		CORE_E_UNAVAILABLE);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	assert_int_equal(
		standing_remove(x.service, &(struct standing_removal){.id = 1}),
		CORE_E_UNAVAILABLE);
	assert_int_equal(x.n_jobs, 0);
	script_done(&x);
}

/* What could be published but never opened is not published. */
static void
test_too_large(void **state)
{
	struct quota_limits limits;
	struct script x;

	init(&x);
	limits = *quota_get_limits(service_quota(x.service));
	limits.max[QUOTA_BUFFER_BYTES] = 256u << 20;
	quota_set_limits(service_quota(x.service), &limits);
	make_file(path_b, 1);
	assert_int_equal(truncate(path_b, (off_t)100 << 30), 0);
	assert_int_equal(submit(&x, script_op(&x), path_b, path_b, BOTH),
		CORE_E_NO_RESOURCES);
	script_done(&x);
}

/* Two seconds must lie between the last change and the hashing. */
static void
test_too_new(void **state)
{
	struct script x;
	struct stat st;

	init(&x);
	set_age(&x, path_a, 1999);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_E_TOO_NEW);
	assert_int_equal(count(&x), 0);
	set_age(&x, path_a, 2000);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	/* A modification time that lies in the future is not past either. */
	assert_int_equal(stat(path_a, &st), 0);
	st.st_mtim.tv_sec += 100;
	assert_int_equal(
		utimensat(AT_FDCWD, path_a,
			(struct timespec[]){st.st_mtim, st.st_mtim}, 0),
		0);
	set_age(&x, path_a, 50000);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_E_TOO_NEW);
	set_age(&x, path_a, 103000);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	script_done(&x);
}

/* What the service is led to by a symbolic link says nothing: a link can go
 * through folders that its maker may not search. */
static void
test_not_through_links(void **state)
{
	static const char *const names[] = {"link", "way/a", ".../..a"};
	struct session_label label;
	char path[3][80], odd[80];
	struct script x;

	init(&x);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s", folder, names[i]);
	assert_int_equal(symlink(path_a, path[0]), 0);
	snprintf(odd, sizeof(odd), "%s/way", folder);
	assert_int_equal(symlink(folder, odd), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(publish(&x, path[i], path_a, V1), CORE_OK);
		assert_false(first_view(&x).watched);
		label = label_of(path[i]);
		assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	}
	unlink(path[0]);
	unlink(odd);
	/* Odd, but nothing else than a name. */
	assert_int_equal(publish(&x, path[2], path_a, V1), CORE_OK);
	/* A link in the place of a file is another file. */
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(count(&x), 2);
	assert_int_equal(rename(path_a, path_b), 0);
	assert_int_equal(symlink(path_b, path_a), 0);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	unlink(path_a);
	script_done(&x);
}

/* Complete means durable: not before the store has said so. */
static void
test_complete_when_stored(void **state)
{
	const struct op_result *result;
	struct hash_stats st;
	struct script x;
	uint64_t op;

	init(&x);
	op = script_op(&x);
	assert_int_equal(submit(&x, op, path_a, path_a, V1), CORE_OK);
	assert_true(x.jobs[0]->slow);
	while (count(&x) == 0 && x.n_jobs > 0) {
		assert_int_equal(script_op_of(&x, op)->completions, 0);
		script_job(&x, 0);
	}
	assert_int_equal(count(&x), 1);
	assert_int_equal(status_of(&x, op), CORE_OK);
	/* What peerdistctl prints. */
	result = &script_op_of(&x, op)->result;
	assert_true(result->has_offset);
	assert_int_equal(result->offset, first_view(&x).id);
	assert_int_equal(result->bytes, 1);
	x.hashes->ops->set_limit(x.hashes, 100);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_E_DISK_FULL);
	/* The older one is still there. */
	assert_int_equal(can_open(&x, path_a), CORE_OK);
	/* There is room for it, but not for one user. */
	x.hashes->ops->stats(x.hashes, &st);
	x.hashes->ops->set_limit(x.hashes, 2 * st.bytes - 1);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_E_NO_RESOURCES);
	script_done(&x);
}

static void
test_changes_while_hashed(void **state)
{
	struct script x;
	uint64_t op;

	init(&x);
	op = script_op(&x);
	assert_int_equal(submit(&x, op, path_a, path_a, BOTH), CORE_OK);
	script_job(&x, 0);
	change(path_a);
	script_settle(&x);
	assert_int_equal(status_of(&x, op), CORE_E_BAD_DATA);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

/* Who holds a label. */
static void
test_label_taken(void **state)
{
	struct session_label label = label_of(path_a);
	struct script x;
	uint64_t h, op, id;
	int fd;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	id = first_view(&x).id;
	assert_int_equal(session_publish_open(x.session, &label, 0, 2, &h),
		CORE_E_ALREADY_EXISTS);
	fd = open(path_a, O_RDONLY | O_CLOEXEC);
	assert_int_equal(session_publish_file(x.session, script_op(&x), &label,
				 fd, &whole, 2),
		CORE_E_ALREADY_EXISTS);
	/* Again: in place of the older one, which is there until then. */
	op = script_op(&x);
	assert_int_equal(submit(&x, op, path_a, path_a, V1), CORE_OK);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, V1),
		CORE_E_ALREADY_EXISTS);
	script_job(&x, 0);
	assert_int_equal(session_info_open(x.session, 77, &label, &whole,
				 &(struct session_versions){1, 2}, &h),
		CORE_LATER);
	script_settle(&x);
	assert_int_equal(x.reply_request, 77);
	assert_int_equal(x.reply_result, CORE_OK);
	assert_int_equal(status_of(&x, op), CORE_OK);
	assert_int_equal(count(&x), 1);
	assert_true(first_view(&x).id > id);
	/* A session's publication and a standing one, the other way round. */
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, V1),
		CORE_E_ALREADY_EXISTS);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	script_done(&x);
}

enum how { CANCEL, LOST, SHUTDOWN, POLICY, UNPUBLISH, KEY, _HOW_MAX };

static void
end_it(struct script *x, uint64_t op, enum how how)
{
	struct session_label label = label_of(path_a);

	switch (how) {
	case CANCEL:
		assert_int_equal(
			session_server_cancel(x->session, &label, op), CORE_OK);
		assert_int_equal(status_of(x, op), CORE_E_ABORTED);
		break;
	case LOST:
		x->session = session_free(x->session, false);
		assert_int_equal(script_op_of(x, op)->completions, 0);
		break;
	case SHUTDOWN:
		x->session = session_free(x->session, true);
		assert_int_equal(status_of(x, op), CORE_E_ABORTED);
		break;
	case POLICY:
		x->settings.policy.enabled = false;
		assert_int_equal(
			service_configure(x->service, &x->settings), 0);
		assert_int_equal(status_of(x, op), CORE_E_INVALIDATED);
		break;
	case UNPUBLISH:
		assert_int_equal(script_unpublish(x, &label), CORE_OK);
		assert_int_equal(status_of(x, op), CORE_E_ABORTED);
		break;
	case KEY:
		assert_int_equal(service_set_key(x->service, other_key,
					 sizeof(other_key)),
			0);
		assert_int_equal(status_of(x, op), CORE_E_INVALIDATED);
		break;
	default:
		fail();
	}
}

/* Ended at any moment before it is complete, by whatever: not published. */
static void
test_ended_early(void **state)
{
	for (int how = 0; how < _HOW_MAX; how++)
		for (unsigned steps = 0;; steps++) {
			struct script x;
			uint64_t op;
			bool complete;

			init(&x);
			op = script_op(&x);
			assert_int_equal(
				submit(&x, op, path_a, path_a, BOTH), CORE_OK);
			for (unsigned i = 0; i < steps && x.n_jobs > 0; i++)
				script_job(&x, 0);
			complete = script_op_of(&x, op)->completions == 1;
			if (!complete)
				end_it(&x, op, how);
			script_settle(&x);
			assert_int_equal(count(&x), complete ? 1 : 0);
			if (x.session == NULL)
				script_session(&x);
			script_done(&x);
			if (complete) {
				assert_int_equal(steps, 5);
				break;
			}
		}
}

/* What a cancel leaves does not hurt the next one of the same label. */
static void
test_cancelled_and_again(void **state)
{
	struct session_label label = label_of(path_a);
	struct script x;
	uint64_t first, second;

	init(&x);
	first = script_op(&x);
	assert_int_equal(submit(&x, first, path_a, path_a, V1), CORE_OK);
	for (unsigned i = 0; i < 5; i++)
		script_job(&x, 0);
	assert_int_equal(x.n_jobs, 1); /* the store's */
	assert_int_equal(
		session_server_cancel(x.session, &label, first), CORE_OK);
	second = script_op(&x);
	assert_int_equal(submit(&x, second, path_a, path_a, V1), CORE_OK);
	script_settle(&x);
	assert_int_equal(status_of(&x, first), CORE_E_ABORTED);
	assert_int_equal(status_of(&x, second), CORE_OK);
	assert_int_equal(count(&x), 1);
	assert_int_equal(can_open(&x, path_a), CORE_OK);
	script_done(&x);
}

static void
test_progress(void **state)
{
	struct script x;
	uint64_t op;

	init(&x);
	op = script_op(&x);
	assert_int_equal(submit(&x, op, path_a, path_a, V1), CORE_OK);
	script_job(&x, 0);
	script_job(&x, 0);
	assert_int_equal(x.n_progress, 0); /* too early */
	script_time(&x, 200);
	script_job(&x, 0);
	assert_int_equal(x.n_progress, 1);
	assert_int_equal(x.progress_done, 2097152);
	assert_int_equal(x.progress_total, LEN);
	script_job(&x, 0);
	assert_int_equal(x.n_progress, 1);
	script_settle(&x);
	assert_int_equal(status_of(&x, op), CORE_OK);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_too_new),
		cmocka_unit_test(test_not_through_links),
		cmocka_unit_test(test_complete_when_stored),
		cmocka_unit_test(test_changes_while_hashed),
		cmocka_unit_test(test_label_taken),
		cmocka_unit_test(test_ended_early),
		cmocka_unit_test(test_cancelled_and_again),
		cmocka_unit_test(test_progress),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

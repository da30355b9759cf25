/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "tests/unit/hashed_util.h"

#define DEADLINE_US 20000000

/* Those of our files. */
static size_t
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	char target[PATH_MAX];
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		ssize_t len =
			readlinkat(dirfd(d), e->d_name, target, sizeof(target));

		n += len > 0 && (size_t)len > strlen(folder) &&
			memcmp(target, folder, strlen(folder)) == 0;
	}
	closedir(d);
	return n;
}

/* Closing a file may take a moment, see common/close.h. */
static void
wait_descriptors(size_t n)
{
	uint64_t give_up_us = clock_now_us() + DEADLINE_US;

	while (descriptors() != n && clock_now_us() < give_up_us)
		sched_yield();
	assert_int_equal(descriptors(), n);
}

static bool
want_as(struct script *x, const char *path, const struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool r;

	assert_true(fd >= 0);
	r = hashed_want(x->service, fd, st);
	/* It is the caller's. */
	assert_int_equal(close(fd), 0);
	return r;
}

static bool
want(struct script *x, const char *path)
{
	struct stat st = stat_of(path);

	return want_as(x, path, &st);
}

static void
check_view(struct script *x, uint64_t waiting, uint64_t hashing, uint64_t done,
	uint64_t failed)
{
	struct hashed_view v = view_of(x);

	assert_int_equal(v.waiting, waiting);
	assert_int_equal(v.hashing, hashing);
	assert_int_equal(v.done, done);
	assert_int_equal(v.failed, failed);
}

static void
note_op(const struct session_op_view *v, void *ctx)
{
	*(struct session_op_view *)ctx = *v;
}

static struct session_op_view
own_op(struct script *x)
{
	struct session_op_view v = {0};

	session_each_op(hashed_session(x->service), note_op, &v);
	return v;
}

static void
test_published(void **state)
{
	struct standing_view v;
	struct session *s;
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	assert_null(hashed_session(x.service));
	assert_true(want(&x, path_a));
	check_view(&x, 0, 1, 0, 0);
	/* Once. */
	assert_true(want(&x, path_a));
	check_view(&x, 0, 1, 0, 0);
	s = hashed_session(x.service);
	assert_non_null(s);
	assert_ptr_equal(service_find_session(x.service, session_number(s)), s);
	assert_int_equal(session_identity(s)->uid, SELF);
	assert_int_equal(session_identity(s)->pid, getpid());
	assert_int_equal(own_op(&x).kind, OP_PUBLISH_STANDING);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	v = first_view(&x);
	assert_int_equal(v.uid, SELF);
	assert_int_equal(v.versions, BOTH);
	assert_true(v.watched);
	assert_int_equal(v.path_len, strlen(path_a));
	assert_memory_equal(v.path, path_a, v.path_len);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	/* And no more. */
	assert_true(want(&x, path_a));
	assert_int_equal(x.n_jobs, 0);
	check_view(&x, 0, 0, 1, 0);
	script_done(&x);
}

/* What somebody who is trusted has published is not hashed again; what
 * somebody else has, is. */
static void
test_published_by(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_true(want(&x, path_a));
	check_view(&x, 0, 0, 0, 0);
	st.st_uid = OTHER;
	assert_true(want_as(&x, path_a, &st));
	check_view(&x, 0, 1, 0, 0);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	assert_int_equal(result_of(&x, &st, V2), HASHED_OK);
	script_done(&x);
}

static void
test_one_version(void **state)
{
	struct script x;

	hashed_init(&x);
	x.settings.preferred_content_version = 1;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_true(want(&x, path_a));
	script_settle(&x);
	assert_int_equal(first_view(&x).versions, V1);
	script_done(&x);
}

static void
test_two_at_once(void **state)
{
	char path[5][80];
	struct script x;

	hashed_init(&x);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%u", folder, i);
		make_file(path[i], 100000);
		set_age(&x, path[i], OLD_MS);
	}
	for (unsigned i = 0; i < 5; i++)
		assert_true(want(&x, path[i]));
	check_view(&x, 3, 2, 0, 0);
	/* In any order. */
	while (x.n_jobs > 0) {
		script_job(&x, x.n_jobs - 1);
		assert_true(view_of(&x).hashing <= 2);
	}
	check_view(&x, 0, 0, 5, 0);
	for (unsigned i = 0; i < 5; i++) {
		struct stat st = stat_of(path[i]);

		assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
		unlink(path[i]);
	}
	script_done(&x);
}

/* A file that has just been changed waits. */
static void
test_too_new(void **state)
{
	struct script x;

	hashed_init(&x);
	set_age(&x, path_a, 500);
	assert_true(want(&x, path_a));
	check_view(&x, 1, 0, 0, 0);
	assert_null(hashed_session(x.service));
	script_time(&x, 1400);
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 110);
	check_view(&x, 0, 1, 0, 0);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	script_done(&x);
}

/* One that is changed again while it waits, waits longer. */
static void
test_newer(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	set_age(&x, path_a, 500);
	assert_true(want(&x, path_a));
	script_time(&x, 1000);
	change(path_a);
	set_age(&x, path_a, 0);
	st = stat_of(path_a);
	assert_true(want(&x, path_a));
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 1900);
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 110);
	check_view(&x, 0, 1, 0, 0);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	script_done(&x);
}

/* Newer than it was said to be: some more tries. */
static void
test_too_new_again(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	st.st_ctim.tv_sec -= 100;
	st.st_mtim.tv_sec -= 100;
	set_age(&x, path_a, 500);
	assert_true(want_as(&x, path_a, &st));
	check_view(&x, 0, 1, 0, 0);
	script_settle(&x);
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 1900);
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 110);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	script_done(&x);
	/* And not for ever. */
	hashed_init(&x);
	set_age(&x, path_a, 500);
	assert_true(want_as(&x, path_a, &st));
	for (unsigned i = 0; i < HASHED_TRIES; i++) {
		check_view(&x, 0, 1, 0, 0);
		script_settle(&x);
		check_view(
			&x, i + 1 < HASHED_TRIES, 0, 0, i + 1 == HASHED_TRIES);
		/* Changed meanwhile. */
		change(path_a);
		set_age(&x, path_a, 0);
		x.wall_ms -= 1000;
		script_time(&x, 2010);
	}
	check_view(&x, 0, 0, 0, 1);
	script_done(&x);
}

/* What cannot be hashed is not even queued. */
static void
test_impossible(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(folder);
	assert_false(want_as(&x, folder, &st));
	st = stat_of(path_a);
	st.st_nlink = 0;
	assert_false(want_as(&x, path_a, &st));
	st = stat_of(path_a);
	st.st_size = 0;
	assert_false(want_as(&x, path_a, &st));
	st.st_size = (off_t)1 << 50;
	assert_false(want_as(&x, path_a, &st));
	st = stat_of(path_a);
	st.st_mtim.tv_sec += 1000;
	assert_false(want_as(&x, path_a, &st));
	service_set_hash_store(x.service, NULL);
	assert_false(want(&x, path_a));
	service_set_hash_store(x.service, x.hashes);
	service_ready(x.service, false);
	assert_false(want(&x, path_a));
	check_view(&x, 0, 0, 0, 0);
	assert_null(hashed_session(x.service));
	script_done(&x);
	wait_descriptors(0);
}

/* The bound on those that wait, and that nothing of them stays. */
static void
test_queue_full(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	set_age(&x, path_a, 500);
	for (unsigned i = 0; i < HASHED_WAITING_MAX; i++) {
		st.st_ino = i + 1;
		assert_true(want_as(&x, path_a, &st));
	}
	check_view(&x, HASHED_WAITING_MAX, 0, 0, 0);
	st.st_ino++;
	assert_false(want_as(&x, path_a, &st));
	st.st_ino--;
	assert_true(want_as(&x, path_a, &st));
	check_view(&x, HASHED_WAITING_MAX, 0, 0, 0);
	assert_int_equal(descriptors(), HASHED_WAITING_MAX);
	service_ready(x.service, false);
	check_view(&x, 0, 0, 0, 0);
	/* The first is being closed; the others count, too. */
	service_ready(x.service, true);
	assert_true(want_as(&x, path_a, &st));
	check_view(&x, 1, 0, 0, 0);
	for (unsigned i = 0; i < HASHED_WAITING_MAX; i++) {
		st.st_ino = i + 1;
		(void)want_as(&x, path_a, &st);
	}
	check_view(&x, 1, 0, 0, 0);
	script_settle(&x);
	assert_int_equal(descriptors(), 1);
	script_done(&x);
}

/* What could not be hashed is left alone for a minute. */
static void
test_rest(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	make_file(path_b, 100000);
	set_age(&x, path_b, 500);
	st = stat_of(path_b);
	assert_true(want(&x, path_b));
	rename(path_b, path_a);
	unlink(path_a);
	script_time(&x, 2000);
	script_settle(&x);
	check_view(&x, 0, 0, 0, 1);
	/* The descriptor does not matter any more. */
	make_file(path_b, 100000);
	assert_false(want_as(&x, path_b, &st));
	script_time(&x, HASHED_REST_MS - 100);
	assert_false(want_as(&x, path_b, &st));
	script_time(&x, 200);
	assert_true(want_as(&x, path_b, &st));
	check_view(&x, 0, 1, 0, 1);
	script_settle(&x);
	unlink(path_b);
	script_done(&x);
}

/* So is what has no name at once; as many of them as there is room for. */
static void
test_many_rest(void **state)
{
	struct script x;
	struct stat st;
	int fd;

	hashed_init(&x);
	make_file(path_b, 100000);
	set_age(&x, path_b, OLD_MS);
	st = stat_of(path_b);
	fd = open(path_b, O_RDONLY | O_CLOEXEC);
	unlink(path_b);
	for (unsigned i = 0; i < HASHED_RESTING_MAX + 50; i++) {
		st.st_ino = i + 1;
		assert_false(hashed_want(x.service, fd, &st));
		assert_false(hashed_want(x.service, fd, &st));
		check_view(&x, 0, 0, 0, i + 1);
		script_settle(&x);
	}
	assert_int_equal(x.service->hashed->resting.n, HASHED_RESTING_MAX);
	close(fd);
	wait_descriptors(0);
	script_done(&x);
}

static void
test_cancelled(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(want_as(&x, path_a, &st));
		for (unsigned k = 0; k < i; k++)
			script_job(&x, 0);
		assert_int_equal(session_admin_cancel(hashed_session(x.service),
					 own_op(&x).id),
			CORE_OK);
		/* Not while it is still told. */
		check_view(&x, 0, 1, 0, i);
		script_settle(&x);
		check_view(&x, 0, 0, 0, i + 1);
		assert_int_equal(count(&x), 0);
		assert_false(want_as(&x, path_a, &st));
		/* Another version of it is another matter. */
		st.st_mtim.tv_nsec++;
	}
	script_done(&x);
}

/* Changed while it is hashed: the hashes are not kept, and when it is asked for
 * as it is now, it is hashed once more. */
static void
test_changed(void **state)
{
	struct script x;
	struct stat st;

	for (unsigned ask = 0; ask < 2; ask++) {
		hashed_init(&x);
		assert_true(want(&x, path_a));
		script_job(&x, 0);
		make_file(path_a, LEN - 5);
		st = stat_of(path_a);
		if (ask)
			assert_true(want(&x, path_a));
		check_view(&x, 0, 1, 0, 0);
		script_settle(&x);
		assert_int_equal(count(&x), 0);
		set_age(&x, path_a, OLD_MS);
		if (ask) {
			check_view(&x, 1, 0, 0, 0);
			script_time(&x, 2010);
		} else {
			check_view(&x, 0, 0, 0, 1);
			assert_true(want(&x, path_a));
		}
		script_settle(&x);
		check_view(&x, 0, 0, 1, !ask);
		assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
		script_done(&x);
	}
}

/* Hashing takes a while. */
static void
hash_slowly(struct script *x, uint64_t took_ms)
{
	check_view(x, 0, 1, view_of(x).done, view_of(x).failed);
	script_job(x, 0);
	script_time(x, took_ms);
}

/* What changes all the time is read a ninth of the time, but for the first
 * time. */
static void
test_changes_always(void **state)
{
	const uint64_t took_ms = 10000, pause_ms = took_ms * HASHED_PAUSE_TIMES;
	struct script x;
	struct stat st;

	hashed_init(&x);
	assert_true(want(&x, path_a));
	hash_slowly(&x, took_ms);
	change(path_a);
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 1, 0, 0, 0);
	script_time(&x, 2010);
	hash_slowly(&x, took_ms);
	change(path_a);
	assert_true(want(&x, path_a));
	script_settle(&x);
	/* Not once more in two seconds. */
	check_view(&x, 0, 0, 0, 1);
	wait_descriptors(0);
	st = stat_of(path_a);
	st.st_mtim.tv_nsec ^= 1;
	assert_false(want_as(&x, path_a, &st));
	script_time(&x, pause_ms - 100);
	assert_false(want_as(&x, path_a, &st));
	assert_false(want(&x, path_a));
	script_time(&x, 200);
	assert_true(want(&x, path_a));
	hash_slowly(&x, took_ms);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 1);
	wait_descriptors(0);
	/* These hashes were kept, and are worth nothing now. */
	change(path_a);
	assert_false(want(&x, path_a));
	script_time(&x, pause_ms - 100);
	assert_false(want(&x, path_a));
	script_time(&x, 200);
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 0, 0, 2, 1);
	script_done(&x);
}

/* One that is hashed in time each time, and never used. */
static void
test_changes_often(void **state)
{
	struct script x;

	hashed_init(&x);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(want(&x, path_a));
		hash_slowly(&x, 1000);
		script_settle(&x);
		check_view(&x, 0, 0, i + 1, 0);
		change(path_a);
	}
	assert_false(want(&x, path_a));
	script_time(&x, 1000 * HASHED_PAUSE_TIMES + 100);
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 0, 0, 3, 0);
	script_done(&x);
}

/* A large file does not stop the small ones for hours. */
static void
test_large(void **state)
{
	char path[3][80];
	struct script x;
	struct stat st[3];

	hashed_init(&x);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%u", folder, i);
		make_file(path[i], 100000);
		set_age(&x, path[i], OLD_MS);
		st[i] = stat_of(path[i]);
	}
	st[0].st_size = st[1].st_size = (off_t)HASHED_LARGE + 1;
	assert_true(want_as(&x, path[0], &st[0]));
	check_view(&x, 0, 1, 0, 0);
	assert_true(want_as(&x, path[1], &st[1]));
	check_view(&x, 1, 1, 0, 0);
	assert_true(want_as(&x, path[2], &st[2]));
	check_view(&x, 1, 2, 0, 0);
	script_settle(&x);
	check_view(&x, 0, 0, 3, 0);
	for (unsigned i = 0; i < 3; i++)
		unlink(path[i]);
	/* Nor do those that wait. */
	st[0] = stat_of(path_a);
	set_age(&x, path_a, 500);
	st[0].st_size = (off_t)HASHED_LARGE + 1;
	for (unsigned i = 0; i <= HASHED_WAITING_MAX / 2; i++) {
		st[0].st_ino = i + 1;
		assert_int_equal(want_as(&x, path_a, &st[0]),
			i < HASHED_WAITING_MAX / 2);
	}
	st[0].st_size = LEN;
	assert_true(want_as(&x, path_a, &st[0]));
	script_done(&x);
}

/* Another file takes the path of one that is being hashed: it is hashed when
 * that one is over. */
static void
test_path_taken(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	make_file(path_b, LEN / 2);
	assert_true(want(&x, path_a));
	script_job(&x, 0);
	assert_int_equal(rename(path_b, path_a), 0);
	set_age(&x, path_a, OLD_MS);
	st = stat_of(path_a);
	for (unsigned i = 0; i < 2 * HASHED_TRIES; i++) {
		assert_true(want(&x, path_a));
		check_view(&x, 1, 1, 0, 0);
		script_time(&x, 2010);
	}
	script_settle(&x);
	check_view(&x, 1, 0, 0, 1);
	script_time(&x, 2010);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 1);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	script_done(&x);
}

/* Whoever may publish: the service may. */
static void
test_policy(void **state)
{
	uint64_t number;
	struct script x;

	hashed_init(&x);
	x.settings.policy.publishers.all = false;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_true(want(&x, path_a));
	number = session_number(hashed_session(x.service));
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	/* Others may not. */
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, BOTH),
		CORE_E_DISABLED);
	script_done(&x);
	for (unsigned n_jobs = 0; n_jobs < 4; n_jobs++) {
		hashed_init(&x);
		assert_true(want(&x, path_a));
		for (unsigned i = 0; i < n_jobs; i++)
			script_job(&x, 0);
		number = session_number(hashed_session(x.service));
		x.settings.policy.enabled = false;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		assert_null(hashed_session(x.service));
		check_view(&x, 0, 0, 0, 0);
		assert_false(want(&x, path_a));
		x.settings.policy.enabled = true;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		assert_true(want(&x, path_a));
		assert_true(session_number(hashed_session(x.service)) > number);
		script_settle(&x);
		check_view(&x, 0, 0, 1, 0);
		script_done(&x);
	}
	wait_descriptors(0);
}

/* The end may come at any moment. */
static void
test_shutdown(void **state)
{
	struct script x;

	for (unsigned n_jobs = 0; n_jobs < 7; n_jobs++) {
		hashed_init(&x);
		make_file(path_b, 100000);
		assert_true(want(&x, path_a));
		assert_true(want(&x, path_b));
		for (unsigned i = 0; i < n_jobs && x.n_jobs > 0; i++)
			script_job(&x, x.n_jobs - 1);
		/* Completed, and the news not come yet. */
		if (own_op(&x).id != 0 && n_jobs % 2 == 0)
			assert_int_equal(
				session_admin_cancel(hashed_session(x.service),
					own_op(&x).id),
				CORE_OK);
		script_done(&x);
		unlink(path_b);
	}
	wait_descriptors(0);
}

/* No room for now: later; for long: not at all. */
static void
test_quota(void **state)
{
	static const enum quota_kind kinds[] = {QUOTA_SESSIONS,
		QUOTA_OPERATIONS, QUOTA_CONTENTS, QUOTA_BUFFER_BYTES};
	struct script x;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		uint64_t max;

		hashed_init(&x);
		max = x.settings.limits.max[kinds[i]];
		x.settings.limits.max[kinds[i]] = 0;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		assert_true(want(&x, path_a));
		check_view(&x, 1, 0, 0, 0);
		script_time(&x, 2010);
		check_view(&x, 1, 0, 0, 0);
		x.settings.limits.max[kinds[i]] = max;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		script_time(&x, 2010);
		script_settle(&x);
		/* The slots of a session are as many as there were to be when
		 * it was opened. */
		check_view(&x, 0, 0, kinds[i] != QUOTA_OPERATIONS,
			kinds[i] == QUOTA_OPERATIONS);
		script_done(&x);
		hashed_init(&x);
		x.settings.limits.max[kinds[i]] = 0;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		assert_true(want(&x, path_a));
		for (unsigned k = 0; k < HASHED_TRIES; k++)
			script_time(&x, 2010);
		check_view(&x, 0, 0, 0, 1);
		script_done(&x);
	}
}

/* A store that is full makes nobody read files for nothing. */
static void
test_store_full(void **state)
{
	struct script x;

	hashed_init(&x);
	x.hashes->ops->set_limit(x.hashes, 100);
	make_file(path_b, 100000);
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 0, 0, 0, 1);
	x.hashes->ops->set_limit(x.hashes, 0);
	assert_false(want(&x, path_b));
	script_time(&x, HASHED_REST_MS - 100);
	assert_false(want(&x, path_b));
	script_time(&x, 200);
	assert_true(want(&x, path_b));
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 0, 0, 2, 1);
	unlink(path_b);
	script_done(&x);
}

/* The longer it took to find out, the longer. */
static void
test_store_full_long(void **state)
{
	struct script x;

	hashed_init(&x);
	x.hashes->ops->set_limit(x.hashes, 100);
	make_file(path_b, 100000);
	assert_true(want(&x, path_a));
	script_job(&x, 0);
	script_time(&x, HASHED_REST_MS);
	script_settle(&x);
	script_time(&x, HASHED_REST_MS * HASHED_PAUSE_TIMES - 100);
	assert_false(want(&x, path_a));
	assert_false(want(&x, path_b));
	script_time(&x, 200);
	assert_true(want(&x, path_b));
	script_done(&x);
	unlink(path_b);
}

static void
failing_put(struct hash_store *store, struct hash_put *put)
{
	put->status = STORE_IO;
	put->done(put);
}

static void
failing_stats(struct hash_store *store, struct hash_stats *ret)
{
	*ret = (struct hash_stats){.health = STORE_FAILING};
}

/* A disk that refuses writes will do so with the next one, too. */
static void
test_store_failing(void **state)
{
	const struct hash_store_ops *good;
	struct hash_store_ops failing;
	struct script x;

	hashed_init(&x);
	good = x.hashes->ops;
	failing = *good;
	failing.put = failing_put;
	failing.stats = failing_stats;
	x.hashes->ops = &failing;
	make_file(path_b, 100000);
	assert_true(want(&x, path_a));
	script_settle(&x);
	check_view(&x, 0, 0, 0, 1);
	assert_false(want(&x, path_b));
	x.hashes->ops = good;
	script_time(&x, HASHED_REST_MS + 100);
	assert_true(want(&x, path_b));
	script_settle(&x);
	check_view(&x, 0, 0, 1, 1);
	unlink(path_b);
	script_done(&x);
}

/* Those that wait when it is found full are not held open until then. */
static void
test_store_full_waiting(void **state)
{
	struct script x;
	struct stat st;

	hashed_init(&x);
	x.hashes->ops->set_limit(x.hashes, 100);
	make_file(path_b, 100000);
	st = stat_of(path_b);
	st.st_ctim.tv_sec += 9;
	assert_true(want_as(&x, path_b, &st));
	assert_true(want(&x, path_a));
	check_view(&x, 1, 1, 0, 0);
	script_settle(&x);
	check_view(&x, 0, 0, 0, 1);
	wait_descriptors(0);
	x.hashes->ops->set_limit(x.hashes, 0);
	script_time(&x, HASHED_REST_MS + 100);
	assert_true(want_as(&x, path_b, &st));
	script_settle(&x);
	check_view(&x, 0, 0, 1, 1);
	unlink(path_b);
	script_done(&x);
}

static void
test_no_descriptors(void **state)
{
	struct rlimit before, none;
	struct script x;
	struct stat st;
	int fd, highest;

	hashed_init(&x);
	st = stat_of(path_a);
	fd = open(path_a, O_RDONLY | O_CLOEXEC);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	highest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	none = before;
	none.rlim_cur = (rlim_t)highest;
	close(highest);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(hashed_want(x.service, fd, &st));
	check_view(&x, 0, 0, 0, 0);
	/* One for the want, none for its operation. */
	none.rlim_cur++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(hashed_want(x.service, fd, &st));
	check_view(&x, 1, 0, 0, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	script_time(&x, 2010);
	script_settle(&x);
	check_view(&x, 0, 0, 1, 0);
	close(fd);
	script_done(&x);
}

static bool
wanting(unsigned long nth)
{
	struct script x;
	struct stat st;
	bool failed;

	hashed_init(&x);
	st = stat_of(path_a);
	failalloc_arm(nth);
	want(&x, path_a);
	for (unsigned i = 0; i < 10; i++) {
		script_settle(&x);
		script_time(&x, 2010);
	}
	failed = failalloc_disarm();
	script_settle(&x);
	script_time(&x, HASHED_REST_MS);
	assert_true(want(&x, path_a));
	script_settle(&x);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	script_done(&x);
	return failed;
}

static void
test_out_of_memory(void **state)
{
	unsigned long n = 1;

	while (wanting(n))
		n++;
	assert_true(n > 10);
	wait_descriptors(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_published_by),
		cmocka_unit_test(test_one_version),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_too_new),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_too_new_again),
		cmocka_unit_test(test_impossible),
		cmocka_unit_test(test_queue_full),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_many_rest),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_changes_always),
		cmocka_unit_test(test_changes_often),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_path_taken),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_store_full),
		cmocka_unit_test(test_store_full_long),
		cmocka_unit_test(test_store_failing),
		cmocka_unit_test(test_store_full_waiting),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Standing publications in the course of time: files that change, publications
 * that are taken back. */
#include "tests/unit/standing_util.h"

#include <sys/fsuid.h>

#define TEN_MIN (10u * 60 * 1000)
#define NOBODY  65534

static void
test_unpublish(void **state)
{
	struct session_label label = label_of(path_a);
	struct script x;
	uint64_t op, info;

	init(&x);
	assert_int_equal(script_unpublish(&x, &label), CORE_E_NOT_FOUND);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(open_info(&x, path_a, &info), CORE_OK);
	assert_int_equal(
		session_retrieve(x.session, script_op(&x), info, 10), CORE_OK);
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(count(&x), 0);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	/* What was open is stale. */
	assert_int_equal(session_retrieve(x.session, script_op(&x), info, 10),
		CORE_E_INVALIDATED);
	assert_int_equal(session_info_close(x.session, info), CORE_OK);
	/* While it is being published again, both go. */
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	op = script_op(&x);
	assert_int_equal(submit(&x, op, path_a, path_a, V1), CORE_OK);
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(status_of(&x, op), CORE_E_ABORTED);
	assert_int_equal(count(&x), 0);
	/* Twice at once: the second finds nothing more. */
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(session_unpublish(x.session, 500, &label), CORE_LATER);
	assert_int_equal(session_unpublish(x.session, 501, &label), CORE_LATER);
	script_settle(&x);
	assert_int_equal(x.reply_request, 501);
	assert_int_equal(x.reply_result, CORE_E_NOT_FOUND);
	assert_int_equal(open_info(&x, path_a, &info), CORE_E_NOT_FOUND);
	script_done(&x);
}

/* Another ctime and nothing else; the file system's clock ticks slowly. */
static void
change_inode(const char *path)
{
	struct stat before, after;

	assert_int_equal(stat(path, &before), 0);
	do {
		assert_int_equal(chmod(path, 0600), 0);
		assert_int_equal(stat(path, &after), 0);
	} while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
		after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

static void
test_changed_file(void **state)
{
	struct script x;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	change(path_a);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	assert_int_equal(count(&x), 0);
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	/* Written to, and the modification time put back: the other shows. */
	change_inode(path_a);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	assert_int_equal(count(&x), 0);
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(unlink(path_a), 0);
	assert_int_equal(can_open(&x, path_a), CORE_E_NOT_FOUND);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

/* Where the service may not look, nothing is known to have changed. */
static void
test_hidden_file(void **state)
{
	struct script x;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(chmod(folder, 0), 0);
	setfsuid(NOBODY); /* root may look everywhere */
	assert_int_equal(can_open(&x, path_a), CORE_OK);
	script_time(&x, 1);
	script_settle(&x);
	assert_int_equal(count(&x), 1);
	setfsuid(geteuid());
	assert_int_equal(chmod(folder, 0700), 0);
	assert_int_equal(can_open(&x, path_a), CORE_OK);
	script_done(&x);
}

/* The path is the caller's word; if it leads elsewhere, it is not looked at
 * again, whatever appears there. */
static void
test_unwatched(void **state)
{
	struct script x;

	init(&x);
	make_file(path_b, 1000);
	assert_int_equal(publish(&x, "/nowhere/a", path_a, V1), CORE_OK);
	assert_false(first_view(&x).watched);
	assert_int_equal(can_open(&x, "/nowhere/a"), CORE_OK);
	assert_int_equal(publish(&x, path_b, path_a, V1), CORE_OK);
	assert_int_equal(can_open(&x, path_b), CORE_OK);
	change(path_b);
	assert_int_equal(can_open(&x, path_b), CORE_OK);
	script_time(&x, TEN_MIN);
	script_settle(&x);
	assert_int_equal(count(&x), 2);
	script_done(&x);
}

static void
make_many(struct script *x, unsigned n)
{
	char path[80];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		make_file(path, 10);
	}
	set_age(x, path, OLD_MS);
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		assert_int_equal(publish(x, path, path, V1), CORE_OK);
	}
}

static void
unlink_many(unsigned n)
{
	char path[80];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		assert_int_equal(unlink(path), 0);
	}
}

static void
test_sweep(void **state)
{
	enum { MANY = 40 };
	struct script x;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	make_many(&x, MANY);
	/* The first one comes at once, and takes a few at a time. */
	unlink_many(MANY);
	script_time(&x, 1);
	assert_int_equal(x.n_jobs, 1);
	assert_true(x.jobs[0]->slow);
	script_job(&x, 0);
	assert_int_equal(count(&x), MANY + 1);
	script_settle(&x);
	assert_int_equal(count(&x), 1);
	change(path_a);
	script_time(&x, TEN_MIN - 1);
	assert_int_equal(x.n_jobs, 0);
	script_time(&x, 10);
	script_settle(&x);
	assert_int_equal(count(&x), 0);
	/* While the service is off nothing is looked at. */
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	change(path_a);
	service_ready(x.service, false);
	script_time(&x, TEN_MIN + 10);
	assert_int_equal(x.n_jobs, 0);
	service_ready(x.service, true);
	script_time(&x, TEN_MIN + 10);
	script_settle(&x);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

static unsigned n_removed;

static void
count_removed(struct standing_removal *r)
{
	n_removed++;
}

static void
test_remove_by_id(void **state)
{
	struct standing_removal r = {.uid = 1001, .done = count_removed};
	struct script x;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	n_removed = 0;
	r.id = first_view(&x).id;
	assert_int_equal(standing_remove(x.service, &r), CORE_E_NOT_FOUND);
	r.uid = 1000;
	assert_int_equal(standing_remove(x.service, &r), CORE_OK);
	assert_int_equal(n_removed, 0);
	script_settle(&x);
	assert_int_equal(n_removed, 1);
	assert_int_equal(r.result, CORE_OK);
	assert_int_equal(count(&x), 0);
	assert_int_equal(standing_remove(x.service, &r), CORE_E_NOT_FOUND);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	r = (struct standing_removal){.id = first_view(&x).id,
		.anybodys = true,
		.uid = 1001,
		.done = count_removed};
	assert_int_equal(standing_remove(x.service, &r), CORE_OK);
	script_settle(&x);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

static void
test_two_users(void **state)
{
	struct identity other = {.pid = 2, .uid = 1001};
	struct session_label label = label_of(path_a);
	struct session *s;
	struct script x;
	uint64_t h;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(session_new(&s, x.service, &other,
				 area_new(x.area, SCRIPT_AREA_HALF,
					 SCRIPT_AREA_HALF, NULL, NULL),
				 &script_session_ops, &x),
		CORE_OK);
	assert_int_equal(session_info_open(s, 1, &label, &whole,
				 &(struct session_versions){1, 2}, &h),
		CORE_E_NOT_FOUND);
	assert_int_equal(session_unpublish(s, 2, &label), CORE_E_NOT_FOUND);
	assert_int_equal(session_publish_open(s, &label, 0, 2, &h), CORE_OK);
	assert_int_equal(session_stream_close(s, h), CORE_OK);
	session_free(s, false);
	assert_int_equal(can_open(&x, path_a), CORE_OK);
	script_done(&x);
}

/* Every allocation on the way fails once; whatever comes of it, each thing ends
 * once and nothing is left. */
static int
whole_life(void *arg)
{
	struct session_label label = label_of(path_a);
	static struct script x;
	uint64_t h, op;
	bool oom;

	failalloc_disarm();
	init(&x);
	op = script_op(&x);
	failalloc_arm(*(unsigned long *)arg);
	(void)submit(&x, op, path_a, path_a, BOTH);
	script_settle(&x);
	if (session_info_open(x.session, 1, &label, &whole,
		    &(struct session_versions){1, 2}, &h) == CORE_LATER)
		x.next_request++;
	script_settle(&x);
	script_time(&x, 1);
	script_settle(&x);
	if (session_unpublish(x.session, 2, &label) == CORE_LATER)
		x.next_request++;
	script_settle(&x);
	oom = failalloc_disarm();
	assert_int_equal(x.n_replies, x.next_request);
	assert_int_equal(
		script_op_of(&x, op)->acks, script_op_of(&x, op)->completions);
	if (!oom) {
		assert_int_equal(x.n_replies, 2);
		assert_int_equal(x.reply_result, CORE_OK);
		assert_int_equal(status_of(&x, op), CORE_OK);
	}
	script_done(&x);
	return oom ? -ENOMEM : 0;
}

static void
test_out_of_memory(void **state)
{
	unsigned long n = 0;

	while (whole_life(&(unsigned long){++n}) != 0)
		assert_true(n < 5000);
	print_message("%lu allocations\n", n - 1);
	assert_true(n > 25);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpublish),
		cmocka_unit_test(test_changed_file),
		cmocka_unit_test(test_hidden_file),
		cmocka_unit_test(test_unwatched),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_remove_by_id),
		cmocka_unit_test(test_two_users),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

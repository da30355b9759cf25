/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macros.h"
#include "daemon/manager_env.h"
#include "daemon/net/loop.h"

#define JOBS 64 /* more than one millisecond takes on the loop */

static struct loop *loop;
static struct work_pool *pool;
static struct loop_watch *watch;
static struct host_env host;

struct job {
	struct env_job env;
	bool offers; /* to be done at once */
	bool now, worked, ended;
};

static unsigned n_left;

static void
on_readable(void *ctx)
{
	work_dispatch(pool);
}

static int
setup(void **state)
{
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(host_env_pool(&pool, 1), 0);
	watch = loop_watch_new(loop, work_fd(pool), on_readable, NULL);
	assert_non_null(watch);
	host_env_init(&host, loop, pool, NULL);
	return 0;
}

static int
teardown(void **state)
{
	loop_watch_free(watch);
	pool = work_free(pool);
	host_env_done(&host);
	loop = loop_free(loop);
	return 0;
}

static struct job *
job_of(struct env_job *e)
{
	return container_of(e, struct job, env);
}

static bool
try_now(struct env_job *e, struct bulk *bulk)
{
	assert_non_null(bulk);
	job_of(e)->now = job_of(e)->offers;
	return job_of(e)->offers;
}

static void
run(struct env_job *e, struct bulk *bulk)
{
	job_of(e)->worked = true;
}

static void
done(struct env_job *e, bool ran)
{
	assert_int_equal(ran, job_of(e)->now || job_of(e)->worked);
	assert_false(job_of(e)->ended);
	job_of(e)->ended = true;
	if (--n_left == 0)
		loop_stop(loop);
}

static void
submit(struct job *j, bool offers)
{
	*j = (struct job){.env = {.run = run, .try_now = try_now, .done = done},
		.offers = offers};
	n_left++;
	host.env.ops->job(host.env.ctx, &j->env);
	/* Never from inside the call. */
	assert_false(j->ended);
}

static void
test_at_once(void **state)
{
	struct job j;

	submit(&j, true);
	assert_int_equal(loop_run(loop), 0);
	assert_true(j.now && !j.worked && j.ended);
}

static void
test_not_at_once(void **state)
{
	struct job j;

	submit(&j, false);
	assert_int_equal(loop_run(loop), 0);
	assert_true(!j.now && j.worked && j.ended);
}

/* However many offer it, each is done once, here or there. */
static void
test_many(void **state)
{
	static struct job jobs[JOBS];

	for (size_t i = 0; i < JOBS; i++)
		submit(&jobs[i], true);
	assert_int_equal(loop_run(loop), 0);
	for (size_t i = 0; i < JOBS; i++)
		assert_true(jobs[i].ended && jobs[i].now != jobs[i].worked);
}

static bool let_go, hangs;

static void
hang(struct env_job *e, struct bulk *bulk)
{
	__atomic_store_n(&hangs, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST))
		sched_yield();
	job_of(e)->worked = true;
}

static void
submit_slow(struct job *j, uint32_t uid,
	void (*fn)(struct env_job *, struct bulk *))
{
	*j = (struct job){
		.env = {.run = fn, .done = done, .uid = uid, .slow = true}};
	n_left++;
	host.env.ops->job(host.env.ctx, &j->env);
}

/* What does not answer holds up its own jobs only, and those can be taken
 * back. */
static void
test_slow(void **state)
{
	struct job stuck, behind, other;

	let_go = hangs = false;
	submit_slow(&stuck, ENV_PLACE(7), hang);
	while (!__atomic_load_n(&hangs, __ATOMIC_SEQ_CST))
		sched_yield();
	submit_slow(&behind, ENV_PLACE(7), run);
	submit_slow(&other, 7, run);
	host.env.ops->job_cancel(host.env.ctx, &behind.env);
	assert_false(behind.ended);
	n_left--;
	assert_int_equal(loop_run(loop), 0);
	assert_true(other.worked && behind.ended && !behind.worked);
	assert_false(stuck.ended);
	host.env.ops->job_cancel(host.env.ctx, &stuck.env);
	__atomic_store_n(&let_go, true, __ATOMIC_SEQ_CST);
	n_left++;
	assert_int_equal(loop_run(loop), 0);
	assert_true(stuck.ended && stuck.worked);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_not_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/macros.h"
#include "common/work.h"
#include "tests/unit/failalloc.h"

#define DEADLINE_MS 30000

struct test_job {
	struct work_job job;
	int done_count;
	pthread_t ran_on;
	void *ctx;
	int hold; /* read one byte from here before ending, -1: none */
	int tell; /* write one byte there when begun, -1: none */
};

/* The order of runs; the lock is for pools of several threads. */
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static struct test_job *order[4096];
static size_t n_order;
static unsigned n_done;
static struct work_pool *pool;

static void
job_run(struct work_job *job, void *ctx)
{
	struct test_job *t = container_of(job, struct test_job, job);
	char c = 'x';

	t->ran_on = pthread_self();
	t->ctx = ctx;
	pthread_mutex_lock(&order_lock);
	order[n_order++ % ARRAY_LEN(order)] = t;
	pthread_mutex_unlock(&order_lock);
	if (t->tell >= 0 && write(t->tell, &c, 1) != 1)
		abort();
	if (t->hold >= 0 && read(t->hold, &c, 1) != 1)
		abort();
}

static void
job_done(struct work_job *job)
{
	container_of(job, struct test_job, job)->done_count++;
	n_done++;
}

static void
job_init(struct test_job *t, uint32_t uid, bool slow)
{
	*t = (struct test_job){.hold = -1, .tell = -1};
	t->job.run = job_run;
	t->job.done = job_done;
	t->job.uid = uid;
	t->job.slow = slow;
	t->job.ran = 9;
}

static void
submit(struct test_job *t, uint32_t uid, bool slow)
{
	job_init(t, uid, slow);
	work_submit(pool, &t->job);
}

static void
wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

static void
wait_done(unsigned n)
{
	while (n_done < n) {
		wait_readable(work_fd(pool));
		work_dispatch(pool);
	}
	assert_int_equal(n_done, n);
}

/* A job that has a thread until it is let go. */
struct gate {
	struct test_job t;
	int hold[2];
	int tell[2];
};

static void
gate_close(struct gate *g, uint32_t uid, bool slow)
{
	char c;

	assert_int_equal(pipe(g->hold), 0);
	assert_int_equal(pipe(g->tell), 0);
	job_init(&g->t, uid, slow);
	g->t.hold = g->hold[0];
	g->t.tell = g->tell[1];
	work_submit(pool, &g->t.job);
	wait_readable(g->tell[0]);
	assert_int_equal(read(g->tell[0], &c, 1), 1);
}

static void
gate_open(struct gate *g)
{
	assert_int_equal(write(g->hold[1], "x", 1), 1);
}

static void
gate_done(struct gate *g)
{
	close(g->hold[0]);
	close(g->hold[1]);
	close(g->tell[0]);
	close(g->tell[1]);
}

static const struct work_thread_ops three_slow = {.slow_threads = 3};

/* NULL: that. */
static void
pool_start(unsigned threads, const struct work_thread_ops *ops)
{
	n_order = 0;
	n_done = 0;
	assert_int_equal(
		work_new(&pool, threads, ops != NULL ? ops : &three_slow), 0);
}

static void
test_runs_elsewhere_and_ends_here(void **state)
{
	struct test_job t[20];

	pool_start(2, NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		submit(&t[i], 1000, false);
	wait_done(ARRAY_LEN(t));
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].done_count, 1);
		assert_int_equal(t[i].job.ran, 1);
		assert_false(pthread_equal(t[i].ran_on, pthread_self()));
		assert_null(t[i].ctx);
	}
	pool = work_free(pool);
	assert_null(pool);
	assert_null(work_free(NULL));
}

static void
test_descriptor_follows_results(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct test_job t[2];

	pool_start(1, NULL);
	p.fd = work_fd(pool);
	assert_int_equal(poll(&p, 1, 0), 0);
	work_dispatch(pool);
	submit(&t[0], 1, false);
	wait_done(1);
	assert_int_equal(poll(&p, 1, 0), 0);
	submit(&t[1], 1, false);
	wait_done(2);
	pool = work_free(pool);
}

static void
test_users_take_turns(void **state)
{
	/* 1 and 65 meet in one bucket. */
	static const uint32_t late[] = {2, 65, UINT32_MAX};
	struct test_job many[50], one[ARRAY_LEN(late)];
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 1, false);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		submit(&many[i], 1, false);
	for (size_t i = 0; i < ARRAY_LEN(late); i++)
		submit(&one[i], late[i], false);
	gate_open(&g);
	wait_done(1 + ARRAY_LEN(many) + ARRAY_LEN(late));
	/* The gate, the first of many, then all others before the third. */
	assert_ptr_equal(order[1], &many[0]);
	for (size_t i = 2; i < 2 + ARRAY_LEN(late) + 1; i++)
		assert_ptr_not_equal(order[i], &many[2]);
	assert_ptr_equal(order[ARRAY_LEN(late) + 3], &many[2]);
	gate_done(&g);
	pool = work_free(pool);
}

static void
test_one_users_jobs_keep_their_order(void **state)
{
	struct test_job a[30], b[30];
	size_t next_a = 0, next_b = 0;
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 7, false);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		submit(&a[i], 7, false);
		submit(&b[i], 7 + 64, false);
	}
	gate_open(&g);
	wait_done(1 + ARRAY_LEN(a) + ARRAY_LEN(b));
	for (size_t i = 1; i < n_order; i++) {
		if (order[i]->job.uid == 7)
			assert_ptr_equal(order[i], &a[next_a++]);
		else
			assert_ptr_equal(order[i], &b[next_b++]);
		/* And neither gets ahead of the other. */
		assert_true(next_a <= next_b + 1 && next_b <= next_a + 1);
	}
	gate_done(&g);
	pool = work_free(pool);
}

/* Of one uid; its quick ones have other threads, be there but one. */
static void
test_one_slow_job_at_a_time(void **state)
{
	struct test_job slow[3], quick[20];
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 1, true);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		submit(&slow[i], 1, true);
	for (size_t i = 0; i < ARRAY_LEN(quick); i++)
		submit(&quick[i], 1, false);
	wait_done(ARRAY_LEN(quick));
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		assert_int_equal(slow[i].done_count, 0);
	gate_open(&g);
	wait_done(1 + ARRAY_LEN(quick) + ARRAY_LEN(slow));
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		assert_ptr_equal(order[n_order - 3 + i], &slow[i]);
	gate_done(&g);
	pool = work_free(pool);
}

/* One that is stuck holds up nobody of another uid, as long as there are
 * threads. */
static void
test_slow_jobs_of_others(void **state)
{
	struct test_job behind, others[20], last;
	struct gate g[3];

	pool_start(1, NULL);
	gate_close(&g[0], 1, true);
	submit(&behind, 1, true);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		submit(&others[i], 2 + (uint32_t)i % 7, true);
	wait_done(ARRAY_LEN(others));
	gate_close(&g[1], 65, true); /* in one bucket with 1 */
	submit(&last, 3, true);
	wait_done(ARRAY_LEN(others) + 1);
	/* All three threads: then it waits for the first that is free. */
	gate_close(&g[2], 2, true);
	submit(&last, 3, true);
	gate_open(&g[1]);
	wait_done(ARRAY_LEN(others) + 3);
	assert_int_equal(last.done_count, 1);
	assert_int_equal(behind.done_count, 0);
	gate_open(&g[0]);
	gate_open(&g[2]);
	wait_done(ARRAY_LEN(others) + 6);
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		gate_done(&g[i]);
	pool = work_free(pool);
}

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;
static int slow_now[65], slow_most, slow_all, slow_all_most;

static void
slow_run(struct work_job *job, void *ctx)
{
	int *now = &slow_now[job->uid];

	pthread_mutex_lock(&slow_lock);
	++*now;
	slow_all++;
	slow_most = MAX_OF(slow_most, *now);
	slow_all_most = MAX_OF(slow_all_most, slow_all);
	pthread_mutex_unlock(&slow_lock);
	sched_yield();
	pthread_mutex_lock(&slow_lock);
	--*now;
	slow_all--;
	pthread_mutex_unlock(&slow_lock);
}

/* Also that none is forgotten while the other threads sleep. */
static void
test_many_slow_jobs(void **state)
{
	struct test_job t[500];

	slow_most = slow_all_most = 0;
	pool_start(4, NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		job_init(&t[i], (uint32_t)i % 5 * 16, i % 3 != 0);
		if (t[i].job.slow)
			t[i].job.run = slow_run;
		work_submit(pool, &t[i].job);
	}
	wait_done(ARRAY_LEN(t));
	assert_int_equal(slow_most, 1);
	assert_true(slow_all_most <= 3);
	pool = work_free(pool);
}

/* Wherever in its lane it waits; the others keep their order, and lanes their
 * turns. */
static void
cancel_one(bool slow, size_t at)
{
	struct test_job a[4], b[2], late;
	struct gate g;

	pool_start(1, &(struct work_thread_ops){.slow_threads = 1});
	gate_close(&g, 9, slow);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		submit(&a[i], 1, slow);
		if (i < ARRAY_LEN(b))
			submit(&b[i], 65, slow);
	}
	work_cancel(pool, &a[at].job);
	assert_int_equal(a[at].done_count, 0);
	wait_done(1);
	assert_int_equal(a[at].done_count, 1);
	assert_int_equal(a[at].job.ran, 0);
	submit(&late, 1, slow);
	gate_open(&g);
	wait_done(1 + 1 + ARRAY_LEN(a) + ARRAY_LEN(b));
	assert_int_equal(n_order, ARRAY_LEN(a) + ARRAY_LEN(b) + 1);
	assert_ptr_equal(order[1], &a[at == 0 ? 1 : 0]);
	assert_ptr_equal(order[2], &b[0]);
	assert_ptr_equal(order[3], &a[at <= 1 ? 2 : 1]);
	assert_ptr_equal(order[4], &b[1]);
	assert_ptr_equal(order[5], &a[at == 3 ? 2 : 3]);
	assert_ptr_equal(order[6], &late);
	gate_done(&g);
	pool = work_free(pool);
}

static void
test_cancel(void **state)
{
	for (size_t at = 0; at < 4; at++) {
		cancel_one(false, at);
		cancel_one(true, at);
	}
}

/* Behind one that runs, up to the last; and that one itself is let alone. */
static void
test_cancel_behind(void **state)
{
	struct test_job t[3], late;
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 1, true);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		submit(&t[i], 1, true);
	work_cancel(pool, &g.t.job);
	work_cancel(pool, &t[2].job);
	work_cancel(pool, &t[0].job);
	work_cancel(pool, &t[1].job);
	wait_done(3);
	submit(&late, 1, true);
	gate_open(&g);
	wait_done(5);
	assert_int_equal(g.t.job.ran, 1);
	assert_int_equal(late.job.ran, 1);
	assert_int_equal(n_order, 2);
	gate_done(&g);
	pool = work_free(pool);
}

/* The only one of its uid: the queue is as if it had never been there. */
static void
test_cancel_alone(void **state)
{
	struct test_job t[2], ended;
	struct gate g;

	pool_start(1, NULL);
	submit(&ended, 1, false);
	wait_readable(work_fd(pool));
	work_cancel(pool, &ended.job); /* too late */
	wait_done(1);
	assert_int_equal(ended.job.ran, 1);
	gate_close(&g, 1, false);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		submit(&t[i], 2, false);
		work_cancel(pool, &t[i].job);
	}
	wait_done(3);
	submit(&t[0], 2, false);
	submit(&t[1], 66, false);
	gate_open(&g);
	wait_done(6);
	assert_int_equal(t[0].job.ran + t[1].job.ran, 2);
	gate_done(&g);
	pool = work_free(pool);
}

static void
test_stop_gives_all_jobs_back(void **state)
{
	struct test_job t[10], slow;
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 1, false);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		submit(&t[i], (uint32_t)i, false);
	submit(&slow, 1, true);
	/* Without the gate open, work_free() would wait for ever; opened, the
	 * thread may take some jobs before it sees the end. */
	gate_open(&g);
	pool = work_free(pool);
	assert_int_equal(g.t.done_count, 1);
	assert_int_equal(g.t.job.ran, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].done_count, 1);
		assert_true(t[i].job.ran == (t[i].ran_on != 0));
	}
	assert_int_equal(slow.done_count, 1);
	assert_int_equal(n_done, ARRAY_LEN(t) + 2);
	gate_done(&g);
}

static void *
stopper(void *arg)
{
	struct gate *g = arg;

	gate_open(g);
	return NULL;
}

/* Threads, as far as they were asked for here. */
static unsigned started;

int __real_pthread_create(
	pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(
	pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	void *(*run)(void *), void *arg)
{
	started++;
	return __real_pthread_create(thread, attr, run, arg);
}

static struct test_job again[3];

static void
done_submits(struct work_job *job)
{
	job_done(job);
	for (size_t i = 0; i < ARRAY_LEN(again); i++)
		submit(&again[i], 3 + (uint32_t)i, i > 0);
}

/* Those that are submitted by a done of the end come back too, and never run;
 * nor is a thread started for the slow ones, which nobody would wait for. */
static void
test_stop_while_stopping(void **state)
{
	struct test_job first;
	pthread_t thread;
	struct gate g;

	pool_start(1, NULL);
	gate_close(&g, 1, false);
	job_init(&first, 2, false);
	first.job.done = done_submits;
	work_submit(pool, &first.job);
	assert_int_equal(pthread_create(&thread, NULL, stopper, &g), 0);
	started = 0;
	pool = work_free(pool);
	pthread_join(thread, NULL);
	assert_int_equal(first.done_count, 1);
	for (size_t i = 0; i < ARRAY_LEN(again); i++) {
		assert_int_equal(again[i].done_count, 1);
		assert_int_equal(again[i].job.ran, 0);
	}
	assert_int_equal(started, 0);
	gate_done(&g);
}

struct chain {
	struct work_job job;
	int left;
};

static void
chain_run(struct work_job *job, void *ctx)
{
}

static void
chain_done(struct work_job *job)
{
	struct chain *c = container_of(job, struct chain, job);
	struct chain *next;

	n_done++;
	if (c->left > 0) {
		next = calloc(1, sizeof(*next));
		assert_non_null(next);
		next->job = c->job;
		next->left = c->left - 1;
		work_submit(pool, &next->job);
	}
	memset(c, 0xdd, sizeof(*c));
	free(c);
}

static void
test_done_frees_and_submits(void **state)
{
	struct chain *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->job.run = chain_run;
	c->job.done = chain_done;
	c->left = 99;
	pool_start(2, NULL);
	work_submit(pool, &c->job);
	wait_done(100);
	pool = work_free(pool);
}

static int ctx_made, ctx_freed, ctx_fail;
static pthread_t ctx_thread;

static void *
ctx_new(void)
{
	if (__atomic_sub_fetch(&ctx_fail, 1, __ATOMIC_SEQ_CST) >= 0)
		return NULL;
	__atomic_add_fetch(&ctx_made, 1, __ATOMIC_SEQ_CST);
	ctx_thread = pthread_self();
	return &ctx_made;
}

static void
ctx_free(void *ctx)
{
	if (ctx == &ctx_made && pthread_equal(ctx_thread, pthread_self()))
		__atomic_add_fetch(&ctx_freed, 1, __ATOMIC_SEQ_CST);
}

static void
test_thread_context(void **state)
{
	static const struct work_thread_ops ops = {
		.ctx_new = ctx_new, .ctx_free = ctx_free};
	struct test_job t[4];

	ctx_made = ctx_freed = 0;
	ctx_fail = 2;
	pool_start(1, &ops);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		submit(&t[i], 1, false);
		wait_done(i + 1);
	}
	/* Tried again until it worked, then kept. */
	assert_null(t[0].ctx);
	assert_null(t[1].ctx);
	assert_ptr_equal(t[2].ctx, &ctx_made);
	assert_ptr_equal(t[3].ctx, &ctx_made);
	pool = work_free(pool);
	assert_int_equal(ctx_made, 1);
	assert_int_equal(ctx_freed, 1);

	/* None is made for a thread that never has work. */
	pool_start(2, &ops);
	pool = work_free(pool);
	assert_int_equal(ctx_made, 1);
}

static sigset_t worker_mask;

static void
mask_run(struct work_job *job, void *ctx)
{
	pthread_sigmask(SIG_SETMASK, NULL, &worker_mask);
}

static void
test_signals_blocked(void **state)
{
	sigset_t before, after;
	struct test_job t;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	pool_start(1, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	job_init(&t, 1, false);
	t.job.run = mask_run;
	work_submit(pool, &t.job);
	wait_done(1);
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		/* glibc keeps two for itself. */
		bool own = sig > SIGSYS && sig < SIGRTMIN;
		bool fault = sig == SIGBUS || sig == SIGSEGV ||
			sig == SIGABRT || sig == SIGFPE || sig == SIGILL;

		assert_int_equal(
			sigismember(&before, sig), sigismember(&after, sig));
		if (!own && sig != SIGKILL && sig != SIGSTOP)
			assert_int_equal(
				sigismember(&worker_mask, sig), !fault);
	}
	pool = work_free(pool);
}

static int
scenario_new(void *arg)
{
	struct work_pool *p;
	int r = work_new(&p, 3, &three_slow);

	if (r == 0)
		work_free(p);
	return r;
}

static void
test_new_fails_cleanly(void **state)
{
	struct work_pool *p;

	assert_int_equal(work_new(&p, 0, NULL), -EINVAL);
	assert_int_equal(
		work_new(&p, 1, &(struct work_thread_ops){.slow_threads = 17}),
		-EINVAL);
	assert_int_equal(failalloc_each(scenario_new, NULL), 1);
}

/* Submitting makes no allocation. */
static void
test_submit_needs_no_memory(void **state)
{
	struct test_job t[10];

	pool_start(2, NULL);
	failalloc_arm(1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		submit(&t[i], (uint32_t)i, i & 1);
	wait_done(ARRAY_LEN(t));
	assert_false(failalloc_disarm());
	pool = work_free(pool);
}

static void
test_many_users_and_threads(void **state)
{
	enum { N = 20000 };
	struct test_job *t = calloc(N, sizeof(*t));
	uint32_t random = 1;

	assert_non_null(t);
	pool_start(4, NULL);
	for (size_t i = 0; i < N; i++) {
		random = random * 1664525 + 1013904223;
		submit(&t[i], (random >> 16) % 300, random >> 31);
		if (i % 64 == 0)
			work_dispatch(pool);
	}
	wait_done(N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(t[i].done_count, 1);
	pool = work_free(pool);
	free(t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_elsewhere_and_ends_here),
		cmocka_unit_test(test_descriptor_follows_results),
		cmocka_unit_test(test_users_take_turns),
		cmocka_unit_test(test_one_users_jobs_keep_their_order),
		cmocka_unit_test(test_one_slow_job_at_a_time),
		cmocka_unit_test(test_many_slow_jobs),
		cmocka_unit_test(test_slow_jobs_of_others),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_behind),
		cmocka_unit_test(test_cancel_alone),
		cmocka_unit_test(test_stop_gives_all_jobs_back),
		cmocka_unit_test(test_stop_while_stopping),
		cmocka_unit_test(test_done_frees_and_submits),
		cmocka_unit_test(test_thread_context),
		cmocka_unit_test(test_signals_blocked),
		cmocka_unit_test(test_new_fails_cleanly),
		cmocka_unit_test(test_submit_needs_no_memory),
		cmocka_unit_test(test_many_users_and_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

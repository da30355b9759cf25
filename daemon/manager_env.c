/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A job of the core becomes a job of the pool in place: the pool's record lies
 * in the private part of the core's.  A job without work (run is NULL) only
 * wants its answer later; it stays on the loop, since waking a thread on
 * another processor costs more than most answers.  For the same reason a short
 * job that need not wait for anything is done on the loop.
 */
#include "daemon/manager_env.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "codec/bulk.h"
#include "common/macros.h"
#include "daemon/net/discovery.h"
#include "daemon/net/loop.h"
#include "daemon/net/retrieve.h"

#define THREADS_AUTO_MAX 4
#define NOW_MOST         16u /* jobs on the loop in one millisecond */
/* One for each file system, or user, that stalls; beyond that the others wait
 * for them. */
#define SLOW_THREADS 8u

_Static_assert(
	sizeof(struct work_job) <= sizeof(((struct env_job *)0)->env_private),
	"the pool's record fits the core's job");
_Static_assert(
	_Alignof(struct work_job) <= _Alignof(void *), "and may lie there");
_Static_assert(sizeof(struct loop_deferred) <=
		sizeof(((struct env_job *)0)->env_private),
	"the loop's record fits, too");

static struct env_job *
job_of(struct work_job *w)
{
	return container_of(w, struct env_job, env_private);
}

static void
run_job(struct work_job *w, void *thread_ctx)
{
	struct env_job *job = job_of(w);

	/* Without memory for its hasher a thread cannot do anything; the
	 * core takes a job that did not run for a failure. */
	if (thread_ctx == NULL)
		w->ran = 0;
	else
		job->run(job, thread_ctx);
}

static void
end_job(struct work_job *w)
{
	struct env_job *job = job_of(w);

	job->done(job, w->ran);
}

static uint64_t
now_ms(void *ctx)
{
	return loop_now_ms();
}

/* getrandom() for up to 256 bytes cannot fail once the pool is ready. */
static void
fill_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, MIN_OF(len, 256u), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

static void
end_deferred(struct loop_deferred *d)
{
	struct env_job *job = container_of(d, struct env_job, env_private);

	job->done(job, true);
}

static void
defer_job(struct host_env *e, struct env_job *job)
{
	struct loop_deferred *d = (void *)job->env_private;

	*d = (struct loop_deferred){.fn = end_deferred};
	loop_defer(e->loop, d);
}

/* So few of them that the loop has most of its time for other things. */
static bool
done_now(struct host_env *e, struct env_job *job)
{
	uint64_t now = loop_now_ms();

	if (job->try_now == NULL)
		return false;
	if (e->now_ms != now)
		e->n_now = 0;
	e->now_ms = now;
	if (e->n_now == NOW_MOST)
		return false;
	if (e->bulk == NULL)
		e->bulk = bulk_new(BULK_AUTO);
	if (e->bulk == NULL || !job->try_now(job, e->bulk))
		return false;
	e->n_now++;
	return true;
}

static void
submit_job(void *ctx, struct env_job *job)
{
	struct host_env *e = ctx;
	struct work_job *w = (void *)job->env_private;

	if (job->run == NULL || done_now(e, job)) {
		defer_job(e, job);
		return;
	}
	*w = (struct work_job){
		.run = run_job,
		.done = end_job,
		.uid = job->uid,
		.slow = job->slow,
	};
	work_submit(e->pool, w);
}

static void
cancel_job(void *ctx, struct env_job *job)
{
	struct host_env *e = ctx;

	work_cancel(e->pool, (struct work_job *)(void *)job->env_private);
}

static void
peer_request(void *ctx, struct env_peer_request *request)
{
	struct host_env *e = ctx;

	retrieve_request(e->retrieve, request);
}

static void
peer_cancel(void *ctx, struct env_peer_request *request)
{
	struct host_env *e = ctx;

	retrieve_cancel(e->retrieve, request);
}

static void
probe(void *ctx, const struct env_probe *p)
{
	struct host_env *e = ctx;

	if (e->discovery != NULL)
		discovery_probe(e->discovery, p);
}

static void
match(void *ctx, const struct env_match *m)
{
	struct host_env *e = ctx;

	if (e->discovery != NULL)
		discovery_match(e->discovery, m);
}

static void
timer_changed(void *ctx)
{
	struct host_env *e = ctx;

	loop_timer_changed(e->loop);
}

static uint64_t
wall_ms(void *ctx)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const struct env_ops ops = {
	.now_ms = now_ms,
	.random = fill_random,
	.job = submit_job,
	.job_cancel = cancel_job,
	.peer_request = peer_request,
	.peer_cancel = peer_cancel,
	.probe = probe,
	.match = match,
	.timer_changed = timer_changed,
	.wall_ms = wall_ms,
};

void
host_env_init(struct host_env *e, struct loop *loop, struct work_pool *pool,
	struct retrieve *retrieve)
{
	*e = (struct host_env){
		.env = {.ops = &ops, .ctx = e},
		.loop = loop,
		.pool = pool,
		.retrieve = retrieve,
	};
}

void
host_env_done(struct host_env *e)
{
	e->bulk = bulk_free(e->bulk);
}

static void *
thread_ctx_new(void)
{
	return bulk_new(BULK_AUTO);
}

static void
thread_ctx_free(void *bulk)
{
	bulk_free(bulk);
}

int
host_env_pool(struct work_pool **ret_pool, unsigned threads)
{
	static const struct work_thread_ops thread_ops = {
		.ctx_new = thread_ctx_new,
		.ctx_free = thread_ctx_free,
		.slow_threads = SLOW_THREADS,
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (threads == 0)
		threads = cpus < 1
			? 1
			: MIN_OF((unsigned)cpus, (unsigned)THREADS_AUTO_MAX);
	return work_new(ret_pool, threads, &thread_ops);
}

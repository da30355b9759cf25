/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Submitting must not fail, so nothing is allocated for a queue: everything is
 * linked through the jobs.
 *
 *	lane		one user's waiting jobs in order, linked by link; its
 *			first job stands for the lane: it knows the last one
 *	bucket		the lanes of all users with the same low bits of the
 *			uid, linked by turn of their first jobs
 *	queue		the buckets that are not empty, in order
 *
 * A worker takes the first bucket's first lane's first job, then moves lane and
 * bucket to the ends of their lists.  So users take turns; only those who meet
 * in one bucket share its turn, and nobody ever waits for more than one job of
 * each other.
 *
 * Slow jobs have a queue and threads of their own.  While one of a lane runs,
 * the others of that lane are not in the queue but wait in its slot, so
 * whatever the queue has may run at once.  A further thread is started when
 * there is more of that than threads.
 *
 * Finished jobs are collected in a list; the descriptor is written only when
 * that was empty, so a burst of results costs one wake-up.
 */
#include "common/work.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"

#define WORK_BUCKETS 64

STAILQ_HEAD(work_jobs, work_job);

struct work_bucket {
	struct work_jobs lanes;
	STAILQ_ENTRY(work_bucket) link;
};

struct work_queue {
	STAILQ_HEAD(, work_bucket) turns;
	struct work_bucket buckets[WORK_BUCKETS];
	unsigned n_lanes;
};

/* A slow job that runs, and the first of its lane that waits behind it. */
struct work_slot {
	struct work_job *running; /* NULL: the slot is free */
	struct work_job *rest;
};

struct work_pool {
	struct work_thread_ops ops;
	int wake_fd;

	pthread_mutex_t lock; /* of everything from here on */
	pthread_cond_t quick_wanted;
	pthread_cond_t slow_wanted;
	struct work_queue quick;
	struct work_queue slow;
	struct work_slot slots[WORK_SLOW_MOST];
	unsigned n_running; /* slots */
	struct work_jobs finished;
	bool stopping;

	/* The loop thread's own. */
	unsigned n_slow;    /* threads for these */
	unsigned n_threads; /* all */
	pthread_t threads[];
};

static void
queue_init(struct work_queue *q)
{
	STAILQ_INIT(&q->turns);
	for (size_t i = 0; i < WORK_BUCKETS; i++)
		STAILQ_INIT(&q->buckets[i].lanes);
}

static void
lane_append(struct work_job *first, struct work_job *job)
{
	STAILQ_NEXT(first->last, link) = job;
	first->last = job;
}

/* What is left of the lane without its first job, or NULL. */
static struct work_job *
lane_rest(struct work_job *first)
{
	struct work_job *next = STAILQ_NEXT(first, link);

	if (next != NULL)
		next->last = first->last;
	return next;
}

/* false: it is not there. */
static bool
lane_remove(struct work_job **first, struct work_job *job)
{
	struct work_job *before = *first;

	if (before == job) {
		*first = lane_rest(job);
		return true;
	}
	while (before != NULL && STAILQ_NEXT(before, link) != job)
		before = STAILQ_NEXT(before, link);
	if (before == NULL)
		return false;
	STAILQ_NEXT(before, link) = STAILQ_NEXT(job, link);
	if ((*first)->last == job)
		(*first)->last = before;
	return true;
}

static struct work_bucket *
bucket_of(struct work_queue *q, uint32_t uid)
{
	return &q->buckets[uid % WORK_BUCKETS];
}

static void
queue_add_lane(struct work_queue *q, struct work_job *first)
{
	struct work_bucket *b = bucket_of(q, first->uid);

	if (STAILQ_EMPTY(&b->lanes))
		STAILQ_INSERT_TAIL(&q->turns, b, link);
	STAILQ_INSERT_TAIL(&b->lanes, first, turn);
	q->n_lanes++;
}

static struct work_job *
queue_find_lane(struct work_queue *q, uint32_t uid)
{
	struct work_job *first;

	STAILQ_FOREACH (first, &bucket_of(q, uid)->lanes, turn)
		if (first->uid == uid)
			return first;
	return NULL;
}

static void
queue_push(struct work_queue *q, struct work_job *job)
{
	struct work_job *first = queue_find_lane(q, job->uid);

	if (first != NULL)
		lane_append(first, job);
	else
		queue_add_lane(q, job);
}

/* Its first job; the lane is not in the queue any more. */
static struct work_job *
queue_pop_lane(struct work_queue *q)
{
	struct work_bucket *b = STAILQ_FIRST(&q->turns);
	struct work_job *first;

	if (b == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&q->turns, link);
	first = STAILQ_FIRST(&b->lanes);
	STAILQ_REMOVE_HEAD(&b->lanes, turn);
	if (!STAILQ_EMPTY(&b->lanes))
		STAILQ_INSERT_TAIL(&q->turns, b, link);
	q->n_lanes--;
	return first;
}

static struct work_job *
queue_pop(struct work_queue *q)
{
	struct work_job *job = queue_pop_lane(q);
	struct work_job *rest = job != NULL ? lane_rest(job) : NULL;

	if (rest != NULL)
		queue_add_lane(q, rest);
	return job;
}

/* The lane keeps its turn.  false: the job is not there. */
static bool
queue_remove(struct work_queue *q, struct work_job *job)
{
	struct work_bucket *b = bucket_of(q, job->uid);
	struct work_job *first = queue_find_lane(q, job->uid), *rest = first;

	if (first == NULL || !lane_remove(&rest, job))
		return false;
	if (rest == first)
		return true;
	if (rest != NULL)
		STAILQ_INSERT_AFTER(&b->lanes, first, rest, turn);
	else
		q->n_lanes--;
	STAILQ_REMOVE(&b->lanes, first, work_job, turn);
	if (STAILQ_EMPTY(&b->lanes))
		STAILQ_REMOVE(&q->turns, b, work_bucket, link);
	return true;
}

/* Slow jobs, under the lock. */

static struct work_slot *
slot_of(struct work_pool *p, uint32_t uid)
{
	for (size_t i = 0; i < WORK_SLOW_MOST; i++)
		if (p->slots[i].running != NULL &&
			p->slots[i].running->uid == uid)
			return &p->slots[i];
	return NULL;
}

static void
slow_push(struct work_pool *p, struct work_job *job)
{
	struct work_slot *slot = slot_of(p, job->uid);

	if (slot == NULL)
		queue_push(&p->slow, job);
	else if (slot->rest != NULL)
		lane_append(slot->rest, job);
	else
		slot->rest = job;
}

static struct work_job *
slow_pop(struct work_pool *p)
{
	struct work_job *job = queue_pop_lane(&p->slow);
	struct work_slot *slot = p->slots;

	if (job == NULL)
		return NULL;
	while (slot->running != NULL)
		slot++;
	*slot = (struct work_slot){.running = job, .rest = lane_rest(job)};
	p->n_running++;
	return job;
}

/* This thread looks for work now, so nobody is woken for what may run next. */
static void
slow_ended(struct work_pool *p, struct work_job *job)
{
	struct work_slot *slot = slot_of(p, job->uid);

	if (slot->rest != NULL)
		queue_add_lane(&p->slow, slot->rest);
	*slot = (struct work_slot){.running = NULL};
	p->n_running--;
}

static bool
slow_remove(struct work_pool *p, struct work_job *job)
{
	struct work_slot *slot = slot_of(p, job->uid);

	if (slot == NULL)
		return queue_remove(&p->slow, job);
	return lane_remove(&slot->rest, job);
}

/* Threads */

/* Under the lock, which is let go of for the wake-up: who wakes up takes it at
 * once. */
static void
work_finish(struct work_pool *p, struct work_job *job)
{
	bool wake = STAILQ_EMPTY(&p->finished);

	STAILQ_INSERT_TAIL(&p->finished, job, link);
	if (!wake)
		return;
	pthread_mutex_unlock(&p->lock);
	eventfd_write(p->wake_fd, 1);
	pthread_mutex_lock(&p->lock);
}

static void
work_run(struct work_pool *p, bool slow)
{
	struct work_job *job;
	void *ctx = NULL;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		job = slow ? slow_pop(p) : queue_pop(&p->quick);
		if (job == NULL) {
			pthread_cond_wait(
				slow ? &p->slow_wanted : &p->quick_wanted,
				&p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		if (ctx == NULL && p->ops.ctx_new != NULL)
			ctx = p->ops.ctx_new();
		job->ran = 1;
		job->run(job, ctx);
		pthread_mutex_lock(&p->lock);
		if (slow)
			slow_ended(p, job);
		work_finish(p, job);
	}
	pthread_mutex_unlock(&p->lock);
	if (ctx != NULL && p->ops.ctx_free != NULL)
		p->ops.ctx_free(ctx);
}

static void *
quick_thread(void *pool)
{
	work_run(pool, false);
	return NULL;
}

static void *
slow_thread(void *pool)
{
	work_run(pool, true);
	return NULL;
}

/* A new thread inherits the mask: with all blocked here, no signal can arrive
 * on a worker in between.  But faults of the thread itself must reach whoever
 * handles them; blocked, they end the process without a word. */
static int
work_start_thread(struct work_pool *p, void *(*fn)(void *))
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
	sigset_t all, old;
	int r;

	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&p->threads[p->n_threads], NULL, fn, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_new(-r);
	p->n_threads++;
	p->n_slow += fn == slow_thread;
	return 0;
}

static int
work_start_threads(struct work_pool *p, unsigned threads)
{
	int r = 0;

	while (r == 0 && p->n_threads < threads)
		r = work_start_thread(p, quick_thread);
	if (r == 0 && p->ops.slow_threads > 0)
		r = work_start_thread(p, slow_thread);
	return err_pass(r);
}

int
work_new(struct work_pool **ret_pool, unsigned threads,
	const struct work_thread_ops *ops)
{
	unsigned slow = ops != NULL ? ops->slow_threads : 0;
	struct work_pool *p;
	int r;

	if (threads == 0 || slow > WORK_SLOW_MOST)
		return err_new(-EINVAL);
	p = calloc(1, sizeof(*p) + (threads + slow) * sizeof(p->threads[0]));
	if (p == NULL)
		return err_new(-ENOMEM);
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->wake_fd < 0) {
		r = err_new(-errno);
		free(p);
		return r;
	}
	if (ops != NULL)
		p->ops = *ops;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->quick_wanted, NULL);
	pthread_cond_init(&p->slow_wanted, NULL);
	queue_init(&p->quick);
	queue_init(&p->slow);
	STAILQ_INIT(&p->finished);
	r = work_start_threads(p, threads);
	if (r != 0) {
		work_free(p);
		return err_pass(r);
	}
	*ret_pool = p;
	return 0;
}

int
work_fd(struct work_pool *p)
{
	return p->wake_fd;
}

/* A thread that cannot be started now is tried for the next job again: there is
 * one in any case.  At the end none is: it would not be waited for. */
static void
submit_slow(struct work_pool *p, struct work_job *job)
{
	bool busy;

	pthread_mutex_lock(&p->lock);
	slow_push(p, job);
	busy = !p->stopping && p->slow.n_lanes + p->n_running > p->n_slow;
	pthread_mutex_unlock(&p->lock);
	if (!busy)
		pthread_cond_signal(&p->slow_wanted);
	else if (p->n_slow < p->ops.slow_threads)
		(void)work_start_thread(p, slow_thread);
}

void
work_submit(struct work_pool *p, struct work_job *job)
{
	job->ran = 0;
	job->last = job;
	STAILQ_NEXT(job, link) = NULL;
	if (job->slow) {
		assert(p->ops.slow_threads > 0);
		submit_slow(p, job);
		return;
	}
	pthread_mutex_lock(&p->lock);
	queue_push(&p->quick, job);
	pthread_mutex_unlock(&p->lock);
	/* Behind the lock, lest who wakes up finds it taken. */
	pthread_cond_signal(&p->quick_wanted);
}

void
work_cancel(struct work_pool *p, struct work_job *job)
{
	pthread_mutex_lock(&p->lock);
	if (job->slow ? slow_remove(p, job) : queue_remove(&p->quick, job))
		work_finish(p, job);
	pthread_mutex_unlock(&p->lock);
}

void
work_dispatch(struct work_pool *p)
{
	struct work_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct work_job *job;
	eventfd_t count;

	/* Read before the list is taken: what is finished after that writes
	 * again, what is finished before is in the list. */
	eventfd_read(p->wake_fd, &count);
	pthread_mutex_lock(&p->lock);
	STAILQ_CONCAT(&jobs, &p->finished);
	pthread_mutex_unlock(&p->lock);
	while ((job = STAILQ_FIRST(&jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&jobs, link);
		job->done(job);
	}
}

/* All threads are gone.  A done may submit again, so until nothing is left. */
static void
work_drain(struct work_pool *p)
{
	struct work_job *job;

	do {
		work_dispatch(p);
		job = queue_pop(&p->quick);
		if (job == NULL)
			job = queue_pop(&p->slow);
		if (job != NULL)
			job->done(job);
	} while (job != NULL);
}

struct work_pool *
work_free(struct work_pool *p)
{
	if (p == NULL)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->quick_wanted);
	pthread_cond_broadcast(&p->slow_wanted);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	work_drain(p);
	pthread_cond_destroy(&p->quick_wanted);
	pthread_cond_destroy(&p->slow_wanted);
	pthread_mutex_destroy(&p->lock);
	close(p->wake_fd);
	free(p);
	return NULL;
}

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
 * Slow jobs have a queue of their own: behind the one that runs, others wait
 * without holding up the same user's quick ones.  A slow job is taken every
 * second time at most, so that a single thread still serves both.
 *
 * Finished jobs are collected in a list; the descriptor is written only when
 * that was empty, so a burst of results costs one wake-up.
 */
#include "common/work.h"

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
};

struct work_pool {
	struct work_thread_ops ops;
	int wake_fd;

	pthread_mutex_t lock; /* of everything from here on */
	pthread_cond_t wanted;
	struct work_queue quick;
	struct work_queue slow;
	struct work_jobs finished;
	bool slow_running;
	bool slow_was_last;
	bool stopping;

	unsigned n_threads; /* the loop thread's own */
	pthread_t threads[];
};

static void
queue_init(struct work_queue *q)
{
	STAILQ_INIT(&q->turns);
	for (size_t i = 0; i < WORK_BUCKETS; i++)
		STAILQ_INIT(&q->buckets[i].lanes);
}

static bool
queue_empty(const struct work_queue *q)
{
	return STAILQ_EMPTY(&q->turns);
}

static void
queue_add_lane(struct work_queue *q, struct work_job *first)
{
	struct work_bucket *b = &q->buckets[first->uid % WORK_BUCKETS];

	if (STAILQ_EMPTY(&b->lanes))
		STAILQ_INSERT_TAIL(&q->turns, b, link);
	STAILQ_INSERT_TAIL(&b->lanes, first, turn);
}

static void
queue_push(struct work_queue *q, struct work_job *job)
{
	struct work_bucket *b = &q->buckets[job->uid % WORK_BUCKETS];
	struct work_job *first;

	STAILQ_NEXT(job, link) = NULL;
	job->last = job;
	STAILQ_FOREACH (first, &b->lanes, turn) {
		if (first->uid != job->uid)
			continue;
		STAILQ_NEXT(first->last, link) = job;
		first->last = job;
		return;
	}
	queue_add_lane(q, job);
}

static struct work_job *
queue_pop(struct work_queue *q)
{
	struct work_bucket *b = STAILQ_FIRST(&q->turns);
	struct work_job *job, *next;

	if (b == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&q->turns, link);
	job = STAILQ_FIRST(&b->lanes);
	STAILQ_REMOVE_HEAD(&b->lanes, turn);
	if (!STAILQ_EMPTY(&b->lanes))
		STAILQ_INSERT_TAIL(&q->turns, b, link);

	next = STAILQ_NEXT(job, link);
	if (next != NULL) {
		next->last = job->last;
		queue_add_lane(q, next);
	}
	return job;
}

/* Under the lock. */
static struct work_job *
work_next(struct work_pool *p)
{
	bool slow_may = !p->slow_running && !queue_empty(&p->slow);
	struct work_job *job;

	if (slow_may && (!p->slow_was_last || queue_empty(&p->quick)))
		job = queue_pop(&p->slow);
	else
		job = queue_pop(&p->quick);
	if (job != NULL) {
		p->slow_was_last = job->slow;
		if (job->slow)
			p->slow_running = true;
	}
	return job;
}

/* Under the lock, which is let go of for the wake-up: who wakes up takes it at
 * once. */
static void
work_finish(struct work_pool *p, struct work_job *job)
{
	bool wake = STAILQ_EMPTY(&p->finished);

	/* No wake-up for the next slow one: this thread looks for work now, and
	 * if it takes a quick one, then a sleeper was woken for that. */
	if (job->slow)
		p->slow_running = false;
	STAILQ_INSERT_TAIL(&p->finished, job, link);
	if (!wake)
		return;
	pthread_mutex_unlock(&p->lock);
	eventfd_write(p->wake_fd, 1);
	pthread_mutex_lock(&p->lock);
}

static void *
work_thread(void *arg)
{
	struct work_pool *p = arg;
	struct work_job *job;
	void *ctx = NULL;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		job = work_next(p);
		if (job == NULL) {
			pthread_cond_wait(&p->wanted, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		if (ctx == NULL && p->ops.ctx_new != NULL)
			ctx = p->ops.ctx_new();
		job->ran = 1;
		job->run(job, ctx);
		pthread_mutex_lock(&p->lock);
		work_finish(p, job);
	}
	pthread_mutex_unlock(&p->lock);
	if (ctx != NULL && p->ops.ctx_free != NULL)
		p->ops.ctx_free(ctx);
	return NULL;
}

/* A new thread inherits the mask: with all blocked here, no signal can arrive
 * on a worker in between.  But faults of the thread itself must reach whoever
 * handles them; blocked, they end the process without a word. */
static int
work_start_threads(struct work_pool *p, unsigned threads)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && p->n_threads < threads) {
		r = pthread_create(
			&p->threads[p->n_threads], NULL, work_thread, p);
		if (r == 0)
			p->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r != 0 ? err_new(-r) : 0;
}

int
work_new(struct work_pool **ret_pool, unsigned threads,
	const struct work_thread_ops *ops)
{
	struct work_pool *p;
	int r;

	if (threads == 0)
		return err_new(-EINVAL);
	p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
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
	pthread_cond_init(&p->wanted, NULL);
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

void
work_submit(struct work_pool *p, struct work_job *job)
{
	job->ran = 0;
	pthread_mutex_lock(&p->lock);
	queue_push(job->slow ? &p->slow : &p->quick, job);
	pthread_mutex_unlock(&p->lock);
	/* Behind the lock, lest who wakes up finds it taken. */
	pthread_cond_signal(&p->wanted);
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
	pthread_cond_broadcast(&p->wanted);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	work_drain(p);
	pthread_cond_destroy(&p->wanted);
	pthread_mutex_destroy(&p->lock);
	close(p->wake_fd);
	free(p);
	return NULL;
}

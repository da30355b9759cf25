/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worker threads.  Jobs are handed over by value: while a job runs, everything
 * it points to belongs to the worker alone.  Results come back on the thread
 * that calls work_dispatch() (the loop), woken through a descriptor.
 *
 * Jobs of different users are started round robin, so that one user's long
 * queue does not hold up another's single job.
 *
 * Slow jobs touch foreign file systems, and may never end.  They have threads
 * of their own, and of one uid, which may stand for a file system as well, only
 * one runs at a time: what does not answer holds up its own jobs alone.
 */
#ifndef COMMON_WORK_H
#define COMMON_WORK_H

#include <stdint.h>
#include <sys/queue.h>

struct work_pool;

struct work_job {
	/* On a worker thread; thread_ctx is this thread's own context. */
	void (*run)(struct work_job *, void *thread_ctx);
	/* On the loop thread, exactly once, also after the pool was stopped
	 * before the job ran (then run was never called).  May free the job
	 * and submit others. */
	void (*done)(struct work_job *);
	uint32_t uid; /* whose job: the round-robin key */
	uint8_t slow;
	uint8_t ran; /* set by the pool before run */
	/* The pool's, see the .c file. */
	STAILQ_ENTRY(work_job) link;
	STAILQ_ENTRY(work_job) turn;
	struct work_job *last;
};

#define WORK_SLOW_MOST 16u

struct work_thread_ops {
	/* For slow jobs, at most; started when they are needed, the first with
	 * the pool.  0: there are no such jobs. */
	unsigned slow_threads;
	/* Makes and frees a thread's context, on that thread; may be NULL.
	 * Made when the thread gets its first job; as long as that gives NULL,
	 * jobs are run with NULL and it is tried again for the next. */
	void *(*ctx_new)(void);
	void (*ctx_free)(void *);
};

/* Threads start with all signals blocked.  -errno. */
int work_new(struct work_pool **ret_pool, unsigned threads,
	const struct work_thread_ops *);
/* Readable while finished jobs wait for work_dispatch(). */
int work_fd(struct work_pool *);
/* Cannot fail. */
void work_submit(struct work_pool *, struct work_job *);
/* Of a job that still waits, done follows without run; one that runs, or has,
 * goes on.  From submitting to done.  Costs a look at all that wait with the
 * same uid, in their order. */
void work_cancel(struct work_pool *, struct work_job *);
/* Calls done of every finished job. */
void work_dispatch(struct work_pool *);
/* Lets running jobs end, does not start queued ones, then calls done of all
 * of them; NULL is allowed.  Returns NULL. */
struct work_pool *work_free(struct work_pool *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worker threads.  Jobs are handed over by value: while a job runs, everything
 * it points to belongs to the worker alone.  Results come back on the thread
 * that calls work_dispatch() (the loop), woken through a descriptor.
 *
 * Jobs of different users are started round robin, so that one user's long
 * queue does not hold up another's single job.
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
	/* "slow" jobs touch foreign file systems: at most one runs at a time.
	 * In a pool of one thread it holds up all others. */
	uint8_t slow;
	uint8_t ran; /* set by the pool before run */
	/* The pool's, see the .c file. */
	STAILQ_ENTRY(work_job) link;
	STAILQ_ENTRY(work_job) turn;
	struct work_job *last;
};

struct work_thread_ops {
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
/* Calls done of every finished job. */
void work_dispatch(struct work_pool *);
/* Lets running jobs end, does not start queued ones, then calls done of all
 * of them; NULL is allowed.  Returns NULL. */
struct work_pool *work_free(struct work_pool *);

#endif

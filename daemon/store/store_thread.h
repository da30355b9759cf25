/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store thread: one thread that does all writing for both stores, so that
 * neither the loop nor the workers ever wait for a disk to sync.  Jobs run one
 * after another, in the order in which they were submitted; their ends are
 * handed back on the loop.
 */
#ifndef STORE_STORE_THREAD_H
#define STORE_STORE_THREAD_H

#include "common/work.h"
#include "daemon/core/env.h"

enum store_report {
	STORE_REPORT_OPENED,     /* new or found */
	STORE_REPORT_FOREIGN,    /* another format or machine's: begun anew */
	STORE_REPORT_DAMAGED,    /* index begun anew; blocks: it is rebuilt */
	STORE_REPORT_REBUILDING, /* the index is made again from the volumes */
	STORE_REPORT_REBUILT,
	STORE_REPORT_FULL,         /* no room: adds are refused from now on */
	STORE_REPORT_FAILING,      /* writing fails: the same */
	STORE_REPORT_RECOVERED,    /* adds are taken again */
	STORE_REPORT_ROTTEN,       /* a damaged block was found and dropped */
	STORE_REPORT_INDEX_BROKEN, /* no more writes until a restart */
	_STORE_REPORT_MAX,
};

/* What the stores need of the program. */
struct store_host {
	const struct env *env;  /* jobs on workers, random, time */
	struct work_pool *pool; /* the store thread: a pool of one */
	/* Calls fn(ctx) on the loop in delay_ms, once; a later call for the
	 * same fn and ctx replaces it; UINT64_MAX: never.  A few pairs have
	 * their places for ever (STORE_ALARMS in manager_store.h). */
	void (*alarm)(void *host_ctx, void (*fn)(void *ctx), void *ctx,
		uint64_t delay_ms);
	/* Wall clock, seconds since 1970. */
	uint64_t (*wall_s)(void *host_ctx);
	/* Something that an administrator should know: one line for each
	 * change of state, never for each failure.  error: errno or 0. */
	void (*report)(void *host_ctx, enum store_report, const char *folder,
		int error);
	void *ctx;
};

#endif

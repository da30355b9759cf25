/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's loop thread: one libevent base, calls deferred to the end of a
 * pass, and the one timer of the core.
 *
 * Everything that must not happen inside a call (telling a caller that his
 * request failed while he is still making it, freeing what is on the stack) is
 * deferred here.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/core/wheel.h"

struct event_base;
struct loop;
struct loop_watch;

/* The core's timers: service_next_ms() and service_tick(). */
struct loop_timer_ops {
	uint64_t (*next_ms)(void *ctx); /* UINT64_MAX: none */
	void (*tick)(void *ctx);
};

/* Embedded in its owner. */
struct loop_deferred {
	void (*fn)(struct loop_deferred *);
	bool queued;
	TAILQ_ENTRY(loop_deferred) link;
};

/* A time-out of one's own, embedded in its owner.  Not a libevent timer, see
 * loop.c; whole milliseconds, never early. */
struct loop_alarm {
	struct wheel_timer timer;
	struct loop *loop;
	void (*fn)(struct loop_alarm *);
};

/* ops may be NULL.  -ENOMEM. */
int loop_new(struct loop **ret_loop, const struct loop_timer_ops *, void *ctx);
/* No deferred call may be left, nor any event of others.  Returns NULL. */
struct loop *loop_free(struct loop *);

/* For events of one's own. */
struct event_base *loop_base(struct loop *);
/* CLOCK_MONOTONIC; what the timer goes by. */
uint64_t loop_now_ms(void);

/* Runs passes until loop_stop(); what was deferred by then is still called.
 * -EIO when libevent fails. */
int loop_run(struct loop *);
/* From the loop thread or one of its callbacks. */
void loop_stop(struct loop *);

/* Calls d->fn once, at the end of this pass (of the next one when called from a
 * deferred call).  Deferring what is queued already does nothing.  Cannot
 * fail. */
void loop_defer(struct loop *, struct loop_deferred *);
/* Takes it back. */
void loop_undefer(struct loop *, struct loop_deferred *);

void loop_alarm_init(
	struct loop_alarm *, struct loop *, void (*fn)(struct loop_alarm *));
/* Calls fn once, after delay_ms; one that runs is moved.  Cannot fail. */
void loop_alarm_start(struct loop_alarm *, uint64_t delay_ms);
/* Allowed on one that does not run. */
void loop_alarm_stop(struct loop_alarm *);

/* The earliest timer may have become earlier: ops->next_ms is asked at the end
 * of this pass.  Cheap, may be called for each of many timers. */
void loop_timer_changed(struct loop *);

/* Calls fn whenever fd is readable, e.g. the worker pool's descriptor.  NULL
 * when out of memory.  The descriptor stays the caller's. */
struct loop_watch *loop_watch_new(
	struct loop *, int fd, void (*fn)(void *ctx), void *ctx);
struct loop_watch *loop_watch_free(struct loop_watch *);

#endif

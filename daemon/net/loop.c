/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pass is: wait for events and call their handlers, call what was deferred,
 * set the timer.  Calls deferred by deferred calls wait for the next pass,
 * which then polls without blocking, so that work which defers itself for ever
 * does not starve the sockets.
 *
 * The timer is one timerfd, set anew only when the earliest time has become
 * earlier.  A libevent timer would give every epoll_wait() a time-out, for
 * which the kernel starts and stops a timer of its own each time: a tenth of
 * what a request costs.  It is looked at only once a pass, and only when
 * somebody said that the time may have changed.  Time-outs of net/ and manager
 * (alarms) lie in a wheel of the loop's own and share the timerfd.
 */
#include "daemon/net/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/macros.h"

TAILQ_HEAD(deferred_list, loop_deferred);

struct loop {
	struct event_base *base;
	const struct loop_timer_ops *ops;
	void *ctx;
	int timer_fd;
	struct event timer;
	uint64_t armed_ms; /* UINT64_MAX: not armed */
	bool changed;
	struct wheel alarms;
	bool alarms_changed;
	bool stop;
	struct deferred_list deferred;
};

struct loop_watch {
	struct event event;
	void (*fn)(void *ctx);
	void *ctx;
};

uint64_t
loop_now_ms(void)
{
	return clock_now_us() / US_PER_MS;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t n;

	/* EAGAIN when it was set anew meanwhile: looking early does no harm. */
	if (read(fd, &n, sizeof(n)) < 0)
		n = 0;
	loop->armed_ms = UINT64_MAX;
	loop->changed = true;
	loop->alarms_changed = true;
	wheel_advance(&loop->alarms, loop_now_ms());
	if (loop->ops != NULL)
		loop->ops->tick(loop->ctx);
}

static bool
timer_new(struct loop *loop)
{
	loop->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return false;
	event_assign(&loop->timer, loop->base, loop->timer_fd,
		EV_READ | EV_PERSIST, on_timer, loop);
	if (event_add(&loop->timer, NULL) == 0)
		return true;
	close(loop->timer_fd);
	return false;
}

int
loop_new(struct loop **ret_loop, const struct loop_timer_ops *ops, void *ctx)
{
	struct event_config *config = event_config_new();
	struct loop *loop = calloc(1, sizeof(*loop));

	if (config != NULL && loop != NULL) {
		event_config_set_flag(config,
			EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME);
		loop->base = event_base_new_with_config(config);
	}
	if (config != NULL)
		event_config_free(config);
	if (loop == NULL || loop->base == NULL || !timer_new(loop)) {
		if (loop != NULL && loop->base != NULL)
			event_base_free(loop->base);
		free(loop);
		return err_new(-ENOMEM);
	}
	loop->ops = ops;
	loop->ctx = ctx;
	loop->armed_ms = UINT64_MAX;
	TAILQ_INIT(&loop->deferred);
	wheel_init(&loop->alarms, loop_now_ms());
	*ret_loop = loop;
	return 0;
}

struct loop *
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return NULL;
	assert(TAILQ_EMPTY(&loop->deferred));
	event_del(&loop->timer);
	close(loop->timer_fd);
	event_base_free(loop->base);
	free(loop);
	return NULL;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

static void
run_deferred(struct loop *loop)
{
	struct deferred_list now = TAILQ_HEAD_INITIALIZER(now);
	struct loop_deferred last = {0};
	struct loop_deferred *d;

	/* A mark instead of a second list: calls may be taken back while
	 * others run. */
	if (TAILQ_EMPTY(&loop->deferred))
		return;
	TAILQ_INSERT_TAIL(&loop->deferred, &last, link);
	while ((d = TAILQ_FIRST(&loop->deferred)) != &last) {
		TAILQ_REMOVE(&loop->deferred, d, link);
		d->queued = false;
		d->fn(d);
	}
	TAILQ_REMOVE(&loop->deferred, &last, link);
}

static void
set_timer(struct loop *loop)
{
	uint64_t due = UINT64_MAX;
	struct itimerspec at = {0};

	if (loop->changed && loop->ops != NULL)
		due = MIN_OF(due, loop->ops->next_ms(loop->ctx));
	if (loop->alarms_changed)
		due = MIN_OF(due, wheel_next_ms(&loop->alarms));
	loop->changed = false;
	loop->alarms_changed = false;
	if (due >= loop->armed_ms)
		return;
	/* 0 would stop it. */
	at.it_value.tv_sec = (time_t)(due / 1000);
	at.it_value.tv_nsec = (long)(due % 1000 * 1000000) + 1;
	(void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
	loop->armed_ms = due;
}

int
loop_run(struct loop *loop)
{
	int flags;

	loop->stop = false;
	loop->changed = true;
	for (;;) {
		run_deferred(loop);
		set_timer(loop);
		flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
		if (!TAILQ_EMPTY(&loop->deferred))
			flags |= EVLOOP_NONBLOCK;
		else if (loop->stop)
			return 0;
		if (event_base_loop(loop->base, flags) < 0)
			return err_new(-EIO);
	}
}

void
loop_stop(struct loop *loop)
{
	loop->stop = true;
}

static void
alarm_fired(struct wheel_timer *t)
{
	struct loop_alarm *a = container_of(t, struct loop_alarm, timer);

	a->fn(a);
}

void
loop_alarm_init(struct loop_alarm *a, struct loop *loop,
	void (*fn)(struct loop_alarm *))
{
	*a = (struct loop_alarm){
		.timer.fn = alarm_fired, .loop = loop, .fn = fn};
}

void
loop_alarm_start(struct loop_alarm *a, uint64_t delay_ms)
{
	/* One more, because the clock was cut down to whole milliseconds. */
	wheel_start(&a->loop->alarms, &a->timer, loop_now_ms() + delay_ms + 1);
	a->loop->alarms_changed = true;
}

void
loop_alarm_stop(struct loop_alarm *a)
{
	wheel_stop(&a->timer);
}

void
loop_defer(struct loop *loop, struct loop_deferred *d)
{
	if (d->queued)
		return;
	d->queued = true;
	TAILQ_INSERT_TAIL(&loop->deferred, d, link);
}

void
loop_undefer(struct loop *loop, struct loop_deferred *d)
{
	if (!d->queued)
		return;
	d->queued = false;
	TAILQ_REMOVE(&loop->deferred, d, link);
}

void
loop_timer_changed(struct loop *loop)
{
	loop->changed = true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *watch = arg;

	watch->fn(watch->ctx);
}

struct loop_watch *
loop_watch_new(struct loop *loop, int fd, void (*fn)(void *ctx), void *ctx)
{
	struct loop_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->fn = fn;
	watch->ctx = ctx;
	event_assign(&watch->event, loop->base, fd, EV_READ | EV_PERSIST,
		on_readable, watch);
	if (event_add(&watch->event, NULL) < 0) {
		free(watch);
		return NULL;
	}
	return watch;
}

struct loop_watch *
loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return NULL;
	event_del(&watch->event);
	free(watch);
	return NULL;
}

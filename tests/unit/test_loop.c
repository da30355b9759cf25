/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/net/loop.h"
#include "tests/unit/failalloc.h"

#define STEPS 16

struct fixture {
	struct loop *loop;
	/* the core's side of the timer */
	uint64_t due_ms;
	unsigned asked;
	unsigned ticks;
	uint64_t ticked_ms;
	uint64_t again_ms; /* due after the first tick */
	/* what ran, in order */
	unsigned n_steps;
	int steps[STEPS];
};

struct call {
	struct loop_deferred d;
	struct fixture *f;
	int step;
	unsigned again;    /* defers itself so many times more */
	struct call *take; /* takes this one back */
	bool stop;
};

static uint64_t
next_ms(void *ctx)
{
	struct fixture *f = ctx;

	f->asked++;
	return f->due_ms;
}

static void
tick(void *ctx)
{
	struct fixture *f = ctx;

	if (loop_now_ms() < f->due_ms)
		return;
	f->ticks++;
	f->ticked_ms = loop_now_ms();
	f->due_ms = f->again_ms;
	f->again_ms = UINT64_MAX;
	if (f->due_ms == UINT64_MAX)
		loop_stop(f->loop);
}

static const struct loop_timer_ops timer_ops = {next_ms, tick};

static void
call_run(struct loop_deferred *d)
{
	struct call *c = container_of(d, struct call, d);
	struct fixture *f = c->f;

	assert_true(f->n_steps < STEPS);
	f->steps[f->n_steps++] = c->step;
	if (c->again > 0) {
		c->again--;
		loop_defer(f->loop, d);
	}
	if (c->take != NULL)
		loop_undefer(f->loop, &c->take->d);
	if (c->stop)
		loop_stop(f->loop);
}

static struct call
call_of(struct fixture *f, int step)
{
	struct call c = {.d.fn = call_run, .f = f, .step = step};

	return c;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->due_ms = f->again_ms = UINT64_MAX;
	assert_int_equal(loop_new(&f->loop, &timer_ops, f), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(loop_free(f->loop));
	free(f);
	return 0;
}

static void
test_deferred_order(void **state)
{
	struct fixture *f = *state;
	struct call a = call_of(f, 1), b = call_of(f, 2), c = call_of(f, 3);

	c.stop = true;
	loop_defer(f->loop, &a.d);
	loop_defer(f->loop, &b.d);
	loop_defer(f->loop, &a.d); /* is there already */
	loop_defer(f->loop, &c.d);
	assert_int_equal(f->n_steps, 0); /* never from inside */
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_steps, 3);
	assert_int_equal(f->steps[0], 1);
	assert_int_equal(f->steps[1], 2);
	assert_int_equal(f->steps[2], 3);
}

static void
test_undefer(void **state)
{
	struct fixture *f = *state;
	struct call a = call_of(f, 1), b = call_of(f, 2), c = call_of(f, 3);

	a.take = &b;
	c.stop = true;
	loop_defer(f->loop, &a.d);
	loop_defer(f->loop, &b.d);
	loop_defer(f->loop, &c.d);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_steps, 2);
	assert_int_equal(f->steps[1], 3);
	loop_undefer(f->loop, &b.d); /* harmless */
}

/* After loop_stop() what was deferred still runs. */
static void
test_stop_runs_deferred(void **state)
{
	struct fixture *f = *state;
	struct call a = call_of(f, 1);

	a.stop = true;
	a.again = 3;
	loop_defer(f->loop, &a.d);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_steps, 4);
}

static void
on_event(void *ctx)
{
	struct call *c = ctx;

	call_run(&c->d);
}

/* A call that defers itself again lets the descriptors have their turn. */
static void
test_no_starvation(void **state)
{
	struct fixture *f = *state;
	struct call busy = call_of(f, 1), io = call_of(f, 2);
	struct loop_watch *watch;
	int fd AUTO_FD = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	busy.again = 3;
	io.stop = true;
	watch = loop_watch_new(f->loop, fd, on_event, &io);
	assert_non_null(watch);
	loop_defer(f->loop, &busy.d);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->steps[0], 1);
	assert_int_equal(f->steps[1], 2);
	assert_null(loop_watch_free(watch));
	assert_null(loop_watch_free(NULL));
}

static void
test_timer(void **state)
{
	struct fixture *f = *state;
	uint64_t start = loop_now_ms();

	f->due_ms = start + 20;
	f->again_ms = start + 40;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->ticks, 2);
	assert_true(f->ticked_ms >= start + 40);
	assert_true(f->ticked_ms < start + 2000);
}

static void
test_timer_in_the_past(void **state)
{
	struct fixture *f = *state;

	f->due_ms = 0;
	f->again_ms = 1;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->ticks, 2);
}

struct sooner {
	struct fixture *f;
	int fd;
};

static void
make_sooner(void *ctx)
{
	struct sooner *s = ctx;
	eventfd_t n;

	assert_int_equal(eventfd_read(s->fd, &n), 0);
	s->f->due_ms = loop_now_ms() + 10;
	for (int i = 0; i < 1000; i++)
		loop_timer_changed(s->f->loop);
}

/* The timer is armed for an hour later when it becomes due soon; a thousand
 * changes in one pass ask once. */
static void
test_timer_becomes_earlier(void **state)
{
	struct fixture *f = *state;
	struct loop_watch *watch;
	int fd AUTO_FD = eventfd(0, EFD_CLOEXEC);
	struct sooner s = {.f = f, .fd = fd};

	watch = loop_watch_new(f->loop, fd, make_sooner, &s);
	assert_non_null(watch);
	f->due_ms = loop_now_ms() + 3600 * 1000;
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->ticks, 1);
	assert_true(f->asked < 16);
	loop_watch_free(watch);
}

static int
make(void *arg)
{
	struct loop *loop = NULL;
	struct loop_watch *watch;
	int fd AUTO_FD = eventfd(0, EFD_CLOEXEC);
	int r = loop_new(&loop, NULL, NULL);

	if (r != 0)
		return r;
	watch = loop_watch_new(loop, fd, on_event, NULL);
	if (watch == NULL)
		r = -ENOMEM;
	loop_watch_free(watch);
	loop_free(loop);
	return r;
}

struct ring {
	struct loop_alarm alarm;
	struct fixture *f;
	uint64_t start_ms;
	uint64_t delay_ms;
	unsigned again;
	bool stop;
};

static void
on_alarm(struct loop_alarm *a)
{
	struct ring *r = container_of(a, struct ring, alarm);

	/* Never early. */
	assert_true(loop_now_ms() - r->start_ms >= r->delay_ms);
	r->f->steps[r->f->n_steps++] = (int)r->delay_ms;
	if (r->again > 0) {
		r->again--;
		r->start_ms = loop_now_ms();
		loop_alarm_start(a, r->delay_ms);
	} else if (r->stop) {
		loop_stop(r->f->loop);
	}
}

static void
ring_start(struct ring *r, struct fixture *f, uint64_t delay_ms)
{
	r->f = f;
	r->delay_ms = delay_ms;
	r->start_ms = loop_now_ms();
	loop_alarm_init(&r->alarm, f->loop, on_alarm);
	loop_alarm_start(&r->alarm, delay_ms);
}

/* Each in its time, also beside the core's timer, stopped ones not at all. */
static void
test_alarms(void **state)
{
	static const int want[] = {1, 8, 8};
	struct fixture *f = *state;
	struct ring early = {0}, twice = {.again = 1, .stop = true};
	struct ring never = {0};

	f->due_ms = loop_now_ms() + 15;
	f->again_ms = f->due_ms + 60000;
	ring_start(&twice, f, 8);
	ring_start(&never, f, 5);
	ring_start(&early, f, 1);
	loop_alarm_stop(&never.alarm);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_steps, ARRAY_LEN(want));
	assert_memory_equal(f->steps, want, sizeof(want));
	assert_int_equal(f->ticks, 1);
	loop_alarm_stop(&never.alarm);
}

static void
test_no_memory(void **state)
{
	assert_int_equal(failalloc_each(make, NULL), 2);
	assert_null(loop_free(NULL));
}

static unsigned long memory_left;

static void *
no_more(size_t n)
{
	return memory_left-- == 0 ? NULL : malloc(n);
}

static void
quiet(int severity, const char *text)
{
}

/* libevent's own memory, which our allocator does not see. */
static void
test_no_memory_in_libevent(void **state)
{
	unsigned long n, failures = 0;
	int r;

	event_set_log_callback(quiet);
	for (n = 0; n < 100; n++) {
		memory_left = n;
		event_set_mem_functions(no_more, realloc, free);
		r = make(NULL);
		event_set_mem_functions(malloc, realloc, free);
		assert_true(r == 0 || r == -ENOMEM);
		if (memory_left <= n)
			break;
		failures += r != 0;
	}
	event_set_log_callback(NULL);
	assert_int_equal(r, 0);
	assert_true(failures > 0);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_deferred_order),
		TEST(test_undefer),
		TEST(test_stop_runs_deferred),
		TEST(test_no_starvation),
		TEST(test_timer),
		TEST(test_timer_in_the_past),
		TEST(test_timer_becomes_earlier),
		TEST(test_alarms),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_in_libevent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

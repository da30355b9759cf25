/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers of operations and fetches.  Start and stop cost a list operation each;
 * a libevent timer per operation would cost 150 bytes and 400 ns.
 *
 * Resolution 1 ms.  A timer never fires early.
 */
#ifndef CORE_WHEEL_H
#define CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct wheel_timer {
	LIST_ENTRY(wheel_timer) link;
	uint64_t due_ms; /* 0: not running */
	void (*fn)(struct wheel_timer *);
};

LIST_HEAD(wheel_slot, wheel_timer);

#define WHEEL_BITS   8
#define WHEEL_SLOTS  (1u << WHEEL_BITS)
#define WHEEL_LEVELS 4

struct wheel {
	uint64_t now_ms;
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* maybe non-empty */
	struct wheel_slot slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *, uint64_t now_ms);
/* timer->fn must be set; a running timer is moved. */
void wheel_start(struct wheel *, struct wheel_timer *, uint64_t due_ms);
/* Allowed on a timer that does not run. */
void wheel_stop(struct wheel_timer *);
static inline bool
wheel_running(const struct wheel_timer *t)
{
	return t->due_ms != 0;
}
/* Fires what is due, in any order within one millisecond; a fired timer is not
 * running any more and may be started again or freed by its fn. */
void wheel_advance(struct wheel *, uint64_t now_ms);
/* When to call wheel_advance() next: at or before the earliest timer;
 * UINT64_MAX when there is none. */
uint64_t wheel_next_ms(struct wheel *);

#endif

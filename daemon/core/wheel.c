/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hierarchical timer wheel: four levels of 256 slots.  A timer lies at the
 * level whose slots are just fine enough for its distance, in the slot named by
 * the digit (base 256) of its due time.  When time enters a slot of a higher
 * level, that slot's timers are placed again, one or more levels lower; level 0
 * slots fire.
 *
 * Stopping a timer takes it out of its list and nothing else, so the bits in
 * "used" say only that a slot may be non-empty; they are cleared when found
 * wrong.  wheel_next_ms() may therefore be too early, never too late.
 *
 * Time jumps from one interesting moment to the next: an idle hour costs a few
 * steps, not 3.6 million.
 */
#include "daemon/core/wheel.h"

#include <stddef.h>

#define SLOT_MASK (WHEEL_SLOTS - 1)
#define SPAN_MAX  0xFFFFFFFFull /* what four levels reach */

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
	*w = (struct wheel){.now_ms = now_ms};
}

/* soonest: now for what cascades, since level 0 fires after that; the next
 * millisecond for what is started. */
static void
place(struct wheel *w, struct wheel_timer *t, uint64_t soonest)
{
	uint64_t at = t->due_ms > soonest ? t->due_ms : soonest;
	uint64_t span = at - w->now_ms;
	unsigned level = 0, slot;

	if (span > SPAN_MAX) {
		span = SPAN_MAX;
		at = w->now_ms + SPAN_MAX;
	}
	while (span >> (WHEEL_BITS * (level + 1)) != 0)
		level++;
	slot = at >> (WHEEL_BITS * level) & SLOT_MASK;
	LIST_INSERT_HEAD(&w->slots[level][slot], t, link);
	w->used[level][slot / 64] |= 1ull << slot % 64;
}

void
wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
	wheel_stop(t);
	t->due_ms = due_ms != 0 ? due_ms : 1;
	place(w, t, w->now_ms + 1);
}

void
wheel_stop(struct wheel_timer *t)
{
	if (t->due_ms == 0)
		return;
	LIST_REMOVE(t, link);
	t->due_ms = 0;
}

/* Moves a slot's timers to a list of our own: what they start while we walk
 * does not get in the way. */
static void
take_slot(struct wheel *w, unsigned level, unsigned slot,
	struct wheel_slot *ret_list)
{
	struct wheel_slot *from = &w->slots[level][slot];

	ret_list->lh_first = from->lh_first;
	if (ret_list->lh_first != NULL)
		ret_list->lh_first->link.le_prev = &ret_list->lh_first;
	LIST_INIT(from);
	w->used[level][slot / 64] &= ~(1ull << slot % 64);
}

static void
cascade(struct wheel *w, unsigned level)
{
	struct wheel_slot list;
	struct wheel_timer *t;

	take_slot(
		w, level, w->now_ms >> (WHEEL_BITS * level) & SLOT_MASK, &list);
	while ((t = LIST_FIRST(&list)) != NULL) {
		LIST_REMOVE(t, link);
		place(w, t, w->now_ms);
	}
}

static void
fire(struct wheel *w)
{
	struct wheel_slot list;
	struct wheel_timer *t;

	take_slot(w, 0, w->now_ms & SLOT_MASK, &list);
	while ((t = LIST_FIRST(&list)) != NULL) {
		LIST_REMOVE(t, link);
		t->due_ms = 0;
		t->fn(t);
	}
}

/* Distance from slot cur (exclusive) to the next used slot, 1 .. 256; 0 when
 * the level is empty. */
static unsigned
next_used(struct wheel *w, unsigned level, unsigned cur)
{
	unsigned d = 1;

	while (d <= WHEEL_SLOTS) {
		unsigned slot = (cur + d) & SLOT_MASK;
		uint64_t bits = w->used[level][slot / 64] >> slot % 64;

		if (bits == 0) {
			d += 64 - slot % 64;
			continue;
		}
		d += (unsigned)__builtin_ctzll(bits);
		slot = (cur + d) & SLOT_MASK;
		if (d > WHEEL_SLOTS)
			break;
		if (!LIST_EMPTY(&w->slots[level][slot]))
			return d;
		w->used[level][slot / 64] &= ~(1ull << slot % 64);
		d++;
	}
	return 0;
}

static uint64_t
next_event(struct wheel *w)
{
	uint64_t best = UINT64_MAX;

	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		unsigned shift = WHEEL_BITS * level;
		uint64_t cur = w->now_ms >> shift;
		unsigned d = next_used(w, level, cur & SLOT_MASK);

		if (d != 0 && (cur + d) << shift < best)
			best = (cur + d) << shift;
	}
	return best;
}

void
wheel_advance(struct wheel *w, uint64_t now_ms)
{
	uint64_t at;

	while (w->now_ms < now_ms && (at = next_event(w)) <= now_ms) {
		w->now_ms = at;
		for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--)
			if ((at & ((1ull << WHEEL_BITS * level) - 1)) == 0)
				cascade(w, level);
		fire(w);
	}
	if (w->now_ms < now_ms)
		w->now_ms = now_ms;
}

uint64_t
wheel_next_ms(struct wheel *w)
{
	return next_event(w);
}

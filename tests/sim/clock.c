/* SPDX-License-Identifier: BSD-2-Clause */
/* A binary heap; events know their place in it. */
#include "tests/sim/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/macros.h"

static void *
sim_checked(void *p)
{
	if (p == NULL) {
		fputs("sim: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *
sim_alloc(size_t size)
{
	return sim_checked(calloc(1, size));
}

void *
sim_resize(void *p, size_t size)
{
	return sim_checked(realloc(p, size));
}

static bool
is_before(const struct sim_event *a, const struct sim_event *b)
{
	if (a->at_ns != b->at_ns)
		return a->at_ns < b->at_ns;
	return a->order < b->order;
}

static void
place_at(struct sim_clock *c, struct sim_event *e, size_t place)
{
	c->heap[place] = e;
	e->place = place;
}

static void
sift_up(struct sim_clock *c, struct sim_event *e, size_t place)
{
	while (place > 1 && is_before(e, c->heap[place / 2])) {
		place_at(c, c->heap[place / 2], place);
		place /= 2;
	}
	place_at(c, e, place);
}

static void
sift_down(struct sim_clock *c, struct sim_event *e, size_t place)
{
	size_t below;

	while ((below = 2 * place) <= c->n) {
		if (below < c->n &&
			is_before(c->heap[below + 1], c->heap[below]))
			below++;
		if (!is_before(c->heap[below], e))
			break;
		place_at(c, c->heap[below], place);
		place = below;
	}
	place_at(c, e, place);
}

void
sim_unset(struct sim_clock *c, struct sim_event *e)
{
	size_t place = e->place;
	struct sim_event *last;

	if (place == 0)
		return;
	e->place = 0;
	last = c->heap[c->n--];
	if (last == e)
		return;
	if (place > 1 && is_before(last, c->heap[place / 2]))
		sift_up(c, last, place);
	else
		sift_down(c, last, place);
}

void
sim_at(struct sim_clock *c, struct sim_event *e, uint64_t at_ns)
{
	assert(e->fn != NULL);
	sim_unset(c, e);
	if (c->n + 1 >= c->room) {
		c->room = MAX_OF(2 * c->room, 1024u);
		c->heap = sim_resize(c->heap, c->room * sizeof(c->heap[0]));
	}
	e->at_ns = MAX_OF(at_ns, c->now_ns);
	e->order = ++c->order;
	c->n++;
	sift_up(c, e, c->n);
}

bool
sim_step(struct sim_clock *c, uint64_t end_ns)
{
	struct sim_event *e = c->n > 0 ? c->heap[1] : NULL;

	if (e == NULL || e->at_ns > end_ns)
		return false;
	sim_unset(c, e);
	c->now_ns = e->at_ns;
	e->fn(e);
	return true;
}

void
sim_clock_done(struct sim_clock *c)
{
	free(c->heap);
	c->heap = NULL;
	c->n = c->room = 0;
}

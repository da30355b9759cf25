/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual time: what is to happen, in order.  Two things at the same moment
 * happen in the order in which they were set, so that runs repeat. */
#ifndef TESTS_SIM_CLOCK_H
#define TESTS_SIM_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_US 1000u
#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u

/* Embedded in its owner. */
struct sim_event {
	uint64_t at_ns;
	uint64_t order;
	size_t place; /* in the heap, from 1 on; 0: not set */
	void (*fn)(struct sim_event *);
};

struct sim_clock {
	uint64_t now_ns;
	uint64_t order;
	size_t n, room;
	struct sim_event **heap; /* from 1 on */
};

/* Never in the past; one that is set already is moved. */
void sim_at(struct sim_clock *, struct sim_event *, uint64_t at_ns);
/* Allowed on one that is not set. */
void sim_unset(struct sim_clock *, struct sim_event *);
/* The next event happens.  false: there is none up to end_ns. */
bool sim_step(struct sim_clock *, uint64_t end_ns);
void sim_clock_done(struct sim_clock *);

/* A simulation that has no memory is not worth going on with. */
void *sim_alloc(size_t size); /* zero */
void *sim_resize(void *, size_t size);

#endif

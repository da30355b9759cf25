/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery: who in the branch has a segment, and what to answer when others
 * ask that.  When and what is decided here; daemon/net/discovery has the
 * sockets.  The mechanism is told at the top of discover.c.
 *
 * Segment ids of 32 bytes only: no others can be asked for.
 */
#ifndef CORE_DISCOVER_H
#define CORE_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "codec/pccrd.h"
#include "common/parse.h"

struct service;
struct discover;

/* FOUND and NOBODY go over into UNKNOWN after some time. */
enum discover_state {
	DISCOVER_OFF,    /* mode, or the service is not available */
	DISCOVER_ASKING, /* answers may still come; some may be here */
	DISCOVER_FOUND,
	DISCOVER_NOBODY, /* nobody answered: not asked again for a while */
	DISCOVER_UNKNOWN,
};

/* Who wants to know.  Embedded in its owner. */
struct discover_waiter {
	LIST_ENTRY(discover_waiter) link; /* the module's */
	/* Another host answered, or the time is over: look at state and peers
	 * again.  From the loop, never from inside discover_want(). */
	void (*changed)(struct discover_waiter *);
	bool waiting;
};

/* One host that has (some of) a segment. */
struct discover_peer {
	struct parse_addr addr;
	uint32_t blocks;   /* as in struct pccrd_held */
	uint32_t age_ds;   /* of the segment there */
	uint32_t delay_ms; /* after which it answered */
	uint64_t heard_ms;
};

struct discover *discover_new(struct service *);
struct discover *discover_free(struct discover *);
/* The mode or the limits changed; leaving distributed mode, or the service not
 * being available any more, ends all questions (changed is called) and drops
 * all answers that were to be sent. */
void discover_configure(struct discover *);

/* Asks for a segment of content of this version, on behalf of uid, unless that
 * is known or being asked.  w (or NULL) is put on the list if the answer is
 * DISCOVER_ASKING.  DISCOVER_NOBODY as well when there is no memory, and when
 * more is asked than one may. */
enum discover_state discover_want(struct discover *, const uint8_t *id,
	unsigned content_version, uint32_t uid, struct discover_waiter *w);
/* Takes it off the list; may not be on it. */
void discover_leave(struct discover_waiter *);
/* Without asking. */
enum discover_state discover_state(struct discover *, const uint8_t *id);
/* Who answered, at most max, those first that have most. */
size_t discover_peers(struct discover *, const uint8_t *id,
	struct discover_peer *ret, size_t max);
/* A host turned out not to have it, or not to be there: forgotten for this
 * segment. */
void discover_lost(
	struct discover *, const uint8_t *id, const struct parse_addr *);
/* This host got a segment, or some of it, from others. */
void discover_obtained_some(struct discover *, const uint8_t *id);
/* It has all of it now: how many distinct hosts answered when it asked is
 * remembered for the quorum. */
void discover_obtained(struct discover *, const uint8_t *id);
/* false: discover_obtained() need not be told, since nothing came from others,
 * or too few answered lately. */
bool discover_may_have_quorum(struct discover *, const uint8_t *id);

/* Many hosts want this segment at this moment (flash crowd). */
bool discover_crowd(struct discover *, const uint8_t *id);
/* Any segment at all, whether known here or not: cheap. */
bool discover_crowd_any(const struct discover *);

/* From the network.  A Probe of another host, already known to come from where
 * answers may go to. */
struct discover_question {
	struct parse_addr from;
	uint32_t interface;
	const struct pccrd_probe *probe;
};
void discover_heard(struct discover *, const struct discover_question *);

/* A ProbeMatch; addresses are already known to be near, at least one. */
struct discover_answer {
	struct parse_addr from;
	const char *relates_to;
	enum pccrd_version version;
	size_t n_addrs;
	const struct parse_addr *addrs;
	size_t n_held;
	const struct pccrd_held *held;
};
void discover_answered(struct discover *, const struct discover_answer *);

#endif

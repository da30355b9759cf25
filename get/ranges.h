/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes: a set of ranges, kept in order, apart, and as few as possible.
 * Pure.
 */
#ifndef GET_RANGES_H
#define GET_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range { /* [start, end) */
	uint64_t start;
	uint64_t end;
};

struct ranges { /* begins as {0} */
	struct range *at;
	size_t n;
	size_t cap;
	uint64_t bytes; /* of all */
};

void ranges_done(struct ranges *);
/* Those bytes are in it; empty ones are allowed.  How many of them were not
 * before.  -ENOMEM: nothing has changed. */
int ranges_add(struct ranges *, struct range, uint64_t *ret_new);
/* Those bytes are not in it.  -ENOMEM. */
int ranges_cut(struct ranges *, struct range);
/* The first range of the set that has bytes at from or behind it, without what
 * lies before from; false: there is none. */
bool ranges_next(const struct ranges *, uint64_t from, struct range *ret);
/* The first bytes of within that are not in the set; false: all are. */
bool ranges_gap(const struct ranges *, struct range within, struct range *ret);
/* Whether all of it is in the set. */
bool ranges_hold(const struct ranges *, struct range);

#endif

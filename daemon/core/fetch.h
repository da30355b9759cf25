/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One segment being obtained from peers, with all who wait for blocks of it.
 * The mechanism is told at the top of fetch.c.
 */
#ifndef CORE_FETCH_H
#define CORE_FETCH_H

#include "daemon/core/content.h"

enum fetch_answer {
	FETCH_WAIT,   /* it is being obtained; the op, if any, waits */
	FETCH_NOBODY, /* there is nobody to ask at all */
	FETCH_NO_MEMORY,
};

/* Wants a block.  With an op, the op waits for it and is later handed to
 * content_read_arrived() or content_read_lacking(); without, the block is got
 * ahead of being read, while the handle is open. */
enum fetch_answer fetch_want(
	struct content *, size_t segment, uint32_t block, struct op *);
/* The block is in the store now, by another way: who waits for it looks
 * again. */
void fetch_have(struct content *, size_t segment, uint32_t block);
/* The block is wanted, and somebody may have it. */
bool fetch_coming(struct content *, size_t segment, uint32_t block);
/* The service is not available any more, no reads are left: gives up all
 * requests; their ends are still owed. */
void fetch_stop_all(struct service *);
/* When the service is idle. */
void fetch_free_all(struct service *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks obtained from peers, with all who wait for them.  The mechanism is
 * told at the top of fetch.c.
 */
#ifndef CORE_FETCH_H
#define CORE_FETCH_H

#include "daemon/core/content.h"

struct fetcher;
struct fetch_content;

/* NULL: no memory. */
struct fetcher *fetcher_new(struct service *);
/* When the service is idle.  Returns NULL. */
struct fetcher *fetcher_free(struct fetcher *);

enum fetch_answer {
	FETCH_WAIT,   /* it is being obtained; the op, if any, waits */
	FETCH_NOBODY, /* there is nobody to ask at all */
	FETCH_NO_MEMORY,
};

/* Wants a block.  With an op, the op waits for it and is later handed to
 * content_read_arrived() or content_read_lacking(); without, the block is got
 * ahead of being read, while the handle is open.  Nothing is asked before
 * fetch_go(), which is owed. */
enum fetch_answer fetch_want(
	struct content *, size_t segment, uint32_t block, struct op *);
/* Asks for what is wanted, as much as may be under way; may hand ops on. */
void fetch_go(struct service *);
/* The block is in the store now, by another way: who waits for it looks
 * again. */
void fetch_have(struct content *, size_t segment, uint32_t block);

/* What is known of a block that the store does not have. */
enum fetch_state {
	FETCH_COMING,  /* wanted, and somebody may have it */
	FETCH_UNTRIED, /* somebody may have it */
	FETCH_LACKING, /* all who could be asked were, or there is nobody */
};
enum fetch_state fetch_state(struct content *, size_t segment, uint32_t block);
/* There is nobody to ask for any block of this segment. */
bool fetch_nobody(struct content *, size_t segment);

/* Copies [offset, +len) of the content by a job, if all of it has just come
 * from peers for this very handle.  false: it has not, and done is not called.
 * Who reads must have found the blocks in the store. */
bool fetch_kept_copy(struct content *, uint64_t offset, uint32_t len,
	uint8_t *dst, void (*done)(void *ctx, bool ran), void *ctx);

/* The handle is closed: nothing is got ahead for it any more. */
void fetch_left(struct content *);
/* Its last reference is gone. */
void fetch_content_free(struct content *);

/* The mode or the list of peers may have changed. */
void fetch_reconsider(struct service *);
/* The service is not available any more, no reads are left: gives up all
 * requests; their ends are still owed. */
void fetch_stop_all(struct service *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verified blocks that are about to be read; a part of fetching.  Reads come by
 * fetch_kept_copy() in fetch.h.
 */
#ifndef CORE_FETCH_KEPT_H
#define CORE_FETCH_KEPT_H

#include <stdint.h>

struct content;
struct fetch_content;
struct fetch_kept;

void fetch_kept_init(struct fetch_content *);
/* Takes a buffer of the adds' over.  NULL: it is not to be kept. */
struct fetch_kept *fetch_kept_new(struct content *, uint8_t **buffer);
/* A block in the buffer, which is in the store now. */
void fetch_kept_add(struct fetch_kept *, uint64_t start, uint32_t len,
	const uint8_t *bytes);
/* That was all: it may be read.  Consumes it. */
void fetch_kept_list(struct fetch_kept *);
/* The handle is closed. */
void fetch_kept_drop(struct fetch_content *);

#endif

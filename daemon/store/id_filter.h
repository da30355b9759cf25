/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of ids that may forget none, but may believe it has others (a Bloom
 * filter): most questions about what is not there end with one look at memory.
 */
#ifndef STORE_ID_FILTER_H
#define STORE_ID_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeros: an empty one without memory, which has room for none. */
struct id_filter {
	uint64_t *words;
	size_t n_words; /* a power of 2, or 0 */
	size_t n;       /* ids in it, about */
};

/* Empties it, with room for so many ids at least. -ENOMEM: it has none. */
int id_filter_init(struct id_filter *, size_t ids);
void id_filter_done(struct id_filter *);
/* More ids would soon make it believe anything. */
bool id_filter_is_full(const struct id_filter *);
size_t id_filter_room(const struct id_filter *);
/* ids: hashes, or anything else. */
void id_filter_add(struct id_filter *, const void *id, size_t len);
bool id_filter_may_have(const struct id_filter *, const void *id, size_t len);

#endif

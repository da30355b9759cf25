/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands between a damaged index and the rest of the process: see
 * index_guard_install() in index.h.  One guard for each open environment.
 */
#ifndef STORE_INDEX_GUARD_H
#define STORE_INDEX_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct index_guard;

/* The guard whose LMDB this thread is in, or NULL. */
extern __thread struct index_guard *index_guard_inside;

/* folder is duplicated.  -EMFILE: more environments than a process may have. */
int index_guard_new(struct index_guard **ret, int folder, const char *name);
struct index_guard *index_guard_free(struct index_guard *);
/* Where the file is mapped; base NULL: no longer. */
void index_guard_set_map(struct index_guard *, const void *base, size_t len);
/* Leaves the mark.  Can be called in a handler of signals. */
void index_guard_mark(const struct index_guard *);

/* Reads bytes, so that it is blamed on the index if they are not there. */
void index_guard_probe(struct index_guard *, const void *data, size_t len);

/* Signals may come at any instruction: the compiler must not move LMDB's work
 * out of the pair. */
static inline void
index_guard_enter(struct index_guard *g)
{
	index_guard_inside = g;
	__asm__ volatile("" ::: "memory");
}

static inline void
index_guard_leave(void)
{
	__asm__ volatile("" ::: "memory");
	index_guard_inside = NULL;
}

#endif

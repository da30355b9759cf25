/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for what there may be a million of.  A random record of a million in
 * small pages costs a walk of the page tables before its own cache miss, and a
 * call touches several such records and tables; so what is large lies in huge
 * pages where the system has them.
 */
#ifndef LIBCLIENT_SLAB_H
#define LIBCLIENT_SLAB_H

#include <pthread.h>
#include <stddef.h>

/* Tables: zeroed; NULL when out of memory.  The size given at the end is that
 * of the beginning. */
void *pdc_table_new(size_t size);
void pdc_table_free(void *, size_t size);

/* Records of one size.  Chunks grow with their number and are kept for later
 * records. */
struct pdc_slab {
	pthread_mutex_t lock;
	size_t size; /* of a record, at least a pointer's */
	void *free;
	void *chunks;
	size_t next_chunk; /* bytes */
};

#define PDC_SLAB_INIT(record_size) \
	{ \
		.lock = PTHREAD_MUTEX_INITIALIZER, .size = (record_size), \
	}

/* Zeroed; NULL when out of memory. */
void *pdc_slab_get(struct pdc_slab *);
void pdc_slab_put(struct pdc_slab *, void *);
/* After fork, in the child: begins anew. */
void pdc_slab_forget(struct pdc_slab *);

#endif

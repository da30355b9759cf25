/* SPDX-License-Identifier: BSD-2-Clause */
#include "libclient/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/macros.h"

#define HUGE_SIZE   (2u * 1024 * 1024)
#define CHUNK_FIRST (16u * 1024)

/* First bytes of a chunk. */
struct chunk {
	struct chunk *next;
};

/* Whole huge pages at a boundary of theirs: what is left over at the ends of a
 * larger mapping is given back. */
static void *
huge_new(size_t size)
{
	size_t whole = (size + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE;
	uint8_t *p = mmap(NULL, whole + HUGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = (HUGE_SIZE - (uintptr_t)p % HUGE_SIZE) % HUGE_SIZE;
	if (before > 0)
		munmap(p, before);
	munmap(p + before + whole, HUGE_SIZE - before);
	(void)madvise(p + before, whole, MADV_HUGEPAGE);
	return p + before;
}

void *
pdc_table_new(size_t size)
{
	return size < HUGE_SIZE ? calloc(1, size) : huge_new(size);
}

void
pdc_table_free(void *table, size_t size)
{
	if (table == NULL || size < HUGE_SIZE)
		free(table);
	else
		munmap(table, (size + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE);
}

/* The checker of sanitizer builds must see each record by itself. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define PLAIN_RECORDS
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define PLAIN_RECORDS
#endif

#ifndef PLAIN_RECORDS

/* Records begin at cache lines. */
#define LINE 64u

static bool
slab_grow(struct pdc_slab *s)
{
	size_t step = (s->size + LINE - 1) / LINE * LINE;
	size_t size = MAX_OF(s->next_chunk, CHUNK_FIRST);
	uint8_t *bytes = pdc_table_new(size);
	struct chunk *c = (struct chunk *)(void *)bytes;
	size_t at;

	if (bytes == NULL)
		return false;
	c->next = s->chunks;
	s->chunks = c;
	at = LINE - (uintptr_t)bytes % LINE;
	if (at < sizeof(*c))
		at += LINE;
	for (; at + step <= size; at += step) {
		*(void **)(void *)(bytes + at) = s->free;
		s->free = bytes + at;
	}
	s->next_chunk = MIN_OF(size * 2, HUGE_SIZE);
	return true;
}

void *
pdc_slab_get(struct pdc_slab *s)
{
	void *p = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->free != NULL || slab_grow(s)) {
		p = s->free;
		s->free = *(void **)p;
	}
	pthread_mutex_unlock(&s->lock);
	if (p != NULL)
		memset(p, 0, s->size);
	return p;
}

void
pdc_slab_put(struct pdc_slab *s, void *p)
{
	pthread_mutex_lock(&s->lock);
	*(void **)p = s->free;
	s->free = p;
	pthread_mutex_unlock(&s->lock);
}

#else

void *
pdc_slab_get(struct pdc_slab *s)
{
	return calloc(1, s->size);
}

void
pdc_slab_put(struct pdc_slab *s, void *p)
{
	free(p);
}

#endif

void
pdc_slab_forget(struct pdc_slab *s)
{
	pthread_mutex_init(&s->lock, NULL);
	s->free = NULL;
	s->chunks = NULL;
	s->next_chunk = 0;
}

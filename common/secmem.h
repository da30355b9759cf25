/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for keys and whatever gives access like a key (segment secrets,
 * content information): kept out of core dumps, out of children, locked in
 * memory as far as the limits allow, wiped when freed.
 *
 * Each allocation is its own mapping, so it is meant for few and larger
 * objects; a struct with a key inside is one allocation.
 */
#ifndef COMMON_SECMEM_H
#define COMMON_SECMEM_H

#include <stddef.h>

/* Zeroed; NULL when out of memory. */
void *sec_alloc(size_t size);
/* The content is kept, what is new is zeroed, whatever is given up is wiped.
 * NULL on failure, and then the old one stays.  p may be NULL. */
void *sec_realloc(void *p, size_t old_size, size_t new_size);
/* Wipes and frees; NULL is allowed.  Returns NULL. */
void *sec_free(void *p, size_t size);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data area of a client, as the core sees it: mapped memory in two halves.
 * The client alone allocates the write half, which comes first; the daemon
 * alone allocates the read half.  Every byte of the write half is hostile and
 * may change while it is read: copy, then look at the copy.
 *
 * Reference-counted, since a worker may still write into it when the client is
 * gone.
 */
#ifndef CORE_AREA_H
#define CORE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct area;

#define AREA_PAGE 4096u

/* map: write_size + read_size bytes, both multiples of AREA_PAGE; unmap is
 * called with ctx when the last reference goes.  NULL when out of memory (map
 * stays the caller's then). */
struct area *area_new(uint8_t *map, size_t write_size, size_t read_size,
	void (*unmap)(void *ctx), void *ctx);
struct area *area_ref(struct area *);
struct area *area_unref(struct area *);

/* Bytes [offset, +len) of the write half, or NULL when they are not inside. */
const uint8_t *area_write_at(struct area *, uint32_t offset, uint32_t len);

/* A read range of len bytes; false when there is none free now.  *ret_offset
 * counts from the start of the whole area. */
bool area_read_alloc(struct area *, uint32_t len, uint32_t *ret_offset);
uint8_t *area_read_at(struct area *, uint32_t offset);
/* The range is handed to the client: from now on only area_return() frees
 * it. */
void area_read_sent(struct area *, uint32_t offset, uint32_t len);
/* Frees a range that was not handed out. */
void area_read_free(struct area *, uint32_t offset, uint32_t len);
/* The client gives a range back; false when it never was his like this. */
bool area_return(struct area *, uint32_t offset, uint32_t len);
size_t area_read_room(const struct area *);
/* No range can ever be longer. */
size_t area_read_size(const struct area *);

#endif

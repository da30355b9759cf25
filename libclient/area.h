/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's side of the data area: mapped memory of which the library
 * allocates the first half, in units of 4 KiB, first fit.
 *
 * A part of the write half is kept for the later slices of adds that the
 * daemon already works on.  First slices of adds that queue behind it may wait
 * there for long, and must not take the room that it needs to go on; nor what
 * becomes free while a later slice waits for a range that is long enough.
 */
#ifndef LIBCLIENT_AREA_H
#define LIBCLIENT_AREA_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PDC_AREA_PAGE 4096u

struct pdc_area {
	pthread_mutex_t lock;
	uint8_t *map; /* NULL: there is none, everything travels inline */
	uint32_t write_size;
	uint32_t read_size;
	uint8_t *used; /* one byte for each page of the write half */
	uint32_t pages;
	uint32_t free_pages;
	uint32_t reserve_pages;
	bool starved; /* the last one to ask for a later slice got none */
};

/* fd may be -1; it stays the caller's.  -errno, and then there is nothing to
 * undo. */
int pdc_area_init(
	struct pdc_area *, int fd, uint32_t write_size, uint32_t read_size);
void pdc_area_done(struct pdc_area *);
/* A range of up to want bytes, at least `least`; its length, or 0 when there
 * is no room.  later: for a later slice, may use the reserve. */
uint32_t pdc_area_take(struct pdc_area *, uint32_t want, uint32_t least,
	bool later, uint32_t *ret_offset);
/* false when that is not a range in use. */
bool pdc_area_release(struct pdc_area *, uint32_t offset, uint32_t len);
/* Bytes of the read half, or NULL when they are not inside. */
const uint8_t *pdc_area_read_at(
	const struct pdc_area *, uint32_t offset, uint32_t len);

#endif

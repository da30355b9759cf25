/* SPDX-License-Identifier: BSD-2-Clause */
/* What the index surely has not got. */
#ifndef STORE_STORE_DISK_ABSENT_H
#define STORE_STORE_DISK_ABSENT_H

#include "daemon/store/id_filter.h"
#include "daemon/store/store.h"

struct store_disk;

struct absent {
	struct id_filter filter;
	bool whole;               /* it has all there is */
	bool off;                 /* without it, then */
	uint8_t at[STORE_ID_MAX]; /* ids before this one are in it */
	size_t at_len;
};

void absent_done(struct absent *);
/* Loop, all of them. */
bool absent_is_sure(const struct store_disk *, const uint8_t *id, size_t len);
/* The index was asked in vain. */
void absent_asked(struct store_disk *);
/* Before the index is refreshed: it has that id now. */
void absent_add(struct store_disk *, const uint8_t *id, size_t len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of the disk behind an index, kept for transactions that remove.
 *
 * A transaction writes each page that it changes to another place, and what it
 * frees can be used only two commits later; so on a full disk even a removal
 * may find no page.  As much as the file has, RESERVE_LEAST at the least and
 * RESERVE_MOST at most, is allocated behind its last page, beyond its length,
 * and in the holes that pages leave which were freed before they were ever
 * written.
 */
#ifndef STORE_INDEX_RESERVE_H
#define STORE_INDEX_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

#define RESERVE_LEAST (UINT64_C(40) << 10)
#define RESERVE_MOST  (UINT64_C(1) << 20)
/* Some file systems give all that was asked for, or nothing. */
#define RESERVE_STEP (UINT64_C(64) << 10)

/* How much is to be kept behind so many bytes. */
uint64_t index_reserve_want(uint64_t used);
/* Nothing lacks in the file before *end: moves it on to to, as far as the disk
 * has room; whether it got there.  true also when that cannot be told. */
bool index_reserve_extend(int fd, uint64_t *end, uint64_t to);

#endif

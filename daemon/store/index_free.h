/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LMDB's lists of free pages: one for each transaction that freed some, under
 * its number.  What comes back is LMDB's result.
 */
#ifndef STORE_INDEX_FREE_H
#define STORE_INDEX_FREE_H

#include <lmdb.h>
#include <stdint.h>

#include "daemon/store/index_guard.h"

/* How many there are that transactions below that number freed. */
int index_free_count(
	struct index_guard *, MDB_txn *, size_t below, uint64_t *ret);
/* How many of the pages from .. to - 1 are among them. */
int index_free_between(struct index_guard *, MDB_txn *, uint64_t from,
	uint64_t to, uint64_t *ret);

#endif

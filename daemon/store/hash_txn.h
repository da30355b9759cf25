/* SPDX-License-Identifier: BSD-2-Clause */
/* The writing half of the hash store: what its store thread does. */
#ifndef STORE_HASH_TXN_H
#define STORE_HASH_TXN_H

#include <sys/queue.h>

#include "daemon/store/hash_record.h"
#include "daemon/store/index.h"

enum hash_table {
	HASH_ENTRIES, /* id: record */
	HASH_HASHES,  /* id: hashes */
	HASH_LABELS,  /* uid and digest of the label: ids */
	HASH_FILES,   /* what a file is known by, and uid: ids */
	HASH_COUNTS,  /* "counts" */
	HASH_USERS,   /* uid: what that user has */
	_HASH_TABLE_MAX,
};

/* Lies in the private part of what it is for. */
struct hash_write {
	STAILQ_ENTRY(hash_write) link;
	struct hash_put *put; /* one of these, the other is NULL */
	struct hash_remove *remove;
};
STAILQ_HEAD(hash_writes, hash_write);

/* Does all of them, in one commit if that is possible, and gives each its
 * status.  Durable then.  max_bytes 0: no limit.  The counts as they are now,
 * and the error (-errno) that was met last, or 0. */
int hash_txn_run(struct index *, const struct hash_writes *, uint64_t max_bytes,
	struct hash_counts *counts);
/* Makes HASH_FILES anew when an older release has left it, whose keys had no
 * uid.  At opening, before anything else.  -errno: it is as it was. */
int hash_txn_link_files(struct index *);
/* Counts everything anew.  Loop thread, before anything else. */
int hash_txn_count(struct index *, struct hash_counts *ret);

#endif

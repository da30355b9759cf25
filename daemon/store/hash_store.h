/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash store on disk: store_hash.h over an index of its own.
 */
#ifndef STORE_HASH_STORE_H
#define STORE_HASH_STORE_H

#include "daemon/store/store_hash.h"
#include "daemon/store/store_thread.h"

/* Errors as store_disk_open(). */
int hash_store_open(struct hash_store **ret, const struct store_host *,
	const char *folder, uint64_t max_bytes, const char **ret_why);

#endif

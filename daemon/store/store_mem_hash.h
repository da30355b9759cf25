/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash store in memory, for tests: what it calls durable lasts as long as
 * the process. */
#ifndef STORE_STORE_MEM_HASH_H
#define STORE_STORE_MEM_HASH_H

#include "daemon/core/env.h"
#include "daemon/store/store_hash.h"

/* max_bytes 0: no limit.  NULL when out of memory. */
struct hash_store *store_mem_hash_new(const struct env *, uint64_t max_bytes);

#endif

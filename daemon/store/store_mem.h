/* SPDX-License-Identifier: BSD-2-Clause */
/* The block store in memory: this release's cache, and every test's. */
#ifndef STORE_STORE_MEM_H
#define STORE_STORE_MEM_H

#include "daemon/core/env.h"
#include "daemon/store/store.h"

/* env gives the jobs in which reads are consumed and the deferral of every
 * answer (a job that does nothing), so a test that shuffles jobs shuffles the
 * store too.  max_bytes: of memory, 512 bytes for each block's records
 * included; 0: no limit.  NULL when out of memory. */
struct block_store *store_mem_new(const struct env *, uint64_t max_bytes);

#endif

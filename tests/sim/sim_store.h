/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block store for very many hosts.  All of them share a pool, which has one
 * copy of the ciphertext of each block, whoever put it first; a host's own
 * store knows only which blocks of the pool it has.  So a thousand hosts with
 * the same content cost little more than one.
 *
 * The bytes put later are believed to mean the same, as the core has verified
 * them; what is read and lent is the first copy with its IV.
 *
 * No limits, no age; the answers come through jobs, as of a store in memory.
 */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include "daemon/core/env.h"
#include "daemon/store/store.h"

struct sim_pool;

struct sim_pool *sim_pool_new(void);
/* All stores closed before.  NULL. */
struct sim_pool *sim_pool_free(struct sim_pool *);
struct block_store *sim_store_new(struct sim_pool *, const struct env *);
/* What is lent and not given back. */
size_t sim_store_lent(const struct block_store *);
size_t sim_store_blocks(const struct block_store *);

/* What was lent, of which the pool keeps the bytes for ever. */
struct sim_lent {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t algo;
	const uint8_t *iv;
};
struct sim_lent sim_store_lent_bytes(const struct store_loan *);

#endif

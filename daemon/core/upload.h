/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other hosts may have of the block store, and how much of that at a time.
 * The messages are daemon/net/serve's.
 *
 * An upload is a slot: from a complete request to the last byte of its answer.
 * One that is refused, and one whose block is not to be had, are answered alike
 * (empty), so that nobody learns which it was.
 */
#ifndef CORE_UPLOAD_H
#define CORE_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/parse.h"
#include "daemon/core/env.h"
#include "daemon/core/wheel.h"
#include "daemon/store/store.h"

struct service;
struct uploads;
struct upload_host;

/* Embedded in its owner; its content is the module's but for loan. */
struct upload {
	struct uploads *uploads; /* NULL: no slot taken */
	struct upload_host *host;
	struct wheel_timer timer;
	/* The upload timer (MS-PCCRR 3.2.6) has run out: the answer must be
	 * given up, upload_end() is still owed. */
	void (*over)(struct upload *);
	struct store_loan loan;
	bool lent;
	uint64_t charged; /* to the rate limit: bytes that were to leave */
	bool found;       /* something of what was asked for is here */
	bool failed;      /* the timer has run out */
};

struct uploads *uploads_new(struct service *);
struct uploads *uploads_free(struct uploads *);
/* Mode, status or limits changed.  Running uploads end by themselves. */
void uploads_configure(struct uploads *);

/* Takes a slot.  false: all are taken, or too many by this address, or nothing
 * is given to anybody at present (mode, status). */
bool upload_begin(struct uploads *, struct upload *, const struct parse_addr *,
	void (*over)(struct upload *));
/* Gives everything back; sent: bytes of blocks that left.  Nothing to do for
 * one that did not begin. */
void upload_end(struct upload *, uint64_t sent);
/* Which blocks of a segment may be had; none for ids of foreign sizes. */
void upload_held(struct upload *, const uint8_t *id, size_t id_len,
	struct store_held *ret);
/* Lends a block into u->loan.  false: not to be had. */
bool upload_lend(
	struct upload *, const uint8_t *id, size_t id_len, uint32_t index);
/* How long to wait, ms, before so many bytes may leave ([Upload] RateLimit);
 * they are counted now.  UINT32_MAX: longer than the upload timer would
 * allow, not counted. */
uint32_t upload_wait_ms(struct upload *, uint32_t bytes);
/* What this host has to offer at all: for discovery.  Empty when nothing is
 * given. */
void uploads_held(struct uploads *, const uint8_t *id, size_t id_len,
	struct store_held *ret);
unsigned uploads_running(const struct uploads *);

#endif

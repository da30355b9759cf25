/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the blocks of a segment came from, and why those that did not come did
 * not: for "peerdistctl explain".  Kept in memory for the segments that were
 * wanted last; nothing depends on it, and without memory it knows less.
 */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/parse.h"

#define LEDGER_SOURCES 4u /* peers remembered for one segment */

struct service;
struct ledger;

enum ledger_trouble {
	LEDGER_FINE,
	LEDGER_MODE,      /* the mode lets nobody be asked */
	LEDGER_NO_SOURCE, /* nobody to ask: no peers set, none known */
	LEDGER_NOBODY,    /* asked the branch: nobody answered */
	LEDGER_EMPTY,     /* a peer did not have it after all */
	LEDGER_TIMEOUT,   /* a peer was silent */
	LEDGER_REFUSED,   /* a peer could not be reached, or hung up */
	LEDGER_BAD,       /* a peer's answer was wrong */
	LEDGER_UNSTORED,  /* it came, and could not be kept */
	_LEDGER_TROUBLE_MAX,
};

struct ledger_source {
	struct parse_addr addr;
	uint32_t blocks;
};

struct ledger_view {
	uint32_t from_application; /* blocks added by AddData */
	uint32_t from_peers;       /* blocks, all peers together */
	size_t n_sources;          /* those who gave last */
	struct ledger_source sources[LEDGER_SOURCES];
	uint32_t asked;              /* how often the branch was asked for it */
	uint32_t answers;            /* hosts that answered the last time */
	enum ledger_trouble trouble; /* the last one since a block came */
	bool has_addr;
	struct parse_addr addr; /* the peer it was with */
	uint64_t age_ms;        /* since the last of all this */
};

struct ledger *ledger_new(struct service *);
struct ledger *ledger_free(struct ledger *);

void ledger_block_from_peer(struct ledger *, const uint8_t *id, size_t id_len,
	const struct parse_addr *);
void ledger_block_from_application(
	struct ledger *, const uint8_t *id, size_t id_len);
void ledger_discovered(
	struct ledger *, const uint8_t *id, size_t id_len, uint32_t answers);
/* addr may be NULL: a trouble with nobody in particular, which a minute long
 * does not take the place of one with a host. */
void ledger_trouble(struct ledger *, const uint8_t *id, size_t id_len,
	enum ledger_trouble, const struct parse_addr *);
/* false: nothing is known. */
bool ledger_find(struct ledger *, const uint8_t *id, size_t id_len,
	struct ledger_view *ret);

#endif

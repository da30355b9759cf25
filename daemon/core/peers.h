/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hosts that may be asked for blocks, and how they behaved: strikes,
 * quarantine, what may be under way to each, counts.  The mechanism is told at
 * the top of peers.c.
 */
#ifndef CORE_PEERS_H
#define CORE_PEERS_H

#include "daemon/core/service_internal.h"

struct fetch_lane;
struct peers;

struct peer {
	struct peers *peers;
	struct peer *next_of_key; /* in the table */
	TAILQ_ENTRY(peer) link;
	unsigned refs; /* of others */
	struct peer_view view;
	uint64_t heard_ms; /* last named by discovery; 0: never */
	uint64_t used_ms;
	uint64_t quarantined_until_ms; /* 0: not */
	unsigned window;               /* requests at a time */
	unsigned failures;             /* in a row */
	bool no_lists;                 /* answers for blocks only */
	LIST_HEAD(, fetch_lane) lanes; /* fetch_choose.c */
};

struct peers *peers_new(struct service *);
/* All references given back before.  NULL. */
struct peers *peers_free(struct peers *);
/* The fixed list; peers that stay keep their record.  -ENOMEM: unchanged. */
int peers_configure(struct peers *, const struct parse_addr *, size_t n);
/* Fixed peers to ask, at most max, each time beginning with another one; each
 * is a reference of the caller's. */
size_t peers_fixed(struct peers *, struct peer **ret_peers, size_t max);
bool peers_any_fixed(const struct peers *);
/* The record of a host that discovery has named, a reference of the caller's.
 * NULL: no memory, or too many hosts at once. */
struct peer *peers_heard(struct peers *, const struct parse_addr *);
struct peer *peer_ref(struct peer *);
struct peer *peer_unref(struct peer *);

/* In the settings, or named by discovery and that is in use; and not in
 * quarantine. */
bool peer_usable(const struct peer *);
static inline bool
peer_has_room(const struct peer *peer)
{
	return peer->view.in_flight < peer->window;
}

/* A request goes out, or has come back.  Then, at most one of the others. */
void peer_asked(struct peer *);
void peer_back(struct peer *);
/* It sent a good block. */
void peer_good(struct peer *, uint32_t bytes);
void peer_empty(struct peer *);
/* These return whether it has gone into quarantine: it was silent, refused, or
 * sent something that breaks the protocol or a hash (strike: which counts as
 * its fault). */
bool peer_silent(struct peer *);
bool peer_refused(struct peer *);
bool peer_bad(struct peer *, bool strike);

/* Strikes and quarantine are forgotten; port 0: whatever the port. */
size_t peers_forgive(struct peers *, const struct parse_addr *);
void peers_each(struct peers *, void (*fn)(const struct peer_view *, void *ctx),
	void *ctx);

#endif

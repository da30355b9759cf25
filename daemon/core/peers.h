/* SPDX-License-Identifier: BSD-2-Clause */
/* Known peers and how they behaved: strikes, quarantine, counts. */
#ifndef CORE_PEERS_H
#define CORE_PEERS_H

#include "daemon/core/service_internal.h"

struct peer {
	TAILQ_ENTRY(peer) link;
	unsigned refs;
	bool listed; /* in the settings now */
	struct peer_view view;
	uint64_t quarantined_until_ms;
};

struct peers;

struct peers *peers_new(struct service *);
struct peers *peers_free(struct peers *);
/* The fixed list; peers that stay keep their record.  -ENOMEM: unchanged. */
int peers_configure(struct peers *, const struct parse_addr *, size_t n);
/* Peers to ask, at most max, each time beginning with another one; each is a
 * reference of the caller's. */
size_t peers_candidates(struct peers *, struct peer **ret_peers, size_t max);
struct peer *peer_unref(struct peer *);
/* Still in the settings, and not in quarantine. */
bool peer_usable(const struct peers *, const struct peer *);
/* It sent something wrong; enough of that puts it into quarantine. */
void peer_strike(struct peers *, struct peer *);
/* Strikes and quarantine are forgotten; port 0: whatever the port. */
size_t peers_forgive(struct peers *, const struct parse_addr *);
void peers_each(struct peers *, void (*fn)(const struct peer_view *, void *ctx),
	void *ctx);

#endif

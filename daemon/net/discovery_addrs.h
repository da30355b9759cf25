/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XAddrs of discovery's answers: which of this host's addresses to name, and
 * which of those that another host names to believe.
 */
#ifndef NET_DISCOVERY_ADDRS_H
#define NET_DISCOVERY_ADDRS_H

#include <stddef.h>
#include <stdint.h>

#include "codec/pccrd.h"
#include "common/parse.h"
#include "daemon/net/netif.h"

/* Where this host serves, for somebody with this address on that interface: at
 * most PCCRD_ADDRS_MAX, of the same family, the best first.  How many.
 * IPv4: the address in his subnet.  IPv6: one of each subnet, his own first;
 * link-local ones only when there is nothing else, for whoever puts them into a
 * URL loses the interface. */
size_t discovery_addrs_own(const struct netif_row *,
	const struct parse_addr *to, uint16_t port, struct parse_addr *ret);

/* Those of addrs that an answer of this source, which is near, may name: on a
 * subnet of the interface by which it came, and the source itself or somebody
 * in its subnet (any subnet of that interface if it is a link-local one).
 * Otherwise any host could aim all of the branch at a victim elsewhere.  This
 * host itself is left out, unless another program of it answers that has
 * another port, and so is what is there twice.  Link-local ones get their
 * scope.  At most PCCRD_ADDRS_MAX; how many. */
struct discovery_claim {
	const struct netif *netif;
	const struct netif_row *row; /* by which it came */
	const struct parse_addr *from;
	uint16_t own_port;
	/* or NULL: all */
	bool (*allow)(void *ctx, const struct sockaddr *);
	void *ctx;
};
size_t discovery_addrs_believed(const struct discovery_claim *, size_t n,
	const struct parse_addr *addrs, struct parse_addr *ret);

#endif

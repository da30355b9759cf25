/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose connections a server has.  A host is an address, but with IPv6 all of a
 * /64: whoever has one of those addresses may well have the others.  Where a
 * prefix says nothing, on the link and of the loopback, it is an address, on
 * its interface.
 */
#ifndef NET_HTTP_HOST_H
#define NET_HTTP_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/parse.h"
#include "daemon/net/http_conn.h"

#define HTTP_HOST_SLOTS 256u
#define HTTP_HOST_RANKS 32u

/* As long as it has connections. */
struct http_host {
	struct http_conn_owner owner;
	LIST_ENTRY(http_host) link;
	TAILQ_ENTRY(http_host) turn;
	uint8_t key[16];
	bool is_prefix;
	unsigned n_conns;
};

LIST_HEAD(http_host_list, http_host);

struct http_hosts {
	struct http_host_list slots[HTTP_HOST_SLOTS];
	/* Those with 2^i connections and more, below 2^(i + 1). */
	TAILQ_HEAD(, http_host) ranks[HTTP_HOST_RANKS];
};

void http_hosts_init(struct http_hosts *);
/* Of a family whose hosts are told apart. */
bool http_host_is_known(const struct parse_addr *);
/* Adds it; one without a connection is to be put back.  NULL: no memory. */
struct http_host *http_host_get(struct http_hosts *, const struct parse_addr *);
/* One connection more, or less.  The last one frees it. */
void http_host_more(struct http_hosts *, struct http_host *);
void http_host_less(struct http_hosts *, struct http_host *);
/* Frees one that has none; NULL is allowed. */
void http_host_put(struct http_host *);
/* One that has so many connections or more, the most of all or at least half of
 * that; hosts with as many take turns.  NULL: there is none. */
struct http_host *http_host_greediest(struct http_hosts *, unsigned least);

#endif

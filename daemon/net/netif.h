/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interfaces and addresses of this host, as the kernel tells them, and
 * whether another host's address is near: on a subnet of an interface.
 *
 * Addresses given as struct sockaddr are IPv4, IPv6, or IPv4 in the form that
 * an IPv6 socket shows (::ffff:192.0.2.1), which counts as IPv4.  Other
 * families are never near.
 */
#ifndef NET_NETIF_H
#define NET_NETIF_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/parse.h"

struct loop;
struct netif;

/* What is beyond these is not seen. */
#define NETIF_ROWS_MAX  1024
#define NETIF_ADDRS_MAX 32 /* of one interface */

/* [Network] Interfaces; copied. */
struct netif_settings {
	bool all; /* every one but loopback */
	size_t n;
	const char (*names)[IF_NAMESIZE];
};

struct netif_addr {
	sa_family_t family;
	uint8_t prefix_len;
	bool usable;  /* not a duplicate, nor still being looked at for that */
	bool passing; /* temporary or deprecated: not for others to remember */
	uint8_t own[16];
	uint8_t net[16]; /* as own, or the other end of a point-to-point link */
};

struct netif_row {
	unsigned index;
	char name[IF_NAMESIZE];
	bool enabled; /* by the settings */
	bool up;
	bool multicast;
	bool loopback;
	bool port; /* of a bridge or the like: packets go to that */
	size_t n_addrs;
	struct netif_addr addrs[NETIF_ADDRS_MAX];
};

/* changed is called from the loop whenever a row became another one, or came,
 * or went; not for those that are there when this returns.  -ENOMEM.  That the
 * kernel tells nothing is no failure here: there are no interfaces then, until
 * it does, see netif_error(). */
int netif_new(struct netif **ret, struct loop *, const struct netif_settings *,
	void (*changed)(void *ctx), void *ctx);
struct netif *netif_free(struct netif *);
/* changed is called, from here, when that makes a difference.  -ENOMEM: nothing
 * has changed. */
int netif_configure(struct netif *, const struct netif_settings *);
/* Why the rows may not be the truth: 0, or -errno. */
int netif_error(const struct netif *);

/* Rows in the order of their index; valid until the loop runs. */
void netif_each(const struct netif *,
	void (*fn)(const struct netif_row *, void *ctx), void *ctx);
const struct netif_row *netif_find(const struct netif *, unsigned index);
/* The one that netif_row_owns() is true for; NULL: not this host's. */
const struct netif_row *netif_owner(
	const struct netif *, const struct sockaddr *);
/* On a subnet of any interface of this host, loopback included, whatever the
 * settings say. */
bool netif_is_near(const struct netif *, const struct sockaddr *);

/* On a subnet of this interface (which is up), and the address of one host. */
bool netif_row_near(const struct netif_row *, const struct sockaddr *);
/* As an address of its own; of a link-local one with a scope, only if that is
 * this interface. */
bool netif_row_owns(const struct netif_row *, const struct sockaddr *);
/* Both on the same subnet of this interface. */
bool netif_row_same_subnet(const struct netif_row *, const struct sockaddr *a,
	const struct sockaddr *b);
/* Has an address of that family that can be used. */
bool netif_row_has(const struct netif_row *, sa_family_t family);
/* Of one of its own addresses; the scope is set where one is needed. */
void netif_addr_get(const struct netif_row *, const struct netif_addr *,
	uint16_t port, struct parse_addr *ret);
bool netif_is_loopback(const struct sockaddr *);
/* fe80::/10 */
bool netif_is_link_local(const struct sockaddr *);

#endif

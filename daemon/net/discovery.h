/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets of discovery: Probes and answers of MS-PCCRD, in and out, on
 * every enabled interface, with IPv4 and IPv6.  What to ask and what to answer
 * is daemon/core/discover's.
 */
#ifndef NET_DISCOVERY_H
#define NET_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "daemon/core/env.h"

struct discovery;
struct loop;
struct netif;
struct service;

#define DISCOVERY_INSTANCE_FILE "discovery.instance"

struct discovery_settings {
	/* Where DISCOVERY_INSTANCE_FILE keeps the number of the last start,
	 * from the first discovery_start() on; stays valid.  NULL: nowhere. */
	const char *state_folder;
};

/* Datagrams.  All that came are counted in received; off_link counts answers,
 * of which a datagram may hold several. */
#define DISCOVERY_COUNTERS(X) \
	X(received) \
	X(foreign)   /* other services share the port */ \
	X(malformed) /* cut, too long, or against the rules */ \
	X(off_link)  /* from, or only about, hosts elsewhere or ourselves */ \
	X(refused)   /* by the filter */ \
	X(lost)      /* never received: the kernel had no room for them */ \
	X(dropped)   /* to be sent, but there was no way or no memory */ \
	X(sent) \
	X(send_errors)

struct discovery_counters {
#define X(name) uint64_t name;
	DISCOVERY_COUNTERS(X)
#undef X
};

struct discovery_view {
	bool running;
	bool hears_4, hears_6; /* Probes can be received */
	size_t asks_4, asks_6; /* on how many interfaces */
	/* What does not work at present, or 0: -errno.  It is tried again. */
	int error;
	int state_error; /* the number of this start is not stored: -errno */
	uint64_t instance;
	struct discovery_counters counters; /* since discovery_new() */
};

/* One for a run of the service.  Does nothing yet.  NULL: no memory. */
struct discovery *discovery_new(struct loop *, struct service *, struct netif *,
	const struct discovery_settings *);
struct discovery *discovery_free(struct discovery *);

/* Who may ask and answer, besides being near; both the sources of datagrams
 * (which may be link-local) and the addresses that answers name.  NULL: every
 * host that is near. */
void discovery_set_filter(struct discovery *,
	bool (*allow)(void *ctx, const struct sockaddr *), void *ctx);

/* Joins the groups, opens everything.  fd4, fd6: sockets bound to the port, of
 * one family each (IPV6_V6ONLY), or -1: own ones; they are consumed.
 * retrieval_port: where this host serves; 0: nowhere, it does not answer.
 * Whatever does not work otherwise (no IPv6, port taken) is in the view and
 * tried again.  -EINVAL: not such sockets; -ENOMEM; then nothing is open.  On
 * one that runs, only the port is changed. */
int discovery_start(
	struct discovery *, uint16_t retrieval_port, int fd4, int fd6);
/* Leaves the groups, closes everything. */
void discovery_stop(struct discovery *);
bool discovery_running(const struct discovery *);

/* To be called by whoever is told by netif. */
void discovery_interfaces_changed(struct discovery *);

/* env_ops.probe and env_ops.match.  Nothing happens while it does not run. */
void discovery_probe(struct discovery *, const struct env_probe *);
void discovery_match(struct discovery *, const struct env_match *);

void discovery_view(const struct discovery *, struct discovery_view *ret);

#endif

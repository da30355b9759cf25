/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer inside the test's own process and loop: a listener on loopback that
 * reads HTTP requests and answers what the test wants, as badly as the test
 * wants.  And the frame of a test that waits for something: until a predicate
 * holds, or the deadline fails the test.
 */
#ifndef TESTS_UNIT_NET_PEER_H
#define TESTS_UNIT_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>

#include "common/buf.h"
#include "common/parse.h"
#include "daemon/net/loop.h"

struct net_conn;

struct net_peer {
	struct loop *loop;
	struct parse_addr addr;
	int fd;
	struct event accept;
	LIST_HEAD(, net_conn) conns;
	/* how it behaves; all zero: answers at once and keeps the connection */
	void (*reply)(struct net_peer *, const uint8_t *body, size_t len,
		struct buf *ret_answer); /* whole HTTP answer */
	void *ctx;
	bool deaf;             /* accepts and does not even read */
	bool silent;           /* reads and never answers */
	unsigned silent_after; /* silent after so many requests, 0: never */
	bool early;            /* answers the header, reads no body */
	bool close_at_once;    /* when a request came, without an answer */
	bool reset;            /* closing is a reset */
	bool close_after;      /* after the answer */
	size_t cut;            /* closes after so many bytes, 0: never */
	size_t piece;          /* bytes per write, 0: all */
	unsigned hold;         /* answers none until so many are asked */
	unsigned delay_ms;     /* between pieces */
	unsigned idle_after;   /* closes the connection before this request of
			      * it, counted from 1; 0: never */
	unsigned close_from;   /* the same for all connections from this one on,
			      * counted from 1; 0: never */
	/* what it saw */
	unsigned accepted;
	unsigned open;
	unsigned requests;
	unsigned most; /* requests in work at one time */
	unsigned in_work;
	char head[2048]; /* of the last request */
};

/* Fails the test when it cannot. */
void net_peer_start(struct net_peer *, struct loop *);
/* The same on ::1; false when there is no IPv6. */
bool net_peer_start_v6(struct net_peer *, struct loop *);
void net_peer_stop(struct net_peer *);
/* "HTTP/1.1 200 OK" with Content-Length and this body. */
void net_peer_ok(struct buf *, const void *body, size_t len);

/* Runs the loop until holds(ctx); fails the test after five seconds.  The
 * predicate is asked whenever net_wait_check() is called, and peers call it. */
void net_wait(struct loop *, bool (*holds)(void *ctx), void *ctx);
void net_wait_check(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP POST requests to hosts given by address, on the loop.
 *
 * Never asks a name service, never uses a proxy, never follows a redirect:
 * nothing that a peer says can make this host talk to another one.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/parse.h"

struct loop;
struct http_client;
struct http_host;
struct http_link;

enum http_result {
	HTTP_DONE, /* status 200 and the whole body */
	HTTP_CANCELLED,
	HTTP_TIMEOUT,
	HTTP_REFUSED,   /* no connection, or lost before the answer's end */
	HTTP_STATUS,    /* another status than 200 */
	HTTP_TOO_BIG,   /* more than max_response bytes, or headers no end */
	HTTP_GARBAGE,   /* not HTTP */
	HTTP_NO_MEMORY, /* on this side; descriptors, too */
	_HTTP_RESULT_MAX,
};

/* Belongs to the caller, who keeps it, and the body, until done. */
struct http_request {
	/* asked */
	struct parse_addr addr;
	const char *path; /* constant, short */
	const uint8_t *body;
	size_t body_len;
	size_t max_response;
	/* From when it is sent, or a connection is begun for it, to the last
	 * byte of the answer: waiting for its turn does not count. */
	uint32_t timeout_ms;
	/* answered */
	enum http_result result;
	unsigned status; /* of HTTP, 0: none came */
	uint8_t *memory; /* HTTP_DONE only; done frees it or keeps it */
	uint8_t *data;   /* the body, somewhere in it; not aligned */
	size_t data_len;
	/* Exactly once, from the loop; may free the request, and start and
	 * cancel others. */
	void (*done)(struct http_request *);
	/* of the client */
	struct http_host *host; /* NULL: ended, done is to come */
	struct http_link *on;   /* NULL: waits for its turn */
	uint64_t due_ms;        /* 0: was not sent yet */
	bool again;             /* a kept connection had failed it */
	TAILQ_ENTRY(http_request) link;
};

TAILQ_HEAD(http_request_list, http_request);

/* Requests above the limits wait their turn: first come first served for one
 * host, hosts in rotation.  Kept connections without a request do not count;
 * there are at most total of them. */
struct http_limits {
	unsigned per_host;
	unsigned total;
	unsigned idle_ms; /* how long a connection is kept; 0: 30 s */
};

/* NULL when out of memory. */
struct http_client *http_client_new(struct loop *, const struct http_limits *);
/* Gives up what is still running and calls its done before it returns; these
 * calls may not start anything.  Returns NULL. */
struct http_client *http_client_free(struct http_client *);

/* Never calls done itself. */
void http_client_start(struct http_client *, struct http_request *);
/* Gives the request up at once, a connection in the middle of an answer is
 * closed.  done is still called, soon and not from here; with HTTP_CANCELLED
 * unless the request had ended before.  Not after done. */
void http_client_cancel(struct http_client *, struct http_request *);

/* Connections that are kept for later requests. */
void http_client_close_idle(struct http_client *);

#endif

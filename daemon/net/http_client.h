/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP POST requests to hosts given by address, on the loop.
 *
 * Never asks a name service, never uses a proxy, never follows a redirect:
 * nothing that a peer says can make this host talk to another one.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/parse.h"

struct loop;
struct http_client;
struct http_transfer;

enum http_result {
	HTTP_DONE, /* status 200 and the whole body */
	HTTP_CANCELLED,
	HTTP_TIMEOUT,
	HTTP_REFUSED,   /* no connection, or lost before the answer's end */
	HTTP_STATUS,    /* another status than 200 */
	HTTP_TOO_BIG,   /* more than max_response bytes, or headers no end */
	HTTP_GARBAGE,   /* not HTTP */
	HTTP_NO_MEMORY, /* on this side */
	_HTTP_RESULT_MAX,
};

/* Belongs to the caller, who keeps it, and the body, until done. */
struct http_request {
	/* asked */
	struct parse_addr addr;
	const char *path; /* constant */
	const uint8_t *body;
	size_t body_len;
	size_t max_response;
	uint32_t timeout_ms; /* from http_client_start() to the last byte */
	/* answered */
	enum http_result result;
	unsigned status; /* of HTTP, 0: none came */
	uint8_t *data;   /* HTTP_DONE only; done frees it or keeps it */
	size_t data_len;
	/* Exactly once, from the loop; may free the request, and start and
	 * cancel others. */
	void (*done)(struct http_request *);
	/* of the client */
	struct http_transfer *transfer; /* NULL: ended, done is to come */
	TAILQ_ENTRY(http_request) link;
};

/* Requests above the limits wait their turn: first come first served for one
 * host, hosts in rotation. */
struct http_limits {
	unsigned per_host;
	unsigned total;
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

#endif

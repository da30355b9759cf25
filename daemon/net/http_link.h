/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection of the HTTP client: it is made, carries a request and its
 * answer, then the next one.
 */
#ifndef NET_HTTP_LINK_H
#define NET_HTTP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <http_parser.h>

#include "daemon/net/http_client.h"
#include "daemon/net/loop.h"

/* Room for the header of a request. */
#define HTTP_LINK_HEAD_MAX 320

struct http_link {
	/* Tells the owner, who may free the link or ask again: the request
	 * ended, with its result; or, while there is none (request is NULL),
	 * the connection is of no use any more. */
	void (*over)(struct http_link *);
	struct http_host *host; /* over's */
	LIST_ENTRY(http_link) of_host;
	TAILQ_ENTRY(http_link) of_client;
	struct http_request *request; /* NULL: idle */
	/* while over is called for a request: */
	bool keep;  /* may be asked again */
	bool stale; /* a kept connection failed: nothing of an answer came */
	/* of the link */
	struct loop *loop;
	int fd;
	bool connecting;
	bool used; /* carried an answer */
	struct event readable;
	struct event writable;
	struct loop_alarm alarm;
	char head[HTTP_LINK_HEAD_MAX];
	size_t head_len;
	size_t sent; /* of head and body */
	struct http_parser parser;
	uint8_t *memory; /* NULL: nothing of an answer came yet */
	size_t size;     /* of it */
	size_t at;       /* where the body begins */
	size_t len;      /* bytes of the body that came */
	size_t overhead; /* bytes that came and are not body */
	size_t length;   /* of the body, 0: not told */
	size_t wake;     /* SO_RCVLOWAT */
	bool final;      /* the headers of the answer, not of a 1xx one */
	bool complete;
	enum http_result failure; /* HTTP_DONE: none */
};

/* -errno.  Begins to connect. */
int http_link_new(struct http_link **ret, struct loop *,
	const struct parse_addr *, struct http_host *,
	void (*over)(struct http_link *));
/* Closes the connection; gives up its request without a word.  Returns NULL. */
struct http_link *http_link_free(struct http_link *);

/* Only while idle.  name: what Host shall say.  The request ends at due_ms.
 * false: no memory, the link has to be freed.  Never calls over itself. */
bool http_link_ask(struct http_link *, struct http_request *, const char *name,
	uint64_t due_ms);
/* Waits for the next request, but not longer than this. */
void http_link_rest(struct http_link *, unsigned ms);

#endif

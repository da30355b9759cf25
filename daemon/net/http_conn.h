/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One HTTP/1.1 connection of a server, and what a service sees of it: one whole
 * request at a time, which it answers now or later.
 *
 * Syntax is http-parser's; limits, time-outs and sending are here.  Pipelined
 * requests are answered in order, one after the other.
 */
#ifndef NET_HTTP_CONN_H
#define NET_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/parse.h"

#define HTTP_HEAD_MAX 8192u

struct http_conn;
struct http_conn_set;
struct loop;

/* Whoever answers the requests of some paths. */
struct http_service {
	/* path: as sent, no query, no NUL behind it. */
	bool (*match)(void *ctx, const char *path, size_t len);
	uint64_t methods; /* 1 << enum http_method of http_parser.h */
	size_t body_max;
	/* A whole request.  http_conn_answer() or http_conn_abort() has to
	 * follow, from here or later. */
	void (*handle)(void *ctx, struct http_conn *);
	/* The end of what handle began, exactly once, never from inside handle
	 * nor a call of the service.  whole: all of the answer is the kernel's;
	 * else the connection is over. */
	void (*ended)(void *ctx, struct http_conn *, bool whole);
	/* The next len bytes of the file at offset are not in memory, and
	 * sending them would make everybody wait for the disk: they are to be
	 * read by a worker.  http_conn_warmed() has to follow, from here or
	 * later, or http_conn_abort(), unless ended does; a worker that still
	 * reads then must keep the file itself.  NULL: sent all the same. */
	void (*cold)(
		void *ctx, struct http_conn *, uint64_t offset, uint64_t len);
	void *ctx;
};

/* A further part of a body. */
struct http_part {
	const void *head;
	size_t head_len;
	uint64_t offset;
	uint64_t span;
};

/* The body is head, then span bytes from memory or of a file, then more parts
 * of the file.  For HEAD its length is all that is sent of it; 204 and 304 have
 * not even that. */
struct http_answer {
	unsigned status;
	const char *type;   /* Content-Type, or NULL */
	const char *fields; /* further header lines, each with its CRLF */
	const void *head;   /* copied */
	size_t head_len;
	const void *bytes; /* stay until ended; NULL: of fd, by sendfile */
	int fd;
	uint64_t offset;
	uint64_t span;
	const struct http_part *parts; /* these and their heads stay, too */
	size_t n_parts;
	bool slow;  /* the file's system may stall: all of it is cold, and the
		     * service brings the bytes themselves */
	bool close; /* the connection, after this */
};

/* For the service that has the request; all of it stays until ended. */
unsigned http_conn_method(const struct http_conn *);
const char *http_conn_path(const struct http_conn *, size_t *ret_len);
/* What follows the path, with its question mark; may be empty. */
const char *http_conn_query(const struct http_conn *, size_t *ret_len);
/* The value of the first such header, without blanks round it; NULL: none. */
const char *http_conn_header(
	const struct http_conn *, const char *name, size_t *ret_len);
/* All header fields in their order, each with its name and a value without
 * blanks round it. */
void http_conn_each_header(const struct http_conn *,
	void (*fn)(void *ctx, const char *name, size_t name_len,
		const char *value, size_t len),
	void *ctx);
/* HTTP/1.0, or the 1.1 of everybody else. */
bool http_conn_is_old(const struct http_conn *);
const uint8_t *http_conn_body(const struct http_conn *, size_t *ret_len);
/* An IPv4 address is one, however it was accepted. */
const struct parse_addr *http_conn_peer(const struct http_conn *);
/* A pointer of the service's own, NULL when handle is called. */
void http_conn_set_user(struct http_conn *, void *);
void *http_conn_user(const struct http_conn *);

/* Also in place of an answer of which nothing has left yet, while cold() waits
 * for http_conn_warmed(): that must not follow any more. */
void http_conn_answer(struct http_conn *, const struct http_answer *);
bool http_conn_is_unanswered(const struct http_conn *);
/* What cold() asked for has been read, or cannot be, which will be found out.
 * bytes: the first len of it (> 0) are here and stay until cold() is called
 * again or ended is; the file is not touched for them.  NULL: they are sent
 * from the file. */
void http_conn_warmed(struct http_conn *, const uint8_t *bytes, size_t len);
/* Closes the connection, soon, whatever of an answer has left. */
void http_conn_abort(struct http_conn *);
/* How much of the answer's spans has left so far. */
uint64_t http_conn_span_sent(const struct http_conn *);

/* For the server. */

struct http_conn_limits {
	uint32_t request_ms; /* from its first byte, or the connection, on */
	uint32_t idle_ms;    /* between requests */
	uint32_t stall_ms;   /* nothing of an answer can be sent */
	/* What is refused before a service is asked has a Date, as RFC 9110
	 * wants it of origin servers. */
	bool dated;
};

struct http_counters {
	uint64_t accepted;
	uint64_t filtered;  /* not allowed */
	uint64_t crowded;   /* over a limit, also if another made room */
	uint64_t displaced; /* closed to make room for another */
	uint64_t requests;
	uint64_t refused;   /* without asking a service */
	uint64_t timed_out; /* idle ones excepted */
	uint64_t broken;    /* ended in a request or an answer */
};

TAILQ_HEAD(http_conn_list, http_conn);

/* Those that belong together, as the server sees it. */
struct http_conn_owner {
	/* Not the idle ones.  First the one of which nothing has been sent, and
	 * no request begun, for the longest time. */
	struct http_conn_list busy;
};

struct http_conn_set {
	struct loop *loop;
	struct http_conn_limits limits;
	struct http_counters counters;
	unsigned n_conns;
	struct http_conn_list idle;  /* the longest idle one first */
	struct http_conn_owner rest; /* those without an owner */
	const struct http_service *(*route)(
		struct http_conn_set *, const char *path, size_t len);
	/* One is about to be freed.  May be NULL. */
	void (*closed)(struct http_conn_set *, struct http_conn *);
};

void http_conn_set_init(struct http_conn_set *, struct loop *);
/* Frees all connections but the busy ones of owners. */
void http_conn_set_close(struct http_conn_set *);

/* fd: connected, non-blocking; taken over in every case.  owner: NULL, or stays
 * as long as the connection.  -ENOMEM. */
int http_conn_new(struct http_conn_set *, int fd, const struct parse_addr *peer,
	struct http_conn_owner *owner);
/* Not from inside a call of a service.  NULL. */
struct http_conn *http_conn_free(struct http_conn *);
struct http_conn_owner *http_conn_owner(const struct http_conn *);
/* It has had an answer. */
bool http_conn_is_served(const struct http_conn *);
/* In its list. */
struct http_conn *http_conn_next(const struct http_conn *);

#endif

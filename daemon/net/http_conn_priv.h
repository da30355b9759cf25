/* SPDX-License-Identifier: BSD-2-Clause */
/* The halves of a connection: http_conn.c has its life and its events,
 * http_conn_read.c what comes in, http_conn_send.c what goes out. */
#ifndef NET_HTTP_CONN_PRIV_H
#define NET_HTTP_CONN_PRIV_H

#include <http_parser.h>

#include <event2/event_struct.h>

#include "common/buf.h"
#include "daemon/net/http_conn.h"
#include "daemon/net/loop.h"

enum http_conn_state {
	HTTP_CONN_IDLE,      /* nothing of a request is here */
	HTTP_CONN_RECEIVING, /* a part of one is */
	HTTP_CONN_HANDLING,  /* a service has it */
	HTTP_CONN_SENDING,   /* its answer */
	HTTP_CONN_COLD,      /* the service reads what goes out next */
	HTTP_CONN_LINGERING, /* said all, waits for the other side's end */
	HTTP_CONN_GONE,      /* freed when its pass ends */
	_HTTP_CONN_STATE_MAX,
};

/* Places in the input are offsets: it moves when it grows. */
struct http_input {
	uint8_t *data;
	size_t cap;
	size_t begin;  /* of the request */
	size_t parsed; /* seen by the parser */
	size_t end;    /* of what was received */
	size_t url;
	size_t url_len;
	size_t path;
	size_t path_len;
	size_t body;
	size_t body_len;
	uint64_t raw; /* bytes of this request, with chunk headers */
	bool head_done;
	bool whole;
	bool keep_alive;
	bool given_up;    /* nothing more of it is looked at */
	bool discard;     /* the body is of no interest */
	bool continued;   /* 100 was sent, or need not be */
	bool timed;       /* its time-out runs */
	unsigned refusal; /* status, 0: none */
};

/* text and span are those of the part that is being sent. */
struct http_output {
	struct buf head; /* HTTP's and the service's */
	const uint8_t *text;
	size_t text_len;
	size_t text_sent;
	const uint8_t *bytes;
	int fd;
	uint64_t offset;
	uint64_t span;
	uint64_t span_sent;
	uint64_t spans_before;         /* bytes */
	const struct http_part *parts; /* to come */
	size_t n_parts;
	/* What of the file is known to be in memory, or was to be. */
	uint64_t warm_at;
	uint64_t warm_len;
	const uint8_t *warm_bytes; /* all of that; NULL: of fd */
	bool slow;
	bool close;
	bool linger;
};

struct http_conn {
	struct http_conn_set *set;
	TAILQ_ENTRY(http_conn) link;
	struct http_conn_owner *owner;
	int fd;
	enum http_conn_state state;
	bool running;
	bool handed;  /* the service is owed its end */
	bool reading; /* readable is added */
	bool writing; /* writable is added */
	bool listed_idle;
	bool served;
	struct event readable;
	struct event writable;
	struct loop_deferred again;
	struct loop_alarm alarm;
	uint64_t due_ms;   /* what the alarm is about */
	uint64_t alarm_ms; /* when it goes off, at or before due_ms */
	uint64_t full_ms;  /* when the socket was found full */
	size_t drained;
	http_parser parser;
	struct http_input in;
	struct http_output out;
	const struct http_service *service; /* of the request */
	void *user;
	struct parse_addr peer;
};

/* http_conn_read.c */

enum http_read {
	HTTP_READ_MORE,  /* the request is not whole yet */
	HTTP_READ_WHOLE, /* for c->service */
	/* c->in.refusal says why; keep_alive false: what follows the request,
	 * or is left of it, is not known. */
	HTTP_READ_REFUSED,
};

/* -ENOMEM */
int http_input_init(struct http_conn *);
void http_input_done(struct http_conn *);
/* recv(). */
ssize_t http_conn_recv(struct http_conn *, void *dst, size_t size);
/* One recv().  > 0: so many bytes; 0: the end; -EAGAIN, -ENOMEM and others. */
ssize_t http_input_receive(struct http_conn *);
/* Parses what is there. */
enum http_read http_input_parse(struct http_conn *);
/* Forgets the request; what was received behind it stays. */
void http_input_next(struct http_conn *);
static inline bool
http_input_empty(const struct http_conn *c)
{
	return c->in.begin == c->in.end;
}

/* http_conn_send.c */

enum http_send {
	HTTP_SEND_DONE,
	HTTP_SEND_BLOCKED,
	HTTP_SEND_SHARE, /* enough for this pass */
	HTTP_SEND_COLD,  /* warm_at and warm_len are to be read first */
	HTTP_SEND_FAILED,
};

/* false: no memory */
bool http_output_set(struct http_conn *, const struct http_answer *);
/* The same for what no service was asked about. */
bool http_output_refuse(struct http_conn *);
/* share: how many bytes of the span may leave now, less those that do.  ret:
 * whether any byte left. */
enum http_send http_output_send(
	struct http_conn *, uint64_t *share, bool *ret_progress);
/* Nothing of it has left. */
bool http_output_is_whole(const struct http_conn *);
/* Some time has passed: what was in memory may not be any more. */
void http_output_cools(struct http_conn *);
/* "100 Continue".  false: cannot be said. */
bool http_output_continue(struct http_conn *);

#endif

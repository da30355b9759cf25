/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c has the service and blocks, serve_list.c the lists. */
#ifndef NET_SERVE_PRIV_H
#define NET_SERVE_PRIV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "codec/pccrr.h"
#include "common/buf.h"
#include "daemon/core/env.h"
#include "daemon/core/upload.h"
#include "daemon/net/http_conn.h"
#include "daemon/net/loop.h"

struct serve_block;

struct serve {
	struct loop *loop;
	struct uploads *uploads;
	const struct env *env;
	struct http_service http;
	struct buf message; /* being built */
	LIST_HEAD(, serve_block) unused;
	unsigned n_unused;
	unsigned n_running; /* blocks and lists that are not ended */
};

/* What is answered later, as the connection's user. */
struct serve_work {
	/* The answer has left, or the connection is over.  sent: of the
	 * span. */
	void (*ended)(struct serve_work *, uint64_t sent);
};

/* 400, and the end of the connection. */
void serve_refuse(struct http_conn *);
/* Answers with s->message.  built: what building it gave; when that failed, so
 * does the connection. */
void serve_message(struct serve *, struct http_conn *, int built);

/* The first block at or behind from; 0: none. */
uint32_t serve_next(const struct store_held *, uint32_t from);

void serve_getblklist(
	struct serve *, struct http_conn *, const uint8_t *data, size_t len);
void serve_getseglist(
	struct serve *, struct http_conn *, const uint8_t *data, size_t len);

#endif

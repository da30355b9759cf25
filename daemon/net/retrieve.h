/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks from peers, and lists of them: env_ops.peer_request and peer_cancel,
 * MS-PCCRR over HTTP.
 */
#ifndef NET_RETRIEVE_H
#define NET_RETRIEVE_H

#include "daemon/core/env.h"
#include "daemon/net/http_client.h"

struct retrieve;

/* NULL when out of memory. */
struct retrieve *retrieve_new(struct loop *, const struct http_limits *);
/* Gives up what is still running and calls its done before it returns; these
 * calls may not start anything.  Returns NULL. */
struct retrieve *retrieve_free(struct retrieve *);

/* As env.h says.  Data comes as ciphertext of one of the three keys; its length
 * is a multiple of 16 and not above max_data.  Cancelled, and without memory on
 * this side: ENV_PEER_REFUSED, the peer did nothing wrong. */
void retrieve_request(struct retrieve *, struct env_peer_request *);
void retrieve_cancel(struct retrieve *, struct env_peer_request *);

/* Closes the connections that nobody uses at present. */
void retrieve_close_idle(struct retrieve *);

#endif

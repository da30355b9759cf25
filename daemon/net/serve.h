/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The retrieval protocol's server, MS-PCCRR 3.2: what other hosts ask for is
 * answered from the block store, as core/upload lets it.
 */
#ifndef NET_SERVE_H
#define NET_SERVE_H

struct env;
struct http_server;
struct loop;
struct serve;
struct service;

/* Adds itself to the server's services; all of them outlive it, the connections
 * excepted.  NULL when out of memory. */
struct serve *serve_new(struct loop *, struct service *, const struct env *,
	struct http_server *);
/* The server has no connection any more, or is gone, and the service is idle.
 * NULL. */
struct serve *serve_free(struct serve *);

#endif

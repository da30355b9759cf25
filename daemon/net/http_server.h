/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listeners, the limits on connections, and the services behind paths.  What is
 * to be reached on different addresses is in servers of its own.
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/parse.h"
#include "daemon/net/http_conn.h"

struct http_listener;
struct http_server;

#define HTTP_SERVICES_MAX 8

struct http_server_limits {
	unsigned conns;
	unsigned conns_per_address;
	unsigned conns_per_prefix; /* IPv6, see http_host.h */
	struct http_conn_limits conn;
};
#define HTTP_SERVER_LIMITS_DEFAULT \
	{ \
		.conns = 1024, .conns_per_address = 64, \
		.conns_per_prefix = 256, .conn = { \
			.request_ms = 10000, \
			.idle_ms = 60000, \
			.stall_ms = 15000 \
		} \
	}

/* Whose connections are taken; others are closed without a word.  An IPv4
 * address is given as one, however it arrived. */
struct http_filter {
	bool (*allow)(void *ctx, const struct sockaddr *);
	void *ctx;
};

/* NULL: the default limits.  NULL when out of memory. */
struct http_server *http_server_new(
	struct loop *, const struct http_server_limits *);
/* Closes listeners and connections; services are told.  NULL. */
struct http_server *http_server_free(struct http_server *);
/* For connections to come; time-outs at once. */
void http_server_configure(
	struct http_server *, const struct http_server_limits *);
/* Stays valid until the server is freed.  At most HTTP_SERVICES_MAX; asked in
 * this order. */
void http_server_add(struct http_server *, const struct http_service *);

/* filter may be NULL, and is copied.  -errno of socket(), bind() and so on;
 * -ENOMEM. */
int http_server_listen(struct http_server *, const struct parse_addr *,
	const struct http_filter *, struct http_listener **ret_listener);
/* A bound stream socket of any family, listening or not; taken over in every
 * case. */
int http_server_listen_fd(struct http_server *, int fd,
	const struct http_filter *, struct http_listener **ret_listener);
/* The connections stay.  NULL. */
struct http_listener *http_listener_close(struct http_listener *);
/* 0: it has none (a socket in the file system). */
uint16_t http_listener_port(const struct http_listener *);
/* Where it really listens. */
void http_listener_address(
	const struct http_listener *, struct parse_addr *ret);

/* Not from inside a call of a service. */
void http_server_close_all(struct http_server *);
/* Likewise, those that would not be taken by this filter now. */
void http_server_sift(struct http_server *, const struct http_filter *);
unsigned http_server_conns(const struct http_server *);
const struct http_counters *http_server_counters(const struct http_server *);

#endif

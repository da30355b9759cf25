/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An HTTP client on a loop with a peer (net_peer.h) that answers as badly as a
 * test wants, and requests that see to it that done comes once and never from
 * inside a call.
 */
#ifndef TESTS_UNIT_HTTP_ENV_H
#define TESTS_UNIT_HTTP_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/net/http_client.h"
#include "tests/unit/net_peer.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

struct http_env {
	struct loop *loop;
	struct http_client *client;
	struct net_peer peer;
	const char *answer; /* whole, or NULL: 200 and the request's body */
	size_t answer_len;  /* 0: up to the NUL */
	unsigned fds;
	bool inside; /* in a call of the client: done may not come */
	unsigned done;
};

struct http_try {
	struct http_request http;
	struct http_env *f;
	uint8_t body[8];
	unsigned done;
	struct http_try *then_start;
	struct http_try *then_cancel;
};

/* For cmocka.  The client has limits that no test reaches. */
int http_env_setup(void **state);
int http_env_teardown(void **state);
#define HTTP_TEST(t) \
	cmocka_unit_test_setup_teardown(t, http_env_setup, http_env_teardown)
/* Another client. */
void http_env_limits(struct http_env *, unsigned per_host, unsigned total);

/* Asks the peer for at most 1,000 bytes. */
void try_init(struct http_env *, struct http_try *, uint32_t timeout_ms);
void try_start(struct http_try *);
void try_cancel(struct http_try *);
void try_wait(struct http_try *);
/* One request from init to done. */
enum http_result try_ask(
	struct http_env *, struct http_try *, uint32_t timeout_ms);
/* It was answered with this, which is freed. */
void try_expect(struct http_try *, const char *body);

/* For net_wait(). */
bool try_is_done(void *ctx);
bool http_env_nobody_connected(void *ctx);
bool http_env_has_requests(void *ctx);
bool http_env_has_connections(void *ctx);
bool http_env_is_answering(void *ctx);

#endif

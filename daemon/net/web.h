/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A web root: its files by HTTP, and their content information to those who ask
 * for PeerDist encoding (MS-PCCRTP).
 */
#ifndef NET_WEB_H
#define NET_WEB_H

#include <stdbool.h>
#include <stdint.h>

struct env;
struct http_server;
struct loop;
struct service;
struct web;

struct web_settings {
	const char *root; /* absolute path of a folder; NULL: 503 to all */
	/* Folders that are not to be given out, NULL behind the last one: none
	 * that is one of these, or has one in it, is a root.  NULL: nothing is
	 * forbidden. */
	const char *const *own;
	uint64_t min_size; /* files up to this are never encoded */
	/* So long a request waits for a file system that may stall, each time
	 * that it is asked for something.  0: WEB_PATIENCE_MS. */
	uint32_t patience_ms;
};
#define WEB_PATIENCE_MS 20000u

#define WEB_COUNTERS(X) \
	X(answers) \
	X(plain_bytes) \
	X(encoded) \
	X(encoded_bytes) \
	X(described_bytes) \
	X(make_hash) \
	X(missing_data) \
	X(not_found) \
	X(stalled)

struct web_counters {
#define X(name) uint64_t name;
	WEB_COUNTERS(X)
#undef X
};

/* Adds itself to the server's services as the last of them: it takes every
 * path.  All of them outlive it, the connections excepted.  NULL when out of
 * memory. */
struct web *web_new(struct loop *, struct service *, const struct env *,
	struct http_server *);
/* Answers to come.  -errno: the root cannot be opened, and everything is
 * answered 503 until it can; one that was open under the same path goes on.
 * -EPERM: it has one of own in it, which is the same. */
int web_configure(struct web *, const struct web_settings *);
/* It has a root, and that was opened. */
bool web_is_open(const struct web *);
const struct web_counters *web_counters(const struct web *);
/* The server has no connection any more, or is gone, and the service is idle.
 * NULL. */
struct web *web_free(struct web *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service as a whole: settings, status and epochs, counters, and the tables
 * that sessions share (publications, users, fetches).
 */
#ifndef CORE_SERVICE_H
#define CORE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/env.h"
#include "daemon/core/policy.h"
#include "daemon/core/quota.h"
#include "daemon/store/store.h"

struct discover;
struct hash_store;
struct ledger;
struct service;
struct uploads;
struct session;

enum service_status { /* the numbers of PEERDIST_STATUS */
	SERVICE_DISABLED = 0,
	SERVICE_UNAVAILABLE = 1,
	SERVICE_AVAILABLE = 2,
};

/* Copied by service_configure(). */
struct service_settings {
	struct policy policy;
	struct quota_limits limits;
	unsigned preferred_content_version; /* 1: only version 1 */
	uint32_t encryption;                /* enum pccrr_algo at insertion */
	size_t n_peers;
	struct parse_addr *peers; /* [Retrieval] Peers */
	uint32_t max_peers;
	uint32_t request_timeout_ms;
	uint32_t peer_strikes;
	uint32_t quarantine_ms;
	uint32_t probe_timeout_ms;
	uint32_t backoff_max_ms; /* at most probe_timeout_ms */
	uint32_t quorum;         /* 0: off */
	uint64_t quorum_forget_ms;
	uint32_t uploads; /* at the same time */
	uint32_t upload_timeout_ms;
	uint64_t upload_rate; /* bytes per second, 0: no limit */
};

#define SERVICE_COUNTERS(X) \
	X(sessions_opened) \
	X(operations_started) \
	X(operations_finished) \
	X(operations_cancelled) \
	X(operations_timed_out) \
	X(operations_missing) \
	X(operations_invalidated) \
	X(operations_abandoned) \
	X(bytes_published) \
	X(bytes_read_local) \
	X(bytes_added) \
	X(blocks_verified) \
	X(blocks_bad_from_clients) \
	X(fetches_started) \
	X(fetches_running) \
	X(peer_requests) \
	X(peer_blocks) \
	X(peer_bytes) \
	X(peer_empty) \
	X(peer_timeouts) \
	X(peer_refused) \
	X(peer_bad) \
	X(peer_lists) \
	X(probes_sent) \
	X(probe_answers) \
	X(probes_heard) \
	X(answers_sent) \
	X(answers_dropped) \
	X(uploads) \
	X(uploads_empty) \
	X(uploads_busy) \
	X(uploads_given_up) \
	X(upload_bytes) \
	X(epochs)

struct service_counters {
#define X(name) uint64_t name;
	SERVICE_COUNTERS(X)
#undef X
};

/* key: the server secret key, copied into secmem.  Starts UNAVAILABLE.  NULL
 * when out of memory. */
struct service *service_new(const struct env *, struct block_store *,
	const struct service_settings *, const uint8_t *key, size_t key_len);
/* The store of standing publications; before anything is published.  NULL:
 * there is none, and asking for one is answered CORE_E_UNAVAILABLE. */
void service_set_hash_store(struct service *, struct hash_store *);
/* Another server secret, copied.  The epoch ends, as when the service leaves
 * AVAILABLE and comes back; standing publications stay and are described with
 * the new key from now on.  -ENOMEM: nothing has changed. */
int service_set_key(struct service *, const uint8_t *key, size_t key_len);
/* All sessions closed before; jobs and requests still running hold the rest
 * until they are done: call service_idle() from the loop until true, then
 * free. */
bool service_idle(const struct service *);
struct service *service_free(struct service *);

/* New settings.  Leaving enabled, or a session losing its role, acts at
 * once. */
int service_configure(struct service *, const struct service_settings *);
/* Everything is up: UNAVAILABLE -> AVAILABLE (or DISABLED by policy). */
void service_ready(struct service *, bool ready);
enum service_status service_status(const struct service *);
void service_content_versions(
	const struct service *, uint32_t *ret_min, uint32_t *ret_max);
uint32_t service_epoch(const struct service *);
const struct service_counters *service_counters(const struct service *);
const struct service_settings *service_settings(const struct service *);
struct quota_table *service_quota(struct service *);
struct block_store *service_store(struct service *);
struct hash_store *service_hash_store(struct service *); /* or NULL */
struct discover *service_discover(struct service *);
struct uploads *service_uploads(struct service *);
struct ledger *service_ledger(struct service *);
/* What peers are to the service at present: the mode has them, and it is
 * available. */
bool service_has_peers(const struct service *);
/* Requests of others to the stores: the service is not idle before each is
 * released. */
void service_hold(struct service *);
void service_release(struct service *);

/* Timers: the loop calls service_tick() at service_next_ms(). */
void service_tick(struct service *);
uint64_t service_next_ms(struct service *);

/* The session with this number, or NULL. */
struct session *service_find_session(struct service *, uint64_t number);

struct peer_view {
	struct parse_addr addr;
	bool fixed; /* named in the settings; else it answered a Probe */
	uint32_t in_flight; /* requests */
	uint32_t strikes;
	uint64_t quarantine_ms; /* left, 0: none */
	uint64_t blocks, bytes, empty, timeouts, refused, bad;
	uint64_t idle_ms; /* since it was last asked or heard of */
};
void service_each_peer(struct service *,
	void (*fn)(const struct peer_view *, void *ctx), void *ctx);

/* Strikes and quarantine of a host are forgotten, whatever the port when that
 * is 0.  How many there were. */
size_t service_forgive_peer(struct service *, const struct parse_addr *);

#endif

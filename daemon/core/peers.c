/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One record for each host and port, found by a hash of fixed size.
 *
 *	fixed	named in the settings
 *	found	named by discovery, or not named any more but not forgotten;
 *		the one used longest ago first
 *
 * A record stays while somebody refers to it, while it is fixed, and while
 * there is something to remember: strikes, a quarantine, or that it was heard
 * of in the last KEEP_MS.  Of the found ones there are at most FOUND_MOST, and
 * whoever makes up addresses only drives out others that nobody refers to.
 *
 * The window is how many requests may be under way to a host, all users and
 * segments together.  It begins small, grows by one with each good block and
 * halves with each silence, so that a slow host is not buried and a dead one
 * costs few time-outs.  One in the settings was chosen by somebody, and begins
 * with more.
 *
 * Addresses of found hosts come from the network, and whoever answers a Probe
 * can name anybody's.  So a found host that refused or was silent FAILURES_MOST
 * times in a row is left alone for a while, also by segments that have not
 * asked it yet; and again when it fails the first time after that.  One in the
 * settings is left alone only for silence, and not for long: it may be switched
 * off, and each request to it costs somebody a time-out.
 */
#include "daemon/core/peers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"

#define BUCKETS       512u
#define FOUND_MOST    1024u
#define KEEP_MS       (10u * 60 * 1000)
#define WINDOW_FOUND  2u
#define WINDOW_FIXED  4u
#define WINDOW_MOST   8u
#define FAILURES_MOST 3u
#define FAILURES_MS   60000u /* found */
#define SILENCES_MS   10000u /* fixed */

TAILQ_HEAD(peer_list, peer);

struct peers {
	struct service *service;
	struct peer_list fixed;
	struct peer_list found;
	size_t n_fixed, n_found;
	size_t turn; /* which fixed one is the first next time */
	struct peer *buckets[BUCKETS];
};

/* Of an address without what a socket may add to it. */
struct peer_key {
	uint8_t ip[16];
	uint32_t scope;
	uint16_t port;
	uint16_t family;
};

struct peers *
peers_new(struct service *svc)
{
	struct peers *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->service = svc;
	TAILQ_INIT(&p->fixed);
	TAILQ_INIT(&p->found);
	return p;
}

static struct peer_key
key_of(const struct parse_addr *addr)
{
	struct peer_key key;

	memset(&key, 0, sizeof(key));
	key.family = addr->ss.ss_family;
	if (key.family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, &addr->ss, sizeof(in6));
		memcpy(key.ip, &in6.sin6_addr, sizeof(in6.sin6_addr));
		key.scope = in6.sin6_scope_id;
		key.port = in6.sin6_port;
	} else {
		struct sockaddr_in in;

		memcpy(&in, &addr->ss, sizeof(in));
		memcpy(key.ip, &in.sin_addr, sizeof(in.sin_addr));
		key.port = in.sin_port;
	}
	return key;
}

/* An attacker who fills one bucket makes a list of at most FOUND_MOST. */
static struct peer **
bucket_of(struct peers *p, const struct peer_key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ bytes[i]) * 16777619u;
	return &p->buckets[(h ^ h >> 16) % BUCKETS];
}

static bool
is_key(const struct peer *peer, const struct peer_key *key)
{
	struct peer_key own = key_of(&peer->view.addr);

	return memcmp(&own, key, sizeof(own)) == 0;
}

static struct peer *
find(struct peers *p, const struct parse_addr *addr)
{
	struct peer_key key = key_of(addr);
	struct peer *peer = *bucket_of(p, &key);

	while (peer != NULL && !is_key(peer, &key))
		peer = peer->next_of_key;
	return peer;
}

static void
list_put(struct peers *p, struct peer *peer, bool fixed)
{
	peer->view.fixed = fixed;
	TAILQ_INSERT_TAIL(fixed ? &p->fixed : &p->found, peer, link);
	*(fixed ? &p->n_fixed : &p->n_found) += 1;
}

static void
list_take(struct peers *p, struct peer *peer)
{
	TAILQ_REMOVE(peer->view.fixed ? &p->fixed : &p->found, peer, link);
	*(peer->view.fixed ? &p->n_fixed : &p->n_found) -= 1;
}

static void
forget(struct peer *peer)
{
	struct peers *p = peer->peers;
	struct peer_key key = key_of(&peer->view.addr);
	struct peer **at = bucket_of(p, &key);

	assert(peer->refs == 0);
	while (*at != peer)
		at = &(*at)->next_of_key;
	*at = peer->next_of_key;
	list_take(p, peer);
	free(peer);
}

static struct peer *
add(struct peers *p, const struct parse_addr *addr, bool fixed)
{
	struct peer_key key = key_of(addr);
	struct peer **at = bucket_of(p, &key);
	struct peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->peers = p;
	peer->view.addr = *addr;
	peer->window = fixed ? WINDOW_FIXED : WINDOW_FOUND;
	peer->used_ms = service_now_ms(p->service);
	LIST_INIT(&peer->lanes);
	peer->next_of_key = *at;
	*at = peer;
	list_put(p, peer, fixed);
	return peer;
}

struct peers *
peers_free(struct peers *p)
{
	struct peer *peer;

	if (p == NULL)
		return NULL;
	while ((peer = TAILQ_FIRST(&p->fixed)) != NULL ||
		(peer = TAILQ_FIRST(&p->found)) != NULL)
		forget(peer);
	free(p);
	return NULL;
}

static bool
quarantined(const struct peer *peer)
{
	return peer->quarantined_until_ms != 0 &&
		peer->quarantined_until_ms >
		service_now_ms(peer->peers->service);
}

static bool
worth_keeping(const struct peer *peer)
{
	uint64_t now_ms = service_now_ms(peer->peers->service);

	return peer->view.fixed || peer->refs > 0 || peer->view.strikes > 0 ||
		quarantined(peer) ||
		(peer->heard_ms != 0 && now_ms - peer->used_ms < KEEP_MS);
}

/* It is used: the last one to be forgotten. */
static void
touch(struct peer *peer)
{
	struct peers *p = peer->peers;

	peer->used_ms = service_now_ms(p->service);
	if (peer->view.fixed || TAILQ_NEXT(peer, link) == NULL)
		return;
	TAILQ_REMOVE(&p->found, peer, link);
	TAILQ_INSERT_TAIL(&p->found, peer, link);
}

/* Forgets what is not worth keeping, from the front; a step costs little, so
 * each call goes a little further.  Then, if need be, what is. */
static void
trim(struct peers *p)
{
	struct peer *peer, *next;

	for (int i = 0; i < 2; i++) {
		peer = TAILQ_FIRST(&p->found);
		if (peer == NULL || worth_keeping(peer))
			break;
		forget(peer);
	}
	for (peer = TAILQ_FIRST(&p->found);
		peer != NULL && p->n_found >= FOUND_MOST; peer = next) {
		next = TAILQ_NEXT(peer, link);
		if (peer->refs == 0)
			forget(peer);
	}
}

struct peer *
peers_heard(struct peers *p, const struct parse_addr *addr)
{
	struct peer *peer = find(p, addr);

	if (peer == NULL) {
		trim(p);
		if (p->n_found < FOUND_MOST)
			peer = add(p, addr, false);
	}
	if (peer == NULL)
		return NULL;
	touch(peer);
	peer->heard_ms = peer->used_ms;
	return peer_ref(peer);
}

struct peer *
peer_ref(struct peer *peer)
{
	peer->refs++;
	return peer;
}

struct peer *
peer_unref(struct peer *peer)
{
	if (peer != NULL && --peer->refs == 0 && !worth_keeping(peer))
		forget(peer);
	return NULL;
}

int
peers_configure(struct peers *p, const struct parse_addr *addrs, size_t n)
{
	struct peer_list before = TAILQ_HEAD_INITIALIZER(before);
	struct peer *peer;

	/* New ones first: only this can fail, and a record too many that nobody
	 * lists does no harm. */
	for (size_t i = 0; i < n; i++)
		if (find(p, &addrs[i]) == NULL &&
			add(p, &addrs[i], false) == NULL)
			return err_new(-ENOMEM);
	while ((peer = TAILQ_FIRST(&p->fixed)) != NULL) {
		list_take(p, peer);
		list_put(p, peer, false);
	}
	for (size_t i = 0; i < n; i++) {
		peer = find(p, &addrs[i]);
		if (peer->view.fixed)
			continue;
		list_take(p, peer);
		list_put(p, peer, true);
		peer->window = MAX_OF(peer->window, WINDOW_FIXED);
	}
	for (peer = TAILQ_FIRST(&p->found); peer != NULL;) {
		struct peer *next = TAILQ_NEXT(peer, link);

		if (!worth_keeping(peer))
			forget(peer);
		peer = next;
	}
	return 0;
}

bool
peer_usable(const struct peer *peer)
{
	return (peer->view.fixed ||
		       (peer->heard_ms != 0 &&
			       service_has_peers(peer->peers->service))) &&
		!quarantined(peer);
}

size_t
peers_fixed(struct peers *p, struct peer **ret_peers, size_t max)
{
	struct peer *peer = TAILQ_FIRST(&p->fixed);
	size_t n = 0;

	if (peer == NULL)
		return 0;
	p->turn %= p->n_fixed;
	for (size_t i = 0; i < p->turn; i++)
		peer = TAILQ_NEXT(peer, link);
	p->turn++;
	for (size_t i = 0; i < p->n_fixed && n < max; i++) {
		if (peer_usable(peer))
			ret_peers[n++] = peer_ref(peer);
		peer = TAILQ_NEXT(peer, link);
		if (peer == NULL)
			peer = TAILQ_FIRST(&p->fixed);
	}
	return n;
}

bool
peers_any_fixed(const struct peers *p)
{
	const struct peer *peer;

	TAILQ_FOREACH (peer, &p->fixed, link)
		if (peer_usable(peer))
			return true;
	return false;
}

void
peer_asked(struct peer *peer)
{
	peer->view.in_flight++;
	touch(peer);
}

void
peer_back(struct peer *peer)
{
	assert(peer->view.in_flight > 0);
	peer->view.in_flight--;
}

void
peer_good(struct peer *peer, uint32_t bytes)
{
	peer->view.blocks++;
	peer->view.bytes += bytes;
	peer->failures = 0;
	peer->window = MIN_OF(peer->window + 1, WINDOW_MOST);
}

void
peer_empty(struct peer *peer)
{
	peer->view.empty++;
	peer->failures = 0;
}

static void
quarantine(struct peer *peer, uint64_t ms)
{
	uint64_t until_ms = service_now_ms(peer->peers->service) + ms;

	peer->quarantined_until_ms =
		MAX_OF(peer->quarantined_until_ms, until_ms);
}

/* rest_ms 0: it is not left alone. */
static bool
failed(struct peer *peer, uint64_t rest_ms)
{
	if (peer->failures < FAILURES_MOST)
		peer->failures++;
	if (peer->failures < FAILURES_MOST || rest_ms == 0)
		return false;
	quarantine(peer, rest_ms);
	return true;
}

bool
peer_silent(struct peer *peer)
{
	peer->view.timeouts++;
	peer->window = MAX_OF(peer->window / 2, 1u);
	return failed(peer, peer->view.fixed ? SILENCES_MS : FAILURES_MS);
}

bool
peer_refused(struct peer *peer)
{
	peer->view.refused++;
	return failed(peer, peer->view.fixed ? 0 : FAILURES_MS);
}

bool
peer_bad(struct peer *peer, bool strike)
{
	const struct service_settings *set = &peer->peers->service->settings;

	peer->view.bad++;
	if (!strike || ++peer->view.strikes < set->peer_strikes)
		return false;
	peer->view.strikes = 0;
	quarantine(peer, set->quarantine_ms);
	return true;
}

static bool
same_host(const struct peer *peer, const struct peer_key *key)
{
	struct peer_key own = key_of(&peer->view.addr);

	own.port = 0;
	return memcmp(&own, key, sizeof(own)) == 0;
}

static size_t
forgive_in(struct peer_list *list, const struct peer_key *key)
{
	struct peer *peer;
	size_t n = 0;

	TAILQ_FOREACH (peer, list, link) {
		if (key->port == 0 ? !same_host(peer, key) : !is_key(peer, key))
			continue;
		peer->view.strikes = 0;
		peer->quarantined_until_ms = 0;
		peer->failures = 0;
		n++;
	}
	return n;
}

size_t
peers_forgive(struct peers *p, const struct parse_addr *addr)
{
	struct peer_key key = key_of(addr);

	return forgive_in(&p->fixed, &key) + forgive_in(&p->found, &key);
}

static void
each_in(struct peer_list *list, void (*fn)(const struct peer_view *, void *ctx),
	void *ctx)
{
	struct peer *peer;

	TAILQ_FOREACH (peer, list, link) {
		uint64_t now_ms = service_now_ms(peer->peers->service);
		struct peer_view v = peer->view;

		v.quarantine_ms = quarantined(peer)
			? peer->quarantined_until_ms - now_ms
			: 0;
		v.idle_ms = now_ms - peer->used_ms;
		fn(&v, ctx);
	}
}

void
peers_each(struct peers *p, void (*fn)(const struct peer_view *, void *ctx),
	void *ctx)
{
	each_in(&p->fixed, fn, ctx);
	each_in(&p->found, fn, ctx);
}

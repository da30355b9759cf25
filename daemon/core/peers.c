/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/peers.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"

TAILQ_HEAD(peer_list, peer);

struct peers {
	struct service *service;
	struct peer_list list;
	size_t n;
	size_t turn; /* who is the first candidate next time */
};

struct peers *
peers_new(struct service *svc)
{
	struct peers *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->service = svc;
	TAILQ_INIT(&p->list);
	return p;
}

struct peer *
peer_unref(struct peer *peer)
{
	if (peer != NULL && --peer->refs == 0)
		free(peer);
	return NULL;
}

static void
forget(struct peers *p, struct peer *peer)
{
	TAILQ_REMOVE(&p->list, peer, link);
	p->n--;
	peer->listed = false;
	peer_unref(peer);
}

struct peers *
peers_free(struct peers *p)
{
	struct peer *peer;

	if (p == NULL)
		return NULL;
	while ((peer = TAILQ_FIRST(&p->list)) != NULL)
		forget(p, peer);
	free(p);
	return NULL;
}

static struct peer *
find(struct peers *p, const struct parse_addr *addr)
{
	struct peer *peer;

	TAILQ_FOREACH (peer, &p->list, link)
		if (peer->view.addr.len == addr->len &&
			memcmp(&peer->view.addr.ss, &addr->ss, addr->len) == 0)
			return peer;
	return NULL;
}

static int
add(struct peers *p, const struct parse_addr *addr)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return err_new(-ENOMEM);
	peer->refs = 1;
	peer->view.addr = *addr;
	TAILQ_INSERT_TAIL(&p->list, peer, link);
	p->n++;
	return 0;
}

int
peers_configure(struct peers *p, const struct parse_addr *addrs, size_t n)
{
	struct peer *peer, *next;
	int r;

	/* New ones first: only this can fail, and a peer too many that nobody
	 * lists does no harm. */
	for (size_t i = 0; i < n; i++)
		if (find(p, &addrs[i]) == NULL && (r = add(p, &addrs[i])) < 0)
			return err_pass(r);
	TAILQ_FOREACH (peer, &p->list, link)
		peer->listed = false;
	for (size_t i = 0; i < n; i++)
		find(p, &addrs[i])->listed = true;
	for (peer = TAILQ_FIRST(&p->list); peer != NULL; peer = next) {
		next = TAILQ_NEXT(peer, link);
		if (!peer->listed)
			forget(p, peer);
	}
	return 0;
}

static bool
quarantined(const struct peers *p, const struct peer *peer)
{
	return peer->quarantined_until_ms > service_now_ms(p->service);
}

bool
peer_usable(const struct peers *p, const struct peer *peer)
{
	return peer->listed && !quarantined(p, peer);
}

size_t
peers_candidates(struct peers *p, struct peer **ret_peers, size_t max)
{
	struct peer *peer = TAILQ_FIRST(&p->list);
	size_t n = 0;

	if (peer == NULL)
		return 0;
	p->turn %= p->n;
	for (size_t i = 0; i < p->turn; i++)
		peer = TAILQ_NEXT(peer, link);
	p->turn++;
	for (size_t i = 0; i < p->n && n < max; i++) {
		if (peer_usable(p, peer)) {
			peer->refs++;
			ret_peers[n++] = peer;
		}
		peer = TAILQ_NEXT(peer, link);
		if (peer == NULL)
			peer = TAILQ_FIRST(&p->list);
	}
	return n;
}

void
peer_strike(struct peers *p, struct peer *peer)
{
	const struct service_settings *set = &p->service->settings;

	if (++peer->view.strikes < set->peer_strikes)
		return;
	peer->view.strikes = 0;
	peer->quarantined_until_ms =
		service_now_ms(p->service) + set->quarantine_ms;
}

size_t
peers_forgive(struct peers *p, const struct parse_addr *addr)
{
	struct peer *peer = find(p, addr);

	if (peer == NULL)
		return 0;
	peer->view.strikes = 0;
	peer->quarantined_until_ms = 0;
	return 1;
}

void
peers_each(struct peers *p, void (*fn)(const struct peer_view *, void *ctx),
	void *ctx)
{
	uint64_t now_ms = service_now_ms(p->service);
	struct peer *peer;

	TAILQ_FOREACH (peer, &p->list, link) {
		struct peer_view v = peer->view;

		v.quarantine_ms = quarantined(p, peer)
			? peer->quarantined_until_ms - now_ms
			: 0;
		fn(&v, ctx);
	}
}

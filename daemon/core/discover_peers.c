/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What answers say.
 *
 * An answer counts only if it names a Probe that was sent, in its version, and
 * for the segments that were asked for in that very Probe; at most 512 answers
 * of one are looked at, 8 by one host.  Late ones, up to 15 s behind the
 * window, are as good as others but that nobody waits for them any more.
 *
 * Each address of an answer becomes an entry of the segment, with how much it
 * has.  There are at most 16, and at most 4 by one host (the address that the
 * answer came from), so that one that lies cannot fill the list.  When the list
 * is full, a newcomer takes the place of an entry that is lost or old, or of
 * the one that was heard of longest ago unless that was within this second: of
 * many that answer the same question the first 16 stay.
 *
 * Beside that each host is counted once, with the most that it said to have,
 * for the ledger and the quorum.
 *
 * An address that turned out not to have the segment stays as a lost entry for
 * 15 s, so that repeating its answer does not bring it back.
 */
#include "daemon/core/discover_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define ENTRIES_MAX     16u
#define ENTRIES_BY_HOST 4u
#define ENTRY_MS        60000u
#define LOST_MS         15000u
#define FRESH_MS        1000u
#define TALLY_MIN       64u

/* What is known of an address still means something. */
static bool
entry_valid(const struct discover_entry *e, uint64_t now_ms)
{
	return now_ms - e->heard_ms < (e->lost ? LOST_MS : ENTRY_MS);
}

static bool
entry_live(const struct discover_entry *e, uint64_t now_ms)
{
	return !e->lost && entry_valid(e, now_ms);
}

unsigned
discover_peers_live(
	const struct discover *d, const struct discover_segment *seg)
{
	uint64_t now_ms = service_now_ms(d->service);
	unsigned n = 0;

	for (unsigned i = 0; i < seg->n_entries; i++)
		n += entry_live(&seg->entries[i], now_ms);
	return n;
}

static struct discover_entry *
entry_find(struct discover_segment *seg, const struct discover_addr *addr)
{
	for (unsigned i = 0; i < seg->n_entries; i++)
		if (memcmp(&seg->entries[i].addr, addr, sizeof(*addr)) == 0)
			return &seg->entries[i];
	return NULL;
}

/* The one that a newcomer replaces, or NULL. */
static struct discover_entry *
entry_worst(struct discover_segment *seg, uint64_t now_ms)
{
	struct discover_entry *worst = NULL;

	for (unsigned i = 0; i < seg->n_entries; i++) {
		struct discover_entry *e = &seg->entries[i];

		if (!entry_live(e, now_ms))
			return e;
		if (now_ms - e->heard_ms >= FRESH_MS &&
			(worst == NULL || e->heard_ms < worst->heard_ms))
			worst = e;
	}
	return worst;
}

/* Room for one more by this host.  NULL: none, or no memory. */
static struct discover_entry *
entry_room(struct discover_segment *seg, uint32_t source, uint64_t now_ms)
{
	unsigned n = seg->n_entries, by_host = 0;
	struct discover_entry *more;

	for (unsigned i = 0; i < n; i++)
		by_host += seg->entries[i].source == source &&
			entry_valid(&seg->entries[i], now_ms);
	if (by_host >= ENTRIES_BY_HOST)
		return NULL;
	if (n == ENTRIES_MAX)
		return entry_worst(seg, now_ms);
	/* Grown at the powers of two. */
	if ((n & (n - 1)) == 0) {
		more = realloc(seg->entries,
			MAX_OF(2 * n, 1u) * sizeof(seg->entries[0]));
		if (more == NULL)
			return NULL;
		seg->entries = more;
	}
	seg->n_entries++;
	return &seg->entries[n];
}

/* true: the address is new, or has more than it had. */
static bool
entry_learn(struct discover *d, struct discover_segment *seg,
	const struct discover_addr *addr, const struct discover_news *news)
{
	uint64_t now_ms = service_now_ms(d->service);
	struct discover_entry *e = entry_find(seg, addr);
	bool known = e != NULL && entry_live(e, now_ms);
	bool grew = known && news->blocks > e->blocks;

	if (e != NULL && e->lost && entry_valid(e, now_ms))
		return false;
	if (e == NULL)
		e = entry_room(seg, news->source, now_ms);
	if (e == NULL)
		return false;
	*e = (struct discover_entry){
		.addr = *addr,
		.source = news->source,
		.blocks = news->blocks,
		.age_ds = news->age_ds,
		.delay_ms = news->delay_ms,
		.heard_ms = now_ms,
	};
	if (grew)
		discover_crowd_grew(d, seg->id);
	return !known || grew;
}

/* The tally with room for one more, or NULL. */
static struct discover_tally *
tally_room(const struct discover *d, struct discover_segment *seg)
{
	/* Of both families. */
	uint32_t most = 2 * MAX_OF(TALLY_MIN, d->service->settings.quorum);
	struct discover_tally *t = seg->tally;
	uint32_t n = t != NULL ? t->n : 0;
	uint32_t max = t != NULL ? t->max : 0;

	if (n < max)
		return t;
	if (n >= most)
		return NULL;
	max = MAX_OF(2 * max, 2u);
	t = realloc(t, sizeof(*t) + max * sizeof(t->hosts[0]));
	if (t == NULL)
		return NULL;
	t->n = n;
	t->max = max;
	seg->tally = t;
	return t;
}

static void
tally_count(struct discover *d, struct discover_segment *seg,
	const struct discover_news *news)
{
	struct discover_tally *t = seg->tally;

	for (uint32_t i = 0; t != NULL && i < t->n; i++) {
		if (t->hosts[i].host != news->source)
			continue;
		if (t->hosts[i].blocks < news->blocks)
			t->hosts[i].blocks = news->blocks;
		return;
	}
	t = tally_room(d, seg);
	if (t == NULL)
		return;
	t->hosts[t->n].host = news->source;
	t->hosts[t->n++].blocks = news->blocks;
}

bool
discover_peers_learn(struct discover *d, struct discover_segment *seg,
	const struct discover_news *news)
{
	const struct discover_answer *a = news->answer;
	struct discover_addr addr;
	bool changed = false;

	tally_count(d, seg, news);
	for (size_t i = 0; i < a->n_addrs && i < PCCRD_ADDRS_MAX; i++)
		if (discover_addr_take(&addr, &a->addrs[i]) && addr.port != 0)
			changed |= entry_learn(d, seg, &addr, news);
	return changed;
}

void
discover_lost(
	struct discover *d, const uint8_t *id, const struct parse_addr *peer)
{
	struct discover_segment *seg = discover_segment_find(d, id);
	struct discover_entry *e;
	struct discover_addr addr;

	if (seg == NULL || !discover_addr_take(&addr, peer))
		return;
	e = entry_find(seg, &addr);
	if (e == NULL)
		return;
	e->lost = true;
	e->heard_ms = service_now_ms(d->service);
}

static void
addr_give(const struct discover_addr *a, struct parse_addr *ret)
{
	struct sockaddr_in6 *v6 = (void *)&ret->ss;
	struct sockaddr_in *v4 = (void *)&ret->ss;

	memset(ret, 0, sizeof(*ret));
	ret->ss.ss_family = (sa_family_t)a->family;
	if (a->family == AF_INET) {
		memcpy(&v4->sin_addr, a->ip, sizeof(v4->sin_addr));
		v4->sin_port = htons(a->port);
		ret->len = sizeof(*v4);
	} else {
		memcpy(&v6->sin6_addr, a->ip, sizeof(v6->sin6_addr));
		v6->sin6_port = htons(a->port);
		v6->sin6_scope_id = a->scope;
		ret->len = sizeof(*v6);
	}
}

/* Those who have more first, then those who answered sooner: they differ from
 * one asker to the next, so that not all go to the same host. */
static bool
better(const struct discover_entry *a, const struct discover_entry *b)
{
	if (a->blocks != b->blocks)
		return a->blocks > b->blocks;
	return a->delay_ms < b->delay_ms;
}

size_t
discover_peers(struct discover *d, const uint8_t *id, struct discover_peer *ret,
	size_t max)
{
	struct discover_segment *seg = discover_segment_find(d, id);
	const struct discover_entry *sorted[ENTRIES_MAX];
	uint64_t now_ms = service_now_ms(d->service);
	size_t n = 0;

	for (unsigned i = 0; seg != NULL && i < seg->n_entries; i++) {
		const struct discover_entry *e = &seg->entries[i];
		size_t at = n;

		if (!entry_live(e, now_ms))
			continue;
		for (; at > 0 && better(e, sorted[at - 1]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = e;
		n++;
	}
	for (size_t i = 0; i < n && i < max; i++) {
		ret[i] = (struct discover_peer){
			.blocks = sorted[i]->blocks,
			.age_ds = sorted[i]->age_ds,
			.delay_ms = sorted[i]->delay_ms,
			.heard_ms = sorted[i]->heard_ms,
		};
		addr_give(&sorted[i]->addr, &ret[i].addr);
	}
	return MIN_OF(n, max);
}

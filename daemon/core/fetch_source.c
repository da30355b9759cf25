/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom a fetch may ask.
 *
 *	fixed	[Retrieval] Peers, each fetch beginning with another one
 *	friends	hosts that gave good blocks of the same content in the last
 *		minute: who has one segment mostly has the next one
 *	found	hosts that answered a Probe for this segment
 *
 * Version 1 segments are 32 MiB, so the branch is asked for each at once,
 * beside what the others are asked.  Version 2 has a segment for every 64 KiB:
 * there the branch is asked only when no friend is left to be asked, or none
 * was there.  It is asked again for the same fetch when all candidates are used
 * up and some time has passed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/fetch_priv.h"

#define CANDIDATES_MAX 64u
#define FOUND_MAX      16u /* of one segment */
#define FRIEND_MS      60000u
#define FRIEND_MISSES  3u
#define ASK_AGAIN_MS   15000u

static struct fetch_candidate *
candidate_find(const struct fetch *f, const struct peer *peer)
{
	struct fetch_candidate *c;

	TAILQ_FOREACH (c, &f->candidates, link)
		if (c->peer == peer)
			return c;
	return NULL;
}

static unsigned
candidates_left(const struct fetch *f)
{
	const struct fetch_candidate *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &f->candidates, link)
		n += !c->dropped;
	return n;
}

static bool
may_have_some(const struct fetch_candidate *c)
{
	uint32_t n = fetch_segment(c->fetch)->n_blocks;

	for (uint32_t i = 0; i < n; i++)
		if (!pccrr_set_has(&c->lacks, i))
			return true;
	return false;
}

/* Those who lack all of it do not keep out others. */
static unsigned
candidates_useful(const struct fetch *f)
{
	const struct fetch_candidate *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &f->candidates, link)
		n += fetch_candidate_usable(c) && may_have_some(c);
	return n;
}

/* NULL: it is one already, there are enough, or no memory. */
static struct fetch_candidate *
candidate_add(struct fetch *f, struct peer *peer)
{
	struct fetch_candidate *c;

	if (f->n_candidates == CANDIDATES_MAX ||
		candidates_useful(f) >= f->service->settings.max_peers ||
		candidate_find(f, peer) != NULL)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->lane = fetch_lane_get(peer, f->user);
	if (c->lane == NULL) {
		free(c);
		return NULL;
	}
	c->fetch = f;
	c->peer = peer_ref(peer);
	c->queued = _FETCH_CLASS_MAX;
	TAILQ_INSERT_TAIL(&f->candidates, c, link);
	f->n_candidates++;
	return c;
}

static void
add_fixed(struct fetch *f)
{
	struct peer *peers[CANDIDATES_MAX];
	size_t n = peers_fixed(f->service->peers, peers,
		MIN_OF(f->service->settings.max_peers, CANDIDATES_MAX));

	for (size_t i = 0; i < n; i++) {
		(void)candidate_add(f, peers[i]);
		peer_unref(peers[i]);
	}
}

static bool
is_friend(const struct content *c, const struct fetch_friend *fr)
{
	return fr->until_ms > service_now_ms(c->session->service) &&
		peer_usable(fr->peer);
}

/* Whether there is any. */
static bool
add_friends(struct fetch *f)
{
	const struct fetch_content *fc = f->content->fetching;
	bool any = false;

	for (unsigned i = 0; i < fc->n_friends; i++) {
		if (!is_friend(f->content, &fc->friends[i]))
			continue;
		(void)candidate_add(f, fc->friends[i].peer);
		any = true;
	}
	return any;
}

static size_t
add_found(struct fetch *f)
{
	struct discover_peer found[FOUND_MAX];
	size_t n = discover_peers(
		f->service->discover, f->key.id, found, FOUND_MAX);

	for (size_t i = 0; i < n; i++) {
		struct peer *peer =
			peers_heard(f->service->peers, &found[i].addr);
		struct fetch_candidate *c =
			peer != NULL ? candidate_add(f, peer) : NULL;

		if (c != NULL)
			c->listed =
				found[i].blocks >= fetch_segment(f)->n_blocks;
		peer_unref(peer);
	}
	return n;
}

static enum discover_state
want(struct fetch *f)
{
	return discover_want(f->service->discover, f->key.id,
		(unsigned)f->content->info->version, f->user->uid, &f->waiter);
}

static void
branch_over(struct fetch *f)
{
	if (add_found(f) == 0 && candidates_left(f) == 0)
		fetch_trouble(f, LEDGER_NOBODY, NULL);
}

static void
branch_changed(struct discover_waiter *w)
{
	struct fetch *f = container_of(w, struct fetch, waiter);
	struct service *svc = f->service;

	(void)add_found(f);
	if (discover_state(svc->discover, f->key.id) != DISCOVER_ASKING ||
		want(f) != DISCOVER_ASKING)
		branch_over(f);
	fetch_touch(f);
	fetch_go(svc);
}

/* Who is not asked any more is not what the branch has. */
static void
forget_useless(struct fetch *f)
{
	struct fetch_candidate *c;

	TAILQ_FOREACH (c, &f->candidates, link)
		if (!fetch_candidate_usable(c))
			fetch_source_lost(c);
}

bool
fetch_ask_branch(struct fetch *f)
{
	uint64_t now_ms = service_now_ms(f->service);

	if (f->waiter.waiting)
		return true;
	if (f->key.id_len != PCCRD_ID_SIZE ||
		(f->asked_branch && now_ms - f->asked_ms < ASK_AGAIN_MS))
		return false;
	forget_useless(f);
	switch (want(f)) {
	case DISCOVER_ASKING:
		f->asked_branch = true;
		f->asked_ms = now_ms;
		(void)add_found(f);
		return true;
	case DISCOVER_OFF:
		return false;
	default:
		branch_over(f);
		return false;
	}
}

void
fetch_sources_begin(struct fetch *f)
{
	f->waiter.changed = branch_changed;
	add_fixed(f);
	if (!add_friends(f) || f->content->info->version == 1)
		(void)fetch_ask_branch(f);
}

void
fetch_sources_end(struct fetch *f)
{
	struct fetch_candidate *c;

	discover_leave(&f->waiter);
	while ((c = TAILQ_FIRST(&f->candidates)) != NULL) {
		TAILQ_REMOVE(&f->candidates, c, link);
		fetch_unqueue(c);
		fetch_lane_unref(c->lane);
		peer_unref(c->peer);
		free(c);
	}
}

/* A lane of this user's for each candidate.  false: no memory. */
static bool
lanes_get(struct fetch *f, struct fetch_user *user, struct fetch_lane **lanes)
{
	struct fetch_candidate *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &f->candidates, link) {
		lanes[n] = fetch_lane_get(c->peer, user);
		if (lanes[n] == NULL)
			break;
		n++;
	}
	if (c == NULL)
		return true;
	while (n > 0)
		fetch_lane_unref(lanes[--n]);
	return false;
}

void
fetch_sources_hasten(struct fetch *f, uint32_t uid)
{
	struct fetch_lane *lanes[CANDIDATES_MAX];
	struct fetch_user *user, *before = f->user;
	struct fetch_candidate *c;
	unsigned n = 0;

	if (before->uid == uid)
		return;
	user = fetch_user_get(f->service->fetcher, uid);
	if (user == NULL || user->n_fetches + 1 >= before->n_fetches ||
		!lanes_get(f, user, lanes)) {
		fetch_user_unref(user);
		return;
	}
	TAILQ_FOREACH (c, &f->candidates, link) {
		fetch_unqueue(c);
		fetch_lane_unref(c->lane);
		c->lane = lanes[n++];
	}
	f->user = user;
	user->n_fetches++;
	before->n_fetches--;
	fetch_user_unref(before);
	if (f->waiter.waiting)
		(void)want(f);
	fetch_touch(f);
}

void
fetch_source_lost(struct fetch_candidate *c)
{
	const struct fetch *f = c->fetch;

	if (f->key.id_len == PCCRD_ID_SIZE)
		discover_lost(
			f->service->discover, f->key.id, &c->peer->view.addr);
}

static struct fetch_friend *
friend_find(struct fetch_content *fc, const struct peer *peer)
{
	for (unsigned i = 0; i < fc->n_friends; i++)
		if (fc->friends[i].peer == peer)
			return &fc->friends[i];
	return NULL;
}

/* A new row, or the one that is over first. */
static struct fetch_friend *
friend_new(struct fetch_content *fc)
{
	struct fetch_friend *oldest = &fc->friends[0];

	if (fc->n_friends < FETCH_FRIENDS)
		return &fc->friends[fc->n_friends++];
	for (unsigned i = 1; i < fc->n_friends; i++)
		if (fc->friends[i].until_ms < oldest->until_ms)
			oldest = &fc->friends[i];
	peer_unref(oldest->peer);
	return oldest;
}

void
fetch_friend_good(struct content *c, struct peer *peer)
{
	struct fetch_friend *fr = friend_find(c->fetching, peer);

	if (fr == NULL) {
		fr = friend_new(c->fetching);
		fr->peer = peer_ref(peer);
	}
	fr->until_ms = service_now_ms(c->session->service) + FRIEND_MS;
	fr->misses = 0;
}

void
fetch_friend_missed(struct content *c, const struct peer *peer)
{
	struct fetch_friend *fr = friend_find(c->fetching, peer);

	/* It may have been busy. */
	if (fr != NULL && ++fr->misses >= FRIEND_MISSES)
		fr->until_ms = 0;
}

bool
fetch_friends_any(struct content *c)
{
	const struct fetch_content *fc = c->fetching;

	if (fc == NULL)
		return false;
	for (unsigned i = 0; i < fc->n_friends; i++)
		if (is_friend(c, &fc->friends[i]))
			return true;
	return false;
}

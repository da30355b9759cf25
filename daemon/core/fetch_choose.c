/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is asked for what next.
 *
 * There are three limits: requests in all, blocks in memory, and the window of
 * each peer.  What fits is handed out round robin between users, and blocks
 * that somebody waits for come before those that are got ahead.
 *
 *	lane	what one user wishes of one peer: candidates of his fetches,
 *		in two classes
 *	hot	a class of a lane with wishes, whose peer has room
 *	ring	for each class: the users with hot lanes, whose turn first
 *
 * All of this is kept up to date as wishes and windows change, so to find the
 * next request is to look at the first of each list, however many thousand
 * segments one user wants; and the single block of another one is next when
 * his turn is.  Which lane led to a fetch is only who let it in: it then asks
 * the candidate that has been silent least often, and of those the one with
 * the fewest requests under way.  One that was silent is not asked again while
 * the branch is being asked who else there is.
 *
 * Blocks are asked for in the order of the content, but in a flash crowd.
 */
#include <assert.h>
#include <stdlib.h>

#include "daemon/core/fetch_priv.h"

#define REQUESTS_MOST 64u
#define HELD_MOST     128u

struct fetch_user *
fetch_user_get(struct fetcher *fr, uint32_t uid)
{
	struct fetch_user *u;

	LIST_FOREACH (u, &fr->users, link)
		if (u->uid == uid)
			break;
	if (u == NULL) {
		u = calloc(1, sizeof(*u));
		if (u == NULL)
			return NULL;
		u->uid = uid;
		u->fetcher = fr;
		for (int k = 0; k < _FETCH_CLASS_MAX; k++)
			TAILQ_INIT(&u->of[k].hot);
		LIST_INSERT_HEAD(&fr->users, u, link);
	}
	u->refs++;
	return u;
}

struct fetch_user *
fetch_user_unref(struct fetch_user *u)
{
	if (u == NULL || --u->refs > 0)
		return NULL;
	LIST_REMOVE(u, link);
	free(u);
	return NULL;
}

struct fetch_lane *
fetch_lane_get(struct peer *peer, struct fetch_user *user)
{
	struct fetch_lane *lane;

	LIST_FOREACH (lane, &peer->lanes, link)
		if (lane->user == user)
			break;
	if (lane == NULL) {
		lane = calloc(1, sizeof(*lane));
		if (lane == NULL)
			return NULL;
		lane->peer = peer_ref(peer);
		lane->user = user;
		user->refs++;
		for (int k = 0; k < _FETCH_CLASS_MAX; k++)
			TAILQ_INIT(&lane->of[k].wishes);
		LIST_INSERT_HEAD(&peer->lanes, lane, link);
	}
	lane->refs++;
	return lane;
}

struct fetch_lane *
fetch_lane_unref(struct fetch_lane *lane)
{
	if (--lane->refs > 0)
		return NULL;
	for (int k = 0; k < _FETCH_CLASS_MAX; k++)
		assert(!lane->of[k].hot);
	LIST_REMOVE(lane, link);
	fetch_user_unref(lane->user);
	peer_unref(lane->peer);
	free(lane);
	return NULL;
}

static void
heat(struct fetch_lane *lane, enum fetch_class k)
{
	bool hot =
		!TAILQ_EMPTY(&lane->of[k].wishes) && peer_has_room(lane->peer);
	struct fetch_user *u = lane->user;
	struct fetch_ring *ring = &u->fetcher->rings[k];

	if (hot == lane->of[k].hot)
		return;
	lane->of[k].hot = hot;
	if (hot) {
		if (TAILQ_EMPTY(&u->of[k].hot))
			TAILQ_INSERT_TAIL(ring, u, of[k].link);
		TAILQ_INSERT_TAIL(&u->of[k].hot, lane, of[k].link);
	} else {
		TAILQ_REMOVE(&u->of[k].hot, lane, of[k].link);
		if (TAILQ_EMPTY(&u->of[k].hot))
			TAILQ_REMOVE(ring, u, of[k].link);
	}
}

static void
queue_as(struct fetch_candidate *c, enum fetch_class k)
{
	struct fetch_lane *lane = c->lane;
	enum fetch_class before = c->queued;

	if (before == k)
		return;
	c->queued = k;
	if (before != _FETCH_CLASS_MAX) {
		TAILQ_REMOVE(&lane->of[before].wishes, c, wish);
		heat(lane, before);
	}
	if (k != _FETCH_CLASS_MAX) {
		TAILQ_INSERT_TAIL(&lane->of[k].wishes, c, wish);
		heat(lane, k);
	}
}

void
fetch_unqueue(struct fetch_candidate *c)
{
	queue_as(c, _FETCH_CLASS_MAX);
}

/* What the candidate may be asked for now. */
static struct pccrr_set
wish_of(const struct fetch_candidate *c, enum fetch_class k)
{
	struct pccrr_set set = fetch_idle(c->fetch);

	set = fetch_set_minus(&set, &c->lacks);
	return k == FETCH_WAITED ? fetch_set_and(&set, &c->fetch->waited) : set;
}

static enum fetch_class
class_of(const struct fetch_candidate *c)
{
	struct pccrr_set set;

	if (c->listing || !fetch_candidate_usable(c) ||
		(c->timeouts > 0 && c->fetch->waiter.waiting))
		return _FETCH_CLASS_MAX;
	set = wish_of(c, FETCH_AHEAD);
	if (!fetch_set_any(&set))
		return _FETCH_CLASS_MAX;
	set = fetch_set_and(&set, &c->fetch->waited);
	return fetch_set_any(&set) ? FETCH_WAITED : FETCH_AHEAD;
}

void
fetch_queue(struct fetch *f)
{
	struct fetch_candidate *c;

	TAILQ_FOREACH (c, &f->candidates, link)
		queue_as(c, class_of(c));
}

void
fetch_room(struct peer *peer)
{
	struct fetch_lane *lane;

	LIST_FOREACH (lane, &peer->lanes, link)
		for (int k = 0; k < _FETCH_CLASS_MAX; k++)
			heat(lane, (enum fetch_class)k);
}

static bool
is_better(const struct fetch_candidate *a, const struct fetch_candidate *b)
{
	if (a->timeouts != b->timeouts)
		return a->timeouts < b->timeouts;
	if (a->peer->failures != b->peer->failures)
		return a->peer->failures < b->peer->failures;
	return a->peer->view.in_flight < b->peer->view.in_flight;
}

/* Of those that are queued like this one, which has room. */
static struct fetch_candidate *
best_like(struct fetch_candidate *first)
{
	struct fetch_candidate *c, *best = NULL;

	TAILQ_FOREACH (c, &first->fetch->candidates, link)
		if (c->queued == first->queued && peer_has_room(c->peer) &&
			(best == NULL || is_better(c, best)))
			best = c;
	return best;
}

/* Whoever is first in the ring, and what he gets goes behind the others. */
static struct fetch_candidate *
next_turn(struct fetch_ring *ring, enum fetch_class k)
{
	struct fetch_user *u = TAILQ_FIRST(ring);
	struct fetch_lane *lane;
	struct fetch_candidate *c;

	TAILQ_REMOVE(ring, u, of[k].link);
	TAILQ_INSERT_TAIL(ring, u, of[k].link);
	lane = TAILQ_FIRST(&u->of[k].hot);
	TAILQ_REMOVE(&u->of[k].hot, lane, of[k].link);
	TAILQ_INSERT_TAIL(&u->of[k].hot, lane, of[k].link);
	c = TAILQ_FIRST(&lane->of[k].wishes);
	TAILQ_REMOVE(&lane->of[k].wishes, c, wish);
	TAILQ_INSERT_TAIL(&lane->of[k].wishes, c, wish);
	return c;
}

/* In a crowd, what is got ahead is got in any order: hosts that began together
 * then have different blocks, and something for each other.  Elsewhere the next
 * block is the one that will be waited for next. */
static uint32_t
choose_block(
	const struct fetch *f, enum fetch_class k, const struct pccrr_set *wish)
{
	const struct env *env = f->service->env;
	uint32_t from, block;

	if (k == FETCH_WAITED || f->key.id_len != PCCRD_ID_SIZE ||
		!discover_crowd(f->service->discover, f->key.id))
		return pccrr_set_next(wish, 0);
	env->ops->random(env->ctx, &from, sizeof(from));
	block = pccrr_set_next(wish, from % fetch_segment(f)->n_blocks);
	return block < PCCRR_BLOCKS_MAX ? block : pccrr_set_next(wish, 0);
}

static void
give_out(struct fetch_candidate *first)
{
	enum fetch_class k = first->queued;
	struct fetch_candidate *c;
	struct fetch *f = first->fetch;
	struct pccrr_set all, wish;
	uint32_t block;

	/* Its peer may be in quarantine, or out of it, by now. */
	fetch_queue(f);
	if (first->queued != k)
		return;
	c = best_like(first);
	assert(c != NULL);
	all = wish_of(c, FETCH_AHEAD);
	wish = wish_of(c, k);
	block = choose_block(f, k, &wish);
	if (fetch_ask(c, block, &all)) {
		fetch_room(c->peer);
		fetch_queue(f);
		return;
	}
	/* Out of memory is as good as nobody. */
	f->hold++;
	fetch_block_lacking(f, block);
	f->hold--;
	fetch_queue(f);
	fetch_touch(f);
}

static bool
may_ask(const struct fetcher *fr)
{
	return fr->service->status == SERVICE_AVAILABLE &&
		fr->n_requests < REQUESTS_MOST && fr->n_held < HELD_MOST;
}

void
fetch_pump(struct fetcher *fr)
{
	while (may_ask(fr)) {
		if (!TAILQ_EMPTY(&fr->rings[FETCH_WAITED]))
			give_out(next_turn(
				&fr->rings[FETCH_WAITED], FETCH_WAITED));
		else if (!TAILQ_EMPTY(&fr->rings[FETCH_AHEAD]))
			give_out(next_turn(
				&fr->rings[FETCH_AHEAD], FETCH_AHEAD));
		else
			break;
	}
}

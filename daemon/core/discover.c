/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery (MS-PCCRD), without its sockets.
 *
 *   discover.c         the object, and the segments that are known of
 *   discover_ask.c     who wants to know, and when a Probe leaves
 *   discover_peers.c   what the answers say: who has a segment
 *   discover_answer.c  questions of other hosts
 *   discover_quorum.c  whether enough others have it, so that we may be silent
 *   discover_crowd.c   whether many want the same at this moment
 *   discover_table.c   memory of a fixed size for what strangers fill
 *
 * Life of a question.  discover_want() makes a segment QUEUED with the user
 * who wants it.  The pump, a moment later, puts what is queued into Probes,
 * taking users in turn: the segments are ASKED.  A Probe is repeated once, and
 * when its window is over its segments are IDLE again and who waits is told.
 * Answers become entries of the segment: addresses, with how much each has.
 * There is no state "found": a segment with an entry that is neither old nor
 * lost is FOUND, one without is NOBODY until quiet_until_ms and UNKNOWN
 * afterwards.  So an answer that comes too late ends the silence by itself, and
 * when the last entry is lost, the branch is not asked again at once.
 *
 *	want --> QUEUED --pump--> ASKED --window--> IDLE
 *	            \--1 s, no turn came-----------^
 *
 * What is remembered is bounded, and what strangers can fill never allocates:
 *
 *	segments      16,384; only local users make them.  The least recently
 *	              used idle one goes, never one that is being asked for
 *	entries       16 of a segment, at most 4 by one host; 60 s
 *	tallies       of 64 hosts that answered for a segment, or of as many as
 *	              make a quorum
 *	askers        256, each with 1,024 segments in its queue
 *	Probes        2,048, for 15 s behind their window
 *	answers       512 of a Probe, at most 8 by one host, so that nobody can
 *	              use them up
 *	sources       1,024 hosts that asked, 64 questions of each
 *	pending       256 answers to be sent, 16 to one host
 *	quorums       16,384 segments that many have
 *	crowds        16,384 segments that were asked for lately
 *
 * Waiters are told through a list of their own while one walks them: whatever
 * they do meanwhile (want, leave, lose) is allowed.
 */
#include "daemon/core/discover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/discover_internal.h"

#define SEGMENTS_MAX 16384u
#define WINDOW_MS    1000u

uint64_t
discover_hash(const struct discover *d, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = d->seed[0] ^ len;

	while (len > 0) {
		size_t n = MIN_OF(len, sizeof(uint64_t));
		uint64_t w = 0;

		memcpy(&w, p, n);
		h = (h ^ w) * (d->seed[1] | 1);
		h ^= h >> 29;
		p += n;
		len -= n;
	}
	h *= 0x9E3779B97F4A7C15u;
	return h ^ h >> 32;
}

uint32_t
discover_random(const struct discover *d, uint32_t n)
{
	const struct env *env = d->service->env;
	uint32_t r;

	env->ops->random(env->ctx, &r, sizeof(r));
	return (uint32_t)((uint64_t)r * n >> 32);
}

bool
discover_addr_take(struct discover_addr *ret, const struct parse_addr *addr)
{
	const struct sockaddr_in6 *v6 = (const void *)&addr->ss;
	const struct sockaddr_in *v4 = (const void *)&addr->ss;

	memset(ret, 0, sizeof(*ret));
	ret->family = addr->ss.ss_family;
	switch (addr->ss.ss_family) {
	case AF_INET:
		memcpy(ret->ip, &v4->sin_addr, sizeof(v4->sin_addr));
		ret->port = ntohs(v4->sin_port);
		return true;
	case AF_INET6:
		memcpy(ret->ip, &v6->sin6_addr, sizeof(v6->sin6_addr));
		ret->port = ntohs(v6->sin6_port);
		if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
			ret->scope = v6->sin6_scope_id;
		return true;
	default:
		return false;
	}
}

uint32_t
discover_addr_host(const struct discover *d, const struct discover_addr *a)
{
	struct discover_addr host = *a;
	uint32_t hash;

	host.port = 0;
	hash = (uint32_t)discover_hash(d, &host, sizeof(host));
	hash &= ~DISCOVER_HOST_IPV6;
	return a->family == AF_INET6 ? hash | DISCOVER_HOST_IPV6 : hash;
}

bool
discover_window_take(
	struct discover_window *w, uint64_t now_ms, uint32_t n, uint32_t max)
{
	if (w->used == 0 || now_ms - w->start_ms >= WINDOW_MS)
		*w = (struct discover_window){.start_ms = now_ms};
	if (n > max - w->used)
		return false;
	w->used += n;
	return true;
}

/* The segments. */

struct discover_segment *
discover_segment_find(const struct discover *d, const uint8_t *id)
{
	unsigned hash = (unsigned)discover_hash(d, id, PCCRD_ID_SIZE);
	struct discover_segment *seg;

	HASH_FIND_BYHASHVALUE(hh, d->segments, id, PCCRD_ID_SIZE, hash, seg);
	return seg;
}

static void
segment_free(struct discover *d, struct discover_segment *seg)
{
	assert(LIST_EMPTY(&seg->waiters));
	HASH_DEL(d->segments, seg);
	free(seg->entries);
	free(seg->tally);
	free(seg);
}

static bool
make_room(struct discover *d)
{
	struct discover_segment *oldest = TAILQ_FIRST(&d->idle);

	if (HASH_COUNT(d->segments) < SEGMENTS_MAX)
		return true;
	if (oldest == NULL)
		return false;
	TAILQ_REMOVE(&d->idle, oldest, link);
	segment_free(d, oldest);
	return true;
}

static struct discover_segment *
segment_new(struct discover *d, const uint8_t *id)
{
	unsigned hash = (unsigned)discover_hash(d, id, PCCRD_ID_SIZE);
	struct discover_segment *seg;

	if (!make_room(d))
		return NULL;
	seg = calloc(1, sizeof(*seg));
	if (seg == NULL)
		return NULL;
	memcpy(seg->id, id, PCCRD_ID_SIZE);
	LIST_INIT(&seg->waiters);
	HASH_ADD_KEYPTR_BYHASHVALUE(
		hh, d->segments, seg->id, PCCRD_ID_SIZE, hash, seg);
	if (seg->hh.tbl == NULL) {
		free(seg);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&d->idle, seg, link);
	return seg;
}

struct discover_segment *
discover_segment_get(struct discover *d, const uint8_t *id)
{
	struct discover_segment *seg = discover_segment_find(d, id);

	if (seg == NULL)
		return segment_new(d, id);
	if (seg->phase == DISCOVER_IDLE) {
		TAILQ_REMOVE(&d->idle, seg, link);
		TAILQ_INSERT_TAIL(&d->idle, seg, link);
	}
	return seg;
}

enum discover_state
discover_segment_state(
	const struct discover *d, const struct discover_segment *seg)
{
	if (!d->on)
		return DISCOVER_OFF;
	if (seg == NULL)
		return DISCOVER_UNKNOWN;
	if (seg->phase != DISCOVER_IDLE)
		return DISCOVER_ASKING;
	if (discover_peers_live(d, seg) > 0)
		return DISCOVER_FOUND;
	return service_now_ms(d->service) < seg->quiet_until_ms
		? DISCOVER_NOBODY
		: DISCOVER_UNKNOWN;
}

static void
waiters_take(struct discover_waiters *from, struct discover_waiters *to)
{
	struct discover_waiter *w;

	while ((w = LIST_FIRST(from)) != NULL) {
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(to, w, link);
	}
}

/* They wait no longer. */
static void
waiters_end(struct discover_waiters *list)
{
	struct discover_waiter *w;

	while ((w = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(w, link);
		w->waiting = false;
		w->changed(w);
	}
}

void
discover_segment_settle(
	struct discover *d, struct discover_segment *seg, uint64_t quiet_ms)
{
	struct discover_waiters list = LIST_HEAD_INITIALIZER(list);

	assert(seg->phase == DISCOVER_ASKED);
	seg->phase = DISCOVER_IDLE;
	seg->keep = false;
	seg->quiet_until_ms = service_now_ms(d->service) + quiet_ms;
	TAILQ_INSERT_TAIL(&d->idle, seg, link);
	if (seg->obtained)
		discover_obtained(d, seg->id);
	seg->obtained = false;
	waiters_take(&seg->waiters, &list);
	waiters_end(&list);
}

enum discover_state
discover_state(struct discover *d, const uint8_t *id)
{
	return discover_segment_state(d, discover_segment_find(d, id));
}

void
discover_leave(struct discover_waiter *w)
{
	if (!w->waiting)
		return;
	LIST_REMOVE(w, link);
	w->waiting = false;
}

/* The object. */

struct discover *
discover_new(struct service *svc)
{
	struct discover *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->service = svc;
	TAILQ_INIT(&d->idle);
	discover_ask_init(d);
	discover_answer_init(d);
	discover_quorum_init(d);
	discover_crowd_init(d);
	return d;
}

/* Forgets everything, then tells those who waited. */
static void
stop(struct discover *d)
{
	struct discover_waiters list = LIST_HEAD_INITIALIZER(list);
	struct discover_segment *seg, *next;

	discover_ask_stop(d);
	discover_answer_stop(d);
	discover_table_clear(&d->quorums);
	discover_table_clear(&d->crowds);
	d->crowded_until_ms = 0;
	HASH_ITER(hh, d->segments, seg, next)
	{
		waiters_take(&seg->waiters, &list);
		segment_free(d, seg);
	}
	TAILQ_INIT(&d->idle);
	waiters_end(&list);
}

struct discover *
discover_free(struct discover *d)
{
	if (d == NULL)
		return NULL;
	d->on = false;
	stop(d);
	free(d);
	return NULL;
}

void
discover_configure(struct discover *d)
{
	const struct env *env = d->service->env;
	bool on = service_has_peers(d->service);

	if (on == d->on)
		return;
	d->on = on;
	/* Seeds are secret: strangers must not choose what collides. */
	if (on)
		env->ops->random(env->ctx, d->seed, sizeof(d->seed));
	else
		stop(d);
}

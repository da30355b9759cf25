/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the branch.
 *
 * Segments that are wanted queue up with the user who wants them, one queue
 * ("asker") for each kind of question.  The pump runs a moment after the first
 * has come, so that what is wanted in one pass of the loop leaves together.  It
 * fills a Probe with one segment of each asker in turn, until the message is
 * full or nothing is left; the two kinds take turns by message.  So somebody
 * with one segment waits for one message at most, whoever else wants thousands.
 *
 * At most ten messages leave in any 100 ms, hence 100 in any second.  (The
 * texts limit discoveries, of one segment each; with version 2 content that
 * would be 6 MB/s.)  What has waited for its turn for a second is given up:
 * nobody was asked, so it may be wanted again a second later.  What nobody
 * wants any more when its turn comes is not asked for.
 *
 * A Probe is one message sent twice, the second time 50 to 100 ms later and
 * only if there is a segment in it for which nobody has answered: datagrams get
 * lost.  It is the same message then, uuid and all ids, since others recognise
 * it by the uuid and answer by position.  The window begins with the first one
 * and lasts ProbeTimeout.  After it the Probe stays known for 15 s, for answers
 * that come late and to recognise it when it is heard late.
 *
 * What nobody has is not asked for again for 15 s.  In a flash crowd somebody
 * is getting it at this very moment, and those who wait for him must find him:
 * then it is one second.
 */
#include "daemon/core/discover_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/ledger.h"

#define ASKERS_MAX      256u
#define ASKER_QUEUE_MAX 1024u
#define PROBES_MAX      2048u
#define ANSWERS_MAX     512u /* of one Probe */
#define ANSWERS_SENDER  8u   /* of these, by one host */
#define SLICE_MS        100u
#define WAIT_MS         1000u  /* for one's turn */
#define QUIET_MS        15000u /* after nobody answered */
#define QUIET_CROWD_MS  1000u  /* the same, while many want it */
#define UNASKED_MS      1000u  /* after nobody was asked */
#define LATE_MS         15000u
#define REPEAT_MIN_MS   50u
#define REPEAT_MAX_MS   100u

/* The queues. */

static struct discover_askers *
askers_of(struct discover *d, enum pccrd_version version)
{
	return &d->askers[version == PCCRD_V1 ? 0 : 1];
}

static struct discover_asker *
asker_get(struct discover *d, enum pccrd_version version, uint32_t uid)
{
	struct discover_askers *list = askers_of(d, version);
	struct discover_asker *a;

	TAILQ_FOREACH (a, list, link)
		if (a->uid == uid)
			return a;
	if (d->n_askers == ASKERS_MAX)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->uid = uid;
	a->version = version;
	TAILQ_INIT(&a->queue);
	TAILQ_INSERT_TAIL(list, a, link);
	d->n_askers++;
	return a;
}

static void
enqueue(struct discover *d, struct discover_asker *a,
	struct discover_segment *seg)
{
	seg->phase = DISCOVER_QUEUED;
	seg->asker = a;
	TAILQ_INSERT_TAIL(&a->queue, seg, link);
	a->n++;
	d->n_queued++;
}

/* On the way into a Probe; an asker without segments goes. */
static void
dequeue(struct discover *d, struct discover_segment *seg)
{
	struct discover_asker *a = seg->asker;

	TAILQ_REMOVE(&a->queue, seg, link);
	seg->phase = DISCOVER_ASKED;
	seg->asker = NULL;
	d->n_queued--;
	if (--a->n > 0)
		return;
	TAILQ_REMOVE(askers_of(d, a->version), a, link);
	d->n_askers--;
	free(a);
}

static void
pump_soon(struct discover *d)
{
	if (!wheel_running(&d->pump))
		service_timer(d->service, &d->pump, 0);
}

static bool
start(struct discover *d, struct discover_segment *seg,
	enum pccrd_version version, uint32_t uid)
{
	struct discover_asker *a = asker_get(d, version, uid);

	if (a == NULL || a->n >= ASKER_QUEUE_MAX)
		return false;
	TAILQ_REMOVE(&d->idle, seg, link);
	seg->version = version;
	seg->queued_ms = service_now_ms(d->service);
	enqueue(d, a, seg);
	pump_soon(d);
	return true;
}

/* Somebody else wants it too: it stands in the shorter of both queues. */
static void
hasten(struct discover *d, struct discover_segment *seg, uint32_t uid)
{
	struct discover_asker *a = seg->asker;

	if (seg->phase != DISCOVER_QUEUED || a->uid == uid || a->n == 1)
		return;
	a = asker_get(d, seg->version, uid);
	if (a == NULL || a->n >= seg->asker->n)
		return;
	dequeue(d, seg);
	enqueue(d, a, seg);
}

static bool
begin(struct discover *d, const uint8_t *id, unsigned content_version,
	uint32_t uid, struct discover_segment **ret_seg)
{
	*ret_seg = discover_segment_get(d, id);
	return *ret_seg != NULL &&
		start(d, *ret_seg, content_version == 1 ? PCCRD_V1 : PCCRD_V2,
			uid);
}

enum discover_state
discover_want(struct discover *d, const uint8_t *id, unsigned content_version,
	uint32_t uid, struct discover_waiter *w)
{
	struct discover_segment *seg = discover_segment_find(d, id);
	enum discover_state state = discover_segment_state(d, seg);

	if (state == DISCOVER_UNKNOWN) {
		if (!begin(d, id, content_version, uid, &seg))
			return DISCOVER_NOBODY;
		state = DISCOVER_ASKING;
	} else if (state == DISCOVER_ASKING) {
		hasten(d, seg, uid);
	}
	if (state != DISCOVER_ASKING)
		return state;
	if (w == NULL) {
		seg->keep = true;
		return state;
	}
	discover_leave(w);
	LIST_INSERT_HEAD(&seg->waiters, w, link);
	w->waiting = true;
	return state;
}

/* Probes. */

static struct discover_probe *
probe_find(const struct discover *d, const char *message_id)
{
	uint8_t uuid[PCCRD_UUID_SIZE];
	struct discover_probe *p;
	unsigned hash;

	if (!pccrd_urn_parse(uuid, message_id))
		return NULL;
	hash = (unsigned)discover_hash(d, uuid, sizeof(uuid));
	HASH_FIND_BYHASHVALUE(hh, d->probes, uuid, sizeof(uuid), hash, p);
	return p;
}

bool
discover_ask_is_own(const struct discover *d, const char *message_id)
{
	return probe_find(d, message_id) != NULL;
}

static void
probe_free(struct discover *d, struct discover_probe *p)
{
	wheel_stop(&p->timer);
	HASH_DEL(d->probes, p);
	free(p);
}

static void
probe_send(struct discover *d, const struct discover_probe *p)
{
	const struct env *env = d->service->env;
	struct env_probe message = {
		.version = p->version,
		.n_ids = p->n_ids,
		.ids = p->ids,
	};

	memcpy(message.uuid, p->uuid, sizeof(message.uuid));
	d->service->counters.probes_sent++;
	env->ops->probe(env->ctx, &message);
}

static void
probe_over(struct discover *d, struct discover_probe *p)
{
	p->phase = DISCOVER_LATE;
	service_timer(d->service, &p->timer, LATE_MS);
	for (size_t i = 0; i < p->n_ids; i++) {
		struct discover_segment *seg =
			discover_segment_find(d, p->ids[i]);

		if (seg == NULL || seg->phase != DISCOVER_ASKED ||
			seg->probe != p->number)
			continue;
		ledger_discovered(d->service->ledger, seg->id, PCCRD_ID_SIZE,
			discover_answers(seg));
		discover_segment_settle(d, seg,
			discover_crowd(d, seg->id) ? QUIET_CROWD_MS : QUIET_MS);
	}
}

static void
probe_timer(struct wheel_timer *t)
{
	struct discover_probe *p =
		container_of(t, struct discover_probe, timer);
	struct discover *d = p->discover;

	switch (p->phase) {
	case DISCOVER_FIRST:
		p->phase = DISCOVER_REPEATED;
		service_timer(d->service, t, p->rest_ms);
		if (p->n_silent > 0)
			probe_send(d, p);
		break;
	case DISCOVER_REPEATED:
		probe_over(d, p);
		break;
	case DISCOVER_LATE:
		probe_free(d, p);
		break;
	}
}

static void
probe_schedule(struct discover *d, struct discover_probe *p)
{
	uint32_t window_ms = d->service->settings.probe_timeout_ms;
	uint32_t repeat_ms = REPEAT_MIN_MS +
		discover_random(d, REPEAT_MAX_MS - REPEAT_MIN_MS + 1);

	/* The timer's extra millisecond is counted once. */
	if (repeat_ms + 1 < window_ms) {
		p->phase = DISCOVER_FIRST;
		p->rest_ms = window_ms - repeat_ms - 1;
		service_timer(d->service, &p->timer, repeat_ms);
	} else {
		p->phase = DISCOVER_REPEATED;
		service_timer(d->service, &p->timer, window_ms);
	}
}

static struct discover_probe *
probe_new(struct discover *d, struct discover_segment **segs, size_t n)
{
	const struct env *env = d->service->env;
	struct discover_probe *p =
		calloc(1, sizeof(*p) + n * sizeof(p->ids[0]));
	unsigned hash;

	if (p == NULL)
		return NULL;
	p->discover = d;
	p->timer.fn = probe_timer;
	p->version = segs[0]->version;
	p->n_ids = p->n_silent = n;
	p->sent_ms = service_now_ms(d->service);
	env->ops->random(env->ctx, p->uuid, sizeof(p->uuid));
	p->uuid[6] = (uint8_t)(0x40 | (p->uuid[6] & 0x0f)); /* RFC 4122: */
	p->uuid[8] = (uint8_t)(0x80 | (p->uuid[8] & 0x3f)); /* random */
	hash = (unsigned)discover_hash(d, p->uuid, sizeof(p->uuid));
	HASH_ADD_KEYPTR_BYHASHVALUE(
		hh, d->probes, p->uuid, sizeof(p->uuid), hash, p);
	if (p->hh.tbl == NULL) {
		free(p);
		return NULL;
	}
	p->number = ++d->n_sent;
	for (size_t i = 0; i < n; i++) {
		memcpy(p->ids[i], segs[i]->id, sizeof(p->ids[i]));
		segs[i]->probe = p->number;
		if (segs[i]->tally != NULL)
			segs[i]->tally->n = 0;
	}
	return p;
}

/* Answers. */

static void
tell(struct discover_segment *seg)
{
	struct discover_waiters list = LIST_HEAD_INITIALIZER(list);
	struct discover_waiter *w;

	while ((w = LIST_FIRST(&seg->waiters)) != NULL) {
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(&list, w, link);
	}
	/* Still being asked, so the segment stays, whatever they do. */
	while ((w = LIST_FIRST(&list)) != NULL) {
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(&seg->waiters, w, link);
		w->changed(w);
	}
}

static void
answered(struct discover *d, struct discover_probe *p, const uint8_t *id,
	const struct discover_news *news)
{
	struct discover_segment *seg = discover_segment_find(d, id);

	if (seg == NULL || seg->probe != p->number)
		return;
	if (p->n_silent > 0 && (seg->tally == NULL || seg->tally->n == 0))
		p->n_silent--;
	if (discover_peers_learn(d, seg, news))
		tell(seg);
}

void
discover_answered(struct discover *d, const struct discover_answer *a)
{
	struct discover_probe *p = d->on ? probe_find(d, a->relates_to) : NULL;
	struct discover_news news = {.answer = a};
	struct discover_addr from;

	if (p == NULL || a->version != p->version || a->n_addrs == 0 ||
		p->answers == ANSWERS_MAX ||
		!discover_addr_take(&from, &a->from))
		return;
	news.source = discover_addr_host(d, &from);
	if (p->by_sender[news.source % DISCOVER_SENDERS] == ANSWERS_SENDER)
		return;
	p->by_sender[news.source % DISCOVER_SENDERS]++;
	p->answers++;
	d->service->counters.probe_answers++;
	news.delay_ms = (uint32_t)(service_now_ms(d->service) - p->sent_ms);
	for (size_t i = 0; i < a->n_held; i++) {
		const struct pccrd_held *held = &a->held[i];

		if (p->version == PCCRD_V2 && i >= p->n_ids)
			break;
		news.blocks = held->blocks;
		news.age_ds = held->age_ds;
		if (held->blocks != 0)
			answered(d, p,
				p->version == PCCRD_V2 ? p->ids[i] : held->id,
				&news);
	}
}

/* The pump. */

static uint64_t
slice_left_ms(const struct discover *d)
{
	uint64_t sent_ms = d->slice_ms[d->slice_next];
	uint64_t now_ms = service_now_ms(d->service) + 1;

	if (sent_ms == 0 || now_ms - sent_ms >= SLICE_MS)
		return 0;
	return SLICE_MS - (now_ms - sent_ms);
}

static void
slice_use(struct discover *d)
{
	d->slice_ms[d->slice_next] = service_now_ms(d->service) + 1;
	d->slice_next = (d->slice_next + 1) % DISCOVER_SLICE;
}

/* Takes up to max segments of one kind, of one asker after the other. */
static size_t
batch_take(struct discover *d, enum pccrd_version version,
	struct discover_segment **ret_segs, size_t max)
{
	struct discover_askers *list = askers_of(d, version);
	struct discover_asker *a;
	size_t n = 0;

	while (n < max && (a = TAILQ_FIRST(list)) != NULL) {
		struct discover_segment *seg = TAILQ_FIRST(&a->queue);

		TAILQ_REMOVE(list, a, link);
		TAILQ_INSERT_TAIL(list, a, link);
		dequeue(d, seg);
		if (seg->keep || !LIST_EMPTY(&seg->waiters))
			ret_segs[n++] = seg;
		else
			discover_segment_settle(d, seg, 0);
	}
	return n;
}

static void
batch_send(struct discover *d)
{
	struct discover_segment *segs[PCCRD_IDS_MAX];
	enum pccrd_version version;
	struct discover_probe *p;
	size_t max, n;

	d->turn = !d->turn;
	version = d->turn ? PCCRD_V1 : PCCRD_V2;
	max = pccrd_probe_ids(version, PCCRD_SEND_GOOD);
	assert(max > 0 && max <= ARRAY_LEN(segs));
	n = batch_take(d, version, segs, max);
	if (n == 0)
		return;
	p = probe_new(d, segs, n);
	if (p != NULL) {
		slice_use(d);
		probe_schedule(d, p);
		probe_send(d, p);
		return;
	}
	for (size_t i = 0; i < n; i++)
		discover_segment_settle(d, segs[i], UNASKED_MS);
}

static void
expire(struct discover *d, struct discover_askers *list)
{
	uint64_t now_ms = service_now_ms(d->service);
	struct discover_segments late = TAILQ_HEAD_INITIALIZER(late);
	struct discover_asker *a, *next;
	struct discover_segment *seg;

	for (a = TAILQ_FIRST(list); a != NULL; a = next) {
		unsigned n = a->n;

		next = TAILQ_NEXT(a, link);
		while (n-- > 0) {
			seg = TAILQ_FIRST(&a->queue);
			if (now_ms - seg->queued_ms < WAIT_MS)
				break;
			dequeue(d, seg);
			TAILQ_INSERT_TAIL(&late, seg, link);
		}
	}
	while ((seg = TAILQ_FIRST(&late)) != NULL) {
		TAILQ_REMOVE(&late, seg, link);
		discover_segment_settle(d, seg, UNASKED_MS);
	}
}

static void
pump(struct wheel_timer *t)
{
	struct discover *d = container_of(t, struct discover, pump);
	uint64_t left_ms = 0;

	for (unsigned i = 0; i < ARRAY_LEN(d->askers); i++)
		expire(d, &d->askers[i]);
	while (d->n_queued > 0 && (left_ms = slice_left_ms(d)) == 0 &&
		HASH_COUNT(d->probes) < PROBES_MAX)
		batch_send(d);
	if (d->n_queued > 0)
		service_timer(
			d->service, t, left_ms > 0 ? left_ms - 1 : SLICE_MS);
}

void
discover_ask_init(struct discover *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(d->askers); i++)
		TAILQ_INIT(&d->askers[i]);
	d->pump.fn = pump;
}

void
discover_ask_stop(struct discover *d)
{
	struct discover_probe *p, *next;
	struct discover_asker *a;

	wheel_stop(&d->pump);
	for (unsigned i = 0; i < ARRAY_LEN(d->askers); i++)
		while ((a = TAILQ_FIRST(&d->askers[i])) != NULL) {
			TAILQ_REMOVE(&d->askers[i], a, link);
			free(a);
		}
	d->n_askers = 0;
	d->n_queued = 0;
	HASH_ITER(hh, d->probes, p, next)
	probe_free(d, p);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions of other hosts.
 *
 * A question that names something this host holds, and may give away, is
 * answered after a random back-off of 1 ms to BackoffMax; what is held is
 * looked up again then.  Nobody is ever told that something is not held.
 * Version 1 answers name the segments held, with their number of blocks, and no
 * more than fit into one datagram (the asker asks again for the others);
 * version 2 answers say of each position nothing, some or all.  A version 2
 * segment is one block, so one block is all of it; the whole of a version 1
 * segment has 512.
 *
 * The way of a question, each step O(1) or O(1) for each id:
 *
 *	our own (multicast comes back)     forgotten
 *	heard before from this host        forgotten
 *	more looks than we may have        dropped: 65,536 ids in any second in
 *	                                   all, 4,096 by one host
 *	crowds                             noted for all ids
 *	nothing held, or the quorum        forgotten
 *	too many answers on their way      dropped: 256 in all, 16 to one host
 *	too many answers                   dropped: 100 by one interface in any
 *	                                   second, about 50 to one host
 *
 * State: 1,024 hosts that asked, each with the hashes of its last 64 message
 * ids, 1 MB once the first question was heard; pending answers, at most 256 of
 * up to 10 KB each.  Whoever fakes source addresses can push out the hosts that
 * asked before him; the limits in all hold nevertheless.  Without memory a
 * question is not answered.
 */
#include "daemon/core/discover_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/upload.h"

#define SOURCE_SETS     128u
#define SEEN_MAX        64u
#define SEEN_MS         5000u
#define SECOND_MS       1000u
#define LOOKS           65536u
#define LOOKS_SOURCE    4096u
#define PENDINGS        256u
#define PENDINGS_SOURCE 16u
#define ANSWERS_SOURCE  50u
#define V1_BLOCKS       512u /* of a whole segment */
#define QUORUM_ODDS     3u

struct source_row {
	struct discover_row row;
	struct discover_window looks;
	struct discover_window answers;
	unsigned n_pendings;
	unsigned seen_next;
	uint64_t seen[SEEN_MAX]; /* hashes of message ids */
	uint64_t seen_ms[SEEN_MAX];
};

struct discover_pending {
	struct discover *discover;
	TAILQ_ENTRY(discover_pending) link;
	struct wheel_timer timer;
	uint8_t source[PCCRD_ID_SIZE];
	struct parse_addr from;
	uint32_t interface;
	enum pccrd_version version;
	unsigned luck;
	char message_id[PCCRD_URI_MAX + 1];
	size_t n_ids;
	struct pccrd_id ids[];
};

/* What is held. */

static uint32_t
blocks_of(const struct store_held *held, enum pccrd_version version)
{
	if (version == PCCRD_V1 || held->n_blocks == 0)
		return held->n_blocks;
	return held->n_blocks == 1 || held->n_blocks >= V1_BLOCKS ? UINT32_MAX
								  : 1;
}

static uint32_t
age_of(const struct discover *d, const struct store_held *held)
{
	uint64_t now_ds = service_wall_ms(d->service) / 100;
	uint64_t born_ds = held->born_s * 10;

	if (held->born_s == 0)
		return PCCRD_AGE_UNKNOWN;
	/* Clocks are set. */
	if (born_ds > now_ds)
		return 0;
	return (uint32_t)MIN_OF(now_ds - born_ds, PCCRD_AGE_UNKNOWN - 1);
}

/* What to say of a segment.  false: nothing. */
static bool
look(struct discover *d, const uint8_t *id, const struct discover_pending *p,
	struct pccrd_held *ret)
{
	struct store_held held;

	uploads_held(d->service->uploads, id, PCCRD_ID_SIZE, &held);
	if (held.n_blocks == 0 || discover_quorum_rests(d, id, p->luck))
		return false;
	memcpy(ret->id, id, sizeof(ret->id));
	ret->blocks = blocks_of(&held, p->version);
	ret->age_ds = age_of(d, &held);
	return true;
}

/* Limits. */

static void
source_key(const struct discover_addr *from, uint8_t *ret_key)
{
	struct discover_addr addr = *from;

	memset(ret_key, 0, PCCRD_ID_SIZE);
	addr.port = 0;
	memcpy(ret_key, &addr, sizeof(addr));
}

static bool
seen_before(struct discover *d, struct source_row *src, const char *message_id)
{
	uint64_t hash = discover_hash(d, message_id, strlen(message_id));
	uint64_t now_ms = service_now_ms(d->service) + 1;

	for (size_t i = 0; i < SEEN_MAX; i++)
		if (src->seen_ms[i] != 0 && src->seen[i] == hash &&
			now_ms - src->seen_ms[i] < SEEN_MS)
			return true;
	src->seen[src->seen_next] = hash;
	src->seen_ms[src->seen_next] = now_ms;
	src->seen_next = (src->seen_next + 1) % SEEN_MAX;
	return false;
}

static struct discover_interface *
interface_get(struct discover *d, uint32_t number)
{
	struct discover_interface *oldest = &d->interfaces[0];

	for (size_t i = 0; i < DISCOVER_INTERFACES; i++) {
		struct discover_interface *f = &d->interfaces[i];

		if (f->used_ms != 0 && f->number == number)
			return f;
		if (f->used_ms < oldest->used_ms)
			oldest = f;
	}
	*oldest = (struct discover_interface){.number = number};
	return oldest;
}

static bool
interface_take(struct discover *d, uint32_t number)
{
	struct discover_interface *f = interface_get(d, number);
	uint64_t now_ms = service_now_ms(d->service) + 1;
	uint64_t *at_ms = &f->at_ms[f->next];

	if (*at_ms != 0 && now_ms - *at_ms < SECOND_MS)
		return false;
	*at_ms = f->used_ms = now_ms;
	f->next = (f->next + 1) % DISCOVER_ANSWERS;
	return true;
}

static bool
may_answer(struct discover *d, struct source_row *src, uint32_t interface)
{
	uint64_t now_ms = service_now_ms(d->service);

	return d->n_pendings < PENDINGS && src->n_pendings < PENDINGS_SOURCE &&
		discover_window_take(
			&src->answers, now_ms, 1, ANSWERS_SOURCE) &&
		interface_take(d, interface);
}

static bool
may_look(struct discover *d, struct source_row *src, uint32_t n)
{
	uint64_t now_ms = service_now_ms(d->service);

	return discover_window_take(&src->looks, now_ms, n, LOOKS_SOURCE) &&
		discover_window_take(&d->looks, now_ms, n, LOOKS);
}

/* Answers on their way. */

static void
pending_free(struct discover *d, struct discover_pending *p)
{
	struct source_row *src = discover_table_find(d, &d->sources, p->source);

	/* It may be another one of the same address by now. */
	if (src != NULL && src->n_pendings > 0)
		src->n_pendings--;
	wheel_stop(&p->timer);
	TAILQ_REMOVE(&d->pendings, p, link);
	d->n_pendings--;
	free(p);
}

static size_t
fill_v1(struct discover *d, const struct discover_pending *p,
	struct pccrd_id *ret_ids, struct pccrd_held *ret_held)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_ids && n < PCCRD_ANSWER_IDS_MAX; i++)
		if (look(d, p->ids[i].bytes, p, &ret_held[n]))
			ret_ids[n++] = p->ids[i];
	return n;
}

/* How many are held. */
static size_t
fill_v2(struct discover *d, const struct discover_pending *p,
	struct pccrd_held *ret_held)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_ids; i++) {
		if (look(d, p->ids[i].bytes, p, &ret_held[i])) {
			n++;
			continue;
		}
		ret_held[i].blocks = 0;
		ret_held[i].age_ds = PCCRD_AGE_UNKNOWN;
	}
	return n;
}

static void
pending_send(struct discover *d, const struct discover_pending *p)
{
	const struct env *env = d->service->env;
	struct pccrd_held held[PCCRD_IDS_MAX];
	struct pccrd_id ids[PCCRD_ANSWER_IDS_MAX];
	struct env_match match = {
		.to = p->from,
		.interface = p->interface,
		.relates_to = p->message_id,
		.version = p->version,
		.n_ids = p->n_ids,
		.ids = p->ids,
		.held = held,
	};
	size_t n;

	if (p->version == PCCRD_V1) {
		n = match.n_ids = fill_v1(d, p, ids, held);
		match.ids = ids;
	} else {
		n = fill_v2(d, p, held);
	}
	if (n == 0)
		return;
	d->service->counters.answers_sent++;
	env->ops->match(env->ctx, &match);
}

static void
pending_timer(struct wheel_timer *t)
{
	struct discover_pending *p =
		container_of(t, struct discover_pending, timer);
	struct discover *d = p->discover;

	pending_send(d, p);
	pending_free(d, p);
}

/* A copy of the question with the ids that the answer will be about.  NULL: no
 * memory. */
static struct discover_pending *
pending_new(struct discover *d, const struct discover_question *q,
	const struct pccrd_id *ids, size_t n_ids)
{
	struct discover_pending *p =
		malloc(sizeof(*p) + n_ids * sizeof(p->ids[0]));

	if (p == NULL)
		return NULL;
	*p = (struct discover_pending){
		.discover = d,
		.timer.fn = pending_timer,
		.from = q->from,
		.interface = q->interface,
		.version = q->probe->version,
		.n_ids = n_ids,
	};
	memcpy(p->message_id, q->probe->message_id, sizeof(p->message_id));
	memcpy(p->ids, ids, n_ids * sizeof(p->ids[0]));
	return p;
}

static void
pending_start(
	struct discover *d, struct discover_pending *p, struct source_row *src)
{
	uint32_t max_ms = MAX_OF(d->service->settings.backoff_max_ms, 1u);

	memcpy(p->source, src->row.key, sizeof(p->source));
	src->n_pendings++;
	d->n_pendings++;
	TAILQ_INSERT_TAIL(&d->pendings, p, link);
	/* The timer adds one: 1 .. max. */
	service_timer(d->service, &p->timer, discover_random(d, max_ms));
}

/* Which ids an answer would be about: of version 1 those that are held.  0:
 * nothing is. */
static size_t
choose(struct discover *d, const struct pccrd_probe *probe, unsigned luck,
	struct pccrd_id *ret_ids)
{
	const struct discover_pending as = {
		.version = probe->version, .luck = luck};
	struct pccrd_held held;
	size_t n = 0;

	for (size_t i = 0; i < probe->n_ids && n < PCCRD_ANSWER_IDS_MAX; i++) {
		if (!look(d, probe->ids[i].bytes, &as, &held))
			continue;
		if (probe->version == PCCRD_V2)
			return probe->n_ids;
		ret_ids[n++] = probe->ids[i];
	}
	return n;
}

static void
consider(struct discover *d, const struct discover_question *q,
	struct source_row *src)
{
	struct pccrd_id held[PCCRD_ANSWER_IDS_MAX];
	const struct pccrd_probe *probe = q->probe;
	unsigned luck = discover_random(d, QUORUM_ODDS);
	size_t n = choose(d, probe, luck, held);
	struct discover_pending *p = NULL;

	if (n == 0)
		return;
	if (may_answer(d, src, q->interface))
		p = pending_new(d, q,
			probe->version == PCCRD_V1 ? held : probe->ids, n);
	if (p == NULL) {
		d->service->counters.answers_dropped++;
		return;
	}
	p->luck = luck;
	pending_start(d, p, src);
}

void
discover_heard(struct discover *d, const struct discover_question *q)
{
	const struct pccrd_probe *probe = q->probe;
	uint8_t key[PCCRD_ID_SIZE];
	struct discover_addr from;
	struct source_row *src;
	uint32_t host;

	if (!d->on || discover_ask_is_own(d, probe->message_id))
		return;
	d->service->counters.probes_heard++;
	if (!discover_addr_take(&from, &q->from))
		return;
	source_key(&from, key);
	src = discover_table_take(d, &d->sources, key);
	if (src == NULL || seen_before(d, src, probe->message_id))
		return;
	if (!may_look(d, src, (uint32_t)probe->n_ids)) {
		d->service->counters.answers_dropped++;
		return;
	}
	host = discover_addr_host(d, &from);
	for (size_t i = 0; i < probe->n_ids; i++)
		discover_crowd_asked(d, probe->ids[i].bytes, host);
	consider(d, q, src);
}

void
discover_answer_init(struct discover *d)
{
	TAILQ_INIT(&d->pendings);
	d->sources.row_size = sizeof(struct source_row);
	d->sources.n_sets = SOURCE_SETS;
}

void
discover_answer_stop(struct discover *d)
{
	struct discover_pending *p;

	while ((p = TAILQ_FIRST(&d->pendings)) != NULL)
		pending_free(d, p);
	discover_table_clear(&d->sources);
}

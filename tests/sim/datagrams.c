/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes go to all hosts, answers to one.  On the way a datagram waits for the
 * sender's link and, at each receiver, for that of his; may get lost; and may
 * find the socket's buffer full, since the loop takes one datagram after the
 * other and each takes it some time, wanted or not.
 *
 * Their lengths are those of the messages that the codec makes of them; what is
 * delivered is what the message says.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/discover.h"
#include "tests/sim/world.h"

#define ETHERNET    66u   /* bytes around a datagram of one packet */
#define PACKET      1472u /* bytes of a datagram in one packet */
#define KERNEL_SIZE 2304u /* what a packet counts in a socket's buffer */

struct datagram {
	unsigned refs;
	struct sim_event event; /* on the wire */
	struct host *from;
	struct host *to; /* NULL: all others */
	size_t len;
	struct pccrd_probe *probe;
	/* An answer. */
	char relates_to[PCCRD_URI_MAX + 1];
	enum pccrd_version version;
	size_t n_held;
	struct pccrd_held *held;
};

static struct datagram *
datagram_new(struct host *from, struct host *to, size_t len)
{
	struct datagram *d = sim_alloc(sizeof(*d));

	d->refs = 1;
	d->from = from;
	d->to = to;
	d->len = len;
	return d;
}

static void
datagram_unref(struct datagram *d)
{
	if (--d->refs > 0)
		return;
	free(d->probe);
	free(d->held);
	free(d);
}

static size_t
packets(size_t len)
{
	return (len + PACKET - 1) / PACKET;
}

static uint64_t
wire_len(size_t len)
{
	return len + packets(len) * ETHERNET;
}

static enum sim_socket
socket_of(const struct datagram *d)
{
	return d->to == NULL ? SOCKET_PROBES : SOCKET_ANSWERS;
}

/* Arrival. */

static void
hear(struct host *h, const struct datagram *d)
{
	const struct discover_question q = {
		.from = d->from->addr,
		.interface = 1,
		.probe = d->probe,
	};

	h->world->counts.heard++;
	discover_heard(service_discover(h->service), &q);
}

static struct sim_asked *
asked_find(struct host *h, const uint8_t *uuid)
{
	for (size_t i = 0; i < ARRAY_LEN(h->recent); i++)
		if (memcmp(h->recent[i].uuid, uuid, PCCRD_UUID_SIZE) == 0)
			return &h->recent[i];
	return NULL;
}

static void
count_answer(struct host *h, const char *relates_to)
{
	struct sim_counts *c = &h->world->counts;
	uint8_t uuid[PCCRD_UUID_SIZE];
	struct sim_asked *a;

	if (!pccrd_urn_parse(uuid, relates_to))
		abort();
	a = asked_find(h, uuid);
	if (a == NULL)
		return;
	a->answers++;
	c->answers_of_probe_most = MAX_OF(c->answers_of_probe_most, a->answers);
}

static void
collect(struct host *h, const struct datagram *d)
{
	struct sim_counts *c = &h->world->counts;
	const struct discover_answer a = {
		.from = d->from->addr,
		.relates_to = d->relates_to,
		.version = d->version,
		.n_addrs = 1,
		.addrs = &d->from->addr,
		.n_held = d->n_held,
		.held = d->held,
	};

	c->collected++;
	count_answer(h, d->relates_to);
	discover_answered(service_discover(h->service), &a);
}

static void
take(struct host *h, const struct datagram *d)
{
	if (d->to == NULL)
		hear(h, d);
	else
		collect(h, d);
}

static void
take_event(struct sim_event *e)
{
	struct host *h = container_of(e, struct host, take);
	struct world *w = h->world;
	struct sim_waiting *first = STAILQ_FIRST(&h->waiting);
	struct datagram *d = first->datagram;

	/* Something else came before. */
	if (h->loop_free_ns > world_now(w)) {
		sim_at(&w->clock, e, h->loop_free_ns);
		return;
	}
	STAILQ_REMOVE_HEAD(&h->waiting, link);
	free(first);
	h->buffered[socket_of(d)] -= packets(d->len) * KERNEL_SIZE;
	(void)host_busy(h, w->o.datagram_ns);
	if (!STAILQ_EMPTY(&h->waiting))
		sim_at(&w->clock, e, h->loop_free_ns);
	take(h, d);
	datagram_unref(d);
}

static bool
is_lost(struct world *w)
{
	return w->o.loss_ppm > 0 && world_below(w, 1000000) < w->o.loss_ppm;
}

static void
arrive(struct host *h, struct datagram *d)
{
	struct world *w = h->world;
	enum sim_socket k = socket_of(d);
	size_t size = packets(d->len) * KERNEL_SIZE;
	struct sim_waiting *x;
	uint64_t at_ns;

	if (h->service == NULL)
		return;
	if (is_lost(w)) {
		w->counts.lost++;
		return;
	}
	at_ns = link_pass(w, &h->in, world_now(w), wire_len(d->len));
	if (h->buffered[k] + size > w->o.buffer) {
		w->counts.overflows[k]++;
		return;
	}
	h->buffered[k] += size;
	x = sim_alloc(sizeof(*x));
	x->datagram = d;
	d->refs++;
	if (STAILQ_EMPTY(&h->waiting))
		sim_at(&w->clock, &h->take, MAX_OF(at_ns, h->loop_free_ns));
	STAILQ_INSERT_TAIL(&h->waiting, x, link);
}

static void
arrive_event(struct sim_event *e)
{
	struct datagram *d = container_of(e, struct datagram, event);
	struct world *w = d->from->world;

	if (d->to != NULL)
		arrive(d->to, d);
	for (unsigned i = 0; d->to == NULL && i < w->n_hosts; i++)
		if (&w->hosts[i] != d->from)
			arrive(&w->hosts[i], d);
	datagram_unref(d);
}

/* Departure. */

static void
datagram_send(struct datagram *d)
{
	struct host *h = d->from;
	struct world *w = h->world;
	uint64_t left_ns =
		link_pass(w, &h->out, world_now(w), wire_len(d->len));

	d->event.fn = arrive_event;
	sim_at(&w->clock, &d->event, left_ns + latency_ns(w));
}

/* The n-th last one must be longer ago than this. */
static void
check_rate(
	struct host *h, struct sim_rate *r, uint64_t least_ns, const char *what)
{
	uint64_t now_ns = world_now(h->world) + 1;
	uint64_t *at_ns = &r->at_ns[r->next];

	if (*at_ns != 0 && now_ns - *at_ns < least_ns)
		world_fault(
			h->world, "host %u sends too many %s", h->number, what);
	*at_ns = now_ns;
	r->next = (r->next + 1) % RATE_MAX;
}

static void
asked_add(struct host *h, const uint8_t *uuid)
{
	struct sim_asked *a = &h->recent[h->recent_next];

	h->recent_next = (h->recent_next + 1) % ARRAY_LEN(h->recent);
	memcpy(a->uuid, uuid, sizeof(a->uuid));
	a->answers = 0;
	/* Each ten are 100 ms apart, by a clock of whole milliseconds. */
	check_rate(h, &h->probes, NS_PER_S - 10 * NS_PER_MS, "Probes");
}

void
datagrams_probe(struct host *h, const struct env_probe *p)
{
	struct world *w = h->world;
	struct datagram *d;

	buf_reset(&w->message);
	if (pccrd_build_probe(
		    &w->message, p->uuid, p->version, p->ids, p->n_ids) != 0)
		abort();
	d = datagram_new(h, NULL, w->message.len);
	d->probe = sim_alloc(sizeof(*d->probe));
	pccrd_urn_format(d->probe->message_id, p->uuid);
	d->probe->version = p->version;
	d->probe->n_ids = p->n_ids;
	for (size_t i = 0; i < p->n_ids; i++)
		memcpy(d->probe->ids[i].bytes, p->ids[i], PCCRD_ID_SIZE);
	w->counts.probe_bytes += d->len;
	w->counts.probes++;
	if (asked_find(h, p->uuid) != NULL)
		w->counts.repeats++;
	else
		asked_add(h, p->uuid);
	datagram_send(d);
}

void
datagrams_match(struct host *h, const struct env_match *m)
{
	struct world *w = h->world;
	const struct pccrd_answer answer = {
		.relates_to = m->relates_to,
		.version = m->version,
		.n_ids = m->n_ids,
		.ids = m->ids,
		.held = m->held,
		.n_addrs = 1,
		.addrs = &h->addr,
		.instance = 1,
		.number = 1,
	};
	struct datagram *d;

	buf_reset(&w->message);
	if (pccrd_build_answer(&w->message, &answer) != 0)
		abort();
	d = datagram_new(h, host_of(w, &m->to), w->message.len);
	memcpy(d->relates_to, m->relates_to, strlen(m->relates_to) + 1);
	d->version = m->version;
	d->n_held = m->n_ids;
	d->held = sim_alloc(m->n_ids * sizeof(d->held[0]));
	memcpy(d->held, m->held, m->n_ids * sizeof(d->held[0]));
	for (size_t i = 0; i < m->n_ids; i++)
		memcpy(d->held[i].id, m->ids[i].bytes, PCCRD_ID_SIZE);
	w->counts.answers++;
	w->counts.answer_bytes += d->len;
	/* They are counted when they are put off, for up to BackoffMax. */
	check_rate(h, &h->answers,
		NS_PER_S - MIN_OF(w->o.backoff_ms + 5, 1000) * NS_PER_MS,
		"answers");
	datagram_send(d);
}

void
datagrams_begin(struct host *h)
{
	STAILQ_INIT(&h->waiting);
	h->take.fn = take_event;
}

void
datagrams_end(struct host *h)
{
	struct sim_waiting *x;

	sim_unset(&h->world->clock, &h->take);
	while ((x = STAILQ_FIRST(&h->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->waiting, link);
		datagram_unref(x->datagram);
		free(x);
	}
}

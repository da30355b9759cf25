/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request of one host (the asker) to another one (the server):
 *
 *	queue    no more than CONNS at a time between two hosts
 *	travel   a round for a connection that is not there yet; the links
 *	serve    the server's loop gets to it: a slot of core/upload, the block
 *	         is lent
 *	leave    the last byte has passed the server's link: the slot is free
 *	arrive   and the asker's
 *
 * Answers of one server go out one after the other, not mixed, as the links
 * are queues.  The asker may be done with it before (time-out, given up, gone):
 * then the rest happens without him.  A server that has gone is silent or
 * refuses.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/upload.h"
#include "tests/sim/world.h"

#define CONNS        4u
#define REQUEST_LEN  450u /* with its headers */
#define ANSWER_LEN   350u /* without a block */
#define PACKET_LEN   1460u
#define PACKET_EXTRA 78u
/* What one lost packet costs where the next ones show that it is missing, and
 * where none follows. */
#define LOST_FAST_NS (2u * NS_PER_MS)
#define LOST_SLOW_NS (200u * NS_PER_MS)

struct request {
	TAILQ_ENTRY(request) of_asker;
	LIST_ENTRY(request) of_server;
	struct host *asker, *server;
	struct env_peer_request *peer; /* NULL: the asker is done with it */
	struct sim_event next;         /* of its way */
	struct sim_event end;          /* time-out, or given up */
	enum env_peer_status end_status;
	bool sent;    /* not in the queue any more */
	bool serving; /* in the server's list */
	/* What was asked, for when the asker is gone. */
	enum env_peer_kind kind;
	uint8_t id[64];
	uint32_t id_len;
	uint32_t block;
	/* The answer. */
	enum env_peer_status status;
	struct upload upload;
	struct sim_lent lent;
	struct pccrr_set held;
};

static uint64_t
wire_len(uint64_t len)
{
	return len + (len + PACKET_LEN - 1) / PACKET_LEN * PACKET_EXTRA;
}

/* TCP gets everything through, but later. */
static uint64_t
losses_ns(struct world *w, uint64_t len)
{
	uint64_t n = (len + PACKET_LEN - 1) / PACKET_LEN, ns = 0;

	if (w->o.loss_ppm == 0)
		return 0;
	for (uint64_t i = 0; i < n; i++)
		if (world_below(w, 1000000) < w->o.loss_ppm)
			ns += i + 4 < n ? LOST_FAST_NS : LOST_SLOW_NS;
	return ns;
}

/* The way to the other side; when the last bit is there. */
static uint64_t
pass(struct host *from, struct host *to, uint64_t left_ns, uint64_t len)
{
	struct world *w = from->world;

	return link_pass(w, &to->in, left_ns + latency_ns(w), wire_len(len)) +
		losses_ns(w, len);
}

static void start_next(struct host *asker, struct host *server);

static void
request_free(struct request *q)
{
	struct world *w = q->asker->world;

	assert(q->peer == NULL);
	sim_unset(&w->clock, &q->next);
	sim_unset(&w->clock, &q->end);
	if (q->serving)
		LIST_REMOVE(q, of_server);
	free(q);
}

/* The asker has his answer. */
static void
asker_done(struct request *q, enum env_peer_status status)
{
	struct env_peer_request *peer = TAKE_PTR(q->peer);
	struct host *asker = q->asker, *server = q->server;

	sim_unset(&asker->world->clock, &q->end);
	TAILQ_REMOVE(&asker->asked, q, of_asker);
	if (q->sent)
		asker->active[server->number]--;
	peer->status = status;
	peer->done(peer);
	if (asker->service != NULL)
		start_next(asker, server);
}

/* The server's side. */

static void
serve_end(struct request *q, uint64_t sent)
{
	if (q->upload.uploads != NULL)
		upload_end(&q->upload, sent);
}

static void
arrive_event(struct sim_event *e)
{
	struct request *q = container_of(e, struct request, next);
	struct env_peer_request *peer = q->peer;
	struct sim_counts *c = &q->asker->world->counts;

	if (peer == NULL) {
		request_free(q);
		return;
	}
	if (q->status == ENV_PEER_OK && q->kind == ENV_PEER_BLOCK) {
		peer->algo = q->lent.algo;
		memcpy(peer->iv, q->lent.iv, sizeof(peer->iv));
		peer->data_len = q->lent.len;
		peer->memory = peer->data = malloc(q->lent.len);
		if (peer->memory == NULL)
			abort();
		memcpy(peer->data, q->lent.bytes, q->lent.len);
		c->blocks++;
		c->peer_bytes += q->lent.len;
	}
	peer->held = q->held;
	c->empty += q->status == ENV_PEER_EMPTY;
	asker_done(q, q->status);
	request_free(q);
}

static void
leave_event(struct sim_event *e)
{
	struct request *q = container_of(e, struct request, next);
	struct world *w = q->asker->world;
	uint64_t len = ANSWER_LEN + q->lent.len;

	serve_end(q, q->lent.len);
	LIST_REMOVE(q, of_server);
	q->serving = false;
	q->next.fn = arrive_event;
	/* The first bits came while the last ones were still on their way. */
	sim_at(&w->clock, e,
		MAX_OF(world_now(w) + latency_ns(w),
			pass(q->server, q->asker,
				world_now(w) -
					MIN_OF(world_now(w),
						wire_len(len) * 8 * NS_PER_MS /
							w->o.link_kbps),
				len)));
}

static void
send_answer(struct request *q)
{
	struct host *h = q->server;
	struct world *w = h->world;

	q->next.fn = leave_event;
	sim_at(&w->clock, &q->next,
		link_pass(w, &h->out, world_now(w),
			wire_len(ANSWER_LEN + q->lent.len)));
}

/* MS-PCCRR's upload timer: the connection is closed. */
static void
serve_over(struct upload *u)
{
	struct request *q = container_of(u, struct request, upload);

	serve_end(q, 0);
	LIST_REMOVE(q, of_server);
	q->serving = false;
	q->status = ENV_PEER_REFUSED;
	q->next.fn = arrive_event;
	sim_at(&q->asker->world->clock, &q->next,
		world_now(q->asker->world) + latency_ns(q->asker->world));
}

static bool
begin_upload(struct request *q)
{
	struct host *h = q->server;
	struct uploads *us = service_uploads(h->service);

	if (!upload_begin(us, &q->upload, &q->asker->addr, serve_over)) {
		h->world->counts.busy++;
		return false;
	}
	h->uploads_most = MAX_OF(h->uploads_most, uploads_running(us));
	if (uploads_running(us) > h->world->o.uploads)
		world_fault(
			h->world, "host %u has too many uploads", h->number);
	return true;
}

static void
serve_list(struct request *q)
{
	struct store_held held = {0};

	if (begin_upload(q)) {
		upload_held(&q->upload, q->id, q->id_len, &held);
		upload_end(&q->upload, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(q->held.words); i++)
		q->held.words[i] &= held.blocks[i];
	q->status = ENV_PEER_OK;
}

static void
serve_block(struct request *q)
{
	q->status = ENV_PEER_EMPTY;
	if (!begin_upload(q))
		return;
	if (!upload_lend(&q->upload, q->id, q->id_len, q->block)) {
		upload_end(&q->upload, 0);
		return;
	}
	q->status = ENV_PEER_OK;
	q->lent = sim_store_lent_bytes(&q->upload.loan);
}

static void
serve_event(struct sim_event *e)
{
	struct request *q = container_of(e, struct request, next);

	if (q->kind == ENV_PEER_LIST)
		serve_list(q);
	else
		serve_block(q);
	send_answer(q);
}

static void
reach_event(struct sim_event *e)
{
	struct request *q = container_of(e, struct request, next);
	struct host *h = q->server;

	/* Nobody is there: the asker will run out of time. */
	if (h->service == NULL) {
		if (q->peer == NULL)
			request_free(q);
		return;
	}
	LIST_INSERT_HEAD(&h->serving, q, of_server);
	q->serving = true;
	q->next.fn = serve_event;
	sim_at(&h->world->clock, e, host_busy(h, h->world->o.request_ns));
}

/* The asker's side. */

static void
end_event(struct sim_event *e)
{
	struct request *q = container_of(e, struct request, end);
	struct sim_counts *c = &q->asker->world->counts;
	bool under_way = q->next.place != 0;

	c->timeouts += q->end_status == ENV_PEER_TIMEOUT;
	/* Its connection is closed with it. */
	if (q->sent)
		q->asker->connections[q->server->number]--;
	asker_done(q, q->end_status);
	if (!under_way)
		request_free(q);
}

static void
start(struct request *q)
{
	struct host *h = q->asker, *server = q->server;
	struct world *w = h->world;
	uint64_t at_ns = world_now(w);

	q->sent = true;
	h->active[server->number]++;
	if (h->active[server->number] > h->connections[server->number]) {
		h->connections[server->number]++;
		at_ns += 2 * latency_ns(w);
	}
	at_ns = link_pass(w, &h->out, at_ns, wire_len(REQUEST_LEN));
	q->next.fn = reach_event;
	sim_at(&w->clock, &q->next, pass(h, server, at_ns, REQUEST_LEN));
	if (q->end.place == 0)
		sim_at(&w->clock, &q->end,
			world_now(w) +
				q->peer->timeout_ms * (uint64_t)NS_PER_MS);
}

static void
start_next(struct host *asker, struct host *server)
{
	struct request *q;

	TAILQ_FOREACH (q, &asker->asked, of_asker) {
		if (asker->active[server->number] >= CONNS)
			return;
		if (q->server == server && !q->sent && q->end.place == 0)
			start(q);
	}
}

void
retrieval_request(struct host *h, struct env_peer_request *r)
{
	struct request *q = sim_alloc(sizeof(*q));
	struct sim_counts *c = &h->world->counts;

	q->asker = h;
	q->server = host_of(h->world, &r->addr);
	q->peer = r;
	q->end.fn = end_event;
	q->end_status = ENV_PEER_TIMEOUT;
	q->kind = r->kind;
	q->id_len = r->id_len;
	memcpy(q->id, r->id, r->id_len);
	q->block = r->block;
	q->held = r->asked;
	if (r->kind == ENV_PEER_LIST)
		c->lists++;
	else
		c->requests++;
	TAILQ_INSERT_TAIL(&h->asked, q, of_asker);
	start_next(h, q->server);
}

void
retrieval_cancel(struct host *h, struct env_peer_request *r)
{
	struct request *q;

	TAILQ_FOREACH (q, &h->asked, of_asker)
		if (q->peer == r)
			break;
	assert(q != NULL);
	q->end_status = ENV_PEER_REFUSED;
	sim_at(&h->world->clock, &q->end, world_now(h->world));
}

void
retrieval_begin(struct host *h)
{
	TAILQ_INIT(&h->asked);
	LIST_INIT(&h->serving);
	h->connections = sim_alloc(h->world->n_hosts);
	h->active = sim_alloc(h->world->n_hosts);
}

/* Every other one that was being served is told; the rest find out. */
static void
stop_serving(struct host *h)
{
	struct world *w = h->world;
	struct request *q;

	while ((q = LIST_FIRST(&h->serving)) != NULL) {
		serve_end(q, 0);
		LIST_REMOVE(q, of_server);
		q->serving = false;
		sim_unset(&w->clock, &q->next);
		if (q->peer == NULL) {
			request_free(q);
		} else if (world_below(w, 2) == 0) {
			q->status = ENV_PEER_REFUSED;
			q->next.fn = arrive_event;
			sim_at(&w->clock, &q->next,
				world_now(w) + latency_ns(w));
		}
	}
}

void
retrieval_end(struct host *h)
{
	struct request *q;

	stop_serving(h);
	while ((q = TAILQ_FIRST(&h->asked)) != NULL) {
		bool under_way = q->next.place != 0;

		asker_done(q, ENV_PEER_REFUSED);
		if (!under_way)
			request_free(q);
	}
	free(h->connections);
	free(h->active);
	h->connections = h->active = NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to peers, and what their answers mean.
 *
 * Of whom nothing is known a block is asked for at once when few are wanted.
 * When MANY in a row are, he is first asked which blocks of the whole segment
 * he has, since finding that out block by block costs a round each.  Not all
 * peers know that question, and a list is only an opinion: an empty answer
 * counts, whatever was said before.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/fetch_priv.h"

#define MANY          4u
#define TIMEOUTS_MOST 3

static bool
has_many(const struct pccrr_set *s)
{
	unsigned run = 0;

	for (size_t i = 0; i < ARRAY_LEN(s->words); i++) {
		uint64_t w = s->words[i];

		if (w == UINT64_MAX || (w & w >> 1 & w >> 2 & w >> 3) != 0)
			return true;
		/* A run may cross from word to word. */
		if (w != 0 && run + (unsigned)__builtin_ctzll(~w) >= MANY)
			return true;
		run = (unsigned)__builtin_clzll(~w);
	}
	return false;
}

static bool
wants_list(const struct fetch_candidate *c, const struct pccrr_set *wanted)
{
	_Static_assert(MANY == 4, "has_many() shifts three times");
	return !c->listed && !c->peer->no_lists && has_many(wanted);
}

static void request_done(struct env_peer_request *);

static struct fetch_request *
request_new(struct fetch_candidate *c, enum env_peer_kind kind)
{
	struct fetch *f = c->fetch;
	struct fetch_request *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->fetch = f;
	q->candidate = c;
	q->peer.kind = kind;
	q->peer.addr = c->peer->view.addr;
	q->peer.id_len = f->key.id_len;
	memcpy(q->peer.id, f->key.id, f->key.id_len);
	q->peer.timeout_ms = f->service->settings.request_timeout_ms;
	q->peer.done = request_done;
	return q;
}

static void
request_start(struct fetch_request *q)
{
	struct fetch *f = q->fetch;
	struct service *svc = f->service;

	TAILQ_INSERT_TAIL(&f->requests, q, link);
	f->n_out++;
	peer_asked(q->candidate->peer);
	svc->fetcher->n_requests++;
	svc->busy++;
	svc->env->ops->peer_request(svc->env->ctx, &q->peer);
}

static bool
ask_list(struct fetch_candidate *c)
{
	struct fetch *f = c->fetch;
	struct fetch_request *q = request_new(c, ENV_PEER_LIST);

	if (q == NULL)
		return false;
	for (uint32_t i = 0; i < fetch_segment(f)->n_blocks; i++)
		pccrr_set_add(&q->peer.asked, i);
	c->listing = true;
	f->service->counters.peer_lists++;
	request_start(q);
	return true;
}

static bool
ask_block(struct fetch_candidate *c, uint32_t block)
{
	struct fetch *f = c->fetch;
	struct fetch_request *q = request_new(c, ENV_PEER_BLOCK);

	if (q == NULL)
		return false;
	q->peer.block = block;
	q->peer.max_data = pccrr_cipher_len(f->content->info->version == 1
			? PCCRC_BLOCK_SIZE
			: PCCRC_V2_SEGMENT_MAX);
	pccrr_set_add(&f->busy, block);
	f->service->fetcher->n_held++;
	f->content->fetching->n_wire++;
	f->service->counters.peer_requests++;
	request_start(q);
	return true;
}

bool
fetch_ask(struct fetch_candidate *c, uint32_t block,
	const struct pccrr_set *wanted)
{
	return wants_list(c, wanted) ? ask_list(c) : ask_block(c, block);
}

/* peer NULL: whoever was asked. */
static void
give_up(struct fetch *f, const struct peer *peer)
{
	const struct env *env = f->service->env;
	struct fetch_request *q;

	TAILQ_FOREACH (q, &f->requests, link) {
		if (q->given_up || (peer != NULL && q->candidate->peer != peer))
			continue;
		q->given_up = true;
		env->ops->peer_cancel(env->ctx, &q->peer);
	}
}

void
fetch_give_up(struct fetch *f)
{
	give_up(f, NULL);
}

void
fetch_request_free(struct fetch_request *q)
{
	struct fetch *f = q->fetch;

	if (q->peer.kind == ENV_PEER_BLOCK) {
		fetch_set_del(&f->busy, q->peer.block);
		f->service->fetcher->n_held--;
	} else {
		q->candidate->listing = false;
	}
	f->n_out--;
	free(q->peer.memory);
	free(q);
}

/* A quarantine concerns all who have the peer as a candidate. */
static void
left_alone(struct fetch *f, bool quarantined)
{
	if (quarantined)
		fetch_touch_all(f->service->fetcher);
}

static void
book_empty(struct fetch_candidate *c)
{
	struct fetch *f = c->fetch;

	f->service->counters.peer_empty++;
	peer_empty(c->peer);
	fetch_trouble(f, LEDGER_EMPTY, c->peer);
	if (c->given > 0)
		return;
	fetch_source_lost(c);
	fetch_friend_missed(f->content, c->peer);
}

/* Left alone for its silence: what else it was asked for would wait for it,
 * too. */
static void
give_up_all_of(struct fetcher *fr, const struct peer *peer)
{
	struct fetch *f, *next;

	HASH_ITER(hh, fr->fetches, f, next)
	give_up(f, peer);
}

static void
book_silence(struct fetch_candidate *c)
{
	struct fetch *f = c->fetch;
	bool quarantined = peer_silent(c->peer);

	f->service->counters.peer_timeouts++;
	fetch_trouble(f, LEDGER_TIMEOUT, c->peer);
	if (++c->timeouts >= TIMEOUTS_MOST)
		c->dropped = true;
	if (c->dropped || quarantined)
		fetch_source_lost(c);
	if (quarantined)
		give_up_all_of(f->service->fetcher, c->peer);
	left_alone(f, quarantined);
}

static void
book_refusal(struct fetch_candidate *c)
{
	struct fetch *f = c->fetch;

	f->service->counters.peer_refused++;
	fetch_trouble(f, LEDGER_REFUSED, c->peer);
	c->dropped = true;
	fetch_source_lost(c);
	left_alone(f, peer_refused(c->peer));
}

static void
book_bad(struct fetch_candidate *c, bool strike)
{
	struct fetch *f = c->fetch;

	f->service->counters.peer_bad++;
	fetch_trouble(f, LEDGER_BAD, c->peer);
	c->dropped = true;
	fetch_source_lost(c);
	left_alone(f, peer_bad(c->peer, strike));
}

void
fetch_wrong_bytes(struct fetch_candidate *c)
{
	/* An unproved list may itself be the forgery. */
	book_bad(c, fetch_segment(c->fetch)->proved);
}

/* What an answer without bytes means, to either question. */
static void
book_failure(struct fetch_candidate *c, enum env_peer_status status)
{
	switch (status) {
	case ENV_PEER_OK:
	case ENV_PEER_EMPTY:
		book_empty(c);
		break;
	case ENV_PEER_TIMEOUT:
		book_silence(c);
		break;
	case ENV_PEER_UNSUPPORTED:
	case ENV_PEER_REFUSED:
		book_refusal(c);
		break;
	case ENV_PEER_BAD:
		book_bad(c, true);
		break;
	}
}

static void
list_came(struct fetch_candidate *c, const struct pccrr_set *held)
{
	c->said = true;
	for (size_t i = 0; i < ARRAY_LEN(held->words); i++)
		c->lacks.words[i] |= ~held->words[i];
}

static void
list_done(struct fetch_request *q)
{
	struct fetch_candidate *c = q->candidate;
	enum env_peer_status status = q->peer.status;
	static const struct pccrr_set none;

	if (q->given_up && status != ENV_PEER_OK)
		return;
	/* Whatever came, it is not asked that again by this fetch. */
	c->listed = true;
	if (status == ENV_PEER_OK && fetch_set_any(&q->peer.held)) {
		list_came(c, &q->peer.held);
		return;
	}
	if (status == ENV_PEER_UNSUPPORTED) {
		c->peer->no_lists = true;
		return;
	}
	if (status == ENV_PEER_OK || status == ENV_PEER_EMPTY)
		list_came(c, &none);
	book_failure(c, status);
}

/* Good bytes are kept even when nobody waits any more. */
static void
block_done(struct fetch_request *q)
{
	struct fetch_candidate *c = q->candidate;
	struct content *content = q->fetch->content;
	enum env_peer_status status = q->peer.status;

	content->fetching->n_wire--;
	if (status == ENV_PEER_OK || status == ENV_PEER_EMPTY)
		pccrr_set_add(&c->lacks, q->peer.block);
	if (status == ENV_PEER_OK) {
		fetch_check(q);
		return;
	}
	if (!q->given_up)
		book_failure(c, status);
	fetch_request_free(q);
	fetch_check_rest(content);
}

static void
request_done(struct env_peer_request *req)
{
	struct fetch_request *q = container_of(req, struct fetch_request, peer);
	struct fetch *f = q->fetch;
	struct service *svc = f->service;
	struct peer *peer = q->candidate->peer;

	svc->busy--;
	svc->fetcher->n_requests--;
	TAILQ_REMOVE(&f->requests, q, link);
	peer_back(peer);
	f->hold++;
	if (q->peer.kind == ENV_PEER_LIST) {
		list_done(q);
		fetch_request_free(q);
	} else {
		block_done(q);
	}
	f->hold--;
	fetch_room(peer);
	fetch_touch(f);
	fetch_go(svc);
}

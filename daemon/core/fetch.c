/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetches.
 *
 * A fetch is one segment that somebody wants blocks of; there is one for each
 * segment, however many readers, handles or users want it.  (A segment whose
 * block list proves nothing is not shared: what verifies for one reader need
 * not for another.  Nor are two that differ in their length, which nothing
 * proves.)  Readers wait on blocks, each with a timer of its own.
 *
 *	fetch_want      a reader misses a block
 *	fetch_step      gives idle blocks to free peers
 *	request_done    a peer's answer: good bytes go to a worker to be
 *	                decrypted and compared with their hash
 *	check_done      verified: into the store, as they came
 *	put_done        readable: its waiters are sent to read
 *
 * One request at a time for each peer and fetch; several peers, and several
 * segments, are what runs side by side.  A block whose candidates have all been
 * tried is lacking: its waiters are told, and it is forgotten.
 *
 * What a peer does, and what follows:
 *	empty answer     he does not have this block
 *	silence          another try; after TIMEOUTS_MOST he is dropped here
 *	refused          dropped here
 *	broken protocol, dropped here, and a strike; enough strikes and nobody
 *	wrong bytes      asks him for a while
 *
 * Whoever wrote the content information can lie about the length of a segment:
 * its hashes are true, and an honest peer's bytes do not fit.  So an answer may
 * be as long as any block, and is judged wrong only when it has the hash at no
 * length at all; otherwise one user could have all peers put aside for
 * everybody.
 *
 * Blocks of a read's window behind the one that it waits for are taken along
 * ("ahead") while the handle is open.  When nobody wants anything any more,
 * requests on the wire are given up.  The fetch goes when nothing runs for it
 * any more; job and request results that come later find no waiters.
 */
#include "daemon/core/fetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/peers.h"
#include "daemon/core/publish.h"

#define CANDIDATES_MAX 64 /* bits of fetch_block.tried */
#define TIMEOUTS_MOST  3
/* Above this many, segments are fetched only for those who wait for them. */
#define FETCHES_AHEAD 1024

enum block_state {
	BLOCK_IDLE,
	BLOCK_ASKING,
	BLOCK_CHECKING, /* bytes are here: verification, insertion */
};

struct fetch_block {
	struct op_source source;
	TAILQ_ENTRY(fetch_block) link;
	struct fetch *fetch;
	uint32_t index;
	enum block_state state;
	bool ahead;     /* wanted by a handle, though nobody waits yet */
	uint64_t tried; /* candidates */
};

TAILQ_HEAD(fetch_block_list, fetch_block);

struct candidate {
	struct peer *peer;
	bool busy;
	bool dropped;
	uint8_t timeouts;
};

enum check {
	CHECK_BAD,
	CHECK_OTHER_LENGTH, /* the peer is right, the information is not */
	CHECK_GOOD,
};

struct fetch_request {
	TAILQ_ENTRY(fetch_request) link;
	struct env_peer_request peer;
	struct fetch *fetch;
	struct fetch_block *block;
	unsigned candidate;
	bool given_up;
	enum check check;
	struct core_job job;
	uint8_t *plain;
	struct store_put put;
	struct store_ref ref;
	struct store_block stored;
};

TAILQ_HEAD(fetch_request_list, fetch_request);

struct fetch_key {
	uint32_t id_len;
	uint32_t len; /* of the segment */
	uint8_t id[STORE_ID_MAX];
	const struct content *alone; /* unproved: this content's only */
};

struct fetch {
	struct fetch_key key;
	struct service *service;
	struct content *content; /* reference: hashes and secret */
	size_t segment;
	struct fetch_block_list blocks;
	struct fetch_request_list requests;
	bool stepping;
	unsigned n_candidates;
	struct candidate candidates[CANDIDATES_MAX];
	UT_hash_handle hh;
	struct fetch_block *at[]; /* by index; NULL: not wanted */
};

static void fetch_step(struct fetch *);

static const struct pccrc_segment *
segment_of(const struct fetch *f)
{
	return &f->content->info->segments[f->segment];
}

static void
key_make(struct content *c, size_t segment, struct fetch_key *ret_key)
{
	/* Compared as bytes, holes included. */
	memset(ret_key, 0, sizeof(*ret_key));
	ret_key->id_len = c->info->hash_size;
	ret_key->len = c->info->segments[segment].len;
	memcpy(ret_key->id, content_segment_id(c, segment), ret_key->id_len);
	ret_key->alone = c->info->segments[segment].proved ? NULL : c;
}

static struct fetch *
fetch_find(struct service *svc, const struct fetch_key *key)
{
	struct fetch *f;

	HASH_FIND(hh, svc->fetches, key, sizeof(*key), f);
	return f;
}

static void
fetch_free(struct fetch *f)
{
	struct fetch_block *b;

	assert(TAILQ_EMPTY(&f->requests));
	while ((b = TAILQ_FIRST(&f->blocks)) != NULL) {
		assert(TAILQ_EMPTY(&b->source.waiters));
		TAILQ_REMOVE(&f->blocks, b, link);
		free(b);
	}
	HASH_DEL(f->service->fetches, f);
	f->service->counters.fetches_running--;
	for (unsigned i = 0; i < f->n_candidates; i++)
		peer_unref(f->candidates[i].peer);
	content_unref(f->content);
	free(f);
}

static struct fetch *
fetch_new(struct content *c, size_t segment, const struct fetch_key *key,
	size_t n_peers, struct peer *const *peers)
{
	struct service *svc = c->session->service;
	size_t n_blocks = c->info->segments[segment].n_blocks;
	struct fetch *f = calloc(1, sizeof(*f) + n_blocks * sizeof(f->at[0]));

	if (f == NULL)
		return NULL;
	f->key = *key;
	f->service = svc;
	f->segment = segment;
	TAILQ_INIT(&f->blocks);
	TAILQ_INIT(&f->requests);
	HASH_ADD(hh, svc->fetches, key, sizeof(f->key), f);
	if (f->hh.tbl == NULL) {
		free(f);
		return NULL;
	}
	f->content = content_ref(c);
	f->n_candidates = (unsigned)n_peers;
	for (size_t i = 0; i < n_peers; i++)
		f->candidates[i].peer = peers[i];
	svc->counters.fetches_started++;
	svc->counters.fetches_running++;
	return f;
}

/* The fetch of a segment, made if there is somebody to ask. */
static enum fetch_answer
fetch_get(
	struct content *c, size_t segment, bool ahead, struct fetch **ret_fetch)
{
	struct service *svc = c->session->service;
	struct peer *peers[CANDIDATES_MAX];
	struct fetch_key key;
	size_t n;

	if (svc->settings.policy.mode == MODE_LOCAL)
		return FETCH_NOBODY;
	key_make(c, segment, &key);
	*ret_fetch = fetch_find(svc, &key);
	if (*ret_fetch != NULL)
		return FETCH_WAIT;
	if (ahead && svc->counters.fetches_running >= FETCHES_AHEAD)
		return FETCH_NOBODY;
	n = peers_candidates(svc->peers, peers,
		MIN_OF(svc->settings.max_peers, CANDIDATES_MAX));
	if (n == 0)
		return FETCH_NOBODY;
	*ret_fetch = fetch_new(c, segment, &key, n, peers);
	if (*ret_fetch != NULL)
		return FETCH_WAIT;
	while (n > 0)
		peer_unref(peers[--n]);
	return FETCH_NO_MEMORY;
}

static bool
waited_for(const struct fetch_block *b)
{
	return !TAILQ_EMPTY(&b->source.waiters);
}

static bool
wanted(const struct fetch *f)
{
	const struct fetch_block *b;

	TAILQ_FOREACH (b, &f->blocks, link)
		if (waited_for(b) || (b->ahead && !f->content->closed))
			return true;
	return false;
}

static void
give_up_requests(struct fetch *f)
{
	struct fetch_request *q;

	TAILQ_FOREACH (q, &f->requests, link) {
		if (q->given_up || q->block->state != BLOCK_ASKING)
			continue;
		q->given_up = true;
		f->service->env->ops->peer_cancel(
			f->service->env->ctx, &q->peer);
	}
}

/* source->idle of a block. */
static void
block_idle(struct op_source *source)
{
	struct fetch_block *b =
		container_of(source, struct fetch_block, source);

	if (!b->fetch->stepping && !wanted(b->fetch))
		fetch_step(b->fetch);
}

static struct fetch_block *
block_get(struct fetch *f, uint32_t index)
{
	struct fetch_block *b = f->at[index];

	if (b != NULL)
		return b;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->fetch = f;
	b->index = index;
	op_source_init(&b->source, block_idle);
	TAILQ_INSERT_TAIL(&f->blocks, b, link);
	f->at[index] = b;
	return b;
}

/* Hands every waiter on. */
static void
block_tell(struct fetch_block *b, void (*tell)(struct op *))
{
	struct op *op;

	b->source.hold++;
	while ((op = TAILQ_FIRST(&b->source.waiters)) != NULL) {
		op_wait(op, NULL);
		tell(op);
	}
	b->source.hold--;
}

/* ... and forgets the block. */
static void
block_end(struct fetch_block *b, void (*tell)(struct op *))
{
	block_tell(b, tell);
	TAILQ_REMOVE(&b->fetch->blocks, b, link);
	b->fetch->at[b->index] = NULL;
	free(b);
}

static void
request_free(struct fetch_request *q)
{
	TAILQ_REMOVE(&q->fetch->requests, q, link);
	free(q->peer.data);
	free(q->plain);
	free(q);
}

static void
put_done(struct store_put *put)
{
	struct fetch_request *q = container_of(put, struct fetch_request, put);
	struct fetch *f = q->fetch;
	struct fetch_block *b = q->block;
	bool stored = q->ref.status == STORE_OK;

	f->service->busy--;
	request_free(q);
	f->stepping = true;
	block_end(b, stored ? content_read_arrived : content_read_lacking);
	f->stepping = false;
	fetch_step(f);
}

static void
insert(struct fetch_request *q)
{
	struct fetch *f = q->fetch;
	struct block_store *store = f->service->store;
	const struct pccrc_segment *seg = segment_of(f);

	content_ref_block(f->content, f->segment, q->block->index, &q->ref);
	q->stored = (struct store_block){
		.plain_len =
			pccrc_block_len(f->content->info, seg, q->block->index),
		.cipher_len = q->peer.data_len,
		.algo = q->peer.algo,
		.proved = seg->proved,
		.cipher = q->peer.data,
	};
	memcpy(q->stored.iv, q->peer.iv, sizeof(q->stored.iv));
	q->put = (struct store_put){
		.refs = &q->ref,
		.blocks = &q->stored,
		.n_refs = 1,
		.owner = f->content->owner,
		.done = put_done,
	};
	f->service->busy++;
	store->ops->put(store, &q->put);
}

static bool
has_hash(const struct fetch_request *q, struct bulk *bulk, uint32_t len)
{
	const struct pccrc_info *info = q->fetch->content->info;
	const uint8_t *want =
		pccrc_block_hash(info, segment_of(q->fetch), q->block->index);
	uint8_t digest[BULK_DIGEST_MAX];
	struct bulk_hash_job hash = {q->plain, len, digest};

	return bulk_hash(bulk, info->hash, &hash, 1) == 0 &&
		memcmp(digest, want, info->hash_size) == 0;
}

/* Decrypts to n bytes of plaintext, and perhaps padding. */
static bool
decrypt(const struct fetch_request *q, struct bulk *bulk, uint32_t n)
{
	return pccrr_decrypt(bulk, q->peer.algo, segment_of(q->fetch)->kp,
		q->fetch->content->info->hash_size, q->peer.iv, q->peer.data,
		q->peer.data_len, n, q->plain);
}

static bool
has_hash_at_all(const struct fetch_request *q, struct bulk *bulk)
{
	uint32_t most = q->peer.data_len;

	if (!decrypt(q, bulk, most))
		return false;
	for (uint32_t n = most; n > 0 && most - n <= 16; n--)
		if (has_hash(q, bulk, n))
			return true;
	return false;
}

static void
check_run(struct env_job *e, struct bulk *bulk)
{
	struct fetch_request *q =
		container_of(container_of(e, struct core_job, env),
			struct fetch_request, job);
	uint32_t len = pccrc_block_len(
		q->fetch->content->info, segment_of(q->fetch), q->block->index);

	if (decrypt(q, bulk, len) && has_hash(q, bulk, len))
		q->check = CHECK_GOOD;
	else if (has_hash_at_all(q, bulk))
		q->check = CHECK_OTHER_LENGTH;
	else
		q->check = CHECK_BAD;
}

static void
check_done(struct core_job *job, bool ran)
{
	struct fetch_request *q = container_of(job, struct fetch_request, job);
	struct fetch *f = q->fetch;
	struct candidate *cand = &f->candidates[q->candidate];

	if (ran && q->check == CHECK_GOOD) {
		f->service->counters.blocks_verified++;
		f->service->counters.peer_blocks++;
		f->service->counters.peer_bytes += q->peer.data_len;
		cand->peer->view.blocks++;
		cand->peer->view.bytes += q->peer.data_len;
		insert(q);
		return;
	}
	if (ran && q->check == CHECK_BAD) {
		f->service->counters.peer_bad++;
		cand->peer->view.bad++;
		cand->dropped = true;
		/* An unproved list may itself be the forgery. */
		if (segment_of(f)->proved)
			peer_strike(f->service->peers, cand->peer);
	}
	q->block->state = BLOCK_IDLE;
	request_free(q);
	fetch_step(f);
}

static bool
check_start(struct fetch_request *q)
{
	struct fetch *f = q->fetch;

	q->plain = malloc(q->peer.data_len);
	if (q->plain == NULL)
		return false;
	q->block->state = BLOCK_CHECKING;
	service_job(f->service, &q->job, check_run, check_done,
		f->content->session->identity.uid);
	return true;
}

/* Books an answer that brought no bytes. */
static void
book_failure(
	struct fetch *f, const struct fetch_request *q, struct candidate *cand)
{
	struct service_counters *c = &f->service->counters;
	struct peer_view *v = &cand->peer->view;

	switch (q->peer.status) {
	case ENV_PEER_OK:
		break;
	case ENV_PEER_EMPTY:
		c->peer_empty++;
		v->empty++;
		q->block->tried |= 1ull << q->candidate;
		break;
	case ENV_PEER_TIMEOUT:
		c->peer_timeouts++;
		v->timeouts++;
		if (++cand->timeouts >= TIMEOUTS_MOST)
			cand->dropped = true;
		break;
	case ENV_PEER_UNSUPPORTED:
	case ENV_PEER_REFUSED:
		c->peer_refused++;
		cand->dropped = true;
		break;
	case ENV_PEER_BAD:
		c->peer_bad++;
		v->bad++;
		cand->dropped = true;
		peer_strike(f->service->peers, cand->peer);
		break;
	}
}

static void
request_done(struct env_peer_request *req)
{
	struct fetch_request *q = container_of(req, struct fetch_request, peer);
	struct fetch *f = q->fetch;
	struct candidate *cand = &f->candidates[q->candidate];

	f->service->busy--;
	cand->busy = false;
	if (req->status == ENV_PEER_OK) {
		/* Good bytes are kept even when nobody waits any more. */
		q->block->tried |= 1ull << q->candidate;
		if (check_start(q)) {
			fetch_step(f);
			return;
		}
	} else if (!q->given_up) {
		book_failure(f, q, cand);
	}
	q->block->state = BLOCK_IDLE;
	request_free(q);
	fetch_step(f);
}

static bool
request_start(struct fetch *f, struct fetch_block *b, unsigned candidate)
{
	const struct pccrc_info *info = f->content->info;
	struct fetch_request *q = calloc(1, sizeof(*q));
	struct candidate *cand = &f->candidates[candidate];

	if (q == NULL)
		return false;
	q->fetch = f;
	q->block = b;
	q->candidate = candidate;
	q->peer.addr = cand->peer->view.addr;
	q->peer.id_len = f->key.id_len;
	memcpy(q->peer.id, f->key.id, f->key.id_len);
	q->peer.block = b->index;
	q->peer.max_data = pccrr_cipher_len(
		info->version == 1 ? PCCRC_BLOCK_SIZE : PCCRC_V2_SEGMENT_MAX);
	q->peer.timeout_ms = f->service->settings.request_timeout_ms;
	q->peer.done = request_done;
	TAILQ_INSERT_TAIL(&f->requests, q, link);
	cand->busy = true;
	b->state = BLOCK_ASKING;
	f->service->busy++;
	f->service->counters.peer_requests++;
	f->service->env->ops->peer_request(f->service->env->ctx, &q->peer);
	return true;
}

enum choice { CHOICE_NONE, CHOICE_LATER, CHOICE_FOUND };

static enum choice
choose(const struct fetch *f, const struct fetch_block *b,
	unsigned *ret_candidate)
{
	enum choice best = CHOICE_NONE;

	if (f->service->settings.policy.mode == MODE_LOCAL)
		return CHOICE_NONE;
	for (unsigned i = 0; i < f->n_candidates; i++) {
		const struct candidate *cand = &f->candidates[i];

		if (cand->dropped || b->tried & 1ull << i ||
			!peer_usable(f->service->peers, cand->peer))
			continue;
		if (!cand->busy) {
			*ret_candidate = i;
			return CHOICE_FOUND;
		}
		best = CHOICE_LATER;
	}
	return best;
}

static void
step_block(struct fetch *f, struct fetch_block *b)
{
	unsigned i = 0;
	enum choice choice = choose(f, b, &i);

	/* Out of memory is as good as nobody. */
	if (choice == CHOICE_NONE ||
		(choice == CHOICE_FOUND && !request_start(f, b, i)))
		block_end(b, content_read_lacking);
}

/* One pass over the idle blocks with, or without, waiters. */
static void
step_blocks(struct fetch *f, bool waited)
{
	struct fetch_block *b, *next;

	for (b = TAILQ_FIRST(&f->blocks); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (b->state == BLOCK_IDLE && waited_for(b) == waited)
			step_block(f, b);
	}
}

static bool
may_ask(const struct fetch *f)
{
	return f->service->status == SERVICE_AVAILABLE;
}

static void
fetch_end_unwanted(struct fetch *f)
{
	if (wanted(f))
		return;
	give_up_requests(f);
	if (TAILQ_EMPTY(&f->requests))
		fetch_free(f);
}

/* Telling waiters never leads back into a fetch at once: they ask the store
 * first, which answers later. */
static void
fetch_step(struct fetch *f)
{
	assert(!f->stepping);
	f->stepping = true;
	if (may_ask(f) && wanted(f)) {
		step_blocks(f, true);
		step_blocks(f, false);
	}
	f->stepping = false;
	fetch_end_unwanted(f);
}

/* One block has become wanted.  No other one can gain by that, as each idle
 * block was offered all that is free when it became so. */
static void
fetch_step_one(struct fetch *f, struct fetch_block *b)
{
	assert(!f->stepping);
	f->stepping = true;
	if (may_ask(f) && b->state == BLOCK_IDLE)
		step_block(f, b);
	f->stepping = false;
	fetch_end_unwanted(f);
}

enum fetch_answer
fetch_want(struct content *c, size_t segment, uint32_t block, struct op *op)
{
	enum fetch_answer answer;
	struct fetch_block *b;
	struct fetch *f;

	answer = fetch_get(c, segment, op == NULL, &f);
	if (answer != FETCH_WAIT)
		return answer;
	b = block_get(f, block);
	if (b == NULL) {
		fetch_end_unwanted(f);
		return FETCH_NO_MEMORY;
	}
	if (op != NULL)
		op_wait(op, &b->source);
	else
		b->ahead = true;
	fetch_step_one(f, b);
	return FETCH_WAIT;
}

static void
fetch_have_in(struct service *svc, const struct fetch_key *key, uint32_t block)
{
	struct fetch *f = fetch_find(svc, key);
	struct fetch_block *b = f != NULL ? f->at[block] : NULL;

	if (b == NULL)
		return;
	f->stepping = true;
	b->ahead = false;
	if (b->state == BLOCK_IDLE)
		block_end(b, content_read_arrived);
	else
		block_tell(b, content_read_arrived);
	f->stepping = false;
	fetch_step(f);
}

void
fetch_have(struct content *c, size_t segment, uint32_t block)
{
	struct service *svc = c->session->service;
	struct fetch_key key;

	if (svc->fetches == NULL)
		return;
	key_make(c, segment, &key);
	fetch_have_in(svc, &key, block);
	/* What one handle can prove serves those who wait elsewhere too, and
	 * the other way round, as far as their claims are equal. */
	key.alone = key.alone == NULL ? c : NULL;
	fetch_have_in(svc, &key, block);
}

bool
fetch_coming(struct content *c, size_t segment, uint32_t block)
{
	struct fetch_key key;
	struct fetch *f;

	key_make(c, segment, &key);
	f = fetch_find(c->session->service, &key);
	/* A block whose peers have all been asked is not there any more. */
	return f != NULL && f->at[block] != NULL;
}

void
fetch_stop_all(struct service *svc)
{
	struct fetch *f, *next;
	struct fetch_block *b;

	HASH_ITER(hh, svc->fetches, f, next)
	{
		TAILQ_FOREACH (b, &f->blocks, link)
			b->ahead = false;
		fetch_end_unwanted(f);
	}
}

void
fetch_free_all(struct service *svc)
{
	struct fetch *f, *next;

	HASH_ITER(hh, svc->fetches, f, next)
	fetch_free(f);
}

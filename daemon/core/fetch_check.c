/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks that have come are verified by workers, up to FETCH_BATCH of one
 * content by one job, because many hashes at once cost less than half of what
 * they cost one by one; and what is good goes into the store with one request.
 *
 * So a block waits for others, if others are to be expected: when the last one
 * before it came just now, and more are on the wire; and no longer than
 * BATCH_MS.
 *
 * They are decrypted into a buffer of the adds', which go from job to job: new
 * memory would have to be cleared by the kernel first.  What is stored is the
 * ciphertext as it came.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/fetch_kept.h"
#include "daemon/core/fetch_priv.h"

#define SLOT_ALIGN 64u
#define BATCH_MS   2u
#define JOBS_MOST  4u

struct batch {
	struct core_job job;
	struct content *content; /* reference */
	uint8_t *buffer;
	struct fetch_kept *kept; /* has the buffer, while it is stored */
	size_t n;
	struct fetch_request *requests[FETCH_BATCH];
	uint8_t *plain[FETCH_BATCH]; /* in buffer */
	struct store_put put;
	struct store_ref refs[FETCH_BATCH];
	struct store_block stored[FETCH_BATCH];
};

static void check_start(struct content *, bool few);

static uint32_t
plain_len(const struct fetch_request *q)
{
	return pccrc_block_len(q->fetch->content->info, fetch_segment(q->fetch),
		q->peer.block);
}

/* Decrypts to n bytes of plaintext, and perhaps padding. */
static bool
decrypt(const struct fetch_request *q, struct bulk *bulk, uint32_t n,
	uint8_t *plain)
{
	return pccrr_decrypt(bulk, q->peer.algo, fetch_segment(q->fetch)->kp,
		q->fetch->content->info->hash_size, q->peer.iv, q->peer.data,
		q->peer.data_len, n, plain);
}

static bool
is_hash(const struct fetch_request *q, const uint8_t *digest)
{
	const struct pccrc_info *info = q->fetch->content->info;

	return memcmp(digest,
		       pccrc_block_hash(
			       info, fetch_segment(q->fetch), q->peer.block),
		       info->hash_size) == 0;
}

/* At any length that the ciphertext may stand for. */
static bool
has_hash_at_all(
	const struct fetch_request *q, struct bulk *bulk, uint8_t *plain)
{
	const struct pccrc_info *info = q->fetch->content->info;
	uint32_t most = q->peer.data_len;
	uint8_t digest[BULK_DIGEST_MAX];

	if (!decrypt(q, bulk, most, plain))
		return false;
	for (uint32_t n = most; n > 0 && most - n <= 16; n--) {
		struct bulk_hash_job hash = {plain, n, digest};

		if (bulk_hash(bulk, info->hash, &hash, 1) == 0 &&
			is_hash(q, digest))
			return true;
	}
	return false;
}

/* Worker. */
static void
check_run(struct env_job *e, struct bulk *bulk)
{
	struct batch *b = container_of(
		container_of(e, struct core_job, env), struct batch, job);
	struct bulk_hash_job jobs[FETCH_BATCH];
	uint8_t digests[FETCH_BATCH][BULK_DIGEST_MAX];
	size_t n = 0, at = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct fetch_request *q = b->requests[i];

		q->check = FETCH_BAD;
		if (!decrypt(q, bulk, plain_len(q), b->plain[i]))
			continue;
		q->check = FETCH_GOOD;
		jobs[n] = (struct bulk_hash_job){
			b->plain[i], plain_len(q), digests[n]};
		n++;
	}
	if (n > 0 && bulk_hash(bulk, b->content->info->hash, jobs, n) < 0)
		memset(digests, 0, sizeof(digests));
	for (size_t i = 0; i < b->n; i++) {
		struct fetch_request *q = b->requests[i];

		if (q->check == FETCH_GOOD && !is_hash(q, digests[at++]))
			q->check = FETCH_BAD;
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->requests[i]->check == FETCH_BAD &&
			has_hash_at_all(b->requests[i], bulk, b->plain[i]))
			b->requests[i]->check = FETCH_OTHER_LENGTH;
}

/* The fetches of a batch are held from when its results are looked at until
 * all of them have been. */
static void
hold(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->requests[i]->fetch->hold++;
}

static void
release(struct fetch *const *fetches, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fetches[i]->hold--;
		fetch_touch(fetches[i]);
	}
}

static void
batch_free(struct batch *b)
{
	content_spare_give(b->content->session->service, b->buffer);
	content_unref(b->content);
	free(b);
}

static void
count_good(struct fetch_request *q)
{
	struct fetch *f = q->fetch;
	struct service_counters *c = &f->service->counters;
	struct peer *peer = q->candidate->peer;

	c->blocks_verified++;
	c->peer_blocks++;
	c->peer_bytes += q->peer.data_len;
	q->candidate->given++;
	peer_good(peer, q->peer.data_len);
	fetch_room(peer);
	fetch_friend_good(f->content, peer);
}

/* The end of one that was to be stored. */
static void
stored(struct fetch_request *q, bool well)
{
	struct fetch *f = q->fetch;
	uint32_t block = q->peer.block;

	if (well) {
		f->n_stored++;
		fetch_set_del(&f->lacking, block);
		ledger_block_from_peer(f->service->ledger, f->key.id,
			f->key.id_len, &q->candidate->peer->view.addr);
		fetch_block_end(f, block, content_read_arrived);
	} else {
		fetch_trouble(f, LEDGER_UNSTORED, q->candidate->peer);
		fetch_block_lacking(f, block);
	}
	fetch_request_free(q);
}

/* What is in the store now may be read from memory. */
static void
keep(struct batch *b)
{
	if (b->kept == NULL)
		return;
	for (size_t i = 0; i < b->n; i++) {
		const struct fetch_request *q = b->requests[i];

		if (b->refs[i].status == STORE_OK)
			fetch_kept_add(b->kept,
				fetch_segment(q->fetch)->start +
					(uint64_t)q->peer.block *
						PCCRC_BLOCK_SIZE,
				plain_len(q), b->plain[i]);
	}
	fetch_kept_list(TAKE_PTR(b->kept));
}

static void
put_done(struct store_put *put)
{
	struct batch *b = container_of(put, struct batch, put);
	struct service *svc = b->content->session->service;
	struct fetch *fetches[FETCH_BATCH];
	size_t n = b->n;

	svc->busy--;
	keep(b);
	hold(b);
	for (size_t i = 0; i < n; i++) {
		fetches[i] = b->requests[i]->fetch;
		stored(b->requests[i], b->refs[i].status == STORE_OK);
	}
	release(fetches, n);
	batch_free(b);
	fetch_go(svc);
}

static void
insert(struct batch *b)
{
	struct service *svc = b->content->session->service;
	const struct pccrc_info *info = b->content->info;

	for (size_t i = 0; i < b->n; i++) {
		const struct fetch_request *q = b->requests[i];
		struct store_block *s = &b->stored[i];

		content_ref_block(b->content, q->fetch->segment, q->peer.block,
			&b->refs[i]);
		*s = (struct store_block){
			.plain_len = plain_len(q),
			.cipher_len = q->peer.data_len,
			.algo = q->peer.algo,
			.proved = info->segments[q->fetch->segment].proved,
			.cipher = q->peer.data,
		};
		memcpy(s->iv, q->peer.iv, sizeof(s->iv));
	}
	b->put = (struct store_put){
		.refs = b->refs,
		.blocks = b->stored,
		.n_refs = b->n,
		.owner = b->content->owner,
		.done = put_done,
	};
	svc->busy++;
	svc->store->ops->put(svc->store, &b->put);
}

/* Sorts out what is not good. */
static void
judge(struct batch *b, bool ran)
{
	struct fetch *fetches[FETCH_BATCH];
	size_t n = b->n, good = 0;

	hold(b);
	for (size_t i = 0; i < n; i++) {
		struct fetch_request *q = b->requests[i];

		fetches[i] = q->fetch;
		if (ran && q->check == FETCH_GOOD) {
			count_good(q);
			b->plain[good] = b->plain[i];
			b->requests[good++] = q;
			continue;
		}
		if (ran && q->check == FETCH_BAD)
			fetch_wrong_bytes(q->candidate);
		fetch_request_free(q);
	}
	b->n = good;
	release(fetches, n);
}

static void
check_done(struct core_job *job, bool ran)
{
	struct batch *b = container_of(job, struct batch, job);
	struct service *svc = job->service;
	struct content *c = content_ref(b->content);

	c->fetching->n_checking--;
	judge(b, ran);
	if (b->n > 0)
		b->kept = fetch_kept_new(c, &b->buffer);
	content_spare_give(svc, TAKE_PTR(b->buffer));
	if (b->n > 0)
		insert(b);
	else
		batch_free(b);
	check_start(c, c->fetching->n_wire == 0);
	fetch_go(svc);
	content_unref(c);
}

/* Takes what fits into a buffer. */
static void
batch_fill(struct batch *b)
{
	struct fetch_content *fc = b->content->fetching;
	struct fetch_request *q;
	size_t at = 0;

	while (b->n < FETCH_BATCH && (q = TAILQ_FIRST(&fc->arrived)) != NULL) {
		size_t size = (q->peer.data_len + SLOT_ALIGN - 1) / SLOT_ALIGN *
			SLOT_ALIGN;

		if (at + size > CONTENT_SPARE_SIZE)
			break;
		TAILQ_REMOVE(&fc->arrived, q, link);
		fc->n_arrived--;
		b->requests[b->n] = q;
		b->plain[b->n++] = b->buffer + at;
		at += size;
	}
}

static bool
batch_start(struct content *c)
{
	struct service *svc = c->session->service;
	struct batch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return false;
	b->buffer = content_spare_take(svc);
	if (b->buffer == NULL) {
		free(b);
		return false;
	}
	b->content = content_ref(c);
	wheel_stop(&c->fetching->timer);
	batch_fill(b);
	assert(b->n > 0);
	c->fetching->n_checking++;
	service_job(
		svc, &b->job, check_run, check_done, c->session->identity.uid);
	return true;
}

/* No memory, and no job that would try it again when it ends. */
static void
arrived_drop(struct fetch_content *fc)
{
	struct fetch_request *q;

	while ((q = TAILQ_FIRST(&fc->arrived)) != NULL) {
		struct fetch *f = q->fetch;

		TAILQ_REMOVE(&fc->arrived, q, link);
		fc->n_arrived--;
		fetch_request_free(q);
		fetch_touch(f);
	}
}

/* few: also when there could be more of them in a job. */
static void
check_start(struct content *c, bool few)
{
	struct fetch_content *fc = c->fetching;

	while (fc->n_checking < JOBS_MOST && fc->n_arrived > 0 &&
		(few || fc->n_arrived >= FETCH_BATCH)) {
		if (batch_start(c))
			continue;
		if (fc->n_checking == 0)
			arrived_drop(fc);
		return;
	}
	if (fc->n_arrived > 0 && !wheel_running(&fc->timer))
		service_timer(c->session->service, &fc->timer, BATCH_MS);
}

static void
batch_timer(struct wheel_timer *t)
{
	struct fetch_content *fc = container_of(t, struct fetch_content, timer);

	check_start(fc->content, true);
	fetch_go(fc->content->session->service);
}

void
fetch_check_init(struct fetch_content *fc)
{
	TAILQ_INIT(&fc->arrived);
	fc->timer.fn = batch_timer;
}

void
fetch_check_rest(struct content *c)
{
	if (c->fetching->n_wire == 0)
		check_start(c, true);
}

void
fetch_check(struct fetch_request *q)
{
	struct content *c = q->fetch->content;
	struct fetch_content *fc = c->fetching;
	uint64_t now_ms = service_now_ms(c->session->service);
	bool alone = fc->n_arrived == 0 && now_ms - fc->arrived_ms > BATCH_MS;

	TAILQ_INSERT_TAIL(&fc->arrived, q, link);
	fc->n_arrived++;
	fc->arrived_ms = now_ms;
	check_start(c, alone || fc->n_wire == 0);
}

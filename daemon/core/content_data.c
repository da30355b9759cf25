/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AddData: bytes from elsewhere, at any offset and of any length, become
 * verified blocks in the cache.
 *
 * One slice is worked on at a time, in rounds of at most ROUND_BLOCKS blocks.
 * A round's job copies its blocks out of the client's memory, hashes the
 * copies, compares, and encrypts the good ones in place; these are then put
 * into the store.  Every byte is read once from where the client can change it,
 * and all that follows is done with one buffer that stays in the processor's
 * cache.
 * What the slice holds of a block only in part is staged: kept with the handle
 * until other adds fill the block, which then goes with the round of the slice
 * that made it whole.  So:
 *
 *	slice -> pieces staged, round(s) over whole blocks -> next slice ->
 *	... -> completion
 *
 * Bytes of blocks that the content information does not list cannot be verified
 * by this handle, ever; they are accepted and dropped.  Staged bytes are
 * bounded per handle, oldest first out; losing them costs a cache miss.  A
 * block is counted with no less than STAGE_LEAST, so that there are few of
 * them to look through, however small a hostile description makes them.
 *
 * An add whose operation has ended goes on with the round that it is in - what
 * was verified may stay - and is freed when that comes back.
 *
 * Large buffers go from round to round, and a few of them stay when there are
 * no adds, since new memory has to be cleared by the kernel first.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "daemon/core/content.h"
#include "daemon/core/fetch.h"
#include "daemon/core/ledger.h"

#define ROUND_BLOCKS 64
#define SLICE_MAX    (1024u * 1024u)
#define STAGED_MAX   (16u * 1024u * 1024u)
#define STAGE_LEAST  (32u * 1024u)
#define SLOT_ALIGN   64u
/* Of a round over a whole slice: each block with its padding, aligned. */
#define ROUND_ROOM    CONTENT_SPARE_SIZE
#define SPARE_LEAST   (256u * 1024u)
#define SPARES_MOST   8u
#define SPARES_IDLE   4u
#define PUTTING_EARLY 3u /* rounds that wait for the disk */

struct stage {
	TAILQ_ENTRY(stage) link;
	struct content_pos pos;
	uint32_t have;  /* bytes */
	uint64_t *bits; /* which bytes, one bit each */
	uint8_t *data;
};

struct data_block {
	struct content_pos pos;
	const uint8_t *from; /* the client's, or a stage's */
	uint8_t *bytes;      /* our copy, later its ciphertext */
	bool good;
};

/* A buffer that no round uses at the moment. */
struct data_spare {
	SLIST_ENTRY(data_spare) link;
};

struct data_add {
	struct content *content; /* reference */
	struct op *op;           /* NULL: ended */
	uint64_t op_id;
	struct slice_feed feed;
	uint64_t offset; /* of the whole add */
	bool busy;       /* a job or a put is out */
	bool bad;        /* a block was not what its hash promises */
	enum core_result fault;
	uint64_t counted; /* buffer bytes */

	/* The slice in work: content range [at, end). */
	const uint8_t *source; /* NULL: none */
	uint64_t start;        /* content offset of source */
	uint64_t at;
	uint64_t end;

	/* The round. */
	struct core_job job;
	int result;
	uint8_t *buffer;
	size_t buffer_size;
	uint32_t algo; /* the setting may change while the job runs */
	struct stage_list wholes; /* stages that some of the blocks are in */
	size_t n_blocks;
	struct data_block blocks[ROUND_BLOCKS];
	uint8_t iv[ROUND_BLOCKS][16];
	size_t n_put;
	struct store_put put;
	struct store_ref refs[ROUND_BLOCKS];
	struct store_block stored[ROUND_BLOCKS];
};

static void add_step(struct data_add *);

static uint32_t
stage_cost(const struct content_pos *pos)
{
	return MAX_OF(pos->len, STAGE_LEAST);
}

static void
stage_free(struct content *c, struct stage *st)
{
	quota_give(c->session->user, QUOTA_BUFFER_BYTES, stage_cost(&st->pos));
	free(st->bits);
	free(st->data);
	free(st);
}

static void
stage_unlink(struct content *c, struct stage *st)
{
	TAILQ_REMOVE(&c->stages, st, link);
	c->staged_bytes -= stage_cost(&st->pos);
}

void
content_stages_drop(struct content *c)
{
	struct stage *st;

	while ((st = TAILQ_FIRST(&c->stages)) != NULL) {
		stage_unlink(c, st);
		stage_free(c, st);
	}
}

static struct stage *
stage_find(struct content *c, const struct content_pos *pos)
{
	struct stage *st;

	TAILQ_FOREACH (st, &c->stages, link)
		if (st->pos.start == pos->start)
			return st;
	return NULL;
}

static struct stage *
stage_new(struct content *c, const struct content_pos *pos)
{
	uint32_t cost = stage_cost(pos);
	struct stage *st;

	while (c->staged_bytes + cost > STAGED_MAX &&
		(st = TAILQ_FIRST(&c->stages)) != NULL) {
		stage_unlink(c, st);
		stage_free(c, st);
	}
	if (!quota_take(c->session->user, QUOTA_BUFFER_BYTES, cost))
		return NULL;
	st = calloc(1, sizeof(*st));
	if (st == NULL) {
		quota_give(c->session->user, QUOTA_BUFFER_BYTES, cost);
		return NULL;
	}
	st->pos = *pos;
	st->data = malloc(pos->len);
	st->bits = calloc((pos->len + 63) / 64, sizeof(st->bits[0]));
	if (st->data == NULL || st->bits == NULL) {
		stage_free(c, st);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&c->stages, st, link);
	c->staged_bytes += cost;
	return st;
}

/* Marks bytes [from, to); how many were not marked yet. */
static uint32_t
mark(uint64_t *bits, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	while (from < to) {
		uint32_t skip = from % 64, len = MIN_OF(64 - skip, to - from);
		uint64_t mask = (UINT64_MAX >> (64 - len)) << skip;
		uint64_t fresh = mask & ~bits[from / 64];

		/* Mostly all are: the count is a call on old processors. */
		n += fresh == mask ? len
				   : (uint32_t)__builtin_popcountll(fresh);
		bits[from / 64] |= mask;
		from += len;
	}
	return n;
}

/* Keeps the slice's bytes [from, to) of a block.  The stage, taken out of the
 * list, when that made it whole. */
static struct stage *
stage_piece(struct data_add *a, const struct content_pos *pos, uint64_t from,
	uint64_t to)
{
	struct content *c = a->content;
	struct stage *st = stage_find(c, pos);
	uint32_t skip = (uint32_t)(from - pos->start);
	uint32_t len = (uint32_t)(to - from);

	if (st == NULL)
		st = stage_new(c, pos);
	if (st == NULL)
		return NULL;
	memcpy(st->data + skip, a->source + (from - a->start), len);
	st->have += mark(st->bits, skip, skip + len);
	if (st->have < pos->len)
		return NULL;
	stage_unlink(c, st);
	return st;
}

static void
wholes_free(struct data_add *a)
{
	struct stage *st;

	while ((st = TAILQ_FIRST(&a->wholes)) != NULL) {
		TAILQ_REMOVE(&a->wholes, st, link);
		stage_free(a->content, st);
	}
}

/* Nothing more is to be read from it. */
static void
slice_end(struct data_add *a)
{
	a->source = NULL;
	slice_release(&a->feed, a->content->session, a->op_id);
}

static size_t
slot_size(const struct data_block *b)
{
	size_t n = pccrr_cipher_len(b->pos.len);

	return (n + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static struct data_spare *
spare_reuse(struct service *svc)
{
	struct data_spare *spare = SLIST_FIRST(&svc->spares);

	if (spare != NULL) {
		SLIST_REMOVE_HEAD(&svc->spares, link);
		svc->n_spares--;
	}
	return spare;
}

static void
spares_limit(struct service *svc)
{
	while (svc->n_spares >
		(svc->n_adds + svc->n_kept > 0 ? SPARES_MOST : SPARES_IDLE))
		free(spare_reuse(svc));
}

void
content_spares_free(struct service *svc)
{
	while (svc->n_spares > 0)
		free(spare_reuse(svc));
}

uint8_t *
content_spare_take(struct service *svc)
{
	struct data_spare *spare = spare_reuse(svc);

	return spare != NULL ? (uint8_t *)spare : malloc(CONTENT_SPARE_SIZE);
}

void
content_spare_give(struct service *svc, uint8_t *buffer)
{
	struct data_spare *spare = (struct data_spare *)(void *)buffer;

	if (buffer == NULL)
		return;
	SLIST_INSERT_HEAD(&svc->spares, spare, link);
	svc->n_spares++;
	spares_limit(svc);
}

static bool
buffer_take(struct data_add *a, size_t size)
{
	if (size >= SPARE_LEAST && size <= ROUND_ROOM) {
		size = ROUND_ROOM;
		a->buffer = content_spare_take(a->content->session->service);
	} else {
		a->buffer = malloc(size);
	}
	a->buffer_size = size;
	return a->buffer != NULL;
}

static void
buffer_give(struct data_add *a)
{
	uint8_t *buffer = TAKE_PTR(a->buffer);

	if (a->buffer_size == ROUND_ROOM)
		content_spare_give(a->content->session->service, buffer);
	else
		free(buffer);
}

static void
add_free(struct data_add *a)
{
	assert(!a->busy);
	slice_done(&a->feed, a->content->session, a->op_id);
	quota_give(a->content->session->user, QUOTA_BUFFER_BYTES, a->counted);
	wholes_free(a);
	buffer_give(a);
	a->content->session->service->n_adds--;
	spares_limit(a->content->session->service);
	content_unref(a->content);
	free(a);
}

void
content_data_forget(struct op *op)
{
	struct data_add *a = op->u.state;

	a->op = NULL;
	if (!a->busy)
		add_free(a);
}

/* The result of the whole add. */
static void
add_end(struct data_add *a)
{
	struct op_result result = {.status = a->fault};

	if (result.status == CORE_OK && a->bad)
		result.status = CORE_E_BAD_DATA;
	if (result.status == CORE_OK)
		result.bytes = a->feed.total;
	op_finish(a->op, &result);
}

static int
hash_round(struct data_add *a, struct bulk *bulk)
{
	const struct pccrc_info *info = a->content->info;
	struct bulk_hash_job jobs[ROUND_BLOCKS];
	uint8_t digests[ROUND_BLOCKS][BULK_DIGEST_MAX];
	int r;

	for (size_t i = 0; i < a->n_blocks; i++)
		jobs[i] = (struct bulk_hash_job){
			.data = a->blocks[i].bytes,
			.len = a->blocks[i].pos.len,
			.digest = digests[i],
		};
	r = bulk_hash(bulk, info->hash, jobs, a->n_blocks);
	if (r < 0)
		return r;
	for (size_t i = 0; i < a->n_blocks; i++) {
		struct data_block *b = &a->blocks[i];

		b->good = memcmp(digests[i],
				  pccrc_block_hash(info,
					  &info->segments[b->pos.segment],
					  b->pos.block),
				  info->hash_size) == 0;
	}
	return 0;
}

static int
encrypt_round(struct data_add *a, struct bulk *bulk)
{
	const struct pccrc_info *info = a->content->info;
	size_t key_len = pccrr_key_len(a->algo);
	struct bulk_encrypt_job jobs[ROUND_BLOCKS];
	size_t n = 0;

	for (size_t i = 0; i < a->n_blocks; i++) {
		struct data_block *b = &a->blocks[i];

		if (!b->good)
			explicit_bzero(b->bytes, b->pos.len);
		else
			jobs[n++] = (struct bulk_encrypt_job){
				.src = b->bytes,
				.len = b->pos.len,
				.dst = b->bytes,
				.key = info->segments[b->pos.segment].kp,
				.iv = a->iv[i],
			};
	}
	return n > 0 ? bulk_encrypt(bulk, key_len, jobs, n) : 0;
}

static void
round_run(struct env_job *e, struct bulk *bulk)
{
	struct data_add *a = container_of(
		container_of(e, struct core_job, env), struct data_add, job);

	for (size_t i = 0; i < a->n_blocks; i++)
		memcpy(a->blocks[i].bytes, a->blocks[i].from,
			a->blocks[i].pos.len);
	a->result = hash_round(a, bulk);
	if (a->result == 0)
		a->result = encrypt_round(a, bulk);
}

/* A round is over: on, or away when nobody is left. */
static void
round_end(struct data_add *a)
{
	a->busy = false;
	buffer_give(a);
	wholes_free(a);
	if (a->op == NULL)
		add_free(a);
	else
		add_step(a);
}

static void
block_put(struct content *c, const struct content_pos *pos, bool well)
{
	if (well)
		ledger_block_from_application(c->session->service->ledger,
			content_segment_id(c, pos->segment),
			c->info->hash_size);
	fetch_have(c, pos->segment, pos->block);
}

static void
round_put_done(struct store_put *put)
{
	struct data_add *a = container_of(put, struct data_add, put);

	a->content->session->service->busy--;
	a->content->n_putting--;
	for (size_t i = 0; i < a->n_put; i++)
		if (a->fault == CORE_OK)
			a->fault = service_store_result(a->refs[i].status);
	for (size_t i = 0, k = 0; i < a->n_blocks; i++)
		if (a->blocks[i].good)
			block_put(a->content, &a->blocks[i].pos,
				a->refs[k++].status == STORE_OK);
	round_end(a);
}

/* Puts the good blocks. */
static void
round_put(struct data_add *a)
{
	struct service *svc = a->content->session->service;
	const struct pccrc_info *info = a->content->info;

	a->n_put = 0;
	for (size_t i = 0; i < a->n_blocks; i++) {
		struct data_block *b = &a->blocks[i];
		struct store_block *s = &a->stored[a->n_put];

		if (!b->good)
			continue;
		content_ref_block(a->content, b->pos.segment, b->pos.block,
			&a->refs[a->n_put]);
		*s = (struct store_block){
			.plain_len = b->pos.len,
			.cipher_len = pccrr_cipher_len(b->pos.len),
			.algo = a->algo,
			.proved = info->segments[b->pos.segment].proved,
			.cipher = b->bytes,
		};
		memcpy(s->iv, a->iv[i], sizeof(s->iv));
		a->n_put++;
		svc->counters.bytes_added += b->pos.len;
	}
	a->put = (struct store_put){
		.refs = a->refs,
		.blocks = a->stored,
		.n_refs = a->n_put,
		.owner = a->content->owner,
		.done = round_put_done,
	};
	svc->busy++;
	a->content->n_putting++;
	svc->store->ops->put(svc->store, &a->put);
}

static void
round_done(struct core_job *job, bool ran)
{
	struct data_add *a = container_of(job, struct data_add, job);
	struct service_counters *c = &job->service->counters;

	/* The client may have it back before the disk has it, unless the disk
	 * is behind: more rounds would only drive each other out of the
	 * cache. */
	if (a->at == a->end && a->content->n_putting < PUTTING_EARLY)
		slice_end(a);
	if (!ran || a->result < 0) {
		a->fault = ran ? CORE_E_NO_MEMORY : CORE_E_ABORTED;
		round_end(a);
		return;
	}
	for (size_t i = 0; i < a->n_blocks; i++) {
		if (a->blocks[i].good) {
			c->blocks_verified++;
		} else {
			c->blocks_bad_from_clients++;
			a->bad = true;
		}
	}
	round_put(a);
}

static void
round_block(
	struct data_add *a, const struct content_pos *pos, const uint8_t *from)
{
	a->blocks[a->n_blocks++] = (struct data_block){
		.pos = *pos,
		.from = from,
	};
}

/* Memory and random numbers for the blocks collected, then off to a worker. */
static bool
round_start(struct data_add *a)
{
	struct service *svc = a->content->session->service;
	size_t size = 0, at = 0;

	for (size_t i = 0; i < a->n_blocks; i++)
		size += slot_size(&a->blocks[i]);
	if (!buffer_take(a, size))
		return false;
	for (size_t i = 0; i < a->n_blocks; i++) {
		a->blocks[i].bytes = a->buffer + at;
		at += slot_size(&a->blocks[i]);
	}
	svc->env->ops->random(
		svc->env->ctx, a->iv, a->n_blocks * sizeof(a->iv[0]));
	a->algo = svc->settings.encryption;
	a->busy = true;
	service_job(svc, &a->job, round_run, round_done,
		a->content->session->identity.uid);
	return true;
}

/* What is there of the block at pos, at least a piece of it. */
static void
take_block(struct data_add *a, const struct content_pos *pos)
{
	uint64_t to = MIN_OF(a->end, pos->start + pos->len);
	struct stage *st;

	if (pos->start == a->at && pos->start + pos->len == to) {
		round_block(a, pos, a->source + (a->at - a->start));
	} else {
		st = stage_piece(a, pos, a->at, to);
		if (st != NULL) {
			TAILQ_INSERT_TAIL(&a->wholes, st, link);
			round_block(a, pos, st->data);
		}
	}
}

/* The next blocks of [at, end) that are whole now. */
static void
collect(struct data_add *a)
{
	struct content_pos pos;

	a->n_blocks = 0;
	while (a->at < a->end && a->n_blocks < ROUND_BLOCKS) {
		if (!content_locate(a->content, a->at, &pos)) {
			a->at = a->end;
			break;
		}
		if (pos.listed)
			take_block(a, &pos);
		a->at = MIN_OF(a->end, pos.start + pos.len);
	}
}

/* Begins with the slice that is present: the part of it that the content
 * information covers. */
static void
slice_begin(struct data_add *a)
{
	const struct pccrc_info *info = a->content->info;
	const struct pccrc_segment *first = &info->segments[0];
	const struct pccrc_segment *last =
		&info->segments[info->n_segments - 1];
	uint64_t end;

	a->start = a->offset + a->feed.received - a->feed.len;
	end = a->start + a->feed.len;
	a->at = MIN_OF(MAX_OF(a->start, first->start), end);
	a->end = MAX_OF(MIN_OF(end, last->start + last->len), a->at);
	a->source = slice_bytes(&a->feed, a->content->session);
}

static void
add_step(struct data_add *a)
{
	if (a->fault == CORE_OK && a->feed.present) {
		if (a->source == NULL)
			slice_begin(a);
		collect(a);
		if (a->n_blocks > 0 && round_start(a))
			return;
		if (a->n_blocks > 0)
			a->fault = CORE_E_NO_MEMORY;
		slice_end(a);
	}
	if (a->fault != CORE_OK ||
		!slice_want(&a->feed, a->content->session, a->op_id))
		add_end(a);
}

/* The content ends where a last segment that is shorter than a full one ends;
 * only then is an offset provably beyond. */
static bool
beyond_end(const struct content *c, uint64_t offset)
{
	const struct pccrc_info *info = c->info;
	const struct pccrc_segment *last =
		&info->segments[info->n_segments - 1];

	return info->reaches_end && offset >= last->start + last->len;
}

static enum core_result
data_new(struct content *c, uint64_t offset, uint32_t total,
	const struct session_slice *slice, struct data_add **ret_add)
{
	uint64_t cost = sizeof(struct data_add) + MIN_OF(total, SLICE_MAX) +
		(ROUND_ROOM - SLICE_MAX);
	struct data_add *a;
	enum core_result r;

	if (!quota_take(c->session->user, QUOTA_BUFFER_BYTES, cost))
		return CORE_E_NO_RESOURCES;
	a = calloc(1, sizeof(*a));
	if (a == NULL) {
		quota_give(c->session->user, QUOTA_BUFFER_BYTES, cost);
		return CORE_E_NO_MEMORY;
	}
	a->content = content_ref(c);
	TAILQ_INIT(&a->wholes);
	c->session->service->n_adds++;
	a->offset = offset;
	a->counted = cost;
	r = slice_init(&a->feed, c->session, total, slice);
	if (r != CORE_OK) {
		add_free(a);
		return r;
	}
	*ret_add = a;
	return CORE_OK;
}

enum core_result
content_data_add(struct handle *h, uint64_t id, uint64_t offset, uint32_t total,
	const struct session_slice *slice)
{
	struct content *c = content_of_handle(h);
	enum core_result r = content_check_ready(c);
	struct data_add *a;

	if (r != CORE_OK)
		return r;
	if (offset > UINT64_MAX - total)
		return CORE_E_BAD_PARAMETER;
	r = data_new(c, offset, total, slice, &a);
	if (r != CORE_OK)
		return r;
	r = session_op_start(c->session, &h->scope, id, OP_DATA_ADD, &a->op);
	if (r != CORE_OK) {
		slice_refuse(&a->feed, c->session);
		add_free(a);
		return r;
	}
	a->op_id = id;
	a->op->u.state = a;
	if (beyond_end(c, offset))
		a->fault = CORE_E_OUT_OF_BOUNDS;
	add_step(a);
	return CORE_OK;
}

enum core_result
content_data_feed(struct op *op, const struct session_slice *slice)
{
	struct data_add *a = op->u.state;
	enum core_result r = slice_next(&a->feed, a->content->session, slice);

	if (r == CORE_E_NO_MEMORY) {
		a->fault = r;
		r = CORE_OK;
	}
	if (r == CORE_OK)
		add_step(a);
	return r;
}

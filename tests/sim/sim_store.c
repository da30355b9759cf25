/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	pool     segments by id; each has its blocks by index, and a number
 *	store    of one host: for each number a set of bits, and when the
 *	         first was put
 *
 * Only proved blocks with a cipher, of which there is one with a given index;
 * others are taken for an error of the caller.
 */
#include "tests/sim/sim_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/store/record.h"
#include "tests/sim/clock.h"

#define BLOCKS_MAX 512u

struct pool_block {
	uint8_t claim[STORE_CLAIM_SIZE];
	struct store_block block;
	uint8_t cipher[]; /* and its wire tail */
};

struct pool_segment {
	UT_hash_handle hh;
	uint8_t id[STORE_ID_MAX];
	size_t id_len;
	size_t number;
	struct pool_block *blocks[BLOCKS_MAX];
};

struct sim_pool {
	struct pool_segment *segments;
	size_t n_segments;
};

/* Of one segment on one host. */
struct presence {
	uint64_t blocks[BLOCKS_MAX / 64];
	uint64_t born_s; /* since 1970 */
};

struct sim_store {
	struct block_store base;
	struct sim_pool *pool;
	const struct env *env;
	size_t n; /* of presence */
	struct presence *presence;
	size_t n_blocks;
	size_t n_lent;
};

/* What lies in a request's store_private. */
struct sim_job {
	struct env_job job;
	struct sim_store *store;
};

_Static_assert(sizeof(struct sim_job) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for its job");

#define REQUEST_OF(job, type) \
	((struct type *)container_of( \
		(void **)(void *)(job), struct type, store_private))

/* The pool. */

struct sim_pool *
sim_pool_new(void)
{
	return sim_alloc(sizeof(struct sim_pool));
}

struct sim_pool *
sim_pool_free(struct sim_pool *pool)
{
	struct pool_segment *seg, *next;

	HASH_ITER(hh, pool->segments, seg, next)
	{
		HASH_DEL(pool->segments, seg);
		for (size_t i = 0; i < BLOCKS_MAX; i++)
			free(seg->blocks[i]);
		free(seg);
	}
	free(pool);
	return NULL;
}

static struct pool_segment *
pool_find(const struct sim_pool *pool, const uint8_t *id, size_t id_len)
{
	struct pool_segment *seg;

	HASH_FIND(hh, pool->segments, id, id_len, seg);
	return seg;
}

static struct pool_segment *
pool_get(struct sim_pool *pool, const uint8_t *id, size_t id_len)
{
	struct pool_segment *seg = pool_find(pool, id, id_len);

	if (seg != NULL)
		return seg;
	seg = sim_alloc(sizeof(*seg));
	memcpy(seg->id, id, id_len);
	seg->id_len = id_len;
	seg->number = pool->n_segments++;
	HASH_ADD(hh, pool->segments, id, seg->id_len, seg);
	return seg;
}

static struct pool_block *
pool_block_new(const struct store_ref *ref, const struct store_block *block)
{
	struct pool_block *b =
		sim_alloc(sizeof(*b) + block->cipher_len + RECORD_TAIL_MAX);

	memcpy(b->claim, ref->claim, sizeof(b->claim));
	b->block = *block;
	b->block.cipher = b->cipher;
	memcpy(b->cipher, block->cipher, block->cipher_len);
	record_tail(b->cipher + block->cipher_len, block->algo, block->iv);
	return b;
}

/* One host's. */

static struct sim_store *
store_of(const struct block_store *base)
{
	return container_of(base, struct sim_store, base);
}

static bool
has(const struct sim_store *s, const struct pool_segment *seg, uint32_t index)
{
	return seg != NULL && seg->number < s->n && index < BLOCKS_MAX &&
		(s->presence[seg->number].blocks[index / 64] >> index % 64 &
			1) != 0;
}

static const struct pool_block *
find(const struct sim_store *s, const struct store_ref *ref)
{
	const struct pool_segment *seg =
		pool_find(s->pool, ref->id, ref->id_len);

	if (!has(s, seg, ref->index))
		return NULL;
	if (!ref->any &&
		memcmp(seg->blocks[ref->index]->claim, ref->claim,
			STORE_CLAIM_SIZE) != 0)
		return NULL;
	return seg->blocks[ref->index];
}

static void
mark(struct sim_store *s, const struct pool_segment *seg, uint32_t index)
{
	struct presence *p;

	if (seg->number >= s->n) {
		size_t n = seg->number + 1;

		s->presence =
			sim_resize(s->presence, n * sizeof(s->presence[0]));
		memset(&s->presence[s->n], 0,
			(n - s->n) * sizeof(s->presence[0]));
		s->n = n;
	}
	if (has(s, seg, index))
		return;
	p = &s->presence[seg->number];
	if (p->born_s == 0)
		p->born_s = s->env->ops->wall_ms(s->env->ctx) / 1000;
	p->blocks[index / 64] |= UINT64_C(1) << index % 64;
	s->n_blocks++;
}

static void
put_one(struct sim_store *s, const struct store_ref *ref,
	const struct store_block *block)
{
	struct pool_segment *seg = pool_get(s->pool, ref->id, ref->id_len);
	struct pool_block **b = &seg->blocks[ref->index];

	assert(block->proved && block->algo != PCCRR_NONE);
	if (*b == NULL)
		*b = pool_block_new(ref, block);
	assert(memcmp((*b)->claim, ref->claim, STORE_CLAIM_SIZE) == 0);
	assert((*b)->block.cipher_len == block->cipher_len);
	mark(s, seg, ref->index);
}

/* Requests. */

static void
defer(struct block_store *base, void *store_private, uint32_t uid,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct env_job *, bool ran))
{
	struct sim_store *s = store_of(base);
	struct sim_job *q = store_private;

	*q = (struct sim_job){
		.job = {.run = run, .done = done, .uid = uid},
		.store = s,
	};
	s->env->ops->job(s->env->ctx, &q->job);
}

static struct sim_store *
store_of_job(struct env_job *job)
{
	return container_of(job, struct sim_job, job)->store;
}

static void
lookup_done(struct env_job *job, bool ran)
{
	struct store_lookup *l = REQUEST_OF(job, store_lookup);

	for (size_t i = 0; i < l->n_refs; i++)
		l->refs[i].status = find(store_of_job(job), &l->refs[i]) != NULL
			? STORE_OK
			: STORE_MISSING;
	l->done(l);
}

static void
sim_lookup(struct block_store *base, struct store_lookup *l)
{
	defer(base, l->store_private, 0, NULL, lookup_done);
}

static void
get_run(struct env_job *job, struct bulk *bulk)
{
	struct store_get *g = REQUEST_OF(job, store_get);

	for (size_t i = 0; i < g->n_refs; i++) {
		const struct pool_block *b =
			find(store_of_job(job), &g->refs[i]);

		if (b == NULL)
			g->refs[i].status = STORE_MISSING;
		else if (!g->consume(g, i, &b->block, bulk))
			g->refs[i].status = STORE_ROTTEN;
		else
			g->refs[i].status = STORE_OK;
	}
}

static void
get_done(struct env_job *job, bool ran)
{
	struct store_get *g = REQUEST_OF(job, store_get);

	for (size_t i = 0; !ran && i < g->n_refs; i++)
		g->refs[i].status = STORE_MISSING;
	g->done(g);
}

static void
sim_get(struct block_store *base, struct store_get *g)
{
	defer(base, g->store_private, g->uid, get_run, get_done);
}

static void
put_done(struct env_job *job, bool ran)
{
	struct store_put *p = REQUEST_OF(job, store_put);

	for (size_t i = 0; i < p->n_refs; i++) {
		put_one(store_of_job(job), &p->refs[i], &p->blocks[i]);
		p->refs[i].status = STORE_OK;
	}
	p->done(p);
}

static void
sim_put(struct block_store *base, struct store_put *p)
{
	defer(base, p->store_private, p->owner.uid, NULL, put_done);
}

/* Of all things that nobody here does. */
static void
flush_done(struct env_job *job, bool ran)
{
	struct store_flush *f = REQUEST_OF(job, store_flush);

	f->status = STORE_IO;
	f->done(f);
}

static void
sim_flush(struct block_store *base, struct store_flush *f)
{
	defer(base, f->store_private, f->owner.uid, NULL, flush_done);
}

static void
list_done(struct env_job *job, bool ran)
{
	struct store_list *l = REQUEST_OF(job, store_list);

	l->n_rows = 0;
	l->more = false;
	l->status = STORE_IO;
	l->done(l);
}

static void
sim_list(struct block_store *base, struct store_list *l)
{
	defer(base, l->store_private, 0, NULL, list_done);
}

static void
verify_done(struct env_job *job, bool ran)
{
	struct store_verify *v = REQUEST_OF(job, store_verify);

	v->status = STORE_IO;
	v->done(v);
}

static void
sim_verify(struct block_store *base, struct store_verify *v)
{
	defer(base, v->store_private, 0, NULL, verify_done);
}

/* Nothing here is ever rotten. */
static void
sim_drop(struct block_store *base, const struct store_ref *ref)
{
	abort();
}

static void
sim_held(struct block_store *base, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	const struct sim_store *s = store_of(base);
	const struct pool_segment *seg = pool_find(s->pool, id, id_len);

	*ret = (struct store_held){0};
	if (seg == NULL || seg->number >= s->n)
		return;
	memcpy(ret->blocks, s->presence[seg->number].blocks,
		sizeof(ret->blocks));
	for (size_t i = 0; i < ARRAY_LEN(ret->blocks); i++)
		ret->n_blocks += (uint32_t)__builtin_popcountll(ret->blocks[i]);
	ret->born_s = s->presence[seg->number].born_s;
}

static enum store_status
sim_lend(struct block_store *base, const uint8_t *id, size_t id_len,
	uint32_t index, struct store_loan *ret)
{
	struct sim_store *s = store_of(base);
	const struct pool_segment *seg = pool_find(s->pool, id, id_len);
	struct pool_block *b;

	if (!has(s, seg, index))
		return STORE_MISSING;
	b = seg->blocks[index];
	s->n_lent++;
	*ret = (struct store_loan){
		.fd = -1,
		.bytes = b->cipher,
		.cipher_len = b->block.cipher_len,
		.tail_len = record_tail_len(b->block.algo),
		.algo = b->block.algo,
		.store_private = {b},
	};
	return STORE_OK;
}

static void
sim_give_back(struct block_store *base, struct store_loan *loan)
{
	struct sim_store *s = store_of(base);

	assert(s->n_lent > 0);
	s->n_lent--;
	*loan = (struct store_loan){.fd = -1};
}

static void
sim_stats(struct block_store *base, struct store_stats *ret)
{
	*ret = (struct store_stats){.blocks = store_of(base)->n_blocks};
}

static void
sim_limit(struct block_store *base, uint64_t limit)
{
}

static struct block_store *
sim_close(struct block_store *base)
{
	struct sim_store *s = store_of(base);

	assert(s->n_lent == 0);
	free(s->presence);
	free(s);
	return NULL;
}

static const struct block_store_ops sim_ops = {
	.lookup = sim_lookup,
	.get = sim_get,
	.put = sim_put,
	.flush = sim_flush,
	.drop = sim_drop,
	.clear = sim_flush,
	.list = sim_list,
	.verify = sim_verify,
	.held = sim_held,
	.lend = sim_lend,
	.give_back = sim_give_back,
	.stats = sim_stats,
	.set_limit = sim_limit,
	.set_max_age = sim_limit,
	.close = sim_close,
};

struct block_store *
sim_store_new(struct sim_pool *pool, const struct env *env)
{
	struct sim_store *s = sim_alloc(sizeof(*s));

	s->base.ops = &sim_ops;
	s->pool = pool;
	s->env = env;
	return &s->base;
}

size_t
sim_store_lent(const struct block_store *base)
{
	return store_of(base)->n_lent;
}

size_t
sim_store_blocks(const struct block_store *base)
{
	return store_of(base)->n_blocks;
}

struct sim_lent
sim_store_lent_bytes(const struct store_loan *loan)
{
	const struct pool_block *b = loan->store_private[0];

	return (struct sim_lent){
		.bytes = b->cipher,
		.len = b->block.cipher_len,
		.algo = b->block.algo,
		.iv = b->block.iv,
	};
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block store in memory.
 *
 *   segment   by id, in a hash table
 *   entry     one block of a segment: index, claim, ciphertext, owners
 *   owner     a user's tag, in a hash table; a link for each of its entries, so
 *             that a flush costs what it removes and no more
 *
 * Entries of a segment lie in an array sorted by index; variants of one block
 * (equal index, different claims) are neighbours.  All entries are on one list
 * in order of last use, which is what goes when the limit is passed.  That is
 * a limit of memory, records included, lest tiny blocks take many times more.
 *
 * Answers are given through jobs: of nothing for most requests, of real work
 * for get, whose consume runs on a worker.  While it does, and while a block is
 * lent, the entry is held, and an eviction only takes it out of the tables.
 */
#include "daemon/store/store_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/store/record.h"

/* Of a struct store_held. */
#define HELD_WORDS ARRAY_LEN(((struct store_held *)0)->blocks)

/* Of the records of an entry, and malloc's share. */
#define ENTRY_COST 512u
/* An entry has this many owners at most; then the oldest is forgotten. */
#define OWNERS_MOST 64

struct owner {
	UT_hash_handle hh;
	struct store_owner who;
	LIST_HEAD(, owner_link) links;
};

struct owner_link {
	LIST_ENTRY(owner_link) of_owner;
	TAILQ_ENTRY(owner_link) of_entry;
	struct owner *owner;
	struct entry *entry;
};

struct entry {
	unsigned refs;           /* the tables', each get's and loan's */
	struct segment *segment; /* NULL: taken out */
	TAILQ_ENTRY(entry) lru;
	uint32_t index;
	uint8_t claim[STORE_CLAIM_SIZE];
	unsigned n_owners;
	TAILQ_HEAD(, owner_link) owners; /* oldest first */
	uint64_t used;                   /* when last, in uses */
	uint64_t born_s;                 /* by env's clock */
	struct store_block block;
	uint8_t cipher[]; /* and its wire tail */
};

TAILQ_HEAD(entry_list, entry);

struct segment {
	UT_hash_handle hh;
	uint8_t id[STORE_ID_MAX];
	size_t id_len;
	size_t n;
	size_t cap;
	struct entry **entries;
};

struct store_mem {
	struct block_store base;
	const struct env *env;
	struct segment *segments;
	struct owner *owners;
	struct entry_list lru; /* first: longest unused */
	uint64_t uses;
	uint64_t memory;
	uint64_t max_age_s;
	size_t n_lent;
	struct store_stats stats;
};

/* What lies in a request's store_private. */
struct mem_job {
	struct env_job job;
	struct store_mem *store;
};

_Static_assert(sizeof(struct mem_job) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for its job");

static struct store_mem *
mem_of(struct block_store *s)
{
	return container_of(s, struct store_mem, base);
}

static void
entry_unref(struct entry *e)
{
	if (--e->refs == 0)
		free(e);
}

static uint64_t
now_s(const struct store_mem *m)
{
	return m->env->ops->now_ms(m->env->ctx) / 1000;
}

/* A moment of now_s() as one since 1970. */
static uint64_t
wall_of(const struct store_mem *m, uint64_t s)
{
	uint64_t wall = m->env->ops->wall_ms(m->env->ctx) / 1000;
	uint64_t age = now_s(m) - s;

	return wall - MIN_OF(wall, age);
}

static struct segment *
segment_find(struct store_mem *m, const struct store_ref *ref)
{
	struct segment *seg;

	HASH_FIND(hh, m->segments, ref->id, ref->id_len, seg);
	return seg;
}

/* Position of the first entry whose index is not below index. */
static size_t
lower_bound(const struct segment *seg, uint32_t index)
{
	size_t lo = 0, hi = seg->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (seg->entries[mid]->index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct entry *
entry_find(struct store_mem *m, const struct store_ref *ref)
{
	struct segment *seg = segment_find(m, ref);

	if (seg == NULL)
		return NULL;
	for (size_t i = lower_bound(seg, ref->index);
		i < seg->n && seg->entries[i]->index == ref->index; i++)
		if (memcmp(seg->entries[i]->claim, ref->claim,
			    STORE_CLAIM_SIZE) == 0)
			return seg->entries[i];
	return NULL;
}

/* Over its age it is not there. */
static bool
is_over_age(const struct store_mem *m, const struct entry *e)
{
	return m->max_age_s != 0 && e->born_s + m->max_age_s < now_s(m);
}

/* Proved ones before sealed ones; others are passed on to nobody. */
static struct entry *
entry_find_any(struct store_mem *m, const struct store_ref *ref)
{
	struct segment *seg = segment_find(m, ref);
	struct entry *sealed = NULL;

	if (seg == NULL)
		return NULL;
	for (size_t i = lower_bound(seg, ref->index);
		i < seg->n && seg->entries[i]->index == ref->index; i++) {
		if (seg->entries[i]->block.proved)
			return seg->entries[i];
		if (seg->entries[i]->block.sealed)
			sealed = seg->entries[i];
	}
	return sealed;
}

/* What a reader sees. */
static struct entry *
entry_readable(struct store_mem *m, const struct store_ref *ref)
{
	struct entry *e =
		ref->any ? entry_find_any(m, ref) : entry_find(m, ref);

	if (e == NULL || (e->block.sealed && !ref->any))
		return NULL;
	return is_over_age(m, e) ? NULL : e;
}

static void
segment_free(struct store_mem *m, struct segment *seg)
{
	HASH_DEL(m->segments, seg);
	free(seg->entries);
	free(seg);
}

static struct segment *
segment_get(struct store_mem *m, const struct store_ref *ref)
{
	struct segment *seg = segment_find(m, ref);

	if (seg != NULL)
		return seg;
	seg = calloc(1, sizeof(*seg));
	if (seg == NULL)
		return NULL;
	memcpy(seg->id, ref->id, ref->id_len);
	seg->id_len = ref->id_len;
	HASH_ADD(hh, m->segments, id, seg->id_len, seg);
	if (seg->hh.tbl == NULL) {
		free(seg);
		return NULL;
	}
	return seg;
}

static struct owner *
owner_find(struct store_mem *m, const struct store_owner *who)
{
	struct owner *o;

	HASH_FIND(hh, m->owners, who, sizeof(*who), o);
	return o;
}

static void
owner_free_if_idle(struct store_mem *m, struct owner *o)
{
	if (!LIST_EMPTY(&o->links))
		return;
	HASH_DEL(m->owners, o);
	free(o);
}

static struct owner *
owner_get(struct store_mem *m, const struct store_owner *who)
{
	struct owner *o = owner_find(m, who);

	if (o != NULL)
		return o;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	o->who = *who;
	HASH_ADD(hh, m->owners, who, sizeof(o->who), o);
	if (o->hh.tbl == NULL) {
		free(o);
		return NULL;
	}
	return o;
}

static void
link_free(struct store_mem *m, struct owner_link *l)
{
	LIST_REMOVE(l, of_owner);
	TAILQ_REMOVE(&l->entry->owners, l, of_entry);
	l->entry->n_owners--;
	owner_free_if_idle(m, l->owner);
	free(l);
}

static void
owners_free(struct store_mem *m, struct entry *e)
{
	struct owner_link *l;

	while ((l = TAILQ_FIRST(&e->owners)) != NULL)
		link_free(m, l);
}

static void
entry_remove(struct store_mem *m, struct entry *e)
{
	struct segment *seg = e->segment;
	size_t i = lower_bound(seg, e->index);

	while (seg->entries[i] != e)
		i++;
	memmove(&seg->entries[i], &seg->entries[i + 1],
		(seg->n - i - 1) * sizeof(seg->entries[0]));
	if (--seg->n == 0)
		segment_free(m, seg);
	e->segment = NULL;
	TAILQ_REMOVE(&m->lru, e, lru);
	m->stats.blocks--;
	m->stats.bytes -= e->block.cipher_len;
	m->memory -= e->block.cipher_len + ENTRY_COST;
	owners_free(m, e);
	entry_unref(e);
}

static void
evict(struct store_mem *m)
{
	struct entry *e;

	while (m->stats.max_bytes != 0 && m->memory > m->stats.max_bytes &&
		(e = TAILQ_FIRST(&m->lru)) != NULL) {
		entry_remove(m, e);
		m->stats.evicted++;
	}
}

static void
touch(struct store_mem *m, struct entry *e)
{
	TAILQ_REMOVE(&m->lru, e, lru);
	TAILQ_INSERT_TAIL(&m->lru, e, lru);
	e->used = ++m->uses;
}

static bool
owner_add(struct store_mem *m, struct entry *e, const struct store_owner *who)
{
	struct owner *o = owner_get(m, who);
	struct owner_link *l;

	if (o == NULL)
		return false;
	TAILQ_FOREACH (l, &e->owners, of_entry)
		if (l->owner == o)
			return true;
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		owner_free_if_idle(m, o);
		return false;
	}
	l->owner = o;
	l->entry = e;
	LIST_INSERT_HEAD(&o->links, l, of_owner);
	TAILQ_INSERT_TAIL(&e->owners, l, of_entry);
	if (e->n_owners++ == OWNERS_MOST)
		link_free(m, TAILQ_FIRST(&e->owners));
	return true;
}

static bool
segment_insert(struct segment *seg, struct entry *e)
{
	size_t at = lower_bound(seg, e->index);

	if (seg->n == seg->cap) {
		size_t cap = seg->cap != 0 ? seg->cap * 2 : 1;
		struct entry **p = realloc(seg->entries, cap * sizeof(p[0]));

		if (p == NULL)
			return false;
		seg->entries = p;
		seg->cap = cap;
	}
	memmove(&seg->entries[at + 1], &seg->entries[at],
		(seg->n - at) * sizeof(seg->entries[0]));
	seg->entries[at] = e;
	seg->n++;
	e->segment = seg;
	return true;
}

/* Room for one more unproved variant of a block, or the sealed one: the longest
 * unused goes. */
static void
limit_variants(struct store_mem *m, const struct store_ref *ref, bool sealed)
{
	size_t most = sealed ? 1 : STORE_VARIANTS;
	struct segment *seg = segment_find(m, ref);
	struct entry *oldest = NULL;
	size_t n = 0;

	if (seg == NULL)
		return;
	for (size_t i = lower_bound(seg, ref->index);
		i < seg->n && seg->entries[i]->index == ref->index; i++) {
		struct entry *e = seg->entries[i];

		if (e->block.proved || e->block.sealed != sealed)
			continue;
		n++;
		if (oldest == NULL || e->used < oldest->used)
			oldest = e;
	}
	if (n >= most)
		entry_remove(m, oldest);
}

static enum store_status
put_new(struct store_mem *m, const struct store_ref *ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct entry *e =
		malloc(sizeof(*e) + block->cipher_len + RECORD_TAIL_MAX);
	struct segment *seg;

	if (e == NULL)
		return STORE_NO_MEMORY;
	if (!block->proved)
		limit_variants(m, ref, block->sealed);
	seg = segment_get(m, ref);
	*e = (struct entry){.refs = 1, .index = ref->index, .block = *block};
	e->used = ++m->uses;
	e->born_s = now_s(m);
	TAILQ_INIT(&e->owners);
	memcpy(e->claim, ref->claim, sizeof(e->claim));
	memcpy(e->cipher, block->cipher, block->cipher_len);
	record_tail(e->cipher + block->cipher_len, block->algo, block->iv);
	e->block.cipher = e->cipher;
	if (seg == NULL || !owner_add(m, e, owner) || !segment_insert(seg, e)) {
		if (seg != NULL && seg->n == 0)
			segment_free(m, seg);
		owners_free(m, e);
		free(e);
		return STORE_NO_MEMORY;
	}
	TAILQ_INSERT_TAIL(&m->lru, e, lru);
	m->stats.blocks++;
	m->stats.bytes += block->cipher_len;
	m->memory += block->cipher_len + ENTRY_COST;
	evict(m);
	return STORE_OK;
}

static enum store_status
put_one(struct store_mem *m, const struct store_ref *ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct entry *e = entry_find(m, ref);

	if (e == NULL)
		return put_new(m, ref, block, owner);
	/* An equal claim means an equal hash: the bytes are the same, only
	 * better vouched for now. */
	e->block.proved |= block->proved;
	touch(m, e);
	return owner_add(m, e, owner) ? STORE_OK : STORE_NO_MEMORY;
}

/* Answers later; run may be NULL. */
static void
defer(struct block_store *base, void *store_private, uint32_t uid,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct env_job *, bool ran))
{
	struct store_mem *m = mem_of(base);
	struct mem_job *q = store_private;

	*q = (struct mem_job){
		.job = {.run = run, .done = done, .uid = uid},
		.store = m,
	};
	m->env->ops->job(m->env->ctx, &q->job);
}

#define REQUEST_OF(job, type) \
	((struct type *)container_of( \
		(void **)(void *)(job), struct type, store_private))

static struct store_mem *
store_of(struct env_job *job)
{
	return container_of(job, struct mem_job, job)->store;
}

static void
lookup_done(struct env_job *job, bool ran)
{
	struct store_lookup *l = REQUEST_OF(job, store_lookup);
	struct store_mem *m = store_of(job);

	for (size_t i = 0; i < l->n_refs; i++) {
		bool there = entry_readable(m, &l->refs[i]) != NULL;

		l->refs[i].status = there ? STORE_OK : STORE_MISSING;
		m->stats.hits += there;
		m->stats.misses += !there;
	}
	l->done(l);
}

static void
mem_lookup(struct block_store *base, struct store_lookup *l)
{
	defer(base, l->store_private, 0, NULL, lookup_done);
}

static void
get_run(struct env_job *job, struct bulk *bulk)
{
	struct store_get *g = REQUEST_OF(job, store_get);

	for (size_t i = 0; i < g->n_refs; i++) {
		struct entry *e = g->refs[i].store_private;

		if (e != NULL && !g->consume(g, i, &e->block, bulk))
			g->refs[i].status = STORE_ROTTEN;
	}
}

static void
get_done(struct env_job *job, bool ran)
{
	struct store_get *g = REQUEST_OF(job, store_get);
	struct store_mem *m = store_of(job);

	for (size_t i = 0; i < g->n_refs; i++) {
		struct store_ref *ref = &g->refs[i];
		struct entry *e = ref->store_private;

		if (e == NULL)
			continue;
		if (!ran) {
			ref->status = STORE_MISSING;
		} else if (ref->status == STORE_ROTTEN && e->segment != NULL) {
			entry_remove(m, e);
			m->stats.rotten++;
		} else if (e->segment != NULL) {
			touch(m, e);
		}
		entry_unref(e);
	}
	g->done(g);
}

static void
mem_get(struct block_store *base, struct store_get *g)
{
	for (size_t i = 0; i < g->n_refs; i++) {
		struct entry *e = entry_readable(mem_of(base), &g->refs[i]);

		g->refs[i].status = e != NULL ? STORE_OK : STORE_MISSING;
		g->refs[i].store_private = e;
		if (e != NULL)
			e->refs++;
	}
	defer(base, g->store_private, g->uid, get_run, get_done);
}

static void
put_done(struct env_job *job, bool ran)
{
	struct store_put *p = REQUEST_OF(job, store_put);

	for (size_t i = 0; i < p->n_refs; i++)
		p->refs[i].status = put_one(
			store_of(job), &p->refs[i], &p->blocks[i], &p->owner);
	p->done(p);
}

static void
mem_put(struct block_store *base, struct store_put *p)
{
	defer(base, p->store_private, p->owner.uid, NULL, put_done);
}

static void
flush_done(struct env_job *job, bool ran)
{
	struct store_flush *f = REQUEST_OF(job, store_flush);
	struct store_mem *m = store_of(job);
	struct owner *o = owner_find(m, &f->owner);
	bool last = o == NULL;

	while (!last) {
		struct owner_link *l = LIST_FIRST(&o->links);
		struct entry *e = l->entry;

		/* The owner goes with its last link. */
		last = LIST_NEXT(l, of_owner) == NULL;
		link_free(m, l);
		if (e->n_owners == 0)
			entry_remove(m, e);
	}
	f->status = STORE_OK;
	f->done(f);
}

static void
mem_flush(struct block_store *base, struct store_flush *f)
{
	defer(base, f->store_private, f->owner.uid, NULL, flush_done);
}

static void
clear_done(struct env_job *job, bool ran)
{
	struct store_flush *f = REQUEST_OF(job, store_flush);
	struct store_mem *m = store_of(job);
	struct entry *e;

	while ((e = TAILQ_FIRST(&m->lru)) != NULL)
		entry_remove(m, e);
	f->status = STORE_OK;
	f->done(f);
}

static void
mem_clear(struct block_store *base, struct store_flush *f)
{
	defer(base, f->store_private, f->owner.uid, NULL, clear_done);
}

static void
mem_drop(struct block_store *base, const struct store_ref *ref)
{
	struct store_mem *m = mem_of(base);
	struct entry *e =
		ref->any ? entry_find_any(m, ref) : entry_find(m, ref);

	if (e == NULL)
		return;
	entry_remove(m, e);
	m->stats.rotten++;
}

static int
compare_ids(const struct segment *a, const struct segment *b)
{
	int c = memcmp(a->id, b->id, MIN_OF(a->id_len, b->id_len));

	return c != 0 ? c : (a->id_len > b->id_len) - (a->id_len < b->id_len);
}

static void
owners_mark(const struct entry *e, struct store_list *l, bool *wanted)
{
	const struct owner_link *link;

	TAILQ_FOREACH (link, &e->owners, of_entry)
		*wanted |= !l->only_owner || link->owner->who.uid == l->uid;
}

/* Owners of a segment: of all its blocks, each once. */
static uint32_t
owners_count(const struct store_mem *m, const struct segment *seg)
{
	const struct owner *o;
	uint32_t n = 0;

	for (o = m->owners; o != NULL; o = o->hh.next) {
		const struct owner_link *link;

		LIST_FOREACH (link, &o->links, of_owner)
			if (link->entry->segment == seg)
				break;
		n += link != NULL;
	}
	return n;
}

static bool
list_describe(const struct store_mem *m, const struct segment *seg,
	struct store_list *l, struct store_listed *row)
{
	*row = (struct store_listed){.id_len = (uint8_t)seg->id_len};
	memcpy(row->id, seg->id, seg->id_len);
	for (size_t i = 0; i < seg->n; i++) {
		const struct entry *e = seg->entries[i];
		bool wanted = !l->only_owner;

		owners_mark(e, l, &wanted);
		if (!wanted)
			continue;
		if (row->blocks == 0 || e->born_s < row->born_s)
			row->born_s = e->born_s;
		row->blocks++;
		row->bytes += e->block.cipher_len;
		row->proved += e->block.proved;
		row->sealed += e->block.sealed;
	}
	row->n_owners = owners_count(m, seg);
	return row->blocks > 0;
}

static void
list_done(struct env_job *job, bool ran)
{
	struct store_list *l = REQUEST_OF(job, store_list);
	struct store_mem *m = store_of(job);
	struct segment after = {.id_len = l->after_len}, *seg;
	struct store_listed row;

	memcpy(after.id, l->after, l->after_len);
	l->n_rows = 0;
	l->more = false;
	l->status = STORE_OK;
	HASH_SORT(m->segments, compare_ids);
	for (seg = m->segments; seg != NULL && !l->more; seg = seg->hh.next) {
		if (compare_ids(seg, &after) <= 0 ||
			!list_describe(m, seg, l, &row))
			continue;
		if (l->n_rows == l->max_rows)
			l->more = true;
		else
			l->rows[l->n_rows++] = row;
	}
	l->done(l);
}

static void
mem_list(struct block_store *base, struct store_list *l)
{
	defer(base, l->store_private, 0, NULL, list_done);
}

/* Memory does not rot. */
static void
verify_done(struct env_job *job, bool ran)
{
	struct store_verify *v = REQUEST_OF(job, store_verify);
	struct store_mem *m = store_of(job);

	v->done_bytes = v->total_bytes = m->stats.bytes;
	v->blocks = m->stats.blocks;
	v->rotten = v->dangling = v->damaged_volumes = 0;
	v->status = STORE_OK;
	v->done(v);
}

static void
mem_verify(struct block_store *base, struct store_verify *v)
{
	defer(base, v->store_private, 0, NULL, verify_done);
}

static bool
is_lendable(const struct store_mem *m, const struct entry *e)
{
	return (e->block.proved || e->block.sealed) &&
		e->block.algo != PCCRR_NONE && !is_over_age(m, e);
}

static void
mem_held(struct block_store *base, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	struct store_mem *m = mem_of(base);
	const struct segment *seg;

	*ret = (struct store_held){0};
	HASH_FIND(hh, m->segments, id, id_len, seg);
	for (size_t i = 0; seg != NULL && i < seg->n; i++) {
		const struct entry *e = seg->entries[i];
		uint64_t *word, bit = UINT64_C(1) << e->index % 64;

		if (!is_lendable(m, e) || e->index / 64 >= HELD_WORDS)
			continue;
		word = &ret->blocks[e->index / 64];
		if (ret->n_blocks == 0 || e->born_s < ret->born_s)
			ret->born_s = e->born_s;
		ret->n_blocks += (*word & bit) == 0;
		*word |= bit;
	}
	if (ret->n_blocks > 0)
		ret->born_s = wall_of(m, ret->born_s);
}

static struct entry *
entry_lendable(const struct store_mem *m, const uint8_t *id, size_t id_len,
	uint32_t index)
{
	const struct segment *seg;
	struct entry *best = NULL;

	HASH_FIND(hh, m->segments, id, id_len, seg);
	if (seg == NULL)
		return NULL;
	for (size_t i = lower_bound(seg, index);
		i < seg->n && seg->entries[i]->index == index; i++) {
		struct entry *e = seg->entries[i];

		if (is_lendable(m, e) && (best == NULL || e->block.proved))
			best = e;
	}
	return best;
}

static enum store_status
mem_lend(struct block_store *base, const uint8_t *id, size_t id_len,
	uint32_t index, struct store_loan *ret)
{
	struct store_mem *m = mem_of(base);
	struct entry *e = entry_lendable(m, id, id_len, index);

	if (e == NULL)
		return STORE_MISSING;
	e->refs++;
	m->n_lent++;
	*ret = (struct store_loan){
		.fd = -1,
		.bytes = e->cipher,
		.cipher_len = e->block.cipher_len,
		.tail_len = record_tail_len(e->block.algo),
		.algo = e->block.algo,
		.store_private = {e},
	};
	return STORE_OK;
}

static void
mem_give_back(struct block_store *base, struct store_loan *loan)
{
	struct store_mem *m = mem_of(base);
	struct entry *e = loan->store_private[0];

	assert(m->n_lent > 0);
	m->n_lent--;
	if (e->segment != NULL)
		touch(m, e);
	entry_unref(e);
	*loan = (struct store_loan){.fd = -1};
}

static void
mem_stats(struct block_store *base, struct store_stats *ret)
{
	*ret = mem_of(base)->stats;
	ret->disk_bytes = mem_of(base)->memory;
}

static void
mem_set_limit(struct block_store *base, uint64_t max_bytes)
{
	struct store_mem *m = mem_of(base);

	m->stats.max_bytes = max_bytes;
	evict(m);
}

static void
mem_set_max_age(struct block_store *base, uint64_t seconds)
{
	mem_of(base)->max_age_s = seconds;
}

static struct block_store *
mem_close(struct block_store *base)
{
	struct store_mem *m = mem_of(base);
	struct entry *e;

	assert(m->n_lent == 0);
	while ((e = TAILQ_FIRST(&m->lru)) != NULL)
		entry_remove(m, e);
	assert(m->segments == NULL);
	free(m);
	return NULL;
}

static const struct block_store_ops mem_ops = {
	.lookup = mem_lookup,
	.get = mem_get,
	.put = mem_put,
	.flush = mem_flush,
	.drop = mem_drop,
	.clear = mem_clear,
	.list = mem_list,
	.verify = mem_verify,
	.held = mem_held,
	.lend = mem_lend,
	.give_back = mem_give_back,
	.stats = mem_stats,
	.set_limit = mem_set_limit,
	.set_max_age = mem_set_max_age,
	.close = mem_close,
};

struct block_store *
store_mem_new(const struct env *env, uint64_t max_bytes)
{
	struct store_mem *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->base.ops = &mem_ops;
	m->env = env;
	m->stats.max_bytes = max_bytes;
	TAILQ_INIT(&m->lru);
	return &m->base;
}

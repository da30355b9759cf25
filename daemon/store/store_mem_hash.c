/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash store in memory: a list in the order of ids, which is walked for
 * everything.  Answers are given through jobs without work, so that they come
 * later and in the order that a test wants.
 */
#include "daemon/store/store_mem_hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/macros.h"

struct entry {
	TAILQ_ENTRY(entry) link;
	struct hash_entry e; /* points into bytes */
	uint8_t bytes[];     /* label, then hashes */
};

struct mem_hash {
	struct hash_store base;
	const struct env *env;
	TAILQ_HEAD(, entry) entries;
	uint64_t last_id;
	struct hash_stats stats;
};

/* What lies in a request's store_private. */
struct mem_job {
	struct env_job job;
	struct mem_hash *store;
};

_Static_assert(sizeof(struct mem_job) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for its job");

#define REQUEST_OF(job, type) \
	((struct type *)container_of( \
		(void **)(void *)(job), struct type, store_private))

static struct mem_hash *
mem_of(struct hash_store *s)
{
	return container_of(s, struct mem_hash, base);
}

static struct mem_hash *
store_of(struct env_job *job)
{
	return container_of(job, struct mem_job, job)->store;
}

static void
defer(struct hash_store *base, void *store_private,
	void (*done)(struct env_job *, bool ran))
{
	struct mem_job *q = store_private;

	q->store = mem_of(base);
	q->job = (struct env_job){.done = done};
	q->store->env->ops->job(q->store->env->ctx, &q->job);
}

static struct entry *
entry_by_id(struct mem_hash *m, uint64_t id)
{
	struct entry *e;

	TAILQ_FOREACH (e, &m->entries, link)
		if (e->e.id == id)
			return e;
	return NULL;
}

static struct entry *
entry_by_label(
	struct mem_hash *m, uint32_t uid, const uint8_t *label, size_t len)
{
	struct entry *e;

	TAILQ_FOREACH (e, &m->entries, link)
		if (e->e.uid == uid && e->e.label_len == len &&
			memcmp(e->e.label, label, len) == 0)
			return e;
	return NULL;
}

static void
entry_free(struct mem_hash *m, struct entry *e)
{
	TAILQ_REMOVE(&m->entries, e, link);
	m->stats.entries--;
	m->stats.bytes -= hash_cost(&e->e);
	free(e);
}

/* The entry without its pointers, or false. */
static bool
found(const struct entry *e, struct hash_entry *ret_entry)
{
	if (e == NULL)
		return false;
	*ret_entry = e->e;
	ret_entry->label = ret_entry->hashes = NULL;
	return true;
}

static bool
mem_find(struct hash_store *base, uint32_t uid, const uint8_t *label,
	size_t len, struct hash_entry *ret_entry)
{
	return found(entry_by_label(mem_of(base), uid, label, len), ret_entry);
}

static bool
mem_find_id(struct hash_store *base, uint64_t id, struct hash_entry *ret_entry)
{
	return found(entry_by_id(mem_of(base), id), ret_entry);
}

static bool
mem_find_file(struct hash_store *base, const struct hash_file *file,
	uint32_t uid, struct hash_entry *ret_entry)
{
	struct entry *e, *best = NULL;

	TAILQ_FOREACH (e, &mem_of(base)->entries, link)
		if (e->e.uid == uid && hash_file_same(&e->e.file, file) &&
			(best == NULL || e->e.versions > best->e.versions))
			best = e;
	return found(best, ret_entry);
}

static void
mem_each(struct hash_store *base, uint64_t after,
	bool (*fn)(const struct hash_entry *, void *ctx), void *ctx)
{
	struct hash_entry seen;
	struct entry *e;

	TAILQ_FOREACH (e, &mem_of(base)->entries, link) {
		if (e->e.id <= after)
			continue;
		seen = e->e;
		seen.hashes = NULL;
		if (!fn(&seen, ctx))
			return;
	}
}

/* Whether there is room for an entry in place of that many bytes. */
static enum store_status
room_for(struct mem_hash *m, const struct hash_entry *in, uint64_t older_bytes)
{
	uint64_t max_bytes = m->stats.max_bytes;
	uint64_t more = hash_cost(in) - older_bytes, users = 0;
	struct entry *e;

	TAILQ_FOREACH (e, &m->entries, link)
		if (e->e.uid == in->uid)
			users += hash_cost(&e->e);
	if (max_bytes == 0)
		return STORE_OK;
	if (m->stats.bytes + more > max_bytes)
		return STORE_DISK_FULL;
	return users + more > hash_user_limit(in->uid, max_bytes)
		? STORE_OVER_QUOTA
		: STORE_OK;
}

static enum store_status
put_one(struct mem_hash *m, struct hash_put *p)
{
	struct hash_entry *in = &p->entry;
	struct entry *old =
		entry_by_label(m, in->uid, in->label, in->label_len);
	enum store_status status =
		room_for(m, in, old != NULL ? hash_cost(&old->e) : 0);
	struct entry *e;

	if (status != STORE_OK)
		return status;
	e = malloc(sizeof(*e) + in->label_len + in->hashes_len);
	if (e == NULL)
		return STORE_NO_MEMORY;
	p->replaced = old != NULL ? old->e.id : 0;
	if (old != NULL)
		entry_free(m, old);
	in->id = ++m->last_id;
	e->e = *in;
	e->e.label = e->bytes;
	e->e.hashes = e->bytes + in->label_len;
	memcpy(e->bytes, in->label, in->label_len);
	memcpy(e->bytes + in->label_len, in->hashes, in->hashes_len);
	TAILQ_INSERT_TAIL(&m->entries, e, link);
	m->stats.entries++;
	m->stats.bytes += hash_cost(in);
	return STORE_OK;
}

static void
put_done(struct env_job *job, bool ran)
{
	struct hash_put *p = REQUEST_OF(job, hash_put);

	p->status = put_one(store_of(job), p);
	p->done(p);
}

static void
mem_put(struct hash_store *base, struct hash_put *p)
{
	defer(base, p->store_private, put_done);
}

static enum store_status
load_one(struct mem_hash *m, struct hash_load *l)
{
	struct entry *e = entry_by_id(m, l->id);
	size_t len;

	if (e == NULL)
		return STORE_MISSING;
	len = e->e.label_len + e->e.hashes_len;
	l->bytes = malloc(len);
	if (l->bytes == NULL)
		return STORE_NO_MEMORY;
	memcpy(l->bytes, e->bytes, len);
	l->entry = e->e;
	l->entry.label = l->bytes;
	l->entry.hashes = l->bytes + e->e.label_len;
	return STORE_OK;
}

static void
load_done(struct env_job *job, bool ran)
{
	struct hash_load *l = REQUEST_OF(job, hash_load);

	l->bytes = NULL;
	l->status = load_one(store_of(job), l);
	l->done(l);
}

static void
mem_load(struct hash_store *base, struct hash_load *l)
{
	defer(base, l->store_private, load_done);
}

static void
remove_done(struct env_job *job, bool ran)
{
	struct hash_remove *r = REQUEST_OF(job, hash_remove);
	struct entry *e = entry_by_id(store_of(job), r->id);

	r->status = e != NULL ? STORE_OK : STORE_MISSING;
	if (e != NULL)
		entry_free(store_of(job), e);
	r->done(r);
}

static void
mem_remove(struct hash_store *base, struct hash_remove *r)
{
	defer(base, r->store_private, remove_done);
}

static void
mem_stats(struct hash_store *base, struct hash_stats *ret)
{
	*ret = mem_of(base)->stats;
}

static void
mem_set_limit(struct hash_store *base, uint64_t max_bytes)
{
	mem_of(base)->stats.max_bytes = max_bytes;
}

static struct hash_store *
mem_close(struct hash_store *base)
{
	struct mem_hash *m = mem_of(base);
	struct entry *e;

	while ((e = TAILQ_FIRST(&m->entries)) != NULL)
		entry_free(m, e);
	free(m);
	return NULL;
}

static const struct hash_store_ops ops = {
	.find = mem_find,
	.find_id = mem_find_id,
	.find_file = mem_find_file,
	.each = mem_each,
	.put = mem_put,
	.load = mem_load,
	.remove = mem_remove,
	.stats = mem_stats,
	.set_limit = mem_set_limit,
	.close = mem_close,
};

struct hash_store *
store_mem_hash_new(const struct env *env, uint64_t max_bytes)
{
	struct mem_hash *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->base.ops = &ops;
	m->env = env;
	m->stats.max_bytes = max_bytes;
	TAILQ_INIT(&m->entries);
	return &m->base;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and reading blocks.
 *
 * A block is looked for in the fresh generation, in the one that is being
 * committed, then in the index; the first that knows index and claim decides.
 * Whoever takes any block sees the best one that no younger layer hides.  An
 * entry counts as absent when its volume is no more or it is over its age.
 *
 * A worker reads record by record: header, ciphertext and tail in one go, then
 * checks and consumes them while they are in the processor's cache.  A single
 * block that the page cache has is read on the loop: it takes less time than
 * the way to a worker and back.
 */
#include "daemon/store/store_disk_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/pccrr.h"
#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define ROTTEN_TOLD_MS (UINT64_C(3600) * 1000)

/* What lies in the store_private of look-ups and gets. */
struct read_job {
	struct env_job job;
	struct store_disk *store;
	struct get_work *work;
};

_Static_assert(sizeof(struct read_job) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for its job");

struct get_place {
	struct segrec_entry at;
	struct volume *volume; /* NULL: not there */
};

struct get_work {
	int folder;
	size_t room; /* of the biggest record */
	struct get_place places[];
};

static bool
is_usable(const struct store_disk *m, const struct segrec_entry *e,
	struct found *ret)
{
	struct volume *v = disk_volume(m, e->volume);

	if (v == NULL || e->cipher_len > RECORD_CIPHER_MAX)
		return false;
	if (m->max_age_s != 0 && e->born_s + m->max_age_s < disk_wall_s(m))
		return false;
	ret->at = *e;
	ret->volume = v;
	return true;
}

/* The bytes of a segment stay where they are until the next commit has ended,
 * so the one looked at last need not be checked again. */
const struct segrec *
disk_index_segment(struct store_disk *m, const uint8_t *id, size_t id_len)
{
	struct index_blob value;

	if (m->cache_generation == m->generation && m->cache_id_len == id_len &&
		memcmp(m->cache_id, id, id_len) == 0)
		return &m->cache;
	if (absent_is_sure(m, id, id_len))
		return NULL;
	if (!index_get(m->index, T_SEGMENTS, (struct index_blob){id, id_len},
		    &value)) {
		absent_asked(m);
		return NULL;
	}
	m->cache_id_len = 0;
	if (segrec_parse(&m->cache, id, id_len, value.data, value.len) !=
		SEGREC_OK)
		return NULL;
	memcpy(m->cache_id, id, id_len);
	m->cache_id_len = id_len;
	m->cache_generation = m->generation;
	return &m->cache;
}

static const struct segrec *
index_segment(struct store_disk *m, const struct store_ref *ref)
{
	return disk_index_segment(m, ref->id, ref->id_len);
}

static bool
index_find(struct store_disk *m, const struct store_ref *ref,
	struct segrec_entry *ret)
{
	const struct segrec *seg = index_segment(m, ref);

	if (seg == NULL)
		return false;
	for (uint32_t i = segrec_lower_bound(seg, ref->index);
		i < seg->n_entries; i++) {
		segrec_entry(seg, i, ret);
		if (ret->index != ref->index)
			return false;
		if (memcmp(ret->claim, ref->claim, STORE_CLAIM_SIZE) == 0)
			return true;
	}
	return false;
}

/* The best block that may be passed on, of an index. */
struct any_search {
	struct store_disk *m;
	const struct store_ref *ref;
	bool encrypted; /* others do not count */
	bool have;
	struct found *ret;
};

/* Proved ones before sealed ones; others are for nobody in particular. */
static void
any_offer(struct any_search *s, const struct segrec_entry *e)
{
	if (!e->proved && (!e->sealed || s->have))
		return;
	if (s->have && s->ret->at.proved)
		return;
	if (s->encrypted && e->algo == PCCRR_NONE)
		return;
	s->have |= is_usable(s->m, e, s->ret);
}

static bool
is_hidden(const struct generation *g, const struct store_ref *ref,
	const struct segrec_entry *e)
{
	struct store_ref key = *ref;

	if (g->segments == NULL)
		return false;
	memcpy(key.claim, e->claim, sizeof(key.claim));
	return overlay_find(g, &key) != NULL;
}

static void
any_of_index(struct any_search *s)
{
	const struct segrec *seg = index_segment(s->m, s->ref);
	struct segrec_entry e;

	if (seg == NULL)
		return;
	for (uint32_t i = segrec_lower_bound(seg, s->ref->index);
		i < seg->n_entries; i++) {
		segrec_entry(seg, i, &e);
		if (e.index != s->ref->index)
			return;
		if (!is_hidden(s->m->fresh, s->ref, &e) &&
			!is_hidden(s->m->committing, s->ref, &e))
			any_offer(s, &e);
	}
}

static bool
find_any(struct store_disk *m, const struct store_ref *ref, bool encrypted,
	struct found *ret)
{
	struct any_search s = {
		.m = m, .ref = ref, .encrypted = encrypted, .ret = ret};
	const struct overlay_entry *o;
	size_t n;

	ret->overlay = NULL;
	o = overlay_range(m->fresh, ref, &n);
	for (size_t i = 0; i < n; i++)
		if (!o[i].dead)
			any_offer(&s, &o[i].at);
	o = overlay_range(m->committing, ref, &n);
	for (size_t i = 0; i < n; i++)
		if (!o[i].dead && !is_hidden(m->fresh, ref, &o[i].at))
			any_offer(&s, &o[i].at);
	any_of_index(&s);
	return s.have;
}

bool
disk_find_lendable(
	struct store_disk *m, const struct store_ref *ref, struct found *ret)
{
	return find_any(m, ref, true, ret);
}

bool
disk_find(struct store_disk *m, const struct store_ref *ref, struct found *ret)
{
	struct segrec_entry e;

	if (ref->id_len == 0 || ref->id_len > STORE_ID_MAX)
		return false;
	if (ref->any)
		return find_any(m, ref, false, ret);
	ret->overlay = overlay_find(m->fresh, ref);
	if (ret->overlay == NULL)
		ret->overlay = overlay_find(m->committing, ref);
	if (ret->overlay != NULL)
		return !ret->overlay->dead &&
			is_usable(m, &ret->overlay->at, ret);
	return index_find(m, ref, &e) && is_usable(m, &e, ret);
}

/* As disk_find(), for a reader: a sealed block has no claim to be read by. */
static bool
find_readable(
	struct store_disk *m, const struct store_ref *ref, struct found *ret)
{
	return disk_find(m, ref, ret) && (ref->any || !ret->at.sealed);
}

bool
disk_is_owner(struct store_disk *m, const struct store_ref *ref,
	const struct found *f, const struct store_owner *owner)
{
	const struct segrec *seg;
	struct index_blob value;
	uint8_t key[20];
	uint32_t number;

	if (f->overlay != NULL)
		return memcmp(&f->overlay->owner, owner, sizeof(*owner)) == 0;
	owner_key(key, owner);
	if (!index_get(m->index, T_OWNERS,
		    (struct index_blob){key, sizeof(key)}, &value) ||
		value.len != 4)
		return false;
	number = number_unkey(value.data);
	seg = index_segment(m, ref);
	for (uint32_t i = 0; seg != NULL && i < seg->n_owners; i++)
		if (segrec_owner(seg, i) == number)
			return (f->at.owners >> i & 1) != 0;
	return false;
}

static void
report_rotten(struct store_disk *m)
{
	uint64_t now = disk_now_ms(m);

	if (m->rotten_told_ms != 0 && now < m->rotten_told_ms + ROTTEN_TOLD_MS)
		return;
	m->rotten_told_ms = MAX_OF(now, 1u);
	disk_report(m, STORE_REPORT_ROTTEN, 0);
}

/* The volume tells of it too, for the day on which the index is lost. */
static void
log_drop(struct store_disk *m, const struct change *c)
{
	struct drop_request *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return;
	d->change = malloc(sizeof(*d->change));
	if (d->change == NULL) {
		free(d);
		return;
	}
	*d->change = *c;
	request_init(&d->request, m, REQUEST_DROP);
	disk_enqueue(m, &d->request);
}

/* Without memory the block stays, and whoever reads it finds it again. */
void
disk_drop(struct store_disk *m, const struct store_ref *ref,
	const struct segrec_entry *at)
{
	struct overlay_entry dead = {.at = *at, .dead = true};
	struct store_ref key = *ref;
	struct change *c;
	struct found f;

	key.any = false;
	memcpy(key.claim, at->claim, sizeof(key.claim));
	if (!disk_find(m, &key, &f) || f.at.volume != at->volume ||
		f.at.offset != at->offset)
		return;
	m->stats.rotten++;
	report_rotten(m);
	c = change_new(CHANGE_DROP, &key);
	if (c == NULL)
		return;
	c->at = *at;
	if (overlay_set(m->fresh, &key, &dead) != 0) {
		free(c);
		return;
	}
	m->fresh->d_blocks--;
	m->fresh->d_bytes -= at->cipher_len;
	generation_add(m->fresh, c);
	log_drop(m, c);
	disk_commit_soon(m);
}

void
disk_drop_ref(struct block_store *base, const struct store_ref *ref)
{
	struct store_disk *m = disk_of(base);
	struct found f;

	if (disk_find(m, ref, &f))
		disk_drop(m, ref, &f.at);
}

static struct read_job *
read_job(void *store_private, struct store_disk *m, uint32_t uid,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct env_job *, bool))
{
	struct read_job *j = store_private;

	*j = (struct read_job){
		.job = {.run = run, .done = done, .uid = uid},
		.store = m,
	};
	return j;
}

static struct read_job *
read_job_of(struct env_job *job)
{
	return container_of(job, struct read_job, job);
}

static void
lookup_done(struct env_job *job, bool ran)
{
	struct store_lookup *l = REQUEST_OF(job, store_lookup);
	struct store_disk *m = read_job_of(job)->store;
	struct found f;

	for (size_t i = 0; i < l->n_refs; i++) {
		bool there = find_readable(m, &l->refs[i], &f);

		l->refs[i].status = there ? STORE_OK : STORE_MISSING;
		m->stats.hits += there;
		m->stats.misses += !there;
	}
	l->done(l);
}

void
disk_lookup(struct block_store *base, struct store_lookup *l)
{
	struct store_disk *m = disk_of(base);
	struct read_job *j =
		read_job(l->store_private, m, 0, NULL, lookup_done);

	m->host.env->ops->job(m->host.env->ctx, &j->job);
}

size_t
record_len(const struct segrec_entry *e)
{
	return RECORD_HEADER + (size_t)e->cipher_len + record_tail_len(e->algo);
}

static int
read_all(int fd, uint8_t *buf, size_t len, uint64_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n =
			pread(fd, buf + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		if (n == 0)
			return err_new(-EBADMSG);
		got += (size_t)n;
	}
	return 0;
}

/* The index is believed no more than the record: both must tell the same. */
static bool
record_is(const struct record *rec, const struct store_ref *ref,
	const struct segrec_entry *e)
{
	return rec->type == RECORD_BLOCK && rec->id_len == ref->id_len &&
		memcmp(rec->id, ref->id, ref->id_len) == 0 &&
		rec->index == e->index && rec->cipher_len == e->cipher_len &&
		rec->plain_len == e->plain_len && rec->algo == e->algo &&
		rec->sealed == e->sealed &&
		memcmp(rec->claim, e->claim, STORE_CLAIM_SIZE) == 0;
}

/* The bytes read are the block. */
static int
record_check(const struct volume *v, const struct store_ref *ref,
	const struct segrec_entry *e, uint8_t *buf, struct store_block *ret)
{
	uint8_t *cipher = buf + RECORD_HEADER, *tail = cipher + e->cipher_len;
	struct record rec;
	int r;

	r = record_parse(&rec, buf, v->file.salt, e->offset);
	if (r != 0 || !record_is(&rec, ref, e) ||
		record_data_hash(cipher, e->cipher_len, tail, rec.tail_len) !=
			rec.data_hash)
		return RECORD_E_HASH;
	*ret = (struct store_block){
		.plain_len = e->plain_len,
		.cipher_len = e->cipher_len,
		.algo = e->algo,
		.proved = e->proved,
		.sealed = e->sealed,
		.cipher = cipher,
	};
	if (!record_tail_parse(ret->iv, rec.algo, tail, rec.tail_len))
		return RECORD_E_VALUE;
	return 0;
}

int
record_read(struct volume *v, int folder, const struct store_ref *ref,
	const struct segrec_entry *e, uint8_t *buf, struct store_block *ret)
{
	int r = volume_open(v, folder);

	if (r == 0)
		r = read_all(v->file.fd, buf, record_len(e), e->offset);
	return r != 0 ? err_pass(r) : record_check(v, ref, e, buf, ret);
}

bool
read_error_is_ours(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
		error == -ENOENT || error == -EACCES || error == -EPERM;
}

static void
get_consume(struct store_get *g, size_t i, const struct store_block *block,
	struct bulk *bulk)
{
	if (!g->consume(g, i, block, bulk))
		g->refs[i].status = STORE_ROTTEN;
}

static void
get_one(struct store_get *g, struct get_work *w, size_t i, uint8_t *buf,
	struct bulk *bulk)
{
	struct store_ref *ref = &g->refs[i];
	struct get_place *p = &w->places[i];
	struct store_block block;
	int r;

	if (p->volume == NULL)
		return;
	r = record_read(p->volume, w->folder, ref, &p->at, buf, &block);
	if (r != 0)
		ref->status =
			read_error_is_ours(r) ? STORE_MISSING : STORE_ROTTEN;
	else
		get_consume(g, i, &block, bulk);
}

/* tmpfs has no reads that do not wait, but does not wait either. */
static bool
read_now(const struct store_disk *m, int fd, uint8_t *buf, size_t len,
	uint64_t offset)
{
	struct iovec io = {buf, len};
	ssize_t n = preadv2(
		fd, &io, 1, (off_t)offset, m->in_memory ? 0 : RWF_NOWAIT);

	return n == (ssize_t)len;
}

/* One block that is in the page cache: whatever is unusual is left to a
 * worker. */
static bool
get_now(struct env_job *job, struct bulk *bulk)
{
	struct store_get *g = REQUEST_OF(job, store_get);
	const struct read_job *j = read_job_of(job);
	struct get_place *p = j->work->places;
	struct store_block block;
	AUTO_FREE uint8_t *buf = NULL;

	if (!volume_is_open(p->volume))
		return false;
	buf = malloc(record_len(&p->at));
	if (buf == NULL ||
		!read_now(j->store, p->volume->file.fd, buf, record_len(&p->at),
			p->at.offset) ||
		record_check(p->volume, &g->refs[0], &p->at, buf, &block) != 0)
		return false;
	get_consume(g, 0, &block, bulk);
	return true;
}

static void
get_run(struct env_job *job, struct bulk *bulk)
{
	struct store_get *g = REQUEST_OF(job, store_get);
	struct get_work *w = read_job_of(job)->work;
	AUTO_FREE uint8_t *buf = NULL;

	if (w == NULL || w->room == 0)
		return;
	buf = malloc(w->room);
	for (size_t i = 0; i < g->n_refs; i++) {
		if (buf != NULL)
			get_one(g, w, i, buf, bulk);
		else if (w->places[i].volume != NULL)
			g->refs[i].status = STORE_NO_MEMORY;
	}
}

static void
get_end_one(struct store_disk *m, struct store_ref *ref, struct get_place *p,
	bool ran)
{
	struct volume *v = p->volume;

	if (v == NULL)
		return;
	if (!ran)
		ref->status = STORE_MISSING;
	if (ref->status == STORE_OK)
		volume_touch(m, v, p->at.offset);
	else if (ref->status == STORE_ROTTEN && (v->gone || v->doomed))
		ref->status = STORE_MISSING;
	else if (ref->status == STORE_ROTTEN)
		disk_drop(m, ref, &p->at);
	volume_release(m, v);
}

static void
get_done(struct env_job *job, bool ran)
{
	struct store_get *g = REQUEST_OF(job, store_get);
	struct read_job *j = read_job_of(job);
	struct get_work *w = j->work;

	for (size_t i = 0; w != NULL && i < g->n_refs; i++)
		get_end_one(j->store, &g->refs[i], &w->places[i], ran);
	free(w);
	g->done(g);
}

static void
get_place(struct store_disk *m, struct store_ref *ref, struct get_place *p,
	size_t *room)
{
	struct found f;

	p->volume = NULL;
	ref->status = STORE_MISSING;
	if (!find_readable(m, ref, &f))
		return;
	p->at = f.at;
	p->volume = f.volume;
	volume_hold(m, f.volume);
	ref->status = STORE_OK;
	*room = MAX_OF(*room, record_len(&f.at));
}

void
disk_get(struct block_store *base, struct store_get *g)
{
	struct store_disk *m = disk_of(base);
	struct read_job *j =
		read_job(g->store_private, m, g->uid, get_run, get_done);
	struct get_work *w =
		malloc(sizeof(*w) + g->n_refs * sizeof(w->places[0]));

	for (size_t i = 0; w == NULL && i < g->n_refs; i++)
		g->refs[i].status = STORE_NO_MEMORY;
	if (w != NULL) {
		w->folder = m->folder;
		w->room = 0;
		for (size_t i = 0; i < g->n_refs; i++)
			get_place(m, &g->refs[i], &w->places[i], &w->room);
		if (w->room == 0)
			j->job.run = NULL;
		else if (g->n_refs == 1)
			j->job.try_now = get_now;
	} else {
		j->job.run = NULL;
	}
	j->work = w;
	m->host.env->ops->job(m->host.env->ctx, &j->job);
}

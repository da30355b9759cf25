/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue, and what is appended to the volumes.
 *
 * Requests wait in one queue.  Whenever the store thread is idle, all puts,
 * flushes and drops that wait, up to some size, become one batch: records for
 * one volume, in the order of the queue.  When they are written, their changes
 * go to the fresh generation, from where they are seen, and the puts are
 * answered.  Requests of other kinds are barriers: they come to their turn when
 * all before them is in a generation.
 *
 * A block that is there already only gains an owner; if it has him, nothing is
 * written at all.  While a flush is on its way through the index, that cannot
 * be told, and everything is written; so it is with a block that the rebuild
 * has found, since it may yet find a flush of it.
 *
 * Where a volume has no room left the next one is begun, for which old ones may
 * have to go: then the batch is held until there is room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define BATCH_ITEMS    1024u
#define BATCH_BYTES    (UINT64_C(64) << 20)
#define COMMIT_CHANGES 16384u
/* No more may wait, whatever keeps commits from coming to pass. */
#define CHANGES_MOST (4 * COMMIT_CHANGES)

enum decision {
	DECIDE_NOTHING,
	DECIDE_OWNER,
	DECIDE_BLOCK,
};

static enum decision
put_decide(struct store_disk *m, const struct store_ref *ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct store_ref key = *ref;
	struct found f;

	key.any = false;
	if (m->flushes > 0 || !disk_find(m, &key, &f) || f.volume->doomed ||
		f.at.sealed != block->sealed ||
		f.at.volume < disk_rebuild_fence(m))
		return DECIDE_BLOCK;
	if (block->proved && !f.at.proved)
		return DECIDE_OWNER;
	return disk_is_owner(m, &key, &f, owner) ? DECIDE_NOTHING
						 : DECIDE_OWNER;
}

static int
batch_reserve(struct batch *b)
{
	size_t cap = MAX_OF(b->cap * 2, 16u);
	struct batch_item *items;
	struct block_log_item *io;

	if (b->n < b->cap)
		return 0;
	items = realloc(b->items, cap * sizeof(*items));
	if (items != NULL)
		b->items = items;
	io = realloc(b->io, cap * sizeof(*io));
	if (io != NULL)
		b->io = io;
	if (items == NULL || io == NULL)
		return err_new(-ENOMEM);
	b->cap = cap;
	return 0;
}

/* One batch goes to one volume, and is never more than half of one: so it fits
 * beside what an eviction carries over. */
static bool
batch_has_room(const struct store_disk *m, uint64_t span)
{
	const struct batch *b = &m->batch;
	uint64_t length = m->active != NULL ? m->active->length : 0;

	if (b->n == 0)
		return true;
	if (b->n == BATCH_ITEMS ||
		b->span + span > MIN_OF(BATCH_BYTES, m->volume_bytes / 2))
		return false;
	return length + b->span > m->volume_bytes ||
		length + b->span + span <= m->volume_bytes;
}

static void
batch_add(struct store_disk *m, const struct batch_item *item,
	const struct block_log_item *io)
{
	struct batch *b = &m->batch;

	b->items[b->n] = *item;
	b->io[b->n] = *io;
	b->span += record_span(&io->record);
	b->n++;
}

static struct record
block_record(const struct store_disk *m, const struct store_ref *ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct record rec = {
		.type = RECORD_BLOCK,
		.id_len = ref->id_len,
		.proved = block->proved,
		.sealed = block->sealed,
		.index = ref->index,
		.plain_len = block->plain_len,
		.cipher_len = block->cipher_len,
		.algo = block->algo,
		.owner = *owner,
		.born_s = disk_wall_s(m),
		.tail_len = record_tail_len(block->algo),
	};

	memcpy(rec.id, ref->id, ref->id_len);
	memcpy(rec.claim, ref->claim, sizeof(rec.claim));
	return rec;
}

static struct record
small_record(enum record_type type, const struct change *c,
	const struct store_owner *owner, uint64_t now_s)
{
	struct record rec = {
		.type = type,
		.id_len = c->id_len,
		.proved = c->at.proved,
		.index = c->at.index,
		.owner = *owner,
		.born_s = now_s,
	};

	memcpy(rec.id, c->id, c->id_len);
	memcpy(rec.claim, c->at.claim, sizeof(rec.claim));
	return rec;
}

static int
take_ref(struct store_disk *m, struct store_put *p, size_t i,
	enum decision decision)
{
	const struct store_block *block = &p->blocks[i];
	struct store_ref *ref = &p->refs[i];
	struct batch_item item = {.kind = ITEM_BLOCK, .ref = ref};
	struct block_log_item io = {.cipher = block->cipher};

	if (batch_reserve(&m->batch) != 0)
		return err_new(-ENOMEM);
	item.change = change_new(CHANGE_PUT, ref);
	if (item.change == NULL)
		return err_new(-ENOMEM);
	item.change->owner = p->owner;
	item.change->at.proved = block->proved;
	item.change->at.sealed = block->sealed;
	if (decision == DECIDE_OWNER) {
		item.kind = ITEM_OWNER;
		item.change->kind = CHANGE_OWNER;
		io.record = small_record(
			RECORD_OWNER, item.change, &p->owner, disk_wall_s(m));
	} else {
		io.record = block_record(m, ref, block, &p->owner);
		memcpy(io.iv, block->iv, sizeof(io.iv));
	}
	batch_add(m, &item, &io);
	return 0;
}

static bool
ref_is_valid(const struct store_disk *m, const struct store_ref *ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct record rec;

	if (ref->id_len == 0 || ref->id_len > STORE_ID_MAX)
		return false;
	rec = block_record(m, ref, block, owner);
	return record_valid(&rec);
}

/* false: the batch is full before the put is all in it. */
static bool
take_put(struct store_disk *m, struct request *r)
{
	struct store_put *p = REQUEST_OF(r, store_put);

	for (; r->next < p->n_refs; r->next++) {
		struct store_ref *ref = &p->refs[r->next];
		const struct store_block *block = &p->blocks[r->next];
		enum decision d;

		ref->status = STORE_IO;
		if (!ref_is_valid(m, ref, block, &p->owner))
			continue;
		ref->status = STORE_OK;
		d = put_decide(m, ref, block, &p->owner);
		if (d == DECIDE_NOTHING)
			continue;
		if (!batch_has_room(m,
			    RECORD_HEADER +
				    (d == DECIDE_BLOCK ? block->cipher_len +
							    RECORD_TAIL_MAX +
							    RECORD_ALIGN
						       : 0)))
			return false;
		if (take_ref(m, p, r->next, d) != 0)
			ref->status = STORE_NO_MEMORY;
	}
	STAILQ_REMOVE_HEAD(&m->queue, link);
	STAILQ_INSERT_TAIL(&m->batch.whole, r, link);
	return true;
}

static bool
take_flush(struct store_disk *m, struct request *r)
{
	struct store_flush *f = REQUEST_OF(r, store_flush);
	struct batch_item item = {.kind = ITEM_FLUSH, .request = r};
	struct block_log_item io = {0};

	if (!batch_has_room(m, RECORD_HEADER))
		return false;
	STAILQ_REMOVE_HEAD(&m->queue, link);
	item.change = change_new(CHANGE_FLUSH, NULL);
	if (item.change == NULL || batch_reserve(&m->batch) != 0 ||
		rebuild_note_flush(m, &f->owner) != 0) {
		free(item.change);
		request_answer_later(r, STORE_NO_MEMORY);
		return true;
	}
	item.change->owner = f->owner;
	io.record = small_record(
		RECORD_FLUSH, item.change, &f->owner, disk_wall_s(m));
	batch_add(m, &item, &io);
	m->flushes++;
	return true;
}

static void
drop_free(struct request *r)
{
	struct drop_request *d = container_of(r, struct drop_request, request);

	free(d->change);
	free(d);
}

static bool
take_drop(struct store_disk *m, struct request *r)
{
	struct drop_request *d = container_of(r, struct drop_request, request);
	struct store_owner nobody = {0};
	struct batch_item item = {.kind = ITEM_DROP};
	struct block_log_item io = {0};

	if (!batch_has_room(m, RECORD_HEADER))
		return false;
	STAILQ_REMOVE_HEAD(&m->queue, link);
	d->change->at.proved = false;
	io.record =
		small_record(RECORD_DROP, d->change, &nobody, disk_wall_s(m));
	if (batch_reserve(&m->batch) == 0)
		batch_add(m, &item, &io);
	drop_free(r);
	return true;
}

static bool
take(struct store_disk *m, struct request *r)
{
	switch (r->kind) {
	case REQUEST_PUT:
		return take_put(m, r);
	case REQUEST_FLUSH:
		return take_flush(m, r);
	case REQUEST_DROP:
		return take_drop(m, r);
	default:
		return false;
	}
}

static void
batch_collect(struct store_disk *m)
{
	struct request *r;

	while ((r = STAILQ_FIRST(&m->queue)) != NULL && take(m, r))
		;
}

/* Leaves an empty batch; the puts go to *ret. */
static void
batch_reset(struct store_disk *m, struct request_list *ret)
{
	struct batch *b = &m->batch;

	STAILQ_INIT(ret);
	STAILQ_CONCAT(ret, &b->whole);
	for (size_t i = 0; i < b->n; i++)
		free(b->items[i].change);
	free(b->items);
	free(b->io);
	*b = (struct batch){0};
	STAILQ_INIT(&b->whole);
}

static struct segrec_entry
place_of(const struct batch *b, size_t i)
{
	const struct record *rec = &b->io[i].record;
	struct segrec_entry at = {
		.index = rec->index,
		.volume = b->volume->number,
		.offset = b->io[i].offset,
		.plain_len = rec->plain_len,
		.cipher_len = rec->cipher_len,
		.born_s = (uint32_t)rec->born_s,
		.algo = (uint8_t)rec->algo,
		.proved = rec->proved,
		.sealed = rec->sealed,
	};

	memcpy(at.claim, rec->claim, sizeof(at.claim));
	return at;
}

static void
block_written(struct store_disk *m, size_t i)
{
	struct batch_item *item = &m->batch.items[i];
	struct store_ref key = *item->ref;
	struct overlay_entry e = {.owner = item->change->owner};
	bool visible;
	struct found f;

	key.any = false;
	e.at = place_of(&m->batch, i);
	visible = disk_find(m, &key, &f);
	/* As the index will join them. */
	e.at.proved |= visible && f.at.proved && !e.at.sealed;
	if (overlay_set(m->fresh, &key, &e) != 0) {
		item->ref->status = STORE_NO_MEMORY;
		return;
	}
	item->change->at = place_of(&m->batch, i);
	m->fresh->d_blocks += visible ? 0 : 1;
	m->fresh->d_bytes += (int64_t)e.at.cipher_len -
		(visible ? (int64_t)f.at.cipher_len : 0);
	generation_add(m->fresh, TAKE_PTR(item->change));
}

static void
owner_written(struct store_disk *m, size_t i)
{
	struct batch_item *item = &m->batch.items[i];
	struct overlay_entry e = {.owner = item->change->owner};
	struct store_ref key = *item->ref;
	struct found f;

	key.any = false;
	if (item->change->at.proved && disk_find(m, &key, &f) && !f.at.proved &&
		!f.at.sealed) {
		e.at = f.at;
		e.at.proved = true;
		/* Without memory it is seen as proved a little later. */
		(void)overlay_set(m->fresh, &key, &e);
	}
	generation_add(m->fresh, TAKE_PTR(item->change));
}

/* A flush is done even when its record could not be written: that is only for
 * the day on which the index is lost. */
static void
flush_written(struct store_disk *m, size_t i)
{
	struct batch_item *item = &m->batch.items[i];

	generation_add(m->fresh, TAKE_PTR(item->change));
	STAILQ_INSERT_TAIL(&m->fresh->waiters, item->request, link);
}

static void
batch_apply(struct store_disk *m, enum store_status status)
{
	struct batch *b = &m->batch;

	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].kind == ITEM_FLUSH)
			flush_written(m, i);
		else if (status != STORE_OK && b->items[i].ref != NULL)
			b->items[i].ref->status = status;
		else if (b->items[i].kind == ITEM_BLOCK)
			block_written(m, i);
		else if (b->items[i].kind == ITEM_OWNER)
			owner_written(m, i);
	}
}

static void
answer_all(struct request_list *list)
{
	struct request *r;

	while ((r = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		request_answer(r, STORE_OK);
	}
}

static void
batch_end(struct store_disk *m, enum store_status status)
{
	struct request_list whole;

	batch_apply(m, status);
	batch_reset(m, &whole);
	if (m->fresh->bytes >= m->commit_bytes ||
		m->fresh->n_changes >= COMMIT_CHANGES || m->suspect)
		m->commit_wanted = true;
	else if (!generation_is_empty(m->fresh))
		disk_commit_soon(m);
	answer_all(&whole);
}

/* One of which only some refs were taken: the rest of it, too. */
static void
put_fail_rest(struct request *r, enum store_status status)
{
	struct store_put *p = REQUEST_OF(r, store_put);

	for (; r->next < p->n_refs; r->next++)
		p->refs[r->next].status = status;
	request_answer_later(r, STORE_OK);
}

void
disk_puts_fail(struct store_disk *m, enum store_status status)
{
	struct request_list keep = STAILQ_HEAD_INITIALIZER(keep);
	struct request *r;

	if (m->batch.n > 0)
		batch_end(m, status);
	while ((r = STAILQ_FIRST(&m->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->queue, link);
		if (r->kind == REQUEST_PUT)
			put_fail_rest(r, status);
		else
			STAILQ_INSERT_TAIL(&keep, r, link);
	}
	STAILQ_CONCAT(&m->queue, &keep);
}

/* Only what nobody waits for is left at the end. */
void
disk_queue_done(struct store_disk *m)
{
	struct request_list whole;
	struct request *r;

	batch_reset(m, &whole);
	while ((r = STAILQ_FIRST(&m->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&m->queue, link);
		if (r->kind == REQUEST_DROP)
			drop_free(r);
	}
}

static void
batch_run(struct store_disk *m)
{
	struct batch *b = &m->batch;
	struct volume *v = b->volume;
	int r;

	if (!b->create)
		r = volume_open(v, m->folder);
	else if (disk_is_low(m->folder))
		r = err_new(-ENOSPC);
	else
		r = volume_create(v, m->folder, b->now_s, b->salt);
	b->created = b->create && r == 0;
	if (r == 0)
		r = block_log_append(&v->file, b->io, b->n);
	b->length = v->file.length;
	b->result = r;
}

/* What became of the volume. */
static void
batch_end_volume(struct store_disk *m, int r)
{
	struct batch *b = &m->batch;
	struct volume *v = b->volume;

	if (b->create && !b->created) {
		volume_unref(v);
		return;
	}
	if (b->create) {
		v->born_s = b->now_s;
		v->length = VOLUME_HEADER;
		disk_volume_add(m, v);
		m->active = v;
		m->folder_dirty = true;
		v->dirty = true;
	}
	if (r == 0) {
		m->fresh->bytes += b->length - v->length;
		v->length = b->length;
		v->dirty = true;
	}
	volume_release(m, v);
}

static void
batch_done(struct store_disk *m, bool ran)
{
	struct batch *b = &m->batch;
	int r = ran ? b->result : -ECANCELED;

	if (b->create && !ran)
		b->created = false;
	if (b->create && b->created)
		b->volume->refs++;
	batch_end_volume(m, r);
	/* Once for each time that the disk becomes full: where it does not
	 * help it would empty the cache, volume by volume, for nothing. */
	if (is_full_error(r) && !b->evicted &&
		m->append_health == STORE_HEALTHY && disk_can_evict(m) &&
		m->volumes[0] != m->active) {
		b->evicted = true;
		m->make_room = true;
		m->pressure = true;
		return;
	}
	if (r == 0) {
		disk_healthy(m, true);
		batch_end(m, STORE_OK);
		return;
	}
	disk_health(m, r, true);
	batch_end(m, disk_status(r));
	if (r != -ENOMEM)
		disk_puts_fail(m, disk_status(r));
}

/* > 0: not yet. */
static int
batch_place(struct store_disk *m)
{
	struct batch *b = &m->batch;
	struct volume *v = m->active;

	if (v != NULL && v->length + b->span > m->volume_bytes &&
		v->length > m->volume_bytes / 2)
		v = m->active = NULL;
	b->create = v == NULL;
	b->now_s = disk_wall_s(m);
	if (v != NULL) {
		volume_hold(m, v);
		b->volume = v;
		return 0;
	}
	if (disk_room_wanted(m)) {
		m->make_room = true;
		return 1;
	}
	if (disk_volumes_reserve(m) != 0)
		return err_new(-ENOMEM);
	b->volume = volume_new(m->next_number);
	if (b->volume == NULL)
		return err_new(-ENOMEM);
	m->next_number++;
	m->host.env->ops->random(m->host.env->ctx, &b->salt, sizeof(b->salt));
	return 0;
}

/* Nothing is to be written; puts of this kind are answered. */
static bool
queue_turn(struct store_disk *m)
{
	struct request *r = STAILQ_FIRST(&m->queue);
	struct request_list whole;
	bool any = !STAILQ_EMPTY(&m->batch.whole);

	batch_reset(m, &whole);
	while ((r = STAILQ_FIRST(&whole)) != NULL) {
		STAILQ_REMOVE_HEAD(&whole, link);
		request_answer_later(r, STORE_OK);
	}
	r = STAILQ_FIRST(&m->queue);
	if (any || r == NULL)
		return any;
	STAILQ_REMOVE_HEAD(&m->queue, link);
	if (r->kind == REQUEST_CLEAR)
		return disk_clear_start(m, r);
	STAILQ_INSERT_TAIL(&m->fresh->waiters, r, link);
	return true;
}

bool
disk_batch_start(struct store_disk *m)
{
	int r;

	m->puts_turn = false;
	if (m->batch.n == 0)
		batch_collect(m);
	if (m->batch.n == 0)
		return queue_turn(m);
	r = batch_place(m);
	if (r > 0)
		return disk_commit_due(m);
	if (r < 0) {
		struct request_list whole;

		batch_apply(m, STORE_NO_MEMORY);
		batch_reset(m, &whole);
		while (!STAILQ_EMPTY(&whole)) {
			struct request *q = STAILQ_FIRST(&whole);

			STAILQ_REMOVE_HEAD(&whole, link);
			request_answer_later(q, STORE_OK);
		}
		return true;
	}
	m->rebuild.turn = m->rebuild.active;
	disk_job(m, batch_run, batch_done);
	return true;
}

void
disk_enqueue(struct store_disk *m, struct request *r)
{
	STAILQ_INSERT_TAIL(&m->queue, r, link);
	disk_kick(m);
}

void
disk_put(struct block_store *base, struct store_put *p)
{
	struct store_disk *m = disk_of(base);
	struct request *r = (void *)p->store_private;
	enum store_status status;
	bool refused;

	request_init(r, m, REQUEST_PUT);
	refused = disk_refuses(m, &status);
	if (!refused && m->fresh->n_changes >= CHANGES_MOST) {
		refused = true;
		status = STORE_NO_MEMORY;
	}
	if (refused) {
		for (size_t i = 0; i < p->n_refs; i++)
			p->refs[i].status = status;
		request_answer_later(r, STORE_OK);
		return;
	}
	disk_enqueue(m, r);
}

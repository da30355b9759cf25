/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making room: the oldest volume goes, strictly in the order of numbers.  So
 * what a volume tells about blocks of older ones (owners, flushes, drops) never
 * goes before they do.
 *
 * The volume is scanned by its own records, since the index cannot tell what
 * lies in it.  That is done in parts, one for each commit, lest a volume of
 * many small blocks hold up everything else and fill the memory with pages of
 * the index.  Blocks that were read since they came are copied to the
 * youngest volume, at most half a volume full of them, so that every eviction
 * gives room; all others leave the index.  Entries that the scan does not
 * find, behind a damaged header, lead nowhere afterwards, which makes them
 * absent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define EVICT_RECORDS 4096u /* at once */

#define CARRY_KEPT 4096u /* of half a volume: headers and the like */

/* So much of the cache's size may be in use by the index. */
#define INDEX_PARTS 8u
#define INDEX_LEAST (UINT64_C(256) << 10)

static bool
is_expired(const struct store_disk *m, const struct volume *v)
{
	return m->max_age_s != 0 && v->newest_s != 0 && !v->dirty &&
		v->newest_s + m->max_age_s < disk_wall_s(m);
}

/* Nothing of it is wanted any more. */
static bool
is_idle(const struct store_disk *m, const struct volume *v)
{
	return v->blocks == 0 && v != m->active && !v->dirty &&
		!m->rebuild.active;
}

bool
disk_can_evict(const struct store_disk *m)
{
	if (m->broken || m->n_volumes == 0)
		return false;
	return m->n_volumes > 1 || m->volumes[0]->length > VOLUME_HEADER;
}

/* The index counts for half of the limit at most: where that was lowered, its
 * file may have more, and nothing would be left for blocks. */
static uint64_t
counted_bytes(const struct store_disk *m)
{
	uint64_t index = index_used_bytes(m->index);

	return disk_bytes(m) - index + MIN_OF(index, m->max_bytes / 2);
}

/* The file of the index never shrinks, and a commit that changes it all over
 * needs as much again; so blocks go before the index has the room of all. */
static bool
is_over_limit(const struct store_disk *m)
{
	return m->max_bytes != 0 &&
		(counted_bytes(m) > m->max_bytes ||
			index_live_bytes(m->index) >
				MAX_OF(m->max_bytes / INDEX_PARTS,
					INDEX_LEAST));
}

struct volume *
disk_victim(struct store_disk *m)
{
	struct volume *v;

	if (!disk_can_evict(m)) {
		m->make_room = m->pressure = m->low = false;
		return NULL;
	}
	v = m->volumes[0];
	if (v->evicted_to != 0 || m->make_room || m->low || is_idle(m, v) ||
		is_expired(m, v))
		return v;
	return is_over_limit(m) ? v : NULL;
}

bool
disk_room_wanted(const struct store_disk *m)
{
	return m->max_bytes != 0 && disk_can_evict(m) &&
		counted_bytes(m) + m->volume_bytes > m->max_bytes;
}

static int
prepare_carry(struct store_disk *m, struct commit *c)
{
	struct volume *to = m->active;
	int r;

	if (to != NULL && to->length > m->volume_bytes / 2)
		to = m->active = NULL;
	c->to_create = to == NULL;
	if (to != NULL) {
		volume_hold(m, to);
		c->to = to;
		return 0;
	}
	r = disk_volumes_reserve(m);
	if (r != 0)
		return err_pass(r);
	to = volume_new(m->next_number);
	if (to == NULL)
		return err_new(-ENOMEM);
	c->to = to;
	c->next_number = ++m->next_number;
	m->host.env->ops->random(m->host.env->ctx, &c->salt, sizeof(c->salt));
	return 0;
}

int
evict_prepare(struct store_disk *m, struct commit *c, struct volume *v)
{
	if (m->active == v)
		m->active = NULL;
	/* A flush that the index does not know of yet would not reach copies,
	 * once the index is made again. */
	c->carry = v->hot != NULL && !c->pressure && !is_expired(m, v) &&
		!m->rebuild.active && m->fresh->flushes == 0;
	c->carry_max = m->volume_bytes / 2 > CARRY_KEPT
		? m->volume_bytes / 2 - CARRY_KEPT
		: 0;
	c->carry_max -= MIN_OF(c->carry_max, v->carried);
	if (c->carry && prepare_carry(m, c) != 0)
		c->carry = false;
	v->doomed = true;
	volume_hold(m, v);
	c->victim = v;
	m->make_room = m->pressure = false;
	return 0;
}

struct eviction {
	struct store_disk *m;
	struct commit *c;
	struct txn *txn;
	size_t n_left; /* records for this commit */
	int error;
};

/* The copy's records: the block with its first owner, then the others. */
static size_t
copy_records(struct eviction *ev, const struct record *rec,
	const struct segrec_entry *e, struct block_log_item *items)
{
	struct txn *t = ev->txn;
	size_t n = 0;

	for (uint32_t i = 0; i < t->edit.n_owners; i++) {
		struct block_log_item *io = &items[n];

		if ((e->owners >> i & 1) == 0)
			continue;
		*io = (struct block_log_item){.record = *rec};
		if (txn_owner_name(t, t->edit.owners[i], &io->record.owner) !=
			0)
			continue;
		io->record.proved = e->proved;
		if (n++ == 0)
			continue;
		io->record.type = RECORD_OWNER;
		io->record.sealed = false;
		io->record.plain_len = 0;
		io->record.cipher_len = 0;
		io->record.algo = 0;
		io->record.tail_len = 0;
		io->record.data_hash = 0;
	}
	return n;
}

static int
carry_to(struct eviction *ev, struct block_log_item *items, size_t n)
{
	struct commit *c = ev->c;
	struct volume_row *row;
	int r = 0;

	if (c->to_create && !c->to_created) {
		r = volume_create(c->to, ev->m->folder, c->now_s, c->salt);
		if (r != 0)
			return err_pass(r);
		c->to_created = true;
		c->rows[ev->txn->n_rows++] = (struct volume_row){
			.number = c->to->number,
			.born_s = c->now_s,
		};
	} else {
		r = volume_open(c->to, ev->m->folder);
	}
	if (r == 0)
		r = block_log_append(&c->to->file, items, n);
	if (r != 0)
		return err_pass(r);
	row = txn_row(ev->txn, c->to->number);
	row->length = c->to->file.length;
	row->changed = true;
	c->to_length = c->to->file.length;
	return 0;
}

/* false: it stays behind. */
static bool
carry(struct eviction *ev, const struct record *rec, uint64_t offset,
	struct segrec_entry *e)
{
	struct block_log_item items[SEGREC_OWNERS];
	AUTO_FREE uint8_t *buf = NULL;
	struct commit *c = ev->c;
	struct store_block block;
	struct store_ref ref = {.id = rec->id, .id_len = rec->id_len};
	size_t n;

	if (!c->carry || !volume_is_hot(c->victim, offset) ||
		c->carried_bytes + record_span(rec) > c->carry_max)
		return false;
	buf = malloc(record_len(e));
	if (buf == NULL ||
		record_read(c->victim, ev->m->folder, &ref, e, buf, &block) !=
			0)
		return false;
	n = copy_records(ev, rec, e, items);
	if (n == 0)
		return false;
	items[0].cipher = block.cipher;
	memcpy(items[0].iv, block.iv, sizeof(items[0].iv));
	if (carry_to(ev, items, n) != 0) {
		c->carry = false;
		return false;
	}
	e->volume = c->to->number;
	e->offset = items[0].offset;
	c->carried_bytes += record_span(rec) + (n - 1) * RECORD_HEADER;
	c->carried++;
	return true;
}

static int
evict_record(const struct record *rec, uint64_t offset, void *ctx)
{
	struct eviction *ev = ctx;
	struct segrec_edit *edit = &ev->txn->edit;
	struct segrec_entry *e;

	if (rec->type != RECORD_BLOCK)
		return 0;
	ev->error = txn_segment(ev->txn, rec->id, rec->id_len);
	if (ev->error != 0)
		return 1;
	ev->n_left--;
	e = segrec_edit_find(edit, rec->index, rec->claim);
	if (e == NULL || e->volume != ev->c->victim->number ||
		e->offset != offset)
		return ev->n_left == 0;
	ev->txn->changed = true;
	if (carry(ev, rec, offset, e))
		return ev->n_left == 0;
	segrec_edit_remove(edit, e);
	ev->c->evicted++;
	return ev->n_left == 0;
}

/* From here on the volume is unknown: entries that name it fall out. */
static int
forget_row(struct txn *t, uint32_t number)
{
	struct volume_row *row = txn_row(t, number);
	size_t i;

	if (row != NULL) {
		i = (size_t)(row - t->rows);
		t->n_rows--;
		memmove(row, row + 1, (t->n_rows - i) * sizeof(*row));
	}
	return err_pass(txn_volume_gone(t, number));
}

int
evict_run(struct store_disk *m, struct commit *c, struct txn *t)
{
	struct eviction ev = {.m = m,
		.c = c,
		.txn = t,
		.n_left = c->pressure ? SIZE_MAX : EVICT_RECORDS};
	struct block_log_scan scan = {
		.offset = MAX_OF(c->victim->evicted_to, VOLUME_HEADER),
		.limit = c->victim->length,
		.fn = evict_record,
		.ctx = &ev,
	};
	bool opened = volume_open(c->victim, m->folder) == 0;
	int r;

	/* A volume that cannot be read goes all the same. */
	c->evict_ended =
		!opened || block_log_scan(&c->victim->file, &scan) <= 0;
	c->evicted_to = scan.offset;
	r = ev.error;
	if (r == 0 && c->to_length != 0) {
		r = block_log_sync(&c->to->file);
		if (r != 0)
			c->unsynced = c->to;
	}
	if (r == 0 && c->to_created)
		r = block_log_sync_folder(m->folder);
	if (r != 0 || !c->evict_ended)
		return err_pass(r);
	r = forget_row(t, c->victim->number);
	if (r == 0 && c->pressure) {
		/* Whoever reads it holds its bytes on the disk, else. */
		if (opened)
			volume_cut(c->victim, 0);
		evict_unlink(m, c);
	}
	return err_pass(r);
}

void
evict_unlink(struct store_disk *m, struct commit *c)
{
	int r;

	if (c->unlinked)
		return;
	r = block_log_unlink(m->folder, c->victim->number);
	c->unlinked = r == 0 || r == -ENOENT;
}

static void
end_carry(struct store_disk *m, struct commit *c)
{
	struct volume *to = c->to;

	if (to == NULL)
		return;
	if (c->to_create && c->to_created) {
		to->refs++;
		to->born_s = c->now_s;
		to->length = VOLUME_HEADER;
		disk_volume_add(m, to);
		m->active = to;
		m->folder_dirty = true;
	}
	if (c->to_length != 0) {
		to->dirty = true;
		to->length = c->to_length;
	}
	/* Whoever is told of the commit's end sees the volumes as they are. */
	c->to = NULL;
	volume_release(m, to);
}

/* It is on the disk no more, but the index could not be told. */
static void
tell_index_later(struct store_disk *m, uint32_t number)
{
	struct change *change = change_new(CHANGE_VOLUME, NULL);

	if (change == NULL)
		return;
	change->at.volume = number;
	generation_add(m->fresh, change);
}

void
evict_end(struct store_disk *m, struct commit *c, int result)
{
	struct volume *v = c->victim;

	end_carry(m, c);
	v->doomed = false;
	if (result == 0) {
		if (is_expired(m, v))
			m->stats.expired += c->evicted;
		else
			m->stats.evicted += c->evicted;
		m->stats.carried += c->carried;
	}
	if (result == 0) {
		v->evicted_to = c->evicted_to;
		v->carried += c->carried_bytes;
		m->puts_turn = !c->evict_ended;
	}
	if ((result == 0 && c->evict_ended) || c->unlinked) {
		disk_volume_remove(m, v);
		if (result != 0)
			tell_index_later(m, v->number);
	}
	volume_release(m, v);
}

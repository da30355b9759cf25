/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index is made again from the volumes.
 *
 * All volumes that are found are scanned in the order of their numbers, record
 * by record, in slices that leave room for puts between them; blocks appear as
 * they are found, and whether their data is whole their readers will see.  What
 * is put meanwhile goes to volumes with higher numbers (from end on), which are
 * not scanned.  So:
 *
 *	a block of a scanned volume never takes the place of a later one, nor
 *	adds its owner there;
 *	a block that is put again is written again, and whoever had it before
 *	has it no more;
 *	a flush that is found removes nothing of what was put since;
 *	an owner who flushes while the rebuild runs is remembered, and what is
 *	found of his afterwards is passed over.
 *
 * The index is marked as unfinished before anything is in it.  A start that
 * finds the mark begins from scratch, with all volumes that there are by then:
 * they tell everything, in order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define SLICE_RECORDS 4096u
#define SLICE_US      50000u
#define SLICE_SEARCH  (UINT64_C(16) << 20)

void
disk_rebuild_begin(struct store_disk *m)
{
	m->rebuild = (struct rebuild){
		.active = true,
		.clear = true,
		.offset = VOLUME_HEADER,
		.end = m->next_number,
	};
	disk_report(m, STORE_REPORT_REBUILDING, 0);
}

void
disk_rebuild_end(struct store_disk *m)
{
	struct flushed_owner *f;

	while ((f = m->rebuild.flushed) != NULL) {
		m->rebuild.flushed = f->next;
		free(f);
	}
	m->rebuild = (struct rebuild){0};
	absent_done(&m->absent);
}

/* Volumes below are being scanned; 0: none. */
uint32_t
disk_rebuild_fence(const struct store_disk *m)
{
	return m->rebuild.active ? m->rebuild.end : 0;
}

int
rebuild_note_flush(struct store_disk *m, const struct store_owner *owner)
{
	struct flushed_owner *f;

	if (!m->rebuild.active)
		return 0;
	f = malloc(sizeof(*f));
	if (f == NULL)
		return err_new(-ENOMEM);
	f->owner = *owner;
	f->next = m->rebuild.flushed;
	m->rebuild.flushed = f;
	return 0;
}

static bool
has_flushed(const struct rebuild *rb, const struct store_owner *owner)
{
	for (const struct flushed_owner *f = rb->flushed; f != NULL;
		f = f->next)
		if (memcmp(&f->owner, owner, sizeof(*owner)) == 0)
			return true;
	return false;
}

static struct change
change_of(const struct rebuild *rb, const struct record *rec, uint64_t offset)
{
	struct change c = {
		.kind = CHANGE_PUT,
		.id_len = rec->id_len,
		.owner = rec->owner,
		.at =
			{
				.index = rec->index,
				.volume = rb->volume->number,
				.offset = offset,
				.plain_len = rec->plain_len,
				.cipher_len = rec->cipher_len,
				.born_s = (uint32_t)rec->born_s,
				.algo = (uint8_t)rec->algo,
				.proved = rec->proved,
				.sealed = rec->sealed,
			},
	};

	memcpy(c.id, rec->id, rec->id_len);
	memcpy(c.at.claim, rec->claim, sizeof(c.at.claim));
	return c;
}

static bool
is_later(const struct segrec_entry *a, const struct segrec_entry *b)
{
	return a->volume > b->volume ||
		(a->volume == b->volume && a->offset > b->offset);
}

/* A block, or one more owner of one.  Where it was put again meanwhile nobody
 * is added, since a flush that is found later would not take him off again. */
static int
replay_block(struct rebuild *rb, struct change *c, enum record_type type)
{
	struct segrec_entry *e;
	int r;

	if (has_flushed(rb, &c->owner))
		return 0;
	r = txn_segment(rb->txn, c->id, c->id_len);
	if (r != 0)
		return err_pass(r);
	e = segrec_edit_find(&rb->txn->edit, c->at.index, c->at.claim);
	if (e != NULL && e->volume >= rb->end)
		return 0;
	if (type == RECORD_OWNER)
		c->kind = CHANGE_OWNER;
	return err_pass(txn_change(rb->txn, c));
}

static int
replay_drop(struct rebuild *rb, struct change *c)
{
	struct segrec_entry *e;
	int r = txn_segment(rb->txn, c->id, c->id_len);

	if (r != 0)
		return err_pass(r);
	e = segrec_edit_find(&rb->txn->edit, c->at.index, c->at.claim);
	if (e == NULL || is_later(e, &c->at))
		return 0;
	c->kind = CHANGE_DROP;
	c->at = *e;
	return err_pass(txn_change(rb->txn, c));
}

static int
replay(const struct record *rec, uint64_t offset, void *ctx)
{
	struct rebuild *rb = ctx;
	struct change c = change_of(rb, rec, offset);

	switch (rec->type) {
	case RECORD_BLOCK:
	case RECORD_OWNER:
		rb->error = replay_block(rb, &c, rec->type);
		break;
	case RECORD_FLUSH:
		rb->error = txn_flush(rb->txn, &rec->owner, rb->end);
		break;
	case RECORD_DROP:
		rb->error = replay_drop(rb, &c);
		break;
	case _RECORD_TYPE_MAX:
		break;
	}
	return rb->error != 0 || ++rb->n_records >= SLICE_RECORDS ||
		clock_now_us() > rb->deadline_us;
}

/* What a crash left of a record at the end, and nothing that counts follows. */
static void
cut_tail(struct volume *v, uint64_t good, struct volume_row *row)
{
	good = MAX_OF(good, VOLUME_HEADER);
	if (good >= v->file.length || block_log_truncate(&v->file, good) != 0)
		return;
	row->length = v->file.length;
}

/* A volume that cannot be read any further has ended. */
static int
slice_scan(struct store_disk *m, struct rebuild *rb)
{
	struct block_log_scan scan = {
		.offset = rb->offset,
		.limit = rb->volume->length,
		.fn = replay,
		.ctx = rb,
		.search_max = SLICE_SEARCH,
		.searching = rb->searching,
		.good = rb->good,
	};
	struct volume_row *row;
	int r;

	rb->n_records = 0;
	rb->error = 0;
	rb->deadline_us = clock_now_us() + SLICE_US;
	r = volume_open(rb->volume, m->folder);
	if (r == 0)
		r = block_log_scan(&rb->volume->file, &scan);
	if (rb->error != 0)
		return err_pass(rb->error);
	rb->volume_ended = r <= 0 && r != -EAGAIN;
	rb->next_offset = scan.offset;
	rb->next_good = scan.good;
	rb->next_searching = scan.searching;
	row = txn_row(rb->txn, rb->volume->number);
	if (row == NULL)
		return 0;
	row->changed = true;
	if (r == 0)
		cut_tail(rb->volume, scan.good, row);
	return 0;
}

static void
slice_run(struct store_disk *m)
{
	struct rebuild *rb = &m->rebuild;
	struct txn t;
	int r = txn_begin(&t, m->index, rb->rows, rb->n_rows);

	rb->result = r;
	if (r != 0)
		return;
	rb->txn = &t;
	rb->volume_ended = false;
	if (rb->clear)
		r = txn_clear(&t);
	if (r == 0 && rb->clear)
		r = txn_state_set(&t, STATE_REBUILDING, 1);
	else if (r == 0 && rb->volume == NULL)
		r = txn_state_set(&t, STATE_REBUILDING, 0);
	else if (r == 0)
		r = slice_scan(m, rb);
	rb->txn = NULL;
	if (r != 0)
		txn_abort(&t);
	else
		r = txn_commit(&t, m->next_number);
	rb->result = r;
}

static void
slice_failed(struct store_disk *m, int r)
{
	if (index_is_damaged(m->index)) {
		disk_broken(m);
	} else if (!m->rebuild.clear && disk_press(m, r)) {
		return;
	} else {
		disk_health(m, r, false);
		disk_retry_later(m);
		disk_puts_fail(m, disk_status(r));
	}
	disk_waiters_fail(m, disk_status(r));
}

static void
slice_done(struct store_disk *m, bool ran)
{
	struct rebuild *rb = &m->rebuild;
	int r = ran ? rb->result : -ECANCELED;
	bool first = rb->clear, last = rb->volume == NULL;

	if (r == 0)
		disk_rows_back(m, rb->rows, rb->n_rows);
	free(rb->rows);
	rb->rows = NULL;
	if (rb->volume != NULL) {
		rb->number = rb->volume->number;
		if (r == 0)
			rb->volume->length = rb->volume->committed;
		volume_release(m, rb->volume);
		rb->volume = NULL;
	}
	if (r != 0) {
		slice_failed(m, r);
		return;
	}
	index_refresh(m->index);
	m->generation++;
	disk_healthy(m, false);
	if (first) {
		rb->clear = false;
	} else if (last) {
		disk_rebuild_end(m);
		disk_report(m, STORE_REPORT_REBUILT, 0);
	} else if (rb->volume_ended) {
		rb->number++;
		rb->offset = VOLUME_HEADER;
		rb->good = 0;
		rb->searching = false;
	} else {
		rb->offset = rb->next_offset;
		rb->good = rb->next_good;
		rb->searching = rb->next_searching;
	}
}

/* The first volume from the one at hand on; that one may be gone. */
static struct volume *
next_volume(struct store_disk *m)
{
	struct rebuild *rb = &m->rebuild;

	for (size_t i = 0; i < m->n_volumes; i++) {
		struct volume *v = m->volumes[i];

		if (v->number < rb->number || v->number >= rb->end ||
			v->evicted_to != 0)
			continue;
		if (v->number != rb->number) {
			rb->number = v->number;
			rb->offset = VOLUME_HEADER;
			rb->good = 0;
			rb->searching = false;
		}
		return v;
	}
	return NULL;
}

bool
disk_rebuild_start(struct store_disk *m)
{
	struct rebuild *rb = &m->rebuild;

	rb->turn = false;
	if (!rb->active || m->broken || m->retry_ms > disk_now_ms(m))
		return false;
	if (disk_rows(m, false, &rb->rows, &rb->n_rows) != 0) {
		disk_retry_later(m);
		return false;
	}
	rb->volume = rb->clear ? NULL : next_volume(m);
	if (rb->volume != NULL)
		volume_hold(m, rb->volume);
	disk_job(m, slice_run, slice_done);
	return true;
}

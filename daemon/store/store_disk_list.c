/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What concerns many blocks at once: flushes, clearing, and listing.
 *
 * A list is made by a worker with a read transaction of its own, after a
 * commit: then the index tells everything.  The volumes that were there at that
 * time go along as numbers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

void
disk_flush(struct block_store *base, struct store_flush *f)
{
	struct store_disk *m = disk_of(base);
	struct request *r = (void *)f->store_private;

	request_init(r, m, REQUEST_FLUSH);
	if (m->broken)
		request_answer_later(r, STORE_IO);
	else
		disk_enqueue(m, r);
}

void
disk_clear(struct block_store *base, struct store_flush *f)
{
	struct store_disk *m = disk_of(base);
	struct request *r = (void *)f->store_private;

	request_init(r, m, REQUEST_CLEAR);
	disk_enqueue(m, r);
}

struct list_work {
	struct env_job job;
	struct store_disk *store;
	struct store_list *list;
	struct index *index;
	struct index_reader *reader;
	bool no_memory;
	/* owners asked for: the answer about the number seen last */
	uint32_t owner;
	bool owner_known;
	bool owner_is_his;
	size_t n_volumes;
	uint32_t volumes[];
};

static bool
list_has_volume(const struct list_work *w, uint32_t number)
{
	size_t lo = 0, hi = w->n_volumes;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (w->volumes[mid] < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_volumes && w->volumes[lo] == number;
}

static bool
is_his(struct list_work *w, uint32_t number)
{
	struct index_blob value;
	struct store_owner who;
	uint8_t key[4];

	if (w->owner_known && w->owner == number)
		return w->owner_is_his;
	number_key(key, number);
	w->owner = number;
	w->owner_known = true;
	w->owner_is_his = false;
	if (index_reader_get(w->reader, T_NAMES,
		    (struct index_blob){key, sizeof(key)}, &value) &&
		value.len == sizeof(who)) {
		owner_unkey(&who, value.data);
		w->owner_is_his = who.uid == w->list->uid;
	}
	return w->owner_is_his;
}

/* The bits of the owners that are asked for. */
static uint32_t
wanted_owners(struct list_work *w, const struct segrec *seg)
{
	uint32_t mask = 0;

	if (!w->list->only_owner)
		return UINT32_MAX;
	for (uint32_t i = 0; i < seg->n_owners; i++)
		if (is_his(w, segrec_owner(seg, i)))
			mask |= UINT32_C(1) << i;
	return mask;
}

static bool
list_describe(
	struct list_work *w, const struct segrec *seg, struct store_listed *row)
{
	uint32_t wanted = wanted_owners(w, seg), owners = 0;
	struct segrec_entry e;

	for (uint32_t i = 0; i < seg->n_entries; i++) {
		segrec_entry(seg, i, &e);
		if (!list_has_volume(w, e.volume) ||
			(w->list->only_owner && (e.owners & wanted) == 0))
			continue;
		owners |= e.owners;
		row->blocks++;
		row->bytes += e.cipher_len;
		row->proved += e.proved;
		row->sealed += e.sealed;
		if (row->born_s == 0 || e.born_s < row->born_s)
			row->born_s = e.born_s;
	}
	row->n_owners = (uint32_t)__builtin_popcount(owners);
	return row->blocks > 0;
}

static bool
list_segment(struct index_blob key, struct index_blob value, void *ctx)
{
	struct list_work *w = ctx;
	struct store_list *l = w->list;
	struct store_listed row = {0};
	struct segrec seg;

	if (key.len > STORE_ID_MAX ||
		(key.len == l->after_len &&
			memcmp(key.data, l->after, key.len) == 0) ||
		segrec_parse(&seg, key.data, key.len, value.data, value.len) !=
			SEGREC_OK ||
		!list_describe(w, &seg, &row))
		return true;
	if (l->n_rows == l->max_rows) {
		l->more = true;
		return false;
	}
	memcpy(row.id, key.data, key.len);
	row.id_len = (uint8_t)key.len;
	l->rows[l->n_rows++] = row;
	return true;
}

static void
list_run(struct env_job *job, struct bulk *bulk)
{
	struct list_work *w = container_of(job, struct list_work, job);
	struct store_list *l = w->list;
	int r;

	w->reader = index_reader_new(w->index);
	if (w->reader == NULL) {
		l->status =
			index_is_damaged(w->index) ? STORE_IO : STORE_NO_MEMORY;
		return;
	}
	r = index_reader_each(w->reader, T_SEGMENTS,
		(struct index_blob){l->after, l->after_len}, list_segment, w);
	if (r != 0)
		l->status = r == -ENOMEM ? STORE_NO_MEMORY : STORE_IO;
	index_reader_free(w->reader);
}

static void
list_done(struct env_job *job, bool ran)
{
	struct list_work *w = container_of(job, struct list_work, job);
	struct store_list *l = w->list;

	if (!ran)
		l->status = STORE_IO;
	free(w);
	l->done(l);
}

void
list_begin(struct store_list *l)
{
	struct store_disk *m =
		((struct request *)(void *)l->store_private)->store;
	struct list_work *w =
		malloc(sizeof(*w) + m->n_volumes * sizeof(w->volumes[0]));

	if (w == NULL) {
		l->status = STORE_NO_MEMORY;
		l->done(l);
		return;
	}
	*w = (struct list_work){
		.job = {.run = list_run, .done = list_done},
		.store = m,
		.list = l,
		.index = m->index,
		.n_volumes = m->n_volumes,
	};
	for (size_t i = 0; i < m->n_volumes; i++)
		w->volumes[i] = m->volumes[i]->number;
	m->host.env->ops->job(m->host.env->ctx, &w->job);
}

/* list_begin() comes after the commit of what is there now. */
void
disk_list(struct block_store *base, struct store_list *l)
{
	struct store_disk *m = disk_of(base);
	struct request *r = (void *)l->store_private;

	l->n_rows = 0;
	l->more = false;
	l->status = STORE_OK;
	request_init(r, m, REQUEST_LIST);
	disk_enqueue(m, r);
}

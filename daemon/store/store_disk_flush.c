/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flush, in the index.
 *
 * The owner has a number, by which his segments are listed.  Who he is is noted
 * twice, and his number in each of his segments; only these have checksums.  So
 * whenever the notes do not agree, all segments are looked at, since nothing of
 * his may stay.
 */
#include <errno.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/store/store_disk_txn.h"

/* Segments that are looked up at once. */
#define FLUSH_IDS 4096u
/* Of one owner, when the notes do not agree. */
#define NUMBERS_MOST 8u

/* Ids of an owner's segments, each behind its length. */
struct owned {
	const uint8_t *key;
	struct buf ids;
	size_t n, max;
};

static bool
owned_add(struct index_blob key, struct index_blob value, void *ctx)
{
	struct owned *o = ctx;

	if (key.len != 4 || memcmp(key.data, o->key, 4) != 0)
		return false;
	if (value.len == 0 || value.len > STORE_ID_MAX)
		return true;
	buf_u8(&o->ids, (uint8_t)value.len);
	buf_append(&o->ids, value.data, value.len);
	return ++o->n < o->max && buf_error(&o->ids) == 0;
}

static void
disown(struct txn *t, uint32_t number, uint32_t below)
{
	uint32_t bit = 0;

	for (uint32_t i = 0; i < t->edit.n_owners; i++)
		if (t->edit.owners[i] == number)
			bit = UINT32_C(1) << i;
	for (size_t i = t->edit.n; i-- > 0;) {
		struct segrec_entry *e = &t->edit.entries[i];

		if (!(e->owners & bit) || e->volume >= below)
			continue;
		t->changed = true;
		e->owners &= ~bit;
		if (e->owners == 0)
			segrec_edit_remove(&t->edit, e);
	}
}

struct flush {
	uint8_t who[OWNER_KEY];
	uint32_t below;
	bool damaged;
	size_t n;
	uint32_t numbers[NUMBERS_MOST];
	/* segments to be looked at */
	struct buf ids;
	uint8_t last[STORE_ID_MAX];
	size_t last_len;
	size_t n_ids;
};

static int
flush_owned(struct txn *t, uint32_t number, struct flush *f, struct owned *o)
{
	struct index_blob key = {o->key, 4};
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < o->ids.len) {
		const uint8_t *id = o->ids.data + at + 1;
		size_t len = o->ids.data[at];

		at += 1 + len;
		r = txn_segment(t, id, len);
		if (r == 0 && !txn_has_owner(t, number))
			f->damaged = true;
		if (r == 0)
			disown(t, number, f->below);
		/* Also where the segment knows nothing of him. */
		if (r == 0 && !txn_has_owner(t, number))
			r = index_txn_delete(t->index, T_OWNED, key,
				(struct index_blob){id, len});
	}
	return err_pass(r);
}

/* One round takes up to FLUSH_IDS segments; those that keep a block of his
 * would come again, so there is one round only where that can be. */
static int
flush_number(struct txn *t, uint32_t number, struct flush *f)
{
	uint8_t key[4];
	struct owned o = {.key = key,
		.max = f->below != UINT32_MAX ? SIZE_MAX : FLUSH_IDS};
	bool first = true;
	int r;

	number_key(key, number);
	buf_init(&o.ids, SIZE_MAX);
	do {
		o.n = 0;
		buf_reset(&o.ids);
		r = index_txn_each(t->index, T_OWNED,
			(struct index_blob){key, sizeof(key)}, owned_add, &o);
		if (r == 0)
			r = buf_error(&o.ids);
		/* Who has nothing has no number. */
		if (r == 0 && first && o.n == 0)
			f->damaged = true;
		first = false;
		if (r == 0)
			r = flush_owned(t, number, f, &o);
		if (r == 0)
			r = txn_segment_save(t);
	} while (r == 0 && o.n == o.max);
	buf_done(&o.ids);
	return err_pass(r);
}

static void
flush_add(struct flush *f, uint32_t number)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->numbers[i] == number)
			return;
	if (f->n < NUMBERS_MOST)
		f->numbers[f->n++] = number;
}

static bool
flush_name(struct index_blob key, struct index_blob value, void *ctx)
{
	struct flush *f = ctx;

	if (key.len == 4 && value.len == OWNER_KEY &&
		memcmp(value.data, f->who, OWNER_KEY) == 0)
		flush_add(f, number_unkey(key.data));
	return true;
}

/* Whether all agrees that the number is somebody else's. */
static bool
is_anothers(struct txn *t, uint32_t number, const struct flush *f)
{
	struct store_owner name;
	uint8_t who[OWNER_KEY];
	uint32_t found;

	if (txn_owner_name(t, number, &name) != 0)
		return false;
	owner_key(who, &name);
	return memcmp(who, f->who, OWNER_KEY) != 0 &&
		txn_owner_find(t, &name, &found) == 0 && found == number;
}

static int
flush_numbers(struct txn *t, struct flush *f)
{
	struct index_blob value;
	uint32_t number;
	int r = index_txn_each(
		t->index, T_NAMES, (struct index_blob){0}, flush_name, f);

	if (r == 0)
		r = index_txn_get(t->index, T_OWNERS,
			(struct index_blob){f->who, OWNER_KEY}, &value);
	if (r != 0 && r != -ENOENT)
		return err_pass(r);
	if (r == 0 && value.len == 4) {
		number = number_unkey(value.data);
		if (f->n == 1 && f->numbers[0] == number)
			return 0;
		if (!is_anothers(t, number, f))
			flush_add(f, number);
	}
	f->damaged = r == 0 || f->n > 0;
	return 0;
}

static bool
flush_segment(struct index_blob key, struct index_blob value, void *ctx)
{
	struct flush *f = ctx;
	struct segrec rec;
	bool his = false;

	if (key.len > STORE_ID_MAX ||
		segrec_parse(&rec, key.data, key.len, value.data, value.len) !=
			0)
		return true;
	for (uint32_t i = 0; i < rec.n_owners; i++)
		for (size_t k = 0; k < f->n; k++)
			his |= segrec_owner(&rec, i) == f->numbers[k];
	if (!his)
		return true;
	memcpy(f->last, key.data, key.len);
	f->last_len = key.len;
	buf_u8(&f->ids, (uint8_t)key.len);
	buf_append(&f->ids, key.data, key.len);
	return ++f->n_ids < FLUSH_IDS && buf_error(&f->ids) == 0;
}

static int
flush_ids(struct txn *t, struct flush *f)
{
	int r = buf_error(&f->ids);

	for (size_t at = 0; r == 0 && at < f->ids.len;
		at += 1 + f->ids.data[at]) {
		r = txn_segment(t, f->ids.data + at + 1, f->ids.data[at]);
		for (size_t k = 0; r == 0 && k < f->n; k++)
			disown(t, f->numbers[k], UINT32_MAX);
	}
	return r == 0 ? err_pass(txn_segment_save(t)) : err_pass(r);
}

/* His rows, whichever of them are left. */
static int
flush_rows(struct txn *t, const struct flush *f)
{
	struct index_blob all = {0};
	uint8_t key[4];
	int r = index_txn_delete(t->index, T_OWNERS,
		(struct index_blob){f->who, OWNER_KEY}, all);

	t->owner_known = false;
	for (size_t i = 0; r == 0 && i < f->n; i++) {
		struct index_blob k = {key, sizeof(key)};

		number_key(key, f->numbers[i]);
		r = index_txn_delete(t->index, T_NAMES, k, all);
		if (r == 0)
			r = index_txn_delete(t->index, T_OWNED, k, all);
	}
	return err_pass(r);
}

static int
flush_everywhere(struct txn *t, struct flush *f)
{
	int r = 0;

	buf_init(&f->ids, SIZE_MAX);
	do {
		f->n_ids = 0;
		buf_reset(&f->ids);
		r = index_txn_each(t->index, T_SEGMENTS,
			(struct index_blob){f->last, f->last_len},
			flush_segment, f);
		if (r == 0)
			r = flush_ids(t, f);
	} while (r == 0 && f->n_ids == FLUSH_IDS);
	buf_done(&f->ids);
	return r == 0 ? err_pass(flush_rows(t, f)) : err_pass(r);
}

/* While the index is made again it is new, and flushes are many. */
int
txn_flush(struct txn *t, const struct store_owner *owner, uint32_t below)
{
	struct flush f = {.below = below};
	uint32_t number;
	int r = txn_segment_save(t);

	owner_key(f.who, owner);
	if (r == 0 && below != UINT32_MAX) {
		r = txn_owner_find(t, owner, &number);
		if (r == -ENOENT)
			return 0;
		if (r == 0)
			flush_add(&f, number);
	} else if (r == 0) {
		r = flush_numbers(t, &f);
	}
	for (size_t i = 0; r == 0 && i < f.n; i++)
		r = flush_number(t, f.numbers[i], &f);
	if (r == 0 && f.damaged && below == UINT32_MAX)
		r = flush_everywhere(t, &f);
	return err_pass(r);
}

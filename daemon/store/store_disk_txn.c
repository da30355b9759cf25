/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store thread does to the index, in one transaction.
 *
 * Changes come segment by segment most of the time, so the segment at hand is
 * kept taken apart and is written when another one is wanted.  At that moment
 * the blocks of each volume are counted anew: those that were read are taken
 * off, those that are written are added; so no path can forget to count.
 * Entries that name a volume which is no more fall out on the way.
 *
 * An owner has a number as long as a segment names him:
 *
 *	owners	who -> number		names	number -> who
 *	owned	number -> each segment that has a block of his
 *
 * With his last segment his rows go.
 */
#include "daemon/store/store_disk_txn.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"
#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define STATE_LEN       16u
#define SEGREC_SIZE_MAX (1u << 20)

static void
put_u64(uint8_t *dst, uint64_t v)
{
	v = htole64(v);
	memcpy(dst, &v, sizeof(v));
}

static uint64_t
get_u64(const uint8_t *src)
{
	uint64_t v;

	memcpy(&v, src, sizeof(v));
	return le64toh(v);
}

void
number_key(uint8_t dst[4], uint32_t number)
{
	number = htobe32(number);
	memcpy(dst, &number, sizeof(number));
}

uint32_t
number_unkey(const uint8_t src[4])
{
	uint32_t number;

	memcpy(&number, src, sizeof(number));
	return be32toh(number);
}

void
owner_key(uint8_t dst[OWNER_KEY], const struct store_owner *owner)
{
	number_key(dst, owner->uid);
	memcpy(dst + 4, owner->tag, STORE_TAG_SIZE);
}

void
owner_unkey(struct store_owner *ret, const uint8_t src[OWNER_KEY])
{
	ret->uid = number_unkey(src);
	memcpy(ret->tag, src + 4, STORE_TAG_SIZE);
}

void
volume_row_build(uint8_t *dst, const struct volume_row *row)
{
	put_u64(dst, row->length);
	put_u64(dst + 8, row->born_s);
	put_u64(dst + 16, row->newest_s);
	put_u64(dst + 24, row->blocks);
	put_u64(dst + 32, row->bytes);
	put_u64(dst + 40, XXH3_64bits_withSeed(dst, 40, row->number));
}

bool
volume_row_parse(
	struct volume_row *ret, struct index_blob key, struct index_blob value)
{
	const uint8_t *p = value.data;
	uint32_t number;

	if (key.len != 4 || value.len != VOLUME_ROW_LEN)
		return false;
	number = number_unkey(key.data);
	if (get_u64(p + 40) != XXH3_64bits_withSeed(p, 40, number))
		return false;
	*ret = (struct volume_row){
		.number = number,
		.length = get_u64(p),
		.born_s = get_u64(p + 8),
		.newest_s = get_u64(p + 16),
		.blocks = get_u64(p + 24),
		.bytes = get_u64(p + 32),
	};
	return true;
}

static bool
state_parse(const char *name, struct index_blob value, uint64_t *ret)
{
	uint64_t v;

	if (value.len != STATE_LEN)
		return false;
	v = get_u64(value.data);
	if (get_u64((const uint8_t *)value.data + 8) !=
		XXH3_64bits_withSeed(name, strlen(name), v))
		return false;
	*ret = v;
	return true;
}

int
disk_state(struct index *index, const char *name, uint64_t *ret)
{
	struct index_blob key = {name, strlen(name)}, value;

	if (!index_get(index, T_STATE, key, &value))
		return -ENOENT;
	return state_parse(name, value, ret) ? 0 : -EBADMSG;
}

int
txn_state_get(struct txn *t, const char *name, uint64_t *ret)
{
	struct index_blob key = {name, strlen(name)}, value;
	int r = index_txn_get(t->index, T_STATE, key, &value);

	if (r == 0 && !state_parse(name, value, ret))
		r = -ENOENT;
	return r;
}

int
txn_state_set(struct txn *t, const char *name, uint64_t value)
{
	uint8_t bytes[STATE_LEN];

	put_u64(bytes, value);
	put_u64(bytes + 8, XXH3_64bits_withSeed(name, strlen(name), value));
	return err_pass(index_txn_put(t->index, T_STATE,
		(struct index_blob){name, strlen(name)},
		(struct index_blob){bytes, sizeof(bytes)}));
}

static bool
name_above(struct index_blob key, struct index_blob value, void *ctx)
{
	uint32_t *next = ctx;

	if (key.len == 4)
		*next = MAX_OF(*next, number_unkey(key.data) + 1);
	return true;
}

/* No number may be given twice, whatever became of the note. */
static int
load_next_owner(struct txn *t)
{
	uint64_t next = 0;
	int r = txn_state_get(t, STATE_NEXT_OWNER, &next);

	t->next_owner = (uint32_t)next;
	if (r != -ENOENT)
		return err_pass(r);
	return err_pass(index_txn_each(t->index, T_NAMES,
		(struct index_blob){0}, name_above, &t->next_owner));
}

int
txn_begin(struct txn *t, struct index *index, struct volume_row *rows, size_t n)
{
	int r;

	*t = (struct txn){.index = index, .rows = rows, .n_rows = n};
	r = index_begin(index);
	if (r != 0)
		return err_pass(r);
	r = load_next_owner(t);
	if (r != 0)
		index_abort(index);
	return err_pass(r);
}

struct volume_row *
txn_row(struct txn *t, uint32_t number)
{
	size_t lo = 0, hi = t->n_rows;

	if (t->last_row < hi && t->rows[t->last_row].number == number)
		return &t->rows[t->last_row];
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->rows[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == t->n_rows || t->rows[lo].number != number)
		return NULL;
	t->last_row = lo;
	return &t->rows[lo];
}

/* Takes the blocks of the segment off their volumes' counts, or adds them. */
static void
segment_count(struct txn *t, bool add)
{
	for (size_t i = 0; i < t->edit.n; i++) {
		const struct segrec_entry *e = &t->edit.entries[i];
		struct volume_row *row = txn_row(t, e->volume);

		if (row == NULL)
			continue;
		row->blocks += add ? 1 : (uint64_t)-1;
		row->bytes += add ? e->cipher_len : -(uint64_t)e->cipher_len;
		row->newest_s = MAX_OF(row->newest_s, e->born_s);
		row->changed = true;
	}
}

static void
segment_prune(struct txn *t)
{
	for (size_t i = t->edit.n; i-- > 0;) {
		if (txn_row(t, t->edit.entries[i].volume) != NULL)
			continue;
		segrec_edit_remove(&t->edit, &t->edit.entries[i]);
		t->changed = true;
	}
}

static int
segment_load(struct txn *t, const uint8_t *id, size_t id_len)
{
	struct segrec rec, *found = NULL;
	struct index_blob value;
	int r;

	r = index_txn_get(
		t->index, T_SEGMENTS, (struct index_blob){id, id_len}, &value);
	if (r != 0 && r != -ENOENT)
		return err_pass(r);
	if (r == 0 &&
		segrec_parse(&rec, id, id_len, value.data, value.len) == 0)
		found = &rec;
	r = segrec_edit_init(&t->edit, found);
	if (r != 0)
		return err_pass(r);
	memcpy(t->id, id, id_len);
	t->id_len = id_len;
	t->changed = false;
	t->n_before = t->edit.n_owners;
	memcpy(t->before, t->edit.owners, sizeof(t->before));
	segment_prune(t);
	segment_count(t, false);
	return 0;
}

/* Whether the segment at hand has a block of that owner. */
bool
txn_has_owner(const struct txn *t, uint32_t number)
{
	uint32_t bit = 0;

	for (uint32_t i = 0; i < t->edit.n_owners; i++)
		if (t->edit.owners[i] == number)
			bit = UINT32_C(1) << i;
	for (size_t i = 0; bit != 0 && i < t->edit.n; i++)
		if (t->edit.entries[i].owners & bit)
			return true;
	return false;
}

struct first_key {
	const uint8_t *key;
	bool found;
};

static bool
first_key(struct index_blob key, struct index_blob value, void *ctx)
{
	struct first_key *f = ctx;

	f->found = key.len == 4 && memcmp(key.data, f->key, 4) == 0;
	return false;
}

/* The segment at hand is his no more.  With the last one he goes. */
static int
owner_leaves(struct txn *t, uint32_t number)
{
	uint8_t key[4], who[OWNER_KEY];
	struct index_blob k = {key, sizeof(key)}, name;
	struct first_key first = {.key = key};
	int r;

	number_key(key, number);
	r = index_txn_delete(
		t->index, T_OWNED, k, (struct index_blob){t->id, t->id_len});
	if (r == 0)
		r = index_txn_each(t->index, T_OWNED, k, first_key, &first);
	if (r != 0 || first.found)
		return err_pass(r);
	if (t->owner_number == number)
		t->owner_known = false;
	r = index_txn_get(t->index, T_NAMES, k, &name);
	if (r != 0)
		return r == -ENOENT ? 0 : err_pass(r);
	if (name.len == OWNER_KEY) {
		memcpy(who, name.data, OWNER_KEY);
		r = index_txn_delete(t->index, T_OWNERS,
			(struct index_blob){who, OWNER_KEY},
			(struct index_blob){0});
	}
	if (r == 0)
		r = index_txn_delete(
			t->index, T_NAMES, k, (struct index_blob){0});
	return err_pass(r);
}

static int
owner_comes(struct txn *t, uint32_t number)
{
	uint8_t key[4];

	number_key(key, number);
	return err_pass(index_txn_put(t->index, T_OWNED,
		(struct index_blob){key, sizeof(key)},
		(struct index_blob){t->id, t->id_len}));
}

static bool
was_before(const struct txn *t, uint32_t number)
{
	for (uint32_t i = 0; i < t->n_before; i++)
		if (t->before[i] == number)
			return true;
	return false;
}

static int
segment_save_owners(struct txn *t)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->edit.n_owners; i++) {
		uint32_t number = t->edit.owners[i];

		/* He may have come and gone: nothing of him may be left. */
		if (!was_before(t, number))
			r = txn_has_owner(t, number) ? owner_comes(t, number)
						     : owner_leaves(t, number);
	}
	for (uint32_t i = 0; r == 0 && i < t->n_before; i++)
		if (!txn_has_owner(t, t->before[i]))
			r = owner_leaves(t, t->before[i]);
	return err_pass(r);
}

static int
segment_write(struct txn *t)
{
	struct index_blob key = {t->id, t->id_len};
	struct buf b;
	int r;

	if (t->edit.n == 0)
		return err_pass(index_txn_delete(
			t->index, T_SEGMENTS, key, (struct index_blob){0}));
	buf_init(&b, SEGREC_SIZE_MAX);
	r = segrec_build(&b, &t->edit, t->id, t->id_len);
	if (r == 0)
		r = index_txn_put(t->index, T_SEGMENTS, key,
			(struct index_blob){b.data, b.len});
	buf_done(&b);
	return err_pass(r);
}

int
txn_segment_save(struct txn *t)
{
	int r = 0;

	if (t->id_len == 0)
		return 0;
	segment_count(t, true);
	if (t->changed)
		r = segment_save_owners(t);
	if (r == 0 && t->changed)
		r = segment_write(t);
	segrec_edit_done(&t->edit);
	t->id_len = 0;
	return err_pass(r);
}

int
txn_segment(struct txn *t, const uint8_t *id, size_t id_len)
{
	int r;

	if (t->id_len == id_len && memcmp(t->id, id, id_len) == 0)
		return 0;
	r = txn_segment_save(t);
	if (r == 0)
		r = segment_load(t, id, id_len);
	return err_pass(r);
}

static int
save_rows(struct txn *t)
{
	uint8_t key[4], value[VOLUME_ROW_LEN];
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n_rows; i++) {
		if (!t->rows[i].changed)
			continue;
		number_key(key, t->rows[i].number);
		volume_row_build(value, &t->rows[i]);
		r = index_txn_put(t->index, T_VOLUMES,
			(struct index_blob){key, sizeof(key)},
			(struct index_blob){value, sizeof(value)});
	}
	return err_pass(r);
}

int
txn_commit(struct txn *t, uint32_t next_number)
{
	int r = txn_segment_save(t);

	if (r == 0)
		r = save_rows(t);
	if (r == 0)
		r = txn_state_set(t, STATE_NEXT_OWNER, t->next_owner);
	if (r == 0)
		r = txn_state_set(t, STATE_NEXT_VOLUME, next_number);
	if (r != 0) {
		index_abort(t->index);
		return err_pass(r);
	}
	return err_pass(index_commit(t->index));
}

void
txn_abort(struct txn *t)
{
	segrec_edit_done(&t->edit);
	t->id_len = 0;
	index_abort(t->index);
}

int
txn_owner_name(struct txn *t, uint32_t number, struct store_owner *ret)
{
	struct index_blob value;
	uint8_t key[4];
	int r;

	number_key(key, number);
	r = index_txn_get(t->index, T_NAMES,
		(struct index_blob){key, sizeof(key)}, &value);
	if (r == 0 && value.len != OWNER_KEY)
		r = -ENOENT;
	if (r == 0)
		owner_unkey(ret, value.data);
	return r;
}

/* Both rows must agree, since a bit may have flipped in one. */
int
txn_owner_find(struct txn *t, const struct store_owner *owner, uint32_t *ret)
{
	struct store_owner name;
	struct index_blob value;
	uint8_t key[OWNER_KEY];
	int r;

	if (t->owner_known && memcmp(&t->owner, owner, sizeof(*owner)) == 0) {
		*ret = t->owner_number;
		return 0;
	}
	owner_key(key, owner);
	r = index_txn_get(t->index, T_OWNERS,
		(struct index_blob){key, sizeof(key)}, &value);
	if (r == 0 && value.len != 4)
		r = -ENOENT;
	if (r != 0)
		return r;
	*ret = number_unkey(value.data);
	r = txn_owner_name(t, *ret, &name);
	if (r == 0 && memcmp(&name, owner, sizeof(name)) != 0)
		r = -ENOENT;
	if (r == 0) {
		t->owner = *owner;
		t->owner_number = *ret;
		t->owner_known = true;
	}
	return r;
}

static int
owner_number(struct txn *t, const struct store_owner *owner, uint32_t *ret)
{
	uint8_t key[OWNER_KEY], number[4];
	int r = txn_owner_find(t, owner, ret);

	if (r != -ENOENT)
		return err_pass(r);
	*ret = t->next_owner++;
	owner_key(key, owner);
	number_key(number, *ret);
	r = index_txn_put(t->index, T_OWNERS,
		(struct index_blob){key, sizeof(key)},
		(struct index_blob){number, sizeof(number)});
	if (r == 0)
		r = index_txn_put(t->index, T_NAMES,
			(struct index_blob){number, sizeof(number)},
			(struct index_blob){key, sizeof(key)});
	if (r == 0) {
		t->owner = *owner;
		t->owner_number = *ret;
		t->owner_known = true;
	}
	return err_pass(r);
}

/* His bit in the segment at hand. */
static int
owner_bit(struct txn *t, const struct store_owner *owner, uint32_t *ret)
{
	uint32_t number, lost;
	int r = owner_number(t, owner, &number);

	if (r != 0)
		return err_pass(r);
	*ret = segrec_edit_owner(&t->edit, number, &lost);
	t->changed = true;
	if (lost == UINT32_MAX)
		return 0;
	/* Others are seen to when the segment is written. */
	if (!was_before(t, lost))
		r = owner_leaves(t, lost);
	/* A block that nobody owns could never be flushed. */
	for (size_t i = t->edit.n; i-- > 0;)
		if (t->edit.entries[i].owners == 0)
			segrec_edit_remove(&t->edit, &t->edit.entries[i]);
	return err_pass(r);
}

static void
pass_fence(struct txn *t, const struct segrec_entry *e)
{
	struct segrec_entry *old =
		segrec_edit_find(&t->edit, e->index, e->claim);

	if (old == NULL || old->volume >= t->fence || e->volume < t->fence)
		return;
	segrec_edit_remove(&t->edit, old);
	t->changed = true;
}

int
txn_put(struct txn *t, const struct change *c)
{
	struct segrec_entry e = c->at;
	int r = txn_segment(t, c->id, c->id_len);

	if (r == 0 && txn_row(t, e.volume) == NULL)
		return 0;
	if (r == 0)
		pass_fence(t, &e);
	if (r == 0)
		r = owner_bit(t, &c->owner, &e.owners);
	if (r == 0)
		r = segrec_edit_put(&t->edit, &e);
	return r == -E2BIG ? 0 : err_pass(r);
}

static int
change_owner(struct txn *t, const struct change *c)
{
	int r = txn_segment(t, c->id, c->id_len);
	struct segrec_entry *e;
	uint32_t bit;

	if (r != 0 ||
		segrec_edit_find(&t->edit, c->at.index, c->at.claim) == NULL)
		return err_pass(r);
	r = owner_bit(t, &c->owner, &bit);
	if (r != 0)
		return err_pass(r);
	e = segrec_edit_find(&t->edit, c->at.index, c->at.claim);
	if (e == NULL)
		return 0;
	e->owners |= bit;
	e->proved |= c->at.proved && !e->sealed;
	return 0;
}

static int
change_drop(struct txn *t, const struct change *c)
{
	int r = txn_segment(t, c->id, c->id_len);
	struct segrec_entry *e;

	if (r != 0)
		return err_pass(r);
	e = segrec_edit_find(&t->edit, c->at.index, c->at.claim);
	if (e == NULL || e->volume != c->at.volume || e->offset != c->at.offset)
		return 0;
	segrec_edit_remove(&t->edit, e);
	t->changed = true;
	return 0;
}

int
txn_change(struct txn *t, const struct change *c)
{
	int r;

	switch (c->kind) {
	case CHANGE_PUT:
		r = index_txn_reserve(t->index, 2 * SEGREC_ENTRY);
		return r != 0 ? err_pass(r) : err_pass(txn_put(t, c));
	case CHANGE_OWNER:
		return err_pass(change_owner(t, c));
	case CHANGE_DROP:
		return err_pass(change_drop(t, c));
	case CHANGE_FLUSH:
		return err_pass(txn_flush(t, &c->owner, UINT32_MAX));
	case CHANGE_VOLUME:
		return err_pass(txn_volume_gone(t, c->at.volume));
	}
	return 0;
}

int
txn_clear(struct txn *t)
{
	static const enum disk_table all[] = {
		T_SEGMENTS, T_VOLUMES, T_OWNERS, T_NAMES, T_OWNED};
	int r = 0;

	segrec_edit_done(&t->edit);
	t->id_len = 0;
	t->owner_known = false;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++)
		r = index_txn_clear(t->index, all[i]);
	return err_pass(r);
}

int
txn_volume_gone(struct txn *t, uint32_t number)
{
	uint8_t key[4];

	number_key(key, number);
	return err_pass(index_txn_delete(t->index, T_VOLUMES,
		(struct index_blob){key, sizeof(key)}, (struct index_blob){0}));
}

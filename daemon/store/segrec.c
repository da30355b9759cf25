/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of segments as bytes, and changes to them.
 *
 * The look-up runs on the loop for each block that somebody wants, so it reads
 * the bytes where LMDB has them.  In a segment that is there as a whole, entry
 * i is block i, which is tried before the binary search.
 *
 * What segrec_parse() accepts obeys every rule that segrec_edit_put() keeps; so
 * an edit begins in order and one put can drive out no more than one entry.
 *
 * Owners stand in the order in which they came.  A bit is a position in that
 * order: whoever takes one out of the middle shifts the bits above.
 */
#include "daemon/store/segrec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/store/record.h"

#define EDIT_ROOM 8 /* for entries to come */

#define AT_HASH   8u
#define AT_CLAIM  32u
#define OWNER_LEN 4u

enum segrec_flag {
	FLAG_PROVED = 1,
	FLAG_SEALED = 2,
};

/* Of those with the same index and kind, so many stay. */
enum kind {
	KIND_PROVED,
	KIND_SEALED,
	KIND_UNPROVED,
	_KIND_MAX,
};

static const size_t kind_most[_KIND_MAX] = {
	[KIND_PROVED] = SIZE_MAX,
	[KIND_SEALED] = 1,
	[KIND_UNPROVED] = STORE_VARIANTS,
};

static inline uint32_t
get_u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24;
}

static inline uint64_t
get_u64(const uint8_t *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static inline const uint8_t *
entry_at(const struct segrec *s, uint32_t i)
{
	return s->data + SEGREC_HEADER + OWNER_LEN * s->n_owners +
		(size_t)SEGREC_ENTRY * i;
}

static enum kind
kind_of_flags(unsigned flags)
{
	if (flags & FLAG_PROVED)
		return KIND_PROVED;
	return flags & FLAG_SEALED ? KIND_SEALED : KIND_UNPROVED;
}

static enum kind
kind_of(const struct segrec_entry *e)
{
	return kind_of_flags((e->proved ? FLAG_PROVED : 0u) |
		(e->sealed ? FLAG_SEALED : 0u));
}

static uint32_t
owners_mask(uint32_t n)
{
	return n >= 32 ? UINT32_MAX : (UINT32_C(1) << n) - 1;
}

static uint64_t
segrec_hash(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len)
{
	uint64_t seed = XXH3_64bits_withSeed(key, key_len, get_u64(data));

	return XXH3_64bits_withSeed(
		data + SEGREC_HEADER, len - SEGREC_HEADER, seed);
}

/* Whether entry i may follow the one before it. */
static bool
entry_follows(const struct segrec *s, uint32_t i)
{
	const uint8_t *e = entry_at(s, i), *before = e - SEGREC_ENTRY;
	uint32_t index = get_u32(e);
	size_t n[_KIND_MAX] = {0};
	enum kind kind;

	if (i == 0 || index > get_u32(before))
		return true;
	if (index < get_u32(before) ||
		memcmp(before + AT_CLAIM, e + AT_CLAIM, STORE_CLAIM_SIZE) >= 0)
		return false;
	kind = kind_of_flags(e[13]);
	for (uint32_t j = i + 1; j-- > 0 && get_u32(entry_at(s, j)) == index;)
		n[kind_of_flags(entry_at(s, j)[13])]++;
	return n[kind] <= kind_most[kind];
}

static bool
entry_valid(const struct segrec *s, uint32_t i, uint32_t mask)
{
	const uint8_t *e = entry_at(s, i);

	return e[13] <= FLAG_SEALED && e[14] == 0 && e[15] == 0 &&
		(get_u32(e + 28) & ~mask) == 0 && entry_follows(s, i);
}

int
segrec_parse(struct segrec *ret, const uint8_t *key, size_t key_len,
	const uint8_t *data, size_t len)
{
	struct segrec s = {.data = data};
	uint32_t mask;

	if (len < SEGREC_HEADER)
		return SEGREC_E_SHORT;
	if (data[0] != SEGREC_FORMAT)
		return SEGREC_E_FORMAT;
	s.n_owners = data[1];
	s.n_entries = get_u32(data + 4);
	if (s.n_owners > SEGREC_OWNERS || s.n_entries > SEGREC_MOST)
		return SEGREC_E_VALUE;
	if (len !=
		SEGREC_HEADER + OWNER_LEN * s.n_owners +
			(size_t)SEGREC_ENTRY * s.n_entries)
		return SEGREC_E_SHORT;
	if (segrec_hash(key, key_len, data, len) != get_u64(data + AT_HASH))
		return SEGREC_E_HASH;
	if (data[2] != 0 || data[3] != 0)
		return SEGREC_E_VALUE;
	mask = owners_mask(s.n_owners);
	for (uint32_t i = 0; i < s.n_entries; i++)
		if (!entry_valid(&s, i, mask))
			return SEGREC_E_VALUE;
	*ret = s;
	return SEGREC_OK;
}

uint32_t
segrec_owner(const struct segrec *s, uint32_t i)
{
	assert(i < s->n_owners);
	return get_u32(s->data + SEGREC_HEADER + (size_t)OWNER_LEN * i);
}

void
segrec_entry(const struct segrec *s, uint32_t i, struct segrec_entry *ret)
{
	const uint8_t *p;

	assert(i < s->n_entries);
	p = entry_at(s, i);
	ret->index = get_u32(p);
	ret->volume = get_u32(p + 4);
	ret->offset = (uint64_t)get_u32(p + 8) * RECORD_ALIGN;
	ret->algo = p[12];
	ret->proved = (p[13] & FLAG_PROVED) != 0;
	ret->sealed = (p[13] & FLAG_SEALED) != 0;
	ret->plain_len = get_u32(p + 16);
	ret->cipher_len = get_u32(p + 20);
	ret->born_s = get_u32(p + 24);
	ret->owners = get_u32(p + 28);
	memcpy(ret->claim, p + AT_CLAIM, STORE_CLAIM_SIZE);
}

uint32_t
segrec_lower_bound(const struct segrec *s, uint32_t index)
{
	uint32_t lo = 0, hi = s->n_entries;

	if (index < hi && get_u32(entry_at(s, index)) == index &&
		(index == 0 || get_u32(entry_at(s, index - 1)) < index))
		return index;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (get_u32(entry_at(s, mid)) < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
segrec_edit_init(struct segrec_edit *e, const struct segrec *s)
{
	*e = (struct segrec_edit){0};
	if (s == NULL)
		return 0;
	e->entries = malloc((s->n_entries + EDIT_ROOM) * sizeof(*e->entries));
	if (e->entries == NULL)
		return err_new(-ENOMEM);
	e->cap = s->n_entries + EDIT_ROOM;
	for (; e->n_owners < s->n_owners; e->n_owners++)
		e->owners[e->n_owners] = segrec_owner(s, e->n_owners);
	for (; e->n < s->n_entries; e->n++)
		segrec_entry(s, (uint32_t)e->n, &e->entries[e->n]);
	return 0;
}

void
segrec_edit_done(struct segrec_edit *e)
{
	if (e == NULL)
		return;
	free(e->entries);
	*e = (struct segrec_edit){0};
}

uint32_t
segrec_edit_owner(struct segrec_edit *e, uint32_t owner, uint32_t *ret_lost)
{
	uint32_t i;

	*ret_lost = UINT32_MAX;
	for (i = 0; i < e->n_owners; i++)
		if (e->owners[i] == owner)
			return UINT32_C(1) << i;
	if (e->n_owners == SEGREC_OWNERS) {
		*ret_lost = e->owners[0];
		e->n_owners--;
		memmove(e->owners, e->owners + 1,
			e->n_owners * sizeof(*e->owners));
		for (size_t j = 0; j < e->n; j++)
			e->entries[j].owners >>= 1;
	}
	e->owners[e->n_owners] = owner;
	return UINT32_C(1) << e->n_owners++;
}

/* Position of the first entry not below index and claim. */
static size_t
edit_position(const struct segrec_edit *e, uint32_t index, const uint8_t *claim)
{
	size_t lo = 0, hi = e->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct segrec_entry *m = &e->entries[mid];

		if (m->index < index ||
			(m->index == index &&
				memcmp(m->claim, claim, STORE_CLAIM_SIZE) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct segrec_entry *
segrec_edit_find(struct segrec_edit *e, uint32_t index, const uint8_t *claim)
{
	size_t at = edit_position(e, index, claim);

	if (at == e->n || e->entries[at].index != index ||
		memcmp(e->entries[at].claim, claim, STORE_CLAIM_SIZE) != 0)
		return NULL;
	return &e->entries[at];
}

void
segrec_edit_remove(struct segrec_edit *e, struct segrec_entry *entry)
{
	size_t at = (size_t)(entry - e->entries);

	assert(at < e->n);
	e->n--;
	memmove(entry, entry + 1, (e->n - at) * sizeof(*entry));
}

/* In the order in which they were born; within a second as they were
 * written. */
static bool
is_older(const struct segrec_entry *a, const struct segrec_entry *b)
{
	if (a->born_s != b->born_s)
		return a->born_s < b->born_s;
	if (a->volume != b->volume)
		return a->volume < b->volume;
	return a->offset < b->offset;
}

/* The one that has to go when add comes, or NULL.  skip: the one that add is
 * the successor of. */
static struct segrec_entry *
edit_victim(struct segrec_edit *e, const struct segrec_entry *add,
	const struct segrec_entry *skip)
{
	static const uint8_t lowest[STORE_CLAIM_SIZE];
	size_t i = edit_position(e, add->index, lowest), n = 0;
	struct segrec_entry *oldest = NULL;
	enum kind kind = kind_of(add);

	for (; i < e->n && e->entries[i].index == add->index; i++) {
		struct segrec_entry *other = &e->entries[i];

		if (other == skip || kind_of(other) != kind)
			continue;
		n++;
		if (oldest == NULL || is_older(other, oldest))
			oldest = other;
	}
	return n >= kind_most[kind] ? oldest : NULL;
}

static void
edit_lose(struct segrec_edit *e, const struct segrec_entry *lost)
{
	e->lost[e->n_lost++] = *lost;
}

static void
edit_replace(struct segrec_edit *e, struct segrec_entry *old,
	const struct segrec_entry *add)
{
	struct segrec_entry joined = *add, *victim;

	joined.owners |= old->owners;
	joined.proved = !add->sealed && (add->proved || old->proved);
	victim = edit_victim(e, &joined, old);
	edit_lose(e, old);
	*old = joined;
	if (victim == NULL)
		return;
	edit_lose(e, victim);
	segrec_edit_remove(e, victim);
}

static int
edit_reserve(struct segrec_edit *e)
{
	size_t cap = MAX_OF(e->cap * 2, EDIT_ROOM);
	struct segrec_entry *p;

	if (e->n >= SEGREC_MOST)
		return err_new(-E2BIG);
	if (e->n < e->cap)
		return 0;
	p = realloc(e->entries, cap * sizeof(*p));
	if (p == NULL)
		return err_new(-ENOMEM);
	e->entries = p;
	e->cap = cap;
	return 0;
}

int
segrec_edit_put(struct segrec_edit *e, const struct segrec_entry *add)
{
	struct segrec_entry *old, *victim;
	size_t at;
	int r;

	assert(add->offset % RECORD_ALIGN == 0);
	assert(add->offset / RECORD_ALIGN <= UINT32_MAX);
	assert(!add->sealed || !add->proved);
	e->n_lost = 0;
	old = segrec_edit_find(e, add->index, add->claim);
	if (old != NULL) {
		edit_replace(e, old, add);
		return 0;
	}
	victim = edit_victim(e, add, NULL);
	if (victim != NULL) {
		edit_lose(e, victim);
		segrec_edit_remove(e, victim);
	} else if ((r = edit_reserve(e)) != 0)
		return err_pass(r);
	at = edit_position(e, add->index, add->claim);
	memmove(&e->entries[at + 1], &e->entries[at],
		(e->n - at) * sizeof(*e->entries));
	e->entries[at] = *add;
	e->n++;
	return 0;
}

/* Bits move down to where the owners that are left out leave gaps. */
static uint32_t
squeeze(uint32_t owners, uint32_t used)
{
	uint32_t out = 0;

	if ((used & (used + 1)) == 0)
		return owners & used;
	for (unsigned from = 0, to = 0; from < 32; from++)
		if (used >> from & 1)
			out |= (owners >> from & 1) << to++;
	return out;
}

static void
build_entry(struct buf *b, const struct segrec_entry *e, uint32_t used)
{
	buf_le32(b, e->index);
	buf_le32(b, e->volume);
	buf_le32(b, (uint32_t)(e->offset / RECORD_ALIGN));
	buf_u8(b, e->algo);
	buf_u8(b,
		(e->proved ? FLAG_PROVED : 0) | (e->sealed ? FLAG_SEALED : 0));
	buf_le16(b, 0);
	buf_le32(b, e->plain_len);
	buf_le32(b, e->cipher_len);
	buf_le32(b, e->born_s);
	buf_le32(b, squeeze(e->owners, used));
	buf_append(b, e->claim, STORE_CLAIM_SIZE);
}

int
segrec_build(struct buf *b, const struct segrec_edit *e, const uint8_t *key,
	size_t key_len)
{
	size_t at = b->len;
	uint32_t used = 0;
	uint64_t hash;

	for (size_t i = 0; i < e->n; i++)
		used |= e->entries[i].owners;
	used &= owners_mask(e->n_owners);
	buf_u8(b, SEGREC_FORMAT);
	buf_u8(b, (uint8_t)__builtin_popcount(used));
	buf_le16(b, 0);
	buf_le32(b, (uint32_t)e->n);
	buf_le64(b, 0);
	for (uint32_t i = 0; i < e->n_owners; i++)
		if (used >> i & 1)
			buf_le32(b, e->owners[i]);
	for (size_t i = 0; i < e->n; i++)
		build_entry(b, &e->entries[i], used);
	if (buf_error(b) != 0)
		return err_pass(buf_error(b));
	hash = segrec_hash(key, key_len, b->data + at, b->len - at);
	for (size_t i = 0; i < 8; i++)
		b->data[at + AT_HASH + i] = (uint8_t)(hash >> 8 * i);
	return 0;
}

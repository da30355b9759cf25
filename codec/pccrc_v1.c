/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Version 1.0 of content information, MS-PCCRC 2.3: little-endian
 *
 *   header          Version, dwHashAlgo, dwOffsetInFirstSegment,
 *                   dwReadBytesInLastSegment, cSegments
 *   cSegments times ullOffsetInContent, cbSegment, cbBlockSize, HoD, Kp
 *   cSegments times cBlocks and that many block hashes
 *
 * Range: it begins dwOffset behind the start of the first segment.  dwRead 0
 * says that it reaches the end of the last; otherwise dwRead counts from the
 * start of the range when there is one segment, and from the start of the last
 * when there are several.
 *
 * Lists: writers differ in which hashes of a segment they list, and the count
 * tells which: from block 0 to the last that the range touches (what we write,
 * and Windows), all, or only those that the range touches.
 *
 * The block lists of a 64 MiB structure are passed over here, not copied; they
 * are hashed when the whole is there.
 */
#include <assert.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/macros.h"
#include "common/rd.h"

enum v1_step {
	V1_HASH, /* the version is read by the common code */
	V1_REST,
	V1_FIELDS,
	V1_SECRETS,
	V1_COUNT,
	V1_LIST,
	V1_DONE,
};

static const struct {
	uint32_t wire; /* the ALG_IDs of CryptoAPI */
	enum bulk_hash hash;
} v1_hashes[] = {
	{0x800c, BULK_SHA256},
	{0x800d, BULK_SHA384},
	{0x800e, BULK_SHA512},
};

static uint32_t
blocks_of(uint32_t len)
{
	return (len + PCCRC_BLOCK_SIZE - 1) / PCCRC_BLOCK_SIZE;
}

size_t
pccrc_v1_need(const struct pccrc_scan *s)
{
	switch ((enum v1_step)s->step) {
	case V1_HASH:
		return 4;
	case V1_REST:
		return 12;
	case V1_FIELDS:
		return V1_FIELDS_SIZE;
	case V1_SECRETS:
		return 2 * s->hash_size;
	case V1_COUNT:
		return V1_COUNT_SIZE;
	case V1_LIST:
		return s->list_blocks * s->hash_size;
	case V1_DONE:
		return 1;
	}
	assert(false);
}

static int
step_hash(struct pccrc_scan *s, struct rd *r)
{
	uint32_t wire = rd_le32(r);

	for (size_t i = 0; i < ARRAY_LEN(v1_hashes); i++) {
		if (v1_hashes[i].wire != wire)
			continue;
		s->hash = v1_hashes[i].hash;
		s->hash_size = bulk_digest_size(s->hash);
		s->step = V1_REST;
		return 0;
	}
	return PCCRC_E_BAD_HASH_ALGO;
}

static int
step_rest(struct pccrc_scan *s, struct rd *r)
{
	uint64_t least;

	s->first_offset = rd_le32(r);
	s->last_read = rd_le32(r);
	s->count = rd_le32(r);
	if (s->count == 0)
		return PCCRC_E_ZERO_SEGMENTS;
	/* Each segment costs its description and a list of one hash. */
	least = s->count *
		(uint64_t)(V1_FIELDS_SIZE + V1_COUNT_SIZE + 3 * s->hash_size);
	if (least > s->limit - V1_HEADER_SIZE)
		return pccrc_too_long(s, PCCRC_E_SEGMENT_TABLE_TRUNCATED);
	s->step = V1_FIELDS;
	return 0;
}

/* Behind the last segment description all of the range is known. */
static int
check_range(struct pccrc_scan *s)
{
	uint64_t base = s->count == 1 ? s->range_start : s->end - s->last_len;

	if (s->last_read == 0)
		s->range_end = s->end;
	else if (s->last_read > s->end - base)
		return PCCRC_E_RANGE_OUT_OF_SEGMENTS;
	else
		s->range_end = base + s->last_read;
	return 0;
}

static int
check_fields(const struct pccrc_scan *s, uint64_t start, uint32_t len,
	uint32_t block_size)
{
	uint64_t end;

	if (block_size != PCCRC_BLOCK_SIZE)
		return PCCRC_E_BAD_BLOCK_SIZE;
	if (len == 0)
		return PCCRC_E_ZERO_SEGMENT_LENGTH;
	if (len > PCCRC_SEGMENT_SIZE)
		return PCCRC_E_SEGMENT_TOO_LONG;
	if (len != PCCRC_SEGMENT_SIZE && s->n_segments + 1 < s->count)
		return PCCRC_E_SHORT_INNER_SEGMENT;
	if (__builtin_add_overflow(start, len, &end))
		return PCCRC_E_OFFSET_OVERFLOW;
	if (start % PCCRC_SEGMENT_SIZE != 0)
		return PCCRC_E_SEGMENT_UNALIGNED;
	if (s->n_segments > 0 && start != s->end)
		return PCCRC_E_SEGMENT_GAP;
	if (s->n_segments == 0 && s->first_offset >= len)
		return PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE;
	return 0;
}

static int
step_fields(struct pccrc_scan *s, struct rd *r)
{
	uint64_t start = rd_le64(r);
	uint32_t len = rd_le32(r);
	uint32_t block_size = rd_le32(r);
	int bad = check_fields(s, start, len, block_size);

	if (bad != 0)
		return bad;
	if (s->n_segments == 0) {
		s->start = start;
		s->range_start = start + s->first_offset;
	}
	s->end = start + len;
	s->last_len = len;
	s->n_segments++;
	s->step = V1_SECRETS;
	return s->n_segments == s->count ? check_range(s) : 0;
}

/* Segment i of the table: all but the last are of full size. */
static void
locate(const struct pccrc_scan *s, size_t i, uint64_t *ret_start,
	uint32_t *ret_len)
{
	*ret_start = s->start + (uint64_t)i * PCCRC_SEGMENT_SIZE;
	*ret_len = i + 1 < s->n_segments ? PCCRC_SEGMENT_SIZE : s->last_len;
}

/* The blocks of segment i that the range touches. */
static void
touched(const struct pccrc_scan *s, size_t i, uint32_t *ret_lowest,
	uint32_t *ret_past)
{
	uint64_t start;
	uint32_t len, from, to;

	locate(s, i, &start, &len);
	from = (uint32_t)(MAX_OF(start, s->range_start) - start);
	to = (uint32_t)(MIN_OF(start + len, s->range_end) - start);
	*ret_lowest = from / PCCRC_BLOCK_SIZE;
	*ret_past = blocks_of(to);
}

/* Which block comes first in a list of that many hashes; false when the count
 * is none of the three. */
static bool
list_form(const struct pccrc_scan *s, size_t i, uint32_t listed,
	uint32_t *ret_first)
{
	uint32_t lowest, past, len;
	uint64_t start;

	locate(s, i, &start, &len);
	touched(s, i, &lowest, &past);
	if (listed == past || listed == blocks_of(len))
		*ret_first = 0;
	else if (listed == past - lowest)
		*ret_first = lowest;
	else
		return false;
	return true;
}

static int
step_count(struct pccrc_scan *s, struct rd *r)
{
	uint32_t first, listed = rd_le32(r);
	bool fits = (uint64_t)listed * s->hash_size <=
		s->limit - s->pos - V1_COUNT_SIZE;

	if (!fits && s->exact)
		return PCCRC_E_BLOCK_TABLE_TRUNCATED;
	if (!list_form(s, s->n_lists, listed, &first))
		return PCCRC_E_BLOCK_COUNT_MISMATCH;
	if (!fits)
		return pccrc_too_long(s, PCCRC_E_BLOCK_TABLE_TRUNCATED);
	s->list_blocks = listed;
	s->step = V1_LIST;
	return 0;
}

int
pccrc_v1_step(struct pccrc_scan *s, const uint8_t *bytes)
{
	struct rd r;

	rd_init(&r, bytes, pccrc_v1_need(s));
	switch ((enum v1_step)s->step) {
	case V1_HASH:
		return step_hash(s, &r);
	case V1_REST:
		return step_rest(s, &r);
	case V1_FIELDS:
		return step_fields(s, &r);
	case V1_SECRETS:
		s->step = s->n_segments < s->count ? V1_FIELDS : V1_COUNT;
		return 0;
	case V1_COUNT:
		return step_count(s, &r);
	case V1_LIST:
		s->n_lists++;
		s->step = s->n_lists < s->count ? V1_COUNT : V1_DONE;
		return 0;
	case V1_DONE:
		return PCCRC_E_TRAILING_BYTES;
	}
	assert(false);
}

int
pccrc_v1_end(const struct pccrc_scan *s)
{
	switch ((enum v1_step)s->step) {
	case V1_HASH:
	case V1_REST:
		return PCCRC_E_SHORT_HEADER;
	case V1_FIELDS:
	case V1_SECRETS:
		return PCCRC_E_SEGMENT_TABLE_TRUNCATED;
	case V1_COUNT:
	case V1_LIST:
		return PCCRC_E_BLOCK_TABLE_TRUNCATED;
	case V1_DONE:
		return 0;
	}
	assert(false);
}

void
pccrc_v1_fill(const struct pccrc_scan *s, struct pccrc_info *info)
{
	size_t entry = V1_FIELDS_SIZE + 2 * s->hash_size;
	const uint8_t *table = info->bytes + V1_HEADER_SIZE;
	struct rd lists;

	rd_init(&lists, table, info->n_bytes - V1_HEADER_SIZE);
	(void)rd_bytes(&lists, s->n_segments * entry);
	for (size_t i = 0; i < s->n_segments; i++) {
		struct pccrc_segment *seg = &info->segments[i];
		uint32_t listed = rd_le32(&lists), first = 0;

		locate(s, i, &seg->start, &seg->len);
		(void)list_form(s, i, listed, &first);
		seg->n_blocks = (uint16_t)blocks_of(seg->len);
		seg->first_listed = (uint16_t)first;
		seg->n_listed = (uint16_t)listed;
		seg->proved = listed == seg->n_blocks;
		seg->hod = table + i * entry + V1_FIELDS_SIZE;
		seg->kp = seg->hod + s->hash_size;
		seg->hashes = rd_bytes(&lists, listed * s->hash_size);
	}
	assert(rd_ok(&lists) && rd_left(&lists) == 0);
	info->range_start = s->range_start;
	info->range_end = s->range_end;
	info->reaches_end = s->last_len < PCCRC_SEGMENT_SIZE;
}

void
pccrc_v1_put_header(
	uint8_t dst[V1_HEADER_SIZE], const struct pccrc_v1_header *h)
{
	uint32_t wire = 0;

	for (size_t i = 0; i < ARRAY_LEN(v1_hashes); i++) {
		if (v1_hashes[i].hash == h->hash)
			wire = v1_hashes[i].wire;
	}
	assert(wire != 0);
	pccrc_put_le(dst, 0x0100, 2);
	pccrc_put_le(dst + 2, wire, 4);
	pccrc_put_le(dst + 6, h->first_offset, 4);
	pccrc_put_le(dst + 10, h->last_read, 4);
	pccrc_put_le(dst + 14, h->count, 4);
}

void
pccrc_v1_put_fields(uint8_t dst[V1_FIELDS_SIZE], uint64_t start, uint32_t len)
{
	pccrc_put_le(dst, start, 8);
	pccrc_put_le(dst + 8, len, 4);
	pccrc_put_le(dst + 12, PCCRC_BLOCK_SIZE, 4);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Version 2.0 of content information, MS-PCCRC 2.4: big-endian
 *
 *   header  bMinorVersion, bMajorVersion, bHashAlgo, ullStartInContent,
 *           ullIndexOfFirstSegment, dwOffsetInFirstSegment, ullLengthOfRange
 *   chunks  bChunkType 0, dwChunkDataLength, then segments of
 *           cbSegment, HoD, Kp
 *
 * There is no count and no total length: the end of the bytes is the end, and
 * a structure that was cut behind a chunk is a good, shorter one.  Chunks mean
 * nothing.  ullLengthOfRange 0 says: to the end of the segments.
 *
 * Segments behind the end of the range are of no use and are dropped.
 */
#include <assert.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/rd.h"

enum v2_step {
	V2_HASH, /* the version is read by the common code */
	V2_REST,
	V2_TYPE,
	V2_CHUNK_LENGTH,
	V2_SEGMENT_LENGTH,
	V2_SECRETS,
};

size_t
pccrc_v2_need(const struct pccrc_scan *s)
{
	switch ((enum v2_step)s->step) {
	case V2_HASH:
	case V2_TYPE:
		return 1;
	case V2_REST:
		return 28;
	case V2_CHUNK_LENGTH:
	case V2_SEGMENT_LENGTH:
		return 4;
	case V2_SECRETS:
		return 2 * V2_HASH_SIZE;
	}
	assert(false);
}

static int
step_hash(struct pccrc_scan *s, struct rd *r)
{
	if (rd_u8(r) != V2_HASH_ALGO)
		return PCCRC_E_BAD_HASH_ALGO;
	s->hash = BULK_SHA512_256;
	s->hash_size = V2_HASH_SIZE;
	s->step = V2_REST;
	return 0;
}

/* Segments have 1 byte to 128 KiB, so that many of them fill neither less nor
 * more. */
static bool
index_possible(uint64_t start, uint64_t first_index)
{
	uint64_t fewest = start / PCCRC_V2_SEGMENT_MAX +
		(start % PCCRC_V2_SEGMENT_MAX != 0);

	return fewest <= first_index && first_index <= start;
}

static int
step_rest(struct pccrc_scan *s, struct rd *r)
{
	s->start = rd_be64(r);
	s->first_index = rd_be64(r);
	s->first_offset = rd_be32(r);
	s->length = rd_be64(r);
	s->end = s->start;
	if (!index_possible(s->start, s->first_index))
		return PCCRC_E_INDEX_OFFSET_CONFLICT;
	s->step = V2_TYPE;
	return 0;
}

static int
step_type(struct pccrc_scan *s, struct rd *r)
{
	if (rd_u8(r) != 0)
		return PCCRC_E_BAD_CHUNK_TYPE;
	s->step = V2_CHUNK_LENGTH;
	return 0;
}

static int
step_chunk_length(struct pccrc_scan *s, struct rd *r)
{
	s->chunk_left = rd_be32(r);
	if (s->chunk_left == 0)
		return PCCRC_E_EMPTY_CHUNK;
	if (s->chunk_left % V2_ENTRY_SIZE != 0)
		return PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE;
	if (s->chunk_left > s->limit - s->pos - 4)
		return pccrc_too_long(s, PCCRC_E_CHUNK_TRUNCATED);
	s->step = V2_SEGMENT_LENGTH;
	return 0;
}

static int
step_segment_length(struct pccrc_scan *s, struct rd *r)
{
	uint32_t len = rd_be32(r);

	if (len == 0)
		return PCCRC_E_ZERO_SEGMENT_LENGTH;
	if (len > PCCRC_V2_SEGMENT_MAX)
		return PCCRC_E_SEGMENT_TOO_LONG;
	if (__builtin_add_overflow(s->end, len, &s->end))
		return PCCRC_E_OFFSET_OVERFLOW;
	if (s->n_segments == 0) {
		if (s->first_offset >= len)
			return PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE;
		s->range_start = s->start + s->first_offset;
	}
	s->n_segments++;
	s->step = V2_SECRETS;
	return 0;
}

int
pccrc_v2_step(struct pccrc_scan *s, const uint8_t *bytes)
{
	struct rd r;

	rd_init(&r, bytes, pccrc_v2_need(s));
	switch ((enum v2_step)s->step) {
	case V2_HASH:
		return step_hash(s, &r);
	case V2_REST:
		return step_rest(s, &r);
	case V2_TYPE:
		return step_type(s, &r);
	case V2_CHUNK_LENGTH:
		return step_chunk_length(s, &r);
	case V2_SEGMENT_LENGTH:
		return step_segment_length(s, &r);
	case V2_SECRETS:
		s->chunk_left -= V2_ENTRY_SIZE;
		s->step = s->chunk_left > 0 ? V2_SEGMENT_LENGTH : V2_TYPE;
		return 0;
	}
	assert(false);
}

int
pccrc_v2_end(struct pccrc_scan *s)
{
	if (s->step < V2_TYPE)
		return PCCRC_E_SHORT_HEADER;
	if (s->step > V2_TYPE)
		return PCCRC_E_CHUNK_TRUNCATED;
	if (s->n_segments == 0)
		return PCCRC_E_NO_CHUNKS;
	if (s->length == 0)
		s->range_end = s->end;
	else if (s->length > s->end - s->range_start)
		return PCCRC_E_RANGE_OUT_OF_SEGMENTS;
	else
		s->range_end = s->range_start + s->length;
	return 0;
}

static void
read_chunk(struct rd *r, struct pccrc_info *info, size_t *n, uint64_t *at)
{
	uint32_t left;

	(void)rd_u8(r);
	left = rd_be32(r) / V2_ENTRY_SIZE;
	for (; left > 0 && *at < info->range_end; left--) {
		struct pccrc_segment *seg = &info->segments[(*n)++];

		seg->start = *at;
		seg->len = rd_be32(r);
		seg->n_blocks = 1;
		seg->n_listed = 1;
		seg->proved = true;
		seg->hod = rd_bytes(r, V2_HASH_SIZE);
		seg->kp = rd_bytes(r, V2_HASH_SIZE);
		seg->hashes = seg->hod;
		*at += seg->len;
	}
	(void)rd_bytes(r, (size_t)left * V2_ENTRY_SIZE);
}

void
pccrc_v2_fill(const struct pccrc_scan *s, struct pccrc_info *info)
{
	uint64_t at = s->start;
	size_t n = 0;
	struct rd r;

	info->range_start = s->range_start;
	info->range_end = s->range_end;
	info->first_index = s->first_index;
	rd_init(&r, info->bytes, info->n_bytes);
	(void)rd_bytes(&r, V2_HEADER_SIZE);
	while (rd_left(&r) > 0 && at < info->range_end)
		read_chunk(&r, info, &n, &at);
	assert(rd_ok(&r) && n <= info->n_segments);
	info->n_segments = n;
}

void
pccrc_v2_put_header(
	uint8_t dst[V2_HEADER_SIZE], const struct pccrc_v2_header *h)
{
	dst[0] = 0;
	dst[1] = 2;
	dst[2] = V2_HASH_ALGO;
	pccrc_put_be(dst + 3, h->start, 8);
	pccrc_put_be(dst + 11, h->first_index, 8);
	pccrc_put_be(dst + 19, h->first_offset, 4);
	pccrc_put_be(dst + 23, h->length, 8);
}

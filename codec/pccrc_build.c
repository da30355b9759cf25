/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An info written again.  The block lists are written as they were listed:
 * shortening a whole one would lose its proof, and what a list without its
 * leading blocks leaves out nobody knows.
 */
#include <assert.h>
#include <string.h>

#include "codec/pccrc_priv.h"
#include "common/err.h"
#include "common/macros.h"

/* dwChunkDataLength has 32 bits. */
#define CHUNK_SEGMENTS (UINT32_MAX / V2_ENTRY_SIZE)

static int
build_v1(const struct pccrc_info *info, struct buf *b)
{
	const struct pccrc_segment *first = &info->segments[0];
	const struct pccrc_segment *last =
		&info->segments[info->n_segments - 1];
	uint64_t base = last == first ? info->range_start : last->start;
	struct pccrc_v1_header h = {
		.hash = info->hash,
		.first_offset = (uint32_t)(info->range_start - first->start),
		.count = (uint32_t)info->n_segments,
	};
	uint8_t *p;

	if (info->range_end != last->start + last->len)
		h.last_read = (uint32_t)(info->range_end - base);
	p = buf_extend(b, V1_HEADER_SIZE);
	if (p != NULL)
		pccrc_v1_put_header(p, &h);
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *seg = &info->segments[i];

		p = buf_extend(b, V1_FIELDS_SIZE);
		if (p != NULL)
			pccrc_v1_put_fields(p, seg->start, seg->len);
		buf_append(b, seg->hod, info->hash_size);
		buf_append(b, seg->kp, info->hash_size);
	}
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *seg = &info->segments[i];

		buf_le32(b, seg->n_listed);
		buf_append(b, seg->hashes,
			(size_t)seg->n_listed * info->hash_size);
	}
	return err_pass(buf_error(b));
}

static int
build_v2(const struct pccrc_info *info, struct buf *b)
{
	const struct pccrc_segment *first = &info->segments[0];
	const struct pccrc_segment *last =
		&info->segments[info->n_segments - 1];
	struct pccrc_v2_header h = {
		.start = first->start,
		.first_index = info->first_index,
		.first_offset = (uint32_t)(info->range_start - first->start),
		.length = info->range_end - info->range_start,
	};
	uint8_t *p;

	if (info->range_start == 0 &&
		info->range_end == last->start + last->len)
		h.length = 0;
	p = buf_extend(b, V2_HEADER_SIZE);
	if (p != NULL)
		pccrc_v2_put_header(p, &h);
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *seg = &info->segments[i];
		size_t left = info->n_segments - i;

		if (i % CHUNK_SEGMENTS == 0) {
			left = MIN_OF(left, (size_t)CHUNK_SEGMENTS);
			buf_u8(b, 0);
			buf_be32(b, (uint32_t)(left * V2_ENTRY_SIZE));
		}
		buf_be32(b, seg->len);
		buf_append(b, seg->hod, V2_HASH_SIZE);
		buf_append(b, seg->kp, V2_HASH_SIZE);
	}
	return err_pass(buf_error(b));
}

int
pccrc_build(const struct pccrc_info *info, struct buf *b)
{
	assert(info->n_segments > 0);
	return info->version == 1 ? build_v1(info, b) : build_v2(info, b);
}

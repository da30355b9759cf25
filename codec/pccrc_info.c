/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>

#include "codec/pccrc_priv.h"
#include "common/macros.h"

static const char *const refusal_names[_PCCRC_E_MAX] = {
	[PCCRC_OK] = "ok",
	[PCCRC_E_SHORT_HEADER] = "short-header",
	[PCCRC_E_BAD_VERSION] = "bad-version",
	[PCCRC_E_BAD_HASH_ALGO] = "bad-hash-algo",
	[PCCRC_E_ZERO_SEGMENTS] = "zero-segments",
	[PCCRC_E_SEGMENT_TABLE_TRUNCATED] = "segment-table-truncated",
	[PCCRC_E_BAD_BLOCK_SIZE] = "bad-block-size",
	[PCCRC_E_ZERO_SEGMENT_LENGTH] = "zero-segment-length",
	[PCCRC_E_SEGMENT_TOO_LONG] = "segment-too-long",
	[PCCRC_E_SHORT_INNER_SEGMENT] = "short-inner-segment",
	[PCCRC_E_SEGMENT_UNALIGNED] = "segment-unaligned",
	[PCCRC_E_SEGMENT_GAP] = "segment-gap",
	[PCCRC_E_OFFSET_OVERFLOW] = "offset-overflow",
	[PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE] = "first-offset-out-of-range",
	[PCCRC_E_RANGE_OUT_OF_SEGMENTS] = "range-out-of-segments",
	[PCCRC_E_BLOCK_COUNT_MISMATCH] = "block-count-mismatch",
	[PCCRC_E_BLOCK_TABLE_TRUNCATED] = "block-table-truncated",
	[PCCRC_E_HOD_MISMATCH] = "hod-mismatch",
	[PCCRC_E_TRAILING_BYTES] = "trailing-bytes",
	[PCCRC_E_BAD_CHUNK_TYPE] = "bad-chunk-type",
	[PCCRC_E_EMPTY_CHUNK] = "empty-chunk",
	[PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE] = "chunk-length-not-multiple",
	[PCCRC_E_CHUNK_TRUNCATED] = "chunk-truncated",
	[PCCRC_E_NO_CHUNKS] = "no-chunks",
	[PCCRC_E_INDEX_OFFSET_CONFLICT] = "index-offset-conflict",
	[PCCRC_E_UNUSED_SEGMENT] = "unused-segment",
};

const char *
pccrc_refusal_name(int refusal)
{
	if (refusal < 0 || refusal >= _PCCRC_E_MAX)
		return "unknown";
	return refusal_names[refusal];
}

/* Segments leave no gap, so the last that starts at or before offset has it. */
size_t
pccrc_segment_at(const struct pccrc_info *info, uint64_t offset)
{
	size_t low = 0, high = info->n_segments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (info->segments[mid].start <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 ||
		offset - info->segments[low - 1].start >=
			info->segments[low - 1].len)
		return info->n_segments;
	return low - 1;
}

uint32_t
pccrc_block_len(const struct pccrc_info *info, const struct pccrc_segment *seg,
	uint32_t block)
{
	assert(block < seg->n_blocks);
	if (info->version == 2)
		return seg->len;
	return MIN_OF(PCCRC_BLOCK_SIZE, seg->len - block * PCCRC_BLOCK_SIZE);
}

const uint8_t *
pccrc_block_hash(const struct pccrc_info *info, const struct pccrc_segment *seg,
	uint32_t block)
{
	if (block < seg->first_listed ||
		block - seg->first_listed >= seg->n_listed)
		return NULL;
	return seg->hashes +
		(size_t)(block - seg->first_listed) * info->hash_size;
}

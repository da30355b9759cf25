/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the pccrc_*.c files only. */
#ifndef CODEC_PCCRC_PRIV_H
#define CODEC_PCCRC_PRIV_H

#include "codec/pccrc.h"

#define V1_HEADER_SIZE  18u
#define V1_FIELDS_SIZE  16u /* of a segment description, before the hashes */
#define V1_COUNT_SIZE   4u
#define V2_HEADER_SIZE  31u
#define V2_CHUNK_HEADER 5u
#define V2_ENTRY_SIZE   68u
#define V2_HASH_ALGO    0x04
#define V2_HASH_SIZE    32u

static inline void
pccrc_put_le(uint8_t *dst, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static inline void
pccrc_put_be(uint8_t *dst, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

/* What the check of the bytes so far has found; depends on nothing but the
 * bytes before pos, so that copies of it serve as points to return to. */
struct pccrc_scan {
	size_t pos;   /* checked up to here */
	size_t limit; /* no more bytes than this will come */
	bool exact;   /* limit is the true length, not just a cap */
	int version;  /* 0: not known yet */
	int step;     /* of version 1 or 2; the next bytes are a ... */
	enum bulk_hash hash;
	size_t hash_size;
	uint32_t first_offset; /* dwOffsetInFirstSegment */
	uint32_t last_read;    /* version 1: dwReadBytesInLastSegment */
	uint64_t length;       /* version 2: ullLengthOfRange */
	uint64_t first_index;  /* version 2: ullIndexOfFirstSegment */
	uint64_t start;        /* of the first listed segment */
	uint64_t end;          /* of the last one seen */
	uint64_t range_start;
	uint64_t range_end;   /* version 1: known behind the table */
	uint32_t last_len;    /* of the last segment seen */
	uint32_t count;       /* version 1: cSegments */
	size_t n_segments;    /* seen */
	size_t n_lists;       /* version 1: seen */
	uint32_t list_blocks; /* version 1: hashes of the list that comes */
	uint32_t chunk_left;  /* version 2: bytes */
};

/* Version 1 and 2 each: how many bytes the next step needs, the step, and
 * what is wrong when no more bytes come. */
size_t pccrc_v1_need(const struct pccrc_scan *);
int pccrc_v1_step(struct pccrc_scan *, const uint8_t *bytes);
int pccrc_v1_end(const struct pccrc_scan *);
size_t pccrc_v2_need(const struct pccrc_scan *);
int pccrc_v2_step(struct pccrc_scan *, const uint8_t *bytes);
int pccrc_v2_end(struct pccrc_scan *);
/* The segments of a structure that was found good. */
void pccrc_v1_fill(const struct pccrc_scan *, struct pccrc_info *);
void pccrc_v2_fill(const struct pccrc_scan *, struct pccrc_info *);

/* More bytes are announced than can come. */
int pccrc_too_long(const struct pccrc_scan *, int refusal);

struct pccrc_v1_header {
	enum bulk_hash hash;
	uint32_t first_offset;
	uint32_t last_read;
	uint32_t count;
};
void pccrc_v1_put_header(
	uint8_t dst[V1_HEADER_SIZE], const struct pccrc_v1_header *);
void pccrc_v1_put_fields(
	uint8_t dst[V1_FIELDS_SIZE], uint64_t start, uint32_t len);
struct pccrc_v2_header {
	uint64_t start;
	uint64_t first_index;
	uint32_t first_offset;
	uint64_t length;
};
void pccrc_v2_put_header(
	uint8_t dst[V2_HEADER_SIZE], const struct pccrc_v2_header *);

/* pccrc_cut() for data that grows: known is a length that was already found to
 * hold no cut. */
size_t pccrc_cut_more(const uint8_t *data, size_t len, size_t known, bool last);

/* A content that is being hashed, see pccrc_pub.c. */
struct pccrc_piece {
	uint32_t len;
	uint8_t hod[V2_HASH_SIZE];
};
struct pccrc_pub {
	unsigned make;
	int failure; /* sticky */
	uint64_t length;
	/* version 1: hashes of whole blocks, and the block that is not whole */
	uint8_t *hashes;
	size_t n_blocks;
	size_t room_blocks;
	uint8_t *block; /* PCCRC_BLOCK_SIZE */
	size_t block_len;
	bool set; /* by _set_blocks: n_blocks were counted */
	/* version 2: pieces that are cut off, and the one that is not */
	struct pccrc_piece *pieces;
	size_t n_pieces;
	size_t room_pieces;
	uint8_t *piece; /* PCCRC_CUT_MAX */
	size_t piece_len;
};

#endif

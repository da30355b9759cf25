/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content information, MS-PCCRC versions 1.0 and 2.0.
 *
 * Reading: struct pccrc_parser takes the bytes as they come, in any pieces, and
 * refuses as early as the bytes allow; pccrc_parser_finish() then gives the
 * whole as a struct pccrc_info.  Content information is as good as the content
 * (it holds the segment secrets), so its bytes live in secmem.
 *
 * Writing: struct pccrc_pub describes a content that is being hashed;
 * pccrc_pub_finish() makes an immutable struct pccrc_desc of it, from which
 * content information for any range is built.
 *
 * In memory both versions look the same: a list of segments that cover a part
 * of the content, each cut into blocks.  A version 2 segment is one block.
 */
#ifndef CODEC_PCCRC_H
#define CODEC_PCCRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/bulk.h"
#include "common/buf.h"

#define PCCRC_BLOCK_SIZE     65536u
#define PCCRC_SEGMENT_SIZE   33554432u /* version 1 */
#define PCCRC_SEGMENT_BLOCKS 512u
#define PCCRC_V2_SEGMENT_MAX 131072u
#define PCCRC_HASH_MAX       64

/* Why content information was refused; names as in doc/ and the tests.  Values
 * above 0, see common/err.h. */
enum pccrc_refusal {
	PCCRC_OK,
	PCCRC_E_SHORT_HEADER,
	PCCRC_E_BAD_VERSION, /* the only one that is 4050 to the API */
	PCCRC_E_BAD_HASH_ALGO,
	PCCRC_E_ZERO_SEGMENTS,
	PCCRC_E_SEGMENT_TABLE_TRUNCATED,
	PCCRC_E_BAD_BLOCK_SIZE,
	PCCRC_E_ZERO_SEGMENT_LENGTH,
	PCCRC_E_SEGMENT_TOO_LONG,
	PCCRC_E_SHORT_INNER_SEGMENT,
	PCCRC_E_SEGMENT_UNALIGNED,
	PCCRC_E_SEGMENT_GAP,
	PCCRC_E_OFFSET_OVERFLOW,
	PCCRC_E_FIRST_OFFSET_OUT_OF_RANGE,
	PCCRC_E_RANGE_OUT_OF_SEGMENTS,
	PCCRC_E_BLOCK_COUNT_MISMATCH,
	PCCRC_E_BLOCK_TABLE_TRUNCATED,
	PCCRC_E_HOD_MISMATCH,
	PCCRC_E_TRAILING_BYTES,
	PCCRC_E_BAD_CHUNK_TYPE,
	PCCRC_E_EMPTY_CHUNK,
	PCCRC_E_CHUNK_LENGTH_NOT_MULTIPLE,
	PCCRC_E_CHUNK_TRUNCATED,
	PCCRC_E_NO_CHUNKS,
	PCCRC_E_INDEX_OFFSET_CONFLICT,
	PCCRC_E_UNUSED_SEGMENT,
	_PCCRC_E_MAX,
};
const char *pccrc_refusal_name(int);

/* One described segment.  Hash pointers reach into the info's own bytes. */
struct pccrc_segment {
	uint64_t start; /* content offset */
	uint32_t len;
	uint16_t n_blocks;     /* of the whole segment; 1 in version 2 */
	uint16_t first_listed; /* version 1: blocks [first_listed, +n_listed) */
	uint16_t n_listed;     /* have hashes; version 2: 0 and 1 */
	bool proved;           /* whole list gives HoD; version 2: always */
	const uint8_t *hod;
	const uint8_t *kp;
	const uint8_t *hashes; /* n_listed of hash_size bytes; version 2: hod */
};

/* Immutable; reference-counted without locks (the loop thread counts). */
struct pccrc_info {
	unsigned refs;
	int version; /* 1 or 2 */
	enum bulk_hash hash;
	uint32_t hash_size;
	uint64_t range_start; /* content range [start, end) */
	uint64_t range_end;
	bool reaches_end;     /* version 1: the last segment is shorter than
			   * 32 MiB, so it ends the content */
	uint64_t first_index; /* version 2: ullIndexOfFirstSegment */
	size_t n_segments;
	struct pccrc_segment *segments; /* in content order, without gaps */
	uint8_t *bytes;                 /* secmem, n_bytes */
	size_t n_bytes;
};

struct pccrc_parser;

/* At most max_bytes in all.  NULL when out of memory. */
struct pccrc_parser *pccrc_parser_new(size_t max_bytes);
struct pccrc_parser *pccrc_parser_free(struct pccrc_parser *);
/* Takes the next bytes.  > 0: enum pccrc_refusal; -ENOMEM; -EMSGSIZE over the
 * cap.  After any failure only _rollback, _free are useful. */
int pccrc_parser_feed(struct pccrc_parser *, const uint8_t *data, size_t len);
/* Bytes fed; _rollback forgets all but the first len of them (and the failure
 * that the later ones caused). */
size_t pccrc_parser_fed(const struct pccrc_parser *);
int pccrc_parser_rollback(struct pccrc_parser *, size_t len);
/* No more bytes: checks what is left to check, including each whole block list
 * against its HoD, through bulk (worker thread).  The parser is unchanged
 * except that its bytes are shared with the info. */
int pccrc_parser_finish(
	struct pccrc_parser *, struct bulk *, struct pccrc_info **ret_info);
/* All at once. */
int pccrc_parse(const uint8_t *data, size_t len, struct bulk *,
	struct pccrc_info **ret_info);

struct pccrc_info *pccrc_info_ref(struct pccrc_info *);
struct pccrc_info *pccrc_info_unref(struct pccrc_info *);

/* Where a content offset lies.  The index of the segment that holds offset, or
 * n_segments when none does. */
size_t pccrc_segment_at(const struct pccrc_info *, uint64_t offset);
/* Length of block i of a segment: 64 KiB or less, version 2 the segment's. */
uint32_t pccrc_block_len(const struct pccrc_info *,
	const struct pccrc_segment *, uint32_t block);
/* Hash of block i, or NULL when the list does not have it. */
const uint8_t *pccrc_block_hash(const struct pccrc_info *,
	const struct pccrc_segment *, uint32_t block);

/* Writes the info again, canonically (block lists from block 0, dwRead 0 where
 * the range reaches the end of the last segment, one chunk). */
int pccrc_build(const struct pccrc_info *, struct buf *);

/* Hashes of MS-PCCRC 2.2 (hash_size bytes each, through bulk). */
int pccrc_server_secret(struct bulk *, enum bulk_hash, const uint8_t *key,
	size_t key_len, uint8_t *ret_ks);
int pccrc_segment_id(struct bulk *, enum bulk_hash, const uint8_t *kp,
	const uint8_t *hod, uint8_t *ret_id);
/* Ids of segments [first, +n), one behind the other; much faster than one by
 * one where there are many. */
int pccrc_segment_ids(struct bulk *, const struct pccrc_info *, size_t first,
	size_t n, uint8_t *ret_ids);
/* HMAC-SHA-256(Kp, index little-endian 32 bits || block hash), first 16 bytes:
 * our own claim tag, never on any wire.  Those of all listed blocks: block b of
 * segment s goes to ret_claims[s * stride + b]; what is not listed is left
 * alone. */
#define PCCRC_CLAIM_SIZE 16
int pccrc_claims(struct bulk *, const struct pccrc_info *, size_t stride,
	uint8_t (*ret_claims)[PCCRC_CLAIM_SIZE]);

/*
 * Publishing.  One pass gives version 1 and version 2 together.
 */
#define PCCRC_MAKE_V1 1u
#define PCCRC_MAKE_V2 2u

struct pccrc_pub;  /* growing; one thread at a time */
struct pccrc_desc; /* finished, immutable, secmem inside */

struct pccrc_pub *pccrc_pub_new(unsigned make);
struct pccrc_pub *pccrc_pub_free(struct pccrc_pub *);
/* The next bytes, any number.  Runs of whole 64 KiB blocks are hashed in place,
 * 16 at a time; only what is cut off at the end is copied. -ENOMEM, -EIO. */
int pccrc_pub_feed(
	struct pccrc_pub *, struct bulk *, const uint8_t *data, size_t len);
uint64_t pccrc_pub_length(const struct pccrc_pub *);
/* Version 1 only, for several threads hashing one file: block hashes (32 bytes
 * each) of [first_block, +n) computed elsewhere, total length given at the end.
 * Not to be mixed with feed. */
int pccrc_pub_set_blocks(struct pccrc_pub *, uint64_t first_block,
	const uint8_t *hashes, size_t n);
int pccrc_pub_set_length(struct pccrc_pub *, uint64_t len);
/* Does not change the pub: feeding may go on (a cancelled Complete).  key: the
 * server secret key, arbitrary bytes.  -ENOMEM, -EIO. */
int pccrc_pub_finish(const struct pccrc_pub *, struct bulk *,
	const uint8_t *key, size_t key_len, struct pccrc_desc **ret_desc);

struct pccrc_desc *pccrc_desc_free(struct pccrc_desc *);
uint64_t pccrc_desc_length(const struct pccrc_desc *);
unsigned pccrc_desc_versions(const struct pccrc_desc *);
size_t pccrc_desc_memory(const struct pccrc_desc *);
/* Content information of version 1 or 2 for a range that lies inside the
 * content (length > 0); into secmem, sec_free(bytes, len) it. */
int pccrc_desc_build(const struct pccrc_desc *, int version, uint64_t offset,
	uint64_t length, uint8_t **ret_bytes, size_t *ret_len);

/*
 * The description as bytes without any secret, to be kept on disk.
 */
/* Appends it.  -ENOMEM, -EMSGSIZE; -EINVAL: empty content. */
int pccrc_desc_pack(const struct pccrc_desc *, struct buf *);
/* The description again, with secrets of this key; the bytes may come from
 * anybody.  -EBADMSG; -ENOMEM, -EIO. */
int pccrc_desc_unpack(const uint8_t *bytes, size_t len, struct bulk *,
	const uint8_t *key, size_t key_len, struct pccrc_desc **ret_desc);
/* What is in len packed bytes of such a content. */
struct pccrc_counts {
	uint64_t v1_segments;
	uint64_t v1_blocks;
	uint64_t v2_segments;
};
void pccrc_packed_count(uint64_t length, unsigned versions, size_t len,
	struct pccrc_counts *ret);

/*
 * The version 2 cutter, frozen: see pccrc_seg.c.  Content-defined, pieces of
 * 32 KiB to 128 KiB around 64 KiB, the last may be shorter.
 */
#define PCCRC_CUT_MIN 32768u
#define PCCRC_CUT_AVG 65536u
#define PCCRC_CUT_MAX 131072u
/* Length of the piece that starts at data; len bytes are there.  last: nothing
 * follows them.  0: not decidable before more bytes come (len < CUT_MAX). */
size_t pccrc_cut(const uint8_t *data, size_t len, bool last);

#endif

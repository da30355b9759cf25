/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Retrieval protocol messages, MS-PCCRR.  All integers are big-endian; only
 * answers carry the 4-byte transport size in front.
 */
#ifndef CODEC_PCCRR_H
#define CODEC_PCCRR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/bulk.h"
#include "common/buf.h"

#define PCCRR_PATH         "/116B50EB-ECE2-41ac-8429-9F9E963361B7/"
#define PCCRR_REQUEST_MAX  98304u
#define PCCRR_RESPONSE_MAX 393216u
#define PCCRR_ID_MAX       64
#define PCCRR_IV_SIZE      16
#define PCCRR_BLOCKS_MAX   512u  /* of one segment */
#define PCCRR_RANGES_MAX   256u  /* most non-touching ranges of blocks */
#define PCCRR_SEGMENTS_MAX 2729u /* ids of one GETSEGLIST */
#define PCCRR_RID_SIZE     16
/* Room for pccrr_build_blk_head(). */
#define PCCRR_BLK_HEAD_MAX 128u

enum pccrr_type {
	PCCRR_NEGO_REQ,
	PCCRR_NEGO_RESP,
	PCCRR_GETBLKLIST,
	PCCRR_GETBLKS,
	PCCRR_BLKLIST,
	PCCRR_BLK,
	PCCRR_GETSEGLIST,
	PCCRR_SEGLIST,
	_PCCRR_TYPE_MAX,
};

enum pccrr_algo {
	PCCRR_NONE,
	PCCRR_AES128,
	PCCRR_AES192,
	PCCRR_AES256,
	_PCCRR_ALGO_MAX,
};

enum pccrr_refusal {
	PCCRR_OK,
	PCCRR_E_SHORT,
	PCCRR_E_MALFORMED,
	PCCRR_E_UNSUPPORTED, /* version or type that is not served here */
	PCCRR_E_TOO_BIG,
	_PCCRR_E_MAX,
};

struct pccrr_header {
	uint16_t minor;
	uint16_t major;
	uint32_t type;
	uint32_t size;
	uint32_t algo;
};

struct pccrr_getblks {
	struct pccrr_header header;
	const uint8_t *id;
	uint32_t id_len; /* 32, 48 or 64 */
	uint32_t block;  /* smallest index asked for */
	bool nothing;    /* asked for no block at all: answer empty */
};

struct pccrr_blk {
	struct pccrr_header header;
	const uint8_t *id;
	uint32_t id_len;
	uint32_t block;
	uint32_t next_block; /* 0: none */
	const uint8_t *data; /* ciphertext */
	uint32_t data_len;   /* 0: the peer does not have it */
	const uint8_t *iv;
	uint32_t iv_len; /* 16, or 0 without data or cipher */
};

/* Blocks of a segment as a set, bit i % 64 of word i / 64. */
struct pccrr_set {
	uint64_t words[PCCRR_BLOCKS_MAX / 64];
};

/* NEGO_REQ and NEGO_RESP: the versions that the sender speaks. */
struct pccrr_nego {
	struct pccrr_header header;
	uint16_t min_minor, min_major;
	uint16_t max_minor, max_major;
};

struct pccrr_getblklist {
	struct pccrr_header header;
	const uint8_t *id;
	uint32_t id_len;
	struct pccrr_set needed; /* clamped to what a segment can have */
};

struct pccrr_blklist {
	struct pccrr_header header;
	const uint8_t *id;
	uint32_t id_len;
	struct pccrr_set held;
	uint32_t next_block;
};

struct pccrr_segment_id {
	const uint8_t *bytes;
	uint32_t len;
};

/* An age of the extensible blob. */
struct pccrr_age {
	uint8_t index; /* position, see pccrr_parse_ages() */
	uint32_t ds;   /* tenths of a second */
};

struct pccrr_getseglist {
	struct pccrr_header header;
	uint8_t request[PCCRR_RID_SIZE];
	size_t n_ids;
	struct pccrr_segment_id *ids; /* see pccrr_parse_getseglist() */
	const uint8_t *blob;
	uint32_t blob_len;
};

struct pccrr_segment_range {
	uint32_t index;
	uint32_t count;
};

struct pccrr_seglist {
	struct pccrr_header header;
	uint8_t request[PCCRR_RID_SIZE];
	size_t n_ranges;
	const uint8_t *ranges; /* parsed: pccrr_seglist_range() */
	const uint8_t *blob;   /* NULL: none, or one to be thrown away */
	uint32_t blob_len;
};

/*
 * Parsed structs point into the input; *ret is written only on success.  > 0:
 * enum pccrr_refusal.
 *
 * The header alone: any version passes, so that a server can answer a foreign
 * one with its own range; a type that does not exist is PCCRR_E_UNSUPPORTED.
 */
int pccrr_parse_header(
	struct pccrr_header *ret, const uint8_t *data, size_t len);
/* These two are PCCRR_E_UNSUPPORTED for another type and for another major
 * version than 1 or 2. */
int pccrr_parse_getblks(
	struct pccrr_getblks *ret, const uint8_t *data, size_t len);
/* data begins with the transport header.  Without data or without cipher the IV
 * is skipped whatever its length. */
int pccrr_parse_blk(struct pccrr_blk *ret, const uint8_t *data, size_t len);

int pccrr_parse_nego_req(
	struct pccrr_nego *ret, const uint8_t *data, size_t len);
int pccrr_parse_getblklist(
	struct pccrr_getblklist *ret, const uint8_t *data, size_t len);
/* ids has room for max_ids; more of them in the message: PCCRR_E_TOO_BIG. */
int pccrr_parse_getseglist(struct pccrr_getseglist *ret,
	struct pccrr_segment_id *ids, size_t max_ids, const uint8_t *data,
	size_t len);
/* These begin with the transport header. */
int pccrr_parse_nego_resp(
	struct pccrr_nego *ret, const uint8_t *data, size_t len);
int pccrr_parse_blklist(
	struct pccrr_blklist *ret, const uint8_t *data, size_t len);
int pccrr_parse_seglist(
	struct pccrr_seglist *ret, const uint8_t *data, size_t len);
struct pccrr_segment_range pccrr_seglist_range(
	const struct pccrr_seglist *, size_t i);
/* The ages of a blob of version 1, at most max; 0 when it is none that can be
 * used.  The positions are relative to the first range of a SEGLIST, to the
 * list of ids elsewhere. */
size_t pccrr_parse_ages(
	struct pccrr_age *ret, size_t max, const uint8_t *blob, size_t len);

/* Appends one message.  Of the header only algo is used: version, type and size
 * follow from the message.  A request with "nothing" set asks for {block, 0}.
 * -EINVAL: a field that no message may have; -EMSGSIZE: over the size limit of
 * the direction; the errors of the buffer. */
int pccrr_build_getblks(struct buf *, const struct pccrr_getblks *);
int pccrr_build_blk(struct buf *, const struct pccrr_blk *);
/* The same up to where the data begins, for whoever sends data and tail (with
 * SizeOfIVBlock 16 and the IV) from elsewhere: data and iv are not looked at,
 * data_len must be a multiple of 4 and not 0, the cipher not none. */
int pccrr_build_blk_head(struct buf *, const struct pccrr_blk *);
int pccrr_build_nego_req(struct buf *, const struct pccrr_nego *);
int pccrr_build_nego_resp(struct buf *, const struct pccrr_nego *);
int pccrr_build_getblklist(struct buf *, const struct pccrr_getblklist *);
int pccrr_build_blklist(struct buf *, const struct pccrr_blklist *);
int pccrr_build_getseglist(struct buf *, const struct pccrr_getseglist *);
int pccrr_build_seglist(struct buf *, const uint8_t request[PCCRR_RID_SIZE],
	const struct pccrr_segment_range *, size_t n_ranges,
	const struct pccrr_age *, size_t n_ages);
/* A blob of version 1 in hundredths of a second; ages over what 24 bits hold
 * become the highest. */
int pccrr_build_ages(struct buf *, const struct pccrr_age *, size_t n);

static inline void
pccrr_set_add(struct pccrr_set *s, uint32_t block)
{
	s->words[block / 64] |= UINT64_C(1) << block % 64;
}

static inline bool
pccrr_set_has(const struct pccrr_set *s, uint32_t block)
{
	return block < PCCRR_BLOCKS_MAX &&
		(s->words[block / 64] >> block % 64 & 1) != 0;
}

/* The first one at or behind from, or PCCRR_BLOCKS_MAX. */
uint32_t pccrr_set_next(const struct pccrr_set *, uint32_t from);

/* pccrr_crypt.c: key length for an algorithm, 0 for none or unknown. */
size_t pccrr_key_len(uint32_t algo);
/* Ciphertext length of plain_len bytes (PKCS#7). */
static inline uint32_t
pccrr_cipher_len(uint32_t plain_len)
{
	return (plain_len / 16 + 1) * 16;
}
/* Decrypts a received block of known plaintext length to dst, which has room
 * for the ciphertext length.  The padding is never looked at: what follows the
 * plaintext in dst is meaningless.  False when the lengths cannot be right
 * (ciphertext a multiple of 16, no shorter than the plaintext and at most 16
 * longer), when the cipher is none or the key too short for it, and when
 * libcrypto fails. */
bool pccrr_decrypt(struct bulk *, uint32_t algo, const uint8_t *kp,
	size_t kp_len, const uint8_t *iv, const uint8_t *data,
	uint32_t data_len, uint32_t plain_len, uint8_t *dst);

#endif

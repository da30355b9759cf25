/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume of the block log consists of.  Pure: bytes to struct and back.
 * Everything is little-endian, every record begins at a multiple of
 * RECORD_ALIGN.
 *
 * Volume header, VOLUME_HEADER bytes at offset 0:
 *
 *   0  8   magic "PDVOLUME"
 *   8  u32 format version (RECORD_FORMAT)
 *  12  u32 volume number
 *  16  u64 salt, random
 *  24  u64 when it was made, seconds since 1970
 *  32  u64 XXH3 of the bytes before
 *  40      zero up to VOLUME_HEADER
 *
 * Record, RECORD_HEADER bytes, then for a block its ciphertext and its wire
 * tail (MS-PCCRR 2.2.5.5: SizeOfVrfBlock 0, SizeOfIVBlock, IV; big-endian), so
 * that one sendfile ends the message of a peer, then zero to the alignment:
 *
 *   0  u32 magic "PDRC"
 *   4  u8  type
 *   5  u8  length of the segment id
 *   6  u16 flags: 1 proved, 2 sealed
 *   8  u32 block index
 *  12  u32 plaintext length
 *  16  u32 ciphertext length
 *  20  u32 algorithm, enum pccrr_algo
 *  24  u32 uid    owner of what this record tells
 *  28  u32 length of the tail
 *  32  u64 born, seconds since 1970
 *  40  16  owner's tag
 *  56  16  claim
 *  72  64  segment id, zero-padded
 * 136  u64 XXH3 of ciphertext and tail
 * 144  u64 XXH3 of the bytes before, seeded with salt and offset
 * 152      zero up to RECORD_HEADER
 *
 * The seed makes a record valid at one place of one volume only: neither bytes
 * that somebody got stored as content, nor what an older life of the file left
 * behind, can pass for a record.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "daemon/store/store.h"

#define RECORD_FORMAT     1u
#define VOLUME_HEADER     64u
#define RECORD_HEADER     160u
#define RECORD_ALIGN      32u
#define RECORD_TAIL_MAX   24u
#define RECORD_CIPHER_MAX (1024u * 1024u)

enum record_type {
	RECORD_BLOCK = 1,
	RECORD_OWNER, /* one more owner of a block that is there already */
	RECORD_FLUSH, /* the owner flushed: what he had before is his no more */
	RECORD_DROP,  /* a block is rotten or gone: id, index, claim */
	_RECORD_TYPE_MAX,
};

struct record {
	enum record_type type;
	uint8_t id[STORE_ID_MAX];
	uint8_t id_len;
	bool proved;
	bool sealed;
	uint32_t index;
	uint32_t plain_len;
	uint32_t cipher_len;
	uint32_t algo;
	struct store_owner owner;
	uint64_t born_s;
	uint8_t claim[STORE_CLAIM_SIZE];
	uint32_t tail_len; /* 0 for all but blocks */
	uint64_t data_hash;
};

struct volume_header {
	uint32_t format;
	uint32_t number;
	uint64_t salt;
	uint64_t born_s;
};

enum record_refusal {
	RECORD_OK,
	RECORD_E_MAGIC,  /* no record here */
	RECORD_E_HASH,   /* damaged, or not of this place */
	RECORD_E_FORMAT, /* volume of another format: *ret is filled */
	RECORD_E_VALUE,  /* a field that no record may have */
	_RECORD_E_MAX,
};

/* Exactly VOLUME_HEADER, RECORD_HEADER bytes. */
void volume_header_build(uint8_t *dst, const struct volume_header *);
int volume_header_parse(struct volume_header *ret, const uint8_t *data);
/* What every field may be: only such a record can be built, and only such a
 * record is parsed.  A flush has no id; only a block has lengths, algorithm,
 * hash. */
bool record_valid(const struct record *);
void record_build(
	uint8_t *dst, const struct record *, uint64_t salt, uint64_t offset);
/* > 0: enum record_refusal. */
int record_parse(struct record *ret, const uint8_t *data, uint64_t salt,
	uint64_t offset);

/* The wire tail, for a block with algorithm algo; its length is returned. */
uint32_t record_tail(uint8_t *dst, uint32_t algo, const uint8_t *iv);
uint32_t record_tail_len(uint32_t algo);
/* false: not what record_tail() makes.  ret_iv: 16 bytes, zero without. */
bool record_tail_parse(
	uint8_t *ret_iv, uint32_t algo, const uint8_t *data, uint32_t len);
/* XXH3 over ciphertext and tail, which lie one behind the other or apart. */
uint64_t record_data_hash(const uint8_t *cipher, uint32_t cipher_len,
	const uint8_t *tail, uint32_t tail_len);

/* Bytes from the record's start to the next one's. */
static inline uint64_t
record_span(const struct record *r)
{
	uint64_t n = RECORD_HEADER + (uint64_t)r->cipher_len + r->tail_len;

	return (n + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

#endif

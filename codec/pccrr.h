/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Retrieval protocol messages, MS-PCCRR: GETBLKS and BLK.  All integers are
 * big-endian; only answers carry the 4-byte transport size in front.
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

/* Appends one message.  Of the header only algo is used: version, type and size
 * follow from the message.  A request with "nothing" set asks for {block, 0}.
 * -EINVAL: a field that no message may have; -EMSGSIZE: over the size limit of
 * the direction; the errors of the buffer. */
int pccrr_build_getblks(struct buf *, const struct pccrr_getblks *);
int pccrr_build_blk(struct buf *, const struct pccrr_blk *);

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

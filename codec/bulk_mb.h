/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to bulk: the same work through libipsec-mb. */
#ifndef CODEC_BULK_MB_H
#define CODEC_BULK_MB_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/bulk.h"

struct bulk_mb;

struct bulk_mb_gain {
	const char *arch; /* "avx512", "avx2"; NULL: nothing here gains */
	/* From how many jobs on a batch gains; SIZE_MAX: never. */
	size_t hash[_BULK_HASH_MAX];
	size_t encrypt;
	/* From how many bytes on a decryption does. */
	size_t decrypt;
};

/* Asks the CPU: tens of microseconds on a virtual machine. */
void bulk_mb_gain(struct bulk_mb_gain *);
/* Longest message that it can hash. */
size_t bulk_mb_hash_limit(enum bulk_hash);

/* NULL when out of memory. */
struct bulk_mb *bulk_mb_new(void);
struct bulk_mb *bulk_mb_free(struct bulk_mb *);
/* false: some job was not done. */
bool bulk_mb_hash(
	struct bulk_mb *, enum bulk_hash, struct bulk_hash_job *, size_t n);
bool bulk_mb_encrypt(
	struct bulk_mb *, size_t key_len, struct bulk_encrypt_job *, size_t n);

/* One message; dst may be src. */
struct bulk_decrypt_job {
	const uint8_t *src;
	size_t len; /* a multiple of 16, not 0 */
	uint8_t *dst;
	const uint8_t *key;
	const uint8_t *iv;
};
bool bulk_mb_decrypt(
	struct bulk_mb *, size_t key_len, const struct bulk_decrypt_job *);

#endif

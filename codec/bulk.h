/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many hashes or encryptions at once: multi-buffer code where the CPU has it
 * (libipsec-mb from AVX2 on; SHA-384 and -512 with AVX-512 by bulk_sha512.c),
 * libcrypto's EVP otherwise, same results.
 *
 * A struct bulk belongs to one thread at a time.  libipsec-mb's manager (3.6 MB
 * of memory) is made when the first batch comes that gains by it, and the
 * results of each algorithm are compared with libcrypto's once, before the
 * first use; if they differ, EVP is used for good.
 */
#ifndef CODEC_BULK_H
#define CODEC_BULK_H

#include <stddef.h>
#include <stdint.h>

struct bulk;

enum bulk_hash {
	BULK_SHA256,
	BULK_SHA384,
	BULK_SHA512,
	BULK_SHA512_256, /* SHA-512 cut to its first 32 bytes: version 2 */
	_BULK_HASH_MAX,
};

#define BULK_DIGEST_MAX 64

struct bulk_hash_job {
	const uint8_t *data;
	size_t len;
	uint8_t *digest; /* bulk_digest_size() bytes are written */
};

/* AES-CBC with PKCS#7 padding; dst gets len rounded up to the next multiple of
 * 16 above len.  dst may be src, but not overlap it otherwise. */
struct bulk_encrypt_job {
	const uint8_t *src;
	size_t len;
	uint8_t *dst;
	const uint8_t *key; /* key_len bytes */
	const uint8_t *iv;  /* 16 bytes */
};

enum bulk_impl {
	BULK_AUTO,
	BULK_EVP, /* libcrypto only: tests, yardsticks */
};

/* NULL when out of memory. */
struct bulk *bulk_new(enum bulk_impl);
struct bulk *bulk_free(struct bulk *);

size_t bulk_digest_size(enum bulk_hash);
/* -ENOMEM, -EIO (libcrypto failed). */
int bulk_hash(struct bulk *, enum bulk_hash, struct bulk_hash_job *, size_t n);
/* key_len 16, 24 or 32, the same for all jobs of a call. */
int bulk_encrypt(
	struct bulk *, size_t key_len, struct bulk_encrypt_job *, size_t n);
/* One buffer, without any padding check: len (a multiple of 16) bytes are
 * decrypted to dst, which may be src. */
int bulk_decrypt(struct bulk *, const uint8_t *key, size_t key_len,
	const uint8_t *iv, const uint8_t *src, size_t len, uint8_t *dst);
/* HMAC cut to bulk_digest_size(), each with its own key; data in two parts (b
 * may be NULL, 0). */
struct bulk_hmac_job {
	const uint8_t *key;
	size_t key_len;
	const void *a;
	size_t a_len;
	const void *b;
	size_t b_len;
	uint8_t *digest;
};
int bulk_hmac_many(
	struct bulk *, enum bulk_hash, const struct bulk_hmac_job *, size_t n);
/* "ipsec-mb avx512", "ipsec-mb avx2" or "evp": what a batch would be done with
 * now.  "evp" as well once any algorithm gave a wrong result. */
const char *bulk_describe(struct bulk *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libipsec-mb (1.3 and later) is a library for IPsec: it is fast where many
 * packets are in flight, and made for packets.  What that means here:
 *
 * - Plain hashes go through its job interface only; the burst interface has
 *   none but HMAC.  Jobs are not checked by the library (..._NOCHECK), because
 *   its check refuses 64 KiB, which the SHA-256 code handles: lengths are kept
 *   in 16 bits, but counted in 64-byte blocks.  The SHA-512 code counts bytes,
 *   and there 65535 is the end.
 * - CBC counts bytes as well, so messages are encrypted in slices, all jobs
 *   side by side, each slice with the last block of the one before as its IV.
 * - Decryption of CBC is parallel within one message.  With vector AES the
 *   library is twice as fast at it as libcrypto, without it no faster.
 * - The SHA extensions are left on.  With them off the library would also give
 *   up its widest AES code, and SHA-256 takes 16 AVX-512 lanes in any case.
 *   With AVX2 alone it takes eight lanes, which the SHA extensions beat.
 */
#include "codec/bulk_mb.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#if defined(__x86_64__)

#include <intel-ipsec-mb.h>

/* Jobs in flight: fewer than the library's queue of 256, more than lanes. */
#define GROUP         64
#define SLICE         32768u
#define DECRYPT_LEAST 2048u
#define AES_BLOCK     16u
#define SCHEDULE_SIZE (15 * AES_BLOCK)

struct cipher_job {
	const uint8_t *src;
	uint8_t *dst;
	const uint8_t *iv;
	size_t whole; /* bytes of whole blocks left */
	bool padded;
};

struct bulk_mb {
	IMB_MGR *manager;
	IMB_JOB burst[GROUP];
	struct cipher_job jobs[GROUP];
	/* The library wants key schedules on 16-byte boundaries. */
	_Alignas(16) uint8_t schedule[GROUP][SCHEDULE_SIZE];
	_Alignas(16) uint8_t inverse[SCHEDULE_SIZE];
	uint8_t tail[GROUP][AES_BLOCK]; /* last block with its padding */
};

void
bulk_mb_gain(struct bulk_mb_gain *ret)
{
	uint64_t features = imb_get_feature_flags();
	uint64_t avx2 = IMB_CPUFLAGS_AVX2;
	uint64_t avx512 = avx2 | IMB_FEATURE_AVX512_SKX;
	bool sha_ni = features & IMB_FEATURE_SHANI, wide;

	*ret = (struct bulk_mb_gain){.encrypt = SIZE_MAX, .decrypt = SIZE_MAX};
	for (size_t i = 0; i < _BULK_HASH_MAX; i++)
		ret->hash[i] = SIZE_MAX;
	if ((features & avx2) != avx2)
		return;
	wide = (features & avx512) == avx512;
	ret->arch = wide ? "avx512" : "avx2";
	ret->encrypt = 2;
	if (wide && (features & IMB_FEATURE_VAES))
		ret->decrypt = DECRYPT_LEAST;
	for (size_t i = 0; i < _BULK_HASH_MAX; i++)
		ret->hash[i] = 3;
	if (sha_ni)
		ret->hash[BULK_SHA256] = wide ? 8 : SIZE_MAX;
}

size_t
bulk_mb_hash_limit(enum bulk_hash hash)
{
	return hash == BULK_SHA256 ? 65535u * 64 - 64 : 65534;
}

struct bulk_mb *
bulk_mb_new(void)
{
	struct bulk_mb *mb;
	IMB_ARCH arch;

	mb = aligned_alloc(_Alignof(struct bulk_mb), sizeof(*mb));
	if (mb == NULL)
		return NULL;
	memset(mb, 0, sizeof(*mb));
	mb->manager = alloc_mb_mgr(0);
	if (mb->manager == NULL)
		return bulk_mb_free(mb);
	init_mb_mgr_auto(mb->manager, &arch);
	if (imb_get_errno(mb->manager) != 0)
		return bulk_mb_free(mb);
	return mb;
}

struct bulk_mb *
bulk_mb_free(struct bulk_mb *mb)
{
	if (mb == NULL)
		return NULL;
	if (mb->manager != NULL)
		free_mb_mgr(mb->manager);
	free(mb);
	return NULL;
}

static IMB_HASH_ALG
hash_alg(enum bulk_hash hash)
{
	switch (hash) {
	case BULK_SHA256:
		return IMB_AUTH_SHA_256;
	case BULK_SHA384:
		return IMB_AUTH_SHA_384;
	default:
		return IMB_AUTH_SHA_512;
	}
}

static size_t
full_size(enum bulk_hash hash)
{
	return hash == BULK_SHA512_256 ? 64 : bulk_digest_size(hash);
}

static bool
count_done(const IMB_JOB *job, size_t *done)
{
	if (job == NULL)
		return false;
	if (job->status == IMB_STATUS_COMPLETED)
		++*done;
	return true;
}

static bool
hash_group(struct bulk_mb *mb, enum bulk_hash hash, struct bulk_hash_job *jobs,
	size_t n)
{
	uint8_t digests[GROUP][BULK_DIGEST_MAX];
	IMB_HASH_ALG alg = hash_alg(hash);
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		IMB_JOB *job = IMB_GET_NEXT_JOB(mb->manager);

		job->src = jobs[i].data;
		job->hash_start_src_offset_in_bytes = 0;
		job->msg_len_to_hash_in_bytes = jobs[i].len;
		job->auth_tag_output = digests[i];
		job->auth_tag_output_len_in_bytes = full_size(hash);
		job->hash_alg = alg;
		job->cipher_mode = IMB_CIPHER_NULL;
		job->cipher_direction = IMB_DIR_ENCRYPT;
		job->chain_order = IMB_ORDER_HASH_CIPHER;
		(void)count_done(IMB_SUBMIT_JOB_NOCHECK(mb->manager), &done);
	}
	while (count_done(IMB_FLUSH_JOB(mb->manager), &done))
		;
	for (size_t i = 0; i < n; i++)
		memcpy(jobs[i].digest, digests[i], bulk_digest_size(hash));
	explicit_bzero(digests, sizeof(digests[0]) * n);
	return done == n;
}

bool
bulk_mb_hash(struct bulk_mb *mb, enum bulk_hash hash,
	struct bulk_hash_job *jobs, size_t n)
{
	bool good = true;

	for (size_t i = 0; i < n; i += GROUP) {
		size_t group = MIN_OF(n - i, (size_t)GROUP);

		good = hash_group(mb, hash, jobs + i, group) && good;
	}
	return good;
}

/* For encryption schedule[i], for decryption inverse. */
static void
expand_key(struct bulk_mb *mb, size_t i, const uint8_t *key, size_t key_len)
{
	if (key_len == 16)
		IMB_AES_KEYEXP_128(
			mb->manager, key, mb->schedule[i], mb->inverse);
	else if (key_len == 24)
		IMB_AES_KEYEXP_192(
			mb->manager, key, mb->schedule[i], mb->inverse);
	else
		IMB_AES_KEYEXP_256(
			mb->manager, key, mb->schedule[i], mb->inverse);
}

/* The next slice of job i, or its padded last block. */
static void
fill_slice(struct bulk_mb *mb, size_t i, IMB_JOB *job, size_t key_len)
{
	struct cipher_job *c = &mb->jobs[i];
	size_t len = c->whole > 0 ? MIN_OF(c->whole, SLICE) : AES_BLOCK;

	memset(job, 0, sizeof(*job));
	job->enc_keys = mb->schedule[i];
	job->key_len_in_bytes = key_len;
	job->src = c->whole > 0 ? c->src : mb->tail[i];
	job->dst = c->dst;
	job->iv = c->iv;
	job->iv_len_in_bytes = AES_BLOCK;
	job->msg_len_to_cipher_in_bytes = len;
	if (c->whole > 0) {
		c->whole -= len;
		c->src += len;
	} else {
		c->padded = true;
	}
	c->dst += len;
	c->iv = c->dst - AES_BLOCK;
}

static void
set_up(struct bulk_mb *mb, size_t i, const struct bulk_encrypt_job *job,
	size_t key_len)
{
	size_t rest = job->len % AES_BLOCK;

	expand_key(mb, i, job->key, key_len);
	mb->jobs[i] = (struct cipher_job){
		.src = job->src,
		.dst = job->dst,
		.iv = job->iv,
		.whole = job->len - rest,
	};
	memset(mb->tail[i], (int)(AES_BLOCK - rest), AES_BLOCK);
	if (rest > 0)
		memcpy(mb->tail[i], job->src + (job->len - rest), rest);
}

static bool
encrypt_group(struct bulk_mb *mb, size_t key_len, struct bulk_encrypt_job *jobs,
	size_t n)
{
	for (size_t i = 0; i < n; i++)
		set_up(mb, i, &jobs[i], key_len);
	for (;;) {
		uint32_t slices = 0;

		for (size_t i = 0; i < n; i++) {
			if (!mb->jobs[i].padded)
				fill_slice(
					mb, i, &mb->burst[slices++], key_len);
		}
		if (slices == 0)
			return true;
		if (IMB_SUBMIT_CIPHER_BURST_NOCHECK(mb->manager, mb->burst,
			    slices, IMB_CIPHER_CBC, IMB_DIR_ENCRYPT,
			    key_len) != slices)
			return false;
	}
}

bool
bulk_mb_encrypt(struct bulk_mb *mb, size_t key_len,
	struct bulk_encrypt_job *jobs, size_t n)
{
	bool good = true;

	for (size_t i = 0; i < n; i += GROUP) {
		size_t group = MIN_OF(n - i, (size_t)GROUP);

		good = encrypt_group(mb, key_len, jobs + i, group) && good;
	}
	explicit_bzero(mb->schedule, sizeof(mb->schedule));
	explicit_bzero(mb->inverse, sizeof(mb->inverse));
	explicit_bzero(mb->tail, sizeof(mb->tail));
	return good;
}

bool
bulk_mb_decrypt(
	struct bulk_mb *mb, size_t key_len, const struct bulk_decrypt_job *d)
{
	IMB_JOB *job = &mb->burst[0];
	uint32_t done;

	expand_key(mb, 0, d->key, key_len);
	memset(job, 0, sizeof(*job));
	job->dec_keys = mb->inverse;
	job->key_len_in_bytes = key_len;
	job->src = d->src;
	job->dst = d->dst;
	job->iv = d->iv;
	job->iv_len_in_bytes = AES_BLOCK;
	job->msg_len_to_cipher_in_bytes = d->len;
	done = IMB_SUBMIT_CIPHER_BURST_NOCHECK(
		mb->manager, job, 1, IMB_CIPHER_CBC, IMB_DIR_DECRYPT, key_len);
	explicit_bzero(mb->schedule[0], sizeof(mb->schedule[0]));
	explicit_bzero(mb->inverse, sizeof(mb->inverse));
	return done == 1;
}

#else /* not x86-64 */

void
bulk_mb_gain(struct bulk_mb_gain *ret)
{
	*ret = (struct bulk_mb_gain){.encrypt = SIZE_MAX, .decrypt = SIZE_MAX};
	for (size_t i = 0; i < _BULK_HASH_MAX; i++)
		ret->hash[i] = SIZE_MAX;
}

size_t
bulk_mb_hash_limit(enum bulk_hash hash)
{
	return 0;
}

struct bulk_mb *
bulk_mb_new(void)
{
	return NULL;
}

struct bulk_mb *
bulk_mb_free(struct bulk_mb *mb)
{
	return NULL;
}

bool
bulk_mb_hash(struct bulk_mb *mb, enum bulk_hash hash,
	struct bulk_hash_job *jobs, size_t n)
{
	return false;
}

bool
bulk_mb_encrypt(struct bulk_mb *mb, size_t key_len,
	struct bulk_encrypt_job *jobs, size_t n)
{
	return false;
}

bool
bulk_mb_decrypt(
	struct bulk_mb *mb, size_t key_len, const struct bulk_decrypt_job *d)
{
	return false;
}

#endif

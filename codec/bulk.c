/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who does the work
 *
 *   SHA-256        libipsec-mb (16 lanes with AVX-512; eight with AVX2 where
 *                  the CPU has no SHA extensions)
 *   SHA-384, -512  bulk_sha512.c (eight lanes, AVX-512), else libipsec-mb (four
 *                  lanes, AVX2) for messages that it can take
 *   AES-CBC        libipsec-mb: encryption of several messages; decryption,
 *                  which is parallel within one, with vector AES
 *   the rest       EVP, and every batch that is too small to fill the lanes
 *
 * Each of these is held against EVP once, with messages around all
 * lengths where such code goes wrong, before it is trusted.
 *
 * EVP methods are fetched once: by name each time costs three times as much for
 * short messages.
 *
 * HMAC is done by hand from plain hashes.  That way many short ones go through
 * the lanes too, and what depends on the key lies in a few places that are
 * wiped here.
 */
#include "codec/bulk.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "codec/bulk_mb.h"
#include "codec/bulk_sha512.h"
#include "common/err.h"
#include "common/macros.h"

#define SHA512_GAIN 3
#define AES_BLOCK   16
/* Jobs that are sorted out, or HMACs that are prepared, together. */
#define GROUP      16
#define HMAC_BLOCK 128 /* the larger of the two */
#define HMAC_DATA  128 /* longest message for the lanes */

enum trust {
	UNTRIED,
	TRUSTED,
	REFUSED,
};

struct bulk {
	enum bulk_impl impl;
	EVP_MD *md[_BULK_HASH_MAX];
	EVP_MD_CTX *md_ctx[_BULK_HASH_MAX];
	EVP_CIPHER *cipher[3]; /* key length 16, 24, 32 */
	EVP_CIPHER_CTX *cipher_ctx;
	struct bulk_mb *mb;       /* NULL until it gains */
	struct bulk_mb_gain gain; /* with bulk_sha512.c's counted in */
	enum trust hash_trust[_BULK_HASH_MAX];
	enum trust encrypt_trust;
	enum trust decrypt_trust;
};

static const struct {
	const char *name;
	size_t digest_size;
	size_t block_size;
} hashes[_BULK_HASH_MAX] = {
	[BULK_SHA256] = {"SHA2-256", 32, 64},
	[BULK_SHA384] = {"SHA2-384", 48, 128},
	[BULK_SHA512] = {"SHA2-512", 64, 128},
	[BULK_SHA512_256] = {"SHA2-512", 32, 128},
};

static const char *const ciphers[3] = {
	"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"};

size_t
bulk_digest_size(enum bulk_hash hash)
{
	return hashes[hash].digest_size;
}

static bool
kernel_for(enum bulk_hash hash)
{
	return hash != BULK_SHA256 && bulk_sha512_able();
}

static void
find_gain(struct bulk *b)
{
	bulk_mb_gain(&b->gain);
	for (size_t i = 0; i < _BULK_HASH_MAX; i++) {
		if (kernel_for((enum bulk_hash)i))
			b->gain.hash[i] = SHA512_GAIN;
	}
}

struct bulk *
bulk_new(enum bulk_impl impl)
{
	struct bulk *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->impl = impl;
	if (impl != BULK_EVP)
		find_gain(b);
	for (size_t i = 0; i < _BULK_HASH_MAX; i++) {
		b->md[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
		b->md_ctx[i] = EVP_MD_CTX_new();
		if (b->md[i] == NULL || b->md_ctx[i] == NULL)
			return bulk_free(b);
	}
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		b->cipher[i] = EVP_CIPHER_fetch(NULL, ciphers[i], NULL);
		if (b->cipher[i] == NULL)
			return bulk_free(b);
	}
	b->cipher_ctx = EVP_CIPHER_CTX_new();
	return b->cipher_ctx != NULL ? b : bulk_free(b);
}

struct bulk *
bulk_free(struct bulk *b)
{
	if (b == NULL)
		return NULL;
	for (size_t i = 0; i < _BULK_HASH_MAX; i++) {
		EVP_MD_CTX_free(b->md_ctx[i]);
		EVP_MD_free(b->md[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
		EVP_CIPHER_free(b->cipher[i]);
	EVP_CIPHER_CTX_free(b->cipher_ctx);
	bulk_mb_free(b->mb);
	free(b);
	return NULL;
}

/* ---- EVP */

static int
evp_hash(struct bulk *b, enum bulk_hash hash, const struct bulk_hash_job *job)
{
	EVP_MD_CTX *ctx = b->md_ctx[hash];
	uint8_t digest[EVP_MAX_MD_SIZE];

	if (EVP_DigestInit_ex2(ctx, b->md[hash], NULL) != 1 ||
		EVP_DigestUpdate(ctx, job->data, job->len) != 1 ||
		EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
		return err_new(-EIO);
	memcpy(job->digest, digest, hashes[hash].digest_size);
	return 0;
}

static int
evp_hash_all(struct bulk *b, enum bulk_hash hash,
	const struct bulk_hash_job *jobs, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = evp_hash(b, hash, &jobs[i]);
	return r;
}

static const EVP_CIPHER *
cipher_of(const struct bulk *b, size_t key_len)
{
	assert(key_len == 16 || key_len == 24 || key_len == 32);
	return b->cipher[key_len / 8 - 2];
}

/* EVP counts in int. */
static bool
cipher_update(EVP_CIPHER_CTX *ctx, uint8_t *dst, const uint8_t *src, size_t len)
{
	while (len > 0) {
		size_t part = MIN_OF(len, (size_t)1 << 30);
		int out;

		if (EVP_CipherUpdate(ctx, dst, &out, src, (int)part) != 1)
			return false;
		dst += out;
		src += part;
		len -= part;
	}
	return true;
}

static int
evp_encrypt_all(struct bulk *b, size_t key_len,
	const struct bulk_encrypt_job *jobs, size_t n)
{
	EVP_CIPHER_CTX *ctx = b->cipher_ctx;
	bool good = true;

	for (size_t i = 0; i < n && good; i++) {
		const struct bulk_encrypt_job *j = &jobs[i];
		int out;

		good = EVP_EncryptInit_ex2(ctx, cipher_of(b, key_len), j->key,
			       j->iv, NULL) == 1 &&
			cipher_update(ctx, j->dst, j->src, j->len) &&
			EVP_EncryptFinal_ex(ctx,
				j->dst + (j->len - j->len % AES_BLOCK),
				&out) == 1;
	}
	/* Wipes the key schedule. */
	EVP_CIPHER_CTX_reset(ctx);
	return good ? 0 : err_new(-EIO);
}

static int
evp_decrypt(struct bulk *b, size_t key_len, const struct bulk_decrypt_job *job)
{
	EVP_CIPHER_CTX *ctx = b->cipher_ctx;
	bool good;

	good = EVP_DecryptInit_ex2(ctx, cipher_of(b, key_len), job->key,
		       job->iv, NULL) == 1 &&
		EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
		cipher_update(ctx, job->dst, job->src, job->len);
	EVP_CIPHER_CTX_reset(ctx);
	return good ? 0 : err_new(-EIO);
}

/* ---- trust */

#define PROBE_MAX 131072u
static const size_t probe_lengths[GROUP] = {0, 1, 55, 56, 64, 111, 112, 127,
	128, 129, 1000, 65519, 65534, 65535, 65536, PROBE_MAX};

/* Any bytes that are not all alike. */
static uint8_t *
probe_data(void)
{
	uint8_t *data = malloc(PROBE_MAX);
	uint32_t x = 1;

	if (data == NULL)
		return NULL;
	for (size_t i = 0; i < PROBE_MAX; i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (uint8_t)(x >> 24);
	}
	return data;
}

static size_t
hash_limit(enum bulk_hash hash)
{
	return kernel_for(hash) ? SIZE_MAX : bulk_mb_hash_limit(hash);
}

static bool
lanes_hash(struct bulk *b, enum bulk_hash hash, struct bulk_hash_job *jobs,
	size_t n)
{
	if (!kernel_for(hash))
		return bulk_mb_hash(b->mb, hash, jobs, n);
	bulk_sha512_run(hash, jobs, n);
	return true;
}

static bool
make_manager(struct bulk *b)
{
	if (b->mb == NULL)
		b->mb = bulk_mb_new();
	return b->mb != NULL;
}

/* Does the multi-buffer code give what EVP gives?  Leaves the answer open when
 * there is no memory to find out. */
static void
probe_hash(struct bulk *b, enum bulk_hash hash)
{
	AUTO_FREE uint8_t *data = probe_data();
	uint8_t got[GROUP][BULK_DIGEST_MAX], want[GROUP][BULK_DIGEST_MAX];
	struct bulk_hash_job jobs[GROUP];
	size_t n = 0, size = bulk_digest_size(hash);
	bool same;

	if (data == NULL)
		return;
	memset(got, 0, sizeof(got));
	for (; n < GROUP && probe_lengths[n] <= hash_limit(hash); n++) {
		jobs[n] =
			(struct bulk_hash_job){data, probe_lengths[n], want[n]};
		if (evp_hash(b, hash, &jobs[n]) != 0)
			return;
		jobs[n].digest = got[n];
	}
	same = lanes_hash(b, hash, jobs, n);
	for (size_t i = 0; i < n; i++)
		same = same && memcmp(got[i], want[i], size) == 0;
	b->hash_trust[hash] = same ? TRUSTED : REFUSED;
}

static void
probe_encrypt(struct bulk *b)
{
	AUTO_FREE uint8_t *data = probe_data();
	AUTO_FREE uint8_t *out = malloc(2 * (PROBE_MAX + AES_BLOCK));
	uint8_t *want = out + PROBE_MAX + AES_BLOCK;
	bool same = true;

	if (data == NULL || out == NULL)
		return;
	for (size_t key_len = 16; key_len <= 32; key_len += 8) {
		for (size_t i = 0; i < GROUP; i++) {
			size_t len = probe_lengths[i];
			struct bulk_encrypt_job job = {data, len, want,
				data + i, data + PROBE_MAX / 2 + i};

			if (evp_encrypt_all(b, key_len, &job, 1) != 0)
				return;
			job.dst = out;
			same = same &&
				bulk_mb_encrypt(b->mb, key_len, &job, 1) &&
				memcmp(out, want, len - len % 16 + 16) == 0;
		}
	}
	b->encrypt_trust = same ? TRUSTED : REFUSED;
}

/* In place, which is allowed and the harder case; short lengths too, since such
 * code goes in large steps. */
static void
probe_decrypt(struct bulk *b)
{
	AUTO_FREE uint8_t *data = probe_data();
	AUTO_FREE uint8_t *out = malloc(2 * PROBE_MAX);
	uint8_t *got = out + PROBE_MAX;
	bool same = true;

	if (data == NULL || out == NULL)
		return;
	for (size_t i = 0; i < 3 * 2 * GROUP; i++) {
		size_t k = i / 3, key_len = 16 + i % 3 * 8;
		size_t len = k < GROUP ? (k + 1) * AES_BLOCK
				       : probe_lengths[k - GROUP];
		struct bulk_decrypt_job job = {data, len - len % AES_BLOCK, out,
			data + key_len, data + 2 * key_len};

		if (job.len == 0)
			continue;
		if (evp_decrypt(b, key_len, &job) != 0)
			return;
		memcpy(got, data, job.len);
		job.src = job.dst = got;
		same = same && bulk_mb_decrypt(b->mb, key_len, &job) &&
			memcmp(out, got, job.len) == 0;
	}
	b->decrypt_trust = same ? TRUSTED : REFUSED;
}

static bool
hash_gains(struct bulk *b, enum bulk_hash hash, size_t n)
{
	if (b->impl == BULK_EVP || n < b->gain.hash[hash] ||
		b->hash_trust[hash] == REFUSED)
		return false;
	if (!kernel_for(hash) && !make_manager(b))
		return false;
	if (b->hash_trust[hash] == UNTRIED)
		probe_hash(b, hash);
	return b->hash_trust[hash] == TRUSTED;
}

static bool
encrypt_gains(struct bulk *b, size_t n)
{
	if (b->impl == BULK_EVP || n < b->gain.encrypt ||
		b->encrypt_trust == REFUSED || !make_manager(b))
		return false;
	if (b->encrypt_trust == UNTRIED)
		probe_encrypt(b);
	return b->encrypt_trust == TRUSTED;
}

static bool
decrypt_gains(struct bulk *b, size_t len)
{
	if (b->impl == BULK_EVP || len < b->gain.decrypt ||
		b->decrypt_trust == REFUSED || !make_manager(b))
		return false;
	if (b->decrypt_trust == UNTRIED)
		probe_decrypt(b);
	return b->decrypt_trust == TRUSTED;
}

/* ---- batches */

/* Hands what is short enough to the lanes, the rest to EVP. */
static int
hash_mixed(struct bulk *b, enum bulk_hash hash, struct bulk_hash_job *jobs,
	size_t n)
{
	size_t limit = hash_limit(hash);

	while (n > 0) {
		struct bulk_hash_job fit[4 * GROUP];
		size_t n_fit = 0, i;
		int r;

		for (i = 0; i < n && n_fit < ARRAY_LEN(fit); i++) {
			if (jobs[i].len <= limit) {
				fit[n_fit++] = jobs[i];
				continue;
			}
			r = evp_hash(b, hash, &jobs[i]);
			if (r != 0)
				return err_pass(r);
		}
		if (!lanes_hash(b, hash, fit, n_fit))
			return err_new(-EIO);
		jobs += i;
		n -= i;
	}
	return 0;
}

int
bulk_hash(struct bulk *b, enum bulk_hash hash, struct bulk_hash_job *jobs,
	size_t n)
{
	if (hash_gains(b, hash, n))
		return err_pass(hash_mixed(b, hash, jobs, n));
	return err_pass(evp_hash_all(b, hash, jobs, n));
}

int
bulk_encrypt(
	struct bulk *b, size_t key_len, struct bulk_encrypt_job *jobs, size_t n)
{
	if (!encrypt_gains(b, n))
		return err_pass(evp_encrypt_all(b, key_len, jobs, n));
	if (!bulk_mb_encrypt(b->mb, key_len, jobs, n))
		return err_new(-EIO);
	return 0;
}

int
bulk_decrypt(struct bulk *b, const uint8_t *key, size_t key_len,
	const uint8_t *iv, const uint8_t *src, size_t len, uint8_t *dst)
{
	struct bulk_decrypt_job job = {src, len, dst, key, iv};

	assert(len % AES_BLOCK == 0);
	if (!decrypt_gains(b, len))
		return err_pass(evp_decrypt(b, key_len, &job));
	if (!bulk_mb_decrypt(b->mb, key_len, &job))
		return err_new(-EIO);
	return 0;
}

/* ---- HMAC */

/* What is hashed at full width before the digest is cut. */
static enum bulk_hash
uncut(enum bulk_hash hash)
{
	return hash == BULK_SHA512_256 ? BULK_SHA512 : hash;
}

static void
xor_pad(uint8_t *dst, const uint8_t *key, size_t key_len, size_t size,
	uint8_t pad)
{
	for (size_t i = 0; i < size; i++)
		dst[i] = (uint8_t)((i < key_len ? key[i] : 0) ^ pad);
}

/* A key longer than a block is replaced by its hash. */
static int
short_key(struct bulk *b, enum bulk_hash hash, const struct bulk_hmac_job *job,
	uint8_t *ret_key, size_t *ret_len)
{
	struct bulk_hash_job whole = {job->key, job->key_len, ret_key};

	if (job->key_len > hashes[hash].block_size) {
		*ret_len = hashes[hash].digest_size;
		return err_pass(evp_hash(b, hash, &whole));
	}
	if (job->key_len > 0)
		memcpy(ret_key, job->key, job->key_len);
	*ret_len = job->key_len;
	return 0;
}

static int
evp_hmac(struct bulk *b, enum bulk_hash hash, const struct bulk_hmac_job *job,
	size_t digest_size)
{
	size_t block = hashes[hash].block_size, key_len;
	uint8_t key[HMAC_BLOCK], pad[HMAC_BLOCK], digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = b->md_ctx[hash];
	int r;
	bool good;

	r = short_key(b, hash, job, key, &key_len);
	if (r != 0)
		return err_pass(r);
	xor_pad(pad, key, key_len, block, 0x36);
	good = EVP_DigestInit_ex2(ctx, b->md[hash], NULL) == 1 &&
		EVP_DigestUpdate(ctx, pad, block) == 1 &&
		EVP_DigestUpdate(ctx, job->a, job->a_len) == 1 &&
		EVP_DigestUpdate(ctx, job->b, job->b_len) == 1 &&
		EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	xor_pad(pad, key, key_len, block, 0x5c);
	good = good && EVP_DigestInit_ex2(ctx, b->md[hash], NULL) == 1 &&
		EVP_DigestUpdate(ctx, pad, block) == 1 &&
		EVP_DigestUpdate(ctx, digest, hashes[hash].digest_size) == 1 &&
		EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	/* The context holds the state that the key led to. */
	EVP_MD_CTX_reset(ctx);
	if (good)
		memcpy(job->digest, digest, digest_size);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(digest, sizeof(digest));
	return good ? 0 : err_new(-EIO);
}

/* Messages of one group, each in its place, and their digests. */
struct hmac_group {
	uint8_t message[GROUP][HMAC_BLOCK + HMAC_DATA];
	uint8_t digest[GROUP][BULK_DIGEST_MAX];
	struct bulk_hash_job hash[GROUP];
};

static bool
hmac_fits(enum bulk_hash hash, const struct bulk_hmac_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].key_len > hashes[hash].block_size ||
			jobs[i].a_len > HMAC_DATA ||
			jobs[i].b_len > HMAC_DATA - jobs[i].a_len)
			return false;
	}
	return true;
}

static void
hmac_inner(struct hmac_group *g, enum bulk_hash hash,
	const struct bulk_hmac_job *jobs, size_t n)
{
	size_t block = hashes[hash].block_size;

	for (size_t i = 0; i < n; i++) {
		const struct bulk_hmac_job *j = &jobs[i];
		uint8_t *m = g->message[i];

		xor_pad(m, j->key, j->key_len, block, 0x36);
		if (j->a_len > 0)
			memcpy(m + block, j->a, j->a_len);
		if (j->b_len > 0)
			memcpy(m + block + j->a_len, j->b, j->b_len);
		g->hash[i] = (struct bulk_hash_job){
			m, block + j->a_len + j->b_len, g->digest[i]};
	}
}

static void
hmac_outer(struct hmac_group *g, enum bulk_hash hash,
	const struct bulk_hmac_job *jobs, size_t n)
{
	size_t block = hashes[hash].block_size;
	size_t size = hashes[hash].digest_size;

	for (size_t i = 0; i < n; i++) {
		uint8_t *m = g->message[i];

		xor_pad(m, jobs[i].key, jobs[i].key_len, block, 0x5c);
		memcpy(m + block, g->digest[i], size);
		g->hash[i].len = block + size;
	}
}

static int
lanes_hmac(struct bulk *b, enum bulk_hash hash,
	const struct bulk_hmac_job *jobs, size_t n, size_t digest_size)
{
	struct hmac_group g;
	int r;

	hmac_inner(&g, hash, jobs, n);
	r = bulk_hash(b, hash, g.hash, n);
	if (r == 0) {
		hmac_outer(&g, hash, jobs, n);
		r = bulk_hash(b, hash, g.hash, n);
	}
	for (size_t i = 0; i < n && r == 0; i++)
		memcpy(jobs[i].digest, g.digest[i], digest_size);
	explicit_bzero(&g, sizeof(g));
	return err_pass(r);
}

int
bulk_hmac_many(struct bulk *b, enum bulk_hash hash,
	const struct bulk_hmac_job *jobs, size_t n)
{
	size_t digest_size = hashes[hash].digest_size;
	int r = 0;

	hash = uncut(hash);
	while (n > 0 && r == 0) {
		size_t group = MIN_OF(n, (size_t)GROUP);

		if (hash_gains(b, hash, group) &&
			hmac_fits(hash, jobs, group)) {
			r = lanes_hmac(b, hash, jobs, group, digest_size);
		} else {
			for (size_t i = 0; i < group && r == 0; i++)
				r = evp_hmac(b, hash, &jobs[i], digest_size);
		}
		jobs += group;
		n -= group;
	}
	return err_pass(r);
}

const char *
bulk_describe(struct bulk *b)
{
	bool refused =
		b->encrypt_trust == REFUSED || b->decrypt_trust == REFUSED;

	for (size_t i = 0; i < _BULK_HASH_MAX; i++)
		refused = refused || b->hash_trust[i] == REFUSED;
	if (b->impl == BULK_EVP || b->gain.arch == NULL || refused)
		return "evp";
	return strcmp(b->gain.arch, "avx512") == 0 ? "ipsec-mb avx512"
						   : "ipsec-mb avx2";
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "codec/bulk.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/pccrc_util.h"

#define DATA_SIZE (1u << 20)
#define MAX_JOBS  150

struct fixture {
	struct bulk *automatic;
	struct bulk *evp;
	uint8_t *data;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->automatic = bulk_new(BULK_AUTO);
	f->evp = bulk_new(BULK_EVP);
	f->data = random_bytes(DATA_SIZE, 11);
	assert_non_null(f->automatic);
	assert_non_null(f->evp);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	bulk_free(f->automatic);
	bulk_free(f->evp);
	free(f->data);
	free(f);
	return 0;
}

static const EVP_MD *
reference(enum bulk_hash hash)
{
	switch (hash) {
	case BULK_SHA256:
		return EVP_sha256();
	case BULK_SHA384:
		return EVP_sha384();
	default:
		return EVP_sha512();
	}
}

static void
test_sizes(void **state)
{
	assert_int_equal(bulk_digest_size(BULK_SHA256), 32);
	assert_int_equal(bulk_digest_size(BULK_SHA384), 48);
	assert_int_equal(bulk_digest_size(BULK_SHA512), 64);
	assert_int_equal(bulk_digest_size(BULK_SHA512_256), 32);
}

/* Hashes one batch and compares; nothing behind the digests is touched. */
static void
check_hashes(struct fixture *f, struct bulk *bulk, enum bulk_hash hash,
	const size_t *lens, size_t n)
{
	static uint8_t got[MAX_JOBS][BULK_DIGEST_MAX + 1];
	struct bulk_hash_job jobs[MAX_JOBS];
	uint8_t want[EVP_MAX_MD_SIZE];
	size_t size = bulk_digest_size(hash);

	for (size_t i = 0; i < n; i++) {
		memset(got[i], 0xee, sizeof(got[i]));
		jobs[i] = (struct bulk_hash_job){
			f->data + i * 13, lens[i], got[i]};
	}
	assert_int_equal(bulk_hash(bulk, hash, jobs, n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(EVP_Digest(f->data + i * 13, lens[i], want,
					 NULL, reference(hash), NULL),
			1);
		assert_memory_equal(got[i], want, size);
		assert_int_equal(got[i][size], 0xee);
	}
}

static void
test_hash_edges(void **state)
{
	static const size_t lens[] = {0, 1, 55, 56, 63, 64, 65, 111, 112, 119,
		120, 127, 128, 129, 239, 240, 255, 256, 1000, 65534, 65535,
		65536, 65537, 131071, 131072, 262144};
	struct fixture *f = *state;

	for (int hash = 0; hash < _BULK_HASH_MAX; hash++) {
		check_hashes(f, f->automatic, (enum bulk_hash)hash, lens,
			ARRAY_LEN(lens));
		check_hashes(
			f, f->evp, (enum bulk_hash)hash, lens, ARRAY_LEN(lens));
	}
}

static void
test_hash_batches(void **state)
{
	static const size_t counts[] = {
		0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129, 150};
	struct fixture *f = *state;
	size_t lens[MAX_JOBS];
	uint64_t x = 5;

	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		for (size_t i = 0; i < counts[c]; i++)
			lens[i] = splitmix(&x) %
				(splitmix(&x) % 4 == 0 ? 131073 : 600);
		for (int hash = 0; hash < _BULK_HASH_MAX; hash++)
			check_hashes(f, f->automatic, (enum bulk_hash)hash,
				lens, counts[c]);
	}
}

static const EVP_CIPHER *
reference_cipher(size_t key_len)
{
	if (key_len == 16)
		return EVP_aes_128_cbc();
	return key_len == 24 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
}

static size_t
reference_encrypt(
	const struct bulk_encrypt_job *j, size_t key_len, uint8_t *dst)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, m;

	assert_non_null(ctx);
	assert_int_equal(EVP_EncryptInit_ex(ctx, reference_cipher(key_len),
				 NULL, j->key, j->iv),
		1);
	assert_int_equal(
		EVP_EncryptUpdate(ctx, dst, &n, j->src, (int)j->len), 1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, dst + n, &m), 1);
	EVP_CIPHER_CTX_free(ctx);
	return (size_t)(n + m);
}

static void
check_encrypt(struct fixture *f, struct bulk *bulk, size_t key_len,
	const size_t *lens, size_t n)
{
	struct bulk_encrypt_job jobs[MAX_JOBS];
	AUTO_FREE uint8_t *out = malloc(n * 140000 + 1);
	AUTO_FREE uint8_t *want = malloc(140000);
	AUTO_FREE uint8_t *back = malloc(140000);

	for (size_t i = 0; i < n; i++) {
		jobs[i] = (struct bulk_encrypt_job){
			.src = f->data + 3 * i,
			.len = lens[i],
			.dst = out + i * 140000,
			.key = f->data + 1001 * i,
			.iv = f->data + 1003 * i + 500,
		};
		memset(jobs[i].dst, 0xee, lens[i] + 33);
	}
	assert_int_equal(bulk_encrypt(bulk, key_len, jobs, n), 0);
	for (size_t i = 0; i < n; i++) {
		const struct bulk_encrypt_job *j = &jobs[i];
		size_t len = reference_encrypt(j, key_len, want);

		assert_int_equal(len, j->len / 16 * 16 + 16);
		assert_memory_equal(j->dst, want, len);
		assert_int_equal(j->dst[len], 0xee);
		assert_int_equal(bulk_decrypt(bulk, j->key, key_len, j->iv,
					 j->dst, len, back),
			0);
		assert_memory_equal(back, j->src, j->len);
		/* The padding is there, in the open. */
		assert_int_equal(back[len - 1], len - j->len);
		assert_int_equal(bulk_decrypt(bulk, j->key, key_len, j->iv,
					 j->dst, len, j->dst),
			0);
		assert_memory_equal(back, j->dst, len);
	}
	/* In place. */
	for (size_t i = 0; i < n; i++) {
		memcpy(jobs[i].dst, jobs[i].src, lens[i]);
		jobs[i].src = jobs[i].dst;
	}
	assert_int_equal(bulk_encrypt(bulk, key_len, jobs, n), 0);
	for (size_t i = 0; i < n; i++) {
		jobs[i].src = f->data + 3 * i;
		assert_memory_equal(jobs[i].dst, want,
			reference_encrypt(&jobs[i], key_len, want));
	}
}

static void
test_encrypt(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 31, 32, 33, 4096, 32767,
		32768, 32769, 65519, 65520, 65535, 65536, 65537, 131071,
		131072};
	struct fixture *f = *state;

	for (size_t key_len = 16; key_len <= 32; key_len += 8) {
		check_encrypt(f, f->automatic, key_len, lens, ARRAY_LEN(lens));
		check_encrypt(f, f->automatic, key_len, lens + 14, 1);
		check_encrypt(f, f->automatic, key_len, lens, 2);
		check_encrypt(f, f->evp, key_len, lens, ARRAY_LEN(lens));
	}
}

static void
test_encrypt_many(void **state)
{
	struct fixture *f = *state;
	size_t lens[MAX_JOBS];

	for (size_t i = 0; i < MAX_JOBS; i++)
		lens[i] = i * 37;
	check_encrypt(f, f->automatic, 16, lens, MAX_JOBS);
}

static void
check_hmac(struct fixture *f, enum bulk_hash hash, size_t key_len, size_t a_len,
	size_t b_len)
{
	uint8_t want[EVP_MAX_MD_SIZE], got[BULK_DIGEST_MAX + 1];
	size_t size = bulk_digest_size(hash);
	const uint8_t *text = f->data + 2000;
	struct bulk_hmac_job job = {
		.key = f->data,
		.key_len = key_len,
		.a = text,
		.a_len = a_len,
		.b = b_len > 0 ? text + a_len : NULL,
		.b_len = b_len,
		.digest = got,
	};

	memset(got, 0xee, sizeof(got));
	assert_non_null(HMAC(reference(hash), f->data, (int)key_len, text,
		a_len + b_len, want, NULL));
	assert_int_equal(bulk_hmac_many(f->automatic, hash, &job, 1), 0);
	assert_memory_equal(got, want, size);
	assert_int_equal(got[size], 0xee);
}

static void
test_hmac(void **state)
{
	static const size_t key_lens[] = {
		0, 1, 32, 48, 63, 64, 65, 127, 128, 129, 1000};

	for (int hash = 0; hash < _BULK_HASH_MAX; hash++) {
		for (size_t k = 0; k < ARRAY_LEN(key_lens); k++) {
			check_hmac(*state, (enum bulk_hash)hash, key_lens[k],
				32, 30);
			check_hmac(*state, (enum bulk_hash)hash, key_lens[k], 0,
				0);
			check_hmac(*state, (enum bulk_hash)hash, key_lens[k],
				5000, 1);
		}
	}
}

/* Keys and texts of all lengths in one call; some do not fit the lanes. */
static void
test_hmac_many(void **state)
{
	struct fixture *f = *state;
	static uint8_t got[MAX_JOBS][BULK_DIGEST_MAX];
	struct bulk_hmac_job jobs[MAX_JOBS];
	uint8_t want[EVP_MAX_MD_SIZE];

	for (size_t i = 0; i < MAX_JOBS; i++)
		jobs[i] = (struct bulk_hmac_job){
			.key = f->data + i,
			.key_len = i < 100 ? 32 : i,
			.a = f->data + 7 * i,
			.a_len = i < 100 ? i % 70 : i,
			.b = f->data + 7 * i + (i < 100 ? i % 70 : i),
			.b_len = 30,
			.digest = got[i],
		};
	for (int hash = 0; hash < _BULK_HASH_MAX; hash++) {
		size_t size = bulk_digest_size((enum bulk_hash)hash);

		assert_int_equal(bulk_hmac_many(f->automatic,
					 (enum bulk_hash)hash, jobs, MAX_JOBS),
			0);
		for (size_t i = 0; i < MAX_JOBS; i++) {
			assert_non_null(HMAC(reference((enum bulk_hash)hash),
				jobs[i].key, (int)jobs[i].key_len, jobs[i].a,
				jobs[i].a_len + 30, want, NULL));
			assert_memory_equal(got[i], want, size);
		}
	}
}

static void
test_describe(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(bulk_describe(f->evp), "evp");
	print_message("%s\n", bulk_describe(f->automatic));
#if defined(__x86_64__)
	/* After all the batches above none was found wrong; otherwise they
	 * would have tested EVP against EVP. */
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
		assert_string_not_equal(bulk_describe(f->automatic), "evp");
#endif
}

static int
make_and_use(void *arg)
{
	struct fixture *f = arg;
	struct bulk *bulk = bulk_new(BULK_AUTO);
	uint8_t digests[16][32];
	struct bulk_hash_job jobs[16];
	int r;

	if (bulk == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < 16; i++)
		jobs[i] = (struct bulk_hash_job){f->data + i, 1000, digests[i]};
	r = bulk_hash(bulk, BULK_SHA256, jobs, 16);
	if (r == 0)
		r = bulk_hash(bulk, BULK_SHA512_256, jobs, 16);
	bulk_free(bulk);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(make_and_use, *state) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_hash_edges),
		cmocka_unit_test(test_hash_batches),
		cmocka_unit_test(test_encrypt),
		cmocka_unit_test(test_encrypt_many),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_hmac_many),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

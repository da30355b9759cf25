/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/hex.h"
#include "common/macros.h"

/* The worked example of tests/vectors/pccrr/README. */
#define KP "a8ac30a5da9d8b90dfcb881b50bbf1cbc8e7241e46a10d01e7dd94d9eb1c5185"
#define IV "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

static const char *const ciphertexts[] = {
	[PCCRR_AES128] = "3373224180857689ea296c69296fa20d97268439d2a33eb8"
			 "4f117c37bacc5ddef6b61f3eb37fc22b2e56846144689170",
	[PCCRR_AES192] = "8cd922ae108cd6040cb550342e9aeb1074f532d798e9c11f"
			 "21fa73b330e201e67d4d0f3ea7454231d6a9ced5e84c4f62",
	[PCCRR_AES256] = "d0f36f525a66b1f7f1c51e579e545d6a7d54867102ee8bfd"
			 "5ca8f8d6dc12df70f109926f3ea27712faadd102f69490e2",
};

struct fixture {
	struct bulk *bulk;
	uint8_t kp[32];
	uint8_t iv[16];
	uint8_t plain[64];
	uint8_t sealed[80]; /* AES-128 of all 64 bytes, padded */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct bulk_encrypt_job job;

	assert_non_null(f);
	f->bulk = bulk_new(BULK_EVP);
	assert_non_null(f->bulk);
	assert_true(hex_decode(f->kp, 32, KP));
	assert_true(hex_decode(f->iv, 16, IV));
	for (size_t i = 0; i < sizeof(f->plain); i++)
		f->plain[i] = (uint8_t)(7 * i + 3);
	job = (struct bulk_encrypt_job){.src = f->plain,
		.len = 64,
		.dst = f->sealed,
		.key = f->kp,
		.iv = f->iv};
	assert_int_equal(bulk_encrypt(f->bulk, 16, &job, 1), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	bulk_free(f->bulk);
	free(f);
	return 0;
}

static void
test_key_lengths(void **state)
{
	assert_int_equal(pccrr_key_len(PCCRR_NONE), 0);
	assert_int_equal(pccrr_key_len(PCCRR_AES128), 16);
	assert_int_equal(pccrr_key_len(PCCRR_AES192), 24);
	assert_int_equal(pccrr_key_len(PCCRR_AES256), 32);
	assert_int_equal(pccrr_key_len(_PCCRR_ALGO_MAX), 0);
	assert_int_equal(pccrr_key_len(UINT32_MAX), 0);
}

static void
test_cipher_len(void **state)
{
	assert_int_equal(pccrr_cipher_len(1), 16);
	assert_int_equal(pccrr_cipher_len(15), 16);
	assert_int_equal(pccrr_cipher_len(16), 32);
	assert_int_equal(pccrr_cipher_len(40), 48);
	assert_int_equal(pccrr_cipher_len(65536), 65552);
	assert_int_equal(pccrr_cipher_len(131072), 131088);
}

static void
test_vectors(void **state)
{
	struct fixture *f = *state;
	uint8_t data[48], out[48];

	for (uint32_t algo = PCCRR_AES128; algo <= PCCRR_AES256; algo++) {
		assert_true(hex_decode(data, 48, ciphertexts[algo]));
		memset(out, 0, sizeof(out));
		assert_true(pccrr_decrypt(
			f->bulk, algo, f->kp, 32, f->iv, data, 48, 40, out));
		assert_memory_equal(out, f->plain, 40);
	}
}

/* Peers may leave the padding out, or have anything there. */
static void
test_padding_is_not_looked_at(void **state)
{
	struct fixture *f = *state;
	uint8_t out[80];

	assert_true(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32, f->iv,
		f->sealed, 64, 64, out));
	assert_memory_equal(out, f->plain, 64);
	for (int bit = 0; bit < 8; bit++) {
		f->sealed[79] ^= (uint8_t)(1 << bit);
		assert_true(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32,
			f->iv, f->sealed, 80, 64, out));
		assert_memory_equal(out, f->plain, 64);
	}
}

static void
test_lengths(void **state)
{
	struct fixture *f = *state;
	uint8_t out[80];

	for (uint32_t plain = 0; plain <= 80; plain++)
		for (uint32_t len = 0; len <= 80; len++) {
			bool want = plain > 0 && len % 16 == 0 &&
				len >= plain && len <= plain + 16;

			assert_int_equal(
				pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32,
					f->iv, f->sealed, len, plain, out),
				want);
		}
	/* sums of which wrap in 32 bits; nothing may be read or written */
	assert_false(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32, f->iv,
		NULL, 0, UINT32_MAX, NULL));
	assert_false(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32, f->iv,
		NULL, 16, UINT32_MAX - 3, NULL));
	assert_false(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 32, f->iv,
		NULL, UINT32_MAX - 15, 1, NULL));
}

static void
test_algorithms(void **state)
{
	struct fixture *f = *state;
	uint8_t out[80];

	assert_false(pccrr_decrypt(
		f->bulk, PCCRR_NONE, f->kp, 32, f->iv, f->sealed, 80, 64, out));
	assert_false(pccrr_decrypt(f->bulk, _PCCRR_ALGO_MAX, f->kp, 32, f->iv,
		f->sealed, 80, 64, out));
	assert_false(pccrr_decrypt(f->bulk, PCCRR_AES256, f->kp, 31, f->iv,
		f->sealed, 80, 64, out));
	/* only the key that the algorithm takes is used */
	assert_true(pccrr_decrypt(f->bulk, PCCRR_AES128, f->kp, 16, f->iv,
		f->sealed, 80, 64, out));
	assert_memory_equal(out, f->plain, 64);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_lengths),
		cmocka_unit_test(test_cipher_len),
		cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_padding_is_not_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_algorithms, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

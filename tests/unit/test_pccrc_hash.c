/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/hmac.h>

#include "common/macros.h"
#include "tests/unit/pccrc_util.h"

static int
setup(void **state)
{
	*state = bulk_new(BULK_AUTO);
	return *state != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	bulk_free(*state);
	return 0;
}

static void
assert_hex(const uint8_t *got, const char *want)
{
	uint8_t bytes[64];
	size_t n = hex_bytes(bytes, sizeof(bytes), want);

	assert_memory_equal(got, bytes, n);
}

struct example {
	enum bulk_hash hash;
	const char *hod;
	const char *ks;
	const char *kp;
	const char *id;
};

/* Of one segment of 40 bytes, byte i = 7 i + 3; the key is the UTF-16LE text
 * "server secret" without a NUL. */
static const struct example examples[] = {
	{
		BULK_SHA256,
		"9d580e6510267f76c12a9f5af8655381"
		"cd08e2ac0254f8acca87070dc91ea908",
		"e8b893c11d8bc46a647198c0f45c786b"
		"b92fd88c6737588c751a02b775227a0b",
		"a8ac30a5da9d8b90dfcb881b50bbf1cb"
		"c8e7241e46a10d01e7dd94d9eb1c5185",
		"3721f9523a5345b997cc1abf15fbb1f0"
		"9349e4607cc137dd126320fc4835c5b6",
	},
	{
		BULK_SHA512_256,
		"70282c39aa1e107d9e38438c15db9ec4"
		"b123ede1b23fe121da75c9b347b60c51",
		"7d01de40fac8f2ad7467ad861de17463"
		"d04c4173e10be114246319738bbdebbd",
		"72258f0f0587ed96624f66980180c024"
		"7a87f7d564fdbbdf885aa46fb6b633b3",
		"25c9f0c408a3d779301bcae46ed8ad00"
		"02f753da5c37966165fc651af08f4b9f",
	},
};

static const uint8_t example_key[26] = "s\0e\0r\0v\0e\0r\0 \0s\0e\0c\0r\0e\0t";

static void
test_40_bytes(void **state)
{
	uint8_t data[40], ks[64], kp[64], id[64], hod[64], block[64];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(7 * i + 3);
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		const struct example *e = &examples[i];
		struct bulk_hash_job job = {data, sizeof(data), block};
		struct bulk_hash_job list = {block, 32, hod};

		assert_int_equal(bulk_hash(*state, e->hash, &job, 1), 0);
		/* Version 1 hashes the list, version 2 the data. */
		if (e->hash == BULK_SHA256) {
			assert_hex(block,
				"0873681bd0f82f74733bd4b4639467130c6f"
				"f71a09281210ed60c3dc95d6aa90");
			assert_int_equal(
				bulk_hash(*state, e->hash, &list, 1), 0);
		} else {
			memcpy(hod, block, 32);
		}
		assert_hex(hod, e->hod);
		assert_int_equal(pccrc_server_secret(*state, e->hash,
					 example_key, sizeof(example_key), ks),
			0);
		assert_hex(ks, e->ks);
		assert_int_equal(
			segment_secret(*state, e->hash, ks, hod, kp), 0);
		assert_hex(kp, e->kp);
		assert_int_equal(
			pccrc_segment_id(*state, e->hash, kp, hod, id), 0);
		assert_hex(id, e->id);
	}
}

static const char windows_key[] =
	"2a3d73eb435e9f2b8a344267e7467a3c7385c6e055e2b4d30dfec7c38b0ed72c";
static const char *const windows_ids[] = {
	"491b217dbee2b5f12ca79b015e06f4bbe64f9745bad7867aef17de59927edce9",
	"3371bbeaddb62353adcef970a06fdf65001e0421f4c7108276b0c37a9f9ec10f",
	"d7e924425e8f4f88f01dc6a9bb1bc37be113ec7917c745d4965c2b55fa163a6e",
};

/* Kp and id of what Windows made, from its key and HoD alone. */
static void
check_windows(struct bulk *bulk, const char *path, const char *const *ids)
{
	uint8_t bytes[256], key[32], ks[64], kp[64], id[64], all[2 * 32];
	size_t len = hex_file(bytes, sizeof(bytes), path);
	struct pccrc_info *info = NULL;

	hex_bytes(key, sizeof(key), windows_key);
	assert_int_equal(pccrc_parse(bytes, len, bulk, &info), 0);
	assert_int_equal(
		pccrc_server_secret(bulk, info->hash, key, sizeof(key), ks), 0);
	assert_int_equal(
		pccrc_segment_ids(bulk, info, 0, info->n_segments, all), 0);
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *s = &info->segments[i];

		assert_int_equal(
			segment_secret(bulk, info->hash, ks, s->hod, kp), 0);
		assert_memory_equal(kp, s->kp, 32);
		assert_int_equal(
			pccrc_segment_id(bulk, info->hash, s->kp, s->hod, id),
			0);
		assert_hex(id, ids[i]);
		assert_hex(all + i * 32, ids[i]);
	}
	pccrc_info_unref(info);
}

static void
test_windows(void **state)
{
	check_windows(*state, PCCRC_VECTORS "windows_v1.hex", windows_ids);
	check_windows(*state, PCCRC_VECTORS "windows_v2.hex", windows_ids + 1);
}

/* Each hash has its own Ks and its own width. */
static void
test_all_hashes(void **state)
{
	uint8_t ks[64], kp[65], id[65], want[64];
	static const uint8_t c2[30] = "M\0S\0_\0P\0002\0P\0_\0C\0A\0C\0H\0I\0N"
				      "\0G\0\0";
	const EVP_MD *md[] = {
		EVP_sha256(), EVP_sha384(), EVP_sha512(), EVP_sha512()};

	for (int h = 0; h < _BULK_HASH_MAX; h++) {
		enum bulk_hash hash = (enum bulk_hash)h;
		size_t size = bulk_digest_size(hash);
		uint8_t hod[64 + 30];

		memset(hod, 0x77, sizeof(hod));
		memcpy(hod + size, c2, sizeof(c2));
		memset(kp, 0xee, sizeof(kp));
		memset(id, 0xee, sizeof(id));
		assert_int_equal(
			pccrc_server_secret(*state, hash, NULL, 0, ks), 0);
		assert_int_equal(EVP_Digest("", 0, want, NULL, md[h], NULL), 1);
		assert_memory_equal(ks, want, size);
		assert_int_equal(segment_secret(*state, hash, ks, hod, kp), 0);
		HMAC(md[h], ks, (int)size, hod, size, want, NULL);
		assert_memory_equal(kp, want, size);
		assert_int_equal(kp[size], 0xee);
		assert_int_equal(
			pccrc_segment_id(*state, hash, kp, hod, id), 0);
		HMAC(md[h], kp, (int)size, hod, size + 30, want, NULL);
		assert_memory_equal(id, want, size);
		assert_int_equal(id[size], 0xee);
	}
}

/* Of one block. */
static void
expect_claim(const struct pccrc_info *info, const struct pccrc_segment *s,
	uint32_t block, const uint8_t claim[PCCRC_CLAIM_SIZE])
{
	uint8_t text[4 + BULK_DIGEST_MAX], want[BULK_DIGEST_MAX];

	put_le32(text, block);
	memcpy(text + 4, pccrc_block_hash(info, s, block), info->hash_size);
	HMAC(EVP_sha256(), s->kp, (int)info->hash_size, text,
		4 + info->hash_size, want, NULL);
	assert_memory_equal(claim, want, PCCRC_CLAIM_SIZE);
}

static void
check_claims(struct bulk *bulk, struct pccrc_info *info, size_t stride)
{
	static const uint8_t none[PCCRC_CLAIM_SIZE];
	size_t n = info->n_segments * stride;
	uint8_t(*all)[PCCRC_CLAIM_SIZE] = calloc(n, sizeof(all[0]));
	uint32_t listed = 0;

	assert_int_equal(pccrc_claims(bulk, info, stride, all), 0);
	for (size_t i = 0; i < n; i++) {
		const struct pccrc_segment *s = &info->segments[i / stride];
		uint32_t block = (uint32_t)(i % stride);
		const uint8_t *hash = block < s->n_blocks
			? pccrc_block_hash(info, s, block)
			: NULL;

		if (hash == NULL) {
			assert_memory_equal(all[i], none, sizeof(none));
			continue;
		}
		listed++;
		expect_claim(info, s, block, all[i]);
	}
	assert_true(listed > 100);
	free(all);
}

/* What is not listed is left out. */
static void
test_claims(void **state)
{
	static const struct {
		enum bulk_hash hash;
		uint32_t size;
	} cases[] = {{BULK_SHA256, 32}, {BULK_SHA384, 48}, {BULK_SHA512, 64}};
	static uint8_t hashes[512 * 64], kp[200][64];
	struct pccrc_segment segments[200];
	struct pccrc_info info = {
		.version = 1,
		.n_segments = 3,
		.segments = segments,
	};

	for (size_t i = 0; i < sizeof(hashes); i++)
		hashes[i] = (uint8_t)(i * 7 + i / 256);
	memset(kp, 0x5a, sizeof(kp));
	for (size_t i = 0; i < 200; i++) {
		kp[i][0] = (uint8_t)i;
		segments[i] = (struct pccrc_segment){
			.len = PCCRC_SEGMENT_SIZE,
			.n_blocks = 512,
			.n_listed = 512,
			.kp = kp[i],
			.hashes = hashes,
		};
	}
	segments[0].first_listed = 450;
	segments[0].n_listed = 62;
	segments[2].n_listed = 5;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		info.hash = cases[i].hash;
		info.hash_size = cases[i].size;
		check_claims(*state, &info, PCCRC_SEGMENT_BLOCKS);
	}
	info.version = 2;
	info.hash = BULK_SHA512_256;
	info.hash_size = 32;
	info.n_segments = 200;
	for (size_t i = 0; i < 200; i++) {
		segments[i].n_blocks = segments[i].n_listed = 1;
		segments[i].first_listed = 0;
		segments[i].hod = segments[i].hashes = hashes + i * 32;
	}
	check_claims(*state, &info, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_40_bytes),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_all_hashes),
		cmocka_unit_test(test_claims),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

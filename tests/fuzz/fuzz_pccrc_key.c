/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files of others.  The first byte is the length of the passphrase, which
 * follows; the rest is
 *
 *	a file: refused, or it exports to the same file again
 *	the inside of a file, so that padding and hash are reached: likewise
 *	a key: it comes back from its file, and from no other
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc_key.h"

#define MUST(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint8_t key[PCCRC_KEY_MAX], file[PCCRC_KEY_FILE_MAX];
static uint8_t again[PCCRC_KEY_FILE_MAX];

static void
check_file(const uint8_t *data, size_t len, const struct pccrc_key_text *t)
{
	size_t key_len = 0, again_len = 0;
	int r = pccrc_key_import(data, len, t, key, &key_len);

	MUST(r >= 0 && r <= PCCRC_KEY_E_FILE);
	if (r != 0)
		return;
	MUST(key_len > 0 && key_len <= PCCRC_KEY_MAX);
	MUST(pccrc_key_export(key, key_len, t, again, &again_len) == 0);
	MUST(again_len == len && memcmp(again, data, len) == 0);
}

static void
check_inside(const uint8_t *data, size_t len, const struct pccrc_key_text *t)
{
	static const uint8_t iv[16];
	uint8_t aes[32];
	size_t wide_len = 0;
	EVP_CIPHER_CTX *ctx;
	int n = 0;

	len = len / 16 * 16;
	if (len == 0 || len > sizeof(file) ||
		pccrc_key_from_text(t->text, t->len, key, &wide_len) != 0)
		return;
	MUST(EVP_Digest(key, wide_len, aes, NULL, EVP_sha256(), NULL) == 1);
	ctx = EVP_CIPHER_CTX_new();
	MUST(ctx != NULL);
	MUST(EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, aes, iv) == 1);
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	MUST(EVP_EncryptUpdate(ctx, file, &n, data, (int)len) == 1);
	EVP_CIPHER_CTX_free(ctx);
	check_file(file, len, t);
}

static void
check_key(const uint8_t *data, size_t len, const struct pccrc_key_text *t)
{
	size_t file_len = 0, key_len = 0;
	int r = pccrc_key_export(data, len, t, file, &file_len);

	MUST(r >= 0 && r <= PCCRC_KEY_E_LENGTH);
	if (r != 0)
		return;
	MUST(pccrc_key_import(file, file_len, t, key, &key_len) == 0);
	MUST(key_len == len && memcmp(key, data, len) == 0);
	file[data[0] % file_len] ^= 1;
	MUST(pccrc_key_import(file, file_len, t, key, &key_len) ==
		PCCRC_KEY_E_FILE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pccrc_key_text t;

	if (len == 0)
		return 0;
	t = (struct pccrc_key_text){
		data + 1, data[0] < len ? data[0] : len - 1};
	data += 1 + t.len;
	len -= 1 + t.len;
	check_file(data, len, &t);
	check_inside(data, len, &t);
	check_key(data, len, &t);
	return 0;
}

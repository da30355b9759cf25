/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A key file is AES-256-CBC under SHA-256(passphrase as UTF-16LE), with an IV
 * of zeros and PKCS#7 padding, of
 *
 *	SHA-256(key)   32 bytes
 *	key            the rest
 *
 * and nothing else: no header, no salt.  So equal keys under equal passphrases
 * give equal files, and a weak passphrase can be guessed as fast as SHA-256
 * goes.  That is Microsoft's format.
 *
 * The leading hash is the only thing that tells a right passphrase from a wrong
 * one.  It is also the server secret of version 1, which is why it is never
 * shown as a fingerprint.
 */
#include "codec/pccrc_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/err.h"
#include "common/secmem.h"

#define DIGEST 32u
#define BLOCK  16u
#define PLAIN  (DIGEST + PCCRC_KEY_MAX + BLOCK)

/* Everything that must not be seen. */
struct scratch {
	uint8_t wide[2 * PCCRC_KEY_TEXT_MAX];
	uint8_t aes[DIGEST];
	uint8_t digest[DIGEST];
	uint8_t plain[PLAIN];
};

/* UTF-8. */

/* Bytes of the character that begins so, 0: none does. */
static size_t
utf8_length(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/* The bytes taken, 0: not a character (cut off, too long a form, a surrogate,
 * beyond Unicode, or NUL). */
static size_t
utf8_next(const uint8_t *text, size_t len, uint32_t *ret_character)
{
	static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
	size_t n = utf8_length(text[0]);
	uint32_t c;

	if (n == 0 || n > len)
		return 0;
	c = n == 1 ? text[0] : text[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_character = c;
	return n;
}

static size_t
put_unit(uint8_t *dst, uint32_t unit)
{
	dst[0] = (uint8_t)unit;
	dst[1] = (uint8_t)(unit >> 8);
	return 2;
}

static size_t
put_utf16(uint8_t *dst, uint32_t c)
{
	if (c < 0x10000)
		return put_unit(dst, c);
	c -= 0x10000;
	return put_unit(dst, 0xd800 | c >> 10) +
		put_unit(dst + 2, 0xdc00 | (c & 0x3ff));
}

/* UTF-16 takes at most twice the bytes of UTF-8. */
_Static_assert(2 * PCCRC_KEY_TEXT_MAX <= PCCRC_KEY_MAX, "room of a key");

int
pccrc_key_from_text(
	const uint8_t *text, size_t len, uint8_t *key, size_t *ret_key_len)
{
	size_t n = 0;

	if (len == 0 || len > PCCRC_KEY_TEXT_MAX)
		return PCCRC_KEY_E_TEXT;
	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t taken = utf8_next(text + i, len - i, &c);

		if (taken == 0)
			return PCCRC_KEY_E_TEXT;
		n += put_utf16(key + n, c);
		i += taken;
	}
	*ret_key_len = n;
	return PCCRC_KEY_OK;
}

/* Files. */

static int
sha256(const uint8_t *data, size_t len, uint8_t digest[DIGEST])
{
	if (EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return err_new(-EIO);
	return 0;
}

static int
derive(struct scratch *s, const struct pccrc_key_text *t)
{
	size_t n = 0;
	int r = pccrc_key_from_text(t->text, t->len, s->wide, &n);

	return r != 0 ? r : sha256(s->wide, n, s->aes);
}

/* Without padding; len is a multiple of the block. */
static int
crypt_blocks(const struct scratch *s, int encrypt, const uint8_t *src,
	size_t len, uint8_t *dst)
{
	static const uint8_t iv[BLOCK];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, r = 0;

	if (ctx == NULL)
		return err_new(-ENOMEM);
	if (EVP_CipherInit_ex(
		    ctx, EVP_aes_256_cbc(), NULL, s->aes, iv, encrypt) != 1 ||
		EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
		EVP_CipherUpdate(ctx, dst, &n, src, (int)len) != 1 ||
		(size_t)n != len)
		r = err_new(-EIO);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

static int
seal(struct scratch *s, const uint8_t *key, size_t key_len, uint8_t *file,
	size_t *ret_file_len)
{
	size_t len = DIGEST + key_len, padding = BLOCK - len % BLOCK;
	int r;

	r = sha256(key, key_len, s->plain);
	if (r != 0)
		return r;
	memcpy(s->plain + DIGEST, key, key_len);
	memset(s->plain + len, (int)padding, padding);
	*ret_file_len = len + padding;
	return crypt_blocks(s, 1, s->plain, len + padding, file);
}

int
pccrc_key_export(const uint8_t *key, size_t key_len,
	const struct pccrc_key_text *passphrase, uint8_t *file,
	size_t *ret_file_len)
{
	struct scratch *s;
	int r;

	if (key_len == 0 || key_len > PCCRC_KEY_MAX)
		return PCCRC_KEY_E_LENGTH;
	s = sec_alloc(sizeof(*s));
	if (s == NULL)
		return err_new(-ENOMEM);
	r = derive(s, passphrase);
	if (r == 0)
		r = seal(s, key, key_len, file, ret_file_len);
	sec_free(s, sizeof(*s));
	return r;
}

/* What is left without the padding, 0: it is wrong. */
static size_t
without_padding(const uint8_t *plain, size_t len)
{
	size_t padding = plain[len - 1];

	if (padding == 0 || padding > BLOCK)
		return 0;
	for (size_t i = 2; i <= padding; i++)
		if (plain[len - i] != padding)
			return 0;
	return len - padding;
}

static int
open_file(struct scratch *s, const uint8_t *file, size_t file_len, uint8_t *key,
	size_t *ret_key_len)
{
	size_t len;
	int r;

	r = crypt_blocks(s, 0, file, file_len, s->plain);
	if (r != 0)
		return r;
	len = without_padding(s->plain, file_len);
	if (len <= DIGEST)
		return PCCRC_KEY_E_FILE;
	len -= DIGEST;
	r = sha256(s->plain + DIGEST, len, s->digest);
	if (r != 0)
		return r;
	if (CRYPTO_memcmp(s->digest, s->plain, DIGEST) != 0)
		return PCCRC_KEY_E_FILE;
	if (len > PCCRC_KEY_MAX)
		return PCCRC_KEY_E_LENGTH;
	memcpy(key, s->plain + DIGEST, len);
	*ret_key_len = len;
	return PCCRC_KEY_OK;
}

int
pccrc_key_import(const uint8_t *file, size_t file_len,
	const struct pccrc_key_text *passphrase, uint8_t *key,
	size_t *ret_key_len)
{
	struct scratch *s;
	int r;

	if (file_len <= DIGEST || file_len % BLOCK != 0 || file_len > PLAIN)
		return PCCRC_KEY_E_FILE;
	s = sec_alloc(sizeof(*s));
	if (s == NULL)
		return err_new(-ENOMEM);
	r = derive(s, passphrase);
	if (r == 0)
		r = open_file(s, file, file_len, key, ret_key_len);
	sec_free(s, sizeof(*s));
	return r;
}

int
pccrc_key_fingerprint(const uint8_t *key, size_t key_len,
	uint8_t ret_fingerprint[PCCRC_KEY_FINGERPRINT])
{
	static const char label[] = "peerdist server key fingerprint 1";
	uint8_t mac[DIGEST];

	if (key_len == 0 || key_len > PCCRC_KEY_MAX)
		return PCCRC_KEY_E_LENGTH;
	if (HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)label,
		    sizeof(label) - 1, mac, NULL) == NULL)
		return err_new(-EIO);
	memcpy(ret_fingerprint, mac, PCCRC_KEY_FINGERPRINT);
	return PCCRC_KEY_OK;
}

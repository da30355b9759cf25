/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/pccrc_key.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/hex.h"
#include "common/macros.h"
#include "failalloc.h"

/*
 * Files made by other programs:
 *
 *	K=$(printf %s "$PASSPHRASE" | iconv -t UTF-16LE |
 *		openssl dgst -sha256 -r | cut -d' ' -f1)
 *	(openssl dgst -sha256 -binary key; cat key) |
 *		openssl enc -aes-256-cbc -K $K -iv 0
 */
static const struct vector {
	const char *passphrase;
	const char *key;
	const char *file;
} vectors[] = {
	{"passphrase", "41",
		"37a6785f2614f968c13f081626bb619347f80598612cb814afbaf23e496ae0"
		"1c136ef41b730030505c8041c5f53073a5"},
	{"p", "000102030405060708090a0b0c0d0e",
		"ac1de469e84ab7437a93238e84b607f637c2c96e8b47f6967e8a06cac9af39"
		"0abd27cf2debbe4abd648c9cfd5499593a"},
	{"Gr\xc3\xbc\xc3\x9f"
	 "e, \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x98\x80",
		"000102030405060708090a0b0c0d0e0f",
		"f2a010dbda42c59bef302c46405a5a64b134393e4d9bb9a0191092ebfede3e"
		"726fe2e038e411686bdc12a4f4f2f97d2771ba3b709a9daacddc0281113407"
		"47dc"},
	/* "server secret" as netsh makes a key of it. */
	{"correct horse battery staple",
		"730065007200760065007200200073006500630072006500740"
		"0",
		"2990d088a33f3b14057087e0ceff158d3c958e3f21ac2000a82f6aa0f0d7c1"
		"1690b2baa18c15e82ff40d9639803847f4a0bed542522b7dde5311c80cbc7f"
		"00a4"},
	{"Gr\xc3\xbc\xc3\x9f"
	 "e, \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x98\x80",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
		"1f",
		"252f8dfd73921bf68a2bcb42bc92eb5eab03cac9b2cc00f9177598f3667dac"
		"17a1ad1b5dc4515389892c061ab7a85f72172ff3e3d531f1784f55a968d318"
		"21e61bb4af564051b8f86cc3a1162bb13aef"},
};

/* Under "p"; what is wrong is inside. */
static const struct {
	const char *what;
	const char *file;
} bad_inside[] = {
	{"no key at all",
		"c7062039a8087430c4ab6dd9000ce24316412a2af9dd79cad4409278ed89db"
		"5e0da6cc0428fb521fd0e775778229d317"},
	{"48 zeros, so a padding of none",
		"0463a682b7fe2b281d72badce74995676adde5f02721d72a58516e314b409f"
		"5a9e203e272158aaf85d7323b44e78b9b0"},
	{"another hash",
		"0463a682b7fe2b281d72badce74995676adde5f02721d72a58516e314b409f"
		"5ac8cc2324a2178f6e80db6c3bd80f234ac75496a14903f9fb006f90a56aaa"
		"c8ce"},
};

static uint8_t key[PCCRC_KEY_MAX], file[PCCRC_KEY_FILE_MAX];

static size_t
bytes_of(const char *hex, uint8_t *dst)
{
	size_t len = strlen(hex) / 2;

	assert_true(hex_decode(dst, len, hex));
	return len;
}

static struct pccrc_key_text
text_of(const char *text)
{
	return (struct pccrc_key_text){(const uint8_t *)text, strlen(text)};
}

static void
test_export_as_openssl(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct pccrc_key_text t = text_of(vectors[i].passphrase);
		uint8_t want[256];
		size_t want_len = bytes_of(vectors[i].file, want);
		size_t key_len = bytes_of(vectors[i].key, key), len = 0;

		assert_int_equal(
			pccrc_key_export(key, key_len, &t, file, &len), 0);
		assert_int_equal(len, want_len);
		assert_memory_equal(file, want, len);
	}
}

static void
test_import_of_openssl(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct pccrc_key_text t = text_of(vectors[i].passphrase);
		uint8_t want[64];
		size_t want_len = bytes_of(vectors[i].key, want);
		size_t file_len = bytes_of(vectors[i].file, file), len = 0;

		assert_int_equal(
			pccrc_key_import(file, file_len, &t, key, &len), 0);
		assert_int_equal(len, want_len);
		assert_memory_equal(key, want, len);
	}
}

/* Whatever is wrong, the answer is the same, and no key comes out. */
static void
refused(const uint8_t *bytes, size_t len, const char *passphrase)
{
	static const uint8_t untouched[PCCRC_KEY_MAX];
	struct pccrc_key_text t = text_of(passphrase);
	size_t key_len = 12345;

	memset(key, 0, sizeof(key));
	assert_int_equal(pccrc_key_import(bytes, len, &t, key, &key_len),
		PCCRC_KEY_E_FILE);
	assert_int_equal(key_len, 12345);
	assert_memory_equal(key, untouched, sizeof(key));
}

static void
test_wrong_passphrase(void **state)
{
	static const char *const others[] = {
		"passphras", "passphrase ", "Passphrase", "x"};
	size_t len = bytes_of(vectors[0].file, file);

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		refused(file, len, others[i]);
}

static void
test_damaged_files(void **state)
{
	size_t len = bytes_of(vectors[4].file, file);

	for (size_t i = 0; i < len * 8; i++) {
		file[i / 8] ^= (uint8_t)(1u << i % 8);
		refused(file, len, vectors[4].passphrase);
		file[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t i = 0; i < len; i++)
		refused(file, i, vectors[4].passphrase);
	refused(file, len + 1, vectors[4].passphrase);
	refused(file, len + 16, vectors[4].passphrase);
	refused(file, sizeof(file), vectors[4].passphrase);
}

static void
test_bad_inside(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_inside); i++)
		refused(file, bytes_of(bad_inside[i].file, file), "p");
}

static void
test_too_long_a_file(void **state)
{
	uint8_t *much = calloc(1, sizeof(file) + 16);

	assert_non_null(much);
	refused(much, sizeof(file) + 16, "p");
	free(much);
}

static void
test_all_lengths(void **state)
{
	struct pccrc_key_text t = text_of("p");
	uint8_t again[PCCRC_KEY_MAX];
	size_t file_len, len;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7);
	for (size_t n = 1; n <= sizeof(key); n += n < 100 ? 1 : 111) {
		assert_int_equal(
			pccrc_key_export(key, n, &t, file, &file_len), 0);
		assert_int_equal(file_len, (32 + n) / 16 * 16 + 16);
		assert_int_equal(
			pccrc_key_import(file, file_len, &t, again, &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(again, key, n);
	}
	assert_int_equal(
		pccrc_key_export(key, PCCRC_KEY_MAX, &t, file, &file_len), 0);
	assert_int_equal(file_len, PCCRC_KEY_FILE_MAX);
	assert_int_equal(pccrc_key_import(file, file_len, &t, again, &len), 0);
	assert_int_equal(len, PCCRC_KEY_MAX);
	assert_int_equal(pccrc_key_export(key, 0, &t, file, &file_len),
		PCCRC_KEY_E_LENGTH);
	assert_int_equal(
		pccrc_key_export(key, PCCRC_KEY_MAX + 1, &t, file, &file_len),
		PCCRC_KEY_E_LENGTH);
}

static void
test_text_to_key(void **state)
{
	static const struct {
		const char *text, *key;
	} rows[] = {
		{"a", "6100"},
		{"server secret",
			"7300650072007600650072002000730065006300720065007400"},
		{"\xc3\xbf\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
			"ff00ff070008ffff"},
		{"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "00d800dcffdbffdf"},
		{"\xed\x9f\xbf\xee\x80\x80", "ffd700e0"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrc_key_text t = text_of(rows[i].text);
		uint8_t want[64];
		size_t want_len = bytes_of(rows[i].key, want), len = 0;

		assert_int_equal(
			pccrc_key_from_text(t.text, t.len, key, &len), 0);
		assert_int_equal(len, want_len);
		assert_memory_equal(key, want, len);
	}
}

static void
test_text_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{"", 0},
		{"a\0b", 3},
		{"\xff", 1},
		{"a\x80", 2},
		{"\xc3", 1},
		{"\xc3(", 2},
		{"\xc0\x80", 2},         /* too long a form of NUL */
		{"\xc1\xbf", 2},         /* of DEL */
		{"\xe0\x9f\xbf", 3},     /* of U+07FF */
		{"\xf0\x8f\xbf\xbf", 4}, /* of U+FFFF */
		{"\xed\xa0\x80", 3},     /* surrogates */
		{"\xed\xbf\xbf", 3},
		{"\xf4\x90\x80\x80", 4}, /* beyond Unicode */
		{"\xf5\x80\x80\x80", 4},
		{"\xe4\xb8", 2},
		{"\xf0\x9f\x98", 3},
	};
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pccrc_key_text t = {
			(const uint8_t *)rows[i].text, rows[i].len};

		assert_int_equal(pccrc_key_from_text(t.text, t.len, key, &len),
			PCCRC_KEY_E_TEXT);
		assert_int_equal(pccrc_key_export((const uint8_t *)"k", 1, &t,
					 file, &len),
			PCCRC_KEY_E_TEXT);
	}
}

static void
test_text_length(void **state)
{
	uint8_t text[PCCRC_KEY_TEXT_MAX + 1];
	size_t len;

	memset(text, 'a', sizeof(text));
	assert_int_equal(
		pccrc_key_from_text(text, PCCRC_KEY_TEXT_MAX, key, &len), 0);
	assert_int_equal(len, 2 * PCCRC_KEY_TEXT_MAX);
	assert_int_equal(
		pccrc_key_from_text(text, PCCRC_KEY_TEXT_MAX + 1, key, &len),
		PCCRC_KEY_E_TEXT);
}

/* printf LABEL | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY */
static void
test_fingerprint(void **state)
{
	uint8_t want[PCCRC_KEY_FINGERPRINT], got[PCCRC_KEY_FINGERPRINT];
	size_t len = bytes_of(vectors[4].key, key);

	bytes_of("90ca287e881f51b7d2be53383af5aadc", want);
	assert_int_equal(pccrc_key_fingerprint(key, len, got), 0);
	assert_memory_equal(got, want, sizeof(got));
	assert_int_equal(pccrc_key_fingerprint(key, len - 1, got), 0);
	assert_memory_not_equal(got, want, sizeof(got));
	assert_int_equal(
		pccrc_key_fingerprint(key, 0, got), PCCRC_KEY_E_LENGTH);
}

static int
there_and_back(void *arg)
{
	struct pccrc_key_text t = text_of("p");
	size_t file_len, len;
	int r;

	r = pccrc_key_export((const uint8_t *)"key", 3, &t, file, &file_len);
	if (r == 0)
		r = pccrc_key_import(file, file_len, &t, key, &len);
	return r;
}

static void
test_allocations(void **state)
{
	assert_true(failalloc_each(there_and_back, NULL) == 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_export_as_openssl),
		cmocka_unit_test(test_import_of_openssl),
		cmocka_unit_test(test_wrong_passphrase),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_bad_inside),
		cmocka_unit_test(test_too_long_a_file),
		cmocka_unit_test(test_all_lengths),
		cmocka_unit_test(test_text_to_key),
		cmocka_unit_test(test_text_refused),
		cmocka_unit_test(test_text_length),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

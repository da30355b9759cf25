/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrd.h"
#include "codec/pccrd_priv.h"
#include "common/macros.h"

#define LONG_SCOPE \
	"[1111:2222:3333:4444:5555:6666:7777:8888%" \
	"a-name-that-is-much-too-long-for-this]:80"

/* Not ended by anything, so that a sanitizer sees a step too far. */
static struct pccrd_text
text_of(const char *s)
{
	char *copy = malloc(strlen(s) + (s[0] == '\0'));

	assert_non_null(copy);
	memcpy(copy, s, strlen(s));
	return (struct pccrd_text){copy, strlen(s)};
}

static void
drop(struct pccrd_text t)
{
	free((char *)(uintptr_t)t.text);
}

static void
test_base64(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="},
		{"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
		{"\xff\xef\xbe", "/+++"}};
	uint8_t got[16];
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct pccrd_text t = text_of(pairs[i][1]);
		size_t n = strlen(pairs[i][0]);

		assert_int_equal(pccrd_base64(got, sizeof(got), t), n);
		assert_memory_equal(got, pairs[i][0], n);
		assert_int_equal(pccrd_base64(got, n, t), n);
		if (n > 0)
			assert_int_equal(pccrd_base64(got, n - 1, t), -1);
		drop(t);
		buf_init(&b, 64);
		pccrd_write_base64(&b, (const uint8_t *)pairs[i][0], n);
		assert_int_equal(b.len, strlen(pairs[i][1]));
		assert_memory_equal(b.data, pairs[i][1], b.len);
		buf_done(&b);
	}
}

static void
test_base64_refused(void **state)
{
	static const char *const bad[] = {"=", "==", "====", "A",
		"A=", "A==", "A===", "AA", "AA=", "AA===", "AAA",
		"AAA==", "AAAA=", "AAAA====", "AA=A", "AA==A", "AA==AAAA",
		"AB==", "AAB=", "A_A=", "A-AA", "AA\vAA", "AAA\xc3"};
	static const char *const good[] = {" A A\t=\r\n= ", "AAA =", "\n"};
	uint8_t got[16];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct pccrd_text t = text_of(bad[i]);

		assert_int_equal(pccrd_base64(got, sizeof(got), t), -1);
		drop(t);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct pccrd_text t = text_of(good[i]);

		assert_true(pccrd_base64(got, sizeof(got), t) >= 0);
		drop(t);
	}
}

static void
test_words(void **state)
{
	struct pccrd_text t = text_of(" \t one\r\ntwo  last "), list = t, w;

	assert_true(pccrd_word(&list, &w));
	assert_true(pccrd_equal(w, "one"));
	assert_true(pccrd_word(&list, &w));
	assert_true(pccrd_equal(w, "two"));
	assert_true(pccrd_word(&list, &w));
	assert_true(pccrd_equal(w, "last"));
	assert_false(pccrd_equal(w, "las"));
	assert_false(pccrd_equal(w, "last "));
	assert_false(pccrd_word(&list, &w));
	assert_false(pccrd_word(&list, &w));
	drop(t);
	list = (struct pccrd_text){NULL, 0};
	assert_false(pccrd_word(&list, &w));
}

static void
test_urn(void **state)
{
	static const char text[] =
		"urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b22";
	static const uint8_t uuid[16] = {0x5f, 0x0a, 0x7f, 0x2e, 0x1f, 0x7b,
		0x4c, 0x58, 0x8a, 0x3e, 0x3a, 0x9c, 0x2f, 0x6d, 0x1b, 0x22};
	static const char *const bad[] = {"",
		"urn:uuid:", "5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b22",
		"urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b2",
		"urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b222",
		"urn:uuid:5f0a7f2e1f7b-4c58-8a3e-3a9c2f6d1b22-",
		"urn:uuid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b2g",
		"urn:uuid:5f0a7f2e_1f7b-4c58-8a3e-3a9c2f6d1b22",
		"urn:guid:5f0a7f2e-1f7b-4c58-8a3e-3a9c2f6d1b22"};
	char got[PCCRD_URN_SIZE];
	uint8_t back[16] = {0};

	assert_int_equal(sizeof(text), PCCRD_URN_SIZE);
	pccrd_urn_format(got, uuid);
	assert_string_equal(got, text);
	assert_true(pccrd_urn_parse(back, text));
	assert_memory_equal(back, uuid, 16);
	memset(back, 0, 16);
	assert_true(pccrd_urn_parse(
		back, "URN:UUID:5F0A7F2E-1F7B-4C58-8A3E-3A9C2F6D1B22"));
	assert_memory_equal(back, uuid, 16);
	memset(back, 7, 16);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(pccrd_urn_parse(back, bad[i]));
	assert_int_equal(back[0], 7);
}

static void
test_addresses(void **state)
{
	static const char *const good[][2] = {
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"[2001:DB8::1]:65535", "[2001:db8::1]:65535"},
		{"[fe80::1%12]:80", "[fe80::1]:80"},
		{"[fe80::1%eth0]:80", "[fe80::1]:80"},
		{"[fe80::1%]:80", "[fe80::1]:80"},
	};
	static const char *const bad[] = {"", ":", ":80", "192.0.2.1",
		"192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:+1",
		"192.0.2.1:80/", "192.0.2:80", "2001:db8::1:80", "[::1]",
		"[::1]:", "[::1:80", "[192.0.2.1]:80", "%]:80", "[%]:80",
		"[::1]:80%1", "192.0.2.1%1:80", "host:80", LONG_SCOPE};
	struct parse_addr addr;
	char text[PARSE_ADDR_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct pccrd_text t = text_of(good[i][0]);

		assert_true(pccrd_addr(&addr, t));
		parse_addr_format(text, &addr);
		assert_string_equal(text, good[i][1]);
		drop(t);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct pccrd_text t = text_of(bad[i]);

		assert_false(pccrd_addr(&addr, t));
		drop(t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_refused),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_urn),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http_list.h"
#include "common/macros.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aULL

/* In memory that ends where the text ends, so that a sanitizer sees more. */
static struct http_text
exactly(const char *text, size_t len)
{
	char *data = malloc(len);

	assert_non_null(data);
	memcpy(data, text, len);
	return (struct http_text){data, len};
}

static void
drop(struct http_text t)
{
	free((char *)t.data);
}

static void
check_list(const char *value, const char *const *want)
{
	struct http_text whole = exactly(value, strlen(value)), list = whole, e;

	while (http_list_next(&list, &e)) {
		if (*want == NULL || e.len != strlen(*want) ||
			memcmp(e.data, *want, e.len) != 0)
			fail_msg("[%s]: [%.*s], not [%s]", value, (int)e.len,
				e.data, *want != NULL ? *want : "the end");
		want++;
	}
	if (*want != NULL)
		fail_msg("[%s]: no [%s]", value, *want);
	assert_int_equal(list.len, 0);
	assert_false(http_list_next(&list, &e));
	drop(whole);
}

static void
test_lists(void **state)
{
	static const struct {
		const char *value;
		const char *elements[5];
	} rows[] = {
		{"", {NULL}},
		{" \t ", {NULL}},
		{",", {NULL}},
		{" , ,\t,", {NULL}},
		{"a", {"a"}},
		{" a\t", {"a"}},
		{"a,b", {"a", "b"}},
		{"a, b ,\tc", {"a", "b", "c"}},
		{",a,,b,", {"a", "b"}},
		{"a b;c=d, e", {"a b;c=d", "e"}},
		{"\"a,b\",c", {"\"a,b\"", "c"}},
		{"x=\"a,b\" , c", {"x=\"a,b\"", "c"}},
		{"\"a\\\",b\",c", {"\"a\\\",b\"", "c"}},
		{"\"a\\\\\",b", {"\"a\\\\\"", "b"}},
		{"\"\",b", {"\"\"", "b"}},
		{"a\\,b", {"a\\", "b"}},
		{"\"a,b", {"\"a,b"}},
		{"a,\"b,c ", {"a", "\"b,c"}},
		{"a,\"b\\", {"a", "\"b\\"}},
		{"\r,\n", {"\r", "\n"}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_list(rows[i].value, rows[i].elements);
}

static void
test_nul_is_a_character(void **state)
{
	struct http_text whole = exactly("a\0b,c", 5), list = whole, e;

	assert_true(http_list_next(&list, &e));
	assert_int_equal(e.len, 3);
	assert_false(http_text_is(e, "a"));
	assert_true(http_list_next(&list, &e));
	assert_true(http_text_is(e, "c"));
	drop(whole);
}

static void
test_split(void **state)
{
	static const struct {
		const char *text, *head, *tail; /* tail NULL: none */
	} rows[] = {
		{"", "", NULL},
		{"a", "a", NULL},
		{" a ", "a", NULL},
		{"=", "", ""},
		{"a=", "a", ""},
		{"=b", "", "b"},
		{"a=b", "a", "b"},
		{" a\t= b ", "a", "b"},
		{"a=b=c", "a", "b=c"},
		{"a==", "a", "="},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_text t =
			exactly(rows[i].text, strlen(rows[i].text));
		struct http_text head, tail;
		bool found = http_text_split(t, '=', &head, &tail);

		if (found != (rows[i].tail != NULL) ||
			!http_text_is(head, rows[i].head) ||
			!http_text_is(tail, found ? rows[i].tail : ""))
			fail_msg("[%s]: %d [%.*s] [%.*s]", rows[i].text, found,
				(int)head.len, head.data, (int)tail.len,
				tail.data);
		drop(t);
	}
}

static void
test_words(void **state)
{
	static const struct {
		const char *text, *word;
		bool same;
	} rows[] = {
		{"true", "true", true},
		{"TrUe", "true", true},
		{"true", "TRUE", true},
		{"tru", "true", false},
		{"truer", "true", false},
		{"", "", true},
		{"", "a", false},
		/* One bit from a letter, and no letters. */
		{"[", "{", false},
		{"@", "`", false},
		{"a-b", "a\rb", false},
		{"\xc4", "\xe4", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_text t =
			exactly(rows[i].text, strlen(rows[i].text));

		if (http_text_is(t, rows[i].word) != rows[i].same)
			fail_msg("[%s] [%s]", rows[i].text, rows[i].word);
		drop(t);
	}
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool is;
		uint64_t value;
		const char *rest;
	} rows[] = {
		{"0", 9, true, 0, ""},
		{"007", 9, true, 7, ""},
		{"12ab", 99, true, 12, "ab"},
		{"1 2", 99, true, 1, " 2"},
		{"1.3", 99, true, 1, ".3"},
		{"9", 9, true, 9, ""},
		{"10", 9, true, 9, ""},
		{"10", 5, true, 5, ""},
		{"8", 5, true, 5, ""},
		{"99999", 9, true, 9, ""},
		{"4294967294", UINT32_MAX, true, UINT32_MAX - 1u, ""},
		{"4294967295", UINT32_MAX, true, UINT32_MAX, ""},
		{"4294967297", UINT32_MAX, true, UINT32_MAX, ""},
		{"18446744073709551614", UINT64_MAX, true, UINT64_MAX - 1, ""},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX, ""},
		{"18446744073709551616", UINT64_MAX, true, UINT64_MAX, ""},
		{"18446744073709551617", UINT64_MAX, true, UINT64_MAX, ""},
		{"36893488147419103233x", UINT64_MAX, true, UINT64_MAX, "x"},
		{"100000000000000000000000000000000000000001", UINT64_MAX, true,
			UINT64_MAX, ""},
		{"", 9, false, 0, ""},
		{"-1", 9, false, 0, "-1"},
		{"+1", 9, false, 0, "+1"},
		{" 1", 9, false, 0, " 1"},
		{"a", 9, false, 0, "a"},
		{":", 9, false, 0, ":"},
		{"/", 9, false, 0, "/"},
		{"\xb1", 9, false, 0, "\xb1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_text t =
			exactly(rows[i].text, strlen(rows[i].text));
		struct http_text rest = t;
		uint64_t v = UNTOUCHED;
		bool is = http_text_number(&rest, rows[i].max, &v);

		if (is != rows[i].is || v != rows[i].value ||
			!http_text_is(rest, rows[i].rest))
			fail_msg("[%s]: %d %llu [%.*s]", rows[i].text, is,
				(unsigned long long)v, (int)rest.len,
				rest.data);
		drop(t);
	}
}

static void
test_fields(void **state)
{
	static const struct {
		const char *line, *name, *value; /* name NULL: no field */
	} rows[] = {
		{"ETag: \"x\"\r\n", "ETag", "\"x\""},
		{"ETag:\"x\"", "ETag", "\"x\""},
		{"Vary: \t a, b \t\r\n", "Vary", "a, b"},
		{"Date: Sun, 01 Nov 2026 10:00:00 GMT\n", "Date",
			"Sun, 01 Nov 2026 10:00:00 GMT"},
		{"Empty:\r\n", "Empty", ""},
		{"Blank : x", "Blank", "x"},
		{": x", "", "x"},
		{" ETag: folded\r\n", NULL, NULL},
		{"\tETag: folded", NULL, NULL},
		{"no colon\r\n", NULL, NULL},
		{"\r\n", NULL, NULL},
		{"", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_text line =
			exactly(rows[i].line, strlen(rows[i].line));
		struct http_text name, value;
		bool found = http_field_split(line, &name, &value);

		assert_int_equal(found, rows[i].name != NULL);
		if (found) {
			assert_true(http_text_is(name, rows[i].name));
			assert_true(http_text_is(value, rows[i].value));
		}
		drop(line);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_nul_is_a_character),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

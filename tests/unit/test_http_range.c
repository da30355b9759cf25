/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http_range.h"
#include "common/macros.h"

#define MAX    4
#define TWO_64 "18446744073709551616"
#define HUGE_N "340282366920938463463374607431768211456"

#define IGNORE  HTTP_RANGE_IGNORE
#define NOTHING HTTP_RANGE_NOTHING

static const struct http_range untouched = {0x5a5a5a5a, 0xa5a5a5a5};

/* In memory that ends where the text ends, so that a sanitizer sees more. */
static char *
exactly(const char *text)
{
	char *data = malloc(strlen(text));

	assert_non_null(data);
	memcpy(data, text, strlen(text));
	return data;
}

static enum http_range_result
parse(const char *value, uint64_t size, struct http_range ret[MAX],
	size_t *ret_n)
{
	AUTO_FREE char *data = exactly(value);

	for (size_t i = 0; i < MAX; i++)
		ret[i] = untouched;
	*ret_n = 99;
	return http_range_parse(data, strlen(value), size, ret, MAX, ret_n);
}

static void
check_ranges(const char *value, uint64_t size, const struct http_range *want)
{
	struct http_range got[MAX];
	size_t n, want_n = 0;

	while (want_n < MAX && want[want_n].length > 0)
		want_n++;
	if (parse(value, size, got, &n) != HTTP_RANGE_OK || n != want_n)
		fail_msg("[%s] of %llu: %zu ranges", value,
			(unsigned long long)size, n);
	for (size_t i = 0; i < n; i++)
		if (got[i].offset != want[i].offset ||
			got[i].length != want[i].length)
			fail_msg("[%s] of %llu: %zu: %llu, %llu", value,
				(unsigned long long)size, i,
				(unsigned long long)got[i].offset,
				(unsigned long long)got[i].length);
}

static void
test_ranges(void **state)
{
	static const struct {
		const char *value;
		uint64_t size;
		struct http_range ranges[MAX];
	} rows[] = {
		{"bytes=0-0", 10, {{0, 1}}},
		{"bytes=0-9", 10, {{0, 10}}},
		{"bytes=2-4", 10, {{2, 3}}},
		{"BYTES=2-4", 10, {{2, 3}}},
		{"bYtEs=002-0004", 10, {{2, 3}}},
		{"bytes=0-0", 1, {{0, 1}}},
		/* Open, and cut off. */
		{"bytes=0-", 10, {{0, 10}}},
		{"bytes=9-", 10, {{9, 1}}},
		{"bytes=9-10", 10, {{9, 1}}},
		{"bytes=3-99", 10, {{3, 7}}},
		{"bytes=3-" TWO_64, 10, {{3, 7}}},
		{"bytes=3-" HUGE_N, 10, {{3, 7}}},
		/* Suffixes. */
		{"bytes=-1", 10, {{9, 1}}},
		{"bytes=-10", 10, {{0, 10}}},
		{"bytes=-11", 10, {{0, 10}}},
		{"bytes=-" TWO_64, 10, {{0, 10}}},
		{"bytes=-" HUGE_N, 10, {{0, 10}}},
		{"bytes=-007", 10, {{3, 7}}},
		/* Lists: in their order, also when they overlap. */
		{"bytes=0-0,-1", 10, {{0, 1}, {9, 1}}},
		{"bytes=5-6,1-2", 10, {{5, 2}, {1, 2}}},
		{"bytes=0-5,3-9", 10, {{0, 6}, {3, 7}}},
		{"bytes=0-,0-", 10, {{0, 10}, {0, 10}}},
		{"bytes=1-1,2-2,3-3,4-4", 10, {{1, 1}, {2, 1}, {3, 1}, {4, 1}}},
		{"bytes= 0-1", 10, {{0, 2}}},
		{"bytes=0-1 ", 10, {{0, 2}}},
		{"bytes=0-1, 3-4", 10, {{0, 2}, {3, 2}}},
		{"bytes=0-1 ,\t3-4", 10, {{0, 2}, {3, 2}}},
		{"bytes=,0-1,,3-4 ,", 10, {{0, 2}, {3, 2}}},
		/* What is behind the content is left out. */
		{"bytes=0-0,20-30", 10, {{0, 1}}},
		{"bytes=20-30,10-,0-0", 10, {{0, 1}}},
		{"bytes=-0,2-2", 10, {{2, 1}}},
		{"bytes=" HUGE_N "-,2-2", 10, {{2, 1}}},
		{"bytes=20-,21-,22-,23-,24-,1-1", 10, {{1, 1}}},
		/* The largest contents. */
		{"bytes=0-", UINT64_MAX, {{0, UINT64_MAX}}},
		{"bytes=0-18446744073709551614", UINT64_MAX, {{0, UINT64_MAX}}},
		{"bytes=0-18446744073709551615", UINT64_MAX, {{0, UINT64_MAX}}},
		{"bytes=18446744073709551614-", UINT64_MAX,
			{{UINT64_MAX - 1, 1}}},
		{"bytes=-1", UINT64_MAX, {{UINT64_MAX - 1, 1}}},
		{"bytes=-18446744073709551614", UINT64_MAX,
			{{1, UINT64_MAX - 1}}},
		{"bytes=1-" TWO_64, UINT64_MAX, {{1, UINT64_MAX - 1}}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_ranges(rows[i].value, rows[i].size, rows[i].ranges);
}

struct none_row {
	const char *value;
	uint64_t size;
	enum http_range_result result;
};

static void
check_none(const struct none_row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		struct http_range got[MAX];
		size_t n;
		enum http_range_result r =
			parse(rows[i].value, rows[i].size, got, &n);

		if (r != rows[i].result || n != 0)
			fail_msg("[%s] of %llu: %d, %zu", rows[i].value,
				(unsigned long long)rows[i].size, r, n);
	}
}

static void
test_outside(void **state)
{
	static const struct none_row rows[] = {
		{"bytes=10-", 10, NOTHING},
		{"bytes=10-10", 10, NOTHING},
		{"bytes=11-99", 10, NOTHING},
		{"bytes=20-30, 40-", 10, NOTHING},
		{"bytes=-0", 10, NOTHING},
		{"bytes=-0,-00", 10, NOTHING},
		{"bytes=18446744073709551615-", UINT64_MAX, NOTHING},
		{"bytes=" TWO_64 "-", 10, NOTHING},
		{"bytes=" HUGE_N "-", 10, NOTHING},
		{"bytes=" TWO_64 "-" HUGE_N, 10, NOTHING},
		{"bytes=10-,11-,12-,13-,14-,15-", 10, NOTHING},
		/* An empty content. */
		{"bytes=0-", 0, IGNORE},
		{"bytes=0-0", 0, IGNORE},
		{"bytes=0-99", 0, IGNORE},
		{"bytes=-1", 0, IGNORE},
		{"bytes=-0", 0, IGNORE},
		{"bytes=5-,0-", 0, IGNORE},
		{"bytes=1-", 0, NOTHING},
		{"bytes=1-2,3-", 0, NOTHING},
	};

	check_none(rows, ARRAY_LEN(rows));
}

static void
test_malformed(void **state)
{
	static const struct none_row rows[] = {
		{"", 10, IGNORE},
		{"bytes", 10, IGNORE},
		{"byte", 10, IGNORE},
		{"bytes=", 10, IGNORE},
		{"bytes= ", 10, IGNORE},
		{"bytes=,", 10, IGNORE},
		{"bytes= , ,\t", 10, IGNORE},
		{"bytes:0-1", 10, IGNORE},
		{"bytes =0-1", 10, IGNORE},
		{" bytes=0-1", 10, IGNORE},
		{"bytes 0-1", 10, IGNORE},
		{"0-1", 10, IGNORE},
		{"=0-1", 10, IGNORE},
		/* Other units. */
		{"items=0-1", 10, IGNORE},
		{"none", 10, IGNORE},
		{"bytess=0-1", 10, IGNORE},
		{"xbytes=0-1", 10, IGNORE},
		/* Not ranges. */
		{"bytes=-", 10, IGNORE},
		{"bytes=--1", 10, IGNORE},
		{"bytes=1", 10, IGNORE},
		{"bytes=a-b", 10, IGNORE},
		{"bytes=0x0-1", 10, IGNORE},
		{"bytes=+0-1", 10, IGNORE},
		{"bytes=0-+1", 10, IGNORE},
		{"bytes=0--1", 10, IGNORE},
		{"bytes=0-1-", 10, IGNORE},
		{"bytes=0-1-2", 10, IGNORE},
		{"bytes=0-1x", 10, IGNORE},
		{"bytes=0-1;x", 10, IGNORE},
		{"bytes=0-1.5", 10, IGNORE},
		{"bytes=-1.5", 10, IGNORE},
		{"bytes=0-1;2-3", 10, IGNORE},
		{"bytes=0-1 2-3", 10, IGNORE},
		{"bytes=bytes=0-1", 10, IGNORE},
		{"bytes=*", 10, IGNORE},
		{"bytes=0-*", 10, IGNORE},
		{"bytes=\"0-1\"", 10, IGNORE},
		{"bytes=\"0-1,2-3", 10, IGNORE},
		{"bytes=0-1\r", 10, IGNORE},
		/* Blanks are only beside commas. */
		{"bytes=0 -1", 10, IGNORE},
		{"bytes=0- 1", 10, IGNORE},
		{"bytes=- 1", 10, IGNORE},
		{"bytes=1 -", 10, IGNORE},
		/* The last before the first. */
		{"bytes=5-2", 10, IGNORE},
		{"bytes=1-0", 10, IGNORE},
		{"bytes=20-19", 10, IGNORE},
		{"bytes=" HUGE_N "-1", 10, IGNORE},
		/* One bad range, wherever it is. */
		{"bytes=0-1,5-2", 10, IGNORE},
		{"bytes=5-2,0-1", 10, IGNORE},
		{"bytes=0-1,x", 10, IGNORE},
		{"bytes=20-,x", 10, IGNORE},
		{"bytes=1-1,2-2,3-3,4-4,x", 10, IGNORE},
		{"bytes=0-1,5-2", 0, IGNORE},
		/* More than there is room for. */
		{"bytes=1-1,2-2,3-3,4-4,5-5", 10, IGNORE},
		{"bytes=1-1,2-2,3-3,4-4,20-,5-5", 10, IGNORE},
		{"bytes=1-1,2-2,3-3,4-4,5-5,20-", 10, IGNORE},
	};

	check_none(rows, ARRAY_LEN(rows));
}

static void
test_no_room(void **state)
{
	static const char one[] = "bytes=1-1", out[] = "bytes=20-";
	size_t n = 99;

	assert_int_equal(http_range_parse(one, strlen(one), 10, NULL, 0, &n),
		HTTP_RANGE_IGNORE);
	assert_int_equal(n, 0);
	assert_int_equal(http_range_parse(out, strlen(out), 10, NULL, 0, &n),
		HTTP_RANGE_NOTHING);
	assert_int_equal(n, 0);
}

/* Only the ranges that count are written. */
static void
test_room_behind_is_untouched(void **state)
{
	struct http_range got[MAX];
	size_t n;

	assert_int_equal(parse("bytes=20-,1-1", 10, got, &n), HTTP_RANGE_OK);
	assert_int_equal(n, 1);
	for (size_t i = 1; i < MAX; i++)
		assert_memory_equal(&got[i], &untouched, sizeof(untouched));
}

static void
test_nul_ends_nothing(void **state)
{
	struct http_range got[MAX];
	size_t n;

	assert_int_equal(http_range_parse("bytes=0-1\0", 10, 10, got, MAX, &n),
		HTTP_RANGE_IGNORE);
	assert_int_equal(http_range_parse("bytes\0=0-1", 10, 10, got, MAX, &n),
		HTTP_RANGE_IGNORE);
}

static void
test_content_range_text(void **state)
{
	static const struct {
		struct http_range range;
		uint64_t size;
		const char *text;
	} rows[] = {
		{{0, 1}, 1, "bytes 0-0/1"},
		{{0, 10}, 100, "bytes 0-9/100"},
		{{99, 1}, 100, "bytes 99-99/100"},
		{{0, UINT64_MAX}, UINT64_MAX,
			"bytes 0-18446744073709551614/18446744073709551615"},
		{{UINT64_MAX - 1, 1}, UINT64_MAX,
			"bytes 18446744073709551614-18446744073709551614/"
			"18446744073709551615"},
	};
	char text[HTTP_CONTENT_RANGE_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		http_content_range_format(text, &rows[i].range, rows[i].size);
		assert_string_equal(text, rows[i].text);
	}
}

static bool
parse_content_range(struct http_content_range *ret, const char *value)
{
	AUTO_FREE char *data = exactly(value);

	return http_content_range_parse(ret, data, strlen(value));
}

static void
test_content_range(void **state)
{
	static const struct {
		const char *value;
		struct http_content_range want;
	} rows[] = {
		{"bytes 0-0/1", {{0, 1}, true, 1}},
		{"bytes 0-9/100", {{0, 10}, true, 100}},
		{"Bytes 007-9/0100", {{7, 3}, true, 100}},
		{"bytes 99-99/100", {{99, 1}, true, 100}},
		{"bytes 5-9/*", {{5, 5}, false, 0}},
		{"bytes 0-18446744073709551613/18446744073709551614",
			{{0, UINT64_MAX - 1}, true, UINT64_MAX - 1}},
		{"bytes 18446744073709551614-18446744073709551614/*",
			{{UINT64_MAX - 1, 1}, false, 0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_content_range *want = &rows[i].want;
		struct http_content_range r = {untouched, !want->has_size, 77};

		if (!parse_content_range(&r, rows[i].value) ||
			r.range.offset != want->range.offset ||
			r.range.length != want->range.length ||
			r.has_size != want->has_size || r.size != want->size)
			fail_msg("[%s]", rows[i].value);
	}
}

static void
test_bad_content_range(void **state)
{
	static const char *const rows[] = {"", "bytes", "bytes ", "bytes 0-9",
		"bytes 0-9/", "bytes 0-/10", "bytes -9/10", "bytes */10",
		"bytes */*", "bytes 9-5/10", "bytes 0-9/9", "bytes 0-10/10",
		"bytes 10-10/10", "bytes 0-0/0", "bytes 0-9/100 ",
		" bytes 0-9/100", "bytes  0-9/100", "bytes\t0-9/100",
		"bytes=0-9/100", "bytes0-9/100", "bytes 0-9 /100",
		"bytes 0-9/ 100", "bytes 0 -9/100", "bytes 0- 9/100",
		"items 0-9/100", "0-9/100", "bytes 0-9/100,", "bytes 0-9/100x",
		"bytes 0-9/*x", "bytes 0-9/**", "bytes 0-9/-1",
		"bytes +0-9/100", "bytes 0x0-9/100", "bytes a-9/100",
		"bytes 0-9/100\r\n", "bytes 0-18446744073709551615/*",
		"bytes 0-9/18446744073709551615", "bytes 0-" TWO_64 "/*",
		"bytes 0-9/" TWO_64, "bytes " TWO_64 "-" HUGE_N "/*",
		"bytes 0-" TWO_64 "/" HUGE_N};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_content_range r = {untouched, true, 77};

		if (parse_content_range(&r, rows[i]) || !r.has_size ||
			r.size != 77 || r.range.offset != untouched.offset ||
			r.range.length != untouched.length)
			fail_msg("[%s]", rows[i]);
	}
}

/* What is weak, or no ETag, cannot stand in If-Range. */
static void
test_validator(void **state)
{
	static const char *const none[] = {
		NULL, "", "\"", "W/\"x\"", "x", "\"x", "x\""};
	static const char *const strong[] = {"\"x\"", "\"\""};

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_null(http_range_validator(none[i], NULL));
		assert_string_equal(
			http_range_validator(none[i], "date"), "date");
	}
	for (size_t i = 0; i < ARRAY_LEN(strong); i++)
		assert_ptr_equal(
			http_range_validator(strong[i], "date"), strong[i]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_room_behind_is_untouched),
		cmocka_unit_test(test_nul_ends_nothing),
		cmocka_unit_test(test_content_range_text),
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_bad_content_range),
		cmocka_unit_test(test_validator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

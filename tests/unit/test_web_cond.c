/* SPDX-License-Identifier: BSD-2-Clause */
/* The file is of Sun, 06 Nov 1994 08:49:37 GMT, and it is an hour later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "daemon/net/web_cond.h"

#define MODIFIED 784111777
#define NOW      (MODIFIED + 3600)
#define TEST(fn) cmocka_unit_test_setup(fn, setup)
#define BEFORE   "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME     "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER    "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct stat file = {
	.st_mtim = {.tv_sec = MODIFIED, .tv_nsec = 6},
	.st_ctim = {.tv_sec = 5},
	.st_size = 1024,
};

static struct web_stamp stamp;

static int
setup(void **state)
{
	web_stamp_init(&stamp, &file, NOW);
	return 0;
}

/* name, value, ..., NULL */
static struct web_cond
read_fields(const char *name, va_list args)
{
	struct web_cond c = {.stamp = &stamp};

	for (; name != NULL; name = va_arg(args, const char *)) {
		const char *value = va_arg(args, const char *);

		web_cond_field(&c, name, strlen(name), value, strlen(value));
	}
	return c;
}

static enum web_cond_result
decide(const char *name, ...)
{
	struct web_cond c;
	va_list args;

	va_start(args, name);
	c = read_fields(name, args);
	va_end(args);
	return web_cond_decide(&c);
}

static bool
range(const char *name, ...)
{
	struct web_cond c;
	va_list args;

	va_start(args, name);
	c = read_fields(name, args);
	va_end(args);
	return web_cond_range(&c);
}

static void
test_stamp(void **state)
{
	struct stat st = file;
	struct web_stamp s;
	char want[64];

	snprintf(want, sizeof(want), "\"%llx-%llx-%llx\"",
		MODIFIED * 1000000000ULL + 6, 1024ULL, 5000000000ULL);
	assert_string_equal(stamp.etag, want);
	assert_int_equal(stamp.etag_len, strlen(want));
	assert_int_equal(stamp.modified_s, MODIFIED);
	assert_false(stamp.future);

	st.st_size = INT64_MAX;
	st.st_mtim.tv_sec = -1;
	st.st_ctim.tv_sec = -1;
	web_stamp_init(&s, &st, NOW);
	assert_int_equal(s.etag_len, strlen(s.etag));
	assert_true(s.etag_len < sizeof(s.etag));
	assert_int_equal(s.modified_s, 0);

	st = (struct stat){0};
	web_stamp_init(&s, &st, NOW);
	assert_string_equal(s.etag, "\"0-0-0\"");
}

/* Whatever changes of a file, the tag does. */
static void
test_stamp_differs(void **state)
{
	struct stat st = file;
	struct web_stamp s;

	st.st_mtim.tv_nsec++;
	web_stamp_init(&s, &st, NOW);
	assert_string_not_equal(s.etag, stamp.etag);
	st = file;
	st.st_ctim.tv_nsec++;
	web_stamp_init(&s, &st, NOW);
	assert_string_not_equal(s.etag, stamp.etag);
	st = file;
	st.st_size++;
	web_stamp_init(&s, &st, NOW);
	assert_string_not_equal(s.etag, stamp.etag);
}

static void
test_future(void **state)
{
	web_stamp_init(&stamp, &file, MODIFIED - 1);
	assert_true(stamp.future);
	assert_int_equal(stamp.modified_s, MODIFIED - 1);
	/* told as another every second: nothing to build on */
	assert_false(range("If-Range", BEFORE, NULL));
	assert_true(range("If-Range", stamp.etag, NULL));
	assert_int_equal(decide("If-Unmodified-Since",
				 "Sun, 06 Nov 1994 08:49:35 GMT", NULL),
		WEB_COND_FAILED);
}

static void
test_none(void **state)
{
	assert_int_equal(decide(NULL), WEB_COND_PASS);
	assert_int_equal(decide("If-", "*", "Range", "*", "If-None-Matches",
				 "*", "", "", NULL),
		WEB_COND_PASS);
	assert_true(range(NULL));
}

static void
test_match(void **state)
{
	assert_int_equal(decide("If-Match", "*", NULL), WEB_COND_PASS);
	assert_int_equal(decide("If-Match", stamp.etag, NULL), WEB_COND_PASS);
	assert_int_equal(
		decide("if-match", "\"a,b\" , ,W/\"x\",\"ae1b3d4d16b8c06\"",
			NULL),
		WEB_COND_FAILED);
	assert_int_equal(decide("If-Match", "\"a\"", "IF-MATCH", stamp.etag,
				 "If-Match", "\"b\"", NULL),
		WEB_COND_PASS);
	assert_int_equal(decide("If-Match", "", NULL), WEB_COND_FAILED);
	assert_int_equal(decide("If-Match", "* ", NULL), WEB_COND_FAILED);
	assert_int_equal(decide("If-Match", "\"", NULL), WEB_COND_FAILED);
	assert_int_equal(decide("If-Match", "W/", NULL), WEB_COND_FAILED);
}

static void
test_match_is_strong(void **state)
{
	char weak[64];

	snprintf(weak, sizeof(weak), "W/%s", stamp.etag);
	assert_int_equal(decide("If-Match", weak, NULL), WEB_COND_FAILED);
	assert_int_equal(
		decide("If-None-Match", weak, NULL), WEB_COND_NOT_MODIFIED);
	weak[0] = 'w';
	assert_int_equal(decide("If-None-Match", weak, NULL), WEB_COND_PASS);
}

static void
test_none_match(void **state)
{
	char list[128];

	assert_int_equal(
		decide("If-None-Match", "*", NULL), WEB_COND_NOT_MODIFIED);
	assert_int_equal(decide("If-None-Match", stamp.etag, NULL),
		WEB_COND_NOT_MODIFIED);
	snprintf(list, sizeof(list), ",\"a\",\t%s", stamp.etag);
	assert_int_equal(
		decide("If-None-Match", list, NULL), WEB_COND_NOT_MODIFIED);
	snprintf(list, sizeof(list), "\"a\" ,%s\t,", stamp.etag);
	assert_int_equal(
		decide("If-None-Match", list, NULL), WEB_COND_NOT_MODIFIED);
	assert_int_equal(decide("If-None-Match", "\"a\"", "If-None-Match",
				 stamp.etag, NULL),
		WEB_COND_NOT_MODIFIED);
	/* behind a mistake nothing counts, before it everything */
	snprintf(list, sizeof(list), "a, %s", stamp.etag);
	assert_int_equal(decide("If-None-Match", list, NULL), WEB_COND_PASS);
	snprintf(list, sizeof(list), "%s, a", stamp.etag);
	assert_int_equal(
		decide("If-None-Match", list, NULL), WEB_COND_NOT_MODIFIED);
	snprintf(list, sizeof(list), "%s a", stamp.etag);
	assert_int_equal(decide("If-None-Match", list, NULL), WEB_COND_PASS);
	/* a part of a tag is none */
	snprintf(list, sizeof(list), "\"%s", stamp.etag);
	assert_int_equal(decide("If-None-Match", list, NULL), WEB_COND_PASS);
}

static void
test_modified_since(void **state)
{
	static const char name[] = "If-Modified-Since";

	assert_int_equal(decide(name, BEFORE, NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, SAME, NULL), WEB_COND_NOT_MODIFIED);
	assert_int_equal(decide(name, AFTER, NULL), WEB_COND_NOT_MODIFIED);
	/* the two old forms */
	assert_int_equal(decide(name, "Sunday, 06-Nov-94 08:49:37 GMT", NULL),
		WEB_COND_NOT_MODIFIED);
	assert_int_equal(
		decide(name, "Sun Nov  6 08:49:36 1994", NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, "yesterday", NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, "", NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, AFTER, name, AFTER, NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, AFTER, name, "x", NULL), WEB_COND_PASS);
}

static void
test_unmodified_since(void **state)
{
	static const char name[] = "If-Unmodified-Since";

	assert_int_equal(decide(name, BEFORE, NULL), WEB_COND_FAILED);
	assert_int_equal(decide(name, SAME, NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, AFTER, NULL), WEB_COND_PASS);
	assert_int_equal(decide(name, "0", NULL), WEB_COND_PASS);
	assert_int_equal(
		decide(name, BEFORE, name, BEFORE, NULL), WEB_COND_PASS);
}

/* RFC 9110 13.2.2 */
static void
test_order(void **state)
{
	assert_int_equal(
		decide("If-None-Match", stamp.etag, "If-Match", "\"a\"", NULL),
		WEB_COND_FAILED);
	assert_int_equal(decide("If-Unmodified-Since", BEFORE, "If-Match",
				 stamp.etag, NULL),
		WEB_COND_PASS);
	assert_int_equal(decide("If-Unmodified-Since", BEFORE, "If-None-Match",
				 stamp.etag, NULL),
		WEB_COND_FAILED);
	assert_int_equal(decide("If-Modified-Since", SAME, "If-None-Match",
				 "\"a\"", NULL),
		WEB_COND_PASS);
	assert_int_equal(decide("If-Modified-Since", BEFORE, "If-None-Match",
				 stamp.etag, NULL),
		WEB_COND_NOT_MODIFIED);
	assert_int_equal(
		decide("If-Match", stamp.etag, "If-Modified-Since", SAME, NULL),
		WEB_COND_NOT_MODIFIED);
}

static void
test_range(void **state)
{
	char text[128];

	assert_true(range("If-Range", stamp.etag, NULL));
	assert_false(range("If-Range", "\"a\"", NULL));
	snprintf(text, sizeof(text), "W/%s", stamp.etag);
	assert_false(range("If-Range", text, NULL));
	snprintf(text, sizeof(text), "%s,\"a\"", stamp.etag);
	assert_false(range("If-Range", text, NULL));
	assert_false(range("If-Range", "*", NULL));
	assert_false(range("If-Range", "", NULL));
	assert_true(range("If-Range", SAME, NULL));
	assert_false(range("If-Range", BEFORE, NULL));
	assert_false(range("If-Range", AFTER, NULL));
	assert_false(
		range("If-Range", stamp.etag, "If-Range", stamp.etag, NULL));
	assert_false(range("If-Range", "\"a\"", "If-Range", stamp.etag, NULL));
	/* nor is the answer any other for it */
	assert_int_equal(decide("If-Range", "\"a\"", NULL), WEB_COND_PASS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stamp),
		TEST(test_stamp_differs),
		TEST(test_future),
		TEST(test_none),
		TEST(test_match),
		TEST(test_match_is_strong),
		TEST(test_none_match),
		TEST(test_modified_since),
		TEST(test_unmodified_since),
		TEST(test_order),
		TEST(test_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

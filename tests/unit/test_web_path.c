/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "daemon/net/web_path.h"

static void
expect(const char *path, const char *want)
{
	char dst[256];
	size_t len = SIZE_MAX;
	/* Exactly so long, so that a sanitizer sees what is read behind it. */
	size_t path_len = strlen(path);
	char *copy = malloc(path_len + 1);

	assert_true(path_len < sizeof(dst));
	memcpy(copy, path, path_len);
	if (want == NULL) {
		if (web_path_resolve(dst, copy, path_len, &len))
			fail_msg("%s became \"%s\"", path, dst);
	} else {
		if (!web_path_resolve(dst, copy, path_len, &len))
			fail_msg("%s was refused", path);
		assert_string_equal(dst, want);
		assert_int_equal(len, strlen(want));
	}
	free(copy);
}

static void
test_plain(void **state)
{
	expect("/", "");
	expect("/a", "a");
	expect("/a/", "a/");
	expect("/a/b.c", "a/b.c");
	expect("/...", "...");
	expect("/..a/.b/c..", "..a/.b/c..");
	expect("/a\\b", "a\\b");
	expect("/a+b;c=d", "a+b;c=d");
	expect("/\xc3\xa4", "\xc3\xa4");
}

static void
test_slashes(void **state)
{
	expect("//", "");
	expect("//a///b//", "a/b/");
	expect("/a/%2f/b%2F", "a/b/");
	expect("/a//../b", "b");
}

static void
test_dots(void **state)
{
	expect("/.", "");
	expect("/./", "");
	expect("/a/.", "a/");
	expect("/a/./b", "a/b");
	expect("/a/..", "");
	expect("/a/../", "");
	expect("/a/b/..", "a/");
	expect("/a/b/../c", "a/c");
	expect("/a/b/../../c", "c");
	expect("/a/%2e%2E/b", "b");
	expect("/a/.%2e/b", "b");
	expect("/a/%2e/b", "a/b");
	expect("/a/b%2f..%2fc", "a/c");
}

static void
test_out(void **state)
{
	expect("/..", NULL);
	expect("/../", NULL);
	expect("/../a", NULL);
	expect("/a/../..", NULL);
	expect("/a/../../a", NULL);
	expect("/./..", NULL);
	expect("//..", NULL);
	expect("/%2e%2e", NULL);
	expect("/%2e%2e%2fetc/passwd", NULL);
	expect("/a/..%2f..%2fetc", NULL);
}

static void
test_codes(void **state)
{
	expect("/%61%7A", "az");
	expect("/a%20b%0a", "a b\n");
	expect("/%25%32%65", "%2e");
	expect("/%252e%252e/a", "%2e%2e/a");
	expect("/a%3fb%23c", "a?b#c");
	expect("/%ff", "\xff");
	expect("/%00", NULL);
	expect("/a%00b", NULL);
	expect("/%", NULL);
	expect("/a%4", NULL);
	expect("/%zz", NULL);
	expect("/%4g", NULL);
	expect("/%%41", NULL);
	expect("/%-1", NULL);
	expect("/% 1", NULL);
	expect("/a%", NULL);
	expect("/a/../%", NULL);
}

static void
test_none(void **state)
{
	expect("", NULL);
	expect("a", NULL);
	expect("*", NULL);
	expect("%2fa", NULL);
	expect("\\a", NULL);
}

static void
expect_put(const char *path, const char *want)
{
	char back[256];
	size_t len;
	struct buf b;

	buf_init(&b, 1024);
	web_path_put(&b, path, strlen(path));
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data, want, b.len);
	assert_true(web_path_resolve(back, (const char *)b.data, b.len, &len));
	assert_string_equal(back, path);
	buf_done(&b);
}

static void
test_put(void **state)
{
	expect_put("", "/");
	expect_put("a/b-c_d.e~f", "/a/b-c_d.e~f");
	expect_put("a b", "/a%20b");
	expect_put("\r\nSet-Cookie: a", "/%0D%0ASet-Cookie:%20a");
	expect_put("%2e?#\\\"<>'", "/%252e%3F%23%5C%22%3C%3E%27");
	expect_put("\xff\x7f\x01", "/%FF%7F%01");
}

/* A path is its own result, and has nothing in it that means something. */
static void
test_random(void **state)
{
	static const char *const pieces[] = {"/", "/", ".", "..", "a", "b",
		"%2e", "%2f", "%2F..", "%25", "//", "/./", "%41", "..."};

	srandom(1);
	for (unsigned round = 0; round < 200000; round++) {
		char path[256] = "/", dst[256], again[512];
		size_t len, again_len;
		unsigned n = (unsigned)random() % 12;
		struct buf b;

		for (unsigned i = 0; i < n; i++)
			strcat(path,
				pieces[(size_t)random() % ARRAY_LEN(pieces)]);
		if (!web_path_resolve(dst, path, strlen(path), &len))
			continue;
		assert_true(len <= strlen(path));
		assert_int_equal(dst[len], 0);
		assert_true(len == 0 || dst[0] != '/');
		assert_null(strstr(dst, "//"));
		snprintf(again, sizeof(again), "/%s/", dst);
		assert_null(strstr(again, "/../"));
		assert_null(strstr(again, "/./"));
		buf_init(&b, 1024);
		web_path_put(&b, dst, len);
		assert_true(web_path_resolve(
			again, (const char *)b.data, b.len, &again_len));
		assert_string_equal(again, dst);
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_slashes),
		cmocka_unit_test(test_dots),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

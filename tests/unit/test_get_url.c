/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"

static struct url
parse(const char *text)
{
	struct url url = {0};

	assert_int_equal(url_parse(&url, text), URL_OK);
	return url;
}

static void
test_parts(void **state)
{
	struct url url =
		parse("HTTP://us%40er:p%3Aw@Example.org:8080/a/b?c=d#e");

	assert_string_equal(url.user, "us@er");
	assert_string_equal(url.password, "p:w");
	assert_string_equal(url.text, "http://Example.org:8080/a/b?c=d");
	url_done(&url);
	assert_null(url.text);
	assert_null(url.password);
}

static void
test_nothing_secret_is_left(void **state)
{
	static const char *const texts[] = {"http://us:secret@h/f",
		"https://us:secret@h:443/f?x", "http://secret@h/f",
		"http://:secret@h/f"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct url url = parse(texts[i]);

		assert_null(strstr(url.text, "secret"));
		assert_null(strstr(url.site, "secret"));
		assert_null(strchr(url.text, '@'));
		url_done(&url);
	}
}

static void
test_refused(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {
		{"", URL_MALFORMED},
		{"example.org/file", URL_MALFORMED},
		{"/file", URL_MALFORMED},
		{"http://", URL_MALFORMED},
		{"http://h:99999/file", URL_MALFORMED},
		{"http://[::1/file", URL_MALFORMED},
		{"ftp://h/file", URL_SCHEME},
		{"file:///etc/passwd", URL_SCHEME},
		{"gopher://h/file", URL_SCHEME},
		{"nonsense://h/file", URL_SCHEME},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url url = {0};
		int r = url_parse(&url, rows[i].text);

		if (r != rows[i].result)
			print_error("%s: %d\n", rows[i].text, r);
		assert_int_equal(r, rows[i].result);
		assert_null(url.text);
	}
}

static void
test_sites(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"http://h/a", "http://u:p@h:80/b?c", true},
		{"http://h/a", "http://H/a", true},
		{"https://h/a", "https://h:443/", true},
		{"http://h/a", "https://h/a", false},
		{"http://h/a", "http://h:81/a", false},
		{"http://h/a", "http://h.org/a", false},
		{"http://h:443/a", "https://h/a", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url a = parse(rows[i].a), b = parse(rows[i].b);

		assert_int_equal(url_same_site(&a, &b), rows[i].same);
		url_done(&a);
		url_done(&b);
	}
}

static void
test_file_names(void **state)
{
	static const struct {
		const char *url, *name; /* NULL: none */
	} rows[] = {
		{"http://h/file", "file"},
		{"http://h/a/b/file.iso?x=/y", "file.iso"},
		{"http://h/file#part/of", "file"},
		{"http://h/two%20words", "two words"},
		{"http://h/%C3%A9", "\xC3\xA9"},
		/* Whatever is no name as it is meant stays as it is. */
		{"http://h/a%2Fb", "a%2Fb"},
		{"http://h/%2e%2e%2fx", "%2e%2e%2fx"},
		{"http://h/a%00b", "a%00b"},
		{"http://h/a%0Ab", "a%0Ab"},
		{"http://h/a%1B%5B2J", "a%1B%5B2J"},
		{"http://h/a%C2%9B2J", "a%C2%9B2J"},
		{"http://h/a%C2%A0z", "a\xC2\xA0z"},
		{"http://h/", NULL},
		{"http://h", NULL},
		{"http://h/a/", NULL},
		{"http://h/?x", NULL},
		{"http://h?x=/y", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url url = parse(rows[i].url);
		AUTO_FREE char *name = url_file_name(&url);

		if (rows[i].name == NULL)
			assert_null(name);
		else
			assert_string_equal(name, rows[i].name);
		url_done(&url);
	}
}

static int
all(void *arg)
{
	AUTO_FREE char *name = NULL;
	struct url url = {0}, copy = {0};
	int r = url_parse(&url, "http://u:p@h:81/a%20b?c");

	if (r == 0)
		r = url_copy(&copy, &url);
	if (r == 0) {
		errno = 0;
		name = url_file_name(&copy);
		r = name != NULL ? 0 : -errno;
	}
	if (r == 0)
		assert_string_equal(copy.password, "p");
	url_done(&url);
	url_done(&copy);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(all, NULL) > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_nothing_secret_is_left),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_file_names),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/net/web_type.h"

static void
expect(const char *path, const char *type)
{
	assert_string_equal(web_type(path, strlen(path)), type);
}

/* One of every group, the first and the last of the table: it is sorted. */
static void
test_endings(void **state)
{
	expect("a.7z", "application/x-7z-compressed");
	expect("index.html", "text/html");
	expect("a/b/c.htm", "text/html");
	expect("a.txt", "text/plain");
	expect("a.css", "text/css");
	expect("a.js", "text/javascript");
	expect("a.json", "application/json");
	expect("a.xml", "text/xml");
	expect("a.png", "image/png");
	expect("a.jpg", "image/jpeg");
	expect("a.svg", "image/svg+xml");
	expect("a.pdf", "application/pdf");
	expect("a.mp4", "video/mp4");
	expect("a.woff2", "font/woff2");
	expect("a.wasm", "application/wasm");
	expect("a.zip", "application/zip");
	expect("a.docx",
		"application/vnd.openxmlformats-officedocument."
		"wordprocessingml.document");
	expect("a.zst", "application/zstd");
}

static void
test_each(void **state)
{
	static const char *const endings[] = {"7z", "aac", "atom", "avi",
		"avif", "bmp", "bz2", "crl", "crt", "css", "csv", "der", "doc",
		"docx", "eot", "eps", "epub", "flac", "gif", "gz", "htm",
		"html", "ico", "ics", "jar", "jpeg", "jpg", "js", "json", "log",
		"m3u8", "m4a", "m4v", "md", "mjs", "mkv", "mov", "mp3", "mp4",
		"mpeg", "mpg", "odp", "ods", "odt", "ogg", "otf", "pdf", "pem",
		"png", "ppt", "pptx", "ps", "rar", "rss", "rtf", "shtml", "svg",
		"swf", "tar", "tif", "tiff", "ts", "ttf", "txt", "wasm", "wav",
		"webm", "webp", "wmv", "woff", "woff2", "xhtml", "xls", "xlsx",
		"xml", "xz", "zip", "zst"};
	char path[32];

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		strcpy(path, "x.");
		strcat(path, endings[i]);
		assert_string_not_equal(
			web_type(path, strlen(path)), WEB_TYPE_DEFAULT);
	}
}

static void
test_case(void **state)
{
	expect("A.HTML", "text/html");
	expect("A.Jpg", "image/jpeg");
}

static void
test_default(void **state)
{
	expect("", WEB_TYPE_DEFAULT);
	expect("a", WEB_TYPE_DEFAULT);
	expect("html", WEB_TYPE_DEFAULT);
	expect("a.iso", WEB_TYPE_DEFAULT);
	expect("a.exe", WEB_TYPE_DEFAULT);
	expect("a.html.bak", WEB_TYPE_DEFAULT);
	expect("a.", WEB_TYPE_DEFAULT);
	expect(".", WEB_TYPE_DEFAULT);
	expect("a.htmlhtml", WEB_TYPE_DEFAULT);
	expect("a.htmlhtmlhtml", WEB_TYPE_DEFAULT);
	expect("a.ht ml", WEB_TYPE_DEFAULT);
	/* a name, not an ending */
	expect(".html", WEB_TYPE_DEFAULT);
	expect("a/.html", WEB_TYPE_DEFAULT);
	expect("a.html/b", WEB_TYPE_DEFAULT);
	expect("a/b.c.html", "text/html");
	expect("a..html", "text/html");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_case),
		cmocka_unit_test(test_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The web server as clients without PeerDist meet it: literal requests, literal
 * answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_peer.h"
#include "tests/unit/web_site.h"

#define TWO_MIB (2u << 20)

static char stamp[SITE_STAMP_TEXT];

static const struct web_counters *
counters(void)
{
	return web_counters(site.web);
}

static void
test_file(void **state)
{
	web_site_text("hello.txt", "Hello!");
	web_site_stamp("hello.txt", stamp);
	web_site_get("/hello.txt", "");
	web_site_expect_head("200 OK", 6, "text/plain", stamp);
	talk_expect(&site.talk, "Hello!");
	web_site_get("/%68ello.txt?a=b", "");
	web_site_expect_head("200 OK", 6, "text/plain", stamp);
	talk_expect(&site.talk, "Hello!");
	talk_expect_nothing(&site.talk);
	assert_int_equal(counters()->answers, 2);
	assert_int_equal(counters()->plain_bytes, 12);
	assert_int_equal(site.opened, 0);
	assert_int_equal(site.asks + site.wants, 0);
}

static void
test_empty(void **state)
{
	web_site_text("empty", "");
	web_site_stamp("empty", stamp);
	web_site_get("/empty", "");
	web_site_expect_head("200 OK", 0, "application/octet-stream", stamp);
	web_site_get("/empty", "Range: bytes=0-\r\n");
	web_site_expect_head("200 OK", 0, "application/octet-stream", stamp);
	talk_expect_nothing(&site.talk);
}

static void
test_head(void **state)
{
	char fields[512];

	web_site_big("big", 5000);
	web_site_stamp("big", stamp);
	snprintf(fields, sizeof(fields), "%s%s", stamp, SITE_VARY);
	talk_say(&site.talk,
		"HEAD /big HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n"
		"Accept-Encoding: peerdist\r\nX-P2P-PeerDist: Version=1.1\r\n"
		"\r\n");
	web_site_expect_head(
		"200 OK", 5000, "application/octet-stream", fields);
	talk_say(&site.talk, "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
	web_site_expect_head("404 Not Found", 14, "text/plain", SITE_DATE);
	talk_expect_nothing(&site.talk);
	assert_int_equal(counters()->plain_bytes, 0);
	assert_int_equal(site.asks + site.wants, 0);
}

static void
test_methods(void **state)
{
	talk_say(&site.talk, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
	talk_expect(&site.talk,
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Allow: GET, HEAD\r\n\r\n");
	talk_expect_nothing(&site.talk);
}

static void
test_vary(void **state)
{
	char fields[512];

	web_site_big("small", SITE_MIN);
	web_site_big("big", SITE_MIN + 1);
	web_site_stamp("small", stamp);
	web_site_get("/small", "");
	web_site_expect_head(
		"200 OK", SITE_MIN, "application/octet-stream", stamp);
	web_site_expect_bytes(0, SITE_MIN);
	web_site_stamp("big", stamp);
	snprintf(fields, sizeof(fields), "%s%s", stamp, SITE_VARY);
	web_site_get("/big", "");
	web_site_expect_head(
		"200 OK", SITE_MIN + 1, "application/octet-stream", fields);
	web_site_expect_bytes(0, SITE_MIN + 1);
}

/* Folders */

static void
test_index(void **state)
{
	web_site_text("index.html", "root");
	web_site_folder("sub");
	web_site_text("sub/index.html", "sub");
	web_site_stamp("index.html", stamp);
	web_site_get("/", "");
	web_site_expect_head("200 OK", 4, "text/html", stamp);
	talk_expect(&site.talk, "root");
	web_site_stamp("sub/index.html", stamp);
	web_site_get("/./x/../sub//", "");
	web_site_expect_head("200 OK", 3, "text/html", stamp);
	talk_expect(&site.talk, "sub");
}

static void
expect_moved(const char *location)
{
	char fields[512];

	snprintf(
		fields, sizeof(fields), SITE_DATE "Location: %s\r\n", location);
	web_site_expect_head("301 Moved Permanently", 22, "text/plain", fields);
	talk_expect(&site.talk, "301 Moved Permanently\n");
}

static void
test_moved(void **state)
{
	web_site_folder("sub");
	web_site_folder("sub/a b");
	web_site_folder("sub/index.html");
	web_site_get("/sub", "");
	expect_moved("/sub/");
	web_site_get("//sub//a%20b", "");
	expect_moved("/sub/a%20b/");
	web_site_get("/sub?a=%0d%0ab&c=/d?e#f", "");
	expect_moved("/sub/?a=%0d%0ab&c=/d?e");
	web_site_get("/sub?\xff\"", "");
	expect_moved("/sub/?%FF\"");
	web_site_get("http://host/sub?q", "");
	expect_moved("/sub/?q");
	web_site_get("/sub/", "");
	expect_moved("/sub/index.html/");
}

static void
test_no_listing(void **state)
{
	web_site_folder("sub");
	web_site_get("/sub/", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/", "");
	web_site_expect_error(403, "Forbidden");
	assert_int_equal(counters()->not_found, 0);
}

/* What is not to be had */

static void
test_missing(void **state)
{
	char path[300] = "/";

	web_site_text("file", "x");
	web_site_get("/none", "");
	web_site_expect_error(404, "Not Found");
	web_site_get("/none/", "");
	web_site_expect_error(404, "Not Found");
	web_site_get("/file/", "");
	web_site_expect_error(404, "Not Found");
	web_site_get("/file/none", "");
	web_site_expect_error(404, "Not Found");
	memset(path + 1, 'x', 256);
	web_site_get(path, "");
	web_site_expect_error(404, "Not Found");
	assert_int_equal(counters()->not_found, 5);
}

static void
test_very_long(void **state)
{
	static char path[5001] = "/";

	memset(path + 1, 'x', sizeof(path) - 2);
	web_site_get(path, "");
	web_site_expect_error(404, "Not Found");
}

static void
expect_bad(const char *path)
{
	struct talk t;

	talk_connect(&t, site.loop, site.port);
	talk_say(&t, "GET ");
	talk_say(&t, path);
	talk_say(&t, " HTTP/1.1\r\nHost: a\r\n\r\n");
	talk_expect(&t,
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n"
		"Connection: close\r\nContent-Type: text/plain\r\n" SITE_DATE
		"\r\n400 Bad Request\n");
	talk_finish(&t);
	talk_expect_end(&t);
	talk_end(&t);
}

static void
test_hosts(void **state)
{
	web_site_text("a", "x");
	web_site_get("/a", "Host: b\r\n");
	talk_expect(&site.talk, "HTTP/1.1 400 Bad Request\r\n");
	talk_finish(&site.talk);
	while (!site.talk.over)
		talk_settle(site.loop);
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	talk_say(&site.talk, "GET /a HTTP/1.1\r\n\r\n");
	talk_expect(&site.talk, "HTTP/1.1 400 Bad Request\r\n");
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	talk_say(&site.talk, "GET /a HTTP/1.0\r\n\r\n");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
}

/* It has no meaning, and is no harm. */
static void
test_body(void **state)
{
	web_site_text("a", "x");
	web_site_stamp("a", stamp);
	web_site_get("/a", "Content-Length: 3\r\n");
	talk_say(&site.talk, "abc");
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "x");
	web_site_get("/a", "Content-Length: 4097\r\n");
	talk_expect(&site.talk, "HTTP/1.1 413 Payload Too Large\r\n");
}

static void
test_bad(void **state)
{
	expect_bad("/..");
	expect_bad("/../../etc/passwd");
	expect_bad("/a/%2e%2e/%2e%2e/etc/passwd");
	expect_bad("/a%00b");
	expect_bad("/%zz");
	expect_bad("/a%");
}

static void
test_links(void **state)
{
	web_site_text("file", "x");
	web_site_folder("sub");
	web_site_link("sub/in", "../file");
	web_site_link("sub/out", "../../secret");
	web_site_link("sub/etc", "/etc/passwd");
	web_site_link("sub/self", "self");
	web_site_link("sub/dangling", "none");
	web_site_stamp("file", stamp);
	web_site_get("/sub/in", "");
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "x");
	web_site_get("/sub/out", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub/etc", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub/self", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub/dangling", "");
	web_site_expect_error(404, "Not Found");
}

static void
test_kinds(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(mkfifo(web_site_path("fifo"), 0644), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
		web_site_path("socket"));
	assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	web_site_get("/fifo", "");
	web_site_expect_error(404, "Not Found");
	web_site_get("/socket", "");
	web_site_expect_error(404, "Not Found");
	close(s);
}

static void
test_rights(void **state)
{
	web_site_text("closed", "x");
	web_site_folder("sub");
	web_site_text("sub/file", "x");
	assert_int_equal(chmod(web_site_path("closed"), 0), 0);
	assert_int_equal(chmod(web_site_path("sub"), 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	web_site_get("/closed", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub/file", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub/", "");
	web_site_expect_error(403, "Forbidden");
	web_site_get("/sub", "");
	web_site_expect_error(403, "Forbidden");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(web_site_path("sub"), 0755), 0);
}

/* Ranges */

static void
expect_part(const char *range, size_t from, size_t len, size_t size)
{
	char fields[512];

	web_site_get("/file", range);
	snprintf(fields, sizeof(fields),
		"%s" SITE_VARY "Content-Range: bytes %zu-%zu/%zu\r\n", stamp,
		from, from + len - 1, size);
	web_site_expect_head(
		"206 Partial Content", len, "application/octet-stream", fields);
	web_site_expect_bytes(from, len);
}

static void
expect_whole(const char *range, size_t size)
{
	char fields[512];

	web_site_get("/file", range);
	snprintf(fields, sizeof(fields), "%s" SITE_VARY, stamp);
	web_site_expect_head(
		"200 OK", size, "application/octet-stream", fields);
	web_site_expect_bytes(0, size);
}

static void
test_ranges(void **state)
{
	web_site_big("file", 10000);
	web_site_stamp("file", stamp);
	expect_part("Range: bytes=0-0\r\n", 0, 1, 10000);
	expect_part("Range: bytes=100-4999\r\n", 100, 4900, 10000);
	expect_part("Range: bytes=9000-\r\n", 9000, 1000, 10000);
	expect_part("Range: bytes=-10\r\n", 9990, 10, 10000);
	expect_part("Range: bytes=-20000\r\n", 0, 10000, 10000);
	expect_part("Range: bytes=0-20000\r\n", 0, 10000, 10000);
	/* one is left */
	expect_part("Range: bytes=10000-,5-6\r\n", 5, 2, 10000);
	expect_whole("", 10000);
	expect_whole("Range: bytes=6-5\r\n", 10000);
	expect_whole("Range: lines=1-2\r\n", 10000);
	expect_whole("Range: bytes=0-1\r\nRange: bytes=2-3\r\n", 10000);
	assert_int_equal(counters()->plain_bytes,
		1 + 4900 + 1000 + 10 + 2 * 10000 + 2 + 4 * 10000);
}

static void
test_no_range(void **state)
{
	web_site_big("file", 10000);
	web_site_get("/file", "Range: bytes=10000-\r\n");
	web_site_expect_head("416 Range Not Satisfiable", 26, "text/plain",
		SITE_DATE SITE_VARY "Content-Range: bytes */10000\r\n");
	talk_expect(&site.talk, "416 Range Not Satisfiable\n");
	talk_expect_nothing(&site.talk);
}

#define BOUNDARY "00072340172838076673"

static void
test_multi(void **state)
{
	char fields[512];
	static const char type[] =
		"\r\n--" BOUNDARY "\r\nContent-Type: text/plain\r\n"
		"Content-Range: bytes ";

	web_site_text("a.txt", "0123456789");
	web_site_stamp("a.txt", stamp);
	web_site_get("/a.txt", "Range: bytes=0-1, 4-4 ,-2\r\n");
	snprintf(fields, sizeof(fields), "%s", stamp);
	web_site_expect_head("206 Partial Content",
		3 * (sizeof(type) - 1 + 6 + 4) + 2 + 1 + 2 + 28,
		"multipart/byteranges; boundary=" BOUNDARY, fields);
	talk_expect(&site.talk, type);
	talk_expect(&site.talk, "0-1/10\r\n\r\n01");
	talk_expect(&site.talk, type);
	talk_expect(&site.talk, "4-4/10\r\n\r\n4");
	talk_expect(&site.talk, type);
	talk_expect(&site.talk, "8-9/10\r\n\r\n89");
	talk_expect(&site.talk, "\r\n--" BOUNDARY "--\r\n");
	talk_expect_nothing(&site.talk);
	assert_int_equal(counters()->plain_bytes, 5);
}

/* As much of the file as there is, and not more. */
static void
test_multi_too_much(void **state)
{
	char range[1024] = "Range: bytes=";

	web_site_big("file", 10000);
	web_site_stamp("file", stamp);
	expect_whole("Range: bytes=0-9999,0-0\r\n", 10000);
	expect_whole("Range: bytes=0-5000,4000-9999\r\n", 10000);
	for (int i = 0; i < 65; i++)
		snprintf(range + strlen(range), sizeof(range) - strlen(range),
			"%d-%d,", 2 * i, 2 * i);
	strcat(range, "\r\n");
	expect_whole(range, 10000);
}

static void
test_multi_most(void **state)
{
	char range[1024] = "Range: bytes=";
	const char *got;
	size_t len;

	web_site_big("file", 10000);
	for (int i = 0; i < 64; i++)
		snprintf(range + strlen(range), sizeof(range) - strlen(range),
			"%d-%d,", 2 * i, 2 * i);
	strcat(range, "\r\nConnection: close\r\n");
	web_site_get("/file", range);
	talk_expect(&site.talk, "HTTP/1.1 206 Partial Content\r\n");
	while (!site.talk.over)
		talk_settle(site.loop);
	len = site.talk.in.len - site.talk.used;
	got = (const char *)talk_await(&site.talk, len);
	assert_non_null(memmem(got, len, "bytes 126-126/10000", 19));
}

/* Conditions */

static void
test_not_modified(void **state)
{
	char fields[512], etag[64];

	web_site_big("file", 10000);
	web_site_stamp("file", stamp);
	web_site_etag("file", etag);
	snprintf(fields, sizeof(fields), "If-None-Match: %s\r\n", etag);
	web_site_get("/file", fields);
	talk_expect(&site.talk, "HTTP/1.1 304 Not Modified\r\n");
	talk_expect(&site.talk, stamp);
	talk_expect(&site.talk, SITE_VARY "\r\n");
	talk_say(&site.talk,
		"HEAD /file HTTP/1.1\r\nHost: a\r\n"
		"If-Modified-Since: Fri, 14 Jul 2017 01:40:00 GMT\r\n\r\n");
	talk_expect(&site.talk, "HTTP/1.1 304 Not Modified\r\n");
	talk_expect(&site.talk, stamp);
	talk_expect(&site.talk, SITE_VARY "\r\n");
	expect_whole(
		"If-Modified-Since: Fri, 14 Jul 2017 01:39:59 GMT\r\n", 10000);
	expect_whole("If-None-Match: \"a\", \"b\"\r\n", 10000);
	talk_expect_nothing(&site.talk);
}

static void
test_failed(void **state)
{
	web_site_big("file", 10000);
	web_site_stamp("file", stamp);
	web_site_get("/file", "If-Match: \"a\"\r\nRange: bytes=0-\r\n");
	web_site_expect_error(412, "Precondition Failed");
	web_site_get("/file",
		"If-Unmodified-Since: Fri, 14 Jul 2017 01:39:59 GMT\r\n");
	web_site_expect_error(412, "Precondition Failed");
	expect_whole("If-Match: *\r\n", 10000);
}

static void
test_if_range(void **state)
{
	char fields[512], etag[64];

	web_site_big("file", 10000);
	web_site_stamp("file", stamp);
	web_site_etag("file", etag);
	snprintf(fields, sizeof(fields), "Range: bytes=1-3\r\nIf-Range: %s\r\n",
		etag);
	expect_part(fields, 1, 3, 10000);
	expect_part("If-Range: Fri, 14 Jul 2017 01:40:00 GMT\r\n"
		    "Range: bytes=5-6\r\n",
		5, 2, 10000);
	expect_whole("If-Range: \"a\"\r\nRange: bytes=5-6\r\n", 10000);
	/* behind the file's end, of a file that is another by now */
	expect_whole("If-Range: \"a\"\r\nRange: bytes=90000-\r\n", 10000);
	expect_whole("If-Range: Fri, 14 Jul 2017 01:40:01 GMT\r\n"
		     "Range: bytes=5-6\r\n",
		10000);
}

static void
test_future(void **state)
{
	char etag[64], fields[512];

	web_site_text("file", "x");
	web_site_touch("file", SITE_NOW + 5);
	web_site_etag("file", etag);
	web_site_get("/file", "");
	snprintf(fields, sizeof(fields),
		SITE_DATE "Last-Modified: Fri, 14 Jul 2017 02:40:00 GMT\r\n"
			  "ETag: %s\r\nAccept-Ranges: bytes\r\n",
		etag);
	web_site_expect_head("200 OK", 1, "application/octet-stream", fields);
	talk_expect(&site.talk, "x");
}

/* The tag is another after each of these. */
static void
test_changes(void **state)
{
	char before[64], fields[128];

	web_site_big("file", 10000);
	web_site_etag("file", before);
	snprintf(fields, sizeof(fields), "If-Match: %s\r\n", before);
	web_site_big("new", 10000);
	assert_int_equal(chmod(web_site_path("file"), 0644), 0);
	web_site_touch("file", SITE_NOW - 3600);
	web_site_get("/file", fields);
	web_site_expect_error(412, "Precondition Failed");
}

/* Workers */

/* Not one byte before the disk has been asked, and then all of them. */
static void
test_cold(void **state)
{
	char fields[512];

	web_site_big("file", 3 * TWO_MIB);
	web_site_stamp("file", stamp);
	site.cold = true;
	site.by_hand = true;
	web_site_get("/file", "");
	web_site_await_job();
	talk_expect_nothing(&site.talk);
	site.by_hand = false;
	web_site_do_job();
	snprintf(fields, sizeof(fields), "%s" SITE_VARY, stamp);
	web_site_expect_head(
		"200 OK", 3 * TWO_MIB, "application/octet-stream", fields);
	web_site_expect_bytes(0, 3 * TWO_MIB);
	assert_true(site.opened > 1);
}

static void
test_cold_gone(void **state)
{
	struct talk t;

	web_site_big("file", TWO_MIB);
	site.cold = true;
	site.by_hand = true;
	talk_connect(&t, site.loop, site.port);
	talk_say(&t, "GET /file HTTP/1.0\r\n\r\n");
	web_site_await_job();
	http_server_close_all(site.server);
	assert_false(service_idle(site.service));
	web_site_do_job();
	talk_end(&t);
}

/* Behind a filter of system calls. */
static void
test_no_openat2(void **state)
{
	web_site_text("a", "x");
	web_site_link("up", "../secret");
	web_site_stamp("a", stamp);
	site.no_openat2 = true;
	web_site_get("/a", "");
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "x");
	assert_int_equal(site.opened, 1);
	/* not even asked again */
	site.no_openat2 = false;
	web_site_get("/a", "");
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "x");
	assert_int_equal(site.opened, 1);
	web_site_get("/none", "");
	web_site_expect_error(404, "Not Found");
	assert_int_equal(site.opened, 2);
	assert_int_equal(site.opened_slow, 0);
	/* leads out, or to another file system: that is looked at twice */
	web_site_get("/up", "");
	web_site_expect_error(403, "Forbidden");
	assert_int_equal(site.opened, 4);
	assert_int_equal(site.opened_slow, 1);
	/* what was known is not known for ever */
	site.now_s += 11;
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	assert_true(site.opened >= 5);
	talk_await(&site.talk, 100);
}

static void
test_open_gone(void **state)
{
	web_site_text("a", "x");
	site.no_openat2 = true;
	site.by_hand = true;
	web_site_get("/a", "");
	web_site_await_job();
	http_server_close_all(site.server);
	assert_false(service_idle(site.service));
	web_site_do_job();
	assert_true(service_idle(site.service));
}

/* Settings are read again just when the root is away. */
static void
test_root_away(void **state)
{
	const struct web_settings settings = {
		.root = site.root, .min_size = SITE_MIN};
	char other[128];

	web_site_text("a", "x");
	snprintf(other, sizeof(other), "%s/other", site.path);
	assert_int_equal(rename(site.root, other), 0);
	assert_int_equal(web_configure(site.web, &settings), -ENOENT);
	assert_true(web_is_open(site.web));
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	assert_int_equal(site.opened, 0);
	talk_await(&site.talk, 100);
}

/* Also of what is not there. */
static void
test_hosts_of_nothing(void **state)
{
	static const char *const hosts[] = {"", "Host: a\r\nhost: b\r\n"};
	static const char *const paths[] = {"/a", "/none", "/sub"};
	struct talk t;

	web_site_text("a", "x");
	web_site_folder("sub");
	for (size_t i = 0; i < 6; i++) {
		char text[128];

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s\r\n",
			paths[i / 2], hosts[i % 2]);
		talk_connect(&t, site.loop, site.port);
		talk_say(&t, text);
		talk_expect(&t, "HTTP/1.1 400 Bad Request\r\n");
		talk_end(&t);
	}
}

/* The root */

static void
test_no_root(void **state)
{
	struct web_settings settings = {.root = "/nonexistent/folder"};

	assert_int_equal(web_configure(site.web, &settings), -ENOENT);
	web_site_get("/", "");
	web_site_expect_error(503, "Service Unavailable");
	settings.root = web_site_path("later");
	assert_int_equal(web_configure(site.web, &settings), -ENOENT);
	web_site_folder("later");
	web_site_text("later/a", "x");
	web_site_get("/a", "");
	web_site_expect_error(503, "Service Unavailable");
	site.now_s++;
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 503 Service Unavailable\r\n");
	talk_await(&site.talk, 20);
	talk_settle(site.loop);
	assert_int_equal(site.opened, 1);
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	/* without one there is nothing to look at */
	settings.root = NULL;
	assert_int_equal(web_configure(site.web, &settings), 0);
	site.now_s++;
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 503 Service Unavailable\r\n");
	talk_settle(site.loop);
	assert_int_equal(site.opened, 1);
}

/* A new one under the old name, and the old one under way. */
static void
test_root_replaced(void **state)
{
	char other[128];

	web_site_text("a", "old");
	snprintf(other, sizeof(other), "%s/other", site.path);
	assert_int_equal(rename(site.root, other), 0);
	assert_int_equal(mkdir(site.root, 0755), 0);
	web_site_text("a", "newer");
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n");
	talk_end(&site.talk);
	site.now_s++;
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/none", "");
	talk_expect(&site.talk, "HTTP/1.1 404 Not Found\r\n");
	talk_settle(site.loop);
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n");
	/* away for a moment: the last one goes on */
	assert_int_equal(rename(site.root, web_site_path("../third")), 0);
	site.now_s++;
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n");
	talk_settle(site.loop);
}

static void
turn_root(const char *target)
{
	assert_int_equal(unlink(web_site_path("../way")), 0);
	assert_int_equal(symlink(target, web_site_path("../way")), 0);
}

/* Another look, then one file of each. */
static void
expect_root(const char *file)
{
	site.now_s++;
	web_site_get("/none", "");
	talk_expect(&site.talk, "HTTP/1.1 404 Not Found\r\n");
	talk_settle(site.loop);
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get(file, "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	talk_settle(site.loop);
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
}

/* A link that leads to what is not to be given out is as one to nowhere. */
static void
test_root_turned(void **state)
{
	char own[128], way[128];
	const char *const list[] = {"/nonexistent/folder", own, NULL};
	const struct web_settings settings = {.root = way, .own = list};
	static const char *const refused[] = {
		"root/own", "root", "root/own/..", ".", "/"};

	snprintf(way, sizeof(way), "%s/way", site.path);
	snprintf(own, sizeof(own), "%s/root/own", site.path);
	web_site_folder("own");
	web_site_folder("a");
	web_site_text("a/1", "x");
	web_site_folder("own/b");
	web_site_text("own/b/2", "x");
	assert_int_equal(symlink("root", way), 0);
	assert_int_equal(web_configure(site.web, &settings), -EPERM);
	assert_false(web_is_open(site.web));
	turn_root("root/a");
	assert_int_equal(web_configure(site.web, &settings), 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		turn_root(refused[i]);
		expect_root("/1");
		assert_int_equal(web_configure(site.web, &settings), -EPERM);
		expect_root("/1");
	}
	turn_root("root/own/b");
	expect_root("/2");
}

/* Another root while somebody looks whether it is another one. */
static void
test_root_configured(void **state)
{
	struct web_settings settings = {.root = site.path};

	web_site_text("a", "x");
	site.by_hand = true;
	site.now_s++;
	web_site_get("/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	assert_int_equal(site.n_jobs, 1);
	assert_int_equal(web_configure(site.web, &settings), 0);
	web_site_do_job();
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/root/a", "");
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
}

/* Files that change */

static void
test_truncated(void **state)
{
	web_site_big("file", 4 * TWO_MIB);
	talk_listen(&site.talk, false);
	web_site_get("/file", "");
	talk_settle(site.loop);
	assert_int_equal(truncate(web_site_path("file"), 5000), 0);
	talk_listen(&site.talk, true);
	/* less than was promised, and then the end */
	while (!site.talk.over)
		talk_settle(site.loop);
	assert_true(site.talk.in.len < 4 * TWO_MIB);
	talk_await(&site.talk, site.talk.in.len);
}

/* The file that was opened is the one that is sent. */
static void
test_replaced(void **state)
{
	web_site_big("file", 4 * TWO_MIB);
	talk_listen(&site.talk, false);
	web_site_get("/file", "");
	talk_settle(site.loop);
	web_site_text("new", "new");
	assert_int_equal(rename(web_site_path("new"), site.root), -1);
	assert_int_equal(unlink(web_site_path("file")), 0);
	web_site_text("file", "new");
	talk_listen(&site.talk, true);
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 8388608");
	while (memcmp(talk_await(&site.talk, 4) - 3, "\r\n\r\n", 4) != 0)
		site.talk.used -= 3;
	site.talk.used -= 3;
	web_site_expect_bytes(0, 4 * TWO_MIB);
}

static void
test_pipelined(void **state)
{
	web_site_text("a", "A");
	web_site_text("b", "BB");
	talk_say(&site.talk,
		"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
	web_site_stamp("a", stamp);
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "A");
	web_site_expect_error(404, "Not Found");
	web_site_stamp("b", stamp);
	web_site_expect_head("200 OK", 2, "application/octet-stream", stamp);
	talk_expect(&site.talk, "BB");
}

/* Each allocation of these fails in turn: the answer is another, or none; and
 * the next one is right. */
static void
test_no_memory(void **state)
{
	unsigned long n = 0;

	talk_settle(site.loop); /* is accepted */
	web_site_text("a", "0123456789");
	web_site_folder("sub");
	n += failalloc_each(
		web_site_once, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	n += failalloc_each(web_site_once,
		"GET /a HTTP/1.1\r\nHost: a\r\n"
		"Range: bytes=0-1,3-4\r\n\r\n");
	n += failalloc_each(
		web_site_once, "GET /sub HTTP/1.1\r\nHost: a\r\n\r\n");
	n += failalloc_each(
		web_site_once, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
	site.no_openat2 = true;
	n += failalloc_each(
		web_site_once, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	web_site_stall();
	n += failalloc_each(
		web_site_once, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(n > 10);
	web_site_stamp("a", stamp);
	web_site_get("/a", "");
	web_site_expect_head("200 OK", 10, "application/octet-stream", stamp);
	talk_expect(&site.talk, "0123456789");
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, web_site_setup, web_site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_file),
		TEST(test_empty),
		TEST(test_head),
		TEST(test_methods),
		TEST(test_vary),
		TEST(test_index),
		TEST(test_moved),
		TEST(test_no_listing),
		TEST(test_missing),
		TEST(test_very_long),
		TEST(test_bad),
		TEST(test_hosts),
		TEST(test_body),
		TEST(test_links),
		TEST(test_kinds),
		TEST(test_rights),
		TEST(test_ranges),
		TEST(test_no_range),
		TEST(test_multi),
		TEST(test_multi_too_much),
		TEST(test_multi_most),
		TEST(test_not_modified),
		TEST(test_failed),
		TEST(test_if_range),
		TEST(test_future),
		TEST(test_changes),
		TEST(test_cold),
		TEST(test_cold_gone),
		TEST(test_no_openat2),
		TEST(test_root_away),
		TEST(test_hosts_of_nothing),
		TEST(test_open_gone),
		TEST(test_no_root),
		TEST(test_root_replaced),
		TEST(test_root_turned),
		TEST(test_root_configured),
		TEST(test_truncated),
		TEST(test_replaced),
		TEST(test_pipelined),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The web server's side of PeerDist: which answer, and that nothing of an
 * answer outlives its file or its connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_peer.h"
#include "tests/unit/web_site.h"

#define SIZE 100000u
#define TYPE "application/octet-stream"
#define INFO "what describes the file"

#define V10 "Accept-Encoding: peerdist\r\nX-P2P-PeerDist: Version=1.0\r\n"
#define V11 \
	"Accept-Encoding: gzip, deflate, peerdist\r\n" \
	"X-P2P-PeerDist: Version=1.1\r\n" \
	"X-P2P-PeerDistEx: MinContentInformation=1.0, " \
	"MaxContentInformation=2.0\r\n"
#define HASH \
	"X-P2P-PeerDist: Version=1.1\r\n" \
	"X-P2P-PeerDistEx: MinContentInformation=1.0, " \
	"MaxContentInformation=2.0, HashRequest=true\r\n"
#define MISSING "X-P2P-PeerDist: Version=1.1, MissingDataRequest=true\r\n"
#define MAKE \
	"X-P2P-PeerDist: Version=1.1\r\n" \
	"X-P2P-PeerDistEx: MakeHashRequest=true\r\n"

static char stamp[SITE_STAMP_TEXT];

static int
setup(void **state)
{
	if (web_site_setup(state) != 0)
		return -1;
	web_site_big("file", SIZE);
	web_site_stamp("file", stamp);
	site.info = INFO;
	site.version = 2;
	return 0;
}

static const struct web_counters *
counters(void)
{
	return web_counters(site.web);
}

static void
expect_plain(const char *more)
{
	char fields[1024];

	snprintf(fields, sizeof(fields), "%s" SITE_VARY "%s", stamp, more);
	web_site_expect_head("200 OK", SIZE, TYPE, fields);
	web_site_expect_bytes(0, SIZE);
}

static void
expect_part(size_t from, size_t len, const char *more)
{
	char fields[1024];

	snprintf(fields, sizeof(fields),
		"%s" SITE_VARY "%sContent-Range: bytes %zu-%zu/%u\r\n", stamp,
		more, from, from + len - 1, SIZE);
	web_site_expect_head("206 Partial Content", len, TYPE, fields);
	web_site_expect_bytes(from, len);
}

static void
expect_described(const char *status, const char *range, const char *params)
{
	char fields[1024];

	snprintf(fields, sizeof(fields),
		"%s" SITE_VARY "Cache-Control: no-transform\r\n"
		"Content-Encoding: peerdist\r\n%sX-P2P-PeerDist: %s\r\n",
		stamp, range, params);
	web_site_expect_head(status, strlen(INFO), TYPE, fields);
	talk_expect(&site.talk, INFO);
}

static void
expect_whole(const char *version)
{
	char params[64];

	snprintf(params, sizeof(params), "Version=%s, ContentLength=%u",
		version, SIZE);
	expect_described("200 OK", "", params);
}

static void
test_known(void **state)
{
	site.hashes = HASHED_OK;
	web_site_get("/file", V11);
	expect_whole("1.1");
	assert_int_equal(site.last.versions, 3);
	assert_int_equal(site.last.offset, 0);
	assert_int_equal(site.last.length, SIZE);
	web_site_get("/file", V10);
	expect_whole("1.0");
	assert_int_equal(site.last.versions, 1);
	talk_settle(site.loop);
	assert_int_equal(site.lent, 0);
	assert_int_equal(counters()->encoded, 2);
	assert_int_equal(counters()->encoded_bytes, 2 * strlen(INFO));
	assert_int_equal(counters()->described_bytes, 2 * SIZE);
	assert_int_equal(counters()->plain_bytes, 0);
	assert_int_equal(site.wants, 0);
}

static void
test_unknown(void **state)
{
	site.hashes = HASHED_UNKNOWN;
	web_site_get("/file", V11);
	expect_plain(MAKE);
	/* a client that does not know the word */
	web_site_get("/file", V10);
	expect_plain("");
	assert_int_equal(site.wants, 2);
	assert_int_equal(counters()->make_hash, 1);
	assert_int_equal(counters()->plain_bytes, 2 * SIZE);
	/* nobody would make them */
	site.refuses = true;
	web_site_get("/file", V11);
	expect_plain("");
	assert_int_equal(counters()->make_hash, 1);
	assert_int_equal(counters()->encoded, 0);
}

static void
test_hash_request(void **state)
{
	site.hashes = HASHED_UNKNOWN;
	web_site_get("/file", HASH);
	expect_plain("");
	assert_int_equal(site.wants, 1);
	site.hashes = HASHED_OK;
	web_site_get("/file", HASH);
	expect_whole("1.1");
	assert_int_equal(counters()->make_hash, 0);
}

static void
test_unfit(void **state)
{
	site.hashes = HASHED_UNFIT;
	web_site_get("/file", V11);
	expect_plain("");
	site.hashes = HASHED_FAILED;
	web_site_get("/file", V11);
	expect_plain("");
	assert_int_equal(site.asks, 2);
	assert_int_equal(site.wants, 0);
}

/* Sections 3 and 9 of the protocol's decision, those of them that are not
 * pccrtp_understood()'s. */
static void
test_not_understood(void **state)
{
	static const char *const fields[] = {"",
		"Accept-Encoding: peerdist\r\n",
		"X-P2P-PeerDist: Version=1.1\r\n", MISSING,
		"Accept-Encoding: peerdist\r\n" MISSING,
		"Accept-Encoding: peerdist\r\n"
		"X-P2P-PeerDist: Version=999.999\r\n",
		"Accept-Encoding: peerdist;q=0\r\n"
		"X-P2P-PeerDist: Version=1.1\r\n"};

	site.hashes = HASHED_OK;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		web_site_get("/file", fields[i]);
		expect_plain("");
	}
	assert_int_equal(site.asks, 0);
	assert_int_equal(counters()->missing_data, 2);
}

static void
test_old(void **state)
{
	site.hashes = HASHED_OK;
	talk_say(&site.talk, "GET /file HTTP/1.0\r\n" V10 "\r\n");
	talk_expect(&site.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
		"Connection: close\r\nContent-Type: " TYPE "\r\n");
	talk_expect(&site.talk, stamp);
	talk_expect(&site.talk, SITE_VARY "\r\n");
	web_site_expect_bytes(0, SIZE);
	talk_expect_end(&site.talk);
	assert_int_equal(site.asks + site.wants, 0);
}

static void
test_small(void **state)
{
	web_site_big("small", SITE_MIN);
	web_site_stamp("small", stamp);
	site.hashes = HASHED_OK;
	web_site_get("/small", V11);
	web_site_expect_head("200 OK", SITE_MIN, TYPE, stamp);
	web_site_expect_bytes(0, SITE_MIN);
	assert_int_equal(site.asks, 0);
	web_site_big("small", SITE_MIN + 1);
	web_site_get("/small", V11);
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n");
	assert_int_equal(site.asks, 1);
}

/* Not shorter than what it describes. */
static void
test_too_long(void **state)
{
	char info[SITE_MIN + 2];

	memset(info, 'x', sizeof(info));
	info[SITE_MIN + 1] = 0;
	site.info = info;
	site.hashes = HASHED_OK;
	web_site_big("small", SITE_MIN + 1);
	web_site_get("/small", V11);
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n");
	assert_int_equal(site.lent, 0);
	info[SITE_MIN] = 0;
	talk_end(&site.talk);
	talk_connect(&site.talk, site.loop, site.port);
	web_site_get("/small", V11);
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n");
	assert_int_equal(counters()->encoded, 1);
}

static void
test_ranges(void **state)
{
	site.hashes = HASHED_OK;
	web_site_get("/file", V11 "Range: bytes=500-4499\r\n");
	expect_described("206 Partial Content",
		"Content-Range: bytes 500-4499/100000\r\n",
		"Version=1.1, ContentLength=4000");
	assert_int_equal(site.last.offset, 500);
	assert_int_equal(site.last.length, 4000);
	web_site_get("/file", V11 "Range: bytes=-3000\r\n");
	expect_described("206 Partial Content",
		"Content-Range: bytes 97000-99999/100000\r\n",
		"Version=1.1, ContentLength=3000");
	web_site_get("/file", V11 "Range: bytes=90000-\r\n");
	expect_described("206 Partial Content",
		"Content-Range: bytes 90000-99999/100000\r\n",
		"Version=1.1, ContentLength=10000");
	web_site_get("/file", V11 "Range: bytes=0-2047\r\n");
	expect_described("206 Partial Content",
		"Content-Range: bytes 0-2047/100000\r\n",
		"Version=1.1, ContentLength=2048");
	assert_int_equal(
		counters()->described_bytes, 4000 + 3000 + 10000 + 2048);
	/* not worth it */
	web_site_get("/file", V11 "Range: bytes=0-2046\r\n");
	expect_part(0, 2047, "");
	assert_int_equal(site.asks, 4);
	web_site_get("/file", V11 "Range: bytes=0-5000,6000-9999\r\n");
	talk_expect(&site.talk, "HTTP/1.1 206 Partial Content\r\n");
	assert_int_equal(site.asks, 4);
}

static void
test_range_unknown(void **state)
{
	site.hashes = HASHED_UNKNOWN;
	web_site_get("/file", V11 "Range: bytes=100-5099\r\n");
	expect_part(100, 5000, MAKE);
	assert_int_equal(site.wants, 1);
}

/* If-Range and the others are about the file, whatever the coding. */
static void
test_conditions(void **state)
{
	char fields[1024], etag[64];

	site.hashes = HASHED_OK;
	web_site_etag("file", etag);
	snprintf(fields, sizeof(fields),
		V11 "If-Range: %s\r\nRange: bytes=0-4095\r\n", etag);
	web_site_get("/file", fields);
	expect_described("206 Partial Content",
		"Content-Range: bytes 0-4095/100000\r\n",
		"Version=1.1, ContentLength=4096");
	web_site_get(
		"/file", V11 "If-Range: \"other\"\r\nRange: bytes=0-4095\r\n");
	expect_whole("1.1");
	snprintf(fields, sizeof(fields), V11 "If-None-Match: %s\r\n", etag);
	web_site_get("/file", fields);
	talk_expect(&site.talk, "HTTP/1.1 304 Not Modified\r\n");
	talk_expect(&site.talk, stamp);
	talk_expect(&site.talk, SITE_VARY "\r\n");
	web_site_get("/file", V11 "Range: bytes=100000-\r\n");
	talk_expect(&site.talk, "HTTP/1.1 416 Range Not Satisfiable\r\n");
	assert_int_equal(site.asks, 2);
}

/* Later */

static void
test_later(void **state)
{
	site.hashes = HASHED_LATER;
	site.then = HASHED_OK;
	web_site_get("/file", V11 "Range: bytes=0-4095\r\n");
	web_site_await_ask();
	talk_expect_nothing(&site.talk);
	web_site_answer_ask();
	expect_described("206 Partial Content",
		"Content-Range: bytes 0-4095/100000\r\n",
		"Version=1.1, ContentLength=4096");
	assert_int_equal(site.asks, 1);
}

static void
test_later_unknown(void **state)
{
	site.hashes = HASHED_LATER;
	site.then = HASHED_UNKNOWN;
	web_site_get("/file", V11);
	web_site_await_ask();
	web_site_answer_ask();
	expect_plain(MAKE);
	assert_int_equal(site.wants, 1);
	site.then = HASHED_FAILED;
	web_site_get("/file", V11);
	web_site_await_ask();
	web_site_answer_ask();
	expect_plain("");
}

static void
answer_plainly(void)
{
	web_site_answer_ask();
	talk_settle(site.loop);
	assert_int_equal(site.lent, site.n_jobs);
	web_site_stamp("file", stamp);
}

/* Whatever happens to the file meanwhile: not described by what was. */
static void
test_later_changed(void **state)
{
	int fd;

	site.hashes = HASHED_LATER;
	site.then = HASHED_OK;
	/* touched */
	web_site_get("/file", V11);
	web_site_await_ask();
	web_site_touch("file", SITE_NOW - 3600);
	answer_plainly();
	expect_plain("");
	/* written to */
	web_site_get("/file", V11);
	web_site_await_ask();
	fd = open(web_site_path("file"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\0", 1, 0), 1);
	close(fd);
	web_site_touch("file", SITE_NOW - 3600);
	answer_plainly();
	expect_plain("");
	/* there would have been no hashes either */
	site.then = HASHED_UNKNOWN;
	web_site_get("/file", V11);
	web_site_await_ask();
	web_site_touch("file", SITE_NOW - 3600);
	answer_plainly();
	expect_plain("");
	assert_int_equal(site.wants, 0);
	site.then = HASHED_OK;
	/* shorter */
	web_site_get("/file", V11 "Range: bytes=-5000\r\n");
	web_site_await_ask();
	assert_int_equal(truncate(web_site_path("file"), 50000), 0);
	web_site_touch("file", SITE_NOW - 3600);
	answer_plainly();
	talk_expect(&site.talk,
		"HTTP/1.1 206 Partial Content\r\nContent-Length: 5000\r\n");
	assert_int_equal(counters()->encoded, 0);
	assert_int_equal(site.asks, 4);
}

/* Its name leads to another by now, and that is another's business. */
static void
test_later_replaced(void **state)
{
	site.hashes = HASHED_LATER;
	site.then = HASHED_OK;
	web_site_get("/file", V11);
	web_site_await_ask();
	web_site_text("new", "new");
	assert_int_equal(unlink(web_site_path("file")), 0);
	web_site_answer_ask();
	/* its change time did change with the link */
	talk_expect(
		&site.talk, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n");
}

/* On a file system that may stall even this is looked at by a worker. */
static void
test_later_slow(void **state)
{
	web_site_stall();
	site.hashes = HASHED_LATER;
	site.then = HASHED_OK;
	web_site_get("/file", V11);
	web_site_await_ask();
	site.by_hand = true;
	web_site_answer_ask();
	assert_int_equal(site.n_jobs, 1);
	assert_true(site.jobs[0]->slow);
	web_site_do_job();
	expect_whole("1.1");
	site.by_hand = false;
	web_site_get("/file", V11);
	web_site_await_ask();
	site.by_hand = true;
	web_site_touch("file", SITE_NOW - 3600);
	answer_plainly();
	web_site_do_job();
	assert_int_equal(site.lent, 0);
	site.by_hand = false; /* its body is read by a worker, too */
	expect_plain("");
	/* and gone meanwhile */
	site.by_hand = false;
	web_site_get("/file", V11);
	web_site_await_ask();
	site.by_hand = true;
	web_site_answer_ask();
	http_server_close_all(site.server);
	assert_false(service_idle(site.service));
	web_site_do_job();
	assert_int_equal(site.lent, 0);
}

static void
test_later_gone(void **state)
{
	struct talk t;

	site.hashes = HASHED_LATER;
	talk_connect(&t, site.loop, site.port);
	talk_say(&t, "GET /file HTTP/1.1\r\nHost: a\r\n" V11 "\r\n");
	web_site_await_ask();
	http_server_close_all(site.server);
	assert_null(site.waiting);
	talk_end(&t);
}

/* The client goes away while it is being sent. */
static void
test_sending_gone(void **state)
{
	static char info[4 << 20];
	struct talk t;

	memset(info, 'i', sizeof(info) - 1);
	site.info = info;
	site.hashes = HASHED_OK;
	web_site_big("huge", 8 << 20);
	talk_connect(&t, site.loop, site.port);
	talk_listen(&t, false);
	talk_say(&t, "GET /huge HTTP/1.1\r\nHost: a\r\n" V11 "\r\n");
	/* The file is opened by another thread. */
	while (site.lent == 0)
		talk_settle(site.loop);
	talk_reset(&t);
	while (site.lent > 0)
		talk_settle(site.loop);
	assert_true(counters()->encoded_bytes < sizeof(info) - 1);
}

static void
test_no_memory(void **state)
{
	static const enum hashed_result results[] = {
		HASHED_OK, HASHED_UNKNOWN, HASHED_LATER};

	talk_settle(site.loop); /* is accepted */
	site.then = HASHED_OK;
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		site.hashes = results[i];
		assert_true(failalloc_each(web_site_once,
				    "GET /file HTTP/1.1\r\nHost: a\r\n" V11
				    "\r\n") > 2);
		assert_int_equal(site.lent, 0);
	}
	site.hashes = HASHED_OK;
	web_site_get("/file", V11);
	expect_whole("1.1");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, web_site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_known),
		TEST(test_unknown),
		TEST(test_hash_request),
		TEST(test_unfit),
		TEST(test_not_understood),
		TEST(test_old),
		TEST(test_small),
		TEST(test_too_long),
		TEST(test_ranges),
		TEST(test_range_unknown),
		TEST(test_conditions),
		TEST(test_later),
		TEST(test_later_unknown),
		TEST(test_later_changed),
		TEST(test_later_replaced),
		TEST(test_later_slow),
		TEST(test_later_gone),
		TEST(test_sending_gone),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

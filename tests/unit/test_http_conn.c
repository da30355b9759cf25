/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/http_stage.h"
#include "tests/unit/net_peer.h"

#define BODY_MAX STAGE_BODY_MAX
#define FILE_LEN STAGE_FILE_LEN

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define CLOSED   "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define BAD      "HTTP/1.1 400 Bad Request" CLOSED

/* The service's paths say what it does.  What it saw: */
static struct {
	char path[HTTP_HEAD_MAX];
	char header[256]; /* X-Test */
	struct buf body;
	struct http_conn *waiting; /* for an answer */
} f;

static bool
path_is(const char *name)
{
	return strcmp(f.path, name) == 0;
}

static void
echo(struct http_conn *c, bool end)
{
	struct http_answer a = {.status = 200, .close = end};

	a.head = http_conn_body(c, &a.head_len);
	http_conn_answer(c, &a);
}

static void
answer_file(struct http_conn *c, uint64_t offset, uint64_t span)
{
	struct http_answer a = {.status = 200,
		.type = "x/y",
		.fields = "A: b\r\n",
		.head = "head",
		.head_len = 4,
		.fd = stage.file,
		.offset = offset,
		.span = span};

	http_conn_answer(c, &a);
}

static void
answer_memory(struct http_conn *c)
{
	struct http_answer a = {.status = 200,
		.head = "head",
		.head_len = 4,
		.bytes = stage.memory,
		.span = FILE_LEN};

	http_conn_answer(c, &a);
}

static void
record(struct http_conn *c)
{
	const uint8_t *body;
	const char *text;
	size_t len;

	text = http_conn_path(c, &len);
	snprintf(f.path, sizeof(f.path), "%.*s", (int)len, text);
	text = http_conn_header(c, "x-test", &len);
	snprintf(f.header, sizeof(f.header), "%.*s", text ? (int)len : 4,
		text ? text : "none");
	body = http_conn_body(c, &len);
	buf_reset(&f.body);
	buf_append(&f.body, body, len);
}

static void
handle(struct http_conn *c)
{
	record(c);
	if (path_is("/file"))
		answer_file(c, 0, FILE_LEN);
	else if (path_is("/part"))
		answer_file(c, 5, 3);
	else if (path_is("/beyond"))
		answer_file(c, FILE_LEN - 100, 200);
	else if (path_is("/memory"))
		answer_memory(c);
	else if (path_is("/later"))
		f.waiting = c;
	else if (path_is("/abort"))
		http_conn_abort(c);
	else
		echo(c, path_is("/close"));
}

static void
ended(struct http_conn *c)
{
	if (f.waiting == c)
		f.waiting = NULL;
}

static int
setup(void **state)
{
	memset(&f, 0, sizeof(f));
	buf_init(&f.body, 1 << 20);
	stage_setup(state);
	stage.handle = handle;
	stage.ended = ended;
	return 0;
}

static int
teardown(void **state)
{
	buf_done(&f.body);
	return stage_teardown(state);
}

/* Requests that are answered with their bodies. */

static const struct {
	const char *request;
	const char *path;
	const char *body;
	const char *answer; /* NULL: the body, and kept */
	const char *header;
} good[] = {
	{"GET /a HTTP/1.1\r\n\r\n", "/a", "", NULL, "none"},
	{"GET /a HTTP/1.1\r\nHost: x\r\nX-Test:  a b \r\n\r\n", "/a", "", NULL,
		"a b"},
	{"GET /a HTTP/1.1\r\nX-Testy: 1\r\nX-Tes: 2\r\nX-TEST:3\r\n"
	 "X-Test: 4\r\n\r\n",
		"/a", "", NULL, "3"},
	{"GET /a?b#c HTTP/1.1\r\nX-Test:\r\n\r\n", "/a", "", NULL, ""},
	{"GET http://h:80/a/b?c HTTP/1.1\r\n\r\n", "/a/b", "", NULL, "none"},
	{"\r\n\r\nGET /a HTTP/1.1\r\n\r\n", "/a", "", NULL, "none"},
	{"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "/a", "abc", NULL,
		"none"},
	{"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "/a", "", NULL,
		"none"},
	{"POST /a HTTP/1.1\nContent-Length: 3\nX-Test: 1\n\nabc", "/a", "abc",
		NULL, "1"},
	{"POST /a HTTP/1.1\r\ncontent-length:3 \r\n\r\n\r\na", "/a", "\r\na",
		NULL, "none"},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "3\r\nabc\r\n0\r\n\r\n",
		"/a", "abc",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
		"Connection: close\r\n\r\nabc",
		"none"},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nX-Test: 1\r\n\r\n"
	 "3;x=\"y\r\nabc\r\n00a ; z\r\n0123456789\r\n1;;\r\n!\r\n000;q\r\n"
	 "Trailer: t\r\nX-Test: 2\r\n\r\n",
		"/a", "abc0123456789!",
		"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n"
		"Connection: close\r\n\r\nabc0123456789!",
		"1"},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"/a", "", "HTTP/1.1 200 OK" CLOSED, "none"},
	{"POST /a HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
	 "Content-Length: 1\r\n\r\nx",
		"/a", "x", NULL, "none"},
	{"POST /a HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", "/a", "x",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		"Connection: close\r\n\r\nx",
		"none"},
	{"POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n"
	 "\r\nx",
		"/a", "x",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		"Connection: keep-alive\r\n\r\nx",
		"none"},
	{"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", "/a", "",
		"HTTP/1.1 200 OK" CLOSED, "none"},
	{"GET /close HTTP/1.1\r\n\r\n", "/close", "", "HTTP/1.1 200 OK" CLOSED,
		"none"},
	{"HEAD /part HTTP/1.1\r\n\r\n", "/part", "",
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: x/y\r\n"
		"A: b\r\n\r\n",
		"none"},
};

/* piece: bytes that are sent at once. */
static void
try_good(size_t i, size_t piece)
{
	const char *request = good[i].request;
	size_t len = strlen(request);
	char answer[512];
	static struct talk t;

	stage_open(&t);
	for (size_t at = 0; at < len; at += piece) {
		talk_send(&t, request + at, MIN_OF(piece, len - at));
		if (at + piece < len)
			talk_expect_nothing(&t);
	}
	snprintf(answer, sizeof(answer),
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(good[i].body), good[i].body);
	talk_expect(&t, good[i].answer != NULL ? good[i].answer : answer);
	assert_string_equal(f.path, good[i].path);
	assert_string_equal(f.header, good[i].header);
	assert_int_equal(f.body.len, strlen(good[i].body));
	assert_memory_equal(f.body.data, good[i].body, f.body.len);
	if (strstr(answer, "close") != NULL) {
		talk_expect_end(&t);
	} else if (good[i].answer == NULL) {
		talk_say(&t, "GET /again HTTP/1.1\r\n\r\n");
		talk_expect(&t, OK_EMPTY);
	}
	talk_end(&t);
	net_wait(stage.loop, stage_all_ended, NULL);
}

static void
test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		try_good(i, SIZE_MAX / 2);
		try_good(i, 1);
		try_good(i, 7);
	}
	assert_int_equal(stage.cut, 0);
}

/* Requests without a service. */

static const struct {
	const char *request;
	const char *answer;
} refused[] = {
	/* kept */
	{"GET /-x HTTP/1.1\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{"OPTIONS * HTTP/1.1\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{"POST /- HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET /a HT",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{"PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Allow: GET, HEAD, POST\r\n\r\n"},
	{"POST /a HTTP/1.1\r\n\r\n",
		"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n"},
	/* closed */
	{"POST /- HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
		"HTTP/1.1 404 Not Found" CLOSED},
	{"GET /-x HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found" CLOSED},
	{"POST /-x HTTP/1.1\r\nContent-Length: 98305\r\n\r\n",
		"HTTP/1.1 404 Not Found" CLOSED},
	{"POST /a HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
		"HTTP/1.1 413 Payload Too Large" CLOSED},
	{"POST /a HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
		"HTTP/1.1 413 Payload Too Large" CLOSED},
	{"GET /a HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
		"HTTP/1.1 413 Payload Too Large" CLOSED},
	{"GET /a HTTP/2.0\r\n\r\n",
		"HTTP/1.1 505 HTTP Version Not Supported" CLOSED},
	{"GET /a\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported" CLOSED},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.1 501 Not Implemented" CLOSED},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b\r\n"
	 "transfer-encoding: chunked\r\n\r\n",
		"HTTP/1.1 501 Not Implemented" CLOSED},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", BAD},
	{"CONNECT a:80 HTTP/1.1\r\n\r\n",
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Connection: close\r\nAllow:\r\n\r\n"},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD},
	{"\x16\x03\x01\x02", BAD},
	{"GET\r\n", BAD},
	{"get /a HTTP/1.1\r\n\r\n", BAD},
	{"GET a HTTP/1.1\r\n\r\n", BAD},
	{"GET /a HTTP/1.1\r\nbad header\r\n\r\n", BAD},
	{"GET /a HTTP/1.1\r\nA : b\r\n\r\n", BAD},
	{"GET /a HTTP/1.1\rX", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked"
	 "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3"
	 "\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc",
		BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: \vchunked\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"
	 "abc",
		BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length:\r\n\r\nabc", BAD},
	{"POST /a HTTP/1.1\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
		BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "10000000000000003\r\nabc\r\n",
		BAD},
	{"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
		BAD},
	{"POST /- HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", BAD},
};

static void
try_refused(size_t i, size_t piece)
{
	const char *request = refused[i].request;
	size_t len = strlen(request);
	static struct talk t;

	stage_open(&t);
	for (size_t at = 0; at < len; at += piece) {
		talk_send(&t, request + at, MIN_OF(piece, len - at));
		talk_settle(stage.loop);
	}
	talk_expect(&t, refused[i].answer);
	if (strstr(refused[i].answer, "close") != NULL) {
		talk_expect_end(&t);
		assert_false(t.reset);
	} else {
		talk_say(&t, "GET /a HTTP/1.1\r\n\r\n");
		talk_expect(&t, OK_EMPTY);
		net_wait(stage.loop, stage_all_ended, NULL);
		stage.handled = 0;
		stage.whole = 0;
	}
	talk_end(&t);
}

static void
test_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		try_refused(i, SIZE_MAX / 2);
		try_refused(i, 1);
	}
	assert_int_equal(stage.handled, 0);
	assert_int_equal(stage.set.counters.refused, 2 * ARRAY_LEN(refused));
}

static void
test_nul(void **state)
{
	static const char requests[][40] = {
		"GET /a HTTP/1.1\r\nA: \0b\r\n\r\n",
		"GET /a HTTP/1.1\r\nA\0: b\r\n\r\n",
		"GET /\0a HTTP/1.1\r\nA: b\r\n\r\n",
		"GET /a HTTP/1.1\0\r\nA: b\r\n\r\n",
		"\0GET /a HTTP/1.1\r\nA: b\r\n\r\n",
	};
	static struct talk t;

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		stage_open(&t);
		talk_send(&t, requests[i], 30);
		talk_expect(&t, BAD);
		talk_expect_end(&t);
		talk_end(&t);
	}
}

/* A head of n bytes. */
static void
say_head(struct talk *t, size_t n)
{
	static const char begin[] = "GET /a HTTP/1.1\r\nX-Test: ";
	static char head[HTTP_HEAD_MAX + 1];

	memset(head, 'x', n);
	memcpy(head, begin, sizeof(begin) - 1);
	memcpy(head + n - 4, "\r\n\r\n", 4);
	talk_send(t, head, n);
}

static void
test_long_head(void **state)
{
	static struct talk t;

	say_head(&stage.talk, HTTP_HEAD_MAX);
	talk_expect(&stage.talk, OK_EMPTY);
	/* behind another request in the buffer, too */
	talk_say(&stage.talk, "GET /a HTTP/1.1\r\n\r\n");
	say_head(&stage.talk, HTTP_HEAD_MAX);
	talk_expect(&stage.talk, OK_EMPTY OK_EMPTY);
	stage_open(&t);
	say_head(&t, HTTP_HEAD_MAX + 1);
	talk_expect(&t, "HTTP/1.1 431 Request Header Fields Too Large" CLOSED);
	talk_expect_end(&t);
	talk_end(&t);
}

/* More than a pass's share of them, and a piece of one. */
static void
test_pipelined(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < 100; i++)
		buf_printf(&b,
			"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n%04u", i);
	talk_send(&stage.talk, b.data, b.len - 1);
	for (unsigned i = 0; i < 99; i++) {
		char want[64];

		snprintf(want, sizeof(want),
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%04u", i);
		talk_expect(&stage.talk, want);
	}
	talk_expect_nothing(&stage.talk);
	talk_say(&stage.talk, "9");
	talk_expect(&stage.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0099");
	assert_int_equal(stage.handled, 100);
	assert_int_equal(stage.set.counters.requests, 100);
	buf_done(&b);
}

/* What comes while a request is in work waits, and does not wake the loop. */
static void
test_later(void **state)
{
	struct http_answer a = {.status = 200, .head = "x", .head_len = 1};
	struct http_conn *c;

	talk_say(&stage.talk, "GET /later HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	c = f.waiting;
	assert_non_null(c);
	assert_true(c->reading);
	talk_say(&stage.talk, "GET /1 HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	assert_false(c->reading);
	assert_int_equal(stage.handled, 1);
	http_conn_answer(c, &a);
	assert_int_equal(stage.whole, 0); /* not from inside the call */
	talk_expect(
		&stage.talk, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	talk_expect(&stage.talk, OK_EMPTY);
	assert_true(c->reading);
	/* pipelined from the beginning */
	talk_say(&stage.talk,
		"GET /later HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	http_conn_answer(f.waiting, &a);
	talk_expect(
		&stage.talk, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	talk_expect(&stage.talk, OK_EMPTY);
}

static void
test_abort(void **state)
{
	struct http_answer a = {.status = 200};
	static struct talk t;

	talk_say(&stage.talk, "GET /abort HTTP/1.1\r\n\r\n");
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	stage_open(&t);
	talk_say(&t, "GET /later HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&t);
	http_conn_abort(f.waiting);
	assert_int_equal(stage.cut, 1);
	http_conn_answer(f.waiting, &a); /* too late, nothing happens */
	talk_expect_end(&t);
	assert_int_equal(stage.cut, 2);
	talk_end(&t);
	/* in the middle of an answer */
	stage_open(&t);
	talk_listen(&t, false);
	talk_say(&t, "GET /file HTTP/1.1\r\n\r\n");
	talk_settle(stage.loop);
	assert_int_equal(stage.cut + stage.whole, 2);
	http_conn_abort(TAILQ_FIRST(&stage.set.rest.busy));
	net_wait(stage.loop, stage_all_closed, NULL);
	assert_int_equal(stage.cut, 3);
	talk_end(&t);
}

static void
expect_whole(struct talk *t, const char *head)
{
	talk_expect(t, head);
	talk_expect_bytes(t, stage.memory, FILE_LEN);
}

#define FILE_HEAD \
	"HTTP/1.1 200 OK\r\nContent-Length: 16777220\r\nContent-Type: x/y\r\n" \
	"A: b\r\n\r\nhead"
#define MEMORY_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 16777220\r\n\r\nhead"

static void
test_spans(void **state)
{
	talk_say(&stage.talk, "GET /part HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: x/y\r\n"
		"A: b\r\n\r\nhead");
	talk_expect_bytes(&stage.talk, stage.memory + 5, 3);
	talk_say(&stage.talk, "GET /file HTTP/1.1\r\n\r\n");
	expect_whole(&stage.talk, FILE_HEAD);
	assert_int_equal(stage.span_sent, FILE_LEN);
	talk_say(&stage.talk, "GET /memory HTTP/1.1\r\n\r\n");
	expect_whole(&stage.talk, MEMORY_HEAD);
	assert_int_equal(stage.span_sent, FILE_LEN);
	assert_false(TAILQ_FIRST(&stage.set.idle)->writing);
}

/* A reader of everything does not hold up the others. */
static void
test_fair(void **state)
{
	static struct talk t;

	stage_open(&t);
	talk_say(&stage.talk, "GET /file HTTP/1.1\r\n\r\n");
	talk_await(&stage.talk, 1);
	talk_say(&t, "GET /a HTTP/1.1\r\n\r\n");
	talk_expect(&t, OK_EMPTY);
	assert_true(stage.talk.in.len < FILE_LEN);
	talk_await(&stage.talk, FILE_LEN);
	talk_end(&t);
}

static void
test_file_too_short(void **state)
{
	talk_say(&stage.talk, "GET /beyond HTTP/1.1\r\n\r\n");
	talk_await(&stage.talk, strlen(FILE_HEAD) - 5 + 100);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.span_sent, 100);
	assert_int_equal(stage.set.counters.broken, 1);
}

static void
test_continue(void **state)
{
	static struct talk t;

	talk_say(&stage.talk,
		"POST /a HTTP/1.1\r\nContent-Length: 3\r\n"
		"Expect: 100-continue\r\n\r\n");
	talk_expect(&stage.talk, "HTTP/1.1 100 Continue\r\n\r\n");
	talk_say(&stage.talk, "a");
	talk_expect_nothing(&stage.talk);
	talk_say(&stage.talk, "bc");
	talk_expect(
		&stage.talk, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	/* whoever does not wait is not told */
	talk_say(&stage.talk,
		"POST /a HTTP/1.1\r\nContent-Length: 1\r\n"
		"Expect: 100-continue\r\n\r\nx");
	talk_expect(
		&stage.talk, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	/* once, for chunks too */
	stage_open(&t);
	talk_say(&t,
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
		"Expect: 100-continue\r\n\r\n");
	talk_expect(&t, "HTTP/1.1 100 Continue\r\n\r\n");
	talk_say(&t, "1\r");
	talk_settle(stage.loop);
	talk_say(&t, "\nx\r\n0\r\n\r\n");
	talk_expect(&t,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		"Connection: close\r\n\r\nx");
	talk_end(&t);
	/* nor HTTP/1.0, nor who will be refused */
	stage_open(&t);
	talk_say(&t,
		"POST /a HTTP/1.0\r\nContent-Length: 1\r\n"
		"Expect: 100-continue\r\n\r\n");
	talk_expect_nothing(&t);
	talk_end(&t);
	stage_open(&t);
	talk_say(&t,
		"POST /- HTTP/1.1\r\nContent-Length: 1\r\n"
		"Expect: 100-continue\r\n\r\n");
	talk_expect(&t, "HTTP/1.1 404 Not Found" CLOSED);
	talk_expect_end(&t);
	talk_end(&t);
}

/* The answer is not lost to a reset when the client goes on talking. */
static void
test_linger(void **state)
{
	static const char junk[BODY_MAX];

	talk_say(&stage.talk,
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"ffff\r\n");
	for (int i = 0; i < 64; i++)
		talk_send(&stage.talk, junk, sizeof(junk));
	talk_expect(&stage.talk, "HTTP/1.1 413 Payload Too Large" CLOSED);
	talk_expect_end(&stage.talk);
	assert_false(stage.talk.reset);
	for (int i = 0; i < 64; i++)
		talk_send(&stage.talk, junk, sizeof(junk));
	talk_settle(stage.loop);
	assert_int_equal(stage.set.n_conns, 1);
	talk_finish(&stage.talk);
	net_wait(stage.loop, stage_all_closed, NULL);
}

/* It may not talk for ever. */
static void
test_linger_ends(void **state)
{
	talk_say(&stage.talk, "x\r\n");
	talk_expect(&stage.talk, BAD);
	net_wait(stage.loop, stage_all_closed, NULL);
	assert_int_equal(stage.set.counters.timed_out, 0);
}

/* Chunk headers do not count as body, but not without a limit. */
static void
test_many_chunks(void **state)
{
	static struct talk t;

	for (unsigned i = 0; i < BODY_MAX; i++)
		stage.memory[i] = 'x';
	talk_say(&stage.talk,
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < BODY_MAX; i++) {
		talk_say(&stage.talk, "1\r\nx\r\n");
		if (i % 10 == 0)
			talk_settle(stage.loop);
	}
	talk_say(&stage.talk, "0\r\n\r\n");
	talk_expect(&stage.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
		"Connection: close\r\n\r\n");
	talk_expect_bytes(&stage.talk, stage.memory, BODY_MAX);
	stage_open(&t);
	talk_say(
		&t, "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	for (unsigned i = 0; i < 20; i++) {
		talk_send(&t, stage.memory, 1000);
		talk_settle(stage.loop);
	}
	talk_expect(&t, "HTTP/1.1 413 Payload Too Large" CLOSED);
	talk_end(&t);
}

/* Two readers may not agree where this body ends; what one of them takes for a
 * request behind it is not believed. */
static void
test_odd_chunks(void **state)
{
	static const char *const bodies[] = {
		"1\r\nxAB0\r\n\r\n",
		"1;\rXx\r\n0\r\n\r\n",
		"0\r\n\rX",
	};
	static struct talk t;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		unsigned before = stage.handled;

		stage_open(&t);
		talk_say(&t,
			"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked"
			"\r\n\r\n");
		talk_say(&t, bodies[i]);
		talk_say(&t, "GET /b HTTP/1.1\r\n\r\n");
		talk_expect(&t, "HTTP/1.1 ");
		talk_settle(stage.loop);
		talk_end(&t);
		net_wait(stage.loop, stage_all_ended, NULL);
		assert_true(stage.handled <= before + 1);
	}
}

/* Time-outs.  One second and a half of waiting in all. */

static void
test_slow_head(void **state)
{
	static struct talk t;

	stage.set.limits.request_ms = 50;
	stage_open(&t);
	talk_expect_end(&t); /* says nothing at all */
	talk_end(&t);
	stage_open(&t);
	talk_say(&t, "GET /a HT");
	talk_expect_end(&t);
	talk_end(&t);
	assert_int_equal(stage.set.counters.timed_out, 1);
	/* after another request */
	stage_open(&t);
	talk_say(&t, "GET /a HTTP/1.1\r\n\r\n");
	talk_expect(&t, OK_EMPTY);
	talk_say(&t, "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab");
	talk_expect_end(&t);
	talk_end(&t);
	assert_int_equal(stage.set.counters.timed_out, 2);
}

/* Each byte comes in time, the request does not. */
static void
test_slow_bytes(void **state)
{
	uint64_t began = loop_now_ms();

	stage.set.limits.request_ms = 100;
	talk_say(&stage.talk, "GET /");
	while (!stage.talk.over) {
		assert_true(loop_now_ms() - began < 5000);
		talk_say(&stage.talk, "a");
		talk_settle(stage.loop);
		usleep(5000);
	}
	assert_int_equal(stage.set.counters.timed_out, 1);
}

static void
test_idle(void **state)
{
	uint64_t began = loop_now_ms();

	stage.set.limits.idle_ms = 100;
	stage.set.limits.request_ms = 50;
	talk_say(&stage.talk, "GET /a HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk, OK_EMPTY);
	/* the alarm that the connection began with does not end it */
	talk_expect_end(&stage.talk);
	assert_true(loop_now_ms() - began >= 100);
	assert_int_equal(stage.set.counters.timed_out, 0);
}

static void
test_stall(void **state)
{
	stage.set.limits.stall_ms = 100;
	talk_listen(&stage.talk, false);
	talk_say(&stage.talk, "GET /file HTTP/1.1\r\n\r\n");
	net_wait(stage.loop, stage_all_closed, NULL);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.set.counters.timed_out, 1);
	assert_true(stage.span_sent > 0 && stage.span_sent < FILE_LEN);
}

/* Whoever has had his share of a pass has not stalled, however long ago the
 * socket was full.  Unprivileged, the buffer is small, and it is. */
static void
test_share_is_no_stall(void **state)
{
	int large = 8 << 20;
	uint64_t due;

	stage.set.limits.request_ms = 100;
	talk_end(&stage.talk);
	stage_open(&stage.talk);
	talk_say(&stage.talk, "GET /later HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	setsockopt(TAILQ_FIRST(&stage.set.rest.busy)->fd, SOL_SOCKET,
		SO_SNDBUFFORCE, &large, sizeof(large));
	due = TAILQ_FIRST(&stage.set.rest.busy)->due_ms;
	while (loop_now_ms() <= due + 1)
		;
	answer_file(f.waiting, 0, FILE_LEN);
	expect_whole(&stage.talk, FILE_HEAD);
}

/* A service has its own time-outs. */
static void
test_service_is_slow(void **state)
{
	struct http_answer a = {.status = 200};
	static struct talk t;

	stage.set.limits.stall_ms = 20;
	stage.set.limits.request_ms = 20;
	stage.set.limits.idle_ms = 300;
	stage_open(&t);
	talk_say(&t, "GET /later HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&t);
	/* 20 ms of somebody else have passed for sure */
	talk_end(&stage.talk);
	stage_open(&stage.talk);
	talk_expect_end(&stage.talk);
	talk_expect_nothing(&t);
	http_conn_answer(f.waiting, &a);
	talk_expect(&t, OK_EMPTY);
	talk_end(&t);
}

/* The other side's end. */

static void
test_half_close(void **state)
{
	struct http_answer a = {.status = 200};

	talk_say(&stage.talk,
		"GET /later HTTP/1.1\r\n\r\nGET /file HTTP/1.1\r\n\r\n");
	talk_finish(&stage.talk);
	talk_expect_nothing(&stage.talk);
	http_conn_answer(f.waiting, &a);
	talk_expect(&stage.talk, OK_EMPTY);
	expect_whole(&stage.talk, FILE_HEAD);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.whole, 2);
	assert_int_equal(stage.set.counters.broken, 0);
}

static void
test_end_in_request(void **state)
{
	talk_say(
		&stage.talk, "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab");
	talk_finish(&stage.talk);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.handled, 0);
	assert_int_equal(stage.set.counters.broken, 1);
}

static void
test_gone_in_answer(void **state)
{
	static struct talk t;

	stage_open(&t);
	talk_listen(&t, false);
	talk_say(&t, "GET /file HTTP/1.1\r\n\r\n");
	talk_settle(stage.loop);
	talk_end(&t);
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.set.counters.broken, 1);
}

static void
test_closed_with_service(void **state)
{
	talk_say(&stage.talk, "GET /later HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	assert_non_null(f.waiting);
	http_conn_set_close(&stage.set);
	assert_int_equal(stage.cut, 1);
	assert_null(f.waiting);
}

/* The buffer is small again when a large request is over. */
static void
test_buffer_shrinks(void **state)
{
	size_t cap = TAILQ_FIRST(&stage.set.idle)->in.cap;

	say_head(&stage.talk, HTTP_HEAD_MAX);
	talk_expect(&stage.talk, OK_EMPTY);
	assert_int_equal(TAILQ_FIRST(&stage.set.idle)->in.cap, cap);
}

static int
scenario(void *arg)
{
	int fds[2];
	static struct talk t;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (http_conn_new(&stage.set, fds[0], NULL, NULL) != 0) {
		close(fds[1]);
		return -ENOMEM;
	}
	t = (struct talk){.fd = fds[1]};
	say_head(&t, HTTP_HEAD_MAX);
	talk_settle(stage.loop);
	/* answered, or closed for want of memory */
	if (TAILQ_NEXT(TAILQ_FIRST(&stage.set.idle), link) != NULL)
		assert_true(stage.handled == stage.whole + stage.cut &&
			stage.whole > 0);
	close(fds[1]);
	talk_settle(stage.loop);
	return 0;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(scenario, NULL) >= 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_refused),
		TEST(test_nul),
		TEST(test_long_head),
		TEST(test_pipelined),
		TEST(test_later),
		TEST(test_abort),
		TEST(test_spans),
		TEST(test_fair),
		TEST(test_file_too_short),
		TEST(test_continue),
		TEST(test_linger),
		TEST(test_linger_ends),
		TEST(test_many_chunks),
		TEST(test_odd_chunks),
		TEST(test_slow_head),
		TEST(test_slow_bytes),
		TEST(test_idle),
		TEST(test_stall),
		TEST(test_share_is_no_stall),
		TEST(test_service_is_slow),
		TEST(test_half_close),
		TEST(test_end_in_request),
		TEST(test_gone_in_answer),
		TEST(test_closed_with_service),
		TEST(test_buffer_shrinks),
		TEST(test_no_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

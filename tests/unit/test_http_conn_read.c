/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service sees of a request's head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

#include "common/buf.h"
#include "common/macros.h"
#include "tests/unit/http_stage.h"
#include "tests/unit/net_peer.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define LAST "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define BAD \
	"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n" \
	"Connection: close\r\n\r\n"

static struct {
	struct buf headers; /* "[name|value]" each */
	bool old;
} f;

static void
add_header(void *ctx, const char *name, size_t name_len, const char *value,
	size_t len)
{
	assert_ptr_equal(ctx, &f.headers);
	buf_printf(ctx, "[%.*s|%.*s]", (int)name_len, name, (int)len, value);
}

static void
look(struct http_conn *c)
{
	struct http_answer a = {.status = 200};

	buf_reset(&f.headers);
	http_conn_each_header(c, add_header, &f.headers);
	buf_append(&f.headers, "", 1);
	assert_int_equal(buf_error(&f.headers), 0);
	f.old = http_conn_is_old(c);
	http_conn_answer(c, &a);
}

static int
setup(void **state)
{
	memset(&f, 0, sizeof(f));
	buf_init(&f.headers, 1 << 20);
	stage_setup(state);
	stage.handle = look;
	return 0;
}

static int
teardown(void **state)
{
	buf_done(&f.headers);
	return stage_teardown(state);
}

static void
say_in_pieces(struct talk *t, const char *text, size_t piece)
{
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += piece) {
		talk_send(t, text + at, MIN_OF(piece, len - at));
		talk_settle(stage.loop);
	}
}

static const struct {
	const char *lines;
	const char *headers;
} heads[] = {
	{"", ""},
	{"A: b\r\n", "[A|b]"},
	{"A:b\r\nA: c\r\na:  d \t \r\n", "[A|b][A|c][a|d]"},
	{"Host: x:80\r\nAccept-Encoding: gzip, peerdist;q=1\r\n"
	 "X-P2P-PeerDist: Version=1.1\r\n",
		"[Host|x:80][Accept-Encoding|gzip, peerdist;q=1]"
		"[X-P2P-PeerDist|Version=1.1]"},
	/* empty values */
	{"A:\r\nB: \t\r\nC:\r\n", "[A|][B|][C|]"},
	{"A:\r\n", "[A|]"},
	/* colons and blanks in values */
	{"A::b: c\r\nB: c d  e\r\n", "[A|:b: c][B|c d  e]"},
	/* lines without CR */
	{"A: b\nC: d\r\nE:\nF:\n", "[A|b][C|d][E|][F|]"},
	/* what the body says is none */
	{"Content-Length: 7\r\n\r\nX: y\r\n", NULL},
};

static void
test_each_header(void **state)
{
	static const size_t pieces[] = {1, 3, 1000};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			char text[512];

			snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n%s\r\n",
				heads[i].headers != NULL ? "GET" : "POST",
				heads[i].lines);
			say_in_pieces(&stage.talk, text, pieces[k]);
			talk_expect(&stage.talk, OK);
			assert_string_equal(f.headers.data,
				heads[i].headers != NULL
					? heads[i].headers
					: "[Content-Length|7]");
		}
	}
}

/* The next request's are not this one's, although they are in the buffer. */
static void
test_pipelined(void **state)
{
	talk_say(&stage.talk,
		"GET /1 HTTP/1.1\r\nA: 1\r\n\r\n"
		"GET /2 HTTP/1.1\r\nA: 2\r\n\r\n"
		"GET /3 HTTP/1.1\r\n\r\n"
		"POST /4 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"0\r\nTrailer: x\r\n\r\n");
	for (unsigned i = 0; i < 3; i++)
		talk_expect(&stage.talk, OK);
	talk_expect(&stage.talk, LAST);
	assert_string_equal(f.headers.data, "[Transfer-Encoding|chunked]");
}

/* Values of several lines are what two readers read differently. */
static void
test_folded(void **state)
{
	static const char *const lines[] = {
		"A: b\r\n c\r\n",
		"A: b\r\n\tc\r\n",
		"A: b\n c\r\n",
		"A:\r\n b\r\n",
		"A:\r\n\r\n b\r\n", /* no, the end: the next request */
		"A: \r\n  \t b\r\n",
		"A: b\r\nC: d\r\n   e\r\nF: g\r\n",
		"A: b\r\n Content-Length: 5\r\n",
		"Connection: keep-alive,\r\n close\r\n",
		"Content-Length:\r\n 5\r\n",
		/* a CR that is no end of a line */
		"A:\rXB: c\r\n",
		"A:\rX\r\n",
		"A: b\rC: d\r\n",
		"A: b\r\r\n",
		"A:\r\r\n",
		"A: b\r\n\rX", /* the end, to some */
		"A: b\n\r\r",
	};
	static struct talk t;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		for (size_t piece = 1; piece < 100; piece *= 7) {
			char text[256];

			snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n",
				lines[i]);
			stage_open(&t);
			say_in_pieces(&t, text, piece);
			if (i == 4)
				talk_expect(&t, OK);
			talk_expect(&t, BAD);
			talk_expect_end(&t);
			talk_end(&t);
		}
	}
}

/* Nor is a body that looks like such a line refused, nor what is before a
 * trailer. */
static void
test_body_is_no_line(void **state)
{
	static struct talk t;

	for (size_t piece = 1; piece < 200; piece *= 7) {
		stage_open(&t);
		say_in_pieces(&t,
			"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n"
			"A: b\r\n c",
			piece);
		talk_expect(&t, OK);
		say_in_pieces(&t,
			"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			"4\r\n\n \n\n\r\n0\r\nTrailer: x\r\nA: b\r\n\r\n",
			piece);
		talk_expect(&t, LAST);
		talk_end(&t);
	}
}

static void
test_is_old(void **state)
{
	talk_say(&stage.talk,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	talk_expect(&stage.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		"Connection: keep-alive\r\n\r\n");
	assert_true(f.old);
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk, OK);
	assert_false(f.old);
	talk_say(&stage.talk, "GET / HTTP/1.7\r\n\r\n");
	talk_expect(&stage.talk, OK);
	assert_false(f.old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_header),
		TEST(test_pipelined),
		TEST(test_folded),
		TEST(test_body_is_no_line),
		TEST(test_is_old),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

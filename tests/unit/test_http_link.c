/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/http_env.h"

static void
test_good(void **state)
{
	struct http_env *f = *state;
	struct http_try t;
	char host[64], want[80];

	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	parse_addr_format(host, &f->peer.addr);
	snprintf(want, sizeof(want), "\r\nHost: %s\r\n", host);
	assert_memory_equal(f->peer.head, "POST /some/path HTTP/1.1\r\n", 26);
	assert_non_null(strstr(f->peer.head, want));
	assert_non_null(strstr(f->peer.head, "\r\nContent-Length: 8\r\n"));
	assert_null(strcasestr(f->peer.head, "\r\nExpect"));
	assert_null(strcasestr(f->peer.head, "\r\nAccept-Encoding"));
}

static void
test_connection_is_kept(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
	}
	assert_int_equal(f->peer.accepted, 1);
	assert_int_equal(f->peer.requests, 5);
}

/* The server closed the idle connection just as the next request came. */
static void
test_kept_connection_lost(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.idle_after = 2;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
	}
	assert_int_equal(f->peer.accepted, 3);
}

struct answer_case {
	const char *answer;
	bool close;
	enum http_result result;
	const char *body;
};

static const struct answer_case answer_cases[] = {
	{OK_HEAD "Content-Length: 0\r\n\r\n", false, HTTP_DONE, ""},
	{OK_HEAD "Content-Length: 3\r\n\r\nabc", false, HTTP_DONE, "abc"},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
		 "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: 1\r\n\r\n",
		false, HTTP_DONE, "abcde"},
	{OK_HEAD "\r\nto the end", true, HTTP_DONE, "to the end"},
	{"HTTP/1.0 200 OK\r\n\r\nold", true, HTTP_DONE, "old"},
	{"HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\nx",
		false, HTTP_DONE, "x"},
	{OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
		false, HTTP_DONE, "abc"},
	/* refusals of HTTP */
	{"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", false, HTTP_STATUS,
		NULL},
	{"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone", false,
		HTTP_STATUS, NULL},
	{"HTTP/1.1 500 Oh\r\nContent-Length: 99999\r\n\r\nonly the start",
		false, HTTP_STATUS, NULL},
	{"HTTP/1.1 500 Oh\r\n\r\n", true, HTTP_STATUS, NULL},
	{"HTTP/1.1 204 No Content\r\n\r\n", false, HTTP_STATUS, NULL},
	{"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc", false,
		HTTP_STATUS, NULL},
	{"HTTP/1.1 302 Elsewhere\r\nLocation: http://127.0.0.1:9/\r\n"
	 "Content-Length: 0\r\n\r\n",
		false, HTTP_STATUS, NULL},
	{"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=x\r\n"
	 "Content-Length: 0\r\n\r\n",
		false, HTTP_STATUS, NULL},
	{"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\n\r\n", false, HTTP_STATUS,
		NULL},
	{"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: "
	 "h2c\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\nx",
		false, HTTP_STATUS, NULL},
	/* lost on the way */
	{OK_HEAD "Content-Length: 4\r\n\r\nabc", true, HTTP_REFUSED, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nab", true,
		HTTP_REFUSED, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", true,
		HTTP_REFUSED, NULL},
	{OK_HEAD "Content-Le", true, HTTP_REFUSED, NULL},
	{"HTTP/1.1 100 Continue\r\n\r\n", true, HTTP_REFUSED, NULL},
	{"\r\n\r\n", true, HTTP_REFUSED, NULL},
	/* not HTTP */
	{"\x16\x03\x01\x02\x01 not even text\r\n\r\n", true, HTTP_GARBAGE,
		NULL},
	{"SSH-2.0-OpenSSH_9.2\r\n", true, HTTP_GARBAGE, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
		false, HTTP_GARBAGE, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
		false, HTTP_GARBAGE, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
		 "fffffffffffffffff\r\nab\r\n0\r\n\r\n",
		false, HTTP_GARBAGE, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
		 "1\r\na\r\n0\r\n\r\n",
		false, HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", false,
		HTTP_GARBAGE, NULL},
	{"HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, HTTP_GARBAGE,
		NULL},
	{"<html>HTTP/0.9 has no headers</html>", true, HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: -3\r\n\r\nabc", true, HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: 99999999999999999999999\r\n\r\nabc", true,
		HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: 18446744073709551614\r\n\r\nabc", true,
		HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: 1844674407370955160\r\n\r\nabc", true,
		HTTP_TOO_BIG, NULL},
	/* too big, known before the body came */
	{OK_HEAD "Content-Length: 1001\r\n\r\n", false, HTTP_TOO_BIG, NULL},
};

static void
check_answers(struct http_env *f)
{
	struct http_try t;

	for (size_t i = 0; i < ARRAY_LEN(answer_cases); i++) {
		const struct answer_case *c = &answer_cases[i];

		f->answer = c->answer;
		f->peer.close_after = c->close;
		if (try_ask(f, &t, 2000) != c->result)
			fail_msg("answer %zu: %d", i, t.http.result);
		if (c->result == HTTP_DONE)
			try_expect(&t, c->body);
	}
}

static void
test_answers(void **state)
{
	check_answers(*state);
}

static void
test_answers_byte_by_byte(void **state)
{
	struct http_env *f = *state;

	f->peer.piece = 1;
	check_answers(f);
}

/* More body than allowed without a length that tells: chunked and to the end of
 * the connection; and exactly as much as allowed. */
static void
test_too_big(void **state)
{
	struct http_env *f = *state;
	struct http_try t;
	struct buf b;
	bool chunked;

	for (int i = 0; i < 4; i++) {
		size_t n = i < 2 ? 1000 : 1001;

		chunked = i % 2 == 0;
		buf_init(&b, 4096);
		buf_printf(&b, OK_HEAD "%s\r\n",
			chunked ? "Transfer-Encoding: chunked\r\n" : "");
		if (chunked)
			buf_printf(&b, "%zx\r\n", n);
		for (size_t k = 0; k < n; k++)
			buf_u8(&b, 'x');
		if (chunked)
			buf_printf(&b, "\r\n0\r\n\r\n");
		buf_u8(&b, 0);
		f->answer = (char *)b.data;
		f->peer.close_after = !chunked;
		assert_int_equal(
			try_ask(f, &t, 2000), i < 2 ? HTTP_DONE : HTTP_TOO_BIG);
		if (i < 2)
			assert_int_equal(t.http.data_len, 1000);
		free(t.http.memory);
		buf_done(&b);
	}
}

/* Headers without end, as lines, as one line, as answers before the answer, as
 * chunk sizes' extensions, as trailers, and as nothing but blank lines. */
static void
test_endless_headers(void **state)
{
	static const char chunked[] =
		OK_HEAD "Transfer-Encoding: chunked\r\n\r\n";
	static const struct {
		const char *head, *start, *more;
	} cases[] = {
		{OK_HEAD, "", "X-A: 12345678\r\n"},
		{OK_HEAD, "", "x"},
		{"", "", "HTTP/1.1 100 Continue\r\n\r\n"},
		{chunked, "5;", "x"},
		{chunked, "0\r\n", "X-A: 12345678\r\n"},
		{"", "", "\r\n"},
	};
	struct http_env *f = *state;
	struct http_try t;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_init(&b, 1 << 20);
		buf_printf(&b, "%s%s", cases[i].head, cases[i].start);
		while (b.len < 200000)
			buf_printf(&b, "%s", cases[i].more);
		buf_u8(&b, 0);
		f->answer = (char *)b.data;
		if (try_ask(f, &t, 2000) != HTTP_TOO_BIG)
			fail_msg("case %zu: %d", i, t.http.result);
		buf_done(&b);
	}
}

static void
test_closed_without_answer(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.close_at_once = true;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
	f->peer.reset = true;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
}

/* Cut at every byte of the answer, by an end and by a reset. */
static void
test_cut_anywhere(void **state)
{
	static const char answer[] = OK_HEAD "Content-Length: 4\r\n\r\nabcd";
	struct http_env *f = *state;
	struct http_try t;

	f->answer = answer;
	for (size_t n = 1; n < 2 * sizeof(answer) - 2; n++) {
		f->peer.reset = n >= sizeof(answer) - 1;
		f->peer.cut = 1 + (n - 1) % (sizeof(answer) - 2);
		if (try_ask(f, &t, 2000) != HTTP_REFUSED)
			fail_msg("cut after %zu: %d", n, t.http.result);
	}
}

/* An answer after which the connection may not be used again, though it is
 * good. */
static void
test_connection_is_not_kept(void **state)
{
	static const char *const answers[] = {
		OK_HEAD "Connection: close\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
		/* more than was told */
		OK_HEAD "Content-Length: 1\r\n\r\nxy",
		OK_HEAD "Content-Length: 1\r\n\r\nx" OK_HEAD
			"Content-Length: 1\r\n\r\ny",
	};
	struct http_env *f = *state;
	struct http_try t;

	for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
		f->answer = answers[i];
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "x");
		net_wait(f->loop, http_env_nobody_connected, f);
		assert_int_equal(f->peer.accepted, i + 1);
	}
}

/* ... and refusals after which it may. */
static void
test_connection_is_kept_after_refusal(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone",
		("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "1\r\nx\r\n0\r\n\r\n"),
		"HTTP/1.1 204 Nothing\r\n\r\n",
	};
	struct http_env *f = *state;
	struct http_try t;

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		f->answer = answers[i];
		assert_int_equal(try_ask(f, &t, 2000), HTTP_STATUS);
	}
	f->answer = NULL;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	assert_int_equal(f->peer.accepted, 1);
}

/* What a peer says unasked is not the answer to the next question. */
static void
test_unasked(void **state)
{
	static const char answer[] = OK_HEAD "Content-Length: 1\r\n\r\nx";
	struct http_env *f = *state;
	struct http_try t;

	f->answer = OK_HEAD "Content-Length: 1\r\n\r\nx" OK_HEAD
			    "Content-Length: 1\r\n\r\ny";
	f->peer.piece = sizeof(answer) - 1;
	f->peer.delay_ms = 5;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "x");
	assert_int_equal(f->peer.open, 1);
	net_wait(f->loop, http_env_nobody_connected, f);
	f->answer = NULL;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	assert_int_equal(f->peer.accepted, 2);
}

/* A request is asked twice at most, and only if nothing came and the connection
 * was not new. */
static void
test_kept_connection_lost_again(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	for (int i = 0; i < 2; i++) {
		f->peer.reset = i > 0;
		f->peer.close_from = 0;
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
		f->peer.accepted = 1;
		f->peer.close_from = 1;
		assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
		assert_int_equal(f->peer.accepted, 2);
		assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
		assert_int_equal(f->peer.accepted, 3);
	}
	f->peer.close_from = 0;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	f->peer.cut = 1;
	assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
	assert_int_equal(f->peer.accepted, 4);
}

/* The second time has what is left of the time. */
static void
test_kept_connection_lost_in_time(void **state)
{
	struct http_env *f = *state;
	uint64_t start_ms;
	struct http_try t;

	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	f->peer.idle_after = 2;
	f->peer.silent = true;
	start_ms = loop_now_ms();
	assert_int_equal(try_ask(f, &t, 100), HTTP_TIMEOUT);
	assert_true(loop_now_ms() < start_ms + 2000);
	assert_int_equal(f->peer.accepted, 2);
}

/* Cancelled while it is asked for the second time. */
static void
test_kept_connection_lost_cancel(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	f->peer.idle_after = 2;
	f->peer.silent = true;
	f->peer.requests = 0;
	try_init(f, &t, 2000);
	try_start(&t);
	net_wait(f->loop, http_env_has_requests, f);
	try_cancel(&t);
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, http_env_nobody_connected, f);
}

enum framing { FRAMING_LENGTH, FRAMING_CHUNKS, FRAMING_END };

static void
build_large(struct buf *b, size_t header, enum framing framing, size_t body)
{
	size_t i = 0;

	buf_printf(b, OK_HEAD "X: %0*d\r\n", (int)header, 1);
	if (framing == FRAMING_LENGTH)
		buf_printf(b, "Content-Length: %zu\r\n", body);
	if (framing == FRAMING_CHUNKS)
		buf_printf(b, "Transfer-Encoding: chunked\r\n");
	buf_printf(b, "\r\n");
	while (i < body) {
		size_t n = MIN_OF(body - i, 1 + i % 3000);

		if (framing == FRAMING_CHUNKS)
			buf_printf(b, "%zx\r\n", n);
		for (size_t end = i + n; i < end; i++)
			buf_u8(b, (uint8_t)(i * 7 >> 3));
		if (framing == FRAMING_CHUNKS)
			buf_printf(b, "\r\n");
	}
	if (framing == FRAMING_CHUNKS)
		buf_printf(b, "0\r\n\r\n");
	assert_int_equal(buf_error(b), 0);
}

static void
check_large(struct http_env *f, size_t header, enum framing framing)
{
	static const size_t pieces[] = {0, 1447, 9000, 60001};
	const size_t body = 66000;
	struct http_try t;
	struct buf b;

	buf_init(&b, 1 << 20);
	build_large(&b, header, framing, body);
	f->answer = (char *)b.data;
	f->answer_len = b.len;
	f->peer.close_after = framing == FRAMING_END;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		f->peer.piece = pieces[i];
		try_init(f, &t, 4000);
		t.http.max_response = body;
		try_start(&t);
		try_wait(&t);
		assert_int_equal(t.http.result, HTTP_DONE);
		assert_int_equal(t.http.data_len, body);
		for (size_t k = 0; k < body; k++)
			if (t.http.data[k] != (uint8_t)(k * 7 >> 3))
				fail_msg("byte %zu", k);
		assert_true(t.http.data >= t.http.memory);
		free(t.http.memory);
	}
	buf_done(&b);
}

/* Headers up to about what is allowed, behind which a body of the greatest
 * length follows, however it is framed and cut. */
static void
test_large(void **state)
{
	static const size_t headers[] = {1, 1500, 1900, 2100, 30000};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		for (int k = FRAMING_LENGTH; k <= FRAMING_END; k++)
			check_large(*state, headers[i], (enum framing)k);
}

/* ... and a small one behind it on the same connection, which is not waited for
 * as if it were large. */
static void
test_small_after_large(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	for (int i = 0; i < 3; i++) {
		check_large(f, 1, FRAMING_LENGTH);
		f->answer = NULL;
		f->peer.piece = 0;
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
	}
	assert_int_equal(f->peer.accepted, 1);
}

/* A large body that stops in the middle is waited for, not longer. */
static void
test_large_stops(void **state)
{
	struct http_env *f = *state;
	struct http_try t;
	struct buf b;

	buf_init(&b, 1 << 20);
	build_large(&b, 1, FRAMING_LENGTH, 66000);
	f->answer = (char *)b.data;
	for (int i = 0; i < 2; i++) {
		/* 50 KB of it; then the end, or nothing */
		f->answer_len = i == 0 ? b.len : 50000;
		f->peer.cut = i == 0 ? 50000 : 0;
		try_init(f, &t, i == 0 ? 4000 : 80);
		t.http.max_response = 66000;
		try_start(&t);
		try_wait(&t);
		assert_int_equal(
			t.http.result, i == 0 ? HTTP_REFUSED : HTTP_TIMEOUT);
	}
	buf_done(&b);
}

/* A question larger than what the connection takes at once. */
static void
test_large_question(void **state)
{
	const size_t len = 12u << 20;
	struct http_env *f = *state;
	uint8_t *body = calloc(1, len);
	struct http_try t;

	assert_non_null(body);
	f->answer = OK_HEAD "Content-Length: 1\r\n\r\nx";
	for (int i = 0; i < 3; i++) {
		/* answered when it was taken, before, and not at all */
		f->peer.early = i == 1;
		f->peer.deaf = i == 2;
		try_init(f, &t, i == 2 ? 50 : 4000);
		t.http.body = body;
		t.http.body_len = len;
		try_start(&t);
		try_wait(&t);
		if (i == 2)
			assert_int_equal(t.http.result, HTTP_TIMEOUT);
		else
			try_expect(&t, "x");
	}
	/* the first is kept, the second, which took only a part, is not */
	assert_int_equal(f->peer.accepted, 2);
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_good),
		HTTP_TEST(test_connection_is_kept),
		HTTP_TEST(test_kept_connection_lost),
		HTTP_TEST(test_answers),
		HTTP_TEST(test_answers_byte_by_byte),
		HTTP_TEST(test_too_big),
		HTTP_TEST(test_endless_headers),
		HTTP_TEST(test_closed_without_answer),
		HTTP_TEST(test_cut_anywhere),
		HTTP_TEST(test_connection_is_not_kept),
		HTTP_TEST(test_connection_is_kept_after_refusal),
		HTTP_TEST(test_unasked),
		HTTP_TEST(test_kept_connection_lost_again),
		HTTP_TEST(test_kept_connection_lost_in_time),
		HTTP_TEST(test_kept_connection_lost_cancel),
		HTTP_TEST(test_large),
		HTTP_TEST(test_small_after_large),
		HTTP_TEST(test_large_stops),
		HTTP_TEST(test_large_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers: parts, lengths, and what has no body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/http_stage.h"
#include "tests/unit/net_peer.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define GIB      (UINT64_C(1) << 30)

/* What the service answers. */
static struct http_answer answer;

static void
give_answer(struct http_conn *c)
{
	http_conn_answer(c, &answer);
}

static int
setup(void **state)
{
	stage_setup(state);
	stage.handle = give_answer;
	answer = (struct http_answer){.status = 200, .fd = stage.file};
	return 0;
}

/* Parts of every kind: with and without a head and a span. */
static const struct http_part parts[] = {
	{"\r\n--a\r\n", 7, 0, 10},
	{"", 0, 100000, 70000},
	{"\r\n--b\r\n", 7, STAGE_FILE_LEN - 3, 3},
	{NULL, 0, 0, 0},
	{"only a head", 11, 7, 0},
	{"\r\n--c\r\n", 7, 0, STAGE_FILE_LEN},
	{"", 0, 5, 0},
	{"\r\n--end", 7, 0, 0},
};

static void
expect_part(struct talk *t, const struct http_part *part)
{
	talk_expect_bytes(t, part->head, part->head_len);
	talk_expect_bytes(t, stage.memory + part->offset, part->span);
}

static uint64_t
parts_len(void)
{
	uint64_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		len += parts[i].head_len + parts[i].span;
	return len;
}

static void
expect_head(struct talk *t, uint64_t len)
{
	char head[128];

	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
		(unsigned long long)len);
	talk_expect(t, head);
}

static void
expect_parts(struct talk *t)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		expect_part(t, &parts[i]);
}

/* Without a first span, with one, and with one in memory. */
static void
test_parts(void **state)
{
	static const char memory[] = "from memory";

	answer.parts = parts;
	answer.n_parts = ARRAY_LEN(parts);
	talk_say(&stage.talk, "GET /1 HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, parts_len());
	expect_parts(&stage.talk);
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.span_sent, 70013 + STAGE_FILE_LEN);
	answer.head = "head";
	answer.head_len = 4;
	answer.offset = 1000;
	answer.span = 200000;
	talk_say(&stage.talk, "GET /2 HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, parts_len() + 200004);
	talk_expect(&stage.talk, "head");
	talk_expect_bytes(&stage.talk, stage.memory + 1000, 200000);
	expect_parts(&stage.talk);
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.span_sent, 270013 + STAGE_FILE_LEN);
	answer.bytes = memory;
	answer.span = sizeof(memory) - 1;
	talk_say(&stage.talk, "GET /3 HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, parts_len() + 4 + sizeof(memory) - 1);
	talk_expect(&stage.talk, "headfrom memory");
	expect_parts(&stage.talk);
	/* the last answer's parts are not this one's */
	answer = (struct http_answer){.status = 200};
	talk_say(&stage.talk, "GET /4 HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk, OK_EMPTY);
	talk_expect_nothing(&stage.talk);
	assert_int_equal(stage.span_sent, 0);
	assert_int_equal(stage.whole, 4);
	/* nobody could say what is cold, so nobody was asked */
	assert_int_equal(stage.looks, 0);
}

static void
give_up(struct http_conn *c)
{
	http_conn_abort(c);
}

/* What has left is of this answer only, be it that there is none. */
static void
test_parts_before(void **state)
{
	answer.parts = parts;
	answer.n_parts = 2;
	talk_say(&stage.talk, "GET /1 HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 70017);
	expect_part(&stage.talk, &parts[0]);
	expect_part(&stage.talk, &parts[1]);
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.span_sent, 70010);
	stage.handle = give_up;
	talk_say(&stage.talk, "GET /2 HTTP/1.1\r\n\r\n");
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.span_sent, 0);
}

/* Most of the time the socket is full, in heads and in spans. */
static void
test_parts_slowly(void **state)
{
	static char heads[8][100000];
	static struct http_part many[8];
	struct talk *t = &stage.talk;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		memset(heads[i], 'a' + (int)i, sizeof(heads[i]));
		many[i] = (struct http_part){
			heads[i], sizeof(heads[i]), 12345 * i, 300000 + i};
		n += sizeof(heads[i]) + 300000 + i;
	}
	answer.parts = many;
	answer.n_parts = ARRAY_LEN(many);
	talk_listen(t, false);
	talk_say(t, "GET / HTTP/1.1\r\n\r\n");
	while (t->in.len < n) {
		uint8_t bytes[7000];
		ssize_t got;

		talk_settle(stage.loop);
		got = recv(t->fd, bytes, sizeof(bytes), 0);
		assert_true(got > 0);
		buf_append(&t->in, bytes, (size_t)got);
		assert_int_equal(stage.whole, 0);
		if (t->in.len > n / 2)
			break;
	}
	talk_listen(t, true);
	expect_head(t, n);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		expect_part(t, &many[i]);
	net_wait(stage.loop, stage_all_ended, NULL);
}

/* Whoever gets many large parts does not hold up the others. */
static void
test_parts_fair(void **state)
{
	static struct talk t;

	stage_open(&t);
	answer.parts = parts;
	answer.n_parts = ARRAY_LEN(parts);
	talk_say(&stage.talk, "GET /1 HTTP/1.1\r\n\r\n");
	talk_await(&stage.talk, 1);
	answer = (struct http_answer){.status = 200};
	talk_say(&t, "GET /2 HTTP/1.1\r\n\r\n");
	talk_expect(&t, OK_EMPTY);
	assert_true(stage.talk.in.len < parts_len());
	talk_await(&stage.talk, parts_len());
	talk_end(&t);
}

/* Left in the middle of a part: what has left of all of them is known. */
static void
test_parts_cut(void **state)
{
	static const struct http_part beyond[] = {
		{"x", 1, 0, 1000},
		{"y", 1, STAGE_FILE_LEN - 100, 200},
		{"z", 1, 0, 1000},
	};

	answer.parts = beyond;
	answer.n_parts = ARRAY_LEN(beyond);
	answer.span = 50;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 50 + 1000 + 200 + 1000 + 3);
	talk_expect_bytes(&stage.talk, stage.memory, 50);
	expect_part(&stage.talk, &beyond[0]);
	talk_expect(&stage.talk, "y");
	talk_await(&stage.talk, 100);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.span_sent, 50 + 1000 + 100);
	assert_int_equal(stage.set.counters.broken, 1);
}

/* The same length as for GET, and nothing of the body. */
static void
test_head(void **state)
{
	answer.type = "a/b";
	answer.head = "head";
	answer.head_len = 4;
	answer.span = 1000;
	answer.parts = parts;
	answer.n_parts = ARRAY_LEN(parts);
	for (unsigned i = 0; i < 2; i++) {
		char want[128];

		talk_say(&stage.talk, "HEAD / HTTP/1.1\r\n\r\n");
		snprintf(want, sizeof(want),
			"HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n"
			"Content-Type: a/b\r\n\r\n",
			(unsigned long long)parts_len() + 1004);
		talk_expect(&stage.talk, want);
	}
	talk_expect_nothing(&stage.talk);
	assert_int_equal(stage.whole, 2);
	assert_int_equal(stage.span_sent, 0);
	answer = (struct http_answer){.status = 200, .bytes = parts, .span = 9};
	talk_say(&stage.talk, "HEAD / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 9);
	talk_expect_nothing(&stage.talk);
}

/* No body and no length, whatever the service gives. */
static void
test_bodiless(void **state)
{
	static const char *const heads[] = {
		"HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
	};
	static struct talk t;

	answer.fields = "ETag: \"a\"\r\n";
	answer.head = "head";
	answer.head_len = 4;
	answer.span = 1000;
	answer.parts = parts;
	answer.n_parts = ARRAY_LEN(parts);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		answer.status = i == 0 ? 204 : 304;
		talk_say(&stage.talk,
			"GET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n");
		talk_expect(&stage.talk, heads[i]);
		talk_expect(&stage.talk, heads[i]);
		talk_expect_nothing(&stage.talk);
	}
	assert_int_equal(stage.whole, 4);
	assert_int_equal(stage.span_sent, 0);
	/* old clients know where it ends, too */
	stage_open(&t);
	answer.fields = NULL;
	talk_say(&t, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	talk_expect(&t,
		"HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n");
	talk_say(&t, "GET / HTTP/1.0\r\n\r\n");
	talk_expect(
		&t, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
	talk_expect_end(&t);
	talk_end(&t);
}

/* A file with holes: bytes before its end. */
static int
large_file(uint64_t len)
{
	int fd = memfd_create("large", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(pwrite(fd, "the end", 7, (off_t)len - 7), 7);
	return fd;
}

/* Numbers that need more than 32 bits, as offset, length and sum.  As if most
 * of it had left already. */
static void
test_large(void **state)
{
	const struct http_part last[] = {
		{"|", 1, 5 * GIB - 3, 3}, {"|", 1, 5 * GIB - 7, 7}};
	int fd = large_file(5 * GIB);
	uint64_t left = 4000000;
	struct http_conn *c = TAILQ_FIRST(&stage.set.idle);
	const uint8_t *got;
	uint64_t jump;
	size_t sent;

	answer.fd = fd;
	answer.span = 5 * GIB;
	answer.parts = last;
	answer.n_parts = ARRAY_LEN(last);
	talk_say(&stage.talk, "HEAD / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 5 * GIB + 12);
	talk_listen(&stage.talk, false);
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	talk_settle(stage.loop);
	sent = c->out.span_sent;
	assert_true(sent > 0 && sent < 1 << 20);
	jump = 5 * GIB - left - sent;
	c->out.span_sent += jump;
	talk_listen(&stage.talk, true);
	expect_head(&stage.talk, 5 * GIB + 12);
	got = talk_await(&stage.talk, sent + left);
	for (size_t i = 0; i < sent + left - 7; i++)
		assert_int_equal(got[i], 0);
	assert_memory_equal(got + sent + left - 7, "the end", 7);
	talk_expect(&stage.talk, "|end|the end");
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.whole, 2);
	assert_int_equal(stage.span_sent, 5 * GIB + 10);
	close(fd);
}

/* Its head is the only memory that an answer takes. */
static int
scenario(void *arg)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	uint64_t left = 128 + parts_len();
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (http_conn_new(&stage.set, fds[0], NULL, NULL) != 0) {
		close(fds[1]);
		return -ENOMEM;
	}
	assert_int_equal(send(fds[1], request, sizeof(request) - 1, 0),
		sizeof(request) - 1);
	for (;;) {
		static uint8_t bytes[1 << 20];
		ssize_t n;

		talk_settle(stage.loop);
		n = recv(fds[1], bytes, sizeof(bytes), 0);
		if (n <= 0)
			break;
		left -= (uint64_t)n;
	}
	close(fds[1]);
	talk_settle(stage.loop);
	assert_int_equal(stage.set.n_conns, 1);
	/* nothing, or all */
	assert_true(left == 128 + parts_len() || left < 128);
	return 0;
}

static void
test_no_memory(void **state)
{
	answer.parts = parts;
	answer.n_parts = ARRAY_LEN(parts);
	assert_true(failalloc_each(scenario, NULL) >= 3);
	assert_int_equal(stage.handled, stage.whole + stage.cut);
	assert_true(stage.whole > 0 && stage.cut > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, stage_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts),
		TEST(test_parts_before),
		TEST(test_parts_slowly),
		TEST(test_parts_fair),
		TEST(test_parts_cut),
		TEST(test_head),
		TEST(test_bodiless),
		TEST(test_large),
		TEST(test_no_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

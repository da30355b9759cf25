/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers from files that are not in memory. */
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
#include "daemon/net/warm.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/http_stage.h"
#include "tests/unit/net_peer.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct {
	struct http_answer answer;
	/* what is to be read */
	struct http_conn *cold;
	uint64_t at;
	uint64_t len;
	unsigned asked;
	/* at once, from inside the call */
	bool warm_now;
	bool abort_now;
} f;

static void
give_answer(struct http_conn *c)
{
	http_conn_answer(c, &f.answer);
}

static void
on_cold(void *ctx, struct http_conn *c, uint64_t at, uint64_t len)
{
	assert_ptr_equal(http_conn_user(c), &stage);
	assert_null(f.cold);
	assert_true(len > 0 && len <= WARM_WINDOW);
	f.asked++;
	f.at = at;
	f.len = len;
	if (f.warm_now)
		http_conn_warmed(c, NULL, 0);
	else if (f.abort_now)
		http_conn_abort(c);
	else
		f.cold = c;
	net_wait_check();
}

static void
on_ended(struct http_conn *c)
{
	if (f.cold == c)
		f.cold = NULL;
}

static int
setup(void **state)
{
	stage_setup(state);
	memset(&f, 0, sizeof(f));
	stage.handle = give_answer;
	stage.ended = on_ended;
	stage.service.cold = on_cold;
	stage.cold_from = 0;
	f.answer = (struct http_answer){.status = 200,
		.fd = stage.file,
		.head = "head",
		.head_len = 4,
		.span = STAGE_FILE_LEN};
	return 0;
}

static bool
is_waiting(void *arg)
{
	return f.cold != NULL;
}

/* It was asked for this, and only for this. */
static void
expect_asked(uint64_t at, uint64_t len)
{
	net_wait(stage.loop, is_waiting, NULL);
	assert_int_equal(f.at, at);
	assert_int_equal(f.len, len);
	assert_int_equal(f.cold->state, HTTP_CONN_COLD);
}

static void
warmed(void)
{
	http_conn_warmed(TAKE_PTR(f.cold), NULL, 0);
}

static void
expect_head(struct talk *t, uint64_t len)
{
	char head[128];

	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\nhead",
		(unsigned long long)len);
	talk_expect(t, head);
}

/* Window by window; the head waits with the first one. */
static void
test_windows(void **state)
{
	uint64_t at = 1000;

	f.answer.offset = at;
	f.answer.span = STAGE_FILE_LEN - at;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(at, WARM_WINDOW);
	talk_expect_nothing(&stage.talk);
	warmed();
	assert_int_equal(
		http_conn_span_sent(TAILQ_FIRST(&stage.set.rest.busy)), 0);
	expect_head(&stage.talk, f.answer.span + 4);
	for (unsigned i = 1; i < 16; i++) {
		talk_expect_bytes(&stage.talk, stage.memory + at, WARM_WINDOW);
		at += WARM_WINDOW;
		expect_asked(at, MIN_OF(WARM_WINDOW, STAGE_FILE_LEN - at));
		talk_expect_nothing(&stage.talk);
		warmed();
	}
	talk_expect_bytes(&stage.talk, stage.memory + at, STAGE_FILE_LEN - at);
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(f.asked, 16);
	assert_int_equal(stage.whole, 1);
	/* one glance each was enough */
	assert_int_equal(stage.looks, 16);
}

static void
test_warm(void **state)
{
	stage.cold_from = UINT64_MAX;
	f.answer.span = 65576;
	f.answer.offset = 12345;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 65580);
	talk_expect_bytes(&stage.talk, stage.memory + 12345, 65576);
	/* a block costs no more than its first and its last page */
	assert_int_equal(stage.looks, 2);
	stage.looks = 0;
	f.answer.offset = 0;
	f.answer.span = STAGE_FILE_LEN;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, STAGE_FILE_LEN);
	assert_int_equal(f.asked, 0);
	/* how often the share of a pass ends in a window may vary */
	assert_true(stage.looks >= 16 * 9 && stage.looks <= 32 * 9);
}

/* A file that is in memory up to some place. */
static void
test_half_warm(void **state)
{
	uint64_t at;

	stage.cold_from = 5 << 20 | 12345;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	net_wait(stage.loop, is_waiting, NULL);
	at = f.at;
	assert_true(
		at <= stage.cold_from && at + WARM_WINDOW > stage.cold_from);
	assert_int_equal(f.len, WARM_WINDOW);
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, at);
	talk_expect_nothing(&stage.talk);
	assert_int_equal(http_conn_span_sent(f.cold), at);
	stage.cold_from = UINT64_MAX;
	warmed();
	talk_expect_bytes(&stage.talk, stage.memory + at, STAGE_FILE_LEN - at);
	assert_int_equal(f.asked, 1);
}

/* A file system that may stall is never asked on the loop. */
static void
test_slow_is_cold(void **state)
{
	size_t windows = (STAGE_FILE_LEN + WARM_WINDOW - 1) / WARM_WINDOW;

	stage.cold_from = UINT64_MAX;
	f.answer.slow = true;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	for (size_t i = 0; i < windows; i++) {
		net_wait(stage.loop, is_waiting, NULL);
		assert_int_equal(f.at, i * WARM_WINDOW);
		warmed();
	}
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, STAGE_FILE_LEN);
	assert_int_equal(f.asked, windows);
	assert_int_equal(stage.looks, 0);
}

/* What the service brings is sent as it is, and no more than that: of the file
 * itself, which has other bytes, nothing. */
static void
test_brought(void **state)
{
	static uint8_t mine[WARM_WINDOW];
	size_t lens[] = {1, 70000, WARM_WINDOW, 5};
	uint64_t at = 0;

	f.answer.slow = true;
	f.answer.span = 1 + 70000 + WARM_WINDOW + 5 + 1000;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		net_wait(stage.loop, is_waiting, NULL);
		assert_int_equal(f.at, at);
		memset(mine, (int)i + 'a', sizeof(mine));
		http_conn_warmed(TAKE_PTR(f.cold), mine, lens[i]);
		if (i == 0)
			expect_head(&stage.talk, f.answer.span + 4);
		talk_expect_bytes(&stage.talk, mine, lens[i]);
		at += lens[i];
	}
	/* the file again, as if nothing had been */
	net_wait(stage.loop, is_waiting, NULL);
	assert_int_equal(f.at, at);
	warmed();
	talk_expect_bytes(&stage.talk, stage.memory + at, 1000);
}

/* What is not sent from a file is not looked at. */
static void
test_not_of_a_file(void **state)
{
	f.answer.bytes = stage.memory;
	f.answer.span = 100000;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 100004);
	talk_expect_bytes(&stage.talk, stage.memory, 100000);
	f.answer.bytes = NULL;
	talk_say(&stage.talk, "HEAD / HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 100004\r\n\r\n");
	f.answer.status = 304;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk, "HTTP/1.1 304 Not Modified\r\n\r\n");
	f.answer.status = 200;
	f.answer.span = 0;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, 4);
	talk_say(&stage.talk, "GET /-none HTTP/1.1\r\n\r\n");
	talk_expect(&stage.talk,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(stage.looks, 0);
	assert_int_equal(f.asked, 0);
}

/* Services that cannot have it read have it sent all the same. */
static void
test_nobody_reads(void **state)
{
	stage.service.cold = NULL;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, STAGE_FILE_LEN);
	assert_int_equal(stage.looks, 0);
}

/* Each part is looked at before its own head; what is there already (here the
 * same bytes again) need not be. */
static void
test_parts(void **state)
{
	static const struct http_part parts[] = {
		{"one", 3, 5000, 1000},
		{"two", 3, 5500, 100},
		{"three", 5, 4000, 2 << 20},
		{"four", 4, 0, 0},
	};
	const uint8_t *bytes = stage.memory;

	f.answer.parts = parts;
	f.answer.n_parts = ARRAY_LEN(parts);
	f.answer.offset = 9000;
	f.answer.span = 1;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(9000, 1);
	warmed();
	expect_head(&stage.talk, 4 + 1 + 1000 + 100 + (2 << 20) + 15);
	talk_expect_bytes(&stage.talk, bytes + 9000, 1);
	expect_asked(5000, 1000);
	talk_expect_nothing(&stage.talk);
	assert_int_equal(http_conn_span_sent(f.cold), 1);
	warmed();
	talk_expect(&stage.talk, "one");
	talk_expect_bytes(&stage.talk, bytes + 5000, 1000);
	talk_expect(&stage.talk, "two");
	talk_expect_bytes(&stage.talk, bytes + 5500, 100);
	expect_asked(4000, WARM_WINDOW);
	talk_expect_nothing(&stage.talk);
	assert_int_equal(http_conn_span_sent(f.cold), 1101);
	warmed();
	talk_expect(&stage.talk, "three");
	talk_expect_bytes(&stage.talk, bytes + 4000, WARM_WINDOW);
	expect_asked(4000 + WARM_WINDOW, WARM_WINDOW);
	warmed();
	talk_expect_bytes(&stage.talk, bytes + 4000 + WARM_WINDOW, WARM_WINDOW);
	talk_expect(&stage.talk, "four");
	talk_expect_nothing(&stage.talk);
	assert_int_equal(f.asked, 4);
	assert_int_equal(stage.span_sent, 1101 + (2 << 20));
}

/* Requests behind it wait, and do not wake the loop. */
static void
test_pipelined(void **state)
{
	struct http_conn *c;

	f.answer.span = 1000;
	talk_say(&stage.talk, "GET /1 HTTP/1.1\r\n\r\n");
	expect_asked(0, 1000);
	c = f.cold;
	talk_say(&stage.talk, "GET /2 HTTP/1.1\r\n\r\n");
	talk_expect_nothing(&stage.talk);
	assert_int_equal(stage.handled, 1);
	assert_false(c->reading);
	warmed();
	expect_head(&stage.talk, 1004);
	talk_expect_bytes(&stage.talk, stage.memory, 1000);
	/* nobody knows whether it is still the same file */
	expect_asked(0, 1000);
	warmed();
	expect_head(&stage.talk, 1004);
	talk_expect_bytes(&stage.talk, stage.memory, 1000);
	talk_expect_nothing(&stage.talk);
	assert_true(c->reading);
}

/* The service may know at once. */
static void
test_at_once(void **state)
{
	static struct talk t;

	f.warm_now = true;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, STAGE_FILE_LEN);
	assert_int_equal(f.asked, 16);
	f.warm_now = false;
	f.abort_now = true;
	stage_open(&t);
	talk_say(&t, "GET / HTTP/1.1\r\n\r\n");
	talk_expect_end(&t);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.span_sent, 0);
	talk_end(&t);
}

/* What cannot be read is what sendfile() reports. */
static void
test_read_fails(void **state)
{
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	f.cold->out.fd = -1;
	warmed();
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.set.counters.broken, 1);
	assert_int_equal(f.asked, 1);
}

/* Cut off meanwhile: the client gets what is left, and the end. */
static void
test_file_shrinks(void **state)
{
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	assert_int_equal(ftruncate(stage.file, 100), 0);
	warmed();
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, 100);
	talk_expect_end(&stage.talk);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.span_sent, 100);
}

/* The client leaves: found out when the bytes are there. */
static void
test_client_leaves(void **state)
{
	static struct talk t;

	stage_open(&t);
	talk_say(&t, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	talk_end(&t);
	talk_settle(stage.loop);
	assert_int_equal(stage.cut, 0);
	warmed();
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.set.counters.broken, 1);
}

/* It can be freed at any time; the service is told then, not later. */
static void
test_closed(void **state)
{
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	http_conn_set_close(&stage.set);
	assert_int_equal(stage.cut, 1);
	assert_null(f.cold);
	talk_expect_end(&stage.talk);
	talk_settle(stage.loop);
	assert_int_equal(f.asked, 1);
}

/* Given up by the service, whose worker is ready before the end comes. */
static void
test_abort(void **state)
{
	static struct talk t;

	for (unsigned i = 0; i < 2; i++) {
		stage_open(&t);
		talk_say(&t, "GET / HTTP/1.1\r\n\r\n");
		expect_asked(0, WARM_WINDOW);
		if (i == 0) {
			http_conn_abort(f.cold);
			assert_int_equal(stage.cut, 0);
			warmed();
		} else {
			http_conn_warmed(f.cold, NULL, 0);
			http_conn_abort(f.cold);
		}
		assert_int_equal(stage.cut, i);
		talk_expect_end(&t);
		assert_int_equal(stage.cut, i + 1);
		assert_int_equal(stage.span_sent, 0);
		talk_end(&t);
	}
}

/* A disk that takes its time is no client that has stalled; who stalls
 * afterwards is. */
static void
test_time(void **state)
{
	static struct talk t;

	stage.set.limits.stall_ms = 20;
	stage.set.limits.request_ms = 20;
	stage.set.limits.idle_ms = 300;
	stage_open(&t);
	talk_listen(&t, false);
	talk_say(&t, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	/* some times 20 ms of somebody else */
	for (unsigned i = 0; i < 3; i++) {
		talk_end(&stage.talk);
		stage_open(&stage.talk);
		talk_expect_end(&stage.talk);
	}
	assert_int_equal(stage.cut, 0);
	assert_non_null(f.cold);
	warmed();
	net_wait(stage.loop, stage_all_ended, NULL);
	assert_int_equal(stage.cut, 1);
	assert_int_equal(stage.set.counters.timed_out, 1);
	assert_true(stage.span_sent > 0);
	talk_end(&t);
}

/* Blocked in the first window, cold at the second: room in the socket does not
 * wake the loop. */
static void
test_after_full(void **state)
{
	struct http_conn *c;
	uint64_t sent;

	talk_listen(&stage.talk, false);
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	expect_asked(0, WARM_WINDOW);
	c = f.cold;
	warmed();
	talk_settle(stage.loop);
	assert_true(c->writing);
	sent = http_conn_span_sent(c);
	assert_true(sent > 0 && sent < WARM_WINDOW);
	talk_listen(&stage.talk, true);
	expect_asked(WARM_WINDOW, WARM_WINDOW);
	assert_false(c->writing);
	expect_head(&stage.talk, STAGE_FILE_LEN + 4);
	talk_expect_bytes(&stage.talk, stage.memory, WARM_WINDOW);
	assert_int_equal(f.asked, 2);
}

/* What was looked at long ago may have left the memory. */
static void
test_cools(void **state)
{
	struct http_conn *c = TAILQ_FIRST(&stage.set.idle);
	uint64_t sent;

	stage.cold_from = UINT64_MAX;
	f.answer.span = WARM_WINDOW;
	talk_listen(&stage.talk, false);
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	talk_settle(stage.loop);
	assert_int_equal(stage.looks, 9);
	assert_true(c->writing);
	sent = http_conn_span_sent(c);
	assert_true(sent > 0 && sent < WARM_WINDOW);
	stage.cold_from = 0;
	c->full_ms -= 2000;
	talk_listen(&stage.talk, true);
	expect_asked(sent, WARM_WINDOW - sent);
	expect_head(&stage.talk, WARM_WINDOW + 4);
	talk_expect_bytes(&stage.talk, stage.memory, sent);
	talk_expect_nothing(&stage.talk);
	warmed();
	talk_expect_bytes(&stage.talk, stage.memory + sent, WARM_WINDOW - sent);
	/* not long ago: taken to be there */
	talk_listen(&stage.talk, false);
	stage.cold_from = UINT64_MAX;
	talk_say(&stage.talk, "GET / HTTP/1.1\r\n\r\n");
	talk_settle(stage.loop);
	assert_true(c->writing);
	stage.cold_from = 0;
	talk_listen(&stage.talk, true);
	expect_head(&stage.talk, WARM_WINDOW + 4);
	talk_expect_bytes(&stage.talk, stage.memory, WARM_WINDOW);
	assert_int_equal(f.asked, 1);
}

/* Pipelined answers use up the share of a pass, so what is left of it gets
 * small: read are whole windows all the same. */
static void
test_windows_are_whole(void **state)
{
	stage.cold_from = 600000;
	f.answer.span = 600000;
	talk_say(&stage.talk,
		"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
		"GET /3 HTTP/1.1\r\n\r\n");
	for (unsigned i = 0; i < 3; i++) {
		expect_head(&stage.talk, 600004);
		talk_expect_bytes(&stage.talk, stage.memory, 600000);
	}
	assert_int_equal(f.asked, 0);
	stage.cold_from = 0;
	f.warm_now = true;
	talk_say(&stage.talk,
		"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
		"GET /3 HTTP/1.1\r\n\r\n");
	for (unsigned i = 0; i < 3; i++) {
		expect_head(&stage.talk, 600004);
		talk_expect_bytes(&stage.talk, stage.memory, 600000);
	}
	assert_int_equal(f.asked, 3);
	assert_int_equal(f.len, 600000);
}

/* Memory is short, and the disk slow. */
static int
scenario(void *arg)
{
	static const char request[] = "GET / HTTP/1.1\r\n\r\n";
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (http_conn_new(&stage.set, fds[0], NULL, NULL) != 0) {
		close(fds[1]);
		return -ENOMEM;
	}
	assert_int_equal(send(fds[1], request, sizeof(request) - 1, 0),
		sizeof(request) - 1);
	talk_settle(stage.loop);
	close(fds[1]);
	if (f.cold != NULL)
		warmed();
	talk_settle(stage.loop);
	assert_int_equal(stage.set.n_conns, 1);
	return 0;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(scenario, NULL) >= 3);
	assert_true(f.asked > 0);
	assert_int_equal(stage.handled, stage.cut);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, stage_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_windows),
		TEST(test_warm),
		TEST(test_half_warm),
		TEST(test_slow_is_cold),
		TEST(test_brought),
		TEST(test_not_of_a_file),
		TEST(test_nobody_reads),
		TEST(test_parts),
		TEST(test_pipelined),
		TEST(test_at_once),
		TEST(test_read_fails),
		TEST(test_file_shrinks),
		TEST(test_client_leaves),
		TEST(test_closed),
		TEST(test_abort),
		TEST(test_time),
		TEST(test_after_full),
		TEST(test_cools),
		TEST(test_windows_are_whole),
		TEST(test_no_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* A root on a file system that may stall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/net_peer.h"
#include "tests/unit/web_site.h"

#define SOON_MS   30
#define BIG       300000u
#define WINDOW    (128u << 10)
#define N_WINDOWS 8u

static char stamp[SITE_STAMP_TEXT];

/* Where somebody's server may not answer, nothing is done on the loop: neither
 * opening, nor reading, nor closing. */
static void
test_slow_root(void **state)
{
	web_site_text("a", "x");
	web_site_stamp("a", stamp);
	web_site_stall();
	for (unsigned i = 1; i < 4; i++) {
		web_site_get("/a", "");
		web_site_expect_head(
			"200 OK", 1, "application/octet-stream", stamp);
		talk_expect(&site.talk, "x");
		talk_settle(site.loop);
		assert_int_equal(site.opened, 3 * i);
		assert_int_equal(site.opened_slow, 3 * i);
	}
}

/* What was read is what is sent, whatever the file system would say of it
 * now. */
static void
test_slow_bytes(void **state)
{
	char fields[512];

	web_site_big("big", 300000);
	web_site_stamp("big", stamp);
	snprintf(fields, sizeof(fields), "%s%s", stamp, SITE_VARY);
	web_site_stall();
	site.by_hand = true;
	web_site_get("/big", "");
	web_site_await_job(); /* open */
	web_site_do_job();
	web_site_await_job(); /* read */
	web_site_do_job();
	assert_int_equal(truncate(web_site_path("big"), 200000), 0);
	web_site_expect_head(
		"200 OK", 300000, "application/octet-stream", fields);
	web_site_expect_bytes(0, 128 << 10);
	web_site_await_job();
	web_site_do_job();
	web_site_expect_bytes(128 << 10, 200000 - (128 << 10));
	web_site_await_job(); /* nothing is there any more */
	web_site_do_job();
	talk_expect_end(&site.talk);
	web_site_await_job(); /* close */
	web_site_do_job();
	assert_int_equal(site.opened, 5);
	assert_int_equal(site.opened_slow, 5);
}

/* A file that came when nobody wanted it any more is closed by a worker. */
static void
test_slow_gone(void **state)
{
	web_site_text("a", "x");
	web_site_stall();
	site.by_hand = true;
	web_site_get("/a", "");
	web_site_await_job();
	http_server_close_all(site.server);
	web_site_do_job();
	assert_false(service_idle(site.service));
	assert_int_equal(site.n_jobs, 1);
	assert_true(site.jobs[0]->slow);
	web_site_do_job();
	assert_true(service_idle(site.service));
}

/* From now on it does not answer unless told to. */
static void
stall(void)
{
	web_site_stall();
	site.by_hand = true;
}

/* Nor is it waited for, in what is begun from now on.  Not before that is what
 * a test waits for, which may take a while to come there itself. */
static void
lose_patience(void)
{
	site.patience_ms = SOON_MS;
	web_site_stall();
}

static void
regain_patience(void)
{
	site.patience_ms = 0;
	web_site_stall();
}

static void
expect_given_up(void)
{
	web_site_expect_head("503 Service Unavailable", 24, "text/plain",
		SITE_DATE "Retry-After: 30\r\n");
	talk_expect(&site.talk, "503 Service Unavailable\n");
}

static void
expect_stalled(unsigned n)
{
	assert_int_equal(web_counters(site.web)->stalled, n);
}

/* The connection goes on; what was begun comes home when nobody wants it any
 * more, and what was not is not begun. */
static void
test_no_open(void **state)
{
	web_site_text("a", "x");
	web_site_stamp("a", stamp);
	stall();
	lose_patience();
	for (unsigned i = 1; i < 5; i++) {
		web_site_get("/a", "");
		expect_given_up();
		expect_stalled(i);
		assert_int_equal(site.opened, i);
		assert_int_equal(site.cancels, i);
		talk_settle(site.loop);
		assert_int_equal(site.n_jobs, 1);
	}
	assert_false(service_idle(site.service));
	web_site_do_job(); /* open */
	web_site_do_job(); /* close */
	assert_true(service_idle(site.service));
	regain_patience();
	site.by_hand = false;
	web_site_get("/a", "");
	web_site_expect_head("200 OK", 1, "application/octet-stream", stamp);
	talk_expect(&site.talk, "x");
	expect_stalled(4);
}

/* Nothing of the answer has left yet, so that it can be another one. */
static void
test_no_first_byte(void **state)
{
	web_site_big("big", BIG);
	stall();
	web_site_get("/big", "Range: bytes=0-9,20-29\r\n");
	web_site_await_job();
	web_site_do_job();
	lose_patience();
	web_site_await_job();
	expect_given_up();
	expect_stalled(1);
	web_site_do_job(); /* read, and then close */
	web_site_do_job();
	assert_true(service_idle(site.service));
	regain_patience();
	web_site_get("/none", "");
	web_site_await_job();
	web_site_do_job();
	web_site_expect_error(404, "Not Found");
}

static void
test_no_further_byte(void **state)
{
	char fields[512];

	web_site_big("big", BIG);
	web_site_stamp("big", stamp);
	snprintf(fields, sizeof(fields), "%s%s", stamp, SITE_VARY);
	stall();
	web_site_get("/big", "");
	web_site_await_job();
	web_site_do_job();
	web_site_await_job();
	lose_patience();
	web_site_do_job();
	web_site_expect_head("200 OK", BIG, "application/octet-stream", fields);
	web_site_expect_bytes(0, WINDOW);
	talk_expect_end(&site.talk);
	expect_stalled(1);
	assert_int_equal(web_counters(site.web)->plain_bytes, WINDOW);
	assert_int_equal(site.n_jobs, 1);
	web_site_do_job();
	web_site_do_job();
	assert_true(service_idle(site.service));
}

/* Whether it is the same file still. */
static void
test_no_second_look(void **state)
{
	web_site_big("big", BIG);
	stall();
	site.hashes = HASHED_LATER;
	site.then = HASHED_OK;
	site.info = "info";
	site.version = 1;
	web_site_get("/big",
		"Accept-Encoding: peerdist\r\n"
		"X-P2P-PeerDist: Version=1.0\r\n");
	web_site_await_job();
	web_site_do_job();
	web_site_await_ask();
	lose_patience();
	web_site_answer_ask();
	assert_int_equal(site.n_jobs, 1);
	assert_int_equal(site.lent, 1);
	expect_given_up();
	web_site_do_job();
	assert_int_equal(site.lent, 0);
	web_site_do_job();
	assert_true(service_idle(site.service));
}

/* Each time anew: all of it may take longer than that. */
static void
test_patience_begins_again(void **state)
{
	uint64_t began = loop_now_ms();
	char fields[512];

	web_site_big("big", N_WINDOWS * WINDOW);
	web_site_stamp("big", stamp);
	snprintf(fields, sizeof(fields), "%s%s", stamp, SITE_VARY);
	site.patience_ms = 2500;
	web_site_stall();
	site.by_hand = true;
	web_site_get("/big", "");
	web_site_await_job();
	web_site_do_job();
	for (unsigned i = 0; i < N_WINDOWS; i++) {
		uint64_t until = began + 350 * (i + 1);

		web_site_await_job();
		while (loop_now_ms() < until)
			talk_settle(site.loop);
		web_site_do_job();
		if (i == 0)
			web_site_expect_head("200 OK", N_WINDOWS * WINDOW,
				"application/octet-stream", fields);
		web_site_expect_bytes(i * WINDOW, WINDOW);
	}
	expect_stalled(0);
}

/* As which the workers take turns. */
static void
test_place(void **state)
{
	struct stat st;
	unsigned n;

	web_site_text("a", "x");
	assert_int_equal(stat(web_site_path("a"), &st), 0);
	stall();
	web_site_get("/a", "");
	for (n = 0; n < 3; n++) {
		web_site_await_job();
		assert_true(site.jobs[0]->slow);
		assert_int_equal(site.jobs[0]->uid, ENV_PLACE(st.st_dev));
		web_site_do_job();
	}
	talk_expect(&site.talk, "HTTP/1.1 200 OK\r\n");
	talk_await(&site.talk, 100);
}

/* Whoever goes takes what waits for its turn along. */
static void
test_gone_while_waiting(void **state)
{
	struct talk t;

	web_site_text("a", "x");
	stall();
	web_site_get("/a", "");
	web_site_await_job();
	for (unsigned i = 0; i < 3; i++) {
		talk_connect(&t, site.loop, site.port);
		talk_say(&t, "GET /a HTTP/1.0\r\n\r\n");
		talk_settle(site.loop);
		assert_int_equal(site.n_jobs, 2);
		http_server_close_all(site.server);
		talk_settle(site.loop);
		talk_end(&t);
		assert_int_equal(site.n_jobs, 1);
	}
	expect_stalled(0);
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, web_site_setup, web_site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slow_root),
		TEST(test_slow_bytes),
		TEST(test_slow_gone),
		TEST(test_no_open),
		TEST(test_no_first_byte),
		TEST(test_no_further_byte),
		TEST(test_no_second_look),
		TEST(test_patience_begins_again),
		TEST(test_place),
		TEST(test_gone_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

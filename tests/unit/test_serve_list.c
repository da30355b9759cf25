/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of segments; lists of blocks are in test_serve.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/macros.h"
#include "tests/unit/net_peer.h"
#include "tests/unit/serve_site.h"

static void
test_seglist(void **state)
{
	/* the worked example, with both held: 1,600 s now, born at 1,000 and
	 * at 500 */
	site_ask(&site.talk,
		"00000002000000060000007000000000"
		"101112131415161718191a1b1c1d1e1f"
		"0000000200000020" ID_V1 "00000020" ID_V2 "00000000");
	site_expect(&site.talk,
		"0000003c00000002000000070000003c00000000"
		"101112131415161718191a1b1c1d1e1f"
		"000000010000000000000002"
		"0000000c"
		"00010302"
		"0060ea00"
		"01b0ad01");
	/* the second of them only: ages count from there */
	site_ask(&site.talk,
		"00000002000000060000007000000000"
		"101112131415161718191a1b1c1d1e1f"
		"0000000200000020" ID_NO "00000020" ID_V1 "00000000");
	site_expect(&site.talk,
		"00000038000000020000000700000038"
		"00000000101112131415161718191a1b1c1d1e1f"
		"000000010000000100000001"
		"00000008"
		"00010301"
		"0060ea00");
	assert_int_equal(service_counters(site.service)->uploads, 2);
}

/* A request with n ids, those held whose position holds(). */
static void
ask_segments(struct talk *t, uint32_t n, bool (*holds)(uint32_t))
{
	struct buf b;
	uint8_t id[32];

	buf_init(&b, PCCRR_REQUEST_MAX);
	buf_be32(&b, 2);
	buf_be32(&b, 6);
	buf_be32(&b, 40 + 36 * n);
	buf_be32(&b, 0);
	buf_zero(&b, 16);
	buf_be32(&b, n);
	for (uint32_t i = 0; i < n; i++) {
		site_unhex(holds(i) ? ID_V1 : ID_NO, id);
		buf_be32(&b, 32);
		buf_append(&b, id, 32);
	}
	buf_be32(&b, 0);
	assert_int_equal(buf_error(&b), 0);
	site_ask_bytes(t, b.data, b.len);
	buf_done(&b);
}

static bool
hold_odd(uint32_t i)
{
	return i % 2 == 1;
}

/* All that a message has room for, looked up over many passes. */
static void
test_many_segments(void **state)
{
	const uint32_t n = PCCRR_SEGMENTS_MAX;
	const size_t size = 36 + 8 * (n / 2) + 4 + 4 + 4 * 128;
	struct pccrr_age ages[256];
	struct pccrr_seglist m;
	const uint8_t *got;

	ask_segments(&site.talk, n, hold_odd);
	site_expect_head(&site.talk, 4 + size);
	got = talk_await(&site.talk, 4 + size);
	assert_int_equal(pccrr_parse_seglist(&m, got, 4 + size), 0);
	assert_int_equal(m.n_ranges, n / 2);
	for (size_t i = 0; i < m.n_ranges; i++) {
		assert_int_equal(pccrr_seglist_range(&m, i).index, 2 * i + 1);
		assert_int_equal(pccrr_seglist_range(&m, i).count, 1);
	}
	/* as far as one byte counts */
	assert_int_equal(pccrr_parse_ages(ages, 256, m.blob, m.blob_len), 128);
	assert_int_equal(ages[127].index, 254);
	assert_int_equal(ages[127].ds, 6000);
	assert_int_equal(service_counters(site.service)->uploads, 1);
}

static void
close_all(struct loop_deferred *d)
{
	assert_int_equal(uploads_running(service_uploads(site.service)), 1);
	http_server_close_all(site.server);
}

static void
time_is_over(struct loop_deferred *d)
{
	site_pass(PASSED_MS);
}

/* In the middle of that the connection ends, or the time is over. */
static void
test_segments_given_up(void **state)
{
	static struct talk t;

	site.between.fn = close_all;
	ask_segments(&site.talk, PCCRR_SEGMENTS_MAX, hold_odd);
	talk_expect_end(&site.talk);
	assert_true(site.looked_up < 1000);
	site.looked_up = 0;
	site.between.fn = time_is_over;
	talk_connect(&t, site.loop, site.port);
	ask_segments(&t, PCCRR_SEGMENTS_MAX, hold_odd);
	talk_expect_end(&t);
	talk_end(&t);
	assert_true(site.looked_up < 1000);
	assert_int_equal(service_counters(site.service)->uploads, 2);
	assert_int_equal(service_counters(site.service)->uploads_given_up, 1);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_seglist),
		TEST(test_many_segments),
		TEST(test_segments_given_up),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The retrieval server as other hosts meet it: literal requests, literal
 * answers. */
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
#include "tests/unit/failalloc.h"
#include "tests/unit/net_peer.h"
#include "tests/unit/serve_site.h"

static bool
nothing_lent(void *arg)
{
	return site.lent == 0;
}

static bool
has_job(void *arg)
{
	return site.n_jobs > 0;
}

/* What is on the wire when iPXE asks, to the byte: no Content-Type. */
static void
test_ipxe(void **state)
{
	talk_say(&site.talk,
		"POST /116B50EB-ECE2-41AC-8429-9F9E963361B7/ HTTP/1.1\r\n"
		"Connection: keep-alive\r\n"
		"Host: 192.0.2.1\r\n"
		"Content-Length: 68\r\n"
		"User-Agent: iPXE/1.21.1+\r\n\r\n");
	talk_send(&site.talk,
		"\0\0\0\1\0\0\0\3\0\0\0\x44\0\0\0\1\0\0\0\x20"
		"\x37\x21\xf9\x52\x3a\x53\x45\xb9\x97\xcc\x1a\xbf"
		"\x15\xfb\xb1\xf0\x93\x49\xe4\x60\x7c\xc1\x37\xdd"
		"\x12\x63\x20\xfc\x48\x35\xc5\xb6"
		"\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0",
		68);
	talk_expect(&site.talk,
		"HTTP/1.1 200 OK\r\nContent-Length: 140\r\n"
		"Content-Type: application/octet-stream\r\n\r\n");
	talk_expect_bytes(&site.talk,
		"\0\0\0\x88\0\0\0\1\0\0\0\5\0\0\0\x88\0\0\0\1\0\0\0\x20"
		"\x37\x21\xf9\x52\x3a\x53\x45\xb9\x97\xcc\x1a\xbf"
		"\x15\xfb\xb1\xf0\x93\x49\xe4\x60\x7c\xc1\x37\xdd"
		"\x12\x63\x20\xfc\x48\x35\xc5\xb6"
		"\0\0\0\0\0\0\0\1\0\0\0\x30"
		"\x33\x73\x22\x41\x80\x85\x76\x89\xea\x29\x6c\x69"
		"\x29\x6f\xa2\x0d\x97\x26\x84\x39\xd2\xa3\x3e\xb8"
		"\x4f\x11\x7c\x37\xba\xcc\x5d\xde\xf6\xb6\x1f\x3e"
		"\xb3\x7f\xc2\x2b\x2e\x56\x84\x61\x44\x68\x91\x70"
		"\0\0\0\0\0\0\0\x10"
		"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab"
		"\xac\xad\xae\xaf",
		140);
	talk_expect_nothing(&site.talk);
}

static void
test_windows(void **state)
{
	talk_say(&site.talk,
		"POST " PATH " HTTP/1.1\r\n"
		"Connection: Keep-Alive\r\n"
		"Content-Type: application/octet-stream\r\n"
		"User-Agent: Microsoft-WinHTTP\r\n"
		"Content-Length: 72\r\n"
		"Host: 192.0.2.1:80\r\n\r\n");
	talk_settle(site.loop);
	site_expect_hex(&site.talk, "");
	{
		uint8_t body[72];

		site_unhex("00000001000000020000004800000001"
			   "00000020" ID_V1 "00000002"
			   "00000000000000040000000800000002",
			body);
		talk_send(&site.talk, body, sizeof(body));
	}
	/* has 0-2 of what was asked for, and 70 */
	site_expect(&site.talk,
		"00000044000000010000000400000044"
		"0000000000000020" ID_V1 "00000001"
		"000000000000000300000046");
}

static void
test_blocks(void **state)
{
	site_ask(&site.talk, GETBLKS(ID_V1, "00000000"));
	site_expect(&site.talk, BLK0);
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	site_expect_big(&site.talk, "00000001", "00000002");
	site_ask(&site.talk, GETBLKS(ID_V1, "00000002"));
	site_expect_big(&site.talk, "00000002", "00000046");
	site_ask(&site.talk, GETBLKS(ID_V1, "00000046"));
	site_expect_big(&site.talk, "00000046", "00000000");
	assert_int_equal(service_counters(site.service)->uploads, 4);
	assert_int_equal(
		service_counters(site.service)->upload_bytes, 48 + 3 * BIG);
	assert_int_equal(service_counters(site.service)->uploads_empty, 0);
	assert_int_equal(service_counters(site.service)->uploads_given_up, 0);
	assert_int_equal(site.lends, 4);
}

/* As many at once as iPXE opens connections, and one after the other on one. */
static void
test_many(void **state)
{
	static struct talk talks[32];

	for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
		talk_connect(&talks[i], site.loop, site.port);
		site_ask(&talks[i], GETBLKS(ID_V1, "00000001"));
		site_ask(&site.talk, GETBLKS(ID_V1, "00000002"));
	}
	for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
		site_expect_big(&talks[i], "00000001", "00000002");
		site_expect_big(&site.talk, "00000002", "00000046");
		talk_end(&talks[i]);
	}
	assert_int_equal(service_counters(site.service)->uploads, 64);
}

/* Paths */

static void
test_paths(void **state)
{
	static const char *const good[] = {
		PATH,
		"/116B50EB-ECE2-41ac-8429-9F9E963361B7",
		"/116b50eb-ece2-41ac-8429-9f9e963361b7/",
		"/{116B50EB-ECE2-41ac-8429-9F9E963361B7}/",
		"/{116B50EB-ECE2-41AC-8429-9F9E963361B7}",
		"/%7B116B50EB-ECE2-41ac-8429-9F9E963361B7%7d/",
		("http://192.0.2.1:80" PATH),
	};
	static const char *const bad[] = {
		"/",
		"/116B50EB-ECE2-41ac-8429-9F9E963361B7//",
		"//116B50EB-ECE2-41ac-8429-9F9E963361B7/",
		"/116B50EB-ECE2-41ac-8429-9F9E963361B8/",
		"/116B50EB-ECE2-41ac-8429-9F9E963361B7/x",
		"/x116B50EB-ECE2-41ac-8429-9F9E963361B7/",
		"/{116B50EB-ECE2-41ac-8429-9F9E963361B7/",
		"/116B50EB-ECE2-41ac-8429-9F9E963361B7}/",
		"/116B50EBECE241ac84299F9E963361B7/",
		"/0131501b-d67f-491b-9a40-c4bf27bcb4d4",
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		uint8_t body[68];

		snprintf(text, sizeof(text),
			"POST %s HTTP/1.1\r\nContent-Length: 68\r\n\r\n",
			good[i]);
		talk_say(&site.talk, text);
		site_unhex(GETBLKS(ID_V1, "00000000"), body);
		talk_send(&site.talk, body, sizeof(body));
		site_expect(&site.talk, BLK0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text),
			"POST %s HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
			bad[i]);
		talk_say(&site.talk, text);
		talk_expect(&site.talk,
			"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	}
	talk_say(&site.talk, "GET " PATH " HTTP/1.1\r\n\r\n");
	talk_expect(&site.talk,
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Allow: POST\r\n\r\n");
	talk_say(&site.talk, "POST " PATH " HTTP/1.1\r\n\r\n");
	talk_expect(&site.talk,
		"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n");
}

/* The malformed-input matrix. */

#define BAD \
	"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n" \
	"Connection: close\r\n\r\n"

static const struct {
	const char *request;
	const char *answer; /* NULL: 400 and the end */
} matrix[] = {
	/* short, and sizes that are wrong */
	{"", NULL},
	{"00", NULL},
	{"0000000100000003000000440000", NULL},
	{"000000010000000300000045000000010000002"
	 "0" ID_V1 "00000001000000000000000100000000",
		NULL},
	{"0000000100000003000000430000000100000020" ID_V1
	 "00000001000000000000000100000000",
		NULL},
	{GETBLKS(ID_V1, "00000000") "00000000", NULL},
	{"0000000100000003000000480000000100000020" ID_V1
	 "0000000100000000000000010000000000000000",
		NULL},
	{"00000001000000000000001c0000000000000001000000020000"
	 "0000",
		NULL},
	/* types that are none, and those of answers */
	{"000000010000fefe0000001000000000", NULL},
	{"00000001000000080000001000000000", NULL},
	{"0000000100000001000000180000000000000001000"
	 "00002",
		NULL},
	{"00000001000000040000004000000000"
	 "00000020" ID_V1 "000000000000000000000000",
		NULL},
	{"00000001000000050000004800000000"
	 "00000020" ID_V1 "0000000000000000000000000000000000000000",
		NULL},
	{"00000002000000070000002800000000"
	 "00000000000000000000000000000000"
	 "0000000000000000",
		NULL},
	/* a cipher that is none */
	{"0000000100000003000000440000000400000020" ID_V1
	 "00000001000000000000000100000000",
		NULL},
	{"00000001000000030000004400000000"
	 "00000020" ID_NO "00000001000000000000000100000000",
		EMPTY_BLK(ID_NO, "00000000")},
	/* majors: 2 is understood, others are told what is */
	{"0000000200000003000000440000000100000020" ID_NO
	 "00000001000000030000000100000000",
		EMPTY_BLK(ID_NO, "00000003")},
	{"0007000100000003000000440000000100000020" ID_NO
	 "00000001000000030000000100000000",
		EMPTY_BLK(ID_NO, "00000003")},
	{"0000000000000003000000440000000100000020" ID_V1
	 "00000001000000000000000100000000",
		NEGO_RESP},
	{"0000000300000003000000440000000100000020" ID_V1
	 "00000001000000000000000100000000",
		NEGO_RESP},
	{"0000fefe000000020000001000000000", NEGO_RESP},
	{"00000003000000060000001000000000", NEGO_RESP},
	{"0000000300000003000000450000000100000020" ID_V1
	 "00000001000000000000000100000000",
		NULL},
	/* NEGO_REQ: answered with the own range, whatever was asked */
	{"000000010000000000000018000000000000000100000002", NEGO_RESP},
	{"000000010000000000000018000000000000"
	 "0001ffff0001",
		NEGO_RESP},
	{"000000010000000000000018000000010000000700000009", NEGO_RESP},
	{"0000fefe0000000000000018000000000000000100000002", NULL},
	{"000000000000000000000018000000000000000100000002", NULL},
	{"00000001000000000000001400000000"
	 "00000001",
		NULL},
	/* more ranges promised than there are */
	{"00000001000000030000004400000001"
	 "00000020" ID_V1 "0000000a000000000000000100000000",
		NULL},
	{"00000001000000020000004000000001"
	 "00000020" ID_V1 "0000000a0000000000000001",
		NULL},
	{"00000001000000020000004000000001"
	 "00000020" ID_V1 "ffffffff0000000000000001",
		NULL},
	/* no ranges, empty ones, some out of range */
	{"00000001000000020000003800000001"
	 "00000020" ID_V1 "00000000",
		"0000003c00000001000000040000003c"
		"0000000000000020" ID_V1 "0000000000000000"},
	{"00000001000000030000004400000001"
	 "00000020" ID_V1 "00000001000000000000000000000000",
		EMPTY_BLK(ID_V1, "00000000")},
	{"00000001000000030000003c00000001"
	 "00000020" ID_V1 "0000000000000000",
		EMPTY_BLK(ID_V1, "00000000")},
	{"00000001000000030000004400000001"
	 "00000020" ID_V1 "00000001000002000000000100000000",
		EMPTY_BLK(ID_V1, "00000200")},
	{"00000001000000030000004400000001"
	 "00000020" ID_V1 "00000001ffffffffffffffff00000000",
		EMPTY_BLK(ID_V1, "ffffffff")},
	{"00000001000000020000004000000001"
	 "00000020" ID_V1 "0000000100000002ffffffff",
		"0000004c00000001000000040000004c"
		"0000000000000020" ID_V1 "00000002"
		"0000000200000001"
		"0000004600000001"
		"00000000"},
	/* of many blocks the smallest */
	{"00000001000000030000005400000001"
	 "00000020" ID_V1 "00000003"
	 "0000000200000001"
	 "0000000000000001"
	 "0000000100000001"
	 "00000000",
		BLK0},
	{"00000001000000030000004400000001"
	 "00000020" ID_V1 "00000001000000000000020000000000",
		BLK0},
	/* what nobody looks at */
	{"00000001000000030000004700000001"
	 "00000020" ID_V1 "00000001000000000000000100000003"
	 "aabbcc",
		BLK0},
	/* lengths of ids */
	{"00000001000000030000003400000001"
	 "00000010"
	 "00000000000000000000000000000000"
	 "00000001000000000000000100000000",
		NULL},
	{"00000001000000030000004400000001"
	 "ffffffff" ID_V1 "00000001000000000000000100000000",
		NULL},
	{"00000001000000030000005400000001"
	 "00000030" ID_V1 "00000000000000000000000000000000"
	 "00000001000000000000000100000000",
		"00000058000000010000000500000058"
		"0000000000000030" ID_V1 "00000000000000000000000000000000"
		"00000000"
		"00000000000000000000000000000000"},
	/* GETSEGLIST: ids missing, no id, a bad blob */
	{"00000002000000060000004c00000000"
	 "00000000000000000000000000000000"
	 "0000000200000020" ID_V1 "00000000",
		NULL},
	{"00000002000000060000002800000000"
	 "00000000000000000000000000000000"
	 "0000000000000000",
		NULL},
	{"00000002000000060000004e00000000"
	 "00000000000000000000000000000000"
	 "0000000100000020" ID_NO "00000002"
	 "ffff",
		"00000028000000020000000700000028"
		"00000000"
		"00000000000000000000000000000000"
		"0000000000000000"},
	{"00000001000000060000004c00000000"
	 "0102030405060708090a0b0c0d0e0f10"
	 "0000000100000020" ID_NO "00000000",
		"00000028000000020000000700000028"
		"00000000"
		"0102030405060708090a0b0c0d0e0f10"
		"0000000000000000"},
};

static void
test_matrix(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(matrix); i++) {
		static struct talk t;

		talk_connect(&t, site.loop, site.port);
		site_ask(&t, matrix[i].request);
		if (matrix[i].answer != NULL) {
			site_expect(&t, matrix[i].answer);
			site_ask(&t, GETBLKS(ID_V1, "00000000"));
			site_expect(&t, BLK0);
		} else {
			talk_expect(&t, BAD);
			talk_expect_end(&t);
			assert_false(t.reset);
		}
		talk_end(&t);
	}
}

/* Most ranges there can be, one more, and the largest message. */
static void
test_sizes(void **state)
{
	static uint8_t big[PCCRR_REQUEST_MAX + 1];
	static struct talk t;
	struct buf b;

	buf_init(&b, sizeof(big));
	for (uint32_t n = 256; n <= 257; n++) {
		uint8_t id[32];

		buf_reset(&b);
		buf_be32(&b, 1);
		buf_be32(&b, 2);
		buf_be32(&b, 56 + 8 * n);
		buf_be32(&b, 1);
		buf_be32(&b, 32);
		site_unhex(ID_V1, id);
		buf_append(&b, id, 32);
		buf_be32(&b, n);
		for (uint32_t i = 0; i < n; i++) {
			buf_be32(&b, 2 * i);
			buf_be32(&b, 1);
		}
		site_ask_bytes(&site.talk, b.data, b.len);
		if (n == 256)
			site_expect(&site.talk,
				"00000054000000010000000400000054"
				"0000000000000020" ID_V1 "00000003"
				"0000000000000001"
				"0000000200000001"
				"0000004600000001"
				"00000000");
	}
	talk_expect(&site.talk, BAD);
	buf_done(&b);
	/* as large as may be, and nonsense */
	talk_connect(&t, site.loop, site.port);
	site_ask_bytes(&t, big, PCCRR_REQUEST_MAX);
	talk_expect(&t, BAD);
	talk_end(&t);
	talk_connect(&t, site.loop, site.port);
	talk_say(&t, "POST " PATH " HTTP/1.1\r\nContent-Length: 98305\r\n\r\n");
	talk_expect(&t,
		"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n"
		"Connection: close\r\n\r\n");
	talk_end(&t);
}

static void
test_chunked(void **state)
{
	uint8_t body[68];
	char head[256];

	site_unhex(GETBLKS(ID_V1, "00000000"), body);
	talk_say(&site.talk,
		"POST " PATH " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"10\r\n");
	talk_send(&site.talk, body, 16);
	talk_settle(site.loop);
	talk_say(&site.talk, "\r\n34;x\r\n");
	talk_send(&site.talk, body + 16, 52);
	talk_say(&site.talk, "\r\n0\r\n\r\n");
	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n"
		"Content-Type: application/octet-stream\r\n\r\n",
		strlen(BLK0) / 2);
	talk_expect(&site.talk, head);
	site_expect_hex(&site.talk, BLK0);
}

/* Whatever the reason: the same bytes. */

static const char *const questions[] = {
	GETBLKS(ID_V1, "00000001"),
	"00000001000000020000004000000001"
	"00000020" ID_V1 "000000010000000000000200",
	"00000002000000060000004c00000000"
	"00000000000000000000000000000000"
	"0000000100000020" ID_V1 "00000000",
};
static const char *const empties[] = {
	EMPTY_BLK(ID_V1, "00000001"),
	"0000003c00000001000000040000003c"
	"0000000000000020" ID_V1 "0000000000000000",
	"00000028000000020000000700000028"
	"0000000000000000000000000000000000000000"
	"0000000000000000",
};

static void
expect_empties(void)
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		site_ask(&site.talk, questions[i]);
		site_expect(&site.talk, empties[i]);
	}
	/* versions are told all the same */
	site_ask(
		&site.talk, "000000010000000000000018000000000000000100000002");
	site_expect(&site.talk, NEGO_RESP);
	talk_expect_nothing(&site.talk);
}

static void
test_one_emptiness(void **state)
{
	struct parse_addr other;
	struct upload u[2];

	site.nothing = true; /* not held */
	expect_empties();
	site.nothing = false;
	site.settings.policy.mode = MODE_LOCAL;
	site_configure();
	expect_empties();
	site.settings.policy.mode = MODE_DISTRIBUTED;
	service_ready(site.service, false);
	expect_empties();
	service_ready(site.service, true);
	/* all slots are taken */
	site.settings.uploads = 2;
	site_configure();
	for (unsigned i = 0; i < 2; i++) {
		parse_addr_port(i ? "192.0.2.1:1" : "192.0.2.2:1", &other);
		assert_true(upload_begin(
			service_uploads(site.service), &u[i], &other, NULL));
	}
	expect_empties();
	upload_end(&u[0], 0);
	site_ask(&site.talk, GETBLKS(ID_V1, "00000000"));
	site_expect(&site.talk, BLK0);
	upload_end(&u[1], 0);
}

/* Slots: from the request to the last byte. */

/* Leaves unread what it asks for until the socket is full. */
static void
ask_deaf(struct talk *t, unsigned n)
{
	talk_listen(t, false);
	for (unsigned i = 0; i < n; i++)
		site_ask(t, GETBLKS(ID_V1, "00000001"));
	for (unsigned i = 0; i < 100; i++)
		talk_settle(site.loop);
}

static void
test_slow_reader(void **state)
{
	struct uploads *us = service_uploads(site.service);

	ask_deaf(&site.talk, 400);
	assert_int_equal(uploads_running(us), 1);
	assert_int_equal(site.lent, 1);
	site_pass(TIMEOUT_MS);
	talk_settle(site.loop);
	assert_int_equal(uploads_running(us), 1);
	site_pass(1);
	net_wait(site.loop, nothing_lent, NULL);
	assert_int_equal(uploads_running(us), 0);
	assert_int_equal(http_server_conns(site.server), 0);
	assert_int_equal(service_counters(site.service)->uploads_given_up, 1);
}

static void
test_reader_leaves(void **state)
{
	static struct talk t;

	talk_connect(&t, site.loop, site.port);
	ask_deaf(&t, 400);
	assert_int_equal(site.lent, 1);
	talk_reset(&t);
	net_wait(site.loop, nothing_lent, NULL);
	assert_int_equal(service_counters(site.service)->uploads_given_up, 1);
	site_ask(&site.talk, GETBLKS(ID_V1, "00000000"));
	site_expect(&site.talk, BLK0);
}

/* Blocks that are on the disk only */

static void
test_cold(void **state)
{
	site.cold = true;
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	net_wait(site.loop, has_job, NULL);
	talk_expect_nothing(&site.talk);
	site_do_job();
	site_expect_big(&site.talk, "00000001", "00000002");
	/* what is in memory is warm */
	site_ask(&site.talk, GETBLKS(ID_V1, "00000000"));
	site_expect(&site.talk, BLK0);
	assert_int_equal(site.n_jobs, 0);
}

static void
test_cold_and_gone(void **state)
{
	static struct talk t;

	site.cold = true;
	talk_connect(&t, site.loop, site.port);
	site_ask(&t, GETBLKS(ID_V1, "00000001"));
	net_wait(site.loop, has_job, NULL);
	/* the time is over: the connection goes, the loan stays */
	site_pass(PASSED_MS);
	talk_expect_end(&t);
	talk_end(&t);
	assert_int_equal(site.lent, 1);
	site_do_job();
	assert_int_equal(site.lent, 0);
	/* everything is closed while a worker reads */
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	net_wait(site.loop, has_job, NULL);
	http_server_close_all(site.server);
	assert_false(service_idle(site.service));
	site.jobs[0]->done(site.jobs[0], false);
	site.n_jobs = 0;
	assert_true(service_idle(site.service));
}

static void
on_late(struct loop_alarm *a)
{
	net_wait_check();
}

static bool
is_late(void *arg)
{
	const struct loop_alarm *a = arg;

	return !wheel_running(&a->timer);
}

/* A block of which a part has left a second ago is looked at again; the upload
 * ends while a worker reads, and what had left counts. */
static void
test_cold_in_the_middle(void **state)
{
	const struct service_counters *n = service_counters(site.service);
	struct loop_alarm late;

	ask_deaf(&site.talk, 400);
	assert_int_equal(site.lent, 1);
	loop_alarm_init(&late, site.loop, on_late);
	loop_alarm_start(&late, 1100);
	net_wait(site.loop, is_late, &late);
	site.cold = true;
	talk_listen(&site.talk, true);
	net_wait(site.loop, has_job, NULL);
	assert_int_equal(site.lent, 1);
	site_pass(PASSED_MS);
	for (unsigned i = 0; i < 100; i++)
		talk_settle(site.loop);
	assert_int_equal(site.lent, 1);
	assert_int_equal(n->uploads_given_up, 0);
	site_do_job();
	assert_int_equal(site.lent, 0);
	assert_int_equal(n->uploads_given_up, 1);
	assert_int_equal(n->upload_bytes / BIG, n->uploads - 1);
	assert_true(n->upload_bytes % BIG > 0);
}

/* The rate limit delays (real time), or makes the answer an empty one. */
static void
test_rate(void **state)
{
	uint64_t began = loop_now_ms();

	site.settings.upload_rate = 1 << 20;
	site_configure();
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	site_expect_big(&site.talk, "00000001", "00000002");
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	site_expect_big(&site.talk, "00000001", "00000002");
	assert_true(loop_now_ms() - began >= 50);
	site.settings.upload_rate = 1000;
	site_configure();
	site_ask(&site.talk, GETBLKS(ID_V1, "00000002"));
	site_expect_big(&site.talk, "00000002", "00000046");
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	site_expect(&site.talk, EMPTY_BLK(ID_V1, "00000001"));
	assert_int_equal(site.lent, 0);
}

static void
test_rate_and_gone(void **state)
{
	static struct talk t;

	site.settings.upload_rate = 65536;
	site_configure();
	site_ask(&site.talk, GETBLKS(ID_V1, "00000001"));
	site_expect_big(&site.talk, "00000001", "00000002");
	talk_connect(&t, site.loop, site.port);
	site_ask(&t, GETBLKS(ID_V1, "00000001"));
	talk_settle(site.loop);
	assert_int_equal(site.lent, 1);
	site_pass(PASSED_MS);
	talk_expect_end(&t);
	talk_end(&t);
	assert_int_equal(site.lent, 0);
}

/* Any allocation may fail: then the answer is empty, or there is none. */
static int
scenario(void *arg)
{
	static struct talk t;
	static uint8_t text[512];
	char head[128];
	size_t n;

	memset(&t, 0, sizeof(t));
	n = (size_t)snprintf(head, sizeof(head),
		"POST " PATH " HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
		strlen(arg) / 2);
	memcpy(text, head, n);
	site_unhex(arg, text + n);
	talk_connect(&t, site.loop, site.port);
	assert_int_equal(
		send(t.fd, text, n + strlen(arg) / 2, 0), n + strlen(arg) / 2);
	/* its own buffer is not what is tested */
	talk_listen(&t, false);
	for (unsigned i = 0; i < 10; i++)
		talk_settle(site.loop);
	talk_end(&t);
	for (unsigned i = 0; i < 10; i++)
		talk_settle(site.loop);
	assert_int_equal(site.lent, 0);
	assert_int_equal(http_server_conns(site.server), 0);
	/* a fresh one for the next time */
	http_server_close_all(site.server);
	return 0;
}

static void
test_no_memory(void **state)
{
	talk_settle(site.loop);
	http_server_close_all(site.server);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		assert_true(
			failalloc_each(scenario, (void *)questions[i]) >= 3);
	{
		struct http_server *s = http_server_new(site.loop, NULL);
		bool failed;

		failalloc_arm(1);
		assert_null(serve_new(site.loop, site.service, &site.env, s));
		failed = failalloc_disarm();
		assert_true(failed);
		http_server_free(s);
	}
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ipxe),
		TEST(test_windows),
		TEST(test_blocks),
		TEST(test_many),
		TEST(test_paths),
		TEST(test_matrix),
		TEST(test_sizes),
		TEST(test_chunked),
		TEST(test_one_emptiness),
		TEST(test_slow_reader),
		TEST(test_reader_leaves),
		TEST(test_cold),
		TEST(test_cold_and_gone),
		TEST(test_cold_in_the_middle),
		TEST(test_rate),
		TEST(test_rate_and_gone),
		TEST(test_no_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

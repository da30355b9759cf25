/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <sys/resource.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/net/http_client.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_peer.h"

#define MANY 100

struct fixture {
	struct loop *loop;
	struct http_client *client;
	struct net_peer peer;
	const char *answer; /* whole, or NULL: 200 and the request's body */
	unsigned fds;
	bool inside; /* in a call of the client: done may not come */
	unsigned done;
};

struct
try {
	struct http_request http;
	struct fixture *f;
	uint8_t body[8];
	unsigned done;
	struct try *then_start;
	struct try *then_cancel;
};

static void
reply(struct net_peer *peer, const uint8_t *body, size_t len, struct buf *out)
{
	struct fixture *f = peer->ctx;

	if (f->answer != NULL)
		buf_append(out, f->answer, strlen(f->answer));
	else
		net_peer_ok(out, body, len);
}

static const struct http_limits wide = {.per_host = 64, .total = 64};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds = net_count_fds();
	assert_int_equal(loop_new(&f->loop, NULL, NULL), 0);
	f->client = http_client_new(f->loop, &wide);
	assert_non_null(f->client);
	net_peer_start(&f->peer, f->loop);
	f->peer.reply = reply;
	f->peer.ctx = f;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(http_client_free(f->client));
	net_peer_stop(&f->peer);
	loop_free(f->loop);
	assert_int_equal(net_count_fds(), f->fds);
	free(f);
	return 0;
}

static void
set_limits(struct fixture *f, unsigned per_host, unsigned total)
{
	struct http_limits limits = {.per_host = per_host, .total = total};

	http_client_free(f->client);
	f->client = http_client_new(f->loop, &limits);
	assert_non_null(f->client);
}

static void start(struct fixture *, struct try *);
static void cancel(struct fixture *, struct try *);

static void
on_done(struct http_request *http)
{
	struct try *t = container_of(http, struct try, http);

	assert_false(t->f->inside);
	assert_int_equal(t->done, 0); /* exactly once */
	t->done++;
	t->f->done++;
	if (t->then_start != NULL)
		start(t->f, t->then_start);
	if (t->then_cancel != NULL)
		cancel(t->f, t->then_cancel);
	net_wait_check();
}

static void
try_init(struct fixture *f, struct try *t, uint32_t timeout_ms)
{
	memset(t, 0, sizeof(*t));
	t->f = f;
	memcpy(t->body, "question", 8);
	t->http.addr = f->peer.addr;
	t->http.path = "/some/path";
	t->http.body = t->body;
	t->http.body_len = sizeof(t->body);
	t->http.max_response = 1000;
	t->http.timeout_ms = timeout_ms;
	t->http.done = on_done;
	/* garbage in what the client has to set */
	t->http.data = (void *)1;
	t->http.data_len = 1;
	t->http.status = 777;
	t->http.result = _HTTP_RESULT_MAX;
}

static void
start(struct fixture *f, struct try *t)
{
	f->inside = true;
	http_client_start(f->client, &t->http);
	f->inside = false;
}

static void
cancel(struct fixture *f, struct try *t)
{
	f->inside = true;
	http_client_cancel(f->client, &t->http);
	f->inside = false;
}

static bool
is_done(void *ctx)
{
	struct try *t = ctx;

	return t->done > 0;
}

static bool
are_done(void *ctx)
{
	struct fixture *f = ctx;

	return f->done == MANY;
}

static bool
nobody_connected(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.open == 0;
}

static bool
has_requests(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.requests > 0;
}

static bool
has_connections(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.accepted > 0;
}

/* One request from start to done. */
static enum http_result
ask(struct fixture *f, struct try *t, uint32_t timeout_ms)
{
	try_init(f, t, timeout_ms);
	start(f, t);
	net_wait(f->loop, is_done, t);
	if (t->http.result != HTTP_DONE) {
		assert_null(t->http.data);
		assert_int_equal(t->http.data_len, 0);
	}
	return t->http.result;
}

static void
expect_body(struct try *t, const char *body)
{
	assert_int_equal(t->http.result, HTTP_DONE);
	assert_int_equal(t->http.status, 200);
	assert_int_equal(t->http.data_len, strlen(body));
	if (t->http.data_len > 0)
		assert_memory_equal(t->http.data, body, t->http.data_len);
	free(t->http.data);
	t->http.data = NULL;
}

static void
test_good(void **state)
{
	struct fixture *f = *state;
	struct try t;
	char host[64], want[80];

	assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
	expect_body(&t, "question");
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
	struct fixture *f = *state;
	struct try t;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
		expect_body(&t, "question");
	}
	assert_int_equal(f->peer.accepted, 1);
	assert_int_equal(f->peer.requests, 5);
}

/* The server closed the idle connection just as the next request came. */
static void
test_kept_connection_lost(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.idle_after = 2;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
		expect_body(&t, "question");
	}
	assert_int_equal(f->peer.accepted, 3);
}

struct answer_case {
	const char *answer;
	bool close;
	enum http_result result;
	const char *body;
};

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

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
	{"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\n\r\n", true, HTTP_REFUSED,
		NULL},
	/* lost on the way */
	{OK_HEAD "Content-Length: 4\r\n\r\nabc", true, HTTP_REFUSED, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nab", true,
		HTTP_REFUSED, NULL},
	{OK_HEAD "Content-Le", true, HTTP_REFUSED, NULL},
	/* not HTTP */
	{"\x16\x03\x01\x02\x01 not even text\r\n\r\n", true, HTTP_GARBAGE,
		NULL},
	{"SSH-2.0-OpenSSH_9.2\r\n", true, HTTP_GARBAGE, NULL},
	{OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
		false, HTTP_REFUSED, NULL},
	{OK_HEAD "Content-Length: -3\r\n\r\nabc", true, HTTP_GARBAGE, NULL},
	{OK_HEAD "Content-Length: 99999999999999999999999\r\n\r\nabc", true,
		HTTP_TOO_BIG, NULL},
	/* too big, known before the body came */
	{OK_HEAD "Content-Length: 1001\r\n\r\n", false, HTTP_TOO_BIG, NULL},
};

static void
check_answers(struct fixture *f)
{
	struct try t;

	for (size_t i = 0; i < ARRAY_LEN(answer_cases); i++) {
		const struct answer_case *c = &answer_cases[i];

		f->answer = c->answer;
		f->peer.close_after = c->close;
		if (ask(f, &t, 2000) != c->result)
			fail_msg("answer %zu: %d", i, t.http.result);
		if (c->result == HTTP_DONE)
			expect_body(&t, c->body);
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
	struct fixture *f = *state;

	f->peer.piece = 1;
	check_answers(f);
}

/* More body than allowed without a length that tells: chunked and to the end of
 * the connection; and exactly as much as allowed. */
static void
test_too_big(void **state)
{
	struct fixture *f = *state;
	struct try t;
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
			ask(f, &t, 2000), i < 2 ? HTTP_DONE : HTTP_TOO_BIG);
		if (i < 2)
			assert_int_equal(t.http.data_len, 1000);
		free(t.http.data);
		buf_done(&b);
	}
}

/* Headers without end, as lines, as one line (libcurl's own limit, which it
 * calls lack of memory), and as answers before the answer. */
static void
test_endless_headers(void **state)
{
	static const char *const lines[] = {
		"X-A: 12345678\r\n", "x", "HTTP/1.1 100 Continue\r\n\r\n"};
	struct fixture *f = *state;
	struct try t;
	struct buf b;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		buf_init(&b, 1 << 20);
		buf_printf(&b, i < 2 ? OK_HEAD : "");
		for (int k = 0; k < 200000; k += (int)strlen(lines[i]))
			buf_printf(&b, "%s", lines[i]);
		buf_u8(&b, 0);
		f->answer = (char *)b.data;
		assert_int_equal(ask(f, &t, 2000),
			i == 1 ? HTTP_NO_MEMORY : HTTP_TOO_BIG);
		buf_done(&b);
	}
}

static void
test_refused(void **state)
{
	struct fixture *f = *state;
	struct try t;

	net_peer_stop(&f->peer);
	assert_int_equal(ask(f, &t, 2000), HTTP_REFUSED);
	assert_int_equal(t.http.status, 0);
}

static void
test_closed_without_answer(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.close_at_once = true;
	assert_int_equal(ask(f, &t, 2000), HTTP_REFUSED);
	f->peer.reset = true;
	assert_int_equal(ask(f, &t, 2000), HTTP_REFUSED);
}

/* Cut at every byte of the answer. */
static void
test_cut_anywhere(void **state)
{
	static const char answer[] = OK_HEAD "Content-Length: 4\r\n\r\nabcd";
	struct fixture *f = *state;
	struct try t;

	f->answer = answer;
	for (size_t n = 1; n < sizeof(answer) - 1; n++) {
		f->peer.cut = n;
		if (ask(f, &t, 2000) != HTTP_REFUSED)
			fail_msg("cut after %zu: %d", n, t.http.result);
	}
}

static void
test_timeout(void **state)
{
	struct fixture *f = *state;
	struct try t;
	uint64_t start_ms = loop_now_ms();

	f->peer.silent = true;
	assert_int_equal(ask(f, &t, 60), HTTP_TIMEOUT);
	assert_true(loop_now_ms() >= start_ms + 50);
	assert_true(loop_now_ms() < start_ms + 2000);
	/* the connection is of no use any more */
	net_wait(f->loop, nobody_connected, f);
}

static void
test_timeout_deaf(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.deaf = true;
	assert_int_equal(ask(f, &t, 60), HTTP_TIMEOUT);
	assert_int_equal(ask(f, &t, 0), HTTP_TIMEOUT);
}

/* It is the whole answer that must come in time, not some byte of it. */
static void
test_timeout_slow(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.piece = 1;
	f->peer.delay_ms = 10;
	assert_int_equal(ask(f, &t, 100), HTTP_TIMEOUT);
	assert_true(f->peer.requests == 1);
	net_wait(f->loop, nobody_connected, f);
}

/* The time runs while a request waits for its turn. */
static void
test_timeout_waiting(void **state)
{
	struct fixture *f = *state;
	struct try first, second;

	set_limits(f, 1, 1);
	f->peer.silent = true;
	try_init(f, &first, 5000);
	try_init(f, &second, 60);
	start(f, &first);
	start(f, &second);
	net_wait(f->loop, is_done, &second);
	assert_int_equal(second.http.result, HTTP_TIMEOUT);
	assert_int_equal(first.done, 0);
	assert_int_equal(f->peer.accepted, 1);
	cancel(f, &first);
	net_wait(f->loop, is_done, &first);
}

static void
test_cancel_at_once(void **state)
{
	struct fixture *f = *state;
	struct try t;

	try_init(f, &t, 2000);
	start(f, &t);
	cancel(f, &t);
	cancel(f, &t); /* again, before done: nothing more */
	net_wait(f->loop, is_done, &t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	assert_int_equal(f->peer.accepted, 0);
}

static void
test_cancel_connected(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.deaf = true;
	try_init(f, &t, 2000);
	start(f, &t);
	net_wait(f->loop, has_connections, f);
	cancel(f, &t);
	net_wait(f->loop, is_done, &t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
}

static void
test_cancel_asked(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.silent = true;
	try_init(f, &t, 2000);
	start(f, &t);
	net_wait(f->loop, has_requests, f);
	cancel(f, &t);
	net_wait(f->loop, is_done, &t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, nobody_connected, f);
}

static bool
is_answering(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.in_work > 0;
}

static void
test_cancel_in_answer(void **state)
{
	struct fixture *f = *state;
	struct try t;

	f->peer.piece = 20;
	f->peer.delay_ms = 200;
	try_init(f, &t, 2000);
	start(f, &t);
	net_wait(f->loop, is_answering, f);
	cancel(f, &t);
	net_wait(f->loop, is_done, &t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, nobody_connected, f);
}

static void
test_cancel_waiting(void **state)
{
	struct fixture *f = *state;
	struct try first, second;

	set_limits(f, 1, 1);
	f->peer.silent = true;
	try_init(f, &first, 2000);
	try_init(f, &second, 2000);
	start(f, &first);
	start(f, &second);
	net_wait(f->loop, has_requests, f);
	cancel(f, &second);
	net_wait(f->loop, is_done, &second);
	assert_int_equal(second.http.result, HTTP_CANCELLED);
	assert_int_equal(first.done, 0);
	cancel(f, &first);
	net_wait(f->loop, is_done, &first);
}

/* Two end in the same pass; the first's done cancels the second, which has its
 * result already. */
static void
test_cancel_after_the_end(void **state)
{
	struct fixture *f = *state;
	struct try first, second;

	try_init(f, &first, 2000);
	try_init(f, &second, 2000);
	first.then_cancel = &second;
	start(f, &first);
	start(f, &second);
	cancel(f, &first);
	cancel(f, &second);
	net_wait(f->loop, is_done, &second);
	assert_int_equal(second.http.result, HTTP_CANCELLED);
}

static void
test_start_from_done(void **state)
{
	struct fixture *f = *state;
	struct try t[3];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		if (i > 0)
			t[i - 1].then_start = &t[i];
	}
	start(f, &t[0]);
	net_wait(f->loop, is_done, &t[2]);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		expect_body(&t[i], "question");
}

static void
run_many(struct fixture *f, unsigned per_host, unsigned total)
{
	struct try *t = calloc(MANY, sizeof(*t));

	assert_non_null(t);
	set_limits(f, per_host, total);
	for (unsigned i = 0; i < MANY; i++) {
		try_init(f, &t[i], 4000);
		t[i].body[7] = (uint8_t)i;
		start(f, &t[i]);
	}
	assert_int_equal(f->done, 0);
	net_wait(f->loop, are_done, f);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(t[i].http.result, HTTP_DONE);
		assert_int_equal(t[i].http.data_len, 8);
		assert_int_equal(t[i].http.data[7], (uint8_t)i);
		free(t[i].http.data);
	}
	assert_int_equal(f->peer.requests, MANY);
	free(t);
}

static void
test_many(void **state)
{
	struct fixture *f = *state;

	f->peer.hold = MANY;
	run_many(f, MANY, MANY);
	assert_int_equal(f->peer.most, MANY);
}

static void
test_many_limit_host(void **state)
{
	struct fixture *f = *state;

	f->peer.hold = 4;
	run_many(f, 4, 64);
	assert_int_equal(f->peer.most, 4);
	assert_int_equal(f->peer.accepted, 4); /* and connections were kept */
}

static void
test_many_limit_total(void **state)
{
	struct fixture *f = *state;

	f->peer.hold = 7;
	run_many(f, 64, 7);
	assert_int_equal(f->peer.most, 7);
	assert_int_equal(f->peer.accepted, 7);
}

/* A silent host holds only its own share. */
static void
test_hosts_in_rotation(void **state)
{
	struct fixture *f = *state;
	struct net_peer other;
	struct try t[8], good;

	set_limits(f, 2, 3);
	f->peer.silent = true;
	net_peer_start(&other, f->loop);
	other.reply = reply;
	other.ctx = f;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 5000);
		start(f, &t[i]);
	}
	try_init(f, &good, 2000);
	good.http.addr = other.addr;
	start(f, &good);
	net_wait(f->loop, is_done, &good);
	expect_body(&good, "question");
	assert_true(f->peer.most <= 2);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		cancel(f, &t[i]);
		net_wait(f->loop, is_done, &t[i]);
	}
	net_peer_stop(&other);
}

/* A host with many requests does not go before one with a single one. */
static void
test_hosts_take_turns(void **state)
{
	struct fixture *f = *state;
	struct net_peer other;
	struct try t[8], single;

	set_limits(f, 1, 1);
	net_peer_start(&other, f->loop);
	other.reply = reply;
	other.ctx = f;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		start(f, &t[i]);
	}
	try_init(f, &single, 2000);
	single.http.addr = other.addr;
	start(f, &single);
	net_wait(f->loop, is_done, &single);
	assert_true(f->peer.requests <= 2);
	net_wait(f->loop, is_done, &t[ARRAY_LEN(t) - 1]);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		expect_body(&t[i], "question");
	expect_body(&single, "question");
	net_peer_stop(&other);
}

static void
test_ipv6(void **state)
{
	struct fixture *f = *state;
	struct try t;

	try_init(f, &t, 2000);
	assert_int_equal(parse_addr_port("[::1]:1", &t.http.addr), 0);
	start(f, &t);
	net_wait(f->loop, is_done, &t);
	assert_int_equal(t.http.result, HTTP_REFUSED);
}

/* A proxy in the environment must not be used. */
static void
test_no_proxy(void **state)
{
	struct fixture *f = *state;
	struct try t;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	expect_body(&t, "question");
}

/* No descriptor to be had: a refusal, and all is well afterwards. */
static void
test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, low;
	struct try t;

	assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
	expect_body(&t, "question");
	set_limits(f, 4, 4);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_not_equal(ask(f, &t, 2000), HTTP_DONE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
	expect_body(&t, "question");
}

/* Everything is given up when the client is freed. */
static void
test_free_with_requests(void **state)
{
	struct fixture *f = *state;
	struct try t[4];

	set_limits(f, 2, 2);
	f->peer.silent = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 5000);
		start(f, &t[i]);
	}
	net_wait(f->loop, has_requests, f);
	cancel(f, &t[3]);
	f->client = http_client_free(f->client);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].done, 1);
		assert_int_equal(t[i].http.result, HTTP_CANCELLED);
	}
	net_wait(f->loop, nobody_connected, f);
}

/* Each allocation of ours fails in turn, from the start to the end of a request
 * (the peer's connection is there already).  The next request does well. */
static void
test_no_memory(void **state)
{
	struct fixture *f = *state;
	unsigned long n, lost = 0;
	bool failed = true;
	struct try t;

	for (n = 0; failed; n++) {
		assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
		expect_body(&t, "question");
		failalloc_arm(n + 1);
		ask(f, &t, 2000);
		failed = failalloc_disarm();
		free(t.http.data);
		if (t.http.result != HTTP_DONE)
			assert_int_equal(t.http.result, HTTP_NO_MEMORY);
		lost += t.http.result == HTTP_NO_MEMORY;
	}
	assert_true(n > 4); /* transfer, host, watch, answer */
	assert_true(lost >= 4);
}

/* Allocations inside libcurl and libevent: 0 none fails. */
static unsigned long countdown;

static bool
fails_now(void)
{
	return countdown > 0 && --countdown == 0;
}

static void *
poor_malloc(size_t n)
{
	return fails_now() ? NULL : malloc(n);
}

static void *
poor_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : realloc(p, n);
}

static void *
poor_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : calloc(n, size);
}

static char *
poor_strdup(const char *s)
{
	return fails_now() ? NULL : strdup(s);
}

/* Some failures do no harm (libcurl goes on without), some end the request,
 * some end all that is libcurl's; the next request must do well in any case. */
static void
check_poor_libraries(struct fixture *f, bool fresh)
{
	unsigned lost = 0;
	struct try t;

	for (unsigned long n = 1; n < 1000; n++) {
		if (fresh)
			set_limits(f, 4, 4);
		countdown = n;
		ask(f, &t, 2000);
		free(t.http.data);
		lost += t.http.result != HTTP_DONE;
		assert_int_not_equal(t.http.result, HTTP_TIMEOUT);
		if (countdown > 0)
			break;
		assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
		expect_body(&t, "question");
	}
	assert_int_equal(t.http.result, HTTP_DONE);
	assert_true(lost > 0);
	countdown = 0;
}

static void
test_no_memory_in_curl(void **state)
{
	struct fixture *f = *state;

	/* the first to initialise it says where memory comes from */
	assert_int_equal(curl_global_init_mem(CURL_GLOBAL_DEFAULT, poor_malloc,
				 free, poor_realloc, poor_strdup, poor_calloc),
		CURLE_OK);
	check_poor_libraries(f, true);
	check_poor_libraries(f, false);
	f->client = http_client_free(f->client);
	curl_global_cleanup();
}

static void
quiet(int severity, const char *text)
{
}

static void
test_no_memory_in_libevent(void **state)
{
	struct fixture *f = *state;
	unsigned lost = 0;
	struct try t;

	event_set_log_callback(quiet);
	event_set_mem_functions(poor_malloc, poor_realloc, free);
	for (unsigned long n = 1; n < 20; n++) {
		set_limits(f, 4, 4);
		countdown = n;
		ask(f, &t, 2000);
		free(t.http.data);
		lost += t.http.result == HTTP_NO_MEMORY;
	}
	countdown = 0;
	assert_true(lost > 0);
	event_set_mem_functions(malloc, realloc, free);
	event_set_log_callback(NULL);
	assert_int_equal(ask(f, &t, 2000), HTTP_DONE);
	expect_body(&t, "question");
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_connection_is_kept),
		TEST(test_kept_connection_lost),
		TEST(test_answers),
		TEST(test_answers_byte_by_byte),
		TEST(test_too_big),
		TEST(test_endless_headers),
		TEST(test_refused),
		TEST(test_closed_without_answer),
		TEST(test_cut_anywhere),
		TEST(test_timeout),
		TEST(test_timeout_deaf),
		TEST(test_timeout_slow),
		TEST(test_timeout_waiting),
		TEST(test_cancel_at_once),
		TEST(test_cancel_connected),
		TEST(test_cancel_asked),
		TEST(test_cancel_in_answer),
		TEST(test_cancel_waiting),
		TEST(test_cancel_after_the_end),
		TEST(test_start_from_done),
		TEST(test_many),
		TEST(test_many_limit_host),
		TEST(test_many_limit_total),
		TEST(test_hosts_in_rotation),
		TEST(test_hosts_take_turns),
		TEST(test_ipv6),
		TEST(test_no_proxy),
		TEST(test_no_descriptors),
		TEST(test_free_with_requests),
		TEST(test_no_memory),
		TEST(test_no_memory_in_curl),
		TEST(test_no_memory_in_libevent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

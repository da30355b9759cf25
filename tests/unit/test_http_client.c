/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/http_env.h"

#define MANY 100

static bool
are_done(void *ctx)
{
	struct http_env *f = ctx;

	return f->done == MANY;
}

static bool
one_connected(void *ctx)
{
	struct http_env *f = ctx;

	return f->peer.open == 1;
}

static void
test_refused(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	net_peer_stop(&f->peer);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_REFUSED);
	assert_int_equal(t.http.status, 0);
}

static void
test_timeout(void **state)
{
	struct http_env *f = *state;
	struct http_try t;
	uint64_t start_ms = loop_now_ms();

	f->peer.silent = true;
	assert_int_equal(try_ask(f, &t, 60), HTTP_TIMEOUT);
	assert_true(loop_now_ms() >= start_ms + 50);
	assert_true(loop_now_ms() < start_ms + 2000);
	/* the connection is of no use any more */
	net_wait(f->loop, http_env_nobody_connected, f);
}

static void
test_timeout_deaf(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.deaf = true;
	assert_int_equal(try_ask(f, &t, 60), HTTP_TIMEOUT);
	assert_int_equal(try_ask(f, &t, 0), HTTP_TIMEOUT);
}

/* It is the whole answer that must come in time, not some byte of it. */
static void
test_timeout_slow(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.piece = 1;
	f->peer.delay_ms = 10;
	assert_int_equal(try_ask(f, &t, 100), HTTP_TIMEOUT);
	assert_true(f->peer.requests == 1);
	net_wait(f->loop, http_env_nobody_connected, f);
}

/* The time does not run while a request waits for its turn: of three that have
 * 100 ms each and get nothing, the last ends after 300. */
static void
test_timeout_waiting(void **state)
{
	struct http_env *f = *state;
	uint64_t start_ms = loop_now_ms();
	struct http_try t[3];

	http_env_limits(f, 1, 1);
	f->peer.silent = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 100);
		try_start(&t[i]);
	}
	try_wait(&t[2]);
	assert_true(loop_now_ms() >= start_ms + 300);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(t[i].http.result, HTTP_TIMEOUT);
	assert_int_equal(f->peer.accepted, 3);
}

static void
test_cancel_at_once(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	try_init(f, &t, 2000);
	try_start(&t);
	try_cancel(&t);
	try_cancel(&t); /* again, before done: nothing more */
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, http_env_nobody_connected, f);
	assert_int_equal(f->peer.requests, 0);
}

static void
test_cancel_connected(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.deaf = true;
	try_init(f, &t, 2000);
	try_start(&t);
	net_wait(f->loop, http_env_has_connections, f);
	try_cancel(&t);
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
}

static void
test_cancel_asked(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.silent = true;
	try_init(f, &t, 2000);
	try_start(&t);
	net_wait(f->loop, http_env_has_requests, f);
	try_cancel(&t);
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, http_env_nobody_connected, f);
}

static void
test_cancel_in_answer(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	f->peer.piece = 20;
	f->peer.delay_ms = 200;
	try_init(f, &t, 2000);
	try_start(&t);
	net_wait(f->loop, http_env_is_answering, f);
	try_cancel(&t);
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_CANCELLED);
	net_wait(f->loop, http_env_nobody_connected, f);
}

static void
test_cancel_waiting(void **state)
{
	struct http_env *f = *state;
	struct http_try first, second;

	http_env_limits(f, 1, 1);
	f->peer.silent = true;
	try_init(f, &first, 2000);
	try_init(f, &second, 2000);
	try_start(&first);
	try_start(&second);
	net_wait(f->loop, http_env_has_requests, f);
	try_cancel(&second);
	try_wait(&second);
	assert_int_equal(second.http.result, HTTP_CANCELLED);
	assert_int_equal(first.done, 0);
	try_cancel(&first);
	try_wait(&first);
}

/* Two end in the same pass; the first's done cancels the second, which has its
 * result already. */
static void
test_cancel_after_the_end(void **state)
{
	struct http_env *f = *state;
	struct http_try first, second;

	try_init(f, &first, 2000);
	try_init(f, &second, 2000);
	first.then_cancel = &second;
	try_start(&first);
	try_start(&second);
	try_cancel(&first);
	try_cancel(&second);
	try_wait(&second);
	assert_int_equal(second.http.result, HTTP_CANCELLED);
}

static void
test_start_from_done(void **state)
{
	struct http_env *f = *state;
	struct http_try t[3];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		if (i > 0)
			t[i - 1].then_start = &t[i];
	}
	try_start(&t[0]);
	try_wait(&t[2]);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		try_expect(&t[i], "question");
}

static void
run_many(struct http_env *f, unsigned per_host, unsigned total)
{
	struct http_try *t = calloc(MANY, sizeof(*t));

	assert_non_null(t);
	http_env_limits(f, per_host, total);
	for (unsigned i = 0; i < MANY; i++) {
		try_init(f, &t[i], 4000);
		t[i].body[7] = (uint8_t)i;
		try_start(&t[i]);
	}
	assert_int_equal(f->done, 0);
	net_wait(f->loop, are_done, f);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(t[i].http.result, HTTP_DONE);
		assert_int_equal(t[i].http.data_len, 8);
		assert_int_equal(t[i].http.data[7], (uint8_t)i);
		free(t[i].http.memory);
	}
	assert_int_equal(f->peer.requests, MANY);
	free(t);
}

static void
test_many(void **state)
{
	struct http_env *f = *state;

	f->peer.hold = MANY;
	run_many(f, MANY, MANY);
	assert_int_equal(f->peer.most, MANY);
}

static void
test_many_limit_host(void **state)
{
	struct http_env *f = *state;

	f->peer.hold = 4;
	run_many(f, 4, 64);
	assert_int_equal(f->peer.most, 4);
	assert_int_equal(f->peer.accepted, 4); /* and connections were kept */
}

static void
test_many_limit_total(void **state)
{
	struct http_env *f = *state;

	f->peer.hold = 7;
	run_many(f, 64, 7);
	assert_int_equal(f->peer.most, 7);
	assert_int_equal(f->peer.accepted, 7);
}

/* A silent host holds only its own share. */
static void
test_hosts_in_rotation(void **state)
{
	struct http_env *f = *state;
	struct net_peer other;
	struct http_try t[8], good;

	http_env_limits(f, 2, 3);
	f->peer.silent = true;
	net_peer_start(&other, f->loop);
	other.reply = f->peer.reply;
	other.ctx = f;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 5000);
		try_start(&t[i]);
	}
	try_init(f, &good, 2000);
	good.http.addr = other.addr;
	try_start(&good);
	try_wait(&good);
	try_expect(&good, "question");
	assert_true(f->peer.most <= 2);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_cancel(&t[i]);
		try_wait(&t[i]);
	}
	net_peer_stop(&other);
}

/* A host with many requests does not go before one with a single one. */
static void
test_hosts_take_turns(void **state)
{
	struct http_env *f = *state;
	struct net_peer other;
	struct http_try t[8], single;

	http_env_limits(f, 1, 1);
	net_peer_start(&other, f->loop);
	other.reply = f->peer.reply;
	other.ctx = f;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		try_start(&t[i]);
	}
	try_init(f, &single, 2000);
	single.http.addr = other.addr;
	try_start(&single);
	try_wait(&single);
	assert_true(f->peer.requests <= 2);
	try_wait(&t[ARRAY_LEN(t) - 1]);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		try_expect(&t[i], "question");
	try_expect(&single, "question");
	net_peer_stop(&other);
}

static void
test_ipv6(void **state)
{
	struct http_env *f = *state;
	struct net_peer other;
	char want[80];
	struct http_try t;

	if (!net_peer_start_v6(&other, f->loop))
		skip();
	other.reply = f->peer.reply;
	other.ctx = f;
	try_init(f, &t, 2000);
	t.http.addr = other.addr;
	try_start(&t);
	try_wait(&t);
	try_expect(&t, "question");
	snprintf(want, sizeof(want), "\r\nHost: [::1]:%u\r\n",
		ntohs(((struct sockaddr_in6 *)&other.addr.ss)->sin6_port));
	assert_non_null(strstr(other.head, want));
	net_peer_stop(&other);
	try_init(f, &t, 2000);
	t.http.addr = other.addr;
	try_start(&t);
	try_wait(&t);
	assert_int_equal(t.http.result, HTTP_REFUSED);
}

/* A connection that nobody uses is closed after its time, which begins anew
 * with each use. */
static void
test_idle_time(void **state)
{
	const struct http_limits limits = {
		.per_host = 1, .total = 1, .idle_ms = 60};
	struct http_env *f = *state;
	struct http_try t;
	uint64_t last_ms;

	http_client_free(f->client);
	f->client = http_client_new(f->loop, &limits);
	assert_non_null(f->client);
	f->peer.piece = 30;
	f->peer.delay_ms = 20; /* 60 ms for an answer */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
		last_ms = loop_now_ms();
	}
	assert_int_equal(f->peer.accepted, 1);
	net_wait(f->loop, http_env_nobody_connected, f);
	assert_true(loop_now_ms() >= last_ms + 50);
}

static void
test_idle_closed(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	assert_int_equal(f->peer.open, 1);
	http_client_close_idle(f->client);
	net_wait(f->loop, http_env_nobody_connected, f);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	assert_int_equal(f->peer.accepted, 2);
}

/* As many idle connections as may run, no more: the oldest is closed. */
static void
test_idle_limit(void **state)
{
	struct http_env *f = *state;
	struct net_peer other;
	struct http_try t[2], one;

	http_env_limits(f, 2, 2);
	net_peer_start(&other, f->loop);
	other.reply = f->peer.reply;
	other.ctx = f;
	f->peer.hold = 2;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		try_start(&t[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_wait(&t[i]);
		try_expect(&t[i], "question");
	}
	assert_int_equal(f->peer.open, 2);
	try_init(f, &one, 2000);
	one.http.addr = other.addr;
	try_start(&one);
	try_wait(&one);
	try_expect(&one, "question");
	net_wait(f->loop, one_connected, f);
	assert_int_equal(other.open, 1);
	/* and the one that is left is used */
	assert_int_equal(try_ask(f, &one, 2000), HTTP_DONE);
	try_expect(&one, "question");
	assert_int_equal(f->peer.accepted, 2);
	net_peer_stop(&other);
}

/* A proxy in the environment must not be used. */
static void
test_no_proxy(void **state)
{
	struct http_env *f = *state;
	struct http_try t;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	try_expect(&t, "question");
}

/* No descriptor to be had: a refusal, and all is well afterwards. */
/* Enough for one connection and its other end: all take turns on it. */
static void
test_few_descriptors(void **state)
{
	struct http_env *f = *state;
	struct rlimit old, low;
	struct http_try t[4];
	int first = dup(0), second = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)MAX_OF(first, second) + 1;
	close(first);
	close(second);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 2000);
		try_start(&t[i]);
		if (i == 0)
			net_wait(f->loop, one_connected, f);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		try_wait(&t[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].http.result, HTTP_DONE);
		try_expect(&t[i], "question");
	}
	assert_int_equal(f->peer.accepted, 1);
}

static void
test_no_descriptors(void **state)
{
	struct http_env *f = *state;
	struct rlimit old, low;
	struct http_try t;

	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
	http_env_limits(f, 4, 4);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_NO_MEMORY);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
}

/* Everything is given up when the client is freed. */
static void
test_free_with_requests(void **state)
{
	struct http_env *f = *state;
	struct http_try t[4];

	http_env_limits(f, 2, 2);
	f->peer.silent = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i], 5000);
		try_start(&t[i]);
	}
	net_wait(f->loop, http_env_has_requests, f);
	try_cancel(&t[3]);
	f->client = http_client_free(f->client);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].done, 1);
		assert_int_equal(t[i].http.result, HTTP_CANCELLED);
	}
	net_wait(f->loop, http_env_nobody_connected, f);
}

/* At every stage: told but not heard, connecting, idle, in the middle of an
 * answer, waiting for a turn. */
static void
test_free_at_every_stage(void **state)
{
	struct http_env *f = *state;
	struct http_try told, busy, waiting;

	for (int stage = 0; stage < 3; stage++) {
		http_env_limits(f, 1, 1);
		f->peer.piece = 0;
		f->peer.in_work = 0;
		assert_int_equal(try_ask(f, &told, 2000), HTTP_DONE);
		try_expect(&told, "question");
		f->peer.piece = 30;
		f->peer.delay_ms = 200;
		try_init(f, &told, 2000);
		try_init(f, &busy, 2000);
		try_init(f, &waiting, 2000);
		try_start(&told);
		if (stage > 0)
			try_start(&busy);
		if (stage > 1)
			try_start(&waiting);
		net_wait(f->loop, http_env_is_answering, f);
		try_cancel(&told);
		http_env_limits(f, 1, 1);
		assert_int_equal(told.done, 1);
		assert_int_equal(told.http.result, HTTP_CANCELLED);
		assert_int_equal(busy.done, stage > 0);
		assert_int_equal(waiting.done, stage > 1);
		net_wait(f->loop, http_env_nobody_connected, f);
	}
}

/* Each allocation of ours fails in turn, from the start to the end of a request
 * (the peer's connection is there already).  The next request does well. */
static void
test_no_memory(void **state)
{
	struct http_env *f = *state;
	unsigned long n, lost = 0;
	bool failed = true;
	struct http_try t;

	for (n = 0; failed; n++) {
		assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
		try_expect(&t, "question");
		failalloc_arm(n + 1);
		try_ask(f, &t, 2000);
		failed = failalloc_disarm();
		free(t.http.memory);
		if (t.http.result != HTTP_DONE)
			assert_int_equal(t.http.result, HTTP_NO_MEMORY);
		lost += t.http.result == HTTP_NO_MEMORY;
	}
	assert_int_equal(lost, n - 1);
	assert_true(lost >= 1); /* the answer; host and connection are there */
}

/* The same on the way to a new connection, where it is made within the call. */
static void
test_no_memory_to_connect(void **state)
{
	struct http_env *f = *state;
	bool failed = true;
	struct http_try t;
	unsigned n;

	for (n = 0; failed; n++) {
		http_env_limits(f, 4, 4);
		try_init(f, &t, 2000);
		failalloc_arm(n + 1);
		try_start(&t);
		failed = failalloc_disarm();
		try_wait(&t);
		assert_int_equal(
			t.http.result, failed ? HTTP_NO_MEMORY : HTTP_DONE);
		free(t.http.memory);
	}
	assert_int_equal(n, 3); /* host, connection, none */
}

/* Allocations inside libevent: 0 none fails. */
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

static void
quiet(int severity, const char *text)
{
}

static void
test_no_memory_in_libevent(void **state)
{
	struct http_env *f = *state;
	unsigned lost = 0;
	struct http_try t;

	event_set_log_callback(quiet);
	event_set_mem_functions(poor_malloc, poor_realloc, free);
	for (unsigned long n = 1; n < 20; n++) {
		http_env_limits(f, 4, 4);
		countdown = n;
		try_ask(f, &t, 2000);
		free(t.http.memory);
		lost += t.http.result == HTTP_NO_MEMORY;
	}
	countdown = 0;
	assert_true(lost > 0);
	event_set_mem_functions(malloc, realloc, free);
	event_set_log_callback(NULL);
	assert_int_equal(try_ask(f, &t, 2000), HTTP_DONE);
	try_expect(&t, "question");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_refused),
		HTTP_TEST(test_timeout),
		HTTP_TEST(test_timeout_deaf),
		HTTP_TEST(test_timeout_slow),
		HTTP_TEST(test_timeout_waiting),
		HTTP_TEST(test_cancel_at_once),
		HTTP_TEST(test_cancel_connected),
		HTTP_TEST(test_cancel_asked),
		HTTP_TEST(test_cancel_in_answer),
		HTTP_TEST(test_cancel_waiting),
		HTTP_TEST(test_cancel_after_the_end),
		HTTP_TEST(test_start_from_done),
		HTTP_TEST(test_many),
		HTTP_TEST(test_many_limit_host),
		HTTP_TEST(test_many_limit_total),
		HTTP_TEST(test_hosts_in_rotation),
		HTTP_TEST(test_hosts_take_turns),
		HTTP_TEST(test_ipv6),
		HTTP_TEST(test_idle_time),
		HTTP_TEST(test_idle_closed),
		HTTP_TEST(test_idle_limit),
		HTTP_TEST(test_no_proxy),
		HTTP_TEST(test_few_descriptors),
		HTTP_TEST(test_no_descriptors),
		HTTP_TEST(test_free_with_requests),
		HTTP_TEST(test_free_at_every_stage),
		HTTP_TEST(test_no_memory),
		HTTP_TEST(test_no_memory_to_connect),
		HTTP_TEST(test_no_memory_in_libevent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

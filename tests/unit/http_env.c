/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/http_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "tests/unit/closing.h"

static void
reply(struct net_peer *peer, const uint8_t *body, size_t len, struct buf *out)
{
	struct http_env *f = peer->ctx;

	if (f->answer == NULL)
		net_peer_ok(out, body, len);
	else if (f->answer_len > 0)
		buf_append(out, f->answer, f->answer_len);
	else
		buf_append(out, f->answer, strlen(f->answer));
}

int
http_env_setup(void **state)
{
	static const struct http_limits wide = {.per_host = 64, .total = 64};
	struct http_env *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds = count_fds();
	assert_int_equal(loop_new(&f->loop, NULL, NULL), 0);
	f->client = http_client_new(f->loop, &wide);
	assert_non_null(f->client);
	net_peer_start(&f->peer, f->loop);
	f->peer.reply = reply;
	f->peer.ctx = f;
	*state = f;
	return 0;
}

int
http_env_teardown(void **state)
{
	struct http_env *f = *state;

	assert_null(http_client_free(f->client));
	net_peer_stop(&f->peer);
	loop_free(f->loop);
	assert_int_equal(count_fds(), f->fds);
	free(f);
	return 0;
}

void
http_env_limits(struct http_env *f, unsigned per_host, unsigned total)
{
	struct http_limits limits = {.per_host = per_host, .total = total};

	http_client_free(f->client);
	f->client = http_client_new(f->loop, &limits);
	assert_non_null(f->client);
}

static void
on_done(struct http_request *http)
{
	struct http_try *t = container_of(http, struct http_try, http);

	assert_false(t->f->inside);
	assert_int_equal(t->done, 0); /* exactly once */
	t->done++;
	t->f->done++;
	if (t->then_start != NULL)
		try_start(t->then_start);
	if (t->then_cancel != NULL)
		try_cancel(t->then_cancel);
	net_wait_check();
}

void
try_init(struct http_env *f, struct http_try *t, uint32_t timeout_ms)
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
	t->http.memory = (void *)1;
	t->http.data = (void *)1;
	t->http.data_len = 1;
	t->http.status = 777;
	t->http.result = _HTTP_RESULT_MAX;
	t->http.due_ms = 1;
	t->http.again = true;
}

void
try_start(struct http_try *t)
{
	t->f->inside = true;
	http_client_start(t->f->client, &t->http);
	t->f->inside = false;
}

void
try_cancel(struct http_try *t)
{
	t->f->inside = true;
	http_client_cancel(t->f->client, &t->http);
	t->f->inside = false;
}

void
try_wait(struct http_try *t)
{
	net_wait(t->f->loop, try_is_done, t);
	if (t->http.result != HTTP_DONE) {
		assert_null(t->http.memory);
		assert_null(t->http.data);
		assert_int_equal(t->http.data_len, 0);
	}
}

enum http_result
try_ask(struct http_env *f, struct http_try *t, uint32_t timeout_ms)
{
	try_init(f, t, timeout_ms);
	try_start(t);
	try_wait(t);
	return t->http.result;
}

void
try_expect(struct http_try *t, const char *body)
{
	assert_int_equal(t->http.result, HTTP_DONE);
	assert_int_equal(t->http.status, 200);
	assert_int_equal(t->http.data_len, strlen(body));
	if (t->http.data_len > 0)
		assert_memory_equal(t->http.data, body, t->http.data_len);
	free(t->http.memory);
	t->http.memory = t->http.data = NULL;
}

bool
try_is_done(void *ctx)
{
	struct http_try *t = ctx;

	return t->done > 0;
}

bool
http_env_nobody_connected(void *ctx)
{
	struct http_env *f = ctx;

	return f->peer.open == 0;
}

bool
http_env_has_requests(void *ctx)
{
	struct http_env *f = ctx;

	return f->peer.requests > 0;
}

bool
http_env_has_connections(void *ctx)
{
	struct http_env *f = ctx;

	return f->peer.accepted > 0;
}

bool
http_env_is_answering(void *ctx)
{
	struct http_env *f = ctx;

	return f->peer.in_work > 0;
}

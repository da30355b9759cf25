/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One env_peer_request is one MSG_GETBLKS in one POST.  The asked version is
 * 1.0, the only one that all peers speak, so a peer that wants to negotiate
 * cannot be helped.
 *
 * Everything in an answer is hostile until it was compared with what was asked:
 * both sizes, type, segment, block, cipher, lengths.  The bytes of the block
 * are checked by the core, which knows their hash.  Plaintext is never taken: a
 * peer that sends it would send it to anybody.
 *
 * When there is no memory for a request, the caller is told later all the same:
 * such requests wait in a list made of their env_private pointers.
 */
#include "daemon/net/retrieve.h"

#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "common/buf.h"
#include "common/macros.h"
#include "daemon/net/loop.h"

/* Sizes, ids, IV and padding around the data; some room for a VrfBlock. */
#define ANSWER_OVERHEAD 512u
#define GETBLKS_MAX     256u
#define TRANSPORT_SIZE  4u

struct retrieve {
	struct loop *loop;
	struct http_client *http;
	struct env_peer_request *failed;  /* linked through env_private */
	struct env_peer_request *telling; /* those whose turn it is */
	struct loop_deferred tell_failed;
};

struct exchange {
	struct http_request http;
	struct buf body;
	struct env_peer_request *asked;
};

static bool
is_nego_resp(const uint8_t *data, size_t len)
{
	struct pccrr_header h;

	return len > TRANSPORT_SIZE &&
		pccrr_parse_header(
			&h, data + TRANSPORT_SIZE, len - TRANSPORT_SIZE) == 0 &&
		h.type == PCCRR_NEGO_RESP;
}

static enum env_peer_status
judge_block(const struct env_peer_request *asked, const struct pccrr_blk *m)
{
	if (m->id_len != asked->id_len ||
		memcmp(m->id, asked->id, m->id_len) != 0 ||
		m->block != asked->block)
		return ENV_PEER_BAD;
	if (m->data_len == 0)
		return ENV_PEER_EMPTY;
	if (pccrr_key_len(m->header.algo) == 0)
		return ENV_PEER_BAD;
	if (m->data_len > asked->max_data || m->data_len % 16 != 0)
		return ENV_PEER_BAD;
	return ENV_PEER_OK;
}

/* The answer of a peer, whole; its memory becomes the block's. */
static enum env_peer_status
read_answer(struct env_peer_request *asked, struct http_request *http)
{
	enum env_peer_status status;
	struct pccrr_blk m;

	if (is_nego_resp(http->data, http->data_len))
		return ENV_PEER_REFUSED;
	if (pccrr_parse_blk(&m, http->data, http->data_len) != 0)
		return ENV_PEER_BAD;
	status = judge_block(asked, &m);
	if (status != ENV_PEER_OK)
		return status;
	asked->algo = m.header.algo;
	memcpy(asked->iv, m.iv, sizeof(asked->iv));
	asked->data_len = m.data_len;
	memmove(http->data, m.data, m.data_len);
	asked->data = TAKE_PTR(http->data);
	return ENV_PEER_OK;
}

static enum env_peer_status
status_of_result(enum http_result result)
{
	switch (result) {
	case HTTP_TIMEOUT:
		return ENV_PEER_TIMEOUT;
	case HTTP_TOO_BIG:
	case HTTP_GARBAGE:
		return ENV_PEER_BAD;
	default:
		return ENV_PEER_REFUSED;
	}
}

static void
on_http_done(struct http_request *http)
{
	struct exchange *x = container_of(http, struct exchange, http);
	struct env_peer_request *asked = x->asked;

	if (http->result == HTTP_DONE)
		asked->status = read_answer(asked, http);
	else
		asked->status = status_of_result(http->result);
	asked->env_private = NULL;
	free(http->data);
	buf_done(&x->body);
	free(x);
	asked->done(asked);
}

static void
on_tell_failed(struct loop_deferred *d)
{
	struct retrieve *r = container_of(d, struct retrieve, tell_failed);
	struct env_peer_request *asked;

	/* what fails meanwhile is told in the next pass */
	r->telling = TAKE_PTR(r->failed);
	while ((asked = r->telling) != NULL) {
		r->telling = TAKE_PTR(asked->env_private);
		asked->done(asked);
	}
}

static bool
in_list(const struct env_peer_request *list, const struct env_peer_request *p)
{
	while (list != NULL && list != p)
		list = list->env_private;
	return list != NULL;
}

static struct exchange *
exchange_new(struct env_peer_request *asked)
{
	struct exchange *x = calloc(1, sizeof(*x));
	const struct pccrr_getblks m = {
		.header.algo = PCCRR_AES128,
		.id = asked->id,
		.id_len = asked->id_len,
		.block = asked->block,
	};

	if (x == NULL)
		return NULL;
	buf_init(&x->body, GETBLKS_MAX);
	if (pccrr_build_getblks(&x->body, &m) != 0) {
		buf_done(&x->body);
		free(x);
		return NULL;
	}
	x->asked = asked;
	x->http.addr = asked->addr;
	x->http.path = PCCRR_PATH;
	x->http.body = x->body.data;
	x->http.body_len = x->body.len;
	x->http.max_response = MIN_OF((size_t)asked->max_data + ANSWER_OVERHEAD,
		TRANSPORT_SIZE + PCCRR_RESPONSE_MAX);
	x->http.timeout_ms = asked->timeout_ms;
	x->http.done = on_http_done;
	return x;
}

struct retrieve *
retrieve_new(struct loop *loop, const struct http_limits *limits)
{
	struct retrieve *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->loop = loop;
	r->tell_failed.fn = on_tell_failed;
	r->http = http_client_new(loop, limits);
	if (r->http == NULL)
		return retrieve_free(r);
	return r;
}

struct retrieve *
retrieve_free(struct retrieve *r)
{
	if (r == NULL)
		return NULL;
	r->http = http_client_free(r->http);
	loop_undefer(r->loop, &r->tell_failed);
	on_tell_failed(&r->tell_failed);
	free(r);
	return NULL;
}

void
retrieve_request(struct retrieve *r, struct env_peer_request *asked)
{
	struct exchange *x = exchange_new(asked);

	asked->status = ENV_PEER_REFUSED;
	asked->data = NULL;
	asked->data_len = 0;
	if (x == NULL) {
		asked->env_private = r->failed;
		r->failed = asked;
		loop_defer(r->loop, &r->tell_failed);
		return;
	}
	asked->env_private = x;
	http_client_start(r->http, &x->http);
}

void
retrieve_cancel(struct retrieve *r, struct env_peer_request *asked)
{
	struct exchange *x = asked->env_private;

	if (in_list(r->failed, asked) || in_list(r->telling, asked))
		return;
	http_client_cancel(r->http, &x->http);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One env_peer_request is one message in one POST: MSG_GETBLKS or
 * MSG_GETBLKLIST.  Both are of version 1.0, which all peers speak.  One that
 * answers with a range of versions all the same is asked once more, in the
 * highest major version that both have, within the same time.
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
#define BLK_OVERHEAD   512u
#define BLKLIST_MAX    8192u /* every block a range of its own, and more */
#define TRANSPORT_SIZE 4u
#define MAJOR_AT       2u /* big-endian, in a request */
#define MAJOR_MIN      1u
#define MAJOR_MAX      2u

struct retrieve {
	struct loop *loop;
	struct http_client *http;
	struct env_peer_request *failed;  /* linked through env_private */
	struct env_peer_request *telling; /* those whose turn it is */
	struct loop_deferred tell_failed;
	bool closing;
};

struct exchange {
	struct http_request http;
	struct buf body;
	struct env_peer_request *asked;
	struct retrieve *retrieve;
	bool negotiated;
	bool cancelled;
};

static bool
same_id(const struct env_peer_request *asked, const uint8_t *id, uint32_t len)
{
	return len == asked->id_len && memcmp(id, asked->id, len) == 0;
}

static enum env_peer_status
judge_blk(const struct env_peer_request *asked, const struct pccrr_blk *m)
{
	if (!same_id(asked, m->id, m->id_len) || m->block != asked->block)
		return ENV_PEER_BAD;
	if (m->data_len == 0)
		return ENV_PEER_EMPTY;
	if (pccrr_key_len(m->header.algo) == 0)
		return ENV_PEER_BAD;
	if (m->data_len > asked->max_data || m->data_len % 16 != 0)
		return ENV_PEER_BAD;
	return ENV_PEER_OK;
}

/* The memory of the answer becomes the block's. */
static enum env_peer_status
read_blk(struct env_peer_request *asked, struct http_request *http)
{
	enum env_peer_status status;
	struct pccrr_blk m;

	if (pccrr_parse_blk(&m, http->data, http->data_len) != 0)
		return ENV_PEER_BAD;
	status = judge_blk(asked, &m);
	if (status != ENV_PEER_OK)
		return status;
	asked->algo = m.header.algo;
	memcpy(asked->iv, m.iv, sizeof(asked->iv));
	asked->data = http->data + (m.data - http->data);
	asked->data_len = m.data_len;
	asked->memory = TAKE_PTR(http->memory);
	return ENV_PEER_OK;
}

/* What was not asked for is nobody's business. */
static enum env_peer_status
read_blklist(struct env_peer_request *asked, const struct http_request *http)
{
	struct pccrr_blklist m;
	uint64_t any = 0;

	if (pccrr_parse_blklist(&m, http->data, http->data_len) != 0 ||
		!same_id(asked, m.id, m.id_len))
		return ENV_PEER_BAD;
	for (size_t i = 0; i < ARRAY_LEN(m.held.words); i++) {
		asked->held.words[i] = m.held.words[i] & asked->asked.words[i];
		any |= asked->held.words[i];
	}
	return any != 0 ? ENV_PEER_OK : ENV_PEER_EMPTY;
}

static enum env_peer_status
status_of_result(
	const struct env_peer_request *asked, const struct http_request *http)
{
	switch (http->result) {
	case HTTP_TIMEOUT:
		return ENV_PEER_TIMEOUT;
	case HTTP_TOO_BIG:
	case HTTP_GARBAGE:
		return ENV_PEER_BAD;
	case HTTP_STATUS:
		if (asked->kind == ENV_PEER_LIST && http->status >= 400)
			return ENV_PEER_UNSUPPORTED;
		return ENV_PEER_REFUSED;
	default:
		return ENV_PEER_REFUSED;
	}
}

static bool
is_nego_resp(const struct http_request *http, struct pccrr_nego *ret)
{
	struct pccrr_header h;

	if (http->result != HTTP_DONE || http->data_len < TRANSPORT_SIZE)
		return false;
	if (pccrr_parse_header(&h, http->data + TRANSPORT_SIZE,
		    http->data_len - TRANSPORT_SIZE) != 0 ||
		h.type != PCCRR_NEGO_RESP)
		return false;
	return pccrr_parse_nego_resp(ret, http->data, http->data_len) == 0;
}

/* The highest major version that both have, 0: none. */
static unsigned
common_major(const struct pccrr_nego *m)
{
	unsigned major = MIN_OF(m->max_major, MAJOR_MAX);

	return major >= MAX_OF(m->min_major, MAJOR_MIN) ? major : 0;
}

/* Asks again in another version, or says that there is none. */
static bool
ask_again(struct exchange *x, const struct pccrr_nego *nego)
{
	struct http_request *http = &x->http;
	unsigned major = common_major(nego);
	uint64_t now = loop_now_ms();

	if (major == 0 || x->negotiated || x->cancelled || x->retrieve->closing)
		return false;
	x->negotiated = true;
	x->body.data[MAJOR_AT] = 0;
	x->body.data[MAJOR_AT + 1] = (uint8_t)major;
	free(TAKE_PTR(http->memory));
	http->timeout_ms =
		http->due_ms > now ? (uint32_t)(http->due_ms - now) : 0;
	http_client_start(x->retrieve->http, http);
	return true;
}

static enum env_peer_status
read_answer(struct env_peer_request *asked, struct http_request *http)
{
	if (http->result != HTTP_DONE)
		return status_of_result(asked, http);
	if (asked->kind == ENV_PEER_LIST)
		return read_blklist(asked, http);
	return read_blk(asked, http);
}

static void
on_http_done(struct http_request *http)
{
	struct exchange *x = container_of(http, struct exchange, http);
	struct env_peer_request *asked = x->asked;
	struct pccrr_nego nego;

	if (is_nego_resp(http, &nego)) {
		if (ask_again(x, &nego))
			return;
		asked->status = asked->kind == ENV_PEER_LIST
			? ENV_PEER_UNSUPPORTED
			: ENV_PEER_REFUSED;
	} else {
		asked->status = read_answer(asked, http);
	}
	asked->env_private = NULL;
	free(http->memory);
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

static int
build_message(struct buf *b, const struct env_peer_request *asked)
{
	const struct pccrr_getblks blks = {
		.header.algo = PCCRR_AES128,
		.id = asked->id,
		.id_len = asked->id_len,
		.block = asked->block,
	};
	const struct pccrr_getblklist list = {
		.header.algo = PCCRR_AES128,
		.id = asked->id,
		.id_len = asked->id_len,
		.needed = asked->asked,
	};

	if (asked->kind == ENV_PEER_LIST)
		return pccrr_build_getblklist(b, &list);
	return pccrr_build_getblks(b, &blks);
}

static struct exchange *
exchange_new(struct retrieve *r, struct env_peer_request *asked)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	buf_init(&x->body, PCCRR_REQUEST_MAX);
	if (build_message(&x->body, asked) != 0) {
		buf_done(&x->body);
		free(x);
		return NULL;
	}
	x->asked = asked;
	x->retrieve = r;
	x->http.addr = asked->addr;
	x->http.path = PCCRR_PATH;
	x->http.body = x->body.data;
	x->http.body_len = x->body.len;
	x->http.max_response = asked->kind == ENV_PEER_LIST
		? BLKLIST_MAX
		: MIN_OF((size_t)asked->max_data + BLK_OVERHEAD,
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
	r->closing = true;
	r->http = http_client_free(r->http);
	loop_undefer(r->loop, &r->tell_failed);
	on_tell_failed(&r->tell_failed);
	free(r);
	return NULL;
}

void
retrieve_request(struct retrieve *r, struct env_peer_request *asked)
{
	struct exchange *x = exchange_new(r, asked);

	asked->status = ENV_PEER_REFUSED;
	asked->memory = NULL;
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
	x->cancelled = true;
	http_client_cancel(r->http, &x->http);
}

void
retrieve_close_idle(struct retrieve *r)
{
	http_client_close_idle(r->http);
}

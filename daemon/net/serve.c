/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request, in the order of MS-PCCRR 3.2.5: what is malformed is refused by
 * HTTP (400); a version that is not spoken is answered with the ones that are;
 * without a slot, or without the block, the answer is empty, and the same in
 * every case.
 *
 * A block is sent from where it lies: the message up to the ciphertext is built
 * here, ciphertext and tail go by sendfile, once a worker has read them if they
 * are not in the page cache.  A rate limit may delay it as well.  All that such
 * a request needs while it waits is a struct serve_block, of which some are
 * kept for the next ones.
 *
 *   lend --(rate limit: alarm)--> answer --(cold: worker)--> sent --> ended
 *
 * The connection may end at any of these points, and with it the upload; only
 * while a worker reads, the loan must wait for it.
 *
 * A long GETSEGLIST is looked up in slices, one in a pass of the loop.
 */
#include "daemon/net/serve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <http_parser.h>

#include "common/macros.h"
#include "daemon/core/service.h"
#include "daemon/net/http_server.h"
#include "daemon/net/serve_priv.h"
#include "daemon/net/warm.h"

#define TYPE        "application/octet-stream"
#define BLOCKS_KEPT 64u /* unused ones */

/* A block on its way. */
struct serve_block {
	struct serve_work work;
	struct serve *serve;
	struct http_conn *conn; /* NULL: gone */
	LIST_ENTRY(serve_block) link;
	struct upload upload;
	struct loop_alarm wait;
	struct warm warm;
	bool reading;  /* warm runs */
	uint64_t sent; /* of the span, when the connection ended meanwhile */
	uint8_t head[PCCRR_BLK_HEAD_MAX];
	size_t head_len;
};

/* Answers */

void
serve_refuse(struct http_conn *c)
{
	static const struct http_answer malformed = {
		.status = 400, .close = true};

	http_conn_answer(c, &malformed);
}

void
serve_message(struct serve *s, struct http_conn *c, int built)
{
	struct http_answer a = {
		.status = 200,
		.type = TYPE,
		.head = s->message.data,
		.head_len = s->message.len,
	};

	if (built != 0)
		http_conn_abort(c);
	else
		http_conn_answer(c, &a);
}

static void
answer_versions(struct serve *s, struct http_conn *c)
{
	static const struct pccrr_nego ours = {.min_major = 1, .max_major = 2};

	buf_reset(&s->message);
	serve_message(s, c, pccrr_build_nego_resp(&s->message, &ours));
}

static void
answer_empty(
	struct serve *s, struct http_conn *c, const struct pccrr_getblks *m)
{
	struct pccrr_blk none = {
		.id = m->id, .id_len = m->id_len, .block = m->block};

	buf_reset(&s->message);
	serve_message(s, c, pccrr_build_blk(&s->message, &none));
}

/* Blocks on their way */

/* sent: bytes of the span that left. */
static void
block_done(struct serve_block *b, uint64_t sent)
{
	struct serve *s = b->serve;

	upload_end(&b->upload, MIN_OF(sent, b->upload.loan.cipher_len));
	s->n_running--;
	if (s->n_unused == BLOCKS_KEPT) {
		free(b);
		return;
	}
	s->n_unused++;
	LIST_INSERT_HEAD(&s->unused, b, link);
}

static void
block_over(struct upload *u)
{
	struct serve_block *b = container_of(u, struct serve_block, upload);

	if (b->conn != NULL)
		http_conn_abort(b->conn);
}

static void
block_ended(struct serve_work *w, uint64_t sent)
{
	struct serve_block *b = container_of(w, struct serve_block, work);

	loop_alarm_stop(&b->wait);
	b->conn = NULL;
	b->sent = sent;
	if (!b->reading)
		block_done(b, sent);
}

static struct serve_block *
block_new(struct serve *s, struct http_conn *c)
{
	struct serve_block *b = LIST_FIRST(&s->unused);

	if (b != NULL) {
		LIST_REMOVE(b, link);
		s->n_unused--;
	} else {
		b = malloc(sizeof(*b));
		if (b == NULL)
			return NULL;
	}
	b->work.ended = block_ended;
	b->serve = s;
	b->conn = c;
	b->reading = false;
	b->wait.timer.due_ms = 0; /* not running */
	s->n_running++;
	return b;
}

static void
block_send(struct serve_block *b)
{
	const struct store_loan *loan = &b->upload.loan;
	struct http_answer a = {
		.status = 200,
		.type = TYPE,
		.head = b->head,
		.head_len = b->head_len,
		.bytes = loan->bytes,
		.fd = loan->fd,
		.offset = loan->offset,
		.span = (uint64_t)loan->cipher_len + loan->tail_len,
	};

	http_conn_answer(b->conn, &a);
}

static void
block_warmed(struct warm *w)
{
	struct serve_block *b = container_of(w, struct serve_block, warm);

	b->reading = false;
	if (b->conn == NULL)
		block_done(b, b->sent);
	else
		http_conn_warmed(b->conn, NULL, 0);
}

static void
block_waited(struct loop_alarm *a)
{
	block_send(container_of(a, struct serve_block, wait));
}

/* The message up to the ciphertext. */
static bool
block_head(struct serve_block *b, const struct pccrr_getblks *m)
{
	struct serve *s = b->serve;
	struct store_held held;
	struct pccrr_blk blk = {
		.header.algo = b->upload.loan.algo,
		.id = m->id,
		.id_len = m->id_len,
		.block = m->block,
		.data_len = b->upload.loan.cipher_len,
		.iv_len = PCCRR_IV_SIZE,
	};

	upload_held(&b->upload, m->id, m->id_len, &held);
	blk.next_block = serve_next(&held, m->block + 1);
	buf_reset(&s->message);
	if (pccrr_build_blk_head(&s->message, &blk) != 0 ||
		s->message.len > sizeof(b->head))
		return false;
	memcpy(b->head, s->message.data, s->message.len);
	b->head_len = s->message.len;
	return true;
}

/* false: it is not to be had. */
static bool
block_get(struct serve_block *b, const struct pccrr_getblks *m)
{
	struct serve *s = b->serve;
	uint32_t wait_ms;

	if (!upload_begin(s->uploads, &b->upload, http_conn_peer(b->conn),
		    block_over) ||
		!upload_lend(&b->upload, m->id, m->id_len, m->block) ||
		!block_head(b, m))
		return false;
	wait_ms = upload_wait_ms(&b->upload, b->upload.loan.cipher_len);
	if (wait_ms == UINT32_MAX)
		return false;
	http_conn_set_user(b->conn, &b->work);
	if (wait_ms == 0) {
		block_send(b);
		return true;
	}
	loop_alarm_init(&b->wait, s->loop, block_waited);
	loop_alarm_start(&b->wait, wait_ms);
	return true;
}

/* Requests */

static void
handle_nego(
	struct serve *s, struct http_conn *c, const uint8_t *data, size_t len)
{
	struct pccrr_nego m;

	if (pccrr_parse_nego_req(&m, data, len) != 0)
		serve_refuse(c);
	else
		answer_versions(s, c);
}

static void
handle_getblks(
	struct serve *s, struct http_conn *c, const uint8_t *data, size_t len)
{
	struct pccrr_getblks m;
	struct serve_block *b;

	if (pccrr_parse_getblks(&m, data, len) != 0) {
		serve_refuse(c);
		return;
	}
	b = m.nothing ? NULL : block_new(s, c);
	if (b != NULL && block_get(b, &m))
		return;
	if (b != NULL)
		block_done(b, 0);
	answer_empty(s, c, &m);
}

/* Majors that are not ours have bodies that nobody can read. */
static void
handle_message(
	struct serve *s, struct http_conn *c, const uint8_t *data, size_t len)
{
	static void (*const handlers[_PCCRR_TYPE_MAX])(
		struct serve *, struct http_conn *, const uint8_t *, size_t) = {
		[PCCRR_NEGO_REQ] = handle_nego,
		[PCCRR_GETBLKLIST] = serve_getblklist,
		[PCCRR_GETBLKS] = handle_getblks,
		[PCCRR_GETSEGLIST] = serve_getseglist,
	};
	struct pccrr_header h;

	if (pccrr_parse_header(&h, data, len) != 0 || handlers[h.type] == NULL)
		serve_refuse(c);
	else if (h.type != PCCRR_NEGO_REQ && (h.major < 1 || h.major > 2))
		answer_versions(s, c);
	else
		handlers[h.type](s, c, data, len);
}

static void
on_request(void *ctx, struct http_conn *c)
{
	const uint8_t *data;
	size_t len;

	data = http_conn_body(c, &len);
	handle_message(ctx, c, data, len);
}

static void
on_ended(void *ctx, struct http_conn *c, bool whole)
{
	struct serve_work *w = http_conn_user(c);

	if (w != NULL)
		w->ended(w, http_conn_span_sent(c));
}

/* Only blocks are sent from a file. */
static void
on_cold(void *ctx, struct http_conn *c, uint64_t offset, uint64_t len)
{
	struct serve *s = ctx;
	struct serve_work *w = http_conn_user(c);
	struct serve_block *b = container_of(w, struct serve_block, work);

	b->reading = true;
	b->warm = (struct warm){
		.fd = b->upload.loan.fd,
		.offset = offset,
		.len = len,
		.uid = WARM_FOR_PEERS,
		.done = block_warmed,
	};
	warm_start(&b->warm, s->env, false);
}

/* The path as published, and the ways to write it that others use: without the
 * slash at its end, the number in braces, and any case. */
static bool
is_retrieval(void *ctx, const char *path, size_t len)
{
	static const char guid[] = "116B50EB-ECE2-41ac-8429-9F9E963361B7";
	static const char *const forms[][2] = {
		{"/", ""}, {"/{", "}"}, {"/%7B", "%7D"}};

	if (len > 0 && path[len - 1] == '/')
		len--;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		size_t before = strlen(forms[i][0]);
		size_t behind = strlen(forms[i][1]);

		if (len == before + sizeof(guid) - 1 + behind &&
			strncasecmp(path, forms[i][0], before) == 0 &&
			strncasecmp(path + before, guid, sizeof(guid) - 1) ==
				0 &&
			strncasecmp(path + len - behind, forms[i][1], behind) ==
				0)
			return true;
	}
	return false;
}

struct serve *
serve_new(struct loop *loop, struct service *service, const struct env *env,
	struct http_server *server)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->uploads = service_uploads(service);
	s->env = env;
	buf_init(&s->message, 4 + PCCRR_RESPONSE_MAX);
	LIST_INIT(&s->unused);
	s->http = (struct http_service){
		.match = is_retrieval,
		.methods = UINT64_C(1) << HTTP_POST,
		.body_max = PCCRR_REQUEST_MAX,
		.handle = on_request,
		.ended = on_ended,
		.cold = on_cold,
		.ctx = s,
	};
	http_server_add(server, &s->http);
	return s;
}

struct serve *
serve_free(struct serve *s)
{
	struct serve_block *b;

	if (s == NULL)
		return NULL;
	assert(s->n_running == 0);
	while ((b = LIST_FIRST(&s->unused)) != NULL) {
		LIST_REMOVE(b, link);
		free(b);
	}
	buf_done(&s->message);
	free(s);
	return NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/net/retrieve.h"
#include "tests/unit/closing.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_peer.h"

#define MANY     100
#define DATA_LEN 65552u

struct fixture {
	struct loop *loop;
	struct retrieve *retrieve;
	struct net_peer peer;
	unsigned fds;
	bool inside;
	unsigned done;
	uint8_t id[64];
	uint8_t iv[16];
	uint8_t *data;
	/* what the peer answers; NULL functions: the message as it is */
	struct pccrr_blk blk;
	uint32_t block_add;
	uint32_t answer_id_len; /* 0: as asked */
	void (*spoil)(struct buf *message, uint32_t word);
	uint32_t word;
	const char *raw; /* instead of all this: a body */
	size_t raw_len;
	const char *http;  /* or a whole answer */
	const char *first; /* a body, for the first request only */
	size_t first_len;
	unsigned first_after; /* so many answers come before it */
	/* the same for lists */
	struct pccrr_set held;
	struct pccrr_set asked; /* what came */
	uint32_t asked_type;
	uint32_t asked_algo;
	uint32_t asked_major;
};

struct ask {
	struct env_peer_request req;
	struct fixture *f;
	unsigned done;
	struct ask *then_cancel;
};

static const struct http_limits limits = {.per_host = 8, .total = 64};

static void
read_question(
	struct fixture *f, const uint8_t *body, size_t len, uint32_t *ret_block)
{
	struct pccrr_getblklist list = {0};
	struct pccrr_getblks m = {0};
	struct pccrr_header h;

	assert_int_equal(pccrr_parse_header(&h, body, len), 0);
	f->asked_type = h.type;
	f->asked_algo = h.algo;
	f->asked_major = h.major;
	if (h.type == PCCRR_GETBLKLIST) {
		assert_int_equal(pccrr_parse_getblklist(&list, body, len), 0);
		m.id = list.id;
		m.id_len = list.id_len;
		f->asked = list.needed;
	} else {
		assert_int_equal(pccrr_parse_getblks(&m, body, len), 0);
		assert_false(m.nothing);
	}
	assert_int_equal(m.id_len, f->blk.id_len);
	assert_memory_equal(m.id, f->id, m.id_len);
	*ret_block = m.block;
}

static void
build_answer(struct fixture *f, struct buf *b, uint32_t block)
{
	uint32_t id_len =
		f->answer_id_len > 0 ? f->answer_id_len : f->blk.id_len;
	const struct pccrr_blklist list = {
		.id = f->id, .id_len = id_len, .held = f->held};
	struct pccrr_blk blk = f->blk;

	blk.block = block + f->block_add;
	blk.id_len = id_len;
	if (f->asked_type == PCCRR_GETBLKLIST)
		assert_int_equal(pccrr_build_blklist(b, &list), 0);
	else
		assert_int_equal(pccrr_build_blk(b, &blk), 0);
	if (f->spoil != NULL)
		f->spoil(b, f->word);
}

static void
reply(struct net_peer *peer, const uint8_t *body, size_t len, struct buf *out)
{
	struct fixture *f = peer->ctx;
	uint32_t block;
	struct buf b;

	read_question(f, body, len, &block);
	if (f->http != NULL) {
		buf_append(out, f->http, strlen(f->http));
		return;
	}
	if (f->first != NULL && f->first_after-- == 0) {
		net_peer_ok(out, f->first, f->first_len);
		f->first = NULL;
		f->first_after = 0;
		return;
	}
	if (f->raw != NULL) {
		net_peer_ok(out, f->raw, f->raw_len);
		return;
	}
	buf_init(&b, 1 << 20);
	build_answer(f, &b, block);
	net_peer_ok(out, b.data, b.len);
	buf_done(&b);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds = count_fds();
	assert_int_equal(loop_new(&f->loop, NULL, NULL), 0);
	f->retrieve = retrieve_new(f->loop, &limits);
	assert_non_null(f->retrieve);
	net_peer_start(&f->peer, f->loop);
	f->peer.reply = reply;
	f->peer.ctx = f;
	f->data = malloc(2 * DATA_LEN);
	assert_non_null(f->data);
	for (size_t i = 0; i < 2 * DATA_LEN; i++)
		f->data[i] = (uint8_t)(i * 31 >> 3);
	memset(f->id, 0x5a, sizeof(f->id));
	memset(f->iv, 0xa5, sizeof(f->iv));
	f->blk = (struct pccrr_blk){.header.algo = PCCRR_AES128,
		.id = f->id,
		.id_len = 32,
		.data = f->data,
		.data_len = DATA_LEN,
		.iv = f->iv,
		.iv_len = 16};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(retrieve_free(f->retrieve));
	net_peer_stop(&f->peer);
	loop_free(f->loop);
	assert_int_equal(count_fds(), f->fds);
	free(f->data);
	free(f);
	return 0;
}

static void
on_done(struct env_peer_request *req)
{
	struct ask *t = container_of(req, struct ask, req);

	assert_false(t->f->inside);
	assert_int_equal(t->done, 0);
	t->done++;
	t->f->done++;
	if (t->then_cancel != NULL && t->then_cancel->done == 0)
		retrieve_cancel(t->f->retrieve, &t->then_cancel->req);
	net_wait_check();
}

static void
try_init(struct fixture *f, struct ask *t)
{
	memset(t, 0, sizeof(*t));
	t->f = f;
	t->req.addr = f->peer.addr;
	memcpy(t->req.id, f->id, sizeof(f->id));
	t->req.id_len = f->blk.id_len;
	t->req.block = 7;
	t->req.max_data = DATA_LEN;
	t->req.timeout_ms = 3000;
	t->req.memory = (void *)1;
	t->req.data = (void *)1;
	t->req.data_len = 1;
	t->req.done = on_done;
}

static void
start(struct fixture *f, struct ask *t)
{
	f->inside = true;
	retrieve_request(f->retrieve, &t->req);
	f->inside = false;
}

static void
cancel(struct fixture *f, struct ask *t)
{
	f->inside = true;
	retrieve_cancel(f->retrieve, &t->req);
	f->inside = false;
}

static bool
is_done(void *ctx)
{
	struct ask *t = ctx;

	return t->done > 0;
}

static bool
are_done(void *ctx)
{
	struct fixture *f = ctx;

	return f->done == MANY;
}

static bool
has_requests(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.requests > 0;
}

static bool
nobody_connected(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.open == 0;
}

static enum env_peer_status
finish(struct fixture *f, struct ask *t)
{
	net_wait(f->loop, is_done, t);
	if (t->req.status != ENV_PEER_OK) {
		assert_null(t->req.memory);
		assert_null(t->req.data);
		assert_int_equal(t->req.data_len, 0);
	}
	return t->req.status;
}

static enum env_peer_status
ask(struct fixture *f)
{
	struct ask t;

	try_init(f, &t);
	start(f, &t);
	finish(f, &t);
	if (t.req.status == ENV_PEER_OK) {
		assert_int_equal(t.req.algo, f->blk.header.algo);
		assert_memory_equal(t.req.iv, f->iv, 16);
		assert_int_equal(t.req.data_len, f->blk.data_len);
		assert_memory_equal(t.req.data, f->data, t.req.data_len);
		free(t.req.memory);
	}
	return t.req.status;
}

static void
test_good(void **state)
{
	static const char want[] =
		"POST /116B50EB-ECE2-41ac-8429-9F9E963361B7/ HTTP/1.1\r\n";
	struct fixture *f = *state;

	assert_int_equal(ask(f), ENV_PEER_OK);
	assert_memory_equal(f->peer.head, want, sizeof(want) - 1);
	assert_int_equal(f->asked_algo, PCCRR_AES128);
	assert_int_equal(f->asked_major, 1);
}

/* The peer chooses the cipher; ids of other hashes; a short last block; the
 * connection serves them all. */
static void
test_good_variants(void **state)
{
	struct fixture *f = *state;

	for (uint32_t algo = PCCRR_AES128; algo <= PCCRR_AES256; algo++)
		for (uint32_t id_len = 32; id_len <= 64; id_len += 16) {
			f->blk.header.algo = algo;
			f->blk.id_len = id_len;
			f->blk.data_len = 16 * algo * (id_len - 31);
			assert_int_equal(ask(f), ENV_PEER_OK);
		}
	assert_int_equal(f->peer.accepted, 1);
}

static void
test_slow_but_good(void **state)
{
	struct fixture *f = *state;

	f->peer.piece = 1;
	f->blk.data_len = 1024;
	assert_int_equal(ask(f), ENV_PEER_OK);
}

static void
test_largest_answer(void **state)
{
	struct fixture *f = *state;
	struct ask t;

	f->blk.data_len = 131088;
	try_init(f, &t);
	t.req.max_data = 131088;
	start(f, &t);
	assert_int_equal(finish(f, &t), ENV_PEER_OK);
	assert_int_equal(t.req.data_len, 131088);
	assert_memory_equal(t.req.data, f->data, 131088);
	free(t.req.memory);
}

static void
test_empty(void **state)
{
	struct fixture *f = *state;

	f->blk.data_len = 0;
	f->blk.iv_len = 0;
	assert_int_equal(ask(f), ENV_PEER_EMPTY);
	f->blk.header.algo = PCCRR_NONE;
	assert_int_equal(ask(f), ENV_PEER_EMPTY);
	/* "no" to another question is no answer */
	f->block_add = 1;
	assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
spoil_id(struct buf *b, uint32_t at)
{
	b->data[at] ^= 1;
}

static void
test_wrong_id(void **state)
{
	struct fixture *f = *state;

	f->spoil = spoil_id;
	for (f->word = 24; f->word < 24 + 32; f->word++)
		assert_int_equal(ask(f), ENV_PEER_BAD);
}

/* A longer id that begins with the asked one, and the reverse. */
static void
test_wrong_id_len(void **state)
{
	struct fixture *f = *state;

	f->answer_id_len = 48;
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->blk.id_len = 64;
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->answer_id_len = 64;
	assert_int_equal(ask(f), ENV_PEER_OK);
}

static void
test_wrong_block(void **state)
{
	struct fixture *f = *state;

	f->block_add = 1;
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->block_add = UINT32_MAX;
	assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
test_plaintext(void **state)
{
	struct fixture *f = *state;

	f->blk.header.algo = PCCRR_NONE;
	f->blk.iv_len = 0;
	assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
test_wrong_data_len(void **state)
{
	struct fixture *f = *state;

	f->blk.data_len = DATA_LEN + 16;
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->blk.data_len = 2 * DATA_LEN;
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->blk.data_len = DATA_LEN - 1;
	assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
spoil_byte(struct buf *b, uint32_t at)
{
	b->data[at]++;
}

/* Both sizes, version, type, cipher, all lengths: one more than it is. */
static void
test_wrong_numbers(void **state)
{
	static const uint32_t at[] = {0, 3, 6, 11, 15, 16, 23, 59, 64, 67};
	struct fixture *f = *state;

	f->blk.data_len = 48;
	f->spoil = spoil_byte;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		f->word = at[i];
		assert_int_equal(ask(f), ENV_PEER_BAD);
	}
}

static void
spoil_iv_len(struct buf *b, uint32_t n)
{
	b->data[b->len - 17] = (uint8_t)n;
}

static void
test_wrong_iv_len(void **state)
{
	struct fixture *f = *state;

	f->spoil = spoil_iv_len;
	f->word = 16;
	assert_int_equal(ask(f), ENV_PEER_OK);
	for (f->word = 0; f->word < 40; f->word++)
		if (f->word != 16)
			assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
spoil_cut(struct buf *b, uint32_t n)
{
	b->len = n;
}

/* A whole HTTP answer that holds a part of a message. */
static void
test_short_message(void **state)
{
	struct fixture *f = *state;

	f->blk.data_len = 16;
	f->spoil = spoil_cut;
	for (f->word = 0; f->word < 108; f->word++)
		assert_int_equal(ask(f), ENV_PEER_BAD);
	f->word = 108;
	assert_int_equal(ask(f), ENV_PEER_OK);
}

static void
spoil_more(struct buf *b, uint32_t n)
{
	buf_zero(b, n);
}

static void
test_trailing_bytes(void **state)
{
	struct fixture *f = *state;

	f->spoil = spoil_more;
	for (f->word = 1; f->word < 100000; f->word *= 7)
		assert_int_equal(ask(f), ENV_PEER_BAD);
}

static void
test_other_messages(void **state)
{
	static const char nego[] = {0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0,
		0, 24, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2};
	static const char blklist[] = {
		0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0, 0};
	struct fixture *f = *state;

	f->raw = nego;
	f->raw_len = sizeof(nego) - 1; /* sizes disagree */
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->raw = blklist;
	f->raw_len = sizeof(blklist);
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->raw = "<html>hotel log-in</html>";
	f->raw_len = strlen(f->raw);
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->raw_len = 0;
	assert_int_equal(ask(f), ENV_PEER_BAD);
}

/* Lists */

static void
set_of(struct pccrr_set *s, const char *blocks)
{
	memset(s, 0, sizeof(*s));
	for (; *blocks != '\0'; blocks++)
		pccrr_set_add(s, (uint32_t)(*blocks - 'a') * 17);
}

static enum env_peer_status
ask_list(struct fixture *f, const char *blocks, const char *got)
{
	struct pccrr_set want;
	struct ask t;

	try_init(f, &t);
	t.req.kind = ENV_PEER_LIST;
	set_of(&t.req.asked, blocks);
	memset(&t.req.held, 0xee, sizeof(t.req.held));
	start(f, &t);
	net_wait(f->loop, is_done, &t);
	assert_null(t.req.memory);
	if (t.req.status == ENV_PEER_OK) {
		set_of(&want, got);
		assert_memory_equal(&t.req.held, &want, sizeof(want));
	}
	return t.req.status;
}

static void
test_list(void **state)
{
	struct fixture *f = *state;
	struct pccrr_set want;

	set_of(&f->held, "bcxyz");
	set_of(&want, "abcd");
	assert_int_equal(ask_list(f, "abcd", "bc"), ENV_PEER_OK);
	assert_int_equal(f->asked_type, PCCRR_GETBLKLIST);
	assert_int_equal(f->asked_major, 1);
	assert_int_equal(f->asked_algo, PCCRR_AES128);
	assert_memory_equal(&f->asked, &want, sizeof(want));
	/* all of them */
	assert_int_equal(ask_list(f, "bcxyz", "bcxyz"), ENV_PEER_OK);
	/* only what nobody asked for, and nothing at all */
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_EMPTY);
	set_of(&f->held, "");
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_EMPTY);
	/* lists and blocks on one connection */
	assert_int_equal(ask(f), ENV_PEER_OK);
	assert_int_equal(f->peer.accepted, 1);
}

/* Each second block: as many ranges as there can be. */
static void
test_list_longest(void **state)
{
	struct fixture *f = *state;
	struct ask t;

	for (uint32_t i = 0; i < PCCRR_BLOCKS_MAX; i += 2)
		pccrr_set_add(&f->held, i);
	try_init(f, &t);
	t.req.kind = ENV_PEER_LIST;
	memset(&t.req.asked, 0xff, sizeof(t.req.asked));
	start(f, &t);
	assert_int_equal(finish(f, &t), ENV_PEER_OK);
	assert_memory_equal(&t.req.held, &f->held, sizeof(f->held));
}

static void
test_list_bad(void **state)
{
	struct fixture *f = *state;

	set_of(&f->held, "ab");
	f->spoil = spoil_id;
	for (f->word = 24; f->word < 24 + 32; f->word++)
		assert_int_equal(ask_list(f, "ab", ""), ENV_PEER_BAD);
	f->spoil = NULL;
	f->answer_id_len = 48;
	assert_int_equal(ask_list(f, "ab", ""), ENV_PEER_BAD);
	f->answer_id_len = 0;
	f->spoil = spoil_cut;
	for (f->word = 0; f->word < 80; f->word++)
		assert_int_equal(ask_list(f, "ab", ""), ENV_PEER_BAD);
	assert_int_equal(ask_list(f, "ab", "ab"), ENV_PEER_OK);
	f->spoil = spoil_more;
	for (f->word = 1; f->word < 100000; f->word *= 7)
		assert_int_equal(ask_list(f, "ab", ""), ENV_PEER_BAD);
}

/* A block instead of a list, and the reverse. */
static void
test_list_or_block(void **state)
{
	struct fixture *f = *state;
	struct buf b;

	f->blk.data_len = 16;
	buf_init(&b, 4096);
	f->asked_type = PCCRR_GETBLKS;
	build_answer(f, &b, 7);
	f->raw = (char *)b.data;
	f->raw_len = b.len;
	assert_int_equal(ask(f), ENV_PEER_OK);
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_BAD);
	buf_reset(&b);
	set_of(&f->held, "a");
	f->asked_type = PCCRR_GETBLKLIST;
	build_answer(f, &b, 7);
	f->raw = (char *)b.data;
	f->raw_len = b.len;
	assert_int_equal(ask_list(f, "a", "a"), ENV_PEER_OK);
	assert_int_equal(ask(f), ENV_PEER_BAD);
	buf_done(&b);
}

static void
test_list_http_failures(void **state)
{
	struct fixture *f = *state;

	f->http = "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_UNSUPPORTED);
	f->http = "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_UNSUPPORTED);
	f->http = "HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_REFUSED);
	f->http = "what?";
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_BAD);
	f->peer.close_at_once = true;
	assert_int_equal(ask_list(f, "a", ""), ENV_PEER_REFUSED);
}

/* Versions */

#define NEGO(min, max) \
	{ \
		0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, \
			0, 0, 0, min, 0, 0, 0, max \
	}
#define NEGO_SIZE 28

struct nego_case {
	char message[NEGO_SIZE];
	uint32_t major; /* in which it is asked again; 0: it is not */
};

static const struct nego_case nego_cases[] = {
	{NEGO(1, 1), 1},
	{NEGO(2, 2), 2},
	{NEGO(1, 2), 2},
	{NEGO(2, 9), 2},
	{NEGO(0, 1), 1},
	{NEGO(3, 9), 0},
	{NEGO(0, 0), 0},
};

static void
test_nego(void **state)
{
	struct fixture *f = *state;

	set_of(&f->held, "a");
	for (size_t i = 0; i < ARRAY_LEN(nego_cases); i++) {
		const struct nego_case *c = &nego_cases[i];

		f->first = c->message;
		f->first_len = NEGO_SIZE;
		assert_int_equal(
			ask(f), c->major > 0 ? ENV_PEER_OK : ENV_PEER_REFUSED);
		assert_int_equal(f->asked_major, c->major > 0 ? c->major : 1);
		f->first = c->message;
		assert_int_equal(ask_list(f, "ab", "a"),
			c->major > 0 ? ENV_PEER_OK : ENV_PEER_UNSUPPORTED);
		assert_int_equal(f->asked_major, c->major > 0 ? c->major : 1);
	}
	assert_int_equal(f->peer.accepted, 1);
}

/* Once, not for ever. */
static void
test_nego_again(void **state)
{
	struct fixture *f = *state;

	f->raw = nego_cases[2].message;
	f->raw_len = NEGO_SIZE;
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
	assert_int_equal(f->peer.requests, 2);
	assert_int_equal(ask_list(f, "ab", ""), ENV_PEER_UNSUPPORTED);
	assert_int_equal(f->peer.requests, 4);
}

static bool
has_two_requests(void *ctx)
{
	struct fixture *f = ctx;

	return f->peer.requests == 2;
}

/* The second request is given up, cancelled, out of time. */
static void
test_nego_then_end(void **state)
{
	struct fixture *f = *state;
	struct ask t;

	for (int i = 0; i < 3; i++) {
		f->peer.requests = 0;
		f->peer.silent = false;
		f->peer.silent_after = 1;
		f->raw = nego_cases[2].message;
		f->raw_len = NEGO_SIZE;
		try_init(f, &t);
		t.req.timeout_ms = i == 1 ? 100 : 3000;
		start(f, &t);
		net_wait(f->loop, has_two_requests, f);
		if (i == 0)
			cancel(f, &t);
		if (i == 2)
			f->retrieve = retrieve_free(f->retrieve);
		assert_int_equal(finish(f, &t),
			i == 1 ? ENV_PEER_TIMEOUT : ENV_PEER_REFUSED);
	}
}

static bool
are_two_done(void *ctx)
{
	struct fixture *f = ctx;

	return f->done == 2;
}

/* Both end in one pass.  The one that is told cancels the other, which has the
 * range of versions and is not told yet. */
static void
test_nego_cancelled(void **state)
{
	struct fixture *f = *state;
	unsigned most = 0;
	struct ask t[2];

	for (int i = 0; i < 2; i++) {
		f->done = 0;
		f->peer.requests = 0;
		f->peer.hold = 2;
		f->first = nego_cases[2].message;
		f->first_len = NEGO_SIZE;
		f->first_after = (unsigned)i;
		for (size_t k = 0; k < ARRAY_LEN(t); k++) {
			try_init(f, &t[k]);
			t[k].req.block = (uint32_t)k;
			start(f, &t[k]);
		}
		t[0].then_cancel = &t[1];
		t[1].then_cancel = &t[0];
		net_wait(f->loop, are_two_done, f);
		assert_int_equal((t[0].req.status == ENV_PEER_OK) +
				(t[1].req.status == ENV_PEER_OK),
			1);
		most += f->peer.requests;
		free(t[0].req.memory);
		free(t[1].req.memory);
	}
	/* In one of the two orders it was asked again before the cancel. */
	assert_true(most <= 5);
}

static void
test_http_failures(void **state)
{
	struct fixture *f = *state;

	f->http = "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\noh!";
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
	f->http = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
	f->http = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->peer.close_after = true;
	f->http = "hello, who is there?\r\n";
	assert_int_equal(ask(f), ENV_PEER_BAD);
	f->http = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123";
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
}

static void
test_gone(void **state)
{
	struct fixture *f = *state;

	f->peer.close_at_once = true;
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
	f->peer.close_at_once = false;
	f->peer.cut = 30000;
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
	net_peer_stop(&f->peer);
	assert_int_equal(ask(f), ENV_PEER_REFUSED);
}

static void
test_timeout(void **state)
{
	struct fixture *f = *state;
	struct ask t;

	for (int i = 0; i < 2; i++) {
		f->peer.silent = i == 0;
		f->peer.piece = 50;
		f->peer.delay_ms = 20;
		try_init(f, &t);
		t.req.timeout_ms = 60;
		start(f, &t);
		assert_int_equal(finish(f, &t), ENV_PEER_TIMEOUT);
		net_wait(f->loop, nobody_connected, f);
	}
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;
	struct ask t;

	try_init(f, &t);
	start(f, &t);
	cancel(f, &t);
	assert_int_equal(finish(f, &t), ENV_PEER_REFUSED);
	assert_int_equal(f->peer.requests, 0);

	f->peer.silent = true;
	try_init(f, &t);
	start(f, &t);
	net_wait(f->loop, has_requests, f);
	cancel(f, &t);
	cancel(f, &t);
	assert_int_equal(finish(f, &t), ENV_PEER_REFUSED);
	net_wait(f->loop, nobody_connected, f);
}

static void
test_many(void **state)
{
	struct fixture *f = *state;
	struct ask *t = calloc(MANY, sizeof(*t));

	assert_non_null(t);
	f->blk.data_len = 1024;
	f->peer.hold = 8;
	for (uint32_t i = 0; i < MANY; i++) {
		try_init(f, &t[i]);
		t[i].req.block = i;
		start(f, &t[i]);
	}
	for (uint32_t i = 1; i < MANY; i += 3)
		cancel(f, &t[i]);
	net_wait(f->loop, are_done, f);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_int_equal(t[i].req.status,
			i % 3 == 1 ? ENV_PEER_REFUSED : ENV_PEER_OK);
		free(t[i].req.memory);
	}
	assert_int_equal(f->peer.most, 8);
	free(t);
}

static void
test_free_with_requests(void **state)
{
	struct fixture *f = *state;
	struct ask t[20];

	f->peer.silent = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i]);
		start(f, &t[i]);
	}
	net_wait(f->loop, has_requests, f);
	f->retrieve = retrieve_free(f->retrieve);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(t[i].done, 1);
		assert_int_equal(t[i].req.status, ENV_PEER_REFUSED);
	}
}

/* A request for which there is no memory is told later as well, and may be
 * cancelled until then. */
static void
test_no_memory(void **state)
{
	struct fixture *f = *state;
	unsigned long n;
	struct ask t;

	for (n = 1; n < 20; n++) {
		f->retrieve = retrieve_free(f->retrieve);
		f->retrieve = retrieve_new(f->loop, &limits);
		try_init(f, &t);
		failalloc_arm(n);
		start(f, &t);
		if (!failalloc_disarm())
			break;
		if (n % 2 == 0)
			cancel(f, &t);
		assert_int_equal(finish(f, &t), ENV_PEER_REFUSED);
	}
	assert_int_equal(finish(f, &t), ENV_PEER_OK);
	free(t.req.memory);
	assert_true(n >= 5); /* exchange, message, host, connection */
}

/* Of several such, one that is told cancels one that is not yet. */
static void
test_no_memory_cancel(void **state)
{
	struct fixture *f = *state;
	struct ask t[3];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		try_init(f, &t[i]);
		failalloc_arm(1);
		start(f, &t[i]);
		assert_true(failalloc_disarm());
	}
	/* the last is told first */
	t[2].then_cancel = &t[0];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(finish(f, &t[i]), ENV_PEER_REFUSED);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_good_variants),
		TEST(test_slow_but_good),
		TEST(test_largest_answer),
		TEST(test_empty),
		TEST(test_wrong_id),
		TEST(test_wrong_id_len),
		TEST(test_wrong_block),
		TEST(test_plaintext),
		TEST(test_wrong_data_len),
		TEST(test_wrong_numbers),
		TEST(test_wrong_iv_len),
		TEST(test_short_message),
		TEST(test_trailing_bytes),
		TEST(test_other_messages),
		TEST(test_list),
		TEST(test_list_longest),
		TEST(test_list_bad),
		TEST(test_list_or_block),
		TEST(test_list_http_failures),
		TEST(test_nego),
		TEST(test_nego_again),
		TEST(test_nego_then_end),
		TEST(test_nego_cancelled),
		TEST(test_http_failures),
		TEST(test_gone),
		TEST(test_timeout),
		TEST(test_cancel),
		TEST(test_many),
		TEST(test_free_with_requests),
		TEST(test_no_memory),
		TEST(test_no_memory_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

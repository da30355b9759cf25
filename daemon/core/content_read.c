/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads.
 *
 * A read goes round between these places until it ends; op->u.read.work is what
 * runs for it at the moment, op->source what it waits on:
 *
 *	look    the store is asked which blocks of the read's window are there
 *	get     they are decrypted by a worker into the read half, or copied
 *	        there if they have just come from peers (fetch_kept.c)
 *	room    waits for the client to give back read ranges
 *	fetch   waits for a block to come from a peer; then looks again
 *	hole    the store is asked how far the missing range reaches
 *
 * The timer runs from the start (BlockRead) or from when the read holds the
 * stream's cursor (StreamRead).  When it fires, the verdict is set; a read that
 * waits for a peer goes to "hole", one that is looking decides when the store
 * has answered, and one that has its data coming, or there and no room for it,
 * is let through.
 *
 * A read that ends early (cancelled, closed) leaves its work behind, which
 * finds no op when it comes back: the range of a get stays ours until its
 * worker has ended, and is freed then.
 *
 * Stream reads queue up on the content; the head alone is active, because where
 * the next one starts depends on how it ends.  Mostly it ends well, though, so
 * while the head's blocks are being decrypted those of the next read are
 * fetched ahead, by work that belongs to no operation yet (content->ahead).
 * When its turn comes the next read takes this over if it begins where the work
 * does; else the work is dropped.
 *
 * What comes from peers takes longer than a read may wait, so stream reads that
 * miss also have the blocks wanted that lie FETCH_ON behind them; later reads
 * carry that on, whether they miss or not, until a whole stretch was there
 * already.  A block read has only its own window fetched.
 *
 * A query (room for 0 bytes) only counts what is there, look after look.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/content.h"
#include "daemon/core/fetch.h"

#define INLINE_MAX         4096u
#define READ_MAX           (1024u * 1024u)
#define WINDOW_BLOCKS      64 /* of one look for a read */
#define HOLE_BLOCKS        512
#define HOLE_BYTES         PCCRC_SEGMENT_SIZE
#define FETCH_ON           (4u * 1024 * 1024) /* and WINDOW_BLOCKS at most */
#define FETCH_STEP         (1024u * 1024)
#define TIMEOUT_DEFAULT_MS 5000u

enum work_kind { WORK_LOOK, WORK_QUERY, WORK_HOLE, WORK_GET, WORK_FETCH_ON };

struct read_work {
	enum work_kind kind;
	struct content *content; /* reference */
	struct op *op;           /* NULL: ended */
	uint64_t offset;         /* first byte this is about */
	size_t n;
	size_t max;     /* of pos and refs; they lie behind */
	uint32_t asked; /* how much the read wants */
	bool ready;     /* ahead: has been read, waits for its operation */
	struct content_pos *pos;
	struct store_ref *refs;
	union {
		struct store_lookup look;
		struct store_get get;
	} u;
	/* get */
	uint32_t len;
	uint32_t range_offset;
	uint32_t range_len; /* 0: "small" is used */
	uint8_t *small;
	/* query */
	uint64_t counted;
};

static void look_done(struct store_lookup *);
static struct read_work *look_new(struct content *, uint64_t at, uint32_t len);
static void read_look(struct op *);
static void read_hole(struct op *, bool nobody);

static struct service *
service_of(const struct content *c)
{
	return c->session->service;
}

static void
work_free(struct read_work *w)
{
	content_unref(w->content);
	free(w->small);
	free(w);
}

/* How many blocks [from, to) touches: a million reads may be under way, so each
 * takes no more room than it needs. */
static size_t
blocks_between(const struct pccrc_info *info, uint64_t from, uint64_t to)
{
	assert(from < to);
	if (info->version == 2)
		return pccrc_segment_at(info, to - 1) -
			pccrc_segment_at(info, from) + 1;
	/* Segments begin at multiples of their size. */
	return (size_t)((to - 1) / PCCRC_BLOCK_SIZE - from / PCCRC_BLOCK_SIZE +
		1);
}

/* The blocks from the one that holds w->offset up to limit. */
static void
work_fill(struct read_work *w, uint64_t limit)
{
	uint64_t at = w->offset;

	while (w->n < w->max && at < limit) {
		struct content_pos *pos = &w->pos[w->n];

		if (!content_locate(w->content, at, pos) || !pos->listed)
			break;
		content_ref_block(
			w->content, pos->segment, pos->block, &w->refs[w->n]);
		at = pos->start + pos->len;
		w->n++;
	}
}

/* Work on [offset, limit), or on the first max blocks of that.  NULL: no
 * memory. */
static struct read_work *
work_new(struct content *c, enum work_kind kind, uint64_t offset,
	uint64_t limit, size_t max)
{
	size_t n = MIN_OF(blocks_between(c->info, offset, limit), max);
	struct read_work *w = calloc(
		1, sizeof(*w) + n * (sizeof(w->pos[0]) + sizeof(w->refs[0])));

	if (w == NULL)
		return NULL;
	w->pos = (struct content_pos *)(w + 1);
	w->refs = (struct store_ref *)(w->pos + n);
	w->max = n;
	w->kind = kind;
	w->content = content_ref(c);
	w->offset = offset;
	work_fill(w, limit);
	assert(w->n > 0);
	return w;
}

static uint64_t
end_of(const struct content_pos *pos)
{
	return pos->start + pos->len;
}

/* How many blocks from the first on have (or have not) this status. */
static size_t
leading(const struct read_work *w, bool present)
{
	size_t i = 0;

	while (i < w->n && (w->refs[i].status == STORE_OK) == present)
		i++;
	return i;
}

/* Takes the work off its op; NULL when the op has ended. */
static struct op *
work_back(struct read_work *w)
{
	struct op *op = w->op;

	service_of(w->content)->busy--;
	if (op != NULL)
		op->u.read.work = NULL;
	return op;
}

void
content_read_forget(struct op *op)
{
	struct read_work *w = op->u.read.work;

	if (w != NULL)
		w->op = NULL;
	if (op->head)
		content_of_op(op)->stream_head = NULL;
}

/* bytes and offset of a read's end move the cursor when it is a stream read. */
static void
read_finish(struct op *op, struct op_result *result)
{
	struct content *c = content_of_op(op);

	if (op->kind == OP_STREAM_READ && op->u.read.len > 0 &&
		(result->status == CORE_OK ||
			result->status == CORE_E_MISSING_DATA ||
			result->status == CORE_E_TIMEOUT))
		c->cursor = result->offset + result->bytes;
	op_finish(op, result);
}

static void
read_fail(struct op *op, enum core_result status)
{
	read_finish(op, &(struct op_result){.status = status});
}

static uint32_t
saturate(uint64_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* op may be NULL. */
static void
start_look(
	struct read_work *w, struct op *op, void (*done)(struct store_lookup *))
{
	struct block_store *store = service_of(w->content)->store;

	w->op = op;
	if (op != NULL)
		op->u.read.work = w;
	w->u.look.refs = w->refs;
	w->u.look.n_refs = w->n;
	w->u.look.done = done;
	service_of(w->content)->busy++;
	store->ops->lookup(store, &w->u.look);
}

/* Plaintext bytes [from, to) of a block.  CBC lets one begin at any cipher
 * block; only what is not whole 16 bytes takes the way over a small buffer. */
static bool
decrypt_part(struct bulk *bulk, const uint8_t *kp,
	const struct store_block *block, uint32_t from, uint32_t to,
	uint8_t *dst)
{
	size_t key_len = pccrr_key_len(block->algo);

	while (from < to) {
		uint32_t base = from & ~15u;
		uint32_t body = from == base ? (to - from) & ~15u : 0;
		const uint8_t *iv =
			base == 0 ? block->iv : block->cipher + base - 16;
		uint8_t part[16];
		uint32_t n;

		if (body > 0) {
			if (bulk_decrypt(bulk, kp, key_len, iv,
				    block->cipher + base, body, dst) < 0)
				return false;
			n = body;
		} else {
			if (bulk_decrypt(bulk, kp, key_len, iv,
				    block->cipher + base, 16, part) < 0)
				return false;
			n = MIN_OF(base + 16, to) - from;
			memcpy(dst, part + (from - base), n);
		}
		dst += n;
		from += n;
	}
	return true;
}

static uint8_t *
out_of(const struct read_work *w)
{
	return w->range_len > 0
		? area_read_at(w->content->session->area, w->range_offset)
		: w->small;
}

/* On a worker. */
static bool
get_consume(struct store_get *get, size_t i, const struct store_block *block,
	struct bulk *bulk)
{
	struct read_work *w = container_of(get, struct read_work, u.get);
	const struct content_pos *pos = &w->pos[i];
	const struct pccrc_info *info = w->content->info;
	uint64_t from = MAX_OF(pos->start, w->offset);
	uint64_t to = MIN_OF(end_of(pos), w->offset + w->len);

	if (block->plain_len != pos->len ||
		block->cipher_len < (pos->len + 15) / 16 * 16 ||
		pccrr_key_len(block->algo) == 0)
		return false;
	return decrypt_part(bulk, info->segments[pos->segment].kp, block,
		(uint32_t)(from - pos->start), (uint32_t)(to - pos->start),
		out_of(w) + (from - w->offset));
}

static void
release_range(struct read_work *w)
{
	struct session *s = w->content->session;

	if (w->range_len == 0)
		return;
	area_read_free(s->area, w->range_offset, w->range_len);
	w->range_len = 0;
	if (!s->closed)
		content_room(s);
}

/* The blocks that a read wanted have been read. */
static void
get_finish(struct read_work *w, struct op *op)
{
	struct op_result result = {.has_offset = true, .offset = w->offset};
	size_t n = leading(w, true);

	assert(n > 0);
	result.bytes =
		(uint32_t)(MIN_OF(end_of(&w->pos[n - 1]), w->offset + w->len) -
			w->offset);
	if (w->range_len > 0) {
		result.range_offset = w->range_offset;
		result.range_len = w->range_len;
		area_read_sent(w->content->session->area, w->range_offset,
			w->range_len);
	} else {
		result.inline_data = w->small;
		result.inline_len = result.bytes;
	}
	service_of(w->content)->counters.bytes_read_local += result.bytes;
	read_finish(op, &result);
	work_free(w);
}

static void
get_done(struct store_get *get)
{
	struct read_work *w = container_of(get, struct read_work, u.get);
	struct content *c = w->content;
	struct op *op = work_back(w);
	size_t n = leading(w, true);

	if (op != NULL && n > 0) {
		get_finish(w, op);
		return;
	}
	if (c->ahead == w && n == w->n) {
		w->ready = true;
		return;
	}
	if (c->ahead == w)
		c->ahead = NULL;
	release_range(w);
	work_free(w);
	if (op == NULL)
		return;
	/* It was there and is not any more: look again.  What comes behind it
	 * may have to wait long now. */
	content_ahead_drop(c);
	read_look(op);
}

/* As much as one read may give. */
static uint32_t
read_most(const struct session *s)
{
	return (uint32_t)MIN_OF(
		READ_MAX, MAX_OF(area_read_size(s->area), INLINE_MAX));
}

/* The bytes were still in memory. */
static void
copy_done(void *ctx, bool ran)
{
	struct read_work *w = ctx;

	for (size_t i = 0; !ran && i < w->n; i++)
		w->refs[i].status = STORE_MISSING;
	get_done(&w->u.get);
}

/* Somewhere for the bytes.  false: no room now; *ret_fatal: no memory. */
static bool
get_place(struct read_work *w, bool *ret_fatal)
{
	struct area *area = w->content->session->area;

	*ret_fatal = false;
	if (w->len > INLINE_MAX) {
		if (!area_read_alloc(area, w->len, &w->range_offset))
			return false;
		w->range_len = w->len;
		return true;
	}
	w->small = malloc(w->len);
	*ret_fatal = w->small == NULL;
	return w->small != NULL;
}

/* Reads the first n blocks of the look, which are there, for op or NULL.
 * false: there is no room for them now, or (*ret_fatal) no memory. */
static bool
get_start(struct read_work *w, struct op *op, size_t n, bool *ret_fatal)
{
	struct block_store *store = service_of(w->content)->store;
	struct session *s = w->content->session;
	uint64_t end =
		MIN_OF(end_of(&w->pos[n - 1]), w->content->info->range_end);

	w->len = (uint32_t)MIN_OF(
		MIN_OF(w->asked, read_most(s)), end - w->offset);
	if (!get_place(w, ret_fatal))
		return false;
	/* Blocks behind the last byte are not read. */
	while (n > 1 && w->pos[n - 1].start >= w->offset + w->len)
		n--;
	w->n = n;
	w->kind = WORK_GET;
	w->op = op;
	if (op != NULL)
		op->u.read.work = w;
	memset(&w->u.get, 0, sizeof(w->u.get));
	w->u.get.refs = w->refs;
	w->u.get.n_refs = n;
	w->u.get.uid = s->identity.uid;
	w->u.get.consume = get_consume;
	w->u.get.done = get_done;
	service_of(w->content)->busy++;
	if (!fetch_kept_copy(
		    w->content, w->offset, w->len, out_of(w), copy_done, w))
		store->ops->get(store, &w->u.get);
	return true;
}

void
content_ahead_drop(struct content *c)
{
	struct read_work *w = c->ahead;

	if (c->closed)
		fetch_left(c);
	c->ahead = NULL;
	/* One that runs finds out when it comes back. */
	if (w != NULL && w->ready) {
		release_range(w);
		work_free(w);
	}
}

/* The head has its blocks coming: looks for those of the next read. */
static void
ahead_start(struct content *c)
{
	struct op *next = TAILQ_FIRST(&c->stream_queue.waiters);
	const struct read_work *w = c->stream_head->u.read.work;
	uint64_t at = w->offset + w->len;

	/* What fits into a frame is not worth it; who waits for room comes
	 * first. */
	if (c->ahead != NULL || next == NULL ||
		next->u.read.len <= INLINE_MAX || at >= c->info->range_end ||
		!TAILQ_EMPTY(&c->session->room.waiters))
		return;
	c->ahead = look_new(c, at, next->u.read.len);
	if (c->ahead != NULL)
		start_look(c->ahead, NULL, look_done);
}

/* Only a whole one is taken: more may have come when the read's turn is. */
static void
ahead_get(struct read_work *w)
{
	bool fatal;

	if (leading(w, true) == w->n && get_start(w, NULL, w->n, &fatal))
		return;
	w->content->ahead = NULL;
	work_free(w);
}

/* Takes over what was begun for op, which holds the cursor now; false: there is
 * nothing for it. */
static bool
ahead_adopt(struct content *c, struct op *op)
{
	struct read_work *w = c->ahead;

	if (w == NULL)
		return false;
	if (w->offset != op->u.read.offset || w->asked != op->u.read.len) {
		content_ahead_drop(c);
		return false;
	}
	c->ahead = NULL;
	if (w->ready) {
		get_finish(w, op);
		return true;
	}
	w->op = op;
	op->u.read.work = w;
	if (w->kind == WORK_GET)
		ahead_start(c);
	return true;
}

/* The first n blocks of the look are there. */
static void
read_get(struct read_work *w, struct op *op, size_t n)
{
	struct content *c = w->content;
	bool fatal, started = get_start(w, op, n, &fatal);

	/* What lies ready for a later one may be what is missing. */
	if (!started && c->ahead != NULL) {
		content_ahead_drop(c);
		started = get_start(w, op, n, &fatal);
	}
	if (!started) {
		work_free(w);
		if (fatal)
			read_fail(op, CORE_E_NO_MEMORY);
		else
			op_wait(op, &c->session->room);
		return;
	}
	if (op->head)
		ahead_start(c);
}

/* What is not there of the look's window, from its block first on. */
static void
want_window(const struct read_work *w, size_t first)
{
	for (size_t i = first; i < w->n; i++)
		if (w->refs[i].status != STORE_OK)
			(void)fetch_want(w->content, w->pos[i].segment,
				w->pos[i].block, NULL);
}

static void
fetch_on_done(struct store_lookup *look)
{
	struct read_work *w = container_of(look, struct read_work, u.look);
	struct content *c = w->content;

	(void)work_back(w);
	c->fetch_on_busy = false;
	if (!c->closed) {
		c->fetched_to = end_of(&w->pos[w->n - 1]);
		c->fetch_on = leading(w, true) < w->n;
		want_window(w, 0);
		fetch_go(service_of(c));
	}
	work_free(w);
}

/* Wants what lies behind at, where the stream goes on. */
static void
fetch_on(struct content *c, uint64_t at)
{
	uint64_t end = c->info->range_end;
	uint64_t from = MAX_OF(at, c->fetched_to);
	struct read_work *w;

	if (c->fetch_on_busy || from >= end || from - at >= FETCH_ON)
		return;
	end = MIN_OF(end, at + MIN_OF(FETCH_ON, end - at));
	if (end - from < FETCH_STEP && end < c->info->range_end)
		return;
	w = work_new(c, WORK_FETCH_ON, from, end, WINDOW_BLOCKS);
	if (w == NULL)
		return;
	c->fetch_on_busy = true;
	start_look(w, NULL, fetch_on_done);
}

/* Its window, which ends here, is being fetched. */
static void
stream_missed(struct content *c, uint64_t end)
{
	if (!c->fetch_on)
		c->fetched_to = 0;
	c->fetched_to = MAX_OF(c->fetched_to, end);
	c->fetch_on = true;
	fetch_on(c, c->cursor);
}

/* The first block is not there. */
static void
read_miss(struct read_work *w, struct op *op)
{
	struct content *c = w->content;
	enum fetch_answer answer;

	if (op->verdict == CORE_OK && op->u.read.timeout_ms == 0)
		op->verdict = CORE_E_MISSING_DATA;
	if (op->verdict != CORE_OK) {
		read_hole(op, false);
		return;
	}
	answer = fetch_want(c, w->pos[0].segment, w->pos[0].block, op);
	switch (answer) {
	case FETCH_WAIT:
		want_window(w, 1);
		if (op->head)
			stream_missed(c, end_of(&w->pos[w->n - 1]));
		break;
	case FETCH_NOBODY:
		op->verdict = CORE_E_MISSING_DATA;
		read_hole(op, true);
		break;
	case FETCH_NO_MEMORY:
		read_fail(op, CORE_E_NO_MEMORY);
		break;
	}
	fetch_go(service_of(c));
}

static void
look_done(struct store_lookup *look)
{
	struct read_work *w = container_of(look, struct read_work, u.look);
	struct op *op = work_back(w);
	size_t n;

	if (op == NULL) {
		if (w->content->ahead == w)
			ahead_get(w);
		else
			work_free(w);
		return;
	}
	n = leading(w, true);
	if (n > 0) {
		read_get(w, op, n);
		return;
	}
	read_miss(w, op);
	work_free(w);
}

static void query_look(struct op *, uint64_t at, uint64_t counted);

static void
query_done(struct store_lookup *look)
{
	struct read_work *w = container_of(look, struct read_work, u.look);
	struct op *op = work_back(w);
	uint64_t end = w->content->info->range_end;
	uint64_t at = w->offset, counted = w->counted;
	size_t n = leading(w, true);
	bool more;

	if (n > 0) {
		uint64_t to = MIN_OF(end_of(&w->pos[n - 1]), end);

		counted += to - at;
		at = to;
	}
	more = n > 0 && n == w->n && at < end && counted < UINT32_MAX;
	work_free(w);
	if (op == NULL)
		return;
	if (more)
		query_look(op, at, counted);
	else
		read_finish(op,
			&(struct op_result){
				.bytes = saturate(counted),
				.offset = op->u.read.offset,
				.has_offset = true,
			});
}

static void
query_look(struct op *op, uint64_t at, uint64_t counted)
{
	struct content *c = content_of_op(op);
	struct read_work *w =
		work_new(c, WORK_QUERY, at, c->info->range_end, WINDOW_BLOCKS);

	if (w == NULL) {
		read_fail(op, CORE_E_NO_MEMORY);
		return;
	}
	w->counted = counted;
	start_look(w, op, query_done);
}

/* A look at what a read of len bytes from at on would give. */
static struct read_work *
look_new(struct content *c, uint64_t at, uint32_t len)
{
	uint64_t most = MIN_OF(len, READ_MAX);
	struct read_work *w;

	w = work_new(c, WORK_LOOK, at,
		at + MIN_OF(most, c->info->range_end - at), WINDOW_BLOCKS);
	if (w != NULL)
		w->asked = len;
	return w;
}

static void
read_look(struct op *op)
{
	struct content *c = content_of_op(op);
	uint64_t at = op->u.read.offset;
	uint64_t end = c->info->range_end;
	struct read_work *w;

	if (at < c->info->range_start || at >= end) {
		read_fail(op, CORE_E_NO_MORE);
		return;
	}
	if (op->u.read.len == 0) {
		query_look(op, at, 0);
		return;
	}
	w = look_new(c, at, op->u.read.len);
	if (w == NULL) {
		read_fail(op, CORE_E_NO_MEMORY);
		return;
	}
	start_look(w, op, look_done);
}

/* How many blocks of a hole to report: as far as the store has none, and, when
 * peers were asked, none is about to come.  What they were not asked for counts
 * only where it was to be read. */
static size_t
hole_blocks(struct read_work *w, struct op *op)
{
	size_t n = leading(w, false);

	if (op->verdict != CORE_E_MISSING_DATA || op->u.read.timeout_ms == 0)
		return n;
	for (size_t i = 1; i < n; i++) {
		const struct content_pos *pos = &w->pos[i];
		enum fetch_state state =
			fetch_state(w->content, pos->segment, pos->block);

		if (state == FETCH_COMING ||
			(state == FETCH_UNTRIED &&
				pos->start - op->u.read.offset >=
					op->u.read.len))
			return i;
	}
	return n;
}

static void
hole_done(struct store_lookup *look)
{
	struct read_work *w = container_of(look, struct read_work, u.look);
	struct op *op = work_back(w);
	const struct pccrc_info *info = w->content->info;
	struct op_result result = {.has_offset = true};
	uint64_t end;
	size_t n;

	if (op == NULL) {
		work_free(w);
		return;
	}
	n = hole_blocks(w, op);
	if (n == 0) {
		/* It has come after all; the verdict stands should it be gone
		 * again, since no timer runs any more. */
		work_free(w);
		read_look(op);
		return;
	}
	result.status = op->verdict;
	/* A stream read's range begins at the cursor exactly, since the cursor
	 * then moves on by its length. */
	result.offset = op->kind == OP_STREAM_READ
		? w->offset
		: MAX_OF(w->pos[0].start, info->range_start);
	end = MIN_OF(end_of(&w->pos[n - 1]), info->range_end);
	result.bytes = saturate(end - result.offset);
	work_free(w);
	read_finish(op, &result);
}

/* nobody: there is no source at all for the segment, so the range may reach as
 * far as one of version 1 does. */
static void
read_hole(struct op *op, bool nobody)
{
	struct content *c = content_of_op(op);
	uint64_t at = op->u.read.offset;
	uint64_t reach = MAX_OF(op->u.read.len, 1u);
	struct read_work *w;

	if (nobody)
		reach = MAX_OF(reach, HOLE_BYTES - at % HOLE_BYTES);
	/* A content may lie at the end of what 64 bits can count. */
	reach = MIN_OF(reach, c->info->range_end - at);
	w = work_new(c, WORK_HOLE, at, at + reach, HOLE_BLOCKS);
	if (w == NULL) {
		read_fail(op, CORE_E_NO_MEMORY);
		return;
	}
	start_look(w, op, hole_done);
}

static void
read_timeout(struct wheel_timer *t)
{
	struct op *op = container_of(t, struct op, timer);

	/* What is known to be missing already stays that. */
	if (op->verdict == CORE_OK)
		op->verdict = CORE_E_TIMEOUT;
	/* Its data is there and only waits for the client's own ranges. */
	if (op->source == &content_of_op(op)->session->room)
		return;
	if (op->u.read.work != NULL)
		return;
	op_wait(op, NULL);
	read_hole(op, false);
}

void
content_read_arrived(struct op *op)
{
	read_look(op);
}

void
content_read_lacking(struct op *op)
{
	struct content *c = content_of_op(op);
	size_t segment = pccrc_segment_at(c->info, op->u.read.offset);

	op->verdict = CORE_E_MISSING_DATA;
	read_hole(op, fetch_nobody(c, segment));
}

static void
read_start(struct op *op)
{
	struct content *c = content_of_op(op);
	uint32_t timeout_ms = op->u.read.timeout_ms;

	if (timeout_ms == SESSION_TIMEOUT_DEFAULT)
		timeout_ms = TIMEOUT_DEFAULT_MS;
	if (timeout_ms != 0 && op->u.read.len > 0) {
		op->timer.fn = read_timeout;
		service_timer(service_of(c), &op->timer, timeout_ms);
	}
	if (op->head && c->fetch_on && timeout_ms != 0 && op->u.read.len > 0)
		fetch_on(c, c->cursor);
	if (!op->head || !ahead_adopt(c, op))
		read_look(op);
}

void
content_stream_step(struct content *c)
{
	struct op *op;

	if (c->stream_stepping)
		return;
	c->stream_stepping = true;
	while (c->stream_head == NULL &&
		(op = TAILQ_FIRST(&c->stream_queue.waiters)) != NULL) {
		op_wait(op, NULL);
		op->head = true;
		op->u.read.offset = c->cursor;
		c->stream_head = op;
		read_start(op);
	}
	if (c->stream_head == NULL)
		content_ahead_drop(c);
	c->stream_stepping = false;
}

enum core_result
content_read(struct handle *h, uint64_t id, enum op_kind kind, uint64_t offset,
	uint32_t len, uint32_t timeout_ms)
{
	struct content *c = content_of_handle(h);
	enum core_result r;
	struct op *op;

	if (timeout_ms == UINT32_MAX)
		return CORE_E_BAD_PARAMETER;
	r = content_check_ready(c);
	if (r == CORE_OK)
		r = session_op_start(c->session, &h->scope, id, kind, &op);
	if (r != CORE_OK)
		return r;
	op->u.read.offset = offset;
	op->u.read.len = len;
	op->u.read.timeout_ms = timeout_ms;
	if (kind == OP_BLOCK_READ) {
		read_start(op);
	} else {
		op_wait(op, &c->stream_queue);
		content_stream_step(c);
	}
	return CORE_OK;
}

/* Lets as many waiting reads look again as the free room may hold.  One that
 * finds too little after all waits again, at the end. */
void
content_room(struct session *s)
{
	size_t room = area_read_room(s->area);
	struct op *op;

	while ((op = TAILQ_FIRST(&s->room.waiters)) != NULL) {
		size_t want = MIN_OF(op->u.read.len, read_most(s));

		if (want > room)
			break;
		room -= want;
		op_wait(op, NULL);
		read_look(op);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Range requests to the origin for what is missing.  Ranges that touch are
 * asked for as one, so the first ones wait a moment for others.  What comes is
 * collected in slots, each of which is given on when it is full, or with its
 * whole blocks when nothing more comes.  An answer that breaks off is no
 * failure as long as something of use came with it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/macros.h"
#include "get/fill_priv.h"

#define RANGE_LEAST   (4u * 1024 * 1024)
#define RANGE_MOST    (32u * 1024 * 1024)
#define RANGE_WAIT_US (100 * US_PER_MS)
#define FAILURES_MOST 3u
#define AGAIN_US      US_PER_S /* after a failure, times their number */

static struct fetch *
fetch_of(void *ctx)
{
	return ctx;
}

/* The same resource, as far as both say. */
static bool
same_resource(const struct fill *f, const struct origin_answer *a)
{
	const char *ours = http_range_validator(f->s.etag, NULL);
	const char *theirs = http_range_validator(a->etag, NULL);

	if (ours != NULL && theirs != NULL)
		return strcmp(ours, theirs) == 0;
	return f->s.modified == NULL || a->modified == NULL ||
		strcmp(f->s.modified, a->modified) == 0;
}

static bool
is_our_range(const struct fetch *x, const struct origin_answer *a)
{
	const struct http_range *r = &a->range.range;

	return a->status == 206 && a->has_range &&
		r->offset == x->range.start &&
		r->length <= x->range.end - x->range.start &&
		(!a->range.has_size || a->range.size == x->fill->total) &&
		(a->length == UINT64_MAX || a->length == r->length) &&
		pccrtp_response(&a->fields, a->length) == PCCRTP_BODY_PLAIN;
}

/* The whole resource, which may be another one now.  If it is the same, it can
 * only be believed with its length. */
static bool
is_whole(const struct fill *f, const struct origin_answer *a)
{
	return a->status == 200 && !a->ranged &&
		pccrtp_response(&a->fields, a->length) == PCCRTP_BODY_PLAIN &&
		(!same_resource(f, a) || a->length == f->total);
}

static enum origin_flow
fetch_head(void *ctx, const struct origin_answer *a)
{
	struct fetch *x = fetch_of(ctx);
	struct fill *f = x->fill;

	if (f->result != FILL_RUNNING)
		return ORIGIN_STOP;
	if (is_our_range(x, a) && same_resource(f, a)) {
		x->end = x->range.start + a->range.range.length;
		return ORIGIN_ON;
	}
	fill_end(f, FILL_CHANGED, "the resource has changed");
	if (!is_whole(f, a))
		return ORIGIN_STOP;
	f->body = x->transfer;
	return ORIGIN_LATER;
}

/* The slot is full. */
static void
fetch_piece(struct fetch *x)
{
	struct slot *s = x->slot;
	struct fill *f = x->fill;
	struct branch_piece p = fill_slot_piece(s);

	x->slot = NULL;
	x->range.start = s->piece.end;
	/* The service hashes it while it is written here. */
	if (fill_ok(f, part_write(f->s.part, p.bytes, p.len, p.offset)))
		(void)fill_add(s);
	else
		fill_slot_give(s);
}

static void
fetch_slot(struct fetch *x)
{
	struct slot *s = fill_slot_take(x->fill, SLOT_ADD);

	s->piece.start = x->range.start;
	s->piece.end = described_piece(
		x->fill->s.described, x->range.start, x->range.end);
	x->slot = s;
	x->filled = 0;
}

/* Whether there are slots for all of len more bytes: no piece but a range's
 * last is shorter than what comes at once. */
static bool
has_slots(const struct fetch *x, size_t len)
{
	size_t need = 2;

	if (x->slot != NULL &&
		len < x->slot->piece.end - x->slot->piece.start - x->filled)
		need = 0;
	return x->fill->n[SLOT_ADD] + need <= ADDS_MOST;
}

static enum origin_flow
fetch_body(void *ctx, const uint8_t *bytes, size_t len)
{
	struct fetch *x = fetch_of(ctx);
	struct fill *f = x->fill;

	if (f->result != FILL_RUNNING)
		return f->body == x->transfer ? ORIGIN_LATER : ORIGIN_STOP;
	if (!has_slots(x, len))
		return ORIGIN_LATER;
	if (len > x->end - x->range.start - (x->slot ? x->filled : 0)) {
		fill_end(f, FILL_CHANGED, "more bytes than were asked for");
		return ORIGIN_STOP;
	}
	while (len > 0 && f->result == FILL_RUNNING) {
		size_t room, n;

		if (x->slot == NULL)
			fetch_slot(x);
		room = (size_t)(x->slot->piece.end - x->slot->piece.start) -
			x->filled;
		n = MIN_OF(room, len);
		memcpy(x->slot->bytes + x->filled, bytes, n);
		x->filled += n;
		bytes += n;
		len -= n;
		if (n == room)
			fetch_piece(x);
	}
	return f->result == FILL_RUNNING ? ORIGIN_ON : ORIGIN_STOP;
}

/* No more comes: of what has come, whole blocks are of use. */
static void
fetch_last(struct fetch *x)
{
	struct slot *s = x->slot;
	struct fill *f = x->fill;

	if (s == NULL)
		return;
	if (x->filled > 0)
		s->piece.end = described_floor(
			f->s.described, s->piece.start + x->filled);
	if (f->result == FILL_RUNNING && x->filled > 0 &&
		s->piece.end > s->piece.start)
		fetch_piece(x);
	else
		fill_slot_give(TAKE_PTR(x->slot));
}

static void
fetch_done(void *ctx, enum origin_end end, const char *why)
{
	struct fetch *x = fetch_of(ctx);
	struct fill *f = x->fill;

	if (f->body == x->transfer)
		f->body = NULL;
	x->transfer = NULL;
	fetch_last(x);
	if (f->result != FILL_RUNNING || x->range.start == x->range.end)
		return;
	/* The rest once more. */
	(void)fill_ok(f, ranges_add(&f->missing, x->range, NULL));
	if (x->range.start > x->begun)
		return;
	f->failures++;
	f->again_us = clock_now_us() + f->failures * AGAIN_US;
	if (f->failures > FAILURES_MOST)
		fill_end(f, FILL_BROKEN,
			end == ORIGIN_BROKEN ? why : "answers are cut off");
}

static const struct origin_ops fetch_ops = {fetch_head, fetch_body, fetch_done};

/* The range that is asked for next; false: none, or it may become longer. */
static bool
next_missing(const struct fill *f, struct range *ret)
{
	struct range r;

	if (!ranges_next(&f->missing, 0, &r))
		return false;
	if (r.end - r.start < RANGE_LEAST && !fill_all_asked(f) &&
		clock_now_us() - f->missing_us < RANGE_WAIT_US)
		return false;
	if (r.end - r.start > RANGE_MOST)
		r.end = described_floor(f->s.described, r.start + RANGE_MOST);
	*ret = r;
	return true;
}

static void
start_fetch(struct fetch *x, struct range range)
{
	struct fill *f = x->fill;
	struct origin_request req = {
		.ask = ORIGIN_ASK_MISSING,
		.url = f->s.url,
		.ranged = true,
		.range = range,
		.if_range = f->s.if_range,
		.ops = &fetch_ops,
		.ctx = x,
	};

	x->range = range;
	x->begun = range.start;
	x->end = range.end;
	if (fill_ok(f, ranges_cut(&f->missing, range)))
		(void)fill_ok(f, origin_start(f->s.origin, &req, &x->transfer));
}

void
fill_fetch(struct fill *f)
{
	struct range range;

	if (f->failures > 0 && clock_now_us() < f->again_us)
		return;
	for (size_t i = 0; i < FETCHES_MOST; i++)
		if (f->fetches[i].transfer == NULL &&
			f->result == FILL_RUNNING && next_missing(f, &range))
			start_fetch(&f->fetches[i], range);
}

void
fill_fetch_resume(struct fill *f)
{
	for (size_t i = 0; i < FETCHES_MOST; i++) {
		struct fetch *x = &f->fetches[i];

		if (x->transfer != NULL && x->transfer != f->body &&
			origin_waits(x->transfer) &&
			f->n[SLOT_ADD] + 2 <= ADDS_MOST)
			origin_resume(x->transfer);
	}
}

bool
fill_fetch_idle(const struct fill *f)
{
	for (size_t i = 0; i < FETCHES_MOST; i++)
		if (f->fetches[i].transfer != NULL)
			return false;
	return f->missing.n == 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every byte takes this way, and several pieces of the file are at each place
 * of it at the same time:
 *
 *	look    a BlockRead of the local cache alone.  What is not there is
 *	wanted  and asked of the branch, by a BlockRead that waits.  What nobody
 *	        has, or gives in time, is
 *	missing and fetched from the origin by range requests, given to the
 *	        cache with AddData, and, when that took it,
 *	had     written to the part, and right.
 *
 * So it is known what came from where, the origin is asked for what nobody else
 * has, and everybody behind us finds it in the branch.
 *
 * Pieces are whole blocks.  AddData tells whether bytes are right only for
 * blocks that are whole; an answer about pieces of blocks would be a promise
 * that somebody else has to keep.  When the cache cannot take them, or there is
 * no service any more, they are compared with their hashes here.
 *
 * As long as the branch has what comes next, StreamReads ask for it: the
 * service then knows what will be read, gets it in advance, and gives it from
 * memory.  Looking is far ahead of them, or what was got in advance would be
 * taken for what was here before.  But they come one after the other, and they
 * cannot leave out what is here already.  So from the first gap on it is
 * BlockReads of pieces, many at once.  A read ends as soon as it has something,
 * which may be a single block out of sixteen; the rest of the piece is then the
 * next to be asked for.
 *
 * How many pieces are asked of the branch at once: while it has them, as many
 * as keep it busy.  While it has not, more and more, since each answer "nobody"
 * takes as long as others are given to answer.  When it is silent, fewer; and
 * when it has been silent for long, no more are asked.
 *
 * A branch is asked for some thousand blocks in a second at most.  An origin
 * that is faster than that and has nothing to do, while nobody has had anything
 * for long, is not kept waiting: then one piece stands for those behind it.
 *
 * Buffers are limited.  A transfer that finds none waits, so that the origin
 * sends no faster than the cache takes.
 */
#include "get/fill.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/macros.h"
#include "get/fill_priv.h"

#define PEERS_FIRST  16u
#define PEERS_GIVING 8u
#define PEERS_LEAST  4u
#define PEERS_SILENT 32u /* in a row: the branch is not asked again */
#define PEERS_NOBODY 64u /* in a row: it may be that nobody has any */
#define LOOK_AHEAD   (32u * 1024 * 1024)
#define SAMPLE       (16u * 1024 * 1024)
#define TRUST_MS     2000u /* peers that have given nothing yet */
#define AGAIN_MS     100   /* for what was over a limit */
#define IDLE_MS      1000

/* Results. */

void
fill_end(struct fill *f, enum fill_result result, const char *why)
{
	if (f->result != FILL_RUNNING)
		return;
	f->result = result;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

bool
fill_ok(struct fill *f, int r)
{
	if (r != 0 && f->result == FILL_RUNNING) {
		f->local = r;
		fill_end(f, FILL_LOCAL, "");
	}
	return r == 0;
}

/* Lines. */

static void
line_add(struct line *l, struct range piece)
{
	assert(l->n < SLOTS);
	l->at[(l->first + l->n++) % SLOTS] = piece;
}

static struct range
line_take(struct line *l)
{
	struct range piece = l->at[l->first];

	assert(l->n > 0);
	l->first = (l->first + 1) % SLOTS;
	l->n--;
	return piece;
}

/* Slots. */

struct slot *
fill_slot_take(struct fill *f, enum slot_kind kind)
{
	struct slot *s = SLIST_FIRST(&f->free);

	assert(s != NULL);
	SLIST_REMOVE_HEAD(&f->free, link);
	s->kind = kind;
	f->n[kind]++;
	return s;
}

void
fill_slot_give(struct slot *s)
{
	s->fill->n[s->kind]--;
	SLIST_INSERT_HEAD(&s->fill->free, s, link);
}

struct branch_piece
fill_slot_piece(const struct slot *s)
{
	return (struct branch_piece){
		.offset = s->piece.start,
		.len = (uint32_t)(s->piece.end - s->piece.start),
		.bytes = s->bytes,
	};
}

/* Ways. */

/* Nobody in the branch has it. */
static void
be_missing(struct fill *f, struct range range)
{
	struct range gap;

	if (f->missing.n == 0)
		f->missing_us = clock_now_us();
	while (f->result == FILL_RUNNING &&
		ranges_gap(&f->settled, range, &gap)) {
		(void)(fill_ok(f, ranges_add(&f->missing, gap, NULL)) &&
			fill_ok(f, ranges_add(&f->settled, gap, NULL)) &&
			fill_ok(f, ranges_cut(&f->wanted, gap)));
		range.start = gap.end;
	}
}

static void
be_wanted(struct fill *f, struct range range)
{
	if (f->s.ask_peers && !f->alone)
		(void)fill_ok(f, ranges_add(&f->wanted, range, NULL));
	else
		be_missing(f, range);
}

/* Nobody is asked any more but the origin. */
static void
leave_branch(struct fill *f)
{
	struct range range;

	while (f->result == FILL_RUNNING && ranges_next(&f->wanted, 0, &range))
		be_missing(f, range);
	while (f->peers_on.n > 0)
		be_missing(f, line_take(&f->peers_on));
}

void
fill_lose_service(struct fill *f, DWORD code)
{
	if (f->alone || f->result != FILL_RUNNING)
		return;
	f->alone = true;
	report_say(f->s.report, "%s; the rest comes from the origin",
		branch_reason(code));
	leave_branch(f);
	while (f->look_on.n > 0)
		be_missing(f, line_take(&f->look_on));
	be_missing(f, (struct range){f->looked, f->total});
	f->looked = f->total;
}

void
fill_have(struct fill *f, struct range range, enum report_source from)
{
	uint64_t fresh = 0;

	if (fill_ok(f, ranges_add(&f->had, range, &fresh)) &&
		fill_ok(f, ranges_add(&f->settled, range, NULL)))
		f->s.report->by[from] += fresh;
}

/* Reads. */

static const struct range nothing = {0, 0};

/* Bytes have come. */
static void
read_got(struct slot *s, struct range got)
{
	struct fill *f = s->fill;
	bool look = s->kind == SLOT_LOOK;

	if (!fill_ok(f,
		    part_write(f->s.part, s->bytes,
			    (size_t)(got.end - got.start), got.start)))
		return;
	fill_have(f, got, look ? REPORT_LOCAL : REPORT_PEERS);
	if (look)
		return;
	f->silent = 0;
	f->nobody = 0;
	f->starved = false;
	f->peers_gave = true;
	f->peers_most = MIN_OF(f->peers_most, PEERS_GIVING);
}

/* Those bytes are not there. */
static void
read_hole(struct slot *s, struct range hole, bool silent)
{
	struct fill *f = s->fill;

	if (s->kind == SLOT_LOOK) {
		be_wanted(f, hole);
		return;
	}
	be_missing(f, hole);
	if (!silent) {
		f->silent = 0;
		f->nobody++;
		f->peers_most = MIN_OF(f->peers_most + 1, PEERS_MOST);
		return;
	}
	f->peers_most = MAX_OF(f->peers_most / 2, PEERS_LEAST);
	if (++f->silent == PEERS_SILENT && f->s.ask_peers) {
		report_say(f->s.report, "the branch is silent");
		f->s.ask_peers = false;
		leave_branch(f);
	}
}

/* A read that came to nothing that can be used. */
static void
read_failed(struct slot *s, DWORD code)
{
	struct fill *f = s->fill;

	if (branch_is_lost(code))
		fill_lose_service(f, code);
	be_missing(f, s->piece);
	s->piece.start = s->piece.end;
}

/* What the piece stood for is treated as the piece was. */
static void
read_stood_for(struct slot *s, bool nobody)
{
	if (s->stands_for.start == s->stands_for.end)
		return;
	if (nobody)
		be_missing(s->fill, s->stands_for);
	else
		be_wanted(s->fill, s->stands_for);
}

/* How long others are given. */
static DWORD
patience(const struct fill *f)
{
	return f->peers_gave ? PEERDIST_READ_TIMEOUT_DEFAULT : TRUST_MS;
}

static void
stream_done(struct branch_op *op, const struct branch_end *end)
{
	struct slot *s = container_of(op, struct slot, op);
	struct fill *f = s->fill;

	fill_slot_give(s);
	if (f->result != FILL_RUNNING)
		return;
	s->piece.start = f->cursor;
	s->piece.end = MIN_OF(f->cursor + end->bytes, f->total);
	s->stands_for = nothing;
	if (end->code != ERROR_SUCCESS || end->bytes > PIECE_MAX)
		f->stream_over = true;
	if (end->offset == f->cursor && end->bytes > 0) {
		f->cursor = s->piece.end;
		if (end->code == ERROR_SUCCESS &&
			fill_ok(f, ranges_cut(&f->wanted, s->piece)))
			read_got(s, s->piece);
		else if (end->code == PEERDIST_ERROR_MISSING_DATA ||
			end->code == ERROR_TIMEOUT)
			read_hole(s, s->piece, end->code == ERROR_TIMEOUT);
	} else if (branch_is_lost(end->code)) {
		fill_lose_service(f, end->code);
	} else {
		f->stream_over = true;
	}
}

static bool
looked_far(const struct fill *f)
{
	if (f->looked < f->total)
		return f->looked >= f->cursor + LOOK_AHEAD;
	return f->n[SLOT_LOOK] == 0 && f->look_on.n == 0;
}

/* Whether the stream is to go on where it is. */
static bool
stream_goes_on(struct fill *f)
{
	struct range next;

	if (ranges_next(&f->wanted, f->cursor, &next) &&
		next.start == f->cursor)
		return next.end - next.start >
			(uint64_t)f->n[SLOT_STREAM] * PIECE_MAX;
	/* What is there already it cannot leave out. */
	if (f->cursor == f->total ||
		ranges_hold(
			&f->settled, (struct range){f->cursor, f->cursor + 1}))
		f->stream_over = true;
	return false;
}

static void
start_stream(struct fill *f)
{
	while (!f->stream_over && !f->alone && f->s.ask_peers &&
		f->n[SLOT_STREAM] < STREAM_MOST && looked_far(f) &&
		stream_goes_on(f)) {
		struct slot *s = fill_slot_take(f, SLOT_STREAM);
		struct branch_piece p;

		s->piece = (struct range){0, PIECE_MAX};
		s->op.done = stream_done;
		p = fill_slot_piece(s);
		if (branch_read_on(f->s.branch, &p, patience(f), &s->op) ==
			ERROR_SUCCESS)
			continue;
		/* The other reads find out what is wrong. */
		f->stream_over = true;
		fill_slot_give(s);
	}
}

static void
read_done(struct branch_op *op, const struct branch_end *end)
{
	struct slot *s = container_of(op, struct slot, op);
	struct fill *f = s->fill;
	struct range about = {end->offset, end->offset + end->bytes};
	bool begins =
		about.start <= s->piece.start && about.end > s->piece.start;

	if (f->result != FILL_RUNNING) {
		fill_slot_give(s);
		return;
	}
	if (end->code == ERROR_SUCCESS && begins &&
		about.start == s->piece.start && about.end <= s->piece.end)
		read_got(s, about);
	else if (begins &&
		(end->code == PEERDIST_ERROR_MISSING_DATA ||
			end->code == ERROR_TIMEOUT))
		read_hole(s, about, end->code == ERROR_TIMEOUT);
	else
		read_failed(s, end->code);
	read_stood_for(s, end->code == PEERDIST_ERROR_MISSING_DATA);
	s->piece.start = MAX_OF(s->piece.start, about.end);
	if (s->piece.start < s->piece.end && f->alone)
		be_missing(f, s->piece);
	else if (s->piece.start < s->piece.end)
		line_add(s->kind == SLOT_LOOK ? &f->look_on : &f->peers_on,
			s->piece);
	fill_slot_give(s);
}

/* It was not started.  false: nothing else can be now. */
static bool
read_refused(struct slot *s, DWORD code)
{
	struct fill *f = s->fill;
	bool busy = branch_pending(f->s.branch) > 0;

	read_stood_for(s, false);
	fill_slot_give(s);
	if (code != ERROR_NO_SYSTEM_RESOURCES) {
		fill_lose_service(f, code);
	} else if (busy) {
		/* Over a limit of which we use up a part ourselves. */
		line_add(s->kind == SLOT_LOOK ? &f->look_on : &f->peers_on,
			s->piece);
		return false;
	}
	be_missing(f, s->piece);
	return !f->alone;
}

/* false: nothing else can be started now. */
static bool
read_start(struct slot *s, struct range piece, struct range stands_for)
{
	DWORD timeout = PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY, code;
	struct fill *f = s->fill;
	struct branch_piece p;

	if (s->kind == SLOT_PEERS)
		timeout = patience(f);
	s->piece = piece;
	s->stands_for = stands_for;
	s->op.done = read_done;
	p = fill_slot_piece(s);
	code = branch_read(f->s.branch, &p, timeout, &s->op);
	return code == ERROR_SUCCESS || read_refused(s, code);
}

static void
start_looks(struct fill *f)
{
	bool on = true;

	while (on && !f->alone && f->n[SLOT_LOOK] < LOOKS_MOST) {
		struct range piece = {f->looked, f->looked};

		if (f->look_on.n > 0) {
			piece = line_take(&f->look_on);
		} else if (f->looked < f->total) {
			piece.end = described_piece(
				f->s.described, piece.start, f->total);
			f->looked = piece.end;
		} else {
			return;
		}
		on = read_start(fill_slot_take(f, SLOT_LOOK), piece, nothing);
	}
}

/* The first bytes of a range that are not settled; the rest of it waits. */
static bool
unsettled(struct fill *f, struct range range, struct range *ret)
{
	if (!ranges_gap(&f->settled, range, ret))
		return false;
	if (ret->end < range.end)
		be_wanted(f, (struct range){ret->end, range.end});
	return true;
}

/* The rest of a piece for the branch. */
static bool
next_in_line(struct fill *f, struct range *ret)
{
	while (f->peers_on.n > 0)
		if (unsettled(f, line_take(&f->peers_on), ret))
			return true;
	return false;
}

/* What a piece that ends at the start of rest may stand for. */
static struct range
sample(const struct fill *f, struct range rest)
{
	if (!f->starved || f->missing.bytes >= SAMPLE)
		rest.end = rest.start;
	else if (rest.end - rest.start > SAMPLE)
		rest.end = described_floor(f->s.described, rest.start + SAMPLE);
	return rest;
}

/* A new piece for the branch, and what it may stand for. */
static bool
next_wanted(struct fill *f, struct range *ret, struct range *ret_stands_for)
{
	struct range range, rest;

	while (ranges_next(&f->wanted, 0, &range)) {
		rest.end = range.end;
		range.end =
			described_piece(f->s.described, range.start, range.end);
		rest.start = range.end;
		rest = sample(f, rest);
		if (!fill_ok(f,
			    ranges_cut(&f->wanted,
				    (struct range){range.start, rest.end})))
			return false;
		*ret_stands_for = rest;
		if (unsettled(f, range, ret))
			return true;
		be_wanted(f, rest);
	}
	return false;
}

/* Pieces that have begun to come go first. */
static void
start_peers(struct fill *f)
{
	struct range piece, rest = nothing;
	bool on = true;

	while (on && f->stream_over && f->n[SLOT_STREAM] == 0 && !f->alone &&
		f->result == FILL_RUNNING && f->n[SLOT_PEERS] < f->peers_most &&
		(next_in_line(f, &piece) || next_wanted(f, &piece, &rest))) {
		on = read_start(fill_slot_take(f, SLOT_PEERS), piece, rest);
		rest = nothing;
	}
}

bool
fill_all_asked(const struct fill *f)
{
	return f->looked == f->total && f->n[SLOT_LOOK] == 0 &&
		f->look_on.n == 0 && f->wanted.n == 0 &&
		f->n[SLOT_STREAM] == 0 && f->n[SLOT_PEERS] == 0 &&
		f->peers_on.n == 0;
}

static void
emit(struct fill *f)
{
	struct range first;

	if (ranges_next(&f->had, 0, &first) && first.start == 0)
		(void)fill_ok(f, part_emit(f->s.part, first.end));
}

enum fill_result
fill_step(struct fill *f)
{
	if (f->result == FILL_RUNNING) {
		fill_add_refused(f);
		start_looks(f);
		start_stream(f);
		start_peers(f);
		fill_fetch_resume(f);
		fill_fetch(f);
		/* Pieces are asked for, and it could have had them by now. */
		if (f->nobody >= PEERS_NOBODY && fill_fetch_idle(f))
			f->starved = true;
		emit(f);
	}
	if (f->result == FILL_RUNNING && f->had.bytes == f->total)
		f->result = FILL_DONE;
	return f->result;
}

int
fill_timeout_ms(const struct fill *f)
{
	uint64_t now = clock_now_us();

	if (!SLIST_EMPTY(&f->refused) || f->missing.n > 0)
		return AGAIN_MS;
	if (f->failures > 0 && f->again_us > now)
		return (int)((f->again_us - now) / US_PER_MS) + 1;
	return IDLE_MS;
}

struct origin_transfer *
fill_body(struct fill *f)
{
	for (size_t i = 0; f->body != NULL && i < FETCHES_MOST; i++)
		if (f->fetches[i].transfer == f->body)
			f->fetches[i].transfer = NULL;
	return TAKE_PTR(f->body);
}

const char *
fill_why(const struct fill *f)
{
	return f->why;
}

int
fill_local(const struct fill *f)
{
	return f->local;
}

int
fill_new(struct fill **ret_fill, const struct fill_setup *setup)
{
	struct fill *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return err_new(-ENOMEM);
	/* Memory only when used, and mostly the same few are. */
	f->buffers =
		mmap(NULL, (size_t)SLOTS * PIECE_MAX, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->buffers == MAP_FAILED) {
		free(f);
		return err_new(-ENOMEM);
	}
	f->s = *setup;
	f->total = described_length(setup->described);
	f->peers_most = PEERS_FIRST;
	for (size_t i = SLOTS; i-- > 0;) {
		f->slots[i].fill = f;
		f->slots[i].bytes = f->buffers + i * PIECE_MAX;
		SLIST_INSERT_HEAD(&f->free, &f->slots[i], link);
	}
	for (size_t i = 0; i < FETCHES_MOST; i++)
		f->fetches[i].fill = f;
	*ret_fill = f;
	return 0;
}

struct fill *
fill_free(struct fill *f)
{
	if (f == NULL)
		return NULL;
	fill_end(f, FILL_BROKEN, "");
	for (size_t i = 0; i < FETCHES_MOST; i++)
		origin_cancel(f->fetches[i].transfer);
	branch_close(f->s.branch);
	ranges_done(&f->wanted);
	ranges_done(&f->missing);
	ranges_done(&f->had);
	ranges_done(&f->settled);
	munmap(f->buffers, (size_t)SLOTS * PIECE_MAX);
	free(f);
	return NULL;
}

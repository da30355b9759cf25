/* SPDX-License-Identifier: BSD-2-Clause */
/* What came from the origin is given to the cache, which says whether it is
 * right.  When that cannot say so, it is compared with its hashes here. */
#include <stdlib.h>

#include "common/macros.h"
#include "get/fill_priv.h"

static void
add_verified(struct slot *s, bool by_cache)
{
	struct fill *f = s->fill;

	fill_have(f, s->piece, REPORT_ORIGIN);
	if (by_cache)
		f->s.report->given += s->piece.end - s->piece.start;
	f->failures = 0;
}

static void
wrong_bytes(struct fill *f)
{
	fill_end(f, FILL_CHANGED,
		"what the origin has is not what it described");
}

/* The cache cannot say whether it is right. */
static void
add_alone(struct slot *s)
{
	struct fill *f = s->fill;

	if (described_verify(f->s.described, s->piece.start, s->bytes,
		    s->piece.end - s->piece.start))
		add_verified(s, false);
	else
		wrong_bytes(f);
	fill_slot_give(s);
}

static void
add_done(struct branch_op *op, const struct branch_end *end)
{
	struct slot *s = container_of(op, struct slot, op);
	struct fill *f = s->fill;

	if (f->result != FILL_RUNNING) {
		fill_slot_give(s);
		return;
	}
	if (end->code == ERROR_SUCCESS) {
		add_verified(s, true);
		fill_slot_give(s);
	} else if (end->code == ERROR_INVALID_DATA) {
		wrong_bytes(f);
		fill_slot_give(s);
	} else {
		if (branch_is_lost(end->code))
			fill_lose_service(f, end->code);
		add_alone(s);
	}
}

bool
fill_add(struct slot *s)
{
	struct fill *f = s->fill;
	struct branch_piece p = fill_slot_piece(s);
	DWORD code;

	if (f->alone) {
		add_alone(s);
		return true;
	}
	s->op.done = add_done;
	code = branch_add(f->s.branch, &p, &s->op);
	if (code == ERROR_SUCCESS)
		return true;
	if (code == ERROR_NO_SYSTEM_RESOURCES &&
		branch_pending(f->s.branch) > 0) {
		SLIST_INSERT_HEAD(&f->refused, s, link);
		return false;
	}
	if (branch_is_lost(code))
		fill_lose_service(f, code);
	add_alone(s);
	return true;
}

void
fill_add_refused(struct fill *f)
{
	struct slot *s;

	while (f->result == FILL_RUNNING &&
		(s = SLIST_FIRST(&f->refused)) != NULL) {
		SLIST_REMOVE_HEAD(&f->refused, link);
		if (!fill_add(s))
			return;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The payload of an add, slice by slice.  One slice is present at a time: the
 * first comes with the submission, each further one is asked for (NEED) when
 * the one before is done with.  One that was not asked for breaks the protocol:
 * its range may be the client's again while a job still works on what was
 * copied out of it, so "not present" does not mean that another may come.
 *
 * A slice lies inline in its frame, and is copied at once, or in a range of the
 * write half, which the client gets back by RELEASED - also when the operation
 * has ended meanwhile.  A copy may be content information, which is as secret
 * as a key.
 */
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/service_internal.h"

#define SLICE_MAX  (1024u * 1024u)
#define INLINE_MAX 4096u /* of a slice that comes in its frame */
/* What an add takes besides: its record, and malloc's share. */
#define FEED_COST 128u

static enum core_result
slice_take(struct slice_feed *f, struct session *s,
	const struct session_slice *slice)
{
	if (slice->len == 0 || slice->len > SLICE_MAX ||
		slice->len > f->total - f->received)
		return CORE_E_PROTOCOL;
	if (slice->inline_data != NULL) {
		f->copy = malloc(slice->len);
		if (f->copy == NULL)
			return CORE_E_NO_MEMORY;
		memcpy(f->copy, slice->inline_data, slice->len);
	} else if (area_write_at(s->area, slice->offset, slice->len) == NULL) {
		return CORE_E_PROTOCOL;
	}
	f->present = true;
	f->wanted = false;
	f->offset = slice->offset;
	f->len = slice->len;
	f->received += slice->len;
	return CORE_OK;
}

enum core_result
slice_init(struct slice_feed *f, struct session *s, uint32_t total,
	const struct session_slice *slice)
{
	uint64_t cost = MIN_OF(total, INLINE_MAX) + FEED_COST;
	enum core_result r;

	*f = (struct slice_feed){.total = total};
	if (total == 0)
		return CORE_E_BAD_PARAMETER;
	if (!quota_take(s->user, QUOTA_BUFFER_BYTES, cost))
		return CORE_E_NO_RESOURCES;
	r = slice_take(f, s, slice);
	if (r == CORE_OK)
		f->counted = cost;
	else
		quota_give(s->user, QUOTA_BUFFER_BYTES, cost);
	return r;
}

enum core_result
slice_next(struct slice_feed *f, struct session *s,
	const struct session_slice *slice)
{
	if (!f->wanted)
		return CORE_E_PROTOCOL;
	return slice_take(f, s, slice);
}

const uint8_t *
slice_bytes(const struct slice_feed *f, struct session *s)
{
	return f->copy != NULL ? f->copy
			       : area_write_at(s->area, f->offset, f->len);
}

void
slice_release(struct slice_feed *f, struct session *s, uint64_t op)
{
	if (!f->present)
		return;
	f->present = false;
	if (f->copy == NULL) {
		if (!s->closed)
			s->ops->released(s->ctx, op, f->offset, f->len);
		return;
	}
	explicit_bzero(f->copy, f->len);
	free(f->copy);
	f->copy = NULL;
}

void
slice_done(struct slice_feed *f, struct session *s, uint64_t op)
{
	slice_release(f, s, op);
	quota_give(s->user, QUOTA_BUFFER_BYTES, f->counted);
	f->counted = 0;
}

void
slice_refuse(struct slice_feed *f, struct session *s)
{
	/* The range is the client's still: an operation that was not accepted
	 * releases nothing. */
	if (f->copy == NULL)
		f->present = false;
	slice_done(f, s, 0);
}

bool
slice_want(struct slice_feed *f, struct session *s, uint64_t op)
{
	uint32_t left = f->total - f->received;

	if (left == 0)
		return false;
	f->wanted = true;
	s->ops->need(s->ctx, op, left < SLICE_MAX ? left : SLICE_MAX);
	return true;
}

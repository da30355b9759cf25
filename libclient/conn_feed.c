/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slices of adds on their way to the daemon.
 *
 * The first slice goes with the SUBMIT and is placed by the calling thread
 * before anything was sent.  All later ones are placed by whoever has the
 * receive side, and only there do operations end; so the caller's buffer is
 * never read once its record was claimed, without a lock held for the copying.
 *
 * When there is no room for the whole of a first slice it shrinks to what fits
 * into the frame itself, and a later one waits in line until enough is
 * released.  Taking whatever bits are free instead would make many slices of
 * odd lengths, and the daemon works on whole blocks, many of them at once.
 */
#include <string.h>

#include "common/macros.h"
#include "libclient/conn.h"

/* No slice that could be longer is shorter than these parts of the half. */
#define PART_FIRST 4u
#define PART_LATER 16u

bool
pdc_feed_place(struct pdc_link *l, struct pdc_pending *p, uint32_t len,
	bool first, Pd__Slice *ret_slice)
{
	const uint8_t *data = p->u.add.data + p->u.add.taken;
	uint32_t offset = 0, least, n;

	len = MIN_OF(len, p->u.add.len - p->u.add.taken);
	len = MIN_OF(len, IPC_SLICE_MAX);
	least = l->area.write_size / (first ? PART_FIRST : PART_LATER);
	least = MIN_OF(len, least);
	n = len > IPC_INLINE_MAX
		? pdc_area_take(&l->area, len, least, !first, &offset)
		: 0;
	if (n > 0) {
		memcpy(l->area.map + offset, data, n);
		ret_slice->offset = offset;
	} else if (first || len <= IPC_INLINE_MAX || l->area.map == NULL) {
		n = MIN_OF(len, IPC_INLINE_MAX);
		ret_slice->inline_data.data = (uint8_t *)data;
		ret_slice->inline_data.len = n;
	} else {
		return false;
	}
	ret_slice->length = n;
	p->u.add.taken += n;
	return true;
}

/* false: the connection is of no use any more. */
static bool
feed_send(struct pdc_link *l, struct pdc_pending *p, bool *ret_placed)
{
	Pd__Slice slice = PD__SLICE__INIT;

	*ret_placed = pdc_feed_place(l, p, p->u.add.wanted, false, &slice);
	if (!*ret_placed)
		return true;
	l->unflushed = true;
	return pdc_link_send(l, IPC_FEED, p->id, &slice.base, -1,
		       PDC_SEND_QUEUE) == ERROR_SUCCESS;
}

bool
pdc_feed_need(struct pdc_link *l, uint64_t id, uint32_t len)
{
	struct pdc_pending *p = pdc_slots_find(&l->slots, id);
	bool placed = false;

	/* Asked for before the daemon saw what ended the operation. */
	if (p == NULL)
		return true;
	if (p->kind != PDC_ADD || !p->accepted || p->feeding ||
		p->u.add.taken == p->u.add.len)
		return false;
	p->u.add.wanted = len;
	if (TAILQ_EMPTY(&l->hungry) && !feed_send(l, p, &placed))
		return false;
	if (!placed) {
		p->feeding = true;
		TAILQ_INSERT_TAIL(&l->hungry, p, feed_link);
	}
	return true;
}

bool
pdc_feed_released(struct pdc_link *l, uint32_t offset, uint32_t len)
{
	struct pdc_pending *p;
	bool placed = true;

	if (!pdc_area_release(&l->area, offset, len))
		return false;
	while (placed && (p = TAILQ_FIRST(&l->hungry)) != NULL) {
		if (!feed_send(l, p, &placed))
			return false;
		if (placed)
			pdc_feed_forget(l, p);
	}
	return true;
}

void
pdc_feed_forget(struct pdc_link *l, struct pdc_pending *p)
{
	if (!p->feeding)
		return;
	p->feeding = false;
	TAILQ_REMOVE(&l->hungry, p, feed_link);
}

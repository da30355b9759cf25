/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Most of what other hosts look for is not here, and with a million segments a
 * look into the index goes to memory for each level of its tree: 2 to 4 us,
 * where everything else that a Probe costs is 3 us for each id.  So there is a
 * filter of the ids that the index has.
 *
 * It is filled from the index, in the order of the ids, STEP of them whenever
 * one was not found; whoever never asks never pays, and nobody waits for more
 * than a look of the usual kind or two.  Meanwhile commits add theirs, wherever
 * the filling is.  Nothing is ever taken out: when so much has come that it is
 * full, it is filled anew, larger if need be.  While the index is made again
 * there is none.
 */
#include "daemon/store/store_disk_absent.h"

#include <string.h>

#include "daemon/store/store_disk_priv.h"

#define STEP      64u
#define ROOM_MIN  4096u
#define ROOM_MOST (1u << 23) /* 16 MiB */

struct step {
	struct absent *absent;
	size_t left;
	bool ended;
};

void
absent_done(struct absent *a)
{
	id_filter_done(&a->filter);
	*a = (struct absent){0};
}

static void
begin(struct absent *a, size_t room)
{
	a->whole = false;
	a->at_len = 0;
	a->off = room > ROOM_MOST || id_filter_init(&a->filter, room) != 0;
	if (a->off)
		id_filter_done(&a->filter);
}

static bool
take(struct index_blob key, struct index_blob value, void *ctx)
{
	struct step *s = ctx;
	struct absent *a = s->absent;

	if (key.len > sizeof(a->at))
		return true;
	if (s->left == 0) {
		memcpy(a->at, key.data, key.len);
		a->at_len = key.len;
		s->ended = false;
		return false;
	}
	s->left--;
	id_filter_add(&a->filter, key.data, key.len);
	return true;
}

static void
step(struct store_disk *m)
{
	struct absent *a = &m->absent;
	struct step s = {.absent = a, .left = STEP, .ended = true};
	struct index_blob from = {a->at, a->at_len};
	size_t room = id_filter_room(&a->filter);

	if (index_each(m->index, T_SEGMENTS, from, take, &s) != 0)
		a->off = true;
	else if (id_filter_is_full(&a->filter))
		begin(a, 4 * room);
	else if (s.ended && a->filter.n > room / 2)
		begin(a, 2 * room);
	else
		a->whole = s.ended;
}

void
absent_asked(struct store_disk *m)
{
	struct absent *a = &m->absent;

	if (a->off || a->whole || m->rebuild.active)
		return;
	if (a->filter.n_words == 0)
		begin(a, ROOM_MIN);
	if (!a->off)
		step(m);
}

void
absent_add(struct store_disk *m, const uint8_t *id, size_t len)
{
	struct absent *a = &m->absent;

	id_filter_add(&a->filter, id, len);
	if (a->whole && id_filter_is_full(&a->filter))
		begin(a, id_filter_room(&a->filter));
}

bool
absent_is_sure(const struct store_disk *m, const uint8_t *id, size_t len)
{
	const struct absent *a = &m->absent;

	return a->whole && !m->rebuild.active &&
		!id_filter_may_have(&a->filter, id, len);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When very many hosts have a segment, not all of them need to answer whoever
 * asks for it (MS-CCRSOD).  A host that got a segment from others remembers how
 * many had answered it then, and how many of these had all of it.  With the
 * quorum n from the settings:
 *
 *	answers   of them full
 *	< n                        answers
 *	>= n      < n              answers one question in three
 *	>= n      >= n             never answers
 *
 * A segment that came from the origin has no such memory: it is answered for.
 * Answers are counted by the address that they came from, so that one host
 * cannot silence others by naming many addresses or ports.
 *
 * State: 16,384 segments, of those with a quorum only; 0.9 MB once there is
 * one.  A forgotten one means an answer more.
 */
#include "daemon/core/discover_internal.h"

#include "daemon/core/upload.h"

#define SETS 2048u

struct quorum_row {
	struct discover_row row;
	uint64_t since_ms;
	uint32_t answers; /* 0: taken back */
	uint32_t full;
};

void
discover_quorum_init(struct discover *d)
{
	d->quorums.row_size = sizeof(struct quorum_row);
	d->quorums.n_sets = SETS;
}

/* How many of those who answered had as much as this host has now. */
static uint32_t
count_full(struct discover *d, const struct discover_segment *seg)
{
	struct store_held held;
	uint32_t whole, n = 0;

	uploads_held(d->service->uploads, seg->id, PCCRD_ID_SIZE, &held);
	whole = seg->version == PCCRD_V2 ? UINT32_MAX : held.n_blocks;
	if (whole == 0)
		return 0;
	for (uint32_t i = 0; i < seg->tally->n; i++)
		if (seg->tally->hosts[i].blocks >= whole)
			n++;
	return n;
}

void
discover_obtained(struct discover *d, const uint8_t *id)
{
	const struct discover_segment *seg = discover_segment_find(d, id);
	uint32_t quorum = d->service->settings.quorum;
	uint32_t answers =
		seg != NULL && seg->tally != NULL ? seg->tally->n : 0;
	struct quorum_row *q = d->on && quorum != 0 && answers >= quorum
		? discover_table_take(d, &d->quorums, id)
		: discover_table_find(d, &d->quorums, id);

	if (q == NULL)
		return;
	q->since_ms = service_now_ms(d->service);
	q->answers = answers;
	q->full = answers > 0 ? count_full(d, seg) : 0;
}

bool
discover_quorum_rests(struct discover *d, const uint8_t *id, unsigned luck)
{
	const struct service_settings *set = &d->service->settings;
	const struct quorum_row *q;

	if (set->quorum == 0)
		return false;
	q = discover_table_find(d, &d->quorums, id);
	if (q == NULL || q->answers < set->quorum ||
		service_now_ms(d->service) - q->since_ms >=
			set->quorum_forget_ms)
		return false;
	return q->full >= set->quorum || luck != 0;
}

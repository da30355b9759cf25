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
 * A segment of which nothing came from others has no such memory: it is
 * answered for, so that who only says to have it cannot keep from the branch
 * what this host got from the origin.  The last block may come from there,
 * though.  What counts is who had answered at the end of the Probe's window,
 * also when the segment was here before that, which is the rule with version 2.
 *
 * Answers are counted by the address that they came from, so that one host
 * cannot silence others by naming many addresses or ports, and for each address
 * family apart, since most hosts answer by both.
 *
 * State: 16,384 segments, of those with a quorum only; 0.9 MB once there is
 * one.  A forgotten one means an answer more.
 */
#include "daemon/core/discover_internal.h"

#include "common/macros.h"
#include "daemon/core/upload.h"

#define SETS     2048u
#define FRESH_MS 60000u /* who answered has it still */

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

/* Hosts that answered and have at least so many blocks. */
static uint32_t
count(const struct discover_segment *seg, uint32_t blocks)
{
	const struct discover_tally *t = seg->tally;
	uint32_t n[2] = {0, 0};

	for (uint32_t i = 0; t != NULL && i < t->n; i++)
		if (t->hosts[i].blocks >= blocks)
			n[t->hosts[i].host & DISCOVER_HOST_IPV6]++;
	return MAX_OF(n[0], n[1]);
}

uint32_t
discover_answers(const struct discover_segment *seg)
{
	return count(seg, 0);
}

static uint32_t
count_answers(const struct discover_segment *seg)
{
	return seg != NULL ? discover_answers(seg) : 0;
}

/* How many of those who answered had as much as this host has now. */
static uint32_t
count_full(struct discover *d, const struct discover_segment *seg)
{
	struct store_held held;
	uint32_t whole;

	uploads_held(d->service->uploads, seg->id, PCCRD_ID_SIZE, &held);
	whole = seg->version == PCCRD_V2 ? UINT32_MAX : held.n_blocks;
	return whole == 0 ? 0 : count(seg, whole);
}

void
discover_obtained_some(struct discover *d, const uint8_t *id)
{
	struct discover_segment *seg = discover_segment_find(d, id);

	if (seg != NULL)
		seg->some = true;
}

bool
discover_may_have_quorum(struct discover *d, const uint8_t *id)
{
	uint32_t quorum = d->service->settings.quorum;
	const struct discover_segment *seg;

	if (!d->on || quorum == 0)
		return false;
	seg = discover_segment_find(d, id);
	if (seg == NULL || !seg->some)
		return false;
	return seg->phase == DISCOVER_ASKED ||
		(count_answers(seg) >= quorum &&
			service_now_ms(d->service) - seg->queued_ms < FRESH_MS);
}

void
discover_obtained(struct discover *d, const uint8_t *id)
{
	struct discover_segment *seg = discover_segment_find(d, id);
	uint32_t quorum = d->service->settings.quorum;
	uint32_t answers = count_answers(seg);
	struct quorum_row *q;

	/* Not all have answered that are going to. */
	if (seg != NULL && seg->phase == DISCOVER_ASKED) {
		seg->obtained = true;
		return;
	}
	q = d->on && quorum != 0 && answers >= quorum
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

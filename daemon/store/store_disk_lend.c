/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks for other hosts.
 *
 * Both questions are answered on the loop, from the overlay and the index's
 * mapped memory.  The index is believed: the record is not looked at, for that
 * may mean waiting for the disk, and whoever gets the bytes verifies them.
 *
 * A loan pins its volume, so the file stays open and as it is when it is
 * evicted and unlinked meanwhile.  Only where the disk needs the room of a
 * volume at once, or refuses to sync one, are bytes cut off; volume_cut() does
 * not while something is lent.
 */
#include <assert.h>
#include <string.h>

#include "codec/pccrr.h"
#include "common/macros.h"
#include "daemon/store/store_disk_priv.h"

#define HELD_MAX ((uint32_t)sizeof(((struct store_held *)0)->blocks) * 8)

/* A segment has up to 512 blocks, mostly in one volume: what is dear is asked
 * for once. */
struct holding {
	const struct store_disk *m;
	const struct overlay_segment *fresh, *committing;
	uint64_t born_min_s;
	const struct volume *volume; /* the one looked up last */
	struct store_held *ret;
};

static void
hold(struct holding *h, const struct segrec_entry *e)
{
	uint64_t *word, bit;

	if ((!e->proved && !e->sealed) || e->algo == PCCRR_NONE ||
		e->index >= HELD_MAX || e->cipher_len > RECORD_CIPHER_MAX ||
		e->born_s < h->born_min_s)
		return;
	if (h->volume == NULL || h->volume->number != e->volume)
		h->volume = disk_volume(h->m, e->volume);
	if (h->volume == NULL)
		return;
	word = &h->ret->blocks[e->index / 64];
	bit = UINT64_C(1) << e->index % 64;
	if (h->ret->n_blocks == 0 || e->born_s < h->ret->born_s)
		h->ret->born_s = e->born_s;
	h->ret->n_blocks += (*word & bit) == 0;
	*word |= bit;
}

static bool
hides(const struct overlay_segment *seg, const struct segrec_entry *e)
{
	return seg != NULL &&
		overlay_segment_find(seg, e->index, e->claim) != NULL;
}

static void
hold_overlay(struct holding *h, const struct overlay_segment *seg,
	const struct overlay_segment *younger)
{
	for (size_t i = 0; seg != NULL && i < seg->n; i++) {
		const struct overlay_entry *o = &seg->entries[i];

		if (!o->dead && !hides(younger, &o->at))
			hold(h, &o->at);
	}
}

static void
hold_index(struct holding *h, const struct segrec *seg)
{
	struct segrec_entry e;

	for (uint32_t i = 0; i < seg->n_entries; i++) {
		segrec_entry(seg, i, &e);
		if (!hides(h->fresh, &e) && !hides(h->committing, &e))
			hold(h, &e);
	}
}

/* Grows whenever a volume goes, and never shrinks. */
static uint64_t
removals(const struct store_disk *m)
{
	return m->next_number - m->n_volumes;
}

/* Of a segment of 512 blocks this is 2 us of work, and it is wanted for each of
 * them when a peer fetches all.  It stays the same until a commit has ended, a
 * volume is no more, or something may be too old. */
static bool
memo_fits(const struct holding *h, const uint8_t *id, size_t id_len)
{
	const struct held_memo *memo = &h->m->held;

	return h->fresh == NULL && h->committing == NULL &&
		memo->id_len == id_len && memcmp(memo->id, id, id_len) == 0 &&
		memo->generation == h->m->generation &&
		memo->removals == removals(h->m) &&
		memo->born_min_s == h->born_min_s;
}

static void
memo_keep(struct store_disk *m, struct holding *h, const uint8_t *id,
	size_t id_len)
{
	if (h->fresh != NULL || h->committing != NULL)
		return;
	m->held = (struct held_memo){
		.id_len = id_len,
		.generation = m->generation,
		.removals = removals(m),
		.born_min_s = h->born_min_s,
		.held = *h->ret,
	};
	memcpy(m->held.id, id, id_len);
}

void
disk_held(struct block_store *base, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	struct store_disk *m = disk_of(base);
	struct holding h = {.m = m, .ret = ret};
	const struct segrec *seg;
	uint64_t now_s;

	*ret = (struct store_held){0};
	if (id_len == 0 || id_len > STORE_ID_MAX)
		return;
	if (m->max_age_s != 0) {
		now_s = disk_wall_s(m);
		h.born_min_s = now_s - MIN_OF(now_s, m->max_age_s);
	}
	h.fresh = overlay_segment(m->fresh, id, id_len);
	h.committing = overlay_segment(m->committing, id, id_len);
	if (memo_fits(&h, id, id_len)) {
		*ret = m->held.held;
		return;
	}
	hold_overlay(&h, h.fresh, NULL);
	hold_overlay(&h, h.committing, h.fresh);
	seg = disk_index_segment(m, id, id_len);
	if (seg == NULL)
		return;
	hold_index(&h, seg);
	memo_keep(m, &h, id, id_len);
}

enum store_status
disk_lend(struct block_store *base, const uint8_t *id, size_t id_len,
	uint32_t index, struct store_loan *ret)
{
	struct store_disk *m = disk_of(base);
	struct store_ref ref = {.id = id, .index = index, .any = true};
	struct found f;

	if (id_len == 0 || id_len > STORE_ID_MAX)
		return STORE_MISSING;
	ref.id_len = (uint8_t)id_len;
	if (!disk_find_lendable(m, &ref, &f))
		return STORE_MISSING;
	volume_hold(m, f.volume);
	if (volume_lend(f.volume, m->folder, f.at.offset + record_len(&f.at)) !=
		0) {
		volume_release(m, f.volume);
		return STORE_MISSING;
	}
	m->n_lent++;
	*ret = (struct store_loan){
		.fd = f.volume->file.fd,
		.offset = f.at.offset + RECORD_HEADER,
		.cipher_len = f.at.cipher_len,
		.tail_len = record_tail_len(f.at.algo),
		.algo = f.at.algo,
		.store_private = {f.volume},
	};
	return STORE_OK;
}

void
disk_give_back(struct block_store *base, struct store_loan *loan)
{
	struct store_disk *m = disk_of(base);
	struct volume *v = loan->store_private[0];

	assert(m->n_lent > 0);
	m->n_lent--;
	volume_take_back(v);
	volume_touch(m, v, loan->offset - RECORD_HEADER);
	volume_release(m, v);
	*loan = (struct store_loan){.fd = -1};
}

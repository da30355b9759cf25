/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is not in the index yet.
 *
 * A generation is the list of changes for one commit, in order, and the table
 * of what these changes make visible at once: blocks that were appended, and
 * blocks that were dropped and must not be seen in the index any more.  The
 * store thread reads the list of the generation that is being committed, and
 * only that; tables are the loop's.
 */
#include "daemon/store/store_disk_overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

void
generation_init(struct generation *g)
{
	*g = (struct generation){0};
	STAILQ_INIT(&g->changes);
	STAILQ_INIT(&g->waiters);
}

/* Whoever waits is no longer of this generation. */
void
generation_done(struct generation *g)
{
	struct overlay_segment *seg, *next;
	struct change *c;

	HASH_ITER(hh, g->segments, seg, next)
	{
		HASH_DEL(g->segments, seg);
		free(seg->entries);
		free(seg);
	}
	while ((c = STAILQ_FIRST(&g->changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->changes, link);
		free(c);
	}
	generation_init(g);
}

bool
generation_is_empty(const struct generation *g)
{
	return STAILQ_EMPTY(&g->changes) && g->segments == NULL;
}

static struct overlay_segment *
segment_find(const struct generation *g, const uint8_t *id, size_t id_len)
{
	struct overlay_segment *seg;

	if (g->segments == NULL)
		return NULL;
	HASH_FIND(hh, g->segments, id, id_len, seg);
	return seg;
}

static struct overlay_segment *
segment_get(struct generation *g, const struct store_ref *ref)
{
	struct overlay_segment *seg = segment_find(g, ref->id, ref->id_len);

	if (seg != NULL)
		return seg;
	seg = calloc(1, sizeof(*seg));
	if (seg == NULL)
		return NULL;
	memcpy(seg->id, ref->id, ref->id_len);
	seg->id_len = ref->id_len;
	HASH_ADD(hh, g->segments, id, seg->id_len, seg);
	if (seg->hh.tbl == NULL) {
		free(seg);
		return NULL;
	}
	return seg;
}

/* Position of the first entry not below index and claim. */
static size_t
position(
	const struct overlay_segment *seg, uint32_t index, const uint8_t *claim)
{
	size_t lo = 0, hi = seg->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct segrec_entry *e = &seg->entries[mid].at;

		if (e->index < index ||
			(e->index == index &&
				memcmp(e->claim, claim, STORE_CLAIM_SIZE) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct overlay_entry *
entry_find(const struct overlay_segment *seg, uint32_t index,
	const uint8_t *claim, size_t *ret_at)
{
	size_t i = position(seg, index, claim);

	*ret_at = i;
	if (i == seg->n || seg->entries[i].at.index != index ||
		memcmp(seg->entries[i].at.claim, claim, STORE_CLAIM_SIZE) != 0)
		return NULL;
	return &seg->entries[i];
}

const struct overlay_entry *
overlay_segment_find(
	const struct overlay_segment *seg, uint32_t index, const uint8_t *claim)
{
	size_t at;

	return entry_find(seg, index, claim, &at);
}

const struct overlay_entry *
overlay_find(const struct generation *g, const struct store_ref *ref)
{
	const struct overlay_segment *seg =
		segment_find(g, ref->id, ref->id_len);

	return seg != NULL ? overlay_segment_find(seg, ref->index, ref->claim)
			   : NULL;
}

const struct overlay_segment *
overlay_segment(const struct generation *g, const uint8_t *id, size_t id_len)
{
	return segment_find(g, id, id_len);
}

const struct overlay_entry *
overlay_range(
	const struct generation *g, const struct store_ref *ref, size_t *ret_n)
{
	static const uint8_t lowest[STORE_CLAIM_SIZE];
	const struct overlay_segment *seg;
	size_t i, n = 0;

	*ret_n = 0;
	seg = segment_find(g, ref->id, ref->id_len);
	if (seg == NULL)
		return NULL;
	i = position(seg, ref->index, lowest);
	while (i + n < seg->n && seg->entries[i + n].at.index == ref->index)
		n++;
	*ret_n = n;
	return n > 0 ? &seg->entries[i] : NULL;
}

static int
segment_reserve(struct overlay_segment *seg)
{
	size_t cap = seg->cap != 0 ? seg->cap * 2 : 1;
	struct overlay_entry *p;

	if (seg->n < seg->cap)
		return 0;
	p = realloc(seg->entries, cap * sizeof(*p));
	if (p == NULL)
		return err_new(-ENOMEM);
	seg->entries = p;
	seg->cap = cap;
	return 0;
}

int
overlay_set(struct generation *g, const struct store_ref *ref,
	const struct overlay_entry *entry)
{
	struct overlay_segment *seg = segment_get(g, ref);
	struct overlay_entry *e;
	size_t at;

	if (seg == NULL)
		return err_new(-ENOMEM);
	e = entry_find(seg, ref->index, ref->claim, &at);
	if (e != NULL) {
		*e = *entry;
		return 0;
	}
	if (segment_reserve(seg) != 0) {
		if (seg->n == 0) {
			HASH_DEL(g->segments, seg);
			free(seg);
		}
		return err_new(-ENOMEM);
	}
	memmove(&seg->entries[at + 1], &seg->entries[at],
		(seg->n - at) * sizeof(seg->entries[0]));
	seg->entries[at] = *entry;
	seg->n++;
	return 0;
}

static bool
lies_in(const struct segrec_entry *e, const struct volume *v, uint64_t offset)
{
	return e->volume == v->number && e->offset >= offset;
}

static void
segment_forget(struct generation *g, struct overlay_segment *seg,
	const struct volume *v, uint64_t offset)
{
	size_t n = 0;

	for (size_t i = 0; i < seg->n; i++) {
		const struct overlay_entry *e = &seg->entries[i];

		if (e->dead || !lies_in(&e->at, v, offset)) {
			seg->entries[n++] = *e;
			continue;
		}
		g->d_blocks--;
		g->d_bytes -= e->at.cipher_len;
	}
	seg->n = n;
}

void
generation_forget(struct generation *g, const struct volume *v, uint64_t offset)
{
	struct change_list keep = STAILQ_HEAD_INITIALIZER(keep);
	struct overlay_segment *seg, *next;
	struct change *c;

	HASH_ITER(hh, g->segments, seg, next)
	{
		segment_forget(g, seg, v, offset);
		if (seg->n > 0)
			continue;
		HASH_DEL(g->segments, seg);
		free(seg->entries);
		free(seg);
	}
	while ((c = STAILQ_FIRST(&g->changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->changes, link);
		if (c->kind == CHANGE_PUT && lies_in(&c->at, v, offset)) {
			free(c);
			g->n_changes--;
		} else {
			STAILQ_INSERT_TAIL(&keep, c, link);
		}
	}
	STAILQ_CONCAT(&g->changes, &keep);
}

struct change *
change_new(enum change_kind kind, const struct store_ref *ref)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->kind = kind;
	if (ref == NULL)
		return c;
	memcpy(c->id, ref->id, ref->id_len);
	c->id_len = ref->id_len;
	c->at.index = ref->index;
	memcpy(c->at.claim, ref->claim, STORE_CLAIM_SIZE);
	return c;
}

void
generation_add(struct generation *g, struct change *c)
{
	STAILQ_INSERT_TAIL(&g->changes, c, link);
	g->n_changes++;
	if (c->kind == CHANGE_FLUSH)
		g->flushes++;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over all blocks that the index names: each is read and compared with
 * its checksum.  It goes segment by segment, in steps, and knows between them
 * only where it is; so it sees what was there all the time and takes what comes
 * and goes meanwhile as it finds it.
 *
 * A step belongs to one thread other than the loop.  It has the volumes that
 * were there when it began; since numbers only grow, an entry that names one
 * which was not given by then is younger than the step, and one that names any
 * other that is missing leads nowhere.
 */
#include "daemon/store/store_disk_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

/* A commit that is on its way may name the volume to which it carries blocks
 * before the loop knows of it. */
static uint32_t
first_unknown(const struct store_disk *m)
{
	return m->commit.to_create && m->commit.to != NULL
		? m->commit.to->number
		: m->next_number;
}

int
walk_prepare(struct store_disk *m, struct walk *w)
{
	w->volumes = malloc((m->n_volumes + 1) * sizeof(w->volumes[0]));
	if (w->volumes == NULL)
		return err_new(-ENOMEM);
	w->n_volumes = m->n_volumes;
	for (size_t i = 0; i < m->n_volumes; i++) {
		m->volumes[i]->refs++;
		w->volumes[i] = (struct walk_volume){m->volumes[i], false};
	}
	w->first_unknown = first_unknown(m);
	w->index = m->index;
	w->folder = m->folder;
	w->bytes = w->blocks = 0;
	w->n_bad = 0;
	w->error = 0;
	w->ended = false;
	return 0;
}

static struct walk_volume *
walk_volume(struct walk *w, uint32_t number)
{
	size_t lo = 0, hi = w->n_volumes;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (w->volumes[mid].volume->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_volumes && w->volumes[lo].volume->number == number
		? &w->volumes[lo]
		: NULL;
}

static bool
walk_room(struct walk *w, size_t len)
{
	uint8_t *p;

	if (len <= w->buf_len)
		return true;
	p = realloc(w->buf, len);
	if (p == NULL)
		return false;
	w->buf = p;
	w->buf_len = len;
	return true;
}

static void
walk_note(struct walk *w, struct index_blob key, const struct segrec_entry *e,
	bool dangling)
{
	struct walk_bad *bad = &w->bad[w->n_bad++];

	bad->id_len = (uint8_t)key.len;
	memcpy(bad->id, key.data, key.len);
	bad->at = *e;
	bad->dangling = dangling;
}

/* -ENOMEM. */
static int
walk_block(struct walk *w, struct index_blob key, const struct segrec_entry *e)
{
	struct store_ref ref = {.id = key.data, .id_len = (uint8_t)key.len};
	struct walk_volume *v = walk_volume(w, e->volume);
	struct store_block block;
	int r;

	if (v == NULL) {
		if (e->volume < w->first_unknown)
			walk_note(w, key, e, true);
		return 0;
	}
	if (e->cipher_len > RECORD_CIPHER_MAX) {
		walk_note(w, key, e, true);
		return 0;
	}
	if (!walk_room(w, record_len(e)))
		return err_new(-ENOMEM);
	v->used = true;
	r = record_read(v->volume, w->folder, &ref, e, w->buf, &block);
	w->blocks++;
	w->bytes += e->cipher_len;
	if (r != 0 && !read_error_is_ours(r))
		walk_note(w, key, e, r == -EBADMSG);
	return 0;
}

static bool
walk_is_full(const struct walk *w)
{
	return w->bytes >= w->budget || w->n_bad == WALK_BAD;
}

static bool
walk_segment(struct index_blob key, struct index_blob value, void *ctx)
{
	struct walk *w = ctx;
	struct segrec_entry e;
	struct segrec seg;
	uint32_t i = 0;

	if (key.len == w->at_len && memcmp(key.data, w->at, key.len) == 0)
		i = w->at_entry;
	if (key.len > STORE_ID_MAX ||
		segrec_parse(&seg, key.data, key.len, value.data, value.len) !=
			SEGREC_OK)
		return true;
	while (i < seg.n_entries && !walk_is_full(w) && w->error == 0) {
		segrec_entry(&seg, i++, &e);
		w->error = walk_block(w, key, &e);
	}
	memcpy(w->at, key.data, key.len);
	w->at_len = key.len;
	w->at_entry = i;
	return w->error == 0 && !walk_is_full(w);
}

void
walk_step(struct walk *w)
{
	struct index_reader *reader = index_reader_new(w->index);
	int r;

	if (reader == NULL) {
		w->error = index_is_damaged(w->index) ? -EIO : -ENOMEM;
		return;
	}
	r = index_reader_each(reader, T_SEGMENTS,
		(struct index_blob){w->at, w->at_len}, walk_segment, w);
	index_reader_free(reader);
	if (r != 0 && w->error == 0)
		w->error = r;
	w->ended = w->error == 0 && !walk_is_full(w);
}

/* Blocks may have been dropped, replaced or evicted since they were read. */
static bool
is_still_there(struct store_disk *m, const struct store_ref *ref,
	const struct walk_bad *bad)
{
	struct found f;

	return disk_find(m, ref, &f) && f.at.volume == bad->at.volume &&
		f.at.offset == bad->at.offset && !f.volume->doomed;
}

static void
drop_dangling(struct store_disk *m, const struct store_ref *ref,
	const struct walk_bad *bad)
{
	struct change *c = change_new(CHANGE_DROP, ref);

	if (c == NULL)
		return;
	c->at = bad->at;
	generation_add(m->fresh, c);
	disk_commit_soon(m);
}

static void
walk_judge(struct store_disk *m, const struct walk_bad *bad, bool repair,
	struct store_verify *ret)
{
	struct store_ref ref = {
		.id = bad->id, .id_len = bad->id_len, .index = bad->at.index};
	bool there;

	memcpy(ref.claim, bad->at.claim, sizeof(ref.claim));
	there = is_still_there(m, &ref, bad);
	if (bad->dangling && (there || !disk_volume(m, bad->at.volume)))
		ret->dangling++;
	else if (there)
		ret->rotten++;
	if (!repair)
		return;
	if (there)
		disk_drop(m, &ref, &bad->at);
	else if (bad->dangling)
		drop_dangling(m, &ref, bad);
}

void
walk_end_step(struct store_disk *m, struct walk *w, bool repair,
	struct store_verify *ret)
{
	for (size_t i = 0; i < w->n_bad; i++)
		walk_judge(m, &w->bad[i], repair, ret);
	for (size_t i = 0; i < w->n_volumes; i++) {
		struct volume *v = w->volumes[i].volume;

		/* So that it is closed some day. */
		if (w->volumes[i].used) {
			volume_hold(m, v);
			volume_release(m, v);
		}
		volume_unref(v);
	}
	free(w->volumes);
	w->volumes = NULL;
	w->n_volumes = 0;
}

struct walk *
walk_free(struct walk *w)
{
	if (w == NULL)
		return NULL;
	free(w->volumes);
	free(w->buf);
	free(w);
	return NULL;
}

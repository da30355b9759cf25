/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The group commit.
 *
 * The fresh generation becomes the committing one, and a job of the store
 * thread syncs every volume that was appended to, then brings the changes into
 * the index in one transaction.  So no entry of the index is ever older than
 * its data on the disk, and each crash leaves the state of some commit.
 *
 * An eviction rides on a commit: the oldest volume leaves the index in the same
 * transaction, see store_disk_evict.c.
 *
 * When it fails, the committing generation stays as it is and is tried again
 * before the next one, which goes on growing meanwhile.  Who waits for it is
 * told at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

/* Evictions to help commits that find no room, until one succeeds again. */
#define PRESSED_MOST 2u

static void
retry_alarm(void *ctx)
{
	struct store_disk *m =
		container_of(ctx, struct store_disk, retry_alarm);

	disk_kick(m);
}

void
disk_retry_later(struct store_disk *m)
{
	m->retry_ms = disk_now_ms(m) + RETRY_MS;
	disk_alarm(m, &m->retry_alarm, retry_alarm, RETRY_MS);
}

static void
commit_alarm(void *ctx)
{
	struct store_disk *m =
		container_of(ctx, struct store_disk, commit_alarm);

	m->commit_alarmed = false;
	m->commit_wanted = !generation_is_empty(m->fresh);
	disk_kick(m);
}

void
disk_commit_soon(struct store_disk *m)
{
	if (m->commit_alarmed || m->closing)
		return;
	m->commit_alarmed = true;
	disk_alarm(m, &m->commit_alarm, commit_alarm, m->commit_ms);
}

/* Between the parts of an eviction, if they need not wait for its end. */
static bool
is_turn_of_puts(const struct store_disk *m)
{
	return m->puts_turn && !m->make_room && m->batch.n == 0 &&
		!STAILQ_EMPTY(&m->queue);
}

bool
disk_commit_due(struct store_disk *m)
{
	/* Before the index is marked as unfinished nothing may be in it. */
	if (m->rebuild.clear && !m->broken)
		return false;
	if (!STAILQ_EMPTY(&m->fresh->waiters) ||
		!STAILQ_EMPTY(&m->committing->waiters))
		return m->broken || m->retry_ms <= disk_now_ms(m);
	if (m->broken || m->retry_ms > disk_now_ms(m))
		return false;
	/* An ill one is tried with nothing in it, too: nothing else heals. */
	return !generation_is_empty(m->committing) ||
		m->commit_health != STORE_HEALTHY ||
		(m->commit_wanted && !generation_is_empty(m->fresh)) ||
		(disk_victim(m) != NULL && !is_turn_of_puts(m));
}

static void
waiters_answer_later(struct request_list *waiters, enum store_status status)
{
	struct request *r;

	while ((r = STAILQ_FIRST(waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(waiters, link);
		request_answer_later(r, status);
	}
}

void
disk_waiters_fail(struct store_disk *m, enum store_status status)
{
	waiters_answer_later(&m->committing->waiters, status);
	waiters_answer_later(&m->fresh->waiters, status);
}

static void
commit_free(struct commit *c)
{
	for (size_t i = 0; i < c->n_dirty; i++)
		volume_unref(c->dirty[i]);
	free(c->rows);
	free(c->dirty);
	*c = (struct commit){0};
}

static int
prepare_dirty(struct store_disk *m, struct commit *c)
{
	c->dirty = malloc((m->n_volumes + 1) * sizeof(c->dirty[0]));
	if (c->dirty == NULL)
		return err_new(-ENOMEM);
	/* One of them may be evicted on the way. */
	for (size_t i = 0; i < m->n_volumes; i++) {
		if (!m->volumes[i]->dirty)
			continue;
		m->volumes[i]->refs++;
		c->dirty[c->n_dirty++] = m->volumes[i];
	}
	c->sync_folder = m->folder_dirty;
	return 0;
}

/* Under pressure the eviction comes alone: it needs little, the changes may be
 * what there is no room for. */
static int
commit_prepare(struct store_disk *m)
{
	struct commit *c = &m->commit;
	struct volume *victim = disk_victim(m);
	int r;

	*c = (struct commit){
		.next_number = m->next_number,
		.fence = disk_rebuild_fence(m),
		.now_s = disk_wall_s(m),
		.pressure = m->pressure && victim != NULL,
	};
	if (!c->pressure)
		c->gen = m->committing;
	c->covers = c->gen != NULL && STAILQ_EMPTY(&m->fresh->changes);
	r = prepare_dirty(m, c);
	if (r == 0)
		r = disk_rows(m, true, &c->rows, &c->n_rows);
	if (r == 0 && victim != NULL)
		r = evict_prepare(m, c, victim);
	if (r != 0)
		commit_free(c);
	return err_pass(r);
}

static int
commit_sync(struct store_disk *m, struct commit *c)
{
	int r;

	for (size_t i = 0; i < c->n_dirty; i++) {
		struct volume *v = c->dirty[i];

		c->unsynced = v;
		r = volume_open(v, m->folder);
		if (r != 0)
			return err_pass(r);
		r = block_log_sync(&v->file);
		if (r == 0)
			continue;
		volume_cut(v, v->committed);
		return err_pass(r);
	}
	c->unsynced = NULL;
	return c->sync_folder ? err_pass(block_log_sync_folder(m->folder)) : 0;
}

static int
commit_changes(struct commit *c, struct txn *t)
{
	struct change *change;
	int r = 0;

	if (c->gen == NULL)
		return 0;
	STAILQ_FOREACH (change, &c->gen->changes, link)
		if (r == 0)
			r = txn_change(t, change);
	return err_pass(r);
}

static int
commit_index(struct store_disk *m, struct commit *c)
{
	struct txn t;
	int r = txn_begin(&t, m->index, c->rows, c->n_rows);

	if (r != 0)
		return err_pass(r);
	t.fence = c->fence;
	r = commit_changes(c, &t);
	if (r == 0 && c->victim != NULL)
		r = evict_run(m, c, &t);
	c->n_rows = t.n_rows;
	if (r != 0) {
		txn_abort(&t);
		return err_pass(r);
	}
	return err_pass(txn_commit(&t, c->next_number));
}

static void
commit_run(struct store_disk *m)
{
	struct commit *c = &m->commit;

	c->result = commit_sync(m, c);
	if (c->result == 0)
		c->result = commit_index(m, c);
	if (c->result == 0 && c->victim != NULL && c->evict_ended)
		evict_unlink(m, c);
	c->low = disk_is_low(m->folder);
}

static void
note_ids(struct store_disk *m, const struct generation *gen)
{
	const struct change *change;

	STAILQ_FOREACH (change, &gen->changes, link)
		if (change->kind == CHANGE_PUT)
			absent_add(m, change->id, change->id_len);
}

static void
commit_succeeded(struct store_disk *m)
{
	struct request_list waiters = STAILQ_HEAD_INITIALIZER(waiters);
	struct commit *c = &m->commit;

	if (c->gen != NULL)
		note_ids(m, c->gen);
	index_refresh(m->index);
	m->generation++;
	disk_rows_back(m, c->rows, c->n_rows);
	for (size_t i = 0; c->covers && i < c->n_dirty; i++)
		c->dirty[i]->dirty = false;
	m->folder_dirty = false;
	m->low = c->low;
	if (m->suspect && c->n_dirty > 0) {
		m->suspect = false;
		disk_healthy(m, true);
	}
	if (c->gen != NULL) {
		m->pressed = 0;
		m->flushes -= c->gen->flushes;
		STAILQ_CONCAT(&waiters, &c->gen->waiters);
		generation_done(c->gen);
		disk_healthy(m, false);
	}
	while (!STAILQ_EMPTY(&waiters)) {
		struct request *r = STAILQ_FIRST(&waiters);

		STAILQ_REMOVE_HEAD(&waiters, link);
		request_answer(r, STORE_OK);
	}
}

bool
disk_press(struct store_disk *m, int error)
{
	if (!is_full_error(error) || !disk_can_evict(m) ||
		m->pressed >= PRESSED_MOST)
		return false;
	m->pressed++;
	m->pressure = true;
	m->make_room = true;
	return true;
}

/* Nobody may take for stored what may not be on the disk. */
static void
forget_unsynced(struct store_disk *m, struct volume *v)
{
	generation_forget(m->fresh, v, v->committed);
	generation_forget(m->committing, v, v->committed);
	v->length = v->committed;
	v->dirty = false;
	if (m->active == v)
		m->active = NULL;
}

static void
commit_failed(struct store_disk *m, int r)
{
	struct volume *unsynced = m->commit.unsynced;

	if (unsynced != NULL) {
		m->suspect = true;
		disk_health(m, r, true);
		if (disk_volume(m, unsynced->number) == unsynced)
			forget_unsynced(m, unsynced);
		disk_puts_fail(m, disk_status(r));
		return;
	}
	if (index_is_damaged(m->index)) {
		disk_broken(m);
	} else if (disk_press(m, r)) {
		return;
	} else {
		disk_health(m, r, false);
		disk_retry_later(m);
		disk_puts_fail(m, disk_status(r));
	}
	disk_waiters_fail(m, disk_status(r));
}

static void
commit_done(struct store_disk *m, bool ran)
{
	int r = ran ? m->commit.result : -ECANCELED;

	if (m->commit.victim != NULL) {
		if (!ran)
			m->commit.to_created = false;
		evict_end(m, &m->commit, r);
	}
	if (r == 0)
		commit_succeeded(m);
	else
		commit_failed(m, r);
	commit_free(&m->commit);
}

static void
next_generation(struct store_disk *m)
{
	struct generation *g = m->fresh;

	if (!generation_is_empty(m->committing))
		return;
	/* Nothing of it is left to be committed, but somebody may wait. */
	STAILQ_CONCAT(&g->waiters, &m->committing->waiters);
	generation_done(m->committing);
	m->fresh = m->committing;
	m->committing = g;
	m->commit_wanted = false;
}

bool
disk_commit_start(struct store_disk *m)
{
	int r;

	if (m->broken) {
		disk_waiters_fail(m, STORE_IO);
		return true;
	}
	next_generation(m);
	r = commit_prepare(m);
	if (r != 0) {
		disk_retry_later(m);
		disk_waiters_fail(m, disk_status(r));
		return false;
	}
	if (m->commit.victim == NULL && m->commit.n_dirty == 0 &&
		m->commit_health == STORE_HEALTHY &&
		generation_is_empty(m->committing)) {
		commit_free(&m->commit);
		waiters_answer_later(&m->committing->waiters, STORE_OK);
		return true;
	}
	disk_job(m, commit_run, commit_done);
	return true;
}

/* At the end, when the store thread is idle, in its place. */
void
disk_commit_last(struct store_disk *m)
{
	/* As in disk_commit_due(). */
	if (m->rebuild.clear)
		return;
	for (int i = 0; i < 3 && !m->broken; i++) {
		next_generation(m);
		if (generation_is_empty(m->committing))
			return;
		m->make_room = m->low = false;
		if (commit_prepare(m) != 0)
			return;
		commit_run(m);
		commit_done(m, true);
	}
}

static int
clear_index(struct store_disk *m)
{
	struct txn t;
	int r = txn_begin(&t, m->index, NULL, 0);

	if (r != 0)
		return err_pass(r);
	r = txn_clear(&t);
	if (r == 0)
		r = txn_state_set(&t, STATE_REBUILDING, 0);
	if (r != 0) {
		txn_abort(&t);
		return err_pass(r);
	}
	return err_pass(txn_commit(&t, m->commit.next_number));
}

static void
clear_run(struct store_disk *m)
{
	m->commit.result = clear_index(m);
	if (m->commit.result != 0)
		return;
	for (size_t i = 0; i < m->n_volumes; i++)
		(void)block_log_unlink(m->folder, m->volumes[i]->number);
}

static void
clear_succeeded(struct store_disk *m)
{
	struct request_list waiters = STAILQ_HEAD_INITIALIZER(waiters);

	index_refresh(m->index);
	m->generation++;
	while (m->n_volumes > 0)
		disk_volume_remove(m, m->volumes[m->n_volumes - 1]);
	disk_rebuild_end(m);
	STAILQ_CONCAT(&waiters, &m->committing->waiters);
	STAILQ_CONCAT(&waiters, &m->fresh->waiters);
	generation_done(m->committing);
	generation_done(m->fresh);
	m->flushes = 0;
	m->make_room = m->pressure = m->low = false;
	disk_healthy(m, false);
	waiters_answer_later(&waiters, STORE_OK);
}

static void
clear_done(struct store_disk *m, bool ran)
{
	struct request *request = m->commit.clear;
	int r = ran ? m->commit.result : -ECANCELED;

	commit_free(&m->commit);
	if (r == 0) {
		clear_succeeded(m);
	} else if (index_is_damaged(m->index)) {
		disk_broken(m);
		disk_waiters_fail(m, STORE_IO);
	} else {
		disk_health(m, r, false);
		disk_retry_later(m);
	}
	request_answer(request, disk_status(r));
}

bool
disk_clear_start(struct store_disk *m, struct request *request)
{
	if (m->broken) {
		request_answer_later(request, STORE_IO);
		return true;
	}
	m->commit = (struct commit){
		.clear = request,
		.next_number = m->next_number,
	};
	disk_job(m, clear_run, clear_done);
	return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verifying on demand, and the scrubber.
 *
 * Verifying walks over all blocks at full speed on workers, a few MiB for each
 * job; then over the volumes, whose chains of records must be whole.
 *
 * The scrubber does the first of these all the time, slowly: everything in a
 * week, but not faster than RATE_MOST.  It begins somewhere, lest a service
 * that is often started anew reads the first blocks only.  Its steps are short
 * jobs of the store thread, for which closing the store can wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define VERIFY_BYTES (UINT64_C(4) << 20)
#define SCAN_RECORDS 4096u
#define SCAN_SEARCH  (UINT64_C(16) << 20)

#define ROUND_S     (UINT64_C(7) * 86400)
#define RATE_LEAST  (UINT64_C(64) << 10)
#define RATE_MOST   (UINT64_C(4) << 20)
#define SCRUB_BYTES (UINT64_C(1) << 20)
#define IDLE_MS     (UINT64_C(60) * 1000)

struct verify_work {
	struct env_job job;
	struct store_disk *store;
	struct store_verify *verify;
	struct walk walk;
	bool walked;
	/* the chain of one volume */
	struct volume *volume;
	uint32_t number;
	struct block_log_scan scan;
	size_t n_records;
	bool volume_ended;
	bool volume_bad;
};

static void verify_next(struct verify_work *);

static void
verify_end(struct verify_work *w, enum store_status status)
{
	struct store_verify *v = w->verify;

	w->store->verifying = false;
	v->status = status;
	free(w->walk.volumes);
	free(w->walk.buf);
	free(w);
	v->done(v);
}

static void
verify_progress(struct verify_work *w)
{
	if (w->verify->progress != NULL)
		w->verify->progress(w->verify);
	verify_next(w);
}

static void
walk_run(struct env_job *job, struct bulk *bulk)
{
	walk_step(&container_of(job, struct verify_work, job)->walk);
}

static void
walk_done(struct env_job *job, bool ran)
{
	struct verify_work *w = container_of(job, struct verify_work, job);
	struct store_verify *v = w->verify;
	int error = ran ? w->walk.error : -ECANCELED;

	walk_end_step(w->store, &w->walk, v->repair, v);
	v->blocks += w->walk.blocks;
	v->done_bytes += w->walk.bytes;
	v->total_bytes = MAX_OF(v->total_bytes, v->done_bytes);
	w->walked = w->walk.ended;
	if (error != 0)
		verify_end(w, disk_status(error));
	else
		verify_progress(w);
}

static int
chain_record(const struct record *rec, uint64_t offset, void *ctx)
{
	struct verify_work *w = ctx;

	return ++w->n_records >= SCAN_RECORDS;
}

static void
chain_run(struct env_job *job, struct bulk *bulk)
{
	struct verify_work *w = container_of(job, struct verify_work, job);
	int r = volume_open(w->volume, w->walk.folder);

	w->n_records = 0;
	if (r == 0)
		r = block_log_scan(&w->volume->file, &w->scan);
	w->volume_ended = r <= 0 && r != -EAGAIN;
	w->volume_bad = w->scan.damaged > 0 ||
		(w->volume_ended && r != 0 && !read_error_is_ours(r));
}

static void
chain_done(struct env_job *job, bool ran)
{
	struct verify_work *w = container_of(job, struct verify_work, job);

	if (w->volume_ended || !ran) {
		if (ran && w->volume_bad && !w->volume->gone)
			w->verify->damaged_volumes++;
		w->number = w->volume->number + 1;
		w->scan.offset = 0;
	}
	volume_release(w->store, w->volume);
	w->volume = NULL;
	if (!ran)
		verify_end(w, STORE_IO);
	else
		verify_progress(w);
}

/* Loop.  false: all volumes were looked at. */
static bool
chain_prepare(struct verify_work *w)
{
	struct store_disk *m = w->store;
	size_t i = 0;

	while (i < m->n_volumes && m->volumes[i]->number < w->number)
		i++;
	if (i == m->n_volumes)
		return false;
	w->volume = m->volumes[i];
	volume_hold(m, w->volume);
	if (w->scan.offset == 0 || w->volume->number != w->number)
		w->scan = (struct block_log_scan){
			.offset = VOLUME_HEADER,
			.fn = chain_record,
			.ctx = w,
			.search_max = SCAN_SEARCH,
		};
	w->number = w->volume->number;
	w->scan.limit = w->volume->committed;
	w->job = (struct env_job){.run = chain_run, .done = chain_done};
	return true;
}

static void
verify_next(struct verify_work *w)
{
	const struct env *env = w->store->host.env;

	if (w->verify->stop) {
		verify_end(w, STORE_OK);
		return;
	}
	if (!w->walked) {
		if (walk_prepare(w->store, &w->walk) != 0) {
			verify_end(w, STORE_NO_MEMORY);
			return;
		}
		w->job = (struct env_job){.run = walk_run, .done = walk_done};
	} else if (!chain_prepare(w)) {
		verify_end(w, STORE_OK);
		return;
	}
	env->ops->job(env->ctx, &w->job);
}

/* After the commit of what was there when it was asked for. */
void
verify_begin(struct store_verify *v)
{
	struct store_disk *m =
		((struct request *)(void *)v->store_private)->store;
	struct verify_work *w = calloc(1, sizeof(*w));
	struct store_stats stats;

	if (w == NULL) {
		m->verifying = false;
		v->status = STORE_NO_MEMORY;
		v->done(v);
		return;
	}
	m->base.ops->stats(&m->base, &stats);
	v->total_bytes = stats.bytes;
	w->store = m;
	w->verify = v;
	w->walk.budget = VERIFY_BYTES;
	w->walk.folder = m->folder;
	verify_next(w);
}

static void
verify_refuse(struct env_job *job, bool ran)
{
	struct request *r = container_of(job, struct request, job);
	struct store_verify *v = REQUEST_OF(r, store_verify);

	v->status = STORE_IO;
	v->done(v);
}

void
disk_verify(struct block_store *base, struct store_verify *v)
{
	struct store_disk *m = disk_of(base);
	struct request *r = (void *)v->store_private;

	v->done_bytes = v->total_bytes = 0;
	v->blocks = v->rotten = v->dangling = v->damaged_volumes = 0;
	request_init(r, m, REQUEST_VERIFY);
	if (m->verifying) {
		r->job = (struct env_job){.done = verify_refuse};
		m->host.env->ops->job(m->host.env->ctx, &r->job);
		return;
	}
	m->verifying = true;
	disk_enqueue(m, r);
}

static uint64_t
scrub_rate(const struct store_disk *m)
{
	uint64_t bytes = 0, rate;

	if (m->scrub.rate != 0)
		return m->scrub.rate;
	for (size_t i = 0; i < m->n_volumes; i++)
		bytes += m->volumes[i]->bytes;
	rate = bytes / ROUND_S;
	return MIN_OF(MAX_OF(rate, RATE_LEAST), RATE_MOST);
}

static void
scrub_alarm(void *ctx)
{
	struct store_disk *m =
		container_of(ctx, struct store_disk, scrub_alarm);

	m->scrub.due = true;
	disk_kick(m);
}

static void
scrub_in(struct store_disk *m, uint64_t ms)
{
	disk_alarm(m, &m->scrub_alarm, scrub_alarm, ms);
}

static uint64_t
scrub_pause_ms(const struct store_disk *m, uint64_t bytes)
{
	return bytes * 1000 / scrub_rate(m) + 1;
}

static void
scrub_run(struct store_disk *m)
{
	walk_step(m->scrub.walk);
}

/* A round that began in the middle is followed by a whole one; the next whole
 * one begins a week after that began, unless somebody set the rate. */
static uint64_t
scrub_round_ended(struct store_disk *m, uint64_t bytes)
{
	struct scrub *s = &m->scrub;
	uint64_t now = disk_now_ms(m), next = s->began_ms + ROUND_S * 1000;
	uint64_t pause = MAX_OF(scrub_pause_ms(m, bytes), IDLE_MS);

	if (s->rate == 0 && s->whole && next > now)
		pause = MAX_OF(pause, next - now);
	s->whole = true;
	s->began_ms = now + pause;
	s->walk->at_len = 0;
	s->walk->at_entry = 0;
	return pause;
}

static void
scrub_done(struct store_disk *m, bool ran)
{
	struct walk *w = m->scrub.walk;
	struct store_verify found = {0};
	uint64_t pause = scrub_pause_ms(m, w->bytes);

	walk_end_step(m, w, true, &found);
	m->stats.scrubbed_bytes += w->bytes;
	if (w->ended)
		pause = scrub_round_ended(m, w->bytes);
	else if (!ran || w->error != 0)
		pause = IDLE_MS;
	scrub_in(m, pause);
}

bool
disk_scrub_start(struct store_disk *m)
{
	struct scrub *s = &m->scrub;

	if (!s->due)
		return false;
	s->due = false;
	if (s->walk == NULL) {
		s->walk = calloc(1, sizeof(*s->walk));
		if (s->walk != NULL) {
			s->walk->at_len = 32;
			m->host.env->ops->random(
				m->host.env->ctx, s->walk->at, 32);
		}
	}
	if (s->walk == NULL || m->rebuild.active ||
		walk_prepare(m, s->walk) != 0) {
		scrub_in(m, IDLE_MS);
		return false;
	}
	s->walk->budget = SCRUB_BYTES;
	disk_job(m, scrub_run, scrub_done);
	return true;
}

void
disk_scrub_begin(struct store_disk *m)
{
	scrub_in(m, IDLE_MS);
}

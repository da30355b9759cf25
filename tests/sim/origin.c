/* SPDX-License-Identifier: BSD-2-Clause */
/* The content's server behind its slow link, which all downloads share fairly:
 * each in turn gets a piece through. */
#include <stdlib.h>

#include "tests/sim/world.h"

#define PIECE (64u * 1024u)

static struct host *
host_of_download(struct download *d)
{
	return container_of(
		container_of(d, struct app, download), struct host, app);
}

static void
pump(struct world *w)
{
	struct download *d = TAILQ_FIRST(&w->downloads);

	if (w->origin.place != 0 || d == NULL)
		return;
	TAILQ_REMOVE(&w->downloads, d, link);
	d->queued = false;
	w->downloading = d;
	w->downloading_n = MIN_OF(d->left, PIECE);
	sim_at(&w->clock, &w->origin,
		world_now(w) +
			w->downloading_n * 8 * NS_PER_MS / w->o.origin_kbps);
}

static void
queue(struct world *w, struct download *d)
{
	TAILQ_INSERT_TAIL(&w->downloads, d, link);
	d->queued = true;
	pump(w);
}

static void
piece_event(struct sim_event *e)
{
	struct world *w = container_of(e, struct world, origin);
	struct download *d = TAKE_PTR(w->downloading);
	uint64_t n = w->downloading_n;

	w->counts.origin_bytes += n;
	if (d != NULL) {
		d->left -= n;
		if (d->left > 0)
			queue(w, d);
	}
	pump(w);
	if (d != NULL)
		app_arrived(host_of_download(d), n);
}

static void
begin_event(struct sim_event *e)
{
	struct download *d = container_of(e, struct download, begin);

	queue(host_of_download(d)->world, d);
}

void
origin_begin(struct world *w)
{
	TAILQ_INIT(&w->downloads);
	w->origin.fn = piece_event;
}

void
origin_get(struct host *h, uint64_t n)
{
	struct world *w = h->world;
	struct download *d = &h->app.download;

	w->counts.origin_requests++;
	d->left = n;
	d->begin.fn = begin_event;
	sim_at(&w->clock, &d->begin,
		world_now(w) + 2 * w->o.origin_us * NS_PER_US);
}

void
origin_stop(struct host *h)
{
	struct world *w = h->world;
	struct download *d = &h->app.download;

	sim_unset(&w->clock, &d->begin);
	if (d->queued)
		TAILQ_REMOVE(&w->downloads, d, link);
	d->queued = false;
	if (w->downloading == d)
		w->downloading = NULL;
}

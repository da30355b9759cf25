/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The application reads the content from its beginning to its end.  What the
 * service has not, or not in time, it gets from the origin, gives to the
 * service as it comes, and reads on behind it when it has all of it.  With
 * patience it first tries again for a while when many want the content at this
 * moment (by reading the block, as the stream has gone on).  Patience that is
 * lost comes back when others have something again.
 *
 * It is in another process: whatever it is told it looks at a moment later.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/content.h"
#include "tests/sim/world.h"

#define READ_SIZE  (256u * 1024)
#define ADD_SIZE   (256u * 1024)
#define AREA_WRITE ADD_SIZE
#define AREA_READ  (2u * READ_SIZE)
#define RETRY_NS   (500u * NS_PER_MS)
#define TURN_NS    (30u * NS_PER_US)

static struct host *
host_of_app(struct app *a)
{
	return container_of(a, struct host, app);
}

static uint64_t
op_new(struct app *a, enum app_op k)
{
	uint64_t id = (uint64_t)++a->generation << 32 | k;

	a->ops[k].id = id;
	a->ops[k].acks = 0;
	a->ops[k].completions = 0;
	return id;
}

static void
expect(struct app *a, enum core_result r, const char *what)
{
	struct host *h = host_of_app(a);

	if (r != CORE_OK)
		world_fault(h->world, "host %u: %s: result %d", h->number, what,
			(int)r);
}

/* What the session tells. */

static bool
on_accept(void *ctx, uint64_t id)
{
	struct app *a = ctx;
	enum app_op k = (enum app_op)(uint32_t)id;

	if (k >= _APP_OP_MAX || a->ops[k].id != id || a->ops[k].acks++ != 0)
		world_fault(host_of_app(a)->world, "an operation too many");
	return true;
}

static void
check_bytes(struct app *a, const struct op_result *r)
{
	struct world *w = host_of_app(a)->world;
	const uint8_t *bytes =
		r->inline_len > 0 ? r->inline_data : a->map + r->range_offset;

	if (r->offset > w->o.content || r->bytes > w->o.content - r->offset ||
		memcmp(bytes, w->content + r->offset, r->bytes) != 0)
		world_fault(
			w, "host %u read wrong bytes", host_of_app(a)->number);
}

static void
on_complete(void *ctx, uint64_t id, const struct op_result *r)
{
	struct app *a = ctx;
	struct host *h = host_of_app(a);
	enum app_op k = (enum app_op)(uint32_t)id;

	if (k >= _APP_OP_MAX || a->ops[k].id != id || a->ops[k].acks != 1 ||
		a->ops[k].completions++ != 0) {
		world_fault(
			h->world, "host %u: a completion too many", h->number);
		return;
	}
	if (k == APP_CI_ADD)
		return;
	if (k == APP_READ && r->status == CORE_OK)
		check_bytes(a, r);
	a->last = k;
	a->result = *r;
	a->result.inline_data = NULL;
	sim_at(&h->world->clock, &a->step, world_now(h->world) + TURN_NS);
}

static void
on_need(void *ctx, uint64_t id, uint32_t len)
{
	world_fault(host_of_app(ctx)->world, "a slice too few");
}

static void
on_released(void *ctx, uint64_t id, uint32_t offset, uint32_t len)
{
}

static void
on_status(void *ctx, enum service_status s, uint32_t min, uint32_t max)
{
}

static void
on_reply(void *ctx, uint64_t request, enum core_result r, uint64_t handle)
{
}

static void
on_progress(void *ctx, uint64_t id, uint64_t done, uint64_t total)
{
}

static const struct session_ops app_ops = {
	.complete = on_complete,
	.accept = on_accept,
	.need = on_need,
	.released = on_released,
	.status = on_status,
	.reply = on_reply,
	.progress = on_progress,
};

/* What it does. */

static void
finish(struct app *a)
{
	struct host *h = host_of_app(a);

	if (a->position != h->world->o.content)
		world_fault(h->world, "host %u ended at %llu", h->number,
			(unsigned long long)a->position);
	expect(a, session_content_close(a->session, a->handle), "Close");
	a->session = session_free(a->session, true);
	/* What is kept for more of the same would be kept a thousand times. */
	content_spares_free(h->service);
	a->done = true;
	a->ended_ns = world_now(h->world);
	h->world->n_done++;
}

static void
read_on(struct app *a)
{
	struct world *w = host_of_app(a)->world;

	if (a->position == w->o.content) {
		finish(a);
		return;
	}
	/* The stream goes on behind the hole. */
	if (a->position >= a->hole_end)
		a->patient = false;
	if (!a->patient)
		expect(a,
			session_stream_read(a->session, op_new(a, APP_READ),
				a->handle, READ_SIZE, SESSION_TIMEOUT_DEFAULT),
			"StreamRead");
	else
		expect(a,
			session_block_read(a->session, op_new(a, APP_READ),
				a->handle, a->position,
				(uint32_t)MIN_OF(
					READ_SIZE, a->hole_end - a->position),
				SESSION_TIMEOUT_DEFAULT),
			"BlockRead");
}

/* Gives on what has come from the origin, a piece at a time. */
static void
add_on(struct app *a)
{
	struct world *w = host_of_app(a)->world;
	uint32_t n = (uint32_t)MIN_OF(a->arrived - a->added, ADD_SIZE);
	const struct session_slice slice = {.len = n};

	if (a->adding || n == 0)
		return;
	memcpy(a->map, w->content + a->added, n);
	a->adding = true;
	expect(a,
		session_data_add(a->session, op_new(a, APP_ADD), a->handle,
			a->added, n, &slice),
		"AddData");
	a->added += n;
}

void
app_arrived(struct host *h, uint64_t n)
{
	h->app.arrived += n;
	h->app.from_origin += n;
	add_on(&h->app);
}

static void
from_origin(struct app *a, uint64_t from, uint64_t to)
{
	a->holes++;
	a->arrived = a->added = from;
	a->download_end = to;
	origin_get(host_of_app(a), to - from);
}

static void
retry_event(struct sim_event *e)
{
	struct app *a = container_of(e, struct app, retry);

	a->retries++;
	read_on(a);
}

/* Whether to wait for others, who are getting it at this moment. */
static bool
is_patient(struct app *a)
{
	struct world *w = host_of_app(a)->world;
	bool crowd = false;

	if (world_now(w) - a->progress_ns >= a->patience_ns)
		return false;
	expect(a, session_content_info(a->session, a->handle, &crowd),
		"GetContentInformation");
	return crowd;
}

static void
hole(struct app *a, const struct op_result *r)
{
	struct world *w = host_of_app(a)->world;

	if (!a->patient)
		a->hole_end = r->offset + r->bytes;
	if (!is_patient(a)) {
		from_origin(a, r->offset, r->offset + r->bytes);
		return;
	}
	a->patient = true;
	sim_at(&w->clock, &a->retry,
		world_now(w) + RETRY_NS / 2 + world_below(w, RETRY_NS));
}

static void
after_add(struct app *a)
{
	expect(a, a->result.status, "AddData");
	a->adding = false;
	add_on(a);
	if (a->adding || a->added < a->download_end)
		return;
	a->position = a->download_end;
	read_on(a);
}

static void
after_read(struct app *a)
{
	const struct op_result r = a->result;

	if (r.range_len > 0)
		expect(a,
			session_return(a->session, r.range_offset, r.range_len),
			"return");
	switch (r.status) {
	case CORE_OK:
		a->from_peers += r.bytes;
		a->position = r.offset + r.bytes;
		a->progress_ns = world_now(host_of_app(a)->world);
		read_on(a);
		break;
	case CORE_E_TIMEOUT:
		a->timeouts++;
		hole(a, &r);
		break;
	case CORE_E_MISSING_DATA:
		hole(a, &r);
		break;
	case CORE_E_NO_MORE:
		finish(a);
		break;
	default:
		expect(a, r.status, "StreamRead");
	}
}

static void
step_event(struct sim_event *e)
{
	struct app *a = container_of(e, struct app, step);

	switch (a->last) {
	case APP_CI_COMPLETE:
		expect(a, a->result.status, "CompleteContentInformation");
		read_on(a);
		break;
	case APP_READ:
		after_read(a);
		break;
	default:
		after_add(a);
	}
}

static void
unmap(void *map)
{
	free(map);
}

static void
start_event(struct sim_event *e)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "sim";
	struct app *a = container_of(e, struct app, start);
	struct host *h = host_of_app(a);
	struct world *w = h->world;
	struct identity who = {.pid = 1, .uid = 1000};
	struct session_slice slice = {.len = (uint32_t)w->information_len};
	struct area *area;

	a->begun_ns = a->progress_ns = world_now(w);
	/* Else all would lose it at the same moment. */
	a->patience_ns = w->o.patience_ms * (NS_PER_MS / 2) +
		world_below(w, w->o.patience_ms * NS_PER_MS + 1);
	a->map = sim_alloc(AREA_WRITE + AREA_READ);
	area = area_new(a->map, AREA_WRITE, AREA_READ, unmap, a->map);
	expect(a, session_new(&a->session, h->service, &who, area, &app_ops, a),
		"Startup");
	expect(a, session_content_open(a->session, tag, &a->handle), "Open");
	if (w->information_len > AREA_WRITE)
		abort();
	memcpy(a->map, w->information, w->information_len);
	expect(a,
		session_ci_add(a->session, op_new(a, APP_CI_ADD), a->handle,
			slice.len, &slice),
		"AddContentInformation");
	expect(a,
		session_ci_complete(
			a->session, op_new(a, APP_CI_COMPLETE), a->handle),
		"CompleteContentInformation");
}

void
app_begin(struct host *h, uint64_t at_ns)
{
	h->app.start.fn = start_event;
	h->app.step.fn = step_event;
	h->app.retry.fn = retry_event;
	sim_at(&h->world->clock, &h->app.start, at_ns);
}

void
app_end(struct host *h)
{
	struct app *a = &h->app;

	sim_unset(&h->world->clock, &a->start);
	sim_unset(&h->world->clock, &a->step);
	sim_unset(&h->world->clock, &a->retry);
	origin_stop(h);
	if (a->session != NULL)
		a->session = session_free(a->session, false);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop's thread of a host does one thing after the other, each of which
 * takes its time, and so do the workers.  What the core itself does takes none.
 */
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrr.h"
#include "daemon/core/upload.h"
#include "tests/sim/world.h"

#define FIRST_MS 1000u
#define WALL_MS  UINT64_C(1700000000000)
#define LOOK_NS  (10u * NS_PER_US)  /* a job that runs nothing */
#define WORK_NS  (150u * NS_PER_US) /* one that does */
#define NETWORK  0x0a000001u
#define PORT     80

struct host_job {
	LIST_ENTRY(host_job) link;
	struct sim_event event;
	struct host *host;
	struct env_job *job;
};

uint64_t
host_now_ms(const struct host *h)
{
	return FIRST_MS + world_now(h->world) / NS_PER_MS;
}

uint64_t
host_busy(struct host *h, uint64_t ns)
{
	h->loop_free_ns = MAX_OF(h->loop_free_ns, world_now(h->world)) + ns;
	return h->loop_free_ns;
}

static uint64_t
env_now(void *ctx)
{
	return host_now_ms(ctx);
}

static uint64_t
env_wall(void *ctx)
{
	return WALL_MS + host_now_ms(ctx);
}

static void
env_random(void *ctx, void *buf, size_t len)
{
	struct host *h = ctx;
	uint8_t *p = buf;

	while (len > 0) {
		uint64_t r = world_random(h->world);
		size_t n = MIN_OF(len, sizeof(r));

		memcpy(p, &r, n);
		p += n;
		len -= n;
	}
}

static void
job_end(struct host_job *j, bool ran)
{
	struct env_job *job = j->job;

	LIST_REMOVE(j, link);
	if (ran && job->run != NULL)
		job->run(job, j->host->world->bulk);
	free(j);
	job->done(job, ran);
}

static void
job_event(struct sim_event *e)
{
	job_end(container_of(e, struct host_job, event), true);
}

static void
env_job(void *ctx, struct env_job *job)
{
	struct host *h = ctx;
	struct host_job *j = sim_alloc(sizeof(*j));
	uint64_t now_ns = world_now(h->world);

	*j = (struct host_job){.event.fn = job_event, .host = h, .job = job};
	LIST_INSERT_HEAD(&h->jobs, j, link);
	if (job->run == NULL) {
		sim_at(&h->world->clock, &j->event, now_ns + LOOK_NS);
		return;
	}
	h->work_free_ns = MAX_OF(h->work_free_ns, now_ns) + WORK_NS;
	sim_at(&h->world->clock, &j->event, h->work_free_ns);
}

static void
env_peer_request(void *ctx, struct env_peer_request *r)
{
	retrieval_request(ctx, r);
}

static void
env_peer_cancel(void *ctx, struct env_peer_request *r)
{
	retrieval_cancel(ctx, r);
}

static void
env_probe(void *ctx, const struct env_probe *p)
{
	datagrams_probe(ctx, p);
}

static void
env_match(void *ctx, const struct env_match *m)
{
	datagrams_match(ctx, m);
}

/* Timers. */

static void
arm(struct host *h)
{
	uint64_t next_ms = service_next_ms(h->service);

	if (next_ms == UINT64_MAX)
		sim_unset(&h->world->clock, &h->tick);
	else
		sim_at(&h->world->clock, &h->tick,
			(next_ms - FIRST_MS) * NS_PER_MS);
}

static void
env_timer_changed(void *ctx)
{
	struct host *h = ctx;

	if (h->service != NULL)
		arm(h);
}

static void
host_tick(struct sim_event *e)
{
	struct host *h = container_of(e, struct host, tick);

	service_tick(h->service);
	arm(h);
}

static const struct env_ops host_ops = {
	.now_ms = env_now,
	.random = env_random,
	.job = env_job,
	.peer_request = env_peer_request,
	.peer_cancel = env_peer_cancel,
	.probe = env_probe,
	.match = env_match,
	.timer_changed = env_timer_changed,
	.wall_ms = env_wall,
};

/* Addresses: one for each number. */

static void
addr_make(struct parse_addr *ret, unsigned number)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(NETWORK + number),
	};

	*ret = (struct parse_addr){.len = sizeof(in)};
	memcpy(&ret->ss, &in, sizeof(in));
}

struct host *
host_of(struct world *w, const struct parse_addr *addr)
{
	struct sockaddr_in in;
	unsigned number;

	memcpy(&in, &addr->ss, sizeof(in));
	number = ntohl(in.sin_addr.s_addr) - NETWORK;
	assert(number < w->n_hosts);
	return &w->hosts[number];
}

/* Life. */

static struct service_settings
settings_of(const struct sim_options *o)
{
	return (struct service_settings){
		.policy = {.enabled = true,
			.mode = MODE_DISTRIBUTED,
			.clients = {.all = true},
			.publishers = {.all = true}},
		.limits = {.max = {64, 1024, 65536, 256 << 20, 64},
			.content_info_bytes = 64 << 20},
		.preferred_content_version = 2,
		.encryption = PCCRR_AES128,
		.max_peers = (uint32_t)o->max_peers,
		.request_timeout_ms = (uint32_t)o->request_timeout_ms,
		.peer_strikes = 3,
		.quarantine_ms = 600000,
		.probe_timeout_ms = (uint32_t)o->probe_timeout_ms,
		.backoff_max_ms =
			(uint32_t)MIN_OF(o->backoff_ms, o->probe_timeout_ms),
		.quorum = (uint32_t)o->quorum,
		.quorum_forget_ms = UINT64_C(12) * 3600 * 1000,
		.uploads = (uint32_t)o->uploads,
		.upload_timeout_ms = 15000,
	};
}

static void
host_killed(struct sim_event *e)
{
	struct host *h = container_of(e, struct host, killer);

	h->world->n_alive--;
	h->world->n_done -= h->app.done;
	host_stop(h);
}

void
host_start(struct host *h, struct world *w, unsigned number)
{
	static const uint8_t key[32] = "each host has one of its own";
	struct service_settings settings = settings_of(&w->o);

	h->world = w;
	h->number = number;
	h->env = (struct env){.ops = &host_ops, .ctx = h};
	h->tick.fn = host_tick;
	h->killer.fn = host_killed;
	LIST_INIT(&h->jobs);
	addr_make(&h->addr, number);
	datagrams_begin(h);
	retrieval_begin(h);
	h->store = sim_store_new(w->pool, &h->env);
	h->service =
		service_new(&h->env, h->store, &settings, key, sizeof(key));
	if (h->service == NULL)
		abort();
	service_ready(h->service, true);
	arm(h);
}

void
host_stop(struct host *h)
{
	struct sim_clock *clock = &h->world->clock;
	struct host_job *j;

	app_end(h);
	sim_unset(clock, &h->killer);
	service_ready(h->service, false);
	retrieval_end(h);
	datagrams_end(h);
	while ((j = LIST_FIRST(&h->jobs)) != NULL) {
		sim_unset(clock, &j->event);
		job_end(j, false);
	}
	if (!service_idle(h->service) ||
		uploads_running(service_uploads(h->service)) != 0)
		world_fault(h->world, "host %u does not come to its end",
			h->number);
	sim_unset(clock, &h->tick);
	h->service = service_free(h->service);
	h->store = h->store->ops->close(h->store);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "daemon/core/upload.h"
#include "tests/sim/world.h"

#define FAULTS_SHOWN 20

void
world_fault(struct world *w, const char *format, ...)
{
	va_list args;

	if (w->counts.faults++ >= FAULTS_SHOWN)
		return;
	fprintf(stderr,
		"sim: %.3f s: ", (double)world_now(w) / (double)NS_PER_S);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void
report_host(struct host *h)
{
	struct world *w = h->world;
	const struct service_counters *c = service_counters(h->service);

	if (!h->app.done)
		world_fault(w, "host %u has not got it all: %llu", h->number,
			(unsigned long long)h->app.position);
	for (int k = 0; k < _APP_OP_MAX; k++)
		if (h->app.ops[k].acks != h->app.ops[k].completions)
			world_fault(w, "host %u: operation %d did not end",
				h->number, k);
	if (!LIST_EMPTY(&h->jobs) || !TAILQ_EMPTY(&h->asked) ||
		!LIST_EMPTY(&h->serving) || !STAILQ_EMPTY(&h->waiting))
		world_fault(
			w, "host %u: something is still under way", h->number);
	if (c->fetches_running != 0)
		world_fault(w, "host %u still fetches", h->number);
	if (uploads_running(service_uploads(h->service)) != 0 ||
		sim_store_lent(h->store) != 0)
		world_fault(w, "host %u still uploads", h->number);
	if (!service_idle(h->service))
		world_fault(w, "host %u is not idle", h->number);
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Seconds that those who got it all took. */
static size_t
durations(const struct world *w, double **ret)
{
	double *all = sim_alloc(w->n_hosts * sizeof(all[0]));
	size_t n = 0;

	for (unsigned i = 0; i < w->n_hosts; i++) {
		const struct app *a = &w->hosts[i].app;

		if (a->done)
			all[n++] = (double)(a->ended_ns - a->begun_ns) /
				(double)NS_PER_S;
	}
	qsort(all, n, sizeof(all[0]), compare);
	*ret = all;
	return n;
}

static void
out_number(const char *name, uint64_t v)
{
	printf("  \"%s\": %" PRIu64 ",\n", name, v);
}

static void
out_times(const struct world *w)
{
	AUTO_FREE double *all = NULL;
	size_t n = durations(w, &all);

	if (n == 0)
		return;
	printf("  \"seconds_median\": %.3f,\n", all[n / 2]);
	printf("  \"seconds_95\": %.3f,\n", all[n * 95 / 100]);
	printf("  \"seconds_most\": %.3f,\n", all[n - 1]);
}

static void
out_late(const struct world *w)
{
	const struct app *a;

	if (w->o.late == 0)
		return;
	a = &w->hosts[w->n_hosts - 1].app;
	printf("  \"late_seconds\": %.3f,\n",
		(double)(a->ended_ns - a->begun_ns) / (double)NS_PER_S);
	out_number("late_from_origin", a->from_origin);
}

static void
out_hosts(const struct world *w)
{
	uint64_t holes = 0, timeouts = 0, retries = 0, uploads = 0,
		 from_peers = 0;

	for (unsigned i = 0; i < w->n_hosts; i++) {
		const struct host *h = &w->hosts[i];

		holes += h->app.holes;
		timeouts += h->app.timeouts;
		retries += h->app.retries;
		from_peers += h->app.from_peers;
		uploads = MAX_OF(uploads, h->uploads_most);
	}
	out_number("holes", holes);
	out_number("read_timeouts", timeouts);
	out_number("retries", retries);
	out_number("bytes_read_from_peers", from_peers);
	out_number("uploads_most", uploads);
}

static void
out_counts(const struct sim_counts *c)
{
	out_number("probes", c->probes);
	out_number("probe_repeats", c->repeats);
	out_number("probe_bytes", c->probe_bytes);
	out_number("probes_heard", c->heard);
	out_number("answers", c->answers);
	out_number("answer_bytes", c->answer_bytes);
	out_number("answers_collected", c->collected);
	out_number("answers_of_probe_most", c->answers_of_probe_most);
	out_number("answers_dropped", c->answers_dropped);
	out_number("datagrams_lost", c->lost);
	out_number("overflows_probes", c->overflows[SOCKET_PROBES]);
	out_number("overflows_answers", c->overflows[SOCKET_ANSWERS]);
	out_number("requests", c->requests);
	out_number("lists", c->lists);
	out_number("blocks", c->blocks);
	out_number("peer_bytes", c->peer_bytes);
	out_number("empty", c->empty);
	out_number("busy", c->busy);
	out_number("timeouts", c->timeouts);
	out_number("origin_bytes", c->origin_bytes);
	out_number("origin_requests", c->origin_requests);
}

bool
report_world(struct world *w)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\n");
	out_number("hosts", w->o.hosts);
	out_number("version", w->o.version);
	out_number("content", w->o.content);
	out_number("done", w->n_done);
	out_number("alive", w->n_alive);
	out_times(w);
	out_late(w);
	out_hosts(w);
	out_counts(&w->counts);
	printf("  \"virtual_seconds\": %.1f,\n",
		(double)world_now(w) / (double)NS_PER_S);
	printf("  \"cpu_seconds\": %.1f,\n",
		(double)usage.ru_utime.tv_sec +
			(double)usage.ru_utime.tv_usec / 1e6);
	out_number("memory_kib", (uint64_t)usage.ru_maxrss);
	printf("  \"faults\": %" PRIu64 "\n}\n", w->counts.faults);
	return w->counts.faults == 0;
}

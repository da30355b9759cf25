/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	sim [--NAME VALUE]...
 *
 * All numbers; see the table.  The result is JSON; the exit status is 0 when
 * nothing was as it must not be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc.h"
#include "common/parse.h"
#include "common/secmem.h"
#include "tests/sim/world.h"

/* Until all timers of questions, hosts and answers have run out. */
#define QUIET_NS (UINT64_C(40) * NS_PER_S)
#define SMALL    4096u
/* The late ones find everything that was heard of before forgotten. */
#define LATE_NS (UINT64_C(90) * NS_PER_S)

static const struct sim_option {
	const char *name;
	size_t at;
	uint64_t value;
	const char *help;
} options[] = {
#define OPTION(name, field, value, help) \
	{ \
		name, offsetof(struct sim_options, field), value, help \
	}
	OPTION("hosts", hosts, 10, "that want the content"),
	OPTION("holders", holders, 0, "of the hosts have it before all others"),
	OPTION("late", late, 0, "more of them, one by one, when all have it"),
	OPTION("kill", kill, 0, "hosts that vanish meanwhile"),
	OPTION("seed", seed, 1, "of everything random"),
	OPTION("content", content, 4 << 20, "bytes"),
	OPTION("version", version, 1, "of the content information"),
	OPTION("spread", spread_ms, 60000, "ms in which they begin"),
	OPTION("patience", patience_ms, 0,
		"ms that an application lets pass in a flash crowd"),
	OPTION("end", end_ms, 3600000, "ms, by when all must be done"),
	OPTION("loss", loss_ppm, 0, "packets lost of a million"),
	OPTION("latency", latency_us, 100, "us, one way"),
	OPTION("link", link_kbps, 1000000, "kbit/s of a host"),
	OPTION("origin", origin_kbps, 20000, "kbit/s of the origin"),
	OPTION("origin-latency", origin_us, 10000, "us, one way"),
	OPTION("buffer", buffer, 425984, "bytes of a socket, as counted"),
	OPTION("datagram", datagram_ns, 30000, "ns to read one"),
	OPTION("request", request_ns, 30000, "ns to serve one"),
	OPTION("backoff", backoff_ms, 65, "[Discovery] BackoffMax, ms"),
	OPTION("probe-timeout", probe_timeout_ms, 300,
		"[Discovery] ProbeTimeout, ms"),
	OPTION("quorum", quorum, 10, "[Discovery] QuorumSize"),
	OPTION("uploads", uploads, 64, "[Upload] MaxSessions"),
	OPTION("request-timeout", request_timeout_ms, 2000,
		"[Retrieval] RequestTimeout, ms"),
	OPTION("max-peers", max_peers, 16, "[Retrieval] MaxPeers"),
};

static uint64_t *
option_at(struct sim_options *o, const struct sim_option *opt)
{
	return (uint64_t *)(void *)((char *)o + opt->at);
}

static int
usage(void)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		fprintf(stderr, "  --%-16s %s (%llu)\n", options[i].name,
			options[i].help, (unsigned long long)options[i].value);
	return 2;
}

static bool
option_take(struct sim_options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strncmp(name, "--", 2) == 0 &&
			strcmp(name + 2, options[i].name) == 0)
			return parse_u64(value, 0, UINT32_MAX,
				       option_at(o, &options[i])) == 0;
	return false;
}

static bool
options_take(struct sim_options *o, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		*option_at(o, &options[i]) = options[i].value;
	for (int i = 1; i < argc; i += 2)
		if (i + 1 == argc || !option_take(o, argv[i], argv[i + 1]))
			return false;
	return o->hosts > 0 && o->hosts + o->late <= 4096 && o->content > 0 &&
		o->content <= (64 << 20) && o->kill < o->hosts &&
		(o->version == 1 || o->version == 2) && o->link_kbps > 0 &&
		o->origin_kbps > 0;
}

/* splitmix64 */
uint64_t
world_random(struct world *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t
world_below(struct world *w, uint64_t n)
{
	return (uint64_t)((unsigned __int128)world_random(w) * n >> 64);
}

uint64_t
latency_ns(struct world *w)
{
	uint64_t most_ns = w->o.latency_us * NS_PER_US;

	return most_ns / 2 + world_below(w, most_ns + 1);
}

uint64_t
link_pass(const struct world *w, struct sim_link *l, uint64_t at_ns, uint64_t n)
{
	uint64_t ns = n * 8 * NS_PER_MS / w->o.link_kbps;

	l->free_ns = MAX_OF(l->free_ns, at_ns) + ns;
	if (n > SMALL)
		return l->free_ns;
	l->small_free_ns = MAX_OF(l->small_free_ns, at_ns) + ns;
	return l->small_free_ns;
}

static void
content_make(struct world *w)
{
	static const uint8_t key[32] = "of the content's server";
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1 | PCCRC_MAKE_V2);
	struct pccrc_desc *desc;
	size_t len = w->o.content;

	w->content = sim_alloc(len + sizeof(uint64_t));
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t r = world_random(w);

		memcpy(w->content + i, &r, sizeof(r));
	}
	if (pub == NULL || pccrc_pub_feed(pub, w->bulk, w->content, len) != 0 ||
		pccrc_pub_finish(pub, w->bulk, key, sizeof(key), &desc) != 0 ||
		pccrc_desc_build(desc, (int)w->o.version, 0, len,
			&w->information, &w->information_len) != 0)
		abort();
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
}

/* When the i-th one begins: the first ones that are to have it before all
 * others, at once; these when the origin has had the time for that. */
static uint64_t
beginning_ns(struct world *w, unsigned i)
{
	uint64_t first_ns = w->o.holders == 0 ? 0
					      : w->o.holders * w->o.content *
			16 * NS_PER_MS / w->o.origin_kbps;

	if (i < w->o.holders)
		return 0;
	return first_ns + world_below(w, w->o.spread_ms * NS_PER_MS + 1);
}

static void
world_begin(struct world *w)
{
	w->random = w->o.seed;
	w->bulk = bulk_new(BULK_EVP);
	buf_init(&w->message, 65536);
	w->pool = sim_pool_new();
	if (w->bulk == NULL)
		abort();
	content_make(w);
	origin_begin(w);
	w->n_hosts = (unsigned)(w->o.hosts + w->o.late);
	w->n_alive = w->n_hosts;
	w->hosts = sim_alloc(w->n_hosts * sizeof(w->hosts[0]));
	for (unsigned i = 0; i < w->n_hosts; i++)
		host_start(&w->hosts[i], w, i);
	for (unsigned i = 0; i < w->o.hosts; i++)
		app_begin(&w->hosts[i], beginning_ns(w, i));
	/* They begin at random, so the first ones are as good as any. */
	for (unsigned i = 0; i < w->o.kill; i++)
		sim_at(&w->clock, &w->hosts[i].killer,
			world_below(w, w->o.spread_ms * NS_PER_MS + 1));
}

static void
run_until(struct world *w, unsigned n_waiting)
{
	uint64_t end_ns = w->o.end_ms * NS_PER_MS;

	while (w->n_done + n_waiting < w->n_alive &&
		sim_step(&w->clock, end_ns))
		;
}

static void
run_for(struct world *w, uint64_t ns)
{
	uint64_t end_ns = world_now(w) + ns;

	while (sim_step(&w->clock, end_ns))
		;
	w->clock.now_ns = end_ns;
}

static void
world_run(struct world *w)
{
	run_until(w, (unsigned)w->o.late);
	for (unsigned i = 0; i < w->o.late; i++) {
		run_for(w, LATE_NS);
		app_begin(&w->hosts[w->o.hosts + i], world_now(w));
		run_until(w, (unsigned)w->o.late - i - 1);
	}
	run_for(w, QUIET_NS);
}

static void
world_end(struct world *w)
{
	for (unsigned i = 0; i < w->n_hosts; i++) {
		struct host *h = &w->hosts[i];

		if (h->service == NULL)
			continue;
		w->counts.answers_dropped +=
			service_counters(h->service)->answers_dropped;
		report_host(h);
		host_stop(h);
	}
	/* What no asker waits for any more. */
	run_for(w, QUIET_NS);
	if (w->clock.n > 0)
		world_fault(w, "%zu events are left", w->clock.n);
}

static void
world_free(struct world *w)
{
	free(w->hosts);
	sim_pool_free(w->pool);
	sec_free(w->information, w->information_len);
	free(w->content);
	buf_done(&w->message);
	bulk_free(w->bulk);
	sim_clock_done(&w->clock);
}

int
main(int argc, char **argv)
{
	struct world w = {0};
	bool good;

	if (!options_take(&w.o, argc, argv))
		return usage();
	world_begin(&w);
	world_run(&w);
	world_end(&w);
	good = report_world(&w);
	world_free(&w);
	return good ? 0 : 1;
}

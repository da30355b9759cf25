/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many hosts, each with a service of its own, in one subnet and in one virtual
 * time.
 *
 *   clock.c      what is to happen
 *   sim_store.c  the hosts' block stores
 *   host.c       a host: its service, the jobs and the timers of that
 *   datagrams.c  Probes and their answers: links, losses, receive buffers
 *   retrieval.c  requests of one host to another, by way of core/upload
 *   origin.c     the content's server, far away and slow
 *   app.c        the application of each host, which reads the content
 *   report.c     what is to be seen, and what must be so at the end
 *   sim.c        options
 *
 * doc/scaling.md says what is modelled, and what is not.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "codec/bulk.h"
#include "codec/pccrd.h"
#include "common/buf.h"
#include "common/macros.h"
#include "daemon/core/service.h"
#include "daemon/core/session.h"
#include "tests/sim/clock.h"
#include "tests/sim/sim_store.h"

struct host;
struct world;

struct sim_options {
	/* The crowd. */
	uint64_t hosts;
	uint64_t holders;
	uint64_t late; /* more hosts, that begin when all are done */
	uint64_t kill; /* hosts that vanish */
	uint64_t seed;
	uint64_t content; /* bytes */
	uint64_t version;
	uint64_t spread_ms;   /* in which they begin */
	uint64_t patience_ms; /* of an application, in a flash crowd */
	uint64_t end_ms;      /* by when all must be done */
	/* The network. */
	uint64_t loss_ppm;
	uint64_t latency_us;
	uint64_t link_kbps;
	uint64_t origin_kbps;
	uint64_t origin_us; /* latency */
	uint64_t buffer;    /* of a socket, as the kernel counts */
	/* What work takes. */
	uint64_t datagram_ns;
	uint64_t request_ns;
	/* Settings of the service. */
	uint64_t backoff_ms;
	uint64_t probe_timeout_ms;
	uint64_t quorum;
	uint64_t uploads;
	uint64_t request_timeout_ms;
	uint64_t max_peers;
};

/* A link in one direction; what is sent queues up.  Messages of a packet or two
 * need not wait for whole blocks, since flows take turns; they delay these. */
struct sim_link {
	uint64_t free_ns;
	uint64_t small_free_ns;
};

/* A datagram in the sockets of one host. */
struct datagram;
struct sim_waiting {
	STAILQ_ENTRY(sim_waiting) link;
	struct datagram *datagram;
};

enum sim_socket { SOCKET_PROBES, SOCKET_ANSWERS, _SOCKET_MAX };

/* Times at which something was done last, to see whether it was too often. */
#define RATE_MAX 100u
struct sim_rate {
	unsigned next;
	uint64_t at_ns[RATE_MAX];
};

struct sim_asked {
	uint8_t uuid[PCCRD_UUID_SIZE];
	unsigned answers;
};

enum app_op { APP_CI_ADD, APP_CI_COMPLETE, APP_READ, APP_ADD, _APP_OP_MAX };

struct download {
	TAILQ_ENTRY(download) link;
	struct sim_event begin;
	bool queued;
	uint64_t left;
};

struct app {
	struct sim_event start;
	struct sim_event step;
	struct session *session;
	uint8_t *map; /* the session's */
	uint64_t handle;
	uint32_t generation;
	struct {
		uint64_t id;
		unsigned acks;
		unsigned completions;
	} ops[_APP_OP_MAX];
	enum app_op last; /* what has ended */
	struct op_result result;
	uint64_t position; /* what is before it, is here */
	/* What comes from the origin. */
	struct download download;
	uint64_t arrived, added, download_end; /* content offsets */
	uint64_t hole_end;
	bool adding;
	/* Block reads from position on, up to hole_end: it has patience. */
	bool patient;
	uint64_t progress_ns; /* when others last had something */
	uint64_t patience_ns;
	struct sim_event retry;
	uint64_t begun_ns, ended_ns;
	uint64_t from_peers, from_origin;
	unsigned holes, timeouts, retries;
	bool done;
};

struct host_job;
struct request;

struct host {
	struct world *world;
	unsigned number;
	struct env env;
	struct block_store *store;
	struct service *service; /* NULL: it is gone */
	struct parse_addr addr;
	struct sim_event tick;
	struct sim_event killer;
	uint64_t loop_free_ns; /* the loop's thread */
	uint64_t work_free_ns; /* the workers */
	struct sim_link in, out;
	LIST_HEAD(, host_job) jobs;

	STAILQ_HEAD(, sim_waiting) waiting;
	size_t buffered[_SOCKET_MAX];
	struct sim_event take;
	struct sim_rate probes, answers;
	struct sim_asked recent[16]; /* its last Probes */
	unsigned recent_next;

	TAILQ_HEAD(, request) asked;  /* by it */
	LIST_HEAD(, request) serving; /* by it */
	/* By number of the server. */
	uint8_t *connections;
	uint8_t *active;
	unsigned uploads_most;

	struct app app;
};

struct sim_counts {
	uint64_t probes, repeats;
	uint64_t answers;
	uint64_t heard;     /* Probes, by all hosts that did */
	uint64_t collected; /* answers */
	uint64_t lost;
	uint64_t overflows[_SOCKET_MAX];
	uint64_t answers_of_probe_most;
	uint64_t probe_bytes, answer_bytes;
	uint64_t requests, lists, blocks, empty, busy, timeouts, refused;
	uint64_t peer_bytes;
	uint64_t origin_bytes, origin_requests;
	uint64_t answers_dropped; /* by the limits of core */
	uint64_t faults;
};

struct world {
	struct sim_options o;
	struct sim_clock clock;
	uint64_t random;
	struct bulk *bulk;
	struct buf message;
	struct sim_pool *pool;
	uint8_t *content;
	uint8_t *information;
	size_t information_len;
	unsigned n_hosts; /* late ones included */
	struct host *hosts;
	unsigned n_alive, n_done;
	TAILQ_HEAD(, download) downloads;
	struct download *downloading;
	uint64_t downloading_n;
	struct sim_event origin;
	struct sim_counts counts;
};

/* Anything that must not be; the simulation goes on. */
void world_fault(struct world *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
uint64_t world_random(struct world *); /* 64 bits */
/* 0 .. n - 1 */
uint64_t world_below(struct world *, uint64_t n);
static inline uint64_t
world_now(const struct world *w)
{
	return w->clock.now_ns;
}

/* When so many bytes that are ready at at_ns have left. */
uint64_t link_pass(
	const struct world *, struct sim_link *, uint64_t at_ns, uint64_t n);
/* One way, with some jitter. */
uint64_t latency_ns(struct world *);

/* host.c */
void host_start(struct host *, struct world *, unsigned number);
/* Everything that it has under way ends. */
void host_stop(struct host *);
struct host *host_of(struct world *, const struct parse_addr *);
/* The loop's thread works for so long, as soon as it can; when it is done. */
uint64_t host_busy(struct host *, uint64_t ns);
uint64_t host_now_ms(const struct host *);

/* datagrams.c */
void datagrams_begin(struct host *);
void datagrams_end(struct host *);
void datagrams_probe(struct host *, const struct env_probe *);
void datagrams_match(struct host *, const struct env_match *);

/* retrieval.c */
void retrieval_begin(struct host *);
/* The other side of each request sees the end. */
void retrieval_end(struct host *);
void retrieval_request(struct host *, struct env_peer_request *);
void retrieval_cancel(struct host *, struct env_peer_request *);

/* origin.c; app_arrived() tells of what came. */
void origin_begin(struct world *);
void origin_get(struct host *, uint64_t n);
void origin_stop(struct host *);

/* app.c */
void app_begin(struct host *, uint64_t at_ns);
void app_end(struct host *);
void app_arrived(struct host *, uint64_t n);

/* report.c: what must be so of a host whose time is over. */
void report_host(struct host *);
/* false: there were faults. */
bool report_world(struct world *);

#endif

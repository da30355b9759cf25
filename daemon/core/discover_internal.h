/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of discovery share.  Not for anybody else. */
#ifndef CORE_DISCOVER_INTERNAL_H
#define CORE_DISCOVER_INTERNAL_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "daemon/core/discover.h"
#include "daemon/core/service_internal.h"

#define DISCOVER_VERSIONS 2 /* of questions, see enum pccrd_version */

/* Without padding and without what a socket adds, so that equal hosts are equal
 * bytes. */
struct discover_addr {
	uint8_t ip[16];
	uint32_t scope; /* interface, of link-local ones */
	uint16_t port;  /* host order */
	uint16_t family;
};

/* Counts per second, coarsely. */
struct discover_window {
	uint64_t start_ms;
	uint32_t used;
};

/* A memory of fixed size, of rows that begin with struct discover_row: the key
 * names a set of a few rows, and a new one takes the place of the one in its
 * set that was not used for longest.  Whatever comes from the network costs one
 * look, and never an allocation but the first. */
#define DISCOVER_WAYS 8u

struct discover_row {
	uint8_t key[PCCRD_ID_SIZE];
	uint64_t used_ms; /* 0: empty */
};

struct discover_table {
	size_t row_size;
	size_t n_sets;
	uint8_t *rows; /* NULL: not needed yet, or no memory */
};

/* One address that has (some of) a segment. */
struct discover_entry {
	struct discover_addr addr;
	uint32_t source; /* hash of the host that said so */
	uint32_t blocks;
	uint32_t age_ds;
	uint32_t delay_ms;
	uint64_t heard_ms; /* or when it was lost */
	bool lost;         /* turned out not to have it */
};

/* How many distinct hosts answered for a segment, and with what. */
struct discover_tally {
	uint32_t n, max;
	struct {
		uint32_t host; /* as of discover_addr_host() */
		uint32_t blocks;
	} hosts[];
};

enum discover_phase {
	DISCOVER_IDLE,   /* may be thrown out */
	DISCOVER_QUEUED, /* to be asked; the asker's */
	DISCOVER_ASKED,  /* in a Probe, or on the way into one */
};

LIST_HEAD(discover_waiters, discover_waiter);
TAILQ_HEAD(discover_segments, discover_segment);

struct discover_segment {
	uint8_t id[PCCRD_ID_SIZE];
	UT_hash_handle hh;
	/* IDLE: d->idle.  QUEUED: the asker's queue. */
	TAILQ_ENTRY(discover_segment) link;
	enum discover_phase phase;
	enum pccrd_version version; /* of the question */
	struct discover_asker *asker;
	bool keep;     /* wanted by somebody who does not wait */
	bool some;     /* of it came from others */
	bool obtained; /* all of it, while it was being asked for */
	uint64_t queued_ms;
	uint64_t probe; /* number of the one it was asked in last; 0: none */
	uint64_t quiet_until_ms; /* nobody is asked before */
	struct discover_waiters waiters;
	struct discover_entry *entries;
	unsigned n_entries;
	struct discover_tally *tally;
};

/* A user's segments that wait to be asked for, for one kind of question. */
struct discover_asker {
	TAILQ_ENTRY(discover_asker) link;
	uint32_t uid;
	enum pccrd_version version;
	unsigned n;
	struct discover_segments queue;
};

TAILQ_HEAD(discover_askers, discover_asker);

enum discover_probe_phase {
	DISCOVER_FIRST,    /* sent once, will be repeated */
	DISCOVER_REPEATED, /* will not be */
	DISCOVER_LATE,     /* over, but answers are still taken */
};

/* Answers of one Probe, counted by hash of who sent them. */
#define DISCOVER_SENDERS 256u

struct discover_probe {
	struct discover *discover;
	uint8_t uuid[PCCRD_UUID_SIZE];
	UT_hash_handle hh;
	struct wheel_timer timer;
	enum discover_probe_phase phase;
	enum pccrd_version version;
	uint64_t number;
	uint64_t sent_ms;
	uint32_t rest_ms; /* of the window, behind the repeat */
	unsigned answers;
	uint8_t by_sender[DISCOVER_SENDERS];
	size_t n_silent; /* ids that nobody has answered */
	size_t n_ids;
	uint8_t ids[][PCCRD_ID_SIZE];
};

/* Messages that may be sent in any 100 ms. */
#define DISCOVER_SLICE 10u

/* Answers of one interface in any second. */
#define DISCOVER_ANSWERS    100u
#define DISCOVER_INTERFACES 16u

struct discover_interface {
	uint32_t number;
	uint64_t used_ms;
	unsigned next;
	uint64_t at_ms[DISCOVER_ANSWERS];
};

struct discover_pending;
TAILQ_HEAD(discover_pendings, discover_pending);

struct discover {
	struct service *service;
	bool on;
	uint64_t seed[2]; /* of the hashes */

	/* discover.c */
	struct discover_segment *segments; /* uthash by id */
	struct discover_segments idle;     /* the least recently used first */

	/* discover_ask.c */
	struct discover_askers askers[DISCOVER_VERSIONS]; /* whose turn first */
	unsigned n_askers;
	unsigned n_queued;
	unsigned turn; /* which kind is next */
	struct wheel_timer pump;
	uint64_t slice_ms[DISCOVER_SLICE];
	unsigned slice_next;
	struct discover_probe *probes; /* uthash by uuid */
	uint64_t n_sent;               /* numbers them */

	/* discover_answer.c */
	struct discover_table sources;
	struct discover_window looks;
	struct discover_interface interfaces[DISCOVER_INTERFACES];
	struct discover_pendings pendings;
	unsigned n_pendings;

	/* discover_quorum.c, discover_crowd.c */
	struct discover_table quorums;
	struct discover_table crowds;
	uint64_t crowded_until_ms; /* any of them */
};

/* discover.c */
uint64_t discover_hash(const struct discover *, const void *data, size_t len);
/* 0 .. n - 1 */
uint32_t discover_random(const struct discover *, uint32_t n);
/* false: neither IPv4 nor IPv6. */
bool discover_addr_take(
	struct discover_addr *ret, const struct parse_addr *addr);
/* By address alone, without the port. */
/* Distinct hosts are counted for each family apart, and the larger number is
 * taken: a host that has both asks and answers twice. */
#define DISCOVER_HOST_IPV6 1u
uint32_t discover_addr_host(
	const struct discover *, const struct discover_addr *);
/* true: one more of n fits into max per second, and is counted. */
bool discover_window_take(
	struct discover_window *, uint64_t now_ms, uint32_t n, uint32_t max);
struct discover_segment *discover_segment_find(
	const struct discover *, const uint8_t *id);
/* The segment with this id, IDLE if new.  NULL: no memory, or all are in
 * use. */
struct discover_segment *discover_segment_get(
	struct discover *, const uint8_t *id);
enum discover_state discover_segment_state(
	const struct discover *, const struct discover_segment *);
/* DISCOVER_IDLE from now on; asks nobody for quiet_ms unless there are peers.
 * Tells all who wait. */
void discover_segment_settle(
	struct discover *, struct discover_segment *, uint64_t quiet_ms);

/* discover_table.c */
/* NULL: not there. */
void *discover_table_find(const struct discover *,
	const struct discover_table *, const uint8_t *key);
/* Found, or new with everything behind the key zero.  NULL: no memory. */
void *discover_table_take(
	struct discover *, struct discover_table *, const uint8_t *key);
void discover_table_clear(struct discover_table *);

/* discover_ask.c */
void discover_ask_init(struct discover *);
/* The mode was left: no timer, no question stays.  Segments are not told. */
void discover_ask_stop(struct discover *);
/* Whether this service asked that itself. */
bool discover_ask_is_own(const struct discover *, const char *message_id);

/* discover_peers.c */
/* News of a segment from one answer. */
struct discover_news {
	const struct discover_answer *answer;
	uint32_t source; /* hash of the host */
	uint32_t blocks;
	uint32_t age_ds;
	uint32_t delay_ms;
};
/* true: something that those who wait should look at. */
bool discover_peers_learn(struct discover *, struct discover_segment *,
	const struct discover_news *);
unsigned discover_peers_live(
	const struct discover *, const struct discover_segment *);

/* discover_answer.c */
void discover_answer_init(struct discover *);
void discover_answer_stop(struct discover *);

/* discover_quorum.c */
void discover_quorum_init(struct discover *);
/* luck: 0 .. 2, drawn once for each question.  Enough others have it. */
bool discover_quorum_rests(struct discover *, const uint8_t *id, unsigned luck);

/* discover_crowd.c */
void discover_crowd_init(struct discover *);
/* A host asked for it. */
/* How many hosts have answered the Probe that asked for it last. */
uint32_t discover_answers(const struct discover_segment *);
void discover_crowd_asked(struct discover *, const uint8_t *id, uint32_t host);
/* A host has more of it than it had. */
void discover_crowd_grew(struct discover *, const uint8_t *id);

#endif

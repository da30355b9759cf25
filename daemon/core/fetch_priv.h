/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of fetching share.  Not for anybody else.
 *
 *   fetch.c         a segment, its blocks, those who wait; all entry points
 *   fetch_source.c  whom to ask: candidates, discovery, hosts that were good
 *   fetch_choose.c  who is asked for what next, fairly
 *   fetch_ask.c     requests and what answers mean
 *   fetch_check.c   verification of what came, insertion into the store
 *   fetch_kept.c    what was verified, for who reads it at once
 */
#ifndef CORE_FETCH_PRIV_H
#define CORE_FETCH_PRIV_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "daemon/core/discover.h"
#include "daemon/core/fetch.h"
#include "daemon/core/ledger.h"
#include "daemon/core/peers.h"

/* Blocks of one job. */
#define FETCH_BATCH 16u

/* Blocks that somebody waits for come before those that are got ahead. */
enum fetch_class {
	FETCH_WAITED,
	FETCH_AHEAD,
	_FETCH_CLASS_MAX,
};

/* A block that ops wait for. */
struct fetch_block {
	struct op_source source;
	struct fetch *fetch;
	uint32_t index;
};

/* One host that one fetch may ask. */
struct fetch_candidate {
	TAILQ_ENTRY(fetch_candidate) link; /* of the fetch */
	TAILQ_ENTRY(fetch_candidate) wish; /* of the lane */
	struct fetch *fetch;
	struct peer *peer;       /* reference */
	struct fetch_lane *lane; /* reference */
	enum fetch_class queued; /* _FETCH_CLASS_MAX: not */
	bool dropped;            /* not asked again by this fetch */
	bool listing;            /* is being asked for its list */
	bool listed;             /* need not be asked for it */
	bool said;               /* ... since it came */
	uint8_t timeouts;
	uint32_t given;         /* good blocks */
	struct pccrr_set lacks; /* it does not have these, or was tried */
};

TAILQ_HEAD(fetch_wishes, fetch_candidate);

/* What one user wishes of one peer.  "Hot" is a class in which there are
 * wishes, and the peer has room for a request. */
struct fetch_lane {
	LIST_ENTRY(fetch_lane) link; /* of the peer */
	struct peer *peer;
	struct fetch_user *user;
	unsigned refs;
	struct {
		struct fetch_wishes wishes;
		TAILQ_ENTRY(fetch_lane) link;
		bool hot;
	} of[_FETCH_CLASS_MAX];
};

struct fetch_user {
	LIST_ENTRY(fetch_user) link;
	struct fetcher *fetcher;
	uint32_t uid;
	unsigned refs;
	unsigned n_fetches;
	struct {
		TAILQ_HEAD(, fetch_lane) hot;
		TAILQ_ENTRY(fetch_user) link; /* of the ring, unless empty */
	} of[_FETCH_CLASS_MAX];
};

TAILQ_HEAD(fetch_ring, fetch_user);

enum fetch_check {
	FETCH_BAD,
	FETCH_OTHER_LENGTH, /* the peer is right, the information is not */
	FETCH_GOOD,
};

struct fetch_request {
	TAILQ_ENTRY(fetch_request) link; /* on the wire; arrived */
	struct env_peer_request peer;
	struct fetch *fetch;
	struct fetch_candidate *candidate;
	bool given_up;
	enum fetch_check check;
};

TAILQ_HEAD(fetch_requests, fetch_request);

/* A host that gave good blocks of a content lately. */
struct fetch_friend {
	struct peer *peer; /* reference */
	uint64_t until_ms;
	unsigned misses; /* segments in a row that it did not have */
};

#define FETCH_FRIENDS 16u

/* What a content handle has to do with fetching. */
struct fetch_content {
	struct content *content;
	LIST_HEAD(, fetch) fetches;
	unsigned n_wire;               /* blocks on the wire */
	struct fetch_requests arrived; /* to be checked */
	unsigned n_arrived;
	uint64_t arrived_ms; /* the last one */
	unsigned n_checking; /* jobs */
	struct wheel_timer timer;
	TAILQ_HEAD(, fetch_kept) kept; /* oldest first */
	unsigned n_kept;               /* listed or not */
	struct wheel_timer kept_timer;
	unsigned n_friends;
	struct fetch_friend friends[FETCH_FRIENDS];
};

struct fetch_key {
	uint32_t id_len;
	uint32_t len; /* of the segment */
	uint8_t id[STORE_ID_MAX];
	const struct content *alone; /* unproved: this content's only */
};

TAILQ_HEAD(fetch_candidates, fetch_candidate);

struct fetch {
	struct fetch_key key;
	UT_hash_handle hh;
	struct service *service;
	struct content *content; /* reference: hashes and secret */
	LIST_ENTRY(fetch) of_content;
	size_t segment;
	struct fetch_user *user; /* reference */
	TAILQ_ENTRY(fetch) touched;
	bool is_touched;
	bool over;     /* the mode was left: nothing comes any more */
	unsigned hold; /* in the hands of somebody who will update it */
	/* Blocks; idle are those wanted and not busy. */
	struct pccrr_set waited;
	struct pccrr_set ahead;
	struct pccrr_set busy;    /* on the wire, being checked, being stored */
	struct pccrr_set lacking; /* ended so, since the fetch began */
	struct fetch_candidates candidates;
	unsigned n_candidates;
	struct fetch_requests requests; /* on the wire */
	unsigned n_out;                 /* requests not freed */
	unsigned n_stored;              /* blocks from peers */
	bool asked_branch;
	uint64_t asked_ms; /* when last */
	struct discover_waiter waiter;
	struct fetch_block *at[]; /* by index; NULL: nobody waits */
};

struct fetcher {
	struct service *service;
	struct fetch *fetches; /* uthash by key */
	enum service_mode mode;
	TAILQ_HEAD(, fetch) touched;
	bool going;
	LIST_HEAD(, fetch_user) users;
	struct fetch_ring rings[_FETCH_CLASS_MAX];
	unsigned n_requests; /* on the wire */
	unsigned n_held;     /* blocks on the wire, and not stored yet */
};

static inline const struct pccrc_segment *
fetch_segment(const struct fetch *f)
{
	return &f->content->info->segments[f->segment];
}

static inline bool
fetch_set_any(const struct pccrr_set *s)
{
	uint64_t any = 0;

	for (size_t i = 0; i < ARRAY_LEN(s->words); i++)
		any |= s->words[i];
	return any != 0;
}

static inline void
fetch_set_del(struct pccrr_set *s, uint32_t block)
{
	s->words[block / 64] &= ~(UINT64_C(1) << block % 64);
}

static inline struct pccrr_set
fetch_set_minus(const struct pccrr_set *a, const struct pccrr_set *b)
{
	struct pccrr_set r;

	for (size_t i = 0; i < ARRAY_LEN(r.words); i++)
		r.words[i] = a->words[i] & ~b->words[i];
	return r;
}

static inline struct pccrr_set
fetch_set_and(const struct pccrr_set *a, const struct pccrr_set *b)
{
	struct pccrr_set r;

	for (size_t i = 0; i < ARRAY_LEN(r.words); i++)
		r.words[i] = a->words[i] & b->words[i];
	return r;
}

static inline struct pccrr_set
fetch_idle(const struct fetch *f)
{
	struct pccrr_set r;

	for (size_t i = 0; i < ARRAY_LEN(r.words); i++)
		r.words[i] = (f->waited.words[i] | f->ahead.words[i]) &
			~f->busy.words[i];
	return r;
}

/* May be asked for something. */
static inline bool
fetch_candidate_usable(const struct fetch_candidate *c)
{
	return !c->dropped && peer_usable(c->peer);
}

/* fetch.c: something about it has changed: fetch_go() will look. */
void fetch_touch(struct fetch *);
void fetch_touch_all(struct fetcher *);
/* A block is in the store, or will not come: its waiters are handed on and it
 * is not wanted any more.  The fetch is held. */
void fetch_block_end(struct fetch *, uint32_t block, void (*tell)(struct op *));
void fetch_block_lacking(struct fetch *, uint32_t block);
void fetch_trouble(
	const struct fetch *, enum ledger_trouble, const struct peer *);

/* fetch_source.c: those who may be asked when the fetch begins. */
void fetch_sources_begin(struct fetch *);
void fetch_sources_end(struct fetch *);
/* This user wants it, too: it is fetched for him, if he wants less. */
void fetch_sources_hasten(struct fetch *, uint32_t uid);
/* Asks the branch, unless that was done.  true: answers may come; false: the
 * candidates are all there are. */
bool fetch_ask_branch(struct fetch *);
/* A host gave good blocks; did not have a segment. */
void fetch_friend_good(struct content *, struct peer *);
void fetch_friend_missed(struct content *, const struct peer *);
/* Whether any host of a content's is usable. */
bool fetch_friends_any(struct content *);
/* A candidate does not have what discovery said. */
void fetch_source_lost(struct fetch_candidate *);

/* fetch_choose.c */
struct fetch_user *fetch_user_get(struct fetcher *, uint32_t uid);
struct fetch_user *fetch_user_unref(struct fetch_user *);
struct fetch_lane *fetch_lane_get(struct peer *, struct fetch_user *);
struct fetch_lane *fetch_lane_unref(struct fetch_lane *);
/* What the fetch wants, and who may have it, has changed. */
void fetch_queue(struct fetch *);
void fetch_unqueue(struct fetch_candidate *);
/* The peer's room for requests has changed. */
void fetch_room(struct peer *);
/* Gives out requests until nothing more may be under way. */
void fetch_pump(struct fetcher *);

/* fetch_ask.c: asks this candidate for this block, or which of all that are
 * wanted of it it has.  false: no memory. */
bool fetch_ask(struct fetch_candidate *, uint32_t block,
	const struct pccrr_set *wanted);
void fetch_give_up(struct fetch *);
void fetch_request_free(struct fetch_request *);
/* The candidate's block had the wrong bytes. */
void fetch_wrong_bytes(struct fetch_candidate *);

/* fetch_check.c */
void fetch_check_init(struct fetch_content *);
/* Takes over a block that has come. */
void fetch_check(struct fetch_request *);
/* Fewer are on the wire: what has come may be all. */
void fetch_check_rest(struct content *);

#endif

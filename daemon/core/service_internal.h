/* SPDX-License-Identifier: BSD-2-Clause */
/* What the modules of core share behind service.h.  Not for anybody else. */
#ifndef CORE_SERVICE_INTERNAL_H
#define CORE_SERVICE_INTERNAL_H

#include "daemon/core/area.h"
#include "daemon/core/handle.h"
#include "daemon/core/session.h"
#include "daemon/core/wheel.h"
#include "daemon/store/store_hash.h"

struct hashed;
struct info;
struct publication;
struct publication_key;
struct fetcher;
struct peers;
struct data_spare;

TAILQ_HEAD(session_list, session);

/* In locked memory; replaced, never changed.  Jobs hold references. */
struct server_key {
	unsigned refs;
	size_t len;
	uint8_t bytes[];
};

struct service {
	const struct env *env;
	struct block_store *store;
	struct hash_store *hashes; /* NULL: no standing publications */
	struct service_settings settings;
	bool ready;
	enum service_status status;
	uint32_t epoch;
	uint64_t started_ms;
	uint64_t next_session;
	unsigned busy; /* jobs and requests whose done is still owed */
	struct service_counters counters;
	struct quota_table *quota;
	struct session_list sessions;
	struct publication *publications; /* uthash by uid and identifier */
	struct publication_key *label;    /* room for one, for look-ups */
	struct fetcher *fetcher;
	struct peers *peers;
	struct discover *discover;
	struct uploads *uploads;
	struct ledger *ledger;
	struct hashed *hashed;
	struct server_key *key;
	/* Buffers of adds, see content_data.c. */
	SLIST_HEAD(, data_spare) spares;
	unsigned n_spares;
	unsigned n_adds;
	unsigned n_kept;                  /* buffers that fetch_kept.c has */
	struct wheel_timer sweep;         /* of the standing publications */
	uint64_t swept;                   /* id of the last one */
	LIST_HEAD(, info) standing_infos; /* cursors of theirs */
	struct wheel wheel;
	uint64_t armed_ms; /* what the loop's timer was last told */
};

/* A job of the core: counted, so that the service is not freed under it. */
struct core_job {
	struct env_job env;
	struct service *service;
	/* Loop thread; ran: see env.h. */
	void (*done)(struct core_job *, bool ran);
};

/* run may be NULL: only done is called, later. */
void service_job(struct service *, struct core_job *,
	void (*run)(struct env_job *, struct bulk *),
	void (*done)(struct core_job *, bool ran), uint32_t uid);
void service_timer(struct service *, struct wheel_timer *, uint64_t delay_ms);
/* How a request that a store has answered ends. */
enum core_result service_store_result(enum store_status);
uint64_t service_now_ms(const struct service *);
uint64_t service_wall_ms(const struct service *);
/* The key for a job that works with it. */
struct server_key *service_key_ref(struct service *);
struct server_key *service_key_unref(struct server_key *);
uint32_t service_now_ds(const struct service *);

/* Jobs hold references: what they give back when they end (ranges, counts)
 * needs the session's memory, though the client may be gone ("closed") by
 * then. */
/* A call that is answered later.  It is answered once: when there is a result,
 * when the session or its right to the result ends, or when it has taken too
 * long; the work for it may go on without anybody to tell. */
struct session_call {
	LIST_ENTRY(session_call) link;
	struct session *session; /* reference */
	uint64_t request;
	bool open; /* not answered yet */
	struct wheel_timer timer;
};

struct session {
	unsigned refs;
	bool closed;
	TAILQ_ENTRY(session) link;
	struct service *service;
	const struct session_ops *ops;
	void *ctx;
	uint64_t number;
	uint64_t started_ms;
	struct identity identity;
	unsigned roles;
	struct quota_user *user;
	struct area *area;
	struct op_owner owner;
	struct handle_table table;
	struct handle_list handles;
	TAILQ_HEAD(, publication) publications;
	LIST_HEAD(, session_call) calls;
	struct op_scope own_scope; /* operations without a handle: Flush */
	struct op_source room;     /* reads that wait for the read half */
};

struct session *session_ref(struct session *);
struct session *session_unref(struct session *);
/* Ends the operations of every handle for which match says so, in the order in
 * which the handles were opened. */
void session_cancel_handles(struct session *,
	bool (*match)(const struct handle *, const void *arg), const void *arg,
	enum core_result status);
/* call.c: counted as an operation until answered; call_end() is owed.
 * CORE_E_NO_RESOURCES. */
enum core_result call_begin(
	struct session_call *, struct session *, uint64_t request);
void call_answer(struct session_call *, enum core_result, uint64_t handle);
/* The work is over; answers with result if nobody has.  The call's memory is
 * the caller's again. */
void call_end(struct session_call *, enum core_result);
/* Answers all of them with result; tell: false: without a word. */
void call_answer_all(struct session *, enum core_result, bool tell);
/* Counts and starts an operation. */
enum core_result session_op_start(struct session *, struct op_scope *,
	uint64_t id, enum op_kind, struct op **ret_op);
/* Makes h a handle of the session (numbered unless HANDLE_FILE), counted. */
enum core_result session_handle_add(
	struct session *, struct handle *, enum handle_type);
/* Takes it out again; all its operations have ended. */
void session_handle_remove(struct session *, struct handle *);

/* The add of a slice-fed operation: shared by the three that are. */
struct slice_feed {
	uint32_t total;
	uint32_t received; /* bytes of slices that came, the present included */
	bool present;
	bool wanted;     /* NEED was sent, FEED has not come */
	uint32_t offset; /* of a range in the write half */
	uint32_t len;
	uint8_t *copy;    /* inline bytes; NULL for a range */
	uint64_t counted; /* buffer bytes, for the life of the add */
};

/* Takes the first slice over; slice_done() or slice_refuse() is owed after
 * CORE_OK.  CORE_E_PROTOCOL, CORE_E_NO_MEMORY, CORE_E_NO_RESOURCES. */
enum core_result slice_init(struct slice_feed *, struct session *,
	uint32_t total, const struct session_slice *);
enum core_result slice_next(
	struct slice_feed *, struct session *, const struct session_slice *);
/* The present slice's bytes: hostile memory, copy before looking. */
const uint8_t *slice_bytes(const struct slice_feed *, struct session *);
/* Gives the present slice back to the client (RELEASED for a range). */
void slice_release(struct slice_feed *, struct session *, uint64_t op);
/* The add is over: the slice given back, the count too. */
void slice_done(struct slice_feed *, struct session *, uint64_t op);
/* The same for an add that was not accepted. */
void slice_refuse(struct slice_feed *, struct session *);
/* Asks for the next one.  false: all have come. */
bool slice_want(struct slice_feed *, struct session *, uint64_t op);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* What the modules of core share behind service.h.  Not for anybody else. */
#ifndef CORE_SERVICE_INTERNAL_H
#define CORE_SERVICE_INTERNAL_H

#include "daemon/core/area.h"
#include "daemon/core/handle.h"
#include "daemon/core/session.h"
#include "daemon/core/wheel.h"

struct publication;
struct publication_key;
struct fetch;
struct peers;

TAILQ_HEAD(session_list, session);

struct service {
	const struct env *env;
	struct block_store *store;
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
	struct fetch *fetches;            /* uthash by segment */
	struct peers *peers;
	struct server_key {
		size_t len;
		uint8_t bytes[];
	} * key;           /* secmem */
	struct bulk *bulk; /* for the few hashes made on the loop */
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
uint64_t service_now_ms(const struct service *);
uint32_t service_now_ds(const struct service *);

/* Jobs hold references: what they give back when they end (ranges, counts)
 * needs the session's memory, though the client may be gone ("closed") by
 * then. */
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
/* Steps 4 and 5 of the order of checks, and the role. */
enum core_result session_check(const struct session *, unsigned role);
enum core_result session_check_handle(
	const struct session *, const struct handle *, unsigned role);
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections of clients.  The set holds what they share; each client is one
 * connection with, if it asked for one, a session.
 */
#ifndef API_CLIENT_H
#define API_CLIENT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/api/json_out.h"
#include "daemon/core/result.h"
#include "daemon/core/session.h"
#include "proto/ipc_chan.h"

#define CLIENT_NAME_MAX 64

struct api_secret_request {
	enum ipc_secret_action action;
	const uint8_t *passphrase; /* UTF-8, in locked memory */
	size_t passphrase_len;
	const uint8_t *blob; /* a key file */
	size_t blob_len;
};

/* What only the manager knows.  Any may be NULL. */
struct api_hooks {
	/* Members of the "status" document: sources of the mode, listeners. */
	void (*status)(void *ctx, struct json *);
	/* Members of the "config" document: the settings with their origins. */
	void (*config)(void *ctx, struct json *);
	/* Reads the settings again; may add members (what was wrong) to the
	 * answer.  A Windows error number. */
	uint32_t (*reload)(void *ctx, struct json *);
	/* A new size for a cache, kept beyond a restart.
	 * CORE_E_DISABLED when policy or an option sets it. */
	enum core_result (*set_size)(
		void *ctx, enum ipc_cache, const char *size, struct json *);
	/* What is to be done with the server secret. */
	enum core_result (*secret)(
		void *ctx, const struct api_secret_request *, struct json *);
	/* Another mode, kept beyond a restart; NULL: it stays as it is.
	 * Members "mode" and "origin" of the answer.  CORE_E_DISABLED when
	 * policy or an option sets it, CORE_E_BAD_PARAMETER when there is no
	 * such mode. */
	enum core_result (*set_mode)(
		void *ctx, const char *mode, struct json *);
	void *ctx;
};

struct client_limits {
	uint32_t max_clients; /* of all users */
	uint32_t write_size;  /* data area, multiples of 4 KiB */
	uint32_t read_size;
	size_t queue_limit;    /* bytes to be sent besides completions */
	uint32_t handshake_ms; /* from accept to HELLO */
	uint32_t stall_ms;     /* a client that takes nothing is dropped */
	uint32_t frames_per_pass;
	uint32_t closing_most; /* of one user: see common/close.h */
};
#define CLIENT_LIMITS_DEFAULT \
	{ \
		.max_clients = 16384, .write_size = 4u << 20, \
		.read_size = 4u << 20, .queue_limit = 1u << 20, \
		.handshake_ms = 10000, .stall_ms = 30000, \
		.frames_per_pass = 256, .closing_most = 4096 \
	}

struct client;
struct request;
TAILQ_HEAD(client_list, client);

struct client_counters {
	uint64_t accepted;
	uint64_t over_quota; /* of connections or descriptors */
	uint64_t broken;     /* disconnected for breaking the protocol */
	uint64_t timed_out;  /* no HELLO, or takes nothing */
	uint64_t frames;
};

struct client_set {
	struct event_base *base;
	struct service *service;
	struct client_limits limits;
	struct api_hooks hooks;
	struct client_list clients;
	struct client_list dirty; /* to be flushed or freed */
	struct event flush; /* looks after dirty, at the end of the pass */
	uint32_t n_clients;
	uint64_t next_number;
	struct client_counters counters;
};

enum client_state {
	CLIENT_GREETING, /* nothing but HELLO is allowed */
	CLIENT_READY,
	CLIENT_LEAVING, /* told why; goes when that is sent */
	CLIENT_GONE,    /* freed at the end of the pass */
	_CLIENT_STATE_MAX,
};

struct client {
	struct client_set *set;
	TAILQ_ENTRY(client) link;
	TAILQ_ENTRY(client) dirty_link;
	struct ipc_chan *chan;
	struct session *session; /* NULL: none wanted, or refused */
	struct area *area;
	struct quota_user *user; /* holds QUOTA_CONNECTIONS */
	struct identity identity;
	struct event readable;
	struct event writable;
	struct event timer;            /* handshake, then stalls */
	struct event again;            /* frames are left over from this pass */
	LIST_HEAD(, request) requests; /* answered later */
	unsigned n_requests;
	uint64_t number;
	uint32_t refusal; /* what calls that need a session are answered */
	enum client_state state;
	bool wants_session; /* and has an area for it */
	bool dirty;
	bool in_pass;
	bool unread;                /* the socket may have more */
	bool ending;                /* ... and behind it the end */
	bool blocked;               /* the socket is full */
	bool paused;                /* too much queued: not read */
	char name[CLIENT_NAME_MAX]; /* as the client says */
};

void client_set_init(struct client_set *, struct event_base *, struct service *,
	const struct client_limits *, const struct api_hooks *);
/* Frees all clients. */
void client_set_done(struct client_set *);

/* Much that came from this user does not close: he could fill the table. */
bool client_leaves_open(const struct client_set *, uint32_t uid);
/* A new connection; identity and user (with its QUOTA_CONNECTIONS taken) are
 * taken over on success, fd in every case.  -ENOMEM. */
int client_new(
	struct client_set *, int fd, struct identity *, struct quota_user *);
/* Ends the connection, in this order: off the lists and the loop, the session
 * (operations are abandoned, publications withdrawn), the area, the socket, the
 * quota.  Only from the loop, never from inside a call of the core.  NULL. */
struct client *client_free(struct client *);

/* The connection is over; the client is freed at the end of the pass. */
void client_drop(struct client *);
/* The same because the client broke the protocol. */
void client_drop_broken(struct client *);
/* Appends a frame; without memory for it the client is dropped, since he would
 * wait for it forever. */
void client_send(struct client *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body);
/* Something was queued by hand: it will be sent. */
void client_touch(struct client *);
void client_reply(struct client *, uint64_t id, uint32_t code);
unsigned client_roles(const struct client *);

/* api_session.c */
/* The client's first frame. */
void client_greet(struct client *, const struct ipc_msg *);
/* Makes it if it could not be made before. */
bool client_has_session(struct client *);
extern const struct session_ops client_session_ops;

#endif

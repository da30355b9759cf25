/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Table: frame type -> handler, what the frame needs, how it is answered.
 */
#ifndef API_DISPATCH_H
#define API_DISPATCH_H

#include "daemon/api/client.h"

enum dispatch_kind {
	DISPATCH_NONE,   /* not from clients */
	DISPATCH_CALL,   /* REPLY with the result, or CORE_LATER: by the
			  * session's reply */
	DISPATCH_SUBMIT, /* ACK with the result, unless it is CORE_OK: then
			  * the session's accept has queued it */
	DISPATCH_DATA,   /* no answer */
	DISPATCH_ADMIN,  /* the handler answers */
};

struct dispatch_row {
	enum dispatch_kind kind;
	bool session; /* needs one */
	/* Without it: ERROR_ACCESS_DENIED.  Roles of the API itself are checked
	 * by the core, since its answer depends on the order of the checks
	 * (API sheet, section 3.6) and on the service's status. */
	enum policy_role role;
	/* CALL: fills the reply.  CORE_E_PROTOCOL drops the client. */
	enum core_result (*handle)(
		struct client *, const struct ipc_msg *, Pd__Reply *);
};

/* NULL: a known type that clients do not send after HELLO. */
const struct dispatch_row *dispatch_find(unsigned type);
/* One frame of a client that is past HELLO. */
void dispatch_frame(struct client *, const struct ipc_msg *);
/* One frame of an unknown type. */
void dispatch_unknown(struct client *, const struct ipc_header *);

/* Handlers.  api_session.c: */
typedef enum core_result dispatch_fn(
	struct client *, const struct ipc_msg *, Pd__Reply *);
dispatch_fn api_status_get, api_session_end, api_feed, api_return;
/* api_server.c: */
dispatch_fn api_publish_open, api_stream_close, api_unpublish, api_info_open,
	api_info_close, api_server_cancel, api_stream_add, api_stream_complete,
	api_publish_file, api_retrieve;
/* api_client.c: */
dispatch_fn api_content_open, api_content_close, api_client_cancel,
	api_content_info, api_ci_add, api_ci_complete, api_data_add,
	api_block_read, api_stream_read, api_flush;
/* api_admin.c: */
dispatch_fn api_admin_status, api_admin_sessions, api_admin_operations,
	api_admin_cancel, api_admin_config, api_admin_reload;
/* api_cache.c, api_published.c, api_secret.c: */
dispatch_fn api_admin_cache, api_admin_published, api_admin_secret,
	api_publish_standing;
/* api_peers.c: */
dispatch_fn api_admin_peers, api_admin_probe, api_admin_explain, api_admin_mode;

/* Members "store" and "hash": how the caches are. */
void api_put_caches(struct json *, struct service *);

/* Member "peers": the known ones. */
void api_put_peers(struct json *, struct service *);
const char *api_mode_name(enum service_mode);
const char *api_status_name(enum service_status);

/* A slice as the core wants it. */
struct session_slice api_slice(const Pd__Slice *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/dispatch.h"

#include "daemon/api/status_map.h"

#define CALL(fn) \
	{ \
		DISPATCH_CALL, true, ROLE_ANY, fn \
	}
#define SUBMIT(fn) \
	{ \
		DISPATCH_SUBMIT, true, ROLE_ANY, fn \
	}
#define DATA(fn) \
	{ \
		DISPATCH_DATA, true, ROLE_ANY, fn \
	}
#define ADMIN(role, fn) \
	{ \
		DISPATCH_ADMIN, false, role, fn \
	}

/* Requests about sessions and operations are open to everybody: their handlers
 * show and touch what is the asker's own, and everything to administrators. */
static const struct dispatch_row rows[IPC_TYPE_LIMIT] = {
	[IPC_FEED] = DATA(api_feed),
	[IPC_RETURN] = DATA(api_return),
	[IPC_STATUS_GET] = {DISPATCH_CALL, false, ROLE_ANY, api_status_get},
	[IPC_SESSION_END] = CALL(api_session_end),
	[IPC_PUBLISH_OPEN] = CALL(api_publish_open),
	[IPC_STREAM_CLOSE] = CALL(api_stream_close),
	[IPC_UNPUBLISH] = CALL(api_unpublish),
	[IPC_INFO_OPEN] = CALL(api_info_open),
	[IPC_INFO_CLOSE] = CALL(api_info_close),
	[IPC_SERVER_CANCEL] = CALL(api_server_cancel),
	[IPC_CONTENT_OPEN] = CALL(api_content_open),
	[IPC_CONTENT_CLOSE] = CALL(api_content_close),
	[IPC_CLIENT_CANCEL] = CALL(api_client_cancel),
	[IPC_CONTENT_INFO] = CALL(api_content_info),
	[IPC_SUBMIT_STREAM_ADD] = SUBMIT(api_stream_add),
	[IPC_SUBMIT_STREAM_COMPLETE] = SUBMIT(api_stream_complete),
	[IPC_SUBMIT_PUBLISH_FILE] = SUBMIT(api_publish_file),
	[IPC_SUBMIT_RETRIEVE] = SUBMIT(api_retrieve),
	[IPC_SUBMIT_CI_ADD] = SUBMIT(api_ci_add),
	[IPC_SUBMIT_CI_COMPLETE] = SUBMIT(api_ci_complete),
	[IPC_SUBMIT_DATA_ADD] = SUBMIT(api_data_add),
	[IPC_SUBMIT_BLOCK_READ] = SUBMIT(api_block_read),
	[IPC_SUBMIT_STREAM_READ] = SUBMIT(api_stream_read),
	[IPC_SUBMIT_FLUSH] = SUBMIT(api_flush),
	[IPC_SUBMIT_PUBLISH_STANDING] = SUBMIT(api_publish_standing),
	[IPC_ADMIN_STATUS] = ADMIN(ROLE_ANY, api_admin_status),
	[IPC_ADMIN_SESSIONS] = ADMIN(ROLE_ANY, api_admin_sessions),
	[IPC_ADMIN_OPERATIONS] = ADMIN(ROLE_ANY, api_admin_operations),
	[IPC_ADMIN_CANCEL] = ADMIN(ROLE_ANY, api_admin_cancel),
	[IPC_ADMIN_CONFIG] = ADMIN(ROLE_ANY, api_admin_config),
	[IPC_ADMIN_RELOAD] = ADMIN(ROLE_ADMIN, api_admin_reload),
	[IPC_ADMIN_CACHE] = ADMIN(ROLE_ANY, api_admin_cache),
	[IPC_ADMIN_PUBLISHED] = ADMIN(ROLE_ANY, api_admin_published),
	[IPC_ADMIN_SECRET] = ADMIN(ROLE_ADMIN, api_admin_secret),
	[IPC_ADMIN_PEERS] = ADMIN(ROLE_ANY, api_admin_peers),
	[IPC_ADMIN_PROBE] = ADMIN(ROLE_ADMIN, api_admin_probe),
	[IPC_ADMIN_EXPLAIN] = ADMIN(ROLE_ANY, api_admin_explain),
	[IPC_ADMIN_MODE] = ADMIN(ROLE_ANY, api_admin_mode),
};

const struct dispatch_row *
dispatch_find(unsigned type)
{
	if (type >= IPC_TYPE_LIMIT || rows[type].kind == DISPATCH_NONE)
		return NULL;
	return &rows[type];
}

static void
refuse(struct client *c, const struct dispatch_row *row, uint64_t id,
	uint32_t code)
{
	Pd__Reply reply = PD__REPLY__INIT;

	reply.code = code;
	client_send(c, row->kind == DISPATCH_SUBMIT ? IPC_ACK : IPC_REPLY, id,
		&reply.base);
}

/* false: the frame has been answered. */
static bool
may_go_on(struct client *c, const struct dispatch_row *row, uint64_t id)
{
	/* A read range may come back after the session's end. */
	if (row->kind == DISPATCH_DATA)
		return c->session != NULL;
	if (row->session && !client_has_session(c)) {
		refuse(c, row, id, c->refusal);
		return false;
	}
	if (row->role != ROLE_ANY && (client_roles(c) & row->role) == 0) {
		refuse(c, row, id, ERROR_ACCESS_DENIED);
		return false;
	}
	return true;
}

void
dispatch_frame(struct client *c, const struct ipc_msg *m)
{
	const struct dispatch_row *row = dispatch_find(m->header.type);
	Pd__Reply reply = PD__REPLY__INIT;
	enum core_result r;

	if (row == NULL) {
		client_drop_broken(c);
		return;
	}
	if (!may_go_on(c, row, m->header.id))
		return;
	r = row->handle(c, m, &reply);
	if (r == CORE_E_PROTOCOL) {
		client_drop_broken(c);
		return;
	}
	if (r == CORE_LATER)
		return;
	reply.code = status_map_core(r);
	if (row->kind == DISPATCH_CALL)
		client_send(c, IPC_REPLY, m->header.id, &reply.base);
	else if (row->kind == DISPATCH_SUBMIT && r != CORE_OK)
		client_send(c, IPC_ACK, m->header.id, &reply.base);
}

void
dispatch_unknown(struct client *c, const struct ipc_header *h)
{
	client_reply(c, h->id, ERROR_NOT_SUPPORTED);
}

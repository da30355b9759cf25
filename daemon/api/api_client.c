/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of the client part: from body to call of the core. */
#include "daemon/api/dispatch.h"

enum core_result
api_content_open(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_content_open(
		c->session, m->u.content_open->tag.data, &reply->handle);
}

enum core_result
api_content_close(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_content_close(c->session, m->u.handle->handle);
}

enum core_result
api_client_cancel(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__ClientCancel *b = m->u.client_cancel;

	return session_client_cancel(c->session, b->handle, b->operation);
}

enum core_result
api_content_info(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	bool flash_crowd = false;
	enum core_result r = session_content_info(
		c->session, m->u.handle->handle, &flash_crowd);

	reply->value = flash_crowd;
	return r;
}

enum core_result
api_ci_add(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitAdd *b = m->u.submit_add;
	struct session_slice slice = api_slice(b->slice);

	return session_ci_add(
		c->session, m->header.id, b->handle, b->length, &slice);
}

enum core_result
api_ci_complete(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_ci_complete(
		c->session, m->header.id, m->u.handle->handle);
}

enum core_result
api_data_add(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitAdd *b = m->u.submit_add;
	struct session_slice slice = api_slice(b->slice);

	return session_data_add(c->session, m->header.id, b->handle, b->offset,
		b->length, &slice);
}

enum core_result
api_block_read(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitRead *b = m->u.submit_read;

	return session_block_read(c->session, m->header.id, b->handle,
		b->offset, b->length, b->timeout_ms);
}

enum core_result
api_stream_read(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitRead *b = m->u.submit_read;

	return session_stream_read(
		c->session, m->header.id, b->handle, b->length, b->timeout_ms);
}

enum core_result
api_flush(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_flush(
		c->session, m->header.id, m->u.submit_flush->tag.data);
}

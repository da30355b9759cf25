/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of the server part: from body to call of the core. */
#include "daemon/api/dispatch.h"

enum core_result
api_publish_open(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__PublishOpen *b = m->u.publish_open;

	return session_publish_open(c->session, b->identifier.data,
		b->identifier.len, b->length, b->version, &reply->handle);
}

enum core_result
api_stream_close(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_stream_close(c->session, m->u.handle->handle);
}

enum core_result
api_unpublish(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const ProtobufCBinaryData *ident = &m->u.identifier->identifier;

	return session_unpublish(c->session, ident->data, ident->len);
}

enum core_result
api_info_open(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__InfoOpen *b = m->u.info_open;

	return session_info_open(c->session, b->identifier.data,
		b->identifier.len, b->offset, b->length, b->min_version,
		b->max_version, &reply->handle);
}

enum core_result
api_info_close(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_info_close(c->session, m->u.handle->handle);
}

enum core_result
api_server_cancel(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__ServerCancel *b = m->u.server_cancel;

	return session_server_cancel(c->session, b->identifier.data,
		b->identifier.len, b->operation);
}

enum core_result
api_stream_add(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitAdd *b = m->u.submit_add;
	struct session_slice slice = api_slice(b->slice);

	return session_stream_add(
		c->session, m->header.id, b->handle, b->length, &slice);
}

enum core_result
api_stream_complete(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_stream_complete(
		c->session, m->header.id, m->u.handle->handle);
}

enum core_result
api_publish_file(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitPublishFile *b = m->u.submit_publish_file;

	return session_publish_file(c->session, m->header.id,
		b->identifier.data, b->identifier.len,
		ipc_chan_take_fd(c->chan, 0), b->offset, b->length, b->version);
}

enum core_result
api_retrieve(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitRetrieve *b = m->u.submit_retrieve;

	return session_retrieve(c->session, m->header.id, b->handle, b->length);
}

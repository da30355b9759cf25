/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of the server part: from body to call of the core. */
#include "daemon/api/dispatch.h"

static struct session_label
label_of(const ProtobufCBinaryData *identifier)
{
	return (struct session_label){identifier->data, identifier->len};
}

enum core_result
api_publish_open(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__PublishOpen *b = m->u.publish_open;
	struct session_label label = label_of(&b->identifier);

	return session_publish_open(
		c->session, &label, b->length, b->version, &reply->handle);
}

enum core_result
api_stream_close(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return session_stream_close(c->session, m->u.handle->handle);
}

enum core_result
api_unpublish(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	struct session_label label = label_of(&m->u.identifier->identifier);

	return session_unpublish(c->session, m->header.id, &label);
}

enum core_result
api_info_open(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__InfoOpen *b = m->u.info_open;
	struct session_label label = label_of(&b->identifier);
	struct session_range range = {b->offset, b->length};
	struct session_versions versions = {b->min_version, b->max_version};

	return session_info_open(c->session, m->header.id, &label, &range,
		&versions, &reply->handle);
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
	struct session_label label = label_of(&b->identifier);

	return session_server_cancel(c->session, &label, b->operation);
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
	struct session_label label = label_of(&b->identifier);
	struct session_range range = {b->offset, b->length};

	return session_publish_file(c->session, m->header.id, &label,
		ipc_chan_take_fd(c->chan, 0), &range, b->version);
}

enum core_result
api_retrieve(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitRetrieve *b = m->u.submit_retrieve;

	return session_retrieve(c->session, m->header.id, b->handle, b->length);
}

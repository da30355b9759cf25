/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/ask.h"

#include <errno.h>
#include <string.h>

#include "common/buf.h"
#include "common/macros.h"
#include "ctl/out.h"
#include "proto/ipc_call.h"
#include "proto/peerdist_errors.h"

#define DOCUMENT_MAX (256u * 1024u * 1024u)
#define REQUEST_ID   1

static enum ctl_exit
connection_failed(int r)
{
	switch (-r) {
	case EACCES:
	case EPERM:
		return out_error(
			CTL_PERMISSION, "%s: %s", arg_socket, strerror(-r));
	case EPROTONOSUPPORT:
		return out_error(CTL_UNAVAILABLE,
			"the service speaks another version of the protocol");
	case ETIMEDOUT:
		return out_error(CTL_UNAVAILABLE,
			"%s: the service did not answer in time", arg_socket);
	case EPIPE:
		return out_error(CTL_UNAVAILABLE,
			"%s: the service closed the connection", arg_socket);
	case ENOENT:
	case ECONNREFUSED:
		return out_error(CTL_UNAVAILABLE,
			"%s: %s; the service is not running there", arg_socket,
			strerror(-r));
	default:
		return out_error(
			CTL_UNAVAILABLE, "%s: %s", arg_socket, strerror(-r));
	}
}

/* A code of the daemon. */
static enum ctl_exit
request_failed(uint32_t code)
{
	switch (code) {
	case ERROR_ACCESS_DENIED:
		return out_error(CTL_PERMISSION,
			"only root and the administrators' group may do this");
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return out_error(CTL_LOCKED, "refused by policy");
	case PEERDIST_ERROR_OPERATION_NOTFOUND:
	case ERROR_NOT_FOUND:
		return out_error(CTL_NOT_FOUND, "there is no such operation");
	case PEERDIST_ERROR_SERVICE_UNAVAILABLE:
		return out_error(CTL_UNAVAILABLE, "the service is not ready");
	case ERROR_NOT_SUPPORTED:
		return out_error(
			CTL_FAILED, "the service does not know this request");
	default:
		return out_error(CTL_FAILED, "the service answered %u", code);
	}
}

static int
greet(struct ipc_chan *chan)
{
	struct ipc_greeting greeting;
	int r;

	r = ipc_greet(chan, 0, "peerdistctl " PEERDIST_VERSION_STRING,
		arg_timeout_ms, &greeting);
	if (r == 0 && greeting.area.fd >= 0)
		close(greeting.area.fd);
	return r;
}

static int
connect_daemon(struct ipc_chan **ret_chan)
{
	struct ipc_chan *chan = NULL;
	int fd, r;

	fd = ipc_connect(arg_socket, arg_timeout_ms);
	if (fd < 0)
		return fd;
	r = ipc_chan_new(&chan, fd, IPC_FROM_CLIENT);
	if (r < 0)
		return r;
	r = greet(chan);
	if (r < 0) {
		ipc_chan_free(chan);
		return r;
	}
	*ret_chan = chan;
	return 0;
}

/* Adds the text of one frame.  *ret_code is the daemon's, *ret_more whether
 * another frame follows. */
static void
take_frame(const struct ipc_msg *msg, struct buf *text, uint32_t *ret_code,
	bool *ret_more)
{
	*ret_more = false;
	if (msg->header.type == IPC_REPLY) {
		*ret_code = msg->u.reply->code;
		return;
	}
	*ret_code = msg->u.admin_text->code;
	*ret_more = msg->u.admin_text->more;
	buf_append(
		text, msg->u.admin_text->json, strlen(msg->u.admin_text->json));
}

static int
exchange(struct ipc_chan *chan, enum ipc_type type,
	const Pd__AdminRequest *request, struct buf *text, uint32_t *ret_code)
{
	struct ipc_msg msg;
	bool more;
	int r;

	r = ipc_call(
		chan, type, REQUEST_ID, &request->base, arg_timeout_ms, &msg);
	for (;;) {
		if (r != 0)
			return r;
		take_frame(&msg, text, ret_code, &more);
		ipc_msg_done(&msg);
		if (buf_error(text) != 0 || *ret_code != 0 || !more)
			return buf_error(text);
		r = ipc_call_more(chan, REQUEST_ID, arg_timeout_ms, &msg);
	}
}

/* An answer without text is an empty document. */
static enum ctl_exit
parse_document(const struct buf *text, json_t **ret_document)
{
	json_error_t error;
	json_t *document;

	document = text->len == 0
		? json_pack("{s:i}", "v", 1)
		: json_loadb((const char *)text->data, text->len,
			  JSON_REJECT_DUPLICATES, &error);
	if (json_integer_value(json_object_get(document, "v")) != 1) {
		json_decref(document);
		return out_error(
			CTL_FAILED, "the service's answer is not understood");
	}
	*ret_document = document;
	return CTL_OK;
}

enum ctl_exit
ask(enum ipc_type type, const Pd__AdminRequest *request, json_t **ret_document)
{
	struct ipc_chan *chan = NULL;
	enum ctl_exit result;
	uint32_t code = 0;
	struct buf text;
	int r;

	buf_init(&text, DOCUMENT_MAX);
	r = connect_daemon(&chan);
	if (r == 0)
		r = exchange(chan, type, request, &text, &code);
	if (r != 0)
		result = connection_failed(r);
	else if (code != 0)
		result = request_failed(code);
	else
		result = parse_document(&text, ret_document);
	ipc_chan_free(chan);
	buf_done(&text);
	return result;
}

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

enum ctl_exit
ask_connection_failed(int r)
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

static const char *
missing(enum ipc_type type)
{
	switch (type) {
	case IPC_ADMIN_CANCEL:
		return "there is no such operation";
	case IPC_ADMIN_PUBLISHED:
		return "there is no such publication";
	case IPC_ADMIN_PEERS:
		return "no such peer is known";
	case IPC_ADMIN_SECRET:
		return "there is no secret yet";
	default:
		return "not found";
	}
}

static enum ctl_exit
exit_of(uint32_t code)
{
	switch (code) {
	case ERROR_ACCESS_DENIED:
		return CTL_PERMISSION;
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return CTL_LOCKED;
	case PEERDIST_ERROR_OPERATION_NOTFOUND:
	case ERROR_NOT_FOUND:
		return CTL_NOT_FOUND;
	case PEERDIST_ERROR_SERVICE_UNAVAILABLE:
		return CTL_UNAVAILABLE;
	default:
		return CTL_FAILED;
	}
}

static const char *
meaning(enum ipc_type type, uint32_t code)
{
	switch (code) {
	case ERROR_ACCESS_DENIED:
		return "only root and the administrators' group may do this";
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return "refused by policy";
	case PEERDIST_ERROR_OPERATION_NOTFOUND:
	case ERROR_NOT_FOUND:
		return missing(type);
	case PEERDIST_ERROR_SERVICE_UNAVAILABLE:
		return "the service is not ready";
	case ERROR_NOT_SUPPORTED:
		return "the service does not know this request";
	case ERROR_NOT_ENOUGH_MEMORY:
		return "the service has no memory for this";
	case ERROR_DISK_FULL:
		return "there is no room on the service's disk";
	case ERROR_IO_DEVICE:
		return "the service's disk refuses";
	default:
		return NULL;
	}
}

enum ctl_exit
ask_failed(const struct ask_request *request, uint32_t code)
{
	const char *text = NULL;

	if (request->explain != NULL)
		text = request->explain(code);
	if (text == NULL)
		text = meaning(request->type, code);
	if (text == NULL)
		return out_error(CTL_FAILED, "the service answered %u", code);
	return out_error(exit_of(code), "%s", text);
}

static int
greet(struct ipc_chan *chan, uint64_t features, struct ipc_greeting *greeting)
{
	int r = ipc_greet(chan, features,
		"peerdistctl " PEERDIST_VERSION_STRING, arg_timeout_ms,
		greeting);

	/* Nobody here writes into a data area. */
	if (r == 0 && greeting->area.fd >= 0)
		close(greeting->area.fd);
	return r;
}

int
ask_connect(uint64_t features, struct ipc_chan **ret_chan,
	struct ipc_greeting *ret_greeting)
{
	struct ipc_chan *chan = NULL;
	int fd, r;

	fd = ipc_connect(arg_socket, arg_timeout_ms);
	if (fd < 0)
		return fd;
	r = ipc_chan_new(&chan, fd, IPC_FROM_CLIENT);
	if (r < 0)
		return r;
	r = greet(chan, features, ret_greeting);
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

/* One frame of the answer; *ret_more: it goes on. */
static int
next_frame(struct ipc_chan *chan, const struct ask_request *request,
	struct buf *text, uint32_t *ret_code, bool *ret_more)
{
	struct ipc_msg msg;
	int r = ipc_call_next(chan, arg_timeout_ms, &msg);

	if (r != 0)
		return r;
	*ret_more = true;
	if (msg.header.id == REQUEST_ID) {
		const Pd__Progress *p = msg.u.progress;

		if (msg.header.type == IPC_REPLY ||
			msg.header.type == IPC_ADMIN_TEXT)
			take_frame(&msg, text, ret_code, ret_more);
		else if (msg.header.type == IPC_PROGRESS && !p->operation &&
			request->progress != NULL)
			request->progress(p->done, p->total, request->ctx);
	}
	ipc_msg_done(&msg);
	return 0;
}

static int
exchange(struct ipc_chan *chan, const struct ask_request *request,
	struct buf *text, uint32_t *ret_code)
{
	bool more = true;
	int r = ipc_call_send(chan, request->type, REQUEST_ID, request->body,
		request->fd, arg_timeout_ms);

	while (r == 0 && more && *ret_code == 0) {
		r = next_frame(chan, request, text, ret_code, &more);
		if (r == 0)
			r = buf_error(text);
	}
	return r;
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
ask_request(const struct ask_request *request, json_t **ret_document)
{
	struct ipc_greeting greeting;
	struct ipc_chan *chan = NULL;
	enum ctl_exit result;
	uint32_t code = 0;
	struct buf text;
	int r;

	buf_init(&text, DOCUMENT_MAX);
	r = ask_connect(0, &chan, &greeting);
	if (r == 0)
		r = exchange(chan, request, &text, &code);
	if (r != 0)
		result = ask_connection_failed(r);
	else if (code != 0)
		result = ask_failed(request, code);
	else
		result = parse_document(&text, ret_document);
	ipc_chan_free(chan);
	buf_done(&text);
	return result;
}

enum ctl_exit
ask_and_print(const struct ask_request *request)
{
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask_request(request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		out_object(document);
	json_decref(document);
	return r;
}

enum ctl_exit
ask(enum ipc_type type, const Pd__AdminRequest *request, json_t **ret_document)
{
	const struct ask_request r = {
		.type = type, .body = &request->base, .fd = -1};

	return ask_request(&r, ret_document);
}

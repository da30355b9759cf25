/* SPDX-License-Identifier: BSD-2-Clause */
/* One request to the daemon, its answer as checked JSON. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <jansson.h>

#include "ctl/cmd.h"
#include "proto/ipc_msg.h"

/* Connects, asks, and gives the document ("v": 1); json_decref() it.  Anything
 * but CTL_OK has been told to the user. */
enum ctl_exit ask(
	enum ipc_type, const Pd__AdminRequest *, json_t **ret_document);

/* The same for any request. */
struct ask_request {
	enum ipc_type type;
	const ProtobufCMessage *body;
	int fd; /* travels with it; -1: none; stays the caller's */
	/* How far it is; NULL: nobody wants to know.  While progress comes, the
	 * patience of --timeout begins anew. */
	void (*progress)(uint64_t done, uint64_t total, void *ctx);
	void *ctx;
};
enum ctl_exit ask_request(const struct ask_request *, json_t **ret_document);

#endif

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
	/* What a code of the daemon means here; NULL, or the answer NULL: what
	 * it means everywhere. */
	const char *(*explain)(uint32_t code);
};
enum ctl_exit ask_request(const struct ask_request *, json_t **ret_document);
/* ... and prints the document as it is. */
enum ctl_exit ask_and_print(const struct ask_request *);

/* For who talks with the daemon himself: a greeted connection, with these
 * features.  0 or -errno, for ask_connection_failed(). */
struct ipc_chan;
struct ipc_greeting;
int ask_connect(uint64_t features, struct ipc_chan **ret_chan,
	struct ipc_greeting *ret_greeting);
enum ctl_exit ask_connection_failed(int r);
/* Tells what a code of the daemon means. */
enum ctl_exit ask_failed(const struct ask_request *, uint32_t code);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Connect, greet, send and wait, with deadlines: for peerdistctl and for the
 * library's start of a connection. */
#ifndef PROTO_IPC_CALL_H
#define PROTO_IPC_CALL_H

#include "proto/ipc_chan.h"

#define IPC_SOCKET_DEFAULT "/run/peerdist/peerdistd.sock"

/* $PEERDIST_SOCKET (ignored in setuid programs) or the default. */
const char *ipc_socket_path(void);

/* Connected stream socket, close-on-exec; -errno.  Never blocks on a full
 * backlog beyond timeout_ms. */
int ipc_connect(const char *path, int timeout_ms);

struct ipc_area {
	int fd; /* memfd of write_size + read_size bytes, -1 without */
	uint32_t write_size;
	uint32_t read_size;
};

struct ipc_greeting {
	uint32_t version;
	uint64_t features;
	uint32_t max_operations;
	uint32_t status;
	uint32_t min_content_version;
	uint32_t max_content_version;
	struct ipc_area area; /* fd checked (size, seals); caller owns it */
};

/* Both HELLOs.  features: what we ask for (IPC_FEATURE_*).  -EPROTONOSUPPORT no
 * common version; -ETIMEDOUT; -EPROTO; -errno. */
int ipc_greet(struct ipc_chan *, uint64_t features, const char *name,
	int timeout_ms, struct ipc_greeting *ret_greeting);

/* Sends a frame (fd: -1, or what travels with it, duplicated). */
int ipc_call_send(struct ipc_chan *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body, int fd, int timeout_ms);
/* Waits for the next frame of any known type.  ipc_msg_done() it. */
int ipc_call_next(struct ipc_chan *, int timeout_ms, struct ipc_msg *ret_msg);

#endif

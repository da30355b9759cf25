/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of the control socket: bytes <-> checked message.  Pure.
 *
 *   0  u32 length       of the whole frame, header included
 *   4  u16 type         enum ipc_type
 *   6  u8  descriptors  SCM_RIGHTS descriptors that belong to this frame
 *   7  u8  flags        0
 *   8  u64 id           operation or request number, chosen by the client
 *  16  body             protobuf, see peerdist.proto
 *
 * Little-endian.  At most IPC_FRAME_MAX bytes.
 *
 * Order on one connection: HELLO both ways first.  A synchronous request gets
 * exactly one REPLY (or ADMIN_TEXT frames) under its id.  A SUBMIT gets one
 * ACK under its id, and if that says 0, later exactly one COMPLETE.  Request
 * ids and operation ids are two separate number spaces, told apart by the
 * frame type.
 *
 *   SUBMIT_*   client  the operation and, for adds, its first slice
 *   ACK        daemon  accepted (0), or the code that the function returns
 *   NEED       daemon  the next slice of a large add is wanted
 *   FEED       client  ... and placed
 *   RELEASED   daemon  a write range is the library's again (also after the
 *                      operation has ended)
 *   COMPLETE   daemon  the operation's one end
 *   RETURN     client  a read range is copied out (id: unused, 0)
 *   STATUS     daemon  the service status changed (id 0, unasked)
 *   PROGRESS   daemon  how far a long request or operation is
 */
#ifndef PROTO_IPC_MSG_H
#define PROTO_IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "peerdist.pb-c.h"

#define IPC_VERSION_MIN 1u
#define IPC_VERSION_MAX 1u
#define IPC_HEADER_SIZE 16u
#define IPC_FRAME_MAX   65536u
#define IPC_INLINE_MAX  4096u
#define IPC_FDS_MAX     4u /* in one frame */
/* Bound of a COMPLETE frame without inline data. */
#define IPC_COMPLETE_SIZE  96u
#define IPC_READ_MAX       (1024u * 1024u) /* one read answers at most this */
#define IPC_SLICE_MAX      (1024u * 1024u) /* one slice of an add */
#define IPC_IDENTIFIER_MAX 32768u
#define IPC_TAG_SIZE       16u
#define IPC_PATH_MAX       4096u  /* of a standing publication */
#define IPC_PASSPHRASE_MAX 1024u  /* bytes of UTF-8 */
#define IPC_KEY_BLOB_MAX   16384u /* a key file */
#define IPC_ROWS_MAX       1000u  /* of one page of a list */
#define IPC_IDS_MAX        1000u  /* segments of one ADMIN_EXPLAIN */
#define IPC_PROBE_ID_SIZE  32u

/* Actions of ADMIN_CACHE, ADMIN_PUBLISHED, ADMIN_SECRET, ADMIN_PEERS,
 * ADMIN_MODE. */
enum ipc_cache_action {
	IPC_CACHE_SHOW = 1,
	IPC_CACHE_LIST,
	IPC_CACHE_FLUSH,
	IPC_CACHE_VERIFY,
	IPC_CACHE_SET_SIZE,
	_IPC_CACHE_MAX,
};
enum ipc_cache { IPC_CACHE_DATA = 1, IPC_CACHE_HASH, _IPC_CACHE_KIND_MAX };
enum ipc_published_action {
	IPC_PUBLISHED_LIST = 1,
	IPC_PUBLISHED_SHOW,
	IPC_PUBLISHED_REMOVE,
	_IPC_PUBLISHED_MAX,
};
enum ipc_secret_action {
	IPC_SECRET_SET = 1,
	IPC_SECRET_EXPORT,
	IPC_SECRET_IMPORT,
	IPC_SECRET_FINGERPRINT,
	_IPC_SECRET_MAX,
};
enum ipc_peers_action { IPC_PEERS_LIST = 1, IPC_PEERS_FORGIVE, _IPC_PEERS_MAX };
enum ipc_mode_action { IPC_MODE_GET = 1, IPC_MODE_SET, _IPC_MODE_MAX };

/* Features of a HELLO. */
#define IPC_FEATURE_AREA 1u /* wants a data area: makes this a session */

/* Operation ids: slot in the low half, generation (never 0) in the high. */
static inline uint64_t
ipc_op_id(uint32_t slot, uint32_t generation)
{
	return (uint64_t)generation << 32 | slot;
}

static inline uint32_t
ipc_op_slot(uint64_t id)
{
	return (uint32_t)id;
}

/* One row per frame: name, number, body, where it comes from. */
#define IPC_FRAMES(X) \
	X(HELLO, 1, hello, BOTH) \
	X(REPLY, 2, reply, DAEMON) \
	X(STATUS, 3, status, DAEMON) \
	X(ACK, 4, reply, DAEMON) \
	X(COMPLETE, 5, complete, DAEMON) \
	X(NEED, 6, need, DAEMON) \
	X(FEED, 7, slice, CLIENT) \
	X(RELEASED, 8, range, DAEMON) \
	X(RETURN, 9, range, CLIENT) \
	X(PROGRESS, 10, progress, DAEMON) \
	X(STATUS_GET, 16, none, CLIENT) \
	X(SESSION_END, 17, none, CLIENT) \
	X(PUBLISH_OPEN, 18, publish_open, CLIENT) \
	X(STREAM_CLOSE, 19, handle, CLIENT) \
	X(UNPUBLISH, 20, identifier, CLIENT) \
	X(INFO_OPEN, 21, info_open, CLIENT) \
	X(INFO_CLOSE, 22, handle, CLIENT) \
	X(SERVER_CANCEL, 23, server_cancel, CLIENT) \
	X(CONTENT_OPEN, 24, content_open, CLIENT) \
	X(CONTENT_CLOSE, 25, handle, CLIENT) \
	X(CLIENT_CANCEL, 26, client_cancel, CLIENT) \
	X(CONTENT_INFO, 27, handle, CLIENT) \
	X(SUBMIT_STREAM_ADD, 32, submit_add, CLIENT) \
	X(SUBMIT_STREAM_COMPLETE, 33, handle, CLIENT) \
	X(SUBMIT_PUBLISH_FILE, 34, submit_publish_file, CLIENT) \
	X(SUBMIT_RETRIEVE, 35, submit_retrieve, CLIENT) \
	X(SUBMIT_CI_ADD, 36, submit_add, CLIENT) \
	X(SUBMIT_CI_COMPLETE, 37, handle, CLIENT) \
	X(SUBMIT_DATA_ADD, 38, submit_add, CLIENT) \
	X(SUBMIT_BLOCK_READ, 39, submit_read, CLIENT) \
	X(SUBMIT_STREAM_READ, 40, submit_read, CLIENT) \
	X(SUBMIT_FLUSH, 41, submit_flush, CLIENT) \
	X(SUBMIT_PUBLISH_STANDING, 42, submit_publish_standing, CLIENT) \
	X(ADMIN_STATUS, 64, admin_request, CLIENT) \
	X(ADMIN_SESSIONS, 65, admin_request, CLIENT) \
	X(ADMIN_OPERATIONS, 66, admin_request, CLIENT) \
	X(ADMIN_CANCEL, 67, admin_request, CLIENT) \
	X(ADMIN_CONFIG, 68, admin_request, CLIENT) \
	X(ADMIN_RELOAD, 69, admin_request, CLIENT) \
	X(ADMIN_CACHE, 70, admin_cache, CLIENT) \
	X(ADMIN_PUBLISHED, 71, admin_published, CLIENT) \
	X(ADMIN_SECRET, 72, admin_secret, CLIENT) \
	X(ADMIN_PEERS, 73, admin_peers, CLIENT) \
	X(ADMIN_PROBE, 74, admin_probe, CLIENT) \
	X(ADMIN_EXPLAIN, 75, admin_explain, CLIENT) \
	X(ADMIN_MODE, 76, admin_mode, CLIENT) \
	X(ADMIN_TEXT, 80, admin_text, DAEMON)

enum ipc_type {
#define X(name, number, body, from) IPC_##name = number,
	IPC_FRAMES(X)
#undef X
};

#define IPC_TYPE_LIMIT 96 /* types are below this */

enum ipc_from { IPC_FROM_CLIENT = 1, IPC_FROM_DAEMON = 2, IPC_FROM_BOTH = 3 };

struct ipc_header {
	uint32_t length;
	uint16_t type;
	uint8_t n_fds;
	uint8_t flags;
	uint64_t id;
};

enum ipc_refusal {
	IPC_OK,
	IPC_E_LENGTH,  /* frame length impossible: the connection must end */
	IPC_E_UNKNOWN, /* type not known: answer 50, go on */
	IPC_E_SENDER,  /* known, but not from this side: the connection ends */
	IPC_E_BODY, /* body malformed or out of bounds: the connection ends */
	IPC_E_FDS,  /* wrong number of descriptors: the connection ends */
	_IPC_E_MAX,
};

/* A decoded frame.  The body lives in the arena below: no allocation for
 * ordinary frames, and nothing outlives ipc_msg_done(). */
struct ipc_msg {
	struct ipc_header header;
	union {
		ProtobufCMessage *base; /* NULL for frames without body */
		Pd__Hello *hello;
		Pd__Reply *reply;
		Pd__Status *status;
		Pd__Complete *complete;
		Pd__Need *need;
		Pd__Slice *slice;
		Pd__Range *range;
		Pd__PublishOpen *publish_open;
		Pd__Handle *handle;
		Pd__Identifier *identifier;
		Pd__InfoOpen *info_open;
		Pd__ServerCancel *server_cancel;
		Pd__ContentOpen *content_open;
		Pd__ClientCancel *client_cancel;
		Pd__SubmitAdd *submit_add;
		Pd__SubmitPublishFile *submit_publish_file;
		Pd__SubmitRetrieve *submit_retrieve;
		Pd__SubmitRead *submit_read;
		Pd__SubmitFlush *submit_flush;
		Pd__AdminRequest *admin_request;
		Pd__AdminText *admin_text;
		Pd__SubmitPublishStanding *submit_publish_standing;
		Pd__Progress *progress;
		Pd__AdminCache *admin_cache;
		Pd__AdminPublished *admin_published;
		Pd__AdminSecret *admin_secret;
		Pd__AdminPeers *admin_peers;
		Pd__AdminProbe *admin_probe;
		Pd__AdminExplain *admin_explain;
		Pd__AdminMode *admin_mode;
	} u;
	size_t arena_used;
	void *overflow; /* list of what did not fit into the arena */
	_Alignas(16) uint8_t arena[1024];
};

const char *ipc_type_name(unsigned type); /* "?" when unknown */

/* Header of the frame at data.  0, IPC_E_LENGTH; -EAGAIN when fewer than 16
 * bytes are there. */
int ipc_parse_header(struct ipc_header *ret, const uint8_t *data, size_t len);
/* The operation that a frame is about, before anything of it is checked: its
 * own when it submits one, the one that it cancels; 0: none.  Only a guess,
 * for who has something to prepare. */
uint64_t ipc_guess_operation(const struct ipc_header *, const uint8_t *data);
/* One whole frame sent by from.  Checks the type, the sender, the number of
 * descriptors, the body and the bounds that hold for every receiver (inline
 * data, identifiers, tags, slice and read lengths).  > 0: enum ipc_refusal,
 * with ret->header valid except for IPC_E_LENGTH; -ENOMEM.  Call
 * ipc_msg_done() after 0. */
int ipc_parse(struct ipc_msg *ret, const uint8_t *data, size_t len,
	enum ipc_from from);
void ipc_msg_done(struct ipc_msg *);

/* Appends a frame; body NULL for none.  -ENOMEM, -EMSGSIZE. */
int ipc_build(struct buf *, enum ipc_type, uint64_t id, unsigned n_fds,
	const ProtobufCMessage *body);

/* The same without a buffer: room that is enough for the frame (close to its
 * length), and the frame written to such room; its length is returned.  A frame
 * whose bound is over IPC_FRAME_MAX must not be built. */
size_t ipc_frame_bound(enum ipc_type, const ProtobufCMessage *body);
size_t ipc_build_at(uint8_t *dst, enum ipc_type, uint64_t id, unsigned n_fds,
	const ProtobufCMessage *body);

#endif

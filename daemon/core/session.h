/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PeerDistStartup: owner of handles and operations.  These are the calls
 * that daemon/api makes for a client.
 *
 * Each call checks in the order of the API sheet, section 3.6: handle (6),
 * service status and role (1260, 4065), epoch (4057), then the object.  Every
 * call may also return CORE_E_NO_MEMORY and, where something is made,
 * CORE_E_NO_RESOURCES.
 *
 * A submit that returns CORE_OK has called ops->accept, which queues the ACK,
 * and owes one completion (ops->complete, perhaps called already).  Any other
 * result is the code for the ACK, and accept was not called.
 *
 * Calls with a request number may return CORE_LATER: then their result comes by
 * ops->reply under that number, within seconds and in the session's life.
 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/area.h"
#include "daemon/core/op.h"
#include "daemon/core/service.h"

struct session;

#define SESSION_TAG_SIZE       16
#define SESSION_IDENTIFIER_MAX 32768u
/* Timeouts of reads, in the API's own terms. */
#define SESSION_TIMEOUT_LOCAL   0u
#define SESSION_TIMEOUT_DEFAULT 0xFFFFFFFEu

/* What a session tells its client; all queue a message and return. */
struct session_ops {
	void (*complete)(void *ctx, uint64_t op, const struct op_result *);
	/* Reserves the memory of the operation's completion and queues its ACK
	 * with 0.  Called from inside the submitting call. */
	bool (*accept)(void *ctx, uint64_t op);
	/* The next slice of an add is wanted, at most len bytes. */
	void (*need)(void *ctx, uint64_t op, uint32_t len);
	/* A slice of the write half is the client's again. */
	void (*released)(void *ctx, uint64_t op, uint32_t offset, uint32_t len);
	void (*status)(void *ctx, enum service_status, uint32_t min_version,
		uint32_t max_version);
	/* The answer to a call that returned CORE_LATER. */
	void (*reply)(
		void *ctx, uint64_t request, enum core_result, uint64_t handle);
	/* How far an operation is; now and then. */
	void (*progress)(void *ctx, uint64_t op, uint64_t done, uint64_t total);
};

/* A content identifier: opaque bytes. */
struct session_label {
	const uint8_t *bytes;
	size_t len;
};

struct session_range {
	uint64_t offset;
	uint64_t length;
};

/* Of content information: the lowest and the highest wanted. */
struct session_versions {
	uint32_t min;
	uint32_t max;
};

struct session_slice {
	/* Either bytes, valid during the call only, or a range of the write
	 * half. */
	const uint8_t *inline_data;
	uint32_t offset;
	uint32_t len;
};

/* identity and area are taken over on success.  CORE_E_NO_RESOURCES,
 * CORE_E_NO_MEMORY. */
enum core_result session_new(struct session **ret_session, struct service *,
	const struct identity *, struct area *, const struct session_ops *,
	void *ctx);
/* Ends everything.  tell: complete what is pending with CORE_E_ABORTED (the
 * client asked for it); otherwise without a word (he is gone).  NULL. */
struct session *session_free(struct session *, bool tell);

uint64_t session_number(const struct session *);
const struct identity *session_identity(const struct session *);
unsigned session_roles(const struct session *);
struct op_owner *session_owner(struct session *);
size_t session_handles(const struct session *);
uint64_t session_started_ms(const struct session *);

/* The client returned a read range; placed the next slice.  CORE_E_PROTOCOL. */
enum core_result session_return(
	struct session *, uint32_t offset, uint32_t len);
enum core_result session_feed(
	struct session *, uint64_t op, const struct session_slice *);

/* Server part. */
enum core_result session_publish_open(struct session *,
	const struct session_label *, uint64_t length, uint32_t version,
	uint64_t *ret_handle);
enum core_result session_stream_close(struct session *, uint64_t handle);
/* A standing publication of this label, too.  CORE_LATER. */
enum core_result session_unpublish(
	struct session *, uint64_t request, const struct session_label *);
/* Range 0, 0: the whole content.  CORE_LATER: a standing publication. */
enum core_result session_info_open(struct session *, uint64_t request,
	const struct session_label *, const struct session_range *,
	const struct session_versions *, uint64_t *ret_handle);
enum core_result session_info_close(struct session *, uint64_t handle);
enum core_result session_server_cancel(
	struct session *, const struct session_label *, uint64_t op);
enum core_result session_stream_add(struct session *, uint64_t op,
	uint64_t handle, uint32_t total, const struct session_slice *);
enum core_result session_stream_complete(
	struct session *, uint64_t op, uint64_t handle);
/* fd is taken over in every case.  Range length 0: to the end of the file. */
enum core_result session_publish_file(struct session *, uint64_t op,
	const struct session_label *, int fd, const struct session_range *,
	uint32_t version);
/* Publishes the file for good, under its absolute path, in place of what stood
 * there; complete when durable.  versions: PCCRC_MAKE_*.  fd is taken over in
 * every case.  Completion CORE_E_TOO_NEW: changed less than two seconds ago;
 * CORE_OK: offset is the publication's id, bytes 1 when it is watched. */
enum core_result session_publish_standing(struct session *, uint64_t op,
	const struct session_label *path, int fd, unsigned versions);
enum core_result session_retrieve(
	struct session *, uint64_t op, uint64_t handle, uint32_t len);

/* Client part. */
enum core_result session_content_open(
	struct session *, const uint8_t *tag, uint64_t *ret_handle);
enum core_result session_content_close(struct session *, uint64_t handle);
enum core_result session_content_info(
	struct session *, uint64_t handle, bool *ret_flash_crowd);
/* The client's next requests are about these operations; see op_expect(). */
void session_expect(struct session *, const uint64_t *ops, size_t n);
/* op 0: all of the handle. */
enum core_result session_client_cancel(
	struct session *, uint64_t handle, uint64_t op);
enum core_result session_ci_add(struct session *, uint64_t op, uint64_t handle,
	uint32_t total, const struct session_slice *);
enum core_result session_ci_complete(
	struct session *, uint64_t op, uint64_t handle);
enum core_result session_data_add(struct session *, uint64_t op,
	uint64_t handle, uint64_t offset, uint32_t total,
	const struct session_slice *);
enum core_result session_block_read(struct session *, uint64_t op,
	uint64_t handle, uint64_t offset, uint32_t len, uint32_t timeout_ms);
enum core_result session_stream_read(struct session *, uint64_t op,
	uint64_t handle, uint32_t len, uint32_t timeout_ms);
enum core_result session_flush(
	struct session *, uint64_t op, const uint8_t *tag);

/* peerdistctl cancel: by operation id of this session, the same way. */
enum core_result session_admin_cancel(struct session *, uint64_t op);

struct session_op_view {
	uint64_t id;
	enum op_kind kind;
	uint64_t handle;
	uint64_t age_ms;
};
void session_each_op(struct session *,
	void (*fn)(const struct session_op_view *, void *ctx), void *ctx);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Client side: one opened content.
 *
 *   content.c       the handle and the feeding of content information
 *   content_data.c  AddData: staging, verification, insertion
 *   content_read.c  reads, missing ranges, the stream's cursor
 */
#ifndef CORE_CONTENT_H
#define CORE_CONTENT_H

#include "codec/pccrc.h"
#include "common/macros.h"
#include "daemon/core/service_internal.h"

enum content_state {
	CONTENT_OPEN, /* nothing fed yet */
	CONTENT_FEEDING,
	CONTENT_COMPLETING,
	CONTENT_READY,
	CONTENT_FAILED,
};

struct stage;
TAILQ_HEAD(stage_list, stage);
struct fetch_content;
struct read_work;

/* Reference-counted: jobs and store requests hold it beyond its close. */
struct content {
	struct handle handle;
	unsigned refs;
	bool closed;
	struct session *session; /* reference */
	enum content_state state;
	enum core_result failure;
	struct store_owner owner; /* uid and tag */

	/* Feeding. */
	struct op_source feed_queue;
	bool feed_stepping;
	struct op *feed_cur; /* CompleteContentInformation with a job */
	bool feed_busy;
	struct pccrc_parser *parser;
	uint64_t
		counted; /* buffer bytes: the information, what is made of it */

	/* Ready. */
	struct pccrc_info *info;
	uint8_t *ids; /* of the segments, info->hash_size each */
	uint8_t (*claims)[STORE_CLAIM_SIZE]; /* of the listed blocks */
	struct stage_list stages;
	size_t staged_bytes;
	unsigned n_putting; /* rounds that wait for the disk */

	/* The stream's cursor; reads queue up for it. */
	uint64_t cursor;
	struct op_source stream_queue;
	struct op *stream_head;
	struct read_work *ahead; /* for the one behind the head */
	bool stream_stepping;
	/* The stream's blocks come from peers: those up to this offset were
	 * looked at, and wanted if they were not there. */
	uint64_t fetched_to;
	bool fetch_on;
	bool fetch_on_busy;

	struct fetch_content *fetching; /* fetch.c; NULL: nothing yet */
};

static inline struct content *
content_of_handle(struct handle *h)
{
	return container_of(h, struct content, handle);
}

static inline struct content *
content_of_op(struct op *op)
{
	return content_of_handle(container_of(op->scope, struct handle, scope));
}

struct content *content_ref(struct content *);
struct content *content_unref(struct content *);

enum core_result content_open(
	struct session *, const uint8_t *tag, uint64_t *ret_handle);
void content_close(struct handle *);
enum core_result content_ci_add(struct handle *, uint64_t op, uint32_t total,
	const struct session_slice *);
enum core_result content_ci_complete(struct handle *, uint64_t op);
/* The next slice of an AddContentInformation or AddData. */
enum core_result content_feed(struct op *, const struct session_slice *);
/* State check of what needs content information: 4054, or the failure. */
enum core_result content_check_ready(const struct content *);

/* Fills a store reference for a block, which must be listed. */
void content_ref_block(const struct content *, size_t segment, uint32_t block,
	struct store_ref *ret_ref);
const uint8_t *content_segment_id(const struct content *, size_t segment);

/* Many hosts want it, or what is read of it next, at this moment. */
bool content_flash_crowd(const struct content *);

/* Where a content offset lies. */
struct content_pos {
	size_t segment;
	uint32_t block;
	uint64_t start; /* of the block, content offset */
	uint32_t len;   /* of the block */
	bool listed;    /* its hash is known */
};
/* false: not inside any listed segment. */
bool content_locate(
	const struct content *, uint64_t offset, struct content_pos *ret_pos);

/* content_data.c */
enum core_result content_data_add(struct handle *, uint64_t op, uint64_t offset,
	uint32_t total, const struct session_slice *);
enum core_result content_data_feed(struct op *, const struct session_slice *);
void content_data_forget(struct op *);
void content_stages_drop(struct content *);
/* Large buffers that go from job to job, with room for 16 blocks of version 1.
 * NULL: no memory. */
#define CONTENT_SPARE_SIZE ((1024u + 5u) * 1024u)
uint8_t *content_spare_take(struct service *);
/* May be NULL. */
void content_spare_give(struct service *, uint8_t *);
/* Frees what was kept for the next ones. */
void content_spares_free(struct service *);

/* content_read.c */
enum core_result content_read(struct handle *, uint64_t op, enum op_kind,
	uint64_t offset, uint32_t len, uint32_t timeout_ms);
void content_read_forget(struct op *);
/* Goes on with a read whose block has come, or cannot come. */
void content_read_arrived(struct op *);
void content_read_lacking(struct op *);
void content_stream_step(struct content *);
/* Nobody will want what is being read ahead. */
void content_ahead_drop(struct content *);
/* The read half has room again. */
void content_room(struct session *);

/* flush.c */
struct flush;
enum core_result flush_start(struct session *, uint64_t op, const uint8_t *tag);
void flush_detach(struct flush *);

#endif

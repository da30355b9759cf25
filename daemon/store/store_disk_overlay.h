/* SPDX-License-Identifier: BSD-2-Clause */
/* What is not in the index yet. */
#ifndef STORE_STORE_DISK_OVERLAY_H
#define STORE_STORE_DISK_OVERLAY_H

#include <sys/queue.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "daemon/core/env.h"
#include "daemon/store/segrec.h"
#include "daemon/store/store_disk_volume.h"

/* A change that the next commit brings into the index. */
enum change_kind {
	CHANGE_PUT,    /* at, owner */
	CHANGE_OWNER,  /* at.index, at.claim, at.proved, owner */
	CHANGE_DROP,   /* at: if it is still that place */
	CHANGE_FLUSH,  /* owner */
	CHANGE_VOLUME, /* at.volume: it is no more */
};

struct change {
	STAILQ_ENTRY(change) link;
	enum change_kind kind;
	uint8_t id_len;
	uint8_t id[STORE_ID_MAX];
	struct segrec_entry at;
	struct store_owner owner;
};

STAILQ_HEAD(change_list, change);

/* What is looked at before the index. */
struct overlay_entry {
	struct segrec_entry at;
	bool dead; /* hides what the index has */
	struct store_owner owner;
};

struct overlay_segment {
	UT_hash_handle hh;
	uint8_t id_len;
	uint8_t id[STORE_ID_MAX];
	size_t n, cap;
	struct overlay_entry *entries; /* by index, then claim */
};

/* A request waits in the queue or for a commit (link), then for its answer
 * (job).  It lies in the store_private of a struct store_... */
enum request_kind {
	REQUEST_PUT,
	REQUEST_FLUSH,
	REQUEST_CLEAR,
	REQUEST_LIST,
	REQUEST_VERIFY,
	REQUEST_SYNC, /* in struct sync_request */
	REQUEST_DROP, /* in struct drop_request */
};

struct request {
	union {
		struct env_job job;
		struct {
			STAILQ_ENTRY(request) link;
			size_t next; /* ref of a put that no batch took yet */
		};
	};
	struct store_disk *store;
	enum request_kind kind;
};

STAILQ_HEAD(request_list, request);

_Static_assert(sizeof(struct request) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for its part in the queue");

#define REQUEST_OF(r, type) \
	((struct type *)container_of( \
		(void **)(void *)(r), struct type, store_private))

struct sync_request {
	struct request request;
	void (*done)(void *ctx);
	void *ctx;
	bool used;
};

#define SYNCS_MAX 4

struct drop_request {
	struct request request;
	struct change *change; /* a copy: what is to be logged */
};

/* One generation of changes, and of what they make visible. */
struct generation {
	struct overlay_segment *segments;
	struct change_list changes;
	size_t n_changes;
	uint64_t bytes;              /* appended for them */
	int64_t d_blocks, d_bytes;   /* what they will do to the totals */
	struct request_list waiters; /* to be answered after the commit */
	unsigned flushes;            /* among the changes */
};

void generation_init(struct generation *);
void generation_done(struct generation *);
bool generation_is_empty(const struct generation *);
const struct overlay_entry *overlay_find(
	const struct generation *, const struct store_ref *);
/* What the generation has of a segment; NULL: nothing. */
const struct overlay_segment *overlay_segment(
	const struct generation *, const uint8_t *id, size_t id_len);
const struct overlay_entry *overlay_segment_find(
	const struct overlay_segment *, uint32_t index, const uint8_t *claim);
/* The entries of one index; *ret_n of them. */
const struct overlay_entry *overlay_range(
	const struct generation *, const struct store_ref *, size_t *ret_n);
/* Adds or replaces. -ENOMEM. */
int overlay_set(struct generation *, const struct store_ref *,
	const struct overlay_entry *);
/* Forgets what lies in the volume from offset on. */
void generation_forget(
	struct generation *, const struct volume *, uint64_t offset);
struct change *change_new(enum change_kind, const struct store_ref *);
void generation_add(struct generation *, struct change *);

#endif

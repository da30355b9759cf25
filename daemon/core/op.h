/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pending operations: the heart.  The mechanism is told at the top of op.c.
 *
 *   op      one accepted asynchronous call; a completion is owed
 *   owner   the session that started it; finds it by id
 *   scope   the handle it was started on; cancels it by handle
 *   source  what will finish it (a fetch, a job, a queue); ops wait on it
 *
 * An op ends only in op_finish() - or, when its owner is lost, in
 * op_owner_abandon(), which tells nobody.
 */
#ifndef CORE_OP_H
#define CORE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/core/result.h"
#include "daemon/core/wheel.h"

enum op_kind {
	OP_NONE, /* a free slot */
	OP_STREAM_ADD,
	OP_STREAM_COMPLETE,
	OP_PUBLISH_FILE,
	OP_PUBLISH_STANDING,
	OP_RETRIEVE,
	OP_CI_ADD,
	OP_CI_COMPLETE,
	OP_DATA_ADD,
	OP_BLOCK_READ,
	OP_STREAM_READ,
	OP_FLUSH,
	_OP_KIND_MAX,
};
const char *op_kind_name(enum op_kind);

struct op;
struct op_source;
struct op_scope;
struct op_owner;
TAILQ_HEAD(op_list, op);

struct op_result {
	enum core_result status;
	uint32_t bytes;
	uint64_t offset;
	bool has_offset;
	/* Reads and Retrieve: where the bytes are.  Either in the read half of
	 * the data area (range_len > 0) or in memory that is valid during the
	 * call only. */
	uint32_t range_offset;
	uint32_t range_len;
	const uint8_t *inline_data;
	uint32_t inline_len;
};

/* 128 bytes on LP64: a million of them is the design load. */
struct op {
	TAILQ_ENTRY(op) scope_link;
	TAILQ_ENTRY(op) wait_link;
	struct wheel_timer timer;
	struct op_owner *owner;
	struct op_scope *scope;
	struct op_source *source;
	uint64_t id;
	union {
		struct {
			void *work; /* what runs for it now, or NULL */
			uint64_t offset;
			uint32_t len;
			uint32_t timeout_ms;
		} read;
		void *state; /* others: the module's own; see scope->forget */
	} u;
	uint32_t started_ds; /* tenths of a second since the service started */
	uint8_t kind;        /* enum op_kind */
	uint8_t verdict;     /* reads: what a missing range will be called */
	uint8_t head;        /* stream reads: this one holds the cursor */
	uint8_t spare;
};

struct op_owner_ops {
	/* The one completion.  Queues a message and returns: must not start,
	 * finish or free anything. */
	void (*complete)(
		struct op_owner *, uint64_t id, const struct op_result *);
	/* The operation is accepted: reserves the memory of its completion and
	 * queues the ACK, so that complete may follow at any moment, also
	 * before the submitting call has returned.  false: no memory, not
	 * accepted. */
	bool (*accept)(struct op_owner *, uint64_t id);
};

struct op_owner {
	const struct op_owner_ops *ops;
	struct op *slots; /* address space for max_slots; NULL: no op yet */
	uint32_t max_slots;
	uint32_t high; /* slots at and behind this one were never used */
	uint32_t n_ops;
};

struct op_scope {
	struct op_list ops; /* in start order */
	unsigned hold;
	bool left_pending;
	/* An op of this scope has ended and been told; called outside of any
	 * walk.  Starts what queued behind it.  May be NULL. */
	void (*left)(struct op_scope *);
	/* Before an op of this scope ends: frees what op->u owns.  May be
	 * NULL. */
	void (*forget)(struct op *);
};

struct op_source {
	struct op_list waiters;
	unsigned hold;
	/* Nobody waits any more (and nobody walks); may free the source.  NULL:
	 * nothing to do. */
	void (*idle)(struct op_source *);
};

void op_owner_init(
	struct op_owner *, const struct op_owner_ops *, uint32_t max_slots);
/* All ops gone before (op_owner_abandon). */
void op_owner_done(struct op_owner *);
void op_scope_init(struct op_scope *, void (*left)(struct op_scope *),
	void (*forget)(struct op *));
void op_source_init(struct op_source *, void (*idle)(struct op_source *));

/* Accepts an operation: after 0 a completion is owed.  CORE_E_PROTOCOL slot in
 * use, out of range or generation 0; CORE_E_NO_MEMORY. */
enum core_result op_start(struct op **ret_op, struct op_owner *,
	struct op_scope *, uint64_t id, enum op_kind, uint32_t now_ds);
/* Puts the op on a source (taking it off the one before; that one's idle hook
 * may run). NULL: on none. */
void op_wait(struct op *, struct op_source *);
/* Ends the op.  Consumes it. */
void op_finish(struct op *, const struct op_result *);
void op_finish_status(struct op *, enum core_result);
/* The ops with these ids (0: none) are about to be started, or ended: what that
 * touches is brought near.  They need not exist. */
void op_expect(const struct op_owner *, const uint64_t *ids, size_t n);
/* The live op with this id, or NULL. */
struct op *op_find(struct op_owner *, uint64_t id);
/* Ends the op with this id if it belongs to this scope (NULL: any).
 * CORE_E_OPERATION_NOT_FOUND. */
enum core_result op_cancel(struct op_owner *, struct op_scope *, uint64_t id);
/* Ends all ops that the scope has now, in start order; how many. */
size_t op_cancel_scope(struct op_scope *, enum core_result status);
/* Ends everything without a word.  A lost connection. */
void op_owner_abandon(struct op_owner *);
/* Walks all live ops, in slot order; fn must not end any. */
void op_owner_each(
	struct op_owner *, void (*fn)(struct op *, void *ctx), void *ctx);

#endif

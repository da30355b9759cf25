/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pending operations.
 *
 * Accept means owe.  op_start() takes all that the completion will need - the
 * record, and through ops->accept the bytes of the message - so that after it
 * nothing can keep the completion from being sent.
 *
 * The client numbers its operations: slot and generation.  Records live in one
 * array indexed by slot, so finding one of a million costs one look, and there
 * is no list of an owner's operations to keep: the array is it.  It is reserved
 * address space, as long as the owner may have operations; pages become memory
 * when a slot in them is first used.  Beyond the first 2 MiB they are huge
 * pages where the system has them: a random one of a million then costs no walk
 * of the page tables, which was half of the price of a cancel.
 *
 * Two lists, one record.  The scope (a handle) lists its operations in start
 * order, because cancelling "all of the handle" must end them in that order.
 * The source lists those who wait for it.
 *
 * Expected ops.  What ending one of a million costs is waiting for memory: for
 * its record, then for its neighbours' in both lists.  Who knows some of the
 * next ids says so, and all their records are on the way at once, then all
 * their neighbours.
 *
 * Detach, then tell.  op_finish() first takes the op out of every list, stops
 * its timer, lets its module forget it and frees the slot.  Only then is the
 * owner told, then the source asked whether anyone still waits, then the scope
 * told that one has left.  While an op is being reported nobody can find it;
 * removal is the claim, and there is no "done" flag to race with.
 *
 * Work that cannot stop at once (a job on a worker, a request on the wire) is
 * not waited for: scope->forget cuts the job's pointer to the op, and the
 * result finds nobody to tell when it comes.
 *
 * Example.  Two reads wait for a block, the first is cancelled:
 *   op_cancel -> op_finish(aborted): off the handle's list, off the block's
 *   list, slot free -> complete(id, aborted) is queued -> the block still has a
 *   waiter, so its idle hook is not called -> the cancel's own answer is queued
 *   by the caller, behind the completion.
 * Later the block arrives: its waiters are walked (hold), one op is found.
 */
#include "daemon/core/op.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/macros.h"

_Static_assert(sizeof(void *) != 8 || sizeof(struct op) == 128,
	"a million of these is the design load");

#define HUGE_FROM  (2u * 1024 * 1024)
#define KEEP_SLOTS 512u /* memory that an idle owner keeps */

static const char *const kind_names[_OP_KIND_MAX] = {
	[OP_NONE] = "none",
	[OP_STREAM_ADD] = "stream-add",
	[OP_STREAM_COMPLETE] = "stream-complete",
	[OP_PUBLISH_FILE] = "publish-file",
	[OP_PUBLISH_STANDING] = "publish-standing",
	[OP_RETRIEVE] = "retrieve",
	[OP_CI_ADD] = "information-add",
	[OP_CI_COMPLETE] = "information-complete",
	[OP_DATA_ADD] = "data-add",
	[OP_BLOCK_READ] = "block-read",
	[OP_STREAM_READ] = "stream-read",
	[OP_FLUSH] = "flush",
};

const char *
op_kind_name(enum op_kind kind)
{
	return kind < _OP_KIND_MAX ? kind_names[kind] : "?";
}

void
op_owner_init(
	struct op_owner *o, const struct op_owner_ops *ops, uint32_t max_slots)
{
	*o = (struct op_owner){.ops = ops, .max_slots = max_slots};
}

void
op_owner_done(struct op_owner *o)
{
	assert(o->n_ops == 0);
	if (o->slots != NULL)
		munmap(o->slots, o->max_slots * sizeof(o->slots[0]));
	o->slots = NULL;
}

void
op_scope_init(struct op_scope *s, void (*left)(struct op_scope *),
	void (*forget)(struct op *))
{
	*s = (struct op_scope){.left = left, .forget = forget};
	TAILQ_INIT(&s->ops);
}

void
op_source_init(struct op_source *s, void (*idle)(struct op_source *))
{
	*s = (struct op_source){.idle = idle};
	TAILQ_INIT(&s->waiters);
}

static bool
slots_map(struct op_owner *o)
{
	size_t size = o->max_slots * sizeof(o->slots[0]);
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	if (size > HUGE_FROM)
		(void)madvise(p + HUGE_FROM, size - HUGE_FROM, MADV_HUGEPAGE);
	o->slots = (struct op *)(void *)p;
	return true;
}

/* After a flood the memory goes back to the system. */
static void
slots_trim(struct op_owner *o)
{
	if (o->high <= KEEP_SLOTS)
		return;
	(void)madvise(o->slots + KEEP_SLOTS,
		(o->max_slots - KEEP_SLOTS) * sizeof(o->slots[0]),
		MADV_DONTNEED);
	o->high = KEEP_SLOTS;
}

static void
slot_free(struct op *op)
{
	struct op_owner *o = op->owner;

	op->kind = OP_NONE;
	if (--o->n_ops == 0)
		slots_trim(o);
}

enum core_result
op_start(struct op **ret_op, struct op_owner *o, struct op_scope *scope,
	uint64_t id, enum op_kind kind, uint32_t now_ds)
{
	uint32_t slot = (uint32_t)id;
	struct op *op;

	if (slot >= o->max_slots || id >> 32 == 0)
		return CORE_E_PROTOCOL;
	if (o->slots == NULL && !slots_map(o))
		return CORE_E_NO_MEMORY;
	op = &o->slots[slot];
	if (op->kind != OP_NONE)
		return CORE_E_PROTOCOL;
	*op = (struct op){
		.owner = o,
		.scope = scope,
		.id = id,
		.started_ds = now_ds,
		.kind = kind,
	};
	o->n_ops++;
	o->high = MAX_OF(o->high, slot + 1);
	if (!o->ops->accept(o, id)) {
		slot_free(op);
		return CORE_E_NO_MEMORY;
	}
	TAILQ_INSERT_TAIL(&scope->ops, op, scope_link);
	*ret_op = op;
	return CORE_OK;
}

static void
source_check(struct op_source *s)
{
	if (s != NULL && s->hold == 0 && TAILQ_EMPTY(&s->waiters) &&
		s->idle != NULL)
		s->idle(s);
}

static void
scope_check(struct op_scope *s)
{
	if (s->hold > 0) {
		s->left_pending = true;
		return;
	}
	s->left_pending = false;
	if (s->left != NULL)
		s->left(s);
}

void
op_wait(struct op *op, struct op_source *source)
{
	struct op_source *before = op->source;

	if (before != NULL)
		TAILQ_REMOVE(&before->waiters, op, wait_link);
	op->source = source;
	if (source != NULL)
		TAILQ_INSERT_TAIL(&source->waiters, op, wait_link);
	if (before != source)
		source_check(before);
}

static void
detach(struct op *op)
{
	wheel_stop(&op->timer);
	TAILQ_REMOVE(&op->scope->ops, op, scope_link);
	if (op->source != NULL)
		TAILQ_REMOVE(&op->source->waiters, op, wait_link);
	if (op->scope->forget != NULL)
		op->scope->forget(op);
	slot_free(op);
}

void
op_finish(struct op *op, const struct op_result *result)
{
	struct op_owner *owner = op->owner;
	struct op_scope *scope = op->scope;
	struct op_source *source = op->source;
	uint64_t id = op->id;

	detach(op);
	owner->ops->complete(owner, id, result);
	source_check(source);
	scope_check(scope);
}

void
op_finish_status(struct op *op, enum core_result status)
{
	op_finish(op, &(struct op_result){.status = status});
}

/* NULL: no slot that was ever used. */
static struct op *
slot_of(const struct op_owner *o, uint64_t id)
{
	uint32_t slot = (uint32_t)id;

	return slot < o->high ? &o->slots[slot] : NULL;
}

void
op_expect(const struct op_owner *o, const uint64_t *ids, size_t n)
{
	struct op *op;

	for (size_t i = 0; i < n; i++) {
		op = slot_of(o, ids[i]);
		if (op == NULL)
			continue;
		__builtin_prefetch(op, 1);
		__builtin_prefetch(&op->kind, 1);
	}
	for (size_t i = 0; i < n; i++) {
		op = slot_of(o, ids[i]);
		if (op == NULL || op->kind == OP_NONE || op->id != ids[i])
			continue;
		__builtin_prefetch(op->scope_link.tqe_prev, 1);
		__builtin_prefetch(op->scope_link.tqe_next, 1);
		__builtin_prefetch(op->wait_link.tqe_prev, 1);
		__builtin_prefetch(op->wait_link.tqe_next, 1);
	}
}

struct op *
op_find(struct op_owner *o, uint64_t id)
{
	struct op *op = slot_of(o, id);

	if (op == NULL)
		return NULL;
	/* Its other cache line: both are waited for at once. */
	__builtin_prefetch(op, 1);
	return op->kind != OP_NONE && op->id == id ? op : NULL;
}

enum core_result
op_cancel(struct op_owner *o, struct op_scope *scope, uint64_t id)
{
	struct op *op = op_find(o, id);

	if (op == NULL || (scope != NULL && op->scope != scope))
		return CORE_E_OPERATION_NOT_FOUND;
	op_finish_status(op, CORE_E_ABORTED);
	return CORE_OK;
}

size_t
op_cancel_scope(struct op_scope *s, enum core_result status)
{
	struct op *op;
	size_t n = 0;

	/* Held, so that the end of one does not start its successor, which
	 * would only be ended in the next round. */
	s->hold++;
	while ((op = TAILQ_FIRST(&s->ops)) != NULL) {
		op_finish_status(op, status);
		n++;
	}
	s->hold--;
	if (s->left_pending)
		scope_check(s);
	return n;
}

/* The next live op at or behind *slot, or NULL; *slot then is the one behind
 * it. */
static struct op *
next_live(struct op_owner *o, uint32_t *slot)
{
	while (o->n_ops > 0 && *slot < o->high) {
		struct op *op = &o->slots[(*slot)++];

		if (op->kind != OP_NONE)
			return op;
	}
	return NULL;
}

void
op_owner_abandon(struct op_owner *o)
{
	uint32_t slot = 0;
	struct op *op;

	while ((op = next_live(o, &slot)) != NULL) {
		struct op_source *source = op->source;

		detach(op);
		source_check(source);
	}
}

void
op_owner_each(struct op_owner *o, void (*fn)(struct op *, void *ctx), void *ctx)
{
	uint32_t slot = 0, left = o->n_ops;
	struct op *op;

	while (left-- > 0 && (op = next_live(o, &slot)) != NULL)
		fn(op, ctx);
}

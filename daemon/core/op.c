/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pending operations.
 *
 * Accept means owe.  op_start() takes all that the completion will need - the
 * record, and through ops->accept the bytes of the message - so that after it
 * nothing can keep the completion from being sent.
 *
 * The client numbers its operations: slot and generation.  Records live inside
 * pages of an array indexed by slot; finding one of a million costs one look in
 * the page table and one at the record, and there is no list of an owner's
 * operations to keep: the pages are it.
 *
 * Two lists, one record.  The scope (a handle) lists its operations in start
 * order, because cancelling "all of the handle" must end them in that order.
 * The source lists those who wait for it.
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

#include "common/macros.h"

_Static_assert(sizeof(void *) != 8 || sizeof(struct op) == 128,
	"a million of these is the design load");

struct op_page {
	uint32_t n_live;
	struct op slots[OP_PAGE_SLOTS];
};

static const char *const kind_names[_OP_KIND_MAX] = {
	[OP_NONE] = "none",
	[OP_STREAM_ADD] = "stream-add",
	[OP_STREAM_COMPLETE] = "stream-complete",
	[OP_PUBLISH_FILE] = "publish-file",
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
	for (uint32_t i = 0; i < o->n_pages; i++)
		free(o->pages[i]);
	free(o->pages);
	o->pages = NULL;
	o->n_pages = 0;
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

/* The page table grows to hold page number n. */
static bool
grow_pages(struct op_owner *o, uint32_t n)
{
	uint32_t want = MAX_OF(o->n_pages, 4);
	struct op_page **p;

	while (want <= n)
		want *= 2;
	p = realloc(o->pages, want * sizeof(p[0]));
	if (p == NULL)
		return false;
	for (uint32_t i = o->n_pages; i < want; i++)
		p[i] = NULL;
	o->pages = p;
	o->n_pages = want;
	return true;
}

static struct op_page *
page_get(struct op_owner *o, uint32_t n)
{
	if (n >= o->n_pages && !grow_pages(o, n))
		return NULL;
	if (o->pages[n] == NULL)
		o->pages[n] = calloc(1, sizeof(*o->pages[n]));
	return o->pages[n];
}

static void
slot_free(struct op_owner *o, uint32_t slot)
{
	struct op_page *page = o->pages[slot / OP_PAGE_SLOTS];

	page->slots[slot % OP_PAGE_SLOTS].kind = OP_NONE;
	o->n_ops--;
	/* The first page stays: most sessions never need another. */
	if (--page->n_live == 0 && slot / OP_PAGE_SLOTS != 0) {
		free(page);
		o->pages[slot / OP_PAGE_SLOTS] = NULL;
	}
}

enum core_result
op_start(struct op **ret_op, struct op_owner *o, struct op_scope *scope,
	uint64_t id, enum op_kind kind, uint32_t now_ds)
{
	uint32_t slot = (uint32_t)id;
	struct op_page *page;
	struct op *op;

	if (slot >= o->max_slots || id >> 32 == 0)
		return CORE_E_PROTOCOL;
	page = page_get(o, slot / OP_PAGE_SLOTS);
	if (page == NULL)
		return CORE_E_NO_MEMORY;
	op = &page->slots[slot % OP_PAGE_SLOTS];
	if (op->kind != OP_NONE)
		return CORE_E_PROTOCOL;
	*op = (struct op){
		.owner = o,
		.scope = scope,
		.id = id,
		.started_ds = now_ds,
		.kind = kind,
	};
	page->n_live++;
	o->n_ops++;
	if (!o->ops->accept(o, id)) {
		slot_free(o, slot);
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
	slot_free(op->owner, (uint32_t)op->id);
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

struct op *
op_find(struct op_owner *o, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct op_page *page;
	struct op *op;

	if (slot / OP_PAGE_SLOTS >= o->n_pages)
		return NULL;
	page = o->pages[slot / OP_PAGE_SLOTS];
	if (page == NULL)
		return NULL;
	op = &page->slots[slot % OP_PAGE_SLOTS];
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

/* The first live op of a page, or NULL. */
static struct op *
page_first(struct op_page *page)
{
	for (unsigned i = 0; i < OP_PAGE_SLOTS; i++)
		if (page->slots[i].kind != OP_NONE)
			return &page->slots[i];
	return NULL;
}

void
op_owner_abandon(struct op_owner *o)
{
	for (uint32_t i = 0; i < o->n_pages; i++) {
		struct op *op;

		/* The page goes with its last op. */
		while (o->pages[i] != NULL &&
			(op = page_first(o->pages[i])) != NULL) {
			struct op_source *source = op->source;

			detach(op);
			source_check(source);
		}
	}
}

void
op_owner_finish(struct op_owner *o, enum core_result status)
{
	for (uint32_t i = 0; i < o->n_pages; i++) {
		struct op *op;

		while (o->pages[i] != NULL &&
			(op = page_first(o->pages[i])) != NULL)
			op_finish_status(op, status);
	}
}

void
op_source_finish(struct op_source *s, const struct op_result *result)
{
	struct op *op;

	s->hold++;
	while ((op = TAILQ_FIRST(&s->waiters)) != NULL)
		op_finish(op, result);
	s->hold--;
	source_check(s);
}

void
op_owner_each(struct op_owner *o, void (*fn)(struct op *, void *ctx), void *ctx)
{
	for (uint32_t i = 0; i < o->n_pages; i++)
		for (unsigned k = 0; o->pages[i] != NULL && k < OP_PAGE_SLOTS;
			k++)
			if (o->pages[i]->slots[k].kind != OP_NONE)
				fn(&o->pages[i]->slots[k], ctx);
}

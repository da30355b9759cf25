/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A content being published: bytes come by AddToStream, are hashed by workers,
 * and become a publication when CompleteStream has been carried out.
 *
 * Operations queue up first in, first out.  The head is worked on, one job at a
 * time: a slice is copied out of the client's memory and hashed, or the
 * description is finished.  While a job runs the hasher belongs to it, and
 * "cur" is the operation that it runs for.  When that operation ends first
 * (cancelled, closed), stream_forget() clears cur; the job's result then finds
 * nobody:
 *
 *   an add that was hashed in part    the stream has failed, since the bytes
 *                                     cannot be taken back out
 *   a completion                      nothing happened: finishing does not
 *                                     change the hasher, adding may go on
 *
 * A stream closed while its job runs is kept until the job is done.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/publish.h"

#define STREAM_BUFFER (1024u * 1024u) /* one slice */

enum stream_state {
	STREAM_STREAMING,
	STREAM_COMPLETING, /* CompleteStream was accepted */
	STREAM_PUBLISHED,
	STREAM_FAILED,
};

struct stream_add {
	struct slice_feed feed;
	uint32_t hashed;
};

struct stream {
	struct publication_handle h;
	struct session *session; /* reference */
	enum stream_state state;
	enum core_result failure;
	uint64_t declared; /* 0: not known */
	uint64_t total;    /* bytes hashed */
	struct op_source queue;
	bool stepping;
	bool closed;
	bool busy;
	struct op *cur;
	/* The running job's. */
	struct core_job job;
	struct pccrc_pub *hasher;
	struct stream_add *add; /* NULL: finishing */
	uint64_t add_op;
	const uint8_t *source;
	uint8_t *buffer;
	struct server_key *key; /* while finishing */
	struct pccrc_desc *desc;
	int result;
};

static void stream_step(struct stream *);

static struct stream *
stream_of(struct handle *h)
{
	return container_of(h, struct stream, h.handle);
}

static struct stream *
stream_of_scope(struct op_scope *scope)
{
	return stream_of(container_of(scope, struct handle, scope));
}

static void
stream_fail(struct stream *st, enum core_result why)
{
	if (st->state != STREAM_FAILED) {
		st->state = STREAM_FAILED;
		st->failure = why;
	}
}

static void
add_free(struct stream *st, struct stream_add *add, uint64_t op)
{
	slice_done(&add->feed, st->session, op);
	free(add);
}

/* scope->forget: the op is about to end, for whatever reason. */
static void
stream_forget(struct op *op)
{
	struct stream *st = stream_of_scope(op->scope);
	struct stream_add *add = op->u.state;
	bool working = st->cur == op;

	if (working)
		st->cur = NULL;
	if (op->kind == OP_STREAM_COMPLETE) {
		if (st->state == STREAM_COMPLETING)
			st->state = STREAM_STREAMING;
		return;
	}
	/* The job still uses the slice; stream_job_done() frees it. */
	if (working)
		return;
	if (add->hashed > 0 && add->hashed < add->feed.total)
		stream_fail(st, CORE_E_ABORTED);
	add_free(st, add, op->id);
}

static void
stream_left(struct op_scope *scope)
{
	stream_step(stream_of_scope(scope));
}

static void
stream_destroy(struct stream *st)
{
	pccrc_pub_free(st->hasher);
	publication_unref(st->h.pub);
	quota_give(st->session->user, QUOTA_BUFFER_BYTES, STREAM_BUFFER);
	session_unref(st->session);
	free(st->buffer);
	free(st);
}

enum core_result
stream_open(struct session *s, const struct session_label *label,
	uint64_t length, uint32_t version, uint64_t *ret_handle)
{
	unsigned make = publication_make(s->service, version);
	enum core_result r;
	struct stream *st;

	if (make == 0)
		return CORE_E_BAD_PARAMETER;
	if (!quota_take(s->user, QUOTA_BUFFER_BYTES, STREAM_BUFFER))
		return CORE_E_NO_RESOURCES;
	st = calloc(1, sizeof(*st));
	if (st == NULL) {
		quota_give(s->user, QUOTA_BUFFER_BYTES, STREAM_BUFFER);
		return CORE_E_NO_MEMORY;
	}
	st->session = session_ref(s);
	st->declared = length;
	op_source_init(&st->queue, NULL);
	op_scope_init(&st->h.handle.scope, stream_left, stream_forget);
	st->hasher = pccrc_pub_new(make);
	st->buffer = malloc(STREAM_BUFFER);
	r = st->hasher != NULL && st->buffer != NULL ? CORE_OK
						     : CORE_E_NO_MEMORY;
	if (r == CORE_OK)
		r = publication_new(s, label, false, &st->h.pub);
	if (r == CORE_OK) {
		r = session_handle_add(s, &st->h.handle, HANDLE_STREAM);
		if (r != CORE_OK)
			publication_withdraw(st->h.pub);
	}
	if (r != CORE_OK) {
		stream_destroy(st);
		return r;
	}
	*ret_handle = st->h.handle.number;
	return CORE_OK;
}

void
stream_close(struct handle *h)
{
	struct stream *st = stream_of(h);

	if (st->state != STREAM_PUBLISHED)
		publication_withdraw(st->h.pub);
	session_handle_remove(st->session, h);
	if (st->busy)
		st->closed = true;
	else
		stream_destroy(st);
}

static void
add_run(struct env_job *e, struct bulk *bulk)
{
	struct core_job *job = container_of(e, struct core_job, env);
	struct stream *st = container_of(job, struct stream, job);
	uint32_t len = st->add->feed.len;

	/* Copied first: the client can change his half at any moment. */
	memcpy(st->buffer, st->source, len);
	st->result = pccrc_pub_feed(st->hasher, bulk, st->buffer, len);
}

static void
finish_run(struct env_job *e, struct bulk *bulk)
{
	struct core_job *job = container_of(e, struct core_job, env);
	struct stream *st = container_of(job, struct stream, job);

	st->result = pccrc_pub_finish(
		st->hasher, bulk, st->key->bytes, st->key->len, &st->desc);
}

/* libcrypto fails for want of memory and for nothing else. */
static enum core_result
result_of(int r)
{
	return r == 0 ? CORE_OK : CORE_E_NO_MEMORY;
}

/* The slice is hashed. */
static void
add_done(struct stream *st, struct op *op)
{
	struct stream_add *add = st->add;
	uint32_t len = add->feed.len;
	uint64_t id = op->id;

	slice_release(&add->feed, st->session, id);
	add->hashed += len;
	st->total += len;
	st->session->service->counters.bytes_published += len;
	if (add->hashed < add->feed.total)
		slice_want(&add->feed, st->session, id);
	else
		op_finish(op, &(struct op_result){.bytes = add->feed.total});
}

static void
finish_done(struct stream *st, struct op *op)
{
	enum core_result r;

	/* Unpublished meanwhile: that ended the op, so op is not here. */
	assert(st->h.pub->owner != NULL);
	r = publication_describe(st->h.pub, TAKE_PTR(st->desc));
	if (r != CORE_OK) {
		stream_fail(st, r);
		return;
	}
	st->state = STREAM_PUBLISHED;
	op_finish_status(op, CORE_OK);
}

static void
stream_job_done(struct core_job *job, bool ran)
{
	struct stream *st = container_of(job, struct stream, job);
	struct op *op = st->cur;
	enum core_result r = ran ? result_of(st->result) : CORE_E_ABORTED;

	st->busy = false;
	st->cur = NULL;
	st->key = service_key_unref(st->key);
	if (op == NULL && st->add != NULL) {
		stream_fail(st, CORE_E_ABORTED);
		add_free(st, st->add, st->add_op);
	}
	st->add = op == NULL ? NULL : st->add;
	if (st->closed) {
		pccrc_desc_free(st->desc);
		stream_destroy(st);
		return;
	}
	if (op != NULL && r != CORE_OK) {
		stream_fail(st, r);
	} else if (op != NULL && st->add != NULL) {
		add_done(st, op);
	} else if (op != NULL) {
		finish_done(st, op);
	}
	st->desc = pccrc_desc_free(st->desc);
	stream_step(st);
}

static void
start_job(struct stream *st, struct op *op,
	void (*run)(struct env_job *, struct bulk *))
{
	st->cur = op;
	st->busy = true;
	service_job(st->session->service, &st->job, run, stream_job_done,
		st->session->identity.uid);
}

/* Starts what the op at the head needs; false: it has to wait. */
static bool
step_add(struct stream *st, struct op *op)
{
	struct stream_add *add = op->u.state;
	uint64_t rest = add->feed.total - add->hashed;
	enum core_result r;

	if (st->declared != 0 && rest > st->declared - st->total) {
		stream_fail(st, CORE_E_OUT_OF_BOUNDS);
		return true;
	}
	if (!add->feed.present)
		return false;
	r = publication_grow(st->h.pub, st->total + add->feed.len);
	if (r != CORE_OK) {
		stream_fail(st, r);
		return true;
	}
	st->add = add;
	st->add_op = op->id;
	st->source = slice_bytes(&add->feed, st->session);
	start_job(st, op, add_run);
	return false;
}

static bool
step_complete(struct stream *st, struct op *op)
{
	if (st->total == 0 ||
		(st->declared != 0 && st->declared != st->total)) {
		stream_fail(st, CORE_E_BAD_DATA);
		return true;
	}
	st->add = NULL;
	st->key = service_key_ref(st->session->service);
	start_job(st, op, finish_run);
	return false;
}

/* Goes on with the head of the queue, as far as that is possible now.  Ends of
 * ops lead back here (stream_left), which "stepping" cuts short: thousands may
 * be queued. */
static void
stream_step(struct stream *st)
{
	struct op *op;
	bool on = true;

	if (st->stepping)
		return;
	st->stepping = true;
	while (on && !st->busy &&
		(op = TAILQ_FIRST(&st->queue.waiters)) != NULL) {
		if (st->state == STREAM_FAILED)
			op_finish_status(op, st->failure);
		else if (op->kind == OP_STREAM_ADD)
			on = step_add(st, op);
		else
			on = step_complete(st, op);
	}
	st->stepping = false;
}

static enum core_result
check_submit(const struct stream *st)
{
	if (st->h.pub->owner == NULL)
		return CORE_E_INVALIDATED;
	if (st->state == STREAM_FAILED)
		return st->failure;
	return st->state == STREAM_STREAMING ? CORE_OK
					     : CORE_E_ALREADY_COMPLETED;
}

enum core_result
stream_submit_add(struct handle *h, uint64_t id, uint32_t total,
	const struct session_slice *slice)
{
	struct stream *st = stream_of(h);
	enum core_result r = check_submit(st);
	struct stream_add *add;
	struct op *op;

	if (r != CORE_OK)
		return r;
	add = calloc(1, sizeof(*add));
	if (add == NULL)
		return CORE_E_NO_MEMORY;
	r = slice_init(&add->feed, st->session, total, slice);
	if (r == CORE_OK)
		r = session_op_start(
			st->session, &h->scope, id, OP_STREAM_ADD, &op);
	if (r != CORE_OK) {
		slice_refuse(&add->feed, st->session);
		free(add);
		return r;
	}
	op->u.state = add;
	op_wait(op, &st->queue);
	stream_step(st);
	return CORE_OK;
}

enum core_result
stream_submit_complete(struct handle *h, uint64_t id)
{
	struct stream *st = stream_of(h);
	enum core_result r = check_submit(st);
	struct op *op;

	if (r == CORE_OK)
		r = session_op_start(
			st->session, &h->scope, id, OP_STREAM_COMPLETE, &op);
	if (r != CORE_OK)
		return r;
	st->state = STREAM_COMPLETING;
	op_wait(op, &st->queue);
	stream_step(st);
	return CORE_OK;
}

enum core_result
stream_feed(struct op *op, const struct session_slice *slice)
{
	struct stream *st = stream_of_scope(op->scope);
	struct stream_add *add = op->u.state;
	enum core_result r = slice_next(&add->feed, st->session, slice);

	if (r == CORE_OK) {
		stream_step(st);
	} else if (r == CORE_E_NO_MEMORY) {
		stream_fail(st, r);
		stream_step(st);
		r = CORE_OK;
	}
	return r;
}

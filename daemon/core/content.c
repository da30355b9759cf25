/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A content handle and the feeding of its content information.
 *
 * AddContentInformation and CompleteContentInformation queue up, first in,
 * first out.  Slices of an add go into the parser as they come, on the loop:
 * they are small (the information is half a thousandth of the content) and the
 * parser only looks at counts.  An add that is cancelled half way is taken back
 * out (rollback), so it counts wholly or not at all.  Completing hashes whole
 * block lists, and makes the names by which the store knows segments and
 * blocks; many at once that is cheap, one by one it would cost each read more
 * than finding its block.  It is a worker's job; while it runs the parser
 * belongs to it.
 *
 * A refusal puts the handle into the failed state: every later call on it gets
 * the same answer, only closing helps.
 */
#include "daemon/core/content.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "daemon/core/discover.h"
#include "daemon/core/fetch.h"

/* Looked at from the cursor on, to tell a flash crowd: 64 MiB of version 2. */
#define CROWD_SEGMENTS 1024u

struct ci_add {
	struct slice_feed feed;
	size_t base; /* bytes in the parser before this add */
	bool started;
};

struct complete_job {
	struct core_job job;
	struct content *content;
	struct pccrc_parser *parser;
	struct pccrc_info *info;
	uint8_t *ids;
	uint8_t (*claims)[STORE_CLAIM_SIZE];
	int result;
};

static void feed_step(struct content *);

struct content *
content_ref(struct content *c)
{
	c->refs++;
	return c;
}

struct content *
content_unref(struct content *c)
{
	if (c == NULL || --c->refs > 0)
		return NULL;
	content_stages_drop(c);
	fetch_content_free(c);
	pccrc_parser_free(c->parser);
	pccrc_info_unref(c->info);
	free(c->ids);
	free(c->claims);
	quota_give(c->session->user, QUOTA_BUFFER_BYTES, c->counted);
	session_unref(c->session);
	free(c);
	return NULL;
}

/* Counts n bytes from now on instead of what was counted. */
static bool
count_to(struct content *c, uint64_t n)
{
	struct quota_user *user = c->session->user;

	if (n > c->counted &&
		!quota_take(user, QUOTA_BUFFER_BYTES, n - c->counted))
		return false;
	if (n < c->counted)
		quota_give(user, QUOTA_BUFFER_BYTES, c->counted - n);
	c->counted = n;
	return true;
}

static void
fail(struct content *c, enum core_result why)
{
	if (c->state != CONTENT_FAILED) {
		c->state = CONTENT_FAILED;
		c->failure = why;
	}
}

static enum core_result
refusal(int r)
{
	switch (r) {
	case PCCRC_E_BAD_VERSION:
		return CORE_E_CI_VERSION;
	case -EMSGSIZE: /* over the limit of one handle */
		return CORE_E_NO_RESOURCES;
	case -ENOMEM:
	case -EIO: /* libcrypto, for want of memory */
		return CORE_E_NO_MEMORY;
	default:
		return CORE_E_CI_MALFORMED;
	}
}

static void
ci_forget(struct content *c, struct op *op)
{
	struct ci_add *add = op->u.state;

	if (c->feed_cur == op)
		c->feed_cur = NULL;
	if (op->kind == OP_CI_COMPLETE) {
		if (c->state == CONTENT_COMPLETING)
			c->state = CONTENT_FEEDING;
		return;
	}
	/* Taken back unless it was whole. */
	if (add->started &&
		(add->feed.received < add->feed.total || add->feed.present) &&
		c->state != CONTENT_FAILED) {
		if (pccrc_parser_rollback(c->parser, add->base) < 0)
			fail(c, CORE_E_NO_MEMORY);
		count_to(c, add->base);
	}
	slice_done(&add->feed, c->session, op->id);
	free(add);
}

static void
content_forget(struct op *op)
{
	struct content *c = content_of_op(op);

	switch (op->kind) {
	case OP_CI_ADD:
	case OP_CI_COMPLETE:
		ci_forget(c, op);
		break;
	case OP_DATA_ADD:
		content_data_forget(op);
		break;
	default:
		content_read_forget(op);
		break;
	}
}

static void
content_left(struct op_scope *scope)
{
	struct content *c =
		content_of_handle(container_of(scope, struct handle, scope));

	feed_step(c);
	content_stream_step(c);
}

enum core_result
content_open(struct session *s, const uint8_t *tag, uint64_t *ret_handle)
{
	struct content *c = calloc(1, sizeof(*c));
	enum core_result r;

	if (c == NULL)
		return CORE_E_NO_MEMORY;
	c->refs = 1;
	c->session = session_ref(s);
	c->owner.uid = s->identity.uid;
	memcpy(c->owner.tag, tag, SESSION_TAG_SIZE);
	TAILQ_INIT(&c->stages);
	op_source_init(&c->feed_queue, NULL);
	op_source_init(&c->stream_queue, NULL);
	op_scope_init(&c->handle.scope, content_left, content_forget);
	c->parser = pccrc_parser_new(
		s->service->settings.limits.content_info_bytes);
	r = c->parser != NULL
		? session_handle_add(s, &c->handle, HANDLE_CONTENT)
		: CORE_E_NO_MEMORY;
	if (r != CORE_OK) {
		content_unref(c);
		return r;
	}
	*ret_handle = c->handle.number;
	return CORE_OK;
}

void
content_close(struct handle *h)
{
	struct content *c = content_of_handle(h);

	c->closed = true;
	content_stages_drop(c);
	content_ahead_drop(c);
	session_handle_remove(c->session, h);
	content_unref(c);
}

enum core_result
content_check_ready(const struct content *c)
{
	if (c->state == CONTENT_FAILED)
		return c->failure;
	return c->state == CONTENT_READY ? CORE_OK : CORE_E_NOT_INITIALIZED;
}

/* Claims from one segment's first to the next one's. */
static size_t
claim_stride(const struct pccrc_info *info)
{
	return info->version == 1 ? PCCRC_SEGMENT_BLOCKS : 1;
}

static size_t
claim_count(const struct pccrc_info *info)
{
	size_t n = info->n_segments;

	return (n - 1) * claim_stride(info) + info->segments[n - 1].n_blocks;
}

/* The tag that the store keeps with a block: of the secret, the block's index
 * and hash, and of its length, which nothing proves - whoever describes another
 * length is to find nothing, instead of finding a block that looks damaged. */
static void
claims_mix_lengths(
	const struct pccrc_info *info, uint8_t (*claims)[STORE_CLAIM_SIZE])
{
	for (size_t s = 0; s < info->n_segments; s++) {
		const struct pccrc_segment *seg = &info->segments[s];

		for (uint32_t b = 0; b < seg->n_blocks; b++) {
			uint32_t len = pccrc_block_len(info, seg, b);
			uint8_t *claim = claims[s * claim_stride(info) + b];

			for (size_t i = 0; i < sizeof(len); i++)
				claim[i] ^= (uint8_t)(len >> 8 * i);
		}
	}
}

/* Worker. */
static int
make_names(struct complete_job *j, struct bulk *bulk)
{
	const struct pccrc_info *info = j->info;
	size_t n = info->n_segments;
	int r;

	j->ids = malloc(n * info->hash_size);
	j->claims = calloc(claim_count(info), sizeof(j->claims[0]));
	if (j->ids == NULL || j->claims == NULL)
		return err_new(-ENOMEM);
	r = pccrc_segment_ids(bulk, info, 0, n, j->ids);
	if (r == 0)
		r = pccrc_claims(bulk, info, claim_stride(info), j->claims);
	if (r == 0)
		claims_mix_lengths(info, j->claims);
	return err_pass(r);
}

static void
complete_run(struct env_job *e, struct bulk *bulk)
{
	struct complete_job *j =
		container_of(container_of(e, struct core_job, env),
			struct complete_job, job);

	j->result = pccrc_parser_finish(j->parser, bulk, &j->info);
	if (j->result == 0)
		j->result = make_names(j, bulk);
}

static void
become_ready(struct content *c, struct complete_job *j)
{
	const struct pccrc_info *info = j->info;

	if (!count_to(c,
		    info->n_bytes +
			    info->n_segments *
				    (sizeof(info->segments[0]) +
					    info->hash_size) +
			    claim_count(info) * sizeof(c->claims[0]))) {
		fail(c, CORE_E_NO_RESOURCES);
		return;
	}
	c->info = pccrc_info_ref(j->info);
	c->ids = TAKE_PTR(j->ids);
	c->claims = TAKE_PTR(j->claims);
	c->cursor = info->range_start;
	c->state = CONTENT_READY;
	c->parser = pccrc_parser_free(c->parser);
}

static void
complete_job_free(struct complete_job *j)
{
	pccrc_info_unref(j->info);
	free(j->ids);
	free(j->claims);
	free(j);
}

static void
complete_done(struct core_job *job, bool ran)
{
	struct complete_job *j = container_of(job, struct complete_job, job);
	struct content *c = j->content;
	struct op *op = c->feed_cur;

	c->feed_busy = false;
	c->feed_cur = NULL;
	c->parser = j->parser;
	if (op != NULL && ran && j->result == 0)
		become_ready(c, j);
	else if (op != NULL)
		fail(c, ran ? refusal(j->result) : CORE_E_ABORTED);
	complete_job_free(j);
	if (op != NULL)
		op_finish_status(
			op, c->state == CONTENT_READY ? CORE_OK : c->failure);
	if (!c->closed)
		feed_step(c);
	content_unref(c);
}

static bool
step_complete(struct content *c, struct op *op)
{
	struct complete_job *j = calloc(1, sizeof(*j));
	struct service *svc = c->session->service;

	if (j == NULL) {
		fail(c, CORE_E_NO_MEMORY);
		return true;
	}
	j->content = content_ref(c);
	j->parser = TAKE_PTR(c->parser);
	c->feed_cur = op;
	c->feed_busy = true;
	service_job(svc, &j->job, complete_run, complete_done,
		c->session->identity.uid);
	return false;
}

static bool
step_add(struct content *c, struct op *op)
{
	struct ci_add *add = op->u.state;
	int r;

	if (!add->feed.present)
		return false;
	if (!add->started) {
		add->started = true;
		add->base = pccrc_parser_fed(c->parser);
	}
	if (!count_to(c, pccrc_parser_fed(c->parser) + add->feed.len)) {
		fail(c, CORE_E_NO_RESOURCES);
		return true;
	}
	/* The parser copies before it looks. */
	r = pccrc_parser_feed(
		c->parser, slice_bytes(&add->feed, c->session), add->feed.len);
	if (r != 0) {
		fail(c, refusal(r));
		return true;
	}
	slice_release(&add->feed, c->session, op->id);
	if (slice_want(&add->feed, c->session, op->id))
		return false;
	op_finish(op, &(struct op_result){.bytes = add->feed.total});
	return true;
}

static void
feed_step(struct content *c)
{
	struct op *op;
	bool on = true;

	if (c->feed_stepping)
		return;
	c->feed_stepping = true;
	while (on && !c->feed_busy &&
		(op = TAILQ_FIRST(&c->feed_queue.waiters)) != NULL) {
		if (c->state == CONTENT_FAILED)
			op_finish_status(op, c->failure);
		else if (op->kind == OP_CI_ADD)
			on = step_add(c, op);
		else
			on = step_complete(c, op);
	}
	c->feed_stepping = false;
}

static enum core_result
check_feeding(const struct content *c)
{
	if (c->state == CONTENT_FAILED)
		return c->failure;
	return c->state <= CONTENT_FEEDING ? CORE_OK : CORE_E_ALREADY_COMPLETED;
}

enum core_result
content_ci_add(struct handle *h, uint64_t id, uint32_t total,
	const struct session_slice *slice)
{
	struct content *c = content_of_handle(h);
	enum core_result r = check_feeding(c);
	struct ci_add *add;
	struct op *op;

	if (r != CORE_OK)
		return r;
	add = calloc(1, sizeof(*add));
	if (add == NULL)
		return CORE_E_NO_MEMORY;
	r = slice_init(&add->feed, c->session, total, slice);
	if (r == CORE_OK)
		r = session_op_start(c->session, &h->scope, id, OP_CI_ADD, &op);
	if (r != CORE_OK) {
		slice_refuse(&add->feed, c->session);
		free(add);
		return r;
	}
	op->u.state = add;
	c->state = CONTENT_FEEDING;
	op_wait(op, &c->feed_queue);
	feed_step(c);
	return CORE_OK;
}

enum core_result
content_ci_complete(struct handle *h, uint64_t id)
{
	struct content *c = content_of_handle(h);
	enum core_result r = check_feeding(c);
	struct op *op;

	if (r == CORE_OK)
		r = session_op_start(
			c->session, &h->scope, id, OP_CI_COMPLETE, &op);
	if (r != CORE_OK)
		return r;
	c->state = CONTENT_COMPLETING;
	op_wait(op, &c->feed_queue);
	feed_step(c);
	return CORE_OK;
}

enum core_result
content_feed(struct op *op, const struct session_slice *slice)
{
	struct content *c = content_of_op(op);
	struct ci_add *add = op->u.state;
	enum core_result r;

	if (op->kind == OP_DATA_ADD)
		return content_data_feed(op, slice);
	r = slice_next(&add->feed, c->session, slice);
	if (r == CORE_E_NO_MEMORY) {
		fail(c, r);
		r = CORE_OK;
	}
	if (r == CORE_OK)
		feed_step(c);
	return r;
}

const uint8_t *
content_segment_id(const struct content *c, size_t segment)
{
	return c->ids + segment * c->info->hash_size;
}

bool
content_flash_crowd(const struct content *c)
{
	struct discover *d = service_discover(c->session->service);
	size_t n, at;

	/* Nearly always, no segment at all is wanted by many. */
	if (c->state != CONTENT_READY || c->info->hash_size != PCCRD_ID_SIZE ||
		!discover_crowd_any(d))
		return false;
	n = c->info->n_segments;
	at = pccrc_segment_at(c->info, c->cursor);
	for (size_t i = 0; i < n && i < CROWD_SEGMENTS; i++)
		if (discover_crowd(d, content_segment_id(c, (at + i) % n)))
			return true;
	return false;
}

void
content_ref_block(const struct content *c, size_t segment, uint32_t block,
	struct store_ref *ret_ref)
{
	size_t claim = segment * claim_stride(c->info) + block;

	*ret_ref = (struct store_ref){
		.id = content_segment_id(c, segment),
		.id_len = (uint8_t)c->info->hash_size,
		.index = block,
		.status = STORE_MISSING,
	};
	memcpy(ret_ref->claim, c->claims[claim], sizeof(ret_ref->claim));
}

bool
content_locate(
	const struct content *c, uint64_t offset, struct content_pos *ret_pos)
{
	size_t i = pccrc_segment_at(c->info, offset);
	const struct pccrc_segment *seg;
	uint32_t block;

	if (i == c->info->n_segments)
		return false;
	seg = &c->info->segments[i];
	block = c->info->version == 1
		? (uint32_t)((offset - seg->start) / PCCRC_BLOCK_SIZE)
		: 0;
	*ret_pos = (struct content_pos){
		.segment = i,
		.block = block,
		.start = seg->start + (uint64_t)block * PCCRC_BLOCK_SIZE,
		.len = pccrc_block_len(c->info, seg, block),
		.listed = pccrc_block_hash(c->info, seg, block) != NULL,
	};
	return true;
}

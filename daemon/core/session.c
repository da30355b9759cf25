/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: the checks that every call shares, handles, and the way from a
 * handle number to the module that does the work.
 *
 * Teardown (session_free), in this order: operations end (told or not), handles
 * are closed, publications are withdrawn, counts are given back, the area loses
 * our reference (workers may hold others).
 */
#include "daemon/core/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/close.h"
#include "common/macros.h"
#include "daemon/core/content.h"
#include "daemon/core/publish.h"
#include "daemon/core/service_internal.h"

static struct session *
owner_session(struct op_owner *o)
{
	return container_of(o, struct session, owner);
}

static void
count_end(struct service_counters *c, enum core_result status)
{
	c->operations_finished++;
	switch (status) {
	case CORE_E_ABORTED:
		c->operations_cancelled++;
		break;
	case CORE_E_TIMEOUT:
		c->operations_timed_out++;
		break;
	case CORE_E_MISSING_DATA:
		c->operations_missing++;
		break;
	case CORE_E_INVALIDATED:
		c->operations_invalidated++;
		break;
	default:
		break;
	}
}

static void
owner_complete(struct op_owner *o, uint64_t id, const struct op_result *result)
{
	struct session *s = owner_session(o);

	quota_give(s->user, QUOTA_OPERATIONS, 1);
	count_end(&s->service->counters, result->status);
	s->ops->complete(s->ctx, id, result);
}

static bool
owner_accept(struct op_owner *o, uint64_t id)
{
	struct session *s = owner_session(o);

	return s->ops->accept(s->ctx, id);
}

static const struct op_owner_ops owner_ops = {
	.complete = owner_complete,
	.accept = owner_accept,
};

/* A Flush ends before its store request: the request finds nobody to tell. */
static void
flush_forget(struct op *op)
{
	struct flush *f = op->u.state;

	if (f != NULL)
		flush_detach(f);
}

enum core_result
session_new(struct session **ret_session, struct service *svc,
	const struct identity *identity, struct area *area,
	const struct session_ops *ops, void *ctx)
{
	struct session *s = calloc(1, sizeof(*s));
	struct quota_user *user;

	if (s == NULL)
		return CORE_E_NO_MEMORY;
	user = quota_user_get(svc->quota, identity->uid);
	if (user == NULL) {
		free(s);
		return CORE_E_NO_MEMORY;
	}
	if (!quota_take(user, QUOTA_SESSIONS, 1)) {
		quota_user_put(user);
		free(s);
		return CORE_E_NO_RESOURCES;
	}
	s->refs = 1;
	s->service = svc;
	s->ops = ops;
	s->ctx = ctx;
	s->number = ++svc->next_session;
	s->started_ms = service_now_ms(svc);
	s->identity = *identity;
	s->roles = policy_roles(&svc->settings.policy, identity);
	s->user = user;
	s->area = area;
	op_owner_init(&s->owner, &owner_ops,
		(uint32_t)MIN_OF(svc->settings.limits.max[QUOTA_OPERATIONS],
			UINT32_MAX));
	op_scope_init(&s->own_scope, NULL, flush_forget);
	op_source_init(&s->room, NULL);
	TAILQ_INIT(&s->handles);
	TAILQ_INIT(&s->publications);
	LIST_INIT(&s->calls);
	TAILQ_INSERT_TAIL(&svc->sessions, s, link);
	svc->counters.sessions_opened++;
	*ret_session = s;
	return CORE_OK;
}

static void
close_handle(struct handle *h)
{
	switch (h->type) {
	case HANDLE_CONTENT:
		content_close(h);
		break;
	case HANDLE_STREAM:
		stream_close(h);
		break;
	case HANDLE_FILE:
		file_close(h);
		break;
	case HANDLE_INFO:
		info_close(h);
		break;
	}
}

struct session *
session_free(struct session *s, bool tell)
{
	struct handle *h;

	if (s == NULL)
		return NULL;
	call_answer_all(s, CORE_E_BAD_HANDLE, tell);
	if (tell) {
		session_cancel_handles(s, NULL, NULL, CORE_E_ABORTED);
		op_cancel_scope(&s->own_scope, CORE_E_ABORTED);
		assert(s->owner.n_ops == 0);
	} else {
		quota_give(s->user, QUOTA_OPERATIONS, s->owner.n_ops);
		s->service->counters.operations_abandoned += s->owner.n_ops;
		op_owner_abandon(&s->owner);
	}
	while ((h = TAILQ_FIRST(&s->handles)) != NULL)
		close_handle(h);
	publication_withdraw_all(s);
	TAILQ_REMOVE(&s->service->sessions, s, link);
	op_owner_done(&s->owner);
	handle_table_done(&s->table);
	quota_give(s->user, QUOTA_SESSIONS, 1);
	s->closed = true;
	return session_unref(s);
}

struct session *
session_ref(struct session *s)
{
	s->refs++;
	return s;
}

struct session *
session_unref(struct session *s)
{
	if (s == NULL || --s->refs > 0)
		return NULL;
	quota_user_put(s->user);
	area_unref(s->area);
	free(s->identity.gids);
	free(s);
	return NULL;
}

void
session_cancel_handles(struct session *s,
	bool (*match)(const struct handle *, const void *arg), const void *arg,
	enum core_result status)
{
	struct handle *h, *next;

	/* A file publication's handle goes with its operation. */
	for (h = TAILQ_FIRST(&s->handles); h != NULL; h = next) {
		next = TAILQ_NEXT(h, link);
		if (match == NULL || match(h, arg))
			op_cancel_scope(&h->scope, status);
	}
}

uint64_t
session_number(const struct session *s)
{
	return s->number;
}

const struct identity *
session_identity(const struct session *s)
{
	return &s->identity;
}

unsigned
session_roles(const struct session *s)
{
	return s->roles;
}

struct op_owner *
session_owner(struct session *s)
{
	return &s->owner;
}

size_t
session_handles(const struct session *s)
{
	return s->table.n_live;
}

uint64_t
session_started_ms(const struct session *s)
{
	return s->started_ms;
}

static enum core_result
check_session(const struct session *s, unsigned role)
{
	if (s->service->status == SERVICE_DISABLED || !(s->roles & role))
		return CORE_E_DISABLED;
	if (s->service->status != SERVICE_AVAILABLE)
		return CORE_E_UNAVAILABLE;
	return CORE_OK;
}

static enum core_result
check_handle(const struct session *s, const struct handle *h, unsigned role)
{
	enum core_result r;

	if (h == NULL)
		return CORE_E_BAD_HANDLE;
	r = check_session(s, role);
	if (r == CORE_OK && h->epoch != s->service->epoch)
		return CORE_E_INVALIDATED;
	return r;
}

enum core_result
session_op_start(struct session *s, struct op_scope *scope, uint64_t id,
	enum op_kind kind, struct op **ret_op)
{
	enum core_result r;

	if (!quota_take(s->user, QUOTA_OPERATIONS, 1))
		return CORE_E_NO_RESOURCES;
	r = op_start(
		ret_op, &s->owner, scope, id, kind, service_now_ds(s->service));
	if (r != CORE_OK)
		quota_give(s->user, QUOTA_OPERATIONS, 1);
	else
		s->service->counters.operations_started++;
	return r;
}

enum core_result
session_handle_add(struct session *s, struct handle *h, enum handle_type type)
{
	if (!quota_take(s->user, QUOTA_CONTENTS, 1))
		return CORE_E_NO_RESOURCES;
	h->type = type;
	h->epoch = s->service->epoch;
	h->session = s;
	if (type != HANDLE_FILE && !handle_add(&s->table, h)) {
		quota_give(s->user, QUOTA_CONTENTS, 1);
		return CORE_E_NO_MEMORY;
	}
	TAILQ_INSERT_TAIL(&s->handles, h, link);
	publication_handle_added(h);
	return CORE_OK;
}

void
session_handle_remove(struct session *s, struct handle *h)
{
	assert(TAILQ_EMPTY(&h->scope.ops));
	TAILQ_REMOVE(&s->handles, h, link);
	publication_handle_removed(h);
	if (h->number != 0)
		handle_remove(&s->table, h);
	quota_give(s->user, QUOTA_CONTENTS, 1);
	h->session = NULL;
}

enum core_result
session_return(struct session *s, uint32_t offset, uint32_t len)
{
	if (!area_return(s->area, offset, len))
		return CORE_E_PROTOCOL;
	content_room(s);
	return CORE_OK;
}

enum core_result
session_feed(struct session *s, uint64_t id, const struct session_slice *slice)
{
	struct op *op = op_find(&s->owner, id);

	if (op == NULL) {
		/* It has ended while this was under way. */
		if (slice->inline_data == NULL)
			s->ops->released(s->ctx, id, slice->offset, slice->len);
		return CORE_OK;
	}
	switch (op->kind) {
	case OP_STREAM_ADD:
		return stream_feed(op, slice);
	case OP_CI_ADD:
	case OP_DATA_ADD:
		return content_feed(op, slice);
	default:
		return CORE_E_PROTOCOL;
	}
}

/* A handle that has just been closed: found whatever the status. */
static enum core_result
close_by_number(struct session *s, uint64_t number, enum handle_type type)
{
	struct handle *h = handle_get(&s->table, number, type);

	if (h == NULL)
		return CORE_E_BAD_HANDLE;
	op_cancel_scope(&h->scope, CORE_E_ABORTED);
	close_handle(h);
	return CORE_OK;
}

enum core_result
session_publish_open(struct session *s, const struct session_label *label,
	uint64_t length, uint32_t version, uint64_t *ret_handle)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);

	if (r != CORE_OK)
		return r;
	return stream_open(s, label, length, version, ret_handle);
}

enum core_result
session_stream_close(struct session *s, uint64_t handle)
{
	return close_by_number(s, handle, HANDLE_STREAM);
}

enum core_result
session_unpublish(
	struct session *s, uint64_t request, const struct session_label *label)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);
	struct publication *pub;

	if (r != CORE_OK)
		return r;
	pub = publication_find(s->service, s->identity.uid, label);
	r = standing_unpublish(s, request, label);
	/* One that is being published may stand in place of an older one. */
	if (pub == NULL || (r != CORE_E_NOT_FOUND && r != CORE_LATER))
		return r;
	publication_ref(pub);
	publication_cancel(pub, s, CORE_E_ABORTED);
	/* What other sessions of this user have pending on it is stale now. */
	publication_cancel(pub, NULL, CORE_E_INVALIDATED);
	publication_withdraw(pub);
	publication_unref(pub);
	return r == CORE_LATER ? r : CORE_OK;
}

enum core_result
session_info_open(struct session *s, uint64_t request,
	const struct session_label *label, const struct session_range *range,
	const struct session_versions *versions, uint64_t *ret_handle)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);
	struct info_wanted wanted = {*range, *versions};

	if (r != CORE_OK)
		return r;
	return info_open(s, request, label, &wanted, ret_handle);
}

enum core_result
session_info_close(struct session *s, uint64_t handle)
{
	return close_by_number(s, handle, HANDLE_INFO);
}

enum core_result
session_server_cancel(
	struct session *s, const struct session_label *label, uint64_t id)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);
	struct publication *pub;
	struct handle *h;
	struct op *op;

	if (r != CORE_OK)
		return r;
	op = op_find(&s->owner, id);
	if (op == NULL || op->scope == &s->own_scope)
		return CORE_E_OPERATION_NOT_FOUND;
	h = container_of(op->scope, struct handle, scope);
	pub = publication_of(h);
	if (pub == NULL || !publication_is(pub, label))
		return CORE_E_OPERATION_NOT_FOUND;
	op_finish_status(op, CORE_E_ABORTED);
	return CORE_OK;
}

enum core_result
session_stream_add(struct session *s, uint64_t op, uint64_t handle,
	uint32_t total, const struct session_slice *slice)
{
	struct handle *h = handle_get(&s->table, handle, HANDLE_STREAM);
	enum core_result r = check_handle(s, h, ROLE_PUBLISHER);

	return r == CORE_OK ? stream_submit_add(h, op, total, slice) : r;
}

enum core_result
session_stream_complete(struct session *s, uint64_t op, uint64_t handle)
{
	struct handle *h = handle_get(&s->table, handle, HANDLE_STREAM);
	enum core_result r = check_handle(s, h, ROLE_PUBLISHER);

	return r == CORE_OK ? stream_submit_complete(h, op) : r;
}

enum core_result
session_publish_file(struct session *s, uint64_t op,
	const struct session_label *label, int fd,
	const struct session_range *range, uint32_t version)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);

	if (r != CORE_OK) {
		fd_close_foreign(fd, s->identity.uid);
		return r;
	}
	return file_publish(s, op, label, fd, range, version);
}

enum core_result
session_publish_standing(struct session *s, uint64_t op,
	const struct session_label *path, int fd, unsigned versions)
{
	enum core_result r = check_session(s, ROLE_PUBLISHER);

	if (r == CORE_OK && s->service->hashes == NULL)
		r = CORE_E_UNAVAILABLE;
	if (r != CORE_OK) {
		fd_close_foreign(fd, s->identity.uid);
		return r;
	}
	return standing_publish(s, op, path, fd, versions);
}

enum core_result
session_retrieve(struct session *s, uint64_t op, uint64_t handle, uint32_t len)
{
	struct handle *h = handle_get(&s->table, handle, HANDLE_INFO);
	enum core_result r = check_handle(s, h, ROLE_PUBLISHER);

	return r == CORE_OK ? info_submit_retrieve(h, op, len) : r;
}

enum core_result
session_content_open(
	struct session *s, const uint8_t *tag, uint64_t *ret_handle)
{
	enum core_result r = check_session(s, ROLE_CLIENT);

	return r == CORE_OK ? content_open(s, tag, ret_handle) : r;
}

enum core_result
session_content_close(struct session *s, uint64_t handle)
{
	return close_by_number(s, handle, HANDLE_CONTENT);
}

/* The content handle of a call, checked. */
static enum core_result
content_of(struct session *s, uint64_t number, struct handle **ret_handle)
{
	*ret_handle = handle_get(&s->table, number, HANDLE_CONTENT);
	return check_handle(s, *ret_handle, ROLE_CLIENT);
}

enum core_result
session_content_info(struct session *s, uint64_t handle, bool *ret_flash_crowd)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	if (r == CORE_OK)
		*ret_flash_crowd = content_flash_crowd(content_of_handle(h));
	return r;
}

void
session_expect(struct session *s, const uint64_t *ops, size_t n)
{
	op_expect(&s->owner, ops, n);
}

enum core_result
session_client_cancel(struct session *s, uint64_t handle, uint64_t op)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	if (r != CORE_OK)
		return r;
	if (op != 0)
		return op_cancel(&s->owner, &h->scope, op);
	if (op_cancel_scope(&h->scope, CORE_E_ABORTED) == 0)
		return CORE_E_OPERATION_NOT_FOUND;
	return CORE_OK;
}

enum core_result
session_ci_add(struct session *s, uint64_t op, uint64_t handle, uint32_t total,
	const struct session_slice *slice)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	return r == CORE_OK ? content_ci_add(h, op, total, slice) : r;
}

enum core_result
session_ci_complete(struct session *s, uint64_t op, uint64_t handle)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	return r == CORE_OK ? content_ci_complete(h, op) : r;
}

enum core_result
session_data_add(struct session *s, uint64_t op, uint64_t handle,
	uint64_t offset, uint32_t total, const struct session_slice *slice)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	return r == CORE_OK ? content_data_add(h, op, offset, total, slice) : r;
}

enum core_result
session_block_read(struct session *s, uint64_t op, uint64_t handle,
	uint64_t offset, uint32_t len, uint32_t timeout_ms)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	if (r != CORE_OK)
		return r;
	return content_read(h, op, OP_BLOCK_READ, offset, len, timeout_ms);
}

enum core_result
session_stream_read(struct session *s, uint64_t op, uint64_t handle,
	uint32_t len, uint32_t timeout_ms)
{
	struct handle *h;
	enum core_result r = content_of(s, handle, &h);

	if (r != CORE_OK)
		return r;
	return content_read(h, op, OP_STREAM_READ, 0, len, timeout_ms);
}

enum core_result
session_flush(struct session *s, uint64_t op, const uint8_t *tag)
{
	enum core_result r = check_session(s, ROLE_CLIENT);

	return r == CORE_OK ? flush_start(s, op, tag) : r;
}

enum core_result
session_admin_cancel(struct session *s, uint64_t op)
{
	return op_cancel(&s->owner, NULL, op);
}

struct view_walk {
	struct session *session;
	void (*fn)(const struct session_op_view *, void *ctx);
	void *ctx;
};

static void
view_op(struct op *op, void *arg)
{
	struct view_walk *w = arg;
	struct session *s = w->session;
	uint32_t age_ds = service_now_ds(s->service) - op->started_ds;
	struct session_op_view v = {
		.id = op->id,
		.kind = op->kind,
		.age_ms = (uint64_t)age_ds * 100,
	};

	if (op->scope != &s->own_scope)
		v.handle =
			container_of(op->scope, struct handle, scope)->number;
	w->fn(&v, w->ctx);
}

void
session_each_op(struct session *s,
	void (*fn)(const struct session_op_view *, void *ctx), void *ctx)
{
	struct view_walk w = {.session = s, .fn = fn, .ctx = ctx};

	op_owner_each(&s->owner, view_op, &w);
}

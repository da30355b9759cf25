/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What peerdistctl asks.  Answers are JSON documents in ADMIN_TEXT frames; a
 * long one is cut into several.  doc/ipc.md lists their members.
 *
 * A user sees and cancels what is his own; administrators see everything, or
 * what belongs to the user they name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/close.h"
#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/document.h"
#include "daemon/api/status_map.h"
#include "daemon/core/hashed.h"
#include "daemon/core/upload.h"

#define OPERATIONS_MAX 10000u
#define OWN_NAME       "peerdistd" /* program of the service's own session */

static enum core_result
answer(struct document *d, struct client *c, const struct ipc_msg *m,
	uint32_t code)
{
	document_end(d, c, m->header.id, code);
	return CORE_OK;
}

/* Whose things the request is about. */
struct view {
	bool everybody;
	uint32_t uid;
};

/* false: not his business. */
static bool
view_of(const struct client *c, const Pd__AdminRequest *b,
	struct view *ret_view)
{
	bool admin = (client_roles(c) & ROLE_ADMIN) != 0;

	ret_view->everybody = admin && !b->has_uid;
	ret_view->uid = b->has_uid ? b->uid : c->identity.uid;
	return admin || ret_view->uid == c->identity.uid;
}

static bool
in_view(const struct view *v, const struct session *s)
{
	return v->everybody || session_identity(s)->uid == v->uid;
}

/* Status. */

static void
put_counters(struct json *j, const struct client_set *set)
{
	const struct service_counters *sc = service_counters(set->service);
	const struct client_counters *cc = &set->counters;

	json_out_object(j, "counters");
#define X(name) json_out_u64(j, #name, sc->name);
	SERVICE_COUNTERS(X)
#undef X
	json_out_u64(j, "clients_accepted", cc->accepted);
	json_out_u64(j, "clients_over_quota", cc->over_quota);
	json_out_u64(j, "clients_broken", cc->broken);
	json_out_u64(j, "clients_timed_out", cc->timed_out);
	json_out_u64(j, "frames", cc->frames);
	json_out_u64(j, "descriptors_closing", fd_closing());
	json_out_end_object(j);
}

static void
put_quotas(struct json *j, const struct client *c)
{
	static const char *const names[_QUOTA_MAX] = {
		[QUOTA_SESSIONS] = "sessions",
		[QUOTA_CONTENTS] = "contents",
		[QUOTA_OPERATIONS] = "operations",
		[QUOTA_BUFFER_BYTES] = "buffer_bytes",
		[QUOTA_CONNECTIONS] = "connections",
	};
	struct quota_table *table = service_quota(c->set->service);

	json_out_array(j, "quotas");
	for (unsigned k = 0; k < _QUOTA_MAX; k++) {
		json_out_object(j, NULL);
		json_out_text(j, "name", names[k]);
		json_out_u64(j, "used", quota_used(c->user, k));
		json_out_u64(j, "limit", quota_get_limits(table)->max[k]);
		json_out_u64(j, "refused", quota_refused(table, k));
		json_out_end_object(j);
	}
	json_out_end_array(j);
}

const char *
api_mode_name(enum service_mode mode)
{
	static const char *const names[_MODE_MAX] = {
		[MODE_LOCAL] = "local",
		[MODE_DISTRIBUTED] = "distributed",
		[MODE_HOSTED_CLIENT] = "hosted-client",
		[MODE_HOSTED_SERVER] = "hosted-server",
		[MODE_HYBRID] = "hybrid",
	};

	return mode < _MODE_MAX ? names[mode] : "?";
}

const char *
api_status_name(enum service_status status)
{
	static const char *const names[] = {
		[SERVICE_DISABLED] = "disabled",
		[SERVICE_UNAVAILABLE] = "unavailable",
		[SERVICE_AVAILABLE] = "available",
	};

	return status < ARRAY_LEN(names) ? names[status] : "?";
}

static void
put_uploads(struct json *j, struct service *svc)
{
	const struct service_counters *sc = service_counters(svc);

	json_out_object(j, "uploads");
	json_out_u64(j, "running", uploads_running(service_uploads(svc)));
	json_out_u64(j, "max", service_settings(svc)->uploads);
	json_out_u64(j, "given_up", sc->uploads_given_up);
	json_out_u64(j, "bytes", sc->upload_bytes);
	json_out_end_object(j);
}

static void
put_service(struct json *j, struct service *svc)
{
	uint32_t min, max;

	service_content_versions(svc, &min, &max);
	json_out_text(j, "version", PEERDIST_VERSION_STRING);
	json_out_text(
		j, "mode", api_mode_name(service_settings(svc)->policy.mode));
	json_out_text(j, "status", api_status_name(service_status(svc)));
	json_out_u64(j, "epoch", service_epoch(svc));
	json_out_u64(j, "min_content_version", min);
	json_out_u64(j, "max_content_version", max);
}

enum core_result
api_admin_status(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const struct api_hooks *hooks = &c->set->hooks;
	struct document d;
	struct json *j = &d.json;

	document_begin(&d);
	put_service(j, c->set->service);
	if (hooks->status != NULL)
		hooks->status(hooks->ctx, j);
	json_out_u64(j, "clients", c->set->n_clients);
	api_put_caches(j, c->set->service);
	put_quotas(j, c);
	put_uploads(j, c->set->service);
	api_put_peers(j, c->set->service);
	put_counters(j, c->set);
	return answer(&d, c, m, ERROR_SUCCESS);
}

/* Sessions and operations. */

/* program: of a client as it calls itself. */
static void
put_session(struct json *j, const struct view *v, struct session *s,
	const char *program)
{
	const struct identity *who;
	uint64_t now_ms = clock_now_us() / US_PER_MS;

	if (s == NULL || !in_view(v, s))
		return;
	who = session_identity(s);

	json_out_object(j, NULL);
	json_out_u64(j, "session", session_number(s));
	json_out_u64(j, "pid", (uint64_t)who->pid);
	json_out_u64(j, "uid", who->uid);
	json_out_text(j, "program", program);
	json_out_u64(j, "handles", session_handles(s));
	json_out_u64(j, "operations", session_owner(s)->n_ops);
	json_out_u64(
		j, "age_ms", now_ms - MIN_OF(now_ms, session_started_ms(s)));
	json_out_end_object(j);
}

enum core_result
api_admin_sessions(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	struct document d;
	struct view view;
	struct client *other;

	if (!view_of(c, m->u.admin_request, &view)) {
		client_reply(c, m->header.id, ERROR_ACCESS_DENIED);
		return CORE_OK;
	}
	document_begin(&d);
	json_out_array(&d.json, "sessions");
	put_session(&d.json, &view, hashed_session(c->set->service), OWN_NAME);
	TAILQ_FOREACH (other, &c->set->clients, link)
		put_session(&d.json, &view, other->session, other->name);
	json_out_end_array(&d.json);
	return answer(&d, c, m, ERROR_SUCCESS);
}

struct op_walk {
	struct json *json;
	struct session *session;
	uint64_t n;
};

static void
put_op(const struct session_op_view *op, void *ctx)
{
	struct op_walk *w = ctx;
	uint64_t number = session_number(w->session);
	char id[48];

	if (w->n++ >= OPERATIONS_MAX)
		return;
	snprintf(id, sizeof(id), "%" PRIu64 ":%" PRIx64, number, op->id);
	json_out_object(w->json, NULL);
	json_out_text(w->json, "id", id);
	json_out_u64(w->json, "session", number);
	json_out_u64(w->json, "uid", session_identity(w->session)->uid);
	json_out_text(w->json, "kind", op_kind_name(op->kind));
	json_out_hex(w->json, "handle", op->handle);
	json_out_u64(w->json, "age_ms", op->age_ms);
	json_out_end_object(w->json);
}

static void
put_ops(struct op_walk *w, const struct view *v, struct session *s)
{
	w->session = s;
	if (s != NULL && in_view(v, s))
		session_each_op(s, put_op, w);
}

enum core_result
api_admin_operations(
	struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	struct document d;
	struct op_walk walk = {.json = &d.json};
	struct view view;
	struct client *other;

	if (!view_of(c, m->u.admin_request, &view)) {
		client_reply(c, m->header.id, ERROR_ACCESS_DENIED);
		return CORE_OK;
	}
	document_begin(&d);
	json_out_array(&d.json, "operations");
	put_ops(&walk, &view, hashed_session(c->set->service));
	TAILQ_FOREACH (other, &c->set->clients, link)
		put_ops(&walk, &view, other->session);
	json_out_end_array(&d.json);
	json_out_u64(&d.json, "total", walk.n);
	json_out_bool(&d.json, "truncated", walk.n > OPERATIONS_MAX);
	return answer(&d, c, m, ERROR_SUCCESS);
}

/* Another user's session answers as one that does not exist. */
enum core_result
api_admin_cancel(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__AdminRequest *b = m->u.admin_request;
	struct session *s = service_find_session(c->set->service, b->session);
	enum core_result r = CORE_E_OPERATION_NOT_FOUND;

	if (s != NULL &&
		((client_roles(c) & ROLE_ADMIN) != 0 ||
			session_identity(s)->uid == c->identity.uid))
		r = session_admin_cancel(s, b->operation);
	client_reply(c, m->header.id, status_map_core(r));
	return CORE_OK;
}

/* Settings. */

enum core_result
api_admin_config(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const struct api_hooks *hooks = &c->set->hooks;
	struct document d;

	document_begin(&d);
	if (hooks->config != NULL)
		hooks->config(hooks->ctx, &d.json);
	return answer(&d, c, m, ERROR_SUCCESS);
}

enum core_result
api_admin_reload(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const struct api_hooks *hooks = &c->set->hooks;
	uint32_t code = ERROR_NOT_SUPPORTED;
	struct document d;

	document_begin(&d);
	if (hooks->reload != NULL)
		code = hooks->reload(hooks->ctx, &d.json);
	return answer(&d, c, m, code);
}

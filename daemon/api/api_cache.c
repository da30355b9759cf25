/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peerdistctl cache.  Everybody may see how full the caches are, and whoever
 * has put something into the block store sees that he did, and can take it out
 * again by its tag, as by FlushContent.  What others have there is not his
 * business: not that it exists, nor that they share a segment with him.
 *
 * The stores answer later, so all of these are struct request.  A check of a
 * whole cache may take hours and goes on only as long as somebody waits for it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/hex.h"
#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/document.h"
#include "daemon/api/request.h"
#include "daemon/api/status_map.h"
#include "daemon/core/standing.h"

#define ROWS_DEFAULT 100u

/* What the caches are. */

static const char *
health_name(enum store_health health)
{
	static const char *const names[_STORE_HEALTH_MAX] = {
		[STORE_HEALTHY] = "healthy",
		[STORE_FULL] = "full",
		[STORE_FAILING] = "failing",
	};

	return health < _STORE_HEALTH_MAX ? names[health] : "?";
}

static void
put_store(struct json *j, const struct store_stats *st)
{
	json_out_object(j, "store");
	json_out_text(j, "health", health_name(st->health));
	json_out_u64(j, "blocks", st->blocks);
	json_out_u64(j, "bytes", st->bytes);
	json_out_u64(j, "disk_bytes", st->disk_bytes);
	json_out_u64(j, "max_bytes", st->max_bytes);
	json_out_u64(j, "volumes", st->volumes);
	json_out_u64(j, "rebuild_left", st->rebuild_left);
	json_out_u64(j, "hits", st->hits);
	json_out_u64(j, "misses", st->misses);
	json_out_u64(j, "evicted", st->evicted);
	json_out_u64(j, "carried", st->carried);
	json_out_u64(j, "expired", st->expired);
	json_out_u64(j, "rotten", st->rotten);
	json_out_u64(j, "scrubbed_bytes", st->scrubbed_bytes);
	json_out_end_object(j);
}

static void
put_hash(struct json *j, const struct hash_stats *st)
{
	json_out_object(j, "hash");
	json_out_text(j, "health", health_name(st->health));
	json_out_u64(j, "entries", st->entries);
	json_out_u64(j, "bytes", st->bytes);
	json_out_u64(j, "max_bytes", st->max_bytes);
	json_out_end_object(j);
}

void
api_put_caches(struct json *j, struct service *svc)
{
	struct block_store *store = service_store(svc);
	struct hash_store *hashes = service_hash_store(svc);
	struct store_stats st = {0};
	struct hash_stats hash = {0};

	store->ops->stats(store, &st);
	put_store(j, &st);
	if (hashes == NULL)
		return;
	hashes->ops->stats(hashes, &hash);
	put_hash(j, &hash);
}

/* Requests that wait for the block store. */

struct cache_request {
	struct request base;
	bool everybody; /* an administrator asks */
	union {
		struct store_list list;
		struct store_flush flush;
		struct store_verify verify;
	} u;
	struct store_listed rows[];
};

static uint32_t
code_of(enum store_status status)
{
	switch (status) {
	case STORE_OK:
		return ERROR_SUCCESS;
	case STORE_MISSING:
		return ERROR_NOT_FOUND;
	case STORE_NO_MEMORY:
		return ERROR_NOT_ENOUGH_MEMORY;
	case STORE_DISK_FULL:
		return ERROR_DISK_FULL;
	default:
		return ERROR_IO_DEVICE;
	}
}

/* NULL: answered. */
static struct cache_request *
begin(struct client *c, const struct ipc_msg *m, size_t n_rows)
{
	struct cache_request *r;

	r = calloc(1, sizeof(*r) + n_rows * sizeof(r->rows[0]));
	if (r == NULL) {
		client_reply(c, m->header.id, ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	if (!request_begin(&r->base, c, m->header.id)) {
		client_reply(c, m->header.id, ERROR_NO_SYSTEM_RESOURCES);
		free(r);
		return NULL;
	}
	r->everybody = (client_roles(c) & ROLE_ADMIN) != 0;
	return r;
}

/* The answer: what put adds, or the code. */
static void
end(struct cache_request *r, enum store_status status,
	void (*put)(struct cache_request *, struct json *))
{
	struct client *c = r->base.client;
	struct document d;

	if (c != NULL && status != STORE_OK) {
		client_reply(c, r->base.id, code_of(status));
	} else if (c != NULL) {
		document_begin(&d);
		put(r, &d.json);
		document_end(&d, c, r->base.id, ERROR_SUCCESS);
	}
	request_end(&r->base);
	free(r);
}

/* List. */

static void
put_id(struct json *j, const char *key, const uint8_t *id, size_t len)
{
	char text[2 * STORE_ID_MAX + 1];

	hex_encode(text, id, len);
	json_out_text(j, key, text);
}

static const char *
kind_of(const struct store_listed *row)
{
	if (row->sealed == row->blocks)
		return "sealed";
	if (row->proved == row->blocks)
		return "proved";
	return row->proved + row->sealed == 0 ? "unproved" : "mixed";
}

static void
put_row(struct json *j, const struct store_listed *row, bool everybody)
{
	json_out_object(j, NULL);
	put_id(j, "id", row->id, row->id_len);
	json_out_u64(j, "blocks", row->blocks);
	json_out_u64(j, "bytes", row->bytes);
	json_out_text(j, "kind", kind_of(row));
	json_out_u64(j, "born", row->born_s);
	if (everybody) {
		json_out_u64(j, "proved", row->proved);
		json_out_u64(j, "sealed", row->sealed);
		json_out_u64(j, "owners", row->n_owners);
	}
	json_out_end_object(j);
}

static void
put_list(struct cache_request *r, struct json *j)
{
	const struct store_list *list = &r->u.list;

	json_out_array(j, "segments");
	for (size_t i = 0; i < list->n_rows; i++)
		put_row(j, &list->rows[i], r->everybody);
	json_out_end_array(j);
	json_out_bool(j, "more", list->more);
	if (list->more && list->n_rows > 0)
		put_id(j, "after", list->rows[list->n_rows - 1].id,
			list->rows[list->n_rows - 1].id_len);
}

static void
list_done(struct store_list *list)
{
	struct cache_request *r =
		container_of(list, struct cache_request, u.list);

	end(r, list->status, put_list);
}

static void
start_list(struct client *c, const struct ipc_msg *m)
{
	const Pd__AdminCache *b = m->u.admin_cache;
	struct block_store *store = service_store(c->set->service);
	size_t n = b->limit > 0 ? b->limit : ROWS_DEFAULT;
	struct cache_request *r = begin(c, m, n);

	if (r == NULL)
		return;
	if (b->after.len > 0)
		memcpy(r->u.list.after, b->after.data, b->after.len);
	r->u.list.after_len = (uint8_t)b->after.len;
	r->u.list.only_owner = !r->everybody;
	r->u.list.uid = c->identity.uid;
	r->u.list.rows = r->rows;
	r->u.list.max_rows = n;
	r->u.list.done = list_done;
	store->ops->list(store, &r->u.list);
}

/* Flush. */

static void
put_nothing(struct cache_request *r, struct json *j)
{
}

static void
flush_done(struct store_flush *flush)
{
	struct cache_request *r =
		container_of(flush, struct cache_request, u.flush);

	end(r, flush->status, put_nothing);
}

static void
start_flush(struct client *c, const struct ipc_msg *m)
{
	const Pd__AdminCache *b = m->u.admin_cache;
	struct block_store *store = service_store(c->set->service);
	struct cache_request *r = begin(c, m, 0);

	if (r == NULL)
		return;
	r->u.flush.done = flush_done;
	if (b->tag.len == 0) {
		store->ops->clear(store, &r->u.flush);
		return;
	}
	r->u.flush.owner.uid = c->identity.uid;
	memcpy(r->u.flush.owner.tag, b->tag.data, sizeof(r->u.flush.owner.tag));
	store->ops->flush(store, &r->u.flush);
}

/* Verify. */

static void
put_verify(struct cache_request *r, struct json *j)
{
	const struct store_verify *v = &r->u.verify;

	json_out_u64(j, "blocks", v->blocks);
	json_out_u64(j, "bytes", v->done_bytes);
	json_out_u64(j, "rotten", v->rotten);
	json_out_u64(j, "dangling", v->dangling);
	json_out_u64(j, "damaged_volumes", v->damaged_volumes);
	json_out_bool(j, "repaired", v->repair);
}

static void
verify_progress(struct request *base, uint64_t *ret_done, uint64_t *ret_total)
{
	struct cache_request *r =
		container_of(base, struct cache_request, base);

	*ret_done = r->u.verify.done_bytes;
	*ret_total = r->u.verify.total_bytes;
}

static void
verify_gone(struct request *base)
{
	struct cache_request *r =
		container_of(base, struct cache_request, base);

	r->u.verify.stop = true;
}

/* The request's own beat tells how far it is. */
static void
verify_step(struct store_verify *v)
{
}

static void
verify_done(struct store_verify *v)
{
	struct cache_request *r =
		container_of(v, struct cache_request, u.verify);

	end(r, v->status, put_verify);
}

static void
start_verify(struct client *c, const struct ipc_msg *m)
{
	struct block_store *store = service_store(c->set->service);
	struct cache_request *r = begin(c, m, 0);

	if (r == NULL)
		return;
	r->base.progress = verify_progress;
	r->base.gone = verify_gone;
	r->u.verify.repair = m->u.admin_cache->repair;
	r->u.verify.progress = verify_step;
	r->u.verify.done = verify_done;
	store->ops->verify(store, &r->u.verify);
}

/* What is answered at once. */

static void
answer_show(struct client *c, const struct ipc_msg *m)
{
	struct document d;

	document_begin(&d);
	api_put_caches(&d.json, c->set->service);
	document_end(&d, c, m->header.id, ERROR_SUCCESS);
}

static void
answer_set_size(struct client *c, const struct ipc_msg *m)
{
	const Pd__AdminCache *b = m->u.admin_cache;
	const struct api_hooks *hooks = &c->set->hooks;
	enum core_result r = CORE_E_BAD_PARAMETER;
	struct document d;

	if (hooks->set_size == NULL) {
		client_reply(c, m->header.id, ERROR_NOT_SUPPORTED);
		return;
	}
	document_begin(&d);
	if (b->cache != 0)
		r = hooks->set_size(
			hooks->ctx, (enum ipc_cache)b->cache, b->size, &d.json);
	document_end(&d, c, m->header.id, status_map_core(r));
}

static uint32_t
allowed(const struct client *c, const Pd__AdminCache *b)
{
	unsigned roles = client_roles(c);

	if ((roles & ROLE_ADMIN) != 0 || b->action == IPC_CACHE_SHOW ||
		b->action == IPC_CACHE_LIST)
		return ERROR_SUCCESS;
	if (b->action != IPC_CACHE_FLUSH || b->tag.len == 0)
		return ERROR_ACCESS_DENIED;
	return (roles & ROLE_CLIENT) != 0 ? ERROR_SUCCESS
					  : ERROR_ACCESS_DISABLED_BY_POLICY;
}

enum core_result
api_admin_cache(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	static void (*const actions[_IPC_CACHE_MAX])(
		struct client *, const struct ipc_msg *) = {
		[IPC_CACHE_SHOW] = answer_show,
		[IPC_CACHE_LIST] = start_list,
		[IPC_CACHE_FLUSH] = start_flush,
		[IPC_CACHE_VERIFY] = start_verify,
		[IPC_CACHE_SET_SIZE] = answer_set_size,
	};
	const Pd__AdminCache *b = m->u.admin_cache;
	uint32_t code = allowed(c, b);

	if (code != ERROR_SUCCESS)
		client_reply(c, m->header.id, code);
	else
		actions[b->action](c, m);
	return CORE_OK;
}

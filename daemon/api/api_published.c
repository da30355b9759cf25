/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peerdistctl publish, unpublish, published.  A user sees and takes back what
 * is his own, administrators everything; what is another's answers as what does
 * not exist.  What is shown of a publication says nothing of its content: no
 * hash, no content information.
 */
#include <stdlib.h>

#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/document.h"
#include "daemon/api/request.h"
#include "daemon/api/status_map.h"
#include "daemon/core/standing.h"

#define ROWS_DEFAULT 100u
/* A page ends here even if it has fewer rows: paths may be long. */
#define PAGE_BYTES (256u << 10)
/* And so many of others are passed over: the loop has more to do. */
#define PASSED_MAX 500u

static bool
is_admin(const struct client *c)
{
	return (client_roles(c) & ROLE_ADMIN) != 0;
}

static const char *
versions_name(unsigned versions)
{
	static const char *const names[] = {
		[PCCRC_MAKE_V1] = "1",
		[PCCRC_MAKE_V2] = "2",
		[PCCRC_MAKE_V1 | PCCRC_MAKE_V2] = "1,2",
	};

	return versions < ARRAY_LEN(names) ? names[versions] : NULL;
}

static void
put_members(struct json *j, const struct standing_view *v)
{
	json_out_u64(j, "id", v->id);
	json_out_bytes(j, "path", (const char *)v->path, v->path_len);
	json_out_u64(j, "uid", v->uid);
	json_out_u64(j, "size", v->size);
	json_out_text(j, "versions", versions_name(v->versions));
	json_out_u64(j, "published", v->published_s);
	json_out_bool(j, "watched", v->watched);
	json_out_u64(j, "hash_bytes", v->hash_bytes);
}

struct page {
	struct document document;
	bool everybody;
	uint32_t uid;
	uint32_t left; /* rows */
	uint32_t passed;
	uint64_t last; /* id */
	bool more;
};

static bool
put_row(const struct standing_view *v, void *ctx)
{
	struct page *p = ctx;
	struct json *j = &p->document.json;

	p->more = p->left == 0 || p->passed == PASSED_MAX ||
		p->document.text.len > PAGE_BYTES;
	if (p->more)
		return false;
	p->last = v->id;
	if (!p->everybody && v->uid != p->uid) {
		p->passed++;
		return true;
	}
	p->left--;
	json_out_object(j, NULL);
	put_members(j, v);
	json_out_end_object(j);
	return true;
}

static void
list(struct client *c, const struct ipc_msg *m)
{
	const Pd__AdminPublished *b = m->u.admin_published;
	struct page p = {
		.everybody = is_admin(c),
		.uid = c->identity.uid,
		.left = b->limit > 0 ? b->limit : ROWS_DEFAULT,
	};

	document_begin(&p.document);
	json_out_array(&p.document.json, "publications");
	standing_each(c->set->service, b->after, put_row, &p);
	json_out_end_array(&p.document.json);
	json_out_bool(&p.document.json, "more", p.more);
	if (p.more)
		json_out_u64(&p.document.json, "after", p.last);
	document_end(&p.document, c, m->header.id, ERROR_SUCCESS);
}

struct detail {
	struct document document;
	uint64_t id;
	bool everybody;
	uint32_t uid;
	bool found;
};

static void
put_counts(struct json *j, const struct standing_view *v)
{
	json_out_object(j, "segments");
	if (v->versions & PCCRC_MAKE_V1)
		json_out_u64(j, "1", v->counts.v1_segments);
	if (v->versions & PCCRC_MAKE_V2)
		json_out_u64(j, "2", v->counts.v2_segments);
	json_out_end_object(j);
	/* A version 2 segment is one block. */
	json_out_u64(j, "blocks",
		v->versions & PCCRC_MAKE_V1 ? v->counts.v1_blocks
					    : v->counts.v2_segments);
}

static bool
put_detail(const struct standing_view *v, void *ctx)
{
	struct detail *d = ctx;

	d->found = v->id == d->id && (d->everybody || v->uid == d->uid);
	if (!d->found)
		return false;
	put_members(&d->document.json, v);
	put_counts(&d->document.json, v);
	return false;
}

static void
show(struct client *c, const struct ipc_msg *m)
{
	struct detail d = {
		.id = m->u.admin_published->publication,
		.everybody = is_admin(c),
		.uid = c->identity.uid,
	};

	document_begin(&d.document);
	if (d.id != 0)
		standing_each(c->set->service, d.id - 1, put_detail, &d);
	if (d.found) {
		document_end(&d.document, c, m->header.id, ERROR_SUCCESS);
	} else {
		document_drop(&d.document);
		client_reply(c, m->header.id, ERROR_NOT_FOUND);
	}
}

struct removal {
	struct request base;
	struct standing_removal standing;
};

static void
removed(struct standing_removal *standing)
{
	struct removal *r = container_of(standing, struct removal, standing);
	struct client *c = r->base.client;
	struct document d;

	if (c != NULL && standing->result == CORE_OK) {
		document_begin(&d);
		document_end(&d, c, r->base.id, ERROR_SUCCESS);
	} else if (c != NULL) {
		client_reply(c, r->base.id, status_map_core(standing->result));
	}
	request_end(&r->base);
	free(r);
}

static void
take_back(struct client *c, const struct ipc_msg *m)
{
	struct removal *r = calloc(1, sizeof(*r));
	enum core_result result = CORE_E_NO_MEMORY;

	if (r != NULL && !request_begin(&r->base, c, m->header.id)) {
		result = CORE_E_NO_RESOURCES;
		free(r);
		r = NULL;
	}
	if (r == NULL) {
		client_reply(c, m->header.id, status_map_core(result));
		return;
	}
	r->standing.id = m->u.admin_published->publication;
	r->standing.anybodys = is_admin(c);
	r->standing.uid = c->identity.uid;
	r->standing.done = removed;
	result = standing_remove(c->set->service, &r->standing);
	if (result != CORE_OK) {
		r->standing.result = result;
		removed(&r->standing);
	}
}

enum core_result
api_admin_published(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	switch (m->u.admin_published->action) {
	case IPC_PUBLISHED_LIST:
		list(c, m);
		break;
	case IPC_PUBLISHED_SHOW:
		show(c, m);
		break;
	case IPC_PUBLISHED_REMOVE:
		take_back(c, m);
		break;
	default:
		client_reply(c, m->header.id, ERROR_NOT_SUPPORTED);
		break;
	}
	return CORE_OK;
}

enum core_result
api_publish_standing(
	struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__SubmitPublishStanding *b = m->u.submit_publish_standing;
	struct session_label path = {b->path.data, b->path.len};

	return session_publish_standing(c->session, m->header.id, &path,
		ipc_chan_take_fd(c->chan, 0), b->versions);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cursors over the content information of a publication.  The encoded bytes are
 * a snapshot made when the cursor is opened; Retrieve hands out the next piece.
 */
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/core/publish.h"

#define INLINE_MAX 4096u
#define PIECE_MAX  (1024u * 1024u)

struct info {
	struct publication_handle h;
	LIST_ENTRY(info) standing_link; /* with a standing one's id */
	uint64_t standing;              /* 0: pub is what it is about */
	bool stale;                     /* that was taken back */
	struct session *session;
	uint8_t *bytes; /* secmem */
	size_t len;
	size_t pos;
};

static struct info *
info_of(struct handle *h)
{
	return container_of(h, struct info, h.handle);
}

/* The version to hand out, 0 when none fits. */
static int
choose_version(const struct service *svc, const struct pccrc_desc *desc,
	const struct session_versions *v)
{
	unsigned made = pccrc_desc_versions(desc);

	if (v->max >= 2 && v->min <= 2 && (made & PCCRC_MAKE_V2) &&
		svc->settings.preferred_content_version != 1)
		return 2;
	if (v->min <= 1 && v->max >= 1 && (made & PCCRC_MAKE_V1))
		return 1;
	return 0;
}

/* What is wrong whatever the content is. */
static bool
range_ok(const struct session_range *part)
{
	if (part->length == 0)
		return part->offset == 0;
	return part->length <= UINT64_MAX - part->offset;
}

static enum core_result
check_range(uint64_t content, struct session_range *part)
{
	if (part->length == 0)
		part->length = content;
	if (part->offset >= content || part->length > content - part->offset)
		return CORE_E_OUT_OF_BOUNDS;
	return CORE_OK;
}

static void
info_destroy(struct info *in)
{
	if (in->bytes != NULL) {
		quota_give(in->session->user, QUOTA_BUFFER_BYTES, in->len);
		sec_free(in->bytes, in->len);
	}
	if (in->standing != 0)
		LIST_REMOVE(in, standing_link);
	publication_unref(in->h.pub);
	session_unref(in->session);
	free(in);
}

/* Builds the snapshot, counted. */
static enum core_result
info_fill(struct info *in, const struct pccrc_desc *desc, int version,
	const struct session_range *part)
{
	uint8_t *bytes;
	size_t len;

	if (pccrc_desc_build(desc, version, part->offset, part->length, &bytes,
		    &len) < 0)
		return CORE_E_NO_MEMORY;
	if (!quota_take(in->session->user, QUOTA_BUFFER_BYTES, len)) {
		sec_free(bytes, len);
		return CORE_E_NO_RESOURCES;
	}
	in->bytes = bytes;
	in->len = len;
	return CORE_OK;
}

static void
info_about(struct info *in, const struct info_source *from)
{
	if (from->pub != NULL) {
		in->h.pub = publication_ref(from->pub);
		return;
	}
	in->standing = from->standing;
	LIST_INSERT_HEAD(
		&in->session->service->standing_infos, in, standing_link);
}

void
info_standing_gone(struct service *svc, uint64_t id)
{
	struct info *in;

	LIST_FOREACH (in, &svc->standing_infos, standing_link)
		if (in->standing == id)
			in->stale = true;
}

enum core_result
info_make(struct session *s, const struct info_source *from,
	const struct info_wanted *wanted, uint64_t *ret_handle)
{
	const struct pccrc_desc *desc = from->desc;
	struct session_range part = wanted->range;
	enum core_result r;
	struct info *in;
	int version;

	r = check_range(pccrc_desc_length(desc), &part);
	if (r != CORE_OK)
		return r;
	version = choose_version(s->service, desc, &wanted->versions);
	if (version == 0)
		return CORE_E_CI_VERSION;
	in = calloc(1, sizeof(*in));
	if (in == NULL)
		return CORE_E_NO_MEMORY;
	in->session = session_ref(s);
	info_about(in, from);
	op_scope_init(&in->h.handle.scope, NULL, NULL);
	r = info_fill(in, desc, version, &part);
	if (r == CORE_OK)
		r = session_handle_add(s, &in->h.handle, HANDLE_INFO);
	if (r != CORE_OK) {
		info_destroy(in);
		return r;
	}
	*ret_handle = in->h.handle.number;
	return CORE_OK;
}

enum core_result
info_open(struct session *s, uint64_t request,
	const struct session_label *label, const struct info_wanted *wanted,
	uint64_t *ret_handle)
{
	const struct session_versions *v = &wanted->versions;
	struct publication *pub;

	if (v->min > v->max || v->min < 1 || v->max > 2 ||
		!range_ok(&wanted->range))
		return CORE_E_BAD_PARAMETER;
	pub = publication_find(s->service, s->identity.uid, label);
	if (pub == NULL || pub->standing)
		return standing_open(s, request, label, wanted);
	if (pub->desc == NULL)
		return CORE_E_NOT_FOUND;
	return info_make(s,
		&(struct info_source){.pub = pub, .desc = pub->desc}, wanted,
		ret_handle);
}

void
info_close(struct handle *h)
{
	struct info *in = info_of(h);

	session_handle_remove(in->session, h);
	info_destroy(in);
}

enum core_result
info_submit_retrieve(struct handle *h, uint64_t id, uint32_t len)
{
	struct info *in = info_of(h);
	struct op_result result = {.has_offset = true, .offset = in->pos};
	struct area *area = in->session->area;
	enum core_result r;
	struct op *op;
	uint32_t n;

	if (in->stale || (in->h.pub != NULL && in->h.pub->owner == NULL))
		return CORE_E_INVALIDATED;
	if (len == 0)
		return CORE_E_BAD_PARAMETER;
	r = session_op_start(in->session, &h->scope, id, OP_RETRIEVE, &op);
	if (r != CORE_OK)
		return r;
	n = (uint32_t)MIN_OF(MIN_OF(len, PIECE_MAX), in->len - in->pos);
	if (n == 0) {
		op_finish_status(op, CORE_E_NO_MORE);
		return CORE_OK;
	}
	/* A shorter piece is always allowed, so a full read half is no reason
	 * to wait. */
	if (n > INLINE_MAX && area_read_alloc(area, n, &result.range_offset)) {
		memcpy(area_read_at(area, result.range_offset),
			in->bytes + in->pos, n);
		area_read_sent(area, result.range_offset, n);
		result.range_len = n;
	} else {
		n = MIN_OF(n, INLINE_MAX);
		result.inline_data = in->bytes + in->pos;
		result.inline_len = n;
	}
	result.bytes = n;
	in->pos += n;
	op_finish(op, &result);
	return CORE_OK;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The owner's calls about a standing publication.  Both wait for the disk, so
 * they are answered later.
 *
 * What comes out of opening content information is a cursor like that of any
 * other publication.
 */
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/publish.h"
#include "daemon/core/standing.h"

struct opening {
	struct session_call call;
	struct info_wanted wanted;
	struct standing_load load;
	uint64_t counted; /* buffer bytes */
	char path[];
};

static enum core_result
open_answer(struct opening *o)
{
	struct session *s = o->call.session;
	uint64_t handle = 0;
	enum core_result r = o->load.result;

	if (r != CORE_OK || !o->call.open)
		return r;
	r = info_make(s,
		&(struct info_source){
			.standing = o->load.id, .desc = o->load.desc},
		&o->wanted, &handle);
	if (r == CORE_OK)
		call_answer(&o->call, CORE_OK, handle);
	return r;
}

static void
load_done(struct standing_load *load)
{
	struct opening *o = container_of(load, struct opening, load);
	enum core_result r = open_answer(o);

	quota_give(o->call.session->user, QUOTA_BUFFER_BYTES, o->counted);
	pccrc_desc_free(load->desc);
	call_end(&o->call, r);
	free(o);
}

enum core_result
standing_open(struct session *s, uint64_t request,
	const struct session_label *label, const struct info_wanted *wanted)
{
	struct service *svc = s->service;
	struct hash_entry entry;
	struct opening *o;
	enum core_result r;
	uint64_t bytes;

	if (!standing_find(svc, s->identity.uid, label, &entry))
		return CORE_E_NOT_FOUND;
	bytes = entry.hashes_len * STANDING_LOAD_TIMES;
	if (!quota_take(s->user, QUOTA_BUFFER_BYTES, bytes))
		return CORE_E_NO_RESOURCES;
	o = calloc(1, sizeof(*o) + label->len + 1);
	r = o != NULL ? call_begin(&o->call, s, request) : CORE_E_NO_MEMORY;
	if (r != CORE_OK) {
		quota_give(s->user, QUOTA_BUFFER_BYTES, bytes);
		free(o);
		return r;
	}
	o->counted = bytes;
	o->wanted = *wanted;
	memcpy(o->path, label->bytes, label->len);
	o->load.id = entry.id;
	o->load.uid = s->identity.uid;
	o->load.path = o->path;
	o->load.done = load_done;
	standing_load(svc, &o->load);
	return CORE_LATER;
}

struct unpublishing {
	struct session_call call;
	struct standing_removal removal;
};

static void
unpublished(struct standing_removal *r)
{
	struct unpublishing *u = container_of(r, struct unpublishing, removal);

	/* Somebody else was faster, or the disk is in trouble. */
	if (r->result != CORE_OK && r->result != CORE_E_NOT_FOUND &&
		r->result != CORE_E_NO_MEMORY)
		r->result = CORE_E_UNAVAILABLE;
	call_end(&u->call, r->result);
	free(u);
}

enum core_result
standing_unpublish(
	struct session *s, uint64_t request, const struct session_label *label)
{
	struct hash_entry entry;
	struct unpublishing *u;
	enum core_result r;

	if (!standing_find(s->service, s->identity.uid, label, &entry))
		return CORE_E_NOT_FOUND;
	u = calloc(1, sizeof(*u));
	r = u != NULL ? call_begin(&u->call, s, request) : CORE_E_NO_MEMORY;
	if (r == CORE_OK) {
		u->removal.id = entry.id;
		u->removal.uid = s->identity.uid;
		u->removal.done = unpublished;
		r = standing_remove(s->service, &u->removal);
		if (r == CORE_OK)
			return CORE_LATER;
		/* It was there a moment ago. */
		call_end(&u->call, r);
		r = CORE_LATER;
	}
	free(u);
	return r;
}

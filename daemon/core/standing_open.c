/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The owner's calls about a standing publication.  Both wait for the disk, so
 * they are answered later.
 *
 * Opening content information: the hashes are loaded, a worker looks at the
 * file and makes the segment secrets anew, and what comes out is a cursor like
 * that of any other publication.
 */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/publish.h"
#include "daemon/core/standing.h"

/* Of the packed hashes: themselves, and the description made of them, which has
 * about twice the size. */
#define MEMORY_TIMES 3u

struct opening {
	struct session_call call;
	struct info_wanted wanted;
	struct hash_load load;
	struct core_job job;
	struct server_key *key;
	struct pccrc_desc *desc;
	uint64_t counted; /* buffer bytes */
	enum standing_sight sight;
	int result;
	char path[];
};

static struct opening *
opening_of(struct env_job *e)
{
	return container_of(
		container_of(e, struct core_job, env), struct opening, job);
}

static void
opening_end(struct opening *o, enum core_result r)
{
	quota_give(o->call.session->user, QUOTA_BUFFER_BYTES, o->counted);
	pccrc_desc_unref(o->desc);
	service_key_unref(o->key);
	free(o->load.bytes);
	call_end(&o->call, r);
	free(o);
}

static void
open_run(struct env_job *e, struct bulk *bulk)
{
	struct opening *o = opening_of(e);
	const struct hash_entry *entry = &o->load.entry;

	o->sight = entry->watched ? standing_look(o->path, &entry->file)
				  : STANDING_HIDDEN;
	if (o->sight == STANDING_CHANGED)
		return;
	o->result = pccrc_desc_unpack(entry->hashes, entry->hashes_len, bulk,
		o->key->bytes, o->key->len, &o->desc);
	if (o->result == 0 &&
		(pccrc_desc_length(o->desc) != entry->file.size ||
			pccrc_desc_versions(o->desc) != entry->versions))
		o->result = err_new(-EBADMSG);
}

static enum core_result
open_answer(struct opening *o)
{
	struct session *s = o->call.session;
	uint64_t handle = 0;
	enum core_result r;

	if (o->sight == STANDING_CHANGED || o->result == -EBADMSG) {
		standing_drop(s->service, o->load.id);
		return CORE_E_NOT_FOUND;
	}
	if (o->result < 0)
		return CORE_E_NO_MEMORY;
	if (!o->call.open)
		return CORE_OK;
	r = info_make(s,
		&(struct info_source){.standing = o->load.id, .desc = o->desc},
		&o->wanted, &handle);
	if (r == CORE_OK)
		call_answer(&o->call, CORE_OK, handle);
	return r;
}

static void
open_done(struct core_job *job, bool ran)
{
	struct opening *o = container_of(job, struct opening, job);

	opening_end(o, ran ? open_answer(o) : CORE_E_UNAVAILABLE);
}

static void
load_done(struct hash_load *load)
{
	struct opening *o = container_of(load, struct opening, load);
	struct session *s = o->call.session;
	struct service *svc = s->service;

	svc->busy--;
	switch (load->status) {
	case STORE_OK:
		break;
	case STORE_MISSING:
	case STORE_ROTTEN:
		opening_end(o, CORE_E_NOT_FOUND);
		return;
	case STORE_NO_MEMORY:
		opening_end(o, CORE_E_NO_MEMORY);
		return;
	default:
		opening_end(o, CORE_E_UNAVAILABLE);
		return;
	}
	o->key = service_key_ref(svc);
	o->job.env.slow = load->entry.watched;
	service_job(svc, &o->job, open_run, open_done, s->identity.uid);
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
	bytes = entry.hashes_len * MEMORY_TIMES;
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
	o->load.done = load_done;
	svc->busy++;
	svc->hashes->ops->load(svc->hashes, &o->load);
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

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A standing publication made ready to be described: its hashes are loaded, and
 * a worker makes the segment secrets anew.  For who knows it by its path only,
 * the worker looks at the file before; if it is another one now, the
 * publication goes.
 */
#include <stdlib.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/publish.h"

static struct standing_load *
load_of(struct env_job *e)
{
	return container_of(container_of(e, struct core_job, env),
		struct standing_load, job);
}

static void
unpack_run(struct env_job *e, struct bulk *bulk)
{
	struct standing_load *l = load_of(e);
	const struct hash_entry *entry = &l->load.entry;

	if (l->path != NULL && entry->watched &&
		standing_look(l->path, &entry->file) == STANDING_CHANGED) {
		l->changed = true;
		return;
	}
	l->unpacked = pccrc_desc_unpack(entry->hashes, entry->hashes_len, bulk,
		l->key->bytes, l->key->len, &l->desc);
	if (l->unpacked == 0 &&
		(pccrc_desc_length(l->desc) != entry->file.size ||
			pccrc_desc_versions(l->desc) != entry->versions))
		l->unpacked = err_new(-EBADMSG);
}

static enum core_result
unpack_result(struct standing_load *l)
{
	if (l->changed || l->unpacked == -EBADMSG) {
		standing_drop(l->service, l->id);
		return CORE_E_NOT_FOUND;
	}
	return l->unpacked < 0 ? CORE_E_NO_MEMORY : CORE_OK;
}

static void
unpack_done(struct core_job *job, bool ran)
{
	struct standing_load *l = container_of(job, struct standing_load, job);

	l->key = service_key_unref(l->key);
	free(l->load.bytes);
	l->result = ran ? unpack_result(l) : CORE_E_UNAVAILABLE;
	if (l->result != CORE_OK)
		l->desc = pccrc_desc_free(l->desc);
	l->done(l);
}

static void
load_done(struct hash_load *load)
{
	struct standing_load *l =
		container_of(load, struct standing_load, load);
	struct service *svc = l->service;

	svc->busy--;
	switch (load->status) {
	case STORE_OK:
		l->key = service_key_ref(svc);
		l->job.env.slow = l->path != NULL && load->entry.watched;
		service_job(svc, &l->job, unpack_run, unpack_done, l->uid);
		return;
	case STORE_MISSING:
	case STORE_ROTTEN:
		l->result = CORE_E_NOT_FOUND;
		break;
	case STORE_NO_MEMORY:
		l->result = CORE_E_NO_MEMORY;
		break;
	default:
		l->result = CORE_E_UNAVAILABLE;
		break;
	}
	l->done(l);
}

void
standing_load(struct service *svc, struct standing_load *l)
{
	l->service = svc;
	l->result = CORE_OK;
	l->desc = NULL;
	l->changed = false;
	l->unpacked = 0;
	l->load = (struct hash_load){
		.id = l->id, .uid = l->uid, .done = load_done};
	l->job = (struct core_job){0};
	svc->busy++;
	svc->hashes->ops->load(svc->hashes, &l->load);
}

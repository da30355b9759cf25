/* SPDX-License-Identifier: BSD-2-Clause */
/* Published files in memory: found by device and inode, so that another version
 * of a file takes the place of the older one; those that nobody uses go in the
 * order of their last use. */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/core/hashed_priv.h"

unsigned
hashed_allowed(const struct hashed *h)
{
	return h->service->settings.preferred_content_version == 1
		? PCCRC_MAKE_V1
		: PCCRC_MAKE_V1 | PCCRC_MAKE_V2;
}

bool
hashed_room(const struct hashed *h, uint64_t bytes)
{
	return bytes <= HASHED_MEMORY_MAX &&
		h->bytes <= HASHED_MEMORY_MAX - bytes;
}

/* Others could describe other bytes: numbers of devices are used again, and
 * times and inodes can be made up by whoever makes a file system. */
static bool
trusted(const struct hashed *h, uint32_t uid, uint32_t owner)
{
	return uid == 0 || uid == h->uid || uid == owner;
}

bool
hashed_find(struct hashed *h, const struct hash_file *file, uint32_t owner,
	struct hash_entry *ret_entry)
{
	struct hash_store *store = h->service->hashes;
	const uint32_t uids[] = {h->uid, owner, 0};
	unsigned allowed = hashed_allowed(h), best = 0;
	struct hash_entry e;
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
		if ((i > 0 && uids[i] == uids[0]) ||
			(i > 1 && uids[i] == uids[1]) ||
			!store->ops->find_file(store, file, uids[i], &e) ||
			(found && (e.versions & allowed) <= best))
			continue;
		found = true;
		best = e.versions & allowed;
		*ret_entry = e;
		if (best == allowed)
			break;
	}
	return found;
}

static void
destroy(struct hashed_file *f)
{
	f->hashed->bytes -= f->bytes;
	pccrc_desc_free(f->desc);
	for (size_t i = 0; i < ARRAY_LEN(f->whole); i++)
		sec_free(f->whole[i].bytes, f->whole[i].len);
	free(f);
}

void
hashed_file_forget(struct hashed_file *f, enum hashed_result verdict)
{
	struct hashed *h = f->hashed;

	if (!f->listed)
		return;
	HASH_DEL(h->files, f);
	f->listed = false;
	f->verdict = verdict;
	if (f->refs > 0)
		return;
	TAILQ_REMOVE(&h->lru, f, lru);
	h->idle_bytes -= f->bytes;
	destroy(f);
}

struct hashed_file *
hashed_file_get(struct hashed *h, const struct hash_file *file, uint32_t owner)
{
	struct hashed_key key = hashed_key_of(file);
	struct hashed_file *f;

	HASH_FIND(hh, h->files, &key, sizeof(key), f);
	if (f == NULL)
		return NULL;
	if (f->owner == owner && hash_file_same(&f->file, file))
		return f;
	hashed_file_forget(f, HASHED_UNKNOWN);
	return NULL;
}

struct hashed_file *
hashed_file_new(
	struct hashed *h, const struct hash_entry *entry, uint32_t owner)
{
	struct hashed_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->hashed = h;
	f->key = hashed_key_of(&entry->file);
	f->file = entry->file;
	f->owner = owner;
	f->id = entry->id;
	f->versions = entry->versions;
	pccrc_packed_count(
		f->file.size, f->versions, entry->hashes_len, &f->counts);
	f->refs = 1;
	TAILQ_INIT(&f->waiters);
	HASH_ADD(hh, h->files, key, sizeof(f->key), f);
	if (f->hh.tbl == NULL) {
		free(f);
		return NULL;
	}
	f->listed = true;
	return f;
}

void
hashed_file_ref(struct hashed_file *f)
{
	if (f->refs++ > 0)
		return;
	TAILQ_REMOVE(&f->hashed->lru, f, lru);
	f->hashed->idle_bytes -= f->bytes;
}

void
hashed_file_unref(struct hashed_file *f)
{
	struct hashed *h = f->hashed;

	if (--f->refs > 0)
		return;
	if (!f->listed) {
		destroy(f);
		return;
	}
	TAILQ_INSERT_HEAD(&h->lru, f, lru);
	h->idle_bytes += f->bytes;
	if (f->desc == NULL || f->bytes > HASHED_KEEP_MAX)
		hashed_file_forget(f, HASHED_UNKNOWN);
	while (h->idle_bytes > HASHED_CACHE_MAX)
		hashed_file_forget(
			TAILQ_LAST(&h->lru, hashed_lru), HASHED_UNKNOWN);
}

void
hashed_file_resize(struct hashed_file *f, uint64_t bytes)
{
	f->hashed->bytes += bytes - f->bytes;
	f->bytes = bytes;
}

void
hashed_gone(struct hashed *h, uint64_t id)
{
	struct hashed_file *f, *next;

	HASH_ITER(hh, h->files, f, next)
	{
		if (f->id == id)
			hashed_file_forget(f, HASHED_UNKNOWN);
	}
}

void
hashed_published(struct hashed *h, const struct hash_put *put)
{
	const struct hash_entry *e = &put->entry;
	struct hashed_key key = hashed_key_of(&e->file);
	struct hashed_file *f;

	if (put->replaced != 0)
		hashed_gone(h, put->replaced);
	HASH_FIND(hh, h->files, &key, sizeof(key), f);
	if (f != NULL && hash_file_same(&f->file, &e->file) &&
		trusted(h, e->uid, f->owner) &&
		(e->versions & ~f->versions) != 0)
		hashed_file_forget(f, HASHED_UNKNOWN);
}

struct hashed *
hashed_new(struct service *svc)
{
	struct hashed *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->service = svc;
	h->uid = geteuid();
	h->pid = getpid();
	TAILQ_INIT(&h->lru);
	hashed_want_init(h);
	return h;
}

void
hashed_stop(struct hashed *h)
{
	struct hashed_file *f, *next;

	HASH_ITER(hh, h->files, f, next)
	{
		hashed_file_forget(f, HASHED_FAILED);
	}
	hashed_want_stop(h);
}

struct hashed *
hashed_free(struct hashed *h)
{
	if (h == NULL)
		return NULL;
	hashed_stop(h);
	assert(h->bytes == 0);
	free(h);
	return NULL;
}

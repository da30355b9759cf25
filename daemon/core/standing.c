/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking after standing publications.
 *
 * One is known by its path, and its file by inode, size and times.  A
 * "watched" one is looked at whenever it is opened, and all of them every ten
 * minutes and at the start (the sweep): it goes when its file is another now,
 * or is no more.  Where the service may not look, it stays.
 *
 * Looking at a path may take for ever, so it is done by workers, in the lane of
 * slow jobs; the sweep takes a few paths at a time and lets others pass in
 * between.
 */
#include "daemon/core/standing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/core/hashed_priv.h"
#include "daemon/core/publish.h"

#define SWEEP_MS    (10u * 60 * 1000)
#define SWEEP_BATCH 16u
#define SWEEP_SEEN  500u /* entries, watched or not */
#define NS_PER_S    1000000000

static int64_t
ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

void
standing_file(const struct stat *st, struct hash_file *ret_file)
{
	*ret_file = (struct hash_file){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = ns_of(&st->st_mtim),
		.ctime_ns = ns_of(&st->st_ctim),
	};
}

/* What has this name in a folder: a folder too, or the last of the path. */
static int
open_name(int folder, const char *name, size_t len, bool last)
{
	char text[NAME_MAX + 1];
	int fd;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(text, name, len);
	text[len] = '\0';
	fd = openat(folder, text,
		O_PATH | O_NOFOLLOW | O_CLOEXEC | (last ? 0 : O_DIRECTORY));
	return fd < 0 ? -errno : fd;
}

/* -errno.  A symbolic link could lead the service through folders that whoever
 * made it may not search, and what comes of that would tell him what is there.
 * So each folder is opened by itself: openat2(), which could do that at once,
 * is not to be had under RestrictSUIDSGID= of systemd. */
static int
open_path(const char *path)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	path += strspn(path, "/");
	while (fd >= 0 && *path != '\0') {
		AUTO_FD int folder = fd;
		size_t len = strcspn(path, "/");
		const char *rest = path + len + strspn(path + len, "/");

		fd = open_name(folder, path, len, *rest == '\0');
		path = rest;
	}
	return fd;
}

enum standing_sight
standing_look(const char *path, const struct hash_file *want)
{
	AUTO_FD int fd = open_path(path);
	int error = fd < 0 ? -fd : 0;
	struct hash_file is;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) < 0)
		error = errno;
	if (error != 0)
		return error == ENOENT || error == ENOTDIR || error == ELOOP
			? STANDING_CHANGED
			: STANDING_HIDDEN;
	standing_file(&st, &is);
	/* Not the device: its number may be another one after a reboot. */
	return is.ino == want->ino && is.size == want->size &&
			is.mtime_ns == want->mtime_ns &&
			is.ctime_ns == want->ctime_ns
		? STANDING_SAME
		: STANDING_CHANGED;
}

bool
standing_find(struct service *svc, uint32_t uid,
	const struct session_label *label, struct hash_entry *ret_entry)
{
	/* Their labels are absolute paths. */
	if (svc->hashes == NULL || label->len == 0 ||
		label->len > STANDING_PATH_MAX || label->bytes[0] != '/')
		return false;
	return svc->hashes->ops->find(
		svc->hashes, uid, label->bytes, label->len, ret_entry);
}

/* Removal. */

static void
removed(struct hash_remove *remove)
{
	struct standing_removal *r =
		container_of(remove, struct standing_removal, remove);

	r->service->busy--;
	r->result = service_store_result(remove->status);
	if (r->result == CORE_OK) {
		info_standing_gone(r->service, r->id);
		hashed_gone(r->service->hashed, r->id);
	}
	r->done(r);
}

static void
remove_start(struct service *svc, struct standing_removal *r)
{
	r->service = svc;
	r->remove = (struct hash_remove){.id = r->id, .done = removed};
	svc->busy++;
	svc->hashes->ops->remove(svc->hashes, &r->remove);
}

enum core_result
standing_remove(struct service *svc, struct standing_removal *r)
{
	struct hash_entry e;

	if (svc->hashes == NULL)
		return CORE_E_UNAVAILABLE;
	if (!svc->hashes->ops->find_id(svc->hashes, r->id, &e) ||
		(!r->anybodys && e.uid != r->uid))
		return CORE_E_NOT_FOUND;
	remove_start(svc, r);
	return CORE_OK;
}

static void
drop_done(struct standing_removal *r)
{
	free(r);
}

/* Should there be no memory, the next look finds it again. */
void
standing_drop(struct service *svc, uint64_t id)
{
	struct standing_removal *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return;
	r->id = id;
	r->done = drop_done;
	remove_start(svc, r);
}

/* The list. */

struct each {
	bool (*fn)(const struct standing_view *, void *ctx);
	void *ctx;
};

static bool
show(const struct hash_entry *e, void *ctx)
{
	const struct each *each = ctx;
	struct standing_view v = {
		.id = e->id,
		.uid = e->uid,
		.size = e->file.size,
		.versions = e->versions,
		.watched = e->watched,
		.published_s = e->published_s,
		.hash_bytes = e->hashes_len,
		.path = e->label,
		.path_len = e->label_len,
	};

	pccrc_packed_count(v.size, v.versions, e->hashes_len, &v.counts);
	return each->fn(&v, each->ctx);
}

void
standing_each(struct service *svc, uint64_t after,
	bool (*fn)(const struct standing_view *, void *ctx), void *ctx)
{
	struct each each = {fn, ctx};

	if (svc->hashes != NULL)
		svc->hashes->ops->each(svc->hashes, after, show, &each);
}

/* The sweep. */

struct sweep {
	struct core_job job;
	uint64_t last; /* id */
	bool more;
	bool no_memory;
	size_t seen;
	size_t n;
	struct sweep_item {
		uint64_t id;
		struct hash_file file;
		char *path;
		enum standing_sight sight;
	} items[SWEEP_BATCH];
};

static void sweep_step(struct service *);

static void
sweep_free(struct sweep *sw)
{
	for (size_t i = 0; i < sw->n; i++)
		free(sw->items[i].path);
	free(sw);
}

static bool
sweep_take(const struct hash_entry *e, void *ctx)
{
	struct sweep *sw = ctx;
	struct sweep_item *item = &sw->items[sw->n];

	sw->more = sw->n == SWEEP_BATCH || sw->seen++ == SWEEP_SEEN;
	if (sw->more)
		return false;
	sw->last = e->id;
	if (!e->watched)
		return true;
	item->path = strndup((const char *)e->label, e->label_len);
	if (item->path == NULL) {
		sw->no_memory = true;
		return false;
	}
	item->id = e->id;
	item->file = e->file;
	sw->n++;
	return true;
}

static void
sweep_run(struct env_job *e, struct bulk *bulk)
{
	struct core_job *job = container_of(e, struct core_job, env);
	struct sweep *sw = container_of(job, struct sweep, job);

	for (size_t i = 0; i < sw->n; i++)
		sw->items[i].sight =
			standing_look(sw->items[i].path, &sw->items[i].file);
}

static void
sweep_done(struct core_job *job, bool ran)
{
	struct sweep *sw = container_of(job, struct sweep, job);
	struct service *svc = job->service;

	for (size_t i = 0; i < sw->n && ran; i++)
		if (sw->items[i].sight == STANDING_CHANGED)
			standing_drop(svc, sw->items[i].id);
	svc->swept = sw->more ? sw->last : 0;
	sweep_free(sw);
	if (ran && svc->swept != 0 && svc->status == SERVICE_AVAILABLE)
		sweep_step(svc);
	else
		service_timer(svc, &svc->sweep, SWEEP_MS);
}

static void
sweep_step(struct service *svc)
{
	struct sweep *sw = calloc(1, sizeof(*sw));

	if (sw != NULL)
		svc->hashes->ops->each(svc->hashes, svc->swept, sweep_take, sw);
	if (sw == NULL || sw->no_memory || sw->seen == 0) {
		if (sw != NULL)
			sweep_free(sw);
		svc->swept = 0;
		service_timer(svc, &svc->sweep, SWEEP_MS);
		return;
	}
	sw->job.env.slow = true;
	service_job(svc, &sw->job, sweep_run, sweep_done, 0);
}

static void
on_sweep(struct wheel_timer *t)
{
	struct service *svc = container_of(t, struct service, sweep);

	if (svc->hashes == NULL)
		return;
	if (svc->status == SERVICE_AVAILABLE)
		sweep_step(svc);
	else
		service_timer(svc, t, SWEEP_MS);
}

void
standing_sweep_soon(struct service *svc)
{
	svc->sweep.fn = on_sweep;
	service_timer(svc, &svc->sweep, 0);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishing a file for good: it is hashed like any other that is published by
 * descriptor, and then what was found is put into the hash store.
 *
 * A change is told by size, mtime and ctime.  Clocks of file systems tick every
 * few milliseconds, some every two seconds: a file that was changed a moment
 * before it is hashed could be changed again within the same tick, and nobody
 * could tell.  So both times must lie two seconds back when hashing begins.
 *
 * A write sets them once, when it begins, and may take longer than that; so do
 * stores into a mapped page, which set them again only after that page was
 * written to disk.  So writes that are under way are waited for, and pages are
 * written out, before the file is read: whatever comes later changes the times.
 * (Not so for mapped pages where nothing is written out, as on tmpfs.)
 *
 * The path is the caller's word.  If it leads the service to the very file that
 * the descriptor is, and not by way of a symbolic link, the publication is
 * "watched": from then on the path is
 * looked at before it is used, and now and then.  Otherwise (the service cannot
 * see there, or sees something else there, as in another mount namespace) it is
 * never looked at again; nothing tells the caller what is behind a path that he
 * cannot see himself.
 *
 * Until it is in the store, it holds its label in the table of publications.
 * When the operation ends while the store is writing, the entry is removed
 * again: what was cancelled is not published.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/file.h"
#include "daemon/core/hashed_priv.h"
#include "daemon/core/standing.h"

#define SETTLED_MS  2000
#define PROGRESS_MS 200
#define MS_PER_S    1000
#define NS_PER_MS   1000000
#define LINK_SIZE   64

struct standing {
	struct file file;
	int64_t begun_ms; /* wall clock */
	uint64_t told_ms; /* of the last progress */
	bool watched;
	struct buf packed;
	struct hash_put put;
	size_t path_len;
	char path[];
};

static struct standing *
standing_of(struct file *f)
{
	return container_of(f, struct standing, file);
}

static int64_t
ms_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * MS_PER_S + t->tv_nsec / NS_PER_MS;
}

/* Whoever seeks a hole waits for who writes, on ext4, btrfs and tmpfs; on XFS
 * whoever reads does.  Nothing ends this wait but the writer, who could make it
 * long by writing from memory that stalls: so it is for what the web server
 * gives out, and for what the superuser publishes, and other users get no means
 * to hold the service up.  With a position of our own: the caller's is his.
 * What cannot be done here is not done. */
static void
let_writes_end(const struct identity *who, int fd)
{
	AUTO_FD int own = -1;
	char name[LINK_SIZE];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (who->service || who->uid == 0)
		own = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (own >= 0)
		(void)lseek(own, 0, SEEK_HOLE);
	(void)sync_file_range(fd, 0, 0,
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			SYNC_FILE_RANGE_WAIT_AFTER);
}

static int
look(struct file *f)
{
	struct standing *st = standing_of(f);
	int64_t latest = st->begun_ms - SETTLED_MS;
	struct hash_file file;

	if (ms_of(&f->before.st_mtim) > latest ||
		ms_of(&f->before.st_ctim) > latest)
		return CORE_E_TOO_NEW;
	standing_file(&f->before, &file);
	st->watched = standing_look(st->path, &file) == STANDING_SAME;
	let_writes_end(&f->session->identity, f->fd);
	return 0;
}

static int
described(struct file *f)
{
	return err_pass(pccrc_desc_pack(f->desc, &standing_of(f)->packed));
}

static void
progress(struct file *f)
{
	struct standing *st = standing_of(f);
	struct session *s = f->session;
	uint64_t now_ms = service_now_ms(s->service);

	if (now_ms - st->told_ms < PROGRESS_MS)
		return;
	st->told_ms = now_ms;
	s->ops->progress(s->ctx, f->op->id, f->hashed, f->length);
}

static void
put_done(struct hash_put *put)
{
	struct standing *st = container_of(put, struct standing, put);
	struct service *svc = st->file.session->service;
	struct op_result result = {.status = service_store_result(put->status)};
	uint64_t id = put->entry.id;

	svc->busy--;
	if (result.status == CORE_OK) {
		hashed_published(svc->hashed, put);
		result.has_offset = true;
		result.offset = id;
		result.bytes = st->watched;
	}
	if (file_work_done(&st->file))
		op_finish(st->file.op, &result);
	else if (result.status == CORE_OK)
		standing_drop(svc, id);
}

static void
finished(struct file *f)
{
	struct standing *st = standing_of(f);
	struct service *svc = f->session->service;
	struct hash_entry *e = &st->put.entry;

	*e = (struct hash_entry){
		.uid = f->session->identity.uid,
		.versions = pccrc_desc_versions(f->desc),
		.watched = st->watched,
		.published_s = service_wall_ms(svc) / MS_PER_S,
		.label = (const uint8_t *)st->path,
		.label_len = st->path_len,
		.hashes = st->packed.data,
		.hashes_len = st->packed.len,
	};
	standing_file(&f->before, &e->file);
	st->put.done = put_done;
	file_work(f);
	svc->busy++;
	svc->hashes->ops->put(svc->hashes, &st->put);
}

static void
destroy(struct file *f)
{
	struct standing *st = standing_of(f);

	buf_done(&st->packed);
	free(st);
}

static const struct file_ops ops = {
	.look = look,
	.described = described,
	.progress = progress,
	.finished = finished,
	.destroy = destroy,
};

/* Absolute, and in no other way than it would be printed: "..", too, leads
 * through folders (see open_path() in standing.c). */
static bool
path_ok(const struct session_label *path)
{
	const uint8_t *p = path->bytes, *end = p + path->len;

	if (path->len > STANDING_PATH_MAX ||
		memchr(path->bytes, '\0', path->len) != NULL)
		return false;
	while (p < end && *p == '/') {
		const uint8_t *part = ++p;
		size_t len;

		while (p < end && *p != '/')
			p++;
		len = (size_t)(p - part);
		if (len == 0 || (len <= 2 && memcmp(part, "..", len) == 0))
			return false;
	}
	return path->len > 0 && p == end;
}

/* The versions that are made of those asked for; 0: none. */
static unsigned
versions_of(const struct service *svc, unsigned versions)
{
	if (svc->settings.preferred_content_version == 1)
		return versions & PCCRC_MAKE_V1;
	return versions;
}

enum core_result
standing_publish(struct session *s, uint64_t op,
	const struct session_label *path, int fd, unsigned versions)
{
	const struct file_params params = {
		.op = op,
		.kind = OP_PUBLISH_STANDING,
		.label = path,
		.make = versions_of(s->service, versions),
		.fd = fd,
	};
	enum core_result r = CORE_E_NO_MEMORY;
	struct standing *st = NULL;

	if (!path_ok(path) || versions == 0 ||
		(versions & ~(PCCRC_MAKE_V1 | PCCRC_MAKE_V2)) != 0)
		r = CORE_E_BAD_PARAMETER;
	else if (params.make == 0)
		r = CORE_E_CI_VERSION;
	else
		st = calloc(1, sizeof(*st) + path->len + 1);
	if (st == NULL) {
		fd_close_foreign(fd, s->identity.uid);
		return r;
	}
	memcpy(st->path, path->bytes, path->len);
	st->path_len = path->len;
	st->begun_ms = (int64_t)service_wall_ms(s->service);
	st->told_ms = service_now_ms(s->service);
	buf_init(&st->packed, SIZE_MAX);
	return file_start(&st->file, s, &ops, &params);
}

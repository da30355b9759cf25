/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content information of files, for the web server.
 *
 * A file is known by device, inode, size and times, as the descriptor has them
 * from which it will be sent; whatever it was called when it was published.
 * Publications of the superuser, of the service itself and of the file's owner
 * count, others do not.
 *
 * What was asked for stays in memory: a struct hashed_file has the description
 * with its secrets, and the content information of the whole file in each
 * version, once somebody wanted it.  An answer to an ask is then one look-up
 * and a reference.
 *
 *	get                 not in memory, published: its hashes are loaded
 *	                    and get their secrets (standing_load), the ask waits
 *	                    with all others for this file
 *	load_done, answer   the whole file: the bytes that all share are made
 *	                    (struct hashed_whole), a part: bytes of its own.
 *	                    More than 256 KiB by a worker, the ask waits again
 *	give_back           at any moment; what is under way goes on, for the
 *	                    next who asks
 *
 * An ask holds a reference to the file while it waits for it or uses its bytes,
 * and none when it has bytes of its own; while a worker makes those, the struct
 * hashed_build has it.  A file that is forgotten (published no more, changed,
 * the service not available) leaves the table: who has its bytes keeps them,
 * who waits gets the file's verdict when the work comes back, so nobody is
 * called from where it was forgotten.
 *
 * Whoever asks is on the network, so all memory is bounded, also that in use:
 * beyond the bound asks fail, which means a plain answer.
 *
 * How files come to be published is told at the top of hashed_want.c.
 */
#include "daemon/core/hashed.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "codec/pccrtp.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/core/hashed_priv.h"

/* Sizes of content information, MS-PCCRC 2.3 and 2.4, rounded up. */
#define HEADER_MOST 128u
#define V1_SEGMENT  84u
#define V1_BLOCK    32u
#define V2_SEGMENT  69u
#define PAGE        4096u
#define DESC_PIECES 2u /* of locked memory */

struct hashed_build {
	struct core_job job;
	struct hashed_file *file; /* reference */
	bool whole;               /* for all who wait for it */
	struct hashed_ask *ask;   /* else for this; NULL: given back */
	int version;
	uint64_t offset;
	uint64_t length;
	uint64_t counted;
	uint8_t *bytes;
	size_t len;
	int result;
};

/* What so much locked memory takes. */
static uint64_t
locked(uint64_t len)
{
	return (len + PAGE - 1) / PAGE * PAGE;
}

/* What the content information of a range has at most, and at least. */
static void
info_size(const struct hashed_file *f, int version, uint64_t offset,
	uint64_t length, uint64_t *ret_most, uint64_t *ret_least)
{
	uint64_t segments, blocks;

	if (version == 1) {
		segments = (offset + length - 1) / PCCRC_SEGMENT_SIZE -
			offset / PCCRC_SEGMENT_SIZE + 1;
		blocks = (offset % PCCRC_SEGMENT_SIZE + length - 1) /
				PCCRC_BLOCK_SIZE +
			1;
		*ret_least = segments * V1_SEGMENT + blocks * V1_BLOCK;
		*ret_most = *ret_least + HEADER_MOST;
		return;
	}
	*ret_least = (length - 1) / PCCRC_V2_SEGMENT_MAX * (V2_SEGMENT - 1);
	segments = length / PCCRC_CUT_MIN + 2;
	if (length == f->file.size)
		*ret_least = f->counts.v2_segments * (V2_SEGMENT - 1);
	segments = MIN_OF(segments, f->counts.v2_segments);
	*ret_most = segments * V2_SEGMENT + HEADER_MOST;
}

/* The highest of the versions asked for that is there, and not too long; 0:
 * none. */
static int
choose_version(const struct hashed_file *f, const struct hashed_ask *ask)
{
	unsigned there =
		f->versions & hashed_allowed(f->hashed) & ask->versions;
	uint64_t most, least;

	for (int version = 2; version > 0; version--) {
		if (!(there & (version == 2 ? PCCRC_MAKE_V2 : PCCRC_MAKE_V1)))
			continue;
		info_size(f, version, ask->offset, ask->length, &most, &least);
		if (least <= PCCRTP_INFO_MAX)
			return version;
	}
	return 0;
}

/* Lending. */

static bool
is_whole(const struct hashed_ask *ask)
{
	return ask->offset == 0 && ask->length == ask->file->file.size;
}

static enum hashed_result
lend_whole(struct hashed_ask *ask)
{
	const struct hashed_whole *w = &ask->file->whole[ask->version - 1];

	ask->bytes = w->bytes;
	ask->len = w->len;
	return HASHED_OK;
}

/* Bytes of its own; the file is not needed any more. */
static enum hashed_result
lend_part(struct hashed_ask *ask, const uint8_t *bytes, size_t len)
{
	ask->service->hashed->bytes += locked(len);
	ask->bytes = bytes;
	ask->len = len;
	return HASHED_OK;
}

/* Whether what was made may be used; else it is freed. */
static enum hashed_result
judge(int result, uint8_t *bytes, size_t len)
{
	if (result < 0)
		return HASHED_FAILED;
	if (len <= PCCRTP_INFO_MAX)
		return HASHED_OK;
	sec_free(bytes, len);
	return HASHED_UNFIT;
}

static void
whole_made(struct hashed_file *f, int version, uint8_t *bytes, size_t len)
{
	struct hashed_whole *w = &f->whole[version - 1];

	w->bytes = bytes;
	w->len = len;
	hashed_file_resize(f, f->bytes + locked(len));
}

static void
drop_file(struct hashed_ask *ask)
{
	struct hashed_file *f = ask->file;

	ask->file = NULL;
	hashed_file_unref(f);
}

/* On the loop. */
static enum hashed_result
make_now(struct hashed_ask *ask)
{
	struct hashed_file *f = ask->file;
	enum hashed_result r;
	uint8_t *bytes;
	size_t len;
	int made;

	made = pccrc_desc_build(
		f->desc, ask->version, ask->offset, ask->length, &bytes, &len);
	r = judge(made, bytes, len);
	if (r != HASHED_OK)
		return r;
	if (is_whole(ask)) {
		whole_made(f, ask->version, bytes, len);
		return lend_whole(ask);
	}
	drop_file(ask);
	return lend_part(ask, bytes, len);
}

/* By a worker. */

static void
build_run(struct env_job *e, struct bulk *bulk)
{
	struct hashed_build *b =
		container_of(container_of(e, struct core_job, env),
			struct hashed_build, job);

	b->result = pccrc_desc_build(b->file->desc, b->version, b->offset,
		b->length, &b->bytes, &b->len);
}

static enum hashed_result answer(struct hashed_ask *);

static void
tell(struct hashed_ask *ask, enum hashed_result r)
{
	if (r != HASHED_OK && ask->file != NULL)
		drop_file(ask);
	ask->done(ask, r);
}

static struct hashed_ask *
first_waiter(const struct hashed_file *f, int version)
{
	struct hashed_ask *ask;

	TAILQ_FOREACH (ask, &f->waiters, link)
		if (ask->version == version)
			return ask;
	return NULL;
}

/* What they have waited for has come, or not: version 0 is the description.
 * The caller holds the file. */
static void
wake(struct hashed_file *f, int version, enum hashed_result r)
{
	struct hashed_ask *ask;

	while ((ask = first_waiter(f, version)) != NULL) {
		enum hashed_result its = f->listed ? r : f->verdict;

		TAILQ_REMOVE(&f->waiters, ask, link);
		if (its == HASHED_OK)
			its = answer(ask);
		if (its != HASHED_LATER)
			tell(ask, its);
	}
}

static void
part_done(struct hashed_build *b, enum hashed_result r)
{
	struct hashed_ask *ask = b->ask;

	if (ask != NULL)
		ask->build = NULL;
	if (ask != NULL && r == HASHED_OK && !b->file->listed)
		r = b->file->verdict;
	if (ask != NULL && r == HASHED_OK)
		(void)lend_part(ask, TAKE_PTR(b->bytes), b->len);
	sec_free(b->bytes, b->len);
	if (ask != NULL)
		ask->done(ask, r);
}

static void
build_done(struct core_job *job, bool ran)
{
	struct hashed_build *b = container_of(job, struct hashed_build, job);
	struct hashed_file *f = b->file;
	enum hashed_result r = HASHED_FAILED;

	f->hashed->bytes -= b->counted;
	if (ran)
		r = judge(b->result, b->bytes, b->len);
	if (r != HASHED_OK)
		b->bytes = NULL;
	if (b->whole) {
		f->whole[b->version - 1].making = false;
		if (r == HASHED_OK)
			whole_made(f, b->version, b->bytes, b->len);
		wake(f, b->version, r);
	} else {
		part_done(b, r);
	}
	hashed_file_unref(f);
	free(b);
}

/* For a part the reference to the file goes from the ask to the work. */
static enum hashed_result
make_later(struct hashed_ask *ask, uint64_t most)
{
	struct hashed_build *b = calloc(1, sizeof(*b));
	struct hashed_file *f = ask->file;

	if (b == NULL)
		return HASHED_FAILED;
	b->file = f;
	b->version = ask->version;
	b->offset = ask->offset;
	b->length = ask->length;
	b->counted = most;
	b->whole = is_whole(ask);
	f->hashed->bytes += most;
	if (b->whole) {
		hashed_file_ref(f);
		f->whole[b->version - 1].making = true;
		TAILQ_INSERT_TAIL(&f->waiters, ask, link);
	} else {
		b->ask = ask;
		ask->build = b;
		ask->file = NULL;
	}
	service_job(
		ask->service, &b->job, build_run, build_done, f->hashed->uid);
	return HASHED_LATER;
}

/* The description is there; the ask holds the file. */
static enum hashed_result
answer(struct hashed_ask *ask)
{
	struct hashed_file *f = ask->file;
	uint64_t most, least;

	ask->version = choose_version(f, ask);
	if (ask->version == 0)
		return HASHED_UNFIT;
	if (is_whole(ask)) {
		const struct hashed_whole *w = &f->whole[ask->version - 1];

		if (w->bytes != NULL)
			return lend_whole(ask);
		if (w->making) {
			TAILQ_INSERT_TAIL(&f->waiters, ask, link);
			return HASHED_LATER;
		}
	}
	info_size(f, ask->version, ask->offset, ask->length, &most, &least);
	if (!hashed_room(f->hashed, most))
		return HASHED_FAILED;
	return most > HASHED_ON_LOOP_MAX ? make_later(ask, most)
					 : make_now(ask);
}

/* Loading. */

static void
load_done(struct standing_load *l)
{
	struct hashed_file *f = container_of(l, struct hashed_file, load);
	enum hashed_result r = HASHED_OK;

	if (l->result == CORE_OK) {
		f->desc = l->desc;
		hashed_file_resize(f,
			sizeof(*f) + pccrc_desc_memory(f->desc) +
				(uint64_t)DESC_PIECES * PAGE);
	} else {
		r = l->result == CORE_E_NOT_FOUND ? HASHED_UNKNOWN
						  : HASHED_FAILED;
		hashed_file_forget(f, r);
	}
	wake(f, 0, r);
	hashed_file_unref(f);
}

/* The file's first reference becomes that of the loading. */
static enum hashed_result
load_start(struct hashed_file *f, uint64_t bytes)
{
	struct hashed *h = f->hashed;

	if (bytes > HASHED_MEMORY_MAX)
		return HASHED_UNFIT;
	if (!hashed_room(h, bytes))
		return HASHED_FAILED;
	hashed_file_resize(f, bytes);
	f->load.id = f->id;
	f->load.uid = h->uid;
	f->load.done = load_done;
	standing_load(h->service, &f->load);
	return HASHED_OK;
}

/* Not in memory. */
static enum hashed_result
fetch(struct hashed *h, const struct hash_file *file, uint32_t owner,
	struct hashed_ask *ask)
{
	enum hashed_result r;
	struct hashed_file *f;
	struct hash_entry e;

	if (!hashed_find(h, file, owner, &e))
		return HASHED_UNKNOWN;
	f = hashed_file_new(h, &e, owner);
	if (f == NULL)
		return HASHED_FAILED;
	if (choose_version(f, ask) == 0)
		r = HASHED_UNFIT;
	else
		r = load_start(f, e.hashes_len * STANDING_LOAD_TIMES);
	if (r != HASHED_OK) {
		hashed_file_unref(f);
		return r;
	}
	ask->file = f;
	hashed_file_ref(f);
	TAILQ_INSERT_TAIL(&f->waiters, ask, link);
	return HASHED_LATER;
}

enum hashed_result
hashed_get(struct service *svc, const struct stat *st, struct hashed_ask *ask)
{
	struct hashed *h = svc->hashed;
	struct hash_file file;
	struct hashed_file *f;
	enum hashed_result r;

	ask->service = svc;
	ask->version = 0;
	ask->bytes = NULL;
	ask->len = 0;
	ask->file = NULL;
	ask->build = NULL;
	if (svc->status != SERVICE_AVAILABLE || svc->hashes == NULL)
		return HASHED_FAILED;
	standing_file(st, &file);
	f = hashed_file_get(h, &file, st->st_uid);
	if (f == NULL)
		return fetch(h, &file, st->st_uid, ask);
	hashed_file_ref(f);
	ask->file = f;
	if (f->desc == NULL) {
		TAILQ_INSERT_TAIL(&f->waiters, ask, link);
		return HASHED_LATER;
	}
	r = answer(ask);
	if (r != HASHED_OK && r != HASHED_LATER)
		drop_file(ask);
	return r;
}

void
hashed_give_back(struct hashed_ask *ask)
{
	if (ask->build != NULL) {
		ask->build->ask = NULL;
	} else if (ask->file != NULL) {
		if (ask->bytes == NULL)
			TAILQ_REMOVE(&ask->file->waiters, ask, link);
		drop_file(ask);
	} else if (ask->bytes != NULL) {
		ask->service->hashed->bytes -= locked(ask->len);
		sec_free((void *)ask->bytes, ask->len);
	}
	ask->build = NULL;
	ask->bytes = NULL;
	ask->len = 0;
}

void
hashed_view(struct service *svc, struct hashed_view *ret)
{
	const struct hashed *h = svc->hashed;

	*ret = (struct hashed_view){
		.waiting = h->waiting.n,
		.hashing = h->hashing.n,
		.done = h->n_done,
		.failed = h->n_failed,
		.cached_files = HASH_COUNT(h->files),
		.cached_bytes = h->bytes,
	};
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks that have just been verified are mostly read at once.  So the buffer
 * that they were decrypted into stays for a moment, and reads of the handle
 * copy out of it; otherwise each block would be read from the disk, compared
 * with its checksum and decrypted once more.
 *
 * Nothing is given from here that the store would not give: the reader has
 * looked there before, with his own claim, as for any other read.  And only the
 * handle whose information the blocks were verified with finds them.
 *
 * A buffer goes when the last byte of each of its blocks has been read, when it
 * is KEPT_MS old, or when the handle is closed.  When there are as many as may
 * be, new ones are not kept: what is older is read sooner.
 */
#include "daemon/core/fetch_kept.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/fetch_priv.h"

#define KEPT_MS          2000u
#define KEPT_OF_CONTENT  6u  /* what is got ahead, and a read */
#define KEPT_OF_ALL      64u /* a MiB each */
#define COPY_PIECES_MOST 64u
#define COPY_NOW_MOST    (64u * 1024u)

struct kept_block {
	uint64_t start; /* content offset */
	uint32_t len;   /* 0: has been read */
	const uint8_t *bytes;
};

struct fetch_kept {
	TAILQ_ENTRY(fetch_kept) link; /* of the content, when listed */
	bool listed;
	struct content *content; /* outlives this */
	unsigned refs;
	uint64_t until_ms;
	uint8_t *buffer;
	unsigned n;
	unsigned n_left; /* not read yet */
	struct kept_block of[FETCH_BATCH];
};

struct kept_piece {
	struct fetch_kept *kept; /* reference */
	struct kept_block *block;
	const uint8_t *from;
	uint32_t len;
};

struct kept_copy {
	struct core_job job;
	struct content *content; /* reference */
	uint8_t *dst;
	void (*done)(void *ctx, bool ran);
	void *ctx;
	size_t n;
	struct kept_piece pieces[COPY_PIECES_MOST];
};

static void
kept_unref(struct fetch_kept *k)
{
	struct service *svc = k->content->session->service;

	if (--k->refs > 0)
		return;
	k->content->fetching->n_kept--;
	svc->n_kept--;
	content_spare_give(svc, k->buffer);
	free(k);
}

static void
unlist(struct fetch_kept *k)
{
	if (!k->listed)
		return;
	k->listed = false;
	TAILQ_REMOVE(&k->content->fetching->kept, k, link);
	kept_unref(k);
}

/* It reads now, or reads on. */
static bool
reads(const struct content *c)
{
	return !c->closed &&
		(c->fetch_on || !TAILQ_EMPTY(&c->handle.scope.ops));
}

struct fetch_kept *
fetch_kept_new(struct content *c, uint8_t **buffer)
{
	struct service *svc = c->session->service;
	struct fetch_kept *k;

	if (!reads(c) || c->fetching->n_kept >= KEPT_OF_CONTENT ||
		svc->n_kept >= KEPT_OF_ALL)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return NULL;
	k->content = c;
	k->refs = 1;
	k->buffer = TAKE_PTR(*buffer);
	c->fetching->n_kept++;
	svc->n_kept++;
	return k;
}

void
fetch_kept_add(struct fetch_kept *k, uint64_t start, uint32_t len,
	const uint8_t *bytes)
{
	assert(k->n < FETCH_BATCH);
	k->of[k->n++] = (struct kept_block){start, len, bytes};
	k->n_left++;
}

void
fetch_kept_list(struct fetch_kept *k)
{
	struct fetch_content *fc = k->content->fetching;
	struct service *svc = k->content->session->service;

	if (k->n == 0 || k->content->closed) {
		kept_unref(k);
		return;
	}
	k->until_ms = service_now_ms(svc) + KEPT_MS;
	k->listed = true;
	TAILQ_INSERT_TAIL(&fc->kept, k, link);
	if (!wheel_running(&fc->kept_timer))
		service_timer(svc, &fc->kept_timer, KEPT_MS);
}

void
fetch_kept_drop(struct fetch_content *fc)
{
	struct fetch_kept *k;

	wheel_stop(&fc->kept_timer);
	while ((k = TAILQ_FIRST(&fc->kept)) != NULL)
		unlist(k);
}

static void
kept_timer(struct wheel_timer *t)
{
	struct fetch_content *fc =
		container_of(t, struct fetch_content, kept_timer);
	struct service *svc = fc->content->session->service;
	uint64_t now_ms = service_now_ms(svc);
	struct fetch_kept *k;

	while ((k = TAILQ_FIRST(&fc->kept)) != NULL && k->until_ms <= now_ms)
		unlist(k);
	if (k != NULL)
		service_timer(svc, t, k->until_ms - now_ms);
}

void
fetch_kept_init(struct fetch_content *fc)
{
	TAILQ_INIT(&fc->kept);
	fc->kept_timer.fn = kept_timer;
}

/* The block that holds this offset. */
static struct kept_block *
find(struct content *c, uint64_t at, struct fetch_kept **ret_kept)
{
	TAILQ_FOREACH (*ret_kept, &c->fetching->kept, link)
		for (unsigned i = 0; i < (*ret_kept)->n; i++) {
			struct kept_block *b = &(*ret_kept)->of[i];

			if (at - b->start < b->len)
				return b;
		}
	return NULL;
}

static bool
copy_collect(struct kept_copy *y, uint64_t offset, uint32_t len)
{
	uint64_t at = offset, end = offset + len;

	while (at < end) {
		struct kept_piece *p = &y->pieces[y->n];
		uint32_t skip;

		if (y->n == COPY_PIECES_MOST)
			return false;
		p->block = find(y->content, at, &p->kept);
		if (p->block == NULL)
			return false;
		skip = (uint32_t)(at - p->block->start);
		p->from = p->block->bytes + skip;
		p->len = (uint32_t)MIN_OF(p->block->len - skip, end - at);
		p->kept->refs++;
		at += p->len;
		y->n++;
	}
	return true;
}

static void
copy_free(struct kept_copy *y)
{
	for (size_t i = 0; i < y->n; i++)
		kept_unref(y->pieces[i].kept);
	content_unref(y->content);
	free(y);
}

static void
copy(const struct kept_copy *y)
{
	uint8_t *dst = y->dst;

	for (size_t i = 0; i < y->n; i++) {
		memcpy(dst, y->pieces[i].from, y->pieces[i].len);
		dst += y->pieces[i].len;
	}
}

static void
copy_run(struct env_job *e, struct bulk *bulk)
{
	(void)bulk;
	copy(container_of(
		container_of(e, struct core_job, env), struct kept_copy, job));
}

static bool
copy_now(struct env_job *e, struct bulk *bulk)
{
	copy_run(e, bulk);
	return true;
}

static void
copy_done(struct core_job *job, bool ran)
{
	struct kept_copy *y = container_of(job, struct kept_copy, job);
	void (*done)(void *ctx, bool ran) = y->done;
	void *ctx = y->ctx;

	copy_free(y);
	done(ctx, ran);
}

/* Blocks that are read to their end now are not read again. */
static void
forget_read(struct kept_copy *y)
{
	for (size_t i = 0; i < y->n; i++) {
		const struct kept_piece *p = &y->pieces[i];
		struct kept_block *b = p->block;

		if (b->len == 0 || p->from + p->len != b->bytes + b->len)
			continue;
		b->len = 0;
		if (--p->kept->n_left == 0)
			unlist(p->kept);
	}
}

bool
fetch_kept_copy(struct content *c, uint64_t offset, uint32_t len, uint8_t *dst,
	void (*done)(void *ctx, bool ran), void *ctx)
{
	struct kept_copy *y;
	struct fetch_kept *k;

	if (c->fetching == NULL || find(c, offset, &k) == NULL)
		return false;
	y = malloc(sizeof(*y));
	if (y == NULL)
		return false;
	memset(&y->job, 0, sizeof(y->job));
	y->content = content_ref(c);
	y->dst = dst;
	y->done = done;
	y->ctx = ctx;
	y->n = 0;
	if (!copy_collect(y, offset, len)) {
		copy_free(y);
		return false;
	}
	forget_read(y);
	if (len <= COPY_NOW_MOST)
		y->job.env.try_now = copy_now;
	service_job(c->session->service, &y->job, copy_run, copy_done,
		c->session->identity.uid);
	return true;
}

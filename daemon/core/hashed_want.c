/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are to be published because somebody asked the web server for
 * them.
 *
 * The service publishes them for good as any user does, in a session of its own
 * with the uid of the process, under the path that the descriptor has now.  So
 * they are seen, cancelled, counted, watched and taken back like all others.
 *
 * A want is by device and inode, and is in one of three lists:
 *
 *	waiting   with a descriptor, until its times lie two seconds back and
 *	          one of the two places is free
 *	hashing   its operation is under way
 *	resting   it has failed: without a descriptor, so that it is not tried
 *	          again at every request; another version of the file may
 *
 * A file that changes all the time would be read all the time, and its hashes
 * thrown away.  So what had to be hashed once more, with whatever end, is left
 * alone for eight times as long as that took.  When the store takes nothing,
 * all are.  Of the two places, one is never given to a large file, which may
 * keep it for hours.
 *
 * What complete() tells is only noted there, and done from a job without work:
 * an owner of operations may not start any from inside.
 */
#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/close.h"
#include "common/macros.h"
#include "daemon/core/hashed_priv.h"
#include "daemon/core/standing.h"

#define NS_PER_MS 1000000
#define HALF      32
#define DELETED   " (deleted)"
#define LINK_NAME "/proc/self/fd/%d"
#define LINK_SIZE 64

enum want_state {
	WANT_WAITING,
	WANT_HASHING,
	WANT_RESTING,
};

struct hashed_want {
	struct hashed *hashed; /* NULL: only its job is still to come back */
	UT_hash_handle hh;
	struct hashed_key key;
	TAILQ_ENTRY(hashed_want) link;
	enum want_state state;
	struct hash_file file;
	uint32_t owner;
	int fd; /* waiting, hashing */
	unsigned tries;
	uint64_t due_ms;  /* waits until, rests until */
	uint64_t next_ms; /* not hashed sooner, whatever it is by then */
	bool before;      /* hashed once already, this version or another */
	/* Hashing. */
	uint64_t op;
	uint64_t begun_ms;
	bool again; /* it is another file meanwhile: "file" */
	bool ended;
	enum core_result result;
	struct core_job job;
};

static struct hashed_list *
list_of(struct hashed *h, enum want_state state)
{
	switch (state) {
	case WANT_WAITING:
		return &h->waiting;
	case WANT_HASHING:
		return &h->hashing;
	case WANT_RESTING:
		break;
	}
	return &h->resting;
}

static void
list_add(struct hashed_want *w, enum want_state state)
{
	struct hashed_list *list = list_of(w->hashed, state);

	w->state = state;
	TAILQ_INSERT_TAIL(&list->wants, w, link);
	list->n++;
}

static void
list_remove(struct hashed_want *w)
{
	struct hashed_list *list = list_of(w->hashed, w->state);

	TAILQ_REMOVE(&list->wants, w, link);
	list->n--;
}

/* Closing. */

static void
close_run(struct env_job *e, struct bulk *bulk)
{
	struct hashed_closer *c =
		container_of(container_of(e, struct core_job, env),
			struct hashed_closer, job);

	while (c->n_batch > 0)
		close(c->batch[--c->n_batch]);
}

static void close_start(struct hashed_closer *, struct service *);

static void
close_done(struct core_job *job, bool ran)
{
	struct hashed_closer *c = container_of(job, struct hashed_closer, job);

	while (c->n_batch > 0)
		fd_close_foreign(c->batch[--c->n_batch], geteuid());
	c->running = false;
	close_start(c, job->service);
}

static void
close_start(struct hashed_closer *c, struct service *svc)
{
	if (c->running || c->n == 0)
		return;
	memcpy(c->batch, c->fds, c->n * sizeof(c->fds[0]));
	c->n_batch = c->n;
	c->n = 0;
	c->running = true;
	c->job.env.slow = true;
	service_job(svc, &c->job, close_run, close_done, svc->hashed->uid);
}

/* Many may go at once, which is more than fd_close_foreign() has threads for.
 */
static void
want_close(struct hashed_want *w)
{
	struct hashed_closer *c = &w->hashed->closer;

	if (w->fd < 0)
		return;
	assert(c->n < ARRAY_LEN(c->fds));
	c->fds[c->n++] = w->fd;
	w->fd = -1;
	close_start(c, w->hashed->service);
}

/* Out of everything. */
static void
want_free(struct hashed_want *w)
{
	list_remove(w);
	HASH_DEL(w->hashed->wants, w);
	want_close(w);
	w->hashed = NULL;
	if (!w->ended)
		free(w);
}

static struct hashed_want *
want_get(struct hashed *h, const struct hash_file *file)
{
	struct hashed_key key = hashed_key_of(file);
	struct hashed_want *w;

	HASH_FIND(hh, h->wants, &key, sizeof(key), w);
	return w;
}

static void
want_move(struct hashed_want *w, enum want_state state)
{
	list_remove(w);
	list_add(w, state);
}

static void
want_rest(struct hashed_want *w, uint64_t until_ms)
{
	struct hashed *h = w->hashed;

	want_close(w);
	w->due_ms = until_ms;
	want_move(w, WANT_RESTING);
	if (h->resting.n > HASHED_RESTING_MAX)
		want_free(TAILQ_FIRST(&h->resting.wants));
}

static void
want_failed(struct hashed_want *w)
{
	struct hashed *h = w->hashed;
	uint64_t until_ms = service_now_ms(h->service) + HASHED_REST_MS;

	h->n_failed++;
	want_rest(w, MAX_OF(until_ms, w->next_ms));
}

/* How long until it may be hashed; UINT64_MAX: its times lie in the future. */
static uint64_t
settled_in(const struct hashed *h, const struct hash_file *f)
{
	int64_t now_ms = (int64_t)service_wall_ms(h->service);
	int64_t latest_ms = MAX_OF(f->mtime_ns, f->ctime_ns) / NS_PER_MS;

	if (latest_ms > now_ms + (int64_t)HASHED_SETTLE_MS)
		return UINT64_MAX;
	if (latest_ms + (int64_t)HASHED_SETTLE_MS < now_ms)
		return 0;
	return (uint64_t)(latest_ms + (int64_t)HASHED_SETTLE_MS - now_ms) + 1;
}

/* Hashing. */

static void want_step(struct hashed *);

static void
want_again(struct hashed_want *w, uint64_t delay_ms)
{
	w->due_ms = service_now_ms(w->hashed->service) + delay_ms;
	want_move(w, WANT_WAITING);
}

/* Nothing has been read of it yet. */
static void
want_refused(struct hashed_want *w, enum core_result r)
{
	bool passes = r == CORE_E_TOO_NEW || r == CORE_E_NO_RESOURCES ||
		r == CORE_E_NO_MEMORY;

	/* Then a file that had this path before is still being published. */
	if (r == CORE_E_ALREADY_EXISTS || (passes && ++w->tries < HASHED_TRIES))
		want_again(w, HASHED_SETTLE_MS);
	else
		want_failed(w);
}

/* Whether the next ones would be read for nothing, too. */
static bool
store_refuses(const struct hashed *h, enum core_result r)
{
	struct hash_store *store = h->service->hashes;
	struct hash_stats stats;

	if (r == CORE_OK || store == NULL)
		return false;
	store->ops->stats(store, &stats);
	return r == CORE_E_DISK_FULL || r == CORE_E_NO_RESOURCES ||
		stats.health != STORE_HEALTHY;
}

/* Those that wait go: nothing of theirs is held open meanwhile. */
static void
rest_all(struct hashed *h, uint64_t until_ms)
{
	struct hashed_want *w;

	h->rest_until_ms = MAX_OF(h->rest_until_ms, until_ms);
	while ((w = TAILQ_FIRST(&h->waiting.wants)) != NULL)
		want_free(w);
}

/* How the hashing of one has ended. */
static void
want_end(struct hashed_want *w, enum core_result r)
{
	struct hashed *h = w->hashed;
	uint64_t now_ms = service_now_ms(h->service);
	uint64_t pause_ms = HASHED_PAUSE_TIMES * (now_ms - w->begun_ms);
	bool refused = store_refuses(h, r), soon;
	struct hash_entry e;

	if (r != CORE_E_TOO_NEW) {
		w->next_ms = now_ms + (w->before ? pause_ms : 0);
		w->before = true;
	}
	soon = !refused && w->next_ms <= now_ms + HASHED_SETTLE_MS;
	if (r == CORE_OK)
		h->n_done++;
	if (refused)
		rest_all(h, now_ms + MAX_OF(HASHED_REST_MS, pause_ms));
	if (w->again && soon && !hashed_find(h, &w->file, w->owner, &e)) {
		w->again = false;
		w->tries = 0;
		want_again(w, HASHED_SETTLE_MS);
	} else if (r == CORE_OK && pause_ms <= HASHED_SETTLE_MS) {
		want_free(w);
	} else if (r == CORE_OK) {
		want_rest(w, w->next_ms);
	} else if (r == CORE_E_TOO_NEW) {
		want_refused(w, r);
	} else {
		want_failed(w);
	}
}

static void
ended(struct core_job *job, bool ran)
{
	struct hashed_want *w = container_of(job, struct hashed_want, job);
	struct hashed *h = w->hashed;

	if (h == NULL) {
		free(w);
		return;
	}
	w->ended = false;
	want_end(w, w->result);
	want_step(h);
}

static void
complete(void *ctx, uint64_t op, const struct op_result *result)
{
	struct hashed *h = ctx;
	struct hashed_want *w;

	TAILQ_FOREACH (w, &h->hashing.wants, link)
		if (w->op == op)
			break;
	if (w == NULL)
		return;
	w->ended = true;
	w->result = result->status;
	service_job(h->service, &w->job, NULL, ended, h->uid);
}

static bool
accept_op(void *ctx, uint64_t op)
{
	return true;
}

static void
on_status(void *ctx, enum service_status status, uint32_t min, uint32_t max)
{
}

static void
on_progress(void *ctx, uint64_t op, uint64_t done, uint64_t total)
{
}

/* The others are about adds, reads, and calls that this session never makes. */
static const struct session_ops ops = {
	.complete = complete,
	.accept = accept_op,
	.status = on_status,
	.progress = on_progress,
};

static enum core_result
open_session(struct hashed *h)
{
	const struct identity who = {
		.pid = h->pid, .uid = h->uid, .service = true};

	return session_new(&h->session, h->service, &who, NULL, &ops, h);
}

/* The path of the descriptor.  0: it has none, or none any more. */
static size_t
path_of(int fd, char path[STANDING_PATH_MAX + 1])
{
	static const size_t tail = sizeof(DELETED) - 1;
	char name[LINK_SIZE];
	ssize_t n;

	snprintf(name, sizeof(name), LINK_NAME, fd);
	n = readlink(name, path, STANDING_PATH_MAX + 1);
	if (n <= 0 || (size_t)n > STANDING_PATH_MAX || path[0] != '/' ||
		((size_t)n > tail &&
			memcmp(path + (size_t)n - tail, DELETED, tail) == 0))
		return 0;
	return (size_t)n;
}

/* A slot that no other has, under a number that none had. */
static uint64_t
next_op(struct hashed *h)
{
	const struct hashed_want *w = TAILQ_FIRST(&h->hashing.wants);
	uint64_t slot = w != NULL && (uint32_t)w->op == 0;

	return ++h->generation << HALF | slot;
}

static enum core_result
submit(struct hashed_want *w)
{
	struct hashed *h = w->hashed;
	char path[STANDING_PATH_MAX + 1];
	struct session_label label = {(const uint8_t *)path, 0};
	enum core_result r = CORE_OK;
	int fd;

	if (h->session == NULL)
		r = open_session(h);
	if (r != CORE_OK)
		return r;
	label.len = path_of(w->fd, path);
	if (label.len == 0)
		return CORE_E_NOT_FOUND;
	fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return CORE_E_NO_RESOURCES;
	return session_publish_standing(
		h->session, w->op, &label, fd, PCCRC_MAKE_V1 | PCCRC_MAKE_V2);
}

static void
want_start(struct hashed_want *w)
{
	enum core_result r;

	w->op = next_op(w->hashed);
	w->begun_ms = service_now_ms(w->hashed->service);
	want_move(w, WANT_HASHING);
	r = submit(w);
	if (r != CORE_OK)
		want_refused(w, r);
}

static bool
is_large(const struct hash_file *f)
{
	return f->size > HASHED_LARGE;
}

static bool
hashes_large(const struct hashed *h)
{
	const struct hashed_want *w;

	TAILQ_FOREACH (w, &h->hashing.wants, link)
		if (is_large(&w->file))
			return true;
	return false;
}

/* The first that is old enough and may go now; *ret_wait_ms: until another one
 * is. */
static struct hashed_want *
next_due(struct hashed *h, uint64_t *ret_wait_ms)
{
	uint64_t now_ms = service_now_ms(h->service);
	bool only_small = hashes_large(h);
	struct hashed_want *w;

	*ret_wait_ms = UINT64_MAX;
	TAILQ_FOREACH (w, &h->waiting.wants, link) {
		if (only_small && is_large(&w->file))
			continue;
		if (w->due_ms <= now_ms)
			return w;
		*ret_wait_ms = MIN_OF(*ret_wait_ms, w->due_ms - now_ms);
	}
	return NULL;
}

static void
want_step(struct hashed *h)
{
	struct hashed_want *w;
	uint64_t wait_ms;

	while (h->hashing.n < HASHED_AT_ONCE) {
		w = next_due(h, &wait_ms);
		if (w == NULL && wait_ms != UINT64_MAX)
			service_timer(h->service, &h->timer, wait_ms);
		if (w == NULL)
			return;
		want_start(w);
	}
}

static void
on_timer(struct wheel_timer *t)
{
	want_step(container_of(t, struct hashed, timer));
}

/* Wanting. */

static bool
want_add(struct hashed *h, int fd, const struct hash_file *file, uint32_t owner,
	uint64_t wait_ms, bool before)
{
	struct hashed_want *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return false;
	w->hashed = h;
	w->key = hashed_key_of(file);
	w->file = *file;
	w->owner = owner;
	w->before = before;
	w->due_ms = service_now_ms(h->service) + wait_ms;
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0) {
		free(w);
		return false;
	}
	HASH_ADD(hh, h->wants, key, sizeof(w->key), w);
	if (w->hh.tbl == NULL) {
		close(w->fd); /* not the last one of its file */
		free(w);
		return false;
	}
	list_add(w, WANT_WAITING);
	want_step(h);
	/* It may have come back at once. */
	w = want_get(h, file);
	return w != NULL && w->state != WANT_RESTING;
}

/* What hashing it would need later; and a file without a name has no label. */
static bool
can_be_hashed(const struct stat *st)
{
	uint64_t blocks = (uint64_t)st->st_size / PCCRC_BLOCK_SIZE;

	return S_ISREG(st->st_mode) && st->st_size > 0 && st->st_nlink > 0 &&
		blocks <= HASHED_BLOCKS_MAX;
}

/* It is wanted already.  true: enough. */
static bool
wanted(struct hashed_want *w, const struct hash_file *file, uint32_t owner,
	uint64_t wait_ms)
{
	struct hashed *h = w->hashed;
	bool same = hash_file_same(&w->file, file);
	uint64_t now_ms = service_now_ms(h->service);

	if (w->state == WANT_RESTING)
		return now_ms < (same ? w->due_ms : w->next_ms);
	if (same)
		return true;
	w->file = *file;
	w->owner = owner;
	if (w->state == WANT_HASHING) {
		w->again = true;
		return true;
	}
	w->tries = 0;
	w->due_ms = now_ms + wait_ms;
	want_step(h);
	return true;
}

/* The last places are for small ones. */
static bool
has_place(const struct hashed *h, const struct hash_file *file)
{
	size_t places =
		is_large(file) ? HASHED_WAITING_MAX / 2 : HASHED_WAITING_MAX;

	return h->waiting.n + h->closer.n < places;
}

bool
hashed_want(struct service *svc, int fd, const struct stat *st)
{
	struct hashed *h = svc->hashed;
	struct hash_file file;
	struct hash_entry e;
	struct hashed_want *w;
	bool before = false;
	uint64_t wait_ms;

	if (svc->status != SERVICE_AVAILABLE || svc->hashes == NULL ||
		!can_be_hashed(st))
		return false;
	standing_file(st, &file);
	wait_ms = settled_in(h, &file);
	if (wait_ms == UINT64_MAX)
		return false;
	w = want_get(h, &file);
	if (w != NULL && wanted(w, &file, st->st_uid, wait_ms))
		return w->state != WANT_RESTING;
	if (w != NULL) { /* it has rested */
		before = w->before;
		want_free(w);
	}
	if (hashed_find(h, &file, st->st_uid, &e))
		return true;
	return has_place(h, &file) && service_now_ms(svc) >= h->rest_until_ms &&
		want_add(h, fd, &file, st->st_uid, wait_ms, before);
}

struct session *
hashed_session(struct service *svc)
{
	return svc->hashed->session;
}

void
hashed_want_init(struct hashed *h)
{
	TAILQ_INIT(&h->waiting.wants);
	TAILQ_INIT(&h->hashing.wants);
	TAILQ_INIT(&h->resting.wants);
	h->timer.fn = on_timer;
}

void
hashed_want_stop(struct hashed *h)
{
	struct hashed_want *w, *next;

	wheel_stop(&h->timer);
	/* Without a word: complete() will not be called. */
	h->session = session_free(h->session, false);
	HASH_ITER(hh, h->wants, w, next)
	{
		want_free(w);
	}
}

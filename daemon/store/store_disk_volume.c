/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of volumes, and their files.
 *
 * A volume lives as long as somebody holds it, so a reader goes on undisturbed
 * when it is evicted and unlinked meanwhile.  Files are opened when first
 * needed, which keeps the start quick; of those that nobody reads, OPEN_MAX
 * stay open.
 */
#include "daemon/store/store_disk_volume.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define OPEN_MAX 256u
/* Records that lie in one such piece are hot together. */
#define HOT_UNIT 16384u

#define VOLUME_MIN   (UINT64_C(1) << 20)
#define VOLUME_MAX   (UINT64_C(256) << 20)
#define VOLUME_PARTS 16u

/* Of the file system; whatever is less. */
#define FREE_PARTS 20u
#define FREE_MOST  (UINT64_C(1) << 30)

struct volume *
volume_new(uint32_t number)
{
	struct volume *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->number = number;
	v->refs = 1;
	v->cut = UINT64_MAX;
	v->file.fd = -1;
	if (pthread_mutex_init(&v->lock, NULL) != 0) {
		free(v);
		return NULL;
	}
	return v;
}

struct volume *
volume_unref(struct volume *v)
{
	if (v == NULL || --v->refs > 0)
		return NULL;
	block_log_close(&v->file);
	pthread_mutex_destroy(&v->lock);
	free(v->hot);
	free(v);
	return NULL;
}

static int
open_locked(struct volume *v, int folder)
{
	int r;

	if (v->opened)
		return 0;
	r = block_log_open(folder, v->number, &v->file);
	if (r == 0)
		v->opened = true;
	else
		v->file.fd = -1;
	return r > 0 ? err_new(-EBADMSG) : err_pass(r);
}

int
volume_open(struct volume *v, int folder)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = open_locked(v, folder);
	pthread_mutex_unlock(&v->lock);
	return err_pass(r);
}

int
volume_lend(struct volume *v, int folder, uint64_t end)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = end > v->cut ? -ENODATA : open_locked(v, folder);
	if (r == 0)
		v->lent++;
	pthread_mutex_unlock(&v->lock);
	return r;
}

void
volume_take_back(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	assert(v->lent > 0);
	v->lent--;
	pthread_mutex_unlock(&v->lock);
}

void
volume_cut(struct volume *v, uint64_t length)
{
	pthread_mutex_lock(&v->lock);
	if (v->lent == 0) {
		v->cut = length;
		(void)block_log_truncate(&v->file, length);
	}
	pthread_mutex_unlock(&v->lock);
}

bool
volume_is_open(struct volume *v)
{
	bool opened;

	if (pthread_mutex_trylock(&v->lock) != 0)
		return false;
	opened = v->opened;
	pthread_mutex_unlock(&v->lock);
	return opened;
}

int
volume_create(struct volume *v, int folder, uint64_t now_s, uint64_t salt)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = block_log_create(folder, v->number, now_s, salt, &v->file);
	if (r == 0)
		v->opened = true;
	else
		v->file.fd = -1;
	pthread_mutex_unlock(&v->lock);
	return err_pass(r);
}

/* Nobody else has it: the table's reference is the only one. */
static void
volume_close_idle(struct store_disk *m, struct volume *v)
{
	if (v->opened)
		block_log_close(&v->file);
	v->opened = false;
	v->on_used = false;
	TAILQ_REMOVE(&m->used, v, used);
	m->n_used--;
}

static void
limit_open(struct store_disk *m)
{
	struct volume *v, *next;

	for (v = TAILQ_FIRST(&m->used); v != NULL && m->n_used > OPEN_MAX;
		v = next) {
		next = TAILQ_NEXT(v, used);
		if (v->refs == 1 && v != m->active && !v->dirty)
			volume_close_idle(m, v);
	}
}

void
volume_hold(struct store_disk *m, struct volume *v)
{
	v->refs++;
	if (v->gone)
		return;
	if (v->on_used)
		TAILQ_REMOVE(&m->used, v, used);
	else
		m->n_used++;
	v->on_used = true;
	TAILQ_INSERT_TAIL(&m->used, v, used);
	if (m->n_used > OPEN_MAX)
		limit_open(m);
}

void
volume_release(struct store_disk *m, struct volume *v)
{
	volume_unref(v);
}

void
volume_touch(struct store_disk *m, struct volume *v, uint64_t offset)
{
	size_t bit = (size_t)(offset / HOT_UNIT);

	/* From then on the bits belong to the eviction. */
	if (v->doomed || v->gone)
		return;
	if (bit / 8 >= v->hot_len) {
		size_t most = (size_t)(MAX_OF(m->volume_bytes, v->length) /
				HOT_UNIT / 8 +
			1);
		size_t len = MAX_OF(bit / 8 + 1, most);
		uint8_t *p = realloc(v->hot, len);

		if (p == NULL)
			return;
		memset(p + v->hot_len, 0, len - v->hot_len);
		v->hot = p;
		v->hot_len = len;
	}
	v->hot[bit / 8] |= (uint8_t)(1u << bit % 8);
}

bool
volume_is_hot(const struct volume *v, uint64_t offset)
{
	size_t bit = (size_t)(offset / HOT_UNIT);

	return bit / 8 < v->hot_len && (v->hot[bit / 8] >> bit % 8 & 1) != 0;
}

/* Position of the first one not below number. */
static size_t
position(const struct store_disk *m, uint32_t number)
{
	size_t lo = 0, hi = m->n_volumes;

	/* Mostly the youngest is asked for. */
	if (hi > 0 && m->volumes[hi - 1]->number < number)
		return hi;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->volumes[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct volume *
disk_volume(const struct store_disk *m, uint32_t number)
{
	size_t i = position(m, number);

	return i < m->n_volumes && m->volumes[i]->number == number
		? m->volumes[i]
		: NULL;
}

int
disk_volumes_reserve(struct store_disk *m)
{
	size_t cap = MAX_OF(m->cap_volumes * 2, 16u);
	struct volume **p;

	if (m->n_volumes < m->cap_volumes)
		return 0;
	p = realloc(m->volumes, cap * sizeof(*p));
	if (p == NULL)
		return err_new(-ENOMEM);
	m->volumes = p;
	m->cap_volumes = cap;
	return 0;
}

void
disk_volume_add(struct store_disk *m, struct volume *v)
{
	size_t i = position(m, v->number);

	memmove(&m->volumes[i + 1], &m->volumes[i],
		(m->n_volumes - i) * sizeof(m->volumes[0]));
	m->volumes[i] = v;
	m->n_volumes++;
}

void
disk_volume_remove(struct store_disk *m, struct volume *v)
{
	size_t i = position(m, v->number);

	m->n_volumes--;
	memmove(&m->volumes[i], &m->volumes[i + 1],
		(m->n_volumes - i) * sizeof(m->volumes[0]));
	if (v->on_used) {
		TAILQ_REMOVE(&m->used, v, used);
		m->n_used--;
		v->on_used = false;
	}
	if (m->active == v)
		m->active = NULL;
	v->gone = true;
	volume_unref(v);
}

uint64_t
disk_bytes(const struct store_disk *m)
{
	uint64_t n = index_used_bytes(m->index);

	for (size_t i = 0; i < m->n_volumes; i++)
		n += m->volumes[i]->length;
	return n;
}

int
disk_rows(const struct store_disk *m, bool synced, struct volume_row **ret,
	size_t *ret_n)
{
	struct volume_row *rows = calloc(m->n_volumes + 1, sizeof(*rows));

	if (rows == NULL)
		return err_new(-ENOMEM);
	for (size_t i = 0; i < m->n_volumes; i++) {
		const struct volume *v = m->volumes[i];

		rows[i] = (struct volume_row){
			.number = v->number,
			.changed = synced && v->length != v->committed,
			.length = synced ? v->length : v->committed,
			.born_s = v->born_s,
			.newest_s = v->newest_s,
			.blocks = v->blocks,
			.bytes = v->bytes,
		};
	}
	*ret = rows;
	*ret_n = m->n_volumes;
	return 0;
}

void
disk_rows_back(struct store_disk *m, const struct volume_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct volume *v = disk_volume(m, rows[i].number);

		if (v == NULL)
			continue;
		v->committed = rows[i].length;
		v->newest_s = rows[i].newest_s;
		v->blocks = rows[i].blocks;
		v->bytes = rows[i].bytes;
	}
}

bool
disk_is_low(int folder)
{
	uint64_t unit, want;
	struct statvfs s;

	if (fstatvfs(folder, &s) != 0)
		return false;
	unit = s.f_frsize != 0 ? s.f_frsize : s.f_bsize;
	want = MIN_OF(s.f_blocks / FREE_PARTS, FREE_MOST / MAX_OF(unit, 1u));
	return s.f_bavail < want;
}

void
disk_volume_bytes_set(struct store_disk *m)
{
	uint64_t n = VOLUME_MAX;

	if (m->max_bytes != 0)
		n = MIN_OF(n, m->max_bytes / VOLUME_PARTS);
	m->volume_bytes =
		m->volume_fixed != 0 ? m->volume_fixed : MAX_OF(n, VOLUME_MIN);
}

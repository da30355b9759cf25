/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block store on disk.
 *
 *	lock		held with flock() as long as the store is open
 *	index.mdb	where each block lies, and whose it is (LMDB)
 *	NNNNNNNN.vol	volumes: the blocks, only ever appended to
 *
 * Threads.  The loop owns all state.  The store thread does what writes, one
 * job at a time (disk_job(); what the job works with is the store thread's as
 * long as it runs).  Workers read, with values that they were handed.
 *
 * The life of a block:
 *
 *	put	waits in the queue, see store_disk_put.c
 *	batch	is appended to the active volume by the store thread
 *	overlay	is seen from now on; the put is answered
 *	commit	after a second or COMMIT_BYTES its volume is synced, then its
 *		place is brought into the index: now it is durable
 *	...	is read, gains owners, loses them
 *	evict	the oldest volume goes: the block was read meanwhile and is
 *		copied to the youngest, or it goes
 *
 * Order makes every crash harmless.  Data is synced before the index names it;
 * what the index does not name behind a volume's committed length is cut off at
 * the next start; volumes are unlinked after the index has forgotten them, and
 * numbers of volumes are never used again, so an entry that names one which is
 * no more is absent.
 *
 * An index that is lost, damaged, or of an older format is made again from the
 * volumes, see store_disk_rebuild.c; one of a newer format is left alone and
 * the store does not open.
 */
#include "daemon/store/store_disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/err.h"
#include "daemon/store/store_disk_priv.h"

#define INDEX_FORMAT 1u
#define FS_TMPFS     0x01021994u
#define COMMIT_MS    1000u
#define COMMIT_BYTES (UINT64_C(64) << 20)
#define AGE_MS       (UINT64_C(600) * 1000)

/* Address space for the index, not disk: more than it can have within the
 * limit, which may grow while the service runs. */
#define MAP_LEAST (UINT64_C(16) << 30)
#define MAP_SPARE (UINT64_C(64) << 20)

uint64_t
disk_now_ms(const struct store_disk *m)
{
	return m->host.env->ops->now_ms(m->host.env->ctx);
}

uint64_t
disk_wall_s(const struct store_disk *m)
{
	return m->host.wall_s(m->host.ctx);
}

void
disk_report(struct store_disk *m, enum store_report what, int error)
{
	m->host.report(m->host.ctx, what, m->path, error);
}

void
disk_alarm(struct store_disk *m, struct disk_alarm *alarm, void (*fn)(void *),
	uint64_t delay_ms)
{
	if (m->closing && delay_ms != UINT64_MAX)
		return;
	alarm->fn = fn;
	m->host.alarm(m->host.ctx, fn, alarm, delay_ms);
}

void
request_init(struct request *r, struct store_disk *m, enum request_kind kind)
{
	*r = (struct request){.store = m, .kind = kind};
}

static void
sync_answer(struct request *r)
{
	struct sync_request *s = container_of(r, struct sync_request, request);

	s->used = false;
	s->done(s->ctx);
}

void
request_answer(struct request *r, enum store_status status)
{
	switch (r->kind) {
	case REQUEST_PUT:
		REQUEST_OF(r, store_put)->done(REQUEST_OF(r, store_put));
		break;
	case REQUEST_FLUSH:
	case REQUEST_CLEAR:
		REQUEST_OF(r, store_flush)->status = status;
		REQUEST_OF(r, store_flush)->done(REQUEST_OF(r, store_flush));
		break;
	case REQUEST_LIST:
		list_begin(REQUEST_OF(r, store_list));
		break;
	case REQUEST_VERIFY:
		verify_begin(REQUEST_OF(r, store_verify));
		break;
	case REQUEST_SYNC:
		sync_answer(r);
		break;
	case REQUEST_DROP:
		break;
	}
}

static void
answer_ok(struct env_job *job, bool ran)
{
	request_answer(container_of(job, struct request, job), STORE_OK);
}

/* Of a flush: the status stays as set by whoever could not do it. */
static void
answer_flush(struct env_job *job, bool ran)
{
	struct request *r = container_of(job, struct request, job);

	request_answer(r, REQUEST_OF(r, store_flush)->status);
}

void
request_answer_later(struct request *r, enum store_status status)
{
	const struct env *env = r->store->host.env;
	bool flush = r->kind == REQUEST_FLUSH || r->kind == REQUEST_CLEAR;

	if (flush)
		REQUEST_OF(r, store_flush)->status = status;
	r->job = (struct env_job){.done = flush ? answer_flush : answer_ok};
	env->ops->job(env->ctx, &r->job);
}

static void
job_run(struct work_job *job, void *thread_ctx)
{
	struct store_disk *m = container_of(job, struct store_disk, job);

	m->job_run(m);
}

static void
job_done(struct work_job *job)
{
	struct store_disk *m = container_of(job, struct store_disk, job);

	m->job_done(m, m->job.ran);
	m->busy = false;
	disk_kick(m);
}

void
disk_job(struct store_disk *m, void (*run)(struct store_disk *),
	void (*done)(struct store_disk *, bool))
{
	m->busy = true;
	m->job_run = run;
	m->job_done = done;
	m->job = (struct work_job){.run = job_run, .done = job_done};
	work_submit(m->host.pool, &m->job);
}

/* What waits comes before the rebuild, but not twice in a row. */
void
disk_kick(struct store_disk *m)
{
	bool more = true;

	while (!m->busy && !m->closing && more) {
		if (disk_commit_due(m))
			more = disk_commit_start(m);
		else if (m->rebuild.turn && disk_rebuild_start(m))
			;
		else
			more = disk_batch_start(m) || disk_rebuild_start(m) ||
				disk_scrub_start(m);
	}
}

static void
disk_stats(struct block_store *base, struct store_stats *ret)
{
	const struct store_disk *m = disk_of(base);
	int64_t blocks = m->fresh->d_blocks + m->committing->d_blocks;
	int64_t bytes = m->fresh->d_bytes + m->committing->d_bytes;

	*ret = m->stats;
	for (size_t i = 0; i < m->n_volumes; i++) {
		blocks += (int64_t)m->volumes[i]->blocks;
		bytes += (int64_t)m->volumes[i]->bytes;
		if (m->rebuild.active &&
			m->volumes[i]->number >= m->rebuild.number &&
			m->volumes[i]->number < m->rebuild.end)
			ret->rebuild_left++;
	}
	ret->blocks = (uint64_t)MAX_OF(blocks, 0);
	ret->bytes = (uint64_t)MAX_OF(bytes, 0);
	ret->disk_bytes = disk_bytes(m);
	ret->max_bytes = m->max_bytes;
	ret->volumes = m->n_volumes;
	ret->health = MAX_OF(m->append_health, m->commit_health);
}

static void
disk_set_limit(struct block_store *base, uint64_t max_bytes)
{
	struct store_disk *m = disk_of(base);

	m->max_bytes = max_bytes;
	disk_volume_bytes_set(m);
	disk_kick(m);
}

static void
disk_set_max_age(struct block_store *base, uint64_t seconds)
{
	struct store_disk *m = disk_of(base);

	m->max_age_s = seconds;
	disk_kick(m);
}

static void
age_alarm(void *ctx)
{
	struct store_disk *m = container_of(ctx, struct store_disk, age_alarm);

	disk_alarm(m, &m->age_alarm, age_alarm, AGE_MS);
	disk_kick(m);
}

void
store_disk_sync(struct block_store *base, void (*done)(void *ctx), void *ctx)
{
	struct store_disk *m = disk_of(base);
	struct sync_request *s = m->syncs;

	while (s < m->syncs + SYNCS_MAX && s->used)
		s++;
	if (s == m->syncs + SYNCS_MAX)
		abort();
	*s = (struct sync_request){.done = done, .ctx = ctx, .used = true};
	request_init(&s->request, m, REQUEST_SYNC);
	disk_enqueue(m, &s->request);
}

static void
alarms_stop(struct store_disk *m)
{
	struct disk_alarm *all[] = {&m->commit_alarm, &m->retry_alarm,
		&m->age_alarm, &m->scrub_alarm};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->fn != NULL)
			disk_alarm(m, all[i], all[i]->fn, UINT64_MAX);
}

/* The store thread's last job. */
static void
wait_idle(struct store_disk *m)
{
	struct pollfd p = {.fd = work_fd(m->host.pool), .events = POLLIN};

	while (m->busy) {
		(void)poll(&p, 1, -1);
		work_dispatch(m->host.pool);
	}
}

static struct store_disk *
disk_free(struct store_disk *m)
{
	disk_queue_done(m);
	generation_done(m->fresh);
	generation_done(m->committing);
	disk_rebuild_end(m);
	walk_free(m->scrub.walk);
	while (m->n_volumes > 0)
		disk_volume_remove(m, m->volumes[m->n_volumes - 1]);
	free(m->volumes);
	m->index = index_close(m->index);
	if (m->lock >= 0)
		close(m->lock);
	if (m->folder >= 0)
		close(m->folder);
	free(m->path);
	free(m);
	return NULL;
}

static struct block_store *
disk_close(struct block_store *base)
{
	struct store_disk *m = disk_of(base);

	assert(m->n_lent == 0);
	m->closing = true;
	alarms_stop(m);
	wait_idle(m);
	disk_commit_last(m);
	disk_free(m);
	return NULL;
}

static const struct block_store_ops disk_ops = {
	.lookup = disk_lookup,
	.get = disk_get,
	.put = disk_put,
	.flush = disk_flush,
	.drop = disk_drop_ref,
	.clear = disk_clear,
	.list = disk_list,
	.verify = disk_verify,
	.held = disk_held,
	.lend = disk_lend,
	.give_back = disk_give_back,
	.stats = disk_stats,
	.set_limit = disk_set_limit,
	.set_max_age = disk_set_max_age,
	.close = disk_close,
};

static int
open_folder(struct store_disk *m, const char *path, const char **ret_why)
{
	struct statfs fs;

	*ret_why = "the folder cannot be opened";
	m->path = strdup(path);
	if (m->path == NULL)
		return err_new(-ENOMEM);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_new(-errno);
	m->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->folder < 0)
		return err_new(-errno);
	m->in_memory =
		fstatfs(m->folder, &fs) == 0 && (uint32_t)fs.f_type == FS_TMPFS;
	*ret_why = "the lock file cannot be opened";
	m->lock = openat(m->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (m->lock < 0)
		return err_new(-errno);
	if (flock(m->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_new(-errno);
	*ret_why = "another peerdistd uses this folder";
	return err_new(-EBUSY);
}

static int
open_index(struct store_disk *m, enum index_opened *ret, const char **ret_why)
{
	struct index_params p = {
		.folder = m->folder,
		.path = m->path,
		.name = "index",
		.format = INDEX_FORMAT,
		.map_size = MAX_OF(MAP_LEAST, m->max_bytes + MAP_SPARE),
		.n_tables = _T_MAX,
		.tables = {[T_SEGMENTS] = {.name = "segments"},
			[T_VOLUMES] = {.name = "volumes"},
			[T_OWNERS] = {.name = "owners"},
			[T_NAMES] = {.name = "names"},
			[T_OWNED] = {.name = "owned", .dup = true},
			[T_STATE] = {.name = "state"}},
	};
	int r = index_open(&m->index, &p, true);

	*ret_why = "the index cannot be opened";
	if (r < 0)
		return err_pass(r);
	if (r == INDEX_NEWER) {
		*ret_why = "the index is of a newer format";
		return err_new(-EPROTONOSUPPORT);
	}
	*ret = r;
	return 0;
}

/* What is found in the folder and in the index. */
struct survey {
	struct store_disk *m;
	uint32_t *files;
	size_t n_files, cap;
	bool damaged;
	int error;
};

static int
survey_file(uint32_t number, void *ctx)
{
	struct survey *s = ctx;
	size_t cap = s->cap != 0 ? s->cap * 2 : 64;
	uint32_t *p;

	/* No number of ours: none could follow it. */
	if (number == UINT32_MAX)
		return 0;
	if (s->n_files == s->cap) {
		p = realloc(s->files, cap * sizeof(*p));
		if (p == NULL)
			return err_new(-ENOMEM);
		s->files = p;
		s->cap = cap;
	}
	s->files[s->n_files++] = number;
	s->m->next_number = MAX_OF(s->m->next_number, number + 1);
	return 0;
}

static int
compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool
has_file(const struct survey *s, uint32_t number)
{
	return s->n_files > 0 &&
		bsearch(&number, s->files, s->n_files, sizeof(number),
			compare_numbers) != NULL;
}

static int
add_volume(struct store_disk *m, const struct volume_row *row)
{
	struct volume *v;

	if (disk_volumes_reserve(m) != 0)
		return err_new(-ENOMEM);
	v = volume_new(row->number);
	if (v == NULL)
		return err_new(-ENOMEM);
	v->length = v->committed = row->length;
	v->born_s = row->born_s;
	v->newest_s = row->newest_s;
	v->blocks = row->blocks;
	v->bytes = row->bytes;
	disk_volume_add(m, v);
	return 0;
}

static bool
survey_row(struct index_blob key, struct index_blob value, void *ctx)
{
	struct survey *s = ctx;
	struct store_disk *m = s->m;
	struct volume_row row;

	if (!volume_row_parse(&row, key, value)) {
		s->damaged = true;
		return false;
	}
	m->next_number = MAX_OF(m->next_number, row.number + 1);
	if (!has_file(s, row.number)) {
		struct change *c = change_new(CHANGE_VOLUME, NULL);

		if (c == NULL) {
			s->error = -ENOMEM;
			return false;
		}
		c->at.volume = row.number;
		generation_add(m->fresh, c);
		return true;
	}
	s->error = add_volume(m, &row);
	return s->error == 0;
}

/* Files that no index tells of: what was appended to them never counted. */
static int
remove_unknown(struct survey *s, const char **ret_why)
{
	struct store_disk *m = s->m;
	struct volume_file f;

	for (size_t i = 0; i < s->n_files; i++) {
		int r;

		if (disk_volume(m, s->files[i]) != NULL)
			continue;
		r = block_log_open(m->folder, s->files[i], &f);
		if (r == RECORD_E_FORMAT) {
			*ret_why = "a volume is of another format";
			return err_new(-EPROTONOSUPPORT);
		}
		if (r == 0)
			block_log_close(&f);
		(void)block_log_unlink(m->folder, s->files[i]);
	}
	return 0;
}

/* The youngest volume is appended to again, where it ended. */
static void
reopen_last(struct store_disk *m)
{
	struct volume *v;

	if (m->n_volumes == 0)
		return;
	v = m->volumes[m->n_volumes - 1];
	if (volume_open(v, m->folder) != 0)
		return;
	if (v->file.length > v->committed &&
		block_log_truncate(&v->file, v->committed) != 0)
		return;
	if (v->file.length == v->committed && v->length < m->volume_bytes)
		m->active = v;
}

/* All volumes that are there, to be scanned. */
static int
volumes_from_files(struct survey *s, const char **ret_why)
{
	struct store_disk *m = s->m;

	while (m->n_volumes > 0)
		disk_volume_remove(m, m->volumes[m->n_volumes - 1]);
	generation_done(m->fresh);
	for (size_t i = 0; i < s->n_files; i++) {
		struct volume_row row = {.number = s->files[i]};
		struct volume_file f;
		int r = block_log_open(m->folder, row.number, &f);

		if (r == RECORD_E_FORMAT) {
			*ret_why = "a volume is of another format";
			return err_new(-EPROTONOSUPPORT);
		}
		if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
			return err_pass(r);
		if (r != 0) {
			/* Without its header nothing of it can be trusted. */
			(void)block_log_unlink(m->folder, row.number);
			continue;
		}
		row.length = f.length;
		row.born_s = f.born_s;
		block_log_close(&f);
		r = add_volume(m, &row);
		if (r != 0)
			return err_pass(r);
	}
	return 0;
}

/* Every commit notes the next number of a volume.  Where there is none the
 * index was only just made, whatever became of who made it, and tells nothing
 * about the volumes. */
static bool
index_is_whole(struct survey *s)
{
	struct store_disk *m = s->m;
	uint64_t next = 0, rebuilding = 0;
	int r = disk_state(m->index, STATE_REBUILDING, &rebuilding);

	if (s->damaged || r == -EBADMSG || rebuilding != 0 ||
		disk_state(m->index, STATE_NEXT_VOLUME, &next) != 0)
		return false;
	m->next_number = MAX_OF(m->next_number, (uint32_t)next);
	return true;
}

static int
survey_volumes(struct survey *s, bool *ret_rebuild, const char **ret_why)
{
	struct store_disk *m = s->m;
	int r;

	*ret_why = "the volumes cannot be listed";
	r = block_log_each(m->folder, survey_file, s);
	if (r != 0)
		return err_pass(r);
	if (s->n_files > 0)
		qsort(s->files, s->n_files, sizeof(s->files[0]),
			compare_numbers);
	r = index_each(
		m->index, T_VOLUMES, (struct index_blob){0}, survey_row, s);
	if (r == 0)
		r = s->error;
	if (r != 0)
		return err_pass(r);
	*ret_rebuild = !index_is_whole(s) && s->n_files > 0;
	if (*ret_rebuild)
		return err_pass(volumes_from_files(s, ret_why));
	r = remove_unknown(s, ret_why);
	if (r == 0)
		reopen_last(m);
	return err_pass(r);
}

static void
report_opened(struct store_disk *m, enum index_opened opened, bool damaged)
{
	if (opened == INDEX_FOREIGN)
		disk_report(m, STORE_REPORT_FOREIGN, 0);
	else if (opened == INDEX_DAMAGED || damaged)
		disk_report(m, STORE_REPORT_DAMAGED, 0);
	disk_report(m, STORE_REPORT_OPENED, 0);
}

static int
open_stored(struct store_disk *m, const char **ret_why)
{
	struct survey s = {.m = m};
	enum index_opened opened;
	bool rebuild = false;
	int r = open_index(m, &opened, ret_why);

	if (r != 0)
		return err_pass(r);
	r = survey_volumes(&s, &rebuild, ret_why);
	free(s.files);
	if (r != 0)
		return err_pass(r);
	report_opened(m, opened, s.damaged);
	if (rebuild)
		disk_rebuild_begin(m);
	return 0;
}

static int
open_all(struct store_disk *m, const char *path, const char **ret_why)
{
	int r = open_folder(m, path, ret_why);

	if (r != 0)
		return err_pass(r);
	r = open_stored(m, ret_why);
	if (r != -EIO || m->index == NULL || !index_is_damaged(m->index))
		return err_pass(r);
	/* The damage showed only now; from the volumes, then. */
	m->index = index_close(m->index);
	return err_pass(open_stored(m, ret_why));
}

static struct store_disk *
disk_new(const struct store_host *host, const struct store_disk_params *p)
{
	struct store_disk *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->base.ops = &disk_ops;
	m->host = *host;
	m->folder = m->lock = -1;
	m->max_bytes = p->max_bytes;
	m->max_age_s = p->max_age_s;
	m->volume_fixed = p->volume_bytes;
	m->commit_ms = p->commit_ms != 0 ? p->commit_ms : COMMIT_MS;
	m->commit_bytes = p->commit_bytes != 0 ? p->commit_bytes : COMMIT_BYTES;
	m->scrub.rate = p->scrub_bytes_per_s;
	disk_volume_bytes_set(m);
	m->next_number = 1;
	m->generation = 1;
	m->fresh = &m->gens[0];
	m->committing = &m->gens[1];
	generation_init(m->fresh);
	generation_init(m->committing);
	TAILQ_INIT(&m->used);
	STAILQ_INIT(&m->queue);
	STAILQ_INIT(&m->batch.whole);
	return m;
}

int
store_disk_open(struct block_store **ret, const struct store_host *host,
	const struct store_disk_params *params, const char **ret_why)
{
	struct store_disk *m = disk_new(host, params);
	int r;

	*ret_why = "out of memory";
	if (m == NULL)
		return err_new(-ENOMEM);
	r = open_all(m, params->folder, ret_why);
	if (r == -ENOMEM)
		*ret_why = "out of memory";
	if (r != 0) {
		disk_free(m);
		return err_pass(r);
	}
	if (!generation_is_empty(m->fresh))
		disk_commit_soon(m);
	disk_alarm(m, &m->age_alarm, age_alarm, AGE_MS);
	disk_scrub_begin(m);
	*ret = &m->base;
	disk_kick(m);
	return 0;
}

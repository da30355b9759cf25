/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash store on disk: an index of its own, NAME "publications", and the
 * file hash.lock, which is held for as long as the store is open.
 *
 * Reading happens on the loop (records, which are small) and on workers
 * (hashes).  Puts and removals queue up; one job at a time takes all that wait
 * to the store thread, and each is answered when that job's commit has ended
 * (hash_txn.c).
 *
 * Every record has a checksum.  One that is damaged does not exist for readers,
 * and is removed when it is met.  An index that cannot be used is put aside and
 * an empty one begun: what was published is then to be published again.
 */
#include "daemon/store/hash_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"
#include "daemon/store/hash_txn.h"

#define NAME     "publications"
#define LOCK     "hash.lock"
#define IDS_MOST 16 /* entries looked at for one label or file */
/* Address space: what is published may grow with a new limit. */
#define MAP_LEAST (SIZE_MAX > UINT32_MAX ? UINT64_C(16) << 30 : 256u << 20)
#define MAP_TIMES 4u

struct hash_disk {
	struct hash_store base;
	struct store_host host;
	char *folder;
	int folder_fd;
	int lock_fd;
	struct index *index;
	struct hash_writes queue;
	bool closing;
	struct hash_stats stats;
	uint64_t last_id;
	/* Of the job at the store thread. */
	struct work_job job;
	bool running;
	struct hash_writes batch;
	struct hash_counts counts;
	uint64_t max_bytes;
	int failure;
};

struct load_job {
	struct env_job job;
	struct hash_disk *store;
};

_Static_assert(sizeof(struct load_job) <= STORE_PRIVATE * sizeof(void *) &&
		sizeof(struct hash_write) <= STORE_PRIVATE * sizeof(void *),
	"a request has room for what the store keeps of it");

static struct hash_disk *
disk_of(struct hash_store *s)
{
	return container_of(s, struct hash_disk, base);
}

static struct index_blob
blob(const void *data, size_t len)
{
	return (struct index_blob){data, len};
}

static void
report(struct hash_disk *d, enum store_report what, int error)
{
	d->host.report(d->host.ctx, what, d->folder, error);
}

/* Writing. */

static void batch_start(struct hash_disk *);

static void
batch_run(struct work_job *job, void *thread_ctx)
{
	struct hash_disk *d = container_of(job, struct hash_disk, job);

	d->failure =
		hash_txn_run(d->index, &d->batch, d->max_bytes, &d->counts);
}

static void
set_health(struct hash_disk *d, int failure)
{
	enum store_health before = d->stats.health, now = STORE_HEALTHY;

	if (failure == -ENOSPC)
		now = STORE_FULL;
	else if (failure == -ENOMEM)
		now = before; /* not the disk's fault */
	else if (failure != 0)
		now = STORE_FAILING;
	d->stats.health = now;
	if (now == before)
		return;
	if (now == STORE_HEALTHY)
		report(d, STORE_REPORT_RECOVERED, 0);
	else if (now == STORE_FULL)
		report(d, STORE_REPORT_FULL, -failure);
	else if (index_is_damaged(d->index))
		report(d, STORE_REPORT_INDEX_BROKEN, -failure);
	else
		report(d, STORE_REPORT_FAILING, -failure);
}

static void
answer(struct hash_writes *writes)
{
	struct hash_write *w;

	while ((w = STAILQ_FIRST(writes)) != NULL) {
		STAILQ_REMOVE_HEAD(writes, link);
		if (w->put != NULL)
			w->put->done(w->put);
		else
			w->remove->done(w->remove);
	}
}

static void
destroy(struct hash_disk *d)
{
	index_close(d->index);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->folder_fd >= 0)
		close(d->folder_fd);
	free(d->folder);
	free(d);
}

/* The pool may have been stopped before the job ran: then nothing was done. */
static void
set_not_run(struct hash_writes *writes)
{
	struct hash_write *w;

	STAILQ_FOREACH (w, writes, link)
		if (w->put != NULL)
			w->put->status = STORE_IO;
		else
			w->remove->status = STORE_IO;
}

static void
batch_done(struct work_job *job)
{
	struct hash_disk *d = container_of(job, struct hash_disk, job);
	struct hash_writes done = STAILQ_HEAD_INITIALIZER(done);

	d->running = false;
	if (job->ran) {
		index_refresh(d->index);
		set_health(d, d->failure);
		d->last_id = d->counts.last_id;
		d->stats.entries = d->counts.entries;
		d->stats.bytes = d->counts.bytes;
	} else {
		set_not_run(&d->batch);
	}
	STAILQ_CONCAT(&done, &d->batch);
	answer(&done);
	if (!STAILQ_EMPTY(&d->queue))
		batch_start(d);
	else if (d->closing)
		destroy(d);
}

static void
batch_start(struct hash_disk *d)
{
	if (d->running)
		return;
	d->running = true;
	STAILQ_CONCAT(&d->batch, &d->queue);
	d->counts = (struct hash_counts){
		d->last_id, d->stats.entries, d->stats.bytes};
	d->max_bytes = d->stats.max_bytes;
	d->job = (struct work_job){.run = batch_run, .done = batch_done};
	work_submit(d->host.pool, &d->job);
}

static void
queue(struct hash_disk *d, struct hash_write *w)
{
	STAILQ_INSERT_TAIL(&d->queue, w, link);
	batch_start(d);
}

static void
disk_put(struct hash_store *base, struct hash_put *p)
{
	struct hash_write *w = (void *)p->store_private;

	*w = (struct hash_write){.put = p};
	queue(disk_of(base), w);
}

static void
disk_remove(struct hash_store *base, struct hash_remove *r)
{
	struct hash_write *w = (void *)r->store_private;

	*w = (struct hash_write){.remove = r};
	queue(disk_of(base), w);
}

static void
rotten_removed(struct hash_remove *r)
{
	free(r);
}

/* Without memory for it, the next who meets it tries again. */
static void
remove_rotten(struct hash_disk *d, uint64_t id)
{
	struct hash_remove *r = calloc(1, sizeof(*r));

	report(d, STORE_REPORT_ROTTEN, 0);
	if (r == NULL)
		return;
	r->id = id;
	r->done = rotten_removed;
	disk_remove(&d->base, r);
}

/* Looking up. */

static bool
get_entry(struct hash_disk *d, uint64_t id, struct hash_entry *ret)
{
	struct index_blob value;
	uint8_t key[HASH_KEY_ID];
	uint64_t sum;

	hash_key_id(key, id);
	if (id == 0 ||
		!index_get(
			d->index, HASH_ENTRIES, blob(key, sizeof(key)), &value))
		return false;
	if (hash_record_parse(ret, &sum, id, value.data, value.len) == 0)
		return true;
	remove_rotten(d, id);
	return false;
}

/* The ids under one key.  Collected first: the index may not be asked for
 * something else during a walk. */
struct ids {
	struct index_blob key;
	size_t n;
	uint64_t ids[IDS_MOST];
};

static bool
take_id(struct index_blob key, struct index_blob value, void *ctx)
{
	struct ids *ids = ctx;

	if (key.len != ids->key.len ||
		memcmp(key.data, ids->key.data, key.len) != 0)
		return false;
	ids->ids[ids->n++] = hash_key_read_id(value.data, value.len);
	return ids->n < IDS_MOST;
}

static void
find_ids(struct hash_disk *d, enum hash_table table, struct ids *ids)
{
	ids->n = 0;
	(void)index_each(d->index, table, ids->key, take_id, ids);
}

static bool
without_pointers(struct hash_entry *e, struct hash_entry *ret)
{
	*ret = *e;
	ret->label = ret->hashes = NULL;
	return true;
}

static bool
disk_find(struct hash_store *base, uint32_t uid, const uint8_t *label,
	size_t len, struct hash_entry *ret_entry)
{
	struct hash_disk *d = disk_of(base);
	uint8_t key[HASH_KEY_LABEL];
	struct ids ids = {.key = {key, sizeof(key)}};
	struct hash_entry e;

	hash_key_label(key, uid, label, len);
	find_ids(d, HASH_LABELS, &ids);
	for (size_t i = 0; i < ids.n; i++)
		if (get_entry(d, ids.ids[i], &e) && e.uid == uid &&
			e.label_len == len && memcmp(e.label, label, len) == 0)
			return without_pointers(&e, ret_entry);
	return false;
}

static bool
disk_find_id(struct hash_store *base, uint64_t id, struct hash_entry *ret_entry)
{
	struct hash_entry e;

	return get_entry(disk_of(base), id, &e) &&
		without_pointers(&e, ret_entry);
}

static bool
disk_find_file(struct hash_store *base, const struct hash_file *file,
	uint32_t uid, struct hash_entry *ret_entry)
{
	struct hash_disk *d = disk_of(base);
	uint8_t key[HASH_KEY_FILE], its[HASH_KEY_FILE];
	struct ids ids = {.key = {key, sizeof(key)}};
	struct hash_entry e;
	bool found = false;

	hash_key_file(key, file, uid);
	find_ids(d, HASH_FILES, &ids);
	for (size_t i = 0; i < ids.n; i++) {
		if (!get_entry(d, ids.ids[i], &e))
			continue;
		hash_key_file(its, &e.file, e.uid);
		if (memcmp(its, key, sizeof(key)) == 0 &&
			(!found || e.versions > ret_entry->versions))
			found = without_pointers(&e, ret_entry);
	}
	return found;
}

struct walk {
	bool (*fn)(const struct hash_entry *, void *ctx);
	void *ctx;
	uint64_t rotten; /* the first one met */
};

static bool
walk_one(struct index_blob key, struct index_blob value, void *ctx)
{
	uint64_t id = hash_key_read_id(key.data, key.len), sum;
	struct walk *w = ctx;
	struct hash_entry e;

	if (hash_record_parse(&e, &sum, id, value.data, value.len) == 0)
		return w->fn(&e, w->ctx);
	if (w->rotten == 0)
		w->rotten = id;
	return true;
}

static void
disk_each(struct hash_store *base, uint64_t after,
	bool (*fn)(const struct hash_entry *, void *ctx), void *ctx)
{
	struct hash_disk *d = disk_of(base);
	struct walk w = {.fn = fn, .ctx = ctx};
	uint8_t key[HASH_KEY_ID];

	if (after == UINT64_MAX)
		return;
	hash_key_id(key, after + 1);
	(void)index_each(
		d->index, HASH_ENTRIES, blob(key, sizeof(key)), walk_one, &w);
	if (w.rotten != 0)
		remove_rotten(d, w.rotten);
}

/* Loading. */

static struct hash_load *
load_of(struct env_job *job)
{
	return container_of(
		(void **)(void *)job, struct hash_load, store_private);
}

static enum store_status
copy_entry(struct hash_load *l, const struct hash_entry *e,
	struct index_blob hashes)
{
	size_t len = e->label_len + e->hashes_len;
	uint8_t *bytes = malloc(len);

	if (bytes == NULL)
		return STORE_NO_MEMORY;
	memcpy(bytes, e->label, e->label_len);
	memcpy(bytes + e->label_len, hashes.data, hashes.len);
	l->entry = *e;
	l->entry.label = bytes;
	l->entry.hashes = bytes + e->label_len;
	l->bytes = bytes;
	return STORE_OK;
}

static enum store_status
read_entry(struct index_reader *reader, struct hash_load *l)
{
	struct index_blob value, hashes, key;
	uint8_t id[HASH_KEY_ID];
	struct hash_entry e;
	uint64_t sum;

	hash_key_id(id, l->id);
	key = blob(id, sizeof(id));
	if (!index_reader_get(reader, HASH_ENTRIES, key, &value))
		return STORE_MISSING;
	if (hash_record_parse(&e, &sum, l->id, value.data, value.len) < 0 ||
		!index_reader_get(reader, HASH_HASHES, key, &hashes) ||
		hashes.len != e.hashes_len ||
		hash_record_sum(l->id, hashes.data, hashes.len) != sum)
		return STORE_ROTTEN;
	return copy_entry(l, &e, hashes);
}

static void
load_run(struct env_job *job, struct bulk *bulk)
{
	struct hash_load *l = load_of(job);
	struct hash_disk *d = container_of(job, struct load_job, job)->store;
	struct index_reader *reader = index_reader_new(d->index);

	if (reader != NULL)
		l->status = read_entry(reader, l);
	else if (index_is_damaged(d->index))
		l->status = STORE_IO;
	else
		l->status = STORE_NO_MEMORY;
	index_reader_free(reader);
}

static void
load_done(struct env_job *job, bool ran)
{
	struct hash_load *l = load_of(job);
	struct hash_disk *d = container_of(job, struct load_job, job)->store;

	if (!ran)
		l->status = STORE_IO;
	if (l->status == STORE_ROTTEN)
		remove_rotten(d, l->id);
	l->done(l);
}

static void
disk_load(struct hash_store *base, struct hash_load *l)
{
	struct load_job *j = (void *)l->store_private;
	struct hash_disk *d = disk_of(base);

	l->bytes = NULL;
	j->store = d;
	j->job = (struct env_job){
		.run = load_run, .done = load_done, .uid = l->uid};
	d->host.env->ops->job(d->host.env->ctx, &j->job);
}

/* The rest. */

static void
disk_stats(struct hash_store *base, struct hash_stats *ret)
{
	*ret = disk_of(base)->stats;
}

static void
disk_set_limit(struct hash_store *base, uint64_t max_bytes)
{
	disk_of(base)->stats.max_bytes = max_bytes;
}

/* Removals of our own may still be under way; the pool gives every job its end,
 * and the last one takes the rest down. */
static struct hash_store *
disk_close(struct hash_store *base)
{
	struct hash_disk *d = disk_of(base);

	d->closing = true;
	if (!d->running)
		destroy(d);
	return NULL;
}

static const struct hash_store_ops ops = {
	.find = disk_find,
	.find_id = disk_find_id,
	.find_file = disk_find_file,
	.each = disk_each,
	.put = disk_put,
	.load = disk_load,
	.remove = disk_remove,
	.stats = disk_stats,
	.set_limit = disk_set_limit,
	.close = disk_close,
};

static int
lock_folder(struct hash_disk *d, const char *folder, const char **ret_why)
{
	*ret_why = "the folder cannot be made";
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return err_new(-errno);
	*ret_why = "the folder cannot be opened";
	d->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->folder_fd < 0)
		return err_new(-errno);
	*ret_why = "the file " LOCK " cannot be written";
	d->lock_fd = openat(d->folder_fd, LOCK,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_new(-errno);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_new(-errno);
	*ret_why = "another peerdistd uses this folder";
	return err_new(-EBUSY);
}

/* enum index_opened; -errno. */
static int
open_index(struct hash_disk *d, uint64_t max_bytes)
{
	const struct index_params params = {
		.folder = d->folder_fd,
		.path = d->folder,
		.name = NAME,
		.format = HASH_RECORD_FORMAT,
		.map_size = max_bytes < (UINT64_C(1) << 40) / MAP_TIMES
			? MAX_OF(MAP_LEAST, max_bytes * MAP_TIMES)
			: MAX_OF(MAP_LEAST, UINT64_C(1) << 40),
		.n_tables = _HASH_TABLE_MAX,
		.tables =
			{
				[HASH_ENTRIES] = {"entries", false},
				[HASH_HASHES] = {"hashes", false},
				[HASH_LABELS] = {"labels", true},
				[HASH_FILES] = {"files", true},
				[HASH_COUNTS] = {"counts", false},
				[HASH_USERS] = {"users", false},
			},
	};

	return index_open(&d->index, &params, true);
}

static int
open_store(struct hash_disk *d, const char *folder, uint64_t max_bytes,
	const char **ret_why)
{
	struct hash_counts counts;
	int r = lock_folder(d, folder, ret_why), opened;

	if (r != 0)
		return err_pass(r);
	*ret_why = "the index cannot be opened";
	opened = open_index(d, max_bytes);
	if (opened < 0)
		return err_pass(opened);
	if (opened == INDEX_NEWER) {
		*ret_why = "it is of a newer release";
		return err_new(-EPROTONOSUPPORT);
	}
	*ret_why = "the index cannot be read";
	/* Without it files are not found as such, which is no reason to be
	 * without all; the next start tries again. */
	(void)hash_txn_link_files(d->index);
	index_refresh(d->index);
	r = hash_txn_count(d->index, &counts);
	if (r != 0)
		return err_pass(r);
	d->last_id = counts.last_id;
	d->stats = (struct hash_stats){
		counts.entries, counts.bytes, max_bytes, STORE_HEALTHY};
	report(d,
		opened == INDEX_DAMAGED           ? STORE_REPORT_DAMAGED
			: opened == INDEX_FOREIGN ? STORE_REPORT_FOREIGN
						  : STORE_REPORT_OPENED,
		0);
	return 0;
}

int
hash_store_open(struct hash_store **ret, const struct store_host *host,
	const char *folder, uint64_t max_bytes, const char **ret_why)
{
	struct hash_disk *d = calloc(1, sizeof(*d));
	int r;

	*ret_why = "out of memory";
	if (d == NULL)
		return err_new(-ENOMEM);
	d->base.ops = &ops;
	d->host = *host;
	d->folder_fd = d->lock_fd = -1;
	STAILQ_INIT(&d->queue);
	STAILQ_INIT(&d->batch);
	d->folder = strdup(folder);
	r = d->folder == NULL ? err_new(-ENOMEM)
			      : open_store(d, folder, max_bytes, ret_why);
	if (r != 0) {
		destroy(d);
		return err_pass(r);
	}
	*ret = &d->base;
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/bulk.h"

#define DEADLINE_MS 60000

const struct store_owner alice = {1, "a"}, bob = {2, "b"};

struct disk_fault disk_faults[_FAULT_MAX];
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;

void
disk_fault(enum disk_fault_call call, int error, const char *ending)
{
	pthread_mutex_lock(&fault_lock);
	disk_faults[call] = (struct disk_fault){
		.error = error, .ending = ending, .count = UINT32_MAX};
	pthread_mutex_unlock(&fault_lock);
}

void
disk_faults_off(void)
{
	pthread_mutex_lock(&fault_lock);
	memset(disk_faults, 0, sizeof(disk_faults));
	pthread_mutex_unlock(&fault_lock);
}

static bool
ends_with(const char *s, const char *ending)
{
	size_t n = strlen(s), m = strlen(ending);

	return n >= m && strcmp(s + n - m, ending) == 0;
}

static bool
is_file(int fd, const char *ending)
{
	char link[64], path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return ends_with(path, ending);
}

static bool
fault_now(enum disk_fault_call call, int fd)
{
	struct disk_fault *f = &disk_faults[call];
	bool now = false;

	pthread_mutex_lock(&fault_lock);
	if (f->error != 0 && is_file(fd, f->ending)) {
		if (f->skip > 0) {
			f->skip--;
		} else if (f->count > 0) {
			if (f->count != UINT32_MAX)
				f->count--;
			f->hits++;
			errno = f->error;
			now = true;
		}
	}
	pthread_mutex_unlock(&fault_lock);
	return now;
}

/* Volumes with bytes that were not synced, by descriptor. */
#define FDS 1024
static bool unsynced[FDS];
unsigned disk_commits_before_sync;

static void
note_written(int fd)
{
	pthread_mutex_lock(&fault_lock);
	if (fd < FDS && is_file(fd, ".vol"))
		unsynced[fd] = true;
	pthread_mutex_unlock(&fault_lock);
}

static void
note_synced(int fd)
{
	pthread_mutex_lock(&fault_lock);
	if (fd >= 0 && fd < FDS)
		unsynced[fd] = false;
	pthread_mutex_unlock(&fault_lock);
}

/* The first two pages of an index tell which of its states counts. */
static void
note_commit(int fd)
{
	pthread_mutex_lock(&fault_lock);
	for (int i = 0; i < FDS; i++)
		if (unsynced[i] && is_file(fd, ".mdb") && is_file(i, ".vol"))
			disk_commits_before_sync++;
	pthread_mutex_unlock(&fault_lock);
}

/* These take the places of the C library's. */
ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	if (fault_now(FAULT_WRITE, fd))
		return -1;
	note_written(fd);
	return syscall(SYS_pwritev, fd, iov, n, offset, 0);
}

/* A full disk takes what only overwrites: an index begins with two pages that
 * are always there. */
ssize_t
pwrite(int fd, const void *data, size_t n, off_t offset)
{
	if (fault_now(offset < 8192 ? FAULT_OVERWRITE : FAULT_WRITE, fd))
		return -1;
	if (offset < 8192)
		note_commit(fd);
	return syscall(SYS_pwrite64, fd, data, n, offset);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	if (fault_now(FAULT_WRITE, fd))
		return -1;
	return syscall(SYS_writev, fd, iov, n);
}

ssize_t
pread(int fd, void *data, size_t n, off_t offset)
{
	if (fault_now(FAULT_READ, fd))
		return -1;
	return syscall(SYS_pread64, fd, data, n, offset);
}

/* While reads fail they are not for those who would not wait. */
ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	bool armed;

	pthread_mutex_lock(&fault_lock);
	armed = disk_faults[FAULT_READ].error != 0;
	pthread_mutex_unlock(&fault_lock);
	if (armed) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_preadv2, fd, iov, n, offset, 0, flags);
}

int
fdatasync(int fd)
{
	if (fault_now(FAULT_SYNC, fd))
		return -1;
	note_synced(fd);
	return (int)syscall(SYS_fdatasync, fd);
}

/* The next file gets the same number. */
int
close(int fd)
{
	note_synced(fd);
	return (int)syscall(SYS_close, fd);
}

static uint64_t
env_now(void *ctx)
{
	return ((struct disk_env *)ctx)->now_ms;
}

static void
env_random(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)rand();
}

static struct env_job *
job_of(struct work_job *w)
{
	return container_of(w, struct env_job, env_private);
}

static void
thread_run(struct work_job *w, void *bulk)
{
	job_of(w)->run(job_of(w), bulk);
}

static struct disk_env *threaded;

static void
thread_done(struct work_job *w)
{
	threaded->n_out--;
	job_of(w)->done(job_of(w), true);
}

static void
env_job(void *ctx, struct env_job *job)
{
	struct disk_env *x = ctx;

	/* At once, every other time. */
	if (job->try_now != NULL && x->n_now++ % 2 == 0 &&
		job->try_now(job, x->bulk))
		job->run = NULL;
	if (x->workers != NULL && job->run != NULL) {
		struct work_job *w = (void *)job->env_private;

		*w = (struct work_job){.run = thread_run,
			.done = thread_done,
			.uid = job->uid};
		x->n_out++;
		work_submit(x->workers, w);
		return;
	}
	assert_true(x->n_jobs < DISK_JOBS);
	x->jobs[x->n_jobs++] = job;
}

static uint64_t
env_wall(void *ctx)
{
	return ((struct disk_env *)ctx)->wall_s * 1000;
}

static const struct env_ops env_ops = {
	.now_ms = env_now,
	.random = env_random,
	.job = env_job,
	.wall_ms = env_wall,
};

static void
host_alarm(void *ctx, void (*fn)(void *), void *alarm, uint64_t delay_ms)
{
	struct disk_env *x = ctx;
	size_t free_slot = DISK_ALARMS;

	for (size_t i = 0; i < DISK_ALARMS; i++) {
		if (x->alarms[i].ctx == alarm) {
			free_slot = i;
			break;
		}
		if (x->alarms[i].ctx == NULL && free_slot == DISK_ALARMS)
			free_slot = i;
	}
	assert_true(free_slot < DISK_ALARMS);
	x->alarms[free_slot].fn = fn;
	x->alarms[free_slot].ctx = delay_ms == UINT64_MAX ? NULL : alarm;
	x->alarms[free_slot].at_ms = x->now_ms + delay_ms;
}

static uint64_t
host_wall(void *ctx)
{
	return ((struct disk_env *)ctx)->wall_s;
}

static void
host_report(void *ctx, enum store_report what, const char *folder, int error)
{
	struct disk_env *x = ctx;

	assert_string_equal(folder, x->folder);
	x->reports[what]++;
}

void
disk_env_init(struct disk_env *x)
{
	memset(unsynced, 0, sizeof(unsynced));
	disk_commits_before_sync = 0;
	*x = (struct disk_env){
		.env = {.ops = &env_ops, .ctx = x},
		.now_ms = 1000000,
		.wall_s = 1700000000,
		.params = {.max_bytes = 64 << 20, .volume_bytes = DISK_VOLUME},
	};
	strcpy(x->folder, "/tmp/peerdist-store-XXXXXX");
	assert_non_null(mkdtemp(x->folder));
	x->params.folder = x->folder;
	x->bulk = bulk_new(BULK_EVP);
	assert_int_equal(work_new(&x->pool, 1, NULL), 0);
	x->host = (struct store_host){
		.env = &x->env,
		.pool = x->pool,
		.alarm = host_alarm,
		.wall_s = host_wall,
		.report = host_report,
		.ctx = x,
	};
	disk_faults_off();
}

static void *
thread_ctx_new(void)
{
	return bulk_new(BULK_EVP);
}

static void
thread_ctx_free(void *bulk)
{
	bulk_free(bulk);
}

void
disk_env_threads(struct disk_env *x)
{
	static const struct work_thread_ops ops = {
		.ctx_new = thread_ctx_new, .ctx_free = thread_ctx_free};

	threaded = x;
	assert_int_equal(work_new(&x->workers, 3, &ops), 0);
}

void
disk_env_path(const struct disk_env *x, const char *name, char ret[128])
{
	snprintf(ret, 128, "%s/%s", x->folder, name);
}

/* Calls fn of every file in the folder. */
static void
each_file(const struct disk_env *x,
	void (*fn)(const struct disk_env *, const char *name, void *ctx),
	void *ctx)
{
	DIR *d = opendir(x->folder);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			fn(x, e->d_name, ctx);
	closedir(d);
}

void
disk_env_unlink(const struct disk_env *x, const char *name)
{
	char path[128];

	disk_env_path(x, name, path);
	assert_int_equal(unlink(path), 0);
}

static void
unlink_one(const struct disk_env *x, const char *name, void *ctx)
{
	disk_env_unlink(x, name);
}

static void
remove_folder(const struct disk_env *x)
{
	each_file(x, unlink_one, NULL);
	assert_int_equal(rmdir(x->folder), 0);
}

void
disk_env_done(struct disk_env *x)
{
	disk_faults_off();
	if (x->store != NULL)
		disk_env_close(x);
	for (size_t i = 0; i < DISK_ALARMS; i++)
		assert_null(x->alarms[i].ctx);
	work_free(x->workers);
	work_free(x->pool);
	bulk_free(x->bulk);
	remove_folder(x);
}

int
disk_env_try_open(struct disk_env *x)
{
	return store_disk_open(&x->store, &x->host, &x->params, &x->why);
}

void
disk_env_open(struct disk_env *x)
{
	assert_int_equal(disk_env_try_open(x), 0);
}

void
disk_env_open_mem(struct disk_env *x)
{
	x->store = store_mem_new(&x->env, 0);
	assert_non_null(x->store);
}

static void
run_jobs(struct disk_env *x)
{
	while (x->n_jobs > 0 && !x->hold_jobs) {
		struct env_job *job = x->jobs[0];

		x->n_jobs--;
		memmove(x->jobs, x->jobs + 1, x->n_jobs * sizeof(x->jobs[0]));
		if (job->run != NULL)
			job->run(job, x->bulk);
		job->done(job, true);
	}
}

static void
wait_for(struct disk_env *x, const bool *flag)
{
	struct pollfd p[2] = {{.fd = work_fd(x->pool), .events = POLLIN},
		{.fd = -1, .events = POLLIN}};

	if (x->workers != NULL)
		p[1].fd = work_fd(x->workers);
	run_jobs(x);
	while (!*flag) {
		if (poll(p, 2, DEADLINE_MS) < 1)
			fail_msg("the store does not answer");
		work_dispatch(x->pool);
		if (x->workers != NULL)
			work_dispatch(x->workers);
		run_jobs(x);
	}
}

struct marker {
	struct work_job job;
	bool done;
};

static void
marker_run(struct work_job *job, void *ctx)
{
}

static void
marker_done(struct work_job *job)
{
	container_of(job, struct marker, job)->done = true;
}

/* The store has one job at a time, so the next one is behind the marker. */
void
disk_env_settle(struct disk_env *x)
{
	for (int i = 0; i < 16; i++) {
		struct marker m = {
			.job = {.run = marker_run, .done = marker_done}};

		work_submit(x->pool, &m.job);
		wait_for(x, &m.done);
	}
}

void
disk_env_wait(struct disk_env *x, const bool *flag)
{
	run_jobs(x);
	for (int i = 0; x->run_time && !*flag && i < 30; i++) {
		disk_env_settle(x);
		if (!*flag)
			disk_env_time(x, 1000);
	}
	wait_for(x, flag);
}

static void
set_flag(void *ctx)
{
	*(bool *)ctx = true;
}

void
disk_env_sync(struct disk_env *x)
{
	bool done = false;

	store_disk_sync(x->store, set_flag, &done);
	assert_false(done);
	disk_env_wait(x, &done);
}

void
disk_env_close(struct disk_env *x)
{
	run_jobs(x);
	x->store = x->store->ops->close(x->store);
	assert_int_equal(x->n_jobs, 0);
}

static void
copy_file(const struct disk_env *x, const char *name, void *ctx)
{
	const char *folder = ctx;
	char from[128], to[128], data[65536];
	int in, out;
	ssize_t n;

	disk_env_path(x, name, from);
	snprintf(to, sizeof(to), "%s/%s", folder, name);
	in = open(from, O_RDONLY);
	out = open(to, O_WRONLY | O_CREAT, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		assert_int_equal(write(out, data, (size_t)n), n);
	close(in);
	close(out);
}

void
disk_env_copy(const struct disk_env *x, char ret_folder[64])
{
	strcpy(ret_folder, "/tmp/peerdist-store-XXXXXX");
	assert_non_null(mkdtemp(ret_folder));
	each_file(x, copy_file, ret_folder);
}

void
disk_env_move(struct disk_env *x, const char *folder)
{
	remove_folder(x);
	strcpy(x->folder, folder);
}

void
disk_env_crash(struct disk_env *x)
{
	char folder[64];

	disk_env_copy(x, folder);
	disk_env_close(x);
	disk_env_move(x, folder);
	disk_env_open(x);
}

void
disk_env_time(struct disk_env *x, uint64_t ms)
{
	uint64_t until = x->now_ms + ms;

	for (;;) {
		size_t first = DISK_ALARMS;
		void *ctx;

		for (size_t i = 0; i < DISK_ALARMS; i++)
			if (x->alarms[i].ctx != NULL &&
				x->alarms[i].at_ms <= until &&
				(first == DISK_ALARMS ||
					x->alarms[i].at_ms <
						x->alarms[first].at_ms))
				first = i;
		if (first == DISK_ALARMS)
			break;
		x->now_ms = MAX_OF(x->now_ms, x->alarms[first].at_ms);
		ctx = x->alarms[first].ctx;
		x->alarms[first].ctx = NULL;
		x->alarms[first].fn(ctx);
	}
	x->now_ms = until;
	x->wall_s += ms / 1000;
}

struct file_count {
	const char *ending;
	size_t n;
	uint64_t bytes;
	char first[32];
};

static void
count_one(const struct disk_env *x, const char *name, void *ctx)
{
	struct file_count *c = ctx;
	char path[128];
	struct stat st;

	if (!ends_with(name, c->ending))
		return;
	disk_env_path(x, name, path);
	assert_int_equal(stat(path, &st), 0);
	c->n++;
	c->bytes += (uint64_t)st.st_size;
	if (c->n == 1 || strcmp(name, c->first) < 0)
		snprintf(c->first, sizeof(c->first), "%s", name);
}

size_t
disk_env_files(const struct disk_env *x, const char *ending)
{
	struct file_count c = {.ending = ending};

	each_file(x, count_one, &c);
	return c.n;
}

uint64_t
disk_env_volume_bytes(const struct disk_env *x)
{
	struct file_count c = {.ending = ".vol"};

	each_file(x, count_one, &c);
	return c.bytes;
}

bool
disk_env_first_volume(const struct disk_env *x, char ret[32])
{
	struct file_count c = {.ending = ".vol"};

	each_file(x, count_one, &c);
	strcpy(ret, c.first);
	return c.n > 0;
}

void
disk_env_flip(const struct disk_env *x, const char *name, uint64_t at)
{
	char path[128];
	uint8_t byte;
	int fd;

	disk_env_path(x, name, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

struct store_ref
disk_ref(uint32_t segment, uint32_t index, char claim)
{
	static uint8_t ids[64][32];
	uint8_t *id = ids[segment % 64];
	struct store_ref r = {.id = id, .id_len = 32, .index = index};

	/* Threads may read it: it is written once. */
	if (id[0] != (uint8_t)(segment >> 8) || id[1] != (uint8_t)segment) {
		id[0] = (uint8_t)(segment >> 8);
		id[1] = (uint8_t)segment;
	}
	memset(r.claim, claim, sizeof(r.claim));
	return r;
}

/* done has no place for more than the request: it lies around it. */
struct put_wait {
	struct store_put p;
	bool done;
};

static void
put_flag(struct store_put *p)
{
	container_of(p, struct put_wait, p)->done = true;
}

enum store_status
disk_put_block(struct disk_env *x, struct store_ref ref,
	const struct store_block *block, const struct store_owner *owner)
{
	struct put_wait w = {.p = {.refs = &ref,
				     .blocks = block,
				     .n_refs = 1,
				     .owner = *owner,
				     .done = put_flag}};

	x->store->ops->put(x->store, &w.p);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return ref.status;
}

enum store_status
disk_put_byte(struct disk_env *x, struct store_ref ref, uint8_t byte,
	bool proved, const struct store_owner *owner)
{
	uint8_t cipher[DISK_BLOCK];
	struct store_block block = {.plain_len = DISK_BLOCK - 8,
		.cipher_len = DISK_BLOCK,
		.algo = 1,
		.proved = proved,
		.iv = {byte, 1, 2, 3},
		.cipher = cipher};

	memset(cipher, byte, sizeof(cipher));
	return disk_put_block(x, ref, &block, owner);
}

struct lookup_wait {
	struct store_lookup l;
	bool done;
};

static void
lookup_flag(struct store_lookup *l)
{
	container_of(l, struct lookup_wait, l)->done = true;
}

bool
disk_there(struct disk_env *x, struct store_ref ref)
{
	struct lookup_wait w = {
		.l = {.refs = &ref, .n_refs = 1, .done = lookup_flag}};

	x->store->ops->lookup(x->store, &w.l);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return ref.status == STORE_OK;
}

struct get_wait {
	struct store_get g;
	struct disk_env *x;
	bool done;
};

static bool
get_consume(struct store_get *g, size_t i, const struct store_block *b,
	struct bulk *bulk)
{
	struct disk_env *x = container_of(g, struct get_wait, g)->x;

	for (size_t k = 0; k < b->cipher_len; k++)
		if (b->cipher[k] != b->cipher[0])
			x->garbled = true;
	if (b->algo != 0 && b->iv[0] != b->cipher[0])
		x->garbled = true;
	x->seen[i] = b->cipher[0];
	return !x->reject;
}

static void
get_flag(struct store_get *g)
{
	container_of(g, struct get_wait, g)->done = true;
}

enum store_status
disk_read_status(struct disk_env *x, struct store_ref ref)
{
	struct get_wait w = {.g = {.refs = &ref,
				     .n_refs = 1,
				     .consume = get_consume,
				     .done = get_flag},
		.x = x};

	x->seen[0] = 0;
	x->store->ops->get(x->store, &w.g);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	assert_false(x->garbled);
	return ref.status;
}

unsigned
disk_read(struct disk_env *x, struct store_ref ref)
{
	enum store_status status = disk_read_status(x, ref);

	assert_true((status == STORE_OK) == (x->seen[0] != 0) || x->reject);
	return x->seen[0];
}

struct flush_wait {
	struct store_flush f;
	bool done;
};

static void
flush_flag(struct store_flush *f)
{
	container_of(f, struct flush_wait, f)->done = true;
}

enum store_status
disk_flush_owner(struct disk_env *x, const struct store_owner *owner)
{
	struct flush_wait w = {.f = {.owner = *owner, .done = flush_flag}};

	x->store->ops->flush(x->store, &w.f);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return w.f.status;
}

enum store_status
disk_clear_all(struct disk_env *x)
{
	struct flush_wait w = {.f = {.done = flush_flag}};

	x->store->ops->clear(x->store, &w.f);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return w.f.status;
}

struct store_stats
disk_stats_of(struct disk_env *x)
{
	struct store_stats s;

	x->store->ops->stats(x->store, &s);
	return s;
}

struct list_wait {
	struct store_list l;
	bool done;
};

static void
list_flag(struct store_list *l)
{
	container_of(l, struct list_wait, l)->done = true;
}

struct store_list
disk_list_page(struct disk_env *x, struct store_listed *rows, size_t n,
	const struct store_listed *after)
{
	struct list_wait w = {
		.l = {.rows = rows, .max_rows = n, .done = list_flag}};

	if (after != NULL) {
		memcpy(w.l.after, after->id, after->id_len);
		w.l.after_len = after->id_len;
	}
	x->store->ops->list(x->store, &w.l);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return w.l;
}

struct verify_wait {
	struct store_verify v;
	bool done;
};

static void
verify_flag(struct store_verify *v)
{
	container_of(v, struct verify_wait, v)->done = true;
}

struct store_verify
disk_verify_all(struct disk_env *x, bool repair)
{
	struct verify_wait w = {.v = {.repair = repair, .done = verify_flag}};

	x->store->ops->verify(x->store, &w.v);
	assert_false(w.done);
	disk_env_wait(x, &w.done);
	return w.v;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two hash stores: one suite over both, then what only the disk can do.
 * Jobs run when a test waits for something; the store thread is a real one.
 */
#include "daemon/store/hash_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/macros.h"
#include "daemon/store/hash_txn.h"
#include "daemon/store/store_mem_hash.h"
#include "tests/unit/failalloc.h"

#define WAIT_MS   20000
#define JOBS_MOST 64
#define ALICE     1000u
#define BOB       1001u
#define ROOT      0u

enum kind { MEMORY, DISK };

struct fixture {
	enum kind kind;
	struct env env;
	struct env_job *jobs[JOBS_MOST];
	size_t n_jobs;
	struct store_host host;
	char folder[40];
	struct hash_store *store;
	unsigned n_done;
	unsigned reports[_STORE_REPORT_MAX];
};

static void
add_job(void *ctx, struct env_job *job)
{
	struct fixture *f = ctx;

	assert_true(f->n_jobs < JOBS_MOST);
	f->jobs[f->n_jobs++] = job;
}

static void
note_report(void *ctx, enum store_report what, const char *folder, int error)
{
	struct fixture *f = ctx;

	assert_string_equal(folder, f->folder);
	f->reports[what]++;
}

static bool
run_job(struct fixture *f)
{
	struct env_job *job = f->jobs[0];

	if (f->n_jobs == 0)
		return false;
	f->n_jobs--;
	memmove(f->jobs, f->jobs + 1, f->n_jobs * sizeof(f->jobs[0]));
	if (job->run != NULL)
		job->run(job, NULL);
	job->done(job, true);
	return true;
}

static void
wait_done(struct fixture *f, unsigned n)
{
	uint64_t give_up = clock_now_us() + WAIT_MS * US_PER_MS;

	while (f->n_done < n) {
		struct pollfd p = {work_fd(f->host.pool), POLLIN, 0};

		if (run_job(f))
			continue;
		assert_true(clock_now_us() < give_up);
		if (poll(&p, 1, WAIT_MS) > 0)
			work_dispatch(f->host.pool);
	}
	f->n_done = 0;
}

/* What the store began by itself has ended, too: a write that is queued behind
 * it is answered later. */
static void settle(struct fixture *f);

static int
open_disk(struct fixture *f, uint64_t max_bytes)
{
	const char *why = NULL;
	int r = hash_store_open(
		&f->store, &f->host, f->folder, max_bytes, &why);

	assert_non_null(why);
	return r;
}

static void
setup(struct fixture *f, enum kind kind)
{
	static const struct env_ops env_ops = {.job = add_job};

	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->env = (struct env){&env_ops, f};
	f->host = (struct store_host){
		.env = &f->env, .report = note_report, .ctx = f};
	assert_int_equal(work_new(&f->host.pool, 1,
				 &(struct work_thread_ops){.ctx_new = NULL}),
		0);
	strcpy(f->folder, "/tmp/peerdist-hash-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	if (kind == MEMORY)
		f->store = store_mem_hash_new(&f->env, 0);
	else
		assert_int_equal(open_disk(f, 0), 0);
}

static void
close_store(struct fixture *f)
{
	f->store = f->store->ops->close(f->store);
}

static void
remove_folder(const char *folder)
{
	static const char *const names[] = {"hash.lock", "publications.mdb",
		"publications.mdb-lock", "publications.mdb.damaged",
		"publications.damaged"};
	char path[100];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void
teardown(struct fixture *f)
{
	if (f->store != NULL)
		close_store(f);
	f->host.pool = work_free(f->host.pool);
	assert_int_equal(f->n_jobs, 0);
	remove_folder(f->folder);
}

/* An entry whose every part is made from one number. */
static uint8_t hash_bytes[100000];

static struct hash_entry
entry(uint32_t uid, const char *label, uint64_t number, size_t hashes_len)
{
	for (size_t i = 0; i < hashes_len; i++)
		hash_bytes[i] = (uint8_t)(i * 7 + number);
	return (struct hash_entry){
		.uid = uid,
		.versions = 1 + number % 3,
		.watched = number % 2 == 0,
		.published_s = number + 50,
		.file = {number, number + 1, number + 2, -(int64_t)number,
			(int64_t)number + 4},
		.label = (const uint8_t *)label,
		.label_len = strlen(label),
		.hashes = hash_bytes,
		.hashes_len = hashes_len,
	};
}

static struct fixture *current;

static void
put_done(struct hash_put *p)
{
	current->n_done++;
}

static void
load_done(struct hash_load *l)
{
	current->n_done++;
}

static void
remove_done(struct hash_remove *r)
{
	current->n_done++;
}

static enum store_status
put_entry(struct fixture *f, const struct hash_entry *e, uint64_t *ret_id)
{
	struct hash_put p = {.entry = *e, .done = put_done};

	current = f;
	f->store->ops->put(f->store, &p);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	*ret_id = p.entry.id;
	return p.status;
}

static uint64_t
put(struct fixture *f, uint32_t uid, const char *label, uint64_t number,
	size_t hashes_len)
{
	struct hash_entry e = entry(uid, label, number, hashes_len);
	uint64_t id;

	assert_int_equal(put_entry(f, &e, &id), STORE_OK);
	return id;
}

static enum store_status
remove_id(struct fixture *f, uint64_t id)
{
	struct hash_remove r = {.id = id, .done = remove_done};

	current = f;
	f->store->ops->remove(f->store, &r);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	return r.status;
}

static void
settle(struct fixture *f)
{
	assert_int_equal(remove_id(f, UINT64_MAX), STORE_MISSING);
}

static enum store_status
load(struct fixture *f, uint64_t id, struct hash_load *ret)
{
	*ret = (struct hash_load){.id = id, .done = load_done};
	current = f;
	f->store->ops->load(f->store, ret);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	assert_true((ret->status == STORE_OK) == (ret->bytes != NULL));
	return ret->status;
}

static void
assert_entry(const struct hash_entry *is, uint64_t id, uint32_t uid,
	const char *label, uint64_t number)
{
	struct hash_entry want = entry(uid, label, number, is->hashes_len);

	assert_int_equal(is->id, id);
	assert_int_equal(is->uid, uid);
	assert_int_equal(is->versions, want.versions);
	assert_int_equal(is->watched, want.watched);
	assert_int_equal(is->published_s, want.published_s);
	assert_memory_equal(&is->file, &want.file, sizeof(want.file));
	assert_int_equal(is->label_len, want.label_len);
	if (is->label != NULL)
		assert_memory_equal(is->label, label, want.label_len);
	if (is->hashes != NULL)
		assert_memory_equal(is->hashes, hash_bytes, is->hashes_len);
}

static void
check_loads(struct fixture *f, uint64_t id, uint32_t uid, const char *label,
	uint64_t number, size_t hashes_len)
{
	struct hash_load l;

	assert_int_equal(load(f, id, &l), STORE_OK);
	assert_int_equal(l.entry.hashes_len, hashes_len);
	assert_non_null(l.entry.label);
	assert_non_null(l.entry.hashes);
	assert_entry(&l.entry, id, uid, label, number);
	free(l.bytes);
}

static bool
find(struct fixture *f, uint32_t uid, const char *label, struct hash_entry *ret)
{
	return f->store->ops->find(
		f->store, uid, (const uint8_t *)label, strlen(label), ret);
}

static struct hash_stats
stats(struct fixture *f)
{
	struct hash_stats st;

	f->store->ops->stats(f->store, &st);
	return st;
}

/* Both. */

static void
basics(enum kind kind)
{
	struct hash_file nothing = {0};
	struct fixture f;
	struct hash_entry e;
	struct hash_load l;
	uint64_t a, b, c;

	setup(&f, kind);
	a = put(&f, ALICE, "/a", 10, 1);
	b = put(&f, ALICE, "/b", 20, 90000);
	c = put(&f, BOB, "/a", 30, 5000);
	assert_true(a > 0 && a < b && b < c);
	assert_int_equal(stats(&f).entries, 3);
	assert_int_equal(
		stats(&f).bytes, 3 * HASH_ENTRY_COST + 6 + 1 + 90000 + 5000);
	assert_true(find(&f, ALICE, "/a", &e));
	assert_null(e.label);
	assert_null(e.hashes);
	assert_int_equal(e.hashes_len, 1);
	assert_entry(&e, a, ALICE, "/a", 10);
	assert_true(find(&f, BOB, "/a", &e));
	assert_entry(&e, c, BOB, "/a", 30);
	assert_false(find(&f, BOB, "/b", &e));
	assert_false(find(&f, ALICE, "/ab", &e));
	assert_false(find(&f, ALICE, "/", &e));
	assert_true(f.store->ops->find_id(f.store, b, &e));
	assert_entry(&e, b, ALICE, "/b", 20);
	assert_false(f.store->ops->find_id(f.store, c + 1, &e));
	assert_false(f.store->ops->find_id(f.store, 0, &e));
	assert_true(f.store->ops->find_file(f.store, &e.file, &e));
	assert_entry(&e, b, ALICE, "/b", 20);
	e.file.ctime_ns++;
	assert_false(f.store->ops->find_file(f.store, &e.file, &e));
	assert_false(f.store->ops->find_file(f.store, &nothing, &e));
	check_loads(&f, a, ALICE, "/a", 10, 1);
	check_loads(&f, b, ALICE, "/b", 20, 90000);
	assert_int_equal(load(&f, c + 1, &l), STORE_MISSING);
	assert_int_equal(remove_id(&f, b), STORE_OK);
	assert_int_equal(remove_id(&f, b), STORE_MISSING);
	assert_int_equal(load(&f, b, &l), STORE_MISSING);
	assert_false(find(&f, ALICE, "/b", &e));
	assert_true(find(&f, ALICE, "/a", &e));
	assert_int_equal(stats(&f).bytes, 2 * HASH_ENTRY_COST + 4 + 5001);
	teardown(&f);
}

static void
replacing(enum kind kind)
{
	struct fixture f;
	struct hash_entry e, old;
	uint64_t a, b;

	setup(&f, kind);
	a = put(&f, ALICE, "/a", 10, 1000);
	assert_true(f.store->ops->find_id(f.store, a, &old));
	b = put(&f, ALICE, "/a", 20, 10);
	assert_true(b > a);
	assert_int_equal(stats(&f).entries, 1);
	assert_int_equal(stats(&f).bytes, HASH_ENTRY_COST + 12);
	assert_true(find(&f, ALICE, "/a", &e));
	assert_entry(&e, b, ALICE, "/a", 20);
	assert_false(f.store->ops->find_id(f.store, a, &e));
	assert_false(f.store->ops->find_file(f.store, &old.file, &e));
	check_loads(&f, b, ALICE, "/a", 20, 10);
	/* One file under several labels. */
	a = put(&f, BOB, "/other", 20, 10);
	assert_true(find(&f, BOB, "/other", &old));
	assert_int_equal(remove_id(&f, b), STORE_OK);
	assert_true(f.store->ops->find_file(f.store, &old.file, &e));
	assert_int_equal(e.id, a);
	/* An id is not given again. */
	assert_int_equal(remove_id(&f, a), STORE_OK);
	assert_true(put(&f, ALICE, "/a", 1, 1) > a);
	teardown(&f);
}

struct page {
	size_t n;
	size_t most;
	uint64_t ids[100];
};

static bool
take(const struct hash_entry *e, void *ctx)
{
	struct page *p = ctx;
	char label[16];

	snprintf(label, sizeof(label), "/%u", e->uid);
	assert_int_equal(e->label_len, strlen(label));
	assert_memory_equal(e->label, label, strlen(label));
	assert_null(e->hashes);
	p->ids[p->n++] = e->id;
	return p->n < p->most;
}

static void
paging(enum kind kind)
{
	struct page p = {.most = 7};
	uint64_t after = 0;
	size_t seen = 0;
	struct fixture f;

	setup(&f, kind);
	for (uint32_t i = 0; i < 30; i++) {
		char label[16];

		snprintf(label, sizeof(label), "/%u", i);
		put(&f, i, label, i, i);
	}
	do {
		p.n = 0;
		f.store->ops->each(f.store, after, take, &p);
		for (size_t i = 0; i < p.n; i++) {
			assert_true(p.ids[i] > after);
			after = p.ids[i];
		}
		seen += p.n;
	} while (p.n > 0);
	assert_int_equal(seen, 30);
	f.store->ops->each(f.store, UINT64_MAX, take, &p);
	assert_int_equal(p.n, 0);
	teardown(&f);
}

static void
limits(enum kind kind)
{
	const uint64_t max = 2 * HASH_ENTRY_COST + 1000;
	struct fixture f;
	struct hash_entry e;
	uint64_t id;

	setup(&f, kind);
	f.store->ops->set_limit(f.store, max);
	assert_int_equal(stats(&f).max_bytes, max);
	id = put(&f, ROOT, "/a", 1, 600);
	e = entry(ROOT, "/b", 2, 397);
	assert_int_equal(put_entry(&f, &e, &id), STORE_DISK_FULL);
	e = entry(ROOT, "/b", 2, 396);
	assert_int_equal(put_entry(&f, &e, &id), STORE_OK);
	assert_int_equal(stats(&f).bytes, max);
	/* What it takes the place of does not count. */
	put(&f, ROOT, "/a", 3, 600);
	e = entry(ROOT, "/a", 4, 601);
	assert_int_equal(put_entry(&f, &e, &id), STORE_DISK_FULL);
	assert_true(find(&f, ROOT, "/a", &e));
	assert_entry(&e, e.id, ROOT, "/a", 3);
	/* A new limit removes nothing. */
	f.store->ops->set_limit(f.store, 10);
	assert_int_equal(stats(&f).entries, 2);
	assert_int_equal(stats(&f).health, STORE_HEALTHY);
	e = entry(BOB, "/c", 5, 1);
	assert_int_equal(put_entry(&f, &e, &id), STORE_DISK_FULL);
	f.store->ops->set_limit(f.store, 0);
	put(&f, BOB, "/c", 5, 1);
	teardown(&f);
}

/* Nobody can take the room of all, and many small entries are not for free. */
static void
user_limits(enum kind kind)
{
	const uint64_t max = 8 * HASH_ENTRY_COST;
	struct fixture f;
	struct hash_entry e;
	uint64_t id, b;

	setup(&f, kind);
	f.store->ops->set_limit(f.store, max);
	put(&f, ALICE, "/a", 1, 10);
	b = put(&f, ALICE, "/b", 2, 10);
	put(&f, ALICE, "/c", 3, 10);
	e = entry(ALICE, "/d", 4, 10);
	assert_int_equal(put_entry(&f, &e, &id), STORE_OVER_QUOTA);
	assert_int_equal(stats(&f).health, STORE_HEALTHY);
	/* In place of another, or when there is room again. */
	put(&f, ALICE, "/a", 5, 20);
	e = entry(ALICE, "/a", 5, HASH_ENTRY_COST);
	assert_int_equal(put_entry(&f, &e, &id), STORE_OVER_QUOTA);
	assert_int_equal(remove_id(&f, b), STORE_OK);
	put(&f, ALICE, "/d", 4, 10);
	/* The others have theirs, and the superuser what is left. */
	put(&f, BOB, "/a", 6, 10);
	put(&f, BOB, "/b", 7, 10);
	e = entry(ROOT, "/a", 8, 2 * HASH_ENTRY_COST);
	assert_int_equal(put_entry(&f, &e, &id), STORE_DISK_FULL);
	put(&f, ROOT, "/a", 8, HASH_ENTRY_COST);
	f.store->ops->set_limit(f.store, 0);
	put(&f, ALICE, "/e", 9, 10000);
	teardown(&f);
}

/* Many at once: in their order, whatever commits they share. */
static void
queued(enum kind kind)
{
	struct hash_entry e = entry(ALICE, "/a", 1, 40), found;
	struct hash_put puts[20];
	struct hash_remove gone = {.done = remove_done};
	struct fixture f;

	setup(&f, kind);
	current = &f;
	gone.id = put(&f, ALICE, "/a", 1, 40);
	f.store->ops->remove(f.store, &gone);
	for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
		puts[i] = (struct hash_put){.entry = e, .done = put_done};
		puts[i].entry.published_s = i;
		f.store->ops->put(f.store, &puts[i]);
	}
	wait_done(&f, ARRAY_LEN(puts) + 1);
	assert_int_equal(gone.status, STORE_OK);
	for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
		assert_int_equal(puts[i].status, STORE_OK);
		assert_true(puts[i].entry.id >
			(i > 0 ? puts[i - 1].entry.id : gone.id));
	}
	assert_int_equal(stats(&f).entries, 1);
	assert_true(find(&f, ALICE, "/a", &found));
	assert_int_equal(found.published_s, ARRAY_LEN(puts) - 1);
	teardown(&f);
}

#define BOTH_TEST(name) \
	static void test_##name##_memory(void **state) \
	{ \
		name(MEMORY); \
	} \
	static void test_##name##_disk(void **state) \
	{ \
		name(DISK); \
	}
BOTH_TEST(basics)
BOTH_TEST(replacing)
BOTH_TEST(paging)
BOTH_TEST(limits)
BOTH_TEST(user_limits)
BOTH_TEST(queued)

/* The disk alone. */

static void
test_reopen(void **state)
{
	struct fixture f;
	struct hash_entry e;
	uint64_t a, b, c;

	setup(&f, DISK);
	assert_int_equal(f.reports[STORE_REPORT_OPENED], 1);
	a = put(&f, ALICE, "/a", 1, 70000);
	b = put(&f, BOB, "/b", 2, 3);
	c = put(&f, BOB, "/c", 3, 3);
	assert_int_equal(remove_id(&f, c), STORE_OK);
	close_store(&f);
	assert_int_equal(open_disk(&f, 123), 0);
	assert_int_equal(stats(&f).entries, 2);
	assert_int_equal(stats(&f).bytes, 2 * HASH_ENTRY_COST + 70007);
	assert_int_equal(stats(&f).max_bytes, 123);
	check_loads(&f, a, ALICE, "/a", 1, 70000);
	assert_true(find(&f, BOB, "/b", &e));
	assert_int_equal(e.id, b);
	assert_false(find(&f, BOB, "/c", &e));
	f.store->ops->set_limit(f.store, 0);
	assert_true(put(&f, BOB, "/c", 3, 3) > c);
	assert_int_equal(f.reports[STORE_REPORT_DAMAGED], 0);
	teardown(&f);
}

static void
test_second_process(void **state)
{
	struct hash_store *second = NULL;
	const char *why = NULL;
	struct fixture f;

	setup(&f, DISK);
	assert_int_equal(
		hash_store_open(&second, &f.host, f.folder, 0, &why), -EBUSY);
	assert_null(second);
	assert_string_equal(why, "another peerdistd uses this folder");
	put(&f, ALICE, "/a", 1, 1);
	close_store(&f);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_int_equal(
		hash_store_open(&second, &f.host, "/dev/null", 0, &why),
		-ENOTDIR);
	teardown(&f);
}

/* The store's index, opened behind its back. */
static struct index *
open_index(struct fixture *f, uint32_t format, int folder)
{
	const struct index_params params = {
		.folder = folder,
		.path = f->folder,
		.name = "publications",
		.format = format,
		.map_size = 64u << 20,
		.n_tables = _HASH_TABLE_MAX,
		.tables = {{"entries", false}, {"hashes", false},
			{"labels", true}, {"files", true}, {"counts", false},
			{"users", false}},
	};
	struct index *ix = NULL;

	assert_true(index_open(&ix, &params, true) >= 0);
	assert_non_null(ix);
	return ix;
}

/* Only an index of that format in its folder. */
static void
begin_anew(struct fixture *f, uint32_t format)
{
	int folder;

	close_store(f);
	remove_folder(f->folder);
	assert_int_equal(mkdir(f->folder, 0700), 0);
	folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	index_close(open_index(f, format, folder));
	close(folder);
}

static void
test_other_formats(void **state)
{
	struct fixture f;

	setup(&f, DISK);
	begin_anew(&f, HASH_RECORD_FORMAT - 1);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_int_equal(f.reports[STORE_REPORT_FOREIGN], 1);
	put(&f, ALICE, "/a", 1, 1);
	/* A newer one is left alone, also by a second try. */
	begin_anew(&f, HASH_RECORD_FORMAT + 1);
	assert_int_equal(open_disk(&f, 0), -EPROTONOSUPPORT);
	assert_int_equal(open_disk(&f, 0), -EPROTONOSUPPORT);
	assert_int_equal(f.reports[STORE_REPORT_DAMAGED], 0);
	/* The folder is made if there is none. */
	remove_folder(f.folder);
	assert_int_equal(open_disk(&f, 0), 0);
	teardown(&f);
}

/* Changes one byte of a record, behind the store's back. */
static void
damage(struct fixture *f, enum hash_table table, struct index_blob key,
	size_t at)
{
	int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct index *ix = open_index(f, HASH_RECORD_FORMAT, folder);
	struct index_blob value;
	uint8_t *copy;

	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_get(ix, table, key, &value), 0);
	assert_true(at < value.len);
	copy = malloc(value.len);
	memcpy(copy, value.data, value.len);
	copy[at] ^= 0x10;
	value.data = copy;
	assert_int_equal(index_txn_put(ix, table, key, value), 0);
	assert_int_equal(index_commit(ix), 0);
	free(copy);
	index_close(ix);
	close(folder);
}

static void
damage_of(struct fixture *f, enum hash_table table, uint64_t id, size_t at)
{
	uint8_t key[HASH_KEY_ID];

	close_store(f);
	hash_key_id(key, id);
	damage(f, table, (struct index_blob){key, sizeof(key)}, at);
	assert_int_equal(open_disk(f, 0), 0);
}

static void
count_entries(struct fixture *f, uint64_t n, uint64_t bytes)
{
	settle(f);
	assert_int_equal(stats(f).entries, n);
	assert_int_equal(stats(f).bytes, n * HASH_ENTRY_COST + bytes);
}

/* Whatever byte it is, and whoever meets it: the entry is no more. */
static void
test_damaged_record(void **state)
{
	static const size_t places[] = {
		0, 1, 2, 4, 8, 12, 16, 24, 40, 72, 80, 88, 90, 97};
	struct page p = {.most = 10};
	struct fixture f;
	struct hash_entry e;
	struct hash_load l;
	uint64_t id, before = 0;

	setup(&f, DISK);
	put(&f, 5, "/5", 5, 50);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		id = put(&f, BOB, "/b", 2, 3);
		/* Not given again, though all is counted anew. */
		assert_true(id > before);
		before = id;
		damage_of(&f, HASH_ENTRIES, id, places[i]);
		switch (i % 4) {
		case 0:
			assert_false(find(&f, BOB, "/b", &e));
			break;
		case 1:
			assert_false(f.store->ops->find_id(f.store, id, &e));
			break;
		case 2:
			assert_int_equal(load(&f, id, &l), STORE_ROTTEN);
			break;
		default:
			p.n = 0;
			f.store->ops->each(f.store, 0, take, &p);
			assert_int_equal(p.n, 1);
			break;
		}
		assert_true(f.reports[STORE_REPORT_ROTTEN] > i);
		count_entries(&f, 1, 52);
		assert_int_equal(load(&f, id, &l), STORE_MISSING);
	}
	/* Its links, which stay, lead nowhere. */
	assert_false(find(&f, BOB, "/b", &e));
	teardown(&f);
}

/* What belongs to another entry is as good as damaged. */
static void
test_misplaced_record(void **state)
{
	uint8_t from[HASH_KEY_ID], to[HASH_KEY_ID];
	struct index_blob value;
	struct fixture f;
	struct hash_entry e;
	struct index *ix;
	uint64_t a, b;
	int folder;

	setup(&f, DISK);
	a = put(&f, ALICE, "/a", 1, 10);
	b = put(&f, BOB, "/b", 2, 10);
	close_store(&f);
	hash_key_id(from, a);
	hash_key_id(to, b);
	folder = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix = open_index(&f, HASH_RECORD_FORMAT, folder);
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(
		index_txn_get(ix, HASH_ENTRIES,
			(struct index_blob){from, sizeof(from)}, &value),
		0);
	assert_int_equal(index_txn_put(ix, HASH_ENTRIES,
				 (struct index_blob){to, sizeof(to)}, value),
		0);
	assert_int_equal(index_commit(ix), 0);
	index_close(ix);
	close(folder);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_false(f.store->ops->find_id(f.store, b, &e));
	count_entries(&f, 1, 12);
	assert_true(find(&f, ALICE, "/a", &e));
	teardown(&f);
}

static bool
count_pair(struct index_blob key, struct index_blob value, void *ctx)
{
	++*(size_t *)ctx;
	return true;
}

/* Nothing stays behind of what is removed or replaced. */
static void
test_nothing_left(void **state)
{
	struct fixture f;
	struct index *ix;
	int folder;
	size_t n;

	setup(&f, DISK);
	put(&f, ALICE, "/a", 1, 10);
	put(&f, ALICE, "/a", 2, 10);
	assert_int_equal(remove_id(&f, put(&f, BOB, "/b", 3, 10)), STORE_OK);
	close_store(&f);
	folder = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix = open_index(&f, HASH_RECORD_FORMAT, folder);
	for (unsigned table = 0; table < _HASH_TABLE_MAX; table++) {
		n = 0;
		assert_int_equal(index_each(ix, table, (struct index_blob){0},
					 count_pair, &n),
			0);
		assert_int_equal(n, 1);
	}
	index_close(ix);
	close(folder);
	assert_int_equal(open_disk(&f, 0), 0);
	teardown(&f);
}

static void
test_damaged_hashes(void **state)
{
	struct fixture f;
	struct hash_entry e;
	struct hash_load l;
	uint64_t id;

	setup(&f, DISK);
	id = put(&f, BOB, "/b", 2, 30000);
	damage_of(&f, HASH_HASHES, id, 29999);
	assert_true(find(&f, BOB, "/b", &e));
	assert_int_equal(load(&f, id, &l), STORE_ROTTEN);
	count_entries(&f, 0, 0);
	assert_false(find(&f, BOB, "/b", &e));
	teardown(&f);
}

static void
test_damaged_counts(void **state)
{
	struct fixture f;
	uint64_t id;

	setup(&f, DISK);
	put(&f, ALICE, "/a", 1, 10);
	id = put(&f, BOB, "/b", 2, 30);
	close_store(&f);
	damage(&f, HASH_COUNTS, (struct index_blob){"counts", 6}, 3);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_int_equal(stats(&f).entries, 2);
	assert_int_equal(stats(&f).bytes, 2 * HASH_ENTRY_COST + 44);
	assert_true(put(&f, BOB, "/c", 2, 30) > id);
	count_entries(&f, 3, 76);
	teardown(&f);
}

/* What a user has is known after a restart, counted anew when it is damaged,
 * and forgotten with his last entry. */
static void
test_user_counts(void **state)
{
	uint8_t key[HASH_KEY_USER];
	struct fixture f;
	struct hash_entry e;
	uint64_t id;

	setup(&f, DISK);
	put(&f, BOB, "/b", 2, 10);
	put(&f, ALICE, "/a", 1, HASH_ENTRY_COST);
	close_store(&f);
	assert_int_equal(open_disk(&f, 6 * HASH_ENTRY_COST), 0);
	e = entry(ALICE, "/c", 3, 10);
	assert_int_equal(put_entry(&f, &e, &id), STORE_OVER_QUOTA);
	for (size_t at = 0; at < HASH_USER_SIZE; at += 5) {
		close_store(&f);
		hash_key_user(key, ALICE);
		damage(&f, HASH_USERS, (struct index_blob){key, sizeof(key)},
			at);
		assert_int_equal(open_disk(&f, 6 * HASH_ENTRY_COST), 0);
		e = entry(ALICE, "/c", 3, 10);
		assert_int_equal(put_entry(&f, &e, &id), STORE_OVER_QUOTA);
		put(&f, BOB, "/c", 4, 10);
		count_entries(&f, 3, HASH_ENTRY_COST + 2 + 2 * 12);
	}
	/* Met by a removal. */
	close_store(&f);
	hash_key_user(key, BOB);
	damage(&f, HASH_USERS, (struct index_blob){key, sizeof(key)}, 0);
	assert_int_equal(open_disk(&f, 6 * HASH_ENTRY_COST), 0);
	assert_true(find(&f, BOB, "/c", &e));
	assert_int_equal(remove_id(&f, e.id), STORE_OK);
	count_entries(&f, 2, HASH_ENTRY_COST + 2 + 12);
	put(&f, BOB, "/c", 4, 10);
	e = entry(BOB, "/d", 5, 10);
	assert_int_equal(put_entry(&f, &e, &id), STORE_OVER_QUOTA);
	teardown(&f);
}

static void
test_damaged_index(void **state)
{
	struct fixture f;
	struct hash_entry e;
	char path[100];
	int fd;

	setup(&f, DISK);
	put(&f, ALICE, "/a", 1, 10);
	close_store(&f);
	snprintf(path, sizeof(path), "%s/publications.damaged", f.folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_int_equal(f.reports[STORE_REPORT_DAMAGED], 1);
	assert_false(find(&f, ALICE, "/a", &e));
	count_entries(&f, 0, 0);
	put(&f, ALICE, "/a", 1, 10);
	teardown(&f);
}

/* A file system that refuses: told once, and again when it is over. */
static void
test_disk_refuses(void **state)
{
	struct rlimit before, none;
	struct fixture f;
	struct hash_entry e;
	uint64_t a, id;

	setup(&f, DISK);
	a = put(&f, ALICE, "/a", 1, 10);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	none = (struct rlimit){1, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	e = entry(ALICE, "/b", 2, 99000);
	assert_int_equal(put_entry(&f, &e, &id), STORE_IO);
	assert_int_equal(put_entry(&f, &e, &id), STORE_IO);
	assert_int_equal(stats(&f).health, STORE_FAILING);
	assert_int_equal(f.reports[STORE_REPORT_FAILING], 1);
	check_loads(&f, a, ALICE, "/a", 1, 10);
	assert_false(find(&f, ALICE, "/b", &e));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	put(&f, ALICE, "/b", 2, 99000);
	assert_int_equal(stats(&f).health, STORE_HEALTHY);
	assert_int_equal(f.reports[STORE_REPORT_RECOVERED], 1);
	assert_int_equal(stats(&f).bytes, 2 * HASH_ENTRY_COST + 99014);
	teardown(&f);
}

/* The end of the store thread: whoever waits is answered, the store goes when
 * the last job does. */
static void
test_stopped(void **state)
{
	struct hash_entry e = entry(ALICE, "/a", 1, 10);
	struct hash_put a = {.entry = e, .done = put_done}, b = a;
	struct fixture f;

	setup(&f, DISK);
	current = &f;
	f.store->ops->put(f.store, &a);
	f.store->ops->put(f.store, &b);
	close_store(&f);
	f.host.pool = work_free(f.host.pool);
	assert_int_equal(f.n_done, 2);
	assert_int_equal(work_new(&f.host.pool, 1,
				 &(struct work_thread_ops){.ctx_new = NULL}),
		0);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_true(stats(&f).entries == (a.status == STORE_OK));
	teardown(&f);
}

/* Every allocation of ours fails once. */
static int
whole_life(void *arg)
{
	struct hash_entry e = entry(ALICE, "/a", 1, 500), found;
	struct fixture *f = arg;
	struct hash_load l;
	bool oom = false;
	uint64_t id;
	int r = open_disk(f, 0);

	if (r != 0)
		return r;
	for (int i = 0; i < 2; i++)
		oom |= put_entry(f, &e, &id) == STORE_NO_MEMORY;
	if (find(f, ALICE, "/a", &found))
		oom |= load(f, found.id, &l) == STORE_NO_MEMORY;
	if (find(f, ALICE, "/a", &found) && !oom) {
		free(l.bytes);
		oom |= remove_id(f, found.id) != STORE_OK;
	}
	close_store(f);
	return oom ? -ENOMEM : 0;
}

static void
test_out_of_memory(void **state)
{
	struct fixture f;

	setup(&f, DISK);
	close_store(&f);
	assert_true(failalloc_each(whole_life, &f) >= 6);
	teardown(&f);
}

int
main(void)
{
#define BOTH(name) \
	cmocka_unit_test(test_##name##_memory), \
		cmocka_unit_test(test_##name##_disk)
	const struct CMUnitTest tests[] = {
		BOTH(basics),
		BOTH(replacing),
		BOTH(paging),
		BOTH(limits),
		BOTH(user_limits),
		BOTH(queued),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_second_process),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_misplaced_record),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_damaged_hashes),
		cmocka_unit_test(test_damaged_counts),
		cmocka_unit_test(test_user_counts),
		cmocka_unit_test(test_damaged_index),
		cmocka_unit_test(test_disk_refuses),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

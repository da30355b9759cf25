/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two hash stores: one suite over both, then what only the disk can do.
 * Jobs run when a test waits for something; the store thread is a real one.
 */
#include <stdatomic.h>
#include <sys/syscall.h>

#include "tests/unit/failalloc.h"
#include "tests/unit/hash_env.h"

/* Both. */

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
	assert_true(f.store->ops->find_file(f.store, &e.file, ALICE, &e));
	assert_entry(&e, b, ALICE, "/b", 20);
	e.file.ctime_ns++;
	assert_false(f.store->ops->find_file(f.store, &e.file, ALICE, &e));
	assert_false(f.store->ops->find_file(f.store, &nothing, ALICE, &e));
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
	assert_false(f.store->ops->find_file(f.store, &old.file, ALICE, &e));
	check_loads(&f, b, ALICE, "/a", 20, 10);
	/* One file under several labels. */
	a = put(&f, BOB, "/other", 20, 10);
	assert_true(find(&f, BOB, "/other", &old));
	assert_int_equal(remove_id(&f, b), STORE_OK);
	assert_true(f.store->ops->find_file(f.store, &old.file, BOB, &e));
	assert_int_equal(e.id, a);
	/* An id is not given again. */
	assert_int_equal(remove_id(&f, a), STORE_OK);
	assert_true(put(&f, ALICE, "/a", 1, 1) > a);
	teardown(&f);
}

/* What others say of a file hides nobody's. */
static void
files(enum kind kind)
{
	struct hash_entry e, found;
	struct hash_put p;
	char label[16];
	struct fixture f;
	uint64_t id;

	setup(&f, kind);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(label, sizeof(label), "/%u", i);
		put(&f, i % 2 == 0 ? ALICE : BOB, label, 7, 10);
	}
	e = entry(ROOT, "/root", 7, 10);
	assert_false(f.store->ops->find_file(f.store, &e.file, ROOT, &found));
	e.versions = 1;
	assert_int_equal(put_entry(&f, &e, &id), STORE_OK);
	assert_true(f.store->ops->find_file(f.store, &e.file, ROOT, &found));
	assert_int_equal(found.id, id);
	assert_true(f.store->ops->find_file(f.store, &e.file, BOB, &found));
	assert_int_equal(found.uid, BOB);
	/* Of his own, the one that says most. */
	e = entry(ROOT, "/more", 7, 10);
	e.versions = 3;
	assert_int_equal(put_entry(&f, &e, &id), STORE_OK);
	e = entry(ROOT, "/less", 7, 10);
	e.versions = 1;
	assert_int_equal(put_entry(&f, &e, &id), STORE_OK);
	assert_true(f.store->ops->find_file(f.store, &e.file, ROOT, &found));
	assert_int_equal(found.versions, 3);
	assert_int_equal(remove_id(&f, found.id), STORE_OK);
	assert_true(f.store->ops->find_file(f.store, &e.file, ROOT, &found));
	assert_int_equal(found.versions, 1);
	/* Whose place one takes is told. */
	p = (struct hash_put){.entry = e, .done = put_done};
	f.store->ops->put(f.store, &p);
	wait_done(&f, 1);
	assert_int_equal(p.replaced, id);
	p.entry.label_len--;
	f.store->ops->put(f.store, &p);
	wait_done(&f, 1);
	assert_int_equal(p.replaced, 0);
	teardown(&f);
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
BOTH_TEST(files)
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

/* Whoever opens much does not hold up the others. */
static void
test_turns(void **state)
{
	struct hash_load l = {.uid = BOB, .done = load_done};
	struct fixture f;

	setup(&f, DISK);
	l.id = put(&f, ALICE, "/a", 1, 10);
	current = &f;
	f.store->ops->load(f.store, &l);
	assert_int_equal(f.n_jobs, 1);
	assert_int_equal(f.jobs[0]->uid, BOB);
	wait_done(&f, 1);
	free(l.bytes);
	teardown(&f);
}

static atomic_bool disk_refuses;

/* Takes the place of the C library's, for LMDB, too. */
int
fdatasync(int fd)
{
	if (!disk_refuses)
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}

/* Told once, and again when it is over. */
static void
test_disk_refuses(void **state)
{
	struct fixture f;
	struct hash_entry e;
	uint64_t a, id;

	setup(&f, DISK);
	a = put(&f, ALICE, "/a", 1, 10);
	disk_refuses = true;
	e = entry(ALICE, "/b", 2, 99000);
	assert_int_equal(put_entry(&f, &e, &id), STORE_IO);
	assert_int_equal(put_entry(&f, &e, &id), STORE_IO);
	assert_int_equal(stats(&f).health, STORE_FAILING);
	assert_int_equal(f.reports[STORE_REPORT_FAILING], 1);
	check_loads(&f, a, ALICE, "/a", 1, 10);
	assert_false(find(&f, ALICE, "/b", &e));
	disk_refuses = false;
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
		BOTH(files),
		BOTH(paging),
		BOTH(limits),
		BOTH(user_limits),
		BOTH(queued),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_second_process),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_disk_refuses),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash store on disk, when what it reads is not what was written; and that
 * it leaves nothing behind. */
#include "tests/unit/hash_env.h"

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
		/* How the files are linked is noted beside the counts. */
		assert_int_equal(n, table == HASH_COUNTS ? 2 : 1);
	}
	index_close(ix);
	close(folder);
	assert_int_equal(open_disk(&f, 0), 0);
	teardown(&f);
}

#define OLD_KEY_FILE 40u /* without the uid */

static struct index_blob
old_key(uint8_t key[HASH_KEY_FILE], uint64_t number)
{
	struct hash_entry e = entry(ALICE, "/", number, 0);

	hash_key_file(key, &e.file, 0);
	return (struct index_blob){key, OLD_KEY_FILE};
}

/* As an older release has left it. */
static void
make_old(struct fixture *f, uint64_t a, uint64_t b)
{
	int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct index *ix = open_index(f, HASH_RECORD_FORMAT, folder);
	uint8_t key[HASH_KEY_FILE], id[HASH_KEY_ID];
	struct index_blob value = {id, sizeof(id)};

	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_clear(ix, HASH_FILES), 0);
	assert_int_equal(index_txn_delete(ix, HASH_COUNTS,
				 (struct index_blob){"files", 5},
				 (struct index_blob){NULL, 0}),
		0);
	hash_key_id(id, a);
	assert_int_equal(
		index_txn_put(ix, HASH_FILES, old_key(key, 1), value), 0);
	hash_key_id(id, b);
	assert_int_equal(
		index_txn_put(ix, HASH_FILES, old_key(key, 2), value), 0);
	assert_int_equal(index_commit(ix), 0);
	index_close(ix);
	close(folder);
}

/* Files are found in what an older release has left, once it is opened. */
static void
test_old_files(void **state)
{
	struct fixture f;
	struct hash_entry e, found;
	struct index *ix;
	uint64_t a, b;
	size_t n = 0;
	int folder;

	setup(&f, DISK);
	a = put(&f, ALICE, "/a", 1, 10);
	b = put(&f, BOB, "/b", 2, 10);
	close_store(&f);
	make_old(&f, a, b);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_disk(&f, 0), 0);
		e = entry(ALICE, "/a", 1, 10);
		assert_true(f.store->ops->find_file(
			f.store, &e.file, ALICE, &found));
		assert_int_equal(found.id, a);
		assert_false(
			f.store->ops->find_file(f.store, &e.file, BOB, &found));
		e = entry(BOB, "/b", 2, 10);
		assert_true(
			f.store->ops->find_file(f.store, &e.file, BOB, &found));
		assert_int_equal(found.id, b);
		count_entries(&f, 2, 24);
		close_store(&f);
	}
	/* Not beside them. */
	folder = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix = open_index(&f, HASH_RECORD_FORMAT, folder);
	assert_int_equal(index_each(ix, HASH_FILES, (struct index_blob){0},
				 count_pair, &n),
		0);
	assert_int_equal(n, 2);
	index_close(ix);
	close(folder);
	assert_int_equal(open_disk(&f, 0), 0);
	assert_int_equal(remove_id(&f, a), STORE_OK);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_misplaced_record),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_old_files),
		cmocka_unit_test(test_damaged_hashes),
		cmocka_unit_test(test_damaged_counts),
		cmocka_unit_test(test_user_counts),
		cmocka_unit_test(test_damaged_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

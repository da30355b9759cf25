/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/index_util.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "tests/unit/failalloc.h"

/* Keys and values as "k=v k=v"; stops when the text is so long. */
struct listing {
	size_t stop;
	char text[256];
};

static bool
list_one(struct index_blob key, struct index_blob value, void *ctx)
{
	struct listing *l = ctx;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s%.*s=%.*s",
		n > 0 ? " " : "", (int)key.len, (const char *)key.data,
		(int)value.len, (const char *)value.data);
	return l->stop == 0 || strlen(l->text) < l->stop;
}

static void
assert_listed(enum table table, const char *from, size_t stop, const char *want)
{
	struct listing l = {.stop = stop};

	assert_int_equal(index_each(ix, table, text(from), list_one, &l), 0);
	assert_string_equal(l.text, want);
}

static void
test_a_new_one_and_again(void **state)
{
	struct stat st;

	reopen(INDEX_NEW);
	assert_false(there("a"));
	put_one("a", "1");
	assert_value("a", "1");
	reopen(INDEX_FOUND);
	assert_value("a", "1");
	assert_int_equal(fstatat(folder, "index.mdb", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(folder, "index.mdb-lock", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(st.st_blocks > 0);
}

static void
test_the_loop_sees_a_commit_after_refresh(void **state)
{
	struct index_blob v;

	reopen(INDEX_NEW);
	put_one("a", "old");
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "new");
	assert_value("a", "old");
	assert_int_equal(index_txn_get(ix, PLAIN, text("a"), &v), 0);
	assert_memory_equal(v.data, "new", 3);
	assert_int_equal(index_commit(ix), 0);
	assert_value("a", "old");
	index_refresh(ix);
	assert_value("a", "new");
}

static void
test_abort_leaves_nothing(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "2");
	put(PLAIN, "b", "2");
	index_abort(ix);
	index_abort(ix);
	index_refresh(ix);
	assert_value("a", "1");
	assert_false(there("b"));
}

static void
test_put_replaces_and_delete_forgets(void **state)
{
	struct index_blob v;

	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	put(PLAIN, "a", "2");
	put(PLAIN, "b", "2");
	assert_int_equal(
		index_txn_delete(ix, PLAIN, text("b"), (struct index_blob){0}),
		0);
	assert_int_equal(
		index_txn_delete(ix, PLAIN, text("b"), (struct index_blob){0}),
		0);
	assert_int_equal(index_txn_get(ix, PLAIN, text("b"), &v), -ENOENT);
	commit();
	assert_listed(PLAIN, "", 0, "a=2");
}

static void
test_pairs(void **state)
{
	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PAIRS, "b", "3");
	put(PAIRS, "a", "2");
	put(PAIRS, "a", "1");
	put(PAIRS, "a", "1");
	put(PAIRS, "a", "11");
	put(PAIRS, "c", "9");
	commit();
	assert_listed(PAIRS, "", 0, "a=1 a=11 a=2 b=3 c=9");
	assert_listed(PAIRS, "b", 0, "b=3 c=9");
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_delete(ix, PAIRS, text("a"), text("11")), 0);
	assert_int_equal(index_txn_delete(ix, PAIRS, text("a"), text("7")), 0);
	assert_int_equal(
		index_txn_delete(ix, PAIRS, text("c"), (struct index_blob){0}),
		0);
	commit();
	assert_listed(PAIRS, "", 0, "a=1 a=2 b=3");
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(
		index_txn_delete(ix, PAIRS, text("a"), (struct index_blob){0}),
		0);
	commit();
	assert_listed(PAIRS, "", 0, "b=3");
}

static void
test_each(void **state)
{
	struct listing l = {0};

	reopen(INDEX_NEW);
	assert_listed(PLAIN, "", 0, "");
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	put(PLAIN, "ab", "2");
	put(PLAIN, "c", "3");
	assert_int_equal(
		index_txn_each(ix, PLAIN, text("aa"), list_one, &l), 0);
	assert_string_equal(l.text, "ab=2 c=3");
	commit();
	assert_listed(PLAIN, "", 0, "a=1 ab=2 c=3");
	assert_listed(PLAIN, "ab", 0, "ab=2 c=3");
	assert_listed(PLAIN, "abc", 0, "c=3");
	assert_listed(PLAIN, "d", 0, "");
	assert_listed(PLAIN, "", 5, "a=1 ab=2");
}

static void
test_clear(void **state)
{
	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	put(PAIRS, "a", "1");
	commit();
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_clear(ix, PLAIN), 0);
	put(PLAIN, "b", "1");
	commit();
	assert_listed(PLAIN, "", 0, "b=1");
	assert_listed(PAIRS, "", 0, "a=1");
	reopen(INDEX_FOUND);
	assert_listed(PLAIN, "", 0, "b=1");
}

static void
test_keys_and_values_that_do_not_fit(void **state)
{
	static char big[1 << 20];
	struct index_blob v = {big, 600};

	reopen(INDEX_NEW);
	assert_false(there(""));
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_put(ix, PLAIN, v, text("a")), -EINVAL);
	index_abort(ix);
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_put(ix, PAIRS, text("a"), v), -EINVAL);
	index_abort(ix);
	assert_false(index_is_damaged(ix));
	assert_int_equal(index_begin(ix), 0);
	v.len = sizeof(big);
	assert_int_equal(index_txn_put(ix, PLAIN, text("a"), v), 0);
	commit();
	assert_true(index_get(ix, PLAIN, text("a"), &v));
	assert_int_equal(v.len, sizeof(big));
}

static int
fill(void)
{
	static char value[100000];
	struct index_blob v = {value, sizeof(value)};
	char key[16];
	int r = 0;

	for (int i = 0; r == 0; i++) {
		snprintf(key, sizeof(key), "fill%d", i);
		r = index_txn_put(ix, PLAIN, text(key), v);
	}
	return r;
}

static void
test_a_full_map(void **state)
{
	struct index_blob v;

	reopen(INDEX_NEW);
	put_one("a", "1");
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(fill(), -ENOSPC);
	/* over, whatever is asked */
	assert_int_equal(
		index_txn_put(ix, PLAIN, text("b"), text("1")), -ENOSPC);
	assert_int_equal(index_txn_get(ix, PLAIN, text("a"), &v), -ENOSPC);
	assert_int_equal(index_commit(ix), -ENOSPC);
	index_refresh(ix);
	assert_false(index_is_damaged(ix));
	assert_listed(PLAIN, "", 0, "a=1");
	put_one("b", "2");
	assert_true(index_used_bytes(ix) <= params.map_size);
	reopen(INDEX_FOUND);
	assert_listed(PLAIN, "", 0, "a=1 b=2");
}

static void
test_sizes(void **state)
{
	uint64_t used;

	params.map_size = (4 << 20) - 5;
	reopen(INDEX_NEW);
	used = index_used_bytes(ix);
	assert_int_equal(used, file_size("index.mdb"));
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	assert_int_equal(index_txn_put(ix, PLAIN, text("b"),
				 (struct index_blob){folder_path, 40}),
		0);
	commit();
	assert_true(index_used_bytes(ix) > used);
}

/* A file may grow up to a limit; the process asks for no signal. */
static void
test_a_disk_that_takes_no_more(void **state)
{
	struct rlimit was, small;

	reopen(INDEX_NEW);
	put_one("a", "1");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 200000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 3; i++) {
		static char value[500000];

		assert_int_equal(index_begin(ix), 0);
		assert_int_equal(
			index_txn_put(ix, PLAIN, text("b"),
				(struct index_blob){value, sizeof(value)}),
			0);
		assert_true(index_commit(ix) < 0);
		index_refresh(ix);
		assert_false(index_is_damaged(ix));
		assert_listed(PLAIN, "", 0, "a=1");
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	put_one("c", "3");
	reopen(INDEX_FOUND);
	assert_listed(PLAIN, "", 0, "a=1 c=3");
}

static void
test_a_reader_keeps_its_view(void **state)
{
	struct index_reader *r;
	struct listing l = {0};
	struct index_blob v;

	reopen(INDEX_NEW);
	put_one("a", "1");
	r = index_reader_new(ix);
	assert_non_null(r);
	for (int i = 0; i < 20; i++) {
		put_one("a", "2");
		put_one("b", "2");
	}
	assert_true(index_reader_get(r, PLAIN, text("a"), &v));
	assert_memory_equal(v.data, "1", 1);
	assert_false(index_reader_get(r, PLAIN, text("b"), &v));
	assert_int_equal(
		index_reader_each(r, PLAIN, text(""), list_one, &l), 0);
	assert_string_equal(l.text, "a=1");
	assert_null(index_reader_free(r));
	assert_null(index_reader_free(NULL));
	r = index_reader_new(ix);
	assert_true(index_reader_get(r, PLAIN, text("b"), &v));
	index_reader_free(r);
}

static void
test_readers_come_and_go(void **state)
{
	struct index_reader *r[20];

	reopen(INDEX_NEW);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < ARRAY_LEN(r); i++) {
			r[i] = index_reader_new(ix);
			assert_non_null(r[i]);
		}
		for (size_t i = 0; i < ARRAY_LEN(r); i++)
			index_reader_free(r[i]);
	}
}

/* A leaf full of zeros: what is on it is gone, the rest can still be read, and
 * nothing is written any more. */
static void
test_lmdb_finds_damage(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bad = 0;
	AUTO_FREE uint8_t *zero = calloc(1, page);
	off_t size = fill_index();
	char key[16];
	int lost = 0;

	assert_non_null(zero);
	for (off_t at = (off_t)(2 * page); at < size && bad == 0;
		at += (off_t)page) {
		AUTO_FD int fd =
			openat(folder, "index.mdb", O_RDONLY | O_CLOEXEC);
		uint8_t head[4096];

		assert_true(pread(fd, head, sizeof(head), at) > 0);
		if (head[10] == 0x02 && memmem(head, page, "vvvv", 4) != NULL)
			bad = (size_t)at;
	}
	assert_true(bad > 0);
	change_file(bad, zero, page);
	assert_int_equal(index_open(&ix, &params, false), INDEX_FOUND);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++) {
			snprintf(key, sizeof(key), "%d", i);
			lost += !there(key);
		}
		assert_true(lost > 0 && lost < 10);
		assert_true(index_is_damaged(ix));
		assert_true(is_there("index.damaged"));
		index_refresh(ix);
		lost = 0;
	}
	assert_int_equal(index_begin(ix), -EIO);
	assert_put_aside();
}

/* Changes every leaf that holds the node of key "a" with its value "1". */
static void
change_leaves(void (*fn)(uint8_t *page, size_t node))
{
	static const uint8_t node[] = {1, 0, 0, 0, 0, 0, 1, 0, 'a', '1'};
	size_t len = (size_t)file_size("index.mdb"), n = 0;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	AUTO_FD int fd = openat(folder, "index.mdb", O_RDONLY | O_CLOEXEC);
	AUTO_FREE uint8_t *data = malloc(len);

	assert_non_null(data);
	assert_int_equal(read(fd, data, len), len);
	for (size_t at = 0; at < len; at += page) {
		uint8_t *p = memmem(data + at, page, node, sizeof(node));

		if (p == NULL)
			continue;
		fn(data + at, (size_t)(p - data) - at);
		n++;
	}
	assert_true(n > 0);
	change_file(0, data, len);
}

static void
make_long(uint8_t *page, size_t node)
{
	page[node + 3] = 0x10;
}

static void
swap_two(uint8_t *page, size_t node)
{
	uint8_t first[2];

	memcpy(first, page + 16, 2);
	memcpy(page + 16, page + 18, 2);
	memcpy(page + 18, first, 2);
}

static void
make_two(void)
{
	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	put(PLAIN, "b", "2");
	commit();
	ix = index_close(ix);
}

static void
test_a_value_that_leaves_the_file(void **state)
{
	struct listing l = {0};
	struct index_blob v;

	make_two();
	change_leaves(make_long);
	reopen(INDEX_FOUND);
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(index_txn_get(ix, PLAIN, text("a"), &v), -EIO);
	assert_int_equal(index_commit(ix), -EIO);
	assert_true(index_is_damaged(ix));
	reopen(INDEX_DAMAGED);
	ix = index_close(ix);
	assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	make_two();
	change_leaves(make_long);
	reopen(INDEX_FOUND);
	assert_int_equal(index_each(ix, PLAIN, text(""), list_one, &l), -EIO);
	assert_string_equal(l.text, "");
	assert_false(there("a"));
	assert_true(there("b"));
	assert_put_aside();
}

static void
test_keys_that_do_not_rise(void **state)
{
	struct listing l = {0};

	make_two();
	change_leaves(swap_two);
	reopen(INDEX_FOUND);
	assert_int_equal(index_each(ix, PLAIN, text(""), list_one, &l), -EIO);
	assert_string_equal(l.text, "b=2");
	assert_put_aside();
}

/* The store thread commits, the loop and a worker read: each sees the values of
 * one commit, and none older than the one before. */
#define THREAD_ROUNDS 100

static void *
thread_writes(void *arg)
{
	atomic_uint *done = arg;

	for (unsigned i = 1; i <= THREAD_ROUNDS; i++) {
		char value[16];

		snprintf(value, sizeof(value), "%u", i);
		assert_int_equal(index_begin(ix), 0);
		put(PLAIN, "a", value);
		put(PLAIN, "b", value);
		assert_int_equal(index_commit(ix), 0);
		atomic_store(done, i);
	}
	return NULL;
}

static unsigned
number(struct index_blob v)
{
	unsigned n = 0;

	for (size_t i = 0; i < v.len; i++)
		n = n * 10 + (unsigned)(((const char *)v.data)[i] - '0');
	return n;
}

static void *
thread_reads(void *arg)
{
	atomic_uint *done = arg;
	unsigned before;

	do {
		struct index_reader *r;
		struct index_blob a, b;

		before = atomic_load(done);
		r = index_reader_new(ix);
		assert_non_null(r);
		assert_true(index_reader_get(r, PLAIN, text("a"), &a));
		assert_true(index_reader_get(r, PLAIN, text("b"), &b));
		assert_int_equal(number(a), number(b));
		assert_true(number(a) >= before);
		index_reader_free(r);
	} while (before < THREAD_ROUNDS);
	return NULL;
}

static void
test_three_threads(void **state)
{
	pthread_t writer, reader;
	atomic_uint done = 0;
	unsigned before;

	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "0");
	put(PLAIN, "b", "0");
	commit();
	assert_int_equal(
		pthread_create(&writer, NULL, thread_writes, &done), 0);
	assert_int_equal(pthread_create(&reader, NULL, thread_reads, &done), 0);
	do {
		struct index_blob a, b;

		before = atomic_load(&done);
		index_refresh(ix);
		assert_true(index_get(ix, PLAIN, text("a"), &a));
		assert_true(index_get(ix, PLAIN, text("b"), &b));
		assert_int_equal(number(a), number(b));
		assert_true(number(a) >= before);
		assert_true(index_used_bytes(ix) <= params.map_size);
	} while (before < THREAD_ROUNDS);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(pthread_join(reader, NULL), 0);
}

static int
open_scenario(void *arg)
{
	struct index *x = NULL;
	int r = index_open(&x, &params, false);

	if (r >= 0)
		assert_non_null(x);
	index_close(x);
	return r < 0 ? r : 0;
}

static int
reader_scenario(void *arg)
{
	struct index_reader *r = index_reader_new(ix);

	index_reader_free(r);
	return r != NULL ? 0 : -ENOMEM;
}

static void
test_no_memory(void **state)
{
	assert_int_equal(failalloc_each(open_scenario, NULL), 2);
	reopen(INDEX_FOUND);
	put_one("a", "1");
	ix = index_close(ix);
	assert_int_equal(failalloc_each(open_scenario, NULL), 2);
	reopen(INDEX_FOUND);
	assert_value("a", "1");
	assert_int_equal(failalloc_each(reader_scenario, NULL), 1);
}

static void
test_what_cannot_be_opened(void **state)
{
	params.path = "/nowhere";
	assert_int_equal(index_open(&ix, &params, false), -ENOENT);
	assert_null(ix);
	params.path = folder_path;
	assert_int_equal(unlinkat(folder, "index.mdb-lock", 0), 0);
	assert_int_equal(mkdirat(folder, "index.mdb-lock", 0700), 0);
	assert_int_equal(index_open(&ix, &params, false), -EISDIR);
	assert_int_equal(unlinkat(folder, "index.mdb-lock", AT_REMOVEDIR), 0);
	reopen(INDEX_NEW);
}

static void
test_close_ends_what_is_open(void **state)
{
	reopen(INDEX_NEW);
	assert_int_equal(index_begin(ix), 0);
	put(PLAIN, "a", "1");
	reopen(INDEX_FOUND);
	assert_false(there("a"));
	assert_null(index_close(NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_new_one_and_again),
		TEST(test_the_loop_sees_a_commit_after_refresh),
		TEST(test_abort_leaves_nothing),
		TEST(test_put_replaces_and_delete_forgets),
		TEST(test_pairs),
		TEST(test_each),
		TEST(test_clear),
		TEST(test_keys_and_values_that_do_not_fit),
		TEST(test_a_full_map),
		TEST(test_sizes),
		TEST(test_a_disk_that_takes_no_more),
		TEST(test_a_reader_keeps_its_view),
		TEST(test_readers_come_and_go),
		TEST(test_lmdb_finds_damage),
		TEST(test_a_value_that_leaves_the_file),
		TEST(test_keys_that_do_not_rise),
		TEST(test_three_threads),
		TEST(test_no_memory),
		TEST(test_what_cannot_be_opened),
		TEST(test_close_ends_what_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files as they may be found, and disks that fail.
 *
 * pwrite(), writev() and fdatasync() are this file's own, so that a disk can be
 * played that fails at any call: LMDB's are bound to them as well.
 */
#include "tests/unit/index_util.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <lmdb.h>

enum fault {
	FAULT_EIO,
	FAULT_FULL,
	FAULT_SHORT, /* half is written, and no error told */
	FAULT_LATE,  /* all is written, and then it fails */
	_FAULT_MAX,
};

static enum fault fault;
static unsigned countdown; /* to the call that fails; 0: none */
static bool fired;

/* Whether this call fails; *len: how much is to be written all the same. */
static bool
fails_now(size_t *len)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	fired = true;
	if (fault == FAULT_SHORT)
		*len /= 2;
	else if (fault != FAULT_LATE)
		*len = 0;
	return true;
}

static ssize_t
failed(ssize_t written)
{
	if (fault == FAULT_SHORT)
		return written;
	errno = fault == FAULT_FULL ? ENOSPC : EIO;
	return -1;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	bool fails = fails_now(&len);
	ssize_t n = syscall(SYS_pwrite64, fd, data, len, offset);

	return fails ? failed(n) : n;
}

ssize_t
writev(int fd, const struct iovec *iov, int n_iov)
{
	size_t len = 0;
	ssize_t n;

	for (int i = 0; i < n_iov; i++)
		len += iov[i].iov_len;
	if (!fails_now(&len))
		return syscall(SYS_writev, fd, iov, n_iov);
	n = 0;
	for (int i = 0; i < n_iov && len > 0; i++) {
		size_t part = MIN_OF(len, iov[i].iov_len);

		n += write(fd, iov[i].iov_base, part);
		len -= part;
	}
	return failed(n);
}

int
fdatasync(int fd)
{
	size_t len = 0;

	if (!fails_now(&len))
		return (int)syscall(SYS_fdatasync, fd);
	errno = fault == FAULT_FULL ? ENOSPC : EIO;
	return -1;
}

static void
arm(enum fault f, unsigned n)
{
	fault = f;
	countdown = n;
	fired = false;
}

static bool
disarm(void)
{
	countdown = 0;
	return fired;
}

static void
write_file(const char *name, const void *data, size_t len)
{
	AUTO_FD int fd = openat(
		folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
}

static void
test_a_newer_format_is_left_alone(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	ix = index_close(ix);
	params.format = 4;
	assert_int_equal(index_open(&ix, &params, true), INDEX_NEWER);
	assert_null(ix);
	params.format = 5;
	reopen(INDEX_FOUND);
	assert_value("a", "1");
}

static void
assert_foreign_then_replaced(void)
{
	ix = index_close(ix);
	assert_int_equal(index_open(&ix, &params, false), INDEX_FOREIGN);
	assert_null(ix);
	assert_false(is_there("index.mdb.damaged"));
	assert_int_equal(index_open(&ix, &params, true), INDEX_FOREIGN);
	assert_non_null(ix);
	assert_true(is_there("index.mdb.damaged"));
	assert_false(there("a"));
	put_one("b", "2");
	reopen(INDEX_FOUND);
	assert_value("b", "2");
}

static void
test_an_older_format(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	params.format = 6;
	assert_foreign_then_replaced();
}

static void
test_an_index_of_something_else(void **state)
{
	params.name = "other";
	reopen(INDEX_NEW);
	put_one("a", "1");
	ix = index_close(ix);
	assert_int_equal(renameat(folder, "other.mdb", folder, "index.mdb"), 0);
	params.name = "index";
	assert_foreign_then_replaced();
}

static void
test_the_other_byte_order(void **state)
{
	uint32_t magic = __builtin_bswap32(0xbeefc0de);

	reopen(INDEX_NEW);
	change_file(16, &magic, sizeof(magic));
	assert_foreign_then_replaced();
}

static void
test_the_other_width(void **state)
{
	uint32_t head[2] = {0xbeefc0de, 1};

	reopen(INDEX_NEW);
	change_file(12, head, sizeof(head));
	assert_foreign_then_replaced();
}

static void
test_another_page_size(void **state)
{
	uint32_t size = (uint32_t)sysconf(_SC_PAGESIZE) * 4;

	reopen(INDEX_NEW);
	change_file(40, &size, sizeof(size));
	assert_foreign_then_replaced();
}

static void
test_an_empty_file(void **state)
{
	write_file("index.mdb", "", 0);
	reopen(INDEX_NEW);
	put_one("a", "1");
	reopen(INDEX_FOUND);
}

static void
test_a_file_of_something_else(void **state)
{
	static char zero[20000];

	write_file("index.mdb", "hello", 5);
	assert_put_aside();
	ix = index_close(ix);
	write_file("index.mdb", zero, sizeof(zero));
	assert_put_aside();
	/* an older one is replaced */
	assert_int_equal(file_size("index.mdb.damaged"), sizeof(zero));
}

static void
test_the_mark(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	write_file("index.damaged", "", 0);
	assert_put_aside();
}

static void
test_a_mark_without_a_file(void **state)
{
	write_file("index.damaged", "", 0);
	assert_int_equal(index_open(&ix, &params, false), INDEX_DAMAGED);
	assert_false(is_there("index.damaged"));
	reopen(INDEX_FOUND);
}

/* Cut while the file was being made: nothing was ever in it. */
static void
test_a_file_without_tables(void **state)
{
	MDB_env *env;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(fchdir(folder), 0);
	assert_int_equal(mdb_env_open(env, "index.mdb", MDB_NOSUBDIR, 0600), 0);
	mdb_env_close(env);
	reopen(INDEX_NEW);
	put_one("a", "1");
	reopen(INDEX_FOUND);
	assert_value("a", "1");
}

static void
test_a_table_that_lacks(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	params.tables[1].name = "other";
	assert_put_aside();
}

static void
test_a_table_of_another_kind(void **state)
{
	reopen(INDEX_NEW);
	put_one("a", "1");
	params.tables[0].dup = true;
	assert_put_aside();
}

static void
test_every_cut_is_noticed(void **state)
{
	off_t page = (off_t)sysconf(_SC_PAGESIZE), size = page * 3;

	for (off_t cut = 1; cut < size; cut += page - (cut == 1)) {
		size = fill_index();
		cut_file(cut);
		assert_int_equal(
			index_open(&ix, &params, false), INDEX_DAMAGED);
		ix = index_close(ix);
		assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	}
}

static size_t
free_at_end(void)
{
	size_t last, n = 0;
	MDB_cursor *cursor;
	MDB_envinfo info;
	MDB_val k, v;
	MDB_env *env;
	MDB_txn *txn;
	bool *is_free;

	assert_int_equal(fchdir(folder), 0);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, "index.mdb", MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_env_info(env, &info), 0);
	last = info.me_last_pgno;
	is_free = calloc(last + 1, 1);
	assert_non_null(is_free);
	assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_cursor_open(txn, 0, &cursor), 0);
	while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
		const size_t *list = v.mv_data;

		for (size_t i = 1; i <= list[0]; i++)
			is_free[list[i]] = true;
	}
	while (is_free[last - n])
		n++;
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	free(is_free);
	return n;
}

/* LMDB may leave a file shorter than it says, when the pages at the end were
 * never written: that is no damage. */
static void
test_free_pages_at_the_end_may_lack(void **state)
{
	static char value[200000];
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n;
	off_t size;

	for (int used = 0; used < 2; used++) {
		reopen(INDEX_NEW);
		assert_int_equal(index_begin(ix), 0);
		assert_int_equal(
			index_txn_put(ix, PLAIN, text("b"),
				(struct index_blob){value, sizeof(value)}),
			0);
		commit();
		assert_int_equal(index_begin(ix), 0);
		assert_int_equal(index_txn_delete(ix, PLAIN, text("b"),
					 (struct index_blob){0}),
			0);
		commit();
		/* What is in use moves to the front. */
		for (int i = 0; i < 10; i++)
			put_one("a", "1");
		ix = index_close(ix);
		n = free_at_end();
		assert_true(n > 10);
		size = file_size("index.mdb");
		cut_file(size - (off_t)(page * (n + (size_t)used)));
		assert_int_equal(index_open(&ix, &params, false),
			used ? INDEX_DAMAGED : INDEX_FOUND);
		assert_int_equal(there("a"), !used);
		put_one("c", "3");
		reopen(INDEX_FOUND);
		assert_value("c", "3");
		ix = index_close(ix);
		assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	}
}

static uint64_t
txn_of_meta(unsigned meta, uint64_t *ret_at)
{
	AUTO_FD int fd = openat(folder, "index.mdb", O_RDONLY | O_CLOEXEC);
	uint64_t txn;

	*ret_at = meta * (uint64_t)sysconf(_SC_PAGESIZE) + 144;
	assert_int_equal(pread(fd, &txn, 8, (off_t)*ret_at), 8);
	return txn;
}

/* The metas' numbers are neighbours.  One changed bit can make another pair of
 * neighbours, which is the state of one commit earlier. */
static void
test_a_meta_with_another_number(void **state)
{
	for (unsigned i = 0; i < 128; i++) {
		uint64_t at, other, txn;
		bool pair;

		fill_index();
		other = txn_of_meta(1 - i / 64, &at);
		txn = txn_of_meta(i / 64, &at);
		assert_true(txn - other == 1 || other - txn == 1);
		txn ^= UINT64_C(1) << i % 64;
		pair = (txn & 1) == i / 64 &&
			(txn - other == 1 || other - txn == 1);
		change_file(at, &txn, 8);
		reopen(pair ? INDEX_FOUND : INDEX_DAMAGED);
		ix = index_close(ix);
		assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	}
}

/* Keys with values of many pages and of few, all of one round. */
static int
change_all(unsigned round)
{
	static char value[30000];
	int r = index_begin(ix);

	if (r != 0)
		return r;
	memset(value, (int)('0' + round), sizeof(value));
	for (unsigned i = 0; r == 0 && i < 60; i++) {
		char key[8];
		size_t len = i % 10 == 0 ? sizeof(value) : 50;

		snprintf(key, sizeof(key), "%u", i);
		r = index_txn_put(
			ix, PLAIN, text(key), (struct index_blob){value, len});
	}
	return index_commit(ix);
}

/* The round that all are of. */
static unsigned
round_there(void)
{
	unsigned round = 0;

	for (unsigned i = 0; i < 60; i++) {
		struct index_blob v;
		const char *p;
		char key[8];

		snprintf(key, sizeof(key), "%u", i);
		assert_true(index_get(ix, PLAIN, text(key), &v));
		p = v.data;
		if (i == 0)
			round = (unsigned)(p[0] - '0');
		for (size_t j = 0; j < v.len; j++)
			assert_int_equal(p[j], '0' + (int)round);
	}
	return round;
}

/* false: there is no n-th call. */
static bool
fail_at(enum fault f, unsigned n, unsigned *panics)
{
	bool failed_once;
	int r;

	reopen(INDEX_NEW);
	assert_int_equal(change_all(1), 0);
	assert_int_equal(change_all(2), 0);
	index_refresh(ix);
	arm(f, n);
	r = change_all(3);
	failed_once = disarm();
	if (failed_once)
		assert_true(r == -EIO || r == -ENOSPC);
	else
		assert_int_equal(r, 0);
	/* Reads go on. */
	index_refresh(ix);
	assert_int_equal(round_there(), r == 0 ? 3 : 2);
	assert_false(is_there("index.damaged"));
	if (index_is_damaged(ix)) {
		(*panics)++;
		assert_int_equal(index_begin(ix), -EIO);
		reopen(INDEX_FOUND);
		assert_true(round_there() >= 2);
	}
	assert_int_equal(change_all(4), 0);
	index_refresh(ix);
	assert_int_equal(round_there(), 4);
	reopen(INDEX_FOUND);
	assert_int_equal(round_there(), 4);
	assert_int_equal(change_all(5), 0);
	ix = index_close(ix);
	assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	return failed_once;
}

/* Every call of a commit fails once, in every way. */
static void
test_a_commit_that_the_disk_fails(void **state)
{
	unsigned panics = 0, n;

	for (enum fault f = 0; f < _FAULT_MAX; f++) {
		for (n = 1; fail_at(f, n, &panics); n++)
			;
		assert_true(n > 3);
	}
	/* The last call, of the meta, each time. */
	assert_int_equal(panics, _FAULT_MAX);
}

static void
test_an_index_that_cannot_be_made(void **state)
{
	unsigned n = 1;

	for (enum fault f = 0; f < _FAULT_MAX; f++) {
		for (n = 1;; n++) {
			int r;

			arm(f, n);
			r = index_open(&ix, &params, false);
			if (!disarm()) {
				assert_int_equal(r, INDEX_NEW);
				break;
			}
			assert_true(r == -EIO || r == -ENOSPC);
			assert_null(ix);
			r = index_open(&ix, &params, false);
			assert_true(r >= 0);
			put_one("a", "1");
			reopen(INDEX_FOUND);
			assert_value("a", "1");
			ix = index_close(ix);
			assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
		}
		assert_true(n > 2);
		ix = index_close(ix);
		assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_newer_format_is_left_alone),
		TEST(test_an_older_format),
		TEST(test_an_index_of_something_else),
		TEST(test_the_other_byte_order),
		TEST(test_the_other_width),
		TEST(test_another_page_size),
		TEST(test_an_empty_file),
		TEST(test_a_file_of_something_else),
		TEST(test_the_mark),
		TEST(test_a_mark_without_a_file),
		TEST(test_a_file_without_tables),
		TEST(test_a_table_that_lacks),
		TEST(test_a_table_of_another_kind),
		TEST(test_every_cut_is_noticed),
		TEST(test_free_pages_at_the_end_may_lack),
		TEST(test_a_meta_with_another_number),
		TEST(test_a_commit_that_the_disk_fails),
		TEST(test_an_index_that_cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

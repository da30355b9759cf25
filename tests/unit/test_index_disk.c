/* SPDX-License-Identifier: BSD-2-Clause */
/* What the disk may do to an index. */
#include "tests/unit/index_util.h"

#include <errno.h>
#include <sys/resource.h>

#include "tests/unit/small_disk.h"

#define VALUE 300

static char key[16], value[60000];

static const char *
key_of(unsigned n)
{
	/* scattered */
	snprintf(key, sizeof(key), "%08x", n * 2654435761u);
	return key;
}

static int
change_both(unsigned n, size_t len)
{
	struct index_blob k = text(key_of(n)), none = {0};
	int r;

	if (len == 0) {
		r = index_txn_delete(ix, PLAIN, k, none);
		return r != 0 ? r : index_txn_delete(ix, PAIRS, k, none);
	}
	r = index_txn_put(ix, PLAIN, k, (struct index_blob){value, len});
	return r != 0 ? r : index_txn_put(ix, PAIRS, k, k);
}

/* One entry in a transaction of its own. */
static int
add(unsigned n, size_t len)
{
	int r = index_begin(ix);

	assert_int_equal(r, 0);
	r = index_txn_reserve(ix, len + 200);
	if (r == 0)
		r = change_both(n, len);
	if (r == 0)
		r = index_commit(ix);
	else
		index_abort(ix);
	index_refresh(ix);
	return r;
}

static int
take_away(unsigned n)
{
	int r = index_begin(ix);

	assert_int_equal(r, 0);
	r = change_both(n, 0);
	assert_int_equal(r, 0);
	r = index_commit(ix);
	index_refresh(ix);
	return r;
}

static size_t
len_of(unsigned n, size_t most)
{
	return 1 + n * 7919 % most;
}

/* Until nothing more can be added. */
static unsigned
fill(size_t most)
{
	unsigned n = 0;
	int r;

	while ((r = add(n, len_of(n, most))) == 0)
		n++;
	assert_int_equal(r, -ENOSPC);
	return n;
}

static void
take_all_away(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(take_away(i), 0);
	for (unsigned i = 0; i < n; i++)
		assert_false(there(key_of(i)));
	assert_false(index_is_damaged(ix));
}

/* A file of its own, with so many blocks. */
static void
begin(size_t blocks)
{
	params.map_size = 64 << 20;
	ix = index_close(ix);
	(void)unlinkat(folder, "index.mdb", 0);
	small_disk_begin(blocks);
	reopen(INDEX_NEW);
}

/* Whoever removes finds room. */
static void
test_a_full_disk(void **state)
{
	static const size_t most[] = {300, 3000, 60000};

	for (size_t i = 0; i < ARRAY_LEN(most); i++) {
		unsigned n;

		begin(500);
		n = fill(most[i]);
		assert_true(n > 10);
		reopen(INDEX_FOUND);
		assert_true(index_used_bytes(ix) < 500 * SMALL_DISK_BLOCK);
		take_all_away(n);
		/* What they left has room for others. */
		assert_int_equal(add(1, 100), 0);
		assert_int_equal(take_away(1), 0);
	}
}

/* Others fill it, at any size of the file. */
static void
test_others_fill_the_disk(void **state)
{
	for (unsigned n = 1; n < 400; n += 2 * n + 1) {
		unsigned more = n;

		begin(10000);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(add(i, len_of(i, VALUE)), 0);
		small_disk_fill();
		while (more < n + 1000 && add(more, VALUE) == 0)
			more++;
		assert_true(more < n + 1000);
		take_all_away(more);
		small_disk_free(1000);
		assert_int_equal(add(0, VALUE), 0);
	}
}

/* A value that does not fit takes nothing of what is kept. */
static void
test_a_large_value(void **state)
{
	unsigned n = 0;

	begin(300);
	while (add(n, 1000) == 0)
		n++;
	small_disk_free(5);
	assert_int_equal(add(n, sizeof(value)), -ENOSPC);
	take_all_away(n);
}

/* The transaction goes on without it. */
static void
test_refused_within_a_transaction(void **state)
{
	begin(40);
	assert_int_equal(add(1, 100), 0);
	assert_int_equal(index_begin(ix), 0);
	assert_int_equal(change_both(1, 0), 0);
	assert_int_equal(index_txn_reserve(ix, sizeof(value) * 10), -ENOSPC);
	assert_int_equal(index_commit(ix), 0);
	index_refresh(ix);
	assert_false(there(key_of(1)));
}

static void
test_an_empty_one_is_small(void **state)
{
	begin(1000);
	assert_true(small_disk_used() * SMALL_DISK_BLOCK <= 64 << 10);
	reopen(INDEX_FOUND);
	assert_int_equal(index_begin(ix), 0);
	index_abort(ix);
	assert_true(small_disk_used() * SMALL_DISK_BLOCK <= 64 << 10);
}

/* A page that no file can have is a damaged list of free ones, unless files
 * are limited. */
static void
test_too_large_a_file(void **state)
{
	struct rlimit was, finite;

	begin(1000);
	assert_int_equal(add(1, 100), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	if (was.rlim_max != RLIM_INFINITY)
		skip();
	finite = was;
	finite.rlim_cur = 1 << 30;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &finite), 0);
	small_disk_fail(EFBIG);
	assert_int_equal(add(2, 100), -EFBIG);
	assert_false(index_is_damaged(ix));
	assert_false(is_there("index.damaged"));
	small_disk_fail(0);
	assert_int_equal(add(2, 100), 0);
	finite.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &finite), 0);
	small_disk_fail(EFBIG);
	assert_int_equal(add(3, 100), -EIO);
	assert_true(index_is_damaged(ix));
	assert_true(is_there("index.damaged"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	small_disk_begin(0);
	ix = index_close(ix);
	assert_int_equal(index_open(&ix, &params, false), INDEX_DAMAGED);
}

static int
end(void **state)
{
	small_disk_begin(0);
	return teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_full_disk),
		TEST(test_others_fill_the_disk),
		TEST(test_a_large_value),
		TEST(test_refused_within_a_transaction),
		TEST(test_an_empty_one_is_small),
		TEST(test_too_large_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

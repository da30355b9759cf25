/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct disk_env x;
static bool no_blocks;

/* In place of the C library's. */
int
fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (!no_blocks)
		return (int)syscall(SYS_fallocate, fd, mode, offset, len);
	errno = ENOSPC;
	return -1;
}

static int
setup(void **state)
{
	disk_env_init(&x);
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

static enum store_status
put(uint32_t n)
{
	return disk_put_byte(&x, disk_ref(n / 100, n % 100, 'p'),
		(uint8_t)(n % 250 + 1), true, &alice);
}

static unsigned
get(uint32_t n)
{
	return disk_read(&x, disk_ref(n / 100, n % 100, 'p'));
}

static void
put_some(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(put(i), STORE_OK);
	disk_env_sync(&x);
}

static void
assert_reports(unsigned full, unsigned failing, unsigned recovered)
{
	assert_int_equal(x.reports[STORE_REPORT_FULL], full);
	assert_int_equal(x.reports[STORE_REPORT_FAILING], failing);
	assert_int_equal(x.reports[STORE_REPORT_RECOVERED], recovered);
}

/* One refusal costs a volume, and nobody hears of it. */
static void
test_full_once(void **state)
{
	put_some(150);
	disk_fault(FAULT_WRITE, ENOSPC, ".vol");
	disk_faults[FAULT_WRITE].count = 1;
	assert_int_equal(put(150), STORE_OK);
	assert_int_equal(disk_faults[FAULT_WRITE].hits, 1);
	assert_int_equal(get(150), 151);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(149), 150);
	assert_reports(0, 0, 0);
}

static void
full_or_failing(int error, enum store_status status, enum store_health health)
{
	unsigned hits;

	put_some(150);
	disk_fault(FAULT_WRITE, error, ".vol");
	assert_int_equal(put(150), status);
	assert_int_equal(disk_stats_of(&x).health, health);
	hits = disk_faults[FAULT_WRITE].hits;
	/* Refused at once from now on; reads go on. */
	assert_int_equal(put(151), status);
	assert_int_equal(disk_faults[FAULT_WRITE].hits, hits);
	assert_int_equal(get(149), 150);
	assert_int_equal(get(150), 0);
	/* Once a second it is tried. */
	disk_env_time(&x, 1000);
	assert_int_equal(put(152), status);
	assert_true(disk_faults[FAULT_WRITE].hits > hits);
	hits = disk_faults[FAULT_WRITE].hits;
	assert_int_equal(put(153), status);
	assert_int_equal(disk_faults[FAULT_WRITE].hits, hits);
	assert_int_equal(x.reports[STORE_REPORT_RECOVERED], 0);
	disk_faults_off();
	assert_int_equal(put(154), status);
	disk_env_time(&x, 1000);
	assert_int_equal(put(155), STORE_OK);
	assert_int_equal(put(156), STORE_OK);
	assert_int_equal(disk_stats_of(&x).health, STORE_HEALTHY);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(149), 150);
	assert_int_equal(get(155), 156);
	assert_int_equal(get(156), 157);
}

static void
test_full(void **state)
{
	full_or_failing(ENOSPC, STORE_DISK_FULL, STORE_FULL);
	assert_reports(1, 0, 1);
}

static void
test_quota(void **state)
{
	full_or_failing(EDQUOT, STORE_DISK_FULL, STORE_FULL);
	assert_reports(1, 0, 1);
}

static void
test_write_error(void **state)
{
	full_or_failing(EIO, STORE_IO, STORE_FAILING);
	assert_reports(0, 1, 1);
	assert_int_equal(get(0), 1);
}

static void
test_read_only(void **state)
{
	full_or_failing(EROFS, STORE_IO, STORE_FAILING);
	assert_reports(0, 1, 1);
	assert_int_equal(get(0), 1);
}

/* The kernel says it once: what was to be synced is not taken for stored. */
static void
test_volume_sync_fails(void **state)
{
	size_t volumes;

	put_some(10);
	volumes = disk_env_files(&x, ".vol");
	assert_int_equal(put(10), STORE_OK);
	assert_int_equal(get(10), 11);
	disk_fault(FAULT_SYNC, EIO, ".vol");
	disk_faults[FAULT_SYNC].count = 1;
	disk_env_sync(&x);
	assert_int_equal(disk_faults[FAULT_SYNC].hits, 1);
	assert_int_equal(get(10), 0);
	assert_int_equal(get(9), 10);
	assert_int_equal(disk_stats_of(&x).blocks, 10);
	assert_reports(0, 1, 0);
	assert_int_equal(put(11), STORE_IO);
	/* A sync that succeeds heals, an append alone does not. */
	disk_env_time(&x, 1000);
	assert_int_equal(put(12), STORE_OK);
	disk_env_sync(&x);
	assert_reports(0, 1, 1);
	assert_int_equal(disk_stats_of(&x).health, STORE_HEALTHY);
	/* Never again to that volume. */
	assert_int_equal(disk_env_files(&x, ".vol"), volumes + 1);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(9), 10);
	assert_int_equal(get(10), 0);
	assert_int_equal(get(12), 13);
	assert_int_equal(disk_stats_of(&x).blocks, 11);
}

/* It fails on and on: told once, and nothing piles up. */
static void
test_volume_sync_fails_always(void **state)
{
	put_some(10);
	disk_fault(FAULT_SYNC, EIO, ".vol");
	for (uint32_t i = 0; i < 20; i++) {
		(void)put(20 + i);
		disk_env_time(&x, 1000);
		disk_env_sync(&x);
	}
	assert_reports(0, 1, 0);
	assert_int_equal(disk_stats_of(&x).blocks, 10);
	disk_faults_off();
	disk_env_time(&x, 1000);
	assert_int_equal(put(50), STORE_OK);
	disk_env_sync(&x);
	assert_reports(0, 1, 1);
}

/* What was appended stays readable until the index can be written again. */
static void
index_fails(enum disk_fault_call call, int error, enum store_status status)
{
	put_some(10);
	assert_int_equal(put(10), STORE_OK);
	disk_fault(call, error, ".mdb");
	disk_env_sync(&x);
	assert_true(disk_faults[call].hits > 0);
	assert_int_equal(get(10), 11);
	assert_int_equal(put(11), status);
	disk_env_time(&x, 1000);
	disk_env_settle(&x);
	assert_int_equal(put(11), status);
	disk_faults_off();
	disk_env_time(&x, 1000);
	disk_env_sync(&x);
	assert_int_equal(put(12), STORE_OK);
	assert_int_equal(x.reports[STORE_REPORT_RECOVERED], 1);
	assert_int_equal(x.reports[STORE_REPORT_INDEX_BROKEN], 0);
	disk_env_crash(&x);
	assert_int_equal(get(9), 10);
	assert_int_equal(get(10), 11);
	assert_int_equal(get(12), 0);
}

static void
test_index_sync_fails(void **state)
{
	index_fails(FAULT_SYNC, EIO, STORE_IO);
	assert_reports(0, 1, 1);
}

static void
test_index_full(void **state)
{
	uint32_t there = 0;

	put_some(400);
	assert_int_equal(put(400), STORE_OK);
	disk_fault(FAULT_WRITE, ENOSPC, ".mdb");
	disk_env_sync(&x);
	assert_int_equal(put(401), STORE_DISK_FULL);
	for (int i = 0; i < 10; i++) {
		disk_env_time(&x, 1000);
		disk_env_settle(&x);
	}
	assert_reports(1, 0, 0);
	/* Room was looked for, but not all was given for it. */
	for (uint32_t i = 0; i <= 400; i++)
		there += get(i) != 0;
	assert_true(there > 250 && there < 400);
	assert_int_equal(get(400), 400 % 250 + 1);
	disk_faults_off();
	disk_env_time(&x, 1000);
	disk_env_sync(&x);
	assert_int_equal(put(402), STORE_OK);
	disk_env_sync(&x);
	assert_int_equal(disk_stats_of(&x).blocks, there + 1);
	assert_reports(1, 0, 1);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(disk_stats_of(&x).blocks, there + 1);
	assert_int_equal(get(400), 400 % 250 + 1);
}

/* LMDB does not write any more after this, until it is opened anew. */
static void
test_index_breaks(void **state)
{
	put_some(10);
	assert_int_equal(put(10), STORE_OK);
	disk_fault(FAULT_OVERWRITE, EIO, ".mdb");
	disk_env_sync(&x);
	disk_faults_off();
	assert_int_equal(x.reports[STORE_REPORT_INDEX_BROKEN], 1);
	assert_int_equal(disk_stats_of(&x).health, STORE_FAILING);
	assert_int_equal(get(10), 11);
	assert_int_equal(get(9), 10);
	disk_env_time(&x, 5000);
	assert_int_equal(put(11), STORE_IO);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_IO);
	assert_int_equal(disk_clear_all(&x), STORE_IO);
	assert_int_equal(disk_verify_all(&x, true).rotten, 0);
	disk_env_sync(&x);
	assert_int_equal(x.reports[STORE_REPORT_INDEX_BROKEN], 1);
	assert_reports(0, 0, 0);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(9), 10);
	assert_int_equal(put(11), STORE_OK);
}

/* A flush is done although its record cannot be written. */
static void
test_flush_on_full_disk(void **state)
{
	put_some(10);
	disk_fault(FAULT_WRITE, ENOSPC, ".vol");
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	assert_int_equal(get(3), 0);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
}

/* What the index needs for removals is not for adds. */
static void
test_no_room_behind_the_index(void **state)
{
	put_some(10);
	disk_env_close(&x);
	no_blocks = true;
	disk_env_open(&x);
	/* It goes for the sake of the commit, in vain. */
	assert_int_equal(put(10), STORE_OK);
	disk_env_sync(&x);
	assert_int_equal(disk_stats_of(&x).health, STORE_FULL);
	assert_int_equal(put(11), STORE_DISK_FULL);
	no_blocks = false;
	disk_env_time(&x, 2000);
	disk_env_sync(&x);
	assert_reports(1, 0, 1);
	assert_int_equal(put(12), STORE_OK);
	disk_env_sync(&x);
	disk_env_close(&x);
	no_blocks = true;
	disk_env_open(&x);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	assert_int_equal(get(12), 0);
	assert_int_equal(disk_stats_of(&x).health, STORE_HEALTHY);
	no_blocks = false;
}

static void
test_clear_fails(void **state)
{
	put_some(10);
	disk_fault(FAULT_SYNC, EIO, ".mdb");
	assert_int_equal(disk_clear_all(&x), STORE_IO);
	assert_int_equal(get(3), 4);
	disk_faults_off();
	assert_int_equal(put(11), STORE_IO);
	disk_env_time(&x, 1000);
	disk_env_settle(&x);
	assert_int_equal(put(11), STORE_OK);
	assert_reports(0, 1, 1);
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	assert_int_equal(get(3), 0);
	assert_int_equal(put(3), STORE_OK);
}

/* What cannot be read is dropped, so that it can come again. */
static void
test_read_error(void **state)
{
	put_some(10);
	disk_fault(FAULT_READ, EIO, ".vol");
	assert_int_equal(
		disk_read_status(&x, disk_ref(0, 3, 'p')), STORE_ROTTEN);
	assert_int_equal(
		disk_read_status(&x, disk_ref(0, 3, 'p')), STORE_MISSING);
	assert_int_equal(
		disk_read_status(&x, disk_ref(0, 4, 'p')), STORE_ROTTEN);
	disk_faults_off();
	assert_int_equal(x.reports[STORE_REPORT_ROTTEN], 1);
	assert_int_equal(disk_stats_of(&x).rotten, 2);
	assert_int_equal(get(5), 6);
	assert_int_equal(put(3), STORE_OK);
	assert_int_equal(get(3), 4);
}

/* A damaged block is found when it is read, whatever bit of it is damaged; its
 * neighbours are not touched by that. */
static void
test_flipped_bits(void **state)
{
	enum { SPAN = 160 + DISK_BLOCK + 24 + 24 };
	char name[32];

	for (uint64_t at = 64; at < 64 + SPAN; at += 37) {
		assert_int_equal(disk_clear_all(&x), STORE_OK);
		put_some(3);
		assert_true(disk_env_first_volume(&x, name));
		disk_env_flip(&x, name, at);
		if (disk_read_status(&x, disk_ref(0, 0, 'p')) == STORE_OK)
			/* zeros that mean nothing */
			assert_true(at < 64 + 160 ||
				at >= 64 + 160 + DISK_BLOCK + 24);
		else
			assert_false(disk_there(&x, disk_ref(0, 0, 'p')));
		assert_int_equal(get(1), 2);
		assert_int_equal(get(2), 3);
	}
}

/* Cut short, as a broken file system does. */
static void
test_short_volume(void **state)
{
	char name[32], path[128];

	put_some(10);
	disk_env_close(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_path(&x, name, path);
	assert_int_equal(truncate(path, 6000), 0);
	disk_env_open(&x);
	assert_int_equal(get(0), 1);
	assert_int_equal(
		disk_read_status(&x, disk_ref(0, 9, 'p')), STORE_ROTTEN);
	assert_int_equal(put(9), STORE_OK);
	assert_int_equal(get(9), 10);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(9), 10);
	assert_int_equal(get(0), 1);
}

/* A volume is gone: what it had is absent, and can come again. */
static void
test_lost_volume(void **state)
{
	char name[32];

	put_some(150);
	disk_env_close(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_unlink(&x, name);
	disk_env_open(&x);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(149), 150);
	assert_int_equal(put(0), STORE_OK);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(0), 1);
	assert_int_equal(get(149), 150);
	assert_int_equal(disk_verify_all(&x, true).rotten, 0);
	assert_int_equal(disk_verify_all(&x, false).dangling, 0);
}

/*
 * The n-th write or sync of everything fails, once, for every n.
 */

#define SWEEP_BLOCKS 60u

static void
sweep_scenario(void)
{
	x.run_time = true;
	if (disk_env_try_open(&x) != 0) {
		x.store = NULL;
		return;
	}
	for (int i = 0; disk_stats_of(&x).rebuild_left > 0 &&
		x.reports[STORE_REPORT_INDEX_BROKEN] == 0;
		i++) {
		assert_true(i < 100);
		disk_env_sync(&x);
	}
	for (uint32_t i = 0; i < 3; i++) {
		(void)put(100 + i);
		disk_env_sync(&x);
	}
	x.store->ops->drop(x.store,
		&(struct store_ref){.id = disk_ref(1, 0, 'p').id,
			.id_len = 32,
			.index = 0,
			.claim = "pppppppppppppppp"});
	disk_env_close(&x);
}

/* Whether it met the fault. */
static bool
sweep_once(enum disk_fault_call call, int error, const char *ending, unsigned n)
{
	bool may_lose = error == ENOSPC || call == FAULT_READ;
	bool hit;

	disk_env_init(&x);
	disk_env_open(&x);
	put_some(SWEEP_BLOCKS);
	disk_env_close(&x);
	disk_env_unlink(&x, "index.mdb");
	disk_fault(call, error, ending);
	disk_faults[call].skip = n;
	disk_faults[call].count = 1;
	sweep_scenario();
	hit = disk_faults[call].hits > 0;
	disk_faults_off();
	disk_env_open(&x);
	while (disk_stats_of(&x).rebuild_left > 0)
		disk_env_sync(&x);
	for (uint32_t i = 0; i < SWEEP_BLOCKS; i++) {
		unsigned seen = get(i);

		assert_true(seen == i % 250 + 1 || (seen == 0 && may_lose));
	}
	for (uint32_t i = 100; i < 103; i++) {
		unsigned seen = get(i);

		assert_true(seen == 0 || seen == i % 250 + 1);
	}
	assert_int_equal(put(150), STORE_OK);
	assert_int_equal(get(150), 151);
	assert_int_equal(disk_verify_all(&x, false).rotten, 0);
	disk_env_done(&x);
	return hit;
}

static void
sweep(enum disk_fault_call call, int error, const char *ending)
{
	unsigned n = 0;

	while (sweep_once(call, error, ending, n))
		n++;
	assert_true(n > 0 && n < 200);
}

static void
test_sweep(void **state)
{
	sweep(FAULT_WRITE, EIO, ".vol");
	sweep(FAULT_WRITE, ENOSPC, ".vol");
	sweep(FAULT_SYNC, EIO, ".vol");
	sweep(FAULT_WRITE, EIO, ".mdb");
	sweep(FAULT_WRITE, ENOSPC, ".mdb");
	sweep(FAULT_OVERWRITE, EIO, ".mdb");
	sweep(FAULT_SYNC, EIO, ".mdb");
	sweep(FAULT_READ, EIO, ".vol");
	sweep(FAULT_READ, EIO, ".mdb");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_full_once),
		TEST(test_full),
		TEST(test_quota),
		TEST(test_write_error),
		TEST(test_read_only),
		TEST(test_volume_sync_fails),
		TEST(test_volume_sync_fails_always),
		TEST(test_index_sync_fails),
		TEST(test_index_full),
		TEST(test_index_breaks),
		TEST(test_flush_on_full_disk),
		TEST(test_no_room_behind_the_index),
		TEST(test_clear_fails),
		TEST(test_read_error),
		TEST(test_flipped_bits),
		TEST(test_short_volume),
		TEST(test_lost_volume),
		cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

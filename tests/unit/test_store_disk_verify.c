/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#include <errno.h>

#define SPAN (160 + DISK_BLOCK + 24 + 24) /* of a record */

static struct disk_env x;

static int
setup(void **state)
{
	disk_env_init(&x);
	x.params.scrub_bytes_per_s = 1 << 20;
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

static void
put_some(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(
			disk_put_byte(&x, disk_ref(i / 10, i % 10, 'p'),
				(uint8_t)(i % 250 + 1), true, &alice),
			STORE_OK);
}

static unsigned
get(uint32_t n)
{
	return disk_read(&x, disk_ref(n / 10, n % 10, 'p'));
}

static void
damage(uint32_t n)
{
	char name[32];

	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 64 + (uint64_t)n * SPAN + 160 + 100);
}

static void
test_finds(void **state)
{
	struct store_verify v;

	put_some(200);
	disk_env_sync(&x);
	damage(3);
	damage(17);
	v = disk_verify_all(&x, false);
	assert_int_equal(v.status, STORE_OK);
	assert_int_equal(v.blocks, 200);
	assert_int_equal(v.rotten, 2);
	assert_int_equal(v.dangling, 0);
	assert_int_equal(v.done_bytes, v.total_bytes);
	/* Only counted. */
	assert_true(disk_there(&x, disk_ref(0, 3, 'p')));
	v = disk_verify_all(&x, true);
	assert_int_equal(v.rotten, 2);
	assert_false(disk_there(&x, disk_ref(0, 3, 'p')));
	assert_false(disk_there(&x, disk_ref(1, 7, 'p')));
	assert_int_equal(get(4), 5);
	v = disk_verify_all(&x, false);
	assert_int_equal(v.rotten, 0);
	assert_int_equal(v.blocks, 198);
	assert_int_equal(disk_stats_of(&x).rotten, 2);
}

/* More than one step notes. */
static void
test_finds_many(void **state)
{
	struct store_verify v;
	uint32_t there = 0;

	disk_env_close(&x);
	x.params.volume_bytes = 1 << 20;
	disk_env_open(&x);
	put_some(500);
	for (uint32_t i = 0; i < 300; i++)
		damage(i);
	v = disk_verify_all(&x, true);
	assert_int_equal(v.rotten, 300);
	for (uint32_t i = 0; i < 500; i++)
		there += get(i) != 0;
	assert_int_equal(there, 200);
}

static void
test_finds_broken_chain(void **state)
{
	char name[32];
	struct store_verify v;

	put_some(100);
	disk_env_sync(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 64 + 5 * SPAN + 30);
	v = disk_verify_all(&x, true);
	assert_int_equal(v.rotten, 1);
	assert_int_equal(v.damaged_volumes, 1);
	assert_int_equal(get(5), 0);
	assert_int_equal(get(6), 7);
}

struct verify_wait {
	struct store_verify v;
	unsigned steps;
	bool done;
};

static void
verify_flag(struct store_verify *v)
{
	container_of(v, struct verify_wait, v)->done = true;
}

static void
stop_soon(struct store_verify *v)
{
	container_of(v, struct verify_wait, v)->steps++;
	v->stop = true;
}

static void
count_steps(struct store_verify *v)
{
	assert_true(v->done_bytes <= v->total_bytes);
	container_of(v, struct verify_wait, v)->steps++;
}

static void
test_stop_and_progress(void **state)
{
	struct verify_wait w = {
		.v = {.done = verify_flag, .progress = stop_soon}};
	struct verify_wait y = {
		.v = {.done = verify_flag, .progress = count_steps}};

	put_some(100);
	disk_env_sync(&x);
	x.store->ops->verify(x.store, &w.v);
	disk_env_wait(&x, &w.done);
	assert_int_equal(w.v.status, STORE_OK);
	assert_int_equal(w.steps, 1);
	x.store->ops->verify(x.store, &y.v);
	disk_env_wait(&x, &y.done);
	assert_true(y.steps > 2);
}

static void
test_one_at_a_time(void **state)
{
	struct verify_wait w = {.v = {.done = verify_flag}};
	struct verify_wait y = {.v = {.done = verify_flag}};

	put_some(10);
	x.store->ops->verify(x.store, &w.v);
	x.store->ops->verify(x.store, &y.v);
	assert_false(y.done);
	disk_env_wait(&x, &w.done);
	disk_env_wait(&x, &y.done);
	assert_int_equal(w.v.status, STORE_OK);
	assert_int_equal(w.v.blocks, 10);
	assert_int_equal(y.v.status, STORE_IO);
	assert_int_equal(disk_verify_all(&x, false).blocks, 10);
}

/* Everything goes while it is looked at. */
static void
test_cleared_meanwhile(void **state)
{
	struct verify_wait w = {.v = {.done = verify_flag, .repair = true}};

	put_some(100);
	disk_env_sync(&x);
	x.hold_jobs = true;
	x.store->ops->verify(x.store, &w.v);
	disk_env_settle(&x);
	x.hold_jobs = false;
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	disk_env_wait(&x, &w.done);
	assert_int_equal(w.v.status, STORE_OK);
	assert_int_equal(w.v.rotten, 0);
	put_some(1);
	assert_int_equal(get(0), 1);
}

static void
test_scrubber(void **state)
{
	put_some(300);
	disk_env_sync(&x);
	damage(3);
	damage(30);
	for (int i = 0; i < 10; i++) {
		disk_env_time(&x, 60 * 1000);
		disk_env_settle(&x);
	}
	assert_false(disk_there(&x, disk_ref(0, 3, 'p')));
	assert_false(disk_there(&x, disk_ref(3, 0, 'p')));
	assert_int_equal(disk_stats_of(&x).rotten, 2);
	assert_true(disk_stats_of(&x).scrubbed_bytes >= 300 * DISK_BLOCK);
	assert_int_equal(x.reports[STORE_REPORT_ROTTEN], 1);
}

/* By itself it reads everything once, then rests for most of a week. */
static void
test_scrubber_rests(void **state)
{
	uint64_t once;

	disk_env_close(&x);
	x.params.scrub_bytes_per_s = 0;
	disk_env_open(&x);
	put_some(100);
	disk_env_sync(&x);
	for (int i = 0; i < 60; i++) {
		disk_env_time(&x, 60 * 1000);
		disk_env_settle(&x);
	}
	once = disk_stats_of(&x).scrubbed_bytes;
	assert_true(once >= 100 * DISK_BLOCK);
	assert_true(once <= 200 * DISK_BLOCK);
	for (int i = 0; i < 60; i++) {
		disk_env_time(&x, 3600 * 1000);
		disk_env_settle(&x);
	}
	assert_int_equal(disk_stats_of(&x).scrubbed_bytes, once);
	for (int i = 0; i < 200; i++) {
		disk_env_time(&x, 3600 * 1000);
		disk_env_settle(&x);
	}
	assert_true(disk_stats_of(&x).scrubbed_bytes > once);
}

/* A volume that left to make room, while the index could not be told. */
static void
lose_volumes(uint32_t n)
{
	put_some(n);
	disk_env_sync(&x);
	put_some(n + 1);
	disk_fault(FAULT_WRITE, ENOSPC, ".mdb");
	disk_env_sync(&x);
	disk_faults_off();
	disk_env_time(&x, 2000);
	disk_env_sync(&x);
	assert_int_equal(disk_env_files(&x, ".vol"), disk_stats_of(&x).volumes);
}

static void
assert_repaired(void)
{
	struct store_verify v = disk_verify_all(&x, false);

	disk_env_sync(&x);
	assert_int_equal(v.dangling, 0);
	assert_int_equal(v.rotten, 0);
	disk_env_close(&x);
	disk_env_open(&x);
	v = disk_verify_all(&x, false);
	assert_int_equal(v.dangling, 0);
	assert_int_equal(v.blocks, disk_stats_of(&x).blocks);
}

static void
test_repairs_what_leads_nowhere(void **state)
{
	uint64_t n;

	lose_volumes(200);
	n = disk_verify_all(&x, false).dangling;
	assert_true(n > 0);
	assert_int_equal(disk_verify_all(&x, false).dangling, n);
	assert_int_equal(disk_verify_all(&x, true).dangling, n);
	disk_env_sync(&x);
	assert_repaired();
}

/* Nor if no volume is left. */
static void
test_repairs_what_is_left_of_the_last(void **state)
{
	uint64_t n;

	lose_volumes(20);
	assert_int_equal(disk_stats_of(&x).volumes, 0);
	n = disk_verify_all(&x, false).dangling;
	assert_true(n > 0);
	assert_int_equal(disk_verify_all(&x, true).dangling, n);
	disk_env_sync(&x);
	assert_repaired();
}

static void
test_scrubber_repairs(void **state)
{
	lose_volumes(200);
	disk_env_time(&x, 300000);
	disk_env_settle(&x);
	for (int i = 0; i < 20; i++) {
		disk_env_time(&x, 60000);
		disk_env_settle(&x);
	}
	disk_env_sync(&x);
	assert_repaired();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_finds),
		TEST(test_finds_many),
		TEST(test_finds_broken_chain),
		TEST(test_stop_and_progress),
		TEST(test_one_at_a_time),
		TEST(test_cleared_meanwhile),
		TEST(test_scrubber),
		TEST(test_scrubber_rests),
		TEST(test_repairs_what_leads_nowhere),
		TEST(test_repairs_what_is_left_of_the_last),
		TEST(test_scrubber_repairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

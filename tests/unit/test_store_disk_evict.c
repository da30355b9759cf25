/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#define LIMIT (1u << 20)
#define SPAN  (160 + DISK_BLOCK + 24 + 24) /* of a record */

static struct disk_env x;

static int
setup(void **state)
{
	disk_env_init(&x);
	x.params.max_bytes = LIMIT;
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

/* Block n of many. */
static struct store_ref
ref_of(uint32_t n)
{
	return disk_ref(n / 100, n % 100, 'p');
}

static void
put(uint32_t n)
{
	assert_int_equal(disk_put_byte(&x, ref_of(n), (uint8_t)(n % 250 + 1),
				 true, &alice),
		STORE_OK);
}

static unsigned
get(uint32_t n)
{
	return disk_read(&x, ref_of(n));
}

static void
assert_in_limit(void)
{
	uint64_t index =
		disk_stats_of(&x).disk_bytes - disk_env_volume_bytes(&x);

	assert_true(index < LIMIT);
	assert_true(disk_env_volume_bytes(&x) + index <= LIMIT + DISK_VOLUME);
}

static uint32_t
count_there(uint32_t n)
{
	uint32_t there = 0;

	for (uint32_t i = 0; i < n; i++)
		there += disk_there(&x, ref_of(i));
	return there;
}

static void
test_limit_holds(void **state)
{
	struct store_stats s;

	for (uint32_t i = 0; i < 2500; i++) {
		put(i);
		if (i % 10 == 0)
			assert_in_limit();
	}
	s = disk_stats_of(&x);
	assert_true(s.evicted > 1000);
	assert_int_equal(s.carried, 0);
	assert_false(disk_there(&x, ref_of(0)));
	for (uint32_t i = 2300; i < 2500; i++)
		assert_int_equal(get(i), i % 250 + 1);
	assert_int_equal(count_there(2500), s.blocks);
	assert_int_equal(s.blocks + s.evicted, 2500);
	assert_int_equal(s.volumes, disk_env_files(&x, ".vol"));
	/* The same after a new start, and nothing that is dead. */
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(disk_stats_of(&x).blocks, s.blocks);
	assert_int_equal(disk_stats_of(&x).bytes, s.blocks * DISK_BLOCK);
	assert_int_equal(count_there(2500), s.blocks);
	assert_int_equal(disk_verify_all(&x, false).dangling, 0);
}

static void
test_hot_blocks_are_carried(void **state)
{
	struct store_stats s;

	for (uint32_t i = 0; i < 2000; i++) {
		put(i);
		/* A few in the middle of their volume. */
		if (i > 40)
			for (uint32_t k = 30; k < 34; k++)
				assert_int_equal(get(k), k + 1);
	}
	s = disk_stats_of(&x);
	assert_true(s.carried > 0);
	assert_false(disk_there(&x, ref_of(0)));
	assert_int_equal(count_there(2000), s.blocks);
	disk_env_sync(&x);
	disk_env_crash(&x);
	for (uint32_t k = 30; k < 34; k++)
		assert_int_equal(get(k), k + 1);
	/* They are still his. */
	disk_flush_owner(&x, &alice);
	assert_int_equal(count_there(2000), 0);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
}

/* All owners of a carried block go with it, also into its volume. */
static void
test_carried_owners(void **state)
{
	put(0);
	assert_int_equal(disk_put_byte(&x, ref_of(0), 1, true, &bob), STORE_OK);
	for (uint32_t i = 1; i < 1500; i++) {
		put(i);
		assert_int_equal(get(0), 1);
	}
	assert_true(disk_stats_of(&x).carried > 0);
	disk_env_close(&x);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	disk_env_sync(&x);
	while (disk_stats_of(&x).rebuild_left > 0)
		disk_env_sync(&x);
	assert_int_equal(get(0), 1);
	disk_flush_owner(&x, &alice);
	assert_int_equal(get(0), 1);
	disk_flush_owner(&x, &bob);
	assert_int_equal(get(0), 0);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
}

/* Everything is hot: every eviction must give room all the same. */
static void
test_all_hot(void **state)
{
	for (uint32_t i = 0; i < 2000; i++) {
		put(i);
		get(i);
		if (i % 10 == 0)
			assert_in_limit();
	}
	assert_true(disk_stats_of(&x).carried > 0);
	assert_int_equal(get(1999), 1999 % 250 + 1);
	/* Data first, always. */
	disk_env_sync(&x);
	assert_int_equal(disk_commits_before_sync, 0);
}

static void
test_age(void **state)
{
	for (uint32_t i = 0; i < 100; i++)
		put(i);
	disk_env_sync(&x);
	x.store->ops->set_max_age(x.store, 3600);
	x.wall_s += 3600;
	put(100);
	assert_int_equal(get(0), 1);
	x.wall_s += 1;
	assert_int_equal(get(0), 0);
	assert_int_equal(get(100), 101);
	/* Their volumes go when somebody looks, but for the one that has a
	 * younger block. */
	disk_env_time(&x, 600000);
	disk_env_sync(&x);
	assert_int_equal(disk_env_files(&x, ".vol"), 1);
	assert_true(disk_stats_of(&x).expired > 30);
	assert_int_equal(disk_stats_of(&x).evicted, 0);
	assert_int_equal(get(100), 101);
	disk_env_time(&x, 4000000);
	disk_env_sync(&x);
	assert_int_equal(get(100), 0);
	assert_int_equal(disk_env_files(&x, ".vol"), 0);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
	assert_int_equal(disk_stats_of(&x).expired, 101);
}

static void
test_set_limit(void **state)
{
	for (uint32_t i = 0; i < 600; i++)
		put(i);
	disk_env_sync(&x);
	x.store->ops->set_limit(x.store, LIMIT / 2);
	disk_env_sync(&x);
	assert_true(disk_stats_of(&x).disk_bytes <= LIMIT / 2);
	assert_int_equal(get(599), 599 % 250 + 1);
	assert_int_equal(get(0), 0);
	/* Nothing at all fits; one volume may be there. */
	x.store->ops->set_limit(x.store, 1);
	disk_env_sync(&x);
	assert_int_equal(disk_env_files(&x, ".vol"), 0);
	put(0);
	put(1);
	disk_env_sync(&x);
	assert_true(disk_env_files(&x, ".vol") <= 1);
	x.store->ops->set_limit(x.store, 0);
	for (uint32_t i = 0; i < 1200; i++)
		put(i);
	assert_int_equal(get(0), 1);
}

struct get_wait {
	struct store_get g;
	unsigned seen;
	bool done;
};

static bool
consume(struct store_get *g, size_t i, const struct store_block *b,
	struct bulk *bulk)
{
	container_of(g, struct get_wait, g)->seen = b->cipher[0];
	return true;
}

static void
get_flag(struct store_get *g)
{
	container_of(g, struct get_wait, g)->done = true;
}

static void
test_evicted_while_read(void **state)
{
	struct store_ref ref = ref_of(0);
	struct get_wait w = {.g = {.refs = &ref,
				     .n_refs = 1,
				     .consume = consume,
				     .done = get_flag}};

	put(0);
	assert_int_equal(get(0), 1);
	x.hold_jobs = true;
	x.store->ops->get(x.store, &w.g);
	for (uint32_t i = 1; i < 20; i++) {
		x.hold_jobs = false;
		x.n_jobs--;
		put(i);
		x.jobs[x.n_jobs++] = (void *)w.g.store_private;
		x.hold_jobs = true;
	}
	x.hold_jobs = false;
	disk_env_wait(&x, &w.done);
	assert_int_equal(ref.status, STORE_OK);
	assert_int_equal(w.seen, 1);
}

/* What was flushed gives its room back when it is the oldest. */
static void
test_flushed_volumes_go(void **state)
{
	for (uint32_t i = 0; i < 300; i++)
		put(i);
	assert_true(disk_env_files(&x, ".vol") > 3);
	disk_flush_owner(&x, &alice);
	disk_env_sync(&x);
	disk_env_sync(&x);
	assert_true(disk_env_files(&x, ".vol") <= 1);
	assert_int_equal(count_there(300), 0);
}

/* A block with a broken header is not found when its volume goes; the index
 * must not show it afterwards. */
static void
test_damaged_volume_goes(void **state)
{
	char name[32];

	for (uint32_t i = 0; i < 200; i++)
		put(i);
	disk_env_sync(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 64 + SPAN + 3);
	x.store->ops->set_limit(x.store, disk_stats_of(&x).disk_bytes - 1);
	disk_env_sync(&x);
	x.store->ops->set_limit(x.store, LIMIT);
	assert_int_equal(get(1), 0);
	assert_int_equal(count_there(200), disk_stats_of(&x).blocks);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(get(1), 0);
	assert_int_equal(count_there(200), disk_stats_of(&x).blocks);
	assert_int_equal(disk_verify_all(&x, false).dangling, 1);
	/* With the next change of its segment it goes for good. */
	put(0);
	assert_int_equal(get(0), 1);
	assert_int_equal(disk_verify_all(&x, false).dangling, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_limit_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_hot_blocks_are_carried, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_carried_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_hot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_set_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_evicted_while_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_flushed_volumes_go, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_damaged_volume_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

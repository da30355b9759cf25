/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who takes up how much room, and who has to go for it: masses of tiny blocks,
 * masses of tags, others on the same disk, commits that do not come to pass.
 */
#include "tests/unit/disk_env.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "daemon/store/store_disk_priv.h"

#define MAX_BYTES (UINT64_C(16) << 20)
#define TINY      40000u
#define PUTS      250u
#define BIG       65536u
#define TAGS      300u
#define CHANGES   65536u /* that may wait for a commit */

static struct disk_env x;

static bool disk_is_full;

/* Takes the place of the C library's. */
int
fstatvfs(int fd, struct statvfs *ret)
{
	struct statfs s;

	if (fstatfs(fd, &s) != 0)
		return -1;
	*ret = (struct statvfs){.f_bsize = (unsigned long)s.f_bsize,
		.f_frsize = (unsigned long)s.f_frsize,
		.f_blocks = s.f_blocks,
		.f_bavail = disk_is_full ? 0 : s.f_bavail};
	return 0;
}

static int
setup(void **state)
{
	disk_env_init(&x);
	x.params.volume_bytes = 0;
	x.params.max_bytes = MAX_BYTES;
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

struct flood {
	struct store_put put;
	bool done;
	uint8_t ids[PUTS][32];
	struct store_ref refs[PUTS];
	struct store_block blocks[PUTS];
};

static void
put_done(struct store_put *p)
{
	container_of(p, struct flood, put)->done = true;
}

/* Segments of one block of one byte each; their ids are as scattered as those
 * that are hashes.  How many were taken. */
static uint32_t
put_tiny(uint32_t from)
{
	static const uint8_t cipher[16] = {1};
	static struct flood f;
	uint32_t n = 0;

	f.done = false;
	for (uint32_t i = 0; i < PUTS; i++) {
		uint32_t scattered = (from + i) * 2654435761u;

		memcpy(f.ids[i], &scattered, sizeof(scattered));
		f.refs[i] = (struct store_ref){
			.id = f.ids[i], .id_len = 32, .claim = {1}};
		f.blocks[i] = (struct store_block){.plain_len = 1,
			.cipher_len = sizeof(cipher),
			.algo = 1,
			.proved = true,
			.cipher = cipher};
	}
	f.put = (struct store_put){.refs = f.refs,
		.blocks = f.blocks,
		.n_refs = PUTS,
		.owner = alice,
		.done = put_done};
	x.store->ops->put(x.store, &f.put);
	disk_env_wait(&x, &f.done);
	for (uint32_t i = 0; i < PUTS; i++)
		n += f.refs[i].status == STORE_OK;
	return n;
}

static enum store_status
put_big(uint32_t n)
{
	static const uint8_t cipher[BIG] = {1};
	struct store_block block = {.plain_len = BIG,
		.cipher_len = BIG,
		.proved = true,
		.cipher = cipher};

	return disk_put_block(&x, disk_ref(n / 10, n % 10, 'p'), &block, &bob);
}

/* The index takes up room as blocks do, and its file never shrinks: afterwards
 * there must be room for others, still. */
static void
test_tiny_blocks(void **state)
{
	const uint32_t n = MAX_BYTES / 3 / BIG;
	struct store_stats s;

	for (uint32_t i = 0; i < TINY; i += PUTS) {
		assert_int_equal(put_tiny(i), PUTS);
		if (i / PUTS % 8 == 0)
			disk_env_time(&x, 1000);
	}
	disk_env_sync(&x);
	disk_env_settle(&x);
	s = disk_stats_of(&x);
	assert_true(s.evicted > 0);
	assert_true(s.disk_bytes <= s.max_bytes);
	assert_true(
		s.disk_bytes - disk_env_volume_bytes(&x) <= s.max_bytes / 2);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(put_big(i), STORE_OK);
	disk_env_sync(&x);
	for (uint32_t i = 0; i < n; i++)
		assert_true(disk_there(&x, disk_ref(i / 10, i % 10, 'p')));
}

/* The file of the index alone may be over a limit that was lowered. */
static void
test_limit_below_index(void **state)
{
	struct store_stats s;

	for (uint32_t i = 0; i < TINY; i += PUTS)
		assert_int_equal(put_tiny(i), PUTS);
	disk_env_sync(&x);
	x.store->ops->set_limit(x.store, 2 << 20);
	disk_env_sync(&x);
	disk_env_settle(&x);
	s = disk_stats_of(&x);
	assert_true(s.disk_bytes > s.max_bytes);
	assert_true(disk_env_volume_bytes(&x) <= s.max_bytes / 2);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(put_big(i), STORE_OK);
		disk_env_sync(&x);
	}
	for (uint32_t i = 0; i < 8; i++)
		assert_true(disk_there(&x, disk_ref(0, i, 'p')));
}

static bool
count_row(struct index_blob key, struct index_blob value, void *ctx)
{
	++*(unsigned *)ctx;
	return true;
}

static unsigned
count_rows(enum disk_table table)
{
	unsigned n = 0;

	assert_int_equal(index_each(disk_of(x.store)->index, table,
				 (struct index_blob){0}, count_row, &n),
		0);
	return n;
}

/* However somebody comes to own nothing any more, nothing is left of him. */
static void
test_tags(void **state)
{
	struct store_ref dropped = disk_ref(3, 1, 'p');
	struct store_owner owner = {.uid = 7};

	for (uint32_t i = 0; i < TAGS; i++) {
		memcpy(owner.tag, &i, sizeof(i));
		/* as a variant that others drive out */
		disk_put_byte(&x, disk_ref(1, 1, (char)('a' + i % 20)), 1,
			false, &owner);
		/* as one owner too many */
		disk_put_byte(&x, disk_ref(2, 1, 'p'), 1, true, &owner);
		/* as the one whose block is dropped */
		owner.tag[8] = 1;
		disk_put_byte(&x, disk_ref(3, 1, 'p'), 1, true, &owner);
		x.store->ops->drop(x.store, &dropped);
		owner.tag[8] = 0;
		if (i % 64 == 63)
			disk_env_sync(&x);
	}
	disk_env_sync(&x);
	assert_true(count_rows(T_NAMES) <= 64);
	assert_int_equal(count_rows(T_OWNERS), count_rows(T_NAMES));
	assert_true(count_rows(T_OWNED) <= 64);
}

/* Others have filled the disk, so all blocks leave; they make room again. */
static void
test_others_fill_the_disk(void **state)
{
	assert_int_equal(put_big(1), STORE_OK);
	disk_is_full = true;
	disk_env_sync(&x);
	disk_env_settle(&x);
	assert_int_equal(disk_stats_of(&x).volumes, 0);
	assert_int_equal(put_big(2), STORE_DISK_FULL);
	disk_is_full = false;
	disk_env_time(&x, 2000);
	assert_int_equal(put_big(3), STORE_OK);
	disk_env_sync(&x);
	disk_env_settle(&x);
	assert_true(disk_there(&x, disk_ref(0, 3, 'p')));
}

/* An eviction that makes room for a commit takes nothing that waits for it. */
static void
test_pressure_spares_what_waits(void **state)
{
	const uint32_t one_volume = (1 << 20) / BIG, n = 3 * one_volume;

	assert_int_equal(put_big(0), STORE_OK);
	disk_env_sync(&x);
	for (uint32_t i = 1; i < n; i++)
		assert_int_equal(put_big(i), STORE_OK);
	disk_fault(FAULT_WRITE, ENOSPC, ".mdb");
	disk_faults[FAULT_WRITE].count = 1;
	disk_env_sync(&x);
	assert_int_equal(disk_faults[FAULT_WRITE].hits, 1);
	assert_false(disk_there(&x, disk_ref(0, 0, 'p')));
	for (uint32_t i = one_volume; i < n; i++)
		assert_true(disk_there(&x, disk_ref(i / 10, i % 10, 'p')));
}

/* What waits for a commit lies in memory. */
static void
test_commits_without_memory(void **state)
{
	uint32_t n = 0, last = 0;

	x.store->ops->set_limit(x.store, 256 << 20);
	disk_fault(FAULT_WRITE, ENOMEM, ".mdb");
	for (uint32_t i = 0; i < 2 * CHANGES; i += PUTS) {
		last = put_tiny(i);
		n += last;
	}
	assert_int_equal(last, 0);
	assert_true(n < CHANGES * 3 / 2);
	disk_faults_off();
	disk_env_time(&x, 2000);
	disk_env_sync(&x);
	assert_int_equal(put_tiny(0), PUTS);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tiny_blocks),
		TEST(test_limit_below_index),
		TEST(test_tags),
		TEST(test_others_fill_the_disk),
		TEST(test_pressure_spares_what_waits),
		TEST(test_commits_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks for other hosts: which there are, and their bytes where they lie. */
#include "tests/unit/disk_env.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rd.h"
#include "tests/unit/failalloc.h"

static struct disk_env x;

static int
setup_disk(void **state)
{
	disk_env_init(&x);
	disk_env_open(&x);
	return 0;
}

static int
setup_mem(void **state)
{
	disk_env_init(&x);
	disk_env_open_mem(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

static struct store_held
held(uint32_t segment)
{
	struct store_ref ref = disk_ref(segment, 0, 0);
	struct store_held h;

	memset(&h, 0xa5, sizeof(h));
	x.store->ops->held(x.store, ref.id, ref.id_len, &h);
	return h;
}

/* Exactly these blocks. */
static void
assert_held(uint32_t segment, const uint32_t *indexes, uint32_t n)
{
	struct store_held want = {.n_blocks = n}, h = held(segment);

	for (uint32_t i = 0; i < n; i++)
		want.blocks[indexes[i] / 64] |= UINT64_C(1) << indexes[i] % 64;
	assert_int_equal(h.n_blocks, n);
	assert_memory_equal(h.blocks, want.blocks, sizeof(want.blocks));
}

#define ASSERT_HELD(segment, ...) \
	assert_held(segment, (const uint32_t[]){__VA_ARGS__}, \
		ARRAY_LEN(((const uint32_t[]){__VA_ARGS__})))
#define ASSERT_NOTHING_HELD(segment) assert_held(segment, NULL, 0)

static enum store_status
lend(uint32_t segment, uint32_t index, struct store_loan *loan)
{
	struct store_ref ref = disk_ref(segment, index, 0);

	return x.store->ops->lend(x.store, ref.id, ref.id_len, ref.index, loan);
}

static void
give_back(struct store_loan *loan)
{
	x.store->ops->give_back(x.store, loan);
	assert_int_equal(loan->fd, -1);
	assert_null(loan->bytes);
}

/* The bytes of a loan, as long as they are those of a block of one byte. */
static void
assert_lent(const struct store_loan *loan, uint8_t byte)
{
	uint8_t data[4096];
	const uint8_t *p = loan->bytes;
	size_t len = loan->cipher_len + loan->tail_len;
	struct rd r;

	if (loan->fd >= 0) {
		assert_null(loan->bytes);
		assert_true(len <= sizeof(data));
		assert_int_equal(
			pread(loan->fd, data, len, (off_t)loan->offset), len);
		p = data;
	}
	for (size_t i = 0; i < loan->cipher_len; i++)
		assert_int_equal(p[i], byte);
	rd_init(&r, p + loan->cipher_len, loan->tail_len);
	assert_int_equal(rd_be32(&r), 0);
	assert_int_equal(rd_be32(&r), 16);
	assert_int_equal(rd_u8(&r), byte);
	assert_int_equal(loan->tail_len, 24);
}

static void
assert_lends(uint32_t segment, uint32_t index, uint8_t byte)
{
	struct store_loan loan;

	assert_int_equal(lend(segment, index, &loan), STORE_OK);
	assert_lent(&loan, byte);
	give_back(&loan);
}

static void
put_proved(uint32_t segment, uint32_t index, uint8_t byte)
{
	assert_int_equal(disk_put_byte(&x, disk_ref(segment, index, 'p'), byte,
				 true, &alice),
		STORE_OK);
}

static void
put_kind(uint32_t index, char claim, uint32_t algo, bool proved, bool sealed,
	uint8_t byte)
{
	uint8_t cipher[64];
	struct store_block block = {.plain_len = algo != 0 ? 60 : 64,
		.cipher_len = 64,
		.algo = algo,
		.proved = proved,
		.sealed = sealed,
		.iv = {algo != 0 ? byte : 0},
		.cipher = cipher};

	memset(cipher, byte, sizeof(cipher));
	assert_int_equal(
		disk_put_block(&x, disk_ref(1, index, claim), &block, &bob),
		STORE_OK);
}

/*
 * What every store does
 */

static void
test_held(void **state)
{
	ASSERT_NOTHING_HELD(1);
	put_proved(1, 0, 1);
	put_proved(1, 511, 2);
	put_proved(1, 64, 3);
	put_proved(2, 7, 4);
	ASSERT_HELD(1, 0, 64, 511);
	ASSERT_HELD(2, 7);
	assert_int_equal(held(1).born_s, x.wall_s);
	/* The oldest counts. */
	disk_env_time(&x, 100000);
	put_proved(1, 63, 5);
	ASSERT_HELD(1, 0, 63, 64, 511);
	assert_int_equal(held(1).born_s, x.wall_s - 100);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	ASSERT_NOTHING_HELD(1);
	ASSERT_NOTHING_HELD(2);
}

/* Only what is proved or sealed, and encrypted; each block once. */
static void
test_held_kinds(void **state)
{
	put_kind(0, 'u', 1, false, false, 1);
	put_kind(1, 0, 2, false, true, 2);
	put_kind(2, 'p', 0, true, false, 3);
	put_kind(3, 'p', 3, true, false, 4);
	put_kind(3, 'q', 1, true, false, 5);
	put_kind(3, 0, 1, false, true, 6);
	ASSERT_HELD(1, 1, 3);
	/* Later it is proved, or there encrypted, too. */
	put_kind(0, 'u', 1, true, false, 1);
	put_kind(2, 'q', 1, true, false, 7);
	ASSERT_HELD(1, 0, 1, 2, 3);
	assert_lends(1, 2, 7);
}

static void
test_lend(void **state)
{
	struct store_loan loan = {.fd = 77};

	put_proved(1, 3, 9);
	put_proved(1, 4, 8);
	assert_lends(1, 3, 9);
	assert_lends(1, 4, 8);
	assert_int_equal(lend(1, 5, &loan), STORE_MISSING);
	assert_int_equal(lend(2, 3, &loan), STORE_MISSING);
	assert_int_equal(loan.fd, 77);
	/* Two at a time, of one block. */
	assert_int_equal(lend(1, 3, &loan), STORE_OK);
	assert_int_equal(loan.algo, 1);
	assert_int_equal(loan.cipher_len, DISK_BLOCK);
	assert_lends(1, 3, 9);
	assert_lent(&loan, 9);
	give_back(&loan);
}

static void
test_lend_kinds(void **state)
{
	struct store_loan loan;

	put_kind(0, 'u', 1, false, false, 1);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
	put_kind(0, 'n', 0, true, false, 2);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
	put_kind(0, 0, 2, false, true, 3);
	assert_int_equal(lend(1, 0, &loan), STORE_OK);
	assert_int_equal(loan.algo, 2);
	assert_lent(&loan, 3);
	give_back(&loan);
	/* A proved one is better. */
	put_kind(0, 'p', 3, true, false, 4);
	assert_lends(1, 0, 4);
	assert_int_equal(disk_flush_owner(&x, &bob), STORE_OK);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
}

static void
test_ids(void **state)
{
	static const uint8_t id[STORE_ID_MAX + 1];
	struct store_loan loan;
	struct store_held h;

	put_proved(1, 0, 1);
	for (size_t len = 0; len <= sizeof(id); len++) {
		h.n_blocks = 7;
		x.store->ops->held(x.store, id, len, &h);
		assert_int_equal(h.n_blocks, 0);
		assert_int_equal(x.store->ops->lend(x.store, id, len, 0, &loan),
			STORE_MISSING);
	}
}

/* However the block leaves, what is lent stays. */
static void
test_lent_and_removed(void **state)
{
	struct store_ref ref = disk_ref(1, 0, 'p');
	struct store_loan loan;

	for (uint8_t how = 0; how < 3; how++) {
		put_proved(1, 0, 1 + how);
		assert_int_equal(lend(1, 0, &loan), STORE_OK);
		if (how == 0)
			disk_flush_owner(&x, &alice);
		else if (how == 1)
			x.store->ops->drop(x.store, &ref);
		else
			disk_clear_all(&x);
		ASSERT_NOTHING_HELD(1);
		put_proved(1, 0, 99);
		assert_lent(&loan, 1 + how);
		give_back(&loan);
		assert_lends(1, 0, 99);
		disk_clear_all(&x);
	}
}

static void
test_age(void **state)
{
	struct store_loan loan;

	put_proved(1, 0, 1);
	x.store->ops->set_max_age(x.store, 3600);
	disk_env_time(&x, 3600000);
	put_proved(1, 1, 2);
	ASSERT_HELD(1, 0, 1);
	assert_lends(1, 0, 1);
	x.wall_s++;
	x.now_ms += 1000;
	ASSERT_HELD(1, 1);
	assert_int_equal(held(1).born_s, x.wall_s - 1);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
}

/*
 * On disk
 */

/* In the index, in what is not committed yet, and what hides it. */
static void
test_layers(void **state)
{
	struct store_ref ref = disk_ref(1, 1, 'p');
	struct store_loan loan;

	for (uint32_t i = 0; i < 4; i++)
		put_proved(1, i, (uint8_t)(i + 1));
	disk_env_sync(&x);
	put_proved(1, 4, 5);
	ASSERT_HELD(1, 0, 1, 2, 3, 4);
	x.store->ops->drop(x.store, &ref);
	ASSERT_HELD(1, 0, 2, 3, 4);
	assert_int_equal(lend(1, 1, &loan), STORE_MISSING);
	assert_lends(1, 2, 3);
	assert_lends(1, 4, 5);
	disk_env_sync(&x);
	ASSERT_HELD(1, 0, 2, 3, 4);
	put_proved(1, 1, 6);
	ASSERT_HELD(1, 0, 1, 2, 3, 4);
	assert_lends(1, 1, 6);
	disk_env_sync(&x);
	disk_env_crash(&x);
	/* No file is open yet. */
	ASSERT_HELD(1, 0, 1, 2, 3, 4);
	assert_lends(1, 1, 6);
	/* Another variant, proved, hides nothing but itself. */
	disk_put_byte(&x, disk_ref(1, 1, 'q'), 7, false, &bob);
	assert_lends(1, 1, 6);
	ref = disk_ref(1, 1, 'q');
	x.store->ops->drop(x.store, &ref);
	assert_lends(1, 1, 6);
}

#define LIMIT (1u << 20)

/* Its volume is evicted and its file gone. */
static void
test_evicted(void **state)
{
	struct store_loan loan;
	struct stat st;

	x.store->ops->set_limit(x.store, LIMIT);
	put_proved(0, 0, 77);
	assert_int_equal(lend(0, 0, &loan), STORE_OK);
	for (uint32_t i = 1; i < 1500; i++)
		put_proved(i / 100, i % 100, 1);
	disk_env_sync(&x);
	assert_int_equal(fstat(loan.fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_false(disk_there(&x, disk_ref(0, 0, 'p')));
	assert_lent(&loan, 77);
	give_back(&loan);
	assert_int_equal(held(0).n_blocks, 0);
}

/* What is lent often is worth keeping. */
static void
test_lent_is_carried(void **state)
{
	x.store->ops->set_limit(x.store, LIMIT);
	for (uint32_t i = 0; i < 1500; i++) {
		put_proved(i / 100, i % 100, 5);
		if (i > 30)
			assert_lends(0, 30, 5);
	}
	assert_true(disk_stats_of(&x).carried > 0);
	assert_false(disk_there(&x, disk_ref(0, 0, 'p')));
	assert_true(disk_there(&x, disk_ref(0, 30, 'p')));
}

/* No room: the oldest volume is cut off at once, but not what is lent. */
static void
test_no_room(void **state)
{
	struct store_loan loan;
	struct stat st;

	for (uint32_t i = 0; i < 150; i++)
		put_proved(i / 100, i % 100, (uint8_t)(i + 1));
	disk_env_sync(&x);
	assert_int_equal(lend(0, 2, &loan), STORE_OK);
	disk_fault(FAULT_WRITE, ENOSPC, ".vol");
	disk_faults[FAULT_WRITE].count = 1;
	put_proved(1, 50, 151);
	assert_int_equal(disk_faults[FAULT_WRITE].hits, 1);
	assert_false(disk_there(&x, disk_ref(0, 0, 'p')));
	assert_int_equal(fstat(loan.fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_lent(&loan, 3);
	give_back(&loan);
	assert_lends(1, 50, 151);
}

/* A volume that cannot be synced is cut to what was, but not what is lent. */
static void
test_sync_fails(void **state)
{
	struct store_loan loan, none;

	put_proved(1, 0, 1);
	disk_env_sync(&x);
	put_proved(1, 1, 2);
	assert_int_equal(lend(1, 1, &loan), STORE_OK);
	disk_fault(FAULT_SYNC, EIO, ".vol");
	disk_faults[FAULT_SYNC].count = 1;
	disk_env_sync(&x);
	assert_int_equal(disk_faults[FAULT_SYNC].hits, 1);
	ASSERT_HELD(1, 0);
	assert_int_equal(lend(1, 1, &none), STORE_MISSING);
	assert_lent(&loan, 2);
	give_back(&loan);
	assert_lends(1, 0, 1);
	disk_env_time(&x, 1000);
	put_proved(1, 2, 3);
	disk_env_sync(&x);
	ASSERT_HELD(1, 0, 2);
	/* Nor does it come back. */
	disk_env_close(&x);
	disk_env_open(&x);
	ASSERT_HELD(1, 0, 2);
	assert_lends(1, 0, 1);
}

static uint64_t
file_size(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Where nothing of it is lent, a volume is cut; what lay there is not lent
 * between that and the end of the commit. */
static void
test_sync_fails_unlent(void **state)
{
	struct store_loan loan;
	uint64_t size;

	put_proved(1, 0, 1);
	disk_env_sync(&x);
	assert_int_equal(lend(1, 0, &loan), STORE_OK);
	size = file_size(loan.fd);
	give_back(&loan);
	put_proved(1, 1, 2);
	disk_fault(FAULT_SYNC, EIO, ".vol");
	disk_faults[FAULT_SYNC].count = 1;
	disk_env_sync(&x);
	assert_int_equal(lend(1, 0, &loan), STORE_OK);
	assert_true(file_size(loan.fd) == size);
	assert_lent(&loan, 1);
	give_back(&loan);
}

/* Bytes are not compared before they are lent; whoever does finds out. */
static void
test_rotten(void **state)
{
	struct store_loan loan;
	char name[32];
	uint8_t byte;

	put_proved(1, 0, 1);
	disk_env_sync(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 64 + 160 + 5);
	assert_int_equal(lend(1, 0, &loan), STORE_OK);
	assert_int_equal(pread(loan.fd, &byte, 1, (off_t)loan.offset + 5), 1);
	assert_int_equal(byte, 1 ^ 0x10);
	/* Found while it is lent. */
	assert_int_equal(
		disk_read_status(&x, disk_ref(1, 0, 'p')), STORE_ROTTEN);
	ASSERT_NOTHING_HELD(1);
	give_back(&loan);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
}

/* A volume that cannot be opened has nothing to lend. */
static void
test_no_file(void **state)
{
	struct store_loan loan;
	char name[32];

	put_proved(1, 0, 1);
	disk_env_close(&x);
	x.params.volume_bytes = 1;
	disk_env_open(&x);
	put_proved(1, 1, 2);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_unlink(&x, name);
	assert_int_equal(lend(1, 0, &loan), STORE_MISSING);
	assert_lends(1, 1, 2);
}

#define MANY 300u /* more than may be open */

/* Of files that nobody uses some are closed; not this one. */
static void
test_many_volumes(void **state)
{
	struct store_loan loan;

	disk_env_close(&x);
	x.params.volume_bytes = 1;
	disk_env_open(&x);
	for (uint32_t i = 0; i < MANY; i++)
		put_proved(i / 100, i % 100, (uint8_t)(i % 250 + 1));
	disk_env_sync(&x);
	assert_int_equal(disk_env_files(&x, ".vol"), MANY);
	assert_int_equal(lend(0, 0, &loan), STORE_OK);
	for (uint32_t i = 1; i < MANY; i++)
		assert_lends(i / 100, i % 100, (uint8_t)(i % 250 + 1));
	assert_lent(&loan, 1);
	give_back(&loan);
}

#define BOTH(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_disk, teardown), \
		cmocka_unit_test_setup_teardown(fn, setup_mem, teardown)
#define DISK(fn) cmocka_unit_test_setup_teardown(fn, setup_disk, teardown)

/* What was found last is known, but not longer than it is true. */
static void
test_held_again(void **state)
{
	struct store_ref ref = disk_ref(1, 0, 'p');

	put_proved(1, 0, 1);
	put_proved(2, 9, 1);
	disk_env_sync(&x);
	ASSERT_HELD(1, 0);
	ASSERT_HELD(1, 0);
	ASSERT_HELD(2, 9);
	ASSERT_HELD(1, 0);
	put_proved(1, 1, 2);
	ASSERT_HELD(1, 0, 1);
	disk_env_sync(&x);
	ASSERT_HELD(1, 0, 1);
	ASSERT_HELD(1, 0, 1);
	x.store->ops->drop(x.store, &ref);
	ASSERT_HELD(1, 1);
	disk_env_sync(&x);
	ASSERT_HELD(1, 1);
	ASSERT_HELD(1, 1);
	x.store->ops->set_max_age(x.store, 3600);
	ASSERT_HELD(1, 1);
	x.wall_s += 3601;
	x.now_ms += 3601000;
	ASSERT_NOTHING_HELD(1);
	x.store->ops->set_max_age(x.store, 0);
	disk_env_sync(&x);
	ASSERT_HELD(1, 1);
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	ASSERT_NOTHING_HELD(1);
}

#define STRANGER 40000u

/* From a to b, each a segment with one block. */
static void
assert_all_held(uint32_t a, uint32_t b)
{
	for (uint32_t i = a; i < b; i++)
		assert_int_equal(held(i).n_blocks, 1);
}

static void
ask_for_strangers(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(held(STRANGER + i).n_blocks, 0);
}

/* Whoever looks for what is not there makes the store remember what is; of that
 * none may be forgotten, whenever it came, and not when it comes back. */
static void
test_strangers(void **state)
{
	for (uint32_t i = 0; i < 3000; i++) {
		put_proved(i, 0, 1);
		if (i % 50 == 0)
			disk_env_sync(&x);
		if (i % 500 < 250)
			ask_for_strangers(1);
		assert_int_equal(held(i * 7919 % (i + 1)).n_blocks, 1);
	}
	disk_env_sync(&x);
	ask_for_strangers(400);
	assert_all_held(0, 3000);
	/* All of them known, one more. */
	put_proved(3000, 0, 1);
	disk_env_sync(&x);
	assert_all_held(0, 3001);
	/* From the index alone, while more comes. */
	disk_env_crash(&x);
	for (uint32_t i = 3001; i < 3400; i++) {
		put_proved(i, 0, 1);
		if (i % 10 == 0)
			disk_env_sync(&x);
		ask_for_strangers(1);
	}
	disk_env_sync(&x);
	assert_all_held(0, 3400);
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	ask_for_strangers(100);
	put_proved(5, 0, 1);
	disk_env_sync(&x);
	assert_all_held(5, 6);
	assert_int_equal(held(6).n_blocks, 0);
}

/* While the index is made again, and after that. */
static void
test_strangers_and_rebuild(void **state)
{
	for (uint32_t i = 0; i < 500; i++)
		put_proved(i, 0, 1);
	disk_env_sync(&x);
	ask_for_strangers(100);
	disk_env_close(&x);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	ask_for_strangers(100);
	put_proved(500, 0, 1);
	disk_env_sync(&x);
	ask_for_strangers(100);
	disk_env_settle(&x);
	assert_all_held(0, 501);
	ask_for_strangers(100);
	assert_all_held(0, 501);
}

/* Without memory for that it is as before. */
static void
test_strangers_without_memory(void **state)
{
	for (uint32_t i = 0; i < 100; i++)
		put_proved(i, 0, 1);
	disk_env_sync(&x);
	disk_env_crash(&x);
	failalloc_arm(1);
	ask_for_strangers(10);
	assert_true(failalloc_disarm());
	ask_for_strangers(10);
	assert_all_held(0, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_held),
		BOTH(test_held_kinds),
		BOTH(test_lend),
		BOTH(test_lend_kinds),
		BOTH(test_ids),
		BOTH(test_lent_and_removed),
		BOTH(test_age),
		DISK(test_layers),
		DISK(test_evicted),
		DISK(test_lent_is_carried),
		DISK(test_no_room),
		DISK(test_sync_fails),
		DISK(test_sync_fails_unlent),
		DISK(test_rotten),
		DISK(test_no_file),
		DISK(test_many_volumes),
		DISK(test_held_again),
		DISK(test_strangers),
		DISK(test_strangers_and_rebuild),
		DISK(test_strangers_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

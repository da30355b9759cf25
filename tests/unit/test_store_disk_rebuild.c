/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store/index.h"

static struct disk_env x;

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

static void
put(uint32_t n, const struct store_owner *owner)
{
	assert_int_equal(disk_put_byte(&x, disk_ref(n / 100, n % 100, 'p'),
				 (uint8_t)(n % 250 + 1), true, owner),
		STORE_OK);
}

static unsigned
get(uint32_t n)
{
	return disk_read(&x, disk_ref(n / 100, n % 100, 'p'));
}

static void
rebuild_wait(void)
{
	for (int i = 0; disk_stats_of(&x).rebuild_left > 0; i++) {
		assert_true(i < 10000);
		disk_env_sync(&x);
	}
	/* The last job, which says that all is done. */
	disk_env_sync(&x);
	disk_env_sync(&x);
}

static void
lose_index(void)
{
	disk_env_close(&x);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
}

static void
test_lost_index(void **state)
{
	struct store_ref q = disk_ref(0, 5, 'q');

	for (uint32_t i = 0; i < 300; i++)
		put(i, i % 3 ? &alice : &bob);
	put(1, &bob);
	disk_put_byte(&x, q, 77, false, &bob);
	lose_index();
	assert_int_equal(x.reports[STORE_REPORT_REBUILDING], 1);
	rebuild_wait();
	assert_int_equal(x.reports[STORE_REPORT_REBUILT], 1);
	assert_int_equal(disk_stats_of(&x).blocks, 301);
	assert_int_equal(disk_stats_of(&x).bytes, 301 * DISK_BLOCK);
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(get(i), i % 250 + 1);
	assert_int_equal(disk_read(&x, q), 77);
	/* Owners as before. */
	disk_flush_owner(&x, &alice);
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(get(i), i % 3 && i != 1 ? 0 : i % 250 + 1);
	/* Not again at the next start. */
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(x.reports[STORE_REPORT_REBUILDING], 1);
	assert_int_equal(disk_stats_of(&x).blocks, 102);
}

/* Small records tell what happened after. */
static void
test_replay(void **state)
{
	struct store_ref p = disk_ref(0, 7, 'p');
	uint64_t blocks;

	for (uint32_t i = 0; i < 100; i++)
		put(i, i % 2 ? &alice : &bob);
	put(3, &bob);
	disk_flush_owner(&x, &alice);
	put(5, &alice);
	x.store->ops->drop(x.store,
		&(struct store_ref){.id = p.id,
			.id_len = 32,
			.index = 8,
			.claim = "pppppppppppppppp"});
	x.store->ops->drop(x.store, &p);
	/* Proved later on. */
	disk_put_byte(&x, disk_ref(0, 11, 'u'), 5, false, &bob);
	disk_put_byte(&x, disk_ref(0, 11, 'u'), 5, true, &bob);
	disk_env_sync(&x);
	blocks = disk_stats_of(&x).blocks;
	lose_index();
	rebuild_wait();
	assert_int_equal(disk_stats_of(&x).blocks, blocks);
	assert_int_equal(get(1), 0);
	assert_int_equal(get(2), 3);
	assert_int_equal(get(3), 4);
	assert_int_equal(get(5), 6);
	assert_int_equal(get(8), 0);
	p = disk_ref(0, 11, 'x');
	p.any = true;
	assert_int_equal(disk_read(&x, p), 5);
}

/* Many records, so that there is time for something while it runs. */
#define MANY 12000u

static struct store_ref
many_ref(uint32_t n)
{
	return disk_ref(10 + n / 500, n % 500, 'm');
}

static void
put_many(void)
{
	static struct store_ref refs[1000];
	static struct store_block blocks[1000];
	uint8_t cipher[16];

	memset(cipher, 6, sizeof(cipher));
	for (uint32_t i = 0; i < MANY; i++) {
		blocks[i % 1000] = (struct store_block){.plain_len = 10,
			.cipher_len = 16,
			.algo = 1,
			.proved = true,
			.iv = {6},
			.cipher = cipher};
		refs[i % 1000] = many_ref(i);
		assert_int_equal(
			disk_put_block(&x, refs[i % 1000], &blocks[i % 1000],
				i % 2 ? &alice : &bob),
			STORE_OK);
		if (i == 500)
			disk_env_sync(&x);
	}
}

static void
setup_many(void)
{
	struct store_ref dropped = disk_ref(1, 3, 'p');

	disk_env_close(&x);
	x.params.volume_bytes = 512 << 10;
	disk_env_open(&x);
	put_many();
	disk_put_byte(&x, dropped, 8, true, &bob);
	x.store->ops->drop(x.store, &dropped);
	lose_index();
}

struct two_puts {
	struct store_put put;
	bool done;
	struct store_ref refs[2];
	struct store_block blocks[2];
};

static void
two_flag(struct store_put *p)
{
	container_of(p, struct two_puts, put)->done = true;
}

static struct store_ref
flushed_ref(uint32_t n)
{
	return disk_ref(0, n, 'p');
}

/* Both at once. */
static void
put_flushed(void)
{
	static const uint8_t cipher[16];
	struct store_block block = {
		.plain_len = 16, .cipher_len = 16, .cipher = cipher};
	struct two_puts two = {
		.refs = {flushed_ref(0), flushed_ref(1)},
		.blocks = {block, block},
	};

	two.put = (struct store_put){.refs = two.refs,
		.blocks = two.blocks,
		.n_refs = 2,
		.owner = bob,
		.done = two_flag};
	x.store->ops->put(x.store, &two.put);
	disk_env_wait(&x, &two.done);
}

/* The rebuild finds a block, then it is put again, then the rebuild finds that
 * it was flushed before: what was put stays, and whoever flushed it is rid of
 * it. */
static void
test_put_between_block_and_flush(void **state)
{
	disk_env_close(&x);
	x.params.volume_bytes = 16 << 20;
	disk_env_open(&x);
	disk_put_byte(&x, flushed_ref(0), 1, true, &bob);
	disk_put_byte(&x, flushed_ref(1), 1, true, &alice);
	/* More records than it takes at once. */
	for (uint32_t i = 0; i < 4200; i++)
		disk_put_byte(&x, disk_ref(1 + i / 100, i % 100, 'p'), 1, true,
			&alice);
	disk_flush_owner(&x, &bob);
	disk_flush_owner(&x, &alice);
	x.params.commit_bytes = 1;
	lose_index();
	/* When this is done the first slice is on its way. */
	disk_put_byte(&x, flushed_ref(2), 1, true, &alice);
	put_flushed();
	assert_int_equal(x.reports[STORE_REPORT_REBUILT], 0);
	rebuild_wait();
	assert_true(disk_there(&x, flushed_ref(0)));
	assert_true(disk_there(&x, flushed_ref(1)));
	disk_flush_owner(&x, &bob);
	assert_false(disk_there(&x, flushed_ref(0)));
	assert_false(disk_there(&x, flushed_ref(1)));
}

static void
test_flush_while_it_runs(void **state)
{
	setup_many();
	assert_true(disk_stats_of(&x).rebuild_left > 0);
	/* The second flush comes before what is his was found. */
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 9, true, &bob);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 9, true, &alice);
	/* That it was dropped once will be found, too. */
	disk_put_byte(&x, disk_ref(1, 3, 'p'), 7, true, &bob);
	rebuild_wait();
	assert_int_equal(disk_read(&x, disk_ref(1, 3, 'p')), 7);
	for (uint32_t i = 0; i < MANY; i += 51)
		assert_int_equal(disk_there(&x, many_ref(i)), i % 2 == 0);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 9);
	assert_int_equal(disk_read(&x, disk_ref(1, 2, 'p')), 9);
	assert_int_equal(disk_stats_of(&x).blocks, MANY / 2 + 3);
	/* The same when the index is lost once more. */
	lose_index();
	rebuild_wait();
	assert_int_equal(disk_stats_of(&x).blocks, MANY / 2 + 3);
	assert_int_equal(disk_read(&x, disk_ref(1, 2, 'p')), 9);
}

static void
test_crash_while_it_runs(void **state)
{
	setup_many();
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 9, true, &bob);
	disk_env_sync(&x);
	assert_true(disk_stats_of(&x).rebuild_left > 0);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(x.reports[STORE_REPORT_REBUILDING], 2);
	rebuild_wait();
	assert_int_equal(disk_stats_of(&x).blocks, MANY + 1);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 9);
	for (uint32_t i = 0; i < MANY; i += 51)
		assert_int_equal(disk_read(&x, many_ref(i)), 6);
}

static void
test_clear_while_it_runs(void **state)
{
	setup_many();
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	assert_int_equal(disk_stats_of(&x).rebuild_left, 0);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
	assert_int_equal(disk_env_files(&x, ".vol"), 0);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 9, true, &bob);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 9);
	assert_int_equal(disk_stats_of(&x).blocks, 1);
}

/* The limit holds while it runs, too. */
static void
test_limit_while_it_runs(void **state)
{
	setup_many();
	x.store->ops->set_limit(x.store, 2 << 20);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 9, true, &bob);
	rebuild_wait();
	assert_true(disk_stats_of(&x).disk_bytes <= 2 << 20);
	assert_int_equal(disk_read(&x, many_ref(MANY - 1)), 6);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 9);
	assert_false(disk_there(&x, many_ref(0)));
}

/* One header is broken: what comes behind it is found. */
static void
test_damaged_header(void **state)
{
	char name[32];

	for (uint32_t i = 0; i < 30; i++)
		put(i, &alice);
	disk_env_sync(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 64 + 20);
	lose_index();
	rebuild_wait();
	assert_int_equal(get(0), 0);
	for (uint32_t i = 1; i < 30; i++)
		assert_int_equal(get(i), i % 250 + 1);
}

static off_t
volume_size(const char *name)
{
	char path[128];
	struct stat st;

	disk_env_path(&x, name, path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* What a crash left of the last record is cut off; damage before it is not. */
static void
test_half_a_record(void **state)
{
	char name[32], path[128];
	off_t size;

	for (uint32_t i = 0; i < 30; i++)
		put(i, &alice);
	disk_env_sync(&x);
	assert_true(disk_env_first_volume(&x, name));
	size = volume_size(name);
	put(30, &alice);
	disk_env_sync(&x);
	disk_env_close(&x);
	disk_env_path(&x, name, path);
	assert_int_equal(truncate(path, size + 700), 0);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	rebuild_wait();
	assert_int_equal(disk_verify_all(&x, false).damaged_volumes, 0);
	assert_int_equal(volume_size(name), size);
	assert_int_equal(get(29), 30);
	assert_int_equal(get(30), 0);
	put(31, &alice);
	disk_env_close(&x);
	disk_env_open(&x);
	assert_int_equal(disk_verify_all(&x, false).damaged_volumes, 0);
	disk_env_flip(&x, name, 64 + 20);
	lose_index();
	rebuild_wait();
	assert_int_equal(volume_size(name), size);
	assert_int_equal(disk_verify_all(&x, false).damaged_volumes, 1);
}

/* A volume without a header has nothing that could be trusted. */
static void
test_damaged_volume_header(void **state)
{
	char name[32];

	for (uint32_t i = 0; i < 100; i++)
		put(i, &alice);
	disk_env_close(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_flip(&x, name, 20);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	rebuild_wait();
	assert_int_equal(get(0), 0);
	assert_int_equal(get(99), 100);
}

static void
test_index_is_garbage(void **state)
{
	char path[128];
	int fd;

	for (uint32_t i = 0; i < 100; i++)
		put(i, &alice);
	disk_env_close(&x);
	disk_env_path(&x, "index.mdb", path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(write(fd, path, sizeof(path)), sizeof(path));
	close(fd);
	disk_env_open(&x);
	assert_int_equal(x.reports[STORE_REPORT_DAMAGED], 1);
	rebuild_wait();
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(get(i), i % 250 + 1);
	assert_int_equal(disk_env_files(&x, "index.mdb.damaged"), 1);
}

/* Nothing to be found: a new store, no rebuild. */
static void
test_nothing(void **state)
{
	lose_index();
	assert_int_equal(x.reports[STORE_REPORT_REBUILDING], 0);
	put(1, &alice);
	assert_int_equal(get(1), 2);
}

/*
 * One flipped bit somewhere in the index: harmless, or found.  Who is told by a
 * signal ends, and the next start goes on without him.
 */

#define FLIPS  150u
#define BLOCKS 100u

/* At once: the thread sanitizer's _exit() waits for a second. */
static void
child_exit(int status)
{
	syscall(SYS_exit_group, status);
}

/* Exit status: 0 all is well, 1 as the guard ends a process. */
static void
child_reads(const char *folder)
{
	static struct disk_env y;

	index_guard_install();
	disk_env_init(&y);
	disk_env_move(&y, folder);
	if (disk_env_try_open(&y) != 0)
		child_exit(3);
	while (disk_stats_of(&y).rebuild_left > 0)
		disk_env_sync(&y);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		unsigned seen = disk_read(&y, disk_ref(i / 100, i % 100, 'p'));

		if (seen != 0 && seen != i % 250 + 1)
			child_exit(4);
	}
	disk_put_byte(&y, disk_ref(9, 9, 'p'), 9, true, &alice);
	disk_flush_owner(&y, &bob);
	disk_env_close(&y);
	child_exit(0);
}

static int
run_child(const char *folder)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		child_reads(folder);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_flipped_bits(void **state)
{
	char path[128];
	struct stat st;
	int status;

	for (uint32_t i = 0; i < BLOCKS; i++)
		put(i, i % 2 ? &alice : &bob);
	disk_env_close(&x);
	x.pool = work_free(x.pool);
	srand(11);
	disk_env_path(&x, "index.mdb", path);
	assert_int_equal(stat(path, &st), 0);
	for (unsigned i = 0; i < FLIPS; i++) {
		struct disk_env y = x;

		disk_env_copy(&x, y.folder);
		disk_env_flip(&y, "index.mdb",
			(uint64_t)rand() % (uint64_t)st.st_size);
		status = run_child(y.folder);
		if (status == 1)
			status = run_child(y.folder);
		assert_int_equal(status, 0);
		disk_env_move(&y, "");
	}
}

/*
 * A random history against a model.  Nothing is evicted and no time passes, so
 * commits happen when the model knows: at a flush, and when asked for.
 */

#define MODEL_BLOCKS 40u
#define MODEL_OWNERS 3u

struct model {
	struct {
		uint8_t byte;   /* 0: not there */
		uint8_t owners; /* a bit each */
	} blocks[MODEL_BLOCKS];
};

static const struct store_owner model_owners[MODEL_OWNERS] = {
	{1, "a"}, {1, "b"}, {2, "a"}};

static struct store_ref
model_ref(uint32_t n)
{
	return disk_ref(n / 7, n % 7, 'p');
}

static void
model_put(struct model *now, uint32_t n, uint32_t owner, uint8_t byte)
{
	assert_int_equal(disk_put_byte(&x, model_ref(n), byte, true,
				 &model_owners[owner]),
		STORE_OK);
	if (now->blocks[n].byte == 0)
		now->blocks[n].byte = byte;
	now->blocks[n].owners |= (uint8_t)(1u << owner);
}

static void
model_flush(struct model *now, uint32_t owner)
{
	assert_int_equal(disk_flush_owner(&x, &model_owners[owner]), STORE_OK);
	for (uint32_t n = 0; n < MODEL_BLOCKS; n++) {
		now->blocks[n].owners &= (uint8_t) ~(1u << owner);
		if (now->blocks[n].owners == 0)
			now->blocks[n].byte = 0;
	}
}

static void
model_drop(struct model *now, uint32_t n)
{
	struct store_ref ref = model_ref(n);

	x.store->ops->drop(x.store, &ref);
	now->blocks[n].byte = 0;
	now->blocks[n].owners = 0;
}

static void
model_compare(const struct model *now)
{
	uint64_t n_blocks = 0;

	for (uint32_t n = 0; n < MODEL_BLOCKS; n++) {
		assert_int_equal(
			disk_read(&x, model_ref(n)), now->blocks[n].byte);
		n_blocks += now->blocks[n].byte != 0;
	}
	assert_int_equal(disk_stats_of(&x).blocks, n_blocks);
	assert_int_equal(disk_stats_of(&x).bytes, n_blocks * DISK_BLOCK);
}

static void
model_step(struct model *now, struct model *durable, int what)
{
	uint32_t n = (uint32_t)rand() % MODEL_BLOCKS;
	uint32_t owner = (uint32_t)rand() % MODEL_OWNERS;

	if (what < 70) {
		model_put(now, n, owner, (uint8_t)(rand() % 255 + 1));
	} else if (what < 76) {
		model_flush(now, owner);
		*durable = *now;
	} else if (what < 86) {
		model_drop(now, n);
	} else if (what < 92) {
		disk_env_sync(&x);
		*durable = *now;
	} else if (what < 95) {
		disk_env_crash(&x);
		*now = *durable;
	} else if (what < 97) {
		disk_env_close(&x);
		disk_env_open(&x);
		*durable = *now;
	} else if (what < 98) {
		lose_index();
		rebuild_wait();
		*durable = *now;
	} else {
		model_compare(now);
	}
}

static void
test_random_history(void **state)
{
	struct model now = {0}, durable = {0};

	disk_env_close(&x);
	x.params.volume_bytes = 16384;
	disk_env_open(&x);
	for (unsigned seed = 1; seed <= 8; seed++) {
		srand(seed);
		for (int i = 0; i < 300; i++)
			model_step(&now, &durable, rand() % 100);
		lose_index();
		rebuild_wait();
		durable = now;
		model_compare(&now);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lost_index),
		TEST(test_replay),
		TEST(test_put_between_block_and_flush),
		TEST(test_flush_while_it_runs),
		TEST(test_crash_while_it_runs),
		TEST(test_clear_while_it_runs),
		TEST(test_limit_while_it_runs),
		TEST(test_damaged_header),
		TEST(test_half_a_record),
		TEST(test_damaged_volume_header),
		TEST(test_index_is_garbage),
		TEST(test_nothing),
		TEST(test_random_history),
		TEST(test_flipped_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/disk_env.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "daemon/store/index.h"
#include "daemon/store/record.h"

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

/*
 * What every store does
 */

static void
test_claims(void **state)
{
	struct store_ref p = disk_ref(1, 3, 'p'), q = disk_ref(1, 3, 'q');

	assert_int_equal(disk_put_byte(&x, p, 1, true, &alice), STORE_OK);
	assert_true(disk_there(&x, p));
	assert_false(disk_there(&x, q));
	assert_false(disk_there(&x, disk_ref(1, 4, 'p')));
	assert_false(disk_there(&x, disk_ref(2, 3, 'p')));
	/* A variant beside it; each reader sees his own. */
	assert_int_equal(disk_put_byte(&x, q, 2, false, &bob), STORE_OK);
	assert_int_equal(disk_read(&x, p), 1);
	assert_int_equal(disk_read(&x, q), 2);
	/* An equal claim means equal bytes: those that are there stay. */
	assert_int_equal(disk_put_byte(&x, q, 3, true, &bob), STORE_OK);
	assert_int_equal(disk_read(&x, q), 2);
}

static void
test_any(void **state)
{
	struct store_ref any = disk_ref(1, 3, 'x');
	struct store_ref sealed = disk_ref(1, 3, 0);
	uint8_t cipher[64];
	struct store_block block = {.cipher_len = 64,
		.algo = 2,
		.sealed = true,
		.iv = {9},
		.cipher = cipher};

	any.any = true;
	memset(cipher, 9, sizeof(cipher));
	assert_int_equal(
		disk_put_byte(&x, disk_ref(1, 3, 'u'), 1, false, &alice),
		STORE_OK);
	/* What is not proved is passed on to nobody. */
	assert_false(disk_there(&x, any));
	assert_int_equal(disk_put_block(&x, sealed, &block, &bob), STORE_OK);
	assert_int_equal(disk_read(&x, any), 9);
	/* Nobody can read it by its claim. */
	assert_false(disk_there(&x, sealed));
	assert_int_equal(
		disk_put_byte(&x, disk_ref(1, 3, 'p'), 4, true, &alice),
		STORE_OK);
	assert_int_equal(disk_read(&x, any), 4);
	/* From then on that variant is proved, too. */
	assert_int_equal(
		disk_put_byte(&x, disk_ref(1, 4, 'v'), 5, false, &alice),
		STORE_OK);
	any.index = 4;
	assert_false(disk_there(&x, any));
	assert_int_equal(
		disk_put_byte(&x, disk_ref(1, 4, 'v'), 5, true, &alice),
		STORE_OK);
	assert_int_equal(disk_read(&x, any), 5);
}

static void
test_owners(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &bob);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 2, true, &bob);
	assert_int_equal(disk_flush_owner(&x, &alice), STORE_OK);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
	assert_int_equal(disk_flush_owner(&x, &bob), STORE_OK);
	assert_false(disk_there(&x, disk_ref(1, 1, 'p')));
	assert_false(disk_there(&x, disk_ref(1, 2, 'p')));
	assert_int_equal(disk_stats_of(&x).blocks, 0);
	assert_int_equal(disk_stats_of(&x).bytes, 0);
	/* He has nothing, and may come again. */
	assert_int_equal(disk_flush_owner(&x, &bob), STORE_OK);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 3, true, &bob);
	assert_int_equal(disk_read(&x, disk_ref(1, 2, 'p')), 3);
}

static void
test_drop(void **state)
{
	struct store_ref p = disk_ref(1, 1, 'p');

	disk_put_byte(&x, p, 1, true, &alice);
	x.store->ops->drop(x.store, &p);
	assert_false(disk_there(&x, p));
	assert_int_equal(disk_stats_of(&x).rotten, 1);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
	/* It may come again. */
	disk_put_byte(&x, p, 2, true, &alice);
	assert_int_equal(disk_read(&x, p), 2);
	/* The reader says that it is wrong. */
	x.reject = true;
	assert_int_equal(disk_read_status(&x, p), STORE_ROTTEN);
	assert_false(disk_there(&x, p));
	assert_int_equal(disk_stats_of(&x).rotten, 2);
}

static void
test_clear(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(2, 1, 'p'), 1, true, &bob);
	assert_int_equal(disk_clear_all(&x), STORE_OK);
	assert_false(disk_there(&x, disk_ref(1, 1, 'p')));
	assert_false(disk_there(&x, disk_ref(2, 1, 'p')));
	assert_int_equal(disk_stats_of(&x).blocks, 0);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 7, true, &alice);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 7);
}

static void
test_counts(void **state)
{
	struct store_stats s;

	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 1, true, &bob);
	disk_there(&x, disk_ref(1, 1, 'p'));
	disk_there(&x, disk_ref(1, 9, 'p'));
	s = disk_stats_of(&x);
	assert_int_equal(s.blocks, 2);
	assert_int_equal(s.bytes, 2 * DISK_BLOCK);
	assert_int_equal(s.hits, 1);
	assert_int_equal(s.misses, 1);
	assert_int_equal(s.health, STORE_HEALTHY);
	assert_true(s.disk_bytes >= 2 * DISK_BLOCK);
}

static void
test_list(void **state)
{
	struct store_listed rows[2];
	struct store_list l;

	for (uint32_t i = 0; i < 3; i++)
		disk_put_byte(&x, disk_ref(i, 1, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 1, false, &bob);
	l = disk_list_page(&x, rows, 2, NULL);
	assert_int_equal(l.status, STORE_OK);
	assert_int_equal(l.n_rows, 2);
	assert_true(l.more);
	assert_memory_equal(rows[0].id, disk_ref(0, 0, 0).id, 32);
	assert_int_equal(rows[1].blocks, 2);
	assert_int_equal(rows[1].proved, 1);
	assert_int_equal(rows[1].bytes, 2 * DISK_BLOCK);
	assert_int_equal(rows[1].n_owners, 2);
	l = disk_list_page(&x, rows, 2, &rows[1]);
	assert_int_equal(l.n_rows, 1);
	assert_false(l.more);
	assert_memory_equal(rows[0].id, disk_ref(2, 0, 0).id, 32);
}

struct list_wait {
	struct store_list l;
	bool done;
};

static void
list_flag(struct store_list *l)
{
	container_of(l, struct list_wait, l)->done = true;
}

static void
test_list_of_owner(void **state)
{
	struct store_listed rows[4];
	struct list_wait w = {.l = {.rows = rows,
				      .max_rows = 4,
				      .only_owner = true,
				      .uid = 2,
				      .done = list_flag}};

	for (uint32_t i = 0; i < 3; i++)
		disk_put_byte(&x, disk_ref(i, 1, 'p'), 1, true, &alice);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &bob);
	x.store->ops->list(x.store, &w.l);
	disk_env_wait(&x, &w.done);
	assert_int_equal(w.l.status, STORE_OK);
	assert_int_equal(w.l.n_rows, 1);
	assert_memory_equal(rows[0].id, disk_ref(1, 0, 0).id, 32);
}

static void
test_verify(void **state)
{
	struct store_verify v;

	for (uint32_t i = 0; i < 5; i++)
		disk_put_byte(&x, disk_ref(i, 1, 'p'), 1, true, &alice);
	v = disk_verify_all(&x, false);
	assert_int_equal(v.status, STORE_OK);
	assert_int_equal(v.blocks, 5);
	assert_int_equal(v.done_bytes, 5 * DISK_BLOCK);
	assert_int_equal(v.rotten + v.dangling + v.damaged_volumes, 0);
}

/* A request of many blocks, some there and some not. */
struct get_many {
	struct store_get g;
	unsigned sum;
	bool done;
};

static bool
many_consume(struct store_get *g, size_t i, const struct store_block *b,
	struct bulk *bulk)
{
	container_of(g, struct get_many, g)->sum += b->cipher[0];
	return true;
}

static void
many_done(struct store_get *g)
{
	container_of(g, struct get_many, g)->done = true;
}

static void
test_get_many(void **state)
{
	struct store_ref refs[20];
	struct get_many w = {.g = {.refs = refs,
				     .n_refs = 20,
				     .consume = many_consume,
				     .done = many_done}};

	for (uint32_t i = 0; i < 20; i++) {
		refs[i] = disk_ref(1, i, 'p');
		if (i % 2 == 0)
			disk_put_byte(
				&x, refs[i], (uint8_t)(i + 1), true, &alice);
	}
	x.store->ops->get(x.store, &w.g);
	assert_false(w.done);
	disk_env_wait(&x, &w.done);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
			refs[i].status, i % 2 == 0 ? STORE_OK : STORE_MISSING);
	assert_int_equal(w.sum, 100);
}

/*
 * The store on disk alone
 */

static void
reopen(void)
{
	disk_env_close(&x);
	disk_env_open(&x);
}

static void
test_survives(void **state)
{
	for (uint32_t i = 0; i < 40; i++)
		disk_put_byte(&x, disk_ref(i / 10, i, 'p'), (uint8_t)(i + 1),
			true, i % 2 ? &alice : &bob);
	reopen();
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(
			disk_read(&x, disk_ref(i / 10, i, 'p')), i + 1);
	assert_int_equal(disk_stats_of(&x).blocks, 40);
	assert_int_equal(x.reports[STORE_REPORT_OPENED], 2);
	assert_int_equal(x.reports[STORE_REPORT_DAMAGED], 0);
	/* Owners, too. */
	disk_flush_owner(&x, &alice);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(disk_read(&x, disk_ref(i / 10, i, 'p')),
			i % 2 ? 0 : i + 1);
	assert_int_equal(disk_stats_of(&x).blocks, 20);
	reopen();
	assert_int_equal(disk_stats_of(&x).blocks, 20);
	assert_int_equal(disk_stats_of(&x).bytes, 20 * DISK_BLOCK);
	disk_flush_owner(&x, &bob);
	assert_int_equal(disk_stats_of(&x).blocks, 0);
}

/* Before the commit a block is readable; a crash loses it, cleanly. */
static void
test_crash_before_commit(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_sync(&x);
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 2, true, &alice);
	assert_int_equal(disk_read(&x, disk_ref(1, 2, 'p')), 2);
	disk_env_crash(&x);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
	assert_false(disk_there(&x, disk_ref(1, 2, 'p')));
	/* Its place is used again. */
	disk_put_byte(&x, disk_ref(1, 3, 'p'), 3, true, &alice);
	disk_env_sync(&x);
	disk_env_crash(&x);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
	assert_int_equal(disk_read(&x, disk_ref(1, 3, 'p')), 3);
	assert_int_equal(disk_stats_of(&x).blocks, 2);
}

/* A volume that no commit tells of is removed. */
static void
test_crash_with_new_volume(void **state)
{
	disk_put_byte(&x, disk_ref(1, 0, 'p'), 1, true, &alice);
	disk_env_sync(&x);
	for (uint32_t i = 1; i < 100; i++)
		disk_put_byte(&x, disk_ref(1, i, 'p'), 1, true, &alice);
	assert_int_equal(disk_env_files(&x, ".vol"), 2);
	disk_env_crash(&x);
	assert_int_equal(disk_env_files(&x, ".vol"), 1);
	assert_int_equal(disk_stats_of(&x).blocks, 1);
	disk_put_byte(&x, disk_ref(1, 99, 'p'), 2, true, &alice);
	assert_int_equal(disk_read(&x, disk_ref(1, 99, 'p')), 2);
	assert_int_equal(disk_read(&x, disk_ref(1, 0, 'p')), 1);
}

/* A crash before the very first commit: the index is there and tells nothing,
 * not even that there is nothing. */
static void
test_crash_before_first_commit(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_crash(&x);
	assert_int_equal(x.reports[STORE_REPORT_REBUILDING], 1);
	while (disk_stats_of(&x).rebuild_left > 0)
		disk_env_sync(&x);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
}

/* After a second without anybody asking. */
static void
test_commit_by_time(void **state)
{
	disk_put_byte(&x, disk_ref(2, 1, 'p'), 1, true, &alice);
	disk_env_sync(&x);
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_time(&x, 999);
	disk_env_crash(&x);
	assert_false(disk_there(&x, disk_ref(1, 1, 'p')));
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_time(&x, 1000);
	/* Goes through the same thread. */
	disk_put_byte(&x, disk_ref(1, 2, 'p'), 1, true, &alice);
	disk_env_crash(&x);
	assert_true(disk_there(&x, disk_ref(1, 1, 'p')));
	assert_false(disk_there(&x, disk_ref(1, 2, 'p')));
}

static void
test_commit_by_size(void **state)
{
	disk_env_close(&x);
	x.params.commit_bytes = 4 * DISK_BLOCK;
	disk_env_open(&x);
	for (uint32_t i = 0; i < 5; i++)
		disk_put_byte(&x, disk_ref(1, i, 'p'), 1, true, &alice);
	disk_env_crash(&x);
	assert_true(disk_there(&x, disk_ref(1, 0, 'p')));
}

static void
test_drop_survives(void **state)
{
	struct store_ref p = disk_ref(1, 1, 'p'), q = disk_ref(1, 2, 'p');

	disk_put_byte(&x, p, 1, true, &alice);
	disk_put_byte(&x, q, 2, true, &alice);
	disk_env_sync(&x);
	x.store->ops->drop(x.store, &p);
	assert_false(disk_there(&x, p));
	disk_env_sync(&x);
	assert_false(disk_there(&x, p));
	disk_env_crash(&x);
	assert_false(disk_there(&x, p));
	assert_true(disk_there(&x, q));
	assert_int_equal(disk_stats_of(&x).blocks, 1);
}

static void
test_variants(void **state)
{
	disk_put_byte(&x, disk_ref(1, 0, 'p'), 1, true, &alice);
	for (char c = 'A'; c < 'A' + STORE_VARIANTS + 2; c++) {
		disk_put_byte(&x, disk_ref(1, 0, c), 1, false, &bob);
		disk_env_sync(&x);
		x.wall_s++;
	}
	assert_false(disk_there(&x, disk_ref(1, 0, 'A')));
	assert_false(disk_there(&x, disk_ref(1, 0, 'B')));
	assert_true(disk_there(&x, disk_ref(1, 0, 'C')));
	assert_true(disk_there(&x, disk_ref(1, 0, 'p')));
	assert_int_equal(disk_stats_of(&x).blocks, 1 + STORE_VARIANTS);
}

/* Adding what one has writes nothing; adding what another has writes only that
 * it is one's own, too. */
static void
test_added_again(void **state)
{
	struct store_ref p = disk_ref(1, 1, 'p');
	uint64_t before;

	disk_put_byte(&x, p, 1, true, &alice);
	before = disk_env_volume_bytes(&x);
	disk_put_byte(&x, p, 1, true, &alice);
	assert_int_equal(disk_env_volume_bytes(&x), before);
	disk_env_sync(&x);
	disk_put_byte(&x, p, 1, true, &alice);
	assert_int_equal(disk_env_volume_bytes(&x), before);
	disk_put_byte(&x, p, 1, true, &bob);
	assert_true(disk_env_volume_bytes(&x) > before);
	assert_true(disk_env_volume_bytes(&x) < before + 256);
	before = disk_env_volume_bytes(&x);
	disk_env_sync(&x);
	disk_put_byte(&x, p, 1, true, &bob);
	assert_int_equal(disk_env_volume_bytes(&x), before);
}

struct put_wait {
	struct store_put p;
	bool done;
};

static void
put_flag(struct store_put *p)
{
	container_of(p, struct put_wait, p)->done = true;
}

struct flush_wait {
	struct store_flush f;
	bool done;
};

static void
flush_flag(struct store_flush *f)
{
	container_of(f, struct flush_wait, f)->done = true;
}

/* A flush covers what was put before it and nothing that comes after, even when
 * all of them wait at the same time. */
static void
test_flush_between_puts(void **state)
{
	uint8_t cipher[64] = {5};
	struct store_ref refs[3] = {
		disk_ref(1, 1, 'p'), disk_ref(1, 1, 'p'), disk_ref(1, 2, 'p')};
	struct store_block block = {.plain_len = 60,
		.cipher_len = 64,
		.algo = 1,
		.proved = true,
		.iv = {5},
		.cipher = cipher};
	struct put_wait puts[3];
	struct flush_wait f = {.f = {.owner = alice, .done = flush_flag}};

	memset(cipher, 5, sizeof(cipher));
	for (size_t i = 0; i < 3; i++)
		puts[i] = (struct put_wait){.p = {.refs = &refs[i],
						    .blocks = &block,
						    .n_refs = 1,
						    .owner = alice,
						    .done = put_flag}};
	x.store->ops->put(x.store, &puts[0].p);
	x.store->ops->put(x.store, &puts[2].p);
	x.store->ops->flush(x.store, &f.f);
	x.store->ops->put(x.store, &puts[1].p);
	disk_env_wait(&x, &puts[1].done);
	disk_env_wait(&x, &f.done);
	assert_true(puts[0].done && puts[2].done);
	disk_env_sync(&x);
	assert_int_equal(disk_read(&x, refs[1]), 5);
	assert_false(disk_there(&x, refs[2]));
	reopen();
	assert_int_equal(disk_read(&x, refs[1]), 5);
	assert_false(disk_there(&x, refs[2]));
}

/* One put over several volumes. */
static void
test_big_put(void **state)
{
	enum { N = 200 };
	static struct store_ref refs[N];
	static struct store_block blocks[N];
	uint8_t cipher[DISK_BLOCK];
	struct put_wait w = {.p = {.refs = refs,
				     .blocks = blocks,
				     .n_refs = N,
				     .owner = alice,
				     .done = put_flag}};

	memset(cipher, 8, sizeof(cipher));
	for (uint32_t i = 0; i < N; i++) {
		refs[i] = disk_ref(3, i, 'p');
		blocks[i] = (struct store_block){.plain_len = DISK_BLOCK - 1,
			.cipher_len = DISK_BLOCK,
			.algo = 3,
			.proved = true,
			.iv = {8},
			.cipher = cipher};
	}
	x.store->ops->put(x.store, &w.p);
	assert_false(w.done);
	disk_env_wait(&x, &w.done);
	assert_true(disk_env_files(&x, ".vol") > 2);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(refs[i].status, STORE_OK);
		assert_int_equal(disk_read(&x, refs[i]), 8);
	}
	reopen();
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(disk_read(&x, disk_ref(3, i, 'p')), 8);
}

/* A block that cannot be is refused alone. */
static void
test_bad_block(void **state)
{
	struct store_block block = {.plain_len = 10,
		.cipher_len = 0,
		.algo = 1,
		.cipher = (const uint8_t *)""};

	assert_int_equal(
		disk_put_block(&x, disk_ref(1, 1, 'p'), &block, &alice),
		STORE_IO);
	assert_int_equal(
		disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice),
		STORE_OK);
}

/* Taken out while a reader has it: he reads on, undisturbed. */
static void
test_flushed_while_read(void **state)
{
	struct store_ref ref = disk_ref(1, 1, 'p');
	struct get_many w = {.g = {.refs = &ref,
				     .n_refs = 1,
				     .consume = many_consume,
				     .done = many_done}};
	struct flush_wait f = {.f = {.done = flush_flag}};

	disk_put_byte(&x, ref, 33, true, &alice);
	x.hold_jobs = true;
	x.store->ops->get(x.store, &w.g);
	x.store->ops->clear(x.store, &f.f);
	disk_env_wait(&x, &f.done);
	assert_int_equal(disk_env_files(&x, ".vol"), 0);
	x.hold_jobs = false;
	disk_env_wait(&x, &w.done);
	assert_int_equal(ref.status, STORE_OK);
	assert_int_equal(w.sum, 33);
	assert_false(disk_there(&x, ref));
}

static void
test_second_process(void **state)
{
	struct disk_env y = x;

	y.store = NULL;
	assert_int_equal(disk_env_try_open(&y), -EBUSY);
	assert_non_null(strstr(y.why, "another"));
	/* The first one is not disturbed. */
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
}

/* Another format, in a header that is whole. */
static void
make_other_format(const char *name)
{
	uint8_t data[VOLUME_HEADER];
	struct volume_header h;
	char path[128];
	int fd;

	disk_env_path(&x, name, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, sizeof(data)), sizeof(data));
	assert_int_equal(volume_header_parse(&h, data), 0);
	h.format++;
	volume_header_build(data, &h);
	assert_int_equal(pwrite(fd, data, sizeof(data), 0), sizeof(data));
	close(fd);
}

/* Without an index nothing else tells of the format; nothing is touched. */
static void
test_newer_volume(void **state)
{
	char name[32];

	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_close(&x);
	assert_true(disk_env_first_volume(&x, name));
	disk_env_unlink(&x, "index.mdb");
	make_other_format(name);
	assert_int_equal(disk_env_try_open(&x), -EPROTONOSUPPORT);
	assert_non_null(strstr(x.why, "format"));
	assert_int_equal(disk_env_try_open(&x), -EPROTONOSUPPORT);
	assert_int_equal(disk_env_files(&x, ".vol"), 1);
}

/* The folder with an index of that format. */
static void
make_index(uint32_t format)
{
	struct index_params p = {.path = x.folder,
		.name = "index",
		.format = format,
		.map_size = 1 << 20,
		.n_tables = 1,
		.tables = {{.name = "things"}}};
	struct index *index;

	disk_env_unlink(&x, "index.mdb");
	p.folder = open(x.folder, O_RDONLY | O_DIRECTORY);
	assert_true(p.folder >= 0);
	assert_int_equal(index_open(&index, &p, false), INDEX_NEW);
	index_close(index);
	close(p.folder);
}

static void
test_newer_index(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_close(&x);
	make_index(1000);
	assert_int_equal(disk_env_try_open(&x), -EPROTONOSUPPORT);
	assert_non_null(strstr(x.why, "newer"));
	assert_int_equal(disk_env_try_open(&x), -EPROTONOSUPPORT);
	assert_int_equal(disk_env_files(&x, ".vol"), 1);
}

static void
test_older_index(void **state)
{
	disk_put_byte(&x, disk_ref(1, 1, 'p'), 1, true, &alice);
	disk_env_close(&x);
	make_index(0);
	disk_env_open(&x);
	assert_int_equal(x.reports[STORE_REPORT_FOREIGN], 1);
	while (disk_stats_of(&x).rebuild_left > 0)
		disk_env_sync(&x);
	assert_int_equal(disk_read(&x, disk_ref(1, 1, 'p')), 1);
}

#define BOTH(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_disk, teardown), \
		cmocka_unit_test_setup_teardown(fn, setup_mem, teardown)
#define DISK(fn) cmocka_unit_test_setup_teardown(fn, setup_disk, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_claims),
		BOTH(test_any),
		BOTH(test_owners),
		BOTH(test_drop),
		BOTH(test_clear),
		BOTH(test_counts),
		BOTH(test_list),
		BOTH(test_list_of_owner),
		BOTH(test_verify),
		BOTH(test_get_many),
		DISK(test_survives),
		DISK(test_crash_before_commit),
		DISK(test_crash_with_new_volume),
		DISK(test_crash_before_first_commit),
		DISK(test_commit_by_time),
		DISK(test_commit_by_size),
		DISK(test_drop_survives),
		DISK(test_variants),
		DISK(test_added_again),
		DISK(test_flush_between_puts),
		DISK(test_big_put),
		DISK(test_bad_block),
		DISK(test_flushed_while_read),
		DISK(test_second_process),
		DISK(test_newer_volume),
		DISK(test_newer_index),
		DISK(test_older_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

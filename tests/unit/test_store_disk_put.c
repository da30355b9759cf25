/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many requests at the same time, with real threads, under a limit that evicts
 * all the time; and every allocation failing once.
 */
#include "tests/unit/disk_env.h"

#include <errno.h>

#include "tests/unit/failalloc.h"

#define BLOCKS 400u
#define SLOTS  24u

static struct disk_env x;

static int
setup(void **state)
{
	disk_env_init(&x);
	x.params.max_bytes = 1 << 20;
	x.params.commit_bytes = 20000;
	disk_env_open(&x);
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

static struct store_ref
ref_of(uint32_t n)
{
	return disk_ref(n / 20, n % 20, 'p');
}

static uint8_t
byte_of(uint32_t n)
{
	return (uint8_t)(n % 250 + 1);
}

/* One request under way. */
struct slot {
	union {
		struct store_put put;
		struct store_get get;
		struct store_lookup look;
		struct store_flush flush;
		struct store_list list;
		struct store_verify verify;
	} u;
	bool busy;
	uint32_t first;
	size_t n;
	struct store_ref refs[8];
	struct store_block blocks[8];
	uint8_t cipher[8][DISK_BLOCK];
	struct store_listed rows[4];
	bool wrong;
};

static struct slot slots[SLOTS];
static unsigned n_busy, n_ended, n_found;
static bool one_ended;

static void
slot_end(struct slot *s)
{
	assert_true(s->busy);
	assert_false(s->wrong);
	s->busy = false;
	n_busy--;
	n_ended++;
	one_ended = true;
}

static void
put_done(struct store_put *p)
{
	struct slot *s = container_of(p, struct slot, u.put);

	for (size_t i = 0; i < s->n; i++)
		assert_int_equal(s->refs[i].status, STORE_OK);
	slot_end(s);
}

static bool
consume(struct store_get *g, size_t i, const struct store_block *b,
	struct bulk *bulk)
{
	struct slot *s = container_of(g, struct slot, u.get);

	for (size_t k = 0; k < b->cipher_len; k++)
		if (b->cipher[k] != byte_of(s->first + (uint32_t)i))
			s->wrong = true;
	return true;
}

static void
get_done(struct store_get *g)
{
	struct slot *s = container_of(g, struct slot, u.get);

	for (size_t i = 0; i < s->n; i++) {
		assert_true(s->refs[i].status == STORE_OK ||
			s->refs[i].status == STORE_MISSING);
		n_found += s->refs[i].status == STORE_OK;
	}
	slot_end(s);
}

static void
look_done(struct store_lookup *l)
{
	slot_end(container_of(l, struct slot, u.look));
}

static void
flush_done(struct store_flush *f)
{
	assert_int_equal(f->status, STORE_OK);
	slot_end(container_of(f, struct slot, u.flush));
}

static void
list_done(struct store_list *l)
{
	assert_int_equal(l->status, STORE_OK);
	slot_end(container_of(l, struct slot, u.list));
}

static void
verify_done(struct store_verify *v)
{
	assert_int_equal(v->rotten + v->dangling + v->damaged_volumes, 0);
	slot_end(container_of(v, struct slot, u.verify));
}

static void
start_put(struct slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		uint32_t n = s->first + (uint32_t)i;

		memset(s->cipher[i], byte_of(n), DISK_BLOCK);
		s->blocks[i] = (struct store_block){
			.plain_len = DISK_BLOCK - 3,
			.cipher_len = DISK_BLOCK,
			.algo = 1,
			.proved = true,
			.iv = {byte_of(n)},
			.cipher = s->cipher[i],
		};
	}
	s->u.put = (struct store_put){.refs = s->refs,
		.blocks = s->blocks,
		.n_refs = s->n,
		.owner = rand() % 2 ? alice : bob,
		.done = put_done};
	x.store->ops->put(x.store, &s->u.put);
}

static void
start(struct slot *s)
{
	int what = rand() % 100;

	s->busy = true;
	n_busy++;
	s->n = (size_t)(rand() % 8 + 1);
	s->first = (uint32_t)rand() % (BLOCKS - 8);
	for (size_t i = 0; i < s->n; i++)
		s->refs[i] = ref_of(s->first + (uint32_t)i);
	if (what < 45) {
		start_put(s);
	} else if (what < 88) {
		s->u.get = (struct store_get){.refs = s->refs,
			.n_refs = s->n,
			.uid = (uint32_t)rand() % 3,
			.consume = consume,
			.done = get_done};
		x.store->ops->get(x.store, &s->u.get);
	} else if (what < 95) {
		s->u.look = (struct store_lookup){
			.refs = s->refs, .n_refs = s->n, .done = look_done};
		x.store->ops->lookup(x.store, &s->u.look);
	} else if (what < 97) {
		s->u.list = (struct store_list){
			.rows = s->rows, .max_rows = 4, .done = list_done};
		x.store->ops->list(x.store, &s->u.list);
	} else if (what < 98) {
		s->u.flush = (struct store_flush){
			.owner = rand() % 2 ? alice : bob, .done = flush_done};
		if (rand() % 4 != 0)
			x.store->ops->flush(x.store, &s->u.flush);
		else
			x.store->ops->clear(x.store, &s->u.flush);
	} else {
		x.store->ops->drop(x.store, &s->refs[0]);
		x.store->ops->set_limit(
			x.store, (uint64_t)(1 + rand() % 3) << 19);
		slot_end(s);
	}
}

static void
wait_one(void)
{
	one_ended = false;
	disk_env_wait(&x, &one_ended);
}

static void
storm(unsigned rounds)
{
	struct slot *verify = &slots[0];
	unsigned ended = 0;

	n_ended = n_found = 0;
	for (unsigned round = 0; round < rounds; round++) {
		struct slot *s = &slots[1 + (unsigned)rand() % (SLOTS - 1)];

		if (s->busy) {
			wait_one();
			continue;
		}
		start(s);
		ended++;
		if (round % 1000 == 500 && !verify->busy) {
			verify->busy = true;
			n_busy++;
			ended++;
			verify->u.verify =
				(struct store_verify){.done = verify_done};
			x.store->ops->verify(x.store, &verify->u.verify);
		}
		if (round % 500 == 250)
			disk_env_time(&x, 61000);
	}
	while (n_busy > 0)
		wait_one();
	assert_int_equal(n_ended, ended);
}

static void
test_all_at_once(void **state)
{
	srand(7);
	disk_env_threads(&x);
	storm(6000);
	assert_true(n_found > 100);
	assert_true(disk_stats_of(&x).evicted > 100);
	assert_true(disk_stats_of(&x).carried > 0);
	disk_env_sync(&x);
	assert_int_equal(disk_verify_all(&x, false).rotten, 0);
	assert_int_equal(
		disk_verify_all(&x, false).blocks, disk_stats_of(&x).blocks);
}

/* The same while the index is made again. */
static void
test_all_at_once_in_rebuild(void **state)
{
	srand(8);
	for (int i = 0; i < 10; i++) {
		for (uint32_t n = 0; n < BLOCKS; n++)
			assert_int_equal(disk_put_byte(&x, ref_of(n),
						 byte_of(n), true, &alice),
				STORE_OK);
		disk_env_close(&x);
		disk_env_unlink(&x, "index.mdb");
		disk_env_open(&x);
		disk_env_threads(&x);
		storm(150);
		disk_env_sync(&x);
		x.workers = work_free(x.workers);
		while (disk_stats_of(&x).rebuild_left > 0)
			disk_env_sync(&x);
		assert_int_equal(disk_verify_all(&x, false).dangling, 0);
		assert_int_equal(disk_verify_all(&x, false).blocks,
			disk_stats_of(&x).blocks);
	}
}

/*
 * Allocations that fail
 */

static unsigned
get(uint32_t n)
{
	return disk_read(&x, ref_of(n));
}

static bool
is_no_memory(enum store_status status)
{
	assert_true(status == STORE_OK || status == STORE_NO_MEMORY);
	return status != STORE_OK;
}

/* Whatever fails, each answer is true: what is said to be there is. */
static int
scenario(void *arg)
{
	bool failed = false, put[3];

	for (uint32_t i = 0; i < 3; i++) {
		enum store_status status =
			disk_put_byte(&x, ref_of(i), byte_of(i), true, &alice);

		put[i] = !is_no_memory(status);
		failed |= !put[i];
		if (put[i])
			failed |= is_no_memory(disk_read_status(&x, ref_of(i)));
	}
	disk_put_byte(&x, ref_of(0), byte_of(0), true, &bob);
	disk_env_sync(&x);
	disk_env_time(&x, 1000);
	disk_env_sync(&x);
	for (uint32_t i = 0; i < 3; i++)
		if (put[i])
			failed |= is_no_memory(disk_read_status(&x, ref_of(i)));
	failed |= is_no_memory(disk_flush_owner(&x, &alice));
	x.store->ops->drop(x.store, &(struct store_ref){0});
	failed |= is_no_memory(disk_clear_all(&x));
	return failed ? -ENOMEM : 0;
}

static void
test_no_memory(void **state)
{
	x.run_time = true;
	assert_true(failalloc_each(scenario, NULL) > 10);
}

static int
scenario_open(void *arg)
{
	int r = disk_env_try_open(&x);

	if (r == 0) {
		assert_true(get(1) == byte_of(1) || get(1) == byte_of(1));
		disk_env_close(&x);
	}
	return r;
}

static void
test_no_memory_at_open(void **state)
{
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(
			disk_put_byte(&x, ref_of(i), byte_of(i), true, &alice),
			STORE_OK);
	disk_env_close(&x);
	assert_true(failalloc_each(scenario_open, NULL) > 5);
	disk_env_open(&x);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(get(i), byte_of(i));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_at_once),
		TEST(test_all_at_once_in_rebuild),
		TEST(test_no_memory),
		TEST(test_no_memory_at_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

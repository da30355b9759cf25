/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that come from peers are given from memory, once, and only where the
 * store would give them. */
#include "tests/unit/failalloc.h"
#include "tests/unit/fetch_env.h"

#define MIB (1024u * 1024)

/* The store, counted; puts are held back if wanted. */
static const struct block_store_ops *real;
static unsigned n_gets;
static bool hold_puts;
static struct store_put *held_put;

static void
counted_get(struct block_store *store, struct store_get *get)
{
	n_gets++;
	real->get(store, get);
}

static void
counted_put(struct block_store *store, struct store_put *put)
{
	if (!hold_puts) {
		real->put(store, put);
		return;
	}
	assert_null(held_put);
	held_put = put;
}

static void
put_end(enum store_status status)
{
	struct store_put *put = TAKE_PTR(held_put);

	assert_non_null(put);
	for (size_t i = 0; i < put->n_refs; i++)
		put->refs[i].status = status;
	put->done(put);
}

static void
kept_init(struct fetch_env *e, int version, size_t n_fixed)
{
	static struct block_store_ops ops;

	fetch_init(e, version, n_fixed);
	real = e->x.store->ops;
	ops = *real;
	ops.get = counted_get;
	ops.put = counted_put;
	e->x.store->ops = &ops;
	n_gets = 0;
	hold_puts = false;
	held_put = NULL;
}

/* Nothing of it is left, not even before the service goes. */
static void
kept_done(struct fetch_env *e)
{
	assert_null(held_put);
	session_content_close(e->x.session, e->handle);
	script_settle(&e->x);
	assert_int_equal(e->x.service->n_kept, 0);
	e->x.store->ops = real;
	fetch_done(e);
}

/* All answers come; none is checked before the last one is there. */
static void
all_come(struct fetch_env *e)
{
	size_t i;

	while ((i = fetch_find(e, 0, ENV_PEER_LIST, ANY_BLOCK)) != NO_REQUEST)
		script_answer_good(&e->x, i, e->data, FETCH_LEN, e->info);
	while (e->x.n_requests > 0)
		script_answer_good(&e->x, 0, e->data, FETCH_LEN, e->info);
}

/* Runs jobs until one is a copy. */
static void
until_copy(struct fetch_env *e, uint64_t op)
{
	script_time(&e->x, 3);
	while (e->x.n_jobs > 0 && e->x.jobs[0]->try_now == NULL)
		script_job(&e->x, 0);
	assert_int_equal(e->x.n_jobs, 1);
	assert_int_equal(e->x.service->n_kept, 1);
	assert_int_equal(n_gets, 0);
	fetch_check_pending(e, op);
}

/* One block, which is in memory and waits to be copied. */
static uint64_t
one_to_copy(struct fetch_env *e)
{
	uint64_t op;

	kept_init(e, 1, 1);
	op = fetch_read(e, 0, 65536);
	all_come(e);
	until_copy(e, op);
	return op;
}

/* A stream is never read from the store, and each block is right. */
static void
test_stream(void **state)
{
	for (int v = 1; v <= 2; v++) {
		struct fetch_env e;
		uint64_t op, at;

		kept_init(&e, v, 16);
		for (at = 0; at < FETCH_LEN;) {
			op = fetch_stream(&e, 300001);
			while (fetch_op(&e, op)->completions == 0) {
				all_come(&e);
				script_time(&e.x, 3);
				script_settle(&e.x);
			}
			fetch_check_read(&e, op, at, 0);
			at += fetch_op(&e, op)->result.bytes;
			script_return(&e.x);
		}
		assert_int_equal(at, FETCH_LEN);
		assert_int_equal(n_gets, 0);
		assert_int_equal(e.x.service->n_kept, 0);
		kept_done(&e);
	}
}

/* Parts of a block, until its end has been read; then it is the store's. */
static void
test_parts_of_a_block(void **state)
{
	struct fetch_env e;
	uint64_t op;

	kept_init(&e, 1, 1);
	op = fetch_read(&e, 9, 100);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 9, 100);
	op = fetch_read(&e, 3, 60000);
	fetch_check_read(&e, op, 3, 60000);
	assert_int_equal(e.x.service->n_kept, 1);
	op = fetch_read(&e, 65535, 1);
	fetch_check_read(&e, op, 65535, 1);
	assert_int_equal(n_gets, 0);
	assert_int_equal(e.x.service->n_kept, 0);
	op = fetch_read(&e, 9, 100);
	fetch_check_read(&e, op, 9, 100);
	assert_int_equal(n_gets, 1);
	kept_done(&e);
}

/* Of blocks that are checked together one has the wrong bytes. */
static void
test_one_is_wrong(void **state)
{
	struct fetch_env e;
	uint8_t *lie = malloc(FETCH_LEN);
	uint64_t op;
	size_t i;

	kept_init(&e, 1, 2);
	memset(lie, 'x', FETCH_LEN);
	fetch_read(&e, 0, 3 * 65536);
	for (uint32_t b = 0; b < 3; b++) {
		i = fetch_find(&e, 0, ENV_PEER_BLOCK, b);
		script_answer_good(
			&e.x, i, b == 1 ? lie : e.data, FETCH_LEN, e.info);
	}
	script_settle(&e.x);
	script_time(&e.x, 3);
	script_settle(&e.x);
	assert_int_equal(service_counters(e.x.service)->blocks_verified, 2);
	op = fetch_read(&e, 2 * 65536 + 1, 65535);
	fetch_check_read(&e, op, 2 * 65536 + 1, 65535);
	assert_int_equal(n_gets, 0);
	op = fetch_read(&e, 65536, 65536);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 65536, 65536);
	assert_int_equal(n_gets, 0);
	free(lie);
	kept_done(&e);
}

/* A read that also wants what is not in memory takes the store's way. */
static void
test_some_in_memory(void **state)
{
	struct fetch_env e;
	uint64_t op;

	kept_init(&e, 1, 1);
	for (unsigned i = 0; i < 2; i++) {
		op = fetch_read(&e, i * 65536, 100);
		fetch_all_good(&e);
		fetch_check_read(&e, op, i * 65536, 100);
		if (i == 0)
			script_time(&e.x, 2001);
	}
	assert_int_equal(e.x.service->n_kept, 1);
	assert_int_equal(n_gets, 0);
	op = fetch_read(&e, 0, 2 * 65536);
	fetch_check_read(&e, op, 0, 2 * 65536);
	assert_int_equal(n_gets, 1);
	kept_done(&e);
}

/* Other handles, of whomever, have the store, though the fetch was theirs
 * too. */
static void
test_other_handles(void **state)
{
	struct fetch_env e;
	struct session *other;
	uint64_t op[3], theirs, second, first;

	kept_init(&e, 1, 1);
	other = fetch_other_user(&e, &theirs);
	first = e.handle;
	second = fetch_open(&e);
	op[0] = fetch_read(&e, 9, 100);
	op[1] = script_op(&e.x);
	assert_int_equal(
		session_block_read(other, op[1], theirs, 10, 100, 5000),
		CORE_OK);
	e.handle = second;
	op[2] = fetch_read(&e, 11, 100);
	assert_int_equal(e.x.n_requests, 1);
	fetch_all_good(&e);
	for (unsigned i = 0; i < 3; i++)
		fetch_check_read(&e, op[i], 9 + i, 100);
	assert_int_equal(n_gets, 2);
	e.handle = first;
	op[0] = fetch_read(&e, 9, 100);
	fetch_check_read(&e, op[0], 9, 100);
	assert_int_equal(n_gets, 2);
	session_free(other, false);
	script_settle(&e.x);
	kept_done(&e);
}

/* The handle whose fetch it is does not read any more; another waits. */
static void
test_nothing_for_who_does_not_read(void **state)
{
	struct fetch_env e;
	uint64_t op[2], first;

	kept_init(&e, 1, 1);
	first = e.handle;
	op[0] = fetch_read(&e, 9, 100);
	e.handle = fetch_open(&e);
	op[1] = fetch_read(&e, 9, 100);
	assert_int_equal(
		session_client_cancel(e.x.session, first, op[0]), CORE_OK);
	fetch_all_good(&e);
	fetch_check_read(&e, op[1], 9, 100);
	assert_int_equal(e.x.service->n_kept, 0);
	assert_int_equal(n_gets, 1);
	kept_done(&e);
}

static void
test_not_for_long(void **state)
{
	struct fetch_env e;
	uint64_t op;

	kept_init(&e, 1, 1);
	for (unsigned i = 0; i < 2; i++) {
		op = fetch_read(&e, i * 65536, 100);
		fetch_all_good(&e);
		fetch_check_read(&e, op, i * 65536, 100);
		script_time(&e.x, 1500);
	}
	/* Each has its own time. */
	assert_int_equal(e.x.service->n_kept, 1);
	script_time(&e.x, 600);
	assert_int_equal(e.x.service->n_kept, 0);
	op = fetch_read(&e, 65536, 100);
	fetch_check_read(&e, op, 65536, 100);
	assert_int_equal(n_gets, 1);
	kept_done(&e);
}

/* What the store could not take is not there. */
static void
test_not_stored(void **state)
{
	struct fetch_env e;
	uint64_t op;

	kept_init(&e, 1, 1);
	hold_puts = true;
	op = fetch_read(&e, 0, 100);
	fetch_all_good(&e);
	fetch_check_pending(&e, op);
	put_end(STORE_DISK_FULL);
	script_settle(&e.x);
	fetch_check_missing(&e, op, 0, 65536);
	assert_int_equal(e.x.service->n_kept, 0);
	kept_done(&e);
}

static void
lose_flush(struct fetch_env *e)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "tag";
	uint64_t op = script_op(&e->x);

	assert_int_equal(session_flush(e->x.session, op, tag), CORE_OK);
	script_settle(&e->x);
	assert_int_equal(fetch_op(e, op)->result.status, CORE_OK);
}

static void
cleared(struct store_flush *f)
{
	assert_int_equal(f->status, STORE_OK);
}

static void
lose_clear(struct fetch_env *e)
{
	struct store_flush clear = {.done = cleared};

	real->clear(e->x.store, &clear);
	script_settle(&e->x);
}

/* Flushed, cleared: not outlived by what is in memory. */
static void
test_lost(void **state)
{
	void (*const lose[])(struct fetch_env *) = {lose_flush, lose_clear};

	for (size_t i = 0; i < ARRAY_LEN(lose); i++) {
		struct fetch_env e;
		uint64_t op;

		kept_init(&e, 1, 1);
		op = fetch_read(&e, 0, 100);
		fetch_all_good(&e);
		fetch_check_read(&e, op, 0, 100);
		lose[i](&e);
		assert_int_equal(e.x.service->n_kept, 1);
		op = fetch_read(&e, 0, 100);
		fetch_check_pending(&e, op);
		assert_int_equal(e.x.n_requests, 1);
		fetch_all_good(&e);
		fetch_check_read(&e, op, 0, 100);
		kept_done(&e);
	}
}

/* The read half is whole again, whatever happened. */
static void
check_room(struct fetch_env *e, size_t room)
{
	script_settle(&e->x);
	assert_int_equal(area_read_room(e->x.area_obj), room);
}

static void
test_cancel_while_copying(void **state)
{
	struct fetch_env e;
	uint64_t op = one_to_copy(&e);
	size_t room = area_read_size(e.x.area_obj);

	assert_int_equal(
		session_client_cancel(e.x.session, e.handle, op), CORE_OK);
	assert_int_equal(fetch_op(&e, op)->completions, 1);
	assert_int_equal(fetch_op(&e, op)->result.status, CORE_E_ABORTED);
	assert_true(area_read_room(e.x.area_obj) < room);
	check_room(&e, room);
	assert_int_equal(fetch_op(&e, op)->completions, 1);
	assert_int_equal(e.x.service->n_kept, 0);
	kept_done(&e);
}

static void
test_close_while_copying(void **state)
{
	struct fetch_env e;
	uint64_t op = one_to_copy(&e);
	size_t room = area_read_size(e.x.area_obj);

	assert_int_equal(session_content_close(e.x.session, e.handle), CORE_OK);
	assert_int_equal(fetch_op(&e, op)->completions, 1);
	/* The job has it. */
	assert_int_equal(e.x.service->n_kept, 1);
	check_room(&e, room);
	assert_int_equal(fetch_op(&e, op)->completions, 1);
	assert_int_equal(e.x.service->n_kept, 0);
	kept_done(&e);
}

/* With blocks in memory, or on the way there. */
static void
test_close_before_reading(void **state)
{
	struct fetch_env e;
	uint64_t first, op;

	kept_init(&e, 1, 1);
	fetch_read(&e, 0, 100);
	fetch_all_good(&e);
	assert_int_equal(e.x.service->n_kept, 1);
	assert_int_equal(session_content_close(e.x.session, e.handle), CORE_OK);
	assert_int_equal(e.x.service->n_kept, 0);
	/* The fetch goes on for another handle. */
	first = e.handle = fetch_open(&e);
	fetch_read(&e, 65536, 100);
	e.handle = fetch_open(&e);
	op = fetch_read(&e, 2 * 65536, 100);
	hold_puts = true;
	fetch_good(&e, 1, 1);
	assert_int_equal(e.x.service->n_kept, 1);
	assert_int_equal(session_content_close(e.x.session, first), CORE_OK);
	put_end(STORE_OK);
	assert_int_equal(e.x.service->n_kept, 0);
	hold_puts = false;
	fetch_all_good(&e);
	fetch_check_read(&e, op, 2 * 65536, 100);
	kept_done(&e);
}

/* The worker did not come to it: the store is asked again. */
static void
test_job_not_run(void **state)
{
	struct fetch_env e;
	uint64_t op = one_to_copy(&e);
	struct env_job *job = e.x.jobs[0];

	e.x.n_jobs = 0;
	job->done(job, false);
	script_settle(&e.x);
	fetch_check_read(&e, op, 0, 65536);
	assert_int_equal(n_gets, 1);
	kept_done(&e);
}

/* Six buffers for a handle, 64 for all. */
static void
test_bounds(void **state)
{
	struct fetch_env e;
	uint64_t op;

	kept_init(&e, 1, 1);
	for (unsigned i = 0; i < 12; i++) {
		op = fetch_read(&e, i * 65536, 100);
		fetch_all_good(&e);
		fetch_check_read(&e, op, i * 65536, 100);
		assert_int_equal(e.x.service->n_kept, MIN_OF(i + 1, 6u));
	}
	assert_int_equal(n_gets, 6);
	script_time(&e.x, 2001);
	assert_int_equal(e.x.service->n_kept, 0);
	e.x.service->n_kept = 62;
	for (unsigned i = 12; i < 16; i++) {
		op = fetch_read(&e, i * 65536, 100);
		fetch_all_good(&e);
		fetch_check_read(&e, op, i * 65536, 100);
	}
	assert_int_equal(e.x.service->n_kept, 64);
	assert_int_equal(n_gets, 8);
	e.x.service->n_kept -= 62;
	kept_done(&e);
}

/* Each allocation fails in turn: there is the store, and nothing is lost. */
static void
test_no_memory(void **state)
{
	unsigned long n = 0;
	bool failed;

	do {
		struct fetch_env e;
		uint64_t op;

		kept_init(&e, 2, 2);
		op = fetch_read(&e, 0, MIB);
		while (fetch_find(&e, 0, ENV_PEER_LIST, ANY_BLOCK) !=
			NO_REQUEST)
			fetch_answer(
				&e, 0, ENV_PEER_LIST, ENV_PEER_UNSUPPORTED);
		failalloc_arm(++n);
		fetch_all_good(&e);
		failed = failalloc_disarm();
		script_nobody(&e.x);
		assert_int_equal(fetch_op(&e, op)->completions, 1);
		if (fetch_op(&e, op)->result.status == CORE_OK)
			fetch_check_read(&e, op, 0, 0);
		else
			assert_true(failed);
		script_return(&e.x);
		kept_done(&e);
	} while (failed);
	print_message("%lu allocations\n", n);
	assert_true(n > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_parts_of_a_block),
		cmocka_unit_test(test_one_is_wrong),
		cmocka_unit_test(test_some_in_memory),
		cmocka_unit_test(test_other_handles),
		cmocka_unit_test(test_nothing_for_who_does_not_read),
		cmocka_unit_test(test_not_for_long),
		cmocka_unit_test(test_not_stored),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_cancel_while_copying),
		cmocka_unit_test(test_close_while_copying),
		cmocka_unit_test(test_close_before_reading),
		cmocka_unit_test(test_job_not_run),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

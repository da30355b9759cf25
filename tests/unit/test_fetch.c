/* SPDX-License-Identifier: BSD-2-Clause */
/* Several peers, each with a part of the content; readers that come and go. */
#include "tests/unit/failalloc.h"
#include "tests/unit/fetch_env.h"
#include "tests/unit/pccrr_set.h"

#define MIB (1024u * 1024)

/* Three peers have a third each, and all of it comes. */
static void
test_parts(void **state)
{
	struct fetch_env e;
	uint64_t op, at = 0;

	fetch_init(&e, 1, 3);
	op = fetch_read(&e, 0, MIB);
	/* Sixteen in a row are wanted: each is asked what it has. */
	assert_int_equal(fetch_count(&e, 0, ENV_PEER_LIST), 3);
	assert_int_equal(fetch_count(&e, 0, ENV_PEER_BLOCK), 0);
	fetch_list(&e, 2, 6, 5);
	fetch_check_pending(&e, op);
	fetch_list(&e, 1, 0, 6);
	fetch_list(&e, 3, 11, 38);
	for (uint32_t b = 0; b < 16; b++) {
		unsigned peer = b < 6 ? 1 : b < 11 ? 2 : 3;

		fetch_good(&e, peer, b);
	}
	assert_int_equal(e.x.n_requests, 0);
	fetch_check_read(&e, op, 0, 65536);
	for (at = 0; at < MIB; at += fetch_op(&e, op)->result.bytes) {
		op = fetch_read(&e, at, MIB - (uint32_t)at);
		fetch_check_read(&e, op, at, 0);
	}
	assert_int_equal(service_counters(e.x.service)->peer_lists, 3);
	assert_int_equal(service_counters(e.x.service)->peer_requests, 16);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 16);
	fetch_done(&e);
}

/* Three in a row are not worth a list; four are, also across a word. */
static void
test_when_lists(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 1);
	fetch_read(&e, 0, 3 * 65536);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_LIST), 0);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 3);
	fetch_done(&e);
	fetch_init(&e, 1, 1);
	fetch_read(&e, 40 * 65536, 4 * 65536);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_LIST), 1);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 0);
	/* The whole segment is asked for, once. */
	assert_int_equal(
		pccrr_set_count(&e.x.requests[0]->asked), FETCH_BLOCKS);
	fetch_all_good(&e);
	fetch_read(&e, 0, MIB);
	fetch_done(&e);
}

/* A peer that serves blocks only. */
static void
test_no_lists(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 0, MIB);
	fetch_answer(&e, 1, ENV_PEER_LIST, ENV_PEER_UNSUPPORTED);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 4);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 0, 65536);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 16);
	assert_int_equal(service_counters(e.x.service)->peer_refused, 0);
	/* It is remembered, for other segments and times too. */
	script_nobody(&e.x);
	fetch_read(&e, 2 * MIB, MIB);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_LIST), 0);
	assert_true(fetch_count(&e, 1, ENV_PEER_BLOCK) > 4);
	fetch_done(&e);
}

/* A list that does not come, is empty, or breaks the protocol. */
static void
test_bad_lists(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 4);
	op = fetch_read(&e, 0, MIB);
	script_nobody(&e.x);
	fetch_answer(&e, 1, ENV_PEER_LIST, ENV_PEER_REFUSED);
	fetch_answer(&e, 2, ENV_PEER_LIST, ENV_PEER_BAD);
	fetch_list(&e, 3, 0, 0);
	assert_int_equal(fetch_count(&e, 0, ENV_PEER_BLOCK), 0);
	/* Silence is not a no. */
	fetch_answer(&e, 4, ENV_PEER_LIST, ENV_PEER_TIMEOUT);
	assert_int_equal(fetch_count(&e, 4, ENV_PEER_BLOCK), 2);
	assert_int_equal(fetch_peer(&e, 2).view.strikes, 1);
	assert_int_equal(fetch_peer(&e, 1).view.refused, 1);
	assert_int_equal(fetch_peer(&e, 3).view.empty, 1);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 0, 65536);
	fetch_done(&e);
}

/* One silent, one empty, one that lies, one that is good. */
static void
test_until_one_has_it(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 4);
	op = fetch_read(&e, 9, 100);
	assert_int_equal(e.x.n_requests, 1);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	/* Another one first. */
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 0);
	fetch_answer(&e, 2, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	fetch_wrong(&e, 3, 0);
	assert_int_equal(e.x.n_requests, 1);
	fetch_good(&e, 4, 0);
	fetch_check_read(&e, op, 9, 100);
	assert_int_equal(fetch_peer(&e, 1).view.timeouts, 1);
	assert_int_equal(fetch_peer(&e, 2).view.empty, 1);
	assert_int_equal(fetch_peer(&e, 3).view.bad, 1);
	assert_int_equal(fetch_peer(&e, 3).view.strikes, 1);
	assert_int_equal(fetch_peer(&e, 4).view.blocks, 1);
	assert_int_equal(fetch_peer(&e, 4).view.in_flight, 0);
	fetch_done(&e);
}

/* All of them: the silent one is tried again before it is over. */
static void
test_nobody_has_it(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 2);
	op = fetch_read(&e, 65536 + 9, 100);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	fetch_answer(&e, 2, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	script_nobody(&e.x);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	fetch_check_pending(&e, op);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(e.x.n_requests, 0);
	fetch_check_missing(&e, op, 65536, 65536);
	fetch_done(&e);
}

/* A range ends where a block is still to come. */
static void
test_missing_until_coming(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 3, 40);
	/* The first three are nowhere, but that is not known before the branch
	 * has been asked. */
	fetch_check_pending(&e, op);
	script_nobody(&e.x);
	fetch_check_missing(&e, op, 0, 3 * 65536);
	fetch_done(&e);
}

/* An empty list: a block read reports its window, and no more, since others
 * may have the rest. */
static void
test_missing_window(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 65536, MIB);
	fetch_list(&e, 1, 0, 0);
	script_nobody(&e.x);
	fetch_check_missing(&e, op, 65536, MIB);
	fetch_done(&e);
}

/* Nobody to ask, and nobody in the branch: the whole segment is missing. */
static void
test_missing_segment(void **state)
{
	struct fetch_env e;
	uint64_t op;

	for (int v = 1; v <= 2; v++) {
		fetch_init(&e, v, 0);
		op = fetch_read(&e, 0, 100);
		fetch_check_pending(&e, op);
		script_nobody(&e.x);
		fetch_check_missing(&e, op, 0,
			v == 1 ? FETCH_LEN : e.info->segments[0].len);
		/* Remembered: at once now. */
		op = fetch_read(&e, 5, 100);
		fetch_check_missing(&e, op, 0,
			v == 1 ? FETCH_LEN : e.info->segments[0].len);
		assert_int_equal(e.n_probes, 2); /* and its repeat */
		fetch_done(&e);
	}
}

/* Cancelled: requests are given up; what comes all the same is kept. */
static void
test_late_answers(void **state)
{
	struct env_peer_request *r;
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 0, 2 * 65536);
	assert_int_equal(e.x.n_requests, 2);
	r = e.x.requests[0];
	assert_int_equal(
		session_client_cancel(e.x.session, e.handle, op), CORE_OK);
	/* Block 0 was for the reader, block 1 was got ahead for the handle. */
	assert_int_equal(fetch_op(&e, op)->result.status, CORE_E_ABORTED);
	assert_int_equal(e.x.n_requests, 2);
	assert_int_equal(session_content_close(e.x.session, e.handle), CORE_OK);
	assert_int_equal(e.x.n_requests, 0);
	assert_int_equal(e.x.n_cancelled, 2);
	/* The answer had left before it was given up. */
	for (size_t i = 0; i < e.x.n_cancelled; i++)
		if (e.x.cancelled[i] == r)
			e.x.cancelled[i] = e.x.cancelled[--e.x.n_cancelled];
	e.x.requests[e.x.n_requests++] = r;
	script_answer_good(&e.x, 0, e.data, FETCH_LEN, e.info);
	script_settle(&e.x);
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	assert_int_equal(service_counters(e.x.service)->peer_refused, 0);
	e.handle = fetch_open(&e);
	op = fetch_read(&e, 0, 65536);
	fetch_check_read(&e, op, 0, 65536);
	assert_int_equal(e.x.n_requests, 0);
	fetch_done(&e);
}

/* A reader that times out leaves the other one his block. */
static void
test_one_of_two_leaves(void **state)
{
	struct fetch_env e;
	uint64_t op, other;

	fetch_init(&e, 1, 1);
	other = script_op(&e.x);
	assert_int_equal(
		session_block_read(e.x.session, other, e.handle, 7, 100, 1000),
		CORE_OK);
	op = fetch_read(&e, 8, 100);
	assert_int_equal(e.x.n_requests, 1);
	script_time(&e.x, 1002);
	script_settle(&e.x);
	assert_int_equal(fetch_op(&e, other)->result.status, CORE_E_TIMEOUT);
	assert_int_equal(e.x.n_requests, 1);
	fetch_good(&e, 1, 0);
	fetch_check_read(&e, op, 8, 100);
	fetch_done(&e);
}

/* Wanted again while a request that was given up has not come back. */
static void
test_back_again(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 8, 100);
	assert_int_equal(
		session_client_cancel(e.x.session, e.handle, op), CORE_OK);
	assert_int_equal(e.x.n_cancelled, 1);
	op = script_op(&e.x);
	assert_int_equal(
		session_block_read(e.x.session, op, e.handle, 8, 100, 5000),
		CORE_OK);
	script_job(&e.x, 0); /* it waits for the block now */
	assert_int_equal(e.x.n_requests, 0);
	script_settle(&e.x);
	assert_int_equal(e.x.n_requests, 1);
	fetch_good(&e, 1, 0);
	fetch_check_read(&e, op, 8, 100);
	fetch_done(&e);
}

static void
check_mode(enum service_mode mode, int version)
{
	struct fetch_env e;
	uint64_t op[2];

	fetch_init(&e, version, 2);
	op[0] = fetch_read(&e, 0, MIB);
	op[1] = fetch_stream(&e, 100);
	assert_true(e.x.n_requests >= 2);
	e.x.settings.policy.mode = mode;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	assert_int_equal(e.x.n_requests, 0);
	script_settle(&e.x);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fetch_op(&e, op[i])->completions, 1);
		assert_int_equal(fetch_op(&e, op[i])->result.status,
			CORE_E_MISSING_DATA);
	}
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	op[0] = fetch_read(&e, 0, 100);
	/* The settings' own peers are asked in every mode but local. */
	if (mode == MODE_LOCAL) {
		assert_int_equal(fetch_op(&e, op[0])->completions, 1);
		assert_int_equal(e.x.n_requests, 0);
	} else {
		assert_int_equal(e.x.n_requests, 1);
		fetch_all_good(&e);
		fetch_check_read(&e, op[0], 0, 100);
	}
	fetch_done(&e);
}

static void
test_mode_left(void **state)
{
	for (int v = 1; v <= 2; v++) {
		check_mode(MODE_LOCAL, v);
		check_mode(MODE_HOSTED_CLIENT, v);
	}
}

/* A reload: who is not in the list any more is not asked any more, others go
 * on, new ones are asked by the next fetch. */
static void
test_reload(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 2);
	op = fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 0, FETCH_BLOCKS);
	fetch_list(&e, 2, 0, FETCH_BLOCKS);
	fetch_fixed(&e, 2, 2);
	while (fetch_find(&e, 1, ENV_PEER_BLOCK, ANY_BLOCK) != NO_REQUEST)
		fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 0);
	assert_true(fetch_count(&e, 2, ENV_PEER_BLOCK) > 0);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 0, 0);
	op = fetch_read(&e, 2 * MIB, 100);
	fetch_answer(&e, 0, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 0);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 2 * MIB, 100);
	assert_int_equal(
		fetch_peer(&e, 3).view.blocks + fetch_peer(&e, 2).view.blocks,
		17);
	fetch_done(&e);
}

/* A stream read fetches ahead of the cursor, and goes on doing so while it is
 * read; a block read does not. */
static void
test_read_ahead(void **state)
{
	struct fetch_env e;
	uint64_t op, at;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 0, 3 * 65536);
	fetch_all_good(&e);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 3);
	fetch_check_read(&e, op, 0, 65536);
	op = fetch_stream(&e, 65536);
	/* Here already: nothing ahead. */
	assert_int_equal(e.x.n_requests, 0);
	op = fetch_stream(&e, 2 * 65536);
	op = fetch_stream(&e, 65536);
	assert_true(e.x.n_requests > 0);
	fetch_all_good(&e);
	assert_int_equal(
		service_counters(e.x.service)->peer_blocks, FETCH_BLOCKS);
	fetch_check_read(&e, op, 3 * 65536, 65536);
	for (at = 4 * 65536; at < FETCH_LEN;) {
		op = fetch_stream(&e, 300000);
		fetch_check_read(&e, op, at, 0);
		at += fetch_op(&e, op)->result.bytes;
		script_return(&e.x);
	}
	assert_int_equal(e.x.n_requests, 0);
	fetch_done(&e);
}

/* Blocks that come while others are being checked are checked by one job and
 * stored by one request. */
static void
test_batches(void **state)
{
	struct fetch_env e;
	uint64_t op;
	size_t i, jobs;

	fetch_init(&e, 1, 3);
	op = fetch_read(&e, 0, MIB);
	for (unsigned p = 1; p <= 3; p++)
		fetch_list(&e, p, 0, FETCH_BLOCKS);
	assert_true(e.x.n_requests >= 8);
	jobs = e.x.n_jobs;
	while ((i = fetch_find(&e, 0, ENV_PEER_BLOCK, ANY_BLOCK)) != NO_REQUEST)
		script_answer_good(&e.x, i, e.data, FETCH_LEN, e.info);
	/* One that was first, and one of eight or more. */
	assert_int_equal(e.x.n_jobs, jobs + 2);
	script_settle(&e.x);
	fetch_check_read(&e, op, 0, 0);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 16);
	fetch_done(&e);
}

/* The first one does not wait for others, the last one neither, and the rest
 * not for long. */
static void
test_batches_in_time(void **state)
{
	struct fetch_env e;
	uint64_t op[3];

	fetch_init(&e, 1, 1);
	for (unsigned i = 0; i < 3; i++)
		op[i] = fetch_read(&e, i * 65536, 100);
	for (unsigned i = 0; i < 3; i++) {
		size_t at = fetch_find(&e, 1, ENV_PEER_BLOCK, i);

		script_answer_good(&e.x, at, e.data, FETCH_LEN, e.info);
		script_settle(&e.x);
		if (i == 1) {
			fetch_check_pending(&e, op[1]);
			script_time(&e.x, 3);
			script_settle(&e.x);
		}
		fetch_check_read(&e, op[i], i * 65536, 100);
	}
	fetch_done(&e);
}

/* Not more than a bounded number of blocks is in memory, however slow the
 * workers are. */
static void
test_bounded(void **state)
{
	struct fetch_env e;
	size_t i, n = 0;

	for (int v = 1; v <= 2; v++) {
		fetch_init(&e, v, 16);
		for (unsigned k = 0; k < 4; k++) {
			uint64_t op = script_op(&e.x);

			assert_int_equal(
				session_block_read(e.x.session, op, e.handle,
					k * MIB / 2, MIB, 5000),
				CORE_OK);
		}
		script_settle(&e.x);
		for (n = 0; (i = fetch_find(&e, 0, ENV_PEER_BLOCK,
				     ANY_BLOCK)) != NO_REQUEST;
			n++)
			script_answer_good(&e.x, i, e.data, FETCH_LEN, e.info);
		assert_true(n <= 128);
		script_settle(&e.x);
		fetch_done(&e);
	}
}

static void
note(struct ledger_view *ret, struct fetch_env *e, size_t segment)
{
	const struct pccrc_segment *seg = &e->info->segments[segment];
	uint8_t id[BULK_DIGEST_MAX];

	assert_int_equal(pccrc_segment_id(e->x.bulk, e->info->hash, seg->kp,
				 seg->hod, id),
		0);
	assert_true(ledger_find(
		service_ledger(e->x.service), id, e->info->hash_size, ret));
}

/* What "explain" will tell. */
static void
test_ledger_entries(void **state)
{
	struct ledger_view v;
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 3);
	op = fetch_read(&e, 0, MIB);
	fetch_answer(&e, 1, ENV_PEER_LIST, ENV_PEER_REFUSED);
	note(&v, &e, 0);
	assert_int_equal(v.trouble, LEDGER_REFUSED);
	assert_true(v.has_addr);
	fetch_list(&e, 2, 0, 8);
	fetch_list(&e, 3, 8, 41);
	fetch_all_good(&e);
	fetch_check_read(&e, op, 0, 0);
	note(&v, &e, 0);
	assert_int_equal(v.from_peers, 16);
	assert_int_equal(v.n_sources, 2);
	assert_int_equal(v.sources[0].blocks + v.sources[1].blocks, 16);
	assert_int_equal(v.trouble, LEDGER_FINE);
	fetch_done(&e);

	fetch_init(&e, 2, 0);
	e.x.settings.policy.mode = MODE_LOCAL;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	fetch_read(&e, 0, 100);
	note(&v, &e, 0);
	assert_int_equal(v.trouble, LEDGER_MODE);
	e.x.settings.policy.mode = MODE_HOSTED_CLIENT;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	fetch_read(&e, 0, 100);
	note(&v, &e, 0);
	assert_int_equal(v.trouble, LEDGER_NO_SOURCE);
	e.x.settings.policy.mode = MODE_DISTRIBUTED;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	fetch_read(&e, 0, 100);
	script_nobody(&e.x);
	note(&v, &e, 0);
	assert_int_equal(v.trouble, LEDGER_NOBODY);
	assert_int_equal(v.asked, 1);
	fetch_done(&e);
}

/* Answers come, whatever fails; the scenario is replayed with each allocation
 * failing in turn. */
static void
play(struct fetch_env *e)
{
	uint64_t op[3];

	for (unsigned i = 0; i < ARRAY_LEN(op); i++) {
		op[i] = script_op(&e->x);
		if (session_block_read(e->x.session, op[i], e->handle, i * MIB,
			    MIB, 5000) != CORE_OK)
			op[i] = UINT64_MAX;
	}
	script_settle(&e->x);
	if (e->n_probes > 0)
		fetch_found(e, 3, 2);
	for (unsigned n = 0; e->x.n_requests > 0; n++) {
		if (n % 7 == 3)
			script_answer(&e->x, 0, ENV_PEER_EMPTY);
		else if (n % 7 == 5)
			script_answer(&e->x, 0, ENV_PEER_TIMEOUT);
		else
			script_answer_good(
				&e->x, 0, e->data, FETCH_LEN, e->info);
		if (n % 3 == 0)
			script_settle(&e->x);
	}
	script_settle(&e->x);
	script_nobody(&e->x);
	while (e->x.n_requests > 0) {
		script_answer(&e->x, 0, ENV_PEER_EMPTY);
		script_settle(&e->x);
	}
	script_nobody(&e->x);
	for (unsigned i = 0; i < ARRAY_LEN(op); i++) {
		struct script_op *o;

		if (op[i] == UINT64_MAX)
			continue;
		o = fetch_op(e, op[i]);
		assert_int_equal(o->completions, 1);
		if (o->result.status == CORE_OK)
			assert_memory_equal(o->data, e->data + o->result.offset,
				o->result.bytes);
		else
			assert_true(o->result.status == CORE_E_MISSING_DATA ||
				o->result.status == CORE_E_NO_MEMORY);
	}
}

static void
test_out_of_memory(void **state)
{
	for (int v = 1; v <= 2; v++) {
		unsigned long n = 0;
		bool failed;

		do {
			struct fetch_env e;

			fetch_init(&e, v, 2);
			failalloc_arm(++n);
			play(&e);
			failed = failalloc_disarm();
			script_return(&e.x);
			assert_int_equal(
				service_counters(e.x.service)->fetches_running,
				0);
			fetch_done(&e);
		} while (failed);
		print_message("%lu allocations\n", n);
		assert_true(n > 50);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_when_lists),
		cmocka_unit_test(test_no_lists),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_until_one_has_it),
		cmocka_unit_test(test_nobody_has_it),
		cmocka_unit_test(test_missing_until_coming),
		cmocka_unit_test(test_missing_window),
		cmocka_unit_test(test_missing_segment),
		cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_one_of_two_leaves),
		cmocka_unit_test(test_back_again),
		cmocka_unit_test(test_mode_left),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_read_ahead),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_batches_in_time),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_ledger_entries),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is asked how much, and for whom. */
#include "tests/unit/fetch_env.h"

#define MIB (1024u * 1024)

/* The window grows with each good block, up to eight, and halves with each
 * silence; it is the peer's, whoever asks. */
static void
test_window(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 1);
	fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 0, FETCH_BLOCKS);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 4);
	for (unsigned n = 5; n <= 8; n++) {
		fetch_good(&e, 1, ANY_BLOCK);
		assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), n);
		assert_int_equal(fetch_peer(&e, 1).view.in_flight, n);
	}
	fetch_good(&e, 1, ANY_BLOCK);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 8);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	/* Four from now on: nothing new until fewer are under way. */
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 7);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	for (unsigned n = 5; n >= 2; n--) {
		fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
		assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), n);
	}
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 2);
	fetch_done(&e);
}

/* A block is asked of one peer at a time, and of the one that has least to
 * do. */
static void
test_fewest_first(void **state)
{
	struct pccrr_set seen = {{0}};
	struct fetch_env e;

	fetch_init(&e, 1, 3);
	fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 0, FETCH_BLOCKS);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 4);
	fetch_list(&e, 2, 0, FETCH_BLOCKS);
	fetch_list(&e, 3, 0, FETCH_BLOCKS);
	assert_int_equal(e.x.n_requests, 12);
	for (unsigned p = 1; p <= 3; p++)
		assert_int_equal(fetch_count(&e, p, ENV_PEER_BLOCK), 4);
	for (size_t i = 0; i < e.x.n_requests; i++) {
		assert_false(pccrr_set_has(&seen, e.x.requests[i]->block));
		pccrr_set_add(&seen, e.x.requests[i]->block);
	}
	fetch_all_good(&e);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 16);
	fetch_done(&e);
}

/* What is waited for comes before what is got ahead. */
static void
test_waited_first(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 1);
	fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 0, FETCH_BLOCKS);
	fetch_read(&e, 2 * MIB + 7 * 65536, 100);
	assert_int_equal(fetch_find(&e, 1, ENV_PEER_BLOCK, 39), NO_REQUEST);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	assert_true(fetch_find(&e, 1, ENV_PEER_BLOCK, 39) != NO_REQUEST);
	fetch_done(&e);
}

/* Silence of one: the others first. */
static void
test_timeouts_then_others(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 2);
	fetch_read(&e, 0, MIB);
	fetch_list(&e, 1, 0, FETCH_BLOCKS);
	fetch_list(&e, 2, 0, FETCH_BLOCKS);
	for (int i = 0; i < 3; i++)
		fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	/* Dropped, with one still out. */
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 1);
	assert_int_equal(fetch_count(&e, 2, ENV_PEER_BLOCK), 4);
	while (fetch_count(&e, 2, ENV_PEER_BLOCK) > 0)
		fetch_good(&e, 2, ANY_BLOCK);
	fetch_good(&e, 1, ANY_BLOCK);
	assert_int_equal(e.x.n_requests, 0);
	assert_int_equal(fetch_peer(&e, 1).view.timeouts, 3);
	assert_int_equal(fetch_peer(&e, 2).view.blocks, 15);
	fetch_done(&e);
}

/* Another user's session. */
static struct session *
other_user(struct fetch_env *e, uint64_t *ret_handle)
{
	static uint8_t room[2 * SCRIPT_AREA_HALF];
	static const uint8_t tag[SESSION_TAG_SIZE] = "tag";
	struct identity who = {.pid = 2, .uid = 2000};
	struct session_slice s = script_slice(&e->x, e->ci, e->ci_len);
	struct session *session;
	uint64_t op;

	memcpy(room, e->x.area, e->ci_len);
	assert_int_equal(session_new(&session, e->x.service, &who,
				 area_new(room, SCRIPT_AREA_HALF,
					 SCRIPT_AREA_HALF, NULL, NULL),
				 &script_session_ops, &e->x),
		CORE_OK);
	assert_int_equal(
		session_content_open(session, tag, ret_handle), CORE_OK);
	op = script_op(&e->x);
	assert_int_equal(session_ci_add(session, op, *ret_handle,
				 (uint32_t)e->ci_len, &s),
		CORE_OK);
	op = script_op(&e->x);
	assert_int_equal(
		session_ci_complete(session, op, *ret_handle), CORE_OK);
	script_settle(&e->x);
	assert_int_equal(fetch_op(e, op)->result.status, CORE_OK);
	return session;
}

/* One user wants forty segments, then another one wants one: his is next, or
 * the one behind that. */
static void
test_two_users(void **state)
{
	struct session *session;
	struct fetch_env e;
	uint64_t h, op, last;
	unsigned n;

	fetch_init(&e, 2, 1);
	session = other_user(&e, &h);
	for (unsigned k = 0; k < 4; k++) {
		op = script_op(&e.x);
		assert_int_equal(session_block_read(e.x.session, op, e.handle,
					 k * (FETCH_LEN / 5), MIB, 5000),
			CORE_OK);
		script_settle(&e.x);
	}
	for (size_t s = 5; s < 20; s++) {
		op = script_op(&e.x);
		assert_int_equal(session_block_read(e.x.session, op, e.handle,
					 e.info->segments[s].start, 1, 5000),
			CORE_OK);
		script_settle(&e.x);
	}
	assert_int_equal(e.x.n_requests, 4);
	last = e.info->segments[e.info->n_segments - 1].start;
	op = script_op(&e.x);
	assert_int_equal(
		session_block_read(session, op, h, last, 100, 5000), CORE_OK);
	script_settle(&e.x);
	assert_int_equal(e.x.n_requests, 4);
	for (n = 0; fetch_op(&e, op)->completions == 0; n++)
		fetch_good(&e, 1, ANY_BLOCK);
	/* The four that were under way, and one of the first user's. */
	assert_in_range(n, 5, 6);
	fetch_check_read(&e, op, last, 100);
	session_free(session, true);
	fetch_done(&e);
}

/* The one that the other wants is among the forty. */
static void
test_two_users_want_the_same(void **state)
{
	struct session *session;
	struct fetch_env e;
	uint64_t h, op, start;
	unsigned n;

	fetch_init(&e, 2, 1);
	session = other_user(&e, &h);
	for (size_t s = 0; s < 30; s++) {
		op = script_op(&e.x);
		start = e.info->segments[s].start;
		assert_int_equal(session_block_read(e.x.session, op, e.handle,
					 start, 1, 5000),
			CORE_OK);
		script_settle(&e.x);
	}
	op = script_op(&e.x);
	assert_int_equal(
		session_block_read(session, op, h, start, 1, 5000), CORE_OK);
	script_settle(&e.x);
	for (n = 0; fetch_op(&e, op)->completions == 0; n++)
		fetch_good(&e, 1, ANY_BLOCK);
	assert_in_range(n, 5, 6);
	fetch_check_read(&e, op, start, 1);
	fetch_all_good(&e);
	session_free(session, true);
	fetch_done(&e);
}

/* All in all, over many peers. */
static void
test_requests_in_all(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 16);
	e.x.settings.max_peers = 32;
	fetch_fixed(&e, 1, 32);
	fetch_stream(&e, MIB);
	for (unsigned p = 1; p <= 32; p++)
		fetch_list(&e, p, 0, FETCH_BLOCKS);
	assert_int_equal(e.x.n_requests, FETCH_BLOCKS);
	fetch_done(&e);
	fetch_init(&e, 2, 16);
	e.x.settings.max_peers = 32;
	fetch_fixed(&e, 1, 32);
	fetch_stream(&e, MIB);
	assert_true(e.info->n_segments > 40);
	assert_true(e.x.n_requests <= 64);
	assert_true(e.x.n_requests >= 40);
	fetch_done(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_fewest_first),
		cmocka_unit_test(test_waited_first),
		cmocka_unit_test(test_timeouts_then_others),
		cmocka_unit_test(test_two_users),
		cmocka_unit_test(test_two_users_want_the_same),
		cmocka_unit_test(test_requests_in_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

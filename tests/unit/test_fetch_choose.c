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
	script_nobody(&e.x);
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

/* So many other hosts ask for the content's only segment. */
static void
asked_by(struct fetch_env *e, unsigned hosts)
{
	struct pccrd_probe probe = {.version = PCCRD_V1, .n_ids = 1};
	struct discover_question q = {.interface = 1, .probe = &probe};
	uint8_t uuid[PCCRD_UUID_SIZE] = {0};

	script_time(&e->x, 2);
	script_settle(&e->x);
	assert_int_equal(e->n_probes, 1);
	memcpy(probe.ids[0].bytes, e->ids[0], PCCRD_ID_SIZE);
	for (unsigned i = 0; i < hosts; i++) {
		uuid[0] = (uint8_t)i;
		pccrd_urn_format(probe.message_id, uuid);
		q.from = fetch_addr(40 + i);
		discover_heard(service_discover(e->x.service), &q);
	}
}

/* Blocks are asked for in the order of the content, so that who reads waits
 * little; in a crowd only what is waited for is, and the rest in any order. */
static void
test_order(void **state)
{
	for (unsigned hosts = 2; hosts <= 3; hosts++) {
		uint32_t last = 0, ordered = 0;
		struct fetch_env e;

		fetch_init(&e, 1, 1);
		fetch_stream(&e, MIB);
		asked_by(&e, hosts);
		fetch_list(&e, 1, 0, FETCH_BLOCKS);
		assert_int_equal(e.x.n_requests, 4);
		assert_int_equal(e.x.requests[0]->block, 0);
		for (size_t i = 1; i < FETCH_BLOCKS; i++) {
			uint32_t block;

			fetch_good(&e, 1, last);
			if (e.x.n_requests == 0)
				break;
			block = e.x.requests[0]->block;
			ordered += block == last + 1;
			last = block;
		}
		if (hosts < 3)
			assert_in_range(ordered, 40, FETCH_BLOCKS - 1);
		else
			assert_in_range(ordered, 0, 20);
		fetch_all_good(&e);
		/* All of it came nevertheless, once. */
		assert_int_equal(service_counters(e.x.service)->peer_blocks,
			FETCH_BLOCKS);
		fetch_done(&e);
	}
}

/* What is waited for is asked for in order in a crowd, too. */
static void
test_order_of_waited(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 1, 1);
	for (uint64_t i = 0; i < 16; i++)
		fetch_read(&e, i * 3 * 65536, 1);
	asked_by(&e, 3);
	for (uint32_t i = 0; i < 16; i++) {
		for (uint32_t k = 0; k < e.x.n_requests; k++)
			assert_true(fetch_find(&e, 1, ENV_PEER_BLOCK,
					    (i + k) * 3) != NO_REQUEST);
		fetch_good(&e, 1, i * 3);
	}
	assert_int_equal(e.x.n_requests, 0);
	fetch_done(&e);
}

/* Silence of one: the others first, and after a few he is left alone. */
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
	/* Nobody waits for the one that was still out. */
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 0);
	assert_int_equal(fetch_count(&e, 2, ENV_PEER_BLOCK), 4);
	while (fetch_count(&e, 2, ENV_PEER_BLOCK) > 0)
		fetch_good(&e, 2, ANY_BLOCK);
	assert_int_equal(e.x.n_requests, 0);
	assert_int_equal(fetch_peer(&e, 1).view.timeouts, 3);
	assert_int_equal(fetch_peer(&e, 2).view.blocks, 16);
	fetch_done(&e);
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
	session = fetch_other_user(&e, &h);
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
	session = fetch_other_user(&e, &h);
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
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_of_waited),
		cmocka_unit_test(test_timeouts_then_others),
		cmocka_unit_test(test_two_users),
		cmocka_unit_test(test_two_users_want_the_same),
		cmocka_unit_test(test_requests_in_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

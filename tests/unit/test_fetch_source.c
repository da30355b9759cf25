/* SPDX-License-Identifier: BSD-2-Clause */
/* Hosts that the branch names. */
#include "tests/unit/fetch_env.h"

#define MIB (1024u * 1024)

/* The Probe leaves a moment after it is wanted. */
static void
probed(struct fetch_env *e, unsigned n)
{
	script_time(&e->x, 2);
	script_settle(&e->x);
	assert_int_equal(e->n_probes, n);
}

/* Version 1: the branch is asked beside the fixed peers. */
static void
test_found(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 1);
	op = fetch_read(&e, 0, 100);
	assert_int_equal(fetch_count(&e, 1, ENV_PEER_BLOCK), 1);
	probed(&e, 1);
	assert_int_equal(e.probe.n_ids, 1);
	assert_int_equal(e.probe.version, PCCRD_V1);
	fetch_found(&e, 7, FETCH_BLOCKS);
	/* It is asked of one at a time. */
	assert_int_equal(e.x.n_requests, 1);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	fetch_good(&e, 7, 0);
	fetch_check_read(&e, op, 0, 100);
	assert_false(fetch_peer(&e, 7).view.fixed);
	assert_true(fetch_peer(&e, 1).view.fixed);
	assert_int_equal(fetch_peer(&e, 7).n, 2);
	fetch_done(&e);
}

/* Nobody fixed: the first answer is used while others may still come. */
static void
test_while_asking(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, 4 * 65536);
	assert_int_equal(e.x.n_requests, 0);
	probed(&e, 1);
	/* Whoever has all of it need not be asked what he has. */
	fetch_found(&e, 7, FETCH_BLOCKS);
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_LIST), 0);
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_BLOCK), 2);
	/* Nor is it worth it for the two blocks that are left. */
	fetch_found(&e, 8, 5);
	assert_int_equal(fetch_count(&e, 8, ENV_PEER_LIST), 0);
	assert_int_equal(fetch_count(&e, 8, ENV_PEER_BLOCK), 2);
	fetch_good(&e, 7, 0);
	fetch_check_read(&e, op, 0, 65536);
	fetch_done(&e);

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, 4 * 65536);
	probed(&e, 1);
	fetch_found(&e, 8, 5);
	assert_int_equal(fetch_count(&e, 8, ENV_PEER_LIST), 1);
	fetch_answer(&e, 8, ENV_PEER_LIST, ENV_PEER_REFUSED);
	/* Others may come until the time is over. */
	fetch_check_pending(&e, op);
	script_time(&e.x, 200);
	script_settle(&e.x);
	fetch_check_pending(&e, op);
	fetch_found(&e, 9, FETCH_BLOCKS);
	fetch_good(&e, 9, 0);
	fetch_check_read(&e, op, 0, 65536);
	fetch_done(&e);
}

/* An answer to a Probe that is over helps the next read. */
static void
test_late_answer(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, 100);
	script_nobody(&e.x);
	fetch_check_missing(&e, op, 0, FETCH_LEN);
	op = fetch_read(&e, 0, 100);
	fetch_check_missing(&e, op, 0, FETCH_LEN);
	fetch_found(&e, 7, FETCH_BLOCKS);
	op = fetch_read(&e, 0, 100);
	fetch_good(&e, 7, 0);
	fetch_check_read(&e, op, 0, 100);
	/* It is known for the other blocks too, without a Probe. */
	op = fetch_read(&e, MIB, 100);
	fetch_good(&e, 7, 16);
	fetch_check_read(&e, op, MIB, 100);
	assert_int_equal(e.n_probes, 2);
	fetch_done(&e);
}

static uint64_t
read_segment(struct fetch_env *e, size_t s)
{
	return fetch_read(e, e->info->segments[s].start, 1);
}

/* Version 2: the second segment is asked of who gave the first one, and only
 * when he does not have it the branch is asked. */
static void
test_friends(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 2, 0);
	op = read_segment(&e, 0);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, 0, 1);
	script_nobody(&e.x);
	e.n_probes = 0;

	op = read_segment(&e, 1);
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_BLOCK), 1);
	fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[1].start, 1);
	script_nobody(&e.x);
	assert_int_equal(e.n_probes, 0);

	op = read_segment(&e, 2);
	fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	fetch_check_pending(&e, op);
	probed(&e, 1);
	fetch_found(&e, 8, UINT32_MAX);
	fetch_good(&e, 8, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[2].start, 1);

	/* Two friends now. */
	op = read_segment(&e, 3);
	assert_int_equal(e.x.n_requests, 1);
	fetch_answer(&e, 0, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	assert_int_equal(e.x.n_requests, 1);
	fetch_good(&e, 0, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[3].start, 1);
	/* Not for ever. */
	script_time(&e.x, 61000);
	script_settle(&e.x);
	e.n_probes = 0;
	op = read_segment(&e, 4);
	assert_int_equal(e.x.n_requests, 0);
	probed(&e, 1);
	fetch_done(&e);
}

/* One that does not have three segments in a row is no friend any more. */
static void
test_friend_no_more(void **state)
{
	struct fetch_env e;

	fetch_init(&e, 2, 0);
	read_segment(&e, 0);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_good(&e, 7, ANY_BLOCK);
	for (size_t s = 1; s <= 3; s++) {
		read_segment(&e, s);
		fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
		script_nobody(&e.x);
	}
	read_segment(&e, 4);
	assert_int_equal(e.x.n_requests, 0);
	fetch_done(&e);
}

/* A friend dies: at his first silence the branch is asked who else there is,
 * and until that is known he is not asked again. */
static void
test_friend_dies(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 2, 0);
	read_segment(&e, 0);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_good(&e, 7, ANY_BLOCK);
	script_nobody(&e.x);
	e.n_probes = 0;

	op = read_segment(&e, 1);
	fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(e.x.n_requests, 0);
	probed(&e, 1);
	fetch_found(&e, 8, UINT32_MAX);
	fetch_good(&e, 8, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[1].start, 1);
	script_nobody(&e.x);

	/* Nobody else has the next one: he may have been busy. */
	op = read_segment(&e, 2);
	fetch_answer(&e, 8, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	fetch_check_pending(&e, op);
	script_nobody(&e.x);
	fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[2].start, 1);
	fetch_done(&e);
}

/* Many requests are on the wire to a host that has died: when three of them
 * were not answered, nobody waits for the others. */
static void
test_silence_of_many(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, MIB);
	probed(&e, 1);
	fetch_found(&e, 7, FETCH_BLOCKS);
	for (int i = 0; i < 4; i++)
		fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, 0, 65536);
	op = fetch_read(&e, 11 * 65536, 100);
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_BLOCK), 6);
	assert_true(fetch_find(&e, 7, ENV_PEER_BLOCK, 11) == NO_REQUEST);
	fetch_found(&e, 8, FETCH_BLOCKS);
	for (int i = 0; i < 3; i++)
		fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_BLOCK), 0);
	assert_true(fetch_peer(&e, 7).view.quarantine_ms > 0);
	while (fetch_count(&e, 8, ENV_PEER_BLOCK) > 0)
		fetch_good(&e, 8, ANY_BLOCK);
	fetch_check_read(&e, op, 11 * 65536, 100);
	assert_int_equal(fetch_peer(&e, 7).view.timeouts, 3);
	assert_int_equal(service_counters(e.x.service)->peer_blocks, 16);
	fetch_done(&e);
}

/* The only one that was found dies long after that: the branch is asked who has
 * it by now. */
static void
test_found_dies_later(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, MIB);
	probed(&e, 1);
	fetch_found(&e, 7, FETCH_BLOCKS);
	fetch_good(&e, 7, 0);
	fetch_check_read(&e, op, 0, 65536);
	op = fetch_read(&e, 15 * 65536, 100);
	script_nobody(&e.x);
	script_time(&e.x, 20000);
	script_settle(&e.x);
	e.n_probes = 0;
	assert_int_equal(fetch_count(&e, 7, ENV_PEER_BLOCK), 3);
	for (int i = 0; i < 3; i++)
		fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(e.x.n_requests, 0);
	fetch_check_pending(&e, op);
	probed(&e, 1);
	fetch_found(&e, 8, FETCH_BLOCKS);
	fetch_good(&e, 8, 15);
	fetch_check_read(&e, op, 15 * 65536, 100);
	fetch_done(&e);
}

/* Also for segments that he was never asked for. */
static void
test_found_dies_for_all(void **state)
{
	struct fetch_env e;
	uint64_t op[3];

	fetch_init(&e, 2, 0);
	for (size_t s = 0; s < 3; s++)
		op[s] = read_segment(&e, s);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	script_nobody(&e.x);
	script_time(&e.x, 20000);
	script_settle(&e.x);
	assert_int_equal(e.x.n_requests, 2);
	for (int i = 0; i < 3; i++)
		fetch_answer(&e, 7, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(e.x.n_requests, 0);
	e.n_probes = 0;
	probed(&e, 1);
	assert_int_equal(e.probe.n_ids, 3);
	fetch_found(&e, 8, UINT32_MAX);
	fetch_all_good(&e);
	for (size_t s = 0; s < 3; s++)
		fetch_check_read(&e, op[s], e.info->segments[s].start, 1);
	fetch_done(&e);
}

/* One in the settings that is switched off holds up few segments, since each
 * costs a reader a time-out; it is tried again after a while. */
static void
test_fixed_is_off(void **state)
{
	struct fetch_env e;
	unsigned asked = 0;
	uint64_t op;

	fetch_init(&e, 2, 2);
	for (size_t s = 0; s < 20; s++) {
		op = read_segment(&e, s);
		while (fetch_count(&e, 2, ENV_PEER_BLOCK) == 0) {
			fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
			script_nobody(&e.x);
			asked++;
		}
		fetch_good(&e, 2, ANY_BLOCK);
		fetch_check_read(&e, op, e.info->segments[s].start, 1);
	}
	assert_in_range(asked, 1, 3);
	fetch_done(&e);
}

/* Friends without the segment do not keep out who has it. */
static void
test_room_for_who_has_it(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 2, 1);
	e.x.settings.max_peers = 1;
	fetch_fixed(&e, 1, 1);
	op = read_segment(&e, 0);
	probed(&e, 1);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, 0, 1);
	fetch_done(&e);
}

/* A lying host is left alone after three strikes, for some time. */
static void
test_strikes(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 2, 1);
	for (size_t s = 0; s < 3; s++) {
		assert_int_equal(fetch_peer(&e, 1).view.quarantine_ms, 0);
		op = read_segment(&e, s);
		fetch_wrong(&e, 1, ANY_BLOCK);
		script_nobody(&e.x);
		assert_int_equal(
			fetch_op(&e, op)->result.status, CORE_E_MISSING_DATA);
	}
	assert_int_equal(fetch_peer(&e, 1).view.bad, 3);
	assert_true(fetch_peer(&e, 1).view.quarantine_ms > 590000);
	read_segment(&e, 3);
	assert_int_equal(e.x.n_requests, 0);
	script_nobody(&e.x);
	/* Forgiven, at any port. */
	{
		struct parse_addr any = fetch_addr(1);

		((struct sockaddr_in *)(void *)&any.ss)->sin_port = 0;
		assert_int_equal(service_forgive_peer(e.x.service, &any), 1);
		any = fetch_addr(9);
		assert_int_equal(service_forgive_peer(e.x.service, &any), 0);
	}
	op = read_segment(&e, 4);
	fetch_good(&e, 1, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[4].start, 1);
	/* The end of a quarantine. */
	for (size_t s = 5; s < 8; s++) {
		read_segment(&e, s);
		fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_BAD);
		script_nobody(&e.x);
	}
	read_segment(&e, 8);
	assert_int_equal(e.x.n_requests, 0);
	script_time(&e.x, 600001);
	script_settle(&e.x);
	op = read_segment(&e, 9);
	fetch_good(&e, 1, ANY_BLOCK);
	fetch_check_read(&e, op, e.info->segments[9].start, 1);
	fetch_done(&e);
}

/* A quarantine begins while others wait for that very peer. */
static void
test_quarantine_of_many(void **state)
{
	struct fetch_env e;
	uint64_t op[3];

	fetch_init(&e, 2, 1);
	e.x.settings.peer_strikes = 1;
	fetch_fixed(&e, 1, 1);
	for (size_t s = 0; s < 3; s++)
		op[s] = read_segment(&e, s);
	script_nobody(&e.x);
	assert_int_equal(e.x.n_requests, 3);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_BAD);
	/* What is on the wire may still be good. */
	fetch_good(&e, 1, ANY_BLOCK);
	fetch_answer(&e, 1, ENV_PEER_BLOCK, ENV_PEER_TIMEOUT);
	assert_int_equal(e.x.n_requests, 0);
	for (size_t s = 0, good = 0; s < 3; s++) {
		assert_int_equal(fetch_op(&e, op[s])->completions, 1);
		good += fetch_op(&e, op[s])->result.status == CORE_OK;
		assert_true(s < 2 || good == 1);
	}
	fetch_done(&e);
}

/* Somebody names a victim's address: the victim refuses a few times, and is
 * asked no more, by no segment. */
static void
test_forged_address(void **state)
{
	static const enum env_peer_status answers[] = {
		ENV_PEER_REFUSED, ENV_PEER_TIMEOUT};

	for (size_t k = 0; k < ARRAY_LEN(answers); k++) {
		unsigned asked = 0;
		struct fetch_env e;

		fetch_init(&e, 2, 0);
		for (size_t s = 0; s < 10; s++) {
			read_segment(&e, s);
			script_time(&e.x, 2);
			script_settle(&e.x);
			fetch_found(&e, 7, UINT32_MAX);
			while (e.x.n_requests > 0) {
				fetch_answer(&e, 7, ENV_PEER_BLOCK, answers[k]);
				asked++;
			}
			script_nobody(&e.x);
		}
		assert_int_equal(asked, 3);
		assert_true(fetch_peer(&e, 7).view.quarantine_ms > 0);
		assert_int_equal(fetch_peer(&e, 7).view.strikes, 0);
		fetch_done(&e);
	}
}

/* The branch falls silent when its mode is left. */
static void
test_mode_left_while_asking(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, 100);
	probed(&e, 1);
	fetch_check_pending(&e, op);
	e.x.settings.policy.mode = MODE_LOCAL;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	script_settle(&e.x);
	fetch_check_missing(&e, op, 0, FETCH_LEN);
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	fetch_done(&e);
}

/* Hosts that were found are not asked in a mode that has no branch. */
static void
test_found_and_mode_left(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 2, 0);
	op = read_segment(&e, 0);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_good(&e, 7, ANY_BLOCK);
	fetch_check_read(&e, op, 0, 1);
	e.x.settings.policy.mode = MODE_HOSTED_CLIENT;
	assert_int_equal(service_configure(e.x.service, &e.x.settings), 0);
	op = read_segment(&e, 1);
	assert_int_equal(e.x.n_requests, 0);
	assert_int_equal(fetch_op(&e, op)->result.status, CORE_E_MISSING_DATA);
	fetch_done(&e);
}

static unsigned n_matches;

static void
count_match(struct script *x, const struct env_match *match)
{
	n_matches++;
}

/* Whether another host that asks for the first segment gets an answer. */
static bool
answers(struct fetch_env *e)
{
	struct pccrd_probe probe = {
		.message_id = "urn:uuid:00000000-0000-4000-8000-000000000001",
		.version = PCCRD_V1,
		.n_ids = 1,
	};
	struct discover_question q = {
		.from = fetch_addr(20), .interface = 1, .probe = &probe};

	n_matches = 0;
	e->x.on_match = count_match;
	memcpy(probe.ids[0].bytes, e->ids[0], PCCRD_ID_SIZE);
	discover_heard(service_discover(e->x.service), &q);
	for (int i = 0; i < 5; i++) {
		script_time(&e->x, 100);
		script_settle(&e->x);
	}
	return n_matches > 0;
}

/* With two hosts that have it enough have it; but only of what was obtained
 * from others wholly that is known. */
static void
check_obtained(int version, uint32_t quorum, bool whole, bool want)
{
	struct fetch_env e;

	fetch_init(&e, version, 0);
	e.x.settings.quorum = quorum;
	e.x.settings.quorum_forget_ms = 1000000;
	e.x.settings.backoff_max_ms = 65;
	e.x.settings.uploads = 4;
	fetch_fixed(&e, 1, 0);
	if (whole)
		fetch_stream(&e, MIB);
	else
		fetch_read(&e, 0, 100);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_found(&e, 8, UINT32_MAX);
	fetch_all_good(&e);
	script_nobody(&e.x);
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	assert_true(answers(&e) == want);
	fetch_done(&e);
}

static void
test_obtained(void **state)
{
	check_obtained(2, 0, false, true);
	check_obtained(2, 2, false, false);
	check_obtained(2, 3, false, true);
	check_obtained(1, 2, true, false);
	check_obtained(1, 2, false, true);
}

/* The application has the rest from the origin. */
static void
add_blocks(struct fetch_env *e, size_t first, size_t n)
{
	struct session_slice s;
	uint64_t op;

	for (size_t i = first; i < first + n; i++) {
		size_t at = i * 65536, len = MIN_OF(65536, FETCH_LEN - at);

		s = script_slice(&e->x, e->data + at, len);
		op = script_op(&e->x);
		assert_int_equal(session_data_add(e->x.session, op, e->handle,
					 at, (uint32_t)len, &s),
			CORE_OK);
		script_settle(&e->x);
		assert_int_equal(fetch_op(e, op)->result.status, CORE_OK);
	}
}

/* Of version 1, so many blocks came from others (and the rest not, after a
 * while). */
static void
check_last_added(uint32_t blocks, uint64_t wait_ms, bool want)
{
	struct fetch_env e;
	uint32_t got = 0;

	fetch_init(&e, 1, 0);
	e.x.settings.quorum = 2;
	e.x.settings.quorum_forget_ms = 1000000;
	e.x.settings.backoff_max_ms = 65;
	e.x.settings.uploads = 4;
	fetch_fixed(&e, 1, 0);
	fetch_read(&e, 0, 3 * 65536);
	probed(&e, 1);
	fetch_found(&e, 7, UINT32_MAX);
	fetch_found(&e, 8, UINT32_MAX);
	while (e.x.n_requests > 0)
		if (got < blocks) {
			got++;
			fetch_good(&e, 0, ANY_BLOCK);
		} else {
			fetch_answer(&e, 0, ENV_PEER_BLOCK, ENV_PEER_EMPTY);
		}
	assert_int_equal(got, blocks);
	script_nobody(&e.x);
	script_time(&e.x, wait_ms);
	script_settle(&e.x);
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	add_blocks(&e, 0, FETCH_BLOCKS - 1);
	assert_true(answers(&e));
	add_blocks(&e, FETCH_BLOCKS - 1, 1);
	/* As another host's question. */
	script_time(&e.x, 10000);
	assert_true(answers(&e) == want);
	fetch_done(&e);
}

/* The last block came by another way: enough have it nevertheless, unless
 * nothing came from them, or that was long ago. */
static void
test_last_added(void **state)
{
	check_last_added(3, 1000, false);
	check_last_added(1, 1000, false);
	check_last_added(0, 1000, true);
	check_last_added(3, 65000, true);
}

/* One user asks for very much; another one, who wants some of that and nothing
 * else, does not wait until all of it was asked for. */
static void
test_asked_for_another(void **state)
{
	uint8_t id[PCCRD_ID_SIZE] = {0};
	struct session *session;
	struct fetch_env e;
	uint64_t h, op;

	fetch_init(&e, 2, 0);
	session = fetch_other_user(&e, &h);
	for (unsigned i = 0; i < 900; i++) {
		memcpy(id, &i, sizeof(i));
		assert_int_equal(
			discover_want(service_discover(e.x.service), id, 2,
				e.x.session->identity.uid, NULL),
			DISCOVER_ASKING);
	}
	for (size_t s = 0; s < 3; s++)
		read_segment(&e, s);
	op = script_op(&e.x);
	assert_int_equal(session_block_read(session, op, h,
				 e.info->segments[1].start, 1, 60000),
		CORE_OK);
	script_settle(&e.x);
	for (int k = 0; k < 45; k++) {
		script_time(&e.x, 10);
		script_settle(&e.x);
	}
	assert_int_equal(fetch_op(&e, op)->result.status, CORE_E_MISSING_DATA);
	session_free(session, true);
	fetch_done(&e);
}

/* A cancelled reader leaves the branch alone, too. */
static void
test_cancel_while_asking(void **state)
{
	struct fetch_env e;
	uint64_t op;

	fetch_init(&e, 1, 0);
	op = fetch_read(&e, 0, 100);
	assert_int_equal(
		session_client_cancel(e.x.session, e.handle, op), CORE_OK);
	assert_int_equal(service_counters(e.x.service)->fetches_running, 0);
	script_nobody(&e.x);
	assert_int_equal(e.n_probes, 0);
	fetch_done(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_while_asking),
		cmocka_unit_test(test_late_answer),
		cmocka_unit_test(test_friends),
		cmocka_unit_test(test_friend_no_more),
		cmocka_unit_test(test_friend_dies),
		cmocka_unit_test(test_silence_of_many),
		cmocka_unit_test(test_found_dies_later),
		cmocka_unit_test(test_found_dies_for_all),
		cmocka_unit_test(test_fixed_is_off),
		cmocka_unit_test(test_room_for_who_has_it),
		cmocka_unit_test(test_strikes),
		cmocka_unit_test(test_quarantine_of_many),
		cmocka_unit_test(test_forged_address),
		cmocka_unit_test(test_mode_left_while_asking),
		cmocka_unit_test(test_found_and_mode_left),
		cmocka_unit_test(test_obtained),
		cmocka_unit_test(test_last_added),
		cmocka_unit_test(test_asked_for_another),
		cmocka_unit_test(test_cancel_while_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

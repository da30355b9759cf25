/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readers of two users, peers, jobs, the clock and the settings, all at random.
 * Whatever happens: one completion for each operation, only right bytes, ranges
 * that follow each other, and nothing left behind.  In every second round the
 * readers have all the time in the world: what they wait for must end by
 * itself.
 *
 * SEED=n plays one round; SOAK=1 twenty times as many.
 */
#include "tests/unit/fetch_env.h"

#define ROUNDS 120u
#define EVENTS 300u
#define PEERS  6u

struct reading {
	uint64_t op;
	uint64_t offset;
	bool stream;
	bool cancelled;
	bool others; /* the other user's */
	bool gone;   /* its session was closed under it */
	bool counted;
};

struct play {
	struct fetch_env e;
	struct session *other;
	uint64_t other_handle;
	uint32_t patience_ms;
	size_t n;
	struct reading reads[SCRIPT_OPS_MAX / 2];
};

static unsigned playing; /* the seed, for whoever sees it fail */

static unsigned
below(unsigned n)
{
	return (unsigned)random() % n;
}

static void
read_something(struct play *p)
{
	static const uint32_t lens[] = {1, 100, 65536, 300000, 1 << 20};
	struct reading *r;

	if (p->n == ARRAY_LEN(p->reads))
		return;
	r = &p->reads[p->n++];
	*r = (struct reading){
		.op = script_op(&p->e.x),
		.stream = below(3) == 0,
		.offset = below(FETCH_LEN),
	};
	if (r->stream)
		assert_int_equal(
			session_stream_read(p->e.x.session, r->op, p->e.handle,
				lens[below(5)], 1 + below(p->patience_ms)),
			CORE_OK);
	else
		assert_int_equal(session_block_read(p->e.x.session, r->op,
					 p->e.handle, r->offset, lens[below(5)],
					 1 + below(p->patience_ms)),
			CORE_OK);
}

static void
read_for_other(struct play *p)
{
	struct reading *r;

	if (p->n == ARRAY_LEN(p->reads))
		return;
	r = &p->reads[p->n++];
	*r = (struct reading){
		.op = script_op(&p->e.x),
		.offset = below(FETCH_LEN),
		.others = true,
	};
	assert_int_equal(
		session_block_read(p->other, r->op, p->other_handle, r->offset,
			1 + below(4000), 1 + below(p->patience_ms)),
		CORE_OK);
}

/* The other user leaves in the middle, and comes again. */
static void
replace_other(struct play *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->reads[i].others &&
			fetch_op(&p->e, p->reads[i].op)->completions == 0)
			p->reads[i].gone = true;
	session_free(p->other, true);
	p->other = fetch_other_user(&p->e, &p->other_handle);
}

static void
cancel_something(struct play *p)
{
	struct reading *r;

	if (p->n == 0)
		return;
	r = &p->reads[below((unsigned)p->n)];
	if (session_client_cancel(p->e.x.session, p->e.handle, r->op) ==
		CORE_OK)
		r->cancelled = true;
}

static void
answer_something(struct play *p)
{
	struct script *x = &p->e.x;
	struct env_peer_request *r;
	size_t i;

	if (x->n_requests == 0)
		return;
	i = below((unsigned)x->n_requests);
	r = x->requests[i];
	switch (below(12)) {
	case 0:
		script_answer(x, i, ENV_PEER_EMPTY);
		break;
	case 1:
		script_answer(x, i, ENV_PEER_TIMEOUT);
		break;
	case 2:
		script_answer(x, i, ENV_PEER_REFUSED);
		break;
	case 3:
		script_answer(x, i, ENV_PEER_UNSUPPORTED);
		break;
	case 4:
		script_answer(x, i, ENV_PEER_BAD);
		break;
	case 5:
		if (r->kind == ENV_PEER_LIST) {
			for (int k = 0; k < 8; k++)
				r->held.words[k] =
					r->asked.words[k] & (uint64_t)random();
			script_answer(x, i, ENV_PEER_OK);
			break;
		}
		/* Bytes that nobody wants. */
		r->memory = calloc(1, 4096);
		r->data = r->memory;
		r->data_len = 4096;
		r->algo = PCCRR_AES128;
		script_answer(x, i, ENV_PEER_OK);
		break;
	default:
		script_answer_good(x, i, p->e.data, FETCH_LEN, p->e.info);
	}
}

/* A request that was given up: its answer was on the way, or not. */
static void
give_back_something(struct play *p)
{
	struct script *x = &p->e.x;
	struct env_peer_request *r;

	if (x->n_cancelled == 0)
		return;
	r = x->cancelled[--x->n_cancelled];
	if (below(2) == 0) {
		r->status = ENV_PEER_REFUSED;
		r->done(r);
		return;
	}
	x->requests[x->n_requests++] = r;
	script_answer_good(
		x, x->n_requests - 1, p->e.data, FETCH_LEN, p->e.info);
}

static void
change_settings(struct play *p)
{
	static const enum service_mode modes[] = {MODE_DISTRIBUTED,
		MODE_DISTRIBUTED, MODE_LOCAL, MODE_HOSTED_CLIENT};

	p->e.x.settings.policy.mode = modes[below(ARRAY_LEN(modes))];
	p->e.x.settings.max_peers = 1 + below(6);
	fetch_fixed(&p->e, 1 + below(PEERS), below(3));
}

static void
add_something(struct play *p)
{
	uint32_t at = below(FETCH_LEN), len = MIN_OF(300000, FETCH_LEN - at);
	struct session_slice s;

	if (p->n == ARRAY_LEN(p->reads))
		return;
	s = script_slice(&p->e.x, p->e.data + at, len);
	p->reads[p->n] = (struct reading){.op = script_op(&p->e.x)};
	p->reads[p->n].counted = true;
	assert_int_equal(session_data_add(p->e.x.session, p->reads[p->n].op,
				 p->e.handle, at, len, &s),
		CORE_OK);
	p->n++;
	/* The slice lies where the next one will. */
	script_settle(&p->e.x);
}

static void
happen(struct play *p)
{
	struct script *x = &p->e.x;

	switch (below(42)) {
	case 0:
	case 1:
		read_something(p);
		break;
	case 40:
		read_for_other(p);
		break;
	case 41:
		if (below(16) == 0)
			replace_other(p);
		break;
	case 2:
		cancel_something(p);
		break;
	case 3:
	case 4:
		script_time(x, below(10));
		break;
	case 5:
		script_time(x, below(400));
		break;
	case 6:
		if (p->e.n_probes > 0)
			fetch_found(&p->e, 1 + below(PEERS), 1 + below(60));
		break;
	case 7:
		if (below(4) == 0)
			change_settings(p);
		break;
	case 8:
		if (below(8) == 0)
			add_something(p);
		break;
	case 9:
		script_return(x);
		break;
	case 10:
		give_back_something(p);
		break;
	default:
		if (x->n_jobs > 0 && below(2) == 0)
			script_job(x, below((unsigned)x->n_jobs));
		else
			answer_something(p);
	}
}

static void
check_range(struct play *p, const struct reading *r, uint64_t *at)
{
	const struct op_result *res = &fetch_op(&p->e, r->op)->result;

	assert_true(res->offset + res->bytes <= FETCH_LEN);
	assert_true(res->bytes > 0);
	if (r->stream) {
		assert_int_equal(res->offset, *at);
		*at += res->bytes;
	} else {
		assert_true(res->offset <= r->offset);
		assert_true(res->offset + res->bytes > r->offset);
	}
}

static void
check_all(struct play *p)
{
	uint64_t at = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct reading *r = &p->reads[i];
		struct script_op *op = fetch_op(&p->e, r->op);

		if (r->gone)
			continue;
		assert_int_equal(op->acks, 1);
		assert_int_equal(op->completions, 1);
		if (r->counted)
			continue;
		assert_true(
			(op->result.status == CORE_E_ABORTED) == r->cancelled);
		switch (op->result.status) {
		case CORE_OK:
			check_range(p, r, &at);
			assert_memory_equal(op->data,
				p->e.data + op->result.offset,
				op->result.bytes);
			break;
		case CORE_E_MISSING_DATA:
		case CORE_E_TIMEOUT:
			check_range(p, r, &at);
			break;
		case CORE_E_NO_MORE:
			assert_int_equal(at, FETCH_LEN);
			break;
		default:
			assert_int_equal(op->result.status, CORE_E_ABORTED);
		}
	}
}

/* Who is still asked for something does not give it. */
static void
refuse_all(struct play *p)
{
	struct script *x = &p->e.x;

	while (x->n_requests > 0) {
		script_answer(x, below((unsigned)x->n_requests),
			below(3) ? ENV_PEER_EMPTY : ENV_PEER_TIMEOUT);
		if (below(2) == 0)
			script_settle(x);
	}
}

static void
check_seed(unsigned seed)
{
	struct play *p = calloc(1, sizeof(*p));
	struct script *x = &p->e.x;

	playing = seed;
	srandom(seed);
	p->patience_ms = seed / 6 % 2 ? 3000 : 1000000;
	fetch_init(&p->e, 1 + (int)(seed & 1), seed / 2 % 3);
	p->other = fetch_other_user(&p->e, &p->other_handle);
	for (unsigned i = 0; i < EVENTS; i++)
		happen(p);
	/* All timers of reads, and what they lead to; or what ends otherwise,
	 * after one time more that the branch was asked. */
	for (unsigned i = 0; i < 2 * ARRAY_LEN(p->reads); i++) {
		script_return(x);
		script_settle(x);
		if (p->patience_ms > 3000)
			refuse_all(p);
		script_settle(x);
		script_time(x, p->patience_ms > 3000 ? 350 : 3100);
		script_settle(x);
	}
	check_all(p);
	session_free(p->other, true);
	assert_int_equal(
		session_content_close(x->session, p->e.handle), CORE_OK);
	script_settle(x);
	assert_int_equal(service_counters(x->service)->fetches_running, 0);
	assert_int_equal(x->n_requests, 0);
	for (unsigned i = 1; i <= PEERS; i++)
		assert_int_equal(fetch_peer(&p->e, i).view.in_flight, 0);
	fetch_done(&p->e);
	free(p);
	playing = 0;
}

static int
tell_seed(void **state)
{
	if (playing != 0)
		print_error("SEED=%u\n", playing);
	return 0;
}

static void
test_random(void **state)
{
	const char *one = getenv("SEED");
	unsigned n = ROUNDS * (getenv("SOAK") != NULL ? 20 : 1);

	if (one != NULL) {
		check_seed((unsigned)atoi(one));
		return;
	}
	for (unsigned seed = 1; seed <= n; seed++)
		check_seed(seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random, tell_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads, adds and missing ranges, one after the other. */
#include "tests/unit/core_env.h"

#define LEN (3u * 1024 * 1024 + 12345)

static uint8_t *data;
static uint8_t *ci[3];
static size_t ci_len[3];

static int
setup(void **state)
{
	data = script_content(LEN);
	for (int v = 1; v <= 2; v++)
		ci[v] = script_information(data, LEN, v, 0, 0, &ci_len[v]);
	return 0;
}

static int
teardown(void **state)
{
	free(data);
	free(ci[1]);
	free(ci[2]);
	return 0;
}

static struct script_op *
read_block(struct script *x, uint64_t h, uint64_t offset, uint32_t len,
	uint32_t timeout)
{
	uint64_t op = script_op(x);

	assert_int_equal(
		session_block_read(x->session, op, h, offset, len, timeout),
		CORE_OK);
	script_settle(x);
	return script_op_of(x, op);
}

static struct script_op *
read_stream(struct script *x, uint64_t h, uint32_t len, uint32_t timeout)
{
	uint64_t op = script_op(x);

	assert_int_equal(
		session_stream_read(x->session, op, h, len, timeout), CORE_OK);
	script_settle(x);
	return script_op_of(x, op);
}

static struct script_op *
add_data(struct script *x, uint64_t h, uint64_t offset, const uint8_t *bytes,
	uint32_t len)
{
	struct session_slice s;
	uint64_t op = script_op(x);
	uint32_t done = MIN_OF(len, 1024u * 1024);

	s = script_slice(x, bytes, done);
	assert_int_equal(
		session_data_add(x->session, op, h, offset, len, &s), CORE_OK);
	script_settle(x);
	while (script_op_of(x, op)->completions == 0) {
		uint32_t n = MIN_OF(len - done, 1024u * 1024);

		assert_true(n > 0);
		s = script_slice(x, bytes + done, n);
		assert_int_equal(session_feed(x->session, op, &s), CORE_OK);
		script_settle(x);
		done += n;
	}
	return script_op_of(x, op);
}

static void
read_everything(struct script *x, uint64_t h)
{
	uint64_t at = 0;

	while (at < LEN) {
		struct script_op *op = read_stream(x, h, 700000, 0);

		assert_int_equal(op->result.status, CORE_OK);
		assert_true(op->result.bytes > 0);
		assert_int_equal(op->result.offset, at);
		assert_memory_equal(op->data, data + at, op->result.bytes);
		at += op->result.bytes;
		script_return(x);
	}
	assert_int_equal(at, LEN);
	assert_int_equal(
		read_stream(x, h, 10, 0)->result.status, CORE_E_NO_MORE);
}

static void
check_missing_add_read(int version)
{
	struct script x;
	struct script_op *op;
	uint64_t h, at;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[version], ci_len[version]);
	op = read_block(&x, h, 0, 100000, 0);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(op->result.offset, 0);
	assert_true(op->result.bytes >= 100000);
	/* What a stream read reports moves its cursor. */
	for (at = 0; at < LEN; at += op->result.bytes) {
		op = read_stream(&x, h, 300000, 5000);
		assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
		assert_int_equal(op->result.offset, at);
	}
	assert_int_equal(at, LEN);
	script_done(&x);

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[version], ci_len[version]);
	op = add_data(&x, h, 0, data, LEN);
	assert_int_equal(op->result.status, CORE_OK);
	assert_int_equal(op->result.bytes, LEN);
	assert_int_equal(x.n_released, 4 + (ci_len[version] > 4096));
	op = read_block(&x, h, 0, 0, 0);
	assert_int_equal(op->result.bytes, LEN);
	read_everything(&x, h);
	script_done(&x);
}

static void
test_v1(void **state)
{
	check_missing_add_read(1);
}

static void
test_v2(void **state)
{
	check_missing_add_read(2);
}

static void
test_odd_pieces(void **state)
{
	static const uint32_t steps[] = {1, 65535, 65537, 7, 300001, 131072};

	for (int v = 1; v <= 2; v++) {
		struct script x;
		uint64_t h, at = 0;

		script_init(&x, MODE_LOCAL);
		h = script_open(&x, ci[v], ci_len[v]);
		for (unsigned i = 0; at < LEN; i++) {
			uint32_t n =
				MIN_OF(steps[i % ARRAY_LEN(steps)], LEN - at);

			assert_int_equal(add_data(&x, h, at, data + at, n)
						 ->result.status,
				CORE_OK);
			at += n;
		}
		read_everything(&x, h);
		script_done(&x);
	}
}

static void
test_wrong_data(void **state)
{
	for (int v = 1; v <= 2; v++) {
		uint8_t *bad = malloc(LEN);
		struct script x;
		uint64_t h;

		memcpy(bad, data, LEN);
		bad[1024 * 1024 + 5] ^= 1;
		script_init(&x, MODE_LOCAL);
		h = script_open(&x, ci[v], ci_len[v]);
		assert_int_equal(add_data(&x, h, 0, bad, LEN)->result.status,
			CORE_E_BAD_DATA);
		/* The good part is kept. */
		assert_int_equal(
			read_block(&x, h, 0, 1000, 0)->result.status, CORE_OK);
		assert_int_equal(read_block(&x, h, 1024 * 1024 + 5, 10, 0)
					 ->result.status,
			CORE_E_MISSING_DATA);
		assert_int_equal(
			read_block(&x, h, LEN - 1, 1, 0)->result.status,
			CORE_OK);
		script_done(&x);
		free(bad);
	}
}

static void
test_bounds(void **state)
{
	struct script x;
	uint64_t h;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[1], ci_len[1]);
	assert_int_equal(
		read_block(&x, h, LEN, 1, 0)->result.status, CORE_E_NO_MORE);
	assert_int_equal(add_data(&x, h, LEN, data, 10)->result.status,
		CORE_E_OUT_OF_BOUNDS);
	assert_int_equal(
		add_data(&x, h, LEN - 10, data + LEN - 10, 10)->result.status,
		CORE_OK);
	script_done(&x);
}

static void
check_range(int version)
{
	const uint64_t from = 70000, n = 200000;
	struct script_op *op;
	struct script x;
	uint8_t *info;
	size_t len;
	uint64_t h;

	info = script_information(data, LEN, version, from, n, &len);
	script_init(&x, MODE_LOCAL);
	h = script_open(&x, info, len);
	assert_int_equal(read_block(&x, h, from - 1, 1, 0)->result.status,
		CORE_E_NO_MORE);
	assert_int_equal(read_block(&x, h, from + n, 1, 0)->result.status,
		CORE_E_NO_MORE);
	op = read_stream(&x, h, 400000, 1000);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(op->result.offset, from);
	assert_int_equal(op->result.bytes, n);
	/* More than the range is accepted, and makes its edges verifiable. */
	assert_int_equal(
		add_data(&x, h, 0, data, 600000)->result.status, CORE_OK);
	op = read_block(&x, h, from, 0, 0);
	assert_int_equal(op->result.bytes, n);
	op = read_block(&x, h, from, 300000, 0);
	assert_int_equal(op->result.bytes, n);
	assert_memory_equal(op->data, data + from, n);
	script_done(&x);
	free(info);
}

static void
test_range(void **state)
{
	check_range(1);
	check_range(2);
}

static void
check_peer(int version)
{
	struct pccrc_info *info;
	struct script_op *op;
	struct script x;
	uint64_t h, id;

	script_init(&x, MODE_DISTRIBUTED);
	assert_int_equal(
		pccrc_parse(ci[version], ci_len[version], x.bulk, &info), 0);
	h = script_open(&x, ci[version], ci_len[version]);
	id = script_op(&x);
	assert_int_equal(
		session_block_read(x.session, id, h, 5, 100, 5000), CORE_OK);
	script_settle(&x);
	op = script_op_of(&x, id);
	assert_int_equal(op->completions, 0);
	assert_true(x.n_requests >= 1);
	script_answer_good(&x, 0, data, LEN, info);
	script_settle(&x);
	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.status, CORE_OK);
	assert_memory_equal(op->data, data + 5, 100);
	/* Silence: the reader's own timer ends it. */
	id = script_op(&x);
	assert_int_equal(session_block_read(x.session, id, h, 2000000, 100,
				 SESSION_TIMEOUT_DEFAULT),
		CORE_OK);
	script_settle(&x);
	script_time(&x, 5000);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, id)->completions, 0);
	script_time(&x, 2);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, id)->completions, 1);
	assert_int_equal(script_op_of(&x, id)->result.status, CORE_E_TIMEOUT);
	script_settle(&x);
	assert_int_equal(x.n_requests, 0);
	pccrc_info_unref(info);
	script_done(&x);
}

static void
test_peer(void **state)
{
	check_peer(1);
	check_peer(2);
}

static void
test_peer_answers(void **state)
{
	static const enum env_peer_status answers[] = {
		ENV_PEER_EMPTY, ENV_PEER_REFUSED, ENV_PEER_BAD};

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct script_op *op;
		struct script x;
		uint64_t h, id;

		script_init(&x, MODE_DISTRIBUTED);
		h = script_open(&x, ci[1], ci_len[1]);
		id = script_op(&x);
		assert_int_equal(
			session_block_read(x.session, id, h, 70000, 100, 5000),
			CORE_OK);
		script_settle(&x);
		assert_int_equal(x.n_requests, 1);
		script_answer(&x, 0, answers[i]);
		script_nobody(&x);
		op = script_op_of(&x, id);
		assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
		assert_int_equal(op->result.offset, 65536);
		assert_int_equal(op->result.bytes, 65536);
		script_done(&x);
	}
}

static void
test_peer_lies(void **state)
{
	struct pccrc_info *info;
	struct script x;
	uint64_t h, id;
	uint8_t *lie = malloc(LEN);

	memcpy(lie, data, LEN);
	lie[9] ^= 4;
	script_init(&x, MODE_DISTRIBUTED);
	assert_int_equal(pccrc_parse(ci[1], ci_len[1], x.bulk, &info), 0);
	h = script_open(&x, ci[1], ci_len[1]);
	id = script_op(&x);
	assert_int_equal(
		session_block_read(x.session, id, h, 0, 100, 5000), CORE_OK);
	script_settle(&x);
	script_answer_good(&x, 0, lie, LEN, info);
	script_settle(&x);
	script_nobody(&x);
	assert_int_equal(
		script_op_of(&x, id)->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(service_counters(x.service)->peer_bad, 1);
	pccrc_info_unref(info);
	script_done(&x);
	free(lie);
}

static void
test_one_fetch_many_readers(void **state)
{
	struct pccrc_info *info;
	struct script x;
	uint64_t h, ids[20];

	script_init(&x, MODE_DISTRIBUTED);
	assert_int_equal(pccrc_parse(ci[1], ci_len[1], x.bulk, &info), 0);
	h = script_open(&x, ci[1], ci_len[1]);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		ids[i] = script_op(&x);
		assert_int_equal(
			session_block_read(x.session, ids[i], h, i, 100, 5000),
			CORE_OK);
	}
	script_settle(&x);
	assert_int_equal(x.n_requests, 1);
	assert_int_equal(session_client_cancel(x.session, h, ids[3]), CORE_OK);
	assert_int_equal(session_client_cancel(x.session, h, ids[3]),
		CORE_E_OPERATION_NOT_FOUND);
	script_answer_good(&x, 0, data, LEN, info);
	script_settle(&x);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		struct script_op *op = script_op_of(&x, ids[i]);

		assert_int_equal(op->completions, 1);
		assert_int_equal(
			op->result.status, i == 3 ? CORE_E_ABORTED : CORE_OK);
	}
	pccrc_info_unref(info);
	script_done(&x);
}

/* A read waits for a silent peer while an add brings the block. */
static void
test_add_wakes_reader(void **state)
{
	for (int v = 1; v <= 2; v++) {
		struct script_op *op;
		struct script x;
		uint64_t h, id;

		script_init(&x, MODE_DISTRIBUTED);
		h = script_open(&x, ci[v], ci_len[v]);
		id = script_op(&x);
		assert_int_equal(
			session_block_read(x.session, id, h, 9, 100, 5000),
			CORE_OK);
		script_settle(&x);
		op = script_op_of(&x, id);
		assert_int_equal(op->completions, 0);
		assert_int_equal(
			add_data(&x, h, 0, data, 400000)->result.status,
			CORE_OK);
		assert_int_equal(op->completions, 1);
		assert_int_equal(op->result.status, CORE_OK);
		assert_memory_equal(op->data, data + 9, 100);
		script_done(&x);
	}
}

static void
test_read_half_full(void **state)
{
	struct script x;
	uint64_t h, ids[8];

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[1], ci_len[1]);
	assert_int_equal(add_data(&x, h, 0, data, LEN)->result.status, CORE_OK);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		ids[i] = script_op(&x);
		assert_int_equal(session_block_read(x.session, ids[i], h, i,
					 1024 * 1024, 0),
			CORE_OK);
	}
	script_settle(&x);
	assert_int_equal(x.n_ranges, 4);
	while (x.n_ranges > 0) {
		script_return(&x);
		script_settle(&x);
	}
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		struct script_op *op = script_op_of(&x, ids[i]);

		assert_int_equal(op->completions, 1);
		assert_int_equal(op->result.status, CORE_OK);
		assert_memory_equal(op->data, data + i, op->result.bytes);
	}
	script_done(&x);
}

/* A true segment with a forged list: who forged it reads his own bytes, nobody
 * else does. */
static void
test_forged_list(void **state)
{
	const uint64_t n = 65536;
	struct script_op *op;
	struct script x;
	uint8_t *info, *lie = malloc(n);
	struct bulk_hash_job job = {lie, n, NULL};
	uint64_t good, bad;
	size_t len;

	memcpy(lie, data, n);
	lie[0] ^= 1;
	info = script_information(data, LEN, 1, 0, n, &len);
	script_init(&x, MODE_LOCAL);
	good = script_open(&x, ci[1], ci_len[1]);
	/* One segment, one listed block: its hash is the last 32 bytes. */
	job.digest = info + len - 32;
	assert_int_equal(bulk_hash(x.bulk, BULK_SHA256, &job, 1), 0);
	bad = script_open(&x, info, len);
	assert_int_equal(add_data(&x, bad, 0, lie, n)->result.status, CORE_OK);
	op = read_block(&x, bad, 0, 100, 0);
	assert_int_equal(op->result.status, CORE_OK);
	assert_memory_equal(op->data, lie, 100);
	assert_int_equal(read_block(&x, good, 0, 100, 0)->result.status,
		CORE_E_MISSING_DATA);
	assert_int_equal(
		add_data(&x, good, 0, data, n)->result.status, CORE_OK);
	op = read_block(&x, good, 0, 100, 0);
	assert_memory_equal(op->data, data, 100);
	op = read_block(&x, bad, 0, 100, 0);
	assert_memory_equal(op->data, lie, 100);
	script_done(&x);
	free(info);
	free(lie);
}

static void
test_flush(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "tag", other[16] = "other";
	struct script x;
	uint64_t h, id;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[1], ci_len[1]);
	assert_int_equal(add_data(&x, h, 0, data, LEN)->result.status, CORE_OK);
	id = script_op(&x);
	assert_int_equal(session_flush(x.session, id, other), CORE_OK);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, id)->result.status, CORE_OK);
	assert_int_equal(read_block(&x, h, 0, 10, 0)->result.status, CORE_OK);
	id = script_op(&x);
	assert_int_equal(session_flush(x.session, id, tag), CORE_OK);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, id)->completions, 1);
	assert_int_equal(read_block(&x, h, 0, 10, 0)->result.status,
		CORE_E_MISSING_DATA);
	script_done(&x);
}

static void
test_malformed(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "t";
	static const struct {
		size_t len;
		uint8_t at, value;
		enum core_result want;
	} rows[] = {
		{100, 0, 0, CORE_E_CI_MALFORMED}, /* cut off */
		{0, 1, 9, CORE_E_CI_VERSION},
		{0, 3, 9, CORE_E_CI_MALFORMED}, /* hash algorithm */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = rows[i].len != 0 ? rows[i].len : ci_len[1];
		uint8_t *bad = malloc(len);
		uint64_t h, add, end;
		struct session_slice s;
		struct script x;

		memcpy(bad, ci[1], len);
		if (rows[i].at != 0)
			bad[rows[i].at] = rows[i].value;
		script_init(&x, MODE_LOCAL);
		assert_int_equal(
			session_content_open(x.session, tag, &h), CORE_OK);
		s = script_slice(&x, bad, len);
		add = script_op(&x);
		end = script_op(&x);
		assert_int_equal(
			session_ci_add(x.session, add, h, (uint32_t)len, &s),
			CORE_OK);
		script_settle(&x);
		if (script_op_of(&x, add)->result.status == CORE_OK) {
			assert_int_equal(session_ci_complete(x.session, end, h),
				CORE_OK);
			script_settle(&x);
			assert_int_equal(script_op_of(&x, end)->result.status,
				rows[i].want);
		} else {
			assert_int_equal(script_op_of(&x, add)->result.status,
				rows[i].want);
		}
		/* The same answer to all, and closing helps. */
		assert_int_equal(session_block_read(
					 x.session, script_op(&x), h, 0, 1, 0),
			rows[i].want);
		assert_int_equal(session_content_close(x.session, h), CORE_OK);
		script_done(&x);
		free(bad);
	}
}

/* An add of content information that is cancelled half way leaves nothing. */
static void
test_cancelled_information(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "t";
	struct session_slice s;
	struct script x;
	uint64_t h, half, add, end;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(session_content_open(x.session, tag, &h), CORE_OK);
	half = script_op(&x);
	s = script_slice(&x, ci[1], 90);
	assert_int_equal(session_ci_add(x.session, half, h, 500, &s), CORE_OK);
	assert_int_equal(x.n_need, 1);
	assert_int_equal(session_client_cancel(x.session, h, half), CORE_OK);
	add = script_op(&x);
	s = script_slice(&x, ci[1], ci_len[1]);
	assert_int_equal(
		session_ci_add(x.session, add, h, (uint32_t)ci_len[1], &s),
		CORE_OK);
	end = script_op(&x);
	assert_int_equal(session_ci_complete(x.session, end, h), CORE_OK);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, half)->result.status, CORE_E_ABORTED);
	assert_int_equal(script_op_of(&x, end)->result.status, CORE_OK);
	script_done(&x);
}

/* One step of something that may happen while stream reads are under way. */
static void
stream_event(struct script *x, uint64_t h, const uint64_t *ops, size_t n)
{
	switch (random() % 24) {
	case 0:
		(void)session_client_cancel(
			x->session, h, ops[(size_t)random() % n]);
		break;
	case 1:
		script_return(x);
		break;
	default:
		if (x->n_jobs > 0)
			script_job(x, (size_t)random() % x->n_jobs);
		break;
	}
}

/* Whatever ran ahead, the reads that were not cancelled give the content in
 * the order in which they were submitted, and no range is lost. */
static void
check_stream_order(struct script *x, const uint64_t *ops, size_t n)
{
	uint64_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct script_op *op = script_op_of(x, ops[i]);

		assert_int_equal(op->acks, 1);
		assert_int_equal(op->completions, 1);
		if (op->result.status == CORE_E_ABORTED)
			continue;
		if (op->result.status == CORE_E_NO_MORE) {
			assert_int_equal(at, LEN);
			continue;
		}
		assert_int_equal(op->result.offset, at);
		at += op->result.bytes;
		if (op->result.status == CORE_OK)
			assert_memory_equal(op->data, data + op->result.offset,
				op->result.bytes);
		else
			assert_int_equal(
				op->result.status, CORE_E_MISSING_DATA);
	}
}

static void
check_stream_random(unsigned seed, int version, bool lose)
{
	static const uint32_t lens[] = {
		1048576, 700000, 300000, 65536, 5000, 100, 1048576};
	static const uint8_t tag[SESSION_TAG_SIZE];
	uint64_t ops[12], h;
	struct script x;

	srandom(seed);
	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[version], ci_len[version]);
	add_data(&x, h, 0, data, LEN);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		ops[i] = script_op(&x);
		assert_int_equal(
			session_stream_read(x.session, ops[i], h,
				lens[(size_t)random() % ARRAY_LEN(lens)], 0),
			CORE_OK);
		for (long k = random() % 4; k > 0; k--)
			stream_event(&x, h, ops, i + 1);
	}
	if (lose)
		assert_int_equal(
			session_flush(x.session, script_op(&x), tag), CORE_OK);
	for (int k = 0; k < 60; k++)
		stream_event(&x, h, ops, ARRAY_LEN(ops));
	if (seed % 5 == 0)
		assert_int_equal(session_content_close(x.session, h), CORE_OK);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		script_settle(&x);
		script_return(&x);
	}
	check_stream_order(&x, ops, ARRAY_LEN(ops));
	if (seed % 5 != 0)
		assert_int_equal(session_content_close(x.session, h), CORE_OK);
	script_settle(&x);
	script_return(&x);
	assert_int_equal(area_read_room(x.area_obj), SCRIPT_AREA_HALF);
	script_done(&x);
}

static void
test_stream_ahead(void **state)
{
	for (unsigned seed = 0; seed < 60; seed++)
		check_stream_random(seed, 1 + (int)(seed & 1), seed % 3 == 0);
}

/* The next read's blocks are fetched while the first one's are on their way. */
static void
test_ahead_is_early(void **state)
{
	struct script_op *op;
	struct script x;
	uint64_t h, id[2];

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[1], ci_len[1]);
	add_data(&x, h, 0, data, LEN);
	for (size_t i = 0; i < 2; i++) {
		id[i] = script_op(&x);
		assert_int_equal(
			session_stream_read(x.session, id[i], h, 1048576, 0),
			CORE_OK);
	}
	script_job(&x, 0); /* look-up of the first */
	assert_int_equal(x.n_jobs, 2);
	script_job(&x, 1); /* of the second */
	script_job(&x, 1); /* its blocks */
	assert_int_equal(script_op_of(&x, id[0])->completions, 0);
	assert_int_equal(script_op_of(&x, id[1])->completions, 0);
	script_job(&x, 0);
	for (size_t i = 0; i < 2; i++) {
		op = script_op_of(&x, id[i]);
		assert_int_equal(op->completions, 1);
		assert_int_equal(op->result.offset, i * 1048576);
		assert_memory_equal(op->data, data + i * 1048576, 1048576);
	}
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_odd_pieces),
		cmocka_unit_test(test_wrong_data),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_peer_answers),
		cmocka_unit_test(test_peer_lies),
		cmocka_unit_test(test_one_fetch_many_readers),
		cmocka_unit_test(test_add_wakes_reader),
		cmocka_unit_test(test_read_half_full),
		cmocka_unit_test(test_forged_list),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_cancelled_information),
		cmocka_unit_test(test_stream_ahead),
		cmocka_unit_test(test_ahead_is_early),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client may try that keeps to no rule, and what a description may say
 * that is not true. */
#include "tests/unit/core_env.h"

#include <sys/mman.h>
#include <unistd.h>

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
add_data(struct script *x, uint64_t h, uint64_t offset, const uint8_t *bytes,
	uint32_t len)
{
	struct session_slice s = script_slice(x, bytes, len);
	uint64_t op = script_op(x);

	assert_int_equal(
		session_data_add(x->session, op, h, offset, len, &s), CORE_OK);
	script_settle(x);
	return script_op_of(x, op);
}

/* The first chunk's first segment begins behind header and chunk header. */
#define V2_FIRST_LEN (31 + 5)

static void
put_be(uint8_t *dst, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		(uint32_t)p[2] << 8 | p[3];
}

/* Version 2 content information of n segments of len bytes at start. */
static uint8_t *
made_up(uint64_t start, size_t n, uint32_t len, size_t *ret_len)
{
	size_t size = 31 + 5 + n * 68;
	uint8_t *p = calloc(1, size), *at = p + 36;

	p[1] = 2;
	p[2] = 4;
	put_be(p + 3, start, 8);
	put_be(p + 11, start / 131072 + (start % 131072 != 0), 8);
	put_be(p + 23, n * len, 8);
	put_be(p + 32, n * 68, 4);
	for (size_t i = 0; i < n; i++, at += 68) {
		put_be(at, len, 4);
		put_be(at + 4, i, 8);
	}
	*ret_len = size;
	return p;
}

/* The client sends a slice that was not asked for while a job works on the one
 * before, whose range he has back already. */
static void
test_feed_unasked(void **state)
{
	struct session_slice s;
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci[1], ci_len[1]);
	op = script_op(&x);
	s = script_slice(&x, data, 65536);
	assert_int_equal(
		session_data_add(x.session, op, h, 0, 200000, &s), CORE_OK);
	assert_int_equal(session_feed(x.session, op, &s), CORE_E_PROTOCOL);
	/* The round's job is done, what it verified is being stored. */
	script_job(&x, 0);
	assert_int_equal(x.n_released, 1);
	assert_int_equal(x.n_need, 0);
	assert_int_equal(session_feed(x.session, op, &s), CORE_E_PROTOCOL);
	script_settle(&x);
	assert_int_equal(x.n_need, 1);
	assert_int_equal(session_feed(x.session, op, &s), CORE_OK);
	script_done(&x);
}

/* A forged length in true content information: the forger finds nothing, and
 * what is there for others stays there. */
static void
test_forged_length_and_store(void **state)
{
	uint8_t *forged = malloc(ci_len[2]);
	uint32_t len = get_be32(ci[2] + V2_FIRST_LEN);
	struct store_stats stats;
	struct script_op *op;
	struct script x;
	uint64_t good, bad;

	memcpy(forged, ci[2], ci_len[2]);
	put_be(forged + V2_FIRST_LEN, len - 1, 4);
	/* The range shrinks by one, too. */
	put_be(forged + 23, LEN - 1, 8);
	script_init(&x, MODE_LOCAL);
	good = script_open(&x, ci[2], ci_len[2]);
	assert_int_equal(
		add_data(&x, good, 0, data, len)->result.status, CORE_OK);
	bad = script_open(&x, forged, ci_len[2]);
	assert_int_equal(read_block(&x, bad, 0, 100, 0)->result.status,
		CORE_E_MISSING_DATA);
	op = read_block(&x, good, 0, 100, 0);
	assert_int_equal(op->result.status, CORE_OK);
	assert_memory_equal(op->data, data, 100);
	x.store->ops->stats(x.store, &stats);
	assert_int_equal(stats.rotten, 0);
	script_done(&x);
	free(forged);
}

static void
count_strikes(const struct peer_view *v, void *ctx)
{
	*(uint32_t *)ctx +=
		v->strikes + (v->quarantine_ms > 0) * 100 + (uint32_t)v->bad;
}

/* An honest peer's answer does not fit the forged length: not his fault. */
static void
check_forged_length_and_peer(int version, size_t at, uint32_t len, bool big)
{
	uint8_t *forged = malloc(ci_len[version]);
	struct pccrc_info *info;
	uint32_t strikes = 0;
	struct script_op *op;
	uint64_t good, bad, id;
	struct script x;

	memcpy(forged, ci[version], ci_len[version]);
	if (big)
		put_be(forged + at, len, 4);
	else
		for (size_t i = 0; i < 4; i++)
			forged[at + i] = (uint8_t)(len >> 8 * i);
	script_init(&x, MODE_DISTRIBUTED);
	assert_int_equal(
		pccrc_parse(ci[version], ci_len[version], x.bulk, &info), 0);
	if (version == 2)
		put_be(forged + 23, LEN - info->segments[0].len + len, 8);
	bad = script_open(&x, forged, ci_len[version]);
	good = script_open(&x, ci[version], ci_len[version]);
	id = script_op(&x);
	/* Version 1: the last block; version 2: the first segment. */
	assert_int_equal(session_block_read(x.session, id, bad,
				 version == 1 ? LEN - 100 : 0, 1, 5000),
		CORE_OK);
	script_settle(&x);
	assert_int_equal(x.n_requests, 1);
	/* It could be told from its length alone otherwise. */
	assert_true(x.requests[0]->max_data >= 65552);
	/* Another user of the same segment, who tells the truth. */
	op = script_op_of(&x, id);
	id = script_op(&x);
	assert_int_equal(session_block_read(x.session, id, good,
				 version == 1 ? LEN - 100 : 0, 1, 5000),
		CORE_OK);
	script_settle(&x);
	while (x.n_requests > 0) {
		script_answer_good(&x, 0, data, LEN, info);
		script_settle(&x);
	}
	script_nobody(&x);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(script_op_of(&x, id)->result.status, CORE_OK);
	service_each_peer(x.service, count_strikes, &strikes);
	assert_int_equal(strikes, 0);
	pccrc_info_unref(info);
	script_done(&x);
	free(forged);
}

static void
test_forged_length_and_peer(void **state)
{
	/* Length of the only segment: behind header and offset. */
	check_forged_length_and_peer(1, 18 + 8, LEN - 1, false);
	check_forged_length_and_peer(2, V2_FIRST_LEN, 100, true);
	check_forged_length_and_peer(
		2, V2_FIRST_LEN, get_be32(ci[2] + V2_FIRST_LEN) - 1, true);
}

/* A content that ends where 64 bits do. */
static void
test_end_of_numbers(void **state)
{
	struct script_op *op;
	struct script x;
	uint64_t h, start = UINT64_MAX - 2 * 100000;
	size_t len;
	uint8_t *info = made_up(start, 2, 100000, &len);

	script_init(&x, MODE_DISTRIBUTED);
	h = script_open(&x, info, len);
	op = read_block(&x, h, start + 150000, UINT32_MAX, 0);
	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(op->result.offset, start + 100000);
	assert_int_equal(op->result.bytes, 100000);
	script_done(&x);
	x.settings.policy.mode = MODE_LOCAL;
	script_init(&x, MODE_LOCAL);
	h = script_open(&x, info, len);
	op = read_block(&x, h, start + 150000, 1, 5000);
	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	script_done(&x);
	free(info);
}

/* A read half smaller than what is read. */
static void
test_small_read_half(void **state)
{
	const uint32_t small = 32768;
	struct script_op *op;
	struct script x;
	uint64_t h;

	script_init(&x, MODE_LOCAL);
	session_free(x.session, false);
	x.area_obj = area_new(x.area, SCRIPT_AREA_HALF, small, NULL, NULL);
	assert_int_equal(session_new(&x.session, x.service,
				 &(struct identity){.uid = 1000}, x.area_obj,
				 &script_session_ops, &x),
		CORE_OK);
	h = script_open(&x, ci[1], ci_len[1]);
	assert_int_equal(
		add_data(&x, h, 0, data, 1 << 20)->result.status, CORE_OK);
	op = read_block(&x, h, 0, 1 << 20, 0);
	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.bytes, small);
	assert_memory_equal(op->data, data, small);
	script_done(&x);
}

/* Content information takes memory: it is counted, and given back. */
static void
test_information_is_counted(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "t";
	struct session_slice s;
	struct script x;
	uint64_t h, h2, op;
	size_t len;
	uint8_t *info = made_up(0, 10000, 1, &len);

	script_init(&x, MODE_LOCAL);
	x.settings.limits.max[QUOTA_BUFFER_BYTES] = 2000000;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	h = script_open(&x, info, len);
	assert_int_equal(session_content_open(x.session, tag, &h2), CORE_OK);
	s = script_slice(&x, info, len);
	op = script_op(&x);
	assert_int_equal(
		session_ci_add(x.session, op, h2, (uint32_t)len, &s), CORE_OK);
	script_settle(&x);
	assert_int_equal(
		script_op_of(&x, op)->result.status, CORE_E_NO_RESOURCES);
	assert_int_equal(session_content_close(x.session, h), CORE_OK);
	assert_int_equal(session_content_close(x.session, h2), CORE_OK);
	script_open(&x, info, len);
	script_done(&x);
	free(info);
}

/* From here on there is nothing more to be had. */
static void
exhaust(struct script *x)
{
	x->settings.limits.max[QUOTA_BUFFER_BYTES] = 1;
	assert_int_equal(service_configure(x->service, &x->settings), 0);
}

static uint64_t
stream_add(struct script *x, uint64_t h, uint32_t len)
{
	struct session_slice s = script_slice(x, data, len);
	uint64_t op = script_op(x);

	assert_int_equal(
		session_stream_add(x->session, op, h, len, &s), CORE_OK);
	return op;
}

/* What an operation makes beside its bytes is counted while it is under way:
 * then the quota is its end. */
static void
test_quota_of_what_is_made(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "t";
	static const struct session_label label = {(const uint8_t *)"l", 1};
	static const struct session_label other = {(const uint8_t *)"o", 1};
	static const struct session_range whole = {0, 0};
	enum { ADD, SECOND_ADD, COMPLETE, STREAM_COMPLETE, FILE, N };
	int fd = memfd_create("file", MFD_CLOEXEC);
	uint64_t h, stream, growing, op[N];
	struct session_slice s;
	struct script x;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(session_content_open(x.session, tag, &h), CORE_OK);
	s = script_slice(&x, ci[1], ci_len[1]);
	op[ADD] = script_op(&x);
	assert_int_equal(
		session_ci_add(x.session, op[ADD], h, (uint32_t)ci_len[1], &s),
		CORE_OK);
	op[COMPLETE] = script_op(&x);
	assert_int_equal(
		session_ci_complete(x.session, op[COMPLETE], h), CORE_OK);
	assert_int_equal(session_publish_open(x.session, &label, 0, 1, &stream),
		CORE_OK);
	stream_add(&x, stream, 1);
	op[STREAM_COMPLETE] = script_op(&x);
	assert_int_equal(
		session_stream_complete(x.session, op[STREAM_COMPLETE], stream),
		CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &other, 0, 1, &growing),
		CORE_OK);
	stream_add(&x, growing, 65536);
	op[SECOND_ADD] = stream_add(&x, growing, 65536);
	assert_int_equal(ftruncate(fd, 1000), 0);
	op[FILE] = script_op(&x);
	assert_int_equal(
		session_publish_file(x.session, op[FILE],
			&(struct session_label){(const uint8_t *)"f", 1}, fd,
			&whole, 1),
		CORE_OK);
	exhaust(&x);
	script_settle(&x);
	assert_int_equal(script_op_of(&x, op[ADD])->result.status, CORE_OK);
	for (int i = SECOND_ADD; i < N; i++)
		assert_int_equal(script_op_of(&x, op[i])->result.status,
			CORE_E_NO_RESOURCES);
	assert_int_equal(session_ci_complete(x.session, script_op(&x), h),
		CORE_E_NO_RESOURCES);
	assert_int_equal(
		session_stream_complete(x.session, script_op(&x), growing),
		CORE_E_NO_RESOURCES);
	script_done(&x);
}

/* Publications outlive their handles. */
static void
test_publications_are_counted(void **state)
{
	uint8_t name[30000] = "";
	struct session_label label = {name, sizeof(name)};
	enum core_result r = CORE_OK;
	struct session_slice s;
	struct script x;
	unsigned n = 0;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	x.settings.limits.max[QUOTA_BUFFER_BYTES] = 4 << 20;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	while (n < 1000) {
		memcpy(name, &n, sizeof(n));
		r = session_publish_open(x.session, &label, 0, 1, &h);
		if (r != CORE_OK)
			break;
		op = script_op(&x);
		s = script_slice(&x, data, 1);
		assert_int_equal(
			session_stream_add(x.session, op, h, 1, &s), CORE_OK);
		op = script_op(&x);
		assert_int_equal(
			session_stream_complete(x.session, op, h), CORE_OK);
		script_settle(&x);
		assert_int_equal(script_op_of(&x, op)->result.status, CORE_OK);
		assert_int_equal(session_stream_close(x.session, h), CORE_OK);
		n++;
	}
	assert_int_equal(r, CORE_E_NO_RESOURCES);
	assert_true(n > 50 && n < 150);
	memset(name, 0, sizeof(n));
	assert_int_equal(script_unpublish(&x, &label), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 1, &h), CORE_OK);
	script_done(&x);
}

/* A file that is all hole is read as fast as memory is; its hashes are not to
 * fill ours. */
static void
test_endless_file(void **state)
{
	static const struct session_label label = {(const uint8_t *)"l", 1};
	static const struct session_range whole = {0, 0};
	int fd = memfd_create("hole", MFD_CLOEXEC);
	struct script x;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(ftruncate(fd, INT64_MAX / 4096 * 4096), 0);
	assert_int_equal(session_publish_file(x.session, script_op(&x), &label,
				 fd, &whole, 1),
		CORE_E_NO_RESOURCES);
	script_done(&x);
}

/* Pieces of very many tiny segments. */
static void
test_tiny_pieces(void **state)
{
	struct script x;
	size_t len;
	uint8_t *info = made_up(0, 3000, 2, &len);
	uint64_t h;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, info, len);
	x.settings.limits.max[QUOTA_BUFFER_BYTES] = 18 << 20;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(add_data(&x, h, 2 * i, data, 1)->result.status,
			CORE_OK);
	/* What is kept is counted with more than its two bytes each. */
	x.settings.limits.max[QUOTA_BUFFER_BYTES] = 15 << 20;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	{
		struct session_slice s = script_slice(&x, data, 1);

		assert_int_equal(
			session_data_add(x.session, script_op(&x), h, 0, 1, &s),
			CORE_E_NO_RESOURCES);
	}
	script_done(&x);
	free(info);
}

/* The service stops being available: nothing goes on over the network. */
static void
test_disabled_fetches_nothing(void **state)
{
	struct script x;
	uint64_t h, id;

	script_init(&x, MODE_DISTRIBUTED);
	h = script_open(&x, ci[1], ci_len[1]);
	id = script_op(&x);
	assert_int_equal(session_block_read(x.session, id, h, 0, 1 << 20, 5000),
		CORE_OK);
	script_settle(&x);
	assert_int_equal(x.n_requests, 1);
	x.settings.policy.enabled = false;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(
		script_op_of(&x, id)->result.status, CORE_E_INVALIDATED);
	script_settle(&x);
	assert_int_equal(x.n_requests, 0);
	assert_int_equal(service_counters(x.service)->fetches_running, 0);
	script_done(&x);
}

/* A peer taken out of the settings is not asked any more. */
static void
test_peer_taken_away(void **state)
{
	struct script x;
	uint64_t h, id;

	script_init(&x, MODE_DISTRIBUTED);
	h = script_open(&x, ci[1], ci_len[1]);
	id = script_op(&x);
	assert_int_equal(session_block_read(x.session, id, h, 0, 1 << 20, 5000),
		CORE_OK);
	script_settle(&x);
	x.settings.n_peers = 0;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	script_answer(&x, 0, ENV_PEER_TIMEOUT);
	script_nobody(&x);
	assert_int_equal(x.n_requests, 0);
	assert_int_equal(
		script_op_of(&x, id)->result.status, CORE_E_MISSING_DATA);
	script_done(&x);
}

/* Very many tiny segments, each of which would be a fetch. */
static void
test_very_many_fetches(void **state)
{
	struct script x;
	size_t len;
	uint8_t *info = made_up(0, 4096, 1, &len);
	uint64_t h;

	script_init(&x, MODE_DISTRIBUTED);
	h = script_open(&x, info, len);
	for (unsigned i = 0; i < SCRIPT_OPS_MAX; i++)
		assert_int_equal(session_block_read(x.session, script_op(&x), h,
					 i * 64, 64, 5000),
			CORE_OK);
	script_settle(&x);
	assert_in_range(service_counters(x.service)->fetches_running, 1024,
		1024 + SCRIPT_OPS_MAX);
	script_done(&x);
	free(info);
}

/* Version 2: each segment is a fetch of its own; the first peer of the list is
 * not to be asked for all of them. */
static void
test_peers_take_turns(void **state)
{
	struct parse_addr two[2];
	struct script x;
	uint64_t h, id;
	unsigned first = 0;

	script_init(&x, MODE_DISTRIBUTED);
	assert_int_equal(parse_addr_port("127.0.0.1:9", &two[0]), 0);
	assert_int_equal(parse_addr_port("127.0.0.1:10", &two[1]), 0);
	x.settings.n_peers = 2;
	x.settings.peers = two;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	h = script_open(&x, ci[2], ci_len[2]);
	id = script_op(&x);
	assert_int_equal(session_block_read(x.session, id, h, 0, 1 << 20, 5000),
		CORE_OK);
	script_settle(&x);
	assert_true(x.n_requests > 4);
	for (size_t i = 0; i < x.n_requests; i++)
		first += memcmp(&x.requests[i]->addr.ss, &two[0].ss,
				 two[0].len) == 0;
	assert_true(
		first == x.n_requests / 2 || first == (x.n_requests + 1) / 2);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed_unasked),
		cmocka_unit_test(test_forged_length_and_store),
		cmocka_unit_test(test_forged_length_and_peer),
		cmocka_unit_test(test_end_of_numbers),
		cmocka_unit_test(test_small_read_half),
		cmocka_unit_test(test_information_is_counted),
		cmocka_unit_test(test_quota_of_what_is_made),
		cmocka_unit_test(test_publications_are_counted),
		cmocka_unit_test(test_endless_file),
		cmocka_unit_test(test_tiny_pieces),
		cmocka_unit_test(test_disabled_fetches_nothing),
		cmocka_unit_test(test_peer_taken_away),
		cmocka_unit_test(test_peers_take_turns),
		cmocka_unit_test(test_very_many_fetches),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the branch: what leaves and when, and what answers do. */
#include "tests/unit/core_env.h"

#include <stdio.h>

#include "daemon/core/discover.h"
#include "tests/unit/failalloc.h"

#define SENT_MAX   4096
#define TIMEOUT_MS 300u

struct sent {
	uint64_t at_ms;
	uint8_t uuid[PCCRD_UUID_SIZE];
	enum pccrd_version version;
	size_t n_ids;
	uint32_t ids[16]; /* numbers */
};

struct asker {
	struct discover_waiter w;
	uint32_t number;
	unsigned calls;
	enum discover_state state; /* at the last call */
	bool again;                /* wants it again when told */
	struct asker *leaves;      /* takes this one off the list when told */
};

static struct script x;
static struct discover *d;
static size_t n_sent;
static struct sent sent[SENT_MAX];

static const uint8_t *
id_of(uint32_t number)
{
	static uint8_t id[PCCRD_ID_SIZE];

	memset(id, 0xab, sizeof(id));
	memcpy(id, &number, sizeof(number));
	return id;
}

static void
record(struct script *s, const struct env_probe *p)
{
	struct sent *r = &sent[n_sent];

	assert_true(n_sent < SENT_MAX);
	assert_true(p->n_ids >= 1 && p->n_ids <= 16);
	n_sent++;
	r->at_ms = s->now_ms;
	memcpy(r->uuid, p->uuid, sizeof(r->uuid));
	r->version = p->version;
	r->n_ids = p->n_ids;
	for (size_t i = 0; i < p->n_ids; i++)
		memcpy(&r->ids[i], p->ids[i], sizeof(r->ids[i]));
}

static int
setup(void **state)
{
	script_init(&x, MODE_DISTRIBUTED);
	x.settings.probe_timeout_ms = TIMEOUT_MS;
	x.settings.backoff_max_ms = 65;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	x.on_probe = record;
	d = service_discover(x.service);
	n_sent = 0;
	return 0;
}

static int
teardown(void **state)
{
	script_done(&x);
	return 0;
}

static void
pass(uint64_t ms)
{
	while (ms-- > 0)
		script_time(&x, 1);
}

static void
told(struct discover_waiter *w)
{
	struct asker *a = container_of(w, struct asker, w);

	a->calls++;
	a->state = discover_state(d, id_of(a->number));
	if (a->leaves != NULL)
		discover_leave(&a->leaves->w);
	if (a->again && !w->waiting)
		discover_want(d, id_of(a->number), 2, 1000, w);
}

static enum discover_state
want(struct asker *a, uint32_t number, unsigned version, uint32_t uid)
{
	a->w.changed = told;
	a->number = number;
	return discover_want(d, id_of(number), version, uid, &a->w);
}

static struct parse_addr
addr_of(const char *text)
{
	struct parse_addr addr;

	assert_int_equal(parse_addr_port(text, &addr), 0);
	return addr;
}

static struct parse_addr
host_of(unsigned i)
{
	char text[PARSE_ADDR_TEXT];

	snprintf(text, sizeof(text), "192.0.%u.%u:80", i / 250, i % 250 + 1);
	return addr_of(text);
}

static bool
is_host(const struct discover_peer *p, unsigned i)
{
	struct parse_addr host = host_of(i);

	return p->addr.len == host.len &&
		memcmp(&p->addr.ss, &host.ss, host.len) == 0;
}

/* A host answers message m for the i-th of its ids. */
static void
answer(size_t m, size_t i, struct parse_addr host, uint32_t blocks)
{
	struct pccrd_held held[16] = {0};
	char urn[PCCRD_URN_SIZE];
	struct discover_answer a = {.from = host,
		.relates_to = urn,
		.version = sent[m].version,
		.n_addrs = 1,
		.addrs = &host,
		.n_held = 1,
		.held = held};

	pccrd_urn_format(urn, sent[m].uuid);
	if (a.version == PCCRD_V2) {
		a.n_held = 16;
		held[i].blocks = blocks;
	} else {
		memcpy(held[0].id, id_of(sent[m].ids[i]), PCCRD_ID_SIZE);
		held[0].blocks = blocks;
	}
	discover_answered(d, &a);
}

static size_t
peers_of(uint32_t number)
{
	struct discover_peer p[32];

	return discover_peers(d, id_of(number), p, 32);
}

static void
test_nobody(void **state)
{
	struct asker a = {0};

	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_UNKNOWN);
	assert_int_equal(want(&a, 1, 2, 1000), DISCOVER_ASKING);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_ASKING);
	assert_int_equal(n_sent, 0);
	pass(2);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].n_ids, 1);
	assert_int_equal(sent[0].ids[0], 1);
	assert_int_equal(sent[0].version, PCCRD_V2);
	assert_int_equal(sent[0].uuid[6] >> 4, 4);
	assert_int_equal(sent[0].uuid[8] >> 6, 2);
	pass(TIMEOUT_MS - 2);
	assert_int_equal(a.calls, 0);
	pass(4);
	assert_int_equal(a.calls, 1);
	assert_false(a.w.waiting);
	assert_int_equal(a.state, DISCOVER_NOBODY);

	/* For 15 s nobody is asked again. */
	assert_int_equal(want(&a, 1, 2, 1000), DISCOVER_NOBODY);
	assert_false(a.w.waiting);
	pass(14990);
	assert_int_equal(want(&a, 1, 2, 1000), DISCOVER_NOBODY);
	assert_int_equal(n_sent, 2);
	pass(20);
	assert_int_equal(want(&a, 1, 2, 1000), DISCOVER_ASKING);
	pass(2);
	assert_int_equal(n_sent, 3);
	discover_leave(&a.w);
	discover_leave(&a.w);
	pass(1000);
	assert_int_equal(a.calls, 1);
}

static void
test_one_repeat(void **state)
{
	unsigned seen[128] = {0};

	for (uint32_t i = 0; i < 64; i++) {
		uint64_t gap_ms;

		n_sent = 0;
		discover_want(d, id_of(i), 2, 1000, NULL);
		pass(TIMEOUT_MS + 3);
		assert_int_equal(n_sent, 2);
		assert_memory_equal(sent[0].uuid, sent[1].uuid, 16);
		assert_int_equal(sent[1].ids[0], i);
		gap_ms = sent[1].at_ms - sent[0].at_ms;
		assert_in_range(gap_ms, 50, 101);
		seen[gap_ms]++;
		pass(20000);
		assert_int_equal(n_sent, 2);
	}
	/* It is drawn. */
	for (size_t i = 0; i < 128; i++)
		assert_true(seen[i] < 16);
}

static void
test_short_window(void **state)
{
	struct asker a = {0};

	x.settings.probe_timeout_ms = 40;
	x.settings.backoff_max_ms = 40;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	want(&a, 1, 1, 1000);
	pass(200);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].version, PCCRD_V1);
	assert_int_equal(a.calls, 1);
}

static void
test_batches(void **state)
{
	size_t most[3] = {0, pccrd_probe_ids(PCCRD_V1, PCCRD_SEND_GOOD),
		pccrd_probe_ids(PCCRD_V2, PCCRD_SEND_GOOD)};
	unsigned seen[80] = {0};

	for (uint32_t i = 0; i < 80; i++)
		discover_want(d, id_of(i), i < 40 ? 1 : 2, 1000, NULL);
	pass(2);
	assert_int_equal(n_sent,
		(40 + most[1] - 1) / most[1] + (40 + most[2] - 1) / most[2]);
	for (size_t m = 0; m < n_sent; m++) {
		assert_true(sent[m].n_ids <= most[sent[m].version]);
		for (size_t i = 0; i < sent[m].n_ids; i++) {
			assert_int_equal(
				sent[m].version, sent[m].ids[i] < 40 ? 1 : 2);
			seen[sent[m].ids[i]]++;
		}
	}
	for (uint32_t i = 0; i < 80; i++)
		assert_int_equal(seen[i], 1);
}

static void
test_found(void **state)
{
	struct discover_peer p[4];
	struct asker a = {0};
	struct parse_addr six = addr_of("[fe80::1]:8080");

	((struct sockaddr_in6 *)(void *)&six.ss)->sin6_scope_id = 3;
	want(&a, 7, 1, 1000);
	pass(2);
	pass(10);
	answer(0, 0, host_of(1), 5);
	assert_int_equal(a.calls, 1);
	assert_true(a.w.waiting);
	assert_int_equal(a.state, DISCOVER_ASKING);
	assert_int_equal(peers_of(7), 1);
	pass(10);
	answer(0, 0, six, 512);
	assert_int_equal(a.calls, 2);
	answer(0, 0, host_of(2), 5);
	/* The same again is no news. */
	answer(0, 0, host_of(2), 5);
	assert_int_equal(a.calls, 3);
	pass(TIMEOUT_MS);
	assert_int_equal(a.calls, 4);
	assert_int_equal(a.state, DISCOVER_FOUND);
	assert_false(a.w.waiting);
	assert_int_equal(want(&a, 7, 1, 1000), DISCOVER_FOUND);

	/* Those who have most, then those who were quick. */
	assert_int_equal(discover_peers(d, id_of(7), p, 4), 3);
	assert_int_equal(p[0].blocks, 512);
	assert_int_equal(p[0].addr.len, sizeof(struct sockaddr_in6));
	assert_memory_equal(
		&p[0].addr.ss, &six.ss, sizeof(struct sockaddr_in6));
	assert_int_equal(p[1].blocks, 5);
	assert_true(p[1].delay_ms < p[2].delay_ms);
	assert_true(is_host(&p[1], 1));
	assert_int_equal(discover_peers(d, id_of(7), p, 1), 1);
	assert_int_equal(p[0].blocks, 512);

	/* Answers are believed for a minute. */
	pass(59000);
	assert_int_equal(discover_state(d, id_of(7)), DISCOVER_FOUND);
	pass(2000);
	assert_int_equal(discover_state(d, id_of(7)), DISCOVER_UNKNOWN);
	assert_int_equal(peers_of(7), 0);
}

static void
test_repeat_for_silent_only(void **state)
{
	discover_want(d, id_of(1), 2, 1000, NULL);
	discover_want(d, id_of(2), 2, 1000, NULL);
	pass(2);
	assert_int_equal(sent[0].n_ids, 2);
	answer(0, 0, host_of(1), UINT32_MAX);
	answer(0, 0, host_of(2), UINT32_MAX);
	pass(110);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[1].n_ids, 2);
	pass(TIMEOUT_MS);
	discover_want(d, id_of(3), 2, 1000, NULL);
	discover_want(d, id_of(4), 2, 1000, NULL);
	pass(2);
	answer(2, 0, host_of(1), UINT32_MAX);
	answer(2, 1, host_of(1), UINT32_MAX);
	pass(TIMEOUT_MS);
	assert_int_equal(n_sent, 3);
}

static void
test_not_believed(void **state)
{
	struct pccrd_held held[8] = {
		{.blocks = 1}, {.blocks = UINT32_MAX}, {.blocks = UINT32_MAX}};
	struct parse_addr host = host_of(1), zero = addr_of("192.0.2.1:80");
	char urn[PCCRD_URN_SIZE];
	struct discover_answer a = {.from = host,
		.relates_to = urn,
		.version = PCCRD_V2,
		.n_addrs = 1,
		.addrs = &host,
		.n_held = 8,
		.held = held};

	discover_want(d, id_of(1), 1, 1000, NULL);
	discover_want(d, id_of(2), 1, 1001, NULL);
	pass(2);
	assert_int_equal(n_sent, 1);
	discover_want(d, id_of(3), 1, 1000, NULL);
	pass(2);
	assert_int_equal(n_sent, 2);
	pccrd_urn_format(urn, sent[0].uuid);
	discover_answered(d, &a); /* another version */
	a.version = PCCRD_V1;
	a.n_held = 1;
	memcpy(held[0].id, id_of(3), PCCRD_ID_SIZE);
	discover_answered(d, &a); /* asked for in another Probe */
	memcpy(held[0].id, id_of(4), PCCRD_ID_SIZE);
	discover_answered(d, &a); /* not asked for */
	memcpy(held[0].id, id_of(1), PCCRD_ID_SIZE);
	held[0].blocks = 0;
	discover_answered(d, &a); /* has none */
	held[0].blocks = 1;
	urn[12] ^= 1;
	discover_answered(d, &a); /* no such question */
	a.relates_to = "uuid:1";
	discover_answered(d, &a);
	a.relates_to = urn;
	urn[12] ^= 1;
	a.n_addrs = 0;
	discover_answered(d, &a);
	a.n_addrs = 1;
	((struct sockaddr_in *)(void *)&zero.ss)->sin_port = 0;
	a.addrs = &zero;
	discover_answered(d, &a);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(peers_of(i), 0);
	a.addrs = &host;
	discover_answered(d, &a);
	assert_int_equal(peers_of(1), 1);
}

static void
test_positions_past_the_end(void **state)
{
	discover_want(d, id_of(1), 2, 1000, NULL);
	pass(2);
	for (size_t i = 1; i < 16; i++)
		answer(0, i, host_of(1 + (unsigned)i), UINT32_MAX);
	assert_int_equal(peers_of(1), 0);
	/* Another version's answer. */
	sent[0].version = PCCRD_V1;
	answer(0, 0, host_of(1), UINT32_MAX);
	sent[0].version = PCCRD_V2;
	assert_int_equal(peers_of(1), 0);
	answer(0, 0, host_of(1), UINT32_MAX);
	assert_int_equal(peers_of(1), 1);
}

static void
test_answers_are_limited(void **state)
{
	const struct service_counters *c = service_counters(x.service);
	uint64_t before = c->probe_answers;
	struct parse_addr many[4];
	struct discover_peer p[32];

	discover_want(d, id_of(1), 1, 1000, NULL);
	pass(2);
	/* One host with many faces has four at most. */
	for (unsigned i = 0; i < 100; i++) {
		char urn[PCCRD_URN_SIZE];
		struct pccrd_held held = {.blocks = 9};
		struct discover_answer a = {.from = host_of(0),
			.relates_to = urn,
			.version = PCCRD_V1,
			.n_addrs = 4,
			.addrs = many,
			.n_held = 1,
			.held = &held};

		for (unsigned k = 0; k < 4; k++)
			many[k] = host_of(4 * i + k);
		pccrd_urn_format(urn, sent[0].uuid);
		memcpy(held.id, id_of(1), PCCRD_ID_SIZE);
		discover_answered(d, &a);
	}
	assert_int_equal(peers_of(1), 4);
	for (unsigned i = 0; i < 100; i++)
		answer(0, 0, host_of(1000 + i), 1);
	assert_int_equal(discover_peers(d, id_of(1), p, 32), 16);
	/* The first of a window stay. */
	assert_int_equal(p[3].blocks, 9);
	for (size_t i = 4; i < 16; i++) {
		bool found = false;

		for (unsigned k = 0; k < 12; k++)
			found |= is_host(&p[i], 1000 + k);
		assert_true(found);
	}
	for (unsigned i = 0; i < 1000; i++)
		answer(0, 0, host_of(2000 + i), 1);
	assert_int_equal(c->probe_answers - before, 512);
}

/* Somebody answers for everybody, before anybody: the others are heard
 * nevertheless. */
static void
test_one_drowns_nobody(void **state)
{
	struct discover_peer p[32];

	discover_want(d, id_of(1), 1, 1000, NULL);
	pass(2);
	for (unsigned i = 0; i < 600; i++)
		answer(0, 0, host_of(0), 1);
	for (unsigned i = 1; i <= 8; i++)
		answer(0, 0, host_of(i), 9);
	assert_in_range(discover_peers(d, id_of(1), p, 32), 8, 9);
	assert_int_equal(p[0].blocks, 9);
}

static void
test_full_list_renews(void **state)
{
	struct discover_peer p[32];

	discover_want(d, id_of(1), 1, 1000, NULL);
	pass(2);
	for (unsigned i = 0; i < 16; i++)
		answer(0, 0, host_of(i), 1);
	pass(2000);
	answer(0, 0, host_of(100), 7);
	assert_int_equal(discover_peers(d, id_of(1), p, 32), 16);
	assert_int_equal(p[0].blocks, 7);
}

static void
test_lost_gives_its_place(void **state)
{
	struct parse_addr three = host_of(3);
	struct discover_peer p[32];

	discover_want(d, id_of(1), 1, 1000, NULL);
	pass(2);
	for (unsigned i = 0; i < 16; i++)
		answer(0, 0, host_of(i), 1);
	discover_lost(d, id_of(1), &three);
	assert_int_equal(peers_of(1), 15);
	answer(0, 0, host_of(100), 7);
	assert_int_equal(discover_peers(d, id_of(1), p, 32), 16);
	assert_true(is_host(&p[0], 100));
	for (size_t i = 1; i < 16; i++)
		assert_false(is_host(&p[i], 3));
	discover_lost(d, id_of(1), &three);
	assert_int_equal(peers_of(1), 16);
}

static void
test_late_answer(void **state)
{
	struct asker a = {0};

	want(&a, 1, 2, 1000);
	want(&(struct asker){0}, 2, 2, 1000);
	pass(TIMEOUT_MS + 10);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_NOBODY);
	answer(0, 0, host_of(1), UINT32_MAX);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_FOUND);
	assert_int_equal(a.calls, 1);
	pass(15000);
	answer(0, 0, host_of(2), UINT32_MAX);
	assert_int_equal(peers_of(1), 1);
}

static void
test_lost(void **state)
{
	struct parse_addr one = host_of(1), two = host_of(2), none = {0};
	struct asker a = {0};

	want(&a, 1, 2, 1000);
	pass(2);
	answer(0, 0, one, UINT32_MAX);
	answer(0, 0, two, UINT32_MAX);
	discover_lost(d, id_of(1), &one);
	discover_lost(d, id_of(1), &none);
	discover_lost(d, id_of(2), &one);
	discover_lost(d, id_of(1), &one);
	assert_int_equal(peers_of(1), 1);
	/* Saying it again does not help. */
	answer(0, 0, one, UINT32_MAX);
	assert_int_equal(peers_of(1), 1);
	pass(TIMEOUT_MS);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_FOUND);
	discover_lost(d, id_of(1), &two);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_NOBODY);
	pass(15000);
	assert_int_equal(want(&a, 1, 2, 1000), DISCOVER_ASKING);
	n_sent = 0;
	pass(2);
	answer(0, 0, one, UINT32_MAX);
	assert_int_equal(peers_of(1), 1);
	discover_leave(&a.w);
}

static bool
is_repeat(size_t m)
{
	for (size_t i = 0; i < m; i++)
		if (memcmp(sent[i].uuid, sent[m].uuid, PCCRD_UUID_SIZE) == 0)
			return true;
	return false;
}

static void
test_rate(void **state)
{
	static struct asker many[1024];
	uint64_t first_ms[SENT_MAX];
	size_t n = 0, ids = 0, unasked = 0;

	memset(many, 0, sizeof(many));
	/* Three users want thousands, again and again. */
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 3000; i++)
			discover_want(d, id_of(round * 10000 + i), 2,
				1000 + i % 3, NULL);
		if (round == 0)
			for (uint32_t i = 0; i < 1024; i++)
				assert_int_equal(
					want(&many[i], 50000 + i, 2, 2000),
					DISCOVER_ASKING);
		pass(500);
	}
	pass(3000);
	for (size_t m = 0; m < n_sent; m++)
		if (!is_repeat(m)) {
			first_ms[n++] = sent[m].at_ms;
			ids += sent[m].n_ids;
		}
	assert_true(n > 200);
	for (size_t i = 100; i < n; i++)
		assert_true(first_ms[i] - first_ms[i - 100] >= 1000);
	for (size_t i = 0; i < 1024; i++) {
		assert_int_equal(many[i].calls, 1);
		assert_false(many[i].w.waiting);
		unasked += many[i].state == DISCOVER_NOBODY;
	}
	assert_int_equal(unasked, 1024);
	/* Whoever waited for more than a second was given up. */
	assert_true(ids < 4 * 3000 + 1024);
}

static void
test_given_up_only_for_a_second(void **state)
{
	struct asker last = {0};

	for (uint32_t i = 0; i < 1023; i++)
		discover_want(d, id_of(i), 1, 1000, NULL);
	for (uint32_t i = 0; i < 1000; i++)
		discover_want(d, id_of(2000 + i), 1, 1001, NULL);
	assert_int_equal(want(&last, 9999, 1, 1000), DISCOVER_ASKING);
	/* More than one may. */
	assert_int_equal(
		discover_want(d, id_of(8888), 1, 1000, NULL), DISCOVER_NOBODY);
	assert_int_equal(
		discover_want(d, id_of(8888), 1, 1002, NULL), DISCOVER_ASKING);
	pass(1110);
	assert_int_equal(last.calls, 1);
	assert_int_equal(last.state, DISCOVER_NOBODY);
	pass(1010);
	assert_int_equal(discover_state(d, id_of(9999)), DISCOVER_UNKNOWN);
	assert_int_equal(want(&last, 9999, 1, 1000), DISCOVER_ASKING);
	pass(2);
	assert_int_equal(sent[n_sent - 1].ids[0], 9999);
	discover_leave(&last.w);
}

static void
test_all_full(void **state)
{
	struct asker a = {0};

	for (uint32_t uid = 0; uid < 256; uid++)
		assert_int_equal(discover_want(d, id_of(uid), 1, uid, NULL),
			DISCOVER_ASKING);
	/* Users. */
	assert_int_equal(want(&a, 999, 1, 256), DISCOVER_NOBODY);
	assert_false(a.w.waiting);
	assert_int_equal(want(&a, 999, 1, 255), DISCOVER_ASKING);
	discover_leave(&a.w);
	pass(TIMEOUT_MS + 1000);
	/* Segments. */
	for (uint32_t i = 0; i < 16384; i++)
		assert_int_equal(
			discover_want(d, id_of(10000 + i), 2, i / 1024, NULL),
			DISCOVER_ASKING);
	assert_int_equal(want(&a, 999, 2, 100), DISCOVER_NOBODY);
	pass(TIMEOUT_MS + 2000);
	assert_int_equal(want(&a, 999, 2, 100), DISCOVER_ASKING);
	pass(TIMEOUT_MS + 4);
	assert_int_equal(a.calls, 1);
}

static size_t
message_with(uint32_t number)
{
	for (size_t m = 0; m < n_sent; m++)
		for (size_t i = 0; i < sent[m].n_ids; i++)
			if (sent[m].ids[i] == number)
				return m;
	fail_msg("%u was never asked for", (unsigned)number);
	return 0;
}

static void
test_fair(void **state)
{
	unsigned share[2] = {0};

	for (uint32_t i = 0; i < 1000; i++)
		discover_want(d, id_of(i), 2, 1000, NULL);
	for (uint32_t i = 0; i < 40; i++)
		discover_want(d, id_of(5000 + i), 2, 1001, NULL);
	discover_want(d, id_of(7000), 2, 1002, NULL);
	/* Another kind of question. */
	discover_want(d, id_of(8000), 1, 1003, NULL);
	/* What one waits for at the end of his long queue, the other wants. */
	discover_want(d, id_of(999), 2, 1002, NULL);
	pass(2);
	assert_int_equal(n_sent, 10);
	assert_true(message_with(7000) <= 1);
	assert_true(message_with(8000) <= 1);
	assert_true(message_with(999) <= 2);
	for (size_t m = 0; m < 4; m++)
		for (size_t i = 0; i < sent[m].n_ids; i++)
			if (sent[m].ids[i] < 7000)
				share[sent[m].ids[i] >= 5000]++;
	assert_true(share[1] + 3 >= share[0] && share[0] + 3 >= share[1]);
}

static void
test_unwanted(void **state)
{
	struct asker a = {0}, b = {0};

	want(&a, 1, 2, 1000);
	want(&b, 1, 2, 1000);
	discover_leave(&a.w);
	discover_leave(&b.w);
	pass(2);
	assert_int_equal(n_sent, 0);
	assert_int_equal(discover_state(d, id_of(1)), DISCOVER_UNKNOWN);
	want(&a, 1, 2, 1000);
	want(&b, 1, 2, 1000);
	discover_leave(&a.w);
	pass(2);
	assert_int_equal(n_sent, 1);
	pass(TIMEOUT_MS);
	assert_int_equal(a.calls, 0);
	assert_int_equal(b.calls, 1);
}

static void
test_told_and_gone(void **state)
{
	struct asker a[4];

	memset(a, 0, sizeof(a));
	for (size_t i = 0; i < 4; i++)
		want(&a[i], 1, 2, 1000);
	/* Each takes its neighbour off the list, and itself. */
	for (size_t i = 0; i < 4; i++)
		a[i].leaves = &a[i ^ 1];
	pass(2);
	answer(0, 0, host_of(1), UINT32_MAX);
	for (size_t i = 0; i < 4; i += 2) {
		assert_int_equal(a[i].calls + a[i + 1].calls, 1);
		assert_true(a[i].w.waiting != a[i + 1].w.waiting);
	}
	for (size_t i = 0; i < 4; i++)
		a[i].leaves = &a[i];
	pass(TIMEOUT_MS);
	for (size_t i = 0; i < 4; i++)
		assert_false(a[i].w.waiting);
}

static void
set_mode(enum service_mode mode)
{
	x.settings.policy.mode = mode;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
}

static void
test_mode(void **state)
{
	struct asker a[3] = {{.again = true}, {.again = true}, {.again = true}};

	want(&a[0], 1, 2, 1000);
	pass(2);
	answer(0, 0, host_of(1), UINT32_MAX);
	assert_int_equal(a[0].calls, 1);
	want(&a[1], 1, 2, 1000);
	want(&a[2], 2, 1, 1001);
	set_mode(MODE_LOCAL);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(a[i].calls, i == 0 ? 2 : 1);
		assert_int_equal(a[i].state, DISCOVER_OFF);
		assert_false(a[i].w.waiting);
	}
	assert_int_equal(want(&a[0], 3, 2, 1000), DISCOVER_OFF);
	answer(0, 0, host_of(2), UINT32_MAX);
	assert_int_equal(peers_of(1), 0);
	pass(1000);
	assert_int_equal(n_sent, 1);

	set_mode(MODE_DISTRIBUTED);
	a[0].again = false;
	/* What was known belongs to the past. */
	assert_int_equal(want(&a[0], 1, 2, 1000), DISCOVER_ASKING);
	answer(0, 0, host_of(2), UINT32_MAX);
	assert_int_equal(peers_of(1), 0);
	pass(2);
	assert_int_equal(n_sent, 2);
	service_ready(x.service, false);
	assert_int_equal(a[0].state, DISCOVER_OFF);
	assert_false(a[0].w.waiting);
}

static void
test_oldest_goes(void **state)
{
	/* More than are remembered, in less than the time that they are. */
	for (uint32_t i = 0; i < 18000; i++) {
		assert_int_equal(discover_want(d, id_of(i), 2, 1000, NULL),
			DISCOVER_ASKING);
		if (i % 10 == 0)
			pass(8);
		n_sent = 0;
	}
	pass(TIMEOUT_MS + 200);
	assert_int_equal(discover_state(d, id_of(0)), DISCOVER_UNKNOWN);
	assert_int_equal(discover_state(d, id_of(1000)), DISCOVER_UNKNOWN);
	assert_int_equal(discover_state(d, id_of(17999)), DISCOVER_NOBODY);
	assert_int_equal(discover_state(d, id_of(4000)), DISCOVER_NOBODY);
}

static void
no_memory_at(unsigned long n, bool *ret_failed)
{
	struct asker a[6];

	memset(a, 0, sizeof(a));
	failalloc_arm(n);
	for (uint32_t i = 0; i < 6; i++)
		want(&a[i], i, 1 + i % 2, 1000 + i % 3);
	pass(2);
	for (size_t m = 0; m < n_sent; m++)
		for (size_t i = 0; i < sent[m].n_ids; i++)
			for (unsigned h = 0; h < 5; h++)
				answer(m, i, host_of(h), 1);
	pass(TIMEOUT_MS + 10);
	*ret_failed = failalloc_disarm();
	for (uint32_t i = 0; i < 6; i++) {
		enum discover_state s = discover_state(d, id_of(i));

		assert_false(a[i].w.waiting);
		assert_true(s == DISCOVER_FOUND || *ret_failed);
		assert_true(s != DISCOVER_ASKING);
	}
	/* It goes on. */
	pass(15000);
	n_sent = 0;
	assert_int_equal(want(&a[0], 99, 2, 1000), DISCOVER_ASKING);
	pass(2);
	answer(0, 0, host_of(1), UINT32_MAX);
	pass(TIMEOUT_MS);
	assert_int_equal(a[0].state, DISCOVER_FOUND);
}

static void
test_no_memory(void **state)
{
	bool failed = true;
	unsigned long n;

	for (n = 1; failed; n++) {
		no_memory_at(n, &failed);
		teardown(state);
		setup(state);
	}
	assert_true(n > 12);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),
		TEST(test_one_repeat),
		TEST(test_short_window),
		TEST(test_batches),
		TEST(test_found),
		TEST(test_repeat_for_silent_only),
		TEST(test_not_believed),
		TEST(test_positions_past_the_end),
		TEST(test_answers_are_limited),
		TEST(test_one_drowns_nobody),
		TEST(test_full_list_renews),
		TEST(test_lost_gives_its_place),
		TEST(test_late_answer),
		TEST(test_lost),
		TEST(test_rate),
		TEST(test_given_up_only_for_a_second),
		TEST(test_all_full),
		TEST(test_fair),
		TEST(test_unwanted),
		TEST(test_told_and_gone),
		TEST(test_mode),
		TEST(test_oldest_goes),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

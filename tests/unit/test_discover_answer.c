/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions of other hosts: whether, when and what is answered; crowds. */
#include "tests/unit/core_env.h"

#include <stdio.h>

#include "daemon/core/discover.h"
#include "tests/unit/failalloc.h"

#define BACKOFF_MS 65u
#define SENT_MAX   1024
#define HOUR_MS    (3600u * 1000)

struct sent {
	uint64_t at_ms;
	struct parse_addr to;
	uint32_t interface;
	enum pccrd_version version;
	char relates_to[PCCRD_URI_MAX + 1];
	size_t n_ids;
	uint32_t ids[PCCRD_IDS_MAX]; /* numbers */
	uint64_t lower[PCCRD_IDS_MAX];
	struct pccrd_held held[PCCRD_IDS_MAX];
};

static struct script x;
static struct discover *d;
static size_t n_sent;
static struct sent sent[SENT_MAX];
static struct pccrd_probe probe;
static uint8_t probe_uuid[PCCRD_UUID_SIZE];
static unsigned n_probes, n_messages;
static const struct store_owner owner = {1, "owner"};

static void
set_id(uint8_t *id, uint32_t number)
{
	memset(id, 0xcd, PCCRD_ID_SIZE);
	memcpy(id, &number, sizeof(number));
}

static void
record(struct script *s, const struct env_match *m)
{
	struct sent *r = &sent[n_sent];

	assert_true(n_sent < SENT_MAX);
	assert_true(m->n_ids >= 1 && m->n_ids <= PCCRD_IDS_MAX);
	n_sent++;
	r->at_ms = s->now_ms;
	r->to = m->to;
	r->interface = m->interface;
	r->version = m->version;
	snprintf(r->relates_to, sizeof(r->relates_to), "%s", m->relates_to);
	r->n_ids = m->n_ids;
	for (size_t i = 0; i < m->n_ids; i++) {
		memcpy(&r->ids[i], m->ids[i].bytes, sizeof(r->ids[i]));
		r->lower[i] = m->ids[i].lower;
		r->held[i] = m->held[i];
	}
}

static void
record_probe(struct script *s, const struct env_probe *p)
{
	memcpy(probe_uuid, p->uuid, sizeof(probe_uuid));
	n_probes++;
}

static void
configure(void)
{
	assert_int_equal(service_configure(x.service, &x.settings), 0);
}

static int
setup(void **state)
{
	script_init(&x, MODE_DISTRIBUTED);
	x.settings.probe_timeout_ms = 300;
	x.settings.backoff_max_ms = BACKOFF_MS;
	x.settings.quorum = 10;
	x.settings.quorum_forget_ms = 12u * HOUR_MS;
	x.settings.uploads = 64;
	x.settings.upload_timeout_ms = 15000;
	configure();
	x.wall_ms = 1000000000000u; /* 2001 */
	x.on_match = record;
	x.on_probe = record_probe;
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
put_done(struct store_put *p)
{
	assert_int_equal(p->refs[0].status, STORE_OK);
}

static void
hold(uint32_t number, uint32_t n_blocks)
{
	static uint8_t cipher[1008];

	for (uint32_t b = 0; b < n_blocks; b++) {
		uint8_t id[PCCRD_ID_SIZE];
		struct store_ref ref = {
			.id = id, .id_len = sizeof(id), .index = b};
		struct store_block block = {.plain_len = 1000,
			.cipher_len = sizeof(cipher),
			.algo = PCCRR_AES128,
			.proved = true,
			.cipher = cipher};
		struct store_put p = {.refs = &ref,
			.blocks = &block,
			.n_refs = 1,
			.owner = owner,
			.done = put_done};

		set_id(id, number);
		x.store->ops->put(x.store, &p);
		script_settle(&x);
	}
}

static void
flushed(struct store_flush *f)
{
	assert_int_equal(f->status, STORE_OK);
}

static void
drop_all(void)
{
	struct store_flush f = {.owner = owner, .done = flushed};

	x.store->ops->clear(x.store, &f);
	script_settle(&x);
}

/* From here on the addresses of the same hosts are IPv6. */
#define BY_IPV6 10000u

static struct parse_addr
host_by_ipv6(unsigned i)
{
	struct parse_addr addr;
	char text[PARSE_ADDR_TEXT];

	snprintf(text, sizeof(text), "[2001:db8::%x]:5000", i);
	assert_int_equal(parse_addr_port(text, &addr), 0);
	return addr;
}

static struct parse_addr
host_of(unsigned i)
{
	struct parse_addr addr;
	char text[PARSE_ADDR_TEXT];

	if (i >= BY_IPV6)
		return host_by_ipv6(i);
	snprintf(text, sizeof(text), "198.51.%u.%u:5000", i / 250, i % 250 + 1);
	assert_int_equal(parse_addr_port(text, &addr), 0);
	return addr;
}

/* A question for n segments from this number on. */
static void
question(enum pccrd_version version, uint32_t first, size_t n)
{
	memset(&probe, 0, sizeof(probe));
	snprintf(probe.message_id, sizeof(probe.message_id), "urn:uuid:%u",
		++n_messages);
	probe.version = version;
	probe.n_ids = n;
	for (size_t i = 0; i < n; i++) {
		set_id(probe.ids[i].bytes, first + (uint32_t)i);
		probe.ids[i].lower = i;
	}
}

static void
ask(unsigned host, uint32_t interface)
{
	struct discover_question q = {
		.from = host_of(host), .interface = interface, .probe = &probe};

	discover_heard(d, &q);
}

/* Asked, and all answers sent. */
static size_t
answers_to(unsigned host, enum pccrd_version version, uint32_t first, size_t n)
{
	size_t before = n_sent;

	question(version, first, n);
	ask(host, 1);
	pass(BACKOFF_MS);
	return n_sent - before;
}

static uint64_t
dropped(void)
{
	return service_counters(x.service)->answers_dropped;
}

static void
test_version_1(void **state)
{
	struct parse_addr from = host_of(1);

	hold(11, 3);
	hold(13, 1);
	question(PCCRD_V1, 10, 5);
	ask(1, 7);
	assert_int_equal(n_sent, 0);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].to.len, from.len);
	assert_memory_equal(&sent[0].to.ss, &from.ss, from.len);
	assert_int_equal(sent[0].interface, 7);
	assert_int_equal(sent[0].version, PCCRD_V1);
	assert_string_equal(sent[0].relates_to, probe.message_id);
	assert_int_equal(sent[0].n_ids, 2);
	assert_int_equal(sent[0].ids[0], 11);
	assert_int_equal(sent[0].lower[0], 1);
	assert_int_equal(sent[0].held[0].blocks, 3);
	assert_int_equal(sent[0].ids[1], 13);
	assert_int_equal(sent[0].lower[1], 3);
	assert_int_equal(sent[0].held[1].blocks, 1);
	assert_int_equal(service_counters(x.service)->answers_sent, 1);
	assert_int_equal(service_counters(x.service)->probes_heard, 1);
	/* Never negatively. */
	assert_int_equal(answers_to(1, PCCRD_V1, 100, 5), 0);
	assert_int_equal(answers_to(1, PCCRD_V2, 100, 5), 0);
}

static void
test_version_2(void **state)
{
	hold(21, 1);
	hold(23, 2); /* of version 1, in part */
	pass(600000);
	assert_int_equal(answers_to(1, PCCRD_V2, 20, 5), 1);
	assert_int_equal(sent[0].version, PCCRD_V2);
	assert_int_equal(sent[0].n_ids, 5);
	for (size_t i = 0; i < 5; i++) {
		uint32_t want = i == 1 ? UINT32_MAX : i == 3 ? 1 : 0;

		assert_int_equal(sent[0].ids[i], 20 + i);
		assert_int_equal(sent[0].held[i].blocks, want);
		if (want == 0)
			assert_int_equal(
				sent[0].held[i].age_ds, PCCRD_AGE_UNKNOWN);
		else
			assert_in_range(sent[0].held[i].age_ds, 5990, 6011);
	}
}

static struct store_held fake;

static void
fake_held(struct block_store *store, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	*ret = fake;
}

/* What the store in memory never says. */
static void
test_strange_stores(void **state)
{
	const struct block_store_ops *real = x.store->ops;
	struct block_store_ops ops = *real;

	ops.held = fake_held;
	x.store->ops = &ops;
	/* All of a version 1 segment; the clock was set back. */
	fake.n_blocks = 512;
	fake.born_s = UINT32_MAX;
	assert_int_equal(answers_to(1, PCCRD_V2, 1, 1), 1);
	assert_int_equal(sent[0].held[0].blocks, UINT32_MAX);
	assert_int_equal(sent[0].held[0].age_ds, 0);
	fake.n_blocks = 511;
	fake.born_s = 1;
	assert_int_equal(answers_to(1, PCCRD_V2, 1, 1), 1);
	assert_int_equal(sent[1].held[0].blocks, 1);
	assert_int_equal(sent[1].held[0].age_ds, PCCRD_AGE_UNKNOWN - 1);
	fake.born_s = 0;
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 1);
	assert_int_equal(sent[2].held[0].blocks, 511);
	assert_int_equal(sent[2].held[0].age_ds, PCCRD_AGE_UNKNOWN);
	x.store->ops = real;
}

static void
test_as_many_as_fit(void **state)
{
	for (uint32_t i = 0; i < 40; i++)
		hold(i, 1);
	assert_int_equal(answers_to(1, PCCRD_V1, 0, 200), 1);
	assert_int_equal(sent[0].n_ids, PCCRD_ANSWER_IDS_MAX);
	assert_int_equal(sent[0].ids[PCCRD_ANSWER_IDS_MAX - 1],
		PCCRD_ANSWER_IDS_MAX - 1);
	assert_int_equal(answers_to(1, PCCRD_V2, 0, PCCRD_IDS_MAX), 1);
	assert_int_equal(sent[1].n_ids, PCCRD_IDS_MAX);
	assert_int_equal(sent[1].held[39].blocks, UINT32_MAX);
	assert_int_equal(sent[1].held[40].blocks, 0);
}

static void
test_backoff(void **state)
{
	unsigned third[3] = {0};

	hold(1, 1);
	for (unsigned i = 0; i < 600; i++) {
		uint64_t at_ms = x.now_ms, after_ms;

		n_sent = 0;
		assert_int_equal(answers_to(i, PCCRD_V1, 1, 1), 1);
		after_ms = sent[0].at_ms - at_ms;
		assert_in_range(after_ms, 1, BACKOFF_MS);
		third[after_ms * 3 / (BACKOFF_MS + 1)]++;
	}
	for (size_t i = 0; i < 3; i++)
		assert_in_range(third[i], 140, 260);
	x.settings.backoff_max_ms = 1;
	configure();
	question(PCCRD_V1, 1, 1);
	ask(1, 1);
	n_sent = 0;
	pass(1);
	assert_int_equal(n_sent, 1);
}

static void
test_heard_twice(void **state)
{
	hold(1, 1);
	question(PCCRD_V1, 1, 1);
	ask(1, 1);
	ask(1, 2);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 1);
	ask(1, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 1);
	/* Another host may use the same name. */
	ask(2, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 2);
	pass(5000);
	ask(1, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 3);
	/* 64 of each host are remembered. */
	for (unsigned i = 0; i < 64; i++) {
		question(PCCRD_V1, 1000, 1);
		ask(1, 1);
	}
	n_messages -= 64;
	question(PCCRD_V1, 1, 1);
	ask(1, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 3);
}

static void
test_second_look(void **state)
{
	hold(1, 1);
	question(PCCRD_V1, 1, 1);
	ask(1, 1);
	drop_all();
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 0);
	hold(1, 1);
	question(PCCRD_V2, 1, 2);
	ask(1, 1);
	hold(2, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent[0].held[1].blocks, UINT32_MAX);
}

static void
test_few_to_one_host(void **state)
{
	hold(1, 1);
	for (unsigned i = 0; i < 20; i++) {
		question(PCCRD_V1, 1, 1);
		ask(1, 1);
	}
	assert_int_equal(dropped(), 4);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 16);
	for (unsigned i = 0; i < 80; i++) {
		question(PCCRD_V1, 1, 1);
		ask(1, 1);
		pass(5);
	}
	assert_int_equal(n_sent, 50);
	/* Others are served. */
	assert_int_equal(answers_to(2, PCCRD_V1, 1, 1), 1);
	pass(1000);
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 1);
}

static void
test_limits(void **state)
{
	hold(1, 1);
	/* 100 by an interface in a second. */
	for (unsigned i = 0; i < 130; i++) {
		question(PCCRD_V1, 1, 1);
		ask(i, 1);
		pass(3);
	}
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 100);
	assert_int_equal(dropped(), 30);
	pass(1000);
	/* 256 on their way. */
	for (unsigned i = 0; i < 300; i++) {
		question(PCCRD_V1, 1, 1);
		ask(i, i % 4);
	}
	assert_int_equal(dropped(), 30 + 44);
	n_sent = 0;
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 256);
	/* Never more than 100 in any second. */
	pass(2000);
	n_sent = 0;
	for (unsigned i = 0; i < 600; i++) {
		question(PCCRD_V1, 1, 1);
		ask(i % 250, 9);
		pass(4);
	}
	pass(BACKOFF_MS);
	assert_in_range(n_sent, 200, 300);
	for (size_t i = 100; i < n_sent; i++)
		assert_true(sent[i].at_ms - sent[i - 100].at_ms >=
			1000 - BACKOFF_MS);
}

static void
test_many_ids(void **state)
{
	hold(1, 1);
	for (unsigned i = 0; i < 16; i++) {
		question(PCCRD_V2, 1000, 255);
		ask(1, 1);
	}
	assert_int_equal(dropped(), 0);
	question(PCCRD_V2, 1, 255);
	ask(1, 1);
	assert_int_equal(dropped(), 1);
	pass(1000);
	assert_int_equal(n_sent, 0);
	assert_int_equal(answers_to(1, PCCRD_V2, 1, 255), 1);
	/* All hosts together. */
	pass(1000);
	for (unsigned i = 0; i < 300; i++) {
		question(PCCRD_V2, 1000, 255);
		ask(i, 1);
	}
	assert_int_equal(dropped(), 1 + 300 - 65536 / 255);
}

/* Forged senders, more than are remembered. */
static void
test_flood(void **state)
{
	hold(1, 1);
	for (unsigned i = 0; i < 20000; i++) {
		question(PCCRD_V1, i % 2 ? 1 : 50000 + i, 2);
		ask(i, 1);
		if (i % 40 == 0)
			pass(1);
	}
	pass(BACKOFF_MS);
	assert_in_range(n_sent, 100, 200);
	pass(1000);
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 1);
}

static void
test_mode(void **state)
{
	hold(1, 1);
	question(PCCRD_V1, 1, 1);
	ask(1, 1);
	x.settings.policy.mode = MODE_LOCAL;
	configure();
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 0);
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 0);
	x.settings.policy.mode = MODE_DISTRIBUTED;
	configure();
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 1);
	service_ready(x.service, false);
	assert_int_equal(answers_to(1, PCCRD_V1, 1, 1), 0);
}

static void
test_own(void **state)
{
	hold(1, 1);
	question(PCCRD_V2, 1, 1);
	n_probes = 0;
	discover_want(d, probe.ids[0].bytes, 2, 1000, NULL);
	pass(2);
	assert_int_equal(n_probes, 1);
	pccrd_urn_format(probe.message_id, probe_uuid);
	ask(1, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 0);
	assert_int_equal(service_counters(x.service)->probes_heard, 0);
	/* As long as it may come. */
	pass(10000);
	ask(2, 1);
	pass(BACKOFF_MS);
	assert_int_equal(n_sent, 0);
}

/* This host asks for a segment. */
static void
ask_branch(uint32_t number)
{
	uint8_t id[PCCRD_ID_SIZE];

	set_id(id, number);
	assert_int_equal(discover_want(d, id, 1, 1000, NULL), DISCOVER_ASKING);
	pass(2);
}

/* Hosts first to last - 1 answer that, so many of them have all of it. */
static void
answered(uint32_t number, unsigned first, unsigned last, unsigned n_full)
{
	for (unsigned i = first; i < last; i++) {
		struct parse_addr host = host_of(500 + i);
		struct pccrd_held held = {.blocks = i < n_full ? 4 : 3};
		char urn[PCCRD_URN_SIZE];
		struct discover_answer a = {.from = host,
			.relates_to = urn,
			.version = PCCRD_V1,
			.n_addrs = 1,
			.addrs = &host,
			.n_held = 1,
			.held = &held};

		set_id(held.id, number);
		pccrd_urn_format(urn, probe_uuid);
		discover_answered(d, &a);
		discover_answered(d, &a);
	}
}

/* It gets what it wanted. */
static void
obtained(uint32_t number)
{
	uint8_t id[PCCRD_ID_SIZE];

	set_id(id, number);
	hold(number, 4);
	discover_obtained(d, id);
}

static void
obtain(uint32_t number, unsigned n, unsigned n_full)
{
	ask_branch(number);
	answered(number, 0, n, n_full);
	pass(310);
	obtained(number);
}

static size_t
answered_of_300(uint32_t number)
{
	size_t n = 0;

	for (unsigned i = 0; i < 300; i++)
		n += answers_to(i, PCCRD_V1, number, 1);
	n_sent = 0;
	return n;
}

static void
test_quorum(void **state)
{
	uint8_t id[PCCRD_ID_SIZE];

	obtain(1, 9, 9);
	assert_int_equal(answered_of_300(1), 300);
	obtain(2, 10, 9);
	assert_in_range(answered_of_300(2), 60, 140);
	obtain(3, 10, 10);
	assert_int_equal(answered_of_300(3), 0);
	obtain(4, 40, 40);
	assert_int_equal(answered_of_300(4), 0);
	/* From the origin. */
	hold(5, 4);
	set_id(id, 5);
	discover_obtained(d, id);
	assert_int_equal(answered_of_300(5), 300);
	/* A message for some of them. */
	assert_int_equal(answers_to(1, PCCRD_V2, 3, 3), 1);
	assert_int_equal(sent[0].held[0].blocks, 0);
	assert_int_equal(sent[0].held[1].blocks, 0);
	assert_int_equal(sent[0].held[2].blocks, 1);
}

/* Hosts that answer by both families are hosts all the same. */
static void
test_quorum_of_both_families(void **state)
{
	ask_branch(1);
	answered(1, 0, 9, 9);
	answered(1, BY_IPV6, BY_IPV6 + 9, BY_IPV6 + 9);
	pass(310);
	obtained(1);
	assert_int_equal(answered_of_300(1), 300);
	ask_branch(2);
	answered(2, 0, 3, 3);
	answered(2, BY_IPV6, BY_IPV6 + 10, BY_IPV6 + 10);
	pass(310);
	obtained(2);
	assert_int_equal(answered_of_300(2), 0);
}

/* The first one to answer is quick to give it, too: the others count, up to the
 * end of the window. */
static void
test_quorum_of_the_window(void **state)
{
	for (uint32_t number = 1; number <= 2; number++) {
		unsigned n = number == 1 ? 10 : 9;

		ask_branch(number);
		answered(number, 0, 1, n);
		obtained(number);
		answered(number, 1, n, n);
		pass(310);
		assert_int_equal(answers_to(1, PCCRD_V1, number, 1), n < 10);
	}
	/* Asked for again, when more have it, and nothing was obtained then. */
	pass(60000);
	ask_branch(2);
	answered(2, 0, 10, 10);
	pass(310);
	assert_int_equal(answers_to(1, PCCRD_V1, 2, 1), 1);
}

/* When it need not be told. */
static void
test_may_have_quorum(void **state)
{
	uint8_t id[PCCRD_ID_SIZE];

	set_id(id, 1);
	discover_obtained_some(d, id);
	assert_false(discover_may_have_quorum(d, id));
	ask_branch(1);
	answered(1, 0, 9, 0);
	assert_false(discover_may_have_quorum(d, id));
	discover_obtained_some(d, id);
	assert_true(discover_may_have_quorum(d, id));
	pass(310);
	assert_false(discover_may_have_quorum(d, id));
	/* Late, but this one counts. */
	answered(1, 9, 10, 0);
	assert_true(discover_may_have_quorum(d, id));
	pass(59000);
	assert_true(discover_may_have_quorum(d, id));
	pass(1000);
	assert_false(discover_may_have_quorum(d, id));
	ask_branch(1);
	assert_true(discover_may_have_quorum(d, id));
	x.settings.quorum = 0;
	configure();
	assert_false(discover_may_have_quorum(d, id));
	x.settings.quorum = 10;
	x.settings.policy.mode = MODE_LOCAL;
	configure();
	assert_false(discover_may_have_quorum(d, id));
}

static void
test_quorum_settings(void **state)
{
	obtain(3, 10, 10);
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 0);
	x.settings.quorum = 11;
	configure();
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 1);
	x.settings.quorum = 5;
	configure();
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 0);
	x.settings.quorum = 0;
	configure();
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 1);
	x.settings.quorum = 10;
	configure();
	script_time(&x, 11u * HOUR_MS);
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 0);
	script_time(&x, 2u * HOUR_MS);
	assert_int_equal(answers_to(1, PCCRD_V1, 3, 1), 1);
	/* Got again, when few had it. */
	obtain(4, 10, 10);
	script_time(&x, 100000);
	obtain(4, 2, 2);
	assert_int_equal(answers_to(1, PCCRD_V1, 4, 1), 1);
}

static bool
crowd(uint32_t number)
{
	uint8_t id[PCCRD_ID_SIZE];

	set_id(id, number);
	return discover_crowd(d, id);
}

static void
test_crowd(void **state)
{
	assert_false(crowd(1));
	for (unsigned i = 0; i < 10; i++) {
		question(PCCRD_V1, 1, 1);
		ask(i % 2, 1);
		pass(10);
	}
	assert_false(crowd(1));
	question(PCCRD_V2, 0, 2);
	ask(2, 1);
	assert_true(crowd(1));
	assert_false(crowd(0));
	assert_false(crowd(2));
	pass(9800);
	assert_true(crowd(1));
	pass(300);
	assert_false(crowd(1));
	/* Two are young, the third is not. */
	question(PCCRD_V1, 1, 1);
	ask(0, 1);
	ask(1, 1);
	assert_false(crowd(1));
	/* The same two, with their other addresses. */
	ask(BY_IPV6, 1);
	ask(BY_IPV6 + 1, 1);
	assert_false(crowd(1));
	ask(BY_IPV6 + 2, 1);
	assert_true(crowd(1));
	x.settings.policy.mode = MODE_LOCAL;
	configure();
	assert_false(crowd(1));
}

/* What nobody has is asked for again after a second in a crowd, and after 15
 * without. */
static void
test_nobody_in_a_crowd(void **state)
{
	uint8_t id[PCCRD_ID_SIZE];

	for (unsigned hosts = 2; hosts <= 3; hosts++) {
		set_id(id, hosts);
		n_probes = 0;
		discover_want(d, id, 1, 1000, NULL);
		for (unsigned i = 0; i < hosts; i++) {
			question(PCCRD_V1, hosts, 1);
			ask(i, 1);
		}
		while (discover_state(d, id) == DISCOVER_ASKING)
			pass(1);
		assert_int_equal(n_probes, 2);
		pass(990);
		assert_int_equal(discover_state(d, id), DISCOVER_NOBODY);
		pass(20);
		if (hosts < 3) {
			pass(13900);
			assert_int_equal(
				discover_state(d, id), DISCOVER_NOBODY);
			pass(100);
		}
		assert_int_equal(
			discover_want(d, id, 1, 1000, NULL), DISCOVER_ASKING);
		pass(2);
		assert_int_equal(n_probes, 3);
		pass(400);
	}
}

/* Others' questions push out what nobody has asked for lately. */
static void
test_crowd_among_many(void **state)
{
	uint32_t other = 1000;

	for (unsigned round = 0; round < 400; round++) {
		question(PCCRD_V2, other, 100);
		other += 100;
		ask(round % 50, 1);
		pass(20);
	}
	for (unsigned host = 0; host < 3; host++) {
		question(PCCRD_V2, 1, 8);
		ask(host, 1);
		for (unsigned i = 0; i < 20; i++) {
			question(PCCRD_V2, other, 100);
			other += 100;
			ask(100 + i, 1);
			pass(20);
		}
	}
	for (uint32_t i = 1; i <= 8; i++)
		assert_true(crowd(i));
	assert_false(crowd(1000));
}

static void
test_crowd_grows(void **state)
{
	struct parse_addr host = host_of(1);
	struct pccrd_held held = {.blocks = 3};
	char urn[PCCRD_URN_SIZE];
	struct discover_answer a = {.from = host,
		.relates_to = urn,
		.version = PCCRD_V1,
		.n_addrs = 1,
		.addrs = &host,
		.n_held = 1,
		.held = &held};

	set_id(held.id, 1);
	discover_want(d, held.id, 1, 1000, NULL);
	pass(2);
	pccrd_urn_format(urn, probe_uuid);
	discover_answered(d, &a);
	held.blocks = 2;
	discover_answered(d, &a);
	assert_false(crowd(1));
	held.blocks = 4;
	discover_answered(d, &a);
	assert_true(crowd(1));
	pass(10000);
	assert_false(crowd(1));
}

/* Every third host asks for what this content's last segment is. */
static void
test_crowd_of_a_content(void **state)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "tag";
	size_t len = 300000, ci_len;
	uint8_t *data = script_content(len);
	uint8_t *ci = script_information(data, len, 2, 0, 0, &ci_len);
	struct pccrc_info *info;
	struct pccrc_parser *parser = pccrc_parser_new(1 << 20);
	uint64_t empty, h = script_open(&x, ci, ci_len);
	bool flash = true;

	assert_int_equal(pccrc_parser_feed(parser, ci, ci_len), 0);
	assert_int_equal(pccrc_parser_finish(parser, x.bulk, &info), 0);
	assert_true(info->n_segments > 1);
	assert_int_equal(session_content_info(x.session, h, &flash), CORE_OK);
	assert_false(flash);
	question(PCCRD_V2, 1, 1);
	assert_int_equal(pccrc_segment_ids(x.bulk, info, info->n_segments - 1,
				 1, probe.ids[0].bytes),
		0);
	for (unsigned i = 0; i < 3; i++)
		ask(i, 1);
	assert_int_equal(session_content_info(x.session, h, &flash), CORE_OK);
	assert_true(flash);
	assert_int_equal(session_content_open(x.session, tag, &empty), CORE_OK);
	assert_int_equal(
		session_content_info(x.session, empty, &flash), CORE_OK);
	assert_false(flash);
	/* Another one's crowd. */
	pass(10000);
	question(PCCRD_V2, 1, 1);
	for (unsigned i = 0; i < 3; i++)
		ask(i, 1);
	assert_true(crowd(1));
	assert_int_equal(session_content_info(x.session, h, &flash), CORE_OK);
	assert_false(flash);
	pccrc_info_unref(info);
	pccrc_parser_free(parser);
	free(ci);
	free(data);
}

static void
no_memory_at(unsigned long n, bool *ret_failed)
{
	size_t answered = 0;

	hold(1, 1);
	failalloc_arm(n);
	for (unsigned i = 0; i < 4; i++)
		answered += answers_to(i, i % 2 + 1, 1, 2);
	*ret_failed = failalloc_disarm();
	/* Never more than an answer. */
	assert_true(answered >= (*ret_failed ? 3 : 4));
	if (!*ret_failed)
		assert_true(crowd(1));
	pass(100);
	assert_int_equal(answers_to(9, PCCRD_V1, 1, 1), 1);
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
	assert_true(n > 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_version_1),
		TEST(test_version_2),
		TEST(test_strange_stores),
		TEST(test_as_many_as_fit),
		TEST(test_backoff),
		TEST(test_heard_twice),
		TEST(test_second_look),
		TEST(test_few_to_one_host),
		TEST(test_limits),
		TEST(test_many_ids),
		TEST(test_flood),
		TEST(test_mode),
		TEST(test_own),
		TEST(test_quorum),
		TEST(test_quorum_of_both_families),
		TEST(test_quorum_of_the_window),
		TEST(test_may_have_quorum),
		TEST(test_quorum_settings),
		TEST(test_crowd),
		TEST(test_nobody_in_a_crowd),
		TEST(test_crowd_among_many),
		TEST(test_crowd_grows),
		TEST(test_crowd_of_a_content),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What peerdistctl asks about peers, over a discovery, a ledger and a store
 * that say what the test wants. */
#include <jansson.h>

#include "daemon/api/request.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/discover.h"
#include "daemon/core/ledger.h"
#include "tests/unit/api_harness.h"
#include "tests/unit/failalloc.h"

static const uint8_t known[64] = "a segment of which all is known, and more";
static const uint8_t other[64] = "a segment of which nothing is known at all";

/* Discovery. */

static struct {
	enum discover_state wanted; /* what discover_want() answers */
	enum discover_state state;
	unsigned version;
	uint32_t uid;
	struct discover_waiter *waiter;
	size_t n_peers;
	struct discover_peer peers[2];
} discovery;

struct discover {
	char nothing;
};

struct discover *
discover_new(struct service *svc)
{
	static struct discover d;

	return &d;
}

struct discover *
discover_free(struct discover *d)
{
	assert_null(discovery.waiter);
	return NULL;
}

void
discover_configure(struct discover *d)
{
}

enum discover_state
discover_want(struct discover *d, const uint8_t *id, unsigned content_version,
	uint32_t uid, struct discover_waiter *w)
{
	assert_memory_equal(id, known, PCCRD_ID_SIZE);
	discovery.version = content_version;
	discovery.uid = uid;
	discovery.state = discovery.wanted;
	if (discovery.wanted == DISCOVER_ASKING) {
		discovery.waiter = w;
		w->waiting = true;
	}
	return discovery.wanted;
}

void
discover_leave(struct discover_waiter *w)
{
	w->waiting = false;
	if (discovery.waiter == w)
		discovery.waiter = NULL;
}

enum discover_state
discover_state(struct discover *d, const uint8_t *id)
{
	return memcmp(id, known, PCCRD_ID_SIZE) == 0 ? discovery.state
						     : DISCOVER_UNKNOWN;
}

size_t
discover_peers(struct discover *d, const uint8_t *id, struct discover_peer *ret,
	size_t max)
{
	assert_true(max >= discovery.n_peers);
	memcpy(ret, discovery.peers, discovery.n_peers * sizeof(*ret));
	return discovery.n_peers;
}

void
discover_lost(
	struct discover *d, const uint8_t *id, const struct parse_addr *addr)
{
}

void
discover_obtained_some(struct discover *d, const uint8_t *id)
{
}

bool
discover_may_have_quorum(struct discover *d, const uint8_t *id)
{
	return false;
}

void
discover_obtained(struct discover *d, const uint8_t *id)
{
}

bool
discover_crowd(struct discover *d, const uint8_t *id)
{
	return false;
}

bool
discover_crowd_any(const struct discover *d)
{
	return false;
}

void
discover_heard(struct discover *d, const struct discover_question *q)
{
}

void
discover_answered(struct discover *d, const struct discover_answer *a)
{
}

/* The ledger. */

static struct ledger_view view;

struct ledger {
	char nothing;
};

struct ledger *
ledger_new(struct service *svc)
{
	static struct ledger l;

	return &l;
}

struct ledger *
ledger_free(struct ledger *l)
{
	return NULL;
}

void
ledger_block_from_peer(struct ledger *l, const uint8_t *id, size_t id_len,
	const struct parse_addr *addr)
{
}

void
ledger_block_from_application(
	struct ledger *l, const uint8_t *id, size_t id_len)
{
}

void
ledger_discovered(
	struct ledger *l, const uint8_t *id, size_t id_len, uint32_t answers)
{
}

void
ledger_trouble(struct ledger *l, const uint8_t *id, size_t id_len,
	enum ledger_trouble trouble, const struct parse_addr *addr)
{
}

bool
ledger_find(struct ledger *l, const uint8_t *id, size_t id_len,
	struct ledger_view *ret)
{
	if (memcmp(id, known, id_len) != 0)
		return false;
	*ret = view;
	return true;
}

/* The store. */

static struct block_store_ops store_ops;
static struct store_held held;

static void
fake_held(struct block_store *s, const uint8_t *id, size_t id_len,
	struct store_held *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (memcmp(id, known, id_len) == 0)
		*ret = held;
}

static int
setup(void **state)
{
	memset(&discovery, 0, sizeof(discovery));
	memset(&view, 0, sizeof(view));
	memset(&held, 0, sizeof(held));
	if (harness_setup(state) != 0)
		return -1;
	store_ops = *h.store->ops;
	store_ops.held = fake_held;
	h.store->ops = &store_ops;
	return 0;
}

/* The other end. */

static struct end
client_as(uint32_t uid)
{
	struct end e;

	end_open(&e, connect_as(uid));
	greet(&e, 0);
	return e;
}

static json_t *
get_document(struct end *e, uint64_t id)
{
	struct buf text;
	bool more = true;
	json_t *document;

	buf_init(&text, 64 << 20);
	while (more) {
		struct ipc_msg m;

		get(e, IPC_ADMIN_TEXT, id, &m);
		assert_int_equal(m.u.admin_text->code, 0);
		more = m.u.admin_text->more;
		buf_append(&text, m.u.admin_text->json,
			strlen(m.u.admin_text->json));
		ipc_msg_done(&m);
	}
	document = json_loadb((const char *)text.data, text.len,
		JSON_REJECT_DUPLICATES, NULL);
	buf_done(&text);
	assert_int_equal(json_integer_value(json_object_get(document, "v")), 1);
	return document;
}

static json_int_t
number(const json_t *object, const char *member)
{
	const json_t *v = json_object_get(object, member);

	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

static const char *
string(const json_t *object, const char *member)
{
	const char *s = json_string_value(json_object_get(object, member));

	assert_non_null(s);
	return s;
}

static struct parse_addr
address(const char *text)
{
	struct parse_addr addr;

	assert_int_equal(parse_addr_port(text, &addr), 0);
	return addr;
}

/* Peers. */

static void
put_peers(struct end *e, uint32_t action, const char *text)
{
	Pd__AdminPeers body = PD__ADMIN_PEERS__INIT;

	body.action = action;
	body.address = (char *)text;
	put(e, IPC_ADMIN_PEERS, 5, &body);
}

static void
set_peers(void)
{
	struct parse_addr peers[] = {
		address("192.0.2.7:80"), address("[2001:db8::1]:8080")};

	h.settings.peers = peers;
	h.settings.n_peers = ARRAY_LEN(peers);
	assert_int_equal(service_configure(h.service, &h.settings), 0);
	h.settings.n_peers = 0;
}

static void
everybody_sees_the_peers(void **state)
{
	static const char *const members[] = {"in_flight", "strikes",
		"quarantine_ms", "blocks", "bytes", "empty", "timeouts",
		"refused", "bad", "idle_ms"};
	struct end e = client_as(ALICE);
	const json_t *row;
	json_t *d;

	put_peers(&e, IPC_PEERS_LIST, "");
	d = get_document(&e, 5);
	assert_int_equal(json_array_size(json_object_get(d, "peers")), 0);
	json_decref(d);
	set_peers();
	put_peers(&e, IPC_PEERS_LIST, "");
	d = get_document(&e, 5);
	assert_int_equal(json_array_size(json_object_get(d, "peers")), 2);
	row = json_array_get(json_object_get(d, "peers"), 0);
	assert_string_equal(string(row, "address"), "192.0.2.7:80");
	assert_true(json_is_boolean(json_object_get(row, "fixed")));
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		assert_true(number(row, members[i]) >= 0);
	json_decref(d);
	end_close(&e);
}

static void
administrators_forgive(void **state)
{
	struct end e = client_as(ROOT);
	json_t *d;

	set_peers();
	put_peers(&e, IPC_PEERS_FORGIVE, "[2001:db8::1]:8080");
	d = get_document(&e, 5);
	assert_int_equal(number(d, "forgiven"), 1);
	json_decref(d);
	put_peers(&e, IPC_PEERS_FORGIVE, "192.0.2.7:81");
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_NOT_FOUND);
	put_peers(&e, IPC_PEERS_FORGIVE, "192.0.2.8:0");
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_NOT_FOUND);
	put_peers(&e, IPC_PEERS_FORGIVE, "peer.example:80");
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_INVALID_PARAMETER);
	put_peers(&e, IPC_PEERS_FORGIVE, "");
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_INVALID_PARAMETER);
	end_close(&e);
}

/* What others may not. */
static void
the_rest_is_for_administrators(void **state)
{
	Pd__AdminProbe probe = PD__ADMIN_PROBE__INIT;
	Pd__AdminMode mode = PD__ADMIN_MODE__INIT;
	struct end e = client_as(ALICE);

	set_peers();
	put_peers(&e, IPC_PEERS_FORGIVE, "192.0.2.7:80");
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_ACCESS_DENIED);
	probe.id = (ProtobufCBinaryData){PCCRD_ID_SIZE, (uint8_t *)known};
	put(&e, IPC_ADMIN_PROBE, 6, &probe);
	assert_int_equal(get_code(&e, IPC_REPLY, 6), ERROR_ACCESS_DENIED);
	assert_int_equal(discovery.version, 0);
	mode.action = IPC_MODE_SET;
	mode.mode = (char *)"local";
	put(&e, IPC_ADMIN_MODE, 7, &mode);
	assert_int_equal(get_code(&e, IPC_REPLY, 7), ERROR_ACCESS_DENIED);
	end_close(&e);
}

/* Probe. */

static void
put_probe(struct end *e, uint64_t id, uint32_t version)
{
	Pd__AdminProbe body = PD__ADMIN_PROBE__INIT;

	body.id = (ProtobufCBinaryData){PCCRD_ID_SIZE, (uint8_t *)known};
	body.version = version;
	put(e, IPC_ADMIN_PROBE, id, &body);
}

static void
two_hosts_answer(void)
{
	discovery.peers[0] = (struct discover_peer){
		.addr = address("192.0.2.7:80"),
		.blocks = UINT32_MAX,
		.age_ds = PCCRD_AGE_UNKNOWN,
		.delay_ms = 7,
	};
	discovery.peers[1] = (struct discover_peer){
		.addr = address("[fe80::1%3]:80"),
		.blocks = 12,
		.age_ds = 36000,
		.delay_ms = 64,
	};
	discovery.n_peers = 2;
}

/* As discovery would. */
static void
discovery_changes(enum discover_state state)
{
	discovery.state = state;
	discovery.waiter->changed(discovery.waiter);
}

static void
a_question_is_answered_when_it_is_over(void **state)
{
	struct end e = client_as(ROOT);
	const json_t *row;
	struct ipc_msg m;
	json_t *d;

	discovery.wanted = DISCOVER_ASKING;
	put_probe(&e, 5, 2);
	TURN_UNTIL(discovery.waiter != NULL);
	assert_int_equal(discovery.version, 2);
	assert_int_equal(discovery.uid, ROOT);
	two_hosts_answer();
	discovery_changes(DISCOVER_ASKING);
	assert_non_null(discovery.waiter);
	assert_false(service_idle(h.service));
	assert_false(get_now(&e, &m));
	discovery_changes(DISCOVER_FOUND);
	assert_null(discovery.waiter);
	assert_true(service_idle(h.service));
	d = get_document(&e, 5);
	assert_string_equal(string(d, "state"), "found");
	assert_true(json_is_true(json_object_get(d, "asked")));
	assert_int_equal(strlen(string(d, "id")), 64);
	assert_int_equal(json_array_size(json_object_get(d, "peers")), 2);
	row = json_array_get(json_object_get(d, "peers"), 0);
	assert_string_equal(string(row, "address"), "192.0.2.7:80");
	assert_string_equal(string(row, "blocks"), "all");
	assert_int_equal(number(row, "delay_ms"), 7);
	assert_null(json_object_get(row, "age_ms"));
	row = json_array_get(json_object_get(d, "peers"), 1);
	assert_string_equal(string(row, "address"), "[fe80::1%3]:80");
	assert_int_equal(number(row, "blocks"), 12);
	assert_int_equal(number(row, "age_ms"), 3600000);
	json_decref(d);
	end_close(&e);
}

static void
what_is_known_is_answered_at_once(void **state)
{
	static const struct {
		enum discover_state state;
		const char *name;
	} rows[] = {{DISCOVER_OFF, "off"}, {DISCOVER_FOUND, "found"},
		{DISCOVER_NOBODY, "nobody"}};
	struct end e = client_as(ROOT);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *d;

		discovery.wanted = rows[i].state;
		put_probe(&e, i, 0);
		d = get_document(&e, i);
		assert_int_equal(discovery.version, 1);
		assert_string_equal(string(d, "state"), rows[i].name);
		assert_string_equal(string(d, "mode"), "local");
		assert_string_equal(string(d, "status"), "available");
		assert_true(json_is_false(json_object_get(d, "asked")));
		json_decref(d);
	}
	assert_true(service_idle(h.service));
	end_close(&e);
}

static void
a_question_outlives_its_client(void **state)
{
	struct end e = client_as(ROOT);

	discovery.wanted = DISCOVER_ASKING;
	put_probe(&e, 5, 1);
	TURN_UNTIL(discovery.waiter != NULL);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
	assert_false(service_idle(h.service));
	discovery_changes(DISCOVER_NOBODY);
	assert_true(service_idle(h.service));
}

static void
without_memory_nobody_is_asked(void **state)
{
	struct end e = client_as(ROOT);
	bool failed;

	put_probe(&e, 5, 1);
	failalloc_arm(1);
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_NOT_ENOUGH_MEMORY);
	failed = failalloc_disarm();
	assert_true(failed);
	assert_int_equal(discovery.version, 0);
	assert_true(service_idle(h.service));
	end_close(&e);
}

static void
a_client_has_a_few_questions(void **state)
{
	struct discover_waiter *running[REQUESTS_MAX];
	struct end e = client_as(ROOT);

	discovery.wanted = DISCOVER_ASKING;
	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		discovery.waiter = NULL;
		put_probe(&e, i, 1);
		TURN_UNTIL(discovery.waiter != NULL);
		running[i] = discovery.waiter;
	}
	put_probe(&e, 50, 1);
	assert_int_equal(
		get_code(&e, IPC_REPLY, 50), ERROR_NO_SYSTEM_RESOURCES);
	discovery.waiter = NULL;
	discovery.state = DISCOVER_NOBODY;
	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		running[i]->changed(running[i]);
		json_decref(get_document(&e, i));
	}
	end_close(&e);
}

/* Explain. */

static void
put_explain(struct end *e, const uint8_t *ids, size_t n, uint32_t id_size)
{
	Pd__AdminExplain body = PD__ADMIN_EXPLAIN__INIT;

	body.ids = (ProtobufCBinaryData){n * id_size, (uint8_t *)ids};
	body.id_size = id_size;
	put(e, IPC_ADMIN_EXPLAIN, 5, &body);
}

static void
hold(unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		held.blocks[i / 64] |= 1ull << (i % 64);
	held.n_blocks += n;
}

static void
check_known(const json_t *row)
{
	const json_t *history = json_object_get(row, "history");
	const json_t *source;

	assert_int_equal(number(row, "held"), 73);
	assert_string_equal(string(row, "blocks"), "0,2-3,60-127,510-511");
	assert_string_equal(string(row, "discovery"), "nobody");
	assert_int_equal(number(history, "from_application"), 3);
	assert_int_equal(number(history, "from_peers"), 70);
	assert_int_equal(number(history, "asked"), 4);
	assert_int_equal(number(history, "answers"), 1);
	assert_int_equal(number(history, "age_ms"), 1234);
	assert_string_equal(string(history, "trouble"), "timeout");
	assert_string_equal(string(history, "trouble_with"), "192.0.2.9:80");
	assert_int_equal(
		json_array_size(json_object_get(history, "sources")), 1);
	source = json_array_get(json_object_get(history, "sources"), 0);
	assert_string_equal(string(source, "address"), "192.0.2.7:80");
	assert_int_equal(number(source, "blocks"), 70);
}

static void
what_is_here_and_where_it_came_from(void **state)
{
	struct end e = client_as(ALICE);
	uint8_t ids[2 * PCCRD_ID_SIZE];
	const json_t *rows;
	json_t *d;

	memcpy(ids, known, PCCRD_ID_SIZE);
	memcpy(ids + PCCRD_ID_SIZE, other, PCCRD_ID_SIZE);
	hold(0, 1);
	hold(2, 2);
	hold(60, 68);
	hold(510, 2);
	view = (struct ledger_view){.from_application = 3,
		.from_peers = 70,
		.n_sources = 1,
		.sources = {{address("192.0.2.7:80"), 70}},
		.asked = 4,
		.answers = 1,
		.trouble = LEDGER_TIMEOUT,
		.has_addr = true,
		.addr = address("192.0.2.9:80"),
		.age_ms = 1234};
	discovery.state = DISCOVER_NOBODY;
	put_explain(&e, ids, 2, PCCRD_ID_SIZE);
	d = get_document(&e, 5);
	assert_string_equal(string(d, "mode"), "local");
	rows = json_object_get(d, "segments");
	assert_int_equal(json_array_size(rows), 2);
	check_known(json_array_get(rows, 0));
	rows = json_array_get(rows, 1);
	assert_int_equal(number(rows, "held"), 0);
	assert_string_equal(string(rows, "blocks"), "");
	assert_string_equal(string(rows, "discovery"), "unknown");
	assert_null(json_object_get(rows, "history"));
	json_decref(d);
	end_close(&e);
}

static void
every_trouble_has_a_name(void **state)
{
	static const char *const names[_LEDGER_TROUBLE_MAX] = {"none", "mode",
		"no-source", "nobody", "empty", "timeout", "refused", "bad",
		"unstored"};
	struct end e = client_as(BOB);

	for (unsigned i = 0; i < _LEDGER_TROUBLE_MAX; i++) {
		const json_t *row;
		json_t *d;

		view.trouble = (enum ledger_trouble)i;
		put_explain(&e, known, 1, PCCRD_ID_SIZE);
		d = get_document(&e, 5);
		row = json_array_get(json_object_get(d, "segments"), 0);
		row = json_object_get(row, "history");
		assert_string_equal(string(row, "trouble"), names[i]);
		assert_null(json_object_get(row, "trouble_with"));
		json_decref(d);
	}
	end_close(&e);
}

/* As many as there may be, with two blocks of three each: as long as can be. */
static void
long_answers_come_whole(void **state)
{
	static uint8_t ids[IPC_IDS_MAX][64];
	struct end e = client_as(ALICE);
	const json_t *rows;
	json_t *d;

	for (unsigned i = 0; i < IPC_IDS_MAX; i++)
		memcpy(ids[i], known, sizeof(ids[i]));
	for (unsigned i = 0; i < 512; i += 3)
		hold(i, 2);
	put_explain(&e, ids[0], IPC_IDS_MAX, 64);
	d = get_document(&e, 5);
	rows = json_object_get(d, "segments");
	assert_int_equal(json_array_size(rows), IPC_IDS_MAX);
	rows = json_array_get(rows, IPC_IDS_MAX - 1);
	assert_int_equal(number(rows, "held"), 342);
	assert_memory_equal(string(rows, "blocks"), "0-1,3-4,", 8);
	assert_non_null(strstr(string(rows, "blocks"), ",510-511"));
	/* Nobody can be asked for such ids. */
	assert_null(json_object_get(rows, "discovery"));
	json_decref(d);
	end_close(&e);
}

/* Mode. */

static enum core_result
hook_set_mode(void *ctx, const char *mode, struct json *j)
{
	if (mode != NULL && strcmp(mode, "locked") == 0)
		return CORE_E_DISABLED;
	if (mode != NULL && strcmp(mode, "distributed") != 0)
		return CORE_E_BAD_PARAMETER;
	json_out_text(j, "mode", mode != NULL ? mode : "as it is");
	return CORE_OK;
}

static void
put_mode(struct end *e, uint64_t id, uint32_t action, const char *mode)
{
	Pd__AdminMode body = PD__ADMIN_MODE__INIT;

	body.action = action;
	body.mode = (char *)mode;
	put(e, IPC_ADMIN_MODE, id, &body);
}

static void
modes_go_to_the_manager(void **state)
{
	struct end e = client_as(ROOT), alice = client_as(ALICE);
	json_t *d;

	put_mode(&e, 1, IPC_MODE_GET, "");
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_NOT_SUPPORTED);
	h.set.hooks.set_mode = hook_set_mode;
	put_mode(&e, 2, IPC_MODE_SET, "distributed");
	d = get_document(&e, 2);
	assert_string_equal(string(d, "mode"), "distributed");
	json_decref(d);
	put_mode(&e, 3, IPC_MODE_SET, "locked");
	assert_int_equal(
		get_code(&e, IPC_REPLY, 3), ERROR_ACCESS_DISABLED_BY_POLICY);
	put_mode(&e, 4, IPC_MODE_SET, "");
	assert_int_equal(get_code(&e, IPC_REPLY, 4), ERROR_INVALID_PARAMETER);
	put_mode(&alice, 5, IPC_MODE_GET, "distributed");
	d = get_document(&alice, 5);
	assert_string_equal(string(d, "mode"), "as it is");
	json_decref(d);
	end_close(&e);
	end_close(&alice);
}

/* Status. */

static void
status_tells_of_uploads(void **state)
{
	Pd__AdminRequest body = PD__ADMIN_REQUEST__INIT;
	struct end e = client_as(ALICE);
	const json_t *uploads;
	json_t *d;

	h.settings.uploads = 17;
	set_peers();
	put(&e, IPC_ADMIN_STATUS, 5, &body);
	d = get_document(&e, 5);
	uploads = json_object_get(d, "uploads");
	assert_int_equal(number(uploads, "running"), 0);
	assert_int_equal(number(uploads, "max"), 17);
	assert_int_equal(number(uploads, "given_up"), 0);
	assert_int_equal(number(uploads, "bytes"), 0);
	assert_int_equal(json_array_size(json_object_get(d, "peers")), 2);
	json_decref(d);
	end_close(&e);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, harness_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(everybody_sees_the_peers),
		T(administrators_forgive),
		T(the_rest_is_for_administrators),
		T(a_question_is_answered_when_it_is_over),
		T(what_is_known_is_answered_at_once),
		T(a_question_outlives_its_client),
		T(without_memory_nobody_is_asked),
		T(a_client_has_a_few_questions),
		T(what_is_here_and_where_it_came_from),
		T(every_trouble_has_a_name),
		T(long_answers_come_whole),
		T(modes_go_to_the_manager),
		T(status_tells_of_uploads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fetch_env.h"

#include <arpa/inet.h>

struct parse_addr
fetch_addr(unsigned peer)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(80),
		.sin_addr.s_addr = htonl(0xC0000200u + peer),
	};
	struct parse_addr a = {.len = sizeof(in)};

	memcpy(&a.ss, &in, sizeof(in));
	return a;
}

static void
on_probe(struct script *x, const struct env_probe *probe)
{
	struct fetch_env *e = container_of(x, struct fetch_env, x);

	e->n_probes++;
	e->probe = *probe;
	free(e->ids);
	e->ids = malloc(probe->n_ids * PCCRD_ID_SIZE);
	if (e->ids == NULL) /* an injected failure comes once */
		e->ids = malloc(probe->n_ids * PCCRD_ID_SIZE);
	memcpy(e->ids, probe->ids, probe->n_ids * PCCRD_ID_SIZE);
}

void
fetch_fixed(struct fetch_env *e, unsigned first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		e->peers[i] = fetch_addr(first + (unsigned)i);
	e->x.settings.peers = e->peers;
	e->x.settings.n_peers = n;
	assert_int_equal(service_configure(e->x.service, &e->x.settings), 0);
}

void
fetch_init(struct fetch_env *e, int version, size_t n_fixed)
{
	memset(e, 0, sizeof(*e));
	e->data = script_content(FETCH_LEN);
	e->ci = script_information(
		e->data, FETCH_LEN, version, 0, 0, &e->ci_len);
	script_init(&e->x, MODE_DISTRIBUTED);
	e->x.on_probe = on_probe;
	e->x.settings.probe_timeout_ms = 300;
	assert_int_equal(pccrc_parse(e->ci, e->ci_len, e->x.bulk, &e->info), 0);
	fetch_fixed(e, 1, n_fixed);
	e->handle = fetch_open(e);
}

uint64_t
fetch_open(struct fetch_env *e)
{
	return script_open(&e->x, e->ci, e->ci_len);
}

struct session *
fetch_other_user(struct fetch_env *e, uint64_t *ret_handle)
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

void
fetch_done(struct fetch_env *e)
{
	pccrc_info_unref(e->info);
	script_done(&e->x);
	free(e->data);
	free(e->ci);
	free(e->ids);
}

uint64_t
fetch_read(struct fetch_env *e, uint64_t offset, uint32_t len)
{
	uint64_t op = script_op(&e->x);

	assert_int_equal(session_block_read(e->x.session, op, e->handle, offset,
				 len, 60000),
		CORE_OK);
	script_settle(&e->x);
	return op;
}

uint64_t
fetch_stream(struct fetch_env *e, uint32_t len)
{
	uint64_t op = script_op(&e->x);

	assert_int_equal(
		session_stream_read(e->x.session, op, e->handle, len, 60000),
		CORE_OK);
	script_settle(&e->x);
	return op;
}

struct script_op *
fetch_op(struct fetch_env *e, uint64_t op)
{
	return script_op_of(&e->x, op);
}

void
fetch_check_read(
	struct fetch_env *e, uint64_t id, uint64_t offset, uint32_t bytes)
{
	struct script_op *op = fetch_op(e, id);

	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.status, CORE_OK);
	assert_int_equal(op->result.offset, offset);
	assert_true(op->result.bytes > 0);
	if (bytes != 0)
		assert_int_equal(op->result.bytes, bytes);
	assert_memory_equal(op->data, e->data + offset, op->result.bytes);
}

void
fetch_check_missing(
	struct fetch_env *e, uint64_t id, uint64_t offset, uint32_t bytes)
{
	struct script_op *op = fetch_op(e, id);

	assert_int_equal(op->completions, 1);
	assert_int_equal(op->result.status, CORE_E_MISSING_DATA);
	assert_int_equal(op->result.offset, offset);
	assert_int_equal(op->result.bytes, bytes);
}

void
fetch_check_pending(struct fetch_env *e, uint64_t id)
{
	assert_int_equal(fetch_op(e, id)->acks, 1);
	assert_int_equal(fetch_op(e, id)->completions, 0);
}

static bool
is_to(const struct env_peer_request *r, unsigned peer)
{
	struct parse_addr a = fetch_addr(peer);

	return peer == 0 ||
		(r->addr.len == a.len &&
			memcmp(&r->addr.ss, &a.ss, a.len) == 0);
}

size_t
fetch_find(struct fetch_env *e, unsigned peer, enum env_peer_kind kind,
	uint32_t block)
{
	for (size_t i = 0; i < e->x.n_requests; i++) {
		const struct env_peer_request *r = e->x.requests[i];

		if (r->kind == kind && is_to(r, peer) &&
			(block == ANY_BLOCK || r->block == block))
			return i;
	}
	return NO_REQUEST;
}

size_t
fetch_count(struct fetch_env *e, unsigned peer, enum env_peer_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < e->x.n_requests; i++)
		n += e->x.requests[i]->kind == kind &&
			is_to(e->x.requests[i], peer);
	return n;
}

/* Blocks that have come wait a moment for others. */
static void
settle(struct fetch_env *e)
{
	script_settle(&e->x);
	script_time(&e->x, 3);
	script_settle(&e->x);
}

void
fetch_good(struct fetch_env *e, unsigned peer, uint32_t block)
{
	size_t i = fetch_find(e, peer, ENV_PEER_BLOCK, block);

	assert_true(i != NO_REQUEST);
	script_answer_good(&e->x, i, e->data, FETCH_LEN, e->info);
	settle(e);
}

void
fetch_wrong(struct fetch_env *e, unsigned peer, uint32_t block)
{
	size_t i = fetch_find(e, peer, ENV_PEER_BLOCK, block);
	uint8_t *lie = malloc(FETCH_LEN);

	assert_true(i != NO_REQUEST);
	for (size_t k = 0; k < FETCH_LEN; k++)
		lie[k] = (uint8_t)(e->data[k] ^ 1);
	script_answer_good(&e->x, i, lie, FETCH_LEN, e->info);
	settle(e);
	free(lie);
}

void
fetch_answer(struct fetch_env *e, unsigned peer, enum env_peer_kind kind,
	enum env_peer_status status)
{
	size_t i = fetch_find(e, peer, kind, ANY_BLOCK);

	assert_true(i != NO_REQUEST);
	script_answer(&e->x, i, status);
	script_settle(&e->x);
}

void
fetch_list(struct fetch_env *e, unsigned peer, uint32_t first, uint32_t n)
{
	size_t i = fetch_find(e, peer, ENV_PEER_LIST, ANY_BLOCK);

	assert_true(i != NO_REQUEST);
	for (uint32_t k = first; k < first + n; k++)
		pccrr_set_add(&e->x.requests[i]->held, k);
	script_answer(&e->x, i, ENV_PEER_OK);
	script_settle(&e->x);
}

void
fetch_all_good(struct fetch_env *e)
{
	while (e->x.n_requests > 0) {
		script_answer_good(&e->x, 0, e->data, FETCH_LEN, e->info);
		settle(e);
	}
}

void
fetch_found(struct fetch_env *e, unsigned peer, uint32_t blocks)
{
	struct parse_addr addr = fetch_addr(peer);
	struct pccrd_held held[PCCRD_IDS_MAX] = {0};
	char urn[PCCRD_URN_SIZE];
	struct discover_answer a = {
		.from = addr,
		.relates_to = urn,
		.version = e->probe.version,
		.n_addrs = 1,
		.addrs = &addr,
		.n_held = e->probe.n_ids,
		.held = held,
	};

	assert_true(e->probe.n_ids <= ARRAY_LEN(held));
	for (size_t i = 0; i < e->probe.n_ids; i++) {
		memcpy(held[i].id, e->ids[i], PCCRD_ID_SIZE);
		held[i].blocks = blocks;
	}
	pccrd_urn_format(urn, e->probe.uuid);
	discover_answered(service_discover(e->x.service), &a);
	script_settle(&e->x);
}

struct seeking {
	struct parse_addr addr;
	struct fetch_seen seen;
};

static void
see(const struct peer_view *v, void *ctx)
{
	struct seeking *s = ctx;

	s->seen.n++;
	if (v->addr.len == s->addr.len &&
		memcmp(&v->addr.ss, &s->addr.ss, s->addr.len) == 0)
		s->seen.view = *v;
}

struct fetch_seen
fetch_peer(struct fetch_env *e, unsigned peer)
{
	struct seeking s = {.addr = fetch_addr(peer)};

	service_each_peer(e->x.service, see, &s);
	return s.seen;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may do what, when, and how much of it; and what running out of memory
 * does. */
#include "tests/unit/core_env.h"
#include "tests/unit/failalloc.h"

#include "common/err.h"

#define LEN 150000u

static const struct session_label label = {(const uint8_t *)"a label", 7};
static const struct session_range whole = {0, 0};
static const uint8_t tag[SESSION_TAG_SIZE] = "tag";
static uint8_t *data;
static uint8_t *ci;
static size_t ci_len;

static int
setup(void **state)
{
	data = script_content(LEN);
	ci = script_information(data, LEN, 1, 0, 0, &ci_len);
	return 0;
}

static int
teardown(void **state)
{
	free(data);
	free(ci);
	return 0;
}

static void
configure(struct script *x)
{
	assert_int_equal(service_configure(x->service, &x->settings), 0);
}

/* Off and on: calls 1260 during, 4057 after, closing always. */
static void
test_policy_switch(void **state)
{
	uint64_t h, op, again;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	h = script_open(&x, ci, ci_len);
	op = script_op(&x);
	assert_int_equal(
		session_block_read(x.session, op, h, 0, 10, 5000), CORE_OK);
	x.settings.policy.enabled = false;
	configure(&x);
	assert_int_equal(
		script_op_of(&x, op)->result.status, CORE_E_INVALIDATED);
	assert_int_equal(x.last_status, SERVICE_DISABLED);
	assert_int_equal(
		session_block_read(x.session, script_op(&x), h, 0, 1, 0),
		CORE_E_DISABLED);
	assert_int_equal(
		session_client_cancel(x.session, h, op), CORE_E_DISABLED);
	assert_int_equal(
		session_content_open(x.session, tag, &again), CORE_E_DISABLED);
	assert_int_equal(
		session_client_cancel(x.session, h + 1, op), CORE_E_BAD_HANDLE);
	x.settings.policy.enabled = true;
	configure(&x);
	assert_int_equal(x.last_status, SERVICE_AVAILABLE);
	assert_int_equal(x.n_status, 2);
	assert_int_equal(
		session_block_read(x.session, script_op(&x), h, 0, 1, 0),
		CORE_E_INVALIDATED);
	assert_int_equal(
		session_client_cancel(x.session, h, op), CORE_E_INVALIDATED);
	assert_int_equal(session_content_close(x.session, h), CORE_OK);
	assert_int_equal(
		session_content_close(x.session, h), CORE_E_BAD_HANDLE);
	script_done(&x);
}

static void
test_unavailable(void **state)
{
	struct script x;
	uint64_t h;

	script_init(&x, MODE_LOCAL);
	service_ready(x.service, false);
	assert_int_equal(
		session_content_open(x.session, tag, &h), CORE_E_UNAVAILABLE);
	/* Both: policy wins. */
	x.settings.policy.enabled = false;
	configure(&x);
	assert_int_equal(
		session_content_open(x.session, tag, &h), CORE_E_DISABLED);
	script_done(&x);
}

static void
test_publications_end_with_the_epoch(void **state)
{
	struct session_slice s = {.inline_data = data, .len = 100};
	struct script x;
	uint64_t h, info;

	script_init(&x, MODE_LOCAL);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &h), CORE_OK);
	assert_int_equal(
		session_stream_add(x.session, script_op(&x), h, 100, &s),
		CORE_OK);
	assert_int_equal(
		session_stream_complete(x.session, script_op(&x), h), CORE_OK);
	script_settle(&x);
	assert_int_equal(
		script_info_open(&x, &label, &whole, 1, 2, &info), CORE_OK);
	x.settings.policy.enabled = false;
	configure(&x);
	x.settings.policy.enabled = true;
	configure(&x);
	assert_int_equal(session_retrieve(x.session, script_op(&x), info, 10),
		CORE_E_INVALIDATED);
	assert_int_equal(script_info_open(&x, &label, &whole, 1, 2, &info),
		CORE_E_NOT_FOUND);
	assert_int_equal(session_stream_close(x.session, h), CORE_OK);
	script_done(&x);
}

static struct session *
session_of(struct script *x, uint32_t uid, uint32_t gid)
{
	uint32_t *gids = malloc(sizeof(*gids));
	struct identity who = {.uid = uid, .n_gids = 1, .gids = gids};
	struct session *s;

	*gids = gid;
	assert_int_equal(
		session_new(&s, x->service, &who, NULL, &script_session_ops, x),
		CORE_OK);
	return s;
}

static void
test_roles(void **state)
{
	uint32_t clients = 100, publishers = 200, admins = 300;
	struct session *client, *publisher, *both;
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_DISTRIBUTED);
	client = session_of(&x, 7, clients);
	publisher = session_of(&x, 8, publishers);
	both = session_of(&x, 9, admins);
	x.settings.policy.clients = (struct policy_groups){false, 1, &clients};
	x.settings.policy.publishers =
		(struct policy_groups){false, 1, &publishers};
	x.settings.policy.admins = (struct policy_groups){false, 1, &admins};
	assert_int_equal(session_content_open(both, tag, &h), CORE_OK);
	configure(&x);
	assert_int_equal(session_roles(client), ROLE_CLIENT);
	assert_int_equal(session_roles(publisher), ROLE_PUBLISHER);
	assert_int_equal(session_roles(both), ROLE_ADMIN);
	assert_int_equal(
		session_content_info(both, h, &(bool){0}), CORE_E_DISABLED);
	assert_int_equal(session_publish_open(client, &label, 0, 2, &h),
		CORE_E_DISABLED);
	assert_int_equal(
		session_content_open(publisher, tag, &h), CORE_E_DISABLED);
	assert_int_equal(
		session_publish_open(publisher, &label, 0, 2, &h), CORE_OK);
	assert_int_equal(session_content_open(client, tag, &h), CORE_OK);
	/* A role that is taken away ends what is pending under it. */
	op = script_op(&x);
	assert_int_equal(session_flush(client, op, tag), CORE_OK);
	clients = 101;
	configure(&x);
	assert_int_equal(
		script_op_of(&x, op)->result.status, CORE_E_INVALIDATED);
	session_free(client, false);
	session_free(publisher, false);
	session_free(both, false);
	script_done(&x);
}

/* Two users: the same label twice, and no way to each other's things. */
static void
test_two_users(void **state)
{
	struct session *other;
	uint64_t mine, theirs, op;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	other = session_of(&x, 2000, 2000);
	assert_int_equal(
		session_publish_open(x.session, &label, 0, 2, &mine), CORE_OK);
	assert_int_equal(session_unpublish(other, 1, &label), CORE_E_NOT_FOUND);
	assert_int_equal(
		session_publish_open(other, &label, 0, 2, &theirs), CORE_OK);
	mine = script_open(&x, ci, ci_len);
	op = script_op(&x);
	assert_int_equal(
		session_block_read(x.session, op, mine, 0, 1, 5000), CORE_OK);
	script_settle(&x);
	assert_int_equal(session_content_open(other, tag, &theirs), CORE_OK);
	assert_int_equal(session_client_cancel(other, theirs, op),
		CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(session_client_cancel(other, theirs, 0),
		CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(
		session_admin_cancel(other, op), CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(session_server_cancel(other, &label, op),
		CORE_E_OPERATION_NOT_FOUND);
	assert_int_equal(script_op_of(&x, op)->completions, 0);
	assert_int_equal(session_admin_cancel(x.session, op), CORE_OK);
	session_free(other, false);
	script_done(&x);
}

static void
test_quotas(void **state)
{
	struct session *s[3];
	uint64_t h, op;
	struct script x;

	script_init(&x, MODE_DISTRIBUTED);
	x.settings.limits.max[QUOTA_SESSIONS] = 2;
	x.settings.limits.max[QUOTA_CONTENTS] = 2;
	x.settings.limits.max[QUOTA_OPERATIONS] = 3;
	configure(&x);
	s[0] = session_of(&x, 5, 5);
	s[1] = session_of(&x, 5, 5);
	assert_int_equal(
		session_new(&s[2], x.service, &(struct identity){.uid = 5},
			NULL, &script_session_ops, &x),
		CORE_E_NO_RESOURCES);
	/* Handles are counted over all sessions of the user. */
	assert_int_equal(session_content_open(s[0], tag, &h), CORE_OK);
	assert_int_equal(session_publish_open(s[1], &label, 0, 2, &h), CORE_OK);
	assert_int_equal(
		session_content_open(s[0], tag, &h), CORE_E_NO_RESOURCES);
	session_free(s[0], false);
	session_free(s[1], false);
	h = script_open(&x, ci, ci_len);
	for (int i = 0; i < 3; i++) {
		op = script_op(&x);
		assert_int_equal(
			session_block_read(x.session, op, h, 0, 1, 5000),
			CORE_OK);
	}
	assert_int_equal(
		session_block_read(x.session, script_op(&x), h, 0, 1, 5000),
		CORE_E_NO_RESOURCES);
	assert_int_equal(session_client_cancel(x.session, h, op), CORE_OK);
	assert_int_equal(
		session_block_read(x.session, script_op(&x), h, 0, 1, 5000),
		CORE_OK);
	script_settle(&x);
	assert_int_equal(
		quota_refused(service_quota(x.service), QUOTA_OPERATIONS), 1);
	script_done(&x);
}

/* Lies about the data area cost the connection, nothing else. */
static void
test_protocol(void **state)
{
	struct session_slice s = {.offset = SCRIPT_AREA_HALF - 10, .len = 11};
	struct script x;
	uint64_t h, op;

	script_init(&x, MODE_LOCAL);
	h = script_open(&x, ci, ci_len);
	assert_int_equal(session_return(x.session, SCRIPT_AREA_HALF, 4096),
		CORE_E_PROTOCOL);
	assert_int_equal(session_return(x.session, 0, 0), CORE_E_PROTOCOL);
	assert_int_equal(
		session_data_add(x.session, script_op(&x), h, 0, 100, &s),
		CORE_E_PROTOCOL);
	s = (struct session_slice){.offset = UINT32_MAX, .len = UINT32_MAX};
	assert_int_equal(session_data_add(x.session, script_op(&x), h, 0,
				 UINT32_MAX, &s),
		CORE_E_PROTOCOL);
	/* More than was announced, at once and later. */
	s = (struct session_slice){.inline_data = data, .len = 101};
	assert_int_equal(
		session_data_add(x.session, script_op(&x), h, 0, 100, &s),
		CORE_E_PROTOCOL);
	op = script_op(&x);
	s.len = 50;
	assert_int_equal(
		session_data_add(x.session, op, h, 0, 100, &s), CORE_OK);
	script_settle(&x);
	s.len = 51;
	assert_int_equal(session_feed(x.session, op, &s), CORE_E_PROTOCOL);
	/* An operation that has ended: the range comes back. */
	assert_int_equal(session_client_cancel(x.session, h, op), CORE_OK);
	x.n_released = 0;
	s = (struct session_slice){.offset = 0, .len = 50};
	assert_int_equal(session_feed(x.session, op, &s), CORE_OK);
	assert_int_equal(x.n_released, 1);
	script_done(&x);
}

/* The whole life of a content and a publication; every allocation on the way
 * fails once.  Results may be bad then, but each accepted operation ends once
 * and nothing is left. */
static int
whole_life(void *arg)
{
	static struct script x;
	struct session_slice s = {.inline_data = data, .len = 4000};
	bool oom = false;
	uint64_t h = 0;

	failalloc_disarm();
	script_init(&x, MODE_DISTRIBUTED);
	failalloc_arm(*(unsigned long *)arg);
#define TRY(call) \
	do { \
		enum core_result r_ = (call); \
		oom |= r_ == CORE_E_NO_MEMORY; \
		assert_true(r_ != CORE_E_PROTOCOL); \
		script_settle(&x); \
	} while (0)
	TRY(session_publish_open(x.session, &label, 0, 2, &h));
	TRY(session_stream_add(x.session, script_op(&x), h, 4000, &s));
	TRY(session_stream_complete(x.session, script_op(&x), h));
	TRY(script_info_open(&x, &label, &whole, 1, 2, &h));
	TRY(session_retrieve(x.session, script_op(&x), h, 1000));
	TRY(session_content_open(x.session, tag, &h));
	s = (struct session_slice){.inline_data = ci, .len = (uint32_t)ci_len};
	TRY(session_ci_add(x.session, script_op(&x), h, (uint32_t)ci_len, &s));
	TRY(session_ci_complete(x.session, script_op(&x), h));
	s = (struct session_slice){.inline_data = data, .len = 4000};
	TRY(session_data_add(x.session, script_op(&x), h, 0, 4000, &s));
	memcpy(x.area, data, LEN);
	s = (struct session_slice){.len = LEN};
	TRY(session_data_add(x.session, script_op(&x), h, 0, LEN, &s));
	TRY(session_block_read(x.session, script_op(&x), h, 0, 60000, 0));
	TRY(session_block_read(x.session, script_op(&x), h, 0, 0, 0));
	TRY(session_flush(x.session, script_op(&x), tag));
	TRY(session_stream_read(x.session, script_op(&x), h, 600, 5000));
#undef TRY
	oom |= failalloc_disarm();
	for (uint32_t i = 0; i < x.next_op; i++)
		assert_true(x.ops[i].acks == x.ops[i].completions ||
			i == x.next_op - 1);
	script_return(&x);
	script_done(&x);
	return oom ? -ENOMEM : 0;
}

static void
test_out_of_memory(void **state)
{
	unsigned long n = 0;

	while (whole_life(&(unsigned long){++n}) != 0)
		assert_true(n < 5000);
	print_message("%lu allocations\n", n - 1);
	assert_true(n > 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_switch),
		cmocka_unit_test(test_unavailable),
		cmocka_unit_test(test_publications_end_with_the_epoch),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_two_users),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_protocol),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

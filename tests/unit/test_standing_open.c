/* SPDX-License-Identifier: BSD-2-Clause */
/* Content information of standing publications. */
#include "tests/unit/standing_util.h"

static const uint8_t other_key[] = "another key";

/* All of a cursor. */
static uint8_t *
retrieve(struct script *x, uint64_t info, size_t *ret_len)
{
	uint8_t *all = malloc(1 << 20);
	size_t at = 0;

	for (;;) {
		uint64_t op = script_op(x);
		struct op_result *r = &script_op_of(x, op)->result;

		assert_int_equal(
			session_retrieve(x->session, op, info, 4000), CORE_OK);
		if (status_of(x, op) == CORE_E_NO_MORE)
			break;
		assert_int_equal(r->status, CORE_OK);
		memcpy(all + at, script_op_of(x, op)->data, r->bytes);
		at += r->bytes;
		script_return(x);
	}
	*ret_len = at;
	return all;
}

/* Content information of the data, made with this key. */
static uint8_t *
expected(struct script *x, const uint8_t *key, size_t key_len, int version,
	size_t *ret_len)
{
	struct pccrc_pub *pub = pccrc_pub_new(BOTH);
	struct pccrc_desc *desc;
	uint8_t *bytes;

	assert_int_equal(pccrc_pub_feed(pub, x->bulk, data, LEN), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, x->bulk, key, key_len, &desc), 0);
	assert_int_equal(
		pccrc_desc_build(desc, version, 0, LEN, &bytes, ret_len), 0);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	return bytes;
}

static void
check_information(
	struct script *x, uint64_t info, const uint8_t *want, size_t want_len)
{
	size_t len;
	uint8_t *got = retrieve(x, info, &len);

	assert_int_equal(len, want_len);
	assert_memory_equal(got, want, len);
	free(got);
}

/* What it is for: known to every later session of the user. */
static void
test_survives_its_session(void **state)
{
	struct session_label label = label_of(path_a);
	struct standing_view v;
	struct script x;
	uint64_t info;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	v = first_view(&x);
	assert_true(v.watched);
	assert_int_equal(v.uid, 1000);
	assert_int_equal(v.size, LEN);
	assert_int_equal(v.versions, BOTH);
	assert_int_equal(v.published_s, (x.wall_ms + x.now_ms) / 1000);
	assert_int_equal(v.counts.v1_segments, 1);
	assert_int_equal(v.counts.v1_blocks, 46);
	assert_true(v.counts.v2_segments > 20 && v.counts.v2_segments < 93);
	session_free(x.session, true);
	script_session(&x);
	for (uint32_t version = 1; version <= 2; version++) {
		size_t len;
		uint8_t *want = script_information(
			data, LEN, (int)version, 70000, 100000, &len);

		assert_int_equal(script_info_open(&x, &label,
					 &(struct session_range){70000, 100000},
					 version, version, &info),
			CORE_OK);
		check_information(&x, info, want, len);
		free(want);
	}
	/* Checks of the call itself. */
	assert_int_equal(script_info_open(&x, &label,
				 &(struct session_range){5, 0}, 1, 2, &info),
		CORE_E_BAD_PARAMETER);
	assert_int_equal(script_info_open(&x, &label,
				 &(struct session_range){LEN, 1}, 1, 2, &info),
		CORE_E_OUT_OF_BOUNDS);
	assert_int_equal(can_open(&x, "/nowhere"), CORE_E_NOT_FOUND);
	script_done(&x);
}

static void
test_versions(void **state)
{
	struct session_label label = label_of(path_a);
	struct script x;
	uint64_t info;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V2), CORE_OK);
	assert_int_equal(script_info_open(&x, &label, &whole, 1, 1, &info),
		CORE_E_CI_VERSION);
	assert_int_equal(
		script_info_open(&x, &label, &whole, 1, 2, &info), CORE_OK);
	x.settings.preferred_content_version = 1;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(script_info_open(&x, &label, &whole, 1, 2, &info),
		CORE_E_CI_VERSION);
	assert_int_equal(submit(&x, script_op(&x), path_a, path_a, V2),
		CORE_E_CI_VERSION);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(first_view(&x).versions, V1);
	assert_int_equal(
		script_info_open(&x, &label, &whole, 1, 2, &info), CORE_OK);
	script_done(&x);
}

enum how { LOST, SHUTDOWN, POLICY, KEY, _HOW_MAX };

/* A call that is answered later, and what happens meanwhile. */
static void
open_meanwhile(enum how how, unsigned steps)
{
	static const enum core_result want[_HOW_MAX] = {
		[SHUTDOWN] = CORE_E_BAD_HANDLE,
		[POLICY] = CORE_E_DISABLED,
		[KEY] = CORE_E_UNAVAILABLE,
	};
	struct session_label label = label_of(path_a);
	struct script x;
	uint64_t info;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	assert_int_equal(session_info_open(x.session, 9, &label, &whole,
				 &(struct session_versions){1, 2}, &info),
		CORE_LATER);
	for (unsigned i = 0; i < steps; i++)
		script_job(&x, 0);
	switch (how) {
	case LOST:
		x.session = session_free(x.session, false);
		break;
	case SHUTDOWN:
		x.session = session_free(x.session, true);
		break;
	case POLICY:
		x.settings.policy.enabled = false;
		assert_int_equal(service_configure(x.service, &x.settings), 0);
		break;
	default:
		assert_int_equal(service_set_key(x.service, other_key,
					 sizeof(other_key)),
			0);
		break;
	}
	assert_int_equal(x.n_replies, how == LOST ? 0 : 1);
	if (how != LOST)
		assert_int_equal(x.reply_result, want[how]);
	script_settle(&x);
	assert_int_equal(x.n_replies, how == LOST ? 0 : 1);
	if (x.session == NULL)
		script_session(&x);
	script_done(&x);
}

static void
test_open_meanwhile(void **state)
{
	for (unsigned steps = 0; steps < 2; steps++) {
		open_meanwhile(LOST, steps);
		open_meanwhile(SHUTDOWN, steps);
		open_meanwhile(POLICY, steps);
		open_meanwhile(KEY, steps);
	}
}

/* Nobody waits for a disk or a file system for longer than he would bear. */
static void
test_open_takes_long(void **state)
{
	struct session_label label = label_of(path_a);
	struct quota_user *user;
	struct script x;
	uint64_t info;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, V1), CORE_OK);
	user = quota_user_get(service_quota(x.service), 1000);
	assert_int_equal(session_info_open(x.session, 9, &label, &whole,
				 &(struct session_versions){1, 2}, &info),
		CORE_LATER);
	assert_int_equal(quota_used(user, QUOTA_OPERATIONS), 1);
	script_time(&x, 4999);
	assert_int_equal(x.n_replies, 0);
	script_time(&x, 3);
	assert_int_equal(x.n_replies, 1);
	assert_int_equal(x.reply_result, CORE_E_UNAVAILABLE);
	assert_int_equal(quota_used(user, QUOTA_OPERATIONS), 0);
	script_settle(&x);
	assert_int_equal(x.n_replies, 1);
	assert_int_equal(session_handles(x.session), 0);
	assert_int_equal(quota_used(user, QUOTA_BUFFER_BYTES), 0);
	x.settings.limits.max[QUOTA_OPERATIONS] = 0;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(can_open(&x, path_a), CORE_E_NO_RESOURCES);
	x.settings.limits.max[QUOTA_OPERATIONS] = 1;
	x.settings.limits.max[QUOTA_BUFFER_BYTES] = 1000;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(can_open(&x, path_a), CORE_E_NO_RESOURCES);
	assert_int_equal(quota_used(user, QUOTA_OPERATIONS), 0);
	quota_user_put(user);
	script_done(&x);
}

/* A new server secret: everything is described with it from now on. */
static void
test_new_key(void **state)
{
	struct session_label label = label_of(path_a), stream = label_of("x");
	uint32_t epoch;
	struct script x;
	uint64_t h, info, op;
	uint8_t *want;
	size_t len;

	init(&x);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(
		script_info_open(&x, &label, &whole, 1, 1, &info), CORE_OK);
	assert_int_equal(
		session_publish_open(x.session, &stream, 0, 2, &h), CORE_OK);
	/* A job that works with the old key is under way. */
	op = script_op(&x);
	assert_int_equal(session_stream_add(x.session, op, h, 100,
				 &(struct session_slice){
					 .inline_data = data, .len = 100}),
		CORE_OK);
	script_settle(&x);
	op = script_op(&x);
	assert_int_equal(session_stream_complete(x.session, op, h), CORE_OK);
	assert_int_equal(x.n_jobs, 1);
	epoch = service_epoch(x.service);
	x.n_status = 0;
	assert_int_equal(
		service_set_key(x.service, other_key, sizeof(other_key)), 0);
	assert_int_equal(service_epoch(x.service), epoch + 1);
	assert_int_equal(service_status(x.service), SERVICE_AVAILABLE);
	assert_int_equal(x.n_status, 2);
	assert_int_equal(x.last_status, SERVICE_AVAILABLE);
	assert_int_equal(status_of(&x, op), CORE_E_INVALIDATED);
	script_settle(&x);
	assert_int_equal(session_retrieve(x.session, script_op(&x), info, 10),
		CORE_E_INVALIDATED);
	assert_int_equal(can_open(&x, "x"), CORE_E_NOT_FOUND);
	for (uint32_t v = 1; v <= 2; v++) {
		assert_int_equal(
			script_info_open(&x, &label, &whole, v, v, &info),
			CORE_OK);
		want = expected(&x, other_key, sizeof(other_key), (int)v, &len);
		check_information(&x, info, want, len);
		sec_free(want, len);
	}
	/* A service that is not available stays so. */
	service_ready(x.service, false);
	assert_int_equal(
		service_set_key(x.service, other_key, sizeof(other_key)), 0);
	assert_int_equal(service_status(x.service), SERVICE_UNAVAILABLE);
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survives_its_session),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_open_meanwhile),
		cmocka_unit_test(test_open_takes_long),
		cmocka_unit_test(test_new_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

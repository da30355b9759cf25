/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct service_settings
settings_of(struct conf *c, const char *text)
{
	struct conf_text t = {"F", text, strlen(text), CONF_FROM_FILE};
	struct service_settings s;

	assert_non_null(c);
	assert_int_equal(conf_read_text(c, &t, NULL, NULL), 0);
	memset(&s, 0xa5, sizeof(s));
	settings_for_service(c, &s);
	return s;
}

static void
test_built_in(void **state)
{
	struct conf *c = conf_new();
	struct service_settings s = settings_of(c, "");

	assert_int_equal(s.policy.mode, MODE_LOCAL);
	assert_int_equal(s.probe_timeout_ms, 300);
	assert_int_equal(s.backoff_max_ms, 65);
	assert_int_equal(s.quorum, 10);
	assert_int_equal(s.quorum_forget_ms, 43200000);
	assert_int_equal(s.uploads, 64);
	assert_int_equal(s.upload_timeout_ms, 15000);
	assert_int_equal(s.upload_rate, 0);
	conf_free(c);
}

/* Parts of a millisecond count as a whole one. */
static void
test_values(void **state)
{
	static const char text[] =
		"[Service]\nMode = distributed\n"
		"[Discovery]\nProbeTimeout = 10001us\nBackoffMax = 1001us\n"
		"QuorumSize = 512\nQuorumForget = 365d\n"
		"[Upload]\nMaxSessions = 16384\nTimeout = 1h\n"
		"RateLimit = 16777215T\n";
	struct conf *c = conf_new();
	struct service_settings s = settings_of(c, text);

	assert_int_equal(s.policy.mode, MODE_DISTRIBUTED);
	assert_int_equal(s.probe_timeout_ms, 11);
	assert_int_equal(s.backoff_max_ms, 2);
	assert_int_equal(s.quorum, 512);
	assert_true(s.quorum_forget_ms == UINT64_C(365) * 86400000);
	assert_int_equal(s.uploads, 16384);
	assert_int_equal(s.upload_timeout_ms, 3600000);
	assert_true(s.upload_rate == UINT64_C(16777215) << 40);
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_built_in),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

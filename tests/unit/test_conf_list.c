/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings about peers, most of which are lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "daemon/conf.h"

/* What was told, one line per problem. */
struct reports {
	char text[8192];
	size_t len;
	size_t n;
};

static void
on_report(void *ctx, const char *origin, const char *text)
{
	struct reports *r = ctx;

	r->len += (size_t)snprintf(r->text + r->len, sizeof(r->text) - r->len,
		"%s: %s\n", origin, text);
	assert_true(r->len < sizeof(r->text));
	r->n++;
}

static void
assert_told(const struct reports *r, const char *part)
{
	if (strstr(r->text, part) == NULL)
		fail_msg("not told \"%s\" in:\n%s", part, r->text);
}

static void
read_as(struct conf *c, const char *text, enum conf_source kind,
	struct reports *r)
{
	struct conf_text t = {"F", text, strlen(text), kind};

	assert_int_equal(conf_read_text(c, &t, on_report, r), 0);
}

static void
assert_listens(const struct conf *c, const char *want)
{
	char text[PARSE_ADDR_TEXT];

	parse_addr_format(text, &c->retrieval_listen);
	assert_string_equal(text, want);
}

static void
test_peers_values(void **state)
{
	static const char text[] =
		"[Network]\nRetrievalListen = 192.0.2.1:0\n"
		"Interfaces = eth0, br-lan.5\nInterfaces = wlan0\n"
		"AllowPeers = 10.0.0.0/8 local\nAllowPeers = 2001:db8::/32\n"
		"[Discovery]\nProbeTimeout = 10s\nBackoffMax = 5s\n"
		"QuorumSize = 0\nQuorumForget = 1s\n"
		"[Upload]\nMaxSessions = 16384\nTimeout = 1h\n"
		"RateLimit = 10M\n";
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	read_as(c, text, CONF_FROM_FILE, &r);
	assert_string_equal(r.text, "");
	assert_listens(c, "192.0.2.1:0");
	assert_false(c->interfaces.all);
	assert_int_equal(c->interfaces.n, 3);
	assert_string_equal(c->interfaces.names[1], "br-lan.5");
	assert_string_equal(c->interfaces.names[2], "wlan0");
	assert_true(c->allow_peers.local);
	assert_int_equal(c->allow_peers.n, 2);
	assert_int_equal(c->probe_timeout_us, 10000000);
	assert_int_equal(c->backoff_max_us, 5000000);
	assert_int_equal(c->quorum_size, 0);
	assert_int_equal(c->quorum_forget_us, 1000000);
	assert_int_equal(c->upload_sessions, 16384);
	assert_int_equal(c->upload_timeout_us, 3600000000);
	assert_int_equal(c->upload_rate, 10u << 20);
	conf_free(c);
}

static bool
allows(const struct conf *c, const char *addr)
{
	struct parse_addr a;

	assert_int_equal(parse_addr_port(addr, &a), 0);
	return conf_nets_contain(
		&c->allow_peers, (const struct sockaddr *)&a.ss);
}

/* What is wrong in a list of networks lets nobody in. */
static void
test_networks(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	assert_false(allows(c, "192.0.2.1:1"));
	read_as(c,
		"[Network]\nAllowPeers = 10.0.0.0/8, 10.0.0.0/33, lan\n"
		"AllowPeers = 2001:db8::/32\n",
		CONF_FROM_FILE, &r);
	assert_int_equal(r.n, 1);
	assert_told(&r, "F:2: Network.AllowPeers");
	assert_told(&r, "left out");
	assert_string_equal(conf_value_of(c, "Network", "AllowPeers")->text,
		"10.0.0.0/8 2001:db8::/32");
	assert_false(c->allow_peers.local);
	assert_true(allows(c, "10.255.0.1:1"));
	assert_true(allows(c, "[::ffff:10.0.0.1]:1"));
	assert_true(allows(c, "[2001:db8:1::1]:1"));
	assert_false(allows(c, "11.0.0.1:1"));
	read_as(c, "[Network]\nAllowPeers = everybody\n", CONF_FROM_POLICY, &r);
	assert_false(c->allow_peers.local);
	assert_int_equal(c->allow_peers.n, 0);
	assert_false(allows(c, "10.255.0.1:1"));
	conf_free(c);
}

static void
test_interfaces(void **state)
{
	struct reports r = {.n = 0};
	struct conf *c = conf_new();

	read_as(c,
		"[Network]\nInterfaces = a/b .. a:b 0123456789abcdef . "
		"0123456789abcde\n",
		CONF_FROM_FILE, &r);
	assert_int_equal(r.n, 1);
	assert_told(&r, "F:2: Network.Interfaces");
	assert_int_equal(c->interfaces.n, 1);
	assert_string_equal(c->interfaces.names[0], "0123456789abcde");
	read_as(c, "[Network]\nInterfaces =\n", CONF_FROM_FILE, &r);
	assert_false(c->interfaces.all);
	assert_int_equal(c->interfaces.n, 0);
	read_as(c, "[Network]\nInterfaces = all\n", CONF_FROM_FILE, &r);
	assert_true(c->interfaces.all);
	assert_int_equal(r.n, 1);
	conf_free(c);
}

/* More than there is room for. */
static void
test_long_lists(void **state)
{
	static const struct {
		const char *name, *element;
	} rows[] = {
		{"Interfaces", "e"},
		{"AllowPeers", "192.0.2."},
	};
	struct conf *c = conf_new();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reports r = {.n = 0};

		for (unsigned k = 0; k < CONF_NETS_MAX + 2; k++) {
			char text[64];

			snprintf(text, sizeof(text), "[Network]\n%s = %s%u\n",
				rows[i].name, rows[i].element, k);
			read_as(c, text, CONF_FROM_FILE, &r);
		}
		assert_int_equal(r.n, 2);
		assert_told(&r, "too many");
	}
	assert_int_equal(c->interfaces.n, CONF_NAMES_MAX);
	assert_int_equal(c->allow_peers.n, CONF_NETS_MAX);
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers_values),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>

#include "common/macros.h"
#include "daemon/net/http_host.h"
#include "tests/unit/failalloc.h"

#define MANY 1000

static struct http_hosts hosts;

static int
setup(void **state)
{
	http_hosts_init(&hosts);
	return 0;
}

static struct parse_addr
addr_of(const char *text, uint32_t scope)
{
	struct parse_addr a = {.len = sizeof(a.ss)};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_scope_id = scope};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&a.ss, &in, sizeof(in));
		return a;
	}
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	memcpy(&a.ss, &in6, sizeof(in6));
	return a;
}

static struct http_host *
host(const char *text, uint32_t scope, unsigned conns)
{
	struct parse_addr a = addr_of(text, scope);
	struct http_host *h;

	assert_true(http_host_is_known(&a));
	h = http_host_get(&hosts, &a);
	assert_non_null(h);
	while (h->n_conns < conns)
		http_host_more(&hosts, h);
	return h;
}

static void
drop(struct http_host *h)
{
	for (unsigned n = h->n_conns; n > 0; n--)
		http_host_less(&hosts, h);
}

static void
check_empty(void)
{
	for (size_t i = 0; i < HTTP_HOST_SLOTS; i++)
		assert_true(LIST_EMPTY(&hosts.slots[i]));
	for (size_t i = 0; i < HTTP_HOST_RANKS; i++)
		assert_true(TAILQ_EMPTY(&hosts.ranks[i]));
}

static void
test_whose(void **state)
{
	static const struct {
		const char *a, *b;
		uint32_t scope_a, scope_b;
		bool same, prefix;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", 0, 0, true, false},
		{"192.0.2.1", "192.0.2.2", 0, 0, false, false},
		{"2001:db8::1", "2001:db8::ffff:0:0:1", 0, 0, true, true},
		{"2001:db8::1", "2001:db8:0:1::1", 0, 0, false, true},
		{"fd00:1::1", "fd00:1::2", 0, 0, true, true},
		{"fe80::1", "fe80::1", 3, 3, true, false},
		{"fe80::1", "fe80::1", 3, 4, false, false},
		{"fe80::1", "fe80::1", 1u << 24, 1, false, false},
		{"fe80::1", "fe80::2", 3, 3, false, false},
		{"::1", "::1", 0, 0, true, false},
		{"::1", "::2", 0, 0, false, false},
		/* the same bytes, elsewhere */
		{"32.1.13.184", "2001:db8::1", 0, 0, false, false},
		{"0.0.0.1", "::1", 0, 0, false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_host *a = host(rows[i].a, rows[i].scope_a, 1);
		struct http_host *b = host(rows[i].b, rows[i].scope_b, 1);

		if ((a == b) != rows[i].same)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		assert_int_equal(a->is_prefix, rows[i].prefix);
		if (a != b)
			drop(b);
		drop(a);
		check_empty();
	}
}

static void
test_unknown(void **state)
{
	struct parse_addr a = {.ss = {.ss_family = AF_UNIX}};

	assert_false(http_host_is_known(&a));
}

static void
test_greediest(void **state)
{
	struct http_host *one = host("192.0.2.1", 0, 1);
	struct http_host *three = host("192.0.2.3", 0, 3);
	struct http_host *ten = host("192.0.2.10", 0, 10);
	struct http_host *more = host("2001:db8::1", 0, 12);

	struct http_host *as_many = host("fd00::1", 0, 12);

	assert_ptr_equal(http_host_greediest(&hosts, 10), more);
	assert_ptr_equal(http_host_greediest(&hosts, 2), as_many);
	assert_ptr_equal(http_host_greediest(&hosts, 12), more);
	assert_null(http_host_greediest(&hosts, 13));
	drop(more);
	drop(as_many);
	assert_ptr_equal(http_host_greediest(&hosts, 2), ten);
	drop(ten);
	assert_ptr_equal(http_host_greediest(&hosts, 2), three);
	http_host_less(&hosts, three);
	http_host_less(&hosts, three);
	assert_null(http_host_greediest(&hosts, 2));
	assert_ptr_equal(http_host_greediest(&hosts, 1), one);
	drop(one);
	drop(three);
	assert_null(http_host_greediest(&hosts, 0));
	check_empty();
}

/* Nobody has twice as many as whoever is found. */
static void
test_many(void **state)
{
	static struct http_host *hs[MANY];
	uint32_t random = 1;
	char text[32];

	for (size_t i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "10.0.%zu.%zu", i / 250, i % 250);
		hs[i] = host(text, 0, 1);
	}
	for (unsigned i = 0; i < 20000; i++) {
		struct http_host *h, *found;
		unsigned most = 0;

		random = random * 1664525 + 1013904223;
		h = hs[(random >> 16) % (1 + i % MANY)];
		if (random >> 31 || h->n_conns == 1)
			http_host_more(&hosts, h);
		else
			http_host_less(&hosts, h);
		if (i % 100 != 0)
			continue;
		for (size_t k = 0; k < MANY; k++)
			most = MAX_OF(most, hs[k]->n_conns);
		found = http_host_greediest(&hosts, 1);
		assert_true(found->n_conns * 2 > most);
	}
	for (size_t i = 0; i < MANY; i++)
		drop(hs[i]);
	check_empty();
}

static int
scenario(void *arg)
{
	struct parse_addr a = addr_of("192.0.2.1", 0);
	struct http_host *h = http_host_get(&hosts, &a);

	http_host_put(h);
	http_host_put(NULL);
	check_empty();
	return h != NULL ? 0 : -ENOMEM;
}

static void
test_no_memory(void **state)
{
	assert_int_equal(failalloc_each(scenario, NULL), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whose, setup),
		cmocka_unit_test_setup(test_unknown, setup),
		cmocka_unit_test_setup(test_greediest, setup),
		cmocka_unit_test_setup(test_many, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

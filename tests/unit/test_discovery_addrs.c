/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "daemon/net/discovery_addrs.h"
#include "daemon/net/loop.h"
#include "daemon/net/netif.h"
#include "tests/unit/net_space.h"

#define OWN_PORT 8080

struct fixture {
	struct loop *loop;
	struct netif *netif;
	const struct netif_row *row; /* v0 */
	struct discovery_claim claim;
};

static void
on_changed(void *ctx)
{
}

static int
setup(void **state)
{
	struct fixture *f;

	*state = NULL;
	if (!net_space_enter())
		return 0;
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	assert_int_equal(loop_new(&f->loop, NULL, NULL), 0);
	net_space_cable(-1, "v0", "v1");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	if (f == NULL)
		return 0;
	f->netif = netif_free(f->netif);
	f->loop = loop_free(f->loop);
	free(f);
	return 0;
}

static void
look(const struct netif_row *row, void *ctx)
{
	struct fixture *f = ctx;

	if (strcmp(row->name, "v0") == 0)
		f->row = row;
}

/* The addresses of v0 are there. */
static struct fixture *
begin(void **state, const char *const *addrs)
{
	struct fixture *f = *state;

	if (f == NULL)
		skip();
	for (; *addrs != NULL; addrs++)
		net_space_ip(-1, "addr add %s dev v0", *addrs);
	assert_int_equal(netif_new(&f->netif, f->loop,
				 &(struct netif_settings){.all = true},
				 on_changed, NULL),
		0);
	netif_each(f->netif, look, f);
	assert_non_null(f->row);
	f->claim = (struct discovery_claim){
		.netif = f->netif, .row = f->row, .own_port = OWN_PORT};
	return f;
}

static struct parse_addr
addr(const char *text)
{
	struct parse_addr a;

	assert_int_equal(parse_addr_port(text, &a), 0);
	return a;
}

/* Addresses with blanks between, %0 for the scope of v0. */
static void
assert_list(const struct fixture *f, const struct parse_addr *list, size_t n,
	const char *expected)
{
	char text[PARSE_ADDR_TEXT], scope[16], *at;
	struct buf b;

	snprintf(scope, sizeof(scope), "%%%u]", f->row->index);
	buf_init(&b, 1024);
	for (size_t i = 0; i < n; i++) {
		parse_addr_format(text, &list[i]);
		at = strstr(text, scope);
		if (at != NULL)
			memmove(at + 1, at + strlen(scope) - 1,
				strlen(at + strlen(scope) - 1) + 1);
		buf_printf(&b, "%s%s", i > 0 ? " " : "", text);
	}
	buf_u8(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	assert_string_equal((const char *)b.data, expected);
	buf_done(&b);
}

static void
assert_own(const struct fixture *f, const char *to, const char *expected)
{
	struct parse_addr who = addr(to), ret[PCCRD_ADDRS_MAX];
	size_t n = discovery_addrs_own(f->row, &who, OWN_PORT, ret);

	assert_list(f, ret, n, expected);
}

#define ADDRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_own_of_ipv4(void **state)
{
	struct fixture *f = begin(state,
		ADDRS("192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24",
			"2001:db8::1/64 nodad"));

	assert_own(f, "192.0.2.9:5000", "192.0.2.1:8080");
	assert_own(f, "198.51.100.9:5000", "198.51.100.1:8080");
	assert_own(f, "203.0.113.9:5000", "");
}

static void
test_own_of_ipv6(void **state)
{
	struct fixture *f = begin(state,
		ADDRS("192.0.2.1/24", "fe80::1/64 nodad",
			"2001:db8:2::1/64 nodad preferred_lft 0",
			"2001:db8:1::1/64 nodad"));

	/* a link-local one says nothing of where he is */
	assert_own(f, "[fe80::9]:5000",
		"[2001:db8:1::1]:8080 [2001:db8:2::1]:8080");
	assert_own(f, "[2001:db8:1::9]:5000",
		"[2001:db8:1::1]:8080 [2001:db8:2::1]:8080");
	/* what goes away soon, but is his own */
	assert_own(f, "[2001:db8:2::9]:5000",
		"[2001:db8:2::1]:8080 [2001:db8:1::1]:8080");
}

static void
test_own_of_a_subnet_is_named_once(void **state)
{
	struct fixture *f =
		begin(state, ADDRS("fd00::1/64 nodad", "fd00::2/64 nodad"));
	struct parse_addr to = addr("[fe80::9]:5000"), ret[PCCRD_ADDRS_MAX];

	assert_int_equal(discovery_addrs_own(f->row, &to, OWN_PORT, ret), 1);
}

static void
test_own_without_global_addresses(void **state)
{
	struct fixture *f =
		begin(state, ADDRS("192.0.2.1/24", "fe80::1/64 nodad"));

	assert_own(f, "[fe80::9]:5000", "[fe80::1%]:8080");
	assert_own(f, "[2001:db8::9]:5000", "[fe80::1%]:8080");
}

static void
test_own_at_most(void **state)
{
	struct fixture *f = begin(state,
		ADDRS("fd00:1::1/64 nodad", "fd00:2::1/64 nodad",
			"fd00:3::1/64 nodad", "fd00:4::1/64 nodad",
			"fd00:5::1/64 nodad"));
	struct parse_addr to = addr("[fd00:3::9]:5000"), ret[PCCRD_ADDRS_MAX];

	assert_int_equal(discovery_addrs_own(f->row, &to, OWN_PORT, ret),
		PCCRD_ADDRS_MAX);
	assert_list(f, ret, 1, "[fd00:3::1]:8080");
}

/* claims: addresses with blanks between. */
static void
assert_believed(struct fixture *f, const char *from, const char *claims,
	const char *expected)
{
	struct parse_addr who = addr(from), list[8], ret[PCCRD_ADDRS_MAX];
	char text[512], *rest = text, *word;
	size_t n = 0;

	snprintf(text, sizeof(text), "%s", claims);
	while ((word = strsep(&rest, " ")) != NULL)
		list[n++] = addr(word);
	f->claim.from = &who;
	n = discovery_addrs_believed(&f->claim, n, list, ret);
	assert_list(f, ret, n, expected);
}

static void
test_believed_of_ipv4(void **state)
{
	struct fixture *f = begin(state,
		ADDRS("192.0.2.1/24", "198.51.100.1/24", "fd00::1/64 nodad"));
	const char *from = "192.0.2.9:3702";

	assert_believed(f, from, "192.0.2.9:80", "192.0.2.9:80");
	assert_believed(f, from, "192.0.2.10:80", "192.0.2.10:80");
	assert_believed(f, from, "192.0.2.9:0", "");
	assert_believed(f, from, "203.0.113.1:80", "");
	/* near, but not where he is */
	assert_believed(f, from, "198.51.100.9:80", "");
	assert_believed(f, from, "[fd00::9]:80", "");
	assert_believed(f, from, "[fe80::9]:80", "");
	assert_believed(f, from, "192.0.2.255:80", "");
	assert_believed(f, from, "239.255.255.250:80", "");
	assert_believed(f, from, "127.0.0.1:80", "");
	assert_believed(f, from, "0.0.0.0:80", "");
	/* another name for the same host */
	assert_believed(f, from, "[::ffff:192.0.2.9]:80", "");
	/* ourselves; another program speaks for itself only */
	assert_believed(f, from, "192.0.2.1:8080", "");
	assert_believed(f, from, "192.0.2.1:8081", "");
	assert_believed(f, "192.0.2.1:3702", "192.0.2.1:8080", "");
	assert_believed(
		f, "192.0.2.1:3702", "192.0.2.1:8081", "192.0.2.1:8081");
	assert_believed(f, from,
		"203.0.113.1:80 192.0.2.9:80 192.0.2.9:80 192.0.2.9:81",
		"192.0.2.9:80 192.0.2.9:81");
	assert_believed(f, from,
		"192.0.2.2:1 192.0.2.3:1 192.0.2.4:1 192.0.2.5:1 192.0.2.6:1",
		"192.0.2.2:1 192.0.2.3:1 192.0.2.4:1 192.0.2.5:1");
}

static void
test_believed_of_ipv6(void **state)
{
	struct fixture *f = begin(state,
		ADDRS("192.0.2.1/24", "fd00::1/64 nodad", "fd01::1/64 nodad",
			"fe80::1/64 nodad"));
	char local[64];

	assert_believed(f, "[fd00::9]:3702", "[fd00::a]:80", "[fd00::a]:80");
	assert_believed(f, "[fd00::9]:3702", "[fd01::9]:80", "");
	assert_believed(f, "[fd00::9]:3702", "[fe80::9]:80", "");
	assert_believed(f, "[fd00::9]:3702", "[2001:db8::9]:80", "");
	assert_believed(f, "[fd00::9]:3702", "[::1]:80", "");
	assert_believed(f, "[fd00::9]:3702", "[fd00::1]:8080", "");
	snprintf(local, sizeof(local), "[fe80::9%%%u]:3702", f->row->index);
	assert_believed(f, local,
		"[fd00::a]:80 [fd01::9]:80 192.0.2.9:80 [2001:db8::9]:80",
		"[fd00::a]:80 [fd01::9]:80 192.0.2.9:80");
	/* the interface is the one by which it came */
	assert_believed(f, local, "[fe80::9]:80", "[fe80::9%]:80");
	assert_believed(f, local, "[fe80::1]:8080", "");
	assert_believed(f, local, "[fe80::1]:8081", "");
	snprintf(local, sizeof(local), "[fe80::1%%%u]:3702", f->row->index);
	assert_believed(f, local, "[fe80::1]:8081", "[fe80::1%]:8081");
}

static bool
allow_low(void *ctx, const struct sockaddr *sa)
{
	struct sockaddr_in in;

	memcpy(&in, sa, sizeof(in));
	return (ntohl(in.sin_addr.s_addr) & 0xff) < 100;
}

static void
test_believed_and_allowed(void **state)
{
	struct fixture *f = begin(state, ADDRS("192.0.2.1/24"));

	f->claim.allow = allow_low;
	assert_believed(f, "192.0.2.9:3702", "192.0.2.200:80 192.0.2.50:80",
		"192.0.2.50:80");
}

#define IN_SPACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SPACE(test_own_of_ipv4),
		IN_SPACE(test_own_of_ipv6),
		IN_SPACE(test_own_of_a_subnet_is_named_once),
		IN_SPACE(test_own_without_global_addresses),
		IN_SPACE(test_own_at_most),
		IN_SPACE(test_believed_of_ipv4),
		IN_SPACE(test_believed_of_ipv6),
		IN_SPACE(test_believed_and_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

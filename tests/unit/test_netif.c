/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/macros.h"
#include "common/parse.h"
#include "daemon/net/loop.h"
#include "daemon/net/netif.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_space.h"

#define DEADLINE_MS 10000
#define TICK_MS     5

struct fixture {
	struct loop *loop;
	struct netif *netif;
	unsigned changes;
	/* waiting */
	bool (*ready)(struct fixture *);
	struct loop_alarm tick;
	uint64_t until_ms;
	/* what the test waits for */
	const char *name;
	size_t n_addrs;
	size_t n_rows;
};

static const struct netif_settings everything = {.all = true};

static void
on_changed(void *ctx)
{
	struct fixture *f = ctx;

	f->changes++;
}

static void
on_tick(struct loop_alarm *a)
{
	struct fixture *f = container_of(a, struct fixture, tick);

	if (f->ready(f) || loop_now_ms() > f->until_ms)
		loop_stop(f->loop);
	else
		loop_alarm_start(a, TICK_MS);
}

static void
wait_for(struct fixture *f, bool (*ready)(struct fixture *))
{
	f->ready = ready;
	f->until_ms = loop_now_ms() + DEADLINE_MS;
	loop_alarm_init(&f->tick, f->loop, on_tick);
	loop_alarm_start(&f->tick, 0);
	assert_int_equal(loop_run(f->loop), 0);
	loop_alarm_stop(&f->tick);
	assert_true(ready(f));
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

static struct fixture *
fixture_of(void **state)
{
	if (*state == NULL)
		skip();
	return *state;
}

static void
begin(struct fixture *f, const struct netif_settings *settings)
{
	assert_int_equal(
		netif_new(&f->netif, f->loop, settings, on_changed, f), 0);
	assert_int_equal(netif_error(f->netif), 0);
}

struct by_name {
	const char *name;
	const struct netif_row *row;
	size_t n;
};

static void
look(const struct netif_row *row, void *ctx)
{
	struct by_name *b = ctx;

	b->n++;
	if (strcmp(row->name, b->name) == 0)
		b->row = row;
}

static const struct netif_row *
row_of(const struct fixture *f, const char *name)
{
	struct by_name b = {.name = name};

	netif_each(f->netif, look, &b);
	return b.row;
}

static size_t
count_rows(const struct fixture *f)
{
	struct by_name b = {.name = ""};

	netif_each(f->netif, look, &b);
	return b.n;
}

/* ADDRESS or ADDRESS%INDEX */
static struct parse_addr
addr(const char *host)
{
	struct parse_addr a;
	char text[80];

	snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:1" : "%s:1",
		host);
	assert_int_equal(parse_addr_port(text, &a), 0);
	return a;
}

static bool
near(const struct fixture *f, const char *text)
{
	struct parse_addr a = addr(text);

	return netif_is_near(f->netif, (struct sockaddr *)&a.ss);
}

static bool
row_near(const struct netif_row *row, const char *text)
{
	struct parse_addr a = addr(text);

	return netif_row_near(row, (struct sockaddr *)&a.ss);
}

static bool
has_addrs(struct fixture *f)
{
	const struct netif_row *row = row_of(f, f->name);

	return row != NULL && row->up && row->n_addrs == f->n_addrs;
}

static bool
is_gone(struct fixture *f)
{
	return row_of(f, f->name) == NULL;
}

static bool
is_down(struct fixture *f)
{
	return !row_of(f, f->name)->up;
}

static bool
has_rows(struct fixture *f)
{
	return count_rows(f) == f->n_rows;
}

static void
wait_addrs(struct fixture *f, const char *name, size_t n)
{
	f->name = name;
	f->n_addrs = n;
	wait_for(f, has_addrs);
}

static void
test_what_is_there(void **state)
{
	struct fixture *f = fixture_of(state);
	const struct netif_row *row;

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	net_space_ip(-1, "addr add 2001:db8::1/64 dev v0 nodad");
	begin(f, &everything);
	assert_int_equal(count_rows(f), 3);
	row = row_of(f, "lo");
	assert_true(row->loopback && row->up);
	assert_false(row->enabled || row->multicast);
	row = row_of(f, "v0");
	assert_true(row->enabled && row->up && row->multicast);
	assert_false(row->loopback || row->port);
	assert_ptr_equal(netif_find(f->netif, row->index), row);
	assert_int_equal(row->n_addrs, 2);
	assert_true(netif_row_has(row, AF_INET));
	assert_true(netif_row_has(row, AF_INET6));
	assert_false(netif_row_has(row_of(f, "v1"), AF_INET));
	assert_null(netif_find(f->netif, 9999));
	assert_int_equal(f->changes, 0);
}

static void
test_coming_and_going(void **state)
{
	struct fixture *f = fixture_of(state);

	begin(f, &everything);
	assert_null(row_of(f, "v0"));
	net_space_cable(-1, "v0", "v1");
	wait_addrs(f, "v0", 0);
	assert_true(f->changes > 0);
	assert_false(near(f, "192.0.2.9"));
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	wait_addrs(f, "v0", 1);
	assert_true(near(f, "192.0.2.9"));
	net_space_ip(-1, "addr add 2001:db8::1/64 dev v0 nodad");
	wait_addrs(f, "v0", 2);
	assert_true(near(f, "2001:db8::9"));
	net_space_ip(-1, "addr del 192.0.2.1/24 dev v0");
	wait_addrs(f, "v0", 1);
	assert_false(near(f, "192.0.2.9"));
	net_space_ip(-1, "link set v0 down");
	wait_for(f, is_down);
	assert_false(near(f, "2001:db8::9"));
	net_space_ip(-1, "link del v0");
	wait_for(f, is_gone);
	assert_int_equal(count_rows(f), 1);
}

static void
test_down(void **state)
{
	struct fixture *f = fixture_of(state);

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	begin(f, &everything);
	assert_true(near(f, "192.0.2.9"));
	net_space_ip(-1, "link set v0 down");
	f->name = "v0";
	wait_for(f, is_down);
	assert_int_equal(row_of(f, "v0")->n_addrs, 1);
	assert_false(near(f, "192.0.2.9"));
	net_space_ip(-1, "link set v0 up");
	wait_addrs(f, "v0", 1);
	assert_true(near(f, "192.0.2.9"));
}

static bool
is_usable(struct fixture *f)
{
	const struct netif_row *row = row_of(f, f->name);

	return row->n_addrs == 1 && row->addrs[0].usable;
}

/* It is looked for others with the same address first. */
static void
test_address_of_ipv6_takes_time(void **state)
{
	struct fixture *f = fixture_of(state);

	net_space_cable(-1, "v0", "v1");
	begin(f, &everything);
	net_space_ip(-1, "addr add 2001:db8::1/64 dev v0");
	wait_addrs(f, "v0", 1);
	wait_for(f, is_usable);
	assert_true(netif_row_has(row_of(f, "v0"), AF_INET6));
}

static void
test_near(void **state)
{
	struct fixture *f = fixture_of(state);
	char text[64];
	unsigned index;

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.65/26 dev v0");
	net_space_ip(-1, "addr add 198.51.100.1/32 dev v0");
	net_space_ip(-1, "addr add 203.0.113.1 peer 203.0.113.2/32 dev v0");
	net_space_ip(-1, "addr add 2001:db8::1/63 dev v0 nodad");
	net_space_ip(-1, "addr add fe80::1/64 dev v0 nodad");
	begin(f, &(struct netif_settings){.all = false});
	assert_true(near(f, "192.0.2.65"));
	assert_true(near(f, "192.0.2.66"));
	assert_true(near(f, "192.0.2.126"));
	assert_false(near(f, "192.0.2.64"));
	assert_false(near(f, "192.0.2.127"));
	assert_false(near(f, "192.0.2.128"));
	assert_false(near(f, "192.0.2.63"));
	assert_true(near(f, "::ffff:192.0.2.66"));
	assert_false(near(f, "::ffff:192.0.2.128"));
	assert_true(near(f, "198.51.100.1"));
	assert_false(near(f, "198.51.100.2"));
	assert_true(near(f, "203.0.113.1"));
	assert_true(near(f, "203.0.113.2"));
	assert_false(near(f, "203.0.113.3"));
	assert_true(near(f, "2001:db8::2"));
	assert_true(near(f, "2001:db8:0:1::2"));
	assert_false(near(f, "2001:db8:0:2::2"));
	assert_true(near(f, "127.0.0.1"));
	assert_true(near(f, "127.1.2.3"));
	assert_true(near(f, "::1"));
	assert_true(near(f, "::ffff:127.0.0.1"));
	assert_false(near(f, "0.0.0.0"));
	assert_false(near(f, "::"));
	assert_false(near(f, "255.255.255.255"));
	assert_false(near(f, "239.255.255.250"));
	assert_false(near(f, "ff02::c"));
	index = row_of(f, "v0")->index;
	snprintf(text, sizeof(text), "fe80::9%%%u", index);
	assert_true(near(f, text));
	assert_true(row_near(row_of(f, "v0"), text));
	assert_false(row_near(row_of(f, "v1"), text));
	assert_true(row_near(row_of(f, "v0"), "fe80::9"));
	assert_false(row_near(row_of(f, "v1"), "fe80::9"));
	snprintf(text, sizeof(text), "fe80::9%%%u", row_of(f, "v1")->index);
	assert_false(near(f, text));
	assert_false(netif_is_near(
		f->netif, &(struct sockaddr){.sa_family = AF_UNIX}));
}

static bool
same(const struct netif_row *row, const char *a, const char *b)
{
	struct parse_addr pa = addr(a), pb = addr(b);

	return netif_row_same_subnet(
		row, (struct sockaddr *)&pa.ss, (struct sockaddr *)&pb.ss);
}

static const struct netif_row *
owner(const struct fixture *f, const char *text)
{
	struct parse_addr a = addr(text);

	return netif_owner(f->netif, (struct sockaddr *)&a.ss);
}

static void
test_whose(void **state)
{
	struct fixture *f = fixture_of(state);
	const struct netif_row *row;

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	net_space_ip(-1, "addr add 198.51.100.1/24 dev v0");
	net_space_ip(-1, "addr add 2001:db8::1/64 dev v0 nodad");
	net_space_ip(-1, "addr add fe80::1/64 dev v0 nodad");
	net_space_ip(-1, "addr add 203.0.113.1/24 dev v1");
	begin(f, &everything);
	row = row_of(f, "v0");
	assert_true(same(row, "192.0.2.7", "192.0.2.8"));
	assert_true(same(row, "192.0.2.7", "::ffff:192.0.2.8"));
	assert_false(same(row, "192.0.2.7", "198.51.100.8"));
	assert_false(same(row, "192.0.2.7", "2001:db8::7"));
	assert_true(same(row, "2001:db8::8", "2001:db8::7"));
	assert_false(same(row, "2001:db8::8", "fe80::7"));
	assert_true(same(row, "fe80::8", "fe80::7"));
	assert_false(same(row, "203.0.113.7", "203.0.113.8"));
	assert_ptr_equal(owner(f, "192.0.2.1"), row);
	assert_ptr_equal(owner(f, "::ffff:192.0.2.1"), row);
	assert_ptr_equal(owner(f, "203.0.113.1"), row_of(f, "v1"));
	assert_null(owner(f, "192.0.2.2"));
	assert_ptr_equal(owner(f, "fe80::1"), row);
	assert_null(owner(f, "fe80::1%1"));
	assert_ptr_equal(owner(f, "127.0.0.1"), row_of(f, "lo"));
}

static void
test_own_addresses(void **state)
{
	struct fixture *f = fixture_of(state);
	char text[PARSE_ADDR_TEXT], expected[PARSE_ADDR_TEXT];
	const struct netif_row *row;
	struct parse_addr a;

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	net_space_ip(-1, "addr add fe80::1/64 dev v1 nodad");
	begin(f, &everything);
	row = row_of(f, "v0");
	netif_addr_get(row, &row->addrs[0], 80, &a);
	parse_addr_format(text, &a);
	assert_string_equal(text, "192.0.2.1:80");
	row = row_of(f, "v1");
	netif_addr_get(row, &row->addrs[0], 80, &a);
	parse_addr_format(text, &a);
	snprintf(expected, sizeof(expected), "[fe80::1%%%u]:80", row->index);
	assert_string_equal(text, expected);
	assert_true(netif_is_link_local((struct sockaddr *)&a.ss));
	a = addr("::1");
	assert_true(netif_is_loopback((struct sockaddr *)&a.ss));
	assert_false(netif_is_link_local((struct sockaddr *)&a.ss));
}

static void
test_names(void **state)
{
	struct fixture *f = fixture_of(state);
	char names[2][IF_NAMESIZE] = {"v1", "lo"};
	struct netif_settings some = {.n = 1, .names = names};

	net_space_cable(-1, "v0", "v1");
	begin(f, &some);
	assert_false(row_of(f, "v0")->enabled);
	assert_true(row_of(f, "v1")->enabled);
	assert_false(row_of(f, "lo")->enabled);
	some.n = 2;
	assert_int_equal(netif_configure(f->netif, &some), 0);
	assert_int_equal(f->changes, 1);
	assert_true(row_of(f, "lo")->enabled);
	/* no difference, not told; and they are copied */
	assert_int_equal(netif_configure(f->netif, &some), 0);
	assert_int_equal(f->changes, 1);
	strcpy(names[0], "v9");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v1");
	wait_addrs(f, "v1", 1);
	assert_true(row_of(f, "v1")->enabled);
	assert_int_equal(netif_configure(f->netif, &everything), 0);
	assert_true(row_of(f, "v0")->enabled);
	assert_false(row_of(f, "lo")->enabled);
}

static void
test_port_of_a_bridge(void **state)
{
	struct fixture *f = fixture_of(state);
	char names[1][IF_NAMESIZE] = {"v0"};

	if (!net_space_try_ip(-1, "link add br0 type bridge")) {
		print_message("skip: no bridges\n");
		skip();
	}
	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "link set v0 master br0");
	begin(f, &everything);
	assert_true(row_of(f, "v0")->port);
	assert_false(row_of(f, "v0")->enabled);
	assert_true(row_of(f, "br0")->enabled);
	assert_true(row_of(f, "v1")->enabled);
	assert_int_equal(
		netif_configure(f->netif,
			&(struct netif_settings){.n = 1, .names = names}),
		0);
	assert_true(row_of(f, "v0")->enabled);
}

/* Far more is told than the socket can hold, while nobody listens. */
static void
test_more_changes_than_can_be_told(void **state)
{
	struct fixture *f = fixture_of(state);
	struct buf b;

	net_space_cable(-1, "v0", "v1");
	begin(f, &everything);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 4000; i++)
		buf_printf(&b, "addr %s 192.0.2.1/24 dev v0\n",
			i % 2 == 0 ? "add" : "del");
	buf_printf(&b, "addr add 198.51.100.1/24 dev v0\n");
	buf_u8(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	net_space_batch(-1, (const char *)b.data);
	buf_done(&b);
	wait_addrs(f, "v0", 1);
	assert_true(near(f, "198.51.100.2"));
	assert_false(near(f, "192.0.2.2"));
	/* and it goes on listening */
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	wait_addrs(f, "v0", 2);
	assert_true(near(f, "192.0.2.2"));
}

static void
test_many(void **state)
{
	struct fixture *f = fixture_of(state);
	struct buf b;

	net_space_cable(-1, "v0", "v1");
	begin(f, &everything);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 40; i++)
		buf_printf(&b, "link add a%d type veth peer name b%d\n", i, i);
	for (int i = 0; i < NETIF_ADDRS_MAX + 20; i++)
		buf_printf(&b, "addr add 10.0.%d.1/24 dev v0\n", i);
	buf_u8(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	net_space_batch(-1, (const char *)b.data);
	buf_done(&b);
	f->n_rows = 83;
	wait_for(f, has_rows);
	wait_addrs(f, "v0", NETIF_ADDRS_MAX);
	assert_true(near(f, "10.0.1.9"));
}

static bool
is_well(struct fixture *f)
{
	return netif_error(f->netif) == 0;
}

/* There are no descriptors; and later there are. */
static void
test_kernel_that_tells_nothing(void **state)
{
	struct fixture *f = fixture_of(state);
	struct rlimit was, none;

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(
		netif_new(&f->netif, f->loop, &everything, on_changed, f), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(netif_error(f->netif), -EMFILE);
	assert_int_equal(count_rows(f), 0);
	assert_true(near(f, "127.0.0.1"));
	assert_true(near(f, "::1"));
	assert_false(near(f, "192.0.2.2"));
	wait_for(f, is_well);
	assert_int_equal(f->changes, 1);
	assert_true(near(f, "192.0.2.2"));
	/* it is told again, too */
	net_space_ip(-1, "addr add 198.51.100.1/24 dev v0");
	wait_addrs(f, "v0", 2);
}

static int
scenario_new(void *arg)
{
	struct fixture *f = arg;
	char names[1][IF_NAMESIZE] = {"v0"};
	struct netif *n;
	int r = netif_new(&n, f->loop,
		&(struct netif_settings){.n = 1, .names = names}, on_changed,
		f);

	if (r != 0)
		return r;
	r = netif_error(n);
	if (r == 0)
		r = netif_configure(n, &everything);
	netif_free(n);
	return r;
}

static void
test_no_memory(void **state)
{
	struct fixture *f = fixture_of(state);

	net_space_cable(-1, "v0", "v1");
	assert_true(failalloc_each(scenario_new, f) > 3);
	assert_null(netif_free(NULL));
}

#define IN_SPACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SPACE(test_what_is_there),
		IN_SPACE(test_coming_and_going),
		IN_SPACE(test_down),
		IN_SPACE(test_address_of_ipv6_takes_time),
		IN_SPACE(test_near),
		IN_SPACE(test_whose),
		IN_SPACE(test_own_addresses),
		IN_SPACE(test_names),
		IN_SPACE(test_port_of_a_bridge),
		IN_SPACE(test_more_changes_than_can_be_told),
		IN_SPACE(test_many),
		IN_SPACE(test_kernel_that_tells_nothing),
		IN_SPACE(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sockets there are: interfaces that come and go, start and stop, sockets
 * that others made or hold. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/fdutil.h"
#include "daemon/net/discovery_socket.h"
#include "tests/unit/branch.h"
#include "tests/unit/net_space.h"

/* Interfaces. */

static void
test_two_interfaces(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX];
	int fd, fd2, listener;

	branch_cable(f, true, false);
	branch_second_cable(f);
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 2);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	fd2 = branch_speaker(f, "198.51.100.2:5000", "w1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	assert_int_equal(f->a.question.interface, branch_index("v0"));
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(&from, "192.0.2.1:3702");
	assert_non_null(strstr(text, ">192.0.2.1:8001<"));
	branch_say_probe(fd2, "239.255.255.250:3702");
	branch_wait_heard(f, 2);
	assert_int_equal(f->a.question.interface, branch_index("w0"));
	branch_reply(&f->a);
	branch_hear(fd2, text, &from);
	branch_assert_addr(&from, "198.51.100.1:3702");
	assert_non_null(strstr(text, ">198.51.100.1:8001<"));
	listener = branch_listener(f, false, "w1");
	branch_ask(&f->a);
	branch_hear(listener, text, &from);
	branch_assert_addr(&from, "198.51.100.1:%u", discovery_port_of(&from));
	/* near, but not there */
	branch_say_answer(fd2, &from, NAMES("192.0.2.2:80", "198.51.100.2:80"));
	branch_wait_answered(f, 1);
	assert_int_equal(f->a.answer.n_addrs, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "198.51.100.2:80");
	close(fd);
	close(fd2);
	close(listener);
}

static void
test_interface_that_is_not_ours(void **state)
{
	static const char names[1][IF_NAMESIZE] = {"v0"};
	struct branch *f = branch_of(state);
	int fd, fd2;

	branch_cable(f, true, false);
	branch_second_cable(f);
	branch_look(f, &(struct netif_settings){.n = 1, .names = names});
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 1);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	fd2 = branch_speaker(f, "198.51.100.2:5000", "w1");
	branch_say_probe(fd2, "198.51.100.1:3702");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	assert_int_equal(f->a.question.interface, branch_index("v0"));
	assert_int_equal(branch_view(&f->a).counters.off_link, 1);
	assert_int_equal(netif_configure(f->netif, &branch_everything), 0);
	assert_int_equal(branch_view(&f->a).asks_4, 2);
	branch_say_probe(fd2, "239.255.255.250:3702");
	branch_wait_heard(f, 2);
	close(fd);
	close(fd2);
}

static void
test_interface_comes_and_goes(void **state)
{
	struct branch *f = branch_of(state);
	int fd;

	branch_start(&f->a, BRANCH_PORT_A);
	branch_ask(&f->a);
	assert_int_equal(branch_view(&f->a).counters.sent, 0);
	for (unsigned i = 1; i <= 2; i++) {
		branch_cable(f, true, true);
		branch_wait_asks(f, 2);
		fd = branch_speaker(f, "192.0.2.2:5000", "v1");
		branch_say_probe(fd, "239.255.255.250:3702");
		branch_wait_heard(f, i);
		close(fd);
		net_space_ip(-1, "link del v0");
		branch_wait_asks(f, 0);
		/* nobody there any more */
		branch_reply(&f->a);
		assert_int_equal(branch_view(&f->a).counters.dropped, i);
	}
	assert_int_equal(branch_view(&f->a).error, 0);
}

static void
test_address_comes_later(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX];
	int fd;

	net_space_cable(f->space, "v0", "v1");
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 0);
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	net_space_ip(f->space, "addr add 192.0.2.2/24 dev v1");
	branch_wait_asks(f, 1);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(&from, "192.0.2.1:3702");
	net_space_ip(-1, "link set v0 down");
	branch_wait_asks(f, 0);
	net_space_ip(-1, "link set v0 up");
	branch_wait_asks(f, 1);
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 2);
	close(fd);
}

/* How many interfaces have the group, as the kernel tells. */
static size_t
count_groups(void)
{
	size_t n = 0;
	const char *at;
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(fd_read_file("/proc/thread-self/net/igmp", &b), 0);
	buf_u8(&b, '\0');
	for (at = (const char *)b.data; (at = strstr(at, "FAFFFFEF")) != NULL;
		at++)
		n++;
	buf_done(&b);
	return n;
}

/* One socket could join 20. */
static void
test_many_interfaces(void **state)
{
	struct branch *f = branch_of(state);
	struct buf b;

	buf_init(&b, 1 << 16);
	for (int i = 0; i < 15; i++)
		buf_printf(&b,
			"link add a%d up type veth peer name b%d\n"
			"link set b%d up\n"
			"addr add 10.0.%d.1/24 dev a%d\n"
			"addr add 10.1.%d.1/24 dev b%d\n",
			i, i, i, i, i, i, i);
	buf_u8(&b, '\0');
	net_space_batch(-1, (const char *)b.data);
	buf_done(&b);
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 30);
	assert_int_equal(count_groups(), 30);
	branch_ask(&f->a);
	assert_true(branch_view(&f->a).counters.sent >= 30);
	discovery_stop(f->a.d);
	assert_int_equal(count_groups(), 0);
}

/* Start and stop. */

static void
test_start_and_stop(void **state)
{
	struct branch *f = branch_of(state);
	size_t before;
	int fd;

	branch_cable(f, true, true);
	branch_look(f, &branch_everything);
	branch_make(&f->a);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	before = branch_count_fds();
	discovery_stop(f->a.d);
	assert_false(discovery_running(f->a.d));
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(
			discovery_start(f->a.d, BRANCH_PORT_A, -1, -1), 0);
		assert_int_equal(
			discovery_start(f->a.d, BRANCH_PORT_A, -1, -1), 0);
		assert_true(discovery_running(f->a.d));
		assert_int_equal(branch_count_fds(), before + 4);
		assert_int_equal(count_groups(), 1);
		branch_say_probe(fd, "239.255.255.250:3702");
		branch_wait_heard(f, i);
		discovery_stop(f->a.d);
		assert_int_equal(branch_count_fds(), before);
		assert_int_equal(count_groups(), 0);
	}
	assert_false(branch_view(&f->a).running || branch_view(&f->a).hears_4);
	/* nothing happens */
	branch_ask(&f->a);
	branch_reply(&f->a);
	discovery_interfaces_changed(f->a.d);
	assert_int_equal(branch_view(&f->a).counters.sent, 0);
	close(fd);
}

/* From inside, with more datagrams behind the one that is told of. */
static void
test_stop_when_told(void **state)
{
	struct branch *f = branch_of(state);
	int fd;

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	f->a.stop = true;
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	for (int i = 0; i < 5; i++)
		branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	assert_false(discovery_running(f->a.d));
	close(fd);
}

static void
test_without_a_port_no_answer(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX];
	int fd;

	branch_cable(f, true, false);
	branch_start(&f->a, 0);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_reply(&f->a);
	assert_int_equal(branch_view(&f->a).counters.dropped, 1);
	assert_int_equal(branch_view(&f->a).counters.sent, 0);
	assert_int_equal(discovery_start(f->a.d, BRANCH_PORT_B, -1, -1), 0);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	assert_non_null(strstr(text, ">192.0.2.1:8002<"));
	close(fd);
}

static void
test_what_cannot_be_sent(void **state)
{
	struct branch *f = branch_of(state);

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	f->a.question.from = branch_addr("192.0.2.2:0");
	f->a.question.interface = branch_index("v0");
	strcpy(f->a.question.message_id, "urn:uuid:x");
	branch_reply(&f->a);
	assert_int_equal(branch_view(&f->a).counters.send_errors, 1);
	f->a.question.from = branch_addr("203.0.113.2:5000");
	branch_reply(&f->a);
	assert_int_equal(branch_view(&f->a).counters.dropped, 1);
	f->a.question.interface = 9999;
	branch_reply(&f->a);
	assert_int_equal(branch_view(&f->a).counters.dropped, 2);
}

/* Sockets. */

static int
bound(int family, int type, const char *text, bool only6)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0), on = only6;

	assert_true(fd >= 0);
	if (family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
					 sizeof(on)),
			0);
	branch_bind(fd, text);
	return fd;
}

static void
test_given_sockets(void **state)
{
	struct branch *f = branch_of(state);
	int fd;

	branch_cable(f, true, true);
	branch_look(f, &branch_everything);
	branch_make(&f->a);
	/* nobody can share these */
	assert_int_equal(
		discovery_start(f->a.d, BRANCH_PORT_A,
			bound(AF_INET, SOCK_DGRAM, "0.0.0.0:3702", false),
			bound(AF_INET6, SOCK_DGRAM, "[::]:3702", true)),
		0);
	assert_int_equal(branch_view(&f->a).error, 0);
	assert_true(branch_view(&f->a).hears_4 && branch_view(&f->a).hears_6);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	assert_int_equal(f->a.question.interface, branch_index("v0"));
	close(fd);
}

static void
refuse(struct branch *f, int fd4, int fd6)
{
	size_t before = branch_count_fds();

	assert_int_equal(
		discovery_start(f->a.d, BRANCH_PORT_A, fd4, fd6), -EINVAL);
	assert_int_equal(branch_count_fds(), before - (fd4 >= 0) - (fd6 >= 0));
	assert_false(discovery_running(f->a.d));
}

static void
test_given_sockets_that_will_not_do(void **state)
{
	struct branch *f = branch_of(state);

	branch_look(f, &branch_everything);
	branch_make(&f->a);
	refuse(f, bound(AF_INET, SOCK_DGRAM, "0.0.0.0:3703", false), -1);
	refuse(f, bound(AF_INET, SOCK_STREAM, "0.0.0.0:3702", false), -1);
	refuse(f, bound(AF_INET6, SOCK_DGRAM, "[::]:3702", true), -1);
	refuse(f, -1, bound(AF_INET6, SOCK_DGRAM, "[::]:3702", false));
	refuse(f, bound(AF_INET, SOCK_DGRAM, "0.0.0.0:3702", false),
		bound(AF_INET6, SOCK_DGRAM, "[::]:3703", true));
}

/* By somebody who does not share. */
static void
test_port_is_taken(void **state)
{
	struct branch *f = branch_of(state);
	int fd;

	branch_cable(f, true, true);
	branch_look(f, &branch_everything);
	branch_make(&f->a);
	fd = bound(AF_INET, SOCK_DGRAM, "0.0.0.0:3702", false);
	assert_int_equal(discovery_start(f->a.d, BRANCH_PORT_A, -1, -1), 0);
	assert_int_equal(branch_view(&f->a).error, -EADDRINUSE);
	assert_false(branch_view(&f->a).hears_4);
	assert_true(branch_view(&f->a).hears_6);
	branch_ask(&f->a);
	assert_int_equal(branch_view(&f->a).counters.sent, 2);
	close(fd);
	discovery_interfaces_changed(f->a.d);
	assert_int_equal(branch_view(&f->a).error, 0);
	assert_true(branch_view(&f->a).hears_4);
}

#define IN_SPACE(test) \
	cmocka_unit_test_setup_teardown(test, branch_setup, branch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SPACE(test_two_interfaces),
		IN_SPACE(test_interface_that_is_not_ours),
		IN_SPACE(test_interface_comes_and_goes),
		IN_SPACE(test_address_comes_later),
		IN_SPACE(test_many_interfaces),
		IN_SPACE(test_start_and_stop),
		IN_SPACE(test_stop_when_told),
		IN_SPACE(test_without_a_port_no_answer),
		IN_SPACE(test_what_cannot_be_sent),
		IN_SPACE(test_given_sockets),
		IN_SPACE(test_given_sockets_that_will_not_do),
		IN_SPACE(test_port_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

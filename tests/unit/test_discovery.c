/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdutil.h"
#include "daemon/net/discovery_socket.h"
#include "tests/unit/branch.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/net_space.h"

/* A question of another host, and our answer. */

static void
test_question_and_answer(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX];
	int fd;

	branch_cable(f, true, true);
	branch_start(&f->a, BRANCH_PORT_A);
	assert_true(branch_view(&f->a).hears_4 && branch_view(&f->a).hears_6);
	assert_int_equal(branch_view(&f->a).asks_4, 1);
	assert_int_equal(branch_view(&f->a).asks_6, 1);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_assert_addr(&f->a.question.from, "192.0.2.2:5000");
	assert_int_equal(f->a.question.interface, branch_index("v0"));
	assert_int_equal(f->a.question.n_ids, 1);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(&from, "192.0.2.1:3702");
	assert_non_null(
		strstr(text, "<wsd:XAddrs>192.0.2.1:8001</wsd:XAddrs>"));
	assert_non_null(strstr(text, f->a.question.message_id));
	assert_non_null(strstr(text, " MessageNumber=\"1\""));
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	assert_non_null(strstr(text, " MessageNumber=\"2\""));
	assert_int_equal(branch_view(&f->a).counters.received, 1);
	assert_int_equal(branch_view(&f->a).counters.sent, 2);
	close(fd);
}

/* The same for the life of one, another one for the next. */
static void
test_who_answers(void **state)
{
	struct branch *f = branch_of(state);
	char first[BRANCH_TEXT_MAX], text[BRANCH_TEXT_MAX], *at;
	struct parse_addr from;
	int fd;

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_reply(&f->a);
	branch_hear(fd, first, &from);
	at = strstr(first, "<wsa:Address>");
	assert_non_null(at);
	at[PCCRD_URN_SIZE + 12] = '\0';
	discovery_stop(f->a.d);
	assert_int_equal(discovery_start(f->a.d, BRANCH_PORT_A, -1, -1), 0);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	assert_non_null(strstr(text, at));
	assert_non_null(strstr(text, " MessageNumber=\"2\""));
	f->a.d = discovery_free(f->a.d);
	branch_start(&f->a, BRANCH_PORT_A);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	assert_null(strstr(text, at));
	assert_non_null(strstr(text, " MessageNumber=\"1\""));
	close(fd);
}

static void
test_ipv6_only(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX], group[64], name[64];
	int fd;

	branch_cable(f, false, true);
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 0);
	assert_int_equal(branch_view(&f->a).asks_6, 1);
	snprintf(name, sizeof(name), "[fe80::2%%%u]:5000",
		branch_far_index(f, "v1"));
	snprintf(group, sizeof(group), "[ff02::c%%%u]:3702",
		branch_far_index(f, "v1"));
	fd = branch_speaker(f, name, "v1");
	branch_say_probe(fd, group);
	branch_wait_heard(f, 1);
	branch_assert_addr(
		&f->a.question.from, "[fe80::2%%%u]:5000", branch_index("v0"));
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(
		&from, "[fe80::1%%%u]:3702", branch_far_index(f, "v1"));
	assert_non_null(
		strstr(text, "<wsd:XAddrs>[fd00::1]:8001</wsd:XAddrs>"));
	close(fd);
	fd = branch_speaker(f, "[fd00::2]:5000", "v1");
	branch_say_probe(fd, group);
	branch_wait_heard(f, 2);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(&from, "[fd00::1]:3702");
	close(fd);
}

/* Not only to the group. */
static void
test_question_to_one_host(void **state)
{
	struct branch *f = branch_of(state);
	int fd;

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "192.0.2.1:3702");
	branch_wait_heard(f, 1);
	close(fd);
}

static void
test_question_from_elsewhere(void **state)
{
	struct branch *f = branch_of(state);
	int fd, elsewhere;

	branch_cable(f, true, false);
	net_space_ip(f->space, "addr add 198.51.100.2/24 dev v1");
	/* so that the kernel believes the source */
	net_space_ip(-1, "route add 198.51.100.0/24 dev v0");
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	elsewhere = branch_speaker(f, "198.51.100.2:5000", "v1");
	branch_say_probe(elsewhere, "239.255.255.250:3702");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_assert_addr(&f->a.question.from, "192.0.2.2:5000");
	assert_int_equal(branch_view(&f->a).counters.off_link, 1);
	close(fd);
	close(elsewhere);
}

/* Whatever the kernel would take of its own accord. */
static void
test_source_of_an_answer(void **state)
{
	struct branch *f = branch_of(state);
	char text[BRANCH_TEXT_MAX];
	struct parse_addr from;
	int fd;

	branch_cable(f, true, false);
	net_space_ip(-1, "addr add 203.0.113.1/32 dev v0");
	net_space_ip(-1, "route replace 192.0.2.0/24 dev v0 src 203.0.113.1");
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_reply(&f->a);
	branch_hear(fd, text, &from);
	branch_assert_addr(&from, "192.0.2.1:3702");
	assert_non_null(strstr(text, ">192.0.2.1:8001<"));
	close(fd);
}

/* Our question, and answers of another host. */

static void
test_own_question(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from, from6;
	char text[BRANCH_TEXT_MAX];
	int four, six, fd;

	branch_cable(f, true, true);
	branch_start(&f->a, BRANCH_PORT_A);
	four = branch_listener(f, false, "v1");
	six = branch_listener(f, true, "v1");
	branch_ask(&f->a);
	assert_int_equal(branch_view(&f->a).counters.sent, 2);
	assert_int_equal(branch_hear(four, text, &from), 1);
	assert_non_null(strstr(text, "urn:uuid:5f0a7f00-"));
	branch_assert_addr(&from, "192.0.2.1:%u", discovery_port_of(&from));
	assert_int_not_equal(discovery_port_of(&from), 3702);
	assert_int_equal(branch_hear(six, text, &from6), 1);
	branch_assert_addr(&from6, "[fe80::1%%%u]:%u",
		branch_far_index(f, "v1"), discovery_port_of(&from6));
	fd = branch_speaker(f, "192.0.2.2:3703", "v1");
	branch_say_answer(fd, &from, NAMES("192.0.2.2:80"));
	branch_wait_answered(f, 1);
	branch_assert_addr(&f->a.answer.from, "192.0.2.2:3703");
	assert_string_equal(f->a.answer.relates_to, "urn:uuid:of-the-question");
	assert_int_equal(f->a.answer.n_addrs, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "192.0.2.2:80");
	assert_int_equal(f->a.answer.blocks, 7);
	branch_say_answer(six, &from6, NAMES("[fe80::2]:80", "[fd00::2]:80"));
	branch_wait_answered(f, 2);
	assert_int_equal(f->a.answer.n_addrs, 2);
	branch_assert_addr(
		&f->a.answer.addrs[0], "[fe80::2%%%u]:80", branch_index("v0"));
	branch_assert_addr(&f->a.answer.addrs[1], "[fd00::2]:80");
	close(fd);
	close(four);
	close(six);
}

/* What is false goes first, what is right shows that all was looked at. */
static void
test_forged_answers(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from;
	char text[BRANCH_TEXT_MAX];
	int listener, fd, elsewhere;

	branch_cable(f, true, false);
	net_space_ip(f->space, "addr add 198.51.100.2/24 dev v1");
	/* so that the kernel believes the source */
	net_space_ip(-1, "route add 198.51.100.0/24 dev v0");
	branch_start(&f->a, BRANCH_PORT_A);
	listener = branch_listener(f, false, "v1");
	branch_ask(&f->a);
	branch_hear(listener, text, &from);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	elsewhere = branch_speaker(f, "198.51.100.2:5000", "v1");
	branch_say_answer(fd, &from, NAMES("203.0.113.1:80"));
	branch_say_answer(fd, &from, NAMES("198.51.100.2:80", "[fd00::2]:80"));
	branch_say_answer(fd, &from, NAMES("192.0.2.1:8001"));
	branch_say_answer(fd, &from, NAMES("127.0.0.1:80"));
	branch_say_answer(elsewhere, &from, NAMES("198.51.100.2:80"));
	branch_say_answer(elsewhere, &from, NAMES("192.0.2.2:80"));
	branch_say_answer(fd, &from, NAMES("203.0.113.1:80", "192.0.2.3:80"));
	branch_wait_answered(f, 1);
	assert_int_equal(f->a.answered, 1);
	assert_int_equal(f->a.answer.n_addrs, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "192.0.2.3:80");
	assert_int_equal(branch_view(&f->a).counters.off_link, 6);
	assert_int_equal(branch_view(&f->a).counters.malformed, 0);
	close(fd);
	close(elsewhere);
	close(listener);
}

/* An answer to where questions go, a question to where answers go. */
static void
test_wrong_way(void **state)
{
	struct branch *f = branch_of(state);
	struct parse_addr from, hears = branch_addr("192.0.2.1:3702");
	char text[BRANCH_TEXT_MAX], back[PARSE_ADDR_TEXT];
	int listener, fd;

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	listener = branch_listener(f, false, "v1");
	branch_ask(&f->a);
	branch_hear(listener, text, &from);
	parse_addr_format(back, &from);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	f->a.heard = 0;
	f->wanted = branch_view(&f->a).counters.received + 3;
	branch_say_answer(fd, &hears, NAMES("192.0.2.2:80"));
	branch_say_probe(fd, back);
	branch_say_probe(fd, "192.0.2.1:3702");
	branch_wait(f, branch_a_has_received);
	assert_int_equal(f->a.answered, 0);
	assert_int_equal(branch_view(&f->a).counters.foreign, 2);
	close(fd);
	close(listener);
}

static void
test_garbage(void **state)
{
	static const char other[] =
		"<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'>"
		"<e:Header/><e:Body/></e:Envelope>";
	struct branch *f = branch_of(state);
	uint8_t *large = calloc(1, 65527);
	int fd, fd6;

	assert_non_null(large);
	branch_cable(f, true, true);
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	fd6 = branch_speaker(f, "[fd00::2]:5000", "v1");
	assert_true(branch_say(fd, "192.0.2.1:3702", "", 0));
	assert_true(branch_say(fd, "192.0.2.1:3702", "hello", 5));
	assert_true(branch_say(fd, "192.0.2.1:3702", other, sizeof(other) - 1));
	assert_true(branch_say(fd, "192.0.2.1:3702", large, PCCRD_RECEIVE_MAX));
	assert_true(branch_say(
		fd6, "[fd00::1]:3702", large, PCCRD_RECEIVE_MAX + 1));
	assert_true(branch_say(fd6, "[fd00::1]:3702", large, 65527));
	f->wanted = 6;
	branch_wait(f, branch_a_has_received);
	assert_int_equal(branch_view(&f->a).counters.foreign, 1);
	assert_int_equal(branch_view(&f->a).counters.malformed, 5);
	assert_int_equal(f->a.heard, 0);
	close(fd);
	close(fd6);
	free(large);
}

static bool
refuse_two(void *ctx, const struct sockaddr *sa)
{
	struct sockaddr_in in;

	memcpy(&in, sa, sizeof(in));
	return in.sin_addr.s_addr != htonl(0xc0000202);
}

static void
test_filter(void **state)
{
	struct branch *f = branch_of(state);
	int fd, other;

	branch_cable(f, true, false);
	net_space_ip(f->space, "addr add 192.0.2.3/24 dev v1");
	branch_start(&f->a, BRANCH_PORT_A);
	discovery_set_filter(f->a.d, refuse_two, f);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	other = branch_speaker(f, "192.0.2.3:5000", "v1");
	branch_say_probe(fd, "239.255.255.250:3702");
	branch_say_probe(other, "239.255.255.250:3702");
	branch_wait_heard(f, 1);
	branch_assert_addr(&f->a.question.from, "192.0.2.3:5000");
	assert_int_equal(branch_view(&f->a).counters.refused, 1);
	close(fd);
	close(other);
}

/* Two programs of one host. */

static void
talk(struct branch *f, size_t questions)
{
	f->wanted = questions;
	branch_ask(&f->a);
	/* its own questions, too: the core knows them */
	branch_wait(f, branch_a_has_heard);
	branch_wait(f, branch_b_has_heard);
	branch_reply(&f->a);
	branch_reply(&f->b);
	branch_wait_answered(f, 1);
	assert_int_equal(f->a.answer.n_addrs, 1);
}

static void
test_two_programs_ipv4(void **state)
{
	struct branch *f = branch_of(state);

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
	branch_start(&f->a, BRANCH_PORT_A);
	branch_start(&f->b, BRANCH_PORT_B);
	talk(f, 1);
	branch_assert_addr(&f->b.question.from, "192.0.2.1:%u",
		discovery_port_of(&f->b.question.from));
	assert_int_equal(f->b.question.interface, branch_index("v0"));
	branch_assert_addr(&f->a.answer.addrs[0], "192.0.2.1:8002");
	/* what it told itself */
	assert_int_equal(branch_view(&f->a).counters.off_link, 1);
}

static void
test_two_programs_ipv6(void **state)
{
	struct branch *f = branch_of(state);

	net_space_cable(-1, "v0", "v1");
	net_space_ip(-1, "addr add fe80::1/64 dev v0 nodad");
	branch_start(&f->a, BRANCH_PORT_A);
	branch_start(&f->b, BRANCH_PORT_B);
	talk(f, 1);
	assert_int_equal(f->b.question.interface, branch_index("v0"));
	branch_assert_addr(&f->a.answer.addrs[0], "[fe80::1%%%u]:8002",
		branch_index("v0"));
	assert_int_equal(branch_view(&f->a).counters.off_link, 1);
}

/* One that leaves the way to the kernel, which takes loopback, and tells the
 * interface nevertheless. */
static void
test_other_kind_of_program(void **state)
{
	struct branch *f = branch_of(state);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	branch_cable(f, true, false);
	branch_bind(fd, "192.0.2.1:0");
	branch_start(&f->a, BRANCH_PORT_A);
	branch_ask(&f->a);
	branch_wait_heard(f, 1);
	branch_say_answer(fd, &f->a.question.from, NAMES("192.0.2.1:80"));
	branch_wait_answered(f, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "192.0.2.1:80");
	close(fd);
}

static void
test_other_kind_of_program_ipv6(void **state)
{
	struct branch *f = branch_of(state);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	branch_cable(f, false, true);
	branch_bind(fd, "[fd00::1]:0");
	branch_start(&f->a, BRANCH_PORT_A);
	branch_ask(&f->a);
	branch_wait_heard(f, 1);
	branch_say_answer(fd, &f->a.question.from, NAMES("[fd00::1]:80"));
	branch_wait_answered(f, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "[fd00::1]:80");
	close(fd);
}

static void
test_loopback(void **state)
{
	static const char names[1][IF_NAMESIZE] = {"lo"};
	struct branch *f = branch_of(state);

	branch_look(f, &(struct netif_settings){.n = 1, .names = names});
	branch_start(&f->a, BRANCH_PORT_A);
	assert_int_equal(branch_view(&f->a).asks_4, 0);
	branch_ask(&f->a);
	net_space_ip(-1, "link set lo multicast on");
	branch_wait_asks(f, 1);
	branch_start(&f->b, BRANCH_PORT_B);
	talk(f, 1);
	branch_assert_addr(&f->a.answer.addrs[0], "127.0.0.1:8002");
	assert_int_equal(branch_view(&f->a).counters.send_errors, 0);
}

/* Floods. */

/* Something that is always readable. */
struct watch {
	struct branch *f;
	uint64_t seen;
	uint64_t most;
	unsigned passes;
};

static void
on_pass(void *ctx)
{
	struct watch *w = ctx;
	uint64_t now = branch_view(&w->f->a).counters.received;

	if (now > w->seen)
		w->passes++;
	if (now - w->seen > w->most)
		w->most = now - w->seen;
	w->seen = now;
}

static bool
has_told_of_the_lost(struct branch *f)
{
	branch_say_probe(f->far_fd, "192.0.2.1:3702");
	return branch_view(&f->a).counters.lost > 0;
}

static void
test_flood(void **state)
{
	struct branch *f = branch_of(state);
	int fd, always = eventfd(1, EFD_CLOEXEC);
	struct watch w = {.f = f};
	struct loop_watch *each_pass;
	struct discovery_view v;

	branch_cable(f, true, false);
	branch_start(&f->a, BRANCH_PORT_A);
	fd = branch_speaker(f, "192.0.2.2:5000", "v1");
	for (int i = 0; i < 3000; i++)
		branch_say_probe(fd, "239.255.255.250:3702");
	each_pass = loop_watch_new(f->loop, always, on_pass, &w);
	assert_non_null(each_pass);
	f->wanted = 100;
	branch_wait(f, branch_a_has_received);
	/* there was no room for all: the next one that has room tells */
	f->far_fd = fd;
	branch_wait(f, has_told_of_the_lost);
	loop_watch_free(each_pass);
	close(always);
	v = branch_view(&f->a);
	assert_int_equal(v.counters.received, f->a.heard);
	assert_true(w.most <= 64);
	assert_true(w.passes >= 3);
	close(fd);
}

/* The number of a start. */

static void
put_instance(const struct branch *f, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" DISCOVERY_INSTANCE_FILE, f->folder);
	assert_int_equal(fd_write_file(path, text, strlen(text), 0600), 0);
}

static uint64_t
next_instance(struct branch *f)
{
	uint64_t v;

	branch_make(&f->a);
	assert_int_equal(branch_view(&f->a).instance, 0);
	assert_int_equal(discovery_start(f->a.d, 0, -1, -1), 0);
	assert_int_equal(branch_view(&f->a).state_error, 0);
	v = branch_view(&f->a).instance;
	f->a.d = discovery_free(f->a.d);
	return v;
}

static void
test_instance_grows(void **state)
{
	struct branch *f = branch_of(state);
	uint64_t now = (uint64_t)time(NULL), first, second;

	branch_look(f, &branch_everything);
	first = next_instance(f);
	assert_in_range(first, now, now + 60);
	second = next_instance(f);
	assert_in_range(second, first + 1, first + 60);
	put_instance(f, "4000000000\n");
	assert_int_equal(next_instance(f), 4000000001);
	assert_int_equal(next_instance(f), 4000000002);
	put_instance(f, "4294967295\n");
	assert_in_range(next_instance(f), now, now + 60);
	put_instance(f, "garbage");
	assert_in_range(next_instance(f), now, now + 60);
	put_instance(f, "40000000000000000000000000000000000000\n");
	assert_in_range(next_instance(f), now, now + 60);
	put_instance(f, "");
	assert_in_range(next_instance(f), now, now + 60);
}

static void
test_instance_cannot_be_stored(void **state)
{
	struct branch *f = branch_of(state);
	uint64_t now = (uint64_t)time(NULL);

	branch_look(f, &branch_everything);
	f->a.d = discovery_new(f->loop, (struct service *)&f->a, f->netif,
		&(struct discovery_settings){.state_folder = "/nowhere"});
	assert_non_null(f->a.d);
	assert_int_equal(discovery_start(f->a.d, 0, -1, -1), 0);
	assert_int_equal(branch_view(&f->a).state_error, -ENOENT);
	assert_in_range(branch_view(&f->a).instance, now, now + 60);
}

static int
scenario(void *arg)
{
	struct branch *f = arg;
	struct discovery_view v;
	struct discovery *d;
	int r;

	d = discovery_new(f->loop, (struct service *)&f->a, f->netif,
		&(struct discovery_settings){.state_folder = f->folder});
	if (d == NULL)
		return -ENOMEM;
	r = discovery_start(d, BRANCH_PORT_A, -1, -1);
	discovery_view(d, &v);
	if (r == 0)
		r = v.error;
	discovery_free(d);
	return r;
}

static void
test_no_memory(void **state)
{
	struct branch *f = branch_of(state);

	branch_cable(f, true, true);
	branch_look(f, &branch_everything);
	assert_true(failalloc_each(scenario, f) > 10);
	assert_null(discovery_free(NULL));
}

#define IN_SPACE(test) \
	cmocka_unit_test_setup_teardown(test, branch_setup, branch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SPACE(test_question_and_answer),
		IN_SPACE(test_who_answers),
		IN_SPACE(test_ipv6_only),
		IN_SPACE(test_question_to_one_host),
		IN_SPACE(test_question_from_elsewhere),
		IN_SPACE(test_source_of_an_answer),
		IN_SPACE(test_own_question),
		IN_SPACE(test_forged_answers),
		IN_SPACE(test_wrong_way),
		IN_SPACE(test_garbage),
		IN_SPACE(test_filter),
		IN_SPACE(test_two_programs_ipv4),
		IN_SPACE(test_two_programs_ipv6),
		IN_SPACE(test_other_kind_of_program),
		IN_SPACE(test_other_kind_of_program_ipv6),
		IN_SPACE(test_loopback),
		IN_SPACE(test_flood),
		IN_SPACE(test_instance_grows),
		IN_SPACE(test_instance_cannot_be_stored),
		IN_SPACE(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

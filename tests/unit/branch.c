/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/branch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/macros.h"
#include "daemon/core/discover.h"
#include "daemon/core/service.h"
#include "tests/unit/net_space.h"

#define DEADLINE_MS 10000
#define TICK_MS     2

const struct netif_settings branch_everything = {.all = true};

static const uint8_t uuid[PCCRD_UUID_SIZE] = {0x5f, 0x0a, 0x7f};
static const uint8_t id[1][PCCRD_ID_SIZE] = {{0x37, 0x21}};

/* What stands for the core. */

struct discover *
service_discover(struct service *svc)
{
	return (struct discover *)svc;
}

static void
told(struct branch_program *p)
{
	if (p->stop)
		discovery_stop(p->d);
}

void
discover_heard(struct discover *d, const struct discover_question *q)
{
	struct branch_program *p = (struct branch_program *)d;

	p->heard++;
	p->question.from = q->from;
	p->question.interface = q->interface;
	p->question.n_ids = q->probe->n_ids;
	strcpy(p->question.message_id, q->probe->message_id);
	told(p);
}

void
discover_answered(struct discover *d, const struct discover_answer *a)
{
	struct branch_program *p = (struct branch_program *)d;

	p->answered++;
	p->answer.from = a->from;
	strcpy(p->answer.relates_to, a->relates_to);
	p->answer.n_addrs = a->n_addrs;
	assert_in_range(a->n_addrs, 1, PCCRD_ADDRS_MAX);
	memcpy(p->answer.addrs, a->addrs, a->n_addrs * sizeof(*a->addrs));
	p->answer.blocks = a->n_held > 0 ? a->held[0].blocks : 0;
	told(p);
}

/* The loop. */

static void
on_changed(void *ctx)
{
	struct branch *f = ctx;

	if (f->a.d != NULL)
		discovery_interfaces_changed(f->a.d);
	if (f->b.d != NULL)
		discovery_interfaces_changed(f->b.d);
}

static void
on_tick(struct loop_alarm *a)
{
	struct branch *f = container_of(a, struct branch, tick);

	if (f->ready(f) || loop_now_ms() > f->until_ms)
		loop_stop(f->loop);
	else
		loop_alarm_start(a, TICK_MS);
}

void
branch_wait(struct branch *f, bool (*ready)(struct branch *))
{
	f->ready = ready;
	f->until_ms = loop_now_ms() + DEADLINE_MS;
	loop_alarm_init(&f->tick, f->loop, on_tick);
	loop_alarm_start(&f->tick, 0);
	assert_int_equal(loop_run(f->loop), 0);
	loop_alarm_stop(&f->tick);
	assert_true(ready(f));
}

struct discovery_view
branch_view(const struct branch_program *p)
{
	struct discovery_view v;

	discovery_view(p->d, &v);
	return v;
}

bool
branch_a_has_heard(struct branch *f)
{
	return f->a.heard >= f->wanted;
}

bool
branch_b_has_heard(struct branch *f)
{
	return f->b.heard >= f->wanted;
}

bool
branch_a_was_answered(struct branch *f)
{
	return f->a.answered >= f->wanted;
}

void
branch_wait_heard(struct branch *f, size_t n)
{
	f->wanted = n;
	branch_wait(f, branch_a_has_heard);
	assert_int_equal(f->a.heard, n);
}

bool
branch_a_has_received(struct branch *f)
{
	return branch_view(&f->a).counters.received >= f->wanted;
}

static bool
a_asks(struct branch *f)
{
	struct discovery_view v = branch_view(&f->a);

	return v.asks_4 + v.asks_6 == f->wanted;
}

void
branch_wait_asks(struct branch *f, size_t n)
{
	f->wanted = n;
	branch_wait(f, a_asks);
}

void
branch_wait_answered(struct branch *f, size_t n)
{
	f->wanted = n;
	branch_wait(f, branch_a_was_answered);
	assert_int_equal(f->a.answered, n);
}

/* Fixture. */

int
branch_setup(void **state)
{
	struct branch *f;

	*state = NULL;
	if (!net_space_enter())
		return 0;
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	assert_int_equal(loop_new(&f->loop, NULL, NULL), 0);
	f->a.f = f->b.f = f;
	f->space = net_space_new();
	strcpy(f->folder, "/tmp/discovery.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	*state = f;
	return 0;
}

int
branch_teardown(void **state)
{
	struct branch *f = *state;
	char path[128];

	if (f == NULL)
		return 0;
	f->a.d = discovery_free(f->a.d);
	f->b.d = discovery_free(f->b.d);
	f->netif = netif_free(f->netif);
	f->loop = loop_free(f->loop);
	snprintf(path, sizeof(path), "%s/" DISCOVERY_INSTANCE_FILE, f->folder);
	unlink(path);
	rmdir(f->folder);
	close(f->space);
	free(f);
	return 0;
}

struct branch *
branch_of(void **state)
{
	if (*state == NULL)
		skip();
	return *state;
}

/* v0 here, v1 there. */
void
branch_cable(struct branch *f, bool four, bool six)
{
	net_space_cable(f->space, "v0", "v1");
	if (four) {
		net_space_ip(-1, "addr add 192.0.2.1/24 dev v0");
		net_space_ip(f->space, "addr add 192.0.2.2/24 dev v1");
	}
	if (six) {
		net_space_ip(-1, "addr add fe80::1/64 dev v0 nodad");
		net_space_ip(-1, "addr add fd00::1/64 dev v0 nodad");
		net_space_ip(f->space, "addr add fe80::2/64 dev v1 nodad");
		net_space_ip(f->space, "addr add fd00::2/64 dev v1 nodad");
	}
}

void
branch_second_cable(struct branch *f)
{
	net_space_cable(f->space, "w0", "w1");
	net_space_ip(-1, "addr add 198.51.100.1/24 dev w0");
	net_space_ip(f->space, "addr add 198.51.100.2/24 dev w1");
}

void
branch_look(struct branch *f, const struct netif_settings *settings)
{
	assert_int_equal(
		netif_new(&f->netif, f->loop, settings, on_changed, f), 0);
}

void
branch_make(struct branch_program *p)
{
	struct branch *f = p->f;

	p->d = discovery_new(f->loop, (struct service *)p, f->netif,
		&(struct discovery_settings){.state_folder = f->folder});
	assert_non_null(p->d);
}

void
branch_start(struct branch_program *p, uint16_t port)
{
	if (p->f->netif == NULL)
		branch_look(p->f, &branch_everything);
	branch_make(p);
	assert_int_equal(discovery_start(p->d, port, -1, -1), 0);
	assert_int_equal(branch_view(p).error, 0);
}

void
branch_ask(struct branch_program *p)
{
	struct env_probe probe = {.version = PCCRD_V1, .n_ids = 1, .ids = id};

	memcpy(probe.uuid, uuid, sizeof(uuid));
	discovery_probe(p->d, &probe);
}

/* To the last question. */
void
branch_reply(struct branch_program *p)
{
	static const struct pccrd_held held = {.blocks = 3};
	struct pccrd_id ids[1] = {{{0}, 0}};
	const struct env_match m = {
		.to = p->question.from,
		.interface = p->question.interface,
		.relates_to = p->question.message_id,
		.version = PCCRD_V1,
		.n_ids = 1,
		.ids = ids,
		.held = &held,
	};

	memcpy(ids[0].bytes, id[0], sizeof(id[0]));
	discovery_match(p->d, &m);
}

unsigned
branch_index(const char *name)
{
	unsigned index = if_nametoindex(name);

	assert_true(index != 0);
	return index;
}

/* The other host. */

struct parse_addr
branch_addr(const char *text)
{
	struct parse_addr a;

	assert_int_equal(parse_addr_port(text, &a), 0);
	return a;
}

void
branch_bind(int fd, const char *text)
{
	struct parse_addr a = branch_addr(text);

	assert_int_equal(bind(fd, (struct sockaddr *)&a.ss, a.len), 0);
}

/* v1 is the first interface that was made there. */
unsigned
branch_far_index(struct branch *f, const char *name)
{
	AUTO_FD int fd = net_space_socket(f->space, AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {0};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFINDEX, &r), 0);
	return (unsigned)r.ifr_ifindex;
}

/* Speaks to the group through v1. */
int
branch_speaker(struct branch *f, const char *text, const char *name)
{
	bool six = text[0] == '[';
	int fd = net_space_socket(
		f->space, six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	struct ip_mreqn m = {.imr_ifindex = (int)branch_far_index(f, name)};
	int index = m.imr_ifindex;

	if (six)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF,
					 &index, sizeof(index)),
			0);
	else
		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m,
					 sizeof(m)),
			0);
	branch_bind(fd, text);
	return fd;
}

/* Hears what is said to the group on v1. */
int
branch_listener(struct branch *f, bool six, const char *name)
{
	int fd = net_space_socket(
		f->space, six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	struct ip_mreqn m = {.imr_ifindex = (int)branch_far_index(f, name)};
	struct ipv6_mreq m6 = {.ipv6mr_interface = branch_far_index(f, name)};
	int on = 1;

	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	inet_pton(AF_INET, "239.255.255.250", &m.imr_multiaddr);
	inet_pton(AF_INET6, "ff02::c", &m6.ipv6mr_multiaddr);
	if (six)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6,
					 IPV6_ADD_MEMBERSHIP, &m6, sizeof(m6)),
			0);
	else
		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP,
					 &m, sizeof(m)),
			0);
	branch_bind(fd, six ? "[::]:3702" : "0.0.0.0:3702");
	return fd;
}

bool
branch_say(int fd, const char *to, const void *data, size_t len)
{
	struct parse_addr a = branch_addr(to);

	return sendto(fd, data, len, 0, (struct sockaddr *)&a.ss, a.len) ==
		(ssize_t)len;
}

void
branch_say_probe(int fd, const char *to)
{
	struct buf b;

	buf_init(&b, BRANCH_TEXT_MAX);
	assert_int_equal(pccrd_build_probe(&b, uuid, PCCRD_V1, id, 1), 0);
	assert_true(branch_say(fd, to, b.data, b.len));
	buf_done(&b);
}

/* An answer that names these addresses. */
void
branch_say_answer(int fd, const struct parse_addr *to, const char *const *names)
{
	struct parse_addr addrs[PCCRD_ADDRS_MAX];
	static const struct pccrd_held held = {.blocks = 7};
	struct pccrd_id ids[1] = {{{0}, 0}};
	struct pccrd_answer a = {
		.relates_to = "urn:uuid:of-the-question",
		.instance = 1,
		.number = 1,
		.version = PCCRD_V1,
		.n_ids = 1,
		.ids = ids,
		.held = &held,
		.addrs = addrs,
	};
	struct buf b;

	memcpy(ids[0].bytes, id[0], sizeof(id[0]));
	for (; *names != NULL; names++)
		addrs[a.n_addrs++] = branch_addr(*names);
	buf_init(&b, BRANCH_TEXT_MAX);
	assert_int_equal(pccrd_build_answer(&b, &a), 0);
	assert_int_equal(sendto(fd, b.data, b.len, 0,
				 (const struct sockaddr *)&to->ss, to->len),
		b.len);
	buf_done(&b);
}

/* What came, as text; and from whom. */
static int
hops_of(struct msghdr *m)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int hops;

	assert_non_null(c);
	assert_true(c->cmsg_len >= CMSG_LEN(sizeof(hops)));
	memcpy(&hops, CMSG_DATA(c), sizeof(hops));
	return hops;
}

int
branch_hear(int fd, char *text, struct parse_addr *ret_from)
{
	_Alignas(struct cmsghdr) uint8_t control[64];
	struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
	struct iovec iov = {text, BRANCH_TEXT_MAX - 1};
	struct msghdr m = {
		.msg_name = &ret_from->ss,
		.msg_namelen = sizeof(ret_from->ss),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int on = 1;
	ssize_t n;

	/* one of them is its own */
	(void)setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = recvmsg(fd, &m, 0);
	assert_true(n > 0);
	text[n] = '\0';
	ret_from->len = m.msg_namelen;
	return hops_of(&m);
}

void
branch_assert_addr(const struct parse_addr *a, const char *format, ...)
{
	char text[PARSE_ADDR_TEXT], expected[PARSE_ADDR_TEXT];
	va_list ap;

	va_start(ap, format);
	vsnprintf(expected, sizeof(expected), format, ap);
	va_end(ap);
	parse_addr_format(text, a);
	assert_string_equal(text, expected);
}

size_t
branch_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

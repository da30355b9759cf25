/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/net/http_server.h"
#include "tests/unit/closing.h"
#include "tests/unit/failalloc.h"
#include "tests/unit/http_talk.h"
#include "tests/unit/net_peer.h"

#define REQUEST "GET /a HTTP/1.1\r\n\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
#define TALKS   12
#define BIG     (16u << 20)

static struct {
	struct loop *loop;
	struct http_server *server;
	struct http_listener *listener;
	unsigned fds;
	struct talk talks[TALKS];
	/* the filter */
	unsigned asked;
	bool deny;
	char asker[INET6_ADDRSTRLEN];
	/* the services */
	bool hold;
	struct http_conn *held;
	struct parse_addr peer;
	int nodelay;
} f;

static bool
match(void *ctx, const char *path, size_t len)
{
	return len == 2 && path[1] == *(const char *)ctx;
}

static void
handle(void *ctx, struct http_conn *c)
{
	struct http_answer a = {.status = 200, .head = ctx, .head_len = 1};

	f.peer = *http_conn_peer(c);
	if (f.hold)
		f.held = c;
	else
		http_conn_answer(c, &a);
}

static void
ended(void *ctx, struct http_conn *c, bool whole)
{
	if (f.held == c)
		f.held = NULL;
}

/* More than sockets hold, if the receiver's is small. */
static void
handle_big(void *ctx, struct http_conn *c)
{
	static uint8_t octets[BIG];
	struct http_answer a = {.status = 200, .bytes = octets, .span = BIG};

	http_conn_answer(c, &a);
}

static const struct http_service services[] = {
	{.match = match,
		.methods = 1u << HTTP_GET,
		.handle = handle,
		.ended = ended,
		.ctx = "a"},
	{.match = match,
		.methods = 1u << HTTP_POST | 1u << HTTP_PUT,
		.body_max = 10,
		.handle = handle,
		.ended = ended,
		.ctx = "b"},
	{.match = match,
		.methods = 1u << HTTP_GET,
		.handle = handle_big,
		.ended = ended,
		.ctx = "d"},
};

static bool
allow(void *ctx, const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	assert_ptr_equal(ctx, &f);
	f.asked++;
	if (sa->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, f.asker, sizeof(f.asker));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, f.asker, sizeof(f.asker));
	return !f.deny;
}

static const struct http_filter filter = {.allow = allow, .ctx = &f};

static void
server_new(unsigned conns, unsigned per_address)
{
	struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;

	limits.conns = conns;
	limits.conns_per_address = per_address;
	http_server_free(f.server);
	f.server = http_server_new(f.loop, &limits);
	assert_non_null(f.server);
	http_server_add(f.server, &services[0]);
	http_server_add(f.server, &services[1]);
	http_server_add(f.server, &services[2]);
}

static uint16_t
listen_on(const char *text)
{
	struct parse_addr addr;

	assert_int_equal(parse_addr_port(text, &addr), 0);
	assert_int_equal(
		http_server_listen(f.server, &addr, &filter, &f.listener), 0);
	return http_listener_port(f.listener);
}

static int
setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.fds = count_fds();
	assert_int_equal(loop_new(&f.loop, NULL, NULL), 0);
	server_new(1024, 64);
	return 0;
}

static int
teardown(void **state)
{
	for (size_t i = 0; i < TALKS; i++)
		if (f.talks[i].loop != NULL)
			talk_end(&f.talks[i]);
	assert_null(http_server_free(f.server));
	assert_null(f.held);
	loop_free(f.loop);
	assert_int_equal(count_fds(), f.fds);
	return 0;
}

static struct talk *
talk(size_t i, uint16_t port)
{
	talk_connect(&f.talks[i], f.loop, port);
	talk_settle(f.loop);
	return &f.talks[i];
}

static void
expect_works(struct talk *t)
{
	talk_say(t, REQUEST);
	talk_expect(t, ANSWER);
}

static const struct http_counters *
counters(void)
{
	return http_server_counters(f.server);
}

static void
test_routes(void **state)
{
	struct talk *t = talk(0, listen_on("127.0.0.1:0"));

	expect_works(t);
	talk_say(t, "POST /b HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789");
	talk_expect(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
	talk_say(t, "POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
	talk_expect(t,
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Allow: GET\r\n\r\n");
	talk_say(t, "GET /b HTTP/1.1\r\n\r\n");
	talk_expect(t,
		"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n"
		"Allow: POST, PUT\r\n\r\n");
	talk_say(t, "GET /c HTTP/1.1\r\n\r\n");
	talk_expect(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	talk_say(t, "POST /b HTTP/1.1\r\nContent-Length: 11\r\n\r\n");
	talk_expect(t,
		"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n"
		"Connection: close\r\n\r\n");
	assert_int_equal(counters()->accepted, 1);
	assert_int_equal(counters()->requests, 2);
	assert_int_equal(counters()->refused, 4);
}

/* One socket for both families; an IPv4 address is shown as one. */
static void
test_families(void **state)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	uint16_t port = listen_on("[::]:0");
	struct talk *t = talk(0, port);
	int fd, on = 0;
	socklen_t len = sizeof(on);

	assert_int_not_equal(port, 0);
	assert_string_equal(f.asker, "127.0.0.1");
	expect_works(t);
	assert_int_equal(f.peer.ss.ss_family, AF_INET);
	assert_int_equal(f.peer.len, sizeof(struct sockaddr_in));
	in6.sin6_port = htons(port);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&in6, sizeof(in6)), 0);
	talk_begin(&f.talks[1], f.loop, fd);
	expect_works(&f.talks[1]);
	assert_string_equal(f.asker, "::1");
	assert_int_equal(f.peer.ss.ss_family, AF_INET6);
	/* the descriptor after the client's is the server's */
	assert_int_equal(
		getsockopt(fd + 1, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(on, 1);
}

static void
test_filter(void **state)
{
	uint16_t port = listen_on("127.0.0.1:0");

	f.deny = true;
	talk_expect_end(talk(0, port));
	f.deny = false;
	expect_works(talk(1, port));
	assert_int_equal(f.asked, 2);
	assert_int_equal(counters()->filtered, 1);
	assert_int_equal(counters()->accepted, 1);
}

static struct talk *
talk_from(size_t i, const char *address, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = inet_addr(address);
	assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
	in.sin_addr.s_addr = inet_addr("127.0.0.1");
	in.sin_port = htons(port);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
	talk_begin(&f.talks[i], f.loop, fd);
	talk_settle(f.loop);
	return &f.talks[i];
}

static void
test_per_address(void **state)
{
	uint16_t port;

	server_new(1024, 2);
	port = listen_on("127.0.0.1:0");
	expect_works(talk(0, port));
	expect_works(talk(1, port));
	talk_expect_end(talk(2, port));
	/* others are not concerned */
	expect_works(talk_from(3, "127.0.0.2", port));
	/* one that goes makes room */
	talk_end(&f.talks[0]);
	f.talks[0].loop = NULL;
	talk_settle(f.loop);
	expect_works(talk(4, port));
	assert_int_equal(counters()->crowded, 1);
}

static void
test_displaced(void **state)
{
	uint16_t port;

	server_new(3, 64);
	port = listen_on("127.0.0.1:0");
	expect_works(talk(0, port));
	expect_works(talk(1, port));
	expect_works(talk(2, port));
	expect_works(&f.talks[0]); /* 1 is idle longest now */
	expect_works(talk(3, port));
	talk_expect_end(&f.talks[1]);
	assert_int_equal(http_server_conns(f.server), 3);
	assert_int_equal(counters()->displaced, 1);
	/* not those with a request, be it a part of one */
	talk_say(&f.talks[0], "GET");
	talk_say(&f.talks[2], "GET");
	f.hold = true;
	talk_say(&f.talks[3], REQUEST);
	talk_settle(f.loop);
	talk_expect_end(talk(4, port));
	assert_int_equal(counters()->displaced, 1);
	talk_expect_nothing(&f.talks[0]);
	talk_expect_nothing(&f.talks[3]);
}

static bool
one_conn(void *arg)
{
	return http_server_conns(f.server) == 1;
}

/* Nor does a connection make room for one that is over the other limit. */
static void
test_not_displaced_in_vain(void **state)
{
	uint16_t port;

	server_new(3, 2);
	port = listen_on("127.0.0.1:0");
	expect_works(talk_from(0, "127.0.0.2", port));
	expect_works(talk(1, port));
	expect_works(talk(2, port));
	talk_expect_end(talk(3, port));
	expect_works(&f.talks[0]);
	assert_int_equal(counters()->displaced, 0);
	assert_int_equal(counters()->crowded, 1);
	/* the host's only other connection makes room for the next */
	server_new(1, 2);
	port = listen_on("127.0.0.1:0");
	expect_works(talk(4, port));
	expect_works(talk(5, port));
	talk_expect_end(&f.talks[4]);
	expect_works(talk(6, port));
	assert_int_equal(counters()->displaced, 2);
}

/* Nobody is idle: whoever has most makes room for those who have not even half
 * of that, and gives what was begun first. */
static void
test_greedy(void **state)
{
	uint16_t port;

	server_new(6, 64);
	port = listen_on("127.0.0.1:0");
	for (size_t i = 0; i < 6; i++)
		talk_say(talk_from(i, i == 4 ? "127.0.0.3" : "127.0.0.2", port),
			"GET");
	talk_settle(f.loop);
	talk_say(talk_from(6, "127.0.0.4", port), "GET");
	talk_expect_end(&f.talks[0]);
	talk_say(talk_from(7, "127.0.0.4", port), "GET");
	talk_expect_end(&f.talks[1]);
	assert_int_equal(counters()->displaced, 2);
	/* three against three, and the one that has most is not alone */
	talk_expect_end(talk_from(8, "127.0.0.4", port));
	talk_expect_end(talk_from(9, "127.0.0.2", port));
	talk_expect_end(talk_from(10, "127.0.0.3", port));
	assert_int_equal(counters()->displaced, 2);
	talk_say(talk_from(11, "127.0.0.5", port), " ");
	talk_expect_end(&f.talks[2]);
	assert_int_equal(counters()->displaced, 3);
	assert_int_equal(counters()->crowded, 6);
	assert_int_equal(http_server_conns(f.server), 6);
	for (size_t i = 3; i < 8; i++)
		talk_expect_nothing(&f.talks[i]);
}

/* Each has one or two, so that nobody has too many. */
static void
test_fair(void **state)
{
	static const char *const from[] = {
		"127.0.0.2", "127.0.0.3", "127.0.0.4"};
	uint16_t port;

	server_new(3, 64);
	port = listen_on("127.0.0.1:0");
	for (size_t i = 0; i < 3; i++)
		talk_say(talk_from(i, from[i], port), "GET");
	talk_settle(f.loop);
	talk_expect_end(talk_from(3, "127.0.0.5", port));
	talk_expect_end(talk_from(4, "127.0.0.2", port));
	assert_int_equal(counters()->displaced, 0);
	assert_int_equal(counters()->crowded, 2);
	for (size_t i = 0; i < 3; i++)
		talk_expect_nothing(&f.talks[i]);
}

/* Of those whose answers are under way, not the one that got some of it just
 * now. */
static void
test_slowest_reader(void **state)
{
	int small = 65536;
	uint16_t port;

	server_new(3, 64);
	port = listen_on("127.0.0.1:0");
	for (size_t i = 0; i < 3; i++) {
		talk_from(i, "127.0.0.2", port);
		talk_listen(&f.talks[i], false);
		setsockopt(f.talks[i].fd, SOL_SOCKET, SO_RCVBUF, &small,
			sizeof(small));
		talk_say(&f.talks[i], "GET /d HTTP/1.1\r\n\r\n");
		talk_settle(f.loop);
	}
	talk_listen(&f.talks[0], true);
	talk_await(&f.talks[0], BIG / 2);
	talk_listen(&f.talks[0], false);
	talk_from(3, "127.0.0.3", port);
	assert_int_equal(counters()->displaced, 1);
	talk_listen(&f.talks[0], true);
	talk_listen(&f.talks[1], true);
	talk_listen(&f.talks[2], true);
	talk_await(&f.talks[2], BIG);
	talk_await(&f.talks[0], BIG / 2);
	while (!f.talks[1].over)
		talk_settle(f.loop);
	assert_true(f.talks[1].in.len < BIG);
	talk_await(&f.talks[1], f.talks[1].in.len);
}

/* Whoever has many and comes again does not take the place of one that has just
 * come, even before that has asked for anything. */
static void
test_new_is_kept(void **state)
{
	uint16_t port;

	server_new(3, 64);
	port = listen_on("127.0.0.1:0");
	for (size_t i = 0; i < 3; i++)
		talk_say(talk_from(i, "127.0.0.2", port), "GET");
	talk_settle(f.loop);
	talk_from(3, "127.0.0.3", port);
	talk_expect_end(&f.talks[0]);
	talk_expect_end(talk_from(4, "127.0.0.2", port));
	expect_works(&f.talks[3]);
	/* but others may that have as little */
	expect_works(talk_from(5, "127.0.0.4", port));
	talk_expect_end(&f.talks[3]);
	/* and what has had its answer is for everybody */
	expect_works(talk_from(6, "127.0.0.2", port));
	talk_expect_end(&f.talks[5]);
}

/* Without a descriptor the listener rests, and takes up again. */
static void
test_no_descriptor(void **state)
{
	uint16_t port = listen_on("127.0.0.1:0");
	struct rlimit before, none;
	struct talk *t = &f.talks[0];
	uint64_t began = loop_now_ms();

	talk_connect(t, f.loop, port);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)t->fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	talk_settle(f.loop);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(http_server_conns(f.server), 0);
	talk_settle(f.loop); /* not looked at again at once */
	assert_int_equal(http_server_conns(f.server), 0);
	talk_say(t, REQUEST);
	talk_expect(t, ANSWER);
	assert_true(loop_now_ms() - began >= 100);
	assert_true(one_conn(NULL));
}

static void
test_close(void **state)
{
	uint16_t port = listen_on("127.0.0.1:0");
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct talk *t = talk(0, port);

	expect_works(t);
	assert_null(http_listener_close(f.listener));
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&in, sizeof(in)), -1);
	close(fd);
	expect_works(t);
	f.hold = true;
	talk_say(t, REQUEST);
	talk_settle(f.loop);
	assert_non_null(f.held);
	http_server_close_all(f.server);
	assert_null(f.held);
	talk_expect_end(t);
	assert_null(http_listener_close(NULL));
	assert_null(http_server_free(NULL));
}

static bool
allow_others(void *ctx, const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const void *)sa;

	return in->sin_addr.s_addr != inet_addr(ctx);
}

/* Those that would not be taken any more, in whatever state. */
static void
test_sift(void **state)
{
	const struct http_filter without_2 = {allow_others, "127.0.0.2"};
	uint16_t port = listen_on("127.0.0.1:0");

	expect_works(talk(0, port));
	expect_works(talk_from(1, "127.0.0.2", port));
	talk_say(talk_from(2, "127.0.0.2", port), "GET");
	f.hold = true;
	talk_say(talk_from(3, "127.0.0.2", port), REQUEST);
	talk_settle(f.loop);
	assert_non_null(f.held);
	http_server_sift(f.server, &without_2);
	assert_null(f.held);
	f.hold = false;
	for (size_t i = 1; i <= 3; i++)
		talk_expect_end(&f.talks[i]);
	expect_works(&f.talks[0]);
	assert_int_equal(http_server_conns(f.server), 1);
}

/* Like a kernel without IPv6. */
static void
forbid_ipv6(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, args[0]) +
				(__BYTE_ORDER == __BIG_ENDIAN ? 4 : 0)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(77);
}

static int
listen_without_ipv6(void)
{
	struct parse_addr any = {0}, one = {0}, got;

	forbid_ipv6();
	if (parse_addr_port("[::]:0", &any) != 0 ||
		parse_addr_port("[::1]:0", &one) != 0)
		return 1;
	if (http_server_listen(f.server, &one, NULL, &f.listener) !=
		-EAFNOSUPPORT)
		return 2;
	if (http_server_listen(f.server, &any, NULL, &f.listener) != 0)
		return 3;
	http_listener_address(f.listener, &got);
	return got.ss.ss_family == AF_INET && http_listener_port(f.listener) > 0
		? 0
		: 4;
}

static void
test_without_ipv6(void **state)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(listen_without_ipv6());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void
test_address_taken(void **state)
{
	struct http_listener *l = NULL;
	struct parse_addr addr;
	char text[32];

	snprintf(text, sizeof(text), "127.0.0.1:%u", listen_on("127.0.0.1:0"));
	assert_int_equal(parse_addr_port(text, &addr), 0);
	assert_int_equal(
		http_server_listen(f.server, &addr, NULL, &l), -EADDRINUSE);
	assert_int_equal(parse_addr_port("192.0.2.1:80", &addr), 0);
	assert_int_equal(
		http_server_listen(f.server, &addr, NULL, &l), -EADDRNOTAVAIL);
	assert_null(l);
}

/* A socket of somebody else's making, blocking and in the file system. */
static void
test_unix(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct http_listener *l;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = sizeof(un);

	/* autobind: no file */
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&un, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&un, &len), 0);
	assert_int_equal(http_server_listen_fd(f.server, fd, NULL, &l), 0);
	assert_int_equal(http_listener_port(l), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&un, len), 0);
	talk_begin(&f.talks[0], f.loop, fd);
	expect_works(&f.talks[0]);
	assert_int_equal(http_server_listen_fd(f.server,
				 open("/dev/null", O_RDONLY), NULL, &l),
		-ENOTSOCK);
	assert_int_equal(http_server_listen_fd(f.server, -1, NULL, &l), -EBADF);
}

static void
test_configure(void **state)
{
	struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
	uint16_t port = listen_on("127.0.0.1:0");

	expect_works(talk(0, port));
	limits.conns = 1;
	limits.conn.idle_ms = 50;
	http_server_configure(f.server, &limits);
	expect_works(talk(1, port));
	talk_expect_end(&f.talks[0]);
	talk_expect_end(&f.talks[1]); /* idle */
	assert_int_equal(counters()->timed_out, 0);
}

static int
scenario(void *arg)
{
	struct http_server *s = http_server_new(f.loop, NULL);
	struct http_listener *l;
	struct parse_addr addr;
	int r, fd = -1;

	if (s == NULL)
		return -ENOMEM;
	http_server_add(s, &services[0]);
	assert_int_equal(parse_addr_port("127.0.0.1:0", &addr), 0);
	r = http_server_listen(s, &addr, NULL, &l);
	if (r == 0) {
		struct sockaddr_in in = {.sin_family = AF_INET,
			.sin_port = htons(http_listener_port(l)),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(
			connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
		talk_settle(f.loop);
		r = http_server_conns(s) == 1 ? 0 : -ENOMEM;
	}
	if (fd >= 0)
		close(fd);
	http_server_free(s);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(scenario, NULL) >= 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_routes),
		TEST(test_families),
		TEST(test_filter),
		TEST(test_per_address),
		TEST(test_displaced),
		TEST(test_not_displaced_in_vain),
		TEST(test_greedy),
		TEST(test_fair),
		TEST(test_slowest_reader),
		TEST(test_new_is_kept),
		TEST(test_no_descriptor),
		TEST(test_close),
		TEST(test_sift),
		TEST(test_without_ipv6),
		TEST(test_address_taken),
		TEST(test_unix),
		TEST(test_configure),
		TEST(test_no_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

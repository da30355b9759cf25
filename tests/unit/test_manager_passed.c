/* SPDX-License-Identifier: BSD-2-Clause */
/* Each case in a process of its own, since the descriptors have to be those
 * from 3 on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "codec/pccrd.h"
#include "common/macros.h"
#include "daemon/manager_passed.h"

#define SOCKETS_MAX 4
#define FIRST       SD_LISTEN_FDS_START
#define ASIDE       100 /* descriptors that nobody has */

struct given {
	const char *name;
	int family, type;
	uint16_t port;
	int v6only;
	bool listens;
};

/* Where each place gets its socket from: a number, -1: it stays empty. */
static const struct {
	struct given given[SOCKETS_MAX];
	int control, retrieval, discovery_4, discovery_6, web;
} cases[] = {
	{{{"control", AF_UNIX, SOCK_STREAM, 0, 0, true},
		 {"discovery", AF_INET6, SOCK_DGRAM, PCCRD_PORT, 1, false},
		 {"retrieval", AF_INET6, SOCK_STREAM, 0, 0, true},
		 {"discovery", AF_INET, SOCK_DGRAM, PCCRD_PORT, 0, false}},
		0, 2, 3, 1, -1},
	{{{"retrieval", AF_INET, SOCK_STREAM, 0, 0, true},
		 {"retrieval", AF_INET6, SOCK_STREAM, 0, 1, true}},
		-1, 0, -1, -1, -1},
	/* of both families: the other one could not be opened beside it */
	{{{"discovery", AF_INET6, SOCK_DGRAM, PCCRD_PORT, 0, false}}, -1, -1,
		-1, -1, -1},
	{{{"discovery", AF_INET, SOCK_DGRAM, PCCRD_PORT + 1, 0, false},
		 {"discovery", AF_INET, SOCK_DGRAM, PCCRD_PORT, 0, false}},
		-1, -1, 1, -1, -1},
	{{{"web", AF_INET, SOCK_DGRAM, 0, 0, false},
		 {"web", AF_INET6, SOCK_STREAM, 0, 0, true},
		 {"web", AF_UNIX, SOCK_STREAM, 0, 0, true}},
		-1, -1, -1, -1, 1},
	{{{"web", AF_UNIX, SOCK_STREAM, 0, 0, true}}, -1, -1, -1, -1, 0},
	{{{"retrieval", AF_INET, SOCK_STREAM, 0, 0, false},
		 {"retrieval", AF_INET, SOCK_DGRAM, 0, 0, false},
		 {"discovery", AF_INET, SOCK_STREAM, 0, 0, true},
		 {"other", AF_INET, SOCK_STREAM, 0, 0, true}},
		-1, -1, -1, -1, -1},
};

static void
must(bool ok)
{
	if (!ok)
		_exit(2);
}

static int
make_socket(const struct given *g)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(g->port)};
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(g->port)};
	const struct sockaddr *sa = (const struct sockaddr *)&in;
	struct sockaddr un = {.sa_family = AF_UNIX};
	socklen_t len = sizeof(in);
	int fd = socket(g->family, g->type, 0), one = 1;

	must(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (g->family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &g->v6only,
			sizeof(g->v6only));
		sa = (const struct sockaddr *)&in6;
		len = sizeof(in6);
	} else if (g->family == AF_UNIX) {
		sa = &un; /* the kernel chooses a name */
		len = sizeof(sa_family_t);
	}
	must(bind(fd, sa, len) == 0);
	must(!g->listens || listen(fd, 1) == 0);
	return fd;
}

/* The sockets are FIRST and those behind it; their number. */
static int
pass(const struct given *given)
{
	char names[128] = "", number[16];
	int n;

	for (n = 0; n < SOCKETS_MAX && given[n].name != NULL; n++) {
		int fd = make_socket(&given[n]);

		must(dup2(fd, ASIDE + n) >= 0);
		close(fd);
		strcat(strcat(names, n > 0 ? ":" : ""), given[n].name);
	}
	for (int i = 0; i < n; i++) {
		must(dup2(ASIDE + i, FIRST + i) >= 0);
		close(ASIDE + i);
	}
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	return n;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool
is_place(int fd, int number)
{
	if (number < 0)
		return fd < 0;
	return fd == FIRST + number && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
		(fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* 0, or the number of what is wrong. */
static int
run_case(size_t i)
{
	struct passed p;
	int n = pass(cases[i].given), used = 0;

	passed_take(&p);
	if (!is_place(p.control, cases[i].control) ||
		!is_place(p.retrieval, cases[i].retrieval) ||
		!is_place(p.discovery_4, cases[i].discovery_4) ||
		!is_place(p.discovery_6, cases[i].discovery_6) ||
		!is_place(p.web, cases[i].web))
		return 3;
	for (int k = 0; k < n; k++)
		used += is_open(FIRST + k);
	if (used !=
		(p.control >= 0) + (p.retrieval >= 0) + (p.discovery_4 >= 0) +
			(p.discovery_6 >= 0) + (p.web >= 0))
		return 4;
	passed_done(&p);
	for (int k = 0; k < n; k++)
		if (is_open(FIRST + k))
			return 5;
	return p.retrieval == -1 ? 0 : 6;
}

static void
test_places(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int status = -1;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(run_case(i));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			print_error(
				"case %zu: status %#x\n", i, (unsigned)status);
		assert_int_equal(status, 0);
	}
}

static void
test_none(void **state)
{
	struct passed p;

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	passed_take(&p);
	assert_true(p.control == -1 && p.retrieval == -1 &&
		p.discovery_4 == -1 && p.discovery_6 == -1 && p.web == -1);
	passed_done(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

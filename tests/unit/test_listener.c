/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/close.h"
#include "common/macros.h"
#include "proto/ipc_call.h"
#include "tests/unit/api_harness.h"
#include "tests/unit/closing.h"
#include "tests/unit/lingering.h"

static char folder[64], path[108];
static struct listener *listener;

#define CLOSING_MOST 10

static int
listen_at_path(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(folder, sizeof(folder), "/tmp/test_listener.XXXXXX");
	if (fd < 0 || mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (bind(fd, (void *)&sun, sizeof(sun)) != 0 || listen(fd, 64) != 0)
		return -1;
	return fd;
}

static int
setup(void **state)
{
	int fd;

	if (harness_setup(state) != 0)
		return -1;
	h.limits.max_clients = 20;
	h.limits.closing_most = CLOSING_MOST;
	fd = listen_at_path();
	return listener_new(&listener, h.base, h.service, fd, &h.limits, NULL);
}

static int
teardown(void **state)
{
	listener = listener_free(listener);
	unlink(path);
	rmdir(folder);
	return harness_teardown(state);
}

static int
connect_to(void)
{
	int fd = ipc_connect(path, 1000);

	assert_true(fd >= 0);
	return fd;
}

static bool
is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void
set_connection_quota(uint64_t max)
{
	struct quota_limits limits = h.settings.limits;

	limits.max[QUOTA_CONNECTIONS] = max;
	quota_set_limits(service_quota(h.service), &limits);
}

static void
the_kernel_says_who_comes(void **state)
{
	const struct client *c;
	struct end e;

	end_open(&e, connect_to());
	greet(&e, IPC_FEATURE_AREA);
	c = TAILQ_FIRST(&listener_clients(listener)->clients);
	assert_int_equal(c->identity.pid, getpid());
	assert_int_equal(c->identity.uid, getuid());
	assert_in_range(c->identity.n_gids, 1, 70000);
	assert_int_equal(c->identity.gids[0], getgid());
	assert_int_equal(session_identity(c->session)->uid, getuid());
	end_close(&e);
	TURN_UNTIL(listener_clients(listener)->n_clients == 0);
}

static void
connections_over_the_quota_are_closed(void **state)
{
	int fds[4];

	set_connection_quota(3);
	for (int i = 0; i < 4; i++)
		fds[i] = connect_to();
	TURN_UNTIL(is_closed(fds[3]));
	for (int i = 0; i < 3; i++)
		assert_false(is_closed(fds[i]));
	assert_int_equal(listener_clients(listener)->counters.over_quota, 1);
	assert_int_equal(
		quota_refused(service_quota(h.service), QUOTA_CONNECTIONS), 1);
	/* A place that is given back can be taken again. */
	close(fds[0]);
	TURN_UNTIL(listener_clients(listener)->n_clients == 2);
	fds[0] = connect_to();
	TURN_UNTIL(listener_clients(listener)->n_clients == 3);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void
there_is_a_limit_for_all_together(void **state)
{
	int fds[21];

	for (int i = 0; i < 21; i++)
		fds[i] = connect_to();
	TURN_UNTIL(is_closed(fds[20]));
	assert_int_equal(listener_clients(listener)->n_clients, 20);
	for (int i = 0; i < 21; i++)
		close(fds[i]);
}

static void
who_leaves_much_open_is_refused(void **state)
{
	int others[CLOSING_MOST], ends[CLOSING_MOST], fd;

	for (int i = 0; i < CLOSING_MOST; i++)
		fd_close_foreign(
			socket_with_one(&ends[i], &others[i]), getuid());
	fd = connect_to();
	TURN_UNTIL(is_closed(fd));
	close(fd);
	assert_int_equal(listener_clients(listener)->counters.over_quota, 1);
	for (int i = 0; i < CLOSING_MOST; i++) {
		close(others[i]);
		close(ends[i]);
	}
	count_fds();
	fd = connect_to();
	TURN_UNTIL(listener_clients(listener)->n_clients == 1);
	close(fd);
}

static int
highest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* Without a free descriptor a connection is closed, and the loop does not spin
 * on it; with one again, the next is served. */
static void
running_out_of_descriptors(void **state)
{
	int first = connect_to(), second, third;
	struct rlimit old, few;

	second = connect_to();
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = (rlim_t)highest_fd();
	setrlimit(RLIMIT_NOFILE, &few);
	TURN_UNTIL(is_closed(first) && is_closed(second));
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(listener_clients(listener)->n_clients, 0);
	third = connect_to();
	TURN_UNTIL(listener_clients(listener)->n_clients == 1);
	assert_false(is_closed(third));
	close(first);
	close(second);
	close(third);
}

static void
leaving_disconnects_everybody(void **state)
{
	struct end e;

	end_open(&e, connect_to());
	greet(&e, IPC_FEATURE_AREA);
	listener = listener_free(listener);
	get_closed(&e);
	end_close(&e);
	assert_true(ipc_connect(path, 1000) < 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_kernel_says_who_comes),
		T(connections_over_the_quota_are_closed),
		T(there_is_a_limit_for_all_together),
		T(who_leaves_much_open_is_refused),
		T(running_out_of_descriptors),
		T(leaving_disconnects_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

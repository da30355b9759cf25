/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's side is played by a channel whose answers lie in the socket
 * before they are asked for. */
#include "proto/ipc_call.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "proto/peerdist_errors.h"

#define SOON    60000 /* ms; never reached in a test that passes */
#define AT_ONCE 1

struct line {
	struct ipc_chan *client, *daemon;
};

static struct line
line_new(void)
{
	struct line l;
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(ipc_chan_new(&l.client, sv[0], IPC_FROM_CLIENT), 0);
	assert_int_equal(ipc_chan_new(&l.daemon, sv[1], IPC_FROM_DAEMON), 0);
	return l;
}

static void
line_free(struct line *l)
{
	ipc_chan_free(l->client);
	ipc_chan_free(l->daemon);
}

static void
answer(struct line *l, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body, int fd)
{
	assert_int_equal(
		ipc_chan_queue(l->daemon, type, id, body, &fd, fd >= 0), 0);
	assert_int_equal(ipc_chan_flush(l->daemon), 0);
}

static void
answer_reply(struct line *l, uint64_t id, uint32_t code)
{
	Pd__Reply reply = PD__REPLY__INIT;

	reply.code = code;
	answer(l, IPC_REPLY, id, &reply.base, -1);
}

static Pd__Hello
hello_of(uint32_t min, uint32_t max)
{
	Pd__Hello h = PD__HELLO__INIT;

	h.min_version = min;
	h.max_version = max;
	h.features = 1;
	h.max_operations = 1000;
	h.status = 2;
	h.min_content_version = 1;
	h.max_content_version = 2;
	return h;
}

static int
greet_with(Pd__Hello *h, int fd, struct ipc_greeting *g)
{
	struct line l = line_new();
	int r;

	answer(&l, IPC_HELLO, 0, &h->base, fd);
	r = ipc_greet(l.client, IPC_FEATURE_AREA, "test 1", SOON, g);
	line_free(&l);
	return r;
}

static void
both_sides_greet(void **state)
{
	struct line l = line_new();
	Pd__Hello h = hello_of(1, 5);
	struct ipc_greeting g;
	struct ipc_msg m;
	bool more;

	answer(&l, IPC_HELLO, 0, &h.base, -1);
	assert_int_equal(
		ipc_greet(l.client, IPC_FEATURE_AREA, "test 1", SOON, &g), 0);
	assert_int_equal(g.version, IPC_VERSION_MAX);
	assert_int_equal(g.max_operations, 1000);
	assert_int_equal(g.status, 2);
	assert_int_equal(g.min_content_version, 1);
	assert_int_equal(g.max_content_version, 2);
	assert_int_equal(g.area.fd, -1);
	assert_int_equal(ipc_chan_read(l.daemon, false, &more), 0);
	assert_int_equal(ipc_chan_next(l.daemon, &m), 0);
	assert_int_equal(m.header.type, IPC_HELLO);
	assert_int_equal(m.u.hello->min_version, IPC_VERSION_MIN);
	assert_int_equal(m.u.hello->max_version, IPC_VERSION_MAX);
	assert_int_equal(m.u.hello->features, IPC_FEATURE_AREA);
	assert_string_equal(m.u.hello->name, "test 1");
	ipc_msg_done(&m);
	line_free(&l);
}

static void
the_area_is_checked(void **state)
{
	Pd__Hello h = hello_of(1, 1);
	struct ipc_greeting g;
	int fd = fd_memfd_sealed("test", 3 * 4096);

	h.write_size = 4096;
	h.read_size = 2 * 4096;
	assert_int_equal(greet_with(&h, fd, &g), 0);
	assert_true(g.area.fd >= 0 && g.area.fd != fd);
	assert_int_equal(g.area.write_size, 4096);
	assert_int_equal(g.area.read_size, 2 * 4096);
	close(g.area.fd);
	h.read_size = 4096; /* not what the descriptor says */
	assert_int_equal(greet_with(&h, fd, &g), -EPROTO);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(greet_with(&h, fd, &g), -EPROTO);
	close(fd);
}

static void
versions_must_meet(void **state)
{
	Pd__Hello h = hello_of(IPC_VERSION_MAX + 1, IPC_VERSION_MAX + 3);
	struct line l = line_new();
	struct ipc_greeting g;

	assert_int_equal(greet_with(&h, -1, &g), -EPROTONOSUPPORT);
	answer_reply(&l, 0, PEERDIST_ERROR_VERSION_UNSUPPORTED);
	assert_int_equal(
		ipc_greet(l.client, 0, "", SOON, &g), -EPROTONOSUPPORT);
	line_free(&l);
}

static void
other_first_frames_are_refused(void **state)
{
	struct line l = line_new();
	struct ipc_greeting g;

	answer_reply(&l, 0, ERROR_SUCCESS);
	assert_int_equal(ipc_greet(l.client, 0, "", SOON, &g), -EPROTO);
	line_free(&l);
}

static void
silence_and_closing_end_a_call(void **state)
{
	struct line l = line_new();
	struct ipc_greeting g;
	struct ipc_msg m;

	assert_int_equal(ipc_greet(l.client, 0, "", AT_ONCE, &g), -ETIMEDOUT);
	l.daemon = ipc_chan_free(l.daemon);
	assert_int_equal(
		ipc_call_send(l.client, IPC_STATUS_GET, 1, NULL, -1, SOON),
		-EPIPE);
	assert_int_equal(ipc_call_next(l.client, SOON, &m), -EPIPE);
	line_free(&l);
}

static void
types_of_the_future_are_passed_over(void **state)
{
	struct line l = line_new();
	struct ipc_msg m;

	assert_int_equal(send(ipc_chan_fd(l.daemon),
				 "\x10\0\0\0\x5F\0\0\0\7\0\0\0\0\0\0\0", 16,
				 MSG_NOSIGNAL),
		16);
	answer_reply(&l, 7, 1260);
	assert_int_equal(ipc_call_next(l.client, SOON, &m), 0);
	assert_int_equal(m.header.type, IPC_REPLY);
	assert_int_equal(m.u.reply->code, 1260);
	ipc_msg_done(&m);
	line_free(&l);
}

static void
a_broken_frame_ends_a_call(void **state)
{
	struct line l = line_new();
	struct ipc_msg m;

	assert_int_equal(send(ipc_chan_fd(l.daemon),
				 "\1\0\0\0\0\0\0\0"
				 "\0\0\0\0\0\0\0\0",
				 16, MSG_NOSIGNAL),
		16);
	assert_int_equal(ipc_call_next(l.client, SOON, &m), -EPROTO);
	line_free(&l);
}

/* Connecting. */

static void
a_request_and_what_comes_back(void **state)
{
	struct line l = line_new();
	Pd__SubmitPublishStanding body = PD__SUBMIT_PUBLISH_STANDING__INIT;
	Pd__Progress progress = PD__PROGRESS__INIT;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat theirs, ours;
	struct ipc_msg m;
	bool more;
	int fd;

	body.path.data = (uint8_t *)"/x";
	body.path.len = 2;
	assert_int_equal(ipc_call_send(l.client, IPC_SUBMIT_PUBLISH_STANDING, 7,
				 &body.base, null, SOON),
		0);
	assert_int_equal(ipc_chan_read(l.daemon, true, &more), 0);
	assert_int_equal(ipc_chan_next(l.daemon, &m), 0);
	fd = ipc_chan_take_fd(l.daemon, 0);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(fstat(null, &ours), 0);
	assert_true(theirs.st_rdev == ours.st_rdev);
	ipc_msg_done(&m);
	close(fd);
	close(null);
	/* Every frame is seen, whatever its id. */
	progress.done = 5;
	answer(&l, IPC_PROGRESS, 9, &progress.base, -1);
	answer_reply(&l, 7, 3);
	assert_int_equal(ipc_call_next(l.client, SOON, &m), 0);
	assert_int_equal(m.header.type, IPC_PROGRESS);
	assert_int_equal(m.u.progress->done, 5);
	ipc_msg_done(&m);
	assert_int_equal(ipc_call_next(l.client, SOON, &m), 0);
	assert_int_equal(m.u.reply->code, 3);
	ipc_msg_done(&m);
	assert_int_equal(ipc_call_next(l.client, AT_ONCE, &m), -ETIMEDOUT);
	line_free(&l);
}

static char folder[64], path[108];

static int
setup(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/test_ipc_call.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int
teardown(void **state)
{
	(void)unlink(path);
	return rmdir(folder);
}

static int
listen_at(int backlog)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sun.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (void *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
connects_or_tells_why_not(void **state)
{
	char too_long[200];
	int fd, listener;

	assert_int_equal(ipc_connect(path, SOON), -ENOENT);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(ipc_connect(too_long, SOON), -ENAMETOOLONG);
	listener = listen_at(8);
	fd = ipc_connect(path, SOON);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	close(fd);
	close(listener);
	assert_int_equal(ipc_connect(path, SOON), -ECONNREFUSED);
}

static void
a_full_backlog_is_not_waited_for(void **state)
{
	int listener = listen_at(0), fds[16], n = 0;

	while (n < 16 && (fds[n] = ipc_connect(path, 20)) >= 0)
		n++;
	assert_in_range(n, 1, 15);
	assert_int_equal(fds[n], -ETIMEDOUT);
	while (n-- > 0)
		close(fds[n]);
	close(listener);
}

static void
the_environment_names_the_socket(void **state)
{
	unsetenv("PEERDIST_SOCKET");
	assert_string_equal(ipc_socket_path(), IPC_SOCKET_DEFAULT);
	setenv("PEERDIST_SOCKET", "", 1);
	assert_string_equal(ipc_socket_path(), IPC_SOCKET_DEFAULT);
	setenv("PEERDIST_SOCKET", "/somewhere", 1);
	assert_string_equal(ipc_socket_path(), "/somewhere");
	unsetenv("PEERDIST_SOCKET");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_greet),
		cmocka_unit_test(the_area_is_checked),
		cmocka_unit_test(versions_must_meet),
		cmocka_unit_test(other_first_frames_are_refused),
		cmocka_unit_test(silence_and_closing_end_a_call),
		cmocka_unit_test(types_of_the_future_are_passed_over),
		cmocka_unit_test(a_broken_frame_ends_a_call),
		cmocka_unit_test(a_request_and_what_comes_back),
		cmocka_unit_test_setup_teardown(
			connects_or_tells_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_full_backlog_is_not_waited_for, setup, teardown),
		cmocka_unit_test(the_environment_names_the_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

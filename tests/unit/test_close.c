/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/close.h"

/* A TCP connection with bytes that nobody takes, told to wait for that when it
 * is closed. */
static int
lingering_socket(int *ret_other)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct linger linger = {1, 60};
	socklen_t len = sizeof(at);
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	static char bytes[65536];

	assert_int_equal(bind(listening, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(
		getsockname(listening, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
	*ret_other = accept(listening, NULL, NULL);
	assert_true(*ret_other >= 0);
	close(listening);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
		0);
	return fd;
}

/* The same, in the queue of a local socket where it stays. */
static int
socket_with_one(int *ret_end, int *ret_other)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {control, 1};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);
	int ends[2], fd = lingering_socket(ret_other);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	*cmsg = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(fd))};
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	assert_int_equal(sendmsg(ends[0], &mh, 0), 1);
	close(fd);
	*ret_end = ends[0];
	return ends[1];
}

static void
assert_at_once(uint64_t before)
{
	assert_true(clock_now_us() - before < 20 * US_PER_S);
}

static void
test_close_foreign(void **state)
{
	int other, fd = lingering_socket(&other);
	uint64_t before = clock_now_us();

	fd_close_foreign(fd);
	fd_close_foreign(-1);
	assert_at_once(before);
	close(other);
}

static void
test_close_of_what_holds_others(void **state)
{
	int other, end, fd = socket_with_one(&end, &other);
	uint64_t before = clock_now_us();

	fd_close_foreign(fd);
	close(end);
	assert_at_once(before);
	close(other);
	fd = socket_with_one(&end, &other);
	before = clock_now_us();
	fd_close_local(fd);
	close(end);
	assert_at_once(before);
	close(other);
}

static void
test_close_local(void **state)
{
	int ends[2];
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(send(ends[1], "a", 1, 0), 1);
	/* Nothing in it: it is closed when the call returns. */
	fd_close_local(ends[1]);
	assert_int_equal(fcntl(ends[1], F_GETFD), -1);
	assert_int_equal(recv(ends[0], &c, 1, 0), 1);
	assert_int_equal(recv(ends[0], &c, 1, 0), 0);
	close(ends[0]);
	fd_close_local(-1);
}

static void
test_receive_without_descriptors(void **state)
{
	int other, end, fd = socket_with_one(&end, &other);
	uint64_t before = clock_now_us();
	char c[2];

	assert_int_equal(fd_recv_local(fd, c, sizeof(c)), 1);
	assert_at_once(before);
	close(end);
	close(other);
	assert_int_equal(fd_recv_local(fd, c, sizeof(c)), 0);
	fd_close_local(fd);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_foreign),
		cmocka_unit_test(test_close_of_what_holds_others),
		cmocka_unit_test(test_close_local),
		cmocka_unit_test(test_receive_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/close.h"
#include "common/fdutil.h"

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

static void
test_close_foreign(void **state)
{
	int other, pipes[2], fd = lingering_socket(&other);
	uint64_t before = clock_now_us();

	fd_close_foreign(fd);
	assert_true(clock_now_us() - before < 20 * US_PER_S);
	close(other);
	/* What is harmless is closed when the call returns. */
	assert_int_equal(pipe(pipes), 0);
	fd_close_foreign(pipes[0]);
	assert_int_equal(fcntl(pipes[0], F_GETFD), -1);
	close(pipes[1]);
	fd = fd_memfd_sealed("test", 4096);
	fd_close_foreign(fd);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	fd_close_foreign(-1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/close.h"
#include "common/macros.h"
#include "tests/unit/closing.h"
#include "tests/unit/lingering.h"

#define ALICE 1000
#define BOB   1001

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

	fd_close_foreign(fd, ALICE);
	fd_close_foreign(-1, ALICE);
	assert_at_once(before);
	close(other);
}

static void
test_close_of_what_holds_others(void **state)
{
	int other, end, fd = socket_with_one(&end, &other);
	uint64_t before = clock_now_us();

	fd_close_foreign(fd, ALICE);
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

/* More than there are threads for. */
static void
test_each_user_hangs_alone(void **state)
{
	int others[80], ends[80], last[2];
	struct pollfd closed;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		fd_close_foreign(socket_with_one(&ends[i], &others[i]), ALICE);
	assert_int_equal(pipe(last), 0);
	fd_close_foreign(last[0], BOB);
	closed = (struct pollfd){.fd = last[1]};
	assert_int_equal(poll(&closed, 1, CLOSING_LATE_US / US_PER_MS), 1);
	close(last[1]);
	assert_int_equal(fd_closing_of(ALICE), ARRAY_LEN(others));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		close(others[i]);
		close(ends[i]);
	}
	count_fds();
	assert_int_equal(fd_closing_of(ALICE), 0);
}

static void
test_user_of_a_local_connection(void **state)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(fd_local_user(ends[0]), geteuid());
	close(ends[0]);
	close(ends[1]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_foreign),
		cmocka_unit_test(test_close_of_what_holds_others),
		cmocka_unit_test(test_close_local),
		cmocka_unit_test(test_receive_without_descriptors),
		cmocka_unit_test(test_each_user_hangs_alone),
		cmocka_unit_test(test_user_of_a_local_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

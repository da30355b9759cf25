/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, pipes[2];

/* stderr is a pipe during a test. */
static int
setup(void **state)
{
	unsetenv("JOURNAL_STREAM");
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
	log_open();
	log_set_level(LOG_INFO);
	return 0;
}

static int
teardown(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipes[0]);
	close(pipes[1]);
	return 0;
}

static void
assert_logged(const char *want)
{
	char got[8192];
	ssize_t n = read(pipes[0], got, sizeof(got) - 1);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		n = 0;
	}
	got[n] = '\0';
	assert_string_equal(got, want);
}

static void
test_plain(void **state)
{
	log_event(LOG_INFO, "Nothing else");
	assert_logged("Nothing else\n");
	log_event(LOG_ERR, "Client came", LOG_U64("UID", 1000),
		LOG_STR("NAME", "a b"));
	assert_logged("Client came (UID=1000, NAME=a b)\n");
	log_event(LOG_ERR, "Failed", LOG_ERRNO(ENOENT));
	assert_logged("Failed (ERROR=No such file or directory)\n");
	log_event(LOG_ERR, "Big", LOG_U64("N", UINT64_MAX));
	assert_logged("Big (N=18446744073709551615)\n");
}

static void
test_levels(void **state)
{
	log_event(LOG_DEBUG, "no");
	assert_logged("");
	log_set_level(LOG_ERR);
	log_event(LOG_WARNING, "no");
	log_event(LOG_ERR, "yes");
	assert_logged("yes\n");
	assert_int_equal(log_level(), LOG_ERR);
	assert_int_equal(log_level_from_name("error"), LOG_ERR);
	assert_int_equal(log_level_from_name("debug"), LOG_DEBUG);
	assert_int_equal(log_level_from_name("Debug"), -1);
	assert_int_equal(log_level_from_name(""), -1);
}

/* One message stays one line, whatever a client calls itself. */
static void
test_escapes(void **state)
{
	log_event(LOG_INFO, "x",
		LOG_STR("NAME", "a\nb\x1b[1m\\\xff\x7f\xc3\xa4"));
	assert_logged("x (NAME=a\\x0ab\\x1b[1m\\x5c\\xff\\x7f\\xc3\\xa4)\n");
}

static void
test_long_values_are_cut(void **state)
{
	char value[5000], got[8192];
	ssize_t n;

	memset(value, '\n', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	log_event(LOG_INFO, "x", LOG_STR("A", value), LOG_STR("B", value),
		LOG_STR("C", value), LOG_STR("D", value), LOG_STR("E", value));
	n = read(pipes[0], got, sizeof(got));
	assert_true(n > 1000 && n <= 2048);
	assert_int_equal(got[n - 1], '\n');
	assert_ptr_equal(memchr(got, '\n', (size_t)n), got + n - 1);
	got[n] = '\0';
	assert_non_null(strstr(got, "...,"));
}

static void
set_stream(unsigned long long add)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino + add);
	setenv("JOURNAL_STREAM", text, 1);
	log_open();
}

static void
test_journal_stream(void **state)
{
	set_stream(1);
	log_event(LOG_WARNING, "not the journal");
	assert_logged("not the journal\n");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	log_open();
	log_event(LOG_WARNING, "nor here");
	assert_logged("nor here\n");
	if (access("/run/systemd/journal/socket", F_OK) == 0)
		return;
	set_stream(0);
	log_event(LOG_WARNING, "prefixed", LOG_U64("N", 1));
	assert_logged("<4>prefixed (N=1)\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_long_values_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_journal_stream, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The traced forms; the others are in use everywhere. */
#define ERR_TRACE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/macros.h"

/* What expr prints to stderr goes to text. */
#define CAPTURE(text, expr) \
	do { \
		FILE *file_ = capture_begin(); \
		(void)(expr); \
		capture_end(file_, (text), sizeof(text)); \
	} while (0)

static int saved_fd;

static FILE *
capture_begin(void)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	fflush(stderr);
	saved_fd = dup(STDERR_FILENO);
	dup2(fileno(f), STDERR_FILENO);
	return f;
}

static void
capture_end(FILE *f, char *text, size_t size)
{
	ssize_t n;

	fflush(stderr);
	dup2(saved_fd, STDERR_FILENO);
	close(saved_fd);
	n = pread(fileno(f), text, size - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	fclose(f);
}

static void
test_trace_shows_the_way(void **state)
{
	char text[512];

	CAPTURE(text, err_new(-ENOMEM));
	assert_non_null(strstr(text, "test_err.c:"));
	assert_non_null(strstr(text, "born: Cannot allocate memory"));
	CAPTURE(text, err_pass(-EINVAL));
	assert_non_null(strstr(text, "passed: Invalid argument"));
	CAPTURE(text, err_pass(-99999));
	assert_non_null(strstr(text, "passed: unknown error"));
}

static void
test_trace_is_silent_without_failure(void **state)
{
	char text[512];

	CAPTURE(text, err_pass(0));
	assert_string_equal(text, "");
	CAPTURE(text, err_pass(3));
	assert_string_equal(text, "");
}

static void
test_values_pass_unchanged(void **state)
{
	char text[512];
	int a, b, c;

	CAPTURE(text, (a = err_new(-EIO), b = err_fold(-EIO), c = err_fold(2)));
	assert_int_equal(a, -EIO);
	assert_int_equal(b, -EIO);
	assert_int_equal(c, -ENOTRECOVERABLE);
	assert_int_equal(err_fold(0), 0);
	assert_int_equal(err_pass(5), 5);
}

static void
test_trace_keeps_errno(void **state)
{
	char text[512];
	int after = 0;

	CAPTURE(text, (errno = 77, err_new(-EIO), after = errno));
	assert_int_equal(after, 77);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace_shows_the_way),
		cmocka_unit_test(test_trace_is_silent_without_failure),
		cmocka_unit_test(test_values_pass_unchanged),
		cmocka_unit_test(test_trace_keeps_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs of this folder share.  Each case runs in a process of its
 * own with a deadline, usually with a daemon of its own, and ends at the first
 * check that does not hold.
 */
#ifndef TESTS_API_SUPPORT_H
#define TESTS_API_SUPPORT_H

#include <peerdist.h>
#include <peerdist_port.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/api/daemon.h"
#include "tests/api/observe.h"

struct test_case {
	const char *name;
	void (*run)(void);
};

/* Runs the cases (or the one named on the command line), prints a line for each
 * and the sum; the exit status of main. */
int test_main(const char *program, const struct test_case *, size_t n, int argc,
	char **argv);
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
/* Ends the case as skipped. */
void test_skip(const char *reason) __attribute__((noreturn));

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			test_fail(__FILE__, __LINE__, "%s", #cond); \
	} while (0)

#define CHECK_EQ(got, want) \
	do { \
		unsigned long long got_ = (unsigned long long)(got); \
		unsigned long long want_ = (unsigned long long)(want); \
		if (got_ != want_) \
			test_fail(__FILE__, __LINE__, "%s is %llu, not %llu", \
				#got, got_, want_); \
	} while (0)

/* The case's daemon; settings "Section.Key=VALUE" up to NULL. */
extern struct test_daemon test_d;
void test_start_daemon(const char *set, ...);
/* All but the start. */
void test_prepare_daemon(const char *set, ...);
/* With mode distributed and a silent peer on top. */
void test_start_silent(const char *set, ...);
PEERDIST_INSTANCE_HANDLE test_startup(void);
void test_shutdown(PEERDIST_INSTANCE_HANDLE);

/* One operation: the OVERLAPPED with its event and what started it. */
struct test_op {
	OVERLAPPED ov;
	const char *function;
};

/* Fresh OVERLAPPED with a manual-reset event. */
OVERLAPPED *test_op_begin(struct test_op *, const char *function);
void test_op_at(struct test_op *, ULONGLONG offset);
ULONGLONG test_op_offset(const struct test_op *);
/* Waits for the end: the code; *ret_bytes may be NULL.  Closes the event. */
DWORD test_op_end(struct test_op *, DWORD *ret_bytes);
/* The same for an operation that started with this code, which must be 997. */
DWORD test_op_run(struct test_op *, DWORD code);
/* Whether the end has come; does not wait. */
bool test_op_ended(const struct test_op *);

/* START(&op, PeerDistClientBlockRead, h, c, len, buf, timeout): for functions
 * whose last argument is the OVERLAPPED.  The code that the call returns. */
#define START(op, fn, ...) \
	observe_return(#fn, fn(__VA_ARGS__, test_op_begin((op), #fn)))
#define START_AT(op, offset, fn, ...) \
	({ \
		OVERLAPPED *ov_ = test_op_begin((op), #fn); \
		test_op_at((op), (offset)); \
		observe_return(#fn, fn(__VA_ARGS__, ov_)); \
	})
/* START, which must be accepted, and its end. */
#define RUN(fn, ...) \
	({ \
		struct test_op run_; \
		test_op_run(&run_, START(&run_, fn, __VA_ARGS__)); \
	})

#endif

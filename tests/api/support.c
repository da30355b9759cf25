/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/api/support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_DEADLINE_S 120 /* unless $TEST_DEADLINE says otherwise */
#define WAIT_MS         60000
#define EXIT_SKIPPED    77

struct test_daemon test_d;
static char scratch[64]; /* folder of the program */
static char case_dir[80];

void
test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("  %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void
test_skip(const char *reason)
{
	printf("skip %s: %s\n", case_dir + strlen(scratch) + 1, reason);
	fflush(stdout);
	if (test_d.pid)
		kill(test_d.pid, SIGKILL);
	_exit(EXIT_SKIPPED);
}

static void
prepare_daemon(const char *set, va_list ap)
{
	test_daemon_init(&test_d, case_dir);
	for (; set; set = va_arg(ap, const char *))
		test_daemon_set(&test_d, "%s", set);
}

void
test_prepare_daemon(const char *set, ...)
{
	va_list ap;

	va_start(ap, set);
	prepare_daemon(set, ap);
	va_end(ap);
}

void
test_start_daemon(const char *set, ...)
{
	va_list ap;

	va_start(ap, set);
	prepare_daemon(set, ap);
	va_end(ap);
	test_daemon_start(&test_d);
}

void
test_start_silent(const char *set, ...)
{
	va_list ap;

	va_start(ap, set);
	prepare_daemon(set, ap);
	va_end(ap);
	test_daemon_set(&test_d, "Service.Mode=distributed");
	test_daemon_set(&test_d, "Network.Interfaces=lo");
	test_daemon_set(&test_d, "Network.RetrievalListen=127.0.0.1:0");
	test_daemon_set(
		&test_d, "Retrieval.Peers=127.0.0.1:%u", test_silent_peer());
	test_daemon_set(&test_d, "Retrieval.RequestTimeout=60s");
	test_daemon_start(&test_d);
}

PEERDIST_INSTANCE_HANDLE
test_startup(void)
{
	PEERDIST_INSTANCE_HANDLE h = NULL;
	DWORD supported = 0;

	CHECK_EQ(OBSERVED(PeerDistStartup, PEERDIST_VERSION, &h, &supported),
		ERROR_SUCCESS);
	CHECK_EQ(supported, 2);
	CHECK(h != NULL);
	return h;
}

void
test_shutdown(PEERDIST_INSTANCE_HANDLE h)
{
	CHECK_EQ(OBSERVED(PeerDistShutdown, h), ERROR_SUCCESS);
}

OVERLAPPED *
test_op_begin(struct test_op *op, const char *function)
{
	memset(op, 0, sizeof(*op));
	op->function = function;
	op->ov.hEvent = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	CHECK(op->ov.hEvent != NULL);
	return &op->ov;
}

void
test_op_at(struct test_op *op, ULONGLONG offset)
{
	op->ov.Offset = (DWORD)offset;
	op->ov.OffsetHigh = (DWORD)(offset >> 32);
}

ULONGLONG
test_op_offset(const struct test_op *op)
{
	return (ULONGLONG)op->ov.OffsetHigh << 32 | op->ov.Offset;
}

DWORD
test_op_end(struct test_op *op, DWORD *ret_bytes)
{
	DWORD bytes = 0, code = 0;

	if (pdw_WaitForSingleObject(op->ov.hEvent, WAIT_MS) != WAIT_OBJECT_0)
		test_fail(
			__FILE__, __LINE__, "%s: no completion", op->function);
	if (!PeerDistGetOverlappedResult(&op->ov, &bytes, FALSE))
		code = pdw_GetLastError();
	observe("PeerDistGetOverlappedResult", code, 'B');
	observe_completion(op->function, code);
	CHECK(pdw_CloseHandle(op->ov.hEvent));
	if (ret_bytes)
		*ret_bytes = bytes;
	return code;
}

DWORD
test_op_run(struct test_op *op, DWORD code)
{
	if (code != ERROR_IO_PENDING)
		test_fail(__FILE__, __LINE__, "%s returned %u", op->function,
			(unsigned)code);
	return test_op_end(op, NULL);
}

bool
test_op_ended(const struct test_op *op)
{
	return pdw_WaitForSingleObject(op->ov.hEvent, 0) == WAIT_OBJECT_0;
}

static void __attribute__((noreturn)) case_run(const struct test_case *c)
{
	const char *deadline = getenv("TEST_DEADLINE");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(deadline ? (unsigned)atoi(deadline) : CASE_DEADLINE_S);
	snprintf(case_dir, sizeof(case_dir), "%s/%s", scratch, c->name);
	c->run();
	test_daemon_stop(&test_d);
	fflush(stdout);
	/* exit, not _exit: the leak checker of a sanitizer build runs then. */
	exit(0);
}

static void
show_log(const struct test_case *c)
{
	struct test_daemon d;

	snprintf(d.dir, sizeof(d.dir), "%s/%s", scratch, c->name);
	test_daemon_log(&d);
}

/* 0 passed, 1 failed, 2 skipped. */
static int
case_judge(const char *program, const struct test_case *c)
{
	static const char *const words[] = {"ok", "FAIL"};
	int status = 0, verdict;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		case_run(c);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	verdict = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED ? 2
		: status != 0                                              ? 1
									   : 0;
	if (WIFSIGNALED(status))
		printf("  ended by signal %d\n", WTERMSIG(status));
	if (verdict == 1)
		show_log(c);
	if (verdict != 2)
		printf("%s %s.%s\n", words[verdict], program, c->name);
	return verdict;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int
test_main(const char *program, const struct test_case *cases, size_t n,
	int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	unsigned count[3] = {0};

	snprintf(scratch, sizeof(scratch), "%s/pdtest-XXXXXX",
		tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(scratch) || chmod(scratch, 0755) < 0) {
		perror(scratch);
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		if (argc < 2 || strcmp(argv[1], cases[i].name) == 0)
			count[case_judge(program, &cases[i])]++;
	nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	printf("%u passed, %u failed, %u skipped\n", count[0], count[1],
		count[2]);
	return count[1] != 0;
}

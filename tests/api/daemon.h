/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A real daemon for a test: its own folder, settings file and socket.  It dies
 * with the process that started it.  The program is $PEERDISTD, or peerdistd
 * in $B, or build/peerdistd.
 */
#ifndef TESTS_API_DAEMON_H
#define TESTS_API_DAEMON_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#define TEST_DAEMON_SETS 24

struct test_daemon {
	pid_t pid; /* 0: not running */
	int notify;
	int cpu; /* run on this one only; -1: any */
	size_t n_sets;
	char *sets[TEST_DAEMON_SETS]; /* Section.Key=VALUE */
	char dir[96];
	char socket[128];
};

/* Makes dir (which must not exist yet) and sets $PEERDIST_SOCKET. */
void test_daemon_init(struct test_daemon *, const char *dir);
void test_daemon_set(struct test_daemon *, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Start and wait for READY=1; the settings file says Enable = yes.  These end
 * the process with a message when they fail. */
void test_daemon_start(struct test_daemon *);
/* SIGKILL, and waits for the end. */
void test_daemon_kill(struct test_daemon *);
/* SIGTERM; must exit with 0 within the deadline. */
void test_daemon_stop(struct test_daemon *);
/* Writes the settings anew, with these lines added, and waits until SIGHUP has
 * been obeyed. */
void test_daemon_reload(struct test_daemon *, const char *lines);
/* The last lines of its log, to standard output. */
void test_daemon_log(const struct test_daemon *);

/* A TCP port on loopback that takes connections and never says a word. */
unsigned test_silent_peer(void);

#endif

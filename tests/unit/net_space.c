/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/net_space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/macros.h"

#define WORDS_MAX 32

static bool
write_text(const char *path, const char *text)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 &&
		write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Root in a user namespace of one's own. */
static bool
become_root(void)
{
	char uid[32], gid[32];

	snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)getuid());
	snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getgid());
	return unshare(CLONE_NEWUSER) == 0 &&
		write_text("/proc/self/setgroups", "deny") &&
		write_text("/proc/self/uid_map", uid) &&
		write_text("/proc/self/gid_map", gid);
}

bool
net_space_enter(void)
{
	if (unshare(CLONE_NEWNET) != 0 &&
		(!become_root() || unshare(CLONE_NEWNET) != 0)) {
		print_message(
			"skip: no network namespaces: %s\n", strerror(errno));
		return false;
	}
	if (!net_space_try_ip(-1, "link set lo up") ||
		!net_space_try_ip(-1, "link add t0 type veth peer name t1") ||
		!net_space_try_ip(-1, "link del t0")) {
		print_message("skip: ip cannot make interfaces\n");
		return false;
	}
	return true;
}

static void
enter(int space)
{
	assert_int_equal(setns(space, CLONE_NEWNET), 0);
}

int
net_space_new(void)
{
	AUTO_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	assert_true(home >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	enter(home);
	net_space_ip(fd, "link set lo up");
	return fd;
}

int
net_space_socket(int space, int family, int type, int protocol)
{
	AUTO_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	assert_true(home >= 0);
	enter(space);
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	enter(home);
	assert_true(fd >= 0);
	return fd;
}

static void
split(char *text, char **words)
{
	char *rest = text;
	size_t n = 0;

	words[n++] = (char *)(uintptr_t) "ip";
	while (n < WORDS_MAX - 1 && (words[n] = strsep(&rest, " ")) != NULL)
		n++;
	words[n] = NULL;
}

static void
become_ip(int space, int input, bool quiet, char *text)
{
	char *words[WORDS_MAX];
	int null = open("/dev/null", O_RDWR);

	split(text, words);
	if (space >= 0 && setns(space, CLONE_NEWNET) != 0)
		_exit(126);
	dup2(input >= 0 ? input : null, STDIN_FILENO);
	if (quiet)
		dup2(null, STDERR_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	execvp(words[0], words);
	_exit(127);
}

static bool
run(int space, int input, bool quiet, char *text)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		become_ip(space, input, quiet, text);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

void
net_space_ip(int space, const char *format, ...)
{
	char text[256], words[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(words, text, sizeof(words));
	if (!run(space, -1, false, words))
		fail_msg("ip %s", text);
}

bool
net_space_try_ip(int space, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return run(space, -1, true, text);
}

void
net_space_batch(int space, const char *lines)
{
	char words[] = "-batch -";
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_true(fputs(lines, f) >= 0);
	assert_int_equal(fflush(f), 0);
	assert_int_equal(lseek(fileno(f), 0, SEEK_SET), 0);
	assert_true(run(space, fileno(f), false, words));
	fclose(f);
}

void
net_space_cable(int space, const char *here, const char *there)
{
	if (space >= 0)
		net_space_ip(space,
			"link add %s type veth peer name %s netns %d", there,
			here, (int)getpid());
	else
		net_space_ip(
			-1, "link add %s type veth peer name %s", there, here);
	net_space_ip(-1, "link set %s addrgenmode none up", here);
	net_space_ip(space, "link set %s addrgenmode none up", there);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/api/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 30000

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	exit(1);
}

static void
make_folder(const char *dir, const char *under)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s", dir, under);
	if (mkdir(path, 0755) < 0)
		fail("%s: %s", path, strerror(errno));
}

static int
notify_open(const char *dir)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", dir) < 0)
		fail("name of the folder is too long");
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		fail("%s: %s", sun.sun_path, strerror(errno));
	return fd;
}

void
test_daemon_init(struct test_daemon *d, const char *dir)
{
	memset(d, 0, sizeof(*d));
	d->cpu = -1;
	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	snprintf(d->socket, sizeof(d->socket), "%s/sock", dir);
	make_folder(dir, "");
	make_folder(dir, "/state");
	make_folder(dir, "/cache");
	d->notify = notify_open(dir);
	setenv("PEERDIST_SOCKET", d->socket, 1);
}

void
test_daemon_set(struct test_daemon *d, const char *fmt, ...)
{
	va_list ap;

	if (d->n_sets == TEST_DAEMON_SETS)
		fail("too many settings");
	va_start(ap, fmt);
	if (vasprintf(&d->sets[d->n_sets++], fmt, ap) < 0)
		fail("out of memory");
	va_end(ap);
}

static void
write_settings(const struct test_daemon *d, const char *lines)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/peerdistd.conf", d->dir);
	f = fopen(path, "we");
	if (!f)
		fail("%s: %s", path, strerror(errno));
	fprintf(f,
		"[Service]\nSocket = %s/sock\nStateDirectory = %s/state\n"
		"[DataCache]\nDirectory = %s/cache\nMaxSize = 1G\n"
		"[HashCache]\nDirectory = %s/state\nMaxSize = 64M\n%s",
		d->dir, d->dir, d->dir, d->dir, lines);
	if (fclose(f) != 0)
		fail("%s: %s", path, strerror(errno));
}

static const char *
program(void)
{
	static char path[256];
	const char *named = getenv("PEERDISTD"), *b = getenv("B");

	if (named)
		return named;
	snprintf(path, sizeof(path), "%s/peerdistd", b ? b : "build");
	return path;
}

static void __attribute__((noreturn))
exec_daemon(const struct test_daemon *d, pid_t parent)
{
	const char *argv[2 * TEST_DAEMON_SETS + 8];
	char conf[160], log[160], notify[160];
	size_t n = 0;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	snprintf(conf, sizeof(conf), "%s/peerdistd.conf", d->dir);
	snprintf(log, sizeof(log), "%s/log", d->dir);
	snprintf(notify, sizeof(notify), "%s/notify", d->dir);
	setenv("NOTIFY_SOCKET", notify, 1);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
	argv[n++] = program();
	argv[n++] = "--config";
	argv[n++] = conf;
	for (size_t i = 0; i < d->n_sets; i++) {
		argv[n++] = "--set";
		argv[n++] = d->sets[i];
	}
	argv[n] = NULL;
	execv(argv[0], (char **)argv);
	_exit(127);
}

/* Reads notifications until one holds the word. */
static void
await(struct test_daemon *d, const char *word)
{
	struct pollfd pfd = {.fd = d->notify, .events = POLLIN};
	char text[1024];
	int status;
	ssize_t n;

	for (unsigned waited = 0; waited < DEADLINE_MS; waited += 100) {
		while (poll(&pfd, 1, 100) > 0) {
			n = recv(d->notify, text, sizeof(text) - 1, 0);
			text[n > 0 ? n : 0] = 0;
			if (strstr(text, word))
				return;
		}
		if (waitpid(d->pid, &status, WNOHANG) == d->pid) {
			test_daemon_log(d);
			fail("%s ended early, status %#x", program(), status);
		}
	}
	test_daemon_log(d);
	fail("no %s from the daemon in time", word);
}

static void
pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) < 0)
		fail("sched_setaffinity: %s", strerror(errno));
}

void
test_daemon_start(struct test_daemon *d)
{
	pid_t parent = getpid();

	write_settings(d, "[Service]\nEnable = yes\n");
	fflush(stdout);
	d->pid = fork();
	if (d->pid < 0)
		fail("fork: %s", strerror(errno));
	if (d->pid == 0) {
		if (d->cpu >= 0)
			pin(0, d->cpu);
		exec_daemon(d, parent);
	}
	await(d, "READY=1");
}

static int
wait_end(struct test_daemon *d)
{
	struct pollfd pfd = {.events = POLLIN};
	int status = 0;

	pfd.fd = (int)syscall(SYS_pidfd_open, d->pid, 0);
	if (pfd.fd < 0)
		fail("pidfd_open: %s", strerror(errno));
	if (poll(&pfd, 1, DEADLINE_MS) <= 0) {
		test_daemon_log(d);
		kill(d->pid, SIGKILL);
		fail("the daemon does not end");
	}
	close(pfd.fd);
	(void)waitpid(d->pid, &status, 0);
	d->pid = 0;
	return status;
}

void
test_daemon_kill(struct test_daemon *d)
{
	kill(d->pid, SIGKILL);
	(void)wait_end(d);
}

void
test_daemon_stop(struct test_daemon *d)
{
	int status;

	if (d->pid == 0)
		return;
	kill(d->pid, SIGTERM);
	status = wait_end(d);
	if (status != 0) {
		test_daemon_log(d);
		fail("the daemon ended with status %#x", status);
	}
}

void
test_daemon_reload(struct test_daemon *d, const char *lines)
{
	write_settings(d, lines);
	kill(d->pid, SIGHUP);
	await(d, "RELOADING=1");
	await(d, "READY=1");
}

void
test_daemon_log(const struct test_daemon *d)
{
	char path[160], text[8193];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/log", d->dir);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fseek(f, -8192, SEEK_END) < 0)
		rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	printf("--- end of the daemon's log\n%s---\n", text);
	fflush(stdout);
}

unsigned
test_silent_peer(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Never accepted: the kernel takes the connection and the request. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
		listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		fail("silent peer: %s", strerror(errno));
	return ntohs(sin.sin_port);
}

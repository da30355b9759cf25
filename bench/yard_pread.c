/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Yardstick: pread of a plain file.
 *
 *	yard_pread stream FILE		   the whole, 1 MiB at a time into four
 *					   buffers in turn; CPU ns and wall ns
 *	yard_pread block FILE COUNT CPU    64 KiB at random, and a round of 128
 *					   bytes to another process on the same
 *					   CPU; median of both together in ns
 *
 * Measures once for each line on standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/frames.h"

#define BLOCK   65536u
#define SIZE    (1u << 20)
#define BUFFERS 4u
#define MESSAGE 128u

static int file;
static size_t file_size;

static void
read_at(void *buffer, size_t len, size_t at)
{
	if (pread(file, buffer, len, (off_t)at) != (ssize_t)len)
		bench_die("pread: %s", strerror(errno));
}

static void
stream(uint8_t *buffers)
{
	uint64_t cpu = bench_cpu_ns(), wall = bench_now_ns();

	for (size_t i = 0; i < file_size / SIZE; i++)
		read_at(buffers + i % BUFFERS * SIZE, SIZE, i * SIZE);
	printf("%.1f %.1f\n", (double)(bench_cpu_ns() - cpu),
		(double)(bench_now_ns() - wall));
}

static bool
pass_message(int fd, bool out)
{
	uint8_t message[MESSAGE] = {0};
	ssize_t n = out ? send(fd, message, MESSAGE, MSG_NOSIGNAL)
			: recv(fd, message, MESSAGE, MSG_WAITALL);

	return n == (ssize_t)MESSAGE;
}

static void __attribute__((noreturn)) mirror(int fd)
{
	while (pass_message(fd, false) && pass_message(fd, true))
		;
	_exit(0);
}

static int
start_mirror(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		bench_die("socketpair: %s", strerror(errno));
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		mirror(pair[1]);
	}
	close(pair[1]);
	return pair[0];
}

static void
block(int fd, uint8_t *buffer, size_t count)
{
	double *ns = malloc(count * sizeof(*ns));

	if (!ns)
		bench_die("out of memory");
	for (size_t i = 0; i < count; i++) {
		size_t at = (size_t)random() % (file_size / BLOCK) * BLOCK;
		uint64_t start = bench_now_ns();

		if (!pass_message(fd, true) || !pass_message(fd, false))
			bench_die("the mirror is gone");
		read_at(buffer, BLOCK, at);
		ns[i] = (double)(bench_now_ns() - start);
	}
	printf("%.1f\n", bench_median(ns, count));
	free(ns);
}

int
main(int argc, char **argv)
{
	uint8_t *buffers = calloc(BUFFERS, SIZE);
	bool one = argc == 5 && strcmp(argv[1], "block") == 0;
	struct stat st;
	int other = -1;

	if (!one && (argc != 3 || strcmp(argv[1], "stream") != 0))
		bench_die("usage: yard_pread stream FILE | "
			  "block FILE COUNT CPU");
	file = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &st) < 0 || !buffers)
		bench_die("%s: %s", argv[2], strerror(errno));
	file_size = (size_t)st.st_size;
	if (one) {
		bench_pin(atoi(argv[4]));
		other = start_mirror();
	}
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		if (one)
			block(other, buffers, strtoull(argv[3], NULL, 10));
		else
			stream(buffers);
		fflush(stdout);
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Yardsticks of a unix stream socket.
 *
 *	yard_socket ping COUNT BYTES CPU   two processes on one CPU send BYTES
 *					   there and back; median round in ns
 *	yard_socket echo COUNT BYTES	   a process reads what is there and
 *					   sends each frame of BYTES back by
 *					   itself, 1,024 in flight; frames per s
 *	yard_socket bulk COUNT BYTES	   the same with one write for all that
 *					   was read, the most that a stream
 *					   socket carries
 *
 * Measures once for each line on standard input.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/frames.h"

#define DEPTH  1024u
#define REFILL 128u
#define ROOM   (256u * 1024u)

static size_t frame_len;
static bool one_by_one;

static void
send_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(0);
		data += n;
		len -= (size_t)n;
	}
}

/* The other end: takes what is there, looks at each whole frame's length, and
 * sends them back. */
static void __attribute__((noreturn)) mirror(int fd)
{
	static uint8_t in[ROOM], out[ROOM];
	size_t have = 0;

	for (;;) {
		ssize_t n = recv(fd, in + have, sizeof(in) - have, 0);
		size_t at = 0;
		uint32_t len;

		if (n <= 0)
			_exit(0);
		have += (size_t)n;
		while (have - at >= 4) {
			memcpy(&len, in + at, 4);
			if (have - at < len)
				break;
			memcpy(out + at, in + at, len);
			if (one_by_one)
				send_all(fd, out + at, len);
			at += len;
		}
		if (!one_by_one)
			send_all(fd, out, at);
		memmove(in, in + at, have - at);
		have -= at;
	}
}

static void
make_frames(uint8_t *out, size_t n)
{
	uint32_t len = (uint32_t)frame_len;

	memset(out, 0x55, n * frame_len);
	for (size_t i = 0; i < n; i++)
		memcpy(out + i * frame_len, &len, 4);
}

static double
ping(int fd, size_t count)
{
	double *ns = malloc(count * sizeof(*ns)), median;
	uint8_t frame[4096], in[4096];

	if (!ns)
		bench_die("out of memory");
	make_frames(frame, 1);
	for (size_t i = 0; i < count; i++) {
		uint64_t start = bench_now_ns();

		send_all(fd, frame, frame_len);
		for (size_t have = 0; have < frame_len;) {
			ssize_t n = recv(fd, in, sizeof(in), 0);

			if (n <= 0)
				bench_die("the mirror is gone");
			have += (size_t)n;
		}
		ns[i] = (double)(bench_now_ns() - start);
	}
	median = bench_median(ns, count);
	free(ns);
	return median;
}

static double
echo(int fd, size_t count)
{
	static uint8_t out[REFILL * 4096], in[ROOM];
	size_t sent = 0, answered = 0, bytes = 0;
	uint64_t start;

	make_frames(out, REFILL);
	count -= count % REFILL;
	start = bench_now_ns();
	while (answered < count) {
		while (sent < count && sent - answered <= DEPTH - REFILL) {
			send_all(fd, out, REFILL * frame_len);
			sent += REFILL;
		}
		do {
			ssize_t n = recv(fd, in, sizeof(in), 0);

			if (n <= 0)
				bench_die("the mirror is gone");
			bytes += (size_t)n;
			answered = bytes / frame_len;
		} while (sent < count && sent - answered > DEPTH - REFILL);
	}
	return (double)count * 1e9 / (double)(bench_now_ns() - start);
}

int
main(int argc, char **argv)
{
	bool pinned = argc > 4;
	int pair[2];
	size_t count;

	if (argc < 4)
		bench_die(
			"usage: yard_socket ping|echo|bulk COUNT BYTES [CPU]");
	count = strtoull(argv[2], NULL, 10);
	frame_len = strtoull(argv[3], NULL, 10);
	if (frame_len < 8 || frame_len > 4096)
		bench_die("frames of 8 to 4096 bytes");
	one_by_one = strcmp(argv[1], "echo") == 0;
	if (pinned)
		bench_pin(atoi(argv[4]));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		bench_die("socketpair: %s", strerror(errno));
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		mirror(pair[1]);
	}
	close(pair[1]);
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n",
			strcmp(argv[1], "ping") == 0 ? ping(pair[0], count)
						     : echo(pair[0], count));
		fflush(stdout);
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery's questions as a branch of many hosts asks them, of segments that
 * are held (made-up contents, see made_up.h, version 2) and of others.
 *
 *	probe CONTENTS SEGMENTS RATE SECONDS PID
 *
 * SEGMENTS: of each content, that many are held.  RATE Probes a second come
 * from HOSTS addresses of loopback, in groups of one millisecond, in turn: with
 * a single id, as of version 1 content, with as many ids as fit a frame, and
 * the same in version 2.  No id is asked for twice but by chance.  ANSWERED of
 * them a second have something that is held among their ids, of which about
 * half are then; more would be answered by nobody but be counted as a flood.
 *
 * PID is the daemon, which hears on port 3702 of loopback; this program must be
 * in its network namespace.  Says "ready", then for each line on standard
 * input: CPU ns of the daemon for each Probe, and how many were answered, which
 * dies unless that is right.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/frames.h"
#include "bench/made_up.h"
#include "codec/pccrd.h"
#include "common/buf.h"

#define HOSTS    256u
#define ANSWERED 80u
#define KINDS    3u
/* For the answers that were put off. */
#define REST_NS 200000000u

static uint8_t (*held)[PCCRD_ID_SIZE];
static size_t n_held;
static int hosts[HOSTS];
static clockid_t daemon_clock;

static void
make_ids(unsigned contents, size_t segments)
{
	struct bulk *bulk = bulk_new(BULK_AUTO);

	held = calloc(contents, segments * PCCRD_ID_SIZE);
	if (!held || !bulk || segments > MADE_UP_BLOCKS)
		bench_die("too many segments");
	for (unsigned i = 0; i < contents; i++) {
		struct pccrc_info *info = made_up_info(bulk, 2, i);

		if (pccrc_segment_ids(bulk, info, 0, segments, held[n_held]) !=
			0)
			bench_die("no ids");
		n_held += segments;
		pccrc_info_unref(info);
	}
	bulk_free(bulk);
}

static void
open_hosts(void)
{
	for (uint32_t i = 0; i < HOSTS; i++) {
		struct sockaddr_in me = {
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(0x7f010001 + i),
		};

		hosts[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (hosts[i] < 0 ||
			bind(hosts[i], (struct sockaddr *)&me, sizeof(me)) != 0)
			bench_die("host %u: %s", i, strerror(errno));
	}
}

static void
choose_ids(uint8_t (*ids)[PCCRD_ID_SIZE], size_t n, bool answered)
{
	for (size_t i = 0; i < n; i++)
		if (answered && (i == 0 || random() % 2 == 0))
			memcpy(ids[i], held[(size_t)random() % n_held],
				PCCRD_ID_SIZE);
		else if (getrandom(ids[i], PCCRD_ID_SIZE, 0) != PCCRD_ID_SIZE)
			bench_die("no random numbers");
}

static void
send_probe(size_t number, bool answered)
{
	static const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = __builtin_bswap16(PCCRD_PORT),
		.sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK),
	};
	enum pccrd_version version = number % KINDS == 2 ? PCCRD_V2 : PCCRD_V1;
	size_t n = number % KINDS == 0
		? 1
		: pccrd_probe_ids(version, PCCRD_SEND_GOOD);
	uint8_t ids[PCCRD_IDS_MAX][PCCRD_ID_SIZE];
	uint8_t uuid[PCCRD_UUID_SIZE];
	struct buf b;

	choose_ids(ids, n, answered);
	if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		bench_die("no random numbers");
	buf_init(&b, PCCRD_SEND_MAX);
	if (pccrd_build_probe(&b, uuid, version, ids, n) != 0 ||
		sendto(hosts[number % HOSTS], b.data, b.len, 0,
			(const struct sockaddr *)&to,
			sizeof(to)) != (ssize_t)b.len)
		bench_die("cannot ask: %s", strerror(errno));
	buf_done(&b);
}

static size_t
count_answers(void)
{
	char answer[PCCRD_SEND_MAX];
	size_t n = 0;

	for (size_t i = 0; i < HOSTS; i++)
		while (recv(hosts[i], answer, sizeof(answer), 0) > 0)
			n++;
	return n;
}

static void
sleep_until(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		;
}

static uint64_t
daemon_ns(void)
{
	struct timespec ts;

	clock_gettime(daemon_clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
measure(size_t rate, size_t seconds)
{
	uint64_t cpu_ns, start_ns = bench_now_ns();
	size_t n = rate * seconds, expected = ANSWERED * seconds, answers = 0;
	size_t asked = 0;

	count_answers();
	cpu_ns = daemon_ns();
	for (size_t i = 0; i < n; i++) {
		bool answered = asked < i * expected / n;

		asked += answered;
		if (i % (rate / 1000) == 0)
			sleep_until(start_ns + i * 1000000000u / rate);
		send_probe(i, answered);
		if (i % rate == 0)
			answers += count_answers();
	}
	sleep_until(bench_now_ns() + REST_NS);
	cpu_ns = daemon_ns() - cpu_ns;
	answers += count_answers();
	if (answers != asked)
		bench_die("%zu answers, not %zu", answers, asked);
	printf("%.1f %zu\n", (double)cpu_ns / (double)n, answers);
}

int
main(int argc, char **argv)
{
	if (argc != 6 || atoi(argv[3]) < 1000)
		bench_die("usage: probe CONTENTS SEGMENTS RATE SECONDS PID");
	if (clock_getcpuclockid((pid_t)atoi(argv[5]), &daemon_clock) != 0)
		bench_die("no process %s", argv[5]);
	make_ids((unsigned)atoi(argv[1]), strtoull(argv[2], NULL, 10));
	open_hosts();
	printf("ready %zu ids, %zu in version 1, %zu in version 2\n", n_held,
		pccrd_probe_ids(PCCRD_V1, PCCRD_SEND_GOOD),
		pccrd_probe_ids(PCCRD_V2, PCCRD_SEND_GOOD));
	fflush(stdout);
	while (bench_go()) {
		measure(strtoull(argv[3], NULL, 10),
			strtoull(argv[4], NULL, 10));
		fflush(stdout);
	}
	return 0;
}

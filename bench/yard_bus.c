/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Yardstick: method calls from process to process over a direct sd-bus
 * connection, 64 outstanding.
 *
 *	yard_bus COUNT
 *
 * Calls per second, once for each line on standard input.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "bench/frames.h"

#define OUTSTANDING 64u

static size_t answered;

static int
on_call(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "u", 2);
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD(
		"GetStatus", "", "u", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void
check(int r, const char *what)
{
	if (r < 0)
		bench_die("%s: %s", what, strerror(-r));
}

static sd_bus *
bus_on(int fd, bool server)
{
	sd_bus *bus = NULL;
	sd_id128_t id;

	check(sd_bus_new(&bus), "sd_bus_new");
	check(sd_bus_set_fd(bus, fd, fd), "sd_bus_set_fd");
	check(sd_id128_randomize(&id), "sd_id128_randomize");
	if (server)
		check(sd_bus_set_server(bus, 1, id), "sd_bus_set_server");
	check(sd_bus_set_anonymous(bus, 1), "sd_bus_set_anonymous");
	if (server)
		check(sd_bus_add_object_vtable(bus, NULL, "/bench",
			      "bench.Status", vtable, NULL),
			"sd_bus_add_object_vtable");
	check(sd_bus_start(bus), "sd_bus_start");
	return bus;
}

static int
drive(sd_bus *bus)
{
	int r = sd_bus_process(bus, NULL);

	return r == 0 ? sd_bus_wait(bus, UINT64_MAX) : r;
}

static void __attribute__((noreturn)) serve(int fd)
{
	sd_bus *bus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bus = bus_on(fd, true);
	while (drive(bus) >= 0)
		;
	_exit(0);
}

static int
on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	answered++;
	return 1;
}

static double
measure(sd_bus *bus, size_t count)
{
	uint64_t start = bench_now_ns();
	size_t sent = 0;

	answered = 0;
	while (answered < count) {
		while (sent < count && sent - answered < OUTSTANDING) {
			check(sd_bus_call_method_async(bus, NULL, NULL,
				      "/bench", "bench.Status", "GetStatus",
				      on_answer, NULL, NULL),
				"sd_bus_call_method_async");
			sent++;
		}
		check(drive(bus), "sd-bus");
	}
	return (double)count * 1e9 / (double)(bench_now_ns() - start);
}

int
main(int argc, char **argv)
{
	int pair[2];
	sd_bus *bus;

	if (argc < 2 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0, pair) < 0)
		bench_die("usage: yard_bus COUNT");
	if (fork() == 0) {
		close(pair[0]);
		serve(pair[1]);
	}
	close(pair[1]);
	bus = bus_on(pair[0], false);
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n", measure(bus, strtoull(argv[1], NULL, 10)));
		fflush(stdout);
	}
	return 0;
}

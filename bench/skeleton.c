/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Yardstick: a service that does nothing, with the libraries of the daemon
 * initialised the way every such service does it: an event base with a
 * listening socket and a timer, a message packed and unpacked, digests
 * fetched, a word to the service manager.
 */
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "bench/frames.h"

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
}

static void
use_protobuf(void)
{
	Pd__Status status = PD__STATUS__INIT, *copy;
	uint8_t packed[64];
	size_t len;

	status.status = 2;
	len = pd__status__pack(&status, packed);
	copy = pd__status__unpack(NULL, len, packed);
	if (!copy)
		bench_die("out of memory");
	pd__status__free_unpacked(copy, NULL);
}

static void
use_crypto(void)
{
	unsigned char random[32];

	if (RAND_bytes(random, sizeof(random)) != 1 ||
		!EVP_MD_fetch(NULL, "SHA256", NULL) ||
		!EVP_MD_fetch(NULL, "SHA512", NULL) ||
		!EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL))
		bench_die("libcrypto failed");
}

int
main(void)
{
	struct event_base *base = event_base_new();
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval hour = {3600, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct event *timer, *listener;

	/* An address that the kernel chooses. */
	if (!base || fd < 0 ||
		bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)) < 0 ||
		listen(fd, 128) < 0)
		bench_die("cannot listen");
	timer = event_new(base, -1, EV_PERSIST, on_event, NULL);
	listener = event_new(base, fd, EV_READ | EV_PERSIST, on_event, NULL);
	if (!timer || !listener || event_add(timer, &hour) < 0 ||
		event_add(listener, NULL) < 0)
		bench_die("libevent failed");
	use_protobuf();
	use_crypto();
	sd_notify(0, "READY=1");
	printf("ready\n");
	fflush(stdout);
	event_base_dispatch(base);
	return 0;
}

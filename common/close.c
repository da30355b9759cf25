/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing what somebody else has opened.
 *
 * close() may wait: for the process that serves a FUSE file system, for a file
 * server, for the other end of a TCP connection if its former owner asked for
 * that with SO_LINGER.  Whoever may send us a descriptor could stop the thread
 * that closes it, for good.  So a thread that nobody needs does it.
 */
#include "common/close.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSERS_MOST 64
#define CLOSER_STACK (256u * 1024)

/* Kinds whose close waits for nobody, told without asking any file system. */
static bool
closes_at_once(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (fcntl(fd, F_GET_SEALS) >= 0 || fcntl(fd, F_GETPIPE_SZ) >= 0)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		domain == AF_UNIX;
}

static atomic_uint closers;

static void *
closer(void *arg)
{
	close((int)(intptr_t)arg);
	atomic_fetch_sub(&closers, 1);
	return NULL;
}

static bool
start_closer(int fd)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, CLOSER_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, closer, (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r == 0;
}

void
fd_close_foreign(int fd)
{
	if (fd < 0)
		return;
	if (closes_at_once(fd)) {
		close(fd);
		return;
	}
	/* With so many that hang, or without memory for a thread, a descriptor
	 * that stays open is the lesser evil. */
	if (atomic_fetch_add(&closers, 1) >= CLOSERS_MOST || !start_closer(fd))
		atomic_fetch_sub(&closers, 1);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing what somebody else has opened.
 *
 * close() may wait: for the process that serves a FUSE file system, for a file
 * server, for the other end of a TCP connection if its former owner asked for
 * that with SO_LINGER, for the lock of a pipe that a writer holds while his
 * memory stalls.  Whoever may send us a descriptor could stop the thread that
 * closes it, for good.  So a thread that nobody needs does it.  No kind is an
 * exception: even to ask whether something is a pipe takes the pipe's lock.
 *
 * A local socket may have others in it, sent and not received.  They are closed
 * with it, or, if there is no room for them, when the message is read.  So
 * connections are closed here, too, unless there is nothing in them, and are
 * read with room for all that can come.
 *
 * The same holds for the memory that is shared with a client: it is given back
 * under the lock of a file that he may be writing to.
 *
 * Some of these threads may hang.  What comes when there are many waits until
 * one of them goes on.
 */
#include "common/close.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSERS_MOST 64
#define CLOSER_STACK (256u * 1024)

struct closing {
	STAILQ_ENTRY(closing) link;
	int fd; /* -1: a mapping */
	void *map;
	size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(, closing) waiting = STAILQ_HEAD_INITIALIZER(waiting);
static unsigned n_closers;
static atomic_uint n_closing;

static void
close_one(struct closing *c)
{
	static const struct linger none = {0, 0};

	if (c->fd < 0) {
		(void)madvise(c->map, c->size, MADV_REMOVE);
		munmap(c->map, c->size);
	} else {
		(void)setsockopt(
			c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(c->fd);
	}
	free(c);
	atomic_fetch_sub(&n_closing, 1);
}

/* NULL: there is none, and one closer less. */
static struct closing *
next(void)
{
	struct closing *c;

	pthread_mutex_lock(&lock);
	c = STAILQ_FIRST(&waiting);
	if (c != NULL)
		STAILQ_REMOVE_HEAD(&waiting, link);
	else
		n_closers--;
	pthread_mutex_unlock(&lock);
	return c;
}

static void *
closer(void *arg)
{
	struct closing *c;

	while ((c = next()) != NULL)
		close_one(c);
	return NULL;
}

/* Where there is no memory to note it. */
static void *
close_alone(void *arg)
{
	close((int)(intptr_t)arg);
	atomic_fetch_sub(&n_closing, 1);
	return NULL;
}

static bool
start(void *(*run)(void *), void *arg)
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
	r = pthread_create(&thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r == 0;
}

/* false: no memory.  Without a thread it is closed with the next one. */
static bool
close_soon(const struct closing *what)
{
	struct closing *c = malloc(sizeof(*c));
	bool more;

	if (c == NULL)
		return false;
	*c = *what;
	atomic_fetch_add(&n_closing, 1);
	pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&waiting, c, link);
	more = n_closers < CLOSERS_MOST;
	n_closers += more;
	pthread_mutex_unlock(&lock);
	if (!more || start(closer, NULL))
		return true;
	pthread_mutex_lock(&lock);
	n_closers--;
	pthread_mutex_unlock(&lock);
	return true;
}

/* What can neither be noted nor be closed stays open: the lesser evil. */
void
fd_close_foreign(int fd)
{
	if (fd < 0 || close_soon(&(struct closing){.fd = fd}))
		return;
	atomic_fetch_add(&n_closing, 1);
	if (!start(close_alone, (void *)(intptr_t)fd))
		atomic_fetch_sub(&n_closing, 1);
}

unsigned
fd_closing(void)
{
	return atomic_load(&n_closing);
}

void
map_close_shared(void *map, size_t size)
{
	const struct closing c = {.fd = -1, .map = map, .size = size};

	if (!close_soon(&c))
		munmap(map, size);
}

/* After the shutdown nothing more comes. */
void
fd_close_local(int fd)
{
	int left = 0;

	if (fd < 0)
		return;
	(void)shutdown(fd, SHUT_RDWR);
	if (ioctl(fd, FIONREAD, &left) == 0 && left == 0)
		close(fd);
	else
		fd_close_foreign(fd);
}

static void
close_rights(struct msghdr *mh)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg != NULL;
		cmsg = CMSG_NXTHDR(mh, cmsg)) {
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
			cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
				sizeof(fd));
			fd_close_foreign(fd);
		}
	}
}

ssize_t
fd_recv_local(int fd, void *dst, size_t size)
{
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(CLOSE_RIGHTS_MAX * sizeof(int))];
	struct iovec iov = {dst, size};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		close_rights(&mh);
	return n;
}

void
fd_in_band(int fd)
{
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
}

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
 * Some of these threads may hang.  So each user has an account of what came
 * from him, and only some of the threads at once: what else he leaves waits for
 * one of these.  How much that is can be asked, so that nothing more is taken
 * from somebody who fills the table of descriptors.
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
#define CLOSERS_EACH 8
#define CLOSER_STACK (256u * 1024)

struct closing {
	STAILQ_ENTRY(closing) link;
	int fd; /* -1: a mapping */
	void *map;
	size_t size;
};

/* Of a user of whom something is not closed yet.  Ready: something waits, and
 * he may have another thread. */
struct account {
	LIST_ENTRY(account) link;
	TAILQ_ENTRY(account) ready_link;
	STAILQ_HEAD(, closing) waiting;
	uint32_t user;
	unsigned n;
	unsigned n_closers;
	bool ready;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, account) accounts = LIST_HEAD_INITIALIZER(accounts);
static TAILQ_HEAD(, account) ready = TAILQ_HEAD_INITIALIZER(ready);
static unsigned n_closers;
static atomic_uint n_closing;

/* Accounts, under the lock. */

static struct account *
account_find(uint32_t user)
{
	struct account *a;

	LIST_FOREACH (a, &accounts, link)
		if (a->user == user)
			break;
	return a;
}

static struct account *
account_get(uint32_t user)
{
	struct account *a = account_find(user);

	if (a != NULL)
		return a;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->user = user;
	STAILQ_INIT(&a->waiting);
	LIST_INSERT_HEAD(&accounts, a, link);
	return a;
}

static void
account_update(struct account *a)
{
	bool is = !STAILQ_EMPTY(&a->waiting) && a->n_closers < CLOSERS_EACH;

	if (is && !a->ready)
		TAILQ_INSERT_TAIL(&ready, a, ready_link);
	else if (!is && a->ready)
		TAILQ_REMOVE(&ready, a, ready_link);
	a->ready = is;
}

/* The next of whose turn it is; NULL: of nobody. */
static struct closing *
account_take(struct account **ret_account)
{
	struct account *a = TAILQ_FIRST(&ready);
	struct closing *c;

	if (a == NULL)
		return NULL;
	TAILQ_REMOVE(&ready, a, ready_link);
	a->ready = false;
	c = STAILQ_FIRST(&a->waiting);
	STAILQ_REMOVE_HEAD(&a->waiting, link);
	a->n_closers++;
	account_update(a);
	*ret_account = a;
	return c;
}

static void
account_done(struct account *a)
{
	a->n--;
	a->n_closers--;
	atomic_fetch_sub(&n_closing, 1);
	account_update(a);
	if (a->n > 0)
		return;
	LIST_REMOVE(a, link);
	free(a);
}

/* Threads */

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
}

static void *
closer(void *arg)
{
	struct account *a;
	struct closing *c;

	pthread_mutex_lock(&lock);
	while ((c = account_take(&a)) != NULL) {
		pthread_mutex_unlock(&lock);
		close_one(c);
		pthread_mutex_lock(&lock);
		account_done(a);
	}
	n_closers--;
	pthread_mutex_unlock(&lock);
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

/* false: no memory. */
static bool
note(uint32_t user, struct closing *c, bool *ret_more)
{
	struct account *a;

	pthread_mutex_lock(&lock);
	a = account_get(user);
	if (a != NULL) {
		a->n++;
		atomic_fetch_add(&n_closing, 1);
		STAILQ_INSERT_TAIL(&a->waiting, c, link);
		account_update(a);
		*ret_more = a->ready && n_closers < CLOSERS_MOST;
		n_closers += *ret_more;
	}
	pthread_mutex_unlock(&lock);
	return a != NULL;
}

/* false: no memory.  Without a thread it is closed with the next one. */
static bool
close_soon(uint32_t user, const struct closing *what)
{
	struct closing *c = malloc(sizeof(*c));
	bool more;

	if (c == NULL)
		return false;
	*c = *what;
	if (!note(user, c, &more)) {
		free(c);
		return false;
	}
	if (!more || start(closer, NULL))
		return true;
	pthread_mutex_lock(&lock);
	n_closers--;
	pthread_mutex_unlock(&lock);
	return true;
}

/* What can neither be noted nor be closed stays open: the lesser evil. */
void
fd_close_foreign(int fd, uint32_t user)
{
	if (fd < 0 || close_soon(user, &(struct closing){.fd = fd}))
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

unsigned
fd_closing_of(uint32_t user)
{
	const struct account *a;
	unsigned n;

	pthread_mutex_lock(&lock);
	a = account_find(user);
	n = a != NULL ? a->n : 0;
	pthread_mutex_unlock(&lock);
	return n;
}

void
map_close_shared(void *map, size_t size, uint32_t user)
{
	const struct closing c = {.fd = -1, .map = map, .size = size};

	if (!close_soon(user, &c))
		munmap(map, size);
}

/* Local connections */

uint32_t
fd_local_user(int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	return peer.uid;
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
		fd_close_foreign(fd, fd_local_user(fd));
}

static void
close_rights(struct msghdr *mh, uint32_t user)
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
			fd_close_foreign(fd, user);
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
		close_rights(&mh, fd_local_user(fd));
	return n;
}

void
fd_in_band(int fd)
{
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
}

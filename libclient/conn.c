/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Life of an instance, and the reader thread.
 *
 * The reader thread is the only one that connects.  A call that finds no
 * connection asks for an attempt and waits a moment for its end; without calls
 * the thread tries again by itself, after 0.2 s doubling to 30 s, and at once
 * when something happens in the socket's folder.  While there is a connection
 * it sleeps and handles what comes unasked: completions, status changes, room
 * in a socket that was full.
 *
 * Fork: the child gets none of this.  Its handles are forgotten, its copies of
 * the descriptors closed (a copy of the socket would keep a dead parent's
 * session alive), and memory that another thread of the parent may have been
 * changing is left alone.
 */
#include "libclient/conn.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/macros.h"
#include "libclient/util.h"
#include "proto/ipc_call.h"

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 30000
#define GREET_MS       PDC_ANSWER_TIMEOUT_MS
#define CLIENT_NAME    "libpeerdist-client " PEERDIST_VERSION_STRING

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	LIST_HEAD(, pdc_instance) all;
} instances = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Threads that wait now, and descriptors that were given out; how often
 * somebody began to; links about which a reader thread naps (see conn_recv.c).
 */
static atomic_uint n_attending, n_looks, n_napping;
static atomic_flag descriptors = ATOMIC_FLAG_INIT;

/* The list's lock is held for moments only and nothing else is taken under it;
 * so holding it over the fork can block nobody. */
static void
fork_prepare(void)
{
	pthread_mutex_lock(&instances.lock);
}

static void
fork_parent(void)
{
	pthread_mutex_unlock(&instances.lock);
}

static void
close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void
fork_child(void)
{
	struct pdc_instance *i;

	LIST_FOREACH (i, &instances.all, all_link) {
		close_if(atomic_load(&i->sock_fd));
		close_if(atomic_load(&i->watch_fd));
		close_if(i->epoll_fd);
		close_if(i->wake_fd);
	}
	LIST_INIT(&instances.all);
	pthread_mutex_init(&instances.lock, NULL);
	atomic_store(&n_attending, 0);
	atomic_store(&n_napping, 0);
	atomic_flag_clear(&descriptors);
	pdc_handle_forget_all();
	pdc_pending_forget_all();
}

static void
instances_init(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void
pdc_attend_begin(void)
{
	struct pdc_instance *i;

	/* Who begins to nap counts himself first, and then looks whether
	 * somebody attends: one of both sees the other. */
	atomic_fetch_add(&n_attending, 1);
	atomic_fetch_add(&n_looks, 1);
	if (atomic_load(&n_napping) == 0)
		return;
	pthread_mutex_lock(&instances.lock);
	LIST_FOREACH (i, &instances.all, all_link)
		if (atomic_load(&i->n_napping) > 0)
			pdc_instance_wake(i);
	pthread_mutex_unlock(&instances.lock);
}

void
pdc_attend_end(void)
{
	atomic_fetch_sub(&n_attending, 1);
}

void
pdc_attend_always(void)
{
	if (!atomic_flag_test_and_set(&descriptors))
		pdc_attend_begin();
}

bool
pdc_attended(void)
{
	return atomic_load(&n_attending) > 0;
}

unsigned
pdc_attend_looks(void)
{
	return atomic_load(&n_looks);
}

void
pdc_attend_nap(struct pdc_instance *i, bool begins)
{
	atomic_fetch_add(&i->n_napping, begins ? 1u : -1u);
	atomic_fetch_add(&n_napping, begins ? 1u : -1u);
}

static void
link_free(struct pdc_link *l)
{
	if (l->napping)
		pdc_attend_nap(l->instance, false);
	ipc_chan_free(l->chan);
	pdc_area_done(&l->area);
	pdc_slots_done(&l->slots);
	pthread_mutex_destroy(&l->send_lock);
	pthread_mutex_destroy(&l->recv_lock);
	pthread_mutex_destroy(&l->arm_lock);
	pthread_cond_destroy(&l->room);
	pthread_cond_destroy(&l->free_cond);
	pdc_instance_unref(l->instance);
	free(l);
}

struct pdc_link *
pdc_link_unref(struct pdc_link *l)
{
	if (l != NULL && atomic_fetch_sub(&l->refs, 1) == 1)
		link_free(l);
	return NULL;
}

/* Takes the channel over, unless it fails. */
static struct pdc_link *
link_new(struct pdc_instance *i, struct ipc_chan *chan,
	const struct ipc_greeting *g)
{
	struct pdc_link *l = calloc(1, sizeof(*l));

	if (l == NULL ||
		pdc_area_init(&l->area, g->area.fd, g->area.write_size,
			g->area.read_size) < 0) {
		free(l);
		return NULL;
	}
	atomic_init(&l->refs, 1);
	atomic_init(&l->dead, false);
	pdc_object_ref(&i->object);
	l->instance = i;
	/* The area's was the only one. */
	ipc_chan_expect_plain(chan);
	l->chan = chan;
	l->fd = ipc_chan_fd(chan);
	l->receiving = true;
	pdc_slots_init(&l->slots, g->max_operations);
	pthread_mutex_init(&l->send_lock, NULL);
	pthread_mutex_init(&l->recv_lock, NULL);
	pthread_mutex_init(&l->arm_lock, NULL);
	pdc_cond_init(&l->room);
	pthread_cond_init(&l->free_cond, NULL);
	LIST_INIT(&l->calls);
	TAILQ_INIT(&l->hungry);
	return l;
}

/* Before the socket is closed: its number may soon be somebody else's. */
static void
sock_forget(struct pdc_instance *i)
{
	pthread_mutex_lock(&i->lock);
	atomic_store(&i->sock_fd, -1);
	pthread_mutex_unlock(&i->lock);
}

/* Socket and greeting; -errno. */
static int
connect_greet(struct pdc_instance *i, struct ipc_chan **ret_chan,
	struct ipc_greeting *ret_greeting)
{
	struct timeval limit = {.tv_sec = PDC_ANSWER_TIMEOUT_MS / 1000};
	int fd = ipc_connect(i->path, PDC_CONNECT_WAIT_MS), r;
	bool stop;

	if (fd < 0)
		return err_pass(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	r = ipc_chan_new(ret_chan, fd, IPC_FROM_CLIENT);
	if (r < 0)
		return err_pass(r);
	pthread_mutex_lock(&i->lock);
	atomic_store(&i->sock_fd, ipc_chan_fd(*ret_chan));
	stop = i->stop; /* from now on pdc_instance_stop() interrupts us */
	pthread_mutex_unlock(&i->lock);
	r = stop ? -ECANCELED
		 : ipc_greet(*ret_chan, IPC_FEATURE_AREA, CLIENT_NAME, GREET_MS,
			   ret_greeting);
	if (r < 0) {
		sock_forget(i);
		*ret_chan = ipc_chan_free(*ret_chan);
	}
	return err_pass(r);
}

/* The new connection, its receive side taken by us; NULL. */
static struct pdc_link *
connect_link(struct pdc_instance *i)
{
	struct epoll_event ev = {.events = 0};
	struct pdc_service_status status;
	struct ipc_greeting g;
	struct ipc_chan *chan;
	struct pdc_link *l;

	if (connect_greet(i, &chan, &g) < 0)
		return NULL;
	l = link_new(i, chan, &g);
	if (g.area.fd >= 0)
		close(g.area.fd);
	ev.data.ptr = l;
	if (l == NULL ||
		epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) < 0) {
		sock_forget(i);
		if (l == NULL)
			ipc_chan_free(chan);
		return pdc_link_unref(l);
	}
	status.status = MIN_OF(g.status, (uint32_t)PEERDIST_STATUS_AVAILABLE);
	status.min_version = g.min_content_version;
	status.max_version = g.max_content_version;
	pdc_status_set(i, &status);
	return l;
}

/* While there is no connection, the socket's folder is watched.  It may be made
 * anew with the socket, so each attempt looks for it again. */
static void
watch_start(struct pdc_instance *i)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &i->watch_fd};
	AUTO_FREE char *path = strdup(i->path);

	if (path == NULL)
		return;
	if (i->watch_fd < 0) {
		i->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (i->watch_fd < 0)
			return;
		epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, i->watch_fd, &ev);
	}
	inotify_add_watch(i->watch_fd, dirname(path), IN_CREATE | IN_MOVED_TO);
}

static void
watch_stop(struct pdc_instance *i)
{
	close_if(atomic_exchange(&i->watch_fd, -1));
}

/* One attempt; false: there is still no connection. */
static bool
reader_connect(struct pdc_instance *i)
{
	struct pdc_link *l;
	bool stop;

	pthread_mutex_lock(&i->lock);
	i->attempts_begun++;
	pthread_mutex_unlock(&i->lock);
	/* Before the attempt: what appears after it is seen. */
	watch_start(i);
	l = connect_link(i);
	pthread_mutex_lock(&i->lock);
	i->attempts_ended = i->attempts_begun;
	stop = i->stop;
	if (l != NULL && !stop) {
		atomic_fetch_add(&l->refs, 1);
		l->generation = ++i->generation;
		i->link = l;
	}
	pthread_cond_broadcast(&i->cond);
	pthread_mutex_unlock(&i->lock);
	if (l == NULL)
		return false;
	watch_stop(i);
	/* The greeting may have brought more frames along. */
	if (!stop)
		pdc_link_read(l);
	else
		pdc_link_fail(l);
	pdc_link_give(l);
	pdc_link_unref(l);
	return true;
}

static struct pdc_link *
reader_link(struct pdc_instance *i, bool *ret_stop, bool *ret_wanted)
{
	struct pdc_link *l;

	pthread_mutex_lock(&i->lock);
	l = i->link;
	if (l != NULL)
		atomic_fetch_add(&l->refs, 1);
	*ret_stop = i->stop;
	*ret_wanted = i->attempts_wanted > i->attempts_begun;
	pthread_mutex_unlock(&i->lock);
	return l;
}

/* A caller who has the receive side may be waiting for the answer to something
 * that is still queued, and nobody but us sends it on when there is room: so we
 * do not wait for him.  The end of a connection cannot be left unwatched. */
static void
reader_receive(struct pdc_link *l, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		pdc_link_take(l);
	else if (!pdc_link_try(l))
		return;
	pdc_link_read(l);
	pdc_link_give(l);
}

/* What woke us: the connection, the folder, or somebody who wants us to look
 * around (which is done anyway). */
static void
reader_event(struct pdc_instance *i, struct pdc_link *l,
	const struct epoll_event *ev, bool *ret_folder)
{
	uint8_t drain[4096];
	ssize_t n = 0;

	if (ev->data.ptr == i) {
		n = read(i->wake_fd, drain, sizeof(uint64_t));
	} else if (ev->data.ptr == &i->watch_fd) {
		if (i->watch_fd >= 0)
			n = read(i->watch_fd, drain, sizeof(drain));
		*ret_folder = true;
	} else if (l != NULL && ev->data.ptr == l) {
		if (ev->events & EPOLLOUT)
			pdc_link_flush(l);
		if (ev->events & ~(uint32_t)EPOLLOUT)
			reader_receive(l, ev->events);
	}
	(void)n;
}

static void *
reader_run(void *arg)
{
	struct pdc_instance *i = arg;
	uint64_t next_try = 0;
	DWORD backoff = BACKOFF_MIN_MS;
	struct epoll_event ev[4];
	struct pdc_link *l;
	bool stop, wanted, folder;
	int n, nap;

	for (;;) {
		l = reader_link(i, &stop, &wanted);
		if (stop)
			break;
		if (l == NULL && (wanted || clock_now_us() >= next_try)) {
			if (reader_connect(i)) {
				backoff = BACKOFF_MIN_MS;
				next_try = 0;
			} else {
				next_try = pdc_deadline_us(backoff);
				backoff = MIN_OF(backoff * 2, BACKOFF_MAX_MS);
			}
			continue;
		}
		if (l != NULL)
			nap = pdc_link_nap(l) ? atomic_load(&pdc_nap_ms) : -1;
		else
			nap = pdc_deadline_left_ms(next_try);
		n = epoll_wait(i->epoll_fd, ev, ARRAY_LEN(ev), nap);
		folder = false;
		for (int k = 0; k < n; k++)
			reader_event(i, l, &ev[k], &folder);
		if (folder) {
			backoff = BACKOFF_MIN_MS;
			next_try = 0;
		}
		pdc_link_unref(l);
	}
	pdc_link_unref(l);
	return NULL;
}

/* The thread must not take the application's signals. */
static int
reader_start(struct pdc_instance *i)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&i->reader, NULL, reader_run, i);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err_new(-r);
}

static void
instance_free(struct pdc_object *o)
{
	struct pdc_instance *i = (struct pdc_instance *)o;

	close_if(i->watch_fd);
	close_if(i->wake_fd);
	close_if(i->epoll_fd);
	free(i->path);
	pthread_mutex_destroy(&i->lock);
	pthread_mutex_destroy(&i->status_lock);
	pthread_cond_destroy(&i->cond);
	free(i);
}

void
pdc_instance_unref(struct pdc_instance *i)
{
	if (i != NULL)
		pdc_object_unref(&i->object);
}

static int
instance_open(struct pdc_instance *i)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = i};

	/* Now, since the application may change its environment later, and the
	 * reader thread must not look at it then. */
	i->path = strdup(ipc_socket_path());
	if (i->path == NULL)
		return err_new(-ENOMEM);
	i->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	i->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (i->epoll_fd < 0 || i->wake_fd < 0)
		return err_new(-errno);
	if (epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, i->wake_fd, &ev) < 0)
		return err_new(-errno);
	return err_pass(reader_start(i));
}

DWORD
pdc_instance_new(struct pdc_instance **ret_instance)
{
	struct pdc_instance *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return ERROR_NOT_ENOUGH_MEMORY;
	pthread_once(&instances.once, instances_init);
	pdc_object_init(&i->object, PDC_INSTANCE, instance_free);
	i->wake_fd = i->epoll_fd = -1;
	atomic_init(&i->watch_fd, -1);
	atomic_init(&i->sock_fd, -1);
	pthread_mutex_init(&i->lock, NULL);
	pthread_mutex_init(&i->status_lock, NULL);
	pdc_cond_init(&i->cond);
	LIST_INIT(&i->children);
	LIST_INIT(&i->jobs);
	i->notified = PEERDIST_STATUS_DISABLED;
	i->current = (struct pdc_service_status){PEERDIST_STATUS_UNAVAILABLE,
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_1,
		PEERDIST_RETRIEVAL_OPTIONS_CONTENTINFO_VERSION_2};
	i->attempts_wanted = 1;
	pthread_mutex_lock(&instances.lock);
	LIST_INSERT_HEAD(&instances.all, i, all_link);
	pthread_mutex_unlock(&instances.lock);
	if (instance_open(i) < 0) {
		pthread_mutex_lock(&instances.lock);
		LIST_REMOVE(i, all_link);
		pthread_mutex_unlock(&instances.lock);
		pdc_instance_unref(i);
		return ERROR_NOT_ENOUGH_MEMORY;
	}
	*ret_instance = i;
	return ERROR_SUCCESS;
}

void
pdc_instance_wake(struct pdc_instance *i)
{
	uint64_t one = 1;
	ssize_t n = write(i->wake_fd, &one, sizeof(one));

	(void)n;
}

void
pdc_instance_stop(struct pdc_instance *i)
{
	struct pdc_link *l;
	int fd;

	pthread_mutex_lock(&i->lock);
	i->stop = true;
	l = i->link;
	if (l != NULL)
		atomic_fetch_add(&l->refs, 1);
	fd = atomic_load(&i->sock_fd);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_cond_broadcast(&i->cond);
	pthread_mutex_unlock(&i->lock);
	if (l != NULL) {
		pdc_link_take(l);
		pdc_link_fail(l);
		pdc_link_give(l);
		pdc_link_unref(l);
	}
	pdc_instance_wake(i);
	pthread_join(i->reader, NULL);
	pthread_mutex_lock(&instances.lock);
	LIST_REMOVE(i, all_link);
	pthread_mutex_unlock(&instances.lock);
}

/* A connection that is just being taken down is none. */
static bool
link_usable(const struct pdc_instance *i)
{
	return i->link != NULL && !atomic_load(&i->link->dead);
}

struct pdc_link *
pdc_instance_link(struct pdc_instance *i)
{
	uint64_t deadline = pdc_deadline_us(PDC_CONNECT_WAIT_MS);
	struct pdc_link *l = NULL;
	uint64_t attempt;
	bool in_time = true;

	pthread_mutex_lock(&i->lock);
	if (!link_usable(i) && !i->stop) {
		/* The attempt that is being made, or else the next one. */
		attempt = i->attempts_ended < i->attempts_begun
			? i->attempts_begun
			: i->attempts_begun + 1;
		i->attempts_wanted = MAX_OF(i->attempts_wanted, attempt);
		pdc_instance_wake(i);
		while (in_time && !link_usable(i) && !i->stop &&
			i->attempts_ended < attempt)
			in_time = pdc_cond_wait_until(
				&i->cond, &i->lock, deadline);
	}
	if (link_usable(i)) {
		l = i->link;
		atomic_fetch_add(&l->refs, 1);
	}
	pthread_mutex_unlock(&i->lock);
	return l;
}

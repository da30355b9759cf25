/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection that cannot be kept (no descriptor left, too many clients, over
 * the user's quota, a user of a foreign namespace) is accepted and closed: left
 * in the backlog it would be found again at once, and stand in the way of
 * others.  A spare descriptor is given up for that moment when there is no
 * other.
 */
#include "daemon/api/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"

#define ACCEPTS_PER_WAKEUP 64
#define PAUSE_MS           100

struct listener {
	struct client_set set;
	int fd;
	int spare_fd;
	struct event readable;
	struct event resume;
};

static void
open_spare(struct listener *l)
{
	if (l->spare_fd < 0)
		l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Takes no connections for a moment: accepting fails for want of something
 * that only others can give back. */
static void
pause_accepting(struct listener *l)
{
	struct timeval tv = {0, PAUSE_MS * 1000};

	event_del(&l->readable);
	event_add(&l->resume, &tv);
}

static void
on_resume(evutil_socket_t fd, short what, void *ctx)
{
	struct listener *l = ctx;

	open_spare(l);
	event_add(&l->readable, NULL);
}

/* Accepts one connection only to close it; false when even that fails. */
static bool
shed(struct listener *l)
{
	int fd;

	if (l->spare_fd < 0)
		return false;
	close(TAKE_FD(l->spare_fd));
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	fd_close_local(fd);
	open_spare(l);
	return fd >= 0;
}

/* The primary group is one like the others. */
static int
identify(int fd, struct identity *ret_identity)
{
	struct ipc_peer peer;
	int r = ipc_peer_get(fd, &peer);

	if (r < 0)
		return err_pass(r);
	*ret_identity = (struct identity){
		.pid = peer.pid,
		.uid = peer.uid,
		.n_gids = peer.n_groups + 1,
		.gids = malloc((peer.n_groups + 1) * sizeof(uint32_t)),
	};
	if (ret_identity->gids != NULL) {
		ret_identity->gids[0] = peer.gid;
		for (size_t i = 0; i < peer.n_groups; i++)
			ret_identity->gids[i + 1] = peer.groups[i];
	}
	ipc_peer_done(&peer);
	return ret_identity->gids != NULL ? 0 : err_new(-ENOMEM);
}

/* The user with one more connection counted, or NULL. */
static struct quota_user *
admit(struct client_set *set, uint32_t uid)
{
	struct quota_user *user;

	if (set->n_clients >= set->limits.max_clients ||
		client_leaves_open(set, uid)) {
		set->counters.over_quota++;
		return NULL;
	}
	user = quota_user_get(service_quota(set->service), uid);
	if (user == NULL || quota_take(user, QUOTA_CONNECTIONS, 1))
		return user;
	set->counters.over_quota++;
	return quota_user_put(user);
}

static void
take_client(struct listener *l, int fd)
{
	struct identity identity;
	struct quota_user *user;

	if (identify(fd, &identity) < 0) {
		fd_close_local(fd);
		return;
	}
	user = admit(&l->set, identity.uid);
	if (user == NULL) {
		fd_close_local(fd);
		free(identity.gids);
		return;
	}
	if (client_new(&l->set, fd, &identity, user) < 0) {
		quota_give(user, QUOTA_CONNECTIONS, 1);
		quota_user_put(user);
		free(identity.gids);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct listener *l = ctx;

	for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
		int taken = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

		if (taken >= 0) {
			take_client(l, taken);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if ((errno != EMFILE && errno != ENFILE) || !shed(l)) {
			pause_accepting(l);
			return;
		}
	}
}

int
listener_new(struct listener **ret_listener, struct event_base *base,
	struct service *service, int fd, const struct client_limits *limits,
	const struct api_hooks *hooks)
{
	static const struct client_limits defaults = CLIENT_LIMITS_DEFAULT;
	struct listener *l = calloc(1, sizeof(*l));
	int flags = fcntl(fd, F_GETFL);

	if (l == NULL)
		return err_new(-ENOMEM);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int r = err_new(-errno);

		free(l);
		return r;
	}
	l->fd = fd;
	l->spare_fd = -1;
	open_spare(l);
	client_set_init(&l->set, base, service,
		limits != NULL ? limits : &defaults, hooks);
	event_assign(
		&l->readable, base, fd, EV_READ | EV_PERSIST, on_readable, l);
	event_assign(&l->resume, base, -1, 0, on_resume, l);
	if (event_add(&l->readable, NULL) < 0) {
		l->fd = -1;
		listener_free(l);
		return err_new(-ENOMEM);
	}
	*ret_listener = l;
	return 0;
}

struct listener *
listener_free(struct listener *l)
{
	if (l == NULL)
		return NULL;
	event_del(&l->readable);
	event_del(&l->resume);
	client_set_done(&l->set);
	if (l->fd >= 0)
		close(l->fd);
	if (l->spare_fd >= 0)
		close(l->spare_fd);
	free(l);
	return NULL;
}

const struct client_set *
listener_clients(const struct listener *l)
{
	return &l->set;
}

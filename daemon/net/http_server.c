/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accepting
 *
 * A listener takes what has come, up to a limit in one pass.  When there is no
 * descriptor left, accepting fails and the connection stays in the backlog,
 * where it would be found again at once: the listener pauses for a moment.
 *
 * Each host (http_host.h) may have so many connections, and more of them are
 * closed.  At the limit of all connections the one that has been idle longest
 * makes room.  Is none idle, the host with the most connections gives up the
 * one that has had nothing for the longest time, for a host that has no more
 * than half as many, the new one included.  Else the new one is closed.  So a
 * few hosts that keep all places busy shut nobody out; nor can they by coming
 * again and again: a new connection whose request is still to come is idle only
 * for those who have no more than its host has.
 */
#include "daemon/net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/net/http_host.h"
#include "daemon/net/loop.h"

#define ACCEPTS_PER_PASS 64
#define BACKLOG          4096
#define PAUSE_MS         100
#define IDLE_LOOKS       16u

struct http_server {
	struct http_conn_set set;
	struct http_server_limits limits;
	size_t n_services;
	const struct http_service *services[HTTP_SERVICES_MAX];
	LIST_HEAD(, http_listener) listeners;
	struct http_hosts hosts;
};

struct http_listener {
	LIST_ENTRY(http_listener) link;
	struct http_server *server;
	struct http_filter filter;
	int fd;
	struct event readable;
	struct loop_alarm resume;
};

/* Addresses */

/* ::ffff:192.0.2.1 is how a socket of both families shows 192.0.2.1. */
static void
unmap(struct parse_addr *a)
{
	const struct sockaddr_in6 *in6 = (const void *)&a->ss;
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (a->ss.ss_family != AF_INET6 ||
		!IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return;
	in.sin_port = in6->sin6_port;
	memcpy(&in.sin_addr, in6->sin6_addr.s6_addr + 12, 4);
	memcpy(&a->ss, &in, sizeof(in));
	a->len = sizeof(in);
}

static struct http_host *
host_of(const struct http_conn *c)
{
	struct http_conn_owner *owner = http_conn_owner(c);

	return owner != NULL ? container_of(owner, struct http_host, owner)
			     : NULL;
}

static void
conn_closed(struct http_conn_set *set, struct http_conn *c)
{
	struct http_server *s = container_of(set, struct http_server, set);
	struct http_host *host = host_of(c);

	if (host != NULL)
		http_host_less(&s->hosts, host);
}

/* Accepting */

static bool
may_go(const struct http_conn *idle, const struct http_host *for_whom)
{
	const struct http_host *host = host_of(idle);

	return http_conn_is_served(idle) || host == NULL || for_whom == NULL ||
		host->n_conns >= for_whom->n_conns;
}

/* For one of this host, which is counted already.  Those who are not told apart
 * neither make room nor are given any, but by who is idle. */
static struct http_conn *
find_dispensable(struct http_server *s, const struct http_host *host)
{
	struct http_conn *c = TAILQ_FIRST(&s->set.idle);

	for (unsigned i = 0; c != NULL && i < IDLE_LOOKS; i++) {
		if (may_go(c, host))
			return c;
		c = http_conn_next(c);
	}
	if (host == NULL)
		return NULL;
	host = http_host_greediest(&s->hosts, 2 * host->n_conns);
	return host != NULL ? TAILQ_FIRST(&host->owner.busy) : NULL;
}

static bool
make_room(struct http_server *s, const struct http_host *host)
{
	struct http_conn *c;

	if (s->set.n_conns < s->limits.conns)
		return true;
	s->set.counters.crowded++;
	c = find_dispensable(s, host);
	if (c == NULL)
		return false;
	s->set.counters.displaced++;
	http_conn_free(c);
	return true;
}

static void
turn_away(int fd, const struct parse_addr *peer)
{
	if (peer->ss.ss_family == AF_UNIX)
		fd_close_local(fd);
	else
		close(fd);
}

static bool
has_enough(const struct http_server *s, const struct http_host *host)
{
	return host->n_conns >= (host->is_prefix ? s->limits.conns_per_prefix
						 : s->limits.conns_per_address);
}

/* fd is taken over.  Whoever has enough connections displaces nobody's. */
static void
admit(struct http_server *s, int fd, const struct parse_addr *peer)
{
	struct http_host *host = NULL;

	if (http_host_is_known(peer)) {
		host = http_host_get(&s->hosts, peer);
		if (host == NULL || has_enough(s, host)) {
			s->set.counters.crowded += host != NULL;
			http_host_put(host);
			turn_away(fd, peer);
			return;
		}
		/* It stays, should its only other one make room. */
		http_host_more(&s->hosts, host);
	}
	if (!make_room(s, host)) {
		turn_away(fd, peer);
	} else if (http_conn_new(&s->set, fd, peer,
			   host != NULL ? &host->owner : NULL) == 0) {
		s->set.counters.accepted++;
		return;
	}
	if (host != NULL)
		http_host_less(&s->hosts, host);
}

static void
on_resume(struct loop_alarm *a)
{
	struct http_listener *l = container_of(a, struct http_listener, resume);

	if (event_add(&l->readable, NULL) != 0)
		loop_alarm_start(a, PAUSE_MS);
}

/* false: no more for now. */
static bool
accept_one(struct http_listener *l)
{
	struct http_server *s = l->server;
	struct parse_addr peer = {.len = sizeof(peer.ss)};
	int fd = accept4(l->fd, (struct sockaddr *)&peer.ss, &peer.len,
		SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EINTR || errno == ECONNABORTED)
			return true;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			event_del(&l->readable);
			loop_alarm_start(&l->resume, PAUSE_MS);
		}
		return false;
	}
	unmap(&peer);
	if (l->filter.allow != NULL &&
		!l->filter.allow(
			l->filter.ctx, (const struct sockaddr *)&peer.ss)) {
		s->set.counters.filtered++;
		turn_away(fd, &peer);
		return true;
	}
	admit(s, fd, &peer);
	return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_listener *l = arg;

	for (int i = 0; i < ACCEPTS_PER_PASS; i++)
		if (!accept_one(l))
			return;
}

/* Listeners */

/* Accepted sockets inherit TCP_NODELAY.  Not every family has such. */
static int
prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL), one = 1;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_new(-errno);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return listen(fd, BACKLOG) == 0 ? 0 : err_new(-errno);
}

int
http_server_listen_fd(struct http_server *s, int taken,
	const struct http_filter *filter, struct http_listener **ret_listener)
{
	AUTO_FD int fd = taken;
	AUTO_FREE struct http_listener *l = calloc(1, sizeof(*l));
	int r = prepare(fd);

	if (r < 0)
		return err_pass(r);
	if (l == NULL)
		return err_new(-ENOMEM);
	l->server = s;
	if (filter != NULL)
		l->filter = *filter;
	loop_alarm_init(&l->resume, s->set.loop, on_resume);
	event_assign(&l->readable, loop_base(s->set.loop), fd,
		EV_READ | EV_PERSIST, on_readable, l);
	if (event_add(&l->readable, NULL) != 0)
		return err_new(-ENOMEM);
	l->fd = TAKE_FD(fd);
	LIST_INSERT_HEAD(&s->listeners, l, link);
	*ret_listener = TAKE_PTR(l);
	return 0;
}

/* One socket of IPv6 for both families, where the address is the wildcard. */
static int
bind_socket(int fd, const struct parse_addr *addr)
{
	int one = 1, zero = 0;

	if (addr->ss.ss_family != AF_UNIX)
		(void)setsockopt(
			fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->ss.ss_family == AF_INET6)
		(void)setsockopt(
			fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	return bind(fd, (const struct sockaddr *)&addr->ss, addr->len) == 0
		? 0
		: err_new(-errno);
}

/* "[::]" where the kernel has no IPv6 means 0.0.0.0. */
static bool
without_ipv6(const struct parse_addr *addr, struct parse_addr *ret)
{
	const struct sockaddr_in6 *in6 = (const void *)&addr->ss;
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (addr->ss.ss_family != AF_INET6 ||
		!IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		return false;
	in.sin_port = in6->sin6_port;
	*ret = (struct parse_addr){.len = sizeof(in)};
	memcpy(&ret->ss, &in, sizeof(in));
	return true;
}

static int
listen_at(struct http_server *s, const struct parse_addr *addr,
	const struct http_filter *filter, struct http_listener **ret_listener)
{
	int fd = socket(addr->ss.ss_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return err_new(-errno);
	r = bind_socket(fd, addr);
	if (r < 0) {
		close(fd);
		return err_pass(r);
	}
	return err_pass(http_server_listen_fd(s, fd, filter, ret_listener));
}

int
http_server_listen(struct http_server *s, const struct parse_addr *addr,
	const struct http_filter *filter, struct http_listener **ret_listener)
{
	int r = listen_at(s, addr, filter, ret_listener);
	struct parse_addr other;

	if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) &&
		without_ipv6(addr, &other))
		r = listen_at(s, &other, filter, ret_listener);
	return err_pass(r);
}

struct http_listener *
http_listener_close(struct http_listener *l)
{
	if (l == NULL)
		return NULL;
	event_del(&l->readable);
	loop_alarm_stop(&l->resume);
	close(l->fd);
	LIST_REMOVE(l, link);
	free(l);
	return NULL;
}

void
http_listener_address(const struct http_listener *l, struct parse_addr *ret)
{
	*ret = (struct parse_addr){.len = sizeof(ret->ss)};
	if (getsockname(l->fd, (struct sockaddr *)&ret->ss, &ret->len) != 0)
		*ret = (struct parse_addr){0};
}

uint16_t
http_listener_port(const struct http_listener *l)
{
	struct parse_addr a;
	const struct sockaddr_in *in = (const void *)&a.ss;
	const struct sockaddr_in6 *in6 = (const void *)&a.ss;

	http_listener_address(l, &a);
	if (a.ss.ss_family == AF_INET)
		return ntohs(in->sin_port);
	return a.ss.ss_family == AF_INET6 ? ntohs(in6->sin6_port) : 0;
}

/* The server */

static const struct http_service *
route(struct http_conn_set *set, const char *path, size_t len)
{
	struct http_server *s = container_of(set, struct http_server, set);

	for (size_t i = 0; i < s->n_services; i++)
		if (s->services[i]->match(s->services[i]->ctx, path, len))
			return s->services[i];
	return NULL;
}

struct http_server *
http_server_new(struct loop *loop, const struct http_server_limits *limits)
{
	static const struct http_server_limits defaults =
		HTTP_SERVER_LIMITS_DEFAULT;
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	http_conn_set_init(&s->set, loop);
	s->set.route = route;
	s->set.closed = conn_closed;
	LIST_INIT(&s->listeners);
	http_hosts_init(&s->hosts);
	http_server_configure(s, limits != NULL ? limits : &defaults);
	return s;
}

struct http_server *
http_server_free(struct http_server *s)
{
	if (s == NULL)
		return NULL;
	while (!LIST_EMPTY(&s->listeners))
		http_listener_close(LIST_FIRST(&s->listeners));
	http_server_close_all(s);
	free(s);
	return NULL;
}

void
http_server_configure(
	struct http_server *s, const struct http_server_limits *limits)
{
	assert(limits->conns > 0);
	s->limits = *limits;
	s->set.limits = limits->conn;
}

void
http_server_add(struct http_server *s, const struct http_service *service)
{
	assert(s->n_services < HTTP_SERVICES_MAX);
	s->services[s->n_services++] = service;
}

/* Without idle ones, each host has a busy one. */
void
http_server_close_all(struct http_server *s)
{
	struct http_host *host;

	http_conn_set_close(&s->set);
	for (size_t i = 0; i < HTTP_HOST_SLOTS; i++)
		while ((host = LIST_FIRST(&s->hosts.slots[i])) != NULL)
			http_conn_free(TAILQ_FIRST(&host->owner.busy));
}

/* The list may be gone with its last one. */
static void
sift(struct http_conn_list *list, const struct http_filter *filter)
{
	struct http_conn *c, *next;

	for (c = TAILQ_FIRST(list); c != NULL; c = next) {
		next = http_conn_next(c);
		if (!filter->allow(filter->ctx,
			    (const struct sockaddr *)&http_conn_peer(c)->ss))
			http_conn_free(c);
	}
}

void
http_server_sift(struct http_server *s, const struct http_filter *filter)
{
	struct http_host *host, *next;

	sift(&s->set.idle, filter);
	sift(&s->set.rest.busy, filter);
	for (size_t i = 0; i < HTTP_HOST_SLOTS; i++)
		for (host = LIST_FIRST(&s->hosts.slots[i]); host != NULL;
			host = next) {
			next = LIST_NEXT(host, link);
			sift(&host->owner.busy, filter);
		}
}

unsigned
http_server_conns(const struct http_server *s)
{
	return s->set.n_conns;
}

const struct http_counters *
http_server_counters(const struct http_server *s)
{
	return &s->set.counters;
}

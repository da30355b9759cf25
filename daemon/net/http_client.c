/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests, the hosts that they go to and the connections to those; what
 * happens on a connection is in http_link.c.
 *
 * Objects.  A request is the caller's.  A host exists while it has a request,
 * waiting or running, or a connection kept for later.  A link is one
 * connection: busy with one request, or idle.
 *
 *   start   the request waits at its host
 *   pump    while the limits allow: the host whose turn it is sends its first
 *           request, over a kept connection or a new one, and goes to the end
 *   end     the request goes to the ended list, its done follows from a
 *           deferred call
 *
 * pump runs within the call that made it possible.  So when an answer is
 * complete the next request leaves on the same connection at once, before
 * anybody looked at what came; and the peer works on it meanwhile.
 *
 * A host is in the list of turns exactly while it has a request waiting and
 * may run one more.
 *
 * A server closes a connection that was idle for long, and the next request may
 * be on its way just then.  One that fails on a kept connection without a byte
 * of an answer is asked once again, on a new connection, within the same time.
 * Asking twice does no harm: everything asked here only reads.
 */
#include "daemon/net/http_client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "common/macros.h"
#include "daemon/net/http_link.h"
#include "daemon/net/loop.h"

#define IDLE_MS 30000u /* servers close after 60 s */

LIST_HEAD(link_list, http_link);

struct http_host {
	struct http_client *client;
	struct parse_addr addr;
	char name[PARSE_ADDR_TEXT]; /* for the header Host */
	unsigned running;
	struct http_request_list waiting;
	struct link_list busy;
	struct link_list idle; /* the one used last comes first */
	bool in_turns;
	TAILQ_ENTRY(http_host) turn;
	TAILQ_ENTRY(http_host) link;
};

TAILQ_HEAD(host_list, http_host);

struct http_client {
	struct loop *loop;
	struct http_limits limits;
	struct host_list hosts;
	struct host_list turns;
	unsigned running;
	unsigned n_idle;
	TAILQ_HEAD(, http_link) idle; /* the one used last comes last */
	struct http_request_list ended;
	struct loop_deferred tell;
};

/* Hosts */

static bool
same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port &&
			a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
		a6->sin6_scope_id == b6->sin6_scope_id &&
		memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
}

/* The interface of a link-local address means nothing to the other side. */
static void
name_host(struct http_host *host)
{
	struct parse_addr addr = host->addr;

	if (addr.ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&addr.ss)->sin6_scope_id = 0;
	parse_addr_format(host->name, &addr);
}

/* A walk: the hosts of a branch that are being asked at one time are few. */
static struct http_host *
host_get(struct http_client *client, const struct parse_addr *addr)
{
	struct http_host *host;

	TAILQ_FOREACH (host, &client->hosts, link)
		if (same_host(&host->addr.ss, &addr->ss))
			return host;
	host = calloc(1, sizeof(*host));
	if (host == NULL)
		return NULL;
	host->client = client;
	host->addr = *addr;
	name_host(host);
	TAILQ_INIT(&host->waiting);
	LIST_INIT(&host->busy);
	LIST_INIT(&host->idle);
	TAILQ_INSERT_TAIL(&client->hosts, host, link);
	return host;
}

/* After each change of a host: into the list of turns or out of it; without
 * anything left it is freed. */
static void
host_settle(struct http_host *host)
{
	struct http_client *client = host->client;
	bool waits = !TAILQ_EMPTY(&host->waiting);
	bool ready = waits && host->running < client->limits.per_host;

	if (ready && !host->in_turns)
		TAILQ_INSERT_TAIL(&client->turns, host, turn);
	if (!ready && host->in_turns)
		TAILQ_REMOVE(&client->turns, host, turn);
	host->in_turns = ready;
	if (waits || host->running > 0 || !LIST_EMPTY(&host->idle))
		return;
	TAILQ_REMOVE(&client->hosts, host, link);
	free(host);
}

/* The end of a request */

static void
request_ended(struct http_client *client, struct http_request *req)
{
	req->host = NULL;
	req->on = NULL;
	TAILQ_INSERT_TAIL(&client->ended, req, link);
	loop_defer(client->loop, &client->tell);
}

static void
on_tell(struct loop_deferred *d)
{
	struct http_client *client = container_of(d, struct http_client, tell);
	struct http_request_list now = TAILQ_HEAD_INITIALIZER(now);
	struct http_request *req;

	/* what ends meanwhile is told in the next pass */
	TAILQ_CONCAT(&now, &client->ended, link);
	while ((req = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, req, link);
		req->done(req);
	}
}

/* Links */

static void
link_take_idle(struct http_link *link)
{
	struct http_client *client = link->host->client;

	LIST_REMOVE(link, of_host);
	TAILQ_REMOVE(&client->idle, link, of_client);
	client->n_idle--;
}

static void
link_drop_idle(struct http_link *link)
{
	struct http_host *host = link->host;

	link_take_idle(link);
	http_link_free(link);
	host_settle(host);
}

/* The host must not be left alone by it: host_settle() is the caller's. */
static void
link_keep(struct http_link *link)
{
	struct http_client *client = link->host->client;

	LIST_INSERT_HEAD(&link->host->idle, link, of_host);
	TAILQ_INSERT_TAIL(&client->idle, link, of_client);
	client->n_idle++;
	http_link_rest(link, client->limits.idle_ms);
	if (client->n_idle > client->limits.total)
		link_drop_idle(TAILQ_FIRST(&client->idle));
}

/* The link is not busy any more, whatever becomes of it. */
static void
link_leave(struct http_link *link)
{
	LIST_REMOVE(link, of_host);
	link->host->running--;
	link->host->client->running--;
}

static void pump(struct http_client *);

static void
on_link_over(struct http_link *link)
{
	struct http_request *req = link->request;
	struct http_host *host = link->host;
	struct http_client *client = host->client;

	if (req == NULL) {
		link_drop_idle(link);
		return;
	}
	link_leave(link);
	if (link->stale && !req->again) {
		req->again = true;
		req->on = NULL;
		TAILQ_INSERT_HEAD(&host->waiting, req, link);
	} else {
		request_ended(client, req);
	}
	if (link->keep)
		link_keep(link);
	else
		http_link_free(link);
	host_settle(host);
	pump(client);
}

/* Starting */

static enum http_result
result_of_errno(int r)
{
	switch (r) {
	case -ENOMEM:
	case -ENOBUFS:
	case -EMFILE:
	case -ENFILE:
		return HTTP_NO_MEMORY;
	default:
		return HTTP_REFUSED;
	}
}

static bool
ask(struct http_host *host, struct http_link *link, struct http_request *req)
{
	if (req->due_ms == 0)
		req->due_ms = loop_now_ms() + req->timeout_ms;
	if (http_link_ask(link, req, host->name, req->due_ms))
		return true;
	http_link_free(link);
	return false;
}

/* Without memory or descriptors for it the request waits until another one
 * ends, so that a want of this side is not taken for one of the other.  false:
 * it does. */
static bool
host_run(struct http_host *host, struct http_request *req)
{
	struct http_client *client = host->client;
	struct http_link *link = req->again ? NULL : LIST_FIRST(&host->idle);
	int r = 0;

	if (link != NULL)
		link_take_idle(link);
	else
		r = http_link_new(
			&link, client->loop, &host->addr, host, on_link_over);
	if (r == 0 && !ask(host, link, req))
		r = -ENOMEM;
	if (r != 0) {
		req->result = result_of_errno(r);
		if (req->result == HTTP_NO_MEMORY && client->running > 0) {
			TAILQ_INSERT_HEAD(&host->waiting, req, link);
			return false;
		}
		request_ended(client, req);
		return true;
	}
	req->on = link;
	LIST_INSERT_HEAD(&host->busy, link, of_host);
	host->running++;
	client->running++;
	return true;
}

static void
pump(struct http_client *client)
{
	struct http_request *req;
	struct http_host *host;
	bool on = true;

	while (on && client->running < client->limits.total &&
		(host = TAILQ_FIRST(&client->turns)) != NULL) {
		TAILQ_REMOVE(&client->turns, host, turn);
		host->in_turns = false;
		req = TAILQ_FIRST(&host->waiting);
		TAILQ_REMOVE(&host->waiting, req, link);
		on = host_run(host, req);
		host_settle(host);
	}
}

struct http_client *
http_client_new(struct loop *loop, const struct http_limits *limits)
{
	struct http_client *client = calloc(1, sizeof(*client));

	assert(limits->per_host > 0 && limits->total > 0);
	if (client == NULL)
		return NULL;
	client->loop = loop;
	client->limits = *limits;
	if (limits->idle_ms == 0)
		client->limits.idle_ms = IDLE_MS;
	client->tell.fn = on_tell;
	TAILQ_INIT(&client->hosts);
	TAILQ_INIT(&client->turns);
	TAILQ_INIT(&client->idle);
	TAILQ_INIT(&client->ended);
	return client;
}

static void
give_up(struct http_request *req)
{
	struct http_host *host = req->host;
	struct http_link *link = req->on;

	if (link != NULL) {
		link_leave(link);
		http_link_free(link);
	} else {
		TAILQ_REMOVE(&host->waiting, req, link);
	}
	req->result = HTTP_CANCELLED;
	request_ended(host->client, req);
	host_settle(host);
}

void
http_client_close_idle(struct http_client *client)
{
	struct http_link *link;

	while ((link = TAILQ_FIRST(&client->idle)) != NULL)
		link_drop_idle(link);
}

/* A host is gone with its last request, if none of its links is idle. */
static void
give_up_all(struct http_client *client)
{
	struct http_request *req;
	struct http_host *host;

	http_client_close_idle(client);
	while ((host = TAILQ_FIRST(&client->hosts)) != NULL) {
		req = TAILQ_FIRST(&host->waiting);
		if (req == NULL)
			req = LIST_FIRST(&host->busy)->request;
		give_up(req);
	}
}

struct http_client *
http_client_free(struct http_client *client)
{
	if (client == NULL)
		return NULL;
	give_up_all(client);
	on_tell(&client->tell);
	assert(TAILQ_EMPTY(&client->ended) && TAILQ_EMPTY(&client->hosts));
	loop_undefer(client->loop, &client->tell);
	free(client);
	return NULL;
}

void
http_client_start(struct http_client *client, struct http_request *req)
{
	req->status = 0;
	req->memory = NULL;
	req->data = NULL;
	req->data_len = 0;
	req->on = NULL;
	req->due_ms = 0;
	req->again = false;
	req->host = host_get(client, &req->addr);
	if (req->host == NULL) {
		req->result = HTTP_NO_MEMORY;
		request_ended(client, req);
		return;
	}
	TAILQ_INSERT_TAIL(&req->host->waiting, req, link);
	host_settle(req->host);
	pump(client);
}

void
http_client_cancel(struct http_client *client, struct http_request *req)
{
	if (req->host == NULL)
		return;
	give_up(req);
	pump(client);
}

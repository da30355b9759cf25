/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the modes with peers the retrieval server listens and discovery has joined
 * its groups; otherwise neither is open, and switching the mode switches them.
 * Discovery tells others the port that the server really got, so it is started
 * behind it, and answers nobody while there is none.
 *
 * A retrieval socket from systemd is listened on in every mode, since a
 * connection that waits in its backlog would not be refused; without peers in
 * the mode every answer is empty.
 *
 * A port that another program has is no reason not to run: the rest works, the
 * log and the status tell, and it is tried again.
 */
#include "daemon/manager_network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/core/service.h"
#include "daemon/log.h"
#include "daemon/manager_listen.h"
#include "daemon/net/discovery.h"
#include "daemon/net/http_server.h"
#include "daemon/net/loop.h"
#include "daemon/net/netif.h"
#include "daemon/net/retrieve.h"
#include "daemon/net/serve.h"

#define AGAIN_MS              30000u
#define CONNS_LEAST           1024u
#define CONNS_OF_ONE_LEAST    64u /* iPXE opens 32 */
#define CONNS_FOR_EACH_UPLOAD 2u
/* All hosts of a link may have one prefix. */
#define CONNS_PER_PREFIX_PART 4u

struct network {
	struct netif *netif;
	struct discovery *discovery;
	struct http_server *server;
	struct retrieve *retrieve;
	struct serve *serve;
	struct listening listening;
	struct passed *passed;
	bool open;
	bool stopped;
	struct parse_addr listen;
	struct conf_nets allow;
	struct loop_alarm again;
};

static bool
has_ipv6(const struct conf_nets *nets)
{
	for (size_t i = 0; i < nets->n; i++)
		if (nets->nets[i].family == AF_INET6)
			return true;
	return false;
}

/* Hosts ask with their link-local addresses, whatever others they have: those
 * of a neighbour will do where the list names any network of IPv6. */
static bool
allow(void *ctx, const struct sockaddr *addr)
{
	const struct network *n = ctx;

	if (conf_nets_contain(&n->allow, addr))
		return true;
	return netif_is_near(n->netif, addr) &&
		(n->allow.local ||
			(netif_is_link_local(addr) && has_ipv6(&n->allow)));
}

static void
interfaces_changed(void *ctx)
{
	struct network *n = ctx;

	/* Not yet made while the table tells of what it found first. */
	if (n->discovery != NULL)
		discovery_interfaces_changed(n->discovery);
}

/* What systemd passed is used again after the mode was off. */
static int
another(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

static void
discovery_told(const struct network *n)
{
	struct discovery_view v;

	discovery_view(n->discovery, &v);
	if (v.error != 0)
		log_event(LOG_WARNING, "Discovery works only in part",
			LOG_ERRNO(-v.error));
	if (v.state_error != 0)
		log_event(LOG_WARNING, "Number of this start cannot be kept",
			LOG_STR("FILE", DISCOVERY_INSTANCE_FILE),
			LOG_ERRNO(-v.state_error));
	if (netif_error(n->netif) != 0)
		log_event(LOG_WARNING, "Interfaces are not known",
			LOG_ERRNO(-netif_error(n->netif)));
}

static void
discovery_begin(struct network *n)
{
	bool running = discovery_running(n->discovery);
	uint16_t port = listening_port(&n->listening);
	int fd4 = running ? -1 : another(n->passed->discovery_4);
	int fd6 = running ? -1 : another(n->passed->discovery_6);
	int r = discovery_start(n->discovery, port, fd4, fd6);

	if (r == 0 && !running)
		discovery_told(n);
	if (r == 0)
		return;
	log_event(LOG_ERR, "Discovery cannot start", LOG_ERRNO(-r));
	loop_alarm_start(&n->again, AGAIN_MS);
}

static void
open_all(struct network *n)
{
	listening_open(&n->listening, &n->listen);
	discovery_begin(n);
	n->open = true;
}

static void
close_all(struct network *n)
{
	if (!n->open)
		return;
	n->open = false;
	loop_alarm_stop(&n->again);
	discovery_stop(n->discovery);
	listening_close(&n->listening);
	http_server_close_all(n->server);
	retrieve_close_idle(n->retrieve);
}

static void
on_again(struct loop_alarm *a)
{
	discovery_begin(container_of(a, struct network, again));
}

static void
on_retried(void *ctx)
{
	discovery_begin(ctx);
}

static void
configure_server(struct network *n, const struct conf *c)
{
	struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
	unsigned uploads = (unsigned)c->upload_sessions;

	limits.conns = MAX_OF(CONNS_LEAST, CONNS_FOR_EACH_UPLOAD * uploads);
	limits.conns_per_address = MAX_OF(CONNS_OF_ONE_LEAST, uploads);
	limits.conns_per_prefix = MAX_OF(
		limits.conns / CONNS_PER_PREFIX_PART, limits.conns_per_address);
	limits.conn.stall_ms = (uint32_t)(c->upload_timeout_us / US_PER_MS);
	http_server_configure(n->server, &limits);
}

static bool
same_addr(const struct parse_addr *a, const struct parse_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

void
network_configure(struct network *n, const struct conf *c)
{
	const struct netif_settings settings = {
		.all = c->interfaces.all,
		.n = c->interfaces.n,
		.names = c->interfaces.names,
	};
	const struct http_filter filter = {allow, n};
	bool with_peers = c->enable && c->mode == MODE_DISTRIBUTED;

	if (n->stopped)
		return;
	n->allow = c->allow_peers;
	if (netif_configure(n->netif, &settings) != 0)
		log_event(LOG_ERR, "Interfaces stay as they were",
			LOG_ERRNO(ENOMEM));
	http_server_sift(n->server, &filter);
	configure_server(n, c);
	if (!with_peers || !same_addr(&n->listen, &c->retrieval_listen))
		close_all(n);
	n->listen = c->retrieval_listen;
	if (with_peers)
		open_all(n);
}

static void
init_listening(struct network *n, struct loop *loop)
{
	n->listening = (struct listening){
		.name = "retrieval",
		.opened = "Serves blocks to peers",
		.refused = "Blocks cannot be served to peers",
		.server = n->server,
		.filter = {allow, n},
		.retried = on_retried,
		.ctx = n,
	};
	listening_init(&n->listening, loop);
	listening_adopt(&n->listening, TAKE_FD(n->passed->retrieval));
}

int
network_new(struct network **ret, const struct network_params *p)
{
	static const struct netif_settings none = {.all = true};
	const struct discovery_settings settings = {p->state_folder};
	struct network *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL)
		return err_new(-ENOMEM);
	n->passed = p->passed;
	n->retrieve = p->retrieve;
	n->allow.local = true;
	loop_alarm_init(&n->again, p->loop, on_again);
	r = netif_new(&n->netif, p->loop, &none, interfaces_changed, n);
	if (r == 0) {
		n->discovery =
			discovery_new(p->loop, p->service, n->netif, &settings);
		n->server = http_server_new(p->loop, NULL);
	}
	if (n->discovery != NULL && n->server != NULL)
		n->serve = serve_new(p->loop, p->service, p->env, n->server);
	if (n->serve == NULL) {
		network_free(n);
		return err_new(-ENOMEM);
	}
	discovery_set_filter(n->discovery, allow, n);
	init_listening(n, p->loop);
	*ret = n;
	return 0;
}

void
network_stop(struct network *n)
{
	n->stopped = true;
	close_all(n);
	listening_end(&n->listening);
	http_server_close_all(n->server);
}

struct network *
network_free(struct network *n)
{
	if (n == NULL)
		return NULL;
	loop_alarm_stop(&n->again);
	n->discovery = discovery_free(n->discovery);
	n->server = http_server_free(n->server);
	n->serve = serve_free(n->serve);
	n->netif = netif_free(n->netif);
	free(n);
	return NULL;
}

struct discovery *
network_discovery(struct network *n)
{
	return n->discovery;
}

void
network_put_listeners(const struct network *n, struct json *j)
{
	listening_put(&n->listening, j);
}

static void
put_interface(const struct netif_row *row, void *ctx)
{
	if (row->enabled && row->up && row->multicast)
		json_out_text(ctx, NULL, row->name);
}

static void
put_discovery(const struct network *n, struct json *j)
{
	struct discovery_view v;

	discovery_view(n->discovery, &v);
	json_out_object(j, "discovery");
	json_out_bool(j, "running", v.running);
	json_out_array(j, "interfaces");
	if (v.running)
		netif_each(n->netif, put_interface, j);
	json_out_end_array(j);
	json_out_bool(j, "hears_ipv4", v.hears_4);
	json_out_bool(j, "hears_ipv6", v.hears_6);
	json_out_u64(j, "asks_ipv4", v.asks_4);
	json_out_u64(j, "asks_ipv6", v.asks_6);
	if (v.error != 0)
		json_out_text(j, "problem", strerror(-v.error));
#define X(name) json_out_u64(j, #name, v.counters.name);
	DISCOVERY_COUNTERS(X)
#undef X
	json_out_end_object(j);
}

void
network_put_status(const struct network *n, struct json *j)
{
	put_discovery(n, j);
	server_put_counters(n->server, j);
}

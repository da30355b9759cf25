/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two receivers, one for each family, hear the Probes of others; answers to
 * them leave from there.  Senders, one for each family and interface, ask this
 * host's Probes, and the answers to those come back to them.  A Probe that
 * comes to a sender, or an answer that comes to a receiver, is not meant for
 * us.
 *
 * A datagram is taken apart only when it came by an enabled interface from a
 * host of that interface's subnets which the filter lets by: what costs little
 * is looked at first.  In one pass of the loop all sockets together take about
 * PASS_MAX datagrams; the kernel keeps, and then drops, the rest of a flood.
 *
 * Whatever could not be opened is tried again every RETRY_MS, and when
 * interfaces change.
 */
#include "daemon/net/discovery.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "common/parse.h"
#include "daemon/core/discover.h"
#include "daemon/core/service.h"
#include "daemon/net/discovery_addrs.h"
#include "daemon/net/discovery_socket.h"
#include "daemon/net/loop.h"
#include "daemon/net/netif.h"

#define PASS_MAX    64
#define SENDERS_MAX 256
#define RETRY_MS    10000

/* A receiver (interface 0) or a sender. */
struct port {
	LIST_ENTRY(port) link;
	struct discovery *d;
	struct loop_watch *watch;
	int fd;
	sa_family_t family;
	unsigned interface;
	bool wanted;
	uint32_t lost;
};

/* What is needed while it runs; some is large. */
struct work {
	struct discovery_batch *batch;
	struct pccrd_parser *parser;
	struct pccrd_message message;
	struct buf out;
};

struct discovery {
	struct loop *loop;
	struct service *service;
	struct netif *netif;
	bool (*allow)(void *ctx, const struct sockaddr *);
	void *allow_ctx;
	const char *state_folder; /* or NULL */
	uint64_t instance;        /* 0: has never run */
	int state_error;
	uint32_t number; /* of the last answer */
	uint8_t endpoint[PCCRD_UUID_SIZE];
	unsigned closings; /* of ports */
	uint16_t retrieval_port;
	struct work *work; /* NULL: it does not run */
	LIST_HEAD(, port) ports;
	struct port *receivers[2]; /* IPv4, IPv6 */
	size_t n_ports;
	int error;
	struct loop_alarm retry;
	struct discovery_counters counters;
};

static size_t
index_of(sa_family_t family)
{
	return family == AF_INET6;
}

static const struct sockaddr *
sa_of(const struct parse_addr *a)
{
	return (const struct sockaddr *)&a->ss;
}

/* The number of this start. */

static uint64_t
read_instance(const char *path)
{
	uint64_t v = 0;
	struct buf b;

	buf_init(&b, 32);
	if (fd_read_file(path, &b) == 0) {
		if (b.len > 0 && b.data[b.len - 1] == '\n')
			b.len--;
		buf_u8(&b, '\0');
		/* It is 32 bits wide on the wire. */
		if (buf_error(&b) != 0 ||
			parse_u64((const char *)b.data, 0, UINT32_MAX - 1,
				&v) != 0)
			v = 0;
	}
	buf_done(&b);
	return v;
}

/* Must grow with every start, even if the clock went back.  That it cannot be
 * stored is no reason not to run. */
static int
choose_instance(struct discovery *d)
{
	const char *folder = d->state_folder;
	AUTO_FREE char *path = NULL;
	struct timespec now;
	char text[32];
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	d->instance = (uint64_t)now.tv_sec & UINT32_MAX;
	if (folder == NULL)
		return 0;
	if (asprintf(&path, "%s/" DISCOVERY_INSTANCE_FILE, folder) < 0) {
		path = NULL;
		return err_new(-ENOMEM);
	}
	d->instance = MAX_OF(d->instance, read_instance(path) + 1);
	n = snprintf(
		text, sizeof(text), "%llu\n", (unsigned long long)d->instance);
	return err_pass(fd_write_file(path, text, (size_t)n, 0600));
}

static int
make_uuid(uint8_t uuid[PCCRD_UUID_SIZE])
{
	if (getrandom(uuid, PCCRD_UUID_SIZE, 0) != PCCRD_UUID_SIZE)
		return err_new(-EIO);
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return 0;
}

/* Datagrams in. */

static void
take_probe(struct discovery *d, const struct discovery_datagram *in,
	const struct netif_row *row)
{
	const struct discover_question q = {
		.from = in->from,
		.interface = row->index,
		.probe = &d->work->message.u.probe,
	};

	discover_heard(service_discover(d->service), &q);
}

static void
take_match(struct discovery *d, const struct discovery_datagram *in,
	const struct netif_row *row, size_t i)
{
	const struct pccrd_matches *all = &d->work->message.u.matches;
	const struct pccrd_match *m = &all->matches[i];
	struct parse_addr addrs[PCCRD_ADDRS_MAX];
	const struct discovery_claim claim = {
		.netif = d->netif,
		.row = row,
		.from = &in->from,
		.own_port = d->retrieval_port,
		.allow = d->allow,
		.ctx = d->allow_ctx,
	};
	struct discover_answer a = {
		.from = in->from,
		.relates_to = all->relates_to,
		.version = m->version,
		.addrs = addrs,
		.n_held = m->n_held,
		.held = m->held,
	};

	a.n_addrs =
		discovery_addrs_believed(&claim, m->n_addrs, m->addrs, addrs);
	if (a.n_addrs > 0)
		discover_answered(service_discover(d->service), &a);
	else
		d->counters.off_link++;
}

/* Where it came from; NULL: that is not where our peers are. */
static const struct netif_row *
arrival(const struct discovery *d, const struct discovery_datagram *in)
{
	const struct netif_row *row = netif_find(d->netif, in->interface);

	if (row == NULL || !row->enabled ||
		!netif_row_near(row, sa_of(&in->from)))
		return NULL;
	return row;
}

/* The port 0 cannot be answered. */
static bool
is_welcome(struct discovery *d, const struct discovery_datagram *in,
	const struct netif_row *row)
{
	if (!in->whole || discovery_port_of(&in->from) == 0) {
		d->counters.malformed++;
		return false;
	}
	if (row == NULL) {
		d->counters.off_link++;
		return false;
	}
	if (d->allow != NULL && !d->allow(d->allow_ctx, sa_of(&in->from))) {
		d->counters.refused++;
		return false;
	}
	return true;
}

static bool
parse(struct discovery *d, const struct discovery_datagram *in)
{
	struct work *w = d->work;

	switch (pccrd_parse(w->parser, in->data, in->len, &w->message)) {
	case PCCRD_OK:
		return true;
	case PCCRD_E_FOREIGN:
		d->counters.foreign++;
		return false;
	case -ENOMEM:
		d->counters.lost++;
		return false;
	default:
		d->counters.malformed++;
		return false;
	}
}

static void
take_datagram(struct discovery *d, const struct port *port,
	const struct discovery_datagram *in)
{
	const struct netif_row *row = arrival(d, in);
	bool is_receiver = port->interface == 0;
	unsigned closings = d->closings;
	struct work *w = d->work;

	d->counters.received++;
	if (!is_welcome(d, in, row) || !parse(d, in))
		return;
	if ((w->message.kind == PCCRD_PROBE) != is_receiver) {
		d->counters.foreign++;
		return;
	}
	if (is_receiver) {
		take_probe(d, in, row);
		return;
	}
	/* The core may do anything when it is told. */
	for (size_t i = 0;
		d->closings == closings && i < w->message.u.matches.n_matches;
		i++)
		take_match(d, in, row, i);
}

static unsigned
share(const struct discovery *d)
{
	return (unsigned)MAX_OF(PASS_MAX / d->n_ports, 1u);
}

static void
on_readable(void *ctx)
{
	struct port *port = ctx;
	struct discovery *d = port->d;
	struct discovery_datagram in;
	unsigned closings = d->closings;
	int n;

	n = discovery_batch_receive(d->work->batch, port->fd, share(d));
	for (int i = 0; i < n && d->closings == closings; i++) {
		discovery_batch_get(d->work->batch, (unsigned)i, &in);
		if (in.lost != 0) {
			d->counters.lost += in.lost - port->lost;
			port->lost = in.lost;
		}
		take_datagram(d, port, &in);
	}
}

/* Ports. */

static struct port *
port_free(struct port *port)
{
	if (port == NULL)
		return NULL;
	LIST_REMOVE(port, link);
	port->d->n_ports--;
	port->d->closings++;
	loop_watch_free(port->watch);
	cleanup_fd(&port->fd);
	free(port);
	return NULL;
}

/* Takes the descriptor over, which may be -errno. */
static int
port_new(struct discovery *d, int fd, sa_family_t family, unsigned interface,
	struct port **ret)
{
	struct port *port;

	if (fd < 0)
		return err_pass(fd);
	port = calloc(1, sizeof(*port));
	if (port == NULL) {
		close(fd);
		return err_new(-ENOMEM);
	}
	port->d = d;
	port->fd = fd;
	port->family = family;
	port->interface = interface;
	port->wanted = true;
	LIST_INSERT_HEAD(&d->ports, port, link);
	d->n_ports++;
	port->watch = loop_watch_new(d->loop, fd, on_readable, port);
	if (port->watch == NULL) {
		port_free(port);
		return err_new(-ENOMEM);
	}
	if (ret != NULL)
		*ret = port;
	return 0;
}

/* A host without IPv6 is not in trouble. */
static void
note(struct discovery *d, int r)
{
	if (r != 0 && r != -EAFNOSUPPORT)
		d->error = r;
}

static int
open_receiver(struct discovery *d, sa_family_t family, int given)
{
	struct port **slot = &d->receivers[index_of(family)];

	return err_pass(port_new(
		d, discovery_socket_receiver(family, given), family, 0, slot));
}

/* On loopback the kernel would take an address of some other interface, or
 * none. */
static int
open_sender(const struct netif_row *row, sa_family_t family)
{
	struct parse_addr source;

	if (!row->loopback)
		return err_pass(
			discovery_socket_sender(family, row->index, NULL));
	for (size_t i = 0; i < row->n_addrs; i++) {
		if (row->addrs[i].family != family)
			continue;
		netif_addr_get(row, &row->addrs[i], 0, &source);
		return err_pass(
			discovery_socket_sender(family, row->index, &source));
	}
	return err_new(-EADDRNOTAVAIL);
}

static void
want_sender(
	struct discovery *d, const struct netif_row *row, sa_family_t family)
{
	struct port *port;

	LIST_FOREACH (port, &d->ports, link)
		if (port->interface == row->index && port->family == family) {
			port->wanted = true;
			return;
		}
	if (d->n_ports >= SENDERS_MAX) {
		note(d, -ENOSPC);
		return;
	}
	note(d,
		port_new(
			d, open_sender(row, family), family, row->index, NULL));
}

/* Without an address there is nobody to answer to.  IPv6 has no multicast on
 * loopback. */
static void
want_senders(const struct netif_row *row, void *ctx)
{
	struct discovery *d = ctx;

	if (!row->enabled || !row->up || !row->multicast)
		return;
	if (netif_row_has(row, AF_INET))
		want_sender(d, row, AF_INET);
	if (netif_row_has(row, AF_INET6) && !row->loopback)
		want_sender(d, row, AF_INET6);
}

/* Everything that should be open is, as far as possible, and nothing else. */
static void
settle(struct discovery *d)
{
	struct port *port, *next = NULL;

	d->error = 0;
	loop_alarm_stop(&d->retry);
	if (d->receivers[0] == NULL)
		note(d, open_receiver(d, AF_INET, -1));
	if (d->receivers[1] == NULL)
		note(d, open_receiver(d, AF_INET6, -1));
	LIST_FOREACH (port, &d->ports, link)
		port->wanted = port->interface == 0;
	netif_each(d->netif, want_senders, d);
	for (port = LIST_FIRST(&d->ports); port != NULL; port = next) {
		next = LIST_NEXT(port, link);
		if (!port->wanted)
			port_free(port);
	}
	if (d->error != 0)
		loop_alarm_start(&d->retry, RETRY_MS);
}

static void
on_retry(struct loop_alarm *a)
{
	settle(container_of(a, struct discovery, retry));
}

void
discovery_interfaces_changed(struct discovery *d)
{
	if (d->work != NULL)
		settle(d);
}

/* Start and stop. */

static struct work *
work_free(struct work *w)
{
	if (w == NULL)
		return NULL;
	pccrd_parser_free(w->parser);
	discovery_batch_free(w->batch);
	buf_done(&w->out);
	free(w);
	return NULL;
}

static struct work *
work_new(void)
{
	struct work *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	buf_init(&w->out, PCCRD_SEND_MAX);
	w->parser = pccrd_parser_new();
	w->batch = discovery_batch_new();
	return w->parser != NULL && w->batch != NULL ? w : work_free(w);
}

static void
close_all(struct discovery *d)
{
	struct port *port;

	loop_alarm_stop(&d->retry);
	while ((port = LIST_FIRST(&d->ports)) != NULL)
		port_free(port);
	d->receivers[0] = d->receivers[1] = NULL;
	d->error = 0;
	d->work = work_free(d->work);
}

int
discovery_start(
	struct discovery *d, uint16_t retrieval_port, int given4, int given6)
{
	AUTO_FD int fd4 = given4;
	AUTO_FD int fd6 = given6;
	int r = 0;

	d->retrieval_port = retrieval_port;
	if (d->work != NULL)
		return 0;
	d->work = work_new();
	if (d->work == NULL)
		return err_new(-ENOMEM);
	if (d->instance == 0)
		d->state_error = choose_instance(d);
	if (fd4 >= 0)
		r = open_receiver(d, AF_INET, TAKE_FD(fd4));
	if (r == 0 && fd6 >= 0)
		r = open_receiver(d, AF_INET6, TAKE_FD(fd6));
	if (r == 0)
		settle(d);
	else
		close_all(d);
	return err_pass(r);
}

void
discovery_stop(struct discovery *d)
{
	if (d->work != NULL)
		close_all(d);
}

bool
discovery_running(const struct discovery *d)
{
	return d->work != NULL;
}

struct discovery *
discovery_new(struct loop *loop, struct service *service, struct netif *netif,
	const struct discovery_settings *settings)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->loop = loop;
	d->service = service;
	d->netif = netif;
	LIST_INIT(&d->ports);
	loop_alarm_init(&d->retry, loop, on_retry);
	d->state_folder = settings->state_folder;
	if (make_uuid(d->endpoint) != 0)
		return discovery_free(d);
	return d;
}

struct discovery *
discovery_free(struct discovery *d)
{
	if (d == NULL)
		return NULL;
	discovery_stop(d);
	free(d);
	return NULL;
}

void
discovery_set_filter(struct discovery *d,
	bool (*allow)(void *ctx, const struct sockaddr *), void *ctx)
{
	d->allow = allow;
	d->allow_ctx = ctx;
}

/* Datagrams out. */

static void
count_sent(struct discovery *d, int r)
{
	if (r == 0)
		d->counters.sent++;
	else
		d->counters.send_errors++;
}

void
discovery_probe(struct discovery *d, const struct env_probe *p)
{
	struct port *port;
	struct buf *out;

	if (d->work == NULL)
		return;
	out = &d->work->out;
	buf_reset(out);
	if (pccrd_build_probe(out, p->uuid, p->version, p->ids, p->n_ids) !=
		0) {
		d->counters.dropped++;
		return;
	}
	LIST_FOREACH (port, &d->ports, link)
		if (port->interface != 0)
			count_sent(d,
				discovery_socket_ask(port->fd, port->family,
					port->interface, out));
}

static int
build_answer(struct discovery *d, const struct env_match *m,
	const struct parse_addr *addrs, size_t n)
{
	struct pccrd_answer a = {
		.relates_to = m->relates_to,
		.instance = d->instance,
		.number = d->number + 1,
		.version = m->version,
		.n_ids = m->n_ids,
		.ids = m->ids,
		.held = m->held,
		.n_addrs = n,
		.addrs = addrs,
	};
	int r;

	memcpy(a.endpoint, d->endpoint, sizeof(a.endpoint));
	r = make_uuid(a.message);
	if (r != 0)
		return err_pass(r);
	buf_reset(&d->work->out);
	return err_pass(pccrd_build_answer(&d->work->out, &a));
}

/* From an address in the subnet of whoever asked; which one of IPv6 the kernel
 * knows better, by the scope of his. */
void
discovery_match(struct discovery *d, const struct env_match *m)
{
	const struct netif_row *row = netif_find(d->netif, m->interface);
	sa_family_t family = m->to.ss.ss_family;
	struct parse_addr addrs[PCCRD_ADDRS_MAX];
	struct port *port = d->receivers[index_of(family)];
	size_t n = 0;

	if (d->work == NULL)
		return;
	if (row != NULL && row->enabled && d->retrieval_port != 0)
		n = discovery_addrs_own(row, &m->to, d->retrieval_port, addrs);
	if (n == 0 || port == NULL || build_answer(d, m, addrs, n) != 0) {
		d->counters.dropped++;
		return;
	}
	d->number++;
	count_sent(d,
		discovery_socket_answer(port->fd, &m->to, m->interface,
			family == AF_INET ? &addrs[0] : NULL, &d->work->out));
}

void
discovery_view(const struct discovery *d, struct discovery_view *ret)
{
	const struct port *port;

	*ret = (struct discovery_view){
		.running = d->work != NULL,
		.hears_4 = d->receivers[0] != NULL,
		.hears_6 = d->receivers[1] != NULL,
		.error = d->error,
		.state_error = d->state_error,
		.instance = d->instance,
		.counters = d->counters,
	};
	LIST_FOREACH (port, &d->ports, link)
		if (port->interface != 0 && port->family == AF_INET)
			ret->asks_4++;
		else if (port->interface != 0)
			ret->asks_6++;
}

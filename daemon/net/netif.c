/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows always come from a whole dump of links and addresses, taken through
 * a socket of its own that is closed again.  The notifications of the kernel
 * are never read for what they say: any of them, or that some were lost
 * (ENOBUFS), means another dump, soon, but not more often than every GAP_MS.
 * So nothing can be missed or applied in the wrong order, and a host on which
 * containers come and go all the time costs ten dumps a second.
 *
 * A dump takes place at once: the kernel makes the answer while it is read.
 *
 * Where the socket for notifications cannot be had, there is a dump every
 * POLL_MS instead; likewise after a dump that failed, and the rows stay as they
 * were.
 */
#include "daemon/net/netif.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"
#include "common/rd.h"
#include "daemon/net/loop.h"

#define GAP_MS       100
#define POLL_MS      2000
#define DUMP_TRIES   3
#define RECEIVE_SIZE 32768 /* the kernel never makes more at a time */
#define DRAIN_MAX    64
#define ROWS_STEP    16

struct table {
	size_t n;
	size_t room;
	struct netif_row *rows;
};

struct netif {
	struct loop *loop;
	void (*changed)(void *ctx);
	void *ctx;
	bool all;
	size_t n_names;
	char (*names)[IF_NAMESIZE];
	struct table table;
	int fd; /* notifications */
	struct loop_watch *watch;
	struct loop_alarm again;
	bool pending; /* again is on its way, and not for polling */
	uint64_t dumped_ms;
	int error;
};

struct attr {
	unsigned type;
	struct rd body;
};

/* Rows. */

static int
compare_rows(const void *a, const void *b)
{
	const struct netif_row *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int
compare_index(const void *key, const void *b)
{
	const struct netif_row *row = b;
	unsigned index = *(const unsigned *)key;

	return index < row->index ? -1 : index > row->index;
}

/* Once the rows are in order. */
static struct netif_row *
table_find(const struct table *t, unsigned index)
{
	return t->n == 0 ? NULL
			 : bsearch(&index, t->rows, t->n, sizeof(*t->rows),
				   compare_index);
}

static int
table_add(struct table *t, const struct netif_row *row)
{
	struct netif_row *rows;

	if (t->n == NETIF_ROWS_MAX)
		return 0;
	if (t->n == t->room) {
		rows = realloc(t->rows, (t->room + ROWS_STEP) * sizeof(*rows));
		if (rows == NULL)
			return err_new(-ENOMEM);
		t->rows = rows;
		t->room += ROWS_STEP;
	}
	t->rows[t->n++] = *row;
	return 0;
}

static void
table_done(struct table *t)
{
	free(t->rows);
	*t = (struct table){0};
}

static bool
same_table(const struct table *a, const struct table *b)
{
	return a->n == b->n &&
		(a->n == 0 ||
			memcmp(a->rows, b->rows, a->n * sizeof(*a->rows)) == 0);
}

/* What the kernel says. */

/* rd is moved behind the padding. */
static bool
next_attr(struct rd *r, struct attr *ret)
{
	struct rtattr head;
	size_t n, pad;

	if (rd_left(r) < sizeof(head))
		return false;
	rd_copy(r, &head, sizeof(head));
	if (head.rta_len < sizeof(head) ||
		head.rta_len - sizeof(head) > rd_left(r))
		return false;
	n = head.rta_len - sizeof(head);
	ret->type = head.rta_type & NLA_TYPE_MASK;
	rd_init(&ret->body, rd_bytes(r, n), n);
	pad = MIN_OF(RTA_ALIGN(head.rta_len) - head.rta_len, rd_left(r));
	(void)rd_bytes(r, pad);
	return true;
}

static uint32_t
attr_u32(const struct attr *a)
{
	struct rd r = a->body;
	uint32_t v = 0;

	rd_copy(&r, &v, sizeof(v));
	return v;
}

static void
attr_name(const struct attr *a, char *dst, size_t size)
{
	size_t n = strnlen((const char *)a->body.pos, rd_left(&a->body));

	n = MIN_OF(n, size - 1);
	memcpy(dst, a->body.pos, n);
	dst[n] = '\0';
}

/* Belongs to a device that takes all packets.  One of a VRF has its own. */
static bool
is_port(const struct attr *info)
{
	struct rd r = info->body;
	char kind[16] = "";
	struct attr a;

	while (next_attr(&r, &a))
		if (a.type == IFLA_INFO_SLAVE_KIND)
			attr_name(&a, kind, sizeof(kind));
	return kind[0] != '\0' && strcmp(kind, "vrf") != 0;
}

static int
take_link(struct table *t, struct rd *r)
{
	struct netif_row row;
	struct ifinfomsg m;
	struct attr a;

	rd_copy(r, &m, sizeof(m));
	if (!rd_ok(r) || m.ifi_index <= 0)
		return 0;
	/* Rows are compared as bytes. */
	memset(&row, 0, sizeof(row));
	row.index = (unsigned)m.ifi_index;
	row.up = (m.ifi_flags & IFF_UP) != 0;
	row.multicast = (m.ifi_flags & IFF_MULTICAST) != 0;
	row.loopback = (m.ifi_flags & IFF_LOOPBACK) != 0;
	while (next_attr(r, &a))
		if (a.type == IFLA_IFNAME)
			attr_name(&a, row.name, sizeof(row.name));
		else if (a.type == IFLA_LINKINFO)
			row.port = is_port(&a);
	return err_pass(table_add(t, &row));
}

static size_t
size_of_family(sa_family_t family)
{
	return family == AF_INET ? 4 : 16;
}

static void
copy_attr(uint8_t *dst, size_t size, const struct attr *a)
{
	if (rd_left(&a->body) == size)
		memcpy(dst, a->body.pos, size);
}

static int
take_address(struct table *t, struct rd *r)
{
	struct netif_addr *dst;
	struct netif_row *row;
	struct ifaddrmsg m;
	uint32_t flags;
	struct attr a;
	bool local = false;

	rd_copy(r, &m, sizeof(m));
	if (!rd_ok(r) || (m.ifa_family != AF_INET && m.ifa_family != AF_INET6))
		return 0;
	row = table_find(t, m.ifa_index);
	if (row == NULL || row->n_addrs == NETIF_ADDRS_MAX ||
		m.ifa_prefixlen > size_of_family(m.ifa_family) * 8)
		return 0;
	dst = &row->addrs[row->n_addrs++];
	dst->family = m.ifa_family;
	dst->prefix_len = m.ifa_prefixlen;
	flags = m.ifa_flags;
	while (next_attr(r, &a))
		if (a.type == IFA_LOCAL) {
			copy_attr(dst->own, size_of_family(dst->family), &a);
			local = true;
		} else if (a.type == IFA_ADDRESS) {
			copy_attr(dst->net, size_of_family(dst->family), &a);
		} else if (a.type == IFA_FLAGS) {
			flags = attr_u32(&a);
		}
	if (!local)
		memcpy(dst->own, dst->net, sizeof(dst->own));
	dst->usable = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0 ||
		(flags & IFA_F_OPTIMISTIC) != 0;
	/* The bit of "temporary" is that of "secondary" with IPv4. */
	dst->passing = (flags & IFA_F_DEPRECATED) != 0 ||
		(dst->family == AF_INET6 && (flags & IFA_F_TEMPORARY) != 0);
	return 0;
}

/* A dump. */

struct dump {
	int fd;
	uint32_t seq;
	struct table *table;
	uint8_t *buffer;
	bool torn; /* things changed meanwhile: again */
};

static int
dump_open(struct dump *d)
{
	/* Never needed; but nothing may hold the loop. */
	struct timeval limit = {.tv_sec = 1};

	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (d->fd < 0)
		return err_new(-errno);
	(void)setsockopt(d->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return 0;
}

static int
dump_ask(struct dump *d, uint16_t type)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link; /* struct ifaddrmsg is its beginning */
		struct rtattr attr;
		uint32_t mask;
	} m = {
		.head.nlmsg_len = sizeof(m),
		.head.nlmsg_type = type,
		.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.head.nlmsg_seq = ++d->seq,
		.attr.rta_len = RTA_LENGTH(sizeof(m.mask)),
		.attr.rta_type = IFLA_EXT_MASK,
		.mask = RTEXT_FILTER_SKIP_STATS,
	};

	if (type == RTM_GETADDR)
		m.head.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg));
	return send(d->fd, &m, m.head.nlmsg_len, 0) < 0 ? err_new(-errno) : 0;
}

static int
refusal_of(struct rd *r)
{
	struct nlmsgerr e;

	rd_copy(r, &e, sizeof(e.error));
	return rd_ok(r) && e.error < 0 ? err_new(e.error) : err_new(-EPROTO);
}

/* > 0: the end. */
static int
dump_message(struct dump *d, const struct nlmsghdr *head, struct rd *body)
{
	if (head->nlmsg_seq != d->seq)
		return 0;
	if (head->nlmsg_flags & NLM_F_DUMP_INTR)
		d->torn = true;
	switch (head->nlmsg_type) {
	case NLMSG_DONE:
		return 1;
	case NLMSG_ERROR:
		return refusal_of(body);
	case RTM_NEWLINK:
		return take_link(d->table, body);
	case RTM_NEWADDR:
		return take_address(d->table, body);
	default:
		return 0;
	}
}

static int
dump_datagram(struct dump *d, size_t len)
{
	struct nlmsghdr head;
	struct rd r, body;
	size_t n;
	int result = 0;

	rd_init(&r, d->buffer, len);
	while (result == 0 && rd_left(&r) >= sizeof(head)) {
		rd_copy(&r, &head, sizeof(head));
		if (head.nlmsg_len < sizeof(head) ||
			head.nlmsg_len - sizeof(head) > rd_left(&r))
			return err_new(-EPROTO);
		n = head.nlmsg_len - sizeof(head);
		rd_init(&body, rd_bytes(&r, n), n);
		n = NLMSG_ALIGN(head.nlmsg_len) - head.nlmsg_len;
		(void)rd_bytes(&r, MIN_OF(n, rd_left(&r)));
		result = dump_message(d, &head, &body);
	}
	return result;
}

static int
dump_read(struct dump *d)
{
	struct sockaddr_nl from = {0};
	socklen_t from_len;
	ssize_t n;
	int r = 0;

	while (r == 0) {
		from_len = sizeof(from);
		n = recvfrom(d->fd, d->buffer, RECEIVE_SIZE, MSG_TRUNC,
			(struct sockaddr *)&from, &from_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		if (n > RECEIVE_SIZE)
			return err_new(-EMSGSIZE);
		/* Of the kernel, not of another process. */
		if (from.nl_pid == 0)
			r = dump_datagram(d, (size_t)n);
	}
	return r > 0 ? 0 : err_pass(r);
}

static int
dump_once(struct dump *d)
{
	int r;

	d->torn = false;
	r = dump_ask(d, RTM_GETLINK);
	if (r == 0)
		r = dump_read(d);
	if (r != 0)
		return err_pass(r);
	if (d->table->n > 0)
		qsort(d->table->rows, d->table->n, sizeof(*d->table->rows),
			compare_rows);
	r = dump_ask(d, RTM_GETADDR);
	if (r == 0)
		r = dump_read(d);
	if (r == 0 && d->torn)
		r = err_new(-EAGAIN);
	return err_pass(r);
}

/* Everything there is, into an empty table. */
static int
dump(struct table *ret)
{
	AUTO_FREE uint8_t *buffer = malloc(RECEIVE_SIZE);
	struct dump d = {.fd = -1, .table = ret, .buffer = buffer};
	int r = -EAGAIN;

	if (buffer == NULL)
		return err_new(-ENOMEM);
	for (int i = 0; r == -EAGAIN && i < DUMP_TRIES; i++) {
		table_done(ret);
		r = dump_open(&d);
		if (r == 0)
			r = dump_once(&d);
		cleanup_fd(&d.fd);
	}
	return err_pass(r);
}

/* The host's own. */

static bool
is_named(const struct netif *n, const struct netif_row *row)
{
	for (size_t i = 0; i < n->n_names; i++)
		if (strcmp(n->names[i], row->name) == 0)
			return true;
	return false;
}

static void
choose(const struct netif *n, struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->rows[i].enabled =
			(n->all && !t->rows[i].loopback && !t->rows[i].port) ||
			is_named(n, &t->rows[i]);
}

static void watch_open(struct netif *);

/* Whether something is different now. */
static bool
refresh(struct netif *n)
{
	struct table fresh = {0};
	bool different = false;

	if (n->watch == NULL)
		watch_open(n);
	n->error = dump(&fresh);
	n->dumped_ms = loop_now_ms();
	if (n->error == 0) {
		choose(n, &fresh);
		different = !same_table(&fresh, &n->table);
	}
	if (different) {
		table_done(&n->table);
		n->table = fresh;
	} else {
		table_done(&fresh);
	}
	if (n->error != 0 || n->watch == NULL)
		loop_alarm_start(&n->again, POLL_MS);
	return different;
}

static void
on_again(struct loop_alarm *a)
{
	struct netif *n = container_of(a, struct netif, again);

	n->pending = false;
	if (refresh(n))
		n->changed(n->ctx);
}

static void
refresh_soon(struct netif *n)
{
	uint64_t now = loop_now_ms(), due = n->dumped_ms + GAP_MS;

	if (n->pending)
		return;
	n->pending = true;
	loop_alarm_start(&n->again, due > now ? due - now : 0);
}

static void
on_watch(void *ctx)
{
	struct netif *n = ctx;
	uint8_t byte;

	for (int i = 0; i < DRAIN_MAX; i++)
		if (recv(n->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
			break;
	refresh_soon(n);
}

/* Without it the alarm does the work. */
static void
watch_open(struct netif *n)
{
	struct sockaddr_nl me = {
		.nl_family = AF_NETLINK,
		.nl_groups =
			RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	AUTO_FD int fd = socket(AF_NETLINK,
		SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) != 0)
		return;
	n->watch = loop_watch_new(n->loop, fd, on_watch, n);
	if (n->watch != NULL)
		n->fd = TAKE_FD(fd);
}

static int
take_settings(struct netif *n, const struct netif_settings *s)
{
	char(*names)[IF_NAMESIZE] = NULL;

	if (s->n > 0) {
		names = calloc(s->n, sizeof(*names));
		if (names == NULL)
			return err_new(-ENOMEM);
		memcpy(names, s->names, s->n * sizeof(*names));
	}
	free(n->names);
	n->names = names;
	n->n_names = s->n;
	n->all = s->all;
	return 0;
}

int
netif_new(struct netif **ret, struct loop *loop,
	const struct netif_settings *settings, void (*changed)(void *ctx),
	void *ctx)
{
	struct netif *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL)
		return err_new(-ENOMEM);
	n->loop = loop;
	n->changed = changed;
	n->ctx = ctx;
	n->fd = -1;
	loop_alarm_init(&n->again, loop, on_again);
	r = take_settings(n, settings);
	if (r != 0) {
		netif_free(n);
		return err_pass(r);
	}
	(void)refresh(n);
	*ret = n;
	return 0;
}

struct netif *
netif_free(struct netif *n)
{
	if (n == NULL)
		return NULL;
	loop_alarm_stop(&n->again);
	n->watch = loop_watch_free(n->watch);
	cleanup_fd(&n->fd);
	table_done(&n->table);
	free(n->names);
	free(n);
	return NULL;
}

int
netif_configure(struct netif *n, const struct netif_settings *settings)
{
	bool different = false, *was;
	int r;

	was = calloc(n->table.n + 1, sizeof(*was));
	if (was == NULL)
		return err_new(-ENOMEM);
	for (size_t i = 0; i < n->table.n; i++)
		was[i] = n->table.rows[i].enabled;
	r = take_settings(n, settings);
	if (r == 0)
		choose(n, &n->table);
	for (size_t i = 0; i < n->table.n; i++)
		different |= was[i] != n->table.rows[i].enabled;
	free(was);
	if (different)
		n->changed(n->ctx);
	return err_pass(r);
}

int
netif_error(const struct netif *n)
{
	return n->error;
}

void
netif_each(const struct netif *n,
	void (*fn)(const struct netif_row *, void *ctx), void *ctx)
{
	for (size_t i = 0; i < n->table.n; i++)
		fn(&n->table.rows[i], ctx);
}

const struct netif_row *
netif_find(const struct netif *n, unsigned index)
{
	return table_find(&n->table, index);
}

const struct netif_row *
netif_owner(const struct netif *n, const struct sockaddr *sa)
{
	for (size_t i = 0; i < n->table.n; i++)
		if (netif_row_owns(&n->table.rows[i], sa))
			return &n->table.rows[i];
	return NULL;
}

/* Loopback even if the kernel told nothing. */
bool
netif_is_near(const struct netif *n, const struct sockaddr *sa)
{
	if (netif_is_loopback(sa))
		return true;
	for (size_t i = 0; i < n->table.n; i++)
		if (netif_row_near(&n->table.rows[i], sa))
			return true;
	return false;
}

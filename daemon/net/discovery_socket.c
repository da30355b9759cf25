/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Membership of a group belongs to the host, not to a socket: with
 * IP_MULTICAST_ALL (the default) a socket that is bound to the port hears what
 * any socket has joined.  So each interface has a sender that holds its
 * membership and never gets to see a Probe, and the limit for one socket
 * (igmp_max_memberships, 20) is never reached.  The price: the receiver hears
 * what other programs have joined on interfaces that are none of ours.
 *
 * The buffers of a batch are large enough for any datagram, one byte more tells
 * what is too long.  Only pages that a datagram reaches become real memory.
 */
#include "daemon/net/discovery_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/pccrd.h"
#include "common/err.h"
#include "common/macros.h"

#define SLOT_SIZE      (PCCRD_RECEIVE_MAX + 1)
#define RECEIVE_BUFFER (1024 * 1024)

struct slot {
	struct sockaddr_storage from;
	struct iovec iov;
	_Alignas(struct cmsghdr) uint8_t control[128];
	uint8_t data[SLOT_SIZE];
};

struct discovery_batch {
	struct mmsghdr headers[DISCOVERY_BATCH];
	struct slot slots[DISCOVERY_BATCH];
};

static int
set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) != 0)
		return err_new(-errno);
	return 0;
}

/* Every one must have its interface told; the rest is a wish. */
static int
set_common(int fd, sa_family_t family)
{
	(void)set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	(void)set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (family == AF_INET)
		return err_pass(set(fd, IPPROTO_IP, IP_PKTINFO, 1));
	return err_pass(set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
}

static socklen_t
any_address(struct sockaddr_storage *ret, sa_family_t family, uint16_t port)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(port)};

	if (family == AF_INET) {
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

static int
bind_any(int fd, sa_family_t family, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = any_address(&ss, family, port);

	if (bind(fd, (struct sockaddr *)&ss, len) != 0)
		return err_new(-errno);
	return 0;
}

/* The families must not share a socket: the other one would find the port
 * taken. */
static int
socket_of(sa_family_t family)
{
	AUTO_FD int fd = socket(
		family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	int r;

	if (fd < 0)
		return err_new(-errno);
	if (family == AF_INET6) {
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (r != 0)
			return err_pass(r);
	}
	r = set_common(fd, family);
	return r != 0 ? err_pass(r) : TAKE_FD(fd);
}

uint16_t
discovery_port_of(const struct parse_addr *a)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		return ntohs(in.sin_port);
	}
	if (a->ss.ss_family != AF_INET6)
		return 0;
	memcpy(&in6, &a->ss, sizeof(in6));
	return ntohs(in6.sin6_port);
}

static int
option_of(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, level, option, &value, &len) == 0 ? value : -1;
}

/* What somebody else made must be what we would have made. */
static int
check_given(int fd, sa_family_t family)
{
	struct parse_addr a = {.len = sizeof(a.ss)};

	if (option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_DGRAM ||
		getsockname(fd, (struct sockaddr *)&a.ss, &a.len) != 0 ||
		a.ss.ss_family != family || discovery_port_of(&a) != PCCRD_PORT)
		return err_new(-EINVAL);
	if (family == AF_INET6 && option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 1)
		return err_new(-EINVAL);
	return 0;
}

static int
use_given(int given, sa_family_t family)
{
	AUTO_FD int fd = given;
	int r, flags;

	r = check_given(fd, family);
	if (r != 0)
		return err_pass(r);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_new(-errno);
	r = set_common(fd, family);
	return r != 0 ? err_pass(r) : TAKE_FD(fd);
}

static int
make_receiver(sa_family_t family)
{
	AUTO_FD int fd = socket_of(family);
	int r;

	if (fd < 0)
		return err_pass(fd);
	r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0)
		r = bind_any(fd, family, PCCRD_PORT);
	return r != 0 ? err_pass(r) : TAKE_FD(fd);
}

int
discovery_socket_receiver(sa_family_t family, int given)
{
	int fd = given >= 0 ? use_given(given, family) : make_receiver(family);

	if (fd < 0)
		return err_pass(fd);
	if (family == AF_INET)
		(void)set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 1);
	else
		(void)set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 1);
	return fd;
}

/* Loop: other programs on this host are in the branch, too. */
static int
join_4(int fd, unsigned interface)
{
	struct ip_mreqn m = {.imr_ifindex = (int)interface};
	int r;

	if (inet_pton(AF_INET, PCCRD_GROUP_4, &m.imr_multiaddr) != 1 ||
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m)) != 0)
		return err_new(-errno);
	r = set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1);
	if (r == 0)
		r = set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
	if (r == 0 &&
		setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)) !=
			0)
		r = err_new(-errno);
	return err_pass(r);
}

static int
join_6(int fd, unsigned interface)
{
	struct ipv6_mreq m = {.ipv6mr_interface = interface};
	int r;

	if (inet_pton(AF_INET6, PCCRD_GROUP_6, &m.ipv6mr_multiaddr) != 1)
		return err_new(-EINVAL);
	r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface);
	if (r == 0)
		r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
	if (r == 0)
		r = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
	if (r == 0 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m,
			sizeof(m)) != 0)
		r = err_new(-errno);
	return err_pass(r);
}

int
discovery_socket_sender(
	sa_family_t family, unsigned interface, const struct parse_addr *source)
{
	AUTO_FD int fd = socket_of(family);
	int r;

	if (fd < 0)
		return err_pass(fd);
	r = family == AF_INET ? join_4(fd, interface) : join_6(fd, interface);
	if (r != 0)
		return err_pass(r);
	if (source == NULL)
		r = bind_any(fd, family, 0);
	else if (bind(fd, (const struct sockaddr *)&source->ss, source->len) !=
		0)
		r = err_new(-errno);
	return r != 0 ? err_pass(r) : TAKE_FD(fd);
}

int
discovery_socket_ask(int fd, sa_family_t family, unsigned interface,
	const struct buf *message)
{
	struct sockaddr_storage to;
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	socklen_t len = any_address(&to, family, PCCRD_PORT);

	if (family == AF_INET) {
		memcpy(&in, &to, sizeof(in));
		(void)inet_pton(AF_INET, PCCRD_GROUP_4, &in.sin_addr);
		memcpy(&to, &in, sizeof(in));
	} else {
		memcpy(&in6, &to, sizeof(in6));
		(void)inet_pton(AF_INET6, PCCRD_GROUP_6, &in6.sin6_addr);
		in6.sin6_scope_id = interface;
		memcpy(&to, &in6, sizeof(in6));
	}
	if (sendto(fd, message->data, message->len, MSG_DONTWAIT,
		    (struct sockaddr *)&to, len) < 0)
		return err_new(-errno);
	return 0;
}

static void
add_control(struct msghdr *m, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c;

	m->msg_controllen = CMSG_SPACE(len);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
}

static void
add_way(struct msghdr *m, sa_family_t family, unsigned interface,
	const struct parse_addr *source)
{
	struct in6_pktinfo six = {.ipi6_ifindex = interface};
	struct in_pktinfo four = {.ipi_ifindex = (int)interface};
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (family == AF_INET) {
		if (source != NULL) {
			memcpy(&in, &source->ss, sizeof(in));
			four.ipi_spec_dst = in.sin_addr;
		}
		add_control(m, IPPROTO_IP, IP_PKTINFO, &four, sizeof(four));
		return;
	}
	if (source != NULL) {
		memcpy(&in6, &source->ss, sizeof(in6));
		six.ipi6_addr = in6.sin6_addr;
	}
	add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &six, sizeof(six));
}

int
discovery_socket_answer(int fd, const struct parse_addr *to, unsigned interface,
	const struct parse_addr *source, const struct buf *message)
{
	_Alignas(struct cmsghdr) uint8_t control[64] = {0};
	struct parse_addr name = *to;
	struct iovec iov = {message->data, message->len};
	struct msghdr m = {
		.msg_name = &name.ss,
		.msg_namelen = name.len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
	};

	add_way(&m, to->ss.ss_family, interface, source);
	return sendmsg(fd, &m, MSG_DONTWAIT) < 0 ? err_new(-errno) : 0;
}

struct discovery_batch *
discovery_batch_new(void)
{
	return malloc(sizeof(struct discovery_batch));
}

struct discovery_batch *
discovery_batch_free(struct discovery_batch *b)
{
	free(b);
	return NULL;
}

static void
slot_prepare(struct slot *s, struct msghdr *m)
{
	s->iov = (struct iovec){s->data, sizeof(s->data)};
	*m = (struct msghdr){
		.msg_name = &s->from,
		.msg_namelen = sizeof(s->from),
		.msg_iov = &s->iov,
		.msg_iovlen = 1,
		.msg_control = s->control,
		.msg_controllen = sizeof(s->control),
	};
}

int
discovery_batch_receive(struct discovery_batch *b, int fd, unsigned max)
{
	int n;

	max = MIN_OF(max, DISCOVERY_BATCH);
	for (unsigned i = 0; i < max; i++)
		slot_prepare(&b->slots[i], &b->headers[i].msg_hdr);
	n = recvmmsg(fd, b->headers, max, MSG_DONTWAIT, NULL);
	return n < 0 ? err_new(-errno) : n;
}

static void
read_control(const struct cmsghdr *c, struct discovery_datagram *ret)
{
	struct in6_pktinfo six;
	struct in_pktinfo four;

	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
		c->cmsg_len >= CMSG_LEN(sizeof(four))) {
		memcpy(&four, CMSG_DATA(c), sizeof(four));
		ret->interface = (unsigned)four.ipi_ifindex;
	} else if (c->cmsg_level == IPPROTO_IPV6 &&
		c->cmsg_type == IPV6_PKTINFO &&
		c->cmsg_len >= CMSG_LEN(sizeof(six))) {
		memcpy(&six, CMSG_DATA(c), sizeof(six));
		ret->interface = (unsigned)six.ipi6_ifindex;
	} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL &&
		c->cmsg_len >= CMSG_LEN(sizeof(ret->lost))) {
		memcpy(&ret->lost, CMSG_DATA(c), sizeof(ret->lost));
	}
}

void
discovery_batch_get(const struct discovery_batch *b, unsigned i,
	struct discovery_datagram *ret)
{
	const struct mmsghdr *h = &b->headers[i];
	struct msghdr m = h->msg_hdr;

	*ret = (struct discovery_datagram){
		.from = {.ss = b->slots[i].from, .len = m.msg_namelen},
		.whole = !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
			h->msg_len <= PCCRD_RECEIVE_MAX,
		.data = b->slots[i].data,
		.len = MIN_OF(h->msg_len, PCCRD_RECEIVE_MAX),
	};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL;
		c = CMSG_NXTHDR(&m, c))
		read_control(c, ret);
}

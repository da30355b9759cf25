/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The datagram sockets of discovery: how they are set up, and datagrams in and
 * out.  What is said through them is discovery's business.
 */
#ifndef NET_DISCOVERY_SOCKET_H
#define NET_DISCOVERY_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/parse.h"

#define DISCOVERY_BATCH 16

/* For Probes: bound to PCCRD_PORT, which others may share.  given >= 0: a bound
 * one of somebody else's making, which is consumed; -EINVAL when it is none of
 * this family and port, or takes both families.  A descriptor, or -errno. */
int discovery_socket_receiver(sa_family_t family, int given);
/* For this host's Probes to one interface, and their answers.  It also is what
 * makes this host a member of the group there, for as long as it is open: the
 * receiver hears what the host hears.  source: its address, with the port 0;
 * NULL: what the kernel thinks right.  A descriptor, or -errno. */
int discovery_socket_sender(sa_family_t family, unsigned interface,
	const struct parse_addr *source);

/* To the group, through a sender.  -errno. */
int discovery_socket_ask(int fd, sa_family_t family, unsigned interface,
	const struct buf *message);
/* To one host, through a receiver, by this interface and with this source
 * address, or with what the kernel thinks right when that is NULL.  -errno. */
int discovery_socket_answer(int fd, const struct parse_addr *to,
	unsigned interface, const struct parse_addr *source,
	const struct buf *message);

/* 0: another family. */
uint16_t discovery_port_of(const struct parse_addr *);

struct discovery_datagram {
	struct parse_addr from;
	unsigned interface; /* by which it came; 0: unknown */
	bool whole;         /* not cut, and not longer than is taken */
	const uint8_t *data;
	size_t len;
	/* How many the kernel had to drop on this socket since it was made, as
	 * far as this one tells. */
	uint32_t lost;
};

/* Memory for DISCOVERY_BATCH datagrams.  NULL: there is none. */
struct discovery_batch;
struct discovery_batch *discovery_batch_new(void);
struct discovery_batch *discovery_batch_free(struct discovery_batch *);
/* At most max of what has arrived; how many, or -errno. */
int discovery_batch_receive(struct discovery_batch *, int fd, unsigned max);
/* One of these; data is valid until the next call. */
void discovery_batch_get(const struct discovery_batch *, unsigned i,
	struct discovery_datagram *ret);

#endif

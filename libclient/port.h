/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion ports: a queue of packets. */
#ifndef LIBCLIENT_PORT_H
#define LIBCLIENT_PORT_H

#include <pthread.h>
#include <sys/queue.h>

#include "libclient/handle.h"

/* Carries copies of the result; the OVERLAPPED is only an address. */
struct pdc_packet {
	STAILQ_ENTRY(pdc_packet) link;
	ULONG_PTR key;
	OVERLAPPED *ov;
	ULONG_PTR internal; /* as OVERLAPPED.Internal */
	DWORD bytes;
	/* Called when it was taken out or thrown away. */
	void (*done)(struct pdc_packet *);
};

struct pdc_port {
	struct pdc_object object;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	STAILQ_HEAD(, pdc_packet) packets;
	unsigned waiters;
	int fd; /* eventfd, made when first asked for; -1 */
	bool closed;
};

struct pdc_port *pdc_port_new(void);
/* Queues the packet and takes it over; on a closed port it is thrown away. */
void pdc_port_post(struct pdc_port *, struct pdc_packet *);
/* No more packets; whoever waits is woken. */
void pdc_port_close(struct pdc_port *);
/* With a reference for the caller, or NULL. */
struct pdc_port *pdc_port_get(HANDLE);
void pdc_port_unref(struct pdc_port *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Event objects: an eventfd that is readable while the event is signalled. */
#ifndef LIBCLIENT_EVENT_H
#define LIBCLIENT_EVENT_H

#include <pthread.h>

#include "libclient/handle.h"

struct pdc_event {
	struct pdc_object object;
	pthread_mutex_t lock;
	int fd;
	bool manual;
	bool signalled; /* always the same as: fd is readable */
};

/* One reference, the caller's; NULL when out of memory or descriptors. */
struct pdc_event *pdc_event_new(bool manual, bool signalled);
void pdc_event_set(struct pdc_event *);
void pdc_event_reset(struct pdc_event *);
/* With a reference for the caller, or NULL. */
struct pdc_event *pdc_event_get(HANDLE);
void pdc_event_unref(struct pdc_event *);

#endif

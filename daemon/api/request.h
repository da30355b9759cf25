/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that are answered later, by something that the loop waits for.  One
 * may outlive its client: whoever does the work still owes its end, and the
 * service is not freed before.  While it runs, PROGRESS frames tell the client
 * that somebody is at it.
 *
 * A request lies inside of what its kind needs.  Its life:
 *
 *	request_begin	counted; from now on request_end() is owed
 *	gone		perhaps: the client is no more; nothing is freed here
 *	request_end	after the answer, if there still was a client
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "daemon/api/client.h"

/* Of one client at a time. */
#define REQUESTS_MAX 4u

struct request {
	LIST_ENTRY(request) link;
	struct client *client; /* NULL: gone */
	struct service *service;
	uint64_t id;
	struct event beat;
	/* How far it is; NULL: nobody can tell. */
	void (*progress)(
		struct request *, uint64_t *ret_done, uint64_t *ret_total);
	/* The client went away: hurry.  NULL: nothing to be done. */
	void (*gone)(struct request *);
};

/* progress and gone are set before.  false: the client has too many. */
bool request_begin(struct request *, struct client *, uint64_t id);
void request_end(struct request *);
/* All requests of a client that goes. */
void request_detach_all(struct client *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/request.h"

#define BEAT_US 200000

static void
start_beat(struct request *r)
{
	event_add(&r->beat, &(struct timeval){0, BEAT_US});
}

static void
on_beat(evutil_socket_t fd, short what, void *ctx)
{
	struct request *r = ctx;
	Pd__Progress body = PD__PROGRESS__INIT;

	if (r->progress != NULL)
		r->progress(r, &body.done, &body.total);
	client_send(r->client, IPC_PROGRESS, r->id, &body.base);
	start_beat(r);
}

bool
request_begin(struct request *r, struct client *c, uint64_t id)
{
	if (c->n_requests >= REQUESTS_MAX)
		return false;
	c->n_requests++;
	r->client = c;
	r->service = c->set->service;
	r->id = id;
	LIST_INSERT_HEAD(&c->requests, r, link);
	service_hold(r->service);
	event_assign(&r->beat, c->set->base, -1, 0, on_beat, r);
	start_beat(r);
	return true;
}

static void
detach(struct request *r)
{
	if (r->client == NULL)
		return;
	event_del(&r->beat);
	LIST_REMOVE(r, link);
	r->client->n_requests--;
	r->client = NULL;
}

void
request_end(struct request *r)
{
	detach(r);
	service_release(r->service);
}

void
request_detach_all(struct client *c)
{
	struct request *r;

	while ((r = LIST_FIRST(&c->requests)) != NULL) {
		detach(r);
		if (r->gone != NULL)
			r->gone(r);
	}
}

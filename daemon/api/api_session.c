/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The greeting, the session's messages to its client, and the frames that are
 * about neither contents nor publications.
 *
 * A session that cannot be made (a quota, no memory) does not end the
 * connection: PeerDistStartup has succeeded long ago.  Each call that needs the
 * session tries again, and is answered with the reason if it still cannot be.
 * Without an area there is nothing to try: HELLO then lacks its feature bit.
 *
 * The area is one memfd in two halves.  Its memory is given back when the last
 * worker is done with it, also when the other side keeps its descriptor; what a
 * client puts there afterwards is charged to him alone.  Areas are no part of a
 * user's buffer bytes: a page of one is memory only once it is touched, and how
 * many there can be his number of connections says.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/close.h"
#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/status_map.h"

struct area_map {
	uint8_t *map;
	size_t size;
	uint32_t user;
};

static void
area_map_done(void *ctx)
{
	struct area_map *am = ctx;

	map_close_shared(am->map, am->size, am->user);
	free(am);
}

static struct area_map *
area_map_new(int fd, size_t size, uint32_t user)
{
	struct area_map *am = malloc(sizeof(*am));

	if (am == NULL)
		return NULL;
	am->size = size;
	am->user = user;
	am->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (am->map == MAP_FAILED) {
		free(am);
		return NULL;
	}
	(void)madvise(am->map, size, MADV_DONTDUMP);
	return am;
}

/* A descriptor for the client and the mapped area; -errno. */
static int
make_area(const struct client *c, struct area **ret_area)
{
	const struct client_limits *l = &c->set->limits;
	size_t size = (size_t)l->write_size + l->read_size;
	AUTO_FD int fd = fd_memfd_sealed("peerdist-area", size);
	struct area_map *am;
	struct area *area;

	if (fd < 0)
		return err_pass(fd);
	am = area_map_new(fd, size, c->identity.uid);
	if (am == NULL)
		return err_new(-ENOMEM);
	area = area_new(
		am->map, l->write_size, l->read_size, area_map_done, am);
	if (area == NULL) {
		area_map_done(am);
		return err_new(-ENOMEM);
	}
	*ret_area = area;
	return TAKE_FD(fd);
}

/* The session has its own copy, since the client may end it and stay. */
static bool
identity_copy(struct identity *dst, const struct identity *src)
{
	size_t size = src->n_gids * sizeof(src->gids[0]);

	*dst = *src;
	dst->gids = malloc(size > 0 ? size : 1);
	if (dst->gids == NULL)
		return false;
	memcpy(dst->gids, src->gids, size);
	return true;
}

static enum core_result
make_session(struct client *c)
{
	struct identity identity;
	enum core_result r;

	if (!identity_copy(&identity, &c->identity))
		return CORE_E_NO_MEMORY;
	r = session_new(&c->session, c->set->service, &identity,
		area_ref(c->area), &client_session_ops, c);
	if (r != CORE_OK) {
		area_unref(c->area);
		free(identity.gids);
	}
	return r;
}

static void
on_status(void *ctx, enum service_status status, uint32_t min_version,
	uint32_t max_version)
{
	Pd__Status body = PD__STATUS__INIT;

	body.status = status;
	body.min_content_version = min_version;
	body.max_content_version = max_version;
	client_send(ctx, IPC_STATUS, 0, &body.base);
}

/* He may have missed a change while nobody told him. */
static void
tell_status(struct client *c)
{
	struct service *svc = c->set->service;
	uint32_t min, max;

	service_content_versions(svc, &min, &max);
	on_status(c, service_status(svc), min, max);
}

bool
client_has_session(struct client *c)
{
	enum core_result r;

	if (c->session != NULL)
		return true;
	if (!c->wants_session)
		return false;
	r = make_session(c);
	c->refusal = status_map_core(r);
	if (r == CORE_OK)
		tell_status(c);
	return r == CORE_OK;
}

/* The area's descriptor, or -1 and the client's refusal. */
static int
start_session(struct client *c)
{
	int fd = make_area(c, &c->area);

	if (fd < 0) {
		c->refusal = status_map_errno(fd);
		return -1;
	}
	c->wants_session = true;
	c->refusal = status_map_core(make_session(c));
	return fd;
}

static void
send_hello(struct client *c, uint64_t id, int area_fd)
{
	struct service *svc = c->set->service;
	const struct quota_limits *limits =
		quota_get_limits(service_quota(svc));
	Pd__Hello hello = PD__HELLO__INIT;

	hello.min_version = IPC_VERSION_MIN;
	hello.max_version = IPC_VERSION_MAX;
	hello.name = (char *)"peerdistd " PEERDIST_VERSION_STRING;
	hello.max_operations =
		(uint32_t)MIN_OF(limits->max[QUOTA_OPERATIONS], UINT32_MAX);
	hello.status = service_status(svc);
	service_content_versions(
		svc, &hello.min_content_version, &hello.max_content_version);
	if (area_fd >= 0) {
		hello.features = IPC_FEATURE_AREA;
		hello.write_size = c->set->limits.write_size;
		hello.read_size = c->set->limits.read_size;
	}
	if (ipc_chan_queue(c->chan, IPC_HELLO, id, &hello.base, &area_fd,
		    area_fd >= 0 ? 1 : 0) < 0)
		client_drop(c);
}

void
client_greet(struct client *c, const struct ipc_msg *m)
{
	const Pd__Hello *h = m->u.hello;
	AUTO_FD int fd = -1;

	if (h->min_version > IPC_VERSION_MAX ||
		h->max_version < IPC_VERSION_MIN) {
		client_reply(
			c, m->header.id, PEERDIST_ERROR_VERSION_UNSUPPORTED);
		if (c->state != CLIENT_GONE)
			c->state = CLIENT_LEAVING;
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", h->name);
	c->state = CLIENT_READY;
	c->refusal = ERROR_INVALID_HANDLE;
	if ((h->features & IPC_FEATURE_AREA) != 0)
		fd = start_session(c);
	send_hello(c, m->header.id, fd);
}

/* What a session tells its client. */

/* Bytes that do not fit into the promise go through the read half. */
static bool
move_to_area(struct client *c, Pd__Complete *body, Pd__Range *range)
{
	uint32_t len = (uint32_t)body->inline_data.len;

	if (!area_read_alloc(c->area, len, &range->offset))
		return false;
	range->length = len;
	memcpy(area_read_at(c->area, range->offset), body->inline_data.data,
		len);
	area_read_sent(c->area, range->offset, len);
	body->range = range;
	body->inline_data.len = 0;
	return true;
}

static void
send_complete(
	struct client *c, uint64_t op, Pd__Complete *body, Pd__Range *range)
{
	if (body->inline_data.len <= IPC_INLINE_MAX &&
		ipc_chan_queue_reserved(c->chan, op, body) == 0)
		return;
	if (!move_to_area(c, body, range)) {
		pd__complete__init(body);
		body->code = ERROR_NOT_ENOUGH_MEMORY;
	}
	if (ipc_chan_queue_reserved(c->chan, op, body) < 0)
		client_drop(c);
}

static void
on_complete(void *ctx, uint64_t op, const struct op_result *result)
{
	struct client *c = ctx;
	Pd__Complete body = PD__COMPLETE__INIT;
	Pd__Range range = PD__RANGE__INIT;

	body.code = status_map_core(result->status);
	body.bytes = result->bytes;
	body.offset = result->offset;
	body.has_offset = result->has_offset;
	if (result->range_len > 0) {
		range.offset = result->range_offset;
		range.length = result->range_len;
		body.range = &range;
	} else if (result->inline_len > 0) {
		body.inline_data.data = (uint8_t *)result->inline_data;
		body.inline_data.len = result->inline_len;
	}
	send_complete(c, op, &body, &range);
	client_touch(c);
}

static bool
on_accept(void *ctx, uint64_t op)
{
	struct client *c = ctx;
	Pd__Reply reply = PD__REPLY__INIT;

	if (ipc_chan_reserve(c->chan, 1) < 0)
		return false;
	if (ipc_chan_queue(c->chan, IPC_ACK, op, &reply.base, NULL, 0) < 0) {
		ipc_chan_unreserve(c->chan, 1);
		return false;
	}
	client_touch(c);
	return true;
}

static void
on_need(void *ctx, uint64_t op, uint32_t len)
{
	Pd__Need body = PD__NEED__INIT;

	body.length = len;
	client_send(ctx, IPC_NEED, op, &body.base);
}

static void
on_released(void *ctx, uint64_t op, uint32_t offset, uint32_t len)
{
	Pd__Range body = PD__RANGE__INIT;

	body.offset = offset;
	body.length = len;
	client_send(ctx, IPC_RELEASED, op, &body.base);
}

static void
on_reply(void *ctx, uint64_t request, enum core_result result, uint64_t handle)
{
	Pd__Reply reply = PD__REPLY__INIT;

	reply.code = status_map_core(result);
	reply.handle = handle;
	client_send(ctx, IPC_REPLY, request, &reply.base);
}

static void
on_progress(void *ctx, uint64_t op, uint64_t done, uint64_t total)
{
	Pd__Progress body = PD__PROGRESS__INIT;

	body.done = done;
	body.total = total;
	body.operation = true;
	client_send(ctx, IPC_PROGRESS, op, &body.base);
}

const struct session_ops client_session_ops = {
	.complete = on_complete,
	.accept = on_accept,
	.need = on_need,
	.released = on_released,
	.status = on_status,
	.reply = on_reply,
	.progress = on_progress,
};

/* Frames. */

struct session_slice
api_slice(const Pd__Slice *s)
{
	return (struct session_slice){
		.inline_data =
			s->inline_data.len > 0 ? s->inline_data.data : NULL,
		.offset = s->offset,
		.len = s->length,
	};
}

enum core_result
api_status_get(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	uint32_t min, max;

	service_content_versions(c->set->service, &min, &max);
	reply->value = service_status(c->set->service);
	reply->handle = (uint64_t)max << 32 | min;
	return CORE_OK;
}

/* The completions of what was pending are queued before the answer. */
enum core_result
api_session_end(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	c->session = session_free(c->session, true);
	c->wants_session = false;
	c->refusal = ERROR_INVALID_HANDLE;
	return CORE_OK;
}

enum core_result
api_feed(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	struct session_slice slice = api_slice(m->u.slice);

	return session_feed(c->session, m->header.id, &slice);
}

enum core_result
api_return(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__Range *range = m->u.range;

	return session_return(c->session, range->offset, range->length);
}

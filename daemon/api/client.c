/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass of a client
 *
 * When its socket is readable, a client reads, handles whole frames until none
 * is left or it has had its share (frames_per_pass), and sends all answers with
 * one write.  What is left over after a full share comes with the next turn of
 * the loop, when the others have been looked at too.
 *
 * The loop tells each arrival once (edge-triggered): else it would look at the
 * socket again, in vain, before it sleeps.  So `unread` remembers that there
 * may be more, and is cleared only by a read that got less than it had room
 * for.  (So does one that ends at a byte sent out of band: our library sends
 * none, and who does is read further when he sends more.)  That says nothing
 * about the end of the stream, which may have been told with the bytes before
 * it.  So a pass that has nothing to send reads until there is nothing.  One
 * that has sends first, and reads in another turn when the end was told, as an
 * event of its own; the loop does not report that of a socket with an error,
 * but then sending fails, too.
 *
 * Other passes
 *
 * A worker's result, a timer or another client's call may queue frames for a
 * client that is not in its pass, or end its connection.  Such a client is put
 * on the dirty list.  An event that is activated by hand runs when everything
 * that is active now has run: it flushes each of them once, and frees those
 * that are gone.  Nothing is ever freed below a call of the core.
 *
 * Not reading, not writing
 *
 * Only a client whose socket is full has a write event, and a timer, which
 * starts again whenever bytes have gone out.  Above the queue limit it is not
 * read; completions of accepted operations do not count, they were promised.
 */
#include "daemon/api/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/request.h"
#include "daemon/api/status_map.h"

#define ADMIN_COST 128u
#define AHEAD      64u

static void
timer_start(struct event *ev, uint32_t ms)
{
	struct timeval tv = {ms / 1000, (long)(ms % 1000) * 1000};

	event_add(ev, &tv);
}

static void
set_state(struct client *c, enum client_state state)
{
	if (c->state != CLIENT_GONE)
		c->state = state;
}

/* Dirty clients. */

static void
make_dirty(struct client *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&c->set->dirty, c, dirty_link);
	event_active(&c->set->flush, EV_TIMEOUT, 0);
}

void
client_touch(struct client *c)
{
	if (!c->in_pass)
		make_dirty(c);
}

void
client_drop(struct client *c)
{
	set_state(c, CLIENT_GONE);
	client_touch(c);
}

void
client_drop_broken(struct client *c)
{
	if (c->state != CLIENT_GONE)
		c->set->counters.broken++;
	client_drop(c);
}

void
client_send(struct client *c, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body)
{
	if (ipc_chan_queue(c->chan, type, id, body, NULL, 0) < 0)
		client_drop(c);
	else
		client_touch(c);
}

void
client_reply(struct client *c, uint64_t id, uint32_t code)
{
	Pd__Reply reply = PD__REPLY__INIT;

	reply.code = code;
	client_send(c, IPC_REPLY, id, &reply.base);
}

unsigned
client_roles(const struct client *c)
{
	return policy_roles(
		&service_settings(c->set->service)->policy, &c->identity);
}

/* Sending. */

static void
update_paused(struct client *c)
{
	size_t queued = ipc_chan_queued_plain(c->chan);

	if (!c->paused && queued > c->set->limits.queue_limit) {
		c->paused = true;
		event_del(&c->readable);
		event_del(&c->again);
	} else if (c->paused && queued <= c->set->limits.queue_limit / 2) {
		c->paused = false;
		event_add(&c->readable, NULL);
		/* Frames may be waiting in the buffer already. */
		timer_start(&c->again, 0);
	}
}

static void
flush_blocked(struct client *c, bool progress)
{
	if (!c->blocked)
		event_add(&c->writable, NULL);
	if (!c->blocked || progress)
		timer_start(&c->timer, c->set->limits.stall_ms);
	c->blocked = true;
}

static void
flush_done(struct client *c)
{
	if (c->blocked) {
		event_del(&c->writable);
		event_del(&c->timer);
	}
	c->blocked = false;
	/* He has his answers: now the end may be read. */
	if (c->ending)
		timer_start(&c->again, 0);
}

static void
flush(struct client *c)
{
	size_t before = ipc_chan_queued(c->chan);
	int r;

	if (before == 0 && c->state != CLIENT_LEAVING)
		return;
	r = ipc_chan_flush(c->chan);
	if (r == -EAGAIN) {
		flush_blocked(c, ipc_chan_queued(c->chan) < before);
	} else if (r < 0 || c->state == CLIENT_LEAVING) {
		set_state(c, CLIENT_GONE);
		return;
	} else {
		flush_done(c);
	}
	update_paused(c);
}

/* The end of a pass, or of what was done to a client outside of one. */
static void
settle(struct client *c)
{
	if (c->state != CLIENT_GONE)
		flush(c);
	if (c->state == CLIENT_GONE)
		client_free(c);
}

static void
on_flush(evutil_socket_t fd, short what, void *ctx)
{
	struct client_set *set = ctx;
	struct client *c;

	while ((c = TAILQ_FIRST(&set->dirty)) != NULL) {
		TAILQ_REMOVE(&set->dirty, c, dirty_link);
		c->dirty = false;
		settle(c);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *ctx)
{
	settle(ctx);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;

	c->set->counters.timed_out++;
	client_free(c);
}

/* Receiving. */

bool
client_leaves_open(const struct client_set *set, uint32_t uid)
{
	return fd_closing_of(uid) >= set->limits.closing_most;
}

static void
handle_frame(struct client *c, const struct ipc_msg *m)
{
	c->set->counters.frames++;
	if (m->header.n_fds > 0 &&
		client_leaves_open(c->set, c->identity.uid)) {
		c->set->counters.over_quota++;
		client_drop(c);
	} else if (c->state == CLIENT_READY) {
		dispatch_frame(c, m);
	} else if (c->state == CLIENT_GREETING && m->header.type == IPC_HELLO) {
		client_greet(c, m);
		if (c->state == CLIENT_READY)
			event_del(&c->timer);
	} else {
		client_drop_broken(c);
	}
}

/* In frames of a pass.  Documents are long, and made on the loop. */
static uint32_t
cost_of(unsigned type)
{
	const struct dispatch_row *row = dispatch_find(type);

	return row != NULL && row->kind == DISPATCH_ADMIN ? ADMIN_COST : 1;
}

/* One frame out of the buffer, off what is left of the pass; false when there
 * is none or the client goes. */
static bool
next_frame(struct client *c, uint32_t *left)
{
	struct ipc_msg m;
	int r = ipc_chan_next(c->chan, &m);

	if (r == 0) {
		*left -= MIN_OF(*left, cost_of(m.header.type));
		handle_frame(c, &m);
		ipc_msg_done(&m);
	} else if (r == IPC_E_UNKNOWN && c->state == CLIENT_READY) {
		(*left)--;
		dispatch_unknown(c, &m.header);
	} else if (r == -EAGAIN) {
		return false;
	} else if (r > 0) {
		client_drop_broken(c);
	} else {
		client_drop(c);
	}
	return c->state < CLIENT_LEAVING;
}

/* Brings more bytes; false when there are none. */
static bool
read_more(struct client *c)
{
	bool more;
	int r;

	if (!c->unread && ipc_chan_queued(c->chan) > 0)
		return false;
	r = ipc_chan_read(c->chan, false, &more);
	c->unread = r == 0 && more;
	if (r == -EAGAIN)
		return false;
	if (r == -EPROTO)
		client_drop_broken(c);
	else if (r < 0)
		client_drop(c);
	return r == 0;
}

static bool
over_limit(const struct client *c)
{
	return ipc_chan_queued_plain(c->chan) > c->set->limits.queue_limit;
}

/* Prepares the operations of the frames that are there; of how many frames. */
static size_t
look_ahead(struct client *c)
{
	uint64_t ops[AHEAD];
	size_t n;

	if (ipc_chan_unhandled(c->chan) < IPC_HEADER_SIZE || c->session == NULL)
		return 0;
	n = ipc_chan_look_ahead(c->chan, ops, AHEAD);
	session_expect(c->session, ops, n);
	return n;
}

static void
run_pass(struct client *c)
{
	uint32_t left = c->set->limits.frames_per_pass;
	size_t ahead = 0;

	c->in_pass = true;
	while (left > 0 && !over_limit(c)) {
		if (ahead == 0)
			ahead = look_ahead(c);
		if (ahead > 0)
			ahead--;
		if (!next_frame(c, &left) &&
			(c->state >= CLIENT_LEAVING || !read_more(c)))
			break;
	}
	if (c->state < CLIENT_LEAVING && (left == 0 || over_limit(c)))
		timer_start(&c->again, 0);
	c->in_pass = false;
	settle(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;

	c->unread = true;
	c->ending = c->ending || (what & EV_CLOSED) != 0;
	run_pass(c);
}

static void
on_again(evutil_socket_t fd, short what, void *ctx)
{
	run_pass(ctx);
}

/* Life. */

static void
assign_events(struct client *c)
{
	struct event_base *base = c->set->base;
	int fd = ipc_chan_fd(c->chan);

	event_assign(&c->readable, base, fd,
		EV_READ | EV_CLOSED | EV_PERSIST | EV_ET, on_readable, c);
	event_assign(&c->writable, base, fd, EV_WRITE | EV_PERSIST | EV_ET,
		on_writable, c);
	event_assign(&c->timer, base, -1, 0, on_timer, c);
	event_assign(&c->again, base, -1, 0, on_again, c);
}

int
client_new(struct client_set *set, int fd, struct identity *identity,
	struct quota_user *user)
{
	struct client *c = calloc(1, sizeof(*c));
	struct ipc_chan *chan;
	int r = ipc_chan_new(&chan, fd, IPC_FROM_DAEMON);

	if (r < 0 || c == NULL) {
		if (r == 0)
			ipc_chan_free(chan);
		free(c);
		return err_new(-ENOMEM);
	}
	c->set = set;
	c->chan = chan;
	c->number = ++set->next_number;
	assign_events(c);
	if (event_add(&c->readable, NULL) < 0) {
		ipc_chan_free(chan);
		free(c);
		return err_new(-ENOMEM);
	}
	timer_start(&c->timer, set->limits.handshake_ms);
	c->identity = *identity;
	c->user = user;
	TAILQ_INSERT_TAIL(&set->clients, c, link);
	set->n_clients++;
	set->counters.accepted++;
	return 0;
}

struct client *
client_free(struct client *c)
{
	if (c == NULL)
		return NULL;
	assert(!c->in_pass);
	if (c->dirty)
		TAILQ_REMOVE(&c->set->dirty, c, dirty_link);
	TAILQ_REMOVE(&c->set->clients, c, link);
	c->set->n_clients--;
	event_del(&c->readable);
	event_del(&c->writable);
	event_del(&c->timer);
	event_del(&c->again);
	request_detach_all(c);
	/* Frees other sessions' handles of this one's publications at most;
	 * what they are told makes them dirty. */
	c->in_pass = true;
	c->session = session_free(c->session, false);
	area_unref(c->area);
	ipc_chan_free(c->chan);
	quota_give(c->user, QUOTA_CONNECTIONS, 1);
	quota_user_put(c->user);
	free(c->identity.gids);
	free(c);
	return NULL;
}

void
client_set_init(struct client_set *set, struct event_base *base,
	struct service *service, const struct client_limits *limits,
	const struct api_hooks *hooks)
{
	memset(set, 0, sizeof(*set));
	set->base = base;
	set->service = service;
	set->limits = *limits;
	if (hooks != NULL)
		set->hooks = *hooks;
	TAILQ_INIT(&set->clients);
	TAILQ_INIT(&set->dirty);
	event_assign(&set->flush, base, -1, 0, on_flush, set);
}

void
client_set_done(struct client_set *set)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&set->clients)) != NULL)
		client_free(c);
	event_del(&set->flush);
}

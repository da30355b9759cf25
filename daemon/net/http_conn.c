/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a connection
 *
 *   IDLE --bytes--> RECEIVING --whole--> HANDLING --answer--> SENDING --+
 *     ^                  |                                    ^  |      |
 *     |                  +--------------- refused ------------+  |      |
 *     +------------------------- all sent, kept -----------------+      |
 *   LINGERING <--- all sent, to be closed, the other side may still talk-+
 *   GONE: freed at the end of the pass
 *
 * SENDING may have to wait in COLD, for the disk, until the service has had the
 * next part of a file read.
 *
 * run() goes from state to state until it has to wait for something: bytes, the
 * service, room in the socket, or the next pass of the loop, when this
 * connection has had its share of this one.  Its usual round is recv, handle,
 * send, sendfile.  It does not look for the next request right after an answer:
 * a client that waits for answers has not sent one yet, and looking in vain
 * costs more than the loop's telling about all of them at once.
 *
 * Events.  readable is added once and stays.  Only when something comes while a
 * request is in work it is taken off until the answer has left: what is not
 * read now would wake the loop for ever.  writable is added only while the
 * socket is full.
 *
 * Time.  The alarm is not moved with each request.  It goes off, sees that
 * due_ms has moved on meanwhile, and is set again.
 *
 * Services are called from run(), and when a connection is freed; they may call
 * back, so http_conn_abort() only marks, and run() looks after that.
 */
#include "daemon/net/http_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/close.h"
#include "common/err.h"
#include "common/macros.h"
#include "daemon/net/http_conn_priv.h"

/* A connection's share of a pass. */
#define REQUESTS_PER_PASS 8u
#define SPAN_PER_PASS     (1u << 20)

/* What is in memory is taken to stay there for so long while a socket is
 * full. */
#define COOL_MS 1000u

#define LINGER_MS  1000u
#define LINGER_MAX (1u << 20) /* bytes */

/* Lists */

static struct http_conn_list *
list_of(struct http_conn *c)
{
	if (c->listed_idle)
		return &c->set->idle;
	return c->owner != NULL ? &c->owner->busy : &c->set->rest.busy;
}

static void
list_last(struct http_conn *c, bool idle)
{
	TAILQ_REMOVE(list_of(c), c, link);
	c->listed_idle = idle;
	TAILQ_INSERT_TAIL(list_of(c), c, link);
}

/* Time */

static void
set_due(struct http_conn *c, uint32_t ms)
{
	uint64_t now = loop_now_ms();

	c->due_ms = now + ms;
	if (c->alarm_ms != 0 && c->alarm_ms <= c->due_ms)
		return;
	c->alarm_ms = c->due_ms;
	loop_alarm_start(&c->alarm, ms);
}

static void
on_alarm(struct loop_alarm *a)
{
	struct http_conn *c = container_of(a, struct http_conn, alarm);
	uint64_t now = loop_now_ms();

	c->alarm_ms = 0;
	/* The service has its own time-outs, the disk takes its time, and whose
	 * turn comes in this pass waits for nobody else. */
	if (c->state == HTTP_CONN_HANDLING || c->state == HTTP_CONN_COLD ||
		c->again.queued) {
		set_due(c, c->set->limits.stall_ms);
		return;
	}
	if (now < c->due_ms) {
		set_due(c, (uint32_t)(c->due_ms - now));
		return;
	}
	if (c->state == HTTP_CONN_RECEIVING || c->state == HTTP_CONN_SENDING)
		c->set->counters.timed_out++;
	http_conn_free(c);
}

/* Events */

static void
want_read(struct http_conn *c, bool want)
{
	if (c->reading == want)
		return;
	if (!want)
		event_del(&c->readable);
	else if (event_add(&c->readable, NULL) != 0) {
		c->state = HTTP_CONN_GONE;
		return;
	}
	c->reading = want;
}

static void
want_write(struct http_conn *c, bool want)
{
	if (c->writing == want)
		return;
	if (!want)
		event_del(&c->writable);
	else if (event_add(&c->writable, NULL) != 0) {
		c->state = HTTP_CONN_GONE;
		return;
	}
	c->writing = want;
}

/* Steps of run(): true when it can go on at once. */

static bool
must_linger(const struct http_conn *c)
{
	return c->out.linger || c->in.parsed != c->in.end;
}

/* Closing a socket with unread bytes in it would be a reset, which may
 * overtake the answer. */
static void
end_after_answer(struct http_conn *c)
{
	c->state = HTTP_CONN_GONE;
	if (!must_linger(c) || shutdown(c->fd, SHUT_WR) != 0)
		return;
	c->state = HTTP_CONN_LINGERING;
	want_read(c, true);
	set_due(c, LINGER_MS);
}

static void
answer_ended(struct http_conn *c, bool whole)
{
	const struct http_service *service = c->service;

	if (!c->handed)
		return;
	c->handed = false;
	service->ended(service->ctx, c, whole);
}

static void
answer_sent(struct http_conn *c)
{
	c->served = true;
	want_write(c, false);
	answer_ended(c, true);
	if (c->state == HTTP_CONN_GONE)
		return;
	if (c->out.close) {
		end_after_answer(c);
		return;
	}
	http_input_next(c);
	c->state = HTTP_CONN_IDLE;
	want_read(c, true);
}

/* Nothing is to be sent meanwhile, so the socket's room would only wake the
 * loop.  true: the service did not take long. */
static bool
wait_for_disk(struct http_conn *c)
{
	const struct http_service *service = c->service;

	want_write(c, false);
	c->state = HTTP_CONN_COLD;
	service->cold(service->ctx, c, c->out.warm_at, c->out.warm_len);
	return c->state == HTTP_CONN_SENDING;
}

static bool
step_send(struct http_conn *c, uint64_t *share)
{
	bool progress;
	enum http_send result = http_output_send(c, share, &progress);

	if (progress && !c->listed_idle)
		list_last(c, false);
	switch (result) {
	case HTTP_SEND_DONE:
		answer_sent(c);
		return true;
	case HTTP_SEND_SHARE:
		loop_defer(c->set->loop, &c->again);
		break;
	case HTTP_SEND_BLOCKED:
		if (progress || !c->writing)
			set_due(c, c->set->limits.stall_ms);
		c->full_ms = loop_now_ms();
		want_write(c, true);
		return false;
	case HTTP_SEND_COLD:
		return wait_for_disk(c);
	case HTTP_SEND_FAILED:
		c->set->counters.broken++;
		c->state = HTTP_CONN_GONE;
		break;
	}
	return false;
}

static void
handle(struct http_conn *c)
{
	c->state = HTTP_CONN_HANDLING;
	c->handed = true;
	c->user = NULL;
	c->out.span_sent = 0;
	c->out.spans_before = 0;
	c->set->counters.requests++;
	c->service->handle(c->service->ctx, c);
}

static void
refuse(struct http_conn *c)
{
	c->set->counters.refused++;
	c->state = http_output_refuse(c) ? HTTP_CONN_SENDING : HTTP_CONN_GONE;
}

/* Whoever asked before sending a body is told to go on, or what is wrong. */
static void
invite(struct http_conn *c)
{
	struct http_input *in = &c->in;
	size_t len;
	bool asked;

	if (!in->head_done || in->continued)
		return;
	in->continued = true;
	asked = c->parser.http_minor > 0 && in->body_len == 0 &&
		http_conn_header(c, "Expect", &len) != NULL;
	if (!asked)
		return;
	if (in->refusal != 0)
		refuse(c);
	else if (!http_output_continue(c))
		c->state = HTTP_CONN_GONE;
}

/* A refused request whose body is not awaited has an end nobody knows. */
static bool
step_receive(struct http_conn *c, unsigned *requests)
{
	if (c->in.parsed == c->in.end)
		return false;
	if (*requests == 0) {
		loop_defer(c->set->loop, &c->again);
		return false;
	}
	(*requests)--;
	c->state = HTTP_CONN_RECEIVING;
	switch (http_input_parse(c)) {
	case HTTP_READ_MORE:
		invite(c);
		break;
	case HTTP_READ_WHOLE:
		handle(c);
		break;
	case HTTP_READ_REFUSED:
		refuse(c);
		break;
	}
	return true;
}

/* Which list, and how long it may stay as it is. */
static void
settle(struct http_conn *c)
{
	struct http_conn_set *set = c->set;
	bool idle = c->state == HTTP_CONN_IDLE;

	if (idle) {
		set_due(c, set->limits.idle_ms);
	} else if (c->state == HTTP_CONN_RECEIVING && !c->in.timed) {
		c->in.timed = true;
		set_due(c, set->limits.request_ms);
	}
	if (idle || c->listed_idle)
		list_last(c, idle);
}

static void
run(struct http_conn *c)
{
	uint64_t share = SPAN_PER_PASS;
	unsigned requests = REQUESTS_PER_PASS;
	bool on = true;

	c->running = true;
	while (on) {
		switch (c->state) {
		case HTTP_CONN_IDLE:
		case HTTP_CONN_RECEIVING:
			on = step_receive(c, &requests);
			break;
		case HTTP_CONN_SENDING:
			on = step_send(c, &share);
			break;
		default:
			on = false;
		}
	}
	c->running = false;
	if (c->state == HTTP_CONN_GONE)
		http_conn_free(c);
	else
		settle(c);
}

static void
on_again(struct loop_deferred *d)
{
	run(container_of(d, struct http_conn, again));
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;

	if (loop_now_ms() - c->full_ms >= COOL_MS)
		http_output_cools(c);
	run(c);
}

/* Descriptors come by local sockets only. */
static bool
is_local(const struct http_conn *c)
{
	return c->peer.ss.ss_family == AF_UNIX;
}

ssize_t
http_conn_recv(struct http_conn *c, void *dst, size_t size)
{
	return is_local(c) ? fd_recv_local(c->fd, dst, size)
			   : recv(c->fd, dst, size, 0);
}

static void
drain(struct http_conn *c)
{
	char junk[16384];
	ssize_t n = http_conn_recv(c, junk, sizeof(junk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->drained += n > 0 ? (size_t)n : 0;
	if (n <= 0 || c->drained > LINGER_MAX)
		http_conn_free(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *c = arg;
	ssize_t n;

	if (c->state == HTTP_CONN_LINGERING) {
		drain(c);
		return;
	}
	if (c->state != HTTP_CONN_IDLE && c->state != HTTP_CONN_RECEIVING) {
		want_read(c, false);
		return;
	}
	/* What is left over from the last pass comes first. */
	n = c->again.queued ? -EAGAIN : http_input_receive(c);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		if (c->state == HTTP_CONN_RECEIVING)
			c->set->counters.broken++;
		http_conn_free(c);
		return;
	}
	run(c);
}

/* What services call */

bool
http_conn_is_unanswered(const struct http_conn *c)
{
	return c->state == HTTP_CONN_HANDLING ||
		(c->state == HTTP_CONN_COLD && http_output_is_whole(c));
}

void
http_conn_answer(struct http_conn *c, const struct http_answer *a)
{
	if (c->state == HTTP_CONN_GONE)
		return;
	assert(http_conn_is_unanswered(c));
	c->state = http_output_set(c, a) ? HTTP_CONN_SENDING : HTTP_CONN_GONE;
	if (!c->running)
		loop_defer(c->set->loop, &c->again);
}

void
http_conn_abort(struct http_conn *c)
{
	c->state = HTTP_CONN_GONE;
	if (!c->running)
		loop_defer(c->set->loop, &c->again);
}

const struct parse_addr *
http_conn_peer(const struct http_conn *c)
{
	return &c->peer;
}

void
http_conn_set_user(struct http_conn *c, void *user)
{
	c->user = user;
}

void *
http_conn_user(const struct http_conn *c)
{
	return c->user;
}

void
http_conn_warmed(struct http_conn *c, const uint8_t *bytes, size_t len)
{
	if (c->state == HTTP_CONN_GONE)
		return;
	assert(c->state == HTTP_CONN_COLD);
	assert(bytes == NULL || (len > 0 && len <= c->out.warm_len));
	c->out.warm_bytes = bytes;
	if (bytes != NULL)
		c->out.warm_len = len;
	c->state = HTTP_CONN_SENDING;
	if (!c->running)
		loop_defer(c->set->loop, &c->again);
}

/* Beginning and end */

void
http_conn_set_init(struct http_conn_set *set, struct loop *loop)
{
	memset(set, 0, sizeof(*set));
	set->loop = loop;
	TAILQ_INIT(&set->idle);
	TAILQ_INIT(&set->rest.busy);
}

void
http_conn_set_close(struct http_conn_set *set)
{
	struct http_conn *c;

	while ((c = TAILQ_FIRST(&set->rest.busy)) != NULL)
		http_conn_free(c);
	while ((c = TAILQ_FIRST(&set->idle)) != NULL)
		http_conn_free(c);
}

static bool
conn_init(struct http_conn *c, const struct parse_addr *peer,
	struct http_conn_owner *owner)
{
	struct event_base *base = loop_base(c->set->loop);

	c->owner = owner;
	if (peer != NULL)
		c->peer = *peer;
	if (is_local(c))
		fd_in_band(c->fd);
	c->again.fn = on_again;
	loop_alarm_init(&c->alarm, c->set->loop, on_alarm);
	event_assign(&c->readable, base, c->fd, EV_READ | EV_PERSIST,
		on_readable, c);
	event_assign(&c->writable, base, c->fd, EV_WRITE | EV_PERSIST,
		on_writable, c);
	return http_input_init(c) == 0 && event_add(&c->readable, NULL) == 0;
}

int
http_conn_new(struct http_conn_set *set, int fd, const struct parse_addr *peer,
	struct http_conn_owner *owner)
{
	struct http_conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		fd_close_local(fd);
		return err_new(-ENOMEM);
	}
	c->set = set;
	c->fd = fd;
	if (!conn_init(c, peer, owner)) {
		http_input_done(c);
		fd_close_local(fd);
		free(c);
		return err_new(-ENOMEM);
	}
	c->reading = true;
	c->listed_idle = true;
	TAILQ_INSERT_TAIL(&set->idle, c, link);
	set->n_conns++;
	set_due(c, set->limits.request_ms);
	return 0;
}

/* The service first: what it lent may be what is being sent. */
struct http_conn *
http_conn_free(struct http_conn *c)
{
	struct http_conn_set *set;

	if (c == NULL)
		return NULL;
	assert(!c->running);
	set = c->set;
	c->state = HTTP_CONN_GONE;
	answer_ended(c, false);
	loop_undefer(set->loop, &c->again);
	loop_alarm_stop(&c->alarm);
	event_del(&c->readable);
	event_del(&c->writable);
	if (is_local(c))
		fd_close_local(c->fd);
	else
		close(c->fd);
	TAILQ_REMOVE(list_of(c), c, link);
	set->n_conns--;
	if (set->closed != NULL)
		set->closed(set, c);
	http_input_done(c);
	buf_done(&c->out.head);
	free(c);
	return NULL;
}

struct http_conn_owner *
http_conn_owner(const struct http_conn *c)
{
	return c->owner;
}

bool
http_conn_is_served(const struct http_conn *c)
{
	return c->served;
}

struct http_conn *
http_conn_next(const struct http_conn *c)
{
	return TAILQ_NEXT(c, link);
}

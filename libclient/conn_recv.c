/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive side.  Who waits reads: a thread that is going to wait for an
 * answer takes it before it sends its request - the answer may be there before
 * the send has returned, and would wake the reader thread -, silences the
 * reader thread's watch of the socket, and handles every frame in order until
 * its own answer has come.  Then it empties what was read and hands the side
 * on: to another thread that waits for an answer, or back to the reader thread
 * by watching the socket again.  A thread that waits for an operation's result
 * without a time limit takes the side as well, if it is free.  One thread at a
 * time has it (`receiving`), so frames are handled strictly in order, and
 * whatever a frame tells - a packet posted, an event set - is done before the
 * answer behind it wakes anyone.
 *
 * Naps.  Telling the kernel twice for each call whether to wake the reader
 * thread costs a tenth of it.  So after a call that followed closely upon
 * another one the socket stays unwatched, and the reader thread naps: it looks
 * around after a millisecond, and if there was no such call meanwhile, it
 * watches the socket again.  In between the calls themselves receive what
 * comes.  Whoever looks or waits for a result by a function of ours ends the
 * nap at once, and while somebody waits, or has one of our descriptors, there
 * is none; so only a program that stares at the OVERLAPPED itself may see an
 * end up to two milliseconds late.
 *
 * All accepted operations end here: by COMPLETE, or all at once when the
 * connection is over (pdc_link_fail).
 *
 * The socket's receive time-out is the deadline of every answer; a daemon that
 * does not keep it is given up.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "libclient/conn.h"
#include "libclient/util.h"

atomic_int pdc_nap_ms = 1;
uint64_t pdc_nap_dense_us = 200;

static struct pdc_call *
call_waiting(struct pdc_link *l)
{
	struct pdc_call *c;

	LIST_FOREACH (c, &l->calls, link)
		if (!c->done)
			return c;
	return NULL;
}

/* With the lock of the receive side, which nobody has. */
static void
link_rewatch(struct pdc_link *l)
{
	l->unwatched = false;
	pdc_link_watch(l, true);
}

static void
link_leave_unwatched(struct pdc_link *l)
{
	l->unwatched = true;
	l->n_naps++;
	if (!l->napping) {
		l->napping = true;
		l->n_looks_seen = pdc_attend_looks();
		pdc_attend_nap(l->instance, true);
		pdc_instance_wake(l->instance);
	}
	if (pdc_attended())
		link_rewatch(l);
}

bool
pdc_link_nap(struct pdc_link *l)
{
	unsigned looks = pdc_attend_looks();
	bool on;

	pthread_mutex_lock(&l->recv_lock);
	on = l->napping && l->n_naps != l->n_naps_seen && !pdc_attended() &&
		looks == l->n_looks_seen;
	l->n_naps_seen = l->n_naps;
	l->n_looks_seen = looks;
	if (l->napping && !on) {
		l->napping = false;
		pdc_attend_nap(l->instance, false);
		if (l->unwatched && !l->receiving)
			link_rewatch(l);
	}
	pthread_mutex_unlock(&l->recv_lock);
	return on;
}

/* With the lock of the receive side. */
static void
link_give_locked(struct pdc_link *l)
{
	struct pdc_call *next = call_waiting(l);

	l->receiving = false;
	if (l->n_free_waiters > 0)
		pthread_cond_broadcast(&l->free_cond);
	if (next != NULL)
		pthread_cond_signal(&next->cond);
	else if (l->dense && !pdc_attended())
		link_leave_unwatched(l);
	else
		link_rewatch(l);
}

DWORD
pdc_call_begin(struct pdc_link *l, struct pdc_call *c)
{
	bool watched;

	/* Before the side is taken: who has it must never wait to send. */
	pdc_link_wait_room(l);
	pthread_mutex_lock(&l->recv_lock);
	if (atomic_load(&l->dead)) {
		while (!l->over)
			pthread_cond_wait(&l->free_cond, &l->recv_lock);
		pthread_mutex_unlock(&l->recv_lock);
		return PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	}
	if (c->pending == NULL)
		c->id = ++l->last_request;
	pthread_cond_init(&c->cond, NULL);
	LIST_INSERT_HEAD(&l->calls, c, link);
	c->receiver = !l->receiving;
	l->receiving = true;
	watched = !l->unwatched;
	pthread_mutex_unlock(&l->recv_lock);
	if (c->receiver && watched)
		pdc_link_watch(l, false);
	return ERROR_SUCCESS;
}

void
pdc_call_drop(struct pdc_link *l, struct pdc_call *c)
{
	pthread_mutex_lock(&l->recv_lock);
	LIST_REMOVE(c, link);
	/* It may have been handed to us while we were not yet waiting. */
	if (c->receiver || !l->receiving)
		link_give_locked(l);
	pthread_mutex_unlock(&l->recv_lock);
	pthread_cond_destroy(&c->cond);
}

/* Numbers that mean something else here, or do not fit into Internal. */
static bool
code_fits(uint32_t code)
{
	return code <= 0xFFFF && code != ERROR_IO_PENDING &&
		code != ERROR_NO_MORE_ITEMS;
}

/* Answers the call that waits for this; false: nobody does. */
static bool
call_answer(struct pdc_link *l, uint64_t id, bool ack, const Pd__Reply *reply)
{
	struct pdc_call *c;

	if (!code_fits(reply->code))
		return false;
	pthread_mutex_lock(&l->recv_lock);
	LIST_FOREACH (c, &l->calls, link) {
		if (c->done || c->id != id || (c->pending != NULL) != ack)
			continue;
		c->done = true;
		c->code = reply->code;
		c->handle = reply->handle;
		c->value = reply->value;
		if (ack && reply->code == ERROR_SUCCESS)
			c->pending->accepted = true;
		pthread_cond_signal(&c->cond);
		break;
	}
	pthread_mutex_unlock(&l->recv_lock);
	return c != NULL;
}

static bool
handle_status(struct pdc_link *l, struct ipc_msg *m)
{
	struct pdc_service_status s = {
		m->u.status->status,
		m->u.status->min_content_version,
		m->u.status->max_content_version,
	};

	if (s.status > PEERDIST_STATUS_AVAILABLE)
		return false;
	pdc_status_set(l->instance, &s);
	return true;
}

/* Whether this completion fits its operation: its bytes go to the caller's
 * memory, so nothing is taken on trust. */
static bool
complete_fits(const struct pdc_pending *p, const Pd__Complete *c, uint32_t len)
{
	if (!p->accepted || !code_fits(c->code))
		return false;
	if (p->kind != PDC_READ || c->code != ERROR_SUCCESS ||
		p->u.read.room == 0)
		return len == 0;
	/* A range may be longer than what a read in the end found. */
	return (c->range != NULL ? len >= c->bytes : len == c->bytes) &&
		c->bytes <= p->u.read.room;
}

static const uint8_t *
complete_data(struct pdc_link *l, const Pd__Complete *c, uint32_t *ret_len)
{
	static const uint8_t nothing[1];

	if (c->range != NULL) {
		*ret_len = c->range->length;
		return pdc_area_read_at(&l->area, c->range->offset, *ret_len);
	}
	*ret_len = (uint32_t)c->inline_data.len;
	return *ret_len > 0 ? c->inline_data.data : nothing;
}

/* How many ranges may stay with us until something else is sent: most likely
 * the next read is about to be.  With one of them in the way a hole for any
 * read is still left, so nothing ever waits for it. */
static unsigned
may_hold(const struct pdc_link *l)
{
	return l->area.read_size >= 3 * IPC_SLICE_MAX ? 1 : 0;
}

static bool
handle_complete(struct pdc_link *l, struct ipc_msg *m)
{
	const Pd__Complete *c = m->u.complete;
	struct pdc_pending *p = pdc_slots_find(&l->slots, m->header.id);
	struct pdc_outcome outcome = {
		.code = c->code,
		.bytes = c->bytes,
		.has_offset = c->has_offset,
		.offset = c->offset,
	};
	const uint8_t *data;
	uint32_t len;
	bool ok = true;

	data = complete_data(l, c, &len);
	if (p == NULL || data == NULL || !complete_fits(p, c, len))
		return false;
	pdc_slots_claim(&l->slots, p->id);
	pdc_feed_forget(l, p);
	if (len > 0)
		memcpy(p->u.read.data, data, c->bytes);
	if (c->range != NULL) {
		ok = pdc_link_send(l, IPC_RETURN, 0, &c->range->base, -1,
			     PDC_SEND_QUEUE) == ERROR_SUCCESS;
		if (++l->held > may_hold(l))
			l->unflushed = true;
	}
	pdc_pending_deliver(p, &outcome);
	return ok;
}

/* false: the daemon does not keep to the protocol. */
static bool
link_handle(struct pdc_link *l, struct ipc_msg *m)
{
	switch (m->header.type) {
	case IPC_REPLY:
		return call_answer(l, m->header.id, false, m->u.reply);
	case IPC_ACK:
		return call_answer(l, m->header.id, true, m->u.reply);
	case IPC_COMPLETE:
		return handle_complete(l, m);
	case IPC_STATUS:
		return handle_status(l, m);
	case IPC_NEED:
		return pdc_feed_need(l, m->header.id, m->u.need->length);
	case IPC_RELEASED:
		return pdc_feed_released(
			l, m->u.range->offset, m->u.range->length);
	default:
		return false;
	}
}

/* Handles all whole frames that were read.  false: the connection is over; what
 * is left in it counts no more. */
static bool
link_drain(struct pdc_link *l)
{
	struct ipc_msg m;
	bool ok = !atomic_load(&l->dead);
	int r;

	while (ok && (r = ipc_chan_next(l->chan, &m)) != -EAGAIN) {
		if (r == IPC_E_UNKNOWN)
			continue;
		ok = r == 0;
		if (ok) {
			ok = link_handle(l, &m);
			ipc_msg_done(&m);
		}
	}
	if (l->unflushed) {
		l->unflushed = false;
		pdc_link_flush(l);
	}
	return ok;
}

void
pdc_link_read(struct pdc_link *l)
{
	bool more = true, ok = link_drain(l);
	int r;

	l->dense = false;
	while (ok && more && !atomic_load(&l->dead)) {
		r = ipc_chan_read(l->chan, false, &more);
		if (r == -EAGAIN)
			return;
		ok = r == 0 && link_drain(l);
	}
	if (!ok)
		pdc_link_fail(l);
}

/* Reads until the call is answered. */
static void
link_read_for(struct pdc_link *l, struct pdc_call *c)
{
	uint64_t now = clock_now_us();
	uint64_t deadline = now + PDC_ANSWER_TIMEOUT_MS * US_PER_MS;
	bool more, ok = link_drain(l);

	l->dense = now - l->called_us < pdc_nap_dense_us;
	l->called_us = now;
	while (ok && !c->done && !atomic_load(&l->dead)) {
		ok = ipc_chan_read(l->chan, true, &more) == 0 &&
			link_drain(l) && (c->done || clock_now_us() < deadline);
	}
	if (!ok)
		pdc_link_fail(l);
}

/* Silence is no fault here: nothing says when an operation ends. */
static void
link_read_until(struct pdc_link *l, struct pdc_pending *p)
{
	bool more, ok = link_drain(l);
	int r;

	l->dense = false;
	while (ok && !pdc_pending_is_done(p) && !atomic_load(&l->dead)) {
		r = ipc_chan_read(l->chan, true, &more);
		ok = r == -EAGAIN || (r == 0 && link_drain(l));
	}
	if (!ok)
		pdc_link_fail(l);
}

void
pdc_link_await(OVERLAPPED *ov)
{
	struct pdc_link *l;
	struct pdc_pending *p = pdc_pending_find_sent(ov, &l);
	bool got;

	if (p == NULL)
		return;
	pthread_mutex_lock(&l->recv_lock);
	got = !l->receiving && !l->over;
	if (got)
		l->receiving = true;
	pthread_mutex_unlock(&l->recv_lock);
	if (got) {
		pdc_link_watch(l, false);
		link_read_until(l, p);
		pdc_link_give(l);
	}
	pdc_link_unref(l);
	pdc_pending_unref(p);
}

void
pdc_link_take(struct pdc_link *l)
{
	pthread_mutex_lock(&l->recv_lock);
	l->n_free_waiters++;
	while (l->receiving)
		pthread_cond_wait(&l->free_cond, &l->recv_lock);
	l->n_free_waiters--;
	l->receiving = true;
	pthread_mutex_unlock(&l->recv_lock);
}

bool
pdc_link_try(struct pdc_link *l)
{
	bool got;

	pthread_mutex_lock(&l->recv_lock);
	got = !l->receiving;
	l->receiving = true;
	if (!got)
		pdc_link_watch(l, false);
	pthread_mutex_unlock(&l->recv_lock);
	return got;
}

void
pdc_link_give(struct pdc_link *l)
{
	pthread_mutex_lock(&l->recv_lock);
	link_give_locked(l);
	pthread_mutex_unlock(&l->recv_lock);
}

void
pdc_call_wait(struct pdc_link *l, struct pdc_call *c)
{
	for (;;) {
		if (c->receiver)
			link_read_for(l, c);
		pthread_mutex_lock(&l->recv_lock);
		if (c->receiver)
			link_give_locked(l);
		while (!c->done && l->receiving)
			pthread_cond_wait(&c->cond, &l->recv_lock);
		if (c->done)
			break;
		c->receiver = true;
		l->receiving = true;
		pthread_mutex_unlock(&l->recv_lock);
		pdc_link_watch(l, false);
	}
	LIST_REMOVE(c, link);
	pthread_mutex_unlock(&l->recv_lock);
	pthread_cond_destroy(&c->cond);
}

static void
calls_fail(struct pdc_link *l)
{
	struct pdc_call *c;

	pthread_mutex_lock(&l->recv_lock);
	LIST_FOREACH (c, &l->calls, link) {
		if (c->done)
			continue;
		c->done = true;
		c->code = PEERDIST_ERROR_SERVICE_UNAVAILABLE;
		pthread_cond_signal(&c->cond);
	}
	l->over = true;
	pthread_cond_broadcast(&l->free_cond);
	pthread_mutex_unlock(&l->recv_lock);
}

static void
link_detach(struct pdc_link *l)
{
	struct pdc_instance *i = l->instance;
	bool was = false;

	/* First, since without a link the reader thread connects anew. */
	pdc_status_lost(i);
	pthread_mutex_lock(&i->lock);
	if (i->link == l) {
		i->link = NULL;
		was = true;
	}
	if (atomic_load(&i->sock_fd) == l->fd)
		atomic_store(&i->sock_fd, -1);
	pthread_mutex_unlock(&i->lock);
	if (was)
		pdc_link_unref(l);
	pdc_instance_wake(i);
}

static DWORD
link_fail_code(struct pdc_instance *i)
{
	bool stop;

	pthread_mutex_lock(&i->lock);
	stop = i->stop;
	pthread_mutex_unlock(&i->lock);
	return stop ? ERROR_OPERATION_ABORTED : PEERDIST_ERROR_INVALIDATED;
}

void
pdc_link_fail(struct pdc_link *l)
{
	struct pdc_outcome outcome = {.code = link_fail_code(l->instance)};
	struct pdc_pending *p;
	uint32_t pos = 0;
	bool was;

	pthread_mutex_lock(&l->recv_lock);
	was = atomic_exchange(&l->dead, true);
	pthread_mutex_unlock(&l->recv_lock);
	if (was)
		return;
	shutdown(l->fd, SHUT_RDWR);
	pthread_mutex_lock(&l->arm_lock);
	epoll_ctl(l->instance->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	pthread_mutex_unlock(&l->arm_lock);
	pthread_mutex_lock(&l->send_lock);
	pthread_cond_broadcast(&l->room);
	pthread_mutex_unlock(&l->send_lock);
	while ((p = pdc_slots_claim_next(&l->slots, &pos)) != NULL) {
		pdc_feed_forget(l, p);
		pdc_pending_deliver(p, &outcome);
	}
	link_detach(l);
	calls_fail(l);
}

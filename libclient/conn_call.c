/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending never blocks on the socket: what it does not take stays queued and
 * the reader thread is asked to go on when there is room (EPOLLOUT).  A caller
 * waits only when very much is queued; whoever has the receive side never
 * does, since the daemon may be waiting for us to read.
 *
 * A send that fails is not reported by its number: the socket is shut down,
 * and the receive side finds out and ends everything in its one place.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "libclient/conn.h"
#include "libclient/util.h"

/* With the arm lock. */
static void
link_rearm(struct pdc_link *l)
{
	struct epoll_event ev = {.data.ptr = l};

	if (atomic_load(&l->dead))
		return;
	ev.events = (l->want_in ? EPOLLIN : 0u) | (l->want_out ? EPOLLOUT : 0u);
	epoll_ctl(l->instance->epoll_fd, EPOLL_CTL_MOD, l->fd, &ev);
}

void
pdc_link_watch(struct pdc_link *l, bool in)
{
	pthread_mutex_lock(&l->arm_lock);
	if (l->want_in != in) {
		l->want_in = in;
		link_rearm(l);
	}
	pthread_mutex_unlock(&l->arm_lock);
}

static void
link_watch_room(struct pdc_link *l, bool out)
{
	pthread_mutex_lock(&l->arm_lock);
	if (l->want_out != out) {
		l->want_out = out;
		link_rearm(l);
	}
	pthread_mutex_unlock(&l->arm_lock);
}

/* With the send lock. */
static void
link_flush_locked(struct pdc_link *l)
{
	int r;

	atomic_store(&l->held, 0);
	r = ipc_chan_flush(l->chan);
	if ((r == -EAGAIN) != atomic_load(&l->full)) {
		atomic_store(&l->full, r == -EAGAIN);
		link_watch_room(l, r == -EAGAIN);
	}
	if (r < 0 && r != -EAGAIN)
		shutdown(l->fd, SHUT_RDWR);
	if (l->n_room_waiters > 0 && ipc_chan_queued(l->chan) < PDC_QUEUE_MAX)
		pthread_cond_broadcast(&l->room);
}

void
pdc_link_flush(struct pdc_link *l)
{
	pthread_mutex_lock(&l->send_lock);
	link_flush_locked(l);
	pthread_mutex_unlock(&l->send_lock);
}

void
pdc_link_wait_room(struct pdc_link *l)
{
	uint64_t deadline = 0;

	/* Much is queued only behind a full socket; the usual call need not
	 * take the lock for that. */
	if (!atomic_load(&l->full))
		return;
	pthread_mutex_lock(&l->send_lock);
	l->n_room_waiters++;
	while (ipc_chan_queued(l->chan) >= PDC_QUEUE_MAX &&
		!atomic_load(&l->dead)) {
		if (deadline == 0)
			deadline = pdc_deadline_us(PDC_ANSWER_TIMEOUT_MS);
		if (pdc_cond_wait_until(&l->room, &l->send_lock, deadline))
			continue;
		shutdown(l->fd, SHUT_RDWR);
		deadline = UINT64_MAX; /* until the receive side sees it */
	}
	l->n_room_waiters--;
	pthread_mutex_unlock(&l->send_lock);
}

DWORD
pdc_link_send(struct pdc_link *l, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body, int fd, enum pdc_send_mode mode)
{
	DWORD code = ERROR_SUCCESS;

	pthread_mutex_lock(&l->send_lock);
	if (atomic_load(&l->dead))
		code = PEERDIST_ERROR_SERVICE_UNAVAILABLE;
	else if (l->ended && mode != PDC_SEND_QUEUE)
		code = PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	else if (mode == PDC_SEND_CLOSE)
		ipc_chan_unreserve(l->chan, 1);
	if (code == ERROR_SUCCESS &&
		ipc_chan_queue(l->chan, type, id, body, &fd, fd >= 0 ? 1 : 0) <
			0)
		code = ERROR_NOT_ENOUGH_MEMORY;
	if (code == ERROR_SUCCESS) {
		l->ended = l->ended || mode == PDC_SEND_END;
		if (mode != PDC_SEND_QUEUE)
			link_flush_locked(l);
	}
	pthread_mutex_unlock(&l->send_lock);
	return code;
}

/* The call will not be answered.  Not on a dead connection: there it is ended
 * once what was pending is delivered, and the caller may rely on that. */
static bool
not_sent(DWORD code)
{
	return code != ERROR_SUCCESS &&
		code != PEERDIST_ERROR_SERVICE_UNAVAILABLE;
}

static DWORD
link_request(struct pdc_link *l, enum ipc_type type,
	const ProtobufCMessage *body, enum pdc_send_mode mode,
	struct pdc_answer *ret_answer)
{
	struct pdc_call call = {.pending = NULL};
	DWORD code;

	code = pdc_call_begin(l, &call);
	if (code != ERROR_SUCCESS)
		return code;
	code = pdc_link_send(l, type, call.id, body, -1, mode);
	if (not_sent(code)) {
		pdc_call_drop(l, &call);
		return code;
	}
	pdc_call_wait(l, &call);
	if (ret_answer != NULL) {
		ret_answer->handle = call.handle;
		ret_answer->value = call.value;
	}
	return call.code;
}

DWORD
pdc_link_call(struct pdc_link *l, enum ipc_type type,
	const ProtobufCMessage *body, struct pdc_answer *ret_answer)
{
	return link_request(l, type, body, PDC_SEND_NOW, ret_answer);
}

DWORD
pdc_link_end(struct pdc_link *l)
{
	return link_request(l, IPC_SESSION_END, NULL, PDC_SEND_END, NULL);
}

/* The frame of a close is smaller than what is promised, and nothing has to
 * grow for what takes the place of a promise. */
bool
pdc_link_promise(struct pdc_link *l)
{
	int r;

	pthread_mutex_lock(&l->send_lock);
	r = ipc_chan_reserve(l->chan, 1);
	pthread_mutex_unlock(&l->send_lock);
	return r == 0;
}

void
pdc_link_unpromise(struct pdc_link *l)
{
	pthread_mutex_lock(&l->send_lock);
	ipc_chan_unreserve(l->chan, 1);
	pthread_mutex_unlock(&l->send_lock);
}

DWORD
pdc_link_close(struct pdc_link *l, enum ipc_type type, uint64_t handle)
{
	Pd__Handle body = PD__HANDLE__INIT;

	body.handle = handle;
	return link_request(l, type, &body.base, PDC_SEND_CLOSE, NULL);
}

static DWORD
submit_and_wait(struct pdc_link *l, struct pdc_pending *p, struct pdc_submit *s)
{
	struct pdc_call call = {.pending = p, .id = p->id};
	DWORD code = pdc_call_begin(l, &call);

	if (code != ERROR_SUCCESS)
		return code;
	if (s->slice != NULL)
		pdc_feed_place(l, p, p->u.add.len, true, s->slice);
	code = pdc_link_send(l, s->type, p->id, s->body, s->fd, PDC_SEND_NOW);
	if (not_sent(code)) {
		pdc_call_drop(l, &call);
		if (s->slice != NULL && s->slice->inline_data.len == 0)
			pdc_area_release(
				&l->area, s->slice->offset, s->slice->length);
		return code;
	}
	pdc_call_wait(l, &call);
	return call.code;
}

/* Whoever has the receive side may complete the operation as soon as it saw the
 * ACK; so after an ACK of 0 the record is not looked at. */
DWORD
pdc_link_submit(struct pdc_link *l, struct pdc_pending *p, struct pdc_submit *s)
{
	DWORD code = pdc_slots_enter(&l->slots, p);

	if (code == ERROR_SUCCESS) {
		pdc_pending_sent(p, l);
		code = submit_and_wait(l, p, s);
		if (code == ERROR_SUCCESS)
			return ERROR_IO_PENDING;
		pdc_slots_claim(&l->slots, p->id);
	}
	pdc_pending_refuse(p, code);
	return code;
}

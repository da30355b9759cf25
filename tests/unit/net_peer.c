/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/net_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "common/macros.h"

#define WAIT_SECONDS 5

struct net_conn {
	struct net_peer *peer;
	int fd;
	struct event read;
	struct event write;
	struct event pause;
	struct buf in;
	struct buf out;
	size_t sent;
	size_t head; /* length of the request's */
	unsigned requests;
	bool answering;
	bool held;
	LIST_ENTRY(net_conn) link;
};

static struct {
	struct loop *loop;
	bool (*holds)(void *);
	void *ctx;
	bool late;
} wait;

void
net_wait_check(void)
{
	if (wait.loop != NULL && wait.holds(wait.ctx))
		loop_stop(wait.loop);
}

static void
on_late(struct loop_alarm *a)
{
	wait.late = true;
	loop_stop(wait.loop);
}

void
net_wait(struct loop *loop, bool (*holds)(void *), void *ctx)
{
	struct loop_alarm deadline;

	if (holds(ctx))
		return;
	/* Takes no memory: some callers let allocations fail. */
	loop_alarm_init(&deadline, loop, on_late);
	loop_alarm_start(&deadline, WAIT_SECONDS * 1000);
	wait.loop = loop;
	wait.holds = holds;
	wait.ctx = ctx;
	wait.late = false;
	assert_int_equal(loop_run(loop), 0);
	wait.loop = NULL;
	loop_alarm_stop(&deadline);
	assert_false(wait.late);
}

static void
conn_close(struct net_conn *conn)
{
	struct net_peer *peer = conn->peer;
	struct linger hard = {.l_onoff = 1};

	if (peer->reset)
		setsockopt(
			conn->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	event_del(&conn->read);
	event_del(&conn->write);
	event_del(&conn->pause);
	close(conn->fd);
	buf_done(&conn->in);
	buf_done(&conn->out);
	LIST_REMOVE(conn, link);
	peer->open--;
	if (conn->answering)
		peer->in_work--;
	free(conn);
	net_wait_check();
}

static bool
request_complete(struct net_conn *conn, size_t *ret_head, size_t *ret_body)
{
	const char *end, *length;
	size_t head;

	buf_u8(&conn->in, 0);
	conn->in.len--;
	end = strstr((char *)conn->in.data, "\r\n\r\n");
	if (end == NULL)
		return false;
	head = (size_t)(end + 4 - (char *)conn->in.data);
	length = strcasestr((char *)conn->in.data, "\r\nContent-Length: ");
	assert_true(length != NULL && length < end);
	*ret_head = head;
	*ret_body = strtoul(length + 18, NULL, 10);
	if (conn->peer->early) {
		*ret_body = 0;
		conn->in.len = head;
		event_del(&conn->read);
	}
	return conn->in.len >= head + *ret_body;
}

static void
conn_reply(struct net_conn *conn)
{
	struct net_peer *peer = conn->peer;

	buf_reset(&conn->out);
	conn->sent = 0;
	conn->held = false;
	peer->reply(peer, conn->in.data + conn->head, conn->in.len - conn->head,
		&conn->out);
	assert_int_equal(buf_error(&conn->out), 0);
	buf_reset(&conn->in);
	event_add(&conn->write, NULL);
}

static void
reply_all(struct net_peer *peer)
{
	struct net_conn *conn;

	if (peer->in_work < peer->hold)
		return;
	peer->hold = 0;
	LIST_FOREACH (conn, &peer->conns, link)
		if (conn->held)
			conn_reply(conn);
}

static void
conn_answer(struct net_conn *conn, size_t head, size_t body)
{
	struct net_peer *peer = conn->peer;

	peer->requests++;
	conn->requests++;
	snprintf(peer->head, sizeof(peer->head), "%.*s", (int)head,
		(char *)conn->in.data);
	assert_int_equal(conn->in.len, head + body); /* nobody pipelines */
	peer->in_work++;
	peer->most = MAX_OF(peer->most, peer->in_work);
	conn->head = head;
	conn->answering = true;
	net_wait_check();
	if (peer->silent ||
		(peer->silent_after > 0 && peer->requests > peer->silent_after))
		return;
	if (peer->close_at_once) {
		conn_close(conn);
		return;
	}
	conn->held = true;
	reply_all(peer);
}

static bool
closes_before(const struct net_peer *peer, unsigned request)
{
	return (peer->idle_after > 0 && request >= peer->idle_after) ||
		(peer->close_from > 0 && peer->accepted >= peer->close_from);
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct net_conn *conn = arg;
	size_t head, body;
	uint8_t chunk[4096];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			conn_close(conn);
		return;
	}
	buf_append(&conn->in, chunk, (size_t)n);
	assert_int_equal(buf_error(&conn->in), 0);
	if (closes_before(conn->peer, conn->requests + 1)) {
		conn_close(conn);
		return;
	}
	if (request_complete(conn, &head, &body))
		conn_answer(conn, head, body);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct net_conn *conn = arg;

	event_add(&conn->write, NULL);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct net_conn *conn = arg;
	struct net_peer *peer = conn->peer;
	struct timeval tv = {.tv_usec = peer->delay_ms * 1000};
	size_t n = conn->out.len - conn->sent;
	ssize_t sent;

	if (peer->piece > 0)
		n = MIN_OF(n, peer->piece);
	if (peer->cut > 0)
		n = MIN_OF(n, peer->cut - conn->sent);
	sent = send(fd, conn->out.data + conn->sent, n, MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		return;
	if (sent < 0) {
		conn_close(conn);
		return;
	}
	conn->sent += (size_t)sent;
	if (peer->cut > 0 && conn->sent >= peer->cut) {
		conn_close(conn);
	} else if (conn->sent == conn->out.len) {
		event_del(&conn->write);
		conn->answering = false;
		peer->in_work--;
		if (peer->close_after)
			conn_close(conn);
	} else if (peer->delay_ms > 0) {
		event_del(&conn->write);
		evtimer_add(&conn->pause, &tv);
	}
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct net_peer *peer = arg;
	struct net_conn *conn;
	struct event_base *base = loop_base(peer->loop);
	int on = 1;
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (c < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	assert_non_null(conn);
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->peer = peer;
	conn->fd = c;
	buf_init(&conn->in, 1 << 24);
	buf_init(&conn->out, 1 << 22);
	event_assign(&conn->read, base, c, EV_READ | EV_PERSIST, on_read, conn);
	event_assign(
		&conn->write, base, c, EV_WRITE | EV_PERSIST, on_write, conn);
	evtimer_assign(&conn->pause, base, on_pause_over, conn);
	LIST_INSERT_HEAD(&peer->conns, conn, link);
	peer->accepted++;
	peer->open++;
	if (!peer->deaf)
		event_add(&conn->read, NULL);
	net_wait_check();
}

static bool
peer_listen(struct net_peer *peer, struct loop *loop, const char *text)
{
	memset(peer, 0, sizeof(*peer));
	peer->loop = loop;
	LIST_INIT(&peer->conns);
	assert_int_equal(parse_addr_port(text, &peer->addr), 0);
	/* any port, which parse_addr_port() does not let through */
	((struct sockaddr_in *)(void *)&peer->addr.ss)->sin_port = 0;
	peer->fd = socket(peer->addr.ss.ss_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (peer->fd < 0)
		return false;
	if (bind(peer->fd, (void *)&peer->addr.ss, peer->addr.len) < 0) {
		close(peer->fd);
		return false;
	}
	assert_int_equal(listen(peer->fd, 256), 0);
	assert_int_equal(
		getsockname(peer->fd, (void *)&peer->addr.ss, &peer->addr.len),
		0);
	event_assign(&peer->accept, loop_base(loop), peer->fd,
		EV_READ | EV_PERSIST, on_accept, peer);
	event_add(&peer->accept, NULL);
	return true;
}

void
net_peer_start(struct net_peer *peer, struct loop *loop)
{
	assert_true(peer_listen(peer, loop, "127.0.0.1:1"));
}

bool
net_peer_start_v6(struct net_peer *peer, struct loop *loop)
{
	return peer_listen(peer, loop, "[::1]:1");
}

void
net_peer_stop(struct net_peer *peer)
{
	struct net_conn *conn;

	while ((conn = LIST_FIRST(&peer->conns)) != NULL)
		conn_close(conn);
	if (peer->fd < 0)
		return;
	event_del(&peer->accept);
	close(peer->fd);
	peer->fd = -1;
}

void
net_peer_ok(struct buf *out, const void *body, size_t len)
{
	buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
	buf_append(out, body, len);
}

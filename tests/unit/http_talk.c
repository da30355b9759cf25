/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/http_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/macros.h"
#include "tests/unit/net_peer.h"

#define SETTLE_PASSES 8

struct awaited {
	struct talk *talk;
	size_t len;
};

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct talk *t = arg;
	uint8_t bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		buf_append(&t->in, bytes, (size_t)n);
		assert_int_equal(buf_error(&t->in), 0);
	} else {
		t->over = true;
		t->reset = n < 0;
		talk_listen(t, false);
	}
	net_wait_check();
}

void
talk_begin(struct talk *t, struct loop *loop, int fd)
{
	int room = 1 << 20;

	*t = (struct talk){.loop = loop, .fd = fd};
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	buf_init(&t->in, 64 << 20);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	event_assign(&t->readable, loop_base(loop), fd, EV_READ | EV_PERSIST,
		on_readable, t);
	talk_listen(t, true);
}

void
talk_connect(struct talk *t, struct loop *loop, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	talk_begin(t, loop, fd);
}

void
talk_end(struct talk *t)
{
	talk_listen(t, false);
	close(t->fd);
	buf_done(&t->in);
}

void
talk_reset(struct talk *t)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(
		setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	talk_end(t);
}

void
talk_listen(struct talk *t, bool listening)
{
	if (t->listening == listening)
		return;
	t->listening = listening;
	if (listening)
		assert_int_equal(event_add(&t->readable, NULL), 0);
	else
		event_del(&t->readable);
}

/* The loop has to run when there is more than sockets hold. */
void
talk_send(struct talk *t, const void *data, size_t len)
{
	const uint8_t *p = data;
	unsigned idle = 0;

	while (len > 0) {
		ssize_t n = send(t->fd, p, len, MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(idle++ < 1000);
			talk_settle(t->loop);
			continue;
		}
		idle = 0;
		p += n;
		len -= (size_t)n;
	}
}

void
talk_say(struct talk *t, const char *text)
{
	talk_send(t, text, strlen(text));
}

void
talk_finish(struct talk *t)
{
	assert_int_equal(shutdown(t->fd, SHUT_WR), 0);
}

static bool
has_come(void *arg)
{
	struct awaited *a = arg;

	return a->talk->over || a->talk->in.len - a->talk->used >= a->len;
}

const uint8_t *
talk_await(struct talk *t, size_t len)
{
	struct awaited a = {.talk = t, .len = len};

	net_wait(t->loop, has_come, &a);
	if (t->in.len - t->used < len)
		fail_msg("%zu bytes came of %zu, then the end: %.*s",
			t->in.len - t->used, len, (int)(t->in.len - t->used),
			(const char *)t->in.data + t->used);
	t->used += len;
	return t->in.data + t->used - len;
}

void
talk_expect_bytes(struct talk *t, const void *data, size_t len)
{
	assert_memory_equal(talk_await(t, len), data, len);
}

void
talk_expect(struct talk *t, const char *text)
{
	size_t len = strlen(text);
	const uint8_t *got = talk_await(t, len);

	if (memcmp(got, text, len) != 0)
		fail_msg("expected \"%s\", got \"%.*s\"", text, (int)len,
			(const char *)got);
}

void
talk_expect_end(struct talk *t)
{
	struct awaited a = {.talk = t, .len = SIZE_MAX};

	net_wait(t->loop, has_come, &a);
	assert_int_equal(t->in.len, t->used);
}

void
talk_expect_nothing(struct talk *t)
{
	talk_settle(t->loop);
	assert_int_equal(t->in.len, t->used);
	assert_false(t->over);
}

struct passes {
	struct loop_deferred deferred;
	struct loop *loop;
	unsigned left;
};

static void
on_pass(struct loop_deferred *d)
{
	struct passes *p = container_of(d, struct passes, deferred);

	if (p->left-- > 0)
		loop_defer(p->loop, d);
	else
		loop_stop(p->loop);
}

void
talk_settle(struct loop *loop)
{
	struct passes p = {
		.deferred.fn = on_pass, .loop = loop, .left = SETTLE_PASSES};

	loop_defer(loop, &p.deferred);
	assert_int_equal(loop_run(loop), 0);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything here waits, with one deadline for the whole call.  Descriptors of
 * frames that nobody asked for are closed by the channel.
 */
#include "proto/ipc_call.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "proto/peerdist_errors.h"

const char *
ipc_socket_path(void)
{
	const char *path = secure_getenv("PEERDIST_SOCKET");

	return path != NULL && path[0] != '\0' ? path : IPC_SOCKET_DEFAULT;
}

static uint64_t
deadline_after(int timeout_ms)
{
	return clock_now_us() + (uint64_t)MAX_OF(timeout_ms, 0) * US_PER_MS;
}

/* Rounded up, so that a poll of this length does not end early. */
static int
ms_left(uint64_t deadline)
{
	uint64_t now = clock_now_us();

	if (now >= deadline)
		return 0;
	return (int)MIN_OF(
		(deadline - now + US_PER_MS - 1) / US_PER_MS, 3600 * 1000u);
}

static int
set_send_timeout(int fd, int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return err_new(-errno);
	return 0;
}

/* A connect on a full backlog waits as long as a send may. */
static int
connect_until(int fd, const struct sockaddr_un *sun, uint64_t deadline)
{
	for (;;) {
		int r = set_send_timeout(fd, MAX_OF(ms_left(deadline), 1));

		if (r < 0)
			return err_pass(r);
		if (connect(fd, (const void *)sun, sizeof(*sun)) == 0)
			return err_pass(set_send_timeout(fd, 0));
		if (errno == EAGAIN)
			return err_new(-ETIMEDOUT);
		if (errno != EINTR)
			return err_new(-errno);
		if (ms_left(deadline) == 0)
			return err_new(-ETIMEDOUT);
	}
}

int
ipc_connect(const char *path, int timeout_ms)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	AUTO_FD int fd = -1;
	int r;

	if (strlen(path) >= sizeof(sun.sun_path))
		return err_new(-ENAMETOOLONG);
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_new(-errno);
	r = connect_until(fd, &sun, deadline_after(timeout_ms));
	if (r < 0)
		return err_pass(r);
	return TAKE_FD(fd);
}

static int
wait_for(struct ipc_chan *c, short events, uint64_t deadline)
{
	struct pollfd pfd = {ipc_chan_fd(c), events, 0};

	for (;;) {
		int ms = ms_left(deadline);
		int n = poll(&pfd, 1, ms);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_new(-errno);
		if (ms == 0)
			return err_new(-ETIMEDOUT);
	}
}

static int
flush_until(struct ipc_chan *c, uint64_t deadline)
{
	for (;;) {
		int r = ipc_chan_flush(c);

		if (r != -EAGAIN)
			return err_pass(r);
		r = wait_for(c, POLLOUT, deadline);
		if (r < 0)
			return err_pass(r);
	}
}

/* The next frame.  One of an unknown type is no reason to give up: a newer
 * daemon may say things that we need not understand. */
static int
next_until(struct ipc_chan *c, uint64_t deadline, struct ipc_msg *ret_msg)
{
	for (;;) {
		bool more;
		int r = ipc_chan_next(c, ret_msg);

		if (r == IPC_E_UNKNOWN)
			continue;
		if (r > 0)
			return err_new(-EPROTO);
		if (r != -EAGAIN)
			return err_pass(r);
		r = ipc_chan_read(c, false, &more);
		if (r == -EAGAIN)
			r = wait_for(c, POLLIN, deadline);
		if (r < 0)
			return err_pass(r);
	}
}

/* The area that came with the daemon's HELLO, checked. */
static int
take_area(struct ipc_chan *c, const Pd__Hello *h, struct ipc_area *ret_area)
{
	AUTO_FD int fd = ipc_chan_take_fd(c, 0);
	int r;

	*ret_area = (struct ipc_area){-1, 0, 0};
	if (fd < 0)
		return 0;
	r = fd_memfd_check(fd, (size_t)h->write_size + h->read_size);
	if (r < 0)
		return err_new(-EPROTO);
	ret_area->write_size = h->write_size;
	ret_area->read_size = h->read_size;
	ret_area->fd = TAKE_FD(fd);
	return 0;
}

static int
take_hello(struct ipc_chan *c, const Pd__Hello *h, struct ipc_greeting *g)
{
	uint32_t version = MIN_OF(h->max_version, IPC_VERSION_MAX);

	if (version < h->min_version || version < IPC_VERSION_MIN)
		return err_new(-EPROTONOSUPPORT);
	g->version = version;
	g->features = h->features;
	g->max_operations = h->max_operations;
	g->status = h->status;
	g->min_content_version = h->min_content_version;
	g->max_content_version = h->max_content_version;
	return err_pass(take_area(c, h, &g->area));
}

int
ipc_greet(struct ipc_chan *c, uint64_t features, const char *name,
	int timeout_ms, struct ipc_greeting *ret_greeting)
{
	uint64_t deadline = deadline_after(timeout_ms);
	Pd__Hello hello = PD__HELLO__INIT;
	struct ipc_greeting g;
	struct ipc_msg msg;
	int r;

	hello.min_version = IPC_VERSION_MIN;
	hello.max_version = IPC_VERSION_MAX;
	hello.features = features;
	hello.name = (char *)name;
	r = ipc_chan_queue(c, IPC_HELLO, 0, &hello.base, NULL, 0);
	if (r == 0)
		r = flush_until(c, deadline);
	if (r == 0)
		r = next_until(c, deadline, &msg);
	if (r < 0)
		return err_pass(r);
	if (msg.header.type == IPC_HELLO)
		r = take_hello(c, msg.u.hello, &g);
	else if (msg.header.type == IPC_REPLY &&
		msg.u.reply->code == PEERDIST_ERROR_VERSION_UNSUPPORTED)
		r = err_new(-EPROTONOSUPPORT);
	else
		r = err_new(-EPROTO);
	ipc_msg_done(&msg);
	if (r == 0)
		*ret_greeting = g;
	return r;
}

int
ipc_call_send(struct ipc_chan *c, enum ipc_type type, uint64_t id,
	const ProtobufCMessage *body, int fd, int timeout_ms)
{
	int r = ipc_chan_queue(c, type, id, body, &fd, fd >= 0 ? 1 : 0);

	if (r == 0)
		r = flush_until(c, deadline_after(timeout_ms));
	return err_pass(r);
}

int
ipc_call_next(struct ipc_chan *c, int timeout_ms, struct ipc_msg *ret_msg)
{
	return err_pass(next_until(c, deadline_after(timeout_ms), ret_msg));
}

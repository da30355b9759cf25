/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP's head and the first bytes of the body are put together in one buffer,
 * which the connection keeps.  A span of memory goes out with it in one call; a
 * span of a file follows by sendfile, and MSG_MORE keeps the two in one
 * segment.
 *
 * One sendfile() ends where its pipe of 16 pages does.  A block begins anywhere
 * in a page, so all of it is two pipes full; sent by one call, both reach TCP
 * together, and a congestion control with pacing (BBR) then sets a timer for
 * the second packet of loopback's 64 KiB: three times the cost of everything
 * else.  Sent by two calls, the first has left before the second comes.
 */
#include "daemon/net/http_conn_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/macros.h"

#define HEAD_MAX  (1u << 20)
#define HEAD_KEPT 4096u /* of an idle connection */
#define PIPE_PAGE 4096u
#define PIPE_SIZE (16u * PIPE_PAGE)

static void
put(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

/* printf would be a tenth of what this side does for a request. */
static void
put_number(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	buf_append(b, digits + at, sizeof(digits) - at);
}

static void
put_status(struct buf *b, unsigned status)
{
	put(b, "HTTP/1.1 ");
	put_number(b, status);
	put(b, " ");
	put(b, http_status_str((enum http_status)status));
	put(b, "\r\n");
}

static void
put_methods(struct buf *b, uint64_t methods)
{
	const char *between = " ";

	put(b, "Allow:");
	for (unsigned m = 0; m < 64; m++) {
		if (!(methods >> m & 1))
			continue;
		put(b, between);
		put(b, http_method_str((enum http_method)m));
		between = ", ";
	}
	put(b, "\r\n");
}

/* HTTP/1.0 closes unless told otherwise, 1.1 the other way round. */
static void
put_connection(struct http_conn *c, struct buf *b)
{
	if (c->out.close)
		put(b, "Connection: close\r\n");
	else if (c->parser.http_major == 1 && c->parser.http_minor == 0)
		put(b, "Connection: keep-alive\r\n");
}

static void
begin(struct http_conn *c, unsigned status, uint64_t len)
{
	struct buf *b = &c->out.head;

	if (b->max == 0)
		buf_init(b, HEAD_MAX);
	buf_reset(b);
	put_status(b, status);
	put(b, "Content-Length: ");
	put_number(b, len);
	put(b, "\r\n");
	put_connection(c, b);
}

bool
http_output_set(struct http_conn *c, const struct http_answer *a)
{
	struct http_output *out = &c->out;
	struct buf *b = &out->head;
	bool silent = c->parser.method == HTTP_HEAD;

	out->close = a->close || !c->in.keep_alive;
	out->linger = out->close && a->status >= 400;
	begin(c, a->status, a->head_len + a->span);
	if (a->type != NULL) {
		put(b, "Content-Type: ");
		put(b, a->type);
		put(b, "\r\n");
	}
	if (a->fields != NULL)
		put(b, a->fields);
	put(b, "\r\n");
	if (!silent && a->head_len > 0)
		buf_append(b, a->head, a->head_len);
	out->head_sent = 0;
	out->bytes = a->bytes;
	out->fd = a->fd;
	out->offset = a->offset;
	out->span = silent ? 0 : a->span;
	out->span_sent = 0;
	return buf_error(b) == 0;
}

bool
http_output_refuse(struct http_conn *c)
{
	struct http_output *out = &c->out;
	struct buf *b = &out->head;

	out->close = !c->in.keep_alive;
	out->linger = out->close;
	begin(c, c->in.refusal, 0);
	if (c->in.refusal == 405)
		put_methods(b, c->service != NULL ? c->service->methods : 0);
	put(b, "\r\n");
	out->head_sent = 0;
	out->span = 0;
	out->span_sent = 0;
	return buf_error(b) == 0;
}

bool
http_output_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* All answers before have left, so there is room for it. */
	return send(c->fd, text, sizeof(text) - 1, MSG_NOSIGNAL) ==
		(ssize_t)sizeof(text) - 1;
}

/* The rest of the head, with as much of a span in memory as may go. */
static ssize_t
send_memory(struct http_conn *c, uint64_t share)
{
	struct http_output *out = &c->out;
	uint64_t left = MIN_OF(out->span - out->span_sent, share);
	struct iovec iov[2] = {
		{.iov_base = out->head.data + out->head_sent,
			.iov_len = out->head.len - out->head_sent},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 1};

	if (out->bytes == NULL)
		return send(c->fd, iov[0].iov_base, iov[0].iov_len,
			MSG_NOSIGNAL | (left > 0 ? MSG_MORE : 0));
	if (left > 0) {
		iov[1].iov_base = (void *)(out->bytes + out->span_sent);
		iov[1].iov_len = left;
		msg.msg_iovlen = 2;
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

static void
count_memory(struct http_output *out, size_t n, uint64_t *share)
{
	size_t head = MIN_OF(n, out->head.len - out->head_sent);

	out->head_sent += head;
	out->span_sent += n - head;
	*share -= n - head;
}

static ssize_t
send_some(struct http_conn *c, uint64_t *share)
{
	struct http_output *out = &c->out;
	off_t offset = (off_t)(out->offset + out->span_sent);
	uint64_t piece = PIPE_SIZE - (uint64_t)offset % PIPE_PAGE;
	ssize_t n;

	if (out->head_sent < out->head.len || out->bytes != NULL) {
		n = send_memory(c, *share);
		if (n > 0)
			count_memory(out, (size_t)n, share);
		return n;
	}
	piece = MIN_OF(piece, *share);
	n = sendfile(c->fd, out->fd, &offset,
		MIN_OF(out->span - out->span_sent, piece));
	if (n > 0) {
		out->span_sent += (uint64_t)n;
		*share -= (uint64_t)n;
	}
	return n;
}

enum http_send
http_output_send(struct http_conn *c, uint64_t *share, bool *ret_progress)
{
	struct http_output *out = &c->out;

	*ret_progress = false;
	while (out->head_sent < out->head.len || out->span_sent < out->span) {
		ssize_t n;

		if (*share == 0)
			return HTTP_SEND_SHARE;
		n = send_some(c, share);
		if (n > 0)
			*ret_progress = true;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return HTTP_SEND_BLOCKED;
		else if (n == 0 || errno != EINTR)
			return HTTP_SEND_FAILED; /* 0: the file ends early */
	}
	if (out->head.cap > HEAD_KEPT)
		buf_done(&out->head);
	return HTTP_SEND_DONE;
}

uint64_t
http_conn_span_sent(const struct http_conn *c)
{
	return c->out.span_sent;
}

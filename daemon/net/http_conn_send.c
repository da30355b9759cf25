/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP's head and the first bytes of the body are put together in one buffer,
 * which the connection keeps.  A span of memory goes out with it in one call; a
 * span of a file follows by sendfile, and MSG_MORE keeps the two in one
 * segment.  Further parts go the same way, one after the other.
 *
 * sendfile() of what is not in the page cache would make everybody wait for the
 * disk.  Where the service can have it read, the next part of the file is
 * looked at before anything of it is sent, its text included: MSG_MORE would
 * hold that back meanwhile.  What was looked at or read is not looked at again,
 * be it that reading failed: sendfile() finds out why.
 *
 * Of a file system that may stall nobody knows that it will not ask its server
 * once more for what has just been read (FUSE with direct I/O always does, NFS
 * when it hears of a change).  So there the service brings the bytes, and
 * sendfile() is not called at all.
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
#include <time.h>

#include "common/macros.h"
#include "daemon/net/http_date.h"
#include "daemon/net/warm.h"

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
	else if (http_conn_is_old(c))
		put(b, "Connection: keep-alive\r\n");
}

/* Neither of these has a body, nor the length of one. */
static bool
is_bodiless(unsigned status)
{
	return status == HTTP_STATUS_NO_CONTENT ||
		status == HTTP_STATUS_NOT_MODIFIED;
}

static void
begin(struct http_conn *c, unsigned status, uint64_t len)
{
	struct buf *b = &c->out.head;

	if (b->max == 0)
		buf_init(b, HEAD_MAX);
	buf_reset(b);
	put_status(b, status);
	if (!is_bodiless(status)) {
		put(b, "Content-Length: ");
		put_number(b, len);
		put(b, "\r\n");
	}
	put_connection(c, b);
}

/* The head is whole.  false: no memory. */
static bool
end(struct http_output *out)
{
	out->text = out->head.data;
	out->text_len = out->head.len;
	out->text_sent = 0;
	out->span = 0;
	out->span_sent = 0;
	out->spans_before = 0;
	out->n_parts = 0;
	out->warm_len = 0;
	out->warm_bytes = NULL;
	return buf_error(&out->head) == 0;
}

static uint64_t
body_len(const struct http_answer *a)
{
	uint64_t len = a->head_len + a->span;

	for (size_t i = 0; i < a->n_parts; i++)
		len += a->parts[i].head_len + a->parts[i].span;
	return len;
}

bool
http_output_set(struct http_conn *c, const struct http_answer *a)
{
	struct http_output *out = &c->out;
	struct buf *b = &out->head;
	bool silent = c->parser.method == HTTP_HEAD || is_bodiless(a->status);

	out->close = a->close || !c->in.keep_alive;
	out->linger = out->close && a->status >= 400;
	begin(c, a->status, body_len(a));
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
	if (!end(out))
		return false;
	if (silent)
		return true;
	out->bytes = a->bytes;
	out->fd = a->fd;
	out->slow = a->slow;
	out->offset = a->offset;
	out->span = a->span;
	out->parts = a->parts;
	out->n_parts = a->n_parts;
	return true;
}

static void
put_date(struct buf *b)
{
	char text[HTTP_DATE_TEXT];

	http_date_format(text, time(NULL));
	put(b, "Date: ");
	put(b, text);
	put(b, "\r\n");
}

bool
http_output_refuse(struct http_conn *c)
{
	struct http_output *out = &c->out;
	struct buf *b = &out->head;

	out->close = !c->in.keep_alive;
	out->linger = out->close;
	begin(c, c->in.refusal, 0);
	if (c->set->limits.dated)
		put_date(b);
	if (c->in.refusal == 405)
		put_methods(b, c->service != NULL ? c->service->methods : 0);
	put(b, "\r\n");
	return end(out);
}

bool
http_output_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* All answers before have left, so there is room for it. */
	return send(c->fd, text, sizeof(text) - 1, MSG_NOSIGNAL) ==
		(ssize_t)sizeof(text) - 1;
}

/* The rest of the text, with as much of a span in memory as may go. */
static ssize_t
send_memory(struct http_conn *c, uint64_t share)
{
	struct http_output *out = &c->out;
	uint64_t left = MIN_OF(out->span - out->span_sent, share);
	struct iovec iov[2] = {
		{.iov_base = (void *)(out->text + out->text_sent),
			.iov_len = out->text_len - out->text_sent},
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
	size_t text = MIN_OF(n, out->text_len - out->text_sent);

	out->text_sent += text;
	out->span_sent += n - text;
	*share -= n - text;
}

/* How much of the span one call may take: to the end of the pipe, of the share,
 * and of what was looked at. */
static size_t
piece_at(const struct http_output *out, uint64_t at, uint64_t share)
{
	uint64_t piece = PIPE_SIZE - at % PIPE_PAGE;

	piece = MIN_OF(piece, share);
	piece = MIN_OF(piece, out->span - out->span_sent);
	if (out->warm_len > 0)
		piece = MIN_OF(piece, out->warm_at + out->warm_len - at);
	return piece;
}

static ssize_t
send_file(struct http_conn *c, uint64_t at, size_t piece)
{
	const struct http_output *out = &c->out;
	off_t offset = (off_t)at;

	if (out->warm_bytes != NULL)
		return send(c->fd, out->warm_bytes + (at - out->warm_at), piece,
			MSG_NOSIGNAL);
	return sendfile(c->fd, out->fd, &offset, piece);
}

static ssize_t
send_some(struct http_conn *c, uint64_t *share)
{
	struct http_output *out = &c->out;
	uint64_t at = out->offset + out->span_sent;
	ssize_t n;

	if (out->text_sent < out->text_len || out->bytes != NULL) {
		n = send_memory(c, *share);
		if (n > 0)
			count_memory(out, (size_t)n, share);
		return n;
	}
	n = send_file(c, at, piece_at(out, at, *share));
	if (n > 0) {
		out->span_sent += (uint64_t)n;
		*share -= (uint64_t)n;
	}
	return n;
}

/* To the next part, if this one has left.  false: all of them have. */
static bool
has_more(struct http_output *out)
{
	while (out->text_sent == out->text_len && out->span_sent == out->span) {
		const struct http_part *part = out->parts;

		if (out->n_parts == 0)
			return false;
		out->parts++;
		out->n_parts--;
		out->text = part->head;
		out->text_len = part->head_len;
		out->text_sent = 0;
		out->spans_before += out->span;
		out->bytes = NULL;
		out->offset = part->offset;
		out->span = part->span;
		out->span_sent = 0;
	}
	return true;
}

/* Looks at what may leave now, but has a whole window read. */
static bool
is_cold(struct http_conn *c, uint64_t share)
{
	struct http_output *out = &c->out;
	uint64_t at = out->offset + out->span_sent;
	uint64_t left = out->span - out->span_sent;

	if (left == 0 || out->bytes != NULL || c->service->cold == NULL ||
		at - out->warm_at < out->warm_len)
		return false;
	out->warm_at = at;
	out->warm_bytes = NULL;
	out->warm_len = MIN_OF(left, share);
	if (!out->slow && warm_is(out->fd, at, out->warm_len))
		return false;
	out->warm_len = MIN_OF(left, WARM_WINDOW);
	return true;
}

enum http_send
http_output_send(struct http_conn *c, uint64_t *share, bool *ret_progress)
{
	struct http_output *out = &c->out;

	*ret_progress = false;
	while (has_more(out)) {
		ssize_t n;

		if (*share == 0)
			return HTTP_SEND_SHARE;
		if (is_cold(c, *share))
			return HTTP_SEND_COLD;
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

bool
http_output_is_whole(const struct http_conn *c)
{
	return c->out.text == c->out.head.data && c->out.text_sent == 0;
}

void
http_output_cools(struct http_conn *c)
{
	if (c->out.warm_bytes == NULL)
		c->out.warm_len = 0;
}

uint64_t
http_conn_span_sent(const struct http_conn *c)
{
	return c->out.spans_before + c->out.span_sent;
}

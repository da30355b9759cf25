/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that comes goes into one piece of memory, which is got when the
 * first byte of an answer is there and handed over with the body in it:
 *
 *	| headers (read, forgotten) | body ... | room for more |
 *	                            at         at + len
 *
 * One recv() brings the headers and, if it came already, the body behind them,
 * which stays where it is.  What is not body is forgotten once the parser had
 * it: headers that come in pieces are received over each other, and a body in
 * chunks is moved together.  ROOM is what the memory is larger than the largest
 * body, so that headers of usual size move nothing, and so that there is always
 * room for the next byte: a peer that sends more than it may is noticed.
 *
 * Errors of sending are not looked at: the connection is readable then, and
 * receiving tells.  That way a request never ends while it is being asked, and
 * an answer that came before the whole request was taken still counts.
 */
#include "daemon/net/http_link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/err.h"
#include "common/macros.h"

#define OVERHEAD_MAX 32768u /* headers, also of 1xx answers; chunk sizes */
#define ROOM         2048u
#define ROOM_LEAST   256u
#define WAKE_LEAST   8192u
#define WAKE_MOST    65536u

static void
link_over(struct http_link *link)
{
	loop_alarm_stop(&link->alarm);
	link->over(link);
}

/* keep: as far as the answer is concerned. */
static void
link_end(struct http_link *link, enum http_result result, bool keep)
{
	struct http_request *req = link->request;

	req->result = result;
	if (result == HTTP_DONE) {
		req->memory = TAKE_PTR(link->memory);
		req->data = req->memory + link->at;
		req->data_len = link->len;
	}
	free(TAKE_PTR(link->memory));
	link->keep = keep && link->sent == link->head_len + req->body_len;
	link->used = true;
	link_over(link);
}

/* The connection is gone in the middle of everything. */
static void
link_lost(struct http_link *link)
{
	link->stale = link->used && link->overhead + link->len == 0;
	link_end(link, HTTP_REFUSED, false);
}

static void
on_alarm(struct loop_alarm *a)
{
	struct http_link *link = container_of(a, struct http_link, alarm);

	if (link->request != NULL)
		link_end(link, HTTP_TIMEOUT, false);
	else
		link_over(link);
}

/* What http-parser calls; another result than 0 ends the parsing. */

static int
fail(struct http_link *link, enum http_result result)
{
	link->failure = result;
	return -1;
}

static int
on_headers_complete(struct http_parser *p)
{
	struct http_link *link = p->data;

	if (p->http_major != 1)
		return fail(link, HTTP_GARBAGE);
	if (p->status_code < 200 && p->status_code != 101)
		return 0;
	link->final = true;
	link->request->status = p->status_code;
	/* UINT64_MAX: no length is told */
	if (p->status_code != 200 || p->content_length == UINT64_MAX)
		return 0;
	if (p->content_length > link->request->max_response)
		return fail(link, HTTP_TOO_BIG);
	link->length = p->content_length;
	return 0;
}

static int
on_body(struct http_parser *p, const char *data, size_t n)
{
	struct http_link *link = p->data;
	uint8_t *next = link->memory + link->at + link->len;

	/* nobody waits for the text of an error page */
	if (link->request->status != 200)
		return 0;
	if (n > link->request->max_response - link->len)
		return fail(link, HTTP_TOO_BIG);
	if (link->len == 0)
		link->at = (size_t)((const uint8_t *)data - link->memory);
	else if ((const uint8_t *)data != next)
		memmove(next, data, n);
	link->len += n;
	return 0;
}

static int
on_message_complete(struct http_parser *p)
{
	struct http_link *link = p->data;

	if (!link->final)
		return 0;
	link->complete = true;
	/* so that what follows is not taken for another answer */
	http_parser_pause(p, 1);
	return 0;
}

static const struct http_parser_settings parser_calls = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* Receiving */

/* Of what is not body nothing has to be kept. */
static void
make_room(struct http_link *link)
{
	if (link->len == 0)
		link->at = 0;
	if (link->at <= ROOM - ROOM_LEAST)
		return;
	memmove(link->memory, link->memory + link->at, link->len);
	link->at = 0;
}

static void
set_wake(struct http_link *link, size_t n)
{
	int value = (int)n;

	if (link->wake == n)
		return;
	(void)setsockopt(
		link->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
	link->wake = n;
}

/* A large body that comes slowly, as over a network of 1 Gbit/s, would wake the
 * loop for each few segments: a multiple of what the request costs otherwise.
 * It is woken for the whole rest instead; never for more than is to come. */
static void
wait_for_rest(struct http_link *link)
{
	size_t missing;

	make_room(link);
	missing = link->length > link->len ? link->length - link->len : 0;
	if (missing >= WAKE_LEAST)
		set_wake(link, MIN_OF(missing, WAKE_MOST));
	else
		set_wake(link, 1);
}

/* n bytes came behind the body; 0: no more will come. */
static void
link_parse(struct http_link *link, size_t n)
{
	const uint8_t *data = link->memory + link->at + link->len;
	struct http_request *req = link->request;
	size_t had = link->len;
	size_t used = http_parser_execute(
		&link->parser, &parser_calls, (const char *)data, n);

	link->overhead += n - (link->len - had);
	if (link->complete)
		link_end(link, req->status == 200 ? HTTP_DONE : HTTP_STATUS,
			n > 0 && used == n && req->status != 101 &&
				http_should_keep_alive(&link->parser));
	else if (link->failure != HTTP_DONE)
		link_end(link, link->failure, false);
	else if (n == 0)
		link_lost(link);
	else if (HTTP_PARSER_ERRNO(&link->parser) != HPE_OK)
		link_end(link, HTTP_GARBAGE, false);
	else if (link->final && req->status != 200)
		link_end(link, HTTP_STATUS, false);
	else if (link->overhead > OVERHEAD_MAX)
		link_end(link, HTTP_TOO_BIG, false);
	else
		wait_for_rest(link);
}

static void
link_receive(struct http_link *link)
{
	size_t had = link->at + link->len;
	ssize_t n;

	if (link->memory == NULL) {
		link->size = link->request->max_response + ROOM;
		link->memory = malloc(link->size);
	}
	if (link->memory == NULL) {
		link_end(link, HTTP_NO_MEMORY, false);
		return;
	}
	n = recv(link->fd, link->memory + had, link->size - had, 0);
	if (n >= 0)
		link_parse(link, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		link_lost(link);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct http_link *link = arg;
	char byte;

	/* Whatever comes without a question, the connection is spoilt. */
	if (link->request != NULL)
		link_receive(link);
	else if (recv(fd, &byte, 1, 0) >= 0 || errno != EAGAIN)
		link_over(link);
}

/* Sending */

/* false: the rest has to wait until the connection takes more. */
static bool
link_send(struct http_link *link)
{
	const struct http_request *req = link->request;
	size_t of_head = MIN_OF(link->sent, link->head_len);
	size_t of_body = link->sent - of_head;
	struct iovec iov[2] = {
		{link->head + of_head, link->head_len - of_head},
		{(uint8_t *)req->body + of_body, req->body_len - of_body},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = sendmsg(link->fd, &msg, MSG_NOSIGNAL);

	if (n < 0)
		return errno != EAGAIN && errno != EINTR && errno != ENOBUFS &&
			errno != ENOMEM;
	link->sent += (size_t)n;
	return link->sent == link->head_len + req->body_len;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct http_link *link = arg;

	link->connecting = false;
	if (link->request == NULL || link_send(link))
		event_del(&link->writable);
}

static size_t
format_head(char *dst, const struct http_request *req, const char *name)
{
	int n = snprintf(dst, HTTP_LINK_HEAD_MAX,
		"POST %s HTTP/1.1\r\n"
		"Host: %s\r\n"
		"Content-Type: application/octet-stream\r\n"
		"Content-Length: %zu\r\n"
		"\r\n",
		req->path, name, req->body_len);

	assert(n > 0 && n < HTTP_LINK_HEAD_MAX);
	return (size_t)n;
}

static bool
link_watch(struct http_link *link)
{
	struct event_base *base = loop_base(link->loop);

	event_assign(&link->readable, base, link->fd, EV_READ | EV_PERSIST,
		on_readable, link);
	event_assign(&link->writable, base, link->fd, EV_WRITE | EV_PERSIST,
		on_writable, link);
	return event_add(&link->readable, NULL) == 0 &&
		event_add(&link->writable, NULL) == 0;
}

static int
link_connect(struct http_link *link, const struct parse_addr *addr)
{
	int on = 1;

	link->fd = socket(addr->ss.ss_family,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return err_new(-errno);
	(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	link->connecting = true;
	if (connect(link->fd, (const void *)&addr->ss, addr->len) < 0 &&
		errno != EINPROGRESS)
		return err_new(-errno);
	return 0;
}

int
http_link_new(struct http_link **ret, struct loop *loop,
	const struct parse_addr *addr, struct http_host *host,
	void (*over)(struct http_link *))
{
	struct http_link *link = calloc(1, sizeof(*link));
	int r;

	if (link == NULL)
		return err_new(-ENOMEM);
	link->loop = loop;
	link->host = host;
	link->over = over;
	link->wake = 1;
	loop_alarm_init(&link->alarm, loop, on_alarm);
	r = link_connect(link, addr);
	if (r == 0 && !link_watch(link))
		r = err_new(-ENOMEM);
	if (r != 0) {
		http_link_free(link);
		return err_pass(r);
	}
	*ret = link;
	return 0;
}

struct http_link *
http_link_free(struct http_link *link)
{
	if (link == NULL)
		return NULL;
	loop_alarm_stop(&link->alarm);
	if (event_initialized(&link->readable)) {
		event_del(&link->readable);
		event_del(&link->writable);
	}
	if (link->fd >= 0)
		close(link->fd);
	free(link->memory);
	free(link);
	return NULL;
}

bool
http_link_ask(struct http_link *link, struct http_request *req,
	const char *name, uint64_t due_ms)
{
	uint64_t now = loop_now_ms();

	assert(link->request == NULL);
	link->request = req;
	link->head_len = format_head(link->head, req, name);
	link->sent = 0;
	link->keep = link->stale = false;
	link->final = link->complete = false;
	link->failure = HTTP_DONE;
	link->at = link->len = link->overhead = link->length = 0;
	http_parser_init(&link->parser, HTTP_RESPONSE);
	link->parser.data = link;
	loop_alarm_start(&link->alarm, due_ms > now ? due_ms - now : 0);
	if (link->connecting || link_send(link))
		return true;
	return event_add(&link->writable, NULL) == 0;
}

void
http_link_rest(struct http_link *link, unsigned ms)
{
	link->request = NULL;
	set_wake(link, 1);
	loop_alarm_start(&link->alarm, ms);
}

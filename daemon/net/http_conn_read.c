/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input buffer
 *
 *   0        begin                 body    body+body_len        end      cap
 *   | answered | head of the request | body ... | not parsed yet | free     |
 *
 * A body of known length lies where it was received.  A chunked one is moved
 * together, and what was parsed of chunk headers makes room for what comes: the
 * buffer never needs more than head and body.  It begins small, since most
 * requests are 300 bytes, grows by doubling as bytes arrive (never as they are
 * promised), and is small again when the connection is idle.
 *
 * http-parser is not strict enough in a few places where leniency lets two
 * hosts see two different requests: blanks before the colon of a header, NUL in
 * a header, CR within a line, a header of several lines, a transfer coding
 * beside "chunked", be it the same again.  These are refused here.  What it
 * takes for the ends of lines between chunks is more than can be looked at from
 * here, so nothing that follows a chunked body on its connection is believed to
 * be a request.
 */
#include "daemon/net/http_conn_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/macros.h"

#define FIRST_SIZE  2048u
#define DISCARD_MAX 98304u /* of a body that nobody wants */
/* A request may be so many times larger than its body by chunk headers. */
#define RAW_TIMES 4u

static struct http_conn *
conn_of(http_parser *p)
{
	return p->data;
}

/* Refused; nothing more of this request is looked at. */
static int
refuse(struct http_conn *c, unsigned status)
{
	c->in.refusal = status;
	c->in.given_up = true;
	return -1;
}

/* Refused; its body is still read, so that the connection can go on. */
static int
refuse_politely(struct http_conn *c, unsigned status)
{
	uint64_t len = c->parser.content_length;

	if (len != UINT64_MAX && len > DISCARD_MAX)
		return refuse(c, status);
	c->in.refusal = status;
	c->in.discard = true;
	return 0;
}

/* Callbacks of the parser */

static int
on_url(http_parser *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);

	if (c->in.url_len == 0)
		c->in.url = (size_t)((const uint8_t *)at - c->in.data);
	c->in.url_len += len;
	return 0;
}

static int
on_header_field(http_parser *p, const char *at, size_t len)
{
	return memchr(at, ' ', len) == NULL ? 0 : refuse(conn_of(p), 400);
}

static int
on_header_value(http_parser *p, const char *at, size_t len)
{
	return memchr(at, 0, len) == NULL ? 0 : refuse(conn_of(p), 400);
}

/* The path of "/path?query" and of "http://host/path"; none in "*" and
 * "host:port".  That of "http://host" is "/", like the one behind "http:". */
static void
find_path(struct http_conn *c)
{
	struct http_input *in = &c->in;
	const char *url = (const char *)in->data + in->url;
	struct http_parser_url parts;

	in->path = in->url;
	in->path_len = 0;
	if (in->url_len == 0)
		return;
	if (*url == '/') {
		while (in->path_len < in->url_len && url[in->path_len] != '?' &&
			url[in->path_len] != '#')
			in->path_len++;
		return;
	}
	http_parser_url_init(&parts);
	if (*url == '*' || c->parser.method == HTTP_CONNECT ||
		http_parser_parse_url(url, in->url_len, 0, &parts) != 0)
		return;
	if (parts.field_set & 1u << UF_PATH) {
		in->path += parts.field_data[UF_PATH].off;
		in->path_len = parts.field_data[UF_PATH].len;
	} else if (parts.field_set & 1u << UF_SCHEMA) {
		in->path += parts.field_data[UF_SCHEMA].len + 1u;
		in->path_len = 1;
	}
}

static bool
is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r';
}

/* The end of the request line. */
static const char *
first_line(const struct http_conn *c)
{
	return (const char *)c->in.data + c->in.url + c->in.url_len;
}

struct header {
	const char *line;
	const char *stop; /* its LF */
	size_t name_len;
	const char *value;
	size_t len;
};

/* The line behind the one of at.  The head was found to be one, and lines end
 * in LF with or without CR.  false: it is the empty one. */
static bool
next_header(const struct http_conn *c, const char *at, struct header *ret)
{
	const char *end = (const char *)c->in.data + c->in.end;
	const char *stop, *colon;

	*ret = (struct header){0};
	at = memchr(at, '\n', (size_t)(end - at));
	if (at == NULL)
		return false;
	ret->line = ++at;
	stop = memchr(at, '\n', (size_t)(end - at));
	if (stop == NULL || *at == '\r' || *at == '\n')
		return false;
	ret->stop = stop;
	colon = memchr(at, ':', (size_t)(stop - at));
	if (colon == NULL)
		return true;
	ret->name_len = (size_t)(colon - at);
	at = colon + 1;
	while (at < stop && is_blank(*at))
		at++;
	while (stop > at && is_blank(stop[-1]))
		stop--;
	ret->value = at;
	ret->len = (size_t)(stop - at);
	return true;
}

/* Does everybody see the same lines?  CR is but a part of a line's end, and no
 * line is the rest of another. */
static bool
are_lines(const struct http_conn *c)
{
	struct header h = {.stop = first_line(c)};

	while (next_header(c, h.stop, &h)) {
		const char *cr =
			memchr(h.line, '\r', (size_t)(h.stop - h.line));

		if (h.name_len == 0 || is_blank(*h.line) ||
			(cr != NULL && cr + 1 != h.stop))
			return false;
	}
	return h.line != NULL && (*h.line != '\r' || h.line[1] == '\n');
}

/* In the lines behind the one of at. */
static const char *
header_behind(const struct http_conn *c, const char *at, const char *name,
	size_t *ret_len)
{
	size_t len = strlen(name);
	struct header h = {.stop = at};

	while (next_header(c, h.stop, &h)) {
		if (h.name_len != len || strncasecmp(h.line, name, len) != 0)
			continue;
		*ret_len = h.len;
		return h.value;
	}
	return NULL;
}

/* Nothing else beside it, nor the same again. */
static bool
is_chunked_once(const struct http_conn *c)
{
	static const char name[] = "Transfer-Encoding", value[] = "chunked";
	size_t len;
	const char *v = http_conn_header(c, name, &len);

	return v != NULL && len == sizeof(value) - 1 &&
		strncasecmp(v, value, len) == 0 &&
		header_behind(c, v, name, &len) == NULL;
}

/* Who is to answer, and whether the request may be as it is. */
static int
route(struct http_conn *c)
{
	http_parser *p = &c->parser;
	const char *path = (const char *)c->in.data + c->in.path;

	if (p->method == HTTP_CONNECT)
		return refuse(c, 405);
	if (c->in.path_len > 0)
		c->service = c->set->route(c->set, path, c->in.path_len);
	if (c->service == NULL)
		return refuse_politely(c, 404);
	if (!(c->service->methods >> p->method & 1))
		return refuse_politely(c, 405);
	if (p->flags & F_CHUNKED)
		return 0;
	if (p->content_length == UINT64_MAX)
		return p->method == HTTP_POST || p->method == HTTP_PUT
			? refuse_politely(c, 411)
			: 0;
	return p->content_length > c->service->body_max ? refuse(c, 413) : 0;
}

static int
on_headers_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);

	c->in.head_done = true;
	/* An offer that is not taken up: the request is an ordinary one. */
	p->upgrade = 0;
	if (p->http_major != 1)
		return refuse(c, 505);
	if (!are_lines(c))
		return refuse(c, 400);
	if ((p->flags & F_CHUNKED) &&
		(p->http_minor == 0 || !is_chunked_once(c)))
		return refuse(c, p->http_minor == 0 ? 400 : 501);
	find_path(c);
	return route(c);
}

static int
on_body(http_parser *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of(p);
	struct http_input *in = &c->in;
	size_t max = in->discard ? DISCARD_MAX : c->service->body_max;
	size_t place = (size_t)((const uint8_t *)at - in->data);

	if (len > max - MIN_OF(in->body_len, max))
		return refuse(c, in->discard ? in->refusal : 413);
	if (in->body_len == 0)
		in->body = place;
	else if (place != in->body + in->body_len && !in->discard)
		memmove(in->data + in->body + in->body_len, at, len);
	in->body_len += len;
	return 0;
}

static int
on_message_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);

	c->in.whole = true;
	c->in.keep_alive = http_should_keep_alive(p) && !(p->flags & F_CHUNKED);
	/* Leaves the next request alone. */
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings callbacks = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* The buffer */

static bool
resize(struct http_input *in, size_t cap)
{
	uint8_t *data = realloc(in->data, cap);

	if (data == NULL)
		return false;
	in->data = data;
	in->cap = cap;
	return true;
}

/* Moves the request to the front. */
static void
move_up(struct http_input *in)
{
	if (in->begin == 0)
		return;
	memmove(in->data, in->data + in->begin, in->end - in->begin);
	in->url -= in->begin;
	in->path -= in->begin;
	in->body -= in->begin;
	in->parsed -= in->begin;
	in->end -= in->begin;
	in->begin = 0;
}

/* Room for at least one byte more.  The limits of head and body see to it that
 * there is an end to it. */
static bool
make_room(struct http_input *in)
{
	if (in->end < in->cap)
		return true;
	move_up(in);
	return in->end < in->cap || resize(in, in->cap * 2);
}

/* Also makes the offsets those of a request at begin. */
static void
begin_request(struct http_conn *c)
{
	struct http_input *in = &c->in;

	*in = (struct http_input){
		.data = in->data,
		.cap = in->cap,
		.begin = in->begin,
		.parsed = in->begin,
		.end = in->end,
		.url = in->begin,
		.path = in->begin,
		.body = in->begin,
	};
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	c->service = NULL;
}

int
http_input_init(struct http_conn *c)
{
	c->in.data = malloc(FIRST_SIZE);
	if (c->in.data == NULL)
		return err_new(-ENOMEM);
	c->in.cap = FIRST_SIZE;
	begin_request(c);
	return 0;
}

void
http_input_done(struct http_conn *c)
{
	free(c->in.data);
}

void
http_input_next(struct http_conn *c)
{
	struct http_input *in = &c->in;

	in->begin = in->parsed;
	if (in->begin == in->end) {
		in->begin = 0;
		in->end = 0;
		if (in->cap > FIRST_SIZE)
			(void)resize(in, FIRST_SIZE);
	}
	begin_request(c);
}

ssize_t
http_input_receive(struct http_conn *c)
{
	struct http_input *in = &c->in;
	ssize_t n;

	if (!make_room(in))
		return err_new(-ENOMEM);
	do
		n = http_conn_recv(c, in->data + in->end, in->cap - in->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	in->end += (size_t)n;
	return n;
}

/* The request goes on behind what the buffer has.  Before the head is done all
 * of it must stay. */
static enum http_read
want_more(struct http_conn *c)
{
	struct http_input *in = &c->in;

	if (!in->head_done) {
		if (in->end - in->begin < HTTP_HEAD_MAX)
			return HTTP_READ_MORE;
		refuse(c, 431);
		return HTTP_READ_REFUSED;
	}
	/* Behind the head, where chunk headers without data must not add up. */
	if (in->body == in->begin)
		in->body = in->parsed;
	in->parsed = in->body + (in->discard ? 0 : in->body_len);
	in->end = in->parsed;
	return HTTP_READ_MORE;
}

static bool
too_much(const struct http_conn *c)
{
	size_t body = c->in.discard || c->service == NULL
		? DISCARD_MAX
		: c->service->body_max;

	return c->in.raw > HTTP_HEAD_MAX + (uint64_t)RAW_TIMES * body;
}

enum http_read
http_input_parse(struct http_conn *c)
{
	struct http_input *in = &c->in;
	size_t n = http_parser_execute(&c->parser, &callbacks,
		(const char *)in->data + in->parsed, in->end - in->parsed);

	in->parsed += n;
	in->raw += n;
	if (in->whole)
		return in->refusal != 0 ? HTTP_READ_REFUSED : HTTP_READ_WHOLE;
	if (c->parser.http_errno == HPE_OK && !too_much(c))
		return want_more(c);
	/* What the parser refuses itself. */
	if (!in->given_up)
		refuse(c, c->parser.http_errno == HPE_OK ? 413 : 400);
	return HTTP_READ_REFUSED;
}

/* What a service may ask */

const char *
http_conn_header(const struct http_conn *c, const char *name, size_t *ret_len)
{
	return header_behind(c, first_line(c), name, ret_len);
}

unsigned
http_conn_method(const struct http_conn *c)
{
	return c->parser.method;
}

const char *
http_conn_path(const struct http_conn *c, size_t *ret_len)
{
	*ret_len = c->in.path_len;
	return (const char *)c->in.data + c->in.path;
}

void
http_conn_each_header(const struct http_conn *c,
	void (*fn)(void *ctx, const char *name, size_t name_len,
		const char *value, size_t len),
	void *ctx)
{
	struct header h = {.stop = first_line(c)};

	while (next_header(c, h.stop, &h))
		fn(ctx, h.line, h.name_len, h.value, h.len);
}

bool
http_conn_is_old(const struct http_conn *c)
{
	return c->parser.http_major == 1 && c->parser.http_minor == 0;
}

const char *
http_conn_query(const struct http_conn *c, size_t *ret_len)
{
	const struct http_input *in = &c->in;
	const char *at = (const char *)in->data + in->path + in->path_len;
	size_t len = in->url + in->url_len - in->path - in->path_len;
	const char *fragment;

	if (in->path_len == 0 || len == 0 || *at != '?')
		len = 0;
	fragment = len > 0 ? memchr(at, '#', len) : NULL;
	*ret_len = fragment != NULL ? (size_t)(fragment - at) : len;
	return at;
}

const uint8_t *
http_conn_body(const struct http_conn *c, size_t *ret_len)
{
	*ret_len = c->in.body_len;
	return c->in.data + c->in.body;
}

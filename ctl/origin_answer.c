/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/origin.h"

#include <stdio.h>
#include <string.h>

#include "codec/http_list.h"

void
origin_answer_init(struct origin_answer *a)
{
	memset(a, 0, sizeof(*a));
}

void
origin_answer_done(struct origin_answer *a)
{
	secbuf_done(&a->info);
}

static void
add_char(char text[ORIGIN_TEXT], size_t *n, char c)
{
	if (*n + 1 == ORIGIN_TEXT)
		return;
	text[(*n)++] = (char)(c < 0x20 || c > 0x7e ? '?' : c);
	text[*n] = '\0';
}

/* What does not fit is cut off. */
static void
set_text(char text[ORIGIN_TEXT], struct http_text value)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < value.len; i++)
		add_char(text, &n, value.data[i]);
}

/* Several fields of a name are one list. */
static void
add_text(char text[ORIGIN_TEXT], struct http_text value)
{
	size_t n = strlen(text);

	if (n > 0) {
		add_char(text, &n, ',');
		add_char(text, &n, ' ');
	}
	for (size_t i = 0; i < value.len; i++)
		add_char(text, &n, value.data[i]);
}

static void
set_length(struct origin_answer *a, struct http_text value)
{
	a->has_length = http_text_number(&value, UINT64_MAX, &a->length) &&
		value.len == 0;
}

static void
take_field(
	struct origin_answer *a, struct http_text name, struct http_text value)
{
	pccrtp_field(&a->fields, name.data, name.len, value.data, value.len);
	if (http_text_is(name, "Content-Length"))
		set_length(a, value);
	else if (http_text_is(name, "ETag"))
		set_text(a->etag, value);
	else if (http_text_is(name, "Last-Modified"))
		set_text(a->modified, value);
	else if (http_text_is(name, "Vary"))
		add_text(a->vary, value);
	else if (http_text_is(name, "Age"))
		a->aged = true;
}

/* "HTTP/1.1 200 OK", "HTTP/2 200": another answer begins. */
static void
take_status(struct origin_answer *a, const char *line, size_t len)
{
	unsigned major = 0, minor = 0, status = 0;
	char text[32];

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, line, len);
	text[len] = '\0';
	origin_answer_done(a);
	origin_answer_init(a);
	if (sscanf(text, "HTTP/%2u.%2u %3u", &major, &minor, &status) != 3) {
		minor = 0;
		if (sscanf(text, "HTTP/%2u %3u", &major, &status) != 2)
			return;
	}
	a->http = major * 10 + minor;
	a->status = status;
}

static void
take_end(struct origin_answer *a)
{
	if (a->status == 200 || a->status == 206)
		a->body = pccrtp_response(
			&a->fields, a->has_length ? a->length : UINT64_MAX);
	/* Others announce another answer. */
	a->ends = a->status >= 200;
}

void
origin_answer_line(struct origin_answer *a, const char *line, size_t len)
{
	struct http_text name, value;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		take_status(a, line, len);
	else if (a->ends) /* what follows the body is not of the head */
		return;
	else if (len == 0 || line[0] == '\r' || line[0] == '\n')
		take_end(a);
	else if (http_field_split((struct http_text){line, len}, &name, &value))
		take_field(a, name, value);
}

bool
origin_has_validator(const struct origin_answer *a)
{
	return a->etag[0] != '\0' || a->modified[0] != '\0';
}

const char *
origin_range_validator(const struct origin_answer *a)
{
	return http_range_validator(
		a->etag, a->modified[0] != '\0' ? a->modified : NULL);
}

/* Of a list, in any case. */
static bool
lists(const char *list, const char *wanted)
{
	struct http_text rest = {list, strlen(list)}, element;

	while (http_list_next(&rest, &element))
		if (http_text_is(element, wanted))
			return true;
	return false;
}

bool
origin_varies(const struct origin_answer *a)
{
	return lists(a->vary, "*") ||
		(lists(a->vary, "Accept-Encoding") &&
			lists(a->vary, "X-P2P-PeerDist") &&
			lists(a->vary, "X-P2P-PeerDistEx"));
}

bool
origin_varies_somehow(const struct origin_answer *a)
{
	return lists(a->vary, "X-P2P-PeerDist") ||
		lists(a->vary, "X-P2P-PeerDistEx");
}

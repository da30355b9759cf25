/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/origin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"

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
set_text(char text[ORIGIN_TEXT], const char *value, size_t len)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		add_char(text, &n, value[i]);
}

/* Several fields of a name are one list. */
static void
add_text(char text[ORIGIN_TEXT], const char *value, size_t len)
{
	size_t n = strlen(text);

	if (n > 0) {
		add_char(text, &n, ',');
		add_char(text, &n, ' ');
	}
	for (size_t i = 0; i < len; i++)
		add_char(text, &n, value[i]);
}

static void
set_length(struct origin_answer *a, const char *value, size_t len)
{
	char text[ORIGIN_TEXT];

	set_text(text, value, len);
	a->has_length = parse_u64(text, 0, UINT64_MAX, &a->length) == 0;
}

static bool
is(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(name, wanted, len) == 0;
}

static void
take_field(struct origin_answer *a, const char *name, size_t name_len,
	const char *value, size_t len)
{
	pccrtp_field(&a->fields, name, name_len, value, len);
	if (is(name, name_len, "Content-Length"))
		set_length(a, value, len);
	else if (is(name, name_len, "ETag"))
		set_text(a->etag, value, len);
	else if (is(name, name_len, "Last-Modified"))
		set_text(a->modified, value, len);
	else if (is(name, name_len, "Vary"))
		add_text(a->vary, value, len);
	else if (is(name, name_len, "Age"))
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

static size_t
trimmed(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	return len;
}

void
origin_answer_line(struct origin_answer *a, const char *line, size_t len)
{
	const char *colon;
	size_t name;

	len = trimmed(line, len);
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		take_status(a, line, len);
		return;
	}
	/* What follows the body is not of the head. */
	if (a->ends)
		return;
	if (len == 0) {
		take_end(a);
		return;
	}
	colon = memchr(line, ':', len);
	if (colon == NULL)
		return;
	name = (size_t)(colon - line);
	colon++;
	len -= name + 1;
	for (; len > 0 && (*colon == ' ' || *colon == '\t'); len--)
		colon++;
	take_field(a, line, name, colon, len);
}

bool
origin_has_validator(const struct origin_answer *a)
{
	return a->etag[0] != '\0' || a->modified[0] != '\0';
}

bool
origin_has_strong_validator(const struct origin_answer *a)
{
	return a->etag[0] == '"' || a->modified[0] != '\0';
}

/* Of a list, in any case. */
static bool
lists(const char *list, const char *wanted)
{
	size_t len;

	for (; *list != '\0'; list += len) {
		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (is(list, len, wanted))
			return true;
	}
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

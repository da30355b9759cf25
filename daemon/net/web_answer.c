/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A body of several ranges has a delimiter line and header lines in front of
 * each and a delimiter at its end: what http_conn sends is text, range, text,
 * range, ..., text.  The texts lie one behind the other in one piece of memory.
 */
#include "daemon/net/web_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define LINES_MAX 65536u

static void
put(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

static void
put_line(struct buf *b, const char *name, const char *value, size_t len)
{
	put(b, name);
	buf_append(b, value, len);
	buf_append(b, "\r\n", 2);
}

void
web_head_init(struct web_head *h)
{
	memset(h, 0, sizeof(*h));
	buf_init(&h->text, LINES_MAX);
	http_date_format(h->now, 0);
	http_date_format(h->modified, 0);
}

void
web_head_done(struct web_head *h)
{
	buf_done(&h->text);
}

void
web_head_begin(struct web_head *h, int64_t now_s)
{
	if (h->now_s != now_s)
		http_date_format(h->now, now_s);
	h->now_s = now_s;
	buf_reset(&h->text);
	put_line(&h->text, "Date: ", h->now, strlen(h->now));
}

void
web_head_put(struct web_head *h, const char *line)
{
	put_line(&h->text, "", line, strlen(line));
}

void
web_head_stamp(struct web_head *h, const struct web_stamp *s)
{
	if (h->modified_s != s->modified_s)
		http_date_format(h->modified, s->modified_s);
	h->modified_s = s->modified_s;
	put_line(&h->text, "Last-Modified: ", h->modified, strlen(h->modified));
	put_line(&h->text, "ETag: ", s->etag, s->etag_len);
	put(&h->text, "Accept-Ranges: bytes\r\n");
}

void
web_head_range(
	struct web_head *h, const struct http_range *range, uint64_t size)
{
	char text[HTTP_CONTENT_RANGE_TEXT];

	if (range != NULL)
		http_content_range_format(text, range, size);
	else
		snprintf(text, sizeof(text), "bytes */%llu",
			(unsigned long long)size);
	put_line(&h->text, "Content-Range: ", text, strlen(text));
}

const char *
web_head_end(struct web_head *h)
{
	buf_u8(&h->text, 0);
	return buf_error(&h->text) == 0 ? (const char *)h->text.data : NULL;
}

struct web_multi {
	char type[64];
	struct buf text;
	uint64_t offset; /* of the first range */
	uint64_t span;
	size_t head_len;
	size_t n_parts;
	struct http_part parts[];
};

static void
put_part(struct web_multi *m, const struct http_range *range, uint64_t size,
	const char *type, uint64_t boundary)
{
	char text[HTTP_CONTENT_RANGE_TEXT];

	http_content_range_format(text, range, size);
	buf_printf(&m->text,
		"\r\n--%020llu\r\nContent-Type: %s\r\nContent-Range: "
		"%s\r\n\r\n",
		(unsigned long long)boundary, type, text);
}

/* The memory of the text has moved while it grew. */
static void
place_texts(struct web_multi *m)
{
	const uint8_t *at = m->text.data + m->head_len;

	for (size_t i = 0; i < m->n_parts; i++) {
		m->parts[i].head = at;
		at += m->parts[i].head_len;
	}
}

struct web_multi *
web_multi_new(const struct http_range *ranges, size_t n, uint64_t size,
	const char *type, uint64_t boundary)
{
	struct web_multi *m =
		calloc(1, sizeof(*m) + n * sizeof(struct http_part));

	if (m == NULL)
		return NULL;
	snprintf(m->type, sizeof(m->type),
		"multipart/byteranges; boundary=%020llu",
		(unsigned long long)boundary);
	buf_init(&m->text, LINES_MAX);
	put_part(m, &ranges[0], size, type, boundary);
	m->head_len = m->text.len;
	m->offset = ranges[0].offset;
	m->span = ranges[0].length;
	m->n_parts = n;
	for (size_t i = 0; i < n; i++) {
		struct http_part *part = &m->parts[i];
		size_t before = m->text.len;

		if (i + 1 < n) {
			part->offset = ranges[i + 1].offset;
			part->span = ranges[i + 1].length;
			put_part(m, &ranges[i + 1], size, type, boundary);
		} else {
			buf_printf(&m->text, "\r\n--%020llu--\r\n",
				(unsigned long long)boundary);
		}
		part->head_len = m->text.len - before;
	}
	if (buf_error(&m->text) != 0)
		return web_multi_free(m);
	place_texts(m);
	return m;
}

struct web_multi *
web_multi_free(struct web_multi *m)
{
	if (m == NULL)
		return NULL;
	buf_done(&m->text);
	free(m);
	return NULL;
}

void
web_multi_answer(const struct web_multi *m, struct http_answer *a)
{
	a->type = m->type;
	a->head = m->text.data;
	a->head_len = m->head_len;
	a->offset = m->offset;
	a->span = m->span;
	a->parts = m->parts;
	a->n_parts = m->n_parts;
}

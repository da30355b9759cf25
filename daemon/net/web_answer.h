/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of answers: header lines, and what stands between the parts of a
 * multipart body.
 */
#ifndef NET_WEB_ANSWER_H
#define NET_WEB_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "codec/http_range.h"
#include "common/buf.h"
#include "daemon/net/http_conn.h"
#include "daemon/net/http_date.h"
#include "daemon/net/web_cond.h"

/* Header lines, of one answer after the other.  Dates are kept: most answers
 * have those of the last one. */
struct web_head {
	struct buf text; /* more may be appended directly */
	int64_t now_s;
	int64_t modified_s;
	char now[HTTP_DATE_TEXT];
	char modified[HTTP_DATE_TEXT];
};

void web_head_init(struct web_head *);
void web_head_done(struct web_head *);
/* Begins anew, with Date. */
void web_head_begin(struct web_head *, int64_t now_s);
void web_head_put(struct web_head *, const char *line); /* without CRLF */
/* What tells the state of a file, and that there are ranges of it. */
void web_head_stamp(struct web_head *, const struct web_stamp *);
/* NULL: "bytes * / size". */
void web_head_range(
	struct web_head *, const struct http_range *, uint64_t size);
/* Stays valid until the next one begins; NULL when out of memory. */
const char *web_head_end(struct web_head *);

/* Several ranges of a file as one body, multipart/byteranges. */
struct web_multi;

/* boundary: says that it is the end of a part, and must not be in the file.
 * NULL when out of memory. */
struct web_multi *web_multi_new(const struct http_range *, size_t n,
	uint64_t size, const char *type, uint64_t boundary);
struct web_multi *web_multi_free(struct web_multi *); /* NULL */
/* Sets type and body of the answer, which point into this. */
void web_multi_answer(const struct web_multi *, struct http_answer *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte ranges of HTTP, RFC 9110 section 14: what a server reads in Range, what
 * a client reads in Content-Range.  Pure; also for sizes near 2^64.
 */
#ifndef CODEC_HTTP_RANGE_H
#define CODEC_HTTP_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct http_range {
	uint64_t offset;
	uint64_t length; /* > 0 */
};

enum http_range_result {
	HTTP_RANGE_OK,
	/* Not a range of bytes, malformed, or more of them than there is room
	 * for: the field is to be ignored. */
	HTTP_RANGE_IGNORE,
	/* Well formed, and none of them lies in the content: 416. */
	HTTP_RANGE_NOTHING,
};

/* The ranges of a Range field, in its order, against a content of size bytes:
 * open-ended and suffix ranges resolved, ends cut off, those that lie wholly
 * behind the content left out.  An empty content has no ranges: from its start
 * on is ignored, behind it is nothing.  ret has room for max. */
enum http_range_result http_range_parse(const char *value, size_t len,
	uint64_t size, struct http_range *ret, size_t max, size_t *ret_n);

/* What a later range of the same content is asked with in If-Range: a strong
 * ETag, or the date; NULL: nothing would tell whether it is the same.  Each may
 * be NULL. */
const char *http_range_validator(const char *etag, const char *modified);

#define HTTP_CONTENT_RANGE_TEXT 72
/* "bytes 0-9/100" with its NUL. */
void http_content_range_format(char text[HTTP_CONTENT_RANGE_TEXT],
	const struct http_range *, uint64_t size);
/* Strictly that form, no blanks around; a size of "*" gives has_size false.
 * false: anything else, a range beyond the size, or a number over 2^64 - 2. */
struct http_content_range {
	struct http_range range;
	bool has_size;
	uint64_t size;
};
bool http_content_range_parse(
	struct http_content_range *ret, const char *value, size_t len);

#endif

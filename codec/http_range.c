/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/http_range.h"

enum http_range_result
http_range_parse(const char *value, size_t len, uint64_t size,
	struct http_range *ret, size_t max, size_t *ret_n)
{
	return HTTP_RANGE_IGNORE;
}

void
http_content_range_format(char text[HTTP_CONTENT_RANGE_TEXT],
	const struct http_range *range, uint64_t size)
{
	text[0] = 0;
}

bool
http_content_range_parse(
	struct http_content_range *ret, const char *value, size_t len)
{
	return false;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "SIZE MAX VALUE" as a Range field against a content of that size, with room
 * for MAX ranges, and as a Content-Range.  Ranges must lie in the content, and
 * be the same when they are written plainly and read again.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/http_range.h"
#include "common/macros.h"

#define ROOM  8
#define INPUT (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t
write_plainly(char text[64 * ROOM], const struct http_range *ranges, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, 64 * ROOM - len,
			"%s%" PRIu64 "-%" PRIu64, i == 0 ? "bytes=" : ",",
			ranges[i].offset,
			ranges[i].offset + ranges[i].length - 1);
	return len;
}

static void
check_plain(const struct http_range *ranges, size_t n, uint64_t size)
{
	char text[64 * ROOM];
	struct http_range again[ROOM];
	size_t len = write_plainly(text, ranges, n), m;

	assert(http_range_parse(text, len, size, again, ROOM, &m) ==
		HTTP_RANGE_OK);
	assert(m == n);
	for (size_t i = 0; i < n; i++)
		assert(again[i].offset == ranges[i].offset &&
			again[i].length == ranges[i].length);
}

static void
check_content_range(const struct http_range *range, uint64_t size)
{
	char text[HTTP_CONTENT_RANGE_TEXT];
	struct http_content_range r;

	http_content_range_format(text, range, size);
	if (!http_content_range_parse(&r, text, strlen(text))) {
		assert(size == UINT64_MAX);
		return;
	}
	assert(r.range.offset == range->offset);
	assert(r.range.length == range->length);
	assert(r.has_size && r.size == size);
}

static void
check_range(const char *value, size_t len, uint64_t size, size_t max)
{
	struct http_range ranges[ROOM];
	enum http_range_result result;
	size_t n;

	result = http_range_parse(value, len, size, ranges, max, &n);
	assert(n <= max && (n > 0) == (result == HTTP_RANGE_OK));
	for (size_t i = 0; i < n; i++) {
		assert(ranges[i].length > 0 && ranges[i].offset < size);
		assert(ranges[i].length <= size - ranges[i].offset);
		check_content_range(&ranges[i], size);
	}
	if (n > 0)
		check_plain(ranges, n, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_content_range r;
	uint64_t size, max;
	AUTO_FREE char *text = malloc(len + 1), *value = NULL;
	char *rest;

	assert(text != NULL);
	if (len == 0 || len > INPUT)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	size = strtoull(text, &rest, 10);
	max = strtoull(rest, &rest, 10) % (ROOM + 1);
	if (*rest == ' ')
		rest++;
	len -= (size_t)(rest - text);
	/* Ends where its memory ends. */
	value = malloc(len);
	assert(value != NULL);
	memcpy(value, rest, len);
	check_range(value, len, size, (size_t)max);
	if (!http_content_range_parse(&r, value, len))
		return 0;
	assert(r.range.length > 0);
	assert(r.range.length <= UINT64_MAX - r.range.offset);
	if (r.has_size)
		check_content_range(&r.range, r.size);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers that do not fit into 64 bits are well formed and larger than any
 * content, so they are read as the largest there is: a first position is then
 * behind the content, a last one or a suffix is cut off.
 */
#include "codec/http_range.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/http_list.h"

enum spec {
	SPEC_BAD,
	SPEC_BEHIND,   /* not in the content */
	SPEC_NO_BYTES, /* of an empty content, of which there are no ranges */
	SPEC_OK,
};

static bool
take_char(struct http_text *text, char c)
{
	if (text->len == 0 || text->data[0] != c)
		return false;
	text->data++;
	text->len--;
	return true;
}

static bool
take_word(struct http_text *text, const char *word)
{
	size_t len = strlen(word);
	struct http_text head = {text->data, len};

	if (text->len < len || !http_text_is(head, word))
		return false;
	text->data += len;
	text->len -= len;
	return true;
}

static enum spec
resolve(uint64_t first, uint64_t last, uint64_t size, struct http_range *ret)
{
	if (first >= size)
		return first == 0 ? SPEC_NO_BYTES : SPEC_BEHIND;
	ret->offset = first;
	ret->length = (last < size ? last : size - 1) - first + 1;
	return SPEC_OK;
}

static enum spec
parse_suffix(struct http_text text, uint64_t size, struct http_range *ret)
{
	uint64_t n;

	if (!http_text_number(&text, UINT64_MAX, &n) || text.len > 0)
		return SPEC_BAD;
	return resolve(n < size ? size - n : 0, UINT64_MAX, size, ret);
}

static enum spec
parse_spec(struct http_text text, uint64_t size, struct http_range *ret)
{
	uint64_t first, last = UINT64_MAX;

	if (take_char(&text, '-'))
		return parse_suffix(text, size, ret);
	if (!http_text_number(&text, UINT64_MAX, &first) ||
		!take_char(&text, '-'))
		return SPEC_BAD;
	if (text.len > 0 &&
		(!http_text_number(&text, UINT64_MAX, &last) || text.len > 0))
		return SPEC_BAD;
	return last < first ? SPEC_BAD : resolve(first, last, size, ret);
}

/* One malformed range spoils the field, so all of it is read in any case. */
enum http_range_result
http_range_parse(const char *value, size_t len, uint64_t size,
	struct http_range *ret, size_t max, size_t *ret_n)
{
	struct http_text list = {value, len}, text;
	bool any = false, ignore = false;
	size_t n = 0;

	*ret_n = 0;
	if (!take_word(&list, "bytes="))
		return HTTP_RANGE_IGNORE;
	while (http_list_next(&list, &text)) {
		struct http_range range;
		enum spec spec = parse_spec(text, size, &range);

		if (spec == SPEC_BAD)
			return HTTP_RANGE_IGNORE;
		any = true;
		ignore |=
			spec == SPEC_NO_BYTES || (spec == SPEC_OK && n == max);
		if (spec == SPEC_OK && n < max)
			ret[n++] = range;
	}
	if (!any || ignore)
		return HTTP_RANGE_IGNORE;
	*ret_n = n;
	return n > 0 ? HTTP_RANGE_OK : HTTP_RANGE_NOTHING;
}

void
http_content_range_format(char text[HTTP_CONTENT_RANGE_TEXT],
	const struct http_range *range, uint64_t size)
{
	assert(range->length > 0 && range->offset < size &&
		range->length <= size - range->offset);
	snprintf(text, HTTP_CONTENT_RANGE_TEXT,
		"bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->offset,
		range->offset + range->length - 1, size);
}

/* Nothing is as large as UINT64_MAX, so also what does not fit ends here. */
static bool
take_number(struct http_text *text, uint64_t *ret)
{
	return http_text_number(text, UINT64_MAX, ret) && *ret < UINT64_MAX;
}

bool
http_content_range_parse(
	struct http_content_range *ret, const char *value, size_t len)
{
	struct http_text text = {value, len};
	struct http_content_range r = {0};
	uint64_t first, last;

	if (!take_word(&text, "bytes ") || !take_number(&text, &first) ||
		!take_char(&text, '-') || !take_number(&text, &last) ||
		!take_char(&text, '/') || last < first)
		return false;
	if (!take_char(&text, '*')) {
		if (!take_number(&text, &r.size) || last >= r.size)
			return false;
		r.has_size = true;
	}
	if (text.len > 0)
		return false;
	r.range = (struct http_range){first, last - first + 1};
	*ret = r;
	return true;
}

const char *
http_range_validator(const char *etag, const char *modified)
{
	size_t len = etag != NULL ? strlen(etag) : 0;

	if (len >= 2 && etag[0] == '"' && etag[len - 1] == '"')
		return etag;
	return modified;
}

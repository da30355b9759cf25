/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/json_out.h"

#include <inttypes.h>
#include <string.h>

#define REPLACEMENT 0xFFFDu

void
json_out_init(struct json *j, struct buf *out)
{
	j->out = out;
	j->comma = false;
}

/* One code point at p; how many bytes it takes.  What is not UTF-8 (also
 * overlong forms and surrogates) takes one byte and is U+FFFD. */
static size_t
utf8_next(const uint8_t *p, size_t left, uint32_t *ret_code)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1
		: p[0] < 0xC2  ? 0
		: p[0] < 0xE0  ? 2
		: p[0] < 0xF0  ? 3
		: p[0] < 0xF5  ? 4
			       : 0;
	uint32_t code = n == 1 ? p[0] : p[0] & (0x7Fu >> n);

	*ret_code = REPLACEMENT;
	if (n == 0 || n > left)
		return 1;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 1;
		code = code << 6 | (p[i] & 0x3Fu);
	}
	if (code < least[n] || code > 0x10FFFF ||
		(code >= 0xD800 && code <= 0xDFFF))
		return 1;
	*ret_code = code;
	return n;
}

static void
put_code(struct buf *out, uint32_t code)
{
	if (code == '"' || code == '\\') {
		buf_u8(out, '\\');
		buf_u8(out, (uint8_t)code);
	} else if (code >= 0x20 && code < 0x7F) {
		buf_u8(out, (uint8_t)code);
	} else if (code < 0x10000) {
		buf_printf(out, "\\u%04x", (unsigned)code);
	} else {
		code -= 0x10000;
		buf_printf(out, "\\u%04x\\u%04x",
			(unsigned)(0xD800 + (code >> 10)),
			(unsigned)(0xDC00 + (code & 0x3FF)));
	}
}

static void
put_string(struct buf *out, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	buf_u8(out, '"');
	for (size_t i = 0; i < len;) {
		uint32_t code;

		i += utf8_next(p + i, len - i, &code);
		put_code(out, code);
	}
	buf_u8(out, '"');
}

/* What comes before a value. */
static void
lead(struct json *j, const char *key)
{
	if (j->comma)
		buf_u8(j->out, ',');
	j->comma = true;
	if (key == NULL)
		return;
	put_string(j->out, key, strlen(key));
	buf_u8(j->out, ':');
}

static void
begin(struct json *j, const char *key, char bracket)
{
	lead(j, key);
	buf_u8(j->out, (uint8_t)bracket);
	j->comma = false;
}

static void
end(struct json *j, char bracket)
{
	buf_u8(j->out, (uint8_t)bracket);
	j->comma = true;
}

void
json_out_object(struct json *j, const char *key)
{
	begin(j, key, '{');
}

void
json_out_end_object(struct json *j)
{
	end(j, '}');
}

void
json_out_array(struct json *j, const char *key)
{
	begin(j, key, '[');
}

void
json_out_end_array(struct json *j)
{
	end(j, ']');
}

void
json_out_u64(struct json *j, const char *key, uint64_t v)
{
	lead(j, key);
	buf_printf(j->out, "%" PRIu64, v);
}

void
json_out_bool(struct json *j, const char *key, bool v)
{
	lead(j, key);
	buf_printf(j->out, "%s", v ? "true" : "false");
}

void
json_out_bytes(struct json *j, const char *key, const char *text, size_t len)
{
	lead(j, key);
	put_string(j->out, text, len);
}

void
json_out_text(struct json *j, const char *key, const char *text)
{
	if (text != NULL) {
		json_out_bytes(j, key, text, strlen(text));
		return;
	}
	lead(j, key);
	buf_append(j->out, "null", 4);
}

void
json_out_hex(struct json *j, const char *key, uint64_t v)
{
	lead(j, key);
	buf_printf(j->out, "\"0x%" PRIx64 "\"", v);
}

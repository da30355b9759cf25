/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/http_list.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct http_text
trimmed(const char *data, size_t len)
{
	while (len > 0 && is_blank(data[0])) {
		data++;
		len--;
	}
	while (len > 0 && is_blank(data[len - 1]))
		len--;
	return (struct http_text){data, len};
}

/* A backslash escapes only within a quoted string. */
static size_t
element_len(const struct http_text *list)
{
	bool quoted = false;

	for (size_t i = 0; i < list->len; i++) {
		char c = list->data[i];

		if (c == ',' && !quoted)
			return i;
		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && quoted)
			i++;
	}
	return list->len;
}

bool
http_list_next(struct http_text *list, struct http_text *ret)
{
	while (list->len > 0) {
		size_t len = element_len(list);
		size_t used = len < list->len ? len + 1 : len;

		*ret = trimmed(list->data, len);
		list->data += used;
		list->len -= used;
		if (ret->len > 0)
			return true;
	}
	return false;
}

bool
http_text_split(struct http_text text, char delimiter,
	struct http_text *ret_head, struct http_text *ret_tail)
{
	size_t at = 0;

	while (at < text.len && text.data[at] != delimiter)
		at++;
	*ret_head = trimmed(text.data, at);
	*ret_tail = (struct http_text){text.data + at, 0};
	if (at == text.len)
		return false;
	*ret_tail = trimmed(text.data + at + 1, text.len - at - 1);
	return true;
}

bool
http_field_split(struct http_text line, struct http_text *ret_name,
	struct http_text *ret_value)
{
	while (line.len > 0 &&
		(line.data[line.len - 1] == '\n' ||
			line.data[line.len - 1] == '\r'))
		line.len--;
	/* What is indented goes on with the line before. */
	return line.len > 0 && !is_blank(line.data[0]) &&
		http_text_split(line, ':', ret_name, ret_value);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Not strncasecmp(): what is a letter depends there on the locale. */
bool
http_text_is(struct http_text text, const char *word)
{
	if (text.len != strlen(word))
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (lower(text.data[i]) != lower(word[i]))
			return false;
	return true;
}

bool
http_text_number(struct http_text *text, uint64_t max, uint64_t *ret)
{
	size_t i = 0;

	*ret = 0;
	for (; i < text->len; i++) {
		unsigned digit = (unsigned char)text->data[i] - (unsigned)'0';

		if (digit > 9)
			break;
		*ret = digit > max || *ret > (max - digit) / 10
			? max
			: *ret * 10 + digit;
	}
	text->data += i;
	text->len -= i;
	return i > 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of HTTP, the comma-separated lists in them, RFC 9110 section
 * 5.6.1, and what is in their elements.  Text here is a slice, without NUL.
 */
#ifndef CODEC_HTTP_LIST_H
#define CODEC_HTTP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_text {
	const char *data;
	size_t len;
};

/* A line of a head, with its line end or without: name and value, without
 * blanks around.  false: it is no field. */
bool http_field_split(struct http_text line, struct http_text *ret_name,
	struct http_text *ret_value);
/* The next element that is not empty, without the blanks around it; list moves
 * behind it.  A comma within a quoted string does not end an element, and a
 * string without its end goes to the end of the field.  false: no more. */
bool http_list_next(struct http_text *list, struct http_text *ret);
/* What is before the first delimiter and what is behind it, each without blanks
 * around; false: there is none, then head is all of the text.  Quoted strings
 * are not looked for. */
bool http_text_split(struct http_text text, char delimiter,
	struct http_text *ret_head, struct http_text *ret_tail);
/* Without regard to ASCII case. */
bool http_text_is(struct http_text, const char *word);
/* 1*DIGIT off the front of text; one that does not fit is max.  false: there is
 * no digit. */
bool http_text_number(struct http_text *text, uint64_t max, uint64_t *ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates of HTTP, RFC 9110 5.6.7. */
#ifndef NET_HTTP_DATE_H
#define NET_HTTP_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_DATE_TEXT 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Seconds since 1970; cut to the years 1970 to 9999. */
void http_date_format(char text[HTTP_DATE_TEXT], int64_t when_s);
/* In any of the three forms; whatever the locale and the time zone. */
bool http_date_parse(
	const char *text, size_t len, int64_t now_s, int64_t *ret_when_s);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/net/http_date.h"

void
http_date_format(char text[HTTP_DATE_TEXT], int64_t when_s)
{
	text[0] = 0;
}

bool
http_date_parse(
	const char *text, size_t len, int64_t now_s, int64_t *ret_when_s)
{
	return false;
}

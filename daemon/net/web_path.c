/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass: each byte is decoded, then looked at as if it had been written
 * plainly.  So "%2e%2e%2f" is "../", and "%252e" is a name with a percent sign
 * in it: nothing is decoded twice.  When a component ends, it is seen whether
 * it was one.
 */
#include "daemon/net/web_path.h"

#include <string.h>

struct path {
	char *dst;
	size_t len;
	size_t name; /* where the component being read began */
};

static int
digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* The next byte of [*at, end); 0: there is none that may be. */
static char
decode(const char **at, const char *end)
{
	const char *p = *at;
	int high, low;

	*at = p + 1;
	if (*p != '%')
		return *p;
	if (end - p < 3)
		return 0;
	high = digit(p[1]);
	low = digit(p[2]);
	*at = p + 3;
	return high < 0 || low < 0 ? 0 : (char)(high << 4 | low);
}

/* Back to before the last folder of what is there.  false: there is none. */
static bool
leave(struct path *p)
{
	if (p->name == 0)
		return false;
	p->len = p->name - 1;
	while (p->len > 0 && p->dst[p->len - 1] != '/')
		p->len--;
	return true;
}

/* A slash or the end has come.  false: it led out of the root. */
static bool
end_name(struct path *p, bool slash)
{
	const char *name = p->dst + p->name;
	size_t len = p->len - p->name;

	if (len == 2 && name[0] == '.' && name[1] == '.') {
		if (!leave(p))
			return false;
	} else if (len == 1 && name[0] == '.') {
		p->len = p->name;
	} else if (len > 0 && slash) {
		p->dst[p->len++] = '/';
	}
	p->name = p->len;
	return true;
}

bool
web_path_resolve(char *dst, const char *path, size_t len, size_t *ret_len)
{
	const char *end = path + len;
	struct path p = {.dst = dst};

	if (len == 0 || *path != '/')
		return false;
	while (path < end) {
		char ch = decode(&path, end);

		if (ch == 0)
			return false;
		if (ch != '/')
			dst[p.len++] = ch;
		else if (!end_name(&p, true))
			return false;
	}
	if (!end_name(&p, false))
		return false;
	dst[p.len] = 0;
	*ret_len = p.len;
	return true;
}

/* What RFC 3986 lets stand in a path as it is, less what some clients make
 * something else of. */
static bool
is_plain(char ch)
{
	return (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
		(ch >= 'a' && ch <= 'z') ||
		(ch != 0 && strchr("/-._~!$&()*+,=:@", ch) != NULL);
}

void
web_path_put(struct buf *b, const char *path, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_u8(b, '/');
	for (size_t i = 0; i < len; i++) {
		char code[3] = {'%', digits[(uint8_t)path[i] >> 4],
			digits[path[i] & 15]};

		if (is_plain(path[i]))
			buf_u8(b, (uint8_t)path[i]);
		else
			buf_append(b, code, sizeof(code));
	}
}

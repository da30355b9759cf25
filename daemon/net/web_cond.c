/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entity-tag is made of everything that a change of the bytes changes: the
 * time of the last write, the size, and the time of the last change of any
 * kind, which nobody can set back.
 *
 * Fields with lists of entity-tags may come several times and are one list
 * then.  A date that comes twice is no date (RFC 9110 5.3: it is one value with
 * a comma in it), and an If-Range that comes twice holds for nothing, since the
 * answer to a condition that fails is the whole file, which is never wrong.
 */
#include "daemon/net/web_cond.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/macros.h"
#include "daemon/net/http_date.h"

#define NS_PER_S UINT64_C(1000000000)

static char *
put_hex(char *at, uint64_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned shift = 60;

	while (shift > 0 && n >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		*at++ = digits[n >> shift & 15];
		if (shift == 0)
			return at;
	}
}

static uint64_t
ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

void
web_stamp_init(struct web_stamp *s, const struct stat *st, int64_t now_s)
{
	char *at = s->etag;

	*at++ = '"';
	at = put_hex(at, ns_of(&st->st_mtim));
	*at++ = '-';
	at = put_hex(at, (uint64_t)st->st_size);
	*at++ = '-';
	at = put_hex(at, ns_of(&st->st_ctim));
	*at++ = '"';
	*at = 0;
	s->etag_len = (size_t)(at - s->etag);
	s->now_s = now_s;
	s->future = st->st_mtim.tv_sec > now_s;
	s->modified_s = s->future ? now_s : MAX_OF(st->st_mtim.tv_sec, 0);
}

static bool
is_blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static const char *
behind_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* Is this strong tag in the list?  weak: W/ in front does not matter.  What
 * comes behind a mistake is not looked at. */
static bool
list_has(const char *p, size_t len, const struct web_stamp *s, bool weak)
{
	const char *end = p + len;

	while (p < end) {
		const char *close, *next;
		bool is_weak;

		if (is_blank(*p) || *p == ',') {
			p++;
			continue;
		}
		is_weak = end - p > 2 && p[0] == 'W' && p[1] == '/';
		p += is_weak ? 2 : 0;
		close = *p == '"' ? memchr(p + 1, '"', (size_t)(end - p) - 1)
				  : NULL;
		if (close == NULL)
			return false;
		close++;
		next = behind_blanks(close, end);
		if (next < end && *next != ',')
			return false;
		if ((weak || !is_weak) && (size_t)(close - p) == s->etag_len &&
			memcmp(p, s->etag, s->etag_len) == 0)
			return true;
		p = next;
	}
	return false;
}

/* Any file that is there is "*". */
static bool
matches(const char *p, size_t len, const struct web_stamp *s, bool weak)
{
	return (len == 1 && *p == '*') || list_has(p, len, s, weak);
}

static void
if_match(struct web_cond *c, const char *value, size_t len)
{
	c->has_match = true;
	c->match |= matches(value, len, c->stamp, false);
}

static void
if_none_match(struct web_cond *c, const char *value, size_t len)
{
	c->has_none_match = true;
	c->none_match |= matches(value, len, c->stamp, true);
}

static void
date(struct web_cond_date *d, const struct web_stamp *s, const char *value,
	size_t len)
{
	d->valid = d->fields++ == 0 &&
		http_date_parse(value, len, s->now_s, &d->when_s);
}

static void
if_modified_since(struct web_cond *c, const char *value, size_t len)
{
	date(&c->modified_since, c->stamp, value, len);
}

static void
if_unmodified_since(struct web_cond *c, const char *value, size_t len)
{
	date(&c->unmodified_since, c->stamp, value, len);
}

/* 13.1.5: one strong tag, or exactly the date that was told.  One in the future
 * was told as another each time. */
static void
if_range(struct web_cond *c, const char *value, size_t len)
{
	const struct web_stamp *s = c->stamp;
	int64_t when_s;

	if (c->ranges++ > 0)
		c->range = false;
	else if (len > 0 && *value == '"')
		c->range =
			len == s->etag_len && memcmp(value, s->etag, len) == 0;
	else
		c->range = !s->future &&
			http_date_parse(value, len, s->now_s, &when_s) &&
			when_s == s->modified_s;
}

void
web_cond_field(struct web_cond *c, const char *name, size_t name_len,
	const char *value, size_t len)
{
	static const struct {
		const char *name;
		void (*fn)(struct web_cond *, const char *, size_t);
	} fields[] = {
		{"If-Match", if_match},
		{"If-None-Match", if_none_match},
		{"If-Modified-Since", if_modified_since},
		{"If-Unmodified-Since", if_unmodified_since},
		{"If-Range", if_range},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strlen(fields[i].name) == name_len &&
			strncasecmp(fields[i].name, name, name_len) == 0)
			fields[i].fn(c, value, len);
}

enum web_cond_result
web_cond_decide(const struct web_cond *c)
{
	const struct web_cond_date *unmodified = &c->unmodified_since;
	const struct web_cond_date *modified = &c->modified_since;
	int64_t last_s = c->stamp->modified_s;

	if (c->has_match) {
		if (!c->match)
			return WEB_COND_FAILED;
	} else if (unmodified->valid && last_s > unmodified->when_s) {
		return WEB_COND_FAILED;
	}
	if (c->has_none_match)
		return c->none_match ? WEB_COND_NOT_MODIFIED : WEB_COND_PASS;
	if (modified->valid && last_s <= modified->when_s)
		return WEB_COND_NOT_MODIFIED;
	return WEB_COND_PASS;
}

bool
web_cond_range(const struct web_cond *c)
{
	return c->ranges == 0 || c->range;
}

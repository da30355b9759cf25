/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/macros.h"

struct parse_unit {
	const char *name;
	uint64_t factor;
};

/* The digits at *text, which is moved behind them. */
static int
parse_digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return err_new(-EINVAL);
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return err_new(-ERANGE);
	*text = p;
	*ret = v;
	return 0;
}

static int
parse_with_unit(const char *text, const struct parse_unit *units, size_t n,
	uint64_t *ret)
{
	uint64_t v;
	int r;

	r = parse_digits(&text, &v);
	if (r != 0)
		return err_pass(r);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(v, units[i].factor, &v))
			return err_new(-ERANGE);
		*ret = v;
		return 0;
	}
	return err_new(-EINVAL);
}

int
parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r;

	r = parse_digits(&text, &v);
	if (r != 0)
		return err_pass(r);
	if (*text != '\0')
		return err_new(-EINVAL);
	if (v < min || v > max)
		return err_new(-ERANGE);
	*ret = v;
	return 0;
}

int
parse_size(const char *text, uint64_t *ret)
{
	static const struct parse_unit units[] = {
		{"", 1},
		{"K", 1ULL << 10},
		{"M", 1ULL << 20},
		{"G", 1ULL << 30},
		{"T", 1ULL << 40},
	};

	return parse_with_unit(text, units, ARRAY_LEN(units), ret);
}

int
parse_duration_us(const char *text, uint64_t *ret)
{
	static const struct parse_unit units[] = {
		{"us", 1},
		{"ms", US_PER_MS},
		{"s", US_PER_S},
		{"min", 60 * US_PER_S},
		{"h", 3600 * US_PER_S},
		{"d", 86400 * US_PER_S},
	};

	if (strcmp(text, "0") == 0) {
		*ret = 0;
		return 0;
	}
	return parse_with_unit(text, units, ARRAY_LEN(units), ret);
}

int
parse_bool(const char *text, bool *ret)
{
	static const char *const words[][2] = {
		{"no", "yes"},
		{"false", "true"},
		{"off", "on"},
		{"0", "1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (int v = 0; v < 2; v++)
			if (strcmp(text, words[i][v]) == 0) {
				*ret = v != 0;
				return 0;
			}
	return err_new(-EINVAL);
}

/* Copies text up to, and without, its first stop; what is behind it, or NULL
 * when there is no stop or no room. */
static const char *
parse_cut(char *dst, size_t size, const char *text, char stop)
{
	const char *end = strchr(text, stop);

	if (end == NULL || (size_t)(end - text) >= size)
		return NULL;
	memcpy(dst, text, (size_t)(end - text));
	dst[end - text] = '\0';
	return end + 1;
}

/* The scope is a number (an interface index); a name would be a look-up. */
static bool
parse_in6(char *host, struct sockaddr_in6 *ret)
{
	char *scope = strchr(host, '%');
	uint64_t v = 0;

	if (scope != NULL) {
		*scope = '\0';
		if (parse_u64(scope + 1, 1, UINT32_MAX, &v) != 0)
			return false;
	}
	ret->sin6_family = AF_INET6;
	ret->sin6_scope_id = (uint32_t)v;
	return inet_pton(AF_INET6, host, &ret->sin6_addr) == 1;
}

int
parse_addr_port(const char *text, struct parse_addr *ret)
{
	struct sockaddr_in6 in6 = {0};
	struct sockaddr_in in = {.sin_family = AF_INET};
	bool six = text[0] == '[';
	struct parse_addr addr = {0};
	char host[PARSE_ADDR_TEXT];
	uint64_t port;

	text = parse_cut(host, sizeof(host), text + six, six ? ']' : ':');
	if (text == NULL || (six && *text++ != ':') ||
		parse_u64(text, 0, UINT16_MAX, &port) != 0)
		return err_new(-EINVAL);
	if (six) {
		if (!parse_in6(host, &in6))
			return err_new(-EINVAL);
		in6.sin6_port = htons((uint16_t)port);
		addr.len = sizeof(in6);
		memcpy(&addr.ss, &in6, sizeof(in6));
	} else {
		if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
			return err_new(-EINVAL);
		in.sin_port = htons((uint16_t)port);
		addr.len = sizeof(in);
		memcpy(&addr.ss, &in, sizeof(in));
	}
	*ret = addr;
	return 0;
}

#define MAPPED_BITS 96u

/* An IPv4 address in IPv6's clothes becomes one of its own kind. */
static void
prefix_unmap(struct parse_prefix *p)
{
	static const uint8_t mapped[MAPPED_BITS / 8] = {
		[10] = 0xff, [11] = 0xff};

	if (p->family != AF_INET6 || p->len < MAPPED_BITS ||
		memcmp(p->addr, mapped, sizeof(mapped)) != 0)
		return;
	p->family = AF_INET;
	p->len -= MAPPED_BITS;
	memmove(p->addr, p->addr + sizeof(mapped), 4);
}

int
parse_prefix(const char *text, struct parse_prefix *ret)
{
	struct parse_prefix p = {.family = AF_INET};
	char host[INET6_ADDRSTRLEN + 1];
	const char *bits = parse_cut(host, sizeof(host), text, '/');
	uint64_t v, most = 32;

	if (bits == NULL && strchr(text, '/') != NULL)
		return err_new(-EINVAL);
	if (strchr(text, ':') != NULL) {
		p.family = AF_INET6;
		most = 128;
	}
	v = most;
	if ((bits != NULL && parse_u64(bits, 0, most, &v) != 0) ||
		inet_pton(p.family, bits != NULL ? host : text, p.addr) != 1)
		return err_new(-EINVAL);
	p.len = (unsigned)v;
	prefix_unmap(&p);
	*ret = p;
	return 0;
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned n)
{
	unsigned rest = n % 8;

	if (memcmp(a, b, n / 8) != 0)
		return false;
	return rest == 0 || (a[n / 8] ^ b[n / 8]) >> (8 - rest) == 0;
}

bool
prefix_contains(const struct parse_prefix *p, const struct sockaddr *sa)
{
	struct parse_prefix host = {.family = sa->sa_family};
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(host.addr, &in.sin_addr, sizeof(in.sin_addr));
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(host.addr, &in6.sin6_addr, sizeof(in6.sin6_addr));
		host.len = 128;
		prefix_unmap(&host);
	}
	return p->family == host.family &&
		bits_equal(p->addr, host.addr, p->len);
}

void
parse_addr_format(char *dst, const struct parse_addr *a)
{
	char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (a->ss.ss_family == AF_INET) {
		memcpy(&in, &a->ss, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
		snprintf(dst, PARSE_ADDR_TEXT, "%s:%u", host,
			ntohs(in.sin_port));
	} else if (a->ss.ss_family == AF_INET6) {
		memcpy(&in6, &a->ss, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
		if (in6.sin6_scope_id != 0)
			snprintf(scope, sizeof(scope), "%%%u",
				in6.sin6_scope_id);
		snprintf(dst, PARSE_ADDR_TEXT, "[%s%s]:%u", host, scope,
			ntohs(in6.sin6_port));
	} else {
		snprintf(dst, PARSE_ADDR_TEXT, "?");
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of MS-PCCRD as text, both ways. */
#include "codec/pccrd.h"

#include <string.h>
#include <strings.h>

#include "codec/pccrd_priv.h"
#include "common/hex.h"
#include "common/macros.h"

#define URN_PREFIX "urn:uuid:"
/* Of a UUID: 8-4-4-4-12 digits. */
#define UUID_TEXT    36u
#define IS_HYPHEN(i) ((i) == 8 || (i) == 13 || (i) == 18 || (i) == 23)

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct pccrd_text
pccrd_trim(struct pccrd_text t)
{
	while (t.len > 0 && is_space(t.text[0])) {
		t.text++;
		t.len--;
	}
	while (t.len > 0 && is_space(t.text[t.len - 1]))
		t.len--;
	return t;
}

bool
pccrd_word(struct pccrd_text *list, struct pccrd_text *ret)
{
	struct pccrd_text t = pccrd_trim(*list);
	size_t n = 0;

	while (n < t.len && !is_space(t.text[n]))
		n++;
	*ret = (struct pccrd_text){t.text, n};
	if (n > 0)
		*list = (struct pccrd_text){t.text + n, t.len - n};
	return n > 0;
}

bool
pccrd_equal(struct pccrd_text t, const char *text)
{
	return t.len == strlen(text) && memcmp(t.text, text, t.len) == 0;
}

bool
pccrd_uri_valid(struct pccrd_text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.text[i] <= ' ' || t.text[i] > '~')
			return false;
	return t.len > 0;
}

static int
hex_digit(char c, bool *ret_lower)
{
	*ret_lower = c >= 'a' && c <= 'f';
	if (*ret_lower)
		return c - 'a' + 10;
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
pccrd_hex(uint8_t *dst, size_t n, struct pccrd_text t, uint64_t *ret_lower)
{
	uint64_t lower = 0;

	if (t.len != 2 * n)
		return false;
	for (size_t i = 0; i < t.len; i++) {
		bool is_lower;
		int digit = hex_digit(t.text[i], &is_lower);

		if (digit < 0)
			return false;
		dst[i / 2] =
			(uint8_t)(i % 2 == 0 ? digit << 4 : dst[i / 2] | digit);
		lower |= (uint64_t)is_lower << i % 64;
	}
	if (ret_lower != NULL)
		*ret_lower = lower;
	return true;
}

void
pccrd_write_hex(struct buf *b, const struct pccrd_id *id)
{
	uint8_t *p = buf_extend(b, 2 * PCCRD_ID_SIZE);

	if (p == NULL)
		return;
	for (size_t i = 0; i < 2 * PCCRD_ID_SIZE; i++) {
		uint8_t digit = id->bytes[i / 2] >> (i % 2 ? 0 : 4) & 15;
		char ten = (id->lower >> i & 1) ? 'a' : 'A';

		p[i] = (uint8_t)(digit < 10 ? '0' + digit : ten + digit - 10);
	}
}

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* How far base64 has been read: whole bytes are taken out of bits. */
struct base64 {
	uint8_t *dst;
	size_t n, size;
	uint32_t bits;
	unsigned digits; /* since the last whole three bytes */
	unsigned fills;  /* '=' */
};

static bool
base64_take(struct base64 *s, char c)
{
	int digit = base64_digit(c);

	if (c == '=') {
		s->fills++;
		return s->digits + s->fills <= 4 && s->digits >= 2;
	}
	if (digit < 0 || s->fills > 0)
		return false;
	s->bits = s->bits << 6 | (uint32_t)digit;
	if (s->digits++ > 0) {
		if (s->n == s->size)
			return false;
		s->dst[s->n++] = (uint8_t)(s->bits >> (8 - 2 * s->digits));
	}
	if (s->digits == 4)
		s->digits = 0;
	return true;
}

ptrdiff_t
pccrd_base64(uint8_t *dst, size_t size, struct pccrd_text t)
{
	struct base64 s = {.dst = dst, .size = size};

	for (size_t i = 0; i < t.len; i++)
		if (!is_space(t.text[i]) && !base64_take(&s, t.text[i]))
			return -1;
	/* four digits at a time, and nothing in the bits that are left */
	if ((s.digits + s.fills) % 4 != 0 ||
		(s.digits == 2 && (s.bits & 15) != 0) ||
		(s.digits == 3 && (s.bits & 3) != 0))
		return -1;
	return (ptrdiff_t)s.n;
}

void
pccrd_write_base64(struct buf *b, const uint8_t *data, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *p = buf_extend(b, (n + 2) / 3 * 4);

	for (size_t i = 0; p != NULL && i < n; i += 3, p += 4) {
		size_t left = n - i;
		uint32_t bits = (uint32_t)data[i] << 16;

		if (left > 1)
			bits |= (uint32_t)data[i + 1] << 8;
		if (left > 2)
			bits |= data[i + 2];
		for (unsigned k = 0; k < 4; k++)
			p[k] = k <= left
				? (uint8_t)digits[bits >> (18 - 6 * k) & 63]
				: '=';
	}
}

bool
pccrd_addr(struct parse_addr *ret, struct pccrd_text t)
{
	char text[PARSE_ADDR_TEXT], *scope, *end;
	struct sockaddr_in in;

	if (t.len >= sizeof(text))
		return false;
	memcpy(text, t.text, t.len);
	text[t.len] = '\0';
	/* Behind '%' is the number of an interface of the host that wrote it,
	 * which says nothing here. */
	scope = strchr(text, '%');
	end = strchr(text, ']');
	if (scope != NULL && end != NULL && scope < end)
		memmove(scope, end, strlen(end) + 1);
	if (parse_addr_port(text, ret) != 0)
		return false;
	/* the port is at the same place in both kinds of address */
	memcpy(&in, &ret->ss, sizeof(in));
	return in.sin_port != 0;
}

void
pccrd_write_addr(struct buf *b, const struct parse_addr *addr)
{
	struct parse_addr plain = *addr;
	char text[PARSE_ADDR_TEXT];
	struct sockaddr_in6 in6;

	if (plain.ss.ss_family == AF_INET6) {
		memcpy(&in6, &plain.ss, sizeof(in6));
		in6.sin6_scope_id = 0;
		memcpy(&plain.ss, &in6, sizeof(in6));
	}
	parse_addr_format(text, &plain);
	buf_append(b, text, strlen(text));
}

void
pccrd_urn_format(char *dst, const uint8_t uuid[PCCRD_UUID_SIZE])
{
	char digits[2 * PCCRD_UUID_SIZE + 1];
	size_t n = 0;

	hex_encode(digits, uuid, PCCRD_UUID_SIZE);
	memcpy(dst, URN_PREFIX, strlen(URN_PREFIX));
	dst += strlen(URN_PREFIX);
	for (size_t i = 0; i < UUID_TEXT; i++)
		dst[i] = IS_HYPHEN(i) ? '-' : digits[n++];
	dst[UUID_TEXT] = '\0';
}

bool
pccrd_urn_parse(uint8_t ret_uuid[PCCRD_UUID_SIZE], const char *text)
{
	char digits[2 * PCCRD_UUID_SIZE + 1];
	uint8_t uuid[PCCRD_UUID_SIZE];
	size_t n = 0;

	if (strncasecmp(text, URN_PREFIX, strlen(URN_PREFIX)) != 0)
		return false;
	text += strlen(URN_PREFIX);
	if (strlen(text) != UUID_TEXT)
		return false;
	for (size_t i = 0; i < UUID_TEXT; i++) {
		if (!IS_HYPHEN(i))
			digits[n++] = text[i];
		else if (text[i] != '-')
			return false;
	}
	digits[n] = '\0';
	if (!hex_decode(uuid, sizeof(uuid), digits))
		return false;
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return true;
}

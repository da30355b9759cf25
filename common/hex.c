/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/hex.h"

void
hex_encode(char *dst, const uint8_t *src, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[src[i] >> 4];
		dst[2 * i + 1] = digits[src[i] & 15];
	}
	dst[2 * len] = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(uint8_t *dst, size_t len, const char *text)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		/* A text that ends early is not read past its NUL. */
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		dst[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * len] == '\0';
}

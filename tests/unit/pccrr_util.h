/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of retrieval messages share. */
#ifndef TESTS_UNIT_PCCRR_UTIL_H
#define TESTS_UNIT_PCCRR_UTIL_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/fdutil.h"
#include "common/hex.h"

#define PCCRR_VECTORS "tests/vectors/pccrr/"

/* The segment of the vectors, and zeroes behind it for longer ids. */
static const uint8_t the_id[64] = {0x37, 0x21, 0xf9, 0x52, 0x3a, 0x53, 0x45,
	0xb9, 0x97, 0xcc, 0x1a, 0xbf, 0x15, 0xfb, 0xb1, 0xf0, 0x93, 0x49, 0xe4,
	0x60, 0x7c, 0xc1, 0x37, 0xdd, 0x12, 0x63, 0x20, 0xfc, 0x48, 0x35, 0xc5,
	0xb6};

/* Big-endian words, the shape of nearly everything in these messages. */
#define WORDS(b, ...) \
	append_words((b), (const uint32_t[]){__VA_ARGS__}, \
		sizeof((uint32_t[]){__VA_ARGS__}) / 4)

static inline void
append_words(struct buf *b, const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_be32(b, words[i]);
}

static inline void
set_word(struct buf *b, size_t at, uint32_t word)
{
	for (size_t i = 0; i < 4; i++)
		b->data[at + i] = (uint8_t)(word >> (24 - 8 * i));
}

/* Makes the size fields true again after an edit. */
static inline void
fix_request(struct buf *b)
{
	set_word(b, 8, (uint32_t)b->len);
}

static inline void
fix_answer(struct buf *b)
{
	set_word(b, 0, (uint32_t)b->len - 4);
	set_word(b, 12, (uint32_t)b->len - 4);
}

static inline void
load(struct buf *b, const char *path)
{
	struct buf text;
	char pair[3] = "";
	bool comment = false;
	size_t n = 0;

	buf_init(&text, 65536);
	buf_init(b, 1 << 20);
	if (fd_read_file(path, &text) != 0)
		abort();
	for (size_t i = 0; i < text.len; i++) {
		char c = (char)text.data[i];
		uint8_t byte;

		comment = c == '#' || (comment && c != '\n');
		if (comment || isspace((unsigned char)c))
			continue;
		pair[n++] = c;
		if (n < 2)
			continue;
		if (!hex_decode(&byte, 1, pair))
			abort();
		buf_u8(b, byte);
		n = 0;
	}
	if (n != 0)
		abort();
	buf_done(&text);
}

static inline bool
same_bytes(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* For every length that is shorter, a copy that ends where its allocation does:
 * as it is, and with sizes that agree.  Stops at the first one that is taken,
 * whose length is returned; 0: none was. */
static inline size_t
first_cut_taken(const struct buf *b, bool answer,
	int (*parse)(const uint8_t *data, size_t len))
{
	size_t taken = 0, header = answer ? 20 : 16;

	for (size_t n = 0; n < b->len && taken == 0; n++) {
		struct buf copy = {.data = malloc(n + 1), .len = n};

		if (copy.data == NULL)
			abort();
		/* against the end of it */
		memcpy(copy.data + 1, b->data, n);
		if (parse(copy.data + 1, n) <= 0)
			taken = n;
		copy.data++;
		if (n >= header && answer)
			fix_answer(&copy);
		else if (n >= header)
			fix_request(&copy);
		if (n >= header && parse(copy.data, n) <= 0)
			taken = n;
		free(copy.data - 1);
	}
	return taken;
}

/* Puts strange numbers into every word of the message, which may then be taken
 * or not; what it is for is the sanitizers. */
static inline size_t
try_every_word(const struct buf *b, int (*parse)(const uint8_t *, size_t))
{
	static const uint32_t words[] = {0, 1, 2, 3, 33, 64, 255, 256, 257, 512,
		0x1fffffff, 0x20000001, 0x7fffffff, 0x80000000, UINT32_MAX - 3,
		UINT32_MAX - 2, UINT32_MAX - 1, UINT32_MAX};
	size_t refused = 0;

	for (size_t at = 0; at + 4 <= b->len; at += 4) {
		for (size_t i = 0; i < sizeof(words) / 4; i++) {
			struct buf copy = {
				.data = malloc(b->len), .len = b->len};

			if (copy.data == NULL)
				abort();
			memcpy(copy.data, b->data, b->len);
			set_word(&copy, at, words[i]);
			refused += parse(copy.data, copy.len) != 0;
			free(copy.data);
		}
	}
	return refused;
}

struct edit {
	size_t at;
	uint32_t word;
	int want;
};

#endif

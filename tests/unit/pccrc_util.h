/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of content information share.  Vectors are found from the top
 * of the source tree, where tests run. */
#ifndef TESTS_UNIT_PCCRC_UTIL_H
#define TESTS_UNIT_PCCRC_UTIL_H

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc.h"

#define PCCRC_VECTORS "tests/vectors/pccrc/"

/* splitmix64, as in the README of the vectors. */
static inline uint64_t
splitmix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* malloc'd; some bytes more than len are made. */
static inline uint8_t *
random_bytes(size_t len, uint64_t seed)
{
	uint8_t *data = malloc(len + 8);

	assert(data != NULL);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = splitmix(&seed);

		for (size_t k = 0; k < 8; k++)
			data[i + k] = (uint8_t)(v >> 8 * k);
	}
	return data;
}

static inline int
hex_digit(int c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* Hex digits with any spaces between them; the number of bytes. */
static inline size_t
hex_bytes(uint8_t *dst, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (isspace((unsigned char)*text))
			continue;
		assert(n < size && isxdigit((unsigned char)text[1]));
		dst[n++] =
			(uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text++;
	}
	return n;
}

static inline size_t
hex_file(uint8_t *dst, size_t size, const char *path)
{
	char text[4096];
	FILE *f = fopen(path, "re");
	size_t n;

	assert(f != NULL);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return hex_bytes(dst, size, text);
}

static inline void
put_le32(uint8_t *dst, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t
get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		(uint32_t)p[3] << 24;
}

/* Kp of a segment. */
static inline int
segment_secret(struct bulk *bulk, enum bulk_hash hash, const uint8_t *ks,
	const uint8_t *hod, uint8_t *ret_kp)
{
	size_t size = bulk_digest_size(hash);
	struct bulk_hmac_job job = {
		.key = ks,
		.key_len = size,
		.a = hod,
		.a_len = size,
		.digest = ret_kp,
	};

	return bulk_hmac_many(bulk, hash, &job, 1);
}

/* Is one the same value as the other? */
static inline bool
same_info(const struct pccrc_info *a, const struct pccrc_info *b)
{
	if (a->version != b->version || a->hash != b->hash ||
		a->hash_size != b->hash_size ||
		a->range_start != b->range_start ||
		a->range_end != b->range_end ||
		a->reaches_end != b->reaches_end ||
		a->first_index != b->first_index ||
		a->n_segments != b->n_segments)
		return false;
	for (size_t i = 0; i < a->n_segments; i++) {
		const struct pccrc_segment *s = &a->segments[i];
		const struct pccrc_segment *t = &b->segments[i];

		if (s->start != t->start || s->len != t->len ||
			s->n_blocks != t->n_blocks ||
			s->first_listed != t->first_listed ||
			s->n_listed != t->n_listed || s->proved != t->proved ||
			memcmp(s->hod, t->hod, a->hash_size) != 0 ||
			memcmp(s->kp, t->kp, a->hash_size) != 0 ||
			memcmp(s->hashes, t->hashes,
				(size_t)s->n_listed * a->hash_size) != 0)
			return false;
	}
	return true;
}

#endif

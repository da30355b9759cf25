/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the two fuzzers of content information.  The first byte of an input
 * says in what pieces the rest is fed.
 *
 * Checked: fed in pieces, with steps back on the way, the end is that of the
 * whole at once; what is accepted describes a range without gaps; and
 * build(parse(x)) parses to the same value.
 */
#ifndef TESTS_FUZZ_FUZZ_PCCRC_H
#define TESTS_FUZZ_FUZZ_PCCRC_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc.h"
#include "common/buf.h"
#include "common/macros.h"

/* assert() by another name: the first word of a report. */
#define MUST(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

static inline bool
fuzz_same_segment(
	const struct pccrc_segment *s, const struct pccrc_segment *t, size_t h)
{
	return s->start == t->start && s->len == t->len &&
		s->n_blocks == t->n_blocks &&
		s->first_listed == t->first_listed &&
		s->n_listed == t->n_listed && s->proved == t->proved &&
		memcmp(s->hod, t->hod, h) == 0 &&
		memcmp(s->kp, t->kp, h) == 0 &&
		memcmp(s->hashes, t->hashes, s->n_listed * h) == 0;
}

static inline void
fuzz_same(const struct pccrc_info *a, const struct pccrc_info *b)
{
	MUST(a->version == b->version && a->hash == b->hash &&
		a->hash_size == b->hash_size &&
		a->range_start == b->range_start &&
		a->range_end == b->range_end &&
		a->reaches_end == b->reaches_end &&
		a->first_index == b->first_index &&
		a->n_segments == b->n_segments);
	for (size_t i = 0; i < a->n_segments; i++)
		MUST(fuzz_same_segment(
			&a->segments[i], &b->segments[i], a->hash_size));
}

static inline void
fuzz_sound_segment(const struct pccrc_info *info, size_t i)
{
	const struct pccrc_segment *s = &info->segments[i];
	uint64_t sum = 0;

	MUST(s->len > 0 && s->n_listed > 0);
	MUST(s->first_listed + s->n_listed <= s->n_blocks);
	MUST(pccrc_segment_at(info, s->start) == i);
	MUST(pccrc_segment_at(info, s->start + s->len - 1) == i);
	if (i > 0)
		MUST(s[-1].start + s[-1].len == s->start);
	for (uint32_t k = 0; k < s->n_blocks; k++) {
		const uint8_t *hash = pccrc_block_hash(info, s, k);

		sum += pccrc_block_len(info, s, k);
		if (hash != NULL)
			MUST(hash >= info->bytes &&
				hash + info->hash_size <=
					info->bytes + info->n_bytes);
	}
	MUST(sum == s->len);
}

static inline void
fuzz_sound(const struct pccrc_info *info)
{
	const struct pccrc_segment *last;

	MUST(info->n_segments > 0);
	last = &info->segments[info->n_segments - 1];
	for (size_t i = 0; i < info->n_segments; i++)
		fuzz_sound_segment(info, i);
	MUST(info->range_start < info->range_end);
	MUST(pccrc_segment_at(info, info->range_start) == 0);
	MUST(pccrc_segment_at(info, info->range_end - 1) ==
		info->n_segments - 1);
	MUST(pccrc_segment_at(info, last->start + last->len) ==
		info->n_segments);
	for (uint64_t at = info->range_start; at < info->range_end;) {
		size_t i = pccrc_segment_at(info, at);
		const struct pccrc_segment *s = &info->segments[i];
		uint32_t block = info->version == 2
			? 0
			: (uint32_t)((at - s->start) / PCCRC_BLOCK_SIZE);

		/* What the range touches has its hash. */
		MUST(pccrc_block_hash(info, s, block) != NULL);
		at = s->start + (uint64_t)block * PCCRC_BLOCK_SIZE +
			pccrc_block_len(info, s, block);
	}
}

static inline int
fuzz_feed(struct bulk *bulk, const uint8_t *data, size_t len, unsigned seed,
	struct pccrc_info **ret_info)
{
	struct pccrc_parser *p = pccrc_parser_new(len + 1000);
	size_t at = 0, piece;
	int r = 0;

	MUST(p != NULL);
	while (at < len && r == 0) {
		seed = seed * 1103515245u + 12345u;
		piece = MIN_OF(1 + (seed >> 16) % 100, len - at);
		r = pccrc_parser_feed(p, data + at, piece);
		if (r == 0 && seed >> 28 == 0) {
			MUST(pccrc_parser_rollback(p, at) == 0);
			piece = 0;
		}
		at += piece;
	}
	if (r == 0)
		r = pccrc_parser_finish(p, bulk, ret_info);
	if (r != 0) {
		struct pccrc_info *none = NULL;

		MUST(pccrc_parser_finish(p, bulk, &none) == r && none == NULL);
		(void)pccrc_parser_rollback(p,
			len / 2 < pccrc_parser_fed(p) ? len / 2
						      : pccrc_parser_fed(p));
	}
	pccrc_parser_free(p);
	return r;
}

static inline void
fuzz_one(struct bulk *bulk, const uint8_t *data, size_t len, unsigned seed)
{
	struct pccrc_info *whole = NULL, *pieces = NULL, *again = NULL;
	struct buf b;
	int r = pccrc_parse(data, len, bulk, &whole);
	int s = fuzz_feed(bulk, data, len, seed, &pieces);

	MUST((r == 0) == (s == 0));
	MUST(r >= 0 && r < _PCCRC_E_MAX && (s >= 0 || s == -EMSGSIZE));
	if (r != 0)
		return;
	fuzz_sound(whole);
	fuzz_same(whole, pieces);
	buf_init(&b, SIZE_MAX);
	MUST(pccrc_build(whole, &b) == 0);
	MUST(pccrc_parse(b.data, b.len, bulk, &again) == 0);
	fuzz_same(whole, again);
	buf_done(&b);
	pccrc_info_unref(whole);
	pccrc_info_unref(pieces);
	pccrc_info_unref(again);
}

#endif

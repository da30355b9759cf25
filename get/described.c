/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/described.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/bulk.h"
#include "codec/pccrc.h"
#include "common/err.h"
#include "common/macros.h"

#define AT_ONCE 64u

struct described {
	struct bulk *bulk;
	struct pccrc_info *info;
};

/* Every byte from the first on has a hash. */
static bool
is_whole(const struct pccrc_info *info)
{
	if (info->range_start != 0)
		return false;
	for (size_t i = 0; i < info->n_segments; i++) {
		const struct pccrc_segment *s = &info->segments[i];

		if (s->first_listed != 0 || s->n_listed != s->n_blocks ||
			(i == 0 && s->start != 0))
			return false;
	}
	/* A range may end inside of what its segments describe. */
	return info->segments[info->n_segments - 1].start +
		info->segments[info->n_segments - 1].len ==
		info->range_end;
}

int
described_new(struct described **ret_described, const uint8_t *info, size_t len)
{
	struct described *d = calloc(1, sizeof(*d));
	int r = -ENOMEM;

	if (d == NULL)
		return err_new(-ENOMEM);
	d->bulk = bulk_new(BULK_AUTO);
	if (d->bulk != NULL)
		r = pccrc_parse(info, len, d->bulk, &d->info);
	if (r > 0 || r == -EMSGSIZE || (r == 0 && !is_whole(d->info)))
		r = DESCRIBED_MALFORMED;
	if (r != 0) {
		described_free(d);
		return r;
	}
	*ret_described = d;
	return 0;
}

struct described *
described_free(struct described *d)
{
	if (d == NULL)
		return NULL;
	if (d->info != NULL)
		pccrc_info_unref(d->info);
	bulk_free(d->bulk);
	free(d);
	return NULL;
}

uint64_t
described_length(const struct described *d)
{
	return d->info->range_end;
}

int
described_version(const struct described *d)
{
	return d->info->version;
}

struct block {
	uint64_t start;
	uint32_t len;
	const uint8_t *hash;
};

/* The block that holds pos. */
static struct block
block_at(const struct described *d, uint64_t pos)
{
	size_t i = pccrc_segment_at(d->info, pos);
	const struct pccrc_segment *s = &d->info->segments[i];
	uint32_t k = 0;

	assert(i < d->info->n_segments);
	if (d->info->version == 1)
		k = (uint32_t)((pos - s->start) / PCCRC_BLOCK_SIZE);
	return (struct block){
		.start = s->start + (uint64_t)k * PCCRC_BLOCK_SIZE,
		.len = pccrc_block_len(d->info, s, k),
		.hash = pccrc_block_hash(d->info, s, k),
	};
}

uint64_t
described_floor(const struct described *d, uint64_t pos)
{
	return block_at(d, pos).start;
}

uint64_t
described_piece(const struct described *d, uint64_t start, uint64_t end)
{
	uint64_t floor;

	if (end - start <= DESCRIBED_PIECE_MAX)
		return end;
	floor = described_floor(d, start + DESCRIBED_PIECE_MAX);
	assert(floor > start);
	return floor;
}

/* The first blocks of a piece.  How many bytes they have; 0: wrong. */
static size_t
verify_some(const struct described *d, uint64_t start, const uint8_t *bytes,
	size_t len)
{
	struct bulk_hash_job jobs[AT_ONCE];
	uint8_t digests[AT_ONCE][BULK_DIGEST_MAX];
	const uint8_t *hashes[AT_ONCE];
	size_t n = 0, at = 0;

	for (; at < len && n < AT_ONCE; n++) {
		struct block b = block_at(d, start + at);

		if (b.start != start + at || b.len > len - at)
			return 0;
		jobs[n] = (struct bulk_hash_job){bytes + at, b.len, digests[n]};
		hashes[n] = b.hash;
		at += b.len;
	}
	if (bulk_hash(d->bulk, d->info->hash, jobs, n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (memcmp(digests[i], hashes[i], d->info->hash_size) != 0)
			return 0;
	return at;
}

bool
described_verify(
	struct described *d, uint64_t start, const uint8_t *bytes, size_t len)
{
	size_t n = 1;

	for (size_t at = 0; at < len && n > 0; at += n)
		n = verify_some(d, start + at, bytes + at, len - at);
	return n > 0;
}

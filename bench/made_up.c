/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/made_up.h"

#include <stdlib.h>
#include <string.h>

#include "bench/frames.h"

#define HASH 32u

/* Hashes that nothing has: content, place and purpose, and zero. */
static void
name(uint8_t *dst, unsigned number, size_t i, char purpose)
{
	uint32_t n = number, at = (uint32_t)i;

	memset(dst, purpose, HASH);
	memcpy(dst, &n, sizeof(n));
	memcpy(dst + sizeof(n), &at, sizeof(at));
}

/* What the segments point to. */
struct names {
	uint8_t blocks[MADE_UP_BLOCKS][HASH];
	uint8_t hod[MADE_UP_BLOCKS][HASH];
	uint8_t kp[MADE_UP_BLOCKS][HASH];
};

static void
make_segment(struct pccrc_segment *seg, struct names *n, size_t i, bool v1)
{
	uint32_t len = v1 ? PCCRC_SEGMENT_SIZE : PCCRC_BLOCK_SIZE;

	*seg = (struct pccrc_segment){
		.start = (uint64_t)i * len,
		.len = len,
		.n_blocks = v1 ? PCCRC_SEGMENT_BLOCKS : 1,
		.n_listed = v1 ? PCCRC_SEGMENT_BLOCKS : 1,
		.proved = true,
		.hod = n->hod[i],
		.kp = n->kp[i],
		.hashes = v1 ? n->blocks[i * PCCRC_SEGMENT_BLOCKS] : n->hod[i],
	};
}

static void
make_names(struct bulk *bulk, struct names *n, size_t n_segments, bool v1,
	unsigned number)
{
	for (size_t i = 0; v1 && i < MADE_UP_BLOCKS; i++)
		name(n->blocks[i], number, i, 'b');
	for (size_t i = 0; i < n_segments; i++) {
		struct bulk_hash_job list = {
			.data = n->blocks[i * PCCRC_SEGMENT_BLOCKS %
				MADE_UP_BLOCKS],
			.len = PCCRC_SEGMENT_BLOCKS * HASH,
			.digest = n->hod[i],
		};

		name(n->kp[i], number, i, 'k');
		name(n->hod[i], number, i, 'h');
		if (v1 && bulk_hash(bulk, BULK_SHA256, &list, 1) != 0)
			bench_die("hashing failed");
	}
}

void
made_up_bytes(struct bulk *bulk, int version, unsigned number, struct buf *ret)
{
	bool v1 = version == 1;
	size_t n = v1 ? MADE_UP_BLOCKS / PCCRC_SEGMENT_BLOCKS : MADE_UP_BLOCKS;
	struct names *names = calloc(1, sizeof(*names));
	struct pccrc_info info = {
		.version = version,
		.hash = v1 ? BULK_SHA256 : BULK_SHA512_256,
		.hash_size = HASH,
		.range_end = MADE_UP_BYTES,
		.n_segments = n,
		.segments = calloc(n, sizeof(info.segments[0])),
	};

	if (!names || !info.segments)
		bench_die("out of memory");
	make_names(bulk, names, n, v1, number);
	for (size_t i = 0; i < n; i++)
		make_segment(&info.segments[i], names, i, v1);
	buf_init(ret, 16u << 20);
	if (pccrc_build(&info, ret) != 0)
		bench_die("content information cannot be built");
	free(info.segments);
	free(names);
}

struct pccrc_info *
made_up_info(struct bulk *bulk, int version, unsigned number)
{
	struct pccrc_info *info;
	struct buf b;

	made_up_bytes(bulk, version, number, &b);
	if (pccrc_parse(b.data, b.len, bulk, &info) != 0)
		bench_die("content information is refused");
	buf_done(&b);
	return info;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What a finished description is made of, for pccrc_desc.c and pccrc_pack.c
 * only. */
#ifndef CODEC_PCCRC_DESC_H
#define CODEC_PCCRC_DESC_H

#include "codec/pccrc_priv.h"

#define V1_HASH      32u
#define V1_ENTRY     (V1_FIELDS_SIZE + 2 * V1_HASH)
#define V1_FULL_LIST (V1_COUNT_SIZE + PCCRC_SEGMENT_BLOCKS * V1_HASH)

struct pccrc_desc {
	unsigned versions;
	uint64_t length;
	uint8_t *v1; /* secmem */
	size_t v1_len;
	size_t v1_segments;
	uint8_t *v2; /* secmem */
	size_t v2_len;
	size_t v2_segments;
	uint64_t *starts; /* v2_segments */
};

/* The block lists, to the end of v1; each begins with its count. */
static inline const uint8_t *
pccrc_desc_v1_lists(const struct pccrc_desc *d)
{
	return d->v1 + V1_HEADER_SIZE + d->v1_segments * V1_ENTRY;
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptions as they are kept on disk.
 *
 * Checked: pack(unpack(x)) is x; and content information of what is accepted,
 * for the whole and for a part, in each version, is accepted in its turn and
 * covers that range.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/pccrc.h"
#include "common/secmem.h"

/* assert() by another name: the first word of a report. */
#define MUST(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct bulk *bulk;

static void
check_range(const struct pccrc_desc *desc, int version, uint64_t offset,
	uint64_t length)
{
	struct pccrc_info *info = NULL;
	uint8_t *bytes;
	size_t len;

	MUST(pccrc_desc_build(desc, version, offset, length, &bytes, &len) ==
		0);
	MUST(pccrc_parse(bytes, len, bulk, &info) == 0);
	MUST(info->version == version && info->range_start == offset &&
		info->range_end == offset + length);
	pccrc_info_unref(info);
	sec_free(bytes, len);
}

static void
check_counts(const struct pccrc_desc *desc, size_t len)
{
	struct pccrc_counts c;
	unsigned versions = pccrc_desc_versions(desc);

	pccrc_packed_count(pccrc_desc_length(desc), versions, len, &c);
	MUST((c.v1_segments > 0) == ((versions & PCCRC_MAKE_V1) != 0));
	MUST((c.v1_blocks > 0) == ((versions & PCCRC_MAKE_V1) != 0));
	MUST((c.v2_segments > 0) == ((versions & PCCRC_MAKE_V2) != 0));
}

static void
check(const struct pccrc_desc *desc, const uint8_t *data, size_t len)
{
	uint64_t length = pccrc_desc_length(desc), half = length / 2;
	struct buf b;

	for (int version = 1; version <= 2; version++) {
		if ((pccrc_desc_versions(desc) & (unsigned)version) == 0)
			continue;
		check_range(desc, version, 0, length);
		check_range(desc, version, half, (length - half + 1) / 2);
	}
	check_counts(desc, len);
	buf_init(&b, len);
	MUST(pccrc_desc_pack(desc, &b) == 0);
	MUST(b.len == len && memcmp(b.data, data, len) == 0);
	buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t key[] = "key";
	struct pccrc_desc *desc = NULL;

	if (bulk == NULL)
		bulk = bulk_new(BULK_EVP);
	MUST(bulk != NULL);
	if (pccrc_desc_unpack(data, len, bulk, key, sizeof(key), &desc) != 0) {
		MUST(desc == NULL);
		return 0;
	}
	check(desc, data, len);
	pccrc_desc_free(desc);
	return 0;
}

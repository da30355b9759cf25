/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store/index_about.h"

#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/rd.h"

#define AT_NAME 16u
#define AT_HASH (AT_NAME + INDEX_NAME_MAX)

_Static_assert(AT_HASH + 8 == INDEX_ABOUT, "the hash comes last");

static void
put_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

void
index_about_build(uint8_t ret[INDEX_ABOUT], uint32_t format, const char *name)
{
	static const uint32_t order = 0x01020304;

	memset(ret, 0, INDEX_ABOUT);
	put_le(ret, format, 4);
	put_le(ret + 4, (uint64_t)sysconf(_SC_PAGESIZE), 4);
	memcpy(ret + 8, &order, sizeof(order));
	put_le(ret + 12, sizeof(size_t), 4);
	memcpy(ret + AT_NAME, name, strlen(name));
	put_le(ret + AT_HASH, XXH3_64bits(ret, AT_HASH), 8);
}

enum index_opened
index_about_check(struct index_blob about, uint32_t format, const char *name)
{
	uint8_t ours[INDEX_ABOUT];
	uint32_t theirs;
	struct rd r;

	if (about.len != INDEX_ABOUT)
		return INDEX_DAMAGED;
	rd_init(&r, about.data, about.len);
	theirs = rd_le32(&r);
	rd_bytes(&r, AT_HASH - 4);
	if (rd_le64(&r) != XXH3_64bits(about.data, AT_HASH))
		return INDEX_DAMAGED;
	index_about_build(ours, format, name);
	if (memcmp(about.data, ours, INDEX_ABOUT) == 0)
		return INDEX_FOUND;
	return theirs > format ? INDEX_NEWER : INDEX_FOREIGN;
}

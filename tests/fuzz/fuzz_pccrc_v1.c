/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content information of version 1.  Inputs whose HoD does not fit would end
 * there, and no fuzzer guesses a hash; so besides the input as it is, one with
 * its HoDs put right is tried.
 */
#include "common/rd.h"
#include "tests/fuzz/fuzz_pccrc.h"

#define MAX_SEGMENTS 64

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static enum bulk_hash
hash_of(uint8_t code)
{
	switch (code) {
	case 0x0d:
		return BULK_SHA384;
	case 0x0e:
		return BULK_SHA512;
	default:
		return BULK_SHA256;
	}
}

/* Each HoD becomes the hash of the list that stands for it. */
static void
put_right(struct bulk *bulk, uint8_t *data, size_t len)
{
	enum bulk_hash hash;
	size_t size;
	uint32_t n;
	struct rd r;

	rd_init(&r, data, len);
	(void)rd_bytes(&r, 14);
	n = rd_le32(&r);
	if (!rd_ok(&r) || n > MAX_SEGMENTS)
		return;
	hash = hash_of(data[2]);
	size = bulk_digest_size(hash);
	(void)rd_bytes(&r, n * (16 + 2 * size));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t blocks = rd_le32(&r);
		struct bulk_hash_job job = {
			.data = rd_bytes(&r, blocks * size),
			.len = blocks * size,
			.digest = data + 18 + i * (16 + 2 * size) + 16,
		};

		if (!rd_ok(&r))
			return;
		MUST(bulk_hash(bulk, hash, &job, 1) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct bulk *bulk;
	uint8_t *copy;

	if (bulk == NULL)
		bulk = bulk_new(BULK_EVP);
	MUST(bulk != NULL);
	if (len == 0)
		return 0;
	fuzz_one(bulk, data + 1, len - 1, data[0]);
	copy = malloc(len);
	MUST(copy != NULL);
	memcpy(copy, data, len);
	put_right(bulk, copy + 1, len - 1);
	fuzz_one(bulk, copy + 1, len - 1, data[0]);
	free(copy);
	return 0;
}

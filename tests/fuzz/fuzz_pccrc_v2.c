/* SPDX-License-Identifier: BSD-2-Clause */
/* Content information of version 2 (and whatever the fuzzer makes of it). */
#include "tests/fuzz/fuzz_pccrc.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct bulk *bulk;

	if (bulk == NULL)
		bulk = bulk_new(BULK_EVP);
	MUST(bulk != NULL);
	if (len > 0)
		fuzz_one(bulk, data + 1, len - 1, data[0]);
	return 0;
}

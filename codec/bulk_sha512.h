/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to bulk: SHA-384 and SHA-512 of many buffers, eight at a time. */
#ifndef CODEC_BULK_SHA512_H
#define CODEC_BULK_SHA512_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/bulk.h"

/* Does this CPU have what it takes (AVX-512 F and BW)? */
bool bulk_sha512_able(void);
/* Digests of all jobs; hash is one of the SHA-512 family.  Only when able. */
void bulk_sha512_run(enum bulk_hash, struct bulk_hash_job *, size_t n);

#endif

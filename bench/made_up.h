/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Contents that do not exist: true content information of 16,384 blocks of
 * 64 KiB (1 GiB) each, numbered, the same on every call.  Version 1: 32
 * segments; version 2: a segment for each block.
 */
#ifndef BENCH_MADE_UP_H
#define BENCH_MADE_UP_H

#include "codec/pccrc.h"

#define MADE_UP_BLOCKS 16384u
#define MADE_UP_BYTES  (UINT64_C(1) << 30)

struct pccrc_info *made_up_info(struct bulk *, int version, unsigned number);
/* The same as bytes. */
void made_up_bytes(
	struct bulk *, int version, unsigned number, struct buf *ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an index says about itself, in a table of its own.  Pure.
 *
 *   0  u32 format of what is in the tables
 *   4  u32 page size
 *   8  u32 0x01020304 as the machine writes it
 *  12  u32 bytes of a size_t
 *  16  32  name, zero-padded
 *  48  u64 XXH3 of the bytes before
 *
 * Little-endian but for the third.  Stays so in every format.
 */
#ifndef STORE_INDEX_ABOUT_H
#define STORE_INDEX_ABOUT_H

#include "daemon/store/index.h"

#define INDEX_ABOUT    56u
#define INDEX_NAME_MAX 32u /* with its NUL */

void index_about_build(
	uint8_t ret[INDEX_ABOUT], uint32_t format, const char *name);
/* INDEX_FOUND: ours; INDEX_DAMAGED, INDEX_FOREIGN, INDEX_NEWER. */
enum index_opened index_about_check(
	struct index_blob about, uint32_t format, const char *name);

#endif

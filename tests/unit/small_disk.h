/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk with few blocks for one index, made by taking the places of the
 * C library's calls: each block that LMDB writes or that is allocated for the
 * file counts once, and there are no more than said.
 */
#ifndef TESTS_SMALL_DISK_H
#define TESTS_SMALL_DISK_H

#include <stddef.h>

#define SMALL_DISK_BLOCK 4096u

/* An empty file on a disk with so many blocks; 0: the real disk again. */
void small_disk_begin(size_t blocks);
/* Somebody else takes all that is left. */
void small_disk_fill(void);
/* So many become free. */
void small_disk_free(size_t blocks);
size_t small_disk_used(void);
/* Writing fails so, whatever there is; 0: no more. */
void small_disk_fail(int error);

#endif

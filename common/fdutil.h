/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_FDUTIL_H
#define COMMON_FDUTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

/* The whole file appended to the buffer, whose bound applies.  -errno. */
int fd_read_file(const char *path, struct buf *);

/* Writes all or fails; retries EINTR and short writes. */
int fd_write_all(int fd, const void *data, size_t len);

/* Replaces path with data by a temporary file in the same folder, fsync and
 * rename; never leaves a part under the name. */
int fd_write_file(const char *path, const void *data, size_t len, mode_t mode);

/* memfd of exactly size bytes, close-on-exec, sealed SHRINK, GROW and SEAL.
 * A descriptor, or -errno. */
int fd_memfd_sealed(const char *name, size_t size);

/* 0 when fd is a memfd of exactly size bytes with exactly those seals;
 * -EINVAL otherwise. */
int fd_memfd_check(int fd, size_t size);

/* Nothing may be done with a foreign descriptor before its type is known:
 * 0 for a regular file, -EINVAL for anything else, -errno. */
int fd_check_regular(int fd);

/* 1 when the file system is FUSE or of the network, where somebody's slow
 * server can make any call wait for ever; 0 otherwise; -errno. */
int fd_may_stall(int fd);
/* The same for what a user has opened: anybody may put an overlay over such a
 * file system, in a mount namespace of his own, and nothing tells so. */
int fd_may_stall_foreign(int fd);

#endif

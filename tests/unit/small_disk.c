/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/small_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"

#define BLOCKS 65536u

static bool on;
static bool there[BLOCKS];
static size_t used, left;
static int error;

void
small_disk_begin(size_t blocks)
{
	memset(there, 0, sizeof(there));
	on = blocks > 0;
	used = 0;
	left = blocks;
	error = 0;
}

void
small_disk_fill(void)
{
	left = 0;
}

void
small_disk_free(size_t blocks)
{
	left += blocks;
}

size_t
small_disk_used(void)
{
	return used;
}

void
small_disk_fail(int e)
{
	error = e;
}

static bool
is_ours(int fd)
{
	char link[64], path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n >= 4 && memcmp(path + n - 4, ".mdb", 4) == 0;
}

/* How many of the bytes have their blocks now. */
static size_t
take(off_t offset, size_t n)
{
	uint64_t at = (uint64_t)offset, end = at + n;

	while (at < end) {
		size_t block = at / SMALL_DISK_BLOCK;

		if (block >= BLOCKS || (!there[block] && left == 0))
			break;
		if (!there[block]) {
			there[block] = true;
			left--;
			used++;
		}
		at = (uint64_t)(block + 1) * SMALL_DISK_BLOCK;
	}
	return (size_t)(MIN_OF(at, end) - (uint64_t)offset);
}

/* The same, of a write; 0: errno tells why not. */
static size_t
take_for_write(int fd, off_t offset, size_t n)
{
	if (!on || !is_ours(fd))
		return n;
	errno = error != 0 ? error : ENOSPC;
	return error != 0 ? 0 : take(offset, n);
}

ssize_t
pwrite(int fd, const void *data, size_t n, off_t offset)
{
	n = take_for_write(fd, offset, n);
	return n > 0 ? syscall(SYS_pwrite64, fd, data, n, offset) : -1;
}

static size_t
total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* A part of it is written as its first piece, which is short enough. */
static ssize_t
write_some(int fd, const struct iovec *iov, int n, off_t offset)
{
	size_t all = total(iov, n), fits = take_for_write(fd, offset, all);

	if (fits == 0)
		return -1;
	if (fits < all)
		return syscall(SYS_pwrite64, fd, iov[0].iov_base,
			MIN_OF(fits, iov[0].iov_len), offset);
	return syscall(SYS_pwritev, fd, iov, n, offset, 0);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return write_some(fd, iov, n, offset);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	off_t at = on && is_ours(fd) ? lseek(fd, 0, SEEK_CUR) : -1;

	return at < 0 ? syscall(SYS_writev, fd, iov, n)
		      : write_some(fd, iov, n, at);
}

int
fallocate(int fd, int mode, off_t offset, off_t n)
{
	if (!on || !is_ours(fd))
		return (int)syscall(SYS_fallocate, fd, mode, offset, n);
	if (take(offset, (size_t)n) == (size_t)n)
		return 0;
	errno = ENOSPC;
	return -1;
}

/* It would only take time. */
int
fdatasync(int fd)
{
	return on && is_ours(fd) ? 0 : (int)syscall(SYS_fdatasync, fd);
}

int
fstatvfs(int fd, struct statvfs *ret)
{
	*ret = (struct statvfs){
		.f_bsize = SMALL_DISK_BLOCK,
		.f_frsize = SMALL_DISK_BLOCK,
		.f_blocks = used + left,
		.f_bavail = left,
	};
	return 0;
}

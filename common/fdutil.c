/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/fdutil.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"

#define FD_READ_CHUNK 16384
#define FD_OVERLAY    0x794c7630 /* statfs(2) */
#define FD_SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static ssize_t
fd_read_retry(int fd, void *dst, size_t n)
{
	ssize_t got;

	do
		got = read(fd, dst, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* At the bound one more byte decides between the end and too much. */
static ssize_t
fd_read_at_bound(int fd, struct buf *b)
{
	uint8_t one;
	ssize_t got = fd_read_retry(fd, &one, 1);

	if (got > 0)
		buf_append(b, &one, 1);
	return got > 0 ? buf_error(b) : got;
}

/* 1 more may follow, 0 end, -errno. */
static ssize_t
fd_read_some(int fd, struct buf *b)
{
	size_t n = MIN_OF(FD_READ_CHUNK, b->max - b->len);
	uint8_t *dst;
	ssize_t got;

	if (n == 0)
		return fd_read_at_bound(fd, b);
	dst = buf_extend(b, n);
	if (dst == NULL)
		return buf_error(b);
	got = fd_read_retry(fd, dst, n);
	b->len -= n - (got > 0 ? (size_t)got : 0);
	return got > 0 ? 1 : got;
}

int
fd_read_file(const char *path, struct buf *b)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t start = b->len;
	ssize_t r;

	if (fd < 0)
		return err_new(-errno);
	do
		r = fd_read_some(fd, b);
	while (r > 0);
	if (r < 0)
		b->len = start;
	return err_pass((int)r);
}

int
fd_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The rename itself must reach the disk too. */
static int
fd_sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *folder = NULL;
	AUTO_FD int fd = -1;

	if (slash == NULL)
		folder = strdup(".");
	else
		folder = strndup(path, MAX_OF((size_t)(slash - path), 1));
	if (folder == NULL)
		return err_new(-ENOMEM);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return err_new(-errno);
	return 0;
}

static int
fd_fill_temporary(int fd, const void *data, size_t len, mode_t mode)
{
	int r;

	if (fchmod(fd, mode) != 0)
		return err_new(-errno);
	r = fd_write_all(fd, data, len);
	if (r != 0)
		return err_pass(r);
	return fsync(fd) != 0 ? err_new(-errno) : 0;
}

int
fd_write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	AUTO_FREE char *tmp = NULL;
	AUTO_FD int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
		tmp = NULL;
		return err_new(-ENOMEM);
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_new(-errno);
	r = fd_fill_temporary(fd, data, len, mode);
	if (r == 0 && rename(tmp, path) != 0)
		r = err_new(-errno);
	if (r != 0) {
		unlink(tmp);
		return err_pass(r);
	}
	return err_pass(fd_sync_folder_of(path));
}

int
fd_memfd_sealed(const char *name, size_t size)
{
	AUTO_FD int fd = -1;

	if (size > LLONG_MAX)
		return err_new(-EINVAL);
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0 ||
		fcntl(fd, F_ADD_SEALS, FD_SEALS) != 0)
		return err_new(-errno);
	return TAKE_FD(fd);
}

/* The seals come first: the kernel answers for them without asking a file
 * system, and only memfds can have exactly these. */
int
fd_memfd_check(int fd, size_t size)
{
	struct stat st;

	if (fcntl(fd, F_GET_SEALS) != FD_SEALS || fstat(fd, &st) != 0 ||
		!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return err_new(-EINVAL);
	return 0;
}

/* Not fstat: for a network or user-space file system that may ask a server
 * which never answers. */
int
fd_check_regular(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE,
		    &st) != 0)
		return err_new(-errno);
	if (!(st.stx_mask & STATX_TYPE) || !S_ISREG(st.stx_mode))
		return err_new(-EINVAL);
	return 0;
}

static int
type_of(int fd, uint32_t *ret_type)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return err_new(-errno);
	*ret_type = (uint32_t)fs.f_type;
	return 0;
}

int
fd_may_stall(int fd)
{
	/* Numbers of statfs(2). */
	static const uint32_t types[] = {
		0x65735546, /* FUSE */
		0x00006969, /* NFS */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x0000517b, /* SMB */
		0x01021997, /* 9P */
		0x00c36400, /* Ceph */
		0x5346414f, /* AFS */
		0x6b414653, /* AFS of the kernel */
		0x73757245, /* Coda */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x19830326, /* BeeGFS */
		0x20030528, /* OrangeFS */
	};
	uint32_t type = 0;
	int r = type_of(fd, &type);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (type == types[i])
			return 1;
	return 0;
}

int
fd_may_stall_foreign(int fd)
{
	uint32_t type = 0;
	int r = type_of(fd, &type);

	if (r < 0)
		return err_pass(r);
	return type == FD_OVERLAY ? 1 : err_pass(fd_may_stall(fd));
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * openat2() resolves a path beneath a folder and cannot be led out of it, and
 * with RESOLVE_CACHED it does so on the loop, as long as everything that it
 * needs is in the kernel's memory.  RESOLVE_NO_XDEV belongs to that: opening a
 * file of FUSE or NFS asks somebody's server, however well the way to it is
 * known.  A worker does the rest: what is on the root's own file system, which
 * is all that most roots have, and then what may be on one that stalls.
 *
 * What does not answer must hold up nothing but itself, so which file system
 * that is has to be known before it is asked.  openat2() does not tell; walking
 * the root's part of the way again does.
 *
 * Where there is no openat2(), behind a filter of system calls such as that of
 * RestrictSUIDSGID= (ENOSYS) or of older containers (EPERM), it walks by
 * itself; also when openat2() cannot tell whether ".." stayed beneath, since
 * others move folders at that moment.
 *
 * The descriptor that was opened is the only one: what it is, what is hashed,
 * and what is sent are asked of it.
 */
#include "daemon/net/web_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/net/web_walk.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* Linux 5.12 */
#endif

/* Files only: whatever opening does to a FIFO or a terminal, it does not
 * wait. */
#define FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define TIMES 8u /* that others may move folders */

struct how {
	int root;
	enum web_effort effort;
	bool walk;
	dev_t *beyond;
};

static int
beneath(int root, const char *path, uint64_t resolve)
{
	struct open_how how = {.flags = FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* EINVAL is what kernels say that do not know RESOLVE_CACHED. */
static int
open_at_once(const struct how *how, const char *path)
{
	int fd = how->walk
		? web_walk(how->root, path, FLAGS, WEB_AT_ONCE, how->beyond)
		: beneath(how->root, path, RESOLVE_CACHED | RESOLVE_NO_XDEV);

	if (fd == -EINVAL || fd == -EXDEV)
		return -EAGAIN;
	return fd == -EPERM && !how->walk ? -ENOSYS : fd;
}

static int
open_patiently(const struct how *how, const char *path)
{
	bool near = how->effort == WEB_NEARBY;
	int fd = -EAGAIN;

	for (unsigned i = 0; i < TIMES && fd == -EAGAIN && !how->walk; i++)
		fd = beneath(how->root, path, near ? RESOLVE_NO_XDEV : 0);
	if (fd == -EAGAIN || fd == -ENOSYS || fd == -EPERM ||
		(near && fd == -EXDEV))
		fd = web_walk(how->root, path, FLAGS, how->effort, how->beyond);
	return fd;
}

static int
open_path(const struct how *how, const char *path)
{
	const char *name = *path != 0 ? path : ".";

	return how->effort == WEB_AT_ONCE ? open_at_once(how, name)
					  : open_patiently(how, name);
}

/* A folder without an index is no secret, and not shown either. */
static int
open_index(const struct how *how, const char *folder)
{
	char path[PATH_MAX];
	size_t len = strlen(folder);
	int fd;

	if (len + sizeof(WEB_INDEX) > sizeof(path))
		return err_new(-ENAMETOOLONG);
	memcpy(path, folder, len);
	memcpy(path + len, WEB_INDEX, sizeof(WEB_INDEX));
	fd = open_path(how, path);
	if (fd != -ENOENT)
		return fd;
	fd = open_path(how, folder);
	if (fd < 0)
		return fd;
	close(fd);
	return err_new(-EACCES);
}

int
web_open(int root, const char *path, enum web_effort effort, bool walk,
	struct web_found *ret_found)
{
	const struct how how = {root, effort, walk, &ret_found->beyond};
	size_t len = strlen(path);
	bool index = len == 0 || path[len - 1] == '/';
	AUTO_FD int fd = -1;

	ret_found->beyond = 0;
	fd = index ? open_index(&how, path) : open_path(&how, path);
	if (fd < 0)
		return err_pass(fd);
	ret_found->slow = effort == WEB_ANYWHERE && fd_may_stall(fd) != 0;
	if (fstat(fd, &ret_found->st) != 0)
		return err_new(-errno);
	ret_found->fd = TAKE_FD(fd);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening what a request names, and nothing that is not beneath the root: the
 * mechanism is told at the top of web_open.c.
 */
#ifndef NET_WEB_OPEN_H
#define NET_WEB_OPEN_H

#include <stdbool.h>
#include <sys/stat.h>

struct web_found {
	int fd;
	struct stat st;
	bool slow; /* its file system may stall */
	/* Where only -EXDEV (nearby) is the result: the device of what is
	 * mounted on the way; 0: not known. */
	dev_t beyond;
};

/* How much may be done to find it. */
enum web_effort {
	/* What would have to wait for a disk, is mounted beneath the root, or
	 * leads out of it, is -EAGAIN.  A walk can only say so of the last two,
	 * and of what is a long way. */
	WEB_AT_ONCE,
	/* What is mounted beneath the root, or leads out of it, is -EXDEV. */
	WEB_NEARBY,
	WEB_ANYWHERE,
};

#define WEB_INDEX "index.html"

/* root: a folder, O_PATH will do.  path: as web_path_resolve() gives it; with a
 * slash at its end, or empty, it is the index of that folder.  It may be a
 * symbolic link that does not lead out of the root.
 *
 * walk: without openat2().
 *
 * 0: anything that can be opened, a folder too.  -errno: -EACCES where a folder
 * has no index, -EXDEV and -ELOOP where a link leads elsewhere, -ENOSYS (only
 * at once) when there is no openat2(). */
int web_open(int root, const char *path, enum web_effort, bool walk,
	struct web_found *ret_found);

#endif

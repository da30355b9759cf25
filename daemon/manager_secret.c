/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new secret is written under a name of its own, synced, and then linked to
 * the final one.  So server.key is never there in part, and of two daemons that
 * start at once both use the one that was linked first.
 *
 * One that replaces another is written aside, too, under a fixed name, so that
 * what a crash leaves of it is found and removed, and then renamed over the old
 * one: at any moment server.key is the whole old or the whole new one.
 */
#include "daemon/manager_secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "common/secmem.h"

#define ASIDE "." SECRET_FILE ".new"

static int
check_file(int fd, const char **ret_why)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_new(-errno);
	if (!S_ISREG(st.st_mode))
		*ret_why = "it is not a regular file";
	else if (st.st_uid != geteuid())
		*ret_why = "it belongs to another user";
	else if ((st.st_mode & 077) != 0)
		*ret_why = "its permissions let others in; they must be 0600";
	else if (st.st_size < (off_t)SECRET_SIZE_MIN ||
		st.st_size > (off_t)SECRET_SIZE_MAX)
		*ret_why = "it has fewer than 16 or more than 4096 bytes";
	else
		return 0;
	return err_new(-EPERM);
}

static int
read_key(int fd, uint8_t *key, size_t *ret_len)
{
	size_t len = 0;

	while (len < SECRET_SIZE_MAX) {
		ssize_t n = read(fd, key + len, SECRET_SIZE_MAX - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return len >= SECRET_SIZE_MIN ? 0 : err_new(-EIO);
}

/* -ENOENT when there is none. */
static int
load_existing(int folder, uint8_t *key, size_t *ret_len, const char **ret_why)
{
	AUTO_FD int fd = openat(folder, SECRET_FILE,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r;

	if (fd < 0) {
		if (errno == ELOOP)
			*ret_why = "it is a symbolic link";
		return err_new(-errno);
	}
	r = check_file(fd, ret_why);
	return r != 0 ? r : read_key(fd, key, ret_len);
}

static int
write_new(int folder, const char *name, const uint8_t *key, size_t len)
{
	AUTO_FD int fd = openat(folder, name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_new(-errno);
	r = fd_write_all(fd, key, len);
	if (r == 0 && fsync(fd) != 0)
		r = err_new(-errno);
	return r;
}

static int
make_key(int folder, uint8_t *key)
{
	char name[64];
	int r;

	if (getrandom(key, SECRET_SIZE, 0) != (ssize_t)SECRET_SIZE)
		return err_new(-EIO);
	snprintf(name, sizeof(name), ".%s.%d", SECRET_FILE, (int)getpid());
	(void)unlinkat(folder, name, 0);
	r = write_new(folder, name, key, SECRET_SIZE);
	if (r == 0 && linkat(folder, name, folder, SECRET_FILE, 0) != 0 &&
		errno != EEXIST)
		r = err_new(-errno);
	(void)unlinkat(folder, name, 0);
	if (r == 0 && fsync(folder) != 0)
		r = err_new(-errno);
	return r;
}

int
secret_load(const char *folder, uint8_t **ret_key, size_t *ret_len,
	const char **ret_why)
{
	AUTO_FD int dir = -1;
	uint8_t *key;
	int r;

	*ret_why = "the folder cannot be used";
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return err_new(-errno);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_new(-errno);
	(void)unlinkat(dir, ASIDE, 0);
	key = sec_alloc(SECRET_SIZE_MAX);
	if (key == NULL)
		return err_new(-ENOMEM);
	*ret_why = "it cannot be read or made";
	r = load_existing(dir, key, ret_len, ret_why);
	if (r == -ENOENT) {
		r = make_key(dir, key);
		if (r == 0)
			r = load_existing(dir, key, ret_len, ret_why);
	}
	if (r != 0) {
		sec_free(key, SECRET_SIZE_MAX);
		return r;
	}
	*ret_key = key;
	return 0;
}

int
secret_replace(const char *folder, const uint8_t *key, size_t len,
	const char **ret_why)
{
	AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	*ret_why = "the folder cannot be used";
	if (dir < 0)
		return err_new(-errno);
	*ret_why = "it cannot be written";
	(void)unlinkat(dir, ASIDE, 0);
	r = write_new(dir, ASIDE, key, len);
	if (r == 0 && renameat(dir, ASIDE, dir, SECRET_FILE) != 0)
		r = err_new(-errno);
	if (r != 0) {
		(void)unlinkat(dir, ASIDE, 0);
		return r;
	}
	return fsync(dir) != 0 ? err_new(-errno) : 0;
}

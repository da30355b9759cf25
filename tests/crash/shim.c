/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a daemon: writes down what it does to the files of one folder,
 * and makes calls on them fail when told to.
 *
 *   CRASH_ROOT     the folder
 *   CRASH_LOG      where every change is written down, in order, with its data
 *   CRASH_CONTROL  a file with a struct control, mapped by both sides
 *
 * A record of the log is a struct entry, the path, and the data.  It is written
 * when the call has succeeded, under a lock that is held over the call, so the
 * order of the log is that of what happened.  A file has a serial number of its
 * own: numbers of inodes come round again.
 *
 * Changes through a shared mapping cannot be seen; that there was one is
 * written down, and the reader of the log refuses it where it matters.
 */
#define _GNU_SOURCE
/* Without: open and open64 would be the same name here. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS      4096
#define INODES   65536
#define PATH_LEN 512

/* tests/crash/disk.py has the same. */
enum entry_op {
	ENTRY_CREATE = 1, /* a name for a new file */
	ENTRY_OPEN,       /* one that was there */
	ENTRY_WRITE,
	ENTRY_WRITE_SYNC, /* through O_SYNC or O_DSYNC: durable at its end */
	ENTRY_TRUNCATE,   /* offset: the new length */
	ENTRY_ALLOCATE,   /* offset: the length that it has at least */
	ENTRY_SYNC,
	ENTRY_SYNC_FOLDER,
	ENTRY_RENAME, /* data: the new path */
	ENTRY_LINK,   /* the same */
	ENTRY_UNLINK,
	ENTRY_MKDIR,
	ENTRY_MAPPED,
};

struct entry {
	uint32_t op;
	uint32_t serial;
	uint64_t offset;
	uint32_t path_len;
	uint32_t data_len;
};

/* An errno or 0 for each kind of call; how many calls were failed so. */
enum fault { FAULT_READ, FAULT_WRITE, FAULT_SYNC, FAULT_CREATE, _FAULT_MAX };

struct control {
	uint32_t error[_FAULT_MAX];
	uint32_t failed[_FAULT_MAX];
	char match[32]; /* what a path must contain; empty: any */
};

struct tracked {
	bool known;
	bool sync;
	bool folder;
	uint32_t serial;
	char path[PATH_LEN];
};

static struct tracked fds[FDS];
static uint32_t serials[INODES];
static uint64_t inodes[INODES];
static uint32_t n_inodes;
static uint32_t last_serial;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_LEN];
static size_t root_len;
static int log_fd = -1;
static volatile struct control *control;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (real == NULL) \
	real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int
real_open(const char *path, int flags)
{
	REAL(open64);
	return real(path, flags | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("CRASH_ROOT");
	const char *log = getenv("CRASH_LOG");
	const char *map = getenv("CRASH_CONTROL");
	int fd;

	if (path == NULL || strlen(path) >= sizeof(root))
		return;
	snprintf(root, sizeof(root), "%s", path);
	root_len = strlen(root);
	if (log != NULL) {
		fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND);
		log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
		close(fd);
	}
	if (map != NULL) {
		fd = real_open(map, O_RDWR);
		void *p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);

		close(fd);
		control = p == MAP_FAILED ? NULL : p;
	}
}

static bool
below_root(const char *path)
{
	return root_len > 0 && strncmp(path, root, root_len) == 0 &&
		(path[root_len] == '/' || path[root_len] == 0);
}

static void
path_of_fd(int fd, char *ret)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret, PATH_LEN - 1);
	ret[n < 0 ? 0 : n] = 0;
}

/* The absolute path; empty when it is too long. */
static void
path_at(int dir, const char *name, char *ret)
{
	char base[PATH_LEN];

	if (name[0] == '/') {
		snprintf(ret, PATH_LEN, "%s", name);
		return;
	}
	if (dir == AT_FDCWD) {
		if (getcwd(base, sizeof(base)) == NULL)
			base[0] = 0;
	} else {
		path_of_fd(dir, base);
	}
	if (snprintf(ret, PATH_LEN, "%s/%s", base, name) >= PATH_LEN)
		ret[0] = 0;
}

/* Half a record is worse than an end. */
static void
must_write(const struct iovec *parts, int n)
{
	static const char text[] = "shim: cannot write the log\n";
	size_t len = 0;

	REAL(writev);
	for (int i = 0; i < n; i++)
		len += parts[i].iov_len;
	if (real(log_fd, parts, n) == (ssize_t)len)
		return;
	(void)!write(2, text, sizeof(text) - 1);
	_exit(70);
}

static void
note(enum entry_op op, uint32_t serial, uint64_t offset, const char *path,
	const struct iovec *data, size_t len)
{
	struct entry e = {.op = op,
		.serial = serial,
		.offset = offset,
		.path_len = (uint32_t)strlen(path),
		.data_len = (uint32_t)len};
	struct iovec head[2] = {
		{&e, sizeof(e)}, {(void *)(uintptr_t)path, e.path_len}};

	if (log_fd < 0)
		return;
	must_write(head, 2);
	for (; len > 0; data++) {
		struct iovec part = *data;

		if (part.iov_len > len)
			part.iov_len = len;
		must_write(&part, 1);
		len -= part.iov_len;
	}
}

static uint32_t
serial_of(uint64_t inode, bool made)
{
	uint32_t i;

	for (i = 0; i < n_inodes && inodes[i] != inode; i++)
		;
	if (i == n_inodes) {
		if (n_inodes == INODES)
			abort();
		n_inodes++;
		made = true;
	}
	inodes[i] = inode;
	if (made)
		serials[i] = ++last_serial;
	return serials[i];
}

static struct tracked *
tracked(int fd)
{
	return fd >= 0 && fd < FDS && fds[fd].known ? &fds[fd] : NULL;
}

/* errno, or 0: the call may be made. */
static bool
fails(enum fault kind, const char *path)
{
	if (control == NULL || control->error[kind] == 0 ||
		strstr(path, (const char *)control->match) == NULL)
		return false;
	control->failed[kind]++;
	errno = (int)control->error[kind];
	return true;
}

static bool
fd_fails(enum fault kind, int fd)
{
	const struct tracked *t = tracked(fd);

	return t != NULL && !t->folder && fails(kind, t->path);
}

static int
opened(int fd, const char *path, int flags, bool made)
{
	struct stat st;
	struct tracked *t;

	if (fd < 0 || fd >= FDS || fstat(fd, &st) != 0)
		return fd;
	t = &fds[fd];
	t->known = true;
	t->folder = S_ISDIR(st.st_mode);
	t->sync = (flags & (O_SYNC | O_DSYNC)) != 0;
	snprintf(t->path, sizeof(t->path), "%s", path);
	t->serial = serial_of(st.st_ino, made);
	if (t->folder)
		return fd;
	note(made ? ENTRY_CREATE : ENTRY_OPEN, t->serial, 0, path, NULL, 0);
	if ((flags & O_TRUNC) && !made)
		note(ENTRY_TRUNCATE, t->serial, 0, path, NULL, 0);
	return fd;
}

static int
open_any(int dir, const char *name, int flags, unsigned mode)
{
	char path[PATH_LEN];
	struct stat st;
	bool made;
	int fd;

	REAL(openat64);
	path_at(dir, name, path);
	if (!below_root(path)) {
		fd = real(dir, name, flags, mode);
		if (fd >= 0 && fd < FDS)
			fds[fd].known = false;
		return fd;
	}
	pthread_mutex_lock(&lock);
	made = (flags & O_CREAT) && lstat(path, &st) != 0;
	if (made && fails(FAULT_CREATE, path))
		fd = -1;
	else
		fd = opened(real(dir, name, flags, mode), path, flags, made);
	pthread_mutex_unlock(&lock);
	return fd;
}

#define MODE_OF(flags) \
	unsigned mode = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list ap; \
		va_start(ap, flags); \
		mode = va_arg(ap, unsigned); \
		va_end(ap); \
	}

int
open(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_any(AT_FDCWD, name, flags, mode);
}

int
open64(const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_any(AT_FDCWD, name, flags, mode);
}

int
openat(int dir, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_any(dir, name, flags, mode);
}

int
openat64(int dir, const char *name, int flags, ...)
{
	MODE_OF(flags)
	return open_any(dir, name, flags, mode);
}

/* What _FORTIFY_SOURCE makes of calls without a mode. */
int __open_2(const char *name, int flags);
int __open64_2(const char *name, int flags);
int __openat_2(int dir, const char *name, int flags);
int __openat64_2(int dir, const char *name, int flags);

int
__open_2(const char *name, int flags)
{
	return open_any(AT_FDCWD, name, flags, 0);
}

int
__open64_2(const char *name, int flags)
{
	return open_any(AT_FDCWD, name, flags, 0);
}

int
__openat_2(int dir, const char *name, int flags)
{
	return open_any(dir, name, flags, 0);
}

int
__openat64_2(int dir, const char *name, int flags)
{
	return open_any(dir, name, flags, 0);
}

int
close(int fd)
{
	REAL(close);
	if (fd >= 0 && fd < FDS)
		fds[fd].known = false;
	return real(fd);
}

/* Writing. */

/* To a file of ours; offset -1: where it stands. */
static ssize_t
write_any(int fd, const struct iovec *iov, int n, off64_t offset)
{
	const struct tracked *t = tracked(fd);
	ssize_t done;

	REAL(pwritev64);
	if (fd_fails(FAULT_WRITE, fd))
		return -1;
	pthread_mutex_lock(&lock);
	if (offset < 0) {
		offset = lseek64(fd, 0,
			fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
		done = real(fd, iov, n, offset);
		if (done > 0)
			lseek64(fd, offset + done, SEEK_SET);
	} else {
		done = real(fd, iov, n, offset);
	}
	if (done > 0)
		note(t->sync ? ENTRY_WRITE_SYNC : ENTRY_WRITE, t->serial,
			(uint64_t)offset, t->path, iov, (size_t)done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};

	REAL(write);
	return tracked(fd) ? write_any(fd, &iov, 1, -1) : real(fd, data, len);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	REAL(writev);
	return tracked(fd) ? write_any(fd, iov, n, -1) : real(fd, iov, n);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};

	REAL(pwrite);
	return tracked(fd) ? write_any(fd, &iov, 1, offset)
			   : real(fd, data, len, offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	return pwrite(fd, data, len, offset);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	REAL(pwritev);
	return tracked(fd) ? write_any(fd, iov, n, offset)
			   : real(fd, iov, n, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return pwritev(fd, iov, n, offset);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	REAL(pwritev2);
	return tracked(fd) ? write_any(fd, iov, n, offset)
			   : real(fd, iov, n, offset, flags);
}

ssize_t
pwritev64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	return pwritev2(fd, iov, n, offset, flags);
}

int
ftruncate(int fd, off_t length)
{
	struct tracked *t = tracked(fd);
	int r;

	REAL(ftruncate);
	if (t == NULL)
		return real(fd, length);
	if (fd_fails(FAULT_WRITE, fd))
		return -1;
	pthread_mutex_lock(&lock);
	r = real(fd, length);
	if (r == 0)
		note(ENTRY_TRUNCATE, t->serial, (uint64_t)length, t->path, NULL,
			0);
	pthread_mutex_unlock(&lock);
	return r;
}

int
ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct tracked *t = tracked(fd);
	int r;

	REAL(fallocate);
	if (t == NULL)
		return real(fd, mode, offset, len);
	if (fd_fails(FAULT_WRITE, fd))
		return -1;
	pthread_mutex_lock(&lock);
	r = real(fd, mode, offset, len);
	if (r == 0 && mode == 0)
		note(ENTRY_ALLOCATE, t->serial, (uint64_t)(offset + len),
			t->path, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int
fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	return fallocate(fd, mode, offset, len);
}

static int
synced(int fd, int r)
{
	struct tracked *t = tracked(fd);

	if (r == 0 && t != NULL)
		note(t->folder ? ENTRY_SYNC_FOLDER : ENTRY_SYNC, t->serial, 0,
			t->path, NULL, 0);
	return r;
}

int
fsync(int fd)
{
	int r;

	REAL(fsync);
	if (fd_fails(FAULT_SYNC, fd))
		return -1;
	pthread_mutex_lock(&lock);
	r = synced(fd, real(fd));
	pthread_mutex_unlock(&lock);
	return r;
}

int
fdatasync(int fd)
{
	int r;

	REAL(fdatasync);
	if (fd_fails(FAULT_SYNC, fd))
		return -1;
	pthread_mutex_lock(&lock);
	r = synced(fd, real(fd));
	pthread_mutex_unlock(&lock);
	return r;
}

void *
mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct tracked *t = tracked(fd);

	REAL(mmap);
	if (t != NULL && (prot & PROT_WRITE) && (flags & MAP_SHARED))
		note(ENTRY_MAPPED, t->serial, 0, t->path, NULL, 0);
	return real(at, len, prot, flags, fd, offset);
}

void *
mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return mmap(at, len, prot, flags, fd, offset);
}

/* Names. */

static int
named(int r, enum entry_op op, const char *path, const char *other)
{
	struct iovec data = {(void *)(uintptr_t)other, strlen(other)};

	if (r == 0 && (below_root(path) || below_root(other)))
		note(op, 0, 0, path, &data, data.iov_len);
	return r;
}

int
unlinkat(int dir, const char *name, int flags)
{
	char path[PATH_LEN];
	int r;

	REAL(unlinkat);
	path_at(dir, name, path);
	pthread_mutex_lock(&lock);
	r = named(real(dir, name, flags), ENTRY_UNLINK, path, "");
	pthread_mutex_unlock(&lock);
	return r;
}

int
unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int
renameat2(int dir, const char *name, int to_dir, const char *to, unsigned flags)
{
	char path[PATH_LEN], other[PATH_LEN];
	int r;

	REAL(renameat2);
	path_at(dir, name, path);
	path_at(to_dir, to, other);
	pthread_mutex_lock(&lock);
	r = named(
		real(dir, name, to_dir, to, flags), ENTRY_RENAME, path, other);
	pthread_mutex_unlock(&lock);
	return r;
}

int
renameat(int dir, const char *name, int to_dir, const char *to)
{
	return renameat2(dir, name, to_dir, to, 0);
}

int
rename(const char *name, const char *to)
{
	return renameat2(AT_FDCWD, name, AT_FDCWD, to, 0);
}

int
linkat(int dir, const char *name, int to_dir, const char *to, int flags)
{
	char path[PATH_LEN], other[PATH_LEN];
	int r;

	REAL(linkat);
	path_at(dir, name, path);
	path_at(to_dir, to, other);
	pthread_mutex_lock(&lock);
	r = named(real(dir, name, to_dir, to, flags), ENTRY_LINK, path, other);
	pthread_mutex_unlock(&lock);
	return r;
}

int
mkdirat(int dir, const char *name, mode_t mode)
{
	char path[PATH_LEN];
	int r;

	REAL(mkdirat);
	path_at(dir, name, path);
	pthread_mutex_lock(&lock);
	r = named(real(dir, name, mode), ENTRY_MKDIR, path, "");
	pthread_mutex_unlock(&lock);
	return r;
}

int
mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

/* Reading: only to make it fail. */

ssize_t
read(int fd, void *data, size_t len)
{
	REAL(read);
	return fd_fails(FAULT_READ, fd) ? -1 : real(fd, data, len);
}

ssize_t
pread(int fd, void *data, size_t len, off_t offset)
{
	REAL(pread);
	return fd_fails(FAULT_READ, fd) ? -1 : real(fd, data, len, offset);
}

ssize_t
pread64(int fd, void *data, size_t len, off64_t offset)
{
	return pread(fd, data, len, offset);
}

ssize_t __pread_chk(int fd, void *data, size_t len, off_t offset, size_t room);
ssize_t __pread64_chk(
	int fd, void *data, size_t len, off64_t offset, size_t room);
ssize_t __read_chk(int fd, void *data, size_t len, size_t room);

ssize_t
__pread_chk(int fd, void *data, size_t len, off_t offset, size_t room)
{
	return len > room ? (ssize_t)(abort(), 0)
			  : pread(fd, data, len, offset);
}

ssize_t
__pread64_chk(int fd, void *data, size_t len, off64_t offset, size_t room)
{
	return __pread_chk(fd, data, len, offset, room);
}

ssize_t
__read_chk(int fd, void *data, size_t len, size_t room)
{
	return len > room ? (ssize_t)(abort(), 0) : read(fd, data, len);
}

ssize_t
preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
	REAL(preadv);
	return fd_fails(FAULT_READ, fd) ? -1 : real(fd, iov, n, offset);
}

ssize_t
preadv64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return preadv(fd, iov, n, offset);
}

ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	REAL(preadv2);
	return fd_fails(FAULT_READ, fd) ? -1 : real(fd, iov, n, offset, flags);
}

ssize_t
preadv64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
{
	return preadv2(fd, iov, n, offset, flags);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From folder to folder, one name at a time and never through a link: each name
 * is opened with O_NOFOLLOW beneath the folder that was reached, and where that
 * turns out to be a link, its text takes the place of the name in what is still
 * to be walked.  So the way is one of folders that were each found in the one
 * before; whoever swaps a folder for a link while this goes on sends it along
 * another such way, and no way leads out: an absolute link is refused, and ".."
 * does not ask the file system where the folder lies now, but goes back along
 * the names that led there.
 *
 *	rest		done	folder
 *	a/link/f	-	root
 *	link/f		a/	root/a	link is "../b/c"
 *	../b/c/f	a/	root/a	"..": from the root again
 *	b/c/f		-	root
 *	...
 *
 * Going back along names means walking them again, so that two descriptors do,
 * however deep it is.  Limits of the kernel's are kept: 40 links, 4,095 bytes
 * in one.  What it can do at no cost and this cannot, a link of a thousand
 * components "..", deep down, has an end at STEPS_MAX.
 *
 * Each place where the kernel would want the right to search a folder is one
 * where a name is opened in it; "." and ".." count as names there.
 *
 * Where another file system is not to be asked, each name is first opened as a
 * mere place (O_PATH), which asks nobody, and where that is mounted is looked
 * at.  The file is then opened through /proc: by its name it could be another
 * one by now.
 */
#include "daemon/net/web_walk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"

#define LINKS_MAX     40u
#define STEPS_MAX     65536u
#define STEPS_AT_ONCE 64u
#define TEXT_MAX      (LINKS_MAX * PATH_MAX)

#define PROC_MAGIC 0x9fa0
#define NO_FOLLOW  0x2000 /* ST_NOSYMFOLLOW of a mount */

#define TO_PASS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct walk {
	int root;
	int folder;      /* root or one of its own */
	struct buf rest; /* NUL at its end */
	size_t at;       /* in rest */
	struct buf done; /* each name with a slash */
	int flags;
	enum web_effort effort;
	uint64_t mount; /* of the root, unless anywhere */
	dev_t *beyond;
	unsigned links;
	unsigned steps;
};

/* The next component of rest. */
struct name {
	char text[PATH_MAX];
	size_t len;
	bool last;
	bool slash; /* and a slash behind it */
};

static void
set_folder(struct walk *w, int fd)
{
	if (w->folder != w->root)
		close(w->folder);
	w->folder = fd;
}

static int
open_name(const struct walk *w, const char *name, int flags)
{
	int fd = openat(w->folder, name, flags);

	return fd < 0 ? -errno : fd;
}

/* What is left becomes front, then the rest behind its first skip bytes. */
static int
set_rest(struct walk *w, const void *front, size_t len, size_t skip)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	buf_append(&b, front, len);
	buf_append(&b, w->rest.data + w->at + skip, w->rest.len - w->at - skip);
	buf_done(&w->rest);
	w->rest = b;
	w->at = 0;
	if (buf_error(&b) == -EMSGSIZE)
		return err_new(-ENAMETOOLONG);
	return buf_error(&b);
}

/* Each name comes from one text that is no longer than a path may be. */
static void
next_name(struct walk *w, struct name *n)
{
	const char *p = (const char *)w->rest.data + w->at;
	size_t slashes;

	w->at += strspn(p, "/");
	p = (const char *)w->rest.data + w->at;
	n->len = strcspn(p, "/");
	assert(n->len < sizeof(n->text));
	memcpy(n->text, p, n->len);
	n->text[n->len] = 0;
	slashes = strspn(p + n->len, "/");
	n->slash = slashes > 0;
	n->last = p[n->len + slashes] == 0;
}

/* In folders where anybody may make links, those of others are not followed;
 * the kernel has it the same way (fs.protected_symlinks). */
static int
may_follow(const struct walk *w, const struct name *n)
{
	struct stat folder, link;
	struct statfs fs;

	if (fstatfs(w->folder, &fs) != 0 || fstat(w->folder, &folder) != 0 ||
		fstatat(w->folder, n->text, &link, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	/* A link of /proc may be one that its text does not tell about. */
	if (fs.f_type == PROC_MAGIC || (fs.f_flags & NO_FOLLOW))
		return err_new(-ELOOP);
	if (n->last &&
		(folder.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) &&
		link.st_uid != geteuid() && link.st_uid != folder.st_uid)
		return err_new(-EACCES);
	return 0;
}

/* The name, which could not be opened, may be one of a link: 0 when it is and
 * rest goes on with what it says; -EINVAL: it is none. */
static int
follow(struct walk *w, const struct name *n)
{
	char text[PATH_MAX];
	ssize_t len = readlinkat(w->folder, n->text, text, sizeof(text));
	int r;

	if (len < 0)
		return -errno;
	if (w->links++ == LINKS_MAX)
		return err_new(-ELOOP);
	r = may_follow(w, n);
	if (r < 0)
		return err_pass(r);
	if (len == sizeof(text))
		return err_new(-ENAMETOOLONG);
	if (len == 0)
		return err_new(-ENOENT);
	if (text[0] == '/')
		return err_new(-EXDEV);
	return err_pass(set_rest(w, text, (size_t)len, n->len));
}

/* Back to the folder that the names before the last one lead to. */
static int
step_up(struct walk *w, const struct name *n)
{
	size_t len = w->done.len;
	int fd = open_name(w, ".", TO_PASS);
	int r;

	if (fd < 0)
		return fd;
	close(fd);
	if (len == 0)
		return err_new(-EXDEV);
	len--;
	while (len > 0 && w->done.data[len - 1] != '/')
		len--;
	r = set_rest(w, w->done.data, len, n->len);
	buf_reset(&w->done);
	set_folder(w, w->root);
	return err_pass(r);
}

/* As far as is known here: where it lives, nobody is asked. */
static int
place_of(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		    STATX_TYPE | STATX_MNT_ID, ret) != 0)
		return err_new(-errno);
	/* Before Linux 5.8. */
	return (ret->stx_mask & STATX_MNT_ID) ? 0 : err_new(-EXDEV);
}

/* A place. */
static int
check_near(const struct walk *w, int fd)
{
	struct statx at;
	int r;

	if (w->effort == WEB_ANYWHERE)
		return 0;
	r = place_of(fd, &at);
	if (r < 0)
		return err_pass(r);
	if (S_ISLNK(at.stx_mode))
		return err_new(-ELOOP);
	if (at.stx_mnt_id == w->mount)
		return 0;
	*w->beyond = makedev(at.stx_dev_major, at.stx_dev_minor);
	return err_new(-EXDEV);
}

static int
step_into(struct walk *w, const struct name *n)
{
	int fd = open_name(w, n->text, TO_PASS);
	int r;

	if (fd == -ENOTDIR) {
		r = follow(w, n);
		return r == -EINVAL ? fd : r;
	}
	if (fd < 0)
		return fd;
	r = check_near(w, fd);
	if (r < 0) {
		close(fd);
		return err_pass(r);
	}
	w->at += n->len;
	if (strcmp(n->text, ".") == 0) {
		close(fd);
		return 0;
	}
	set_folder(w, fd);
	buf_append(&w->done, n->text, n->len);
	buf_u8(&w->done, '/');
	return buf_error(&w->done);
}

/* The name, which is not followed if it is a link. */
static int
open_last(const struct walk *w, const char *name, int flags)
{
	char path[32];
	AUTO_FD int place = -1;
	int fd;

	if (w->effort == WEB_ANYWHERE)
		return open_name(w, name, flags | O_NOFOLLOW);
	place = open_name(w, name, O_PATH | O_NOFOLLOW | (flags & O_DIRECTORY));
	fd = place < 0 ? place : check_near(w, place);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	fd = open(path, flags);
	if (fd >= 0)
		return fd;
	/* There is no /proc. */
	return errno == ENOENT ? err_new(-EXDEV) : -errno;
}

static int
step_last(struct walk *w, const struct name *n, int *ret_fd)
{
	int folder = n->slash ? O_DIRECTORY : 0;
	int fd = open_last(w, n->len == 0 ? "." : n->text, w->flags | folder);

	if (fd == -ELOOP || fd == -ENOTDIR) {
		int r = follow(w, n);

		if (r != -EINVAL)
			return r;
		/* It was a link a moment ago, or is none. */
		return fd == -ELOOP ? 0 : fd;
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int
step(struct walk *w, int *ret_fd)
{
	struct name n;

	next_name(w, &n);
	w->steps++;
	if (w->effort == WEB_AT_ONCE && w->steps > STEPS_AT_ONCE)
		return err_new(-EAGAIN);
	if (w->steps > STEPS_MAX)
		return err_new(-ELOOP);
	if (strcmp(n.text, "..") == 0)
		return step_up(w, &n);
	return n.last ? step_last(w, &n, ret_fd) : step_into(w, &n);
}

static int
begin(struct walk *w, const char *path)
{
	struct statx root = {0};
	int r;

	if (*path == 0)
		return err_new(-ENOENT);
	if (*path == '/')
		return err_new(-EXDEV);
	if (strlen(path) >= PATH_MAX)
		return err_new(-ENAMETOOLONG);
	if (w->effort != WEB_ANYWHERE) {
		r = place_of(w->root, &root);
		if (r < 0)
			return err_pass(r);
	}
	w->mount = root.stx_mnt_id;
	buf_append(&w->rest, path, strlen(path) + 1);
	return buf_error(&w->rest);
}

int
web_walk(int root, const char *path, int flags, enum web_effort effort,
	dev_t *ret_beyond)
{
	struct walk w = {.root = root,
		.folder = root,
		.flags = flags,
		.effort = effort,
		.beyond = ret_beyond};
	int fd = -1, r;

	buf_init(&w.rest, TEXT_MAX);
	buf_init(&w.done, TEXT_MAX);
	r = begin(&w, path);
	while (r == 0 && fd < 0)
		r = step(&w, &fd);
	set_folder(&w, root);
	buf_done(&w.rest);
	buf_done(&w.done);
	return r < 0 ? r : fd;
}

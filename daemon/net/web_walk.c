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
 */
#include "daemon/net/web_walk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"

#define LINKS_MAX 40u
#define STEPS_MAX 65536u
#define TEXT_MAX  (LINKS_MAX * PATH_MAX)

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
	bool near;
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

/* As far as is known here: where the folder lives, nobody is asked. */
static bool
is_elsewhere(const struct walk *w, int fd)
{
	struct statx a, b;

	if (!w->near)
		return false;
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &a) != 0 ||
		statx(w->root, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &b) !=
		0 ||
		a.stx_dev_major != b.stx_dev_major ||
		a.stx_dev_minor != b.stx_dev_minor;
}

static int
step_into(struct walk *w, const struct name *n)
{
	int fd = open_name(w, n->text, TO_PASS);

	if (fd == -ENOTDIR) {
		int r = follow(w, n);

		return r == -EINVAL ? fd : r;
	}
	if (fd < 0)
		return fd;
	if (is_elsewhere(w, fd)) {
		close(fd);
		return err_new(-EXDEV);
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

static int
step_last(struct walk *w, const struct name *n, int *ret_fd)
{
	int folder = n->slash ? O_DIRECTORY : 0;
	int fd = open_name(
		w, n->len == 0 ? "." : n->text, w->flags | folder | O_NOFOLLOW);

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
	if (w->steps++ == STEPS_MAX)
		return err_new(-ELOOP);
	if (strcmp(n.text, "..") == 0)
		return step_up(w, &n);
	return n.last ? step_last(w, &n, ret_fd) : step_into(w, &n);
}

int
web_walk(int root, const char *path, int flags, bool near)
{
	struct walk w = {
		.root = root, .folder = root, .flags = flags, .near = near};
	int fd = -1, r;

	if (*path == 0)
		return err_new(-ENOENT);
	if (*path == '/')
		return err_new(-EXDEV);
	if (strlen(path) >= PATH_MAX)
		return err_new(-ENAMETOOLONG);
	buf_init(&w.rest, TEXT_MAX);
	buf_init(&w.done, TEXT_MAX);
	buf_append(&w.rest, path, strlen(path) + 1);
	r = buf_error(&w.rest);
	while (r == 0 && fd < 0)
		r = step(&w, &fd);
	set_folder(&w, root);
	buf_done(&w.rest);
	buf_done(&w.done);
	return r < 0 ? r : fd;
}

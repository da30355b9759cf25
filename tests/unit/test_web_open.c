/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both ways to open beneath a root, against one another: openat2(), and the
 * walk that takes its place, agree about every path of trees that are as odd as
 * can be.  And while somebody swaps folders for links under their feet, neither
 * ever comes out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/net/web_open.h"
#include "daemon/net/web_walk.h"
#include "tests/unit/failalloc.h"

#define FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* A folder of its own with the root in it, and "secret" beside the root. */
static struct {
	char path[64];
	int fd; /* of the folder */
	int root;
	bool has_openat2;
} t;

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	return remove(path);
}

static void
make_file(int folder, const char *path, const char *text)
{
	int fd = openat(folder, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
make_folder(const char *path)
{
	assert_int_equal(mkdirat(t.root, path, 0755), 0);
}

static void
make_link(const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, t.root, path), 0);
}

static int
setup(void **state)
{
	struct open_how how = {.flags = O_PATH, .resolve = RESOLVE_BENEATH};
	int fd;

	strcpy(t.path, "/tmp/test_web_open.XXXXXX");
	assert_non_null(mkdtemp(t.path));
	assert_int_equal(chmod(t.path, 0755), 0);
	t.fd = open(t.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.fd >= 0);
	assert_int_equal(mkdirat(t.fd, "root", 0755), 0);
	make_file(t.fd, "secret", "secret");
	t.root = openat(t.fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.root >= 0);
	fd = (int)syscall(SYS_openat2, t.root, ".", &how, sizeof(how));
	t.has_openat2 = fd >= 0;
	if (fd >= 0)
		close(fd);
	return 0;
}

static int
teardown(void **state)
{
	close(t.root);
	close(t.fd);
	return nftw(t.path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* What opening gave: of which file, or why not. */
struct outcome {
	int error;
	struct stat st;
};

static struct outcome
outcome_of(int fd)
{
	struct outcome o = {.error = fd < 0 ? fd : 0};

	if (fd < 0)
		return o;
	assert_int_equal(fstat(fd, &o.st), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	return o;
}

static struct outcome
by_kernel(const char *path)
{
	struct open_how how = {.flags = FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd = syscall(SYS_openat2, t.root, path, &how, sizeof(how));

	return outcome_of(fd < 0 ? -errno : (int)fd);
}

static struct outcome
by_walk(const char *path)
{
	return outcome_of(web_walk(t.root, path, FLAGS, WEB_ANYWHERE, NULL));
}

static void
agree(const char *path)
{
	struct outcome walked = by_walk(path), opened;

	if (!t.has_openat2)
		return;
	opened = by_kernel(path);
	if (walked.error != opened.error)
		fail_msg("\"%s\": walked \"%s\", openat2 says \"%s\"", path,
			strerror(-walked.error), strerror(-opened.error));
	assert_int_equal(walked.st.st_ino, opened.st.st_ino);
	assert_int_equal(walked.st.st_dev, opened.st.st_dev);
}

static void
expect(const char *path, int error)
{
	assert_int_equal(by_walk(path).error, error);
	agree(path);
}

static void
test_plain(void **state)
{
	make_folder("a");
	make_folder("a/b");
	make_file(t.root, "a/b/file", "x");
	make_file(t.root, "file", "y");
	expect("file", 0);
	expect("a/b/file", 0);
	expect("a//b///file", 0);
	expect("a/./b/./file", 0);
	expect("a/b", 0);
	expect("a/b/", 0);
	expect("a/b/.", 0);
	expect(".", 0);
	expect("./", 0);
	expect("./file", 0);
	expect("none", -ENOENT);
	expect("none/file", -ENOENT);
	expect("a/none", -ENOENT);
	expect("a/none/", -ENOENT);
	expect("file/", -ENOTDIR);
	expect("file/.", -ENOTDIR);
	expect("file/..", -ENOTDIR);
	expect("file/file", -ENOTDIR);
	expect("a/b/file/", -ENOTDIR);
	expect("", -ENOENT);
	expect("/file", -EXDEV);
	expect("/", -EXDEV);
	expect("..", -EXDEV);
	expect("../root/file", -EXDEV);
	expect("../secret", -EXDEV);
	expect("a/../../secret", -EXDEV);
	expect("a/../file", 0);
	expect("a/..", 0);
	expect("a/../", 0);
	expect("a/b/..", 0);
	expect("a/b/../b/file", 0);
	expect("a/b/../../a/../file", 0);
	expect("none/../file", -ENOENT);
	expect("...", -ENOENT);
}

static void
test_links(void **state)
{
	make_folder("a");
	make_folder("a/b");
	make_file(t.root, "file", "y");
	make_file(t.root, "a/b/file", "z");
	make_link("l", "file");
	make_link("folder", "a");
	make_link("a/up", "../file");
	make_link("a/b/up", "../../file");
	make_link("a/b/parent", "..");
	make_link("slash", "a/");
	make_link("wrong", "file/");
	make_link("dot", ".");
	make_link("chain", "folder/b/parent/b/file");
	make_link("dangling", "none");
	expect("l", 0);
	expect("l/", -ENOTDIR);
	expect("l/x", -ENOTDIR);
	expect("folder", 0);
	expect("folder/", 0);
	expect("folder/b/file", 0);
	expect("folder/../l", 0);
	expect("a/up", 0);
	expect("a/b/up", 0);
	expect("a/b/parent", 0);
	expect("a/b/parent/b/parent/up", 0);
	expect("slash", 0);
	expect("slash/b", 0);
	expect("wrong", -ENOTDIR);
	expect("dot", 0);
	expect("dot/dot/dot/l", 0);
	expect("chain", 0);
	expect("dangling", -ENOENT);
	expect("dangling/x", -ENOENT);
}

static void
test_links_out(void **state)
{
	char absolute[128];

	make_folder("a");
	make_file(t.root, "file", "y");
	snprintf(absolute, sizeof(absolute), "%s/root/file", t.path);
	make_link("up", "..");
	make_link("secret", "../secret");
	make_link("a/secret", "../../secret");
	make_link("a/round", "../../root/file");
	make_link("absolute", absolute);
	make_link("etc", "/etc");
	make_link("root", "/");
	make_link("a/via", "../up/secret");
	expect("up", -EXDEV);
	expect("up/secret", -EXDEV);
	expect("up/root/file", -EXDEV);
	expect("secret", -EXDEV);
	expect("a/secret", -EXDEV);
	/* comes back, and yet */
	expect("a/round", -EXDEV);
	expect("absolute", -EXDEV);
	expect("etc", -EXDEV);
	expect("etc/passwd", -EXDEV);
	expect("root", -EXDEV);
	expect("a/via", -EXDEV);
}

static void
test_loops(void **state)
{
	char name[16], target[16], path[256] = "";

	make_file(t.root, "file", "y");
	make_link("self", "self");
	make_link("a", "b");
	make_link("b", "a");
	make_link("grows", "grows/grows");
	expect("self", -ELOOP);
	expect("self/x", -ELOOP);
	expect("a", -ELOOP);
	expect("grows", -ELOOP);
	make_link("l0", "file");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(target, sizeof(target), "l%d", i - 1);
		make_link(name, target);
	}
	expect("l39", 0);
	expect("l40", -ELOOP);
	expect("l41", -ELOOP);
	make_link("here", ".");
	for (int i = 0; i < 40; i++)
		strcat(path, "here/");
	strcat(path, "file");
	expect(path, 0);
	strcpy(path, "here/");
	for (int i = 0; i < 40; i++)
		strcat(path, "here/");
	strcat(path, "file");
	expect(path, -ELOOP);
}

static void
test_long(void **state)
{
	static char text[2 * PATH_MAX];
	char name[NAME_MAX + 1];

	make_file(t.root, "file", "y");
	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = 0;
	make_file(t.root, name, "long");
	expect(name, 0);
	memset(text, 'n', NAME_MAX + 1);
	expect(text, -ENAMETOOLONG);
	strcat(text, "/x");
	expect(text, -ENAMETOOLONG);
	memset(text, 'n', PATH_MAX - 1);
	text[PATH_MAX - 1] = 0;
	expect(text, -ENAMETOOLONG);
	memset(text, 'n', PATH_MAX);
	expect(text, -ENAMETOOLONG);
	memset(text, '/', PATH_MAX);
	memcpy(text, "./", 2);
	strcpy(text + PATH_MAX - 5, "file");
	expect(text, 0);
	strcpy(text + PATH_MAX - 4, "file");
	expect(text, -ENAMETOOLONG);
	/* links that say more than a path may, together */
	text[0] = 0;
	for (int i = 0; i < 2000; i++)
		strcat(text, "./");
	strcpy(name, "chain0");
	make_link(name, "file");
	for (int i = 1; i < 10; i++) {
		strcpy(text + 4000, name);
		name[5] = (char)('0' + i);
		make_link(name, text);
	}
	expect("chain9", 0);
	make_link("a", "b/xxxx");
	make_link("b", "chain9");
	expect("a", -ENOTDIR);
}

/* Links that say little with many words are followed, up to a point. */
static void
test_steps(void **state)
{
	static char text[PATH_MAX];
	char name[16];

	make_folder("d");
	text[0] = 0;
	for (int i = 0; i < 600; i++)
		strcat(text, "d/..//");
	strcat(text, "d");
	make_link("up", text);
	expect("up", 0);
	text[0] = 0;
	for (int i = 0; i < 2000; i++)
		strcat(text, "./");
	for (int i = 0; i < 39; i++) {
		strcpy(text + 4000, "d");
		if (i > 0)
			strcpy(text + 4000, name);
		snprintf(name, sizeof(name), "l%d", i);
		make_link(name, text);
	}
	expect("l30", 0);
	assert_int_equal(by_walk("l38").error, -ELOOP);
}

static void
test_kinds(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(mkfifoat(t.root, "fifo", 0644), 0);
	snprintf(
		addr.sun_path, sizeof(addr.sun_path), "%s/root/socket", t.path);
	assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	make_link("link", "fifo");
	expect("fifo", 0);
	expect("link", 0);
	expect("fifo/x", -ENOTDIR);
	expect("socket", -ENXIO);
	close(s);
}

/* As somebody who may not everything. */
static void
test_rights(void **state)
{
	static const char *const paths[] = {"none", "none/", "none/.",
		"none/..", "none/file", "none/x/y", "search", "search/",
		"search/.", "search/file", "search/..", "search/none", "look",
		"look/", "look/.", "look/..", "look/file", "link", "closed",
		"open/../closed", "up", "search/up"};

	make_folder("none");
	make_folder("search");
	make_folder("look");
	make_folder("open");
	make_file(t.root, "none/file", "x");
	make_file(t.root, "search/file", "x");
	make_file(t.root, "look/file", "x");
	make_file(t.root, "closed", "x");
	make_link("link", "none/file");
	make_link("up", "look/../closed");
	make_link("search/up", "../none/..");
	assert_int_equal(fchmodat(t.root, "none", 0, 0), 0);
	assert_int_equal(fchmodat(t.root, "search", 0711, 0), 0);
	assert_int_equal(fchmodat(t.root, "look", 0744, 0), 0);
	assert_int_equal(fchmodat(t.root, "closed", 0, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		agree(paths[i]);
	assert_int_equal(by_walk("none/file").error, -EACCES);
	assert_int_equal(by_walk("closed").error, -EACCES);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchmodat(t.root, "none", 0755, 0), 0);
}

/* A link that somebody put where anybody may. */
static void
test_sticky(void **state)
{
	if (geteuid() != 0)
		skip();
	make_file(t.root, "file", "x");
	make_folder("tmp");
	make_folder("tmp/a");
	make_link("tmp/others", "../file");
	make_link("tmp/folder", "a");
	make_link("tmp/ours", "../file");
	assert_int_equal(
		fchownat(t.root, "tmp/others", 1234, 1234, AT_SYMLINK_NOFOLLOW),
		0);
	assert_int_equal(
		fchownat(t.root, "tmp/folder", 1234, 1234, AT_SYMLINK_NOFOLLOW),
		0);
	assert_int_equal(fchmodat(t.root, "tmp", 01777, 0), 0);
	assert_int_equal(by_walk("tmp/others").error, -EACCES);
	assert_int_equal(by_walk("tmp/ours").error, 0);
	assert_int_equal(by_walk("tmp/folder/../../file").error, 0);
	assert_int_equal(fchmodat(t.root, "tmp", 0777, 0), 0);
	expect("tmp/others", 0);
	assert_int_equal(fchownat(t.root, "tmp", 1234, 1234, 0), 0);
	assert_int_equal(fchmodat(t.root, "tmp", 01777, 0), 0);
	expect("tmp/others", 0);
}

/* The links of /proc lead anywhere, whatever their text is. */
static void
test_proc(void **state)
{
	int root = t.root;

	t.root = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.root >= 0);
	expect("self/cwd", -ELOOP);
	expect("thread-self/root/etc/passwd", -ELOOP);
	expect("version", 0);
	close(t.root);
	t.root = root;
}

/* Random trees */

static const char *const names[] = {"a", "b", "c", "d", "l", "m"};

static void
random_path(char *path, size_t size, unsigned n)
{
	path[0] = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = (unsigned)random() % 16;

		if (i > 0)
			strncat(path, kind == 0 ? "//" : "/", size - 1);
		if (kind < 4)
			strncat(path, "..", size - 1);
		else if (kind == 4)
			strncat(path, ".", size - 1);
		else
			strncat(path,
				names[(size_t)random() % ARRAY_LEN(names)],
				size - 1);
	}
	if (random() % 8 == 0)
		strncat(path, "/", size - 1);
}

static void
random_tree(void)
{
	char path[256], target[256];

	for (unsigned i = 0; i < 60; i++) {
		random_path(path, sizeof(path), 1 + (unsigned)random() % 4);
		random_path(target, sizeof(target), 1 + (unsigned)random() % 4);
		switch (random() % 5) {
		case 0:
		case 1:
			/* wherever it leads, it stays in this test's folder */
			if (by_walk(path).error == -ENOENT &&
				strstr(path, "..") == NULL)
				(void)mkdirat(t.root, path, 0755);
			break;
		case 2: {
			int fd = strstr(path, "..") == NULL
				? openat(t.root, path,
					  O_CREAT | O_EXCL | O_CLOEXEC, 0644)
				: -1;

			if (fd >= 0)
				close(fd);
			break;
		}
		default:
			if (strstr(path, "..") != NULL ||
				symlinkat(target, t.root, path) != 0)
				break;
		}
	}
}

static void
test_random(void **state)
{
	unsigned found = 0;

	for (unsigned seed = 0; seed < 40; seed++) {
		srandom(seed);
		assert_int_equal(setup(NULL), 0);
		random_tree();
		for (unsigned i = 0; i < 2000; i++) {
			char path[256];

			random_path(
				path, sizeof(path), 1 + (unsigned)random() % 6);
			agree(path);
			found += by_walk(path).error == 0;
		}
		assert_int_equal(teardown(NULL), 0);
	}
	assert_true(found > 5000);
}

/* Others who swap folders and links all the time. */

struct swapper {
	pthread_t thread;
	bool stop;
};

/* "x" is a folder with a file in it, then a link out, and so on; and "deep/x"
 * goes out of the root and back in with everything that is in it. */
static void *
swap(void *arg)
{
	struct swapper *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		(void)syscall(SYS_renameat2, t.root, "x", t.root, "y",
			RENAME_EXCHANGE);
		(void)renameat(t.root, "deep/in", t.fd, "out");
		(void)renameat(t.fd, "out", t.root, "deep/in");
	}
	return NULL;
}

static void
test_swapped(void **state)
{
	static const char *const paths[] = {"x/secret", "y/secret",
		"deep/in/er/up/secret", "deep/in/er/up/x/secret",
		"deep/in/er/top/secret", "link/secret", "deep/in/er/far"};
	struct swapper s = {0};
	struct stat secret;
	unsigned found = 0;

	make_folder("x");
	make_file(t.root, "x/secret", "no secret");
	make_link("y", "..");
	make_folder("deep");
	make_folder("deep/in");
	make_folder("deep/in/er");
	make_link("deep/in/er/up", "../../..");
	make_link("deep/in/er/top", "../../../x");
	make_link("deep/in/er/far", "../../../secret");
	make_file(t.root, "secret", "no secret");
	make_link("link", "x");
	assert_int_equal(fstatat(t.fd, "secret", &secret, 0), 0);
	assert_int_equal(pthread_create(&s.thread, NULL, swap, &s), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct outcome o = by_walk(paths[i % ARRAY_LEN(paths)]);
		struct web_found w;

		found += o.error == 0;
		assert_int_not_equal(o.st.st_ino, secret.st_ino);
		if (web_open(t.root, paths[i % ARRAY_LEN(paths)], WEB_ANYWHERE,
			    i & 1, &w) != 0)
			continue;
		assert_int_not_equal(w.st.st_ino, secret.st_ino);
		close(w.fd);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(s.thread, NULL);
	assert_true(found > 0);
}

/* web_open() */

static int
try_open(const char *path, enum web_effort effort, bool walk)
{
	struct web_found w;
	int r = web_open(t.root, path, effort, walk, &w);

	if (r == 0) {
		struct stat st;

		assert_int_equal(fstat(w.fd, &st), 0);
		assert_int_equal(st.st_ino, w.st.st_ino);
		assert_false(w.slow);
		close(w.fd);
	}
	return r;
}

static void
opens(const char *path, int result)
{
	int r = try_open(path, WEB_AT_ONCE, false);

	assert_int_equal(try_open(path, WEB_ANYWHERE, false), result);
	assert_int_equal(try_open(path, WEB_ANYWHERE, true), result);
	assert_int_equal(try_open(path, WEB_NEARBY, false), result);
	assert_int_equal(try_open(path, WEB_NEARBY, true), result);
	/* what cannot be opened at once need not be told at once either */
	assert_true(
		r == result || r == -ENOSYS || (r == -EAGAIN && result != 0));
	assert_int_equal(try_open(path, WEB_AT_ONCE, true), result);
}

static void
test_index(void **state)
{
	static char text[PATH_MAX + 1];

	make_folder("full");
	make_folder("empty");
	make_folder("folder");
	make_folder("folder/index.html");
	make_file(t.root, "full/index.html", "x");
	make_file(t.root, "file", "x");
	opens("file", 0);
	opens("full", 0);
	opens("full/", 0);
	opens("empty", 0);
	opens("empty/", -EACCES);
	opens("folder/", 0);
	opens("none/", -ENOENT);
	opens("file/", -ENOTDIR);
	opens("", -EACCES);
	make_file(t.root, "index.html", "x");
	opens("", 0);
	memset(text, '/', PATH_MAX - 11);
	memcpy(text, "full/", 5);
	opens(text, 0);
	text[PATH_MAX - 11] = '/';
	assert_int_equal(try_open(text, WEB_ANYWHERE, false), -ENAMETOOLONG);
}

static dev_t
beyond(const char *path, bool walk)
{
	struct web_found w = {.beyond = 1};

	assert_int_equal(web_open(t.root, path, WEB_NEARBY, walk, &w), -EXDEV);
	return w.beyond;
}

/* Another file system beneath the root is not for the loop. */
static void
test_mount(void **state)
{
	char path[128], from[128], to[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/root/mount", t.path);
	make_folder("mount");
	if (mount("none", path, "tmpfs", 0, "size=64k") != 0)
		skip();
	make_file(t.root, "mount/file", "x");
	make_link("mount/up", "../mount/file");
	assert_int_equal(try_open("mount/file", WEB_ANYWHERE, false), 0);
	assert_int_equal(try_open("mount/file", WEB_ANYWHERE, true), 0);
	assert_int_equal(try_open("mount/file", WEB_NEARBY, false), -EXDEV);
	assert_int_equal(try_open("mount/file", WEB_NEARBY, true), -EXDEV);
	/* which is told, though nothing was asked of it */
	assert_int_equal(fstatat(t.root, "mount/file", &st, 0), 0);
	for (unsigned walk = 0; walk < 2; walk++) {
		assert_int_equal(beyond("mount/file", walk), st.st_dev);
		assert_int_equal(beyond("mount/", walk), st.st_dev);
		assert_int_equal(beyond("mount/none", walk), st.st_dev);
		assert_int_equal(beyond("../secret", walk), 0);
	}
	if (t.has_openat2)
		assert_int_equal(
			try_open("mount/file", WEB_AT_ONCE, false), -EAGAIN);
	assert_int_equal(try_open("mount/file", WEB_AT_ONCE, true), -EAGAIN);
	/* a file, too, can have another one mounted on it */
	make_file(t.root, "file", "y");
	make_link("link", "file");
	snprintf(from, sizeof(from), "%s/root/mount/file", t.path);
	snprintf(to, sizeof(to), "%s/root/file", t.path);
	assert_int_equal(mount(from, to, NULL, MS_BIND, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		const char *name = i & 1 ? "link" : "file";

		assert_int_equal(try_open(name, WEB_NEARBY, i & 2), -EXDEV);
		assert_int_equal(beyond(name, i & 2), st.st_dev);
		assert_int_equal(try_open(name, WEB_AT_ONCE, true), -EAGAIN);
		assert_int_equal(try_open(name, WEB_ANYWHERE, i & 2), 0);
	}
	assert_int_equal(umount2(to, MNT_DETACH), 0);
	expect("mount/file", 0);
	expect("mount/..", 0);
	expect("mount/up", 0);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* The loop does not walk for long, whatever links say. */
static void
test_long_way(void **state)
{
	char target[1024] = "";

	make_file(t.root, "file", "x");
	make_folder("a");
	for (unsigned i = 0; i < 16; i++)
		strcat(target, "a/../");
	strcat(target, "file");
	make_link("short", "a/../file");
	make_link("long", target);
	assert_int_equal(try_open("short", WEB_AT_ONCE, true), 0);
	assert_int_equal(try_open("long", WEB_AT_ONCE, true), 0);
	strcpy(target, "");
	for (unsigned i = 0; i < 40; i++)
		strcat(target, "a/../");
	strcat(target, "file");
	make_link("longer", target);
	assert_int_equal(try_open("longer", WEB_AT_ONCE, true), -EAGAIN);
	assert_int_equal(try_open("longer", WEB_NEARBY, true), 0);
}

static int
walk_scenario(void *arg)
{
	int fd = web_walk(t.root, arg, FLAGS, WEB_ANYWHERE, NULL);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static void
test_no_memory(void **state)
{
	make_folder("a");
	make_folder("a/b");
	make_file(t.root, "file", "x");
	make_link("a/b/up", "../../file");
	assert_true(failalloc_each(walk_scenario, "a/b/up") > 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_links),
		TEST(test_links_out),
		TEST(test_loops),
		TEST(test_long),
		TEST(test_steps),
		TEST(test_kinds),
		TEST(test_rights),
		TEST(test_sticky),
		TEST(test_proc),
		cmocka_unit_test(test_random),
		TEST(test_swapped),
		TEST(test_index),
		TEST(test_mount),
		TEST(test_long_way),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

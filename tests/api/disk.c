/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that takes no more: adds end with 112 or 1117, reads go on, and when
 * there is room again so do adds.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/api/content.h"

#define DEADLINE_S 30

static struct test_bytes b, info;

static void
describe(void)
{
	b = test_random(6 * MiB, 1);
	info = test_describe(&b, 1);
}

/* Adds of one byte range, until one ends with this code: the service tries for
 * real only now and then. */
static void
add_until(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c, size_t offset,
	DWORD want)
{
	time_t end = time(NULL) + DEADLINE_S;
	DWORD code;

	do {
		code = test_add(h, c, &b, offset, MiB);
		CHECK(time(NULL) < end);
	} while (code != want);
}

/* What was added at offset is read as it was. */
static void
expect_here(
	PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c, ULONGLONG offset)
{
	static BYTE bytes[MiB];
	struct test_bytes room = {bytes, sizeof(bytes)};
	ULONGLONG at;
	DWORD n;

	CHECK_EQ(test_block_read(h, c, offset, &room, &n, &at), ERROR_SUCCESS);
	CHECK_EQ(at, offset);
	CHECK(n > 0 && memcmp(bytes, b.data + offset, n) == 0);
}

/* Bytes that a file of the daemon may have. */
static void
limit_files(rlim_t bytes)
{
	struct rlimit limit;

	CHECK(prlimit(test_d.pid, RLIMIT_FSIZE, NULL, &limit) == 0);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	CHECK(prlimit(test_d.pid, RLIMIT_FSIZE, &limit, NULL) == 0);
}

static void
disk_fails(void)
{
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	PEERDIST_CONTENT_TAG tag;

	test_start_daemon(NULL);
	describe();
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(test_add(h, c, &b, 0, MiB), ERROR_SUCCESS);
	limit_files(0);
	CHECK_EQ(test_add(h, c, &b, MiB, MiB), ERROR_IO_DEVICE);
	/* What it was refused for does not matter any more. */
	CHECK_EQ(test_add(h, c, &b, 2 * MiB, MiB), ERROR_IO_DEVICE);
	expect_here(h, c, 0);
	memset(&tag, 1, sizeof(tag));
	CHECK_EQ(RUN(PeerDistClientFlushContent, h, &tag, NULL, 0),
		ERROR_IO_DEVICE);
	limit_files(RLIM_INFINITY);
	add_until(h, c, 3 * MiB, ERROR_SUCCESS);
	test_shutdown(h);
}

static void
make_file(const char *path, size_t len)
{
	FILE *f = fopen(path, "we");

	CHECK(f != NULL);
	for (size_t at = 0; at < len; at += BLOCK)
		CHECK(fwrite(b.data, 1, BLOCK, f) == BLOCK);
	CHECK(fclose(f) == 0);
}

static void
disk_full(void)
{
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	char cache[128], ballast[160];

	/* The mount goes with the process. */
	if (unshare(CLONE_NEWNS) != 0)
		test_skip("mounting needs root");
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	test_prepare_daemon("DataCache.MaxSize=1G", NULL);
	snprintf(cache, sizeof(cache), "%s/cache", test_d.dir);
	CHECK(mount("tmpfs", cache, "tmpfs", 0, "size=3m") == 0);
	snprintf(ballast, sizeof(ballast), "%s/ballast", cache);
	test_daemon_start(&test_d);
	describe();
	make_file(ballast, 40 * BLOCK);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(test_add(h, c, &b, 0, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, MiB, MiB), ERROR_DISK_FULL);
	expect_here(h, c, 0);
	CHECK(unlink(ballast) == 0);
	add_until(h, c, MiB, ERROR_SUCCESS);
	expect_here(h, c, MiB);
	test_shutdown(h);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"disk_fails", disk_fails},
		{"disk_full", disk_full},
	};

	return test_main(
		"disk", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

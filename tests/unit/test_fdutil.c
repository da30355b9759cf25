/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"

static char folder[] = "/tmp/peerdist-fdutil-XXXXXX";
static char file[sizeof(folder) + 8];

static int
setup(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(file, sizeof(file), "%s/file", folder);
	return 0;
}

static int
teardown(void **state)
{
	unlink(file);
	return rmdir(folder);
}

/* Everything in the folder but the file. */
static int
count_others(void)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && strcmp(e->d_name, "file") != 0)
			n++;
	closedir(d);
	return n;
}

static void
assert_file_is(const char *want)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(fd_read_file(file, &b), 0);
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data, want, b.len);
}

static void
test_write_file_replaces(void **state)
{
	struct stat st;

	assert_int_equal(fd_write_file(file, "one", 3, 0600), 0);
	assert_file_is("one");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fd_write_file(file, "twice", 5, 0644), 0);
	assert_file_is("twice");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fd_write_file(file, NULL, 0, 0600), 0);
	assert_file_is("");
	assert_int_equal(count_others(), 0);
}

static void
test_write_file_fails_without_a_trace(void **state)
{
	struct rlimit old, limit;
	char path[300];

	snprintf(path, sizeof(path), "%s/missing/file", folder);
	assert_int_equal(fd_write_file(path, "x", 1, 0600), -ENOENT);

	assert_int_equal(fd_write_file(file, "old", 3, 0600), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_IGN);
	limit = old;
	limit.rlim_cur = 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(fd_write_file(file, "new", 3, 0600), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_file_is("old");
	assert_int_equal(count_others(), 0);
}

static void
test_write_file_by_bare_name(void **state)
{
	AUTO_FREE char *cwd = getcwd(NULL, 0);

	assert_int_equal(chdir(folder), 0);
	assert_int_equal(fd_write_file("file", "bare", 4, 0600), 0);
	assert_int_equal(chdir(cwd), 0);
	assert_file_is("bare");
}

static void
test_read_file_bound(void **state)
{
	CLEANUP(buf_done) struct buf b;

	assert_int_equal(fd_write_file(file, "12345", 5, 0600), 0);
	buf_init(&b, 5);
	assert_int_equal(fd_read_file(file, &b), 0);
	assert_int_equal(b.len, 5);
	buf_done(&b);

	buf_init(&b, 6);
	buf_append(&b, "ab", 2);
	assert_int_equal(fd_read_file(file, &b), -EMSGSIZE);
	assert_int_equal(b.len, 2);
	buf_done(&b);

	buf_init(&b, 7);
	buf_append(&b, "ab", 2);
	assert_int_equal(fd_read_file(file, &b), 0);
	assert_memory_equal(b.data, "ab12345", 7);
}

static void
test_read_file_of_many_chunks(void **state)
{
	CLEANUP(buf_done) struct buf b;
	static uint8_t data[100001];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(fd_write_file(file, data, sizeof(data), 0600), 0);
	buf_init(&b, 1 << 20);
	assert_int_equal(fd_read_file(file, &b), 0);
	assert_int_equal(b.len, sizeof(data));
	assert_memory_equal(b.data, data, sizeof(data));
}

static void
test_read_file_errors(void **state)
{
	CLEANUP(buf_done) struct buf b;
	char path[300];

	buf_init(&b, 100);
	snprintf(path, sizeof(path), "%s/missing", folder);
	assert_int_equal(fd_read_file(path, &b), -ENOENT);
	assert_int_equal(fd_read_file(folder, &b), -EISDIR);
	assert_int_equal(b.len, 0);
}

static void
test_write_all_through_a_full_pipe(void **state)
{
	static const char data[200000];
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char sink[4096];
		size_t got = 0;
		ssize_t n;

		close(p[1]);
		while ((n = read(p[0], sink, sizeof(sink))) > 0)
			got += (size_t)n;
		_exit(got == sizeof(data) ? 0 : 1);
	}
	close(p[0]);
	assert_int_equal(fd_write_all(p[1], data, sizeof(data)), 0);
	close(p[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fd_write_all(-1, data, 1), -EBADF);
}

static void
test_memfd(void **state)
{
	AUTO_FD int fd = fd_memfd_sealed("test", 8192);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_memfd_check(fd, 8192), 0);
	assert_int_equal(fd_memfd_check(fd, 8191), -EINVAL);
	assert_int_equal(fd_memfd_check(fd, 0), -EINVAL);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 16384), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fd_memfd_sealed("test", SIZE_MAX), -EINVAL);
}

static void
test_memfd_check_refuses(void **state)
{
	static const int seals[] = {0, F_SEAL_SHRINK | F_SEAL_GROW,
		F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_WRITE};
	int pair[2];

	for (size_t i = 0; i < ARRAY_LEN(seals); i++) {
		AUTO_FD int fd = memfd_create("test", MFD_ALLOW_SEALING);

		assert_int_equal(ftruncate(fd, 4096), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
		assert_int_equal(fd_memfd_check(fd, 4096), -EINVAL);
	}
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(fd_memfd_check(pair[0], 0), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(fd_memfd_check(-1, 0), -EINVAL);
	assert_int_equal(fd_write_file(file, "x", 1, 0600), 0);
	pair[0] = open(file, O_RDWR | O_CLOEXEC);
	assert_int_equal(fd_memfd_check(pair[0], 1), -EINVAL);
	close(pair[0]);
}

static void
test_check_regular(void **state)
{
	int pair[2], fd;

	assert_int_equal(fd_write_file(file, "x", 1, 0600), 0);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_check_regular(fd), 0);
	close(fd);
	fd = open(folder, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_check_regular(fd), -EINVAL);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_check_regular(fd), -EINVAL);
	close(fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(fd_check_regular(pair[0]), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(fd_check_regular(-1), -EBADF);
}

/* The other file systems: test_lib_file. */
static void
test_may_stall(void **state)
{
	AUTO_FD int fd = fd_memfd_sealed("test", 4096);

	assert_int_equal(fd_may_stall(fd), 0);
	assert_int_equal(fd_may_stall(-1), -EBADF);
}

static int
scenario_files(void *arg)
{
	CLEANUP(buf_done) struct buf b;
	int r = fd_write_file(file, "data", 4, 0600);

	buf_init(&b, 100000);
	return r == 0 ? fd_read_file(file, &b) : r;
}

static void
test_out_of_memory(void **state)
{
	assert_true(failalloc_each(scenario_files, NULL) >= 3);
	assert_int_equal(count_others(), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_file_replaces),
		cmocka_unit_test(test_write_file_fails_without_a_trace),
		cmocka_unit_test(test_write_file_by_bare_name),
		cmocka_unit_test(test_read_file_bound),
		cmocka_unit_test(test_read_file_of_many_chunks),
		cmocka_unit_test(test_read_file_errors),
		cmocka_unit_test(test_write_all_through_a_full_pipe),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_memfd_check_refuses),
		cmocka_unit_test(test_check_regular),
		cmocka_unit_test(test_may_stall),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/net/warm.h"

#define MANY 64

/* What the kernel is asked, and says. */
static struct {
	bool real;
	unsigned looks;
	uint64_t at[MANY];
	uint64_t cold;    /* the byte that is not there */
	int cold_error;   /* what is said of it */
	bool ends_before; /* the file is shorter */
	/* the job */
	struct env_job *job;
	unsigned done;
} f;

/* In place of the C library's: whether pages are there cannot be arranged. */
ssize_t
preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	assert_int_equal(n, 1);
	assert_int_equal(iov->iov_len, 1);
	if (f.real)
		return syscall(SYS_preadv2, fd, iov, n, offset, 0L, flags);
	assert_true(f.looks < MANY);
	f.at[f.looks++] = (uint64_t)offset;
	if ((uint64_t)offset == f.cold) {
		errno = f.cold_error;
		return -1;
	}
	return f.ends_before ? 0 : 1;
}

static int
setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.cold = UINT64_MAX;
	f.cold_error = EAGAIN;
	return 0;
}

/* The places that are looked at, in this order. */
static void
expect_looks(uint64_t offset, uint64_t len, const uint64_t *at, size_t n)
{
	setup(NULL);
	assert_true(warm_is(0, offset, len));
	assert_int_equal(f.looks, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(f.at[i], at[i]);
	/* each of them may be what is missing */
	for (size_t i = 0; i < n; i++) {
		setup(NULL);
		f.cold = at[i];
		assert_false(warm_is(0, offset, len));
		assert_int_equal(f.at[f.looks - 1], at[i]);
	}
}

static void
test_places(void **state)
{
	static const uint64_t big = UINT64_C(5) << 30;
	const uint64_t block[] = {4095 + 65575, 4095};
	const uint64_t most[] = {(128 << 10) - 1, 0};
	const uint64_t more[] = {128 << 10, 0, 128 << 10};
	const uint64_t byte[] = {7, 7};
	const uint64_t window[] = {big + WARM_WINDOW - 1, big,
		big + (128 << 10), big + (256 << 10), big + (384 << 10),
		big + (512 << 10), big + (640 << 10), big + (768 << 10),
		big + (896 << 10)};

	expect_looks(4095, 65576, block, ARRAY_LEN(block));
	expect_looks(0, 128 << 10, most, ARRAY_LEN(most));
	expect_looks(0, (128 << 10) + 1, more, ARRAY_LEN(more));
	expect_looks(7, 1, byte, ARRAY_LEN(byte));
	expect_looks(big, WARM_WINDOW, window, ARRAY_LEN(window));
}

/* Only "it would have to be read" is cold; others fail in time. */
static void
test_errors(void **state)
{
	static const int errors[] = {EINVAL, ENOSYS, EIO, EBADF, EINTR, ENOMEM};

	f.cold = 0;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		f.cold_error = errors[i];
		assert_true(warm_is(0, 0, 1));
	}
	f.cold_error = EAGAIN;
	assert_false(warm_is(0, 0, 1));
	f.cold = UINT64_MAX;
	f.ends_before = true;
	assert_true(warm_is(0, 0, 100000));
}

/* A file system that cannot say is asked only if it is memory itself. */
static void
test_cannot_say(void **state)
{
	AUTO_FD int memory = memfd_create("test", MFD_CLOEXEC);
	AUTO_FD int other = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	assert_true(memory >= 0 && other >= 0);
	f.cold = 0;
	f.cold_error = EOPNOTSUPP;
	assert_true(warm_is(memory, 0, 1));
	assert_false(warm_is(other, 0, 1));
}

/* The job */

static void
take_job(void *ctx, struct env_job *job)
{
	assert_ptr_equal(ctx, &f);
	assert_null(f.job);
	assert_int_equal(f.done, 0);
	f.job = job;
}

static const struct env_ops ops = {.job = take_job};
static const struct env env = {.ops = &ops, .ctx = &f};

static struct warm *expected;

static void
on_done(struct warm *w)
{
	assert_ptr_equal(w, expected);
	f.done++;
}

static void
start(struct warm *w, bool slow)
{
	expected = w;
	f.job = NULL;
	f.done = 0;
	warm_start(w, &env, slow);
	assert_non_null(f.job);
	assert_non_null(f.job->run);
	assert_int_equal(f.job->slow, slow);
	assert_int_equal(f.done, 0);
}

static int
new_file(size_t len)
{
	char name[] = "/tmp/peerdist-warm-XXXXXX";
	uint8_t *bytes = calloc(1, len);
	int fd = mkostemp(name, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_non_null(bytes);
	assert_int_equal(write(fd, bytes, len), len);
	free(bytes);
	return fd;
}

/* Out of the page cache, where this is possible. */
static void
chill(int fd)
{
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* How many bytes this process has read so far, before this. */
static uint64_t
bytes_read(size_t *ret_own)
{
	char text[512];
	int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	unsigned long long count;

	assert_true(n > 0);
	text[n] = 0;
	assert_int_equal(sscanf(text, "rchar: %llu", &count), 1);
	close(fd);
	*ret_own = (size_t)n;
	return count;
}

/* Real pages: what was cold (if the file system says so) is warm afterwards,
 * and the descriptor's place in the file is as it was. */
static void
test_read(void **state)
{
	static const struct {
		uint64_t offset;
		uint64_t len;
	} parts[] = {
		{0, 1},
		{0, 65576},
		{123456, 300000},
		{0, WARM_WINDOW},
		{2 * WARM_WINDOW - 1, WARM_WINDOW},
	};
	int fd = new_file(3 * WARM_WINDOW);

	f.real = true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct warm w = {.fd = fd,
			.offset = parts[i].offset,
			.len = parts[i].len,
			.done = on_done};
		uint64_t before;
		size_t own, none;

		chill(fd);
		if (warm_is(fd, w.offset, w.len) && i == 0)
			print_message("the file system does not tell\n");
		start(&w, i % 2);
		before = bytes_read(&own);
		f.job->run(f.job, NULL);
		assert_int_equal(bytes_read(&none) - before, own + w.len);
		assert_int_equal(f.done, 0);
		assert_true(warm_is(fd, w.offset, w.len));
		f.job->done(f.job, true);
		assert_int_equal(f.done, 1);
	}
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 3 * WARM_WINDOW);
	close(fd);
}

/* Whoever brings a place has the bytes there, as many as there are. */
static void
test_into(void **state)
{
	AUTO_FD int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t bytes[1000], read[2000];
	struct warm w = {.fd = fd,
		.offset = 300,
		.len = 600,
		.uid = WARM_FOR_WEB,
		.into = read,
		.done = on_done};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	start(&w, true);
	assert_int_equal(f.job->uid, WARM_FOR_WEB);
	f.job->run(f.job, NULL);
	f.job->done(f.job, true);
	assert_int_equal(w.got, 600);
	assert_memory_equal(read, bytes + 300, 600);
	w.len = 1500;
	start(&w, true);
	f.job->run(f.job, NULL);
	f.job->done(f.job, true);
	assert_int_equal(w.got, 700);
	assert_memory_equal(read, bytes + 300, 700);
	start(&w, true);
	f.job->done(f.job, false);
	assert_int_equal(w.got, 0);
}

/* It ends whatever is wrong: shorter than thought, not readable, not run. */
static void
test_cannot_read(void **state)
{
	int fd = new_file(1000);
	struct warm w = {
		.fd = fd, .offset = 500, .len = WARM_WINDOW, .done = on_done};

	start(&w, false);
	f.job->run(f.job, NULL);
	f.job->done(f.job, true);
	assert_int_equal(f.done, 1);
	start(&w, false);
	f.job->done(f.job, false);
	assert_int_equal(f.done, 1);
	close(fd);
	w.fd = open("/", O_RDONLY | O_CLOEXEC);
	start(&w, false);
	f.job->run(f.job, NULL);
	f.job->done(f.job, true);
	assert_int_equal(f.done, 1);
	close(w.fd);
	w.fd = -1;
	start(&w, false);
	f.job->run(f.job, NULL);
	f.job->done(f.job, true);
	assert_int_equal(f.done, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_places, setup),
		cmocka_unit_test_setup(test_errors, setup),
		cmocka_unit_test_setup(test_cannot_say, setup),
		cmocka_unit_test_setup(test_into, setup),
		cmocka_unit_test_setup(test_read, setup),
		cmocka_unit_test_setup(test_cannot_read, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

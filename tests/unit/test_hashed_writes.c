/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of a file that its times tell of only when they begin. */
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "tests/unit/hashed_util.h"

#define PAGE_LEN    4096u
#define DEADLINE_MS 20000

/* Nobody is told of other bytes than there are; that there are no hashes is as
 * good an answer. */
static void
check_described(struct script *x, bool *ret_known)
{
	struct stat st = stat_of(path_a);
	uint8_t *now = malloc(LEN), *want;
	enum hashed_result r;
	struct asked a;
	size_t len;
	int fd = open(path_a, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, now, LEN), LEN);
	close(fd);
	r = got(x, &st, &a);
	*ret_known = r == HASHED_OK;
	if (*ret_known) {
		want = script_information(now, LEN, 2, 0, LEN, &len);
		assert_int_equal(a.ask.len, len);
		assert_memory_equal(a.ask.bytes, want, len);
		free(want);
	} else {
		assert_int_equal(r, HASHED_UNKNOWN);
	}
	hashed_give_back(&a.ask);
	free(now);
}

/* Where pages of files are written back. */
static bool
on_disk(void)
{
	struct statfs st;

	assert_int_equal(statfs(folder, &st), 0);
	return st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_SUPER_MAGIC ||
		st.f_type == BTRFS_SUPER_MAGIC;
}

/* A page that is written to for the second time. */
static void
test_mapped(void **state)
{
	struct script x;
	uint8_t *map;
	bool known;
	int fd;

	if (!on_disk()) {
		print_message("skip: the file system writes no pages\n");
		skip();
	}
	hashed_init(&x);
	fd = open(path_a, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	map[5] ^= 1;
	change(path_a);
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	check_described(&x, &known);
	assert_true(known);
	map[5] ^= 1;
	check_described(&x, &known);
	assert_false(known);
	munmap(map, LEN);
	script_done(&x);
}

/* A write whose second page comes late. */
struct late {
	int fault_fd;
	int fd;
	uint8_t *pages;
	atomic_long written;
	char self[64]; /* what the kernel says of the thread that hashes */
	atomic_bool hashed;
};

static void *
write_run(void *ctx)
{
	struct late *l = ctx;

	l->written = pwrite(l->fd, l->pages, 2 * PAGE_LEN, 0);
	return NULL;
}

/* When the other thread is done, or waits for the writer. */
static void *
release_run(void *ctx)
{
	struct late *l = ctx;
	uint8_t page[PAGE_LEN];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)l->pages + PAGE_LEN,
		.src = (uintptr_t)page,
		.len = PAGE_LEN,
	};
	char text[256] = "", waits = 'R';

	memset(page, 'B', sizeof(page));
	while (!l->hashed && waits != 'D') {
		int fd = open(l->self, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		const char *end;

		close(fd);
		text[MAX_OF(n, 0)] = '\0';
		end = strrchr(text, ')');
		waits = end != NULL ? end[2] : 'R';
		sched_yield();
	}
	ioctl(l->fault_fd, UFFDIO_COPY, &copy);
	return NULL;
}

static bool
late_pages(struct late *l)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	l->fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (l->fault_fd < 0)
		return false;
	assert_int_equal(ioctl(l->fault_fd, UFFDIO_API, &api), 0);
	l->pages = mmap(NULL, 2 * PAGE_LEN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(l->pages, MAP_FAILED);
	memset(l->pages, 'A', PAGE_LEN);
	reg.range.start = (uintptr_t)l->pages;
	reg.range.len = 2 * PAGE_LEN;
	assert_int_equal(ioctl(l->fault_fd, UFFDIO_REGISTER, &reg), 0);
	return true;
}

static void
test_long_write(void **state)
{
	struct late l = {.fault_fd = -1};
	pthread_t writer, releaser;
	struct pollfd stuck;
	struct script x;
	bool known;

	if (!late_pages(&l)) {
		print_message("skip: userfaultfd() is forbidden\n");
		skip();
	}
	hashed_init(&x);
	x.session->identity.service = true; /* who waits */
	snprintf(l.self, sizeof(l.self), "/proc/self/task/%d/stat", gettid());
	l.fd = open(path_a, O_WRONLY | O_CLOEXEC);
	stuck = (struct pollfd){l.fault_fd, POLLIN, 0};
	assert_int_equal(pthread_create(&writer, NULL, write_run, &l), 0);
	assert_int_equal(poll(&stuck, 1, DEADLINE_MS), 1);
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(pthread_create(&releaser, NULL, release_run, &l), 0);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	l.hashed = true;
	pthread_join(releaser, NULL);
	pthread_join(writer, NULL);
	assert_int_equal(l.written, 2 * PAGE_LEN);
	check_described(&x, &known);
	script_done(&x);
	close(l.fd);
	close(l.fault_fd);
	munmap(l.pages, 2 * PAGE_LEN);
}

/* Who writes from memory that never comes must not hold the service up by
 * publishing that file: an ordinary user's publication ends while the write is
 * under way. */
static void
test_users_do_not_wait(void **state)
{
	struct late l = {.fault_fd = -1};
	pthread_t writer;
	struct pollfd stuck;
	struct script x;

	if (!late_pages(&l)) {
		print_message("skip: userfaultfd() is forbidden\n");
		skip();
	}
	hashed_init(&x);
	l.fd = open(path_a, O_WRONLY | O_CLOEXEC);
	stuck = (struct pollfd){l.fault_fd, POLLIN, 0};
	assert_int_equal(pthread_create(&writer, NULL, write_run, &l), 0);
	assert_int_equal(poll(&stuck, 1, DEADLINE_MS), 1);
	set_age(&x, path_a, OLD_MS);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(l.written, 0);
	l.hashed = true;
	release_run(&l);
	pthread_join(writer, NULL);
	assert_int_equal(l.written, 2 * PAGE_LEN);
	script_done(&x);
	close(l.fd);
	close(l.fault_fd);
	munmap(l.pages, 2 * PAGE_LEN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_long_write),
		cmocka_unit_test(test_users_do_not_wait),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/macros.h"
#include "common/secbuf.h"
#include "common/secmem.h"
#include "tests/unit/failalloc.h"

/* The flags of the mapping that holds p, as the kernel prints them. */
static bool
mapping_has(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false, found = false;
	char line[1024];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(f);
	return found;
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void
test_zeroed_and_apart(void **state)
{
	uint8_t *p = sec_alloc(100), *q = sec_alloc(100);

	assert_non_null(p);
	assert_non_null(q);
	assert_true(all_zero(p, 100));
	memset(p, 0xff, 100);
	assert_true(all_zero(q, 100));
	assert_null(sec_free(p, 100));
	assert_null(sec_free(q, 100));
	assert_null(sec_free(NULL, 100));
}

static void
test_kept_out_of_dumps(void **state)
{
	void *p = sec_alloc(64);

	if (access("/proc/self/smaps", R_OK) != 0) {
		print_message("skip: no /proc/self/smaps\n");
		skip();
	}
	assert_true(mapping_has(p, " dd"));
	assert_false(mapping_has(state, " dd"));
	sec_free(p, 64);
}

static void
test_locked_when_allowed(void **state)
{
	struct rlimit limit;
	void *p;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("skip: a sanitizer makes mlock() do nothing\n");
	skip();
#endif
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (limit.rlim_cur < 1 << 16) {
		print_message("skip: no memory may be locked here\n");
		skip();
	}
	p = sec_alloc(64);
	assert_true(mapping_has(p, " lo"));
	sec_free(p, 64);
}

static void
test_works_without_any_lock(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};
		uint8_t *p;

		/* Root may lock whatever the limit says. */
		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
			(geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		p = sec_alloc(64);
		if (p == NULL)
			_exit(3);
		p[63] = 1;
		_exit(sec_free(p, 64) == NULL ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The child sees no byte of it, and may free it. */
static void
test_kept_from_children(void **state)
{
	uint8_t *p = sec_alloc(64);
	int status;
	pid_t pid;

	memset(p, 0xaa, 64);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool clean = all_zero(p, 64);

		sec_free(p, 64);
		_exit(clean ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(p[63], 0xaa);
	sec_free(p, 64);
}

static void
test_other_size(void **state)
{
	uint8_t *p = sec_realloc(NULL, 0, 10);

	assert_non_null(p);
	memset(p, 1, 10);
	p = sec_realloc(p, 10, 100000);
	assert_non_null(p);
	assert_int_equal(p[9], 1);
	assert_true(all_zero(p + 10, 100000 - 10));
	memset(p, 2, 100000);
	p = sec_realloc(p, 100000, 5000);
	assert_int_equal(p[4999], 2);
	p = sec_realloc(p, 5000, 4990);
	p = sec_realloc(p, 4990, 5000);
	assert_int_equal(p[4989], 2);
	assert_true(all_zero(p + 4990, 10));
	sec_free(p, 5000);
}

static void
test_impossible_sizes(void **state)
{
	uint8_t *p = sec_alloc(0);

	assert_non_null(p);
	assert_null(sec_alloc(SIZE_MAX));
	assert_null(sec_alloc(SIZE_MAX - 4095));
	assert_null(sec_alloc((size_t)PTRDIFF_MAX + 1));
	assert_null(sec_realloc(p, 0, SIZE_MAX));
	p = sec_realloc(p, 0, 1);
	assert_int_equal(*p, 0);
	sec_free(p, 1);
}

static int
scenario(void *arg)
{
	uint8_t *p = sec_alloc(10), *q;
	int r = 0;

	if (p == NULL)
		return -ENOMEM;
	p[0] = 7;
	q = sec_realloc(p, 10, 10000);
	if (q == NULL)
		r = -ENOMEM;
	else
		p = q;
	/* The old one stays after a failure. */
	assert_int_equal(p[0], 7);
	sec_free(p, q == NULL ? 10 : 10000);
	return r;
}

static void
test_out_of_memory(void **state)
{
	assert_int_equal(failalloc_each(scenario, NULL), 2);
}

static void
test_secbuf(void **state)
{
	static const uint8_t part[50000] = {1, 2, 3};
	struct secbuf b = {0};

	assert_int_equal(secbuf_add(&b, 0, "x", 1), -EMSGSIZE);
	assert_int_equal(secbuf_add(&b, 0, NULL, 0), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(secbuf_add(&b, 200000, part, sizeof(part)), 0);
	assert_int_equal(secbuf_add(&b, 200000, part, 1), -EMSGSIZE);
	assert_int_equal(b.len, 200000);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(
			b.bytes + i * sizeof(part), part, sizeof(part));
	/* What cannot be added changes nothing. */
	assert_int_equal(secbuf_add(&b, SIZE_MAX, part, sizeof(part)), 0);
	failalloc_arm(1);
	assert_int_equal(secbuf_add(&b, SIZE_MAX, part, sizeof(part)), -ENOMEM);
	assert_true(failalloc_disarm());
	assert_int_equal(b.len, 250000);
	assert_memory_equal(b.bytes + 200000, part, sizeof(part));
	assert_int_equal(secbuf_add(&b, SIZE_MAX, part, sizeof(part)), 0);
	assert_int_equal(b.len, 300000);
	secbuf_done(&b);
	assert_null(b.bytes);
	secbuf_done(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_and_apart),
		cmocka_unit_test(test_kept_out_of_dumps),
		cmocka_unit_test(test_locked_when_allowed),
		cmocka_unit_test(test_works_without_any_lock),
		cmocka_unit_test(test_kept_from_children),
		cmocka_unit_test(test_other_size),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_secbuf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

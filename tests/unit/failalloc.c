/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/failalloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* A scenario with more allocations than this does not end. */
#define FAILALLOC_MAX 100000UL

/* Counts down to the one that fails; 0: none. */
static unsigned long countdown;
static bool fired;

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
char *__real_strdup(const char *);
char *__real_strndup(const char *, size_t);
int __real_vasprintf(char **, const char *, va_list);
void *__real_mmap(void *, size_t, int, int, int, off_t);

void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
char *__wrap_strdup(const char *);
char *__wrap_strndup(const char *, size_t);
int __wrap_vasprintf(char **, const char *, va_list)
	__attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **, const char *, ...)
	__attribute__((format(printf, 2, 3)));
int __wrap___vasprintf_chk(char **, int, const char *, va_list)
	__attribute__((format(printf, 3, 0)));
int __wrap___asprintf_chk(char **, int, const char *, ...)
	__attribute__((format(printf, 3, 4)));
void *__wrap_mmap(void *, size_t, int, int, int, off_t);

/* Worker threads allocate too. */
static bool
failalloc_now(void)
{
	unsigned long n = __atomic_load_n(&countdown, __ATOMIC_RELAXED);

	while (n > 0)
		if (__atomic_compare_exchange_n(&countdown, &n, n - 1, true,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			break;
	if (n != 1)
		return false;
	__atomic_store_n(&fired, true, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return failalloc_now() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return failalloc_now() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return failalloc_now() ? NULL : __real_realloc(p, n);
}

char *
__wrap_strdup(const char *s)
{
	return failalloc_now() ? NULL : __real_strdup(s);
}

char *
__wrap_strndup(const char *s, size_t n)
{
	return failalloc_now() ? NULL : __real_strndup(s, n);
}

int
__wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	return failalloc_now() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int
__wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return r;
}

int
__wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
	return __wrap_vasprintf(ret, fmt, ap);
}

int
__wrap___asprintf_chk(char **ret, int flag, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = __wrap_vasprintf(ret, fmt, ap);
	va_end(ap);
	return r;
}

void *
__wrap_mmap(void *p, size_t n, int prot, int flags, int fd, off_t off)
{
	if (failalloc_now())
		return MAP_FAILED;
	return __real_mmap(p, n, prot, flags, fd, off);
}

void
failalloc_arm(unsigned long n)
{
	__atomic_store_n(&fired, false, __ATOMIC_RELAXED);
	__atomic_store_n(&countdown, n, __ATOMIC_RELAXED);
}

bool
failalloc_disarm(void)
{
	__atomic_store_n(&countdown, 0, __ATOMIC_RELAXED);
	return __atomic_load_n(&fired, __ATOMIC_RELAXED);
}

unsigned long
failalloc_each(int (*scenario)(void *), void *arg)
{
	for (unsigned long n = 1; n <= FAILALLOC_MAX; n++) {
		bool failed;
		int r;

		failalloc_arm(n);
		r = scenario(arg);
		failed = failalloc_disarm();
		if (r != 0 && !(failed && r == -ENOMEM))
			fail_msg("allocation %lu %s: result %d", n,
				failed ? "failed" : "was never made", r);
		if (!failed)
			return n - 1;
	}
	fail_msg("more than %lu allocations", FAILALLOC_MAX);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/secmem.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/macros.h"

/* Whole pages, at least one; 0 when size is beyond all reason. */
static size_t
sec_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (size > PTRDIFF_MAX - page)
		return 0;
	return (MAX_OF(size, 1) + page - 1) / page * page;
}

/*
 * Wiped in a child rather than missing there: a child that frees its copy must
 * not fault.  Old kernels know only the second.  The lock is as good as the
 * limits allow; the other two are not negotiable.
 */
static int
sec_protect(void *p, size_t len)
{
	if (madvise(p, len, MADV_DONTDUMP) != 0)
		return -1;
	if (madvise(p, len, MADV_WIPEONFORK) != 0 &&
		madvise(p, len, MADV_DONTFORK) != 0)
		return -1;
	(void)mlock(p, len);
	return 0;
}

void *
sec_alloc(size_t size)
{
	size_t len = sec_pages(size);
	void *p;

	if (len == 0)
		return NULL;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (sec_protect(p, len) != 0) {
		munmap(p, len);
		return NULL;
	}
	return p;
}

void *
sec_free(void *p, size_t size)
{
	if (p == NULL)
		return NULL;
	explicit_bzero(p, size);
	munmap(p, sec_pages(size));
	return NULL;
}

void *
sec_realloc(void *p, size_t old_size, size_t new_size)
{
	void *q;

	if (p == NULL)
		return sec_alloc(new_size);
	if (sec_pages(new_size) == sec_pages(old_size)) {
		if (new_size < old_size)
			explicit_bzero(
				(char *)p + new_size, old_size - new_size);
		return p;
	}
	q = sec_alloc(new_size);
	if (q == NULL)
		return NULL;
	memcpy(q, p, MIN_OF(old_size, new_size));
	sec_free(p, old_size);
	return q;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "libclient/area.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/err.h"
#include "common/macros.h"

#define RESERVE_MAX (1024u * 1024u)

static uint32_t
pages_of(uint32_t len)
{
	return len / PDC_AREA_PAGE + (len % PDC_AREA_PAGE != 0);
}

int
pdc_area_init(
	struct pdc_area *a, int fd, uint32_t write_size, uint32_t read_size)
{
	size_t size = (size_t)write_size + read_size;
	void *map;

	memset(a, 0, sizeof(*a));
	pthread_mutex_init(&a->lock, NULL);
	if (fd < 0)
		return 0;
	a->pages = write_size / PDC_AREA_PAGE;
	a->used = calloc(a->pages, 1);
	if (a->used == NULL)
		return err_new(-ENOMEM);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		free(a->used);
		return err_new(-errno);
	}
	/* A child must not write into it, a dump not contain it. */
	madvise(map, size, MADV_DONTFORK);
	madvise(map, size, MADV_DONTDUMP);
	a->map = map;
	a->write_size = write_size;
	a->read_size = read_size;
	a->free_pages = a->pages;
	a->reserve_pages = pages_of(MIN_OF(write_size / 4, RESERVE_MAX));
	return 0;
}

void
pdc_area_done(struct pdc_area *a)
{
	if (a->map != NULL)
		munmap(a->map, (size_t)a->write_size + a->read_size);
	free(a->used);
	pthread_mutex_destroy(&a->lock);
}

/* First hole of at least `least` pages, of which up to want are counted. */
static uint32_t
area_hole(const struct pdc_area *a, uint32_t want, uint32_t least,
	uint32_t *ret_first)
{
	uint32_t first = 0, n;

	while (first < a->pages) {
		for (n = 0; n < want && first + n < a->pages; n++)
			if (a->used[first + n])
				break;
		if (n >= least) {
			*ret_first = first;
			return n;
		}
		first += n + 1;
	}
	return 0;
}

uint32_t
pdc_area_take(struct pdc_area *a, uint32_t want, uint32_t least, bool later,
	uint32_t *ret_offset)
{
	uint32_t reserve = later ? 0 : a->reserve_pages;
	uint32_t first = 0, n = 0, got = 0;

	if (a->map == NULL)
		return 0;
	pthread_mutex_lock(&a->lock);
	if ((later || !a->starved) &&
		a->free_pages >= reserve + pages_of(least)) {
		n = MIN_OF(pages_of(want), a->free_pages - reserve);
		n = area_hole(a, n, pages_of(least), &first);
	}
	if (later)
		a->starved = n == 0;
	if (n > 0) {
		memset(a->used + first, 1, n);
		a->free_pages -= n;
		*ret_offset = first * PDC_AREA_PAGE;
		got = MIN_OF(want, n * PDC_AREA_PAGE);
	}
	pthread_mutex_unlock(&a->lock);
	return got;
}

bool
pdc_area_release(struct pdc_area *a, uint32_t offset, uint32_t len)
{
	uint32_t first = offset / PDC_AREA_PAGE, n = pages_of(len);
	bool ok = a->map != NULL && offset % PDC_AREA_PAGE == 0 && n > 0 &&
		first < a->pages && n <= a->pages - first;

	if (!ok)
		return false;
	pthread_mutex_lock(&a->lock);
	ok = memchr(a->used + first, 0, n) == NULL;
	if (ok) {
		memset(a->used + first, 0, n);
		a->free_pages += n;
	}
	pthread_mutex_unlock(&a->lock);
	return ok;
}

const uint8_t *
pdc_area_read_at(const struct pdc_area *a, uint32_t offset, uint32_t len)
{
	uint64_t end = (uint64_t)a->write_size + a->read_size;

	if (a->map == NULL || offset < a->write_size ||
		(uint64_t)offset + len > end)
		return NULL;
	return a->map + offset;
}

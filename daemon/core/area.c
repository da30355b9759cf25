/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The read half is given out in pages of 4 KiB.  For each page that begins a
 * range, "run" holds the range's length in pages and "sent" whether the client
 * has it; a RETURN is believed only when it names exactly such a range.
 *
 * Always the first fit: what was used last is used again while it is still in
 * the processors' caches.
 */
#include "daemon/core/area.h"

#include <assert.h>
#include <stdlib.h>

struct area {
	unsigned refs;
	uint8_t *map;
	size_t write_size;
	size_t n_pages;
	size_t n_free;
	void (*unmap)(void *ctx);
	void *ctx;
	struct page {
		uint16_t run; /* pages of the range that begins here */
		bool used;
		bool sent;
	} pages[];
};

struct area *
area_new(uint8_t *map, size_t write_size, size_t read_size,
	void (*unmap)(void *ctx), void *ctx)
{
	size_t n = read_size / AREA_PAGE;
	struct area *a;

	a = calloc(1, sizeof(*a) + n * sizeof(a->pages[0]));
	if (a == NULL)
		return NULL;
	a->refs = 1;
	a->map = map;
	a->write_size = write_size;
	a->n_pages = n;
	a->n_free = n;
	a->unmap = unmap;
	a->ctx = ctx;
	return a;
}

struct area *
area_ref(struct area *a)
{
	if (a != NULL)
		a->refs++;
	return a;
}

struct area *
area_unref(struct area *a)
{
	if (a != NULL && --a->refs == 0) {
		if (a->unmap != NULL)
			a->unmap(a->ctx);
		free(a);
	}
	return NULL;
}

const uint8_t *
area_write_at(struct area *a, uint32_t offset, uint32_t len)
{
	if (a == NULL || offset > a->write_size || len > a->write_size - offset)
		return NULL;
	return a->map + offset;
}

static size_t
pages_of(uint32_t len)
{
	return ((size_t)len + AREA_PAGE - 1) / AREA_PAGE;
}

/* n_pages when there is no hole of n pages. */
static size_t
find_hole(const struct area *a, size_t n)
{
	size_t i = 0, len = 0;

	while (i < a->n_pages) {
		if (a->pages[i].used) {
			/* The one that begins a range. */
			i += a->pages[i].run;
			len = 0;
			continue;
		}
		i++;
		if (++len == n)
			return i - n;
	}
	return a->n_pages;
}

bool
area_read_alloc(struct area *a, uint32_t len, uint32_t *ret_offset)
{
	size_t n = pages_of(len), at;

	if (a == NULL || n == 0 || n > a->n_free || n > UINT16_MAX)
		return false;
	at = find_hole(a, n);
	if (at == a->n_pages)
		return false;
	for (size_t i = at; i < at + n; i++)
		a->pages[i].used = true;
	a->pages[at].run = (uint16_t)n;
	a->pages[at].sent = false;
	a->n_free -= n;
	*ret_offset = (uint32_t)(a->write_size + at * AREA_PAGE);
	return true;
}

uint8_t *
area_read_at(struct area *a, uint32_t offset)
{
	return a->map + offset;
}

static struct page *
page_at(struct area *a, uint32_t offset, uint32_t len)
{
	size_t at;

	if (a == NULL || offset < a->write_size ||
		(offset - a->write_size) % AREA_PAGE != 0)
		return NULL;
	at = (offset - a->write_size) / AREA_PAGE;
	if (at >= a->n_pages || a->pages[at].run == 0 ||
		a->pages[at].run != pages_of(len))
		return NULL;
	return &a->pages[at];
}

static void
release(struct area *a, struct page *p)
{
	size_t n = p->run;

	p->run = 0;
	p->sent = false;
	for (size_t i = 0; i < n; i++)
		p[i].used = false;
	a->n_free += n;
}

void
area_read_sent(struct area *a, uint32_t offset, uint32_t len)
{
	struct page *p = page_at(a, offset, len);

	assert(p != NULL && !p->sent);
	p->sent = true;
}

void
area_read_free(struct area *a, uint32_t offset, uint32_t len)
{
	struct page *p = page_at(a, offset, len);

	assert(p != NULL && !p->sent);
	release(a, p);
}

bool
area_return(struct area *a, uint32_t offset, uint32_t len)
{
	struct page *p = page_at(a, offset, len);

	if (p == NULL || !p->sent)
		return false;
	release(a, p);
	return true;
}

size_t
area_read_size(const struct area *a)
{
	return a != NULL ? a->n_pages * AREA_PAGE : 0;
}

size_t
area_read_room(const struct area *a)
{
	return a != NULL ? a->n_free * AREA_PAGE : 0;
}

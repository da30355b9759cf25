/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/macros.h"

void
ranges_done(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges){0};
}

/* The first range that ends at pos or behind it. */
static size_t
first_to(const struct ranges *r, uint64_t pos)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->at[mid].end < pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
reserve(struct ranges *r)
{
	size_t cap = r->cap > 0 ? r->cap * 2 : 16;
	struct range *at;

	if (r->n < r->cap)
		return 0;
	at = realloc(r->at, cap * sizeof(*at));
	if (at == NULL)
		return err_new(-ENOMEM);
	r->at = at;
	r->cap = cap;
	return 0;
}

/* Ranges [i, i + n) are replaced by those of with; there is room. */
static void
replace(struct ranges *r, size_t i, size_t n, const struct range *with,
	size_t n_with)
{
	for (size_t k = i; k < i + n; k++)
		r->bytes -= r->at[k].end - r->at[k].start;
	memmove(r->at + i + n_with, r->at + i + n,
		(r->n - i - n) * sizeof(*r->at));
	if (n_with > 0)
		memcpy(r->at + i, with, n_with * sizeof(*with));
	r->n = r->n - n + n_with;
	for (size_t k = i; k < i + n_with; k++)
		r->bytes += r->at[k].end - r->at[k].start;
}

int
ranges_add(struct ranges *r, struct range add, uint64_t *ret_new)
{
	uint64_t before = r->bytes;
	size_t i, n = 0;
	int err = reserve(r);

	assert(add.start <= add.end);
	if (err < 0)
		return err_pass(err);
	i = first_to(r, add.start);
	while (add.start < add.end && i + n < r->n &&
		r->at[i + n].start <= add.end) {
		add.start = MIN_OF(add.start, r->at[i + n].start);
		add.end = MAX_OF(add.end, r->at[i + n].end);
		n++;
	}
	if (add.start < add.end)
		replace(r, i, n, &add, 1);
	if (ret_new != NULL)
		*ret_new = r->bytes - before;
	return 0;
}

int
ranges_cut(struct ranges *r, struct range cut)
{
	struct range rest[2];
	size_t i, n = 0, n_rest = 0;
	int err = reserve(r);

	assert(cut.start <= cut.end);
	if (err < 0)
		return err_pass(err);
	if (cut.start == cut.end)
		return 0;
	/* One that only ends where the cut begins stays as it is. */
	i = first_to(r, cut.start + 1);
	while (i + n < r->n && r->at[i + n].start < cut.end) {
		const struct range *at = &r->at[i + n];

		if (at->start < cut.start)
			rest[n_rest++] = (struct range){at->start, cut.start};
		if (at->end > cut.end)
			rest[n_rest++] = (struct range){cut.end, at->end};
		n++;
	}
	replace(r, i, n, rest, n_rest);
	return 0;
}

bool
ranges_next(const struct ranges *r, uint64_t from, struct range *ret)
{
	size_t i;

	if (from == UINT64_MAX)
		return false;
	i = first_to(r, from + 1);
	if (i == r->n)
		return false;
	*ret = (struct range){MAX_OF(r->at[i].start, from), r->at[i].end};
	return true;
}

bool
ranges_gap(const struct ranges *r, struct range within, struct range *ret)
{
	struct range next;

	while (within.start < within.end &&
		ranges_next(r, within.start, &next) &&
		next.start <= within.start)
		within.start = next.end;
	if (within.start >= within.end)
		return false;
	if (ranges_next(r, within.start, &next))
		within.end = MIN_OF(within.end, next.start);
	*ret = within;
	return true;
}

bool
ranges_hold(const struct ranges *r, struct range range)
{
	struct range gap;

	return !ranges_gap(r, range, &gap);
}

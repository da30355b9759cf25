/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables that strangers fill, see the header: sets of eight rows, of which the
 * one that was not used for longest makes room.  The hash has a secret seed, so
 * that nobody can aim at a set. */
#include "daemon/core/discover_internal.h"

#include <stdlib.h>
#include <string.h>

static struct discover_row *
row_at(const struct discover_table *t, size_t i)
{
	return (struct discover_row *)(void *)(t->rows + i * t->row_size);
}

static size_t
set_of(const struct discover *d, const struct discover_table *t,
	const uint8_t *key)
{
	uint64_t hash = discover_hash(d, key, PCCRD_ID_SIZE);

	return (size_t)(hash % t->n_sets) * DISCOVER_WAYS;
}

void *
discover_table_find(const struct discover *d, const struct discover_table *t,
	const uint8_t *key)
{
	size_t first;

	if (t->rows == NULL)
		return NULL;
	first = set_of(d, t, key);
	for (size_t i = 0; i < DISCOVER_WAYS; i++) {
		struct discover_row *row = row_at(t, first + i);

		if (row->used_ms != 0 &&
			memcmp(row->key, key, PCCRD_ID_SIZE) == 0)
			return row;
	}
	return NULL;
}

static struct discover_row *
oldest_row(const struct discover_table *t, size_t first)
{
	struct discover_row *oldest = row_at(t, first);

	for (size_t i = 1; i < DISCOVER_WAYS; i++) {
		struct discover_row *row = row_at(t, first + i);

		if (row->used_ms < oldest->used_ms)
			oldest = row;
	}
	return oldest;
}

void *
discover_table_take(
	struct discover *d, struct discover_table *t, const uint8_t *key)
{
	struct discover_row *row = discover_table_find(d, t, key);

	if (t->rows == NULL)
		t->rows = calloc(t->n_sets * DISCOVER_WAYS, t->row_size);
	if (t->rows == NULL)
		return NULL;
	if (row == NULL) {
		row = oldest_row(t, set_of(d, t, key));
		memset(row, 0, t->row_size);
		memcpy(row->key, key, PCCRD_ID_SIZE);
	}
	/* Clocks may begin at 0. */
	row->used_ms = service_now_ms(d->service) + 1;
	return row;
}

void
discover_table_clear(struct discover_table *t)
{
	free(t->rows);
	t->rows = NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/handle.h"

#include <assert.h>
#include <stdlib.h>

void
handle_table_done(struct handle_table *t)
{
	assert(t->n_live == 0);
	free(t->slots);
	*t = (struct handle_table){0};
}

static bool
grow(struct handle_table *t)
{
	uint32_t n = t->n_slots != 0 ? t->n_slots * 2 : 8;
	struct handle_slot *s;

	if (n < t->n_slots)
		return false;
	s = realloc(t->slots, n * sizeof(s[0]));
	if (s == NULL)
		return false;
	t->slots = s;
	for (uint32_t i = t->n_slots; i < n; i++)
		s[i] = (struct handle_slot){
			.next_free = i + 2 <= n ? i + 2 : 0};
	t->free_head = t->n_slots + 1;
	t->n_slots = n;
	return true;
}

bool
handle_add(struct handle_table *t, struct handle *h)
{
	struct handle_slot *s;
	uint32_t i;

	if (t->free_head == 0 && !grow(t))
		return false;
	i = t->free_head - 1;
	s = &t->slots[i];
	t->free_head = s->next_free;
	/* Never 0, so that no handle number is. */
	if (++s->generation == 0)
		s->generation = 1;
	s->handle = h;
	h->number = (uint64_t)s->generation << 32 | i;
	t->n_live++;
	return true;
}

void
handle_remove(struct handle_table *t, struct handle *h)
{
	uint32_t i = (uint32_t)h->number;
	struct handle_slot *s = &t->slots[i];

	assert(i < t->n_slots && s->handle == h);
	s->handle = NULL;
	s->next_free = t->free_head;
	t->free_head = i + 1;
	t->n_live--;
	h->number = 0;
}

struct handle *
handle_get(const struct handle_table *t, uint64_t number, enum handle_type type)
{
	uint32_t i = (uint32_t)number;
	struct handle *h;

	if (i >= t->n_slots || t->slots[i].generation != number >> 32)
		return NULL;
	h = t->slots[i].handle;
	return h != NULL && h->type == type ? h : NULL;
}

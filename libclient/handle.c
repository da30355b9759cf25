/* SPDX-License-Identifier: BSD-2-Clause */
#include "libclient/handle.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* Index from bit 2, generation above it; the highest bit stays clear. */
#if UINTPTR_MAX > 0xFFFFFFFFu
#define INDEX_BITS      24
#define GENERATION_BITS 37
#else
#define INDEX_BITS      16
#define GENERATION_BITS 13
#endif
#define INDEX_MAX      ((UINT64_C(1) << INDEX_BITS) - 1)
#define GENERATION_MAX ((UINT64_C(1) << GENERATION_BITS) - 1)

struct entry {
	struct pdc_object *object; /* NULL: free */
	uint64_t generation;
	uint32_t next_free;
};

static struct {
	pthread_mutex_t lock;
	struct entry *entries; /* the first is never used */
	uint32_t len;
	uint32_t cap;
	uint32_t first_free; /* 0: none */
	size_t live;
	uint64_t generation; /* goes on after fork */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .len = 1};

void
pdc_object_init(struct pdc_object *o, enum pdc_kind kind,
	void (*free_)(struct pdc_object *))
{
	atomic_init(&o->refs, 1);
	o->kind = kind;
	o->free = free_;
}

void
pdc_object_ref(struct pdc_object *o)
{
	unsigned before =
		atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);

	assert(before > 0);
}

void
pdc_object_unref(struct pdc_object *o)
{
	if (o == NULL)
		return;
	if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
		o->free(o);
}

static bool
table_grow(void)
{
	uint32_t cap = table.cap == 0 ? 64 : table.cap * 2;
	struct entry *entries;

	if (table.len < table.cap)
		return true;
	if (table.len > INDEX_MAX)
		return false;
	entries = realloc(table.entries, cap * sizeof(*entries));
	if (entries == NULL)
		return false;
	table.entries = entries;
	table.cap = cap;
	return true;
}

static uint32_t
table_take_index(void)
{
	uint32_t index = table.first_free;

	if (index != 0) {
		table.first_free = table.entries[index].next_free;
		return index;
	}
	return table_grow() ? table.len++ : 0;
}

HANDLE
pdc_handle_new(struct pdc_object *o)
{
	uintptr_t value = 0;
	struct entry *e;
	uint32_t index;

	pthread_mutex_lock(&table.lock);
	index = table_take_index();
	if (index != 0) {
		table.generation = (table.generation + 1) & GENERATION_MAX;
		e = &table.entries[index];
		e->object = o;
		e->generation = table.generation;
		pdc_object_ref(o);
		table.live++;
		value = (uintptr_t)(table.generation << (INDEX_BITS + 2) |
			(uint64_t)index << 2);
	}
	pthread_mutex_unlock(&table.lock);
	return (HANDLE)value;
}

static struct entry *
table_find(HANDLE h, enum pdc_kind kind)
{
	uint64_t value = (uintptr_t)h;
	uint64_t index = value >> 2 & INDEX_MAX;
	struct entry *e;

	if (index == 0 || index >= table.len)
		return NULL;
	e = &table.entries[index];
	if (e->object == NULL || e->object->kind != kind ||
		e->generation != value >> (INDEX_BITS + 2))
		return NULL;
	return e;
}

struct pdc_object *
pdc_handle_get(HANDLE h, enum pdc_kind kind)
{
	struct pdc_object *o = NULL;
	struct entry *e;

	pthread_mutex_lock(&table.lock);
	e = table_find(h, kind);
	if (e != NULL) {
		o = e->object;
		pdc_object_ref(o);
	}
	pthread_mutex_unlock(&table.lock);
	return o;
}

struct pdc_object *
pdc_handle_close(HANDLE h, enum pdc_kind kind)
{
	struct pdc_object *o = NULL;
	struct entry *e;

	pthread_mutex_lock(&table.lock);
	e = table_find(h, kind);
	if (e != NULL) {
		o = e->object;
		e->object = NULL;
		e->next_free = table.first_free;
		table.first_free = (uint32_t)(e - table.entries);
		table.live--;
	}
	pthread_mutex_unlock(&table.lock);
	return o;
}

size_t
pdc_handle_count(void)
{
	size_t n;

	pthread_mutex_lock(&table.lock);
	n = table.live;
	pthread_mutex_unlock(&table.lock);
	return n;
}

/* Another thread of the parent may have been inside the table: nothing of it
 * is looked at, its memory is given up. */
void
pdc_handle_forget_all(void)
{
	pthread_mutex_init(&table.lock, NULL);
	table.entries = NULL;
	table.len = 1;
	table.cap = 0;
	table.first_free = 0;
	table.live = 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an operation ends.  The order matters, because from step 3 on the caller
 * may free the OVERLAPPED, and from step 5 on he will:
 *
 *   1  the address leaves the table, so that it may be used again; whoever
 *	waits for the result holds the record itself
 *   2  output structure and offset are written
 *   3  InternalHigh, then Internal with release semantics
 *   4  the result is copied into the record and its waiters are woken
 *   5  the event is set, through a reference taken at the start
 *   6  the packet, which lies in the record, is queued
 *   7  references are dropped
 *
 * Steps 1 to 4 are one critical section of the table: who asks for a result
 * either finds the record or sees a finished OVERLAPPED, never something
 * between.  The table is cut into shards by address, each with its own lock;
 * open addressing, entries are moved back when one is removed.
 */
#include "libclient/pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "libclient/conn.h"
#include "libclient/result.h"
#include "libclient/slab.h"
#include "libclient/util.h"
#include "proto/ipc_msg.h"

#define SHARDS        16u
#define SHARD_SHIFT   60 /* the hash's upper bits */
#define SHARD_MIN_CAP 16u
#define NO_SLOT       UINT32_MAX

/* Of a million records each is a cache miss.  So what a search needs stands
 * beside them, two cells in a cache line: a cancel is sent without a look at
 * the record, which comes near meanwhile. */
struct cell {
	const OVERLAPPED *ov; /* NULL: empty */
	struct pdc_pending *pending;
	const void *owner;
	uint64_t id; /* 0: not sent */
};

struct shard {
	pthread_mutex_t lock;
	struct cell *cells;
	size_t cap; /* a power of 2, or 0 */
	size_t used;
};

static struct shard shards[SHARDS] = {
	[0 ... SHARDS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};

static struct pdc_slab records = PDC_SLAB_INIT(sizeof(struct pdc_pending));

static uint64_t
address_hash(const OVERLAPPED *ov)
{
	return (uint64_t)(uintptr_t)ov * UINT64_C(0x9E3779B97F4A7C15);
}

static struct shard *
shard_of(const OVERLAPPED *ov)
{
	return &shards[address_hash(ov) >> SHARD_SHIFT];
}

static size_t
cell_home(const struct shard *s, const OVERLAPPED *ov)
{
	return (size_t)(address_hash(ov) >> 20) & (s->cap - 1);
}

/* The cell of this address, or the empty one where it would go. */
static size_t
cell_find(const struct shard *s, const OVERLAPPED *ov)
{
	size_t i = cell_home(s, ov);

	while (s->cells[i].ov != NULL && s->cells[i].ov != ov)
		i = (i + 1) & (s->cap - 1);
	return i;
}

static struct pdc_pending *
shard_find(const struct shard *s, const OVERLAPPED *ov)
{
	return s->cap > 0 ? s->cells[cell_find(s, ov)].pending : NULL;
}

static bool
shard_grow(struct shard *s)
{
	struct shard bigger = {.cap = MAX_OF(s->cap * 2, SHARD_MIN_CAP)};

	if (s->used * 2 < s->cap)
		return true;
	bigger.cells = pdc_table_new(bigger.cap * sizeof(*bigger.cells));
	if (bigger.cells == NULL)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->cells[i].ov != NULL)
			bigger.cells[cell_find(&bigger, s->cells[i].ov)] =
				s->cells[i];
	pdc_table_free(s->cells, s->cap * sizeof(*s->cells));
	s->cells = bigger.cells;
	s->cap = bigger.cap;
	return true;
}

static void
shard_remove(struct shard *s, const OVERLAPPED *ov)
{
	size_t hole = cell_find(s, ov), mask = s->cap - 1, i, home;

	assert(s->cells[hole].ov != NULL);
	s->cells[hole] = (struct cell){0};
	s->used--;
	for (i = (hole + 1) & mask; s->cells[i].ov != NULL;
		i = (i + 1) & mask) {
		home = cell_home(s, s->cells[i].ov);
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		s->cells[hole] = s->cells[i];
		s->cells[i] = (struct cell){0};
		hole = i;
	}
}

static void
overlapped_mark(OVERLAPPED *ov, ULONG_PTR internal, DWORD bytes)
{
	ov->InternalHigh = bytes;
	__atomic_store_n(&ov->Internal, internal, __ATOMIC_RELEASE);
}

static void
pending_packet_done(struct pdc_packet *packet)
{
	pdc_pending_unref(container_of(packet, struct pdc_pending, packet));
}

void
pdc_pending_ref(struct pdc_pending *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

void
pdc_pending_unref(struct pdc_pending *p)
{
	if (p == NULL)
		return;
	if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	pdc_event_unref(p->event);
	pdc_port_unref(p->port);
	pdc_slab_put(&records, p);
}

/* Enters the record under its address and marks the OVERLAPPED. */
static DWORD
pending_enter(struct pdc_pending *p)
{
	struct shard *s = shard_of(p->ov);
	DWORD code = ERROR_SUCCESS;

	pthread_mutex_lock(&s->lock);
	if (shard_find(s, p->ov) != NULL) {
		code = ERROR_INVALID_PARAMETER;
	} else if (!shard_grow(s)) {
		code = ERROR_NOT_ENOUGH_MEMORY;
	} else {
		s->cells[cell_find(s, p->ov)] =
			(struct cell){p->ov, p, p->owner, 0};
		s->used++;
		overlapped_mark(p->ov, PDC_INTERNAL_PENDING, 0);
	}
	pthread_mutex_unlock(&s->lock);
	return code;
}

static DWORD
pending_get_event(struct pdc_pending *p, HANDLE handle)
{
	uintptr_t value = (uintptr_t)handle;

	p->quiet = value & 1;
	value &= ~(uintptr_t)1;
	if (value == 0)
		return ERROR_SUCCESS;
	p->event = pdc_event_get((HANDLE)value);
	return p->event != NULL ? ERROR_SUCCESS : ERROR_INVALID_HANDLE;
}

DWORD
pdc_pending_new(struct pdc_pending **ret_pending, const void *owner,
	OVERLAPPED *ov, enum pdc_pending_kind kind, struct pdc_port *port,
	ULONG_PTR key)
{
	struct pdc_pending *p = pdc_slab_get(&records);
	DWORD code;

	if (p == NULL)
		return pdc_pending_refuse_early(ov, ERROR_NOT_ENOUGH_MEMORY);
	atomic_init(&p->refs, 1);
	atomic_init(&p->done, 0);
	p->owner = owner;
	p->ov = ov;
	p->kind = kind;
	p->packet.key = key;
	p->packet.ov = ov;
	p->packet.done = pending_packet_done;
	if (port != NULL) {
		pdc_object_ref(&port->object);
		p->port = port;
	}
	code = pending_enter(p);
	if (code != ERROR_SUCCESS) {
		pdc_pending_unref(p);
		/* One in use may complete just now; then it must keep that. */
		if (code != ERROR_INVALID_PARAMETER)
			pdc_pending_refuse_early(ov, code);
		return code;
	}
	code = pending_get_event(p, ov->hEvent);
	if (code != ERROR_SUCCESS) {
		pdc_pending_refuse(p, code);
		return code;
	}
	if (p->event != NULL)
		pdc_event_reset(p->event);
	*ret_pending = p;
	return ERROR_SUCCESS;
}

static void
pending_write_status(struct pdc_pending *p)
{
	if (p->u.status.status != NULL) {
		*p->u.status.status = (PEERDIST_STATUS)p->u.status.value[0];
	} else {
		p->u.status.info->status =
			(PEERDIST_STATUS)p->u.status.value[0];
		p->u.status.info->dwMinVer = p->u.status.value[1];
		p->u.status.info->dwMaxVer = p->u.status.value[2];
	}
}

static void
pending_settle(struct pdc_pending *p, DWORD code, DWORD bytes)
{
	p->code = code;
	p->bytes = bytes;
	p->packet.internal = pdc_internal_of_result(code);
	p->packet.bytes = bytes;
	overlapped_mark(p->ov, p->packet.internal, bytes);
	pdc_latch_open(&p->done);
}

void
pdc_pending_deliver(struct pdc_pending *p, const struct pdc_outcome *o)
{
	struct shard *s = shard_of(p->ov);

	pthread_mutex_lock(&s->lock);
	shard_remove(s, p->ov);
	if (p->kind == PDC_STATUS && o->code == ERROR_SUCCESS)
		pending_write_status(p);
	if (o->has_offset) {
		p->ov->Offset = (DWORD)o->offset;
		p->ov->OffsetHigh = (DWORD)(o->offset >> 32);
	}
	pending_settle(p, o->code, o->bytes);
	pthread_mutex_unlock(&s->lock);

	if (p->event != NULL)
		pdc_event_set(p->event);
	if (p->port != NULL && !p->quiet)
		pdc_port_post(p->port, &p->packet); /* takes the reference */
	else
		pdc_pending_unref(p);
}

void
pdc_pending_refuse(struct pdc_pending *p, DWORD code)
{
	struct shard *s = shard_of(p->ov);

	pthread_mutex_lock(&s->lock);
	shard_remove(s, p->ov);
	pending_settle(p, code, 0);
	pthread_mutex_unlock(&s->lock);
	pdc_pending_unref(p);
}

DWORD
pdc_pending_refuse_early(OVERLAPPED *ov, DWORD code)
{
	struct shard *s;

	if (ov == NULL)
		return code;
	s = shard_of(ov);
	pthread_mutex_lock(&s->lock);
	if (shard_find(s, ov) == NULL)
		overlapped_mark(ov, pdc_internal_of_result(code), 0);
	pthread_mutex_unlock(&s->lock);
	return code;
}

void
pdc_pending_sent(struct pdc_pending *p, struct pdc_link *l)
{
	struct shard *s = shard_of(p->ov);

	pthread_mutex_lock(&s->lock);
	atomic_store(&p->link, l);
	s->cells[cell_find(s, p->ov)].id = p->id;
	pthread_mutex_unlock(&s->lock);
}

void
pdc_pending_expect(OVERLAPPED *ov)
{
	struct shard *s = shard_of(ov);

	pthread_mutex_lock(&s->lock);
	if (s->cap > 0)
		__builtin_prefetch(&s->cells[cell_home(s, ov)], 1);
	__builtin_prefetch(ov, 1);
	pthread_mutex_unlock(&s->lock);
}

uint64_t
pdc_pending_id(OVERLAPPED *ov, const void *owner)
{
	struct shard *s = shard_of(ov);
	uint64_t id = PDC_ID_NONE;
	struct cell *cell;

	pthread_mutex_lock(&s->lock);
	if (s->cap > 0) {
		cell = &s->cells[cell_find(s, ov)];
		if (cell->ov != NULL && cell->owner == owner && cell->id != 0) {
			id = cell->id;
			/* It is asked for because the operation shall end. */
			__builtin_prefetch(cell->pending, 1);
			__builtin_prefetch(&cell->pending->packet, 1);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return id;
}

struct pdc_pending *
pdc_pending_find(OVERLAPPED *ov)
{
	struct shard *s = shard_of(ov);
	struct pdc_pending *p;

	pthread_mutex_lock(&s->lock);
	p = shard_find(s, ov);
	if (p != NULL)
		pdc_pending_ref(p);
	pthread_mutex_unlock(&s->lock);
	return p;
}

/* As long as a record is in the table, its connection has not ended what was
 * pending on it, and so is there. */
struct pdc_pending *
pdc_pending_find_sent(OVERLAPPED *ov, struct pdc_link **ret_link)
{
	struct shard *s = shard_of(ov);
	struct pdc_pending *p;

	pthread_mutex_lock(&s->lock);
	p = shard_find(s, ov);
	*ret_link = p != NULL ? atomic_load(&p->link) : NULL;
	if (*ret_link != NULL) {
		pdc_pending_ref(p);
		atomic_fetch_add(&(*ret_link)->refs, 1);
	}
	pthread_mutex_unlock(&s->lock);
	return *ret_link != NULL ? p : NULL;
}

bool
pdc_pending_is_done(struct pdc_pending *p)
{
	return atomic_load_explicit(&p->done, memory_order_acquire) == 1;
}

/* The result as the OVERLAPPED shows it; false while it is pending. */
static bool
overlapped_result(OVERLAPPED *ov, DWORD *ret_code, DWORD *ret_bytes)
{
	ULONG_PTR internal = __atomic_load_n(&ov->Internal, __ATOMIC_ACQUIRE);

	*ret_code = pdc_result_of_internal(internal);
	if ((DWORD)internal == PDC_INTERNAL_PENDING)
		return false;
	*ret_bytes = (DWORD)ov->InternalHigh;
	return true;
}

DWORD
pdc_pending_result(
	OVERLAPPED *ov, DWORD timeout_ms, DWORD *ret_bytes, bool *ret_complete)
{
	struct pdc_pending *p = pdc_pending_find(ov);
	DWORD code;

	if (p == NULL) {
		*ret_complete = overlapped_result(ov, &code, ret_bytes);
		return code;
	}
	pdc_attend_begin();
	*ret_complete = timeout_ms != 0 &&
		pdc_latch_wait(&p->done, pdc_deadline_us(timeout_ms));
	pdc_attend_end();
	if (*ret_complete) {
		code = p->code;
		*ret_bytes = p->bytes;
	} else {
		code = timeout_ms == 0 ? ERROR_IO_INCOMPLETE : WAIT_TIMEOUT;
	}
	pdc_pending_unref(p);
	return code;
}

void
pdc_pending_forget_all(void)
{
	pdc_slab_forget(&records);
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&shards[i].lock, NULL);
		shards[i].cells = NULL;
		shards[i].cap = 0;
		shards[i].used = 0;
	}
}

void
pdc_slots_init(struct pdc_slots *t, uint32_t max)
{
	pthread_mutex_init(&t->lock, NULL);
	t->slots = NULL;
	t->len = 0;
	t->cap = 0;
	t->max = max;
	t->first_free = NO_SLOT;
}

void
pdc_slots_done(struct pdc_slots *t)
{
	pdc_table_free(t->slots, t->cap * sizeof(*t->slots));
	t->slots = NULL;
	pthread_mutex_destroy(&t->lock);
}

static bool
slots_grow(struct pdc_slots *t)
{
	uint32_t cap = t->cap == 0 ? 32 : t->cap * 2;
	struct pdc_slot *grown = pdc_table_new(cap * sizeof(*grown));

	if (grown == NULL)
		return false;
	if (t->len > 0)
		memcpy(grown, t->slots, t->len * sizeof(*grown));
	pdc_table_free(t->slots, t->cap * sizeof(*grown));
	t->slots = grown;
	t->cap = cap;
	return true;
}

/* A free slot, or NULL with the reason. */
static struct pdc_slot *
slots_take(struct pdc_slots *t, DWORD *ret_code)
{
	uint32_t slot = t->first_free;

	if (slot != NO_SLOT) {
		t->first_free = t->slots[slot].next_free;
		return &t->slots[slot];
	}
	if (t->len >= t->max) {
		*ret_code = ERROR_NO_SYSTEM_RESOURCES;
		return NULL;
	}
	if (t->len == t->cap && !slots_grow(t)) {
		*ret_code = ERROR_NOT_ENOUGH_MEMORY;
		return NULL;
	}
	t->slots[t->len].generation = 0;
	return &t->slots[t->len++];
}

DWORD
pdc_slots_enter(struct pdc_slots *t, struct pdc_pending *p)
{
	DWORD code = ERROR_SUCCESS;
	struct pdc_slot *s;

	pthread_mutex_lock(&t->lock);
	s = slots_take(t, &code);
	if (s != NULL) {
		s->generation++;
		s->pending = p;
		p->id = ipc_op_id((uint32_t)(s - t->slots), s->generation);
	}
	pthread_mutex_unlock(&t->lock);
	return code;
}

static struct pdc_slot *
slots_find(struct pdc_slots *t, uint64_t id)
{
	uint32_t slot = ipc_op_slot(id);

	if (slot >= t->len || t->slots[slot].pending == NULL ||
		t->slots[slot].pending->id != id)
		return NULL;
	return &t->slots[slot];
}

static struct pdc_pending *
slots_release(struct pdc_slots *t, struct pdc_slot *s)
{
	struct pdc_pending *p = s->pending;

	s->pending = NULL;
	/* An id is never repeated: a slot that had them all stays unused. */
	if (s->generation < UINT32_MAX) {
		s->next_free = t->first_free;
		t->first_free = (uint32_t)(s - t->slots);
	}
	return p;
}

void
pdc_slots_expect(struct pdc_slots *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	if (ipc_op_slot(id) < t->len)
		__builtin_prefetch(&t->slots[ipc_op_slot(id)], 1);
	pthread_mutex_unlock(&t->lock);
}

struct pdc_pending *
pdc_slots_find(struct pdc_slots *t, uint64_t id)
{
	struct pdc_pending *p;
	struct pdc_slot *s;

	pthread_mutex_lock(&t->lock);
	s = slots_find(t, id);
	p = s != NULL ? s->pending : NULL;
	pthread_mutex_unlock(&t->lock);
	return p;
}

struct pdc_pending *
pdc_slots_claim(struct pdc_slots *t, uint64_t id)
{
	struct pdc_pending *p;
	struct pdc_slot *s;

	pthread_mutex_lock(&t->lock);
	s = slots_find(t, id);
	p = s != NULL ? slots_release(t, s) : NULL;
	pthread_mutex_unlock(&t->lock);
	return p;
}

struct pdc_pending *
pdc_slots_claim_next(struct pdc_slots *t, uint32_t *pos)
{
	struct pdc_pending *p = NULL;
	struct pdc_slot *s;

	pthread_mutex_lock(&t->lock);
	while (p == NULL && *pos < t->len) {
		s = &t->slots[(*pos)++];
		if (s->pending != NULL && s->pending->accepted)
			p = slots_release(t, s);
	}
	pthread_mutex_unlock(&t->lock);
	return p;
}

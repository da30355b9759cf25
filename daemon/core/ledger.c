/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments by id in a hash table of fixed size, and all of them on one list in
 * order of last use: at SEGMENTS_MOST the oldest record becomes the new one.
 * Blocks come in runs of one segment, so the newest record is looked at first.
 * Who gave blocks is kept apart, since most segments come from applications.
 */
#include "daemon/core/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/service_internal.h"

#define SEGMENTS_MOST 4096u
#define CAUSE_MS      60000u
#define BUCKETS       8192u

struct entry {
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) age;
	uint8_t id[STORE_ID_MAX];
	size_t id_len;
	uint64_t at_ms;
	uint32_t from_application;
	uint32_t from_peers;
	uint32_t asked;
	uint32_t answers;
	enum ledger_trouble trouble;
	uint64_t trouble_ms;
	bool has_addr;
	size_t n_sources;
	struct ledger_source *sources; /* LEDGER_SOURCES, the latest first */
	struct parse_addr addr;
};

TAILQ_HEAD(entry_list, entry);

struct ledger {
	struct service *service;
	size_t n;
	uint64_t seed[2];
	struct entry_list by_age; /* the newest first */
	LIST_HEAD(chain, entry) buckets[BUCKETS];
};

struct ledger *
ledger_new(struct service *svc)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->service = svc;
	svc->env->ops->random(svc->env->ctx, l->seed, sizeof(l->seed));
	TAILQ_INIT(&l->by_age);
	return l;
}

struct ledger *
ledger_free(struct ledger *l)
{
	struct entry *e;

	if (l == NULL)
		return NULL;
	while ((e = TAILQ_FIRST(&l->by_age)) != NULL) {
		TAILQ_REMOVE(&l->by_age, e, age);
		free(e->sources);
		free(e);
	}
	free(l);
	return NULL;
}

static bool
is_id(const struct entry *e, const uint8_t *id, size_t id_len)
{
	return e->id_len == id_len && memcmp(e->id, id, id_len) == 0;
}

/* Ids are results of a keyed hash, but users choose the keys: the seed keeps
 * them from filling one chain. */
static struct chain *
chain_of(struct ledger *l, const uint8_t *id)
{
	uint64_t h;

	memcpy(&h, id, sizeof(h));
	h = (h ^ l->seed[0]) * (l->seed[1] | 1);
	return &l->buckets[(h >> 32) % BUCKETS];
}

static struct entry *
find(struct ledger *l, const uint8_t *id, size_t id_len)
{
	struct entry *e = TAILQ_FIRST(&l->by_age);

	if (e == NULL || is_id(e, id, id_len))
		return e;
	LIST_FOREACH (e, chain_of(l, id), chain)
		if (is_id(e, id, id_len))
			return e;
	return NULL;
}

/* An empty record that is on no list. */
static struct entry *
entry_make(struct ledger *l)
{
	struct entry *e = NULL;

	if (l->n < SEGMENTS_MOST && (e = malloc(sizeof(*e))) != NULL)
		l->n++;
	else if ((e = TAILQ_LAST(&l->by_age, entry_list)) != NULL) {
		TAILQ_REMOVE(&l->by_age, e, age);
		LIST_REMOVE(e, chain);
		free(e->sources);
	}
	if (e != NULL)
		memset(e, 0, sizeof(*e));
	return e;
}

/* The segment's record, the newest now, made if there is none.  NULL: no
 * memory. */
static struct entry *
entry_get(struct ledger *l, const uint8_t *id, size_t id_len)
{
	struct entry *e;

	if (id_len > STORE_ID_MAX || id_len < sizeof(uint64_t))
		return NULL;
	e = find(l, id, id_len);
	if (e == NULL) {
		e = entry_make(l);
		if (e == NULL)
			return NULL;
		memcpy(e->id, id, id_len);
		e->id_len = id_len;
		LIST_INSERT_HEAD(chain_of(l, id), e, chain);
		TAILQ_INSERT_HEAD(&l->by_age, e, age);
	} else if (e != TAILQ_FIRST(&l->by_age)) {
		TAILQ_REMOVE(&l->by_age, e, age);
		TAILQ_INSERT_HEAD(&l->by_age, e, age);
	}
	e->at_ms = service_now_ms(l->service);
	return e;
}

static bool
same_addr(const struct parse_addr *a, const struct parse_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

/* Moves the source to the front, made if need be. */
static void
source_count(struct entry *e, const struct parse_addr *addr)
{
	struct ledger_source mine = {.addr = *addr};
	size_t i = 0;

	while (i < e->n_sources && !same_addr(&e->sources[i].addr, addr))
		i++;
	if (i < e->n_sources)
		mine = e->sources[i];
	else if (i < LEDGER_SOURCES)
		e->n_sources++;
	else
		i--;
	memmove(&e->sources[1], &e->sources[0], i * sizeof(e->sources[0]));
	mine.blocks++;
	e->sources[0] = mine;
}

void
ledger_block_from_peer(struct ledger *l, const uint8_t *id, size_t id_len,
	const struct parse_addr *addr)
{
	struct entry *e = entry_get(l, id, id_len);

	if (e == NULL)
		return;
	e->from_peers++;
	e->trouble = LEDGER_FINE;
	if (e->sources == NULL)
		e->sources = calloc(LEDGER_SOURCES, sizeof(e->sources[0]));
	if (e->sources == NULL)
		return;
	if (e->n_sources > 0 && same_addr(&e->sources[0].addr, addr))
		e->sources[0].blocks++;
	else
		source_count(e, addr);
}

void
ledger_block_from_application(
	struct ledger *l, const uint8_t *id, size_t id_len)
{
	struct entry *e = entry_get(l, id, id_len);

	if (e == NULL)
		return;
	e->from_application++;
	e->trouble = LEDGER_FINE;
}

void
ledger_discovered(
	struct ledger *l, const uint8_t *id, size_t id_len, uint32_t answers)
{
	struct entry *e = entry_get(l, id, id_len);

	if (e == NULL)
		return;
	e->asked++;
	e->answers = answers;
}

void
ledger_trouble(struct ledger *l, const uint8_t *id, size_t id_len,
	enum ledger_trouble trouble, const struct parse_addr *addr)
{
	struct entry *e = entry_get(l, id, id_len);

	if (e == NULL)
		return;
	/* That nobody is left follows from what the last one did. */
	if (addr == NULL && e->trouble != LEDGER_FINE && e->has_addr &&
		e->at_ms - e->trouble_ms < CAUSE_MS)
		return;
	e->trouble = trouble;
	e->trouble_ms = e->at_ms;
	e->has_addr = addr != NULL;
	if (addr != NULL)
		e->addr = *addr;
}

bool
ledger_find(struct ledger *l, const uint8_t *id, size_t id_len,
	struct ledger_view *ret)
{
	const struct entry *e;

	if (id_len > STORE_ID_MAX || id_len < sizeof(uint64_t))
		return false;
	e = find(l, id, id_len);
	if (e == NULL)
		return false;
	*ret = (struct ledger_view){
		.from_application = e->from_application,
		.from_peers = e->from_peers,
		.n_sources = e->n_sources,
		.asked = e->asked,
		.answers = e->answers,
		.trouble = e->trouble,
		.has_addr = e->trouble != LEDGER_FINE && e->has_addr,
		.addr = e->addr,
		.age_ms = service_now_ms(l->service) - e->at_ms,
	};
	if (e->n_sources > 0)
		memcpy(ret->sources, e->sources,
			e->n_sources * sizeof(e->sources[0]));
	return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks for published files, and everything that may happen meanwhile, in random
 * order: no ask is forgotten or told twice, nobody gets bytes of another file,
 * and nothing is left behind. */
#include "tests/unit/hashed_util.h"

#define FILES  5u
#define ASKS   12u
#define STEPS  400u
#define ROUNDS 60u

enum what {
	ASK,
	ASK_MORE,
	GIVE_BACK,
	WORK,
	WORK_MORE,
	PUBLISH,
	TAKE_BACK,
	NO_MEMORY,
	MEMORY,
	STOP,
	_WHAT_MAX,
};

struct slot {
	struct asked a;
	unsigned file;
	bool used, waits, lent;
};

struct chaos {
	struct script x;
	struct stat st[FILES];
	struct slot slots[ASKS];
};

static unsigned
below(unsigned n)
{
	return (unsigned)rand() % n;
}

static void
check_lent(struct slot *s)
{
	const struct hashed_ask *ask = &s->a.ask;

	s->lent = true;
	assert_true(ask->len > 0 && ask->len <= HASHED_CACHE_MAX);
	assert_true(ask->versions & (ask->version == 1 ? V1 : V2));
	/* The last is a block's hash. */
	if (ask->version == 1)
		assert_int_equal(ask->bytes[ask->len - 1], s->file + 1);
}

static void
ask(struct chaos *c)
{
	struct slot *s = &c->slots[below(ASKS)];
	const struct stat *st;
	uint64_t size, offset = 0, length;
	enum hashed_result r;

	if (s->used)
		return;
	*s = (struct slot){.file = below(FILES), .used = true};
	st = &c->st[s->file];
	size = length = (uint64_t)st->st_size;
	if (below(3) == 0) {
		offset = (uint64_t)rand() % size;
		length = 1 + (uint64_t)rand() * 1000 % (size - offset);
	}
	r = get_part(&c->x, st, &s->a, 1 + below(3), offset, length);
	assert_int_equal(s->a.told, 0);
	s->waits = r == HASHED_LATER;
	assert_true((r == HASHED_OK) == (s->a.ask.bytes != NULL));
	if (r == HASHED_OK)
		check_lent(s);
	else
		s->used = s->waits;
}

static void
give_back(struct slot *s)
{
	if (!s->used)
		return;
	if (!s->lent && !s->waits)
		assert_int_equal(s->a.told, 1);
	hashed_give_back(&s->a.ask);
	/* Nobody looks at it any more. */
	memset(s, 0x5a, sizeof(*s));
	s->used = false;
}

static void
look(struct chaos *c)
{
	for (unsigned i = 0; i < ASKS; i++) {
		struct slot *s = &c->slots[i];

		if (!s->used || !s->waits || s->a.told == 0)
			continue;
		assert_int_equal(s->a.told, 1);
		assert_true(s->a.result != HASHED_LATER);
		s->waits = false;
		if (s->a.result == HASHED_OK)
			check_lent(s);
	}
}

static void
put_done(struct hash_put *p)
{
	free((void *)p->entry.label);
	free((void *)p->entry.hashes);
	free(p);
}

/* In the middle of everything else. */
static void
publish_one(struct chaos *c, unsigned i)
{
	struct hash_put *p = calloc(1, sizeof(*p));
	struct hash_entry *e = &p->entry;
	char *label = NULL;

	e->uid = below(2) ? OWNER : SELF;
	e->versions = 1 + below(3);
	e->label_len = (size_t)asprintf(&label, "/%u/%u", i, e->uid);
	e->label = (const uint8_t *)label;
	e->hashes = fake_packed((uint64_t)c->st[i].st_size, e->versions,
		(uint8_t)(i + 1), &e->hashes_len);
	standing_file(&c->st[i], &e->file);
	p->done = put_done;
	c->x.hashes->ops->put(c->x.hashes, p);
}

static bool
take_any(const struct hash_entry *e, void *ctx)
{
	*(uint64_t *)ctx = e->id;
	return below(3) != 0;
}

static void
stop(struct script *x)
{
	static uint8_t key[] = "key 0";

	switch (below(3)) {
	case 0:
		service_ready(x->service, false);
		service_ready(x->service, true);
		break;
	case 1:
		key[4]++;
		assert_int_equal(
			service_set_key(x->service, key, sizeof(key)), 0);
		break;
	default:
		x->settings.preferred_content_version = 1 + below(2);
		assert_int_equal(
			service_configure(x->service, &x->settings), 0);
	}
}

static void
step(struct chaos *c)
{
	struct script *x = &c->x;
	uint64_t id = 0;

	switch ((enum what)below(_WHAT_MAX)) {
	case ASK:
	case ASK_MORE:
		ask(c);
		break;
	case GIVE_BACK:
		give_back(&c->slots[below(ASKS)]);
		break;
	case WORK:
	case WORK_MORE:
		if (x->n_jobs > 0)
			script_job(x, below((unsigned)x->n_jobs));
		break;
	case PUBLISH:
		failalloc_disarm();
		publish_one(c, below(FILES));
		break;
	case TAKE_BACK:
		x->hashes->ops->each(x->hashes, 0, take_any, &id);
		if (id != 0)
			standing_drop(x->service, id);
		break;
	case NO_MEMORY:
		failalloc_arm(1 + below(8));
		break;
	case STOP:
		failalloc_disarm();
		if (below(4) == 0)
			stop(x);
		break;
	default:
		failalloc_disarm();
		break;
	}
	look(c);
	assert_true(view_of(x).cached_bytes <= HASHED_MEMORY_MAX);
}

static void
test_chaos(void **state)
{
	static const uint64_t sizes[FILES] = {
		200000, 40 * MIB, 700 * MIB, 2 * GIB, 70 * MIB + 1};
	static struct chaos c;

	for (unsigned round = 0; round < ROUNDS; round++) {
		srand(round);
		memset(&c, 0, sizeof(c));
		hashed_init(&c.x);
		for (unsigned i = 0; i < FILES; i++)
			c.st[i] = fake_stat(i + 1, sizes[i]);
		for (unsigned i = 0; i < STEPS; i++)
			step(&c);
		failalloc_disarm();
		script_settle(&c.x);
		look(&c);
		for (unsigned i = 0; i < ASKS; i++) {
			assert_false(c.slots[i].used && c.slots[i].waits);
			give_back(&c.slots[i]);
		}
		service_ready(c.x.service, false);
		assert_int_equal(view_of(&c.x).cached_bytes, 0);
		script_done(&c.x);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chaos),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of hashed*.c share: asks that are followed, and files that are
 * in the hash store only. */
#ifndef TESTS_HASHED_UTIL_H
#define TESTS_HASHED_UTIL_H

#include "daemon/core/hashed_priv.h"
#include "tests/unit/standing_util.h"

#define OWNER 1000u /* of files, and the uid of the script's session */
#define OTHER 2000u
#define SELF  3000u /* the service */
#define MIB   (UINT64_C(1) << 20)
#define GIB   (UINT64_C(1) << 30)

#define PACKED_HEADER 10u
#define PACKED_BLOCK  32u
#define PACKED_PIECE  36u

struct asked {
	struct hashed_ask ask;
	unsigned told;
	enum hashed_result result;
};

static inline void
hashed_done(struct hashed_ask *ask, enum hashed_result r)
{
	struct asked *a = container_of(ask, struct asked, ask);

	a->told++;
	a->result = r;
	assert_true((r == HASHED_OK) == (ask->bytes != NULL));
}

static inline void
hashed_init(struct script *x)
{
	init(x);
	x->service->hashed->uid = SELF;
}

static inline struct stat
stat_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	st.st_uid = OWNER;
	return st;
}

static inline enum hashed_result
get_part(struct script *x, const struct stat *st, struct asked *a,
	unsigned versions, uint64_t offset, uint64_t length)
{
	/* Nothing of what was there before may matter. */
	memset(a, 0xa5, sizeof(*a));
	a->told = 0;
	a->ask.versions = versions;
	a->ask.offset = offset;
	a->ask.length = length;
	a->ask.done = hashed_done;
	return hashed_get(x->service, st, &a->ask);
}

static inline enum hashed_result
get(struct script *x, const struct stat *st, struct asked *a)
{
	return get_part(x, st, a, BOTH, 0, (uint64_t)st->st_size);
}

/* To the end. */
static inline enum hashed_result
got_part(struct script *x, const struct stat *st, struct asked *a,
	unsigned versions, uint64_t offset, uint64_t length)
{
	enum hashed_result r = get_part(x, st, a, versions, offset, length);

	if (r != HASHED_LATER) {
		assert_true((r == HASHED_OK) == (a->ask.bytes != NULL));
		return r;
	}
	assert_int_equal(a->told, 0);
	script_settle(x);
	assert_int_equal(a->told, 1);
	return a->result;
}

static inline enum hashed_result
got(struct script *x, const struct stat *st, struct asked *a)
{
	return got_part(x, st, a, BOTH, 0, (uint64_t)st->st_size);
}

/* Asks for nothing but the result. */
static inline enum hashed_result
result_of(struct script *x, const struct stat *st, unsigned versions)
{
	struct asked a;
	enum hashed_result r =
		got_part(x, st, &a, versions, 0, (uint64_t)st->st_size);

	hashed_give_back(&a.ask);
	return r;
}

static inline struct hashed_view
view_of(struct script *x)
{
	struct hashed_view v;

	hashed_view(x->service, &v);
	return v;
}

/* A file that is nowhere. */
static inline struct stat
fake_stat(unsigned number, uint64_t size)
{
	return (struct stat){
		.st_dev = 77,
		.st_ino = number,
		.st_size = (off_t)size,
		.st_mode = S_IFREG | 0644,
		.st_nlink = 1,
		.st_uid = OWNER,
		.st_mtim = {1000, number},
		.st_ctim = {1000, number},
	};
}

static inline void
fake_done(struct hash_put *p)
{
	assert_int_equal(p->status, STORE_OK);
}

/* A description of this size whose hashes are all one byte; pieces of version 2
 * have 64 KiB. */
static inline uint8_t *
fake_packed(uint64_t size, unsigned versions, uint8_t byte, size_t *ret_len)
{
	size_t n = (size_t)((size + 65535) / 65536), at = PACKED_HEADER;
	size_t len = PACKED_HEADER + (versions & V1 ? n * PACKED_BLOCK : 0) +
		(versions & V2 ? n * PACKED_PIECE : 0);
	uint8_t *p = malloc(len);

	memset(p, byte, len);
	p[0] = 1;
	p[1] = (uint8_t)versions;
	for (int i = 0; i < 8; i++)
		p[2 + i] = (uint8_t)(size >> 8 * i);
	if (versions & V1)
		at += n * PACKED_BLOCK;
	for (size_t i = 0; i < n && versions & V2; i++, at += PACKED_PIECE) {
		uint32_t piece =
			i + 1 < n ? 65536 : (uint32_t)(size - i * 65536);

		for (int k = 0; k < 4; k++)
			p[at + (size_t)k] = (uint8_t)(piece >> 8 * k);
	}
	*ret_len = len;
	return p;
}

/* Such a file, published. */
static inline uint64_t
fake(struct script *x, const struct stat *st, uint32_t uid, unsigned versions,
	uint8_t byte)
{
	struct hash_put put = {.done = fake_done};
	struct hash_entry *e = &put.entry;
	char label[64];
	uint8_t *packed;

	packed = fake_packed(
		(uint64_t)st->st_size, versions, byte, &e->hashes_len);
	snprintf(label, sizeof(label), "/%u/%ju", byte, (uintmax_t)st->st_ino);
	e->uid = uid;
	e->versions = versions;
	e->label = (const uint8_t *)label;
	e->label_len = strlen(label);
	e->hashes = packed;
	standing_file(st, &e->file);
	x->hashes->ops->put(x->hashes, &put);
	script_settle(x);
	free(packed);
	return e->id;
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* A user exists while somebody holds it; what is counted is always counted by
 * a holder, so the counts are zero when the last one lets go. */
#include "daemon/core/quota.h"

#include <assert.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct quota_user {
	uint32_t uid;
	unsigned refs;
	uint64_t used[_QUOTA_MAX];
	struct quota_table *table;
	UT_hash_handle hh;
};

struct quota_table {
	struct quota_user *users;
	struct quota_limits limits;
	uint64_t refused[_QUOTA_MAX];
};

struct quota_table *
quota_new(const struct quota_limits *limits)
{
	struct quota_table *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->limits = *limits;
	return t;
}

struct quota_table *
quota_free(struct quota_table *t)
{
	if (t == NULL)
		return NULL;
	assert(t->users == NULL);
	free(t);
	return NULL;
}

void
quota_set_limits(struct quota_table *t, const struct quota_limits *limits)
{
	t->limits = *limits;
}

const struct quota_limits *
quota_get_limits(const struct quota_table *t)
{
	return &t->limits;
}

struct quota_user *
quota_user_get(struct quota_table *t, uint32_t uid)
{
	struct quota_user *u;

	HASH_FIND(hh, t->users, &uid, sizeof(uid), u);
	if (u != NULL) {
		u->refs++;
		return u;
	}
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->uid = uid;
	u->refs = 1;
	u->table = t;
	HASH_ADD(hh, t->users, uid, sizeof(u->uid), u);
	if (u->hh.tbl == NULL) {
		free(u);
		return NULL;
	}
	return u;
}

struct quota_user *
quota_user_ref(struct quota_user *u)
{
	u->refs++;
	return u;
}

struct quota_user *
quota_user_put(struct quota_user *u)
{
	if (u == NULL || --u->refs > 0)
		return NULL;
	for (int i = 0; i < _QUOTA_MAX; i++)
		assert(u->used[i] == 0);
	HASH_DEL(u->table->users, u);
	free(u);
	return NULL;
}

bool
quota_take(struct quota_user *u, enum quota_kind kind, uint64_t n)
{
	uint64_t max = u->table->limits.max[kind];

	/* A limit that was lowered below what is in use lets nothing in. */
	if (u->used[kind] > max || n > max - u->used[kind]) {
		u->table->refused[kind]++;
		return false;
	}
	u->used[kind] += n;
	return true;
}

void
quota_give(struct quota_user *u, enum quota_kind kind, uint64_t n)
{
	assert(u->used[kind] >= n);
	u->used[kind] -= n;
}

uint64_t
quota_used(const struct quota_user *u, enum quota_kind kind)
{
	return u->used[kind];
}

uint64_t
quota_refused(const struct quota_table *t, enum quota_kind kind)
{
	return t->refused[kind];
}

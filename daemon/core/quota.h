/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts and bytes per user, over all his sessions. */
#ifndef CORE_QUOTA_H
#define CORE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

enum quota_kind {
	QUOTA_SESSIONS,
	QUOTA_CONTENTS, /* handles of every type */
	QUOTA_OPERATIONS,
	QUOTA_BUFFER_BYTES,
	QUOTA_CONNECTIONS,
	_QUOTA_MAX,
};

struct quota_limits {
	uint64_t max[_QUOTA_MAX];
	uint64_t content_info_bytes; /* per content handle */
};

struct quota_user;  /* one uid; exists while anything is counted or held */
struct quota_table; /* all of them */

struct quota_table *quota_new(const struct quota_limits *);
struct quota_table *quota_free(struct quota_table *);
void quota_set_limits(struct quota_table *, const struct quota_limits *);
const struct quota_limits *quota_get_limits(const struct quota_table *);
/* A held user; NULL when out of memory. */
struct quota_user *quota_user_get(struct quota_table *, uint32_t uid);
struct quota_user *quota_user_ref(struct quota_user *);
struct quota_user *quota_user_put(struct quota_user *);
/* false, and nothing is counted: over the limit. */
bool quota_take(struct quota_user *, enum quota_kind, uint64_t n);
void quota_give(struct quota_user *, enum quota_kind, uint64_t n);
uint64_t quota_used(const struct quota_user *, enum quota_kind);
uint64_t quota_refused(const struct quota_table *, enum quota_kind);

#endif

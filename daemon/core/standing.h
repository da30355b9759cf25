/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standing publications: files that stay published, for their owner under their
 * absolute path, until they change or are taken back.  They belong to the
 * service, not to a session.  The mechanism is told at the top of standing.c
 * (who looks after them) and standing_publish.c (how one is made).
 */
#ifndef CORE_STANDING_H
#define CORE_STANDING_H

#include "codec/pccrc.h"
#include "daemon/core/result.h"
#include "daemon/core/service.h"
#include "daemon/store/store_hash.h"

#define STANDING_PATH_MAX 4096u

struct standing_view {
	uint64_t id;
	uint32_t uid;
	uint64_t size;
	unsigned versions; /* PCCRC_MAKE_* */
	bool watched;
	uint64_t published_s; /* since 1970 */
	uint64_t hash_bytes;
	const uint8_t *path; /* valid during the call only */
	size_t path_len;
	struct pccrc_counts counts;
};

/* Those with ids above after, in the order of ids, until fn says false. */
void standing_each(struct service *, uint64_t after,
	bool (*fn)(const struct standing_view *, void *ctx), void *ctx);

/* Takes one back; the caller keeps the memory until done. */
struct standing_removal {
	/* asked */
	uint64_t id;
	bool anybodys; /* else it must be this user's */
	uint32_t uid;
	/* Durable when CORE_OK; CORE_E_NOT_FOUND, CORE_E_UNAVAILABLE, ... */
	enum core_result result;
	/* Later, never from inside the call. */
	void (*done)(struct standing_removal *);
	struct service *service;
	struct hash_remove remove;
};
/* CORE_OK: done will be called.  CORE_E_NOT_FOUND, CORE_E_UNAVAILABLE: at once,
 * and it will not. */
enum core_result standing_remove(struct service *, struct standing_removal *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash store: standing publications, which is what is known of published
 * files that stay published until they change or are taken back.  Hashes only,
 * never a segment secret.  What it has called durable it does not lose.
 *
 * Calls that write or read much answer through done, on the loop thread, never
 * from inside the call; look-ups in the index, which is mapped memory, answer
 * at once.
 */
#ifndef STORE_STORE_HASH_H
#define STORE_STORE_HASH_H

#include "daemon/store/store.h"

/* By which a file is known again. */
struct hash_file {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	int64_t mtime_ns; /* since 1970 */
	int64_t ctime_ns;
};

static inline bool
hash_file_same(const struct hash_file *a, const struct hash_file *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
		a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

struct hash_entry {
	uint64_t id; /* given by the store, never used again */
	uint32_t uid;
	uint32_t versions;    /* PCCRC_MAKE_* */
	bool watched;         /* the service can look at the path itself */
	uint64_t published_s; /* seconds since 1970 */
	struct hash_file file;
	const uint8_t *label; /* absolute path */
	size_t label_len;
	const uint8_t *hashes; /* pccrc_desc_pack(); NULL where not asked for */
	size_t hashes_len;
};

/* Adds one, in place of an older one of the same uid and label.  What entry
 * points to must stay valid until done; entry.id is set.  It is durable when
 * the answer is STORE_OK. */
struct hash_put {
	struct hash_entry entry;
	uint64_t replaced; /* with STORE_OK: id of the older one; 0: none */
	/* STORE_DISK_FULL: over the limit, too; STORE_OVER_QUOTA. */
	enum store_status status;
	void (*done)(struct hash_put *);
	void *store_private[STORE_PRIVATE];
};

/* The whole of one, by id. */
struct hash_load {
	uint64_t id;
	uint32_t uid; /* who asks: users take turns */
	enum store_status status;
	struct hash_entry entry;
	uint8_t *bytes; /* what entry points into: done's, free() it */
	void (*done)(struct hash_load *);
	void *store_private[STORE_PRIVATE];
};

struct hash_remove {
	uint64_t id;
	enum store_status status; /* durable when STORE_OK */
	void (*done)(struct hash_remove *);
	void *store_private[STORE_PRIVATE];
};

/* What counts against the limit.  Besides its bytes, an entry takes its share
 * of four tables. */
#define HASH_ENTRY_COST 512u
static inline uint64_t
hash_cost(const struct hash_entry *e)
{
	return HASH_ENTRY_COST + e->label_len + e->hashes_len;
}

/* Of the limit, one user gets this part at most, so that nobody can shut the
 * others out.  The superuser, who can do so anyway, gets all of it. */
#define HASH_USER_PART 2u
static inline uint64_t
hash_user_limit(uint32_t uid, uint64_t max_bytes)
{
	return uid == 0 ? max_bytes : max_bytes / HASH_USER_PART;
}

struct hash_stats {
	uint64_t entries;
	uint64_t bytes;     /* hash_cost() of all */
	uint64_t max_bytes; /* 0: no limit */
	enum store_health health;
};

struct hash_store;

struct hash_store_ops {
	/* These three look into the index, on the loop: label and hashes of
	 * *ret_entry are NULL, their lengths are set.  false: no such entry. */
	bool (*find)(struct hash_store *, uint32_t uid, const uint8_t *label,
		size_t len, struct hash_entry *ret_entry);
	bool (*find_id)(
		struct hash_store *, uint64_t id, struct hash_entry *ret_entry);
	/* Of this user; when he has the file under several labels, one with
	 * the most versions. */
	bool (*find_file)(struct hash_store *, const struct hash_file *,
		uint32_t uid, struct hash_entry *ret_entry);
	/* In the order of ids, those above after, with their labels but without
	 * hashes, until fn says false.  fn must not change the store. */
	void (*each)(struct hash_store *, uint64_t after,
		bool (*fn)(const struct hash_entry *, void *ctx), void *ctx);
	void (*put)(struct hash_store *, struct hash_put *);
	void (*load)(struct hash_store *, struct hash_load *);
	void (*remove)(struct hash_store *, struct hash_remove *);
	void (*stats)(struct hash_store *, struct hash_stats *ret);
	/* Does not remove what is there. */
	void (*set_limit)(struct hash_store *, uint64_t max_bytes);
	/* All requests are done before; returns NULL. */
	struct hash_store *(*close)(struct hash_store *);
};

struct hash_store {
	const struct hash_store_ops *ops;
};

#endif

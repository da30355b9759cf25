/* SPDX-License-Identifier: BSD-2-Clause */
/* What hashed*.c share, and what the rest of core tells them. */
#ifndef CORE_HASHED_PRIV_H
#define CORE_HASHED_PRIV_H

#include <sys/queue.h>

#include "daemon/core/hashed.h"
#include "daemon/core/publish.h"

/* Of descriptions that nobody uses at the moment. */
#define HASHED_CACHE_MAX (64u << 20)
/* One that is larger than this is not kept. */
#define HASHED_KEEP_MAX (HASHED_CACHE_MAX / 2)
/* All: kept, in use, being made. */
#define HASHED_MEMORY_MAX (512u << 20)
/* More than this is made by a worker. */
#define HASHED_ON_LOOP_MAX (256u << 10)

/* Of 64 KiB: what a file has whose hashes of both versions can still be
 * loaded, see STANDING_LOAD_TIMES. */
#define HASHED_BLOCKS_MAX (HASHED_MEMORY_MAX / STANDING_LOAD_TIMES / 72)

#define HASHED_WAITING_MAX 256u
#define HASHED_RESTING_MAX 256u
#define HASHED_AT_ONCE     2u
#define HASHED_SETTLE_MS   2000u
#define HASHED_REST_MS     60000u
#define HASHED_TRIES       4u
/* A pause, in times of what was taken. */
#define HASHED_PAUSE_TIMES 8u
#define HASHED_LARGE       (256u << 20)

struct hashed;
struct hashed_want;

/* By which a file is found here; what it is must be compared. */
struct hashed_key {
	uint64_t dev;
	uint64_t ino;
};

/* A published file in memory. */
struct hashed_file {
	struct hashed *hashed;
	UT_hash_handle hh;
	struct hashed_key key;
	struct hash_file file;
	uint32_t owner; /* of the file */
	uint64_t id;    /* of its publication */
	uint32_t versions;
	struct pccrc_counts counts;
	/* In the table.  One that is not is never found again, and what still
	 * waits for it gets the verdict. */
	bool listed;
	enum hashed_result verdict;
	unsigned refs;                /* asks, work */
	TAILQ_ENTRY(hashed_file) lru; /* while refs is 0 */
	uint64_t bytes;
	struct standing_load load;
	struct pccrc_desc *desc; /* NULL while being loaded */
	TAILQ_HEAD(, hashed_ask) waiters;
	/* Content information of the whole file, version 1 and 2. */
	struct hashed_whole {
		uint8_t *bytes; /* secmem; NULL: not made yet */
		size_t len;
		bool making;
	} whole[2];
};

struct hashed_list {
	TAILQ_HEAD(, hashed_want) wants;
	size_t n;
};

/* Descriptors on their way out: closing may wait for a file system. */
struct hashed_closer {
	struct core_job job;
	bool running;
	size_t n_batch;
	int batch[HASHED_WAITING_MAX + HASHED_AT_ONCE];
	size_t n;
	int fds[HASHED_WAITING_MAX + HASHED_AT_ONCE];
};

struct hashed {
	struct service *service;
	uint32_t uid; /* of this process */
	int32_t pid;
	struct hashed_file *files; /* uthash by key */
	TAILQ_HEAD(hashed_lru, hashed_file) lru;
	uint64_t idle_bytes; /* of those on lru */
	uint64_t bytes;      /* of all, and what is lent and made besides */

	/* hashed_want.c */
	struct session *session;   /* NULL: not needed yet */
	uint64_t generation;       /* of the last operation */
	struct hashed_want *wants; /* uthash by key: all of these lists */
	struct hashed_list waiting;
	struct hashed_list hashing;
	struct hashed_list resting; /* the oldest first */
	struct hashed_closer closer;
	uint64_t n_done;
	uint64_t n_failed;
	uint64_t rest_until_ms;   /* the store takes nothing */
	struct wheel_timer timer; /* the next one that waits is old enough */
};

/* NULL when out of memory. */
struct hashed *hashed_new(struct service *);
struct hashed *hashed_free(struct hashed *);
/* The service is not available: nothing is known any more, what waits will fail
 * when its work comes back, and the session of the service is closed. */
void hashed_stop(struct hashed *);
/* This one is published no more. */
void hashed_gone(struct hashed *, uint64_t id);
/* This one has just been put into the store. */
void hashed_published(struct hashed *, const struct hash_put *);

/* hashed_cache.c */
static inline struct hashed_key
hashed_key_of(const struct hash_file *f)
{
	return (struct hashed_key){f->dev, f->ino};
}
/* The publication to trust for this file of that owner. */
bool hashed_find(struct hashed *, const struct hash_file *, uint32_t owner,
	struct hash_entry *ret_entry);
/* The versions that may be handed out at present. */
unsigned hashed_allowed(const struct hashed *);
/* In memory, or NULL.  Another file of its number there is forgotten. */
struct hashed_file *hashed_file_get(
	struct hashed *, const struct hash_file *, uint32_t owner);
/* An empty one, listed, with one reference; NULL when out of memory. */
struct hashed_file *hashed_file_new(
	struct hashed *, const struct hash_entry *, uint32_t owner);
void hashed_file_ref(struct hashed_file *);
void hashed_file_unref(struct hashed_file *);
/* Out of the table, if it is not yet. */
void hashed_file_forget(struct hashed_file *, enum hashed_result verdict);
/* While somebody holds it: it takes so much now. */
void hashed_file_resize(struct hashed_file *, uint64_t bytes);
/* Room for so much more, in all. */
bool hashed_room(const struct hashed *, uint64_t bytes);

/* hashed_want.c */
void hashed_want_init(struct hashed *);
void hashed_want_stop(struct hashed *);

#endif

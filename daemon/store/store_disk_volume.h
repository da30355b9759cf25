/* SPDX-License-Identifier: BSD-2-Clause */
/* Volumes in memory, and the rows of the index about them. */
#ifndef STORE_STORE_DISK_VOLUME_H
#define STORE_STORE_DISK_VOLUME_H

#include <pthread.h>
#include <sys/queue.h>

#include "daemon/store/block_log.h"
#include "daemon/store/index.h"

struct store_disk;

/*
 * Volumes.  The table is the loop's.  The file is opened by whoever needs it
 * first, under the lock; from then on its descriptor and salt are fixed while a
 * reference is held.  Its length is the store thread's.
 */
struct volume {
	uint32_t number;
	unsigned refs; /* the table's, and of each request that reads */
	bool doomed;   /* an eviction of it has begun */
	bool gone;     /* no longer in the table */
	bool dirty;    /* has what was not synced yet */
	bool on_used;
	TAILQ_ENTRY(volume) used; /* those that may be open */
	uint64_t length;
	uint64_t committed; /* what lies before belongs to a commit */
	uint64_t born_s;
	uint64_t evicted_to; /* where its eviction goes on; 0: none has begun */
	uint64_t carried;    /* bytes, by it */
	uint64_t newest_s;   /* when the youngest block was born */
	uint64_t blocks;     /* live ones, as of the last commit */
	uint64_t bytes;
	uint8_t *hot; /* a bit for each HOT_UNIT; NULL: nothing was read */
	size_t hot_len;

	pthread_mutex_t lock; /* of all below, but of an opened file */
	unsigned lent;        /* loans of its bytes */
	uint64_t cut;         /* the file may end here; UINT64_MAX: never */
	bool opened;
	struct volume_file file;
};

TAILQ_HEAD(volume_list, volume);

/* What the index says about a volume; also the copy that a job works with. */
struct volume_row {
	uint32_t number;
	bool changed;
	uint64_t length;
	uint64_t born_s;
	uint64_t newest_s;
	uint64_t blocks;
	uint64_t bytes;
};

struct volume *volume_new(uint32_t number);
struct volume *volume_unref(struct volume *);
void volume_hold(struct store_disk *, struct volume *);
void volume_release(struct store_disk *, struct volume *);
/* Any thread. -errno. */
int volume_open(struct volume *, int folder);
/* Whether it is open; false when that cannot be told without waiting, too. */
bool volume_is_open(struct volume *);
/* Its bytes up to end stay where they are until volume_take_back(); it is open
 * then.  -ENODATA: they were cut off; -errno. */
int volume_lend(struct volume *, int folder, uint64_t end);
void volume_take_back(struct volume *);
/* Cuts what lies behind length, if the disk lets us and nothing is lent. */
void volume_cut(struct volume *, uint64_t length);
int volume_create(struct volume *, int folder, uint64_t now_s, uint64_t salt);
void volume_touch(struct store_disk *, struct volume *, uint64_t offset);
bool volume_is_hot(const struct volume *, uint64_t offset);
struct volume *disk_volume(const struct store_disk *, uint32_t number);
/* Room for one more. */
int disk_volumes_reserve(struct store_disk *);
void disk_volume_add(struct store_disk *, struct volume *);
void disk_volume_remove(struct store_disk *, struct volume *);
uint64_t disk_bytes(const struct store_disk *);
/* A copy of the table for a job: with the lengths that the last commit left, or
 * with those that a sync is going to make true. -ENOMEM. */
int disk_rows(const struct store_disk *, bool synced, struct volume_row **ret,
	size_t *ret_n);
void disk_rows_back(struct store_disk *, const struct volume_row *, size_t n);
/* Whether the disk has less room left than is to be kept free. */
bool disk_is_low(int folder);
void disk_volume_bytes_set(struct store_disk *);

#endif

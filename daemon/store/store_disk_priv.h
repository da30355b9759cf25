/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the block store on disk, for store_disk*.c alone.  What they do
 * together is told at the top of store_disk.c.
 */
#ifndef STORE_STORE_DISK_PRIV_H
#define STORE_STORE_DISK_PRIV_H

#include "common/macros.h"
#include "daemon/store/store_disk.h"
#include "daemon/store/store_disk_absent.h"
#include "daemon/store/store_disk_read.h"
#include "daemon/store/store_disk_txn.h"
#include "daemon/store/store_disk_walk.h"

#define RETRY_MS 1000u

struct batch_item {
	enum {
		ITEM_BLOCK,
		ITEM_OWNER,
		ITEM_FLUSH,
		ITEM_DROP,
	} kind;
	struct store_ref *ref;   /* of a put */
	struct request *request; /* of a flush */
	struct change *change;
};

/* What the store thread appends at one go, all of it to one volume. */
struct batch {
	/* the loop's, before and after */
	size_t n, cap;
	struct batch_item *items;
	struct request_list whole; /* puts of which nothing is left to take */
	bool evicted;              /* tried again after an eviction */
	/* the store thread's while it runs */
	struct block_log_item *io;
	struct volume *volume;
	bool create;
	uint64_t span;
	uint64_t now_s;
	uint64_t salt;
	/* answers */
	int result;
	bool created;
	uint64_t length;
};

struct commit {
	struct generation *gen; /* NULL: nothing but an eviction */
	struct request *clear;  /* everything goes */
	struct volume_row *rows;
	size_t n_rows;
	struct volume **dirty;
	size_t n_dirty;
	bool covers; /* afterwards no volume has what the index does not know */
	bool sync_folder;
	uint32_t next_number, fence;
	/* an eviction on the way */
	struct volume *victim;
	bool carry;
	bool pressure; /* no room on the disk: its bytes go first */
	struct volume *to;
	bool to_create, evict_ended;
	uint64_t carry_max, evicted_to;
	uint64_t now_s;
	uint64_t salt;
	/* answers */
	int result;
	struct volume *unsynced;
	bool to_created;
	uint64_t to_length;
	bool low; /* less free space on the disk than is to be left */
	bool unlinked;
	uint64_t evicted, carried, carried_bytes;
};

struct flushed_owner {
	struct flushed_owner *next;
	struct store_owner owner;
};

/* The index being made again: all volumes below end. */
struct rebuild {
	bool active;
	bool clear;      /* nothing was done yet */
	bool turn;       /* a batch was before */
	uint32_t number; /* the volume at hand */
	uint64_t offset;
	uint64_t good; /* where its last record found ends */
	bool searching;
	uint32_t end;
	struct flushed_owner *flushed; /* since it began */
	/* a job's */
	struct volume *volume; /* NULL: none is left */
	struct volume_row *rows;
	size_t n_rows;
	struct txn *txn;
	uint64_t deadline_us;
	size_t n_records;
	int error;
	/* answers */
	int result;
	bool volume_ended;
	uint64_t next_offset;
	uint64_t next_good;
	bool next_searching;
};

/* What disk_held() found last, see there. */
struct held_memo {
	uint8_t id[STORE_ID_MAX];
	size_t id_len; /* 0: nothing yet */
	uint64_t generation;
	uint64_t removals;
	uint64_t born_min_s;
	struct store_held held;
};

struct disk_alarm {
	void (*fn)(void *alarm); /* NULL: never used */
};

struct store_disk {
	struct block_store base;
	struct store_host host;
	char *path;
	int folder, lock;
	bool in_memory; /* the file system */
	struct index *index;
	uint64_t generation; /* counts index_refresh(): the cache below */
	uint64_t max_bytes;
	uint64_t max_age_s;
	uint64_t volume_bytes;
	uint64_t volume_fixed;
	uint64_t commit_ms;
	uint64_t commit_bytes;
	bool closing;

	struct volume **volumes; /* ascending */
	size_t n_volumes, cap_volumes;
	struct volume *active; /* the one appended to, also the last */
	uint32_t next_number;
	struct volume_list used; /* longest unused first */
	size_t n_used;
	bool folder_dirty;

	struct generation gens[2];
	struct generation *fresh;
	struct generation *committing; /* not empty: the next commit's */

	struct request_list queue;
	unsigned flushes; /* accepted, not committed: see put_decide() */
	struct sync_request syncs[SYNCS_MAX];

	/* The store thread has one job at a time. */
	struct work_job job;
	bool busy;
	void (*job_run)(struct store_disk *);
	void (*job_done)(struct store_disk *, bool ran);
	struct batch batch;
	struct commit commit;
	struct rebuild rebuild;

	bool commit_wanted;
	bool commit_alarmed;
	bool make_room, puts_turn; /* see disk_victim(), disk_commit_due() */
	bool pressure;             /* the disk, or the index, has no room */
	bool low;
	uint64_t retry_ms; /* no commit and no rebuild before */

	enum store_health append_health;
	enum store_health commit_health;
	enum store_health told;
	bool suspect;     /* a sync failed: only a sync can heal */
	unsigned pressed; /* evictions since a commit found no room */
	bool broken;      /* the index is damaged: no more writes */
	uint64_t probe_ms;
	uint64_t rotten_told_ms;

	struct disk_alarm commit_alarm, retry_alarm, age_alarm, scrub_alarm;

	/* the segment looked at last */
	uint8_t cache_id[STORE_ID_MAX];
	size_t cache_id_len;
	uint64_t cache_generation;
	struct segrec cache;
	struct absent absent;
	struct held_memo held;

	bool verifying;
	size_t n_lent;
	struct scrub {
		struct walk *walk;
		uint64_t rate; /* 0: the rule */
		bool due;
		bool whole; /* this round began at the first segment */
		uint64_t began_ms;
	} scrub;

	struct store_stats stats; /* the counters among them */
};

static inline struct store_disk *
disk_of(struct block_store *s)
{
	return container_of(s, struct store_disk, base);
}

/* store_disk.c: odds and ends */
uint64_t disk_now_ms(const struct store_disk *);
uint64_t disk_wall_s(const struct store_disk *);
void disk_report(struct store_disk *, enum store_report, int error);
/* delay_ms as of store_host. */
void disk_alarm(struct store_disk *, struct disk_alarm *, void (*fn)(void *),
	uint64_t delay_ms);
/* Gives the store thread its next job, if it is idle and there is one. */
void disk_kick(struct store_disk *);
void disk_job(struct store_disk *, void (*run)(struct store_disk *),
	void (*done)(struct store_disk *, bool ran));
/* Answers a request; later: through the loop. */
void request_init(
	struct request *, struct store_disk *, enum request_kind kind);
void request_answer(struct request *, enum store_status);
void request_answer_later(struct request *, enum store_status);
enum store_status disk_status(int error);

/* store_disk_put.c */
void disk_put(struct block_store *, struct store_put *);
/* Whether it pays to look again what the store thread might do. */
bool disk_batch_start(struct store_disk *);
void disk_enqueue(struct store_disk *, struct request *);
/* Every put that waits. */
void disk_puts_fail(struct store_disk *, enum store_status);
void disk_queue_done(struct store_disk *);

/* store_disk_commit.c */
bool disk_commit_due(struct store_disk *);
bool disk_commit_start(struct store_disk *);
void disk_commit_soon(struct store_disk *);
void disk_commit_last(struct store_disk *);
/* The index found no room: whether an eviction is worth a try. */
bool disk_press(struct store_disk *, int error);
/* Whoever waits for a commit. */
void disk_waiters_fail(struct store_disk *, enum store_status);
bool disk_clear_start(struct store_disk *, struct request *);
void disk_retry_later(struct store_disk *);

/* store_disk_health.c */
bool is_full_error(int error);
void disk_health(struct store_disk *, int error, bool append);
void disk_healthy(struct store_disk *, bool append);
void disk_broken(struct store_disk *);
/* Whether a put must not even try now. */
bool disk_refuses(struct store_disk *, enum store_status *ret);

/* store_disk_evict.c */
bool disk_can_evict(const struct store_disk *);
/* Which one is to go now, or NULL. */
struct volume *disk_victim(struct store_disk *);
/* Whether one more volume is too much. */
bool disk_room_wanted(const struct store_disk *);
/* Loop: takes the victim into the commit. -ENOMEM. */
int evict_prepare(struct store_disk *, struct commit *, struct volume *);
/* Store thread, in the commit's transaction. */
int evict_run(struct store_disk *, struct commit *, struct txn *);
void evict_unlink(struct store_disk *, struct commit *);
/* Loop again. */
void evict_end(struct store_disk *, struct commit *, int result);

/* store_disk_rebuild.c */
void disk_rebuild_begin(struct store_disk *);
bool disk_rebuild_start(struct store_disk *);
void disk_rebuild_end(struct store_disk *);
uint32_t disk_rebuild_fence(const struct store_disk *);
int rebuild_note_flush(struct store_disk *, const struct store_owner *);

/* store_disk_verify.c */
void disk_verify(struct block_store *, struct store_verify *);
void verify_begin(struct store_verify *);
void disk_scrub_begin(struct store_disk *);
bool disk_scrub_start(struct store_disk *);

/* store_disk_list.c */
void disk_flush(struct block_store *, struct store_flush *);
void disk_clear(struct block_store *, struct store_flush *);
void disk_list(struct block_store *, struct store_list *);
void list_begin(struct store_list *);

#endif

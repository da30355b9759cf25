/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block store with a loop around it: jobs for workers run at once on this
 * thread, the store thread is a real one, time is virtual.  Whatever waits does
 * so for an event, with a deadline.
 *
 * The disk can be told to fail: what the program, LMDB included, writes and
 * syncs goes through here first.
 */
#ifndef TESTS_DISK_ENV_H
#define TESTS_DISK_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/store/store_disk.h"
#include "daemon/store/store_mem.h"

#define DISK_JOBS   4096
#define DISK_ALARMS 16
#define DISK_BLOCK  1008 /* ciphertext of a block, unless said otherwise */
/* One volume of the tests; a block with its record takes about 1200. */
#define DISK_VOLUME 65536

struct disk_env {
	struct env env;
	struct store_host host;
	struct work_pool *pool;
	struct bulk *bulk;
	unsigned n_now; /* jobs that offered to be done at once */
	uint64_t now_ms;
	bool run_time; /* it passes when nothing else happens */
	uint64_t wall_s;
	size_t n_jobs;
	struct env_job *jobs[DISK_JOBS];
	bool hold_jobs;            /* nobody runs them */
	struct work_pool *workers; /* not NULL: these do */
	size_t n_out;              /* jobs that they have */
	struct {
		void (*fn)(void *);
		void *ctx;
		uint64_t at_ms;
	} alarms[DISK_ALARMS];
	unsigned reports[_STORE_REPORT_MAX];
	char folder[64];
	struct store_disk_params params;
	struct block_store *store;
	const char *why;
	uint8_t seen[64]; /* by disk_read(): a byte of each block */
	bool garbled;     /* one had not the same byte everywhere */
	bool reject;      /* its consume says that all are wrong */
};

/* A folder, and all but the store. */
void disk_env_init(struct disk_env *);
void disk_env_done(struct disk_env *);
/* Jobs run on threads from now on, which nobody must hold. */
void disk_env_threads(struct disk_env *);
int disk_env_try_open(struct disk_env *);
void disk_env_open(struct disk_env *);
void disk_env_open_mem(struct disk_env *);
void disk_env_close(struct disk_env *);
/* What a crash would leave: the files as they are now, in the next folder,
 * which is opened; the old one is gone. */
void disk_env_crash(struct disk_env *);
/* Until *flag is set. */
void disk_env_wait(struct disk_env *, const bool *flag);
/* Until all that was accepted is durable, or could not be made so. */
void disk_env_sync(struct disk_env *);
/* Until the store thread is idle, where nothing can be asked for. */
void disk_env_settle(struct disk_env *);
/* Time passes, alarms fire in order. */
void disk_env_time(struct disk_env *, uint64_t ms);
/* A file of the folder. */
void disk_env_path(const struct disk_env *, const char *name, char ret[128]);
size_t disk_env_files(const struct disk_env *, const char *ending);
uint64_t disk_env_volume_bytes(const struct disk_env *);
/* A copy of the folder as it is now. */
void disk_env_copy(const struct disk_env *, char ret_folder[64]);
/* Uses that folder from now on; the own one is gone. */
void disk_env_move(struct disk_env *, const char *folder);
void disk_env_flip(const struct disk_env *, const char *name, uint64_t at);
/* The one that comes first. */
bool disk_env_first_volume(const struct disk_env *, char ret[32]);
void disk_env_unlink(const struct disk_env *, const char *name);

extern const struct store_owner alice, bob;
/* Segment n. */
struct store_ref disk_ref(uint32_t segment, uint32_t index, char claim);
enum store_status disk_put_block(struct disk_env *, struct store_ref,
	const struct store_block *, const struct store_owner *);
enum store_status disk_put_byte(struct disk_env *, struct store_ref,
	uint8_t byte, bool proved, const struct store_owner *);
bool disk_there(struct disk_env *, struct store_ref);
/* 0: not there; else a byte of it. */
unsigned disk_read(struct disk_env *, struct store_ref);
enum store_status disk_read_status(struct disk_env *, struct store_ref);
enum store_status disk_flush_owner(
	struct disk_env *, const struct store_owner *);
enum store_status disk_clear_all(struct disk_env *);
struct store_stats disk_stats_of(struct disk_env *);
struct store_list disk_list_page(struct disk_env *, struct store_listed *rows,
	size_t n, const struct store_listed *after);
struct store_verify disk_verify_all(struct disk_env *, bool repair);

/* Faults. */
enum disk_fault_call {
	FAULT_WRITE,
	FAULT_OVERWRITE, /* of the first bytes of a file */
	FAULT_SYNC,
	FAULT_READ,
	_FAULT_MAX,
};
struct disk_fault {
	int error;          /* 0: none */
	const char *ending; /* of the file's name */
	unsigned skip;      /* so many calls go through before */
	unsigned count;     /* so many fail; UINT32_MAX: all */
	unsigned hits;
};
extern struct disk_fault disk_faults[_FAULT_MAX];
void disk_fault(enum disk_fault_call, int error, const char *ending);
void disk_faults_off(void);
/* How often the index was committed while a volume had bytes that were not
 * synced.  (While the index is made again that is no fault.) */
extern unsigned disk_commits_before_sync;

#endif

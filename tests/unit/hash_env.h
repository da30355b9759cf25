/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the hash stores share: a store of either kind, its requests
 * made into calls, and the disk's index without the store around it.  Jobs run
 * when a test waits for something; the store thread is a real one. */
#ifndef TESTS_HASH_ENV_H
#define TESTS_HASH_ENV_H

#include "daemon/store/hash_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/macros.h"
#include "daemon/store/hash_txn.h"
#include "daemon/store/store_mem_hash.h"

#define WAIT_MS   20000
#define JOBS_MOST 64
#define ALICE     1000u
#define BOB       1001u
#define ROOT      0u

enum kind { MEMORY, DISK };

struct fixture {
	enum kind kind;
	struct env env;
	struct env_job *jobs[JOBS_MOST];
	size_t n_jobs;
	struct store_host host;
	char folder[40];
	struct hash_store *store;
	unsigned n_done;
	unsigned reports[_STORE_REPORT_MAX];
};

struct page {
	size_t n;
	size_t most;
	uint64_t ids[100];
};

/* Takes up to most labels and ids of an each. */
bool take(const struct hash_entry *e, void *ctx);

void setup(struct fixture *f, enum kind kind);
void teardown(struct fixture *f);
int open_disk(struct fixture *f, uint64_t max_bytes);
void close_store(struct fixture *f);
void remove_folder(const char *folder);
/* The store's index, opened behind its back. */
struct index *open_index(struct fixture *f, uint32_t format, int folder);

/* An entry whose every part is made from one number; its hashes are in
 * hash_bytes. */
extern uint8_t hash_bytes[100000];
struct hash_entry entry(
	uint32_t uid, const char *label, uint64_t number, size_t hashes_len);

/* Requests, waited for. */
enum store_status put_entry(
	struct fixture *f, const struct hash_entry *e, uint64_t *ret_id);
/* One that is stored. */
uint64_t put(struct fixture *f, uint32_t uid, const char *label,
	uint64_t number, size_t hashes_len);
enum store_status remove_id(struct fixture *f, uint64_t id);
enum store_status load(struct fixture *f, uint64_t id, struct hash_load *ret);
bool find(struct fixture *f, uint32_t uid, const char *label,
	struct hash_entry *ret);
struct hash_stats stats(struct fixture *f);
/* What the store began by itself has ended, too: a write that is queued behind
 * it is answered later. */
void settle(struct fixture *f);

/* Of requests that a test makes by itself: counted for this fixture. */
extern struct fixture *current;
void put_done(struct hash_put *p);
void load_done(struct hash_load *l);
void remove_done(struct hash_remove *r);
void wait_done(struct fixture *f, unsigned n);

#endif

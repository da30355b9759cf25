/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block log: volumes as files.  A volume is named "NNNNNNNN.vol" (number in
 * hex), is only ever appended to, and goes as a whole.  No state but the files'
 * own; who knows which volumes there are, and what of them is live, is
 * store_disk.c.
 *
 * Appending, syncing, cutting and unlinking are the store thread's; reading by
 * pread is anybody's who holds the volume.
 *
 * Results are 0 or -errno (-ENOSPC, -EIO, -EROFS ... as the disk says).
 */
#ifndef STORE_BLOCK_LOG_H
#define STORE_BLOCK_LOG_H

#include "daemon/store/record.h"

#define BLOCK_LOG_NAME_MAX 16

struct volume_file {
	int fd;
	uint32_t number;
	uint64_t salt;
	uint64_t born_s;
	uint64_t length; /* where the next record goes; the store thread's */
};

/* A new, empty volume; its header is written, the folder not synced yet.
 * -EEXIST. */
int block_log_create(int folder, uint32_t number, uint64_t now_s, uint64_t salt,
	struct volume_file *ret);
/* An existing one; length is the file's.  > 0: enum record_refusal of its
 * header. */
int block_log_open(int folder, uint32_t number, struct volume_file *ret);
void block_log_close(struct volume_file *);
int block_log_unlink(int folder, uint32_t number);
/* Every volume in the folder, in no order. */
int block_log_each(
	int folder, int (*fn)(uint32_t number, void *ctx), void *ctx);

/* One record to append, and for a block its bytes. */
struct block_log_item {
	struct record record; /* tail_len and data_hash are set by append */
	const uint8_t *cipher;
	uint8_t iv[16];
	uint64_t offset; /* answer: where the record begins */
};

/* Appends all, in few system calls.  On failure nothing counts: length is what
 * it was (bytes behind it may have been written; they are cut off where the
 * disk lets us, else overwritten later).  -EINVAL: a record that is none. */
int block_log_append(
	struct volume_file *, struct block_log_item *items, size_t n);
/* fdatasync of the volume. */
int block_log_sync(struct volume_file *);
int block_log_sync_folder(int folder);
/* Cuts what lies behind length, so that no rest of a lost life follows.  A file
 * that is shorter stays so, and its length is taken. */
int block_log_truncate(struct volume_file *, uint64_t length);

/* Records from offset on, until the end (limit), a fault, or fn says stop.  A
 * damaged header is searched past, record by record boundary, so what follows
 * is still found; *ret_damaged counts how often.  Headers only. */
struct block_log_scan {
	uint64_t offset; /* begin; afterwards: where to go on */
	uint64_t limit;
	uint64_t damaged;
	/* non-zero: stop; the scan goes on behind this record next time */
	int (*fn)(const struct record *, uint64_t offset, void *ctx);
	void *ctx;
	/* 0, or: a search that went over so many bytes and is not over ends the
	 * scan with -EAGAIN; the next call goes on with it. */
	uint64_t search_max;
	bool searching; /* the scan's own, false at first */
	uint64_t good;  /* where the last record found ends; 0: none yet */
};
/* What fn returned, 0 at the end, -errno when the disk cannot be read: offset
 * is then where. */
int block_log_scan(const struct volume_file *, struct block_log_scan *);

#endif

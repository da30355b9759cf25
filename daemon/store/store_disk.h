/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block store on disk: store.h over a block log and an index in one folder.
 * The mechanism is told at the top of store_disk.c.
 */
#ifndef STORE_STORE_DISK_H
#define STORE_STORE_DISK_H

#include "daemon/store/store.h"
#include "daemon/store/store_thread.h"

struct store_disk_params {
	const char *folder; /* made with mode 0700 if need be */
	uint64_t max_bytes;
	uint64_t max_age_s; /* 0: no limit */
	/* 0: the rule (a sixteenth of max_bytes, 1 MiB to 256 MiB). */
	uint64_t volume_bytes;
	/* 0: the rules (a second, 64 MiB, all in a week); tests set them. */
	uint64_t commit_ms;
	uint64_t commit_bytes;
	uint64_t scrub_bytes_per_s;
};

/* -EBUSY: another process uses the folder; -EPROTONOSUPPORT: a newer format is
 * in it; -errno.  *ret_why says it in words. */
int store_disk_open(struct block_store **ret, const struct store_host *,
	const struct store_disk_params *, const char **ret_why);
/* Everything that was accepted until now is made durable, if the disk lets us;
 * done is called on the loop.  For the end of the service, and tests; at most
 * four at a time. */
void store_disk_sync(struct block_store *, void (*done)(void *ctx), void *ctx);

#endif

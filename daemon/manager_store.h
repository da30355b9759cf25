/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two stores on disk, with what they need: the store thread, alarms on the
 * loop, the clock, and somebody who logs what they report.
 */
#ifndef DAEMON_MANAGER_STORE_H
#define DAEMON_MANAGER_STORE_H

#include "daemon/conf.h"
#include "daemon/net/loop.h"
#include "daemon/store/store_hash.h"
#include "daemon/store/store_thread.h"

#define STORE_ALARMS 8

struct stores {
	struct store_host host;
	struct loop *loop;
	struct work_pool *pool;
	struct loop_watch *watch;
	struct store_alarm {
		struct loop_alarm alarm;
		void (*fn)(void *ctx);
		void *ctx; /* NULL: free */
	} alarms[STORE_ALARMS];
	struct block_store *blocks;
	struct hash_store *hashes;
};

/* Logs what goes wrong.  -errno; what was built so far is stores_close()'s. */
int stores_open(struct stores *, struct loop *, const struct env *,
	const struct conf *);
/* New sizes and age. */
void stores_configure(struct stores *, const struct conf *);
/* No request is left.  Makes durable what is not yet. */
void stores_close(struct stores *);

#endif

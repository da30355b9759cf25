/* SPDX-License-Identifier: BSD-2-Clause */
/* core/env.h on the real loop, worker pool and network. */
#ifndef DAEMON_MANAGER_ENV_H
#define DAEMON_MANAGER_ENV_H

#include "common/work.h"
#include "daemon/core/env.h"

struct discovery;
struct loop;
struct retrieve;

/* Filled by the manager; everything belongs to it. */
struct host_env {
	struct env env;
	struct loop *loop;
	struct work_pool *pool;
	struct retrieve *retrieve;
	struct discovery *discovery; /* NULL: nobody can be asked */
	struct bulk *bulk;           /* the loop's own, made on first use */
	uint64_t now_ms; /* in which so many jobs were done at once */
	unsigned n_now;
};

/* The table of env; ctx is the host_env. */
void host_env_init(struct host_env *, struct loop *, struct work_pool *,
	struct retrieve *);
/* No job is left. */
void host_env_done(struct host_env *);
/* threads as the setting has it, 0 for the number that fits this machine. */
int host_env_pool(struct work_pool **ret_pool, unsigned threads);

#endif

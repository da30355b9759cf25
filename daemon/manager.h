/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns all parts of the daemon. */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

#include "daemon/conf.h"

/* Builds everything up, serves until SIGTERM or SIGINT, takes it down.  The
 * exit status: 0, 1 what failed later, 2 settings that cannot be read. */
int manager_run(const struct conf_sources *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The side of the network: interfaces, discovery, the HTTP server and what it
 * serves.  What of it is open follows from the mode.
 */
#ifndef DAEMON_MANAGER_NETWORK_H
#define DAEMON_MANAGER_NETWORK_H

#include "daemon/api/json_out.h"
#include "daemon/conf.h"
#include "daemon/core/env.h"
#include "daemon/manager_passed.h"

struct discovery;
struct loop;
struct network;
struct retrieve;
struct service;

struct network_params {
	struct loop *loop;
	struct service *service;
	const struct env *env;
	struct retrieve *retrieve;
	const char *state_folder; /* stays */
	struct passed *passed;    /* what is used of it is taken out */
};

/* Nothing is open before the first network_configure().  -ENOMEM. */
int network_new(struct network **ret, const struct network_params *);
/* Closes everything; uploads on their way are given up.  Returns NULL. */
struct network *network_free(struct network *);
/* Opens and closes what the mode and the settings say.  What cannot be opened
 * is logged, and tried again after a while. */
void network_configure(struct network *, const struct conf *);
/* Closes all sockets, for good: uploads on their way are given up, but what
 * they hold of the service may come back a little later. */
void network_stop(struct network *);
/* For the core's environment; NULL: not open. */
struct discovery *network_discovery(struct network *);

/* Elements of the array "listeners"; the members "discovery" and "server". */
void network_put_listeners(const struct network *, struct json *);
void network_put_status(const struct network *, struct json *);

#endif

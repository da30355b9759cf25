/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may do what, and whether anybody may. */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_role {
	ROLE_ANY = 0,
	ROLE_CLIENT = 1,    /* PeerDistClient* */
	ROLE_PUBLISHER = 2, /* PeerDistServer* */
	ROLE_ADMIN = 4,     /* peerdistctl: what changes the service */
};

enum service_mode {
	MODE_LOCAL,
	MODE_DISTRIBUTED,
	MODE_HOSTED_CLIENT,
	MODE_HOSTED_SERVER,
	MODE_HYBRID,
	_MODE_MAX,
};

/* A list of group numbers; all: everybody. */
struct policy_groups {
	bool all;
	size_t n;
	uint32_t *gids;
};

struct policy {
	bool enabled;
	enum service_mode mode;
	struct policy_groups admins; /* besides uid 0 */
	struct policy_groups clients;
	struct policy_groups publishers;
};

struct identity {
	int32_t pid;
	uint32_t uid;
	bool service;  /* the service itself: it publishes, whoever else may */
	size_t n_gids; /* primary and supplementary */
	uint32_t *gids;
};

/* The roles of this identity, as a set of enum policy_role. */
unsigned policy_roles(const struct policy *, const struct identity *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/core/policy.h"

static bool
in_groups(const struct policy_groups *g, const struct identity *who)
{
	if (g->all)
		return true;
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < who->n_gids; k++)
			if (g->gids[i] == who->gids[k])
				return true;
	return false;
}

unsigned
policy_roles(const struct policy *p, const struct identity *who)
{
	unsigned roles = ROLE_ANY;

	if (who->service)
		return ROLE_PUBLISHER;
	if (who->uid == 0 || in_groups(&p->admins, who))
		roles |= ROLE_ADMIN;
	if (in_groups(&p->clients, who))
		roles |= ROLE_CLIENT;
	if (in_groups(&p->publishers, who))
		roles |= ROLE_PUBLISHER;
	return roles;
}

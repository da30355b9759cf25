/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/dispatch.h"

#include "proto/peerdist_errors.h"

enum core_result
api_admin_published(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	client_reply(c, m->header.id, ERROR_NOT_SUPPORTED);
	return CORE_OK;
}

enum core_result
api_publish_standing(
	struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	return CORE_E_BAD_PARAMETER;
}

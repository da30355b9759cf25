/* SPDX-License-Identifier: BSD-2-Clause */
/* The web server: open when [Web] has an address and a folder. */
#ifndef DAEMON_MANAGER_WEB_H
#define DAEMON_MANAGER_WEB_H

#include "daemon/api/json_out.h"
#include "daemon/conf.h"
#include "daemon/core/env.h"
#include "daemon/manager_passed.h"

struct loop;
struct service;
struct web_site;

struct web_site_params {
	struct loop *loop;
	struct service *service;
	const struct env *env;
	struct passed *passed; /* what is used of it is taken out */
};

/* Nothing is open before the first web_site_configure().  -ENOMEM. */
int web_site_new(struct web_site **ret, const struct web_site_params *);
/* Returns NULL. */
struct web_site *web_site_free(struct web_site *);
void web_site_configure(struct web_site *, const struct conf *);
/* Closes all sockets, for good; what answers on their way hold of the service
 * may come back a little later. */
void web_site_stop(struct web_site *);

/* Elements of the array "listeners"; the member "web". */
void web_site_put_listeners(const struct web_site *, struct json *);
void web_site_put_status(const struct web_site *, struct json *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/net/web.h"

#include <stdlib.h>

struct web {
	struct web_counters counters;
};

struct web *
web_new(struct loop *loop, struct service *service, const struct env *env,
	struct http_server *server)
{
	return calloc(1, sizeof(struct web));
}

int
web_configure(struct web *w, const struct web_settings *settings)
{
	return 0;
}

const struct web_counters *
web_counters(const struct web *w)
{
	return &w->counters;
}

struct web *
web_free(struct web *w)
{
	free(w);
	return NULL;
}

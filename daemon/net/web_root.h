/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder that is served.  It is held open; whether its path names another
 * one meanwhile is looked at now and then, so that a root may be replaced by
 * renaming.
 */
#ifndef NET_WEB_ROOT_H
#define NET_WEB_ROOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "daemon/core/env.h"

struct service;

/* As whose the workers open what is asked for: that takes turns with reading
 * (warm.h). */
#define WEB_OPENS (UINT32_MAX - 2)

struct web_root {
	int fd;    /* O_PATH */
	bool slow; /* its file system may stall */
	dev_t dev;
	ino_t ino;
	unsigned refs;
};

struct web_folder {
	dev_t dev;
	ino_t ino;
};

struct web_root *web_root_ref(struct web_root *);
struct web_root *web_root_unref(struct web_root *); /* NULL */

struct web_look;

struct web_roots {
	struct service *service;
	const struct env *env;
	char *path;               /* NULL: none */
	struct buf above;         /* what no root may be: struct web_folder */
	struct web_root *current; /* NULL: none, or it cannot be opened */
	int64_t looked_s;
	struct web_look *look; /* goes on; NULL: none does */
};

void web_roots_init(struct web_roots *, struct service *, const struct env *);
/* The service is idle. */
void web_roots_done(struct web_roots *);
/* NULL: there is none.  -errno: it cannot be opened, now; it will be tried
 * again.  -EPERM: the same, since it is one of own or has one in it.  The path
 * at present: the root that is open stays until there is another one.  own: as
 * in struct web_settings. */
int web_roots_set(struct web_roots *, const char *path, const char *const *own,
	int64_t now_s);
/* The one at present, or NULL. */
struct web_root *web_roots_get(struct web_roots *, int64_t now_s);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a path may wait for a disk, or for somebody's server.  So the look is
 * a worker's, one at a time, and at most one in a second in which anybody asks
 * for something.  Requests that are under way keep the root that they began
 * with.
 *
 * The service's own folders are in no root.  Who may turn the path elsewhere
 * need not be one who may see those, so each folder that it leads to is looked
 * at, also later.  What it must not be is all that is above them.
 */
#include "daemon/net/web_root.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "daemon/core/service.h"

#define ABOVE_MAX (4096u * sizeof(struct web_folder))

struct web_look {
	struct env_job job;
	struct web_roots *roots; /* NULL: the path is another by now */
	struct service *service;
	struct web_root *found;
	char path[];
};

static int
root_open(const char *path, struct web_root **ret)
{
	AUTO_FD int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct web_root *r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_new(-errno);
	r = malloc(sizeof(*r));
	if (r == NULL)
		return err_new(-ENOMEM);
	*r = (struct web_root){
		.slow = fd_may_stall(fd) != 0,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.refs = 1,
	};
	r->fd = TAKE_FD(fd);
	*ret = r;
	return 0;
}

struct web_root *
web_root_ref(struct web_root *r)
{
	r->refs++;
	return r;
}

struct web_root *
web_root_unref(struct web_root *r)
{
	if (r == NULL || --r->refs > 0)
		return NULL;
	close(r->fd);
	free(r);
	return NULL;
}

/* Worker thread. */
static void
look(struct env_job *job, struct bulk *bulk)
{
	struct web_look *l = container_of(job, struct web_look, job);

	(void)root_open(l->path, &l->found);
}

/* A folder and all above it, as far as it leads. */
static void
add_above(struct buf *above, const char *folder)
{
	static const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	AUTO_FD int fd = open(folder, flags);
	struct web_folder at = {0}, below;
	struct stat st;
	int up;

	while (fd >= 0 && fstat(fd, &st) == 0) {
		below = at;
		at = (struct web_folder){.dev = st.st_dev, .ino = st.st_ino};
		if (at.dev == below.dev && at.ino == below.ino)
			break;
		buf_append(above, &at, sizeof(at));
		up = openat(fd, "..", flags);
		close(fd);
		fd = up;
	}
}

static bool
is_forbidden(const struct web_roots *rs, const struct web_root *r)
{
	for (size_t i = 0; i < rs->above.len; i += sizeof(struct web_folder)) {
		struct web_folder at;

		memcpy(&at, rs->above.data + i, sizeof(at));
		if (at.dev == r->dev && at.ino == r->ino)
			return true;
	}
	return false;
}

/* What cannot be opened any more goes on as it is: whoever replaces a folder
 * may have it away for a moment. */
static int
found(struct web_roots *rs, struct web_root *r)
{
	struct web_root *now = rs->current;

	if (r == NULL ||
		(now != NULL && now->dev == r->dev && now->ino == r->ino))
		return 0;
	if (is_forbidden(rs, r))
		return err_new(-EPERM);
	web_root_unref(now);
	rs->current = web_root_ref(r);
	return 0;
}

static void
looked(struct env_job *job, bool ran)
{
	struct web_look *l = container_of(job, struct web_look, job);

	if (l->roots != NULL) {
		l->roots->look = NULL;
		(void)found(l->roots, l->found);
	}
	service_release(l->service);
	web_root_unref(l->found);
	free(l);
}

static void
look_again(struct web_roots *rs)
{
	size_t len = strlen(rs->path) + 1;
	struct web_look *l = malloc(sizeof(*l) + len);

	if (l == NULL)
		return;
	*l = (struct web_look){
		.job = {.run = look,
			.done = looked,
			.uid = WEB_OPENS,
			.slow = rs->current == NULL || rs->current->slow},
		.roots = rs,
		.service = rs->service,
	};
	memcpy(l->path, rs->path, len);
	rs->look = l;
	service_hold(rs->service);
	rs->env->ops->job(rs->env->ctx, &l->job);
}

static int
open_now(struct web_roots *rs)
{
	struct web_root *r = NULL;
	int result = root_open(rs->path, &r);

	if (result == 0)
		result = found(rs, r);
	web_root_unref(r);
	return err_pass(result);
}

static int
set_above(struct web_roots *rs, const char *const *own)
{
	struct buf above;
	int r;

	buf_init(&above, ABOVE_MAX);
	for (; own != NULL && *own != NULL; own++)
		add_above(&above, *own);
	r = buf_error(&above);
	if (r != 0) {
		buf_done(&above);
		return err_pass(r);
	}
	buf_done(&rs->above);
	rs->above = above;
	return 0;
}

void
web_roots_init(
	struct web_roots *rs, struct service *service, const struct env *env)
{
	memset(rs, 0, sizeof(*rs));
	buf_init(&rs->above, ABOVE_MAX);
	rs->service = service;
	rs->env = env;
}

void
web_roots_done(struct web_roots *rs)
{
	assert(rs->look == NULL);
	web_root_unref(rs->current);
	buf_done(&rs->above);
	free(rs->path);
}

/* Whoever has it read anew wants to see it at once, but not at the price of
 * everybody's waiting for a server. */
int
web_roots_set(struct web_roots *rs, const char *path, const char *const *own,
	int64_t now_s)
{
	char *copy;
	int r = set_above(rs, own);

	if (r != 0)
		return err_pass(r);
	if (path != NULL && rs->current != NULL && strcmp(path, rs->path) == 0)
		return rs->current->slow ? 0 : err_pass(open_now(rs));
	copy = path != NULL ? strdup(path) : NULL;
	if (copy == NULL && path != NULL)
		return err_new(-ENOMEM);
	if (rs->look != NULL)
		rs->look->roots = NULL;
	rs->look = NULL;
	free(rs->path);
	rs->path = copy;
	rs->looked_s = now_s;
	rs->current = web_root_unref(rs->current);
	return path != NULL ? err_pass(open_now(rs)) : 0;
}

struct web_root *
web_roots_get(struct web_roots *rs, int64_t now_s)
{
	if (rs->path != NULL && rs->look == NULL && rs->looked_s != now_s) {
		rs->looked_s = now_s;
		look_again(rs);
	}
	return rs->current;
}

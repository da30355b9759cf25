/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a path may wait for a disk, or for somebody's server.  So the look is
 * a worker's, one at a time, and at most one in a second in which anybody asks
 * for something.  Requests that are under way keep the root that they began
 * with.
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

/* What cannot be opened any more goes on as it is: whoever replaces a folder
 * may have it away for a moment. */
static void
found(struct web_roots *rs, struct web_root *r)
{
	struct web_root *now = rs->current;

	if (r == NULL ||
		(now != NULL && now->dev == r->dev && now->ino == r->ino))
		return;
	web_root_unref(now);
	rs->current = web_root_ref(r);
}

static void
looked(struct env_job *job, bool ran)
{
	struct web_look *l = container_of(job, struct web_look, job);

	if (l->roots != NULL) {
		l->roots->look = NULL;
		found(l->roots, l->found);
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

/* Whoever has it read anew wants to see it at once, but not at the price of
 * everybody's waiting for a server. */
static int
look_now(struct web_roots *rs)
{
	struct web_root *r = NULL;
	int result;

	if (rs->current->slow)
		return 0;
	result = root_open(rs->path, &r);
	found(rs, r);
	web_root_unref(r);
	return err_pass(result);
}

void
web_roots_init(
	struct web_roots *rs, struct service *service, const struct env *env)
{
	memset(rs, 0, sizeof(*rs));
	rs->service = service;
	rs->env = env;
}

void
web_roots_done(struct web_roots *rs)
{
	assert(rs->look == NULL);
	web_root_unref(rs->current);
	free(rs->path);
}

int
web_roots_set(struct web_roots *rs, const char *path, int64_t now_s)
{
	char *copy;

	if (path != NULL && rs->current != NULL && strcmp(path, rs->path) == 0)
		return err_pass(look_now(rs));
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
	if (path == NULL)
		return 0;
	return err_pass(root_open(path, &rs->current));
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

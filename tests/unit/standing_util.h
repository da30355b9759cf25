/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of standing publications share: files that lie still, and the
 * calls about them. */
#ifndef TESTS_STANDING_UTIL_H
#define TESTS_STANDING_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/standing.h"
#include "tests/unit/core_env.h"
#include "tests/unit/failalloc.h"

#define LEN    3000000u
#define V1     PCCRC_MAKE_V1
#define V2     PCCRC_MAKE_V2
#define BOTH   (V1 | V2)
#define OLD_MS 10000 /* how long ago files were changed */

static const struct session_range whole = {0, 0};
static uint8_t *data;
static char folder[] = "/tmp/peerdist-standing-XXXXXX";
static char path_a[64], path_b[64];

static inline int
setup(void **state)
{
	data = script_content(LEN);
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path_a, sizeof(path_a), "%s/a", folder);
	snprintf(path_b, sizeof(path_b), "%s/b", folder);
	return 0;
}

static inline int
teardown(void **state)
{
	free(data);
	unlink(path_a);
	unlink(path_b);
	return rmdir(folder);
}

static inline struct session_label
label_of(const char *path)
{
	return (struct session_label){(const uint8_t *)path, strlen(path)};
}

static inline void
make_file(const char *path, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static inline uint64_t
ms_of(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* It is so long after the file's last change. */
static inline void
set_age(struct script *x, const char *path, uint64_t age_ms)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	x->wall_ms = ms_of(st.st_ctim) + age_ms - x->now_ms;
}

/* Another mtime, so that it is another file for whoever looks. */
static inline void
change(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	st.st_mtim.tv_sec -= 100;
	assert_int_equal(
		utimensat(AT_FDCWD, path,
			(struct timespec[]){st.st_mtim, st.st_mtim}, 0),
		0);
}

static inline void
init(struct script *x)
{
	script_init(x, MODE_LOCAL);
	make_file(path_a, LEN);
	set_age(x, path_a, OLD_MS);
}

static inline enum core_result
submit(struct script *x, uint64_t op, const char *path, const char *file,
	unsigned versions)
{
	struct session_label label = label_of(path);
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return session_publish_standing(x->session, op, &label, fd, versions);
}

static inline enum core_result
status_of(struct script *x, uint64_t op)
{
	assert_int_equal(script_op_of(x, op)->completions, 1);
	return script_op_of(x, op)->result.status;
}

static inline enum core_result
publish(struct script *x, const char *path, const char *file, unsigned versions)
{
	uint64_t op = script_op(x);

	assert_int_equal(submit(x, op, path, file, versions), CORE_OK);
	script_settle(x);
	return status_of(x, op);
}

static inline enum core_result
open_info(struct script *x, const char *path, uint64_t *ret_handle)
{
	struct session_label label = label_of(path);

	return script_info_open(x, &label, &whole, 1, 2, ret_handle);
}

static inline enum core_result
can_open(struct script *x, const char *path)
{
	uint64_t handle = 0;
	enum core_result r = open_info(x, path, &handle);

	if (r == CORE_OK)
		assert_int_equal(
			session_info_close(x->session, handle), CORE_OK);
	return r;
}

static inline uint64_t
count(struct script *x)
{
	struct hash_stats st;

	x->hashes->ops->stats(x->hashes, &st);
	return st.entries;
}

static inline bool
take_view(const struct standing_view *v, void *ctx)
{
	*(struct standing_view *)ctx = *v;
	return false;
}

static inline struct standing_view
first_view(struct script *x)
{
	struct standing_view v = {0};

	standing_each(x->service, 0, take_view, &v);
	return v;
}

#endif

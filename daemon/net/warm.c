/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking is reading a byte that must not be waited for.  Pages come and go in
 * groups, so a few of them speak for the rest: the first and the last, and in a
 * window one in each of the pieces in which the kernel reads ahead.
 *
 * Reading is done in a worker, into a buffer that nobody looks at.  A whole
 * window is a piece of something longer, most likely: the disk begins with the
 * next one while this one is being sent.
 */
#include "daemon/net/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"

#define STEP   (128u << 10)
#define NOBODY UINT32_MAX /* as whose the workers read */

static bool
is_there(int fd, uint64_t at)
{
	uint8_t byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	return preadv2(fd, &iov, 1, (off_t)at, RWF_NOWAIT) >= 0 ||
		errno != EAGAIN;
}

/* The end first, which is read last. */
bool
warm_is(int fd, uint64_t offset, uint64_t len)
{
	if (!is_there(fd, offset + len - 1))
		return false;
	for (uint64_t at = 0; at < len; at += STEP)
		if (!is_there(fd, offset + at))
			return false;
	return true;
}

/* Worker thread.  Errors are for whoever sends it to find. */
static void
read_in(struct env_job *job, struct bulk *bulk)
{
	const struct warm *w = container_of(job, struct warm, job);
	uint64_t at = w->offset;
	uint64_t end = at + w->len;
	uint8_t junk[16384];

	(void)posix_fadvise(
		w->fd, (off_t)at, (off_t)w->len, POSIX_FADV_WILLNEED);
	if (w->len >= WARM_WINDOW)
		(void)posix_fadvise(
			w->fd, (off_t)end, WARM_WINDOW, POSIX_FADV_WILLNEED);
	while (at < end) {
		ssize_t n = pread(
			w->fd, junk, MIN_OF(sizeof(junk), end - at), (off_t)at);

		if (n <= 0 && (n == 0 || errno != EINTR))
			return;
		at += n > 0 ? (uint64_t)n : 0;
	}
}

static void
was_read(struct env_job *job, bool ran)
{
	struct warm *w = container_of(job, struct warm, job);

	w->done(w);
}

void
warm_start(struct warm *w, const struct env *env, bool slow)
{
	w->job = (struct env_job){
		.run = read_in,
		.done = was_read,
		.uid = NOBODY,
		.slow = slow,
	};
	env->ops->job(env->ctx, &w->job);
}

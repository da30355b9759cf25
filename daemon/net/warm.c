/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking is reading a byte that must not be waited for.  Pages come and go in
 * groups, so a few of them speak for the rest: the first and the last, and in a
 * window one in each of the pieces in which the kernel reads ahead.
 *
 * Reading is done in a worker, into a buffer that nobody looks at unless
 * somebody brings one.  A whole window is a piece of something longer, most
 * likely: the disk begins with the next one while this one is being sent.
 */
#include "daemon/net/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/macros.h"

#define STEP (128u << 10)

/* Of statfs(2). */
#define TMPFS 0x01021994
#define RAMFS 0x858458f6

static bool
is_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
		((uint32_t)fs.f_type == TMPFS || (uint32_t)fs.f_type == RAMFS);
}

/* Errors are for whoever sends it to find. */
static bool
is_there(int fd, uint64_t at)
{
	uint8_t byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};

	if (preadv2(fd, &iov, 1, (off_t)at, RWF_NOWAIT) >= 0)
		return true;
	/* Images of discs, FAT and others: whoever cannot say may have to
	 * wait. */
	if (errno == EOPNOTSUPP)
		return is_in_memory(fd);
	return errno != EAGAIN;
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

/* Worker thread, as what follows. */
static void
read_ahead(const struct warm *w)
{
	uint64_t end = w->offset + w->len;

	(void)posix_fadvise(
		w->fd, (off_t)w->offset, (off_t)w->len, POSIX_FADV_WILLNEED);
	if (w->len >= WARM_WINDOW)
		(void)posix_fadvise(
			w->fd, (off_t)end, WARM_WINDOW, POSIX_FADV_WILLNEED);
}

static void
read_in(struct env_job *job, struct bulk *bulk)
{
	struct warm *w = container_of(job, struct warm, job);
	uint8_t junk[16384];

	if (w->into == NULL)
		read_ahead(w);
	while (w->got < w->len) {
		uint8_t *to = w->into != NULL ? w->into + w->got : junk;
		uint64_t most = w->into != NULL ? w->len : sizeof(junk);
		ssize_t n = pread(w->fd, to, MIN_OF(most, w->len - w->got),
			(off_t)(w->offset + w->got));

		if (n <= 0 && (n == 0 || errno != EINTR))
			return;
		w->got += n > 0 ? (size_t)n : 0;
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
	w->got = 0;
	w->job = (struct env_job){
		.run = read_in,
		.done = was_read,
		.uid = w->uid,
		.slow = slow,
	};
	env->ops->job(env->ctx, &w->job);
}

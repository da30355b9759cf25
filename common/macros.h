/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_MACROS_H
#define COMMON_MACROS_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* Runs fn(&variable) when the variable leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void
cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void
cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_FD   CLEANUP(cleanup_fd)

/* Hands the pointer on and leaves NULL behind, so that its cleanup is idle. */
#define TAKE_PTR(p) \
	({ \
		__typeof__(p) take_ptr_ = (p); \
		(p) = NULL; \
		take_ptr_; \
	})

/* The same for a descriptor; -1 stays behind. */
#define TAKE_FD(fd) \
	({ \
		int take_fd_ = (fd); \
		(fd) = -1; \
		take_fd_; \
	})

#endif

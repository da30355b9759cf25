/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_CLOSE_H
#define COMMON_CLOSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* So many descriptors can come with one message (SCM_MAX_FD of the kernel). */
#define CLOSE_RIGHTS_MAX 253

/* Closes a foreign descriptor without waiting for anybody: soon.  It goes on
 * the account of a user, who gave it.  -1 is allowed. */
void fd_close_foreign(int fd, uint32_t user);
/* Closes a connection of AF_UNIX, which nobody else has, in the same way; at
 * once, if all that came by it has been read. */
void fd_close_local(int fd);
/* recv() for such a connection: descriptors that come are closed. */
ssize_t fd_recv_local(int fd, void *dst, size_t size);
/* What is sent out of band is read like everything else: passed over by a
 * recv(), it would be released by that. */
void fd_in_band(int fd);
/* Who is at the other end of such a connection, or was when it was made. */
uint32_t fd_local_user(int fd);
/* Gives the memory of a shared mapping back, and ends it: soon. */
void map_close_shared(void *map, size_t size, uint32_t user);
/* How many of all these are not closed yet: of all users, of one. */
unsigned fd_closing(void);
unsigned fd_closing_of(uint32_t user);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_CLOSE_H
#define COMMON_CLOSE_H

/* Closes a foreign descriptor without waiting for anybody; pipes, local
 * sockets and memfds are closed when it returns, others soon.  -1 is allowed.
 */
void fd_close_foreign(int fd);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: from systemd, or our own. */
#ifndef DAEMON_MANAGER_SOCKET_H
#define DAEMON_MANAGER_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

struct control_socket {
	int fd;      /* listening, non-blocking; -1 none */
	int lock_fd; /* of an own one */
	bool own;
	dev_t dev;
	ino_t ino;
	char path[108];
};

/* One that was passed, taken over; path is what the settings say. */
void control_socket_adopt(struct control_socket *, const char *path, int fd);
/* Makes path.  -EADDRINUSE: another daemon serves there.  *ret_why: what went
 * wrong, in words. */
int control_socket_open(
	struct control_socket *, const char *path, const char **ret_why);
/* Closes it, removes an own one from the file system if it is still ours. */
void control_socket_close(struct control_socket *);

#endif

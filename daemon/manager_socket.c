/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An own socket: a lock on PATH.lock keeps a second daemon of ours away, from
 * before the look at the socket until the end.  A connect tells whether some
 * other program listens there; if nobody does, what is there is stale.  The
 * new one is bound to a name of its own, opened to everybody (the daemon asks
 * the kernel who a client is), and then renamed, so that nobody ever finds a
 * socket that is not ready.
 */
#include "daemon/manager_socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/err.h"
#include "common/macros.h"

#define BACKLOG 1024

static void
set_address(struct sockaddr_un *sun, const char *path)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", path);
}

static int
take_lock(struct control_socket *s, const char **ret_why)
{
	char path[sizeof(s->path) + 8];
	AUTO_FD int fd = -1;

	snprintf(path, sizeof(path), "%s.lock", s->path);
	*ret_why = "the folder of the socket cannot be used";
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_new(-errno);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		*ret_why = "another daemon is serving there";
		return err_new(-EADDRINUSE);
	}
	s->lock_fd = TAKE_FD(fd);
	return 0;
}

/* 0: nobody there. */
static int
check_nobody(const char *path, const char **ret_why)
{
	AUTO_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun;
	struct stat st;

	*ret_why = "the socket cannot be looked at";
	if (fd < 0)
		return err_new(-errno);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : err_new(-errno);
	if (!S_ISSOCK(st.st_mode)) {
		*ret_why = "something that is not a socket is there";
		return err_new(-EEXIST);
	}
	set_address(&sun, path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 &&
		errno == ECONNREFUSED)
		return 0;
	*ret_why = "another program is serving there";
	return err_new(-EADDRINUSE);
}

static int
bind_and_rename(struct control_socket *s, int fd, const char **ret_why)
{
	struct sockaddr_un sun;
	struct stat st;
	char temporary[sizeof(s->path) + 16];
	int r = 0;

	*ret_why = "the socket cannot be made";
	snprintf(temporary, sizeof(temporary), "%s.%d", s->path, (int)getpid());
	if (strlen(temporary) >= sizeof(sun.sun_path))
		return err_new(-ENAMETOOLONG);
	set_address(&sun, temporary);
	(void)unlink(temporary);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
		return err_new(-errno);
	if (chmod(temporary, 0666) != 0 || listen(fd, BACKLOG) != 0 ||
		stat(temporary, &st) != 0 || rename(temporary, s->path) != 0)
		r = err_new(-errno);
	if (r != 0) {
		(void)unlink(temporary);
		return r;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

static int
make_own(struct control_socket *s, const char **ret_why)
{
	AUTO_FD int fd = -1;
	int r;

	r = take_lock(s, ret_why);
	if (r == 0)
		r = check_nobody(s->path, ret_why);
	if (r != 0)
		return err_pass(r);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_new(-errno);
	r = bind_and_rename(s, fd, ret_why);
	if (r != 0)
		return err_pass(r);
	s->own = true;
	s->fd = TAKE_FD(fd);
	return 0;
}

static void
init(struct control_socket *s, const char *path, int fd)
{
	*s = (struct control_socket){.fd = fd, .lock_fd = -1};
	snprintf(s->path, sizeof(s->path), "%s", path);
}

void
control_socket_adopt(struct control_socket *s, const char *path, int fd)
{
	init(s, path, fd);
}

int
control_socket_open(
	struct control_socket *s, const char *path, const char **ret_why)
{
	int r;

	init(s, path, -1);
	r = make_own(s, ret_why);
	if (r != 0)
		control_socket_close(s);
	return r;
}

void
control_socket_close(struct control_socket *s)
{
	struct stat st;

	if (s->own && lstat(s->path, &st) == 0 && st.st_dev == s->dev &&
		st.st_ino == s->ino)
		(void)unlink(s->path);
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	*s = (struct control_socket){.fd = -1, .lock_fd = -1};
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/manager_passed.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "codec/pccrd.h"
#include "common/macros.h"
#include "daemon/log.h"

static void
free_names(char ***names)
{
	for (char **n = *names; n != NULL && *n != NULL; n++)
		free(*n);
	free(*names);
}

/* Of one family, as discovery shares the port among two sockets. */
static bool
is_discovery(int fd, int family)
{
	socklen_t len = sizeof(int);
	int alone = 0;

	if (sd_is_socket_inet(fd, family, SOCK_DGRAM, 0, PCCRD_PORT) <= 0)
		return false;
	return family == AF_INET ||
		(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, &len) == 0 &&
			alone != 0);
}

/* Where a socket of this name and kind belongs, or NULL. */
static int *
place_of(struct passed *p, const char *name, int fd)
{
	bool stream = sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) > 0;
	bool local = sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;

	if (strcmp(name, "control") == 0)
		return local ? &p->control : NULL;
	if (strcmp(name, "retrieval") == 0)
		return stream ? &p->retrieval : NULL;
	if (strcmp(name, "web") == 0)
		return stream || local ? &p->web : NULL;
	if (strcmp(name, "discovery") != 0)
		return NULL;
	if (is_discovery(fd, AF_INET))
		return &p->discovery_4;
	if (is_discovery(fd, AF_INET6))
		return &p->discovery_6;
	return NULL;
}

static bool
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void
passed_take(struct passed *p)
{
	CLEANUP(free_names) char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*p = (struct passed){-1, -1, -1, -1, -1};
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		int *place = place_of(p, names[i], fd);

		if (place != NULL && *place < 0 && set_nonblocking(fd)) {
			*place = fd;
			continue;
		}
		log_event(LOG_WARNING, "Socket from systemd is of no use",
			LOG_STR("NAME", names[i]));
		close(fd);
	}
}

void
passed_done(struct passed *p)
{
	int *const all[] = {&p->control, &p->retrieval, &p->discovery_4,
		&p->discovery_6, &p->web};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

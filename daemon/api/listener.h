/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: accepts clients, asks the kernel who they are, and holds
 * them. */
#ifndef API_LISTENER_H
#define API_LISTENER_H

#include "daemon/api/client.h"

struct listener;

/* fd: a listening AF_UNIX stream socket; taken over on success.  hooks may be
 * NULL, limits too (the defaults then); both are copied.  -ENOMEM, -errno. */
int listener_new(struct listener **ret_listener, struct event_base *,
	struct service *, int fd, const struct client_limits *,
	const struct api_hooks *);
/* Disconnects everybody and closes the socket.  Returns NULL. */
struct listener *listener_free(struct listener *);
const struct client_set *listener_clients(const struct listener *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One address on which a server listens, or is to: opened as the settings say,
 * or passed by systemd.  An address that cannot be had is no reason not to run:
 * the log and the status tell, and it is tried again.
 */
#ifndef DAEMON_MANAGER_LISTEN_H
#define DAEMON_MANAGER_LISTEN_H

#include <stdbool.h>

#include "common/parse.h"
#include "daemon/api/json_out.h"
#include "daemon/net/http_server.h"
#include "daemon/net/loop.h"

struct listening {
	/* Set by the owner before listening_init(), and kept. */
	const char *name;   /* in the status */
	const char *opened; /* what the log says of it */
	const char *refused;
	struct http_server *server;
	struct http_filter filter; /* allow NULL: everybody */
	/* One that was refused before is open now.  May be NULL. */
	void (*retried)(void *ctx);
	void *ctx;
	/* Its own. */
	struct http_listener *listener; /* NULL: does not listen */
	bool passed;                    /* by systemd: listens to the end */
	int error;                      /* why it does not listen, or 0 */
	struct parse_addr addr;
	struct loop_alarm again;
};

void listening_init(struct listening *, struct loop *);
/* From now on this descriptor is what it listens on.  Taken over; -1: none. */
void listening_adopt(struct listening *, int fd);
/* Where it is open already, at this address or passed, nothing happens. */
void listening_open(struct listening *, const struct parse_addr *);
/* What systemd passed stays open.  Connections stay, too. */
void listening_close(struct listening *);
/* All of it, for good. */
void listening_end(struct listening *);
/* Where it listens, really; 0: nowhere, or in the file system. */
uint16_t listening_port(const struct listening *);
/* An element of the array "listeners", if there is something to tell. */
void listening_put(const struct listening *, struct json *);
/* The member "server". */
void server_put_counters(const struct http_server *, struct json *);

#endif

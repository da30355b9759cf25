/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of a conversation, byte by byte, on the loop of the server
 * that it talks to.  What is expected has to come within net_wait()'s deadline.
 */
#ifndef TESTS_UNIT_HTTP_TALK_H
#define TESTS_UNIT_HTTP_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include "common/buf.h"
#include "daemon/net/loop.h"

struct talk {
	struct loop *loop;
	int fd;
	struct event readable;
	bool listening;
	struct buf in;
	size_t used; /* of in, what was expected already */
	bool over;   /* the server has closed */
	bool reset;
};

/* fd: connected, taken over. */
void talk_begin(struct talk *, struct loop *, int fd);
/* To 127.0.0.1. */
void talk_connect(struct talk *, struct loop *, uint16_t port);
void talk_end(struct talk *);
/* Closes with a reset. */
void talk_reset(struct talk *);

void talk_send(struct talk *, const void *data, size_t len);
void talk_say(struct talk *, const char *text);
/* No more from this side. */
void talk_finish(struct talk *);
/* Whether what comes is read: a client that does not is a full socket. */
void talk_listen(struct talk *, bool);

/* The next bytes are these. */
void talk_expect(struct talk *, const char *text);
void talk_expect_bytes(struct talk *, const void *data, size_t len);
/* Waits for so many more. */
const uint8_t *talk_await(struct talk *, size_t len);
/* Nothing more, and the end. */
void talk_expect_end(struct talk *);
/* Nothing has come that was not expected, and the connection is there. */
void talk_expect_nothing(struct talk *);

/* Lets the loop do whatever it can do without waiting. */
void talk_settle(struct loop *);

#endif

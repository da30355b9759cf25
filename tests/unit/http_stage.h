/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of connections with one service, and a conversation.  Every path has
 * the service but those that begin with "/-".  Whether pages are in memory is
 * made up.
 */
#ifndef TESTS_UNIT_HTTP_STAGE_H
#define TESTS_UNIT_HTTP_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/net/http_conn_priv.h"
#include "tests/unit/http_talk.h"

#define STAGE_BODY_MAX 1000u
#define STAGE_FILE_LEN (16u << 20)

struct http_stage {
	struct loop *loop;
	struct http_conn_set set;
	struct http_service service;
	unsigned fds;
	int file; /* STAGE_FILE_LEN bytes */
	uint8_t *memory;
	struct talk talk;
	/* what the service does; may be NULL */
	void (*handle)(struct http_conn *);
	void (*ended)(struct http_conn *);
	/* and saw */
	unsigned handled;
	unsigned whole;
	unsigned cut;
	uint64_t span_sent;
	/* the page cache */
	uint64_t cold_from; /* what is in it ends here */
	unsigned looks;
};

extern struct http_stage stage;

/* cmocka's. */
int stage_setup(void **state);
int stage_teardown(void **state);

/* A connection, and the talk with it. */
void stage_open(struct talk *);

/* For net_wait(). */
bool stage_all_closed(void *);
bool stage_all_ended(void *);

#endif

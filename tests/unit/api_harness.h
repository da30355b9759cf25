/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The api layer on the real core and the store in memory, in one thread: jobs
 * run when the loop has nothing else to do, and the test's own end of each
 * connection is read in between.  Waiting is turning the loop until something
 * has come; a test that waits in vain fails after WAIT_MS.
 */
#ifndef TESTS_UNIT_API_HARNESS_H
#define TESTS_UNIT_API_HARNESS_H

/* What cmocka.h needs in front of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "daemon/api/client.h"
#include "daemon/store/store_mem.h"
#include "daemon/store/store_mem_hash.h"
#include "proto/peerdist_errors.h"

#define WAIT_MS 20000
#define ALICE   1001u
#define BOB     1002u
#define ROOT    0u

struct harness {
	struct event_base *base;
	struct env env;
	uint64_t ahead_ms; /* of the service's clocks */
	struct env_job *jobs, **jobs_tail;
	struct bulk *bulk;
	struct block_store *store;
	struct hash_store *hashes;
	struct service_settings settings;
	struct service *service;
	struct client_limits limits;
	struct api_hooks hooks;
	struct client_set set;
};

extern struct harness h;

int harness_setup(void **state);
int harness_teardown(void **state);

/* One turn of the loop, then one job. */
void turn(void);
/* Turns the loop until the condition holds. */
#define TURN_UNTIL(condition) \
	do { \
		uint64_t give_up = clock_now_us() + WAIT_MS * US_PER_MS; \
		while (!(condition)) { \
			if (clock_now_us() > give_up) \
				fail_msg("in vain: %s", #condition); \
			turn(); \
		} \
	} while (0)

/* The test's end of one connection. */
struct end {
	struct ipc_chan *chan;
	uint8_t *area;
	size_t area_size;
	uint32_t write_size;
	bool closed;
};

/* The test's end of a new connection of this user. */
int connect_as(uint32_t uid);
void end_open(struct end *, int fd);
void end_close(struct end *);
void put(struct end *, enum ipc_type, uint64_t id, const void *body);
/* The next frame if there is one now. */
bool get_now(struct end *, struct ipc_msg *ret);
/* The next frame, which must be of this type and id. */
void get(struct end *, enum ipc_type, uint64_t id, struct ipc_msg *ret);
/* The code of a REPLY or an ACK. */
uint32_t get_code(struct end *, enum ipc_type, uint64_t id);
uint64_t get_handle(struct end *, uint64_t id);
uint32_t get_complete(struct end *, uint64_t id);
/* The daemon closes the connection, without a further frame. */
void get_closed(struct end *);
void put_hello(struct end *, uint32_t min, uint32_t max, uint64_t features);
/* Greets and maps the area if one came. */
void greet(struct end *, uint64_t features);
struct end session_as(uint32_t uid);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session over the socket's own frames, as lean as can be: requests are built
 * with ipc_build(), of the answers only the headers are looked at.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/ipc_msg.h"

struct frames {
	int fd;
	uint64_t next_request;
	struct buf out;
	uint8_t *in;
	size_t in_len;  /* bytes there */
	size_t in_used; /* of them, already handed out */
};

void bench_die(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
uint64_t bench_now_ns(void);
/* Of the whole process. */
uint64_t bench_cpu_ns(void);
void bench_pin(int cpu);
/* The middle of n values; sorts them. */
double bench_median(double *values, size_t n);
/* Waits for a line on standard input; false at its end. */
bool bench_go(void);

/* Connects to $PEERDIST_SOCKET and greets; a session when it asks for a data
 * area. */
void frames_open(struct frames *);
/* Appends a frame to what frames_send() will send. */
void frames_add(struct frames *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body);
void frames_send(struct frames *);
/* The next frame: its header; body is valid until the next call. */
struct ipc_header frames_next(struct frames *, const uint8_t **ret_body);
/* Whether a whole frame is there already. */
bool frames_have(const struct frames *);

/* A content handle, ready, of four blocks that nobody has. */
uint64_t frames_content(struct frames *);
/* Queues a BlockRead that waits for ever. */
void frames_add_read(struct frames *, uint64_t handle, uint64_t op);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon for the tests of the library: a thread behind a socket in a
 * temporary folder, which answers as the protocol says and otherwise does what
 * the test tells it.  By itself it accepts every operation and leaves it
 * pending; a cancel, a close or the end of the session completes what is
 * pending with 995 before it is answered.
 *
 * Tests wait for what the daemon has seen, never for time.
 */
#ifndef TESTS_UNIT_LIB_DAEMON_H
#define TESTS_UNIT_LIB_DAEMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libclient/peerdist.h"
#include "proto/ipc_chan.h"

#define FAKE_WRITE_SIZE (4u * 1024 * 1024)
#define FAKE_READ_SIZE  (4u * 1024 * 1024)
#define FAKE_WAIT_MS    20000

struct fake;

/* Called on the daemon's thread for each frame, before the usual answer; true:
 * the test has dealt with it.  May call fake_send() and friends. */
typedef bool (*fake_hook)(struct fake *, struct ipc_msg *, void *arg);

/* Makes folder and socket, sets PEERDIST_SOCKET; not running yet. */
struct fake *fake_new(void);
void fake_free(struct fake *);
void fake_start(struct fake *);
/* Closes the connection and goes away; whoever connects is refused. */
void fake_stop(struct fake *);
/* Closes the connection only. */
void fake_drop(struct fake *);
void fake_hook_set(struct fake *, fake_hook, void *arg);
/* What HELLO says: before the connection is made. */
void fake_status(struct fake *, uint32_t status);
void fake_max_operations(struct fake *, uint32_t n);
void fake_no_area(struct fake *);
/* Every request and operation is answered with this code; 0: as usual. */
void fake_refuse(struct fake *, uint32_t code);

/* From any thread. */
void fake_send(struct fake *, enum ipc_type, uint64_t id,
	const ProtobufCMessage *body);
void fake_send_bytes(struct fake *, const void *data, size_t len);
void fake_reply(struct fake *, enum ipc_type, uint64_t id, uint32_t code);
void fake_send_status(struct fake *, uint32_t status);
void fake_complete(struct fake *, uint64_t id, uint32_t code, uint32_t bytes);
/* The operation that was submitted n-th, from 0, in this test. */
void fake_complete_nth(struct fake *, unsigned n, uint32_t code);
uint64_t fake_nth_id(struct fake *, unsigned n);
uint8_t *fake_area(struct fake *);

/* Frames of this type that were seen so far; waits until there are n. */
unsigned fake_seen(struct fake *, enum ipc_type);
void fake_wait_seen(struct fake *, enum ipc_type, unsigned n);

/* With a deadline; the completion must come. */
void expect_packet(
	HANDLE port, OVERLAPPED *ov, ULONG_PTR key, DWORD code, DWORD bytes);
void expect_no_packet(HANDLE port);
/* Of an operation without port: through PeerDistGetOverlappedResult. */
void expect_result(OVERLAPPED *ov, DWORD code, DWORD bytes);

PEERDIST_INSTANCE_HANDLE start_instance(void);
HANDLE make_port(void);
PEERDIST_CONTENT_HANDLE open_content(
	PEERDIST_INSTANCE_HANDLE, HANDLE port, ULONG_PTR key);
PEERDIST_STREAM_HANDLE open_stream(
	PEERDIST_INSTANCE_HANDLE, HANDLE port, ULONG_PTR key);

#endif

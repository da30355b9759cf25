/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Input: one byte of flags, then a frame.  Flag 1: sent by the daemon; flag 2:
 * the length in the header stays as it is (otherwise it is set right, so that
 * the fuzzer need not find it).
 *
 * What is accepted must come back the same through the builder.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ipc_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fields that this version does not know are not its own to send. */
static void
forget_unknown(const struct ipc_msg *m)
{
	if (m->u.base == NULL)
		return;
	m->u.base->n_unknown_fields = 0;
	if (m->header.type == IPC_COMPLETE && m->u.complete->range != NULL)
		m->u.complete->range->base.n_unknown_fields = 0;
	if (m->u.base->descriptor == &pd__submit_add__descriptor)
		m->u.submit_add->slice->base.n_unknown_fields = 0;
}

static void
round_trip(const struct ipc_msg *m, enum ipc_from from)
{
	struct ipc_msg again;
	struct buf b, c;
	int r;

	forget_unknown(m);
	buf_init(&b, IPC_FRAME_MAX);
	buf_init(&c, IPC_FRAME_MAX);
	/* A non-canonical body may have been shorter than what is built. */
	if (ipc_build(&b, m->header.type, m->header.id, m->header.n_fds,
		    m->u.base) == 0) {
		r = ipc_parse(&again, b.data, b.len, from);
		assert(r == IPC_OK);
		r = ipc_build(&c, again.header.type, again.header.id,
			again.header.n_fds, again.u.base);
		assert(r == 0 && b.len == c.len);
		assert(memcmp(b.data, c.data, b.len) == 0);
		ipc_msg_done(&again);
	}
	buf_done(&b);
	buf_done(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum ipc_from from;
	struct ipc_msg m;
	uint8_t *frame;
	size_t len = size - 1;

	if (size < 1 + IPC_HEADER_SIZE || len > IPC_FRAME_MAX)
		return 0;
	from = data[0] & 1 ? IPC_FROM_DAEMON : IPC_FROM_CLIENT;
	frame = malloc(len);
	if (frame == NULL)
		return 0;
	memcpy(frame, data + 1, len);
	for (unsigned i = 0; i < 4 && (data[0] & 2) == 0; i++)
		frame[i] = (uint8_t)(len >> 8 * i);
	if (ipc_parse(&m, frame, len, from) == IPC_OK) {
		round_trip(&m, from);
		ipc_msg_done(&m);
	}
	free(frame);
	return 0;
}

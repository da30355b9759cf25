/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a program with an event loop uses the library: the completion port has a
 * descriptor, which the loop polls together with all its others.  When it is
 * readable the port is emptied without waiting, and each packet finds its
 * operation by the address of its OVERLAPPED, which is the operation's first
 * member.
 */
#include "get/branch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define PACKETS 32u

struct branch {
	PEERDIST_INSTANCE_HANDLE instance;
	PEERDIST_CONTENT_HANDLE content; /* NULL: none is open */
	HANDLE port;
	size_t pending;
	/* A content that is being opened. */
	struct branch_op describing;
	struct branch_op *opening;
};

struct branch *
branch_new(void)
{
	struct branch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->port = pdw_CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	if (b->port == NULL ||
		PeerDistStartup(PEERDIST_VERSION, &b->instance, NULL) !=
			ERROR_SUCCESS)
		return branch_free(b);
	return b;
}

struct branch *
branch_free(struct branch *b)
{
	if (b == NULL)
		return NULL;
	branch_close(b);
	if (b->instance != NULL)
		PeerDistShutdown(b->instance);
	if (b->port != NULL)
		pdw_CloseHandle(b->port);
	free(b);
	return NULL;
}

bool
branch_available(struct branch *b)
{
	PEERDIST_STATUS status;

	return PeerDistGetStatus(b->instance, &status) == ERROR_SUCCESS &&
		status == PEERDIST_STATUS_AVAILABLE;
}

int
branch_fd(const struct branch *b)
{
	return pdw_port_fd(b->port);
}

size_t
branch_pending(const struct branch *b)
{
	return b->pending;
}

static void
deliver(struct branch *b, LPOVERLAPPED ov)
{
	struct branch_op *op = container_of(ov, struct branch_op, ov);
	struct branch_end end = {
		.offset = (uint64_t)ov->OffsetHigh << 32 | ov->Offset,
	};
	DWORD bytes = 0;

	/* It has completed, so this does not wait. */
	if (!PeerDistGetOverlappedResult(ov, &bytes, FALSE))
		end.code = pdw_GetLastError();
	end.bytes = bytes;
	b->pending--;
	op->done(op, &end);
}

void
branch_take(struct branch *b)
{
	OVERLAPPED_ENTRY packets[PACKETS];
	ULONG n;

	while (pdw_GetQueuedCompletionStatusEx(
		b->port, packets, PACKETS, &n, 0, FALSE))
		for (ULONG i = 0; i < n; i++)
			deliver(b, packets[i].lpOverlapped);
}

/* Prepares one that concerns what begins at offset. */
static void
prepare(struct branch_op *op, uint64_t offset)
{
	op->ov = (OVERLAPPED){
		.Offset = (DWORD)offset,
		.OffsetHigh = (DWORD)(offset >> 32),
	};
}

static DWORD
started(struct branch *b, DWORD code)
{
	if (code != ERROR_IO_PENDING)
		return code;
	b->pending++;
	return ERROR_SUCCESS;
}

DWORD
branch_read(struct branch *b, const struct branch_piece *piece,
	DWORD timeout_ms, struct branch_op *op)
{
	prepare(op, piece->offset);
	return started(b,
		PeerDistClientBlockRead(b->instance, b->content, piece->len,
			piece->bytes, timeout_ms, &op->ov));
}

DWORD
branch_read_on(struct branch *b, const struct branch_piece *piece,
	DWORD timeout_ms, struct branch_op *op)
{
	prepare(op, 0);
	return started(b,
		PeerDistClientStreamRead(b->instance, b->content, piece->len,
			piece->bytes, timeout_ms, &op->ov));
}

DWORD
branch_add(struct branch *b, const struct branch_piece *piece,
	struct branch_op *op)
{
	prepare(op, piece->offset);
	return started(b,
		PeerDistClientAddData(b->instance, b->content, piece->len,
			piece->bytes, &op->ov));
}

/* All of it is there: checked, and ready for reads. */
static void
complete(struct branch_op *describing, const struct branch_end *end)
{
	struct branch *b = container_of(describing, struct branch, describing);
	struct branch_op *op = b->opening;
	struct branch_end failed = *end;

	if (failed.code == ERROR_SUCCESS) {
		prepare(op, 0);
		failed.code = started(b,
			PeerDistClientCompleteContentInformation(
				b->instance, b->content, &op->ov));
	}
	if (failed.code != ERROR_SUCCESS)
		op->done(op, &failed);
}

DWORD
branch_open(struct branch *b, const char *label, const uint8_t *info,
	size_t len, struct branch_op *op)
{
	PEERDIST_CONTENT_TAG tag = {{0}};
	DWORD code;

	assert(b->content == NULL);
	memcpy(tag.Data, label, MIN_OF(strlen(label), sizeof(tag.Data)));
	code = PeerDistClientOpenContent(
		b->instance, &tag, b->port, 0, &b->content);
	if (code != ERROR_SUCCESS) {
		b->content = NULL;
		return code;
	}
	b->opening = op;
	b->describing.done = complete;
	prepare(&b->describing, 0);
	return started(b,
		PeerDistClientAddContentInformation(b->instance, b->content,
			(DWORD)len, (PBYTE)info, &b->describing.ov));
}

void
branch_close(struct branch *b)
{
	if (b->content == NULL)
		return;
	/* When this returns, the ends of all operations are in the port.  An
	 * end that begins something new does so in vain. */
	PeerDistClientCloseContent(b->instance, b->content);
	branch_take(b);
	b->content = NULL;
	assert(b->pending == 0);
}

const char *
branch_reason(DWORD code)
{
	switch (code) {
	case ERROR_NOT_ENOUGH_MEMORY:
		return "the service has no memory";
	case ERROR_INVALID_DATA:
		return "the bytes are not those that were described";
	case ERROR_DISK_FULL:
		return "the cache has no room";
	case ERROR_IO_DEVICE:
		return "the cache cannot be written";
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return "the service is disabled, or not for this user";
	case ERROR_NO_SYSTEM_RESOURCES:
		return "over a limit of the service";
	case PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED:
	case PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO:
		return "the service cannot read the content information";
	case PEERDIST_ERROR_INVALIDATED:
	case PEERDIST_ERROR_SERVICE_UNAVAILABLE:
		return "the service went away";
	default:
		return "the service failed";
	}
}

bool
branch_is_lost(DWORD code)
{
	return code == ERROR_INVALID_HANDLE ||
		code == ERROR_ACCESS_DISABLED_BY_POLICY ||
		code == PEERDIST_ERROR_INVALIDATED ||
		code == PEERDIST_ERROR_SERVICE_UNAVAILABLE ||
		code == PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
}

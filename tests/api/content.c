/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/api/content.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Not a multiple of anything. */
#define SLICE (MiB + 300001u)

struct test_bytes
test_random(size_t len, unsigned seed)
{
	struct test_bytes b = {malloc(len + 8), len};
	uint64_t x = 0x9E3779B97F4A7C15u * (seed + 1);

	CHECK(b.data != NULL);
	for (size_t i = 0; i < len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(b.data + i, &x, 8);
	}
	return b;
}

void
test_bytes_free(struct test_bytes *b)
{
	free(b->data);
	*b = (struct test_bytes){NULL, 0};
}

PEERDIST_STREAM_HANDLE
test_stream_open(PEERDIST_INSTANCE_HANDLE h, const char *id, ULONGLONG length,
	DWORD version)
{
	PEERDIST_PUBLICATION_OPTIONS options = {version, 0};
	PEERDIST_STREAM_HANDLE stream = NULL;

	CHECK_EQ(OBSERVED(PeerDistServerPublishStream, h, IDENT(id), length,
			 version ? &options : NULL, NULL, 0, &stream),
		ERROR_SUCCESS);
	return stream;
}

void
test_publish(PEERDIST_INSTANCE_HANDLE h, const char *id,
	const struct test_bytes *b, DWORD version)
{
	PEERDIST_STREAM_HANDLE s = test_stream_open(h, id, b->len, version);
	DWORD n, bytes;

	for (size_t at = 0; at < b->len; at += n) {
		struct test_op op;

		n = b->len - at < SLICE ? (DWORD)(b->len - at) : SLICE;
		CHECK_EQ(START(&op, PeerDistServerPublishAddToStream, h, s, n,
				 b->data + at),
			ERROR_IO_PENDING);
		CHECK_EQ(test_op_end(&op, &bytes), ERROR_SUCCESS);
		CHECK_EQ(bytes, n);
	}
	CHECK_EQ(RUN(PeerDistServerPublishCompleteStream, h, s), ERROR_SUCCESS);
	CHECK_EQ(
		OBSERVED(PeerDistServerCloseStreamHandle, h, s), ERROR_SUCCESS);
}

/* One more piece; false at the end. */
static bool
retrieve(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENTINFO_HANDLE ci,
	DWORD piece, struct test_bytes *info)
{
	struct test_op op;
	DWORD code, bytes;

	info->data = realloc(info->data, info->len + piece);
	CHECK(info->data != NULL);
	code = START(&op, PeerDistServerRetrieveContentInformation, h, ci,
		piece, info->data + info->len);
	CHECK_EQ(code, ERROR_IO_PENDING);
	code = test_op_end(&op, &bytes);
	if (code == PEERDIST_ERROR_NO_MORE) {
		CHECK_EQ(bytes, 0);
		return false;
	}
	CHECK_EQ(code, ERROR_SUCCESS);
	CHECK(bytes > 0 && bytes <= piece);
	CHECK_EQ(test_op_offset(&op), info->len);
	info->len += bytes;
	return true;
}

struct test_bytes
test_info(PEERDIST_INSTANCE_HANDLE h, const char *id, DWORD version,
	ULONGLONG offset, ULONGLONG len)
{
	PEERDIST_RETRIEVAL_OPTIONS options = {
		sizeof(options), version, version, 0};
	PEERDIST_CONTENTINFO_HANDLE ci = NULL;
	struct test_bytes info = {NULL, 0};
	DWORD piece = 1;

	CHECK_EQ(OBSERVED(PeerDistServerOpenContentInformationEx, h, IDENT(id),
			 offset, len, &options, NULL, 0, &ci),
		ERROR_SUCCESS);
	while (retrieve(h, ci, piece, &info))
		piece = piece < 200000 ? piece * 3 + 1 : 1000003;
	CHECK_EQ(OBSERVED(PeerDistServerCloseContentInformation, h, ci),
		ERROR_SUCCESS);
	CHECK(info.len > 2);
	CHECK_EQ(info.data[1], version);
	return info;
}

struct test_bytes
test_describe(const struct test_bytes *b, DWORD version)
{
	PEERDIST_INSTANCE_HANDLE h = test_startup();
	struct test_bytes info;
	char id[32];

	/* Other processes of the user may do the same. */
	snprintf(id, sizeof(id), "describe-%d", (int)getpid());
	test_publish(h, id, b, version);
	info = test_info(h, id, version, 0, 0);
	test_shutdown(h);
	return info;
}

static BYTE *
put(BYTE *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (BYTE)(value >> 8 * i);
	return at + bytes;
}

struct test_bytes
test_made_up_info(unsigned segments)
{
	/* [MS-PCCRC] 2.3: header, segment descriptions, lists of hashes. */
	size_t list = 4 + 32u * (SEGMENT / BLOCK);
	struct test_bytes b =
		test_random(18 + segments * (80u + list), segments);
	BYTE *at = b.data;

	at = put(at, 0x0100, 2);
	at = put(at, 0x800C, 4);
	at = put(at, 0, 4);
	at = put(at, 0, 4);
	at = put(at, segments, 4);
	for (unsigned i = 0; i < segments; i++) {
		at = put(at, (uint64_t)i * SEGMENT, 8);
		at = put(at, SEGMENT, 4);
		at = put(at, BLOCK, 4) + 64;
	}
	for (unsigned i = 0; i < segments; i++, at += list)
		(void)put(at, SEGMENT / BLOCK, 4);
	return b;
}

PEERDIST_CONTENT_HANDLE
test_open(PEERDIST_INSTANCE_HANDLE h, BYTE tag)
{
	PEERDIST_CONTENT_TAG t;
	PEERDIST_CONTENT_HANDLE c = NULL;

	memset(&t, tag, sizeof(t));
	CHECK_EQ(OBSERVED(PeerDistClientOpenContent, h, &t, NULL, 0, &c),
		ERROR_SUCCESS);
	return c;
}

DWORD
test_feed(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *info, size_t piece)
{
	struct test_op op;
	DWORD n, code, bytes;

	for (size_t at = 0; at < info->len; at += n) {
		n = (DWORD)(info->len - at < piece ? info->len - at : piece);
		code = START(&op, PeerDistClientAddContentInformation, h, c, n,
			info->data + at);
		if (code != ERROR_IO_PENDING)
			return code;
		code = test_op_end(&op, &bytes);
		if (code != ERROR_SUCCESS)
			return code;
		CHECK_EQ(bytes, n);
	}
	return ERROR_SUCCESS;
}

PEERDIST_CONTENT_HANDLE
test_open_ready(
	PEERDIST_INSTANCE_HANDLE h, BYTE tag, const struct test_bytes *info)
{
	PEERDIST_CONTENT_HANDLE c = test_open(h, tag);

	CHECK_EQ(test_feed(h, c, info, 77777), ERROR_SUCCESS);
	CHECK_EQ(RUN(PeerDistClientCompleteContentInformation, h, c),
		ERROR_SUCCESS);
	return c;
}

DWORD
test_add(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *b, ULONGLONG offset, size_t len)
{
	struct test_op op;
	DWORD code, bytes;

	CHECK_EQ(START_AT(&op, offset, PeerDistClientAddData, h, c, (DWORD)len,
			 b->data + offset),
		ERROR_IO_PENDING);
	code = test_op_end(&op, &bytes);
	CHECK_EQ(bytes, code == ERROR_SUCCESS ? len : 0);
	return code;
}

DWORD
test_block_read(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	ULONGLONG offset, struct test_bytes *room, DWORD *ret_bytes,
	ULONGLONG *ret_offset)
{
	struct test_op op;
	DWORD code;

	CHECK_EQ(START_AT(&op, offset, PeerDistClientBlockRead, h, c,
			 (DWORD)room->len, room->data, 0),
		ERROR_IO_PENDING);
	code = test_op_end(&op, ret_bytes);
	*ret_offset = test_op_offset(&op);
	return code;
}

void
test_compare(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *b, ULONGLONG start, ULONGLONG end)
{
	static BYTE room[700001];
	ULONGLONG at = start;
	struct test_op op;
	DWORD code, bytes;

	for (;;) {
		CHECK_EQ(START(&op, PeerDistClientStreamRead, h, c,
				 sizeof(room), room, 0),
			ERROR_IO_PENDING);
		code = test_op_end(&op, &bytes);
		if (code == PEERDIST_ERROR_NO_MORE)
			break;
		CHECK_EQ(code, ERROR_SUCCESS);
		CHECK_EQ(test_op_offset(&op), at);
		CHECK(at + bytes <= end);
		CHECK(memcmp(room, b->data + at, bytes) == 0);
		at += bytes;
	}
	CHECK_EQ(at, end);
}

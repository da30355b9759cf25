/* SPDX-License-Identifier: BSD-2-Clause */
/* Contents for the tests: made up, published, described, opened, compared. */
#ifndef TESTS_API_CONTENT_H
#define TESTS_API_CONTENT_H

#include "tests/api/support.h"

struct test_bytes {
	BYTE *data;
	size_t len;
};

/* The same bytes for the same seed. */
struct test_bytes test_random(size_t len, unsigned seed);
void test_bytes_free(struct test_bytes *);

#define MiB       (1024u * 1024u)
#define BLOCK     65536u
#define SEGMENT   (32u * MiB)
#define IDENT(id) (DWORD) strlen(id), (PBYTE)(id)

/* An open publication; version 0: no options. */
PEERDIST_STREAM_HANDLE test_stream_open(PEERDIST_INSTANCE_HANDLE,
	const char *id, ULONGLONG length, DWORD version);
/* Publishes in slices of more than 1 MiB and closes the stream. */
void test_publish(PEERDIST_INSTANCE_HANDLE, const char *id,
	const struct test_bytes *, DWORD version);
/* The content information of [offset, +len), read in odd pieces. */
struct test_bytes test_info(PEERDIST_INSTANCE_HANDLE, const char *id,
	DWORD version, ULONGLONG offset, ULONGLONG len);
/* Publish and describe in one go, with a session of its own. */
struct test_bytes test_describe(const struct test_bytes *, DWORD version);
/* Content information of version 1 that is well-formed as far as can be told
 * before its end, for this many segments of 32 MiB; its hashes are made up, so
 * that only Complete finds it wrong. */
struct test_bytes test_made_up_info(unsigned segments);
/* A content handle without port, tag all the same byte. */
PEERDIST_CONTENT_HANDLE test_open(PEERDIST_INSTANCE_HANDLE, BYTE tag);
/* Feeds the information in pieces of this size; the first code that is not
 * 0. */
DWORD test_feed(PEERDIST_INSTANCE_HANDLE, PEERDIST_CONTENT_HANDLE,
	const struct test_bytes *info, size_t piece);
/* Open, feed, complete. */
PEERDIST_CONTENT_HANDLE test_open_ready(
	PEERDIST_INSTANCE_HANDLE, BYTE tag, const struct test_bytes *info);
/* AddData of [offset, +len) of the content. */
DWORD test_add(PEERDIST_INSTANCE_HANDLE, PEERDIST_CONTENT_HANDLE,
	const struct test_bytes *, ULONGLONG offset, size_t len);
/* BlockRead from what is here; *ret_bytes, *ret_offset as completed. */
DWORD test_block_read(PEERDIST_INSTANCE_HANDLE, PEERDIST_CONTENT_HANDLE,
	ULONGLONG offset, struct test_bytes *room, DWORD *ret_bytes,
	ULONGLONG *ret_offset);
/* Reads [start, end) with stream reads, all of it present, and compares. */
void test_compare(PEERDIST_INSTANCE_HANDLE, PEERDIST_CONTENT_HANDLE,
	const struct test_bytes *, ULONGLONG start, ULONGLONG end);

#endif

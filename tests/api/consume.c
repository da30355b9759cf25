/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The consumer's whole loop, without peers: describe, open, learn what is
 * missing, give it, read it; both versions, whole and in ranges.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/api/content.h"

#define IS(want, fn, ...) CHECK_EQ(OBSERVED(fn, __VA_ARGS__), want)

/* Reads with timeout 0 and gives what is missing until the end comes. */
static void
loop_until_whole(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *b, ULONGLONG start, ULONGLONG end)
{
	static BYTE room[300001];
	ULONGLONG at = start;
	struct test_op op;
	DWORD code, bytes;

	for (;;) {
		CHECK_EQ(
			START(&op, PeerDistClientStreamRead, h, c, sizeof(room),
				room, PEERDIST_READ_TIMEOUT_LOCAL_CACHE_ONLY),
			ERROR_IO_PENDING);
		code = test_op_end(&op, &bytes);
		if (code == PEERDIST_ERROR_NO_MORE)
			break;
		CHECK_EQ(test_op_offset(&op), at);
		CHECK(bytes > 0 && at + bytes <= end);
		if (code == ERROR_SUCCESS)
			CHECK(memcmp(room, b->data + at, bytes) == 0);
		else
			CHECK_EQ(code, PEERDIST_ERROR_MISSING_DATA);
		if (code != ERROR_SUCCESS)
			CHECK_EQ(test_add(h, c, b, at, bytes), ERROR_SUCCESS);
		at += bytes;
	}
	CHECK_EQ(at, end);
}

static void
whole_loop(DWORD version, size_t len)
{
	struct test_bytes b = test_random(len, version), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;

	test_start_daemon(NULL);
	info = test_describe(&b, version);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	loop_until_whole(h, c, &b, 0, b.len);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
	/* All is here now: a new handle reads it without a gap. */
	c = test_open_ready(h, 2, &info);
	test_compare(h, c, &b, 0, b.len);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

static void
case_whole_v1(void)
{
	whole_loop(1, 40 * MiB + 12345);
}

static void
case_whole_v2(void)
{
	whole_loop(2, 40 * MiB + 12345);
}

static void
case_one_byte(void)
{
	whole_loop(2, 1);
}

/* [offset, +len) only: reads stay inside, adds may go outside. */
static void
range_loop(DWORD version)
{
	struct test_bytes b = test_random(70 * MiB, version), info;
	ULONGLONG start = 33 * MiB + 1000, end = start + 5 * MiB + 7;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_bytes room = test_random(BLOCK, 2);
	ULONGLONG at;
	DWORD n;

	test_start_daemon(NULL);
	h = test_startup();
	test_publish(h, "doc", &b, version);
	info = test_info(h, "doc", version, start, end - start);
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(test_block_read(h, c, start - 1, &room, &n, &at),
		PEERDIST_ERROR_NO_MORE);
	CHECK_EQ(test_block_read(h, c, end, &room, &n, &at),
		PEERDIST_ERROR_NO_MORE);
	CHECK_EQ(test_block_read(h, c, start + 5, &room, &n, &at),
		PEERDIST_ERROR_MISSING_DATA);
	CHECK_EQ(at, start);
	CHECK(at + n <= end);
	/* Edge blocks can be verified only with what lies outside. */
	for (at = start - 2 * BLOCK; at < end + 3 * BLOCK; at += MiB)
		CHECK_EQ(test_add(h, c, &b, at, MiB), ERROR_SUCCESS);
	test_compare(h, c, &b, start, end);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
	test_bytes_free(&room);
}

static void
case_range_v1(void)
{
	range_loop(1);
}

static void
case_range_v2(void)
{
	range_loop(2);
}

static void
case_before_ready(void)
{
	DWORD bytes;
	struct test_bytes b = test_random(MiB, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op;

	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open(h, 1);
	CHECK_EQ(START(&op, PeerDistClientAddData, h, c, 10, b.data),
		PEERDIST_ERROR_NOT_INITIALIZED);
	CHECK_EQ(START(&op, PeerDistClientBlockRead, h, c, 10, b.data, 0),
		PEERDIST_ERROR_NOT_INITIALIZED);
	CHECK_EQ(START(&op, PeerDistClientStreamRead, h, c, 10, b.data, 0),
		PEERDIST_ERROR_NOT_INITIALIZED);
	/* Who polls what was refused is told so, too. */
	CHECK(!PeerDistGetOverlappedResult(&op.ov, &bytes, FALSE));
	CHECK_EQ(pdw_GetLastError(), PEERDIST_ERROR_NOT_INITIALIZED);
	observe("PeerDistGetOverlappedResult", PEERDIST_ERROR_NOT_INITIALIZED,
		'B');
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, h, c, NULL);
	CHECK_EQ(test_feed(h, c, &info, 1), ERROR_SUCCESS);
	CHECK_EQ(RUN(PeerDistClientCompleteContentInformation, h, c),
		ERROR_SUCCESS);
	CHECK_EQ(START(&op, PeerDistClientAddContentInformation, h, c, 1,
			 info.data),
		PEERDIST_ERROR_ALREADY_COMPLETED);
	CHECK_EQ(START(&op, PeerDistClientCompleteContentInformation, h, c),
		PEERDIST_ERROR_ALREADY_COMPLETED);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

/* What a handle says once its content information was refused. */
static void
check_failed(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c, DWORD code)
{
	PEERDIST_CLIENT_BASIC_INFO basic = {TRUE};
	struct test_op op;
	BYTE room[10] = {0};

	CHECK_EQ(START(&op, PeerDistClientAddContentInformation, h, c,
			 sizeof(room), room),
		code);
	CHECK_EQ(START(&op, PeerDistClientCompleteContentInformation, h, c),
		code);
	CHECK_EQ(START(&op, PeerDistClientAddData, h, c, sizeof(room), room),
		code);
	CHECK_EQ(START(&op, PeerDistClientBlockRead, h, c, sizeof(room), room,
			 0),
		code);
	CHECK_EQ(START(&op, PeerDistClientStreamRead, h, c, sizeof(room), room,
			 0),
		code);
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, h, c, &op.ov);
	IS(ERROR_SUCCESS, PeerDistClientGetInformationByHandle, h, c,
		PeerDistClientBasicInfo, sizeof(basic), &basic);
	CHECK_EQ(basic.fFlashCrowd, FALSE);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
}

/* Feeds and completes; the first code that is not 0. */
static DWORD
feed_all(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c,
	const struct test_bytes *info, size_t piece)
{
	DWORD code = test_feed(h, c, info, piece);

	if (code == ERROR_SUCCESS)
		code = RUN(PeerDistClientCompleteContentInformation, h, c);
	return code;
}

static void
refused(PEERDIST_INSTANCE_HANDLE h, const struct test_bytes *info, DWORD code)
{
	PEERDIST_CONTENT_HANDLE c = test_open(h, 1);

	CHECK_EQ(feed_all(h, c, info, 100), code);
	check_failed(h, c, code);
}

static void
malformed(PEERDIST_INSTANCE_HANDLE h, struct test_bytes *info)
{
	struct test_bytes cut = {info->data, info->len - 1};
	BYTE was;

	refused(h, &cut, PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	cut.len = 1;
	refused(h, &cut, PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	/* test_random() left room behind. */
	info->data = realloc(info->data, info->len + 1);
	CHECK(info->data != NULL);
	info->data[info->len] = 0;
	cut = (struct test_bytes){info->data, info->len + 1};
	refused(h, &cut, PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	was = info->data[1];
	info->data[1] = 9;
	refused(h, info, PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	info->data[1] = was;
	was = info->data[2];
	info->data[2] = 0xEE;
	refused(h, info, PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	info->data[2] = was;
}

static void
case_malformed(void)
{
	struct test_bytes b = test_random(3 * MiB, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;

	test_start_daemon(NULL);
	h = test_startup();
	for (DWORD version = 1; version <= 2; version++) {
		info = test_describe(&b, version);
		malformed(h, &info);
		/* As it was, it is accepted. */
		c = test_open_ready(h, 1, &info);
		IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c);
		test_bytes_free(&info);
	}
	/* Nothing at all: only Complete can find that. */
	c = test_open(h, 1);
	CHECK_EQ(RUN(PeerDistClientCompleteContentInformation, h, c),
		PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	check_failed(h, c, PEERDIST_ERROR_CANNOT_PARSE_CONTENTINFO);
	/* One byte of a wrong version is seen with the second byte at latest
	 * by Complete. */
	c = test_open(h, 1);
	CHECK_EQ(feed_all(h, c, &(struct test_bytes){(BYTE *)"\0\7", 2}, 1),
		PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	check_failed(h, c, PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	test_shutdown(h);
	test_bytes_free(&b);
}

/* Over the limit of content information; the handle stays closable. */
static void
case_info_cap(void)
{
	struct test_bytes b = test_random(90 * MiB, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;

	test_start_daemon("Limits.PerUidContentInfoBytes=64K", NULL);
	info = test_describe(&b, 2);
	CHECK(info.len > 65536);
	h = test_startup();
	c = test_open(h, 1);
	CHECK_EQ(feed_all(h, c, &info, 1000), ERROR_NO_SYSTEM_RESOURCES);
	check_failed(h, c, ERROR_NO_SYSTEM_RESOURCES);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

/* A wrong byte spoils its own block only. */
static void
case_wrong_data(void)
{
	struct test_bytes b = test_random(4 * BLOCK, 1), info;
	struct test_bytes room = test_random(4 * BLOCK, 2);
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	ULONGLONG at;
	DWORD n;

	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	b.data[2 * BLOCK + 7] ^= 1;
	CHECK_EQ(test_add(h, c, &b, 0, b.len), ERROR_INVALID_DATA);
	CHECK_EQ(test_block_read(h, c, 0, &room, &n, &at), ERROR_SUCCESS);
	CHECK_EQ(n, 2 * BLOCK);
	CHECK(memcmp(room.data, b.data, n) == 0);
	CHECK_EQ(test_block_read(h, c, 2 * BLOCK + 9, &room, &n, &at),
		PEERDIST_ERROR_MISSING_DATA);
	CHECK_EQ(at, 2 * BLOCK);
	CHECK_EQ(n, BLOCK);
	CHECK_EQ(test_block_read(h, c, 3 * BLOCK, &room, &n, &at),
		ERROR_SUCCESS);
	CHECK_EQ(n, BLOCK);
	/* In halves: the add that completes a bad block completes 13. */
	CHECK_EQ(test_add(h, c, &b, 2 * BLOCK, BLOCK / 2), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, 2 * BLOCK + BLOCK / 2, BLOCK / 2),
		ERROR_INVALID_DATA);
	b.data[2 * BLOCK + 7] ^= 1;
	CHECK_EQ(test_add(h, c, &b, 2 * BLOCK + 1, BLOCK - 1), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, 2 * BLOCK, 1), ERROR_SUCCESS);
	test_compare(h, c, &b, 0, b.len);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
	test_bytes_free(&room);
}

/* Offsets of AddData; the end of a version 1 content is provable when its last
 * segment is short. */
static void
case_add_offsets(void)
{
	struct test_bytes b = test_random(3 * BLOCK + 100, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op;

	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(START_AT(&op, b.len, PeerDistClientAddData, h, c, 10, b.data),
		ERROR_IO_PENDING);
	CHECK_EQ(test_op_end(&op, NULL), PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(START_AT(&op, 1ULL << 40, PeerDistClientAddData, h, c, 10,
			 b.data),
		ERROR_IO_PENDING);
	CHECK_EQ(test_op_end(&op, NULL), PEERDIST_ERROR_OUT_OF_BOUNDS);
	/* Starts inside and runs over the end: stored up to the end. */
	b.data = realloc(b.data, b.len + 50);
	CHECK(b.data != NULL);
	memset(b.data + b.len, 0, 50);
	CHECK_EQ(test_add(h, c, &b, 3 * BLOCK, 150), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, 10, 3 * BLOCK - 10), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, 0, 20), ERROR_SUCCESS);
	test_compare(h, c, &b, 0, b.len);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

static DWORD
query(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c, ULONGLONG at,
	DWORD *ret_bytes)
{
	struct test_op op;
	DWORD code;

	CHECK_EQ(START_AT(&op, at, PeerDistClientBlockRead, h, c, 0, NULL, 0),
		ERROR_IO_PENDING);
	code = test_op_end(&op, ret_bytes);
	if (code == ERROR_SUCCESS)
		CHECK_EQ(test_op_offset(&op), at);
	return code;
}

static void
case_queries(void)
{
	struct test_bytes b = test_random(5 * BLOCK, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op;
	DWORD n;

	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(query(h, c, 0, &n), ERROR_SUCCESS);
	CHECK_EQ(n, 0);
	CHECK_EQ(test_add(h, c, &b, BLOCK, 2 * BLOCK), ERROR_SUCCESS);
	CHECK_EQ(query(h, c, 0, &n), ERROR_SUCCESS);
	CHECK_EQ(n, 0);
	CHECK_EQ(query(h, c, BLOCK + 5, &n), ERROR_SUCCESS);
	CHECK_EQ(n, 2 * BLOCK - 5);
	CHECK_EQ(query(h, c, b.len, &n), PEERDIST_ERROR_NO_MORE);
	/* The stream's own query looks at the cursor and leaves it. */
	CHECK_EQ(test_add(h, c, &b, 0, BLOCK), ERROR_SUCCESS);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(START(&op, PeerDistClientStreamRead, h, c, 0, NULL, 0),
			ERROR_IO_PENDING);
		CHECK_EQ(test_op_end(&op, &n), ERROR_SUCCESS);
		CHECK_EQ(n, 3 * BLOCK);
		CHECK_EQ(test_op_offset(&op), 0);
	}
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

/* Cursor: on by the bytes read, on by the missing length, nothing else; block
 * reads leave it alone. */
static void
case_cursor(void)
{
	struct test_bytes b = test_random(4 * BLOCK, 1), info;
	struct test_bytes room = test_random(BLOCK, 2);
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op[3];
	ULONGLONG at;
	DWORD n;

	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(test_add(h, c, &b, 0, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_add(h, c, &b, 2 * BLOCK, 2 * BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_block_read(h, c, 3 * BLOCK, &room, &n, &at),
		ERROR_SUCCESS);
	/* Three at once are served in order. */
	for (int i = 0; i < 3; i++)
		CHECK_EQ(START(&op[i], PeerDistClientStreamRead, h, c, 40000,
				 room.data, 0),
			ERROR_IO_PENDING);
	CHECK_EQ(test_op_end(&op[0], &n), ERROR_SUCCESS);
	CHECK_EQ(test_op_offset(&op[0]), 0);
	CHECK_EQ(n, 40000);
	CHECK_EQ(test_op_end(&op[1], &n), ERROR_SUCCESS);
	CHECK_EQ(test_op_offset(&op[1]), 40000);
	CHECK_EQ(n, BLOCK - 40000);
	CHECK_EQ(test_op_end(&op[2], &n), PEERDIST_ERROR_MISSING_DATA);
	CHECK_EQ(test_op_offset(&op[2]), BLOCK);
	CHECK_EQ(n, BLOCK);
	CHECK_EQ(START(&op[0], PeerDistClientStreamRead, h, c, BLOCK, room.data,
			 0),
		ERROR_IO_PENDING);
	CHECK_EQ(test_op_end(&op[0], &n), ERROR_SUCCESS);
	CHECK_EQ(test_op_offset(&op[0]), 2 * BLOCK);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
	test_bytes_free(&room);
}

static void
case_flush(void)
{
	struct test_bytes b = test_random(3 * BLOCK, 1), info;
	struct test_bytes room = test_random(BLOCK, 2);
	PEERDIST_CONTENT_TAG tag1, unknown;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	ULONGLONG at;
	DWORD n;

	memset(&tag1, 1, sizeof(tag1));
	memset(&unknown, 99, sizeof(unknown));
	test_start_daemon(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(test_add(h, c, &b, 0, b.len), ERROR_SUCCESS);
	CHECK_EQ(RUN(PeerDistClientFlushContent, h, &unknown, NULL, 0),
		ERROR_SUCCESS);
	CHECK_EQ(test_block_read(h, c, 0, &room, &n, &at), ERROR_SUCCESS);
	CHECK_EQ(RUN(PeerDistClientFlushContent, h, &tag1, NULL, 0),
		ERROR_SUCCESS);
	/* The handle stays usable and simply misses. */
	CHECK_EQ(test_block_read(h, c, 0, &room, &n, &at),
		PEERDIST_ERROR_MISSING_DATA);
	CHECK_EQ(test_add(h, c, &b, 0, b.len), ERROR_SUCCESS);
	test_compare(h, c, &b, 0, b.len);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
	test_bytes_free(&room);
}

/* A partial list of block hashes that a user made up, under a true HoD and
 * secret: he reads his own bytes, another handle with the true list does not.
 */
static void
case_forged_hashes(void)
{
	struct test_bytes b = test_random(4 * BLOCK, 1), forged, info, cut;
	struct test_bytes room = test_random(BLOCK, 2);
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE liar, honest;
	ULONGLONG at;
	DWORD n;

	test_start_daemon(NULL);
	h = test_startup();
	test_publish(h, "true", &b, 1);
	info = test_info(h, "true", 1, 0, 0);
	cut = test_info(h, "true", 1, 0, BLOCK);
	forged = test_random(4 * BLOCK, 3);
	test_publish(h, "false", &forged, 1);
	{
		/* The one block hash of a one-block range comes last. */
		struct test_bytes f = test_info(h, "false", 1, 0, BLOCK);

		CHECK_EQ(f.len, cut.len);
		memcpy(cut.data + cut.len - 32, f.data + f.len - 32, 32);
		test_bytes_free(&f);
	}
	liar = test_open_ready(h, 1, &cut);
	CHECK_EQ(test_add(h, liar, &forged, 0, BLOCK), ERROR_SUCCESS);
	CHECK_EQ(test_block_read(h, liar, 0, &room, &n, &at), ERROR_SUCCESS);
	CHECK(memcmp(room.data, forged.data, n) == 0);
	honest = test_open_ready(h, 2, &info);
	CHECK_EQ(test_block_read(h, honest, 0, &room, &n, &at),
		PEERDIST_ERROR_MISSING_DATA);
	CHECK_EQ(test_add(h, honest, &forged, 0, BLOCK), ERROR_INVALID_DATA);
	CHECK_EQ(test_add(h, honest, &b, 0, b.len), ERROR_SUCCESS);
	test_compare(h, honest, &b, 0, b.len);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&forged);
	test_bytes_free(&info);
	test_bytes_free(&cut);
	test_bytes_free(&room);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"whole_v1", case_whole_v1},
		{"whole_v2", case_whole_v2},
		{"one_byte", case_one_byte},
		{"range_v1", case_range_v1},
		{"range_v2", case_range_v2},
		{"before_ready", case_before_ready},
		{"malformed", case_malformed},
		{"info_cap", case_info_cap},
		{"wrong_data", case_wrong_data},
		{"add_offsets", case_add_offsets},
		{"queries", case_queries},
		{"cursor", case_cursor},
		{"flush", case_flush},
		{"forged_hashes", case_forged_hashes},
	};

	return test_main(
		"consume", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The server part: publications, their states and ends, content information. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/api/content.h"

#define IS(want, fn, ...) CHECK_EQ(OBSERVED(fn, __VA_ARGS__), want)

static PEERDIST_RETRIEVAL_OPTIONS v1 = {sizeof(v1), 1, 1, 0};
static PEERDIST_RETRIEVAL_OPTIONS v2 = {sizeof(v2), 2, 2, 0};
static PEERDIST_RETRIEVAL_OPTIONS any = {sizeof(any), 1, 2, 0};

static DWORD
add(PEERDIST_INSTANCE_HANDLE h, PEERDIST_STREAM_HANDLE s,
	const struct test_bytes *b)
{
	struct test_op op;
	DWORD code = START(&op, PeerDistServerPublishAddToStream, h, s,
		(DWORD)b->len, b->data);

	return code == ERROR_IO_PENDING ? test_op_end(&op, NULL) : code;
}

static DWORD
complete(PEERDIST_INSTANCE_HANDLE h, PEERDIST_STREAM_HANDLE s)
{
	struct test_op op;
	DWORD code = START(&op, PeerDistServerPublishCompleteStream, h, s);

	return code == ERROR_IO_PENDING ? test_op_end(&op, NULL) : code;
}

static void
close_stream(PEERDIST_INSTANCE_HANDLE h, PEERDIST_STREAM_HANDLE s)
{
	IS(ERROR_SUCCESS, PeerDistServerCloseStreamHandle, h, s);
}

/* What an opener of the content information is told. */
static DWORD
open_info(PEERDIST_INSTANCE_HANDLE h, const char *id, ULONGLONG offset,
	ULONGLONG len, PEERDIST_RETRIEVAL_OPTIONS *options)
{
	PEERDIST_CONTENTINFO_HANDLE ci = NULL;
	DWORD code;

	code = options ? OBSERVED(PeerDistServerOpenContentInformationEx, h,
				 IDENT(id), offset, len, options, NULL, 0, &ci)
		       : OBSERVED(PeerDistServerOpenContentInformation, h,
				 IDENT(id), offset, len, NULL, 0, &ci);
	if (code == ERROR_SUCCESS)
		IS(ERROR_SUCCESS, PeerDistServerCloseContentInformation, h, ci);
	return code;
}

static void
case_states(void)
{
	struct test_bytes b = test_random(5 * MiB + 17, 1);
	PEERDIST_STREAM_HANDLE s, s2;
	PEERDIST_INSTANCE_HANDLE h;

	test_start_daemon(NULL);
	h = test_startup();
	s = test_stream_open(h, "doc", b.len, 2);
	/* Streaming: reserved, but not there yet. */
	IS(PEERDIST_ERROR_ALREADY_EXISTS, PeerDistServerPublishStream, h,
		IDENT("doc"), 0, NULL, NULL, 0, &s2);
	CHECK_EQ(open_info(h, "doc", 0, 0, &any), PEERDIST_ERROR_NOT_FOUND);
	CHECK_EQ(open_info(h, "doc", 0, 0, NULL), PEERDIST_ERROR_NOT_FOUND);
	CHECK_EQ(add(h, s, &b), ERROR_SUCCESS);
	CHECK_EQ(complete(h, s), ERROR_SUCCESS);
	/* Published. */
	CHECK_EQ(add(h, s, &b), PEERDIST_ERROR_ALREADY_COMPLETED);
	CHECK_EQ(complete(h, s), PEERDIST_ERROR_ALREADY_COMPLETED);
	CHECK_EQ(open_info(h, "doc", 0, 0, &any), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "doc", 0, 0, NULL), ERROR_SUCCESS);
	/* Close keeps it, Unpublish does not, its handles stay closable. */
	IS(ERROR_SUCCESS, PeerDistServerUnpublish, h, IDENT("doc"));
	IS(PEERDIST_ERROR_NOT_FOUND, PeerDistServerUnpublish, h, IDENT("doc"));
	CHECK_EQ(open_info(h, "doc", 0, 0, &any), PEERDIST_ERROR_NOT_FOUND);
	CHECK_EQ(add(h, s, &b), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(complete(h, s), PEERDIST_ERROR_INVALIDATED);
	close_stream(h, s);
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseStreamHandle, h, s);
	test_publish(h, "doc", &b, 2);
	IS(ERROR_SUCCESS, PeerDistServerUnpublish, h, IDENT("doc"));
	test_shutdown(h);
	test_bytes_free(&b);
}

static void
case_lengths(void)
{
	struct test_bytes b = test_random(3 * MiB, 1), part = {b.data, MiB};
	struct test_bytes big;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_STREAM_HANDLE s;
	struct test_op op;
	DWORD code;

	test_start_daemon(NULL);
	h = test_startup();
	/* Too much: the add completes 4061, the stream has failed for good. */
	s = test_stream_open(h, "over", 2 * MiB, 2);
	CHECK_EQ(add(h, s, &b), PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(add(h, s, &part), PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(complete(h, s), PEERDIST_ERROR_OUT_OF_BOUNDS);
	close_stream(h, s);
	/* The same with the Complete already waiting behind. */
	big = test_random(64 * MiB, 2);
	s = test_stream_open(h, "over", 63 * MiB, 2);
	CHECK_EQ(START(&op, PeerDistServerPublishAddToStream, h, s,
			 (DWORD)big.len, big.data),
		ERROR_IO_PENDING);
	code = complete(h, s);
	CHECK(code == PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(test_op_end(&op, NULL), PEERDIST_ERROR_OUT_OF_BOUNDS);
	close_stream(h, s);
	test_bytes_free(&big);
	/* Too little. */
	s = test_stream_open(h, "short", 2 * MiB, 1);
	CHECK_EQ(add(h, s, &part), ERROR_SUCCESS);
	CHECK_EQ(complete(h, s), ERROR_INVALID_DATA);
	CHECK_EQ(complete(h, s), ERROR_INVALID_DATA);
	CHECK_EQ(add(h, s, &part), ERROR_INVALID_DATA);
	CHECK_EQ(open_info(h, "short", 0, 0, &any), PEERDIST_ERROR_NOT_FOUND);
	close_stream(h, s);
	/* Nothing at all. */
	s = test_stream_open(h, "empty", 0, 0);
	CHECK_EQ(complete(h, s), ERROR_INVALID_DATA);
	close_stream(h, s);
	/* A dropped stream gives its name back. */
	s = test_stream_open(h, "short", 0, 0);
	close_stream(h, s);
	test_publish(h, "short", &part, 0);
	test_shutdown(h);
	test_bytes_free(&b);
}

static void
case_versions(void)
{
	struct test_bytes b = test_random(MiB + 1, 1);
	PEERDIST_INSTANCE_HANDLE h;

	test_start_daemon(NULL);
	h = test_startup();
	test_publish(h, "one", &b, 1);
	test_publish(h, "two", &b, 2);
	CHECK_EQ(open_info(h, "one", 0, 0, &v1), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "one", 0, 0, &any), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "one", 0, 0, &v2),
		PEERDIST_ERROR_CONTENTINFO_VERSION_UNSUPPORTED);
	CHECK_EQ(open_info(h, "two", 0, 0, &v1), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "two", 0, 0, &v2), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "none", 0, 0, NULL), PEERDIST_ERROR_NOT_FOUND);
	/* Ranges. */
	CHECK_EQ(open_info(h, "one", b.len, 1, &any),
		PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(open_info(h, "one", b.len, 1, NULL),
		PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(open_info(h, "one", 1, b.len, &any),
		PEERDIST_ERROR_OUT_OF_BOUNDS);
	CHECK_EQ(open_info(h, "one", 1, b.len - 1, &any), ERROR_SUCCESS);
	CHECK_EQ(open_info(h, "one", b.len - 1, 1, &any), ERROR_SUCCESS);
	test_shutdown(h);
	test_bytes_free(&b);
}

/* Small buffers, several outstanding, the end again and again. */
static void
case_retrieve(void)
{
	struct test_bytes b = test_random(300000, 1), info;
	PEERDIST_CONTENTINFO_HANDLE ci;
	PEERDIST_INSTANCE_HANDLE h;
	struct test_op op[3];
	BYTE got[3][50];
	DWORD bytes;

	test_start_daemon(NULL);
	h = test_startup();
	test_publish(h, "doc", &b, 1);
	info = test_info(h, "doc", 1, 0, 0);
	CHECK_EQ(info.len, 18 + 80 + 4 + 32 * 5);
	IS(ERROR_SUCCESS, PeerDistServerOpenContentInformation, h, IDENT("doc"),
		0, 0, NULL, 0, &ci);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(START(&op[i], PeerDistServerRetrieveContentInformation,
				 h, ci, sizeof(got[i]), got[i]),
			ERROR_IO_PENDING);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(test_op_end(&op[i], &bytes), ERROR_SUCCESS);
		CHECK_EQ(bytes, sizeof(got[i]));
		CHECK_EQ(test_op_offset(&op[i]), i * sizeof(got[i]));
		CHECK(memcmp(got[i], info.data + i * sizeof(got[i]), bytes) ==
			0);
	}
	IS(ERROR_SUCCESS, PeerDistServerUnpublish, h, IDENT("doc"));
	CHECK_EQ(START(&op[0], PeerDistServerRetrieveContentInformation, h, ci,
			 sizeof(got[0]), got[0]),
		PEERDIST_ERROR_INVALIDATED);
	IS(ERROR_SUCCESS, PeerDistServerCloseContentInformation, h, ci);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

/* Publications end with their session; another session of the user sees them
 * before. */
static void
case_sessions(void)
{
	struct test_bytes b = test_random(1000, 1);
	PEERDIST_INSTANCE_HANDLE h1, h2;
	PEERDIST_CONTENTINFO_HANDLE ci;
	PEERDIST_STREAM_HANDLE s;
	struct test_op op;
	BYTE room[16];

	test_start_daemon(NULL);
	h1 = test_startup();
	h2 = test_startup();
	test_publish(h1, "doc", &b, 2);
	IS(PEERDIST_ERROR_ALREADY_EXISTS, PeerDistServerPublishStream, h2,
		IDENT("doc"), 0, NULL, NULL, 0, &s);
	IS(ERROR_SUCCESS, PeerDistServerOpenContentInformation, h2,
		IDENT("doc"), 0, 0, NULL, 0, &ci);
	IS(ERROR_SUCCESS, PeerDistServerUnpublish, h1, IDENT("doc"));
	CHECK_EQ(START(&op, PeerDistServerRetrieveContentInformation, h2, ci,
			 sizeof(room), room),
		PEERDIST_ERROR_INVALIDATED);
	IS(ERROR_SUCCESS, PeerDistServerCloseContentInformation, h2, ci);
	test_publish(h1, "doc", &b, 2);
	test_shutdown(h1);
	CHECK_EQ(open_info(h2, "doc", 0, 0, &any), PEERDIST_ERROR_NOT_FOUND);
	test_publish(h2, "doc", &b, 2);
	test_shutdown(h2);
	test_bytes_free(&b);
}

/* A long add with a Complete behind it, ended from outside. */
struct pending_publish {
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_STREAM_HANDLE s;
	struct test_bytes b;
	struct test_op add, complete;
};

static void
pending_start(struct pending_publish *p)
{
	p->s = test_stream_open(p->h, "doc", 0, 2);
	CHECK_EQ(START(&p->add, PeerDistServerPublishAddToStream, p->h, p->s,
			 (DWORD)p->b.len, p->b.data),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&p->complete, PeerDistServerPublishCompleteStream, p->h,
			 p->s),
		ERROR_IO_PENDING);
}

static void
pending_aborted(struct pending_publish *p)
{
	/* Delivered before the call that aborted them has returned. */
	CHECK(test_op_ended(&p->add));
	CHECK(test_op_ended(&p->complete));
	CHECK_EQ(test_op_end(&p->add, NULL), ERROR_OPERATION_ABORTED);
	CHECK_EQ(test_op_end(&p->complete, NULL), ERROR_OPERATION_ABORTED);
}

static void
case_aborts(void)
{
	struct pending_publish p;

	test_start_daemon(NULL);
	p.h = test_startup();
	p.b = test_random(256 * MiB, 1);
	pending_start(&p);
	IS(ERROR_SUCCESS, PeerDistServerCloseStreamHandle, p.h, p.s);
	pending_aborted(&p);
	pending_start(&p);
	IS(ERROR_SUCCESS, PeerDistServerUnpublish, p.h, IDENT("doc"));
	pending_aborted(&p);
	close_stream(p.h, p.s);
	pending_start(&p);
	IS(ERROR_SUCCESS, PeerDistServerCancelAsyncOperation, p.h, IDENT("doc"),
		&p.complete.ov);
	CHECK_EQ(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	IS(ERROR_SUCCESS, PeerDistServerCancelAsyncOperation, p.h, IDENT("doc"),
		&p.add.ov);
	pending_aborted(&p);
	/* Its bytes may be hashed in part: the stream has failed. */
	CHECK_EQ(add(p.h, p.s, &p.b), ERROR_OPERATION_ABORTED);
	CHECK_EQ(complete(p.h, p.s), ERROR_OPERATION_ABORTED);
	CHECK_EQ(add(p.h, p.s, &p.b), ERROR_OPERATION_ABORTED);
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistServerCancelAsyncOperation, p.h, IDENT("doc"),
		&p.add.ov);
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistServerCancelAsyncOperation, p.h, IDENT("nothing"),
		&p.add.ov);
	close_stream(p.h, p.s);
	pending_start(&p);
	test_shutdown(p.h);
	pending_aborted(&p);
	test_bytes_free(&p.b);
}

/* A cancelled Complete alone leaves the stream streaming. */
static void
case_complete_cancelled(void)
{
	struct pending_publish p;

	test_start_daemon(NULL);
	p.h = test_startup();
	p.b = test_random(64 * MiB, 1);
	pending_start(&p);
	IS(ERROR_SUCCESS, PeerDistServerCancelAsyncOperation, p.h, IDENT("doc"),
		&p.complete.ov);
	CHECK_EQ(test_op_end(&p.complete, NULL), ERROR_OPERATION_ABORTED);
	CHECK_EQ(test_op_end(&p.add, NULL), ERROR_SUCCESS);
	CHECK_EQ(complete(p.h, p.s), ERROR_SUCCESS);
	close_stream(p.h, p.s);
	CHECK_EQ(open_info(p.h, "doc", 0, 0, &any), ERROR_SUCCESS);
	test_shutdown(p.h);
	test_bytes_free(&p.b);
}

static DWORD
publish_fd(PEERDIST_INSTANCE_HANDLE h, const char *id, int fd, ULONGLONG offset,
	ULONGLONG len)
{
	PDW_PUBLISH_FILE f = {
		.cbSize = sizeof(f),
		.cbContentIdentifier = (DWORD)strlen(id),
		.pContentIdentifier = (const BYTE *)id,
		.fd = fd,
		.ullOffset = offset,
		.ullLength = len,
	};
	struct test_op op;
	DWORD code;

	code = pdw_ServerPublishFile(
		h, &f, NULL, 0, test_op_begin(&op, "pdw_ServerPublishFile"));
	observe_return("pdw_ServerPublishFile", code);
	return code == ERROR_IO_PENDING ? test_op_end(&op, NULL) : code;
}

static void
same_info(
	PEERDIST_INSTANCE_HANDLE h, const char *a, const char *b, DWORD version)
{
	struct test_bytes x = test_info(h, a, version, 0, 0);
	struct test_bytes y = test_info(h, b, version, 0, 0);

	CHECK_EQ(x.len, y.len);
	CHECK(memcmp(x.data, y.data, x.len) == 0);
	test_bytes_free(&x);
	test_bytes_free(&y);
}

static void
case_file(void)
{
	struct test_bytes b = test_random(35 * MiB + 3, 1), part;
	PEERDIST_INSTANCE_HANDLE h;
	char path[160];
	int fd, pair[2];

	test_start_daemon(NULL);
	snprintf(path, sizeof(path), "%s/content", test_d.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, b.data, b.len), b.len);
	h = test_startup();
	CHECK_EQ(publish_fd(h, "file", fd, 0, 0), ERROR_SUCCESS);
	test_publish(h, "stream", &b, 2);
	same_info(h, "file", "stream", 1);
	same_info(h, "file", "stream", 2);
	part = (struct test_bytes){b.data + 5, 3 * MiB};
	CHECK_EQ(publish_fd(h, "part", fd, 5, 3 * MiB), ERROR_SUCCESS);
	test_publish(h, "slice", &part, 2);
	same_info(h, "part", "slice", 1);
	CHECK_EQ(
		publish_fd(h, "file", fd, 0, 0), PEERDIST_ERROR_ALREADY_EXISTS);
	CHECK(publish_fd(h, "beyond", fd, b.len, 1) != ERROR_SUCCESS);
	CHECK_EQ(publish_fd(h, "none", -1, 0, 0), ERROR_INVALID_HANDLE);
	/* Not a regular file. */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(publish_fd(h, "socket", pair[0], 0, 0) != ERROR_SUCCESS);
	CHECK(publish_fd(h, "null", open("/dev/zero", O_RDONLY), 0, 0) !=
		ERROR_SUCCESS);
	/* The names of what failed are free. */
	CHECK_EQ(publish_fd(h, "socket", fd, 0, 0), ERROR_SUCCESS);
	test_shutdown(h);
	test_bytes_free(&b);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"states", case_states},
		{"lengths", case_lengths},
		{"versions", case_versions},
		{"retrieve", case_retrieve},
		{"sessions", case_sessions},
		{"aborts", case_aborts},
		{"complete_cancelled", case_complete_cancelled},
		{"file", case_file},
	};

	return test_main(
		"publish", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

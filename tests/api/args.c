/* SPDX-License-Identifier: BSD-2-Clause */
/* Bad arguments and bad handles: 87, 6, 4062, 122, and which of them wins. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/api/content.h"

struct handles {
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_STREAM_HANDLE stream;
	PEERDIST_CONTENTINFO_HANDLE ci;
	PEERDIST_CONTENT_HANDLE content;
	HANDLE event;
};

static BYTE room[64];
static PEERDIST_CONTENT_TAG tag;
static PEERDIST_RETRIEVAL_OPTIONS any = {sizeof(any), 1, 2, 0};

#define IS(want, fn, ...) CHECK_EQ(OBSERVED(fn, __VA_ARGS__), want)
#define START_IS(want, fn, ...) \
	do { \
		struct test_op op_; \
		CHECK_EQ(START(&op_, fn, __VA_ARGS__), want); \
		CHECK(!test_op_ended(&op_)); \
		CHECK(pdw_CloseHandle(op_.ov.hEvent)); \
	} while (0)

static void
open_all(struct handles *a)
{
	struct test_bytes b = test_random(1000, 1);

	a->h = test_startup();
	test_publish(a->h, "small", &b, 2);
	a->stream = test_stream_open(a->h, "stream", 0, 2);
	IS(ERROR_SUCCESS, PeerDistServerOpenContentInformationEx, a->h,
		IDENT("small"), 0, 0, &any, NULL, 0, &a->ci);
	a->content = test_open(a->h, 1);
	a->event = pdw_CreateEventA(NULL, TRUE, FALSE, NULL);
	test_bytes_free(&b);
}

static void
close_all(struct handles *a)
{
	IS(ERROR_SUCCESS, PeerDistServerCloseStreamHandle, a->h, a->stream);
	IS(ERROR_SUCCESS, PeerDistServerCloseContentInformation, a->h, a->ci);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, a->h, a->content);
	CHECK(pdw_CloseHandle(a->event));
	test_shutdown(a->h);
}

static void
case_startup(void)
{
	static const struct {
		DWORD version, want;
	} rows[] = {
		{0x0001, 0},
		{0x0002, 0},
		{0x0101, 0},
		{0x0000, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0x0003, PEERDIST_ERROR_VERSION_UNSUPPORTED},
		{0xFFFF, PEERDIST_ERROR_VERSION_UNSUPPORTED},
	};

	/* No daemon is needed. */
	IS(ERROR_INVALID_PARAMETER, PeerDistStartup, PEERDIST_VERSION, NULL,
		NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		PEERDIST_INSTANCE_HANDLE h = (HANDLE)4;
		DWORD supported = 0;

		IS(rows[i].want, PeerDistStartup, rows[i].version, &h,
			&supported);
		CHECK_EQ(supported, 2);
		CHECK_EQ(h != NULL, rows[i].want == 0);
		if (h)
			test_shutdown(h);
	}
	IS(ERROR_INVALID_HANDLE, PeerDistShutdown, NULL);
}

/* What every call must say of the instance. */
static DWORD instance_code = ERROR_INVALID_HANDLE;

static void
bad_instance_common(PEERDIST_INSTANCE_HANDLE h)
{
	PEERDIST_STATUS status;
	PEERDIST_STATUS_INFO info = {.cbSize = sizeof(info)};
	struct test_op op;

	IS(instance_code, PeerDistShutdown, h);
	IS(instance_code, PeerDistGetStatus, h, &status);
	IS(instance_code, PeerDistGetStatusEx, h, &info);
	IS(instance_code, PeerDistRegisterForStatusChangeNotification, h, NULL,
		0, test_op_begin(&op, ""), &status);
	IS(instance_code, PeerDistRegisterForStatusChangeNotificationEx, h,
		NULL, 0, test_op_begin(&op, ""), &info);
	IS(instance_code, PeerDistUnregisterForStatusChangeNotification, h);
}

static void
bad_instance_server(PEERDIST_INSTANCE_HANDLE h, const struct handles *a)
{
	HANDLE out;
	struct test_op op;

	IS(instance_code, PeerDistServerPublishStream, h, IDENT("x"), 0, NULL,
		NULL, 0, &out);
	START_IS(instance_code, PeerDistServerPublishAddToStream, h, a->stream,
		sizeof(room), room);
	START_IS(instance_code, PeerDistServerPublishCompleteStream, h,
		a->stream);
	IS(instance_code, PeerDistServerCloseStreamHandle, h, a->stream);
	IS(instance_code, PeerDistServerUnpublish, h, IDENT("x"));
	IS(instance_code, PeerDistServerOpenContentInformation, h, IDENT("x"),
		0, 0, NULL, 0, &out);
	IS(instance_code, PeerDistServerOpenContentInformationEx, h, IDENT("x"),
		0, 0, &any, NULL, 0, &out);
	START_IS(instance_code, PeerDistServerRetrieveContentInformation, h,
		a->ci, sizeof(room), room);
	IS(instance_code, PeerDistServerCloseContentInformation, h, a->ci);
	IS(instance_code, PeerDistServerCancelAsyncOperation, h, IDENT("x"),
		test_op_begin(&op, ""));
}

static void
bad_instance_client(PEERDIST_INSTANCE_HANDLE h, const struct handles *a)
{
	PEERDIST_CLIENT_BASIC_INFO basic;
	struct test_op op;
	HANDLE out;

	IS(instance_code, PeerDistClientOpenContent, h, &tag, NULL, 0, &out);
	IS(instance_code, PeerDistClientCloseContent, h, a->content);
	START_IS(instance_code, PeerDistClientAddContentInformation, h,
		a->content, sizeof(room), room);
	START_IS(instance_code, PeerDistClientCompleteContentInformation, h,
		a->content);
	START_IS(instance_code, PeerDistClientAddData, h, a->content,
		sizeof(room), room);
	START_IS(instance_code, PeerDistClientBlockRead, h, a->content,
		sizeof(room), room, 0);
	START_IS(instance_code, PeerDistClientStreamRead, h, a->content,
		sizeof(room), room, 0);
	START_IS(instance_code, PeerDistClientFlushContent, h, &tag, NULL, 0);
	IS(instance_code, PeerDistClientCancelAsyncOperation, h, a->content,
		test_op_begin(&op, ""));
	IS(instance_code, PeerDistClientGetInformationByHandle, h, a->content,
		PeerDistClientBasicInfo, sizeof(basic), &basic);
}

static void
bad_instance(PEERDIST_INSTANCE_HANDLE h, const struct handles *a)
{
	bad_instance_common(h);
	bad_instance_server(h, a);
	bad_instance_client(h, a);
}

static void
case_bad_instance(void)
{
	PEERDIST_INSTANCE_HANDLE gone;
	struct handles a;

	test_start_daemon(NULL);
	open_all(&a);
	gone = test_startup();
	test_shutdown(gone);
	bad_instance(NULL, &a);
	bad_instance(INVALID_HANDLE_VALUE, &a);
	bad_instance((HANDLE)(ULONG_PTR)0x7777777c, &a);
	bad_instance(gone, &a);
	bad_instance(a.content, &a);
	bad_instance(a.event, &a);
	close_all(&a);
}

/* Every second handle of a wrong kind, of another instance, or gone. */
static void
bad_second(PEERDIST_INSTANCE_HANDLE h, HANDLE x)
{
	PEERDIST_CLIENT_BASIC_INFO basic;

	START_IS(ERROR_INVALID_HANDLE, PeerDistServerPublishAddToStream, h, x,
		sizeof(room), room);
	START_IS(ERROR_INVALID_HANDLE, PeerDistServerPublishCompleteStream, h,
		x);
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseStreamHandle, h, x);
	START_IS(ERROR_INVALID_HANDLE, PeerDistServerRetrieveContentInformation,
		h, x, sizeof(room), room);
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseContentInformation, h, x);
	IS(ERROR_INVALID_HANDLE, PeerDistClientCloseContent, h, x);
	START_IS(ERROR_INVALID_HANDLE, PeerDistClientAddContentInformation, h,
		x, sizeof(room), room);
	START_IS(ERROR_INVALID_HANDLE, PeerDistClientCompleteContentInformation,
		h, x);
	START_IS(ERROR_INVALID_HANDLE, PeerDistClientAddData, h, x,
		sizeof(room), room);
	START_IS(ERROR_INVALID_HANDLE, PeerDistClientBlockRead, h, x,
		sizeof(room), room, 0);
	START_IS(ERROR_INVALID_HANDLE, PeerDistClientStreamRead, h, x,
		sizeof(room), room, 0);
	IS(ERROR_INVALID_HANDLE, PeerDistClientCancelAsyncOperation, h, x,
		NULL);
	IS(ERROR_INVALID_HANDLE, PeerDistClientGetInformationByHandle, h, x,
		PeerDistClientBasicInfo, sizeof(basic), &basic);
}

static void
case_bad_second(void)
{
	PEERDIST_CONTENT_HANDLE gone;
	struct handles a, other;

	test_start_daemon(NULL);
	open_all(&a);
	other.h = test_startup();
	other.content = test_open(other.h, 2);
	bad_second(a.h, NULL);
	bad_second(a.h, a.h);
	bad_second(a.h, a.event);
	bad_second(a.h, INVALID_HANDLE_VALUE);
	bad_second(a.h, other.content);
	gone = test_open(a.h, 3);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, a.h, gone);
	bad_second(a.h, gone);
	/* Right instance, wrong kind. */
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseStreamHandle, a.h,
		a.content);
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseStreamHandle, a.h, a.ci);
	IS(ERROR_INVALID_HANDLE, PeerDistClientCloseContent, a.h, a.stream);
	IS(ERROR_INVALID_HANDLE, PeerDistServerCloseContentInformation, a.h,
		a.stream);
	CHECK(!pdw_CloseHandle(a.content));
	CHECK_EQ(pdw_GetLastError(), ERROR_INVALID_HANDLE);
	test_shutdown(other.h);
	close_all(&a);
}

static void
params_common(const struct handles *a)
{
	PEERDIST_STATUS_INFO info = {.cbSize = 8};
	PEERDIST_STATUS status;
	struct test_op op;
	DWORD bytes;

	IS(ERROR_INVALID_PARAMETER, PeerDistGetStatus, a->h, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistGetStatusEx, a->h, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistGetStatusEx, a->h, &info);
	IS(ERROR_INVALID_PARAMETER, PeerDistRegisterForStatusChangeNotification,
		a->h, NULL, 0, NULL, &status);
	IS(ERROR_INVALID_PARAMETER, PeerDistRegisterForStatusChangeNotification,
		a->h, NULL, 0, test_op_begin(&op, ""), NULL);
	IS(ERROR_INVALID_PARAMETER,
		PeerDistRegisterForStatusChangeNotificationEx, a->h, NULL, 0,
		test_op_begin(&op, ""), &info);
	CHECK(!PeerDistGetOverlappedResult(NULL, &bytes, FALSE));
	CHECK_EQ(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	CHECK(!PeerDistGetOverlappedResult(&op.ov, NULL, FALSE));
	CHECK_EQ(pdw_GetLastError(), ERROR_INVALID_PARAMETER);
	observe("PeerDistGetOverlappedResult", ERROR_INVALID_PARAMETER, 'B');
}

static void
params_publish(const struct handles *a)
{
	PEERDIST_PUBLICATION_OPTIONS bad_version = {3, 0}, bad_flags = {2, 1};
	HANDLE out;

	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h, 0,
		(PBYTE) "x", 0, NULL, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h, 1, NULL,
		0, NULL, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h,
		IDENT("x"), 0, NULL, NULL, 0, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h, 32769,
		(PBYTE) "x", 0, NULL, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h,
		IDENT("x"), 0, &bad_version, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishStream, a->h,
		IDENT("x"), 0, &bad_flags, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerUnpublish, a->h, 0,
		(PBYTE) "x");
	IS(ERROR_INVALID_PARAMETER, PeerDistServerUnpublish, a->h, 1, NULL);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishAddToStream,
		a->h, a->stream, 0, room);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishAddToStream,
		a->h, a->stream, 1, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishAddToStream, a->h,
		a->stream, 1, room, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerPublishCompleteStream, a->h,
		a->stream, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerCancelAsyncOperation, a->h,
		IDENT("stream"), NULL);
}

static void
params_info(const struct handles *a)
{
	PEERDIST_RETRIEVAL_OPTIONS bad[] = {
		{12, 1, 2, 0},
		{16, 2, 1, 0},
		{16, 0, 2, 0},
		{16, 1, 3, 0},
		{16, 1, 2, 1},
	};
	HANDLE out;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		IS(ERROR_INVALID_PARAMETER,
			PeerDistServerOpenContentInformationEx, a->h,
			IDENT("small"), 0, 0, &bad[i], NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerOpenContentInformationEx,
		a->h, IDENT("small"), 0, 0, NULL, NULL, 0, &out);
	/* Length 0 is defined with offset 0 only; a sum that overflows. */
	IS(ERROR_INVALID_PARAMETER, PeerDistServerOpenContentInformation, a->h,
		IDENT("small"), 1, 0, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerOpenContentInformation, a->h,
		IDENT("small"), 2, ~0ULL, NULL, 0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerOpenContentInformation, a->h,
		IDENT("small"), 0, 0, NULL, 0, NULL);
	START_IS(ERROR_INVALID_PARAMETER,
		PeerDistServerRetrieveContentInformation, a->h, a->ci, 0, room);
	START_IS(ERROR_INVALID_PARAMETER,
		PeerDistServerRetrieveContentInformation, a->h, a->ci, 1, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistServerRetrieveContentInformation,
		a->h, a->ci, 1, room, NULL);
}

static void
params_client(const struct handles *a)
{
	HANDLE out;

	IS(ERROR_INVALID_PARAMETER, PeerDistClientOpenContent, a->h, NULL, NULL,
		0, &out);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientOpenContent, a->h, &tag, NULL,
		0, NULL);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientAddContentInformation,
		a->h, a->content, 0, room);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientAddContentInformation,
		a->h, a->content, 1, NULL);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientCompleteContentInformation,
		a->h, a->content, NULL);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientAddData, a->h,
		a->content, 0, room);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientAddData, a->h,
		a->content, 1, NULL);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientBlockRead, a->h,
		a->content, 1, NULL, 0);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientBlockRead, a->h,
		a->content, sizeof(room), room, INFINITE);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientStreamRead, a->h,
		a->content, 1, NULL, 0);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientStreamRead, a->h,
		a->content, sizeof(room), room, INFINITE);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientStreamRead, a->h, a->content,
		sizeof(room), room, 0, NULL);
	START_IS(ERROR_INVALID_PARAMETER, PeerDistClientFlushContent, a->h,
		NULL, NULL, 0);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientFlushContent, a->h, &tag,
		NULL, 0, NULL);
}

/* Reserved offsets must be 0. */
static void
params_offsets(const struct handles *a)
{
	struct test_op op;

	CHECK_EQ(START_AT(&op, 1, PeerDistServerPublishAddToStream, a->h,
			 a->stream, 1, room),
		ERROR_INVALID_PARAMETER);
	CHECK_EQ(START_AT(&op, 1ULL << 32, PeerDistServerPublishCompleteStream,
			 a->h, a->stream),
		ERROR_INVALID_PARAMETER);
	CHECK_EQ(START_AT(&op, 1, PeerDistClientAddContentInformation, a->h,
			 a->content, 1, room),
		ERROR_INVALID_PARAMETER);
	CHECK_EQ(START_AT(&op, 1, PeerDistClientFlushContent, a->h, &tag, NULL,
			 0),
		ERROR_INVALID_PARAMETER);
}

static void
params_by_handle(const struct handles *a)
{
	PEERDIST_CLIENT_BASIC_INFO basic[2] = {{TRUE}, {TRUE}};

	IS(ERROR_INVALID_PARAMETER, PeerDistClientGetInformationByHandle, a->h,
		a->content, MaximumPeerDistClientInfoByHandlesClass,
		sizeof(basic), basic);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientGetInformationByHandle, a->h,
		a->content, PeerDistClientBasicInfo, sizeof(basic), NULL);
	IS(ERROR_INSUFFICIENT_BUFFER, PeerDistClientGetInformationByHandle,
		a->h, a->content, PeerDistClientBasicInfo, 3, basic);
	IS(ERROR_SUCCESS, PeerDistClientGetInformationByHandle, a->h,
		a->content, PeerDistClientBasicInfo, sizeof(basic), basic);
	CHECK_EQ(basic[0].fFlashCrowd, FALSE);
	CHECK_EQ(basic[1].fFlashCrowd, TRUE);
}

static void
case_parameters(void)
{
	struct handles a;

	test_start_daemon(NULL);
	open_all(&a);
	params_common(&a);
	params_publish(&a);
	params_info(&a);
	params_client(&a);
	params_offsets(&a);
	params_by_handle(&a);
	close_all(&a);
}

/* Ports and events of the wrong type are 6; of 87 and 6, 87 wins. */
static void
case_port_and_event(void)
{
	struct handles a;
	OVERLAPPED ov;
	HANDLE out;

	test_start_daemon(NULL);
	open_all(&a);
	IS(ERROR_INVALID_HANDLE, PeerDistClientOpenContent, a.h, &tag, a.event,
		0, &out);
	IS(ERROR_INVALID_HANDLE, PeerDistClientOpenContent, a.h, &tag,
		INVALID_HANDLE_VALUE, 0, &out);
	IS(ERROR_INVALID_HANDLE, PeerDistServerPublishStream, a.h, IDENT("y"),
		0, NULL, a.content, 0, &out);
	memset(&ov, 0, sizeof(ov));
	ov.hEvent = a.content;
	IS(ERROR_INVALID_HANDLE, PeerDistServerPublishCompleteStream, a.h,
		a.stream, &ov);
	ov.hEvent = INVALID_HANDLE_VALUE;
	IS(ERROR_INVALID_HANDLE, PeerDistServerPublishCompleteStream, a.h,
		a.stream, &ov);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientOpenContent, NULL, NULL, NULL,
		0, &out);
	close_all(&a);
}

/* A second operation on a pending OVERLAPPED; the first is not disturbed. */
static void
case_one_overlapped(void)
{
	struct test_bytes b = test_random(BLOCK, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op;
	DWORD bytes;

	test_start_silent(NULL);
	info = test_describe(&b, 1);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	CHECK_EQ(START(&op, PeerDistClientBlockRead, h, c, sizeof(room), room,
			 60000),
		ERROR_IO_PENDING);
	IS(ERROR_INVALID_PARAMETER, PeerDistClientStreamRead, h, c,
		sizeof(room), room, 0, &op.ov);
	CHECK(!PeerDistGetOverlappedResult(&op.ov, &bytes, FALSE));
	CHECK_EQ(pdw_GetLastError(), ERROR_IO_INCOMPLETE);
	observe("PeerDistGetOverlappedResult", ERROR_IO_INCOMPLETE, 'B');
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, h, c, &op.ov);
	CHECK_EQ(test_op_end(&op, NULL), ERROR_OPERATION_ABORTED);
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

static void
case_fork(void)
{
	struct handles a;
	int status = -1;
	pid_t pid;

	test_start_daemon(NULL);
	open_all(&a);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		bad_instance(a.h, &a);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	/* The parent's handles live on. */
	close_all(&a);
}

static void *
shutdown_thread(void *h)
{
	return (void *)(ULONG_PTR)PeerDistShutdown(h);
}

/* The daemon is stopped, so that PeerDistShutdown takes its time; every other
 * call is told meanwhile. */
static void
case_shutting_down(void)
{
	struct handles a;
	pthread_t thread;
	void *code;

	test_start_daemon(NULL);
	open_all(&a);
	CHECK(kill(test_d.pid, SIGSTOP) == 0);
	CHECK(pthread_create(&thread, NULL, shutdown_thread, a.h) == 0);
	/* Answered in the library: does not wait for the daemon. */
	while (PeerDistUnregisterForStatusChangeNotification(a.h) ==
		ERROR_SUCCESS)
		sched_yield();
	instance_code = PEERDIST_ERROR_SHUTDOWN_IN_PROGRESS;
	bad_instance(a.h, &a);
	CHECK(kill(test_d.pid, SIGCONT) == 0);
	CHECK(pthread_join(thread, &code) == 0);
	CHECK_EQ((ULONG_PTR)code, ERROR_SUCCESS);
	instance_code = ERROR_INVALID_HANDLE;
	bad_instance(a.h, &a);
	CHECK(pdw_CloseHandle(a.event));
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"startup", case_startup},
		{"bad_instance", case_bad_instance},
		{"bad_second", case_bad_second},
		{"parameters", case_parameters},
		{"port_and_event", case_port_and_event},
		{"one_overlapped", case_one_overlapped},
		{"fork", case_fork},
		{"shutting_down", case_shutting_down},
	};

	return test_main(
		"args", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

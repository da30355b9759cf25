/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service goes away under its users: switched off by policy and on again,
 * killed and started again; what calls return and how operations end.
 */
#include <string.h>

#include "tests/api/content.h"

#define LONG_MS 600000u

static BYTE room[BLOCK];
static PEERDIST_CONTENT_TAG tag;
static PEERDIST_RETRIEVAL_OPTIONS any = {sizeof(any), 1, 2, 0};

struct handles {
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_STREAM_HANDLE stream;
	PEERDIST_CONTENTINFO_HANDLE ci;
	PEERDIST_CONTENT_HANDLE content, feeding;
	struct test_bytes b, info;
};

static void
handles_open(struct handles *a)
{
	a->b = test_random(4 * BLOCK, 1);
	a->h = test_startup();
	test_publish(a->h, "doc", &a->b, 2);
	a->info = test_info(a->h, "doc", 1, 0, 0);
	a->stream = test_stream_open(a->h, "stream", 0, 2);
	CHECK_EQ(OBSERVED(PeerDistServerOpenContentInformation, a->h,
			 IDENT("doc"), 0, 0, NULL, 0, &a->ci),
		ERROR_SUCCESS);
	a->content = test_open_ready(a->h, 1, &a->info);
	a->feeding = test_open(a->h, 1);
}

/* Calls that make something new, or name it by identifier or tag. */
static void
makers(const struct handles *a, DWORD want)
{
	struct test_op op;
	HANDLE out;

	CHECK_EQ(OBSERVED(PeerDistServerPublishStream, a->h, IDENT("new"), 0,
			 NULL, NULL, 0, &out),
		want);
	CHECK_EQ(OBSERVED(PeerDistServerUnpublish, a->h, IDENT("doc")), want);
	CHECK_EQ(OBSERVED(PeerDistServerOpenContentInformation, a->h,
			 IDENT("doc"), 0, 0, NULL, 0, &out),
		want);
	CHECK_EQ(OBSERVED(PeerDistServerOpenContentInformationEx, a->h,
			 IDENT("doc"), 0, 0, &any, NULL, 0, &out),
		want);
	CHECK_EQ(OBSERVED(PeerDistServerCancelAsyncOperation, a->h,
			 IDENT("stream"), test_op_begin(&op, "")),
		want);
	CHECK_EQ(OBSERVED(PeerDistClientOpenContent, a->h, &tag, NULL, 0, &out),
		want);
	CHECK_EQ(START(&op, PeerDistClientFlushContent, a->h, &tag, NULL, 0),
		want);
}

/* Calls on handles of an earlier time. */
static void
users(const struct handles *a, DWORD want)
{
	PEERDIST_CLIENT_BASIC_INFO basic;
	struct test_op op;

	CHECK_EQ(START(&op, PeerDistServerPublishAddToStream, a->h, a->stream,
			 sizeof(room), room),
		want);
	CHECK_EQ(START(&op, PeerDistServerPublishCompleteStream, a->h,
			 a->stream),
		want);
	CHECK_EQ(START(&op, PeerDistServerRetrieveContentInformation, a->h,
			 a->ci, sizeof(room), room),
		want);
	CHECK_EQ(START(&op, PeerDistClientAddContentInformation, a->h,
			 a->feeding, sizeof(room), room),
		want);
	CHECK_EQ(START(&op, PeerDistClientCompleteContentInformation, a->h,
			 a->feeding),
		want);
	CHECK_EQ(START(&op, PeerDistClientAddData, a->h, a->content,
			 sizeof(room), room),
		want);
	CHECK_EQ(START(&op, PeerDistClientBlockRead, a->h, a->content,
			 sizeof(room), room, 0),
		want);
	CHECK_EQ(START(&op, PeerDistClientStreamRead, a->h, a->content,
			 sizeof(room), room, 0),
		want);
	CHECK_EQ(OBSERVED(PeerDistClientCancelAsyncOperation, a->h, a->content,
			 NULL),
		want);
	CHECK_EQ(OBSERVED(PeerDistClientCancelAsyncOperation, a->h, a->content,
			 &op.ov),
		want);
	CHECK_EQ(
		OBSERVED(PeerDistClientGetInformationByHandle, a->h, a->content,
			PeerDistClientBasicInfo, sizeof(basic), &basic),
		want);
}

static void
status_is(const struct handles *a, PEERDIST_STATUS want)
{
	PEERDIST_STATUS_INFO info = {.cbSize = sizeof(info)};
	PEERDIST_STATUS status = (PEERDIST_STATUS)77;

	CHECK_EQ(OBSERVED(PeerDistGetStatus, a->h, &status), ERROR_SUCCESS);
	CHECK_EQ(status, want);
	CHECK_EQ(OBSERVED(PeerDistGetStatusEx, a->h, &info), ERROR_SUCCESS);
	CHECK_EQ(info.status, want);
	CHECK_EQ(info.dwMinVer, 1);
	CHECK_EQ(info.dwMaxVer, 2);
}

/* Never refused. */
static void
handles_close(struct handles *a)
{
	CHECK_EQ(OBSERVED(PeerDistServerCloseStreamHandle, a->h, a->stream),
		ERROR_SUCCESS);
	CHECK_EQ(OBSERVED(PeerDistServerCloseContentInformation, a->h, a->ci),
		ERROR_SUCCESS);
	CHECK_EQ(OBSERVED(PeerDistClientCloseContent, a->h, a->content),
		ERROR_SUCCESS);
	CHECK_EQ(OBSERVED(PeerDistClientCloseContent, a->h, a->feeding),
		ERROR_SUCCESS);
	test_bytes_free(&a->b);
	test_bytes_free(&a->info);
}

struct watch {
	struct test_op op;
	PEERDIST_STATUS status;
};

static DWORD
watch_arm(struct watch *w, PEERDIST_INSTANCE_HANDLE h)
{
	w->status = (PEERDIST_STATUS)77;
	return OBSERVED(PeerDistRegisterForStatusChangeNotification, h, NULL, 0,
		test_op_begin(
			&w->op, "PeerDistRegisterForStatusChangeNotification"),
		&w->status);
}

/* Waits until the status that is notified is this one; others may come first.
 */
static void
watch_until(PEERDIST_INSTANCE_HANDLE h, PEERDIST_STATUS want)
{
	struct watch w;

	do {
		CHECK_EQ(watch_arm(&w, h), ERROR_IO_PENDING);
		CHECK_EQ(test_op_end(&w.op, NULL), ERROR_SUCCESS);
	} while (w.status != want);
}

static void
pending_read(struct handles *a, struct test_op *op, int stream)
{
	CHECK_EQ(stream ? START(op, PeerDistClientStreamRead, a->h, a->content,
				  sizeof(room), room, LONG_MS)
			: START(op, PeerDistClientBlockRead, a->h, a->content,
				  sizeof(room), room, LONG_MS),
		ERROR_IO_PENDING);
}

/* Everything that can be pending is, then it all ends with 4057. */
struct pending {
	struct test_op block, stream, add, complete, data, info, info_complete;
	struct test_bytes big, big_info;
};

static void
pending_start(struct handles *a, struct pending *p)
{
	p->big = test_random(256 * MiB, 9);
	p->big_info = test_made_up_info(3000);
	pending_read(a, &p->block, 0);
	pending_read(a, &p->stream, 1);
	CHECK_EQ(START(&p->add, PeerDistServerPublishAddToStream, a->h,
			 a->stream, (DWORD)p->big.len, p->big.data),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&p->complete, PeerDistServerPublishCompleteStream, a->h,
			 a->stream),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&p->data, PeerDistClientAddData, a->h, a->content,
			 (DWORD)p->big.len, p->big.data),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&p->info, PeerDistClientAddContentInformation, a->h,
			 a->feeding, (DWORD)p->big_info.len, p->big_info.data),
		ERROR_IO_PENDING);
	CHECK_EQ(START(&p->info_complete,
			 PeerDistClientCompleteContentInformation, a->h,
			 a->feeding),
		ERROR_IO_PENDING);
}

static void
pending_end(struct pending *p)
{
	DWORD code;

	CHECK_EQ(test_op_end(&p->block, NULL), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(test_op_end(&p->stream, NULL), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(test_op_end(&p->add, NULL), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(test_op_end(&p->complete, NULL), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(test_op_end(&p->info, NULL), PEERDIST_ERROR_INVALIDATED);
	CHECK_EQ(test_op_end(&p->info_complete, NULL),
		PEERDIST_ERROR_INVALIDATED);
	test_bytes_free(&p->big_info);
	/* All of it is wrong data, which may have been found before. */
	code = test_op_end(&p->data, NULL);
	CHECK(code == PEERDIST_ERROR_INVALIDATED || code == ERROR_INVALID_DATA);
	test_bytes_free(&p->big);
}

static void
case_policy(void)
{
	struct handles a, fresh;
	struct pending p;

	test_start_silent(NULL);
	handles_open(&a);
	watch_until(a.h, PEERDIST_STATUS_AVAILABLE);
	status_is(&a, PEERDIST_STATUS_AVAILABLE);
	pending_start(&a, &p);
	test_daemon_reload(&test_d, "[Service]\nEnable = no\n");
	watch_until(a.h, PEERDIST_STATUS_DISABLED);
	pending_end(&p);
	status_is(&a, PEERDIST_STATUS_DISABLED);
	users(&a, ERROR_ACCESS_DISABLED_BY_POLICY);
	makers(&a, ERROR_ACCESS_DISABLED_BY_POLICY);
	test_daemon_reload(&test_d, "[Service]\nEnable = yes\n");
	watch_until(a.h, PEERDIST_STATUS_AVAILABLE);
	users(&a, PEERDIST_ERROR_INVALIDATED);
	handles_close(&a);
	/* The instance lives on; its publications are gone. */
	CHECK_EQ(OBSERVED(PeerDistServerUnpublish, a.h, IDENT("doc")),
		PEERDIST_ERROR_NOT_FOUND);
	handles_open(&fresh);
	handles_close(&fresh);
	test_shutdown(fresh.h);
	test_shutdown(a.h);
}

static void
case_killed(void)
{
	struct handles a, fresh;
	struct pending p;

	test_start_silent(NULL);
	handles_open(&a);
	watch_until(a.h, PEERDIST_STATUS_AVAILABLE);
	pending_start(&a, &p);
	test_daemon_kill(&test_d);
	pending_end(&p);
	watch_until(a.h, PEERDIST_STATUS_UNAVAILABLE);
	status_is(&a, PEERDIST_STATUS_UNAVAILABLE);
	users(&a, PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	makers(&a, PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	test_daemon_start(&test_d);
	watch_until(a.h, PEERDIST_STATUS_AVAILABLE);
	status_is(&a, PEERDIST_STATUS_AVAILABLE);
	users(&a, PEERDIST_ERROR_INVALIDATED);
	handles_close(&a);
	handles_open(&fresh);
	handles_close(&fresh);
	test_shutdown(fresh.h);
	test_shutdown(a.h);
}

/* Handles can be closed, and the instance shut down, with no daemon there. */
static void
case_close_alone(void)
{
	struct handles a;
	struct test_op op;

	test_start_silent(NULL);
	handles_open(&a);
	pending_read(&a, &op, 0);
	test_daemon_kill(&test_d);
	CHECK_EQ(test_op_end(&op, NULL), PEERDIST_ERROR_INVALIDATED);
	handles_close(&a);
	test_shutdown(a.h);
}

/* Startup needs no daemon; the first notification comes when one appears. */
static void
case_late_daemon(void)
{
	struct handles a;
	struct watch w;

	test_prepare_daemon(NULL);
	a.h = test_startup();
	status_is(&a, PEERDIST_STATUS_UNAVAILABLE);
	makers(&a, PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	/* UNAVAILABLE differs from the DISABLED that it begins with. */
	CHECK_EQ(watch_arm(&w, a.h), ERROR_IO_PENDING);
	CHECK_EQ(test_op_end(&w.op, NULL), ERROR_SUCCESS);
	CHECK_EQ(w.status, PEERDIST_STATUS_UNAVAILABLE);
	CHECK_EQ(watch_arm(&w, a.h), ERROR_IO_PENDING);
	CHECK(!test_op_ended(&w.op));
	test_daemon_start(&test_d);
	CHECK_EQ(test_op_end(&w.op, NULL), ERROR_SUCCESS);
	CHECK_EQ(w.status, PEERDIST_STATUS_AVAILABLE);
	test_shutdown(a.h);
}

static void
unregister_ends(PEERDIST_INSTANCE_HANDLE h, struct test_op *op)
{
	pdw_SetLastError(0);
	CHECK_EQ(OBSERVED(PeerDistUnregisterForStatusChangeNotification, h),
		ERROR_SUCCESS);
	CHECK_EQ(pdw_GetLastError(), ERROR_OPERATION_ABORTED);
	CHECK(test_op_ended(op));
	CHECK_EQ(test_op_end(op, NULL), ERROR_OPERATION_ABORTED);
}

static DWORD
watch_arm_ex(struct test_op *op, PEERDIST_STATUS_INFO *info,
	PEERDIST_INSTANCE_HANDLE h)
{
	*info = (PEERDIST_STATUS_INFO){.cbSize = sizeof(*info)};
	return OBSERVED(PeerDistRegisterForStatusChangeNotificationEx, h, NULL,
		0,
		test_op_begin(
			op, "PeerDistRegisterForStatusChangeNotificationEx"),
		info);
}

static void
case_status(void)
{
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_STATUS_INFO info;
	struct test_op ex;
	struct watch w, second;

	test_start_daemon(NULL);
	h = test_startup();
	/* Nothing is armed: 0. */
	CHECK_EQ(OBSERVED(PeerDistUnregisterForStatusChangeNotification, h),
		ERROR_SUCCESS);
	/* The first fires as soon as the status is not DISABLED. */
	watch_until(h, PEERDIST_STATUS_AVAILABLE);
	CHECK_EQ(watch_arm(&w, h), ERROR_IO_PENDING);
	CHECK_EQ(watch_arm(&second, h), PEERDIST_ERROR_ALREADY_EXISTS);
	CHECK_EQ(watch_arm_ex(&ex, &info, h), PEERDIST_ERROR_ALREADY_EXISTS);
	CHECK(!test_op_ended(&w.op));
	unregister_ends(h, &w.op);
	/* On 995 the caller's status is untouched. */
	CHECK_EQ(w.status, 77);
	CHECK_EQ(watch_arm_ex(&ex, &info, h), ERROR_IO_PENDING);
	unregister_ends(h, &ex);
	CHECK_EQ(watch_arm_ex(&ex, &info, h), ERROR_IO_PENDING);
	test_daemon_reload(&test_d, "[Service]\nEnable = no\n");
	CHECK_EQ(test_op_end(&ex, NULL), ERROR_SUCCESS);
	CHECK_EQ(info.status, PEERDIST_STATUS_DISABLED);
	CHECK_EQ(info.dwMinVer, 1);
	CHECK_EQ(info.dwMaxVer, 2);
	/* Armed while DISABLED is what was notified last; ended by Shutdown. */
	CHECK_EQ(watch_arm(&w, h), ERROR_IO_PENDING);
	CHECK(!test_op_ended(&w.op));
	test_shutdown(h);
	CHECK_EQ(test_op_end(&w.op, NULL), ERROR_OPERATION_ABORTED);
	/* A new session of a disabled service stays armed. */
	h = test_startup();
	CHECK_EQ(watch_arm(&w, h), ERROR_IO_PENDING);
	test_daemon_reload(&test_d, "[Service]\nEnable = yes\n");
	CHECK_EQ(test_op_end(&w.op, NULL), ERROR_SUCCESS);
	CHECK_EQ(w.status, PEERDIST_STATUS_AVAILABLE);
	test_shutdown(h);
}

/* SIGTERM while operations are pending: as any other end of the service. */
static void
case_stopped(void)
{
	struct handles a;
	struct test_op op;

	test_start_silent(NULL);
	handles_open(&a);
	pending_read(&a, &op, 0);
	test_daemon_stop(&test_d);
	CHECK_EQ(test_op_end(&op, NULL), PEERDIST_ERROR_INVALIDATED);
	users(&a, PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	handles_close(&a);
	test_shutdown(a.h);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"policy", case_policy},
		{"killed", case_killed},
		{"close_alone", case_close_alone},
		{"late_daemon", case_late_daemon},
		{"status", case_status},
		{"stopped", case_stopped},
	};

	return test_main(
		"outage", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

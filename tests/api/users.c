/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several users: what one publishes, starts or caches is not the other's.
 * Quotas, roles.  Two uids need root.
 */
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/api/content.h"

#define IS(want, fn, ...) CHECK_EQ(OBSERVED(fn, __VA_ARGS__), want)
#define LONG_MS           600000u
#define OTHER_UID         54321u
#define OTHER_GID         54322u

static BYTE room[BLOCK];
static PEERDIST_CONTENT_TAG tag;

/* Runs fn in a process of another user; must return. */
static void
as_other(void (*fn)(void *), void *ctx, gid_t gid, size_t n_groups,
	const gid_t *groups)
{
	int status = -1;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("two users need root");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(setgroups(n_groups, groups) == 0);
		CHECK(setresgid(gid, gid, gid) == 0);
		CHECK(setresuid(OTHER_UID, OTHER_UID, OTHER_UID) == 0);
		fn(ctx);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

struct shared {
	struct test_bytes b, info;
	OVERLAPPED *pending;
};

/* The other one has the content information: he may read what is proved, but
 * not see, open or end what is mine. */
static void
other_looks(void *ctx)
{
	struct shared *s = ctx;
	PEERDIST_INSTANCE_HANDLE h = test_startup();
	PEERDIST_CONTENT_HANDLE c;
	OVERLAPPED ov;
	HANDLE out;

	IS(PEERDIST_ERROR_NOT_FOUND, PeerDistServerOpenContentInformation, h,
		IDENT("doc"), 0, 0, NULL, 0, &out);
	IS(PEERDIST_ERROR_NOT_FOUND, PeerDistServerUnpublish, h, IDENT("doc"));
	/* The same name is a publication of his own. */
	test_publish(h, "doc", &s->b, 2);
	memset(&tag, 1, sizeof(tag));
	CHECK_EQ(RUN(PeerDistClientFlushContent, h, &tag, NULL, 0),
		ERROR_SUCCESS);
	c = test_open_ready(h, 1, &s->info);
	memset(&ov, 0, sizeof(ov));
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, h, c, &ov);
	IS(PEERDIST_ERROR_OPERATION_NOTFOUND,
		PeerDistClientCancelAsyncOperation, h, c, NULL);
	test_compare(h, c, &s->b, 0, BLOCK);
	test_shutdown(h);
}

static void
case_two_users(void)
{
	struct test_bytes block;
	struct shared s;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	struct test_op op;
	HANDLE out;

	if (geteuid() != 0)
		test_skip("two users need root");
#ifdef __SANITIZE_THREAD__
	test_skip("the thread sanitizer allows no threads after a fork");
#endif
	test_start_silent(NULL);
	s.b = test_random(BLOCK, 1);
	s.info = test_describe(&s.b, 1);
	block = test_random(4 * BLOCK, 7);
	h = test_startup();
	test_publish(h, "doc", &block, 2);
	c = test_open_ready(h, 1, &s.info);
	CHECK_EQ(test_add(h, c, &s.b, 0, BLOCK), ERROR_SUCCESS);
	{
		struct test_bytes i = test_info(h, "doc", 1, 0, 0);
		PEERDIST_CONTENT_HANDLE w = test_open_ready(h, 1, &i);

		CHECK_EQ(START(&op, PeerDistClientBlockRead, h, w, BLOCK, room,
				 LONG_MS),
			ERROR_IO_PENDING);
		test_bytes_free(&i);
	}
	as_other(other_looks, &s, OTHER_GID, 0, NULL);
	/* Nothing of mine has changed. */
	CHECK(!test_op_ended(&op));
	IS(ERROR_SUCCESS, PeerDistServerOpenContentInformation, h, IDENT("doc"),
		0, 0, NULL, 0, &out);
	test_compare(h, c, &s.b, 0, BLOCK);
	test_shutdown(h);
	test_bytes_free(&s.b);
	test_bytes_free(&s.info);
	test_bytes_free(&block);
}

static void
publisher_only(void *ctx)
{
	PEERDIST_INSTANCE_HANDLE h = test_startup();
	struct test_bytes b = test_random(1000, 1);
	HANDLE out;

	test_publish(h, "mine", &b, 2);
	IS(ERROR_ACCESS_DISABLED_BY_POLICY, PeerDistClientOpenContent, h, &tag,
		NULL, 0, &out);
	test_shutdown(h);
}

static void
client_only(void *ctx)
{
	PEERDIST_INSTANCE_HANDLE h = test_startup();
	HANDLE out;

	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h, &tag, NULL, 0, &out);
	IS(ERROR_ACCESS_DISABLED_BY_POLICY, PeerDistServerPublishStream, h,
		IDENT("x"), 0, NULL, NULL, 0, &out);
	IS(ERROR_ACCESS_DISABLED_BY_POLICY, PeerDistServerUnpublish, h,
		IDENT("x"));
	test_shutdown(h);
}

/* Roles by primary and by supplementary group. */
static void
case_roles(void)
{
	gid_t more[] = {60001, 60002};

	if (geteuid() != 0)
		test_skip("other groups need root");
	test_start_daemon("Access.PublisherGroups=60001,60005",
		"Access.ClientGroups=60002", NULL);
	as_other(publisher_only, NULL, 60001, 0, NULL);
	as_other(publisher_only, NULL, OTHER_GID, 1, &more[0]);
	as_other(client_only, NULL, OTHER_GID, 1, &more[1]);
	as_other(client_only, NULL, 60002, 0, NULL);
}

/* The limit of operations: 1450 from every call that makes one; a place that is
 * given back is there again. */
static void
limit_operations(PEERDIST_INSTANCE_HANDLE h, PEERDIST_CONTENT_HANDLE c)
{
	PEERDIST_STREAM_HANDLE s = test_stream_open(h, "s", 0, 2);
	PEERDIST_CONTENT_HANDLE feeding = test_open(h, 1);
	PEERDIST_CONTENTINFO_HANDLE ci;
	struct test_op op, reads[4];

	IS(ERROR_SUCCESS, PeerDistServerOpenContentInformation, h, IDENT("doc"),
		0, 0, NULL, 0, &ci);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(START(&reads[i], PeerDistClientBlockRead, h, c, BLOCK,
				 room, LONG_MS),
			ERROR_IO_PENDING);
#define FULL(fn, ...) \
	CHECK_EQ(START(&op, fn, __VA_ARGS__), ERROR_NO_SYSTEM_RESOURCES)
	FULL(PeerDistClientBlockRead, h, c, BLOCK, room, LONG_MS);
	FULL(PeerDistClientStreamRead, h, c, BLOCK, room, 0);
	FULL(PeerDistClientAddData, h, c, BLOCK, room);
	FULL(PeerDistClientAddContentInformation, h, feeding, BLOCK, room);
	FULL(PeerDistClientCompleteContentInformation, h, feeding);
	FULL(PeerDistClientFlushContent, h, &tag, NULL, 0);
	FULL(PeerDistServerPublishAddToStream, h, s, BLOCK, room);
	FULL(PeerDistServerPublishCompleteStream, h, s);
	FULL(PeerDistServerRetrieveContentInformation, h, ci, BLOCK, room);
#undef FULL
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, h, c,
		&reads[2].ov);
	CHECK_EQ(RUN(PeerDistClientFlushContent, h, &tag, NULL, 0),
		ERROR_SUCCESS);
	IS(ERROR_SUCCESS, PeerDistClientCancelAsyncOperation, h, c, NULL);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(test_op_end(&reads[i], NULL), ERROR_OPERATION_ABORTED);
}

static void
case_operation_quota(void)
{
	struct test_bytes b = test_random(4 * BLOCK, 1), info;
	PEERDIST_INSTANCE_HANDLE h;

	test_start_silent("Limits.PerUidOperations=4", NULL);
	h = test_startup();
	test_publish(h, "doc", &b, 2);
	info = test_info(h, "doc", 1, 0, 0);
	limit_operations(h, test_open_ready(h, 1, &info));
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

static void
case_handle_quota(void)
{
	PEERDIST_RETRIEVAL_OPTIONS any = {sizeof(any), 1, 2, 0};
	struct test_bytes b = test_random(1000, 1);
	PEERDIST_CONTENT_HANDLE c[16];
	PEERDIST_INSTANCE_HANDLE h;
	unsigned n = 0;
	HANDLE out;

	test_start_daemon("Limits.PerUidContents=6", NULL);
	h = test_startup();
	test_publish(h, "doc", &b, 2);
	while (n < 16 &&
		OBSERVED(PeerDistClientOpenContent, h, &tag, NULL, 0, &c[n]) ==
			ERROR_SUCCESS)
		n++;
	CHECK(n >= 5 && n <= 6);
	IS(ERROR_NO_SYSTEM_RESOURCES, PeerDistClientOpenContent, h, &tag, NULL,
		0, &out);
	IS(ERROR_NO_SYSTEM_RESOURCES, PeerDistServerPublishStream, h,
		IDENT("more"), 0, NULL, NULL, 0, &out);
	IS(ERROR_NO_SYSTEM_RESOURCES, PeerDistServerOpenContentInformation, h,
		IDENT("doc"), 0, 0, NULL, 0, &out);
	IS(ERROR_NO_SYSTEM_RESOURCES, PeerDistServerOpenContentInformationEx, h,
		IDENT("doc"), 0, 0, &any, NULL, 0, &out);
	IS(ERROR_SUCCESS, PeerDistClientCloseContent, h, c[0]);
	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h, &tag, NULL, 0, &out);
	test_shutdown(h);
	test_bytes_free(&b);
}

/* One session too many: its calls say so, the others go on. */
static void
case_session_quota(void)
{
	PEERDIST_INSTANCE_HANDLE h1, h2, h3;
	HANDLE out;
	DWORD code;

	test_start_daemon("Limits.PerUidSessions=2", NULL);
	h1 = test_startup();
	h2 = test_startup();
	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h1, &tag, NULL, 0, &out);
	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h2, &tag, NULL, 0, &out);
	h3 = test_startup();
	code = OBSERVED(PeerDistClientOpenContent, h3, &tag, NULL, 0, &out);
	CHECK(code == ERROR_NO_SYSTEM_RESOURCES ||
		code == PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h1, &tag, NULL, 0, &out);
	test_shutdown(h3);
	test_shutdown(h2);
	h2 = test_startup();
	IS(ERROR_SUCCESS, PeerDistClientOpenContent, h2, &tag, NULL, 0, &out);
	test_shutdown(h2);
	test_shutdown(h1);
}

/* A client is killed with operations pending: his publications and operations
 * are gone, his name can be used again. */
static void
case_client_killed(void)
{
	static struct test_op ops[1000];
	struct test_bytes b = test_random(4 * BLOCK, 1), info;
	PEERDIST_INSTANCE_HANDLE h;
	PEERDIST_CONTENT_HANDLE c;
	int status, ready[2];
	pid_t pid;
	char byte;

	test_start_silent(NULL);
	info = test_describe(&b, 1);
	CHECK(pipe(ready) == 0);
	pid = fork();
	CHECK(pid >= 0);
	h = test_startup();
	c = test_open_ready(h, 1, &info);
	if (pid == 0) {
		test_publish(h, "doc", &b, 2);
		for (int i = 0; i < 1000; i++)
			CHECK_EQ(START(&ops[i], PeerDistClientBlockRead, h, c,
					 BLOCK, room, LONG_MS),
				ERROR_IO_PENDING);
		CHECK(write(ready[1], "x", 1) == 1);
		pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	IS(PEERDIST_ERROR_ALREADY_EXISTS, PeerDistServerPublishStream, h,
		IDENT("doc"), 0, NULL, NULL, 0, &(HANDLE){NULL});
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	/* The daemon reads the end of his connection in its own time. */
	for (;;) {
		PEERDIST_STREAM_HANDLE s;
		DWORD code = OBSERVED(PeerDistServerPublishStream, h,
			IDENT("doc"), 0, NULL, NULL, 0, &s);

		if (code == ERROR_SUCCESS)
			break;
		CHECK_EQ(code, PEERDIST_ERROR_ALREADY_EXISTS);
	}
	test_shutdown(h);
	test_bytes_free(&b);
	test_bytes_free(&info);
}

int
main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"two_users", case_two_users},
		{"roles", case_roles},
		{"operation_quota", case_operation_quota},
		{"handle_quota", case_handle_quota},
		{"session_quota", case_session_quota},
		{"client_killed", case_client_killed},
	};

	return test_main(
		"users", cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}

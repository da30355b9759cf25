/* SPDX-License-Identifier: BSD-2-Clause */
/* pdw_ServerPublishFile, by descriptor and by a thread of the library. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tests/unit/lib_daemon.h"

#define FUSE_NUMBER 0x65735546
#define FILE_SIZE   (2u * 1024 * 1024 + 77)

static atomic_bool pretend_fuse;

int __real_fstatfs(int fd, struct statfs *buf);
int __wrap_fstatfs(int fd, struct statfs *buf);

int
__wrap_fstatfs(int fd, struct statfs *buf)
{
	int r = __real_fstatfs(fd, buf);

	if (r == 0 && atomic_load(&pretend_fuse))
		buf->f_type = FUSE_NUMBER;
	return r;
}

/* Adds and completes of the stream, as the daemon sees them. */
struct seen {
	uint64_t bytes;
	uint64_t declared;
	bool hold;     /* leave adds pending */
	uint32_t code; /* of adds */
	int grow_fd;   /* >= 0: the file changes with the first add */
	bool had_fd;
};

struct fixture {
	struct fake *fake;
	HANDLE port;
	PEERDIST_INSTANCE_HANDLE instance;
	int fd;
	PDW_PUBLISH_FILE file;
	struct seen seen;
};

static void
see_slice(struct fake *f, uint64_t id, const Pd__Slice *s, struct seen *seen)
{
	Pd__Range range = PD__RANGE__INIT;

	seen->bytes += s->length;
	range.offset = s->offset;
	range.length = s->length;
	if (s->inline_data.len == 0)
		fake_send(f, IPC_RELEASED, id, &range.base);
}

static bool
see(struct fake *f, struct ipc_msg *m, void *arg)
{
	struct seen *seen = arg;

	switch (m->header.type) {
	case IPC_PUBLISH_OPEN:
		seen->declared = m->u.publish_open->length;
		return false;
	case IPC_SUBMIT_STREAM_ADD:
		if (seen->hold)
			return false;
		fake_reply(f, IPC_ACK, m->header.id, 0);
		see_slice(f, m->header.id, m->u.submit_add->slice, seen);
		if (seen->grow_fd >= 0 && pwrite(seen->grow_fd, "x", 1, 0) != 1)
			abort();
		fake_complete(f, m->header.id, seen->code, 0);
		return true;
	case IPC_SUBMIT_STREAM_COMPLETE:
		fake_reply(f, IPC_ACK, m->header.id, 0);
		fake_complete(f, m->header.id, 0, 0);
		return true;
	case IPC_SUBMIT_PUBLISH_FILE:
		seen->had_fd = m->header.n_fds == 1;
		return false;
	default:
		return false;
	}
}

static int
setup(void **state)
{
	static const BYTE ident[] = "file";
	struct fixture *x = calloc(1, sizeof(*x));
	char path[] = "/tmp/peerdist-file-XXXXXX";

	atomic_store(&pretend_fuse, false);
	x->fake = fake_new();
	x->seen.grow_fd = -1;
	fake_hook_set(x->fake, see, &x->seen);
	fake_start(x->fake);
	x->port = make_port();
	x->instance = start_instance();
	x->fd = mkostemp(path, O_CLOEXEC);
	assert_true(x->fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(x->fd, FILE_SIZE), 0);
	x->file = (PDW_PUBLISH_FILE){.cbSize = sizeof(x->file),
		.cbContentIdentifier = 4,
		.pContentIdentifier = ident,
		.fd = x->fd};
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(PeerDistShutdown(x->instance), 0);
	pdw_CloseHandle(x->port);
	fake_free(x->fake);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
	return 0;
}

static DWORD
publish(struct fixture *x, OVERLAPPED *ov)
{
	memset(ov, 0, sizeof(*ov));
	return pdw_ServerPublishFile(x->instance, &x->file, x->port, 5, ov);
}

static void
test_arguments(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	x->file.cbSize--;
	assert_int_equal(publish(x, &ov), ERROR_INVALID_PARAMETER);
	x->file.cbSize++;
	x->file.fd = -1;
	assert_int_equal(publish(x, &ov), ERROR_INVALID_HANDLE);
	x->file.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(publish(x, &ov), ERROR_INVALID_PARAMETER);
	close(x->file.fd);
	x->file.fd = x->fd;
	x->file.ullOffset = 1;
	x->file.ullLength = UINT64_MAX;
	assert_int_equal(publish(x, &ov), ERROR_INVALID_PARAMETER);
	x->file.ullOffset = 0;
	x->file.ullLength = FILE_SIZE + 1;
	atomic_store(&pretend_fuse, true);
	assert_int_equal(publish(x, &ov), PEERDIST_ERROR_OUT_OF_BOUNDS);
	assert_int_equal(pdw_ServerPublishFile(x->instance, NULL, NULL, 0, &ov),
		ERROR_INVALID_PARAMETER);
}

static void
test_by_descriptor(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;
	BYTE ident[] = "file";

	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	close(x->fd);
	x->fd = -1;
	fake_wait_seen(x->fake, IPC_SUBMIT_PUBLISH_FILE, 1);
	assert_true(x->seen.had_fd);
	assert_int_equal(
		PeerDistServerCancelAsyncOperation(x->instance, 4, ident, &ov),
		0);
	expect_packet(x->port, &ov, 5, ERROR_OPERATION_ABORTED, 0);
}

static void
test_by_thread(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	atomic_store(&pretend_fuse, true);
	x->file.ullOffset = 7;
	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	expect_packet(x->port, &ov, 5, 0, 0);
	assert_int_equal(x->seen.bytes, FILE_SIZE - 7);
	assert_int_equal(x->seen.declared, FILE_SIZE - 7);
	fake_wait_seen(x->fake, IPC_STREAM_CLOSE, 1);
	assert_int_equal(fake_seen(x->fake, IPC_UNPUBLISH), 0);
}

static void
test_thread_failures(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	atomic_store(&pretend_fuse, true);
	x->seen.code = ERROR_DISK_FULL;
	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	expect_packet(x->port, &ov, 5, ERROR_DISK_FULL, 0);
	x->seen.code = 0;
	x->seen.grow_fd = x->fd;
	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	expect_packet(x->port, &ov, 5, ERROR_INVALID_DATA, 0);
	assert_int_equal(fake_seen(x->fake, IPC_SUBMIT_STREAM_COMPLETE), 0);
	fake_refuse(x->fake, PEERDIST_ERROR_ALREADY_EXISTS);
	assert_int_equal(publish(x, &ov), PEERDIST_ERROR_ALREADY_EXISTS);
	fake_refuse(x->fake, 0);
}

static void
test_thread_cancelled(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;
	BYTE ident[] = "file";

	atomic_store(&pretend_fuse, true);
	x->seen.hold = true;
	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	fake_wait_seen(x->fake, IPC_SUBMIT_STREAM_ADD, 1);
	/* Another identifier is another content. */
	assert_int_equal(
		PeerDistServerCancelAsyncOperation(x->instance, 3, ident, &ov),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
	assert_int_equal(
		PeerDistServerCancelAsyncOperation(x->instance, 4, ident, &ov),
		0);
	assert_true(HasOverlappedIoCompleted(&ov));
	expect_packet(x->port, &ov, 5, ERROR_OPERATION_ABORTED, 0);
	assert_int_equal(
		PeerDistServerCancelAsyncOperation(x->instance, 4, ident, &ov),
		PEERDIST_ERROR_OPERATION_NOTFOUND);
}

static void
test_thread_and_shutdown(void **state)
{
	struct fixture *x = *state;
	OVERLAPPED ov;

	atomic_store(&pretend_fuse, true);
	x->seen.hold = true;
	assert_int_equal(publish(x, &ov), ERROR_IO_PENDING);
	fake_wait_seen(x->fake, IPC_SUBMIT_STREAM_ADD, 1);
	assert_int_equal(PeerDistShutdown(x->instance), 0);
	expect_packet(x->port, &ov, 5, ERROR_OPERATION_ABORTED, 0);
	x->instance = start_instance();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_arguments),
		T(test_by_descriptor),
		T(test_by_thread),
		T(test_thread_failures),
		T(test_thread_cancelled),
		T(test_thread_and_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What travels beside the frame, and what becomes of it. */
#include "daemon/api/dispatch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "tests/unit/api_harness.h"
#include "tests/unit/closing.h"

static struct {
	unsigned calls;
	enum ipc_secret_action action;
	char passphrase[64], blob[64];
	size_t passphrase_len, blob_len;
	enum core_result result;
} hook;

static enum core_result
on_secret(void *ctx, const struct api_secret_request *q, struct json *j)
{
	hook.calls++;
	hook.action = q->action;
	hook.passphrase_len = q->passphrase_len;
	hook.blob_len = q->blob_len;
	assert_true(q->passphrase_len < sizeof(hook.passphrase));
	assert_true(q->blob_len < sizeof(hook.blob));
	memcpy(hook.passphrase, q->passphrase, q->passphrase_len);
	memcpy(hook.blob, q->blob, q->blob_len);
	json_out_text(j, "fingerprint", "ff");
	return hook.result;
}

static int
setup(void **state)
{
	memset(&hook, 0, sizeof(hook));
	if (harness_setup(state) != 0)
		return -1;
	h.set.hooks.secret = on_secret;
	return 0;
}

static struct end
admin(uint32_t uid)
{
	struct end e;

	end_open(&e, connect_as(uid));
	greet(&e, 0);
	return e;
}

static int
memfd(const char *bytes)
{
	size_t len = strlen(bytes);
	int fd = fd_memfd_sealed("test", len);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, 0), len);
	return fd;
}

static void
put_secret(struct end *e, enum ipc_secret_action action, uint32_t passphrase,
	uint32_t blob, int fd)
{
	Pd__AdminSecret b = PD__ADMIN_SECRET__INIT;

	b.action = action;
	b.passphrase_length = passphrase;
	b.blob_length = blob;
	assert_int_equal(ipc_chan_queue(e->chan, IPC_ADMIN_SECRET, 1, &b.base,
				 &fd, fd >= 0 ? 1 : 0),
		0);
	assert_int_equal(ipc_chan_flush(e->chan), 0);
}

static void
get_document(struct end *e, const char *want)
{
	struct ipc_msg m;

	get(e, IPC_ADMIN_TEXT, 1, &m);
	assert_int_equal(m.u.admin_text->code, 0);
	assert_string_equal(m.u.admin_text->json, want);
	ipc_msg_done(&m);
}

static void
both_parts_arrive_and_are_wiped(void **state)
{
	static const char zeros[16];
	struct end e = admin(ROOT);
	char left[16];
	int fd = memfd("passwordthe file");

	put_secret(&e, IPC_SECRET_IMPORT, 8, 8, fd);
	get_document(&e, "{\"v\":1,\"fingerprint\":\"ff\"}");
	assert_int_equal(hook.calls, 1);
	assert_int_equal(hook.action, IPC_SECRET_IMPORT);
	assert_int_equal(hook.passphrase_len, 8);
	assert_memory_equal(hook.passphrase, "password", 8);
	assert_int_equal(hook.blob_len, 8);
	assert_memory_equal(hook.blob, "the file", 8);
	assert_int_equal(pread(fd, left, 16, 0), 16);
	assert_memory_equal(left, zeros, 16);
	close(fd);
	end_close(&e);
}

static void
fingerprint_needs_no_bytes(void **state)
{
	struct end e = admin(ROOT);

	put_secret(&e, IPC_SECRET_FINGERPRINT, 0, 0, -1);
	get_document(&e, "{\"v\":1,\"fingerprint\":\"ff\"}");
	assert_int_equal(hook.passphrase_len + hook.blob_len, 0);
	end_close(&e);
}

static void
failures_have_numbers(void **state)
{
	static const struct {
		enum core_result result;
		uint32_t code;
	} rows[] = {
		{CORE_E_BAD_DATA, ERROR_INVALID_DATA},
		{CORE_E_BAD_PARAMETER, ERROR_INVALID_PARAMETER},
		{CORE_E_IO, ERROR_IO_DEVICE},
	};
	struct end e = admin(ROOT);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = memfd("x");

		hook.result = rows[i].result;
		put_secret(&e, IPC_SECRET_SET, 1, 0, fd);
		assert_int_equal(get_code(&e, IPC_REPLY, 1), rows[i].code);
		close(fd);
	}
	end_close(&e);
}

static void
only_administrators(void **state)
{
	struct end e = admin(ALICE);
	int fd = memfd("x");

	put_secret(&e, IPC_SECRET_SET, 1, 0, fd);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_ACCESS_DENIED);
	put_secret(&e, IPC_SECRET_FINGERPRINT, 0, 0, -1);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_ACCESS_DENIED);
	assert_int_equal(hook.calls, 0);
	close(fd);
	end_close(&e);
}

static void
without_a_hook(void **state)
{
	struct end e = admin(ROOT);

	h.set.hooks.secret = NULL;
	put_secret(&e, IPC_SECRET_FINGERPRINT, 0, 0, -1);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_NOT_SUPPORTED);
	end_close(&e);
}

/* Descriptors of other kinds, of one byte where they have a size. */

static int
unsealed(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 1), 0);
	return fd;
}

static int
sealed_but_for_growing(void)
{
	int fd = unsealed();

	assert_int_equal(
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL), 0);
	return fd;
}

static int
too_large(void)
{
	return memfd("xy");
}

static int
empty(void)
{
	return memfd("");
}

static int
file(void)
{
	char path[] = "/tmp/test_api_secret.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	return fd;
}

static int
pipe_end(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[1]);
	return fds[0];
}

static void
other_descriptors_end_the_connection(void **state)
{
	static int (*const kinds[])(void) = {unsealed, sealed_but_for_growing,
		too_large, empty, file, pipe_end};
	unsigned before = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct end e = admin(ROOT);
		int fd = kinds[i]();

		put_secret(&e, IPC_SECRET_SET, 1, 0, fd);
		get_closed(&e);
		close(fd);
		end_close(&e);
		TURN_UNTIL(h.set.n_clients == 0);
		/* What is made once and kept is there after the first. */
		if (before == 0)
			before = count_fds();
		assert_int_equal(count_fds(), before);
	}
	assert_int_equal(hook.calls, 0);
	assert_int_equal(h.set.counters.broken, ARRAY_LEN(kinds));
}

static void
bytes_that_are_not_there_end_the_connection(void **state)
{
	struct end e = admin(ROOT);

	put_secret(&e, IPC_SECRET_FINGERPRINT, 1, 0, -1);
	get_closed(&e);
	end_close(&e);
	assert_int_equal(hook.calls, 0);
}

#define IN_HARNESS(test) \
	cmocka_unit_test_setup_teardown(test, setup, harness_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_HARNESS(both_parts_arrive_and_are_wiped),
		IN_HARNESS(fingerprint_needs_no_bytes),
		IN_HARNESS(failures_have_numbers),
		IN_HARNESS(only_administrators),
		IN_HARNESS(without_a_hook),
		IN_HARNESS(other_descriptors_end_the_connection),
		IN_HARNESS(bytes_that_are_not_there_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

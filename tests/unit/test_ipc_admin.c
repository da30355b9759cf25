/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounds of what peerdistctl asks. */
#include "proto/ipc_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t bytes[IPC_FRAME_MAX];

static ProtobufCBinaryData
binary(size_t len)
{
	return (ProtobufCBinaryData){len, bytes};
}

/* What a daemon makes of the frame. */
static int
try_frame(enum ipc_type type, unsigned n_fds, const ProtobufCMessage *body)
{
	struct ipc_msg m;
	struct buf b;
	int r;

	buf_init(&b, IPC_FRAME_MAX);
	assert_int_equal(ipc_build(&b, type, 1, n_fds, body), 0);
	r = ipc_parse(&m, b.data, b.len, IPC_FROM_CLIENT);
	if (r == 0)
		ipc_msg_done(&m);
	buf_done(&b);
	return r;
}

static int
try_cache(const Pd__AdminCache *b)
{
	return try_frame(IPC_ADMIN_CACHE, 0, &b->base);
}

static void
init_cache(Pd__AdminCache *b)
{
	pd__admin_cache__init(b);
	b->action = IPC_CACHE_LIST;
}

static void
cache_bounds(void **state)
{
	char size[600];
	Pd__AdminCache b;

	for (uint32_t action = 0; action <= _IPC_CACHE_MAX; action++) {
		init_cache(&b);
		b.action = action;
		assert_int_equal(try_cache(&b),
			action >= 1 && action < _IPC_CACHE_MAX ? 0
							       : IPC_E_BODY);
	}
	for (size_t len = 0; len <= 70; len++) {
		init_cache(&b);
		b.tag = binary(len);
		assert_int_equal(try_cache(&b),
			len == 0 || len == IPC_TAG_SIZE ? 0 : IPC_E_BODY);
		init_cache(&b);
		b.after = binary(len);
		assert_int_equal(try_cache(&b), len <= 64 ? 0 : IPC_E_BODY);
	}
	init_cache(&b);
	b.limit = IPC_ROWS_MAX;
	assert_int_equal(try_cache(&b), 0);
	b.limit++;
	assert_int_equal(try_cache(&b), IPC_E_BODY);
	init_cache(&b);
	b.cache = _IPC_CACHE_KIND_MAX;
	assert_int_equal(try_cache(&b), IPC_E_BODY);
	init_cache(&b);
	memset(size, '1', sizeof(size));
	size[256] = '\0';
	b.size = size;
	assert_int_equal(try_cache(&b), 0);
	size[256] = '1';
	size[257] = '\0';
	assert_int_equal(try_cache(&b), IPC_E_BODY);
}

static void
published_bounds(void **state)
{
	Pd__AdminPublished b = PD__ADMIN_PUBLISHED__INIT;

	for (uint32_t action = 0; action <= _IPC_PUBLISHED_MAX; action++) {
		bool ok = action >= 1 && action < _IPC_PUBLISHED_MAX;

		b.action = action;
		b.limit = IPC_ROWS_MAX;
		assert_int_equal(try_frame(IPC_ADMIN_PUBLISHED, 0, &b.base),
			ok ? 0 : IPC_E_BODY);
		b.limit++;
		assert_int_equal(
			try_frame(IPC_ADMIN_PUBLISHED, 0, &b.base), IPC_E_BODY);
	}
}

static int
try_secret(uint32_t action, uint32_t passphrase, uint32_t blob, unsigned n_fds)
{
	Pd__AdminSecret b = PD__ADMIN_SECRET__INIT;

	b.action = action;
	b.passphrase_length = passphrase;
	b.blob_length = blob;
	return try_frame(IPC_ADMIN_SECRET, n_fds, &b.base);
}

static void
secret_bounds(void **state)
{
	for (uint32_t action = 0; action <= _IPC_SECRET_MAX; action++) {
		bool ok = action >= 1 && action < _IPC_SECRET_MAX;
		/* Only the fingerprint needs no secret. */
		bool none = action == IPC_SECRET_FINGERPRINT;

		assert_int_equal(try_secret(action, 0, 0, 0),
			ok && none ? 0 : IPC_E_BODY);
		assert_int_equal(try_secret(action, IPC_PASSPHRASE_MAX,
					 IPC_KEY_BLOB_MAX, 1),
			ok && !none ? 0 : IPC_E_BODY);
		assert_int_equal(try_secret(action, 1, 1, 2), IPC_E_FDS);
	}
	assert_int_equal(
		try_secret(IPC_SECRET_SET, IPC_PASSPHRASE_MAX + 1, 0, 1),
		IPC_E_BODY);
	assert_int_equal(
		try_secret(IPC_SECRET_IMPORT, 1, IPC_KEY_BLOB_MAX + 1, 1),
		IPC_E_BODY);
}

/* The longest text that passes, and one byte more. */
static char *
text_of(size_t len)
{
	static char text[600];

	memset(text, 'x', sizeof(text));
	text[len] = '\0';
	return text;
}

static void
peers_bounds(void **state)
{
	Pd__AdminPeers b = PD__ADMIN_PEERS__INIT;

	for (uint32_t action = 0; action <= _IPC_PEERS_MAX; action++) {
		bool ok = action >= 1 && action < _IPC_PEERS_MAX;

		b.action = action;
		b.address = text_of(256);
		assert_int_equal(try_frame(IPC_ADMIN_PEERS, 0, &b.base),
			ok ? 0 : IPC_E_BODY);
		b.address = text_of(257);
		assert_int_equal(
			try_frame(IPC_ADMIN_PEERS, 0, &b.base), IPC_E_BODY);
	}
}

static void
mode_bounds(void **state)
{
	Pd__AdminMode b = PD__ADMIN_MODE__INIT;

	for (uint32_t action = 0; action <= _IPC_MODE_MAX; action++) {
		bool ok = action >= 1 && action < _IPC_MODE_MAX;

		b.action = action;
		b.mode = text_of(256);
		assert_int_equal(try_frame(IPC_ADMIN_MODE, 0, &b.base),
			ok ? 0 : IPC_E_BODY);
		b.mode = text_of(257);
		assert_int_equal(
			try_frame(IPC_ADMIN_MODE, 0, &b.base), IPC_E_BODY);
	}
}

static void
probe_bounds(void **state)
{
	Pd__AdminProbe b = PD__ADMIN_PROBE__INIT;

	for (size_t len = 0; len <= 64; len++)
		for (uint32_t version = 0; version <= 3; version++) {
			bool ok = len == 32 && version <= 2;

			b.id = binary(len);
			b.version = version;
			assert_int_equal(try_frame(IPC_ADMIN_PROBE, 0, &b.base),
				ok ? 0 : IPC_E_BODY);
		}
}

static int
try_explain(size_t len, uint32_t id_size)
{
	Pd__AdminExplain b = PD__ADMIN_EXPLAIN__INIT;

	b.ids = binary(len);
	b.id_size = id_size;
	return try_frame(IPC_ADMIN_EXPLAIN, 0, &b.base);
}

static void
explain_bounds(void **state)
{
	for (uint32_t size = 0; size <= 80; size++) {
		bool ok = size == 32 || size == 48 || size == 64;

		assert_int_equal(try_explain(size, size), ok ? 0 : IPC_E_BODY);
		assert_int_equal(
			try_explain(2 * size, size), ok ? 0 : IPC_E_BODY);
		assert_int_equal(try_explain(2 * size + 1, size), IPC_E_BODY);
		assert_int_equal(try_explain(0, size), IPC_E_BODY);
	}
	assert_int_equal(try_explain(IPC_IDS_MAX * 32, 32), 0);
	assert_int_equal(try_explain(IPC_IDS_MAX * 32 + 32, 32), IPC_E_BODY);
	/* As many of the longest ones fit a frame. */
	assert_int_equal(try_explain(IPC_IDS_MAX * 64, 64), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cache_bounds),
		cmocka_unit_test(published_bounds),
		cmocka_unit_test(secret_bounds),
		cmocka_unit_test(peers_bounds),
		cmocka_unit_test(probe_bounds),
		cmocka_unit_test(explain_bounds),
		cmocka_unit_test(mode_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

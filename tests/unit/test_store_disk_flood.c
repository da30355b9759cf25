/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one user can do to the block store of all: masses of tiny blocks, and
 * masses of tags.
 */
#include "tests/unit/disk_env.h"

#include <stdio.h>

#define PUTS 256u

static struct disk_env x;

static int
setup(void **state)
{
	disk_env_init(&x);
	x.params.volume_bytes = 0;
	return 0;
}

static int
teardown(void **state)
{
	disk_env_done(&x);
	return 0;
}

struct flood {
	struct store_put put;
	bool done;
	uint8_t ids[PUTS][32];
	struct store_ref refs[PUTS];
	struct store_block blocks[PUTS];
};

static void
put_done(struct store_put *p)
{
	container_of(p, struct flood, put)->done = true;
}

/* Segments of one block of one byte each, with ids as hashes are. */
static void
put_tiny(uint32_t from, uint32_t n)
{
	static const uint8_t cipher[16] = {1};
	static struct flood f;

	f.done = false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t mixed = (from + i) * 2654435761u;

		memcpy(f.ids[i], &mixed, sizeof(mixed));
		memcpy(f.ids[i] + 4, &from, sizeof(from));
		f.refs[i] = (struct store_ref){
			.id = f.ids[i], .id_len = 32, .claim = {1}};
		f.blocks[i] = (struct store_block){.plain_len = 1,
			.cipher_len = 16,
			.algo = 1,
			.proved = true,
			.cipher = cipher};
	}
	f.put = (struct store_put){.refs = f.refs,
		.blocks = f.blocks,
		.n_refs = n,
		.owner = alice,
		.done = put_done};
	x.store->ops->put(x.store, &f.put);
	disk_env_wait(&x, &f.done);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(f.refs[i].status, STORE_OK);
}

static void
test_measure(void **state)
{
	struct store_stats s;
	uint32_t n = (uint32_t)atoi(getenv("N")), i;

	x.params.max_bytes = (uint64_t)atoi(getenv("MB")) << 20;
	disk_env_open(&x);
	for (i = 0; i < n; i += PUTS) {
		put_tiny(i, PUTS);
		if (i / PUTS % 8 == 0)
			disk_env_time(&x, 1000);
		if (i / PUTS % 100 == 0) {
			disk_env_sync(&x);
			s = disk_stats_of(&x);
			print_message("%u: blocks %lu volumes %lu disk %lu vol bytes %lu index %lu evicted %lu\n", i, s.blocks, s.volumes, s.disk_bytes, disk_env_volume_bytes(&x), s.disk_bytes - disk_env_volume_bytes(&x), s.evicted);
		}
	}
	FILE *g = fopen("/proc/self/status", "r"); char l[256];
	while (fgets(l, 256, g)) if (!strncmp(l, "VmHWM", 5) || !strncmp(l, "RssAnon", 7)) print_message("%s", l);
	fclose(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_measure, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

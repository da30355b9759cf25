/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/hashed_util.h"

#include "codec/pccrtp.h"
#include "common/clock.h"

/* What an ask was lent is what anybody would make of the content. */
static void
check_bytes(const struct asked *a, int version, uint64_t offset, uint64_t len)
{
	size_t want_len;
	uint8_t *want =
		script_information(data, LEN, version, offset, len, &want_len);

	assert_int_equal(a->ask.version, version);
	assert_int_equal(a->ask.len, want_len);
	assert_memory_equal(a->ask.bytes, want, want_len);
	free(want);
}

static void
test_answers(void **state)
{
	struct script x;
	struct asked a;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	assert_int_equal(get(&x, &st, &a), HASHED_UNKNOWN);
	hashed_give_back(&a.ask);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(view_of(&x).cached_files, 0);
	assert_int_equal(got(&x, &st, &a), HASHED_OK);
	check_bytes(&a, 2, 0, LEN);
	hashed_give_back(&a.ask);
	hashed_give_back(&a.ask); /* once more does no harm */
	assert_int_equal(view_of(&x).cached_files, 1);
	/* The second time at once. */
	assert_int_equal(get(&x, &st, &a), HASHED_OK);
	check_bytes(&a, 2, 0, LEN);
	hashed_give_back(&a.ask);
	assert_int_equal(get_part(&x, &st, &a, V1, 0, LEN), HASHED_OK);
	check_bytes(&a, 1, 0, LEN);
	hashed_give_back(&a.ask);
	assert_int_equal(
		get_part(&x, &st, &a, BOTH, 70000, 2000000), HASHED_OK);
	check_bytes(&a, 2, 70000, 2000000);
	hashed_give_back(&a.ask);
	assert_int_equal(get_part(&x, &st, &a, V1, LEN - 1, 1), HASHED_OK);
	check_bytes(&a, 1, LEN - 1, 1);
	hashed_give_back(&a.ask);
	assert_int_equal(get_part(&x, &st, &a, 0, 0, LEN), HASHED_UNFIT);
	hashed_give_back(&a.ask);
	script_done(&x);
}

static void
test_versions(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB), old = fake_stat(2, 5 * MIB);
	struct script x;
	struct asked a;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	fake(&x, &old, OWNER, V1, 1);
	assert_int_equal(get_part(&x, &old, &a, V2, 0, 5), HASHED_UNFIT);
	assert_int_equal(x.n_jobs, 0);
	assert_int_equal(view_of(&x).cached_files, 0);
	assert_int_equal(got(&x, &old, &a), HASHED_OK);
	assert_int_equal(a.ask.version, 1);
	hashed_give_back(&a.ask);
	assert_int_equal(result_of(&x, &old, V2), HASHED_UNFIT);
	/* The setting counts at the moment of the answer. */
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	x.settings.preferred_content_version = 1;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	script_settle(&x);
	assert_int_equal(a.result, HASHED_OK);
	assert_int_equal(a.ask.version, 1);
	hashed_give_back(&a.ask);
	assert_int_equal(result_of(&x, &st, V2), HASHED_UNFIT);
	x.settings.preferred_content_version = 2;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(get(&x, &st, &a), HASHED_OK);
	assert_int_equal(a.ask.version, 2);
	hashed_give_back(&a.ask);
	script_done(&x);
}

static void
test_not_there(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB);
	struct script x;
	struct asked a;
	uint8_t *copy;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	service_set_hash_store(x.service, NULL);
	assert_int_equal(get(&x, &st, &a), HASHED_FAILED);
	service_set_hash_store(x.service, x.hashes);
	x.settings.policy.enabled = false;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(get(&x, &st, &a), HASHED_FAILED);
	hashed_give_back(&a.ask);
	x.settings.policy.enabled = true;
	assert_int_equal(service_configure(x.service, &x.settings), 0);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	assert_int_equal(get(&x, &st, &a), HASHED_OK);
	copy = malloc(a.ask.len);
	memcpy(copy, a.ask.bytes, a.ask.len);
	service_ready(x.service, false);
	assert_int_equal(view_of(&x).cached_files, 0);
	assert_true(view_of(&x).cached_bytes > 0);
	/* What is lent stays until it is given back. */
	assert_memory_equal(a.ask.bytes, copy, a.ask.len);
	free(copy);
	hashed_give_back(&a.ask);
	assert_int_equal(view_of(&x).cached_bytes, 0);
	service_ready(x.service, true);
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	service_ready(x.service, false);
	assert_int_equal(a.told, 0);
	service_ready(x.service, true);
	script_settle(&x);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.result, HASHED_FAILED);
	hashed_give_back(&a.ask);
	script_done(&x);
}

/* One load for all who ask meanwhile, whatever they ask for. */
static void
test_shared_load(void **state)
{
	struct script x;
	struct asked a[4];
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(get(&x, &st, &a[0]), HASHED_LATER);
	assert_int_equal(
		get_part(&x, &st, &a[1], V1, 100, 200000), HASHED_LATER);
	assert_int_equal(x.n_jobs, 1);
	script_job(&x, 0);
	assert_int_equal(get(&x, &st, &a[2]), HASHED_LATER);
	assert_int_equal(
		get_part(&x, &st, &a[3], 0, 100, 200000), HASHED_LATER);
	assert_int_equal(x.n_jobs, 1);
	script_settle(&x);
	check_bytes(&a[0], 2, 0, LEN);
	check_bytes(&a[1], 1, 100, 200000);
	assert_ptr_equal(a[2].ask.bytes, a[0].ask.bytes);
	assert_int_equal(a[3].result, HASHED_UNFIT);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(a[i].told, 1);
		hashed_give_back(&a[i].ask);
	}
	script_done(&x);
}

/* Several files, their jobs in another order each time. */
static void
test_any_order(void **state)
{
	struct stat st[3];
	struct asked a[6];
	struct script x;

	srand(5);
	for (unsigned round = 0; round < 30; round++) {
		hashed_init(&x);
		for (unsigned i = 0; i < 3; i++) {
			st[i] = fake_stat(i + 1, (1 + i) * 700 * MIB);
			fake(&x, &st[i], OWNER, V1, (uint8_t)(i + 1));
		}
		for (unsigned i = 0; i < 6; i++)
			assert_int_equal(get_part(&x, &st[i % 3], &a[i], V1,
						 i / 3, 699 * MIB + 1),
				HASHED_LATER);
		while (x.n_jobs > 0)
			script_job(&x, (size_t)rand() % x.n_jobs);
		for (unsigned i = 0; i < 6; i++) {
			assert_int_equal(a[i].told, 1);
			assert_int_equal(a[i].result, HASHED_OK);
			/* Its own block hashes. */
			assert_int_equal(
				a[i].ask.bytes[a[i].ask.len - 1], i % 3 + 1);
			hashed_give_back(&a[i].ask);
		}
		script_done(&x);
	}
}

/* An ask may be given up at any moment; others get what they waited for. */
static void
give_back_after(unsigned n_jobs, bool part, bool other)
{
	struct stat st = fake_stat(1, 1500 * MIB);
	uint64_t length = (uint64_t)st.st_size - part;
	struct asked a, b = {.told = 0};
	struct script x;

	hashed_init(&x);
	fake(&x, &st, OWNER, V1, 1);
	assert_int_equal(get_part(&x, &st, &a, V1, 0, length), HASHED_LATER);
	if (other)
		assert_int_equal(
			get_part(&x, &st, &b, V1, 0, length), HASHED_LATER);
	for (unsigned i = 0; i < n_jobs && x.n_jobs > 0; i++)
		script_job(&x, 0);
	hashed_give_back(&a.ask);
	memset(&a, 0x5a, sizeof(a));
	script_settle(&x);
	if (other) {
		assert_int_equal(b.told, 1);
		assert_int_equal(b.result, HASHED_OK);
		hashed_give_back(&b.ask);
	}
	/* It was not for nothing. */
	assert_int_equal(view_of(&x).cached_files, 1);
	if (!part || n_jobs == 0)
		assert_int_equal(result_of(&x, &st, V1), HASHED_OK);
	script_done(&x);
	assert_int_equal(a.told, 0x5a5a5a5a);
}

static void
test_give_back(void **state)
{
	for (unsigned i = 0; i < 6; i++)
		for (unsigned k = 0; k < 4; k++)
			give_back_after(i, k & 1, k & 2);
}

/* The whole is made once, by a worker, for all who want it. */
static void
test_made_once(void **state)
{
	struct stat st = fake_stat(1, GIB);
	struct script x;
	struct asked a, b, c;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	script_job(&x, 0);
	script_job(&x, 0);
	assert_int_equal(a.told, 0);
	assert_int_equal(x.n_jobs, 1);
	assert_int_equal(get(&x, &st, &b), HASHED_LATER);
	assert_int_equal(x.n_jobs, 1);
	/* Another version, another job; a small part needs none. */
	assert_int_equal(get_part(&x, &st, &c, V1, 0, GIB), HASHED_LATER);
	assert_int_equal(x.n_jobs, 2);
	script_job(&x, 0);
	assert_int_equal(a.result, HASHED_OK);
	assert_ptr_equal(a.ask.bytes, b.ask.bytes);
	assert_int_equal(c.told, 0);
	hashed_give_back(&a.ask);
	assert_int_equal(get_part(&x, &st, &a, BOTH, GIB - 9, 9), HASHED_OK);
	assert_true(a.ask.len < 200);
	script_settle(&x);
	assert_int_equal(c.result, HASHED_OK);
	assert_int_equal(c.ask.version, 1);
	hashed_give_back(&a.ask);
	hashed_give_back(&b.ask);
	hashed_give_back(&c.ask);
	/* All of it stays. */
	assert_int_equal(get(&x, &st, &a), HASHED_OK);
	hashed_give_back(&a.ask);
	assert_int_equal(get_part(&x, &st, &a, V1, 0, GIB), HASHED_OK);
	hashed_give_back(&a.ask);
	assert_true(view_of(&x).cached_bytes <= HASHED_KEEP_MAX);
	script_done(&x);
}

/* Of which the bound holds fewer than thirty. */
#define SOME (4 * GIB)

/* Those that were used last stay, within the bound. */
static void
test_least_recent(void **state)
{
	struct script x;
	struct asked a;
	struct stat st;
	unsigned hot = 0;

	hashed_init(&x);
	for (unsigned i = 1; i <= 40; i++) {
		st = fake_stat(i, SOME);
		fake(&x, &st, OWNER, V1, 1);
		assert_int_equal(result_of(&x, &st, V1), HASHED_OK);
		assert_true(view_of(&x).cached_bytes <= HASHED_CACHE_MAX);
		/* The first is always used again. */
		st = fake_stat(1, SOME);
		assert_int_equal(get(&x, &st, &a), HASHED_OK);
		hashed_give_back(&a.ask);
	}
	assert_true(view_of(&x).cached_bytes > HASHED_CACHE_MAX * 3 / 4);
	hot = (unsigned)view_of(&x).cached_files;
	for (unsigned i = 0; i < hot - 1; i++) {
		st = fake_stat(40 - i, SOME);
		assert_int_equal(get(&x, &st, &a), HASHED_OK);
		hashed_give_back(&a.ask);
	}
	st = fake_stat(2, SOME);
	assert_int_equal(result_of(&x, &st, V1), HASHED_OK);
	/* A large one is shared while it is used, and not kept. */
	st = fake_stat(50, 96 * GIB);
	fake(&x, &st, OWNER, V1, 1);
	assert_int_equal(got(&x, &st, &a), HASHED_OK);
	assert_int_equal(result_of(&x, &st, V1), HASHED_OK);
	hashed_give_back(&a.ask);
	assert_true(view_of(&x).cached_bytes <= HASHED_CACHE_MAX);
	assert_int_equal(view_of(&x).cached_files, hot);
	script_done(&x);
}

/* In use does not count against the cache, and nothing in use goes. */
static void
test_in_use(void **state)
{
	struct asked a[30];
	struct script x;
	struct stat st;

	hashed_init(&x);
	for (unsigned i = 0; i < 30; i++) {
		st = fake_stat(i, SOME);
		fake(&x, &st, OWNER, V1, (uint8_t)(i + 1));
		assert_int_equal(got(&x, &st, &a[i]), HASHED_OK);
	}
	assert_int_equal(view_of(&x).cached_files, 30);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(a[i].ask.bytes[a[i].ask.len - 1], i + 1);
		hashed_give_back(&a[i].ask);
	}
	assert_true(view_of(&x).cached_bytes <= HASHED_CACHE_MAX);
	assert_true(view_of(&x).cached_files < 30);
	script_done(&x);
}

/* Memory is bounded, whoever asks for how many. */
static void
test_no_room(void **state)
{
	struct stat st = fake_stat(1, 1500 * MIB), next = fake_stat(2, GIB);
	struct hashed *h;
	struct script x;
	struct asked a, b;

	hashed_init(&x);
	h = x.service->hashed;
	fake(&x, &st, OWNER, V1, 1);
	fake(&x, &next, OWNER, V1, 1);
	assert_int_equal(got_part(&x, &st, &a, V1, 5, 9), HASHED_OK);
	h->bytes += HASHED_MEMORY_MAX;
	/* To load; to make the whole, by a worker; to make a part. */
	assert_int_equal(get_part(&x, &next, &b, V1, 0, GIB), HASHED_FAILED);
	assert_int_equal(result_of(&x, &st, V1), HASHED_FAILED);
	hashed_give_back(&a.ask);
	assert_int_equal(got_part(&x, &st, &a, V1, 5, 9), HASHED_FAILED);
	hashed_give_back(&a.ask);
	h->bytes -= HASHED_MEMORY_MAX;
	assert_int_equal(result_of(&x, &next, V1), HASHED_OK);
	assert_int_equal(result_of(&x, &st, V1), HASHED_OK);
	/* While it waits for the load. */
	service_set_hash_store(x.service, x.hashes);
	st = fake_stat(3, 1500 * MIB);
	fake(&x, &st, OWNER, V1, 1);
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	h->bytes += HASHED_MEMORY_MAX;
	script_settle(&x);
	assert_int_equal(a.result, HASHED_FAILED);
	h->bytes -= HASHED_MEMORY_MAX;
	script_done(&x);
}

/* What nobody could read or should load is not even loaded. */
static void
test_too_long(void **state)
{
	struct stat st = fake_stat(1, 70 * GIB), huge = fake_stat(2, 150 * GIB);
	struct script x;
	struct asked a;

	hashed_init(&x);
	/* 70 GiB: 78 MB as version 2, 37 MB as version 1. */
	fake(&x, &st, OWNER, V2, 1);
	assert_int_equal(get(&x, &st, &a), HASHED_UNFIT);
	fake(&x, &huge, OWNER, V1, 2);
	assert_int_equal(get(&x, &huge, &a), HASHED_UNFIT);
	assert_int_equal(
		get_part(&x, &huge, &a, V1, 1, 145 * GIB), HASHED_UNFIT);
	assert_int_equal(x.n_jobs, 0);
	assert_int_equal(view_of(&x).cached_bytes, 0);
	assert_int_equal(
		got_part(&x, &huge, &a, V1, 149 * GIB, GIB), HASHED_OK);
	hashed_give_back(&a.ask);
	assert_int_equal(view_of(&x).cached_bytes, 0);
	st = fake_stat(3, 350 * GIB);
	fake(&x, &st, OWNER, V1, 3);
	assert_int_equal(get_part(&x, &st, &a, V1, 0, 4096), HASHED_UNFIT);
	assert_int_equal(x.n_jobs, 0);
	script_done(&x);
}

/* Version 1 of what is too long as version 2. */
static void
test_shorter_version(void **state)
{
	struct hashed_file *f;
	struct stat st = fake_stat(1, GIB);
	struct script x;
	struct asked a;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	f = x.service->hashed->files;
	f->counts.v2_segments = PCCRTP_INFO_MAX / 68 + 1;
	assert_int_equal(got(&x, &st, &a), HASHED_OK);
	assert_int_equal(a.ask.version, 1);
	hashed_give_back(&a.ask);
	f->counts.v2_segments--;
	assert_int_equal(got(&x, &st, &a), HASHED_OK);
	assert_int_equal(a.ask.version, 2);
	hashed_give_back(&a.ask);
	script_done(&x);
}

/* Content information goes with the key that made it. */
static void
test_key(void **state)
{
	static const uint8_t another[] = "another key";
	struct stat st = fake_stat(1, 5 * MIB);
	struct script x;
	struct asked a, b;

	for (unsigned i = 0; i < 3; i++) {
		hashed_init(&x);
		fake(&x, &st, OWNER, BOTH, 1);
		assert_int_equal(got(&x, &st, &a), HASHED_OK);
		if (i > 0) {
			/* Loading anew, so far. */
			hashed_gone(x.service->hashed, a.ask.file->id);
			assert_int_equal(get(&x, &st, &b), HASHED_LATER);
			if (i > 1)
				script_job(&x, 0);
		}
		assert_int_equal(
			service_set_key(x.service, another, sizeof(another)),
			0);
		script_settle(&x);
		if (i > 0) {
			assert_int_equal(b.told, 1);
			assert_int_equal(b.result, HASHED_FAILED);
		}
		assert_int_equal(get(&x, &st, &b), HASHED_LATER);
		script_settle(&x);
		assert_int_equal(b.result, HASHED_OK);
		assert_int_equal(b.ask.len, a.ask.len);
		assert_memory_not_equal(b.ask.bytes, a.ask.bytes, a.ask.len);
		hashed_give_back(&a.ask);
		hashed_give_back(&b.ask);
		script_done(&x);
	}
}

/* Old hashes never describe the file as it is now. */
static void
test_changed(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB), now;
	struct script x;
	struct asked a, b;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	for (unsigned i = 0; i < 6; i++) {
		now = st;
		switch (i) {
		case 0:
			now.st_size++;
			break;
		case 1:
			now.st_mtim.tv_nsec++;
			break;
		case 2:
			now.st_ctim.tv_nsec++;
			break;
		case 3:
			now.st_ino++;
			break;
		case 4:
			now.st_dev++;
			break;
		default:
			now.st_uid = OTHER; /* whom nobody has to trust */
			break;
		}
		assert_int_equal(get(&x, &now, &a), HASHED_UNKNOWN);
		assert_int_equal(get(&x, &st, &a), HASHED_LATER);
		assert_int_equal(get(&x, &now, &b), HASHED_UNKNOWN);
		script_settle(&x);
		assert_int_equal(a.told, 1);
		/* Another file may be there beside it. */
		assert_int_equal(a.result,
			i == 3 || i == 4 ? HASHED_OK : HASHED_UNKNOWN);
		hashed_give_back(&a.ask);
		assert_int_equal(got(&x, &st, &a), HASHED_OK);
		assert_int_equal(get(&x, &now, &b), HASHED_UNKNOWN);
		assert_int_equal(view_of(&x).cached_files, i == 3 || i == 4);
		hashed_give_back(&a.ask);
		assert_int_equal(view_of(&x).cached_files, i == 3 || i == 4);
		hashed_stop(x.service->hashed);
		assert_int_equal(view_of(&x).cached_bytes, 0);
	}
	script_done(&x);
}

/* A part that a worker makes when its file is forgotten. */
static void
test_forgotten_part(void **state)
{
	struct stat st = fake_stat(1, GIB);
	struct script x;
	struct asked a;
	uint64_t id;

	for (unsigned i = 0; i < 2; i++) {
		hashed_init(&x);
		id = fake(&x, &st, OWNER, BOTH, 1);
		assert_int_equal(
			get_part(&x, &st, &a, BOTH, 1, GIB - 1), HASHED_LATER);
		script_job(&x, 0);
		script_job(&x, 0);
		assert_non_null(a.ask.build);
		if (i == 0)
			hashed_gone(x.service->hashed, id);
		else
			service_ready(x.service, false);
		assert_int_equal(a.told, 0);
		script_settle(&x);
		assert_int_equal(a.told, 1);
		assert_int_equal(
			a.result, i == 0 ? HASHED_UNKNOWN : HASHED_FAILED);
		hashed_give_back(&a.ask);
		assert_int_equal(view_of(&x).cached_bytes, 0);
		script_done(&x);
	}
}

/* What is unpublished is not described any more, from then on. */
static void
test_unpublished(void **state)
{
	struct session_label label = label_of(path_a);
	struct script x;
	struct asked a;
	struct stat st;

	for (unsigned i = 0; i < 4; i++) {
		hashed_init(&x);
		st = stat_of(path_a);
		assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
		assert_int_equal(get(&x, &st, &a), HASHED_LATER);
		for (unsigned k = 0; k < i && x.n_jobs > 0; k++)
			script_job(&x, 0);
		assert_int_equal(
			session_unpublish(x.session, ++x.next_request, &label),
			CORE_LATER);
		/* The removal overtakes. */
		script_job(&x, x.n_jobs - 1);
		script_settle(&x);
		assert_int_equal(x.reply_result, CORE_OK);
		assert_int_equal(a.told, 1);
		assert_int_equal(a.result, i < 2 ? HASHED_UNKNOWN : HASHED_OK);
		hashed_give_back(&a.ask);
		assert_int_equal(view_of(&x).cached_bytes, 0);
		assert_int_equal(get(&x, &st, &a), HASHED_UNKNOWN);
		script_done(&x);
	}
}

/* Another publication under the same label takes the place of the first. */
static void
test_replaced(void **state)
{
	struct hash_put other = {.replaced = 0};
	struct script x;
	struct asked a;
	struct stat st;

	hashed_init(&x);
	st = stat_of(path_a);
	make_file(path_b, LEN / 2);
	assert_int_equal(publish(&x, path_a, path_a, BOTH), CORE_OK);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	assert_int_equal(view_of(&x).cached_files, 1);
	assert_int_equal(publish(&x, path_a, path_b, BOTH), CORE_OK);
	assert_int_equal(view_of(&x).cached_files, 0);
	assert_int_equal(get(&x, &st, &a), HASHED_UNKNOWN);
	st = stat_of(path_b);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	/* And one that says more, the place in memory of one that says less. */
	st = stat_of(path_a);
	assert_int_equal(publish(&x, "/other", path_a, V1), CORE_OK);
	assert_int_equal(result_of(&x, &st, V2), HASHED_UNFIT);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	/* What anybody else says does not matter. */
	other.entry.uid = OTHER;
	other.entry.versions = BOTH;
	standing_file(&st, &other.entry.file);
	hashed_published(x.service->hashed, &other);
	assert_int_equal(get(&x, &st, &a), HASHED_OK);
	hashed_give_back(&a.ask);
	assert_int_equal(publish(&x, "/another", path_a, BOTH), CORE_OK);
	assert_int_equal(result_of(&x, &st, V2), HASHED_OK);
	unlink(path_b);
	script_done(&x);
}

/* Whose publications count: see the top of hashed.c. */
static void
test_trust(void **state)
{
	static const uint32_t uids[] = {0, SELF, OWNER};
	struct script x;
	struct asked a;
	struct stat st;

	for (unsigned i = 0; i < 8; i++) {
		hashed_init(&x);
		st = fake_stat(1, 5 * MIB);
		fake(&x, &st, OTHER, BOTH, 99);
		fake(&x, &st, OTHER, BOTH, 98);
		for (unsigned k = 0; k < 3; k++)
			if (i & 1u << k)
				fake(&x, &st, uids[k], BOTH, (uint8_t)(50 + k));
		if (i == 0) {
			assert_int_equal(get(&x, &st, &a), HASHED_UNKNOWN);
		} else {
			assert_int_equal(
				got_part(&x, &st, &a, V1, 0, 1), HASHED_OK);
			assert_true(a.ask.bytes[a.ask.len - 1] < 90);
			hashed_give_back(&a.ask);
		}
		/* To the owner what the owner said. */
		st.st_uid = OTHER;
		assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
		script_done(&x);
	}
}

/* Of those that count, the one that says more. */
static void
test_best(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB);
	struct script x;

	hashed_init(&x);
	fake(&x, &st, SELF, V1, 1);
	fake(&x, &st, OWNER, V1, 2);
	fake(&x, &st, 0, BOTH, 3);
	assert_int_equal(result_of(&x, &st, V2), HASHED_OK);
	script_done(&x);
}

/* One whose hashes are not those of such a file. */
static void
put_bad(struct script *x, const struct stat *st)
{
	struct hash_put put = {.done = fake_done};
	uint8_t *packed = fake_packed(
		(uint64_t)st->st_size + MIB, BOTH, 1, &put.entry.hashes_len);

	put.entry.uid = OWNER;
	put.entry.versions = BOTH;
	put.entry.label = (const uint8_t *)"/x";
	put.entry.label_len = 2;
	put.entry.hashes = packed;
	standing_file(st, &put.entry.file);
	x->hashes->ops->put(x->hashes, &put);
	script_settle(x);
	free(packed);
}

/* It is removed when it is met. */
static void
test_bad_entry(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB);
	struct script x;
	struct asked a;

	hashed_init(&x);
	put_bad(&x, &st);
	assert_int_equal(got(&x, &st, &a), HASHED_UNKNOWN);
	hashed_give_back(&a.ask);
	script_settle(&x);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

static struct script *in_done;
static struct asked *in_done_other;

/* Gives another back, and asks itself again. */
static void
reenter(struct hashed_ask *ask, enum hashed_result r)
{
	struct stat st = fake_stat(1, 1500 * MIB);
	struct asked *a = container_of(ask, struct asked, ask);

	a->told++;
	a->result = r;
	hashed_give_back(ask);
	if (in_done_other != NULL)
		hashed_give_back(&in_done_other->ask);
	in_done_other = NULL;
	if (a->told < 3) {
		ask->length = a->told == 1 ? GIB : (uint64_t)st.st_size;
		r = hashed_get(in_done->service, &st, ask);
		if (r != HASHED_LATER)
			reenter(ask, r);
	}
}

static void
test_from_done(void **state)
{
	struct stat st = fake_stat(1, 1500 * MIB);
	struct script x;
	struct asked a, b, c;

	hashed_init(&x);
	fake(&x, &st, OWNER, V1, 1);
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	assert_int_equal(get(&x, &st, &b), HASHED_LATER);
	assert_int_equal(get(&x, &st, &c), HASHED_LATER);
	a.ask.done = reenter;
	in_done = &x;
	in_done_other = &b;
	script_settle(&x);
	assert_int_equal(a.told, 3);
	assert_int_equal(a.result, HASHED_OK);
	assert_int_equal(b.told, 0);
	assert_int_equal(c.told, 1);
	assert_int_equal(c.result, HASHED_OK);
	hashed_give_back(&c.ask);
	script_done(&x);
}

/* Asks again for as long as there is something. */
static void
insist(struct hashed_ask *ask, enum hashed_result r)
{
	struct stat st = fake_stat(1, 5 * MIB);
	struct asked *a = container_of(ask, struct asked, ask);

	a->told++;
	a->result = r;
	assert_true(a->told < 10);
	hashed_give_back(ask);
	r = hashed_get(in_done->service, &st, ask);
	if (r != HASHED_LATER)
		a->result = r;
}

static void
test_insistent(void **state)
{
	struct stat st = fake_stat(1, 5 * MIB);
	struct script x;
	struct asked a;

	hashed_init(&x);
	put_bad(&x, &st);
	assert_int_equal(get(&x, &st, &a), HASHED_LATER);
	a.ask.done = insist;
	in_done = &x;
	script_settle(&x);
	assert_true(a.told > 0);
	assert_int_equal(a.result, HASHED_UNKNOWN);
	assert_int_equal(count(&x), 0);
	script_done(&x);
}

static int
asking(void *arg)
{
	struct stat *st = arg;
	struct script x;
	struct asked a;
	bool oom = false;

	/* What is to fail is the asking. */
	failalloc_disarm();
	hashed_init(&x);
	fake(&x, st, OWNER, BOTH, 1);
	failalloc_arm((unsigned long)st->st_blocks);
	oom |= got(&x, st, &a) == HASHED_FAILED;
	hashed_give_back(&a.ask);
	oom |= got_part(&x, st, &a, V1, 5, 1000 * MIB) == HASHED_FAILED;
	hashed_give_back(&a.ask);
	oom |= got_part(&x, st, &a, V1, 5, 9) == HASHED_FAILED;
	hashed_give_back(&a.ask);
	oom &= failalloc_disarm();
	assert_int_equal(result_of(&x, st, BOTH), HASHED_OK);
	script_done(&x);
	return oom ? -ENOMEM : 0;
}

static void
test_out_of_memory(void **state)
{
	struct stat st = fake_stat(1, 1500 * MIB);
	unsigned failed = 0;

	for (st.st_blocks = 1; asking(&st) != 0; st.st_blocks++)
		failed++;
	assert_true(failed >= 6);
}

/* A file that is in memory costs no allocation, and no job. */
static void
test_hot(void **state)
{
	struct stat st = fake_stat(1, 100 * MIB);
	const unsigned n = 200000;
	struct script x;
	uint64_t us;
	struct asked a;

	hashed_init(&x);
	fake(&x, &st, OWNER, BOTH, 1);
	assert_int_equal(result_of(&x, &st, BOTH), HASHED_OK);
	a.ask.versions = BOTH;
	a.ask.offset = 0;
	a.ask.length = (uint64_t)st.st_size;
	failalloc_arm(1);
	us = clock_now_us();
	for (unsigned i = 0; i < n; i++) {
		if (hashed_get(x.service, &st, &a.ask) != HASHED_OK)
			fail();
		hashed_give_back(&a.ask);
	}
	us = clock_now_us() - us;
	assert_false(failalloc_disarm());
	assert_int_equal(x.n_jobs, 0);
	print_message("# %u ns each\n", (unsigned)(us * 1000 / n));
	script_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_shared_load),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_made_once),
		cmocka_unit_test(test_least_recent),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_shorter_version),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_forgotten_part),
		cmocka_unit_test(test_unpublished),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_best),
		cmocka_unit_test(test_bad_entry),
		cmocka_unit_test(test_from_done),
		cmocka_unit_test(test_insistent),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_hot),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

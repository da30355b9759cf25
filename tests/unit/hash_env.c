/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/hash_env.h"

static void
add_job(void *ctx, struct env_job *job)
{
	struct fixture *f = ctx;

	assert_true(f->n_jobs < JOBS_MOST);
	f->jobs[f->n_jobs++] = job;
}

static void
note_report(void *ctx, enum store_report what, const char *folder, int error)
{
	struct fixture *f = ctx;

	assert_string_equal(folder, f->folder);
	f->reports[what]++;
}

static bool
run_job(struct fixture *f)
{
	struct env_job *job = f->jobs[0];

	if (f->n_jobs == 0)
		return false;
	f->n_jobs--;
	memmove(f->jobs, f->jobs + 1, f->n_jobs * sizeof(f->jobs[0]));
	if (job->run != NULL)
		job->run(job, NULL);
	job->done(job, true);
	return true;
}

void
wait_done(struct fixture *f, unsigned n)
{
	uint64_t give_up = clock_now_us() + WAIT_MS * US_PER_MS;

	while (f->n_done < n) {
		struct pollfd p = {work_fd(f->host.pool), POLLIN, 0};

		if (run_job(f))
			continue;
		assert_true(clock_now_us() < give_up);
		if (poll(&p, 1, WAIT_MS) > 0)
			work_dispatch(f->host.pool);
	}
	f->n_done = 0;
}

int
open_disk(struct fixture *f, uint64_t max_bytes)
{
	const char *why = NULL;
	int r = hash_store_open(
		&f->store, &f->host, f->folder, max_bytes, &why);

	assert_non_null(why);
	return r;
}

void
setup(struct fixture *f, enum kind kind)
{
	static const struct env_ops env_ops = {.job = add_job};

	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->env = (struct env){&env_ops, f};
	f->host = (struct store_host){
		.env = &f->env, .report = note_report, .ctx = f};
	assert_int_equal(work_new(&f->host.pool, 1,
				 &(struct work_thread_ops){.ctx_new = NULL}),
		0);
	strcpy(f->folder, "/tmp/peerdist-hash-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	if (kind == MEMORY)
		f->store = store_mem_hash_new(&f->env, 0);
	else
		assert_int_equal(open_disk(f, 0), 0);
}

void
close_store(struct fixture *f)
{
	f->store = f->store->ops->close(f->store);
}

void
remove_folder(const char *folder)
{
	static const char *const names[] = {"hash.lock", "publications.mdb",
		"publications.mdb-lock", "publications.mdb.damaged",
		"publications.damaged"};
	char path[100];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

void
teardown(struct fixture *f)
{
	if (f->store != NULL)
		close_store(f);
	f->host.pool = work_free(f->host.pool);
	assert_int_equal(f->n_jobs, 0);
	remove_folder(f->folder);
}

/* An entry whose every part is made from one number. */
uint8_t hash_bytes[100000];

struct hash_entry
entry(uint32_t uid, const char *label, uint64_t number, size_t hashes_len)
{
	for (size_t i = 0; i < hashes_len; i++)
		hash_bytes[i] = (uint8_t)(i * 7 + number);
	return (struct hash_entry){
		.uid = uid,
		.versions = 1 + number % 3,
		.watched = number % 2 == 0,
		.published_s = number + 50,
		.file = {number, number + 1, number + 2, -(int64_t)number,
			(int64_t)number + 4},
		.label = (const uint8_t *)label,
		.label_len = strlen(label),
		.hashes = hash_bytes,
		.hashes_len = hashes_len,
	};
}

struct fixture *current;

void
put_done(struct hash_put *p)
{
	current->n_done++;
}

void
load_done(struct hash_load *l)
{
	current->n_done++;
}

void
remove_done(struct hash_remove *r)
{
	current->n_done++;
}

enum store_status
put_entry(struct fixture *f, const struct hash_entry *e, uint64_t *ret_id)
{
	struct hash_put p = {.entry = *e, .done = put_done};

	current = f;
	f->store->ops->put(f->store, &p);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	*ret_id = p.entry.id;
	return p.status;
}

uint64_t
put(struct fixture *f, uint32_t uid, const char *label, uint64_t number,
	size_t hashes_len)
{
	struct hash_entry e = entry(uid, label, number, hashes_len);
	uint64_t id;

	assert_int_equal(put_entry(f, &e, &id), STORE_OK);
	return id;
}

enum store_status
remove_id(struct fixture *f, uint64_t id)
{
	struct hash_remove r = {.id = id, .done = remove_done};

	current = f;
	f->store->ops->remove(f->store, &r);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	return r.status;
}

void
settle(struct fixture *f)
{
	assert_int_equal(remove_id(f, UINT64_MAX), STORE_MISSING);
}

enum store_status
load(struct fixture *f, uint64_t id, struct hash_load *ret)
{
	*ret = (struct hash_load){.id = id, .done = load_done};
	current = f;
	f->store->ops->load(f->store, ret);
	assert_int_equal(f->n_done, 0);
	wait_done(f, 1);
	assert_true((ret->status == STORE_OK) == (ret->bytes != NULL));
	return ret->status;
}

bool
find(struct fixture *f, uint32_t uid, const char *label, struct hash_entry *ret)
{
	return f->store->ops->find(
		f->store, uid, (const uint8_t *)label, strlen(label), ret);
}

struct hash_stats
stats(struct fixture *f)
{
	struct hash_stats st;

	f->store->ops->stats(f->store, &st);
	return st;
}

bool
take(const struct hash_entry *e, void *ctx)
{
	struct page *p = ctx;
	char label[16];

	snprintf(label, sizeof(label), "/%u", e->uid);
	assert_int_equal(e->label_len, strlen(label));
	assert_memory_equal(e->label, label, strlen(label));
	assert_null(e->hashes);
	p->ids[p->n++] = e->id;
	return p->n < p->most;
}

/* The store's index, opened behind its back. */
struct index *
open_index(struct fixture *f, uint32_t format, int folder)
{
	const struct index_params params = {
		.folder = folder,
		.path = f->folder,
		.name = "publications",
		.format = format,
		.map_size = 64u << 20,
		.n_tables = _HASH_TABLE_MAX,
		.tables = {{"entries", false}, {"hashes", false},
			{"labels", true}, {"files", true}, {"counts", false},
			{"users", false}},
	};
	struct index *ix = NULL;

	assert_true(index_open(&ix, &params, true) >= 0);
	assert_non_null(ix);
	return ix;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block store against a model, in long random sequences.
 *
 * The model knows of each key (segment, index, claim) who owns it, and whether
 * it is proved.  Three worlds:
 *
 *	exact	There is room for everything, so the store must be the model:
 *		what is there, whose it is, what whoever takes any block sees.
 *		After a crash it must be the model of some moment since it last
 *		had to be durable; after the loss of the index, of just now.
 *	small	Blocks leave as they like.  But nothing is there that was not
 *		put, or that all its owners have flushed since, be the index
 *		lost or not; and the limit holds.
 *	ill	As small, without losing the index, while the disk fails now and
 *		then and bits flip in the volumes.
 *
 * Everywhere a block that is read is the one that was put, what is lent stays
 * as it was, and what is verified at the end is whole.  SEED=n runs one
 * sequence, SOAK=1 many.
 */
#include "tests/unit/disk_env.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SEGMENTS 10u
#define INDEXES  6u
#define CLAIMS   5u /* the last one is of sealed blocks */
#define KEYS     (SEGMENTS * INDEXES * CLAIMS)
#define OWNERS   4u
#define SEALED   (CLAIMS - 1)

#define BURST    12u
#define PUT_REFS 6u
#define MOMENTS  4096u
#define STEPS    400u
#define VOLUME   65536u

enum world {
	EXACT,
	SMALL,
	ILL,
	_WORLD_MAX,
};

struct key {
	uint8_t owners; /* 0: not there */
	bool proved;
};

struct model {
	struct key keys[KEYS];
};

static struct disk_env x;
static enum world world;
static unsigned seed;
static struct model now;
/* What it was, at each moment since it was last durable. */
static struct model moments[MOMENTS];
static size_t n_moments;

/*
 * Keys
 */

static uint32_t
segment_of(uint32_t key)
{
	return key / CLAIMS / INDEXES;
}

static uint32_t
index_of(uint32_t key)
{
	return key / CLAIMS % INDEXES;
}

static bool
is_sealed(uint32_t key)
{
	return key % CLAIMS == SEALED;
}

static uint8_t
byte_of(uint32_t key)
{
	return (uint8_t)(key % 251 + 1);
}

static uint32_t
size_of(uint32_t key)
{
	return (key * 37 % 90 + 1) * 16;
}

static struct store_ref
ref_of(uint32_t key)
{
	static uint8_t ids[SEGMENTS][STORE_ID_MAX];
	uint32_t s = segment_of(key);
	struct store_ref r = {.id = ids[s],
		.id_len = (uint8_t)(32 + s % 3 * 16),
		.index = index_of(key)};

	ids[s][0] = (uint8_t)(0x10 + s);
	if (!is_sealed(key))
		memset(r.claim, 'a' + (int)(key % CLAIMS), sizeof(r.claim));
	return r;
}

static struct store_owner
owner_of(unsigned i)
{
	return (struct store_owner){.uid = 1000 + i, .tag = {(uint8_t)i, 7}};
}

/*
 * The model
 */

static void
moment(void)
{
	assert_true(n_moments < MOMENTS);
	moments[n_moments++] = now;
}

/* What was until now cannot come back. */
static void
durable(void)
{
	n_moments = 0;
	moment();
}

static void
model_put(uint32_t key, unsigned owner, bool proved)
{
	now.keys[key].owners |= (uint8_t)(1u << owner);
	now.keys[key].proved |= proved;
	moment();
}

static void
model_remove(uint32_t key)
{
	now.keys[key] = (struct key){0};
}

static void
model_flush(unsigned owner)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		now.keys[i].owners &= (uint8_t) ~(1u << owner);
		if (now.keys[i].owners == 0)
			model_remove(i);
	}
	moment();
}

/* After a crash without knowing which moment it is: whatever may be. */
static void
model_blur(void)
{
	for (size_t m = 0; m < n_moments; m++)
		for (uint32_t i = 0; i < KEYS; i++) {
			now.keys[i].owners |= moments[m].keys[i].owners;
			now.keys[i].proved |= moments[m].keys[i].proved;
		}
	n_moments = 0;
	moment();
}

/*
 * Requests, several at a time
 */

struct slot {
	union {
		struct store_put put;
		struct store_flush flush;
	} u;
	bool is_put;
	unsigned owner;
	size_t n;
	uint32_t keys[PUT_REFS];
	bool proved;
	struct store_ref refs[PUT_REFS];
	struct store_block blocks[PUT_REFS];
	uint8_t cipher[PUT_REFS][1440];
};

static struct slot slots[BURST];
static unsigned n_out;
static bool none_out;

static void
slot_end(void)
{
	assert_true(n_out > 0);
	none_out = --n_out == 0;
}

static void
put_done(struct store_put *p)
{
	slot_end();
}

static void
flush_done(struct store_flush *f)
{
	slot_end();
}

static unsigned
any_of(unsigned n)
{
	return (unsigned)rand() % n;
}

/* While the index is made again it is not known who has a block. */
static bool only_new;

static bool
has_room(void)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < KEYS; i++)
		n += now.keys[i].owners == 0;
	return n > KEYS / 10;
}

static uint32_t
any_key(void)
{
	uint32_t k;

	do
		k = any_of(KEYS);
	while (only_new && now.keys[k].owners != 0);
	return k;
}

static void
start_put(struct slot *s)
{
	s->is_put = true;
	s->owner = any_of(OWNERS);
	s->proved = any_of(2) == 0;
	s->n = 1 + any_of(PUT_REFS);
	for (size_t i = 0; i < s->n; i++) {
		/* The same one twice, too. */
		uint32_t k = s->keys[i] = any_key();

		memset(s->cipher[i], byte_of(k), size_of(k));
		s->refs[i] = ref_of(k);
		s->blocks[i] = (struct store_block){
			.plain_len = size_of(k) - 1,
			.cipher_len = size_of(k),
			.algo = 1,
			.proved = s->proved && !is_sealed(k),
			.sealed = is_sealed(k),
			.iv = {byte_of(k)},
			.cipher = s->cipher[i],
		};
	}
	s->u.put = (struct store_put){.refs = s->refs,
		.blocks = s->blocks,
		.n_refs = s->n,
		.owner = owner_of(s->owner),
		.done = put_done};
	x.store->ops->put(x.store, &s->u.put);
}

static void
start_flush(struct slot *s)
{
	s->is_put = false;
	s->owner = any_of(OWNERS);
	s->u.flush = (struct store_flush){
		.owner = owner_of(s->owner), .done = flush_done};
	x.store->ops->flush(x.store, &s->u.flush);
}

static void
end_put(const struct slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (world != ILL)
			assert_int_equal(s->refs[i].status, STORE_OK);
		model_put(s->keys[i], s->owner, s->blocks[i].proved);
	}
}

/* One that failed may have been done all the same. */
static bool
end_flush(const struct slot *s)
{
	if (s->u.flush.status == STORE_OK) {
		model_flush(s->owner);
		return true;
	}
	assert_int_equal(world, ILL);
	return false;
}

/* They take effect in the order in which they are asked for. */
static void
burst(bool flushes)
{
	size_t n = 1 + any_of(BURST), last_flush = 0;

	n_out = (unsigned)n;
	none_out = false;
	for (size_t i = 0; i < n; i++) {
		if (flushes && any_of(4) == 0)
			start_flush(&slots[i]);
		else
			start_put(&slots[i]);
	}
	disk_env_wait(&x, &none_out);
	for (size_t i = 0; i < n; i++) {
		if (slots[i].is_put)
			end_put(&slots[i]);
		else if (end_flush(&slots[i]))
			last_flush = n_moments;
	}
	if (last_flush == 0)
		return;
	/* Moments before the flush cannot come back. */
	n_moments -= last_flush - 1;
	memmove(moments, moments + last_flush - 1,
		n_moments * sizeof(moments[0]));
}

static void
do_burst(void)
{
	burst(any_of(8) == 0);
}

/*
 * Looking
 */

static bool
model_any(uint32_t key)
{
	uint32_t first = key - key % CLAIMS;

	for (uint32_t i = first; i < first + CLAIMS; i++)
		if (now.keys[i].owners != 0 &&
			(now.keys[i].proved || is_sealed(i)))
			return true;
	return false;
}

static void
look_one(uint32_t key, bool there)
{
	bool should = now.keys[key].owners != 0 && !is_sealed(key);

	if (there != should && (world == EXACT || there))
		fail_msg("seed %u: key %u is %sthere", seed, key,
			there ? "" : "not ");
}

static void
look_any(uint32_t key)
{
	struct store_ref ref = ref_of(key);
	bool there;

	ref.any = true;
	there = disk_there(&x, ref);
	if (there != model_any(key) && (world == EXACT || there))
		fail_msg("seed %u: of key %u any is %sthere", seed, key,
			there ? "" : "not ");
}

static void
look_held(uint32_t segment)
{
	struct store_ref ref = ref_of(segment * INDEXES * CLAIMS);
	uint32_t n = 0;
	struct store_held h;

	x.store->ops->held(x.store, ref.id, ref.id_len, &h);
	for (uint32_t i = 0; i < 512; i++) {
		bool is = (h.blocks[i / 64] >> i % 64 & 1) != 0;
		bool should = i < INDEXES &&
			model_any((segment * INDEXES + i) * CLAIMS);

		n += is;
		if (is != should && (world == EXACT || is))
			fail_msg("seed %u: %u of segment %u is %sheld", seed, i,
				segment, is ? "" : "not ");
	}
	assert_int_equal(h.n_blocks, n);
	assert_true(n == 0 || h.born_s <= x.wall_s);
}

/* What other hosts are just being sent, for a long time. */
#define LOANS 8u

static struct {
	bool out;
	uint8_t byte;
	struct store_loan loan;
} loans[LOANS];

/* Of which of the variants: none is worse. */
static uint8_t
lent_byte(const struct store_loan *loan)
{
	uint8_t data[2048];

	assert_true(loan->cipher_len + loan->tail_len <= sizeof(data));
	assert_true(loan->fd >= 0 && loan->algo == 1);
	assert_int_equal(pread(loan->fd, data, loan->cipher_len + 24,
				 (off_t)loan->offset),
		loan->cipher_len + 24);
	for (uint32_t i = 0; world != ILL && i < loan->cipher_len; i++)
		assert_int_equal(data[i], data[0]);
	if (world != ILL)
		assert_int_equal(data[loan->cipher_len + 8], data[0]);
	return data[0];
}

static void
loan_end(size_t i)
{
	uint8_t byte;

	if (!loans[i].out)
		return;
	byte = lent_byte(&loans[i].loan);
	if (world != ILL)
		assert_int_equal(byte, loans[i].byte);
	x.store->ops->give_back(x.store, &loans[i].loan);
	loans[i].out = false;
}

static void
loans_end(void)
{
	for (size_t i = 0; i < LOANS; i++)
		loan_end(i);
}

static bool
is_byte_of_any(uint32_t key, uint8_t byte)
{
	uint32_t first = key - key % CLAIMS;

	for (uint32_t i = first; i < first + CLAIMS; i++)
		if (now.keys[i].owners != 0 && byte == byte_of(i) &&
			(now.keys[i].proved || is_sealed(i)))
			return true;
	return false;
}

static void
do_lend(void)
{
	uint32_t key = any_of(KEYS);
	struct store_ref ref = ref_of(key);
	size_t i = any_of(LOANS);
	bool is;

	loan_end(i);
	is = x.store->ops->lend(x.store, ref.id, ref.id_len, ref.index,
		     &loans[i].loan) == STORE_OK;
	if (is != model_any(key) && (world == EXACT || is))
		fail_msg("seed %u: of key %u any is %slent", seed, key,
			is ? "" : "not ");
	loans[i].out = is;
	if (!is)
		return;
	loans[i].byte = lent_byte(&loans[i].loan);
	if (world != ILL)
		assert_true(is_byte_of_any(key, loans[i].byte));
}

static void
do_read(void)
{
	for (int i = 0; i < 10; i++) {
		uint32_t key = any_of(KEYS);
		enum store_status status = disk_read_status(&x, ref_of(key));

		if (world != ILL)
			assert_true(
				status == STORE_OK || status == STORE_MISSING);
		if (status == STORE_OK)
			assert_int_equal(x.seen[0], byte_of(key));
		if (status != STORE_ROTTEN)
			look_one(key, status == STORE_OK);
	}
}

static struct store_list list_all(
	struct store_listed rows[SEGMENTS], int owner);

/* Blocks of a segment that an owner has; -1: anybody. */
static uint32_t
model_count(const struct model *m, uint32_t segment, int owner)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < INDEXES * CLAIMS; i++) {
		uint8_t o = m->keys[segment * INDEXES * CLAIMS + i].owners;

		n += owner < 0 ? o != 0 : o >> owner & 1;
	}
	return n;
}

static uint32_t
model_count_proved(const struct model *m, uint32_t segment)
{
	const struct key *k = &m->keys[segment * INDEXES * CLAIMS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < INDEXES * CLAIMS; i++)
		n += k[i].owners != 0 && k[i].proved;
	return n;
}

/* Of each segment, how much of it whose list tells; and the proved ones. */
static uint32_t counts[OWNERS + 1][SEGMENTS];
static uint32_t proved[SEGMENTS];

static void
look_lists(void)
{
	for (int owner = -1; owner < (int)OWNERS; owner++) {
		struct store_listed rows[SEGMENTS];
		struct store_list l = list_all(rows, owner);
		uint32_t *n = counts[owner + 1];

		memset(n, 0, sizeof(counts[0]));
		for (size_t i = 0; i < l.n_rows; i++)
			n[rows[i].id[0] - 0x10] = rows[i].blocks;
		if (owner >= 0)
			continue;
		memset(proved, 0, sizeof(proved));
		for (size_t i = 0; i < l.n_rows; i++)
			proved[rows[i].id[0] - 0x10] = rows[i].proved;
	}
}

static bool there[KEYS];

static void
look_everywhere(void)
{
	for (uint32_t i = 0; i < KEYS; i++)
		there[i] = disk_there(&x, ref_of(i));
	look_lists();
}

static bool
is_model(const struct model *m)
{
	for (uint32_t i = 0; i < KEYS; i++)
		if (there[i] != (m->keys[i].owners != 0 && !is_sealed(i)))
			return false;
	for (uint32_t s = 0; s < SEGMENTS; s++) {
		for (int owner = -1; owner < (int)OWNERS; owner++)
			if (counts[owner + 1][s] != model_count(m, s, owner))
				return false;
		if (proved[s] != model_count_proved(m, s))
			return false;
	}
	return true;
}

struct list_wait {
	struct store_list l;
	bool done;
};

static void
list_done(struct store_list *l)
{
	container_of(l, struct list_wait, l)->done = true;
}

static struct store_list
list_all(struct store_listed rows[SEGMENTS], int owner)
{
	struct list_wait w = {.l = {.rows = rows,
				      .max_rows = SEGMENTS,
				      .only_owner = owner >= 0,
				      .uid = 1000 + (uint32_t)owner,
				      .done = list_done}};

	x.store->ops->list(x.store, &w.l);
	disk_env_wait(&x, &w.done);
	assert_int_equal(w.l.status, STORE_OK);
	assert_false(w.l.more);
	return w.l;
}

/* Everything, after everything was committed. */
static void
do_compare(void)
{
	struct store_stats stats;
	uint64_t blocks = 0, bytes = 0;

	for (uint32_t i = 0; i < KEYS; i++) {
		look_one(i, disk_there(&x, ref_of(i)));
		look_any(i);
		blocks += now.keys[i].owners != 0;
		bytes += now.keys[i].owners != 0 ? size_of(i) : 0;
	}
	for (uint32_t i = 0; i < SEGMENTS; i++)
		look_held(i);
	if (world != EXACT)
		return;
	look_everywhere();
	if (!is_model(&now))
		fail_msg("seed %u: the lists tell something else", seed);
	durable();
	stats = disk_stats_of(&x);
	assert_int_equal(stats.blocks, blocks);
	assert_int_equal(stats.bytes, bytes);
}

/* Before everything was committed. */
static void
do_compare_now(void)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		look_one(i, disk_there(&x, ref_of(i)));
		look_any(i);
	}
	for (uint32_t i = 0; i < SEGMENTS; i++)
		look_held(i);
}

static void
do_verify(void)
{
	struct store_verify v = disk_verify_all(&x, world == ILL);

	if (world == ILL)
		return;
	assert_int_equal(v.status, STORE_OK);
	assert_int_equal(v.rotten, 0);
	assert_int_equal(v.dangling, 0);
	assert_int_equal(v.damaged_volumes, 0);
	assert_int_equal(v.blocks, disk_stats_of(&x).blocks);
}

/*
 * What else may happen
 */

static void
do_drop(void)
{
	uint32_t key = any_of(KEYS);
	struct store_ref ref = ref_of(key);

	if (world == EXACT || !is_sealed(key)) {
		x.store->ops->drop(x.store, &ref);
		/* The note of it in a volume need not be there so soon. */
		disk_env_settle(&x);
		if (world == EXACT)
			model_remove(key);
		moment();
	}
}

static void
do_sync(void)
{
	disk_env_sync(&x);
	if (world != ILL)
		assert_int_equal(disk_commits_before_sync, 0);
	if (world == EXACT)
		durable();
}

static void
do_time(void)
{
	disk_env_time(&x, 1 + any_of(3000));
	if (any_of(2) == 0)
		disk_env_settle(&x);
}

static void
do_clear(void)
{
	if (disk_clear_all(&x) != STORE_OK) {
		assert_int_equal(world, ILL);
		return;
	}
	disk_commits_before_sync = 0;
	now = (struct model){0};
	durable();
}

static void
rebuilt(void)
{
	const unsigned *n = x.reports;

	for (int i = 0; i < 1000 &&
		n[STORE_REPORT_REBUILT] < n[STORE_REPORT_REBUILDING];
		i++)
		disk_env_settle(&x);
	assert_int_equal(n[STORE_REPORT_REBUILT], n[STORE_REPORT_REBUILDING]);
	disk_env_sync(&x);
	disk_commits_before_sync = 0;
}

/* Whoever had a block before it was put a second time may have lost it by
 * that: then it was written to a younger volume, and when the older one goes so
 * does what it told.  That is rare, and nobody wins anything. */
static void
compare_rebuilt(void)
{
	unsigned lost = 0;

	if (world != EXACT) {
		do_compare();
		return;
	}
	look_everywhere();
	for (uint32_t i = 0; i < KEYS; i++)
		if (there[i] && now.keys[i].owners == 0)
			fail_msg("seed %u: key %u is back", seed, i);
		else if (!there[i] && now.keys[i].owners != 0 && !is_sealed(i))
			lost++;
	assert_true(lost <= KEYS / 20);
	for (uint32_t s = 0; s < SEGMENTS; s++)
		for (int owner = -1; owner < (int)OWNERS; owner++)
			assert_true(counts[owner + 1][s] <=
				model_count(&now, s, owner));
	do_clear();
}

static void
do_reopen(void)
{
	bool lose = world != ILL && any_of(4) == 0;

	loans_end();
	disk_faults_off();
	if (world == ILL)
		disk_env_sync(&x);
	disk_env_settle(&x);
	disk_env_close(&x);
	if (lose)
		disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	/* A flush that comes in the middle may cost others their blocks. */
	only_new = world == EXACT;
	if (lose && has_room())
		burst(world != EXACT);
	only_new = false;
	if (!lose) {
		do_compare();
		return;
	}
	rebuilt();
	compare_rebuilt();
}

/* The store forgets what it is told to forget at once; what it noted of that
 * in the volumes must be there, too. */
static void
do_crash_without_index(void)
{
	char folder[64];

	loans_end();
	disk_env_settle(&x);
	disk_env_copy(&x, folder);
	disk_env_close(&x);
	disk_env_move(&x, folder);
	disk_env_unlink(&x, "index.mdb");
	disk_env_open(&x);
	rebuilt();
	compare_rebuilt();
}

static void
find_moment(void)
{
	look_everywhere();
	for (size_t i = n_moments; i-- > 0;)
		if (is_model(&moments[i])) {
			now = moments[i];
			durable();
			return;
		}
	fail_msg("seed %u: not what it was at any moment", seed);
}

static void
do_crash(void)
{
	loans_end();
	disk_faults_off();
	disk_env_settle(&x);
	disk_env_crash(&x);
	/* An index without a commit is none. */
	rebuilt();
	if (world == EXACT)
		find_moment();
	else
		model_blur();
	do_compare();
}

static void
do_limit(void)
{
	struct store_stats stats = disk_stats_of(&x);

	x.store->ops->set_limit(x.store, (uint64_t)(4 + any_of(8)) * VOLUME);
	do_sync();
	for (int i = 0; i < 20; i++)
		disk_env_settle(&x);
	stats = disk_stats_of(&x);
	if (world == SMALL)
		assert_true(stats.disk_bytes <= stats.max_bytes + VOLUME);
	assert_true(disk_env_volume_bytes(&x) <= stats.disk_bytes);
}

static void
do_fault(void)
{
	static const int errors[] = {ENOSPC, EIO, EROFS};
	static const char *const endings[] = {".vol", ".vol", ".mdb"};
	enum disk_fault_call call = any_of(2) == 0 ? FAULT_WRITE : FAULT_SYNC;

	/* LMDB gives up for good then. */
	disk_fault(call, errors[any_of(3)],
		call == FAULT_SYNC ? ".vol" : endings[any_of(3)]);
	disk_faults[call].skip = any_of(4);
	disk_faults[call].count = 1 + any_of(6);
}

static void
do_flip(void)
{
	struct store_stats stats = disk_stats_of(&x);
	char name[32], path[128];
	FILE *f;
	long size;

	disk_faults_off();
	if (stats.volumes == 0 || !disk_env_first_volume(&x, name))
		return;
	disk_env_path(&x, name, path);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	fclose(f);
	if (size > 64)
		disk_env_flip(&x, name, 64 + any_of((unsigned)size - 64));
}

static const struct {
	void (*fn)(void);
	unsigned weight[_WORLD_MAX];
} steps[] = {
	{do_burst, {50, 70, 60}},
	{do_read, {15, 25, 20}},
	{do_lend, {15, 25, 20}},
	{do_drop, {8, 3, 3}},
	{do_time, {8, 8, 12}},
	{do_sync, {4, 3, 3}},
	{do_compare_now, {4, 2, 2}},
	{do_compare, {2, 0, 0}},
	{do_verify, {1, 1, 2}},
	{do_clear, {1, 1, 1}},
	{do_reopen, {2, 2, 2}},
	{do_crash, {3, 2, 2}},
	{do_crash_without_index, {1, 1, 0}},
	{do_limit, {0, 3, 1}},
	{do_fault, {0, 0, 5}},
	{do_flip, {0, 0, 1}},
};

static void
step(void)
{
	unsigned total = 0, at;
	size_t i;

	for (i = 0; i < ARRAY_LEN(steps); i++)
		total += steps[i].weight[world];
	at = any_of(total);
	for (i = 0; at >= steps[i].weight[world]; i++)
		at -= steps[i].weight[world];
	if (getenv("SEED") != NULL)
		print_message("step %zu\n", i);
	steps[i].fn();
	if (n_moments > MOMENTS / 2)
		do_sync();
	if (n_moments > MOMENTS / 2)
		model_blur();
}

static void
run(unsigned number)
{
	seed = number;
	srand(seed);
	world = (enum world)(seed % _WORLD_MAX);
	now = (struct model){0};
	n_moments = 0;
	moment();
	disk_env_init(&x);
	x.run_time = world == ILL;
	x.params.commit_bytes = (uint64_t)1 << (12 + any_of(8));
	x.params.volume_bytes = VOLUME;
	x.params.max_bytes = world == EXACT ? 256 << 20 : 6 * VOLUME;
	disk_env_open(&x);
	for (unsigned i = 0; i < STEPS; i++)
		step();
	disk_faults_off();
	do_reopen();
	do_verify();
	disk_env_done(&x);
}

static void
test_model(void **state)
{
	const char *one = getenv("SEED");
	unsigned n = getenv("SOAK") != NULL ? 300 : 21;

	if (one != NULL) {
		run((unsigned)atoi(one));
		return;
	}
	for (unsigned i = 1; i <= n; i++) {
		print_message("sequence %u\n", i);
		run(i);
	}
	/* A look at everything that waits for a commit whose eviction had a
	 * volume made for what it would carry, and carried nothing. */
	run(29);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

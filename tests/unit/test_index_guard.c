/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals and damage.  Each case runs in a child, which may end. */
#include "tests/unit/index_util.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "daemon/store/index_guard.h"
#include "daemon/store/segrec.h"

#define SECONDS 20 /* for one child */

/* Exit statuses of children; 1 is the guard's. */
enum end {
	END_GOOD = 0,
	END_GUARD = 1,
	END_TOLD = 10, /* index_open() said damaged */
	END_LESS,      /* keys lack, or values were refused */
	END_STOPPED,   /* damage told while running */
	END_WRONG =
		20,  /* and never may: a value that is not what was stored, */
	END_REFUSED, /* no start at all, */
	END_TEST,    /* the test itself failed, */
	END_HUNG,    /* no end, */
	END_KILLED,  /* a signal that nobody caught */
	END_MEMORY,  /* a sanitizer saw LMDB leave its memory */
	_END_MAX,
};

/* Where a sanitizer runs it must not look like the guard. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "exitcode=25";
}

/* What a child does at SIGABRT when nobody else wants it. */
static void (*at_abort)(int) = SIG_DFL;

/* Runs fn in a child and says how it ended. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (getenv("VERBOSE") == NULL)
			dup2(null, STDERR_FILENO);
		signal(SIGALRM, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, at_abort);
		alarm(SECONDS);
		index_guard_install();
		_exit(fn());
	}
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (WTERMSIG(status) == SIGALRM)
		return END_HUNG;
	return 128 + WTERMSIG(status);
}

static void
make(void)
{
	static char value[20000];

	memset(value, 'v', sizeof(value) - 1);
	reopen(INDEX_NEW);
	put_one("a", "1");
	put_one("big", value);
	ix = index_close(ix);
}

static int
child_open(void)
{
	return index_open(&ix, &params, false) == INDEX_FOUND ? 0 : END_TEST;
}

/* Whoever cuts the file takes the pages away from the map. */
static int
child_cut_in_lmdb(void)
{
	if (child_open() != 0)
		return END_TEST;
	cut_file(4096);
	return there("a") ? 0 : END_TEST;
}

static int
child_cut_under_value(void)
{
	struct index_blob v;
	const volatile uint8_t *p;
	unsigned sum = 0;

	if (child_open() != 0 || !index_get(ix, PLAIN, text("big"), &v))
		return END_TEST;
	cut_file(4096);
	p = v.data;
	for (size_t i = 0; i < v.len; i++)
		sum += p[i];
	return sum > 0 ? END_TEST : END_WRONG;
}

static int
child_cut_under_write(void)
{
	if (child_open() != 0 || index_begin(ix) != 0)
		return END_TEST;
	cut_file(4096);
	(void)index_txn_put(ix, PLAIN, text("b"), text("2"));
	return END_TEST;
}

static void
assert_marked(int (*fn)(void))
{
	make();
	assert_int_equal(in_child(fn), END_GUARD);
	assert_true(is_there("index.damaged"));
	reopen(INDEX_DAMAGED);
	assert_false(is_there("index.damaged"));
	assert_true(is_there("index.mdb.damaged"));
	assert_false(there("a"));
	put_one("a", "2");
	reopen(INDEX_FOUND);
	assert_true(there("a"));
}

static void
test_a_page_that_lmdb_cannot_read(void **state)
{
	assert_marked(child_cut_in_lmdb);
}

static void
test_a_value_that_cannot_be_read(void **state)
{
	assert_marked(child_cut_under_value);
}

static void
test_a_page_that_a_change_cannot_read(void **state)
{
	assert_marked(child_cut_under_write);
}

static volatile uintptr_t nowhere = 64;

static void
fault(void)
{
	*(volatile int *)nowhere = 1;
}

static int
child_inside_segv(void)
{
	struct index_guard *g;

	if (index_guard_new(&g, folder, "index") != 0)
		return END_TEST;
	index_guard_enter(g);
	fault();
	return END_TEST;
}

static int
child_inside_abort(void)
{
	struct index_guard *g;

	if (index_guard_new(&g, folder, "index") != 0)
		return END_TEST;
	index_guard_enter(g);
	abort();
}

/* A value that a damaged size makes longer than the memory it is in. */
static int
child_value_without_end(void)
{
	uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct index_guard *g;

	if (pages == MAP_FAILED || munmap(pages + 4096, 4096) != 0 ||
		index_guard_new(&g, folder, "index") != 0)
		return END_TEST;
	index_guard_probe(g, pages + 4000, 97);
	return END_TEST;
}

static void
test_a_value_that_leads_out_of_a_page(void **state)
{
	assert_marked(child_value_without_end);
}

static void
test_a_crash_in_lmdb(void **state)
{
	assert_marked(child_inside_segv);
	assert_int_equal(unlinkat(folder, "index.mdb", 0), 0);
	ix = index_close(ix);
	assert_marked(child_inside_abort);
}

/* Without room for the mark the file goes, which says the same. */
static void
test_no_room_for_the_mark(void **state)
{
	make();
	/* a name that cannot be opened for writing */
	assert_int_equal(mkdirat(folder, "index.damaged", 0700), 0);
	assert_int_equal(in_child(child_inside_abort), END_GUARD);
	assert_int_equal(unlinkat(folder, "index.damaged", AT_REMOVEDIR), 0);
	reopen(INDEX_NEW);
}

static int
child_outside_segv(void)
{
	if (child_open() != 0 || !there("a"))
		return END_TEST;
	fault();
	return END_TEST;
}

static int
child_outside_abort(void)
{
	if (child_open() != 0 || !there("a"))
		return END_TEST;
	abort();
}

/* Sent by somebody while we are in LMDB. */
static int
child_inside_sent(void)
{
	struct index_guard *g;

	if (index_guard_new(&g, folder, "index") != 0)
		return END_TEST;
	index_guard_enter(g);
	kill(getpid(), SIGSEGV);
	return END_TEST;
}

/* A SIGBUS of another file. */
static int
child_outside_bus(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	volatile char *p;

	if (child_open() != 0 || !there("a"))
		return END_TEST;
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return END_TEST;
	return p[0] == 0 ? END_TEST : END_WRONG;
}

static void
test_crashes_elsewhere_are_not_the_index(void **state)
{
	static int (*const fns[])(void) = {child_outside_segv,
		child_outside_abort, child_inside_sent, child_outside_bus};

	make();
	for (size_t i = 0; i < ARRAY_LEN(fns); i++) {
		assert_in_range(in_child(fns[i]), 129, 255);
		assert_false(is_there("index.damaged"));
	}
	reopen(INDEX_FOUND);
	assert_true(there("a"));
}

static void
exit_7(int sig)
{
	_exit(7);
}

static void
test_the_handler_of_before_is_called(void **state)
{
	make();
	at_abort = exit_7;
	assert_int_equal(in_child(child_outside_abort), 7);
	assert_int_equal(in_child(child_inside_abort), END_GUARD);
	at_abort = SIG_DFL;
}

static void
test_as_many_guards_as_there_is_room_for(void **state)
{
	struct index_guard *g[8], *one_more;

	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		assert_int_equal(index_guard_new(&g[i], folder, "index"), 0);
	assert_int_equal(index_guard_new(&one_more, folder, "x"), -EMFILE);
	assert_int_equal(index_open(&ix, &params, false), -EMFILE);
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		assert_null(index_guard_free(g[i]));
	assert_int_equal(index_guard_new(&g[0], -1, "x"), -EBADF);
	reopen(INDEX_NEW);
}

/*
 * Flipped bits: the file of an index of segments, one bit changed, opened,
 * read, written to, opened again.  Whatever comes of it, no value may pass for
 * another than the one that was stored, and the process ends in order.
 */

#define SEGMENTS 300
#define FLIPS    300
#define SOAKED   10000

static uint8_t *whole;
static size_t whole_len;
static uint8_t keys[SEGMENTS][32];
static struct buf values[2 * SEGMENTS]; /* by number, then as changed later */
static unsigned counts[_END_MAX];

static uint64_t
rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL;
}

static struct index_blob
key_of(unsigned n)
{
	return (struct index_blob){keys[n], sizeof(keys[n])};
}

static struct index_blob
value_of(unsigned n, bool later)
{
	const struct buf *b = &values[n + (later ? SEGMENTS : 0)];

	return (struct index_blob){b->data, b->len};
}

/* Some are whole segments of version 1, most are of version 2. */
static void
make_value(unsigned n, bool later)
{
	unsigned blocks = n % 30 == 0 ? 512 : n % 7 == 0 ? 20 : 1;
	CLEANUP(segrec_edit_done) struct segrec_edit e = {0};
	struct buf *b = &values[n + (later ? SEGMENTS : 0)];
	uint64_t state = n + 1;
	uint32_t lost;

	segrec_edit_owner(&e, n % 5, &lost);
	for (unsigned i = 0; i < blocks; i++) {
		struct segrec_entry add = {.index = i,
			.volume = n % 9 + later,
			.offset = 32 * (rnd(&state) >> 40),
			.plain_len = 65536,
			.cipher_len = 65552,
			.proved = true,
			.owners = 1};

		for (size_t j = 0; j < sizeof(add.claim); j++)
			add.claim[j] = (uint8_t)(rnd(&state) >> 32);
		assert_int_equal(segrec_edit_put(&e, &add), 0);
	}
	for (size_t i = 0; i < sizeof(keys[n]); i++)
		keys[n][i] = (uint8_t)(rnd(&state) >> 32);
	buf_init(b, 1 << 20);
	assert_int_equal(segrec_build(b, &e, keys[n], sizeof(keys[n])), 0);
}

static int
store(unsigned n, bool later)
{
	char owner[8];
	int r = index_txn_put(ix, PLAIN, key_of(n), value_of(n, later));

	snprintf(owner, sizeof(owner), "%u", n % 5);
	return r != 0 ? r : index_txn_put(ix, PAIRS, text(owner), key_of(n));
}

/* Several transactions, so that there are free pages. */
static void
make_segments(void)
{
	AUTO_FD int fd = -1;
	struct stat st;

	for (unsigned i = 0; i < SEGMENTS; i++) {
		make_value(i, false);
		make_value(i, true);
	}
	reopen(INDEX_NEW);
	for (unsigned round = 0; round < 12; round++) {
		assert_int_equal(index_begin(ix), 0);
		for (unsigned i = 0; i < SEGMENTS; i++)
			if (i % 6 == round % 6)
				assert_int_equal(store(i, false), 0);
		commit();
	}
	ix = index_close(ix);
	fd = openat(folder, "index.mdb", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	whole_len = (size_t)st.st_size;
	whole = malloc(whole_len);
	assert_non_null(whole);
	assert_int_equal(read(fd, whole, whole_len), whole_len);
}

static bool
same_blob(struct index_blob a, struct index_blob b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* later_too: the first ones may have changed by now. */
static int
look_at(struct index_blob key, struct index_blob v, unsigned n, bool later_too)
{
	struct segrec s;

	if (segrec_parse(&s, key.data, key.len, v.data, v.len) != 0)
		return END_LESS;
	if (same_blob(v, value_of(n, false)) ||
		(later_too && same_blob(v, value_of(n, true))))
		return END_GOOD;
	return END_WRONG;
}

static int
read_all(bool later_too)
{
	int end = END_GOOD;

	for (unsigned i = 0; i < SEGMENTS; i++) {
		struct index_blob v;
		int r = END_LESS;

		if (index_get(ix, PLAIN, key_of(i), &v))
			r = look_at(key_of(i), v, i, later_too);
		end = MAX_OF(end, r);
	}
	return end;
}

struct walked {
	unsigned n;
	int end;
	bool later_too;
};

static bool
walk_one(struct index_blob key, struct index_blob value, void *ctx)
{
	struct walked *w = ctx;

	w->n++;
	for (unsigned i = 0; i < SEGMENTS; i++)
		if (same_blob(key, key_of(i)))
			w->end = MAX_OF(
				w->end, look_at(key, value, i, w->later_too));
	return true;
}

static bool
walk_pair(struct index_blob key, struct index_blob value, void *ctx)
{
	((struct walked *)ctx)->n++;
	return true;
}

static int
walk_all(bool later_too)
{
	struct walked w = {.later_too = later_too}, pairs = {0};
	int r = index_each(ix, PLAIN, text(""), walk_one, &w);
	int r2 = index_each(ix, PAIRS, text(""), walk_pair, &pairs);

	if (r != 0 || r2 != 0)
		return MAX_OF(w.end, END_STOPPED);
	if (w.n != SEGMENTS || pairs.n != SEGMENTS)
		return MAX_OF(w.end, END_LESS);
	return w.end;
}

static int
change_some(unsigned from)
{
	int r = index_begin(ix);

	if (r != 0)
		return END_STOPPED;
	for (unsigned i = from; r == 0 && i < SEGMENTS; i += 11)
		r = store(i, true);
	for (unsigned i = from + 1; r == 0 && i < SEGMENTS; i += 50) {
		r = index_txn_delete(
			ix, PLAIN, key_of(i), (struct index_blob){0});
		if (r == 0)
			r = store(i, false);
	}
	if (index_commit(ix) != 0)
		return END_STOPPED;
	index_refresh(ix);
	return END_GOOD;
}

static int
child_use(unsigned from)
{
	int r = index_open(&ix, &params, false), end;

	if (r == INDEX_DAMAGED)
		return END_TOLD;
	if (r != INDEX_FOUND)
		return END_REFUSED;
	end = read_all(from > 0);
	end = MAX_OF(end, walk_all(from > 0));
	end = MAX_OF(end, change_some(from));
	end = MAX_OF(end, read_all(true));
	end = MAX_OF(end, walk_all(true));
	if (end < END_WRONG && index_is_damaged(ix))
		end = END_STOPPED;
	ix = index_close(ix);
	return end;
}

static int
child_use_first(void)
{
	return child_use(0);
}

static int
child_use_again(void)
{
	return child_use(3);
}

static void
write_flipped(uint64_t bit)
{
	AUTO_FD int fd = openat(folder, "index.mdb",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
	assert_int_equal(write(fd, whole, whole_len), whole_len);
	whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
	unlinkat(folder, "index.damaged", 0);
}

static void
judge(uint64_t bit, int end)
{
	bool marked = is_there("index.damaged");

	if (end > 128) {
		counts[END_KILLED]++;
		fail_msg("bit %llu: killed by signal %d",
			(unsigned long long)bit, end - 128);
	}
	assert_in_range(end, 0, _END_MAX - 1);
	counts[end]++;
	if (end >= END_WRONG && end != END_HUNG && end != END_MEMORY)
		fail_msg("bit %llu: %d", (unsigned long long)bit, end);
	if (end == END_GUARD && !marked)
		fail_msg("bit %llu: no mark", (unsigned long long)bit);
}

/* Half of them anywhere, half of them where LMDB's own structures are: heads of
 * pages, and the two metas. */
static uint64_t
choose_bit(uint64_t *state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t at = rnd(state) % whole_len;

	switch (rnd(state) % 4) {
	case 0:
		at = at / page * page + rnd(state) % 64;
		break;
	case 1:
		at = rnd(state) % 2 * page + rnd(state) % 160;
		break;
	default:
		break;
	}
	return 8 * at + rnd(state) % 8;
}

static void
test_flipped_bits(void **state)
{
	unsigned n = getenv("SOAK") != NULL ? SOAKED : FLIPS;
	uint64_t seed =
		getenv("SEED") != NULL ? strtoull(getenv("SEED"), 0, 0) : 1;

#ifdef __SANITIZE_THREAD__
	/* It ends the process itself where a copy leads nowhere. */
	skip();
#endif
	params.map_size = 16 << 20;
	make_segments();
	for (unsigned i = 0; i < n; i++) {
		uint64_t bit = choose_bit(&seed);

		write_flipped(bit);
		judge(bit, in_child(child_use_first));
		judge(bit, in_child(child_use_again));
	}
	print_message("good %u, ended %u, told at start %u, less %u, told "
		      "later %u, hung %u, memory %u\n",
		counts[END_GOOD], counts[END_GUARD], counts[END_TOLD],
		counts[END_LESS], counts[END_STOPPED], counts[END_HUNG],
		counts[END_MEMORY]);
	assert_true(counts[END_GOOD] > 0 && counts[END_TOLD] > 0 &&
		counts[END_LESS] > 0);
	free(whole);
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		buf_done(&values[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_page_that_lmdb_cannot_read),
		TEST(test_a_value_that_cannot_be_read),
		TEST(test_a_page_that_a_change_cannot_read),
		TEST(test_a_crash_in_lmdb),
		TEST(test_a_value_that_leads_out_of_a_page),
		TEST(test_no_room_for_the_mark),
		TEST(test_crashes_elsewhere_are_not_the_index),
		TEST(test_the_handler_of_before_is_called),
		TEST(test_as_many_guards_as_there_is_room_for),
		TEST(test_flipped_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

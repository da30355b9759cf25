/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache through the public library.
 *
 *	cache stream FILE PID	    StreamRead of the whole, 1 MiB reads, 4
 *				    outstanding; CPU ns and wall ns
 *	cache block FILE COUNT CPU  BlockRead of 64 KiB at random; median in ns
 *	cache count VERSION CONTENTS  looks up every block of made-up contents;
 *				    how many are there
 *	cache add FILE COUNT PID    AddData of the whole, 64 of 1 MiB
 *				    outstanding, COUNT times with a flush
 *				    between them; CPU ns and wall ns of the adds
 *	cache fill FILE INFO	    nothing but making ready; content
 *				    information goes to INFO, and "ready" is
 *				    followed by the id of the first segment
 *	cache fetch FILE INFO	    StreamRead as above of a content that the
 *				    daemon gets from its peers; wall ns, and
 *				    how many reads it took
 *	cache verify FILE INFO	    the same, and every byte is compared
 *
 * CPU is that of both ends: PID is the daemon.  Everything is made ready before
 * it is measured: published, described, and for reads put into the cache.  Says
 * "ready", then measures once for each line on standard input.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/client.h"
#include "bench/frames.h"
#include "bench/made_up.h"
#include "common/fdutil.h"
#include "common/macros.h"

#define BLOCK      65536u
#define READ_SIZE  (1u << 20)
#define READ_DEPTH 4u
#define ADD_SIZE   (1u << 20)
#define ADD_DEPTH  64u
#define TIMEOUT_MS 10000u

static PEERDIST_INSTANCE_HANDLE instance;
static const BYTE *file;
static size_t file_size;
static BYTE *info;
static DWORD info_len;

struct cost {
	uint64_t cpu_ns;
	uint64_t wall_ns;
};

static clockid_t daemon_clock;

static void
watch_daemon(const char *pid)
{
	if (clock_getcpuclockid((pid_t)atoi(pid), &daemon_clock) != 0)
		bench_die("no process %s", pid);
}

static struct cost
cost_now(void)
{
	struct timespec ts;

	clock_gettime(daemon_clock, &ts);
	return (struct cost){
		.cpu_ns = bench_cpu_ns() + (uint64_t)ts.tv_sec * 1000000000u +
			(uint64_t)ts.tv_nsec,
		.wall_ns = bench_now_ns(),
	};
}

static void
cost_add(struct cost *sum, const struct cost *start)
{
	struct cost now = cost_now();

	sum->cpu_ns += now.cpu_ns - start->cpu_ns;
	sum->wall_ns += now.wall_ns - start->wall_ns;
}

static void
cost_print(const struct cost *c)
{
	printf("%.1f %.1f\n", (double)c->cpu_ns, (double)c->wall_ns);
}

static void
map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		bench_die("%s: cannot open", path);
	file_size = (size_t)st.st_size;
	file = mmap(
		NULL, file_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (file == MAP_FAILED)
		bench_die("%s: cannot map", path);
	close(fd);
}

/* The file, published and described. */
static void
load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	map_file(path);
	client_publish(instance, fd);
	info = client_info(instance, &info_len);
	close(fd);
}

/* The next read or add of a row of them; each slot has one under way. */
struct flight {
	PEERDIST_CONTENT_HANDLE content;
	size_t depth;
	OVERLAPPED ov[ADD_DEPTH];
	void (*start)(struct flight *, size_t slot);
	BYTE *room; /* READ_SIZE for each slot */
	size_t at;  /* of the next add */
};

static void
start_read(struct flight *f, size_t slot)
{
	f->ov[slot] = (OVERLAPPED){0};
	client_must("StreamRead",
		PeerDistClientStreamRead(instance, f->content, READ_SIZE,
			f->room + slot * READ_SIZE, TIMEOUT_MS, &f->ov[slot]),
		ERROR_IO_PENDING);
}

static void
start_add(struct flight *f, size_t slot)
{
	f->ov[slot] = (OVERLAPPED){
		.Offset = (DWORD)f->at,
		.OffsetHigh = (DWORD)((uint64_t)f->at >> 32),
	};
	client_must("AddData",
		PeerDistClientAddData(instance, f->content, ADD_SIZE,
			(PBYTE)file + f->at, &f->ov[slot]),
		ERROR_IO_PENDING);
	f->at += ADD_SIZE;
}

/* All of the file in pieces of 1 MiB, depth of them under way. */
static void
fly(struct flight *f, const char *what)
{
	size_t n = file_size / READ_SIZE, started = 0;

	for (; started < f->depth && started < n; started++)
		f->start(f, started);
	for (size_t i = 0; i < n; i++) {
		size_t slot = i % f->depth;

		if (client_finish(what, ERROR_IO_PENDING, &f->ov[slot]) !=
			READ_SIZE)
			bench_die("%s: not 1 MiB", what);
		if (started < n) {
			f->start(f, slot);
			started++;
		}
	}
}

static void
add_all(PEERDIST_CONTENT_HANDLE content)
{
	struct flight f = {
		.content = content, .depth = ADD_DEPTH, .start = start_add};

	fly(&f, "AddData");
}

static void
close_content(PEERDIST_CONTENT_HANDLE content)
{
	client_must("CloseContent",
		PeerDistClientCloseContent(instance, content), 0);
}

static void
fill_cache(void)
{
	PEERDIST_CONTENT_HANDLE content =
		client_content(instance, info, info_len);

	add_all(content);
	close_content(content);
}

static struct flight *
new_reads(void)
{
	static struct flight f = {.depth = READ_DEPTH, .start = start_read};

	if (!f.room)
		f.room = calloc(READ_DEPTH, READ_SIZE);
	if (!f.room)
		bench_die("out of memory");
	f.content = client_content(instance, info, info_len);
	return &f;
}

static void
check(const struct flight *f, size_t slot, uint64_t at, size_t n)
{
	if (n > file_size - at ||
		memcmp(f->room + slot * READ_SIZE, file + at, n) != 0)
		bench_die("StreamRead: wrong bytes");
}

static void
measure_stream(char **argv)
{
	struct flight *f = new_reads();
	struct cost start = cost_now(), sum = {0};

	(void)argv;
	fly(f, "StreamRead");
	cost_add(&sum, &start);
	check(f, (file_size / READ_SIZE - 1) % READ_DEPTH,
		file_size - READ_SIZE, READ_SIZE);
	cost_print(&sum);
	close_content(f->content);
}

/* A read does not wait for more when it has some: it may be short.  How many
 * were needed; as many as can be under way are, behind the end. */
static size_t
fetch_all(struct flight *f, bool all_checked)
{
	uint64_t at = 0;
	size_t i;

	for (i = 0; i < f->depth; i++)
		f->start(f, i);
	for (i = 0; at < file_size; i++) {
		size_t slot = i % f->depth;
		DWORD n = client_finish(
			"StreamRead", ERROR_IO_PENDING, &f->ov[slot]);

		if (all_checked || at + n >= file_size)
			check(f, slot, at, n);
		at += n;
		f->start(f, slot);
	}
	return i;
}

/* Those behind the end. */
static void
finish_rest(struct flight *f)
{
	DWORD bytes;

	for (size_t i = 0; i < f->depth; i++)
		if (PeerDistGetOverlappedResult(&f->ov[i], &bytes, TRUE) ||
			pdw_GetLastError() != PEERDIST_ERROR_NO_MORE)
			bench_die("StreamRead: no end");
}

/* As a program would that has nothing but the information. */
static void
measure_fetch(char **argv)
{
	uint64_t start = bench_now_ns();
	struct flight *f = new_reads();
	size_t n = fetch_all(f, strcmp(argv[1], "verify") == 0);

	printf("%llu %zu\n", (unsigned long long)(bench_now_ns() - start), n);
	finish_rest(f);
	close_content(f->content);
}

static void
add_and_flush(struct cost *sum)
{
	PEERDIST_CONTENT_TAG tag = {"bench"};
	PEERDIST_CONTENT_HANDLE content =
		client_content(instance, info, info_len);
	struct cost start = cost_now();
	OVERLAPPED ov = {0};

	add_all(content);
	cost_add(sum, &start);
	close_content(content);
	client_finish("FlushContent",
		PeerDistClientFlushContent(instance, &tag, NULL, 0, &ov), &ov);
}

static void
measure_add(char **argv)
{
	size_t count = strtoull(argv[3], NULL, 10);
	struct cost sum = {0};

	for (size_t i = 0; i < count; i++)
		add_and_flush(&sum);
	cost_print(&sum);
}

static void
measure_block(char **argv)
{
	size_t count = strtoull(argv[3], NULL, 10);
	static PEERDIST_CONTENT_HANDLE content;
	static BYTE room[BLOCK];
	double *ns = malloc(count * sizeof(*ns));

	if (!ns)
		bench_die("out of memory");
	if (!content)
		content = client_content(instance, info, info_len);
	for (size_t i = 0; i < count; i++) {
		size_t at = (size_t)random() % (file_size / BLOCK) * BLOCK;
		OVERLAPPED ov = {
			.Offset = (DWORD)at,
			.OffsetHigh = (DWORD)((uint64_t)at >> 32),
		};
		uint64_t start = bench_now_ns();

		client_finish("BlockRead",
			PeerDistClientBlockRead(instance, content, BLOCK, room,
				TIMEOUT_MS, &ov),
			&ov);
		ns[i] = (double)(bench_now_ns() - start);
		if (i % 64 == 0 && memcmp(room, file + at, BLOCK) != 0)
			bench_die("BlockRead: wrong bytes");
	}
	printf("%.1f\n", bench_median(ns, count));
	free(ns);
}

static uint64_t
count_content(struct bulk *bulk, int version, unsigned number)
{
	PEERDIST_CONTENT_HANDLE content;
	OVERLAPPED ov = {0};
	DWORD bytes;
	struct buf b;

	made_up_bytes(bulk, version, number, &b);
	content = client_content(instance, b.data, (DWORD)b.len);
	buf_done(&b);
	bytes = client_finish("BlockRead",
		PeerDistClientBlockRead(
			instance, content, 0, NULL, TIMEOUT_MS, &ov),
		&ov);
	close_content(content);
	return bytes / BLOCK;
}

static void
measure_count(char **argv)
{
	unsigned contents = (unsigned)atoi(argv[3]);
	struct bulk *bulk = bulk_new(BULK_AUTO);
	uint64_t n = 0;

	if (!bulk)
		bench_die("out of memory");
	for (unsigned i = 0; i < contents; i++)
		n += count_content(bulk, atoi(argv[2]), i);
	printf("%llu\n", (unsigned long long)n);
	bulk_free(bulk);
}

static void
save_info(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f || fwrite(info, 1, info_len, f) != info_len || fclose(f) != 0)
		bench_die("%s: cannot write", path);
}

static void
load_info(const char *path)
{
	struct buf b;

	buf_init(&b, 16u << 20);
	if (fd_read_file(path, &b) != 0)
		bench_die("%s: cannot read", path);
	info = b.data;
	info_len = (DWORD)b.len;
}

static void
print_id(void)
{
	struct bulk *bulk = bulk_new(BULK_AUTO);
	struct pccrc_info *parsed;
	uint8_t id[64];

	if (!bulk || pccrc_parse(info, info_len, bulk, &parsed) != 0 ||
		pccrc_segment_ids(bulk, parsed, 0, 1, id) != 0)
		bench_die("no segment");
	printf("ready ");
	for (size_t i = 0; i < parsed->hash_size; i++)
		printf("%02x", id[i]);
	printf("\n");
	pccrc_info_unref(parsed);
	bulk_free(bulk);
}

static void
prepare_reads(char **argv)
{
	if (strcmp(argv[1], "stream") == 0)
		watch_daemon(argv[3]);
	else
		bench_pin(atoi(argv[4]));
	load(argv[2]);
	fill_cache();
}

static void
prepare_add(char **argv)
{
	watch_daemon(argv[4]);
	load(argv[2]);
}

static void
prepare_fill(char **argv)
{
	load(argv[2]);
	fill_cache();
	save_info(argv[3]);
	print_id();
}

static void
prepare_fetch(char **argv)
{
	map_file(argv[2]);
	load_info(argv[3]);
}

static const struct mode {
	const char *name;
	int argc;
	void (*prepare)(char **argv);
	void (*measure)(char **argv);
} modes[] = {
	{"stream", 4, prepare_reads, measure_stream},
	{"block", 5, prepare_reads, measure_block},
	{"count", 4, NULL, measure_count},
	{"add", 5, prepare_add, measure_add},
	{"fill", 4, prepare_fill, NULL},
	{"fetch", 4, prepare_fetch, measure_fetch},
	{"verify", 4, prepare_fetch, measure_fetch},
};

static const struct mode *
find_mode(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (argc == modes[i].argc &&
			strcmp(argv[1], modes[i].name) == 0)
			return &modes[i];
	bench_die("usage: cache stream FILE PID | block FILE COUNT CPU | "
		  "count VERSION CONTENTS | add FILE COUNT PID | "
		  "fill|fetch|verify FILE INFO");
}

int
main(int argc, char **argv)
{
	const struct mode *m = find_mode(argc, argv);

	client_must("Startup",
		PeerDistStartup(PEERDIST_VERSION, &instance, NULL), 0);
	if (m->prepare)
		m->prepare(argv);
	if (m->measure)
		printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		if (m->measure)
			m->measure(argv);
		fflush(stdout);
	}
	return 0;
}

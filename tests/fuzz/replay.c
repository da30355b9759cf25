/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays seeds through a fuzzer without a fuzzing engine: every file named or
 * found in the folders named, then a fixed number of changed copies of each.
 * The changes depend on nothing but the seed's bytes, so a failure comes back.
 * The input that was running when the program died is written out.
 *
 *	replay_NAME [-m CHANGES] FILE|FOLDER...
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fdutil.h"
#include "common/macros.h"

#define REPLAY_MAX_SEED  (1U << 20)
#define REPLAY_MAX_GROWN (2 * REPLAY_MAX_SEED)
#define REPLAY_SECONDS   20 /* for one input */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
/* Optional in a fuzzer. */
int LLVMFuzzerInitialize(int *, char ***) __attribute__((weak));
/* There when a sanitizer is. */
void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static unsigned arg_changes = 200;
static const uint8_t *running;
static size_t running_len;
static char crash_path[4096];

static void
replay_save(void)
{
	static const char msg[] = "replay: the input was written to ";
	int fd;

	if (running == NULL)
		return;
	fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || fd_write_all(fd, running, running_len) != 0)
		return;
	(void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
	(void)!write(STDERR_FILENO, crash_path, strlen(crash_path));
	(void)!write(STDERR_FILENO, "\n", 1);
}

static void
replay_died(int sig)
{
	replay_save();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A sanitizer has its own handlers, with better reports. */
static void
replay_catch(void)
{
	signal(SIGALRM, replay_died);
	if (__sanitizer_set_death_callback != NULL) {
		__sanitizer_set_death_callback(replay_save);
		return;
	}
	signal(SIGABRT, replay_died);
	signal(SIGSEGV, replay_died);
	signal(SIGBUS, replay_died);
	signal(SIGFPE, replay_died);
}

/* The input is a copy of its own exact size, so that a sanitizer sees a read
 * behind its end. */
static int
replay_one(const uint8_t *data, size_t len)
{
	AUTO_FREE uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		return -ENOMEM;
	if (len > 0)
		memcpy(copy, data, len);
	running = copy;
	running_len = len;
	alarm(REPLAY_SECONDS);
	LLVMFuzzerTestOneInput(copy, len);
	alarm(0);
	running = NULL;
	return 0;
}

static uint64_t
replay_random(uint64_t *state)
{
	/* xorshift64* */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL;
}

static uint64_t
replay_hash(const uint8_t *data, size_t len)
{
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 1099511628211ULL;
	return h | 1;
}

static void
replay_duplicate(struct buf *b, uint64_t *state)
{
	size_t from = replay_random(state) % b->len;
	size_t n = 1 + replay_random(state) % (b->len - from);
	uint8_t *room;

	if (b->len + n > REPLAY_MAX_GROWN)
		return;
	room = buf_extend(b, n);
	if (room == NULL)
		return;
	memmove(b->data + from + n, b->data + from, b->len - n - from);
}

static void
replay_overwrite(struct buf *b, uint64_t *state)
{
	static const uint64_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX};
	uint64_t v = odd[replay_random(state) % ARRAY_LEN(odd)];
	size_t width = (size_t)1 << replay_random(state) % 4;
	size_t at = replay_random(state) % b->len;
	bool big = replay_random(state) & 1;

	for (size_t i = 0; i < width && at + i < b->len; i++)
		b->data[at + i] = (uint8_t)(v >> 8 * (big ? width - 1 - i : i));
}

static void
replay_change(struct buf *b, uint64_t *state)
{
	if (b->len == 0) {
		buf_u8(b, (uint8_t)replay_random(state));
		return;
	}
	switch (replay_random(state) % 5) {
	case 0:
		b->len = replay_random(state) % b->len;
		break;
	case 1:
		replay_duplicate(b, state);
		break;
	case 2:
		replay_overwrite(b, state);
		break;
	case 3:
		b->data[replay_random(state) % b->len] =
			(uint8_t)replay_random(state);
		break;
	default:
		b->data[replay_random(state) % b->len] ^=
			(uint8_t)(1U << replay_random(state) % 8);
	}
}

static int
replay_seed(const uint8_t *data, size_t len)
{
	CLEANUP(buf_done) struct buf b;
	uint64_t state = replay_hash(data, len);
	int r = replay_one(data, len);

	buf_init(&b, REPLAY_MAX_GROWN);
	for (unsigned i = 0; r == 0 && i < arg_changes; i++) {
		unsigned changes = 1 + (unsigned)(replay_random(&state) % 4);

		buf_reset(&b);
		buf_append(&b, data, len);
		while (changes-- > 0)
			replay_change(&b, &state);
		r = buf_error(&b);
		if (r == 0)
			r = replay_one(b.data, b.len);
	}
	return r;
}

static int
replay_file(const char *path)
{
	CLEANUP(buf_done) struct buf b;
	int r;

	buf_init(&b, REPLAY_MAX_SEED);
	r = fd_read_file(path, &b);
	if (r == 0)
		r = replay_seed(b.data, b.len);
	if (r != 0)
		fprintf(stderr, "replay: %s: %s\n", path, strerror(-r));
	return r;
}

static int
replay_not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* The number of files played, or -errno. */
static int
replay_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	int n, r = 0;

	if (stat(path, &st) != 0) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (!S_ISDIR(st.st_mode)) {
		r = replay_file(path);
		return r < 0 ? r : 1;
	}
	n = scandir(path, &names, replay_not_hidden, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		AUTO_FREE char *file = NULL;

		if (r == 0 &&
			asprintf(&file, "%s/%s", path, names[i]->d_name) > 0)
			r = replay_file(file);
		free(names[i]);
	}
	free(names);
	return r < 0 ? r : n;
}

int
main(int argc, char **argv)
{
	int files = 0, c;

	while ((c = getopt(argc, argv, "m:")) != -1) {
		if (c != 'm')
			return 2;
		arg_changes = (unsigned)strtoul(optarg, NULL, 10);
	}
	snprintf(crash_path, sizeof(crash_path), "%s.crash", argv[0]);
	replay_catch();
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = optind; i < argc; i++) {
		int n = replay_path(argv[i]);

		if (n < 0)
			return 1;
		files += n;
	}
	printf("%d inputs, each with %u changes\n", files, arg_changes);
	if (files == 0)
		fprintf(stderr, "replay: no seeds\n");
	return files > 0 ? 0 : 1;
}

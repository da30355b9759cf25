/* SPDX-License-Identifier: BSD-2-Clause */
#include "get/part.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "tests/unit/failalloc.h"

static char folder[] = "/tmp/test_get_part-XXXXXX";
static volatile sig_atomic_t stop;

#define TARGET "target"

static void
put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void
file_is(const char *name, const char *text)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(fd_read_file(name, &b), 0);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.data, text, b.len);
	buf_done(&b);
}

static bool
there(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static struct part *
open_target(void)
{
	struct part *p;

	assert_int_equal(part_open(&p, TARGET), 0);
	return p;
}

/* Nothing is left of it. */
static void
all_gone(void)
{
	assert_false(there(TARGET PART_SUFFIX));
	assert_false(there(TARGET NOTE_SUFFIX));
}

static void
test_appears_when_complete(void **state)
{
	struct part *p = open_target();
	char back[4] = "";

	assert_int_equal(part_write(p, "later", 5, 6), 0);
	assert_int_equal(part_write(p, "first ", 6, 0), 0);
	assert_false(there(TARGET));
	assert_int_equal(part_commit(p), 0);
	file_is(TARGET, "first later");
	assert_int_equal(part_read(p, back, 3, 6), 0);
	assert_string_equal(back, "lat");
	part_close(p, true);
	all_gone();
	file_is(TARGET, "first later");
	unlink(TARGET);
}

static void
test_nothing_is_left(void **state)
{
	struct part_note note = {.url = "u", .etag = "\"e\"", .length = 10};
	struct part *p = open_target();

	assert_int_equal(part_write(p, "x", 1, 0), 0);
	assert_int_equal(part_tell(p, &note), 0);
	assert_true(there(TARGET NOTE_SUFFIX));
	part_close(p, false);
	all_gone();
	assert_false(there(TARGET));
}

static void
test_is_continued(void **state)
{
	struct part_note note = {.url = "http://h/\"x\"",
		.etag = "\"e\"",
		.modified = "then",
		.length = UINT64_C(1) << 40,
		.encoded = true};
	struct part_note found;
	struct part *p = open_target();
	uint64_t size;

	assert_int_equal(part_write(p, "some", 4, 0), 0);
	assert_int_equal(part_tell(p, &note), 0);
	part_close(p, true);
	p = open_target();
	assert_int_equal(part_found(p, &found, &size), 0);
	assert_int_equal(size, 4);
	assert_string_equal(found.url, note.url);
	assert_string_equal(found.etag, note.etag);
	assert_string_equal(found.modified, note.modified);
	assert_int_equal(found.length, note.length);
	assert_true(found.encoded);
	part_note_done(&found);
	assert_int_equal(part_write(p, "thing", 5, 4), 0);
	assert_int_equal(part_commit(p), 0);
	part_close(p, false);
	file_is(TARGET, "something");
	unlink(TARGET);
	all_gone();
}

static void
test_notes_that_are_none(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "null", "{}",
		"{\"v\":1}", "{\"v\":2,\"url\":\"u\"}", "{\"v\":1,\"url\":3}",
		"{\"v\":\"1\",\"url\":\"u\"}"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct part_note found;
		struct part *p;
		uint64_t size;

		put(TARGET PART_SUFFIX, "some");
		put(TARGET NOTE_SUFFIX, texts[i]);
		p = open_target();
		assert_int_equal(part_found(p, &found, &size), -ENOENT);
		assert_int_equal(part_empty(p), 0);
		assert_int_equal(part_write(p, "n", 1, 0), 0);
		assert_int_equal(part_commit(p), 0);
		file_is(TARGET, "n");
		part_close(p, false);
		all_gone();
	}
	unlink(TARGET);
}

static void
test_one_at_a_time(void **state)
{
	struct part *p = open_target(), *other;
	char text[200];

	assert_int_equal(part_open(&other, TARGET), PART_E_BUSY);
	part_problem(other, PART_E_BUSY, text, sizeof(text));
	assert_non_null(strstr(text, TARGET PART_SUFFIX));
	/* Who was refused does not take it away. */
	part_close(other, false);
	assert_true(there(TARGET PART_SUFFIX));
	part_close(p, false);
	p = open_target();
	part_close(p, false);
	all_gone();
}

static void
test_what_is_not_ours(void **state)
{
	struct part *p;

	assert_int_equal(symlink("elsewhere", TARGET PART_SUFFIX), 0);
	assert_int_equal(part_open(&p, TARGET), PART_E_FOREIGN);
	part_close(p, false);
	assert_false(there("elsewhere"));
	unlink(TARGET PART_SUFFIX);

	put("elsewhere", "important");
	assert_int_equal(link("elsewhere", TARGET PART_SUFFIX), 0);
	assert_int_equal(part_open(&p, TARGET), PART_E_FOREIGN);
	part_close(p, false);
	file_is("elsewhere", "important");
	unlink(TARGET PART_SUFFIX);
	unlink("elsewhere");

	assert_int_equal(mkfifo(TARGET PART_SUFFIX, 0600), 0);
	assert_int_equal(part_open(&p, TARGET), PART_E_FOREIGN);
	part_close(p, false);
	assert_true(there(TARGET PART_SUFFIX));
	unlink(TARGET PART_SUFFIX);
}

static void
test_targets_that_are_no_files(void **state)
{
	static const char *const folders[] = {"", "/", "sub", "sub/", "new/"};
	struct part *p;

	assert_int_equal(mkdir("sub", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		assert_int_equal(part_open(&p, folders[i]), PART_E_FOLDER);
		part_close(p, false);
	}
	assert_int_equal(part_open(&p, "/dev/null"), PART_E_SPECIAL);
	part_close(p, false);
	assert_int_equal(part_open(&p, "none/target"), -ENOENT);
	part_close(p, false);
	/* Or have become one meanwhile. */
	p = open_target();
	assert_int_equal(mkdir(TARGET, 0700), 0);
	assert_int_equal(part_commit(p), PART_E_FOLDER);
	part_close(p, false);
	rmdir(TARGET);
	rmdir("sub");
	all_gone();
}

static void
test_a_wrong_file_is_replaced(void **state)
{
	struct part *p = open_target();

	assert_int_equal(part_write(p, "wrong", 5, 0), 0);
	assert_int_equal(part_commit(p), 0);
	assert_int_equal(part_reopen(p), 0);
	/* Until there is a better one. */
	file_is(TARGET, "wrong");
	assert_int_equal(part_write(p, "right", 5, 0), 0);
	assert_int_equal(part_commit(p), 0);
	file_is(TARGET, "right");
	part_close(p, false);
	file_is(TARGET, "right");
	unlink(TARGET);
}

static void
test_a_wrong_file_goes(void **state)
{
	struct part *p = open_target();

	assert_int_equal(part_write(p, "wrong", 5, 0), 0);
	assert_int_equal(part_commit(p), 0);
	assert_int_equal(part_reopen(p), 0);
	part_close(p, false);
	assert_false(there(TARGET));
	all_gone();
	/* But not one that somebody else has put there. */
	p = open_target();
	assert_int_equal(part_commit(p), 0);
	assert_int_equal(part_reopen(p), 0);
	put("other", "another");
	assert_int_equal(rename("other", TARGET), 0);
	part_close(p, false);
	file_is(TARGET, "another");
	unlink(TARGET);
}

static void
test_mode(void **state)
{
	mode_t before = umask(027);
	struct part *p = open_target();
	struct stat st;

	assert_int_equal(part_commit(p), 0);
	part_close(p, false);
	umask(before);
	assert_int_equal(stat(TARGET, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	unlink(TARGET);
}

static void
test_loses_its_name(void **state)
{
	struct part *p = open_target();

	assert_int_equal(part_write(p, "ours", 4, 0), 0);
	unlink(TARGET PART_SUFFIX);
	assert_int_equal(part_commit(p), PART_E_GONE);
	put(TARGET PART_SUFFIX, "other");
	assert_int_equal(part_commit(p), PART_E_GONE);
	part_close(p, false);
	file_is(TARGET PART_SUFFIX, "other");
	assert_false(there(TARGET));
	unlink(TARGET PART_SUFFIX);
}

static void
test_is_touched(void **state)
{
	struct part *p = open_target();

	assert_int_equal(part_write(p, "ours", 4, 0), 0);
	assert_int_equal(part_commit(p), 0);
	assert_false(part_is_touched(p));
	put(TARGET, "mine");
	assert_true(part_is_touched(p));
	unlink(TARGET);
	assert_true(part_is_touched(p));
	part_close(p, false);
}

/* A note that does not say it by itself. */
static void
test_note_is_a_link(void **state)
{
	struct part_note note = {.url = "u", .etag = "\"e\"", .length = 10};
	struct part_note found;
	struct part *p = open_target();
	uint64_t size;

	assert_int_equal(part_write(p, "some", 4, 0), 0);
	assert_int_equal(part_tell(p, &note), 0);
	assert_int_equal(rename(TARGET NOTE_SUFFIX, "elsewhere"), 0);
	assert_int_equal(symlink("elsewhere", TARGET NOTE_SUFFIX), 0);
	assert_int_equal(part_found(p, &found, &size), -ENOENT);
	unlink(TARGET NOTE_SUFFIX);
	assert_int_equal(link("elsewhere", TARGET NOTE_SUFFIX), 0);
	assert_int_equal(part_found(p, &found, &size), -ENOENT);
	unlink("elsewhere");
	assert_int_equal(part_found(p, &found, &size), 0);
	part_note_done(&found);
	part_close(p, false);
	all_gone();
}

/* Standard output is a pipe meanwhile. */
static void
test_standard_output(void **state)
{
	int saved = dup(STDOUT_FILENO), pipes[2];
	int written[3], emitted[3];
	struct part *p;
	char text[8] = "";

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(part_open_stdout(&p, &stop), 0);
	assert_int_equal(part_spool(p), 0);
	fflush(stdout);
	dup2(pipes[1], STDOUT_FILENO);
	written[0] = part_write(p, "def", 3, 3);
	written[1] = part_write(p, "abc", 3, 0);
	emitted[0] = part_emit(p, 2);
	emitted[1] = part_emit(p, 6);
	written[2] = part_empty(p);
	emitted[2] = part_emit(p, 6);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(pipes[1]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(emitted[i], 0);
		assert_int_equal(written[i], i < 2 ? 0 : PART_E_WRITTEN);
	}
	assert_int_equal(read(pipes[0], text, sizeof(text)), 6);
	assert_string_equal(text, "abcdef");
	close(pipes[0]);
	part_close(p, false);
}

static int
all(void *arg)
{
	struct part_note note = {.url = "u", .etag = "\"e\"", .length = 10};
	struct part *p;
	int r = part_open(&p, TARGET);

	if (r == 0)
		r = part_write(p, "x", 1, 0);
	if (r == 0)
		r = part_tell(p, &note);
	if (r == 0)
		r = part_commit(p);
	part_close(p, false);
	return r;
}

static void
test_no_memory(void **state)
{
	assert_true(failalloc_each(all, NULL) > 3);
	unlink(TARGET);
	all_gone();
}

static int
set_up(void **state)
{
	return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int
tear_down(void **state)
{
	return chdir("/") != 0 || rmdir(folder) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appears_when_complete),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_is_continued),
		cmocka_unit_test(test_notes_that_are_none),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_what_is_not_ours),
		cmocka_unit_test(test_targets_that_are_no_files),
		cmocka_unit_test(test_a_wrong_file_is_replaced),
		cmocka_unit_test(test_a_wrong_file_goes),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_loses_its_name),
		cmocka_unit_test(test_is_touched),
		cmocka_unit_test(test_note_is_a_link),
		cmocka_unit_test(test_standard_output),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names.  For the target FILE the part is FILE.peerdist-part and its note
 * FILE.peerdist-part.json.  Fixed names let --continue find them; the lock on
 * the part keeps two programs from writing the same one.  Who has got the lock
 * looks whether the name still leads to what is locked, since the one before
 * may have renamed it in between.
 *
 * The folder may be one where others can write, so whatever has one of these
 * names and is not a plain file of this user with one name only is left alone.
 * That holds for the note, too: whoever writes it says what the part is a part
 * of.  And the part may lose its name: then it is not what is renamed.
 */
#include "get/part.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/fdutil.h"
#include "common/macros.h"

#define NOTE_MAX   (256u * 1024)
#define OPEN_TRIES 10
#define COPY_SIZE  (256u * 1024)

struct part {
	char *target; /* NULL: standard output */
	char *name;
	char *note_name;
	int fd; /* -1: there is none */
	bool committed;
	bool wrong; /* what has the target's name is not what it should be */
	struct stat st; /* of what was committed */
	uint64_t emitted;
	const volatile sig_atomic_t *stop; /* of standard output */
	const char *at;                    /* what the last failure was about */
};

void
part_note_done(struct part_note *n)
{
	free(n->url);
	free(n->etag);
	free(n->modified);
	*n = (struct part_note){0};
}

static int
check_target(struct part *p)
{
	size_t len = strlen(p->target);
	struct stat st;

	p->at = p->target;
	if (len == 0 || p->target[len - 1] == '/')
		return PART_E_FOLDER;
	if (stat(p->target, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return PART_E_FOLDER;
	return S_ISREG(st.st_mode) ? 0 : PART_E_SPECIAL;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool
is_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
		st->st_nlink <= 1;
}

static bool
has_name(int fd, const char *name)
{
	struct stat st, now;

	return fstat(fd, &st) == 0 && lstat(name, &now) == 0 &&
		same_file(&st, &now);
}

/* One from before gets the mode that a new one has. */
static void
renew_mode(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	(void)fchmod(fd, 0666 & ~mask);
}

/* Opens and locks it.  again: it is not what the name leads to any more. */
static int
open_locked(const char *name, int *ret_fd, bool *ret_again)
{
	AUTO_FD int fd = open(name,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? PART_E_FOREIGN : err_new(-errno);
	if (fstat(fd, &st) < 0)
		return err_new(-errno);
	if (!is_ours(&st))
		return PART_E_FOREIGN;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? PART_E_BUSY : err_new(-errno);
	*ret_again = !has_name(fd, name);
	if (*ret_again)
		return 0;
	if (st.st_size > 0)
		renew_mode(fd);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int
open_part(struct part *p)
{
	bool again = true;
	int r = 0;

	p->at = p->name;
	for (int i = 0; again && i < OPEN_TRIES; i++) {
		again = false;
		r = open_locked(p->name, &p->fd, &again);
	}
	return again ? PART_E_BUSY : r;
}

static struct part *
part_new(void)
{
	struct part *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->fd = -1;
	return p;
}

int
part_open(struct part **ret_part, const char *target)
{
	struct part *p = part_new();
	int r;

	*ret_part = p;
	if (p == NULL)
		return err_new(-ENOMEM);
	p->target = strdup(target);
	if (p->target == NULL ||
		asprintf(&p->name, "%s" PART_SUFFIX, target) < 0 ||
		asprintf(&p->note_name, "%s" NOTE_SUFFIX, target) < 0)
		return err_new(-ENOMEM);
	r = check_target(p);
	return r != 0 ? r : open_part(p);
}

int
part_open_stdout(struct part **ret_part, const volatile sig_atomic_t *stop)
{
	*ret_part = part_new();
	if (*ret_part == NULL)
		return err_new(-ENOMEM);
	(*ret_part)->stop = stop;
	(*ret_part)->at = "standard output";
	return 0;
}

/* What is wrong under the target's name goes, unless somebody has put another
 * file there. */
static void
remove_wrong(struct part *p)
{
	struct stat now;

	if (p->wrong && lstat(p->target, &now) == 0 && same_file(&p->st, &now))
		unlink(p->target);
	p->wrong = false;
}

struct part *
part_close(struct part *p, bool keep)
{
	if (p == NULL)
		return NULL;
	if (p->target != NULL && p->fd >= 0 && !p->committed && !keep &&
		has_name(p->fd, p->name)) {
		unlink(p->name);
		unlink(p->note_name);
	}
	if (p->target != NULL)
		remove_wrong(p);
	if (p->fd >= 0)
		close(p->fd);
	free(p->target);
	free(p->name);
	free(p->note_name);
	free(p);
	return NULL;
}

void
part_problem(const struct part *p, int result, char *text, size_t size)
{
	static const char *const texts[] = {
		[PART_E_FOLDER] = "is a folder",
		[PART_E_SPECIAL] = "is there and is not a regular file; "
				   "\"-o -\" writes to standard output",
		[PART_E_BUSY] = "is being written by another peerdist-get",
		[PART_E_FOREIGN] = "is there and is not ours; remove it",
		[PART_E_GONE] = "has been removed or replaced",
		[PART_E_WRITTEN] = "what has been written cannot be taken "
				   "back",
	};
	const char *what = result > 0 ? texts[result] : strerror(-result);

	if (p != NULL && p->at != NULL)
		snprintf(text, size, "%s: %s", p->at, what);
	else
		snprintf(text, size, "%s", what);
}

static bool
read_text(json_t *from, const char *key, char **ret)
{
	const char *text = json_string_value(json_object_get(from, key));

	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

static int
read_note(int fd, struct part_note *ret)
{
	json_t *doc = json_loadfd(fd, 0, NULL), *length;
	struct part_note note = {.length = UINT64_MAX};
	bool ok;

	if (json_integer_value(json_object_get(doc, "v")) != 1) {
		json_decref(doc);
		return -ENOENT;
	}
	ok = read_text(doc, "url", &note.url) &&
		read_text(doc, "etag", &note.etag) &&
		read_text(doc, "last_modified", &note.modified);
	length = json_object_get(doc, "length");
	if (json_is_integer(length) && json_integer_value(length) >= 0)
		note.length = (uint64_t)json_integer_value(length);
	note.encoded = json_is_true(json_object_get(doc, "encoded"));
	json_decref(doc);
	if (!ok || note.url == NULL) {
		part_note_done(&note);
		return -ENOENT;
	}
	*ret = note;
	return 0;
}

int
part_found(struct part *p, struct part_note *ret_note, uint64_t *ret_size)
{
	struct stat st, note;
	AUTO_FD int fd = -1;

	if (p->target == NULL || fstat(p->fd, &st) < 0 || st.st_size == 0)
		return -ENOENT;
	fd = open(p->note_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &note) < 0 || !is_ours(&note) ||
		note.st_size > NOTE_MAX)
		return -ENOENT;
	*ret_size = (uint64_t)st.st_size;
	return read_note(fd, ret_note);
}

int
part_empty(struct part *p)
{
	if (p->emitted > 0)
		return PART_E_WRITTEN;
	if (p->target != NULL)
		unlink(p->note_name);
	if (p->fd < 0)
		return 0;
	p->at = p->name;
	return ftruncate(p->fd, 0) < 0 ? err_new(-errno) : 0;
}

static char *
note_text(const struct part_note *note)
{
	json_t *doc = json_pack("{s:i, s:s, s:s*, s:s*, s:b}", "v", 1, "url",
		note->url, "etag", note->etag, "last_modified", note->modified,
		"encoded", (int)note->encoded);
	char *text;

	if (doc != NULL && note->length <= INT64_MAX)
		json_object_set_new(
			doc, "length", json_integer((json_int_t)note->length));
	text = json_dumps(doc, JSON_INDENT(1));
	json_decref(doc);
	return text;
}

int
part_tell(struct part *p, const struct part_note *note)
{
	AUTO_FREE char *text = NULL;
	AUTO_FD int fd = -1;

	if (p->target == NULL)
		return 0;
	text = note_text(note);
	/* A field that is not UTF-8 cannot be told. */
	if (text == NULL)
		return 0;
	p->at = p->note_name;
	/* One that is torn is none: it need not survive a crash. */
	unlink(p->note_name);
	fd = open(p->note_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? PART_E_FOREIGN : err_new(-errno);
	return err_pass(fd_write_all(fd, text, strlen(text)));
}

int
part_spool(struct part *p)
{
	const char *folder = getenv("TMPDIR");

	if (p->fd >= 0)
		return 0;
	if (folder == NULL || folder[0] == '\0')
		folder = "/var/tmp";
	p->at = folder;
	p->fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	return p->fd < 0 ? err_new(-errno) : 0;
}

static int
write_stdout(struct part *p, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	p->at = "standard output";
	while (len > 0) {
		ssize_t n;

		/* Who reads may be slow, and the user impatient. */
		if (*p->stop)
			return -EINTR;
		n = write(STDOUT_FILENO, at, len);
		if (n < 0 && errno == EAGAIN &&
			poll(&(struct pollfd){STDOUT_FILENO, POLLOUT, 0}, 1,
				-1) == 1)
			continue;
		if (n < 0)
			return err_new(-errno);
		p->emitted += (uint64_t)n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int
part_write(struct part *p, const void *bytes, size_t len, uint64_t offset)
{
	const uint8_t *at = bytes;

	if (p->fd < 0)
		return write_stdout(p, bytes, len);
	p->at = p->name != NULL ? p->name : "temporary file";
	while (len > 0) {
		ssize_t n = pwrite(p->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_new(-errno);
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
part_read(struct part *p, void *bytes, size_t len, uint64_t offset)
{
	uint8_t *at = bytes;

	p->at = p->name != NULL ? p->name : "temporary file";
	while (len > 0) {
		ssize_t n = pread(p->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_new(-errno) : err_new(-EIO);
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
part_emit(struct part *p, uint64_t end)
{
	AUTO_FREE uint8_t *bytes = NULL;
	int r = 0;

	if (p->target != NULL || p->fd < 0 || p->emitted >= end)
		return 0;
	bytes = malloc(COPY_SIZE);
	if (bytes == NULL)
		return err_new(-ENOMEM);
	while (r == 0 && p->emitted < end) {
		size_t n = (size_t)MIN_OF(COPY_SIZE, end - p->emitted);

		r = part_read(p, bytes, n, p->emitted);
		if (r == 0)
			r = write_stdout(p, bytes, n);
	}
	return r;
}

int
part_commit(struct part *p)
{
	int r;

	if (p->target == NULL || p->committed)
		return 0;
	/* Somebody may have put a folder or a device there meanwhile, or
	 * another part here. */
	r = check_target(p);
	if (r != 0)
		return r;
	p->at = p->name;
	if (!has_name(p->fd, p->name))
		return PART_E_GONE;
	p->at = p->target;
	if (fstat(p->fd, &p->st) < 0 || rename(p->name, p->target) < 0)
		return err_new(-errno);
	unlink(p->note_name);
	p->committed = true;
	p->wrong = false;
	return 0;
}

int
part_reopen(struct part *p)
{
	if (!p->committed)
		return part_empty(p);
	close(p->fd);
	p->fd = -1;
	p->committed = false;
	p->wrong = true;
	return open_part(p);
}

bool
part_is_touched(const struct part *p)
{
	struct stat now;

	return lstat(p->target, &now) < 0 || !same_file(&p->st, &now) ||
		now.st_size != p->st.st_size ||
		now.st_mtim.tv_sec != p->st.st_mtim.tv_sec ||
		now.st_mtim.tv_nsec != p->st.st_mtim.tv_nsec;
}

bool
part_is_stdout(const struct part *p)
{
	return p->target == NULL;
}

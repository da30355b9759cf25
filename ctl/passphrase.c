/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * At the terminal a signal must not leave it without echo.  So while it is
 * off, signals are let through only where they end the waiting, and not a
 * moment earlier, when nobody would notice; what came is raised again when the
 * terminal is as before.
 */
#include "ctl/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "common/fdutil.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "ctl/out.h"
#include "proto/ipc_msg.h"

#define ROOM (IPC_PASSPHRASE_MAX + 3) /* a newline, and one more to tell */

static const int held_signals[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM};
static volatile sig_atomic_t caught_signal;

void
secret_process(void)
{
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	/* The leak checker of sanitizer builds must look into the process. */
#ifndef __SANITIZE_ADDRESS__
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

bool
secret_bytes_new(struct secret_bytes *b, size_t room)
{
	*b = (struct secret_bytes){.data = sec_alloc(room), .room = room};
	return b->data != NULL;
}

void
secret_bytes_free(struct secret_bytes *b)
{
	b->data = sec_free(b->data, b->room);
}

/* Until the end or a full buffer. */
static int
read_into(struct secret_bytes *b, int fd)
{
	while (b->len < b->room) {
		ssize_t n = read(fd, b->data + b->len, b->room - b->len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		b->len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

enum ctl_exit
secret_bytes_read(struct secret_bytes *b, const char *file)
{
	AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	r = fd < 0 ? -errno : read_into(b, fd);
	if (r != 0)
		return out_error(CTL_FAILED, "%s: %s", file, strerror(-r));
	if (b->len == 0)
		return out_error(CTL_FAILED, "%s: empty", file);
	if (b->len == b->room)
		return out_error(CTL_FAILED, "%s: too long", file);
	return CTL_OK;
}

/* A file of another system may end its lines with two characters. */
static void
cut_newline(struct secret_bytes *b)
{
	if (b->len == 0 || b->data[b->len - 1] != '\n')
		return;
	b->len--;
	if (b->len > 0 && b->data[b->len - 1] == '\r')
		b->len--;
}

static enum ctl_exit
check_length(const struct secret_bytes *b)
{
	if (b->len == 0)
		return out_error(CTL_FAILED, "the passphrase is empty");
	if (b->len > IPC_PASSPHRASE_MAX)
		return out_error(CTL_FAILED,
			"the passphrase is too long (at most %u bytes)",
			IPC_PASSPHRASE_MAX);
	return CTL_OK;
}

/* The terminal. */

static void
on_signal(int number)
{
	caught_signal = number;
}

struct held {
	struct sigaction actions[ARRAY_LEN(held_signals)];
	sigset_t mask;
};

static void
hold_signals(struct held *h)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t block;

	caught_signal = 0;
	sigemptyset(&block);
	for (size_t i = 0; i < ARRAY_LEN(held_signals); i++)
		sigaddset(&block, held_signals[i]);
	(void)sigprocmask(SIG_BLOCK, &block, &h->mask);
	for (size_t i = 0; i < ARRAY_LEN(held_signals); i++) {
		(void)sigaction(held_signals[i], NULL, &h->actions[i]);
		/* What the caller wants ignored stays so. */
		if (h->actions[i].sa_handler != SIG_IGN)
			(void)sigaction(held_signals[i], &action, NULL);
	}
}

static void
release_signals(const struct held *h)
{
	for (size_t i = 0; i < ARRAY_LEN(held_signals); i++)
		(void)sigaction(held_signals[i], &h->actions[i], NULL);
	if (caught_signal != 0)
		(void)raise(caught_signal);
	(void)sigprocmask(SIG_SETMASK, &h->mask, NULL);
}

/* -EINTR: a signal came. */
static int
read_line(struct secret_bytes *b, int tty, const sigset_t *mask)
{
	struct pollfd p = {.fd = tty, .events = POLLIN};

	while (b->len < b->room) {
		ssize_t n;

		if (ppoll(&p, 1, NULL, mask) < 0)
			return -errno;
		n = read(tty, b->data + b->len, b->room - b->len);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		b->len += (size_t)n;
		if (b->data[b->len - 1] == '\n')
			return 0;
	}
	return 0;
}

/* The prompt comes when the echo is off: what is typed at the sight of it is
 * not shown. */
static int
read_line_unseen(int tty, const char *prompt, struct secret_bytes *b)
{
	struct termios before, quiet;
	struct held held;
	int r = 0;

	if (tcgetattr(tty, &before) != 0)
		return -errno;
	quiet = before;
	quiet.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK | ECHONL);
	hold_signals(&held);
	if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
		r = -errno;
	if (r == 0)
		r = fd_write_all(tty, prompt, strlen(prompt));
	if (r == 0)
		r = read_line(b, tty, &held.mask);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	(void)fd_write_all(tty, "\n", 1);
	release_signals(&held);
	return r;
}

static enum ctl_exit
ask_line(int tty, const char *prompt, struct secret_bytes *b)
{
	int r = read_line_unseen(tty, prompt, b);

	if (r != 0)
		return out_error(CTL_FAILED, "terminal: %s", strerror(-r));
	cut_newline(b);
	return check_length(b);
}

static enum ctl_exit
ask_again(int tty, const struct secret_bytes *first)
{
	struct secret_bytes second;
	enum ctl_exit r;

	if (!secret_bytes_new(&second, ROOM))
		return out_error(CTL_FAILED, "out of memory");
	r = ask_line(tty, "The same again: ", &second);
	if (r == CTL_OK &&
		(second.len != first->len ||
			memcmp(second.data, first->data, first->len) != 0))
		r = out_error(CTL_FAILED, "the passphrases differ");
	secret_bytes_free(&second);
	return r;
}

static enum ctl_exit
ask_terminal(struct secret_bytes *b, bool is_new)
{
	AUTO_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	enum ctl_exit r;

	if (tty < 0)
		return out_error(CTL_USAGE,
			"there is no terminal: --passphrase-file is needed");
	r = ask_line(tty, "Passphrase: ", b);
	if (r == CTL_OK && is_new)
		r = ask_again(tty, b);
	return r;
}

enum ctl_exit
passphrase_get(struct secret_bytes *b, const char *file, bool is_new)
{
	enum ctl_exit r;

	if (!secret_bytes_new(b, ROOM))
		return out_error(CTL_FAILED, "out of memory");
	if (file == NULL)
		return ask_terminal(b, is_new);
	r = secret_bytes_read(b, file);
	if (r != CTL_OK)
		return r;
	cut_newline(b);
	return check_length(b);
}

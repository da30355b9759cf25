/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/out.h"

#define REPORT_MAX (1024u * 1024u)

static void
print_setting(const json_t *setting, bool origin)
{
	const json_t *pending = json_object_get(setting, "pending");

	printf("%s = ", json_string_value(json_object_get(setting, "name")));
	out_text("", json_object_get(setting, "value"));
	if (pending != NULL) {
		printf("   # after a restart: ");
		out_text("", pending);
	}
	if (origin) {
		printf("   # ");
		out_text("", json_object_get(setting, "origin"));
		if (json_is_true(json_object_get(setting, "locked")))
			printf(" (locked by policy)");
	}
	printf("\n");
}

static void
print_settings(const json_t *settings, bool origin)
{
	const char *section = "";
	const json_t *setting;
	size_t i;

	json_array_foreach(settings, i, setting)
	{
		const char *s =
			json_string_value(json_object_get(setting, "section"));

		if (s == NULL)
			continue;
		if (strcmp(s, section) != 0)
			printf("%s[%s]\n", i > 0 ? "\n" : "", s);
		section = s;
		print_setting(setting, origin);
	}
}

static enum ctl_exit
run_show(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"origin", no_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	json_t *document = NULL;
	bool origin = false;
	enum ctl_exit r;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'o')
			return CTL_USAGE;
		origin = true;
	}
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	r = ask(IPC_ADMIN_CONFIG, &request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		print_settings(json_object_get(document, "settings"), origin);
	json_decref(document);
	return r;
}

/* The daemon checks settings; it is beside this program, in ../sbin, or in the
 * search path. */
static void
find_daemon(char *dst, size_t size)
{
	static const char *const places[] = {"peerdistd", "../sbin/peerdistd"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		const char *folder;

		self[n] = '\0';
		folder = dirname(self);
		for (size_t i = 0; i < ARRAY_LEN(places); i++) {
			snprintf(dst, size, "%s/%s", folder, places[i]);
			if (access(dst, X_OK) == 0)
				return;
		}
	}
	snprintf(dst, size, "peerdistd");
}

static void __attribute__((noreturn)) exec_check(int out, const char *file)
{
	char path[PATH_MAX + 32];

	find_daemon(path, sizeof(path));
	if (dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
		execlp(path, "peerdistd", "--check-config",
			file != NULL ? "--config" : NULL, file, NULL);
	dprintf(STDERR_FILENO, "peerdistd cannot be run: %s\n",
		strerror(errno));
	_exit(127);
}

static int
read_all(int fd, struct buf *text)
{
	for (;;) {
		uint8_t *p = buf_extend(text, 4096);
		ssize_t n;

		if (p == NULL)
			return buf_error(text);
		n = read(fd, p, 4096);
		text->len -= 4096 - (n > 0 ? (size_t)n : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
	}
}

/* The daemon's exit status, or -errno. */
static int
run_daemon_check(const char *file, struct buf *text)
{
	int pipes[2], status, r;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		exec_check(pipes[1], file);
	close(pipes[1]);
	r = pid < 0 ? -errno : read_all(pipes[0], text);
	close(pipes[0]);
	if (pid < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r != 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

static enum ctl_exit
print_problems(char *text)
{
	json_t *problems = json_array(), *document;
	enum ctl_exit r = CTL_OK;
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
		line = strtok_r(NULL, "\n", &rest)) {
		json_array_append_new(problems, json_string(line));
		if (arg_json)
			continue;
		out_string(line);
		putchar('\n');
	}
	document = json_pack("{s:i, s:o}", "v", 1, "problems", problems);
	if (document == NULL)
		return out_error(CTL_FAILED, "out of memory");
	if (arg_json)
		r = out_json(document);
	if (r == CTL_OK && json_array_size(problems) > 0)
		r = CTL_PROBLEMS;
	json_decref(document);
	return r;
}

static enum ctl_exit
run_check(const struct cmd *c, int argc, char **argv)
{
	enum ctl_exit result;
	struct buf text;
	int r;

	if (argc > 2)
		return cmd_usage(c, "at most one file is checked");
	buf_init(&text, REPORT_MAX);
	r = run_daemon_check(argc == 2 ? argv[1] : NULL, &text);
	buf_u8(&text, 0);
	if (r < 0 || buf_error(&text) != 0)
		result = out_error(CTL_FAILED, "the check failed: %s",
			strerror(r < 0 ? -r : ENOMEM));
	else if (r > 2)
		result = out_error(CTL_FAILED, "%s", (const char *)text.data);
	else
		result = print_problems((char *)text.data);
	if (result == CTL_OK)
		out_note("no problems\n");
	buf_done(&text);
	return result;
}

static enum ctl_exit
run_config(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {
		{"show", run_show}, {"check", run_check}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

static enum ctl_exit
run_reload(const struct cmd *c, int argc, char **argv)
{
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	json_t *document = NULL;
	const json_t *problem;
	enum ctl_exit r;
	size_t i;

	r = cmd_no_arguments(c, argc, argv);
	if (r == CTL_OK)
		r = ask(IPC_ADMIN_RELOAD, &request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	json_array_foreach(json_object_get(document, "problems"), i, problem)
	{
		const char *text = json_string_value(problem);

		if (!arg_json && text != NULL) {
			out_string(text);
			putchar('\n');
		}
	}
	if (!json_is_true(json_object_get(document, "reloaded")))
		r = CTL_FAILED;
	out_note(r == CTL_OK ? "reloaded\n" : "the old settings stay\n");
	json_decref(document);
	return r;
}

const struct cmd cmd_config = {
	.name = "config",
	.args = "show [--origin]|check [FILE]",
	.help = "Settings.\n"
		"  show [--origin]  those in force, and who set them\n"
		"  check [FILE]     reads the settings as they are now in\n"
		"                   /etc/peerdist, or in FILE and what belongs "
		"to\n"
		"                   it, and prints what is wrong; exit status "
		"7\n"
		"                   when something is",
	.run = run_config,
};

const struct cmd cmd_reload = {
	.name = "reload",
	.args = "",
	.help = "Let the service read its settings again (administrators).",
	.run = run_reload,
};

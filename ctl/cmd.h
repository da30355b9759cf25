/* SPDX-License-Identifier: BSD-2-Clause */
/* What a command of peerdistctl is, and what all of them share. */
#ifndef CTL_CMD_H
#define CTL_CMD_H

#include <stdbool.h>

enum ctl_exit {
	CTL_OK,
	CTL_FAILED,
	CTL_USAGE,
	CTL_UNAVAILABLE,
	CTL_PERMISSION,
	CTL_LOCKED,
	CTL_NOT_FOUND,
	CTL_PROBLEMS, /* a check found some */
};

struct cmd {
	const char *name;
	const char *args; /* for the usage line */
	const char *help; /* one line, then details */
	/* argv[0] is the program's name, for getopt's complaints; options are
	 * the command's own business. */
	enum ctl_exit (*run)(const struct cmd *, int argc, char **argv);
};

/* Global options. */
extern const char *arg_socket;
extern bool arg_json, arg_quiet, arg_yes;
extern int arg_timeout_ms;

extern const struct cmd cmd_status;
extern const struct cmd cmd_sessions;
extern const struct cmd cmd_operations;
extern const struct cmd cmd_cancel;
extern const struct cmd cmd_ci;
extern const struct cmd cmd_config;
extern const struct cmd cmd_reload;
extern const struct cmd cmd_cache;
extern const struct cmd cmd_publish;
extern const struct cmd cmd_unpublish;
extern const struct cmd cmd_published;
extern const struct cmd cmd_secret;
extern const struct cmd cmd_mode;
extern const struct cmd cmd_peers;
extern const struct cmd cmd_probe;
extern const struct cmd cmd_explain;

/* "Usage: ..." to stderr with the problem before it. */
enum ctl_exit cmd_usage(const struct cmd *, const char *problem);
/* Handles the options of a command: --help (prints and exits 0) and those of
 * the caller.  The next option's value or -1; '?' has been complained about.
 */
struct option;
int cmd_getopt(const struct cmd *, int argc, char **argv, const char *shorts,
	const struct option *longs);
/* For commands without options and arguments. */
enum ctl_exit cmd_no_arguments(const struct cmd *, int argc, char **argv);

/* A command in several verbs; the last one's name is NULL. */
struct cmd_verb {
	const char *name;
	/* argv[0] as above: verb and command are taken off. */
	enum ctl_exit (*run)(const struct cmd *, int argc, char **argv);
};
enum ctl_exit cmd_run_verb(
	const struct cmd *, const struct cmd_verb *, int argc, char **argv);

#endif

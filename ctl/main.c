/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "common/parse.h"
#include "ctl/cmd.h"
#include "ctl/out.h"
#include "proto/ipc_call.h"

#define TIMEOUT_MAX_S 86400u

const char *arg_socket;
bool arg_json, arg_quiet, arg_yes;
int arg_timeout_ms = 10000;

/* What getopt's complaints begin with. */
static char program[] = "peerdistctl";

static const struct cmd *const commands[] = {
	&cmd_status,
	&cmd_sessions,
	&cmd_operations,
	&cmd_cancel,
	&cmd_ci,
	&cmd_config,
	&cmd_reload,
	&cmd_cache,
	&cmd_publish,
	&cmd_unpublish,
	&cmd_published,
	&cmd_secret,
	&cmd_mode,
	&cmd_peers,
	&cmd_probe,
	&cmd_explain,
};

static void
print_help(FILE *to)
{
	fprintf(to,
		"Usage: peerdistctl [OPTION]... COMMAND ...\n\n"
		"  --socket PATH              control socket of the service\n"
		"  --json                     print one JSON document\n"
		"  -q                         only what was asked for\n"
		"  --color auto|always|never\n"
		"  --yes                      do not ask back\n"
		"  --timeout S                wait at most S seconds (10)\n"
		"  --version, --help\n\n"
		"Commands (each has --help):\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %s%s%s\n      %.*s\n", commands[i]->name,
			commands[i]->args[0] != '\0' ? " " : "",
			commands[i]->args,
			(int)strcspn(commands[i]->help, "\n"),
			commands[i]->help);
}

static enum ctl_exit
usage(const char *problem, const char *what)
{
	fprintf(stderr, "peerdistctl: %s%s\nTry peerdistctl --help.\n", problem,
		what);
	return CTL_USAGE;
}

enum ctl_exit
cmd_usage(const struct cmd *c, const char *problem)
{
	fprintf(stderr, "peerdistctl: %s\nUsage: peerdistctl %s %s\n", problem,
		c->name, c->args);
	return CTL_USAGE;
}

static void
print_cmd_help(const struct cmd *c)
{
	printf("Usage: peerdistctl [OPTION]... %s %s\n%s\n", c->name, c->args,
		c->help);
}

int
cmd_getopt(const struct cmd *c, int argc, char **argv, const char *shorts,
	const struct option *longs)
{
	int option = getopt_long(argc, argv, shorts, longs, NULL);

	if (option == 'h') {
		print_cmd_help(c);
		exit(CTL_OK);
	}
	if (option == '?')
		fprintf(stderr, "Usage: peerdistctl %s %s\n", c->name, c->args);
	return option;
}

enum ctl_exit
cmd_no_arguments(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	return CTL_OK;
}

enum ctl_exit
cmd_run_verb(const struct cmd *c, const struct cmd_verb *verbs, int argc,
	char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	if (cmd_getopt(c, argc, argv, "+", longs) != -1)
		return CTL_USAGE;
	argc -= optind;
	argv += optind;
	optind = 0;
	if (argc == 0)
		return cmd_usage(c, "a verb is needed");
	for (const struct cmd_verb *v = verbs; v->name != NULL; v++)
		if (strcmp(v->name, argv[0]) == 0) {
			argv[0] = program;
			return v->run(c, argc, argv);
		}
	return cmd_usage(c, "unknown verb");
}

static enum ctl_exit
take_color(const char *text)
{
	static const char *const names[] = {"auto", "always", "never"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], text) == 0) {
			out_set_color((enum out_color)i);
			return CTL_OK;
		}
	return usage("unknown color ", text);
}

static enum ctl_exit
take_option(int option)
{
	uint64_t seconds;

	switch (option) {
	case 's':
		if (optarg[0] == '\0')
			return usage("the path of the socket is empty", "");
		arg_socket = optarg;
		return CTL_OK;
	case 'j':
		arg_json = true;
		return CTL_OK;
	case 'q':
		arg_quiet = true;
		return CTL_OK;
	case 'y':
		arg_yes = true;
		return CTL_OK;
	case 'c':
		return take_color(optarg);
	case 't':
		if (parse_u64(optarg, 1, TIMEOUT_MAX_S, &seconds) != 0)
			return usage("not a number of seconds: ", optarg);
		arg_timeout_ms = (int)seconds * 1000;
		return CTL_OK;
	case 'V':
		printf("peerdistctl " PEERDIST_VERSION_STRING "\n");
		exit(CTL_OK);
	case 'h':
		print_help(stdout);
		exit(CTL_OK);
	default:
		return usage("unknown option", "");
	}
}

static enum ctl_exit
parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"color", required_argument, NULL, 'c'},
		{"yes", no_argument, NULL, 'y'},
		{"timeout", required_argument, NULL, 't'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	enum ctl_exit r = CTL_OK;
	int option;

	/* "+": what follows the command is the command's own. */
	while (r == CTL_OK &&
		(option = getopt_long(argc, argv, "+q", longs, NULL)) != -1)
		r = take_option(option);
	return r;
}

static enum ctl_exit
run_command(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i]->name, argv[0]) != 0)
			continue;
		optind = 0;
		argv[0] = program;
		return commands[i]->run(commands[i], argc, argv);
	}
	return usage("unknown command ", argv[0]);
}

int
main(int argc, char **argv)
{
	enum ctl_exit r;

	arg_socket = ipc_socket_path();
	r = parse_options(argc, argv);
	if (r != CTL_OK)
		return r;
	if (optind == argc) {
		print_help(stderr);
		return CTL_USAGE;
	}
	r = run_command(argc - optind, argv + optind);
	if (fflush(stdout) != 0 && r == CTL_OK)
		r = CTL_FAILED;
	return r;
}

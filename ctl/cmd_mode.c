/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom the service works with. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/out.h"
#include "proto/peerdist_errors.h"

static const char *
explain_mode(uint32_t code)
{
	switch (code) {
	case ERROR_INVALID_PARAMETER:
		return "the service does not have this mode";
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return "the mode is set by policy or by an option of the "
		       "service";
	default:
		return NULL;
	}
}

static enum ctl_exit
ask_mode(const Pd__AdminMode *body)
{
	const struct ask_request request = {.type = IPC_ADMIN_MODE,
		.body = &body->base,
		.fd = -1,
		.explain = explain_mode};

	return ask_and_print(&request);
}

static enum ctl_exit
run_get(const struct cmd *c, int argc, char **argv)
{
	Pd__AdminMode body = PD__ADMIN_MODE__INIT;
	enum ctl_exit r = cmd_no_arguments(c, argc, argv);

	body.action = IPC_MODE_GET;
	return r == CTL_OK ? ask_mode(&body) : r;
}

static bool
is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

static enum ctl_exit
run_set(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	static const char *const modes[] = {"local", "distributed"};
	static const char *const later[] = {
		"hosted-client", "hosted-server", "hybrid"};
	Pd__AdminMode body = PD__ADMIN_MODE__INIT;

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return cmd_usage(c, "one mode is needed");
	if (is_one_of(argv[optind], later, ARRAY_LEN(later)))
		return cmd_usage(c, "this mode is not in this release");
	if (!is_one_of(argv[optind], modes, ARRAY_LEN(modes)))
		return cmd_usage(c, "the mode is local or distributed");
	body.action = IPC_MODE_SET;
	body.mode = argv[optind];
	return ask_mode(&body);
}

static enum ctl_exit
run_mode(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {
		{"get", run_get}, {"set", run_set}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

const struct cmd cmd_mode = {
	.name = "mode",
	.args = "get|set MODE",
	.help = "Whom the service works with.\n"
		"  get       the mode, and which file or option sets it\n"
		"  set MODE  another one, kept beyond restarts "
		"(administrators):\n"
		"            local        nobody: only what is cached here\n"
		"            distributed  the hosts of the branch, both ways",
	.run = run_mode,
};

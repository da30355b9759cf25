/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and their pending operations. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "ctl/ask.h"
#include "ctl/out.h"

static enum ctl_exit
print_list(enum ipc_type type, const Pd__AdminRequest *request,
	const char *member, const char *when_empty)
{
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask(type, request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		out_table(json_object_get(document, member), when_empty);
	json_decref(document);
	return r;
}

static enum ctl_exit
run_sessions(const struct cmd *c, int argc, char **argv)
{
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	enum ctl_exit r;

	r = cmd_no_arguments(c, argc, argv);
	if (r != CTL_OK)
		return r;
	return print_list(
		IPC_ADMIN_SESSIONS, &request, "sessions", "no sessions");
}

static enum ctl_exit
run_operations(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"uid", required_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	uint64_t uid;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'u')
			return CTL_USAGE;
		if (parse_u64(optarg, 0, UINT32_MAX - 1, &uid) != 0)
			return cmd_usage(c, "not a user number");
		request.uid = (uint32_t)uid;
		request.has_uid = true;
	}
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	return print_list(IPC_ADMIN_OPERATIONS, &request, "operations",
		"no pending operations");
}

/* SESSION:OPERATION, decimal and hexadecimal, as `operations` prints it. */
static bool
parse_operation_id(const char *text, Pd__AdminRequest *request)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	request->session = strtoull(text, &end, 10);
	if (errno != 0 || *end != ':' || !isxdigit((unsigned char)end[1]))
		return false;
	request->operation = strtoull(end + 1, &end, 16);
	return errno == 0 && *end == '\0';
}

static enum ctl_exit
run_cancel(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	json_t *document = NULL;
	enum ctl_exit r;

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return cmd_usage(c, "one operation is needed");
	if (!parse_operation_id(argv[optind], &request))
		return cmd_usage(c, "an operation is SESSION:OPERATION");
	r = ask(IPC_ADMIN_CANCEL, &request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	out_note("cancelled\n");
	json_decref(document);
	return r;
}

const struct cmd cmd_sessions = {
	.name = "sessions",
	.args = "",
	.help = "Clients of the service: one's own, or all for administrators.",
	.run = run_sessions,
};

const struct cmd cmd_operations = {
	.name = "operations",
	.args = "[--uid U]",
	.help = "Pending operations: one's own, or all for administrators.\n"
		"  --uid U  only those of this user",
	.run = run_operations,
};

const struct cmd cmd_cancel = {
	.name = "cancel",
	.args = "OPID",
	.help = "Cancel a pending operation, as its owner could.\n"
		"  OPID  SESSION:OPERATION as `operations` prints it",
	.run = run_cancel,
};

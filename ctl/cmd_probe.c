/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks the branch who has a segment. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/hex.h"
#include "common/parse.h"
#include "ctl/ask.h"
#include "ctl/out.h"

static const char *
string(const json_t *document, const char *member)
{
	const char *text = json_string_value(json_object_get(document, member));

	return text != NULL ? text : "?";
}

static enum ctl_exit
nobody_can_be_asked(const json_t *document)
{
	char mode[32], status[32];

	out_clean(mode, sizeof(mode), string(document, "mode"));
	out_clean(status, sizeof(status), string(document, "status"));
	if (strcmp(status, "available") != 0)
		return out_error(CTL_FAILED,
			"nobody can be asked: the service is %s", status);
	return out_error(CTL_FAILED,
		"nobody can be asked: the mode is %s; see "
		"`peerdistctl mode set`",
		mode);
}

/* Unless nobody could be asked the exit status says whether somebody has it. */
static enum ctl_exit
report(const json_t *document)
{
	const json_t *peers = json_object_get(document, "peers");
	const char *state = string(document, "state");
	enum ctl_exit r = CTL_OK;

	if (strcmp(state, "off") == 0)
		return nobody_can_be_asked(document);
	if (arg_json)
		r = out_json(document);
	else if (json_array_size(peers) > 0)
		out_table(peers, "");
	else if (json_is_true(json_object_get(document, "asked")))
		out_note("nobody answered\n");
	else
		out_note("nobody answered a moment ago, and is not asked again "
			 "so soon\n");
	if (r == CTL_OK && json_array_size(peers) == 0)
		return CTL_NOT_FOUND;
	return r;
}

static enum ctl_exit
probe(const Pd__AdminProbe *body)
{
	const struct ask_request request = {
		.type = IPC_ADMIN_PROBE, .body = &body->base, .fd = -1};
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask_request(&request, &document);
	if (r == CTL_OK)
		r = report(document);
	json_decref(document);
	return r;
}

static enum ctl_exit
run_probe(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"version", required_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminProbe body = PD__ADMIN_PROBE__INIT;
	uint8_t id[IPC_PROBE_ID_SIZE];
	uint64_t version;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'v')
			return CTL_USAGE;
		if (parse_u64(optarg, 1, 2, &version) != 0)
			return cmd_usage(c, "the version is 1 or 2");
		body.version = (uint32_t)version;
	}
	if (argc - optind != 1)
		return cmd_usage(c, "one segment is needed");
	if (!hex_decode(id, sizeof(id), argv[optind]))
		return cmd_usage(c,
			"a segment is its id, 64 hexadecimal digits, as `ci "
			"show` prints it");
	body.id = (ProtobufCBinaryData){sizeof(id), id};
	return probe(&body);
}

const struct cmd cmd_probe = {
	.name = "probe",
	.args = "SEGMENT [--version 1|2]",
	.help = "Ask the branch who has a segment (administrators).\n"
		"  SEGMENT    its id, 64 hexadecimal digits, as `ci show` "
		"prints it\n"
		"  --version  of its content information: 2 is asked for as "
		"Windows 8\n"
		"             and later do; 1, the default, is understood by "
		"all, and\n"
		"             finds either\n"
		"Prints who answered: how many blocks (version 2: 1, or all), "
		"for how\n"
		"long they are there, and after which time.  Exit status 6: "
		"nobody.",
	.run = run_probe,
};

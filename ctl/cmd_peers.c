/* SPDX-License-Identifier: BSD-2-Clause */
/* Other hosts that blocks come from. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "ctl/ask.h"
#include "ctl/out.h"

static enum ctl_exit
ask_peers(uint32_t action, char *address, json_t **ret_document)
{
	Pd__AdminPeers body = PD__ADMIN_PEERS__INIT;
	const struct ask_request request = {
		.type = IPC_ADMIN_PEERS, .body = &body.base, .fd = -1};

	body.action = action;
	body.address = address;
	return ask_request(&request, ret_document);
}

/* As people read it: none is "-". */
static void
print_peers(const json_t *peers)
{
	json_t *peer;
	size_t i;

	json_array_foreach(peers, i, peer)
	{
		if (json_integer_value(
			    json_object_get(peer, "quarantine_ms")) == 0)
			(void)json_object_set_new(
				peer, "quarantine_ms", json_null());
	}
	out_table(peers, "no peers are known");
}

static enum ctl_exit
run_ls(const struct cmd *c, int argc, char **argv)
{
	json_t *document = NULL;
	enum ctl_exit r = cmd_no_arguments(c, argc, argv);

	if (r == CTL_OK)
		r = ask_peers(IPC_PEERS_LIST, (char *)"", &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		print_peers(json_object_get(document, "peers"));
	json_decref(document);
	return r;
}

/* The address with its port, 0 when none is given. */
static bool
normalize(char dst[PARSE_ADDR_TEXT], const char *text)
{
	size_t len = strlen(text);
	struct parse_addr addr;
	char with_port[PARSE_ADDR_TEXT];

	if (parse_addr_port(text, &addr) != 0) {
		if (len + sizeof("[]:0") > sizeof(with_port))
			return false;
		snprintf(with_port, sizeof(with_port),
			strchr(text, ':') != NULL && text[0] != '[' ? "[%s]:0"
								    : "%s:0",
			text);
		if (parse_addr_port(with_port, &addr) != 0)
			return false;
	}
	parse_addr_format(dst, &addr);
	return true;
}

static enum ctl_exit
run_forgive(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	char address[PARSE_ADDR_TEXT];
	json_t *document = NULL;
	enum ctl_exit r;

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return cmd_usage(c, "one address is needed");
	if (!normalize(address, argv[optind]))
		return cmd_usage(c,
			"an address is 192.0.2.1, 2001:db8::1, or one with "
			"its port: 192.0.2.1:80, [2001:db8::1]:80");
	r = ask_peers(IPC_PEERS_FORGIVE, address, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	out_note("forgiven\n");
	json_decref(document);
	return r;
}

static enum ctl_exit
run_peers(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {
		{"ls", run_ls}, {"forgive", run_forgive}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

const struct cmd cmd_peers = {
	.name = "peers",
	.args = "ls|forgive ADDRESS",
	.help = "Other hosts that blocks come from.\n"
		"  ls       those known, fixed (from the settings) or found, "
		"and how\n"
		"           they behaved\n"
		"  forgive ADDRESS\n"
		"           forget strikes and quarantine of a host "
		"(administrators),\n"
		"           whatever its port, if none is given: 192.0.2.1,\n"
		"           [2001:db8::1]:80",
	.run = run_peers,
};

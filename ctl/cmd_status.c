/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>

#include "common/macros.h"
#include "ctl/ask.h"
#include "ctl/caches.h"
#include "ctl/out.h"

/* What did not have to come from far away. */
static void
print_savings(const json_t *document)
{
	static const struct {
		const char *title, *counter;
	} rows[] = {{"read from the cache", "bytes_read_local"},
		{"fetched from peers", "peer_bytes"}};

	printf("savings     ");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		printf("%s%s ", i > 0 ? ", " : "", rows[i].title);
		out_text("bytes",
			json_object_get(json_object_get(document, "counters"),
				rows[i].counter));
	}
	printf("\n");
}

static void
print_status(json_t *document, bool all)
{
	/* The caches have their bars. */
	static const char *const details[] = {
		"counters", "peers", "store", "hash"};
	json_t *shown = json_copy(document);

	for (size_t i = 0; !all && i < ARRAY_LEN(details); i++)
		json_object_del(shown, details[i]);
	out_object(shown);
	json_decref(shown);
	printf("\n");
	caches_print_bars(document);
	print_savings(document);
}

static enum ctl_exit
run_status(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {{"all", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminRequest request = PD__ADMIN_REQUEST__INIT;
	json_t *document = NULL;
	enum ctl_exit r;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'a')
			return CTL_USAGE;
		request.all = true;
	}
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	r = ask(IPC_ADMIN_STATUS, &request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		print_status(document, request.all);
	json_decref(document);
	return r;
}

const struct cmd cmd_status = {
	.name = "status",
	.args = "[--all]",
	.help = "Mode, versions, listeners and caches of the service.\n"
		"  --all  peers and all counters, too",
	.run = run_status,
};

/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <inttypes.h>
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

static uint64_t
number(const json_t *object, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(object, member));
}

/* What others got from here. */
static void
print_uploads(const json_t *document)
{
	const json_t *uploads = json_object_get(document, "uploads");
	char bytes[32];

	if (uploads == NULL)
		return;
	out_format_bytes(bytes, sizeof(bytes), number(uploads, "bytes"));
	printf("uploads     %" PRIu64 " of %" PRIu64 " running, %" PRIu64
	       " given up, %s sent\n",
		number(uploads, "running"), number(uploads, "max"),
		number(uploads, "given_up"), bytes);
}

/* In short: what never happened is not worth a line. */
static void
shorten(json_t *shown)
{
	/* The caches have their bars, uploads their line. */
	static const char *const details[] = {
		"counters", "peers", "store", "hash", "uploads", "server"};
	json_t *discovery = json_deep_copy(json_object_get(shown, "discovery"));
	const char *member;
	json_t *value;
	void *next;

	for (size_t i = 0; i < ARRAY_LEN(details); i++)
		json_object_del(shown, details[i]);
	json_object_foreach_safe(discovery, next, member, value)
	{
		if (json_is_integer(value) && json_integer_value(value) == 0)
			json_object_del(discovery, member);
	}
	if (discovery != NULL)
		(void)json_object_set_new(shown, "discovery", discovery);
}

static void
print_status(json_t *document, bool all)
{
	json_t *shown = json_copy(document);

	if (!all)
		shorten(shown);
	out_object(shown);
	json_decref(shown);
	printf("\n");
	caches_print_bars(document);
	print_savings(document);
	print_uploads(document);
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
	.help = "Mode, versions, listeners, discovery, caches and uploads of "
		"the service.\n"
		"  --all  peers and all counters, too",
	.run = run_status,
};

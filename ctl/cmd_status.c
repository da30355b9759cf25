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

/* What never happened. */
static void
drop_zeros(json_t *shown, const char *name)
{
	json_t *kept = json_deep_copy(json_object_get(shown, name));
	const char *member;
	json_t *value;
	void *next;

	json_object_foreach_safe(kept, next, member, value)
	{
		if (json_is_integer(value) && json_integer_value(value) == 0)
			json_object_del(kept, member);
	}
	if (json_object_size(kept) > 0)
		(void)json_object_set(shown, name, kept);
	else
		(void)json_object_del(shown, name);
	json_decref(kept);
}

/* In short: what never happened is not worth a line. */
static void
shorten(json_t *shown)
{
	/* The caches have their bars, uploads their line. */
	static const char *const details[] = {"counters", "peers", "store",
		"hash", "uploads", "server", "web_server"};

	for (size_t i = 0; i < ARRAY_LEN(details); i++)
		json_object_del(shown, details[i]);
	drop_zeros(shown, "discovery");
	drop_zeros(shown, "web");
}

/* There are two servers with counters of the same names. */
static void
name_web_server(json_t *shown)
{
	json_t *web = json_deep_copy(json_object_get(shown, "web"));
	json_t *server = json_object_get(web, "server");

	if (server != NULL &&
		json_object_set(shown, "web_server", server) == 0 &&
		json_object_del(web, "server") == 0)
		(void)json_object_set(shown, "web", web);
	json_decref(web);
}

static void
print_status(json_t *document, bool all)
{
	json_t *shown = json_copy(document);

	name_web_server(shown);
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

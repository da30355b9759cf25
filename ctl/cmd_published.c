/* SPDX-License-Identifier: BSD-2-Clause */
/* Standing publications: looked at, and taken back. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/macros.h"
#include "common/parse.h"
#include "ctl/out.h"
#include "ctl/pages.h"

#define ROWS "publications"

struct published {
	struct pages pages;
	Pd__AdminPublished body;
};

static struct ask_request
request_of(const Pd__AdminPublished *body)
{
	return (struct ask_request){
		.type = IPC_ADMIN_PUBLISHED, .body = &body->base, .fd = -1};
}

static uint64_t
number(const json_t *row, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(row, member));
}

/* What people want to know of one, in one line; times become ages. */
static void
print_publication(const json_t *row)
{
	uint64_t now = (uint64_t)time(NULL);
	uint64_t since = number(row, "published");
	const char *path = json_string_value(json_object_get(row, "path"));
	char bytes[32], age[32];

	out_format_bytes(bytes, sizeof(bytes), number(row, "size"));
	out_format_ms(age, sizeof(age), (now - MIN_OF(now, since)) * 1000);
	printf("%6" PRIu64 "  %6" PRIu64 "  %10s  ", number(row, "id"),
		number(row, "uid"), bytes);
	out_padded(json_string_value(json_object_get(row, "versions")), 8);
	printf("  %-7s  %9s  ",
		json_is_true(json_object_get(row, "watched")) ? "yes" : "no",
		age);
	out_string(path != NULL ? path : "-");
	printf("\n");
}

static bool
next_publications(struct pages *p, const json_t *document)
{
	struct published *l = container_of(p, struct published, pages);
	uint64_t before = l->body.after;

	l->body.after = number(document, "after");
	return l->body.after > before;
}

/* Asks from the first one on.  Not to be moved afterwards. */
static void
published_init(struct published *l)
{
	*l = (struct published){
		.pages = {.member = ROWS,
			.heading = "    id     uid        size  versions  "
				   "watched        age  path",
			.when_empty = "nothing is published",
			.print_row = print_publication,
			.next = next_publications},
		.body = PD__ADMIN_PUBLISHED__INIT,
	};
	l->body.action = IPC_PUBLISHED_LIST;
	l->body.limit = PAGE_ROWS;
	l->pages.request = request_of(&l->body);
}

static enum ctl_exit
run_ls(const struct cmd *c, int argc, char **argv)
{
	struct published l;
	enum ctl_exit r = cmd_no_arguments(c, argc, argv);

	if (r != CTL_OK)
		return r;
	published_init(&l);
	return pages_print(&l.pages);
}

/* A command about one publication, by its id. */
static enum ctl_exit
ask_about(const struct cmd *c, int argc, char **argv, uint32_t action,
	json_t **ret_document)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminPublished body = PD__ADMIN_PUBLISHED__INIT;
	struct ask_request request = request_of(&body);

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return cmd_usage(c, "the id of a publication is needed");
	if (parse_u64(argv[optind], 1, UINT64_MAX, &body.publication) != 0)
		return cmd_usage(
			c, "not an id; `published ls` shows those there are");
	body.action = action;
	return ask_request(&request, ret_document);
}

/* As people read it. */
static void
put_time(json_t *document)
{
	time_t t = (time_t)number(document, "published");
	char text[64];
	struct tm tm;

	if (localtime_r(&t, &tm) != NULL &&
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm) > 0)
		(void)json_object_set_new(
			document, "published", json_string(text));
}

static enum ctl_exit
run_show(const struct cmd *c, int argc, char **argv)
{
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask_about(c, argc, argv, IPC_PUBLISHED_SHOW, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json) {
		r = out_json(document);
	} else {
		put_time(document);
		out_object(document);
	}
	json_decref(document);
	return r;
}

static enum ctl_exit
run_published(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {
		{"ls", run_ls}, {"show", run_show}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

static enum ctl_exit
run_unpublish(const struct cmd *c, int argc, char **argv)
{
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask_about(c, argc, argv, IPC_PUBLISHED_REMOVE, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	out_note("unpublished\n");
	json_decref(document);
	return r;
}

const struct cmd cmd_published = {
	.name = "published",
	.args = "ls|show ID",
	.help = "Files that stay published: one's own, or all for "
		"administrators.\n"
		"  ls       all of them\n"
		"  show ID  one of them; never its hashes",
	.run = run_published,
};

const struct cmd cmd_unpublish = {
	.name = "unpublish",
	.args = "ID",
	.help = "Take a publication back.\n"
		"  ID  as `published ls` prints it",
	.run = run_unpublish,
};

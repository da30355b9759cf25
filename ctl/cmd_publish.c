/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/macros.h"
#include "ctl/out.h"
#include "ctl/publish.h"

#define PATH_TEXT 900 /* what an error has room for */

enum { VERSION_1 = 1, VERSION_2 = 2 };

struct report {
	struct walk walk;
	struct publish publish;
	uint64_t n_published;
	uint64_t n_failed;
	uint64_t bytes;
	json_t *failed;    /* of the document */
	json_t *published; /* of the document */
	uint64_t n_unwatched;
	const char *unwatched; /* the first one */
};

/* JSON must be UTF-8, paths need not. */
static json_t *
path_text(const char *path)
{
	json_t *text = json_string(path);

	return text != NULL ? text : json_string("?");
}

static void
report_failed(struct report *r, const char *path, const char *why)
{
	char clean[PATH_TEXT];

	r->n_failed++;
	json_array_append_new(r->failed,
		json_pack(
			"{s:o, s:s}", "path", path_text(path), "message", why));
	if (arg_json)
		return;
	out_clean(clean, sizeof(clean), path);
	(void)out_error(CTL_FAILED, "%s: %s", clean, why);
}

static void
on_problem(struct walk *w, const char *path, const char *why)
{
	report_failed(container_of(w, struct report, walk), path, why);
}

static void
on_failed(struct publish *p, const struct walk_file *f, const char *why)
{
	report_failed(container_of(p, struct report, publish), f->path, why);
}

static void
on_published(
	struct publish *p, const struct walk_file *f, uint64_t id, bool watched)
{
	struct report *r = container_of(p, struct report, publish);

	r->n_published++;
	r->bytes += f->size;
	if (!watched && r->n_unwatched++ == 0)
		r->unwatched = f->path;
	if (!arg_json) {
		printf("%" PRIu64 "  ", id);
		out_string(f->path);
		printf("\n");
		return;
	}
	json_array_append_new(r->published,
		json_pack("{s:I, s:o, s:I, s:I, s:b}", "id", (json_int_t)id,
			"path", path_text(f->path), "uid",
			(json_int_t)geteuid(), "size", (json_int_t)f->size,
			"watched", watched));
}

static void
print_report(const struct report *r)
{
	char bytes[32];

	out_format_bytes(bytes, sizeof(bytes), r->bytes);
	out_note("published %" PRIu64 " %s, %s", r->n_published,
		r->n_published == 1 ? "file" : "files", bytes);
	if (r->walk.skipped > 0)
		out_note("; skipped %" PRIu64 " that are empty or not regular",
			r->walk.skipped);
	out_note("\n");
}

static enum ctl_exit
print_json(const struct report *r)
{
	json_t *document = json_pack("{s:i, s:O, s:O, s:I}", "v", 1,
		"published", r->published, "failed", r->failed, "skipped",
		(json_int_t)r->walk.skipped);
	enum ctl_exit result;

	if (document == NULL)
		return out_error(CTL_FAILED, "out of memory");
	result = out_json(document);
	json_decref(document);
	return result;
}

static void
warn_unwatched(const struct report *r)
{
	char more[48] = "", clean[PATH_TEXT];

	if (r->n_unwatched == 0)
		return;
	if (r->n_unwatched > 1)
		snprintf(more, sizeof(more), " and %" PRIu64 " more",
			r->n_unwatched - 1);
	out_clean(clean, sizeof(clean), r->unwatched);
	out_warn("%s%s: the service cannot see this path, so it will not "
		 "notice when the file changes: publish it again then",
		clean, more);
}

static enum ctl_exit
finish(struct report *r)
{
	enum ctl_exit result = CTL_OK;

	if (arg_json)
		result = print_json(r);
	else
		print_report(r);
	warn_unwatched(r);
	return result == CTL_OK && r->n_failed > 0 ? CTL_FAILED : result;
}

static enum ctl_exit
collect(struct report *r, int n, char **paths, bool recurse)
{
	for (int i = 0; i < n; i++)
		if (walk_add(&r->walk, paths[i], recurse) != 0)
			return out_error(CTL_FAILED, "out of memory");
	walk_sort(&r->walk);
	return CTL_OK;
}

static enum ctl_exit
publish(int n, char **paths, bool recurse, uint32_t versions)
{
	struct report r = {
		.walk = {.problem = on_problem},
		.publish = {.versions = versions,
			.published = on_published,
			.failed = on_failed},
		.failed = json_array(),
		.published = json_array(),
	};
	enum ctl_exit result;

	r.publish.walk = &r.walk;
	result = collect(&r, n, paths, recurse);
	if (result == CTL_OK)
		result = publish_run(&r.publish);
	if (result == CTL_OK)
		result = finish(&r);
	walk_done(&r.walk);
	json_decref(r.failed);
	json_decref(r.published);
	return result;
}

static bool
parse_versions(const char *text, uint32_t *ret_versions)
{
	static const struct {
		const char *text;
		uint32_t versions;
	} rows[] = {{"1", VERSION_1}, {"2", VERSION_2},
		{"both", VERSION_1 | VERSION_2}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].text, text) == 0) {
			*ret_versions = rows[i].versions;
			return true;
		}
	return false;
}

static enum ctl_exit
run_publish(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"recursive", no_argument, NULL, 'r'},
		{"version", required_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	uint32_t versions = VERSION_1 | VERSION_2;
	bool recurse = false;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "r", longs)) != -1) {
		if (option == 'r')
			recurse = true;
		else if (option != 'v')
			return CTL_USAGE;
		else if (!parse_versions(optarg, &versions))
			return cmd_usage(c, "the version is 1, 2 or both");
	}
	if (optind == argc)
		return cmd_usage(c, "a path is needed");
	return publish(argc - optind, argv + optind, recurse, versions);
}

const struct cmd cmd_publish = {
	.name = "publish",
	.args = "PATH... [-r] [--version V]",
	.help = "Publish files until they change or are taken back.\n"
		"  PATH               a regular file, at least two seconds "
		"old\n"
		"  -r                 also what is in folders, and in those "
		"in\n"
		"                     them; links are not followed\n"
		"  --version 1|2|both which content information can be made of "
		"it\n"
		"                     (both)\n"
		"Prints the id of each publication.",
	.run = run_publish,
};

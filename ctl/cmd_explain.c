/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why content came, or did not come, from the branch.  The content information
 * stays here, since it is as good as the content; the service is asked about
 * the ids of its segments only.
 */
#include <getopt.h>
#include <string.h>

#include "common/macros.h"
#include "ctl/explain_table.h"
#include "ctl/explain_url.h"
#include "ctl/info_file.h"
#include "ctl/out.h"

static enum ctl_exit
explain(const struct pccrc_info *info, struct bulk *bulk)
{
	json_t *document;
	enum ctl_exit r;

	if (!arg_json)
		return explain_table(info, bulk, NULL);
	document = json_pack("{s:i}", "v", 1);
	if (document == NULL)
		return out_error(CTL_FAILED, "out of memory");
	r = explain_table(info, bulk, document);
	if (r == CTL_OK)
		r = out_json(document);
	json_decref(document);
	return r;
}

static enum ctl_exit
explain_file(const char *file)
{
	static const char hint[] =
		"a file is wanted as `peerdistctl ci make` writes it, or a "
		"program that got it from its server, not the content itself";
	struct bulk *bulk = bulk_new(BULK_EVP);
	struct pccrc_info *info = NULL;
	enum ctl_exit r;

	if (bulk == NULL)
		return out_error(CTL_FAILED, "out of memory");
	r = info_file_read(file, hint, bulk, &info);
	if (r == CTL_OK)
		r = explain(info, bulk);
	pccrc_info_unref(info);
	bulk_free(bulk);
	return r;
}

static enum ctl_exit
run_explain(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 1)
		return cmd_usage(c, "one file or URL is needed");
	if (strstr(argv[optind], "://") != NULL)
		return explain_url(argv[optind]);
	return explain_file(argv[optind]);
}

const struct cmd cmd_explain = {
	.name = "explain",
	.args = "FILE|URL",
	.help = "Where content came from, or why it did not come from the "
		"branch.\n"
		"  FILE  content information, as `ci make` writes it or a "
		"program\n"
		"        gets it from a server; it is not sent to the service\n"
		"  URL   of the content, http or https: its server is asked as "
		"a client\n"
		"        asks, told is whether it encodes for the branch and, "
		"if not,\n"
		"        why; what it encodes is looked for as with FILE.  The "
		"content\n"
		"        is not fetched\n"
		"For each segment: its place, length, id, how many of its "
		"blocks are\n"
		"here and can be passed on, and where from: peers, "
		"applications on this\n"
		"host, or earlier (before the service started, or longer ago "
		"than it\n"
		"remembers).  For what is missing: why, and what can be done.\n"
		"Exit status 7: something about the URL keeps its content from "
		"the branch.",
	.run = run_explain,
};

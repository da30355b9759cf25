/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/hex.h"
#include "common/macros.h"
#include "common/parse.h"
#include "ctl/ask.h"
#include "ctl/caches.h"
#include "ctl/out.h"
#include "ctl/pages.h"
#include "ctl/progress.h"
#include "proto/peerdist_errors.h"

#define ID_MAX        64u
#define SIZE_TEXT_MAX 64u

static struct ask_request
request_of(const Pd__AdminCache *body)
{
	return (struct ask_request){
		.type = IPC_ADMIN_CACHE, .body = &body->base, .fd = -1};
}

static enum ctl_exit
run_show(const struct cmd *c, int argc, char **argv)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	struct ask_request request = request_of(&body);
	json_t *document = NULL;
	enum ctl_exit r;

	r = cmd_no_arguments(c, argc, argv);
	if (r != CTL_OK)
		return r;
	body.action = IPC_CACHE_SHOW;
	r = ask_request(&request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	else
		caches_print(document);
	json_decref(document);
	return r;
}

/* List. */

struct listing {
	struct pages pages;
	Pd__AdminCache body;
	uint8_t after[ID_MAX];
};

static uint64_t
number(const json_t *row, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(row, member));
}

static void
print_segment(const json_t *row)
{
	uint64_t now = (uint64_t)time(NULL), born = number(row, "born");
	char bytes[32], age[32];

	out_format_bytes(bytes, sizeof(bytes), number(row, "bytes"));
	out_format_ms(age, sizeof(age), (now - MIN_OF(now, born)) * 1000);
	printf("%6" PRIu64 "  %10s  ", number(row, "blocks"), bytes);
	out_padded(json_string_value(json_object_get(row, "kind")), 8);
	printf("  %9s  ", age);
	if (json_object_get(row, "owners") != NULL)
		printf("%6" PRIu64 "  ", number(row, "owners"));
	else
		printf("%6s  ", "-");
	out_string(json_string_value(json_object_get(row, "id")));
	printf("\n");
}

static bool
next_segments(struct pages *p, const json_t *document)
{
	struct listing *l = container_of(p, struct listing, pages);
	const char *after =
		json_string_value(json_object_get(document, "after"));
	size_t len = after != NULL ? strlen(after) / 2 : 0;

	if (len == 0 || len > ID_MAX || !hex_decode(l->after, len, after))
		return false;
	l->body.after = (ProtobufCBinaryData){len, l->after};
	return true;
}

static enum ctl_exit
run_ls(const struct cmd *c, int argc, char **argv)
{
	struct listing l = {
		.pages = {.member = "segments",
			.heading = "blocks       bytes  kind            age"
				   "  owners  segment",
			.when_empty = "nothing is cached",
			.print_row = print_segment,
			.next = next_segments},
		.body = PD__ADMIN_CACHE__INIT,
	};
	enum ctl_exit r = cmd_no_arguments(c, argc, argv);

	if (r != CTL_OK)
		return r;
	l.body.action = IPC_CACHE_LIST;
	l.body.limit = PAGE_ROWS;
	l.pages.request = request_of(&l.body);
	return pages_print(&l.pages);
}

/* Flush. */

static bool
confirmed(void)
{
	char answer[8];

	fprintf(stderr, "Remove what everybody has cached? [y/N] ");
	return fgets(answer, sizeof(answer), stdin) != NULL &&
		(strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
}

static enum ctl_exit
may_flush_all(const struct cmd *c)
{
	if (arg_yes)
		return CTL_OK;
	if (arg_json || !isatty(STDIN_FILENO))
		return cmd_usage(c, "removing everything needs --yes");
	return confirmed() ? CTL_OK : out_error(CTL_FAILED, "nothing was done");
}

static enum ctl_exit
flush(const Pd__AdminCache *body)
{
	struct ask_request request = request_of(body);
	json_t *document = NULL;
	enum ctl_exit r;

	r = ask_request(&request, &document);
	if (r != CTL_OK)
		return r;
	if (arg_json)
		r = out_json(document);
	out_note("flushed\n");
	json_decref(document);
	return r;
}

static enum ctl_exit
run_flush(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"content", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	enum ctl_exit r = CTL_OK;
	uint8_t tag[IPC_TAG_SIZE];
	int option;

	body.action = IPC_CACHE_FLUSH;
	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'c')
			return CTL_USAGE;
		if (strlen(optarg) != sizeof(tag) * 2 ||
			!hex_decode(tag, sizeof(tag), optarg))
			return cmd_usage(c, "a tag is 32 hexadecimal digits");
		body.tag = (ProtobufCBinaryData){sizeof(tag), tag};
	}
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	if (body.tag.len == 0)
		r = may_flush_all(c);
	return r == CTL_OK ? flush(&body) : r;
}

/* Verify. */

static const char *
explain_verify(uint32_t code)
{
	return code == ERROR_IO_DEVICE
		? "another check is running, or the service's disk fails"
		: NULL;
}

static void
verify_progress(uint64_t done, uint64_t total, void *ctx)
{
	progress_show(ctx, done, total);
}

static void
print_verified(const json_t *document, uint64_t problems)
{
	bool repaired = json_is_true(json_object_get(document, "repaired"));
	char bytes[32];

	out_format_bytes(bytes, sizeof(bytes), number(document, "bytes"));
	out_note("%" PRIu64 " blocks, %s\n", number(document, "blocks"), bytes);
	if (problems == 0) {
		out_note("no problems\n");
		return;
	}
	printf("damaged blocks        %" PRIu64 "\n"
	       "entries without block %" PRIu64 "\n"
	       "damaged volumes       %" PRIu64 "\n",
		number(document, "rotten"), number(document, "dangling"),
		number(document, "damaged_volumes"));
	out_note(repaired ? "what was damaged is removed\n"
			  : "--repair removes what is damaged\n");
}

static enum ctl_exit
report_verified(const json_t *document)
{
	uint64_t problems = number(document, "rotten") +
		number(document, "dangling") +
		number(document, "damaged_volumes");
	enum ctl_exit r = CTL_OK;

	if (arg_json)
		r = out_json(document);
	else
		print_verified(document, problems);
	return r == CTL_OK && problems > 0 ? CTL_PROBLEMS : r;
}

static enum ctl_exit
verify(bool repair)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	struct ask_request request = request_of(&body);
	json_t *document = NULL;
	struct progress bar;
	enum ctl_exit r;

	body.action = IPC_CACHE_VERIFY;
	body.repair = repair;
	request.progress = verify_progress;
	request.ctx = &bar;
	request.explain = explain_verify;
	progress_begin(&bar, "checking");
	r = ask_request(&request, &document);
	progress_clear(&bar);
	if (r == CTL_OK)
		r = report_verified(document);
	json_decref(document);
	return r;
}

static enum ctl_exit
run_verify(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"repair", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	bool repair = false;
	int option;

	while ((option = cmd_getopt(c, argc, argv, "", longs)) != -1) {
		if (option != 'r')
			return CTL_USAGE;
		repair = true;
	}
	if (optind < argc)
		return cmd_usage(c, "unexpected argument");
	return verify(repair);
}

/* Size. */

/* Whether the service can make anything of it; how much is its decision. */
static bool
is_size(const char *text)
{
	size_t len = strlen(text);
	char digits[8] = "";
	uint64_t v;

	if (len == 0 || text[len - 1] != '%')
		return parse_size(text, &v) == 0;
	if (len > sizeof(digits))
		return false;
	memcpy(digits, text, len - 1);
	return parse_u64(digits, 1, 100, &v) == 0;
}

static const char *
explain_set_size(uint32_t code)
{
	switch (code) {
	case ERROR_INVALID_PARAMETER:
		return "the size is out of range: at least 1M";
	case ERROR_ACCESS_DISABLED_BY_POLICY:
		return "this size is set by policy or by an option of the "
		       "service";
	default:
		return NULL;
	}
}

static enum ctl_exit
set_size(const Pd__AdminCache *body)
{
	struct ask_request request = request_of(body);

	request.explain = explain_set_size;
	return ask_and_print(&request);
}

static enum ctl_exit
run_set_size(const struct cmd *c, int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;

	if (cmd_getopt(c, argc, argv, "", longs) != -1)
		return CTL_USAGE;
	if (argc - optind != 2)
		return cmd_usage(c, "a cache and its new size are needed");
	if (strcmp(argv[optind], "data") == 0)
		body.cache = IPC_CACHE_DATA;
	else if (strcmp(argv[optind], "hash") == 0)
		body.cache = IPC_CACHE_HASH;
	else
		return cmd_usage(c, "the cache is data or hash");
	body.action = IPC_CACHE_SET_SIZE;
	body.size = argv[optind + 1];
	if (strlen(body.size) > SIZE_TEXT_MAX || !is_size(body.size))
		return cmd_usage(c,
			"a size is bytes, perhaps with K, M, G or T, or a part "
			"of the disk, 1% to 100%");
	return set_size(&body);
}

static enum ctl_exit
run_cache(const struct cmd *c, int argc, char **argv)
{
	static const struct cmd_verb verbs[] = {{"show", run_show},
		{"ls", run_ls}, {"flush", run_flush}, {"verify", run_verify},
		{"set-size", run_set_size}, {NULL, NULL}};

	return cmd_run_verb(c, verbs, argc, argv);
}

const struct cmd cmd_cache = {
	.name = "cache",
	.args = "show|ls|flush|verify|set-size",
	.help = "The data cache and the hash cache.\n"
		"  show             how full and how well they are\n"
		"  ls               the cached segments: one's own, or all "
		"for\n"
		"                   administrators\n"
		"  flush --content TAG\n"
		"                   remove what one has cached under this tag\n"
		"                   (32 hexadecimal digits)\n"
		"  flush            remove everything (administrators)\n"
		"  verify [--repair]\n"
		"                   read everything and compare it with its\n"
		"                   checksums (administrators); exit status 7\n"
		"                   when something is damaged; --repair\n"
		"                   removes that\n"
		"  set-size data|hash SIZE\n"
		"                   a new size, kept beyond restarts: bytes,\n"
		"                   with K, M, G or T, or a part of the disk\n"
		"                   with % (administrators)",
	.run = run_cache,
};

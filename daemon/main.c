/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/conf.h"
#include "daemon/log.h"
#include "daemon/manager.h"

#define SETS_MAX 256

static struct conf_sources arg_sources = {.file = CONF_FILE_DEFAULT};
static const char *arg_sets[SETS_MAX];
static bool arg_check, arg_dump;

static void
print_help(void)
{
	printf("Usage: peerdistd [OPTION]...\n"
	       "The peer distribution service, in the foreground.\n\n"
	       "  --config FILE              settings (" CONF_FILE_DEFAULT
	       ");\n"
	       "                             drop-ins FILE.d/*.conf, policy "
	       "in\n"
	       "                             policy.d/*.conf beside it\n"
	       "  --set Section.Key=VALUE    one setting, over the files and "
	       "under policy\n"
	       "  --log-level LEVEL          error, warning, notice, info, "
	       "debug\n"
	       "  --check-config             print what is wrong with the "
	       "settings and exit\n"
	       "  --dump-config              print the settings and exit\n"
	       "  --version, --help\n");
}

static int
usage(const char *problem, const char *what)
{
	fprintf(stderr, "peerdistd: %s%s\nTry peerdistd --help.\n", problem,
		what);
	return 2;
}

/* Memory lives as long as the options, to the end. */
static int
add_set(const char *prefix, const char *text)
{
	char *set;

	if (arg_sources.n_sets == SETS_MAX)
		return usage("too many --set", "");
	if (asprintf(&set, "%s%s", prefix, text) < 0)
		return usage("out of memory", "");
	arg_sets[arg_sources.n_sets++] = set;
	arg_sources.sets = arg_sets;
	return 0;
}

static int
take_option(int option)
{
	switch (option) {
	case 'c':
		arg_sources.file = optarg;
		arg_sources.file_needed = true;
		return 0;
	case 's':
		return add_set("", optarg);
	case 'l':
		if (log_level_from_name(optarg) < 0)
			return usage("unknown log level ", optarg);
		return add_set("Log.Level=", optarg);
	case 'k':
		arg_check = true;
		return 0;
	case 'd':
		arg_dump = true;
		return 0;
	case 'V':
		printf("peerdistd " PEERDIST_VERSION_STRING "\n");
		exit(0);
	case 'h':
		print_help();
		exit(0);
	default:
		fprintf(stderr, "Try peerdistd --help.\n");
		return 2;
	}
}

static int
parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"set", required_argument, NULL, 's'},
		{"log-level", required_argument, NULL, 'l'},
		{"check-config", no_argument, NULL, 'k'},
		{"dump-config", no_argument, NULL, 'd'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option, r = 0;

	while (r == 0 &&
		(option = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = take_option(option);
	if (r == 0 && optind < argc)
		return usage("unexpected argument ", argv[optind]);
	return r;
}

static void
print_problem(void *ctx, const char *origin, const char *text)
{
	size_t *n = ctx;

	fprintf(arg_check ? stdout : stderr, "%s: %s\n", origin, text);
	(*n)++;
}

static int
print_settings(const struct conf *c)
{
	struct buf out;
	int r;

	buf_init(&out, 1024u * 1024u);
	conf_dump(c, &out);
	r = buf_error(&out) == 0 &&
			fwrite(out.data, 1, out.len, stdout) == out.len &&
			fflush(stdout) == 0
		? 0
		: 1;
	buf_done(&out);
	return r;
}

/* --check-config and --dump-config: nothing is started. */
static int
only_settings(void)
{
	struct conf *c = NULL;
	size_t problems = 0;
	int r;

	r = conf_load(&c, &arg_sources, print_problem, &problems);
	if (r != 0)
		return 2;
	r = arg_dump ? print_settings(c) : 0;
	conf_free(c);
	return r != 0 || (arg_check && problems > 0) ? 1 : 0;
}

int
main(int argc, char **argv)
{
	int r = parse_options(argc, argv);

	if (r != 0)
		return r;
	if (arg_check || arg_dump)
		return only_settings();
	log_open();
	return manager_run(&arg_sources);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* peerdist-get: options and signals. */
#include <curl/curl.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/parse.h"
#include "get/get.h"

#define WAIT_US (40 * US_PER_S)

static volatile sig_atomic_t stop;
static int stop_fd = -1;

/* The second signal ends the program at once. */
static void
on_signal(int number)
{
	uint64_t one = 1;

	stop = number;
	(void)!write(stop_fd, &one, sizeof(one));
}

static void
print_help(FILE *to)
{
	fprintf(to,
		"Usage: peerdist-get [OPTION]... URL\n\n"
		"Downloads a file, from the branch as far as it is there.\n\n"
		"  -o, --output FILE  where to (the name in the URL); - is "
		"standard output\n"
		"      --no-peers     only the local cache and the origin\n"
		"      --continue     goes on with what an earlier run left\n"
		"      --wait TIME    wait so long for the server to describe "
		"the file (40s)\n"
		"      --json         print one JSON document\n"
		"      --quiet        only errors\n"
		"      --version, --help\n\n"
		"Exit status: 0 done, 1 failed, 2 usage, 3 network or origin, "
		"4 local file.\n");
}

static int
usage(const char *problem, const char *what)
{
	fprintf(stderr, "peerdist-get: %s%s\nTry peerdist-get --help.\n",
		problem, what);
	return REPORT_USAGE;
}

/* -1: go on. */
static int
take_option(struct get_options *opt, int option)
{
	switch (option) {
	case 'o':
		if (optarg[0] == '\0')
			return usage("the file's name is empty", "");
		opt->file = optarg;
		return -1;
	case 'p':
		opt->no_peers = true;
		return -1;
	case 'c':
		opt->resume = true;
		return -1;
	case 'w':
		if (parse_duration_us(optarg, &opt->wait_us) != 0)
			return usage("not a time: ", optarg);
		return -1;
	case 'j':
		opt->json = true;
		return -1;
	case 'q':
		opt->quiet = true;
		return -1;
	case 'V':
		printf("peerdist-get " PEERDIST_VERSION_STRING "\n");
		return REPORT_OK;
	case 'h':
		print_help(stdout);
		return REPORT_OK;
	default:
		fputs("Try peerdist-get --help.\n", stderr);
		return REPORT_USAGE;
	}
}

static int
take_options(struct get_options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
		{"output", required_argument, NULL, 'o'},
		{"no-peers", no_argument, NULL, 'p'},
		{"continue", no_argument, NULL, 'c'},
		{"wait", required_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option, r = -1;

	while (r < 0 &&
		(option = getopt_long(argc, argv, "o:", longs, NULL)) != -1)
		r = take_option(opt, option);
	if (r >= 0)
		return r;
	if (optind == argc)
		return usage("a URL is needed", "");
	if (optind + 1 < argc)
		return usage("more than one URL", "");
	opt->url = argv[optind];
	if (opt->file != NULL && strcmp(opt->file, "-") == 0) {
		if (opt->json)
			return usage("--json and -o - both want standard "
				     "output",
				"");
		if (opt->resume)
			return usage("standard output cannot be continued", "");
	}
	return -1;
}

/* Where standard input, output or error is closed a file of ours would take its
 * place, and get what is written there.  Writing is an error then. */
static void
hold_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void
watch_signals(void)
{
	struct sigaction act = {
		.sa_handler = on_signal,
		.sa_flags = (int)SA_RESETHAND,
	};

	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	/* A reader of standard output that went away, or a file that may not
	 * become so large, is an error like others. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

int
main(int argc, char **argv)
{
	struct get_options opt = {.wait_us = WAIT_US};
	int r = take_options(&opt, argc, argv);

	if (r >= 0)
		return r;
	hold_standard();
	watch_signals();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		fputs("peerdist-get: libcurl does not start\n", stderr);
		return REPORT_FAILED;
	}
	r = (int)get_run(&opt, &stop, stop_fd);
	curl_global_cleanup();
	return r;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishing as a worker does it: pread of 1 MiB (16 blocks), then
 * pccrc_pub_feed.
 *
 *	publish v1|v2|both auto|evp FILE
 *
 * Bytes per CPU second, once for each line on standard input.  The first line
 * of output is "ready" and what hashes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/frames.h"
#include "codec/pccrc.h"

/* As the daemon reads a file: version 1 alone, and with version 2. */
#define SLICE  (16u * PCCRC_BLOCK_SIZE)
#define SLICE2 (2 * SLICE)

static double
publish(int fd, unsigned make, struct bulk *bulk, uint8_t *buffer)
{
	struct pccrc_pub *pub = pccrc_pub_new(make);
	struct pccrc_desc *desc = NULL;
	size_t slice = make == PCCRC_MAKE_V1 ? SLICE : SLICE2;
	uint64_t start = bench_cpu_ns(), at = 0;
	ssize_t n;
	int r = 0;

	if (!pub)
		bench_die("out of memory");
	while (r == 0 && (n = pread(fd, buffer, slice, (off_t)at)) > 0) {
		r = pccrc_pub_feed(pub, bulk, buffer, (size_t)n);
		at += (uint64_t)n;
	}
	if (r == 0)
		r = pccrc_pub_finish(pub, bulk, buffer, 32, &desc);
	if (r != 0)
		bench_die("publish: %s", strerror(-r));
	start = bench_cpu_ns() - start;
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	return (double)at * 1e9 / (double)start;
}

int
main(int argc, char **argv)
{
	unsigned make = PCCRC_MAKE_V1 | PCCRC_MAKE_V2;
	uint8_t *buffer = malloc(SLICE2);
	struct bulk *bulk;
	int fd;

	if (argc < 4)
		bench_die("usage: publish v1|v2|both auto|evp FILE");
	if (strcmp(argv[1], "v1") == 0)
		make = PCCRC_MAKE_V1;
	else if (strcmp(argv[1], "v2") == 0)
		make = PCCRC_MAKE_V2;
	bulk = bulk_new(strcmp(argv[2], "evp") == 0 ? BULK_EVP : BULK_AUTO);
	fd = open(argv[3], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !buffer || !bulk)
		bench_die("%s: %s", argv[3], strerror(errno));
	(void)publish(fd, make, bulk, buffer);
	printf("ready %s\n", bulk_describe(bulk));
	fflush(stdout);
	while (bench_go()) {
		printf("%.1f\n", publish(fd, make, bulk, buffer));
		fflush(stdout);
	}
	bulk_free(bulk);
	free(buffer);
	close(fd);
	return 0;
}

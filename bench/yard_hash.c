/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Yardstick: bare EVP hashing of one hot buffer of 64 KiB.
 *
 *	yard_hash sha256|sha512 MEBIBYTES
 *
 * Bytes per CPU second, once for each line on standard input.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frames.h"

#define BLOCK 65536u

int
main(int argc, char **argv)
{
	static unsigned char block[BLOCK], digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_MD *md = argc > 2 ? EVP_MD_fetch(NULL, argv[1], NULL) : NULL;
	size_t n;

	if (!md || !ctx)
		bench_die("usage: yard_hash sha256|sha512 MEBIBYTES");
	n = strtoull(argv[2], NULL, 10) * 16;
	memset(block, 0xA5, sizeof(block));
	printf("ready\n");
	fflush(stdout);
	while (bench_go()) {
		uint64_t start = bench_cpu_ns();

		for (size_t i = 0; i < n; i++)
			if (EVP_DigestInit_ex(ctx, md, NULL) != 1 ||
				EVP_DigestUpdate(ctx, block, BLOCK) != 1 ||
				EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
				bench_die("EVP failed");
		printf("%.1f\n",
			(double)n * BLOCK * 1e9 /
				(double)(bench_cpu_ns() - start));
		fflush(stdout);
	}
	EVP_MD_free(md);
	EVP_MD_CTX_free(ctx);
	return 0;
}

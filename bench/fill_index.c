/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the folder of a cache with made-up contents in it, see made_up.h: a
 * true index, and volumes that are as long as they should be and empty.
 *
 *	fill_index FOLDER VERSION CONTENTS [SEGMENTS]
 *
 * SEGMENTS: of each content, the first so many; all of them else.
 *
 * The daemon has made the folder, empty, and does not run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/frames.h"
#include "bench/made_up.h"
#include "codec/pccrr.h"
#include "daemon/store/store_disk_priv.h"

/* As store_disk.c has it; another one is refused by index_open(). */
#define INDEX_FORMAT  1u
#define MAP_SIZE      (UINT64_C(16) << 30)
#define VOLUME_BYTES  (UINT64_C(256) << 20)
#define VOLUME_BLOCKS 4000u

static const struct store_owner owner = {.uid = 1, .tag = "bench"};

struct filler {
	int folder;
	struct index *index;
	struct bulk *bulk;
	size_t segments; /* of each content, at most */
	uint64_t now_s;
	struct volume_row *rows;
	size_t n_rows;
	size_t n_blocks; /* so far */
	struct txn txn;
};

static void
must(const char *what, int r)
{
	if (r != 0)
		bench_die("%s: %s", what, r < 0 ? strerror(-r) : "refused");
}

static void
open_index(struct filler *f, const char *path)
{
	struct index_params p = {
		.folder = f->folder,
		.path = path,
		.name = "index",
		.format = INDEX_FORMAT,
		.map_size = MAP_SIZE,
		.n_tables = _T_MAX,
		.tables = {[T_SEGMENTS] = {.name = "segments"},
			[T_VOLUMES] = {.name = "volumes"},
			[T_OWNERS] = {.name = "owners"},
			[T_NAMES] = {.name = "names"},
			[T_OWNED] = {.name = "owned", .dup = true},
			[T_STATE] = {.name = "state"}},
	};

	must("index", index_open(&f->index, &p, false));
}

static void
make_volumes(struct filler *f, size_t n_blocks)
{
	f->n_rows = (n_blocks + VOLUME_BLOCKS - 1) / VOLUME_BLOCKS;
	f->rows = calloc(f->n_rows, sizeof(f->rows[0]));
	if (!f->rows)
		bench_die("out of memory");
	for (size_t i = 0; i < f->n_rows; i++) {
		uint32_t number = (uint32_t)i + 1;
		struct volume_file file;

		must("volume",
			block_log_create(
				f->folder, number, f->now_s, number, &file));
		if (ftruncate(file.fd, (off_t)VOLUME_BYTES) < 0)
			bench_die("volume: %s", strerror(errno));
		block_log_close(&file);
		f->rows[i] = (struct volume_row){
			.number = number,
			.changed = true,
			.length = VOLUME_BYTES,
			.born_s = f->now_s,
			.newest_s = f->now_s,
		};
	}
}

/* The tag of a block as the daemon makes it: the claim, and the length. */
static void
put_block(struct filler *f, const uint8_t *id, uint32_t index,
	const uint8_t *claim)
{
	const uint32_t len = PCCRC_BLOCK_SIZE;
	size_t n = f->n_blocks++;
	struct change c = {
		.kind = CHANGE_PUT,
		.id_len = 32,
		.at =
			{
				.index = index,
				.volume = (uint32_t)(n / VOLUME_BLOCKS) + 1,
				.offset = VOLUME_HEADER +
					n % VOLUME_BLOCKS * 65760,
				.plain_len = len,
				.cipher_len = pccrr_cipher_len(len),
				.born_s = (uint32_t)f->now_s,
				.algo = PCCRR_AES128,
				.proved = true,
			},
		.owner = owner,
	};

	memcpy(c.id, id, c.id_len);
	memcpy(c.at.claim, claim, sizeof(c.at.claim));
	for (size_t i = 0; i < sizeof(len); i++)
		c.at.claim[i] ^= (uint8_t)(len >> 8 * i);
	must("put", txn_put(&f->txn, &c));
}

static void
put_content(struct filler *f, int version, unsigned number)
{
	struct pccrc_info *info = made_up_info(f->bulk, version, number);
	size_t stride = version == 1 ? PCCRC_SEGMENT_BLOCKS : 1;
	uint8_t *ids = malloc(info->n_segments * info->hash_size);
	uint8_t(*claims)[PCCRC_CLAIM_SIZE] =
		calloc(MADE_UP_BLOCKS, sizeof(claims[0]));

	if (!ids || !claims)
		bench_die("out of memory");
	must("ids", pccrc_segment_ids(f->bulk, info, 0, info->n_segments, ids));
	must("claims", pccrc_claims(f->bulk, info, stride, claims));
	must("transaction", txn_begin(&f->txn, f->index, f->rows, f->n_rows));
	for (size_t s = 0; s < info->n_segments && s < f->segments; s++)
		for (uint32_t b = 0; b < info->segments[s].n_blocks; b++)
			put_block(f, ids + s * info->hash_size, b,
				claims[s * stride + b]);
	must("commit", txn_commit(&f->txn, (uint32_t)f->n_rows + 1));
	free(ids);
	free(claims);
	pccrc_info_unref(info);
}

int
main(int argc, char **argv)
{
	struct filler f = {.now_s = (uint64_t)time(NULL)};
	unsigned contents;

	if (argc != 4 && argc != 5)
		bench_die("usage: fill_index FOLDER VERSION CONTENTS "
			  "[SEGMENTS]");
	contents = (unsigned)atoi(argv[3]);
	f.segments = argc == 5 ? strtoull(argv[4], NULL, 10) : MADE_UP_BLOCKS;
	f.folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.bulk = bulk_new(BULK_AUTO);
	if (f.folder < 0 || !f.bulk)
		bench_die("%s: %s", argv[1], strerror(errno));
	open_index(&f, argv[1]);
	make_volumes(&f, (size_t)contents * MADE_UP_BLOCKS);
	for (unsigned i = 0; i < contents; i++)
		put_content(&f, atoi(argv[2]), i);
	index_close(f.index);
	bulk_free(f.bulk);
	free(f.rows);
	close(f.folder);
	return 0;
}

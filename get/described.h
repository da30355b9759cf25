/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What content information says of a whole file: where its blocks begin and
 * what they hash to.  The service reads the same bytes; here they tell how long
 * the file is, where to cut it so that every piece can be verified, and what is
 * right when the service has gone.
 */
#ifndef GET_DESCRIBED_H
#define GET_DESCRIBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "get/ranges.h"

/* Of a piece; any block is shorter. */
#define DESCRIBED_PIECE_MAX (1024u * 1024)

struct described;

enum described_result {
	DESCRIBED_OK,
	DESCRIBED_MALFORMED, /* or not of all bytes from the first on */
};

/* > 0: enum described_result; -ENOMEM, -EIO. */
int described_new(
	struct described **ret_described, const uint8_t *info, size_t len);
struct described *described_free(struct described *);
uint64_t described_length(const struct described *);
int described_version(const struct described *);
/* Where the block begins that holds this byte. */
uint64_t described_floor(const struct described *, uint64_t pos);
/* The end of a piece of whole blocks that begins at start, which one of them
 * does: as long as possible, but not beyond end, nor longer than a piece may
 * be.  end: where a block ends. */
uint64_t described_piece(
	const struct described *, uint64_t start, uint64_t end);
/* Whether these blocks are in a piece of this file there. */
bool described_verify(
	struct described *, uint64_t start, const uint8_t *, size_t len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two bits for each id, both of the same word, so that a look touches one line
 * of the processor's cache.  A full one has 16 bits for each id, and takes one
 * of 60 strangers for its own.  The hash has no secret: strangers who find such
 * ids cost what every look would without a filter.
 */
#include "daemon/store/id_filter.h"

#include <stdlib.h>

#include <xxhash.h>

#include "common/err.h"

#define IDS_PER_WORD 4u
#define WORDS_MIN    1024u

int
id_filter_init(struct id_filter *f, size_t ids)
{
	size_t n = WORDS_MIN;

	id_filter_done(f);
	while (n < ids / IDS_PER_WORD && n < SIZE_MAX / 2)
		n *= 2;
	f->words = calloc(n, sizeof(f->words[0]));
	if (f->words == NULL)
		return err_new(-ENOMEM);
	f->n_words = n;
	return 0;
}

void
id_filter_done(struct id_filter *f)
{
	free(f->words);
	*f = (struct id_filter){0};
}

bool
id_filter_is_full(const struct id_filter *f)
{
	return f->n >= id_filter_room(f);
}

size_t
id_filter_room(const struct id_filter *f)
{
	return f->n_words * IDS_PER_WORD;
}

/* The word, and the bits in it. */
static size_t
place(const struct id_filter *f, const void *id, size_t len, uint64_t *ret_bits)
{
	uint64_t hash = XXH3_64bits(id, len);

	*ret_bits =
		UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63);
	return (size_t)(hash >> 12) & (f->n_words - 1);
}

void
id_filter_add(struct id_filter *f, const void *id, size_t len)
{
	uint64_t bits;
	size_t word;

	if (f->n_words == 0)
		return;
	word = place(f, id, len, &bits);
	f->n += (f->words[word] & bits) != bits;
	f->words[word] |= bits;
}

bool
id_filter_may_have(const struct id_filter *f, const void *id, size_t len)
{
	uint64_t bits;
	size_t word;

	if (f->n_words == 0)
		return true;
	word = place(f, id, len, &bits);
	return (f->words[word] & bits) == bits;
}

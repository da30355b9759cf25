/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service counts blocks as they come, the store knows which are here now:
 * the two need not agree, since blocks are dropped and come again.  What is
 * here is divided in the proportion of what is known to have come, peers first;
 * the rest was here before the service began to count.
 */
#include "ctl/explain.h"

#include <stdlib.h>
#include <string.h>

#include "common/macros.h"

#define WORDS (PCCRC_SEGMENT_BLOCKS / 64)

static const struct {
	const char *name, *words, *remedy;
} reasons[_EXPLAIN_REASON_MAX] = {
	[EXPLAIN_COMPLETE] = {"complete", "everything is here", ""},
	[EXPLAIN_UNTRIED] = {"untried", "the service has not been asked for it",
		"nothing is fetched before a program reads it; what was wanted "
		"long ago, or before the service was started, is forgotten"},
	[EXPLAIN_ASKING] = {"asking", "the branch is being asked",
		"look again in a moment"},
	[EXPLAIN_FOUND] = {"found", "other hosts have it",
		"it is fetched when a program reads it"},
	[EXPLAIN_MODE] = {"mode", "the mode let nobody be asked",
		"`peerdistctl mode set distributed` lets the service ask other "
		"hosts"},
	[EXPLAIN_NO_SOURCE] = {"no-source", "there was nobody to ask",
		"no [Retrieval] Peers are set, and no other host is known; "
		"`peerdistctl status` shows on which interfaces others can be "
		"found"},
	[EXPLAIN_NOBODY] = {"nobody", "nobody in the branch answered",
		"somebody has to get it from its origin first.  If another "
		"host of this subnet has it: does UDP port 3702 pass the "
		"firewalls of both?  `peerdistctl probe` asks again"},
	[EXPLAIN_EMPTY] = {"empty", "a peer did not have it after all",
		"it may have dropped it, or have no upload left: trying again "
		"may help"},
	[EXPLAIN_TIMEOUT] = {"timeout", "a peer did not answer in time",
		"it is overloaded, or a firewall swallows what is sent; "
		"[Retrieval] RequestTimeout says how long is waited"},
	[EXPLAIN_REFUSED] = {"refused",
		"a peer could not be reached, or hung up",
		"does its service run, does its firewall let us through, do "
		"its [Network] AllowPeers include this host?"},
	[EXPLAIN_BAD] = {"bad", "a peer's answer was wrong",
		"`peerdistctl peers ls` shows its strikes; `peers forgive` "
		"forgets them when it has been repaired"},
	[EXPLAIN_UNSTORED] = {"unstored", "it came and could not be kept",
		"`peerdistctl cache show` tells whether the cache is full or "
		"its disk refuses"},
};

const char *
explain_name(enum explain_reason reason)
{
	return reasons[reason].name;
}

const char *
explain_words(enum explain_reason reason)
{
	return reasons[reason].words;
}

const char *
explain_remedy(enum explain_reason reason)
{
	return reasons[reason].remedy;
}

static uint64_t
number(const json_t *object, const char *member)
{
	json_int_t n = json_integer_value(json_object_get(object, member));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *
string(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text != NULL ? text : "";
}

/* "0-7,9" as bits; how many. */
static unsigned
take_ranges(uint64_t bits[WORDS], const char *text)
{
	unsigned n = 0;

	memset(bits, 0, WORDS * sizeof(*bits));
	while (*text >= '0' && *text <= '9') {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && first < PCCRC_SEGMENT_BLOCKS; first++) {
			bits[first / 64] |= 1ull << (first % 64);
			n++;
		}
		text = *end == ',' ? end + 1 : "";
	}
	return n;
}

/* How much of a block is in the described range. */
static uint64_t
overlap(const struct pccrc_info *info, const struct pccrc_segment *s,
	unsigned block)
{
	uint64_t start = s->start + (uint64_t)block * PCCRC_BLOCK_SIZE;
	uint64_t end = start + pccrc_block_len(info, s, block);

	start = MAX_OF(start, info->range_start);
	end = MIN_OF(end, info->range_end);
	return end > start ? end - start : 0;
}

/* Divides the bytes that are here. */
static void
divide(struct explain_bytes *b, uint64_t here, uint64_t n_held,
	const json_t *history)
{
	uint64_t peers = MIN_OF(number(history, "from_peers"), n_held);
	uint64_t application =
		MIN_OF(number(history, "from_application"), n_held - peers);

	if (n_held == 0)
		return;
	b->peers = here * peers / n_held;
	b->application = here * application / n_held;
	if (peers + application == n_held)
		b->application = here - b->peers;
	b->earlier = here - b->peers - b->application;
}

static enum explain_reason
reason_of(const json_t *row, const json_t *history)
{
	const char *trouble = string(history, "trouble");
	const char *discovery = string(row, "discovery");

	if (strcmp(discovery, "asking") == 0)
		return EXPLAIN_ASKING;
	for (unsigned i = EXPLAIN_MODE; i < _EXPLAIN_REASON_MAX; i++)
		if (strcmp(trouble, reasons[i].name) == 0)
			return (enum explain_reason)i;
	if (strcmp(discovery, "found") == 0)
		return EXPLAIN_FOUND;
	return strcmp(discovery, "nobody") == 0 ? EXPLAIN_NOBODY
						: EXPLAIN_UNTRIED;
}

void
explain_segment(const struct pccrc_info *info, const struct pccrc_segment *s,
	const json_t *row, struct explain_view *ret)
{
	const json_t *history = json_object_get(row, "history");
	uint64_t bits[WORDS], here = 0, part;
	unsigned n_held = take_ranges(bits, string(row, "blocks"));

	*ret = (struct explain_view){
		.with = json_string_value(
			json_object_get(history, "trouble_with")),
		.sources = json_object_get(history, "sources"),
	};
	for (unsigned i = 0; i < s->n_blocks; i++) {
		part = overlap(info, s, i);
		ret->blocks += part > 0;
		ret->bytes.all += part;
		if ((bits[i / 64] >> (i % 64) & 1) != 0) {
			ret->held += part > 0;
			here += part;
		}
	}
	divide(&ret->bytes, here, n_held, history);
	ret->bytes.missing = ret->bytes.all - here;
	if (ret->bytes.missing > 0)
		ret->reason = reason_of(row, history);
}

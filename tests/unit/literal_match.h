/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a ProbeMatches as the boot loader iPXE does, which knows nothing of
 * XML: it looks for tags as they are usually spelt, splits what is between them
 * at white space, and compares ids as text in upper case.  Written after a
 * description of its habits and without the codec, so that the two can judge
 * each other.
 */
#ifndef TESTS_UNIT_LITERAL_MATCH_H
#define TESTS_UNIT_LITERAL_MATCH_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LITERAL_WORDS 64
#define LITERAL_SIZE  80

struct literal_match {
	size_t n_ids; /* that are held: a count of zero drops one */
	char ids[LITERAL_WORDS][LITERAL_SIZE];
	uint32_t counts[LITERAL_WORDS];
	size_t n_addrs;
	char addrs[LITERAL_WORDS][LITERAL_SIZE];
};

/* What is between the first opening tag and the closing tag behind it. */
static inline const char *
literal_between(
	const char *text, const char *open, const char *close, size_t *ret_len)
{
	const char *from = strstr(text, open), *to;

	if (from == NULL)
		return NULL;
	from += strlen(open);
	to = strstr(from, close);
	if (to == NULL)
		return NULL;
	*ret_len = (size_t)(to - from);
	return from;
}

static inline size_t
literal_split(
	const char *text, size_t len, char words[LITERAL_WORDS][LITERAL_SIZE])
{
	size_t n = 0, i = 0, from;

	for (;;) {
		while (i < len && isspace((unsigned char)text[i]))
			i++;
		for (from = i; i < len && !isspace((unsigned char)text[i]);)
			i++;
		if (i == from || n == LITERAL_WORDS || i - from >= LITERAL_SIZE)
			return n;
		memcpy(words[n], text + from, i - from);
		words[n++][i - from] = '\0';
	}
}

static inline bool
literal_count(const char *digits, uint32_t *ret)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 8; i++) {
		if (!isxdigit((unsigned char)digits[i]))
			return false;
		v = v << 4 |
			(uint32_t)(isdigit((unsigned char)digits[i])
					? digits[i] - '0'
					: toupper((unsigned char)digits[i]) -
						'A' + 10);
	}
	*ret = v;
	return true;
}

static inline bool
literal_id(const char *word)
{
	return strlen(word) == 64 &&
		strspn(word, "0123456789ABCDEF") == strlen(word);
}

static inline bool
literal_address(const char *word)
{
	const char *colon = strrchr(word, ':');

	/* it goes into a URL as it is: no interface to be named there */
	if (colon == NULL || strchr(word, '%') != NULL ||
		strchr(word, '/') != NULL ||
		strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	return strtoul(colon + 1, NULL, 10) - 1 < 65535 &&
		(word[0] == '[') == (colon[-1] == ']');
}

/* NULL, or why such a client would not take it. */
static inline const char *
literal_ids(const char *text, struct literal_match *ret)
{
	char ids[LITERAL_WORDS][LITERAL_SIZE];
	size_t scopes_len = 0, counts_len = 0, n;
	const char *scopes, *counts;
	uint32_t count;

	scopes = literal_between(
		text, "<wsd:Scopes>", "</wsd:Scopes>", &scopes_len);
	counts = literal_between(text, "<PeerDist:BlockCount>",
		"</PeerDist:BlockCount>", &counts_len);
	if (scopes == NULL || counts == NULL)
		return "no scopes or no counts";
	while (counts_len > 0 && isspace((unsigned char)*counts)) {
		counts++;
		counts_len--;
	}
	n = literal_split(scopes, scopes_len, ids);
	for (size_t i = 0; i < n; i++) {
		if (counts_len < 8 * (i + 1))
			return "more ids than counts";
		if (!literal_count(counts + 8 * i, &count))
			return "not a count";
		if (!literal_id(ids[i]))
			return "not an id";
		if (count == 0)
			continue;
		memcpy(ret->ids[ret->n_ids], ids[i], LITERAL_SIZE);
		ret->counts[ret->n_ids++] = count;
	}
	return ret->n_ids > 0 ? NULL : "nothing held";
}

static inline const char *
literal_parse(const void *data, size_t len, struct literal_match *ret)
{
	char *text = calloc(1, len + 1);
	const char *addrs, *why;
	size_t addrs_len = 0;

	if (text == NULL)
		return "no memory";
	memcpy(text, data, len);
	*ret = (struct literal_match){0};
	why = literal_ids(text, ret);
	addrs = literal_between(
		text, "<wsd:XAddrs>", "</wsd:XAddrs>", &addrs_len);
	if (why == NULL && addrs == NULL)
		why = "no addresses";
	if (why == NULL)
		ret->n_addrs = literal_split(addrs, addrs_len, ret->addrs);
	if (why == NULL && ret->n_addrs == 0)
		why = "no address";
	for (size_t i = 0; why == NULL && i < ret->n_addrs; i++)
		if (!literal_address(ret->addrs[i]))
			why = "an address that no URL may have";
	free(text);
	return why;
}

#endif

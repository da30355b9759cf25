/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/caches.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/macros.h"
#include "ctl/out.h"

/* The members of the daemon's documents, and what people call them. */
static const struct {
	const char *member, *title;
} caches[] = {{"store", "data cache"}, {"hash", "hash cache"}};

static uint64_t
number(const json_t *cache, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(cache, member));
}

/* The limit is one of room on the disk. */
static uint64_t
used(const json_t *cache)
{
	return json_object_get(cache, "disk_bytes") != NULL
		? number(cache, "disk_bytes")
		: number(cache, "bytes");
}

static const char *
health_in_words(const json_t *cache)
{
	static const struct {
		const char *name, *words;
	} rows[] = {{"healthy", "healthy"},
		{"full",
			"the disk is full: what is there can be read, nothing "
			"is added"},
		{"failing",
			"the disk refuses writes: what is there can be read, "
			"nothing is added"}};
	const char *name = json_string_value(json_object_get(cache, "health"));

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].words;
	return "not known";
}

static void
print_line(const char *title, const char *text)
{
	printf("  %-13s %s\n", title, text);
}

static void
print_rebuilding(const json_t *cache)
{
	char text[64];

	if (number(cache, "rebuild_left") == 0)
		return;
	snprintf(text, sizeof(text), "%" PRIu64 " volumes are still to be read",
		number(cache, "rebuild_left"));
	print_line("rebuilding", text);
}

static void
print_troubles(const json_t *cache)
{
	const char *health =
		json_string_value(json_object_get(cache, "health"));

	if (health != NULL && strcmp(health, "healthy") != 0)
		print_line("health", health_in_words(cache));
	print_rebuilding(cache);
}

void
caches_print_bars(const json_t *document)
{
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		const json_t *cache =
			json_object_get(document, caches[i].member);

		if (cache == NULL)
			continue;
		out_bar(caches[i].title, used(cache),
			number(cache, "max_bytes"));
		print_troubles(cache);
	}
}

static void
print_content(const json_t *cache, const char *things)
{
	char bytes[32], text[96];

	out_format_bytes(bytes, sizeof(bytes), number(cache, "bytes"));
	snprintf(text, sizeof(text), "%" PRIu64 " %s, %s",
		number(cache, things), things, bytes);
	print_line("holds", text);
}

static void
print_hits(const json_t *store)
{
	uint64_t hits = number(store, "hits");
	uint64_t all = hits + number(store, "misses");
	char text[128];

	if (all == 0)
		snprintf(text, sizeof(text), "- (nothing was looked up)");
	else
		snprintf(text, sizeof(text),
			"%.1f %% (%" PRIu64 " of %" PRIu64 " blocks)",
			100.0 * (double)hits / (double)all, hits, all);
	print_line("hit rate", text);
}

static void
print_store(const json_t *store)
{
	char bytes[32], text[128];

	print_content(store, "blocks");
	print_hits(store);
	snprintf(text, sizeof(text),
		"%" PRIu64 " evicted, %" PRIu64 " carried over, %" PRIu64
		" over their age",
		number(store, "evicted"), number(store, "carried"),
		number(store, "expired"));
	print_line("blocks", text);
	out_format_bytes(bytes, sizeof(bytes), number(store, "scrubbed_bytes"));
	snprintf(text, sizeof(text), "%s, %" PRIu64 " damaged blocks dropped",
		bytes, number(store, "rotten"));
	print_line("looked over", text);
}

void
caches_print(const json_t *document)
{
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		const json_t *cache =
			json_object_get(document, caches[i].member);

		if (cache == NULL)
			continue;
		out_bar(caches[i].title, used(cache),
			number(cache, "max_bytes"));
		print_line("health", health_in_words(cache));
		print_rebuilding(cache);
		if (i == 0)
			print_store(cache);
		else
			print_content(cache, "entries");
	}
}

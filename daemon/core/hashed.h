/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content information of files that are given out by HTTP: from standing
 * publications, known by the file itself and not by a path, and made when one
 * is asked for that is not published yet.  The mechanism is told at the top of
 * hashed.c.
 */
#ifndef CORE_HASHED_H
#define CORE_HASHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/core/env.h"
#include "daemon/core/service.h"

struct hashed_ask;
struct hashed_build;
struct hashed_file;
struct session;
struct stat;

enum hashed_result {
	HASHED_OK,
	HASHED_LATER,   /* done will be called */
	HASHED_UNKNOWN, /* not hashed, or no more */
	/* Hashed, and yet not to be described: in none of these versions, or
	 * only by more than PCCRTP_INFO_MAX. */
	HASHED_UNFIT,
	HASHED_FAILED, /* out of memory, store in trouble, service not there */
};

/* One question; the caller keeps the memory until hashed_give_back(), and gives
 * back before the service is freed. */
struct hashed_ask {
	/* asked */
	unsigned versions; /* PCCRC_MAKE_*; the highest that is there */
	uint64_t offset;
	uint64_t length; /* > 0, inside the file */
	/* With HASHED_OK, until given back.  As good as the content. */
	int version;
	const uint8_t *bytes;
	size_t len;
	/* Later, never from inside the call; never HASHED_LATER. */
	void (*done)(struct hashed_ask *, enum hashed_result);
	/* of hashed.c */
	struct service *service;
	TAILQ_ENTRY(hashed_ask) link;
	struct hashed_file *file;
	struct hashed_build *build;
};

/* The file is as *st says, now. */
enum hashed_result hashed_get(
	struct service *, const struct stat *st, struct hashed_ask *);
/* After HASHED_OK; or instead of done, which is not called any more. */
void hashed_give_back(struct hashed_ask *);

/* Has this file hashed, soon; asking again does not matter.  fd stays the
 * caller's.  false: too many wait already, or it could not be. */
bool hashed_want(struct service *, int fd, const struct stat *st);

/* The session in which the service does so; NULL: it has none at present. */
struct session *hashed_session(struct service *);

struct hashed_view {
	uint64_t waiting; /* files */
	uint64_t hashing;
	uint64_t done; /* since the start */
	uint64_t failed;
	uint64_t cached_files; /* in memory */
	uint64_t cached_bytes;
};
void hashed_view(struct service *, struct hashed_view *ret);

#endif

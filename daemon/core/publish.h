/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Server side: streams being hashed, published contents, cursors over their
 * content information.  The mechanism is told at the top of publish.c.
 */
#ifndef CORE_PUBLISH_H
#define CORE_PUBLISH_H

#include "codec/pccrc.h"
#include "daemon/core/service_internal.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A content under its label.  Lives in the table of the service while it is
 * published or being hashed; readers of its information hold references. */
struct publication {
	unsigned refs;
	struct service *service;
	struct session *owner;         /* NULL: withdrawn */
	TAILQ_ENTRY(publication) link; /* in the owner */
	TAILQ_HEAD(,
		publication_handle) handles; /* about it, of all sessions */
	struct pccrc_desc *desc;             /* NULL while being hashed */
	struct quota_user *user;
	bool standing;    /* on its way into the hash store */
	uint64_t counted; /* buffer bytes */
	uint64_t hashing; /* counted, too, until there is a description */
	UT_hash_handle hh;
	size_t key_len;
	struct publication_key {
		uint32_t uid;
		uint8_t ident[];
	} * key;
};

/* How stream, file and info handles begin. */
struct publication_handle {
	struct handle handle;
	struct publication *pub;
	TAILQ_ENTRY(publication_handle) pub_link;
};

struct publication *publication_find(
	struct service *, uint32_t uid, const struct session_label *);
struct publication *publication_ref(struct publication *);
struct publication *publication_unref(struct publication *);
/* Out of the table; its readers become stale. */
void publication_withdraw(struct publication *);
void publication_withdraw_all(struct session *owner);
/* So much of the content is hashed, or about to be: counted.
 * CORE_E_NO_RESOURCES. */
enum core_result publication_grow(struct publication *, uint64_t length);
/* It is hashed: takes the description over, counted.  CORE_E_NO_RESOURCES. */
enum core_result publication_describe(
	struct publication *, struct pccrc_desc *);
/* Ends the operations of all handles about it: of this session, or of all
 * (NULL). */
void publication_cancel(
	struct publication *, const struct session *, enum core_result);
/* A handle has been made, goes; nothing is done for a content. */
void publication_handle_added(struct handle *);
void publication_handle_removed(struct handle *);
bool publication_is(const struct publication *, const struct session_label *);
/* The publication that a stream, file or info handle is about, or NULL. */
struct publication *publication_of(const struct handle *);

/* Makes a publication under a new label, still without description.  Only for
 * a standing one may there be a standing one of that label.
 * CORE_E_ALREADY_EXISTS, CORE_E_BAD_PARAMETER, CORE_E_NO_RESOURCES. */
enum core_result publication_new(struct session *, const struct session_label *,
	bool standing, struct publication **ret_pub);
/* What a version number of the API asks to be made: PCCRC_MAKE_*; 0: no such
 * version. */
unsigned publication_make(const struct service *, uint32_t version);

enum core_result stream_open(struct session *, const struct session_label *,
	uint64_t length, uint32_t version, uint64_t *ret_handle);
/* Its operations have ended; an unfinished publication is dropped. */
void stream_close(struct handle *);
enum core_result stream_submit_add(struct handle *, uint64_t op, uint32_t total,
	const struct session_slice *);
enum core_result stream_submit_complete(struct handle *, uint64_t op);
enum core_result stream_feed(struct op *, const struct session_slice *);

/* publish_file.c: takes fd over. */
enum core_result file_publish(struct session *, uint64_t op,
	const struct session_label *, int fd, const struct session_range *,
	uint32_t version);
void file_close(struct handle *);

/* info.c */
struct info_wanted {
	struct session_range range;
	struct session_versions versions;
};
enum core_result info_open(struct session *, uint64_t request,
	const struct session_label *, const struct info_wanted *,
	uint64_t *ret_handle);
/* What a cursor is about: one of the two, and its description. */
struct info_source {
	struct publication *pub;
	uint64_t standing; /* id of a standing one */
	const struct pccrc_desc *desc;
};
enum core_result info_make(struct session *, const struct info_source *,
	const struct info_wanted *, uint64_t *ret_handle);
/* It is published no more: its cursors are stale. */
void info_standing_gone(struct service *, uint64_t id);
void info_close(struct handle *);
enum core_result info_submit_retrieve(
	struct handle *, uint64_t op, uint32_t len);

/* standing_publish.c: takes fd over. */
enum core_result standing_publish(struct session *, uint64_t op,
	const struct session_label *path, int fd, unsigned versions);

/* standing_load.c: a standing publication made ready to be described. */
struct standing_load {
	/* asked */
	uint64_t id;
	uint32_t uid;     /* users take turns */
	const char *path; /* looked at if it is watched; NULL: never */
	/* CORE_OK: desc is there, a reference that is the asker's.
	 * CORE_E_NOT_FOUND: published no more. */
	enum core_result result;
	struct pccrc_desc *desc;
	void (*done)(struct standing_load *);
	/* of standing_load.c */
	struct service *service;
	struct hash_load load;
	struct core_job job;
	struct server_key *key;
	bool changed;
	int unpacked;
};
/* done will be called, later. */
void standing_load(struct service *, struct standing_load *);
/* Of the packed hashes: themselves, and the description made of them, which has
 * about twice the size. */
#define STANDING_LOAD_TIMES 3u

/* standing_open.c.  CORE_LATER; CORE_E_NOT_FOUND. */
enum core_result standing_open(struct session *, uint64_t request,
	const struct session_label *, const struct info_wanted *);
enum core_result standing_unpublish(
	struct session *, uint64_t request, const struct session_label *);

/* standing.c */
bool standing_find(struct service *, uint32_t uid, const struct session_label *,
	struct hash_entry *ret_entry);
/* Removes it, sooner or later. */
void standing_drop(struct service *, uint64_t id);
void standing_sweep_soon(struct service *);
enum standing_sight {
	STANDING_SAME,
	STANDING_CHANGED, /* another file, or none */
	STANDING_HIDDEN,  /* the service may not look */
};
/* What is at path now.  Worker thread, slow. */
enum standing_sight standing_look(const char *path, const struct hash_file *);
struct stat;
void standing_file(const struct stat *, struct hash_file *ret_file);

#endif

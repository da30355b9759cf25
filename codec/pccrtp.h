/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PeerDist over HTTP, MS-PCCRTP: the content coding "peerdist" and the fields
 * X-P2P-PeerDist and X-P2P-PeerDistEx.  Pure: fields in, decisions and fields
 * out.  Both ends use it.
 */
#ifndef CODEC_PCCRTP_H
#define CODEC_PCCRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/http_range.h"
#include "common/buf.h"

#define PCCRTP_CODING "peerdist"
/* Of every answer that could have been another with other fields. */
#define PCCRTP_VARY "Accept-Encoding, X-P2P-PeerDist, X-P2P-PeerDistEx"
/* Ranges below are not worth describing. */
#define PCCRTP_RANGE_MIN 2048u
/* Content information that either end takes in its memory. */
#define PCCRTP_INFO_MAX (64u * 1024 * 1024)

struct pccrtp_version { /* 1.23 is newer than 1.3 */
	uint32_t major;
	uint32_t minor;
};

enum pccrtp_missing {
	PCCRTP_MISSING_ABSENT,
	PCCRTP_MISSING_FALSE,
	PCCRTP_MISSING_TRUE,
	PCCRTP_MISSING_OTHER, /* neither of the two */
};

/* What the fields of one message say.  Begins as {0}. */
struct pccrtp_fields {
	bool accepts; /* Accept-Encoding has peerdist, and nowhere with q=0 */
	bool refuses; /* Accept-Encoding has peerdist;q=0 or a wrong weight */
	bool encoded; /* Content-Encoding has peerdist */
	/* Content-Encoding has something beside identity and one peerdist */
	bool other_coding;
	/* X-P2P-PeerDist */
	bool has_version;
	bool contradicts; /* versions that differ, or one that is none */
	struct pccrtp_version version;
	enum pccrtp_missing missing;
	bool has_length;
	uint64_t length; /* ContentLength; UINT64_MAX: is no number */
	/* X-P2P-PeerDistEx; a value that is no version counts as 0.0 */
	bool has_ex;
	bool has_min;
	bool has_max;
	struct pccrtp_version min_info;
	struct pccrtp_version max_info;
	bool has_make_hash;
	bool has_hash_request;
	bool make_hash;    /* MakeHashRequest=true */
	bool hash_request; /* HashRequest=true */
};

/* One field of the message, in their order; those that are none of these are
 * ignored.  The first occurrence of a parameter counts. */
void pccrtp_field(struct pccrtp_fields *, const char *name, size_t name_len,
	const char *value, size_t len);

/* The server. */

#define PCCRTP_INFO_V1 1u
#define PCCRTP_INFO_V2 2u

/* Which versions of content information may be the answer to a GET with these
 * fields, whatever is known of the resource: PCCRTP_INFO_*; 0: identity.  This
 * is steps 2 to 6 of the server's decision. */
unsigned pccrtp_understood(const struct pccrtp_fields *);
/* X-P2P-PeerDist of an encoded answer, with its CRLF; length: of the entity, of
 * a range that range. */
void pccrtp_put_encoded(
	struct buf *, const struct pccrtp_fields *request, uint64_t length);
/* The fields that ask for a hash request, of a plain answer whose hashes are
 * being made; nothing for a request that would not understand, or is one. */
void pccrtp_put_make_hash(struct buf *, const struct pccrtp_fields *request);

/* The client. */

enum pccrtp_ask {
	PCCRTP_ASK_CONTENT, /* content or content information */
	PCCRTP_ASK_MISSING, /* real bytes, for what nobody had */
	PCCRTP_ASK_HASH,    /* content information of what one has got */
	_PCCRTP_ASK_MAX,
};
/* The fields of such a request, "Name: value", the last is NULL. */
const char *const *pccrtp_request_fields(enum pccrtp_ask);

enum pccrtp_body {
	PCCRTP_BODY_PLAIN,
	PCCRTP_BODY_INFO,    /* content information */
	PCCRTP_BODY_REFUSED, /* in a coding that nobody asked for */
	/* Says it is plain, but another length than the content's: something
	 * between has taken the coding away. */
	PCCRTP_BODY_STRIPPED,
};
/* The body of a 200 or 206 with these fields.  body_len: its Content-Length,
 * UINT64_MAX: not told; then to be asked again when it has come. */
enum pccrtp_body pccrtp_response(
	const struct pccrtp_fields *, uint64_t body_len);
/* Does content information for [start, end) fit the answer that brought it?
 * range: of its Content-Range; NULL: a 200. */
bool pccrtp_info_fits(const struct pccrtp_fields *,
	const struct http_content_range *range, uint64_t start, uint64_t end);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery protocol messages, MS-PCCRD: Probe and ProbeMatches of WS-Discovery
 * (April 2005), in SOAP 1.2 envelopes, one in a datagram.
 *
 * V1 and V2 are the two forms of the question, not of the content: a V1 Probe
 * may ask for segments of either version of content information.
 */
#ifndef CODEC_PCCRD_H
#define CODEC_PCCRD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/parse.h"

#define PCCRD_PORT    3702
#define PCCRD_GROUP_4 "239.255.255.250"
#define PCCRD_GROUP_6 "ff02::c"

#define PCCRD_ID_SIZE     32
#define PCCRD_UUID_SIZE   16
#define PCCRD_IDS_MAX     255    /* of one message: the count is one byte */
#define PCCRD_RECEIVE_MAX 65507u /* bytes of a datagram */
#define PCCRD_SEND_GOOD   1400u  /* what fits a frame of Ethernet */
#define PCCRD_SEND_MAX    4096u
#define PCCRD_URI_MAX     127 /* bytes of a MessageID */
#define PCCRD_ADDRS_MAX   4   /* of one ProbeMatch */
#define PCCRD_MATCHES_MAX 4   /* of one ProbeMatches */
#define PCCRD_AGE_UNKNOWN UINT32_MAX
/* Ids of one answer that is no longer than PCCRD_SEND_MAX. */
#define PCCRD_ANSWER_IDS_MAX 32

enum pccrd_version { PCCRD_V1 = 1, PCCRD_V2 = 2 };

enum pccrd_kind { PCCRD_PROBE, PCCRD_MATCHES };

enum pccrd_refusal {
	PCCRD_OK,
	PCCRD_E_FOREIGN,   /* well-formed, but none of our messages */
	PCCRD_E_MALFORMED, /* not XML, or one of ours that breaks the rules */
	PCCRD_E_TOO_BIG,   /* deeper, longer, or more than is taken */
	_PCCRD_E_MAX,
};

/* V1 messages give an id in hex, of either case, and whoever answers repeats
 * it as it came: some compare text.  Bit i of lower: digit i was a lower-case
 * letter. */
struct pccrd_id {
	uint8_t bytes[PCCRD_ID_SIZE];
	uint64_t lower;
};

struct pccrd_probe {
	char message_id[PCCRD_URI_MAX + 1];
	enum pccrd_version version;
	size_t n_ids; /* at least 1 */
	struct pccrd_id ids[PCCRD_IDS_MAX];
};

/* What a host says of one segment. */
struct pccrd_held {
	uint8_t id[PCCRD_ID_SIZE]; /* V1 only: a V2 answer goes by position */
	/* V1: how many blocks.  V2: 0 nothing, 1 some, UINT32_MAX all. */
	uint32_t blocks;
	uint32_t age_ds; /* tenths of a second, or PCCRD_AGE_UNKNOWN */
};

struct pccrd_match {
	enum pccrd_version version;
	/* V1: the ids named.  V2: positions in the question's list; a multiple
	 * of 4, so those behind its end mean nothing. */
	size_t n_held;
	struct pccrd_held held[PCCRD_IDS_MAX + 1];
	/* Address and port; link-local ones without their interface. */
	size_t n_addrs;
	struct parse_addr addrs[PCCRD_ADDRS_MAX];
};

struct pccrd_matches {
	char message_id[PCCRD_URI_MAX + 1];
	char relates_to[PCCRD_URI_MAX + 1];
	size_t n_matches; /* at least 1 */
	struct pccrd_match matches[PCCRD_MATCHES_MAX];
};

/* Large: one is made and used again and again. */
struct pccrd_message {
	enum pccrd_kind kind;
	union {
		struct pccrd_probe probe;
		struct pccrd_matches matches;
	} u;
};

/* An answer to be built. */
struct pccrd_answer {
	uint8_t message[PCCRD_UUID_SIZE];
	const char *relates_to;
	uint8_t endpoint[PCCRD_UUID_SIZE];
	uint64_t instance;
	uint32_t number;
	enum pccrd_version version;
	/* V1: the ids held.  V2: all that were asked for. */
	size_t n_ids;
	const struct pccrd_id *ids;
	const struct pccrd_held *held; /* as many; id is not looked at */
	size_t n_addrs;
	const struct parse_addr *addrs;
};

/* The parser and its memory; used by one thread at a time.  NULL: no memory. */
struct pccrd_parser;
struct pccrd_parser *pccrd_parser_new(void);
struct pccrd_parser *pccrd_parser_free(struct pccrd_parser *);
/* One datagram.  > 0: enum pccrd_refusal; -ENOMEM.  *ret is meaningful after 0
 * only. */
int pccrd_parse(struct pccrd_parser *, const uint8_t *data, size_t len,
	struct pccrd_message *ret);

/* Appends a message; XAddrs text is "ADDRESS:PORT" with IPv6 in brackets and
 * never a scope.  -EINVAL: no ids, no addresses, or too many, or a relates_to
 * that pccrd_parse() would not give; the errors of the buffer. */
int pccrd_build_probe(struct buf *, const uint8_t uuid[PCCRD_UUID_SIZE],
	enum pccrd_version, const uint8_t (*ids)[PCCRD_ID_SIZE], size_t n_ids);
int pccrd_build_answer(struct buf *, const struct pccrd_answer *);
/* How many ids a Probe of at most so many bytes can carry, up to
 * PCCRD_IDS_MAX. */
size_t pccrd_probe_ids(enum pccrd_version, size_t bytes);

/* "urn:uuid:...", 45 bytes and the NUL. */
#define PCCRD_URN_SIZE 46
void pccrd_urn_format(char *dst, const uint8_t uuid[PCCRD_UUID_SIZE]);
/* Either case of hex.  false: another kind of URI. */
bool pccrd_urn_parse(uint8_t ret_uuid[PCCRD_UUID_SIZE], const char *text);

#endif

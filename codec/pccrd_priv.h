/* SPDX-License-Identifier: BSD-2-Clause */
/* What reading and writing of MS-PCCRD share: names, and values as text. */
#ifndef CODEC_PCCRD_PRIV_H
#define CODEC_PCCRD_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/pccrd.h"
#include "common/buf.h"

#define PCCRD_NS_SOAP "http://www.w3.org/2003/05/soap-envelope"
#define PCCRD_NS_WSA  "http://schemas.xmlsoap.org/ws/2004/08/addressing"
#define PCCRD_NS_WSD  "http://schemas.xmlsoap.org/ws/2005/04/discovery"
#define PCCRD_NS_PEERDIST \
	"http://schemas.microsoft.com/p2p/2007/09/PeerDistributionDiscovery"

#define PCCRD_ACTION_PROBE   PCCRD_NS_WSD "/Probe"
#define PCCRD_ACTION_MATCHES PCCRD_NS_WSD "/ProbeMatches"
#define PCCRD_RULE_V1        PCCRD_NS_WSD "/strcmp0"
#define PCCRD_RULE_V2 \
	"http://schemas.microsoft.com/p2p/2010/05/PeerDistV2MatchingRule"

#define PCCRD_TYPE_V1 "PeerDistData"
#define PCCRD_TYPE_V2 "PeerDistDataV2"

/* A piece of text, not ended by a NUL.  text is NULL: none was there. */
struct pccrd_text {
	const char *text;
	size_t len;
};

/* Without the white space of XML at both ends. */
struct pccrd_text pccrd_trim(struct pccrd_text);
/* Takes the next word off the front of *list; false: there is none. */
bool pccrd_word(struct pccrd_text *list, struct pccrd_text *ret);
bool pccrd_equal(struct pccrd_text, const char *);
/* What a MessageID may be made of here: printable ASCII, nothing blank. */
bool pccrd_uri_valid(struct pccrd_text);

/* Exactly n bytes of hex; ret_lower as in struct pccrd_id, or NULL. */
bool pccrd_hex(uint8_t *dst, size_t n, struct pccrd_text, uint64_t *ret_lower);
/* White space is ignored, everything else is strict.  -1: not base64, or more
 * than size bytes. */
ptrdiff_t pccrd_base64(uint8_t *dst, size_t size, struct pccrd_text);
/* "ADDRESS:PORT" with a port that is not 0; a scope is cut off. */
bool pccrd_addr(struct parse_addr *ret, struct pccrd_text);

/* The values of a Probe and of a ProbeMatch, trimmed; *ret is meaningful after
 * PCCRD_OK only. */
struct pccrd_values {
	struct pccrd_text scopes;
	struct pccrd_text addrs;
	struct pccrd_text counts;
	struct pccrd_text ages;
};
enum pccrd_refusal pccrd_read_probe(
	struct pccrd_probe *ret, enum pccrd_version, struct pccrd_text scopes);
enum pccrd_refusal pccrd_read_match(struct pccrd_match *ret, enum pccrd_version,
	const struct pccrd_values *);

void pccrd_write_hex(struct buf *, const struct pccrd_id *);
void pccrd_write_base64(struct buf *, const uint8_t *data, size_t n);
void pccrd_write_addr(struct buf *, const struct parse_addr *);

#endif

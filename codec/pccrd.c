/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading of Probe and ProbeMatches.
 *
 * expat finds the elements and resolves their namespaces.  places[] says which
 * of them mean something, by the element around them; all others are skipped
 * with what is in them.  The text of those that have a value is put one behind
 * the other into one buffer, and is judged (pccrd_read.c) when the Probe or
 * ProbeMatch around it ends: only then the version is known, whatever the order
 * was.  The one
 * exception are Types, whose prefixes mean something only where they stand.
 *
 * The first thing that is wrong stops expat.  Nothing is trusted before the
 * whole datagram was found to be well-formed.
 */
#include "codec/pccrd.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pccrd_priv.h"
#include "common/err.h"
#include "common/macros.h"

#define DEPTH_MAX    16
#define ATTRS_MAX    32
#define TEXT_MAX     16384u /* of one element */
#define BINDINGS_MAX 64     /* prefixes at one place */
#define PREFIX_SIZE  32
/* Between namespace and name in expat's strings; no name has it in it. */
#define SEPARATOR '\n'

enum ns { NS_OTHER, NS_SOAP, NS_WSA, NS_WSD, NS_PEERDIST };

enum node {
	/* with a value */
	NODE_ACTION,
	NODE_MESSAGE_ID,
	NODE_RELATES_TO,
	NODE_TYPES,
	NODE_SCOPES,
	NODE_XADDRS,
	NODE_BLOCK_COUNT,
	NODE_AGES,
	_NODE_VALUES,
	/* once in a message */
	NODE_ENVELOPE = _NODE_VALUES,
	NODE_HEADER,
	NODE_BODY,
	NODE_PROBE,
	NODE_MATCHES,
	/* as often as one likes */
	NODE_MATCH,
	NODE_DATA,
	NODE_KNOWN, /* a header that is understood but not used */
	NODE_OTHER,
	NODE_DOCUMENT, /* outside all elements */
};

#define BIT(node) (1u << (node))
/* The values that each ProbeMatch has for itself. */
#define MATCH_VALUES \
	(BIT(NODE_TYPES) | BIT(NODE_SCOPES) | BIT(NODE_XADDRS) | \
		BIT(NODE_BLOCK_COUNT) | BIT(NODE_AGES))

struct place {
	enum node parent;
	enum ns ns;
	const char *name;
	enum node node;
};

static const struct place places[] = {
	{NODE_DOCUMENT, NS_SOAP, "Envelope", NODE_ENVELOPE},
	{NODE_ENVELOPE, NS_SOAP, "Header", NODE_HEADER},
	{NODE_HEADER, NS_WSA, "To", NODE_KNOWN},
	{NODE_HEADER, NS_WSA, "Action", NODE_ACTION},
	{NODE_HEADER, NS_WSA, "MessageID", NODE_MESSAGE_ID},
	{NODE_HEADER, NS_WSA, "RelatesTo", NODE_RELATES_TO},
	{NODE_HEADER, NS_WSA, "ReplyTo", NODE_KNOWN},
	{NODE_HEADER, NS_WSD, "AppSequence", NODE_KNOWN},
	{NODE_ENVELOPE, NS_SOAP, "Body", NODE_BODY},
	{NODE_BODY, NS_WSD, "Probe", NODE_PROBE},
	{NODE_PROBE, NS_WSD, "Types", NODE_TYPES},
	{NODE_PROBE, NS_WSD, "Scopes", NODE_SCOPES},
	{NODE_BODY, NS_WSD, "ProbeMatches", NODE_MATCHES},
	{NODE_MATCHES, NS_WSD, "ProbeMatch", NODE_MATCH},
	{NODE_MATCH, NS_WSD, "Types", NODE_TYPES},
	{NODE_MATCH, NS_WSD, "Scopes", NODE_SCOPES},
	{NODE_MATCH, NS_WSD, "XAddrs", NODE_XADDRS},
	/* the texts differ about the name of the wrapper of version 2 */
	{NODE_MATCH, NS_PEERDIST, PCCRD_TYPE_V1, NODE_DATA},
	{NODE_MATCH, NS_PEERDIST, PCCRD_TYPE_V2, NODE_DATA},
	{NODE_DATA, NS_PEERDIST, "BlockCount", NODE_BLOCK_COUNT},
	{NODE_DATA, NS_PEERDIST, "SegmentAges", NODE_AGES},
	{NODE_MATCH, NS_PEERDIST, "BlockCount", NODE_BLOCK_COUNT},
	{NODE_MATCH, NS_PEERDIST, "SegmentAges", NODE_AGES},
};

struct binding {
	enum ns ns; /* NS_OTHER: another one; see bound */
	bool bound; /* false: xmlns="" */
	char prefix[PREFIX_SIZE];
};

struct pccrd_parser {
	XML_Parser xml;
	enum pccrd_refusal refusal;
	struct pccrd_message *ret;

	size_t depth; /* of nodes */
	enum node nodes[DEPTH_MAX + 1];
	unsigned seen; /* BIT() of what may be there once */
	size_t n_bindings;
	size_t n_new; /* of them, of the element that begins next */
	struct binding bindings[BINDINGS_MAX];

	/* About the Probe or ProbeMatch that is being read; 0: none of ours. */
	enum pccrd_version version;
	bool foreign_rule; /* MatchBy is there, but none of ours */
	enum pccrd_version rule;

	size_t run; /* bytes of text since the last tag */
	struct pccrd_text values[_NODE_VALUES];
	size_t text_len;
	char text[PCCRD_RECEIVE_MAX];
};

static void
refuse(struct pccrd_parser *p, enum pccrd_refusal why)
{
	/* expat may call on for a little while after it was told to stop */
	if (p->refusal == PCCRD_OK)
		p->refusal = why;
	(void)XML_StopParser(p->xml, XML_FALSE);
}

static bool
has(const struct pccrd_parser *p, enum node node)
{
	return (p->seen & BIT(node)) != 0;
}

static struct pccrd_text
value(const struct pccrd_parser *p, enum node node)
{
	return has(p, node) ? pccrd_trim(p->values[node])
			    : (struct pccrd_text){NULL, 0};
}

static enum ns
ns_of(const char *uri, size_t len)
{
	static const char *const uris[] = {
		[NS_SOAP] = PCCRD_NS_SOAP,
		[NS_WSA] = PCCRD_NS_WSA,
		[NS_WSD] = PCCRD_NS_WSD,
		[NS_PEERDIST] = PCCRD_NS_PEERDIST,
	};

	for (enum ns ns = NS_SOAP; ns < ARRAY_LEN(uris); ns++)
		if (pccrd_equal((struct pccrd_text){uri, len}, uris[ns]))
			return ns;
	return NS_OTHER;
}

/* Cuts expat's "namespace SEPARATOR name"; without a namespace NS_OTHER. */
static enum ns
split_name(const char *full, const char **ret_name)
{
	const char *cut = strrchr(full, SEPARATOR);

	*ret_name = cut != NULL ? cut + 1 : full;
	return cut != NULL ? ns_of(full, (size_t)(cut - full)) : NS_OTHER;
}

static void
on_ns_start(void *ctx, const char *prefix, const char *uri)
{
	struct pccrd_parser *p = ctx;
	size_t len = prefix != NULL ? strlen(prefix) : 0;
	struct binding *b;

	if (p->refusal != PCCRD_OK)
		return;
	if (p->n_bindings == BINDINGS_MAX || ++p->n_new > ATTRS_MAX ||
		len >= PREFIX_SIZE) {
		refuse(p, PCCRD_E_TOO_BIG);
		return;
	}
	b = &p->bindings[p->n_bindings++];
	b->bound = uri != NULL && uri[0] != '\0';
	b->ns = b->bound ? ns_of(uri, strlen(uri)) : NS_OTHER;
	if (len > 0)
		memcpy(b->prefix, prefix, len);
	b->prefix[len] = '\0';
}

static void
on_ns_end(void *ctx, const char *prefix)
{
	struct pccrd_parser *p = ctx;

	/* those of one element end together, so which is which is the same */
	if (p->refusal == PCCRD_OK)
		p->n_bindings--;
}

/* The version that a type stands for, 0 for another type. */
static enum pccrd_version
version_of(const struct pccrd_parser *p, struct pccrd_text name)
{
	const char *colon = memchr(name.text, ':', name.len);
	size_t skip = colon != NULL ? (size_t)(colon - name.text) + 1 : 0;
	struct pccrd_text local = {name.text + skip, name.len - skip};
	struct pccrd_text prefix = {name.text, skip > 0 ? skip - 1 : 0};
	enum pccrd_version version = 0;

	if (pccrd_equal(local, PCCRD_TYPE_V1))
		version = PCCRD_V1;
	else if (pccrd_equal(local, PCCRD_TYPE_V2))
		version = PCCRD_V2;
	for (size_t i = p->n_bindings; i-- > 0;) {
		const struct binding *b = &p->bindings[i];

		if (pccrd_equal(prefix, b->prefix))
			return !b->bound || b->ns == NS_PEERDIST ? version : 0;
	}
	return version; /* a prefix that means nothing is forgiven */
}

/* A Probe asks for hosts that have all of these types, a ProbeMatch names all
 * that a host has. */
static void
read_types(struct pccrd_parser *p, enum node parent)
{
	struct pccrd_text list = p->values[NODE_TYPES], name;
	bool all = parent == NODE_PROBE, others = false;
	enum pccrd_version version;

	p->version = 0;
	while (pccrd_word(&list, &name)) {
		version = version_of(p, name);
		if (p->version == 0)
			p->version = version;
		if (version == 0 || version != p->version)
			others = true;
	}
	if (all && others)
		p->version = 0;
}

static void
read_rule(struct pccrd_parser *p, const char **attrs)
{
	struct pccrd_text t;

	for (; attrs[0] != NULL; attrs += 2) {
		if (strcmp(attrs[0], "MatchBy") != 0)
			continue;
		t = pccrd_trim((struct pccrd_text){attrs[1], strlen(attrs[1])});
		if (pccrd_equal(t, PCCRD_RULE_V1))
			p->rule = PCCRD_V1;
		else if (pccrd_equal(t, PCCRD_RULE_V2))
			p->rule = PCCRD_V2;
		else
			p->foreign_rule = true;
	}
}

/* SOAP: whoever does not know such a header must not act on the message. */
static bool
must_understand(const char **attrs)
{
	struct pccrd_text t;
	const char *name;

	for (; attrs[0] != NULL; attrs += 2) {
		if (split_name(attrs[0], &name) != NS_SOAP ||
			strcmp(name, "mustUnderstand") != 0)
			continue;
		t = pccrd_trim((struct pccrd_text){attrs[1], strlen(attrs[1])});
		return !pccrd_equal(t, "0") && !pccrd_equal(t, "false");
	}
	return false;
}

static enum node
node_of(enum node parent, const char *full)
{
	const char *name;
	enum ns ns = split_name(full, &name);

	if (ns == NS_OTHER || parent == NODE_OTHER)
		return NODE_OTHER;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (places[i].parent == parent && places[i].ns == ns &&
			strcmp(places[i].name, name) == 0)
			return places[i].node;
	return NODE_OTHER;
}

/* Whether this element may be here. */
static enum pccrd_refusal
judge_start(const struct pccrd_parser *p, enum node parent, enum node node,
	const char **attrs)
{
	size_t n = 0;

	while (attrs[2 * n] != NULL)
		n++;
	if (p->depth == DEPTH_MAX || n > ATTRS_MAX)
		return PCCRD_E_TOO_BIG;
	/* a value is text and nothing else */
	if (parent < _NODE_VALUES)
		return PCCRD_E_MALFORMED;
	if (node < NODE_MATCH && has(p, node))
		return PCCRD_E_MALFORMED;
	if (parent == NODE_BODY && (has(p, NODE_PROBE) || has(p, NODE_MATCHES)))
		return PCCRD_E_MALFORMED;
	if (node != NODE_OTHER)
		return PCCRD_OK;
	if (parent == NODE_DOCUMENT || parent == NODE_BODY ||
		(parent == NODE_HEADER && must_understand(attrs)))
		return PCCRD_E_FOREIGN;
	return PCCRD_OK;
}

static void
on_start(void *ctx, const char *full, const char **attrs)
{
	struct pccrd_parser *p = ctx;
	enum node parent = p->nodes[p->depth], node = node_of(parent, full);
	enum pccrd_refusal e = judge_start(p, parent, node, attrs);

	if (p->refusal != PCCRD_OK)
		return;
	if (e != PCCRD_OK) {
		refuse(p, e);
		return;
	}
	p->n_new = 0;
	p->run = 0;
	p->nodes[++p->depth] = node;
	if (node == NODE_MATCH) {
		p->seen &= ~MATCH_VALUES;
		p->version = 0;
	}
	if (node < NODE_MATCH)
		p->seen |= BIT(node);
	if (node < _NODE_VALUES)
		p->values[node] = (struct pccrd_text){p->text + p->text_len, 0};
	if (node == NODE_SCOPES && parent == NODE_PROBE)
		read_rule(p, attrs);
}

static void
on_text(void *ctx, const char *text, int n)
{
	struct pccrd_parser *p = ctx;
	enum node node = p->nodes[p->depth];
	size_t len = (size_t)n;

	if (p->refusal != PCCRD_OK)
		return;
	p->run += len;
	if (p->run > TEXT_MAX) {
		refuse(p, PCCRD_E_TOO_BIG);
		return;
	}
	if (node >= _NODE_VALUES)
		return;
	/* text that came in another encoding may have grown */
	if (len > sizeof(p->text) - p->text_len) {
		refuse(p, PCCRD_E_TOO_BIG);
		return;
	}
	memcpy(p->text + p->text_len, text, len);
	p->text_len += len;
	p->values[node].len += len;
}

static enum pccrd_refusal
end_probe(struct pccrd_parser *p)
{
	if (p->version == 0 || p->foreign_rule ||
		(p->rule != 0 && p->rule != p->version))
		return PCCRD_E_FOREIGN;
	return pccrd_read_probe(
		&p->ret->u.probe, p->version, value(p, NODE_SCOPES));
}

static enum pccrd_refusal
end_match(struct pccrd_parser *p)
{
	struct pccrd_matches *all = &p->ret->u.matches;
	const struct pccrd_values values = {
		.scopes = value(p, NODE_SCOPES),
		.addrs = value(p, NODE_XADDRS),
		.counts = value(p, NODE_BLOCK_COUNT),
		.ages = value(p, NODE_AGES),
	};
	enum pccrd_refusal e;

	if (p->version == 0)
		return PCCRD_OK; /* another service of that host */
	if (all->n_matches == PCCRD_MATCHES_MAX)
		return PCCRD_E_TOO_BIG;
	e = pccrd_read_match(
		&all->matches[all->n_matches], p->version, &values);
	if (e == PCCRD_OK)
		all->n_matches++;
	return e;
}

static void
on_end(void *ctx, const char *full)
{
	struct pccrd_parser *p = ctx;
	enum pccrd_refusal e = PCCRD_OK;
	enum node node;

	if (p->refusal != PCCRD_OK)
		return;
	node = p->nodes[p->depth--];
	p->run = 0;
	if (node == NODE_TYPES)
		read_types(p, p->nodes[p->depth]);
	else if (node == NODE_PROBE)
		e = end_probe(p);
	else if (node == NODE_MATCH)
		e = end_match(p);
	if (e != PCCRD_OK)
		refuse(p, e);
}

/* With a document type would come entities, which may grow without end. */
static void
on_doctype(void *ctx, const char *name, const char *sysid, const char *pubid,
	int has_internal_subset)
{
	refuse(ctx, PCCRD_E_MALFORMED);
}

static enum pccrd_refusal
read_uri(const struct pccrd_parser *p, enum node node,
	char ret[PCCRD_URI_MAX + 1])
{
	struct pccrd_text t = value(p, node);

	if (t.len > PCCRD_URI_MAX)
		return PCCRD_E_TOO_BIG;
	if (!pccrd_uri_valid(t))
		return PCCRD_E_MALFORMED;
	memcpy(ret, t.text, t.len);
	ret[t.len] = '\0';
	return PCCRD_OK;
}

/* The whole datagram is read, and was XML. */
static enum pccrd_refusal
end_message(struct pccrd_parser *p)
{
	struct pccrd_message *ret = p->ret;
	bool probe = has(p, NODE_PROBE);
	enum pccrd_refusal e;

	if (!probe && (!has(p, NODE_MATCHES) || ret->u.matches.n_matches == 0))
		return PCCRD_E_FOREIGN;
	if (!has(p, NODE_ACTION))
		return PCCRD_E_MALFORMED;
	if (!pccrd_equal(value(p, NODE_ACTION),
		    probe ? PCCRD_ACTION_PROBE : PCCRD_ACTION_MATCHES))
		return PCCRD_E_FOREIGN;
	ret->kind = probe ? PCCRD_PROBE : PCCRD_MATCHES;
	if (probe)
		return read_uri(p, NODE_MESSAGE_ID, ret->u.probe.message_id);
	e = read_uri(p, NODE_MESSAGE_ID, ret->u.matches.message_id);
	if (e != PCCRD_OK)
		return e;
	return read_uri(p, NODE_RELATES_TO, ret->u.matches.relates_to);
}

/* Out of memory, expat now and then says something else, or goes on with a
 * name less; so it is noted here. */
static _Thread_local bool no_memory;

static void *
note_failure(void *p)
{
	if (p == NULL)
		no_memory = true;
	return p;
}

static void *
memory_malloc(size_t n)
{
	return note_failure(malloc(n));
}

static void *
memory_realloc(void *p, size_t n)
{
	return note_failure(realloc(p, n));
}

static const XML_Memory_Handling_Suite memory = {
	.malloc_fcn = memory_malloc,
	.realloc_fcn = memory_realloc,
	.free_fcn = free,
};

struct pccrd_parser *
pccrd_parser_new(void)
{
	static const char separator[] = {SEPARATOR, '\0'};
	struct pccrd_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->xml = XML_ParserCreate_MM("UTF-8", &memory, separator);
	if (p->xml == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

struct pccrd_parser *
pccrd_parser_free(struct pccrd_parser *p)
{
	if (p == NULL)
		return NULL;
	XML_ParserFree(p->xml);
	free(p);
	return NULL;
}

static void
start(struct pccrd_parser *p, struct pccrd_message *ret)
{
	(void)XML_ParserReset(p->xml, "UTF-8"); /* fails for children only */
	XML_SetUserData(p->xml, p);
	XML_SetElementHandler(p->xml, on_start, on_end);
	XML_SetCharacterDataHandler(p->xml, on_text);
	XML_SetNamespaceDeclHandler(p->xml, on_ns_start, on_ns_end);
	XML_SetStartDoctypeDeclHandler(p->xml, on_doctype);
	p->refusal = PCCRD_OK;
	p->ret = ret;
	p->depth = 0;
	p->nodes[0] = NODE_DOCUMENT;
	p->seen = 0;
	p->n_bindings = 0;
	p->n_new = 0;
	p->version = 0;
	p->foreign_rule = false;
	p->rule = 0;
	p->run = 0;
	p->text_len = 0;
	ret->u.matches.n_matches = 0;
}

int
pccrd_parse(struct pccrd_parser *p, const uint8_t *data, size_t len,
	struct pccrd_message *ret)
{
	enum XML_Status status;

	if (len > PCCRD_RECEIVE_MAX)
		return PCCRD_E_TOO_BIG;
	no_memory = false;
	start(p, ret);
	status = XML_Parse(p->xml, (const char *)data, (int)len, XML_TRUE);
	if (no_memory)
		return err_new(-ENOMEM);
	if (p->refusal != PCCRD_OK)
		return p->refusal;
	return status == XML_STATUS_OK ? end_message(p) : PCCRD_E_MALFORMED;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publications: labels of users, and what is known of the content behind each.
 *
 * The table holds one reference, the stream or file being hashed one, each
 * cursor one.  A publication that was withdrawn (unpublished, its session gone,
 * the epoch over) is out of the table and has no owner; whoever still holds it
 * sees that and is stale.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/publish.h"

static struct publication_key *
key_new(uint32_t uid, const struct session_label *label)
{
	struct publication_key *k = calloc(1, sizeof(*k) + label->len);

	if (k != NULL) {
		k->uid = uid;
		memcpy(k->ident, label->bytes, label->len);
	}
	return k;
}

struct publication *
publication_find(
	struct service *svc, uint32_t uid, const struct session_label *label)
{
	struct publication_key *k = svc->label;
	struct publication *pub = NULL;

	if (label->len == 0 || label->len > SESSION_IDENTIFIER_MAX)
		return NULL;
	k->uid = uid;
	memcpy(k->ident, label->bytes, label->len);
	HASH_FIND(hh, svc->publications, k, sizeof(*k) + label->len, pub);
	return pub;
}

unsigned
publication_make(const struct service *svc, uint32_t version)
{
	if (version != 1 && version != 2)
		return 0;
	if (version == 1 || svc->settings.preferred_content_version == 1)
		return PCCRC_MAKE_V1;
	return PCCRC_MAKE_V1 | PCCRC_MAKE_V2;
}

enum core_result
publication_new(struct session *s, const struct session_label *label,
	struct publication **ret_pub)
{
	struct service *svc = s->service;
	struct publication *pub;

	if (label->len == 0 || label->len > SESSION_IDENTIFIER_MAX)
		return CORE_E_BAD_PARAMETER;
	if (publication_find(svc, s->identity.uid, label) != NULL)
		return CORE_E_ALREADY_EXISTS;
	pub = calloc(1, sizeof(*pub));
	if (pub == NULL)
		return CORE_E_NO_MEMORY;
	pub->key = key_new(s->identity.uid, label);
	if (pub->key == NULL)
		goto no_memory;
	pub->key_len = sizeof(*pub->key) + label->len;
	pub->service = svc;
	pub->owner = s;
	HASH_ADD_KEYPTR(hh, svc->publications, pub->key, pub->key_len, pub);
	if (pub->hh.tbl == NULL)
		goto no_memory;
	pub->refs = 2; /* the table's and the caller's */
	*ret_pub = pub;
	return CORE_OK;

no_memory:
	free(pub->key);
	free(pub);
	return CORE_E_NO_MEMORY;
}

struct publication *
publication_ref(struct publication *pub)
{
	pub->refs++;
	return pub;
}

struct publication *
publication_unref(struct publication *pub)
{
	if (pub == NULL || --pub->refs > 0)
		return NULL;
	pccrc_desc_unref(pub->desc);
	free(pub->key);
	free(pub);
	return NULL;
}

void
publication_withdraw(struct publication *pub)
{
	if (pub->owner == NULL)
		return;
	HASH_DEL(pub->service->publications, pub);
	pub->owner = NULL;
	publication_unref(pub);
}

void
publication_withdraw_all(struct service *svc, struct session *owner)
{
	struct publication *pub, *next;

	HASH_ITER(hh, svc->publications, pub, next)
	if (pub->owner == owner)
		publication_withdraw(pub);
}

bool
publication_is(const struct publication *pub, const struct session_label *label)
{
	return pub->key_len == sizeof(*pub->key) + label->len &&
		memcmp(pub->key->ident, label->bytes, label->len) == 0;
}

struct publication *
publication_of(const struct handle *h)
{
	switch (h->type) {
	case HANDLE_STREAM:
	case HANDLE_INFO:
	case HANDLE_FILE:
		return ((const struct publication_handle *)h)->pub;
	case HANDLE_CONTENT:
		break;
	}
	return NULL;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publications: labels of users, and what is known of the content behind each.
 *
 * The table holds one reference, the stream or file being hashed one, each
 * cursor one.  A publication that was withdrawn (unpublished, its session gone,
 * the epoch over) is out of the table and has no owner; whoever still holds it
 * sees that and is stale.
 *
 * Publications outlive the handles that made them, so their number is bounded
 * by what they take: label and description are counted as buffer bytes, and
 * while there is no description yet, the hashes that it will be made of.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/publish.h"

/* Of the records themselves, and malloc's share. */
#define PUBLICATION_COST 512u
/* Of the hashes of 64 KiB of content, both versions. */
#define HASHES_COST    100u
#define STANDING_TIMES 2u

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
	bool standing, struct publication **ret_pub)
{
	struct service *svc = s->service;
	struct publication *pub;
	struct hash_entry entry;

	if (label->len == 0 || label->len > SESSION_IDENTIFIER_MAX)
		return CORE_E_BAD_PARAMETER;
	if (publication_find(svc, s->identity.uid, label) != NULL ||
		(!standing &&
			standing_find(svc, s->identity.uid, label, &entry)))
		return CORE_E_ALREADY_EXISTS;
	if (!quota_take(
		    s->user, QUOTA_BUFFER_BYTES, PUBLICATION_COST + label->len))
		return CORE_E_NO_RESOURCES;
	pub = calloc(1, sizeof(*pub));
	if (pub == NULL)
		goto no_memory;
	pub->key = key_new(s->identity.uid, label);
	if (pub->key == NULL)
		goto no_memory;
	pub->key_len = sizeof(*pub->key) + label->len;
	pub->service = svc;
	pub->owner = s;
	pub->standing = standing;
	HASH_ADD_KEYPTR(hh, svc->publications, pub->key, pub->key_len, pub);
	if (pub->hh.tbl == NULL)
		goto no_memory;
	pub->refs = 2; /* the table's and the caller's */
	pub->user = quota_user_ref(s->user);
	pub->counted = PUBLICATION_COST + label->len;
	TAILQ_INIT(&pub->handles);
	TAILQ_INSERT_TAIL(&s->publications, pub, link);
	*ret_pub = pub;
	return CORE_OK;

no_memory:
	quota_give(s->user, QUOTA_BUFFER_BYTES, PUBLICATION_COST + label->len);
	if (pub != NULL)
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
	pccrc_desc_free(pub->desc);
	quota_give(pub->user, QUOTA_BUFFER_BYTES, pub->counted + pub->hashing);
	quota_user_put(pub->user);
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
	TAILQ_REMOVE(&pub->owner->publications, pub, link);
	pub->owner = NULL;
	publication_unref(pub);
}

void
publication_withdraw_all(struct session *owner)
{
	struct publication *pub;

	while ((pub = TAILQ_FIRST(&owner->publications)) != NULL)
		publication_withdraw(pub);
}

enum core_result
publication_grow(struct publication *pub, uint64_t length)
{
	uint64_t cost = length / PCCRC_BLOCK_SIZE * HASHES_COST;

	/* They are packed, too; and opening it will take as much. */
	if (pub->standing)
		cost *= STANDING_TIMES;
	if (cost <= pub->hashing)
		return CORE_OK;
	if (!quota_take(pub->user, QUOTA_BUFFER_BYTES, cost - pub->hashing))
		return CORE_E_NO_RESOURCES;
	pub->hashing = cost;
	return CORE_OK;
}

enum core_result
publication_describe(struct publication *pub, struct pccrc_desc *desc)
{
	uint64_t cost = pccrc_desc_memory(desc);

	quota_give(pub->user, QUOTA_BUFFER_BYTES, pub->hashing);
	pub->hashing = 0;
	if (!quota_take(pub->user, QUOTA_BUFFER_BYTES, cost)) {
		pccrc_desc_free(desc);
		return CORE_E_NO_RESOURCES;
	}
	pub->counted += cost;
	pub->desc = desc;
	return CORE_OK;
}

void
publication_cancel(struct publication *pub, const struct session *s,
	enum core_result status)
{
	struct publication_handle *ph, *next;

	/* A file publication's handle goes with its operation. */
	for (ph = TAILQ_FIRST(&pub->handles); ph != NULL; ph = next) {
		next = TAILQ_NEXT(ph, pub_link);
		if (s == NULL || ph->handle.session == s)
			op_cancel_scope(&ph->handle.scope, status);
	}
}

void
publication_handle_added(struct handle *h)
{
	struct publication *pub = publication_of(h);

	if (pub != NULL)
		TAILQ_INSERT_TAIL(&pub->handles, (struct publication_handle *)h,
			pub_link);
}

void
publication_handle_removed(struct handle *h)
{
	struct publication *pub = publication_of(h);

	if (pub != NULL)
		TAILQ_REMOVE(&pub->handles, (struct publication_handle *)h,
			pub_link);
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

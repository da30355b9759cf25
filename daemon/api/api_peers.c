/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What peerdistctl asks about other hosts: the known ones and how they behaved,
 * who has a segment, where the blocks of segments came from or why they did
 * not, and whether the mode lets anybody be asked at all.
 *
 * Where blocks came from is told to whoever knows the segment's id, as its
 * blocks themselves are given to other hosts.
 *
 * A question to the branch is answered when discovery is done with it, which is
 * soon; it then ends also for a client that has gone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hex.h"
#include "common/macros.h"
#include "daemon/api/dispatch.h"
#include "daemon/api/document.h"
#include "daemon/api/request.h"
#include "daemon/api/status_map.h"
#include "daemon/core/discover.h"
#include "daemon/core/ledger.h"
#include "daemon/core/upload.h"

#define HOSTS_MAX  64u /* of one answer; discovery keeps fewer */
#define BLOCKS_MAX 512u
#define MS_PER_DS  100u

static void
put_address(struct json *j, const char *key, const struct parse_addr *addr)
{
	char text[PARSE_ADDR_TEXT];

	parse_addr_format(text, addr);
	json_out_text(j, key, text);
}

static void
put_id(struct json *j, const uint8_t *id, size_t len)
{
	char text[2 * STORE_ID_MAX + 1];

	hex_encode(text, id, len);
	json_out_text(j, "id", text);
}

/* What both documents that are about segments say of the service. */
static void
put_situation(struct json *j, struct service *svc)
{
	const struct service_settings *set = service_settings(svc);

	json_out_text(j, "mode", api_mode_name(set->policy.mode));
	json_out_text(j, "status", api_status_name(service_status(svc)));
}

/* Known peers. */

static void
put_peer(const struct peer_view *p, void *ctx)
{
	struct json *j = ctx;

	json_out_object(j, NULL);
	put_address(j, "address", &p->addr);
	json_out_bool(j, "fixed", p->fixed);
	json_out_u64(j, "in_flight", p->in_flight);
	json_out_u64(j, "strikes", p->strikes);
	json_out_u64(j, "quarantine_ms", p->quarantine_ms);
	json_out_u64(j, "blocks", p->blocks);
	json_out_u64(j, "bytes", p->bytes);
	json_out_u64(j, "empty", p->empty);
	json_out_u64(j, "timeouts", p->timeouts);
	json_out_u64(j, "refused", p->refused);
	json_out_u64(j, "bad", p->bad);
	json_out_u64(j, "idle_ms", p->idle_ms);
	json_out_end_object(j);
}

void
api_put_peers(struct json *j, struct service *svc)
{
	json_out_array(j, "peers");
	service_each_peer(svc, put_peer, j);
	json_out_end_array(j);
}

static void
answer_list(struct client *c, uint64_t id)
{
	struct document d;

	document_begin(&d);
	api_put_peers(&d.json, c->set->service);
	document_end(&d, c, id, ERROR_SUCCESS);
}

static void
answer_forgive(struct client *c, uint64_t id, const char *address)
{
	struct parse_addr addr;
	struct document d;
	size_t n;

	if ((client_roles(c) & ROLE_ADMIN) == 0) {
		client_reply(c, id, ERROR_ACCESS_DENIED);
		return;
	}
	if (parse_addr_port(address, &addr) != 0) {
		client_reply(c, id, ERROR_INVALID_PARAMETER);
		return;
	}
	n = service_forgive_peer(c->set->service, &addr);
	if (n == 0) {
		client_reply(c, id, ERROR_NOT_FOUND);
		return;
	}
	document_begin(&d);
	json_out_u64(&d.json, "forgiven", n);
	document_end(&d, c, id, ERROR_SUCCESS);
}

enum core_result
api_admin_peers(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__AdminPeers *b = m->u.admin_peers;

	if (b->action == IPC_PEERS_FORGIVE)
		answer_forgive(c, m->header.id, b->address);
	else
		answer_list(c, m->header.id);
	return CORE_OK;
}

/* Who has a segment. */

struct probe_request {
	struct request base;
	struct discover_waiter waiter;
	uint8_t id[IPC_PROBE_ID_SIZE];
};

static const char *
discovery_name(enum discover_state state)
{
	switch (state) {
	case DISCOVER_OFF:
		return "off";
	case DISCOVER_ASKING:
		return "asking";
	case DISCOVER_FOUND:
		return "found";
	case DISCOVER_NOBODY:
		return "nobody";
	default:
		return "unknown";
	}
}

static void
put_blocks(struct json *j, uint32_t blocks)
{
	if (blocks == UINT32_MAX)
		json_out_text(j, "blocks", "all");
	else
		json_out_u64(j, "blocks", blocks);
}

static void
put_hosts(struct json *j, struct discover *d, const uint8_t *id)
{
	struct discover_peer hosts[HOSTS_MAX];
	size_t n = discover_peers(d, id, hosts, HOSTS_MAX);

	json_out_array(j, "peers");
	for (size_t i = 0; i < n; i++) {
		json_out_object(j, NULL);
		put_address(j, "address", &hosts[i].addr);
		put_blocks(j, hosts[i].blocks);
		if (hosts[i].age_ds != PCCRD_AGE_UNKNOWN)
			json_out_u64(j, "age_ms",
				(uint64_t)hosts[i].age_ds * MS_PER_DS);
		json_out_u64(j, "delay_ms", hosts[i].delay_ms);
		json_out_end_object(j);
	}
	json_out_end_array(j);
}

/* asked: because of this request. */
static void
answer_probe(struct client *c, uint64_t request, const uint8_t *id, bool asked)
{
	struct discover *d = service_discover(c->set->service);
	struct document doc;
	struct json *j = &doc.json;

	document_begin(&doc);
	put_id(j, id, IPC_PROBE_ID_SIZE);
	put_situation(j, c->set->service);
	json_out_text(j, "state", discovery_name(discover_state(d, id)));
	json_out_bool(j, "asked", asked);
	put_hosts(j, d, id);
	document_end(&doc, c, request, ERROR_SUCCESS);
}

static void
probe_changed(struct discover_waiter *w)
{
	struct probe_request *r = container_of(w, struct probe_request, waiter);
	struct discover *d = service_discover(r->base.service);

	if (w->waiting && discover_state(d, r->id) == DISCOVER_ASKING)
		return;
	discover_leave(w);
	if (r->base.client != NULL)
		answer_probe(r->base.client, r->base.id, r->id, true);
	request_end(&r->base);
	free(r);
}

/* NULL: answered. */
static struct probe_request *
new_probe(struct client *c, const struct ipc_msg *m)
{
	struct probe_request *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		client_reply(c, m->header.id, ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	if (!request_begin(&r->base, c, m->header.id)) {
		client_reply(c, m->header.id, ERROR_NO_SYSTEM_RESOURCES);
		free(r);
		return NULL;
	}
	memcpy(r->id, m->u.admin_probe->id.data, sizeof(r->id));
	r->waiter.changed = probe_changed;
	return r;
}

enum core_result
api_admin_probe(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	struct discover *d = service_discover(c->set->service);
	uint32_t version = m->u.admin_probe->version;
	struct probe_request *r = new_probe(c, m);

	if (r == NULL)
		return CORE_OK;
	/* The question about content of version 1 is understood by everybody,
	 * and answered whatever the version of what is held. */
	if (discover_want(d, r->id, version == 2 ? 2 : 1, c->identity.uid,
		    &r->waiter) == DISCOVER_ASKING)
		return CORE_OK;
	answer_probe(c, m->header.id, r->id, false);
	request_end(&r->base);
	free(r);
	return CORE_OK;
}

/* Where the blocks of segments came from. */

static bool
is_held(const struct store_held *h, unsigned block)
{
	return (h->blocks[block / 64] >> (block % 64) & 1) != 0;
}

/* "0-7,9": which blocks. */
static void
put_ranges(struct json *j, const struct store_held *h)
{
	char text[BLOCKS_MAX * 8] = "";
	size_t len = 0;

	for (unsigned i = 0, end; h->n_blocks > 0 && i < BLOCKS_MAX;
		i = end + 1) {
		end = i;
		while (end < BLOCKS_MAX && is_held(h, end))
			end++;
		if (end > i)
			len += (size_t)sprintf(
				text + len, "%s%u", len > 0 ? "," : "", i);
		if (end > i + 1)
			len += (size_t)sprintf(text + len, "-%u", end - 1);
	}
	json_out_text(j, "blocks", text);
}

static const char *
trouble_name(enum ledger_trouble trouble)
{
	static const char *const names[_LEDGER_TROUBLE_MAX] = {
		[LEDGER_FINE] = "none",
		[LEDGER_MODE] = "mode",
		[LEDGER_NO_SOURCE] = "no-source",
		[LEDGER_NOBODY] = "nobody",
		[LEDGER_EMPTY] = "empty",
		[LEDGER_TIMEOUT] = "timeout",
		[LEDGER_REFUSED] = "refused",
		[LEDGER_BAD] = "bad",
		[LEDGER_UNSTORED] = "unstored",
	};

	return trouble < _LEDGER_TROUBLE_MAX ? names[trouble] : "?";
}

static void
put_history(struct json *j, const struct ledger_view *v)
{
	json_out_object(j, "history");
	json_out_u64(j, "from_application", v->from_application);
	json_out_u64(j, "from_peers", v->from_peers);
	json_out_array(j, "sources");
	for (size_t i = 0; i < v->n_sources; i++) {
		json_out_object(j, NULL);
		put_address(j, "address", &v->sources[i].addr);
		json_out_u64(j, "blocks", v->sources[i].blocks);
		json_out_end_object(j);
	}
	json_out_end_array(j);
	json_out_u64(j, "asked", v->asked);
	json_out_u64(j, "answers", v->answers);
	json_out_text(j, "trouble", trouble_name(v->trouble));
	if (v->has_addr)
		put_address(j, "trouble_with", &v->addr);
	json_out_u64(j, "age_ms", v->age_ms);
	json_out_end_object(j);
}

static void
put_segment(struct json *j, struct service *svc, const uint8_t *id, size_t len)
{
	struct block_store *store = service_store(svc);
	struct store_held held = {0};
	struct ledger_view view = {0};

	store->ops->held(store, id, len, &held);
	json_out_object(j, NULL);
	put_id(j, id, len);
	json_out_u64(j, "held", held.n_blocks);
	put_ranges(j, &held);
	/* Nobody can be asked for ids of other sizes. */
	if (len == PCCRD_ID_SIZE)
		json_out_text(j, "discovery",
			discovery_name(
				discover_state(service_discover(svc), id)));
	if (ledger_find(service_ledger(svc), id, len, &view))
		put_history(j, &view);
	json_out_end_object(j);
}

enum core_result
api_admin_explain(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__AdminExplain *b = m->u.admin_explain;
	struct service *svc = c->set->service;
	struct document d;

	document_begin(&d);
	put_situation(&d.json, svc);
	json_out_array(&d.json, "segments");
	for (size_t at = 0; at < b->ids.len; at += b->id_size)
		put_segment(&d.json, svc, b->ids.data + at, b->id_size);
	json_out_end_array(&d.json);
	document_end(&d, c, m->header.id, ERROR_SUCCESS);
	return CORE_OK;
}

/* The mode. */

/* mode NULL: only tells what it is. */
static uint32_t
ask_mode(struct client *c, const char *mode, struct json *j)
{
	const struct api_hooks *hooks = &c->set->hooks;

	if (hooks->set_mode == NULL)
		return ERROR_NOT_SUPPORTED;
	return status_map_core(hooks->set_mode(hooks->ctx, mode, j));
}

enum core_result
api_admin_mode(struct client *c, const struct ipc_msg *m, Pd__Reply *reply)
{
	const Pd__AdminMode *b = m->u.admin_mode;
	bool set = b->action == IPC_MODE_SET;
	struct document d;
	uint32_t code;

	if (set && (client_roles(c) & ROLE_ADMIN) == 0) {
		client_reply(c, m->header.id, ERROR_ACCESS_DENIED);
		return CORE_OK;
	}
	document_begin(&d);
	code = ask_mode(c, set ? b->mode : NULL, &d.json);
	if (code == ERROR_SUCCESS) {
		document_end(&d, c, m->header.id, code);
		return CORE_OK;
	}
	document_drop(&d);
	client_reply(c, m->header.id, code);
	return CORE_OK;
}

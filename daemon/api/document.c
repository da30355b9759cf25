/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/api/document.h"

#include <string.h>

#include "common/macros.h"
#include "proto/peerdist_errors.h"

#define DOCUMENT_MAX (16u << 20)
#define TEXT_MAX     (48u * 1024u)

void
document_begin(struct document *d)
{
	buf_init(&d->text, DOCUMENT_MAX);
	json_out_init(&d->json, &d->text);
	json_out_object(&d->json, NULL);
	json_out_u64(&d->json, "v", 1);
}

static void
send_text(
	struct client *c, uint64_t id, const struct document *d, uint32_t code)
{
	char part[TEXT_MAX + 1];
	Pd__AdminText body = PD__ADMIN_TEXT__INIT;
	size_t done = 0, n;

	body.code = code;
	body.json = part;
	do {
		n = MIN_OF(d->text.len - done, TEXT_MAX);
		memcpy(part, d->text.data + done, n);
		part[n] = '\0';
		done += n;
		body.more = done < d->text.len;
		client_send(c, IPC_ADMIN_TEXT, id, &body.base);
	} while (body.more && c->state != CLIENT_GONE);
}

void
document_end(struct document *d, struct client *c, uint64_t id, uint32_t code)
{
	json_out_end_object(&d->json);
	if (buf_error(&d->text) != 0)
		client_reply(c, id, ERROR_NOT_ENOUGH_MEMORY);
	else
		send_text(c, id, d, code);
	document_drop(d);
}

void
document_drop(struct document *d)
{
	buf_done(&d->text);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* FlushContent: an operation of the session itself, with no handle. */
#include <stdlib.h>
#include <string.h>

#include "common/macros.h"
#include "daemon/core/content.h"

struct flush {
	struct store_flush request;
	struct service *service;
	struct op *op; /* NULL: ended */
};

void
flush_detach(struct flush *f)
{
	f->op = NULL;
}

static void
flush_done(struct store_flush *request)
{
	struct flush *f = container_of(request, struct flush, request);

	f->service->busy--;
	if (f->op != NULL)
		op_finish_status(f->op,
			request->status == STORE_OK ? CORE_OK : CORE_E_IO);
	free(f);
}

enum core_result
flush_start(struct session *s, uint64_t id, const uint8_t *tag)
{
	struct block_store *store = s->service->store;
	struct flush *f = calloc(1, sizeof(*f));
	enum core_result r;

	if (f == NULL)
		return CORE_E_NO_MEMORY;
	r = session_op_start(s, &s->own_scope, id, OP_FLUSH, &f->op);
	if (r != CORE_OK) {
		free(f);
		return r;
	}
	f->op->u.state = f;
	f->service = s->service;
	f->request.owner.uid = s->identity.uid;
	memcpy(f->request.owner.tag, tag, SESSION_TAG_SIZE);
	f->request.done = flush_done;
	f->service->busy++;
	store->ops->flush(store, &f->request);
	return CORE_OK;
}

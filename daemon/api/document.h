/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON documents as answers.  A long one is cut into several frames. */
#ifndef API_DOCUMENT_H
#define API_DOCUMENT_H

#include "daemon/api/client.h"

struct document {
	struct buf text;
	struct json json; /* its members are added here */
};

/* An object with "v": 1. */
void document_begin(struct document *);
/* Closes the document, sends it as the answer to request id, frees it. */
void document_end(
	struct document *, struct client *, uint64_t id, uint32_t code);
/* Without sending it. */
void document_drop(struct document *);

#endif

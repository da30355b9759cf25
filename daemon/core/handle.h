/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Typed handle numbers of a session: index and generation, so that a number
 * used after its close is refused, not mistaken for a later handle's.
 */
#ifndef CORE_HANDLE_H
#define CORE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/op.h"

struct session;

enum handle_type {
	HANDLE_CONTENT = 1,
	HANDLE_STREAM,
	HANDLE_INFO,
	/* Has no number: the file publications of a session. */
	HANDLE_FILE,
};

/* First member of what the handle names. */
struct handle {
	enum handle_type type;
	uint32_t epoch; /* of the service when it was opened */
	uint64_t number;
	struct session *session;
	struct op_scope scope;
	TAILQ_ENTRY(handle) link; /* in the session, in opening order */
};

TAILQ_HEAD(handle_list, handle);

struct handle_slot {
	struct handle *handle;
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: none */
};

struct handle_table {
	struct handle_slot *slots;
	uint32_t n_slots;
	uint32_t free_head; /* index + 1 */
	uint32_t n_live;
};

void handle_table_done(struct handle_table *);
/* Gives the handle its number.  false: out of memory. */
bool handle_add(struct handle_table *, struct handle *);
void handle_remove(struct handle_table *, struct handle *);
/* NULL: no such handle, or of another type. */
struct handle *handle_get(
	const struct handle_table *, uint64_t number, enum handle_type);

#endif

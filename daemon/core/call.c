/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that are answered later.  They are synchronous for the client, who
 * gives a daemon up that takes longer than ten seconds; so an answer comes
 * before. */
#include "common/macros.h"
#include "daemon/core/service_internal.h"

#define ANSWER_MS 5000u

static void
take_off(struct session_call *call)
{
	call->open = false;
	LIST_REMOVE(call, link);
	wheel_stop(&call->timer);
	quota_give(call->session->user, QUOTA_OPERATIONS, 1);
}

static void
on_timer(struct wheel_timer *t)
{
	call_answer(container_of(t, struct session_call, timer),
		CORE_E_UNAVAILABLE, 0);
}

enum core_result
call_begin(struct session_call *call, struct session *s, uint64_t request)
{
	if (!quota_take(s->user, QUOTA_OPERATIONS, 1))
		return CORE_E_NO_RESOURCES;
	*call = (struct session_call){
		.session = session_ref(s),
		.request = request,
		.open = true,
		.timer = {.fn = on_timer},
	};
	LIST_INSERT_HEAD(&s->calls, call, link);
	service_timer(s->service, &call->timer, ANSWER_MS);
	return CORE_OK;
}

void
call_answer(struct session_call *call, enum core_result result, uint64_t handle)
{
	struct session *s = call->session;

	if (!call->open)
		return;
	take_off(call);
	s->ops->reply(s->ctx, call->request, result, handle);
}

void
call_end(struct session_call *call, enum core_result result)
{
	call_answer(call, result, 0);
	call->session = session_unref(call->session);
}

void
call_answer_all(struct session *s, enum core_result result, bool tell)
{
	struct session_call *call;

	while ((call = LIST_FIRST(&s->calls)) != NULL) {
		if (tell)
			call_answer(call, result, 0);
		else
			take_off(call);
	}
}

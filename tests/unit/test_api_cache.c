/* SPDX-License-Identifier: BSD-2-Clause */
/* peerdistctl cache, over a store that answers when the test says so. */
#include <jansson.h>

#include "daemon/api/request.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/api_harness.h"
#include "tests/unit/failalloc.h"

static const uint8_t tag[IPC_TAG_SIZE] = "0123456789abcde";

/* What the store was asked. */
static struct {
	struct block_store_ops ops;
	struct store_list *list;
	struct store_flush *flush;
	struct store_flush *clear;
	struct store_verify *verify;
} asked;

static void
fake_list(struct block_store *s, struct store_list *r)
{
	assert_null(asked.list);
	asked.list = r;
}

static void
fake_flush(struct block_store *s, struct store_flush *r)
{
	assert_null(asked.flush);
	asked.flush = r;
}

static void
fake_clear(struct block_store *s, struct store_flush *r)
{
	assert_null(asked.clear);
	asked.clear = r;
}

static void
fake_verify(struct block_store *s, struct store_verify *r)
{
	asked.verify = r;
}

static void
fake_stats(struct block_store *s, struct store_stats *ret)
{
	*ret = (struct store_stats){.blocks = 7,
		.bytes = 70,
		.disk_bytes = 100,
		.max_bytes = 1000,
		.hits = 3,
		.misses = 4,
		.health = STORE_FULL};
}

static int
setup(void **state)
{
	if (harness_setup(state) != 0)
		return -1;
	memset(&asked, 0, sizeof(asked));
	asked.ops = *h.store->ops;
	asked.ops.list = fake_list;
	asked.ops.flush = fake_flush;
	asked.ops.clear = fake_clear;
	asked.ops.verify = fake_verify;
	asked.ops.stats = fake_stats;
	h.store->ops = &asked.ops;
	return 0;
}

static struct end
client_as(uint32_t uid)
{
	struct end e;

	end_open(&e, connect_as(uid));
	greet(&e, 0);
	return e;
}

static void
put_cache(struct end *e, uint64_t id, const Pd__AdminCache *body)
{
	put(e, IPC_ADMIN_CACHE, id, body);
}

static void
put_action(struct end *e, uint64_t id, uint32_t action)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;

	body.action = action;
	put_cache(e, id, &body);
}

static void
put_tag(struct end *e, uint64_t id)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;

	body.action = IPC_CACHE_FLUSH;
	body.tag = (ProtobufCBinaryData){sizeof(tag), (uint8_t *)tag};
	put_cache(e, id, &body);
}

/* The answer, whatever progress was told before. */
static void
get_answer(struct end *e, enum ipc_type type, uint64_t id, struct ipc_msg *ret)
{
	for (;;) {
		TURN_UNTIL(get_now(e, ret) || e->closed);
		assert_false(e->closed);
		if (ret->header.type != IPC_PROGRESS)
			break;
		ipc_msg_done(ret);
	}
	assert_int_equal(ret->header.type, type);
	assert_int_equal(ret->header.id, id);
}

static json_t *
get_document(struct end *e, uint64_t id)
{
	struct ipc_msg m;
	json_t *document;

	get_answer(e, IPC_ADMIN_TEXT, id, &m);
	assert_int_equal(m.u.admin_text->code, 0);
	assert_false(m.u.admin_text->more);
	document =
		json_loads(m.u.admin_text->json, JSON_REJECT_DUPLICATES, NULL);
	ipc_msg_done(&m);
	assert_int_equal(json_integer_value(json_object_get(document, "v")), 1);
	return document;
}

static uint32_t
get_refusal(struct end *e, uint64_t id)
{
	struct ipc_msg m;
	uint32_t code;

	get_answer(e, IPC_REPLY, id, &m);
	code = m.u.reply->code;
	ipc_msg_done(&m);
	return code;
}

static json_int_t
number(const json_t *object, const char *member)
{
	const json_t *v = json_object_get(object, member);

	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

static const char *
string(const json_t *object, const char *member)
{
	const char *s = json_string_value(json_object_get(object, member));

	assert_non_null(s);
	return s;
}

static void
everybody_sees_how_full_it_is(void **state)
{
	struct end e = client_as(ALICE);
	const json_t *store;
	json_t *d;

	put_action(&e, 5, IPC_CACHE_SHOW);
	d = get_document(&e, 5);
	store = json_object_get(d, "store");
	assert_int_equal(number(store, "blocks"), 7);
	assert_int_equal(number(store, "disk_bytes"), 100);
	assert_int_equal(number(store, "hits"), 3);
	assert_int_equal(number(store, "misses"), 4);
	assert_string_equal(string(store, "health"), "full");
	json_decref(d);
	end_close(&e);
}

/* Two rows, of which the second has the id 0202. */
static void
answer_list(bool more)
{
	struct store_list *r = asked.list;

	asked.list = NULL;
	assert_true(r->max_rows >= 2);
	r->rows[0] = (struct store_listed){.id = {1},
		.id_len = 32,
		.blocks = 2,
		.bytes = 99,
		.proved = 2,
		.born_s = 1234,
		.n_owners = 3};
	r->rows[1] = (struct store_listed){
		.id = {2, 2}, .id_len = 2, .blocks = 1, .sealed = 1};
	r->n_rows = 2;
	r->more = more;
	r->status = STORE_OK;
	r->done(r);
}

static void
administrators_list_everything(void **state)
{
	struct end e = client_as(ROOT);
	const json_t *rows;
	json_t *d;

	put_action(&e, 5, IPC_CACHE_LIST);
	TURN_UNTIL(asked.list != NULL);
	assert_false(asked.list->only_owner);
	assert_int_equal(asked.list->after_len, 0);
	answer_list(true);
	d = get_document(&e, 5);
	assert_true(json_is_true(json_object_get(d, "more")));
	assert_string_equal(string(d, "after"), "0202");
	rows = json_object_get(d, "segments");
	assert_int_equal(json_array_size(rows), 2);
	assert_int_equal(strlen(string(json_array_get(rows, 0), "id")), 64);
	assert_int_equal(number(json_array_get(rows, 0), "owners"), 3);
	assert_int_equal(number(json_array_get(rows, 0), "born"), 1234);
	assert_string_equal(string(json_array_get(rows, 0), "kind"), "proved");
	assert_string_equal(string(json_array_get(rows, 1), "kind"), "sealed");
	json_decref(d);
	end_close(&e);
}

static void
others_list_their_own(void **state)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	struct end e = client_as(BOB);
	const json_t *row;
	json_t *d;

	body.action = IPC_CACHE_LIST;
	body.after = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
	body.limit = 17;
	put_cache(&e, 5, &body);
	TURN_UNTIL(asked.list != NULL);
	assert_true(asked.list->only_owner);
	assert_int_equal(asked.list->uid, BOB);
	assert_int_equal(asked.list->after_len, 3);
	assert_memory_equal(asked.list->after, "abc", 3);
	assert_int_equal(asked.list->max_rows, 17);
	answer_list(false);
	d = get_document(&e, 5);
	assert_true(json_is_false(json_object_get(d, "more")));
	row = json_array_get(json_object_get(d, "segments"), 0);
	/* Whether others share it is not his business. */
	assert_null(json_object_get(row, "owners"));
	assert_null(json_object_get(row, "proved"));
	json_decref(d);
	end_close(&e);
}

static void
answer_flush(struct store_flush **request, enum store_status status)
{
	struct store_flush *r = *request;

	*request = NULL;
	r->status = status;
	r->done(r);
}

static void
a_tag_is_flushed_for_its_user(void **state)
{
	struct end e = client_as(BOB);

	put_tag(&e, 5);
	TURN_UNTIL(asked.flush != NULL);
	assert_int_equal(asked.flush->owner.uid, BOB);
	assert_memory_equal(asked.flush->owner.tag, tag, sizeof(tag));
	assert_false(service_idle(h.service));
	answer_flush(&asked.flush, STORE_OK);
	assert_true(service_idle(h.service));
	json_decref(get_document(&e, 5));
	put_tag(&e, 6);
	TURN_UNTIL(asked.flush != NULL);
	answer_flush(&asked.flush, STORE_DISK_FULL);
	assert_int_equal(get_refusal(&e, 6), ERROR_DISK_FULL);
	/* What the API refuses him is refused here. */
	h.settings.policy.clients.all = false;
	assert_int_equal(service_configure(h.service, &h.settings), 0);
	put_tag(&e, 7);
	assert_int_equal(get_refusal(&e, 7), ERROR_ACCESS_DISABLED_BY_POLICY);
	end_close(&e);
}

static void
the_rest_is_for_administrators(void **state)
{
	static const uint32_t actions[] = {
		IPC_CACHE_FLUSH, IPC_CACHE_VERIFY, IPC_CACHE_SET_SIZE};
	struct end e = client_as(ALICE);
	struct end root = client_as(ROOT);

	for (size_t i = 0; i < 3; i++) {
		put_action(&e, i, actions[i]);
		assert_int_equal(get_refusal(&e, i), ERROR_ACCESS_DENIED);
	}
	put_action(&root, 9, IPC_CACHE_FLUSH);
	TURN_UNTIL(asked.clear != NULL);
	assert_null(asked.flush);
	answer_flush(&asked.clear, STORE_OK);
	json_decref(get_document(&root, 9));
	end_close(&e);
	end_close(&root);
}

static void
a_check_tells_how_far_it_is(void **state)
{
	struct end e = client_as(ROOT);
	struct ipc_msg m;
	json_t *d;

	put_action(&e, 5, IPC_CACHE_VERIFY);
	TURN_UNTIL(asked.verify != NULL);
	assert_false(asked.verify->repair);
	asked.verify->done_bytes = 40;
	asked.verify->total_bytes = 100;
	asked.verify->progress(asked.verify);
	for (int i = 0; i < 2; i++) {
		get(&e, IPC_PROGRESS, 5, &m);
		assert_int_equal(m.u.progress->done, 40);
		assert_int_equal(m.u.progress->total, 100);
		assert_false(m.u.progress->operation);
		ipc_msg_done(&m);
	}
	/* Other requests are answered meanwhile. */
	put_action(&e, 6, IPC_CACHE_SHOW);
	TURN_UNTIL(get_now(&e, &m) && m.header.type == IPC_ADMIN_TEXT);
	assert_int_equal(m.header.id, 6);
	ipc_msg_done(&m);
	asked.verify->rotten = 2;
	asked.verify->dangling = 1;
	asked.verify->status = STORE_OK;
	asked.verify->done(asked.verify);
	d = get_document(&e, 5);
	assert_int_equal(number(d, "rotten"), 2);
	assert_int_equal(number(d, "dangling"), 1);
	assert_int_equal(number(d, "damaged_volumes"), 0);
	json_decref(d);
	end_close(&e);
}

static void
a_check_stops_with_its_client(void **state)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	struct end e = client_as(ROOT);

	body.action = IPC_CACHE_VERIFY;
	body.repair = true;
	put_cache(&e, 5, &body);
	TURN_UNTIL(asked.verify != NULL);
	assert_true(asked.verify->repair);
	assert_false(asked.verify->stop);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
	assert_true(asked.verify->stop);
	/* The store is at it until it says so. */
	assert_false(service_idle(h.service));
	asked.verify->status = STORE_OK;
	asked.verify->done(asked.verify);
	assert_true(service_idle(h.service));
}

static void
what_was_begun_outlives_its_client(void **state)
{
	struct end e = client_as(ROOT);

	put_action(&e, 5, IPC_CACHE_FLUSH);
	put_action(&e, 6, IPC_CACHE_LIST);
	TURN_UNTIL(asked.clear != NULL && asked.list != NULL);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 0);
	answer_flush(&asked.clear, STORE_OK);
	answer_list(false);
	assert_true(service_idle(h.service));
}

static void
a_client_has_a_few_requests(void **state)
{
	struct store_verify *running[REQUESTS_MAX];
	struct end e = client_as(ROOT);

	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		put_action(&e, i, IPC_CACHE_VERIFY);
		TURN_UNTIL(asked.verify != NULL);
		running[i] = asked.verify;
		asked.verify = NULL;
	}
	put_action(&e, 50, IPC_CACHE_LIST);
	assert_int_equal(get_refusal(&e, 50), ERROR_NO_SYSTEM_RESOURCES);
	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		running[i]->status = STORE_IO;
		running[i]->done(running[i]);
		assert_int_equal(get_refusal(&e, i), ERROR_IO_DEVICE);
	}
	put_action(&e, 51, IPC_CACHE_LIST);
	TURN_UNTIL(asked.list != NULL);
	answer_list(false);
	json_decref(get_document(&e, 51));
	end_close(&e);
}

static void
without_memory_it_says_so(void **state)
{
	struct end e = client_as(ROOT);
	bool failed;

	/* Frames and their answers need none of their own. */
	put_action(&e, 5, IPC_CACHE_LIST);
	failalloc_arm(1);
	assert_int_equal(get_code(&e, IPC_REPLY, 5), ERROR_NOT_ENOUGH_MEMORY);
	failed = failalloc_disarm();
	assert_true(failed);
	assert_true(service_idle(h.service));
	end_close(&e);
}

static enum core_result
hook_set_size(void *ctx, enum ipc_cache cache, const char *size, struct json *j)
{
	if (strcmp(size, "locked") == 0)
		return CORE_E_DISABLED;
	if (cache != IPC_CACHE_HASH || strcmp(size, "3G") != 0)
		return CORE_E_BAD_PARAMETER;
	json_out_u64(j, "bytes", 3);
	return CORE_OK;
}

static uint32_t
set_size(struct end *e, uint64_t id, uint32_t cache, const char *size)
{
	Pd__AdminCache body = PD__ADMIN_CACHE__INIT;
	struct ipc_msg m;
	uint32_t code;

	body.action = IPC_CACHE_SET_SIZE;
	body.cache = cache;
	body.size = (char *)size;
	put_cache(e, id, &body);
	get(e, IPC_ADMIN_TEXT, id, &m);
	code = m.u.admin_text->code;
	if (code == 0)
		assert_non_null(strstr(m.u.admin_text->json, "\"bytes\":3"));
	ipc_msg_done(&m);
	return code;
}

static void
sizes_go_to_the_manager(void **state)
{
	struct end e = client_as(ROOT);

	put_action(&e, 1, IPC_CACHE_SET_SIZE);
	assert_int_equal(get_code(&e, IPC_REPLY, 1), ERROR_NOT_SUPPORTED);
	h.set.hooks.set_size = hook_set_size;
	assert_int_equal(set_size(&e, 2, IPC_CACHE_HASH, "3G"), 0);
	assert_int_equal(
		set_size(&e, 3, IPC_CACHE_DATA, "3G"), ERROR_INVALID_PARAMETER);
	assert_int_equal(set_size(&e, 4, 0, "3G"), ERROR_INVALID_PARAMETER);
	assert_int_equal(set_size(&e, 5, IPC_CACHE_DATA, "locked"),
		ERROR_ACCESS_DISABLED_BY_POLICY);
	end_close(&e);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, harness_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(everybody_sees_how_full_it_is),
		T(administrators_list_everything),
		T(others_list_their_own),
		T(a_tag_is_flushed_for_its_user),
		T(the_rest_is_for_administrators),
		T(a_check_tells_how_far_it_is),
		T(a_check_stops_with_its_client),
		T(what_was_begun_outlives_its_client),
		T(a_client_has_a_few_requests),
		T(without_memory_it_says_so),
		T(sizes_go_to_the_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

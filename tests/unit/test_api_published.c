/* SPDX-License-Identifier: BSD-2-Clause */
/* Standing publications on the socket: who publishes, who sees what, who may
 * take back. */
#include <jansson.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/macros.h"
#include "daemon/api/request.h"
#include "tests/unit/api_harness.h"

#define OP(n)    ipc_op_id((n), 1)
#define MIB      (1u << 20)
#define LONG_AGO 5000 /* ms */

static void
put_publish(struct end *e, uint64_t op, const char *path, size_t len,
	uint32_t versions)
{
	Pd__SubmitPublishStanding b = PD__SUBMIT_PUBLISH_STANDING__INIT;
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	b.path.data = (uint8_t *)path;
	b.path.len = strlen(path);
	b.versions = versions;
	assert_int_equal(ipc_chan_queue(e->chan, IPC_SUBMIT_PUBLISH_STANDING,
				 op, &b.base, &fd, 1),
		0);
	assert_int_equal(ipc_chan_flush(e->chan), 0);
	close(fd);
}

static void
publish(struct end *e, uint32_t n, const char *path, size_t len)
{
	put_publish(e, OP(n), path, len, 3);
	assert_int_equal(get_code(e, IPC_ACK, OP(n)), 0);
	assert_int_equal(get_complete(e, OP(n)), 0);
}

static void
ask(struct end *e, uint32_t action, uint64_t publication, uint64_t after,
	uint32_t limit)
{
	Pd__AdminPublished b = PD__ADMIN_PUBLISHED__INIT;

	b.action = action;
	b.publication = publication;
	b.after = after;
	b.limit = limit;
	put(e, IPC_ADMIN_PUBLISHED, 1000, &b);
}

static json_t *
get_document(struct end *e)
{
	char *text = calloc(1, 1);
	bool more = true;
	json_t *doc;

	while (more) {
		struct ipc_msg m;

		get(e, IPC_ADMIN_TEXT, 1000, &m);
		assert_int_equal(m.u.admin_text->code, 0);
		more = m.u.admin_text->more;
		text = realloc(
			text, strlen(text) + strlen(m.u.admin_text->json) + 1);
		strcat(text, m.u.admin_text->json);
		ipc_msg_done(&m);
	}
	doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	assert_int_equal(json_integer_value(json_object_get(doc, "v")), 1);
	free(text);
	return doc;
}

static json_t *
list(struct end *e, uint64_t after, uint32_t limit)
{
	ask(e, IPC_PUBLISHED_LIST, 0, after, limit);
	return get_document(e);
}

static uint64_t
number(const json_t *doc, const char *key)
{
	const json_t *v = json_object_get(doc, key);

	assert_true(json_is_integer(v));
	return (uint64_t)json_integer_value(v);
}

static const char *
text(const json_t *doc, const char *key)
{
	return json_string_value(json_object_get(doc, key));
}

/* How many the asker sees, and the id of the last of them. */
static size_t
count(struct end *e, uint64_t *ret_id)
{
	json_t *doc = list(e, 0, 0);
	json_t *rows = json_object_get(doc, "publications");
	size_t n = json_array_size(rows);

	if (n > 0)
		*ret_id = number(json_array_get(rows, n - 1), "id");
	json_decref(doc);
	return n;
}

static int
setup(void **state)
{
	int r = harness_setup(state);

	/* What is made now was made long ago for the service. */
	h.ahead_ms = LONG_AGO;
	return r;
}

static void
test_members(void **state)
{
	struct end e = session_as(ALICE);
	json_t *doc, *row;
	uint64_t id = 0;

	publish(&e, 1, "/srv/\x01\xc3\xa4\xff", 3 * MIB);
	doc = list(&e, 0, 0);
	assert_true(json_is_false(json_object_get(doc, "more")));
	row = json_array_get(json_object_get(doc, "publications"), 0);
	assert_int_equal(json_object_size(row), 8);
	id = number(row, "id");
	assert_string_equal(text(row, "path"), "/srv/\x01\xc3\xa4\xef\xbf\xbd");
	assert_int_equal(number(row, "uid"), ALICE);
	assert_int_equal(number(row, "size"), 3 * MIB);
	assert_string_equal(text(row, "versions"), "1,2");
	assert_true(json_is_false(json_object_get(row, "watched")));
	assert_true(number(row, "published") > 1700000000);
	assert_int_equal(number(row, "hash_bytes"), 10 + 48 * 32 + 24 * 36);
	json_decref(doc);
	ask(&e, IPC_PUBLISHED_SHOW, id, 0, 0);
	doc = get_document(&e);
	assert_int_equal(json_object_size(doc), 1 + 8 + 2);
	assert_int_equal(number(doc, "id"), id);
	assert_int_equal(number(doc, "blocks"), 48);
	row = json_object_get(doc, "segments");
	assert_int_equal(number(row, "1"), 1);
	assert_int_equal(number(row, "2"), 24);
	json_decref(doc);
	end_close(&e);
}

/* Everybody sees his own, administrators all. */
static void
test_whose(void **state)
{
	struct end alice = session_as(ALICE), bob = session_as(BOB);
	struct end root = session_as(ROOT);
	uint64_t a = 0, b = 0, any = 0;

	publish(&alice, 1, "/a", 100);
	publish(&bob, 1, "/a", 100);
	publish(&bob, 2, "/b", 100);
	assert_int_equal(count(&alice, &a), 1);
	assert_int_equal(count(&bob, &b), 2);
	assert_int_equal(count(&root, &any), 3);
	assert_int_equal(any, b);
	/* Another's is as good as none. */
	ask(&alice, IPC_PUBLISHED_SHOW, b, 0, 0);
	assert_int_equal(get_code(&alice, IPC_REPLY, 1000), ERROR_NOT_FOUND);
	ask(&alice, IPC_PUBLISHED_SHOW, b + 1, 0, 0);
	assert_int_equal(get_code(&alice, IPC_REPLY, 1000), ERROR_NOT_FOUND);
	ask(&alice, IPC_PUBLISHED_SHOW, 0, 0, 0);
	assert_int_equal(get_code(&alice, IPC_REPLY, 1000), ERROR_NOT_FOUND);
	ask(&alice, IPC_PUBLISHED_REMOVE, b, 0, 0);
	assert_int_equal(get_code(&alice, IPC_REPLY, 1000), ERROR_NOT_FOUND);
	ask(&root, IPC_PUBLISHED_SHOW, b, 0, 0);
	json_decref(get_document(&root));
	ask(&alice, IPC_PUBLISHED_REMOVE, a, 0, 0);
	json_decref(get_document(&alice));
	assert_int_equal(count(&alice, &any), 0);
	ask(&root, IPC_PUBLISHED_REMOVE, b, 0, 0);
	json_decref(get_document(&root));
	ask(&root, IPC_PUBLISHED_REMOVE, b, 0, 0);
	assert_int_equal(get_code(&root, IPC_REPLY, 1000), ERROR_NOT_FOUND);
	assert_int_equal(count(&root, &any), 1);
	end_close(&alice);
	end_close(&bob);
	end_close(&root);
}

static void
test_pages(void **state)
{
	struct end e = session_as(ALICE), bob = session_as(BOB);
	uint64_t after = 0;
	size_t seen = 0, n, i;
	json_t *doc, *row;
	char path[32];
	bool more;

	for (i = 0; i < 7; i++) {
		snprintf(path, sizeof(path), "/%zu", i);
		publish(&e, 1, path, 10);
		publish(&bob, 1, path, 10);
	}
	do {
		doc = list(&e, after, 3);
		more = json_is_true(json_object_get(doc, "more"));
		n = json_array_size(json_object_get(doc, "publications"));
		assert_int_equal(n, more ? 3 : 1);
		json_array_foreach(json_object_get(doc, "publications"), i, row)
		{
			snprintf(path, sizeof(path), "/%zu", seen++);
			assert_string_equal(text(row, "path"), path);
			assert_true(number(row, "id") > after);
			after = number(row, "id");
		}
		json_decref(doc);
	} while (more);
	assert_int_equal(seen, 7);
	doc = list(&e, UINT64_MAX, 3);
	assert_int_equal(
		json_array_size(json_object_get(doc, "publications")), 0);
	json_decref(doc);
	end_close(&e);
	end_close(&bob);
}

/* A page ends behind many of others, so that whoever has nothing does not make
 * the service read everything at once. */
static void
test_pages_of_others(void **state)
{
	struct end e = session_as(ALICE), bob = session_as(BOB);
	uint64_t after = 0, id = 0;
	json_t *doc, *rows;
	char path[32];

	for (size_t i = 0; i < 1001; i++) {
		snprintf(path, sizeof(path), "/%zu", i);
		publish(&bob, 1, path, 1);
	}
	publish(&e, 1, "/mine", 1);
	for (size_t page = 0; page < 3; page++) {
		doc = list(&e, after, 0);
		rows = json_object_get(doc, "publications");
		assert_int_equal(json_array_size(rows), page == 2);
		assert_int_equal(
			json_is_true(json_object_get(doc, "more")), page != 2);
		if (page != 2) {
			assert_true(number(doc, "after") > after);
			after = number(doc, "after");
		} else {
			assert_null(json_object_get(doc, "after"));
			id = number(json_array_get(rows, 0), "id");
		}
		json_decref(doc);
	}
	assert_true(id > after);
	end_close(&e);
	end_close(&bob);
}

static void
test_refused(void **state)
{
	struct end e = session_as(ALICE);
	Pd__AdminPublished b = PD__ADMIN_PUBLISHED__INIT;

	put_publish(&e, OP(1), "/a", 100, 4);
	assert_int_equal(get_code(&e, IPC_ACK, OP(1)), ERROR_INVALID_PARAMETER);
	put_publish(&e, OP(2), "/a", 0, 3);
	assert_int_equal(get_code(&e, IPC_ACK, OP(2)), ERROR_INVALID_DATA);
	h.ahead_ms = 0;
	put_publish(&e, OP(3), "/a", 100, 3);
	assert_int_equal(get_code(&e, IPC_ACK, OP(3)), 0);
	assert_int_equal(get_complete(&e, OP(3)), ERROR_NOT_READY);
	service_set_hash_store(h.service, NULL);
	put_publish(&e, OP(4), "/a", 100, 3);
	assert_int_equal(get_code(&e, IPC_ACK, OP(4)),
		PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	b.action = IPC_PUBLISHED_REMOVE;
	b.publication = 1;
	put(&e, IPC_ADMIN_PUBLISHED, 5, &b);
	assert_int_equal(
		get_code(&e, IPC_REPLY, 5), PEERDIST_ERROR_SERVICE_UNAVAILABLE);
	/* A path that is not absolute breaks the protocol. */
	put_publish(&e, OP(5), "a", 100, 3);
	get_closed(&e);
	end_close(&e);
}

static void
test_progress(void **state)
{
	struct end e = session_as(ALICE);
	struct ipc_msg m;

	put_publish(&e, OP(1), "/a", 3 * MIB, 1);
	assert_int_equal(get_code(&e, IPC_ACK, OP(1)), 0);
	h.ahead_ms += 200;
	get(&e, IPC_PROGRESS, OP(1), &m);
	assert_true(m.u.progress->operation);
	assert_int_equal(m.u.progress->done, MIB);
	assert_int_equal(m.u.progress->total, 3 * MIB);
	ipc_msg_done(&m);
	assert_int_equal(get_complete(&e, OP(1)), 0);
	end_close(&e);
}

static void
put_info_open(struct end *e, uint64_t id)
{
	Pd__InfoOpen b = PD__INFO_OPEN__INIT;

	b.identifier.data = (uint8_t *)"/a";
	b.identifier.len = 2;
	b.min_version = 1;
	b.max_version = 2;
	put(e, IPC_INFO_OPEN, id, &b);
}

/* The answer comes later, and others do not wait for it. */
static void
test_open_and_unpublish(void **state)
{
	Pd__Identifier identifier = PD__IDENTIFIER__INIT;
	struct end e = session_as(ALICE);
	Pd__Handle handle = PD__HANDLE__INIT;
	struct ipc_msg m;

	publish(&e, 1, "/a", 100);
	put_info_open(&e, 20);
	put(&e, IPC_STATUS_GET, 21, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 21), 0);
	handle.handle = get_handle(&e, 20);
	assert_int_not_equal(handle.handle, 0);
	put(&e, IPC_INFO_CLOSE, 22, &handle);
	assert_int_equal(get_code(&e, IPC_REPLY, 22), 0);
	identifier.identifier.data = (uint8_t *)"/a";
	identifier.identifier.len = 2;
	put(&e, IPC_UNPUBLISH, 23, &identifier);
	assert_int_equal(get_code(&e, IPC_REPLY, 23), 0);
	put_info_open(&e, 24);
	assert_int_equal(get_code(&e, IPC_REPLY, 24), ERROR_NOT_FOUND);
	/* The end of the session answers what is open, before its own. */
	publish(&e, 2, "/a", 100);
	put_info_open(&e, 25);
	put(&e, IPC_SESSION_END, 26, NULL);
	assert_int_equal(get_code(&e, IPC_REPLY, 25), ERROR_INVALID_HANDLE);
	assert_int_equal(get_code(&e, IPC_REPLY, 26), 0);
	put(&e, IPC_STATUS_GET, 27, NULL);
	get(&e, IPC_REPLY, 27, &m);
	ipc_msg_done(&m);
	end_close(&e);
}

/* Clients that do not wait for the end. */
static void
test_gone(void **state)
{
	struct end e = session_as(ALICE), other = session_as(ALICE);
	uint64_t id = 0;

	publish(&other, 1, "/a", 100);
	assert_int_equal(count(&other, &id), 1);
	/* Hashing: abandoned. */
	put_publish(&e, OP(1), "/b", 3 * MIB, 3);
	assert_int_equal(get_code(&e, IPC_ACK, OP(1)), 0);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 1);
	TURN_UNTIL(service_idle(h.service));
	assert_int_equal(count(&other, &id), 1);
	/* Opening: nobody to tell. */
	e = session_as(ALICE);
	put_info_open(&e, 2);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 1);
	TURN_UNTIL(service_idle(h.service));
	/* Removing: done all the same. */
	e = session_as(ALICE);
	ask(&e, IPC_PUBLISHED_REMOVE, id, 0, 0);
	end_close(&e);
	TURN_UNTIL(h.set.n_clients == 1);
	TURN_UNTIL(service_idle(h.service));
	assert_int_equal(count(&other, &id), 0);
	end_close(&other);
}

int
main(void)
{
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_members),
		TEST(test_whose),
		TEST(test_pages),
		TEST(test_pages_of_others),
		TEST(test_refused),
		TEST(test_progress),
		TEST(test_open_and_unpublish),
		TEST(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

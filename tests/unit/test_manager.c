/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the manager that can be tried alone; the whole is what
 * tests/integration starts. */
#include "daemon/manager_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/pccrr.h"
#include "common/fdutil.h"
#include "common/macros.h"
#include "common/secmem.h"
#include "daemon/log.h"
#include "daemon/manager_secret.h"
#include "daemon/manager_socket.h"
#include "failalloc.h"

static char folder[64];

static const char *
path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
	return path[next];
}

static int
setup(void **state)
{
	log_set_level(-1);
	snprintf(folder, sizeof(folder), "/tmp/test_manager.XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	static const char *const names[] = {SECRET_FILE, "other", "s", "s.lock",
		("state/" SECRET_FILE), "state"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)remove(path_of(names[i]));
	/* Fails when something else was left behind. */
	return rmdir(folder);
}

/* Server secret. */

static int
load(const char *where, uint8_t *ret_first, size_t *ret_len, const char **why)
{
	uint8_t *key = NULL;
	int r = secret_load(where, &key, ret_len, why);

	if (r != 0)
		return r;
	memcpy(ret_first, key, SECRET_SIZE_MIN);
	sec_free(key, SECRET_SIZE_MAX);
	return 0;
}

static void
test_secret_is_made_once(void **state)
{
	uint8_t one[SECRET_SIZE_MIN], two[SECRET_SIZE_MIN];
	uint8_t zero[SECRET_SIZE_MIN] = {0};
	const char *why;
	struct stat st;
	size_t len;

	assert_int_equal(load(path_of("state"), one, &len, &why), 0);
	assert_int_equal(len, SECRET_SIZE);
	assert_int_equal(stat(path_of("state"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(path_of("state/" SECRET_FILE), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, SECRET_SIZE);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(load(path_of("state"), two, &len, &why), 0);
	assert_memory_equal(one, two, sizeof(one));
	assert_memory_not_equal(one, zero, sizeof(one));
}

static void
assert_refused(const char *want)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why = "";
	size_t len;

	assert_true(load(folder, key, &len, &why) < 0);
	if (strstr(why, want) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", want, why);
}

static void
write_secret(size_t len, mode_t mode)
{
	static const uint8_t bytes[SECRET_SIZE_MAX + 1] = {1, 2, 3};

	(void)unlink(path_of(SECRET_FILE));
	assert_int_equal(
		fd_write_file(path_of(SECRET_FILE), bytes, len, 0600), 0);
	assert_int_equal(chmod(path_of(SECRET_FILE), mode), 0);
}

static void
test_secret_refuses(void **state)
{
	uint8_t key[SECRET_SIZE_MIN];
	const char *why;
	size_t len;

	write_secret(SECRET_SIZE, 0640);
	assert_refused("permissions");
	write_secret(SECRET_SIZE, 0604);
	assert_refused("permissions");
	write_secret(SECRET_SIZE_MIN - 1, 0600);
	assert_refused("16");
	write_secret(SECRET_SIZE_MAX + 1, 0600);
	assert_refused("4096");
	write_secret(SECRET_SIZE_MAX, 0400);
	assert_int_equal(load(folder, key, &len, &why), 0);
	assert_int_equal(len, SECRET_SIZE_MAX);
	assert_int_equal(rename(path_of(SECRET_FILE), path_of("other")), 0);
	assert_int_equal(symlink("other", path_of(SECRET_FILE)), 0);
	assert_refused("symbolic link");
	assert_int_equal(unlink(path_of(SECRET_FILE)), 0);
	assert_int_equal(mkfifo(path_of(SECRET_FILE), 0600), 0);
	assert_refused("regular");
}

static void
test_secret_of_another(void **state)
{
	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		skip();
	}
	write_secret(SECRET_SIZE, 0600);
	assert_int_equal(chown(path_of(SECRET_FILE), 1, 1), 0);
	assert_refused("another user");
}

/* Control socket. */

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ? 0 : -errno;
	close(fd);
	return r;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_socket_own(void **state)
{
	struct control_socket s, second;
	const char *why;
	struct stat st;

	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_true(s.own);
	assert_int_equal(stat(path_of("s"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(connect_to(path_of("s")), 0);
	assert_int_equal(
		control_socket_open(&second, path_of("s"), &why), -EADDRINUSE);
	assert_non_null(strstr(why, "another daemon"));
	assert_int_equal(connect_to(path_of("s")), 0);
	control_socket_close(&s);
	assert_int_equal(connect_to(path_of("s")), -ENOENT);
}

static void
test_socket_stale(void **state)
{
	struct control_socket s;
	const char *why;

	close(listen_at(path_of("s")));
	assert_int_equal(connect_to(path_of("s")), -ECONNREFUSED);
	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_int_equal(connect_to(path_of("s")), 0);
	control_socket_close(&s);
}

static void
test_socket_of_others_stays(void **state)
{
	struct control_socket s;
	const char *why;
	int fd = listen_at(path_of("s"));

	assert_int_equal(
		control_socket_open(&s, path_of("s"), &why), -EADDRINUSE);
	assert_non_null(strstr(why, "another program"));
	assert_int_equal(connect_to(path_of("s")), 0);
	close(fd);
	assert_int_equal(unlink(path_of("s")), 0);
	assert_int_equal(fd_write_file(path_of("s"), "x", 1, 0600), 0);
	assert_int_equal(control_socket_open(&s, path_of("s"), &why), -EEXIST);
	assert_int_equal(access(path_of("s"), F_OK), 0);
}

/* What another daemon has put there meanwhile is not removed at the end. */
static void
test_socket_replaced_stays(void **state)
{
	struct control_socket s;
	const char *why;
	int fd;

	assert_int_equal(control_socket_open(&s, path_of("s"), &why), 0);
	assert_int_equal(unlink(path_of("s")), 0);
	fd = listen_at(path_of("s"));
	control_socket_close(&s);
	assert_int_equal(connect_to(path_of("s")), 0);
	close(fd);
}

static void
test_socket_without_folder(void **state)
{
	struct control_socket s;
	const char *why;

	assert_int_equal(
		control_socket_open(&s, path_of("none/s"), &why), -ENOENT);
	assert_non_null(strstr(why, "folder"));
}

/* Settings. */

static void
test_settings_for_service(void **state)
{
	static const char *const sets[] = {"Service.Mode=distributed",
		"Access.ClientGroups=3 4", "Network.Encryption=aes-256",
		"Retrieval.Peers=127.0.0.1:80",
		"Retrieval.RequestTimeout=1500us", "Limits.PerUidOperations=9",
		"Limits.DataArea=1M"};
	struct conf *c = conf_new();
	struct service_settings s;
	struct client_limits limits;

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		assert_int_equal(conf_read_set(c, sets[i], NULL, NULL), 0);
	settings_for_service(c, &s);
	assert_true(s.policy.enabled);
	assert_int_equal(s.policy.mode, MODE_DISTRIBUTED);
	assert_int_equal(s.policy.clients.n, 2);
	assert_int_equal(s.policy.clients.gids[1], 4);
	assert_true(s.policy.publishers.all);
	assert_int_equal(s.encryption, PCCRR_AES256);
	assert_int_equal(s.n_peers, 1);
	assert_int_equal(s.request_timeout_ms, 2);
	assert_int_equal(s.quarantine_ms, 600000);
	assert_int_equal(s.limits.max[QUOTA_OPERATIONS], 9);
	assert_int_equal(s.limits.max[QUOTA_BUFFER_BYTES], 256u << 20);
	assert_int_equal(s.limits.content_info_bytes, 64u << 20);
	settings_for_clients(c, &limits);
	assert_int_equal(limits.write_size, 1u << 19);
	assert_int_equal(limits.read_size, 1u << 19);
	conf_free(c);
}

static void
test_cache_bytes(void **state)
{
	struct conf *c = conf_new();
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) *
		(uint64_t)sysconf(_SC_PAGESIZE);

	conf_read_set(c, "DataCache.MaxSize=3M", NULL, NULL);
	assert_int_equal(settings_cache_bytes(c), 3u << 20);
	conf_read_set(c, "DataCache.MaxSize=100%", NULL, NULL);
	conf_read_set(c, "DataCache.Directory=/none", NULL, NULL);
	assert_true(settings_cache_bytes(c) > 1);
	assert_true(settings_cache_bytes(c) <= memory / 4);
	conf_free(c);
}

static int
report_problems(void *arg)
{
	struct problems p = {.n = 0};
	struct json j;
	struct buf out;
	int r;

	for (unsigned i = 0; i < 2 * PROBLEMS_MAX; i++)
		problems_add(&p, "F:1", "bad");
	assert_int_equal(p.n, 2 * PROBLEMS_MAX);
	buf_init(&out, 1u << 20);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_problems(&j, &p);
	json_out_end_object(&j);
	r = buf_error(&out);
	if (r == 0)
		assert_non_null(memmem(out.data, out.len, "\"F:1: bad\"", 10));
	buf_done(&out);
	problems_done(&p);
	assert_int_equal(p.n, 0);
	return r;
}

static void
test_problems(void **state)
{
	assert_true(failalloc_each(report_problems, NULL) > PROBLEMS_MAX / 2);
}

static void
test_config_document(void **state)
{
	static const char want[] =
		"{\"section\":\"Retrieval\",\"name\":\"Peers\",\"value\":"
		"[\"127.0.0.1:80\",\"[::1]:81\"],\"default\":[],"
		"\"origin\":\"--set\",\"locked\":false}";
	struct conf *c = conf_new();
	struct json j;
	struct buf out;

	conf_read_set(c, "Retrieval.Peers=127.0.0.1:80 [::1]:81", NULL, NULL);
	buf_init(&out, 1u << 20);
	json_out_init(&j, &out);
	json_out_object(&j, NULL);
	settings_put_config(&j, c);
	json_out_end_object(&j);
	assert_int_equal(buf_error(&out), 0);
	assert_non_null(memmem(out.data, out.len, want, strlen(want)));
	assert_null(memmem(out.data, out.len, "HostedCache", 11));
	buf_done(&out);
	conf_free(c);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_secret_is_made_once),
		IN_FOLDER(test_secret_refuses),
		IN_FOLDER(test_secret_of_another),
		IN_FOLDER(test_socket_own),
		IN_FOLDER(test_socket_stale),
		IN_FOLDER(test_socket_of_others_stays),
		IN_FOLDER(test_socket_replaced_stays),
		IN_FOLDER(test_socket_without_folder),
		IN_FOLDER(test_settings_for_service),
		IN_FOLDER(test_cache_bytes),
		IN_FOLDER(test_problems),
		IN_FOLDER(test_config_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

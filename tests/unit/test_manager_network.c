/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/manager_network.h"
#include "daemon/net/retrieve.h"
#include "tests/unit/serve_site.h"

#define NEGO_REQ "000000010000000000000018000000000000000100000002"

static struct network *network;
static struct retrieve *retrieve;
static struct passed passed;

static int
setup(void **state)
{
	site_setup(state);
	passed = (struct passed){-1, -1, -1, -1, -1};
	network = NULL;
	return 0;
}

static void
begin(void)
{
	static const struct http_limits limits = {.per_host = 1, .total = 1};
	const struct network_params params = {.loop = site.loop,
		.service = site.service,
		.env = &site.env,
		.retrieve = retrieve = retrieve_new(site.loop, &limits),
		.passed = &passed};

	assert_non_null(retrieve);
	assert_int_equal(network_new(&network, &params), 0);
}

static int
teardown(void **state)
{
	if (network != NULL)
		network_stop(network);
	network = network_free(network);
	retrieve = retrieve_free(retrieve);
	passed_done(&passed);
	return site_teardown(state);
}

/* Nothing but loopback, and IPv4. */
static void
configure(const char *allowed)
{
	struct conf *c = conf_new();
	char allow[64];

	snprintf(allow, sizeof(allow), "Network.AllowPeers=%s", allowed);
	conf_read_set(c, "Service.Mode=distributed", NULL, NULL);
	conf_read_set(c, "Network.Interfaces=lo", NULL, NULL);
	conf_read_set(c, "Network.RetrievalListen=127.0.0.1:0", NULL, NULL);
	assert_int_equal(conf_read_set(c, allow, NULL, NULL), 0);
	network_configure(network, c);
	conf_free(c);
}

/* What the status says of it. */
static uint16_t
listener(char *ret_from, char *ret_address)
{
	unsigned port = 0;
	struct json j;
	struct buf b;

	buf_init(&b, 4096);
	json_out_init(&j, &b);
	network_put_listeners(network, &j);
	buf_u8(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(
		sscanf((const char *)b.data,
			"{\"name\":\"retrieval\",\"from\":\"%15[^\"]\","
			"\"address\":\"%63[^\"]\",\"port\":%u}",
			ret_from, ret_address, &port),
		3);
	buf_done(&b);
	return (uint16_t)port;
}

/* Who is not allowed any more loses the connection that he has. */
static void
test_allowed_no_more(void **state)
{
	char from[16], address[64], want[64];
	static struct talk t;
	uint16_t port;

	begin();
	configure("local");
	port = listener(from, address);
	snprintf(want, sizeof(want), "127.0.0.1:%u", port);
	assert_string_equal(from, "settings");
	assert_string_equal(address, want);
	talk_connect(&t, site.loop, port);
	site_ask(&t, NEGO_REQ);
	site_expect(&t, NEGO_RESP);
	configure("127.0.0.0/8 192.0.2.0/24");
	site_ask(&t, NEGO_REQ);
	site_expect(&t, NEGO_RESP);
	configure("192.0.2.0/24");
	talk_expect_end(&t);
	talk_end(&t);
	assert_int_equal(listener(from, address), port);
}

/* It is where systemd has it, whatever the settings say. */
static void
test_address_of_systemd(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = inet_addr("127.0.0.7")};
	char from[16], address[64], want[64];
	uint16_t port;

	passed.retrieval = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(passed.retrieval, (const struct sockaddr *)&in,
				 sizeof(in)),
		0);
	begin();
	assert_int_equal(passed.retrieval, -1);
	configure("local");
	port = listener(from, address);
	snprintf(want, sizeof(want), "127.0.0.7:%u", port);
	assert_string_equal(from, "systemd");
	assert_string_equal(address, want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_allowed_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_address_of_systemd, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

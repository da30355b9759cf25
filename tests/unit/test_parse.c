/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/macros.h"
#include "common/parse.h"

struct row {
	const char *text;
	int result;
	uint64_t value;
};

/* Longer than any address, and than what one is copied to. */
#define LONG_HOST \
	"[00000000000000000000000000000000000000000000000000000" \
	"0000000000000000000000000000000000::1]:80"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aULL

static void
check_rows(int (*parse)(const char *, uint64_t *), const struct row *rows,
	size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = UNTOUCHED;
		int r = parse(rows[i].text, &v);
		uint64_t want = r == 0 ? rows[i].value : UNTOUCHED;

		if (r != rows[i].result || v != want)
			fail_msg("\"%s\": %d, %llu", rows[i].text, r,
				(unsigned long long)v);
	}
}

static int
parse_any(const char *text, uint64_t *ret)
{
	return parse_u64(text, 0, UINT64_MAX, ret);
}

static int
parse_5_to_9(const char *text, uint64_t *ret)
{
	return parse_u64(text, 5, 9, ret);
}

static void
test_u64(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0}, {"00012", 0, 12},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"18446744073709551619", -ERANGE, 0},
		{"99999999999999999999999999", -ERANGE, 0}, {"", -EINVAL, 0},
		{" 1", -EINVAL, 0}, {"1 ", -EINVAL, 0}, {"+1", -EINVAL, 0},
		{"-1", -EINVAL, 0}, {"0x1", -EINVAL, 0}, {"1K", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
		{"\xd9\xa1", -EINVAL, 0}, /* a digit, but an Arabic one */
	};
	static const struct row bounds[] = {
		{"4", -ERANGE, 0},
		{"5", 0, 5},
		{"9", 0, 9},
		{"10", -ERANGE, 0},
	};

	check_rows(parse_any, rows, ARRAY_LEN(rows));
	check_rows(parse_5_to_9, bounds, ARRAY_LEN(bounds));
}

static void
test_size(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0},
		{"7", 0, 7},
		{"8K", 0, 8192},
		{"3M", 0, 3 << 20},
		{"2G", 0, 2ULL << 30},
		{"16777215T", 0, 16777215ULL << 40},
		{"16777216T", -ERANGE, 0},
		{"8k", -EINVAL, 0},
		{"8 K", -EINVAL, 0},
		{"8KB", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"5%", -EINVAL, 0},
	};

	check_rows(parse_size, rows, ARRAY_LEN(rows));
}

static void
test_duration(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0},
		{"0s", 0, 0},
		{"17us", 0, 17},
		{"300ms", 0, 300000},
		{"2s", 0, 2000000},
		{"10min", 0, 600000000},
		{"12h", 0, 43200000000},
		{"28d", 0, 2419200000000},
		{"213503982d", 0, 18446744044800000000ULL},
		{"213503983d", -ERANGE, 0},
		{"1", -EINVAL, 0},
		{"00", -EINVAL, 0},
		{"1m", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"1h30min", -EINVAL, 0},
		{"", -EINVAL, 0},
	};

	check_rows(parse_duration_us, rows, ARRAY_LEN(rows));
}

static void
test_bool(void **state)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};
	static const char *const bad[] = {"", "Yes", "y", "yes ", "2", "10"};
	bool v;

	for (size_t i = 0; i < 4; i++) {
		v = false;
		assert_int_equal(parse_bool(yes[i], &v), 0);
		assert_true(v);
		assert_int_equal(parse_bool(no[i], &v), 0);
		assert_false(v);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_bool(bad[i], &v), -EINVAL);
}

static void
test_addr_v4(void **state)
{
	struct parse_addr a;
	struct sockaddr_in in;

	assert_int_equal(parse_addr_port("192.0.2.1:80", &a), 0);
	assert_int_equal(a.len, sizeof(in));
	memcpy(&in, &a.ss, sizeof(in));
	assert_int_equal(in.sin_family, AF_INET);
	assert_int_equal(ntohl(in.sin_addr.s_addr), 0xc0000201);
	assert_int_equal(ntohs(in.sin_port), 80);
}

static void
test_addr_v6(void **state)
{
	static const uint8_t want[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	struct parse_addr a;
	struct sockaddr_in6 in6;

	assert_int_equal(parse_addr_port("[2001:db8::1]:65535", &a), 0);
	assert_int_equal(a.len, sizeof(in6));
	memcpy(&in6, &a.ss, sizeof(in6));
	assert_int_equal(in6.sin6_family, AF_INET6);
	assert_memory_equal(&in6.sin6_addr, want, 16);
	assert_int_equal(ntohs(in6.sin6_port), 65535);
	assert_int_equal(in6.sin6_scope_id, 0);

	assert_int_equal(parse_addr_port("[fe80::1%4294967295]:1", &a), 0);
	memcpy(&in6, &a.ss, sizeof(in6));
	assert_int_equal(in6.sin6_scope_id, UINT32_MAX);
}

static void
test_addr_refuses(void **state)
{
	static const char *const bad[] = {"", ":", ":80", "192.0.2.1",
		"192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1",
		"192.0.2.1:80 ", " 192.0.2.1:80", "192.0.2:80", "192.0.2.01:80",
		"192.0.2.256:80", "localhost:80", "*:80", "2001:db8::1:80",
		"[2001:db8::1]", "[2001:db8::1]80", "[2001:db8::1", "[]:80",
		"[192.0.2.1]:80", "[::1%lo]:80", "[::1%0]:80", "[::1%]:80",
		"[::1%4294967296]:80", "[", "[::1]x:80", LONG_HOST};
	struct parse_addr a = {.len = 77};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse_addr_port(bad[i], &a) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(a.len, 77);
}

static void
test_addr_round_trip(void **state)
{
	static const char *const texts[] = {"0.0.0.0:0", "192.0.2.1:80",
		"255.255.255.255:65535", "[::]:80", "[::1]:0",
		"[2001:db8::1]:3702", "[fe80::1%3]:80",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
		"[::ffff:255.255.255.255]:65535"};
	char text[PARSE_ADDR_TEXT];
	struct parse_addr a;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(parse_addr_port(texts[i], &a), 0);
		parse_addr_format(text, &a);
		assert_string_equal(text, texts[i]);
	}
	a = (struct parse_addr){.ss.ss_family = AF_UNIX};
	parse_addr_format(text, &a);
	assert_string_equal(text, "?");
}

/* Prefix, address, whether it is of it. */
static void
test_prefix(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool in;
	} rows[] = {
		{"10.0.0.0/8", "10.255.255.255:1", true},
		{"10.0.0.0/8", "11.0.0.0:1", false},
		{"10.0.0.0/8", "9.255.255.255:1", false},
		{"10.1.2.3/8", "10.9.9.9:1", true},
		{"192.0.2.128/25", "192.0.2.128:1", true},
		{"192.0.2.128/25", "192.0.2.127:1", false},
		{"192.0.2.0/31", "192.0.2.1:1", true},
		{"192.0.2.0/31", "192.0.2.2:1", false},
		{"192.0.2.1", "192.0.2.1:1", true},
		{"192.0.2.1", "192.0.2.0:1", false},
		{"0.0.0.0/0", "255.255.255.255:1", true},
		{"0.0.0.0/0", "[2001:db8::1]:1", false},
		{"2001:db8::/32", "[2001:db8:ffff::1]:1", true},
		{"2001:db8::/32", "[2001:db9::1]:1", false},
		{"2001:db8::/33", "[2001:db8:8000::1]:1", false},
		{"fe80::/10", "[fe80::1%3]:1", true},
		{"fe80::/10", "[febf::1]:1", true},
		{"fe80::/10", "[fec0::1]:1", false},
		{"::1", "[::1]:1", true},
		{"::1", "[::2]:1", false},
		{"::/0", "[2001:db8::1]:1", true},
		/* One address, two spellings. */
		{"10.0.0.0/8", "[::ffff:10.1.1.1]:1", true},
		{"10.0.0.0/8", "[::ffff:11.1.1.1]:1", false},
		{"::ffff:10.0.0.0/104", "10.1.1.1:1", true},
		{"::ffff:10.0.0.0/104", "[::ffff:10.1.1.1]:1", true},
		{"::ffff:10.0.0.0/104", "11.1.1.1:1", false},
		{"::ffff:0:0/96", "11.1.1.1:1", true},
		/* All of IPv6 is not IPv4. */
		{"::/0", "10.1.1.1:1", false},
		{"::/0", "[::ffff:10.1.1.1]:1", false},
		{"::ffff:0:0/95", "10.1.1.1:1", false},
		{"10.0.0.0/8", "[::10.1.1.1]:1", false},
	};
	struct parse_prefix p;
	struct parse_addr a;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse_prefix(rows[i].prefix, &p), 0);
		assert_int_equal(parse_addr_port(rows[i].addr, &a), 0);
		if (prefix_contains(&p, (const struct sockaddr *)&a.ss) !=
			rows[i].in)
			fail_msg("%s, %s", rows[i].prefix, rows[i].addr);
	}
	a = (struct parse_addr){.ss.ss_family = AF_UNIX};
	assert_int_equal(parse_prefix("0.0.0.0/0", &p), 0);
	assert_false(prefix_contains(&p, (const struct sockaddr *)&a.ss));
}

static void
test_prefix_refuses(void **state)
{
	static const char *const bad[] = {"", "/", "/8", "10.0.0.0/",
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8",
		"10.0.0.0/255.0.0.0", "10.0.0.0 /8", " 10.0.0.0/8",
		"10.0.0.0:80", "::/129", "::1%3", "fe80::%3/10", "[::1]/128",
		":::/0", "local", "host/8", LONG_HOST,
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8"};
	struct parse_prefix p = {.len = 77};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse_prefix(bad[i], &p) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(p.len, 77);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_addr_v4),
		cmocka_unit_test(test_addr_v6),
		cmocka_unit_test(test_addr_refuses),
		cmocka_unit_test(test_addr_round_trip),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

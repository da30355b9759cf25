/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/core_env.h"

#include "daemon/core/wheel.h"

#define N 2000

struct item {
	struct wheel_timer timer;
	uint64_t due;
	unsigned fired;
	bool stopped;
};

static struct wheel wheel;
static struct item items[N];

static void
fired(struct wheel_timer *t)
{
	struct item *it = container_of(t, struct item, timer);

	it->fired++;
	assert_false(it->stopped);
	/* Never early, and at the very millisecond. */
	assert_true(wheel.now_ms >= it->due);
	assert_int_equal(wheel.now_ms, it->due);
}

static uint64_t
spread(unsigned i)
{
	/* Near, level 1, level 2, level 3, and beyond what the levels hold. */
	static const uint64_t spans[] = {
		200, 60000, 16000000, 4000000000ull, 9000000000ull};

	return 1 +
		((uint64_t)rand() << 8 ^ (uint64_t)rand()) %
		spans[i % ARRAY_LEN(spans)];
}

static void
test_all_fire_in_time(void **state)
{
	uint64_t next;

	srand(1);
	wheel_init(&wheel, 777);
	for (unsigned i = 0; i < N; i++) {
		items[i] = (struct item){.timer.fn = fired};
		items[i].due = 777 + spread(i);
		wheel_start(&wheel, &items[i].timer, items[i].due);
	}
	for (unsigned i = 0; i < N; i += 3) {
		wheel_stop(&items[i].timer);
		items[i].stopped = true;
	}
	while ((next = wheel_next_ms(&wheel)) != UINT64_MAX) {
		assert_true(next > wheel.now_ms);
		wheel_advance(&wheel, next);
	}
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(items[i].fired, items[i].stopped ? 0 : 1);
}

static void
test_next_is_never_late(void **state)
{
	srand(2);
	for (unsigned round = 0; round < 2000; round++) {
		uint64_t start = (uint64_t)rand() * 4096, due;
		struct item it = {.timer.fn = fired};

		wheel_init(&wheel, start);
		due = start + spread(round);
		it.due = due;
		wheel_start(&wheel, &it.timer, due);
		while (!it.fired) {
			uint64_t next = wheel_next_ms(&wheel);

			assert_true(next <= due);
			wheel_advance(&wheel, next);
		}
	}
}

static struct item chain;

static void
again(struct wheel_timer *t)
{
	struct item *it = container_of(t, struct item, timer);

	it->fired++;
	if (it->fired < 100)
		wheel_start(&wheel, t, wheel.now_ms); /* past: next tick */
}

static void
test_restart_inside_fn(void **state)
{
	wheel_init(&wheel, 255);
	chain = (struct item){.timer.fn = again};
	wheel_start(&wheel, &chain.timer, 256);
	wheel_advance(&wheel, 5000);
	assert_int_equal(chain.fired, 100);
	assert_false(wheel_running(&chain.timer));
	wheel_stop(&chain.timer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fire_in_time),
		cmocka_unit_test(test_next_is_never_late),
		cmocka_unit_test(test_restart_inside_fn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

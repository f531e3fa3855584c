/*
 * The sampler by a clock that only it moves on: when blocks are taken and come back, which ones, and what is counted. With real
 * time and real users: test_sampling.
 */
#include "../../migrate/core/heat.h"
#include "../../migrate/core/permute.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/movers/sample_block.h"
#include "../../migrate/movers/sampler.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>

#define BLOCKS 8u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define MS     1000000ull
#define START  (1000000 * MS)
#define EVENTS 400u
/* What the first block may cost, 100 us, is saved up before it is taken: of fifteen sixteenths of the time. */
#define FIRST (START + 106667)

static struct rig rig;
static struct gmig_sys sys;

/* ---- A clock ------------------------------------------------------------------------------------ */

static atomic_ullong now_ns, stops_ns; /* the sampler waits for no later time than that */
static atomic_ullong cpu_ns;	       /* that each call takes */
static atomic_bool stands;	       /* it waits for something else than time */

/* Blocks that went out, and came in. */
static struct event {
	bool out;
	uint64_t ns;
	uint64_t page;
	unsigned int pages;
} events[EVENTS];
static atomic_uint event_count;

static uint64_t clock_now(void)
{
	return atomic_load(&now_ns);
}

static uint64_t cpu_now(void)
{
	static _Thread_local uint64_t ran_ns;

	return ran_ns += atomic_load(&cpu_ns);
}

static int clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	if (deadline_ns <= atomic_load(&stops_ns)) {
		if (deadline_ns > atomic_load(&now_ns))
			atomic_store(&now_ns, deadline_ns);
		return -ETIMEDOUT;
	}
	atomic_store(&stands, true);
	pthread_cond_wait(cond, mutex);
	return 0;
}

/* Once it samples: memory that is touched first may come that way, too. */
static atomic_bool samples;

/* Of another region of four blocks, which counts as lying behind the rig's. */
static const void *second_ram;

static bool is_ram(uint64_t address, uint64_t *page)
{
	uint64_t at = address - (uint64_t)(uintptr_t)rig.ram;

	if (second_ram && address - (uint64_t)(uintptr_t)second_ram < 4 * GMIG_BLOCK_BYTES) {
		*page = (address - (uint64_t)(uintptr_t)second_ram + BYTES) / GMIG_PAGE_BYTES;
		return true;
	}
	*page = at / GMIG_PAGE_BYTES;
	return rig.ram && at < BYTES;
}

static int ioctl_noted(int fd, unsigned long request, void *arg)
{
	const struct uffdio_move *move = arg;
	int ret = gmig_sys_real.ioctl(fd, request, arg);
	uint64_t page;

	if (request == UFFDIO_MOVE && !ret && atomic_load(&samples)) {
		bool out = is_ram(move->src, &page);
		unsigned int i = atomic_load(&event_count);

		if ((out || is_ram(move->dst, &page)) && i < EVENTS) {
			events[i] = (struct event){out, clock_now(), page,
						   (unsigned int)(move->len / GMIG_PAGE_BYTES)};
			atomic_store(&event_count, i + 1);
		}
	}
	return ret;
}

static void begin(bool small_pages, bool untouched)
{
	atomic_store(&now_ns, START);
	atomic_store(&cpu_ns, 0);
	sys = gmig_sys_real;
	sys.now_ns = clock_now;
	sys.ran_ns = cpu_now;
	sys.wait_until = clock_wait;
	sys.ioctl = ioctl_noted;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES,
					       .small_pages = small_pages,
					       .untouched = untouched,
					       .sys = &sys});
}

static void sample(uint32_t blocks_per_second, uint32_t max_slowdown_ppm, uint64_t until_ns)
{
	const struct gmig_sampling how = {.blocks_per_second = blocks_per_second,
					  .max_slowdown_ppm = max_slowdown_ppm};
	struct gmig_error err = {0};

	atomic_store(&stops_ns, FIRST + until_ns);
	atomic_store(&samples, true);
	ck_assert_msg(gmig_sampling_start(rig.gmig, &how, &err) == 0, "%s", err.text);
}

/* The sampler waits for a later time than the clock will have. */
static void await_stand(void)
{
	while (!atomic_load(&stands))
		sched_yield();
	rig_publish(&rig);
}

static struct gmig_sampling_info info_now(void)
{
	struct gmig_sampling_info info;

	gmig_sampling_info(rig.gmig, &info);
	return info;
}

static void end(void)
{
	gmig_sampling_stop(rig.gmig);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static unsigned int count_of(bool out)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < atomic_load(&event_count); i++)
		count += events[i].out == out;
	return count;
}

/* ---- Time --------------------------------------------------------------------------------------- */

/* Ten a second, each for a window: at 1.05 s eleven have gone, and those of the first 0.8 s have come back. */
START_TEST(block_goes_at_its_turn_and_comes_back_after_a_window)
{
	struct gmig_sampling_info info;
	uint64_t went[EVENTS];
	unsigned int outs = 0, ins = 0;

	begin(true, false);
	sample(10, 1000000, 1050 * MS);
	await_stand();
	for (unsigned int i = 0; i < atomic_load(&event_count); i++) {
		if (events[i].out) {
			ck_assert_uint_eq(events[i].ns, FIRST + outs * 100 * MS);
			went[outs++] = events[i].page;
		} else {
			ck_assert_uint_eq(events[i].ns, FIRST + ins * 100 * MS + HEAT_WINDOW_NS);
			ck_assert_uint_eq(events[i].page, went[ins++]);
		}
	}
	ck_assert_uint_eq(outs, 11);
	ck_assert_uint_eq(ins, 8);
	info = info_now();
	ck_assert(info.on && !info.held);
	ck_assert_uint_eq(info.waiting, 3);
	ck_assert_uint_eq(info.untouched, 8);
	ck_assert_uint_eq(info.touched + info.touched_by_vcpu + info.given_up, 0);
	ck_assert_uint_eq(info.rounds, 1);
	ck_assert_uint_eq(info.slept_ns + info.held_ns, 0);
	ck_assert_uint_eq(info.on_ns, clock_now() - START);
	ck_assert_uint_eq(info.how.blocks_per_second, 10);
	for (unsigned int i = 0; i < ins; i++)
		ck_assert_uint_eq(
		    heat_of(rig.gmig->memory.heat, went[i] / GMIG_BLOCK_PAGES, clock_now()),
		    HEAT_COLD);
	end();
}
END_TEST

/* Each block once in a round, and of small pages another part in each round. */
START_TEST(round_has_each_block_once_in_the_order_of_its_number)
{
	const unsigned int parts = GMIG_BLOCK_PAGES / SAMPLE_PAGES;
	struct permute order;
	unsigned int nth = 0;

	begin(true, false);
	sample(1000, 1000000, 40 * MS - 1);
	await_stand();
	for (unsigned int i = 0; i < atomic_load(&event_count); i++) {
		uint64_t seed = START % UINT32_MAX + 1 + nth / BLOCKS;

		if (!events[i].out)
			continue;
		permute_init(&order, BLOCKS, seed);
		ck_assert_uint_eq(events[i].page,
				  permute_at(&order, nth % BLOCKS) * GMIG_BLOCK_PAGES +
				      seed % parts * SAMPLE_PAGES);
		ck_assert_uint_eq(events[i].pages, SAMPLE_PAGES);
		nth++;
	}
	/* A block that is out has no second turn. */
	ck_assert_uint_eq(nth, BLOCKS);
	ck_assert_uint_eq(info_now().waiting, BLOCKS);
	end();
}
END_TEST

START_TEST(huge_block_is_taken_whole)
{
	begin(false, false);
	if (huge_or_skip(rig.gmig)) {
		sample(10, 1000000, 50 * MS);
		await_stand();
		ck_assert_uint_eq(atomic_load(&event_count), 1);
		ck_assert_uint_eq(events[0].pages, GMIG_BLOCK_PAGES);
		ck_assert_uint_eq(events[0].page % GMIG_BLOCK_PAGES, 0);
	}
	end();
}
END_TEST

/* Looked for in vain, the next look comes 10 ms later. */
START_TEST(guest_without_memory_is_looked_at_a_hundred_times_a_second)
{
	const struct gmig_heat_share hot = {
	    .gpa = 3 * GMIG_BLOCK_BYTES, .bytes = GMIG_BLOCK_BYTES, .share_ppm = 1000000};

	begin(true, true);
	/* What was known of a block goes with its memory. */
	ck_assert_int_eq(gmig_heat_report(rig.gmig, &hot, 1, NULL, NULL), 0);
	ck_assert_uint_eq(heat_of(rig.gmig->memory.heat, 3, clock_now()), HEAT_MAX);
	sample(1000, 1000000, 105 * MS);
	await_stand();
	ck_assert_uint_eq(atomic_load(&event_count), 0);
	ck_assert_uint_eq(clock_now(), FIRST + 100 * MS);
	ck_assert_uint_eq(info_now().given_up, 0);
	ck_assert_uint_eq(heat_of(rig.gmig->memory.heat, 3, clock_now()), HEAT_UNKNOWN);
	/* 11 looks at 256 blocks each, eight a round. */
	ck_assert_uint_eq(info_now().rounds, 11 * 256 / BLOCKS - 1);
	gmig_sampling_stop(rig.gmig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(change_of_the_rate_holds_from_the_next_block_on)
{
	const struct gmig_sampling faster = {.blocks_per_second = 100, .max_slowdown_ppm = 1000000};

	begin(true, false);
	sample(10, 1000000, 50 * MS);
	await_stand();
	ck_assert_uint_eq(count_of(true), 1);
	atomic_store(&stands, false);
	atomic_store(&stops_ns, FIRST + 125 * MS);
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &faster, NULL), 0);
	await_stand();
	/* At 0, 100, 110 and 120 ms. */
	ck_assert_uint_eq(count_of(true), 4);
	ck_assert_uint_eq(events[1].ns, FIRST + 100 * MS);
	ck_assert_uint_eq(events[3].ns, FIRST + 120 * MS);
	ck_assert_uint_eq(info_now().how.blocks_per_second, 100);
	end();
}
END_TEST

/* ---- Touches ------------------------------------------------------------------------------------ */

static void *touch(void *arg)
{
	const rig_word *word = arg;

	ck_assert_uint_ne(atomic_load(word), UINT64_MAX);
	return NULL;
}

static void touch_page(uint64_t page)
{
	pthread_t thread;

	atomic_store(&stands, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, touch, rig_page(&rig, page)), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(touched_block_comes_back_at_once_and_is_as_hot_as_it_was_soon)
{
	struct gmig_sampling_info info;
	uint64_t block;

	begin(true, false);
	sample(10, 1000000, 50 * MS);
	await_stand();
	atomic_store(&now_ns, FIRST + HEAT_WINDOW_NS / 4);
	atomic_store(&stops_ns, FIRST + HEAT_WINDOW_NS / 4);
	touch_page(events[0].page);
	await_stand();
	ck_assert_uint_eq(count_of(false), 1);
	ck_assert_uint_eq(events[1].page, events[0].page);
	block = events[0].page / GMIG_BLOCK_PAGES;
	ck_assert_uint_eq(heat_of(rig.gmig->memory.heat, block, clock_now()), 10);
	info = info_now();
	ck_assert_uint_eq(info.touched, 1);
	ck_assert_uint_eq(info.untouched + info.touched_by_vcpu + info.given_up + info.waiting, 0);
	end();
}
END_TEST

/* What comes back since the guest stands still tells nothing, unless it was touched before. */
START_TEST(block_that_is_called_back_tells_nothing)
{
	struct gmig_sampling_info info;

	begin(true, false);
	sample(10, 1000000, 250 * MS);
	await_stand();
	ck_assert_uint_eq(count_of(true), 3);
	gmig_sampling_hold(rig.gmig, true);
	while (info_now().waiting)
		sched_yield();
	info = info_now();
	ck_assert(info.held && info.on);
	ck_assert_uint_eq(info.given_up, 3);
	ck_assert_uint_eq(info.touched + info.untouched, 0);
	ck_assert_uint_eq(count_of(false), 3);
	ck_assert(!heat_is_known(rig.gmig->memory.heat));
	/* And none is taken until it runs again. */
	atomic_store(&stops_ns, FIRST + 1000 * MS);
	gmig_sampling_hold(rig.gmig, false);
	while (info_now().untouched < 1)
		sched_yield();
	ck_assert(!info_now().held);
	end();
}
END_TEST

/* ---- Costs -------------------------------------------------------------------------------------- */

/* Calls take 1 ms of CPU time: what they cost is told, and a budget of one in a thousand has few of them. */
START_TEST(cost_is_told_and_kept_within_the_budget)
{
	struct gmig_sampling_info info;

	begin(true, false);
	atomic_store(&cpu_ns, MS);
	sample(1000, 1000, 10000 * MS);
	await_stand();
	info = info_now();
	ck_assert_uint_gt(info.held_ns, 0);
	ck_assert_uint_eq(info.slept_ns, 0);
	/* 10 ms in 10 s; what is out may cost as much again. */
	ck_assert_uint_le(info.held_ns, 20 * MS);
	ck_assert_uint_ge(info.held_ns, 2 * MS);
	ck_assert_uint_eq(info.held_ns % MS, 0);
	ck_assert_uint_gt(info.slowdown_ppm, 0);
	ck_assert_uint_le(info.slowdown_ppm, 2000);
	ck_assert_uint_lt(count_of(true), 20);
	/* Jobs that have a budget know of it. */
	pthread_mutex_lock(&rig.gmig->memory.slowdown_lock);
	ck_assert_uint_eq(rig.gmig->memory.slowdown.lost_ns, info.held_ns);
	pthread_mutex_unlock(&rig.gmig->memory.slowdown_lock);
	end();
}
END_TEST

/* ---- More than one region ----------------------------------------------------------------------- */

/* Blocks of a file are not taken; of the others each has its turn. */
START_TEST(regions_of_private_memory_have_their_turns_and_files_have_none)
{
	const struct gmig_region_spec specs[] = {
	    {.gpa = BYTES, .bytes = 2 * GMIG_BLOCK_BYTES, .kind = GMIG_REGION_MEMFD},
	    {.gpa = 2 * BYTES, .bytes = 4 * GMIG_BLOCK_BYTES}};
	struct gmig_error err = {0};
	unsigned int taken[BLOCKS + 4] = {0};
	void *hva[2];

	begin(true, false);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_msg(!gmig_region_add(rig.gmig, &specs[i], &hva[i], &err), "%s", err.text);
		memset(hva[i], 1, specs[i].bytes);
	}
	rig_settle(&rig);
	second_ram = hva[1];
	rig_publish(&rig);
	sample(1000, 1000000, 100 * MS);
	await_stand();
	ck_assert_uint_eq(atomic_load(&event_count), BLOCKS + 4);
	ck_assert_uint_eq(info_now().waiting, BLOCKS + 4);
	for (unsigned int i = 0; i < BLOCKS + 4; i++) {
		ck_assert_uint_lt(events[i].page / GMIG_BLOCK_PAGES, BLOCKS + 4);
		taken[events[i].page / GMIG_BLOCK_PAGES]++;
	}
	for (unsigned int i = 0; i < BLOCKS + 4; i++)
		ck_assert_uint_eq(taken[i], 1);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sampler");
	TCase *tcase = tcase_create("sampler");

	tcase_add_test(tcase, block_goes_at_its_turn_and_comes_back_after_a_window);
	tcase_add_test(tcase, round_has_each_block_once_in_the_order_of_its_number);
	tcase_add_test(tcase, huge_block_is_taken_whole);
	tcase_add_test(tcase, guest_without_memory_is_looked_at_a_hundred_times_a_second);
	tcase_add_test(tcase, change_of_the_rate_holds_from_the_next_block_on);
	tcase_add_test(tcase, touched_block_comes_back_at_once_and_is_as_hot_as_it_was_soon);
	tcase_add_test(tcase, block_that_is_called_back_tells_nothing);
	tcase_add_test(tcase, cost_is_told_and_kept_within_the_budget);
	tcase_add_test(tcase, regions_of_private_memory_have_their_turns_and_files_have_none);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

/* Looks at what the kernel may have filled, before an answer: in which order, for how long, and how long there is none. */
#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/catch_up.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <string.h>

#define BYTES (4ull << 20)
#define BLOCK GMIG_BLOCK_PAGES
#define MS    1000000ull
#define START (1000000 * MS)

static struct rig rig;
static struct gmig_sys sys;
static struct region_kind kind; /* whose first touches are the kernel's */
static const struct region_kind *real_kind;

static atomic_ullong clock_ns;
static uint64_t ns_per_block;
static unsigned int seen_count;
static struct {
	unsigned int region;
	uint64_t block;
} seen[16]; /* blocks that were looked at */

static uint64_t now_told(void)
{
	return atomic_load(&clock_ns);
}

static int scan_noted(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		      struct uffd_scan *scan)
{
	ck_assert_uint_lt(seen_count, 16);
	seen[seen_count].region = (unsigned int)(region - gmig->regions);
	seen[seen_count++].block = (block_gfn - region->gfn) / BLOCK;
	atomic_fetch_add(&clock_ns, ns_per_block);
	memset(scan, 0, sizeof(*scan));
	return 0;
}

/* Region 0 is ours, region 1 has three blocks of the kernel's, region 2 is ours, region 3 has two. */
static void start(uint64_t ns)
{
	static const unsigned int blocks[] = {3, 1, 2};

	sys = gmig_sys_real;
	sys.now_ns = now_told;
	atomic_store(&clock_ns, START);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .untouched = true, .sys = &sys});
	real_kind = rig.gmig->regions[0].kind;
	kind = *real_kind;
	kind.kernel_fills = true;
	kind.scan = scan_noted;
	for (unsigned int i = 0; i < 3; i++) {
		const struct gmig_region_spec spec = {.vnode = i + 1,
						      .gpa = (i + 1) * 4 * BYTES,
						      .bytes = blocks[i] * GMIG_BLOCK_BYTES};
		struct gmig_error err = {0};
		void *hva;

		ck_assert_msg(!gmig_region_add(rig.gmig, &spec, &hva, &err), "%s", err.text);
	}
	rig.gmig->regions[1].kind = rig.gmig->regions[3].kind = &kind;
	ns_per_block = ns;
	seen_count = 0;
}

static void end(void)
{
	rig.gmig->regions[1].kind = rig.gmig->regions[3].kind = real_kind;
	rig_destroy(&rig);
}

/* Looked at since the last time: so many blocks, which go on in this order. */
static void expect(unsigned int count, unsigned int from)
{
	static const unsigned int region[] = {1, 1, 1, 3, 3};
	static const uint64_t block[] = {0, 1, 2, 0, 1};

	ck_assert_uint_eq(seen_count, count);
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_uint_eq(seen[i].region, region[(from + i) % 5]);
		ck_assert_uint_eq(seen[i].block, block[(from + i) % 5]);
	}
	seen_count = 0;
}

static uint64_t audited(unsigned int region)
{
	return atomic_load(&rig.gmig->regions[region].audited_ns) - START;
}

START_TEST(all_blocks_are_looked_at_once_if_there_is_time)
{
	start(MS);
	catch_up(rig.gmig);
	expect(5, 0);
	ck_assert_uint_eq(audited(0), 0);
	ck_assert_uint_eq(audited(1), 0);
	ck_assert_uint_eq(audited(2), 0);
	ck_assert_uint_eq(audited(3), 3 * MS); /* from when its first block was looked at */
	/* It took 5 ms: there is a rest of 45. */
	atomic_store(&clock_ns, START + 50 * MS - 1);
	catch_up(rig.gmig);
	expect(0, 0);
	atomic_store(&clock_ns, START + 50 * MS);
	catch_up(rig.gmig);
	expect(5, 0);
	ck_assert_uint_eq(audited(1), 50 * MS);
	ck_assert_uint_eq(audited(3), 53 * MS);
	end();
}
END_TEST

START_TEST(what_there_is_no_time_for_is_looked_at_in_the_next_answers)
{
	uint64_t begin;

	start(8 * MS);
	catch_up(rig.gmig); /* begins with one after 16 ms, but not after 24 */
	expect(3, 0);
	ck_assert_uint_eq(audited(1), 0);
	atomic_store(&clock_ns, START + 239 * MS);
	catch_up(rig.gmig);
	expect(0, 0);
	begin = START + 240 * MS;
	atomic_store(&clock_ns, begin);
	catch_up(rig.gmig);
	expect(3, 3);
	ck_assert_uint_eq(audited(3), 240 * MS);
	/* The first block of region 1 was at the end of that: it is as old as this, once it is through. */
	ck_assert_uint_eq(audited(1), 0);
	atomic_store(&clock_ns, START + 480 * MS);
	catch_up(rig.gmig);
	expect(3, 1);
	ck_assert_uint_eq(audited(1), 256 * MS);
	ck_assert_uint_eq(audited(3), 240 * MS);
	end();
}
END_TEST

START_TEST(slice_ends_after_20_ms)
{
	start(10 * MS);
	catch_up(rig.gmig);
	expect(2, 0);
	atomic_store(&clock_ns, START + 200 * MS);
	ns_per_block = 10 * MS - 1;
	catch_up(rig.gmig);
	expect(3, 2);
	end();
}
END_TEST

START_TEST(nothing_is_looked_at_where_all_first_touches_are_ours)
{
	start(MS);
	rig.gmig->regions[1].kind = rig.gmig->regions[3].kind = real_kind;
	catch_up(rig.gmig);
	ck_assert_uint_eq(seen_count, 0);
	rig.gmig->regions[3].kind = &kind; /* no rest, since it took no time */
	catch_up(rig.gmig);
	ck_assert_uint_eq(seen_count, 2);
	ck_assert_uint_eq(seen[0].region, 3);
	ck_assert_uint_eq(seen[1].region, 3);
	end();
}
END_TEST

START_TEST(regions_one_behind_the_other_are_looked_at_from_their_beginnings)
{
	static const unsigned int region[] = {1, 1, 1, 2, 3, 3};
	static const uint64_t block[] = {0, 1, 2, 0, 0, 1};

	start(MS);
	rig.gmig->regions[2].kind = &kind;
	catch_up(rig.gmig);
	ck_assert_uint_eq(seen_count, 6);
	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_uint_eq(seen[i].region, region[i]);
		ck_assert_uint_eq(seen[i].block, block[i]);
	}
	ck_assert_uint_eq(audited(2), 3 * MS);
	ck_assert_uint_eq(audited(3), 4 * MS);
	rig.gmig->regions[2].kind = real_kind;
	end();
}
END_TEST

START_TEST(plain_memory_and_a_thread_that_is_at_it_are_no_reason_to_wait)
{
	start(MS);
	rig.gmig->plain = true;
	catch_up(rig.gmig);
	expect(0, 0);
	rig.gmig->plain = false;
	pthread_mutex_lock(&rig.gmig->catch_up.lock);
	catch_up(rig.gmig);
	expect(0, 0);
	pthread_mutex_unlock(&rig.gmig->catch_up.lock);
	catch_up(rig.gmig);
	expect(5, 0);
	ck_assert_int_eq(pthread_mutex_trylock(&rig.gmig->catch_up.lock), 0);
	pthread_mutex_unlock(&rig.gmig->catch_up.lock);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("catch_up");
	TCase *tcase = tcase_create("catch_up");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, all_blocks_are_looked_at_once_if_there_is_time);
	tcase_add_test(tcase, what_there_is_no_time_for_is_looked_at_in_the_next_answers);
	tcase_add_test(tcase, slice_ends_after_20_ms);
	tcase_add_test(tcase, nothing_is_looked_at_where_all_first_touches_are_ours);
	tcase_add_test(tcase, regions_one_behind_the_other_are_looked_at_from_their_beginnings);
	tcase_add_test(tcase, plain_memory_and_a_thread_that_is_at_it_are_no_reason_to_wait);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

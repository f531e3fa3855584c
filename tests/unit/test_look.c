/*
 * What is told of a guest of three regions and two vnodes: runs by gmig_map_part(), bytes by node, statistics, and how old all that
 * is. Each figure is that one, of that region, to the page.
 */
#include "../../migrate/core/hist.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/ledger.h"
#include "rig.h"

#include <errno.h>
#include <string.h>

#define MIB  (1ull << 20)
#define PAGE GMIG_PAGE_BYTES

static const struct gmig_region_spec layout[] = {
    {.gpa = 0, .bytes = 6 * MIB},
    {.gpa = 1026 * MIB, .bytes = 10 * MIB, .vnode = 1, .host_node = 2},
    {.gpa = 4096 * MIB, .bytes = 4 * MIB, .host_node = 1},
};

#define REGIONS (sizeof(layout) / sizeof(layout[0]))

static struct rig rig;
static uint8_t *ram[REGIONS];
static struct gmig_error err;
static struct gmig_sys sys;
static _Atomic uint64_t clock_ns; /* 0: the real one */

static uint64_t now_ns(void)
{
	uint64_t ns = atomic_load(&clock_ns);

	return ns ? ns : gmig_sys_real.now_ns();
}

static void create(bool small)
{
	const struct rig_options options = {.bytes = layout[0].bytes,
					    .nodes = 4,
					    .small_pages = small,
					    .untouched = true,
					    .sys = &sys};

	sys = gmig_sys_real;
	sys.now_ns = now_ns;
	rig_create(&rig, &options);
	ram[0] = (uint8_t *)rig.ram;
	for (unsigned int i = 1; i < REGIONS; i++) {
		void *hva;

		ck_assert_msg(!gmig_region_add(rig.gmig, &layout[i], &hva, &err), "%s", err.text);
		ram[i] = hva;
	}
}

static void touch(unsigned int region, uint64_t first, uint64_t pages)
{
	for (uint64_t page = first; page < first + pages; page++)
		((volatile uint8_t *)ram[region])[page * PAGE] = 1;
	rig_settle(&rig);
}

static void bind(uint64_t gpa, uint64_t bytes, enum gmig_policy_mode mode, const char *nodes)
{
	struct gmig_bind_spec spec = {.gpa = gpa, .bytes = bytes, .policy = {.mode = mode}};
	struct gmig_job *job;

	ck_assert_int_eq(gmig_node_set_parse(nodes, &spec.policy.nodes, NULL), 0);
	ck_assert_msg(!gmig_bind(rig.gmig, &spec, &job, &err), "%s", err.text);
}

static struct gmig_map part(uint64_t gpa, uint64_t step_bytes)
{
	struct gmig_map map;

	memset(&map, 0xff, sizeof(map));
	ck_assert_int_eq(gmig_map_part(rig.gmig, gpa, step_bytes, &map), 0);
	return map;
}

static void assert_range(const struct gmig_map *map, uint64_t gpa, uint64_t bytes)
{
	ck_assert_uint_eq(map->gpa, gpa);
	ck_assert_uint_eq(map->bytes, bytes);
}

/* ---- Runs -------------------------------------------------------------------------------------- */

START_TEST(run_ends_with_its_region_its_policy_or_its_step)
{
	struct gmig_map map;

	create(true);
	bind(1028 * MIB, MIB, GMIG_POLICY_BIND, "3");
	map = part(0, UINT64_MAX);
	assert_range(&map, 0, 6 * MIB);
	map = part(5 * MIB, UINT64_MAX);
	assert_range(&map, 5 * MIB, MIB);
	map = part(6 * MIB, UINT64_MAX); /* a gap */
	assert_range(&map, 1026 * MIB, 2 * MIB);
	ck_assert_uint_eq(map.vnode, 1);
	ck_assert_uint_eq(map.local, 2);
	map = part(1028 * MIB + 4096, UINT64_MAX);
	assert_range(&map, 1028 * MIB + 4096, MIB - 4096);
	map = part(1029 * MIB, UINT64_MAX);
	assert_range(&map, 1029 * MIB, 7 * MIB);
	map = part(1036 * MIB, UINT64_MAX);
	assert_range(&map, 4096 * MIB, 4 * MIB);
	ck_assert_uint_eq(map.vnode, 0);
	ck_assert_uint_eq(map.local, 1);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 4100 * MIB, &map), -ENOENT);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 4100 * MIB - 1, &map), 0);
	assert_range(&map, 4100 * MIB - 4096, 4096);
	/* Steps are counted from 0. */
	map = part(0, 4 * MIB);
	assert_range(&map, 0, 4 * MIB);
	map = part(5 * MIB, 4 * MIB);
	assert_range(&map, 5 * MIB, MIB);
	map = part(3 * MIB, 4 * MIB);
	assert_range(&map, 3 * MIB, MIB);
	map = part(0, 4096);
	assert_range(&map, 0, 4096);
	map = part(700 * MIB, 3 * MIB);
	assert_range(&map, 1026 * MIB, 2 * MIB);
	rig_destroy(&rig);
}
END_TEST

START_TEST(run_tells_its_pages_by_node_size_and_policy)
{
	struct gmig_map map;

	create(true);
	touch(1, 3, 5);
	map = part(1026 * MIB, UINT64_MAX);
	/* First touches fill some neighbours, too. */
	ck_assert_uint_eq(map.small_pages + map.untouched_pages, 10 * MIB / PAGE);
	ck_assert_uint_ge(map.small_pages, 5);
	ck_assert_uint_eq(map.pages[2], map.small_pages);
	ck_assert_uint_eq(map.pages[0] + map.pages[1] + map.pages[3], 0);
	ck_assert_uint_eq(map.huge_pages + map.moving_pages + map.swapped_pages, 0);
	ck_assert_uint_eq(map.misplaced_pages + map.fixed_pages, 0);
	ck_assert_uint_eq(map.node_count, 0);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_DEFAULT);
	bind(1026 * MIB, 8 * PAGE, GMIG_POLICY_INTERLEAVE, "1,2,3");
	map = part(1026 * MIB, UINT64_MAX);
	assert_range(&map, 1026 * MIB, 8 * PAGE);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_INTERLEAVE);
	ck_assert_uint_eq(map.node_count, 3);
	ck_assert(map.node[0] == 1 && map.node[1] == 2 && map.node[2] == 3);
	ck_assert_uint_eq(map.pages[2], map.small_pages);
	ck_assert_uint_ge(map.small_pages, 5);
	/* Every third belongs there. */
	for (uint64_t page = 3; page < 8; page++) {
		uint64_t gfn = 1026 * MIB / PAGE + page;

		map = part(gfn * PAGE, PAGE);
		ck_assert_uint_eq(map.small_pages, 1);
		ck_assert_uint_eq(map.misplaced_pages, gfn % 3 != 1);
	}
	bind(0, PAGE, GMIG_POLICY_PREFERRED, "");
	ck_assert_int_eq(part(0, PAGE).policy.mode, GMIG_POLICY_LOCAL);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 1028 * MIB, PAGE, true, &err), 0);
	map = part(1028 * MIB - PAGE, UINT64_MAX);
	ck_assert_uint_eq(map.fixed_pages, 512);
	ck_assert_uint_eq(part(1028 * MIB, PAGE).fixed_pages, 1);
	ck_assert_uint_eq(part(1030 * MIB, 2 * MIB).fixed_pages, 0);
	rig_destroy(&rig);
}
END_TEST

/* Where a run ends within a huge page, each page counts by itself, as a job would have it. */
START_TEST(part_of_a_huge_page_is_told_page_by_page)
{
	struct gmig_map map;

	create(false);
	touch(0, 600, 1);
	if (!huge_or_skip(rig.gmig)) {
		rig_destroy(&rig);
		return;
	}
	map = part(0, UINT64_MAX);
	ck_assert_uint_eq(map.huge_pages, 512);
	ck_assert_uint_eq(map.pages[0], 512);
	ck_assert_uint_eq(map.untouched_pages, 1024);
	ck_assert_uint_eq(map.small_pages + map.misplaced_pages, 0);
	bind(0, 700 * PAGE, GMIG_POLICY_INTERLEAVE, "0,1");
	map = part(0, UINT64_MAX);
	assert_range(&map, 0, 700 * PAGE);
	ck_assert_uint_eq(map.untouched_pages, 512);
	ck_assert_uint_eq(map.huge_pages, 188);
	ck_assert_uint_eq(map.pages[0], 188);
	ck_assert_uint_eq(map.misplaced_pages, 94);
	map = part(600 * PAGE, UINT64_MAX);
	assert_range(&map, 600 * PAGE, 100 * PAGE);
	ck_assert_uint_eq(map.huge_pages, 100);
	ck_assert_uint_eq(map.misplaced_pages, 50);
	map = part(700 * PAGE, UINT64_MAX);
	assert_range(&map, 700 * PAGE, 836 * PAGE);
	ck_assert_uint_eq(map.huge_pages, 324);
	ck_assert_uint_eq(map.misplaced_pages, 0);
	rig_destroy(&rig);
}
END_TEST

START_TEST(pages_that_are_claimed_are_moving_and_where_they_were)
{
	struct claim_result nothing = {.stall = NULL};
	struct bits refused;
	struct claim claim;
	struct gmig_map map;

	create(true);
	touch(0, 512, 512);
	claim = (struct claim){.gmig = rig.gmig,
			       .region = &rig.gmig->regions[0],
			       .block_gfn = 512,
			       .to = 1,
			       .owner = 7};
	bits_set_range(&claim.pages, 100, 300);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	map = part(0, UINT64_MAX);
	ck_assert_uint_eq(map.moving_pages, 300);
	ck_assert_uint_eq(map.pages[0], 512);
	ck_assert_uint_eq(map.pages[1], 0);
	ck_assert_uint_eq(map.small_pages, 512);
	ck_assert_uint_eq(map.untouched_pages, 1024);
	claim_settle(&claim, &nothing);
	ck_assert_uint_eq(part(0, UINT64_MAX).moving_pages, 0);
	rig_destroy(&rig);
}
END_TEST

/* 100000 entries a call. */
START_TEST(run_of_many_entries_is_told_in_parts)
{
	const struct gmig_region_spec large = {.gpa = 8192 * MIB, .bytes = 400 * MIB};
	const uint64_t first = large.gpa / PAGE, pages = large.bytes / PAGE;
	struct gmig_map map;
	void *hva;

	create(true);
	ck_assert_int_eq(gmig_region_add(rig.gmig, &large, &hva, &err), 0);
	for (uint64_t gfn = first; gfn < first + pages; gfn += 512)
		ck_assert_int_eq(shadow_split(rig.gmig->shadow, gfn), 0);
	map = part(large.gpa, UINT64_MAX);
	assert_range(&map, large.gpa, 100000 * PAGE);
	ck_assert_uint_eq(map.untouched_pages, 100000);
	map = part(map.gpa + map.bytes, UINT64_MAX);
	assert_range(&map, large.gpa + 100000 * PAGE, (pages - 100000) * PAGE);
	ck_assert_uint_eq(map.untouched_pages, pages - 100000);
	rig_destroy(&rig);
}
END_TEST

/* ---- Bytes by node ------------------------------------------------------------------------------- */

START_TEST(vnode_s_memory_is_that_of_all_of_its_regions)
{
	uint64_t bytes[GMIG_MAX_NODES], swapped = 1;

	create(true);
	touch(0, 0, 1536);
	touch(1, 0, 2560);
	touch(2, 0, 512);
	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_int_eq(gmig_residency(rig.gmig, 0, bytes), 0);
	ck_assert_uint_eq(bytes[0], 6 * MIB);
	ck_assert_uint_ge(bytes[1], 2 * MIB);
	ck_assert_uint_eq(bytes[2], 0);
	ck_assert_uint_eq(bytes[GMIG_MAX_NODES - 1], 0);
	ck_assert_int_eq(gmig_residency(rig.gmig, 1, bytes), 0);
	ck_assert_uint_eq(bytes[0], 0);
	ck_assert_uint_eq(bytes[2], 10 * MIB);
	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_int_eq(gmig_residency(rig.gmig, 2, bytes), -EINVAL);
	ck_assert_uint_eq(bytes[0] + bytes[1] + bytes[GMIG_MAX_NODES - 1], 0);
	ck_assert_int_eq(gmig_swapped(rig.gmig, GMIG_MAX_VNODES, &swapped), -EINVAL);
	ck_assert_int_eq(gmig_swapped(rig.gmig, GMIG_MAX_VNODES - 1, &swapped), 0);
	ck_assert_uint_eq(swapped, 0);
	rig_destroy(&rig);
}
END_TEST

START_TEST(plain_vnode_s_memory_is_asked_for_page_by_page)
{
	struct gmig_options options = {.plain = true, .small_pages = true};
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_topology *topology;
	struct gmig *gmig;

	ck_assert_int_eq(gmig_topology_create(3, &topology, NULL), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_str_eq(gmig_why_off(gmig), "migration is off: plain memory was asked for");
	for (unsigned int i = 0; i < REGIONS; i++) {
		void *hva;

		ck_assert_int_eq(gmig_region_add(gmig, &layout[i], &hva, &err), 0);
		for (unsigned int page = 0; page < 3 + i; page++)
			((volatile uint8_t *)hva)[(page * 200 + 5) * PAGE] = 1;
	}
	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	ck_assert_uint_eq(bytes[0], 3 * PAGE);
	ck_assert_uint_eq(bytes[1], 5 * PAGE);
	ck_assert_uint_eq(bytes[2], 0);
	ck_assert_int_eq(gmig_residency(gmig, 1, bytes), 0);
	ck_assert_uint_eq(bytes[2], 4 * PAGE);
	ck_assert_uint_eq(bytes[0] + bytes[1], 0);
	ck_assert_uint_eq(gmig_audit_age_ns(gmig), 0);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

/* ---- Statistics -------------------------------------------------------------------------------- */

START_TEST(each_statistic_is_its_own)
{
	struct gmig_stats stats;
	struct gmig *gmig;

	create(true);
	gmig = rig.gmig;
	touch(0, 0, 1536);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, 6 * MIB);
	ck_assert_uint_eq(stats.page_bytes_2m, 0);
	ck_assert_uint_eq(stats.page_bytes_hugetlb_2m + stats.page_bytes_hugetlb_1g, 0);
	ck_assert_uint_eq(stats.slots_emptied + stats.offlined_bytes, 0);
	ck_assert_uint_gt(stats.faults, 0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		long pool = ledger_pages(gmig->ledger, node, LEDGER_POOL);

		ck_assert_uint_eq(stats.pool_bytes[node], (uint64_t)pool * PAGE);
		ck_assert_uint_eq(stats.quarantine_bytes[node], 0);
	}
	ck_assert_uint_eq(stats.extra_bytes,
			  (uint64_t)ledger_sum(gmig->ledger, LEDGER_POOL, LEDGER_FLIGHT) * PAGE);
	ck_assert_uint_ge(stats.extra_bytes_peak, stats.extra_bytes);
	ck_assert_uint_gt(stats.extra_bytes_max, 0);
	atomic_store(&gmig->sleepers, 1);
	atomic_store(&gmig->starved, 2);
	atomic_store(&gmig->faults, 3);
	atomic_store(&gmig->faults_known_thread, 4);
	atomic_store(&gmig->dma_begun, 5);
	atomic_store(&gmig->dma_refused, 6);
	atomic_store(&gmig->claims_busy, 7);
	atomic_store(&gmig->busy_blocks, 8);
	atomic_store(&gmig->offlined_in_place, 9);
	hist_record(&gmig->blackout_read, 10);
	hist_record(&gmig->blackout_write, 11);
	hist_record(&gmig->stall, 12);
	memset(&stats, 0xff, sizeof(stats));
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 1);
	ck_assert_uint_eq(stats.starved_pages, 2);
	ck_assert_uint_eq(stats.faults, 3);
	ck_assert_uint_eq(stats.faults_known_thread, 4);
	ck_assert_uint_eq(stats.dma_begun, 5);
	ck_assert_uint_eq(stats.dma_refused, 6);
	ck_assert_uint_eq(stats.claims_busy, 7);
	ck_assert_uint_eq(stats.busy_blocks, 8);
	ck_assert_uint_eq(stats.offlined_bytes, 9);
	ck_assert_uint_eq(stats.blackout_read.count, 1);
	ck_assert_uint_eq(stats.blackout_read.max_ns, 10);
	ck_assert_uint_eq(stats.blackout_write.max_ns, 11);
	ck_assert_uint_eq(stats.stall.max_ns, 12);
	for (unsigned int i = 0; i < sizeof(stats.reserved) / sizeof(stats.reserved[0]); i++)
		ck_assert_uint_eq(stats.reserved[i], 0);
	atomic_store(&gmig->sleepers, 0);
	rig_destroy(&rig);
}
END_TEST

START_TEST(time_is_in_the_bucket_of_its_power_of_two)
{
	static const uint64_t times[] = {0, 1, 2, 3, 1024, 2047, 1ull << 40};
	uint64_t count[GMIG_TIME_BUCKETS], expected[GMIG_TIME_BUCKETS] = {0};

	create(true);
	for (unsigned int i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		hist_record(&rig.gmig->stall, times[i]);
		expected[times[i] ? 63 - __builtin_clzll(times[i]) : 0]++;
	}
	memset(count, 7, sizeof(count));
	gmig_histogram(rig.gmig, GMIG_TIMES_STALL, count);
	ck_assert_mem_eq(count, expected, sizeof(count));
	gmig_histogram(rig.gmig, GMIG_TIMES_BLACKOUT_READ, count);
	for (unsigned int i = 0; i < GMIG_TIME_BUCKETS; i++)
		ck_assert_uint_eq(count[i], 0);
	hist_record(&rig.gmig->blackout_write, 5);
	gmig_histogram(rig.gmig, GMIG_TIMES_BLACKOUT_WRITE, count);
	ck_assert_uint_eq(count[2], 1);
	rig_destroy(&rig);
}
END_TEST

/* ---- Age ----------------------------------------------------------------------------------------- */

START_TEST(age_is_that_of_the_region_that_was_looked_at_longest_ago)
{
	create(true);
	atomic_store(&clock_ns, 1ull << 50);
	for (unsigned int i = 0; i < REGIONS; i++)
		atomic_store(&rig.gmig->regions[i].audited_ns, (1ull << 50) - 100);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 100);
	atomic_store(&rig.gmig->regions[0].audited_ns, (1ull << 50) - 7);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 100);
	atomic_store(&rig.gmig->regions[2].audited_ns, (1ull << 50) - 101);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 101);
	for (unsigned int i = 0; i < REGIONS; i++)
		atomic_store(&rig.gmig->regions[i].audited_ns, (1ull << 50) + 1);
	ck_assert_uint_eq(gmig_audit_age_ns(rig.gmig), 0);
	atomic_store(&clock_ns, 0);
	rig_destroy(&rig);
}
END_TEST

/* Blocks that are scanned by this thread, by their number in all regions. */
static _Thread_local char *scanned;

static int note_scan(int fd, unsigned long request, void *argument)
{
	const struct pm_scan_arg *arg = argument;
	unsigned int before = 0;

	for (unsigned int i = 0; request == PAGEMAP_SCAN && scanned && i < REGIONS; i++) {
		uint64_t at = arg->start - (uintptr_t)ram[i];

		if (at < layout[i].bytes)
			*scanned++ = (char)('0' + before + at / GMIG_BLOCK_BYTES);
		before += (unsigned int)(layout[i].bytes / GMIG_BLOCK_BYTES);
	}
	return gmig_sys_real.ioctl(fd, request, argument);
}

/* Of ten blocks, by steps of the golden ratio: never long at one end, and no more than there are. */
START_TEST(samples_are_spread_over_the_blocks_of_all_regions)
{
	struct gmig_sample sample;
	char blocks[32] = "";

	create(true);
	touch(0, 0, 1536);
	touch(1, 0, 2560);
	touch(2, 0, 1024);
	sys.ioctl = note_scan;
	rig_publish(&rig);
	scanned = blocks;
	gmig_sample(rig.gmig, 0, &sample);
	ck_assert_uint_eq(sample.checked_pages, 0);
	gmig_sample(rig.gmig, 3, &sample);
	ck_assert_uint_eq(sample.checked_pages, 3 * 512);
	ck_assert_str_eq(blocks, "062");
	gmig_sample(rig.gmig, 11, &sample);
	ck_assert_uint_eq(sample.checked_pages, 10 * 512);
	ck_assert_str_eq(blocks, "0628407395174");
	ck_assert_uint_eq(sample.corrected_pages, 0);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sampled), 13);
	scanned = NULL;
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    run_ends_with_its_region_its_policy_or_its_step,
	    run_tells_its_pages_by_node_size_and_policy,
	    part_of_a_huge_page_is_told_page_by_page,
	    pages_that_are_claimed_are_moving_and_where_they_were,
	    run_of_many_entries_is_told_in_parts,
	    vnode_s_memory_is_that_of_all_of_its_regions,
	    plain_vnode_s_memory_is_asked_for_page_by_page,
	    each_statistic_is_its_own,
	    time_is_in_the_bucket_of_its_power_of_two,
	    age_is_that_of_the_region_that_was_looked_at_longest_ago,
	    samples_are_spread_over_the_blocks_of_all_regions,
	};
	Suite *suite = suite_create("look");
	TCase *tcase = tcase_create("look");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

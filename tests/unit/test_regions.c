/*
 * A guest of three regions with gaps between them, of two vnodes, none of which begins where another one does in its block of
 * numbers: what is said of one of them is true of that one, and of no other.
 */
#include "../../migrate/gmig_discard.h"
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "rig.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define NODES 4
#define B     GMIG_BLOCK_PAGES
#define PAGE  GMIG_PAGE_BYTES
#define MIB   (1ull << 20)

static const struct gmig_region_spec layout[] = {
    {.gpa = 0, .bytes = 6 * MIB},
    {.gpa = 1026 * MIB, .bytes = 10 * MIB, .vnode = 1, .host_node = 2},
    {.gpa = 4096 * MIB, .bytes = 4 * MIB, .host_node = 1},
};

#define REGIONS (sizeof(layout) / sizeof(layout[0]))

static struct rig rig;
static uint8_t *ram[REGIONS];
static struct gmig_error err;

/* Each byte tells where it is. */
static uint8_t byte_of(unsigned int region, uint64_t page)
{
	return (uint8_t)(1 + page * 7 % 127 + region * 64);
}

static void touch(unsigned int region, uint64_t page)
{
	memset(ram[region] + page * PAGE, byte_of(region, page), PAGE);
}

static uint64_t pages_of(unsigned int region)
{
	return layout[region].bytes / PAGE;
}

static void create(bool small, bool touched)
{
	const struct rig_options options = {
	    .bytes = layout[0].bytes, .nodes = NODES, .small_pages = small, .untouched = true};

	rig_create(&rig, &options);
	ram[0] = (uint8_t *)rig.ram;
	for (unsigned int i = 1; i < REGIONS; i++) {
		void *hva;

		ck_assert_msg(!gmig_region_add(rig.gmig, &layout[i], &hva, &err), "%s", err.text);
		ram[i] = hva;
	}
	rig_publish(&rig);
	for (unsigned int i = 0; touched && i < REGIONS; i++)
		for (uint64_t page = 0; page < pages_of(i); page++)
			touch(i, page);
	rig_settle(&rig);
}

static void ck_content(void)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		for (uint64_t page = 0; page < pages_of(i); page++)
			for (unsigned int at = 0; at < PAGE; at += 1365)
				ck_assert_uint_eq(ram[i][page * PAGE + at], byte_of(i, page));
}

static void finish(void)
{
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	memset(ram, 0, sizeof(ram));
}

static unsigned int node_of(unsigned int region, uint64_t page)
{
	struct shadow_entry entry;

	rig_settle(&rig);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, layout[region].gpa / PAGE + page, &entry),
			 0);
	return entry.state == SHADOW_NONE ? GMIG_NO_NODE : entry.node;
}

static void ck_on(unsigned int region, uint64_t first, uint64_t pages, unsigned int node)
{
	for (uint64_t page = first; page < first + pages; page++)
		ck_assert_uint_eq(node_of(region, page), node);
}

static void ck_vnode(unsigned int vnode, const uint64_t mib[NODES])
{
	uint64_t bytes[GMIG_MAX_NODES];

	rig_settle(&rig);
	ck_assert_int_eq(gmig_residency(rig.gmig, vnode, bytes), 0);
	for (unsigned int node = 0; node < NODES; node++)
		ck_assert_uint_eq(bytes[node], mib[node] * MIB);
}

static struct gmig_job_info end(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_uint_eq(info.total_bytes, info.moved_bytes + info.remaining_bytes +
						info.gone_bytes + info.by_others_bytes);
	return info;
}

/* ---- Where memory comes from, and goes -------------------------------------------------------------- */

START_TEST(first_touch_of_each_region_is_on_its_own_node)
{
	struct gmig_stats stats;

	create(_i, true);
	ck_vnode(0, (const uint64_t[]){6, 4, 0, 0});
	ck_vnode(1, (const uint64_t[]){0, 0, 10, 0});
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m + stats.page_bytes_4k, 20 * MIB);
	ck_assert_uint_eq(stats.sleepers + stats.starved_pages + stats.dma_begun, 0);
	if (_i)
		ck_assert_uint_eq(stats.page_bytes_2m, 0);
	ck_assert_int_eq(gmig_residency(rig.gmig, 2, (uint64_t[GMIG_MAX_NODES]){0}), -EINVAL);
	ck_content();
	finish();
}
END_TEST

START_TEST(populate_fills_all_of_them)
{
	const struct gmig_populate how = {.threads = 1 + (unsigned int)_i / 2};
	struct gmig_stats before, after;

	create(_i % 2, false);
	touch(1, 3);
	ck_assert_msg(!gmig_populate(rig.gmig, &how, &err), "%s", err.text);
	ck_vnode(0, (const uint64_t[]){6, 4, 0, 0});
	ck_vnode(1, (const uint64_t[]){0, 0, 10, 0});
	/* Once more: nothing is left to do, and nothing is taken for it. */
	ck_assert_int_eq(ram[1][3 * PAGE], byte_of(1, 3));
	gmig_stats(rig.gmig, &before);
	ck_assert_msg(!gmig_populate(rig.gmig, &how, &err), "%s", err.text);
	gmig_stats(rig.gmig, &after);
	ck_assert_uint_eq(after.page_bytes_2m + after.page_bytes_4k, 20 * MIB);
	ck_assert_uint_eq(after.page_bytes_2m, before.page_bytes_2m);
	ck_assert_uint_eq(after.extra_bytes, before.extra_bytes);
	ck_assert_uint_eq(after.extra_bytes_peak, before.extra_bytes_peak);
	finish();
}
END_TEST

START_TEST(job_takes_from_its_node_in_all_of_them)
{
	struct gmig_job_spec spec = {.from = {2, 1}, .to = {3, 0}, .from_count = 2, .to_count = 2};
	struct gmig_job_info info;

	create(_i, true);
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, 14 * MIB);
	ck_assert_uint_eq(info.total_bytes, 14 * MIB);
	ck_vnode(0, (const uint64_t[]){10, 0, 0, 0});
	ck_vnode(1, (const uint64_t[]){0, 0, 0, 10});
	/* Back, and of the first one alone there is nothing on node 3. */
	spec = rig_spec(0, 2);
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, 10 * MIB);
	spec = rig_spec(3, 1);
	spec.max_bytes = 6 * MIB;
	rig_move(&rig, &spec, &info);
	ck_vnode(0, (const uint64_t[]){0, 0, 10, 0});
	ck_vnode(1, (const uint64_t[]){0, 6, 0, 4});
	ck_content();
	finish();
}
END_TEST

/* A page of zeros has no frame of its own to move: it is given back, and is one of zeros the next time, too. */
START_TEST(zero_pages_are_given_back_wherever_they_are_in_their_block)
{
	static const unsigned int zeros[] = {0, 63, 64, 300, B - 1, 3 * B + 130};
	const unsigned int count = sizeof(zeros) / sizeof(zeros[0]);
	struct gmig_job_spec spec = rig_spec(2, 1);
	struct gmig_job_info info;

	create(true, true);
	for (unsigned int i = 0; i < count; i++) {
		struct uffdio_zeropage zero = {
		    .range = {(uintptr_t)ram[1] + zeros[i] * PAGE, PAGE}};

		ck_assert_int_eq(madvise(ram[1] + zeros[i] * PAGE, PAGE, MADV_DONTNEED), 0);
		ck_assert_int_eq(ioctl(rig.gmig->vnodes[1].uffd, UFFDIO_ZEROPAGE, &zero), 0);
	}
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, 10 * MIB - count * PAGE);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_uint_eq(node_of(1, zeros[i]), GMIG_NO_NODE);
		ck_assert_uint_eq(ram[1][zeros[i] * PAGE + i], 0);
		touch(1, zeros[i]);
	}
	ck_content();
	finish();
}
END_TEST

/* Both ends of what was measured, at powers of two, and nothing outside of them. */
START_TEST(histograms_have_the_times_of_the_statistics)
{
	struct gmig_job_spec spec = rig_spec(2, 1);
	struct gmig_job_info info;
	struct gmig_stats stats;

	create(true, true);
	spec.mode = GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_gt(stats.blackout_read.count, 0);
	ck_assert_uint_gt(stats.blackout_write.count, 0);
	for (enum gmig_times which = GMIG_TIMES_BLACKOUT_READ; which <= GMIG_TIMES_STALL; which++) {
		const struct gmig_percentiles *times = which == GMIG_TIMES_STALL ? &stats.stall
						       : which == GMIG_TIMES_BLACKOUT_READ
							   ? &stats.blackout_read
							   : &stats.blackout_write;
		uint64_t count[GMIG_TIME_BUCKETS], sum = 0;

		memset(count, 7, sizeof(count));
		gmig_histogram(rig.gmig, which, count);
		for (unsigned int i = 0; i < GMIG_TIME_BUCKETS; i++) {
			sum += count[i];
			ck_assert(!count[i] || !i || 1ull << i <= times->max_ns);
		}
		ck_assert_uint_eq(sum, times->count);
		if (times->count)
			ck_assert_uint_gt(count[63 - __builtin_clzll(times->max_ns)], 0);
	}
	finish();
}
END_TEST

START_TEST(named_ranges_move_where_they_are)
{
	const struct gmig_move_range ranges[] = {
	    {layout[2].gpa + layout[2].bytes - 3 * PAGE, 3 * PAGE, 0},
	    {layout[1].gpa + 130 * PAGE, (B + 77) * PAGE, 3},
	    {layout[0].gpa + (B - 1) * PAGE, 2 * PAGE, 1},
	};
	const struct gmig_move move = {.ranges = ranges, .count = 3};
	const struct gmig_job_spec limits = {0};
	struct gmig_job_info info;
	struct gmig_job *job;

	create(_i, true);
	ck_assert_msg(!gmig_move_start(rig.gmig, &move, &limits, &job, &err), "%s", err.text);
	info = end(job);
	rig_assert_moved_all(&info, (3 + B + 77 + 2) * PAGE);
	ck_on(0, 0, B - 1, 0);
	ck_on(0, B - 1, 2, 1);
	ck_on(0, B + 1, 2 * B - 1, 0);
	ck_on(1, 0, 130, 2);
	ck_on(1, 130, B + 77, 3);
	ck_on(1, B + 207, 4 * B - 207, 2);
	ck_on(2, 0, 2 * B - 3, 1);
	ck_on(2, 2 * B - 3, 3, 0);
	ck_content();
	finish();
}
END_TEST

/* ---- What is said of a part of them ------------------------------------------------------------------- */

START_TEST(policy_of_a_part_is_that_part_s)
{
	struct gmig_bind_spec spec = {.gpa = layout[1].gpa + 3 * PAGE,
				      .bytes = (2 * B + 1) * PAGE,
				      .flags = GMIG_BIND_MOVE | GMIG_BIND_STRICT,
				      .policy = {.mode = GMIG_POLICY_INTERLEAVE, .nodes = {{11}}}};
	static const unsigned int place[] = {0, 1, 3};
	struct gmig_map map;
	struct gmig_job *job;

	create(true, _i);
	ck_assert_msg(!gmig_bind(rig.gmig, &spec, &job, &err), "%s", err.text);
	ck_assert_int_eq(end(job).error.code, 0);
	for (unsigned int i = 0; !_i && i < REGIONS; i++)
		for (uint64_t page = pages_of(i); page-- > 0;)
			touch(i, page);
	for (uint64_t page = 0; page < pages_of(1); page++)
		ck_assert_uint_eq(node_of(1, page), page < 3 || page >= 2 * B + 4
							? 2
							: place[(layout[1].gpa / PAGE + page) % 3]);
	ck_on(0, 0, pages_of(0), 0);
	ck_on(2, 0, pages_of(2), 1);
	/* As a map tells it: from the gap on. */
	ck_assert_int_eq(gmig_map_at(rig.gmig, layout[0].bytes, &map), 0);
	ck_assert_uint_eq(map.gpa, layout[1].gpa);
	ck_assert_uint_eq(map.bytes, 3 * PAGE);
	ck_assert_uint_eq(map.vnode, 1);
	ck_assert_uint_eq(map.pages[2], 3);
	ck_assert_int_eq(gmig_map_at(rig.gmig, map.gpa + map.bytes, &map), 0);
	ck_assert_uint_eq(map.bytes, (2 * B + 1) * PAGE);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_INTERLEAVE);
	ck_assert_uint_eq(map.node_count, 3);
	ck_assert_uint_eq(map.misplaced_pages + map.untouched_pages + map.huge_pages, 0);
	ck_assert_uint_eq(map.pages[0] + map.pages[1] + map.pages[3], 2 * B + 1);
	ck_assert_int_eq(gmig_map_part(rig.gmig, map.gpa + 5 * PAGE, 16 * PAGE, &map), 0);
	ck_assert_uint_eq(map.bytes, 8 * PAGE);
	ck_assert_int_eq(gmig_map_at(rig.gmig, layout[2].gpa + layout[2].bytes, &map), -ENOENT);
	/* STRICT alone is content with it, and with no other. */
	spec.flags = GMIG_BIND_STRICT;
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &job, &err), 0);
	spec.bytes += PAGE;
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &job, &err), -EIO);
	ck_content();
	finish();
}
END_TEST

START_TEST(home_node_is_for_ranges_that_have_a_policy)
{
	const struct gmig_bind_spec spec = {.gpa = layout[2].gpa,
					    .bytes = layout[2].bytes,
					    .policy = {.mode = GMIG_POLICY_BIND, .nodes = {{12}}}};
	struct gmig_job *job;

	create(true, false);
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &job, &err), 0);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, layout[1].gpa, 2 * MIB, 3, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no range"));
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, layout[2].gpa, 2 * MIB, NODES, &err),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "4 is not online"));
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, layout[2].gpa, 0, 3, &err), 0);
	touch(2, 0);
	ck_assert_uint_eq(node_of(2, 0), 2);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, layout[2].gpa + 2 * MIB, 2 * MIB, 3, &err),
			 0);
	touch(2, B - 1);
	touch(2, B);
	ck_assert_uint_eq(node_of(2, B - 1), 2);
	ck_assert_uint_eq(node_of(2, B), 3);
	finish();
}
END_TEST

START_TEST(fixed_blocks_stay_and_those_around_them_move)
{
	struct gmig_job_spec spec = rig_spec(2, 0);
	struct gmig_job_info info;
	struct gmig_map map;

	create(_i, true);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, layout[0].bytes, PAGE, true, &err), -EFAULT);
	ck_assert_int_eq(
	    gmig_fix_memory(rig.gmig, layout[1].gpa + 4 * MIB - PAGE, 2 * PAGE, true, &err), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, layout[1].gpa, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 2 * B);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 6 * MIB);
	ck_assert_uint_eq(info.remaining_bytes, 4 * MIB);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EPERM);
	ck_on(1, 0, B, 0);
	ck_on(1, B, 2 * B, 2);
	ck_on(1, 3 * B, 2 * B, 0);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, layout[1].gpa, 4 * MIB, false, &err), 0);
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, 2 * MIB);
	ck_on(1, 2 * B, B, 2);
	ck_content();
	finish();
}
END_TEST

START_TEST(what_is_given_back_is_gone_there_and_only_there)
{
	struct gmig_stats stats;
	size_t done = 99;

	create(_i, true);
	ck_assert_int_eq(gmig_discard(rig.gmig, ram[1] + 200 * PAGE, (B + 9) * PAGE, &done), 0);
	ck_assert_uint_eq(done, (B + 9) * PAGE);
	ck_on(1, 0, 200, 2);
	ck_on(1, 200, B + 9, GMIG_NO_NODE);
	ck_on(1, B + 209, 4 * B - 209, 2);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m + stats.page_bytes_4k, 20 * MIB - (B + 9) * PAGE);
	for (uint64_t page = 200; page < B + 209; page++) {
		ck_assert_uint_eq(ram[1][page * PAGE + page], 0);
		touch(1, page);
	}
	ck_on(1, 0, pages_of(1), 2);
	done = 99;
	ck_assert_int_eq(gmig_discard(rig.gmig, ram[2] + layout[2].bytes - PAGE, 2 * PAGE, &done),
			 -EFAULT);
	ck_assert_uint_eq(done, 0);
	ck_content();
	finish();
}
END_TEST

START_TEST(blocks_of_a_transfer_stay_until_it_has_ended)
{
	struct gmig_job_spec spec = rig_spec(1, 3);
	struct gmig_job_info info;
	struct gmig_stats stats;

	create(_i, true);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram[2] + layout[2].bytes - 5, 6), -EFAULT);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram[2], 0), -EINVAL);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram[2] + 2 * MIB + 5, 1), 0);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, ram[1] + 2 * MIB - 1, 2), 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.dma_begun, 2);
	ck_assert_uint_eq(stats.busy_blocks, 3);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 2 * MIB);
	ck_assert_uint_eq(info.remaining_bytes, 2 * MIB);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	gmig_dma_end(rig.gmig, ram[2] + 2 * MIB + 5, 1);
	gmig_dma_end(rig.gmig, ram[1] + 2 * MIB - 1, 2);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.busy_blocks, 0);
	rig_move(&rig, &spec, &info);
	rig_assert_moved_all(&info, 2 * MIB);
	ck_vnode(0, (const uint64_t[]){6, 0, 0, 4});
	ck_content();
	finish();
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("regions");
	Suite *suite = suite_create("regions");

	tcase_add_loop_test(tcase, first_touch_of_each_region_is_on_its_own_node, 0, 2);
	tcase_add_loop_test(tcase, populate_fills_all_of_them, 0, 4);
	tcase_add_loop_test(tcase, job_takes_from_its_node_in_all_of_them, 0, 2);
	tcase_add_loop_test(tcase, zero_pages_are_given_back_wherever_they_are_in_their_block, 0,
			    2);
	tcase_add_test(tcase, histograms_have_the_times_of_the_statistics);
	tcase_add_loop_test(tcase, named_ranges_move_where_they_are, 0, 2);
	tcase_add_loop_test(tcase, policy_of_a_part_is_that_part_s, 0, 2);
	tcase_add_test(tcase, home_node_is_for_ranges_that_have_a_policy);
	tcase_add_loop_test(tcase, fixed_blocks_stay_and_those_around_them_move, 0, 2);
	tcase_add_loop_test(tcase, what_is_given_back_is_gone_there_and_only_there, 0, 2);
	tcase_add_loop_test(tcase, blocks_of_a_transfer_stay_until_it_has_ended, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

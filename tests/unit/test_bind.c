/* Ranges of a guest's memory that have a policy: where first touches go, what moves, and what is said of it. */
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/bound_pages.h"
#include "../../migrate/memory/bound_touch.h"
#include "../../migrate/memory/frame.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define BLOCKS 8
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define NODES  4

static struct rig rig;
static const unsigned int third[] = {0, 2, 3};

static struct gmig_sys sys;
static atomic_bool no_memory; /* for frames that come from the kernel */

static int advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_load(&no_memory))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void create(bool small)
{
	struct rig_options options = {
	    .bytes = BYTES, .nodes = NODES, .untouched = true, .small_pages = small, .sys = &sys};

	sys = gmig_sys_real;
	sys.advise = advise;
	atomic_store(&no_memory, false);
	rig_create(&rig, &options);
}

static void bind(uint64_t first, uint64_t pages, enum gmig_policy_mode mode, const char *nodes)
{
	struct gmig_policy asked = {.mode = mode};
	struct mempolicy *policy;

	ck_assert_int_eq(gmig_node_set_parse(nodes, &asked.nodes, NULL), 0);
	ck_assert_int_eq(mempolicy_create(&asked, gmig_topology_nodes(rig.topology), &policy), 0);
	ck_assert_int_eq(bindings_set(rig.gmig->bindings, first, pages, policy, NULL), 0);
	mempolicy_put(policy);
}

/* GMIG_NO_NODE: no memory. */
static unsigned int node_of(uint64_t page)
{
	struct shadow_entry entry;

	rig_settle(&rig);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	return entry.node;
}

static uint64_t resident(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	rig_settle(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	return bytes[node];
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static void touch_all(void)
{
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
}

START_TEST(huge_first_touch_goes_where_its_number_says)
{
	struct gmig_stats stats;

	create(false);
	if (!huge_or_skip(rig.gmig)) {
		touch_all();
		finish();
		return;
	}
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "0,2,3");
	/* In whatever order: from the end. */
	for (uint64_t block = BLOCKS; block-- > 0;)
		rig_write_page(&rig, block * GMIG_BLOCK_PAGES + 7);
	touch_all();
	for (uint64_t block = 0; block < BLOCKS; block++)
		ck_assert_uint_eq(node_of(block * GMIG_BLOCK_PAGES), third[block % 3]);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	finish();
}
END_TEST

START_TEST(small_first_touch_goes_where_its_number_says)
{
	create(true);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "0,2,3");
	for (uint64_t page = rig.pages; page > 0; page -= 5 < page ? 5 : page)
		rig_write_page(&rig, page - 1);
	touch_all();
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), third[page % 3]);
	finish();
}
END_TEST

/* A part of a block has a policy: the rest of it goes where it would go without. */
START_TEST(range_within_a_block_ends_where_it_ends)
{
	create(_i);
	bind(700, 50, GMIG_POLICY_PREFERRED, "3");
	bind(730, 10, GMIG_POLICY_BIND, "1,2");
	touch_all();
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page < 700 || page >= 750   ? 0
						 : page >= 730 && page < 740 ? 1
									     : 3);
	ck_assert_uint_eq(resident(1), 10 * GMIG_PAGE_BYTES);
	finish();
}
END_TEST

START_TEST(populate_follows_policies)
{
	const struct gmig_populate how = {.threads = 3};
	struct gmig_error err = {0};

	create(_i);
	bind(0, 3 * GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "2");
	bind(3 * GMIG_BLOCK_PAGES, 100, GMIG_POLICY_INTERLEAVE, "1,3");
	ck_assert_msg(!gmig_populate(rig.gmig, &how, &err), "%s", err.text);
	ck_assert_uint_eq(resident(2), 3 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), 50 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(3), 50 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(0), BYTES - 3 * GMIG_BLOCK_BYTES - 100 * GMIG_PAGE_BYTES);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(*rig_page(&rig, page), 0);
	touch_all();
	finish();
}
END_TEST

/* A page that was given back comes again by its policy, alone. */
START_TEST(discarded_page_is_filled_by_its_policy)
{
	create(_i);
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "1,2");
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 100), 4 * GMIG_PAGE_BYTES, MADV_DONTNEED),
			 0);
	for (uint64_t page = 100; page < 104; page++)
		rig_write_page(&rig, page);
	ck_assert_uint_eq(resident(1), 2 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(2), 2 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(node_of(101), 2);
	finish();
}
END_TEST

/* No toucher waits for all of a block that falls apart into single pages. */
START_TEST(interleaved_touch_fills_its_neighbours_only)
{
	create(true);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "1,2");
	rig_write_page(&rig, 40);
	ck_assert_uint_eq(resident(1) + resident(2), 16 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(node_of(32), 1);
	ck_assert_uint_eq(node_of(47), 2);
	ck_assert_uint_eq(node_of(48), GMIG_NO_NODE);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- gmig_bind() ---------------------------------------------------------------------------------- */

static struct gmig_bind_spec spec_of(uint64_t first, uint64_t pages, enum gmig_policy_mode mode,
				     const char *nodes)
{
	struct gmig_bind_spec spec = {.gpa = first * GMIG_PAGE_BYTES,
				      .bytes = pages * GMIG_PAGE_BYTES,
				      .policy = {.mode = mode}};

	ck_assert_int_eq(gmig_node_set_parse(nodes, &spec.policy.nodes, NULL), 0);
	return spec;
}

/* Bind and wait for the job, if there is one. Returns what the call, or the job, ended with. */
static int run(const struct gmig_bind_spec *spec, struct gmig_job_info *info)
{
	struct gmig_error err = {0};
	struct gmig_job *job;
	int ret = gmig_bind(rig.gmig, spec, &job, &err);

	ck_assert_int_eq(ret, err.code);
	ck_assert(!ret || !job);
	ck_assert(!!job == (!ret && (spec->flags & ~GMIG_BIND_STRICT)));
	if (!job)
		return ret;
	gmig_job_wait(job);
	gmig_job_info(job, info);
	gmig_job_put(job);
	return info->error.code;
}

static void create_touched(bool small)
{
	create(small);
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES);
}

/* All of BYTES, in one answer or several. */
static struct gmig_map map_of(void)
{
	struct gmig_map map, sum = {0};

	rig_settle(&rig);
	for (uint64_t gpa = 0; !gmig_map_at(rig.gmig, gpa, &map); gpa = map.gpa + map.bytes) {
		ck_assert_uint_eq(map.gpa, gpa);
		ck_assert_uint_gt(map.bytes, 0);
		for (unsigned int node = 0; node < NODES; node++)
			sum.pages[node] += map.pages[node];
		sum.bytes += map.bytes;
		sum.huge_pages += map.huge_pages;
		sum.small_pages += map.small_pages;
		sum.untouched_pages += map.untouched_pages;
		sum.misplaced_pages += map.misplaced_pages;
	}
	ck_assert_uint_eq(sum.bytes, BYTES);
	return sum;
}

static const struct {
	uint64_t gpa, bytes;
	unsigned int mode, flags, policy_flags;
	const char *nodes;
	int expected;
} refusals[] = {
    {1, 4096, GMIG_POLICY_BIND, 0, 0, "1", -EINVAL},
    {UINT64_MAX - 4095, 8192, GMIG_POLICY_BIND, 0, 0, "1", -EINVAL},
    {0, 4096, GMIG_POLICY_BIND, 8, 0, "1", -EINVAL},
    {0, 4096, GMIG_POLICY_BIND, 0, 0, "", -EINVAL},
    {0, 4096, GMIG_POLICY_BIND, 0, 0, "99", -EINVAL},
    {0, 4096, GMIG_POLICY_BIND, 0, GMIG_POLICY_STATIC_NODES | GMIG_POLICY_RELATIVE_NODES, "1",
     -EINVAL},
    {0, 4096, GMIG_POLICY_DEFAULT, 0, 0, "1", -EINVAL},
    {BYTES - 4096, 8192, GMIG_POLICY_BIND, 0, 0, "1", -EFAULT},
    {1ull << 40, 4096, GMIG_POLICY_BIND, 0, 0, "1", -EFAULT},
    {BYTES - 4096, 8192, GMIG_POLICY_DEFAULT, 0, 0, "", 0},	/* holes do not matter to it, */
    {1ull << 40, 4096, GMIG_POLICY_DEFAULT, 0, 0, "", -EFAULT}, /* but nothing else than one */
    {0, 0, GMIG_POLICY_WEIGHTED_INTERLEAVE + 1, 0, 0, "", -EINVAL},
    {0, 0, GMIG_POLICY_BIND, 0, 0, "99", 0}, /* nothing is nothing */
    {0, 1, GMIG_POLICY_BIND, 0, 0, "1", 0},  /* a page, in whole */
};

START_TEST(call_is_refused_as_mbind_refuses_it)
{
	struct gmig_job_info info;
	struct gmig_bind_spec spec = {.gpa = refusals[_i].gpa,
				      .bytes = refusals[_i].bytes,
				      .flags = refusals[_i].flags,
				      .policy = {.mode = (enum gmig_policy_mode)refusals[_i].mode,
						 .flags = refusals[_i].policy_flags}};

	create(true);
	ck_assert_int_eq(gmig_node_set_parse(refusals[_i].nodes, &spec.policy.nodes, NULL), 0);
	ck_assert_int_eq(run(&spec, &info), refusals[_i].expected);
	spec.reserved[0] = 1;
	ck_assert_int_eq(run(&spec, &info), -E2BIG);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(moved_range_lies_where_its_policy_has_it)
{
	static const struct {
		enum gmig_policy_mode mode;
		const char *nodes;
		unsigned int expected[NODES]; /* blocks */
	} cases[] = {
	    {GMIG_POLICY_INTERLEAVE, "0-3", {2, 2, 2, 2}},
	    {GMIG_POLICY_INTERLEAVE, "1,2", {0, 4, 4, 0}},
	    {GMIG_POLICY_BIND, "2", {0, 0, 8, 0}},
	    {GMIG_POLICY_BIND, "0,2", {8, 0, 0, 0}},
	    {GMIG_POLICY_PREFERRED, "3", {0, 0, 0, 8}},
	    {GMIG_POLICY_PREFERRED_MANY, "1,3", {0, 8, 0, 0}},
	    {GMIG_POLICY_WEIGHTED_INTERLEAVE, "1,2", {0, 6, 2, 0}},
	    {GMIG_POLICY_LOCAL, "", {8, 0, 0, 0}},
	};
	struct gmig_bind_spec spec =
	    spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, cases[_i / 2].mode, cases[_i / 2].nodes);
	struct gmig_job_info info;

	create_touched(_i % 2);
	spec.flags = GMIG_BIND_MOVE | GMIG_BIND_STRICT;
	spec.policy.weight[1] = 3;
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	for (unsigned int node = 0; node < NODES; node++)
		ck_assert_uint_eq(resident(node), cases[_i / 2].expected[node] * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(map_of().misplaced_pages, 0);
	/* Once more: nothing is left to do, and STRICT alone is content. */
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_uint_eq(info.moved_bytes, 0);
	spec.flags = GMIG_BIND_STRICT;
	ck_assert_int_eq(run(&spec, &info), 0);
	finish();
}
END_TEST

START_TEST(default_with_move_brings_the_range_home)
{
	struct gmig_bind_spec spec = spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "2");
	struct gmig_job_info info;

	create_touched(_i);
	spec.flags = GMIG_BIND_MOVE;
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_uint_eq(resident(2), BYTES);
	spec = spec_of(0, 1ull << 20, GMIG_POLICY_DEFAULT, "");
	spec.flags = GMIG_BIND_MOVE | GMIG_BIND_STRICT;
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_uint_eq(resident(0), BYTES);
	finish();
}
END_TEST

START_TEST(strict_alone_sets_nothing_where_a_page_is_elsewhere)
{
	struct gmig_bind_spec spec = spec_of(0, 2 * GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "1");
	struct gmig_map map;
	struct gmig_job_info info;

	create(true);
	spec.flags = GMIG_BIND_STRICT;
	rig_write_page(&rig, GMIG_BLOCK_PAGES);
	ck_assert_int_eq(run(&spec, &info), -EIO);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_DEFAULT);
	/* A range without that page has none that is misplaced. */
	spec.bytes = GMIG_BLOCK_BYTES;
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_BIND);
	ck_assert_uint_eq(map.bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(map.untouched_pages, GMIG_BLOCK_PAGES);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* What LTP's mbind02 asks: a page is on another node already. */
START_TEST(strict_refuses_a_page_on_another_node)
{
	static const enum gmig_policy_mode modes[] = {
	    GMIG_POLICY_PREFERRED, GMIG_POLICY_BIND, GMIG_POLICY_INTERLEAVE,
	    GMIG_POLICY_PREFERRED_MANY, GMIG_POLICY_WEIGHTED_INTERLEAVE};
	struct gmig_bind_spec spec = spec_of(0, GMIG_BLOCK_PAGES, modes[_i], "1");
	struct gmig_job_info info;

	create(true);
	rig_write_page(&rig, 0);
	spec.flags = GMIG_BIND_STRICT;
	ck_assert_int_eq(run(&spec, &info), -EIO);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* What LTP's mbind03 asks: MOVE brings a page to the node, and MOVE_ALL where the caller may. */
START_TEST(move_flags_bring_a_page_to_its_node)
{
	static const enum gmig_policy_mode modes[] = {GMIG_POLICY_PREFERRED, GMIG_POLICY_BIND,
						      GMIG_POLICY_INTERLEAVE};
	struct gmig_bind_spec spec = spec_of(0, GMIG_BLOCK_PAGES, modes[_i / 2], "1");
	struct gmig_job_info info = {0};
	int ret;

	create(true);
	rig_write_page(&rig, 0);
	spec.flags = _i % 2 ? GMIG_BIND_MOVE_ALL : GMIG_BIND_MOVE;
	ret = run(&spec, &info);
	ck_assert(!ret || (_i % 2 && ret == -EPERM));
	ck_assert_uint_eq(node_of(0), ret ? 0 : 1);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* The policy holds, the job says what it could not do, and so does the map. */
START_TEST(strict_job_fails_when_a_page_stays)
{
	struct gmig_bind_spec spec = spec_of(0, GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "1");
	struct gmig_job_info info;
	struct gmig_map map;

	create_touched(true);
	spec.flags = GMIG_BIND_MOVE | (_i ? GMIG_BIND_STRICT : 0);
	atomic_store(&no_memory, true);
	rig_publish(&rig);
	ck_assert_int_eq(run(&spec, &info), _i ? -EIO : 0);
	ck_assert_int_eq(info.state, _i ? GMIG_JOB_FAILED : GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_BIND);
	ck_assert_uint_eq(map.misplaced_pages, GMIG_BLOCK_PAGES);
	atomic_store(&no_memory, false);
	rig_publish(&rig);
	finish();
}
END_TEST

static void *write_page(void *arg)
{
	rig_write_page(&rig, *(const uint64_t *)arg);
	return NULL;
}

/* BIND is kept: the toucher sleeps until there is memory; any other policy takes what the kernel has. */
START_TEST(touch_without_memory_waits_where_the_policy_is_bind)
{
	struct gmig_bind_spec spec = spec_of(0, BLOCKS * GMIG_BLOCK_PAGES,
					     _i ? GMIG_POLICY_BIND : GMIG_POLICY_PREFERRED, "1");
	struct gmig_job_info info;
	pthread_t toucher;
	uint64_t page = 5;

	create(true);
	ck_assert_int_eq(run(&spec, &info), 0);
	atomic_store(&no_memory, true);
	rig_publish(&rig);
	ck_assert_int_eq(pthread_create(&toucher, NULL, write_page, &page), 0);
	if (_i) {
		while (!atomic_load(&rig.warnings)) /* the log says why */
			sched_yield();
		ck_assert_uint_eq(node_of(page), GMIG_NO_NODE);
		atomic_store(&no_memory, false);
	}
	ck_assert_int_eq(pthread_join(toucher, NULL), 0);
	if (_i)
		ck_assert_uint_eq(node_of(page), 1);
	else
		ck_assert_uint_ne(node_of(page), GMIG_NO_NODE);
	ck_assert_uint_eq(rig_check_page(&rig, page), 0);
	rig_destroy(&rig);
}
END_TEST

/* Nobody has asked for anything before: the kernel serves a file's first touches, and tells nobody. */
START_TEST(map_of_a_file_has_what_was_touched)
{
	const struct gmig_region_spec spec = {.bytes = BYTES, .kind = GMIG_REGION_MEMFD};
	struct gmig_options options = {.unsafe_kernel = true, .small_pages = true};
	struct gmig_topology *topology;
	struct gmig_map map;
	struct gmig *gmig;
	void *ram;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, NULL), 0);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &ram, NULL), 0);
	memset(ram, 1, 5 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(gmig_map_at(gmig, 0, &map), 0);
	ck_assert_uint_eq(map.pages[0], 5);
	ck_assert_uint_eq(map.untouched_pages, BYTES / GMIG_PAGE_BYTES - 5);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

START_TEST(map_tells_runs_by_policy)
{
	struct gmig_bind_spec spec = spec_of(100, 50, GMIG_POLICY_INTERLEAVE, "1,3");
	struct gmig_job_info info;
	struct gmig_map map;

	create_touched(true);
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 7, &map), 0);
	ck_assert_uint_eq(map.bytes, 100 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(map.pages[0], 100);
	ck_assert_uint_eq(map.misplaced_pages, 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 100 * GMIG_PAGE_BYTES, &map), 0);
	ck_assert_int_eq(map.policy.mode, GMIG_POLICY_INTERLEAVE);
	ck_assert_uint_eq(map.node_count, 2);
	ck_assert_uint_eq(map.node[1], 3);
	ck_assert_uint_eq(map.bytes, 50 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(map.misplaced_pages, 50);
	ck_assert_uint_eq(map.small_pages, 50);
	ck_assert_int_eq(gmig_map_at(rig.gmig, BYTES, &map), -ENOENT);
	finish();
}
END_TEST

/* ---- With migrations -------------------------------------------------------------------------------- */

START_TEST(binding_goes_along_with_a_migration)
{
	struct gmig_bind_spec spec =
	    spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, GMIG_POLICY_INTERLEAVE, "0,1");
	struct gmig_job_spec move = rig_spec(0, 3);
	struct gmig_job_info info;

	create(true);
	spec.policy.flags = _i ? GMIG_POLICY_STATIC_NODES : 0;
	ck_assert_int_eq(run(&spec, &info), 0);
	for (uint64_t page = 0; page < rig.pages / 2; page++)
		rig_write_page(&rig, page);
	rig_move(&rig, &move, &info);
	touch_all();
	for (uint64_t page = 0; page < rig.pages; page++) {
		unsigned int even = page < rig.pages / 2 || !_i ? 3 : 0;

		ck_assert_uint_eq(node_of(page), page % 2 ? 1 : even);
	}
	ck_assert_uint_eq(map_of().misplaced_pages, _i ? rig.pages / 4 : 0);
	finish();
}
END_TEST

START_TEST(binding_is_as_before_when_a_migration_moves_nothing)
{
	struct gmig_bind_spec spec =
	    spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, GMIG_POLICY_INTERLEAVE, "0,1");
	struct gmig_job_spec move = rig_spec(0, 3);
	struct gmig_job_info info;
	struct gmig_job *job;
	struct gmig_map map;

	create_touched(true);
	ck_assert_int_eq(run(&spec, &info), 0);
	move.rate_bytes_per_second = 1; /* it waits for its first block */
	ck_assert_int_eq(gmig_job_start(rig.gmig, &move, &job, NULL), 0);
	do {
		ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	} while (map.node[0] != 3);
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], 0);
	ck_assert_uint_eq(map.node[1], 1);
	finish();
}
END_TEST

/* A job that waits for its first block; the policies have followed it. */
static struct gmig_job *start_slow(unsigned int from, unsigned int to, unsigned int place)
{
	struct gmig_job_spec move = rig_spec(from, to);
	struct gmig_job *job;
	struct gmig_map map;

	move.rate_bytes_per_second = 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &move, &job, NULL), 0);
	do {
		ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	} while (map.node[place] != to);
	return job;
}

static void cancel(struct gmig_job *job)
{
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
}

static void assert_as_before(void)
{
	struct gmig_map map;

	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], 0);
	ck_assert_uint_eq(map.node[1], 1);
}

START_TEST(binding_that_changes_in_a_migration_is_as_before_when_that_moves_nothing)
{
	struct gmig_bind_spec spec = spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "0,1");
	struct gmig_node_set mems = {{7}};
	struct gmig_job_info info;
	struct gmig_job *job;
	struct gmig_map map;

	create_touched(true);
	ck_assert_int_eq(run(&spec, &info), 0);
	job = start_slow(0, 2, 0);
	if (_i) {
		ck_assert_int_eq(bindings_rebind(rig.gmig->bindings, &mems), 0);
	} else {
		ck_assert_int_eq(gmig_set_home_node(rig.gmig, 0, BYTES, 1, NULL), 0);
	}
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], 2);
	cancel(job);
	assert_as_before();
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert(_i || (map.policy.has_home_node && map.policy.home_node == 1));
	finish();
}
END_TEST

START_TEST(binding_is_as_before_when_two_migrations_move_nothing)
{
	struct gmig_bind_spec spec =
	    spec_of(0, BLOCKS * GMIG_BLOCK_PAGES, GMIG_POLICY_INTERLEAVE, "0,1");
	struct gmig_job *first, *second;
	struct gmig_job_info info;

	create_touched(true);
	spec.flags = GMIG_BIND_MOVE;
	ck_assert_int_eq(run(&spec, &info), 0);
	first = start_slow(0, 3, 0);
	second = start_slow(1, 2, 1);
	cancel(_i ? first : second);
	cancel(_i ? second : first);
	assert_as_before();
	finish();
}
END_TEST

#define RUNS 5000u

/* Page by page another policy: a migration takes all of them along. */
START_TEST(binding_of_5000_ranges_goes_along_with_a_migration)
{
	struct rig_options options = {
	    .bytes = 10 * GMIG_BLOCK_BYTES, .nodes = NODES, .untouched = true, .small_pages = true};
	struct gmig_job_spec move = rig_spec(0, 3);
	struct mempolicy *policy[2];
	struct gmig_job_info info;
	struct gmig_map map;

	rig_create(&rig, &options);
	for (unsigned int i = 0; i < 2; i++) {
		struct gmig_policy asked = {.mode = GMIG_POLICY_BIND};

		gmig_node_set_add(&asked.nodes, i);
		ck_assert_int_eq(
		    mempolicy_create(&asked, gmig_topology_nodes(rig.topology), &policy[i]), 0);
	}
	ck_assert_int_eq(bindings_set(rig.gmig->bindings, 0, RUNS, policy[0], NULL), 0);
	for (unsigned int page = 1; page < RUNS; page += 2)
		ck_assert_int_eq(bindings_set(rig.gmig->bindings, page, 1, policy[1], NULL), 0);
	for (uint64_t page = 0; page < RUNS / 2; page++)
		rig_write_page(&rig, page);
	rig_move(&rig, &move, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	touch_all();
	for (uint64_t page = 0; page < RUNS; page++)
		ck_assert_uint_eq(node_of(page), page % 2 ? 1 : 3);
	for (uint64_t gpa = 0, page = 0; page < RUNS; page++, gpa = map.gpa + map.bytes) {
		ck_assert_int_eq(gmig_map_at(rig.gmig, gpa, &map), 0);
		ck_assert_uint_eq(map.gpa, page * GMIG_PAGE_BYTES);
		ck_assert_uint_eq(map.node[0], page % 2 ? 1 : 3);
		ck_assert_uint_eq(map.misplaced_pages, 0);
	}
	mempolicy_put(policy[0]);
	mempolicy_put(policy[1]);
	finish();
}
END_TEST

/* A page of its place within a pattern: 513 is the first of three. */
START_TEST(huge_page_stays_whole_where_a_pattern_has_its_page_on_that_node)
{
	create(false);
	bind(512, 1, GMIG_POLICY_PREFERRED, "0");
	bind(513, 1, GMIG_POLICY_INTERLEAVE, "0-2");
	bind(514, 510, GMIG_POLICY_PREFERRED, "0");
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 512, 9, 0, NULL), GMIG_NO_NODE);
	bind(513, 2, GMIG_POLICY_INTERLEAVE, "0-2");
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 512, 9, 0, NULL), BOUND_SPLIT);
	touch_all();
	finish();
}
END_TEST

START_TEST(huge_page_of_two_ranges_is_split_only_where_a_page_belongs_elsewhere)
{
	create(false);
	bind(0, 100, GMIG_POLICY_PREFERRED, "0");
	bind(100, 412, GMIG_POLICY_BIND, "0,1");
	bind(512, 511, GMIG_POLICY_BIND, "0");
	bind(1023, 1, GMIG_POLICY_BIND, "1"); /* the last page alone */
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 0, 9, 0, NULL), GMIG_NO_NODE);
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 0, 9, 1, NULL), BOUND_SPLIT);
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 512, 9, 0, NULL), BOUND_SPLIT);
	touch_all();
	finish();
}
END_TEST

START_TEST(home_node_is_set_where_there_is_a_policy_for_it)
{
	struct gmig_bind_spec spec = spec_of(0, GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "1,2");
	const uint64_t bytes = GMIG_BLOCK_BYTES;
	struct gmig_job_info info;

	create(true);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 0, bytes, 2, NULL), -ENOENT);
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 1, bytes, 2, NULL), -EINVAL);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 0, bytes, 9, NULL), -EINVAL);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, bytes / 2, bytes, 2, NULL), 0);
	rig_write_page(&rig, 0);
	rig_write_page(&rig, GMIG_BLOCK_PAGES - 1);
	ck_assert_uint_eq(node_of(0), 1);
	ck_assert_uint_eq(node_of(GMIG_BLOCK_PAGES - 1), 2);
	spec.policy.mode = GMIG_POLICY_INTERLEAVE;
	spec.gpa = bytes;
	ck_assert_int_eq(run(&spec, &info), 0);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 0, 2 * bytes, 2, NULL), -EOPNOTSUPP);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("bind");
	Suite *suite = suite_create("bind");

	tcase_add_test(tcase, huge_first_touch_goes_where_its_number_says);
	tcase_add_test(tcase, small_first_touch_goes_where_its_number_says);
	tcase_add_loop_test(tcase, range_within_a_block_ends_where_it_ends, 0, 2);
	tcase_add_loop_test(tcase, populate_follows_policies, 0, 2);
	tcase_add_loop_test(tcase, discarded_page_is_filled_by_its_policy, 0, 2);
	tcase_add_test(tcase, interleaved_touch_fills_its_neighbours_only);
	tcase_add_loop_test(tcase, call_is_refused_as_mbind_refuses_it, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_loop_test(tcase, moved_range_lies_where_its_policy_has_it, 0, 16);
	tcase_add_loop_test(tcase, default_with_move_brings_the_range_home, 0, 2);
	tcase_add_test(tcase, strict_alone_sets_nothing_where_a_page_is_elsewhere);
	tcase_add_loop_test(tcase, strict_refuses_a_page_on_another_node, 0, 5);
	tcase_add_loop_test(tcase, strict_job_fails_when_a_page_stays, 0, 2);
	tcase_add_loop_test(tcase, touch_without_memory_waits_where_the_policy_is_bind, 0, 2);
	tcase_add_loop_test(tcase, move_flags_bring_a_page_to_its_node, 0, 6);
	tcase_add_test(tcase, map_of_a_file_has_what_was_touched);
	tcase_add_test(tcase, map_tells_runs_by_policy);
	tcase_add_loop_test(tcase, binding_goes_along_with_a_migration, 0, 2);
	tcase_add_test(tcase, binding_is_as_before_when_a_migration_moves_nothing);
	tcase_add_loop_test(
	    tcase, binding_that_changes_in_a_migration_is_as_before_when_that_moves_nothing, 0, 2);
	tcase_add_loop_test(tcase, binding_is_as_before_when_two_migrations_move_nothing, 0, 2);
	tcase_add_test(tcase, binding_of_5000_ranges_goes_along_with_a_migration);
	tcase_add_test(tcase, home_node_is_set_where_there_is_a_policy_for_it);
	tcase_add_test(tcase, huge_page_stays_whole_where_a_pattern_has_its_page_on_that_node);
	tcase_add_test(tcase, huge_page_of_two_ranges_is_split_only_where_a_page_belongs_elsewhere);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

/*
 * What the calls of gmig_policy.h, gmig_move.h, gmig_heat.h and gmig_retire.h refuse, and in which words: at each bound what is
 * refused just beyond it, and what is taken just within.
 */
#include "../../migrate/gmig_heat.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_retire.h"
#include "../../migrate/memory/bindings.h"
#include "rig.h"

#include <errno.h>
#include <string.h>

#define NODES 4
#define MIB   (1ull << 20)
#define TOP   (~0ull << 12) /* the last page that an address can name */

/* Two regions and a gap of 2 MiB between them; of two vnodes, on nodes 0 and 2. */
#define FIRST_END  (6 * MIB)
#define SECOND	   (8 * MIB)
#define SECOND_END (12 * MIB)

static struct rig rig;
static struct gmig_error err;
static struct gmig_sys sys;
static bool may_move_all;

static long move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		       int flags)
{
	if (!count && !may_move_all)
		return -EPERM;
	return gmig_sys_real.move_pages(pid, count, pages, nodes, status, flags);
}

static void setup(void)
{
	const struct rig_options options = {
	    .bytes = FIRST_END, .nodes = NODES, .untouched = true, .sys = &sys};
	const struct gmig_region_spec second = {
	    .vnode = 1, .host_node = 2, .gpa = SECOND, .bytes = SECOND_END - SECOND};
	void *ram;

	sys = gmig_sys_real;
	sys.move_pages = move_pages;
	may_move_all = true;
	rig_create(&rig, &options);
	ck_assert_msg(!gmig_region_add(rig.gmig, &second, &ram, &err), "%s", err.text);
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	rig_destroy(&rig);
}

static void assert_said(int ret, int expected, const char *text)
{
	ck_assert_int_eq(ret, expected);
	ck_assert_int_eq(err.code, expected);
	ck_assert_str_eq(err.text, text);
	memset(&err, 0, sizeof(err));
}

/* ---- gmig_bind() ------------------------------------------------------------------------------- */

static struct gmig_bind_spec spec_of(uint64_t gpa, uint64_t bytes, enum gmig_policy_mode mode,
				     const char *nodes)
{
	struct gmig_bind_spec spec = {.gpa = gpa, .bytes = bytes, .policy = {.mode = mode}};

	ck_assert_int_eq(gmig_node_set_parse(nodes, &spec.policy.nodes, NULL), 0);
	return spec;
}

static int bind(const struct gmig_bind_spec *spec)
{
	struct gmig_job *job = (struct gmig_job *)1;
	int ret = gmig_bind(rig.gmig, spec, &job, &err);

	ck_assert_ptr_null(job);
	return ret;
}

static int bind_range(uint64_t gpa, uint64_t bytes, enum gmig_policy_mode mode)
{
	const struct gmig_bind_spec spec =
	    spec_of(gpa, bytes, mode, mode == GMIG_POLICY_DEFAULT ? "" : "1");

	return bind(&spec);
}

/* The node of a page's policy; -1: it has none. */
static int bound(uint64_t gpa)
{
	struct mempolicy *policy = bindings_get(rig.gmig->bindings, gpa / GMIG_PAGE_BYTES);
	int node = policy ? (int)policy->list[0].node : -1;

	mempolicy_put(policy);
	return node;
}

START_TEST(bind_takes_whole_pages_of_the_guest)
{
	assert_said(bind_range(1, 4096, GMIG_POLICY_BIND), -EINVAL,
		    "address 0x1 is no multiple of 4 KiB");
	assert_said(bind_range(TOP, 8192, GMIG_POLICY_BIND), -EINVAL,
		    "the range ends beyond the last address");
	assert_said(bind_range(TOP, 1, GMIG_POLICY_BIND), -EINVAL,
		    "the range ends beyond the last address");
	assert_said(bind_range(TOP - 4096, 4096, GMIG_POLICY_BIND), -EFAULT,
		    "a part of 0xffffffffffffe000+0x1000 is no memory of the guest");
	assert_said(bind_range(FIRST_END - 4096, 4097, GMIG_POLICY_BIND), -EFAULT,
		    "a part of 0x5ff000+0x1001 is no memory of the guest");
	assert_said(bind_range(FIRST_END - 4096, 3 * MIB, GMIG_POLICY_BIND), -EFAULT,
		    "a part of 0x5ff000+0x300000 is no memory of the guest");
	assert_said(bind_range(FIRST_END, 2 * MIB, GMIG_POLICY_DEFAULT), -EFAULT,
		    "all of 0x600000+0x200000 is no memory of the guest");
	ck_assert_int_eq(bound(0), -1);
	/* A byte is a page, and none is none. */
	ck_assert_int_eq(bind_range(FIRST_END - 8192, 4097, GMIG_POLICY_BIND), 0);
	ck_assert_int_eq(bound(FIRST_END - 4096), 1);
	ck_assert_int_eq(bind_range(4096, 1, GMIG_POLICY_BIND), 0);
	ck_assert_int_eq(bound(0), -1);
	ck_assert_int_eq(bound(4096), 1);
	ck_assert_int_eq(bound(8192), -1);
	ck_assert_int_eq(bind_range(0, 0, GMIG_POLICY_BIND), 0);
	ck_assert_int_eq(bound(0), -1);
	/* To have none any more a range may have holes. */
	ck_assert_int_eq(bind_range(FIRST_END - 4096, 4 * MIB, GMIG_POLICY_DEFAULT), 0);
	ck_assert_int_eq(bound(FIRST_END - 4096), -1);
	ck_assert_int_eq(bound(FIRST_END - 8192), 1);
}
END_TEST

START_TEST(bind_takes_what_makes_sense)
{
	struct gmig_bind_spec spec = spec_of(0, 4096, GMIG_POLICY_BIND, "1"), odd;
	static const char job_text[] = "the policy says which pages move, and where to";

	odd = spec;
	odd.flags = 8;
	assert_said(bind(&odd), -EINVAL, "flags 0x8 are not known");
	/* What is wrong is wrong without pages, too. */
	odd.bytes = 0;
	assert_said(bind(&odd), -EINVAL, "flags 0x8 are not known");
	odd = spec;
	odd.flags = GMIG_BIND_MOVE_ALL;
	may_move_all = false;
	assert_said(bind(&odd), -EPERM,
		    "to move pages that others map, too, needs CAP_SYS_NICE: as root, or without "
		    "move-all");
	may_move_all = true;
	odd = spec;
	odd.job.from_count = 1;
	assert_said(bind(&odd), -EINVAL, job_text);
	odd = spec;
	odd.job.to_count = 1;
	assert_said(bind(&odd), -EINVAL, job_text);
	odd = spec;
	odd.job.vnodes = 1;
	assert_said(bind(&odd), -EINVAL, job_text);
	odd = spec;
	odd.job.max_bytes = 1;
	assert_said(bind(&odd), -EINVAL, job_text);
	odd = spec;
	odd.policy.mode = (enum gmig_policy_mode)7;
	assert_said(bind(&odd), -EINVAL, "policy 7 is not known");
	odd = spec_of(0, 4096, GMIG_POLICY_BIND, "");
	assert_said(bind(&odd), -EINVAL, "policy bind needs nodes");
	odd = spec;
	odd.reserved[0] = 1;
	ck_assert_int_eq(bind(&odd), -E2BIG);
	odd = spec;
	odd.policy.reserved[0] = 1;
	ck_assert_int_eq(bind(&odd), -E2BIG);
	ck_assert_int_eq(bound(0), -1);
	ck_assert_int_eq(bind(&spec), 0);
	ck_assert_int_eq(bound(0), 1);
}
END_TEST

START_TEST(strict_counts_the_pages_of_both_regions_that_lie_elsewhere)
{
	struct gmig_bind_spec spec = spec_of(0, FIRST_END, GMIG_POLICY_BIND, "1");
	volatile uint8_t *ram = rig.gmig->regions[0].hva, *other = rig.gmig->regions[1].hva;

	ram[5 * 4096] = 1;
	ram[FIRST_END - 1] = 1;
	other[0] = 1;
	rig_settle(&rig);
	spec.flags = GMIG_BIND_STRICT;
	ck_assert_int_eq(bind(&spec), -EIO);
	ck_assert_int_eq(err.code, -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, " pages do not follow the policy"));
	ck_assert_int_eq(bound(0), -1);
	gmig_node_set_add(&spec.policy.nodes, 0);
	ck_assert_int_eq(bind(&spec), 0);
	ck_assert_int_eq(bound(0), 0);
	/* Where nothing is, all of it does. */
	spec = spec_of(2 * MIB, 2 * MIB, GMIG_POLICY_BIND, "1");
	spec.flags = GMIG_BIND_STRICT;
	ck_assert_int_eq(bind(&spec), 0);
	spec = spec_of(SECOND, 4096, GMIG_POLICY_BIND, "1");
	spec.flags = GMIG_BIND_STRICT;
	assert_said(bind(&spec), -EIO, "1 pages do not follow the policy");
	spec.policy.mode = GMIG_POLICY_DEFAULT;
	spec.policy.nodes = (struct gmig_node_set){{0}};
	ck_assert_int_eq(bind(&spec), 0); /* there is none to follow */
}
END_TEST

START_TEST(job_of_a_policy_moves_what_others_map_when_it_is_told_to)
{
	static const unsigned int flags[] = {GMIG_BIND_MOVE, GMIG_BIND_MOVE_ALL,
					     GMIG_BIND_MOVE | GMIG_BIND_MOVE_ALL};
	struct gmig_bind_spec spec = spec_of(0, 4096, GMIG_POLICY_BIND, "1");
	struct gmig_job_info info;
	struct gmig_job *job;

	spec.flags = flags[_i % 3];
	spec.job.move_all = _i == 3;
	ck_assert_msg(!gmig_bind(rig.gmig, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_int_eq(info.spec.move_all, _i > 0);
}
END_TEST

static void assert_nodes(const struct gmig_bind_spec *spec, const char *expected)
{
	struct gmig_node_set nodes;
	char text[64];

	memset(&nodes, 0xff, sizeof(nodes));
	gmig_bind_nodes(rig.gmig, spec, &nodes);
	ck_assert_str_eq(gmig_node_set_print(&nodes, text, sizeof(text)), expected);
}

START_TEST(nodes_of_a_policy_are_its_own_or_those_of_the_vnodes)
{
	struct gmig_bind_spec spec = spec_of(0, 4096, GMIG_POLICY_BIND, "1,3");

	assert_nodes(&spec, "1,3");
	gmig_node_set_add(&spec.policy.nodes, 9);
	assert_nodes(&spec, "1,3,9"); /* it may be offline by now */
	spec.policy.flags = GMIG_POLICY_RELATIVE_NODES;
	assert_nodes(&spec, "1,3");
	spec = spec_of(0, 4096, GMIG_POLICY_DEFAULT, "");
	assert_nodes(&spec, "0");
	spec = spec_of(FIRST_END - 4096, 4096, GMIG_POLICY_LOCAL, "");
	assert_nodes(&spec, "0");
	spec = spec_of(SECOND, 4096, GMIG_POLICY_LOCAL, "");
	assert_nodes(&spec, "2");
	spec = spec_of(FIRST_END - 4096, 2 * MIB + 8192, GMIG_POLICY_LOCAL, "");
	assert_nodes(&spec, "0,2");
	spec = spec_of(FIRST_END, SECOND - FIRST_END, GMIG_POLICY_LOCAL, "");
	assert_nodes(&spec, "");
	spec = spec_of(1, 4096, GMIG_POLICY_BIND, "1");
	assert_nodes(&spec, "");
	spec = spec_of(0, 4096, GMIG_POLICY_BIND, "");
	assert_nodes(&spec, "");
}
END_TEST

/* ---- Home node, fixed memory ----------------------------------------------------------------------- */

static int home_of(uint64_t gpa)
{
	struct mempolicy *policy = bindings_get(rig.gmig->bindings, gpa / GMIG_PAGE_BYTES);
	int node = policy && policy->asked.has_home_node ? policy->asked.home_node : -1;

	mempolicy_put(policy);
	return node;
}

START_TEST(home_node_is_set_for_all_ranges_or_for_none)
{
	ck_assert_int_eq(bind_range(0, 8192, GMIG_POLICY_BIND), 0);
	ck_assert_int_eq(bind_range(16384, 4096, GMIG_POLICY_PREFERRED_MANY), 0);
	ck_assert_int_eq(bind_range(32768, 4096, GMIG_POLICY_INTERLEAVE), 0);
	assert_said(gmig_set_home_node(rig.gmig, 1, 4096, 3, &err), -EINVAL,
		    "address 0x1 is no multiple of 4 KiB");
	assert_said(gmig_set_home_node(rig.gmig, 0, 4096, 4, &err), -EINVAL,
		    "home node 4 is not online");
	assert_said(gmig_set_home_node(rig.gmig, 0, 0, 4, &err), -EINVAL,
		    "home node 4 is not online");
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 0, 0, 3, &err), 0);
	assert_said(gmig_set_home_node(rig.gmig, 8192, 8192, 3, &err), -ENOENT,
		    "no range there has a policy");
	assert_said(gmig_set_home_node(rig.gmig, 0, 65536, 3, &err), -EOPNOTSUPP,
		    "a home node is for bind and preferred-many only");
	ck_assert_int_eq(home_of(0), -1);
	ck_assert_int_eq(home_of(16384), -1);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 4096, 28672, 3, &err), 0);
	ck_assert_int_eq(home_of(0), -1);
	ck_assert_int_eq(home_of(4096), 3);
	ck_assert_int_eq(home_of(16384), 3);
	ck_assert_int_eq(home_of(32768), -1);
	ck_assert_int_eq(gmig_set_home_node(rig.gmig, 4096, 1, 2, &err), 0);
	ck_assert_int_eq(home_of(4096), 2);
	ck_assert_int_eq(bound(4096), 1);
}
END_TEST

START_TEST(memory_is_declared_fixed_where_there_is_some)
{
	struct gmig_map map;

	assert_said(gmig_fix_memory(rig.gmig, 4095, 4096, true, &err), -EINVAL,
		    "address 0xfff is no multiple of 4 KiB");
	assert_said(gmig_fix_memory(rig.gmig, FIRST_END - 4096, 8192, true, &err), -EFAULT,
		    "a part of 0x5ff000+0x2000 is no memory of the guest");
	assert_said(gmig_fix_memory(rig.gmig, FIRST_END, 8192, false, &err), -EFAULT,
		    "all of 0x600000+0x2000 is no memory of the guest");
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, 0, true, &err), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 0);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 2 * MIB - 4096, 8192, true, &err), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 1024);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, FIRST_END - 4096, 8192, false, &err), 0);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, 1, false, &err), 0);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 512);
}
END_TEST

/* ---- gmig_move_start(), gmig_move_pages() ---------------------------------------------------------- */

static int start(const struct gmig_move *move, const struct gmig_job_spec *limits)
{
	struct gmig_job *job;
	int ret = gmig_move_start(rig.gmig, move, limits, &job, &err);

	if (!ret) {
		gmig_job_wait(job);
		gmig_job_put(job);
	}
	return ret;
}

static int start_range(uint64_t gpa, uint64_t bytes, int node)
{
	const struct gmig_move_range range = {gpa, bytes, node};
	const struct gmig_move move = {.ranges = &range, .count = 1};

	return start(&move, NULL);
}

START_TEST(list_has_whole_pages_and_nodes_that_there_may_be)
{
	assert_said(start_range(4095, 4096, 1), -EINVAL,
		    "entry 0, 0xfff+0x1000, is not made of pages of 4 KiB");
	assert_said(start_range(4096, 4097, 1), -EINVAL,
		    "entry 0, 0x1000+0x1001, is not made of pages of 4 KiB");
	assert_said(start_range(4096, 0, 1), -EINVAL,
		    "entry 0, 0x1000+0x0, is not made of pages of 4 KiB");
	assert_said(start_range(0, 4096, -1), -ENODEV, "there is no node -1");
	assert_said(start_range(0, 4096, GMIG_MAX_NODES), -ENODEV, "there is no node 1024");
	ck_assert_int_ne(start_range(0, 4096, GMIG_MAX_NODES - 1), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "1023"));
	ck_assert_int_eq(start_range(0, 4096, NODES - 1), 0);
	/* As far as addresses go; what is beyond is nobody's memory. */
	ck_assert_int_eq(start_range((1ull << 59) - 4096, 8192, 1), 0);
}
END_TEST

START_TEST(second_entry_is_looked_at_like_the_first)
{
	struct gmig_move_range ranges[2] = {{0, 4096, 1}, {8192, 4096, 4096}};
	const struct gmig_move move = {.ranges = ranges, .count = 2};

	assert_said(start(&move, NULL), -ENODEV, "there is no node 4096");
	ranges[1] = (struct gmig_move_range){1, 4096, 1};
	assert_said(start(&move, NULL), -EINVAL,
		    "entry 1, 0x1+0x1000, is not made of pages of 4 KiB");
}
END_TEST

START_TEST(list_is_neither_empty_nor_longer_than_may_be)
{
	const struct gmig_move_range range = {0, 4096, 1};
	struct gmig_move move = {.ranges = &range, .count = GMIG_MOVE_MAX + 1ul};
	struct gmig_job_spec limits = {.to_count = 1};
	static const char goals[] = "the list says which pages move, and where to";
	char text[64];

	snprintf(text, sizeof(text), "%u entries: at most %u", GMIG_MOVE_MAX + 1, GMIG_MOVE_MAX);
	assert_said(start(&move, NULL), -E2BIG, text);
	move.count = 0;
	assert_said(start(&move, NULL), -ENOENT, "no page is named");
	move.count = 1;
	assert_said(start(&move, &limits), -EINVAL, goals);
	limits = (struct gmig_job_spec){.from_count = 1};
	assert_said(start(&move, &limits), -EINVAL, goals);
	limits = (struct gmig_job_spec){.vnodes = 1};
	assert_said(start(&move, &limits), -EINVAL, goals);
	limits = (struct gmig_job_spec){.max_bytes = 1};
	assert_said(start(&move, &limits), -EINVAL, goals);
	move.flags = 1;
	assert_said(start(&move, NULL), -EINVAL, "flags 0x1 are not known");
	move.flags = GMIG_MOVE_ALL;
	may_move_all = false;
	assert_said(start(&move, NULL), -EPERM,
		    "to move pages that others map, too, needs CAP_SYS_NICE: as root, or without "
		    "move-all");
	move.flags = GMIG_MOVE;
	move.reserved[0] = 1;
	ck_assert_int_eq(start(&move, NULL), -E2BIG);
	move.reserved[0] = 0;
	ck_assert_int_eq(start(&move, NULL), 0);
}
END_TEST

START_TEST(pages_are_moved_asked_for_and_counted_one_by_one)
{
	const uint64_t gpas[5] = {4096, SECOND + 4097, FIRST_END - 1, FIRST_END, 1ull << 60};
	const int nodes[5] = {3, 1, 2, 1, 1};
	volatile uint8_t *ram = rig.gmig->regions[0].hva, *other = rig.gmig->regions[1].hva;
	int status[5];
	struct gmig_pages pages = {.count = 5, .gpas = gpas, .status = status};
	char text[64];

	ram[4096] = other[4096] = 1;
	rig_settle(&rig);
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 0);
	ck_assert_int_eq(status[1], 2);
	ck_assert_int_eq(status[2], -ENOENT);
	ck_assert_int_lt(status[3], 0);
	ck_assert_int_lt(status[4], 0);
	pages.nodes = nodes;
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 3);
	ck_assert_int_eq(status[1], 1);
	ck_assert_int_eq(status[2], -ENOENT);
	pages.count = 0;
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &pages, &err), 0);
	pages.count = GMIG_MOVE_MAX + 1ul;
	snprintf(text, sizeof(text), "%u pages: at most %u", GMIG_MOVE_MAX + 1, GMIG_MOVE_MAX);
	assert_said((int)gmig_move_pages(rig.gmig, &pages, &err), -E2BIG, text);
	pages.count = 1;
	pages.flags = 9;
	assert_said((int)gmig_move_pages(rig.gmig, &pages, &err), -EINVAL,
		    "flags 0x9 are not known");
	pages.flags = 0;
	pages.nodes = (const int[]){-1};
	assert_said((int)gmig_move_pages(rig.gmig, &pages, &err), -ENODEV, "there is no node -1");
	ck_assert_int_eq(ram[4096] + other[4096], 2);
}
END_TEST

/* ---- gmig_sampling_start(), gmig_heat_report() ------------------------------------------------------ */

START_TEST(sampling_is_as_fast_and_as_costly_as_may_be)
{
	struct gmig_sampling how = {.blocks_per_second = GMIG_SAMPLING_RATE_MAX + 1};
	struct gmig_sampling_info info;
	char text[64];

	snprintf(text, sizeof(text), "%u blocks a second: at most %u", GMIG_SAMPLING_RATE_MAX + 1,
		 GMIG_SAMPLING_RATE_MAX);
	assert_said(gmig_sampling_start(rig.gmig, &how, &err), -EINVAL, text);
	how = (struct gmig_sampling){.max_slowdown_ppm = 1000001};
	assert_said(gmig_sampling_start(rig.gmig, &how, &err), -EINVAL,
		    "a slowdown of 1000001 millionths is more than all");
	how = (struct gmig_sampling){.reserved = {1}};
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), -E2BIG);
	gmig_sampling_info(rig.gmig, &info);
	ck_assert(!info.on && !info.held);
	how = (struct gmig_sampling){0};
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), 0);
	gmig_sampling_info(rig.gmig, &info);
	ck_assert(info.on);
	ck_assert_uint_eq(info.how.blocks_per_second, GMIG_SAMPLING_RATE);
	ck_assert_uint_eq(info.how.max_slowdown_ppm, GMIG_SAMPLING_SLOWDOWN);
	how = (struct gmig_sampling){.blocks_per_second = GMIG_SAMPLING_RATE_MAX,
				     .max_slowdown_ppm = 1000000};
	ck_assert_int_eq(gmig_sampling_start(rig.gmig, &how, &err), 0);
	gmig_sampling_info(rig.gmig, &info);
	ck_assert_uint_eq(info.how.blocks_per_second, GMIG_SAMPLING_RATE_MAX);
	ck_assert_uint_eq(info.how.max_slowdown_ppm, 1000000);
	gmig_sampling_hold(rig.gmig, true);
	gmig_sampling_stop(rig.gmig);
	gmig_sampling_info(rig.gmig, &info);
	ck_assert(!info.on && info.held);
	atomic_store(&rig.gmig->memory.fatal, true);
	assert_said(gmig_sampling_start(rig.gmig, &how, &err), -ESHUTDOWN,
		    "the engine met a fatal error");
	atomic_store(&rig.gmig->memory.fatal, false);
}
END_TEST

static int report(uint64_t gpa, uint64_t bytes, uint32_t share_ppm, struct gmig_heat_noted *noted)
{
	const struct gmig_heat_share part = {gpa, bytes, share_ppm, 0};

	return gmig_heat_report(rig.gmig, &part, 1, noted, &err);
}

START_TEST(report_has_whole_blocks_in_order_and_shares_up_to_all)
{
	struct gmig_heat_share parts[2] = {{2 * MIB, 4 * MIB, 0, 0}, {4 * MIB, 2 * MIB, 0, 0}};
	struct gmig_heat_noted noted;

	assert_said(report(4096, 2 * MIB, 0, NULL), -EINVAL,
		    "heat of 0x1000+0x200000: not whole blocks of 2 MiB below 2^48");
	assert_said(report(0, 2 * MIB + 4096, 0, NULL), -EINVAL,
		    "heat of 0+0x201000: not whole blocks of 2 MiB below 2^48");
	assert_said(report(1ull << 48, 2 * MIB, 0, NULL), -EINVAL,
		    "heat of 0x1000000000000+0x200000: not whole blocks of 2 MiB below 2^48");
	assert_said(report((1ull << 48) - 2 * MIB, 4 * MIB, 0, NULL), -EINVAL,
		    "heat of 0xffffffe00000+0x400000: not whole blocks of 2 MiB below 2^48");
	ck_assert_int_eq(report((1ull << 48) - 2 * MIB, 2 * MIB, 0, &noted), 0);
	ck_assert_uint_eq(noted.outside_bytes, 2 * MIB);
	ck_assert_uint_eq(noted.noted_bytes, 0);
	assert_said(report(0, 2 * MIB, 1000001, NULL), -EINVAL,
		    "a share of 1000001 millionths is more than all");
	ck_assert_int_eq(report(0, 2 * MIB, 1000000, NULL), 0);
	assert_said(gmig_heat_report(rig.gmig, parts, 2, &noted, &err), -EINVAL,
		    "heat of 0x400000 comes behind that of a higher address");
	parts[1].gpa = 6 * MIB;
	ck_assert_int_eq(gmig_heat_report(rig.gmig, parts, 2, &noted, &err), 0);
	parts[1].reserved = 1;
	ck_assert_int_eq(gmig_heat_report(rig.gmig, parts, 2, &noted, &err), -EINVAL);
}
END_TEST

START_TEST(report_is_noted_where_the_guest_has_memory)
{
	struct gmig_heat_noted noted;
	struct gmig_heat parts[4];

	ck_assert_int_eq(report(4 * MIB, 10 * MIB, 500000, &noted), 0);
	ck_assert_uint_eq(noted.noted_bytes, 6 * MIB);
	ck_assert_uint_eq(noted.outside_bytes, 4 * MIB);
	ck_assert_uint_eq(noted.moved_bytes, 0);
	ck_assert_int_eq(report(0, 2 * MIB, 0, &noted), 0);
	ck_assert_uint_eq(noted.noted_bytes, 2 * MIB);
	ck_assert_uint_eq(noted.outside_bytes, 0);
	ck_assert_int_eq(report(FIRST_END, 2 * MIB, 0, &noted), 0);
	ck_assert_uint_eq(noted.outside_bytes, 2 * MIB);
	ck_assert_uint_eq(noted.noted_bytes, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, parts, 4), 2);
	ck_assert_uint_eq(parts[0].gpa, 0);
	ck_assert_uint_eq(parts[0].bytes, FIRST_END);
	ck_assert_uint_eq(parts[0].cold_bytes, 2 * MIB);
	ck_assert_uint_eq(parts[0].hot_bytes, 2 * MIB);
	ck_assert_uint_eq(parts[0].warm_bytes, 0);
	ck_assert_uint_eq(parts[0].unknown_bytes, 2 * MIB);
	ck_assert_uint_eq(parts[0].reported_bytes, 4 * MIB);
	ck_assert_uint_ge(parts[0].newest_age_ns, 1);
	ck_assert_uint_eq(parts[1].gpa, SECOND);
	ck_assert_uint_eq(parts[1].bytes, 4 * MIB);
	ck_assert_uint_eq(parts[1].hot_bytes, 4 * MIB);
	ck_assert_uint_eq(parts[1].unknown_bytes, 0);
}
END_TEST

/* One GiB and one region at most; from the step on that has the address. */
START_TEST(heat_is_told_step_by_step)
{
	static const struct gmig_region_spec third = {
	    .vnode = 1, .gpa = 1022 * MIB, .bytes = 4 * MIB};
	struct gmig_heat parts[8];
	void *ram;

	ck_assert_int_eq(gmig_region_add(rig.gmig, &third, &ram, &err), 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, parts, 8), 4);
	ck_assert_uint_eq(parts[2].gpa, 1022 * MIB);
	ck_assert_uint_eq(parts[2].bytes, 2 * MIB);
	ck_assert_uint_eq(parts[3].gpa, 1024 * MIB);
	ck_assert_uint_eq(parts[3].bytes, 2 * MIB);
	ck_assert_uint_eq(parts[3].unknown_bytes, 2 * MIB);
	ck_assert_uint_eq(parts[3].newest_age_ns, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, parts, 2), 2);
	ck_assert_uint_eq(gmig_heat(rig.gmig, FIRST_END, parts, 8), 3);
	ck_assert_uint_eq(parts[0].gpa, SECOND);
	ck_assert_uint_eq(gmig_heat(rig.gmig, FIRST_END - 1, parts, 8), 4);
	ck_assert_uint_eq(parts[0].gpa, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 1024 * MIB, parts, 8), 1);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 1026 * MIB, parts, 8), 0);
	/* Steps of 4 MiB. */
	ck_assert_uint_eq(gmig_heat_parts(rig.gmig, 0, 4 * MIB, parts, 8), 5);
	ck_assert_uint_eq(parts[0].bytes, 4 * MIB);
	ck_assert_uint_eq(parts[1].gpa, 4 * MIB);
	ck_assert_uint_eq(parts[1].bytes, 2 * MIB);
	ck_assert_uint_eq(parts[2].gpa, SECOND);
	ck_assert_uint_eq(parts[2].bytes, 4 * MIB);
	ck_assert_uint_eq(parts[3].gpa, 1022 * MIB);
	ck_assert_uint_eq(parts[3].bytes, 2 * MIB);
	ck_assert_uint_eq(gmig_heat_parts(rig.gmig, 5 * MIB, 4 * MIB, parts, 8), 4);
	ck_assert_uint_eq(parts[0].gpa, 4 * MIB);
	ck_assert_uint_eq(gmig_heat_parts(rig.gmig, 0, 4ull << 30, parts, 8), 4);
	ck_assert_uint_eq(parts[0].bytes, FIRST_END);
}
END_TEST

/* ---- gmig_retire(), gmig_name_vcpu_thread() --------------------------------------------------------- */

static int retire(uint64_t gpa, struct gmig_retired *retired)
{
	const struct gmig_retire_spec spec = {.gpa = gpa, .keep = true};

	return gmig_retire(rig.gmig, &spec, retired, &err);
}

START_TEST(page_is_retired_when_it_lies_somewhere_and_may_move)
{
	volatile uint8_t *ram = rig.gmig->regions[0].hva;
	struct gmig_retire_spec odd = {.reserved = {1}};
	struct gmig_retired retired;

	assert_said(retire(FIRST_END, &retired), -EFAULT, "the guest has no memory at 0x600000");
	ck_assert_int_eq(gmig_retire(rig.gmig, &odd, &retired, &err), -E2BIG);
	assert_said(retire(4097, &retired), -ENOENT,
		    "page 0x1000: it lies in no frame of its own: never touched, given back, in "
		    "swap, or broken already");
	ck_assert_uint_eq(retired.gpa, 4096);
	ram[4096] = 7;
	rig_settle(&rig);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, 4096, true, &err), 0);
	assert_said(retire(4096, &retired), -EPERM,
		    "page 0x1000: it was declared that it must not move");
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, 4096, false, &err), 0);
	ck_assert_msg(!retire(4096, &retired), "%s", err.text);
	ck_assert_uint_eq(retired.node, 0);
	ck_assert_uint_eq(retired.gpa, 4096);
	ck_assert_int_eq(ram[4096], 7);
}
END_TEST

START_TEST(broken_memory_is_told_by_its_page)
{
	uint8_t *other = rig.gmig->regions[1].hva;
	uint64_t gpa = 0;

	ck_assert_int_eq(gmig_memory_broke(rig.gmig, other - 1, &gpa), -EFAULT);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, other + (SECOND_END - SECOND), &gpa), -EFAULT);
	ck_assert_uint_eq(gpa, 0);
	/* It is there: nothing of it is broken, as far as the kernel shows. */
	*(volatile uint8_t *)(other + 5000) = 1;
	rig_settle(&rig);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, other + 5000, &gpa), -ENOENT);
	ck_assert_uint_eq(gpa, SECOND + 4096);
	ck_assert_int_eq(gmig_memory_broke(rig.gmig, other + 2 * MIB, &gpa), -ENOENT);
	ck_assert_uint_eq(gpa, SECOND + 2 * MIB);
	ck_assert_uint_eq(gmig_broken_bytes(rig.gmig), 0);
}
END_TEST

START_TEST(plain_memory_has_no_policies_and_nothing_of_it_is_fixed)
{
	static const char off[] = "migration is off: plain memory was asked for";
	const struct gmig_region_spec region = {.bytes = 2 * MIB};
	const struct gmig_bind_spec spec = spec_of(0, 4096, GMIG_POLICY_BIND, "1");
	struct gmig_options options = {.topology = rig.topology, .plain = true};
	const struct gmig_sampling how = {.blocks_per_second = 1};
	struct gmig_node_set nodes = {{1}};
	struct gmig_job *job;
	struct gmig_map map;
	struct gmig *gmig;
	void *hva;

	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_int_eq(gmig_region_add(gmig, &region, &hva, &err), 0);
	assert_said(gmig_bind(gmig, &spec, &job, &err), -EOPNOTSUPP, off);
	assert_said(gmig_fix_memory(gmig, 0, 4096, true, &err), -EOPNOTSUPP, off);
	assert_said(gmig_sampling_start(gmig, &how, &err), -EOPNOTSUPP, off);
	gmig_bind_nodes(gmig, &spec, &nodes);
	ck_assert(gmig_node_set_empty(&nodes));
	ck_assert_int_eq(gmig_map_at(gmig, 0, &map), -EOPNOTSUPP);
	gmig_destroy(gmig);
}
END_TEST

/* Its first touches are the kernel's. What lies beside it may have policies. */
START_TEST(policy_is_for_no_memory_that_others_may_map)
{
	const struct gmig_region_spec shared = {
	    .gpa = SECOND_END, .bytes = 2 * MIB, .kind = GMIG_REGION_MEMFD};
	static const char text[] =
	    "memory of kind memfd, which others may map, has no policies of ranges: its first "
	    "touches are the kernel's";
	void *hva;

	ck_assert_msg(!gmig_region_add(rig.gmig, &shared, &hva, &err), "%s", err.text);
	assert_said(bind_range(SECOND_END, 4096, GMIG_POLICY_BIND), -EOPNOTSUPP, text);
	assert_said(bind_range(SECOND_END + 2 * MIB - 4096, 4096, GMIG_POLICY_BIND), -EOPNOTSUPP,
		    text);
	assert_said(bind_range(SECOND_END - 4096, 8192, GMIG_POLICY_BIND), -EOPNOTSUPP, text);
	ck_assert_int_eq(bound(SECOND_END - 4096), -1);
	ck_assert_int_eq(bind_range(SECOND_END - 4096, 4096, GMIG_POLICY_BIND), 0);
	ck_assert_int_eq(bound(SECOND_END - 4096), 1);
	/* None any more is what it has. */
	ck_assert_int_eq(bind_range(SECOND_END - 4096, 8192, GMIG_POLICY_DEFAULT), 0);
	ck_assert_int_eq(bound(SECOND_END - 4096), -1);
}
END_TEST

START_TEST(broken_plain_memory_is_believed_once)
{
	const struct gmig_region_spec specs[] = {{.bytes = 2 * MIB},
						 {.gpa = SECOND, .bytes = 2 * MIB}};
	struct gmig_options options = {.topology = rig.topology, .plain = true};
	uint8_t *ram[2];
	struct gmig *gmig;
	uint64_t gpa;
	void *hva;

	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(gmig_region_add(gmig, &specs[i], &hva, &err), 0);
		ram[i] = hva;
	}
	ck_assert_int_eq(gmig_memory_broke(gmig, ram[1] + 8191, &gpa), 0);
	ck_assert_uint_eq(gpa, SECOND + 4096);
	ck_assert_uint_eq(gmig_broken_bytes(gmig), 4096);
	ck_assert_int_eq(gmig_memory_broke(gmig, ram[1] + 4096, &gpa), -EALREADY);
	ck_assert_int_eq(gmig_memory_broke(gmig, ram[0] + 4096, &gpa), 0);
	ck_assert_uint_eq(gpa, 4096);
	ck_assert_uint_eq(gmig_broken_bytes(gmig), 8192);
	gmig_destroy(gmig);
}
END_TEST

/* Room for 16, then for more; those who read meanwhile have the older list. */
START_TEST(threads_of_a_vcpu_are_kept_in_the_order_of_their_names)
{
	struct thread_list *list;

	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, GMIG_MAX_VNODES, 1), -EINVAL);
	for (int tid = 1; tid <= 60; tid++) {
		ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, GMIG_MAX_VNODES - 1, tid), 0);
		list = atomic_load(&rig.gmig->vnodes[GMIG_MAX_VNODES - 1].threads);
		ck_assert_uint_eq(atomic_load(&list->count), (unsigned int)tid);
		ck_assert_uint_eq(list->room, tid <= 16 ? 16 : tid <= 48 ? 48 : 112);
		ck_assert((list->older != NULL) == (tid > 16));
		for (int i = 0; i < tid; i++)
			ck_assert_int_eq(list->tid[i], i + 1);
	}
	ck_assert_ptr_null(atomic_load(&rig.gmig->vnodes[0].threads));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    bind_takes_whole_pages_of_the_guest,
	    bind_takes_what_makes_sense,
	    strict_counts_the_pages_of_both_regions_that_lie_elsewhere,
	    nodes_of_a_policy_are_its_own_or_those_of_the_vnodes,
	    home_node_is_set_for_all_ranges_or_for_none,
	    memory_is_declared_fixed_where_there_is_some,
	    list_has_whole_pages_and_nodes_that_there_may_be,
	    second_entry_is_looked_at_like_the_first,
	    list_is_neither_empty_nor_longer_than_may_be,
	    pages_are_moved_asked_for_and_counted_one_by_one,
	    sampling_is_as_fast_and_as_costly_as_may_be,
	    report_has_whole_blocks_in_order_and_shares_up_to_all,
	    report_is_noted_where_the_guest_has_memory,
	    heat_is_told_step_by_step,
	    page_is_retired_when_it_lies_somewhere_and_may_move,
	    broken_memory_is_told_by_its_page,
	    plain_memory_has_no_policies_and_nothing_of_it_is_fixed,
	    policy_is_for_no_memory_that_others_may_map,
	    broken_plain_memory_is_believed_once,
	    threads_of_a_vcpu_are_kept_in_the_order_of_their_names,
	};
	Suite *suite = suite_create("refusals");
	TCase *tcase = tcase_create("refusals");

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, job_of_a_policy_moves_what_others_map_when_it_is_told_to, 0, 4);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

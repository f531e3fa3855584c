/*
 * Private memory of hugetlbfs, call by call: what is asked of the kernel and in which order, what its answers mean, and which bound
 * is the last one that serves. On small pages in place of a pool: which node a page is on is a table's say.
 */
#include "../../migrate/gmig_policy.h"
#include "../support/hugetlb_host.h"

static void start(int first, int second)
{
	pools_of(STAND_IN, first, second);
	start_with(&(struct gmig_options){.sys = &sys}, GMIG_REGION_HUGETLB);
	publish();
}

/* ---- Nodes that memory may come from ----------------------------------------------------------- */

static int policy_error;

static int refuse_policy(const struct thread_policy *policy)
{
	(void)policy;
	return policy_error;
}

static int refuse_question(struct thread_policy *policy)
{
	(void)policy;
	return policy_error;
}

static const struct {
	int says;
	bool shrinks;
	int code;
	const char *text;
} refusals[] = {
    {-EPERM, false, -EPERM,
     "set_mempolicy(2) is refused (EPERM), as seccomp filters of containers do: allow "
     "get_mempolicy, set_mempolicy and move_pages, or add CAP_SYS_NICE"},
    {-ENOMEM, false, -ENOMEM, "set_mempolicy(2) to node 1: ENOMEM"},
    {-EINVAL, false, -EACCES,
     "memory cannot be placed on node 1: this thread's cpuset leaves it out (Mems_allowed in "
     "/proc/thread-self/status)"},
    {-EINVAL, true, -EACCES, NULL},
};

START_TEST(node_that_memory_cannot_come_from_is_refused_in_words)
{
	struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = GMIG_BLOCK_BYTES, .kind = GMIG_REGION_HUGETLB, .host_node = 1};
	void *hva;

	start(8, 8);
	policy_error = refusals[_i].says;
	sys.set_thread_policy = refuse_policy;
	publish();
	if (refusals[_i].shrinks) {
		ck_assert_int_eq(region_hugetlb.prefer(gmig, &gmig->regions[0], 1, &err), -EACCES);
		tree_cpuset("0");
		ck_assert_int_eq(region_hugetlb.prefer(gmig, &gmig->regions[0], 1, &err), -EACCES);
		ck_assert_ptr_nonnull(strstr(err.text, "node 1"));
		ck_assert_ptr_nonnull(strstr(err.text, "0 only"));
		ck_assert_int_ne(
		    region_hugetlb.prefer(gmig, &gmig->regions[0], GMIG_MAX_NODES, &err), 0);
	} else {
		ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), refusals[_i].code);
		ck_assert_str_eq(err.text, refusals[_i].text);
	}
	/* Nor when nobody may ask what the thread's policy is. */
	sys.set_thread_policy = take_policy;
	publish();
	sys.thread_policy = refuse_question;
	publish();
	if (refusals[_i].says == -EPERM)
		ck_assert_int_eq(region_hugetlb.prefer(gmig, &gmig->regions[0], 1, &err), -EPERM);
	sys.thread_policy = told_policy;
	publish();
	ck_assert_int_eq(region_hugetlb.prefer(gmig, &gmig->regions[0], 0, &err), 0);
	ck_assert_int_eq(bound_node, -1);
	end();
}
END_TEST

/* ---- First touches ----------------------------------------------------------------------------- */

static _Atomic uint64_t clock_ns;

static uint64_t now_ns(void)
{
	return atomic_load(&clock_ns);
}

START_TEST(node_that_had_no_page_is_not_asked_at_each_touch)
{
	pools_of(STAND_IN, 0, 8);
	atomic_store(&clock_ns, 1000000000);
	sys.now_ns = now_ns;
	start_with(&(struct gmig_options){.sys = &sys}, GMIG_REGION_HUGETLB);
	publish();
	touch(0);
	ck_assert_uint_eq(atomic_load(&fills), 2); /* both */
	touch(1);
	ck_assert_uint_eq(atomic_load(&fills), 3);
	atomic_store(&pool_free[0], 1);
	touch(2);
	ck_assert_uint_eq(atomic_load(&fills), 4);
	ck_assert_uint_eq(resident(0), 0);
	atomic_fetch_add(&clock_ns, 10000000);
	touch(3);
	ck_assert_uint_eq(atomic_load(&fills), 5);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), 3 * GMIG_BLOCK_BYTES);
	end();
}
END_TEST

static atomic_int copies;
static atomic_bool says_exists;

/* A kernel that has pages only for who names no node; or one that says that somebody else was faster. */
static int ioctl_odd(int fd, unsigned long request, void *arg)
{
	struct uffdio_copy *copy = arg;

	if (request != UFFDIO_COPY)
		return ioctl_table(fd, request, arg);
	atomic_fetch_add(&copies, 1);
	if (!atomic_load(&says_exists) && bound_node >= 0) {
		copy->copy = -ENOMEM;
		return -ENOMEM;
	}
	if (!ioctl_table(fd, request, arg) && atomic_load(&says_exists)) {
		copy->copy = -EEXIST;
		return -EEXIST;
	}
	return 0;
}

START_TEST(page_of_any_node_is_booked_where_it_lies)
{
	pools_of(STAND_IN, 0, 8);
	sys.ioctl = ioctl_odd;
	start_with(&(struct gmig_options){.sys = &sys}, GMIG_REGION_HUGETLB);
	publish();
	touch(1);
	ck_assert_int_eq(atomic_load(&copies), 3);
	ck_assert_uint_eq(resident(0), 0);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(bound_node, -1);
	end();
}
END_TEST

START_TEST(page_that_is_there_already_is_booked_where_it_lies)
{
	pools_of(STAND_IN, 8, 8);
	sys.ioctl = ioctl_odd;
	atomic_store(&says_exists, true);
	start_with(&(struct gmig_options){.sys = &sys}, GMIG_REGION_HUGETLB);
	publish();
	touch(2);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), 0);
	/* What is there is not filled again. */
	ck_assert_int_eq(region_hugetlb.populate(gmig, &gmig->regions[0], 2 * GMIG_BLOCK_PAGES), 0);
	ck_assert_int_eq(atomic_load(&copies), 1);
	ck_assert_int_eq(region_hugetlb.populate(gmig, &gmig->regions[0], 0), 0);
	ck_assert_int_eq(atomic_load(&copies), 2);
	ck_assert_uint_eq(resident(0), 2 * GMIG_BLOCK_BYTES);
	end();
}
END_TEST

START_TEST(populating_keeps_a_policy_and_takes_no_other_node)
{
	struct gmig_bind_spec bind = {.gpa = GMIG_BLOCK_BYTES,
				      .bytes = GMIG_BLOCK_BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND}};
	struct gmig_job *job;

	start(8, 1);
	gmig_node_set_add(&bind.policy.nodes, 1);
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), 0);
	ck_assert_int_eq(region_hugetlb.populate(gmig, &gmig->regions[0], GMIG_BLOCK_PAGES), 0);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(region_hugetlb.populate(gmig, &gmig->regions[0], 0), 0);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	bind.gpa = 2 * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), 0);
	ck_assert_int_eq(region_hugetlb.populate(gmig, &gmig->regions[0], 2 * GMIG_BLOCK_PAGES),
			 -ENOMEM);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* ---- Books ------------------------------------------------------------------------------------- */

static uint64_t of_hugetlb(void)
{
	struct gmig_stats stats;

	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_hugetlb_1g, 0);
	return stats.page_bytes_hugetlb_2m;
}

START_TEST(statistics_tell_pages_of_hugetlbfs_of_vnodes_with_nothing_else)
{
	struct gmig_region_spec spec = {.vnode = 1, .gpa = BYTES, .bytes = GMIG_BLOCK_BYTES};
	void *hva;

	start(8, 8);
	ck_assert_uint_eq(of_hugetlb(), 0);
	touch(0);
	touch(3);
	ck_assert_uint_eq(of_hugetlb(), 2 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), 0);
	ck_assert_uint_eq(of_hugetlb(), 2 * GMIG_BLOCK_BYTES);
	spec = (struct gmig_region_spec){.gpa = 2 * BYTES, .bytes = GMIG_BLOCK_BYTES};
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), 0);
	ck_assert_uint_eq(of_hugetlb(), 0);
	end();
}
END_TEST

START_TEST(limit_leaves_what_was_not_touched_of_all_regions)
{
	struct gmig_region_spec spec = {
	    .gpa = 2 * BYTES, .bytes = GMIG_BLOCK_BYTES, .kind = GMIG_REGION_HUGETLB};
	void *hva;

	start(8, 8);
	touch(0);
	touch(1);
	/* Two of four blocks are there, and one more is asked for. */
	atomic_store(&group_bytes, 3 * GMIG_BLOCK_BYTES - 1);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -ENOMEM);
	ck_assert_str_eq(err.text, "the hugetlb limit of cgroup /sys/fs/cgroup/vm leaves 5 MiB in "
				   "pages of 2 MiB, and this memory takes 6 MiB");
	atomic_store(&group_bytes, 3 * GMIG_BLOCK_BYTES);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	end();
}
END_TEST

START_TEST(policy_divides_no_page)
{
	static const struct {
		uint64_t gpa, bytes;
		const char *text;
	} odd[] = {
	    {4096, GMIG_BLOCK_BYTES,
	     "0x1000+0x200000 is not a multiple of the guest's pages of hugetlbfs, which are 2 "
	     "MiB"},
	    {0, GMIG_BLOCK_BYTES + 4096,
	     "0x0+0x201000 is not a multiple of the guest's pages of hugetlbfs, which are 2 MiB"},
	    {BYTES - 4096, 4096,
	     "0x7ff000+0x1000 is not a multiple of the guest's pages of hugetlbfs, which are 2 "
	     "MiB"},
	};
	struct gmig_region_spec ram_beside = {.gpa = BYTES, .bytes = GMIG_BLOCK_BYTES};
	struct gmig_bind_spec bind = {.policy = {.mode = GMIG_POLICY_BIND}};
	struct gmig_job *job;
	void *hva;

	start(8, 8);
	gmig_node_set_add(&bind.policy.nodes, 1);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		bind.gpa = odd[i].gpa;
		bind.bytes = odd[i].bytes;
		ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EINVAL);
		ck_assert_str_eq(err.text, odd[i].text);
	}
	/* What begins where they end is other memory. */
	ck_assert_int_eq(gmig_region_add(gmig, &ram_beside, &hva, &err), 0);
	bind.gpa = BYTES;
	bind.bytes = 4096;
	ck_assert_msg(!gmig_bind(gmig, &bind, &job, &err), "%s", err.text);
	bind.gpa = BYTES - GMIG_BLOCK_BYTES;
	bind.bytes = 2 * GMIG_BLOCK_BYTES;
	ck_assert_msg(!gmig_bind(gmig, &bind, &job, &err), "%s", err.text);
	end();
}
END_TEST

/* ---- What the kernel shows ----------------------------------------------------------------------- */

static __u64 shown; /* of all of a block */
static int scan_error;

static int show(int fd, unsigned long request, void *argument)
{
	struct pm_scan_arg *arg = argument;
	struct page_region *region;

	if (request != PAGEMAP_SCAN)
		return ioctl_table(fd, request, argument);
	if (scan_error)
		return scan_error;
	region = (struct page_region *)(uintptr_t)arg->vec;
	*region = (struct page_region){arg->start, arg->end, shown};
	arg->walk_end = arg->end;
	return 1;
}

START_TEST(marker_of_a_protected_hole_is_no_page)
{
	struct uffd_scan scan;

	start(8, 8);
	sys.ioctl = show;
	publish();
	/* There, whole, and open or protected. */
	shown = PAGE_IS_PRESENT | PAGE_IS_WRITTEN;
	ck_assert_int_eq(region_hugetlb.scan(gmig, &gmig->regions[0], 0, &scan), 0);
	ck_assert(bits_full(&scan.present) && bits_empty(&scan.protected) && scan.huge);
	ck_assert(bits_empty(&scan.swapped));
	shown = PAGE_IS_PRESENT;
	ck_assert_int_eq(region_hugetlb.scan(gmig, &gmig->regions[0], 0, &scan), 0);
	ck_assert(bits_full(&scan.present) && bits_full(&scan.protected) && scan.huge);
	/* A marker; and a page that the kernel is migrating. */
	shown = PAGE_IS_SWAPPED;
	ck_assert_int_eq(region_hugetlb.scan(gmig, &gmig->regions[0], 0, &scan), 0);
	ck_assert(bits_empty(&scan.present) && bits_empty(&scan.protected) && !scan.huge);
	ck_assert(bits_empty(&scan.swapped));
	shown = PAGE_IS_SWAPPED | PAGE_IS_WRITTEN;
	ck_assert_int_eq(region_hugetlb.scan(gmig, &gmig->regions[0], 0, &scan), 0);
	ck_assert(bits_full(&scan.present) && bits_empty(&scan.protected) && scan.huge);
	ck_assert(bits_empty(&scan.swapped));
	scan_error = -EIO;
	ck_assert_int_eq(region_hugetlb.scan(gmig, &gmig->regions[0], 0, &scan), -EIO);
	scan_error = 0;
	sys.ioctl = ioctl_table;
	publish();
	end();
}
END_TEST

START_TEST(part_of_a_page_is_not_given_back)
{
	start(8, 8);
	touch(1);
	ck_assert_int_eq(region_hugetlb.discard(gmig, &gmig->regions[0], 513, 512), -EINVAL);
	ck_assert_int_eq(region_hugetlb.discard(gmig, &gmig->regions[0], 512, 511), -EINVAL);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 2);
	ck_assert_int_eq(region_hugetlb.discard(gmig, &gmig->regions[0], 512, 512), 0);
	end();
}
END_TEST

int main(void)
{
	struct gmig_features features;
	Suite *suite = suite_create("hugetlb_calls");
	TCase *tcase = tcase_create("hugetlb_calls");

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, node_that_memory_cannot_come_from_is_refused_in_words, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tcase, node_that_had_no_page_is_not_asked_at_each_touch);
	tcase_add_test(tcase, page_of_any_node_is_booked_where_it_lies);
	tcase_add_test(tcase, page_that_is_there_already_is_booked_where_it_lies);
	tcase_add_test(tcase, populating_keeps_a_policy_and_takes_no_other_node);
	tcase_add_test(tcase, statistics_tell_pages_of_hugetlbfs_of_vnodes_with_nothing_else);
	tcase_add_test(tcase, limit_leaves_what_was_not_touched_of_all_regions);
	tcase_add_test(tcase, policy_divides_no_page);
	tcase_add_test(tcase, marker_of_a_protected_hole_is_no_page);
	tcase_add_test(tcase, part_of_a_page_is_not_given_back);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}

/* What the probe says of this host when a filter of system calls, as containers have, refuses some. */
#include "../../migrate/core/kernels.h"
#include "../../migrate/core/sys.h"
#include "failing_open.h"
#include "rig.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES (4 * GMIG_BLOCK_BYTES)

/* From here on this process gets EPERM for these calls. Check runs each case in a process of its own. */
static void refuse(const int *calls, unsigned int count)
{
	struct sock_filter code[16];
	struct sock_fprog filter = {.filter = code};

	code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							  offsetof(struct seccomp_data, nr));
	for (unsigned int i = 0; i < count; i++) {
		code[filter.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
								  (unsigned int)calls[i], 0, 1);
		code[filter.len++] =
		    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static const int placement[] = {SYS_mbind, SYS_move_pages, SYS_set_mempolicy};

START_TEST(calls_that_a_filter_refuses_are_told_apart)
{
	struct gmig_features features;

	gmig_probe_features(&features);
	ck_assert_int_eq(features.mbind, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.move_pages, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.set_mempolicy, GMIG_FEATURE_OK);
	refuse(&placement[_i], 1);
	ck_assert_int_eq(gmig_probe_features(&features), 0);
	ck_assert_int_eq(features.mbind, _i == 0 ? GMIG_FEATURE_NO_RIGHT : GMIG_FEATURE_OK);
	ck_assert_int_eq(features.move_pages, _i == 1 ? GMIG_FEATURE_NO_RIGHT : GMIG_FEATURE_OK);
	ck_assert_int_eq(features.set_mempolicy, _i == 2 ? GMIG_FEATURE_NO_RIGHT : GMIG_FEATURE_OK);
}
END_TEST

/* With real nodes, where what is not placed would be a lie. */
START_TEST(engine_that_may_not_place_memory_says_which_call_and_the_guest_runs)
{
	struct gmig_options options = {.unsafe_kernel = true};
	struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_topology *topology;
	struct gmig_error err;
	struct gmig *gmig;
	void *ram;

	refuse(&placement[_i], 1);
	ck_assert_int_eq(gmig_topology_create(0, &topology, &err), 0);
	options.topology = topology;
	region.host_node = gmig_node_set_next(gmig_topology_nodes(topology), 0);
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), -EPERM);
	ck_assert_msg(strstr(err.text, _i ? "move_pages(2)" : "mbind(2)") != NULL, "%s", err.text);
	ck_assert_ptr_nonnull(strstr(err.text, "CAP_SYS_NICE"));
	options.off_if_unavailable = true;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_ptr_nonnull(strstr(gmig_why_off(gmig), "refused"));
	ck_assert_msg(gmig_region_add(gmig, &region, &ram, &err) == 0, "%s", err.text);
	memset(ram, 1, BYTES);
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

START_TEST(fake_nodes_need_no_placement)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct rig rig;

	refuse(placement, 3);
	rig_create(&rig, &options);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* A program that was built with a later header, and uses what this library does not have. */
START_TEST(field_that_is_not_known_yet_is_refused)
{
	struct gmig_options options = {.plain = true};
	struct gmig_region_spec region = {.bytes = BYTES};
	struct gmig_job_spec job = {.from_count = 1, .to = {1}, .to_count = 1};
	struct gmig_process_options process = {.pid = getpid()};
	struct gmig_populate how = {.threads = 1};
	struct gmig_process *opened = NULL;
	struct gmig_job *started = NULL;
	struct gmig_error err = {0};
	struct gmig *gmig = NULL;
	void *memory = NULL;

	ck_assert_int_eq(gmig_topology_create(0, &options.topology, &err), 0);
	process.topology = options.topology;
	options.reserved[0] = 1;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), -E2BIG);
	ck_assert_ptr_null(gmig);
	ck_assert_ptr_nonnull(strstr(err.text, "this version of libgmig does not know"));
	options.reserved[0] = 0;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	region.reserved[sizeof(region.reserved) / sizeof(uint64_t) - 1] = 1;
	ck_assert_int_eq(gmig_region_add(gmig, &region, &memory, &err), -E2BIG);
	how.reserved[0] = 1;
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), -E2BIG);
	job.reserved[0] = 1;
	ck_assert_int_eq(gmig_job_start(gmig, &job, &started, &err), -E2BIG);
	process.reserved[0] = 1;
	ck_assert_int_eq(gmig_process_open(&process, &opened, &err), -E2BIG);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
}
END_TEST

/* ---- A host that has not all --------------------------------------------------------------------- */

/* What its calls return; 0: what the real one says. */
static struct {
	int userfaultfd, api, minor, reg, move, pagemap, scan, policy, prefer, query, map;
	const char *release;
	unsigned int fds, maps; /* that are open, or there */
	uint64_t asked[2];	/* features of userfaultfds */
	unsigned int opens;
} host;

static int host_userfaultfd(void)
{
	int fd = host.userfaultfd ? host.userfaultfd : gmig_sys_real.userfaultfd();

	host.fds += fd >= 0;
	return fd;
}

static int host_pagemap(void)
{
	int fd = host.pagemap ? host.pagemap : gmig_sys_real.pagemap();

	host.fds += fd >= 0;
	return fd;
}

static int host_close(int fd)
{
	host.fds--;
	return gmig_sys_real.close(fd);
}

static int host_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_register *reg = arg;
	int error = 0;

	if (request == UFFDIO_API) {
		ck_assert_uint_lt(host.opens, 2);
		host.asked[host.opens++] = ((struct uffdio_api *)arg)->features;
		error = host.opens == 1 ? host.minor : host.api;
	} else if (request == UFFDIO_REGISTER) {
		ck_assert_uint_eq(reg->mode, UFFDIO_REGISTER_MODE_MISSING);
		ck_assert_uint_eq(reg->range.len, GMIG_PAGE_BYTES);
		error = host.reg;
	} else if (request == UFFDIO_MOVE) {
		error = host.move;
	} else if (request == PAGEMAP_SCAN) {
		error = host.scan;
	}
	return error ? error : gmig_sys_real.ioctl(fd, request, arg);
}

static int host_map(size_t bytes, int protection, void *fixed, void **out)
{
	int ret = host.map ? host.map : gmig_sys_real.map(bytes, protection, fixed, out);

	host.maps += !ret;
	return ret;
}

static int host_unmap(void *memory, size_t bytes)
{
	ck_assert_uint_eq(bytes, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	host.maps--;
	return gmig_sys_real.unmap(memory, bytes);
}

static int host_policy(int mode)
{
	return host.policy ? host.policy : gmig_sys_real.set_policy(mode);
}

static int host_prefer(void *memory, size_t bytes, int node)
{
	return host.prefer ? host.prefer : gmig_sys_real.prefer_node(memory, bytes, node);
}

static int host_query(size_t count, void **pages, int *status)
{
	return host.query ? host.query : gmig_sys_real.query_nodes(count, pages, status);
}

static void host_kernel(struct kernel_name *name)
{
	gmig_sys_real.kernel_name(name);
	if (host.release) {
		memset(name, 0, sizeof(*name));
		snprintf(name->release, sizeof(name->release), "%s", host.release);
	}
}

static int probe(struct gmig_features *features)
{
	struct gmig_sys sys = gmig_sys_real;
	int ret;

	sys.userfaultfd = host_userfaultfd;
	sys.pagemap = host_pagemap;
	sys.close = host_close;
	sys.ioctl = host_ioctl;
	sys.map = host_map;
	sys.unmap = host_unmap;
	sys.set_policy = host_policy;
	sys.prefer_node = host_prefer;
	sys.query_nodes = host_query;
	sys.kernel_name = host_kernel;
	memset(features, 0x55, sizeof(*features));
	ret = gmig_probe_features_with(&sys, features);
	/* Nothing of it is left behind, whatever failed. */
	ck_assert_uint_eq(host.fds, 0);
	ck_assert_uint_eq(host.maps, 0);
	for (unsigned int i = 0; i < 8; i++)
		ck_assert_uint_eq(features->reserved[i], 0);
	return ret;
}

START_TEST(probe_asks_for_what_is_used)
{
	struct gmig_features features;

	ck_assert_int_eq(probe(&features), 0);
	ck_assert_uint_eq(host.opens, 2);
	ck_assert_uint_eq(host.asked[0], UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_SIGBUS);
	ck_assert_uint_eq(host.asked[1], UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	ck_assert_int_eq(features.userfaultfd, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.move, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.write_protect, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.pagemap_scan, GMIG_FEATURE_OK);
	ck_assert_str_eq(features.why, "");
}
END_TEST

START_TEST(userfaultfd_that_is_not_to_be_had_says_why)
{
	static const struct {
		int error, ret;
		enum gmig_feature_state state;
		const char *says;
	} cases[] = {{-EPERM, -EPERM, GMIG_FEATURE_NO_RIGHT, "no right to use userfaultfd"},
		     {-EACCES, -EPERM, GMIG_FEATURE_NO_RIGHT, "no right to use userfaultfd"},
		     {-ENOSYS, -ENOSYS, GMIG_FEATURE_MISSING, "no userfaultfd"},
		     {-EINVAL, -ENOSYS, GMIG_FEATURE_MISSING, "no userfaultfd"},
		     {-EMFILE, -EMFILE, GMIG_FEATURE_UNKNOWN,
		      "could not be tried whether userfaultfd works here: EMFILE"}};
	const enum gmig_feature_state rest =
	    _i % 5 == 4 ? GMIG_FEATURE_UNKNOWN : GMIG_FEATURE_MISSING;
	struct gmig_features features;
	bool at_open = _i < 5;

	if (at_open)
		host.userfaultfd = cases[_i % 5].error;
	else
		host.api = cases[_i % 5].error;
	ck_assert_int_eq(probe(&features), cases[_i % 5].ret);
	ck_assert_int_eq(features.userfaultfd, cases[_i % 5].state);
	ck_assert_int_eq(features.minor_hugetlb, at_open ? cases[_i % 5].state : GMIG_FEATURE_OK);
	ck_assert_int_eq(features.move, rest);
	ck_assert_int_eq(features.write_protect, rest);
	/* The rest is looked at all the same. */
	ck_assert_int_eq(features.pagemap_scan, GMIG_FEATURE_OK);
	ck_assert_msg(strstr(features.why, cases[_i % 5].says) != NULL, "%s", features.why);
}
END_TEST

START_TEST(kernel_without_minor_faults_migrates_all_the_same)
{
	static const int errors[] = {-EINVAL, -EPERM, -EACCES, -ENFILE};
	static const enum gmig_feature_state states[] = {
	    GMIG_FEATURE_MISSING, GMIG_FEATURE_NO_RIGHT, GMIG_FEATURE_NO_RIGHT,
	    GMIG_FEATURE_UNKNOWN};
	struct gmig_features features;

	host.minor = errors[_i];
	ck_assert_int_eq(probe(&features), 0);
	ck_assert_int_eq(features.minor_hugetlb, states[_i]);
	ck_assert_int_eq(features.userfaultfd, GMIG_FEATURE_OK);
	ck_assert_str_eq(features.why, "");
}
END_TEST

START_TEST(kernel_that_cannot_move_says_so)
{
	struct gmig_features features;

	if (_i)
		host.reg = -ENOMEM;
	else
		host.move = -ENOTTY;
	ck_assert_int_eq(probe(&features), _i ? -ENOMEM : -ENOSYS);
	ck_assert_int_eq(features.move, _i ? GMIG_FEATURE_UNKNOWN : GMIG_FEATURE_MISSING);
	ck_assert_int_eq(features.userfaultfd, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.write_protect, GMIG_FEATURE_OK);
	ck_assert_int_eq(features.pagemap_scan, GMIG_FEATURE_OK);
	ck_assert_ptr_nonnull(strstr(features.why, "UFFDIO_MOVE"));
}
END_TEST

START_TEST(page_map_that_cannot_be_read_says_so)
{
	static const struct {
		int pagemap, scan, ret;
		enum gmig_feature_state state;
	} cases[] = {{-EACCES, 0, -EPERM, GMIG_FEATURE_NO_RIGHT},
		     {-ENOENT, 0, -ENOSYS, GMIG_FEATURE_MISSING},
		     {0, -ENOTTY, -ENOSYS, GMIG_FEATURE_MISSING},
		     {-EMFILE, 0, -EMFILE, GMIG_FEATURE_UNKNOWN},
		     {0, -ENOMEM, -ENOMEM, GMIG_FEATURE_UNKNOWN}};
	struct gmig_features features;

	host.pagemap = cases[_i].pagemap;
	host.scan = cases[_i].scan;
	ck_assert_int_eq(probe(&features), cases[_i].ret);
	ck_assert_int_eq(features.pagemap_scan, cases[_i].state);
	ck_assert_int_eq(features.move, GMIG_FEATURE_OK);
	ck_assert_ptr_nonnull(strstr(features.why, "PAGEMAP_SCAN"));
}
END_TEST

/* Of several things that are missing the first one is told. */
START_TEST(first_thing_that_is_missing_is_told)
{
	struct gmig_features features;

	host.move = -ENOTTY;
	host.pagemap = -EACCES;
	ck_assert_int_eq(probe(&features), -ENOSYS);
	ck_assert_ptr_nonnull(strstr(features.why, "UFFDIO_MOVE"));
	ck_assert_int_eq(features.pagemap_scan, GMIG_FEATURE_NO_RIGHT);
}
END_TEST

START_TEST(host_without_memory_for_a_probe_says_what_it_could_not_try)
{
	struct gmig_features features;

	host.map = -ENOMEM;
	ck_assert_int_eq(probe(&features), -ENOMEM);
	ck_assert_int_eq(features.move, GMIG_FEATURE_UNKNOWN);
	ck_assert_int_eq(features.pagemap_scan, GMIG_FEATURE_UNKNOWN);
	ck_assert_int_eq(features.mbind, GMIG_FEATURE_UNKNOWN);
	ck_assert_int_eq(features.move_pages, GMIG_FEATURE_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(features.why, "whether UFFDIO_MOVE works here: ENOMEM"));
}
END_TEST

/* For want of descriptors at its start it would not migrate for its whole life. */
START_TEST(engine_is_not_off_for_what_could_not_be_tried)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_options options = {
	    .unsafe_kernel = true, .off_if_unavailable = true, .sys = &sys};
	struct gmig_error err;
	struct gmig *gmig;

	host.userfaultfd = -EMFILE;
	sys.userfaultfd = host_userfaultfd;
	ck_assert_int_eq(gmig_topology_create(2, &options.topology, &err), 0);
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), -EMFILE);
	ck_assert_ptr_nonnull(
	    strstr(err.text, "could not be tried whether userfaultfd works here: EMFILE"));
	host.userfaultfd = 0;
	unreadable = "/transparent_hugepage/enabled";
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_ptr_null(gmig_why_off(gmig));
	ck_assert_int_eq(gmig->thp, prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 1);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
	unreadable = NULL;
}
END_TEST

START_TEST(calls_that_place_memory_are_told_apart_by_what_they_say)
{
	static const struct {
		int error;
		enum gmig_feature_state state;
	} cases[] = {{-EPERM, GMIG_FEATURE_NO_RIGHT},
		     {-ENOSYS, GMIG_FEATURE_MISSING},
		     {-EINVAL, GMIG_FEATURE_OK}};
	struct gmig_features features;

	host.policy = _i < 3 ? cases[_i % 3].error : 0;
	host.prefer = _i / 3 == 1 ? cases[_i % 3].error : 0;
	host.query = _i / 3 == 2 ? cases[_i % 3].error : 0;
	ck_assert_int_eq(probe(&features), 0);
	ck_assert_int_eq(features.set_mempolicy, _i < 3 ? cases[_i % 3].state : GMIG_FEATURE_OK);
	ck_assert_int_eq(features.mbind, _i / 3 == 1 ? cases[_i % 3].state : GMIG_FEATURE_OK);
	ck_assert_int_eq(features.move_pages, _i / 3 == 2 ? cases[_i % 3].state : GMIG_FEATURE_OK);
}
END_TEST

/* What a service manager or a wrapper may have set, and children inherit. */
START_TEST(process_that_may_have_no_huge_pages_is_told_so)
{
	const unsigned long advised = 2; /* PR_THP_DISABLE_EXCEPT_ADVISED, Linux 6.18 */
	struct rig_options options = {.bytes = BYTES};
	static const int calls[] = {SYS_prctl};
	struct gmig_features before, features;
	struct gmig_stats stats;
	struct rig rig;

	probe(&before);
	if (before.thp != GMIG_FEATURE_OK) {
		skip_case(NO_HUGE_PAGES);
		return;
	}
	ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	host.opens = 0;
	ck_assert_int_eq(probe(&features), 0);
	ck_assert_int_eq(features.thp, GMIG_FEATURE_MISSING);
	rig_create(&rig, &options);
	ck_assert(!rig.gmig->thp);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	if (!prctl(PR_SET_THP_DISABLE, 1, advised, 0, 0)) {
		rig_create(&rig, &options);
		ck_assert(rig.gmig->thp);
		gmig_stats(rig.gmig, &stats);
		ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
		rig_destroy(&rig);
	}
	ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
	/* A filter that refuses the question is no answer. */
	refuse(calls, 1);
	host.opens = 0;
	ck_assert_int_eq(probe(&features), 0);
	ck_assert_int_eq(features.thp, GMIG_FEATURE_OK);
}
END_TEST

START_TEST(kernel_is_judged_by_its_name_and_migrates)
{
	static const struct {
		const char *release, *says;
		enum gmig_feature_state state;
	} cases[] = {{"6.18.20", "", GMIG_FEATURE_OK},
		     {"6.17.1", "damages", GMIG_FEATURE_UNSAFE},
		     {"6.12.1", "can crash", GMIG_FEATURE_DOUBTFUL},
		     {"5.14.0-503.el9.x86_64", "backport", GMIG_FEATURE_DOUBTFUL}};
	struct gmig_features features;

	host.release = cases[_i].release;
	ck_assert_int_eq(probe(&features), 0);
	ck_assert_int_eq(features.kernel, cases[_i].state);
	ck_assert_ptr_nonnull(strstr(features.kernel_fault, cases[_i].says));
	ck_assert_int_eq(*features.kernel_fault != 0, *cases[_i].says != 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("features");
	TCase *tcase = tcase_create("placement");

	tcase_add_loop_test(tcase, calls_that_a_filter_refuses_are_told_apart, 0, 3);
	tcase_add_loop_test(
	    tcase, engine_that_may_not_place_memory_says_which_call_and_the_guest_runs, 0, 2);
	tcase_add_test(tcase, fake_nodes_need_no_placement);
	tcase_add_test(tcase, field_that_is_not_known_yet_is_refused);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("probe");
	tcase_add_test(tcase, probe_asks_for_what_is_used);
	tcase_add_loop_test(tcase, userfaultfd_that_is_not_to_be_had_says_why, 0, 10);
	tcase_add_loop_test(tcase, kernel_without_minor_faults_migrates_all_the_same, 0, 4);
	tcase_add_loop_test(tcase, kernel_that_cannot_move_says_so, 0, 2);
	tcase_add_loop_test(tcase, page_map_that_cannot_be_read_says_so, 0, 5);
	tcase_add_test(tcase, first_thing_that_is_missing_is_told);
	tcase_add_test(tcase, host_without_memory_for_a_probe_says_what_it_could_not_try);
	tcase_add_test(tcase, engine_is_not_off_for_what_could_not_be_tried);
	tcase_add_loop_test(tcase, calls_that_place_memory_are_told_apart_by_what_they_say, 0, 9);
	tcase_add_test(tcase, process_that_may_have_no_huge_pages_is_told_so);
	tcase_add_loop_test(tcase, kernel_is_judged_by_its_name_and_migrates, 0, 4);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

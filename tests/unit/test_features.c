/* What the probe says of this host when a filter of system calls, as containers have, refuses some. */
#include "../../migrate/core/sys.h"
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
	return rig_main(suite);
}

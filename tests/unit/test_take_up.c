/*
 * What an ended job leaves and what is taken up of it, and pages that only the kernel can take out of use: which errors there are,
 * in which words, and what the new job is told.
 */
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_retire.h"
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES (4 * GMIG_BLOCK_BYTES)
#define PAGE  GMIG_PAGE_BYTES

static struct rig rig;
static struct gmig_error err;

static void create(void)
{
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .nodes = 4, .small_pages = true});
}

static void assert_said(int ret, int expected, const char *text)
{
	ck_assert_int_eq(ret, expected);
	ck_assert_int_eq(err.code, expected);
	ck_assert_str_eq(err.text, text);
}

static void cancel(struct gmig_job *job)
{
	gmig_job_cancel(job);
	gmig_job_wait(job);
}

static struct gmig_job_info info_of(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_info(job, &info);
	return info;
}

/* ---- What remains ------------------------------------------------------------------------------ */

/* 1 byte a second: it never comes to a page. */
static struct gmig_job *start_slow(struct gmig_job_spec spec)
{
	struct gmig_job *job;

	spec.rate_bytes_per_second = 1;
	ck_assert_msg(!gmig_job_start(rig.gmig, &spec, &job, &err), "%s", err.text);
	return job;
}

START_TEST(rest_of_a_job_is_known_once_it_has_ended)
{
	struct gmig_job_spec spec = rig_spec(0, 3), rest;
	struct gmig_job *job, *next;
	char text[64];

	create();
	spec.threads = 2;
	spec.mode = GMIG_MODE_READABLE;
	job = start_slow(spec);
	gmig_job_pause(job);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), -EBUSY);
	snprintf(text, sizeof(text), "job 1 is %s: it has not ended",
		 gmig_job_state_name(info_of(job).state));
	assert_said(gmig_job_retry(job, NULL, &next, &err), -EBUSY, text);
	cancel(job);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), 0);
	ck_assert_uint_eq(rest.from_count, 1);
	ck_assert_uint_eq(rest.from[0], 0);
	ck_assert_uint_eq(rest.to_count, 1);
	ck_assert_uint_eq(rest.to[0], 3);
	ck_assert_uint_eq(rest.threads, 2);
	ck_assert_uint_eq(rest.max_bytes, 0);
	ck_assert_int_eq(rest.mode, GMIG_MODE_READABLE);
	ck_assert_uint_eq(rest.rate_bytes_per_second, 1);
	/* How it goes is said anew, and where to is not. */
	spec = (struct gmig_job_spec){.threads = 1,
				      .to = {2},
				      .to_count = 1,
				      .from = {1},
				      .from_count = 1,
				      .vnodes = 2,
				      .max_bytes = PAGE};
	ck_assert_msg(!gmig_job_retry(job, &spec, &next, &err), "%s", err.text);
	gmig_job_wait(next);
	ck_assert_int_eq(info_of(next).state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info_of(next).moved_bytes, BYTES);
	ck_assert_uint_eq(info_of(next).spec.to[0], 3);
	ck_assert_uint_eq(info_of(next).spec.from[0], 0);
	ck_assert_uint_eq(info_of(next).spec.from_count, 1);
	ck_assert_uint_eq(info_of(next).spec.threads, 1);
	ck_assert_uint_eq(info_of(next).spec.vnodes, 0);
	ck_assert_uint_eq(info_of(next).id, 2);
	assert_said(gmig_job_rest(next, &rest, &err), -ENODATA, "nothing remains of job 2");
	gmig_job_put(next);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

/* Of what it brought to node 1 nobody can tell what came from node 0. */
START_TEST(map_that_sends_pages_on_is_taken_up_only_if_it_sent_none)
{
	struct gmig_job_spec spec = {.from = {0, 1}, .from_count = 2, .to = {1, 2}, .to_count = 2};
	struct gmig_job_spec rest;
	struct gmig_job *job;

	create();
	job = start_slow(spec);
	cancel(job);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), 0);
	ck_assert_uint_eq(rest.to_count, 2);
	gmig_job_put(job);
	/* One block stays. */
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, PAGE, true, &err), 0);
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	assert_said(gmig_job_rest(job, &rest, &err), -EOPNOTSUPP,
		    "job 2 brought pages to nodes that it also takes from: what has arrived there "
		    "would go on; name other nodes in a new job");
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

/* What stays is taken up, and of a job over a part no more than that. */
START_TEST(part_that_remains_is_no_more_than_what_remained)
{
	struct gmig_job_spec spec = rig_spec(0, 1), rest;
	struct gmig_job *job;

	create();
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 0, PAGE, true, &err), 0);
	spec.max_bytes = _i ? BYTES : 0;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	gmig_job_wait(job);
	ck_assert_int_eq(info_of(job).state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info_of(job).moved_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info_of(job).remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), 0);
	ck_assert_uint_eq(rest.max_bytes, _i ? GMIG_BLOCK_BYTES : 0);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

START_TEST(policy_is_taken_up_with_the_nodes_that_it_has_now)
{
	struct gmig_bind_spec bind = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE,
				      .job = {.rate_bytes_per_second = 1}};
	const struct gmig_job_spec fast = {.threads = 1};
	struct gmig_job_spec rest;
	struct gmig_job *job, *next;

	create();
	gmig_node_set_add(&bind.policy.nodes, 1);
	ck_assert_int_eq(gmig_bind(rig.gmig, &bind, &job, &err), 0);
	cancel(job);
	gmig_node_set_add(&bind.policy.nodes, 3);
	gmig_node_set_remove(&bind.policy.nodes, 1);
	gmig_node_set_add(&bind.policy.nodes, 2);
	bind.flags = 0;
	bind.job = (struct gmig_job_spec){0};
	ck_assert_int_eq(gmig_bind(rig.gmig, &bind, &next, &err), 0);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), 0);
	ck_assert_uint_eq(rest.to_count, 2);
	ck_assert_uint_eq(rest.to[0], 2);
	ck_assert_uint_eq(rest.to[1], 3);
	ck_assert_msg(!gmig_job_retry(job, &fast, &next, &err), "%s", err.text);
	gmig_job_wait(next);
	ck_assert_uint_eq(info_of(next).moved_bytes, BYTES);
	ck_assert_str_eq(info_of(next).plan, "policy");
	gmig_job_put(next);
	gmig_job_put(job);
	rig_destroy(&rig);
}
END_TEST

START_TEST(job_whose_memory_is_gone_is_not_taken_up)
{
	struct gmig_job *job, *next;
	struct gmig_job_spec rest;

	create();
	job = start_slow(rig_spec(0, 1));
	cancel(job);
	rig_destroy(&rig);
	ck_assert_int_eq(gmig_job_rest(job, &rest, &err), 0);
	assert_said(gmig_job_retry(job, NULL, &next, &err), -ESRCH, "the memory of job 1 is gone");
	gmig_job_put(job);
}
END_TEST

/* ---- Bad pages that are the kernel's affair ---------------------------------------------------------- */

static int advice_error, node_before, node_after;
static unsigned int advised;

static int advise(void *memory, size_t bytes, int advice)
{
	if (advice != MADV_SOFT_OFFLINE)
		return gmig_sys_real.advise(memory, bytes, advice);
	ck_assert_ptr_eq(memory, rig.gmig->regions[0].hva + 5 * PAGE);
	ck_assert_uint_eq(bytes, PAGE);
	advised++;
	return advice_error;
}

static int query(size_t count, void **pages, int *status)
{
	ck_assert_uint_eq(count, 1);
	ck_assert_ptr_eq(pages[0], rig.gmig->regions[0].hva + 5 * PAGE);
	if (node_before == -EIO)
		return -EIO;
	status[0] = advised ? node_after : node_before;
	return 0;
}

static int retire(bool keep, struct gmig_retired *retired)
{
	const struct gmig_retire_spec spec = {.gpa = 5 * PAGE + 3, .keep = keep};

	advised = 0;
	return gmig_retire(rig.gmig, &spec, retired, &err);
}

static const struct {
	int error, code;
	const char *text;
} offline[] = {
    {-EBUSY, -EBUSY, "page 0x5000: the kernel could not move its content: try again"},
    {-EAGAIN, -EBUSY, "page 0x5000: the kernel could not move its content: try again"},
    {-EIO, -EIO,
     "page 0x5000: it cannot be read: its content is lost, and only who reads it is hurt"},
    {-ENOMEM, -ENOMEM,
     "page 0x5000: there is no memory for another frame on its node, or none is allowed beside "
     "the guest's own"},
    {-EPERM, -EPERM,
     "page 0x5000: only the kernel can take this kind of memory out of use, which needs "
     "CAP_SYS_ADMIN"},
    {-EINVAL, -EINVAL,
     "page 0x5000: only the kernel can take this kind of memory out of use, and this one has no "
     "CONFIG_MEMORY_FAILURE"},
    {-EOPNOTSUPP, -EOPNOTSUPP,
     "page 0x5000: only the kernel can take this kind of memory out of use, and is not to (keep, "
     "or vm.enable_soft_offline)"},
    {-ENXIO, -ENXIO, "page 0x5000: ENXIO"},
};

START_TEST(page_that_only_the_kernel_can_retire_is_its_to_move)
{
	struct gmig_options options = {.plain = true};
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_topology *topology;
	struct gmig_retired retired;
	struct gmig_stats stats;
	void *ram;

	memset(&rig, 0, sizeof(rig));
	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	sys.advise = advise;
	sys.query_nodes = query;
	options.topology = topology;
	options.sys = &sys;
	ck_assert_int_eq(gmig_create(&options, &rig.gmig, &err), 0);
	ck_assert_int_eq(gmig_region_add(rig.gmig, &spec, &ram, &err), 0);
	/* What is not there is not made, and what is to be kept is not given away. */
	node_before = -ENOENT;
	assert_said(retire(false, &retired), -ENOENT,
		    "page 0x5000: it lies in no frame of its own: never touched, given back, in "
		    "swap, or broken already");
	node_before = -EIO;
	ck_assert_int_eq(retire(false, &retired), -EIO);
	node_before = 1;
	assert_said(retire(true, &retired), -EOPNOTSUPP, offline[6].text);
	ck_assert_uint_eq(advised, 0);
	for (size_t i = 0; i < sizeof(offline) / sizeof(offline[0]); i++) {
		advice_error = offline[i].error;
		assert_said(retire(false, &retired), offline[i].code, offline[i].text);
		ck_assert_uint_eq(advised, 1);
	}
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.offlined_bytes, 0);
	advice_error = 0;
	node_after = 3;
	ck_assert_int_eq(retire(false, &retired), 0);
	ck_assert_uint_eq(retired.node, 3);
	ck_assert_uint_eq(retired.gpa, 5 * PAGE);
	ck_assert(!retired.huge && !retired.thp_split && !retired.offline);
	node_after = -ENOENT;
	ck_assert_int_eq(retire(false, &retired), 0);
	ck_assert_uint_eq(retired.node, 0);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.offlined_bytes, 2 * PAGE);
	gmig_destroy(rig.gmig);
	gmig_topology_put(topology);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("take_up");
	TCase *tcase = tcase_create("take_up");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, rest_of_a_job_is_known_once_it_has_ended);
	tcase_add_test(tcase, map_that_sends_pages_on_is_taken_up_only_if_it_sent_none);
	tcase_add_loop_test(tcase, part_that_remains_is_no_more_than_what_remained, 0, 2);
	tcase_add_test(tcase, policy_is_taken_up_with_the_nodes_that_it_has_now);
	tcase_add_test(tcase, job_whose_memory_is_gone_is_not_taken_up);
	tcase_add_test(tcase, page_that_only_the_kernel_can_retire_is_its_to_move);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

/* Regions: added, added again after a failure, and where their new memory goes. */
#include "../../migrate/core/topology.h"
#include "../../migrate/jobs/job_list.h"
#include "host_tree.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define BYTES (8ull << 20)

static struct rig rig;

/* ---- Adding ------------------------------------------------------------------------------------ */

/* The call with this number fails; 0: none does. Counted only while `counting`. */
static struct {
	atomic_bool counting;
	atomic_int calls, fails;
} nth;

static bool is_nth(void)
{
	return atomic_load(&nth.counting) &&
	       atomic_fetch_add(&nth.calls, 1) + 1 == atomic_load(&nth.fails);
}

static int map_nth(size_t bytes, int protection, void *fixed, void **out)
{
	return is_nth() ? -ENOMEM : gmig_sys_real.map(bytes, protection, fixed, out);
}

static int advise_nth(void *memory, size_t bytes, int advice)
{
	return is_nth() ? -ENOMEM : gmig_sys_real.advise(memory, bytes, advice);
}

static int prefer_nth(void *memory, size_t bytes, int node)
{
	return is_nth() ? -ENOMEM : gmig_sys_real.prefer_node(memory, bytes, node);
}

static int userfaultfd_nth(void)
{
	return is_nth() ? -ENFILE : gmig_sys_real.userfaultfd();
}

static int ioctl_nth(int fd, unsigned long request, void *arg)
{
	if ((request == UFFDIO_API || request == UFFDIO_REGISTER) && is_nth())
		return -ENOMEM;
	return gmig_sys_real.ioctl(fd, request, arg);
}

static const struct gmig_sys *sys_nth(void)
{
	static struct gmig_sys sys;

	sys = gmig_sys_real;
	sys.map = map_nth;
	sys.advise = advise_nth;
	sys.prefer_node = prefer_nth;
	sys.userfaultfd = userfaultfd_nth;
	sys.ioctl = ioctl_nth;
	return &sys;
}

/* Of another vnode, so that all of the way is walked: descriptor, fault thread, table. */
static int add_second(int fails, void **ram)
{
	const struct gmig_region_spec spec = {.vnode = 1, .gpa = BYTES, .bytes = BYTES};
	struct gmig_error err = {0};
	int ret;

	atomic_store(&nth.calls, 0);
	atomic_store(&nth.fails, fails);
	atomic_store(&nth.counting, true);
	ret = gmig_region_add(rig.gmig, &spec, ram, &err);
	atomic_store(&nth.counting, false);
	ck_assert_int_eq(ret, err.code);
	return ret;
}

START_TEST(region_that_could_not_be_added_can_be_added_again)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .sys = sys_nth()};
	int refused = 0, fails = 1;
	struct gmig_job_spec spec = rig_spec(0, 1);
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_job_info info;
	void *ram;

	/* All calls up to the one behind the last; what fails and does not matter adds a region. */
	for (bool more = true; more; fails++) {
		rig_create(&rig, &options);
		if (add_second(fails, &ram)) {
			refused++;
			ck_assert_int_eq(gmig_residency(rig.gmig, 1, bytes), -EINVAL);
			ck_assert_int_eq(add_second(0, &ram), 0);
		}
		more = atomic_load(&nth.calls) >= fails;
		memset(ram, 1, BYTES);
		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.moved_bytes, 2 * BYTES);
		for (uint64_t at = 0; at < BYTES; at += 512)
			ck_assert_int_eq(((volatile uint8_t *)ram)[at], 1);
		rig_assert_clean(&rig);
		rig_destroy(&rig);
	}
	ck_assert_int_ge(refused, 5); /* map twice, DONTFORK, mbind, userfaultfd, API, REGISTER */
}
END_TEST

/* ---- Faults on it ------------------------------------------------------------------------------ */

static struct {
	unsigned int opened, registered;
	struct uffdio_register last;
	int open_error, register_error;
} guards;

static int userfaultfd_noted(void)
{
	guards.opened++;
	return guards.open_error ? guards.open_error : gmig_sys_real.userfaultfd();
}

static int ioctl_noted(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_REGISTER) {
		guards.registered++;
		guards.last = *(struct uffdio_register *)arg;
		if (guards.register_error)
			return guards.register_error;
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static int add_to(unsigned int vnode, uint64_t gpa, struct gmig_error *err)
{
	const struct gmig_region_spec spec = {.vnode = vnode, .gpa = gpa, .bytes = BYTES};
	void *ram;
	int ret = gmig_region_add(rig.gmig, &spec, &ram, err);

	if (!ret) {
		ck_assert_uint_eq(guards.last.range.start, (uintptr_t)ram);
		ck_assert_uint_eq(guards.last.range.len, BYTES);
		ck_assert_uint_eq(guards.last.mode,
				  UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	}
	return ret;
}

START_TEST(vnode_has_one_descriptor_and_one_thread_for_all_of_its_regions)
{
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_error err = {0};
	const struct fault *fault;
	int uffd;

	sys.userfaultfd = userfaultfd_noted;
	sys.ioctl = ioctl_noted;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .untouched = true, .sys = &sys});
	fault = rig.gmig->vnodes[0].fault;
	uffd = rig.gmig->vnodes[0].uffd;
	memset(&guards, 0, sizeof(guards)); /* the probe has had one */
	ck_assert_int_eq(add_to(0, BYTES, &err), 0);
	ck_assert_uint_eq(guards.opened, 0);
	ck_assert_uint_eq(guards.registered, 1);
	ck_assert_ptr_eq(rig.gmig->vnodes[0].fault, fault);
	ck_assert_int_eq(rig.gmig->vnodes[0].uffd, uffd);
	ck_assert_int_eq(add_to(1, 2 * BYTES, &err), 0);
	ck_assert_uint_eq(guards.opened, 1);
	ck_assert_uint_eq(guards.registered, 2);
	ck_assert_int_ge(rig.gmig->vnodes[1].uffd, 0);
	ck_assert_int_ne(rig.gmig->vnodes[1].uffd, uffd);
	ck_assert_ptr_ne(rig.gmig->vnodes[1].fault, fault);
	guards.open_error = -ENFILE;
	ck_assert_int_eq(add_to(2, 3 * BYTES, &err), -ENFILE);
	ck_assert_str_eq(err.text, "cannot open a userfaultfd: ENFILE");
	ck_assert_int_lt(rig.gmig->vnodes[2].uffd, 0);
	ck_assert_uint_eq(guards.registered, 2);
	guards.open_error = 0;
	guards.register_error = -ENOMEM;
	ck_assert_int_eq(add_to(2, 3 * BYTES, &err), -ENOMEM);
	ck_assert_str_eq(err.text, "cannot register the region with userfaultfd: ENOMEM");
	ck_assert_ptr_null(rig.gmig->vnodes[2].fault);
	rig_destroy(&rig);
}
END_TEST

/* ---- Where new memory goes --------------------------------------------------------------------- */

static unsigned int preferred(void)
{
	return atomic_load(&rig.gmig->regions[0].preferred_node);
}

/* A job that stands in its own line, and moves nothing before it is told to end. */
static struct gmig_job *start_paused(unsigned int from, unsigned int to)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	bool waits = false;
	struct gmig_error err = {0};
	struct gmig_job *job;

	spec.rate_bytes_per_second = 1;
	ck_assert_msg(gmig_job_start(rig.gmig, &spec, &job, &err) == 0, "%s", err.text);
	while (!waits) {
		sched_yield();
		pthread_mutex_lock(&job->lock);
		waits = job->rate.line != NULL;
		pthread_mutex_unlock(&job->lock);
	}
	ck_assert_int_eq(gmig_job_pause(job), 0);
	return job;
}

static void end(struct gmig_job *job, bool cancel)
{
	struct gmig_job_info info;

	if (cancel) {
		ck_assert_int_eq(gmig_job_cancel(job), 0);
	} else {
		ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
		ck_assert_int_eq(gmig_job_resume(job), 0);
	}
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, cancel ? GMIG_JOB_CANCELLED : GMIG_JOB_COMPLETED);
	gmig_job_put(job);
}

/*
 * Job A from 0 to 1, then job B from 0 to `b_to`; `first` of them ends, then the other. What lies on node 0 is left to B, which
 * was accepted last, unless both have the same goal.
 */
static const struct order {
	unsigned int b_to;
	bool a_first, cancel_first, cancel_last;
	unsigned int between, after;
} orders[] = {
    {1, true, true, false, 1, 1},   {1, true, true, true, 1, 0},   {1, true, false, false, 1, 1},
    {1, true, false, true, 1, 1},   {1, false, true, false, 1, 1}, {1, false, true, true, 1, 0},
    {1, false, false, false, 1, 1}, {2, true, true, false, 2, 2},  {2, true, true, true, 2, 0},
    {2, true, false, true, 2, 0},   {2, true, false, false, 2, 2}, {2, false, true, false, 1, 1},
    {2, false, true, true, 1, 0},   {2, false, false, true, 2, 2}, {2, false, false, false, 2, 2},
};

START_TEST(preferred_node_after_two_jobs_is_where_the_memory_went)
{
	const struct order *order = &orders[_i];
	struct gmig_job *a, *b;

	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .nodes = 3});
	a = start_paused(0, 1);
	ck_assert_uint_eq(preferred(), 1);
	b = start_paused(0, order->b_to);
	ck_assert_uint_eq(preferred(), order->b_to);
	end(order->a_first ? a : b, order->cancel_first);
	ck_assert_uint_eq(preferred(), order->between);
	end(order->a_first ? b : a, order->cancel_last);
	ck_assert_uint_eq(preferred(), order->after);
	ck_assert_ptr_null(rig.gmig->regions[0].preferences);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Which node a job's memory may not be bound to, and what mbind(2) says. */
static struct {
	atomic_int node, error;
	void (*happens)(void); /* before the answer */
} refused;

/* A node of this machine has to stand for all of them. Only the second region is refused. */
static int prefer_refused(void *memory, size_t bytes, int node)
{
	if (rig.gmig && atomic_load(&rig.gmig->region_count) == 2 &&
	    memory == rig.gmig->regions[1].hva && node == atomic_load(&refused.node)) {
		if (refused.happens)
			refused.happens();
		return atomic_load(&refused.error);
	}
	return gmig_sys_real.prefer_node(memory, bytes, 0);
}

/* All that the engine makes lies on node 0, and the kernel says so. */
static int query_first(size_t count, void **pages, int *status)
{
	int ret = gmig_sys_real.query_nodes(count, pages, status);

	for (size_t i = 0; i < count && !ret; i++)
		status[i] = status[i] < 0 ? status[i] : 0;
	return ret;
}

static const struct tree_node host[] = {{0, 4096, 2048, "0-1", "10 20 20"},
					{1, 4096, 2048, "2-3", "20 10 20"},
					{2, 4096, 2048, "4-5", "20 20 10"}};

static void node_2_goes(void)
{
	static const struct tree_node left[] = {{0, 4096, 2048, "0-1", "10 20"},
						{1, 4096, 2048, "2-3", "20 10"}};

	tree_nodes("0-2", left, 2);
}

static void cpuset_shrinks(void)
{
	tree_cpuset("0-1");
}

/* A host of three nodes, in files; two regions of one vnode, the first block of each touched. */
static void start_on_host(const struct gmig_sys *sys, uint8_t **ram)
{
	struct gmig_options options = {
	    .unsafe_kernel = true, .sys = sys, .fatal = NULL, .opaque = &rig};
	struct gmig_error err = {0};
	void *hva;

	memset(&rig, 0, sizeof(rig));
	tree_create();
	tree_nodes("0-2", host, 3);
	tree_cpuset("0-2");
	ck_assert_msg(!topology_create_at(tree_root, 0, &rig.topology, &err), "%s", err.text);
	options.topology = rig.topology;
	ck_assert_msg(!gmig_create(&options, &rig.gmig, &err), "%s", err.text);
	for (unsigned int i = 0; i < 2; i++) {
		const struct gmig_region_spec spec = {.gpa = i * BYTES, .bytes = BYTES};

		ck_assert_msg(!gmig_region_add(rig.gmig, &spec, &hva, &err), "%s", err.text);
		ram[i] = hva;
		ram[i][0] = 1;
	}
	rig_settle(&rig);
}

static const struct refusal {
	int says;
	void (*happens)(void);
	int code;
	const char *text;
} refusals[] = {
    {-EPERM, NULL, -EPERM, "seccomp"},
    {-EINVAL, NULL, -EACCES, "cpuset"},
    {-EINVAL, cpuset_shrinks, -EACCES, "outside the cpuset, which allows memory on 0-1 only"},
    {-EINVAL, node_2_goes, -ENODEV, "node 2 is offline"},
    {-ENOMEM, NULL, -ENOMEM, "mbind"},
};

START_TEST(job_to_a_node_that_mbind_refuses_fails_at_once_and_changes_nothing)
{
	const struct refusal *refusal = &refusals[_i];
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_job_spec spec = rig_spec(0, 2);
	struct gmig_job_info info;
	struct gmig_stats stats;
	uint8_t *ram[2];

	sys.prefer_node = prefer_refused;
	sys.query_nodes = query_first;
	start_on_host(&sys, ram);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(rig.gmig->thp ? stats.page_bytes_2m : stats.page_bytes_4k,
			  2 * GMIG_BLOCK_BYTES);
	refused.happens = refusal->happens;
	atomic_store(&refused.error, refusal->says);
	atomic_store(&refused.node, 2);
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert_int_eq(info.error.code, refusal->code);
	ck_assert_msg(strstr(info.error.text, refusal->text), "%s", info.error.text);
	ck_assert_uint_eq(info.passes, 0);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.bytes_on_source, 2 * GMIG_BLOCK_BYTES);
	for (unsigned int i = 0; i < 2; i++) {
		const struct region *region = &rig.gmig->regions[i];

		ck_assert_uint_eq(atomic_load(&region->preferred_node), 0);
		ck_assert_ptr_null(region->preferences);
		/* What is touched now is as good as before. */
		ram[i][GMIG_BLOCK_BYTES] = 1;
	}
	rig_settle(&rig);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, rig.gmig->thp ? 4 * GMIG_BLOCK_BYTES : 0);
	ck_assert_uint_eq(stats.page_bytes_4k, rig.gmig->thp ? 0 : 4 * GMIG_BLOCK_BYTES);
	gmig_destroy(rig.gmig);
	gmig_topology_put(rig.topology);
	tree_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("region");
	TCase *tcase = tcase_create("region");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, region_that_could_not_be_added_can_be_added_again, 0, 2);
	tcase_add_test(tcase, vnode_has_one_descriptor_and_one_thread_for_all_of_its_regions);
	tcase_add_loop_test(tcase, preferred_node_after_two_jobs_is_where_the_memory_went, 0,
			    sizeof(orders) / sizeof(orders[0]));
	tcase_add_loop_test(tcase,
			    job_to_a_node_that_mbind_refuses_fails_at_once_and_changes_nothing, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

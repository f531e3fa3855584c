/*
 * Guests on private memory of hugetlbfs. Cases with nodes run twice: on pages of the machine's own pool, and on small pages in
 * their place, for hosts whose pool is empty; which node a page is on is a table's say.
 */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_repair.h"
#include "../support/hugetlb_host.h"
#include "../support/rig.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>

static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static char said[256]; /* guarded by said_lock */

/* ---- The guest --------------------------------------------------------------------------------- */

static void note(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque;
	pthread_mutex_lock(&said_lock);
	if (level <= GMIG_LOG_WARNING)
		snprintf(said, sizeof(said), "%s", text);
	pthread_mutex_unlock(&said_lock);
}

static void assert_said(const char *words)
{
	pthread_mutex_lock(&said_lock);
	ck_assert_msg(strstr(said, words), "%s", said);
	pthread_mutex_unlock(&said_lock);
}

static void start(int what, int first, int second)
{
	pools_of(what, first, second);
	start_with(&(struct gmig_options){.sys = &sys, .log = note}, GMIG_REGION_HUGETLB);
	publish();
}

/* ---- First touches ----------------------------------------------------------------------------- */

START_TEST(first_touch_takes_one_whole_page_of_the_preferred_node)
{
	struct gmig_stats stats;

	start(_i, 8, 8);
	touch(1);
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_2m, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(stats.page_bytes_hugetlb_2m, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(stats.page_bytes_4k, 0);
	ck_assert_int_eq(ram[2 * GMIG_BLOCK_BYTES - 1], 0);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 7);
	ck_assert_int_eq(bound_node, -1);
	assert_clean();
	end();
}
END_TEST

START_TEST(first_touch_without_a_page_on_its_node_takes_one_of_the_next)
{
	start(_i, 1, 8);
	touch_all();
	ck_assert_uint_eq(resident(0), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), BYTES - GMIG_BLOCK_BYTES);
	assert_content();
	assert_clean();
	end();
}
END_TEST

static void *touch_first(void *arg)
{
	(void)arg;
	ram[0] = 1;
	return NULL;
}

START_TEST(first_touch_without_any_page_sleeps_until_there_is_one)
{
	struct gmig_stats stats;
	pthread_t toucher;

	start(_i, 0, 0);
	ck_assert_int_eq(pthread_create(&toucher, NULL, touch_first, NULL), 0);
	while (atomic_load(&fills) < 4)
		sched_yield();
	ck_assert_uint_eq(resident(0) + resident(1), 0);
	assert_said("event=first-touch");
	engine_settle_faults(gmig, 0);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.starved_pages, 1);
	atomic_store(&pool_free[1], 1);
	ck_assert_int_eq(pthread_join(toucher, NULL), 0);
	engine_settle_faults(gmig, 0);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.starved_pages, 0);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	assert_clean();
	end();
}
END_TEST

START_TEST(populate_fills_from_the_region_s_node_or_says_which_has_too_few)
{
	const struct gmig_populate how = {.threads = 2};

	start(_i, BLOCKS, 8);
	ck_assert_msg(!gmig_populate(gmig, &how, &err), "%s", err.text);
	ck_assert_uint_eq(resident(0), BYTES);
	ck_assert_int_eq(bound_node, -1);
	assert_clean();
	end();
	start(_i, BLOCKS - 1, 8);
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "host node 0"), "%s", err.text);
	ck_assert_uint_eq(resident(1), 0);
	assert_clean();
	end();
}
END_TEST

START_TEST(range_s_policy_is_kept_page_by_page_and_no_page_is_divided)
{
	struct gmig_bind_spec bind = {.bytes = BYTES, .policy = {.mode = GMIG_POLICY_INTERLEAVE}};
	struct gmig_job_info info;
	struct gmig_job *job;

	gmig_node_set_add(&bind.policy.nodes, 0);
	gmig_node_set_add(&bind.policy.nodes, 1);
	start(_i, 8, 8);
	ck_assert_msg(!gmig_bind(gmig, &bind, &job, &err), "%s", err.text);
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES / 2);
	for (unsigned int i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(atomic_load(&page_node[i * GMIG_BLOCK_PAGES]), (int)i % 2);
	bind.bytes = GMIG_BLOCK_BYTES + GMIG_PAGE_BYTES;
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, "2 MiB"), "%s", err.text);
	bind.bytes = BYTES;
	bind.policy.mode = GMIG_POLICY_BIND;
	gmig_node_set_remove(&bind.policy.nodes, 0);
	bind.flags = GMIG_BIND_MOVE;
	ck_assert_msg(!gmig_bind(gmig, &bind, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_uint_eq(info.moved_bytes, BYTES / 2);
	ck_assert_uint_eq(resident(1), BYTES);
	assert_content();
	assert_clean();
	end();
}
END_TEST

/* ---- Moves ------------------------------------------------------------------------------------- */

START_TEST(page_moves_whole_to_the_node_and_back)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	info = migrate(0, 1);
	ck_assert_str_eq(info.spec.mover, "hugetlb");
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes + info.bytes_on_source + info.thp_split, 0);
	ck_assert_uint_eq(info.blackout_read.count, BLOCKS);
	ck_assert_uint_eq(info.rounds_block, 0);
	ck_assert_uint_eq(resident(1), BYTES);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 8);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8 - (int)BLOCKS);
	assert_content();
	info = migrate(1, 0);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(resident(0), BYTES);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(new_memory_follows_a_migration)
{
	start(_i, 8, 8);
	touch(0);
	migrate(0, 1);
	touch(1);
	ck_assert_uint_eq(resident(1), 2 * GMIG_BLOCK_BYTES);
	end();
}
END_TEST

START_TEST(page_of_a_huge_page_takes_all_of_it_along)
{
	const uint64_t gpas[] = {5 * GMIG_PAGE_BYTES};
	const int nodes[] = {1};
	int status[] = {-1};
	const struct gmig_pages pages = {
	    .count = 1, .gpas = gpas, .nodes = nodes, .status = status};

	start(_i, 8, 8);
	touch_all();
	ck_assert_int_eq(gmig_move_pages(gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_uint_eq(resident(1), GMIG_BLOCK_BYTES);
	assert_clean();
	end();
}
END_TEST

START_TEST(target_without_a_free_page_gets_nothing_and_nothing_is_closed)
{
	struct gmig_job_info info;

	start(_i, 8, 1);
	touch_all();
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.remaining[0].pages, PAGES - GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(atomic_load(&protects), 1);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(page_that_was_thrown_away_is_gone_and_comes_again)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	ck_assert_int_eq(madvise((void *)ram, GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(resident(1), BYTES - GMIG_BLOCK_BYTES);
	ck_assert_int_eq(ram[0], 0);
	engine_settle_faults(gmig, 0);
	ck_assert_uint_eq(resident(1), BYTES);
	/* So does one that was moved before: it is registered again. */
	ck_assert_int_eq(madvise((void *)(ram + GMIG_BLOCK_BYTES), GMIG_BLOCK_BYTES, MADV_DONTNEED),
			 0);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 0);
	engine_settle_faults(gmig, 0);
	ck_assert_uint_eq(atomic_load(&fills), BLOCKS + 2);
	end();
}
END_TEST

/* What is given back after it has moved is still promised to the guest; not where a promise makes the kernel make pages. */
START_TEST(page_that_moves_is_reserved_for_its_place)
{
	struct gmig_job_info info;

	start(STAND_IN, 8, 8);
	touch_all();
	atomic_store(&pool_grows, _i);
	atomic_store(&page_reserved, _i);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_int_eq(atomic_load(&page_reserved), !_i);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(page_whose_exchange_fails_stays_and_can_be_written)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	atomic_store(&remap_fails, 1000);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	touch_all();
	assert_content();
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8);
	assert_clean();
	end();
}
END_TEST

/* None of it by us. */
static void move_by_the_kernel(const char *why)
{
	struct gmig_job_info info = migrate(0, 1);

	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(atomic_load(&remaps), 0);
	ck_assert_uint_eq(info.call.count, BLOCKS);
	assert_said(why);
	assert_content();
}

START_TEST(process_with_too_many_mappings_leaves_the_rest_to_the_kernel)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	atomic_store(&map_limit_told, 8192);
	move_by_the_kernel("max_map_count");
	/* And none of its pages when it has none. */
	atomic_store(&pool_free[0], 1);
	info = migrate(1, 0);
	ck_assert_uint_eq(info.moved_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	assert_clean();
	end();
}
END_TEST

START_TEST(cgroup_that_allows_no_page_more_leaves_the_moves_to_the_kernel)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	atomic_store(&group_bytes, 0);
	move_by_the_kernel(
	    "hugetlb limit of cgroup /sys/fs/cgroup/vm is reached: move_pages(2) moves");
	atomic_store(&group_bytes, UINT64_MAX);
	info = migrate(1, 0);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(atomic_load(&remaps), BLOCKS);
	assert_clean();
	end();
}
END_TEST

/* Its limit is no lack of pages on the node, of which the job would say ENOMEM. */
START_TEST(cgroup_that_cannot_be_looked_at_is_no_node_without_pages)
{
	start(_i, 8, 8);
	touch_all();
	atomic_store(&group_bytes, 0);
	atomic_store(&group_unread, 2 * BLOCKS);
	move_by_the_kernel(
	    "hugetlb limit of cgroup /sys/fs/cgroup/vm is reached: move_pages(2) moves");
	assert_clean();
	end();
}
END_TEST

START_TEST(block_that_a_device_transfers_to_stays)
{
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	ck_assert_int_eq(gmig_dma_begin(gmig, (void *)ram, 512), 0);
	info = migrate(0, 1);
	gmig_dma_end(gmig, (void *)ram, 512);
	ck_assert_uint_eq(info.moved_bytes, BYTES - GMIG_BLOCK_BYTES);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 8 - (int)BLOCKS + 1);
	assert_clean();
	end();
}
END_TEST

START_TEST(kernel_moves_it_when_it_is_told_to)
{
	struct gmig_job_spec spec = spec_of(0, 1);
	struct gmig_job_info info;

	start(_i, 8, 8);
	touch_all();
	spec.mover = "kernel";
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.thp_split, 0);
	ck_assert_uint_eq(resident(1), BYTES);
	assert_clean();
	end();
}
END_TEST

struct refused {
	struct gmig_job_spec spec;
	const char *word;
};

static const struct refused refused[] = {
    {{.huge = GMIG_HUGE_SPLIT}, "cannot be split"},
    {{.batch_pages = 64}, "batches"},
    {{.hold_vcpus = true}, "vCPUs"},
    {{.frames = GMIG_FRAMES_RECYCLED}, "fresh"},
    {{.mode = GMIG_MODE_BLOCK}, "mode block"},
    {{.mover = "uffd"}, "use hugetlb or kernel"},
};

START_TEST(what_hugetlbfs_cannot_do_is_refused_in_words)
{
	struct gmig_job_spec spec = refused[_i].spec;
	struct gmig_job *job;

	start(STAND_IN, 8, 8);
	spec.from_count = spec.to_count = 1;
	spec.to[0] = 1;
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, refused[_i].word), "%s", err.text);
	end();
}
END_TEST

/* ---- What is wrong ----------------------------------------------------------------------------- */

static int refuse_policy(const struct thread_policy *policy)
{
	(void)policy;
	return -EPERM;
}

START_TEST(region_that_cannot_be_had_says_why)
{
	const struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = BYTES, .kind = GMIG_REGION_HUGETLB};
	void *hva;

	start(STAND_IN, 8, 8);
	atomic_store(&pool_is_exhausted, true);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "vm.nr_hugepages"), "%s", err.text);
	atomic_store(&pool_is_exhausted, false);
	/* Of what the first region may still take, too. */
	atomic_store(&group_bytes, 2 * BYTES - 1);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "hugetlb limit of cgroup /sys/fs/cgroup/vm leaves"), "%s",
		      err.text);
	touch(0);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 7);
	sys.set_thread_policy = refuse_policy;
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EPERM);
	ck_assert_msg(strstr(err.text, "set_mempolicy"), "%s", err.text);
	sys.set_thread_policy = take_policy;
	/* One block of it is there. */
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), 0);
	end();
}
END_TEST

START_TEST(block_that_was_left_protected_is_opened_as_a_whole)
{
	struct uffdio_writeprotect protect = {.mode = UFFDIO_WRITEPROTECT_MODE_WP};
	struct gmig_repair repair;
	uint64_t id = 0;

	start(_i, 8, 8);
	touch_all();
	protect.range.start = (uintptr_t)ram;
	protect.range.len = GMIG_BLOCK_BYTES;
	ck_assert_int_eq(ioctl(gmig->vnodes[0].uffd, UFFDIO_WRITEPROTECT, &protect), 0);
	do {
		ck_assert_msg(!gmig_repair(gmig, &id, 1000000000, &repair, &err), "%s", err.text);
	} while (!repair.done);
	ck_assert(repair.ok && repair.check.breach[2]);
	ck_assert_uint_eq(repair.corrected[GMIG_DIFFERS_PROTECTED], GMIG_BLOCK_PAGES);
	/* Or by whoever writes there. */
	ck_assert_int_eq(ioctl(gmig->vnodes[0].uffd, UFFDIO_WRITEPROTECT, &protect), 0);
	ram[GMIG_PAGE_BYTES + 1] = 1;
	engine_settle_faults(gmig, 0);
	assert_clean();
	end();
}
END_TEST

/* ---- Fake nodes -------------------------------------------------------------------------------- */

static struct rig rig;

/* Its nodes are not the table's. */
static void fake_guest(int what)
{
	pools_of(what, 0, 0);
	sys = gmig_sys_real;
	sys.map_huge = map_table;
	sys.map_limit = tell_map_limit;
	rig_create(&rig,
		   &(struct rig_options){.bytes = BYTES, .kind = GMIG_REGION_HUGETLB, .sys = &sys});
}

START_TEST(guest_that_writes_finds_what_it_wrote_while_it_moves)
{
	struct gmig_job_spec spec;
	struct gmig_job_info info;

	fake_guest(_i);
	rig_start(&rig, 3);
	for (unsigned int i = 0; i < 10; i++) {
		spec = rig_spec(i % 2, 1 - i % 2);
		spec.threads = 2;
		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.remaining_bytes, 0);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(fake_nodes_have_no_kernel_to_leave_the_rest_to)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	fake_guest(STAND_IN);
	atomic_store(&map_limit_told, 8000);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	rig_destroy(&rig);
}
END_TEST

/* ---- The machine's own pool -------------------------------------------------------------------- */

#define POOL   "/proc/sys/vm/nr_hugepages"
#define WANTED (4 * BLOCKS)

static unsigned long pool_count(const char *path)
{
	FILE *text = fopen(path, "re");
	unsigned long count = 0;

	if (text && fscanf(text, "%lu", &count) != 1)
		count = 0;
	if (text)
		fclose(text);
	return count;
}

static bool has_pages(void)
{
	return pool_count("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >=
	       WANTED + pool_count("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages");
}

static void set_pool(int fd, unsigned long count)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%lu", count);

	if (pwrite(fd, text, (size_t)length, 0) != length)
		perror(POOL);
}

/*
 * Leaves the pool as it was once this program has ended, in whichever way: a child of nobody, so that whoever kills this program
 * for the time it takes does not kill it, too. The lock is its own from here on.
 */
static void keep_pool(int fd, unsigned long before)
{
	struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, getpid(), 0), .events = POLLIN};
	pid_t pid = fork();

	if (!pid) {
		if (fork())
			_exit(0);
		setsid();
		while (poll(&ended, 1, -1) < 0 && errno == EINTR)
			;
		set_pool(fd, before);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (ended.fd >= 0)
		close(ended.fd);
}

/* Of several programs that make it larger, one at a time. */
static void enlarge_pool(void)
{
	int fd = open(POOL, O_RDWR | O_CLOEXEC);
	unsigned long before;

	if (fd < 0)
		return;
	/* Before a look: what is there may be another one's, and about to go. */
	flock(fd, LOCK_EX);
	before = pool_count(POOL);
	if (!has_pages()) {
		set_pool(fd, before + WANTED);
		keep_pool(fd, before);
	}
	close(fd);
}

static void add_cases(TCase *tcase, int kinds)
{
	const TTest *const both[] = {
	    first_touch_takes_one_whole_page_of_the_preferred_node,
	    first_touch_without_a_page_on_its_node_takes_one_of_the_next,
	    first_touch_without_any_page_sleeps_until_there_is_one,
	    populate_fills_from_the_region_s_node_or_says_which_has_too_few,
	    range_s_policy_is_kept_page_by_page_and_no_page_is_divided,
	    page_moves_whole_to_the_node_and_back,
	    new_memory_follows_a_migration,
	    page_of_a_huge_page_takes_all_of_it_along,
	    target_without_a_free_page_gets_nothing_and_nothing_is_closed,
	    page_that_was_thrown_away_is_gone_and_comes_again,
	    page_whose_exchange_fails_stays_and_can_be_written,
	    process_with_too_many_mappings_leaves_the_rest_to_the_kernel,
	    cgroup_that_allows_no_page_more_leaves_the_moves_to_the_kernel,
	    cgroup_that_cannot_be_looked_at_is_no_node_without_pages,
	    block_that_a_device_transfers_to_stays,
	    kernel_moves_it_when_it_is_told_to,
	    block_that_was_left_protected_is_opened_as_a_whole,
	    guest_that_writes_finds_what_it_wrote_while_it_moves,
	};

	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
		tcase_add_loop_test(tcase, both[i], 0, kinds);
	tcase_add_loop_test(tcase, what_hugetlbfs_cannot_do_is_refused_in_words, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_loop_test(tcase, page_that_moves_is_reserved_for_its_place, 0, 2);
	tcase_add_test(tcase, region_that_cannot_be_had_says_why);
	tcase_add_test(tcase, fake_nodes_have_no_kernel_to_leave_the_rest_to);
}

int main(void)
{
	struct gmig_features features;
	TCase *tcase;
	Suite *suite;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	enlarge_pool();
	if (!has_pages())
		printf("skip hugetlb on pages of the pool - it has fewer than %llu free ones "
		       "(vm.nr_hugepages)\n",
		       WANTED);
	suite = suite_create("hugetlb");
	tcase = tcase_create("hugetlb");
	tcase_set_timeout(tcase, 60);
	add_cases(tcase, has_pages() ? BOTH : HUGETLB);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}

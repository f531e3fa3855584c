/*
 * A guest in a memory cgroup that is almost full: what a migration needs beside the guest must fit, or be
 * done without. Nobody is killed, nothing is lost.
 */
#include "memory_group.h"
#include "rig.h"

#include <sys/wait.h>

#define BYTES (64ull << 20)
#define MIB   (1ull << 20)

/* The thread sanitizer needs several times the memory that it watches: no limit can be set then. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITHOUT_GROUP true
#endif
#endif
#ifndef WITHOUT_GROUP
#define WITHOUT_GROUP false
#endif

/* A sanitizer that reads its shadow memory takes a page for each that it has not written, where the kernel has no shared zero page. */
#ifdef GMIG_SANITIZED
#define fits_or_skip()                                                                             \
	(has_zero_page() ||                                                                        \
	 skip_case("a sanitizer takes too much memory without a shared zero page"))
#else
#define fits_or_skip() true
#endif

static struct memory_group group;

struct cell {
	unsigned int threads, jobs, writers;
	bool small;
	unsigned long long room_bytes;
	bool all; /* all is expected to move */
};

static const struct cell cells[] = {
    {1, 1, 2, false, 8 * MIB, true},   {16, 1, 2, false, 8 * MIB, true},
    {1, 1, 2, true, 8 * MIB, true},    {16, 1, 2, true, 8 * MIB, true},
    {16, 4, 2, false, 16 * MIB, true},
#ifndef GMIG_SANITIZED /* a sanitizer takes more itself */
    {1, 1, 2, false, 1 * MIB, false},  {4, 1, 2, true, 1 * MIB, false},
#endif
};

/* In the child: exit status 0, or the number of what was not as it should be. */
static void guest_run(const struct cell *cell)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = cell->small};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job *jobs[4];
	struct gmig_job_info info;
	struct gmig_error err;
	uint64_t bytes[GMIG_MAX_NODES];
	struct rig rig;

	if (!group_enter(&group))
		_exit(10);
	rig_create(&rig, &options);
	rig_start(&rig, cell->writers);
	if (!group_limit(&group, cell->room_bytes))
		_exit(11);
	spec.threads = cell->threads;
	spec.frames = GMIG_FRAMES_FRESH;
	for (unsigned int i = 0; i < cell->jobs; i++)
		if (gmig_job_start(rig.gmig, &spec, &jobs[i], &err))
			_exit(12);
	for (unsigned int i = 0; i < cell->jobs; i++) {
		gmig_job_wait(jobs[i]);
		gmig_job_info(jobs[i], &info);
		gmig_job_put(jobs[i]);
		if (info.state != GMIG_JOB_COMPLETED)
			_exit(13);
		for (unsigned int k = 0; k < info.remaining_count; k++)
			if (info.remaining[k].error != ENOMEM && cell->jobs == 1)
				_exit(14);
	}
	gmig_residency(rig.gmig, 0, bytes);
	if (cell->all && bytes[1] != BYTES)
		_exit(15);
	if (!cell->all && bytes[0] + bytes[1] != BYTES)
		_exit(16);
	if (rig_stop(&rig) || rig_check_all(&rig))
		_exit(17);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
	_exit(0);
}

START_TEST(migration_in_a_full_memory_cgroup_kills_nobody)
{
	const struct cell *cell = &cells[_i];
	int status;
	pid_t pid;

	if (!fits_or_skip())
		return;
	ck_assert(group_make(&group));
	pid = fork();
	if (!pid)
		guest_run(cell);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	group_remove(&group);
	ck_assert_msg(!WIFSIGNALED(status), "killed by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* ---- Many at once ------------------------------------------------------------------------------ */

#define VNODES	    16
#define VNODE_BYTES (8ull << 20)
#define VNODE_PAGES (VNODE_BYTES / GMIG_PAGE_BYTES)
#define ALL_JOBS    4
#define ROUNDS	    6
#define WRITERS	    4
#define BATCH_BYTES (16ull << 20)

/* Word 0 of each page counts, word 1 is its negative. */
struct many {
	struct gmig *gmig;
	_Atomic uint64_t *ram[VNODES];
	atomic_bool stop;
	atomic_ullong errors;
};

struct writer {
	struct many *many;
	unsigned int index;
	pthread_t thread;
};

static void *write_all(void *arg)
{
	struct writer *writer = arg;
	struct many *many = writer->many;

	while (!atomic_load(&many->stop))
		for (unsigned int v = writer->index; v < VNODES; v += WRITERS)
			for (uint64_t page = 0; page < VNODE_PAGES; page++) {
				_Atomic uint64_t *words = many->ram[v] + page * RIG_WORDS;
				uint64_t value =
				    atomic_load_explicit(&words[0], memory_order_relaxed);

				if (atomic_load_explicit(&words[1], memory_order_relaxed) != ~value)
					atomic_fetch_add(&many->errors, 1);
				atomic_store_explicit(&words[0], value + 1, memory_order_relaxed);
				atomic_store_explicit(&words[1], ~(value + 1),
						      memory_order_relaxed);
			}
	return NULL;
}

static void many_create(struct many *many, const struct gmig_options *options)
{
	struct gmig_error err;

	ck_assert_msg(!gmig_create(options, &many->gmig, &err), "%s", err.text);
	for (unsigned int v = 0; v < VNODES; v++) {
		struct gmig_region_spec spec = {
		    .vnode = v, .host_node = v % 2, .gpa = v * VNODE_BYTES, .bytes = VNODE_BYTES};
		void *ram;

		ck_assert_msg(!gmig_region_add(many->gmig, &spec, &ram, &err), "%s", err.text);
		many->ram[v] = ram;
		for (uint64_t page = 0; page < VNODE_PAGES; page++)
			atomic_store_explicit(&many->ram[v][page * RIG_WORDS + 1], ~0ull,
					      memory_order_relaxed);
	}
}

/* Each job swaps the two nodes of a quarter of the vnodes. */
static void many_round(struct many *many, enum gmig_frames frames)
{
	struct gmig_job_spec spec = {.from = {0, 1},
				     .to = {1, 0},
				     .from_count = 2,
				     .to_count = 2,
				     .threads = 16,
				     .frames = frames};
	struct gmig_job *jobs[ALL_JOBS];
	struct gmig_error err;

	for (unsigned int i = 0; i < ALL_JOBS; i++) {
		spec.vnodes = 0x1111ull << i;
		ck_assert_msg(!gmig_job_start(many->gmig, &spec, &jobs[i], &err), "%s", err.text);
	}
	for (unsigned int i = 0; i < ALL_JOBS; i++) {
		struct gmig_job_info info;

		gmig_job_wait(jobs[i]);
		gmig_job_info(jobs[i], &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		gmig_job_put(jobs[i]);
	}
}

static void many_run(void)
{
	struct gmig_options options = {.unsafe_kernel = true, .extra_bytes_max = BATCH_BYTES};
	struct many many = {.gmig = NULL};
	struct writer writers[WRITERS];
	struct gmig_check check;
	struct gmig_error err;

	ck_assert(group_enter(&group));
	ck_assert_int_eq(gmig_topology_create(2, &options.topology, &err), 0);
	many_create(&many, &options);
	for (unsigned int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.many = &many, .index = i};
		ck_assert(!pthread_create(&writers[i].thread, NULL, write_all, &writers[i]));
	}
	if (!WITHOUT_GROUP)
		ck_assert(group_limit(&group, BATCH_BYTES));
	for (int i = 0; i < ROUNDS; i++) {
		many_round(&many, i & 1 ? GMIG_FRAMES_FRESH : GMIG_FRAMES_AUTO);
		ck_assert_int_eq(gmig_check(many.gmig, &check, &err), 0);
		for (unsigned int k = 0; k < GMIG_INVARIANTS; k++)
			ck_assert_msg(!check.breach[k], "I%u: %s", k + 1, check.detail[k]);
	}
	atomic_store(&many.stop, true);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	ck_assert_uint_eq(atomic_load(&many.errors), 0);
	gmig_destroy(many.gmig);
	gmig_topology_put(options.topology);
}

START_TEST(many_jobs_threads_and_vnodes_in_a_full_memory_cgroup_lose_nothing)
{
	int status;
	pid_t pid;

	if (!fits_or_skip())
		return;
	ck_assert(group_make(&group));
	pid = fork();
	if (!pid) {
		many_run();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	group_remove(&group);
	ck_assert_msg(!WIFSIGNALED(status), "killed by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase;

	if (!group_make(&group)) {
		printf(
		    "skipped: no memory cgroup can be made here (root, or a delegated cgroup)\n");
		return 77;
	}
	suite = suite_create("limit");
	tcase = tcase_create("cgroup");
	group_remove(&group);
	tcase_set_timeout(tcase, 120);
	if (!WITHOUT_GROUP)
		tcase_add_loop_test(tcase, migration_in_a_full_memory_cgroup_kills_nobody, 0,
				    sizeof(cells) / sizeof(cells[0]));
	tcase_add_test(tcase, many_jobs_threads_and_vnodes_in_a_full_memory_cgroup_lose_nothing);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

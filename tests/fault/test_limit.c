/*
 * A guest in a memory cgroup that is almost full: what a migration needs beside the guest must fit, or be
 * done without. Nobody is killed, nothing is lost.
 */
#include "memory_group.h"
#include "rig.h"

#include <sys/wait.h>

#define BYTES (64ull << 20)
#define MIB   (1ull << 20)

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
    {16, 4, 2, false, 16 * MIB, true}, {1, 1, 2, false, 1 * MIB, false},
    {4, 1, 2, true, 1 * MIB, false},
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

int main(void)
{
	Suite *suite = suite_create("limit");
	TCase *tcase = tcase_create("cgroup");

	if (!group_make(&group)) {
		printf(
		    "skipped: no memory cgroup can be made here (root, or a delegated cgroup)\n");
		return 77;
	}
	group_remove(&group);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, migration_in_a_full_memory_cgroup_kills_nobody, 0,
			    sizeof(cells) / sizeof(cells[0]));
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}

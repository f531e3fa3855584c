/* Moves of a domain's memory, and what becomes of its cpusets: on a fake kernel, in a fake tree. */
#include "../../libvirt-hooks/domain_inside.h"
#include "../../libvirt-hooks/move_journal.h"
#include "domain_books.h"
#include "suite.h"

#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mount.h>

/* ---- Moves ----------------------------------------------------------------------------------- */

static char mems_in_move[64];
static bool journal_in_move;

static void look_in_move(void)
{
	strcpy(mems_in_move, mems("/vcpu0"));
	journal_in_move = has_journal();
}

START_TEST(move_widens_moves_and_narrows_to_one_node)
{
	struct gmig_job_info info;

	open_domain();
	fake_after_move = look_in_move;
	info = run(&to_1);
	wait_ends(1);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.moved_bytes, FAKE_PAGES * FAKE_PAGE_BYTES);
	ck_assert_str_eq(mems_in_move, "0-1");
	ck_assert(journal_in_move);
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(mems("/vcpu0"), "1");
	/* Whoever hears of the end finds it done. */
	ck_assert_str_eq(mems_at_end, "1");
	ck_assert_str_eq(told, "1");
	ck_assert(!has_journal());
	expect_note("");
}
END_TEST

START_TEST(move_of_a_domain_that_nothing_restricts_writes_nothing)
{
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "\n");
	fake_thread(77, "0-3");
	open_domain();
	fake_after_move = look_in_move;
	ck_assert_int_eq(run(&to_1).state, GMIG_JOB_COMPLETED);
	wait_ends(1);
	ck_assert(!journal_in_move);
	ck_assert_str_eq(mems("/emulator"), "");
	ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(move_that_libvirt_does_not_take_over_is_said)
{
	libvirt_says = -EOPNOTSUPP;
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert_str_eq(mems("/emulator"), "1");
	expect_note("virsh numatune says otherwise: strict mode");
}
END_TEST

/* A libvirtd that is restarted in mid-move. */
START_TEST(libvirt_that_did_not_answer_is_told_when_it_does)
{
	libvirt_says = -ENOTCONN;
	open_domain();
	run(&to_1);
	wait_ends(1);
	expect_note("virsh numatune says otherwise");
	domain_set_facts(domain, &facts); /* it is silent still */
	expect_note("virsh numatune says otherwise");
	libvirt_says = 0;
	*told = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "1");
	expect_note("");
	*told = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "");
}
END_TEST

/* When its cpusets are wide already. */
static void start_refused(void)
{
	struct gmig_job_spec spec = to_1;
	struct gmig_job *job;

	spec.to[0] = 2;
	spec.threads = UINT_MAX;
	ck_assert_int_lt(domain_start_job(domain, &spec, &job, &err), 0);
}

static void hear(unsigned int node)
{
	struct gmig_node_set nodes = {{0}};

	gmig_node_set_add(&nodes, node);
	domain_hear_nodeset(domain, &nodes);
}

START_TEST(note_of_libvirts_view_stands_until_libvirt_agrees)
{
	struct gmig_job_spec back = to_1;

	libvirt_says = -EOPNOTSUPP;
	open_domain();
	hear(0);
	run(&to_1);
	wait_ends(1);
	start_refused();
	expect_note("nodes 1, but virsh numatune says otherwise");
	hear(0);
	expect_note("nodes 1, but virsh numatune says otherwise");
	hear(1);
	expect_note("");
	/* It refuses what it says anyway: they agree. */
	hear(0);
	back.from[0] = 1;
	back.to[0] = 0;
	run(&back);
	wait_ends(2);
	ck_assert_str_eq(told, "0");
	expect_note("");
}
END_TEST

/* libvirt gives the domain's own group all nodes when it is restarted. */
START_TEST(wide_group_above_stays_and_hides_nothing)
{
	struct domain_cpusets cpusets;
	char text[64];

	fake_file("cg" SCOPE "/cpuset.mems", "0-3\n");
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert_str_eq(mems(""), "0-3");
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(told, "1");
	expect_note("");
	ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
	ck_assert_str_eq(gmig_node_set_print(&cpusets.nodes, text, sizeof(text)), "1");
}
END_TEST

START_TEST(move_past_other_domains_group_is_refused_and_changes_nothing)
{
	struct gmig_job *job;

	fake_file("cg/machine.slice/cpuset.mems.effective", "0\n");
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "/machine.slice"));
	ck_assert_str_eq(mems("/emulator"), "0");
	ck_assert(!has_journal());
}
END_TEST

START_TEST(move_to_a_node_that_is_not_there_leaves_the_cpusets)
{
	struct gmig_job_spec to_9 = to_1;
	struct gmig_job *job;

	to_9.to[0] = 9;
	open_domain();
	ck_assert_int_lt(domain_start_job(domain, &to_9, &job, &err), 0);
	ck_assert_str_eq(mems("/emulator"), "0");
	ck_assert_str_eq(mems("/vcpu0"), "0");
	ck_assert(!has_journal());
	ck_assert_int_eq(run(&to_1).state, GMIG_JOB_COMPLETED);
	wait_ends(1);
	ck_assert_str_eq(mems("/vcpu0"), "1");
}
END_TEST

START_TEST(move_without_a_journal_is_no_move)
{
	struct gmig_job *job;

	host.journals = "/nonexistent";
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent"));
	ck_assert_str_eq(mems("/emulator"), "0");
}
END_TEST

START_TEST(memory_that_stays_keeps_its_node)
{
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = true;
	open_domain();
	ck_assert_uint_eq(run(&to_1).remaining_bytes, 1000 * FAKE_PAGE_BYTES);
	wait_ends(1);
	ck_assert_str_eq(mems("/emulator"), "0-1");
	ck_assert_str_eq(told, "");
	expect_note("keep nodes 0");
	/* The rest goes later, and then it is narrow. */
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = false;
	run(&to_1);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(told, "1");
	expect_note("");
}
END_TEST

/* virsh numatune: the kernel has moved the rest, wherever it was. */
START_TEST(note_of_a_node_that_somebody_else_took_away_is_gone)
{
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = true;
	open_domain();
	run(&to_1);
	wait_ends(1);
	expect_note("keep nodes 0");
	/* Of one thread's group, it is in another one's still. */
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "1\n");
	expect_note("keep nodes 0");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "1\n");
	expect_note("");
	/* And back: that is nothing of ours. */
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0-1\n");
	expect_note("");
}
END_TEST

/* Whether libvirt gave it both nodes, or we did, it does not say; it says nothing of where memory is either. */
START_TEST(group_above_that_had_to_keep_a_node_has_it_still)
{
	fake_file("cg" SCOPE "/cpuset.mems", "0\n");
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = true;
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert_str_eq(mems(""), "0-1");
	for (int i = 0; i < 1000; i++)
		fake_page[i].busy = false;
	run(&to_1);
	wait_ends(2);
	ck_assert_str_eq(mems(""), "0-1");
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(told, "1");
	expect_note("");
}
END_TEST

START_TEST(few_pages_that_stay_are_left_to_the_kernel)
{
	for (int i = 0; i < 100; i++)
		fake_page[i].busy = true;
	open_domain();
	ck_assert_uint_eq(run(&to_1).remaining_bytes, 100 * FAKE_PAGE_BYTES);
	wait_ends(1);
	ck_assert_str_eq(mems("/emulator"), "1");
}
END_TEST

static void breaks_switching_on(void *opaque, const char *path, const char *text)
{
	threads_follow(opaque, path, text);
	if (strstr(path, "/vcpu0/cpuset.memory_migrate") && *text == '1') {
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
}

/* With cgroups of version 1, of which all sets are narrow again: they are not said to be wider. */
START_TEST(move_whose_sets_are_narrow_says_what_is_not_put_back)
{
	fake_file("self/mountinfo", "32 24 0:28 / /cg rw - cgroup cgroup rw,cpuset\n");
	fake_file("77/task/77/cgroup", "3:cpuset:" SCOPE "/emulator\n");
	fake_file("77/task/78/cgroup", "3:cpuset:" SCOPE "/vcpu0\n");
	fake_file("cg" SCOPE "/emulator/cpuset.memory_migrate", "1\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.memory_migrate", "1\n");
	host.cpusets.before_write = breaks_switching_on;
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert_msg(strstr(lines, "its cpusets are narrow, but not all is put back: 1 to "
				    "cpuset.memory_migrate of '" SCOPE "/vcpu0'") != NULL,
		      "%s", lines);
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(mems("/vcpu0"), "1");
	ck_assert(has_journal());
}
END_TEST

START_TEST(move_after_one_that_was_not_narrowed_narrows_to_its_own_node)
{
	struct gmig_job_spec to_2 = to_1;
	struct gmig_job *job;

	to_2.from[0] = 1;
	to_2.to[0] = 2;
	host.cpusets.before_write = refuses;
	refused = "1";
	open_domain();
	run(&to_1);
	wait_ends(1);
	ck_assert_ptr_nonnull(strstr(lines, "still wider"));
	ck_assert(has_journal());
	accept_again("0-1");
	/* Nor does one that is refused lose it. */
	host.journals = "/nonexistent";
	ck_assert_int_lt(domain_start_job(domain, &to_2, &job, &err), 0);
	host.journals = journals;
	ck_assert(has_journal());
	refused = "0-2";
	ck_assert_int_lt(domain_start_job(domain, &to_2, &job, &err), 0);
	ck_assert(has_journal());
	accept_again("0-1");
	ck_assert_int_eq(run(&to_2).state, GMIG_JOB_COMPLETED);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "2");
	ck_assert_str_eq(mems("/vcpu0"), "2");
	ck_assert_str_eq(told, "2");
	ck_assert(!has_journal());
	expect_note("");
}
END_TEST

static sem_t asked, answered;

/* libvirt does not answer yet. */
static int set_nodeset_late(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
			    struct gmig_error *error)
{
	sem_post(&asked);
	sem_wait(&answered);
	return set_nodeset(opaque, uuid, nodes, error);
}

START_TEST(move_while_libvirt_is_told_of_the_last_is_refused_in_time)
{
	struct domain_cpusets cpusets;
	struct gmig_job *one, *two;

	sem_init(&asked, 0, 0);
	sem_init(&answered, 0, 0);
	host.set_nodeset = set_nodeset_late;
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &to_1, &one, &err), 0);
	sem_wait(&asked);
	ck_assert_int_eq(domain_start_job(domain, &to_1, &two, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "try again"));
	/* Questions do not wait, either. */
	ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
	ck_assert(cpusets.widened);
	sem_post(&answered);
	gmig_job_wait(one);
	gmig_job_put(one);
	wait_ends(1);
	ck_assert_str_eq(told, "1");
}
END_TEST

#define OWN_PAGES 2048 /* QEMU's heap: it comes first by address */

/* No look at it has succeeded: a move that takes nothing would say that it is completed. */
START_TEST(memory_of_a_domain_that_was_never_seen_counts)
{
	char smaps[PATH_MAX];

	open_domain();
	snprintf(smaps, sizeof(smaps), "%s/77/smaps", tree_root);
	ck_assert_int_eq(unlink(smaps), 0);
	ck_assert(domain_counts(domain, FAKE_START, FAKE_END));
}
END_TEST

START_TEST(move_of_a_part_moves_guest_memory_and_no_more_than_its_limit)
{
	struct gmig_job_spec part = to_1;
	uint64_t ram = FAKE_START + OWN_PAGES * FAKE_PAGE_BYTES;

	fake_file("77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 [heap]\nRss: %llu kB\nKernelPageSize: 4 kB\n"
		  "%llx-%llx rw-p 00000000 00:00 0 \nRss: %llu kB\nKernelPageSize: 4 kB\n",
		  FAKE_START, (unsigned long long)ram, OWN_PAGES * FAKE_PAGE_BYTES / 1024,
		  (unsigned long long)ram, FAKE_END, (FAKE_END - ram) / 1024);
	fake_heap_pages = OWN_PAGES;
	facts.memory_bytes = FAKE_END - ram;
	part.max_bytes = 3 * GMIG_BLOCK_BYTES;
	open_domain();
	ck_assert_uint_eq(run(&part).moved_bytes, part.max_bytes);
	wait_ends(1);
	ck_assert_uint_eq(moved(0, OWN_PAGES), 0);
	ck_assert_uint_eq(moved(OWN_PAGES, FAKE_PAGES), 3 * GMIG_BLOCK_PAGES);
	/* All of it, and QEMU's own with it. */
	ck_assert_int_eq(run(&to_1).state, GMIG_JOB_COMPLETED);
	wait_ends(2);
	ck_assert_uint_eq(moved(0, FAKE_PAGES), FAKE_PAGES);
}
END_TEST

START_TEST(cancelled_move_leaves_the_memory_where_it_is)
{
	struct gmig_job_spec slow = to_1;
	struct gmig_job *job;

	slow.rate_bytes_per_second = 64 << 20;
	open_domain();
	fake_after_move = cancel_now;
	ck_assert_int_eq(domain_start_job(domain, &slow, &job, &err), 0);
	atomic_store(&running, job);
	gmig_job_wait(job);
	wait_ends(1);
	gmig_job_put(job);
	/* Half of it there, half of it here: nobody moves either. */
	ck_assert_str_eq(mems("/emulator"), "0-1");
	expect_note("keep nodes 1");
	ck_assert(!has_journal());
	/* So it is still when another one was refused; not when one was completed. */
	start_refused();
	expect_note("keep nodes 1");
	fake_after_move = NULL;
	run(&to_1);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "1");
	expect_note("");
}
END_TEST

START_TEST(two_moves_narrow_when_the_last_has_ended)
{
	struct gmig_job_spec to_2 = to_1, slow = to_1;
	struct gmig_job *one, *two;

	to_2.from[0] = 3;
	to_2.to[0] = 2;
	half_on_node_3();
	open_domain();
	slow.rate_bytes_per_second = 4096;
	ck_assert_int_eq(domain_start_job(domain, &slow, &one, &err), 0);
	ck_assert_int_eq(gmig_job_pause(one), 0);
	ck_assert_msg(!domain_start_job(domain, &to_2, &two, &err), "%s", err.text);
	gmig_job_wait(two);
	wait_ends(1);
	ck_assert_int_eq(atomic_load(&ends), 1);
	ck_assert_str_eq(mems("/emulator"), "0-3");
	ck_assert_int_eq(gmig_job_set_rate(one, 0), 0);
	ck_assert_int_eq(gmig_job_resume(one), 0);
	gmig_job_wait(one);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "1-2");
	ck_assert_str_eq(told, "1-2");
	gmig_job_put(one);
	gmig_job_put(two);
}
END_TEST

static atomic_int held;

static long held_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
			    int *status, int flags)
{
	while (nodes && held)
		sched_yield();
	return fake_timed_move(pid, count, pages, nodes, status, flags);
}

static uint64_t bytes_on(int node)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < FAKE_PAGES; i++)
		bytes += fake_page[i].node == node ? FAKE_PAGE_BYTES : 0;
	return bytes;
}

/* The first has some pages in hand when the second comes, and completes without the others: the sets are no business of its any more. */
START_TEST(move_that_a_later_one_takes_all_pages_from_says_nothing_of_where_they_went)
{
	const struct gmig_job_spec slow_to_1 = {.from = {0},
						.from_count = 1,
						.to = {1},
						.to_count = 1,
						.rate_bytes_per_second = 4096},
				   slow_to_3 = {.from = {0},
						.from_count = 1,
						.to = {3},
						.to_count = 1,
						.rate_bytes_per_second = 4096};
	struct gmig_job *first, *second;

	host.keep_bytes = 18 << 20; /* more than a move takes at once */
	open_domain();
	held = 1;
	fake_sys.move_pages = held_move_pages;
	ck_assert_msg(!domain_start_job(domain, &slow_to_1, &first, &err), "%s", err.text);
	ck_assert_msg(!domain_start_job(domain, &slow_to_3, &second, &err), "%s", err.text);
	held = 0;
	gmig_job_set_rate(first, 0);
	gmig_job_wait(first);
	gmig_job_put(first);
	gmig_job_set_rate(second, 0);
	gmig_job_wait(second);
	gmig_job_put(second);
	wait_ends(2);
	ck_assert_msg(strstr(lines, "job=1 completed") && strstr(lines, "job=2 completed"), "%s",
		      lines);
	/* Where the second's thread came late, much of it went with the first. */
	if (bytes_on(1) <= host.keep_bytes) {
		ck_assert_str_eq(mems("/emulator"), "3");
		ck_assert_str_eq(mems("/vcpu0"), "3");
	} else {
		ck_assert_int_eq(*mems("/emulator"), '1');
	}
}
END_TEST

static void ends_now(void)
{
	if (!atomic_exchange(&cancelled, true))
		fake_process_ends();
}

START_TEST(domain_that_ends_in_mid_move_fails_it)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	open_domain();
	fake_after_move = ends_now;
	info = run(&to_1);
	wait_ends(1);
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert(domain_has_ended(domain));
	ck_assert(!has_journal());
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -ESRCH);
}
END_TEST

/* ---- A disk that is full ----------------------------------------------------------------------- */

/* A small one of this test's alone, below the journals. False: that may not be had here. */
static bool mount_small_disk(void)
{
	return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("small", journals, "tmpfs", 0, "size=64k,mode=0700");
}

static void fill_disk(void)
{
	static const char block[4096];
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/filler", journals);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	ck_assert_int_eq(errno, ENOSPC);
	close(fd);
}

static void free_disk(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/filler", journals);
	ck_assert_int_eq(unlink(path), 0);
}

/* No move begins that the next gmigd could not end; one that runs ends as ever; and with room again all goes on. */
START_TEST(full_disk_below_the_journals_leaves_no_cpuset_wide)
{
	struct gmig_job_spec slow = to_1, back = to_1;
	struct gmig_job *job;

	if (!mount_small_disk()) {
		skip_case("it mounts a tmpfs, which needs root");
		return;
	}
	back.from[0] = 1;
	back.to[0] = 0;
	open_domain();
	fill_disk();
	ck_assert_int_eq(domain_start_job(domain, &to_1, &job, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.text, "journal of a move cannot be written"));
	ck_assert_str_eq(mems("/emulator"), "0");
	expect_note("");
	free_disk();
	/* It fills while one runs; and libvirt does not answer, so that there is a note to be written. */
	slow.rate_bytes_per_second = 4096;
	ck_assert_int_eq(domain_start_job(domain, &slow, &job, &err), 0);
	fill_disk();
	libvirt_says = -ETIMEDOUT;
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	gmig_job_wait(job);
	wait_ends(1);
	gmig_job_put(job);
	ck_assert_uint_eq(moved(0, FAKE_PAGES), FAKE_PAGES);
	ck_assert_str_eq(mems("/emulator"), "1");
	ck_assert_str_eq(mems("/vcpu0"), "1");
	ck_assert(!has_journal() && !has_note());
	ck_assert_ptr_nonnull(strstr(lines, "libvirt is to be told cannot be written"));
	expect_note("virsh numatune says otherwise");
	/* It is told all the same, as long as this gmigd lives. */
	libvirt_says = 0;
	*told = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(told, "1");
	expect_note("");
	free_disk();
	run(&back);
	wait_ends(2);
	ck_assert_str_eq(mems("/emulator"), "0");
	ck_assert_str_eq(told, "0");
	ck_assert(!has_journal() && !has_note());
	ck_assert_int_eq(umount2(journals, MNT_DETACH), 0);
}
END_TEST

START_TEST(look_says_where_memory_lies_and_how_old_that_is)
{
	struct domain_look look;

	open_domain();
	ck_assert_int_eq(domain_last_look(domain, UINT64_MAX, &look), -EAGAIN);
	for (int i = 0; i < 10; i++)
		fake_page[i].node = 3;
	ck_assert_msg(!domain_look(domain, &look, &err), "%s", err.text);
	ck_assert_uint_eq(look.usage.ram_bytes[0], (FAKE_PAGES - 10) * FAKE_PAGE_BYTES);
	ck_assert_uint_eq(look.usage.ram_bytes[3], 10 * FAKE_PAGE_BYTES);
	ck_assert(look.fits);
	ck_assert_int_eq(domain_last_look(domain, UINT64_MAX, &look), 0);
	ck_assert_int_eq(domain_last_look(domain, 0, &look), -EAGAIN);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    move_widens_moves_and_narrows_to_one_node,
	    move_of_a_domain_that_nothing_restricts_writes_nothing,
	    move_that_libvirt_does_not_take_over_is_said,
	    libvirt_that_did_not_answer_is_told_when_it_does,
	    note_of_libvirts_view_stands_until_libvirt_agrees,
	    wide_group_above_stays_and_hides_nothing,
	    move_past_other_domains_group_is_refused_and_changes_nothing,
	    move_to_a_node_that_is_not_there_leaves_the_cpusets,
	    move_without_a_journal_is_no_move,
	    memory_that_stays_keeps_its_node,
	    note_of_a_node_that_somebody_else_took_away_is_gone,
	    group_above_that_had_to_keep_a_node_has_it_still,
	    few_pages_that_stay_are_left_to_the_kernel,
	    move_whose_sets_are_narrow_says_what_is_not_put_back,
	    move_after_one_that_was_not_narrowed_narrows_to_its_own_node,
	    move_while_libvirt_is_told_of_the_last_is_refused_in_time,
	    memory_of_a_domain_that_was_never_seen_counts,
	    move_of_a_part_moves_guest_memory_and_no_more_than_its_limit,
	    cancelled_move_leaves_the_memory_where_it_is,
	    two_moves_narrow_when_the_last_has_ended,
	    move_that_a_later_one_takes_all_pages_from_says_nothing_of_where_they_went,
	    domain_that_ends_in_mid_move_fails_it,
	    full_disk_below_the_journals_leaves_no_cpuset_wide,
	    look_says_where_memory_lies_and_how_old_that_is,
	};

	return run_tests("domain", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}

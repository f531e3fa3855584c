/* From a domain's name and uuid to its process, held, and its threads. */
#include "../../libvirt-hooks/qemu_process.h"
#include "fake_proc.h"
#include "fake_qemu.h"
#include "no_listing.h"
#include "suite.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define UID 64055

static struct qemu_host host;
static struct qemu_wanted wanted;
static struct qemu_process process;
static struct gmig_error err;
static int pidfd_opened;

static int fake_pidfd(pid_t pid)
{
	(void)pid;
	pidfd_opened++;
	return eventfd(0, EFD_CLOEXEC);
}

static void write_bytes(const char *text, size_t bytes, const char *path)
{
	char whole[512];
	FILE *file;

	tree_write("", "%s", path);
	snprintf(whole, sizeof(whole), "%s%s", tree_root, path);
	file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
	ck_assert_int_eq(fclose(file), 0);
}

/* A process of the tree; words: its command line, blanks stand for NULs. */
static void add_process(int pid, unsigned int uid, unsigned int start, const char *words)
{
	char text[1024], path[64];
	size_t bytes = strlen(words) + 1;

	memcpy(text, words, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (text[i] == ' ')
			text[i] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	write_bytes(text, bytes, path);
	snprintf(text, sizeof(text), "Name:\tqemu\nUid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
	tree_write(text, "/proc/%d/status", pid);
	snprintf(text, sizeof(text),
		 "%d (qemu) ) x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 %u 0\n", pid,
		 start);
	tree_write(text, "/proc/%d/stat", pid);
}

#define WEB1 "qemu-system-x86_64 -name guest=web1,debug-threads=on -uuid " FAKE_UUID

static void setup(void)
{
	tree_create();
	host = (struct qemu_host){
	    .root = tree_root, .run_dir = "/run/libvirt/qemu", .pidfd_open = fake_pidfd};
	wanted = (struct qemu_wanted){
	    .name = "web1", .uuid = FAKE_UUID, .uids = {0, UID}, .uid_count = 2};
	pidfd_opened = 0;
	memset(&err, 0, sizeof(err));
	memset(&process, 0, sizeof(process));
}

static void teardown(void)
{
	qemu_process_drop(&process);
	tree_remove();
}

static bool is(const char *words, size_t bytes)
{
	return qemu_cmdline_is(words, bytes, "we,b1", FAKE_UUID);
}

#define IS(text) is(text, sizeof(text))

START_TEST(cmdline_with_uuid_and_name_is_the_domains)
{
	ck_assert(IS("qemu\0-name\0guest=we,,b1,debug-threads=on\0-uuid\0" FAKE_UUID));
	ck_assert(IS("qemu\0-name\0we,,b1\0-uuid\0" FAKE_UUID));
	ck_assert(IS("qemu\0-uuid\0" FAKE_UUID));
	ck_assert(IS("qemu\0-uuid\0"
		     "6F1C5F5E-0F1B-4D1A-9D5C-2F6F3A0B7C11"));
}
END_TEST

START_TEST(cmdline_of_somebody_else_is_not_the_domains)
{
	ck_assert(!IS("qemu\0-name\0guest=we,,b11\0-uuid\0" FAKE_UUID));
	ck_assert(!IS("qemu\0-name\0guest=we,b1\0-uuid\0" FAKE_UUID));
	ck_assert(!IS("qemu\0-name\0guest=we\0-uuid\0" FAKE_UUID));
	ck_assert(!IS("qemu\0-uuid\0" FAKE_UUID2));
	ck_assert(!IS("qemu\0" FAKE_UUID));
	ck_assert(!IS("qemu\0-x-uuid\0" FAKE_UUID));
	/* Cut in the middle. */
	ck_assert(!is("qemu\0-uuid\0" FAKE_UUID, strlen("qemu -uuid ") + 36));
	ck_assert(!is("", 0));
}
END_TEST

START_TEST(find_by_pid_file_holds_the_process)
{
	add_process(77, UID, 500, WEB1);
	tree_write("77\n", "/run/libvirt/qemu/web1.pid");
	ck_assert_msg(!qemu_process_find(&host, &wanted, &process, &err), "%s", err.text);
	ck_assert_int_eq(process.pid, 77);
	ck_assert_uint_eq(process.uid, UID);
	ck_assert_uint_eq(process.start_time, 500);
	ck_assert_int_eq(qemu_process_check(&process, &err), 0);
}
END_TEST

START_TEST(find_with_a_stale_pid_file_takes_machineds_leader)
{
	add_process(77, UID, 500, "sleep 100");
	add_process(78, UID, 501, WEB1);
	tree_write("77\n", "/run/libvirt/qemu/web1.pid");
	tree_write("NAME=qemu-1-web1\nCLASS=vm\nLEADER=78\n", "/run/systemd/machines/qemu-1-web1");
	tree_write("NAME=c\nLEADER=77\n", "/run/systemd/machines/c");
	ck_assert_msg(!qemu_process_find(&host, &wanted, &process, &err), "%s", err.text);
	ck_assert_int_eq(process.pid, 78);
}
END_TEST

START_TEST(find_without_files_scans_all_processes)
{
	add_process(5, 0, 1, "init");
	add_process(78, UID, 501, WEB1);
	ck_assert_msg(!qemu_process_find(&host, &wanted, &process, &err), "%s", err.text);
	ck_assert_int_eq(process.pid, 78);
}
END_TEST

START_TEST(find_of_nobody_says_where_it_looked)
{
	add_process(78, UID, 501, "qemu -uuid " FAKE_UUID2);
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "/run/libvirt/qemu"));
	wanted.uuid = "x";
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EINVAL);
}
END_TEST

START_TEST(find_of_a_strangers_process_is_refused_and_said)
{
	add_process(78, 1000, 501, WEB1);
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "1000"));
	/* Also when libvirt's own file names it. */
	tree_write("78\n", "/run/libvirt/qemu/web1.pid");
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EPERM);
}
END_TEST

START_TEST(find_is_not_hindered_by_a_strangers_process)
{
	add_process(78, 1000, 501, WEB1);
	add_process(79, UID, 502, WEB1);
	add_process(80, 1000, 503, WEB1);
	ck_assert_msg(!qemu_process_find(&host, &wanted, &process, &err), "%s", err.text);
	ck_assert_int_eq(process.pid, 79);
}
END_TEST

START_TEST(find_of_two_takes_none)
{
	add_process(78, UID, 501, WEB1);
	add_process(79, UID, 502, WEB1);
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EEXIST);
	ck_assert_int_eq(pidfd_opened, 0);
}
END_TEST

START_TEST(find_does_not_follow_a_name_out_of_the_directory)
{
	add_process(77, UID, 500, "qemu -uuid " FAKE_UUID);
	tree_write("77\n", "/run/libvirt/web1.pid");
	wanted.name = "../web1";
	/* By its uuid in the scan, never by the file. */
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), 0);
}
END_TEST

/* Between the first look and the pidfd the process ends, and its pid goes to another one. */
static int pid_is_used_again(pid_t pid)
{
	add_process(pid, UID, 900, "sleep 100");
	return eventfd(0, EFD_CLOEXEC);
}

static int pid_is_used_by_its_like(pid_t pid)
{
	add_process(pid, UID, 900, WEB1);
	return eventfd(0, EFD_CLOEXEC);
}

static int has_ended_by_then(pid_t pid)
{
	(void)pid;
	return eventfd(1, EFD_CLOEXEC); /* readable, as a pidfd is then */
}

START_TEST(find_notices_a_pid_that_is_used_again)
{
	static int (*const calls[])(pid_t) = {pid_is_used_again, pid_is_used_by_its_like,
					      has_ended_by_then};

	for (size_t i = 0; i < 3; i++) {
		add_process(77, UID, 500, WEB1);
		tree_write("77\n", "/run/libvirt/qemu/web1.pid");
		host.pidfd_open = calls[i];
		ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -ESRCH);
		ck_assert_int_eq(process.pid, 0);
	}
}
END_TEST

/* A directory in the file's place: it is there, and cannot be read. */
static void make_unreadable(pid_t pid, const char *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/proc/%d/%s", tree_root, (int)pid, file);
	ck_assert_int_eq(unlink(path), 0);
	tree_write("", "/proc/%d/%s/is-no-file", (int)pid, file);
}

/* It may be the domain's: neither is there none, nor is another one that says so the only one. */
START_TEST(processes_that_cannot_be_read_are_not_taken_for_others)
{
	static const char *const files[] = {"cmdline", "status"};

	for (size_t i = 0; i < 2; i++) {
		add_process(78, UID, 501, WEB1);
		make_unreadable(78, files[i]);
		ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EISDIR);
		ck_assert_ptr_nonnull(strstr(err.text, "cannot be looked for: Is a directory"));
		tree_remove();
		tree_create();
	}
	add_process(78, UID, 501, WEB1);
	add_process(79, UID, 502, "sleep 100");
	make_unreadable(79, "cmdline");
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EISDIR);
	/* One whose pid libvirt has written down is not looked for. */
	tree_write("78\n", "/run/libvirt/qemu/web1.pid");
	ck_assert_msg(!qemu_process_find(&host, &wanted, &process, &err), "%s", err.text);
}
END_TEST

/* Root may read what nobody may, by these two. */
static int find_without_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &header, sets))
		return -errno;
	sets[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
	if (syscall(SYS_capset, &header, sets))
		return -errno;
	return qemu_process_find(&host, &wanted, &process, &err);
}

static int in_a_child(int (*act)(void))
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(-act());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* As with hidepid, or SELinux: that lasts, so it must not keep the domain's own one from being found. */
START_TEST(process_that_may_not_be_read_is_told_where_no_other_is_found)
{
	char path[256];

	add_process(79, UID, 502, "sleep 100");
	snprintf(path, sizeof(path), "%s/proc/79/cmdline", tree_root);
	ck_assert_int_eq(chmod(path, 0), 0);
	ck_assert_int_eq(in_a_child(find_without_rights), -EACCES);
	add_process(78, UID, 501, WEB1);
	ck_assert_int_eq(in_a_child(find_without_rights), 0);
}
END_TEST

static const char *unreadable_then;

static int cannot_be_read_by_then(pid_t pid)
{
	make_unreadable(pid, unreadable_then);
	return eventfd(0, EFD_CLOEXEC);
}

START_TEST(process_that_cannot_be_read_is_not_said_to_be_another)
{
	static const char *const files[] = {"stat", "cmdline", "status"};

	host.pidfd_open = cannot_be_read_by_then;
	for (size_t i = 0; i < 3; i++) {
		add_process(78, UID, 501, WEB1);
		tree_write("78\n", "/run/libvirt/qemu/web1.pid");
		unreadable_then = files[i];
		ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EISDIR);
		ck_assert_str_eq(err.text, "it cannot be known whether process 78 is the domain's: "
					   "Is a directory");
		ck_assert_int_eq(process.pid, 0);
		tree_remove();
		tree_create();
	}
	/* Before it is held, too. */
	host.pidfd_open = fake_pidfd;
	add_process(78, UID, 501, WEB1);
	tree_write("78\n", "/run/libvirt/qemu/web1.pid");
	make_unreadable(78, "stat");
	ck_assert_int_eq(qemu_process_find(&host, &wanted, &process, &err), -EISDIR);
	ck_assert_int_eq(pidfd_opened, 0);
}
END_TEST

START_TEST(threads_are_told_apart_by_their_names)
{
	struct qemu_thread *threads;

	tree_write("qemu-system-x86\n", "/proc/77/task/77/comm");
	tree_write("CPU 10/KVM\n", "/proc/77/task/80/comm");
	tree_write("CPU 2/TCG\n", "/proc/77/task/81/comm");
	tree_write("IO iothread1\n", "/proc/77/task/79/comm");
	tree_write("IO mon_iothread\n", "/proc/77/task/78/comm");
	tree_write("CPU x/KVM\n", "/proc/77/task/82/comm");
	ck_assert_int_eq(qemu_threads_read(&host, 77, &threads), 6);
	ck_assert_int_eq(threads[0].tid, 77);
	ck_assert_int_eq(threads[1].tid, 78);
	ck_assert_int_eq(threads[2].tid, 82);
	ck_assert_int_eq(threads[2].kind, QEMU_THREAD_EMULATOR);
	ck_assert_int_eq(threads[3].kind, QEMU_THREAD_VCPU);
	ck_assert_uint_eq(threads[3].vcpu, 2);
	ck_assert_uint_eq(threads[4].vcpu, 10);
	ck_assert_int_eq(threads[5].kind, QEMU_THREAD_IO);
	free(threads);
	ck_assert_int_eq(qemu_threads_read(&host, 99, &threads), -ESRCH);
}
END_TEST

/* A vCPU whose name cannot be read would be taken for one of the emulator's, and one that is not listed for none. */
START_TEST(threads_that_cannot_be_read_are_no_threads)
{
	struct qemu_thread *threads;
	struct rlimit files;

	tree_write("qemu-system-x86\n", "/proc/77/task/77/comm");
	tree_write("", "/proc/77/task/80/comm/is-no-file");
	ck_assert_int_eq(qemu_threads_read(&host, 77, &threads), -EISDIR);
	ck_assert_ptr_null(threads);
	getrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max});
	ck_assert_int_eq(qemu_threads_read(&host, 77, &threads), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &files);
}
END_TEST

static int read_threads(void)
{
	struct qemu_thread *threads;

	return qemu_threads_read(&host, 77, &threads);
}

START_TEST(threads_that_cannot_be_listed_are_no_threads)
{
	int ret;

	tree_write("qemu-system-x86\n", "/proc/77/task/77/comm");
	ret = without_listing(read_threads);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
}
END_TEST

static int find_it(void)
{
	return qemu_process_find(&host, &wanted, &process, &err);
}

/* There may be two that say so: who finds one in a part of the list does not know. */
START_TEST(processes_that_cannot_be_listed_are_not_taken_for_all)
{
	int ret;

	tree_write("x\n", "/proc/77/comm");
	ck_assert_int_eq(find_it(), -ESRCH);
	ret = without_listing(find_it);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
}
END_TEST

START_TEST(many_threads_are_all_read)
{
	struct qemu_thread *threads;

	for (int tid = 1001; tid <= 1300; tid++)
		tree_write("CPU 0/KVM\n", "/proc/78/task/%d/comm", tid);
	ck_assert_int_eq(qemu_threads_read(&host, 78, &threads), 300);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(threads[i].tid, 1001 + i);
	free(threads);
}
END_TEST

START_TEST(real_process_is_found_held_and_seen_to_end)
{
	const struct fake_qemu fake = {.name = "web1", .uuid = fake_qemu_uuid(0), .vcpus = 3};
	const struct qemu_host real = {.root = "", .run_dir = "/nonexistent"};
	pid_t pid = fake_qemu_start(&fake);
	struct qemu_thread *threads;
	struct rlimit files;
	int count;

	wanted.uids[0] = geteuid();
	wanted.uuid = fake.uuid;
	ck_assert_msg(!qemu_process_find(&real, &wanted, &process, &err), "%s", err.text);
	ck_assert_int_eq(process.pid, pid);
	count = qemu_threads_read(&real, pid, &threads);
	/* A sanitizer has threads of its own. */
	ck_assert_int_ge(count, 5);
	ck_assert_int_eq(threads[count - 5].kind, QEMU_THREAD_EMULATOR);
	ck_assert_int_eq(threads[count - 4].kind, QEMU_THREAD_VCPU);
	ck_assert_uint_eq(threads[count - 2].vcpu, 2);
	ck_assert_int_eq(threads[count - 1].kind, QEMU_THREAD_IO);
	free(threads);
	ck_assert_int_eq(qemu_process_check(&process, &err), 0);
	/* A poll that fails says nothing of it. */
	getrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max});
	count = qemu_process_check(&process, &err);
	setrlimit(RLIMIT_NOFILE, &files);
	ck_assert_int_eq(count, -EAGAIN);
	ck_assert_ptr_nonnull(strstr(err.text, "it cannot be known whether process"));
	fake_qemu_end(pid);
	ck_assert_int_eq(qemu_process_check(&process, &err), -ESRCH);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
	    cmdline_with_uuid_and_name_is_the_domains,
	    cmdline_of_somebody_else_is_not_the_domains,
	    find_by_pid_file_holds_the_process,
	    find_with_a_stale_pid_file_takes_machineds_leader,
	    find_without_files_scans_all_processes,
	    find_of_nobody_says_where_it_looked,
	    find_of_a_strangers_process_is_refused_and_said,
	    find_is_not_hindered_by_a_strangers_process,
	    find_of_two_takes_none,
	    find_does_not_follow_a_name_out_of_the_directory,
	    find_notices_a_pid_that_is_used_again,
	    processes_that_cannot_be_read_are_not_taken_for_others,
	    process_that_may_not_be_read_is_told_where_no_other_is_found,
	    process_that_cannot_be_read_is_not_said_to_be_another,
	    threads_are_told_apart_by_their_names,
	    threads_that_cannot_be_read_are_no_threads,
	    threads_that_cannot_be_listed_are_no_threads,
	    processes_that_cannot_be_listed_are_not_taken_for_all,
	    many_threads_are_all_read,
	    real_process_is_found_held_and_seen_to_end,
	};

	if (fake_qemu_is(argc, argv))
		return fake_qemu_main(argc, argv);
	return run_tests("qemu_process", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}

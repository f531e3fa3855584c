/*
 * A domain of gmigd on a fake kernel, in a fake tree: FAKE_PAGES pages on node 0 of four nodes: CPUs 0-3, 4-7, 8-9, none; a cgroup for its emulator and one
 * for its vCPU. Static, for one test program.
 */
#ifndef TEST_DOMAIN_RIG_H
#define TEST_DOMAIN_RIG_H

#include "../../libvirt-hooks/domain.h"
#include "../../migrate/core/topology.h"
#include "fake_process.h"
#include "fake_qemu.h"
#include "suite.h"

#include <stdatomic.h>

#define SCOPE "/machine.slice/machine-qemu.scope"
#define UID   1000

static struct domain_host host;
static struct domain_facts facts;
static struct domain *domain;
static struct gmig_error err;
static char told[64], journals[128], lines[4096];
static atomic_int ends;
static char mems_at_end[64];
static int libvirt_says;

/* ---- The host -------------------------------------------------------------------------------- */

static const char *mems(const char *group)
{
	static _Thread_local char text[64]; /* jobs that end at the same time ask, too */
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cg" SCOPE "%s/cpuset.mems", tree_root, group);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	if (!fgets(text, sizeof(text), file))
		*text = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The kernel's part of a write: the threads of that group. */
static void threads_follow(void *opaque, const char *path, const char *text)
{
	(void)opaque;
	if (strstr(path, "/emulator/cpuset.mems"))
		fake_thread(FAKE_PID, text);
}

static void on_job(void *opaque, struct domain *of, const struct gmig_job_info *info)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)opaque;
	ck_assert_str_eq(domain_name(of), "web1");
	if (info->state < GMIG_JOB_COMPLETED)
		return;
	pthread_mutex_lock(&lock);
	strcpy(mems_at_end, mems("/emulator"));
	pthread_mutex_unlock(&lock);
	atomic_fetch_add(&ends, 1);
}

static int set_nodeset(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
		       struct gmig_error *error)
{
	(void)opaque;
	ck_assert_str_eq(uuid, FAKE_UUID);
	gmig_node_set_print(nodes, told, sizeof(told));
	return libvirt_says ? gmig_fail(error, libvirt_says, "strict mode") : 0;
}

static void note(void *opaque, enum gmig_log_level level, const char *line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)opaque, (void)level;
	pthread_mutex_lock(&lock);
	snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", line);
	pthread_mutex_unlock(&lock);
}

static void write_cmdline(void)
{
	static const char text[] = "qemu\0-name\0guest=web1\0-uuid\0" FAKE_UUID;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/77/cmdline", tree_root);
	file = fopen(path, "w");
	ck_assert_uint_eq(fwrite(text, 1, sizeof(text), file), sizeof(text));
	fclose(file);
}

static inline void setup(void)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0-3", "10 20 20 20"},
						 {1, 1000, 900, "4-7", "20 10 20 20"},
						 {2, 1000, 900, "8-9", "20 20 10 20"},
						 {3, 1000, 900, "", "20 20 20 10"}};
	char proc[128];

	fake_process_setup();
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	tree_nodes("0-3", nodes, 4);
	snprintf(proc, sizeof(proc), "%s/proc", tree_root);
	ck_assert_int_eq(symlink(tree_root, proc), 0);
	tree_cpuset("0-3");
	fake_file("self/mountinfo", "30 24 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
	fake_file("77/task/77/cgroup", "0::" SCOPE "/emulator\n");
	fake_file("77/task/78/cgroup", "0::" SCOPE "/vcpu0\n");
	fake_file("cg/machine.slice/cpuset.mems.effective", "0-3\n");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0\n");
	fake_thread(77, "0");
	write_cmdline();
	snprintf(journals, sizeof(journals), "%s/journals", tree_root);
	ck_assert_int_eq(mkdir(journals, 0700), 0);
	host = (struct domain_host){
	    .qemu = {.root = tree_root, .run_dir = "/run", .pidfd_open = fake_sys.pidfd_open},
	    .cpusets = {.root = tree_root, .before_write = threads_follow},
	    .journals = journals,
	    .sys = &fake_sys,
	    .keep_bytes = 1 << 20,
	    .job_event = on_job,
	    .set_nodeset = set_nodeset,
	    .log = note};
	ck_assert_msg(!topology_create_at(tree_root, 0, &host.topology, &err), "%s", err.text);
	facts = (struct domain_facts){.name = "web1",
				      .uuid = FAKE_UUID,
				      .memory_bytes = FAKE_PAGES * FAKE_PAGE_BYTES,
				      .vcpus = 1,
				      .uids = {UID},
				      .uid_count = 1};
	domain = NULL;
	*told = *lines = *mems_at_end = '\0';
	ends = 0;
	libvirt_says = 0;
	fake_allowed = 0xf;
}

static inline void teardown(void)
{
	domain_put(domain);
	gmig_topology_put(host.topology);
	fake_process_teardown();
}

/* The domain is let go; its memory, groups and threads are on node 0 again. */
static inline void put_back(void)
{
	domain_put(domain);
	domain = NULL;
	fake_pages_reset();
	fake_allowed = 0xf;
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0\n");
	fake_thread(77, "0");
}

/* Its memory is on nodes 0 and 3, and its groups allow both. */
static inline void half_on_node_3(void)
{
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0,3\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0,3\n");
	for (size_t i = 0; i < FAKE_PAGES / 2; i++)
		fake_page[i].node = 3;
}

static inline void open_domain(void)
{
	ck_assert_msg(!domain_open(&host, &facts, &domain, &err), "%s", err.text);
}

static const __attribute__((unused)) struct gmig_job_spec to_1 = {
    .from = {0}, .from_count = 1, .to = {1}, .to_count = 1};

static inline struct gmig_job_info run(const struct gmig_job_spec *spec)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_msg(!domain_start_job(domain, spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	return info;
}

/*
 * What cancel_now() cancels; it waits for that, since a job may move before whoever started it knows it. Check has a process
 * for each test: no other test has seen them.
 */
static _Atomic(struct gmig_job *) running;
static atomic_bool cancelled;

/* For fake_after_move: in the middle of the job, once. */
static inline void cancel_now(void)
{
	if (atomic_exchange(&cancelled, true))
		return;
	while (!atomic_load(&running))
		sched_yield();
	gmig_job_cancel(atomic_load(&running));
}

/* The end is told on the job's thread. */
static inline void wait_ends(int count)
{
	while (atomic_load(&ends) < count)
		sched_yield();
}

#endif

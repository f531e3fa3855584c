/* Three hundred domains and a libvirt that hangs or is slow: on a fake kernel, in a fake tree. */
#include "../../control/closed_nodes.h"
#include "../../libvirt-hooks/keeping_inside.h"
#include "../../libvirt-hooks/node_journal.h"
#include "../../migrate/core/topology.h"
#include "fake_process.h"
#include "suite.h"

#include <stdatomic.h>

#define DOMAINS 300
#define UID	1000
#define PAGES	64
#define ROUNDS	10 /* of all domains: each reads thousands of files */
#define MOVED	40 /* domains: each syncs four files */
#define SECOND	1000000000ull

static struct domain_host host;
static struct domains *domains;
static struct keeping *keeping;
static struct gmigd_conf *conf;
static struct gmig_error err;
static char journals[128];
static struct virt_domain list[DOMAINS];
static atomic_int node_of[DOMAINS]; /* where its memory lies */
static atomic_int ends;
static uint64_t clock_ns;

/* ---- libvirt ---------------------------------------------------------------------------------- */

static unsigned int hung;   /* the domain whose calls hang; DOMAINS: all do; above: none */
static bool silent;	    /* a call of this round was not answered */
static uint64_t call_ns;    /* what a call that is answered takes */
static int reads[DOMAINS];  /* of its XML, answered or not */
static int tells[DOMAINS];  /* that hung or were answered */
static bool knows[DOMAINS]; /* libvirt does, where its memory is */

static unsigned int number_of(const char *uuid)
{
	return (unsigned int)strtoul(uuid, NULL, 16);
}

static int ask(unsigned int i, int *count, struct gmig_error *error)
{
	if (silent)
		return gmig_fail(error, -EBUSY, "asked again later");
	(*count)++;
	clock_ns += call_ns;
	silent = hung == DOMAINS || hung == i;
	return silent ? gmig_fail(error, -ETIMEDOUT, "no answer") : 0;
}

static int read_xml(void *opaque, const char *uuid, char **xml, struct gmig_error *error)
{
	unsigned int i = number_of(uuid);
	int ret = ask(i, &reads[i], error);

	(void)opaque;
	if (ret)
		return ret;
	ck_assert_int_gt(asprintf(xml,
				  "<domain type='kvm' id='1'><name>web%u</name><uuid>%s</uuid>"
				  "<memory unit='KiB'>256</memory><vcpu>1</vcpu></domain>",
				  i, uuid),
			 0);
	return 0;
}

static int set_nodeset(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
		       struct gmig_error *error)
{
	unsigned int i = number_of(uuid);
	int ret = ask(i, &tells[i], error);

	(void)opaque;
	ck_assert(gmig_node_set_has(nodes, 1));
	knows[i] |= !ret;
	return ret;
}

/* ---- The host --------------------------------------------------------------------------------- */

static pid_t pid_of(unsigned int i)
{
	return (pid_t)(1000 + i);
}

static int pidfd_open(pid_t pid)
{
	(void)pid;
	return eventfd(0, EFD_CLOEXEC);
}

static int open_proc(pid_t pid, const char *name)
{
	if (!strcmp(name, "numa_maps"))
		return fake_text("%llx default anon=1 N%d=%d kernelpagesize_kB=4\n", FAKE_START,
				 atomic_load(&node_of[pid - pid_of(0)]), PAGES);
	return fake_open_proc(pid, name);
}

static long move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		       int flags)
{
	atomic_int *node = &node_of[pid - pid_of(0)];

	(void)pages, (void)flags;
	if (nodes && count)
		atomic_store(node, nodes[0]);
	for (unsigned long i = 0; i < count; i++)
		status[i] = atomic_load(node);
	return 0;
}

static void write_thread(unsigned int i, const char *nodes)
{
	char name[64];

	snprintf(name, sizeof(name), "%d/task/%d/status", (int)pid_of(i), (int)pid_of(i));
	fake_file(name,
		  "Name:\tqemu\nTgid:\t%d\nCpus_allowed_list:\t0\nMems_allowed:\t3\n"
		  "Mems_allowed_list:\t%s\n",
		  (int)pid_of(i), nodes);
}

/* The kernel's part of a write to a cpuset. */
static void thread_follows(void *opaque, const char *path, const char *text)
{
	const char *scope = strstr(path, "machine-");

	(void)opaque;
	write_thread((unsigned int)strtoul(scope + strlen("machine-"), NULL, 10), text);
}

static void make_process(unsigned int i)
{
	const int pid = (int)pid_of(i);
	char name[128], cmdline[128];
	size_t length;
	FILE *file;

	snprintf(name, sizeof(name), "run/web%u.pid", i);
	fake_file(name, "%d\n", pid);
	snprintf(name, sizeof(name), "%d/stat", pid);
	fake_file(name, "%d (qemu) S 1 1 1 0 -1 0 1 0 0 0 5 5 0 0 20 0 1 0 500 1 1\n", pid);
	snprintf(name, sizeof(name), "%d/status", pid);
	fake_file(name, "Name:\tqemu\nTgid:\t%d\nUid:\t1000\t1000\t1000\t1000\n", pid);
	snprintf(name, sizeof(name), "%d/pagemap", pid);
	fake_file(name, "x");
	snprintf(name, sizeof(name), "%d/smaps", pid);
	fake_file(name, "%llx-%llx rw-p 00000000 00:00 0 \nRss: 256 kB\nKernelPageSize: 4 kB\n",
		  FAKE_START, FAKE_START + PAGES * FAKE_PAGE_BYTES);
	snprintf(name, sizeof(name), "%d/task/%d/cgroup", pid, pid);
	fake_file(name, "0::/machine.slice/machine-%u.scope/emulator\n", i);
	snprintf(name, sizeof(name), "cg/machine.slice/machine-%u.scope/emulator/cpuset.mems", i);
	fake_file(name, "0\n");
	write_thread(i, "0");
	snprintf(name, sizeof(name), "%s/%d/cmdline", tree_root, pid);
	file = fopen(name, "w");
	snprintf(cmdline, sizeof(cmdline), "qemu -name guest=web%u -uuid %s", i, list[i].uuid);
	length = strlen(cmdline) + 1;
	for (size_t at = 0; at < length; at++)
		cmdline[at] = cmdline[at] == ' ' ? '\0' : cmdline[at];
	ck_assert_uint_eq(fwrite(cmdline, 1, length, file), length);
	fclose(file);
}

static const char *mems(unsigned int i)
{
	static char text[64];
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cg/machine.slice/machine-%u.scope/emulator/cpuset.mems",
		 tree_root, i);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	if (!fgets(text, sizeof(text), file))
		*text = '\0';
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void on_job(void *opaque, struct domain *domain, const struct gmig_job_info *info)
{
	(void)opaque, (void)domain;
	atomic_fetch_add(&ends, info->state >= GMIG_JOB_COMPLETED);
}

static uint64_t now_ns(void *opaque)
{
	(void)opaque;
	return clock_ns;
}

static void make_host(void)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0", "10 20"},
						 {1, 1000, 900, "1", "20 10"}};
	char proc[128];

	fake_process_setup();
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	fake_sys.pidfd_open = pidfd_open;
	fake_sys.open_proc = open_proc;
	fake_sys.move_pages = move_pages;
	tree_nodes("0-1", nodes, 2);
	snprintf(proc, sizeof(proc), "%s/proc", tree_root);
	ck_assert_int_eq(symlink(tree_root, proc), 0);
	tree_cpuset("0-1");
	fake_file("self/mountinfo", "30 24 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
	fake_file("cg/machine.slice/cpuset.mems.effective", "0-1\n");
	snprintf(journals, sizeof(journals), "%s/journals", tree_root);
	ck_assert_int_eq(mkdir(journals, 0700), 0);
	closed_nodes_system = tree_root;
	setenv("XDG_RUNTIME_DIR", tree_root, 1);
	host = (struct domain_host){
	    .qemu = {.root = tree_root, .run_dir = "/run", .pidfd_open = pidfd_open},
	    .cpusets = {.root = tree_root, .before_write = thread_follows},
	    .journals = journals,
	    .sys = &fake_sys,
	    .keep_bytes = 1,
	    .job_event = on_job,
	    .set_nodeset = set_nodeset};
	ck_assert_msg(!topology_create_at(tree_root, 0, &host.topology, &err), "%s", err.text);
}

static void setup(void)
{
	const uid_t users[] = {UID};
	struct keeping_options options = {.host = &host, .read_xml = read_xml, .now_ns = now_ns};
	char path[128];

	umask(022);
	/* Thousands of files, of which a disk would see each. */
	if (!access("/dev/shm", W_OK))
		tree_parent = "/dev/shm";
	make_host();
	for (unsigned int i = 0; i < DOMAINS; i++) {
		list[i] = (struct virt_domain){
		    .id = (int)i + 1, .memory_bytes = PAGES * FAKE_PAGE_BYTES, .vcpus = 1};
		snprintf(list[i].uuid, sizeof(list[i].uuid), "%08x-0f1b-4d1a-9d5c-2f6f3a0b7c11", i);
		ck_assert_int_gt(asprintf(&list[i].name, "web%u", i), 0);
		make_process(i);
	}
	hung = UINT_MAX;
	clock_ns = 1000 * SECOND;
	snprintf(path, sizeof(path), "%s/gmigd.conf", tree_root);
	fake_file("gmigd.conf", "[gmigd]\nmetrics = %s/gmig.prom\n", tree_root);
	ck_assert_msg(!gmigd_conf_read(path, &conf, &err), "%s", err.text);
	ck_assert_int_eq(domains_create(&host, "qemu:///system", users, 1, &domains, &err), 0);
	options.domains = domains;
	ck_assert_int_eq(keeping_create(&options, conf, &keeping, &err), 0);
	domains_update(domains, list, DOMAINS);
}

static void teardown(void)
{
	keeping_destroy(keeping);
	domains_destroy(domains);
	gmigd_conf_destroy(conf);
	gmig_topology_put(host.topology);
	for (unsigned int i = 0; i < DOMAINS; i++)
		free(list[i].name);
	fake_process_teardown();
}

static int round_after(uint64_t seconds)
{
	silent = false;
	clock_ns += seconds * SECOND;
	return keeping_round(keeping);
}

static unsigned int count_read(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < DOMAINS; i++)
		count += reads[i] > 0;
	return count;
}

/* ---- Placements ------------------------------------------------------------------------------- */

START_TEST(domain_whose_xml_hangs_keeps_no_other_one_from_its_turn)
{
	hung = 7;
	round_after(0);
	ck_assert_int_eq(reads[7], 1);
	ck_assert_uint_lt(count_read(), DOMAINS);
	round_after(30);
	ck_assert_uint_eq(count_read(), DOMAINS);
	/* All hang: another one each time. */
	hung = DOMAINS;
	keeping_domain_changed(keeping, NULL);
	memset(reads, 0, sizeof(reads));
	for (unsigned int i = 0; i < ROUNDS; i++)
		round_after(1);
	ck_assert_uint_eq(count_read(), ROUNDS);
}
END_TEST

START_TEST(slow_libvirt_has_its_rounds_in_time_and_each_domain_its_turn)
{
	call_ns = 4 * SECOND;
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		uint64_t began_ns = clock_ns;

		ck_assert_int_eq(round_after(1), 1000);
		ck_assert_uint_le(clock_ns - began_ns, 13 * SECOND);
		ck_assert_uint_eq(count_read(), 3 * i);
	}
}
END_TEST

/* ---- Moves ------------------------------------------------------------------------------------ */

static void move_them(void)
{
	static const struct gmig_job_spec to_1 = {
	    .from = {0}, .from_count = 1, .to = {1}, .to_count = 1};

	for (unsigned int i = 0; i < MOVED; i++) {
		struct domain *domain;
		struct gmig_job *job;

		ck_assert_int_eq(domains_find(domains, list[i].name, &domain, &err), 0);
		ck_assert_msg(!domain_start_job(domain, &to_1, &job, &err), "%s", err.text);
		gmig_job_wait(job);
		gmig_job_put(job);
		while (atomic_load(&ends) <= (int)i)
			sched_yield();
		silent = false; /* each job's end has a thread, and so a round, of its own */
		domain_put(domain);
	}
}

static unsigned int count_notes(void)
{
	char(*uuids)[QEMU_UUID_TEXT];
	int count = node_journal_list(journals, NODE_JOURNAL_TELL, &uuids);

	free(uuids);
	return (unsigned int)count;
}

START_TEST(libvirt_that_hangs_is_told_of_all_moves_when_it_answers)
{
	hung = DOMAINS;
	move_them();
	for (unsigned int i = 0; i < MOVED; i++)
		ck_assert_msg(!strcmp(mems(i), "1"), "%u: %s", i, mems(i));
	ck_assert_uint_eq(count_notes(), MOVED);
	/* One call a round, and each domain in its turn: nobody is given up before the others were told as often. */
	for (unsigned int i = 0; i < 2 * MOVED; i++) {
		silent = false;
		domains_update(domains, list, DOMAINS);
	}
	for (unsigned int i = 0; i < MOVED; i++)
		ck_assert_int_eq(tells[i], 3);
	ck_assert_uint_eq(count_notes(), MOVED);
	hung = UINT_MAX;
	silent = false;
	domains_update(domains, list, DOMAINS);
	for (unsigned int i = 0; i < MOVED; i++)
		ck_assert(knows[i]);
	ck_assert_uint_eq(count_notes(), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    domain_whose_xml_hangs_keeps_no_other_one_from_its_turn,
	    slow_libvirt_has_its_rounds_in_time_and_each_domain_its_turn,
	    libvirt_that_hangs_is_told_of_all_moves_when_it_answers,
	};

	return run_tests("domain_fleet", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}

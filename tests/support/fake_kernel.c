#include "fake_kernel.h"

static uint64_t fake_now_ns;
struct agent_sys fake_sys_calls;
static char fake_proc[PATH_MAX], fake_sys[PATH_MAX], fake_cgroup[PATH_MAX];

void fake_write_maps(void)
{
	size_t on[4] = {0}, huge = 0;
	char text[256] = "";

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		if (fake_page[i].node >= 0)
			on[fake_page[i].node]++;
		huge += fake_page[i].node >= 0 && fake_page[i].huge;
	}
	for (int node = 0; node < 4; node++)
		if (on[node])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), " N%d=%zu", node,
				 on[node]);
	fake_file("proc/77/numa_maps", "%llx default anon=1%s kernelpagesize_kB=4\n", FAKE_START,
		  text);
	fake_file("proc/77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 \nSize: 4 kB\nAnonHugePages: %zu kB\n",
		  FAKE_START, FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES, huge * 4);
	fake_file("proc/77/maps", "%llx-%llx rw-p 00000000 00:00 0 \n", FAKE_START,
		  FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES);
}

static long fake_migrate_pages(pid_t pid, const struct agent_set *from, const struct agent_set *to)
{
	long failed = 0;

	if (pid != FAKE_PID)
		return -ESRCH;
	for (size_t i = 0; i < FAKE_PAGES; i++)
		if (agent_set_has(from, fake_page[i].node))
			failed += fake_move_one(&fake_page[i], agent_set_next(to, 0)) != 0;
	fake_write_maps();
	return failed;
}

uint64_t fake_now(void)
{
	return __atomic_load_n(&fake_now_ns, __ATOMIC_RELAXED);
}

static uint64_t fake_clock(void)
{
	return __atomic_add_fetch(&fake_now_ns, 1000, __ATOMIC_RELAXED);
}

void fake_sleep(uint64_t ns)
{
	__atomic_add_fetch(&fake_now_ns, ns, __ATOMIC_RELAXED);
	sched_yield();
}

void fake_process(unsigned long long start_time)
{
	fake_file("proc/77/stat",
		  "77 (worker (x) y) S 1 77 77 0 -1 4194304 1 0 0 0 5 5 0 0 20 0 1 0 %llu 1 1 1 1 "
		  "1 1 1 1 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n",
		  start_time);
	fake_file("proc/77/status",
		  "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\nVmSize:\t 4 kB\n"
		  "Cpus_allowed_list:\t0-1\nMems_allowed_list:\t0-1\n");
	fake_file("proc/77/cgroup", "0::/work.slice/a\n");
	fake_file("proc/77/task/77/x", "x");
}

void fake_self(const char *cgroup)
{
	char name[64];

	snprintf(name, sizeof(name), "proc/%d/stat", (int)getpid());
	fake_file(
	    name,
	    "%d (agent) S 1 1 1 0 -1 4194304 1 0 0 0 5 5 0 0 20 0 1 0 400 1 1 1 1 1 1 1 1 0 0 "
	    "0 0 0 0 0 17 1 0 0 0 0 0 0\n",
	    (int)getpid());
	snprintf(name, sizeof(name), "proc/%d/status", (int)getpid());
	fake_file(name, "Name:\tagent\nTgid:\t%d\nUid:\t0\t0\t0\t0\nVmSize:\t 4 kB\n",
		  (int)getpid());
	snprintf(name, sizeof(name), "proc/%d/cgroup", (int)getpid());
	fake_file(name, cgroup ? "0::%s\n" : "%s", cgroup ? cgroup : "");
}

void fake_kernel_setup(void)
{
	tree_create();
	snprintf(fake_proc, sizeof(fake_proc), "%s/proc", tree_root);
	snprintf(fake_sys, sizeof(fake_sys), "%s/sys", tree_root);
	snprintf(fake_cgroup, sizeof(fake_cgroup), "%s/cgroup", tree_root);
	fake_process(500);
	fake_file("sys/devices/system/node/online", "0-1\n");
	fake_file("sys/devices/system/node/has_memory", "0-1\n");
	for (int node = 0; node < 2; node++) {
		char name[80];

		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/cpulist", node);
		fake_file(name, "%d\n", node);
		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/distance", node);
		fake_file(name, node ? "20 10\n" : "10 20\n");
		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/meminfo", node);
		fake_file(name, "Node %d MemTotal:  1000 kB\nNode %d MemFree:  200 kB\n", node,
			  node);
	}
	fake_file("cgroup/cgroup.procs", "1\n");
	fake_pages_reset();
	fake_after_move = fake_write_maps;
	fake_write_maps();
	fake_sys_calls = agent_sys_real;
	fake_sys_calls.proc = fake_proc;
	fake_sys_calls.sys = fake_sys;
	fake_sys_calls.cgroup = fake_cgroup;
	fake_sys_calls.move_pages = fake_move_pages;
	fake_sys_calls.migrate_pages = fake_migrate_pages;
	fake_sys_calls.now_ns = fake_clock;
	fake_sys_calls.sleep_ns = fake_sleep;
	agent_sys = &fake_sys_calls;
}

void fake_kernel_teardown(void)
{
	agent_sys = &agent_sys_real;
	tree_remove();
}

#include "fake_process.h"

struct gmig_sys fake_sys;
bool fake_no_pidfd, fake_no_scan, fake_no_numa_maps;
uint64_t fake_ns, fake_ns_a_page, fake_scanned;
size_t fake_heap_pages;
static int fake_alive = -1; /* an eventfd: readable once the process has ended */

static int fake_pidfd_open(pid_t pid)
{
	if (fake_no_pidfd)
		return -ENOSYS;
	return pid == FAKE_PID ? dup(fake_alive) : -ESRCH;
}

/* A line of numa_maps. */
static void fake_line(char *line, size_t bytes, size_t first, size_t end)
{
	size_t on[FAKE_NODES] = {0}, used;

	for (size_t i = first; i < end; i++)
		if (fake_page[i].node >= 0)
			on[fake_page[i].node]++;
	used = (size_t)snprintf(line, bytes, "%llx default anon=1",
				FAKE_START + first * FAKE_PAGE_BYTES);
	for (int node = 0; node < FAKE_NODES; node++)
		if (on[node])
			used +=
			    (size_t)snprintf(line + used, bytes - used, " N%d=%zu", node, on[node]);
	snprintf(line + used, bytes - used, " kernelpagesize_kB=4\n");
}

/* As the kernel makes it: from where the pages are now. */
static int fake_open_numa_maps(void)
{
	char heap[200] = "", rest[200];

	if (fake_heap_pages)
		fake_line(heap, sizeof(heap), 0, fake_heap_pages);
	fake_line(rest, sizeof(rest), fake_heap_pages, FAKE_PAGES);
	return fake_text("%s%s", heap, rest);
}

int fake_open_proc(pid_t pid, const char *name)
{
	char path[PATH_MAX];
	int fd;

	if (pid == FAKE_PID && !strcmp(name, "numa_maps"))
		return fake_no_numa_maps ? -ENOENT : fake_open_numa_maps();
	snprintf(path, sizeof(path), "%s/%d/%s", tree_root, (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static __u64 fake_categories(size_t i)
{
	__u64 is = 0;

	if (fake_page[i].node == FAKE_HOLE)
		return 0;
	is = PAGE_IS_PRESENT;
	if (fake_page[i].node == FAKE_ZERO)
		is |= PAGE_IS_PFNZERO;
	if (fake_page[i].huge)
		is |= PAGE_IS_HUGE;
	return is;
}

/* PAGEMAP_SCAN, as far as process_scan() uses it. */
static int fake_ioctl(int fd, unsigned long request, void *argument)
{
	struct pm_scan_arg *arg = argument;
	struct page_region *region = (struct page_region *)(uintptr_t)arg->vec;
	int found = 0;

	(void)fd;
	if (fake_no_scan || request != PAGEMAP_SCAN)
		return -ENOTTY;
	for (__u64 at = arg->start; at < arg->end; at += FAKE_PAGE_BYTES) {
		__u64 is = at >= FAKE_START && at < FAKE_END
			       ? fake_categories((at - FAKE_START) / FAKE_PAGE_BYTES)
			       : 0;

		__atomic_add_fetch(&fake_scanned, 1, __ATOMIC_RELAXED);
		arg->walk_end = at + FAKE_PAGE_BYTES;
		if (!is)
			continue;
		if (found && region[found - 1].end == at && region[found - 1].categories == is) {
			region[found - 1].end += FAKE_PAGE_BYTES;
			continue;
		}
		if (found == (int)arg->vec_len) {
			arg->walk_end = at;
			break;
		}
		region[found++] = (struct page_region){at, at + FAKE_PAGE_BYTES, is};
	}
	return found;
}

uint64_t fake_clock(void)
{
	return __atomic_add_fetch(&fake_ns, 1, __ATOMIC_RELAXED);
}

static void fake_nap(uint64_t ns)
{
	__atomic_add_fetch(&fake_ns, ns, __ATOMIC_RELAXED);
}

long fake_timed_move(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		     int flags)
{
	if (nodes)
		fake_nap(count * fake_ns_a_page);
	return fake_move_pages(pid, count, pages, nodes, status, flags);
}

void fake_smaps(const char *more)
{
	fake_file("77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 \nRss: %llu kB\nKernelPageSize: 4 kB\n%s",
		  FAKE_START, FAKE_END, (FAKE_END - FAKE_START) / 1024, more);
}

void fake_stat(unsigned long long start_time)
{
	fake_file("77/stat",
		  "77 (worker (x) y) S 1 77 77 0 -1 0 1 0 0 0 5 5 0 0 20 0 1 0 %llu 1 1\n",
		  start_time);
}

void fake_thread(int tid, const char *nodes)
{
	char name[64];

	snprintf(name, sizeof(name), "77/task/%d/status", tid);
	fake_file(name, "Name:\tworker\nTgid:\t77\nMems_allowed:\t3\nMems_allowed_list:\t%s\n",
		  nodes);
}

void fake_process_setup(void)
{
	fake_pages_reset();
	tree_create();
	fake_no_pidfd = fake_no_scan = fake_no_numa_maps = false;
	fake_alive = eventfd(0, EFD_CLOEXEC);
	fake_heap_pages = 0;
	fake_ns = 1000;
	fake_ns_a_page = 0;
	fake_sys = gmig_sys_real;
	fake_sys.move_pages = fake_timed_move;
	fake_sys.pidfd_open = fake_pidfd_open;
	fake_sys.open_proc = fake_open_proc;
	fake_sys.ioctl = fake_ioctl;
	fake_sys.now_ns = fake_clock;
	fake_sys.sleep_ns = fake_nap;
	fake_stat(500);
	fake_file("77/status", "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\n");
	fake_file("77/cgroup", "0::/machine.slice/a\n");
	fake_file("77/pagemap", "x");
	fake_thread(77, "0-1");
	fake_smaps("");
}

void fake_process_setup_on_four_nodes(void)
{
	const struct tree_node nodes[] = {{0, 1024, 512, "0", "10 20 20 20"},
					  {1, 1024, 512, "1", "20 10 20 20"},
					  {2, 1024, 512, "2", "20 20 10 20"},
					  {3, 1024, 512, "3", "20 20 20 10"}};

	fake_process_setup();
	tree_nodes("0-3", nodes, 4);
	tree_cpuset("0-3");
}

void fake_process_ends(void)
{
	uint64_t one = 1;

	ck_assert_int_eq(write(fake_alive, &one, sizeof(one)), sizeof(one));
}

void fake_process_teardown(void)
{
	close(fake_alive);
	tree_remove();
}

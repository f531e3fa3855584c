/* The checks of gmig doctor, see doctor.h. */
#include "../control/control.h"
#include "../migrate/core/room.h"
#include "doctor_look.h"
#include "units.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THP		    "/sys/kernel/mm/transparent_hugepage"
#define DOCTOR_MAX_MAPS_LOW 16384
#define DOCTOR_MAPS_KEPT    8192 /* for threads and libc: MAPS_KEPT of huge_page.c */
/* gmig-vmm --extra as it is unless told otherwise, and two huge pages: with less nothing moves. */
#define DOCTOR_EXTRA_BYTES (64ull << 20)
#define DOCTOR_LEAST_BYTES (4ull << 20)

/* ---- What migration cannot do without -------------------------------------------------------- */

/* A feature that the engine could not try. */
static void untried(struct doctor_finding *finding, const char *state, const char *what)
{
	doctor_say(finding, state, "%s: it could not be tried, for want of descriptors or memory",
		   what);
	doctor_advise(finding, "run gmig doctor again, with more open files (ulimit -n) or memory");
}

static void check_kernel(const struct doctor_host *host, struct doctor_finding *finding)
{
	int major = 0, minor = 0;

	sscanf(host->release, "%d.%d", &major, &minor);
	if (major > 6 || (major == 6 && minor >= 8)) {
		doctor_say(finding, "ok", "Linux %s", host->release);
		return;
	}
	/* A vendor's kernel may have more than its version suggests: the probe decides. */
	if (host->features->move == GMIG_FEATURE_OK) {
		doctor_say(finding, "ok", "Linux %s, with UFFDIO_MOVE", host->release);
		return;
	}
	if (host->features->move == GMIG_FEATURE_UNKNOWN) {
		untried(finding, "fail", "UFFDIO_MOVE of an older kernel");
		return;
	}
	doctor_say(finding, "fail", "Linux %s: guests run, their memory cannot be moved",
		   host->release);
	doctor_advise(
	    finding,
	    "boot Linux 6.8 or later (Debian 12: linux-image-amd64 of bookworm-backports)");
}

/* Faults of the kernel that no probe can show without damaging memory. */
static void check_kernel_faults(const struct doctor_host *host, struct doctor_finding *finding)
{
	const struct gmig_features *features = host->features;

	if (features->kernel == GMIG_FEATURE_OK) {
		doctor_say(finding, "ok", "this kernel's UFFDIO_MOVE has no known fault");
		return;
	}
	if (features->kernel == GMIG_FEATURE_UNSAFE && host->unsafe_kernel) {
		doctor_say(finding, "note",
			   "%s (GMIG_UNSAFE_KERNEL is 1: migration is on nevertheless)",
			   features->kernel_fault);
		doctor_advise(finding,
			      "boot a kernel that has the fix, and unset GMIG_UNSAFE_KERNEL");
		return;
	}
	doctor_say(finding, features->kernel == GMIG_FEATURE_UNSAFE ? "fail" : "note", "%s",
		   features->kernel_fault);
	if (features->kernel == GMIG_FEATURE_UNSAFE)
		doctor_advise(finding,
			      "boot a kernel that has the fix; gmig-vmm keeps migration off here "
			      "unless it is started with --unsafe-kernel (gmig migrate pid:N "
			      "does not use UFFDIO_MOVE)");
	else
		doctor_advise(finding,
			      "update the kernel, or look in its changelog whether it has the fix");
}

static void advise_userfaultfd(const struct doctor_host *host, struct doctor_finding *finding)
{
	doctor_advise(finding,
		      "install 60-gmig-userfaultfd.rules into /etc/udev/rules.d, then as root: "
		      "udevadm trigger /dev/userfaultfd; usermod -aG kvm %s; log in again",
		      host->user);
}

static void check_userfaultfd(const struct doctor_host *host, struct doctor_finding *finding)
{
	int error = doctor_device(host, "/dev/userfaultfd"), unread;
	long sysctl = doctor_number(host, "/proc/sys/vm/unprivileged_userfaultfd", &unread);

	switch (host->features->userfaultfd) {
	case GMIG_FEATURE_OK:
		doctor_say(finding, "ok", "faults of KVM can be served, %s",
			   !error	 ? "by /dev/userfaultfd"
			   : sysctl == 1 ? "vm.unprivileged_userfaultfd is 1"
					 : "by privilege");
		return;
	case GMIG_FEATURE_NO_RIGHT:
		doctor_say(finding, "fail",
			   "user %s has no right to /dev/userfaultfd (%s), and "
			   "vm.unprivileged_userfaultfd is %ld",
			   host->user, strerror(error ? error : EPERM), sysctl);
		advise_userfaultfd(host, finding);
		return;
	case GMIG_FEATURE_UNKNOWN:
		untried(finding, "fail", "userfaultfd");
		return;
	default:
		if (doctor_filtered(host)) {
			doctor_say(
			    finding, "fail",
			    "no userfaultfd: this kernel has none, or a seccomp filter, as a "
			    "container's, hides the system call");
			doctor_advise(finding,
				      "docker, podman: --device /dev/userfaultfd; systemd: let "
				      "SystemCallFilter= have userfaultfd; else a kernel with "
				      "CONFIG_USERFAULTFD, Linux 6.8 or later");
			return;
		}
		doctor_say(finding, "fail", "this kernel has no userfaultfd");
		doctor_advise(finding, "use a kernel with CONFIG_USERFAULTFD, Linux 6.8 or later");
	}
}

/* A feature that the engine has tried. */
static void feature(struct doctor_finding *finding, enum gmig_feature_state state, const char *what,
		    const char *todo)
{
	if (state == GMIG_FEATURE_OK) {
		doctor_say(finding, "ok", "%s: works", what);
		return;
	}
	if (state == GMIG_FEATURE_UNKNOWN) {
		untried(finding, "fail", what);
		return;
	}
	doctor_say(finding, "fail", "%s: %s", what,
		   state == GMIG_FEATURE_NO_RIGHT ? "no right" : "does not work here");
	doctor_advise(finding, "%s", todo);
}

static void skip_feature(struct doctor_finding *finding, const char *what)
{
	doctor_say(finding, "fail", "%s: not tried, userfaultfd comes first", what);
	doctor_advise(finding, "do what is said of userfaultfd");
}

/* A feature whose probe needs a userfaultfd. */
static void uffd_feature(const struct doctor_host *host, struct doctor_finding *finding,
			 enum gmig_feature_state state, const char *what)
{
	if (state != GMIG_FEATURE_OK && host->features->userfaultfd != GMIG_FEATURE_OK)
		skip_feature(finding, what);
	else
		feature(finding, state, what, "use Linux 6.8 or later for x86-64");
}

static void check_move(const struct doctor_host *host, struct doctor_finding *finding)
{
	uffd_feature(host, finding, host->features->move,
		     "UFFDIO_MOVE, moving pages of a running guest");
}

static void check_write_protect(const struct doctor_host *host, struct doctor_finding *finding)
{
	uffd_feature(host, finding, host->features->write_protect,
		     "write protection by userfaultfd");
}

static void check_pagemap(const struct doctor_host *host, struct doctor_finding *finding)
{
	feature(finding, host->features->pagemap_scan, "PAGEMAP_SCAN, scanning pages",
		host->features->pagemap_scan == GMIG_FEATURE_NO_RIGHT
		    ? "mount /proc so that a process may open its own /proc/self/pagemap"
		    : "use Linux 6.7 or later");
}

/* A filter may answer ENOSYS, as a kernel without NUMA does; that has no numa_maps either. */
static bool is_hidden_by_filter(const struct doctor_host *host)
{
	char path[PATH_MAX];

	doctor_path(host, "/proc/self/numa_maps", path);
	return !access(path, F_OK) && doctor_filtered(host);
}

static void check_placement(const struct doctor_host *host, struct doctor_finding *finding)
{
	const struct gmig_features *features = host->features;
	const struct {
		const char *name;
		enum gmig_feature_state state;
	} calls[] = {{"mbind", features->mbind},
		     {"move_pages", features->move_pages},
		     {"set_mempolicy", features->set_mempolicy}};
	bool missing = false, unknown = false, filtered = is_hidden_by_filter(host);
	char refused[64] = "";

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		size_t used = strlen(refused);

		missing |= calls[i].state == GMIG_FEATURE_MISSING;
		unknown |= calls[i].state == GMIG_FEATURE_UNKNOWN;
		if (calls[i].state == GMIG_FEATURE_NO_RIGHT ||
		    (filtered && calls[i].state == GMIG_FEATURE_MISSING))
			snprintf(refused + used, sizeof(refused) - used, "%s%s", used ? ", " : "",
				 calls[i].name);
	}
	if (!*refused && unknown) {
		untried(finding, "fail", "mbind, move_pages and set_mempolicy");
	} else if (!*refused && missing) {
		doctor_say(finding, "note", "this kernel has no NUMA (CONFIG_NUMA): one node");
		doctor_advise(finding,
			      "use a kernel with CONFIG_NUMA=y, on a host with several nodes");
	} else if (!*refused) {
		doctor_say(finding, "ok", "mbind, move_pages and set_mempolicy may be called");
	} else {
		/* set_mempolicy alone is not needed. */
		doctor_say(finding, strcmp(refused, "set_mempolicy") != 0 ? "fail" : "note",
			   "refused, as by a container's seccomp filter: %s", refused);
		doctor_advise(
		    finding,
		    "docker, podman: --cap-add SYS_NICE; systemd: let SystemCallFilter= have "
		    "@resources; else allow mbind, move_pages, set_mempolicy in the profile");
	}
}

static void check_kvm(const struct doctor_host *host, struct doctor_finding *finding)
{
	int error = doctor_device(host, "/dev/kvm");

	if (!error) {
		doctor_say(finding, "ok", "/dev/kvm can be used");
		return;
	}
	doctor_say(finding, "fail", "/dev/kvm: %s", strerror(error));
	if (error == ENOENT || error == ENXIO || error == ENODEV)
		doctor_advise(
		    finding,
		    "turn virtualization on in the firmware and load kvm_intel or kvm_amd");
	else
		doctor_advise(finding, "as root: usermod -aG kvm %s; log in again", host->user);
}

/* ---- What makes it slower or partial --------------------------------------------------------- */

static void check_huge_pages(const struct doctor_host *host, struct doctor_finding *finding)
{
	char enabled[32], defrag[32], ours[16] = "";
	int error = doctor_chosen(host, THP "/enabled", enabled, sizeof(enabled));
	int more = doctor_chosen(host, THP "/defrag", defrag, sizeof(defrag));

	error = error ? error : more;
	if (!doctor_status(host, "self", "THP_enabled:\t", ours, sizeof(ours)) && !error)
		error = errno;
	if (doctor_unknown(finding, error, "whether guests get huge pages"))
		return;
	if (!enabled[0] || !strcmp(enabled, "never")) {
		doctor_say(finding, "note",
			   "transparent huge pages are %s: guests get 4K pages, which move "
			   "several times slower",
			   enabled[0] ? "off" : "not in this kernel");
		doctor_advise(finding,
			      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
	} else if (*ours == '0') {
		doctor_say(
		    finding, "note",
		    "this process may have no transparent huge pages (PR_SET_THP_DISABLE, which "
		    "children inherit): "
		    "a guest started from here gets 4K pages, which move several times slower");
		doctor_advise(
		    finding,
		    "find who sets it: the service, container or wrapper that this was started by");
	} else if (!strcmp(defrag, "never")) {
		doctor_say(
		    finding, "note",
		    "huge pages are %s, but the kernel makes no room for them (defrag is never)",
		    enabled);
		doctor_advise(finding, "echo madvise > /sys/kernel/mm/transparent_hugepage/defrag");
	} else {
		doctor_say(finding, "ok", "huge pages: %s, defrag: %s", enabled, defrag);
	}
}

/* What gmig-vmm says when such a guest starts. */
static void check_shared_huge_pages(const struct doctor_host *host, struct doctor_finding *finding)
{
	static const char path[] = THP "/shmem_enabled";
	char enabled[32];
	int error = doctor_chosen(host, path, enabled, sizeof(enabled));

	if (doctor_unknown(finding, error, "whether shared memory has transparent huge pages"))
		return;
	if (enabled[0] && strcmp(enabled, "never") != 0 && strcmp(enabled, "deny") != 0) {
		doctor_say(finding, "ok", "huge pages of shared memory: %s", enabled);
		return;
	}
	doctor_say(finding, "note",
		   "shared memory has no transparent huge pages (shmem_enabled is %s): guests with "
		   "--memory memfd get 4K pages, which move several times slower; others are not "
		   "concerned",
		   enabled[0] ? enabled : "not in this kernel");
	doctor_advise(finding, "for such guests: echo advise > %s, or --memory memfd,huge=2M",
		      path);
}

/* hugetlbfs tells of what only a peer has touched by minor faults alone (migrate/memory/file_window.h). */
static void check_shared_hugetlb(const struct doctor_host *host, struct doctor_finding *finding)
{
	static const char what[] =
	    "of guests with --memory memfd,huge=2M, huge pages that only another "
	    "process has touched are neither seen nor moved; others are not "
	    "concerned";

	switch (host->features->minor_hugetlb) {
	case GMIG_FEATURE_OK:
		doctor_say(
		    finding, "ok",
		    "huge pages of hugetlbfs that only another process has touched are seen");
		return;
	case GMIG_FEATURE_NO_RIGHT:
		doctor_say(finding, "note", "user %s has no right to a userfaultfd: %s", host->user,
			   what);
		advise_userfaultfd(host, finding);
		return;
	case GMIG_FEATURE_UNKNOWN:
		untried(finding, "note", "minor faults of hugetlb pages");
		return;
	default:
		doctor_say(finding, "note", "this kernel has no minor faults of hugetlb pages: %s",
			   what);
		doctor_advise(finding, "use Linux 5.18 or later for x86-64");
	}
}

static void check_nodes(const struct doctor_host *host, struct doctor_finding *finding)
{
	const struct gmig_node_set *nodes = gmig_topology_nodes(host->topology);
	char text[DOCTOR_TEXT] = "", size[UNITS_TEXT];
	unsigned int count = 0;

	gmig_node_set_each (node, nodes) {
		size_t used = strlen(text);
		uint64_t free_bytes, cache_bytes;
		int ret = gmig_topology_room(host->topology, node, &free_bytes, &cache_bytes);

		snprintf(text + used, sizeof(text) - used, "%s node %u %s", count++ ? "," : "",
			 node, ret ? gmig_errno_name(ret) : units_size(free_bytes, size));
	}
	doctor_say(finding, count > 1 ? "ok" : "note", "%u NUMA node%s, free:%.400s", count,
		   count == 1 ? "" : "s", text);
	if (count < 2)
		doctor_advise(finding,
			      "nowhere to move memory to: gmig-vmm --fake-nodes 2 pretends, "
			      "tests/lab/lab of the source tree makes a host with nodes");
}

static void check_cpuset(const struct doctor_host *host, struct doctor_finding *finding)
{
	struct gmig_node_set denied = *gmig_topology_nodes(host->topology), allowed;
	char value[512];

	if (!doctor_status(host, "self", "Mems_allowed_list:\t", value, sizeof(value))) {
		if (!doctor_unknown(finding, errno, "which nodes this cpuset allows"))
			doctor_say(finding, "ok", "no cpuset");
		return;
	}
	if (gmig_node_set_parse(value, &allowed, NULL))
		allowed = denied;
	gmig_node_set_minus(&denied, &allowed);
	if (gmig_node_set_empty(&denied)) {
		doctor_say(finding, "ok", "memory of every node may be used");
		return;
	}
	doctor_say(finding, "note", "this cpuset allows memory of the nodes %.300s only", value);
	doctor_advise(finding, "start gmig-vmm in a cgroup whose cpuset.mems names all nodes");
}

/* Of this process's memory cgroups and the host: gmig-vmm's are the same when it is started here. */
static void check_room(const struct doctor_host *host, struct doctor_finding *finding)
{
	struct room_source *source = calloc(1, sizeof(*source));
	char left[UNITS_TEXT], extra[UNITS_TEXT];
	struct room room;

	if (!source) {
		doctor_unknown(finding, ENOMEM, "how much memory a move may use");
		return;
	}
	source->root = host->root;
	room_read(source, &room);
	free(source);
	if (doctor_unknown(finding, room.unread, "how much memory a move may use"))
		return;
	units_size(room.bytes & ~((1ull << 20) - 1), left);
	units_size(DOCTOR_EXTRA_BYTES, extra);
	if (room.bytes >= DOCTOR_EXTRA_BYTES) {
		doctor_say(finding, "ok",
			   "a move uses up to %s beside the guest's memory, there is room", extra);
		return;
	}
	doctor_say(finding, room.bytes < DOCTOR_LEAST_BYTES ? "fail" : "note",
		   "a move uses up to %s beside the guest's memory, and %s%.200s leaves %s", extra,
		   strcmp(room.limit, "host") ? "the cgroup " : "the ", room.limit, left);
	if (strcmp(room.limit, "host") != 0)
		doctor_advise(
		    finding,
		    "raise memory.max and memory.high of that cgroup to the guest's memory "
		    "and %s more (systemd: MemoryMax=, MemoryHigh=); with less a move is "
		    "slower, or pages remain with ENOMEM",
		    extra);
	else
		doctor_advise(finding,
			      "free memory on the host; with less a move is slower, or pages "
			      "remain with ENOMEM");
}

/* What the cgroup of a running guest keeps it from. True: something, which is said. *error is set when it could not be looked at. */
static bool is_hemmed_in(const struct doctor_host *host, const char *pid,
			 struct doctor_finding *finding, int *error)
{
	struct gmig_node_set denied = *gmig_topology_nodes(host->topology), allowed;
	struct room_source *source = calloc(1, sizeof(*source));
	char value[512], left[UNITS_TEXT];
	struct room room = {.bytes = UINT64_MAX};

	if (source) {
		source->root = host->root;
		source->pid = (unsigned int)strtoul(pid, NULL, 10);
		room_read(source, &room);
		free(source);
		*error = room.unread ? room.unread : *error;
	} else {
		*error = ENOMEM;
	}
	if (!doctor_status(host, pid, "Mems_allowed_list:\t", value, sizeof(value))) {
		*error = errno && errno != ENOENT && errno != ESRCH ? errno : *error;
	} else if (!gmig_node_set_parse(value, &allowed, NULL)) {
		gmig_node_set_minus(&denied, &allowed);
		if (!gmig_node_set_empty(&denied)) {
			doctor_say(
			    finding, "note",
			    "the guest of pid %.20s may have memory on the nodes %.200s only: none "
			    "of it goes elsewhere (EACCES)",
			    pid, value);
			doctor_advise(
			    finding,
			    "write all nodes to cpuset.mems of the cgroup in /proc/%.20s/cgroup "
			    "(systemd: AllowedMemoryNodes=)",
			    pid);
			return true;
		}
	}
	if (room.unread || room.bytes >= DOCTOR_EXTRA_BYTES || !strcmp(room.limit, "host"))
		return false;
	units_size(room.bytes & ~((1ull << 20) - 1), left);
	doctor_say(finding, "note",
		   "the guest of pid %.20s has %s left in %.200s, beside its memory: its moves are "
		   "slower, "
		   "or pages remain with ENOMEM",
		   pid, left, room.limit);
	doctor_advise(
	    finding, "raise memory.max and memory.high of that cgroup by 64M (systemd: MemoryMax=, "
		     "MemoryHigh=)");
	return true;
}

/* gmig-vmm's may have been started elsewhere than where we are. */
static void check_guests(const struct doctor_host *host, struct doctor_finding *finding)
{
	unsigned int count = 0, hemmed = 0;
	struct doctor_finding first = {0}, one;
	const char *pid;
	size_t used;
	int error;
	DIR *proc = doctor_proc(host, &error);

	while ((pid = doctor_process(host, proc, "gmig-vmm", &error))) {
		count++;
		if (is_hemmed_in(host, pid, &one, &error) && !hemmed++)
			first = one;
	}
	if (proc)
		closedir(proc);
	if (!hemmed &&
	    doctor_unknown(finding, error, "whether each guest of gmig-vmm has all nodes and room"))
		return;
	if (!count) {
		doctor_say(finding, "ok", "no guest of gmig-vmm runs");
		return;
	}
	if (!hemmed) {
		doctor_say(finding, "ok",
			   "%u guest%s of gmig-vmm run%s, each with all nodes and room", count,
			   count == 1 ? "" : "s", count == 1 ? "s" : "");
		return;
	}
	*finding = first;
	used = strlen(finding->text);
	if (hemmed > 1)
		snprintf(finding->text + used, sizeof(finding->text) - used,
			 "; and %u other%s of %u are like that", hemmed - 1, hemmed == 2 ? "" : "s",
			 count);
	used = strlen(finding->text);
	if (error)
		snprintf(finding->text + used, sizeof(finding->text) - used,
			 "; not all could be looked at: %s", strerror(error));
}

/* numad moves memory by itself, and sets cpusets. */
static void check_numad(const struct doctor_host *host, struct doctor_finding *finding)
{
	int error;
	DIR *proc = doctor_proc(host, &error);
	const char *pid = doctor_process(host, proc, "numad", &error);

	if (!pid && !doctor_unknown(finding, error, "whether numad runs"))
		doctor_say(finding, "ok", "numad does not run");
	if (pid) {
		doctor_say(finding, "note",
			   "numad runs (pid %.20s): it moves memory of guests, too, and sets their "
			   "cpusets, so that what is moved may go back",
			   pid);
		doctor_advise(finding,
			      "numad -x PID for each guest, or: systemctl disable --now numad");
	}
	if (proc)
		closedir(proc);
}

/* Memory of QEMU is bound only where its domain says so; gmig-vmm binds all of its own. */
static void check_autonuma(const struct doctor_host *host, struct doctor_finding *finding)
{
	int unread, error = 0;
	long on = doctor_number(host, "/proc/sys/kernel/numa_balancing", &unread);
	DIR *proc = on > 0 ? doctor_proc(host, &error) : NULL;
	const char *pid = doctor_process(host, proc, "@(qemu-system-*|qemu-kvm)", &error);

	if (on <= 0) {
		if (!doctor_unknown(finding, unread, "whether AutoNUMA is on"))
			doctor_say(finding, "ok", "AutoNUMA is off");
	} else if (!pid) {
		if (!doctor_unknown(finding, error, "whether QEMU runs while AutoNUMA is on"))
			doctor_say(
			    finding, "ok",
			    "AutoNUMA is on, but leaves the memory of gmig-vmm alone, since that "
			    "is bound");
	} else {
		doctor_say(
		    finding, "note",
		    "AutoNUMA is on, and QEMU runs (pid %.20s): unless its memory is bound, the "
		    "kernel moves it to where its threads run, back as well; it leaves that of "
		    "gmig-vmm alone",
		    pid);
		doctor_advise(finding,
			      "bind such a domain's memory (<numatune> with mode='strict'), keep "
			      "its vCPUs where its memory is to be, or: sysctl "
			      "kernel.numa_balancing=0");
	}
	if (proc)
		closedir(proc);
}

static void check_ksm(const struct doctor_host *host, struct doctor_finding *finding)
{
	int unread;

	if (doctor_number(host, "/sys/kernel/mm/ksm/run", &unread) != 1) {
		if (!doctor_unknown(finding, unread, "whether KSM runs"))
			doctor_say(finding, "ok", "KSM does not run");
		return;
	}
	doctor_say(finding, "note", "KSM runs: pages that it merges cannot be moved (EBUSY)");
	doctor_advise(finding,
		      "no process that starts gmig-vmm may set PR_SET_MEMORY_MERGE; else: echo 2 > "
		      "/sys/kernel/mm/ksm/run");
}

/* A huge page of hugetlbfs that mover hugetlb has moved is a mapping of its own (migrate/memory/huge_page.h). */
static void check_maps(const struct doctor_host *host, struct doctor_finding *finding)
{
	int unread, no_pool;
	long maps = doctor_number(host, "/proc/sys/vm/max_map_count", &unread);
	long pages =
	    doctor_number(host, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", &no_pool);
	char size[UNITS_TEXT];

	if (maps >= 0 && maps < DOCTOR_MAX_MAPS_LOW) {
		doctor_say(finding, "note", "vm.max_map_count is %ld: big guests may not start",
			   maps);
		doctor_advise(finding, "sysctl vm.max_map_count=65530");
	} else if (maps >= 0 && pages > maps - DOCTOR_MAPS_KEPT) {
		doctor_say(
		    finding, "note",
		    "vm.max_map_count is %ld: of a guest with --memory hugetlb %s can move page by "
		    "page, the kernel moves the rest, and keeps readers waiting, too",
		    maps, units_size((uint64_t)(maps - DOCTOR_MAPS_KEPT) << 21, size));
		doctor_advise(finding, "sysctl vm.max_map_count=%ld", pages + 2 * DOCTOR_MAPS_KEPT);
	} else if (!doctor_unknown(finding, unread ? unread : no_pool,
				   "whether vm.max_map_count is enough")) {
		doctor_say(finding, "ok", "vm.max_map_count is %ld", maps);
	}
}

static void check_memlock(const struct doctor_host *host, struct doctor_finding *finding)
{
	(void)host;
	doctor_say(finding, "ok", "not needed: no memory is locked, but with gmig-vmm --mlock");
}

static void check_sandbox(const struct doctor_host *host, struct doctor_finding *finding)
{
	if (host->landlock > 0) {
		doctor_say(finding, "ok",
			   "a VM is kept to its system calls, and by Landlock to its files");
		return;
	}
	doctor_say(
	    finding, "note",
	    "this kernel has no Landlock: a VM is kept to its system calls alone, and can read "
	    "what "
	    "user %s can",
	    host->user);
	doctor_advise(finding, "use Linux 5.13 or later, with landlock in the list of lsm=");
}

static void check_sockets(const struct doctor_host *host, struct doctor_finding *finding)
{
	char directory[PATH_MAX];
	struct gmig_error err = {0};

	(void)host;
	if (!control_socket_dir(directory, sizeof(directory), &err)) {
		doctor_say(finding, "ok", "control sockets are in %.400s", directory);
		return;
	}
	doctor_say(finding, "fail", "%s", err.text);
	doctor_advise(
	    finding, "export XDG_RUNTIME_DIR=/run/user/$(id -u), or another directory of your own");
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*check)(const struct doctor_host *host, struct doctor_finding *finding);
} checks[] = {
    {"kernel", check_kernel},
    {"kernel-faults", check_kernel_faults},
    {"userfaultfd", check_userfaultfd},
    {"move", check_move},
    {"write-protect", check_write_protect},
    {"pagemap", check_pagemap},
    {"kvm", check_kvm},
    {"placement", check_placement},
    {"sockets", check_sockets},
    {"huge-pages", check_huge_pages},
    {"shared-huge-pages", check_shared_huge_pages},
    {"shared-hugetlb", check_shared_hugetlb},
    {"nodes", check_nodes},
    {"cpuset", check_cpuset},
    {"room", check_room},
    {"guests", check_guests},
    {"autonuma", check_autonuma},
    {"numad", check_numad},
    {"ksm", check_ksm},
    {"max-map-count", check_maps},
    {"memlock", check_memlock},
    {"sandbox", check_sandbox},
};

json_t *doctor_examine(const struct doctor_host *host)
{
	json_t *list = json_array();
	bool ok = true;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct doctor_finding finding = {.state = "ok"};
		json_t *check;

		checks[i].check(host, &finding);
		check = json_pack("{s:s, s:s, s:s}", "name", checks[i].name, "state", finding.state,
				  "text", finding.text);
		if (check && finding.todo[0])
			json_object_set_new(check, "todo", json_string(finding.todo));
		ok = ok && strcmp(finding.state, "fail") != 0;
		json_array_append_new(list, check);
	}
	return json_pack("{s:b, s:o}", "ok", ok, "checks", list);
}

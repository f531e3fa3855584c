#include "kernels.h"
#include "shortage.h"
#include "uffd.h"
#include "whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static void say(struct gmig_features *features, const char *why)
{
	if (!features->why[0])
		snprintf(features->why, sizeof(features->why), "%s", why);
}

static void say_untried(struct gmig_features *features, const char *what, int error)
{
	char why[GMIG_ERROR_TEXT];

	snprintf(why, sizeof(why), "it could not be tried whether %s works here: %s", what,
		 gmig_errno_name(error));
	say(features, why);
}

/* Register one page and move another into it: the only proof that UFFDIO_MOVE works here. */
static int try_move(const struct gmig_sys *sys, int fd)
{
	size_t page = GMIG_PAGE_BYTES, done;
	void *reserved, *memory;
	int ret = gmig_sys_map_aligned(sys, GMIG_BLOCK_BYTES, &reserved, &memory);

	if (ret)
		return ret;
	sys->advise(memory, GMIG_BLOCK_BYTES, MADV_NOHUGEPAGE);
	*(volatile char *)memory = 1;
	ret = uffd_register(sys, fd, (char *)memory + page, page, UFFDIO_REGISTER_MODE_MISSING);
	if (!ret) {
		struct uffd_move move = {fd, (char *)memory + page, memory, page, true};

		ret = uffd_move(sys, &move, &done);
	}
	sys->unmap(reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	return ret;
}

/* 0, or what stands in the way. */
static int probe_pagemap(const struct gmig_sys *sys, struct gmig_features *features)
{
	struct uffd_scan scan;
	int fd = sys->pagemap();
	int ret = fd;

	if (fd >= 0) {
		void *reserved, *memory;

		ret = gmig_sys_map_aligned(sys, GMIG_BLOCK_BYTES, &reserved, &memory);
		if (!ret) {
			ret = uffd_scan(sys, fd, memory, &scan);
			sys->unmap(reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
		}
		sys->close(fd);
	}
	features->pagemap_scan = ret == 0	    ? GMIG_FEATURE_OK
				 : ret == -EACCES   ? GMIG_FEATURE_NO_RIGHT
				 : is_shortage(ret) ? GMIG_FEATURE_UNKNOWN
						    : GMIG_FEATURE_MISSING;
	if (is_shortage(ret))
		say_untried(features, "PAGEMAP_SCAN", ret);
	else if (ret)
		say(features,
		    "this kernel cannot list a process's pages (PAGEMAP_SCAN, Linux 6.7); "
		    "use Linux 6.8 or later with /proc mounted");
	return features->pagemap_scan == GMIG_FEATURE_MISSING	 ? -ENOSYS
	       : features->pagemap_scan == GMIG_FEATURE_NO_RIGHT ? -EPERM
								 : ret;
}

/*
 * The host may give none, or this process may have none: a setting that it inherits from whoever started it. 3, since Linux 6.18: none
 * but where they are asked for, and the engine asks (MADV_HUGEPAGE).
 */
static void probe_thp(struct gmig_features *features)
{
	char text[64] = "";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	bool denied = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1;
	int error = fd < 0 || read_whole(fd, text, sizeof(text) - 1) < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	features->thp = denied || (!error && strstr(text, "[never]")) ? GMIG_FEATURE_MISSING
			: !error				      ? GMIG_FEATURE_OK
			: is_shortage(error)			      ? GMIG_FEATURE_UNKNOWN
								      : GMIG_FEATURE_MISSING;
}

static enum gmig_feature_state allowed(int ret)
{
	return ret == -EPERM	? GMIG_FEATURE_NO_RIGHT
	       : ret == -ENOSYS ? GMIG_FEATURE_MISSING
	       : ret == -ENOMEM ? GMIG_FEATURE_UNKNOWN
				: GMIG_FEATURE_OK;
}

/* Only whether the calls are let through: a node that a cpuset forbids is another matter. */
static void probe_placement(const struct gmig_sys *sys, struct gmig_features *features)
{
	void *reserved, *memory;
	int status;

	features->set_mempolicy = allowed(sys->set_policy(-1));
	features->mbind = features->move_pages = GMIG_FEATURE_UNKNOWN;
	if (gmig_sys_map_aligned(sys, GMIG_BLOCK_BYTES, &reserved, &memory))
		return;
	features->mbind = allowed(sys->prefer_node(memory, GMIG_BLOCK_BYTES, 0));
	features->move_pages = allowed(sys->query_nodes(1, &memory, &status));
	sys->unmap(reserved, GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
}

static void judge_kernel(const struct gmig_sys *sys, struct gmig_features *features)
{
	struct kernel_name name;

	sys->kernel_name(&name);
	switch (kernel_judge(&name, features->kernel_fault)) {
	case KERNEL_SAFE:
		features->kernel = GMIG_FEATURE_OK;
		break;
	case KERNEL_UNSAFE:
		features->kernel = GMIG_FEATURE_UNSAFE;
		break;
	default:
		features->kernel = GMIG_FEATURE_DOUBTFUL;
	}
}

/* As file_window.c opens one. */
static void probe_minor(const struct gmig_sys *sys, struct gmig_features *features)
{
	int fd, ret = uffd_open(sys, UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_SIGBUS, &fd, NULL);

	features->minor_hugetlb = !ret				    ? GMIG_FEATURE_OK
				  : ret == -EPERM || ret == -EACCES ? GMIG_FEATURE_NO_RIGHT
				  : is_shortage(ret)		    ? GMIG_FEATURE_UNKNOWN
								    : GMIG_FEATURE_MISSING;
	if (!ret)
		sys->close(fd);
}

static int probe_open(const struct gmig_sys *sys, struct gmig_features *features, int *fd)
{
	int ret = uffd_open(sys, UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP, fd, NULL);

	if (!ret)
		return 0;
	if (is_shortage(ret)) {
		features->userfaultfd = features->move = features->write_protect =
		    GMIG_FEATURE_UNKNOWN;
		say_untried(features, "userfaultfd", ret);
		return ret;
	}
	features->move = GMIG_FEATURE_MISSING;
	features->write_protect = GMIG_FEATURE_MISSING;
	if (ret == -EPERM || ret == -EACCES) {
		features->userfaultfd = GMIG_FEATURE_NO_RIGHT;
		say(features,
		    "no right to use userfaultfd for faults taken in the kernel: install "
		    "gmig's udev rule "
		    "(60-gmig-userfaultfd.rules) and join group kvm, or run: setfacl -m u:$USER:rw "
		    "/dev/userfaultfd");
		return -EPERM;
	}
	features->userfaultfd = GMIG_FEATURE_MISSING;
	say(features,
	    "this kernel has no userfaultfd (CONFIG_USERFAULTFD); use Linux 6.8 or later");
	return -ENOSYS;
}

int gmig_probe_features(struct gmig_features *features)
{
	return gmig_probe_features_with(&gmig_sys_real, features);
}

int gmig_probe_features_with(const struct gmig_sys *sys, struct gmig_features *features)
{
	int fd, ret, result = 0;

	memset(features, 0, sizeof(*features));
	probe_thp(features);
	judge_kernel(sys, features);
	probe_placement(sys, features);
	probe_minor(sys, features);
	ret = probe_open(sys, features, &fd);
	if (ret) {
		probe_pagemap(sys, features);
		return ret;
	}
	ret = try_move(sys, fd);
	if (is_shortage(ret)) {
		features->move = GMIG_FEATURE_UNKNOWN;
		result = ret;
		say_untried(features, "UFFDIO_MOVE", ret);
	} else if (ret) {
		features->move = GMIG_FEATURE_MISSING;
		result = -ENOSYS;
		say(features, "this kernel cannot move pages with userfaultfd (UFFDIO_MOVE); use "
			      "Linux 6.8 or later");
	}
	sys->close(fd);
	ret = probe_pagemap(sys, features);
	return result ? result : ret;
}

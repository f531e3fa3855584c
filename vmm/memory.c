/*
 * Guest RAM: where each vnode lies in guest-physical space, who maps it, and the one way from a guest address to a
 * pointer.
 */
#include "machine.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

size_t vmm_memory_layout(const struct vmm_options *options, struct vmm_window *window)
{
	uint64_t gpa = 0;
	size_t count = 0;

	for (unsigned int vnode = 0; vnode < options->node_count; vnode++) {
		uint64_t left = options->node[vnode].mem_bytes;

		while (left) {
			uint64_t room = gpa < VMM_HOLE_GPA ? VMM_HOLE_GPA - gpa : UINT64_MAX;
			uint64_t bytes = left < room ? left : room;

			window[count++] = (struct vmm_window){.vnode = vnode, .gpa = gpa, .bytes = bytes};
			left -= bytes;
			gpa += bytes;
			if (gpa == VMM_HOLE_GPA)
				gpa = VMM_HOLE_END_GPA;
		}
	}
	return count;
}

size_t vmm_windows(const struct vmm *vmm, const struct vmm_window **windows)
{
	*windows = vmm->window;
	return vmm->window_count;
}

void *vmm_guest_ptr(const struct vmm *vmm, uint64_t gpa, uint64_t bytes)
{
	for (size_t i = 0; i < vmm->window_count; i++) {
		const struct vmm_window *window = &vmm->window[i];
		uint64_t offset = gpa - window->gpa; /* wraps to something large below the window */

		if (offset < window->bytes && bytes <= window->bytes - offset)
			return window->hva + offset;
	}
	return NULL;
}

static int map_window(struct vmm *vmm, struct vmm_window *window, struct gmig_error *err)
{
	uint8_t *raw;

	(void)vmm;
	raw = mmap(NULL, window->bytes + GMIG_BLOCK_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return gmig_fail(err, -errno, "cannot map guest RAM: %s", strerror(errno));
	window->hva = (uint8_t *)(((uintptr_t)raw + GMIG_BLOCK_BYTES - 1) & ~(GMIG_BLOCK_BYTES - 1));
	madvise(window->hva, window->bytes, MADV_HUGEPAGE);
	return 0;
}

int vmm_memory_create(struct vmm *vmm, struct gmig_error *err)
{
	size_t count = vmm_memory_layout(&vmm->options, vmm->window);

	for (size_t i = 0; i < count; i++) {
		int ret = map_window(vmm, &vmm->window[i], err);

		if (ret)
			return ret;
		vmm->window_count = i + 1;
	}
	return 0;
}

int vmm_memory_plug(struct vmm *vmm, struct gmig_error *err)
{
	for (size_t i = 0; i < vmm->window_count; i++) {
		const struct vmm_window *window = &vmm->window[i];
		struct kvm_userspace_memory_region region = {
			.slot = (uint32_t)i,
			.guest_phys_addr = window->gpa,
			.memory_size = window->bytes,
			.userspace_addr = (uintptr_t)window->hva,
		};

		if (ioctl(vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
			return gmig_fail(err, -errno, "KVM refuses guest RAM at 0x%llx: %s",
					 (unsigned long long)window->gpa, strerror(errno));
	}
	return 0;
}

void vmm_memory_destroy(struct vmm *vmm)
{
	for (size_t i = 0; i < vmm->window_count; i++)
		munmap(vmm->window[i].hva, vmm->window[i].bytes);
	vmm->window_count = 0;
}

/*
 * Guest RAM: where each vnode is in guest-physical space, how it is mapped, and the only way from a
 * guest address to a pointer.
 */
#include "memory.h"
#include "../migrate/gmig_discard.h"
#include "../migrate/gmig_dma.h"
#include "hold.h"
#include "internal.h"
#include "threads.h"
#include "vcpu.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SLOT_BYTES (4ull << 40)

size_t vmm_memory_layout(const struct vmm_options *options, struct vmm_region *region)
{
	uint64_t gpa = 0;
	size_t count = 0;

	for (unsigned int vnode = 0; vnode < options->node_count; vnode++) {
		uint64_t left = options->node[vnode].mem_bytes;

		while (left) {
			uint64_t room = gpa < VMM_HOLE_GPA ? VMM_HOLE_GPA - gpa : UINT64_MAX;
			uint64_t bytes = left < room ? left : room;

			region[count++] =
			    (struct vmm_region){.vnode = vnode, .gpa = gpa, .bytes = bytes};
			left -= bytes;
			gpa += bytes;
			if (gpa == VMM_HOLE_GPA)
				gpa = VMM_HOLE_END_GPA;
		}
	}
	return count;
}

size_t vmm_regions(const struct vmm *vmm, const struct vmm_region **regions)
{
	*regions = vmm->region;
	return vmm->region_count;
}

void *vmm_guest_ptr(const struct vmm *vmm, uint64_t gpa, uint64_t bytes)
{
	for (size_t i = 0; i < vmm->region_count; i++) {
		const struct vmm_region *region = &vmm->region[i];
		uint64_t offset =
		    gpa - region->gpa; /* below the region it wraps to a large number */

		if (offset < region->bytes && bytes <= region->bytes - offset)
			return region->hva + offset;
	}
	return NULL;
}

int vmm_dma_begin(const struct vmm *vmm, const void *start, size_t bytes)
{
	return gmig_dma_begin(vmm->gmig, start, bytes);
}

void vmm_dma_end(const struct vmm *vmm, const void *start, size_t bytes)
{
	gmig_dma_end(vmm->gmig, start, bytes);
}

int vmm_guest_discard(const struct vmm *vmm, const void *start, size_t bytes, size_t *done_bytes)
{
	return gmig_discard(vmm->gmig, start, bytes, done_bytes);
}

/* ---- Engine ---------------------------------------------------------------------------------- */

static void engine_log(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque;
	vmm_log(level, "%s", line);
}

static void engine_fatal(void *opaque, const struct gmig_error *err)
{
	vmm_end(opaque, VMM_END_MEMORY_LOST, err->text);
}

static void engine_hold_vcpus(void *opaque, bool on)
{
	if (on)
		vmm_vcpus_hold(opaque);
	else
		vmm_vcpus_release(opaque);
}

/* What an operator should know about migration on this host. */
static void warn(const struct vmm *vmm)
{
	struct gmig_features features;

	gmig_probe_features(&features);
	if (gmig_why_off(vmm->gmig))
		vmm_log(GMIG_LOG_WARNING, "%s%s", gmig_why_off(vmm->gmig),
			features.kernel == GMIG_FEATURE_UNSAFE
			    ? " (--unsafe-kernel migrates nevertheless)"
			    : "");
	else if (features.kernel != GMIG_FEATURE_OK)
		vmm_log(GMIG_LOG_WARNING, "%s", features.kernel_fault);
}

/* tmpfs has a switch of its own, and it is off unless somebody has turned it on. */
static void warn_of_small_pages(const struct vmm *vmm)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char line[128] = "";
	FILE *file;

	if (!vmm->options.memfd || vmm->options.memfd_huge || vmm->options.small_pages)
		return;
	file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file) &&
	    (strstr(line, "[never]") || strstr(line, "[deny]")))
		vmm_log(GMIG_LOG_WARNING,
			"the guest's memory will be of 4K pages, which move several times slower: "
			"echo advise > %s, or take --memory memfd,huge=2M",
			path);
	if (file)
		fclose(file);
}

static int create_engine(struct vmm *vmm, const struct vmm_memory_events *events,
			 struct gmig_error *err)
{
	struct gmig_options options = {
	    .topology = vmm->topology,
	    .pool_bytes_per_node = vmm->options.pool_bytes,
	    .extra_bytes_max = vmm->options.extra_bytes,
	    .small_pages = vmm->options.small_pages,
	    .dump_memory = vmm->options.dump_guest_core,
	    .plain = vmm->options.plain,
	    .unsafe_kernel = vmm->options.unsafe_kernel,
	    .off_if_unavailable = true,
	    .lock_memory = vmm->options.mlock,
	    .job_event = events ? events->job : NULL,
	    .memory_broke = events ? events->broke : NULL,
	    .log = engine_log,
	    .fatal = engine_fatal,
	    .thread = vmm_engine_thread,
	    .hold_vcpus = engine_hold_vcpus,
	    .opaque = vmm,
	};
	int ret = gmig_create(&options, &vmm->gmig, err);

	if (!ret && !vmm->options.plain)
		warn(vmm);
	if (!ret)
		warn_of_small_pages(vmm);
	return ret;
}

static int map_region(struct vmm *vmm, struct vmm_region *region, struct gmig_error *err)
{
	struct gmig_region_spec spec = {
	    .vnode = region->vnode,
	    .host_node = vmm->options.node[region->vnode].host,
	    .gpa = region->gpa,
	    .bytes = region->bytes,
	    .kind = vmm->options.giant_pages  ? GMIG_REGION_HUGETLB_1G
		    : vmm->options.hugetlb    ? GMIG_REGION_HUGETLB
		    : vmm->options.memfd_huge ? GMIG_REGION_MEMFD_HUGETLB
		    : vmm->options.memfd      ? GMIG_REGION_MEMFD
					      : GMIG_REGION_RAM,
	};
	void *hva;
	int ret = gmig_region_add(vmm->gmig, &spec, &hva, err);

	if (!ret)
		region->hva = hva;
	return ret;
}

int vmm_memory_create(struct vmm *vmm, const struct vmm_memory_events *events,
		      struct gmig_error *err)
{
	size_t count = vmm_memory_layout(&vmm->options, vmm->region);
	int ret;

	vmm_threads_init(vmm); /* the engine's begin with it */
	ret = create_engine(vmm, events, err);

	for (size_t i = 0; i < count && !ret; i++) {
		ret = map_region(vmm, &vmm->region[i], err);
		if (!ret)
			vmm->region_count = i + 1;
	}
	return ret;
}

/* How a refusal of KVM_SET_USER_MEMORY_REGION is to be understood. */
static const char *why_refused(int error)
{
	switch (error) {
	case ENOMEM:
		return "the host has no memory for KVM's own tables of so much RAM";
	case EINVAL:
		return "it is more than this KVM can address";
	default:
		return strerror(error);
	}
}

/* A slot holds less than 8 TiB (KVM_MEM_MAX_NR_PAGES): larger regions take several. */
static int plug_region(struct vmm *vmm, const struct vmm_region *region, uint32_t *next_slot,
		       struct gmig_error *err)
{
	for (uint64_t done = 0, part; done < region->bytes; done += part) {
		struct kvm_userspace_memory_region slot = {
		    .slot = *next_slot,
		    .guest_phys_addr = region->gpa + done,
		    .userspace_addr = (uintptr_t)region->hva + done,
		};

		part = region->bytes - done < SLOT_BYTES ? region->bytes - done : SLOT_BYTES;
		slot.memory_size = part;
		if (ioctl(vmm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot)) {
			int ret = -errno;

			return gmig_fail(
			    err, ret, "KVM refuses %llu MiB of guest RAM at 0x%llx: %s",
			    (unsigned long long)part >> 20,
			    (unsigned long long)slot.guest_phys_addr, why_refused(-ret));
		}
		++*next_slot;
	}
	return 0;
}

int vmm_memory_plug(struct vmm *vmm, struct gmig_error *err)
{
	const struct vmm_region *last = &vmm->region[vmm->region_count - 1];
	unsigned int bits = vmm_cpuid_address_bits(vmm->kvm_fd);
	uint32_t next_slot = 0;
	int ret = 0;

	if (bits < 64 && last->gpa + last->bytes > 1ull << bits)
		return gmig_fail(err, -EINVAL,
				 "--mem: the guest's memory would end at %llu GiB, but this host's "
				 "guests have %u bits of physical address, which is %llu GiB",
				 (unsigned long long)(last->gpa + last->bytes) >> 30, bits,
				 1ull << bits >> 30);
	for (size_t i = 0; i < vmm->region_count && !ret; i++)
		ret = plug_region(vmm, &vmm->region[i], &next_slot, err);
	return ret;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Zeroing is what takes the time. */
static unsigned int prealloc_threads(const struct vmm *vmm)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (vmm->options.prealloc_threads)
		return vmm->options.prealloc_threads;
	return cpus < 1 ? 1 : cpus > GMIG_MAX_WORKERS ? GMIG_MAX_WORKERS : (unsigned int)cpus;
}

int vmm_memory_prealloc(struct vmm *vmm, bool (*stop)(void *opaque), struct gmig_error *err)
{
	const struct gmig_populate how = {
	    .threads = prealloc_threads(vmm), .stop = stop, .opaque = vmm};
	uint64_t begin_ms = now_ms();
	struct gmig_error why;
	int ret;

	if (!vmm->options.prealloc)
		return 0;
	ret = gmig_populate(vmm->gmig, &how, &why);
	if (ret)
		return gmig_fail(err, ret, "--prealloc: %s", why.text);
	vmm_log(GMIG_LOG_INFO, "prealloc mib=%llu threads=%u ms=%llu",
		(unsigned long long)vmm->options.mem_bytes >> 20, how.threads,
		(unsigned long long)(now_ms() - begin_ms));
	return 0;
}

void vmm_memory_destroy(struct vmm *vmm)
{
	gmig_destroy(vmm->gmig);
	vmm->gmig = NULL;
	vmm->region_count = 0;
}

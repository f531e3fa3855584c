#include "engine.h"

#include "../core/copy.h"
#include "../core/uffd.h"
#include "../jobs/job.h"
#include "fault.h"
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void log_default(enum gmig_log_level level, const char *line)
{
	if (level <= GMIG_LOG_WARNING)
		fprintf(stderr, "%s %s\n", level == GMIG_LOG_ERROR ? "error" : "warning", line);
}

void engine_log(struct gmig *gmig, enum gmig_log_level level, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (gmig->options.log)
		gmig->options.log(gmig->options.opaque, level, line);
	else
		log_default(level, line);
}

void engine_fatal(struct gmig *gmig, int code, const char *format, ...)
{
	struct gmig_error err = {.code = code};
	va_list args;

	va_start(args, format);
	vsnprintf(err.text, sizeof(err.text), format, args);
	va_end(args);
	engine_log(gmig, GMIG_LOG_ERROR, "event=fatal errno=%s text=\"%s\"", gmig_errno_name(code),
		   err.text);
	if (atomic_exchange(&gmig->fatal, true))
		return;
	if (gmig->options.fatal)
		gmig->options.fatal(gmig->options.opaque, &err);
}

struct region *engine_region_of_gfn(struct gmig *gmig, uint64_t gfn)
{
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int i = 0; i < count; i++) {
		struct region *region = &gmig->regions[i];

		if (gfn >= region->gfn && gfn - region->gfn < region->pages)
			return region;
	}
	return NULL;
}

struct region *engine_region_of_hva(struct gmig *gmig, uintptr_t hva)
{
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int i = 0; i < count; i++) {
		struct region *region = &gmig->regions[i];
		uintptr_t start = (uintptr_t)region->hva;

		if (hva >= start && hva - start < region->pages * GMIG_PAGE_BYTES)
			return region;
	}
	return NULL;
}

struct stripe *engine_stripe(struct gmig *gmig, uint64_t gfn)
{
	return &gmig->stripes[gfn / GMIG_BLOCK_PAGES % ENGINE_STRIPES];
}

void engine_sleepers_woken(struct gmig *gmig, struct stripe *stripe, uint64_t gfn, uint64_t pages,
			   struct hist *also)
{
	struct sleeper **link = &stripe->sleepers;
	uint64_t now = gmig->sys->now_ns();

	while (*link) {
		struct sleeper *sleeper = *link;

		if (sleeper->gfn < gfn || sleeper->gfn >= gfn + pages) {
			link = &sleeper->next;
			continue;
		}
		hist_record(&gmig->stall, now - sleeper->since_ns);
		if (also)
			hist_record(also, now - sleeper->since_ns);
		*link = sleeper->next;
		free(sleeper);
		atomic_fetch_sub(&gmig->sleepers, 1);
	}
}

void engine_gate_enter(struct gmig *gmig)
{
	while (atomic_load(&gmig->gate_wanted))
		gmig->sys->sleep_ns(50000);
	pthread_rwlock_rdlock(&gmig->gate);
}

void engine_gate_leave(struct gmig *gmig)
{
	pthread_rwlock_unlock(&gmig->gate);
}

void engine_settle_faults(struct gmig *gmig)
{
	atomic_fetch_add(&gmig->gate_wanted, 1);
	pthread_rwlock_wrlock(&gmig->gate);
	pthread_rwlock_unlock(&gmig->gate);
	atomic_fetch_sub(&gmig->gate_wanted, 1);
}

/* ---- Regions ------------------------------------------------------------------------------- */

/* An explicit policy keeps AutoNUMA out; on fake nodes all memory is on the real node that the
 * process prefers. */
static void region_bind(struct gmig *gmig, const struct region *region, unsigned int node)
{
	int ret = gmig->sys->prefer_node(region->hva, region->pages * GMIG_PAGE_BYTES,
					 gmig->fake ? 0 : (int)node);

	if (ret && ret != -ENOSYS)
		engine_log(gmig, GMIG_LOG_WARNING, "event=mbind node=%u errno=%s", node,
			   gmig_errno_name(ret));
}

void region_set_preferred_node(struct gmig *gmig, struct region *region, unsigned int node)
{
	if (atomic_exchange(&region->preferred_node, node) != node)
		region_bind(gmig, region, node);
}

static int region_check(struct gmig *gmig, const struct gmig_region_spec *spec,
			struct gmig_error *err)
{
	uint64_t gfn = spec->gpa / GMIG_PAGE_BYTES, pages = spec->bytes / GMIG_PAGE_BYTES;
	unsigned int count = atomic_load(&gmig->region_count);

	if (spec->gpa % GMIG_BLOCK_BYTES || spec->bytes % GMIG_BLOCK_BYTES || !spec->bytes)
		return gmig_fail(err, -EINVAL,
				 "region at 0x%llx: address and size must be multiples of 2 MiB",
				 (unsigned long long)spec->gpa);
	if (spec->vnode >= GMIG_MAX_VNODES)
		return gmig_fail(err, -EINVAL, "vnode %u: at most %u vnodes", spec->vnode,
				 GMIG_MAX_VNODES);
	if (!engine_node_exists(gmig, spec->host_node))
		return gmig_fail(err, -ENODEV, "host node %u is not there or has no memory",
				 spec->host_node);
	if (count == ENGINE_REGIONS)
		return gmig_fail(err, -EINVAL, "more than %u regions", ENGINE_REGIONS);
	for (unsigned int i = 0; i < count; i++) {
		const struct region *other = &gmig->regions[i];

		if (gfn < other->gfn + other->pages && other->gfn < gfn + pages)
			return gmig_fail(err, -EINVAL,
					 "region at 0x%llx overlaps the one at 0x%llx",
					 (unsigned long long)spec->gpa,
					 (unsigned long long)(other->gfn * GMIG_PAGE_BYTES));
	}
	return 0;
}

static int region_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES;
	void *hva;
	int ret = gmig_sys_map_aligned(gmig->sys, bytes, &region->reserved, &hva);

	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of guest memory: %s",
				 (unsigned long long)(bytes >> 20), gmig_errno_name(ret));
	region->hva = hva;
	/* A kernel without huge pages refuses these two; small pages are then what there is. */
	gmig->sys->advise(hva, bytes, gmig->options.small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	gmig->sys->advise(hva, bytes, MADV_UNMERGEABLE);
	ret = gmig->sys->advise(hva, bytes, MADV_DONTFORK);
	if (ret)
		return gmig_fail(err, ret, "cannot keep guest memory out of fork: %s",
				 gmig_errno_name(ret));
	region_bind(gmig, region, atomic_load(&region->preferred_node));
	return 0;
}

static int region_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	struct vnode *vnode = &gmig->vnodes[region->vnode];
	int ret;

	ret = shadow_reserve(gmig->shadow, region->gfn, region->pages);
	if (ret)
		return gmig_fail(err, ret, "no shadow table for the region: %s",
				 gmig_errno_name(ret));
	if (gmig->plain)
		return 0;
	if (vnode->uffd < 0) {
		ret = uffd_open(gmig->sys, UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
				&vnode->uffd, NULL);
		if (ret)
			return gmig_fail(err, ret, "cannot open a userfaultfd: %s",
					 gmig_errno_name(ret));
	}
	ret = uffd_register(gmig->sys, vnode->uffd, region->hva, region->pages * GMIG_PAGE_BYTES,
			    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	if (ret)
		return gmig_fail(err, ret, "cannot register the region with userfaultfd: %s",
				 gmig_errno_name(ret));
	if (vnode->fault)
		return 0;
	return fault_start(gmig, region->vnode, &vnode->fault, err);
}

static int region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		      struct gmig_error *err)
{
	unsigned int count = atomic_load(&gmig->region_count);
	struct region *region = &gmig->regions[count];
	int ret = region_check(gmig, spec, err);

	if (ret)
		return ret;
	region->vnode = spec->vnode;
	region->gfn = spec->gpa / GMIG_PAGE_BYTES;
	region->pages = spec->bytes / GMIG_PAGE_BYTES;
	region->reserved = NULL;
	atomic_store(&region->preferred_node, spec->host_node);
	ret = region_map(gmig, region, err);
	if (!ret)
		ret = region_guard(gmig, region, err);
	if (ret) {
		if (region->reserved)
			gmig->sys->unmap(region->reserved, spec->bytes + GMIG_SYS_GUARD_BYTES);
		return ret;
	}
	atomic_store(&gmig->region_count, count + 1);
	*hva = region->hva;
	return 0;
}

int gmig_region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		    struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&gmig->lock);
	ret = region_add(gmig, spec, hva, err);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

/* ---- Creation ------------------------------------------------------------------------------ */

static int engine_init_locks(struct gmig *gmig)
{
	pthread_rwlockattr_t attr;

	pthread_mutex_init(&gmig->lock, NULL);
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++)
		pthread_mutex_init(&gmig->stripes[i].lock, NULL);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_READER_NP);
	pthread_rwlock_init(&gmig->gate, &attr);
	pthread_rwlockattr_destroy(&attr);
	return 0;
}

/* Decide whether migration works here; `plain` and `off_if_unavailable` make it no error. */
static int engine_choose(struct gmig *gmig, struct gmig_error *err)
{
	struct gmig_features features;
	int ret;

	if (gmig->options.plain) {
		gmig->plain = true;
		snprintf(gmig->why_off, sizeof(gmig->why_off),
			 "migration is off: plain memory was asked for");
		return 0;
	}
	ret = gmig_probe_features_with(gmig->sys, &features);
	if (!ret && features.kernel == GMIG_FEATURE_UNSAFE && !gmig->options.unsafe_kernel) {
		ret = -EOPNOTSUPP;
		memcpy(features.why, features.kernel_fault, sizeof(features.why));
	}
	if (!ret)
		return 0;
	if (!gmig->options.off_if_unavailable)
		return gmig_fail(err, ret, "%s", features.why);
	gmig->plain = true;
	snprintf(gmig->why_off, sizeof(gmig->why_off), "migration is off: %.250s", features.why);
	return 0;
}

static int engine_init(struct gmig *gmig, struct gmig_error *err)
{
	int ret = engine_choose(gmig, err);

	if (ret)
		return ret;
	ret = shadow_create(NULL, &gmig->shadow);
	if (ret)
		return gmig_fail(err, ret, "no memory for the shadow table");
	if (gmig->plain)
		return 0;
	gmig->pagemap = gmig->sys->pagemap();
	if (gmig->pagemap < 0)
		return gmig_fail(err, gmig->pagemap, "cannot open /proc/self/pagemap: %s",
				 gmig_errno_name(gmig->pagemap));
	struct frame_config config = {
	    .sys = gmig->sys,
	    .topology = gmig->options.topology,
	    .pagemap = gmig->pagemap,
	    .watermark_bytes = gmig->options.pool_bytes_per_node,
	};
	return frame_create(&config, &gmig->frames, err);
}

int gmig_create(const struct gmig_options *options, struct gmig **out, struct gmig_error *err)
{
	struct gmig *gmig;
	int ret;

	if (!options->topology)
		return gmig_fail(err, -EINVAL, "no topology given");
	gmig = calloc(1, sizeof(*gmig));
	if (!gmig)
		return gmig_fail(err, -ENOMEM, "no memory for the engine");
	gmig->options = *options;
	if (!gmig->options.pool_bytes_per_node)
		gmig->options.pool_bytes_per_node = ENGINE_POOL_BYTES;
	gmig->sys = options->sys ? options->sys : &gmig_sys_real;
	gmig->fake = gmig_topology_is_fake(options->topology);
	gmig->pagemap = -1;
	gmig->next_job_id = 1;
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		gmig->vnodes[i].uffd = -1;
	engine_init_locks(gmig);
	copy_guard();
	ret = engine_init(gmig, err);
	if (ret) {
		gmig_destroy(gmig);
		return ret;
	}
	*out = gmig;
	return 0;
}

/*
 * Order matters: jobs first (they may hold a block), then the fault threads, then the mappings, the
 * descriptors last: a closed userfaultfd would let the region's holes read as zeros.
 */
void gmig_destroy(struct gmig *gmig)
{
	if (!gmig)
		return;
	job_end_all(gmig);
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		fault_stop(gmig->vnodes[i].fault);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		gmig->sys->unmap(gmig->regions[i].reserved,
				 gmig->regions[i].pages * GMIG_PAGE_BYTES + GMIG_SYS_GUARD_BYTES);
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		if (gmig->vnodes[i].uffd >= 0)
			gmig->sys->close(gmig->vnodes[i].uffd);
	frame_destroy(gmig->frames);
	if (gmig->pagemap >= 0)
		gmig->sys->close(gmig->pagemap);
	shadow_destroy(gmig->shadow);
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++) {
		while (gmig->stripes[i].sleepers) {
			struct sleeper *sleeper = gmig->stripes[i].sleepers;

			gmig->stripes[i].sleepers = sleeper->next;
			free(sleeper);
		}
		pthread_mutex_destroy(&gmig->stripes[i].lock);
	}
	pthread_rwlock_destroy(&gmig->gate);
	pthread_mutex_destroy(&gmig->lock);
	free(gmig);
}

const char *gmig_why_off(const struct gmig *gmig)
{
	return gmig->plain ? gmig->why_off : NULL;
}

int gmig_name_vcpu_thread(struct gmig *gmig, unsigned int vnode, int tid)
{
	struct vnode *v;
	unsigned int count;
	int ret = -ENOSPC;

	if (vnode >= GMIG_MAX_VNODES)
		return -EINVAL;
	v = &gmig->vnodes[vnode];
	pthread_mutex_lock(&gmig->lock);
	count = atomic_load(&v->tid_count);
	if (count < ENGINE_TIDS) {
		v->tids[count] = tid;
		atomic_store(&v->tid_count, count + 1);
		ret = 0;
	}
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

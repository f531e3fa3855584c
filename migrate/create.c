/* The engine as a whole: the one file that knows all rooms. */
#include "core/copy.h"
#include "core/heat.h"
#include "core/reserved.h"
#include "core/shortage.h"
#include "core/uffd.h"
#include "jobs/job_list.h"
#include "memory/bindings.h"
#include "memory/claim.h"
#include "memory/fault.h"
#include "memory/fixed.h"
#include "memory/frame.h"
#include "memory/guest.h"
#include "memory/ledger.h"
#include "memory/region.h"
#include "memory/repair.h"
#include "movers/sampler.h"

#include <errno.h>
#include <stdlib.h>

static void engine_init_locks(struct gmig *gmig)
{
	pthread_mutex_init(&gmig->lock, NULL);
	pthread_mutex_init(&gmig->check_lock, NULL);
	pthread_mutex_init(&gmig->repairs_lock, NULL);
	pthread_mutex_init(&gmig->sampling_lock, NULL);
	pthread_mutex_init(&gmig->catch_up.lock, NULL);
	broken_pages_init(&gmig->broken);
	pthread_mutex_init(&gmig->memory.jobs_lock, NULL);
	pthread_cond_init(&gmig->memory.followed, NULL);
	pthread_mutex_init(&gmig->memory.slowdown_lock, NULL);
	pthread_mutex_init(&gmig->memory.topology_lock, NULL);
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++)
		pthread_mutex_init(&gmig->stripes[i].lock, NULL);
}

/* What makes migration wrong here, though it would work: 0, or -errno and features->why. */
static int engine_refuse(const struct gmig *gmig, struct gmig_features *features)
{
	bool mbind_refused = features->mbind == GMIG_FEATURE_NO_RIGHT;

	if (features->kernel == GMIG_FEATURE_UNSAFE && !gmig->options.unsafe_kernel) {
		memcpy(features->why, features->kernel_fault, sizeof(features->why));
		return -EOPNOTSUPP;
	}
	if (gmig->fake || (!mbind_refused && features->move_pages != GMIG_FEATURE_NO_RIGHT))
		return 0;
	snprintf(features->why, sizeof(features->why),
		 "%s is refused (EPERM), as seccomp filters of containers do: allow mbind, "
		 "move_pages and set_mempolicy, or add CAP_SYS_NICE",
		 mbind_refused ? "mbind(2)" : "move_pages(2)");
	return -EPERM;
}

/*
 * Decide whether migration works here; `plain` and `off_if_unavailable` make it no error. What could not be tried stays one: it would be off
 * for as long as the guest runs.
 */
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
	/* Who takes them for there where they are not asks the kernel in vain. */
	gmig->thp = features.thp != GMIG_FEATURE_MISSING && !gmig->options.small_pages;
	if (!ret)
		ret = engine_refuse(gmig, &features);
	if (!ret)
		return 0;
	if (!gmig->options.off_if_unavailable || is_shortage(ret))
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
	if (!ret)
		ret = ledger_create(&gmig->ledger);
	if (!ret)
		ret = bindings_create(&gmig->bindings);
	if (!ret)
		ret = fixed_create(&gmig->fixed);
	if (ret)
		return gmig_fail(err, ret, "no memory for the shadow table");
	if (gmig->plain)
		return 0;
	gmig->pagemap = gmig->sys->pagemap();
	if (gmig->pagemap < 0)
		return gmig_fail(err, gmig->pagemap, "cannot open /proc/self/pagemap: %s",
				 gmig_errno_name(gmig->pagemap));
	struct policy_config budget = {
	    .sys = gmig->sys,
	    .ledger = gmig->ledger,
	    .extra_bytes_max = gmig->options.extra_bytes_max,
	};

	ret = policy_create(&budget, &gmig->policy);
	if (ret)
		return gmig_fail(err, ret, "no memory for the memory policy");
	struct frame_config config = {
	    .sys = gmig->sys,
	    .policy = gmig->policy,
	    .topology = gmig->memory.topology,
	    .ledger = gmig->ledger,
	    .pagemap = gmig->pagemap,
	    .watermark_bytes = gmig->options.pool_bytes_per_node,
	};
	return frame_create(&config, &gmig->frames, err);
}

int gmig_create(const struct gmig_options *options, struct gmig **out, struct gmig_error *err)
{
	struct gmig *gmig;
	int ret;

	ret = RESERVED_UNUSED(options, err);
	if (ret)
		return ret;
	if (!options->topology)
		return gmig_fail(err, -EINVAL, "no topology given");
	gmig = calloc(1, sizeof(*gmig));
	if (!gmig)
		return gmig_fail(err, -ENOMEM, "no memory for the engine");
	gmig->options = *options;
	gmig->options.topology = NULL; /* memory_topology() has the newest */
	if (!gmig->options.pool_bytes_per_node)
		gmig->options.pool_bytes_per_node = ENGINE_POOL_BYTES;
	if (!gmig->options.extra_bytes_max)
		gmig->options.extra_bytes_max =
		    2 * gmig->options.pool_bytes_per_node + ENGINE_FLIGHT_BYTES;
	gmig->sys = options->sys ? options->sys : &gmig_sys_real;
	gmig->fake = gmig_topology_is_fake(options->topology);
	gmig->pagemap = -1;
	gmig->stripe_pages = GMIG_BLOCK_PAGES;
	gmig->giant_pages = (1u << 30) / GMIG_PAGE_BYTES;
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		gmig->vnodes[i].uffd = -1;
	gmig->memory = (struct memory){
	    .ops = &guest_ops,
	    .sys = gmig->sys,
	    .topology = gmig_topology_get(options->topology),
	    .job_event = options->job_event,
	    .thread = options->thread,
	    .opaque = options->opaque,
	    .next_job_id = 1,
	};
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

/* What sleeps still, or could never be put back, is of no use to anyone now. */
static void stripe_destroy(struct stripe *stripe)
{
	while (stripe->sleepers) {
		struct sleeper *sleeper = stripe->sleepers;

		stripe->sleepers = sleeper->next;
		free(sleeper);
	}
	claim_forget_all(stripe);
	pthread_mutex_destroy(&stripe->lock);
}

static void threads_destroy(struct thread_list *list)
{
	while (list) {
		struct thread_list *older = list->older;

		free(list);
		list = older;
	}
}

/*
 * Order matters: the sampler and jobs first (they may hold a block), then the fault threads, then the mappings, the
 * descriptors last: a closed userfaultfd would let the region's holes read as zeros.
 */
void gmig_destroy(struct gmig *gmig)
{
	if (!gmig)
		return;
	sampler_stop(gmig->sampler);
	job_end_all(&gmig->memory);
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		fault_stop(gmig->vnodes[i].fault);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		region_unmap(gmig, &gmig->regions[i]);
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		if (gmig->vnodes[i].uffd >= 0)
			gmig->sys->close(gmig->vnodes[i].uffd);
	frame_destroy(gmig->frames);
	policy_destroy(gmig->policy);
	if (gmig->pagemap >= 0)
		gmig->sys->close(gmig->pagemap);
	repair_forget_all(gmig);
	shadow_destroy(gmig->shadow);
	ledger_destroy(gmig->ledger);
	bindings_destroy(gmig->bindings);
	bindings_destroy(gmig->fixed);
	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++)
		threads_destroy(gmig->vnodes[i].threads);
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++)
		stripe_destroy(&gmig->stripes[i]);
	heat_destroy(atomic_load(&gmig->memory.heat));
	gmig_topology_put(gmig->memory.topology);
	pthread_mutex_destroy(&gmig->memory.topology_lock);
	pthread_mutex_destroy(&gmig->sampling_lock);
	pthread_mutex_destroy(&gmig->repairs_lock);
	pthread_mutex_destroy(&gmig->check_lock);
	pthread_mutex_destroy(&gmig->catch_up.lock);
	broken_pages_destroy(&gmig->broken);
	pthread_mutex_destroy(&gmig->memory.slowdown_lock);
	pthread_cond_destroy(&gmig->memory.followed);
	pthread_mutex_destroy(&gmig->memory.jobs_lock);
	pthread_mutex_destroy(&gmig->lock);
	free(gmig);
}

const char *gmig_why_off(const struct gmig *gmig)
{
	return gmig->plain ? gmig->why_off : NULL;
}

/* Caller holds gmig->lock. A list with room for another thread; NULL: no memory. */
static struct thread_list *threads_with_room(struct vnode *vnode)
{
	struct thread_list *old = atomic_load(&vnode->threads), *list;
	unsigned int count = old ? atomic_load(&old->count) : 0;

	if (old && count < old->room)
		return old;
	list = calloc(1, sizeof(*list) + 2 * (count + 8) * sizeof(list->tid[0]));
	if (!list)
		return NULL;
	list->older = old;
	list->room = 2 * (count + 8);
	if (old)
		memcpy(list->tid, old->tid, count * sizeof(list->tid[0]));
	atomic_store(&list->count, count);
	atomic_store(&vnode->threads, list);
	return list;
}

int gmig_name_vcpu_thread(struct gmig *gmig, unsigned int vnode, int tid)
{
	struct thread_list *list;

	if (vnode >= GMIG_MAX_VNODES)
		return -EINVAL;
	pthread_mutex_lock(&gmig->lock);
	list = threads_with_room(&gmig->vnodes[vnode]);
	if (list) {
		list->tid[atomic_load(&list->count)] = tid;
		atomic_fetch_add(&list->count, 1);
	}
	pthread_mutex_unlock(&gmig->lock);
	return list ? 0 : -ENOMEM;
}

int gmig_refresh_topology(struct gmig *gmig, struct gmig_error *err)
{
	struct gmig_topology *topology;
	struct gmig_node_set mems;
	int ret = memory_topology_refresh(&gmig->memory, err);

	if (ret)
		return ret;
	topology = memory_topology(&gmig->memory);
	mems = *gmig_topology_nodes(topology);
	gmig_node_set_and(&mems, gmig_topology_allowed(topology));
	gmig_topology_put(topology);
	/* Without memory policies stay what they are, and the next look tells them. */
	bindings_rebind(gmig->bindings, &mems);
	return 0;
}

struct gmig_topology *gmig_get_topology(struct gmig *gmig)
{
	return memory_topology(&gmig->memory);
}

/* ---- Jobs on a guest ------------------------------------------------------------------------- */

int gmig_job_start(struct gmig *gmig, const struct gmig_job_spec *spec, struct gmig_job **out,
		   struct gmig_error *err)
{
	return job_start(&gmig->memory, spec, NULL, out, err);
}

struct gmig_job *gmig_job_find(struct gmig *gmig, uint64_t id)
{
	return job_find(&gmig->memory, id);
}

size_t gmig_job_list(struct gmig *gmig, uint64_t *ids, size_t max)
{
	return job_list(&gmig->memory, ids, max);
}

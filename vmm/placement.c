#include "placement.h"
#include "../migrate/core/shortage.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* ---- System calls ---------------------------------------------------------------------------- */

/* A cpu_set_t ends at CPU 1023; the calls take one of any size, in longs. */
static int real_get(int tid, struct vmm_cpus *cpus)
{
	memset(cpus, 0, sizeof(*cpus));
	return sched_getaffinity(tid, sizeof(*cpus), (cpu_set_t *)cpus->word) ? -errno : 0;
}

static int real_set(int tid, const struct vmm_cpus *cpus)
{
	return sched_setaffinity(tid, sizeof(*cpus), (const cpu_set_t *)cpus->word) ? -errno : 0;
}

const struct placement_sys placement_sys_real = {real_get, real_set};

const char *placement_kind_name(enum placement_kind kind)
{
	static const char *const names[] = {
	    [PLACEMENT_VCPU] = "vcpu",	     [PLACEMENT_IO] = "io",
	    [PLACEMENT_BLK] = "blk",	     [PLACEMENT_FAULT] = "fault",
	    [PLACEMENT_COPY] = "copy",	     [PLACEMENT_ZERO] = "zero",
	    [PLACEMENT_BALLOON] = "balloon", [PLACEMENT_SAMPLE] = "sample",
	};

	return names[kind];
}

/* ---- One thread ------------------------------------------------------------------------------ */

/* Everything below runs under the lock. What the process may use; all, if nobody can say. */
static struct vmm_cpus usable_cpus(const struct placement *placement)
{
	struct vmm_cpus cpus;

	if (placement->sys->get(placement->main_tid, &cpus))
		memset(&cpus, 0xff, sizeof(cpus));
	return cpus;
}

/*
 * Has somebody else set the CPUs that it has now? Not if it was given these, or what is left of them when some went offline or
 * out of the cpuset. Nor if it may run anywhere: the kernel does that when none is left and, before 6.2, whenever the cpuset
 * changes.
 */
static bool set_outside(const struct placement_thread *thread, const struct vmm_cpus *now,
			const struct vmm_cpus *usable)
{
	struct vmm_cpus rest = thread->last;

	if (vmm_cpus_equal(now, usable))
		return false;
	if (!thread->set)
		return true;
	vmm_cpus_and(&rest, usable);
	return !vmm_cpus_equal(now, &thread->last) && !vmm_cpus_equal(now, &rest);
}

static bool is_outside(const struct placement *placement, const struct placement_thread *thread,
		       const struct vmm_cpus *usable)
{
	struct vmm_cpus now;
	int ret = placement->sys->get(thread->tid, &now);

	/* Of one that cannot be looked at nobody knows whose it is: it stays where it is. */
	return ret ? is_shortage(ret) : set_outside(thread, &now, usable);
}

static int give(const struct placement *placement, struct placement_thread *thread,
		const struct vmm_cpus *cpus)
{
	int ret = placement->sys->set(thread->tid, cpus);

	if (ret)
		return ret;
	thread->set = true;
	/* The kernel has left out what it does not allow. */
	if (placement->sys->get(thread->tid, &thread->last))
		thread->last = *cpus;
	return 0;
}

/* ---- The rule -------------------------------------------------------------------------------- */

static struct gmig_node_set homes(const struct placement *placement)
{
	struct gmig_node_set nodes = {{0}};

	for (unsigned int i = 0; i < placement->thread_count; i++)
		if (placement->thread[i].kind == PLACEMENT_VCPU)
			gmig_node_set_add(&nodes, placement->home[placement->thread[i].vnode]);
	return nodes;
}

/* The CPUs of the nodes, or of what is nearest to each. false: there are none. */
static bool choose(const struct placement *placement, const struct gmig_node_set *nodes,
		   const struct vmm_cpus *usable, struct vmm_cpus *wanted)
{
	struct vmm_cpus one;
	bool any = false;

	memset(wanted, 0, sizeof(*wanted));
	gmig_node_set_each (node, nodes) {
		if (!vmm_pin_choose(placement->topology, node, usable, &one))
			continue;
		vmm_cpus_or(wanted, &one);
		any = true;
	}
	return any;
}

/* Are there more of these CPUs than vCPUs that may run on them? */
static bool has_spare(const struct placement *placement, const struct vmm_cpus *cpus)
{
	unsigned int vcpus = 0;

	for (unsigned int i = 0; i < placement->thread_count; i++) {
		const struct placement_thread *thread = &placement->thread[i];
		struct vmm_cpus both = *cpus;

		vcpus += thread->kind == PLACEMENT_VCPU && thread->set &&
			 vmm_cpus_and(&both, &thread->last);
	}
	return vmm_cpus_count(cpus) > vcpus;
}

/* *wanted: where the rule has it. false: no node has a CPU for it. */
static bool by_rule(const struct placement *placement, const struct placement_thread *thread,
		    const struct vmm_cpus *usable, struct vmm_cpus *wanted)
{
	struct gmig_node_set nodes = {{0}};

	switch (thread->kind) {
	case PLACEMENT_VCPU:
	case PLACEMENT_FAULT:
		gmig_node_set_add(&nodes, placement->home[thread->vnode]);
		break;
	case PLACEMENT_IO:
	case PLACEMENT_BLK:
	case PLACEMENT_BALLOON:
	case PLACEMENT_SAMPLE:
		nodes = homes(placement);
		break;
	case PLACEMENT_COPY:
	case PLACEMENT_ZERO:
		nodes = thread->nodes;
	}
	if (!choose(placement, &nodes, usable, wanted)) {
		*wanted = *usable;
		return thread->kind != PLACEMENT_VCPU;
	}
	if (thread->kind != PLACEMENT_VCPU && !has_spare(placement, wanted))
		*wanted = *usable;
	return true;
}

/* By the rule, unless it does not apply to it. */
static int place(const struct placement *placement, struct placement_thread *thread,
		 const struct vmm_cpus *usable, struct gmig_error *err)
{
	struct vmm_cpus wanted, now;
	int ret;

	if (placement->off || thread->order.wish != PLACEMENT_RULE)
		return 0;
	if (!by_rule(placement, thread, usable, &wanted))
		return gmig_fail(err, -ENODEV, "no node has a CPU that this process may use");
	if (!placement->sys->get(thread->tid, &now) && vmm_cpus_equal(&now, &wanted)) {
		/* A thread that only ever ran anywhere stays one that was never placed. */
		if (thread->set || !vmm_cpus_equal(&now, usable))
			thread->last = now;
		thread->set |= !vmm_cpus_equal(&now, usable);
		return 0;
	}
	ret = give(placement, thread, &wanted);
	return ret ? gmig_fail(err, ret, "sched_setaffinity(2): %s", strerror(-ret)) : 0;
}

static void place_helpers(struct placement *placement, const struct vmm_cpus *usable)
{
	for (unsigned int i = 0; i < placement->thread_count; i++) {
		struct placement_thread *thread = &placement->thread[i];

		if (thread->kind != PLACEMENT_VCPU && !is_outside(placement, thread, usable))
			place(placement, thread, usable, NULL);
	}
}

/* ---- Threads come and go --------------------------------------------------------------------- */

void placement_init(struct placement *placement, const struct placement_options *options,
		    struct gmig_topology *topology)
{
	*placement = (struct placement){
	    .sys = options->sys ? options->sys : &placement_sys_real,
	    .main_tid = options->main_tid,
	    .off = options->off || gmig_topology_is_fake(topology) ||
		   gmig_node_set_count(gmig_topology_online(topology)) < 2,
	    .vnode_count = options->vnode_count,
	    .topology = gmig_topology_get(topology),
	};
	memcpy(placement->home, options->home, sizeof(placement->home));
	pthread_mutex_init(&placement->lock, NULL);
}

void placement_destroy(struct placement *placement)
{
	if (!placement->topology)
		return;
	gmig_topology_put(placement->topology);
	placement->topology = NULL;
	pthread_mutex_destroy(&placement->lock);
}

void placement_look(struct placement *placement, struct gmig_topology *topology)
{
	struct gmig_topology *before;

	pthread_mutex_lock(&placement->lock);
	before = placement->topology;
	placement->topology = gmig_topology_get(topology);
	pthread_mutex_unlock(&placement->lock);
	gmig_topology_put(before);
}

int placement_add(struct placement *placement, const struct placement_thread *thread,
		  struct gmig_error *err)
{
	struct placement_thread *slot;
	struct vmm_cpus usable;
	int ret;

	pthread_mutex_lock(&placement->lock);
	if (placement->thread_count == PLACEMENT_MAX_THREADS) {
		pthread_mutex_unlock(&placement->lock);
		return gmig_fail(err, -ENOSPC, "more than %d threads", PLACEMENT_MAX_THREADS);
	}
	slot = &placement->thread[placement->thread_count++];
	*slot = (struct placement_thread){.kind = thread->kind,
					  .id = thread->id,
					  .vnode = thread->vnode,
					  .nodes = thread->nodes,
					  .tid = thread->tid};
	usable = usable_cpus(placement);
	ret = place(placement, slot, &usable, err);
	if (slot->kind == PLACEMENT_VCPU)
		place_helpers(placement, &usable);
	pthread_mutex_unlock(&placement->lock);
	return ret;
}

void placement_remove(struct placement *placement, int tid)
{
	pthread_mutex_lock(&placement->lock);
	for (unsigned int i = 0; i < placement->thread_count; i++) {
		if (placement->thread[i].tid != tid)
			continue;
		placement->thread_count--;
		memmove(&placement->thread[i], &placement->thread[i + 1],
			(placement->thread_count - i) * sizeof(placement->thread[0]));
		break;
	}
	pthread_mutex_unlock(&placement->lock);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static struct placement_thread *find_vcpu(struct placement *placement, unsigned int vcpu)
{
	for (unsigned int i = 0; i < placement->thread_count; i++)
		if (placement->thread[i].kind == PLACEMENT_VCPU && placement->thread[i].id == vcpu)
			return &placement->thread[i];
	return NULL;
}

/* *wanted: the CPUs of an order that is not to follow the rule. */
static int cpus_of_order(const struct placement *placement, const struct placement_order *order,
			 const struct vmm_cpus *usable, struct vmm_cpus *wanted,
			 struct gmig_error *err)
{
	const struct gmig_node_set *online = gmig_topology_online(placement->topology);
	struct gmig_node_set one = {{0}};
	char list[96];

	*wanted = order->wish == PLACEMENT_CPUS ? order->cpus : *usable;
	if (order->wish != PLACEMENT_NODE)
		return 0;
	if (!gmig_node_set_has(online, order->node))
		return gmig_fail(err, -ENODEV, "node %u is not there; online: %s", order->node,
				 gmig_node_set_print(online, list, sizeof(list)));
	gmig_node_set_add(&one, order->node);
	vmm_cpus_of_nodes(placement->topology, &one, wanted);
	if (!vmm_cpus_count(wanted))
		return gmig_fail(err, -ENODEV, "node %u has no CPUs", order->node);
	return 0;
}

static int why_not_given(const struct vmm_cpus *wanted, const struct vmm_cpus *usable, int ret,
			 struct gmig_error *err)
{
	char list[64], may[64];

	if (ret != -EINVAL)
		return gmig_fail(err, ret, "sched_setaffinity(2): %s", strerror(-ret));
	return gmig_fail(
	    err, ret, "CPUs %s are all offline or outside the VM's cpuset; the VM may use %s",
	    vmm_cpus_print(wanted, list, sizeof(list)), vmm_cpus_print(usable, may, sizeof(may)));
}

static int obey(struct placement *placement, struct placement_thread *thread,
		const struct placement_order *order, struct vmm_cpus *refused,
		struct gmig_error *err)
{
	struct vmm_cpus usable = usable_cpus(placement), wanted;
	int ret = cpus_of_order(placement, order, &usable, &wanted, err);

	if (!ret && order->wish == PLACEMENT_RULE && !placement->off &&
	    !by_rule(placement, thread, &usable, &wanted))
		ret = gmig_fail(err, -ENODEV, "no node has a CPU that this process may use");
	if (ret)
		return ret;
	ret = give(placement, thread, &wanted);
	if (ret)
		return why_not_given(&wanted, &usable, ret, err);
	thread->order = *order;
	if (refused) {
		*refused = wanted;
		for (unsigned int i = 0; i < GMIG_MAX_CPUS / 64; i++)
			refused->word[i] &= ~thread->last.word[i];
	}
	place_helpers(placement, &usable);
	return 0;
}

int placement_pin(struct placement *placement, unsigned int vcpu,
		  const struct placement_order *order, struct vmm_cpus *refused,
		  struct gmig_error *err)
{
	struct placement_thread *thread;
	int ret;

	pthread_mutex_lock(&placement->lock);
	thread = find_vcpu(placement, vcpu);
	ret = thread ? obey(placement, thread, order, refused, err)
		     : gmig_fail(err, -ESRCH, "there is no vCPU %u", vcpu);
	pthread_mutex_unlock(&placement->lock);
	return ret;
}

/* ---- After a migration ----------------------------------------------------------------------- */

static bool among(unsigned int node, const uint16_t *nodes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (nodes[i] == node)
			return true;
	return false;
}

/* As pages of that node were taken: the i-th of from to the i-th of to. */
static unsigned int counterpart(const struct gmig_job_spec *spec, unsigned int home)
{
	if (spec->from_count != spec->to_count && among(home, spec->to, spec->to_count))
		return GMIG_NO_NODE;
	for (unsigned int i = 0; i < spec->from_count && spec->to_count; i++)
		if (spec->from[i] == home)
			return spec->to[i % spec->to_count];
	return GMIG_NO_NODE;
}

unsigned int placement_target(const struct gmig_job_spec *spec, unsigned int vnode,
			      unsigned int home, bool all, const uint64_t bytes[GMIG_MAX_NODES])
{
	unsigned int target = 0;
	uint64_t sum = 0;

	if (spec->vnodes && !(spec->vnodes >> vnode & 1))
		return GMIG_NO_NODE;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		sum += bytes[node];
		target = bytes[node] > bytes[target] ? node : target;
	}
	if (!sum)
		target = counterpart(spec, home);
	else if (bytes[target] <= sum / 2 || !among(target, spec->to, spec->to_count) ||
		 (!all && !among(home, spec->from, spec->from_count)))
		return GMIG_NO_NODE;
	return target == home && !all ? GMIG_NO_NODE : target;
}

unsigned int placement_home(struct placement *placement, unsigned int vnode)
{
	unsigned int home;

	pthread_mutex_lock(&placement->lock);
	home = placement->home[vnode];
	pthread_mutex_unlock(&placement->lock);
	return home;
}

/* Whether it was placed. */
static bool follow(const struct placement *placement, struct placement_thread *thread, bool all,
		   const struct vmm_cpus *usable)
{
	const struct placement_order before = thread->order;
	struct vmm_cpus wanted;

	if (!all && (placement->off || before.wish != PLACEMENT_RULE ||
		     is_outside(placement, thread, usable)))
		return false;
	if (!by_rule(placement, thread, usable, &wanted) || give(placement, thread, &wanted))
		return false;
	/* Where there is no rule, somebody has asked for this place. */
	thread->order = (struct placement_order){
	    .wish = placement->off ? PLACEMENT_NODE : PLACEMENT_RULE,
	    .node = placement->home[thread->vnode],
	};
	return true;
}

unsigned int placement_follow(struct placement *placement, unsigned int vnode, unsigned int node,
			      bool all, unsigned int *left)
{
	unsigned int placed = 0;
	struct vmm_cpus usable;

	*left = 0;
	pthread_mutex_lock(&placement->lock);
	usable = usable_cpus(placement);
	placement->home[vnode] = node;
	for (unsigned int i = 0; i < placement->thread_count; i++) {
		struct placement_thread *thread = &placement->thread[i];

		if (thread->kind != PLACEMENT_VCPU || thread->vnode != vnode)
			continue;
		if (follow(placement, thread, all, &usable))
			placed++;
		else
			++*left;
	}
	place_helpers(placement, &usable);
	pthread_mutex_unlock(&placement->lock);
	return placed;
}

/* ---- How it is now --------------------------------------------------------------------------- */

unsigned int placement_list(struct placement *placement, struct placement_view *views,
			    unsigned int max)
{
	struct vmm_cpus usable;
	unsigned int count = 0;

	pthread_mutex_lock(&placement->lock);
	usable = usable_cpus(placement);
	for (unsigned int i = 0; i < placement->thread_count && count < max; i++) {
		struct placement_view *view = &views[count];

		view->thread = placement->thread[i];
		if (placement->sys->get(view->thread.tid, &view->cpus))
			continue;
		view->nodes = vmm_cpus_nodes(placement->topology, &view->cpus);
		view->by = view->thread.order.wish == PLACEMENT_RULE ? PLACEMENT_BY_RULE
								     : PLACEMENT_BY_OPERATOR;
		view->outside = set_outside(&view->thread, &view->cpus, &usable);
		view->anywhere = vmm_cpus_equal(&view->cpus, &usable);
		count++;
	}
	pthread_mutex_unlock(&placement->lock);
	return count;
}

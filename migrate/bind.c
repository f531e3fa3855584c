/* Policies of ranges as a caller sets them: mbind(2) and set_mempolicy_home_node(2) for a guest. See gmig_policy.h. */
#include "core/reserved.h"
#include "core/topology.h"
#include "jobs/job_list.h"
#include "jobs/plan_policy.h"
#include "memory/audit.h"
#include "memory/bound_pages.h"
#include "memory/fixed.h"
#include "memory/region.h"

#include <string.h>

#define FLAGS	   (GMIG_BIND_STRICT | GMIG_BIND_MOVE | GMIG_BIND_MOVE_ALL)
#define MOVE_FLAGS (GMIG_BIND_MOVE | GMIG_BIND_MOVE_ALL)

/* ---- What was asked for -------------------------------------------------------------------------- */

static int check_range(uint64_t gpa, uint64_t bytes, uint64_t *pages, struct gmig_error *err)
{
	if (gpa % GMIG_PAGE_BYTES)
		return gmig_fail(err, -EINVAL, "address 0x%llx is no multiple of 4 KiB",
				 (unsigned long long)gpa);
	*pages = bytes / GMIG_PAGE_BYTES + (bytes % GMIG_PAGE_BYTES != 0);
	if (gpa + bytes < gpa || gpa / GMIG_PAGE_BYTES + *pages > UINT64_MAX / GMIG_PAGE_BYTES)
		return gmig_fail(err, -EINVAL, "the range ends beyond the last address");
	return 0;
}

/* With no pages the kernel checks the caller's rights only. */
static int check_flags(struct gmig *gmig, const struct gmig_bind_spec *spec, struct gmig_error *err)
{
	const struct gmig_job_spec *job = &spec->job;

	if (spec->flags & ~FLAGS)
		return gmig_fail(err, -EINVAL, "flags 0x%x are not known", spec->flags);
	if (spec->flags & GMIG_BIND_MOVE_ALL &&
	    gmig->sys->move_pages(0, 0, NULL, NULL, NULL, (int)GMIG_BIND_MOVE_ALL) == -EPERM)
		return gmig_fail(err, -EPERM,
				 "to move pages that others map, too, needs CAP_SYS_NICE: as root, "
				 "or without move-all");
	if (job->from_count || job->to_count || job->vnodes || job->max_bytes)
		return gmig_fail(err, -EINVAL, "the policy says which pages move, and where to");
	return 0;
}

static void add_local(struct gmig *gmig, uint64_t gfn, uint64_t pages, struct gmig_node_set *nodes)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (gfn < region->gfn + region->pages && region->gfn < gfn + pages)
			gmig_node_set_add(nodes, atomic_load(&region->preferred_node));
	}
}

/* Nodes that have memory and that the cpuset allows. */
static struct gmig_node_set mems_of(struct gmig *gmig)
{
	struct gmig_topology *topology = memory_topology(&gmig->memory);
	struct gmig_node_set mems = *gmig_topology_nodes(topology);

	gmig_node_set_and(&mems, gmig_topology_allowed(topology));
	gmig_topology_put(topology);
	return mems;
}

static int make_policy(struct gmig *gmig, const struct gmig_policy *asked,
		       struct mempolicy **policy, struct gmig_error *err)
{
	struct gmig_node_set mems = mems_of(gmig);
	int ret = mempolicy_check(asked, &mems, err);

	*policy = NULL;
	if (ret || asked->mode == GMIG_POLICY_DEFAULT)
		return ret;
	if (mempolicy_create(asked, &mems, policy))
		return gmig_fail(err, -ENOMEM, "no memory for the policy");
	return 0;
}

/* ---- STRICT alone -------------------------------------------------------------------------------- */

/* The kernel is asked where the pages are: what is believed may be old. */
static int check_strict(struct gmig *gmig, uint64_t gfn, uint64_t pages,
			const struct mempolicy *policy, struct gmig_error *err)
{
	const struct audit audit = {.stop = NULL};
	const uint64_t block = GMIG_BLOCK_PAGES;
	uint64_t first = gfn / block * block, end = (gfn + pages + block - 1) / block * block;
	uint64_t misplaced;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		struct region *region = &gmig->regions[i];
		uint64_t region_end = region->gfn + region->pages;
		uint64_t from = region->gfn > first ? region->gfn : first;
		uint64_t to = region_end < end ? region_end : end;

		if (from < to)
			audit_run(gmig, region, from, to - from, &audit);
	}
	misplaced = bound_pages_against(gmig, gfn, pages, policy);
	return misplaced ? gmig_fail(err, -EIO, "%llu pages do not follow the policy",
				     (unsigned long long)misplaced)
			 : 0;
}

/* ---- Binding --------------------------------------------------------------------------------------- */

static int start_job(struct gmig *gmig, const struct gmig_bind_spec *spec, uint64_t pages,
		     struct gmig_job **job, struct gmig_error *err)
{
	const struct plan_policy policy = {
	    .gfn = spec->gpa / GMIG_PAGE_BYTES,
	    .pages = pages,
	    .strict = spec->flags & GMIG_BIND_STRICT && spec->policy.mode != GMIG_POLICY_DEFAULT,
	    .target = bound_pages_target,
	    .misplaced = bound_pages_misplaced,
	    .nodes = bound_pages_nodes,
	    .arg = gmig,
	};
	struct gmig_job_spec how = spec->job;
	struct plan plan;

	how.move_all |= (spec->flags & GMIG_BIND_MOVE_ALL) != 0;
	if (plan_policy_create(&policy, &plan))
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	return job_start(&gmig->memory, &how, &plan, job, err);
}

/* As for the kernel, a page of hugetlbfs is not divided. */
static int check_whole(const struct gmig *gmig, uint64_t gfn, uint64_t pages,
		       struct gmig_error *err)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (region->kind->always_whole && gfn < region->gfn + region->pages &&
		    region->gfn < gfn + pages &&
		    (gfn % region->unit_pages || pages % region->unit_pages))
			return gmig_fail(err, -EINVAL,
					 "0x%llx+0x%llx is not a multiple of the guest's pages of "
					 "hugetlbfs, which are %llu MiB",
					 (unsigned long long)gfn * GMIG_PAGE_BYTES,
					 (unsigned long long)pages * GMIG_PAGE_BYTES,
					 (unsigned long long)region->unit_pages * GMIG_PAGE_BYTES >>
					     20);
	}
	return 0;
}

static bool interleaves(const struct mempolicy *policy)
{
	return policy && mempolicy_interleaves(policy);
}

/* A policy is carried out by our own first touches. Which page of 1 GiB is the n-th is not known to it: it counts blocks. */
static int check_kinds(const struct gmig *gmig, uint64_t gfn, uint64_t pages,
		       const struct mempolicy *policy, struct gmig_error *err)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];

		if (region->unit_pages > GMIG_BLOCK_PAGES && interleaves(policy))
			return gmig_fail(
			    err, -EOPNOTSUPP,
			    "memory in pages of 1 GiB has no policies that interleave");
		if (region->kind->kernel_fills && gfn < region->gfn + region->pages &&
		    region->gfn < gfn + pages)
			return gmig_fail(err, -EOPNOTSUPP,
					 "memory of kind %s, which others may map, has no policies "
					 "of ranges: its first touches are the kernel's",
					 region->kind->name);
	}
	return 0;
}

static int bind_range(struct gmig *gmig, const struct gmig_bind_spec *spec, uint64_t pages,
		      struct mempolicy *policy, struct gmig_error *err)
{
	uint64_t gfn = spec->gpa / GMIG_PAGE_BYTES;
	int ret;

	/* DEFAULT may have holes, but not only one. */
	if (!(policy ? bound_pages_exist : bound_pages_any)(gmig, gfn, pages))
		return gmig_fail(err, -EFAULT, "%s 0x%llx+0x%llx is no memory of the guest",
				 policy ? "a part of" : "all of", (unsigned long long)spec->gpa,
				 (unsigned long long)spec->bytes);
	ret = check_whole(gmig, gfn, pages, err);
	if (!ret && policy)
		ret = check_kinds(gmig, gfn, pages, policy, err);
	if (!ret && policy && spec->flags & GMIG_BIND_STRICT && !(spec->flags & MOVE_FLAGS))
		ret = check_strict(gmig, gfn, pages, policy, err);
	if (!ret)
		ret = bindings_set(gmig->bindings, gfn, pages, policy, err);
	if (!ret)
		engine_settle_faults(gmig, 0);
	return ret;
}

int gmig_bind(struct gmig *gmig, const struct gmig_bind_spec *spec, struct gmig_job **job,
	      struct gmig_error *err)
{
	struct mempolicy *policy = NULL;
	uint64_t pages = 0;
	int ret = RESERVED_UNUSED(spec, err);

	*job = NULL;
	if (!ret)
		ret = RESERVED_UNUSED(&spec->policy, err);
	if (!ret && gmig->plain)
		ret = gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	if (!ret)
		ret = mempolicy_check_words(&spec->policy, err);
	if (!ret)
		ret = check_flags(gmig, spec, err);
	if (!ret)
		ret = check_range(spec->gpa, spec->bytes, &pages, err);
	if (ret || !pages)
		return ret;
	memory_topology_refresh(&gmig->memory, NULL); /* else the last look has to do */
	ret = make_policy(gmig, &spec->policy, &policy, err);
	if (!ret)
		ret = bind_range(gmig, spec, pages, policy, err);
	mempolicy_put(policy);
	if (!ret && spec->flags & MOVE_FLAGS)
		ret = start_job(gmig, spec, pages, job, err);
	return ret;
}

/* Nodes without memory, too, when they are named by their numbers: one that is closed may be offline already. */
void gmig_bind_nodes(struct gmig *gmig, const struct gmig_bind_spec *spec,
		     struct gmig_node_set *nodes)
{
	struct mempolicy *policy = NULL;
	struct gmig_error err;
	uint64_t pages;

	*nodes = (struct gmig_node_set){{0}};
	if (gmig->plain || check_range(spec->gpa, spec->bytes, &pages, &err) ||
	    make_policy(gmig, &spec->policy, &policy, &err))
		return;
	if (policy && policy->count)
		*nodes = policy->members;
	else
		add_local(gmig, spec->gpa / GMIG_PAGE_BYTES, pages, nodes);
	if (!(spec->policy.flags & GMIG_POLICY_RELATIVE_NODES))
		gmig_node_set_or(nodes, &spec->policy.nodes);
	mempolicy_put(policy);
}

/* ---- What must not move ---------------------------------------------------------------------------- */

int gmig_fix_memory(struct gmig *gmig, uint64_t gpa, uint64_t bytes, bool fixed,
		    struct gmig_error *err)
{
	uint64_t gfn = gpa / GMIG_PAGE_BYTES, pages;
	int ret = 0;

	if (gmig->plain)
		ret = gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	if (!ret)
		ret = check_range(gpa, bytes, &pages, err);
	if (ret || !pages)
		return ret;
	if (!(fixed ? bound_pages_exist : bound_pages_any)(gmig, gfn, pages))
		return gmig_fail(err, -EFAULT, "%s 0x%llx+0x%llx is no memory of the guest",
				 fixed ? "a part of" : "all of", (unsigned long long)gpa,
				 (unsigned long long)bytes);
	return fixed_set(gmig, gfn, pages, fixed, err);
}

/* ---- Home node ------------------------------------------------------------------------------------- */

struct home {
	unsigned int node;
	unsigned int found;
};

static int change_home(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	struct home *home = arg;
	int ret;

	home->found++;
	if (policy->mode != GMIG_POLICY_BIND && policy->mode != GMIG_POLICY_PREFERRED_MANY)
		return -EOPNOTSUPP;
	ret = mempolicy_copy(policy, out);
	if (ret)
		return ret;
	(*out)->asked.has_home_node = true;
	(*out)->asked.home_node = (uint16_t)home->node;
	return 0;
}

int gmig_set_home_node(struct gmig *gmig, uint64_t gpa, uint64_t bytes, unsigned int node,
		       struct gmig_error *err)
{
	struct gmig_topology *topology;
	struct home home = {.node = node};
	uint64_t pages;
	int ret = check_range(gpa, bytes, &pages, err);

	if (ret)
		return ret;
	memory_topology_refresh(&gmig->memory, NULL);
	topology = memory_topology(&gmig->memory);
	if (!gmig_node_set_has(gmig_topology_online(topology), node))
		ret = gmig_fail(err, -EINVAL, "home node %u is not online", node);
	gmig_topology_put(topology);
	if (ret || !pages)
		return ret;
	ret = bindings_change(gmig->bindings, gpa / GMIG_PAGE_BYTES, pages, change_home, &home);
	if (ret == -EOPNOTSUPP)
		return gmig_fail(err, ret, "a home node is for bind and preferred-many only");
	if (!ret && !home.found)
		ret = gmig_fail(err, -ENOENT, "no range there has a policy");
	return ret && ret != -ENOENT ? gmig_fail(err, ret, "no memory for the policies") : ret;
}

/* Where a domain's threads may run and its memory lies, and what its jobs do. See keeping.h. */
#include "keeping_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000ull

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static enum placement_page hugetlb_page(const struct qemu_usage *usage)
{
	return usage->hugetlb_page_bytes >= 1ull << 30 ? PLACEMENT_1G : PLACEMENT_2M;
}

static void add_ram(struct kept *kept, unsigned int node, enum placement_page page, uint64_t bytes)
{
	bytes &= ~(placement_page_bytes(page) - 1);
	if (bytes)
		kept->ram[kept->ram_count++] =
		    (struct placement_ram){.node = (uint16_t)node,
					   .vnode = PLACEMENT_NO_VNODE,
					   .page = page,
					   .bytes = bytes,
					   .locked_bytes = kept->pinned ? bytes : 0};
}

/* Nodes that the host does not have any more hold nothing. */
static void take_look(struct kept *kept, const struct host_view *view)
{
	const struct qemu_usage *usage = &kept->look->usage;
	struct placement_ram *ram =
	    reallocarray(kept->ram, 2 * view->host.node_count + 1, sizeof(*ram));

	if (!ram)
		return;
	kept->ram = ram;
	kept->ram_count = 0;
	for (size_t i = 0; i < view->host.node_count; i++) {
		unsigned int node = view->nodes[i].id;
		uint64_t huge = usage->hugetlb_ram_bytes[node];

		add_ram(kept, node, PLACEMENT_4K, usage->ram_bytes[node] - huge);
		add_ram(kept, node, hugetlb_page(usage), huge);
	}
}

/* When it began, in seconds since 1970. */
static double timestamp_of(const struct domain_look *look)
{
	uint64_t age_ns = clock_ns(CLOCK_MONOTONIC) - look->at_ns;

	return ((double)clock_ns(CLOCK_REALTIME) - (double)age_ns) / 1e9;
}

static void note_look(struct keeping *keeping, struct kept *kept, uint64_t cost_ns,
		      uint64_t interval_ns)
{
	uint64_t share_ns = cost_ns * KEEPING_CPU_SHARE * (keeping->count ? keeping->count : 1);

	kept->looked = true;
	kept->look_now = false;
	if (kept->look_soon_ns <= keeping_now(keeping))
		kept->look_soon_ns = 0;
	kept->look_ns = keeping_now(keeping);
	/* Each domain gets the same part of what all counting may cost. */
	kept->due_ns = kept->look_ns + (share_ns > interval_ns ? share_ns : interval_ns);
	kept->look_timestamp = timestamp_of(kept->look);
}

static void count_memory(struct keeping *keeping, struct kept *kept, uint64_t interval_ns)
{
	uint64_t before = kept->look->at_ns, cpu_ns;
	int ret;

	/* One that was made for somebody else costs nothing. */
	if (!kept->look_now && !domain_last_look(kept->domain, interval_ns, kept->look)) {
		if (kept->look->at_ns != before)
			note_look(keeping, kept, kept->look->took_ns, interval_ns);
		if (keeping_now(keeping) < kept->due_ns)
			return;
	}
	if (kept->looked && !kept->look_now && keeping_now(keeping) < kept->due_ns)
		return;
	cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	ret = domain_look(kept->domain, kept->look, NULL);
	cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	keeping->counting_cpu_ns += cpu_ns;
	if (!ret)
		note_look(keeping, kept, cpu_ns, interval_ns);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void note_metrics(struct kept *kept, const struct gmig_job_info *info)
{
	static const enum metrics_job_type ends[] = {[GMIG_JOB_COMPLETED] = METRICS_JOB_COMPLETED,
						     [GMIG_JOB_FAILED] = METRICS_JOB_FAILED,
						     [GMIG_JOB_CANCELLED] = METRICS_JOB_CANCELLED};
	double seconds = (double)info->elapsed_ns / 1e9;
	uint64_t done = info->moved_bytes;

	kept->job_metrics = (struct metrics_job){
	    .type = info->state >= GMIG_JOB_COMPLETED ? ends[info->state] : METRICS_JOB_RUNNING,
	    .elapsed_seconds = seconds,
	    .remaining_seconds = NAN,
	    .total_bytes = info->total_bytes,
	    .processed_bytes = done,
	    .remaining_bytes = info->remaining_bytes,
	    .rate_bytes = info->spec.rate_bytes_per_second};
	if (kept->job_metrics.type != METRICS_JOB_RUNNING)
		kept->job_metrics.remaining_seconds = 0;
	else if (done && info->total_bytes >= done)
		kept->job_metrics.remaining_seconds =
		    (double)(info->total_bytes - done) * seconds / (double)done;
}

static bool was_live(const struct kept *kept, uint64_t id)
{
	for (unsigned int i = 0; i < kept->live_count; i++)
		if (kept->live[i] == id)
			return true;
	return false;
}

static bool is_own(struct keeping *keeping, const struct kept *kept, uint64_t id)
{
	bool own;

	if (domain_resumed_unasked(kept->domain) == id)
		return true;
	pthread_mutex_lock(&keeping->lock);
	own = kept->jobs[id % KEPT_JOBS].id == id;
	pthread_mutex_unlock(&keeping->lock);
	return own;
}

/* A job that was asked for takes over pages from one that was not before that is cancelled, at times all of them. */
enum keeper_end keeping_end_of(const struct gmig_job_info *info, bool gave_way)
{
	switch (info->state) {
	case GMIG_JOB_COMPLETED:
		return gave_way && info->by_others_bytes ? KEEPER_YIELDED : KEEPER_COMPLETED;
	case GMIG_JOB_CANCELLED:
		return gave_way ? KEEPER_YIELDED : KEEPER_CANCELLED;
	default:
		return KEEPER_FAILED;
	}
}

static void end_own(struct keeping *keeping, struct kept *kept)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	pthread_mutex_lock(&keeping->lock);
	job = kept->job;
	kept->job = NULL;
	pthread_mutex_unlock(&keeping->lock);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	keeper_ended(keeping->keeper, domain_name(kept->domain), &kept->move,
		     keeping_end_of(&info, domain_gave_way(kept->domain, info.id)),
		     info.moved_bytes, info.remaining_bytes, info.error.text,
		     keeping_now(keeping) / NS);
}

/* What has become of one job since the round before. Returns whether it runs. */
static bool poll_job(struct keeping *keeping, struct kept *kept, uint64_t id)
{
	struct gmig_job *job = gmig_process_job_find(domain_process(kept->domain), id);
	struct gmig_job_info info;

	if (!job)
		return false;
	gmig_job_info(job, &info);
	gmig_job_put(job);
	if (id >= kept->last_id)
		note_metrics(kept, &info);
	if (info.state < GMIG_JOB_COMPLETED)
		return true;
	if (id <= kept->last_id && !was_live(kept, id))
		return false; /* known already */
	kept->look_now = true;
	if (!is_own(keeping, kept, id))
		kept->hand_jobs += info.moved_bytes > 0;
	return false;
}

void keeping_poll_jobs(struct keeping *keeping, struct kept *kept)
{
	uint64_t ids[KEPT_JOBS * 2], live[KEPT_JOBS] = {0}, last = kept->last_id;
	size_t count = gmig_process_job_list(domain_process(kept->domain), ids, KEPT_JOBS * 2);
	unsigned int live_count = 0;
	bool own_runs = false;

	for (size_t i = 0; i < count && i < KEPT_JOBS * 2; i++) {
		if (poll_job(keeping, kept, ids[i]) && live_count < KEPT_JOBS) {
			live[live_count++] = ids[i];
			own_runs |= is_own(keeping, kept, ids[i]);
		}
		last = ids[i] > last ? ids[i] : last;
	}
	memcpy(kept->live, live, live_count * sizeof(*live));
	kept->live_count = live_count;
	kept->last_id = last;
	if (kept->job && !own_runs)
		end_own(keeping, kept);
}

/* ---- One domain ------------------------------------------------------------------------------ */

void keeping_watch_one(struct keeping *keeping, struct kept *kept, const struct host_view *view,
		       uint64_t interval_ns)
{
	struct gmig_node_set before = kept->vcpu_nodes;

	/* -ENOENT and the like: not known, and said so in the verdict. */
	(void)vcpu_watch_read(&kept->watch, &keeping->options.host->qemu, domain_pid(kept->domain),
			      &view->host, keeping_now(keeping));
	kept->vcpu_nodes = kept->watch.nodes;
	/* By when its memory may follow, it is to be known; not after each vCPU of many. */
	if (kept->looked && kept->policy.placement == POLICY_FOLLOW_VCPUS &&
	    memcmp(&before, &kept->vcpu_nodes, sizeof(before)) != 0)
		kept->look_soon_ns = keeping_now(keeping) + KEEPER_HOLD_SECONDS * NS;
	if (kept->look_soon_ns && keeping_now(keeping) >= kept->look_soon_ns)
		kept->look_now = true;
	count_memory(keeping, kept, interval_ns);
	take_look(kept, view);
}

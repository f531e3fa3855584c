/* libgmig's structs as JSON: one function an object. */
#include "../migrate/gmig_retire.h"
#include "guest.h"

#include <string.h>

#define MAX_JOBS 256

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

json_t *guest_report_percentiles(const struct gmig_percentiles *p)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", integer(p->count), "p50",
			 integer(p->p50_ns), "p99", integer(p->p99_ns), "p999", integer(p->p999_ns),
			 "max", integer(p->max_ns));
}

static json_t *blackout(const struct gmig_percentiles *read, const struct gmig_percentiles *write)
{
	return json_pack("{s:o, s:o}", "read", guest_report_percentiles(read), "write",
			 guest_report_percentiles(write));
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* free_bytes is left out if it could not be looked at: 0 would be a full node. */
static json_t *host_node(const struct gmig_topology *topology, unsigned int node)
{
	json_t *distance = json_array(), *json;
	uint64_t free_bytes, cache_bytes;

	gmig_node_set_each (other, gmig_topology_nodes(topology))
		json_array_append_new(distance,
				      integer(gmig_topology_distance(topology, node, other)));
	json = json_pack("{s:i, s:o, s:o}", "id", (int)node, "total_bytes",
			 integer(gmig_topology_total_bytes(topology, node)), "distance", distance);
	if (!gmig_topology_room(topology, node, &free_bytes, &cache_bytes))
		json_object_set_new(json, "free_bytes", integer(free_bytes));
	return json;
}

static json_t *host_nodes(const struct gmig_topology *topology)
{
	json_t *nodes = json_array();

	gmig_node_set_each (node, gmig_topology_nodes(topology))
		json_array_append_new(nodes, host_node(topology, node));
	return json_pack("{s:o}", "host_nodes", nodes);
}

static json_t *allowed_nodes(const struct gmig_topology *topology)
{
	struct gmig_node_set nodes = *gmig_topology_nodes(topology);
	json_t *list = json_array();

	gmig_node_set_and(&nodes, gmig_topology_allowed(topology));
	gmig_node_set_each (node, &nodes)
		json_array_append_new(list, integer(node));
	return list;
}

/* Nodes come and go, and cpusets change. Another program's cpusets, and those of nodes that are pretended, are not ours. */
json_t *guest_report_numa(const struct guest *guest)
{
	struct gmig_topology *topology;
	json_t *numa;

	if (gmig_topology_refresh(guest->topology, &topology, NULL))
		topology = gmig_topology_get(guest->topology);
	numa = host_nodes(topology);
	if (numa && guest->gmig && !gmig_topology_is_fake(topology))
		json_object_set_new(numa, "allowed", allowed_nodes(topology));
	gmig_topology_put(topology);
	return numa;
}

/* {"0": bytes, ..}: nodes of the host, and any other that has something. */
static json_t *per_node(const struct gmig_topology *topology, const uint64_t *bytes, bool all)
{
	const struct gmig_node_set *online = gmig_topology_nodes(topology);
	json_t *object = json_object();

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		char key[16];

		if (!bytes[node] && !(all && gmig_node_set_has(online, node)))
			continue;
		snprintf(key, sizeof(key), "%u", node);
		json_object_set_new(object, key, integer(bytes[node]));
	}
	return object;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static json_t *node_list(const uint16_t *nodes, unsigned int count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(list, integer(nodes[i]));
	return list;
}

static json_t *remaining_reasons(const struct gmig_job_info *info)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < info->remaining_count; i++)
		json_object_set_new(object, gmig_errno_name(info->remaining[i].error),
				    integer(info->remaining[i].pages));
	return object;
}

/* What was asked for. */
static json_t *job_request(const struct gmig_job_info *info)
{
	const struct gmig_job_spec *spec = &info->spec;
	json_t *request;
	char id[24];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)info->id);
	request = json_pack(
	    "{s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:o}", "id", id, "state",
	    gmig_job_state_name(info->state), "from", node_list(spec->from, spec->from_count), "to",
	    node_list(spec->to, spec->to_count), "mode", gmig_mode_name(spec->mode), "mover",
	    spec->mover ? spec->mover : gmig_mover_names()[0], "frames",
	    gmig_frames_names()[spec->frames], "huge", gmig_huge_names()[spec->huge], "swapped",
	    gmig_swapped_names()[spec->swapped], "rate", integer(spec->rate_bytes_per_second));
	if (info->plan && strcmp(info->plan, "nodes") != 0)
		json_object_set_new(request, "plan", json_string(info->plan));
	if (spec->max_bytes)
		json_object_set_new(request, "max_bytes", integer(spec->max_bytes));
	if (spec->max_stall_ns)
		json_object_set_new(request, "max_stall_ns", integer(spec->max_stall_ns));
	json_object_set_new(request, "order", json_string(gmig_order_names()[spec->order]));
	if (spec->order_seed)
		json_object_set_new(request, "order_seed", integer(spec->order_seed));
	if (spec->max_slowdown_ppm)
		json_object_set_new(request, "max_slowdown",
				    json_real(spec->max_slowdown_ppm / 1e6));
	return request;
}

/* Where each page of the plan is: total = moved + remaining + gone + moved by others, once the job has ended. */
static void add_pages(json_t *job, const struct gmig_job_info *info)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} sums[] = {
	    {"total_bytes", info->total_bytes},
	    {"moved_bytes", info->moved_bytes},
	    {"remaining_bytes", info->remaining_bytes},
	    {"gone_bytes", info->gone_bytes},
	    {"moved_by_others_bytes", info->by_others_bytes},
	    {"bytes_on_source", info->bytes_on_source},
	    {"extra_bytes_max", info->extra_bytes_max},
	};

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		json_object_set_new(job, sums[i].name, integer(sums[i].bytes));
	json_object_set_new(job, "remaining", remaining_reasons(info));
	json_object_set_new(job, "thp_split", integer(info->thp_split));
	json_object_set_new(job, "thp_joined", integer(info->thp_joined));
}

static void add_times(json_t *job, const struct gmig_job_info *info)
{
	double seconds = (double)info->elapsed_ns / 1e9;
	uint64_t rate = info->elapsed_ns ? (uint64_t)((double)info->moved_bytes / seconds) : 0;

	json_object_set_new(job, "seconds", json_real(seconds));
	json_object_set_new(job, "bytes_per_second", integer(rate));
	json_object_set_new(job, "passes", integer(info->passes));
	json_object_set_new(job, "rounds",
			    json_pack("{s:o, s:o}", "readable", integer(info->rounds_readable),
				      "block", integer(info->rounds_block)));
	json_object_set_new(job, "blackout_ns",
			    blackout(&info->blackout_read, &info->blackout_write));
	json_object_set_new(job, "stall_ns", guest_report_percentiles(&info->stall));
}

static void add_lazy(json_t *job, const struct gmig_job_info *info)
{
	const struct gmig_lazy_info *lazy = &info->lazy;
	json_t *object;

	if (info->spec.mode != GMIG_MODE_LAZY)
		return;
	object = json_pack(
	    "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "by",
	    gmig_lazy_names()[info->spec.lazy], "to", gmig_lazy_to_names()[info->spec.lazy_to],
	    "touched_bytes", integer(lazy->touched_bytes), "swept_bytes",
	    integer(lazy->swept_bytes), "given_back", integer(lazy->given_back), "touches",
	    integer(lazy->touches), "touches_by_vcpu", integer(lazy->touches_by_vcpu), "waiting",
	    integer(lazy->waiting), "waiting_max", integer(lazy->waiting_max));
	if (info->spec.lazy_to)
		json_object_set_new(object, "in_place_bytes", integer(lazy->in_place_bytes));
	if (info->spec.deadline_ns)
		json_object_set_new(object, "deadline_ns", integer(info->spec.deadline_ns));
	json_object_set_new(job, "lazy", object);
}

static void add_max_slowdown(json_t *job, const struct gmig_job_info *info)
{
	json_object_set_new(job, "max_slowdown_met", json_boolean(info->max_slowdown_met));
	json_object_set_new(job, "max_slowdown_stuck", json_boolean(info->max_slowdown_stuck));
	if (info->max_slowdown_left_ns)
		json_object_set_new(job, "max_slowdown_left_seconds",
				    json_real((double)info->max_slowdown_left_ns / 1e9));
}

static void add_budgets(json_t *job, const struct gmig_job_info *info)
{
	add_lazy(job, info);
	if (info->call.count)
		json_object_set_new(job, "call_ns", guest_report_percentiles(&info->call));
	json_object_set_new(job, "slowdown",
			    json_pack("{s:f, s:f}", "share", info->slowdown_ppm / 1e6,
				      "worst_second", info->slowdown_worst_ppm / 1e6));
	if (info->spec.max_slowdown_ppm)
		add_max_slowdown(job, info);
	if (!info->spec.max_stall_ns)
		return;
	json_object_set_new(job, "max_stall_met", json_boolean(info->max_stall_met));
	json_object_set_new(job, "max_stall_late", integer(info->max_stall_late));
	json_object_set_new(job, "max_stall_needs_split",
			    json_boolean(info->max_stall_needs_split));
	if (info->max_stall_needs_ns)
		json_object_set_new(job, "max_stall_needs_ns", integer(info->max_stall_needs_ns));
}

json_t *guest_report_job(const struct gmig_job_info *info)
{
	json_t *job = job_request(info);

	if (!job)
		return NULL;
	add_pages(job, info);
	add_times(job, info);
	add_budgets(job, info);
	if (info->state == GMIG_JOB_FAILED)
		json_object_set_new(job, "error", json_string(info->error.text));
	return job;
}

json_t *guest_report_jobs(const struct guest *guest)
{
	uint64_t ids[MAX_JOBS];
	size_t count = guest_job_list(guest, ids, MAX_JOBS);
	json_t *list = json_array();

	for (size_t i = 0; i < count && i < MAX_JOBS; i++) {
		struct gmig_job *job = guest_job_find(guest, ids[i]);
		struct gmig_job_info info;
		json_t *report;

		if (!job)
			continue;
		gmig_job_info(job, &info);
		gmig_job_put(job);
		report = guest_report_job(&info);
		if (report && guest->describe_job)
			guest->describe_job(guest, &info, report);
		json_array_append_new(list, report);
	}
	return list;
}

static json_t *trace_record(const struct gmig_trace_record *record)
{
	json_t *object = json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:b}", "gpa", integer(record->gpa),
	    "begin_ns", integer(record->begin_ns), "end_ns", integer(record->end_ns),
	    "blackout_read_ns", integer(record->blackout_read_ns), "blackout_write_ns",
	    integer(record->blackout_write_ns), "pages", (int)record->pages, "moved_pages",
	    (int)record->moved_pages, "from", (int)record->from, "to", (int)record->to, "worker",
	    (int)record->worker, "huge", (int)record->huge);

	if (object && record->error)
		json_object_set_new(object, "error", json_string(gmig_errno_name(record->error)));
	return object;
}

json_t *guest_report_trace(const struct gmig_trace_record *records, uint64_t first, uint64_t total,
			   size_t max)
{
	json_t *list = json_array();

	for (uint64_t i = 0; first + i < total && i < max; i++)
		json_array_append_new(list, trace_record(&records[i]));
	return json_pack("{s:o, s:o, s:o}", "total", integer(total), "first", integer(first),
			 "records", list);
}

/* ---- Residency ------------------------------------------------------------------------------- */

static json_t *vnode_residency(const struct guest *guest, unsigned int vnode)
{
	uint64_t bytes[GMIG_MAX_NODES] = {0}, swapped = 0;

	gmig_residency(guest->gmig, vnode, bytes);
	gmig_swapped(guest->gmig, vnode, &swapped);
	return json_pack("{s:i, s:o, s:o, s:o}", "id", (int)vnode, "bytes",
			 integer(guest->vnode_bytes[vnode]), "resident",
			 per_node(guest->topology, bytes, true), "swapped_bytes", integer(swapped));
}

static json_t *vnodes_residency(const struct guest *guest)
{
	json_t *list = json_array();

	for (unsigned int vnode = 0; vnode < guest->vnode_count; vnode++)
		json_array_append_new(list, vnode_residency(guest, vnode));
	return list;
}

#define SAMPLE_BLOCKS 16 /* compared with the kernel for each answer: a millisecond at most */

/* How far to trust it: when all was last compared with the kernel, and what a sample says now. */
static void add_trust(json_t *residency, struct gmig *gmig, const struct gmig_sample *sample)
{
	json_object_set_new(residency, "age_seconds",
			    json_real((double)gmig_audit_age_ns(gmig) / 1e9));
	json_object_set_new(residency, "sample",
			    json_pack("{s:o, s:o}", "checked_pages", integer(sample->checked_pages),
				      "corrected_pages", integer(sample->corrected_pages)));
}

/* As of a domain: pages of hugetlbfs by themselves. */
static json_t *page_sizes(const struct gmig_stats *stats)
{
	json_t *sizes = json_pack("{s:o, s:o}", "2M",
				  integer(stats->page_bytes_2m - stats->page_bytes_hugetlb_2m -
					  stats->page_bytes_hugetlb_1g),
				  "4K", integer(stats->page_bytes_4k));

	if (stats->page_bytes_hugetlb_2m)
		json_object_set_new(sizes, "hugetlb-2M", integer(stats->page_bytes_hugetlb_2m));
	if (stats->page_bytes_hugetlb_1g)
		json_object_set_new(sizes, "hugetlb-1G", integer(stats->page_bytes_hugetlb_1g));
	return sizes;
}

static json_t *engine_residency(const struct guest *guest)
{
	const struct gmig_topology *topology = guest->topology;
	const char *off = gmig_why_off(guest->gmig);
	struct gmig_sample sample;
	struct gmig_stats stats;
	json_t *result;

	gmig_sample(guest->gmig, SAMPLE_BLOCKS, &sample);
	gmig_stats(guest->gmig, &stats);
	result = json_pack(
	    "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
	    "s:o, s:{s:o, s:o, s:o, s:o}}",
	    "name", guest->name, "migration", off ? off : "on", "page_bytes", page_sizes(&stats),
	    "vnodes", vnodes_residency(guest), "pool", per_node(topology, stats.pool_bytes, true),
	    "quarantine", per_node(topology, stats.quarantine_bytes, false), "offlined_bytes",
	    integer(stats.offlined_bytes), "slots_emptied", integer(stats.slots_emptied),
	    "extra_bytes", integer(stats.extra_bytes), "extra_bytes_peak",
	    integer(stats.extra_bytes_peak), "extra_bytes_max", integer(stats.extra_bytes_max),
	    "sleepers", integer(stats.sleepers), "faults", integer(stats.faults),
	    "faults_known_thread", integer(stats.faults_known_thread), "blackout_ns",
	    blackout(&stats.blackout_read, &stats.blackout_write), "stall_ns",
	    guest_report_percentiles(&stats.stall), "jobs", guest_report_jobs(guest), "dma",
	    "busy_blocks", integer(stats.busy_blocks), "postponed", integer(stats.claims_busy),
	    "transfers", integer(stats.dma_begun), "refused", integer(stats.dma_refused));
	if (result)
		json_object_set_new(result, "broken_bytes",
				    integer(gmig_broken_bytes(guest->gmig)));
	if (result)
		json_object_set_new(result, "starved_pages", integer(stats.starved_pages));
	if (result && !off)
		add_trust(result, guest->gmig, &sample);
	return result;
}

json_t *guest_report_residency(const struct guest *guest)
{
	if (guest->process)
		return json_pack("{s:s, s:s, s:o}", "name", guest->name, "migration", "on", "jobs",
				 guest_report_jobs(guest));
	return engine_residency(guest);
}

/* ---- Check ----------------------------------------------------------------------------------- */

json_t *guest_report_check(const struct gmig_check *check)
{
	json_t *breaches = json_array();

	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++) {
		char name[8];

		if (!check->breach[i])
			continue;
		snprintf(name, sizeof(name), "I%u", i + 1);
		json_array_append_new(breaches, json_pack("{s:s, s:s}", "invariant", name, "detail",
							  check->detail[i]));
	}
	return json_pack(
	    "{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ok", json_array_size(breaches) == 0,
	    "breaches", breaches, "checked_pages", integer(check->checked_pages), "corrected_pages",
	    integer(check->corrected_pages), "mapped_bytes", integer(check->mapped_bytes),
	    "pool_bytes", integer(check->pool_bytes), "in_flight_bytes",
	    integer(check->in_flight_bytes), "quarantine_bytes", integer(check->quarantine_bytes));
}

static json_t *buckets_of(struct gmig *gmig, enum gmig_times which)
{
	uint64_t count[GMIG_TIME_BUCKETS];
	json_t *list = json_array();

	gmig_histogram(gmig, which, count);
	for (unsigned int i = 0; i < GMIG_TIME_BUCKETS; i++)
		if (count[i])
			json_array_append_new(list, json_pack("[I, I]", (json_int_t)(1ull << i),
							      (json_int_t)count[i]));
	return list;
}

json_t *guest_report_histograms(struct gmig *gmig)
{
	return json_pack("{s:{s:o, s:o}, s:o}", "blackout_ns", "read",
			 buckets_of(gmig, GMIG_TIMES_BLACKOUT_READ), "write",
			 buckets_of(gmig, GMIG_TIMES_BLACKOUT_WRITE), "stall_ns",
			 buckets_of(gmig, GMIG_TIMES_STALL));
}

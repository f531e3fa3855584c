/* What a VM tells of itself, as JSON: one function an object. */
#include "commands.h"
#include "probe.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *percentiles(const struct gmig_percentiles *p)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", integer(p->count), "p50",
			 integer(p->p50_ns), "p99", integer(p->p99_ns), "p999", integer(p->p999_ns),
			 "max", integer(p->max_ns));
}

static json_t *closed(const struct gmig_percentiles *read, const struct gmig_percentiles *write)
{
	return json_pack("{s:o, s:o}", "read", percentiles(read), "write", percentiles(write));
}

/* {"0": bytes, ..}: nodes of the host, and any other that has something. */
static json_t *per_node(const struct vmm *vmm, const uint64_t *bytes, bool all)
{
	const struct gmig_node_set *online = gmig_topology_nodes(vmm->topology);
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

static const char *state_name(struct vmm *vmm)
{
	switch (vmm_state(vmm)) {
	case VMM_STATE_STOPPED:
		return "stopped";
	case VMM_STATE_SHUTDOWN:
		return "shutdown";
	default:
		return "running";
	}
}

/* Clients connect to a port's socket by themselves; their directory need not be ours. */
static json_t *ports(const struct vmm_options *options)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < options->port_count; i++) {
		char absolute[PATH_MAX];
		const char *path = realpath(options->port[i].path, absolute);

		json_array_append_new(list, json_pack("{s:s, s:s}", "name", options->port[i].name,
						      "path", path ? path : options->port[i].path));
	}
	return list;
}

json_t *report_status(struct vmm *vmm)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "name", vmm->options.name, "pid",
			 (int)getpid(), "state", state_name(vmm), "guest",
			 vmm->options.kernel ? "linux" : "probe", "version", GMIG_VERSION, "ports",
			 ports(&vmm->options));
}

/* ---- NUMA ------------------------------------------------------------------------------------ */

static json_t *host_node(const struct gmig_topology *topology, unsigned int node)
{
	json_t *distance = json_array();

	gmig_node_set_each (other, gmig_topology_nodes(topology))
		json_array_append_new(distance,
				      integer(gmig_topology_distance(topology, node, other)));
	return json_pack("{s:i, s:o, s:o, s:o}", "id", (int)node, "total_bytes",
			 integer(gmig_topology_total_bytes(topology, node)), "free_bytes",
			 integer(gmig_topology_free_bytes(topology, node)), "distance", distance);
}

static json_t *vnode_shape(const struct vmm_options *options, unsigned int vnode)
{
	json_t *cpus = json_array(), *distance = json_array();

	for (unsigned int cpu = 0; cpu < options->cpus; cpu++)
		if (options->node[vnode].cpus & 1ull << cpu)
			json_array_append_new(cpus, integer(cpu));
	for (unsigned int other = 0; other < options->node_count; other++)
		json_array_append_new(distance, integer(options->distance[vnode][other]));
	return json_pack("{s:i, s:o, s:o, s:i, s:o}", "id", (int)vnode, "bytes",
			 integer(options->node[vnode].mem_bytes), "cpus", cpus, "host",
			 (int)options->node[vnode].host, "distance", distance);
}

json_t *report_numa(struct vmm *vmm)
{
	json_t *nodes = json_array(), *vnodes = json_array();

	gmig_node_set_each (node, gmig_topology_nodes(vmm->topology))
		json_array_append_new(nodes, host_node(vmm->topology, node));
	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++)
		json_array_append_new(vnodes, vnode_shape(&vmm->options, vnode));
	return json_pack("{s:o, s:i, s:o}", "host_nodes", nodes, "fake_nodes",
			 (int)vmm->options.fake_nodes, "vnodes", vnodes);
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

json_t *report_job(const struct gmig_job_info *info)
{
	static const char *const frames[] = {"auto", "fresh", "recycled"};
	double seconds = (double)info->elapsed_ns / 1e9;
	char id[24];
	json_t *job;

	snprintf(id, sizeof(id), "%llu", (unsigned long long)info->id);
	job = json_pack(
	    "{s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:i, s:o, s:o, "
	    "s:o}",
	    "id", id, "state", gmig_job_state_name(info->state), "from",
	    node_list(info->spec.from, info->spec.from_count), "to",
	    node_list(info->spec.to, info->spec.to_count), "mode", gmig_mode_name(info->spec.mode),
	    "mover", info->spec.mover ? info->spec.mover : "uffd", "frames",
	    frames[info->spec.frames], "rate", integer(info->spec.rate_bytes_per_second),
	    "total_bytes", integer(info->total_bytes), "moved_bytes", integer(info->moved_bytes),
	    "remaining_bytes", integer(info->remaining_bytes), "remaining", remaining_reasons(info),
	    "seconds", seconds, "bytes_per_second",
	    integer(info->elapsed_ns ? (uint64_t)((double)info->moved_bytes / seconds) : 0),
	    "passes", (int)info->passes, "blackout_ns",
	    closed(&info->blackout_read, &info->blackout_write), "stall_ns",
	    percentiles(&info->stall), "thp_split", integer(info->thp_split));
	if (job && info->state == GMIG_JOB_FAILED)
		json_object_set_new(job, "error", json_string(info->error.text));
	return job;
}

json_t *report_jobs(struct vmm *vmm)
{
	uint64_t ids[256];
	size_t count = gmig_job_list(vmm->gmig, ids, 256);
	json_t *list = json_array();

	for (size_t i = 0; i < count && i < 256; i++) {
		struct gmig_job *job = gmig_job_find(vmm->gmig, ids[i]);
		struct gmig_job_info info;

		if (!job)
			continue;
		gmig_job_info(job, &info);
		gmig_job_put(job);
		json_array_append_new(list, report_job(&info));
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

json_t *report_trace(const struct gmig_trace_record *records, uint64_t first, uint64_t total,
		     size_t max)
{
	json_t *list = json_array();

	for (uint64_t i = 0; first + i < total && i < max; i++)
		json_array_append_new(list, trace_record(&records[i]));
	return json_pack("{s:o, s:o, s:o}", "total", integer(total), "first", integer(first),
			 "records", list);
}

/* ---- Residency ------------------------------------------------------------------------------- */

static json_t *vnodes_residency(struct vmm *vmm)
{
	json_t *list = json_array();

	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++) {
		uint64_t bytes[GMIG_MAX_NODES] = {0};

		gmig_residency(vmm->gmig, vnode, bytes);
		json_array_append_new(list, json_pack("{s:i, s:o, s:o}", "id", (int)vnode, "bytes",
						      integer(vmm->options.node[vnode].mem_bytes),
						      "resident", per_node(vmm, bytes, true)));
	}
	return list;
}

static json_t *regions(const struct vmm *vmm)
{
	json_t *list = json_array();

	for (size_t i = 0; i < vmm->region_count; i++) {
		const struct vmm_region *region = &vmm->region[i];

		json_array_append_new(
		    list, json_pack("{s:i, s:o, s:o, s:o}", "vnode", (int)region->vnode, "gpa",
				    integer(region->gpa), "hva", integer((uintptr_t)region->hva),
				    "bytes", integer(region->bytes)));
	}
	return list;
}

static json_t *probe_report(const struct vmm *vmm)
{
	static const char *const loads[] = {"write", "idle", "random", "read", "half"};
	struct probe_summary summary;
	json_t *object;

	probe_summarise(vmm->probe, &summary);
	object = json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:s}", "sweeps", integer(summary.sweeps),
			   "errors", integer(summary.errors), "gap_ns", percentiles(&summary.gap),
			   "visits", integer(summary.visits), "interrupts",
			   integer(summary.interrupts), "filled", (int)summary.filled, "load",
			   summary.load <= VMM_LOAD_HALF ? loads[summary.load] : "unknown");
	if (object && summary.errors)
		json_object_set_new(object, "first_error", json_string(summary.first_error));
	return object;
}

json_t *report_residency(struct vmm *vmm)
{
	const char *off = gmig_why_off(vmm->gmig);
	struct gmig_stats stats;
	json_t *result;

	gmig_stats(vmm->gmig, &stats);
	result = json_pack(
	    "{s:s, s:i, s:s, s:i, s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}",
	    "name", vmm->options.name, "pid", (int)getpid(), "state", state_name(vmm), "fake_nodes",
	    (int)vmm->options.fake_nodes, "page_bytes", "2M", integer(stats.page_bytes_2m), "4K",
	    integer(stats.page_bytes_4k), "vnodes", vnodes_residency(vmm), "regions", regions(vmm),
	    "pool", per_node(vmm, stats.pool_bytes, true), "quarantine",
	    per_node(vmm, stats.quarantine_bytes, false), "sleepers", integer(stats.sleepers),
	    "faults", integer(stats.faults), "blackout_ns",
	    closed(&stats.blackout_read, &stats.blackout_write), "stall_ns",
	    percentiles(&stats.stall), "jobs", report_jobs(vmm), "migration", off ? off : "on");
	if (result)
		json_object_set_new(result, "faults_known_thread",
				    integer(stats.faults_known_thread));
	if (result && vmm->probe)
		json_object_set_new(result, "probe", probe_report(vmm));
	return result;
}

/* ---- Check ----------------------------------------------------------------------------------- */

json_t *report_check(const struct gmig_check *check)
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

static json_t *buckets_of(struct vmm *vmm, enum gmig_times which)
{
	uint64_t count[GMIG_TIME_BUCKETS];
	json_t *list = json_array();

	gmig_histogram(vmm->gmig, which, count);
	for (unsigned int i = 0; i < GMIG_TIME_BUCKETS; i++)
		if (count[i])
			json_array_append_new(list, json_pack("[I, I]", (json_int_t)(1ull << i),
							      (json_int_t)count[i]));
	return list;
}

json_t *report_histograms(struct vmm *vmm)
{
	return json_pack("{s:{s:o, s:o}, s:o}", "blackout_ns", "read",
			 buckets_of(vmm, GMIG_TIMES_BLACKOUT_READ), "write",
			 buckets_of(vmm, GMIG_TIMES_BLACKOUT_WRITE), "stall_ns",
			 buckets_of(vmm, GMIG_TIMES_STALL));
}

#include "serve_report.h"
#include "../control/text.h"
#include "qemu_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

void serve_report_identity(json_t *object, const struct domain *domain, const char *uri)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", uri, domain_name(domain));
	json_object_set_new(object, "pid", json_integer(domain_pid(domain)));
	json_object_set_new(object, "state",
			    json_string(domain_has_ended(domain)   ? "ended"
					: domain_is_paused(domain) ? "stopped"
								   : "running"));
	json_object_set_new(object, "guest", json_string("qemu"));
	json_object_set_new(object, "uri", control_text_json(whole));
	json_object_set_new(object, "uuid", json_string(domain_uuid(domain)));
	json_object_set_new(object, "pins", json_boolean(domain_can_pin(domain)));
}

json_t *serve_report_vnodes(const struct domain *domain)
{
	json_t *cpus = json_array();

	for (unsigned int i = 0; i < domain_vcpus(domain); i++)
		json_array_append_new(cpus, integer(i));
	return json_pack("[{s:i, s:o, s:o}]", "id", 0, "bytes",
			 integer(domain_memory_bytes(domain)), "cpus", cpus);
}

/* {"0": bytes, ..}: the host's nodes with memory, and any other that has something. */
static json_t *per_node(const struct gmig_topology *topology, const uint64_t *bytes)
{
	const struct gmig_node_set *nodes = gmig_topology_nodes(topology);
	json_t *object = json_object();

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		char key[16];

		if (!bytes[node] && !gmig_node_set_has(nodes, node))
			continue;
		snprintf(key, sizeof(key), "%u", node);
		json_object_set_new(object, key, integer(bytes[node]));
	}
	return object;
}

static json_t *page_sizes(const struct qemu_usage *usage)
{
	json_t *sizes = json_pack("{s:o, s:o}", "2M", integer(usage->huge_bytes), "4K",
				  integer(usage->small_bytes));
	char name[32];

	if (!usage->hugetlb_bytes)
		return sizes;
	snprintf(name, sizeof(name), "hugetlb-%llu%c",
		 (unsigned long long)(usage->hugetlb_page_bytes >>
				      (usage->hugetlb_page_bytes >> 30 ? 30 : 20)),
		 usage->hugetlb_page_bytes >> 30 ? 'G' : 'M');
	json_object_set_new(sizes, name, integer(usage->hugetlb_bytes));
	return sizes;
}

static double age_seconds(const struct domain_look *look)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec * 1e9 + (double)ts.tv_nsec - (double)look->at_ns) / 1e9;
}

void serve_report_look(json_t *object, const struct gmig_topology *topology,
		       const struct domain_look *look)
{
	const struct qemu_usage *usage = &look->usage;

	json_object_set_new(object, "page_bytes", page_sizes(usage));
	json_object_set_new(object, "vnodes",
			    json_pack("[{s:i, s:o, s:o, s:o}]", "id", 0, "bytes",
				      integer(look->domain_bytes), "resident",
				      per_node(topology, usage->ram_bytes), "swapped_bytes",
				      integer(usage->swapped_bytes)));
	json_object_set_new(object, "qemu", per_node(topology, usage->other_bytes));
	json_object_set_new(object, "shared_bytes", integer(usage->shared_bytes));
	json_object_set_new(object, "locked_bytes", integer(usage->locked_bytes));
	json_object_set_new(object, "mapped_bytes", integer(look->ram_bytes));
	json_object_set_new(object, "fits", json_boolean(look->fits));
	json_object_set_new(object, "age_seconds", json_real(age_seconds(look)));
	json_object_set_new(object, "look_seconds", json_real((double)look->took_ns / 1e9));
}

void serve_report_cpusets(json_t *object, struct domain *domain)
{
	struct domain_cpusets cpusets;
	struct gmig_error err = {0};
	char nodes[256];
	int ret = domain_cpusets(domain, &cpusets, &err);

	if (ret && ret != -ESRCH) /* no note would say that all is as it should be */
		json_object_set_new(object, "note", control_text_json(err.text));
	if (ret)
		return;
	gmig_node_set_print(&cpusets.nodes, nodes, sizeof(nodes));
	json_object_set_new(object, "cpuset",
			    json_pack("{s:s, s:i, s:b}", "nodes", cpusets.groups ? nodes : "all",
				      "groups", (int)cpusets.groups, "widened",
				      (int)cpusets.widened));
	if (cpusets.note[0])
		json_object_set_new(object, "note", control_text_json(cpusets.note));
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* "Cpus_allowed_list:\t0-3" of a status file: as long as it is, half a list would be another one. */
static json_t *line_json(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	if (!line)
		return json_string("-");
	line += strlen(key);
	line += strspn(line, " \t");
	return json_stringn(line, strcspn(line, "\n"));
}

/* 0 without a report: it has ended. -errno: it cannot be looked at now. */
static int thread_report(pid_t pid, const struct qemu_thread *thread, json_t **report)
{
	static const char *const kinds[] = {[QEMU_THREAD_EMULATOR] = "emulator",
					    [QEMU_THREAD_VCPU] = "vcpu",
					    [QEMU_THREAD_IO] = "io"};
	size_t bytes;
	char *status QEMU_FREED = qemu_file_read("", 1u << 16, &bytes, "/proc/%d/task/%d/status",
						 (int)pid, (int)thread->tid);

	*report = NULL;
	if (!status)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	*report = json_pack("{s:s, s:i, s:o, s:o}", "kind", kinds[thread->kind], "tid",
			    (int)thread->tid, "cpus", line_json(status, "\nCpus_allowed_list:"),
			    "mems", line_json(status, "\nMems_allowed_list:"));
	if (!*report)
		return -ENOMEM;
	if (thread->kind == QEMU_THREAD_VCPU)
		json_object_set_new(*report, "vcpu", integer(thread->vcpu));
	return 0;
}

static int add_threads(pid_t pid, json_t *vcpus, json_t *others)
{
	const struct qemu_host host = {.root = ""};
	struct qemu_thread *threads;
	int count = qemu_threads_read(&host, pid, &threads), ret = 0;

	if (count < 0)
		return count == -ESRCH ? 0 : count;
	for (int i = 0; i < count && !ret; i++) {
		json_t *report;

		ret = thread_report(pid, &threads[i], &report);
		if (report && json_array_append_new(
				  threads[i].kind == QEMU_THREAD_VCPU ? vcpus : others, report))
			ret = -ENOMEM;
	}
	free(threads);
	return ret;
}

int serve_report_threads(json_t *object, pid_t pid, struct gmig_error *err)
{
	json_t *vcpus = json_array(), *others = json_array();
	int ret = add_threads(pid, vcpus, others);

	if (!ret && json_object_set_new(object, "cpus",
					json_pack("{s:b, s:O, s:O}", "placed", 0, "vcpus", vcpus,
						  "threads", others)))
		ret = -ENOMEM;
	json_decref(vcpus);
	json_decref(others);
	return ret ? gmig_fail(err, ret, "its threads cannot be looked at: %s", strerror(-ret)) : 0;
}

/* ---- Pins ------------------------------------------------------------------------------------ */

json_t *serve_report_order(const struct domain_pins *pins)
{
	json_t *report = json_pack("{s:s, s:i}", "state", domain_pins_state_name(pins->state),
				   "threads", (int)pins->pinned);

	if (report && pins->why[0])
		json_object_set_new(report, "why", control_text_json(pins->why));
	return report;
}

void serve_report_pins(json_t *job, struct domain *domain, const struct gmig_job_info *info)
{
	struct domain_pins pins;

	if (domain_pins_of(domain, info, &pins))
		json_object_set_new(job, "vcpus", serve_report_order(&pins));
}

/* ---- Check ----------------------------------------------------------------------------------- */

static void add_breach(json_t *breaches, const char *what, const char *detail)
{
	json_array_append_new(breaches, json_pack("{s:s, s:o}", "invariant", what, "detail",
						  control_text_json(detail)));
}

int serve_report_check(struct domain *domain, const struct domain_look *look, json_t **result,
		       struct gmig_error *err)
{
	json_t *breaches;
	struct domain_cpusets cpusets;
	char text[GMIG_ERROR_TEXT];
	uint64_t resident = 0;
	int ret = domain_cpusets(domain, &cpusets, err);

	if (ret)
		return ret;
	breaches = json_array();
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		resident += look->usage.ram_bytes[node];
	if (!look->fits) {
		snprintf(
		    text, sizeof(text),
		    "mappings of %llu bytes look like guest memory, libvirt says that it has %llu",
		    (unsigned long long)look->ram_bytes, (unsigned long long)look->domain_bytes);
		add_breach(breaches, "memory", text);
	}
	if (cpusets.note[0])
		add_breach(breaches, "cpuset", cpusets.note);
	*result = json_pack("{s:b, s:b, s:o, s:o, s:i, s:o}", "ok", json_array_size(breaches) == 0,
			    "process", 1, "breaches", breaches, "checked_pages",
			    integer(resident / GMIG_PAGE_BYTES), "corrected_pages", 0,
			    "mapped_bytes", integer(look->ram_bytes));
	return *result ? 0 : gmig_fail(err, -ENOMEM, "no memory for the answer");
}

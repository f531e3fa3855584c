/* What a VM tells of itself besides what libgmig knows (control/guest.h): one function a view. */
#include "commands.h"
#include "device.h"
#include "probe.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
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
		const char *real = realpath(options->port[i].path, absolute);
		/* The directory that we were started in need not be UTF-8, as JSON is. */
		json_t *path = json_string(real ? real : options->port[i].path);

		json_array_append_new(list,
				      json_pack("{s:s, s:o}", "name", options->port[i].name, "path",
						path ? path : json_string(options->port[i].path)));
	}
	return list;
}

static json_t *disks(const struct vmm *vmm)
{
	struct vmm_disk disk[VMM_MAX_DISKS];
	unsigned int count = vmm->devices ? vmm_disks(vmm->devices, disk) : 0;
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++) {
		json_t *path = json_string(disk[i].path); /* NULL unless it is UTF-8 */
		json_t *object =
		    json_pack("{s:o, s:b, s:s}", "path", path ? path : json_null(), "readonly",
			      disk[i].readonly, "cache", disk[i].direct ? "none" : "writeback");

		if (disk[i].direct) {
			json_object_set_new(object, "aio", json_string(disk[i].aio));
			json_object_set_new(object, "straight", integer(disk[i].straight));
			json_object_set_new(object, "bounced", integer(disk[i].bounced));
		}
		json_array_append_new(list, object);
	}
	return list;
}

static void describe_state(struct vmm *vmm, json_t *object)
{
	char reason[GMIG_ERROR_TEXT];

	vmm_stop_reason(vmm, reason);
	json_object_set_new(object, "pid", json_integer(getpid()));
	json_object_set_new(object, "state", json_string(state_name(vmm)));
	if (*reason)
		json_object_set_new(object, "stop_reason", json_string(reason));
}

static void describe_status(struct vmm *vmm, json_t *object)
{
	describe_state(vmm, object);
	json_object_set_new(object, "guest", json_string(vmm->options.kernel ? "linux" : "probe"));
	json_object_set_new(object, "ports", ports(&vmm->options));
}

/* ---- NUMA ------------------------------------------------------------------------------------ */

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

static void describe_numa(struct vmm *vmm, json_t *object)
{
	json_t *vnodes = json_array();

	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++)
		json_array_append_new(vnodes, vnode_shape(&vmm->options, vnode));
	json_object_set_new(object, "fake_nodes", integer(vmm->options.fake_nodes));
	json_object_set_new(object, "vnodes", vnodes);
}

/* ---- Residency ------------------------------------------------------------------------------- */

static json_t *region_file(const struct gmig_region_file *file)
{
	json_t *object = json_pack("{s:i, s:b}", "fd", file->fd, "hugetlb", file->hugetlb);

	if (file->unseen)
		json_object_set_new(object, "unseen", json_string(gmig_errno_name(file->unseen)));
	return object;
}

static json_t *regions(const struct vmm *vmm)
{
	json_t *list = json_array();

	for (size_t i = 0; i < vmm->region_count; i++) {
		const struct vmm_region *region = &vmm->region[i];
		json_t *object =
		    json_pack("{s:i, s:o, s:o, s:o}", "vnode", (int)region->vnode, "gpa",
			      integer(region->gpa), "hva", integer((uintptr_t)region->hva), "bytes",
			      integer(region->bytes));
		struct gmig_region_file file;

		/* All regions have one, or none has. */
		if (!gmig_region_file(vmm->gmig, (unsigned int)i, &file))
			json_object_set_new(object, "file", region_file(&file));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *probe_report(const struct vmm *vmm)
{
	struct probe_summary summary;
	json_t *object;

	probe_summarise(vmm->probe, &summary);
	object = json_pack(
	    "{s:o, s:o, s:o, s:o, s:o, s:b, s:s}", "sweeps", integer(summary.sweeps), "errors",
	    integer(summary.errors), "gap_ns", guest_report_percentiles(&summary.gap), "visits",
	    integer(summary.visits), "interrupts", integer(summary.interrupts), "filled",
	    (int)summary.filled, "load",
	    summary.load <= VMM_LOAD_HALF ? vmm_load_names()[summary.load] : "unknown");
	if (object && summary.errors)
		json_object_set_new(object, "first_error", json_string(summary.first_error));
	return object;
}

static void describe_residency(struct vmm *vmm, json_t *object)
{
	describe_state(vmm, object);
	json_object_set_new(object, "fake_nodes", integer(vmm->options.fake_nodes));
	json_object_set_new(object, "regions", regions(vmm));
	json_object_set_new(object, "cpus", report_cpus(vmm));
	if (vmm->options.disk_count)
		json_object_set_new(object, "disks", disks(vmm));
	if (vmm->options.balloon)
		json_object_set_new(object, "balloon", report_balloon(vmm, NULL));
	if (vmm->probe)
		json_object_set_new(object, "probe", probe_report(vmm));
}

void report_describe(const struct guest *guest, enum guest_view view, json_t *object)
{
	struct vmm *vmm = guest->opaque;

	switch (view) {
	case GUEST_STATUS:
		describe_status(vmm, object);
		break;
	case GUEST_NUMA:
		describe_numa(vmm, object);
		break;
	case GUEST_RESIDENCY:
		describe_residency(vmm, object);
	}
}

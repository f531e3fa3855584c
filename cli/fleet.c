/* Asking all guests, and looking at the host, for a plan. */
#include "fleet.h"
#include "daemon.h"

#include "../control/closed_nodes.h"
#include "../control/text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Of one vCPU, from the kernel. */
struct sample {
	bool seen;
	unsigned int cpu; /* where it ran last */
	uint64_t ticks;	  /* of CPU time */
};

struct vcpu {
	uint16_t number; /* the guest's own: after hot-unplug not its place in the list */
	int tid;	 /* 0: not known */
	struct gmig_node_set nodes;
	struct sample sample[2];
	bool hidden; /* its thread is there, and is not for our eyes */
};

struct fleet_guest {
	char *name, *target;
	pid_t pid;
	struct vcpu *vcpus;
	struct placement_ram *ram;
	uint16_t *vnode_of;
	struct placement_time *time;
};

/* ---- The host -------------------------------------------------------------------------------- */

static int look_at_host(struct fleet *fleet, const struct gmig_node_set *closing,
			struct gmig_error *err)
{
	struct gmig_node_set closed;
	int rc = gmig_topology_create(fleet->fake_nodes, &fleet->topology, err);

	if (!rc)
		rc = closed_nodes_read(&closed, err);
	if (rc)
		return rc;
	gmig_node_set_or(&closed, closing);
	rc = host_view_read(fleet->topology, "", &closed, &fleet->view, err);
	fleet->host = fleet->view.host;
	return rc;
}

/* Of nodes that pretend and share a CPU, all. */
static void add_node_of_cpu(const struct fleet *fleet, unsigned int cpu,
			    struct gmig_node_set *nodes)
{
	for (size_t i = 0; i < fleet->host.node_count; i++)
		if (cpu < PLACEMENT_MAX_CPUS &&
		    fleet->view.cpus[i].word[cpu / 64] >> (cpu % 64) & 1)
			gmig_node_set_add(nodes, fleet->host.nodes[i].id);
}

/* ---- A guest's memory ------------------------------------------------------------------------ */

static bool has_node(const struct fleet *fleet, unsigned long id)
{
	for (size_t i = 0; i < fleet->host.node_count; i++)
		if (fleet->host.nodes[i].id == id)
			return true;
	return false;
}

/* Of which pool its memory is; QEMU takes all of it from one. */
static enum placement_page page_of(const json_t *residency)
{
	json_t *sizes = json_object_get(residency, "page_bytes");

	if (cli_number(sizes, "hugetlb-1G"))
		return PLACEMENT_1G;
	return cli_number(sizes, "hugetlb-2M") ? PLACEMENT_2M : PLACEMENT_4K;
}

static int add_ram(const struct fleet *fleet, struct placement_guest *guest,
		   struct fleet_guest *inside, const json_t *vnode, enum placement_page page)
{
	json_t *resident = json_object_get(vnode, "resident"), *bytes;
	const char *key;

	json_object_foreach (resident, key, bytes) {
		unsigned long node = strtoul(key, NULL, 10);
		struct placement_ram *more;

		if (json_integer_value(bytes) <= 0 || !has_node(fleet, node))
			continue;
		more = reallocarray(inside->ram, guest->ram_count + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		inside->ram = more;
		more[guest->ram_count++] = (struct placement_ram){
		    .node = (uint16_t)node,
		    .vnode =
			guest->vnode_of ? (uint16_t)cli_number(vnode, "id") : PLACEMENT_NO_VNODE,
		    .page = page,
		    .bytes =
			(uint64_t)json_integer_value(bytes) & ~(placement_page_bytes(page) - 1)};
	}
	guest->ram = inside->ram;
	return 0;
}

/* ---- A guest's vCPUs ------------------------------------------------------------------------- */

/* A /proc with hidepid= shows other users' processes to root alone: one that is there cannot be found in it. */
static bool is_hidden(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return pid > 0 && access(path, F_OK) && (!kill(pid, 0) || errno == EPERM);
}

/*
 * utime, stime and processor of stat, proc(5): fields 14, 15 and 39, counted behind the name, which may have anything in it. A thread that is not there
 * has not been seen; -errno: it could not be looked at; -EACCES, -EPERM: nor will it be.
 */
static int look_at_thread(pid_t pid, int tid, struct sample *sample)
{
	char path[64], text[1024], *end;
	unsigned long user, system;
	unsigned int cpu;
	FILE *file;
	int failed;

	*sample = (struct sample){.seen = false};
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, tid);
	if (!tid)
		return 0;
	file = fopen(path, "re");
	if (!file && (errno == ENOENT || errno == ESRCH))
		return is_hidden(pid) ? -EACCES : 0;
	if (!file)
		return -errno;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	failed = ferror(file) && errno != ESRCH ? -errno : 0;
	fclose(file);
	if (failed)
		return failed;
	end = strrchr(text, ')');
	if (end && sscanf(end,
			  ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu %*s %*s %*s %*s "
			  "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			  "%*s %*s %u",
			  &user, &system, &cpu) == 3)
		*sample = (struct sample){true, cpu, user + system};
	return 0;
}

static int look_at_all(struct fleet *fleet, bool after, struct gmig_error *err)
{
	for (size_t g = 0; g < fleet->count; g++)
		for (unsigned int i = 0; i < fleet->guests[g].vcpus; i++) {
			struct vcpu *vcpu = &fleet->inside[g].vcpus[i];
			int ret =
			    look_at_thread(fleet->inside[g].pid, vcpu->tid, &vcpu->sample[after]);

			vcpu->hidden |= ret == -EACCES || ret == -EPERM;
			if (ret && ret != -EACCES && ret != -EPERM)
				return gmig_fail(
				    err, ret,
				    "vCPU %u of guest %.60s: its thread cannot be looked at: %s",
				    vcpu->number, fleet->guests[g].name, strerror(-ret));
		}
	return 0;
}

/* In thousandths of a CPU. */
static uint32_t share_of(const struct vcpu *vcpu, double seconds)
{
	const struct sample *before = &vcpu->sample[0], *after = &vcpu->sample[1];
	long hz = sysconf(_SC_CLK_TCK);

	if (!before->seen || !after->seen || after->ticks <= before->ticks || seconds <= 0 ||
	    hz <= 0)
		return 0;
	return (uint32_t)((double)(after->ticks - before->ticks) * 1000 / (double)hz / seconds);
}

/* One that may run elsewhere, too, is not bound to a node that is to be left. */
static void leave_closed(const struct fleet *fleet, struct gmig_node_set *nodes)
{
	struct gmig_node_set open = *nodes;

	for (size_t i = 0; i < fleet->host.node_count; i++)
		if (fleet->host.nodes[i].closed)
			gmig_node_set_remove(&open, fleet->host.nodes[i].id);
	if (!gmig_node_set_empty(&open))
		*nodes = open;
}

/*
 * A vCPU that may run on several nodes counts evenly on all of them: where the scheduler had it in this half second says nothing
 * about the next one, and memory that followed it would come too late. One that cannot be seen has run nowhere.
 */
static void sum_up(const struct fleet *fleet, size_t g, double seconds)
{
	struct placement_guest *guest = &fleet->guests[g];

	for (unsigned int i = 0; i < guest->vcpus; i++) {
		struct vcpu *vcpu = &fleet->inside[g].vcpus[i];
		unsigned int count;

		if (gmig_node_set_empty(&vcpu->nodes) && vcpu->sample[1].seen)
			add_node_of_cpu(fleet, vcpu->sample[1].cpu, &vcpu->nodes);
		leave_closed(fleet, &vcpu->nodes);
		count = gmig_node_set_count(&vcpu->nodes);
		gmig_node_set_each (node, &vcpu->nodes)
			fleet->inside[g].time[guest->time_count++] =
			    (struct placement_time){.vcpu = (uint16_t)i,
						    .node = (uint16_t)node,
						    .milli = share_of(vcpu, seconds) / count};
	}
	guest->time = fleet->inside[g].time;
}

/* "0-3,8", as the kernel has it: their nodes, or none where it is no such list. */
static void add_nodes_of_cpus(const struct fleet *fleet, const char *text,
			      struct gmig_node_set *nodes)
{
	struct gmig_node_set found = {{0}};
	char *end;

	for (;; text = end + 1) {
		unsigned long first, last;

		if (*text < '0' || *text > '9')
			return;
		first = last = strtoul(text, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && first < PLACEMENT_MAX_CPUS; first++)
			add_node_of_cpu(fleet, (unsigned int)first, &found);
		if (*end != ',')
			break;
	}
	if (!*end)
		gmig_node_set_or(nodes, &found);
}

/*
 * Nodes where it may run, of those that there are; none, if the answer does not say: then it counts where it ran last. A server that
 * places no threads tells CPUs alone.
 */
static void read_nodes(const struct fleet *fleet, const json_t *answer, struct gmig_node_set *nodes)
{
	uint16_t list[GMIG_MAX_NODES];
	struct gmig_error err;
	int count;

	if (!json_object_get(answer, "nodes")) {
		add_nodes_of_cpus(fleet, cli_text(answer, "cpus"), nodes);
		return;
	}
	count = gmig_node_list_parse(cli_text(answer, "nodes"), list, GMIG_MAX_NODES, &err);
	for (int i = 0; i < count; i++)
		if (has_node(fleet, list[i]))
			gmig_node_set_add(nodes, list[i]);
}

static int add_vcpus(const struct fleet *fleet, struct placement_guest *guest,
		     struct fleet_guest *inside, const json_t *vcpus)
{
	size_t count = json_array_size(vcpus), i;
	json_t *answer;

	if (count > UINT16_MAX)
		return -E2BIG;
	inside->vcpus = calloc(count + 1, sizeof(*inside->vcpus));
	inside->time = calloc((count + 1) * fleet->host.node_count, sizeof(*inside->time));
	inside->vnode_of = calloc(count + 1, sizeof(*inside->vnode_of));
	if (!inside->vcpus || !inside->time || !inside->vnode_of)
		return -ENOMEM;
	guest->vcpus = (unsigned int)count;
	guest->vnode_of = count ? inside->vnode_of : NULL;
	json_array_foreach (vcpus, i, answer) {
		if (!json_object_get(answer, "vnode"))
			guest->vnode_of = NULL;
		inside->vcpus[i].number = (uint16_t)cli_number(answer, "vcpu");
		inside->vcpus[i].tid = (int)cli_number(answer, "tid");
		inside->vnode_of[i] = (uint16_t)cli_number(answer, "vnode");
		read_nodes(fleet, answer, &inside->vcpus[i].nodes);
	}
	return 0;
}

/* ---- All guests ------------------------------------------------------------------------------ */

static void free_guest(struct fleet_guest *inside)
{
	free(inside->name);
	free(inside->target);
	free(inside->vcpus);
	free(inside->ram);
	free(inside->vnode_of);
	free(inside->time);
}

/* A domain is asked for by its URI: a guest of gmig-vmm may have the same name. */
static const char *target_of(const json_t *entry)
{
	return json_object_get(entry, "uri") ? cli_text(entry, "uri") : cli_text(entry, "name");
}

static int add_guest(struct fleet *fleet, const json_t *entry, const json_t *residency)
{
	struct placement_guest *guest = &fleet->guests[fleet->count];
	struct fleet_guest *inside = &fleet->inside[fleet->count];
	const json_t *vnodes = json_object_get(residency, "vnodes");
	size_t i;
	json_t *vnode;
	int rc;

	/* A domain's are pinned through libvirt, by a gmigd that can. */
	*guest =
	    (struct placement_guest){.managed = true,
				     .keep_vcpus = json_object_get(entry, "uri") &&
						   !json_is_true(json_object_get(entry, "pins")),
				     .goal = PLACEMENT_FOLLOW};
	inside->name = strdup(cli_text(entry, "name"));
	inside->target = strdup(target_of(entry));
	guest->name = inside->name;
	inside->pid = (pid_t)cli_number(residency, "pid");
	/* Counted at once, so that what it has is freed. */
	fleet->count++;
	rc = inside->name && inside->target
		 ? add_vcpus(fleet, guest, inside,
			     json_object_get(json_object_get(residency, "cpus"), "vcpus"))
		 : -ENOMEM;
	json_array_foreach (vnodes, i, vnode)
		if (!rc)
			rc = add_ram(fleet, guest, inside, vnode, page_of(residency));
	return rc;
}

static void add_silent(struct fleet *fleet, const char *name, const char *why)
{
	json_array_append_new(fleet->silent,
			      json_pack("{s:o, s:o}", "name", control_text_json(name), "why",
					control_text_json(why)));
}

#define HIDDEN                                                                                     \
	"the threads of its vCPUs are hidden from this user (/proc has hidepid=): run gmig as "    \
	"root, or as a member of the group that hidepid's gid= names"

/* Whose vCPUs do what, we may not know. What empties nodes need not: there it is enough where they may run. */
static bool is_left_out(const struct fleet *fleet, size_t g)
{
	for (unsigned int i = 0; i < fleet->guests[g].vcpus; i++) {
		const struct vcpu *vcpu = &fleet->inside[g].vcpus[i];

		if (vcpu->hidden && (!fleet->drain_only || gmig_node_set_empty(&vcpu->nodes)))
			return true;
	}
	return false;
}

/* Those alone, and not all guests: that lasts, and is so of some users' guests only. */
static int leave_out_hidden(struct fleet *fleet, struct gmig_error *err)
{
	size_t kept = 0, all = fleet->count;

	for (size_t g = 0; g < all; g++) {
		if (is_left_out(fleet, g)) {
			add_silent(fleet, fleet->guests[g].name, HIDDEN);
			free_guest(&fleet->inside[g]);
			continue;
		}
		fleet->guests[kept] = fleet->guests[g];
		fleet->inside[kept++] = fleet->inside[g];
	}
	fleet->count = kept;
	fleet->hidden += all - kept;
	return all && !kept ? gmig_fail(err, -ENOENT,
					"there is no guest of which a plan can be made: " HIDDEN)
			    : 0;
}

#define LOOK_TRIES    10	/* gmigd waits for a second each time, and looks on behind that */
#define LOOK_PAUSE_NS 100000000 /* where it cannot look, it says so at once */

/* Where its memory lies takes gmigd a while to find out. A guest of which that is not known has no place in a plan: not no memory. */
static int ask_residency(const json_t *entry, bool fresh, json_t **residency,
			 struct gmig_error *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};
	int rc = 0;

	for (int i = 0; i < LOOK_TRIES && !rc; i++) {
		if (i)
			nanosleep(&pause, NULL);
		json_decref(*residency);
		*residency = NULL;
		rc = cli_ask(target_of(entry), "query-residency",
			     fresh ? json_pack("{s:b}", "fresh", true) : NULL, residency, err);
		if (!rc && !json_object_get(*residency, "unknown"))
			return 0;
	}
	if (!rc)
		rc = gmig_fail(err, -EAGAIN, "%s", cli_text(*residency, "unknown"));
	json_decref(*residency);
	*residency = NULL;
	return rc;
}

/* What a guest says, or NULL and a word in `silent`. */
static json_t *ask_guest(struct fleet *fleet, const json_t *entry, bool fresh)
{
	const char *name = cli_text(entry, "name");
	struct gmig_error err = {0};
	json_t *residency = NULL;

	if (!json_object_get(entry, "pid"))
		add_silent(fleet, name, cli_text(entry, "state"));
	else if (ask_residency(entry, fresh, &residency, &err))
		add_silent(fleet, name, err.text);
	return residency;
}

/* Guests with fake nodes and guests with real ones have no host in common. */
static int check_fake(struct fleet *fleet, const json_t *answers, struct gmig_error *err)
{
	uint64_t fake = cli_number(json_array_get(answers, 0), "fake_nodes");
	size_t i;
	json_t *residency;

	json_array_foreach (answers, i, residency)
		if (cli_number(residency, "fake_nodes") != fake)
			return gmig_fail(
			    err, -EINVAL,
			    "guests pretend to have different nodes: no plan fits them all");
	fleet->fake_nodes = (unsigned int)fake;
	return 0;
}

static int fail_without_guests(const struct fleet *fleet, struct gmig_error *err)
{
	const json_t *first = json_array_get(fleet->silent, 0);
	size_t more = json_array_size(fleet->silent);

	if (!more--)
		return gmig_fail(err, -ENOENT, "no guests run here");
	if (!more)
		return gmig_fail(err, -ENOENT, "no guest here answers: %.64s: %.200s",
				 cli_text(first, "name"), cli_text(first, "why"));
	return gmig_fail(err, -ENOENT,
			 "no guest here answers: %.64s: %.160s; %zu more do not, either",
			 cli_text(first, "name"), cli_text(first, "why"), more);
}

static int ask_all(struct fleet *fleet, bool fresh, json_t *entries, json_t *answers,
		   struct gmig_error *err)
{
	CLI_JSON list = json_array();
	size_t i;
	json_t *entry;
	int rc = cli_list_guests(list, err);

	if (rc && rc != -ENOENT)
		return rc;
	/* Without a directory of sockets there may be domains of libvirt's. Nobody to ask is not the same as no guests: drain tells them apart. */
	if (!cli_daemon_list(list, cli_limits.list_ms) && rc)
		return gmig_fail(err, -ENXIO,
				 "no guest can be asked: XDG_RUNTIME_DIR is not set, and no gmigd "
				 "runs; export XDG_RUNTIME_DIR=/run/user/$(id -u), or systemctl "
				 "status gmigd");
	json_array_foreach (list, i, entry) {
		json_t *residency = ask_guest(fleet, entry, fresh);

		if (!residency)
			continue;
		json_array_append_new(answers, residency);
		json_array_append(entries, entry);
	}
	return json_array_size(answers) ? 0 : fail_without_guests(fleet, err);
}

static bool is_in(const char *const *names, const char *name)
{
	for (size_t i = 0; names && names[i]; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static bool is_named(const struct placement_guest *guest, const char *name)
{
	return guest->name && !strcmp(guest->name, name);
}

static int check_names(const struct fleet *fleet, const char *const *names, struct gmig_error *err)
{
	for (size_t i = 0; names && names[i]; i++) {
		size_t g = 0;

		while (g < fleet->count && !is_named(&fleet->guests[g], names[i]))
			g++;
		if (g == fleet->count)
			return gmig_fail(
			    err, -ESRCH,
			    "there is no guest '%.64s' that answers; gmig list tells why",
			    names[i]);
	}
	return 0;
}

/* One that says what cannot be is left out, and takes no plan from the others. */
static bool is_sane(struct fleet *fleet, const json_t *entry, const json_t *residency)
{
	size_t i;
	json_t *vnode, *bytes;
	const char *key;

	json_array_foreach (json_object_get(residency, "vnodes"), i, vnode)
		json_object_foreach (json_object_get(vnode, "resident"), key, bytes) {
			unsigned int node = (unsigned int)strtoul(key, NULL, 10);
			json_int_t total =
			    (json_int_t)gmig_topology_total_bytes(fleet->topology, node);

			if (!has_node(fleet, node) || json_integer_value(bytes) <= total)
				continue;
			add_silent(fleet, cli_text(entry, "name"),
				   "it says that it has more memory on a node than there is");
			return false;
		}
	return true;
}

static int take_answers(struct fleet *fleet, const json_t *entries, const json_t *answers,
			struct gmig_error *err)
{
	size_t count = json_array_size(answers);

	fleet->guests = calloc(count, sizeof(*fleet->guests));
	fleet->inside = calloc(count, sizeof(*fleet->inside));
	if (!fleet->guests || !fleet->inside)
		return gmig_fail(err, -ENOMEM, "no memory for %zu guests", count);
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(entries, i);
		const json_t *residency = json_array_get(answers, i);
		int rc = is_sane(fleet, entry, residency) ? add_guest(fleet, entry, residency) : 0;

		if (rc)
			return gmig_fail(err, rc, "cannot note what a guest says: %s",
					 gmig_errno_name(rc));
	}
	return 0;
}

/* Of guests that have been asked; then the first look at their vCPUs. */
static int begin(const struct fleet_request *request, const json_t *entries, const json_t *answers,
		 struct fleet *fleet, struct gmig_error *err)
{
	int rc = check_fake(fleet, answers, err);

	if (!rc)
		rc = look_at_host(fleet, &request->closing, err);
	if (!rc)
		rc = take_answers(fleet, entries, answers, err);
	if (!rc)
		rc = check_names(fleet, request->protect, err);
	if (!rc)
		rc = check_names(fleet, request->only, err);
	if (rc)
		return rc;
	for (size_t g = 0; g < fleet->count; g++) {
		fleet->guests[g].protect = is_in(request->protect, fleet->guests[g].name);
		fleet->guests[g].managed =
		    !request->only || is_in(request->only, fleet->guests[g].name);
	}
	fleet->drain_only = request->drain_only;
	fleet->looked_ms = cli_now_ms();
	rc = look_at_all(fleet, false, err);
	return rc ? rc : leave_out_hidden(fleet, err);
}

int fleet_begin(const struct fleet_request *request, const json_t *entries, const json_t *answers,
		struct fleet *fleet, struct gmig_error *err)
{
	*fleet = (struct fleet){.silent = json_array()};
	return begin(request, entries, answers, fleet, err);
}

int fleet_end(struct fleet *fleet, struct gmig_error *err)
{
	double seconds;
	int ret = look_at_all(fleet, true, err);

	if (!ret)
		ret = leave_out_hidden(fleet, err);
	if (ret)
		return ret;
	seconds = (double)(cli_now_ms() - fleet->looked_ms) / 1000;
	for (size_t g = 0; g < fleet->count; g++)
		sum_up(fleet, g, seconds);
	return 0;
}

int fleet_gather(const struct fleet_request *request, struct fleet *fleet, struct gmig_error *err)
{
	const struct timespec pause = {.tv_sec = request->sample_ms / 1000,
				       .tv_nsec = request->sample_ms % 1000 * 1000000L};
	CLI_JSON answers = json_array();
	CLI_JSON entries = json_array();
	int rc;

	*fleet = (struct fleet){.silent = json_array()};
	rc = ask_all(fleet, request->fresh, entries, answers, err);
	if (!rc)
		rc = begin(request, entries, answers, fleet, err);
	if (rc)
		return rc;
	nanosleep(&pause, NULL);
	return fleet_end(fleet, err);
}

const char *fleet_target(const struct fleet *fleet, size_t guest)
{
	return fleet->inside[guest].target;
}

unsigned int fleet_vcpu(const struct fleet *fleet, size_t guest, unsigned int index)
{
	return fleet->inside[guest].vcpus[index].number;
}

size_t fleet_silent(const struct fleet *fleet)
{
	size_t count = 0, i;
	json_t *entry;

	json_array_foreach (fleet->silent, i, entry)
		count += strcmp(cli_text(entry, "why"), "stale") != 0;
	return count;
}

pid_t fleet_pid(const struct fleet *fleet, size_t guest)
{
	return fleet->inside[guest].pid;
}

void fleet_free(struct fleet *fleet)
{
	for (size_t g = 0; fleet->inside && g < fleet->count; g++)
		free_guest(&fleet->inside[g]);
	free(fleet->inside);
	free(fleet->guests);
	host_view_free(&fleet->view);
	gmig_topology_put(fleet->topology);
	json_decref(fleet->silent);
	*fleet = (struct fleet){.silent = NULL};
}

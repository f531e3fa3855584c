/* What the answers of one guest mean for its row. */
#include "cli.h"
#include "top_model.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- vCPUs ----------------------------------------------------------------------------------- */

/* A vCPU: whose memory it uses, and where it is. */
struct place {
	uint64_t vnode;
	unsigned int node;
};

struct places {
	size_t count;
	struct place *list;
};

static unsigned int home_of_vnode(const json_t *cpus, uint64_t vnode)
{
	const json_t *home = json_array_get(json_object_get(cpus, "homes"), (size_t)vnode);

	return json_is_integer(home) ? (unsigned int)json_integer_value(home) : GMIG_NO_NODE;
}

/* Read the threads of the vCPUs: their time, and where they are. Fake nodes have no CPUs: there the VMM's word counts. */
static uint64_t read_vcpus(const struct top_model *model, const struct top_guest *guest,
			   struct places *places, uint64_t *threads)
{
	const json_t *cpus = json_object_get(guest->residency, "cpus");
	const json_t *vcpus = json_object_get(cpus, "vcpus");
	bool told = cli_number(guest->residency, "fake_nodes") > 0;
	uint64_t ticks = 0;
	json_t *vcpu;
	size_t i;

	places->list = calloc(json_array_size(vcpus) + 1, sizeof(*places->list));
	*threads = 0;
	json_array_foreach (vcpus, i, vcpu) {
		struct place place = {cli_number(vcpu, "vnode"), GMIG_NO_NODE};
		pid_t tid = (pid_t)cli_number(vcpu, "tid");
		unsigned int cpu;
		uint64_t its;

		if (told)
			place.node = home_of_vnode(cpus, place.vnode);
		if (!top_thread_read(model->root, guest->pid, tid, &its, &cpu))
			continue;
		ticks += its;
		*threads = *threads * 31 + (uint64_t)tid;
		if (!told && cpu < TOP_MAX_CPUS)
			place.node = model->host.node_of_cpu[cpu];
		if (places->list && place.node != GMIG_NO_NODE)
			places->list[places->count++] = place;
	}
	return ticks;
}

static void take_vcpu_time(struct top_guest *guest, uint64_t ticks, uint64_t threads,
			   int64_t now_ns)
{
	double seconds = (double)(now_ns - guest->past_ns) / 1e9;
	long hz = sysconf(_SC_CLK_TCK);

	guest->vcpu_percent = TOP_UNKNOWN;
	if (threads && guest->past_ns && threads == guest->past_threads && seconds > 0 && hz > 0 &&
	    ticks >= guest->past_ticks)
		guest->vcpu_percent =
		    (double)(ticks - guest->past_ticks) * 100 / (double)hz / seconds;
	guest->past_ticks = ticks;
	guest->past_threads = threads;
	guest->past_ns = now_ns;
}

/* The share of the vCPUs that serve the vnode which are at the node: its own, or all where it has none. */
static double share_at(const struct places *places, uint64_t vnode, unsigned int node)
{
	size_t own = 0, own_there = 0, there = 0;

	for (size_t i = 0; i < places->count; i++) {
		bool is_there = places->list[i].node == node;

		there += is_there;
		if (places->list[i].vnode == vnode) {
			own++;
			own_there += is_there;
		}
	}
	if (own)
		return (double)own_there / (double)own;
	return places->count ? (double)there / (double)places->count : 0;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void add_on(const struct top_model *model, struct top_guest *guest, unsigned int node,
		   uint64_t bytes)
{
	for (size_t i = 0; i < guest->on_count; i++)
		if (model->nodes[i] == node)
			guest->on[i] += bytes;
}

static void take_vnode(const struct top_model *model, struct top_guest *guest, const json_t *vnode,
		       const struct places *places, double *local)
{
	uint64_t bytes = cli_number(vnode, "bytes"), swapped = cli_number(vnode, "swapped_bytes");
	uint64_t known = swapped;
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(vnode, "resident"), key, value) {
		unsigned int node = (unsigned int)strtoul(key, NULL, 10);
		uint64_t here =
		    json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;

		add_on(model, guest, node, here);
		guest->resident_bytes += here;
		known += here;
		*local += (double)here * share_at(places, cli_number(vnode, "id"), node);
	}
	guest->bytes += bytes;
	guest->swapped_bytes += swapped;
	guest->untouched_bytes += bytes > known ? bytes - known : 0;
}

static void take_pages(struct top_guest *guest)
{
	const json_t *pages = json_object_get(guest->residency, "page_bytes");
	const char *key;
	json_t *value;

	guest->huge_bytes = cli_number(pages, "2M");
	guest->small_bytes = cli_number(pages, "4K");
	guest->pool_page_bytes = 0;
	json_object_foreach ((json_t *)pages, key, value)
		if (!strncmp(key, "hugetlb-", 8))
			guest->pool_page_bytes += cli_number(pages, key);
	guest->locked_bytes = cli_number(guest->residency, "locked_bytes");
}

static void take_memory(const struct top_model *model, struct top_guest *guest,
			const struct places *places)
{
	const json_t *vnodes = json_object_get(guest->residency, "vnodes");
	uint64_t *on = reallocarray(guest->on, model->node_count + 1, sizeof(*on));
	double local = 0;
	json_t *vnode;
	size_t i;

	guest->bytes = guest->resident_bytes = guest->untouched_bytes = guest->swapped_bytes = 0;
	guest->on_count = on ? model->node_count : 0;
	if (on) {
		memset(on, 0, (model->node_count + 1) * sizeof(*on));
		guest->on = on;
	}
	json_array_foreach (vnodes, i, vnode)
		take_vnode(model, guest, vnode, places, &local);
	guest->local_percent = places->count && guest->resident_bytes
				   ? local * 100 / (double)guest->resident_bytes
				   : TOP_UNKNOWN;
	take_pages(guest);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

/* The first one that has not ended. */
static const json_t *running_job(const json_t *jobs)
{
	json_t *job;
	size_t i;

	json_array_foreach (jobs, i, job)
		if (json_object_get(job, "id") && !cli_job_ended(job))
			return job;
	return NULL;
}

static void take_rate(struct top_guest *guest, const json_t *job, int64_t now_ns)
{
	uint64_t moved = cli_number(job, "moved_bytes");
	double seconds = (double)(now_ns - guest->past_moved_ns) / 1e9;

	if (guest->past_moved_ns && seconds > 0 && !strcmp(guest->past_job, guest->job.id) &&
	    moved >= guest->past_moved)
		guest->job.bytes_per_second = (double)(moved - guest->past_moved) / seconds;
	snprintf(guest->past_job, sizeof(guest->past_job), "%s", guest->job.id);
	guest->past_moved = moved;
	guest->past_moved_ns = now_ns;
}

static void take_job(struct top_guest *guest, int64_t now_ns)
{
	const json_t *job = running_job(json_object_get(guest->residency, "jobs"));
	const json_t *stall = json_object_get(job, "stall_ns");
	uint64_t total = cli_number(job, "total_bytes");
	uint64_t done = cli_number(job, "moved_bytes") + cli_number(job, "gone_bytes") +
			cli_number(job, "moved_by_others_bytes");

	guest->job = (struct top_job){.percent = TOP_UNKNOWN, .bytes_per_second = TOP_UNKNOWN};
	if (job) {
		snprintf(guest->job.id, sizeof(guest->job.id), "%s", cli_text(job, "id"));
		snprintf(guest->job.state, sizeof(guest->job.state), "%s", cli_text(job, "state"));
		if (total)
			guest->job.percent =
			    done < total ? (double)done * 100 / (double)total : 100;
		take_rate(guest, job, now_ns);
	} else {
		guest->past_job[0] = '\0';
		guest->past_moved_ns = 0;
	}
	if (!json_object_get(stall, "p99"))
		stall = json_object_get(guest->residency, "stall_ns");
	guest->stall_p99_ns =
	    json_object_get(stall, "p99") ? (int64_t)cli_number(stall, "p99") : TOP_UNKNOWN;
}

/* ---- Why ------------------------------------------------------------------------------------- */

/* The most frequent reason of a job's pages that stay, or NULL. */
static const char *most_frequent(const json_t *remaining)
{
	const char *most = NULL, *key;
	uint64_t count = 0;
	json_t *value;

	json_object_foreach ((json_t *)remaining, key, value)
		if (cli_number(remaining, key) > count) {
			count = cli_number(remaining, key);
			most = key;
		}
	return most;
}

/* Something is wrong with the guest itself: this comes before its jobs. */
static bool say_trouble(struct top_guest *guest)
{
	const json_t *all = guest->residency;
	const char *migration = cli_text(all, "migration");

	if (json_object_get(all, "unknown"))
		snprintf(guest->why, sizeof(guest->why), "%s", cli_text(all, "unknown"));
	else if (json_object_get(all, "stop_reason"))
		snprintf(guest->why, sizeof(guest->why), "%s", cli_text(all, "stop_reason"));
	else if (cli_number(all, "broken_bytes"))
		snprintf(guest->why, sizeof(guest->why), "memory is broken");
	else if (cli_number(all, "starved_pages"))
		snprintf(guest->why, sizeof(guest->why), "waits for memory");
	else if (strcmp(guest->state, "running") != 0)
		snprintf(guest->why, sizeof(guest->why), "%s", guest->state);
	else if (!guest->job.id[0] && json_object_get(all, "migration") &&
		 strcmp(migration, "on") != 0)
		snprintf(guest->why, sizeof(guest->why), "%s", migration);
	else
		return false;
	return true;
}

/* Why it moves, or why pages stay where they are. */
static void say_why(struct top_guest *guest)
{
	const json_t *jobs = json_object_get(guest->residency, "jobs");
	const json_t *job = running_job(jobs);
	const json_t *last = job ? job : json_array_get(jobs, json_array_size(jobs) - 1);
	const json_t *placement = json_object_get(guest->residency, "placement");
	const char *reason = most_frequent(json_object_get(last, "remaining"));

	guest->why[0] = '\0';
	if (say_trouble(guest))
		return;
	if (job && strcmp(guest->job.state, "running") != 0)
		snprintf(guest->why, sizeof(guest->why), "job %s %s", guest->job.id,
			 guest->job.state);
	else if (job && json_object_get(job, "reason"))
		snprintf(guest->why, sizeof(guest->why), "%s", cli_text(job, "reason"));
	else if (job)
		snprintf(guest->why, sizeof(guest->why), "job %s", guest->job.id);
	else if (json_object_get(last, "error"))
		snprintf(guest->why, sizeof(guest->why), "%s", cli_text(last, "error"));
	else if (reason)
		snprintf(guest->why, sizeof(guest->why), "stay: %s", cli_reason(reason));
	else if (json_object_get(placement, "wrong"))
		snprintf(guest->why, sizeof(guest->why), "its placement policy is wrong");
	/* That of a domain without a policy is no news. */
	else if (json_object_get(placement, "reason") &&
		 strcmp(cli_text(placement, "policy"), "none") != 0)
		snprintf(guest->why, sizeof(guest->why), "%s", cli_text(placement, "reason"));
}

/* ---- Answers --------------------------------------------------------------------------------- */

void top_guest_take(const struct top_model *model, struct top_guest *guest, json_t *residency,
		    int64_t now_ns)
{
	struct places places = {0};
	uint64_t ticks, threads;

	json_incref(residency);
	json_decref(guest->residency);
	guest->residency = residency;
	guest->answered = !json_object_get(residency, "unknown");
	snprintf(guest->state, sizeof(guest->state), "%s", cli_text(residency, "state"));
	ticks = read_vcpus(model, guest, &places, &threads);
	take_vcpu_time(guest, ticks, threads, now_ns);
	guest->home = (struct gmig_node_set){{0}};
	for (size_t i = 0; i < places.count; i++)
		gmig_node_set_add(&guest->home, places.list[i].node);
	take_memory(model, guest, &places);
	free(places.list);
	take_job(guest, now_ns);
	say_why(guest);
}

/* Bytes of each kind in one of the TOP_HEAT equal pieces of the guest's memory. */
struct piece {
	double hot, warm, cold;
};

/* A part lies in one piece or in several: its bytes are spread evenly. */
static void spread(const json_t *part, double from, double piece_bytes, struct piece *pieces)
{
	double bytes = (double)cli_number(part, "bytes"), to = from + bytes;

	for (int i = 0; i < TOP_HEAT && bytes > 0; i++) {
		double first = i * piece_bytes, last = (i + 1) * piece_bytes;
		double begin = from > first ? from : first, end = to < last ? to : last;
		double share = end > begin ? (end - begin) / bytes : 0;

		pieces[i].hot += share * (double)cli_number(part, "hot");
		pieces[i].warm += share * (double)cli_number(part, "warm");
		pieces[i].cold += share * (double)cli_number(part, "cold");
	}
}

uint64_t top_guest_heat_step(const struct top_guest *guest)
{
	const uint64_t block = 2u << 20, gib = 1u << 30;
	uint64_t step = (guest->bytes / TOP_HEAT + block - 1) / block * block;

	return !step || step > gib ? gib : step;
}

void top_guest_take_heat(struct top_guest *guest, json_t *parts, json_t *sampling)
{
	struct piece pieces[TOP_HEAT] = {{0}};
	double all = 0, from = 0;
	json_t *part;
	size_t i;

	json_incref(parts);
	json_incref(sampling);
	json_decref(guest->heat_parts);
	json_decref(guest->sampling);
	guest->heat_parts = parts;
	guest->sampling = sampling;
	json_array_foreach (parts, i, part)
		all += (double)cli_number(part, "bytes");
	json_array_foreach (parts, i, part) {
		spread(part, from, all / TOP_HEAT, pieces);
		from += (double)cli_number(part, "bytes");
	}
	for (i = 0; i < TOP_HEAT; i++) {
		double known = pieces[i].hot + pieces[i].warm + pieces[i].cold;
		double heat = pieces[i].hot + pieces[i].warm / 2;

		guest->heat[i] = known > 0 ? (char)('0' + (int)(heat / known * 9 + 0.5)) : '.';
	}
}

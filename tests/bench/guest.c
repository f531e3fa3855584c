#include "guest.h"
#include "../../control/control.h"
#include "cell.h"
#include "clocks.h"
#include "counters.h"
#include "host.h"
#include "instructions.h"
#include "kernel_mover.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS  600000
#define START_TIMEOUT_MS   20000
#define GIB_TIMEOUT_MS	   15000
#define QUIT_TIMEOUT_MS	   3000
#define MIGRATE_TIMEOUT_MS 60000
#define VCPU_THREAD_NAME   "vcpu"

struct guest {
	struct guest_config config;
	char name[64], log_path[256];
	pid_t pid;
	struct control_client *client;
	unsigned int node;
	bool running;
	char load[16];
	/* the migration under way */
	uint64_t begin_ns, begin_cpu_ns, begin_vcpu_ns, begin_visits, begin_visits_ns;
	struct process_split begin_split;
	struct counters *syscalls;	   /* NULL: not counted */
	struct instructions *instructions; /* the same */
	uint64_t base_bytes;		   /* resident before the first migration */
};

/* ---- Start and end ------------------------------------------------------------------------------------------- */

/* The child's part of fork: output to the log, dies with the parent, becomes gmig-vmm. Never returns. */
__attribute__((noreturn)) static void become_vmm(const struct guest *guest, const char *vmm_path,
						 pid_t parent)
{
	const struct guest_config *config = &guest->config;
	int log = open(guest->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char mem[32], cpus[16], fake[16];
	const char *argv[20] = {vmm_path, "--name", guest->name,  "--mem",  mem,    "--cpus",
				cpus,	  "--page", config->page, "--load", "write"};
	int argc = 11;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
	    dup2(log, 2) < 0)
		_exit(126);
	snprintf(mem, sizeof(mem), "%lluM", (unsigned long long)(config->mem_bytes >> 20));
	snprintf(cpus, sizeof(cpus), "%u", config->vcpus);
	snprintf(fake, sizeof(fake), "%u", config->fake_nodes);
	if (config->fake_nodes) {
		argv[argc++] = "--fake-nodes";
		argv[argc++] = fake;
	}
	if (config->plain) {
		argv[argc++] = "--memory";
		argv[argc++] = "plain";
	}
	execv(vmm_path, (char **)argv);
	dprintf(2, "%s: %s\n", vmm_path, strerror(errno));
	_exit(127);
}

/* The last line the child wrote, to say why it ended. */
static void last_log_line(const struct guest *guest, char *text, size_t bytes)
{
	FILE *file = fopen(guest->log_path, "re");
	char line[256];

	snprintf(text, bytes, "(it said nothing)");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			snprintf(text, bytes, "%.*s", (int)bytes - 1, line);
	}
	if (file)
		fclose(file);
}

static int child_ended(struct guest *guest, struct gmig_error *err)
{
	char text[200];
	int status;

	if (guest->pid <= 0 || waitpid(guest->pid, &status, WNOHANG) != guest->pid)
		return 0;
	guest->pid = -1;
	last_log_line(guest, text, sizeof(text));
	return gmig_fail(err, -ECHILD, "gmig-vmm ended %s %d: %s",
			 WIFSIGNALED(status) ? "by signal" : "with status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), text);
}

static int wait_connect(struct guest *guest, struct gmig_error *err)
{
	uint64_t give_up = now_ns() + START_TIMEOUT_MS * 1000000ull;
	char path[256];
	int rc = control_socket_path(guest->name, path, sizeof(path), err);

	if (rc)
		return rc;
	for (;;) {
		rc = control_connect(path, 2000, &guest->client, err);
		if (!rc) {
			/* A check looks at all of its memory, beside whatever else is measured. */
			control_client_set_limit(guest->client, ANSWER_TIMEOUT_MS);
			return 0;
		}
		rc = child_ended(guest, err);
		if (rc)
			return rc;
		if (now_ns() > give_up)
			return gmig_fail(err, -ETIMEDOUT, "gmig-vmm does not answer on %s", path);
		sleep_ns(5000000);
	}
}

/* Every page is there and was written at least once. A guest that goes on is waited for, however slow its host is. */
static int wait_populated(struct guest *guest, struct gmig_error *err)
{
	/* Memory that a host below has to find first was seen to take 2.5 s a GiB. */
	uint64_t limit_ms = START_TIMEOUT_MS + (guest->config.mem_bytes >> 30) * GIB_TIMEOUT_MS;
	uint64_t give_up = now_ns() + limit_ms * 1000000, most = 0;

	for (;;) {
		struct guest_state state;
		uint64_t resident = 0;
		int rc = guest_state(guest, &state, err);

		if (rc)
			return child_ended(guest, err) ? -ECHILD : rc;
		json_decref(state.gap_ns);
		for (unsigned int n = 0; n < 64; n++)
			resident += state.resident_bytes[n];
		if (state.sweeps >= 2 &&
		    (resident >= guest->config.mem_bytes || guest->config.plain))
			return 0;
		if (resident > most) {
			most = resident;
			give_up = now_ns() + limit_ms * 1000000;
		}
		if (now_ns() > give_up)
			return gmig_fail(
			    err, -ETIMEDOUT,
			    "the guest does not touch all of its memory: %llu of %llu MiB",
			    (unsigned long long)(resident >> 20),
			    (unsigned long long)(guest->config.mem_bytes >> 20));
		sleep_ns(20000000);
	}
}

/* Where the guest's memory, one region, lies in the child. */
static int find_region(struct guest *guest, struct kernel_range *range, struct gmig_error *err)
{
	json_t *result = NULL, *region;
	int rc = control_call(guest->client, "query-residency", NULL, &result, err);

	if (rc)
		return rc;
	region = json_array_get(json_object_get(result, "regions"), 0);
	range->start = (uint64_t)json_integer_value(json_object_get(region, "hva"));
	range->end = range->start + (uint64_t)json_integer_value(json_object_get(region, "bytes"));
	json_decref(result);
	if (range->end - range->start == guest->config.mem_bytes)
		return 0;
	return gmig_fail(err, -EPROTO, "gmig-vmm does not tell where the guest's memory lies");
}

/* What is to move in huge pages shall be some. */
static int make_huge(struct guest *guest, struct gmig_error *err)
{
	struct kernel_range range;
	int rc = guest_pause(guest, err);

	if (!rc)
		rc = find_region(guest, &range, err);
	if (rc)
		return rc;
	kernel_make_huge(guest->pid, &range);
	return guest_run(guest, guest->load, err);
}

static int read_memory(const struct guest *guest, struct process_memory *memory)
{
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/proc/%d/status", guest->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = process_memory_read(fd, memory);
	close(fd);
	return rc;
}

static int start_guest(struct guest *guest, const char *vmm_path, struct gmig_error *err)
{
	struct process_memory memory;
	pid_t parent = getpid();
	int rc;

	guest->pid = fork();
	if (guest->pid < 0)
		return gmig_fail(err, -errno, "fork: %s", strerror(errno));
	if (!guest->pid)
		become_vmm(guest, vmm_path, parent);
	rc = wait_connect(guest, err);
	if (!rc)
		rc = wait_populated(guest, err);
	if (!rc && guest->config.plain && !strcmp(guest->config.page, "2M"))
		rc = make_huge(guest, err);
	if (!rc && guest->config.pin) {
		rc = process_pin_threads(guest->pid, VCPU_THREAD_NAME, host_cpus());
		if (rc)
			gmig_fail(err, rc, "cannot pin the threads named %s* of gmig-vmm: %s",
				  VCPU_THREAD_NAME, strerror(-rc));
	}
	if (!rc && !read_memory(guest, &memory))
		guest->base_bytes = memory.rss_bytes;
	return rc;
}

int guest_create(const struct guest_config *config, const char *vmm_path, const char *directory,
		 struct guest **out, struct gmig_error *err)
{
	static unsigned int serial;
	struct guest *guest = calloc(1, sizeof(*guest));
	int rc;

	if (!guest)
		return gmig_fail(err, -ENOMEM, "no memory for a guest");
	guest->config = *config;
	guest->running = true;
	snprintf(guest->load, sizeof(guest->load), "write");
	snprintf(guest->name, sizeof(guest->name), "bench-%d-%u", getpid(), serial++);
	snprintf(guest->log_path, sizeof(guest->log_path), "%s/%s.log", directory, guest->name);
	rc = start_guest(guest, vmm_path, err);
	if (rc) {
		guest_destroy(guest);
		return rc;
	}
	*out = guest;
	return 0;
}

static bool reaped(struct guest *guest, unsigned int timeout_ms)
{
	uint64_t give_up = now_ns() + timeout_ms * 1000000ull;

	while (waitpid(guest->pid, NULL, WNOHANG) == 0) {
		if (now_ns() > give_up)
			return false;
		sleep_ns(5000000);
	}
	guest->pid = -1;
	return true;
}

void guest_destroy(struct guest *guest)
{
	char socket[256];

	if (!guest)
		return;
	if (guest->client && guest->pid > 0)
		control_call(guest->client, "quit", NULL, NULL, NULL);
	control_client_destroy(guest->client);
	counters_destroy(guest->syscalls);
	instructions_destroy(guest->instructions);
	if (guest->pid > 0 && !reaped(guest, guest->client ? QUIT_TIMEOUT_MS : 0)) {
		kill(guest->pid, SIGTERM);
		if (!reaped(guest, QUIT_TIMEOUT_MS)) {
			kill(guest->pid, SIGKILL);
			waitpid(guest->pid, NULL, 0);
		}
	}
	/* One that ended by force leaves its socket. */
	if (!control_socket_path(guest->name, socket, sizeof(socket), NULL))
		unlink(socket);
	unlink(guest->log_path);
	free(guest);
}

const struct guest_config *guest_config(const struct guest *guest)
{
	return &guest->config;
}

pid_t guest_pid(const struct guest *guest)
{
	return guest->pid;
}

unsigned int guest_node(const struct guest *guest)
{
	return guest->node;
}

/* ---- Run, stop, look ----------------------------------------------------------------------------------------- */

/* control_call without an answer that anybody wants. */
static int command(struct guest *guest, const char *name, json_t *arguments, struct gmig_error *err)
{
	json_t *result = NULL;
	int rc = control_call(guest->client, name, arguments, &result, err);

	json_decref(result);
	return rc;
}

int guest_run(struct guest *guest, const char *load, struct gmig_error *err)
{
	int rc = 0;

	if (strcmp(guest->load, load))
		rc = command(guest, "probe-set-load", json_pack("{s:s}", "load", load), err);
	if (rc)
		return rc;
	snprintf(guest->load, sizeof(guest->load), "%s", load);
	if (!guest->running)
		rc = command(guest, "cont", NULL, err);
	guest->running = guest->running || !rc;
	return rc;
}

int guest_pause(struct guest *guest, struct gmig_error *err)
{
	int rc = guest->running ? command(guest, "stop", NULL, err) : 0;

	if (!rc)
		guest->running = false;
	return rc;
}

int guest_sample(struct guest *guest, bool on, struct gmig_error *err)
{
	return command(guest, "sample-memory", json_pack("{s:b}", "on", (int)on), err);
}

int guest_reset_gaps(struct guest *guest, struct gmig_error *err)
{
	return command(guest, "probe-reset-gaps", NULL, err);
}

/* {"0": bytes, ..} added to per_node; returns the sum. */
static uint64_t add_node_bytes(const json_t *object, uint64_t *per_node)
{
	uint64_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		unsigned long node = strtoul(key, NULL, 10);

		if (node < 64 && per_node)
			per_node[node] += (uint64_t)json_integer_value(value);
		sum += (uint64_t)json_integer_value(value);
	}
	return sum;
}

int guest_state(struct guest *guest, struct guest_state *state, struct gmig_error *err)
{
	json_t *result = NULL, *probe, *vnode;
	size_t index;
	int rc;

	memset(state, 0, sizeof(*state));
	rc = control_call(guest->client, "query-residency", NULL, &result, err);
	if (rc)
		return rc;
	probe = json_object_get(result, "probe");
	state->visits = (uint64_t)json_integer_value(json_object_get(probe, "visits"));
	state->sweeps = (uint64_t)json_integer_value(json_object_get(probe, "sweeps"));
	state->errors = (uint64_t)json_integer_value(json_object_get(probe, "errors"));
	state->gap_ns = json_incref(json_object_get(probe, "gap_ns"));
	json_array_foreach (json_object_get(result, "vnodes"), index, vnode) {
		add_node_bytes(json_object_get(vnode, "resident"), state->resident_bytes);
	}
	state->pool_bytes = add_node_bytes(json_object_get(result, "pool"), NULL);
	json_decref(result);
	if (!probe)
		return gmig_fail(err, -EPROTO, "gmig-vmm tells nothing of a probe guest");
	return 0;
}

static int read_visits(struct guest *guest, uint64_t *visits, uint64_t *at_ns,
		       struct gmig_error *err)
{
	struct guest_state state;
	int rc = guest_state(guest, &state, err);

	*at_ns = now_ns();
	if (rc)
		return rc;
	json_decref(state.gap_ns);
	*visits = state.visits;
	return 0;
}

int guest_throughput(struct guest *guest, unsigned int ms, double *visits_per_second,
		     struct gmig_error *err)
{
	uint64_t from, to, from_ns, to_ns;
	int rc = read_visits(guest, &from, &from_ns, err);

	if (rc)
		return rc;
	sleep_ns(ms * 1000000ull);
	rc = read_visits(guest, &to, &to_ns, err);
	if (!rc)
		*visits_per_second = (double)(to - from) * 1e9 / (double)(to_ns - from_ns);
	return rc;
}

/* [[from, count], ..] */
static void read_buckets(const json_t *list, uint64_t *count)
{
	size_t index;
	json_t *pair;

	json_array_foreach ((json_t *)list, index, pair) {
		uint64_t from = (uint64_t)json_integer_value(json_array_get(pair, 0));

		if (from)
			count[63 - __builtin_clzll(from)] +=
			    (uint64_t)json_integer_value(json_array_get(pair, 1));
	}
}

int guest_times(struct guest *guest, struct guest_times *times, struct gmig_error *err)
{
	json_t *result = NULL, *closed;
	int rc = control_call(guest->client, "query-histograms", NULL, &result, err);

	memset(times, 0, sizeof(*times));
	if (rc)
		return rc;
	closed = json_object_get(result, "blackout_ns");
	read_buckets(json_object_get(closed, "read"), times->blackout_read);
	read_buckets(json_object_get(closed, "write"), times->blackout_write);
	read_buckets(json_object_get(result, "stall_ns"), times->stall);
	json_decref(result);
	return 0;
}

int guest_cpu_ns(const struct guest *guest, uint64_t *all_ns, uint64_t *vcpu_ns)
{
	int rc = process_cpu_ns(guest->pid, all_ns);

	return rc ? rc : process_threads_cpu_ns(guest->pid, VCPU_THREAD_NAME, vcpu_ns, NULL);
}

int guest_vcpu_waited_ns(const struct guest *guest, uint64_t *waited_ns)
{
	uint64_t cpu_ns;

	return process_threads_cpu_ns(guest->pid, VCPU_THREAD_NAME, &cpu_ns, waited_ns);
}

/* ---- Migrate ------------------------------------------------------------------------------------------------- */

void guest_outcome_clear(struct guest_outcome *outcome)
{
	for (unsigned int i = 0; i < outcome->jobs; i++)
		json_decref(outcome->job[i]);
	memset(outcome, 0, sizeof(*outcome));
}

static json_t *migrate_arguments(const struct guest *guest, const struct guest_migration *migration)
{
	json_t *arguments = json_pack("{s:[i], s:[i], s:i}", "from", (int)guest->node, "to",
				      (int)!guest->node, "threads", (int)migration->threads);

	/* It has one mode, and takes its frames from the kernel. */
	if (migration->mover && !strcmp(migration->mover, cell_mover_swap)) {
		json_object_set_new(arguments, "mover", json_string(migration->mover));
	} else {
		json_object_set_new(arguments, "mode", json_string(migration->mode));
		json_object_set_new(arguments, "frames", json_string(migration->frames));
	}
	if (migration->batch)
		json_object_set_new(arguments, "batch", json_integer(migration->batch));
	if (migration->rate_bytes_per_second)
		json_object_set_new(arguments, "rate",
				    json_integer((json_int_t)migration->rate_bytes_per_second));
	if (migration->max_stall_ns)
		json_object_set_new(arguments, "max-stall",
				    json_integer((json_int_t)migration->max_stall_ns));
	if (migration->max_slowdown_ppm)
		json_object_set_new(arguments, "max-slowdown",
				    json_integer(migration->max_slowdown_ppm));
	if (migration->order)
		json_object_set_new(arguments, "order", json_string(migration->order));
	if (migration->huge)
		json_object_set_new(arguments, "huge", json_string(migration->huge));
	if (migration->trace)
		json_object_set_new(arguments, "trace", json_true());
	return arguments;
}

/* The kernel's own movers work in this process; for their system calls, kernel_move counts them. */
static void create_counters(struct guest *guest, const struct guest_migration *migration)
{
	bool by_kernel = migration->mover && kernel_mover_is(migration->mover);

	if (migration->count_syscalls &&
	    counters_of_syscalls(guest->pid, VCPU_THREAD_NAME, &guest->syscalls))
		guest->syscalls = NULL;
	if (migration->count_instructions &&
	    instructions_create(by_kernel ? getpid() : guest->pid,
				by_kernel ? NULL : VCPU_THREAD_NAME, &guest->instructions))
		guest->instructions = NULL;
}

/* What is noted before the time is taken. */
static int look_before(struct guest *guest, const struct guest_migration *migration,
		       struct guest_outcome *outcome, struct gmig_error *err)
{
	int rc;

	memset(outcome, 0, sizeof(*outcome));
	process_memory_forget_peak(guest->pid);
	rc = read_visits(guest, &guest->begin_visits, &guest->begin_visits_ns, err);
	if (rc)
		return rc;
	process_split_read(guest->pid, VCPU_THREAD_NAME, &guest->begin_split);
	create_counters(guest, migration);
	rc = guest_cpu_ns(guest, &guest->begin_cpu_ns, &guest->begin_vcpu_ns);
	if (rc)
		gmig_fail(err, rc, "the CPU time of gmig-vmm cannot be read: %s", strerror(-rc));
	instructions_start(guest->instructions);
	guest->begin_ns = outcome->begin_ns = now_ns();
	return rc;
}

int guest_migrate_start(struct guest *guest, const struct guest_migration *migration,
			struct guest_outcome *outcome, struct gmig_error *err)
{
	json_t *arguments = migrate_arguments(guest, migration);
	int rc = look_before(guest, migration, outcome, err);

	while (!rc && outcome->jobs < migration->jobs && outcome->jobs < GUEST_MAX_JOBS) {
		rc = control_call(guest->client, "migrate-pages", json_deep_copy(arguments),
				  &outcome->job[outcome->jobs], err);
		outcome->jobs += !rc;
	}
	json_decref(arguments);
	if (rc)
		guest_outcome_clear(outcome);
	return rc;
}

static bool job_ended(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));

	return state && (!strcmp(state, "completed") || !strcmp(state, "failed") ||
			 !strcmp(state, "cancelled"));
}

/* Replace what is known of a job by what the event says. */
static void take_event(struct guest_outcome *outcome, json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	json_t *job = json_object_get(json_object_get(event, "data"), "job");

	if (!name || strcmp(name, "JOB_STATUS_CHANGE"))
		return;
	for (unsigned int i = 0; i < outcome->jobs; i++) {
		if (!json_equal(json_object_get(outcome->job[i], "id"),
				json_object_get(job, "id")) ||
		    job_ended(outcome->job[i]))
			continue;
		json_decref(outcome->job[i]);
		outcome->job[i] = json_incref(job);
	}
}

static bool all_ended(const struct guest_outcome *outcome)
{
	for (unsigned int i = 0; i < outcome->jobs; i++)
		if (!job_ended(outcome->job[i]))
			return false;
	return true;
}

/* What is asked for when the time has been taken. */
static int look_after(struct guest *guest, struct guest_outcome *outcome, struct gmig_error *err)
{
	struct process_split split;
	struct process_memory memory;
	uint64_t visits, visits_ns;
	int rc = process_split_read(guest->pid, VCPU_THREAD_NAME, &split);

	outcome->user_seconds = rc ? NAN : split.user_seconds - guest->begin_split.user_seconds;
	outcome->system_seconds =
	    rc ? NAN : split.system_seconds - guest->begin_split.system_seconds;
	outcome->syscalls = guest->syscalls ? (double)counters_sum(guest->syscalls) : NAN;
	counters_destroy(guest->syscalls);
	guest->syscalls = NULL;
	outcome->instructions = instructions_count(guest->instructions);
	outcome->instructions_by =
	    guest->instructions ? instructions_source(guest->instructions) : NULL;
	instructions_destroy(guest->instructions);
	guest->instructions = NULL;
	outcome->extra_bytes = NAN;
	if (guest->base_bytes && !read_memory(guest, &memory))
		outcome->extra_bytes =
		    fmax((double)memory.peak_bytes - (double)guest->base_bytes, 0);
	rc = read_visits(guest, &visits, &visits_ns, err);
	if (!rc)
		outcome->visits_per_second = (double)(visits - guest->begin_visits) * 1e9 /
					     (double)(visits_ns - guest->begin_visits_ns);
	return rc;
}

/* The time has been taken: what it cost. */
static int take_cost(struct guest *guest, struct guest_outcome *outcome, struct gmig_error *err)
{
	uint64_t all_ns = 0, vcpu_ns = 0;
	int rc;

	outcome->wall_ns = now_ns() - guest->begin_ns;
	rc = guest_cpu_ns(guest, &all_ns, &vcpu_ns);
	if (rc)
		return gmig_fail(err, rc, "the CPU time of gmig-vmm cannot be read: %s",
				 strerror(-rc));
	outcome->cpu_ns = all_ns - guest->begin_cpu_ns - (vcpu_ns - guest->begin_vcpu_ns);
	guest->node = !guest->node;
	return look_after(guest, outcome, err);
}

int guest_migrate_wait(struct guest *guest, struct guest_outcome *outcome, int timeout_ms,
		       struct gmig_error *err)
{
	uint64_t give_up = now_ns() + (uint64_t)timeout_ms * 1000000u;
	int rc;

	while (!all_ended(outcome)) {
		uint64_t now = now_ns();
		json_t *event = NULL;

		rc = control_next_event(guest->client,
					now < give_up ? (int)((give_up - now) / 1000000) : 0,
					&event, err);
		if (rc)
			return child_ended(guest, err) ? -ECHILD : rc;
		take_event(outcome, event);
		json_decref(event);
	}
	instructions_stop(guest->instructions);
	return take_cost(guest, outcome, err);
}

/* The work is done by this thread, in the kernel. */
static int migrate_by_kernel(struct guest *guest, const struct guest_migration *migration,
			     struct guest_outcome *outcome, struct gmig_error *err)
{
	struct kernel_memory memory = {.pid = guest->pid, .ranges = 1};
	struct kernel_order order = {.mover = migration->mover,
				     .memory = &memory,
				     .from = guest->node,
				     .to = !guest->node,
				     .batch = migration->batch};
	struct kernel_move move;
	int rc = find_region(guest, &memory.range[0], err);

	if (!rc)
		rc = look_before(guest, migration, outcome, err);
	order.instructions = guest->instructions;
	if (!rc)
		rc = kernel_move(&order, &move, err);
	if (!rc)
		rc = take_cost(guest, outcome, err);
	if (rc)
		return rc;
	outcome->moved_bytes = move.moved_bytes;
	outcome->moved_ratio = move.moved_ratio;
	outcome->seconds = move.seconds;
	outcome->thp_split = move.thp_split;
	outcome->cpu_ns += (uint64_t)(move.cpu_seconds * 1e9);
	outcome->user_seconds = outcome->system_seconds = NAN;
	if (migration->count_syscalls)
		outcome->syscalls = move.calls;
	return 0;
}

int guest_migrate(struct guest *guest, const struct guest_migration *migration,
		  struct guest_outcome *outcome, struct gmig_error *err)
{
	int rc;

	if (migration->mover && kernel_mover_is(migration->mover))
		return migrate_by_kernel(guest, migration, outcome, err);
	rc = guest_migrate_start(guest, migration, outcome, err);
	if (rc)
		return rc;
	rc = guest_migrate_wait(guest, outcome, MIGRATE_TIMEOUT_MS, err);
	if (rc)
		guest_outcome_clear(outcome);
	return rc;
}

int guest_warm_up(struct guest *guest, const struct guest_migration *migration,
		  struct gmig_error *err)
{
	struct guest_outcome outcome;
	int rc = 0;

	for (int i = 0; !rc && i < 2; i++) {
		rc = guest_migrate(guest, migration, &outcome, err);
		if (!rc)
			guest_outcome_clear(&outcome);
	}
	return rc;
}

/* One answer's worth, from record `first` on; *total: how many there are. */
static int trace_part(struct guest *guest, json_t *id, size_t first, json_t *records, size_t *total,
		      struct gmig_error *err)
{
	json_t *result = NULL, *record;
	size_t index;
	int rc = control_call(guest->client, "query-job-trace",
			      json_pack("{s:O, s:I}", "id", id, "first", (json_int_t)first),
			      &result, err);

	if (rc)
		return rc;
	*total = (size_t)json_integer_value(json_object_get(result, "total"));
	json_array_foreach (json_object_get(result, "records"), index, record) {
		json_object_set(record, "job", id);
		json_array_append(records, record);
	}
	json_decref(result);
	return 0;
}

int guest_trace(struct guest *guest, const json_t *job, json_t *records, struct gmig_error *err)
{
	size_t before = json_array_size(records), have = 0, total = 1;

	while (have < total) {
		int rc = trace_part(guest, json_object_get(job, "id"), have, records, &total, err);

		if (rc)
			return rc;
		if (have < total && json_array_size(records) - before == have)
			return gmig_fail(err, -EPROTO, "the trace ends at record %zu of %zu", have,
					 total);
		have = json_array_size(records) - before;
	}
	return 0;
}

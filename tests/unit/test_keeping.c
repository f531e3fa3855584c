/* Placements that are kept, round by round: one domain on a fake kernel with four nodes, a clock that is a number, a libvirt that is a text. */
#include "../../control/closed_nodes.h"
#include "../../libvirt-hooks/keeper.h"
#include "../../libvirt-hooks/keeping_inside.h"
#include "../../libvirt-hooks/move_journal.h"
#include "../../migrate/core/topology.h"
#include "burn.h"
#include "failing_open.h"
#include "fake_process.h"
#include "fake_qemu.h"
#include "metrics_file.h"
#include "suite.h"

#include <semaphore.h>
#include <stdatomic.h>

#define SCOPE  "/machine.slice/machine-qemu.scope"
#define UID    1000
#define SECOND 1000000000ull
#define BYTES  (FAKE_PAGES * FAKE_PAGE_BYTES)

#define expect_metric(line) expect_metric_in(metrics, line)
#define expect_state(text)  ck_assert_str_eq(state(), text)

static struct domain_host host;
static struct domains *domains;
static struct keeping *keeping;
static struct gmigd_conf *conf;
static struct gmig_error err;
static char lines[16384], journals[128], conf_path[128], metrics[128];
static pthread_mutex_t lines_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t ends, xml_begun;

/* ---- libvirt, and the time ------------------------------------------------------------------- */

static uint64_t clock_ns;
static struct tm local;
static const char *metadata; /* attributes of <placement>; NULL: there is none */
static int xml_error, xml_reads;
static unsigned int xml_ms;	       /* of CPU time that reading takes */
static struct keeping *xml_awaits_end; /* reading takes until it is told to end; NULL: no time */

static uint64_t now_ns(void *opaque)
{
	(void)opaque;
	return clock_ns;
}

static void local_time(void *opaque, struct tm *now)
{
	(void)opaque;
	*now = local;
}

static int read_xml(void *opaque, const char *uuid, char **xml, struct gmig_error *error)
{
	(void)opaque;
	ck_assert_str_eq(uuid, FAKE_UUID);
	xml_reads++;
	burn(xml_ms);
	if (xml_awaits_end)
		sem_post(&xml_begun);
	while (xml_awaits_end && !keeping_is_ending(xml_awaits_end))
		sched_yield();
	if (xml_error)
		return gmig_fail(error, xml_error, "libvirt says nothing");
	ck_assert_int_gt(
	    asprintf(xml,
		     "<domain type='kvm' id='1'><name>web1</name><uuid>" FAKE_UUID "</uuid>"
		     "<memory unit='KiB'>40000</memory><vcpu>1</vcpu><metadata>%s%s%s</metadata>"
		     "</domain>",
		     metadata ? "<g:placement xmlns:g='urn:gmig:placement:1' " : "",
		     metadata ? metadata : "", metadata ? "/>" : ""),
	    0);
	return 0;
}

/* ---- The host -------------------------------------------------------------------------------- */

static void threads_follow(void *opaque, const char *path, const char *text)
{
	(void)opaque;
	if (strstr(path, "/emulator/cpuset.mems"))
		fake_thread(FAKE_PID, text);
}

static atomic_int counts;     /* of memory: each opens this file once */
static unsigned int count_ms; /* of CPU time that one takes more */

static int open_proc(pid_t pid, const char *name)
{
	if (!strcmp(name, "numa_maps")) {
		atomic_fetch_add(&counts, 1);
		burn(count_ms);
	}
	return fake_open_proc(pid, name);
}

static void on_job(void *opaque, struct domain *domain, const struct gmig_job_info *info)
{
	(void)opaque, (void)domain;
	keeping_job_event(keeping, info);
	if (info->state >= GMIG_JOB_COMPLETED)
		sem_post(&ends);
}

static void note(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque, (void)level;
	pthread_mutex_lock(&lines_lock);
	snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", line);
	pthread_mutex_unlock(&lines_lock);
}

/* How often a text is in the log. */
static int said(const char *text)
{
	int count = 0;

	pthread_mutex_lock(&lines_lock);
	for (const char *at = lines; (at = strstr(at, text)); at++)
		count++;
	pthread_mutex_unlock(&lines_lock);
	return count;
}

/* The one vCPU may use these CPUs; node n has CPU n. */
static void pin(const char *cpus)
{
	fake_file("77/task/78/status",
		  "Name:\tCPU 0/KVM\nTgid:\t77\nCpus_allowed_list:\t%s\nMems_allowed:\tf\n"
		  "Mems_allowed_list:\t0-3\n",
		  cpus);
}

static void write_cmdline(void)
{
	static const char text[] = "qemu\0-name\0guest=web1\0-uuid\0" FAKE_UUID;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/77/cmdline", tree_root);
	file = fopen(path, "w");
	ck_assert_uint_eq(fwrite(text, 1, sizeof(text), file), sizeof(text));
	fclose(file);
}

static void read_conf(const char *text)
{
	struct gmigd_conf *fresh = NULL;

	fake_file("gmigd.conf", "[gmigd]\nmetrics = %s\n%s", metrics, text);
	ck_assert_msg(!gmigd_conf_read(conf_path, &fresh, &err), "%s", err.text);
	keeping_set_conf(keeping, fresh);
	gmigd_conf_destroy(conf);
	conf = fresh;
}

static void make_host(void)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0", "10 20 20 20"},
						 {1, 1000, 900, "1", "20 10 20 20"},
						 {2, 1000, 900, "2", "20 20 10 20"},
						 {3, 1000, 900, "3", "20 20 20 10"}};
	char proc[128];

	fake_process_setup();
	fake_sys.now_ns = gmig_sys_real.now_ns;
	fake_sys.sleep_ns = gmig_sys_real.sleep_ns;
	fake_sys.open_proc = open_proc;
	fake_allowed = 0xf;
	tree_nodes("0-3", nodes, 4);
	snprintf(proc, sizeof(proc), "%s/proc", tree_root);
	ck_assert_int_eq(symlink(tree_root, proc), 0);
	tree_cpuset("0-3");
	fake_file("self/mountinfo", "30 24 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
	fake_file("77/task/77/cgroup", "0::" SCOPE "/emulator\n");
	fake_file("77/task/78/cgroup", "0::" SCOPE "/vcpu0\n");
	fake_file("77/task/78/comm", "CPU 0/KVM\n");
	fake_file("cg/machine.slice/cpuset.mems.effective", "0-3\n");
	fake_file("cg" SCOPE "/emulator/cpuset.mems", "0\n");
	fake_file("cg" SCOPE "/vcpu0/cpuset.mems", "0\n");
	fake_thread(77, "0");
	pin("0");
	write_cmdline();
	snprintf(journals, sizeof(journals), "%s/journals", tree_root);
	ck_assert_int_eq(mkdir(journals, 0700), 0);
}

static void update(int count)
{
	struct virt_domain list[] = {{.name = (char *)"web1",
				      .uuid = FAKE_UUID,
				      .id = 1,
				      .memory_bytes = BYTES,
				      .vcpus = 1}};

	domains_update(domains, list, count);
}

static void make_keeping(void)
{
	const uid_t users[] = {UID};
	struct keeping_options options = {
	    .host = &host, .read_xml = read_xml, .now_ns = now_ns, .local_time = local_time};

	ck_assert_int_eq(domains_create(&host, "qemu:///system", users, 1, &domains, &err), 0);
	options.domains = domains;
	ck_assert_int_eq(keeping_create(&options, conf, &keeping, &err), 0);
	update(1);
}

static void setup(void)
{
	sem_init(&ends, 0, 0);
	sem_init(&xml_begun, 0, 0);
	umask(022);
	make_host();
	/* Neither this host's closed nodes nor its user's. */
	closed_nodes_system = tree_root;
	setenv("XDG_RUNTIME_DIR", tree_root, 1);
	snprintf(conf_path, sizeof(conf_path), "%s/gmigd.conf", tree_root);
	snprintf(metrics, sizeof(metrics), "%s/gmig.prom", tree_root);
	host = (struct domain_host){
	    .qemu = {.root = tree_root, .run_dir = "/run", .pidfd_open = fake_sys.pidfd_open},
	    .cpusets = {.root = tree_root, .before_write = threads_follow},
	    .journals = journals,
	    .sys = &fake_sys,
	    .keep_bytes = 1 << 20,
	    .job_event = on_job,
	    .log = note};
	ck_assert_msg(!topology_create_at(tree_root, 0, &host.topology, &err), "%s", err.text);
	*lines = '\0';
	clock_ns = 1000 * SECOND;
	local = (struct tm){.tm_wday = 1, .tm_hour = 10};
	metadata = "placement='follow-vcpus'";
	counts = xml_error = xml_reads = 0;
	xml_awaits_end = NULL;
	xml_ms = count_ms = 0;
	conf = NULL;
	keeping = NULL;
	read_conf("");
	make_keeping();
}

static void teardown(void)
{
	struct keeping *ending = keeping;

	keeping = NULL;
	keeping_destroy(ending);
	domains_destroy(domains);
	gmigd_conf_destroy(conf);
	gmig_topology_put(host.topology);
	fake_process_teardown();
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static int round_after(uint64_t seconds)
{
	clock_ns += seconds * SECOND;
	return keeping_round(keeping);
}

static const char *state(void)
{
	static char text[512];
	json_t *object = json_object(), *placement;

	keeping_describe(keeping, FAKE_UUID, object);
	placement = json_object_get(object, "placement");
	snprintf(text, sizeof(text), "%s",
		 json_object_get(placement, "wrong")
		     ? "wrong"
		     : json_string_value(json_object_get(placement, "state")));
	json_decref(object);
	return text;
}

static void wait_end(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 50;
	ck_assert_int_eq(sem_timedwait(&ends, &until), 0);
}

/* The last `moves` is told ahead of the job's end for all who ask; so long it is asked for. */
static void round_until(const char *wanted)
{
	while (strcmp(state(), wanted) != 0) { /* the test's time limit says when it never comes */
		round_after(0);
		sched_yield();
	}
}

static void re_pin(const char *cpus)
{
	round_after(0);
	pin(cpus);
	keeping_domain_changed(keeping, FAKE_UUID);
	round_after(1);
	expect_state("hold");
}

START_TEST(memory_follows_a_re_pinned_vcpu)
{
	json_t *job = json_object();

	ck_assert_int_eq(round_after(0), 30000);
	expect_state("kept");
	expect_metric(
	    "gmig_domain_memory_bytes{domain=\"web1\",node=\"0\",pagesize=\"4K\"} 40960000");
	expect_metric("gmig_domain_local_ratio{domain=\"web1\"} 1\n");
	expect_metric("gmig_domain_affinity_score{domain=\"web1\"} 100\n");
	re_pin("2");
	expect_metric("gmig_domain_local_ratio{domain=\"web1\"} 0\n");
	expect_metric("gmig_domain_affinity_score{domain=\"web1\"} 0\n");
	expect_metric("gmig_domain_score_possible{domain=\"web1\"} 100\n");
	expect_metric("gmig_domain_job_info_type{domain=\"web1\"} 0\n");
	ck_assert_int_le(round_after(1), 9000);
	expect_state("hold");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("moves");
	wait_end();
	round_until("kept");
	ck_assert_uint_eq(fake_pages_on(2), FAKE_PAGES);
	ck_assert_int_eq(said("domain=web1 job=1 its memory follows its vCPUs from=0 to=2"), 1);
	expect_metric(
	    "gmig_domain_memory_bytes{domain=\"web1\",node=\"2\",pagesize=\"4K\"} 40960000");
	expect_metric("gmig_domain_local_ratio{domain=\"web1\"} 1\n");
	expect_metric("gmig_domain_job_info_type{domain=\"web1\"} 3\n");
	expect_metric("gmig_domain_job_info_memory_processed_bytes{domain=\"web1\"} 40960000");
	expect_metric("gmig_domain_policy_wrong{domain=\"web1\"} 0\n");
	keeping_describe_job(keeping, FAKE_UUID, 1, job);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(job, "reason")), "node 2"));
	json_decref(job);
}
END_TEST

START_TEST(quiet_hours_of_the_metadata_are_kept)
{
	metadata = "placement='follow-vcpus' quiet-hours='Mon 09:00-11:00'";
	re_pin("1");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("quiet");
	local.tm_hour = 11;
	round_after(30);
	expect_state("moves");
	wait_end();
	round_until("kept");
}
END_TEST

START_TEST(reversal_freezes_the_domain)
{
	static const char *const cpus[] = {"1", "0"};

	for (int i = 0; i < 2; i++) {
		re_pin(cpus[i]);
		round_after(KEEPER_HOLD_SECONDS);
		wait_end();
		round_until("kept");
	}
	re_pin("1");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("frozen");
	ck_assert_int_eq(said("state=frozen reason=it moved back and forth"), 1);
}
END_TEST

START_TEST(closed_node_stays_empty)
{
	re_pin("1");
	fake_file("closed-nodes", "1\n");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("closed");
	/* Where it is not known which are closed, nothing is moved; said once. */
	fake_file("closed-nodes", "nonsense\n");
	round_after(30);
	round_after(30);
	expect_state("waits");
	ck_assert_int_eq(said("nothing is moved unasked:"), 1);
	ck_assert_uint_eq(fake_pages_on(0), FAKE_PAGES);
	fake_file("closed-nodes", "\n");
	round_after(30);
	expect_state("moves");
	wait_end();
}
END_TEST

/* ---- Told otherwise -------------------------------------------------------------------------- */

static struct domain *find_domain(void)
{
	struct domain *domain;

	ck_assert_msg(!domains_find(domains, "web1", &domain, &err), "%s", err.text);
	return domain;
}

static struct gmig_job *told_to_move(struct domain *domain, uint16_t to, uint64_t rate)
{
	const struct gmig_job_spec spec = {
	    .from = {0}, .from_count = 1, .to = {to}, .to_count = 1, .rate_bytes_per_second = rate};
	struct gmig_job *job;

	ck_assert_msg(!domain_start_job(domain, &spec, &job, &err), "%s", err.text);
	return job;
}

START_TEST(vcpu_that_cannot_be_looked_at_is_where_it_was)
{
	static const char *const files[] = {NULL, "/task/78/status", "/task/78/stat"};

	for (size_t i = 0; i < 3; i++) {
		unreadable = files[i];
		round_after(1);
		expect_state("kept");
	}
}
END_TEST

START_TEST(host_that_cannot_be_looked_at_is_said_once_and_ends_of_jobs_are_noticed)
{
	struct domain *domain = find_domain();

	gmig_job_put(told_to_move(domain, 3, 0));
	wait_end();
	unreadable = "/meminfo";
	round_after(1);
	round_after(1);
	ck_assert_int_eq(said("nothing is moved unasked: "), 1);
	expect_metric("gmig_domain_job_info_memory_processed_bytes{domain=\"web1\"} 40960000");
	domain_put(domain);
}
END_TEST

START_TEST(job_that_was_asked_for_runs_alone_and_its_result_stays)
{
	struct domain *domain = find_domain();
	struct gmig_job *job;

	re_pin("1");
	job = told_to_move(domain, 3, 1 << 20);
	ck_assert_int_eq(gmig_job_pause(job), 0);
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("busy");
	gmig_job_set_rate(job, 0);
	gmig_job_resume(job);
	wait_end();
	gmig_job_wait(job);
	gmig_job_put(job);
	round_until("by-hand");
	round_after(3600);
	ck_assert_uint_eq(fake_pages_on(3), FAKE_PAGES);
	/* Pinned anew, it follows. */
	re_pin("2");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("moves");
	wait_end();
	domain_put(domain);
}
END_TEST

START_TEST(job_that_is_asked_for_stops_the_one_that_is_not)
{
	struct domain *domain = find_domain();
	struct gmig_job *job;

	metadata = "placement='follow-vcpus' rate='4K'";
	re_pin("1");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("moves");
	job = told_to_move(domain, 3, 64 << 20); /* for so long that it tells of itself */
	wait_end();
	wait_end();
	gmig_job_wait(job);
	gmig_job_put(job);
	round_until("by-hand");
	ck_assert_int_eq(said("job=1 gives way reason=a job was asked for"), 1);
	/* Or completed: the later one had taken all pages from it by then. Wherever they went, it is one node. */
	ck_assert_msg(said("job=1 cancelled") + said("job=1 completed moved_bytes=0 ") == 1, "%s",
		      lines);
	ck_assert_msg(!said("its cpusets keep nodes"), "%s", lines);
	domain_put(domain);
}
END_TEST

START_TEST(cancelled_move_stays_cancelled)
{
	struct domain *domain = find_domain();
	struct gmig_job *job;

	metadata = "placement='follow-vcpus' rate='4K'";
	re_pin("1");
	round_after(KEEPER_HOLD_SECONDS);
	job = gmig_process_job_find(domain_process(domain), 1);
	ck_assert_int_eq(gmig_job_cancel(job), 0);
	wait_end();
	gmig_job_wait(job);
	gmig_job_put(job);
	round_until("by-hand");
	domain_put(domain);
}
END_TEST

/* As after a kill in mid-move; it goes on, and ends after the first round. */
static void start_anew(bool unasked, uint16_t from, uint16_t to)
{
	struct move_journal_job own = {
	    .unasked = unasked,
	    .spec = {.from = {from}, .to = {to}, .from_count = 1, .to_count = 1}};
	struct move_journal journal = {.uuid = FAKE_UUID,
				       .name = (char *)"web1",
				       .memory_bytes = BYTES,
				       .uid = UID,
				       .pid = FAKE_PID,
				       .job = &own,
				       .job_count = 1};
	struct gmig_node_set wide = {{1u << to}};
	struct cpuset_scope *scope;
	struct gmig_job_info info;
	struct domain *domain;
	struct gmig_job *job;

	own.spec.rate_bytes_per_second = 4096;
	own.spec.max_stall_ns = 5000000;
	own.spec.max_slowdown_ppm = 900000;
	keeping_destroy(keeping); /* no job runs that would tell it */
	domains_destroy(domains);
	ck_assert_int_eq(qemu_process_start_time(&host.qemu, FAKE_PID, &journal.start_time), 0);
	ck_assert_int_eq(cpuset_scope_read(&host.cpusets, FAKE_PID, &scope, &err), 0);
	ck_assert_int_eq(cpuset_scope_plan(scope, &wide, &err), 0);
	journal.scope = scope;
	ck_assert_int_eq(move_journal_write(journals, &journal, &err), 0);
	cpuset_scope_free(scope);
	make_keeping();
	round_after(0);
	expect_state("busy");
	domain = find_domain();
	job = gmig_process_job_find(domain_process(domain), 1);
	ck_assert_ptr_nonnull(job);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.spec.max_stall_ns, 5000000);
	ck_assert_uint_eq(info.spec.max_slowdown_ppm, 900000);
	ck_assert_int_eq(gmig_job_set_rate(job, 0), 0);
	gmig_job_put(job);
	domain_put(domain);
	wait_end();
	round_after(KEEPER_HOLD_SECONDS);
}

/* vCPUs were pinned anew while no gmigd ran. */
START_TEST(move_that_a_killed_gmigd_began_by_itself_is_not_one_by_hand)
{
	pin("2");
	start_anew(true, 0, 1);
	expect_state("moves");
	wait_end();
	ck_assert_uint_eq(fake_pages_on(2), FAKE_PAGES);
}
END_TEST

START_TEST(move_that_a_killed_gmigd_was_told_to_make_stays)
{
	pin("2");
	start_anew(false, 0, 1);
	expect_state("by-hand");
	ck_assert_uint_eq(fake_pages_on(1), FAKE_PAGES);
}
END_TEST

START_TEST(domain_that_ends_before_its_move_is_dropped)
{
	re_pin("1");
	fake_process_ends();
	round_after(KEEPER_HOLD_SECONDS);
	ck_assert_int_eq(said("its memory does not follow its vCPUs from=0 to=1"), 1);
	update(0);
	round_after(1);
	expect_metric("gmig_domains 0\n");
	round_after(30);
}
END_TEST

/* ---- Policies -------------------------------------------------------------------------------- */

START_TEST(wrong_metadata_is_obeyed_in_no_part_and_said_once)
{
	metadata = "placement='follow-vcpus' rate='fast'";
	round_after(0);
	expect_state("wrong");
	expect_metric("gmig_domain_policy_wrong{domain=\"web1\"} 1\n");
	pin("1");
	for (int i = 0; i < 5; i++)
		round_after(60);
	expect_state("wrong");
	ck_assert_uint_eq(fake_pages_on(0), FAKE_PAGES);
	ck_assert_int_eq(said("policy is wrong"), 1);
	/* Another cause is said, too; and what is right is obeyed at once. */
	metadata = "placement='fast'";
	keeping_domain_changed(keeping, FAKE_UUID);
	round_after(1);
	ck_assert_int_eq(said("policy is wrong"), 2);
	metadata = "placement='follow-vcpus' nodes='7'";
	keeping_domain_changed(keeping, NULL);
	round_after(1);
	ck_assert_int_eq(said("this host has no node 7"), 1);
	metadata = "placement='follow-vcpus'";
	keeping_domain_changed(keeping, FAKE_UUID);
	round_after(1);
	expect_state("hold");
	expect_metric("gmig_domain_policy_wrong{domain=\"web1\"} 0\n");
}
END_TEST

START_TEST(metadata_is_read_when_it_may_have_changed)
{
	for (int i = 0; i < 5; i++)
		round_after(30);
	ck_assert_int_eq(xml_reads, 1);
	keeping_domain_changed(keeping, FAKE_UUID2);
	round_after(1);
	ck_assert_int_eq(xml_reads, 1);
	keeping_domain_changed(keeping, FAKE_UUID);
	round_after(1);
	ck_assert_int_eq(xml_reads, 2);
	/* An event may get lost. */
	round_after(301);
	ck_assert_int_eq(xml_reads, 3);
}
END_TEST

START_TEST(libvirt_that_hangs_moves_nothing_and_is_asked_once_a_round)
{
	xml_error = -ETIMEDOUT;
	round_after(0);
	pin("1");
	round_after(30);
	round_after(30);
	expect_state("unknown");
	ck_assert_int_eq(xml_reads, 3);
	/* What it has said once holds on. */
	xml_error = 0;
	round_after(1);
	expect_state("hold");
	xml_error = -ETIMEDOUT;
	keeping_domain_changed(keeping, NULL);
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("moves");
	wait_end();
}
END_TEST

START_TEST(configuration_that_is_read_anew_holds_for_all)
{
	metadata = NULL;
	round_after(0);
	expect_state("off");
	pin("1");
	round_after(30);
	read_conf("[domain web*]\nplacement = follow-vcpus\n");
	round_after(0);
	expect_state("hold");
	read_conf("[default]\nplacement = none\n");
	round_after(KEEPER_HOLD_SECONDS);
	expect_state("off");
	ck_assert_uint_eq(fake_pages_on(0), FAKE_PAGES);
	ck_assert_int_eq(said("placement=follow-vcpus nodes=all rate=none from=gmigd.conf:4"), 1);
	/* Pack is scored, and that is said. */
	metadata = "placement='pack'";
	keeping_domain_changed(keeping, NULL);
	round_after(0);
	expect_state("off");
	ck_assert_int_eq(said("placement = pack is not kept by this version"), 1);
}
END_TEST

START_TEST(memory_is_counted_when_it_is_due_and_before_it_may_follow)
{
	metadata = "placement='follow-vcpus' quiet-hours='00:00-24:00'";
	round_after(0);
	ck_assert_int_eq(counts, 1);
	round_after(29);
	ck_assert_int_eq(counts, 1);
	round_after(1);
	ck_assert_int_eq(counts, 2);
	/* vCPUs are re-pinned one by one: once, when that is over. */
	for (int i = 1; i < 4; i++) {
		pin(i % 2 ? "1" : "2");
		round_after(1);
	}
	round_after(KEEPER_HOLD_SECONDS - 1);
	ck_assert_int_eq(counts, 2);
	round_after(1);
	ck_assert_int_eq(counts, 3);
	expect_state("quiet");
}
END_TEST

START_TEST(memory_that_takes_long_to_count_is_counted_seldom)
{
	count_ms = 200; /* 1/250 of 50 s */
	round_after(0);
	round_after(49);
	ck_assert_int_eq(counts, 1);
	round_after(100);
	ck_assert_int_eq(counts, 2);
}
END_TEST

START_TEST(round_that_costs_much_is_not_made_after_each_event)
{
	uint64_t from_us = burnt_us() + 40000; /* of count_ms, which has a limit of its own */

	count_ms = 40;
	round_after(0);
	ck_assert_int_eq(counts, 1);
	ck_assert_int_le(keeping_pause_ms(keeping), 200 + (int)((burnt_us() - from_us) / 50));
	xml_ms = 400;
	keeping_domain_changed(keeping, FAKE_UUID);
	round_after(1);
	ck_assert_int_eq(keeping_pause_ms(keeping), 2000);
	from_us = burnt_us();
	round_after(1);
	ck_assert_int_le(keeping_pause_ms(keeping), 200 + (int)((burnt_us() - from_us) / 50));
}
END_TEST

START_TEST(metrics_that_cannot_be_written_are_said_once)
{
	snprintf(metrics, sizeof(metrics), "%s/nosuch/gmig.prom", tree_root);
	read_conf("");
	for (int i = 0; i < 3; i++)
		round_after(30);
	ck_assert_int_eq(said("metrics are not written:"), 1);
	snprintf(metrics, sizeof(metrics), "%s/gmig.prom", tree_root);
	read_conf("");
	round_after(30);
	expect_metric("gmig_domains 1\n");
	expect_metric("gmig_domain_scan_timestamp_seconds{domain=\"web1\"} ");
	expect_metric("gmig_scan_cpu_seconds_total ");
}
END_TEST

START_TEST(thread_keeps_and_ends)
{
	ck_assert_int_eq(keeping_start(keeping, &err), 0);
	while (strcmp(state(), "(null)") == 0 || strcmp(state(), "kept") != 0)
		sched_yield();
}
END_TEST

START_TEST(thread_that_is_told_to_end_leaves_its_round)
{
	struct keeping *ending = keeping;

	xml_awaits_end = keeping;
	ck_assert_int_eq(keeping_start(keeping, &err), 0);
	sem_wait(&xml_begun);
	keeping = NULL;
	keeping_destroy(ending);
	ck_assert_int_eq(xml_reads, 1);
	ck_assert_int_eq(counts, 0);
	ck_assert_int_eq(access(metrics, F_OK), -1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    memory_follows_a_re_pinned_vcpu,
	    quiet_hours_of_the_metadata_are_kept,
	    reversal_freezes_the_domain,
	    closed_node_stays_empty,
	    vcpu_that_cannot_be_looked_at_is_where_it_was,
	    host_that_cannot_be_looked_at_is_said_once_and_ends_of_jobs_are_noticed,
	    job_that_was_asked_for_runs_alone_and_its_result_stays,
	    job_that_is_asked_for_stops_the_one_that_is_not,
	    cancelled_move_stays_cancelled,
	    move_that_a_killed_gmigd_began_by_itself_is_not_one_by_hand,
	    move_that_a_killed_gmigd_was_told_to_make_stays,
	    domain_that_ends_before_its_move_is_dropped,
	    wrong_metadata_is_obeyed_in_no_part_and_said_once,
	    metadata_is_read_when_it_may_have_changed,
	    libvirt_that_hangs_moves_nothing_and_is_asked_once_a_round,
	    configuration_that_is_read_anew_holds_for_all,
	    memory_is_counted_when_it_is_due_and_before_it_may_follow,
	    memory_that_takes_long_to_count_is_counted_seldom,
	    round_that_costs_much_is_not_made_after_each_event,
	    metrics_that_cannot_be_written_are_said_once,
	    thread_keeps_and_ends,
	    thread_that_is_told_to_end_leaves_its_round,
	};

	return run_tests("keeping", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}

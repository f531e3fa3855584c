#include "fake_vmm.h"

struct fake fake;

static json_t *fake_percentiles(int base)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i}", "count", 7, "p50", base, "p99", base * 2,
			 "p999", base * 3, "max", base * 4);
}

json_t *fake_job(const char *state, json_int_t moved, json_int_t left)
{
	json_t *job = json_pack("{s:s, s:s, s:[i], s:[i], s:s, s:s, s:i, s:I, s:I, s:I, s:{}}",
				"id", "1", "state", state, "from", 0, "to", 1, "mode", "readable",
				"mover", "uffd", "rate", 0, "total_bytes", (json_int_t)(1 << 30),
				"moved_bytes", moved, "remaining_bytes", left, "remaining");

	json_object_set_new(job, "seconds", json_real(0.5));
	json_object_set_new(job, "bytes_per_second", json_integer(2147483648));
	json_object_set_new(job, "passes", json_integer(1));
	json_object_set_new(job, "rounds", json_pack("{s:i, s:i}", "readable", 512, "block", 0));
	json_object_set_new(job, "blackout_ns",
			    json_pack("{s:o, s:o}", "read", fake_percentiles(1000), "write",
				      fake_percentiles(100000)));
	json_object_set_new(job, "stall_ns", fake_percentiles(50000));
	json_object_set_new(job, "thp_split", json_integer(0));
	if (left)
		json_object_set_new(job, "remaining", json_pack("{s:I}", "EBUSY", left / 4096));
	return job;
}

static void fake_log(const char *command)
{
	if (strlen(fake.log) + strlen(command) + 2 <= sizeof(fake.log)) {
		strcat(fake.log, command);
		strcat(fake.log, " ");
	}
	atomic_fetch_add(&fake.logged, 1);
}

static void fake_end_job(void)
{
	json_decref(fake.job);
	fake.job = fake.last;
	fake.last = NULL;
	if (fake.tell)
		control_server_event(fake.server, "JOB_STATUS_CHANGE",
				     json_pack("{s:O}", "job", fake.job));
}

static int fake_migrate(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	(void)opaque;
	fake_log("migrate-pages");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	if (fake.refuse)
		return gmig_fail(err, -fake.refuse,
				 fake.refuse == ENODATA ? "nothing remains of job 3"
							: "host node 9 is not there");
	if (fake.interrupt_on_start)
		kill(getpid(), SIGINT);
	*result = json_deep_copy(fake.job);
	control_server_event(fake.server, "JOB_STATUS_CHANGE", json_pack("{s:O}", "job", fake.job));
	control_server_event(fake.server, "JOB_PROGRESS", json_pack("{s:O}", "job", fake.job));
	if (fake.last && fake.tell)
		fake_end_job();
	return 0;
}

/* A job only with "move". */
static int fake_bind(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	if (json_object_get(arguments, "move"))
		return fake_migrate(opaque, arguments, result, err);
	fake_log("bind-memory");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	return fake.refuse ? gmig_fail(err, -fake.refuse, "2 pages do not follow the policy") : 0;
}

static int fake_fix(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)result;
	fake_log("fix-memory");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	return fake.refuse ? gmig_fail(err, -fake.refuse, "the block at 0x0 still is on its way")
			   : 0;
}

static int fake_maps(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	fake_log("query-maps");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	*result = json_incref(json_array_get(fake.maps, 0));
	json_array_remove(fake.maps, 0);
	return *result ? 0 : gmig_fail(err, -EINVAL, "nothing is left to tell");
}

static int fake_sample(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	fake_log("sample-memory");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	*result = json_incref(json_object_get(json_array_get(fake.maps, 0), "sampling"));
	return *result ? 0 : gmig_fail(err, -EOPNOTSUPP, "nothing can be sampled");
}

static int fake_report(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	(void)err;
	fake_log("report-heat");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	*result = json_pack("{s:i, s:i, s:i}", "noted", 4 << 20, "outside", 2 << 20, "moved", 0);
	return 0;
}

static int fake_query_jobs(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	fake_log("query-jobs");
	if (fake.end_on_query)
		return gmig_fail(err, -EPIPE, "the VMM has ended");
	if (fake.refused_queries && fake.queries_until_end == 1 && fake.refused_queries--)
		return gmig_fail(err, -ENOMEM, "0 KiB of memory are left");
	if (fake.interrupt_on_query) {
		fake.interrupt_on_query = false;
		kill(getpid(), SIGINT);
	} else if (fake.last && !fake.tell && --fake.queries_until_end <= 0) {
		fake_end_job();
	}
	*result = fake.job && fake.forget_at != 1 ? json_pack("[O]", fake.job) : json_array();
	if (fake.forget_at > 1)
		fake.forget_at--;
	return 0;
}

static int fake_job_verb(const char *verb, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	fake_log(verb);
	if (!fake.job || strcmp(cli_text(arguments, "id"), "1") != 0)
		return gmig_fail(err, -ESRCH, "there is no job '%s'", cli_text(arguments, "id"));
	if (!strcmp(verb, "job-cancel") && fake.last)
		fake_end_job();
	if (!strcmp(verb, "job-set-rate"))
		json_object_set(fake.job, "rate", json_object_get(arguments, "rate"));
	*result = json_deep_copy(fake.job);
	return 0;
}

static int fake_cancel(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	return fake_job_verb("job-cancel", arguments, result, err);
}

static int fake_pause(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	(void)opaque;
	return fake_job_verb("job-pause", arguments, result, err);
}

static int fake_resume(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	return fake_job_verb("job-resume", arguments, result, err);
}

static int fake_set_rate(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque;
	return fake_job_verb("job-set-rate", arguments, result, err);
}

static int fake_status(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = json_pack("{s:s, s:i, s:s, s:s, s:s, s:O*}", "name", "vm1", "pid", 4711, "state",
			    "running", "guest", "probe", "version", "0.2.0", "ports", fake.ports);
	return 0;
}

static int fake_numa(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	if (fake.refuse_numa)
		return gmig_fail(err, -fake.refuse_numa, "0 KiB of memory are left");
	*result = json_pack("{s:[], s:i, s:[{s:i, s:I}, {s:i, s:I}]}", "host_nodes", "fake_nodes",
			    0, "vnodes", "id", 0, "bytes", (json_int_t)(1 << 30), "id", 1, "bytes",
			    (json_int_t)(512 << 20));
	json_object_update(*result, json_array_get(fake.numa, 0));
	if (json_array_size(fake.numa) > 1)
		json_array_remove(fake.numa, 0);
	return 0;
}

json_t *fake_guest(void)
{
	json_t *guest = json_pack(
	    "{s:s, s:i, s:s, s:i, s:s, s:{s:I, s:i}, s:[{s:i, s:I, s:{s:I, s:I}}]}", "name", "vm1",
	    "pid", 4711, "state", "running", "fake_nodes", 2, "migration", "on", "page_bytes", "2M",
	    (json_int_t)(768 << 20), "4K", 0, "vnodes", "id", 0, "bytes", (json_int_t)(1 << 30),
	    "resident", "0", (json_int_t)(512 << 20), "1", (json_int_t)(256 << 20));

	json_object_set_new(guest, "regions", json_array());
	json_object_set_new(guest, "pool", json_pack("{s:i, s:i}", "0", 16 << 20, "3", 0));
	json_object_set_new(guest, "quarantine", json_object());
	json_object_set_new(guest, "sleepers", json_integer(0));
	json_object_set_new(guest, "faults", json_integer(384));
	json_object_set_new(guest, "blackout_ns",
			    json_pack("{s:o, s:o}", "read", fake_percentiles(1000), "write",
				      fake_percentiles(100000)));
	json_object_set_new(guest, "stall_ns", fake_percentiles(50000));
	json_object_set_new(guest, "jobs", json_pack("[o]", fake_job("completed", 1 << 30, 0)));
	json_object_set_new(guest, "probe",
			    json_pack("{s:i, s:i, s:o}", "sweeps", 12, "errors", 0, "gap_ns",
				      fake_percentiles(2000)));
	return guest;
}

static int fake_residency(void *opaque, const json_t *arguments, json_t **result,
			  struct gmig_error *err)
{
	(void)opaque;
	fake_log(json_is_true(json_object_get(arguments, "fresh")) ? "fresh" : "residency");
	if (fake.refuse_residency)
		return gmig_fail(err, -fake.refuse_residency, "0 KiB of memory are left");
	*result = fake_guest();
	json_object_update(*result, fake.more);
	return 0;
}

static int fake_check(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result =
	    json_pack("{s:b, s:[], s:i, s:i, s:i, s:i, s:i, s:i}", "ok", !fake.breach, "breaches",
		      "checked_pages", 1000, "corrected_pages", 3, "mapped_bytes", 1 << 30,
		      "pool_bytes", 16 << 20, "in_flight_bytes", 0, "quarantine_bytes", 0);
	if (fake.breach)
		json_array_append_new(
		    json_object_get(*result, "breaches"),
		    json_pack("{s:s, s:s}", "invariant", "I3", "detail", "thread 7 sleeps"));
	return 0;
}

static const struct control_argument repair_arguments[] = {{"id", CONTROL_STRING, false}, {0}};

static int fake_repair(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	const char *id = json_string_value(json_object_get(arguments, "id"));
	char line[32];

	(void)opaque;
	snprintf(line, sizeof(line), "repair:%.16s", id ? id : "new");
	fake_log(line);
	*result = json_incref(json_array_get(fake.repairs, 0));
	if (json_array_size(fake.repairs) > 1)
		json_array_remove(fake.repairs, 0);
	return *result ? 0 : gmig_fail(err, -EOPNOTSUPP, "migration is off");
}

static int fake_done(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)err;
	fake_log("done");
	return 0;
}

static int fake_pin(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	fake_log("pin-vcpu");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	if (fake.refuse)
		return gmig_fail(err, -fake.refuse, "node 9 is not there; online: 0-1");
	*result = json_deep_copy(fake.cpus);
	return 0;
}

static int fake_retire(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	(void)opaque;
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	if (fake.refuse)
		return gmig_fail(err, -fake.refuse, "page 0x7000: it lies in no frame");
	*result = json_deep_copy(fake.retired);
	return 0;
}

static int fake_balloon(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	(void)opaque;
	(void)result;
	fake_log("balloon");
	json_decref(fake.arguments);
	fake.arguments = json_deep_copy(arguments);
	if (fake.refuse)
		return gmig_fail(err, -fake.refuse, "the guest has no balloon");
	return 0;
}

static int fake_query_balloon(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	if (!fake.balloon)
		return gmig_fail(err, -ENODEV, "the guest has no balloon");
	*result = json_deep_copy(json_array_get(fake.balloon, 0));
	if (json_array_size(fake.balloon) > 1)
		json_array_remove(fake.balloon, 0);
	return 0;
}

#define FAKE_ID .name = "id", .type = CONTROL_STRING, .required = true

static const struct control_argument fake_fresh_arguments[] = {
    {.name = "fresh", .type = CONTROL_BOOL}, {0}};
static const struct control_argument fake_id_arguments[] = {{FAKE_ID}, {0}};

static const struct control_argument fake_rate_arguments[] = {
    {FAKE_ID},
    {.name = "rate", .type = CONTROL_INTEGER, .required = true},
    {0},
};

static const struct control_argument fake_migrate_arguments[] = {
    {.name = "from", .type = CONTROL_ARRAY, .required = true},
    {.name = "to", .type = CONTROL_ARRAY, .required = true},
    {.name = "vnode", .type = CONTROL_INTEGER},
    {.name = "mode", .type = CONTROL_STRING},
    {.name = "lazy", .type = CONTROL_STRING},
    {.name = "lazy-to", .type = CONTROL_STRING},
    {.name = "deadline", .type = CONTROL_INTEGER},
    {.name = "mover", .type = CONTROL_STRING},
    {.name = "rate", .type = CONTROL_INTEGER},
    {.name = "max-bytes", .type = CONTROL_INTEGER},
    {.name = "max-stall", .type = CONTROL_INTEGER},
    {.name = "max-slowdown", .type = CONTROL_INTEGER},
    {.name = "order", .type = CONTROL_STRING},
    {.name = "order-seed", .type = CONTROL_INTEGER},
    {.name = "threads", .type = CONTROL_INTEGER},
    {.name = "batch", .type = CONTROL_INTEGER},
    {.name = "hold-vcpus", .type = CONTROL_BOOL},
    {.name = "move-all", .type = CONTROL_BOOL},
    {.name = "frames", .type = CONTROL_STRING},
    {.name = "huge", .type = CONTROL_STRING},
    {.name = "swapped", .type = CONTROL_STRING},
    {.name = "vcpus", .type = CONTROL_STRING},
    {.name = "trace", .type = CONTROL_BOOL},
    {0},
};

static const struct control_argument fake_trace_arguments[] = {
    {FAKE_ID}, {.name = "first", .type = CONTROL_INTEGER}, {0}};

static const struct control_argument fake_retry_arguments[] = {
    {.name = "id", .type = CONTROL_STRING, .required = true},
    {.name = "rate", .type = CONTROL_INTEGER},
    {.name = "mode", .type = CONTROL_STRING},
    {0},
};

static const struct control_argument fake_pin_arguments[] = {
    {.name = "vcpu", .type = CONTROL_INTEGER}, {.name = "node", .type = CONTROL_INTEGER},
    {.name = "cpus", .type = CONTROL_STRING},  {.name = "any", .type = CONTROL_BOOL},
    {.name = "auto", .type = CONTROL_BOOL},    {0}};

static const struct control_argument fake_bind_arguments[] = {
    {.name = "gpa", .type = CONTROL_INTEGER, .required = true},
    {.name = "bytes", .type = CONTROL_INTEGER, .required = true},
    {.name = "policy", .type = CONTROL_STRING, .required = true},
    {.name = "nodes", .type = CONTROL_ARRAY},
    {.name = "weights", .type = CONTROL_ARRAY},
    {.name = "home-node", .type = CONTROL_INTEGER},
    {.name = "static", .type = CONTROL_BOOL},
    {.name = "relative", .type = CONTROL_BOOL},
    {.name = "strict", .type = CONTROL_BOOL},
    {.name = "move", .type = CONTROL_BOOL},
    {.name = "move-all", .type = CONTROL_BOOL},
    {.name = "mode", .type = CONTROL_STRING},
    {.name = "rate", .type = CONTROL_INTEGER},
    {.name = "max-slowdown", .type = CONTROL_INTEGER},
    {.name = "order", .type = CONTROL_STRING},
    {.name = "threads", .type = CONTROL_INTEGER},
    {0},
};

static const struct control_argument fake_balloon_arguments[] = {
    {.name = "value", .type = CONTROL_INTEGER, .required = true}, {0}};

static const struct control_argument fake_fix_arguments[] = {
    {.name = "gpa", .type = CONTROL_INTEGER, .required = true},
    {.name = "bytes", .type = CONTROL_INTEGER, .required = true},
    {.name = "fixed", .type = CONTROL_BOOL, .required = true},
    {0}};

static const struct control_argument fake_maps_arguments[] = {
    {.name = "gpa", .type = CONTROL_INTEGER}, {.name = "step", .type = CONTROL_INTEGER}, {0}};

static const struct control_argument fake_retire_arguments[] = {
    {.name = "gpa", .type = CONTROL_INTEGER, .required = true},
    {.name = "keep", .type = CONTROL_BOOL},
    {0}};

static const struct control_argument fake_sample_arguments[] = {
    {.name = "on", .type = CONTROL_BOOL, .required = true},
    {.name = "rate", .type = CONTROL_INTEGER},
    {.name = "max-slowdown", .type = CONTROL_INTEGER},
    {0}};

static const struct control_argument fake_report_arguments[] = {
    {.name = "blocks", .type = CONTROL_ARRAY, .required = true}, {0}};

static const struct control_command fake_commands[] = {
    {.name = "query-status", .run = fake_status},
    {.name = "query-numa", .run = fake_numa},
    {.name = "query-residency", .arguments = fake_fresh_arguments, .run = fake_residency},
    {.name = "query-jobs", .run = fake_query_jobs},
    {.name = "migrate-pages", .arguments = fake_migrate_arguments, .run = fake_migrate},
    {.name = "job-retry", .arguments = fake_retry_arguments, .run = fake_migrate},
    {.name = "bind-memory", .arguments = fake_bind_arguments, .run = fake_bind},
    {.name = "fix-memory", .arguments = fake_fix_arguments, .run = fake_fix},
    {.name = "query-maps", .arguments = fake_maps_arguments, .run = fake_maps},
    {.name = "query-job-trace", .arguments = fake_trace_arguments, .run = fake_maps},
    {.name = "query-heat", .arguments = fake_maps_arguments, .run = fake_maps},
    {.name = "report-heat", .arguments = fake_report_arguments, .run = fake_report},
    {.name = "sample-memory", .arguments = fake_sample_arguments, .run = fake_sample},
    {.name = "job-cancel", .arguments = fake_id_arguments, .run = fake_cancel},
    {.name = "job-pause", .arguments = fake_id_arguments, .run = fake_pause},
    {.name = "job-resume", .arguments = fake_id_arguments, .run = fake_resume},
    {.name = "job-set-rate", .arguments = fake_rate_arguments, .run = fake_set_rate},
    {.name = "balloon", .arguments = fake_balloon_arguments, .run = fake_balloon},
    {.name = "query-balloon", .run = fake_query_balloon},
    {.name = "pin-vcpu", .arguments = fake_pin_arguments, .run = fake_pin},
    {.name = "check-invariants", .run = fake_check},
    {"repair-table", repair_arguments, fake_repair},
    {.name = "retire-page", .arguments = fake_retire_arguments, .run = fake_retire},
    {.name = "stop", .run = fake_done},
    {.name = "cont", .run = fake_done},
    {.name = "powerdown", .run = fake_done},
    {.name = "quit", .run = fake_done},
    {0},
};

/* ---- Running gmig ---------------------------------------------------------------------------- */

char out_text[16384], err_text[16384];

static void fake_read_back(int fd, char *text)
{
	ssize_t got = pread(fd, text, sizeof(out_text) - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	close(fd);
}

int gmig(const char *first, ...)
{
	char *argv[48] = {(char *)"gmig"};
	int argc = 1, status, out, err, saved[2];
	const char *next = first;
	va_list args;

	va_start(args, first);
	for (; next && argc < 47; next = va_arg(args, const char *))
		argv[argc++] = (char *)next;
	va_end(args);
	fflush(NULL);
	saved[0] = dup(STDOUT_FILENO);
	saved[1] = dup(STDERR_FILENO);
	out = memfd_create("out", MFD_CLOEXEC);
	err = memfd_create("err", MFD_CLOEXEC);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	status = cli_main(argc, argv);
	fflush(NULL);
	dup2(saved[0], STDOUT_FILENO);
	dup2(saved[1], STDERR_FILENO);
	close(saved[0]);
	close(saved[1]);
	fake_read_back(out, out_text);
	fake_read_back(err, err_text);
	return status;
}

json_t *out_json(void)
{
	char *line = out_text;
	json_t *json;

	ck_assert_int_gt(strlen(out_text), 0);
	ck_assert_int_eq(out_text[strlen(out_text) - 1], '\n');
	for (char *end = strchr(line, '\n'); end && end[1]; end = strchr(line, '\n'))
		line = end + 1;
	json = json_loads(line, 0, NULL);
	ck_assert_msg(json != NULL, "no JSON: %s", out_text);
	return json;
}

void fake_setup(void)
{
	struct control_server_options options = {
	    .path = fake.socket, .name = "vm1", .commands = fake_commands};
	struct gmig_error err = {0};

	memset(&fake, 0, sizeof(fake));
	cli_limits.grace_ms = 0;
	cli_limits.list_ms = 60000; /* it answers, however busy the machine is */
	strcpy(fake.directory, "/tmp/gmig-test-cli-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake.directory));
	setenv("XDG_RUNTIME_DIR", fake.directory, 1);
	setenv("GMIGD_SOCKET", "/tmp/gmig-test-not-there/gmigd.sock", 1);
	snprintf(fake.socket, sizeof(fake.socket), "%s/gmig/vm1.sock", fake.directory);
	ck_assert_msg(!control_server_create(&options, &fake.server, &err), "%s", err.text);
	fake.tell = true;
	fake.job = fake_job("running", 1 << 29, 1 << 29);
}

void fake_teardown(void)
{
	char directory[96];

	control_server_destroy(fake.server);
	json_decref(fake.job);
	json_decref(fake.last);
	json_decref(fake.cpus);
	json_decref(fake.retired);
	json_decref(fake.maps);
	json_decref(fake.balloon);
	json_decref(fake.repairs);
	json_decref(fake.arguments);
	json_decref(fake.ports);
	json_decref(fake.more);
	json_decref(fake.numa);
	snprintf(directory, sizeof(directory), "%s/gmig", fake.directory);
	rmdir(directory);
	rmdir(fake.directory);
}

TCase *fake_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, fake_setup, fake_teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

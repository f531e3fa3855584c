#include "commands.h"
#include "probe.h"

#include "../control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int no_memory(struct gmig_error *err)
{
	return gmig_fail(err, -ENOMEM, "no memory for the answer");
}

/* ---- Queries --------------------------------------------------------------------------------- */

#define QUERY(name, report)                                                                        \
	static int name(void *opaque, const json_t *arguments, json_t **result,                    \
			struct gmig_error *err)                                                    \
	{                                                                                          \
		(void)arguments;                                                                   \
		*result = report(opaque);                                                          \
		return *result ? 0 : no_memory(err);                                               \
	}
QUERY(query_status, report_status)
QUERY(query_numa, report_numa)
QUERY(query_residency, report_residency)
QUERY(query_jobs, report_jobs)
QUERY(query_histograms, report_histograms)

static int check_invariants(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	struct vmm *vmm = opaque;
	struct gmig_check check = {0};
	int ret;

	(void)arguments;
	ret = gmig_check(vmm->gmig, &check, err);
	if (ret)
		return ret;
	*result = report_check(&check);
	return *result ? 0 : no_memory(err);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static int read_nodes(const json_t *arguments, const char *name, uint16_t *nodes,
		      unsigned int *count, struct gmig_error *err)
{
	const json_t *list = json_object_get(arguments, name), *item;
	size_t i;

	if (json_array_size(list) > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%s: more than %u nodes", name, GMIG_MAX_NODES);
	json_array_foreach (list, i, item) {
		json_int_t node = json_integer_value(item);

		if (!json_is_integer(item))
			return gmig_fail(err, -EINVAL, "%s: item %zu is not a number", name, i);
		if (node < 0 || node >= (json_int_t)GMIG_MAX_NODES)
			return gmig_fail(err, -EINVAL, "%s: node %lld is not within 0 to %u", name,
					 (long long)node, GMIG_MAX_NODES - 1);
		nodes[i] = (uint16_t)node;
	}
	*count = (unsigned int)json_array_size(list);
	return 0;
}

static int word_index(const json_t *arguments, const char *name, const char *const *words,
		      struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(arguments, name));

	if (!text)
		return 0;
	for (int i = 0; words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	return gmig_fail(err, -EINVAL, "%s: unknown word '%s'", name, text);
}

/* An integer argument that may be missing: 0 then. */
static int read_integer(const json_t *arguments, const char *name, uint64_t max, uint64_t *value,
			struct gmig_error *err)
{
	const json_t *item = json_object_get(arguments, name);
	json_int_t number = json_integer_value(item);

	if (item && (number < 0 || (uint64_t)number > max))
		return gmig_fail(err, -EINVAL, "%s: %lld is not within 0 to %llu", name,
				 (long long)number, (unsigned long long)max);
	*value = (uint64_t)number;
	return 0;
}

static int read_vnodes(struct vmm *vmm, const json_t *arguments, uint64_t *vnodes,
		       struct gmig_error *err)
{
	uint64_t vnode = 0;
	int ret = read_integer(arguments, "vnode", VMM_MAX_VNODES - 1, &vnode, err);

	if (ret || !json_object_get(arguments, "vnode"))
		return ret;
	if (vnode >= vmm->options.node_count)
		return gmig_fail(err, -EINVAL, "vnode: there is no vnode %u", (unsigned int)vnode);
	*vnodes = 1ull << vnode;
	return 0;
}

static int read_spec(struct vmm *vmm, const json_t *arguments, struct gmig_job_spec *spec,
		     struct gmig_error *err)
{
	int mode =
	    word_index(arguments, "mode", (const char *const[]){"readable", "block", NULL}, err);
	int frames = word_index(arguments, "frames",
				(const char *const[]){"auto", "fresh", "recycled", NULL}, err);
	int mover = word_index(arguments, "mover", (const char *const[]){"uffd", NULL}, err);
	uint64_t threads = 0, batch = 0;
	int ret;

	if (mode < 0 || frames < 0 || mover < 0)
		return -EINVAL;
	spec->mode = mode ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	spec->frames = (enum gmig_frames)frames;
	ret = read_nodes(arguments, "from", spec->from, &spec->from_count, err);
	if (!ret)
		ret = read_nodes(arguments, "to", spec->to, &spec->to_count, err);
	if (!ret)
		ret = read_vnodes(vmm, arguments, &spec->vnodes, err);
	if (!ret)
		ret = read_integer(arguments, "rate", INT64_MAX, &spec->rate_bytes_per_second, err);
	if (!ret)
		ret = read_integer(arguments, "threads", GMIG_MAX_WORKERS, &threads, err);
	if (!ret)
		ret = read_integer(arguments, "batch", GMIG_BLOCK_PAGES, &batch, err);
	spec->threads = (unsigned int)threads;
	spec->batch_pages = (unsigned int)batch;
	spec->trace = json_is_true(json_object_get(arguments, "trace"));
	return ret;
}

static int answer_with_job(struct gmig_job *job, json_t **result, struct gmig_error *err)
{
	struct gmig_job_info info;

	gmig_job_info(job, &info);
	gmig_job_put(job);
	*result = report_job(&info);
	return *result ? 0 : no_memory(err);
}

static int migrate_pages(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	struct vmm *vmm = opaque;
	struct gmig_job_spec spec = {0};
	struct gmig_job *job = NULL;
	int ret = read_spec(vmm, arguments, &spec, err);

	if (ret)
		return ret;
	/* Under the lock, so that a machine that shuts down finds every job when it cancels them.
	 */
	pthread_mutex_lock(&vmm->state_lock);
	if (vmm->state == VMM_STATE_SHUTDOWN)
		ret = gmig_fail(err, -ESHUTDOWN, "the guest is shut down");
	else
		ret = gmig_job_start(vmm->gmig, &spec, &job, err);
	pthread_mutex_unlock(&vmm->state_lock);
	return ret ? ret : answer_with_job(job, result, err);
}

static int find_job(struct vmm *vmm, const json_t *arguments, struct gmig_job **job,
		    struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(arguments, "id"));
	char *end;
	unsigned long long id;

	errno = 0;
	id = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno)
		return gmig_fail(err, -EINVAL, "id: '%s' is not the id of a job", text);
	*job = gmig_job_find(vmm->gmig, id);
	return *job ? 0 : gmig_fail(err, -ESRCH, "there is no job %llu", id);
}

/* pause, resume, cancel: one shape. */
static int change_job(struct vmm *vmm, const json_t *arguments, int (*change)(struct gmig_job *),
		      json_t **result, struct gmig_error *err)
{
	struct gmig_job_info info;
	struct gmig_job *job = NULL;
	int ret = find_job(vmm, arguments, &job, err);

	if (ret)
		return ret;
	ret = change(job);
	if (!ret)
		return answer_with_job(job, result, err);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	return gmig_fail(err, ret, "job %llu is %s", (unsigned long long)info.id,
			 gmig_job_state_name(info.state));
}

static int job_pause(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_pause, result, err);
}

static int job_resume(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_resume, result, err);
}

static int job_cancel(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	return change_job(opaque, arguments, gmig_job_cancel, result, err);
}

#define TRACE_MAX 2048 /* records in one answer, some 400 KB */

static int query_job_trace(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err)
{
	struct gmig_trace_record *records;
	struct gmig_job *job = NULL;
	uint64_t first = 0;
	size_t total;
	int ret = read_integer(arguments, "first", INT64_MAX, &first, err);

	if (!ret)
		ret = find_job(opaque, arguments, &job, err);
	if (ret)
		return ret;
	records = calloc(TRACE_MAX, sizeof(*records));
	total = records ? gmig_job_trace(job, first, records, TRACE_MAX) : 0;
	gmig_job_put(job);
	if (records)
		*result = report_trace(records, first, total, TRACE_MAX);
	free(records);
	return *result ? 0 : no_memory(err);
}

static int job_set_rate(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	struct gmig_job *job = NULL;
	uint64_t rate = 0;
	int ret = read_integer(arguments, "rate", INT64_MAX, &rate, err);

	if (!ret)
		ret = find_job(opaque, arguments, &job, err);
	if (ret)
		return ret;
	ret = gmig_job_set_rate(job, rate);
	if (!ret)
		return answer_with_job(job, result, err);
	gmig_job_put(job);
	return gmig_fail(err, ret, "the job has ended");
}

/* ---- Machine --------------------------------------------------------------------------------- */

static int stop(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	int ret = vmm_stop(opaque, err);

	(void)arguments;
	(void)result;
	if (!ret)
		commands_event(opaque, "STOP", NULL);
	return ret;
}

static int cont(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	int ret = vmm_cont(opaque, err);

	(void)arguments;
	(void)result;
	if (!ret)
		commands_event(opaque, "RESUME", NULL);
	return ret;
}

static int reset(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	struct vmm *vmm = opaque;

	(void)arguments;
	(void)result;
	(void)err;
	atomic_store(&vmm->reset_asked, true);
	vmm_end(vmm, VMM_END_REBOOT, "asked for over the control socket");
	return 0;
}

static int quit(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)arguments;
	(void)result;
	(void)err;
	vmm_end(opaque, VMM_END_QUIT, "asked for over the control socket");
	return 0;
}

/* ---- Probe guest ----------------------------------------------------------------------------- */

static int need_probe(const struct vmm *vmm, struct gmig_error *err)
{
	return vmm->probe ? 0 : gmig_fail(err, -EOPNOTSUPP, "this VM does not run the probe guest");
}

static int set_load(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	const char *text = json_string_value(json_object_get(arguments, "load"));
	struct vmm *vmm = opaque;
	enum vmm_load load;
	int ret = need_probe(vmm, err);

	(void)result;
	if (!ret)
		ret = vmm_load_parse("load", text, &load, err);
	if (!ret)
		probe_set_load(vmm->probe, load);
	return ret;
}

static int reset_gaps(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct vmm *vmm = opaque;
	int ret = need_probe(vmm, err);

	(void)arguments;
	(void)result;
	if (!ret)
		probe_reset_gaps(vmm->probe);
	return ret;
}

/* ---- Table ----------------------------------------------------------------------------------- */

static const struct control_argument migrate_arguments[] = {
    {"from", CONTROL_ARRAY, true},
    {"to", CONTROL_ARRAY, true},
    {"vnode", CONTROL_INTEGER, false},
    {"mode", CONTROL_STRING, false},
    {"mover", CONTROL_STRING, false},
    {"rate", CONTROL_INTEGER, false},
    {"threads", CONTROL_INTEGER, false},
    {"batch", CONTROL_INTEGER, false},
    {"frames", CONTROL_STRING, false},
    {"trace", CONTROL_BOOL, false},
    {0},
};
static const struct control_argument job_arguments[] = {{"id", CONTROL_STRING, true}, {0}};
static const struct control_argument trace_arguments[] = {
    {"id", CONTROL_STRING, true}, {"first", CONTROL_INTEGER, false}, {0}};
static const struct control_argument rate_arguments[] = {
    {"id", CONTROL_STRING, true}, {"rate", CONTROL_INTEGER, true}, {0}};
static const struct control_argument load_arguments[] = {{"load", CONTROL_STRING, true}, {0}};

static const struct control_command commands[] = {
    {"query-status", NULL, query_status},
    {"query-numa", NULL, query_numa},
    {"query-residency", NULL, query_residency},
    {"query-jobs", NULL, query_jobs},
    {"query-histograms", NULL, query_histograms},
    {"query-job-trace", trace_arguments, query_job_trace},
    {"check-invariants", NULL, check_invariants},
    {"migrate-pages", migrate_arguments, migrate_pages},
    {"job-pause", job_arguments, job_pause},
    {"job-resume", job_arguments, job_resume},
    {"job-cancel", job_arguments, job_cancel},
    {"job-set-rate", rate_arguments, job_set_rate},
    {"stop", NULL, stop},
    {"cont", NULL, cont},
    {"reset", NULL, reset},
    {"quit", NULL, quit},
    {"probe-set-load", load_arguments, set_load},
    {"probe-reset-gaps", NULL, reset_gaps},
    {0},
};

/* ---- Server and events ----------------------------------------------------------------------- */

int commands_check_name(const char *name, struct gmig_error *err)
{
	struct control_client *client;
	char path[4096];
	int ret = control_socket_path(name, path, sizeof(path), err);

	if (ret || control_connect(path, 1000, &client, NULL))
		return ret;
	control_client_destroy(client);
	return gmig_fail(err, -EADDRINUSE, "--name: a VM named '%s' is running: %s", name, path);
}

int commands_start(struct vmm *vmm, struct gmig_error *err)
{
	char path[4096];
	struct control_server_options options = {
	    .path = path, .name = vmm->options.name, .commands = commands, .opaque = vmm};
	struct control_server *server;
	int ret = control_socket_path(vmm->options.name, path, sizeof(path), err);

	if (!ret)
		ret = control_server_create(&options, &server, err);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&vmm->control_lock);
	vmm->control = server;
	pthread_rwlock_unlock(&vmm->control_lock);
	return 0;
}

void commands_stop(struct vmm *vmm)
{
	struct control_server *server;

	pthread_rwlock_wrlock(&vmm->control_lock);
	server = vmm->control;
	vmm->control = NULL;
	pthread_rwlock_unlock(&vmm->control_lock);
	control_server_destroy(server);
}

void commands_event(struct vmm *vmm, const char *name, json_t *data)
{
	pthread_rwlock_rdlock(&vmm->control_lock);
	if (vmm->control)
		control_server_event(vmm->control, name, data);
	else
		json_decref(data);
	pthread_rwlock_unlock(&vmm->control_lock);
}

/* The engine does not say whether the state changed or only the progress: remember the last state
 * of each job. */
static bool state_is_new(struct vmm *vmm, const struct gmig_job_info *info)
{
	_Atomic uint64_t *last = &vmm->job_state[info->id % VMM_JOB_STATES];
	uint64_t now = info->id << 8 | info->state;

	return atomic_exchange(last, now) != now;
}

void vmm_job_event(void *opaque, const struct gmig_job_info *info)
{
	struct vmm *vmm = opaque;
	const char *name = state_is_new(vmm, info) ? "JOB_STATUS_CHANGE" : "JOB_PROGRESS";

	commands_event(vmm, name, json_pack("{s:o}", "job", report_job(info)));
}

static bool any_job_lives(struct vmm *vmm, bool cancel)
{
	uint64_t ids[256];
	size_t count = gmig_job_list(vmm->gmig, ids, 256);
	bool lives = false;

	for (size_t i = 0; i < count && i < 256; i++) {
		struct gmig_job *job = gmig_job_find(vmm->gmig, ids[i]);
		struct gmig_job_info info;

		if (!job)
			continue;
		if (cancel)
			gmig_job_cancel(job);
		gmig_job_info(job, &info);
		lives |= info.state < GMIG_JOB_COMPLETED;
		gmig_job_put(job);
	}
	return lives;
}

int vmm_jobs_end(struct vmm *vmm, int timeout_ms, struct gmig_error *err)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	any_job_lives(vmm, true);
	for (int waited = 0; any_job_lives(vmm, false); waited += 5) {
		if (waited >= timeout_ms)
			return gmig_fail(err, -ETIMEDOUT, "a job does not end within %d ms",
					 timeout_ms);
		nanosleep(&pause, NULL);
	}
	return 0;
}

#include "commands.h"
#include "../migrate/core/room.h"
#include "../migrate/core/sys.h"
#include "../migrate/gmig_policy.h"
#include "balloon.h"
#include "memory.h"
#include "probe.h"
#include "threads.h"
#include "undo.h"

#include <errno.h>
#include <string.h>

/* ---- For the commands over libgmig ----------------------------------------------------------- */

/* There is one. */
static int get_guest(void *opaque, const json_t *arguments, struct guest *guest,
		     struct gmig_error *err)
{
	struct vmm *vmm = opaque;
	int ret = guest_check_name(arguments, vmm->options.name, err);

	if (ret)
		return ret;
	gmig_refresh_topology(vmm->gmig, NULL); /* else the last look has to do */
	*guest = (struct guest){
	    .name = vmm->options.name,
	    .gmig = vmm->gmig,
	    .topology = gmig_get_topology(vmm->gmig),
	    .vnode_count = vmm->options.node_count,
	    .opaque = vmm,
	};
	placement_look(&vmm->placement, guest->topology);
	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++)
		guest->vnode_bytes[vnode] = vmm->options.node[vnode].mem_bytes;
	return 0;
}

static void put_guest(struct guest *guest)
{
	gmig_topology_put(guest->topology);
}

/*
 * Before whatever may start a job. 0: the state's lock is held, so that a machine that shuts down finds every job when it
 * cancels them. -ESHUTDOWN: it is not held.
 */
static int begin_start(struct vmm *vmm, struct gmig_error *err)
{
	pthread_mutex_lock(&vmm->state_lock);
	if (vmm->state != VMM_STATE_SHUTDOWN)
		return 0;
	pthread_mutex_unlock(&vmm->state_lock);
	return gmig_fail(err, -ESHUTDOWN, "the guest is shut down");
}

static int start_job(const struct guest *guest, const struct gmig_job_spec *spec,
		     struct gmig_job **job, struct gmig_error *err)
{
	struct vmm *vmm = guest->opaque;
	int ret = begin_start(vmm, err);

	if (ret)
		return ret;
	ret = gmig_job_start(vmm->gmig, spec, job, err);
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

static int start_move(const struct guest *guest, const struct gmig_move *move,
		      const struct gmig_job_spec *limits, struct gmig_job **job,
		      struct gmig_error *err)
{
	struct vmm *vmm = guest->opaque;
	int ret = begin_start(vmm, err);

	if (ret)
		return ret;
	ret = gmig_move_start(vmm->gmig, move, limits, job, err);
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

static int retry_job(const struct guest *guest, struct gmig_job *old,
		     const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err)
{
	struct vmm *vmm = guest->opaque;
	int ret = begin_start(vmm, err);

	if (ret)
		return ret;
	ret = gmig_job_retry(old, spec, job, err);
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

static int bind_memory(const struct guest *guest, const struct gmig_bind_spec *spec,
		       struct gmig_job **job, struct gmig_error *err)
{
	struct vmm *vmm = guest->opaque;
	int ret = begin_start(vmm, err);

	if (ret)
		return ret;
	ret = gmig_bind(vmm->gmig, spec, job, err);
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

static const struct guest_ops guest_ops = {.get = get_guest,
					   .put = put_guest,
					   .describe = report_describe,
					   .start_job = start_job,
					   .start_move = start_move,
					   .bind = bind_memory,
					   .retry = retry_job};

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

static int powerdown(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	int ret = vmm_press_power_button(opaque, err);

	(void)arguments;
	(void)result;
	if (!ret)
		commands_event(opaque, "POWERDOWN", NULL);
	return ret;
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

static const struct control_argument load_arguments[] = {{"load", CONTROL_STRING, true}, {0}};

static const struct control_command commands[] = {
    {"stop", NULL, stop},
    {"cont", NULL, cont},
    {"reset", NULL, reset},
    {"powerdown", NULL, powerdown},
    {"quit", NULL, quit},
    {"probe-set-load", load_arguments, set_load},
    {"probe-reset-gaps", NULL, reset_gaps},
    {"query-cpus", NULL, commands_query_cpus},
    {"balloon", commands_balloon_arguments, commands_balloon},
    {"query-balloon", NULL, commands_query_balloon},
    {"pin-vcpu", commands_pin_arguments, commands_pin_vcpu},
    {0},
};

/* ---- Server and events ----------------------------------------------------------------------- */

static int name_lock = -1;	     /* main thread, but for its last use in commands_stop */
static int name_undo = UNDO_NOTHING; /* of its file */

/* The file beside the socket, for a process that dies of a signal. */
static int undo_name(const char *name)
{
	char path[4096];

	if (control_socket_path(name, path, sizeof(path), NULL))
		return UNDO_NOTHING;
	strcpy(path + strlen(path) - strlen(".sock"), ".lock");
	return undo_file(path);
}

int commands_take_name(const char *name, struct gmig_error *err)
{
	int fd = control_lock_name(name, err);

	name_lock = fd;
	if (fd >= 0)
		name_undo = undo_name(name);
	return fd < 0 ? fd : 0;
}

void commands_give_name_back(const char *name)
{
	control_unlock_name(name, name_lock);
	undo_forget(name_undo);
	name_lock = -1;
	name_undo = UNDO_NOTHING;
}

static void balloon_changed(struct vmm *vmm, uint64_t guest_bytes)
{
	commands_event(vmm, "BALLOON_CHANGE",
		       json_pack("{s:I}", "actual", (json_int_t)guest_bytes));
}

/*
 * A command takes memory for its answer, and where the cgroup has none the kernel kills the guest for it. All are refused then but
 * those that take little and may make room. `gmig top`, of a guest of 64 MiB, took between 200 and 300 KiB.
 */
#define COMMAND_BYTES (384ull << 10)

static int admit(void *opaque, const char *command, struct gmig_error *err)
{
	static const char *const always[] = {
	    "qmp_capabilities", "query-status", "stop",	  "cont", "powerdown", "quit",
	    "job-cancel",	"job-pause",	"balloon"};
	struct room room;

	(void)opaque;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (!strcmp(command, always[i]))
			return 0;
	gmig_sys_real.room(&room);
	return room_check(&room, command, COMMAND_BYTES, err);
}

int commands_start(struct vmm *vmm, struct gmig_error *err)
{
	char path[4096];
	struct control_server_options options = {
	    .path = path,
	    .name = vmm->options.name,
	    .commands = commands,
	    .opaque = vmm,
	    .begins = vmm_control_begins,
	    .admit = admit,
	    .more = {guest_commands, &vmm->guest_server},
	};
	struct control_server *server;
	int ret;

	json_object_seed(0); /* from a file that a sandbox hides */
	vmm->guest_server = (struct guest_server){&guest_ops, vmm};
	ret = control_socket_path(vmm->options.name, path, sizeof(path), err);

	if (!ret)
		ret = control_server_create(&options, &server, err);
	if (ret)
		return ret;
	vmm->control_undo = undo_file(path);
	pthread_rwlock_wrlock(&vmm->control_lock);
	vmm->control = server;
	pthread_rwlock_unlock(&vmm->control_lock);
	vmm_balloon_listen(vmm->devices, balloon_changed);
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
	if (server)
		undo_forget(vmm->control_undo);
	commands_give_name_back(vmm->options.name);
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

static void follow_job(struct vmm *vmm, const struct gmig_job_info *info)
{
	struct vmm_followed followed[VMM_MAX_VNODES];
	unsigned int count = vmm_follow_job(vmm, info, followed);

	for (unsigned int i = 0; i < count; i++) {
		const struct vmm_followed *one = &followed[i];

		vmm_log(GMIG_LOG_INFO, "vnode=%u node=%u vcpus follow=%u stay=%u", one->vnode,
			one->node, one->placed, one->stay);
		commands_event(vmm, "VCPUS_FOLLOWED",
			       json_pack("{s:i, s:i, s:i, s:i}", "vnode", (int)one->vnode, "node",
					 (int)one->node, "placed", (int)one->placed, "stay",
					 (int)one->stay));
	}
}

static void job_event(void *opaque, const struct gmig_job_info *info)
{
	struct vmm *vmm = opaque;
	json_t *data;
	const char *name;

	/* Before clients hear of its end: then they find the vCPUs where they are to be. */
	if (info->state == GMIG_JOB_COMPLETED)
		follow_job(vmm, info);
	name = guest_job_event(&vmm->job_states, info, &data);

	commands_event(vmm, name, data);
}

static void memory_event(void *opaque, uint64_t gpa)
{
	commands_event(opaque, "MEMORY_BROKEN", json_pack("{s:I}", "gpa", (json_int_t)gpa));
}

const struct vmm_memory_events commands_memory_events = {.job = job_event, .broke = memory_event};

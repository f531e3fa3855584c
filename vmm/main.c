/*
 * gmig-vmm: start-up as a straight list, then wait for the end. Everything that can be refused is
 * refused before the first thread starts.
 */
#include "../control/finish.h"
#include "../control/standard_fds.h"
#include "../migrate/gmig_heat.h"
#include "boot.h"
#include "broken.h"
#include "commands.h"
#include "confine.h"
#include "crash.h"
#include "daemon.h"
#include "device.h"
#include "end.h"
#include "kvm.h"
#include "log.h"
#include "machine.h"
#include "memory.h"
#include "probe.h"
#include "run.h"
#include "sandbox.h"
#include "undo.h"
#include "vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_END_MS 1000 /* how long the last lines may take to be written */

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_TRIPLE_FAULT = 3,
	EXIT_KVM = 4,
	EXIT_MEMORY = 5
};

static int refuse(const struct gmig_error *err)
{
	log_say(err->text);
	return EXIT_FAILED;
}

static int create_memory(struct vmm *vmm, struct gmig_error *err)
{
	return vmm_memory_create(vmm, &commands_memory_events, err);
}

static int start_signals = -1; /* main thread, and those that fill memory for it */

/* Memory takes as long as there is much of it: signals are heard meanwhile. */
static bool is_ended(void *opaque)
{
	struct vmm *vmm = opaque;

	run_read_signal(vmm, start_signals);
	return atomic_load(&vmm->end) == VMM_END_SIGNAL;
}

static int fill_memory(struct vmm *vmm, struct gmig_error *err)
{
	return vmm_memory_prealloc(vmm, is_ended, err);
}

static int create_loop(struct vmm *vmm, struct gmig_error *err)
{
	vmm->loop.owner = vmm;
	return vmm_loop_create(&vmm->loop, err);
}

static int create_guest(struct vmm *vmm, struct gmig_error *err)
{
	if (vmm->options.kernel)
		return vmm_devices_create(vmm, &vmm->options, &vmm->devices, err);
	return probe_create(vmm, &vmm->probe, err);
}

/* Nothing is opened from here on, but for what sandbox.h names. */
static int enter_sandbox(struct vmm *vmm, struct gmig_error *err)
{
	(void)vmm;
	return sandbox_enter(SANDBOX_ENGINE, err);
}

/* Once it runs: memory that nobody could touch yet is not cold. Without it the guest runs as well. */
static int start_sampling(struct vmm *vmm, struct gmig_error *err)
{
	const struct gmig_sampling how = {.blocks_per_second = vmm->options.sample_rate};
	struct gmig_error why;

	(void)err;
	if (vmm->options.sample && gmig_sampling_start(vmm->gmig, &how, &why))
		vmm_log(GMIG_LOG_WARNING, "--sample: %s", why.text);
	return 0;
}

/*
 * The order matters; the headers say what must come before what. Signals are looked at between the
 * steps. -EINTR: one has come, and is the machine's end.
 */
static int start(struct vmm *vmm, int signals, struct gmig_error *err)
{
	static int (*const steps[])(struct vmm *, struct gmig_error *) = {
	    create_memory, vmm_kvm_create, vmm_memory_plug, fill_memory,     vmm_vcpus_create,
	    create_loop,   create_guest,   vmm_guest_load,  vmm_vcpus_start, commands_start,
	    enter_sandbox, vmm_cont,	   start_sampling,
	};
	int ret = 0;

	start_signals = signals;
	vmm_vcpus_handle_sigbus();
	broken_listen(vmm->end_fd);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !ret; i++) {
		run_read_signal(vmm, signals);
		if (atomic_load(&vmm->end) == VMM_END_SIGNAL)
			return gmig_fail(err, -EINTR, "a signal ended it during its start");
		ret = steps[i](vmm, err);
	}
	return ret;
}

static int exit_status(enum vmm_end why)
{
	switch (why) {
	case VMM_END_TRIPLE_FAULT:
		return EXIT_TRIPLE_FAULT;
	case VMM_END_KVM_ERROR:
		return EXIT_KVM;
	case VMM_END_MEMORY_LOST:
		return EXIT_MEMORY;
	default:
		return EXIT_OK;
	}
}

/*
 * Jobs end first, while faults are still answered, and then the vCPUs. If one of them does not end,
 * what a thread in the kernel may still use is left to the end of the process.
 */
static int take_down(struct vmm *vmm, struct gmig_error *err)
{
	int ret = vmm->gmig ? guest_jobs_end(vmm->gmig, VMM_JOBS_END_MS, err) : 0;

	return ret ? ret : vmm_vcpus_join(vmm, VMM_PARK_MS, err);
}

/* Something still uses the machine: the kernel cleans up the rest. */
static void leave(int status)
{
	undo_all();
	fflush(NULL);
	log_flush(LOG_END_MS);
	_exit(status);
}

static int run(struct vmm *vmm, int signals)
{
	struct gmig_error err;
	char text[GMIG_ERROR_TEXT];
	enum vmm_end why;
	int status;

	why = run_until_end(vmm, signals, text, sizeof(text));
	status = exit_status(why);
	vmm_shut_down(vmm);
	vmm_log(status ? GMIG_LOG_ERROR : GMIG_LOG_INFO, "shutdown reason=%s text=\"%s\"",
		vmm_end_name(why), text);
	run_leave_on_signal(signals, leave, status ? status : EXIT_FAILED);
	if (take_down(vmm, &err)) {
		vmm_log(GMIG_LOG_ERROR, "%s", err.text);
		status = status ? status : EXIT_FAILED;
		commands_event(vmm, "SHUTDOWN",
			       json_pack("{s:s, s:s}", "reason", vmm_end_name(why), "text", text));
		commands_stop(vmm);
		leave(status);
	}
	commands_event(vmm, "SHUTDOWN",
		       json_pack("{s:s, s:s}", "reason", vmm_end_name(why), "text", text));
	commands_stop(vmm);
	crash_watch(NULL);
	vmm_destroy(vmm);
	return status;
}

static int choose_files(const struct vmm_options *options, struct gmig_error *err)
{
	char control[4096];
	int abi = 0, ret = control_socket_path(options->name, control, sizeof(control), err);

	if (!ret)
		ret = sandbox_choose_files(options, control, &abi, err);
	if (!ret && !options->no_sandbox && !abi)
		vmm_log(GMIG_LOG_INFO, "sandbox files=open reason=\"this kernel has no Landlock\"");
	return ret;
}

/* Everything that can be refused before anything starts. */
static int check(struct vmm_options *options, const struct gmig_topology *topology,
		 struct gmig_error *err)
{
	int ret = vmm_options_check_host(options, topology, err);

	if (!ret && options->kernel)
		ret = vmm_boot_keep(options, err);
	if (!ret && options->kernel)
		ret = vmm_boot_check(options, err);
	return ret ? ret : choose_files(options, err);
}

static int run_vm(struct vmm_options *options, int signals)
{
	struct gmig_topology *topology;
	struct gmig_error err = {0};
	struct vmm *vmm = NULL;
	int ret;

	/* First, so that clients know of us from here on. */
	if (commands_take_name(options->name, &err) ||
	    gmig_topology_create(options->fake_nodes, &topology, &err))
		return refuse(&err);
	vmm_options_place(options, topology, &err);
	if (*err.text)
		vmm_log(GMIG_LOG_WARNING, "%s", err.text);
	if (check(options, topology, &err) || vmm_create(options, &vmm, &err)) {
		gmig_topology_put(topology);
		return refuse(&err);
	}
	vmm->topology = topology;
	crash_watch(vmm);
	ret = start(vmm, signals, &err);
	if (ret == -EINTR && atomic_load(&vmm->end) == VMM_END_SIGNAL)
		return run(vmm, signals);
	if (ret) {
		refuse(&err);
		commands_stop(vmm);
		if (vmm_vcpus_join(vmm, VMM_PARK_MS, NULL))
			leave(EXIT_FAILED);
		crash_watch(NULL);
		vmm_destroy(vmm);
		return EXIT_FAILED;
	}
	vmm_daemon_ready();
	return run(vmm, signals);
}

/* The log's thread has its own sandbox. So this comes first, and is told afterwards: stderr may be full. */
static void start_sandbox_and_log(struct vmm_options *options)
{
	const char *why;
	bool refused = !options->no_sandbox && !sandbox_turn_on(&why);

	options->no_sandbox |= refused;
	log_start();
	if (refused)
		vmm_log(GMIG_LOG_INFO, "sandbox off reason=\"%s\"", why);
}

int main(int argc, char **argv)
{
	struct vmm_options options;
	struct gmig_error err = {0};
	int signals, status;

	if (standard_fds_fill())
		return EXIT_FAILED;
	if (vmm_options_parse(argc, argv, &options, &err)) {
		refuse(&err);
		fputs("gmig-vmm --help lists the options\n", stderr);
		return EXIT_USAGE;
	}
	if (options.help || options.version) {
		fputs(options.help ? vmm_options_help() : "gmig-vmm " GMIG_VERSION "\n", stdout);
		return finish_stdout("gmig-vmm", EXIT_OK);
	}
	status = options.daemonize ? vmm_daemonize() : -1;
	if (status >= 0)
		return status;
	if (vmm_confine(&err))
		return refuse(&err);
	undo_report_crash_by(crash_report);
	undo_on_fatal_signals();
	signals = run_open_signals();
	start_sandbox_and_log(&options);
	status = run_vm(&options, signals);
	commands_give_name_back(options.name);
	log_flush(LOG_END_MS);
	return status;
}

/*
 * gmig-vmm: start-up as a straight list, then wait for the end. Everything that can be refused is
 * refused before the first thread starts.
 */
#include "../control/finish.h"
#include "boot.h"
#include "commands.h"
#include "daemon.h"
#include "device.h"
#include "end.h"
#include "kvm.h"
#include "machine.h"
#include "memory.h"
#include "probe.h"
#include "vcpu.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

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
	fprintf(stderr, "gmig-vmm: %s\n", err->text);
	return EXIT_FAILED;
}

/* Signals that end the guest arrive on a descriptor. This comes before the first thread, so that
 * all threads inherit the mask. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int create_guest(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	if (vmm->options.kernel)
		ret = vmm_devices_create(vmm, &vmm->options, &vmm->devices, err);
	else
		ret = probe_create(vmm, &vmm->probe, err);
	return ret ? ret : vmm_guest_load(vmm, err);
}

/* The order matters; the headers say what must come before what. */
static int start(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	vmm_vcpus_handle_sigbus();
	ret = vmm_memory_create(vmm, vmm_job_event, err);
	if (!ret)
		ret = vmm_kvm_create(vmm, err);
	if (!ret)
		ret = vmm_memory_plug(vmm, err);
	if (!ret)
		ret = vmm_vcpus_create(vmm, err);
	if (!ret)
		ret = vmm_loop_create(&vmm->loop, err);
	if (!ret)
		ret = create_guest(vmm, err);
	if (!ret)
		ret = vmm_vcpus_start(vmm, err);
	if (!ret)
		ret = commands_start(vmm, err);
	if (!ret)
		ret = vmm_cont(vmm, err);
	return ret;
}

static void read_signal(struct vmm *vmm, int signals)
{
	struct signalfd_siginfo info;
	char text[64];

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	snprintf(text, sizeof(text), "signal %s", sigabbrev_np((int)info.ssi_signo));
	vmm_end(vmm, VMM_END_SIGNAL, text);
}

/* Until something final happens. */
static enum vmm_end wait_for_end(struct vmm *vmm, int signals, char *text, size_t bytes)
{
	struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
			       {.fd = vmm->end_fd, .events = POLLIN}};
	struct gmig_error err;
	enum vmm_end why;
	eventfd_t wakes;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return VMM_END_KVM_ERROR;
		read_signal(vmm, signals);
		eventfd_read(vmm->end_fd, &wakes);
		why = vmm_ended(vmm, text, bytes);
		if (why == VMM_END_NONE)
			continue;
		if (why != VMM_END_REBOOT ||
		    (vmm->options.no_reboot && !atomic_load(&vmm->reset_asked)))
			return why;
		vmm_log(GMIG_LOG_INFO, "reset reason=\"%s\"", text);
		if (vmm_reset(vmm, &err)) {
			snprintf(text, bytes, "cannot reset: %.200s", err.text);
			return VMM_END_KVM_ERROR;
		}
		commands_event(vmm, "RESET", NULL);
	}
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
	int ret = guest_jobs_end(vmm->gmig, VMM_JOBS_END_MS, err);

	return ret ? ret : vmm_vcpus_join(vmm, VMM_PARK_MS, err);
}

static int run(struct vmm *vmm, int signals)
{
	struct gmig_error err;
	char text[GMIG_ERROR_TEXT];
	enum vmm_end why;
	int status;

	why = wait_for_end(vmm, signals, text, sizeof(text));
	status = exit_status(why);
	vmm_shut_down(vmm);
	vmm_log(status ? GMIG_LOG_ERROR : GMIG_LOG_INFO, "shutdown reason=%s text=\"%s\"",
		vmm_end_name(why), text);
	if (take_down(vmm, &err)) {
		vmm_log(GMIG_LOG_ERROR, "%s", err.text);
		status = status ? status : EXIT_FAILED;
		commands_event(vmm, "SHUTDOWN",
			       json_pack("{s:s, s:s}", "reason", vmm_end_name(why), "text", text));
		commands_stop(vmm);
		fflush(NULL);
		_exit(status);
	}
	commands_event(vmm, "SHUTDOWN",
		       json_pack("{s:s, s:s}", "reason", vmm_end_name(why), "text", text));
	commands_stop(vmm);
	vmm_destroy(vmm);
	return status;
}

/* Everything that can be refused before anything starts. */
static int check(const struct vmm_options *options, const struct gmig_topology *topology,
		 struct gmig_error *err)
{
	int ret = vmm_options_check_host(options, topology, err);

	if (!ret && options->kernel)
		ret = vmm_boot_check(options, err);
	return ret;
}

static int run_vm(struct vmm_options *options, int signals)
{
	struct gmig_topology *topology;
	struct gmig_error err = {0};
	struct vmm *vmm = NULL;

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
	if (start(vmm, &err)) {
		commands_stop(vmm);
		vmm_vcpus_join(vmm, VMM_PARK_MS, NULL);
		vmm_destroy(vmm);
		return refuse(&err);
	}
	vmm_daemon_ready();
	return run(vmm, signals);
}

int main(int argc, char **argv)
{
	struct vmm_options options;
	struct gmig_error err = {0};
	int status;

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
	status = run_vm(&options, open_signals());
	commands_give_name_back(options.name);
	return status;
}

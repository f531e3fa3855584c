/* See run.h. */
#include "run.h"
#include "../migrate/gmig_retire.h"
#include "broken.h"
#include "commands.h"
#include "end.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

int run_open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* These and no others: a mask is inherited from whoever starts us, and a vCPU that cannot be kicked does not stop. */
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(), EFBIG */
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void end_by_signal(struct vmm *vmm, const struct signalfd_siginfo *info)
{
	char text[64];

	snprintf(text, sizeof(text), "signal %s", sigabbrev_np((int)info->ssi_signo));
	vmm_end(vmm, VMM_END_SIGNAL, text);
}

void run_read_signal(struct vmm *vmm, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) == sizeof(info))
		end_by_signal(vmm, &info);
}

struct hurry {
	int signals, status;
	void (*leave)(int status);
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *wait_for_signal(void *opaque)
{
	const struct hurry *hurry = opaque;
	struct pollfd pfd = {.fd = hurry->signals, .events = POLLIN};
	struct signalfd_siginfo info;
	int64_t until = now_ms() + RUN_SAME_SIGNAL_MS;

	/* timeout(1) and shells signal the process and its group: that is one wish. */
	while (read(hurry->signals, &info, sizeof(info)) != sizeof(info) || now_ms() < until)
		poll(&pfd, 1, -1);
	vmm_log(GMIG_LOG_WARNING, "shutdown signal=%s reason=\"again: the end does not wait\"",
		sigabbrev_np((int)info.ssi_signo));
	hurry->leave(hurry->status);
	return NULL;
}

void run_leave_on_signal(int signals, void (*leave)(int status), int status)
{
	static struct hurry hurry;
	pthread_t thread;

	hurry = (struct hurry){signals, status, leave};
	/* Without the thread the end takes as long as it takes. */
	if (!pthread_create(&thread, NULL, wait_for_signal, &hurry))
		pthread_detach(thread);
}

/*
 * -ETIMEDOUT: to be tried again. *waits: it was tried before, and the log says so.
 */
static int reset(struct vmm *vmm, const char *reason, bool *waits, struct gmig_error *err)
{
	int ret;

	if (!*waits && atomic_load(&vmm->reset_asked))
		vmm_log(GMIG_LOG_INFO, "reset reason=\"%s\"", reason);
	else if (!*waits)
		vmm_log_guest(GMIG_LOG_INFO, "reset reason=\"%s\"", reason);
	ret = vmm_reset(vmm, err);
	if (ret == -ETIMEDOUT && !*waits)
		vmm_log(GMIG_LOG_WARNING, "reset waits: %s", err->text);
	else if (!ret && *waits)
		vmm_log(GMIG_LOG_INFO, "reset goes on");
	*waits = ret == -ETIMEDOUT;
	if (!ret)
		commands_event(vmm, "RESET", NULL);
	return ret;
}

/* A device asked for a stop. */
static void stop_if_asked(struct vmm *vmm)
{
	char reason[GMIG_ERROR_TEXT];

	if (!vmm_stop_asked(vmm, reason) || !vmm_stop_for(vmm, reason))
		return;
	vmm_log_guest(GMIG_LOG_ERROR, "stop reason=\"%s\"; `gmig cont` goes on", reason);
	commands_event(vmm, "STOP", json_pack("{s:s}", "reason", reason));
}

/* Memory broke. Nobody is hurt who does not read it; the engine moves what is around, and tells clients. */
static void tell_broken(struct vmm *vmm)
{
	uintptr_t hva;
	uint64_t gpa;

	while (broken_take(&hva))
		if (gmig_memory_broke(vmm->gmig, (void *)hva, &gpa) == -EFAULT)
			vmm_log(GMIG_LOG_ERROR,
				"event=memory-broken hva=0x%llx: no memory of the guest's",
				(unsigned long long)hva);
}

/* A guest that was told to power down. */
struct farewell {
	int64_t asked_ms, until_ms; /* until_ms 0: nobody told it */
};

static bool ask_to_power_down(struct vmm *vmm, struct farewell *farewell)
{
	struct gmig_error err;
	int64_t now = now_ms();

	if (farewell->until_ms)
		return now < farewell->asked_ms + RUN_SAME_SIGNAL_MS; /* it was, just now */
	if (!vmm->options.grace_s)
		return false;
	if (vmm_press_power_button(vmm, &err)) {
		vmm_log(GMIG_LOG_INFO, "%s: its end does not wait", err.text);
		return false;
	}
	vmm_log(GMIG_LOG_INFO, "powerdown signal=TERM grace_s=%u", vmm->options.grace_s);
	commands_event(vmm, "POWERDOWN", NULL);
	*farewell = (struct farewell){now, now + vmm->options.grace_s * 1000ll};
	return true;
}

/* SIGTERM is a request to the guest first; the others, and a second one, pull the plug. */
static void heed_signal(struct vmm *vmm, int signals, struct farewell *farewell)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM && ask_to_power_down(vmm, farewell))
		return;
	end_by_signal(vmm, &info);
}

/* How long poll() may wait: -1, for ever. The guest's time may be over. */
static int until_plug(struct vmm *vmm, const struct farewell *farewell)
{
	char text[64];
	int64_t left_ms;

	if (!farewell->until_ms)
		return -1;
	left_ms = farewell->until_ms - now_ms();
	if (left_ms > 0)
		return (int)left_ms;
	snprintf(text, sizeof(text), "signal TERM; not powered down in %u s", vmm->options.grace_s);
	vmm_end(vmm, VMM_END_SIGNAL, text);
	return 0;
}

enum vmm_end run_until_end(struct vmm *vmm, int signals, char *text, size_t bytes)
{
	struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
			       {.fd = vmm->end_fd, .events = POLLIN}};
	struct farewell farewell = {0};
	struct gmig_error err;
	enum vmm_end why;
	eventfd_t wakes;
	bool reset_waits = false;
	int ret, wait_ms;

	for (;;) {
		wait_ms = until_plug(vmm, &farewell);
		/* A reset that waits does so in vmm_reset(). */
		if (poll(fds, 2, reset_waits ? 0 : wait_ms) < 0 && errno != EINTR) {
			snprintf(text, bytes, "poll: %s", strerror(errno));
			return VMM_END_KVM_ERROR;
		}
		heed_signal(vmm, signals, &farewell);
		eventfd_read(vmm->end_fd, &wakes);
		tell_broken(vmm);
		why = vmm_ended(vmm, text, bytes);
		if (why == VMM_END_NONE) {
			stop_if_asked(vmm);
			continue;
		}
		if (why != VMM_END_REBOOT ||
		    (vmm->options.no_reboot && !atomic_load(&vmm->reset_asked)))
			return why;
		ret = reset(vmm, text, &reset_waits, &err);
		if (ret && ret != -ETIMEDOUT) {
			snprintf(text, bytes, "cannot reset: %.200s", err.text);
			return VMM_END_KVM_ERROR;
		}
	}
}

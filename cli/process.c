#include "process.h"

#include "../control/guest.h"
#include "cli.h"
#include "units.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WATCH_POLL_MS 500 /* without an event of the job for so long, ask */

static int real_topology(struct gmig_topology **out, struct gmig_error *err)
{
	return gmig_topology_create(0, out, err);
}

struct cli_process_host cli_process_host = {.topology = real_topology};

bool cli_is_process(const char *word)
{
	return !strncmp(word, "pid:", 4);
}

/* ---- Signals --------------------------------------------------------------------------------- */

/* What the handlers found; and the eventfd that wakes the loop, for the job's thread, too. */
static atomic_bool cancel_wanted, stop_wanted;
static atomic_int pause_wanted; /* 1 pause, -1 resume, 0 neither */
static atomic_int wake_fd = -1;

static void wake(void)
{
	const uint64_t one = 1;
	int fd = atomic_load(&wake_fd);

	/* Full says the same as one more. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

static void on_signal(int number)
{
	int saved = errno;

	if (number == SIGUSR1)
		atomic_store(&pause_wanted, 1);
	else if (number == SIGUSR2)
		atomic_store(&pause_wanted, -1);
	else if (number == SIGTSTP)
		atomic_store(&stop_wanted, true);
	else
		atomic_store(&cancel_wanted, true);
	if (number == SIGINT)
		cli_note_interrupt(true);
	wake();
	errno = saved;
}

static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* A shell starts background jobs of a script with SIGINT ignored; it stays so. */
static void catch_signals(struct sigaction before[SIGNALS])
{
	for (size_t i = 0; i < SIGNALS; i++) {
		bool once = signals[i] == SIGINT || signals[i] == SIGTERM;
		const struct sigaction action = {.sa_handler = on_signal,
						 .sa_flags = once ? (int)SA_RESETHAND : SA_RESTART};

		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

static void release_signals(const struct sigaction before[SIGNALS])
{
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
}

/* As the terminal means it: this program stands still until it is continued, and the job with it. */
static void stand_still(struct gmig_job *job)
{
	const struct sigaction usual = {.sa_handler = SIG_DFL};
	bool paused_here = !gmig_job_pause(job);
	struct sigaction ours;

	cli_progress_clear();
	sigaction(SIGTSTP, &usual, &ours);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &ours, NULL);
	if (paused_here)
		gmig_job_resume(job);
}

static void obey(struct gmig_job *job)
{
	int pause = atomic_exchange(&pause_wanted, 0);

	if (atomic_exchange(&cancel_wanted, false))
		gmig_job_cancel(job);
	if (pause > 0)
		gmig_job_pause(job);
	else if (pause < 0)
		gmig_job_resume(job);
	if (atomic_exchange(&stop_wanted, false))
		stand_still(job);
}

/* ---- The job --------------------------------------------------------------------------------- */

static void on_job_event(void *opaque, const struct gmig_job_info *info)
{
	(void)opaque, (void)info;
	wake();
}

static void show(const struct gmig_job_info *info)
{
	CLI_JSON picture = NULL;

	if (!cli_progress_is_on())
		return;
	picture = guest_report_job(info);
	cli_progress_show(picture);
}

/* Until the job has ended; *info is its last picture. */
static void watch(struct gmig_job *job, struct gmig_job_info *info)
{
	struct pollfd wake_up = {.fd = atomic_load(&wake_fd), .events = POLLIN};
	uint64_t count;

	for (gmig_job_info(job, info); info->state < GMIG_JOB_COMPLETED; gmig_job_info(job, info)) {
		show(info);
		if (poll(&wake_up, 1, WATCH_POLL_MS) == 1 &&
		    read(wake_up.fd, &count, sizeof(count)) < 0)
			continue; /* another one took it */
		obey(job);
	}
	cli_progress_clear();
}

static int ask_job(void *arg, const struct gmig_pages *pages, struct gmig_error *err)
{
	int ret = gmig_job_pages(arg, pages->count, pages->gpas, pages->status);

	return ret ? gmig_fail(err, ret, "cannot ask where the pages are: %s", gmig_errno_name(ret))
		   : 0;
}

static int ask_process(void *arg, const struct gmig_pages *pages, struct gmig_error *err)
{
	return (int)gmig_process_move_pages(arg, pages, err);
}

/* While the job is there to be asked about its pages. */
static int report(const struct cli_process_request *request, int pid, struct gmig_job *running,
		  const struct gmig_job_info *info)
{
	CLI_JSON job = guest_report_job(info);
	struct gmig_error err = {0};

	if (request->json) {
		CLI_JSON result = cli_job_result(job);

		json_object_set_new(result, "pid", json_integer(pid));
		if (!request->pages)
			cli_print_json(result);
		else if (page_ranges_report(request->pages, result, ask_job, running, &err))
			cli_complain("%s", err.text);
	} else {
		cli_job_summary(stdout, job);
	}
	return (int)cli_job_exit(job);
}

static int read_spec(const json_t *arguments, struct gmig_topology *topology,
		     struct gmig_job_spec *spec, struct gmig_error *err)
{
	const struct guest none = {.topology = topology};

	return guest_read_spec(&none, arguments, spec, err);
}

static int start(const struct cli_process_request *request, struct gmig_process *process,
		 const struct gmig_job_spec *spec, struct gmig_job **job, struct gmig_error *err)
{
	struct gmig_move move = {.flags = request->private_only ? GMIG_MOVE : GMIG_MOVE_ALL};

	if (!request->pages)
		return gmig_process_job_start(process, spec, job, err);
	move.ranges = request->pages->range;
	move.count = request->pages->count;
	return gmig_process_move_start(process, &move, spec, job, err);
}

/* Before the job moves anything the signals are caught: one that ends it must not keep what was done from being told. */
static int run_job(const struct cli_process_request *request, struct gmig_process *process, int pid,
		   const struct gmig_job_spec *spec)
{
	struct sigaction before[SIGNALS];
	struct gmig_error err = {0};
	struct gmig_job_info info;
	struct gmig_job *job;
	int ret;

	catch_signals(before);
	ret = start(request, process, spec, &job, &err);
	if (!ret)
		watch(job, &info);
	release_signals(before);
	if (ret)
		return cli_fail(request->json, &err);
	ret = report(request, pid, job, &info);
	gmig_job_put(job);
	return ret;
}

static int query(const struct cli_process_request *request, struct gmig_process *process, int pid)
{
	CLI_JSON result = request->json ? json_pack("{s:i}", "pid", pid) : NULL;
	struct gmig_error err = {0};

	if (page_ranges_report(request->pages, result, ask_process, process, &err))
		return cli_fail(false, &err);
	return CLI_OK;
}

static int run(const struct cli_process_request *request, struct gmig_topology *topology, int pid,
	       struct gmig_error *err)
{
	const struct gmig_process_options options = {.pid = pid,
						     .topology = topology,
						     .private_only = request->private_only,
						     .job_event = on_job_event,
						     .sys = cli_process_host.sys};
	struct gmig_job_spec spec = {0};
	struct gmig_process *process = NULL;
	int ret = read_spec(request->arguments, topology, &spec, err);

	if (!ret)
		ret = gmig_process_open(&options, &process, err);
	if (ret)
		return cli_fail(request->json, err);
	ret = request->query ? query(request, process, pid) : run_job(request, process, pid, &spec);
	gmig_process_close(process);
	return ret;
}

static int parse_pid(const char *command, const char *target, int *pid)
{
	struct gmig_error err = {0};
	uint64_t number;

	if (units_parse_count(target + 4, INT_MAX, &number, &err) || !number)
		return cli_usage(command, "'%s' is no process: pid: and its number, as in pid:1234",
				 target);
	*pid = (int)number;
	return -1;
}

/* Options of guests alone. */
static int check_options(const char *command, const json_t *arguments)
{
	static const char *const of_guests[] = {"vnode",      "mode", "frames", "batch",
						"hold-vcpus", "huge", "swapped"};

	for (size_t i = 0; i < sizeof(of_guests) / sizeof(of_guests[0]); i++)
		if (json_object_get(arguments, of_guests[i]))
			return cli_usage(command, "--%s is for guests, not for processes",
					 of_guests[i]);
	return -1;
}

int cli_process_migrate(const struct cli_process_request *request)
{
	struct gmig_topology *topology = NULL;
	struct gmig_error err = {0};
	int pid = 0, fd, status = parse_pid(request->command, request->target, &pid);

	if (status < 0)
		status = check_options(request->command, request->arguments);
	if (status >= 0)
		return status;
	if (cli_process_host.topology(&topology, &err))
		return cli_fail(request->json, &err);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_store(&wake_fd, fd);
	atomic_store(&cancel_wanted, false);
	atomic_store(&stop_wanted, false);
	atomic_store(&pause_wanted, 0);
	status = run(request, topology, pid, &err);
	atomic_store(&wake_fd, -1);
	if (fd >= 0)
		close(fd);
	gmig_topology_put(topology);
	return status;
}

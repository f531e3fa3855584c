#include "daemon.h"
#include "../migrate/core/shortage.h"
#include "../migrate/core/wake.h"
#include "daemon_conf.h"
#include "daemon_log.h"
#include "domains.h"
#include "hook_socket.h"
#include "keeping.h"
#include "move_journal.h"
#include "rights.h"
#include "serve.h"
#include "state_file.h"
#include "virt_pin.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define RESCAN_MS   10000
#define COALESCE_MS 50 /* a domain that starts has several events */
#define RETRY_NS    100000000
#define SHORTAGE_MS 1000  /* want of a thread or of memory passes soon */
#define FINISH_MS   10000 /* --finish: to connect, and again to tell */

struct daemon {
	const struct daemon_options *options;
	int lock_fd, wake_fd, signal_fd, hook_fd;
	struct domain_host host;
	struct virt *virt;
	struct domains *domains;
	/* Jobs may tell of themselves before it is there and after it has gone. */
	pthread_rwlock_t serve_lock;
	struct serve *serve;	  /* guarded by serve_lock */
	struct keeping *keeping;  /* guarded by serve_lock: libvirt may tell of changes, too */
	struct gmigd_conf *fresh; /* read since the start; NULL: options->conf holds */
	uid_t users[QEMU_UIDS - 1];
	unsigned int user_count;
	gid_t group;	  /* of the socket, with options->group */
	bool list_failed; /* said already */
};

/* ---- Told by the parts ----------------------------------------------------------------------- */

static void log_line(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque;
	daemon_log(level, line);
}

static void changed(void *opaque)
{
	const struct daemon *daemon = opaque;

	wake_by(daemon->wake_fd);
}

static void job_event(void *opaque, struct domain *domain, const struct gmig_job_info *info)
{
	struct daemon *daemon = opaque;

	pthread_rwlock_rdlock(&daemon->serve_lock);
	serve_job_event(daemon->serve, domain, info);
	keeping_job_event(daemon->keeping, info);
	pthread_rwlock_unlock(&daemon->serve_lock);
}

static void domain_changed(void *opaque, const char *uuid)
{
	struct daemon *daemon = opaque;

	pthread_rwlock_rdlock(&daemon->serve_lock);
	keeping_domain_changed(daemon->keeping, uuid);
	pthread_rwlock_unlock(&daemon->serve_lock);
}

static int read_xml(void *opaque, const char *uuid, char **xml, struct gmig_error *err)
{
	const struct daemon *daemon = opaque;

	return virt_domain_xml(daemon->virt, uuid, xml, err);
}

static int set_nodeset(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
		       struct gmig_error *err)
{
	const struct daemon *daemon = opaque;

	return daemon->virt ? virt_set_nodeset(daemon->virt, uuid, nodes, err)
			    : gmig_fail(err, -ENOTCONN, "there is no connection to libvirt");
}

static int get_pins(void *opaque, const char *uuid, struct pin_set **set, struct gmig_error *err)
{
	const struct daemon *daemon = opaque;

	return daemon->virt ? virt_get_pins(daemon->virt, uuid, set, err)
			    : gmig_fail(err, -ENOTCONN, "there is no connection to libvirt");
}

static int set_pin(void *opaque, const char *uuid, int domain, const struct pin *pin,
		   const struct pin_cpus *cpus, struct gmig_error *err)
{
	const struct daemon *daemon = opaque;

	return daemon->virt ? virt_set_pin(daemon->virt, uuid, domain, pin, cpus, err)
			    : gmig_fail(err, -ENOTCONN, "there is no connection to libvirt");
}

static bool is_connected(void *opaque)
{
	const struct daemon *daemon = opaque;

	return virt_is_connected(daemon->virt);
}

/* ---- Its place ------------------------------------------------------------------------------- */

/* Directories above the socket, that all may enter. One that is there stays as it is. */
static int make_parent(const char *path, struct gmig_error *err)
{
	char directory[PATH_MAX];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = '\0';
	if (mkdir(directory, 0711) && errno != EEXIST)
		return gmig_fail(err, -errno, "cannot make the directory '%.150s': %s", directory,
				 strerror(errno));
	return 0;
}

/* One gmigd a state directory: two would narrow each other's cpusets. The lock goes with the process. */
static int take_state(struct daemon *daemon, struct gmig_error *err)
{
	const char *directory = daemon->options->state;
	char path[PATH_MAX];
	int ret = make_parent(directory, err);

	if (!ret)
		ret = make_parent(daemon->options->socket, err);
	if (ret)
		return ret;
	if (mkdir(directory, 0700) && errno != EEXIST)
		return gmig_fail(err, -errno, "cannot make the directory '%.150s': %s", directory,
				 strerror(errno));
	snprintf(path, sizeof(path), "%s/lock", directory);
	daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (daemon->lock_fd < 0)
		return gmig_fail(err, -errno, "cannot open '%.150s': %s", path, strerror(errno));
	if (!flock(daemon->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return gmig_fail(err, -errno, "'%.150s' cannot be locked: %s", path,
				 strerror(errno));
	return gmig_fail(err, -EADDRINUSE, "another gmigd runs: '%.150s' is locked", path);
}

/*
 * The owner of a file may give it to a group that he is in: so the socket needs no right that would have to be kept. Where we may not
 * join it, we are in it or cannot serve it, which is said then.
 */
static int join_group(struct daemon *daemon, struct gmig_error *err)
{
	const struct group *group;
	gid_t groups[1024];
	int count = getgroups(1023, groups);

	errno = 0;
	group = getgrnam(daemon->options->group);
	if (!group && is_shortage(errno))
		return gmig_fail(err, -errno, "it cannot be looked up which group '%.60s' is: %s",
				 daemon->options->group, strerror(errno));
	if (!group)
		return gmig_fail(err, -EINVAL, "there is no group '%.60s'", daemon->options->group);
	daemon->group = group->gr_gid;
	if (count < 0)
		count = 0;
	groups[count++] = group->gr_gid;
	if (setgroups((size_t)count, groups) && errno != EPERM)
		return gmig_fail(err, -errno, "group '%.60s' cannot be joined: %s",
				 daemon->options->group, strerror(errno));
	return 0;
}

/* As whom libvirt runs domains where it does not say so: root, Debian's user, that of others, and ourselves. */
static int find_users(struct daemon *daemon, struct gmig_error *err)
{
	static const char *const names[] = {"libvirt-qemu", "qemu"};

	daemon->users[daemon->user_count++] = geteuid();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct passwd *user;

		errno = 0;
		user = getpwnam(names[i]);
		if (!user && is_shortage(errno))
			return gmig_fail(err, -errno, "it cannot be looked up who '%s' is: %s",
					 names[i], strerror(errno));
		if (user && daemon->user_count < QEMU_UIDS - 1)
			daemon->users[daemon->user_count++] = user->pw_uid;
	}
	return 0;
}

/* ---- Its configuration ----------------------------------------------------------------------- */

/* systemd waits for READY=1; sd_notify(3). */
static void notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)ts.tv_sec * 1000000u +
		       (unsigned long long)ts.tv_nsec / 1000);
}

/* Whole, or not at all. */
static void reload(struct daemon *daemon)
{
	const struct gmigd_conf *before = daemon->fresh ? daemon->fresh : daemon->options->conf;
	char line[2 * GMIG_ERROR_TEXT];
	struct gmigd_conf *after = NULL;
	struct gmig_error err = {0};

	notify_reloading();
	if (gmigd_conf_read(daemon->options->config, &after, &err)) {
		snprintf(line, sizeof(line), "configuration is wrong, the old one holds: %s",
			 err.text);
		daemon_log(GMIG_LOG_ERROR, line);
		sd_notifyf(0, "READY=1\nSTATUS=%s", line);
		return;
	}
	daemon_conf_compare(before, after);
	daemon_conf_warn(after);
	keeping_set_conf(daemon->keeping, after);
	gmigd_conf_destroy(daemon->fresh);
	daemon->fresh = after;
	daemon_log(GMIG_LOG_INFO, "configuration has been read again");
	sd_notify(0, "READY=1\nSTATUS=");
}

/* ---- The loop -------------------------------------------------------------------------------- */

/* systemd's watchdog is told each time that the loop comes round: half of its time at the latest. */
static int loop_ms(const struct daemon *daemon)
{
	unsigned int rescan = daemon->options->rescan_ms ? daemon->options->rescan_ms : RESCAN_MS;
	uint64_t watchdog_us = 0;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0 && watchdog_us / 2000 < rescan)
		return (int)(watchdog_us / 2000);
	return (int)rescan;
}

/* What calls of libvirt may take of a round, all together: half of the watchdog's time; where there is none, what signals can wait for. Never less than one call. */
static unsigned int round_ms(const struct daemon *daemon)
{
	uint64_t watchdog_us = 0;

	if (daemon->options->finish)
		return FINISH_MS;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		return (unsigned int)(watchdog_us / 2000);
	return daemon->options->call_ms > FINISH_MS ? daemon->options->call_ms : FINISH_MS;
}

static sigset_t ending_signals(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	return ends;
}

/* The loop hears of it when its round is over: a libvirt that takes its time for each call must not make that a long one. */
static bool is_end_pending(void)
{
	const sigset_t ends = ending_signals();
	sigset_t pending;

	sigpending(&pending);
	sigandset(&pending, &pending, &ends);
	return !sigisemptyset(&pending);
}

/* In how many ms it is wanted again at the latest. */
static int update(struct daemon *daemon)
{
	struct virt_domain *list = NULL;
	struct gmig_error err = {0};
	int retry_ms, rest_ms = loop_ms(daemon), count;
	bool failed;

	virt_begin_round(round_ms(daemon), is_end_pending);
	count = virt_list(daemon->virt, &list, &err);
	/* While libvirt cannot be asked, what was known goes on; not connected is said by the connection. At our end it is not asked any more. */
	failed = count < 0 && count != -ENOTCONN && !is_end_pending();
	if (failed && !daemon->list_failed)
		daemon_log(GMIG_LOG_WARNING, err.text);
	daemon->list_failed = failed;
	if ((count == -EAGAIN || count == -ENOMEM) && rest_ms > SHORTAGE_MS)
		rest_ms = SHORTAGE_MS;
	retry_ms = domains_update(daemon->domains, list, count < 0 ? 0 : count);
	if (count >= 0)
		virt_list_free(list, count);
	/* What is not listed now is not looked for, either. */
	return retry_ms < 0 || count < 0 || retry_ms > rest_ms ? rest_ms : retry_ms;
}

/* The kernel hands out SIGHUP first, whatever else is pending: a storm of it must not hide the order to end. */
static bool is_told_to_end(void)
{
	const struct timespec now = {0};
	const sigset_t ends = ending_signals();

	return sigtimedwait(&ends, NULL, &now) > 0;
}

/* False: it is to end. */
static bool hear_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	if (is_told_to_end())
		return false;
	if (read(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGHUP)
		return false;
	reload(daemon);
	return true;
}

/*
 * Until something is to be heard. Where the kernel cannot say what that is (no memory for poll), it is looked for everywhere a little later: to end would
 * leave moves that nobody watches, and none of the descriptors makes us wait.
 */
static void await_news(struct pollfd *fds, nfds_t count, int ms)
{
	const struct timespec pause = {.tv_nsec = RETRY_NS};

	if (poll(fds, count, ms) >= 0)
		return;
	if (errno != EINTR)
		nanosleep(&pause, NULL);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = POLLIN;
}

static void loop(struct daemon *daemon)
{
	struct pollfd fds[] = {{.fd = daemon->wake_fd, .events = POLLIN},
			       {.fd = daemon->signal_fd, .events = POLLIN},
			       {.fd = daemon->hook_fd, .events = POLLIN}};
	bool changed = true;
	uint64_t count;

	for (;;) {
		int rest_ms = update(daemon);

		if (changed || rest_ms < loop_ms(daemon))
			keeping_wake(daemon->keeping);
		changed = false;
		sd_notify(0, "WATCHDOG=1");
		await_news(fds, 3, rest_ms);
		/* Rested for half of its time at most; and a round takes no longer. */
		sd_notify(0, "WATCHDOG=1");
		if (fds[1].revents && !hear_signal(daemon))
			return;
		if (!fds[0].revents && !fds[2].revents)
			continue;
		changed = true;
		poll(&fds[1], 1, COALESCE_MS);
		hook_socket_drain(daemon->hook_fd);
		if (read(daemon->wake_fd, &count, sizeof(count)) < 0)
			continue; /* nobody else reads it */
	}
}

/* ---- Start and end --------------------------------------------------------------------------- */

static int open_fds(struct daemon *daemon, struct gmig_error *err)
{
	sigset_t signals = ending_signals();

	sigaddset(&signals, SIGHUP);
	daemon->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	daemon->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->wake_fd < 0 || daemon->signal_fd < 0)
		return gmig_fail(err, -errno, "no descriptors: %s", strerror(errno));
	return 0;
}

/* Without it events have to do. */
static void hear_hook(struct daemon *daemon)
{
	struct gmig_error err = {0};

	if (!daemon->options->hook_socket)
		return;
	daemon->hook_fd = hook_socket_open(daemon->options->hook_socket, &err);
	if (daemon->hook_fd < 0)
		daemon_log(GMIG_LOG_WARNING, err.text);
}

/*
 * For plans of all who may ask us (cli/fleet_lock.h): root and members of the group. The file stays when we end: whoever holds it holds that one. Without it
 * each user's plans exclude his own only.
 */
static void make_plans_lock(const struct daemon *daemon)
{
	const char *slash = strrchr(daemon->options->socket, '/');
	bool grouped = daemon->options->group != NULL;
	char path[PATH_MAX], line[2 * GMIG_ERROR_TEXT];
	int fd;

	if (!slash)
		return;
	snprintf(path, sizeof(path), "%.*s/" CONTROL_PLANS_LOCK,
		 (int)(slash - daemon->options->socket), daemon->options->socket);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || (grouped && fchown(fd, (uid_t)-1, daemon->group)) ||
	    fchmod(fd, grouped ? 0660 : 0600)) {
		snprintf(line, sizeof(line), "no lock for plans, '%.150s': %s", path,
			 strerror(errno));
		daemon_log(GMIG_LOG_WARNING, line);
	}
	if (fd >= 0)
		close(fd);
}

static int start_serving(struct daemon *daemon, struct gmig_error *err)
{
	struct serve_options options = {.domains = daemon->domains,
					.keeping = daemon->keeping,
					.path = daemon->options->socket,
					.has_group = daemon->options->group != NULL,
					.is_connected = is_connected,
					.log = log_line,
					.opaque = daemon};
	struct serve *serve;
	int ret;

	options.group = daemon->group;
	make_plans_lock(daemon);
	ret = serve_create(&options, &serve, err);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&daemon->serve_lock);
	daemon->serve = serve;
	pthread_rwlock_unlock(&daemon->serve_lock);
	return 0;
}

static int start_keeping(struct daemon *daemon, struct gmig_error *err)
{
	const struct keeping_options options = {.domains = daemon->domains,
						.host = &daemon->host,
						.read_xml = read_xml,
						.opaque = daemon};

	daemon_conf_warn(daemon->options->conf);
	return keeping_create(&options, daemon->options->conf, &daemon->keeping, err);
}

/* The loop waits for calls to libvirt: one that may take longer than the watchdog allows would have gmigd killed in mid-move. */
static unsigned int limit_call_ms(unsigned int ms)
{
	char line[GMIG_ERROR_TEXT];
	uint64_t watchdog_us = 0;

	if (sd_watchdog_enabled(0, &watchdog_us) <= 0 || ms <= watchdog_us / 2000)
		return ms;
	snprintf(line, sizeof(line),
		 "libvirt-timeout is %llu ms and not %u: half of what systemd's watchdog allows",
		 (unsigned long long)watchdog_us / 2000, ms);
	daemon_log(GMIG_LOG_WARNING, line);
	return (unsigned int)(watchdog_us / 2000);
}

static int start(struct daemon *daemon, struct gmig_error *err)
{
	const struct virt_options virt = {.uri = daemon->options->uri,
					  .call_ms = (int)limit_call_ms(daemon->options->call_ms),
					  .changed = changed,
					  .domain_changed = domain_changed,
					  .log = log_line,
					  .opaque = daemon};
	int ret = take_state(daemon, err);

	if (!ret)
		ret = open_fds(daemon, err);
	if (!ret && daemon->options->group && !daemon->options->finish)
		ret = join_group(daemon, err);
	/* Before any thread is started: each would keep what it has. */
	if (!ret)
		ret = rights_drop(err);
	if (!ret)
		ret = gmig_topology_create(0, &daemon->host.topology, err);
	if (!ret)
		ret = domains_create(&daemon->host, virt.uri, daemon->users, daemon->user_count,
				     &daemon->domains, err);
	if (ret || daemon->options->finish)
		return ret;
	ret = start_keeping(daemon, err);
	if (!ret)
		ret = virt_create(&virt, &daemon->virt, err);
	return ret ? ret : start_serving(daemon, err);
}

/* For --finish. Nobody waits for it beyond that: what is not told then stays on disk. */
static void await_connection(struct daemon *daemon)
{
	struct pollfd wake = {.fd = daemon->wake_fd, .events = POLLIN};
	struct timespec now;
	int64_t now_ms, until_ms = 0;
	uint64_t count;

	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
		if (!until_ms)
			until_ms = now_ms + FINISH_MS;
		if (virt_is_connected(daemon->virt) || now_ms >= until_ms ||
		    (poll(&wake, 1, (int)(until_ms - now_ms)) < 0 && errno != EINTR))
			return;
		if (read(daemon->wake_fd, &count, sizeof(count)) < 0)
			continue; /* nobody else reads it */
	}
}

static int count_files(const char *directory, const char *suffix)
{
	char(*uuids)[QEMU_UUID_TEXT];
	int count = state_file_list(directory, suffix, &uuids);

	free(uuids);
	return count;
}

/* What killed ones, and we, have narrowed and not told libvirt: its domains are taken up once more, and tell it. No move runs any more. */
static int tell_rest(struct daemon *daemon, struct gmig_error *err)
{
	const struct virt_options virt = {.uri = daemon->options->uri,
					  .call_ms = FINISH_MS,
					  .changed = changed,
					  .log = log_line,
					  .opaque = daemon};
	int ret;

	domains_destroy(daemon->domains);
	daemon->domains = NULL;
	/* What cannot be counted may be some. */
	if (!count_files(daemon->options->state, ".tell") &&
	    !count_files(daemon->options->state, ".pins"))
		return 0;
	ret = domains_create(&daemon->host, virt.uri, daemon->users, daemon->user_count,
			     &daemon->domains, err);
	if (!ret)
		ret = virt_create(&virt, &daemon->virt, err);
	if (ret)
		return ret;
	await_connection(daemon);
	update(daemon);
	return 0;
}

static void stop(struct daemon *daemon)
{
	struct keeping *keeping;
	struct serve *serve;

	virt_begin_round(0, NULL);
	virt_end_calls(daemon->virt);
	pthread_rwlock_wrlock(&daemon->serve_lock);
	serve = daemon->serve;
	keeping = daemon->keeping;
	daemon->serve = NULL;
	daemon->keeping = NULL;
	pthread_rwlock_unlock(&daemon->serve_lock);
	serve_destroy(serve);
	keeping_destroy(keeping);
	hook_socket_close(daemon->hook_fd, daemon->options->hook_socket);
	domains_destroy(daemon->domains); /* jobs are cancelled, their cpusets narrowed */
	virt_destroy(daemon->virt);
	gmig_topology_put(daemon->host.topology);
	for (int *fd = &daemon->lock_fd; fd <= &daemon->signal_fd; fd++)
		if (*fd >= 0)
			close(*fd);
	gmigd_conf_destroy(daemon->fresh);
	pthread_rwlock_destroy(&daemon->serve_lock);
}

/* What is left of moves: 0, or -EBUSY. */
static int check_moves(const char *directory, struct gmig_error *err)
{
	char(*uuids)[QEMU_UUID_TEXT];
	int count = move_journal_list(directory, &uuids);

	if (count > 0)
		gmig_fail(err, -EBUSY, "%d move%s not put right, see '%.150s'; one is of domain %s",
			  count, count > 1 ? "s are" : " is", directory, uuids[0]);
	else if (count)
		gmig_fail(err, count, "journals in '%.150s': %s", directory, strerror(-count));
	free(uuids);
	return count > 0 ? -EBUSY : count;
}

/* What is left to be put right, the worst of it: 0, or -EBUSY. */
static int check_journals(const char *directory, struct gmig_error *err)
{
	int untold = count_files(directory, ".tell"), pins = count_files(directory, ".pins");
	int aside = state_file_count_aside(directory), ret = check_moves(directory, err);

	if (ret)
		return ret;
	ret = pins < 0 ? pins : aside < 0 ? aside : untold < 0 ? untold : 0;
	if (ret)
		return gmig_fail(err, ret, "journals in '%.150s': %s", directory, strerror(-ret));
	if (pins > 0)
		return gmig_fail(err, -EBUSY,
				 "threads of %d domain%s may be pinned as for a move that has not "
				 "ended, and libvirt could not be asked to pin them: see '%.150s'",
				 pins, pins > 1 ? "s" : "", directory);
	if (aside > 0)
		return gmig_fail(err, -EBUSY, "%d journal%s cannot be understood, see '%.150s'",
				 aside, aside > 1 ? "s" : "", directory);
	if (untold > 0)
		return gmig_fail(err, -EBUSY,
				 "libvirt could not be told of %d domain%s: virsh numatune says "
				 "where memory was before its last move",
				 untold, untold > 1 ? "s" : "");
	return 0;
}

/* Nobody goes on with these: they are as the last move was to leave them, and without us nobody says so. */
static void say_kept(const char *directory)
{
	int kept = count_files(directory, ".kept");
	char line[GMIG_ERROR_TEXT];

	snprintf(line, sizeof(line),
		 "cpusets of %d domain%s keep nodes on which memory lay when the last move ended: "
		 "see the files .kept in '%.150s'",
		 kept, kept > 1 ? "s" : "", directory);
	if (kept > 0)
		daemon_log(GMIG_LOG_WARNING, line);
}

static void serve_until_signal(struct daemon *daemon)
{
	hear_hook(daemon);
	daemon_log(GMIG_LOG_INFO, "started, version=" GMIG_VERSION);
	sd_notify(0, "READY=1");
	loop(daemon);
	sd_notify(0, "STOPPING=1");
}

int daemon_run(const struct daemon_options *options, struct gmig_error *err)
{
	struct daemon daemon = {
	    .options = options, .lock_fd = -1, .wake_fd = -1, .signal_fd = -1, .hook_fd = -1};
	bool recovered = false;
	int ret;

	daemon.host = (struct domain_host){.qemu = {.root = "", .run_dir = options->run_dir},
					   .cpusets = {.root = ""},
					   .journals = options->state,
					   .job_event = job_event,
					   .set_nodeset = set_nodeset,
					   .get_pins = get_pins,
					   .set_pin = set_pin,
					   .log = log_line,
					   .opaque = &daemon};
	pthread_rwlock_init(&daemon.serve_lock, NULL);
	ret = find_users(&daemon, err);
	if (!ret)
		ret = start(&daemon, err);
	if (!ret) {
		domains_recover(daemon.domains);
		recovered = true;
		if (!options->finish)
			ret = keeping_start(daemon.keeping, err);
		if (!ret && !options->finish)
			serve_until_signal(&daemon);
		if (options->finish)
			ret = tell_rest(&daemon, err);
	}
	stop(&daemon);
	/* Another one that runs, say, has not looked at them either. */
	if (options->finish && recovered)
		say_kept(options->state);
	if (!ret && options->finish)
		ret = check_journals(options->state, err);
	return ret;
}

/* On which nodes may the threads of a process have memory? See process.h. */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY "Mems_allowed_list:"

/* "Mems_allowed_list:\t0-1" of a status file. */
static int parse_allowed(char *text, struct gmig_node_set *allowed)
{
	char *line = strstr(text, "\n" KEY), *end;

	if (!line)
		return -ENOENT; /* a kernel without cpusets: all nodes */
	line += strlen("\n" KEY);
	line += strspn(line, " \t");
	end = strchrnul(line, '\n');
	*end = '\0';
	return gmig_node_set_parse(line, allowed, NULL);
}

int process_thread_allowed(const struct process *process, pid_t tid, struct gmig_node_set *allowed)
{
	char file[40], text[8192];
	ssize_t got;
	int ret;

	snprintf(file, sizeof(file), "task/%d/status", (int)tid);
	got = process_read_text(process, file, text, sizeof(text));
	if (got < 0)
		return got == -ENOENT ? -ESRCH : (int)got;
	ret = parse_allowed(text, allowed);
	if (ret == -ENOENT) {
		memset(allowed, 0xff, sizeof(*allowed));
		ret = 0;
	}
	return ret;
}

static bool has_all(const struct gmig_node_set *set, const struct gmig_node_set *nodes)
{
	struct gmig_node_set lacks = *nodes;

	gmig_node_set_minus(&lacks, set);
	return gmig_node_set_empty(&lacks);
}

/* Another thread than the first whose cpuset has all of `nodes`; 0: none; -errno: none is found, and not all could be looked at. */
static pid_t find_thread(const struct process *process, const struct gmig_node_set *nodes)
{
	int fd = process->sys->open_proc(process->pid, "task");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct gmig_node_set allowed = {{0}};
	struct dirent *entry;
	pid_t found = 0;
	int ret = 0;

	if (!dir) {
		ret = fd < 0 ? fd : -errno;
		if (fd >= 0)
			process->sys->close(fd);
		return ret == -ENOENT ? -ESRCH : ret;
	}
	while (!found && (errno = 0, entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		int one;

		/* A main thread that has ended has a cpuset, and no memory. */
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    (tid == process->pid && tid != process->entry))
			continue;
		one = process_thread_allowed(process, tid, &allowed);
		if (!one && has_all(&allowed, nodes))
			found = tid;
		else if (one && one != -ESRCH)
			ret = one;
	}
	if (!found && errno && errno != ENOENT)
		ret = -errno;
	closedir(dir);
	return found ? found : ret;
}

/* "0::/path" of version 2, or the line of version 1 that has the controller cpuset. */
static void find_cgroup(const struct process *process, char *cgroup, size_t bytes)
{
	char text[4096], *save = NULL;
	bool found = false;

	snprintf(cgroup, bytes, "?");
	if (process_read_text(process, "cgroup", text, sizeof(text)) <= 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line && !found;
	     line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		found = strstr(controllers, "cpuset") != NULL;
		if (found || controllers[1] == '\0')
			snprintf(cgroup, bytes, "%s", path);
	}
}

static int refused(const struct process *process, const struct gmig_node_set *allowed,
		   const struct gmig_node_set *nodes, struct gmig_error *err)
{
	char may[80], lacks_text[40], cgroup[120];
	struct gmig_node_set lacks = *nodes;

	gmig_node_set_minus(&lacks, allowed);
	gmig_node_set_print(allowed, may, sizeof(may));
	gmig_node_set_print(&lacks, lacks_text, sizeof(lacks_text));
	find_cgroup(process, cgroup, sizeof(cgroup));
	return gmig_fail(err, -EACCES,
			 "process %d (%s) may have memory on nodes %s, not on %s: widen "
			 "cpuset.mems of its cgroup '%s' first",
			 (int)process->pid, process->name, may, lacks_text, cgroup);
}

int process_thread_for(const struct process *process, const struct gmig_node_set *nodes, pid_t *tid,
		       struct gmig_error *err)
{
	struct gmig_node_set allowed = {{0}};
	int ret = process_thread_allowed(process, process->entry, &allowed);
	pid_t other;

	if (ret)
		return gmig_fail(err, ret, "the status of process %d cannot be read: %s",
				 (int)process->pid, strerror(-ret));
	*tid = process->entry;
	if (has_all(&allowed, nodes))
		return 0;
	other = find_thread(process, nodes);
	*tid = other > 0 ? other : 0;
	if (other < 0)
		return gmig_fail(err, other,
				 "the cpusets of the threads of process %d cannot be read: %s",
				 (int)process->pid, strerror(-other));
	return other ? 0 : refused(process, &allowed, nodes, err);
}

#include "vcpu_watch.h"
#include "../migrate/core/shortage.h"
#include "id_list.h"
#include "qemu_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES (1u << 16)
#define MOST_VCPUS   65535

struct vcpu_ticks {
	pid_t tid;
	uint64_t ticks;
};

void vcpu_watch_free(struct vcpu_watch *watch)
{
	free(watch->time);
	free(watch->last);
	memset(watch, 0, sizeof(*watch));
}

/* Nodes of a list of CPUs, "0-3,8". */
static struct gmig_node_set nodes_of_cpus(const struct placement_host *host, const char *list)
{
	uint64_t cpus[ID_LIST_CPU_WORDS];
	struct gmig_node_set set = {{0}};

	if (id_list_parse(list, "CPUs", ID_LIST_CPUS, cpus, NULL))
		return set;
	for (size_t i = 0; i < host->node_count; i++) {
		const struct placement_cpus *own = host->nodes[i].cpus;

		for (unsigned int word = 0; own && word < PLACEMENT_CPU_WORDS; word++)
			if (own->word[word] & cpus[word])
				gmig_node_set_add(&set, host->nodes[i].id);
	}
	return set;
}

/* Of a file of /proc that could not be read: 0: it is not there, the thread has ended; else -errno. */
static int why_unread(void)
{
	return errno == ENOENT || errno == ESRCH ? 0 : -errno;
}

/* *may: none if it has just ended. */
static int read_nodes(const struct qemu_host *host, pid_t pid, pid_t tid,
		      const struct placement_host *nodes, struct gmig_node_set *may)
{
	static const char key[] = "\nCpus_allowed_list:";
	size_t bytes;
	char *text QEMU_FREED = qemu_file_read(host->root, STATUS_BYTES, &bytes,
					       "/proc/%d/task/%d/status", (int)pid, (int)tid);
	char *line = text ? strstr(text, key) : NULL;

	memset(may, 0, sizeof(*may));
	if (!text)
		return why_unread();
	if (!line)
		return 0;
	line += strlen(key);
	line += strspn(line, " \t");
	line[strcspn(line, "\n")] = '\0';
	*may = nodes_of_cpus(nodes, line);
	return 0;
}

/* utime and stime, fields 14 and 15, counted behind the name, which may have anything in it. 0 ticks: it has just ended. */
static int read_ticks(const struct qemu_host *host, pid_t pid, pid_t tid, uint64_t *ticks)
{
	unsigned long user = 0, system = 0;
	size_t bytes;
	char *text QEMU_FREED =
	    qemu_file_read(host->root, 4096, &bytes, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	const char *end = text ? strrchr(text, ')') : NULL;

	*ticks = 0;
	if (!text)
		return why_unread();
	if (end && sscanf(end, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user,
			  &system) == 2)
		*ticks = user + system;
	return 0;
}

/* In thousandths of a CPU. */
static uint32_t share_of(const struct vcpu_watch *watch, pid_t tid, uint64_t ticks, uint64_t now_ns)
{
	double seconds = (double)(now_ns - watch->last_ns) / 1e9;
	double milli;

	for (size_t i = 0; i < watch->last_count; i++) {
		if (watch->last[i].tid != tid)
			continue;
		if (ticks <= watch->last[i].ticks || seconds <= 0)
			return 0;
		milli = (double)(ticks - watch->last[i].ticks) * 1000 /
			(double)sysconf(_SC_CLK_TCK) / seconds;
		/* A thread has one CPU at most; ticks are coarse. */
		return milli > 1000 ? 1000 : (uint32_t)milli;
	}
	return 0;
}

static void take_vcpu(struct vcpu_watch *watch, struct vcpu_watch *fresh,
		      const struct gmig_node_set *nodes, pid_t tid, uint64_t ticks, uint64_t now_ns)
{
	uint32_t milli = share_of(watch, tid, ticks, now_ns);
	unsigned int count = gmig_node_set_count(nodes);

	fresh->last[fresh->last_count++] = (struct vcpu_ticks){tid, ticks};
	gmig_node_set_or(&fresh->nodes, nodes);
	gmig_node_set_each (node, nodes)
		fresh->time[fresh->time_count++] = (struct placement_time){
		    .vcpu = (uint16_t)fresh->vcpus, .node = (uint16_t)node, .milli = milli / count};
	fresh->vcpus++;
}

int vcpu_watch_read(struct vcpu_watch *watch, const struct qemu_host *host, pid_t pid,
		    const struct placement_host *nodes, uint64_t now_ns)
{
	struct qemu_thread *threads;
	struct vcpu_watch fresh = {.last_ns = now_ns};
	int count = qemu_threads_read(host, pid, &threads), ret = count < 0 ? count : 0;

	if (!ret) {
		fresh.last = calloc((size_t)count + 1, sizeof(*fresh.last));
		fresh.time = calloc(((size_t)count + 1) * nodes->node_count, sizeof(*fresh.time));
		ret = fresh.last && fresh.time ? 0 : -ENOMEM;
	}
	for (int i = 0; !ret && i < count; i++) {
		const struct qemu_thread *thread = &threads[i];
		struct gmig_node_set may;
		uint64_t ticks;

		if (thread->kind != QEMU_THREAD_VCPU || fresh.vcpus == MOST_VCPUS)
			continue;
		ret = read_nodes(host, pid, thread->tid, nodes, &may);
		if (!ret)
			ret = read_ticks(host, pid, thread->tid, &ticks);
		if (!ret && !gmig_node_set_empty(&may)) /* else it has just ended */
			take_vcpu(watch, &fresh, &may, thread->tid, ticks, now_ns);
	}
	if (count >= 0)
		free(threads);
	if (!ret && !fresh.vcpus)
		ret = -ENOENT;
	if (ret)
		vcpu_watch_free(&fresh);
	if (!is_shortage(ret))
		vcpu_watch_free(watch);
	if (!ret)
		*watch = fresh;
	return ret;
}

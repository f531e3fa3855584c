/*
 * What the guest agent reads: the first byte chooses the parser, the rest is the text. Two of them
 * (numa_maps and smaps, joined) come as files.
 */
#include "../../guestagent/conf.h"
#include "../../guestagent/maps.h"
#include "../../guestagent/nodes.h"
#include "../../guestagent/physical.h"
#include "../../guestagent/proc.h"
#include "../../guestagent/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct agent_sys calls;
static char directory[] = "/dev/shm/gmig-fuzz.XXXXXX";

/* Short ones. */
static bool knows_any(const char *name)
{
	return strlen(name) < 8;
}

static void remove_files(void)
{
	char path[128];
	static const char *const names[] = {"/1/numa_maps", "/1/smaps", "/1", ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, names[i]);
		remove(path);
	}
}

static void write_file(const char *name, const char *text, size_t bytes)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/1/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, bytes) != (ssize_t)bytes)
		abort();
	close(fd);
}

static void setup(void)
{
	char path[128];

	if (!mkdtemp(directory))
		abort();
	snprintf(path, sizeof(path), "%s/1", directory);
	mkdir(path, 0700);
	calls = agent_sys_real;
	calls.proc = directory;
	agent_sys = &calls;
	atexit(remove_files);
}

/* Up to the first NUL: numa_maps; behind it: smaps. */
static void join(const char *text, size_t bytes)
{
	const char *nul = memchr(text, '\0', bytes);
	size_t first = nul ? (size_t)(nul - text) : bytes;
	static struct agent_usage usage;

	if (!agent_sys || agent_sys == &agent_sys_real)
		setup();
	write_file("numa_maps", text, first);
	write_file("smaps", text + first, bytes - first);
	if (agent_usage_read(1, true, &usage, NULL))
		abort();
}

static void lines(char *text)
{
	static struct agent_vma vma;
	static struct agent_usage usage;
	uint64_t start, end, huge = 0;

	memset(&usage, 0, sizeof(usage));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!agent_parse_numa_line(line, &vma)) {
			if (vma.node_count > AGENT_MAX_NODES || !vma.page_bytes)
				abort();
			agent_usage_add(&usage, &vma);
		}
		agent_parse_smaps_line(line, &start, &end, &huge);
		huge += agent_parse_smaps_shared(line);
	}
}

static void process(const char *text)
{
	struct agent_process process = {0};

	agent_parse_stat(text, &process);
	agent_parse_status(text, &process);
	agent_parse_cgroup(text, &process);
	for (int i = 0; i < AGENT_HIERARCHIES; i++)
		if (strlen(process.cgroup[i]) >= sizeof(process.cgroup[i]))
			abort();
}

static void sets(const char *text)
{
	struct agent_set set, again;
	uint64_t total, spare;
	char printed[32768];

	agent_parse_meminfo(text, &total, &spare);
	if (agent_set_parse(text, AGENT_SET_MAX, &set, NULL))
		return;
	agent_set_print(&set, printed, sizeof(printed));
	if (agent_set_parse(printed, AGENT_SET_MAX, &again, NULL) ||
	    memcmp(&set, &again, sizeof(set)) != 0)
		abort();
}

static void zones(const char *text)
{
	struct agent_damon_range range[4];
	size_t count = agent_parse_zones(text, range, 4);

	if (count > 4)
		abort();
	for (size_t i = 0; i < count; i++)
		if (range[i].start >= range[i].end || (range[i].start | range[i].end) % (2 << 20) ||
		    (i && range[i].start <= range[i - 1].end))
			abort();
}

static void list(char *text)
{
	struct agent_process someone = {.pid = 5, .tgid = 5, .comm = "x", .cgroup = {"/a/b"}};
	struct agent_conf conf;

	if (agent_conf_parse(text, knows_any, &conf, NULL))
		return;
	agent_conf_check_process(&conf, &someone, NULL);
	agent_conf_allows_command(&conf, "processes");
	agent_conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 6) {
	case 0:
		lines(text);
		break;
	case 1:
		process(text);
		break;
	case 2:
		sets(text);
		break;
	case 3:
		list(text);
		break;
	case 4:
		join(text, size - 1);
		break;
	default:
		zones(text);
	}
	free(text);
	return 0;
}

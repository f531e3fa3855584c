/* On which node does a mapping lie as a whole? By /proc/PID/numa_maps, see process.h. */
#include "process.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNSEEN (-2)
#define MIXED  (-1)

/* The mapping that has the address; maps->count: none. */
static size_t find(const struct process_maps *maps, uint64_t address)
{
	size_t i = process_mapping_at(maps, address);

	return i < maps->count && maps->mapping[i].start <= address ? i : maps->count;
}

/* "N0=123" of a line: the node. -1: another word, or no page. */
static int node_of(const char *word)
{
	unsigned long node;
	char *end;

	if (word[0] != 'N' || !isdigit((unsigned char)word[1]))
		return -1;
	node = strtoul(word + 1, &end, 10);
	return *end == '=' && node < GMIG_MAX_NODES && strtoull(end + 1, NULL, 10) ? (int)node : -1;
}

/* "START POLICY [file=PATH] .. [N0=PAGES] .."; blanks in a path are escaped. One mapping may be several lines by now. */
static int take_line(char *line, struct process_maps *maps)
{
	char *save = NULL, *end;
	uint64_t address;
	size_t i;

	errno = 0;
	address = strtoull(line, &end, 16);
	if (end == line || *end != ' ' || errno)
		return -EIO;
	i = find(maps, address);
	if (i == maps->count)
		return 0;
	for (char *word = strtok_r(end, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		int node = node_of(word);

		if (node >= 0)
			maps->node[i] = maps->node[i] == UNSEEN || maps->node[i] == node
					    ? (int16_t)node
					    : MIXED;
	}
	return 0;
}

int process_maps_locate_parse(FILE *file, struct process_maps *maps)
{
	size_t line_bytes = 0;
	char *line = NULL;
	int ret = 0;

	process_maps_forget(maps);
	maps->node = malloc((maps->count + 1) * sizeof(*maps->node));
	if (!maps->node)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count; i++)
		maps->node[i] = UNSEEN;
	errno = 0;
	while (!ret && getline(&line, &line_bytes, file) > 0)
		ret = take_line(line, maps);
	if (!ret && !feof(file))
		ret = errno ? -errno : -EIO;
	free(line);
	if (ret)
		process_maps_forget(maps);
	return ret;
}

int process_maps_locate(const struct process *process, struct process_maps *maps)
{
	int fd = process->sys->open_proc(process->entry, "numa_maps"), ret;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	process_maps_forget(maps);
	if (!file) {
		if (fd >= 0)
			process->sys->close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	ret = process_maps_locate_parse(file, maps);
	fclose(file);
	return ret;
}

void process_maps_forget(struct process_maps *maps)
{
	free(maps->node);
	maps->node = NULL;
}

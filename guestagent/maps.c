/* numa_maps and smaps, see maps.h. */
#include "maps.h"
#include "proc.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIANT_BYTES (1ull << 30)

/* ---- Lines ----------------------------------------------------------------------------------- */

/* A hexadecimal number at *text, which moves behind it. */
static bool parse_hex(const char **text, uint64_t *value)
{
	char *end;

	if (!isxdigit((unsigned char)**text))
		return false;
	*value = strtoull(*text, &end, 16);
	*text = end;
	return true;
}

static void copy_text(char *to, size_t bytes, const char *from, size_t length)
{
	if (length >= bytes)
		length = bytes - 1;
	memcpy(to, from, length);
	to[length] = '\0';
}

/* "N3=17"; false: something else, or a node that cannot be. */
static bool parse_node(const char *token, size_t length, struct agent_vma *vma)
{
	unsigned long long node, pages;
	char *end;

	if (length < 4 || token[0] != 'N' || !isdigit((unsigned char)token[1]))
		return false;
	node = strtoull(token + 1, &end, 10);
	if (*end != '=' || !isdigit((unsigned char)end[1]) || node >= AGENT_MAX_NODES)
		return false;
	pages = strtoull(end + 1, &end, 10);
	if (end != token + length || pages > UINT64_MAX / GIANT_BYTES ||
	    vma->node_count == AGENT_MAX_NODES)
		return false;
	vma->node[vma->node_count].node = (int)node;
	vma->node[vma->node_count++].pages = pages;
	return true;
}

/* kernelpagesize_kB=; what is no power of two from 4K on is not believed. */
static void parse_page_size(const char *value, struct agent_vma *vma)
{
	unsigned long long kib = strtoull(value, NULL, 10);

	if (kib >= 4 && kib <= GIANT_BYTES >> 10 && !(kib & (kib - 1)))
		vma->page_bytes = kib << 10;
}

static void parse_token(const char *token, size_t length, struct agent_vma *vma)
{
	if (parse_node(token, length, vma))
		return;
	if (length > 17 && !strncmp(token, "kernelpagesize_kB=", 18)) {
		parse_page_size(token + 18, vma);
	} else if (length > 5 && !strncmp(token, "file=", 5)) {
		vma->anonymous = false;
		copy_text(vma->what, sizeof(vma->what), token + 5, length - 5);
	} else if ((length == 4 && !strncmp(token, "heap", 4)) ||
		   (length == 5 && !strncmp(token, "stack", 5))) {
		copy_text(vma->what, sizeof(vma->what), token, length);
	}
}

/* The policy is one word but for "prefer (many):0-1" and "weighted interleave:0-1". */
static size_t policy_length(const char *text)
{
	size_t length = strcspn(text, " \n");

	if (!strncmp(text, "prefer (many)", 13) || !strncmp(text, "weighted ", 9))
		length += 1 + strcspn(text + length + 1, " \n");
	return length;
}

int agent_parse_numa_line(const char *line, struct agent_vma *vma)
{
	size_t length;

	vma->page_bytes = AGENT_PAGE_BYTES;
	vma->end = vma->huge_bytes = vma->shared_bytes = 0;
	vma->node_count = 0;
	vma->anonymous = true;
	vma->what[0] = '\0';
	if (!parse_hex(&line, &vma->start) || *line != ' ')
		return -EINVAL;
	line++;
	length = policy_length(line);
	if (!length)
		return -EINVAL;
	copy_text(vma->policy, sizeof(vma->policy), line, length);
	for (line += length; *line; line += length) {
		line += strspn(line, " \n");
		length = strcspn(line, " \n");
		parse_token(line, length, vma);
	}
	return 0;
}

int agent_parse_smaps_line(const char *line, uint64_t *start, uint64_t *end, uint64_t *huge_bytes)
{
	static const char *const keys[] = {"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:"};
	const char *at = line;
	uint64_t first, last;

	if (parse_hex(&at, &first) && *at++ == '-' && parse_hex(&at, &last) && *at == ' ' &&
	    last > first) {
		*start = first;
		*end = last;
		return 1;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t length = strlen(keys[i]);

		if (!strncmp(line, keys[i], length))
			*huge_bytes += (strtoull(line + length, NULL, 10) & (UINT64_MAX >> 20))
				       << 10;
	}
	return 0;
}

uint64_t agent_parse_smaps_shared(const char *line)
{
	static const char *const keys[] = {"Shared_Clean:", "Shared_Dirty:"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t length = strlen(keys[i]);

		if (!strncmp(line, keys[i], length))
			return (strtoull(line + length, NULL, 10) & (UINT64_MAX >> 20)) << 10;
	}
	return 0;
}

/* ---- The walk -------------------------------------------------------------------------------- */

struct agent_maps {
	FILE *numa, *smaps;
	char *line;
	size_t capacity;
	/* The mapping that smaps tells of, and the head of the next, which has been read. */
	uint64_t start, end, huge_bytes, shared_bytes, next_start, next_end;
	bool have_next;
	pid_t pid;
	int error; /* that ended it, or 0 */
};

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d/%s", agent_sys->proc, (int)pid, name);
	return fopen(path, "re");
}

/* Nobody may look, there is no process, or the kernel has no such file: which? */
static int open_failed(pid_t pid, int code, struct gmig_error *err)
{
	struct agent_process process;
	int rc = code == -ENOENT ? agent_process_read(pid, &process, err) : -ESRCH;

	if (rc && rc != -ESRCH)
		return rc;
	if (!rc)
		return gmig_fail(err, -ENOSYS,
				 "this kernel has no /proc/PID/numa_maps: it was built without "
				 "NUMA: ENOSYS (%d)",
				 ENOSYS);
	return agent_call_failed_pid(err, AGENT_CALL_READ, code == -ENOENT ? -ESRCH : code, pid);
}

int agent_maps_open(pid_t pid, bool with_huge, struct agent_maps **out, struct gmig_error *err)
{
	struct agent_maps *maps = calloc(1, sizeof(*maps));
	int rc;

	if (!maps)
		return gmig_fail(err, -ENOMEM, "out of memory");
	maps->pid = pid;
	maps->numa = open_proc(pid, "numa_maps");
	if (maps->numa)
		maps->smaps = open_proc(pid, with_huge ? "smaps" : "maps");
	if (!maps->smaps) {
		rc = open_failed(pid, errno ? -errno : -EIO, err);
		agent_maps_close(maps);
		return rc;
	}
	*out = maps;
	return 0;
}

void agent_maps_close(struct agent_maps *maps)
{
	if (!maps)
		return;
	if (maps->numa)
		fclose(maps->numa);
	if (maps->smaps)
		fclose(maps->smaps);
	free(maps->line);
	free(maps);
}

/* False: there is no more, or it cannot be read. A process that has ended has no more. */
static bool next_line(struct agent_maps *maps, FILE *file)
{
	errno = 0;
	if (getline(&maps->line, &maps->capacity, file) > 0)
		return true;
	if (!feof(file) && errno != ESRCH)
		maps->error = errno ? -errno : -EIO;
	return false;
}

/* Take the next mapping of smaps: up to the head of the one behind it. */
static bool next_smaps(struct agent_maps *maps)
{
	bool have = maps->have_next;

	maps->start = maps->next_start;
	maps->end = maps->next_end;
	maps->huge_bytes = maps->shared_bytes = 0;
	maps->have_next = false;
	while (next_line(maps, maps->smaps)) {
		if (!agent_parse_smaps_line(maps->line, &maps->next_start, &maps->next_end,
					    &maps->huge_bytes)) {
			maps->shared_bytes += agent_parse_smaps_shared(maps->line);
			continue;
		}
		if (have) {
			maps->have_next = true;
			return true;
		}
		maps->start = maps->next_start;
		maps->end = maps->next_end;
		have = true;
	}
	return have;
}

/*
 * The two files are read at different moments: mappings that only one of them has are left out.
 * Both are in the order of addresses.
 */
int agent_maps_next(struct agent_maps *maps, struct agent_vma *vma)
{
	while (!maps->error && next_line(maps, maps->numa)) {
		if (agent_parse_numa_line(maps->line, vma))
			continue;
		while (maps->end <= vma->start && next_smaps(maps))
			;
		if (maps->start != vma->start || maps->end <= vma->start)
			continue;
		vma->end = maps->end;
		vma->huge_bytes = maps->huge_bytes;
		vma->shared_bytes = maps->shared_bytes;
		return 1;
	}
	return 0;
}

int agent_maps_end(const struct agent_maps *maps, struct gmig_error *err)
{
	return maps->error ? agent_call_failed_pid(err, AGENT_CALL_READ, maps->error, maps->pid)
			   : 0;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

/* Of `bytes` in 4K units on one node of a mapping, how many are in huge pages? */
static uint64_t huge_share(const struct agent_vma *vma, uint64_t bytes, uint64_t mapping_bytes)
{
	uint64_t share;

	if (vma->huge_bytes >= mapping_bytes || !mapping_bytes)
		return bytes;
	share = (uint64_t)((double)vma->huge_bytes * ((double)bytes / (double)mapping_bytes));
	share -= share % AGENT_HUGE_BYTES;
	return share < bytes ? share : bytes;
}

static void add_small(struct agent_usage *usage, const struct agent_vma *vma)
{
	uint64_t mapping_bytes = 0;

	for (size_t i = 0; i < vma->node_count; i++)
		mapping_bytes += vma->node[i].pages * AGENT_PAGE_BYTES;
	if (vma->node_count > 1 && vma->huge_bytes && vma->huge_bytes < mapping_bytes)
		usage->huge_estimated = true;
	for (size_t i = 0; i < vma->node_count; i++) {
		uint64_t bytes = vma->node[i].pages * AGENT_PAGE_BYTES;
		uint64_t huge = vma->huge_bytes ? huge_share(vma, bytes, mapping_bytes) : 0;

		if (vma->node_count == 1 && vma->huge_bytes < bytes)
			huge = vma->huge_bytes;
		usage->huge_bytes[vma->node[i].node] += huge;
		usage->small_bytes[vma->node[i].node] += bytes - huge;
	}
}

void agent_usage_add(struct agent_usage *usage, const struct agent_vma *vma)
{
	for (size_t i = 0; i < vma->node_count; i++) {
		int node = vma->node[i].node;

		if (!vma->node[i].pages)
			continue;
		agent_set_add(&usage->nodes, node);
		usage->total_bytes += vma->node[i].pages * vma->page_bytes;
		if (vma->page_bytes >= GIANT_BYTES)
			usage->giant_bytes[node] += vma->node[i].pages * vma->page_bytes;
		else if (vma->page_bytes > AGENT_PAGE_BYTES)
			usage->huge_bytes[node] += vma->node[i].pages * vma->page_bytes;
	}
	if (vma->page_bytes == AGENT_PAGE_BYTES)
		add_small(usage, vma);
}

int agent_usage_read(pid_t pid, bool with_huge, struct agent_usage *usage, struct gmig_error *err)
{
	struct agent_vma *vma = malloc(sizeof(*vma));
	struct agent_maps *maps = NULL;
	int rc;

	memset(usage, 0, sizeof(*usage));
	rc = vma ? agent_maps_open(pid, with_huge, &maps, err)
		 : gmig_fail(err, -ENOMEM, "out of memory");
	while (maps && agent_maps_next(maps, vma))
		agent_usage_add(usage, vma);
	if (maps)
		rc = agent_maps_end(maps, err);
	agent_maps_close(maps);
	free(vma);
	return rc;
}

uint64_t agent_usage_on(const struct agent_usage *usage, int node)
{
	return usage->small_bytes[node] + usage->huge_bytes[node] + usage->giant_bytes[node];
}

#include "qemu.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SMALLEST_PART 16 /* a mapping of guest memory holds at least this part of it */

/* ---- Which process --------------------------------------------------------------------------- */

static int read_pid(const char *name, pid_t *pid, struct gmig_error *err)
{
	char path[512];
	long number = 0;
	FILE *file;
	int got;

	snprintf(path, sizeof(path), "/run/libvirt/qemu/%s.pid", name);
	file = fopen(path, "re");
	if (!file)
		return gmig_fail(err, -errno, "%.200s: %s", path, strerror(errno));
	got = fscanf(file, "%ld", &number);
	fclose(file);
	if (got != 1 || number < 2 || number > INT32_MAX)
		return gmig_fail(err, -ESRCH, "%.200s holds no process id", path);
	*pid = (pid_t)number;
	return 0;
}

/* The file may be of a process that ended, and its number another's now: QEMU is told its UUID. */
static bool has_uuid(pid_t pid, const char *uuid)
{
	static char text[64 << 10];
	char path[64], words[80];
	size_t bytes, got = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	file = fopen(path, "re");
	if (file) {
		got = fread(text, 1, sizeof(text), file);
		fclose(file);
	}
	bytes = (size_t)snprintf(words, sizeof(words), "-uuid%c%s", '\0', uuid);
	return bytes < sizeof(words) && memmem(text, got, words, bytes);
}

int qemu_open(const char *name, const char *uuid, pid_t *pid, int *pidfd, struct gmig_error *err)
{
	int rc = read_pid(name, pid, err);

	if (rc)
		return rc;
	*pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (*pidfd < 0)
		return gmig_fail(err, -errno, "process %d, the QEMU of the domain '%.100s': %s",
				 *pid, name, strerror(errno));
	if (has_uuid(*pid, uuid))
		return 0;
	close(*pidfd);
	*pidfd = -1;
	return gmig_fail(err, -ESRCH, "process %d is not the QEMU of the domain '%.100s'", *pid,
			 name);
}

/* ---- Its memory ------------------------------------------------------------------------------ */

static bool is_guest_memory(const char *line, struct kernel_range *range)
{
	unsigned long long start, end, inode;
	char rights[8], name[8] = "";

	if (sscanf(line, "%llx-%llx %7s %*s %*s %llu %7s", &start, &end, rights, &inode, name) < 4)
		return false;
	*range = (struct kernel_range){start, end};
	return !strcmp(rights, "rw-p") && !inode && (!*name || !strncmp(name, "[anon:", 6));
}

static uint64_t bytes_of(const struct kernel_range *range)
{
	return range->end - range->start;
}

/* Keeps the largest, the largest first. */
static void insert(struct kernel_memory *memory, const struct kernel_range *range)
{
	unsigned int at;

	if (memory->ranges == KERNEL_MAX_RANGES) {
		if (bytes_of(&memory->range[memory->ranges - 1]) >= bytes_of(range))
			return;
		memory->ranges--;
	}
	for (at = memory->ranges++; at && bytes_of(&memory->range[at - 1]) < bytes_of(range); at--)
		memory->range[at] = memory->range[at - 1];
	memory->range[at] = *range;
}

int qemu_parse_maps(FILE *maps, uint64_t bytes, struct kernel_memory *out, struct gmig_error *err)
{
	struct kernel_range range;
	unsigned int used = 0;
	uint64_t sum = 0;
	char line[512];

	memset(out->range, 0, sizeof(out->range));
	out->ranges = 0;
	while (fgets(line, sizeof(line), maps))
		if (is_guest_memory(line, &range) && bytes_of(&range) >= bytes / SMALLEST_PART)
			insert(out, &range);
	while (used < out->ranges && sum < bytes)
		sum += bytes_of(&out->range[used++]);
	out->ranges = used;
	if (sum >= bytes)
		return 0;
	return gmig_fail(
	    err, -EINVAL,
	    "QEMU has %llu MiB in large anonymous mappings, the guest %llu: memory of files or "
	    "of pools of huge pages (memoryBacking) is not looked at",
	    (unsigned long long)(sum >> 20), (unsigned long long)(bytes >> 20));
}

int qemu_find_memory(uint64_t bytes, struct kernel_memory *memory, struct gmig_error *err)
{
	char path[64];
	FILE *file;
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/maps", memory->pid);
	file = fopen(path, "re");
	if (!file)
		return gmig_fail(err, -errno, "%s: %s", path, strerror(errno));
	rc = qemu_parse_maps(file, bytes, memory, err);
	fclose(file);
	return rc;
}

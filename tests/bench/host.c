#include "host.h"
#include "../../migrate/core/room.h"
#include "../../migrate/core/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int host_read_line(const char *path, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");
	char *got;

	if (!file)
		return -errno;
	got = fgets(text, (int)bytes, file);
	fclose(file);
	if (!got)
		return -EIO;
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

static void set_line(json_t *facts, const char *key, const char *path)
{
	char text[256];

	if (!host_read_line(path, text, sizeof(text)))
		json_object_set_new(facts, key, json_string(text));
}

/* The value behind "key...: " in a file of such lines. */
static int read_keyed(const char *path, const char *key, char *text, size_t bytes)
{
	FILE *file = fopen(path, "re");
	char line[4096];
	int rc = -ENOENT;

	if (!file)
		return -errno;
	while (rc && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) || !colon)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		snprintf(text, bytes, "%.*s", (int)strcspn(colon, "\n"), colon);
		rc = 0;
	}
	fclose(file);
	return rc;
}

static uint64_t cache_bytes(unsigned int index, char *name, size_t name_bytes)
{
	char path[128], level[16] = "", type[32] = "", size[32] = "";
	char *end;
	uint64_t bytes;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%u/size", index);
	if (host_read_line(path, size, sizeof(size)))
		return 0;
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%u/level", index);
	host_read_line(path, level, sizeof(level));
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%u/type", index);
	host_read_line(path, type, sizeof(type));
	snprintf(name, name_bytes, "L%s%s", level,
		 !strcmp(type, "Data")		? "d"
		 : !strcmp(type, "Instruction") ? "i"
						: "");
	bytes = strtoull(size, &end, 10);
	return *end == 'K' ? bytes << 10 : *end == 'M' ? bytes << 20 : bytes;
}

uint64_t host_last_level_cache_bytes(void)
{
	uint64_t largest = 0;
	char name[64];

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t bytes = cache_bytes(i, name, sizeof(name));

		if (bytes > largest)
			largest = bytes;
	}
	return largest;
}

uint64_t host_swap_bytes(char *limit, size_t bytes)
{
	struct room room;

	gmig_sys_real.swap_room(&room);
	snprintf(limit, bytes, "%s", room.limit);
	return room.bytes;
}

uint64_t host_available_bytes(void)
{
	char text[64];

	if (read_keyed("/proc/meminfo", "MemAvailable", text, sizeof(text)))
		return UINT64_MAX;
	return strtoull(text, NULL, 10) << 10;
}

unsigned int host_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus > 0 ? (unsigned int)cpus : 1;
}

static json_t *mitigations(void)
{
	static const char directory[] = "/sys/devices/system/cpu/vulnerabilities";
	json_t *found = json_object();
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[320], text[256];

	while (dir && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (!host_read_line(path, text, sizeof(text)) && strcmp(text, "Not affected"))
			json_object_set_new(found, entry->d_name, json_string(text));
	}
	if (dir)
		closedir(dir);
	return found;
}

bool host_is_lab(void)
{
	return getenv("GMIG_IN_LAB") != NULL;
}

json_t *host_facts(void)
{
	json_t *facts = json_object(), *caches = json_object();
	struct utsname kernel;
	char text[256], flags[4096];

	if (!read_keyed("/proc/cpuinfo", "model name", text, sizeof(text)))
		json_object_set_new(facts, "cpu", json_string(text));
	json_object_set_new(facts, "cpus", json_integer(host_cpus()));
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t bytes = cache_bytes(i, text, sizeof(text));

		if (bytes)
			json_object_set_new(caches, text, json_integer((json_int_t)bytes));
	}
	json_object_set_new(facts, "caches", caches);
	json_object_set_new(facts, "last_level_cache_bytes",
			    json_integer((json_int_t)host_last_level_cache_bytes()));
	if (!read_keyed("/proc/meminfo", "MemTotal", text, sizeof(text)))
		json_object_set_new(facts, "memory_bytes",
				    json_integer((json_int_t)(strtoull(text, NULL, 10) << 10)));
	if (!uname(&kernel))
		json_object_set_new(facts, "kernel", json_string(kernel.release));
	if (!read_keyed("/proc/cpuinfo", "flags", flags, sizeof(flags)))
		json_object_set_new(facts, "lab", json_boolean(host_is_lab()));
	json_object_set_new(facts, "virtual", json_boolean(strstr(flags, " hypervisor") != NULL));
	set_line(facts, "nodes", "/sys/devices/system/node/has_memory");
	set_line(facts, "thp", "/sys/kernel/mm/transparent_hugepage/enabled");
	set_line(facts, "thp_defrag", "/sys/kernel/mm/transparent_hugepage/defrag");
	set_line(facts, "autonuma", "/proc/sys/kernel/numa_balancing");
	set_line(facts, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	set_line(facts, "npt", "/sys/module/kvm_amd/parameters/npt");
	set_line(facts, "ept", "/sys/module/kvm_intel/parameters/ept");
	json_object_set_new(facts, "mitigations", mitigations());
	return facts;
}

int host_cpu_read(struct host_cpu *out)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
	char text[512];
	int rc = host_read_line("/proc/stat", text, sizeof(text));

	if (rc)
		return rc;
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &iowait, &irq, &softirq, &steal) != 8)
		return -EIO;
	out->busy = (double)(user + nice + system + irq + softirq) * tick;
	out->steal = (double)steal * tick;
	out->total = out->busy + out->steal + (double)(idle + iowait) * tick;
	return 0;
}

int host_check(struct gmig_error *err)
{
	struct gmig_features features;
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), rc;

	if (fd < 0)
		return gmig_fail(err, -errno, "/dev/kvm cannot be opened: %s", strerror(errno));
	close(fd);
	rc = gmig_probe_features(&features);
	return rc ? gmig_fail(err, rc, "%s", features.why) : 0;
}

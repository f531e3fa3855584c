/*
 * Facts of the machine that a figure depends on, and how busy it was with others meanwhile. Reads /proc and /sys; what
 * cannot be read is left out. One thread.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include "../../migrate/gmig_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* First line of a small file, without its newline. */
int host_read_line(const char *path, char *text, size_t bytes);

/* {"cpu","cpus","caches":{"L1d":bytes,..},"last_level_cache_bytes",...}; NULL when there is no memory. */
json_t *host_facts(void);
uint64_t host_last_level_cache_bytes(void);
uint64_t host_available_bytes(void);
/* Swap that gmig-vmm may still use; limit: "host", or the cgroup that is tightest. */
uint64_t host_swap_bytes(char *limit, size_t bytes);
unsigned int host_cpus(void);
/* An emulated machine (docs/lab.md). */
bool host_is_lab(void);

/* CPU time of the machine since boot, in seconds, all CPUs together. */
struct host_cpu {
	double busy, steal, total;
};
int host_cpu_read(struct host_cpu *out);

/*
 * 0 when gmig-vmm can move memory here: /dev/kvm opens and a userfaultfd that serves KVM's faults is to be had. Else
 * -errno and one line that says what stands in the way.
 */
int host_check(struct gmig_error *err);

#endif
